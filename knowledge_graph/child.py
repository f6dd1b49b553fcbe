"""The graph engine in a process of its own: statements in on stdin, rows out on stdout.

Run as ``python -m knowledge_graph.child PARENT_PID BUFFER_MB ROOM_MB``. Imports the engine and the standard library,
nothing of the house, so that it is up in a tenth of a second. It ends when its parent does: end of file on stdin,
noticed by a thread even while the engine computes, or another parent process id (a stray copy of the pipe's end may
keep it open).

A message is four bytes of length (big endian) and that many bytes of JSON. Request: ``{"reset": bool,
"timeout_ms": int, "steps": [[text, params] ...]}``; all steps run in order, the first error ends them. Answer:
``{"columns", "rows"}`` of the last step, or ``{"error", "step"}``.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Mapping

_LENGTH = struct.Struct(">I")
_PARENT_CHECK_S = 1.0
_ADDRESSES_BYTES = 1 << 34  # the engine reserves 8 TB otherwise, which some systems refuse


def write_message(stream: BinaryIO, message: Mapping[str, Any]) -> None:
    """Write one message and flush."""
    # Text from outside may hold lone surrogates, which UTF-8 cannot carry; they become question marks.
    body = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def read_message(stream: BinaryIO) -> dict[str, Any] | None:
    """Return the next message, None at the end of the stream (a torn message counts as the end)."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return json.loads(body) if len(body) == length else None


def _cap_memory(room_mb: int) -> None:
    """Let the address space grow by at most `room_mb` from here.

    The engine reserves gigabytes of addresses for its buffer pool, which has a limit of its own; what it allocates
    beside the pool is bounded here. Where the system has no such limit the buffer pool's is the only one.
    """
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        return
    limit = pages * os.sysconf("SC_PAGE_SIZE") + (room_mb << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


class _Engine:
    """One in-memory database and one connection to it."""

    def __init__(self, buffer_mb: int) -> None:
        import ladybug

        self._ladybug = ladybug
        self._buffer_bytes = buffer_mb << 20
        self._open()

    def _open(self) -> None:
        # One thread: the queries are short, and the twin's cores belong to the network.
        self._database = self._ladybug.Database(
            ":memory:", buffer_pool_size=self._buffer_bytes, max_num_threads=1, max_db_size=_ADDRESSES_BYTES
        )
        self._connection = self._ladybug.Connection(self._database)

    def _reset(self) -> None:
        self._connection.close()
        self._database.close()
        self._open()

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run the steps of a request; engine errors become an answer, never an exception."""
        step = -1
        try:
            if request["reset"]:
                self._reset()
            self._connection.set_query_timeout(request["timeout_ms"])
            columns: list[str] = []
            rows: list[Any] = []
            for step, (text, params) in enumerate(request["steps"]):  # noqa: B007 - the error names the step
                result = self._connection.execute(text, params)
                if isinstance(result, list):
                    result = result[-1]
                columns, rows = result.get_column_names(), result.get_all()
                result.close()
        except (RuntimeError, MemoryError, TypeError, ValueError, OverflowError) as exc:
            return {"error": f"{type(exc).__name__}: {exc}"[:2000], "step": step}
        return {"columns": columns, "rows": rows}


def _watch_parent(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_PARENT_CHECK_S)
    os._exit(0)


def main() -> None:
    """Serve requests until the parent goes away."""
    parent_pid, buffer_mb, room_mb = (int(word) for word in sys.argv[1:4])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches the whole group; the parent closes us
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    source, sink = sys.stdin.buffer, sys.stdout.buffer

    def read() -> None:
        while (message := read_message(source)) is not None:
            requests.put(message)
        os._exit(0)  # the parent is gone: the engine may be busy, so nothing is waited for

    engine = _Engine(buffer_mb)
    threading.Thread(target=read, name="requests", daemon=True).start()
    threading.Thread(target=_watch_parent, args=(parent_pid,), name="parent", daemon=True).start()
    _cap_memory(room_mb)
    write_message(sink, {"columns": [], "rows": []})
    while True:
        write_message(sink, engine.answer(requests.get()))


if __name__ == "__main__":
    main()
