"""SUMO polygons and GeoJSON."""

from __future__ import annotations

import json

import numpy as np
import pyproj
import pytest

from twin.entities import LandUse
from twin.errors import ScenarioError
from twin_app.scenarios.mapfiles import read_maps

LOCATION = (
    '<location netOffset="-285448.66,-5492398.13" convBoundary="0,0,1,1" origBoundary="0,0,1,1"'
    ' projParameter="+proj=utm +zone=32 +ellps=WGS84 +datum=WGS84 +units=m +no_defs"/>\n'
)


def poly(kind, shape="100,100 120,100 120,130 100,130 100,100", **rest):
    params = "".join(f'<param key="{key.replace("__", ":")}" value="{value}"/>' for key, value in rest.items())
    return f'<poly id="-146876" type="{kind}" shape="{shape}">{params}</poly>\n'


@pytest.fixture
def read(tmp_path):
    def from_text(text, name):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return read_maps([path], progress=lambda _step, _share: None)

    return from_text


def sumo(read, text, location=LOCATION):
    return read(f"<additional>\n{location}{text}</additional>", "map.poly.xml")


def geojson(read, *features):
    return read(json.dumps({"type": "FeatureCollection", "features": list(features)}, indent=1), "map.geojson")


def feature(kind, coordinates, **properties):
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


RING = [[6.1, 49.6], [6.101, 49.6], [6.101, 49.601], [6.1, 49.601], [6.1, 49.6]]


def test_sumo_metres_minus_the_offset_are_utm_of_the_zone(read):
    ring_deg = sumo(read, poly("building")).buildings[0].ring_deg
    peer = pyproj.Transformer.from_crs("EPSG:32632", "EPSG:4326")
    expected = peer.transform(100 + 285448.66, 100 + 5492398.13)
    assert ring_deg[0] == pytest.approx(expected, abs=1e-8)
    assert len(ring_deg) == 4


@pytest.mark.parametrize(
    ("kind", "use"),
    [("building", None), ("building.house", LandUse.RESIDENTIAL), ("building.office", LandUse.OFFICE)],
)
def test_sumo_building_types_give_land_use(read, kind, use):
    assert [building.land_use for building in sumo(read, poly(kind)).buildings] == [use]


@pytest.mark.parametrize(
    ("kind", "use"),
    [
        ("parking", LandUse.TRANSPORT),
        ("amenity", LandUse.OFFICE),
        ("landuse.residential", LandUse.RESIDENTIAL),
        ("leisure.park", LandUse.ENTERTAINMENT),
    ],
)
def test_sumo_land_use_types_are_zones(read, kind, use):
    raw = sumo(read, poly(kind))
    assert [zone.land_use for zone in raw.zones] == [use]
    assert raw.buildings == []


def test_sumo_parameters_carry_heights(read):
    assert sumo(read, poly("building", height="17")).buildings[0].height_m == 17.0


@pytest.mark.parametrize("shape", ["", "1,2 x,3", "1,2 3", "nan,1 2,2 3,3"])
def test_a_bad_sumo_shape_names_line_and_polygon(read, shape):
    with pytest.raises(ScenarioError, match=r"line 3, poly `-146876`"):
        sumo(read, poly("building", shape=shape))


@pytest.mark.parametrize(
    "location",
    [
        "",
        '<location netOffset="0,0" projParameter="!"/>\n',
        '<location netOffset="zero" projParameter="+proj=utm +zone=32"/>\n',
        '<location netOffset="0,0" projParameter="+proj=nonsense"/>\n',
        '<location netOffset="-1e30,0" projParameter="+proj=utm +zone=32"/>\n',
    ],
)
def test_a_sumo_file_whose_place_is_unknown_is_refused(read, location):
    with pytest.raises(ScenarioError, match="location"):
        sumo(read, poly("building"), location)


def test_geojson_polygons_without_tags_are_buildings(read):
    raw = geojson(read, feature("Polygon", [RING], num_floors=5), feature("MultiPolygon", [[RING], [RING]], height=9))
    assert [(b.height_m, b.levels) for b in raw.buildings] == [(None, 5.0), (9.0, None), (9.0, None)]
    assert raw.buildings[0].ring_deg[0].tolist() == [49.6, 6.1]


def test_geojson_lines_points_and_zones_are_read_by_their_tags(read):
    raw = geojson(
        read,
        feature("LineString", RING[:3], highway="residential", name="A"),
        feature("Point", [6.1, 49.6], railway="station", name="Gare"),
        feature("Polygon", [RING], landuse="industrial"),
    )
    assert [street.name for street in raw.streets] == ["A"]
    assert [place.category for place in raw.places] == ["station"]
    assert [zone.land_use for zone in raw.zones] == [LandUse.OFFICE]


def test_projected_geojson_is_refused_by_feature_number(read):
    projected = feature("Polygon", [[[285448.0, 5492398.0], [285458.0, 5492398.0], [285448.0, 5492408.0]]])
    with pytest.raises(ScenarioError, match=r"feature 1.*WGS84"):
        geojson(read, feature("Polygon", [RING]), projected)


def test_a_geojson_syntax_error_names_the_line(read):
    with pytest.raises(ScenarioError, match="line 2"):
        read('{"type": "FeatureCollection",\n "features": [}', "map.geojson")


@pytest.mark.parametrize("text", ['{"type": "Feature"}', "[1, 2]", '{"features": 3}'])
def test_other_json_says_what_is_expected(read, text):
    with pytest.raises(ScenarioError, match="FeatureCollection"):
        read(text, "map.json")


@pytest.mark.parametrize("broken", [{}, {"geometry": 5}, None, {"geometry": {"type": "Polygon", "coordinates": [1]}}])
def test_a_broken_feature_is_named_by_number(read, broken):
    with pytest.raises(ScenarioError, match="feature 0"):
        geojson(read, broken)


def test_a_feature_without_geometry_is_skipped(read):
    raw = geojson(read, {"type": "Feature", "geometry": None, "properties": None}, feature("Polygon", [RING]))
    assert len(raw.buildings) == 1
    assert np.isfinite(raw.buildings[0].ring_deg).all()
