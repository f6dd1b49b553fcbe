"""What to read from where: splits an interval over the RAM ring and the tables of the history file.

Pure: works on intervals and period ends only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.periods import intersect, runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.periods import Interval
    from twin_app.store.history import Coverage

LIVE = 0
"""Stands for the RAM ring where a granularity names a table."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Live:
    """What the ring holds: the ends of its periods and their length."""

    ends_ms: NDArray[np.int64]
    granularity_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """How finely an interval is known.

    Attributes:
        granularity_s: The finest that holds for all of it that is known.
        gaps: Where there is no report at all.
    """

    granularity_s: int
    gaps: tuple[Interval, ...]


def resolution(coverage: Coverage, live: Live, interval: Interval) -> Resolution:
    """Return how finely the interval is known, and its gaps."""
    covered, left = intersect([interval], runs(live.ends_ms, live.granularity_s))
    needed_s = live.granularity_s if covered else 0
    for level_s in coverage.levels():
        inside, left = intersect(left, _own(coverage, level_s, interval, covered))
        if inside:
            needed_s = max(needed_s, level_s)
            covered = sorted([*covered, *inside])
    # A tail shorter than a period is the period that is still being measured, not a gap.
    tail_ms = max(needed_s, 1) * 1000
    gaps = [(a, b) for a, b in left if b - a >= 1000 and not (b == interval[1] and b - a < tail_ms)]
    return Resolution(granularity_s=max(needed_s, 1), gaps=tuple(gaps))


def plan(coverage: Coverage, live: Live, interval: Interval, *, step_s: int | None) -> list[tuple[int, list[Interval]]]:
    """Return which intervals to read from which source, none twice.

    The ring first; then the coarsest tables that still fit into steps of `step_s`, whole periods only, because a
    reduced period says the same as the finer rows below it and is cheaper; then, for the edges, the finest.
    """
    pieces: dict[int, list[Interval]] = {}
    inside, left = intersect([interval], runs(live.ends_ms, live.granularity_s))
    if inside:
        pieces[LIVE] = inside
    levels = coverage.levels()
    for level_s in reversed([s for s in levels if step_s is None or s <= step_s]):
        ends = coverage.within(level_s, interval)
        inside, left = intersect(left, runs(_whole(ends, level_s, left), level_s))
        pieces.setdefault(level_s, []).extend(inside)
    covered = sorted(piece for found in pieces.values() for piece in found)
    for level_s in levels:
        inside, left = intersect(left, _own(coverage, level_s, interval, covered))
        pieces.setdefault(level_s, []).extend(inside)
        covered = sorted([*covered, *inside])
    return [(source, sorted(found)) for source, found in pieces.items() if found]


def _whole(ends_ms: NDArray[np.int64], granularity_s: int, left: list[Interval]) -> NDArray[np.int64]:
    """Return the periods that lie wholly inside one of the intervals."""
    keep = np.zeros(ends_ms.size, np.bool_)
    for low, high in left:
        keep |= (ends_ms - granularity_s * 1000 >= low) & (ends_ms <= high)
    return ends_ms[keep]


def _own(coverage: Coverage, level_s: int, interval: Interval, covered: list[Interval]) -> list[Interval]:
    """Return what one table covers by itself.

    A period that was reduced here from finer ones does not fill the holes between those: where its sources are
    still there, it knows no more than they do.
    """
    ends: list[NDArray[np.int64]] = []
    if level_s in coverage.reported:
        ends.append(coverage.reported[level_s].within(interval))
    if level_s in coverage.derived:
        derived = coverage.derived[level_s].within(interval)
        lows = np.array([low for low, _ in covered], np.int64)
        highs = np.array([high for _, high in covered], np.int64)
        # Number of covered pieces that begin before the period's end minus those that end before its start.
        overlap = np.searchsorted(lows, derived, "left") - np.searchsorted(highs, derived - level_s * 1000, "right")
        ends.append(derived[overlap <= 0])
    return runs(np.unique(np.concatenate(ends)), level_s) if ends else []
