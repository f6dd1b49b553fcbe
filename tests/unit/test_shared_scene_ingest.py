"""Two programs share a scene: positions of one and figures of the other both land, each counted for itself."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from twin.clock import CivilTime
from twin.entities import Kind
from twin.ingest import SequenceWatch
from twin.telemetry import TelemetryBatch
from twin.testing import MemoryJournal
from twin_app.alarm_log import JournaledAlarmLog
from twin_app.events import NewsHub
from twin_app.ingest_service import IngestService
from twin_app.inventory import LiveInventory
from twin_app.page_frames import LiveFrames
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.scene_desk import SceneDesk
from twin_app.store import EmbeddedTelemetryStore

KPIS = ("RF.serving.RSRP", "vsData6gServingCell")


def moved(seq: int, *, sim_time_s: float, index=(7,), east_m: float = 1.0, epoch: int = 1) -> TelemetryBatch:
    return TelemetryBatch(
        scene_id="main",
        epoch=epoch,
        seq=seq,
        revision=1,
        sim_time_s=sim_time_s,
        entity_index=np.array(index, np.uint32),
        position_m=np.full((len(index), 3), east_m, np.float32),
        kpis=(),
        values=np.zeros((len(index), 0), np.float32),
        source="MOTION",
    )


def measured(seq: int, *, sim_time_s: float, index=(7,), value: float = -80.0) -> TelemetryBatch:
    return TelemetryBatch(
        scene_id="main",
        epoch=1,
        seq=seq,
        revision=1,
        sim_time_s=sim_time_s,
        entity_index=np.array(index, np.uint32),
        position_m=None,
        kpis=KPIS,
        values=np.full((len(index), 2), value, np.float32),
        source="KPI+STATE",
    )


def test_two_numberings_are_not_mixed():
    watch = SequenceWatch()
    for number in range(1, 11):
        assert watch.telemetry(moved(number, sim_time_s=number / 10))
        assert watch.telemetry(measured(number + 500, sim_time_s=number / 10 - 0.05))
    assert (watch.received, watch.missing, watch.stale) == (20, 0, 0)


def test_gaps_and_late_ones_are_counted_where_they_are():
    watch = SequenceWatch()
    watch.telemetry(moved(1, sim_time_s=0.1))
    watch.telemetry(measured(1, sim_time_s=0.1))
    watch.telemetry(moved(4, sim_time_s=0.4))
    assert not watch.telemetry(measured(1, sim_time_s=0.1))
    assert (watch.missing, watch.stale) == (2, 1)


def test_a_follower_that_numbers_from_one_again_is_newer_whatever_its_number():
    watch = SequenceWatch()
    for number in range(1, 100):
        watch.telemetry(moved(number, sim_time_s=number / 10))
        watch.telemetry(measured(number, sim_time_s=number / 10))
    assert watch.telemetry(measured(1, sim_time_s=20.0))
    assert watch.telemetry(moved(100, sim_time_s=10.0))
    assert (watch.missing, watch.stale) == (0, 0)


@pytest.mark.filterwarnings("error")
async def test_places_and_figures_both_reach_the_memory_and_the_page(tmp_path: Path):
    scenario = build_scenario(ScenarioSpec(num_ues=20))
    journal = MemoryJournal()
    civil = CivilTime(epoch=datetime(2026, 11, 2, tzinfo=UTC), timezone="UTC")
    inventory = LiveInventory(scenario=scenario, scene_id="main", civil=civil, journal=journal)
    alarms = JournaledAlarmLog(journal, scene_id="main")
    store = EmbeddedTelemetryStore(tmp_path / "t.duckdb", scene_id="main", topology=lambda: inventory.topology)
    await store.open()
    ingest = IngestService(store=store, alarms=alarms, inventory=inventory, state_path=tmp_path / "detector.npz")
    await ingest.open()
    try:
        ues = [one.index for one in inventory.topology.of_kind(Kind.UE)]
        for number in range(1, 31):
            ingest.telemetry(moved(number, sim_time_s=number / 10, index=ues, east_m=float(number)))
            ingest.telemetry(measured(number, sim_time_s=number / 10, index=ues, value=float(-number)))
        at_s, _, position_m = store.positions()
        assert (at_s, set(position_m[:, 0])) == (3.0, {30.0})
        measured_s, _, rsrp = store.latest(Kind.UE, "RF.serving.RSRP")
        assert (measured_s, set(rsrp)) == (pytest.approx(2.1, abs=0.95), {-measured_s * 10})
        assert ingest.counters()["telemetry_missing"] == ingest.counters()["telemetry_dropped"] == 0
        frame = LiveFrames(scenario).frame(inventory, store, kpi="vsData6gMeanSsRsrp", known_revision=0, known_ues=0)
        assert np.full(20, 30.0, "<f4").tobytes() in frame
    finally:
        await ingest.close()
        await store.close()


class Kept:
    """What ingest would get."""

    def __init__(self):
        self.batches = []

    def telemetry(self, batch):
        self.batches.append(batch)


async def test_each_program_is_heard_only_in_what_it_provides():
    scenario = build_scenario(ScenarioSpec(num_ues=5))
    journal, figures = MemoryJournal(), Kept()
    civil = CivilTime(epoch=datetime(2026, 11, 2, tzinfo=UTC), timezone="UTC")
    inventory = LiveInventory(scenario=scenario, scene_id="main", civil=civil, journal=journal)
    desk = SceneDesk(
        inventory=inventory,
        figures=figures,
        alarms=JournaledAlarmLog(journal, scene_id="main"),
        journal=journal,
        news=NewsHub(),
        past_s=0,
        speed=1.0,
    )
    both = replace(measured(1, sim_time_s=5.0), position_m=np.ones((1, 3), np.float32))
    for source in ("MOTION", "KPI+STATE", ""):
        desk.telemetry(replace(both, source=source))
    heard = [(batch.position_m is not None, bool(batch.kpis)) for batch in figures.batches]
    assert heard == [(True, False), (False, True), (True, True)]
    await desk.close()
