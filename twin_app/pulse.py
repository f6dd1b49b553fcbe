"""How the running program feels: event-loop lag and the speed that simulated time really has."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BEAT_S = 0.05
KEEP = 1_200
"""Lags of the last minute."""

SPEED_WINDOW_S = 10.0


class SpeedMeter:
    """Compares the simulated time of one scene with the wall clock.

    Args:
        now_s: Simulated time, None while the scene is away or tells its past: then there is no speed.
    """

    def __init__(self, now_s: Callable[[], float | None]) -> None:
        self._now_s = now_s
        self._marks: deque[tuple[float, float]] = deque()

    def mark(self) -> None:
        """Note both clocks."""
        wall, sim_s = time.monotonic(), self._now_s()
        if sim_s is None:
            self._marks.clear()
            return
        self._marks.append((wall, sim_s))
        while self._marks[0][0] < wall - SPEED_WINDOW_S:
            self._marks.popleft()

    def forget(self) -> None:
        """Start measuring anew."""
        self._marks.clear()

    def speed(self) -> float | None:
        """Return simulated seconds per wall second over the last ten seconds, None before there is a measure."""
        if len(self._marks) < 2 or self._marks[-1][0] - self._marks[0][0] < 1.0:
            return None
        (wall_a, sim_a), (wall_b, sim_b) = self._marks[0], self._marks[-1]
        return round((sim_b - sim_a) / (wall_b - wall_a), 3)


class Pulse:
    """Measures the loop it runs on, and the speed of every scene.

    Attributes:
        lags_s: How late each beat came, newest last.
        meters: One per scene; each is marked at every beat.
    """

    def __init__(self) -> None:
        self.lags_s: deque[float] = deque(maxlen=KEEP)
        self.meters: list[SpeedMeter] = []

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self.lags_s.append(max(0.0, loop.time() - due))
            for meter in self.meters:
                meter.mark()

    def forget(self) -> None:
        """Start measuring anew: building and loading are over."""
        self.lags_s.clear()
        for meter in self.meters:
            meter.forget()

    def lag_ms(self, share: float) -> float:
        """Return a percentile of the lag in milliseconds (`share` 0.5 = median)."""
        if not self.lags_s:
            return 0.0
        ordered = sorted(self.lags_s)
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)
