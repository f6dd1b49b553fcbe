"""What every telemetry store promises, on the embedded one and on the shipped fake."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twin.entities import Kind
from twin.errors import CorruptStore, InvalidInput, StoreUnavailable, UnknownEntity, UnknownName
from twin.ports import TelemetryStore
from twin.telemetry import PmReport, TelemetryBatch
from twin.testing import MemoryTelemetryStore
from twin.topology import Entity, Topology
from twin_app.store import EmbeddedTelemetryStore

LOAD, VOLUME, THROUGHPUT, MOST = "RRU.PrbTotDl", "DRB.PdcpSduVolumeDL", "DRB.UEThpDl", "RRC.ConnMax"
CELLS = ("cell-1-1", "cell-1-2", "cell-2-1")
TOPOLOGY = Topology(
    [
        Entity(index=0, id="site-1", kind=Kind.SITE, name="site 1"),
        *(Entity(index=1 + i, id=name, kind=Kind.CELL, name=name) for i, name in enumerate(CELLS)),
        Entity(index=4, id="ue-1", kind=Kind.UE, name="ue 1"),
        Entity(index=5, id="ue-2", kind=Kind.UE, name="ue 2"),
    ],
    revision=1,
)

KILLS = 50 if os.environ.get("TWIN_TEST_SOAK") == "1" else 5  # a tenth in `make test`


def report(end_s: float, load: float, *, granularity_s: int = 1, epoch: int = 1, volume: float = 2.0) -> PmReport:
    """Cell i carries `load + i`; the last cell has no volume."""
    return PmReport(
        scene_id="city",
        epoch=epoch,
        seq=int(end_s),
        revision=1,
        granularity_period_s=granularity_s,
        period_end_sim_time_s=end_s,
        entity_index=np.array([1, 2, 3], np.uint32),
        counters=(LOAD, VOLUME),
        values=np.array([[load, volume], [load + 1, volume], [load + 2, np.nan]], np.float32),
    )


def gauges(at_s: float, throughput: float) -> TelemetryBatch:
    return TelemetryBatch(
        scene_id="city",
        epoch=1,
        seq=int(at_s * 10),
        revision=1,
        sim_time_s=at_s,
        entity_index=np.array([4, 5], np.uint32),
        position_m=np.array([[at_s, 0, 1.5], [0, at_s, 1.5]], np.float32),
        kpis=(THROUGHPUT,),
        values=np.array([[throughput], [np.nan]], np.float32),
    )


@pytest.fixture(params=["embedded", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TelemetryStore]:
    if request.param == "memory":
        yield MemoryTelemetryStore(TOPOLOGY)
        return
    opened = EmbeddedTelemetryStore(tmp_path / "telemetry.duckdb", scene_id="city", topology=lambda: TOPOLOGY)
    await opened.open()
    yield opened
    await opened.close()


async def feed(store: TelemetryStore, reports: list[PmReport]) -> None:
    for one in reports:
        store.put_pm(one)
    await store.append_pm(reports)


async def test_an_empty_store_knows_nothing_and_says_so(store: TelemetryStore) -> None:
    assert await store.coverage() is None
    at_s, ids, values = store.latest(Kind.CELL, LOAD)
    assert np.isnan(at_s)
    assert ids == CELLS
    assert np.isnan(values).all()
    series = await store.series("cell-1-1", LOAD, start_s=0, end_s=60)
    assert series.time_s.size == 0
    assert series.gaps == ((0.0, 60.0),)


async def test_a_live_report_is_readable_before_it_is_stored(store: TelemetryStore) -> None:
    store.put_pm(report(10, 40))
    at_s, ids, values = store.latest(Kind.CELL, LOAD)
    assert (at_s, ids, values.tolist()) == (10.0, CELLS, [40, 41, 42])
    series = await store.series("cell-1-2", LOAD, start_s=5, end_s=10)
    assert (series.time_s.tolist(), series.value.tolist()) == ([10.0], [41.0])


async def test_a_missing_value_stays_missing(store: TelemetryStore) -> None:
    await feed(store, [report(1, 40), report(2, 40)])
    series = await store.series("cell-2-1", VOLUME, start_s=0, end_s=2)
    assert np.isnan(series.value).tolist() == [True, True]
    _, values = await store.window(Kind.CELL, VOLUME, start_s=0, end_s=2)
    assert values[:2].tolist() == [4.0, 4.0]
    assert np.isnan(values[2])


async def test_the_same_period_is_stored_once(store: TelemetryStore) -> None:
    assert await store.append_pm([report(1, 40), report(2, 41)]) == 2
    assert await store.append_pm([report(2, 99), report(3, 42), report(3, 42)]) == 1
    series = await store.series("cell-1-1", LOAD, start_s=0, end_s=3)
    assert series.value.tolist() == [40, 41, 42]


def peaks(end_s: float, most: float, *, granularity_s: int = 1) -> PmReport:
    """Cell i had at most `most + i` connections; the last cell told nothing."""
    one = report(end_s, 0, granularity_s=granularity_s)
    return replace(one, counters=(MOST,), values=np.array([[most], [most + 1], [np.nan]], np.float32))


async def test_the_most_connections_of_many_periods_are_the_maximum(store: TelemetryStore) -> None:
    await feed(store, [peaks(t, 30 if t == 7 else 10) for t in range(1, 21)])
    series = await store.series("cell-1-1", MOST, start_s=0, end_s=20, granularity_s=10)
    assert series.value.tolist() == [30, 10]
    _, values = await store.window(Kind.CELL, MOST, start_s=0, end_s=20)
    assert values[:2].tolist() == [30, 31]
    assert np.isnan(values[2])
    _, values = await store.window(Kind.CELL, MOST, start_s=10, end_s=20)
    assert values[:2].tolist() == [10, 11]


async def test_a_hole_is_a_gap_and_never_filled(store: TelemetryStore) -> None:
    await feed(store, [report(t, 40) for t in (1, 2, 3, 10, 11)])
    series = await store.series("cell-1-1", LOAD, start_s=0, end_s=11)
    assert series.time_s.tolist() == [1, 2, 3, 10, 11]
    assert series.gaps == ((3.0, 9.0),)


async def test_an_interval_is_open_at_its_start_and_closed_at_its_end(store: TelemetryStore) -> None:
    await feed(store, [report(t, t) for t in range(1, 11)])
    series = await store.series("cell-1-1", LOAD, start_s=3, end_s=6)
    assert series.time_s.tolist() == [4, 5, 6]
    _, values = await store.window(Kind.CELL, LOAD, start_s=3, end_s=6)
    assert values.tolist() == [5, 6, 7]


async def test_coarser_periods_are_means_of_gauges_and_sums_of_counters(store: TelemetryStore) -> None:
    await feed(store, [report(t, t) for t in range(1, 21)])
    load = await store.series("cell-1-1", LOAD, start_s=0, end_s=20, granularity_s=10)
    assert (load.granularity_s, load.time_s.tolist(), load.value.tolist()) == (10, [10, 20], [5.5, 15.5])
    volume = await store.series("cell-1-1", VOLUME, start_s=0, end_s=20, granularity_s=10)
    assert volume.value.tolist() == [20, 20]
    _, values = await store.window(Kind.CELL, VOLUME, start_s=0, end_s=20)
    assert values[0] == 40


async def test_past_and_present_are_read_as_one(store: TelemetryStore) -> None:
    await store.append_pm([report(900, 10, granularity_s=900, volume=900)])
    await feed(store, [report(900 + t, 40) for t in range(1, 101)])
    series = await store.series("cell-1-1", LOAD, start_s=0, end_s=1000)
    assert (series.granularity_s, series.time_s.tolist(), series.value.tolist()) == (900, [900], [10])
    assert series.gaps == ()
    _, load = await store.window(Kind.CELL, LOAD, start_s=800, end_s=1000)  # half of it coarse, half fine
    assert load[0] == pytest.approx(25.0)
    _, volume = await store.window(Kind.CELL, VOLUME, start_s=800, end_s=1000)  # 100 of 900 s, then 100 x 2
    assert volume[0] == pytest.approx(300.0)


async def test_the_finest_granularity_wins_where_several_tell_the_same_time(store: TelemetryStore) -> None:
    await store.append_pm([report(60, 10, granularity_s=60)])
    await feed(store, [report(t, 40) for t in range(1, 61)])
    series = await store.series("cell-1-1", LOAD, start_s=0, end_s=60)
    assert series.granularity_s == 1
    assert set(series.value.tolist()) == {40}
    _, values = await store.window(Kind.CELL, LOAD, start_s=0, end_s=60)
    assert values[0] == 40


async def test_a_series_never_has_more_than_five_thousand_points(store: TelemetryStore) -> None:
    await store.append_pm([report(t, 40) for t in range(1, 6001)])
    series = await store.series("cell-1-1", LOAD, start_s=0, end_s=6000)
    assert (series.granularity_s, series.time_s.size) == (10, 600)
    with pytest.raises(InvalidInput, match="5000 points"):
        await store.series("cell-1-1", LOAD, start_s=0, end_s=6000, granularity_s=1)


async def test_coverage_goes_from_the_first_period_to_the_last(store: TelemetryStore) -> None:
    await store.append_pm([report(1800, 10, granularity_s=900)])
    store.put_pm(report(1801, 40))
    assert await store.coverage() == (900.0, 1801.0)


async def test_ues_have_ten_minutes_of_gauges_and_a_position(store: TelemetryStore) -> None:
    for tick in range(31):
        store.put_telemetry(gauges(100 + tick / 10, 5000 + tick))
    at_s, ids, position_m = store.positions()
    assert (round(at_s, 3), ids) == (103.0, ("ue-1", "ue-2"))
    assert position_m[:, :2].tolist() == [[103, 0], [0, 103]]
    series = await store.series("ue-1", THROUGHPUT, start_s=90, end_s=110)
    assert series.time_s.size == pytest.approx(4, abs=1)


async def test_places_of_one_program_and_figures_of_another_are_both_kept(store: TelemetryStore) -> None:
    for tick in range(30):
        both = gauges(100 + tick / 10, 5000 + tick)
        store.put_telemetry(replace(both, kpis=(), values=both.values[:, :0], source="MOTION"))
        store.put_telemetry(replace(both, position_m=None, source="KPI+STATE"))

    moved_s, _, position_m = store.positions()
    measured_s, _, values = store.latest(Kind.UE, "DRB.UEThpDl")
    assert (moved_s, bool(np.isfinite(position_m).any())) == (pytest.approx(102.9), True)
    assert 100.0 <= measured_s <= 102.9
    assert np.isfinite(values).any()


@pytest.mark.parametrize(
    ("entity_id", "kpi", "error"),
    [("cell-9-9", LOAD, UnknownEntity), ("cell-1-1", "RRU.Nothing", UnknownName), ("site-1", LOAD, UnknownName)],
)
async def test_what_does_not_exist_is_refused(
    store: TelemetryStore, entity_id: str, kpi: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await store.series(entity_id, kpi, start_s=0, end_s=10)


async def test_an_interval_that_ends_before_it_starts_is_refused(store: TelemetryStore) -> None:
    with pytest.raises(InvalidInput):
        await store.series("cell-1-1", LOAD, start_s=10, end_s=10)
    with pytest.raises(UnknownName):
        store.latest(Kind.UE, LOAD)


# ---- the embedded store besides ---------------------------------------------------------------------------


def embedded(path: Path) -> EmbeddedTelemetryStore:
    return EmbeddedTelemetryStore(path, scene_id="city", topology=lambda: TOPOLOGY)


async def test_a_restart_keeps_history_duplicates_and_the_newest_sample(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.duckdb"
    store = embedded(path)
    await store.open()
    await store.append_pm([report(t, t) for t in range(1, 6)])
    await store.close()
    again = embedded(path)
    await again.open()
    assert await again.append_pm([report(5, 99), report(6, 6)]) == 1
    assert (await again.series("cell-1-1", LOAD, start_s=0, end_s=6)).value.tolist() == [1, 2, 3, 4, 5, 6]
    at_s, _, values = again.latest(Kind.CELL, LOAD)
    assert (at_s, values.tolist()) == (5.0, [5, 6, 7])
    await again.close()


async def test_a_world_that_went_back_in_time_shows_only_its_new_future(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.duckdb"
    store = embedded(path)
    await store.open()
    await feed(store, [report(t, 10) for t in range(1, 11)])
    await feed(store, [report(t, 50, epoch=2) for t in range(5, 8)])
    for _ in range(2):
        series = await store.series("cell-1-1", LOAD, start_s=0, end_s=10)
        assert series.value.tolist() == [10, 10, 10, 10, 50, 50, 50]
        assert series.gaps == ((7.0, 10.0),)
        await store.close()
        store = embedded(path)
        await store.open()
    await store.close()


async def test_old_periods_are_reduced_before_they_are_let_go(tmp_path: Path) -> None:
    store = embedded(tmp_path / "telemetry.duckdb")
    await store.open()
    await store.append_pm([report(t, 10 + t % 10) for t in range(1, 1801) if not 600 < t <= 630])
    day = 86_400
    await store.append_pm([report(day + t, 40) for t in range(1, 3601)])
    left = True
    while left:
        left = await store.maintain()
    counters = store.counters()
    assert counters["rows_evicted"] == 3 * 1770
    assert counters["periods_rolled_up"] > 0
    series = await store.series("cell-1-1", LOAD, start_s=0, end_s=1800)
    assert series.granularity_s == 10
    assert series.gaps == ((600.0, 630.0),)
    assert series.value == pytest.approx(14.5)
    _, volume = await store.window(Kind.CELL, VOLUME, start_s=0, end_s=1800)
    assert volume[0] == 2 * 1770
    quarter = await store.series("cell-1-1", LOAD, start_s=0, end_s=1800, granularity_s=900)
    assert quarter.value == pytest.approx([14.5, 14.5])
    await store.close()


async def test_maxima_stay_maxima_when_old_periods_are_reduced(tmp_path: Path) -> None:
    store = embedded(tmp_path / "telemetry.duckdb")
    await store.open()
    await store.append_pm([peaks(t, t % 10) for t in range(1, 1801)])
    await store.append_pm([peaks(86_400 + t, 40) for t in range(1, 3601)])
    while await store.maintain():
        pass
    assert store.counters()["rows_evicted"] > 0
    series = await store.series("cell-1-1", MOST, start_s=0, end_s=1800)
    assert series.granularity_s == 10
    assert (series.value == 9.0).all()
    _, values = await store.window(Kind.CELL, MOST, start_s=0, end_s=1800)
    assert values[:2].tolist() == [9.0, 10.0]
    await store.close()


async def test_a_hole_among_live_seconds_stays_a_gap_after_reduction(tmp_path: Path) -> None:
    store = embedded(tmp_path / "telemetry.duckdb")
    await store.open()
    await store.append_pm([report(t, 40) for t in range(1, 1001) if not 100 < t <= 104])
    while await store.maintain():
        pass
    series = await store.series("cell-1-1", LOAD, start_s=0, end_s=1000)
    assert series.granularity_s == 1
    assert series.gaps == ((100.0, 104.0),)
    await store.close()


async def test_reports_can_be_replayed(tmp_path: Path) -> None:
    store = embedded(tmp_path / "telemetry.duckdb")
    await store.open()
    await store.append_pm([report(60 * t, t, granularity_s=60) for t in range(1, 6)])
    replayed = await store.replay(granularity_s=60, start_s=60, end_s=240)
    assert [r.period_end_sim_time_s for r in replayed] == [120, 180, 240]
    assert replayed[0].values[:, replayed[0].counters.index(LOAD)].tolist() == [2, 3, 4]
    await store.close()


async def test_reports_of_an_unknown_entity_or_scene_are_refused(tmp_path: Path) -> None:
    store = embedded(tmp_path / "telemetry.duckdb")
    await store.open()
    good = report(1, 40)
    bad = {name: getattr(good, name) for name in good.__slots__}
    with pytest.raises(InvalidInput, match="`99`"):
        await store.append_pm([PmReport(**{**bad, "entity_index": np.array([1, 2, 99], np.uint32)})])
    with pytest.raises(InvalidInput, match="`village`"):
        await store.append_pm([PmReport(**{**bad, "scene_id": "village"})])
    assert await store.coverage() is None
    await store.close()


async def test_a_corrupt_file_names_itself_and_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.duckdb"
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(CorruptStore, match=r"telemetry\.duckdb.*Move it away"):
        await embedded(path).open()


async def test_a_damaged_file_names_itself_and_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.duckdb"
    store = embedded(path)
    await store.open()
    await store.append_pm([report(t, t) for t in range(1, 3000)])
    await store.close()
    content = bytearray(path.read_bytes())
    content[8192 : len(content)] = b"\xa5" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(CorruptStore, match=r"telemetry\.duckdb.*Move it away"):
        await embedded(path).open()


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await embedded(tmp_path / "telemetry.duckdb").append_pm([report(1, 40)])


WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_telemetry_store import embedded, report

async def main():
    store = embedded(Path(sys.argv[1]))
    await store.open()
    coverage = await store.coverage()
    end_s = 1 if coverage is None else int(coverage[1]) + 1
    while True:
        await store.append_pm([report(end_s, 40), report(end_s + 1, 40)])
        print(end_s + 1, flush=True)
        end_s += 2

asyncio.run(main())
"""


async def test_no_acknowledged_report_is_lost_to_kill_minus_nine(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.duckdb"
    for kill in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(5 + 11 * kill):
            writer.stdout.readline()
        writer.kill()
        acknowledged = [int(line) for line in writer.stdout.read().split()]
        writer.stdout.close()
        writer.wait()
        store = embedded(path)
        await store.open()
        coverage = await store.coverage()
        assert coverage is not None
        assert coverage[1] >= max(acknowledged, default=0)
        for start_s in range(0, int(coverage[1]), 4_000):  # a series holds at most 5,000 points
            end_s = min(start_s + 4_000, coverage[1])
            series = await store.series("cell-1-1", LOAD, start_s=start_s, end_s=end_s)
            assert series.gaps == ()
            assert series.time_s.size == end_s - start_s
        await store.close()


FULL_DISK = """
import asyncio, json, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from twin.errors import StoreUnavailable
from test_telemetry_store import embedded, report

async def main():
    path = Path(sys.argv[1])
    store = embedded(path)
    await store.open()
    await store.append_pm([report(1, 40)])
    wal = path.with_name(path.name + ".wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 20_000, resource.RLIM_INFINITY))
    acknowledged, refused = 1, ""
    while not refused:
        try:
            await store.append_pm([report(acknowledged + 1, 40)])
            acknowledged += 1
        except StoreUnavailable as exc:
            refused = str(exc)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    new = await store.append_pm([report(acknowledged + 1, 40)])
    span = await store.coverage()
    await store.close()
    await store.open()
    again = await store.coverage()
    await store.close()
    print(json.dumps({"acknowledged": acknowledged, "refused": refused, "new": new, "span": span, "again": again}))

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit to set on Windows")
def test_a_full_disk_is_told_nothing_is_acknowledged_and_work_goes_on_after(tmp_path: Path) -> None:
    import json

    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "telemetry.duckdb"), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "disk space" in told["refused"]
    assert told["new"] == 1
    assert told["span"] == [0.0, told["acknowledged"] + 1]
    assert told["again"] == told["span"]
