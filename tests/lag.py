"""How late the loop of a test runs because the machine is busy: no fault of what is tested."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Lag:
    """Attributes:
    worst_s: The latest that a sleep of 10 ms came back.
    """

    worst_s = 0.0

    async def measure(self) -> None:
        while True:
            begun_s = time.monotonic()
            await asyncio.sleep(0.01)
            self.worst_s = max(self.worst_s, time.monotonic() - begun_s - 0.01)


@asynccontextmanager
async def lag() -> AsyncIterator[Lag]:
    """Measure while the block runs."""
    measured = Lag()
    task = asyncio.create_task(measured.measure())
    try:
        yield measured
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
