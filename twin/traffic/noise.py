"""Slow random change of demand: log-AR(1) noise that is a function of time alone."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS_PER_MEMORY = 16
"""Grid points per memory; between two of them a straight line, scaled to unit variance."""
LEVELS = 8
"""Halvings from anchor to grid: anchors stand 16 memories apart, where the correlation is 1e-7."""
KEPT = 64
"""Grid points kept; a moment needs two, and each new one at most nine ancestors."""


class Drift:
    """A stationary first-order autoregression (unit variance) for each of many things, at any time in any order.

    Independent normal draws stand at anchors so far apart that they know nothing of each other; the points between
    are drawn at the middle of two known ones, given both (the bridge of an AR(1) process), halving until the grid is
    reached. Every draw comes from a counter-based generator at (key, number of the point): past and present join
    without a seam, and nothing has to be replayed.

    Args:
        size: How many things.
        memory_s: Time in which the correlation falls to 1/e.
        rng: Gives the key.
    """

    def __init__(self, size: int, *, memory_s: float, rng: np.random.Generator) -> None:
        self._size, self._step_s = size, memory_s / STEPS_PER_MEMORY
        self._key = int(rng.integers(0, 2**63))
        self._known: OrderedDict[int, NDArray[np.float32]] = OrderedDict()

    def at(self, sim_time_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the states at the given times, ``[num_times, size] float32``."""
        place = np.asarray(sim_time_s, dtype=np.float64) / self._step_s
        low = np.floor(place).astype(np.int64)
        part = (place - low).astype(np.float32)[:, None]
        before = np.stack([self._point(int(number)) for number in low])
        after = np.stack([self._point(int(number) + 1) for number in low])
        alike = np.float32(np.exp(-1.0 / STEPS_PER_MEMORY))
        spread = np.sqrt((1 - part) ** 2 + part**2 + 2 * alike * part * (1 - part))
        return ((before * (1 - part) + after * part) / spread).astype(np.float32)

    def _point(self, number: int) -> NDArray[np.float32]:
        if number in self._known:
            self._known.move_to_end(number)
            return self._known[number]
        philox = np.random.Philox(key=np.array([self._key, number % 2**64], dtype=np.uint64))
        value = np.random.Generator(philox).standard_normal(self._size, dtype=np.float32)
        if number % (1 << LEVELS):
            apart = number & -number
            r = float(np.exp(-apart / STEPS_PER_MEMORY))
            value *= np.float32(np.sqrt((1 - r * r) / (1 + r * r)))
            value += np.float32(r / (1 + r * r)) * (self._point(number - apart) + self._point(number + apart))
        self._known[number] = value
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return value


def spread_factor(state: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Return a positive factor of mean about 1 from a standard normal state; tails cut at 2.5 sigma."""
    return np.exp(np.float32(sigma) * np.clip(state, -2.5, 2.5) - np.float32(sigma * sigma / 2))
