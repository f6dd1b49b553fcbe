"""The one owner of the engine process: a worker thread, a bounded queue, deadlines, and a new engine after a death.

Every request runs in the worker, one at a time. Its caller is answered at the deadline at the latest; a request that
the engine does not give up by itself costs the engine its life, and a fresh one is filled again before the next
request runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from knowledge_graph.child_link import ChildLink, EngineError
from twin.errors import DeadlineExceeded, GraphUnavailable, InvalidInput, Overloaded, TwinError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_QUEUED = 1024
"""Requests that may wait; more are refused."""

FILL_DEADLINE_S = 30.0
"""How long starting and filling an engine may take."""

_RETRY_AFTER_S = 1.0
_SOFT = 0.8
"""Share of the deadline after which the engine tries to stop a query by itself, which spares the process."""


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[ChildLink, int], Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    deadline_s: float
    must_run: bool
    expired: bool = False
    done: bool = False


@dataclass(slots=True)
class EngineCounts:
    """What happened since the start."""

    restarts: int = 0
    deadlines: int = 0
    refused: int = 0
    fill_s: float = 0.0
    last_error: str = ""


@dataclass(slots=True)
class EngineOwner:
    """Runs work on an engine that may die.

    Attributes:
        fill: Called in the worker with every fresh engine; puts everything into it.
        memory_limit_mb: See :class:`ChildLink`.
    """

    fill: Callable[[ChildLink], None]
    memory_limit_mb: int
    counts: EngineCounts = field(default_factory=EngineCounts)
    state: Literal["closed", "ok", "rebuilding", "down"] = "closed"
    _link: ChildLink | None = None
    _current: _Job | None = None
    _queued: int = 0
    _failed_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _executor: ThreadPoolExecutor | None = None

    @property
    def queued(self) -> int:
        """Requests waiting or running."""
        return self._queued

    @property
    def pid(self) -> int | None:
        """Process id of the engine, None when there is none."""
        link = self._link
        return link.pid if link is not None else None

    async def start(self) -> None:
        """Start the first engine.

        Raises:
            GraphUnavailable: It does not come up; the message says why.
        """
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="graph")
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._renew)
        except TwinError:
            await self.close()
            raise

    async def close(self) -> None:
        """End the engine; requests that wait get GraphUnavailable."""
        executor = self._executor
        with self._lock:
            self.state = "closed"
            self._executor = None
            link = self._link
        if link is not None:
            link.kill()
        if executor is not None:
            await asyncio.to_thread(executor.shutdown, wait=True)
        with self._lock:
            link, self._link = self._link, None  # perhaps one that came up meanwhile
            self.state = "closed"
        if link is not None:
            link.close()

    def check_room(self) -> None:
        """Raise unless a request can be taken.

        Raises:
            GraphUnavailable: Not started or closed. Overloaded: The queue is full.
        """
        if self._executor is None:
            raise GraphUnavailable("the graph is closed; call `start` first")
        if self._queued >= MAX_QUEUED:
            self.counts.refused += 1
            raise Overloaded(f"`{self._queued}` graph requests are waiting; try again in a moment")

    async def run(self, work: Callable[[ChildLink, int], Any], *, deadline_s: float, must_run: bool = False) -> Any:
        """Run `work` in the worker and return what it returns; `must_run` work is done even when its caller has left.

        `work` gets the engine and the milliseconds after which that should stop a query by itself.

        Raises:
            GraphUnavailable: Closed, or the engine died meanwhile. DeadlineExceeded. Overloaded.
            InvalidInput: The engine refused the statement.
        """
        self.check_room()
        executor = self._executor
        assert executor is not None  # noqa: S101 - check_room says so
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future(), deadline_s, must_run)
        timer = loop.call_later(deadline_s, self._expire, job)
        with self._lock:
            self._queued += 1
        executor.submit(self._do, job)
        try:
            return await job.answer
        finally:
            if job.done:  # a caller who leaves early must not take the guard along
                timer.cancel()

    def _expire(self, job: _Job) -> None:
        with self._lock:
            if job.done:
                return
            job.expired = True
            self.counts.deadlines += 1
            running = self._current is job
            if running and self._link is not None:
                self._link.kill()
        if not job.answer.done():
            where = "its engine is started again" if running else "it was waiting for others"
            job.answer.set_exception(
                DeadlineExceeded(f"the graph did not answer within `{job.deadline_s:g} s`; {where}")
            )

    def _settle(self, job: _Job, result: Any, error: BaseException | None) -> None:
        def tell() -> None:
            if not job.answer.done():
                if error is None:
                    job.answer.set_result(result)
                else:
                    job.answer.set_exception(error)

        with self._lock:
            job.done = True
            self._current = None
        with contextlib.suppress(RuntimeError):  # the loop is gone, and with it whoever asked
            job.loop.call_soon_threadsafe(tell)

    def _do(self, job: _Job) -> None:
        result, error = None, None
        try:
            if (job.expired or job.answer.cancelled()) and not job.must_run:
                return
            if job.expired:  # the first guard is spent
                job.loop.call_soon_threadsafe(job.loop.call_later, job.deadline_s, self._expire, job)
            link = self._engine()
            with self._lock:
                self._current = job
            result = job.work(link, max(1, int(job.deadline_s * _SOFT * 1000)))
        except EngineError as exc:
            error = self._translate(exc, job)
        except Exception as exc:  # noqa: BLE001 - handed to the caller
            error = exc
        finally:
            with self._lock:
                self._queued -= 1
            self._settle(job, result, error)
        if isinstance(error, GraphUnavailable):
            self._revive()

    def _translate(self, exc: EngineError, job: _Job) -> TwinError:
        said = str(exc)
        if "Interrupted" in said:
            self.counts.deadlines += 1
            return DeadlineExceeded(f"the graph gave the query up after `{job.deadline_s * _SOFT:g} s`")
        if "bad_alloc" in said or "Buffer manager exception" in said or "MemoryError" in said:
            self._kill()  # after a failed allocation nothing in the process is trusted
            return GraphUnavailable(
                f"the query needs more than the `{self.memory_limit_mb} MB` of the graph engine, which is started again"
            )
        return InvalidInput(f"the graph engine refuses the statement: `{said}`")

    def _kill(self) -> None:
        link = self._link
        if link is not None:
            link.kill()
            link.wait()

    def _engine(self) -> ChildLink:
        link = self._link
        if link is not None and link.alive and self.state == "ok":
            return link
        if self._executor is None:
            raise GraphUnavailable("the graph is closed")
        if self._failed_at is not None and time.monotonic() - self._failed_at < _RETRY_AFTER_S:
            raise GraphUnavailable(f"the graph engine does not come up: {self.counts.last_error}")
        return self._renew()

    def _revive(self) -> None:
        """Fill a fresh engine now, so that the next caller need not wait for it; runs in the worker."""
        try:
            self._engine()
        except TwinError:  # kept in counts, raised to whoever asks next
            return

    def _renew(self) -> ChildLink:
        with self._lock:
            old, self._link = self._link, None
            self.state = "rebuilding"
        if old is not None:
            self.counts.restarts += 1
            old.close()
        began = time.monotonic()
        try:
            link = ChildLink(memory_limit_mb=self.memory_limit_mb)
            guard = threading.Timer(FILL_DEADLINE_S, link.kill)
            guard.start()
            try:
                self.fill(link)
            except BaseException:
                link.close()
                raise
            finally:
                guard.cancel()
        except (TwinError, EngineError, OSError) as exc:
            self._failed_at = time.monotonic()
            self.counts.last_error = str(exc)
            self.state = "down"
            raise GraphUnavailable(f"the graph engine does not come up: {exc}") from exc
        with self._lock:
            self._link, self.state = link, "ok"
        self._failed_at = None
        self.counts.fill_s = time.monotonic() - began
        threading.Thread(target=self._mourn, args=(link,), name="graph-child", daemon=True).start()
        return link

    def _mourn(self, link: ChildLink) -> None:
        """Wait for the end of an engine and have it replaced, unless that was wanted."""
        code = link.wait()
        with self._lock:
            executor = self._executor
            if executor is None or self._link is not link:
                return
            self.state = "rebuilding"
            self.counts.last_error = f"the engine ended with code {code}"
        try:
            executor.submit(self._revive)
        except RuntimeError:  # closed in between
            return
