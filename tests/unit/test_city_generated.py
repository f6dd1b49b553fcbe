"""The city that needs no file."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from twin.entities import LandUse
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec())


def _same(a, b):
    arrays = [(getattr(a.streets, n), getattr(b.streets, n)) for n in ("node_m", "edge", "edge_speed_mps")]
    return (
        all(np.array_equal(x, y) for x, y in arrays)
        and (a.sites, a.cells, a.ues, a.links, a.places) == (b.sites, b.cells, b.ues, b.links, b.places)
        and len(a.buildings) == len(b.buildings)
        and all(np.array_equal(x.footprint_m, y.footprint_m) for x, y in zip(a.buildings, b.buildings, strict=True))
        and np.array_equal(a.land_use.code, b.land_use.code)
    )


def test_it_has_19_sites_57_cells_and_500_ues(scenario):
    assert (len(scenario.sites), len(scenario.cells), len(scenario.ues)) == (19, 57, 500)


def test_the_same_seed_gives_the_same_city_and_digest(scenario):
    again = build_scenario(ScenarioSpec(seed=1))
    assert again.digest == scenario.digest
    assert _same(again, scenario)


def test_another_seed_gives_another_city_and_digest(scenario):
    other = build_scenario(ScenarioSpec(seed=2))
    assert other.digest != scenario.digest
    assert not _same(other, scenario)


def test_another_number_of_ues_gives_another_digest(scenario):
    assert build_scenario(ScenarioSpec(num_ues=10)).digest != scenario.digest


@pytest.mark.parametrize("seed", [0, 3, 11])
def test_every_seed_has_one_connected_street_graph_in_the_extent(seed):
    city = build_scenario(ScenarioSpec(seed=seed, num_ues=0))
    streets, (west, south, east, north) = city.streets, city.extent_m
    reached = np.zeros(len(streets.node_m), dtype=bool)
    reached[0] = True
    for _ in range(len(reached)):
        touching = reached[streets.edge].any(axis=1)
        before = reached.sum()
        reached[streets.edge[touching].ravel()] = True
        if reached.sum() == before:
            break
    assert reached.all()
    assert (streets.node_m >= (west, south)).all() and (streets.node_m <= (east, north)).all()
    assert len(streets.edge_name) == len(streets.edge)


@pytest.mark.parametrize("seed", [0, 3, 11])
def test_avenues_cross_the_river(seed):
    city = build_scenario(ScenarioSpec(seed=seed, num_ues=0))
    node_m, edge = city.streets.node_m, city.streets.edge
    crossing = (node_m[edge[:, 0], 1] < 450.0) & (node_m[edge[:, 1], 1] > 590.0)
    assert np.count_nonzero(crossing) >= 1
    assert node_m[:, 1].max() > 900.0


def test_people_find_the_places_that_a_city_has(scenario):
    names = {place.name for place in scenario.places}
    assert {"Central Station", "University", "Stadium", "Market Hall", "Harbour", "City Hospital"} <= names
    station = next(place for place in scenario.places if place.name == "Central Station")
    assert "the station" in station.aliases


def test_the_station_stands_on_transport_ground(scenario):
    station = next(place for place in scenario.places if place.name == "Central Station")
    grid = scenario.land_use
    column = int((station.position_m[0] - grid.west_m) // grid.cell_m)
    row = int((station.position_m[1] - grid.south_m) // grid.cell_m)
    assert tuple(LandUse)[grid.code[row, column]] is LandUse.TRANSPORT


def test_all_four_land_uses_have_buildings(scenario):
    assert {building.land_use for building in scenario.buildings} == set(LandUse)


def test_the_centre_is_taller_than_the_rim(scenario):
    radius_m = [float(np.hypot(*building.footprint_m.mean(axis=0))) for building in scenario.buildings]
    centre = [b.height_m for b, r in zip(scenario.buildings, radius_m, strict=True) if r < 400]
    rim = [b.height_m for b, r in zip(scenario.buildings, radius_m, strict=True) if r > 900]
    assert np.mean(centre) > 2 * np.mean(rim)


def test_slices_are_shared_out_as_planned(scenario):
    share = Counter(ue.slice_id for ue in scenario.ues)
    assert share["slice-embb"] == pytest.approx(425, abs=30)
    assert share["slice-urllc"] == pytest.approx(35, abs=18)
    assert share["slice-mmtc"] == pytest.approx(40, abs=18)


def test_most_still_ues_are_indoors_and_no_moving_one_is(scenario):
    still = [ue.indoor for ue in scenario.ues if ue.mobility == "still"]
    assert np.mean(still) == pytest.approx(0.7, abs=0.1)
    assert not any(ue.indoor for ue in scenario.ues if ue.mobility != "still")


def test_moving_ues_start_on_a_street_they_may_use(scenario):
    streets = scenario.streets
    drive = {
        tuple(np.round(p.astype(float), 2)) for p in streets.node_m[streets.edge[streets.edge_speed_mps > 0].ravel()]
    }
    assert all(tuple(np.round(ue.home_m, 2)) in drive for ue in scenario.ues if ue.mobility == "drive")


def test_every_id_is_unique_and_every_entity_indexed(scenario):
    topology = topology_of(scenario)
    assert len({entity.id for entity in topology.entities}) == len(topology)
    assert {"site-7", "cell-7-2", "ue-314", "building-12", "slice-embb", "node-upf", "node-agg-1", "link-agg-1"} <= {
        entity.id for entity in topology.entities
    }


def test_no_two_people_words_mean_the_same_place_and_building(scenario):
    places = {place.name.casefold() for place in scenario.places}
    assert not places & {building.name.casefold() for building in scenario.buildings}


def test_progress_goes_up_to_one():
    steps = []
    build_scenario(ScenarioSpec(num_ues=5), progress=lambda step, share: steps.append((step, share)))
    shares = [share for _, share in steps]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
