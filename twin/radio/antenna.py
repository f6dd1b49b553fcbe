"""Sector antenna: the element of TR 38.901 table 7.3-1 in a vertical column, steered by electrical tilt.

Zenith angles: 0 = straight up, 90 = horizon, 180 = straight down. Azimuths clockwise from north, in degrees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ELEMENT_GAIN_DBI = 8.0
BEAMWIDTH_DEG = 65.0
FRONT_TO_BACK_DB = 30.0
NUM_ROWS = 10
ROW_SPACING_WAVELENGTHS = 0.5
NUM_BINS = 4096
"""Bins of the vertical table over 0..180 degrees of zenith; 0.044 degrees each."""
NULL_FLOOR_DB = -30.0
"""Scattering fills the nulls of a real column; without a floor they would reach minus infinity."""


def element_gain_dbi(zenith_deg: NDArray[np.float32], azimuth_off_deg: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the gain of one element, TR 38.901 table 7.3-1.

    Args:
        zenith_deg: Zenith angle of departure.
        azimuth_off_deg: Angle from boresight, any turn.
    """
    vertical = np.minimum(12.0 * ((zenith_deg - 90.0) / BEAMWIDTH_DEG) ** 2, FRONT_TO_BACK_DB)
    off = (azimuth_off_deg + 180.0) % 360.0 - 180.0
    horizontal = np.minimum(12.0 * (off / BEAMWIDTH_DEG) ** 2, FRONT_TO_BACK_DB)
    return (ELEMENT_GAIN_DBI - np.minimum(vertical + horizontal, FRONT_TO_BACK_DB)).astype(np.float32)


def array_factor_db(zenith_deg: NDArray[np.float64], tilt_deg: float) -> NDArray[np.float64]:
    """Return the gain of the column over one element when steered `tilt_deg` below the horizon.

    The peak is 10 log10(K) dB at zenith 90 + tilt (TR 37.840 section 5.4.4.2, uniform amplitude).
    """
    rows = np.arange(NUM_ROWS)
    steer = np.cos(np.radians(90.0 + tilt_deg))
    phase = 2.0 * np.pi * ROW_SPACING_WAVELENGTHS * (np.cos(np.radians(zenith_deg)) - steer)
    field = np.exp(1j * phase[..., None] * rows).sum(axis=-1) / np.sqrt(NUM_ROWS)
    return np.maximum(20.0 * np.log10(np.maximum(np.abs(field), 1e-6)), NULL_FLOOR_DB)


def vertical_tables_db(tilt_deg: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the array factor by zenith bin for each cell, ``[num_cells, NUM_BINS] float32``."""
    centres = np.arange(0.5, NUM_BINS, dtype=np.float64) * (180.0 / NUM_BINS)
    return np.stack([array_factor_db(centres, float(tilt)) for tilt in tilt_deg]).astype(np.float32)


def zenith_bin(zenith_deg: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return the table column of each zenith angle."""
    return np.clip(zenith_deg * np.float32(NUM_BINS / 180.0), 0, NUM_BINS - 1).astype(np.int16)


def gain_dbi(
    zenith_deg: NDArray[np.float32],
    azimuth_deg: NDArray[np.float32],
    *,
    boresight_deg: NDArray[np.float32],
    tables_db: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return element plus array gain towards each point, ``[num_points, num_cells] float32``.

    Args:
        zenith_deg: ``[num_points, num_cells]`` zenith angle of departure.
        azimuth_deg: ``[num_points, num_cells]`` azimuth of departure, clockwise from north.
        boresight_deg: ``[num_cells]``.
        tables_db: ``[num_cells, NUM_BINS]`` from :func:`vertical_tables_db`.
    """
    column = np.arange(len(boresight_deg))
    return element_gain_dbi(zenith_deg, azimuth_deg - boresight_deg) + tables_db[column, zenith_bin(zenith_deg)]
