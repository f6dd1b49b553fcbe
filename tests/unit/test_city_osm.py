"""OpenStreetMap XML: what is read, what is tolerated, what is refused and how."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from twin.entities import LandUse
from twin.errors import ScenarioError
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.scenarios.mapfiles import read_maps

HEAD = "<?xml version='1.0' encoding='UTF-8'?>\n<osm version='0.6' generator='JOSM'>\n"


def node(number, lat, lon, tags=""):
    return f"<node id='{number}' lat='{lat}' lon='{lon}'>{tags}</node>\n"


def way(number, refs, **tags):
    inner = "".join(f"<nd ref='{ref}'/>" for ref in refs)
    inner += "".join(f"<tag k='{key.replace('__', ':')}' v='{value}'/>" for key, value in tags.items())
    return f"<way id='{number}'>{inner}</way>\n"


def square(first, lat, lon, size=0.0003):
    corners = [(lat, lon), (lat, lon + size), (lat + size, lon + size), (lat + size, lon)]
    return "".join(node(first - i, *corner) for i, corner in enumerate(corners)), [
        first, first - 1, first - 2, first - 3, first,
    ]  # fmt: skip


GRID = "".join(node(-1 - i, 49.6 + 0.002 * (i // 3), 6.1 + 0.003 * (i % 3)) for i in range(9))
STREETS = "".join(way(-100 - row, [-1 - 3 * row - i for i in range(3)], highway="residential") for row in range(3))
STREETS += way(-110, [-1, -4, -7], highway="primary", maxspeed="50", name="Rue Un") + way(
    -111, [-3, -6, -9], highway="footway"
)


@pytest.fixture
def read(tmp_path):
    def from_text(text, name="map.osm"):
        path = tmp_path / name
        path.write_text(HEAD + text + "</osm>\n", encoding="utf-8")
        return read_maps([path], progress=lambda _step, _share: None)

    return from_text


def error_of(tmp_path, text, name="map.osm"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ScenarioError) as caught:
        build_scenario(ScenarioSpec(city=(path,), num_ues=5))
    return str(caught.value)


def test_negative_ids_of_josm_are_read(read):
    raw = read(GRID + STREETS)
    assert len(raw.streets) == 5
    assert raw.missing_nodes == 0


def test_speed_and_permission_follow_class_and_maxspeed(read):
    raw = read(
        GRID
        + way(-1, [-1, -2], highway="motorway", maxspeed="130")
        + way(-2, [-1, -2], highway="residential", maxspeed="30 mph")
        + way(-3, [-1, -2], highway="footway")
        + way(-4, [-1, -2], highway="tertiary", maxspeed="LU:urban")
        + way(-5, [-1, -2], highway="service", access="private")
        + way(-6, [-1, -2], highway="residential", motor_vehicle="no")
        + way(-7, [-1, -2], highway="construction")
    )
    assert [(round(s.speed_mps, 2), s.walkable) for s in raw.streets] == [
        (36.11, False), (13.41, True), (0.0, True), (13.89, True), (0.0, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tags", "height_m", "levels"),
    [
        ({"height": "12.5 m"}, 12.5, None),
        ({"height": "40 ft"}, pytest.approx(12.192), None),
        ({"building__levels": "4"}, None, 4.0),
        ({"height": "tall", "building__levels": "-2"}, None, None),
    ],
)
def test_heights_are_read_in_their_units(read, tags, height_m, levels):
    nodes, ring = square(-50, 49.6005, 6.1005)
    building = read(nodes + way(-9, ring, building="yes", **tags)).buildings[0]
    assert (building.height_m, building.levels) == (height_m, levels)


@pytest.mark.parametrize(
    ("tags", "use"),
    [
        ({"building": "apartments"}, LandUse.RESIDENTIAL),
        ({"building": "office"}, LandUse.OFFICE),
        ({"building": "yes", "shop": "clothes"}, LandUse.ENTERTAINMENT),
        ({"building": "yes", "amenity": "university"}, LandUse.OFFICE),
        ({"building": "train_station"}, LandUse.TRANSPORT),
        ({"building": "yes"}, None),
    ],
)
def test_land_use_of_a_building_follows_its_tags(read, tags, use):
    nodes, ring = square(-50, 49.6005, 6.1005)
    assert read(nodes + way(-9, ring, **tags)).buildings[0].land_use is use


def test_a_multipolygon_joins_its_outer_ways_into_one_building(read):
    nodes, ring = square(-50, 49.6005, 6.1005)
    relation = (
        "<relation id='-7'><member type='way' ref='-20' role='outer'/><member type='way' ref='-21' role='outer'/>"
        "<tag k='type' v='multipolygon'/><tag k='building' v='retail'/></relation>"
    )
    raw = read(nodes + way(-20, ring[:3]) + way(-21, [ring[0], ring[3], ring[2]]) + relation)
    assert len(raw.buildings) == 1
    assert len(raw.buildings[0].ring_deg) == 4
    assert raw.buildings[0].land_use is LandUse.ENTERTAINMENT


def test_named_places_and_land_use_zones_are_read(read):
    nodes, ring = square(-50, 49.6005, 6.1005)
    raw = read(
        nodes
        + node(-60, 49.601, 6.101, "<tag k='railway' v='station'/><tag k='name' v='Gare'/>")
        + way(-9, ring, leisure="park", name="Parc")
    )
    assert sorted((place.name, place.category) for place in raw.places) == [("Gare", "station"), ("Parc", "park")]
    assert [zone.land_use for zone in raw.zones] == [LandUse.ENTERTAINMENT]


def test_deleted_elements_of_josm_are_skipped(read):
    raw = read(GRID + STREETS + way(-120, [-1, -9], highway="primary").replace("<way ", "<way action='delete' "))
    assert len(raw.streets) == 5


def test_a_few_missing_nodes_are_counted_and_tolerated(read):
    raw = read(GRID + STREETS + way(-130, [-1, -2, -999], highway="service"))
    assert raw.missing_nodes == 1
    assert len(raw.streets) == 6


def test_a_gzipped_map_is_the_same_city(tmp_path):
    text = (HEAD + GRID + STREETS + "</osm>").encode()
    plain, packed = tmp_path / "town.osm", tmp_path / "town.osm.gz"
    plain.write_bytes(text)
    packed.write_bytes(gzip.compress(text))
    a, b = (build_scenario(ScenarioSpec(city=(path,), num_ues=5)) for path in (plain, packed))
    assert a.digest == b.digest
    assert np.array_equal(a.streets.node_m, b.streets.node_m)
    assert a.name == "Town"


def test_buildings_and_streets_may_come_from_different_files(tmp_path):
    streets, houses = tmp_path / "streets.osm", tmp_path / "houses.osm"
    streets.write_text(HEAD + GRID + STREETS + "</osm>", encoding="utf-8")
    nodes, ring = square(-50, 49.6005, 6.1005)
    houses.write_text(HEAD + nodes + way(-9, ring, building="yes") + "</osm>", encoding="utf-8")
    scenario = build_scenario(ScenarioSpec(city=(streets, houses), num_ues=5))
    assert len(scenario.buildings) == 1
    assert len(scenario.streets.edge) == 10
    assert scenario.attribution == ("Map data © OpenStreetMap contributors, ODbL 1.0",)


def test_the_same_building_in_two_files_is_one(tmp_path):
    nodes, ring = square(-50, 49.6005, 6.1005)
    paths = (tmp_path / "a.osm", tmp_path / "b.osm")
    for path in paths:
        path.write_text(HEAD + GRID + STREETS + nodes + way(-9, ring, building="yes") + "</osm>", encoding="utf-8")
    assert len(build_scenario(ScenarioSpec(city=paths, num_ues=5)).buildings) == 1


def test_distances_on_the_map_are_metres(tmp_path):
    path = tmp_path / "town.osm"
    path.write_text(HEAD + GRID + STREETS + "</osm>", encoding="utf-8")
    node_m = build_scenario(ScenarioSpec(city=(path,), num_ues=0)).streets.node_m
    # A degree of latitude at 49.6 N is 111.22 km on WGS84, one of longitude 72.30 km.
    assert np.ptp(node_m[:, 1]) == pytest.approx(0.004 * 111_220, rel=1e-3)
    assert np.ptp(node_m[:, 0]) == pytest.approx(0.006 * 72_300, rel=1e-3)


def test_only_the_largest_connected_piece_of_streets_is_kept(tmp_path):
    path = tmp_path / "town.osm"
    island = node(-70, 49.6001, 6.1011) + node(-71, 49.6001, 6.1013) + way(-140, [-70, -71], highway="residential")
    path.write_text(HEAD + GRID + STREETS + island + "</osm>", encoding="utf-8")
    assert len(build_scenario(ScenarioSpec(city=(path,), num_ues=0)).streets.edge) == 10


def test_a_syntax_error_names_file_and_line(tmp_path):
    message = error_of(tmp_path, HEAD + GRID + "<way id='1'>\n<nd ref=1/></way></osm>")
    assert "map.osm" in message
    assert "line 13" in message


@pytest.mark.parametrize("latitude", ["91", "abc", "nan", "", "inf"])
def test_a_bad_latitude_names_the_node(tmp_path, latitude):
    message = error_of(tmp_path, HEAD + node(-34114, latitude, 6.1) + "</osm>")
    assert "node `-34114`" in message
    assert "line 3" in message


def test_a_bad_reference_names_the_way(tmp_path):
    message = error_of(tmp_path, HEAD + GRID + way(-77, ["x"], highway="residential") + "</osm>")
    assert "way `-77`" in message


def test_a_map_whose_nodes_are_all_missing_says_so(tmp_path):
    message = error_of(tmp_path, HEAD + STREETS + "</osm>")
    assert "15 node references lead nowhere" in message


def test_an_entity_bomb_is_refused_by_line(tmp_path):
    bomb = "<?xml version='1.0'?>\n<!DOCTYPE osm [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]>\n<osm>&b;</osm>"
    message = error_of(tmp_path, bomb)
    assert "line 2" in message
    assert "refused" in message


def test_a_truncated_archive_is_named(tmp_path):
    message = error_of(tmp_path, gzip.compress((HEAD + GRID + "</osm>").encode())[:-20], "map.osm.gz")
    assert "damaged gzip archive" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("<net version='1'/>", "root element `net`"),
        ("PBF\x00\x01", "no map this twin reads"),
        (HEAD + "</osm>", "holds no street"),
    ],
)
def test_a_file_that_is_no_map_says_what_is_expected(tmp_path, text, words):
    assert words in error_of(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ScenarioError, match=r"nowhere\.osm"):
        build_scenario(ScenarioSpec(city=(tmp_path / "nowhere.osm",)))


def test_a_map_without_streets_says_what_to_add(tmp_path):
    nodes, ring = square(-50, 49.6005, 6.1005)
    message = error_of(tmp_path, HEAD + nodes + way(-9, ring, building="yes") + "</osm>")
    assert "no street" in message


def test_an_area_outside_the_map_says_where_the_map_is(tmp_path):
    path = tmp_path / "town.osm"
    path.write_text(HEAD + GRID + STREETS + "</osm>", encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"reaches from -217 to 217 m east and -222 to 222 m north"):
        build_scenario(ScenarioSpec(city=(path,), area=(5000, 0, 100, 100)))


def test_an_area_crops_and_becomes_the_new_origin(tmp_path):
    path = tmp_path / "town.osm"
    path.write_text(HEAD + GRID + STREETS + "</osm>", encoding="utf-8")
    scenario = build_scenario(ScenarioSpec(city=(path,), area=(-250, -250, 300, 500), num_ues=0))
    assert scenario.extent_m == (-150.0, -250.0, 150.0, 250.0)
    assert len(scenario.streets.node_m) == 6
    assert scenario.origin.longitude_deg < 6.103


def test_one_mistyped_coordinate_does_not_move_the_map(tmp_path):
    plain, stray = tmp_path / "a.osm", tmp_path / "b.osm"
    far = node(-80, -12.5, 160.0) + node(-81, -12.6, 160.0) + way(-150, [-80, -81], highway="residential")
    plain.write_text(HEAD + GRID + STREETS + "</osm>", encoding="utf-8")
    stray.write_text(HEAD + GRID + STREETS + far + "</osm>", encoding="utf-8")
    a, b = (build_scenario(ScenarioSpec(city=(path,), num_ues=0)) for path in (plain, stray))
    assert (a.origin, a.extent_m) == (b.origin, b.extent_m)
