"""Shipped fakes of ports: they pass the contract suites, so a test of your own may stand on them.

They keep everything in RAM and compute synchronously. Belongs to the core: numpy and the standard library only.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.entities import Kind
from twin.errors import InvalidInput, UnknownName
from twin.kpi import Kpi, kpis_of
from twin.kpi import kpi as kpi_row
from twin.periods import PeriodIndex, Rows, choose_granularity, intersect, runs, to_bins, to_ms
from twin.telemetry import Series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from twin.periods import Interval
    from twin.telemetry import PmReport, TelemetryBatch
    from twin.topology import Topology


class MemoryJournal:
    """A journal that forgets when the program ends."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str]] = []

    async def append(self, kind: str, facts: Sequence[Mapping[str, Any]]) -> int:
        """Store facts; returns the sequence number of the last.

        Raises:
            InvalidInput: A fact is no JSON object.
        """
        try:
            texts = [json.dumps(dict(fact), allow_nan=False) for fact in facts]
        except (TypeError, ValueError) as exc:
            raise InvalidInput(f"a fact of the kind `{kind}` cannot be written as JSON: {exc}") from exc
        self._rows.extend((kind, text) for text in texts)
        return len(self._rows)

    async def replay(self, kind: str, *, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
        """Return (sequence number, fact) of one kind in order."""
        return [
            (seq, json.loads(text))
            for seq, (row_kind, text) in enumerate(self._rows, start=1)
            if row_kind == kind and seq > after
        ]


GAUGE_PERIOD_S = 0.95
"""Gauges are kept once a second; a tick may come a little early."""

_Key = tuple[int, int, int]


class MemoryTelemetryStore:
    """A telemetry store without a file, for a few entities and hours of one epoch.

    Args:
        topology: The inventory; it does not change.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._reports: dict[_Key, PmReport] = {}
        self._durable: set[_Key] = set()
        self._gauges: list[TelemetryBatch] = []
        self._position_m: dict[int, NDArray[np.float32]] = {}
        self._moved_s = float("nan")

    async def append_pm(self, reports: Sequence[PmReport]) -> int:
        """Store reports; returns how many were new."""
        before = len(self._durable)
        for report in reports:
            self._reports.setdefault(_key(report), report)
            self._durable.add(_key(report))
        return len(self._durable) - before

    def put_pm(self, report: PmReport) -> None:
        """Keep a live report."""
        self._reports.setdefault(_key(report), report)

    def put_telemetry(self, batch: TelemetryBatch) -> None:
        """Keep gauges of UEs, one batch a second for ten minutes, and where each UE is."""
        if batch.position_m is not None:
            self._position_m.update(zip(batch.entity_index.tolist(), batch.position_m, strict=True))
            self._moved_s = batch.sim_time_s
        if batch.kpis and (not self._gauges or batch.sim_time_s - self._gauges[-1].sim_time_s >= GAUGE_PERIOD_S):
            self._gauges = [*self._gauges[-599:], batch]

    def latest(self, kind: Kind, kpi: str) -> tuple[float, tuple[str, ...], NDArray[np.float32]]:
        """Return (sim_time_s, entity ids, values) of the newest sample; NaN before the first.

        Raises:
            UnknownName: The kind has no such KPI.
        """
        _check(kind, kpi)
        entities = self._topology.of_kind(kind)
        ids = tuple(entity.id for entity in entities)
        rows = [self._rows(entity.id, kpi) for entity in entities]
        newest = max((int(r.end_ms[-1]) for levels in rows for r in levels if r.end_ms.size), default=None)
        values = np.full(len(ids), np.nan, np.float32)
        if newest is None:
            return float("nan"), ids, values
        for at, levels in enumerate(rows):
            for r in levels:
                if r.end_ms.size and r.end_ms[-1] == newest:
                    values[at] = r.value[-1]
        return newest / 1000.0, ids, values

    def positions(self) -> tuple[float, tuple[str, ...], NDArray[np.float32]]:
        """Return (sim_time_s, UE ids, ENU metres) of the newest batch."""
        ues = self._topology.of_kind(Kind.UE)
        nowhere = np.full(3, np.nan, np.float32)
        position_m = [self._position_m.get(entity.index, nowhere) for entity in ues]
        return self._moved_s, tuple(e.id for e in ues), np.array(position_m, np.float32).reshape(len(ues), 3)

    async def series(
        self, entity_id: str, kpi: str, *, start_s: float, end_s: float, granularity_s: int | None = None
    ) -> Series:
        """Return one KPI of one entity in (start, end].

        Raises:
            UnknownEntity, UnknownName, InvalidInput.
        """
        row = _check(self._topology.get(entity_id).kind, kpi)
        interval = _interval(start_s, end_s)
        parts, left = self._split(entity_id, kpi, interval)
        finest_s = max((rows.granularity_s for rows, pieces in parts if pieces), default=1)
        step_s = choose_granularity(interval, finest_s=finest_s, asked_s=granularity_s)
        time_s, value = to_bins(parts, interval=interval, granularity_s=step_s, reduce=row.reduce)
        return Series(
            entity_id=entity_id,
            kpi=kpi,
            granularity_s=step_s,
            time_s=time_s,
            value=value,
            gaps=tuple((a / 1000.0, b / 1000.0) for a, b in left if not (b == interval[1] and b - a < finest_s * 1000)),
        )

    async def window(
        self, kind: Kind, kpi: str, *, start_s: float, end_s: float
    ) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """Return (ids, values) of the KPI reduced over (start, end] for every entity of the kind."""
        row = _check(kind, kpi)
        interval = _interval(start_s, end_s)
        ids = tuple(entity.id for entity in self._topology.of_kind(kind))
        values = np.full(len(ids), np.nan, np.float32)
        for at, entity_id in enumerate(ids):
            total, seconds = -math.inf if row.reduce == "max" else 0.0, 0.0
            for rows, pieces in self._split(entity_id, kpi, interval)[0]:
                period = rows.granularity_s * 1000
                for low, high in pieces:
                    share = np.minimum(rows.end_ms, high) - np.maximum(rows.end_ms - period, low)
                    good = (share > 0) & np.isfinite(rows.value)
                    scale = 1000.0 if row.reduce == "mean" else float(period)
                    if row.reduce == "max":
                        total = max(total, float(rows.value[good].max(initial=-math.inf)))
                    else:
                        total += float((share[good] / scale * rows.value[good].astype(float)).sum())
                    seconds += float(share[good].sum()) / 1000.0
            if seconds > 0:
                values[at] = total / seconds if row.reduce == "mean" else total
        return ids, values

    async def coverage(self) -> tuple[float, float] | None:
        """Return the first and last simulated time for which there is any history, None when empty."""
        if not self._reports:
            return None
        ends = [end for _, _, end in self._reports]
        starts = [end - granularity_s * 1000 for _, granularity_s, end in self._reports]
        return min(starts) / 1000.0, max(ends) / 1000.0

    def _rows(self, entity_id: str, kpi: str) -> list[Rows]:
        """Return what is known of one KPI of one entity, per granularity, finest first."""
        entity = self._topology.get(entity_id)
        found: dict[int, dict[int, float]] = {}
        if entity.kind is Kind.UE:
            for batch in self._gauges:
                value = _cell_of(batch.entity_index, batch.kpis, batch.values, entity.index, kpi)
                found.setdefault(1, {})[to_ms(batch.sim_time_s)] = value
        else:
            for (_, granularity_s, end_ms), report in self._reports.items():
                value = _cell_of(report.entity_index, report.counters, report.values, entity.index, kpi)
                found.setdefault(granularity_s, {})[end_ms] = value
        return [
            Rows(
                granularity_s=granularity_s,
                end_ms=np.array(sorted(values), np.int64),
                value=np.array([values[end] for end in sorted(values)], np.float32),
            )
            for granularity_s, values in sorted(found.items())
        ]

    def _split(
        self, entity_id: str, kpi: str, interval: Interval
    ) -> tuple[list[tuple[Rows, list[Interval]]], list[Interval]]:
        """Return what to read from which granularity, the finest that has it, and what nobody has."""
        parts: list[tuple[Rows, list[Interval]]] = []
        left = [interval]
        for rows in self._rows(entity_id, kpi):
            ends = PeriodIndex(rows.granularity_s, rows.end_ms.tolist()).within(interval)
            inside, left = intersect(left, runs(ends, rows.granularity_s))
            parts.append((rows, inside))
        return parts, left


def _key(report: PmReport) -> _Key:
    return report.epoch, report.granularity_period_s, to_ms(report.period_end_sim_time_s)


def _cell_of(
    index: NDArray[np.uint32], kpis: tuple[str, ...], values: NDArray[np.float32], entity_index: int, kpi: str
) -> float:
    row = np.flatnonzero(index == entity_index)
    return float(values[row[0], kpis.index(kpi)]) if row.size and kpi in kpis else float("nan")


def _check(kind: Kind, name: str) -> Kpi:
    row = kpi_row(name)
    if kind not in row.kinds:
        raise UnknownName(f"a {kind.value} has no `{name}`; it has {', '.join(k.name for k in kpis_of(kind))}")
    return row


def _interval(start_s: float, end_s: float) -> Interval:
    if end_s <= start_s:
        raise InvalidInput(f"an interval ends after it starts; `{start_s:g}` to `{end_s:g}` does not")
    return to_ms(start_s), to_ms(end_s)
