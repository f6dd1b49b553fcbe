"""The parent's end of the engine process: start it, ask it, kill it.

Blocking; one worker thread owns it (:mod:`knowledge_graph.embedded`). Only :meth:`ChildLink.kill` may be called from
another thread: that is how a deadline ends a request that the engine does not give up.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from knowledge_graph.child import read_message, write_message
from twin.errors import GraphUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Step = tuple[str, "Mapping[str, Any]"]
"""One statement with its parameters."""

_STDERR_TAIL_BYTES = 2000


class EngineError(Exception):
    """The engine refused a statement; the process lives on."""


class ChildLink:
    """One engine process.

    Args:
        memory_limit_mb: Half of it caps the engine's buffer pool, half what it allocates beside the pool.
    """

    def __init__(self, *, memory_limit_mb: int) -> None:
        half = max(64, memory_limit_mb // 2)
        self._stderr: BinaryIO = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - lives as long as the process
        root = str(Path(__file__).resolve().parent.parent)
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(  # noqa: S603 - our own module under our own interpreter
            [sys.executable, "-m", "knowledge_graph.child", str(os.getpid()), str(half), str(half)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            # One arena: each further one takes 64 MB of the addresses that the memory limit counts.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MALLOC_ARENA_MAX": "1"},
        )
        self._to_child = cast("BinaryIO", self._process.stdin)
        self._from_child = cast("BinaryIO", self._process.stdout)
        try:
            self._answer()  # the process says when the engine is open
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process id of the engine."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def ask(self, steps: Sequence[Step], *, timeout_ms: int, reset: bool = False) -> tuple[list[str], list[list[Any]]]:
        """Run the steps in order and return columns and rows of the last; `reset` empties the graph first.

        The engine tries to stop a step after `timeout_ms`; 0 = never.

        Raises:
            EngineError: The engine refused a step (also when `timeout_ms` ran out and it could stop by itself).
            GraphUnavailable: The process died.
        """
        try:
            write_message(self._to_child, {"reset": reset, "timeout_ms": timeout_ms, "steps": list(steps)})
        except (OSError, ValueError) as exc:
            raise self._gone() from exc
        return self._answer()

    def _answer(self) -> tuple[list[str], list[list[Any]]]:
        try:
            answer = read_message(self._from_child)
        except (OSError, ValueError) as exc:
            raise self._gone() from exc
        if answer is None:
            raise self._gone()
        if "error" in answer:
            raise EngineError(answer["error"])
        return answer["columns"], answer["rows"]

    def _gone(self) -> GraphUnavailable:
        self._process.kill()
        code = self._process.wait()
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - _STDERR_TAIL_BYTES))
        said = self._stderr.read().decode(errors="replace").strip()
        return GraphUnavailable(
            f"the graph engine ended with code `{code}`{': ' + said if said else ''}; it is started again, so ask"
            " once more"
        )

    def wait(self) -> int:
        """Return the exit code once the process has ended."""
        return self._process.wait()

    def kill(self) -> None:
        """End the process at once; a request in flight then raises GraphUnavailable in the owning thread."""
        self._process.kill()

    def close(self) -> None:
        """End the process and give its files back."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):  # bytes that a dead child never read
            self._to_child.close()
        self._from_child.close()
        self._stderr.close()
