"""Path loss, line-of-sight probability and building entry loss of 3GPP TR 38.901, as pure functions of arrays.

Distances and heights in metres, carriers in hertz, losses in dB. Valid for 0.5..100 GHz and up to 5 km. Every
height and carrier may be a number or an array that broadcasts against the distances. Tables by
:data:`Environment`: urban macro (UMa), urban micro in street canyons (UMi), rural macro (RMa), indoor office (InH).
Hot-spots above 100 GHz (SubTHz) are those of :mod:`twin.sixg.sub_terahertz`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, assert_never

import numpy as np

from twin.sixg import sub_terahertz
from twin.sixg.sub_terahertz import SPEED_OF_LIGHT_MPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.entities import Environment

    Values = float | NDArray[np.floating[Any]]

Office = Literal["mixed", "open"]

EFFECTIVE_ENVIRONMENT_HEIGHT_M = 1.0
"""hE of TR 38.901 table 7.4.1-1, note 1, for users at street level."""
MIN_DISTANCE_M: dict[Environment, float] = {"UMa": 10.0, "UMi": 10.0, "RMa": 10.0, "InH": 1.0, "SubTHz": 1.0}
"""The formulas hold from here on (on the ground; in InH through the air); nearer points are treated as this far."""
LOWEST_EFFECTIVE_HEIGHT_M = 0.5
"""A user at 1.5 m over hE = 1 m, the lowest of table 7.2-1; things lower than that are treated as if at 1.5 m."""
ROOF_HEIGHT_M = 5.0
"""h, the average building height of RMa; table 7.4.1-1 gives 5 m as the default."""
STREET_WIDTH_M = 20.0
"""W, the average street width of RMa; table 7.4.1-1 gives 20 m as the default."""

SHADOWING_SIGMA_DB: dict[Environment, tuple[float, float]] = {
    "UMa": (4.0, 6.0),
    "UMi": (4.0, 7.82),
    "RMa": (4.0, 8.0),
    "InH": (3.0, 8.03),
    "SubTHz": (2.7, 0.0),
}
"""(LOS, NLOS), TR 38.901 table 7.4.1-1. RMa in sight keeps 4 dB beyond the break point, too (the table: 6 dB). SubTHz:
measured at 142 GHz in streets (Xing and Rappaport, IEEE Communications Letters 25(12), 2021)."""
DECORRELATION_M: dict[Environment, tuple[float, float]] = {
    "UMa": (37.0, 50.0),
    "UMi": (10.0, 13.0),
    "RMa": (37.0, 120.0),
    "InH": (10.0, 6.0),
    "SubTHz": (10.0, 13.0),
}
"""(LOS, NLOS) of shadowing, TR 38.901 table 7.5-6."""
INDOOR_SIGMA_DB: dict[Environment, float] = {"UMa": 7.0, "UMi": 7.0, "RMa": 8.0, "InH": 8.03, "SubTHz": 0.0}
"""Shadowing of a user behind an outer wall (column O2I), in sight or not, TR 38.901 table 7.5-6. The cells of InH are
inside with their users: that is the NLOS figure of InH, and who sees the cell has its LOS figure."""
INDOOR_DECORRELATION_M: dict[Environment, float] = {"UMa": 7.0, "UMi": 7.0, "RMa": 120.0, "InH": 6.0, "SubTHz": 7.0}
"""Of :data:`INDOOR_SIGMA_DB`, column O2I of TR 38.901 table 7.5-6; InH as outside of it: the NLOS figure."""
SIGHT_DECORRELATION_M: dict[Environment, float] = {"UMa": 50.0, "UMi": 50.0, "RMa": 60.0, "InH": 10.0, "SubTHz": 50.0}
"""Of the LOS state, TR 38.901 table 7.6.3.1-2."""

ENTRY_SIGMA_DB = (4.4, 6.5)
"""Spread of the (low-loss, high-loss) entry loss, TR 38.901 table 7.4.3-2."""
INDOOR_LOSS_DB_PER_M = 0.5
MAX_INDOOR_DEPTH_M = 25.0
"""Indoor depth is the smaller of two draws from U(0, 25) m, TR 38.901 section 7.4.3.1."""
MAX_RURAL_DEPTH_M = 10.0
"""The same in RMa: U(0, 10) m."""


def breakpoint_m(
    *,
    mast_height_m: Values,
    user_height_m: Values,
    carrier_hz: Values,
    environment_height_m: Values = EFFECTIVE_ENVIRONMENT_HEIGHT_M,
) -> Values:
    """Return the break point dBP' of TR 38.901 table 7.4.1-1 note 1 (UMa, UMi)."""
    mast = mast_height_m - environment_height_m
    user = np.maximum(user_height_m - environment_height_m, LOWEST_EFFECTIVE_HEIGHT_M)
    return 4.0 * mast * user * carrier_hz / SPEED_OF_LIGHT_MPS


def loss_db(
    environment: Environment,
    ground_distance_m: NDArray[np.float32],
    *,
    mast_height_m: Values,
    user_height_m: Values,
    carrier_hz: Values,
    environment_height_m: Values = EFFECTIVE_ENVIRONMENT_HEIGHT_M,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (LOS, NLOS) loss for each ground distance, TR 38.901 table 7.4.1-1.

    Args:
        environment: Which column of formulas.
        ground_distance_m: Any shape.
        mast_height_m: hBS.
        user_height_m: hUT.
        carrier_hz: Centre frequency.
        environment_height_m: hE, from :func:`environment_height_m`; matters above 13 m in UMa only.

    Returns:
        Two float32 arrays of the shape that the arguments broadcast to.
    """
    rise = np.abs(np.asarray(mast_height_m - user_height_m, dtype=np.float32))
    if environment == "SubTHz":
        los = sub_terahertz.loss_db(np.hypot(ground_distance_m, rise), carrier_hz=carrier_hz)
        return los, los + np.float32(sub_terahertz.HIDDEN_DB)
    log_fc = np.log10(np.asarray(carrier_hz, dtype=np.float64) / 1e9).astype(np.float32)
    if environment == "InH":
        through = np.maximum(np.hypot(ground_distance_m, rise), np.float32(MIN_DISTANCE_M["InH"]))
        log_3d = np.log10(through)
        los = 32.4 + 17.3 * log_3d + 20.0 * log_fc
        hidden = 17.3 + 38.3 * log_3d + 24.9 * log_fc
        return los.astype(np.float32), np.maximum(los, hidden).astype(np.float32)
    ground = np.maximum(ground_distance_m, np.float32(MIN_DISTANCE_M[environment]))
    log_3d = np.float32(0.5) * np.log10(ground * ground + rise * rise)
    if environment == "RMa":
        los = _rural_los_db(ground, log_3d, mast_height_m, user_height_m, carrier_hz)
        hidden = _rural_nlos_db(log_3d, log_fc, mast_height_m, user_height_m)
        return los.astype(np.float32), np.maximum(los, hidden).astype(np.float32)
    turn_m = breakpoint_m(
        mast_height_m=mast_height_m,
        user_height_m=user_height_m,
        carrier_hz=carrier_hz,
        environment_height_m=environment_height_m,
    )
    turn_term = np.log10(np.asarray(turn_m * turn_m + rise * rise)).astype(np.float32)
    match environment:
        case "UMa":
            near = 22.0 * log_3d + (28.0 + 20.0 * log_fc)
            far = 40.0 * log_3d + (28.0 + 20.0 * log_fc - 9.0 * turn_term)
            hidden = 39.08 * log_3d + (13.54 + 20.0 * log_fc - 0.6 * (user_height_m - 1.5))
        case "UMi":
            near = 21.0 * log_3d + (32.4 + 20.0 * log_fc)
            far = 40.0 * log_3d + (32.4 + 20.0 * log_fc - 9.5 * turn_term)
            hidden = 35.3 * log_3d + (22.4 + 21.3 * log_fc - 0.3 * (user_height_m - 1.5))
        case _:
            assert_never(environment)
    los = np.where(ground <= turn_m, near, far).astype(np.float32)
    return los, np.maximum(los, hidden).astype(np.float32)


def _rural_los_db(
    ground: NDArray[np.float32],
    log_3d: NDArray[np.float32],
    mast_height_m: Values,
    user_height_m: Values,
    carrier_hz: Values,
) -> NDArray[np.floating[Any]]:
    turn_m = 2.0 * np.pi * mast_height_m * user_height_m * carrier_hz / SPEED_OF_LIGHT_MPS
    roofs = ROOF_HEIGHT_M**1.72

    def near(log_distance: Values) -> Values:
        free = 20.0 * np.log10(40.0 * np.pi * np.asarray(carrier_hz) / 1e9 / 3.0) + 20.0 * log_distance
        clutter = min(0.03 * roofs, 10.0) * log_distance - min(0.044 * roofs, 14.77)
        return free + clutter + 0.002 * np.log10(ROOF_HEIGHT_M) * 10.0**log_distance

    log_turn = np.log10(np.asarray(turn_m))
    return np.where(ground <= turn_m, near(log_3d), near(log_turn) + 40.0 * (log_3d - log_turn))


def _rural_nlos_db(
    log_3d: NDArray[np.float32], log_fc: NDArray[np.float32], mast_height_m: Values, user_height_m: Values
) -> NDArray[np.floating[Any]]:
    log_mast = np.log10(mast_height_m)
    return (
        161.04
        - 7.1 * np.log10(STREET_WIDTH_M)
        + 7.5 * np.log10(ROOF_HEIGHT_M)
        - (24.37 - 3.7 * (ROOF_HEIGHT_M / mast_height_m) ** 2) * log_mast
        + (43.42 - 3.1 * log_mast) * (log_3d - 3.0)
        + 20.0 * log_fc
        - (3.2 * np.log10(11.75 * user_height_m) ** 2 - 4.97)
    )


def los_probability(
    environment: Environment,
    ground_distance_m: NDArray[np.float32],
    *,
    user_height_m: Values = 1.5,
    office: Office = "open",
) -> NDArray[np.float32]:
    """Return the LOS probability, TR 38.901 table 7.4.2-1.

    Args:
        environment: Which row.
        ground_distance_m: Outdoor part of the ground distance, any shape.
        user_height_m: Above 13 m a user in UMa sees more masts.
        office: With walls between desks (mixed), or without as in the calibration campaign; matters in InH only.
    """
    distance = ground_distance_m
    match environment:
        case "UMa":
            chance = _canyon(distance, 63.0) * (np.float32(1.0) + _overview(distance, user_height_m))
        case "UMi" | "SubTHz":
            chance = _canyon(distance, 36.0)
        case "RMa":
            chance = np.exp(-np.maximum(distance - np.float32(10.0), 0.0) / np.float32(1000.0))
        case "InH":
            chance = _office(distance, office)
        case _:
            assert_never(environment)
    return np.minimum(chance, 1.0).astype(np.float32)


def _canyon(ground_distance_m: NDArray[np.float32], scale_m: float) -> NDArray[np.float32]:
    distance = np.maximum(ground_distance_m, np.float32(18.0))
    near = np.float32(18.0) / distance
    return (near + np.exp(-distance / np.float32(scale_m)) * (np.float32(1.0) - near)).astype(np.float32)


def _overview(ground_distance_m: NDArray[np.float32], user_height_m: Values) -> NDArray[np.floating[Any]]:
    """Return C(d, hUT) of TR 38.901 table 7.4.1-1 note 1, which is also the gain of table 7.4.2-1 in UMa."""
    above = np.clip((np.asarray(user_height_m, dtype=np.float32) - 13.0) / 10.0, 0.0, 1.0) ** np.float32(1.5)
    if not above.any():
        return np.zeros(1, dtype=np.float32)
    hundreds = ground_distance_m / np.float32(100.0)
    bulge = np.float32(1.25) * hundreds**3 * np.exp(-ground_distance_m / np.float32(150.0))
    return above * np.where(ground_distance_m > 18.0, bulge, np.float32(0.0))


def _office(distance: NDArray[np.float32], office: Office) -> NDArray[np.floating[Any]]:
    match office:
        case "mixed":
            near = np.exp(-np.maximum(distance - np.float32(1.2), 0.0) / np.float32(4.7))
            return np.where(distance < 6.5, near, 0.32 * np.exp(-(distance - np.float32(6.5)) / np.float32(32.6)))
        case "open":
            near = np.exp(-np.maximum(distance - np.float32(5.0), 0.0) / np.float32(70.8))
            return np.where(distance <= 49.0, near, 0.54 * np.exp(-(distance - np.float32(49.0)) / np.float32(211.7)))
        case _:
            assert_never(office)


def environment_height_m(
    ground_distance_m: NDArray[np.float32], user_height_m: Values, *, uniform: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return hE of UMa for each link, TR 38.901 table 7.4.1-1 note 1: 1 m, or the roofs under a high user.

    Args:
        ground_distance_m: Any shape.
        user_height_m: Broadcasts against it.
        uniform: One draw from U(0, 1) for each link, same shape; spent both on the choice and on the roof.
    """
    height = np.broadcast_to(np.asarray(user_height_m, dtype=np.float32), ground_distance_m.shape)
    street = 1.0 / (1.0 + _overview(ground_distance_m, height))
    # The roofs 12, 15, 18 ... up to hUT - 1.5 m are equally likely.
    roofs = np.maximum(np.floor((height - 13.5) / 3.0) + 1.0, 1.0)
    rest = np.clip((uniform - street) / np.maximum(1.0 - street, 1e-6), 0.0, 0.999_999)
    roof = 12.0 + 3.0 * np.floor(rest * roofs)
    on_street = (uniform < street) | (height < 13.5)
    return np.where(on_street, EFFECTIVE_ENVIRONMENT_HEIGHT_M, roof).astype(np.float32)


def entry_loss_db(carrier_hz: float) -> tuple[float, float]:
    """Return the (low-loss, high-loss) building entry loss through the outer wall, TR 38.901 table 7.4.3-2."""
    f_ghz = carrier_hz / 1e9
    glass, coated_glass, concrete = 2.0 + 0.2 * f_ghz, 23.0 + 0.3 * f_ghz, 5.0 + 4.0 * f_ghz
    low = 5.0 - 10.0 * np.log10(0.3 * 10 ** (-glass / 10) + 0.7 * 10 ** (-concrete / 10))
    high = 5.0 - 10.0 * np.log10(0.7 * 10 ** (-coated_glass / 10) + 0.3 * 10 ** (-concrete / 10))
    return float(low), float(high)
