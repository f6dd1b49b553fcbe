"""Positions are a function of time alone, whatever moves the UEs."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from twin.entities import LandUse, UserEquipment
from twin.errors import ScenarioError
from twin.gathering import Gathering
from twin.mobility import RandomWaypoint, RecordedMobility, Tours, Tracks, mobility_of
from twin.traffic import FlashCrowd
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

EXTENT_M = (-500.0, -300.0, 500.0, 300.0)


def _ues(mobilities):
    return tuple(
        UserEquipment(
            id=f"ue-{n}", slice_id="slice-embb", mobility=how, land_use=LandUse.RESIDENTIAL, home_m=(10.0 * n, 5.0)
        )
        for n, how in enumerate(mobilities, start=1)
    )


UES = _ues(["walk", "still", "drive", "drive"] * 20)


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec(num_ues=200))


def _tracks():
    return Tracks(
        length_s=100.0,
        first=np.array([0, 3, 5]),
        when_s=np.array([0.0, 10.0, 50.0, 20.0, 40.0]),
        where_m=np.array([[0, 0], [100, 0], [100, 400], [-50, -50], [-50, 50]], dtype=np.float32),
    )


def _source(kind, scenario, seed=1):
    rng = np.random.default_rng(seed)
    if kind == "tours":
        return Tours(scenario.streets, scenario.ues, rng=rng)
    return RandomWaypoint(EXTENT_M, UES, rng=rng) if kind == "waypoint" else RecordedMobility(_tracks(), UES)


SOURCES = pytest.mark.parametrize("kind", ["tours", "waypoint", "recorded"])


@SOURCES
def test_a_position_depends_on_the_time_alone(kind, scenario):
    times = np.random.default_rng(5).uniform(-1e6, 1e6, 200)
    one, other = _source(kind, scenario), _source(kind, scenario)
    whole = one.track(times)
    for at in np.random.default_rng(6).permutation(200)[:60]:
        np.testing.assert_array_equal(other.moving_at(float(times[at])), whole[at])
        np.testing.assert_array_equal(other.at(float(times[at]))[other.moving], whole[at])


@SOURCES
def test_who_stays_at_home_is_at_home(kind, scenario):
    source = _source(kind, scenario)
    home = np.setdiff1d(np.arange(len(source.home_m)), source.moving)
    np.testing.assert_array_equal(source.at(4321.0)[home], source.home_m[home])
    assert 0 < len(source.moving) < len(source.home_m)


@pytest.mark.parametrize(("kind", "fastest_mps"), [("tours", 40.0), ("waypoint", 14.0)])
def test_nobody_jumps(kind, fastest_mps, scenario):
    source = _source(kind, scenario)
    way = source.track(np.arange(0.0, 8000.0, 1.0)).astype(np.float64)
    step_m = np.hypot(*np.moveaxis(np.diff(way, axis=0), -1, 0))
    assert 1.0 < step_m.max() <= fastest_mps + 0.01


def test_a_random_waypoint_fills_its_area():
    way = _source("waypoint", None).track(np.arange(0.0, 50_000.0, 50.0)).reshape(-1, 2)
    west, south, east, north = EXTENT_M
    assert ((way >= (min(west, 0), south)) & (way <= (max(east, 900), north))).all()
    assert way.min(axis=0) == pytest.approx([west, south], abs=30.0)
    # Random waypoints meet in the middle: fewer are found in the outer half of the area than in the inner one.
    inner = (np.abs(way) < np.array([353.6, 212.1])).all(axis=1).mean()
    assert inner > 0.55


def test_other_seeds_make_other_ways(scenario):
    for kind in ("tours", "waypoint"):
        one, other = (_source(kind, scenario, seed).at(500.0) for seed in (1, 2))
        assert not np.array_equal(one, other)


def test_a_record_is_followed_between_its_points():
    source = RecordedMobility(_tracks(), _ues(["drive", "drive"]))
    where = [source.moving_at(t)[0].tolist() for t in (0.0, 5.0, 10.0, 30.0, 50.0, 99.0)]
    assert where == [[0, 0], [50, 0], [100, 0], [100, 200], [100, 400], [100, 400]]


def test_a_vehicle_stands_at_its_ends_before_it_enters_and_after_it_left():
    source = RecordedMobility(_tracks(), _ues(["drive", "drive"]))
    where = [source.moving_at(t)[1].tolist() for t in (0.0, 20.0, 30.0, 40.0, 80.0)]
    assert where == [[-50, -50], [-50, -50], [-50, 0], [-50, 50], [-50, 50]]


def test_the_record_plays_again_and_also_lies_in_the_past():
    source = RecordedMobility(_tracks(), _ues(["drive", "drive"]))
    for t in (-395.0, -95.0, 105.0, 1e5 + 5.0):
        assert source.moving_at(t)[0].tolist() == [50, 0]


def test_more_drivers_than_vehicles_follow_later():
    source = RecordedMobility(_tracks(), _ues(["drive", "walk", "drive", "drive", "drive"]))
    assert source.moving.tolist() == [0, 2, 3, 4]
    now, half_a_record_later = source.moving_at(5.0), source.moving_at(55.0)
    np.testing.assert_array_equal(half_a_record_later[2:], now[:2])


def test_a_tick_of_2200_moving_ues_is_cheap():
    busy = build_scenario(ScenarioSpec(num_ues=5000))
    tours = Tours(busy.streets, busy.ues, rng=np.random.default_rng(1))
    best = np.inf
    for _ in range(5):
        begin = time.process_time()
        for tick in range(100):
            tours.moving_at(tick * 0.1)
        best = min(best, (time.process_time() - begin) / 100)
    assert best < 0.4e-3


EVENT = FlashCrowd(place_m=(100.0, 50.0), radius_m=40.0, start_s=1000.0, ramp_s=600.0, duration_s=5400.0, factor=5.0)


def _gathering(scenario, share=0.5):
    tours = Tours(scenario.streets, scenario.ues, rng=np.random.default_rng(1))
    return tours, Gathering(tours, EVENT, scenario.streets, share=share, rng=np.random.default_rng(3))


def test_guests_stand_at_the_event_while_it_lasts_and_nobody_else_does(scenario):
    tours, gathering = _gathering(scenario)
    # An hour after the last has left home all have arrived; the first goes 600 s before the end.
    place_m = gathering.moving_at(5000.0)
    apart = np.hypot(*(place_m - EVENT.place_m).T)
    assert len(gathering.guests) > 10
    assert apart[gathering.guests].max() <= EVENT.radius_m + 0.1
    others = np.setdiff1d(np.arange(len(place_m)), gathering.guests)
    np.testing.assert_array_equal(place_m[others], tours.moving_at(5000.0)[others])


def test_guests_walk_there_and_back_without_a_jump(scenario):
    _, gathering = _gathering(scenario)
    way = np.stack([gathering.moving_at(t) for t in np.arange(900.0, 12_000.0, 1.0)])[:, gathering.guests]
    step_m = np.hypot(*np.moveaxis(np.diff(way.astype(float), axis=0), -1, 0))
    assert step_m.max() < 40.0
    assert step_m[700:].max(axis=0).mean() > 1.0


def test_guests_go_on_with_their_tours_where_they_left_them(scenario):
    tours, gathering = _gathering(scenario)
    np.testing.assert_array_equal(gathering.at(1000.0), tours.at(1000.0))
    after, ever = gathering.track(np.array([20_000.0, 20_100.0])), tours.track(np.arange(0.0, 20_000.0, 10.0))
    for guest in gathering.guests[:10]:
        nearest = [np.hypot(*(ever[:, guest] - place).T).min() for place in after[:, guest]]
        # Ten seconds of driving lie between two of the places that are looked at.
        assert max(nearest) < 150.0


def test_an_event_that_nobody_is_asked_to_pulls_nobody(scenario):
    tours, gathering = _gathering(scenario, share=0.0)
    np.testing.assert_array_equal(gathering.moving_at(5000.0), tours.moving_at(5000.0))


def test_guests_of_two_events_go_to_the_first_and_then_to_the_second(scenario):
    _, first = _gathering(scenario, share=1.0)
    later = replace(EVENT, place_m=(-100.0, 150.0), start_s=20_000.0)
    both = Gathering(first, later, scenario.streets, share=1.0, rng=np.random.default_rng(4))
    for when_s, event, guests in ((5000.0, EVENT, first.guests), (24_000.0, later, both.guests)):
        apart = np.hypot(*(both.moving_at(when_s)[guests] - event.place_m).T)
        assert apart.max() <= event.radius_m + 0.1
    way = both.track(np.arange(900.0, 32_000.0, 5.0)).astype(float)
    assert np.hypot(*np.moveaxis(np.diff(way, axis=0), -1, 0)).max() < 5 * 40.0
    np.testing.assert_array_equal(both.moving_at(15_000.0), first.moving_at(15_000.0))


@pytest.mark.parametrize(("named", "kind"), [("tours", Tours), ("random_waypoint", RandomWaypoint)])
def test_the_scenario_names_what_moves_its_ues(scenario, named, kind):
    assert type(mobility_of(replace(scenario, mobility=named), rng=np.random.default_rng(1))) is kind


def test_a_scenario_that_follows_tracks_needs_them(scenario):
    followed = replace(scenario, mobility="fcd", tracks=_tracks())
    assert type(mobility_of(followed, rng=np.random.default_rng(1))) is RecordedMobility
    with pytest.raises(ScenarioError, match="`tracks`"):
        mobility_of(replace(scenario, mobility="fcd"), rng=np.random.default_rng(1))
