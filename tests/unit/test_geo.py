"""WGS84, ENU and the axes of the engines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.geo import (
    Axes,
    azimuth_to_yaw_deg,
    ecef_to_wgs84,
    engine_to_enu,
    enu_to_engine,
    enu_to_wgs84,
    rotation_to_engine,
    rotation_to_enu,
    wgs84_to_ecef,
    wgs84_to_enu,
    yaw_to_azimuth_deg,
)
from twin.scenario import Origin

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "cities" / "frames.json").read_text(encoding="utf-8"))
LUXEMBOURG = Origin(latitude_deg=49.6, longitude_deg=6.13, height_m=300.0)
ENGINES = [Axes.UNITY, Axes.UNREAL, Axes.GLTF, Axes.GODOT]


def _rotate(quaternion, vector):
    """Turn vectors by unit quaternions (x, y, z, w): v + 2 q x (q x v + w v)."""
    axis, w = quaternion[..., :3], quaternion[..., 3:]
    return vector + 2.0 * np.cross(axis, np.cross(axis, vector) + w * vector)


def test_the_equator_at_greenwich_lies_one_semi_major_axis_out():
    assert wgs84_to_ecef(0.0, 0.0).tolist() == [6378137.0, 0.0, 0.0]


def test_the_pole_lies_one_semi_minor_axis_up():
    assert wgs84_to_ecef(90.0, 0.0)[2] == pytest.approx(6356752.314245, abs=1e-6)


def test_topocentric_coordinates_match_the_example_of_epsg_guidance_note_7_2():
    # IOGP 373-07-2, section on EPSG method 9837.
    origin = Origin(latitude_deg=55.0, longitude_deg=5.0, height_m=200.0)
    latitude_deg, longitude_deg = 53 + 48 / 60 + 33.82 / 3600, 2 + 7 / 60 + 46.38 / 3600
    enu = wgs84_to_enu(latitude_deg, longitude_deg, 73.0, origin=origin)
    # The note prints its angles to a hundredth of an arc second, which is 0.3 m.
    assert enu == pytest.approx([-189013.869, -128642.040, -4220.171], abs=0.3)


def test_enu_agrees_with_proj_to_a_micrometre():
    peer = pyproj.Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=WGS84"
        " +step +proj=topocentric +ellps=WGS84 +lon_0=6.13 +lat_0=49.6 +h_0=300"
    )
    rng = np.random.default_rng(1)
    latitude_deg, longitude_deg = rng.uniform(49.5, 49.7, 200), rng.uniform(6.0, 6.3, 200)
    height_m = rng.uniform(0.0, 500.0, 200)
    expected = np.stack(peer.transform(longitude_deg, latitude_deg, height_m), axis=1)
    assert wgs84_to_enu(latitude_deg, longitude_deg, height_m, origin=LUXEMBOURG) == pytest.approx(expected, abs=1e-6)


@given(
    latitude_deg=st.floats(-90, 90),
    longitude_deg=st.floats(-179.999, 179.999),
    height_m=st.floats(-500, 20_000),
)
def test_ecef_and_back_returns_the_point(latitude_deg, longitude_deg, height_m):
    again = ecef_to_wgs84(wgs84_to_ecef(latitude_deg, longitude_deg, height_m))
    assert wgs84_to_ecef(*again) == pytest.approx(wgs84_to_ecef(latitude_deg, longitude_deg, height_m), abs=1e-6)


@given(east=st.floats(-20_000, 20_000), north=st.floats(-20_000, 20_000), up=st.floats(-100, 1000))
def test_enu_and_back_returns_the_point(east, north, up):
    latitude_deg, longitude_deg, height_m = enu_to_wgs84([east, north, up], origin=LUXEMBOURG)
    again = wgs84_to_enu(latitude_deg, longitude_deg, height_m, origin=LUXEMBOURG)
    assert again == pytest.approx([east, north, up], abs=1e-6)


def test_east_grows_with_longitude_and_north_with_latitude():
    east, north = (
        wgs84_to_enu(49.6, 6.14, 300.0, origin=LUXEMBOURG),
        wgs84_to_enu(49.61, 6.13, 300.0, origin=LUXEMBOURG),
    )
    assert east[0] > 700 and abs(east[1]) < 1
    assert north[1] > 1100 and abs(north[0]) < 1


@pytest.mark.parametrize("axes", ENGINES)
def test_points_match_the_golden_vectors(axes):
    for row in GOLDEN["points"]:
        assert enu_to_engine(row["enu"], axes).tolist() == row[axes.value]
        assert engine_to_enu(row[axes.value], axes).tolist() == row["enu"]


@pytest.mark.parametrize("axes", ENGINES)
def test_rotations_match_the_golden_vectors(axes):
    for row in GOLDEN["rotations"]:
        assert rotation_to_engine(row["enu"], axes).tolist() == row[axes.value]
        assert rotation_to_enu(row[axes.value], axes).tolist() == row["enu"]


@pytest.mark.parametrize("axes", ENGINES)
def test_turning_then_converting_equals_converting_then_turning(axes):
    rng = np.random.default_rng(2)
    quaternion = rng.normal(size=(1000, 4))
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    vector = rng.normal(size=(1000, 3))
    turned_first = enu_to_engine(_rotate(quaternion, vector), axes)
    converted_first = _rotate(rotation_to_engine(quaternion, axes), enu_to_engine(vector, axes))
    assert converted_first == pytest.approx(turned_first, abs=1e-12 * axes.units_per_m)


@pytest.mark.parametrize("axes", list(Axes))
def test_handedness_is_the_determinant_of_the_axes(axes):
    assert np.linalg.det(axes.matrix) == pytest.approx(axes.handedness)


@pytest.mark.parametrize(("azimuth_deg", "yaw_deg"), [(0.0, 90.0), (90.0, 0.0), (180.0, -90.0), (225.0, -135.0)])
def test_azimuth_is_clockwise_from_north_and_yaw_counter_clockwise_from_east(azimuth_deg, yaw_deg):
    assert azimuth_to_yaw_deg(azimuth_deg) == yaw_deg
    assert yaw_to_azimuth_deg(yaw_deg) == azimuth_deg
