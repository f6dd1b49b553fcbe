"""Carriers, hot-spots, panels and targets planned on a city, and the example that has them all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from twin.entities import Kind
from twin.errors import ScenarioError
from twin.radio.blockage import Footprints, sight_of
from twin.sixg import ris
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.scenarios.citymap import SitePlan
from twin_app.scenarios.generated import generated_city, generated_sites
from twin_app.scenarios.radio_plan import co_sited, neighbour_relations, sites_and_cells
from twin_app.scenarios.sixg_plan import HOT_SPOT_HEIGHT_M, PANEL_HEIGHT_M, drones, hot_spots, panels

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/scenarios/sixg.yaml"


@pytest.fixture(scope="module")
def city():
    return generated_city(1)


@pytest.fixture(scope="module")
def macro(city):
    return sites_and_cells(generated_sites(city, seed=1), seed=1)


@pytest.fixture(scope="module")
def walls(city, macro):
    return panels(city, *macro, count=3)


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec(scenario=EXAMPLE))


def test_a_second_carrier_numbers_on_where_the_sectors_end(macro):
    added = {cell.id: cell for cell in co_sited(macro[1], carrier_hz=10e9, bandwidth_hz=200e6)}
    beside = next(cell for cell in macro[1] if cell.id == "cell-7-1")
    cell = added["cell-7-4"]
    assert len(added) == len(macro[1])
    assert cell.dn == "SubNetwork=1,ManagedElement=gNB-7,GNBDUFunction=7,NRCellDU=4"
    assert {"7-4", "S7-4"} <= set(cell.aliases)
    assert (cell.azimuth_deg, cell.environment, cell.site_id) == (
        beside.azimuth_deg,
        beside.environment,
        beside.site_id,
    )
    assert cell.nr_pci != beside.nr_pci
    assert cell.nr_pci % 3 == beside.nr_pci % 3


def test_a_site_of_six_sectors_counts_on_at_seven():
    plan = SitePlan(
        position_m=(0.0, 0.0),
        height_m=25.0,
        isd_m=500.0,
        environment="UMa",
        azimuths_deg=tuple(float(60 * k) for k in range(6)),
    )
    _, cells = sites_and_cells([plan], seed=1)
    second = co_sited(cells, carrier_hz=10e9, bandwidth_hz=200e6)
    third = co_sited((*cells, *second), carrier_hz=14e9, bandwidth_hz=200e6)[:6]
    assert [cell.id for cell in second] == [f"cell-1-{number}" for number in range(7, 13)]
    assert [cell.id for cell in third] == [f"cell-1-{number}" for number in range(13, 19)]


def test_relations_within_a_carrier_stay_and_those_between_carriers_come_on_top(macro):
    sites, cells = macro
    alone = {(r.source_id, r.target_id) for r in neighbour_relations(sites, cells)}
    both = (*cells, *co_sited(cells, carrier_hz=10e9, bandwidth_hz=200e6))
    hz = {cell.id: cell.carrier_hz for cell in both}
    pairs = {(r.source_id, r.target_id) for r in neighbour_relations(sites, both)}
    assert {(a, b) for a, b in pairs if hz[a] == hz[b] == 3.5e9} == alone
    across = Counter(a for a, b in pairs if hz[a] != hz[b])
    assert set(across) == set(hz)
    assert max(across.values()) <= 3
    assert ("cell-7-1", "cell-7-4") in pairs


def test_hot_spots_stand_on_streets_where_people_meet_and_apart(city):
    spots = hot_spots(city, count=5, carrier_hz=140e9, bandwidth_hz=400e6, seed=1)
    place_m = np.array([spot.position_m for spot in spots])
    apart = np.hypot(*(place_m[:, None] - place_m[None]).transpose(2, 0, 1)) + 1e9 * np.eye(5)
    station = next(place for place in city.places if place.category == "station")
    assert apart.min() >= 120.0
    assert np.hypot(*(place_m[0] - np.array(station.position_m[:2]))) < 120.0
    assert {(spot.environment, spot.height_m, spot.carrier_hz) for spot in spots} == {
        ("SubTHz", HOT_SPOT_HEIGHT_M, 140e9)
    }
    assert not Footprints(city.buildings, city.extent_m).contain(place_m.astype(np.float32)).any()


def test_a_hot_spot_knows_the_cells_over_it(city):
    spots = hot_spots(city, count=2, carrier_hz=140e9, bandwidth_hz=400e6, seed=1)
    sites, cells = sites_and_cells([*generated_sites(city, seed=1), *spots], seed=1)
    hz = {cell.id: cell.carrier_hz for cell in cells}
    pairs = [(r.source_id, r.target_id) for r in neighbour_relations(sites, cells)]
    over = Counter(a for a, b in pairs if hz[a] == 140e9 and hz[b] == 3.5e9)
    assert set(over.values()) == {3}
    assert len(over) == 6


def test_panels_hang_on_walls_and_see_their_mast(city, macro, walls):
    sites = {site.id: site for site in macro[0]}
    site_of = {cell.id: cell.site_id for cell in macro[1]}
    footprints = Footprints(city.buildings, city.extent_m)
    assert len(walls) == 3
    for panel in walls:
        facing = np.radians(panel.azimuth_deg)
        normal, place = np.array([np.sin(facing), np.cos(facing)]), np.array(panel.position_m[:2])
        assert footprints.contain((place - 3.0 * normal).astype(np.float32)[None])[0]
        assert not footprints.contain((place + 3.0 * normal).astype(np.float32)[None])[0]
        site = sites[site_of[panel.cell_id]]
        mast = np.array([[*site.position_m[:2], site.height_m]], dtype=np.float32)
        assert sight_of(city.buildings, city.extent_m, mast).sees(place[None], PANEL_HEIGHT_M)[0, 0]
        assert (mast[0, :2] - place) @ normal > 0.0


def test_each_panel_begins_with_a_beam_on_street_that_no_mast_sees(city, macro, walls):
    mast_m = np.array([[*site.position_m[:2], site.height_m] for site in macro[0]], dtype=np.float32)
    for panel in walls:
        beam = np.radians(panel.azimuth_deg + ris.beam_azimuth_deg(panel.phase_profile_index))
        along = np.arange(20.0, 140.0, 4.0)[:, None] * np.array([np.sin(beam), np.cos(beam)])
        street = np.array(panel.position_m[:2]) + along
        seen = sight_of(city.buildings, city.extent_m, mast_m).sees(street, 1.5).any(axis=0)
        own = sight_of(city.buildings, city.extent_m, np.array([panel.position_m], dtype="f4")).sees(street, 1.5)[0]
        assert (own & ~seen).sum() >= 3


def test_panels_are_the_same_each_time(city, macro, walls):
    assert panels(city, *macro, count=3) == walls


def test_drones_circle_above_the_roofs_near_them(city):
    found = drones(city, count=6, seed=2)
    assert [one.id for one in found] == [f"target-{number}" for number in range(1, 7)]
    for one in found:
        ring = np.array(one.path_m)
        assert len({height for _, _, height in one.path_m}) == 1
        radius = np.hypot(*(ring[:, :2] - ring[:, :2].mean(axis=0)).T)
        assert radius == pytest.approx(np.full(len(ring), radius.mean()), abs=0.2)
        assert 6.0 <= one.speed_mps <= 15.0


def test_panels_without_a_building_are_refused(city, macro):
    class Bare:
        buildings = ()
        extent_m = city.extent_m
        streets = city.streets

    with pytest.raises(ScenarioError, match="no building"):
        panels(Bare(), *macro, count=1)  # pyright: ignore[reportArgumentType]


def test_the_example_has_all_parts(scenario):
    topology = topology_of(scenario)
    carriers = Counter(cell.carrier_hz / 1e9 for cell in scenario.cells)
    assert carriers == {3.5: 57, 10.0: 57, 140.0: 12}
    assert len(topology.of_kind(Kind.RIS)) == 3
    assert len(topology.of_kind(Kind.TARGET)) == 4
    assert topology.get("cell-1-1").attributes["vsData6gIsac.sensingDutyCycle"] == 10.0
    assert topology.get("cell-2-1").attributes["vsData6gApCluster.maxServingAps"] == 3.0
    assert topology.get("ris-1").dn == "SubNetwork=1,ManagedElement=RIS-1,vsData6gRis=1"
