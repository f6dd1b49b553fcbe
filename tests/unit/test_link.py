"""From bandwidth and SINR to PRBs, rate and RSRQ: values of the standards' tables."""

from __future__ import annotations

import numpy as np
import pytest

from twin.errors import OutOfRange
from twin.radio import link


@pytest.mark.parametrize(
    ("mhz", "khz", "count"),
    [(5, 15, 25), (20, 15, 106), (50, 15, 270), (5, 30, 11), (20, 30, 51), (60, 30, 162), (100, 30, 273),
     (100, 60, 135), (200, 60, 264), (50, 120, 32), (100, 120, 66), (400, 120, 264), (400, 480, 66), (2000, 960, 148)],
)  # fmt: skip
def test_resource_blocks_are_those_of_table_5_3_2_1(mhz, khz, count):
    assert link.num_resource_blocks(mhz * 1e6, spacing=khz) == count


def test_resource_blocks_fit_into_their_channel():
    for khz, row in link.NUM_RESOURCE_BLOCKS.items():
        for mhz, count in row.items():
            assert 0.6 < count * 12 * khz / (1e3 * mhz) < 0.99


@pytest.mark.parametrize(("mhz", "count"), [(20, 51), (100, 273), (200, 132), (400, 264), (800, 124), (2000, 148)])
def test_a_carrier_has_the_usual_spacing_of_its_width(mhz, count):
    assert link.num_resource_blocks(mhz * 1e6) == count


@pytest.mark.parametrize(("hz", "khz"), [(17e6, 30), (20.5e6, 30), (400e6, 30), (20e6, 7)])
def test_a_channel_that_nr_does_not_know_is_refused(hz, khz):
    with pytest.raises(OutOfRange, match=f"`{hz / 1e6:g} MHz` wide at {khz} kHz"):
        link.num_resource_blocks(hz, spacing=khz)


def test_the_power_of_one_resource_element_lies_35_db_below_100_mhz():
    assert link.rsrp_offset_db(100e6) == pytest.approx(10 * np.log10(12 * 273))


def test_one_layer_at_a_threshold_carries_the_efficiency_of_its_cqi():
    # CQI 4 decodes from 2.95 dB, below the SINR at which a second layer pays.
    assert link.spectral_efficiency(np.array([2.95], "f4"))[0] == pytest.approx(1.4766 * 0.86, rel=0.01)


def test_all_four_layers_carry_the_top_rate_above_29_db():
    assert link.spectral_efficiency(np.array([35.0], "f4"))[0] == pytest.approx(7.4063 * 4 * 0.86, rel=1e-4)


def test_the_rate_has_no_steps():
    sinr_db = np.arange(-8.0, 40.0, 0.01, dtype=np.float32)
    assert np.abs(np.diff(link.spectral_efficiency(sinr_db))).max() < 0.02


def test_rsrq_of_a_cell_alone_is_minus_10_8_db():
    one = np.ones(1, dtype=np.float32)
    assert link.rsrq_db(one, one) == pytest.approx(-10.79, abs=0.01)


def test_as_much_interference_as_signal_costs_3_db_of_rsrq():
    alone, half = link.rsrq_db(np.ones(2, dtype=np.float32), np.array([1.0, 2.0], dtype=np.float32))
    assert alone - half == pytest.approx(3.01, abs=0.01)
