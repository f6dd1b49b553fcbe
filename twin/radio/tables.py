"""What can be worked out once: loss by distance for each kind of mast, antenna gain by direction for each cell.

The kernels (:mod:`twin.kernels.numpy_radio`) read these tables by linear interpolation instead of calling
logarithms and arc functions for every pair of cell and user.

* Loss: the squared ground distance is cut into bins by the leading bits of its ``float32``, 32 bins to the octave.
  That is a logarithmic scale which costs neither root nor logarithm to find.
* Vertical pattern: by the sine of the angle below the horizon, 1,024 equal bins.
* Horizontal pattern: by the "diamond angle", the way along the unit square |x| + |y| = 1 instead of the circle,
  1,024 equal bins clockwise from north; the boresight is worked into the table.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.radio import antenna, path_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

STOREY_M = 3.0
USER_HEIGHT_M = 1.5
LEVELS = 8
"""Heights of users that the formulas tell apart: 1.5 m to 22.5 m, the range of TR 38.901 table 7.4.1-1."""
BIN_SHIFT = 18
"""Bits of a float32 mantissa below a bin: 2^(23 - 18) = 32 bins to the octave."""
FIRST_BIN = 127 << (23 - BIN_SHIFT)
"""The bin of one square metre."""
LOSS_BINS = 34 * 32
"""Up to 131 km."""
ANGLE_BINS = 1024
_NORMAL = np.linspace(-6.0, 6.0, 4801)
_NORMAL_BELOW = np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in _NORMAL])
_DEPTHS = (1.0 - np.sqrt(1.0 - (np.arange(32) + 0.5) / 32.0)).astype(np.float32)
"""Ways from the outer wall as shares of the deepest, equally likely: quantiles of the smaller of two draws U(0, 1)."""
LOWEST_ROOF_M = 12.0
"""The first hE of UMa beside the street, TR 38.901 table 7.4.1-1 note 1."""


def level_of(height_m: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the row of a loss table for users at this height, nearest storey."""
    storey = np.rint((height_m - USER_HEIGHT_M) / STOREY_M)
    return np.minimum(np.maximum(storey, 0.0), LEVELS - 1.0).astype(np.int32)


def sight_bound(probability: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the value below which a standard normal one lies with this probability, -6..6."""
    return np.interp(probability, _NORMAL_BELOW, _NORMAL).astype(np.float32)


@lru_cache(maxsize=1024)
def loss_table(environment: path_loss.Environment, *, mast_height_m: float, carrier_hz: float) -> NDArray[np.float32]:
    """Return loss and line of sight by level and squared distance.

    There is line of sight where a standard normal field lies below its bound: the value below which it stays with the
    LOS probability (F(d) of TR 38.901 section 7.6.3.3). For users indoors that is the probability of the outdoor part
    of the way (table 7.4.2-1), in the mean over how deep in the building they are.

    Above 13 m in UMa hE is random for each link (table 7.4.1-1 note 1); the table holds the mean over it.

    Returns:
        ``[LEVELS, LOSS_BINS + 1, 4] float32``, read-only: LOS loss, NLOS loss, bound outdoors, bound indoors.
    """
    edge = np.arange(LOSS_BINS + 1, dtype=np.int32) + np.int32(FIRST_BIN)
    ground_m = np.sqrt((edge << BIN_SHIFT).view(np.float32).astype(np.float64)).astype(np.float32)
    table = np.zeros((LEVELS, LOSS_BINS + 1, 4), dtype=np.float32)
    deepest_m = path_loss.MAX_RURAL_DEPTH_M if environment == "RMa" else path_loss.MAX_INDOOR_DEPTH_M
    depths_m = np.float32(deepest_m) * _DEPTHS
    for level in range(LEVELS):
        height_m = USER_HEIGHT_M + STOREY_M * level
        table[level, :, 0], table[level, :, 1] = exact_loss_db(
            environment, ground_m, mast_height_m=mast_height_m, user_height_m=height_m, carrier_hz=carrier_hz
        )
        outdoor_m = np.maximum(ground_m[:, None] - depths_m, np.float32(0.0))
        indoors = path_loss.los_probability(environment, outdoor_m, user_height_m=height_m).mean(axis=1)
        table[level, :, 2] = sight_bound(path_loss.los_probability(environment, ground_m, user_height_m=height_m))
        table[level, :, 3] = sight_bound(indoors)
    table.flags.writeable = False
    return table


def exact_loss_db(
    environment: path_loss.Environment,
    ground_m: NDArray[np.float32],
    *,
    mast_height_m: float,
    user_height_m: float,
    carrier_hz: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (LOS, NLOS) loss at each distance ``[n] float32``, the mean over hE where it is random."""

    def loss_db(environment_height_m: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return path_loss.loss_db(
            environment,
            ground_m,
            mast_height_m=mast_height_m,
            user_height_m=user_height_m,
            carrier_hz=carrier_hz,
            environment_height_m=environment_height_m,
        )

    street = loss_db(path_loss.EFFECTIVE_ENVIRONMENT_HEIGHT_M)
    if environment != "UMa" or user_height_m < LOWEST_ROOF_M + USER_HEIGHT_M:
        return street
    roofs = np.mean([loss_db(float(roof)) for roof in np.arange(LOWEST_ROOF_M, user_height_m - 1.0, STOREY_M)], axis=0)
    # C(d, hUT) of note 1 is also what height adds to the LOS probability in table 7.4.2-1.
    low, high = (
        path_loss.los_probability("UMa", ground_m, user_height_m=height) for height in (USER_HEIGHT_M, user_height_m)
    )
    los, nlos = (over + low / high * (along - over) for along, over in zip(street, roofs, strict=True))
    return los.astype(np.float32), nlos.astype(np.float32)


@lru_cache(maxsize=4096)
def array_table_db(tilt_deg: float, *, num_rows: int, row_spacing_wavelengths: float) -> NDArray[np.float32]:
    """Return the array factor by sine of the angle below the horizon, ``[ANGLE_BINS + 1] float32``, read-only."""
    table = antenna.array_factor_db(
        _zenith_deg(), tilt_deg, num_rows=num_rows, row_spacing_wavelengths=row_spacing_wavelengths
    ).astype(np.float32)
    table.flags.writeable = False
    return table


def element_vertical_db() -> NDArray[np.float32]:
    """Return what one element loses off the horizon, TR 38.901 table 7.3-1, ``[ANGLE_BINS + 1] float32``."""
    off = (_zenith_deg() - 90.0) / antenna.BEAMWIDTH_DEG
    return np.minimum(12.0 * off**2, antenna.FRONT_TO_BACK_DB).astype(np.float32)


def element_horizontal_db(boresight_deg: float, beamwidth_deg: float) -> NDArray[np.float32]:
    """Return what one element loses off boresight by diamond angle, ``[ANGLE_BINS + 1] float32``."""
    off = (_bearing_deg() - boresight_deg + 180.0) % 360.0 - 180.0
    return np.minimum(12.0 * (off / beamwidth_deg) ** 2, antenna.FRONT_TO_BACK_DB).astype(np.float32)


def _zenith_deg() -> NDArray[np.float64]:
    return 90.0 + np.degrees(np.arcsin(np.linspace(-1.0, 1.0, ANGLE_BINS + 1)))


def _bearing_deg() -> NDArray[np.float64]:
    way = np.linspace(0.0, 4.0, ANGLE_BINS + 1)
    north = np.where(way <= 2.0, 1.0 - way, way - 3.0)
    east = (1.0 - np.abs(north)) * np.where(way <= 2.0, 1.0, -1.0)
    return np.degrees(np.arctan2(east, north)) % 360.0
