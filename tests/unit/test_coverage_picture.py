"""The coverage picture: what the raster holds and that the file shows it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from twin.clock import CivilTime
from twin.commands import SetAttribute
from twin.errors import OutOfRange
from twin.network import Network
from twin.topology import topology_of
from twin_app.coverage import HIGH_DB, LOW_DB, colour, draw_coverage, quantiles_db
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec


@pytest.fixture(scope="module")
def network():
    scenario = build_scenario(ScenarioSpec())
    civil = CivilTime(epoch=datetime(2026, 11, 17, 14, 0, tzinfo=UTC), timezone=scenario.timezone)
    return Network(scenario, topology_of(scenario), civil, seed=1)


def test_the_map_covers_the_area_row_0_in_the_south(network):
    found = network.sinr_map(resolution_m=50.0)
    west, south, east, north = network.scenario.extent_m
    assert found.sinr_db.shape == (round((north - south) / 50), round((east - west) / 50))
    assert (found.west_m, found.south_m, found.cell_m) == (west, south, 50.0)
    rows, cols = np.indices(found.rsrp_dbm.shape)
    east_m, north_m = west + (cols + 0.5) * 50.0, south + (rows + 0.5) * 50.0
    # One hears a low mast well in the streets around it; a high one shines over them.
    low = np.array([site.position_m[:2] for site in network.scenario.sites if site.height_m < 30.0])
    near = np.hypot(east_m[..., None] - low[:, 0], north_m[..., None] - low[:, 1]).min(axis=-1) < 150.0
    assert found.rsrp_dbm[near].mean() > found.rsrp_dbm[~near].mean() + 2.0


def test_the_map_lies_in_the_range_of_its_kpis(network):
    found = network.sinr_map(resolution_m=50.0)
    assert -15.0 < found.sinr_db.min()
    assert found.sinr_db.max() < 45.0
    assert -140.0 < found.rsrp_dbm.min()
    assert found.rsrp_dbm.max() < -31.0


@pytest.mark.parametrize("resolution_m", [0.0, -5.0, 0.01])
def test_a_resolution_that_gives_no_map_is_refused(network, resolution_m):
    with pytest.raises(OutOfRange):
        network.sinr_map(resolution_m=resolution_m)


def test_without_any_cell_on_the_air_there_is_no_sinr(network, tmp_path):
    everything = [
        SetAttribute(entity_id=cell.id, attribute="administrativeState", value="LOCKED")
        for cell in network.scenario.cells
    ]
    dark = Network(network.scenario, network.topology, network.civil, seed=1)
    dark.apply(everything)
    dark.step()
    assert np.isnan(dark.sinr_map(resolution_m=100.0).sinr_db).all()
    draw_coverage(dark, tmp_path / "dark.png", resolution_m=100.0)


def test_colours_grow_brighter_with_sinr():
    shades = colour(np.linspace(LOW_DB, HIGH_DB, 9, dtype=np.float32)).astype(float)
    luminance = shades @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()


def test_quantiles_leave_out_what_is_unknown():
    assert quantiles_db(np.array([np.nan, 1.0, 2.0, 3.0], dtype=np.float32))[1] == pytest.approx(2.0)


def test_the_picture_is_a_png_with_the_map_in_it(network, tmp_path):
    draw_coverage(network, tmp_path / "coverage.png", resolution_m=50.0)
    with Image.open(tmp_path / "coverage.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > picture.height > 600
        assert len(picture.convert("RGB").getcolors(maxcolors=1_000_000)) > 1000
