"""Flash crowds: for a while, many people want much in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.errors import OutOfRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

EDGE = 0.5
"""Beyond the radius the factor fades out over this share of it; crowds have no wall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashCrowd:
    """One event.

    Attributes:
        place_m: Its middle (east, north).
        radius_m: All within have the whole factor.
        start_s: Simulated time when people begin to come.
        ramp_s: Time until all have come, and until all have left.
        duration_s: From the first who comes to the last who leaves, both ramps included; infinite = until removed.
        factor: What it makes of demand; below 1 = people leave.

    Raises:
        OutOfRange: A size, time or factor that cannot be.
    """

    place_m: tuple[float, float]
    radius_m: float
    start_s: float
    ramp_s: float
    duration_s: float
    factor: float

    def __post_init__(self) -> None:
        if not self.radius_m > 0.0:
            raise OutOfRange(f"a crowd with a radius of `{self.radius_m}` m holds nobody; give more than 0")
        if not 0.0 < self.factor <= 1000.0:
            raise OutOfRange(f"demand cannot be multiplied by `{self.factor}`; give more than 0 and up to 1000")
        if self.ramp_s < 0.0 or self.duration_s < 2.0 * self.ramp_s:
            raise OutOfRange(
                f"a crowd that lasts `{self.duration_s}` s cannot come and go in `{self.ramp_s}` s each;"
                " give a ramp of 0 up to half of the duration"
            )

    def strength(self, sim_time_s: float) -> float:
        """Return how much of the crowd is there, 0 to 1."""
        since, until = sim_time_s - self.start_s, self.start_s + self.duration_s - sim_time_s
        if since < 0.0 or until < 0.0:
            return 0.0
        return 1.0 if self.ramp_s <= 0.0 else min(since / self.ramp_s, until / self.ramp_s, 1.0)


def demand_factor(
    crowds: Sequence[FlashCrowd], points_m: NDArray[np.float32], sim_time_s: float
) -> NDArray[np.float32]:
    """Return what the crowds make of the demand at each point; several at one place multiply.

    Args:
        crowds: The events.
        points_m: ``[num_points, 2] float32`` east, north.
        sim_time_s: When.

    Returns:
        ``[num_points] float32``, 1 = as ever.
    """
    factor = np.ones(len(points_m), dtype=np.float32)
    for one in crowds:
        strength = one.strength(sim_time_s)
        if strength > 0.0:
            apart = np.hypot(points_m[:, 0] - one.place_m[0], points_m[:, 1] - one.place_m[1])
            near = np.clip(1.0 + (1.0 - apart / one.radius_m) / EDGE, 0.0, 1.0)
            factor *= (1.0 + (one.factor - 1.0) * strength * near).astype(np.float32)
    return factor
