"""The detector on series whose truth is known, and on the shipped network."""

from datetime import UTC, datetime

import numpy as np
import pytest

from twin.alarms import Severity
from twin.analytics.alarm_words import DETECTOR_CAUSES, words_of
from twin.analytics.baseline import Baseline, phase_of
from twin.analytics.detector import Detector, DetectorEvent, Finding
from twin.clock import CivilTime
from twin.commands import ManageFault
from twin.errors import CorruptStore, InvalidInput
from twin.ingest import Watcher, WatchList
from twin.network import Network
from twin.past import generate_past
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario

CIVIL = CivilTime(epoch=datetime(2026, 11, 2, tzinfo=UTC), timezone="UTC")  # a Monday
KPIS = ("vsData6gMeanSsRsrp", "RRU.PrbTotDl", "RRC.ConnMean")
IDS = ("cell-1-1", "cell-1-2")
DAY = 86_400


def normal(time_s: float, rng: np.random.Generator) -> np.ndarray:
    """A day that is busy at noon, with noise."""
    busy = 0.5 - 0.5 * np.cos(2 * np.pi * time_s / DAY)
    one = np.array([-90.0, 20 + 40 * busy, 10 + 20 * busy])
    return (one + rng.normal(0, [0.5, 2.0, 1.0], (2, 3))).astype(np.float32)


def trained(days: int = 8) -> tuple[Detector, np.random.Generator, float]:
    """A detector that knows a week in quarters and its last day in minutes; ends at noon."""
    rng = np.random.default_rng(7)
    detector = Detector(IDS, KPIS, civil=CIVIL)
    end = days * DAY + DAY // 2
    for time_s in range(900, end - DAY + 1, 900):
        detector.learn(time_s, normal(time_s, rng), granularity_s=900)
    for time_s in range(end - DAY + 60, end + 1, 60):
        detector.learn(time_s, normal(time_s, rng), granularity_s=60)
    return detector, rng, float(end)


def run(
    detector: Detector, rng: np.random.Generator, start_s: float, seconds: int, shift: tuple[float, float, float]
) -> list[DetectorEvent]:
    """Judge live periods in which the first cell is shifted."""
    events: list[DetectorEvent] = []
    for time_s in np.arange(start_s + 10, start_s + seconds + 1, 10):
        values = normal(float(time_s), rng)
        values[0] += np.array(shift, np.float32)
        events.extend(detector.update(float(time_s), values, period_s=10))
    return events


QUIET = (0.0, 0.0, 0.0)
LOW_SIGNAL = (-10.0, 0.0, 0.0)


def test_a_normal_day_raises_nothing() -> None:
    detector, rng, now = trained()
    assert run(detector, rng, now, 4 * 3600, QUIET) == []
    assert (detector.score < 0.5).all()


def test_a_drop_of_the_signal_is_raised_within_a_minute_with_its_evidence() -> None:
    detector, rng, now = trained()
    run(detector, rng, now, 600, QUIET)
    events = run(detector, rng, now + 600, 120, LOW_SIGNAL)
    assert [(e.entity_id, e.state) for e in events] == [("cell-1-1", "raised")]
    assert events[0].time_s <= now + 600 + 60
    finding = events[0].findings[0]
    assert finding.kpi == "vsData6gMeanSsRsrp"
    assert finding.value == pytest.approx(-100, abs=2)
    assert finding.expected == pytest.approx(-90, abs=1)
    assert 0.5 < events[0].score < 1.0


def test_several_figures_of_a_cell_are_one_event() -> None:
    detector, rng, now = trained()
    events = run(detector, rng, now, 120, (-10.0, 60.0, -25.0))
    assert [e.state for e in events] == ["raised"]
    assert {f.kpi for f in events[0].findings} >= {"vsData6gMeanSsRsrp", "RRC.ConnMean"}


def test_it_is_cleared_when_the_figures_are_back() -> None:
    detector, rng, now = trained()
    run(detector, rng, now, 300, LOW_SIGNAL)
    assert detector.raised == ("cell-1-1",)
    events = run(detector, rng, now + 300, 300, QUIET)
    assert [(e.entity_id, e.state) for e in events] == [("cell-1-1", "cleared")]
    assert detector.raised == ()


def test_a_better_signal_and_a_lower_load_are_no_alarm() -> None:
    detector, rng, now = trained()
    assert run(detector, rng, now, 600, (15.0, -40.0, 0.0)) == []


def test_a_blip_shorter_than_the_minimum_is_no_alarm() -> None:
    detector, rng, now = trained()
    run(detector, rng, now, 300, QUIET)
    assert run(detector, rng, now + 300, 10, (-4.0, 0.0, 0.0)) == []
    assert run(detector, rng, now + 310, 300, QUIET) == []


def test_the_fault_does_not_become_normal() -> None:
    detector, rng, now = trained()
    run(detector, rng, now, 6 * 3600, LOW_SIGNAL)
    assert detector.raised == ("cell-1-1",)


def test_missing_figures_hold_the_state() -> None:
    detector, rng, now = trained()
    run(detector, rng, now, 120, LOW_SIGNAL)
    missing = np.full((2, 3), np.nan, np.float32)
    assert [e for t in range(60) for e in detector.update(now + 130 + 10 * t, missing, period_s=10)] == []
    assert detector.raised == ("cell-1-1",)


def test_a_figure_that_vanished_with_the_fault_is_still_shown_as_evidence() -> None:
    detector, rng, now = trained()
    run(detector, rng, now, 300, QUIET)
    run(detector, rng, now + 300, 10, (-30.0, 0.0, 0.0))
    events: list[DetectorEvent] = []
    for t in range(2, 7):
        dead = normal(now, rng)
        dead[0] = [np.nan, 0.0, 0.0]
        events.extend(detector.update(now + 300 + 10 * t, dead, period_s=10))
    assert {f.kpi for f in events[0].findings} == {"RRC.ConnMean", "vsData6gMeanSsRsrp"}


def test_a_change_of_our_own_becomes_the_new_normal() -> None:
    detector, rng, now = trained()
    run(detector, rng, now, 300, QUIET)
    detector.relearn(["cell-1-1"])
    assert run(detector, rng, now + 300, 1800, LOW_SIGNAL) == []
    events = run(detector, rng, now + 2100, 120, (-20.0, 0.0, 0.0))
    assert [(e.entity_id, e.state) for e in events] == [("cell-1-1", "raised")]
    assert events[0].findings[0].expected == pytest.approx(-100, abs=1)


def test_nothing_is_raised_before_a_day_is_known() -> None:
    detector = Detector(IDS, KPIS, civil=CIVIL)
    rng = np.random.default_rng(1)
    assert detector.warmup_remaining_s == DAY
    assert run(detector, rng, 0.0, 1200, QUIET) == []
    assert run(detector, rng, 1200.0, 600, LOW_SIGNAL) == []
    trained_detector, _, _ = trained()
    assert trained_detector.warmup_remaining_s == 0


def test_a_snapshot_goes_on_as_if_nothing_had_happened() -> None:
    detector, rng, now = trained()
    run(detector, rng, now, 300, LOW_SIGNAL)
    copy = Detector(IDS, KPIS, civil=CIVIL)
    copy.restore(detector.snapshot())
    assert copy.raised == detector.raised
    first = run(detector, np.random.default_rng(3), now + 300, 1800, QUIET)
    assert run(copy, np.random.default_rng(3), now + 300, 1800, QUIET) == first
    assert copy.snapshot() == detector.snapshot()


def test_a_snapshot_of_another_network_or_a_broken_one_is_refused() -> None:
    detector = Detector(IDS, KPIS, civil=CIVIL)
    with pytest.raises(InvalidInput, match="another network"):
        Detector(("cell-9-9",), KPIS, civil=CIVIL).restore(detector.snapshot())
    for broken in (b"", b"garbage", detector.snapshot()[:200]):
        with pytest.raises(CorruptStore, match="learned anew"):
            detector.restore(broken)


def test_alarms_from_before_a_restart_stand_until_the_figures_are_normal() -> None:
    detector, rng, now = trained()
    detector.resume(["cell-1-2", "cell-gone"])
    events = run(detector, rng, now, 300, QUIET)
    assert [(e.entity_id, e.state) for e in events] == [("cell-1-2", "cleared")]


def test_phases_follow_the_civil_clock_over_a_change_of_summer_time() -> None:
    berlin = CivilTime(epoch=datetime(2026, 10, 24, tzinfo=UTC), timezone="Europe/Berlin")  # clocks go back on the 25th
    assert phase_of(berlin, 0.0) == 24 + 2  # Saturday, two o'clock
    assert phase_of(berlin, 2 * DAY) == 1  # Monday, one o'clock: the same UTC hour


def test_an_hour_never_seen_at_weekends_borrows_from_working_days() -> None:
    baseline = Baseline((1, 1), days=10)
    for day in range(4):
        for hour in range(24):
            baseline.add(hour, np.array([[float(hour + day)]], np.float32))
    baseline.refresh()
    level, _ = baseline.expected(CIVIL, 5 * DAY + 12.5 * 3600)  # a Saturday
    assert level.item() == 13.5


def test_an_alarm_says_what_where_and_how_much() -> None:
    event = DetectorEvent(
        entity_id="cell-7-2",
        state="raised",
        time_s=5.0,
        score=0.6,
        findings=(
            Finding(kpi="RRC.ConnMean", value=9.0, expected=20.0, score=0.7),
            Finding(kpi="vsData6gMeanSsRsrp", value=-103.2, expected=-87.1, score=0.6),
        ),
    )
    words = words_of(event, name="cell 7-2")
    assert (words.probable_cause, words.event_type) == ("degradedSignal", "communicationsAlarm")
    assert words.probable_cause in DETECTOR_CAUSES
    assert words.severity is Severity.MAJOR
    assert "mean SS-RSRP of served UEs is -103.2 dBm, below the usual -87.1 dBm" in words.specific_problem
    assert [(e.kpi, e.unit) for e in words.evidence] == [("RRC.ConnMean", ""), ("vsData6gMeanSsRsrp", "dBm")]


def test_a_deserted_cell_is_critical() -> None:
    lost = Finding(kpi="RRC.ConnMean", value=0.0, expected=31.0, score=0.6)
    words = words_of(
        DetectorEvent(entity_id="cell-7-2", state="raised", time_s=5.0, score=0.6, findings=(lost,)), name="cell 7-2"
    )
    assert words.severity is Severity.CRITICAL
    assert "it has lost its users" in words.specific_problem


def watch_city(seed: int, fault_at_s: int, until_s: int) -> list[DetectorEvent]:
    """The default city with its past, then live; power loss at cell 7-2 after a while. Times count from live."""
    scenario = build_scenario(ScenarioSpec(seed=seed))
    topology = topology_of(scenario)
    past_s = 14 * DAY
    civil = CivilTime(epoch=datetime(2026, 11, 7, 14, 30, tzinfo=UTC), timezone=scenario.timezone)
    watched = WatchList(topology)
    watcher = Watcher(watched, Detector(watched.entity_ids, watched.kpis, civil=civil))
    past = generate_past(scenario, topology, civil, seed=seed, end_s=past_s, past_s=past_s, scene_id="city", epoch=1)
    assert watcher.see(list(past)) == ()
    network = Network(scenario, topology, civil, seed=seed, sim_time_s=past_s)
    events: list[DetectorEvent] = []
    for second in range(until_s):
        if second == fault_at_s:
            network.manage_fault(ManageFault(operation="inject", fault="power-loss", entity_id="cell-7-2"))
        for _ in range(10):
            network.step(0.1)
        report = network.close_period(scene_id="city", epoch=1, seq=second, granularity_period_s=1)
        events.extend(watcher.see([report]))
    return events


@pytest.mark.parametrize(
    "seed",
    [21, pytest.param(22, marks=pytest.mark.slow), *(pytest.param(s, marks=pytest.mark.slow) for s in (23, 24, 25))],
)
def test_the_city_is_quiet_for_ten_minutes_and_a_power_loss_is_found_within_ninety_seconds(seed: int) -> None:
    events = watch_city(seed, fault_at_s=600, until_s=690)
    assert [e.entity_id for e in events if e.state == "raised"][:1] == ["cell-7-2"]
    start = 14 * DAY
    assert all(e.time_s > start + 600 for e in events)
