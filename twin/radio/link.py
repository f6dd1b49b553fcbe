"""From SINR to rate: noise, per-resource power, CQI, spectral efficiency and rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twin.errors import OutOfRange

if TYPE_CHECKING:
    from numpy.typing import NDArray

THERMAL_NOISE_DBM_PER_HZ = -174.0
NOISE_FIGURE_DB = 9.0
"""Receiver of the UE, TR 38.901 calibration assumption."""
OVERHEAD = 0.14
"""Share of downlink resources for control and reference signals in FR1, TS 38.306 section 4.1.2."""

CQI_THRESHOLD_DB = np.array(
    [-1.89, -0.82, 0.95, 2.95, 4.90, 7.39, 8.89, 11.02, 13.32, 14.68, 16.62, 18.91, 21.58, 24.88, 29.32],
    dtype=np.float32,
)
"""SINR at which CQI 1..15 decodes nine blocks in ten; these thresholds are those published with CRRM."""
CQI_EFFICIENCY = np.array(
    [
        0.1523, 0.3770, 0.8770, 1.4766, 1.9141, 2.4063, 2.7305, 3.3223,
        3.9023, 4.5234, 5.1152, 5.5547, 6.2266, 6.9141, 7.4063,
    ],
    dtype=np.float32,
)  # fmt: skip
"""Bits per modulation symbol of CQI 1..15, TS 38.214 table 5.2.2.1-3 (256QAM)."""
TDD_FROM_HZ = 2.5e9
"""Where unpaired spectrum begins: n41 (2496 MHz) and every band above it but n7; below, FDD has most of the spectrum
(TS 38.101-1 table 5.2-1). A UE or cell of n7 is taken for one of n41."""
TDD_DOWNLINK_SHARE = 0.75
"""Of the slots of a usual TDD pattern."""
SYMBOLS_PER_SLOT = 14
MIN_SINR_DB = -6.0
"""Below this nothing decodes; between it and CQI 1 the rate falls to zero (repetition)."""
MAX_RANK = 4.0
RANK_FROM_DB, RANK_TO_DB = 5.0, 29.0
"""SINR from which a second spatial layer pays, and at which all layers of a 4-antenna UE are used. Between the two
the rate of one layer is multiplied by a rank that grows linearly in decibel from 1 to 4: the mean over many UEs of
the whole-numbered rank that each reports. An assumption; the wideband SINR alone does not fix the rank."""

BINS_PER_DB = 8
TABLE_FROM_DB = -16.0
_TABLE_SINR_DB = np.arange(TABLE_FROM_DB, 45.0, 1.0 / BINS_PER_DB, dtype=np.float32)

_MHZ_5_TO_100 = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90, 100)
NUM_RESOURCE_BLOCKS: dict[int, dict[int, int]] = {
    15: dict(zip(_MHZ_5_TO_100, (25, 52, 79, 106, 133, 160, 188, 216, 242, 270), strict=False)),
    30: dict(zip(_MHZ_5_TO_100, (11, 24, 38, 51, 65, 78, 92, 106, 119, 133, 162, 189, 217, 245, 273), strict=True)),
    60: dict(zip(_MHZ_5_TO_100[1:], (11, 18, 24, 31, 38, 44, 51, 58, 65, 79, 93, 107, 121, 135), strict=True))
    | {200: 264},
    120: {50: 32, 100: 66, 200: 132, 400: 264},
    480: {400: 66, 800: 124, 1600: 248},
    960: {400: 33, 800: 62, 1600: 124, 2000: 148},
}
"""PRBs by subcarrier spacing (kHz) and channel bandwidth (MHz), table 5.3.2-1 of TS 38.101-1 (15 to 60 kHz) and of
TS 38.101-2 (60 kHz with 200 MHz, and above). At 60 kHz both know 50 and 100 MHz; the first one counts here."""


def noise_mw(bandwidth_hz: float) -> float:
    """Return thermal noise plus noise figure over a bandwidth."""
    return 10.0 ** ((THERMAL_NOISE_DBM_PER_HZ + 10.0 * np.log10(bandwidth_hz) + NOISE_FIGURE_DB) / 10.0)


def spacing_khz(bandwidth_hz: float) -> int:
    """Return the subcarrier spacing that carriers of this bandwidth use here: 30 kHz up to 100 MHz, then wider."""
    return next(
        (spacing for widest_hz, spacing in ((100e6, 30), (400e6, 120), (1600e6, 480)) if bandwidth_hz <= widest_hz), 960
    )


def num_resource_blocks(bandwidth_hz: float, *, spacing: int | None = None) -> int:
    """Return the PRBs of a carrier, see :data:`NUM_RESOURCE_BLOCKS`.

    Args:
        bandwidth_hz: Channel bandwidth.
        spacing: Subcarrier spacing in kHz; None = :func:`spacing_khz`.

    Raises:
        OutOfRange: No NR channel has this bandwidth at this spacing.
    """
    khz = spacing_khz(bandwidth_hz) if spacing is None else spacing
    row = NUM_RESOURCE_BLOCKS.get(khz, {})
    found = row.get(round(bandwidth_hz / 1e6))
    if found is None or abs(bandwidth_hz / 1e6 - round(bandwidth_hz / 1e6)) > 1e-6:
        known = ", ".join(map(str, row)) or "none"
        raise OutOfRange(
            f"no NR channel is `{bandwidth_hz / 1e6:g} MHz` wide at {khz} kHz spacing; choose one of {known} MHz"
        )
    return found


def symbols_per_s(bandwidth_hz: float) -> float:
    """Return the modulation symbols that a carrier has per second: 12 N_RB x 14 per slot (TS 38.211 table 4.3.2-1)."""
    slots_per_s = 1e3 * spacing_khz(bandwidth_hz) / 15.0
    return 12.0 * num_resource_blocks(bandwidth_hz) * SYMBOLS_PER_SLOT * slots_per_s


def downlink_share(carrier_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of time in which carriers send downlink, by their duplex."""
    return np.where(carrier_hz >= TDD_FROM_HZ, TDD_DOWNLINK_SHARE, 1.0)


def rsrp_offset_db(bandwidth_hz: float) -> float:
    """Return what to subtract from carrier power for the power of one resource element: 10 log10(12 N_RB)."""
    return float(10.0 * np.log10(12.0 * num_resource_blocks(bandwidth_hz)))


def cqi(sinr_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the wideband CQI 0..15 (TS 38.214 table 5.2.2.1-3), as float32."""
    return np.searchsorted(CQI_THRESHOLD_DB, sinr_db, side="right").astype(np.float32)


def _efficiency(sinr_db: NDArray[np.float32]) -> NDArray[np.float32]:
    # Outer-loop link adaptation holds the block error rate between two CQI steps: rates follow the chords.
    points = np.concatenate([[MIN_SINR_DB], CQI_THRESHOLD_DB])
    values = np.concatenate([[0.0], CQI_EFFICIENCY])
    rank = 1.0 + (MAX_RANK - 1.0) * np.clip((sinr_db - RANK_FROM_DB) / (RANK_TO_DB - RANK_FROM_DB), 0.0, 1.0)
    return (np.interp(sinr_db, points, values) * rank * (1.0 - OVERHEAD)).astype(np.float32)


TABLE = _efficiency(_TABLE_SINR_DB)
"""``[num_bins] float32`` net bits per modulation symbol; the rate between two bins lies on their chord."""


def spectral_efficiency(sinr_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return net bits per modulation symbol of a user alone on the carrier, rank and overhead included."""
    place = (sinr_db - np.float32(TABLE_FROM_DB)) * np.float32(BINS_PER_DB)
    place = np.clip(place, np.float32(0.0), np.float32(len(TABLE) - 1.001))
    low = place.astype(np.int32)
    part = place - low.astype(np.float32)
    return (TABLE[low] + part * (TABLE[low + 1] - TABLE[low])).astype(np.float32, copy=False)


def rsrq_db(signal_mw: NDArray[np.float32], rssi_mw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return SS-RSRQ = N x RSRP / RSSI of TS 38.215 section 5.1.3; N cancels out.

    Both are measured in the symbols and resource blocks of the SSB, which the serving cell fills: no cell reads more
    than -10.8 dB, however idle.

    Args:
        signal_mw: Carrier power of the serving cell at full load; one of the 12 N resource elements is its RSRP.
        rssi_mw: All power on the N resource blocks: the serving cell, others at their load, interference, noise.
    """
    ratio = np.maximum(signal_mw, np.float32(1e-25)) / (np.float32(12.0) * rssi_mw)
    return (np.float32(10.0) * np.log10(ratio)).astype(np.float32)
