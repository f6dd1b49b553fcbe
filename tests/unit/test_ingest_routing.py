"""One batch in, everyone who must see it: what is routed where, and what is counted."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from twin.analytics.detector import Detector
from twin.clock import CivilTime
from twin.entities import Kind
from twin.ingest import LiveMeans, SequenceWatch, Watcher, WatchList
from twin.telemetry import PmReport, TelemetryBatch
from twin.topology import Entity, Topology

CIVIL = CivilTime(epoch=datetime(2026, 11, 2, tzinfo=UTC), timezone="UTC")
TOPOLOGY = Topology(
    [
        Entity(index=0, id="site-1", kind=Kind.SITE, name="site 1"),
        Entity(index=1, id="cell-1-1", kind=Kind.CELL, name="cell 1-1"),
        Entity(index=2, id="link-1-2", kind=Kind.LINK, name="link 1-2"),
        Entity(index=3, id="ue-1", kind=Kind.UE, name="ue 1"),
    ],
    revision=1,
)


def report(end_s: float, load: float, *, granularity_s: int = 1, epoch: int = 1) -> PmReport:
    return PmReport(
        scene_id="city",
        epoch=epoch,
        seq=0,
        revision=1,
        granularity_period_s=granularity_s,
        period_end_sim_time_s=end_s,
        entity_index=np.array([2, 1], np.uint32),
        counters=("RRU.PrbTotDl", "vsData6gLinkLoad"),
        values=np.array([[0, 7], [load, 0]], np.float32),
    )


def batch(seq: int, epoch: int = 1) -> TelemetryBatch:
    return TelemetryBatch(
        scene_id="city",
        epoch=epoch,
        seq=seq,
        revision=1,
        sim_time_s=seq / 10,
        entity_index=np.empty(0, np.uint32),
        position_m=None,
        kpis=(),
        values=np.empty((0, 0), np.float32),
    )


def test_skipped_numbers_are_counted_as_missing() -> None:
    watch = SequenceWatch()
    assert [watch.telemetry(batch(seq)) for seq in (1, 2, 5, 6)] == [True] * 4
    assert (watch.received, watch.missing, watch.stale) == (4, 2, 0)


def test_an_old_batch_is_stale_and_a_new_epoch_starts_afresh() -> None:
    watch = SequenceWatch()
    assert [watch.telemetry(batch(9)), watch.telemetry(batch(8)), watch.telemetry(batch(1, epoch=2))] == [
        True,
        False,
        True,
    ]
    assert (watch.missing, watch.stale) == (0, 1)


def test_a_scene_that_goes_on_after_a_crash_may_number_from_one_again() -> None:
    watch = SequenceWatch()
    watch.telemetry(batch(900))

    assert [watch.telemetry(replace(batch(seq), sim_time_s=90.0 + seq / 10)) for seq in (1, 2, 4)] == [True] * 3
    assert (watch.missing, watch.stale) == (1, 0)


def test_missing_periods_are_counted_per_granularity() -> None:
    watch = SequenceWatch()
    for end_s in (1, 2, 6):
        watch.pm(report(end_s, 1))
    for end_s in (900, 2700):
        watch.pm(report(end_s, 1, granularity_s=900))
    assert (watch.received, watch.missing) == (5, 4)


def test_a_figure_lands_at_its_entity_and_kpi_and_nowhere_else() -> None:
    watched = WatchList(TOPOLOGY)
    assert watched.entity_ids == ("cell-1-1", "link-1-2")
    values = watched.values(report(1, 55))
    load, link = watched.kpis.index("RRU.PrbTotDl"), watched.kpis.index("vsData6gLinkLoad")
    assert values[0, load] == 55
    assert values[1, link] == 7
    assert np.isfinite(values).sum() == 2  # a cell has no link load, a link no PRB load


def test_entities_that_the_inventory_does_not_know_are_left_out() -> None:
    one = report(1, 55)
    stranger = PmReport(
        **{name: getattr(one, name) for name in one.__slots__} | {"entity_index": np.array([77, 1], np.uint32)}
    )
    assert np.isfinite(WatchList(TOPOLOGY).values(stranger)).sum() == 1


def test_live_reports_are_averaged_over_whole_periods() -> None:
    means = LiveMeans(10)
    done = [means.add(float(end_s), np.array([[float(end_s)]], np.float32)) for end_s in range(1, 21)]
    assert [(d[0], d[1].item()) for d in done if d is not None] == [(10.0, 5.5), (20.0, 15.5)]


def test_a_period_with_a_hole_is_the_mean_of_what_came() -> None:
    means = LiveMeans(10)
    done = [means.add(end_s, np.array([[v]], np.float32)) for end_s, v in ((1.0, 2.0), (2.0, np.nan), (13.0, 9.0))]
    assert done[0] is done[1] is None
    assert done[2] is not None
    assert (done[2][0], done[2][1].item()) == (10.0, 2.0)


@pytest.mark.parametrize("granularity_s", [60, 900])
def test_the_past_is_learned_and_raises_nothing(granularity_s: int) -> None:
    watched = WatchList(TOPOLOGY)
    detector = Detector(watched.entity_ids, watched.kpis, civil=CIVIL)
    watcher = Watcher(watched, detector)
    for n in range(1, 86_400 // granularity_s + 2):
        assert watcher.see([report(n * granularity_s, 50 + n % 3, granularity_s=granularity_s)]) == ()
    assert detector.baseline.hours == 24


def test_a_report_seen_twice_counts_once() -> None:
    watched = WatchList(TOPOLOGY)
    watcher = Watcher(watched, Detector(watched.entity_ids, watched.kpis, civil=CIVIL))
    again = [report(900 * n, 50, granularity_s=900) for n in range(1, 9)]
    watcher.see(again)
    watcher.see(again)
    watcher.see([report(9 * 900, 50, granularity_s=900)])
    assert watcher.detector.baseline.hours == 2
