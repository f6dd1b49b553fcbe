"""The journal: every lossless fact in one SQLite file, durable before it is acknowledged.

Adapter of :class:`twin.ports.Journal`. WAL with ``synchronous=FULL``: a commit is on the disk when `append`
returns. Rows are chained by SHA-256, so a row that was changed, removed or inserted in the middle is found by
:meth:`SqliteJournal.verify`; rows cut off at the end cannot be seen from inside the file.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from twin.errors import CorruptStore, InvalidInput, StoreUnavailable
from twin_app.store.worker import WorkerThread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


FORMAT = 1
"""Number of the file's layout, kept in SQLite's `user_version`."""

_GENESIS = b"\x00" * 32

_LAYOUT = """
CREATE TABLE IF NOT EXISTS entry (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    wall_time_s REAL NOT NULL,
    fact TEXT NOT NULL,
    chain BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS entry_kind ON entry (kind, seq);
"""


class SqliteJournal:
    """Facts in order, one row each, one commit per call.

    Args:
        path: The file; made when it does not exist.
        wall_time_s: Gives the wall time stored beside each fact.
    """

    def __init__(self, path: Path, *, wall_time_s: Callable[[], float] = time.time) -> None:
        self._path = path
        self._wall_time_s = wall_time_s
        self._worker = WorkerThread("journal")
        self._connection: sqlite3.Connection | None = None
        self._last_seq = 0
        self._last_chain = _GENESIS

    async def open(self) -> None:
        """Open or make the file.

        Raises:
            CorruptStore: It is no journal, or SQLite finds it damaged.
        """
        self._worker.start()
        try:
            await self._worker.run(self._open)
        except BaseException:
            await self._worker.stop()
            raise

    async def close(self) -> None:
        """Finish what waits and close the file; safe to call twice."""
        if self._connection is not None:
            await self._worker.run(self._close)
        await self._worker.stop()

    @property
    def last_seq(self) -> int:
        """The sequence number of the last fact, 0 when there is none."""
        return self._last_seq

    async def append(self, kind: str, facts: Sequence[Mapping[str, Any]]) -> int:
        """Store facts in one commit (durable when this returns); returns the sequence number of the last.

        Raises:
            InvalidInput: A fact is no JSON object.
            StoreUnavailable: The disk is full or the file is broken; nothing was stored.
        """
        texts = [_text(kind, fact) for fact in facts]
        return await self._worker.run(lambda: self._append(kind, texts))

    async def replay(self, kind: str, *, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
        """Return (sequence number, fact) of one kind in order.

        Raises:
            StoreUnavailable: The file cannot be read.
        """
        return await self._worker.run(lambda: self._replay(kind, after))

    async def verify(self) -> int:
        """Recompute the chain over all rows; returns how many there are.

        Raises:
            CorruptStore: A row was changed, removed or inserted; the message names the first.
        """
        return await self._worker.run(self._verify)

    def _open(self) -> None:
        try:
            self._path.touch(mode=0o600)
            self._path.chmod(0o600)  # it names injected faults; SQLite gives the files beside it the same mode
            connection = sqlite3.connect(self._path, isolation_level=None)
        except (OSError, sqlite3.Error) as exc:
            raise _corrupt(self._path, str(exc)) from exc
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found not in {0, FORMAT}:
                raise _corrupt(self._path, f"its format is `{found}`, this program reads `{FORMAT}`")
            checked = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if checked != "ok":
                raise _corrupt(self._path, str(checked))
            connection.executescript(_LAYOUT)
            connection.execute(f"PRAGMA user_version={FORMAT}")
            last = connection.execute("SELECT seq, chain FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
        except sqlite3.Error as exc:
            connection.close()
            raise _corrupt(self._path, str(exc)) from exc
        except CorruptStore:
            connection.close()
            raise
        self._connection = connection
        if last is not None:
            self._last_seq, self._last_chain = int(last[0]), bytes(last[1])

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreUnavailable(f"the journal `{self._path}` is closed")
        return self._connection

    def _append(self, kind: str, texts: list[str]) -> int:
        connection = self._opened()
        wall_time_s = self._wall_time_s()
        rows: list[tuple[int, str, float, str, bytes]] = []
        seq, chain = self._last_seq, self._last_chain
        for text in texts:
            seq += 1
            chain = _link(chain, seq, kind, wall_time_s, text)
            rows.append((seq, kind, wall_time_s, text, chain))
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
        except sqlite3.Error as exc:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise StoreUnavailable(
                f"the journal `{self._path}` took nothing: {exc}; free some disk space or look at the file"
            ) from exc
        self._last_seq, self._last_chain = seq, chain
        return seq

    def _replay(self, kind: str, after: int) -> list[tuple[int, dict[str, Any]]]:
        try:
            rows = (
                self._opened()
                .execute("SELECT seq, fact FROM entry WHERE kind = ? AND seq > ? ORDER BY seq", (kind, after))
                .fetchall()
            )
        except sqlite3.Error as exc:
            raise StoreUnavailable(f"the journal `{self._path}` cannot be read: {exc}") from exc
        return [(int(seq), json.loads(text)) for seq, text in rows]

    def _verify(self) -> int:
        chain, count = _GENESIS, 0
        try:
            for seq, kind, wall_time_s, text, stored in self._opened().execute("SELECT * FROM entry ORDER BY seq"):
                count += 1
                chain = _link(chain, count, kind, wall_time_s, text)
                if seq != count or stored != chain:
                    raise _corrupt(self._path, f"row `{seq}` is not the one that was written")
        except sqlite3.Error as exc:
            raise _corrupt(self._path, str(exc)) from exc
        return count


def _text(kind: str, fact: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(fact), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise InvalidInput(f"a fact of the kind `{kind}` cannot be written as JSON: {exc}") from exc


def _link(chain: bytes, seq: int, kind: str, wall_time_s: float, text: str) -> bytes:
    row = json.dumps([seq, kind, wall_time_s, text], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(chain + row.encode()).digest()


def _corrupt(path: Path, why: str) -> CorruptStore:
    return CorruptStore(
        f"the journal `{path}` cannot be used: {why}. Move it away together with its `-wal` and `-shm` files and put"
        " a backup in its place; without one the twin starts again from its scenario, without past changes and alarms"
    )
