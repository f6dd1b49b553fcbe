"""A network whose UEs somebody else moves: places count as they are, walls stay walls, states go on."""

from datetime import UTC, datetime

import numpy as np
import pytest

from tests.street_route import nearest_node, route
from twin.clock import CivilTime
from twin.entities import Kind
from twin.errors import InvalidInput
from twin.guided import FARTHEST_M
from twin.network import Network
from twin.radio.blockage import Footprints
from twin.topology import Entity, topology_of
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

CIVIL = CivilTime(epoch=datetime(2026, 11, 17, 12, 0, tzinfo=UTC), timezone="Europe/Luxembourg")
SITE_A, SITE_B = "site-4", "site-9"


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec())


@pytest.fixture(scope="module")
def topology(scenario):
    return topology_of(scenario)


@pytest.fixture
def network(scenario, topology):
    made = Network(scenario, topology, CIVIL, seed=5)
    made.guide()
    return made


def _told(network):
    return network.telemetry(scene_id="x", epoch=1, seq=1)


def _figure(network, row, kpi):
    batch = _told(network)
    return float(batch.values[row, batch.kpis.index(kpi)])


def _ues(topology):
    return np.array([entity.index for entity in topology.of_kind(Kind.UE)], np.uint32)


def _place(network, topology, row, east_m, north_m):
    return network.place(_ues(topology)[[row]], np.array([[east_m, north_m, 1.5]], np.float32))


def _outdoor_row(scenario):
    return next(row for row, ue in enumerate(scenario.ues) if not ue.indoor)


def test_nobody_walks_by_himself_in_a_guided_network(network, scenario):
    network.step()
    before = _told(network).position_m.copy()
    for _ in range(50):
        network.step()
    np.testing.assert_array_equal(_told(network).position_m, before)
    np.testing.assert_allclose(before[:, :2], [ue.home_m for ue in scenario.ues], atol=1e-3)


def test_a_ue_stands_where_it_was_told(network, topology):
    _place(network, topology, 3, 12.25, -40.5)
    network.step()
    np.testing.assert_allclose(_told(network).position_m[3, :2], [12.25, -40.5])


def test_a_ue_that_drives_from_mast_to_mast_is_handed_over(network, scenario, topology):
    row = _outdoor_row(scenario)
    ends = (nearest_node(scenario, topology.get(site).position_m[:2]) for site in (SITE_A, SITE_B))
    sites = []
    places = list(route(scenario, *ends, step_m=15.0))
    # Whoever is put down somewhere else loses its cell first; it may lose one behind a corner too.
    _place(network, topology, row, *places[0])
    for _ in range(20):
        network.step()
    for place in [*places, places[-1], places[-1]]:
        _place(network, topology, row, *place)
        for _ in range(10):
            network.step()
        serving = int(_figure(network, row, "vsData6gServingCell"))
        if serving >= 0:
            sites.append(topology.at(serving).parent_id)
    assert (sites[0], sites[-1]) == (SITE_A, SITE_B)


def test_the_signal_falls_with_the_distance_from_the_city(network, scenario, topology):
    row = _outdoor_row(scenario)
    heard = []
    for east_m in (0.0, 2_000.0, 4_000.0, 8_000.0):
        levels = []
        for north_m in range(-300, 301, 100):  # over the shadows of single houses
            _place(network, topology, row, east_m, north_m)
            for _ in range(20):  # until it has changed to the cell that serves there
                network.step()
            levels.append(_figure(network, row, "RF.serving.RSRP"))
        heard.append(np.nanmean(levels) if np.isfinite(levels).any() else -200.0)
    assert heard == sorted(heard, reverse=True)


def test_positions_that_are_no_numbers_are_refused_and_the_ue_stays(network, topology):
    before = _told(network).position_m.copy()
    index = _ues(topology)[:3]
    place = np.array([[np.nan, 0, 0], [np.inf, 1, 0], [5, 6, 0]], np.float32)
    assert network.place(index, place) == 2
    network.step()
    after = _told(network)
    np.testing.assert_array_equal(after.position_m[:2], before[:2])
    np.testing.assert_array_equal(after.position_m[2, :2], [5, 6])
    assert np.isfinite(after.values[:, after.kpis.index("RF.serving.RSRP")]).any()


def test_a_place_beyond_everything_is_brought_back_and_hears_nothing(network, topology):
    _place(network, topology, 0, 1e30, 0.0)
    for _ in range(15):  # N310, then T310
        network.step()
    assert _told(network).position_m[0, 0] == FARTHEST_M
    assert _figure(network, 0, "vsData6gServingCell") == -1.0


def test_what_is_no_ue_is_left_alone(network, topology):
    before = _told(network).position_m.copy()
    cells = np.array([topology.of_kind(Kind.CELL)[0].index, 2**32 - 1], np.uint32)
    assert network.place(cells, np.zeros((2, 3), np.float32)) == 0
    network.step()
    np.testing.assert_array_equal(_told(network).position_m, before)


def test_walking_into_a_building_costs_signal_and_coming_back_brings_the_same_walls_back(network, scenario, topology):
    row = _outdoor_row(scenario)
    footprints = Footprints(scenario.buildings, scenario.extent_m)
    lost = []
    for building in scenario.buildings[:40]:
        inside = building.footprint_m.mean(axis=0)
        outside = np.array([building.footprint_m[:, 0].min() - 5.0, inside[1]], np.float32)
        if footprints.contain(np.stack([inside, outside])).tolist() != [True, False]:
            continue
        heard = []
        for place in (outside, inside, outside, inside):
            _place(network, topology, row, *place)
            network.step()
            heard.append(network._air.field.rsrp_dbm[row].max())
        assert heard[1] == heard[3]
        lost.append(heard[0] - heard[1])
    assert len(lost) > 5
    assert np.median(lost) > 8.0  # TR 38.901 table 7.4.3-2: a low-loss wall costs about 13 dB at 3.5 GHz


def test_who_was_never_moved_stays_indoors_as_the_scenario_says(scenario, topology):
    row = next(row for row, ue in enumerate(scenario.ues) if ue.indoor and ue.mobility == "still")
    walking = Network(scenario, topology, CIVIL, seed=5)
    guided = Network(scenario, topology, CIVIL, seed=5)
    guided.guide()
    for network in (walking, guided):
        network.step()
    np.testing.assert_array_equal(_told(walking).values[row], _told(guided).values[row])


def test_a_state_keeps_who_guides_and_goes_on_bit_for_bit(network, scenario, topology):
    rng = np.random.default_rng(7)
    home = _told(network).position_m
    for _ in range(5):
        network.place(_ues(topology), home + rng.normal(0, 20, home.shape).astype(np.float32))
        network.step()
    copy = Network(scenario, topology, CIVIL, seed=5)
    copy.restore(network.snapshot())
    assert copy.guided
    move = home + np.float32(3.0)
    for one in (network, copy):
        one.place(_ues(topology), move)
        for _ in range(10):
            one.step()
    np.testing.assert_array_equal(_told(network).values, _told(copy).values)
    np.testing.assert_array_equal(_told(network).position_m, _told(copy).position_m)


def test_a_state_of_a_walking_network_makes_a_guided_one_walk(scenario, topology, network):
    walking = Network(scenario, topology, CIVIL, seed=5)
    network.restore(walking.snapshot())
    assert not network.guided
    for one in (walking, network):
        for _ in range(20):
            one.step()
    np.testing.assert_array_equal(_told(network).values, _told(walking).values)


def test_released_ues_walk_their_tours_again(scenario, topology, network):
    walking = Network(scenario, topology, CIVIL, seed=5)
    network.release()
    for one in (walking, network):
        one.step()
    np.testing.assert_array_equal(_told(network).position_m, _told(walking).position_m)


def test_a_walking_network_takes_no_places(scenario, topology):
    with pytest.raises(InvalidInput, match="guide"):
        _place(Network(scenario, topology, CIVIL, seed=5), topology, 0, 0.0, 0.0)


def test_more_entities_leave_the_figures_as_they_are(scenario, topology, network):
    grown = topology.with_entities([Entity(index=topology.next_index, id="place-kiosk", kind=Kind.PLACE, name="kiosk")])
    other = Network(scenario, topology, CIVIL, seed=5)
    other.guide()
    other.adopt(grown)
    for one in (network, other):
        one.step()
    np.testing.assert_array_equal(_told(network).values, _told(other).values)
    assert (_told(network).revision, _told(other).revision) == (1, 2)


def test_footprints_agree_with_the_even_odd_rule_away_from_the_walls(scenario):
    from shapely import Point, Polygon

    footprints = Footprints(scenario.buildings, scenario.extent_m)
    places = np.random.default_rng(3).uniform(-900, 900, (400, 2)).astype(np.float32)
    everyone = [Polygon(one.footprint_m) for one in scenario.buildings]
    for place, said in zip(places, footprints.contain(places), strict=True):
        point = Point(place)
        wall_m = min(one.exterior.distance(point) for one in everyone)
        if wall_m > 2.0:
            assert said == any(one.contains(point) for one in everyone)


def test_outside_of_the_city_nothing_is_indoors(scenario):
    footprints = Footprints(scenario.buildings, scenario.extent_m)
    assert not footprints.contain(np.array([[1e5, 1e5], [-1e5, 0.0]], np.float32)).any()
