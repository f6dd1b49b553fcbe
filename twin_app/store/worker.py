"""One owned thread with a bounded waiting room, for adapters whose library blocks.

The event loop never waits for a disk: an adapter hands its work to its own thread and awaits the result.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from twin.errors import Overloaded, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class WorkerThread:
    """Runs blocking calls one after the other, in the order in which they were asked for.

    Attributes:
        waiting: Calls that have been asked for and are not finished.
    """

    def __init__(self, name: str, *, max_waiting: int = 512) -> None:
        self._name = name
        self._max_waiting = max_waiting
        self._executor: ThreadPoolExecutor | None = None
        self.waiting = 0

    @property
    def running(self) -> bool:
        """Whether calls are accepted."""
        return self._executor is not None

    async def run(self, call: Callable[[], T]) -> T:
        """Run `call` on the thread and return what it returns.

        A caller that is cancelled stops waiting; the call itself is finished all the same.

        Raises:
            Overloaded: The waiting room is full. StoreUnavailable: The thread was stopped.
        """
        if self.waiting >= self._max_waiting:
            raise Overloaded(f"`{self._name}` has `{self.waiting}` calls waiting; try again in a moment")
        if self._executor is None:
            raise StoreUnavailable(f"`{self._name}` is closed; open it before using it")
        self.waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, call)
        future.add_done_callback(self._finished)
        return await asyncio.shield(future)

    def start(self) -> None:
        """Make the thread ready; it starts with the first call."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)

    async def stop(self) -> None:
        """Finish what waits, then end the thread."""
        executor, self._executor = self._executor, None
        if executor is not None:
            await asyncio.to_thread(executor.shutdown, wait=True)

    def _finished(self, future: asyncio.Future[T]) -> None:
        self.waiting -= 1
        if not future.cancelled():
            future.exception()  # a cancelled caller no longer looks; asyncio would warn about it
