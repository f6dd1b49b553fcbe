"""Sector antenna: the element of TR 38.901 table 7.3-1 in a vertical column, steered by electrical tilt.

Zenith angles: 0 = straight up, 90 = horizon, 180 = straight down. Azimuths clockwise from north, in degrees.
Panels of higher bands have more rows, and columns that sweep beams sideways (:class:`Panel`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.sixg import sub_terahertz

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = float | NDArray[np.floating[Any]]

ELEMENT_GAIN_DBI = 8.0
BEAMWIDTH_DEG = 65.0
FRONT_TO_BACK_DB = 30.0
NUM_ROWS = 10
ROW_SPACING_WAVELENGTHS = 0.5
NULL_DEPTH_DB = 30.0
"""Scattering fills the nulls of a real column: this far below its peak, as far as A_max of table 7.3-1 for one element.
Without it they would reach minus infinity."""

COVERAGE_BEAMWIDTH_DEG = (65.0, 90.0, 33.0, np.inf)
"""Horizontal half-power beam width by coverageShape: sector (TR 38.901), wide, narrow (six-sector sites), omni."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """How many elements an antenna has, and how far apart.

    Attributes:
        rows: Elements of a column; tilted together.
        columns: Columns that form beams sideways, half a wavelength apart; 1 = a fixed sector beam.
        row_spacing_wavelengths: Between neighbours of a column.
        user_gain_db: Of the user's own array, which points back.
    """

    rows: int = NUM_ROWS
    columns: int = 1
    row_spacing_wavelengths: float = ROW_SPACING_WAVELENGTHS
    user_gain_db: float = 0.0

    @property
    def beam_gain_db(self) -> float:
        """What the user gains whom a beam points at.

        To everybody else beams point by chance, and over all directions of the beam their gain averages to 0 dB: add
        it to the wanted signal, not to interference.
        """
        return 10.0 * float(np.log10(self.columns)) + self.user_gain_db


def panel_of(carrier_hz: float) -> Panel:
    """Return the panel that fits a band.

    FR1: the column of TR 38.901 table 7.8-1. 7.125..24.25 GHz ("FR3"): 16 rows and 8 columns fill the aperture that
    an FR1 panel has. Above: the same column as in FR1, which table 7.8-1 has at 30 and 70 GHz, too, and 16 columns as
    in the 30 GHz panels of TR 38.802 table A.2.1-1. From 100 GHz on 16 x 16 elements steer in both planes, and the user
    points back with 16 elements of 5 dBi.
    """
    if carrier_hz < 7.125e9:
        return Panel()
    if carrier_hz < 24.25e9:
        return Panel(rows=16, columns=8)
    return Panel(columns=16) if carrier_hz < sub_terahertz.LOWEST_HZ else Panel(rows=1, columns=256, user_gain_db=17.0)


def beamwidth_deg(coverage_shape: NDArray[Any]) -> NDArray[np.float32]:
    """Return the horizontal beam width for each value of coverageShape; infinite for omni.

    The standard leaves the meaning of the values to the vendor; those not in :data:`COVERAGE_BEAMWIDTH_DEG` are the
    sector of TR 38.901.
    """
    number = np.asarray(coverage_shape, dtype=np.int64)
    known = (number >= 0) & (number < len(COVERAGE_BEAMWIDTH_DEG))
    return np.array(COVERAGE_BEAMWIDTH_DEG, dtype=np.float32)[np.where(known, number, 0)]


def peak_gain_dbi(horizontal_deg: Values) -> Values:
    """Return the gain of an element at boresight: 8 dBi at 65 degrees, less by as much as the beam is wider."""
    return ELEMENT_GAIN_DBI - 10.0 * np.log10(np.minimum(horizontal_deg, 360.0) / BEAMWIDTH_DEG)


def element_gain_dbi(
    zenith_deg: NDArray[np.floating[Any]],
    azimuth_off_deg: NDArray[np.floating[Any]],
    *,
    horizontal_deg: Values = BEAMWIDTH_DEG,
) -> NDArray[np.float32]:
    """Return the gain of one element, TR 38.901 table 7.3-1.

    Args:
        zenith_deg: Zenith angle of departure.
        azimuth_off_deg: Angle from boresight, any turn.
        horizontal_deg: Horizontal half-power beam width, from :func:`beamwidth_deg`.
    """
    vertical = np.minimum(12.0 * ((zenith_deg - 90.0) / BEAMWIDTH_DEG) ** 2, FRONT_TO_BACK_DB)
    off = (azimuth_off_deg + 180.0) % 360.0 - 180.0
    horizontal = np.minimum(12.0 * (off / horizontal_deg) ** 2, FRONT_TO_BACK_DB)
    loss = np.minimum(vertical + horizontal, FRONT_TO_BACK_DB)
    return (peak_gain_dbi(horizontal_deg) - loss).astype(np.float32)


def array_factor_db(
    zenith_deg: NDArray[np.floating[Any]],
    tilt_deg: Values,
    *,
    num_rows: int = NUM_ROWS,
    row_spacing_wavelengths: float = ROW_SPACING_WAVELENGTHS,
) -> NDArray[np.float64]:
    """Return the gain of the column over one element when steered `tilt_deg` below the horizon.

    The peak is 10 log10(rows) dB at zenith 90 + tilt (TR 37.840 section 5.4.4.2, uniform amplitude).
    """
    steer = np.cos(np.radians(90.0 + np.asarray(tilt_deg, dtype=np.float64)))
    half_phase = np.pi * row_spacing_wavelengths * (np.cos(np.radians(zenith_deg, dtype=np.float64)) - steer)
    # The sum of num_rows phasors, closed form; at its poles (the main lobe and grating lobes) the limit is num_rows.
    below = np.sin(half_phase)
    pole = np.abs(below) < 1e-9
    field = np.where(pole, num_rows, np.sin(num_rows * half_phase) / np.where(pole, 1.0, below))
    return 10.0 * np.log10(field * field / num_rows + num_rows * 10.0 ** (-NULL_DEPTH_DB / 10.0))
