"""One thread with a bounded queue for everything that blocks: linking, encoder, head."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from twin.errors import Overloaded

_T = TypeVar("_T")


class Worker:
    """Runs functions one after the other off the event loop.

    Args:
        max_waiting: More calls than this are refused, never queued without end.

    Attributes:
        refused: How many calls were refused.
    """

    def __init__(self, name: str, *, max_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._max_waiting = max_waiting
        self._waiting = 0
        self.refused = 0

    async def run(self, function: Callable[[], _T]) -> _T:
        """Return what the function returns.

        Raises:
            Overloaded: Too many are waiting.
        """
        if self._waiting >= self._max_waiting:
            self.refused += 1
            raise Overloaded(f"`{self._waiting}` questions are waiting already; ask again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Let the running call end and drop the waiting ones."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
