"""How much is wanted, when and where: the question a traffic model answers, and two that answer it.

The parametric model is the default. A learned generator, or a measurement, stands beside it by answering the same
question (:class:`TrafficModel`); neither the network nor its past knows which one is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from twin.traffic.curves import WEEK_S, WeekCurves, fitted, fitted_curves
from twin.traffic.noise import Drift, spread_factor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POINT_MEMORY_S, POINT_SIGMA = 1200.0, 0.25
"""Noise of one point of the crowd, the few dozen subscribers of a house: an assumption of ours."""


class TrafficModel(Protocol):
    """Volume by time and place, as a share of each user's own busy-hour volume.

    The answer must depend on the times alone, not on what was asked before: the past is asked in long strides, the
    present second by second, and both must tell one story.
    """

    def share(self, sim_time_s: NDArray[np.float64], week_second: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the demand of every user at many times.

        Args:
            sim_time_s: ``[num_times] float64``.
            week_second: ``[num_times] float64`` seconds since Monday 00:00, local time of the city.

        Returns:
            ``[num_times, num_users] float32``; 1 = as in the busy hour of this user's kind.
        """
        ...


class ParametricTraffic:
    """Seasonal curve of the land use times log-AR(1) noise.

    The noise of a district (all who live around one site) was fitted to how measured days differ from each other;
    that of a single point of the crowd is assumed. UEs have none: their sessions are noise enough.

    Args:
        curve: ``[num_users] int64`` row of the curve that each user follows.
        district: ``[num_crowd] int64`` district of each point of the crowd, which are the last users.
        num_districts: How many.
        rng: Source of the noise.
    """

    def __init__(
        self,
        curve: NDArray[np.int64],
        district: NDArray[np.int64],
        *,
        num_districts: int,
        rng: np.random.Generator,
    ) -> None:
        self._curve, self._district = curve, district
        self._curves = fitted_curves()
        noise = fitted("daily_curves.json")["noise"]
        self._sigma = float(noise["sigma"])
        self._point_noise = Drift(len(district), memory_s=POINT_MEMORY_S, rng=rng)
        self._district_noise = Drift(num_districts, memory_s=float(noise["memory_s"]), rng=rng)

    def share(self, sim_time_s: NDArray[np.float64], week_second: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return season times noise, see :class:`TrafficModel`."""
        share = self._curves.at(week_second)[:, self._curve]
        ues = len(self._curve) - len(self._district)
        if len(self._district):
            common = spread_factor(self._district_noise.at(sim_time_s), self._sigma)
            own = spread_factor(self._point_noise.at(sim_time_s), POINT_SIGMA)
            share[:, ues:] *= own * common[:, self._district]
        return share


class MeasuredTraffic:
    """Replays measured weeks: what was counted in a square is what its users want, with no noise added.

    Args:
        weeks: One curve per measured place, each a share of its own busy hour.
        place_of_user: ``[num_users] int64`` curve that each user follows.
        start_week_s: Where in the measured week the simulated Monday 00:00 falls.
    """

    def __init__(self, weeks: WeekCurves, place_of_user: NDArray[np.int64], *, start_week_s: float = 0.0) -> None:
        self._weeks, self._place_of_user, self._start_week_s = weeks, place_of_user, start_week_s

    def share(self, sim_time_s: NDArray[np.float64], week_second: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the measured curve of each user's place, see :class:`TrafficModel`."""
        del sim_time_s
        return self._weeks.at((week_second + self._start_week_s) % WEEK_S)[:, self._place_of_user]
