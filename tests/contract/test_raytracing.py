"""Baked radio maps: the file, the mesh that rays meet, what the machine must have, and a real bake where possible."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from typer.testing import CliRunner

from twin import kernels
from twin.entities import Building, LandUse, Site
from twin.errors import MissingExtra, OutOfRange, ScenarioError, TwinError
from twin.radio import antenna, calibration, path_loss, radio_map
from twin.radio.field import RadioField
from twin.radio.landscape import Landscape, outdoor_points, sectors_of
from twin_app import raytracing
from twin_app.city_mesh import buildings_mesh, covers, triangulate
from twin_app.cli import app


def _missing() -> str:
    try:
        raytracing.check_machine()
    except MissingExtra as error:
        return str(error)
    return ""


MISSING = _missing()


def _house(ring, height_m=10.0):
    return Building(
        id="building-1",
        footprint_m=np.array(ring, dtype=np.float32),
        height_m=height_m,
        height_source="height",
        land_use=LandUse.OFFICE,
    )


COURT = [(0, 0), (40, 0), (40, 40), (30, 40), (30, 10), (10, 10), (10, 40), (0, 40)]
"""A house in the form of a U."""


def _town(buildings=()):
    """One mast of 25 m in the middle of a square of 400 m."""
    scenario = calibration.network(calibration.CASES["uma-6"])
    site = Site(id="site-1", name="", dn="", position_m=(0.0, 0.0, 0.0), height_m=25.0)
    cells = tuple(cell for cell in scenario.cells if cell.site_id == "site-1")
    return dataclasses.replace(
        scenario, sites=(site,), cells=cells, extent_m=(-200.0, -200.0, 200.0, 200.0), buildings=tuple(buildings)
    )


def _map(scenario, gain_db):
    return radio_map.RadioMap(
        digest=radio_map.digest_of(scenario),
        west_m=-20.0,
        south_m=-10.0,
        cell_m=10.0,
        mast=(("site-1", 6e9), ("site-1", 3.5e9)),
        gain_db=np.asarray(gain_db, dtype=np.float16),
    )


@pytest.fixture
def baked():
    # Two layers of two rows and four columns; the gain falls by 1 dB a square to the east, one square is dark.
    ramp = np.tile(-80.0 - np.arange(4.0), (2, 1))
    ramp[1, 3] = np.nan
    return _map(_town(), np.stack([ramp, ramp - 10.0]))


def test_a_saved_map_comes_back(baked, tmp_path):
    baked.save(tmp_path / "map.bin")
    found = radio_map.load(tmp_path / "map.bin", _town())
    assert found.mast == baked.mast
    assert (found.west_m, found.south_m, found.cell_m) == (-20.0, -10.0, 10.0)
    np.testing.assert_array_equal(found.gain_db, baked.gain_db)


def test_layers_are_found_by_site_and_carrier(baked):
    assert baked.layers([("site-1", 3.5e9), ("site-2", 3.5e9), ("site-1", 6e9)]).tolist() == [1, -1, 0]


def test_gain_is_interpolated_between_the_middles_of_squares(baked):
    places = np.array([[-15.0, -5.0], [-10.0, -5.0], [-7.5, -2.5]], dtype=np.float32)
    found = baked.at(places, np.array([0, 1]))
    np.testing.assert_allclose(found, [[-80.0, -90.0], [-80.5, -90.5], [-80.75, -90.75]], atol=1e-3)


def test_beside_a_dark_square_only_lit_ones_count(baked):
    # (15, 5) is the middle of the dark square; (9, 4) lies in the lit one west of it.
    found = baked.at(np.array([[15.0, 5.0], [9.0, 4.0]], dtype=np.float32), np.array([0]))
    assert np.isnan(found[0, 0])
    assert -83.0 <= found[1, 0] <= -82.0


def test_off_the_grid_and_for_unknown_masts_there_is_no_value(baked):
    places = np.array([[-20.1, 0.0], [0.0, 10.1], [0.0, 0.0]], dtype=np.float32)
    found = baked.at(places, np.array([0, -1]))
    np.testing.assert_array_equal(np.isnan(found), [[True, True], [True, True], [False, True]])


def test_a_map_of_other_houses_is_refused(baked, tmp_path):
    baked.save(tmp_path / "map.npz")
    with pytest.raises(ScenarioError, match="other masts or buildings"):
        radio_map.load(tmp_path / "map.npz", _town([_house(COURT)]))


def test_tilt_and_power_leave_a_map_good(baked, tmp_path):
    baked.save(tmp_path / "map.npz")
    town = _town()
    turned = tuple(dataclasses.replace(cell, tilt_deg=3.0, tx_power_dbm=40.0) for cell in town.cells)
    assert radio_map.load(tmp_path / "map.npz", dataclasses.replace(town, cells=turned)).mast == baked.mast


@pytest.mark.parametrize("content", [b"", b"no map", b"PK\x03\x04 torn"])
def test_any_other_file_is_refused(content, tmp_path):
    (tmp_path / "map.npz").write_bytes(content)
    with pytest.raises(ScenarioError, match="is no radio map"):
        radio_map.load(tmp_path / "map.npz", _town())


def test_a_file_of_other_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "map.npz", speed=np.zeros(3))
    with pytest.raises(ScenarioError, match="is no radio map"):
        radio_map.load(tmp_path / "map.npz", _town())


def test_a_missing_file_names_the_command(tmp_path):
    with pytest.raises(ScenarioError, match="twin bake-radio-map"):
        radio_map.load(tmp_path / "none.npz", _town())


def _area(ring, triangles):
    a, b, c = (np.asarray(ring, dtype=float)[triangles[:, corner]] for corner in range(3))
    return np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum() / 2.0


@pytest.mark.parametrize("turn", [1, -1])
def test_a_courtyard_stays_open(turn):
    ring = np.array(COURT[::turn], dtype=float)
    assert _area(ring, triangulate(ring)) == pytest.approx(40.0 * 40.0 - 20.0 * 30.0)


def test_a_house_of_n_corners_has_n_minus_2_roof_and_2_n_wall_triangles():
    corners, triangles = buildings_mesh([_house(COURT), _house([(60, 0), (70, 0), (70, 10)], 25.0)])
    assert len(triangles) == (6 + 16) + (1 + 6)
    assert corners[:, 2].max() == 25.0
    assert triangles.max() == len(corners) - 1


def test_what_lies_in_a_courtyard_is_outdoors():
    east, north = np.array([20.0, 5.0, 35.0, 50.0]), np.array([30.0, 30.0, 5.0, 5.0])
    assert covers(_house(COURT), east, north).tolist() == [False, True, True, False]


def test_a_library_that_cannot_be_loaded_has_no_version(tmp_path):
    (tmp_path / "libLLVM.so").write_bytes(b"\x7fELF nonsense")
    assert raytracing.llvm_version(tmp_path / "libLLVM.so") == 0


@pytest.mark.skipif(not raytracing.sionna_missing(), reason="Sionna RT is installed")
def test_without_the_extra_the_command_names_it(tmp_path):
    answer = CliRunner().invoke(app, ["bake-radio-map", "--out", str(tmp_path / "map.npz")])
    assert isinstance(answer.exception, MissingExtra)
    assert "twin6g[raytracing]" in str(answer.exception)


def test_an_old_llvm_is_told_with_the_way_out(tmp_path, monkeypatch):
    library = tmp_path / "libLLVM-15.so.1"
    library.write_bytes(b"")
    monkeypatch.setenv("DRJIT_LIBLLVM_PATH", str(library))
    with pytest.raises(MissingExtra, match=r"libLLVM 16 or newer.*libLLVM-15\.so\.1.*apt install libllvm19"):
        raytracing.find_llvm()


@pytest.mark.raytracing
@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_traced_rays_agree_with_free_space_and_stop_at_walls():
    # A house of 30 m between the mast in the middle and one in the east; nothing in the west.
    town = _town([_house([(60, -60), (80, -60), (80, 60), (60, 60)], 30.0)])
    other = Site(id="site-2", name="", dn="", position_m=(150.0, 0.0, 0.0), height_m=25.0)
    cells = (*town.cells, dataclasses.replace(town.cells[0], id="cell-2-1", site_id="site-2"))
    town = dataclasses.replace(town, sites=(*town.sites, other), cells=cells)
    found, share = raytracing.bake(town, quality=raytracing.Quality(cell_m=10.0, rays=1_000_000, bounces=2))
    places = np.array([[-105.0, 5.0], [105.0, 5.0], [70.0, 5.0]], dtype=np.float32)
    west, east, inside = found.at(places, found.layers([("site-1", 6e9), ("site-2", 6e9)]))
    los, _ = path_loss.loss_db(
        "UMa", np.array([105.0], dtype=np.float32), mast_height_m=25.0, user_height_m=1.5, carrier_hz=6e9
    )
    assert share == 1.0
    assert west[0] == pytest.approx(-float(los[0]), abs=6.0)  # the ray from the ground adds up or cancels
    assert east[0] == raytracing.DARK_DB
    assert east[1] > -90.0
    assert np.isnan(inside).all()


@pytest.mark.raytracing
@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_beyond_the_reach_of_its_rays_a_mast_has_no_map():
    # 10,000 rays from 23.5 m hit an open square of 10 m eight times or more up to 62 m through the air.
    found, share = raytracing.bake(_town(), quality=raytracing.Quality(cell_m=10.0, rays=10_000, bounces=1))
    places = np.array([[45.0, 5.0], [75.0, 5.0]], dtype=np.float32)
    near, far = found.at(places, np.array([0]))
    assert near[0] == pytest.approx(-83.0, abs=8.0)
    assert np.isnan(far[0])
    assert share == pytest.approx(np.pi * 57.0**2 / 400.0**2, abs=0.01)


@pytest.mark.raytracing
@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_too_many_squares_are_refused_before_the_tracer_starts():
    with pytest.raises(OutOfRange, match="squares"):
        raytracing.bake(_town(), quality=raytracing.Quality(cell_m=0.01))


def test_a_tracer_that_dies_is_told(monkeypatch, tmp_path):
    # A stand-in that ends its process as an old LLVM does, found by the child before any real one.
    (tmp_path / "sionna").mkdir()
    (tmp_path / "sionna" / "__init__.py").write_text("")
    (tmp_path / "sionna" / "rt.py").write_text("import os\nos.abort()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TwinError, match=r"ended with code `-6` after 0 of 1 masts"):
        raytracing.trace_masts(_town(), quality=raytracing.Quality(cell_m=50.0), llvm=tmp_path / "libLLVM.so")


def _heard(landscape, points, sectors, kernel):
    field = RadioField(landscape, sectors, points, kernel=kernels.load(kernel))
    return field.gain_db


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
def test_outdoors_the_map_takes_the_place_of_the_statistics(kernel):
    town = _town()
    gain = np.full((2, 2, 4), -80.0)
    gain[:, 1, 3] = np.nan
    landscape = Landscape(town, rng=np.random.default_rng(1), radio_map=_map(town, gain))
    plain = Landscape(town, rng=np.random.default_rng(1))
    sectors = sectors_of(town.cells)
    # In the map, in its dark corner, off the map, and indoors on the map.
    place_m = np.array([[-15.0, -5.0], [15.0, 5.0], [150.0, 0.0], [-15.0, -5.0]], dtype=np.float32)
    points = outdoor_points(place_m)
    points.indoor[3] = True
    found, statistics = (_heard(one, points, sectors, kernel) for one in (landscape, plain))
    np.testing.assert_allclose(found[1:], statistics[1:], atol=1e-4)
    # The pattern of the cells does not depend on the path: differences between sectors stay.
    np.testing.assert_allclose(np.diff(found[0]), np.diff(statistics[0]), atol=0.02)
    east, north = place_m[0]
    zenith = 90.0 + np.degrees(np.arctan2(25.0 - 1.5, np.hypot(east, north)))
    bearing = np.degrees(np.arctan2(east, north))
    pattern = [
        float(antenna.element_gain_dbi(np.array([zenith]), np.array([bearing - cell.azimuth_deg]))[0])
        + float(antenna.array_factor_db(np.array([zenith]), cell.tilt_deg)[0])
        for cell in town.cells
    ]
    np.testing.assert_allclose(found[0], np.array(pattern) - 80.0, atol=0.3)


def test_a_carrier_that_was_not_traced_keeps_the_statistics():
    town = _town()
    moved = dataclasses.replace(town, cells=tuple(dataclasses.replace(cell, carrier_hz=2.1e9) for cell in town.cells))
    landscape = Landscape(moved, rng=np.random.default_rng(1), radio_map=_map(town, np.full((2, 2, 4), -80.0)))
    plain = Landscape(moved, rng=np.random.default_rng(1))
    points, sectors = outdoor_points(np.zeros((1, 2), dtype=np.float32)), sectors_of(moved.cells)
    np.testing.assert_array_equal(landscape.gain_db(points, sectors), plain.gain_db(points, sectors))
