"""What a scene did, on the disk: so that a command is obeyed once, however often the scene or the twin is killed.

The order of things, and why it is this one:

1. **Room first.** :meth:`CommandLedger.reserve` makes sure that the record will fit, before anything is changed. A full
   disk shows here: the command is answered FAILED, truthfully, because nothing was changed.
2. **Then the effect**, in the scene's memory.
3. **Then the record**, one fsync. Only now may the scene say APPLIED.
4. **Then the answer.**

Killed between 2 and 3, the scene has lost the effect together with its memory, and nobody was told APPLIED: the twin
sends the command again and it is obeyed then. Killed after 3, the record answers the repetition, and the effect is
replayed onto whatever older state the scene restores. When the record cannot be written in spite of 1 (the disk
breaks), FAILED would be a lie, for the effect took place, and APPLIED a promise that a kill breaks. So there is no
answer: the scene obeys nothing further and tries again until the disk takes the record. The twin sees RECEIVED and a
deadline that passes, which says what is true: the outcome is unknown.

A scene whose effects are not in its memory (it turns real antennas) must make them idempotent: between 2 and 3 it may
obey the same command again after a kill.

**Going on from a checkpoint.** A checkpoint may be taken at any moment, also between 2 and 3, if it says which commands
it contains::

    ordinal = ledger.ordinal            # first this, then the state
    results, state = world.snapshot()   # the answers to the commands whose effects are in the state
    ...
    contained = {result.command_id for result in results}
    for entry in ledger.after(ordinal):  # in the next life, onto the restored state
        if entry.result.stage is CommandStage.APPLIED and entry.command.id not in contained:
            world.obey(entry.command)
    SceneClient(..., ledger=ledger, results=results)

and once the checkpoint is on the disk, `await ledger.forget_before(ordinal)` keeps the file short.
"""

from __future__ import annotations

import asyncio
import os
import struct
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol, Self, TypeVar

from google.protobuf.message import DecodeError

from bridge import codec, mapping
from bridge.ledger_file import (
    BEGIN,
    Record,
    as_store_error,
    check_is_tail,
    framed,
    locked,
    parse,
    read_bounds,
    write_at,
    write_whole,
)
from twin.errors import CorruptStore, InvalidInput, NotFound, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from twin.commands import Command, CommandResult

KEPT_RESULTS = 4096
"""Answers kept for repetitions. An older repetition is past its deadline and answered EXPIRED."""

ROOM_BYTES = 64 * 1024
"""The file grows in steps of this many zeros, so that a record is written into room that the disk has given already."""

_COMMAND = struct.Struct("<I")
Outcome = TypeVar("Outcome")
_REPLY_BYTES = 16 * 1024
"""Room for an answer beyond what it repeats of its command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One command that was answered.

    Attributes:
        ordinal: Place in the order of obeying, from 1.
    """

    ordinal: int
    command: Command
    result: CommandResult


class CommandLedger(Protocol):
    """Keeps what a scene answered; see the module for when to call what."""

    @property
    def ordinal(self) -> int:
        """Ordinal of the last record; 0 = none yet."""
        ...

    def results(self) -> tuple[CommandResult, ...]:
        """Return the kept answers, oldest first."""
        ...

    async def reserve(self, command: Command) -> None:
        """Make sure that the record of a command will fit.

        Raises:
            StoreUnavailable: It will not; nothing may be changed.
        """
        ...

    async def record(self, command: Command, result: CommandResult) -> int:
        """Keep an answer and return its ordinal; durable when this returns.

        Raises:
            StoreUnavailable: It is not durable; try again.
        """
        ...

    def after(self, ordinal: int) -> tuple[LedgerEntry, ...]:
        """Return what was recorded after an ordinal, in order; blocking, for the beginning of a life.

        Raises:
            NotFound: Some of it was forgotten.
        """
        ...

    async def forget_before(self, ordinal: int) -> None:
        """Forget the commands up to and including an ordinal; the last answers stay.

        Raises:
            StoreUnavailable: The disk refuses; everything is kept.
        """
        ...


class FileLedger:
    """A ledger in one file, of one process at a time.

    A record holds the serialized `Command` and `CommandAck` of `bridge.v1`; the layout stands in
    :mod:`bridge.ledger_file`. One that was cut off by a kill was never answered for, and is cut off when the file is
    opened.

    Args:
        path: The file; its folder is made.

    Raises:
        FolderLocked: (open) Another process has the file. CorruptStore: (open) A record in the middle is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._disk = threading.Lock()  # held while the disk works; never on the event loop
        self._memory = threading.Lock()
        self._results: OrderedDict[str, CommandResult] = OrderedDict()
        self._ordinal = 0
        self._floor = 0
        self._file: IO[bytes] | None = None
        self._lock: IO[bytes] | None = None
        self._end = BEGIN
        self._size = 0
        self._worker: ThreadPoolExecutor | None = None

    # Life.

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Read the file and cut off what a kill left half written; blocking.

        Raises:
            FolderLocked: Another process has it. CorruptStore: A record in the middle is damaged.
            StoreUnavailable: The disk refuses.
        """
        if self._file is not None:
            return
        with self._disk, as_store_error(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = locked(self._path.with_name(f"{self._path.name}.lock"))
            try:
                if not self._path.exists() or self._path.stat().st_size < BEGIN:
                    write_whole(self._path, floor=0, records=())
                self._take_in()
            except BaseException:
                self._shut()
                raise
            self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    def close(self) -> None:
        """Let the file go; what is being recorded is finished first."""
        if self._worker is not None:
            self._worker.shutdown(wait=True)
            self._worker = None
        with self._disk:
            self._shut()

    def _shut(self) -> None:
        for file in (self._file, self._lock):
            if file is not None:
                file.close()
        self._file = self._lock = None

    def _take_in(self) -> None:
        raw = self._path.read_bytes()
        floor, first = read_bounds(raw, self._path)
        records, end = parse(raw)
        last = records[-1].ordinal if records else first - 1
        check_is_tail(raw, end, last=last, path=self._path)
        entries = [_entry(record, self._path) for record in records[-KEPT_RESULTS:]]
        with self._memory:
            self._results = OrderedDict((entry.command.id, entry.result) for entry in entries)
            self._ordinal, self._floor = max(last, floor), floor
        self._file = self._path.open("r+b", buffering=0)
        self._end = self._size = end
        if len(raw) > end:
            os.ftruncate(self._file.fileno(), end)
            os.fsync(self._file.fileno())

    # What is known.

    @property
    def ordinal(self) -> int:
        """Ordinal of the last record; 0 = none yet."""
        return self._ordinal

    @property
    def floor(self) -> int:
        """Up to which ordinal commands were forgotten; 0 = none."""
        return self._floor

    def results(self) -> tuple[CommandResult, ...]:
        """Return the kept answers, oldest first."""
        with self._memory:
            return tuple(self._results.values())

    def after(self, ordinal: int) -> tuple[LedgerEntry, ...]:
        """Return what was recorded after an ordinal, in order; blocking, for the beginning of a life.

        Raises:
            NotFound: Some of it was forgotten.
        """
        if ordinal < self._floor:
            raise NotFound(
                f"the ledger `{self._path}` has forgotten the commands up to `{self._floor}`; a state that holds only"
                f" those up to `{ordinal}` is too old to go on from"
            )
        with self._disk:
            self._open_file()
            records, _ = parse(self._path.read_bytes())
        return tuple(_entry(record, self._path) for record in records if record.ordinal > ordinal)

    # What is new.

    async def reserve(self, command: Command) -> None:
        """Make sure that the record of a command will fit.

        Raises:
            StoreUnavailable: It will not; nothing may be changed.
        """
        # What a command sets is read back in its answer, so that an answer is about as long as its command.
        need = 3 * len(_command_bytes(command)) + _REPLY_BYTES
        if self._worker is not None and self._end + need <= self._size:
            return  # the usual case, without a way to the worker and back
        await self._in_worker(lambda: self._make_room(need))

    async def record(self, command: Command, result: CommandResult) -> int:
        """Keep an answer and return its ordinal; durable when this returns, and also when the wait is cancelled.

        Raises:
            StoreUnavailable: It is not durable; try again.
        """
        order = _command_bytes(command)
        body = _COMMAND.pack(len(order)) + order + _result_bytes(result)
        return await self._in_worker(lambda: self._append(body, result))

    async def forget_before(self, ordinal: int) -> None:
        """Forget the commands up to and including an ordinal; the last answers stay.

        Raises:
            StoreUnavailable: The disk refuses; everything is kept.
        """
        await self._in_worker(lambda: self._compact(ordinal))

    async def _in_worker(self, work: Callable[[], Outcome]) -> Outcome:
        if self._worker is None:
            raise InvalidInput(f"the ledger `{self._path}` is not open; use it in a `with` statement")
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    # On the disk: all of this runs in the worker.

    def _make_room(self, need: int) -> None:
        with self._disk, as_store_error(self._path):
            file = self._open_file()
            if self._end + need <= self._size:
                return
            grown = self._end + max(need, ROOM_BYTES)
            write_at(file, bytes(grown - self._size), at=self._size)
            os.fsync(file.fileno())
            self._size = grown

    def _append(self, body: bytes, result: CommandResult) -> int:
        with self._disk, as_store_error(self._path):
            file = self._open_file()
            record = framed(Record(self._ordinal + 1, body))
            write_at(file, record, at=self._end)
            os.fsync(file.fileno())
            self._end += len(record)
            self._size = max(self._size, self._end)
            with self._memory:
                self._ordinal += 1
                self._results.pop(result.command_id, None)
                self._results[result.command_id] = result
                while len(self._results) > KEPT_RESULTS:
                    self._results.popitem(last=False)
            return self._ordinal

    def _compact(self, ordinal: int) -> None:
        floor = min(ordinal, self._ordinal)
        if floor <= self._floor:
            return
        with self._disk, as_store_error(self._path):
            file = self._open_file()
            records, _ = parse(self._path.read_bytes())
            newest = records[-KEPT_RESULTS:]
            kept = [*(r for r in records[: -len(newest)] if r.ordinal > floor), *newest]
            file.close()  # Windows replaces no open file
            self._file = None
            write_whole(self._path, floor=floor, records=kept)
            self._floor = floor
            self._open_file()

    def _open_file(self) -> IO[bytes]:
        if self._file is None:
            if self._lock is None:
                raise InvalidInput(f"the ledger `{self._path}` is not open; use it in a `with` statement")
            self._file = self._path.open("r+b", buffering=0)
            raw = self._path.read_bytes()
            self._size, self._end = len(raw), parse(raw)[1]  # in this order: a reader of both sees too little room
        return self._file


def _command_bytes(command: Command) -> bytes:
    message = codec.ConnectResponse()
    mapping.write_command(message.command, command)
    return message.command.SerializeToString()


def _result_bytes(result: CommandResult) -> bytes:
    message = codec.ConnectRequest()
    mapping.write_result(message.command_ack, result)
    return message.command_ack.SerializeToString()


def _entry(record: Record, path: Path) -> LedgerEntry:
    request, response = codec.ConnectRequest(), codec.ConnectResponse()
    begin = _COMMAND.size + _COMMAND.unpack_from(record.body)[0]
    try:
        response.command.ParseFromString(record.body[_COMMAND.size : begin])
        request.command_ack.ParseFromString(record.body[begin:])
        return LedgerEntry(
            ordinal=record.ordinal,
            command=mapping.read_command(response.command),
            result=mapping.read_result(request.command_ack),
        )
    except (DecodeError, ProtocolError) as exc:
        raise CorruptStore(
            f"record `{record.ordinal}` of the ledger `{path}` cannot be meant ({exc}); was it written by a newer"
            " version?"
        ) from exc
