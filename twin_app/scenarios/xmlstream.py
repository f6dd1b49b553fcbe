"""XML read as a stream with bounded memory; refuses document types and entities (entity bombs, file reading)."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Protocol
from xml.parsers import expat

from twin.errors import ScenarioError
from twin_app.scenarios.rawmap import spot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

_CHUNK_BYTES = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"
MAX_UNPACKED_BYTES = 4 << 30
"""A larger map is cut first (``osmium extract``); a small file that unpacks to more is a trap."""


class ElementSink(Protocol):
    """Who receives the elements of a file, in document order."""

    def start(self, name: str, attributes: dict[str, str], line: int) -> None:
        """Take the start of an element."""
        ...

    def end(self, name: str, line: int) -> None:
        """Take the end of an element."""
        ...


def chunks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, unpacked when gzipped.

    Raises:
        ScenarioError: The file is missing, unreadable, a damaged archive, or too large once unpacked.
    """
    total = 0
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            file: BinaryIO = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
            while block := file.read(_CHUNK_BYTES):
                total += len(block)
                if total > MAX_UNPACKED_BYTES:
                    raise ScenarioError(
                        f"`{path}` holds more than {MAX_UNPACKED_BYTES >> 30} GiB;"
                        " cut the area first, for example with `osmium extract --bbox`"
                    )
                yield block
    except (gzip.BadGzipFile, EOFError, zlib.error) as exc:
        raise ScenarioError(f"`{path}` is a damaged gzip archive ({exc}); fetch it again") from exc
    except OSError as exc:
        raise ScenarioError(f"the map file `{path}` cannot be read: {exc.strerror or exc}") from exc


def parse_xml(path: Path, sink_for_root: Callable[[str, int], ElementSink]) -> None:
    """Feed the elements of an XML file to the sink chosen by the name (and line) of its root element.

    Raises:
        ScenarioError: The file cannot be read, is no well-formed XML, or declares a document type or entities.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    sink: ElementSink | None = None

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal sink
        line = parser.CurrentLineNumber
        if sink is None:
            sink = sink_for_root(name, line)
        sink.start(name, attributes, line)

    def end(name: str) -> None:
        if sink is not None:
            sink.end(name, parser.CurrentLineNumber)

    def refuse(*_declaration: object) -> None:
        raise ScenarioError(
            f"{spot(path, parser.CurrentLineNumber)}: declares a document type or entities, which map files"
            " have no use for and which are refused; remove the declaration"
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        for block in chunks(path):
            parser.Parse(block, False)
        parser.Parse(b"", True)
    except expat.ExpatError as exc:
        reason = expat.ErrorString(exc.code)
        raise ScenarioError(f"{spot(path, exc.lineno)}, column {exc.offset + 1}: no well-formed XML: {reason}") from exc
