"""Hot-spots above 100 GHz: free space, what the air takes, and nothing at all without a free line of sight.

Walls and bodies end a link. Walls are those of the city (:mod:`twin.radio`); bodies stand where the statistics of
crowds put them: drawn once for each square of street and each hot-spot, so that someone who stays is either in the
shadow of a body or not, and someone who walks passes through such shadows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from twin.sixg.absorption import STANDARD_AIR, air_db_per_km

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.sixg.absorption import Air

    Values = float | NDArray[np.floating[Any]]

SPEED_OF_LIGHT_MPS = 299_792_458.0
LOWEST_HZ = 100e9
"""The formulas of TR 38.901 end here."""
MIN_DISTANCE_M = 1.0
HIDDEN_DB = 200.0
"""What a wall takes: everything. Reflections exist, but the narrow beams of both ends are not there to meet them."""

BODIES_PER_M2 = 0.1
"""A busy pavement: ten square metres each."""
BODY_RADIUS_M = 0.3
BODY_HEIGHT_M = 1.7
SELF_BLOCKED = 1.0 / 6.0
"""The user's own body takes 60 of 360 degrees (Bai and Heath, Asilomar 2014)."""
BODY_SQUARE_M = 2.0
_BODY_LOSS_DB = ((75e9, 42.0), (215e9, 56.0))
"""Mean loss behind one person, measured at both ends of this band (Galeote-Cazorla et al., arXiv 2411.13191)."""


def loss_db(distance_m: NDArray[np.float32], *, carrier_hz: Values, air: Air = STANDARD_AIR) -> NDArray[np.float32]:
    """Return free-space loss plus absorption in the line of sight, of the shape that the arguments broadcast to.

    Args:
        distance_m: Through the air, from antenna to antenna.
        carrier_hz: Centre frequency.
        air: What it holds.
    """
    through = np.maximum(distance_m, np.float32(MIN_DISTANCE_M))
    hertz = np.asarray(carrier_hz, dtype=np.float64)
    at_one_metre_db = 20.0 * np.log10(4.0 * np.pi * hertz / SPEED_OF_LIGHT_MPS)
    per_metre_db = np.array([air_db_per_km(hz / 1e9, air) / 1e3 for hz in hertz.ravel()]).reshape(hertz.shape)
    return (20.0 * np.log10(through) + per_metre_db * through + at_one_metre_db).astype(np.float32)


def body_loss_db(carrier_hz: float) -> float:
    """Return the loss behind one person, interpolated between measurements."""
    hertz, loss = zip(*_BODY_LOSS_DB, strict=True)
    return float(np.interp(carrier_hz, hertz, loss))


def body_probability(
    ground_m: NDArray[np.float32], *, mast_height_m: float, user_height_m: float = 1.5
) -> NDArray[np.float32]:
    """Return the probability that a person stands in the line of sight, the user included, same shape.

    Others: Poisson, of one height; only those near the user are tall enough to reach the ray (Gapeyenko et al., IEEE
    ICC 2016): 1 - exp(-2 density radius (r (hB - hR) / (hT - hR) + radius)).
    """
    reach_m = ground_m * max(BODY_HEIGHT_M - user_height_m, 0.0) / max(mast_height_m - user_height_m, 0.1)
    free = np.exp(-2.0 * BODIES_PER_M2 * BODY_RADIUS_M * (np.minimum(reach_m, ground_m) + BODY_RADIUS_M))
    return (1.0 - (1.0 - SELF_BLOCKED) * free).astype(np.float32)


def behind_body(
    position_m: NDArray[np.float32], probability: NDArray[np.float32], *, seed: int, mast: int
) -> NDArray[np.bool_]:
    """Return who has a body in the way, ``[n] bool``; the same for the same place, seed and mast.

    Args:
        position_m: ``[n, 2]`` east, north.
        probability: ``[n]`` from :func:`body_probability`.
        seed: Seed of the world.
        mast: Number of the hot-spot.
    """
    square = np.floor(position_m / np.float32(BODY_SQUARE_M)).astype(np.int64)
    return _uniform(square[:, 0], square[:, 1], seed=seed, mast=mast) < probability


def _uniform(east: NDArray[np.int64], north: NDArray[np.int64], *, seed: int, mast: int) -> NDArray[np.float64]:
    """Return a number from U(0, 1) for each square: SplitMix64, a mixing function and no generator to keep."""
    mask = 2**64 - 1
    state = east.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state ^= north.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    state ^= np.uint64((seed * 0xD6E8FEB86659FD93 + mast * 0xA0761D6478BD642F) & mask)
    state ^= state >> np.uint64(30)
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53
