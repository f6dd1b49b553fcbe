"""What buildings hide: shadows by hand, floors over roofs, walls of one's own, and exact rays through a city."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.one_site import block, one_site
from twin.radio.blockage import Footprints, sight_of
from twin.radio.landscape import Landscape, indoor_points, outdoor_points, sectors_of
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

EXTENT_M = (-300.0, -300.0, 500.0, 500.0)
MAST_M = np.array([[0.0, 0.0, 25.0]], dtype=np.float32)
WALL = block(1, 100.0, -60.0, 120.0, 60.0, height_m=15.0)
"""Its roof edge far from the mast is 120 m away and 10 m below the antenna: its shadow on users at 1.5 m ends where
the ray has come down 23.5 m, after 120 x 23.5 / 10 = 282 m."""


def _seen(*buildings, mast_m=MAST_M):
    sight = sight_of(buildings, EXTENT_M, mast_m)

    def at(east_m, north_m):
        column, row = ((value + 300.0) * sight.raster[2] for value in (east_m, north_m))
        return sight.seen[int(row), int(column)]

    return at


def _open(east_m, north_m=0.0):
    """Return what trees and vans leave of 255: 0.15 of 25 dB for each metre below 6 m, seen from 25 m."""
    return 255.0 * (1.0 - 0.15 / 25.0 * np.hypot(east_m, north_m) * 4.5 / 23.5)


@pytest.mark.parametrize(
    ("east_m", "north_m", "lit"),
    [
        (60.0, 0.0, True),
        (140.0, 0.0, False),
        (230.0, 0.0, False),
        (310.0, 0.0, True),
        (160.0, 130.0, True),
        (-100.0, 0.0, True),
    ],
)
def test_a_wall_throws_the_shadow_that_geometry_says(east_m, north_m, lit):
    assert _seen(WALL)(east_m, north_m)[0] == pytest.approx(lit * _open(east_m, north_m), abs=3)


@pytest.mark.parametrize("east_m", [150.0, 200.0, 250.0])
def test_how_high_one_must_be_to_see_the_mast_over_a_roof(east_m):
    need_m = _seen(WALL)(east_m, 2.0)[1] * 0.5
    assert need_m == pytest.approx(25.0 - east_m * 10.0 / 120.0, abs=1.0)


def test_the_sight_ends_softly():
    at = _seen(WALL)
    share = np.array([at(160.0, north)[0] for north in np.arange(30.0, 130.0, 4.0)]).astype(int)
    assert (np.diff(share) >= -1).all()
    assert share[0] == 0
    assert share[-1] == pytest.approx(_open(160.0, 126.0), abs=3)


@pytest.mark.parametrize("behind_m", [12.0, 16.0, 20.0, 24.0])
def test_behind_a_corner_the_signal_falls_with_the_logarithm_of_the_way(behind_m):
    """ITU-R P.1411: L_corner log(1 + x) / log(1 + d_corner), x squares of 4 m from the border of the shadow.

    The border goes 60 m north on 100 m to the east: who walks north-east meets it after 1 / 1.6 of the way due north.
    """
    x = np.maximum(behind_m + np.arange(-8.0, 9.0, 4.0), 0.0) / 1.6
    law = 1.0 - np.log10(1.0 + x) / np.log10(31.0)
    mean = np.average(law, weights=[1, 2, 3, 2, 1])
    left = _seen(WALL)(160.0, 96.0 - behind_m)[0] / _open(160.0, 96.0 - behind_m)
    assert left == pytest.approx(mean, abs=0.05)


def test_a_low_house_hides_nobody_a_street_away():
    low = replace(WALL, height_m=2.0)
    assert _seen(low)(140.0, 0.0)[0] == pytest.approx(_open(140.0), abs=3)


def test_one_sees_out_of_ones_own_building_but_not_through_the_next():
    behind = block(2, 200.0, -60.0, 230.0, 60.0, height_m=12.0)
    at = _seen(WALL, behind)
    assert at(110.0, 0.0)[1] == 0
    assert at(215.0, 0.0)[1] * 0.5 == pytest.approx(25.0 - 200.0 * 10.0 / 120.0, abs=1.5)


def test_the_roof_that_an_antenna_stands_on_does_not_hide_it():
    under = block(3, -40.0, -40.0, 40.0, 40.0, height_m=24.0)
    assert _seen(under)(48.0, 0.0)[0] == pytest.approx(_open(48.0), abs=3)
    assert _seen(under)(48.0, 0.0)[1] == 0


def test_the_same_city_is_looked_at_once_and_another_one_anew():
    first = sight_of((WALL,), EXTENT_M, MAST_M)
    assert sight_of((replace(WALL),), EXTENT_M, MAST_M.copy()).seen is first.seen
    assert sight_of((replace(WALL, height_m=16.0),), EXTENT_M, MAST_M).seen is not first.seen


def test_without_buildings_there_is_no_raster():
    assert sight_of((), EXTENT_M, MAST_M).seen.size == 0


def _gain(scenario, points):
    landscape = Landscape(scenario, rng=np.random.default_rng(1))
    landscape.air.shadow[:] = 0.0
    return landscape.gain_db(points, sectors_of(scenario.cells)).max(axis=1)


def test_the_shadow_of_a_wall_costs_signal():
    scenario = one_site(environment="UMa", buildings=(WALL,))
    # On the axis of the first sector's neighbour: same distance, wall on one side only.
    hidden, free = _gain(scenario, outdoor_points(np.array([[140.0, 0.0], [-140.0, 0.0]], np.float32)))
    assert free - hidden > 10.0


def test_upper_floors_hear_more_than_the_ground_floor_behind_a_wall():
    behind = block(2, 200.0, -60.0, 230.0, 60.0, height_m=24.0)
    scenario = one_site(environment="UMa", buildings=(WALL, behind))
    points = indoor_points(np.full((2, 2), (215.0, 0.0), np.float32), np.ones(2, bool), rng=np.random.default_rng(1))
    points.height_m[:] = 1.5, 19.5
    points.coated[:], points.depth_loss_db[:] = False, 0.0
    low, high = _gain(scenario, points)
    assert high - low > 8.0


def test_off_the_map_line_of_sight_is_a_matter_of_chance():
    scenario = one_site(environment="UMa", buildings=(WALL,))
    far = np.column_stack([np.linspace(600, 5000, 300), np.linspace(600, 5000, 300)]).astype(np.float32)
    np.testing.assert_allclose(
        _gain(scenario, outdoor_points(far)), _gain(replace(scenario, buildings=()), outdoor_points(far)), atol=1e-3
    )


def test_floors_come_from_the_height_of_the_building():
    footprints = Footprints((WALL, block(2, 200.0, 0.0, 230.0, 30.0, height_m=5.0)), EXTENT_M)
    places = np.array([[110.0, 0.0], [215.0, 15.0], [99.2, 0.0], [0.0, 0.0]], np.float32)
    assert footprints.storeys(places).tolist() == [5, 1, 5, 0]


def test_the_raster_agrees_with_exact_rays_through_the_generated_city():
    from shapely import LineString, STRtree
    from shapely.geometry import Polygon

    scenario = build_scenario(ScenarioSpec())
    buildings = scenario.buildings
    site = next(site for site in scenario.sites if site.height_m < 40.0)
    mast = np.array([[*site.position_m[:2], site.height_m]], np.float32)
    sight = sight_of(buildings, scenario.extent_m, mast)
    shapes = [Polygon(one.footprint_m) for one in buildings]
    tree = STRtree(shapes)
    rng = np.random.default_rng(6)
    places = rng.uniform(-900, 900, (1500, 2)).astype(np.float32)
    places = places[~Footprints(buildings, scenario.extent_m).contain(places)]
    own = Footprints(buildings, scenario.extent_m).building_at(mast[:, :2])[0]
    right, sure = 0, 0
    for place in places:
        column, row = ((place - np.array(scenario.extent_m[:2], np.float32)) * sight.raster[2]).astype(int)
        share = sight.seen[row, column, 0]
        if 0 < share < 255:
            continue
        sure += 1
        ray = LineString([mast[0, :2], place])
        length = ray.length
        hidden = False
        for number in tree.query(ray):
            if number == own:
                continue
            crossed = shapes[number].intersection(ray)
            if crossed.is_empty:
                continue
            # A straight ray comes down steadily: the far end of a crossing is where it is lowest.
            far = max(ray.project(type(ray.interpolate(0))(xy)) for part in getattr(crossed, "geoms", [crossed])
                      for xy in part.coords)  # fmt: skip
            hidden |= site.height_m - (site.height_m - 1.5) * far / length < buildings[number].height_m
        right += hidden == (share == 0)
    assert sure > 800
    assert right / sure > 0.96
