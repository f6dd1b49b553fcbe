"""The past: shape, order, agreement with the live network."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from twin.clock import CivilTime
from twin.entities import Kind
from twin.errors import OutOfRange
from twin.kpi import KPIS
from twin.network import Network
from twin.past import generate_past
from twin.topology import topology_of
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

CIVIL = CivilTime(epoch=datetime(2026, 11, 17, 14, 0, tzinfo=UTC), timezone="Europe/Luxembourg")
DAY_S = 86_400


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec())


@pytest.fixture(scope="module")
def topology(scenario):
    return topology_of(scenario)


def _past(scenario, topology, *, seed=1, past_s=2 * DAY_S, end_s=0.0):
    return list(
        generate_past(scenario, topology, CIVIL, seed=seed, end_s=end_s, past_s=past_s, scene_id="scene", epoch=3)
    )


@pytest.fixture(scope="module")
def two_days(scenario, topology):
    return _past(scenario, topology)


def _cells(reports, topology, kpi):
    rows = np.isin(reports[0].entity_index, [cell.index for cell in topology.of_kind(Kind.CELL)])
    return np.stack([report.values[rows, report.counters.index(kpi)] for report in reports])


def test_two_days_are_192_quarters_and_1440_minutes(two_days):
    lengths = [report.granularity_period_s for report in two_days]
    assert (lengths.count(900), lengths.count(60)) == (192, 1440)


def test_reports_come_in_order_of_time_and_end_now(two_days):
    ends = [report.period_end_sim_time_s for report in two_days]
    assert ends == sorted(ends)
    assert ends[-1] == 0.0
    assert ends[0] == -2 * DAY_S + 900


def test_reports_carry_scene_epoch_and_a_growing_number(two_days):
    assert {(report.scene_id, report.epoch) for report in two_days} == {("scene", 3)}
    assert [report.seq for report in two_days] == list(range(1, len(two_days) + 1))


def test_no_period_is_told_twice(two_days):
    keys = {(report.granularity_period_s, report.period_end_sim_time_s) for report in two_days}
    assert len(keys) == len(two_days)


def test_kpis_that_cannot_agree_are_absent_and_all_others_are_there(two_days):
    values = np.stack([report.values for report in two_days[:10]])
    for row in KPIS:
        if row.name in two_days[0].counters:
            present = bool(np.isfinite(values[..., two_days[0].counters.index(row.name)]).any())
            assert present == row.in_past, row.name


def test_a_quarter_of_the_last_day_is_the_sum_of_its_minutes(two_days, topology):
    quarter = [r for r in two_days if r.granularity_period_s == 900][-1:]
    minutes = [r for r in two_days if r.granularity_period_s == 60][-15:]
    for kpi in ("DRB.PdcpSduVolumeDL", "RRC.ConnEstabAtt"):
        whole, parts = _cells(quarter, topology, kpi)[0], _cells(minutes, topology, kpi).sum(axis=0)
        assert whole == pytest.approx(parts, rel=1e-4)
    mean = _cells(minutes, topology, "RRU.PrbTotDl").mean(axis=0)
    assert _cells(quarter, topology, "RRU.PrbTotDl")[0] == pytest.approx(mean, rel=1e-4)


def test_the_same_seed_gives_the_same_past(scenario, topology):
    first, second = (_past(scenario, topology, seed=4, past_s=7200) for _ in range(2))
    assert all(a.values.tobytes() == b.values.tobytes() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("past_s", "count"), [(0, 0), (899, 0), (900, 16), (DAY_S, 96 + 1440)])
def test_the_length_is_rounded_down_to_quarters(scenario, topology, past_s, count):
    assert len(_past(scenario, topology, past_s=past_s)) == count


def test_a_negative_past_is_refused(scenario, topology):
    with pytest.raises(OutOfRange, match="`-1 s`"):
        _past(scenario, topology, past_s=-1)


def test_load_follows_the_day(two_days, topology):
    """Busy-hour PRB load 30 to 60 % with some cells above 80 %, night 2 to 8 %."""
    quarters = [r for r in two_days if r.granularity_period_s == 900]
    hour = np.array([CIVIL.at(r.period_end_sim_time_s - 1.0).hour for r in quarters])
    load = _cells(quarters, topology, "RRU.PrbTotDl")
    assert 30.0 <= load[hour == 14].mean() <= 60.0
    assert load[hour == 14].max() > 80.0
    assert 2.0 <= load[hour == 4].mean() <= 8.0
    throughput_mbps = _cells(quarters, topology, "DRB.UEThpDl") / 1e3
    assert 30.0 <= np.nanmedian(throughput_mbps[hour == 14]) <= 500.0


def _per_period(kpi: str) -> bool:
    """Whether a counter grows with its period, so that a second and a minute differ sixtyfold by definition."""
    return next(row for row in KPIS if row.name == kpi).reduce == "sum"


SHIFT = 0.5
"""Tolerance on the typical shift of a cell's median between past and present, in robust sigmas of the past."""
SPREAD = (0.3, 1.6)
"""Tolerance on the typical ratio of the live spread to the past one; ninety seconds hold less drift than two hours."""


@pytest.fixture(scope="module")
def past_and_live(scenario, topology):
    """Each KPI per cell: two hours before (minutes, past) and ninety seconds after (seconds, live)."""
    past, live = {}, {}
    for seed in (1, 2, 3, 4):  # the drift of whole districts is common to all cells
        before = [r for r in _past(scenario, topology, seed=seed, past_s=7200) if r.granularity_period_s == 60]
        network = Network(scenario, topology, CIVIL, seed=seed)
        after = []
        for second in range(90):
            for _ in range(10):
                network.step(0.1)
            after.append(network.close_period(scene_id="scene", epoch=3, seq=second, granularity_period_s=1))
        for name in before[0].counters:
            scale = 60.0 if _per_period(name) else 1.0
            past.setdefault(name, []).append(_cells(before, topology, name) / scale)
            live.setdefault(name, []).append(_cells(after, topology, name))
    return {name: (np.concatenate(past[name], axis=1), np.concatenate(live[name], axis=1)) for name in past}


AGREEING = [row.name for row in KPIS if row.in_past and Kind.CELL in row.kinds]
SPREADLESS = {"RRU.PrbAvailDl", "DRB.RlcPacketDropRateDl", "vsData6gTransportLoss", "vsData6gWeakCoverage"}
"""The first does not move at all, the next two are zero but for rare moments, and the last moves as UEs walk, which
they hardly do in ninety seconds."""


def _measured(past, live):
    """Return the columns of cells that have both: not every cell serves a slice with a delay budget."""
    known = np.isfinite(past).any(axis=0) & np.isfinite(live).any(axis=0)
    assert known.mean() > 0.3
    return past[:, known], live[:, known]


@pytest.mark.parametrize("kpi", AGREEING)
def test_past_and_live_agree_in_level(past_and_live, kpi):
    past, live = _measured(*past_and_live[kpi])
    middle = np.nanmedian(past, axis=0)
    sigma = np.maximum(1.4826 * np.nanmedian(np.abs(past - middle), axis=0), 1e-3 * np.abs(middle) + 1e-9)
    # The median of a few counts is an integer; their mean is what a minute's count can be compared with.
    centre = np.nanmean if _per_period(kpi) else np.nanmedian
    shift = (centre(live, axis=0) - middle) / sigma
    assert abs(float(np.nanmedian(shift))) < SHIFT


@pytest.mark.parametrize(
    "kpi", [name for name in AGREEING if not _per_period(name) and "FailureRate" not in name and name not in SPREADLESS]
)
def test_past_and_live_agree_in_spread(past_and_live, kpi):
    """Sums over a second scatter more than sums over a minute, failure rates share their window: left out."""
    past, live = (np.nanpercentile(part, [25, 75], axis=0) for part in _measured(*past_and_live[kpi]))
    # What is zero most of the time, such as losses, has no spread there to compare with.
    moves = past[1] - past[0] > 1e-9
    ratio = float(np.nanmedian((live[1] - live[0])[moves] / (past[1] - past[0])[moves]))
    assert SPREAD[0] < ratio < SPREAD[1]
