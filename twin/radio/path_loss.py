"""Path loss, line-of-sight probability and building entry loss of 3GPP TR 38.901, as pure functions of arrays.

Distances in metres, carriers in hertz, losses in dB. Valid for 0.5..100 GHz and 10 m..5 km.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Environment = Literal["UMa", "UMi"]

SPEED_OF_LIGHT_MPS = 299_792_458.0
EFFECTIVE_ENVIRONMENT_HEIGHT_M = 1.0
"""hE of TR 38.901 table 7.4.1-1, note 1, for users at street level."""
MIN_DISTANCE_M = 10.0
"""The formulas hold from 10 m on; nearer points are treated as 10 m away."""

SHADOWING_SIGMA_DB: dict[Environment, tuple[float, float]] = {"UMa": (4.0, 6.0), "UMi": (4.0, 7.82)}
"""(LOS, NLOS), TR 38.901 table 7.4.1-1."""
DECORRELATION_M: dict[Environment, tuple[float, float]] = {"UMa": (37.0, 50.0), "UMi": (10.0, 13.0)}
"""(LOS, NLOS), TR 38.901 table 7.5-6."""


def breakpoint_m(*, mast_height_m: float, user_height_m: float, carrier_hz: float) -> float:
    """Return the break point dBP' of TR 38.901 table 7.4.1-1 note 1."""
    mast = mast_height_m - EFFECTIVE_ENVIRONMENT_HEIGHT_M
    user = user_height_m - EFFECTIVE_ENVIRONMENT_HEIGHT_M
    return 4.0 * mast * user * carrier_hz / SPEED_OF_LIGHT_MPS


def loss_db(
    environment: Environment,
    ground_distance_m: NDArray[np.float32],
    *,
    mast_height_m: float,
    user_height_m: float,
    carrier_hz: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (LOS, NLOS) loss for each ground distance, same shape, TR 38.901 table 7.4.1-1."""
    ground = np.maximum(ground_distance_m, np.float32(MIN_DISTANCE_M))
    rise = mast_height_m - user_height_m
    log_3d = np.float32(0.5) * np.log10(ground * ground + np.float32(rise * rise))
    log_fc = float(np.log10(carrier_hz / 1e9))
    turn_m = breakpoint_m(mast_height_m=mast_height_m, user_height_m=user_height_m, carrier_hz=carrier_hz)
    turn_term = float(np.log10(turn_m * turn_m + rise * rise))
    match environment:
        case "UMa":
            near = 22.0 * log_3d + np.float32(28.0 + 20.0 * log_fc)
            far = 40.0 * log_3d + np.float32(28.0 + 20.0 * log_fc - 9.0 * turn_term)
            hidden = 39.08 * log_3d + np.float32(13.54 + 20.0 * log_fc - 0.6 * (user_height_m - 1.5))
        case "UMi":
            near = 21.0 * log_3d + np.float32(32.4 + 20.0 * log_fc)
            far = 40.0 * log_3d + np.float32(32.4 + 20.0 * log_fc - 9.5 * turn_term)
            hidden = 35.3 * log_3d + np.float32(22.4 + 21.3 * log_fc - 0.3 * (user_height_m - 1.5))
        case _:
            assert_never(environment)
    los = np.where(ground <= turn_m, near, far).astype(np.float32)
    return los, np.maximum(los, hidden).astype(np.float32)


def los_probability(environment: Environment, ground_distance_m: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the outdoor LOS probability for users below 13 m, TR 38.901 table 7.4.2-1."""
    distance = np.maximum(ground_distance_m, np.float32(18.0))
    near = np.float32(18.0) / distance
    scale_m = 63.0 if environment == "UMa" else 36.0
    return (near + np.exp(-distance / np.float32(scale_m)) * (np.float32(1.0) - near)).astype(np.float32)


def entry_loss_db(carrier_hz: float) -> tuple[float, float]:
    """Return the (low-loss, high-loss) building entry loss through the outer wall, TR 38.901 table 7.4.3-2."""
    f_ghz = carrier_hz / 1e9
    glass, coated_glass, concrete = 2.0 + 0.2 * f_ghz, 23.0 + 0.3 * f_ghz, 5.0 + 4.0 * f_ghz
    low = 5.0 - 10.0 * np.log10(0.3 * 10 ** (-glass / 10) + 0.7 * 10 ** (-concrete / 10))
    high = 5.0 - 10.0 * np.log10(0.7 * 10 ** (-coated_glass / 10) + 0.3 * 10 ** (-concrete / 10))
    return float(low), float(high)


ENTRY_SIGMA_DB = (4.4, 6.5)
"""Spread of the (low-loss, high-loss) entry loss, TR 38.901 table 7.4.3-2."""
INDOOR_LOSS_DB_PER_M = 0.5
MAX_INDOOR_DEPTH_M = 25.0
"""Indoor depth is the smaller of two draws from U(0, 25) m, TR 38.901 section 7.4.3.1."""
