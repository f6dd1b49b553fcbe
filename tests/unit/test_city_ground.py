"""Land use, heights, homes and named places where the map says little."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from twin.entities import Building, LandUse
from twin_app.scenarios.citymap import area_m2, centroid_m, rng_of
from twin_app.scenarios.heights import height_of
from twin_app.scenarios.landuse import UNKNOWN, Raster, estimate_land_use, ground_grid
from twin_app.scenarios.named_places import named_places
from twin_app.scenarios.population import point_inside
from twin_app.scenarios.rawmap import RawBuilding, RawPlace

L_SHAPE = np.array([[0, 0], [20, 0], [20, 10], [10, 10], [10, 30], [0, 30]], dtype=np.float32)
USES = tuple(LandUse)


def raw_building(**rest):
    ring = np.array([[49.6, 6.1], [49.6, 6.2], [49.7, 6.2]])
    return RawBuilding(**({"ring_deg": ring, "name": "", "height_m": None, "levels": None, "land_use": None} | rest))


def place(name, category, east, north):
    return RawPlace(latitude_deg=0.0, longitude_deg=0.0, name=name, category=category), np.array([east, north])


def test_area_and_centre_of_an_l_are_those_of_its_two_rectangles():
    assert area_m2(L_SHAPE) == 400.0
    assert centroid_m(L_SHAPE) == pytest.approx((7.5, 12.5))


def test_a_far_away_ring_keeps_its_centre():
    assert centroid_m(L_SHAPE + np.float32(5000.0)) == pytest.approx((5007.5, 5012.5), abs=0.01)


def test_points_inside_an_l_never_fall_into_its_notch():
    rng = rng_of(1, "test")
    points = np.array([point_inside(L_SHAPE, rng) for _ in range(500)])
    assert ((points >= 0).all(axis=1) & ((points[:, 0] <= 10) | (points[:, 1] <= 10))).all()
    assert points.mean(axis=0) == pytest.approx((7.5, 12.5), abs=1.0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({"height_m": 12.5, "levels": 9.0}, (12.5, "height")), ({"levels": 4.0}, (12.0, "levels"))],
)
def test_a_height_comes_first_then_storeys_of_three_metres(given, expected):
    assert height_of(raw_building(**given), area_m2=100.0, rng=rng_of(1, "h")) == expected


def test_estimated_heights_are_seeded_by_footprint_and_marked():
    shed, block = (
        [height_of(raw_building(), area_m2=area, rng=rng_of(seed, "h")) for seed in range(30)] for area in (30.0, 900.0)
    )
    assert {source for _, source in shed + block} == {"footprint"}
    assert {height for height, _ in shed} == {3.0}
    assert {height for height, _ in block} == {12.0, 15.0, 18.0, 21.0}


def test_land_use_is_believed_in_the_order_tags_zone_size():
    known = [LandUse.ENTERTAINMENT, None, None, None]
    zone_code = np.array([0, USES.index(LandUse.TRANSPORT), UNKNOWN, UNKNOWN], dtype=np.uint8)
    centre_m = np.array([[0.0, 0.0], [10.0, 0.0], [2000.0, 0.0], [2000.0, 50.0]])
    uses = estimate_land_use(
        known, zone_code=zone_code, centre_m=centre_m, area_m2=np.array([9e4, 100, 5000, 100]), rng=rng_of(1, "l")
    )
    assert uses == [LandUse.ENTERTAINMENT, LandUse.TRANSPORT, LandUse.OFFICE, LandUse.RESIDENTIAL]


def test_the_centre_mixes_shops_and_offices():
    count = 200
    uses = estimate_land_use(
        [None] * count,
        zone_code=np.full(count, UNKNOWN, dtype=np.uint8),
        centre_m=np.zeros((count, 2)),
        area_m2=np.full(count, 400.0),
        rng=rng_of(1, "l"),
    )
    share = Counter(uses)
    assert set(share) == {LandUse.OFFICE, LandUse.ENTERTAINMENT}
    assert share[LandUse.ENTERTAINMENT] == pytest.approx(90, abs=25)


def test_a_painted_zone_covers_its_squares_and_no_others():
    raster = Raster((-100.0, -100.0, 100.0, 100.0))
    raster.fill(np.array([[-100.0, -100.0], [0.0, -100.0], [0.0, 0.0], [-100.0, 0.0]]), LandUse.OFFICE)
    codes = raster.at(np.array([[-50.0, -50.0], [60.0, -50.0], [-50.0, 60.0], [60.0, 60.0]]))
    assert codes.tolist() == [USES.index(LandUse.OFFICE), UNKNOWN, UNKNOWN, UNKNOWN]


def test_ground_follows_zone_then_buildings_then_roads_then_housing():
    extent = (0.0, 0.0, 250.0, 250.0)
    zone_code = np.full((10, 10), UNKNOWN, dtype=np.uint8)
    road_code = zone_code.copy()
    zone_code[0, 0] = USES.index(LandUse.ENTERTAINMENT)
    road_code[9, :] = USES.index(LandUse.TRANSPORT)
    ring = np.array([[0, 0], [60, 0], [60, 60], [0, 60]], dtype=np.float32)
    office = Building(
        id="building-1", footprint_m=ring, height_m=9.0, height_source="footprint", land_use=LandUse.OFFICE
    )
    grid = ground_grid(
        extent, zone_code=zone_code, road_code=road_code, cell_m=25.0, buildings=[office],
        centre_m=np.array([[30.0, 30.0]]), area_m2=np.array([3600.0]),
    )  # fmt: skip
    picked = [USES[grid.code[row, column]] for row, column in [(0, 0), (1, 1), (9, 5), (5, 5)]]
    assert picked == [LandUse.ENTERTAINMENT, LandUse.OFFICE, LandUse.TRANSPORT, LandUse.RESIDENTIAL]


def test_two_stops_of_one_name_are_one_place_and_far_ones_are_numbered():
    places = named_places(
        [place("Wallis", "bus_stop", 0, 0), place("Wallis", "bus_stop", 30, 0), place("Wallis", "bus_stop", 900, 0)]
    )
    assert [p.name for p in places] == ["Wallis 1", "Wallis 2"]


def test_the_most_central_of_a_kind_carries_the_common_words():
    places = named_places([place("West", "station", -900, 0), place("Main", "station", 50, 0)])
    assert {p.name: p.aliases[:1] for p in places} == {"Main": ("the station",), "West": ()}


def test_a_bus_stop_stands_for_the_station_only_where_the_map_has_none():
    stop = place("Gare Centrale", "bus_stop", 10, 10)
    assert "the station" in named_places([stop])[0].aliases
    both = {p.name: p.aliases for p in named_places([stop, place("Hbf", "station", 500, 0)])}
    assert both["Gare Centrale"] == ()
    assert "the station" in both["Hbf"]


@pytest.mark.parametrize(("name", "tidy"), [("primary_school", "Primary school"), ("  Rue  du  Nord ", "Rue du Nord")])
def test_names_are_made_fit_for_people(name, tidy):
    assert named_places([place(name, "school", 0, 0)])[0].name == tidy


def test_a_crowded_map_keeps_the_most_prominent_places():
    stops = [place(f"Stop {i}", "bus_stop", i, 0) for i in range(400)]
    places = named_places([*stops, place("Arena", "stadium", 5000, 0)])
    assert len(places) == 200
    assert places[0].name == "Arena"
