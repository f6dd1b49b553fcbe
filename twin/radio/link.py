"""From SINR to rate: noise, per-resource power, CQI, spectral efficiency and rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
"""Bits per second and hertz of CQI 1..15, TS 38.214 table 5.2.2.1-3 (256QAM)."""
MIN_SINR_DB = -6.0
"""Below this nothing decodes; between it and CQI 1 the rate falls to zero (repetition)."""
MAX_RANK = 4.0
RANK_FROM_DB, RANK_TO_DB = 5.0, 29.0
"""SINR from which a second spatial layer pays, and at which all layers of a 4-antenna UE are used."""

_BINS_PER_DB = 8
_TABLE_FROM_DB = -16.0
_TABLE_SINR_DB = np.arange(_TABLE_FROM_DB, 45.0, 1.0 / _BINS_PER_DB, dtype=np.float32)


def noise_mw(bandwidth_hz: float) -> float:
    """Return thermal noise plus noise figure over a bandwidth."""
    return 10.0 ** ((THERMAL_NOISE_DBM_PER_HZ + 10.0 * np.log10(bandwidth_hz) + NOISE_FIGURE_DB) / 10.0)


def num_resource_blocks(bandwidth_hz: float) -> int:
    """Return the PRBs of a carrier (TS 38.101 table 5.3.2-1): 30 kHz below 6 GHz's 100 MHz, 120 kHz above."""
    spacing_hz = 120e3 if bandwidth_hz > 100e6 else 30e3
    usable = 0.983 if bandwidth_hz >= 100e6 else 0.93
    return int(bandwidth_hz * usable / (12.0 * spacing_hz))


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


_TABLE = _efficiency(_TABLE_SINR_DB)


def spectral_efficiency(sinr_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return net bits per second and hertz of a user alone on the carrier, rank and overhead included."""
    slot = (sinr_db - np.float32(_TABLE_FROM_DB)) * np.float32(_BINS_PER_DB) + np.float32(0.5)
    return _TABLE[np.clip(slot, 0, len(_TABLE) - 1).astype(np.int32)]
