"""The file of a ledger, as bytes: a head, records one behind the other, zeros after the last.

Head: a magic line, up to which ordinal commands were forgotten, the ordinal of the first record, a CRC-32. Record:
length, CRC-32, ordinal, then what was recorded. Little-endian. Knows bytes and the disk; what a record means stands in
:mod:`bridge.ledger`.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import zlib
from typing import IO, TYPE_CHECKING, NamedTuple

from twin.errors import CorruptStore, FolderLocked, StoreUnavailable
from twin.file_lock import try_lock

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

MAGIC = b"twin6g-ledger-1\n"
_BOUNDS = struct.Struct("<QQI")
_HEAD = struct.Struct("<IIQ")
BEGIN = len(MAGIC) + _BOUNDS.size
"""Where the first record begins."""


class Record(NamedTuple):
    """One record."""

    ordinal: int
    body: bytes


def read_bounds(raw: bytes, path: Path) -> tuple[int, int]:
    """Return up to which ordinal commands were forgotten, and the ordinal of the first record.

    Raises:
        CorruptStore: Not a ledger, or its head is damaged.
    """
    if not raw.startswith(MAGIC):
        raise CorruptStore(f"`{path}` is no ledger of commands; give the scene another folder")
    floor, first, checksum = _BOUNDS.unpack_from(raw, len(MAGIC))
    if zlib.crc32(raw[: BEGIN - 4]) != checksum:
        raise CorruptStore(f"the head of the ledger `{path}` is damaged; bring back a copy, or remove the file")
    return floor, first


def framed(record: Record) -> bytes:
    """Return a record as it stands in the file."""
    return _HEAD.pack(len(record.body), _checksum(record.ordinal, record.body), record.ordinal) + record.body


def _checksum(ordinal: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(ordinal.to_bytes(8, "little")))


def _record_at(raw: bytes, at: int) -> Record | None:
    if at + _HEAD.size > len(raw):
        return None
    length, checksum, ordinal = _HEAD.unpack_from(raw, at)
    body = raw[at + _HEAD.size : at + _HEAD.size + length]
    if not 0 < length == len(body) or _checksum(ordinal, body) != checksum:
        return None
    return Record(ordinal, body)


def parse(raw: bytes) -> tuple[list[Record], int]:
    """Return the whole records and where they end."""
    records: list[Record] = []
    at = BEGIN
    first: int = _BOUNDS.unpack_from(raw, len(MAGIC))[1]
    while (record := _record_at(raw, at)) is not None and record.ordinal == first + len(records):
        records.append(record)
        at += _HEAD.size + len(record.body)
    return records, at


def check_is_tail(raw: bytes, end: int, *, last: int, path: Path) -> None:
    """Raise :class:`~twin.errors.CorruptStore` for a file whose damage is not at its end.

    Each record is on the disk before the next is written, so a kill can damage the last one only. When the record after
    the damaged one is whole, something else happened to the file, and commands that were answered would be forgotten.
    """
    after_next = (last + 2).to_bytes(8, "little")
    at = raw.find(after_next, end)
    while at >= 0:
        if _record_at(raw, at - _HEAD.size + 8) is not None:
            raise CorruptStore(
                f"record `{last + 1}` of the ledger `{path}` is damaged, and later ones are whole: this is no cut-off"
                " end; bring back a copy, or remove the file and begin the scene anew"
            )
        at = raw.find(after_next, at + 1)


def write_at(file: IO[bytes], data: bytes, *, at: int) -> None:
    """Write all of the bytes at a place of an unbuffered file."""
    file.seek(at)
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def write_whole(path: Path, *, floor: int, records: Sequence[Record]) -> None:
    """Put a new file in the place of the old one, wholly or not at all; on the disk when this returns."""
    first = records[0].ordinal if records else floor + 1
    head = MAGIC + floor.to_bytes(8, "little") + first.to_bytes(8, "little")
    temporary = path.with_name(f"{path.name}.part")
    with temporary.open("wb") as file:
        temporary.chmod(0o600)  # orders name injected faults
        file.write(head + zlib.crc32(head).to_bytes(4, "little"))
        for record in records:
            file.write(framed(record))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return  # folders cannot be opened there; NTFS journals the rename
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextlib.contextmanager
def as_store_error(path: Path) -> Generator[None]:
    """Tell whatever the disk refuses as :class:`~twin.errors.StoreUnavailable`."""
    try:
        yield
    except OSError as exc:
        raise StoreUnavailable(
            f"the ledger `{path}` cannot be written ({exc.strerror or exc}); make room on the disk, or give the scene"
            " another folder"
        ) from exc


def locked(path: Path) -> IO[bytes]:
    """Return the lock file, locked for as long as it is open.

    Raises:
        FolderLocked: Another process has it.
    """
    file = path.open("ab")
    if not try_lock(file):
        file.close()
        raise FolderLocked(
            f"another scene has the ledger beside `{path}` open; stop it, or give this one another folder"
        )
    return file
