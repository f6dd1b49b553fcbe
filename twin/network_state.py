"""The form of a network's state: arrays in an npz container beside one JSON document, never pickled objects."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.errors import CorruptStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FORMAT = "twin6g-network-1"
_DOCUMENT = "document"


def pack(document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a state as bytes; a checksum over everything stands in front."""
    text = json.dumps({"format": FORMAT, **document}).encode()
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{_DOCUMENT: np.frombuffer(text, dtype=np.uint8)}, **arrays)
    body = buffer.getvalue()
    return zlib.crc32(body).to_bytes(4, "big") + body


def unpack(state: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the document and the arrays of a state.

    Raises:
        CorruptStore: Not a state of this format, or damaged.
    """
    if len(state) < 4 or zlib.crc32(state[4:]).to_bytes(4, "big") != state[:4]:
        raise CorruptStore(
            f"the network state of `{len(state)}` bytes is damaged or cut off; ask the scene for a new one"
        )
    try:
        with np.load(io.BytesIO(state[4:]), allow_pickle=False) as container:
            arrays = {name: container[name] for name in container.files}
        document = json.loads(arrays.pop(_DOCUMENT).tobytes())
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as exc:
        raise CorruptStore("the network state is not a container of arrays; ask the scene for a new one") from exc
    if document.get("format") != FORMAT:
        raise CorruptStore(f"the network state has the format `{document.get('format')}`; this twin reads `{FORMAT}`")
    return document, arrays
