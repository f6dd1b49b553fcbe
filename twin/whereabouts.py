"""Where every UE of a live network is: on its own way, at an event, or where somebody tells it to stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from twin.gathering import Gathering
from twin.guided import GuidedPlaces
from twin.traffic import FlashCrowd
from twin.world import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.mobility import MobilitySource
    from twin.radio.landscape import Points
    from twin.world import World

MOVED_M = 1.0
"""A UE's paths are computed afresh once it has moved this far: a fiftieth of the shortest shadowing distance."""
GUEST_SHARE = 0.5
"""Part of the UEs about and near who come to an event of the scenario."""
_GUESTS = 1000
"""First stream of chance of the guests of events; the others are few."""


class Whereabouts:
    """The places of all UEs.

    Args:
        world: Gives homes, tours and the scenario with its events.
        sim_time_s: The first live second; the times of events count from it.

    Attributes:
        place_m: ``[num_ues, 2] float32`` east, north.
        events: The flash crowds of the scenario.
        live_start_s: The first live second.
        guide: Who tells UEs where to stand, None while they walk by themselves.
    """

    def __init__(self, world: World, *, sim_time_s: float) -> None:
        self._world = world
        self.guide: GuidedPlaces | None = None
        self.call(sim_time_s)
        self.place_m = self._source.at(sim_time_s)

    def call(self, live_start_s: float) -> None:
        """Announce the events of the scenario, whose times count from the first live second."""
        scenario = self._world.scenario
        self.live_start_s = live_start_s
        self.events = tuple(
            FlashCrowd(
                place_m=one.position_m,
                radius_m=one.radius_m,
                start_s=live_start_s + one.at_s,
                ramp_s=one.ramp_s,
                duration_s=one.duration_s,
                factor=one.demand_factor,
            )
            for one in scenario.events
        )
        self._source: MobilitySource = self._world.tours
        for number, crowd in enumerate(self.events):
            rng = stream(scenario, self._world.seed, _GUESTS + number)
            self._source = Gathering(self._source, crowd, scenario.streets, share=GUEST_SHARE, rng=rng)

    def stand(self) -> None:
        """Let UEs stand still from now on, at home until they are told otherwise."""
        self.guide = GuidedPlaces(self._world.scenario, self._world)

    def walk(self, sim_time_s: float) -> tuple[NDArray[np.int64], Points]:
        """Let UEs walk by themselves again; returns all of them where they are now."""
        self.guide = None
        self.place_m = self._source.at(sim_time_s)
        rows = np.arange(self._world.num_ues)
        return rows, self._at_own_walls(rows)

    def move(self, sim_time_s: float, heard_m: NDArray[np.float32]) -> tuple[NDArray[np.int64], Points] | None:
        """Go on to a time.

        Args:
            sim_time_s: Now.
            heard_m: ``[num_ues, 2] float32`` where each UE was when its paths were computed.

        Returns:
            Rows and points of the UEs whose paths are others now, None = nobody's.
        """
        if self.guide is not None:
            self.place_m[:] = self.guide.place_m
            rows = self._apart(np.arange(len(self.place_m)), heard_m)
            return (rows, self.guide.points(rows)) if len(rows) else None
        moving = self._source.moving
        if not len(moving):
            return None
        self.place_m[moving] = self._source.moving_at(sim_time_s)
        rows = self._apart(moving, heard_m)
        return (rows, self._at_own_walls(rows)) if len(rows) else None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state by name; writing into it writes the state."""
        told = {} if self.guide is None else {"told_m": self.guide.place_m, "moved": self.guide.moved}
        return {**told, "place_m": self.place_m}

    def _apart(self, rows: NDArray[np.int64], heard_m: NDArray[np.float32]) -> NDArray[np.int64]:
        east_m, north_m = (self.place_m[rows] - heard_m[rows]).T
        return rows[east_m * east_m + north_m * north_m > MOVED_M**2]

    def _at_own_walls(self, rows: NDArray[np.int64]) -> Points:
        """Return UEs where they are, behind the walls that the scenario gives them."""
        points = self._world.points.take(rows)
        points.position_m[:] = self.place_m[rows]
        return points
