"""The real city that ships: Luxembourg from the LuST scenario."""

from __future__ import annotations

import math
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from twin.entities import LandUse
from twin.geo import wgs84_to_enu
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.scenarios.mapfiles import read_maps

FOLDER = Path(__file__).parents[2] / "examples" / "cities" / "luxembourg"
MAPS = (FOLDER / "luxembourg.osm.gz", FOLDER / "luxembourg.poly.xml.gz")


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec(scenario=FOLDER / "luxembourg.yaml"))


def test_all_streets_and_buildings_of_the_files_are_read():
    raw = read_maps(MAPS, progress=lambda _step, _share: None)
    assert len(raw.streets) == 1368
    assert len(raw.buildings) == 13_552
    assert raw.missing_nodes == 0


def test_the_default_area_is_two_kilometres_of_dense_city(scenario):
    west, south, east, north = scenario.extent_m
    assert (east - west, north - south) == (2000.0, 2000.0)
    assert len(scenario.buildings) > 2000
    # The old town and the station quarter lie within it.
    assert scenario.origin.latitude_deg == pytest.approx(49.604, abs=0.01)
    assert scenario.origin.longitude_deg == pytest.approx(6.124, abs=0.01)


def test_at_most_thirty_sites_are_planned(scenario):
    assert 20 <= len(scenario.sites) <= 30
    assert len(scenario.cells) == 3 * len(scenario.sites)


def test_streets_and_buildings_of_two_projections_fit_together(scenario):
    """Few street nodes lie inside a building: a shift of ten metres would put many there."""

    def share_inside(shift_m):
        nodes = scenario.streets.node_m.astype(float) + shift_m
        hits = np.zeros(len(nodes), dtype=bool)
        for building in scenario.buildings:
            ring = building.footprint_m.astype(float)
            box = ((nodes >= ring.min(axis=0)) & (nodes <= ring.max(axis=0))).all(axis=1)
            for index in np.flatnonzero(box):
                east, north = nodes[index]
                (x0, y0), (x1, y1) = ring.T, np.roll(ring, -1, axis=0).T
                straddles = (y0 > north) != (y1 > north)
                slope = (x1 - x0) / np.where(straddles, y1 - y0, 1.0)
                hits[index] |= bool(np.count_nonzero(straddles & (east < x0 + (north - y0) * slope)) % 2)
        return hits.mean()

    here = share_inside((0.0, 0.0))
    assert here < 0.03
    assert all(share_inside(shift) > 2 * here for shift in [(15.0, 0.0), (-15.0, 0.0), (0.0, 15.0), (0.0, -15.0)])


def test_people_can_say_the_station(scenario):
    station = next(place for place in scenario.places if "the station" in place.aliases)
    assert station.name == "Gare Centrale"
    # The bus stop in front of Luxembourg station, 49.6005 N 6.1334 E.
    expected = wgs84_to_enu(49.6005, 6.1334, 0.0, origin=scenario.origin)
    assert math.dist(station.position_m[:2], expected[:2]) < 150.0


def test_every_estimated_height_is_marked(scenario):
    assert Counter(building.height_source for building in scenario.buildings) == {"footprint": len(scenario.buildings)}
    assert all(3.0 <= building.height_m <= 30.0 for building in scenario.buildings)


def test_all_land_uses_occur_on_the_ground(scenario):
    assert set(np.unique(scenario.land_use.code)) == set(range(len(LandUse)))


def test_everything_lies_in_the_area(scenario):
    west, south, east, north = scenario.extent_m
    points = [site.position_m[:2] for site in scenario.sites] + [ue.home_m for ue in scenario.ues]
    points += [place.position_m[:2] for place in scenario.places] + scenario.streets.node_m.tolist()
    assert all(west - 50 <= e <= east + 50 and south - 50 <= n <= north + 50 for e, n in points)


def test_the_notices_of_the_map_are_kept(scenario):
    notices = " ".join(scenario.attribution)
    assert "OpenStreetMap contributors" in notices
    assert "LuST" in notices
    assert "OpenStreetMap contributors" in (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")


def test_the_scenario_file_sets_zone_and_overrides(scenario):
    assert scenario.timezone == "Europe/Luxembourg"
    assert next(cell for cell in scenario.cells if cell.id == "cell-7-2").tx_power_dbm == pytest.approx(43.0, abs=1e-3)


def test_the_same_files_and_seed_give_the_same_city(scenario):
    again = build_scenario(ScenarioSpec(scenario=FOLDER / "luxembourg.yaml"))
    assert (again.digest, again.sites, again.cells, again.ues) == (
        scenario.digest, scenario.sites, scenario.cells, scenario.ues,
    )  # fmt: skip


def test_loading_and_cropping_takes_at_most_six_seconds():
    started = time.perf_counter()
    build_scenario(ScenarioSpec(city=MAPS))
    assert time.perf_counter() - started < 6.0
