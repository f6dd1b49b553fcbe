"""Who wants how much in a live network: the daily curves, the crowd's drift, flash crowds and the sessions of UEs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from twin import traffic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from twin.clock import CivilTime
    from twin.fault_effects import Disc
    from twin.traffic import FlashCrowd
    from twin.world import World

CLOCK_REFRESH_S = 1.0
"""Daily curves and the drift of the crowd move by less than a hundredth in this time."""


class LiveDemand:
    """What UEs and crowd want now.

    Attributes:
        read_at_s: Simulated time at which the clock was read last.
        week_second: ``[1] float64`` seconds since Monday 00:00 then.
        sessions: What the UEs are doing.
    """

    sessions: traffic.Sessions

    def __init__(self, world: World, civil: CivilTime) -> None:
        self._world, self._civil = world, civil
        self._duty = np.zeros(world.num_ues, dtype=np.float32)
        self._crowd_share = np.zeros(world.num_users - world.num_ues, dtype=np.float32)

    def begin(self, sim_time_s: float, rng: np.random.Generator) -> None:
        """Let UEs be in the middle of what they do; the clock has been read."""
        people = self._world.people
        self.sessions = traffic.Sessions(people.sessions, people.profile, self._duty, sim_time_s=sim_time_s, rng=rng)

    def is_due(self, sim_time_s: float) -> bool:
        """Whether the clock should be read again."""
        return sim_time_s - self.read_at_s >= CLOCK_REFRESH_S

    def read(self, sim_time_s: float, *, place_m: NDArray[np.float32], crowds: tuple[FlashCrowd, ...]) -> None:
        """Read the clock and tell everyone how much he wants.

        Args:
            sim_time_s: Now.
            place_m: ``[num_ues, 2] float32`` where the UEs are.
            crowds: Flash crowds, now and to come.
        """
        self.read_at_s = sim_time_s
        self.week_second = traffic.second_of_week(self._civil, np.array([sim_time_s]))
        self.want(place_m=place_m, crowds=crowds)

    def want(self, *, place_m: NDArray[np.float32], crowds: tuple[FlashCrowd, ...]) -> None:
        """As :meth:`read`, at the time that was read last."""
        factor = None
        if crowds:
            points_m = self._world.points.position_m[:, :2].copy()
            points_m[: self._world.num_ues] = place_m
            factor = traffic.demand_factor(crowds, points_m, self.read_at_s)
        duty, share = self._world.people.demand_share(np.array([self.read_at_s]), self.week_second, factor)
        self._duty[:], self._crowd_share[:] = duty[0], share[0]

    def listen(self) -> None:
        """Let the sessions follow what is wanted."""
        self.sessions.listen(self._duty)

    def bps(self) -> NDArray[np.float32]:
        """Return the demand of each user, ``[num_users] float32``."""
        crowd = self._crowd_share * self._world.people.busy_demand_bps
        return np.concatenate([self.sessions.rate_bps, crowd]).astype(np.float32, copy=False)

    def connected(self) -> NDArray[np.float32]:
        """Return how many connected subscribers each user stands for, ``[num_users] float32``."""
        crowd = self._crowd_share * self._world.people.busy_connected
        return np.concatenate([np.ones(self._world.num_ues, dtype=np.float32), crowd]).astype(np.float32, copy=False)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state by name; writing into it writes the state."""
        return {**self.sessions.arrays(), "duty": self._duty, "crowd_share": self._crowd_share}


def brought(discs: Iterable[Disc], sim_time_s: float) -> tuple[FlashCrowd, ...]:
    """Return the flash crowds that faults bring: there at once and for as long as they act."""
    return tuple(
        traffic.FlashCrowd(
            place_m=(one.east_m, one.north_m),
            radius_m=one.radius_m,
            start_s=sim_time_s,
            ramp_s=0.0,
            duration_s=1.0,
            factor=one.amount,
        )
        for one in discs
    )
