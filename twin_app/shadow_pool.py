"""A few warm child processes that run what-ifs: bounded, watched, ended when idle, killed when they do not obey.

One arm (a seed, with or without the change) is one piece of work, so that a what-if uses many processes and several
what-ifs take turns. Proposals that are judged go first: a part of the places, and one process of several, is theirs
alone, so that nobody who plays with what-ifs keeps a change from being tried out. A child that dies costs the run that
it was part of; the next one starts another.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import pickle
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from twin.errors import Cancelled, Overloaded, ShadowUnavailable, TwinError
from twin.what_if import Arm, compare
from twin_app.shadow_messages import LENGTH, CallOff, City, Job, RunArm, frame_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from twin.what_if_report import Fidelity, WhatIfReport

MAX_JOBS = 16
"""What-ifs that may run or wait at once, proposals that are judged included."""
FOR_JUDGING = 4
"""Of these, how many only proposals may take."""
OBEY_S = 1.0
"""How long a child may take to stop what was called off; then it is killed."""

_log = structlog.get_logger("twin_app.shadow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place for one what-if.

    Attributes:
        judging: It judges a proposal.
    """

    judging: bool


class ShadowPool:
    """Runs what-ifs for all scenes of a twin.

    Args:
        workers: Processes at most; they start with the first what-if.
        memory_mb: What each may use; 0 = no limit.
        idle_s: After this long without work a process ends and gives its memory back.
        log_path: Where the children write what they have to say.
        max_jobs: What-ifs that may run or wait at once.
        for_judging: Of these, how many only proposals may take.
    """

    def __init__(
        self,
        *,
        workers: int,
        memory_mb: int,
        idle_s: float,
        log_path: Path,
        max_jobs: int = MAX_JOBS,
        for_judging: int = FOR_JUDGING,
    ) -> None:
        self._workers = [_Worker(memory_mb=memory_mb, log_path=log_path) for _ in range(workers)]
        self._free = _Free(self._workers)
        self._max_jobs, self._for_judging = max_jobs, for_judging
        self._idle_s = idle_s
        self._settling: set[asyncio.Task[None]] = set()
        self._jobs = 0
        self._closed = False

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the children that run."""
        return tuple(worker.pid for worker in self._workers if worker.pid is not None)

    @contextlib.contextmanager
    def place(self, *, judging: bool = False) -> Generator[Place]:
        """Take a place in the pool before anything costly is done for a what-if.

        Raises:
            Overloaded: Too many what-ifs run or wait.
        """
        most = self._max_jobs - (0 if judging else self._for_judging)
        if self._jobs >= most:
            raise Overloaded(f"`{most}` what-ifs run or wait already; try again in a minute")
        self._jobs += 1
        try:
            yield Place(judging=judging)
        finally:
            self._jobs -= 1

    async def run(
        self,
        city: City,
        job: Job,
        *,
        place: Place,
        seeds: Sequence[int],
        fidelity: Fidelity,
        on_progress: Callable[[float], None] | None = None,
    ) -> WhatIfReport:
        """Run both arms with every seed; cancelling the call stops them within a second.

        Raises:
            ShadowUnavailable: A child died or cannot start.
            CorruptStore: The state is of another city. InvalidInput: The network refuses the changes.
        """
        if self._closed:
            raise ShadowUnavailable("the twin ends")
        pieces = [RunArm(job_id=job.id, seed=seed, with_changes=which) for seed in seeds for which in (False, True)]
        shares = dict.fromkeys(pieces, 0.0)

        def tell(piece: RunArm, share: float) -> None:
            shares[piece] = max(shares[piece], share)
            if on_progress is not None:
                on_progress(math.fsum(shares.values()) / len(shares))

        try:
            async with asyncio.TaskGroup() as group:
                tasks = {piece: group.create_task(self._arm(city, job, piece, place, tell)) for piece in pieces}
        except ExceptionGroup as errors:
            raise _first(errors) from None
        arms = {piece: task.result() for piece, task in tasks.items()}
        base, changed = ([arm for piece, arm in arms.items() if piece.with_changes is which] for which in (False, True))
        return await asyncio.to_thread(compare, base, changed, job.look_at, horizon_s=job.horizon_s, fidelity=fidelity)

    async def _arm(
        self, city: City, job: Job, piece: RunArm, place: Place, tell: Callable[[RunArm, float], None]
    ) -> Arm:
        worker = await self._free.take(judging=place.judging)
        try:
            arm = await worker.run(city, job, piece, on_progress=lambda share: tell(piece, share))
        finally:
            # Not awaited here: a call that is cancelled must end at once.
            task = asyncio.create_task(self._settle(worker, job), name="settle shadow process")
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
        tell(piece, 1.0)
        return arm

    async def _settle(self, worker: _Worker, job: Job) -> None:
        await worker.settle(job)
        worker.rest(self._idle_s)
        await self._free.give_back(worker)

    async def close(self) -> None:
        """End all processes."""
        self._closed = True
        for worker in self._workers:
            await worker.end()
        await asyncio.gather(*self._settling, return_exceptions=True)
        for worker in self._workers:
            await worker.end()


class _Free:
    """The workers that have nothing to do: proposals that are judged go first, and one of several waits for them."""

    def __init__(self, workers: Sequence[_Worker]) -> None:
        self._idle = list(workers)
        self._kept = 1 if len(workers) > 1 else 0
        self._judging = 0
        self._changed = asyncio.Condition()

    async def take(self, *, judging: bool) -> _Worker:
        async with self._changed:
            self._judging += judging
            try:
                await self._changed.wait_for(lambda: self._may(judging=judging))
                return self._idle.pop()
            finally:
                self._judging -= judging
                self._changed.notify_all()

    async def give_back(self, worker: _Worker) -> None:
        async with self._changed:
            self._idle.append(worker)
            self._changed.notify_all()

    def _may(self, *, judging: bool) -> bool:
        if judging:
            return bool(self._idle)
        return not self._judging and len(self._idle) > self._kept


class _Worker:
    """One child process, started when there is work."""

    def __init__(self, *, memory_mb: int, log_path: Path) -> None:
        self._memory_mb, self._log_path = memory_mb, log_path
        self._process: asyncio.subprocess.Process | None = None
        self._digest = self._job_id = ""
        self._waits = False
        self._size = 0
        self._resting: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, None while none runs."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def run(self, city: City, job: Job, piece: RunArm, *, on_progress: Callable[[float], None]) -> Arm:
        """Run one arm.

        Raises:
            ShadowUnavailable: The process died. Cancelled, CorruptStore, InvalidInput: What the arm raised.
        """
        if self._resting is not None:
            self._resting.cancel()
        try:
            process = await self._started()
            if self._digest != city.digest:
                await self._send(process, city)
                self._digest, self._job_id = city.digest, ""
            if self._job_id != job.id:
                await self._send(process, job)
                self._job_id = job.id
            self._write(process, frame_of(piece))
            self._waits = True
            while True:
                message = await self._read(process)
                if not isinstance(message, float):
                    break
                on_progress(message)
        except (OSError, asyncio.IncompleteReadError) as exc:
            raise await self._gone() from exc
        self._waits = False
        if isinstance(message, TwinError):
            raise message
        return message

    async def settle(self, job: Job) -> None:
        """Bring the child back to where it takes work; one that does not stop in time is killed."""
        process = self._process
        if process is None or not self._waits:
            return
        self._waits = False
        try:
            async with asyncio.timeout(OBEY_S):
                self._write(process, frame_of(CallOff(job_id=job.id)))
                while isinstance(await self._read(process), float):
                    pass
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            _log.warning("shadow_process_killed", pid=process.pid)
            await self.end()

    def rest(self, idle_s: float) -> None:
        """End the process after a while without work."""
        loop = asyncio.get_running_loop()
        if self._process is not None:
            self._resting = loop.call_later(idle_s, self._let_go)

    def _let_go(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()  # the child ends itself
        self._digest = self._job_id = ""

    async def end(self) -> None:
        """End the process now."""
        process, self._process = self._process, None
        self._digest, self._job_id, self._size = "", "", 0
        if self._resting is not None:
            self._resting.cancel()
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()

    async def _started(self) -> asyncio.subprocess.Process:
        if self.pid is not None and self._process is not None:
            return self._process
        await self.end()
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with self._log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "twin_app.shadow_process",
                "--memory-mb",
                str(self._memory_mb),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C in the terminal is for the parent
            )
        return self._process

    async def _send(self, process: asyncio.subprocess.Process, message: City | Job) -> None:
        """Send what may be large."""
        frame = await asyncio.to_thread(frame_of, message)
        await self._write(process, frame).drain()

    @staticmethod
    def _write(process: asyncio.subprocess.Process, frame: bytes) -> asyncio.StreamWriter:
        assert process.stdin is not None  # noqa: S101 - a pipe by construction
        process.stdin.write(frame)
        return process.stdin

    async def _read(self, process: asyncio.subprocess.Process) -> Any:
        assert process.stdout is not None  # noqa: S101 - a pipe by construction
        if not self._size:
            (self._size,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
        body = await process.stdout.readexactly(self._size)  # may be cancelled here and gone on with
        self._size = 0
        return pickle.loads(body)  # noqa: S301

    async def _gone(self) -> ShadowUnavailable:
        process = self._process
        await self.end()
        self._waits = False
        code = None if process is None else process.returncode
        _log.error("shadow_process_died", exit_code=code, log=str(self._log_path))
        return ShadowUnavailable(
            f"the process of the shadow twin ended with code `{code}`; ask again, another one is started"
        )


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    """Return what went wrong first; that others were called off because of it says nothing."""
    found = list(errors.exceptions)
    return next((one for one in found if not isinstance(one, Cancelled)), found[0])
