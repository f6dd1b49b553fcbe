"""UEs that go to an event and come home: a detour on the streets, put into whatever else moves them.

While a guest is away his own timetable stands still, so that he comes back to where he left it. As everywhere in
:mod:`twin.mobility`, positions are a function of time alone once the guests are named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twin.mobility import Timetables
from twin.shortest_ways import shortest_ways

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.entities import StreetGraph
    from twin.mobility import MobilitySource
    from twin.traffic.crowds import FlashCrowd

COMES_FROM_M = 1500.0
"""Guests live within this distance of the event."""
PACE_MPS = 1.4
"""Guests walk."""
_ONCE_S = 1e12
"""A detour begins anew after so long: never."""


class Gathering:
    """Some of those who move, gathered by one event.

    Args:
        source: What moves them otherwise.
        crowd: The event; its duration must be finite.
        streets: The street graph.
        share: Part of those near who come, 0 to 1.
        rng: Who comes, when, and where he stands.

    Attributes:
        home_m: As of the source.
        moving: As of the source.
        guests: Places in `moving` of those who come.
    """

    def __init__(
        self, source: MobilitySource, crowd: FlashCrowd, streets: StreetGraph, *, share: float, rng: np.random.Generator
    ) -> None:
        self.home_m, self.moving = source.home_m, source.moving
        self._source = source
        here_m = source.moving_at(crowd.start_s)
        apart = np.hypot(*(here_m - np.array(crowd.place_m, dtype=np.float32)).T)
        invited = (apart < COMES_FROM_M) & (rng.random(len(apart)) < share)
        roads = _Roads(streets, crowd.place_m)
        self.guests = np.flatnonzero(invited) if roads.found else np.zeros(0, dtype=np.int64)
        count = len(self.guests)
        self._leaves_s = np.full(len(self.moving), np.inf)
        self._away_s = np.zeros(len(self.moving))
        self._leaves_s[self.guests] = crowd.start_s + rng.random(count) * crowd.ramp_s
        left_m = source.moving_at(np.where(np.isfinite(self._leaves_s), self._leaves_s, crowd.start_s))
        angle, radius = rng.uniform(0.0, 2.0 * np.pi, count), crowd.radius_m * np.sqrt(rng.random(count))
        stand_m = np.array(crowd.place_m) + (radius * np.array([np.cos(angle), np.sin(angle)])).T
        goes_s = crowd.start_s + crowd.duration_s - crowd.ramp_s * rng.random(count)
        whens: list[NDArray[np.float64]] = []
        wheres: list[NDArray[np.float32]] = []
        for number, guest in enumerate(self.guests):
            way = np.vstack([left_m[guest], roads.way(left_m[guest]), stand_m[number]])
            there_s = np.concatenate([[0.0], np.hypot(*np.diff(way, axis=0).T).cumsum()]) / PACE_MPS
            stays_s = max(goes_s[number] - self._leaves_s[guest] - there_s[-1], 0.0)
            back_s = there_s[-1] + stays_s + (there_s[-1] - there_s[::-1])
            whens.append(np.concatenate([there_s, back_s]))
            wheres.append(np.vstack([way, way[::-1]]).astype(np.float32))
            self._away_s[guest] = whens[-1][-1]
        self._detour = Timetables(
            self.home_m,
            self.guests.tolist(),
            whens,
            wheres,
            phase_s=-self._leaves_s[self.guests],
            period_s=np.full(count, _ONCE_S),
            turn_back=False,
        )

    def at(self, sim_time_s: float) -> NDArray[np.float32]:
        """Return the position of every UE, see :class:`twin.mobility.MobilitySource`."""
        position = self.home_m.copy()
        position[self.moving] = self.moving_at(sim_time_s)
        return position

    def moving_at(self, sim_time_s: float | NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the positions of those who move, see :class:`twin.mobility.MobilitySource`."""
        since_s = sim_time_s - self._leaves_s
        place_m = self._source.moving_at(sim_time_s - np.clip(since_s, 0.0, self._away_s))
        since_s = since_s[self.guests]
        away = (since_s > 0.0) & (since_s < self._away_s[self.guests])
        if away.any():
            place_m[self.guests[away]] = self._detour.moving_at(since_s + self._leaves_s[self.guests])[away]
        return place_m

    def track(self, sim_time_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the positions at many times, see :class:`twin.mobility.MobilitySource`."""
        return np.stack([self.moving_at(float(time_s)) for time_s in sim_time_s])


class _Roads:
    """Shortest ways on foot to one place."""

    def __init__(self, streets: StreetGraph, goal_m: tuple[float, float]) -> None:
        edges = streets.edge[streets.edge_walkable].astype(np.int64)
        self.found = len(edges) > 0
        self._node_m = streets.node_m.astype(np.float64)
        if not self.found:
            return
        length_m = np.hypot(*(self._node_m[edges[:, 0]] - self._node_m[edges[:, 1]]).T)
        usable = np.unique(edges)
        start = int(usable[self._distance(usable, goal_m).argmin()])
        far, self._next = shortest_ways(len(self._node_m), edges.tolist(), length_m.tolist(), [start])
        self._reached = usable[np.isfinite(far[usable])]

    def way(self, start_m: Sequence[float] | NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the nodes from the one nearest to a place to the one nearest to the goal, ``[n, 2]``."""
        node = int(self._reached[self._distance(self._reached, start_m).argmin()])
        nodes = [node]
        while self._next[node] >= 0:
            node = int(self._next[node])
            nodes.append(node)
        return self._node_m[nodes]

    def _distance(
        self, nodes: NDArray[np.int64], place_m: Sequence[float] | NDArray[np.float32]
    ) -> NDArray[np.float64]:
        return np.hypot(*(self._node_m[nodes] - np.asarray(place_m, dtype=np.float64)).T)
