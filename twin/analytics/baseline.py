"""What is normal: the level of every (entity, KPI) by hour of the day, on working days and at weekends.

Learned from hourly means; median and MAD, so that a fault in the past does not become normal. Arrays are
``[num_phases, days, num_entities, num_kpis]``: 24 hours of a working day, then 24 of a weekend day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.clock import CivilTime

PHASES = 48
MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

POOL_HOURS = 2
"""The scale of an hour is taken over this many hours on either side."""


def phase_of(civil: CivilTime, time_s: float) -> int:
    """Return the phase 0..47 that a simulated time lies in, by the civil clock of the city."""
    moment = civil.at(time_s)
    return moment.hour + (24 if moment.weekday() >= 5 else 0)


class Baseline:
    """Level and spread per phase.

    Args:
        shape: (num_entities, num_kpis).
        days: Days remembered per phase; the oldest is overwritten.
    """

    def __init__(self, shape: tuple[int, int], *, days: int) -> None:
        self.days = days
        self.past = np.full((PHASES, days, *shape), np.nan, np.float32)
        self.written = np.zeros(PHASES, np.int64)
        self.centre = np.full((PHASES, *shape), np.nan, np.float32)
        self.scale = np.full((24, *shape), np.nan, np.float32)
        self._stale: set[int] = set()

    @property
    def hours(self) -> int:
        """How many hourly means have been learned."""
        return int(self.written.sum())

    def add(self, phase: int, hourly_mean: NDArray[np.float32]) -> None:
        """Learn one hour, ``[num_entities, num_kpis]``; NaN = not known."""
        self.past[phase, self.written[phase] % self.days] = hourly_mean
        self.written[phase] += 1
        self._stale.add(phase)

    def refresh(self) -> None:
        """Bring level and spread up to date with what was added; only the hours that changed are computed."""
        if not self._stale:
            return
        for phase in self._stale:
            self.centre[phase] = nanmedian(self.past[phase])
        changed = {phase % 24 for phase in self._stale}
        around = {(hour + d) % 24 for hour in changed for d in range(-POOL_HOURS, POOL_HOURS + 1)}
        for hour in around:
            hours = [(hour + d) % 24 for d in range(-POOL_HOURS, POOL_HOURS + 1)]
            phases = hours + [h + 24 for h in hours]
            off = self.past[phases] - self.centre[phases][:, None]
            # An hour seen once or twice lies on its own median: it would claim that nothing ever varies.
            known = np.isfinite(self.past[phases]).sum(axis=1, keepdims=True) >= 3
            off = np.where(known, off, np.float32(np.nan))
            self.scale[hour] = MAD_TO_SIGMA * nanmedian(np.abs(off.reshape(-1, *off.shape[2:])))
        self._stale.clear()

    def expected(self, civil: CivilTime, centre_s: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return level and spread at a moment, each ``[num_entities, num_kpis]``; NaN where nothing is known.

        Hourly means stand for the middle of their hour; in between the level is interpolated.
        """
        before, after = phase_of(civil, centre_s - 1800.0), phase_of(civil, centre_s + 1800.0)
        moment = civil.at(centre_s - 1800.0)
        share = (moment.minute * 60 + moment.second + moment.microsecond / 1e6) / 3600.0
        low, high = self._known(before), self._known(after)
        level = low + np.float32(share) * (high - low)
        level = np.where(np.isfinite(level), level, np.where(np.isfinite(low), low, high))
        return level, np.fmax(self.scale[before % 24], self.scale[after % 24])

    def _known(self, phase: int) -> NDArray[np.float32]:
        """Return the level of a phase; one never seen borrows from the other kind of day, then from all hours."""
        level = self.centre[phase]
        if not np.isnan(level).any():
            return level
        other = self.centre[(phase + 24) % PHASES]
        return np.where(np.isfinite(level), level, np.where(np.isfinite(other), other, nanmedian(self.centre)))


def nanmedian(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median over the first axis without NaN; NaN where there is nothing (numpy would warn)."""
    ordered = np.sort(values, axis=0)  # NaN sorts last
    count = np.isfinite(values).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.maximum(count, 1) // 2
    low_value = np.take_along_axis(ordered, low[None], axis=0)[0]
    high_value = np.take_along_axis(ordered, np.minimum(high, np.maximum(count - 1, 0))[None], axis=0)[0]
    return np.where(count > 0, 0.5 * (low_value + high_value), np.float32(np.nan)).astype(np.float32)
