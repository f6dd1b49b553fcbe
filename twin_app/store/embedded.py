"""The embedded telemetry store: RAM rings for now, a DuckDB file for then, read as one.

Adapter of :class:`twin.ports.TelemetryStore`. `put_*`, `latest` and `positions` touch RAM only; everything that
touches the file runs on the one thread that owns it. Reports that wait for the thread are stored in one commit.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.entities import Kind
from twin.errors import InvalidInput, UnknownName
from twin.kpi import kpi as kpi_row
from twin.kpi import kpis_of
from twin.periods import choose_granularity, to_bins, to_ms
from twin.telemetry import PmReport, Series
from twin_app.store.history import STORED_KINDS, Coverage, HistoryFile
from twin_app.store.reading import LIVE, Live, plan, resolution
from twin_app.store.ring import KindRing, PositionRing
from twin_app.store.upkeep import Upkeep, roll_up
from twin_app.store.worker import WorkerThread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from twin.kpi import Kpi
    from twin.periods import Interval, Rows
    from twin.telemetry import TelemetryBatch
    from twin.topology import Topology

RING_S = 3_600
UE_RING_S = 600
GAUGE_PERIOD_S = 0.95
"""Gauges of UEs are kept once a second; a tick may come a little early."""

_LIVE_S = 10
"""Reports of at most this granularity belong into the ring."""


@dataclass(slots=True)
class _View:
    """The rings of one set of entities; replaced as a whole when the inventory changes."""

    ids: dict[Kind, tuple[str, ...]]
    index: dict[Kind, NDArray[np.int64]]
    rings: dict[Kind, KindRing]
    positions: PositionRing
    id_of_index: NDArray[np.object_]


class EmbeddedTelemetryStore:
    """Memory of figures on one machine.

    Args:
        path: The DuckDB file.
        scene_id: Whose figures these are.
        topology: Gives the current inventory.
    """

    def __init__(self, path: Path, *, scene_id: str, topology: Callable[[], Topology]) -> None:
        self._scene_id = scene_id
        self._topology = topology
        self._file = HistoryFile(path, scene_id=scene_id)
        self._worker = WorkerThread("telemetry-store")
        self._pending: list[tuple[PmReport, list[str], asyncio.Future[bool]]] = []
        self._view: _View | None = None
        self._view_of: Topology | None = None
        self._ring_epoch = 0
        self._upkeep = Upkeep()
        self._stored = 0
        self._duplicates = 0
        self._commits = 0

    async def open(self) -> None:
        """Open the file; the newest stored period becomes the latest sample.

        Raises:
            CorruptStore: The file cannot be read; the message says the way out.
        """
        self._worker.start()
        try:
            await self._worker.run(self._file.open)
            await self._worker.run(self._remember_newest)
        except BaseException:
            await self._worker.stop()
            raise

    async def close(self) -> None:
        """Store what waits and close the file; safe to call twice."""
        if self._worker.running:
            await self._worker.run(self._file.close)
        await self._worker.stop()

    def counters(self) -> dict[str, int]:
        """Return what the store did since it was opened, for the health page."""
        return {
            "reports_stored": self._stored,
            "reports_duplicate": self._duplicates,
            "commits": self._commits,
            "waiting": self._worker.waiting,
            "periods_rolled_up": self._upkeep.rolled_up,
            "rows_evicted": self._upkeep.evicted_rows,
        }

    async def append_pm(self, reports: Sequence[PmReport]) -> int:
        """Store reports durably; returns how many were new (same scene, epoch, granularity and end: dropped).

        Raises:
            InvalidInput: A report of another scene. StoreUnavailable: Nothing of this call was stored.
        """
        if not reports:
            return 0
        loop = asyncio.get_running_loop()
        mine: list[tuple[PmReport, list[str], asyncio.Future[bool]]] = []
        for report in reports:
            if report.scene_id != self._scene_id:
                raise InvalidInput(f"this store keeps the scene `{self._scene_id}`, not `{report.scene_id}`")
            mine.append((report, self._stored_ids(report), loop.create_future()))
        self._pending.extend(mine)
        await self._worker.run(self._commit_pending)
        return sum([await future for _, _, future in mine])

    def put_pm(self, report: PmReport) -> None:
        """Put a live report into the RAM ring at once (never blocks)."""
        if report.granularity_period_s > _LIVE_S:
            return
        view = self._current()
        if report.epoch > self._ring_epoch:
            self._ring_epoch = report.epoch
            for ring in view.rings.values():
                ring.clear()
        for kind in STORED_KINDS:
            if kind in view.rings:
                view.rings[kind].put(
                    report.period_end_sim_time_s,
                    report.granularity_period_s,
                    report.entity_index,
                    report.counters,
                    report.values,
                )

    def put_telemetry(self, batch: TelemetryBatch) -> None:
        """Put gauges of UEs into the RAM ring at once (never blocks)."""
        view = self._current()
        if batch.position_m is not None:
            view.positions.put(batch.sim_time_s, batch.entity_index, batch.position_m)
        ring = view.rings[Kind.UE]
        newest_s = ring.newest_s()
        if batch.kpis and (
            newest_s is None or batch.sim_time_s - newest_s >= GAUGE_PERIOD_S or batch.sim_time_s < newest_s
        ):
            if newest_s is not None and batch.sim_time_s < newest_s:
                ring.clear()
            ring.put(batch.sim_time_s, 1, batch.entity_index, batch.kpis, batch.values)

    def latest(self, kind: Kind, kpi: str) -> tuple[float, tuple[str, ...], NDArray[np.float32]]:
        """Return (sim_time_s, entity ids, ``[n] float32`` values) of the newest sample, from RAM.

        Before the first sample the time and every value are NaN.

        Raises:
            UnknownName: The kind has no such KPI.
        """
        _check(kind, kpi)
        view = self._current()
        newest = view.rings[kind].newest(kpi)
        if newest is None:
            return float("nan"), view.ids[kind], np.full(len(view.ids[kind]), np.nan, np.float32)
        return newest[0], view.ids[kind], newest[1]

    def positions(self) -> tuple[float, tuple[str, ...], NDArray[np.float32]]:
        """Return (sim_time_s, UE ids, ``[n, 3] float32`` ENU metres) of the newest batch."""
        view = self._current()
        at_s, position_m = view.positions.newest()
        return at_s, view.ids[Kind.UE], position_m

    async def series(
        self, entity_id: str, kpi: str, *, start_s: float, end_s: float, granularity_s: int | None = None
    ) -> Series:
        """Return one KPI of one entity in (start, end]; the finest stored granularity with at most 5,000 points.

        Raises:
            UnknownEntity, UnknownName, InvalidInput, StoreUnavailable.
        """
        entity = self._topology().get(entity_id)
        row = _check(entity.kind, kpi)
        interval = _interval(start_s, end_s)
        view = self._current()
        live = view.rings[entity.kind].rows(entity.index, kpi)

        def read() -> Series:
            held = Live(ends_ms=live.end_ms, granularity_s=live.granularity_s)
            stored = Coverage() if entity.kind is Kind.UE else self._file.coverage
            known = resolution(stored, held, interval)
            step_s = choose_granularity(interval, finest_s=known.granularity_s, asked_s=granularity_s)
            parts: list[tuple[Rows, list[Interval]]] = []
            for source_s, pieces in plan(stored, held, interval, step_s=step_s):
                around = (pieces[0][0], pieces[-1][1])
                parts.append((live if source_s == LIVE else self._file.rows(source_s, entity_id, kpi, around), pieces))
            time_s, value = to_bins(parts, interval=interval, granularity_s=step_s, reduce=row.reduce)
            return _series(entity_id, kpi, step_s, time_s, value, known.gaps)

        # A UE has no file behind it: its ring is answered at once.
        return read() if entity.kind is Kind.UE else await self._worker.run(read)

    async def window(
        self, kind: Kind, kpi: str, *, start_s: float, end_s: float
    ) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """Return (ids, ``[n] float32``) of the KPI reduced over (start, end] for every entity of the kind."""
        row = _check(kind, kpi)
        interval = _interval(start_s, end_s)
        view = self._current()
        ring, ids = view.rings[kind], view.ids[kind]
        ends_ms, values = ring.block(kpi, interval[0], interval[1] + ring.granularity_s * 1000)
        held = Live(ends_ms=ends_ms, granularity_s=ring.granularity_s)

        def read() -> NDArray[np.float32]:
            highest = row.reduce == "max"
            total, seconds = np.full(len(ids), -np.inf if highest else 0.0), np.zeros(len(ids))
            column = {entity_id: at for at, entity_id in enumerate(ids)}
            stored = Coverage() if kind is Kind.UE else self._file.coverage
            for source_s, pieces in plan(stored, held, interval, step_s=None):
                if source_s == LIVE:
                    add, weight = _live_totals(held, values, pieces, reduce=row.reduce)
                    total = np.maximum(total, add) if highest else total + add
                    seconds += weight
                    continue
                names, add, weight = self._file.totals(source_s, kpi, pieces)
                at = [(i, column[name]) for i, name in enumerate(names) if name in column]
                rows, columns = [i for i, _ in at], [j for _, j in at]
                total[columns] = np.maximum(total[columns], add[rows]) if highest else total[columns] + add[rows]
                seconds[columns] += weight[rows]
            with np.errstate(invalid="ignore", divide="ignore"):
                value = total / seconds if row.reduce == "mean" else np.where(seconds > 0, total, np.nan)
            return value.astype(np.float32)

        return ids, await self._worker.run(read)

    async def coverage(self) -> tuple[float, float] | None:
        """Return the first and last simulated time for which there is any history, None when empty."""
        live = [ring.ends_ms() for kind, ring in self._current().rings.items() if kind is not Kind.UE]
        lows = [int(ends[0]) - 1000 for ends in live if ends.size]
        highs = [int(ends[-1]) for ends in live if ends.size]
        stored = await self._worker.run(self._file.coverage.span)
        if stored is not None:
            lows.append(stored[0])
            highs.append(stored[1])
        return (min(lows) / 1000.0, max(highs) / 1000.0) if lows else None

    async def replay(self, *, granularity_s: int, start_s: float, end_s: float) -> list[PmReport]:
        """Return the stored reports of one granularity in (start, end], oldest first (the detector learns anew)."""
        interval = _interval(start_s, end_s)

        def read() -> list[tuple[int, list[str], tuple[str, ...], NDArray[np.float32]]]:
            return self._file.reports(granularity_s, interval)

        index_of = {entity.id: entity.index for entity in self._topology().entities}
        reports: list[PmReport] = []
        for end_ms, ids, counters, values in await self._worker.run(read):
            keep = [at for at, entity_id in enumerate(ids) if entity_id in index_of]
            reports.append(
                PmReport(
                    scene_id=self._scene_id,
                    epoch=self._file.coverage.epoch,
                    seq=0,
                    revision=self._topology().revision,
                    granularity_period_s=granularity_s,
                    period_end_sim_time_s=end_ms / 1000.0,
                    entity_index=np.array([index_of[ids[at]] for at in keep], np.uint32),
                    counters=counters,
                    values=values[keep],
                )
            )
        return reports

    async def maintain(self, *, max_blocks: int = 8) -> bool:
        """Reduce old periods and remove what is too old, a bounded piece of it; True when more is left to do.

        Call it every now and then (a minute) and again at once while it says that more is left.
        """
        return await self._worker.run(lambda: roll_up(self._file, self._upkeep, max_blocks=max_blocks))

    def _current(self) -> _View:
        topology = self._topology()
        if self._view is None or self._view_of is not topology:
            self._view = _view(topology, self._view)
            self._view_of = topology
        return self._view

    def _stored_ids(self, report: PmReport) -> list[str]:
        index = report.entity_index
        known = self._current().id_of_index
        if index.size and int(index.max()) >= known.size:
            raise InvalidInput(
                f"the report has the entity index `{int(index.max())}`, the inventory has no such entity; send the"
                " topology first"
            )
        return known[index].tolist()

    def _commit_pending(self) -> None:
        pending, self._pending = self._pending, []
        if not pending:
            return
        try:
            fresh = self._file.append([r for r, _, _ in pending], [ids for _, ids, _ in pending])
        except Exception as exc:  # noqa: BLE001 - handed on to everyone who waits; none may wait for ever
            for _, _, future in pending:
                future.get_loop().call_soon_threadsafe(_fail, future, exc)
            return
        self._commits += 1
        self._stored += sum(fresh)
        self._duplicates += len(fresh) - sum(fresh)
        for (_, _, future), new in zip(pending, fresh, strict=True):
            future.get_loop().call_soon_threadsafe(_succeed, future, new)

    def _remember_newest(self) -> None:
        newest = self._file.newest()
        if newest is None:
            return
        end_ms, ids, counters, values = newest
        index_of = {entity.id: entity.index for entity in self._topology().entities}
        keep = [at for at, entity_id in enumerate(ids) if entity_id in index_of]
        index = np.array([index_of[ids[at]] for at in keep], np.int64)
        for ring in self._current().rings.values():
            ring.remember(end_ms / 1000.0, index, counters, values[keep])
        self._ring_epoch = self._file.coverage.epoch


def _view(topology: Topology, old: _View | None) -> _View:
    ids: dict[Kind, tuple[str, ...]] = {}
    index: dict[Kind, NDArray[np.int64]] = {}
    for kind in (*STORED_KINDS, Kind.UE):
        entities = sorted(topology.of_kind(kind), key=lambda entity: entity.index)
        ids[kind] = tuple(entity.id for entity in entities)
        index[kind] = np.array([entity.index for entity in entities], np.int64)
    if old is not None and old.ids == ids and all(np.array_equal(old.index[kind], index[kind]) for kind in index):
        return old  # only attributes changed
    id_of_index = np.full(max((e.index for e in topology.entities), default=-1) + 1, "", object)
    for kind in STORED_KINDS:
        id_of_index[index[kind]] = ids[kind]
    view = _View(
        ids=ids,
        index=index,
        rings={
            kind: KindRing(kind, index[kind], depth=UE_RING_S if kind is Kind.UE else RING_S)
            for kind in index
            if kpis_of(kind)
        },
        positions=PositionRing(index[Kind.UE]),
        id_of_index=id_of_index,
    )
    if old is not None:
        for kind, ring in view.rings.items():
            ring.take_over(old.rings[kind])
    return view


def _check(kind: Kind, name: str) -> Kpi:
    row = kpi_row(name)
    if kind not in row.kinds:
        raise UnknownName(
            f"a {kind.value} has no `{name}`; it has {', '.join(k.name for k in kpis_of(kind)) or 'no KPIs of its own'}"
        )
    return row


def _interval(start_s: float, end_s: float) -> Interval:
    if not (np.isfinite(start_s) and np.isfinite(end_s)) or end_s <= start_s:
        raise InvalidInput(f"an interval ends after it starts; `{start_s:g}` to `{end_s:g}` does not")
    return to_ms(start_s), to_ms(end_s)


def _series(
    entity_id: str,
    name: str,
    granularity_s: int,
    time_s: NDArray[np.float64],
    value: NDArray[np.float32],
    gaps: tuple[Interval, ...],
) -> Series:
    return Series(
        entity_id=entity_id,
        kpi=name,
        granularity_s=granularity_s,
        time_s=time_s,
        value=value,
        gaps=tuple((low / 1000.0, high / 1000.0) for low, high in gaps),
    )


def _live_totals(
    held: Live, values: NDArray[np.float32], pieces: list[Interval], *, reduce: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weighted sums (or maxima) and seconds per entity; `values` is ``[t, n]``."""
    period = held.granularity_s * 1000
    weight = np.zeros(held.ends_ms.size)
    for low, high in pieces:
        share = np.minimum(held.ends_ms, high) - np.maximum(held.ends_ms - period, low)
        weight += np.maximum(share, 0) / 1000.0
    good = np.isfinite(values)
    seconds = weight @ good
    if reduce == "max":
        return np.where(good & (weight > 0)[:, None], values, -np.inf).max(axis=0, initial=-np.inf), seconds
    total = weight @ np.where(good, values, 0.0).astype(np.float64)
    return (total if reduce == "mean" else total / held.granularity_s), seconds


def _succeed(future: asyncio.Future[bool], new: bool) -> None:  # noqa: FBT001 - the result itself
    if not future.done():
        future.set_result(new)


def _fail(future: asyncio.Future[bool], exc: Exception) -> None:
    if not future.done():
        future.set_exception(exc)
        future.exception()  # a cancelled caller no longer looks; asyncio would warn about it
