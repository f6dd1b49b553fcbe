"""Path loss, line of sight and effective heights by hand and by property, TR 38.901 section 7.4."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.radio import path_loss

MAST_M = {"UMa": 25.0, "UMi": 10.0, "RMa": 35.0, "InH": 3.0}


def _loss(environment, ground_m, *, user_m=1.5, hz=3.5e9, mast_m=None):
    los, nlos = path_loss.loss_db(
        environment,
        np.array([ground_m], dtype=np.float32),
        mast_height_m=MAST_M[environment] if mast_m is None else mast_m,
        user_height_m=user_m,
        carrier_hz=hz,
    )
    return float(los[0]), float(nlos[0])


def _chance(environment, ground_m, **kwargs):
    return float(path_loss.los_probability(environment, np.array([ground_m], dtype=np.float32), **kwargs)[0])


def test_rural_line_of_sight_at_1_km_by_hand():
    # d3D = 1000.561 m; 20 log10(40 pi d 3.5 / 3) = 103.328; 0.03 h^1.72 log10(d) = 1.434; 0.044 h^1.72 = 0.701;
    # 0.002 log10(5) d = 1.399
    assert _loss("RMa", 1000.0)[0] == pytest.approx(103.328 + 1.434 - 0.701 + 1.399, abs=0.01)


def test_rural_without_line_of_sight_at_1_km_by_hand():
    # 161.04 - 9.237 + 5.242 - 24.294 log10(35) + 38.633 (log10(d) - 3) + 10.881 - (3.2 log10(17.625)^2 - 4.97)
    assert _loss("RMa", 1000.0)[1] == pytest.approx(130.424, abs=0.01)


def test_the_rural_branches_meet_at_the_break_point():
    turn_m = 2.0 * math.pi * 35.0 * 1.5 * 0.7e9 / 299_792_458.0
    near, far = (_loss("RMa", turn_m + step, hz=0.7e9)[0] for step in (-1.0, 1.0))
    assert near == pytest.approx(far, abs=0.05)


def test_office_at_10_m_and_6_ghz_by_hand():
    # d3D = sqrt(10^2 + 2^2) = 10.198 m; 32.4 + 17.3 log10(d) + 15.563, and 17.3 + 38.3 log10(d) + 24.9 x 0.77815
    assert _loss("InH", 10.0, user_m=1.0, hz=6e9) == pytest.approx((65.410, 75.302), abs=0.01)


def test_a_user_on_the_fifth_floor_of_an_urban_macro_cell_gains_0_6_db_per_metre_out_of_sight():
    # Both lie 500 m away through the air, so that only the height term differs.
    low, high = (_loss("UMa", math.sqrt(500.0**2 - (25.0 - h) ** 2), user_m=h)[1] for h in (1.5, 13.5))
    assert low - high == pytest.approx(0.6 * 12.0, abs=0.01)


def test_things_below_1_5_m_are_treated_as_if_at_1_5_m():
    assert path_loss.breakpoint_m(mast_height_m=10.0, user_height_m=0.2, carrier_hz=3.5e9) == path_loss.breakpoint_m(
        mast_height_m=10.0, user_height_m=1.5, carrier_hz=3.5e9
    )


@pytest.mark.parametrize("environment", ["UMa", "UMi", "RMa", "InH"])
def test_arrays_of_heights_and_carriers_give_what_numbers_give(environment):
    ground = np.array([[15.0, 120.0, 900.0], [40.0, 300.0, 4000.0]], dtype=np.float32)
    heights = np.array([[1.5], [19.5]], dtype=np.float32)
    masts, carriers = np.array([10.0, 25.0, 35.0]), np.array([0.7e9, 3.5e9, 28e9])
    found = path_loss.loss_db(environment, ground, mast_height_m=masts, user_height_m=heights, carrier_hz=carriers)
    for row, column in np.ndindex(ground.shape):
        alone = _loss(
            environment,
            float(ground[row, column]),
            user_m=float(heights[row, 0]),
            mast_m=float(masts[column]),
            hz=float(carriers[column]),
        )
        assert (found[0][row, column], found[1][row, column]) == pytest.approx(alone, abs=2e-3)


@given(
    st.sampled_from(["UMa", "UMi", "RMa", "InH"]),
    st.floats(10.0, 4500.0),
    st.floats(1.05, 3.0),
    st.floats(1.5, 22.5),
    st.floats(0.7e9, 90e9),
)
def test_loss_grows_with_distance_and_is_never_less_out_of_sight(environment, ground_m, factor, user_m, hz):
    near = _loss(environment, ground_m, user_m=user_m, hz=hz)
    far = _loss(environment, ground_m * factor, user_m=user_m, hz=hz)
    assert far[0] > near[0] - 1e-3
    assert far[1] > near[1] - 1e-3
    assert near[1] >= near[0]


@pytest.mark.parametrize("environment", ["UMa", "UMi", "RMa", "InH"])
def test_nearer_than_the_formulas_hold_nothing_gets_louder(environment):
    here = path_loss.MIN_DISTANCE_M[environment]
    assert _loss(environment, here / 3.0, mast_m=1.5) == _loss(environment, here, mast_m=1.5)


def test_rural_line_of_sight_falls_to_1_over_e_in_a_kilometre():
    assert _chance("RMa", 1010.0) == pytest.approx(math.exp(-1.0), abs=1e-4)


@pytest.mark.parametrize(
    ("ground_m", "chance"), [(4.0, 1.0), (49.0, math.exp(-44.0 / 70.8)), (260.7, 0.54 * math.exp(-1.0))]
)
def test_line_of_sight_in_an_open_office(ground_m, chance):
    assert _chance("InH", ground_m, office="open") == pytest.approx(chance, abs=1e-4)


@pytest.mark.parametrize(("ground_m", "chance"), [(1.0, 1.0), (5.9, math.exp(-1.0)), (39.1, 0.32 * math.exp(-1.0))])
def test_line_of_sight_in_an_office_with_walls(ground_m, chance):
    assert _chance("InH", ground_m, office="mixed") == pytest.approx(chance, abs=1e-4)


def test_a_high_user_of_an_urban_macro_cell_sees_more_masts():
    # C' = ((23 - 13) / 10)^1.5 = 1, so 1 + 5/4 (300/100)^3 exp(-2) = 5.568 times the chance at street level.
    street = _chance("UMa", 300.0)
    assert _chance("UMa", 300.0, user_height_m=23.0) == pytest.approx(5.568 * street, rel=1e-3)
    assert _chance("UMa", 300.0, user_height_m=13.0) == pytest.approx(street)


@given(st.sampled_from(["UMa", "UMi", "RMa", "InH"]), st.floats(0.0, 6000.0), st.floats(1.0, 40.0))
def test_a_chance_is_a_chance(environment, ground_m, user_m):
    assert 0.0 <= _chance(environment, ground_m, user_height_m=user_m) <= 1.0


def test_roofs_under_a_high_user_are_as_frequent_as_note_1_says():
    # hUT = 20 m at 300 m: C = 0.7^1.5 x 4.568 = 2.675; hE = 1 m with 1 / (1 + C), else 12, 15 or 18 m alike.
    uniform = (np.arange(100_000, dtype=np.float32) + 0.5) / 100_000
    found = path_loss.environment_height_m(np.full(100_000, 300.0, dtype=np.float32), 20.0, uniform=uniform)
    height_m, count = np.unique(found, return_counts=True)
    on_street = 1.0 / (1.0 + 2.675)
    assert height_m.tolist() == [1.0, 12.0, 15.0, 18.0]
    assert count / 100_000 == pytest.approx([on_street] + [(1.0 - on_street) / 3.0] * 3, abs=1e-3)


def test_below_13_m_the_roof_is_always_that_of_the_street():
    found = path_loss.environment_height_m(
        np.linspace(20.0, 900.0, 50, dtype=np.float32), 10.5, uniform=np.full(50, 0.999, dtype=np.float32)
    )
    assert set(found.tolist()) == {1.0}


def test_entry_loss_at_28_ghz_by_hand():
    # Glass 7.6, coated glass 31.4, concrete 117 dB: 5 - 10 log10(0.3 x 10^-0.76), 5 - 10 log10(0.7 x 10^-3.14).
    assert path_loss.entry_loss_db(28e9) == pytest.approx((17.829, 37.949), abs=0.01)
