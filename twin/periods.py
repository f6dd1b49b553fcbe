"""Periods of measurement: which ones cover an interval, and how they reduce to coarser ones.

Pure arithmetic shared by every telemetry store. Ends of periods are whole milliseconds of simulated time
(``int64``), so that two writers never disagree about a float.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from twin.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MAX_POINTS = 5_000
"""Most points of one series."""

LADDER_S = (1, 10, 60, 300, 900, 3_600, 21_600, 86_400, 604_800)
"""Granularities that a series may have."""

Interval = tuple[int, int]
"""From (exclusive) and to (inclusive), milliseconds."""


def to_ms(time_s: float) -> int:
    """Return simulated seconds as whole milliseconds."""
    return round(time_s * 1000.0)


class PeriodIndex:
    """The period ends of one granularity, sorted and unique; appending at the end is O(1)."""

    def __init__(self, granularity_s: int, ends_ms: Iterable[int] = ()) -> None:
        self.granularity_s = granularity_s
        self._ends: list[int] = sorted(set(ends_ms))

    def __len__(self) -> int:
        return len(self._ends)

    def __contains__(self, end_ms: int) -> bool:
        at = bisect_left(self._ends, end_ms)
        return at < len(self._ends) and self._ends[at] == end_ms

    def add(self, end_ms: int) -> bool:
        """Add a period; False when it was there."""
        at = bisect_left(self._ends, end_ms)
        if at < len(self._ends) and self._ends[at] == end_ms:
            return False
        self._ends.insert(at, end_ms)
        return True

    def drop_through(self, end_ms: int) -> int:
        """Forget periods that end at or before `end_ms`; returns how many."""
        at = bisect_right(self._ends, end_ms)
        del self._ends[:at]
        return at

    def drop_after(self, end_ms: int) -> int:
        """Forget periods that end after `end_ms`; returns how many."""
        at = bisect_right(self._ends, end_ms)
        dropped = len(self._ends) - at
        del self._ends[at:]
        return dropped

    def within(self, interval: Interval) -> NDArray[np.int64]:
        """Return the ends of all periods that overlap the interval."""
        first = bisect_right(self._ends, interval[0])
        last = bisect_left(self._ends, interval[1] + self.granularity_s * 1000)
        return np.array(self._ends[first:last], np.int64)

    @property
    def first_start_ms(self) -> int | None:
        """Where the first period begins, None when there is none."""
        return self._ends[0] - self.granularity_s * 1000 if self._ends else None

    @property
    def last_end_ms(self) -> int | None:
        """Where the last period ends, None when there is none."""
        return self._ends[-1] if self._ends else None


def runs(ends_ms: NDArray[np.int64], granularity_s: int) -> list[Interval]:
    """Return the intervals without holes that periods of one granularity cover."""
    if ends_ms.size == 0:
        return []
    step = granularity_s * 1000
    # Periods that overlap (a scene that resumed off the grid) still form one run; only a hole breaks it.
    breaks = np.flatnonzero(np.diff(ends_ms) > step)
    firsts = ends_ms[np.concatenate(([0], breaks + 1))] - step
    lasts = ends_ms[np.concatenate((breaks, [ends_ms.size - 1]))]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def intersect(wanted: list[Interval], covered: list[Interval]) -> tuple[list[Interval], list[Interval]]:
    """Split `wanted` into what `covered` covers and what is left; both sorted and disjoint."""
    inside: list[Interval] = []
    outside: list[Interval] = []
    for start, end in wanted:
        at = start
        for low, high in covered:
            if high <= at:
                continue
            if low >= end:
                break
            if low > at:
                outside.append((at, low))
            inside.append((max(low, at), min(high, end)))
            at = min(high, end)
        if at < end:
            outside.append((at, end))
    return inside, outside


def choose_granularity(interval: Interval, *, finest_s: int, asked_s: int | None) -> int:
    """Return the granularity in which to answer: as asked, else the finest with at most 5,000 points.

    Args:
        finest_s: What the coarsest stored part of the interval allows.

    Raises:
        InvalidInput: The asked one is no positive number, or gives too many points.
    """
    span_s = (interval[1] - interval[0]) / 1000.0
    if asked_s is not None:
        if asked_s < 1:
            raise InvalidInput(f"`{asked_s}` is no granularity; write whole seconds from 1 up")
        if span_s / asked_s > MAX_POINTS:
            raise InvalidInput(
                f"`{asked_s}` s over {span_s:.0f} s are more than {MAX_POINTS} points; ask for a shorter time or at"
                f" least `{next((g for g in LADDER_S if span_s / g <= MAX_POINTS), LADDER_S[-1])}` s"
            )
        return max(asked_s, finest_s)
    for granularity_s in LADDER_S:
        if granularity_s >= finest_s and span_s / granularity_s <= MAX_POINTS:
            return granularity_s
    raise InvalidInput(f"`{span_s:.0f}` s are too long for one series; ask for a shorter time")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Values of one KPI of one entity, as stored.

    Attributes:
        granularity_s: Length of each period.
        end_ms: ``[n] int64`` ends.
        value: ``[n] float32``, NaN = missing.
    """

    granularity_s: int
    end_ms: NDArray[np.int64]
    value: NDArray[np.float32]


def to_bins(
    parts: list[tuple[Rows, list[Interval]]],
    *,
    interval: Interval,
    granularity_s: int,
    reduce: Literal["mean", "sum", "max"],
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Reduce stored rows to whole periods of one granularity.

    Each part is used only inside its intervals; a row that sticks out counts with the share that lies inside
    (mean: weighted by time; sum: in proportion; maximum: whole). A period belongs to the series
    when its end lies in the interval.

    Returns:
        ``[n] float64`` period ends in seconds and ``[n] float32`` values, both for periods with any row.
    """
    step = granularity_s * 1000
    bins: list[NDArray[np.int64]] = []
    weights: list[NDArray[np.float64]] = []
    values: list[NDArray[np.float64]] = []
    for rows, intervals in parts:
        period = rows.granularity_s * 1000
        for low, high in intervals:
            share_ms = np.minimum(rows.end_ms, high) - np.maximum(rows.end_ms - period, low)
            use = (share_ms > 0) & np.isfinite(rows.value)
            bins.append(-(-np.minimum(rows.end_ms[share_ms > 0], high) // step) * step)
            weights.append(np.where(use, share_ms / (1.0 if reduce == "mean" else period), 0.0)[share_ms > 0])
            values.append(np.where(use, rows.value, 0.0)[share_ms > 0].astype(np.float64))
    if not bins:
        return np.empty(0), np.empty(0, np.float32)
    ends, slot = np.unique(np.concatenate(bins), return_inverse=True)
    weight, value = np.concatenate(weights), np.concatenate(values)
    seen = np.bincount(slot, weight, ends.size)
    if reduce == "max":
        total = np.full(ends.size, -np.inf)
        np.maximum.at(total, slot[weight > 0], value[weight > 0])
    else:
        total = np.bincount(slot, weight * value, ends.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = total / seen if reduce == "mean" else np.where(seen > 0, total, np.nan)
    inside = (ends > interval[0]) & (ends <= interval[1])
    return ends[inside] / 1000.0, total[inside].astype(np.float32)
