"""Scene processes as children: started, watched, started again when they die, never left behind.

The child holds the reading end of a pipe whose writing end only this process has; when this process dies, even
by SIGKILL, the pipe closes and the child ends itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
STEADY_S = 30.0
"""A child that lived this long starts again with the first pause."""

STOP_S = 3.0
"""How long a child may take to end when asked."""

_log = structlog.get_logger("twin_app.children")


class SceneChild:
    """Keeps one scene process running.

    Attributes:
        restarts: How often it had to be started again.
        pid: Process id while it runs.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        log_path: Path,
        on_exit: Callable[[int], None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.restarts = 0
        self.pid: int | None = None
        self._environment = dict(environment or {})
        self._arguments = tuple(arguments)
        self._log_path = log_path
        self._on_exit = on_exit
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Start the process and keep it running in the background."""
        self._task = asyncio.create_task(self._keep(), name="scene child")

    async def stop(self) -> None:
        """Ask the process to end, kill it if it does not."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                _log.warning("scene_killed", pid=process.pid)
                process.kill()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        killed = False
        while not self._stopping:
            born = time.monotonic()
            code = await self._run_once(*(("--takeover",) if killed else ()))
            # What a killed process held is still its own for a while, and nobody is there to give it back.
            killed = code < 0
            if self._stopping:
                return
            self.restarts += 1
            self._on_exit(code)
            if time.monotonic() - born > STEADY_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run_once(self, *more: str) -> int:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **self._environment}
        with self._log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *self._arguments,
                *more,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C in the terminal is for the parent, who ends the child in order
            )
            self.pid = self._process.pid
            try:
                return await self._process.wait()
            finally:
                self.pid = None
