"""One batch in, everyone who must see it: the routing, pure and synchronous.

The async half (queues, threads, journal) is ``twin_app.ingest_service``. What a report is for follows from its
granularity: up to 10 s it is the present (ring, store, detector judges), above it is the past (store, detector
learns).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from twin.entities import Kind
from twin.kpi import KPIS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.analytics.detector import Detector, DetectorEvent
    from twin.telemetry import PmReport, TelemetryBatch
    from twin.topology import Topology

LIVE_S = 10
"""Reports of at most this granularity are the present."""

JUDGE_S = 10
"""Live reports are averaged over this long before the detector judges them."""

WATCHED_KINDS = (Kind.CELL, Kind.SLICE, Kind.LINK)


@dataclass(slots=True)
class SequenceWatch:
    """Counts what arrived, what was lost on the way and what came too late.

    Attributes:
        received: Batches and reports seen.
        missing: Numbers skipped, or periods without a report.
        stale: Arrived after something newer.
    """

    received: int = 0
    missing: int = 0
    stale: int = 0
    _last: dict[tuple[str, int, int], float] = field(default_factory=dict[tuple[str, int, int], float])
    _latest_s: dict[tuple[str, int], float] = field(default_factory=dict[tuple[str, int], float])

    def telemetry(self, batch: TelemetryBatch) -> bool:
        """Note a batch; False when something newer was seen.

        A scene that goes on after a crash may number from 1 again within its epoch: later figures are newer
        whatever their number. Programs that share a scene are counted each for itself.
        """
        key = (batch.source, batch.epoch, 0)
        latest = self._latest_s.get(key[:2])
        if latest is not None and batch.sim_time_s > latest and batch.seq <= self._last.get(key, 0):
            del self._last[key]
        self._latest_s[key[:2]] = max(batch.sim_time_s, batch.sim_time_s if latest is None else latest)
        return self._note(key, float(batch.seq), 1.0)

    def pm(self, report: PmReport) -> bool:
        """Note a report; False when a later or the same period was seen."""
        key = ("", report.epoch, report.granularity_period_s)
        return self._note(key, report.period_end_sim_time_s, float(report.granularity_period_s))

    def _note(self, key: tuple[str, int, int], now: float, step: float) -> bool:
        self.received += 1
        last = self._last.get(key)
        if last is not None and now <= last:
            self.stale += 1
            return False
        if last is not None:
            self.missing += max(0, round((now - last) / step) - 1)
        self._last[key] = now
        return True


class WatchList:
    """Which entities and KPIs the detector sees, and where they stand in a report.

    Args:
        topology: The inventory; a new one is needed only when entities come or go.
    """

    def __init__(self, topology: Topology) -> None:
        entities = [entity for kind in WATCHED_KINDS for entity in topology.of_kind(kind)]
        self.entity_ids = tuple(entity.id for entity in entities)
        self.kpis = tuple(row.name for row in KPIS if row.watched)
        self._row_of_index = np.full(max((entity.index for entity in topology.entities), default=-1) + 1, -1, np.int64)
        self._row_of_index[[entity.index for entity in entities]] = np.arange(len(entities))
        # A KPI that a kind does not have stays NaN even if a scene sends a zero for it.
        self._has = np.array(
            [[entity.kind in row.kinds for row in KPIS if row.watched] for entity in entities], np.bool_
        ).reshape(len(entities), len(self.kpis))

    def values(self, report: PmReport) -> NDArray[np.float32]:
        """Return the watched figures of a report, ``[num_entities, num_kpis] float32``, NaN = not told."""
        values = np.full((len(self.entity_ids), len(self.kpis)), np.nan, np.float32)
        index = report.entity_index.astype(np.int64)
        inside = index < self._row_of_index.size
        row = np.where(inside, self._row_of_index[np.where(inside, index, 0)], -1)
        mine = row >= 0
        for column, name in enumerate(self.kpis):
            if name in report.counters:
                values[row[mine], column] = report.values[mine, report.counters.index(name)]
        return np.where(self._has, values, np.float32(np.nan))


class LiveMeans:
    """Averages live reports over whole detector periods."""

    def __init__(self, period_s: int = JUDGE_S) -> None:
        self.period_s = period_s
        self._slot: int | None = None
        self._total: NDArray[np.float64] | None = None
        self._count: NDArray[np.int64] | None = None

    def add(self, end_s: float, values: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]] | None:
        """Add one period; returns (end of the detector period, means) when that completes or passes one."""
        slot = int(np.ceil(round(end_s, 3) / self.period_s))
        done = None
        if self._slot is not None and slot != self._slot:
            done = self._finish()
        if self._total is None or self._count is None:
            self._total = np.zeros(values.shape)
            self._count = np.zeros(values.shape, np.int64)
        self._slot = slot
        known = np.isfinite(values)
        self._total += np.where(known, values, 0.0)
        self._count += known
        if done is None and end_s >= slot * self.period_s:
            return self._finish()
        return done

    def clear(self) -> None:
        """Forget the period that is being gathered."""
        self._slot, self._total, self._count = None, None, None

    def _finish(self) -> tuple[float, NDArray[np.float32]] | None:
        slot, total, count = self._slot, self._total, self._count
        self.clear()
        if slot is None or total is None or count is None:
            return None
        means = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
        return float(slot * self.period_s), means


class Watcher:
    """Feeds reports to a detector: the past to learn from, the present to judge.

    Args:
        watched: Which figures.
        detector: Over the same entities and KPIs.
    """

    def __init__(self, watched: WatchList, detector: Detector) -> None:
        self.watched = watched
        self.detector = detector
        self._means = LiveMeans()
        self._seen = SequenceWatch()
        self._epoch: int | None = None

    def see(self, reports: Sequence[PmReport]) -> tuple[DetectorEvent, ...]:
        """Return what the detector concludes from reports, in order; those seen before are skipped."""
        events: list[DetectorEvent] = []
        for report in reports:
            if self._epoch is not None and report.epoch > self._epoch:
                self._means.clear()
            self._epoch = max(report.epoch, self._epoch or 0)
            if not self._seen.pm(report):
                continue
            values = self.watched.values(report)
            if report.granularity_period_s > LIVE_S:
                self.detector.learn(report.period_end_sim_time_s, values, granularity_s=report.granularity_period_s)
                continue
            done = self._means.add(report.period_end_sim_time_s, values)
            if done is not None:
                events.extend(self.detector.update(done[0], done[1], period_s=self._means.period_s))
        return tuple(events)
