"""A reconfigurable surface: the published path loss, the codebook, where its beams fall."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.one_site import block, one_site
from twin.entities import RisPanel
from twin.kernels import numpy_radio
from twin.radio.field import RadioField
from twin.radio.landscape import Landscape, outdoor_points, sectors_of
from twin.sixg import ris
from twin.sixg.ris import Surface
from twin.sixg.ways import Surfaces

if TYPE_CHECKING:
    from twin.scenario import Scenario

CARRIER_HZ = 3.5e9
WAVELENGTH_M = 299_792_458.0 / CARRIER_HZ
FEED_M = (0.0, 120.0, 25.0)
PANEL = RisPanel(
    id="ris-1",
    name="RIS 1",
    position_m=(0.0, 0.0, 10.0),
    azimuth_deg=0.0,
    columns=32,
    rows=16,
    cell_id="cell-1-1",
)


def _surface(**changes: object) -> ris.Surface:
    return ris.Surface(replace(PANEL, **changes), carrier_hz=CARRIER_HZ, feed_m=FEED_M)  # pyright: ignore[reportArgumentType]


def _street(off_deg: float | np.ndarray, distance_m: float = ris.AIM_M) -> np.ndarray:
    """Return places on the ground at an angle to the right of straight ahead."""
    angle = np.radians(np.atleast_1d(np.asarray(off_deg, dtype=np.float64)))
    return np.column_stack([distance_m * np.sin(angle), distance_m * np.cos(angle), np.full(len(angle), 1.5)])


def _by_the_book_db(panel: RisPanel, source_m: tuple[float, ...], there_m: np.ndarray) -> float:
    """Far-field beamforming of Tang et al. 2021, equation 8, with isotropic antennas at both ends."""
    d1 = float(np.linalg.norm(np.array(source_m) - panel.position_m))
    d2 = float(np.linalg.norm(there_m - panel.position_m))
    cos_in, cos_out = source_m[1] / d1, float(there_m[1]) / d2
    gain, edge_m = math.pi, WAVELENGTH_M / 2.0
    above = gain * (panel.columns * panel.rows) ** 2 * edge_m**2 * WAVELENGTH_M**2 * (cos_in * cos_out) ** 0.57
    return 10.0 * math.log10(above * ris.AMPLITUDE**2 / (64.0 * math.pi**3 * (d1 * d2) ** 2))


def test_a_beam_of_a_small_panel_reaches_its_aim_as_the_published_formula_says():
    panel = replace(PANEL, columns=8, rows=4)
    there = _street(0.0)
    found = ris.Surface(panel, carrier_hz=CARRIER_HZ, feed_m=FEED_M).gain(FEED_M, there, index=ris.MIDDLE)
    rounded_phases_db = 20.0 * math.log10(4.0 / math.pi * math.sin(math.pi / 4.0))
    assert 10.0 * math.log10(found[0]) == pytest.approx(
        _by_the_book_db(panel, FEED_M, there[0]) + rounded_phases_db, abs=0.05
    )


def test_twice_the_elements_bring_four_times_the_power():
    there = np.array([[0.0, 3000.0, 10.0 - 8.5 / ris.AIM_M * 3000.0]])  # far away, on the line through the aim
    small, large = (_surface(columns=n, rows=4).gain(FEED_M, there, index=ris.MIDDLE)[0] for n in (8, 16))
    assert 10.0 * math.log10(large / small) == pytest.approx(6.02, abs=0.05)


def test_power_falls_with_the_square_of_both_distances():
    surface = _surface(columns=8, rows=4)
    near, far = np.array([[0.0, 400.0, 10.0]]), np.array([[0.0, 800.0, 10.0]])
    ratio = surface.gain(FEED_M, near, index=ris.MIRROR)[0] / surface.gain(FEED_M, far, index=ris.MIRROR)[0]
    assert 10.0 * math.log10(ratio) == pytest.approx(6.02, abs=0.05)


def test_two_sums_make_the_sum_over_all_elements_near_and_far():
    """Element by element with exact distances, the way that :class:`ris.Surface` cuts short."""
    surface = _surface()
    edge = WAVELENGTH_M / 2.0
    east, up = np.meshgrid((np.arange(32) - 15.5) * edge, (np.arange(16) - 7.5) * edge)
    # Facing north, the right of the panel is east.
    element_m = np.column_stack([east.ravel(), np.zeros(east.size), 10.0 + up.ravel()])
    to_feed = np.linalg.norm(element_m - np.array(FEED_M), axis=1)
    wave_number = 2.0 * np.pi / WAVELENGTH_M
    aim = np.array([0.0, ris.AIM_M, -8.5]) / np.hypot(ris.AIM_M, 8.5)
    profile = wave_number * (to_feed - (element_m - np.array(PANEL.position_m)) @ aim)
    there = np.concatenate([_street(np.array([-3.0, 0.0, 1.0, 2.5]), d) for d in (25.0, 44.0, 80.0, 200.0)])
    exact = [
        abs(np.exp(1j * (profile - wave_number * (to_feed + np.linalg.norm(element_m - p, axis=1)))).sum()) ** 2
        for p in there
    ]
    source = surface.wave(np.array([FEED_M]))
    found = surface.array_gain(source, surface.wave(there), index=ris.MIDDLE) / ris.QUANTISATION
    bright = np.array(exact) > 0.01 * np.max(exact)
    assert bright.sum() > 8
    assert 10.0 * np.log10(found[bright] / np.array(exact)[bright]) == pytest.approx(0.0, abs=0.3)


def test_a_user_nearer_than_the_fraunhofer_distance_gets_less_than_the_square_of_the_elements():
    surface = _surface(columns=64)
    assert ris.fraunhofer_m(surface.panel, CARRIER_HZ) > 150.0
    source = surface.wave(np.array([FEED_M]))
    line = np.array([0.0, ris.AIM_M, -8.5]) / np.hypot(ris.AIM_M, 8.5)
    at = np.array(PANEL.position_m) + np.array([20.0, 600.0])[:, None] * line
    near, far = surface.array_gain(source, surface.wave(at), index=ris.MIDDLE) / ris.QUANTISATION / (64 * 16) ** 2
    assert far > 0.97
    assert near < 0.4


@pytest.mark.parametrize("off_deg", [-60.0, -25.0, 0.0, 10.0, 47.0])
def test_each_profile_is_brightest_where_its_beam_is_meant_to_go(off_deg):
    surface, look = _surface(), np.arange(-75.0, 75.0, 0.25)
    found = surface.gain(FEED_M, _street(look), index=ris.profile_towards(off_deg))
    assert look[found.argmax()] == pytest.approx(off_deg, abs=1.5)


def test_a_flat_profile_reflects_like_a_mirror():
    feed = (-100.0, 100.0, 10.0)  # 45 degrees to the left
    surface = ris.Surface(PANEL, carrier_hz=CARRIER_HZ, feed_m=feed)
    look = np.arange(-80.0, 80.0, 0.5)
    there = _street(look, 300.0) + np.array([0.0, 0.0, 8.5])
    assert look[surface.gain(feed, there, index=ris.MIRROR).argmax()] == pytest.approx(45.0, abs=1.0)


def test_a_beam_for_one_street_leaves_another_dark():
    surface = _surface()
    there = _street(30.0)
    right = surface.gain(FEED_M, there, index=ris.profile_towards(30.0))[0]
    wrong = surface.gain(FEED_M, there, index=ris.profile_towards(-20.0))[0]
    assert 10.0 * math.log10(right / wrong) > 20.0


def test_nothing_comes_out_of_the_back_of_a_panel():
    assert _surface().gain(FEED_M, np.array([[5.0, -40.0, 1.5]]), index=ris.MIDDLE)[0] == 0.0


def test_every_index_of_the_attribute_has_a_beam_within_sixty_degrees():
    beams = [ris.beam_azimuth_deg(index) for index in range(1, 256)]
    assert (min(beams), max(beams)) == (-60.0, 60.0)
    assert [ris.profile_towards(off) for off in beams] == list(range(1, 256))


def _corner_scenario() -> Scenario:
    """A mast, a block that throws its shadow on a street, and a panel on a wall that sees both."""
    return one_site(
        azimuths_deg=(45.0, 165.0, 285.0),
        buildings=(
            block(1, 40.0, -80.0, 60.0, 30.0, height_m=40.0),
            block(2, 110.0, 126.0, 150.0, 146.0, height_m=20.0),
        ),
        ris=(replace(PANEL, position_m=(130.0, 125.0, 8.0), azimuth_deg=180.0, columns=64, rows=32),),
    )


SHADOWED_M = np.array([[120.0, float(north)] for north in range(0, 40, 4)], dtype=np.float32)
TOWARDS_STREET = ris.profile_towards(np.degrees(np.arctan2(10.0, 105.0)))


class _Corner:
    def __init__(self) -> None:
        scenario = _corner_scenario()
        self.landscape = Landscape(scenario, rng=np.random.default_rng(3))
        self.sectors = sectors_of(scenario.cells)
        self.surfaces = Surfaces(scenario, self.landscape, self.sectors)
        self.field = RadioField(
            self.landscape,
            self.sectors,
            outdoor_points(SHADOWED_M),
            kernel=numpy_radio,
            contributors=(self.surfaces,),
        )

    def index(self, number: int) -> np.ndarray:
        """Return RSRP of the first sector after a change of the profile."""
        if self.surfaces.tune(np.array([float(number)])):
            self.field.recompute()
        return self.field.rsrp_dbm[:, 0].copy()


@pytest.fixture(scope="module")
def corner() -> _Corner:
    return _Corner()


def test_the_right_profile_brightens_the_shadowed_street_and_the_wrong_one_does_not(corner):
    wrong, right = corner.index(200), corner.index(TOWARDS_STREET)
    direct = corner.landscape.gain_db(outdoor_points(SHADOWED_M), corner.sectors)[:, 0]
    direct = direct + corner.sectors.power_dbm[0] - corner.sectors.rsrp_offset_db[0]
    assert wrong == pytest.approx(direct, abs=1.0)
    assert float((right - wrong).max()) > 6.0


def test_what_a_panel_adds_is_what_the_formula_says(corner):
    corner.index(TOWARDS_STREET)
    direct_mw = 10.0 ** ((corner.landscape.gain_db(outdoor_points(SHADOWED_M), corner.sectors)[:, 0] + 43.0) / 10.0)
    added_dbm = 10.0 * np.log10(corner.field.received_mw[:, 0] - direct_mw)
    surface = Surface(_corner_scenario().ris[0], carrier_hz=CARRIER_HZ, feed_m=(0.0, 0.0, 25.0))
    places = np.column_stack([SHADOWED_M, np.full(len(SHADOWED_M), 1.5)]).astype(np.float64)
    way_db = 10.0 * np.log10(surface.gain((0.0, 0.0, 25.0), places, index=TOWARDS_STREET))
    # 46 degrees from north, 1 degree off boresight; 17 m down over 180 m: 5.4 degrees.
    antenna_dbi = 8.0 + 10.0 - 12.0 * (1.1 / 65.0) ** 2 - 12.0 * (5.4 / 65.0) ** 2
    bright = way_db > way_db.max() - 10.0
    assert added_dbm[bright] == pytest.approx(43.0 + antenna_dbi + way_db[bright], abs=0.3)


def test_a_panel_does_not_shine_into_buildings_or_behind_itself(corner):
    corner.index(TOWARDS_STREET)
    indoors = outdoor_points(SHADOWED_M)
    indoors.indoor[:] = True
    behind = outdoor_points(SHADOWED_M + np.array([0.0, 160.0], dtype=np.float32))
    for points in (indoors, behind):
        power = np.zeros((len(points), 3), dtype=np.float32)
        corner.surfaces.add(np.arange(len(points)), np.arange(3), points, power)
        assert (power == 0.0).all()


def test_a_locked_cell_lights_nothing(corner):
    corner.index(TOWARDS_STREET)
    corner.sectors.on_air[0] = False
    power = np.zeros((len(SHADOWED_M), 3), dtype=np.float32)
    corner.surfaces.add(np.arange(len(SHADOWED_M)), np.arange(3), outdoor_points(SHADOWED_M), power)
    corner.sectors.on_air[0] = True
    assert (power[:, 0] == 0.0).all()
    assert (power[:, 1] > 0.0).any()


def test_a_wall_between_panel_and_street_keeps_it_dark():
    scenario = _corner_scenario()
    wall = block(3, 90.0, 100.0, 160.0, 110.0, height_m=30.0)
    scenario = replace(scenario, buildings=(*scenario.buildings, wall))
    landscape, sectors = Landscape(scenario, rng=np.random.default_rng(3)), sectors_of(scenario.cells)
    power = np.zeros((len(SHADOWED_M), 3), dtype=np.float32)
    surfaces = Surfaces(scenario, landscape, sectors)
    surfaces.tune(np.array([float(TOWARDS_STREET)]))
    surfaces.add(np.arange(len(SHADOWED_M)), np.arange(3), outdoor_points(SHADOWED_M), power)
    assert (power == 0.0).all()
