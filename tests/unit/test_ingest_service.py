"""Ingest as it runs: acknowledged after it is durable, alarms journaled, learned state kept over a restart."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twin.alarms import Severity
from twin.clock import CivilTime
from twin.entities import Kind
from twin.errors import StoreUnavailable
from twin.telemetry import PmReport, TelemetryBatch
from twin.testing import MemoryJournal
from twin.topology import Entity, Topology
from twin_app.alarm_log import JournaledAlarmLog
from twin_app.ingest_service import IngestService
from twin_app.store import EmbeddedTelemetryStore

DAY = 86_400
CELLS = tuple(f"cell-{site}-{sector}" for site in range(1, 5) for sector in (1, 2))
TOPOLOGY = Topology(
    [
        Entity(
            index=i,
            id=name,
            kind=Kind.CELL,
            name=name.replace("-", " ", 1),
            dn=f"NRCellDU={i}",
            parent_id=name.rpartition("-")[0].replace("cell", "site"),
            position_m=(500.0 * (i // 2), 0.0, 30.0),
        )
        for i, name in enumerate(CELLS)
    ],
    revision=1,
)
COUNTERS = ("vsData6gMeanSsRsrp", "RRU.PrbTotDl")


@dataclass
class City:
    """The inventory of the test."""

    scene_id: str = "city"
    topology: Topology = TOPOLOGY
    civil: CivilTime = CivilTime(epoch=datetime(2026, 11, 2, tzinfo=UTC), timezone="UTC")  # noqa: RUF009 - frozen
    now_s: float = 0.0
    absent_s: float | None = None
    history_progress: float = 1.0


def report(end_s: float, *, granularity_s: int, rsrp_dbm: float = -90.0, seq: int = 0) -> PmReport:
    noise = np.random.default_rng(int(end_s)).normal(0, 0.5, (len(CELLS), 2))
    values = np.array([[-90.0, 40.0]] * len(CELLS)) + noise
    values[0, 0] += rsrp_dbm + 90.0
    return PmReport(
        scene_id="city",
        epoch=1,
        seq=seq,
        revision=1,
        granularity_period_s=granularity_s,
        period_end_sim_time_s=end_s,
        entity_index=np.arange(len(CELLS), dtype=np.uint32),
        counters=COUNTERS,
        values=values.astype(np.float32),
    )


@dataclass
class Running:
    store: EmbeddedTelemetryStore
    alarms: JournaledAlarmLog
    ingest: IngestService


@asynccontextmanager
async def started(folder: Path, journal: MemoryJournal) -> AsyncIterator[Running]:
    store = EmbeddedTelemetryStore(folder / "telemetry.duckdb", scene_id="city", topology=lambda: TOPOLOGY)
    await store.open()
    alarms = JournaledAlarmLog(journal, scene_id="city")
    await alarms.open()
    ingest = IngestService(store=store, alarms=alarms, inventory=City(), state_path=folder / "detector.npz")
    await ingest.open()
    try:
        yield Running(store, alarms, ingest)
    finally:
        await ingest.close()
        await store.close()


async def tell(ingest: IngestService, reports: list[PmReport]) -> None:
    for one in reports:
        await ingest.pm(one, lambda: None)
    await ingest.drain()


PAST = [
    *(report(t, granularity_s=900) for t in range(900, 2 * DAY + 1, 900)),
    *(report(2 * DAY + t, granularity_s=60) for t in range(60, DAY + 1, 60)),
]
NOW = 3 * DAY


def live(start_s: int, seconds: int, rsrp_dbm: float = -90.0) -> list[PmReport]:
    return [report(start_s + t, granularity_s=1, rsrp_dbm=rsrp_dbm) for t in range(1, seconds + 1)]


async def test_a_report_is_acknowledged_once_it_is_durable(tmp_path: Path) -> None:
    async with started(tmp_path, MemoryJournal()) as twin:
        stored_at_ack: list[int] = []
        for one in live(0, 3):
            await twin.ingest.pm(one, lambda: stored_at_ack.append(twin.store.counters()["reports_stored"]))
        at_s, _, _ = twin.store.latest(Kind.CELL, "RRU.PrbTotDl")
        assert at_s == 3.0
        assert stored_at_ack == []
        await twin.ingest.drain()
        assert stored_at_ack == [3, 3, 3] or all(n >= i for i, n in enumerate(stored_at_ack, start=1))
        assert len(stored_at_ack) == 3


async def test_what_came_twice_or_never_is_counted(tmp_path: Path) -> None:
    async with started(tmp_path, MemoryJournal()) as twin:
        await tell(twin.ingest, [*live(0, 5), *live(3, 2), *live(10, 2)])
        counters = twin.ingest.counters()
        assert counters["pm_received"] == 9
        assert counters["pm_stored"] == 7
        assert counters["pm_duplicates"] == 2
        assert counters["pm_missing_periods"] == 5
        assert counters["queue_depth"] == 0


async def test_gauges_out_of_order_are_dropped_and_counted(tmp_path: Path) -> None:
    async with started(tmp_path, MemoryJournal()) as twin:
        for seq in (1, 4, 3):
            twin.ingest.telemetry(
                TelemetryBatch(
                    scene_id="city",
                    epoch=1,
                    seq=seq,
                    revision=1,
                    sim_time_s=seq / 10,
                    entity_index=np.empty(0, np.uint32),
                    position_m=None,
                    kpis=(),
                    values=np.empty((0, 0), np.float32),
                )
            )
        counters = twin.ingest.counters()
        assert (counters["telemetry_received"], counters["telemetry_missing"], counters["telemetry_dropped"]) == (
            3,
            2,
            1,
        )


async def test_a_report_of_an_unknown_entity_is_refused_without_taking_others_with_it(tmp_path: Path) -> None:
    good = live(0, 3)
    bad = PmReport(
        **{name: getattr(good[1], name) for name in good[1].__slots__}
        | {"entity_index": np.arange(90, 90 + len(CELLS), dtype=np.uint32)}
    )
    async with started(tmp_path, MemoryJournal()) as twin:
        await tell(twin.ingest, [good[0], bad, good[2]])
        counters = twin.ingest.counters()
        assert (counters["pm_stored"], counters["pm_refused"]) == (2, 1)


async def test_a_fault_becomes_a_journaled_alarm_and_its_end_clears_it(tmp_path: Path) -> None:
    journal = MemoryJournal()
    async with started(tmp_path, journal) as twin:
        await tell(twin.ingest, PAST)
        twin.ingest.live()
        await tell(twin.ingest, live(NOW, 300))
        assert twin.alarms.active() == ()
        await tell(twin.ingest, live(NOW + 300, 90, rsrp_dbm=-104.0))
        (alarm,) = twin.alarms.active()
        assert (alarm.entity_id, alarm.dn, alarm.probable_cause) == ("cell-1-1", "NRCellDU=0", "degradedSignal")
        assert alarm.perceived_severity in {Severity.MAJOR, Severity.CRITICAL}
        assert alarm.specific_problem.startswith("cell 1-1: mean SS-RSRP of served UEs is -10")
        assert alarm.evidence[0].expected == pytest.approx(-90, abs=0.5)
        assert NOW + 300 < alarm.raised_at_s <= NOW + 360
        await tell(twin.ingest, live(NOW + 390, 300))
        assert twin.alarms.active() == ()
    assert [fact["cleared_at_s"] is None for _, fact in await journal.replay("alarm")] == [True, False]


@pytest.mark.parametrize("keep_snapshot", [True, False])
async def test_a_restart_knows_what_is_normal_and_which_alarms_stand(tmp_path: Path, keep_snapshot: bool) -> None:
    journal = MemoryJournal()
    async with started(tmp_path, journal) as twin:
        await tell(twin.ingest, [*PAST, *live(NOW, 60), *live(NOW + 60, 60, rsrp_dbm=-104.0)])
        assert len(twin.alarms.active()) == 1
    if not keep_snapshot:
        (tmp_path / "detector.npz").unlink()
    async with started(tmp_path, journal) as twin:
        assert twin.ingest.counters()["detector_warmup_remaining_s"] == 0
        assert [a.entity_id for a in twin.alarms.active()] == ["cell-1-1"]
        await tell(twin.ingest, live(NOW + 400, 60, rsrp_dbm=-104.0))
        assert len(twin.alarms.active()) == 1
        await tell(twin.ingest, live(NOW + 460, 300))
        assert twin.alarms.active() == ()


async def test_a_broken_snapshot_is_learned_anew(tmp_path: Path) -> None:
    journal = MemoryJournal()
    async with started(tmp_path, journal) as twin:
        await tell(twin.ingest, PAST)
    (tmp_path / "detector.npz").write_bytes(b"broken")
    async with started(tmp_path, journal) as twin:
        assert twin.ingest.counters()["detector_warmup_remaining_s"] == 0


class FillingJournal(MemoryJournal):
    """A journal on a disk that is full while `full` is set."""

    full = False

    async def append(self, kind: str, facts: Sequence[Mapping[str, Any]]) -> int:
        if self.full:
            raise StoreUnavailable("the disk is full")
        return await super().append(kind, facts)


async def test_an_alarm_waits_for_a_full_disk_and_is_raised(tmp_path: Path) -> None:
    journal = FillingJournal()
    async with started(tmp_path, journal) as twin:
        await tell(twin.ingest, PAST)
        twin.ingest.live()
        await tell(twin.ingest, live(NOW, 300))
        journal.full = True
        for one in live(NOW + 300, 60, rsrp_dbm=-105.0):
            await twin.ingest.pm(one, lambda: None)
        await asyncio.sleep(0.5)
        assert twin.alarms.active() == ()
        journal.full = False
        await twin.ingest.drain()

        assert [a.entity_id for a in twin.alarms.active()] == ["cell-1-1"]


async def test_a_change_of_our_own_raises_no_alarm(tmp_path: Path) -> None:
    async with started(tmp_path, MemoryJournal()) as twin:
        await tell(twin.ingest, [*PAST, *live(NOW, 60)])
        twin.ingest.relearn(["cell-1-1"])
        await tell(twin.ingest, live(NOW + 60, 600, rsrp_dbm=-104.0))
        assert twin.alarms.active() == ()


async def test_a_full_queue_makes_the_sender_wait_and_loses_nothing(tmp_path: Path) -> None:
    async with started(tmp_path, MemoryJournal()) as twin:
        acknowledged: list[int] = []
        count = 1500
        async with asyncio.timeout(60):
            for n, one in enumerate(live(0, count)):
                await twin.ingest.pm(one, lambda n=n: acknowledged.append(n))
            await twin.ingest.drain()
        assert acknowledged == list(range(count))
        series = await twin.store.series("cell-1-1", "RRU.PrbTotDl", start_s=0, end_s=count)
        assert series.time_s.size == count
