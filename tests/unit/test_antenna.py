"""The sector antenna against textbook values, TR 38.901 table 7.3-1 and array theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.radio import antenna


def _zenith_of_cosine(cosine):
    return np.degrees(np.arccos(cosine))


@pytest.mark.parametrize("rows", [1, 4, 10, 16])
def test_the_peak_of_a_column_is_10_log_of_its_rows(rows):
    peak = antenna.array_factor_db(np.array([97.0]), 7.0, num_rows=rows)
    assert peak[0] == pytest.approx(10.0 * math.log10(rows), abs=0.005)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_ten_rows_at_half_a_wavelength_have_nulls_at_every_fifth_of_the_cosine(number):
    # Phasors of ten rows close a circle when pi cos(theta) = 2 pi k / 10; what is left is 30 dB below the peak.
    null = antenna.array_factor_db(_zenith_of_cosine(np.array([0.2 * number])), 0.0)
    assert null[0] == pytest.approx(10.0 - 30.0, abs=0.01)


def test_first_side_lobe_of_ten_rows_lies_13_db_below_the_peak():
    zenith = np.linspace(60.0, 90.0 - math.degrees(math.asin(0.2)), 4000)
    assert antenna.array_factor_db(zenith, 0.0).max() == pytest.approx(10.0 - 12.97, abs=0.1)


def test_half_power_beam_of_ten_rows_is_10_2_degrees_wide():
    zenith = np.linspace(80.0, 100.0, 20_001)
    inside = zenith[antenna.array_factor_db(zenith, 0.0) >= 10.0 - 3.0103]
    assert inside[-1] - inside[0] == pytest.approx(10.2, abs=0.05)


@given(st.floats(-10.0, 20.0), st.integers(1, 16))
def test_a_column_radiates_what_its_rows_are_fed(tilt_deg, rows):
    # At half a wavelength the rows are uncoupled: over the whole sphere (even in the cosine) the mean gain is one.
    cosine = (np.arange(20_000) + 0.5) / 10_000 - 1.0
    power = 10.0 ** (antenna.array_factor_db(_zenith_of_cosine(cosine), tilt_deg, num_rows=rows) / 10.0)
    assert power.mean() - rows * 10.0**-3 == pytest.approx(1.0, abs=1e-3)


def test_rows_a_wavelength_apart_have_a_grating_lobe_overhead():
    over = antenna.array_factor_db(np.array([0.0]), 0.0, row_spacing_wavelengths=1.0)
    assert over[0] == pytest.approx(10.0, abs=0.01)


@pytest.mark.parametrize(
    ("shape", "width_deg"), [(0, 65.0), (1, 90.0), (2, 33.0), (3, np.inf), (4, 65.0), (65535, 65.0)]
)
def test_coverage_shapes_are_beam_widths(shape, width_deg):
    assert antenna.beamwidth_deg(np.array([shape]))[0] == width_deg


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_half_power_lies_at_half_the_beam_width(shape):
    width = float(antenna.beamwidth_deg(np.array([shape]))[0])
    gain = antenna.element_gain_dbi(np.array([90.0, 90.0]), np.array([0.0, width / 2.0]), horizontal_deg=width)
    assert gain[0] - gain[1] == pytest.approx(3.0, abs=1e-3)


def test_a_wider_beam_has_less_gain():
    assert antenna.peak_gain_dbi(65.0) == pytest.approx(8.0)
    assert antenna.peak_gain_dbi(130.0) == pytest.approx(8.0 - 3.0103, abs=1e-3)


def test_omni_is_the_same_all_around():
    gain = antenna.element_gain_dbi(np.full(8, 90.0), np.arange(8) * 45.0, horizontal_deg=np.inf)
    assert np.ptp(gain) == 0.0
    assert gain[0] == pytest.approx(8.0 - 10.0 * math.log10(360.0 / 65.0), abs=1e-3)


def test_a_turn_more_is_no_turn():
    off = np.array([-390.0, -30.0, 330.0, 690.0])
    assert np.ptp(antenna.element_gain_dbi(np.full(4, 90.0), off)) < 1e-4


def test_an_element_loses_no_more_than_30_db_in_any_direction():
    zenith, azimuth = np.meshgrid(np.arange(0.0, 181.0, 5.0), np.arange(-180.0, 180.0, 5.0))
    assert antenna.element_gain_dbi(zenith, azimuth).min() == 8.0 - 30.0


@pytest.mark.parametrize(("carrier_hz", "rows", "columns"), [(3.5e9, 10, 1), (10e9, 16, 8), (28e9, 10, 16)])
def test_higher_bands_have_larger_panels(carrier_hz, rows, columns):
    panel = antenna.panel_of(carrier_hz)
    assert (panel.rows, panel.columns) == (rows, columns)
    assert panel.beam_gain_db == pytest.approx(10.0 * math.log10(columns))
