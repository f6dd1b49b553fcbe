"""Textbook values and invariants of the radio model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.radio import antenna, correlated, link, path_loss


def _loss(environment: path_loss.Environment, distance_m: float, *, mast_m: float = 25.0, hz: float = 3.5e9):
    los, nlos = path_loss.loss_db(
        environment,
        np.array([distance_m], dtype=np.float32),
        mast_height_m=mast_m,
        user_height_m=1.5,
        carrier_hz=hz,
    )
    return float(los[0]), float(nlos[0])


def test_uma_line_of_sight_at_100_m_and_3_5_ghz_by_hand():
    # d3D = sqrt(100^2 + 23.5^2) = 102.724 m; 28 + 22 log10(102.724) + 20 log10(3.5) = 28 + 44.257 + 10.881.
    assert _loss("UMa", 100.0)[0] == pytest.approx(83.138, abs=0.01)


def test_uma_without_line_of_sight_at_100_m_is_by_hand():
    # 13.54 + 39.08 log10(102.724) + 10.881 - 0
    assert _loss("UMa", 100.0)[1] == pytest.approx(103.036, abs=0.01)


def test_umi_line_of_sight_at_50_m_is_by_hand():
    # d3D = sqrt(50^2 + 8.5^2) = 50.717 m; 32.4 + 21 log10(50.717) + 10.881
    assert _loss("UMi", 50.0, mast_m=10.0)[0] == pytest.approx(79.088, abs=0.01)


def test_break_point_of_uma_at_3_5_ghz():
    found = path_loss.breakpoint_m(mast_height_m=25.0, user_height_m=1.5, carrier_hz=3.5e9)
    assert found == pytest.approx(4 * 24.0 * 0.5 * 3.5e9 / 299_792_458.0)


def test_beyond_the_break_point_the_loss_falls_with_40_db_per_decade():
    assert _loss("UMa", 4000.0)[0] - _loss("UMa", 2000.0)[0] == pytest.approx(40 * math.log10(2), abs=0.01)


def test_the_two_branches_meet_at_the_break_point():
    turn = path_loss.breakpoint_m(mast_height_m=25.0, user_height_m=1.5, carrier_hz=3.5e9)
    assert _loss("UMa", turn - 0.5)[0] == pytest.approx(_loss("UMa", turn + 0.5)[0], abs=0.05)


@given(st.sampled_from(["UMa", "UMi"]), st.floats(10.0, 4000.0), st.floats(1.02, 3.0))
def test_loss_grows_with_distance(environment, distance_m, factor):
    mast = 25.0 if environment == "UMa" else 10.0
    near, far = _loss(environment, distance_m, mast_m=mast), _loss(environment, distance_m * factor, mast_m=mast)
    assert far[0] > near[0] - 1e-3
    assert far[1] > near[1] - 1e-3


def test_no_line_of_sight_never_loses_less():
    distance = np.geomspace(10, 5000, 200).astype(np.float32)
    los, nlos = path_loss.loss_db("UMa", distance, mast_height_m=25.0, user_height_m=1.5, carrier_hz=3.5e9)
    assert (nlos >= los).all()


def test_line_of_sight_is_certain_up_to_18_m():
    assert path_loss.los_probability("UMa", np.array([5.0, 18.0], dtype=np.float32)) == pytest.approx([1.0, 1.0])


def test_line_of_sight_probability_at_100_m():
    # 18/100 + exp(-100/63) (1 - 18/100)
    assert path_loss.los_probability("UMa", np.array([100.0], "f4"))[0] == pytest.approx(0.3477, abs=1e-3)


def test_entry_loss_at_3_5_ghz():
    low, high = path_loss.entry_loss_db(3.5e9)
    assert low == pytest.approx(12.70, abs=0.02)
    assert high == pytest.approx(26.85, abs=0.1)


def test_boresight_gain_is_element_plus_ten_rows():
    zenith = np.array([96.0], "f4")
    peak = antenna.element_gain_dbi(zenith, np.zeros(1, "f4")) + antenna.array_factor_db(zenith, 6.0)
    # 8 dBi, 10 log10(10) = 10 dB, minus 12 (6/65)^2 = 0.1 dB of the element
    assert float(peak[0]) == pytest.approx(17.9, abs=0.05)


@given(st.floats(0.0, 15.0))
def test_tilt_moves_the_maximum(tilt_deg):
    zenith = np.arange(60.0, 130.0, 0.05)
    peak = zenith[antenna.array_factor_db(zenith, tilt_deg).argmax()]
    assert peak == pytest.approx(90.0 + tilt_deg, abs=0.1)


def test_half_power_beamwidth_of_the_element_is_65_degrees():
    edge = antenna.element_gain_dbi(np.array([90.0], "f4"), np.array([32.5], "f4"))
    assert float(edge[0]) == pytest.approx(8.0 - 3.0, abs=0.01)


def test_behind_the_antenna_30_db_are_missing():
    assert float(antenna.element_gain_dbi(np.array([90.0], "f4"), np.array([180.0], "f4"))[0]) == -22.0


def test_thermal_noise_of_100_mhz():
    assert 10 * math.log10(link.noise_mw(100e6)) == pytest.approx(-174 + 80 + 9)


def test_100_mhz_has_273_resource_blocks_and_20_mhz_51():
    assert (link.num_resource_blocks(100e6), link.num_resource_blocks(20e6)) == (273, 51)


def test_cqi_counts_the_thresholds_passed():
    assert link.cqi(np.array([-5.0, -1.89, 0.0, 29.32, 40.0], "f4")) == pytest.approx([0, 1, 2, 15, 15])


def test_spectral_efficiency_grows_with_sinr_and_is_bounded():
    sinr = np.arange(-15, 45, 0.25, dtype=np.float32)
    efficiency = link.spectral_efficiency(sinr)
    assert (np.diff(efficiency) >= 0).all()
    assert efficiency[0] == 0.0
    assert float(efficiency[-1]) == pytest.approx(7.4063 * 4 * 0.86, rel=1e-3)


def test_a_correlated_map_is_standard_normal_with_the_right_memory():
    maps = np.stack(
        [
            correlated.normal_map(decorrelation_m=50.0, pitch_m=12.5, rng=np.random.default_rng(seed))
            for seed in range(8)
        ]
    )
    assert float(maps.std()) == pytest.approx(1.0, abs=0.03)
    beside = np.roll(maps, 4, axis=2)
    assert float(np.corrcoef(maps.ravel(), beside.ravel())[0, 1]) == pytest.approx(math.exp(-1), abs=0.03)


def test_masts_read_a_shared_map_far_from_each_other():
    offset = correlated.offsets(333, rng=np.random.default_rng(1))
    apart = (offset[:, None] - offset + correlated.EDGE // 2) % correlated.EDGE - correlated.EDGE // 2
    away = np.hypot(*np.moveaxis(apart, -1, 0))[~np.eye(333, dtype=bool)]
    assert away.min() >= 4 * correlated.STEPS
