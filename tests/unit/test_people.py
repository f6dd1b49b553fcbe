"""Who uses the network: groups, level, and the crowd."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from twin import traffic
from twin.entities import LandUse
from twin.errors import InvalidInput, ScenarioError
from twin.people import CONNECTIONS_PER_CELL, METER_PERIOD_S, Level, People, num_users
from twin.setup_failures import ATTEMPTS_PER_CONNECTION_S
from twin.traffic.applications import application_code, applications
from twin.traffic.groups import GROUPS, MACHINES, PEOPLE, groups_of, profiles
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec())


def _people(scenario, seed=1, **changes):
    rng, walls = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    return People(scenario, rng=rng, walls=walls, **changes)


def test_shares_of_groups_and_of_their_time_are_whole():
    for shares in (*PEOPLE.values(), *MACHINES.values()):
        assert sum(shares.values()) == pytest.approx(1.0)
        assert set(shares) <= set(GROUPS)
    assert profiles().time_share.sum(axis=1) == pytest.approx(1.0)
    for group in GROUPS.values():
        assert sum(group.mobility) == pytest.approx(1.0)


def test_a_group_uses_only_what_its_slice_carries():
    for (_, sst), share in zip(profiles().keys, profiles().time_share, strict=True):
        assert {applications()[code].sst for code in np.flatnonzero(share)} == {sst}


@pytest.mark.parametrize("land_use", list(LandUse))
def test_groups_are_found_where_they_belong(land_use):
    """Share of each group among the broadband UEs of a land use, in a city of 20,000."""
    ues = [ue for ue in _big_city().ues if ue.land_use == land_use and ue.slice_id == "slice-embb"]
    for group, share in groups_of(1, land_use).items():
        found = sum(ue.group == group for ue in ues) / len(ues)
        # Four standard deviations of a share counted in so many UEs.
        assert found == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / len(ues)))


_CITIES = {}


def _big_city():
    if not _CITIES:
        _CITIES["big"] = build_scenario(ScenarioSpec(num_ues=20_000))
    return _CITIES["big"]


def test_commuters_move_and_machines_stay():
    def moving(group):
        mine = [ue.mobility != "still" for ue in _big_city().ues if ue.group == group]
        return sum(mine) / len(mine)

    assert moving("commuter") == pytest.approx(0.90, abs=0.03)
    assert moving("machine") == pytest.approx(0.05, abs=0.02)
    assert moving("vehicle") == 1.0


def test_the_same_seed_makes_the_same_people(scenario):
    assert build_scenario(ScenarioSpec()).ues == scenario.ues
    assert build_scenario(ScenarioSpec(seed=2)).ues != scenario.ues
    one, other = _people(scenario), _people(scenario)
    np.testing.assert_array_equal(one.busy_demand_bps, other.busy_demand_bps)
    times = np.array([0.0, 500.0])
    for mine, theirs in zip(one.demand_share(times, times), other.demand_share(times, times), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_video_makes_about_three_quarters_of_the_broadband_volume(scenario):
    people = _people(scenario)
    share = profiles().time_share[people.profile] * people.busy_duty[:, None]
    volume = (share * people.sessions.mean_application_bps).sum(axis=0)
    broadband = [code for code, one in enumerate(applications()) if one.sst == 1]
    assert volume[application_code("video")] / volume[broadband].sum() == pytest.approx(0.75, abs=0.08)


def test_a_subscription_asks_for_about_a_tenth_of_a_megabit_in_its_busy_hour():
    """20 GB a month are 61 kbit/s on average; the busy hour is twice as busy."""
    assert 61e3 < Level().busy_hour_bps < 3 * 61e3


def test_the_level_is_what_it_is_set_to(scenario):
    usual, double = (
        people.busy_demand_bps.sum() + people.busy_rate_bps.sum() - _machine_demand(scenario)
        for people in (_people(scenario, level=level) for level in (None, Level(month_byte=40e9)))
    )
    assert double == pytest.approx(2 * usual, rel=1e-4)
    wanted = Level().busy_hour_bps_per_hz * sum(cell.bandwidth_hz for cell in scenario.cells)
    assert usual == pytest.approx(wanted, rel=1e-4)


def test_ues_that_want_more_than_the_level_leave_nothing_to_the_crowd(scenario):
    people = _people(scenario, level=Level(month_byte=1e9))
    assert people.busy_demand_bps.sum() == pytest.approx(_machine_demand(scenario), rel=1e-4)


def test_a_ue_stands_for_about_twenty_subscriptions(scenario):
    assert 15 < _people(scenario).busy_rate_bps.mean() / Level().busy_hour_bps < 30


def test_a_scenario_file_sets_the_level(tmp_path):
    path = tmp_path / "city.yaml"
    path.write_text("demand: {month_gb: 40}\n")
    busy = build_scenario(ScenarioSpec(scenario=path))
    assert busy.month_byte == 40e9
    assert busy.digest != build_scenario(ScenarioSpec()).digest
    assert _people(busy).busy_demand_bps.sum() == pytest.approx(
        _people(busy, level=Level(month_byte=40e9)).busy_demand_bps.sum()
    )


def _machine_demand(scenario):
    people = _people(scenario)
    mmtc = [part.sst for part in scenario.slices].index(3)
    return people.busy_demand_bps[people.slice_of_user[people.num_ues :] == mmtc].sum()


def test_meters_make_as_many_attempts_as_their_reports(scenario):
    """Volume over the size of a report is the number of reports; each takes a connection of its own."""
    people = _people(scenario)
    mmtc = [part.sst for part in scenario.slices].index(3)
    connected = people.busy_connected[people.slice_of_user[people.num_ues :] == mmtc].sum()
    reports_per_s = _machine_demand(scenario) / 80.0
    assert reports_per_s == pytest.approx(connected * ATTEMPTS_PER_CONNECTION_S, rel=0.1)
    meters = reports_per_s * METER_PERIOD_S
    west, south, east, north = scenario.extent_m
    assert 100.0 < meters / (east - west) / (north - south) * 1e6 < 1000.0


def test_the_crowd_is_connected_in_all_cells_together(scenario):
    assert _people(scenario).busy_connected.sum() == pytest.approx(CONNECTIONS_PER_CELL * len(scenario.cells))


def test_machines_report_at_night_as_by_day_and_people_sleep(scenario):
    people = _people(scenario)
    night, noon = (people.demand_share(np.zeros(1), np.array([hour * 3600.0]))[0][0] for hour in (4, 13))
    machine = ~profiles().keeps_hours[people.profile]
    assert night[machine] == pytest.approx(noon[machine])
    assert night[~machine].mean() < 0.4 * noon[~machine].mean()


def test_districts_and_points_differ_by_the_fitted_and_the_assumed_noise(scenario):
    people = _people(scenario)
    times = np.arange(0.0, 400 * 7200.0, 7200.0)
    _, crowd = people.demand_share(times, np.full(400, 12 * 3600.0))
    logs = np.log(crowd / np.exp(np.log(crowd).mean(axis=0)))
    fitted = traffic.fitted("daily_curves.json")["noise"]["sigma"]
    assert logs.std() == pytest.approx(np.hypot(0.25, fitted), rel=0.05)


def test_an_unknown_group_is_refused(scenario):
    odd = replace(scenario, ues=(replace(scenario.ues[0], group="ghost"),))
    with pytest.raises(ScenarioError, match=r"`ghost`.*resident"):
        _people(odd)


def test_a_person_in_a_slice_for_machines_acts_as_one():
    table = profiles()
    assert table.code("resident", 3) == table.code("machine", 3)
    assert table.code("resident", 2) == table.code("vehicle", 2)


def test_a_measured_model_can_stand_in_for_the_parametric_one(scenario):
    week = traffic.WeekCurves(np.full((1, 1008), 0.25, dtype=np.float32))
    model = traffic.MeasuredTraffic(week, np.zeros(num_users(scenario), dtype=np.int64))
    people = _people(scenario, demand=model)
    duty, crowd = people.demand_share(np.zeros(3), np.array([0.0, 1e5, 5e5]))
    assert crowd == pytest.approx(np.full(crowd.shape, 0.25))
    assert duty == pytest.approx(np.tile(0.25 * people.busy_duty, (3, 1)))


def test_a_model_for_other_people_is_refused(scenario):
    week = traffic.WeekCurves(np.full((1, 1008), 0.25, dtype=np.float32))
    with pytest.raises(InvalidInput, match=r"`\(1, 7\)`.*num_users"):
        _people(scenario, demand=traffic.MeasuredTraffic(week, np.zeros(7, dtype=np.int64)))
