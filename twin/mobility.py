"""Where every UE is at any moment: a timetable of places for each one that moves.

Positions are a function of time alone, whatever the source: tours on the street graph, a random waypoint, or the
tracks of a traffic simulation. So the coarse past and the live present see the very same people on the very same
streets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from twin.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.entities import StreetGraph, UserEquipment
    from twin.scenario import Scenario

WALKING_SPEED_MPS = (1.1, 1.7)
"""Range of walking speeds; 3 km/h is 3GPP's pedestrian, 1.4 m/s the measured mean of adults."""
TOUR_LENGTH_M = {"walk": (300.0, 1500.0), "drive": (1200.0, 5000.0)}
"""Length of the way out, one way."""
PAUSE_S = {"walk": (60.0, 900.0), "drive": (20.0, 300.0)}
"""Stay at each end of a tour."""
MAX_HOPS = 160
STRAIGHT_PREFERENCE = {"walk": 1.0, "drive": 4.0}
"""How strongly a UE keeps its direction at a junction; drivers turn less."""
TURN_DEG = 45.0
TURN_SPEED_MPS, TURN_M = 5.0, 15.0
"""Drivers who turn by more than that go no faster this close to the junction: braking and the curve together."""
WAYPOINT_SPEED_MPS = {"walk": WALKING_SPEED_MPS, "drive": (5.0, 14.0)}
WAYPOINT_PAUSE_S = (0.0, 60.0)
WAYPOINTS = 24
"""Places that a random waypoint visits before it begins again."""


class MobilitySource(Protocol):
    """Positions of all UEs at any simulated time.

    Attributes:
        home_m: ``[num_ues, 2] float32`` east, north.
        moving: ``[num_moving] int64`` rows of the UEs that ever leave home, ascending.
    """

    home_m: NDArray[np.float32]
    moving: NDArray[np.int64]

    def at(self, sim_time_s: float) -> NDArray[np.float32]:
        """Return the position of every UE, ``[num_ues, 2] float32`` east, north."""
        ...

    def moving_at(self, sim_time_s: float | NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the positions of the UEs in `moving` only, ``[num_moving, 2] float32``; also each at its own time."""
        ...

    def track(self, sim_time_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the positions of the UEs in `moving` at many times, ``[num_times, num_moving, 2] float32``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracks:
    """Recorded ways, such as those of a traffic simulation; the record plays again and again.

    Attributes:
        length_s: Length of the record; simulated second 0 is its begin.
        first: ``[num_tracks + 1] int64`` where each track begins in the arrays below, and their end.
        when_s: ``[num_points] float64`` seconds since the begin of the record, rising within a track.
        where_m: ``[num_points, 2] float32`` east, north.
    """

    length_s: float
    first: NDArray[np.int64]
    when_s: NDArray[np.float64]
    where_m: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first) - 1


class Timetables:
    """Times and places of those who move, laid end to end; straight lines in between.

    Args:
        home_m: Of all UEs.
        moving: Rows that have a timetable, ascending.
        when_s: Per timetable, rising from 0.
        where_m: Per timetable, as many places.
        phase_s: How far each is ahead of simulated time.
        turn_back: Whether each goes back the way it came, and so on; otherwise it begins anew after `period_s`.
        period_s: Time after which a timetable that does not turn back begins anew.
    """

    def __init__(
        self,
        home_m: NDArray[np.float32],
        moving: Sequence[int],
        when_s: Sequence[NDArray[np.float64]],
        where_m: Sequence[NDArray[np.float32]],
        *,
        phase_s: NDArray[np.float64],
        period_s: NDArray[np.float64],
        turn_back: bool,
    ) -> None:
        self.home_m, self.moving = home_m, np.array(moving, dtype=np.int64)
        self._phase_s, self._period_s, self._turn_back = phase_s, period_s, turn_back
        size = np.array([len(when) for when in when_s], dtype=np.int64)
        self._last = size.cumsum() - 1
        self._first = self._last - size + 1
        self._when_s = np.concatenate(when_s) if len(size) else np.zeros(0)
        where = np.concatenate(where_m) if len(size) else np.zeros((0, 2))
        # Structure of arrays: what a leg needs stands together.
        span_s = np.diff(self._when_s, append=0.0)
        self._origin_m = where.astype(np.float64)
        step_m = np.diff(self._origin_m, axis=0, append=np.zeros((min(len(where), 1), 2)))
        self._velocity_mps = step_m / np.where(span_s > 0.0, span_s, np.inf)[:, None]
        self._velocity_mps[self._last] = 0.0
        self._until_s = np.append(self._when_s[1:], np.inf)
        self._until_s[self._last] = np.inf
        # The leg of each on which it was last seen, copied out so that they lie side by side.
        self._from_s, self._to_s = np.full((2, len(size)), -np.inf)
        self._leg_m, self._leg_mps = np.zeros((2, len(size), 2))

    def at(self, sim_time_s: float) -> NDArray[np.float32]:
        """Return the position of every UE, see :class:`MobilitySource`."""
        position = self.home_m.copy()
        if len(self.moving):
            position[self.moving] = self.moving_at(sim_time_s)
        return position

    def moving_at(self, sim_time_s: float | NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the positions of those who move, see :class:`MobilitySource`."""
        tau = self._clock(sim_time_s)
        # Most are on the leg where they were last seen; the others are looked up.
        lost = np.flatnonzero((tau < self._from_s) | (tau >= self._to_s))
        if len(lost):
            leg = self._leg_of(tau[lost], lost)
            self._from_s[lost], self._to_s[lost] = self._when_s[leg], self._until_s[leg]
            self._leg_m[lost], self._leg_mps[lost] = self._origin_m[leg], self._velocity_mps[leg]
        since_s = np.maximum(tau - self._from_s, 0.0)[:, None]
        return (self._leg_m + self._leg_mps * since_s).astype(np.float32)

    def track(self, sim_time_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the positions at many times, see :class:`MobilitySource`."""
        tau = self._clock(sim_time_s[:, None])
        everyone = np.broadcast_to(np.arange(len(self.moving)), tau.shape)
        leg = self._leg_of(tau, everyone)
        since_s = np.maximum(tau - self._when_s[leg], 0.0)[..., None]
        return (self._origin_m[leg] + self._velocity_mps[leg] * since_s).astype(np.float32)

    def _clock(self, sim_time_s: float | NDArray[np.float64]) -> NDArray[np.float64]:
        if not self._turn_back:
            return (sim_time_s + self._phase_s) % self._period_s
        tau = (sim_time_s + self._phase_s) % (2.0 * self._period_s)
        return np.minimum(tau, 2.0 * self._period_s - tau)

    def _leg_of(self, tau: NDArray[np.float64], who: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the last point at or before each time, by bisection in all timetables at once."""
        low, high = self._first[who], self._last[who]
        for _ in range(int(np.ceil(np.log2(max(int((self._last - self._first).max(initial=0)) + 1, 2))))):
            middle = (low + high + 1) // 2
            passed = self._when_s[middle] <= tau
            low, high = np.where(passed, middle, low), np.where(passed, high, middle - 1)
        return low


def _homes(ues: Sequence[UserEquipment]) -> NDArray[np.float32]:
    return np.array([ue.home_m for ue in ues], dtype=np.float32).reshape(-1, 2)


class Tours(Timetables):
    """Tours on the street graph: a way out that avoids turning round, a stay, the same way home, a stay, and again.

    Args:
        streets: The street graph.
        ues: In the order of the rows.
        rng: Source of tours, speeds, pauses and phases.
    """

    def __init__(self, streets: StreetGraph, ues: Sequence[UserEquipment], *, rng: np.random.Generator) -> None:
        home_m = _homes(ues)
        lengths = np.hypot(*(streets.node_m[streets.edge[:, 0]] - streets.node_m[streets.edge[:, 1]]).T)
        roads = {
            "walk": _adjacency(streets, streets.edge_walkable),
            "drive": _adjacency(streets, streets.edge_speed_mps > 0),
        }
        starts = {mode: np.array([n for n, ways in enumerate(road) if ways]) for mode, road in roads.items()}
        rows: list[int] = []
        whens: list[NDArray[np.float64]] = []
        wheres: list[NDArray[np.float32]] = []
        for row, ue in enumerate(ues):
            if ue.mobility == "still" or not len(starts[ue.mobility]):
                continue
            near = starts[ue.mobility]
            start = int(near[np.argmin(np.hypot(*(streets.node_m[near] - home_m[row]).T))])
            when, where = _way_out(streets, roads[ue.mobility], lengths, start, ue.mobility, rng)
            times_s, places_m = np.array(when), np.array(where)
            if ue.mobility == "drive":
                times_s, places_m = _braked(times_s, places_m)
            rows.append(row)
            whens.append(times_s)
            wheres.append(places_m.astype(np.float32))
        whole_s = np.array([when[-1] for when in whens])
        super().__init__(
            home_m,
            rows,
            whens,
            wheres,
            phase_s=rng.random(len(rows)) * 2.0 * whole_s,
            period_s=whole_s,
            turn_back=True,
        )


class RandomWaypoint(Timetables):
    """Straight ways between random places of an area, for tests: no street holds anybody up.

    Args:
        extent_m: West, south, east, north.
        ues: In the order of the rows; those who walk or drive move at such speeds.
        rng: Source of places, speeds and pauses.
    """

    def __init__(
        self, extent_m: tuple[float, float, float, float], ues: Sequence[UserEquipment], *, rng: np.random.Generator
    ) -> None:
        rows = [row for row, ue in enumerate(ues) if ue.mobility != "still"]
        west, south, east, north = extent_m
        whens: list[NDArray[np.float64]] = []
        wheres: list[NDArray[np.float32]] = []
        home_m = _homes(ues)
        for row in rows:
            where = rng.uniform((west, south), (east, north), (WAYPOINTS, 2))
            where[0] = home_m[row]
            where = where[np.arange(WAYPOINTS + 1) % WAYPOINTS].repeat(2, axis=0)[1:]
            speed_mps = rng.uniform(*WAYPOINT_SPEED_MPS[ues[row].mobility], WAYPOINTS)
            legs_s = np.zeros(2 * WAYPOINTS)
            legs_s[0::2] = np.hypot(*np.diff(where, axis=0)[0::2].T) / speed_mps
            legs_s[1::2] = rng.uniform(*WAYPOINT_PAUSE_S, WAYPOINTS)
            whens.append(np.concatenate([[0.0], legs_s.cumsum()]))
            wheres.append(where.astype(np.float32))
        whole_s = np.array([when[-1] for when in whens])
        super().__init__(
            home_m,
            rows,
            whens,
            wheres,
            phase_s=rng.random(len(rows)) * whole_s,
            period_s=whole_s,
            turn_back=False,
        )


class RecordedMobility(Timetables):
    """UEs in the vehicles of a record: whoever drives follows a track of his own while there are enough.

    Before it enters and after it has left, a vehicle stands where it was first or last seen. Further drivers follow
    the same tracks again, later by a share of the record; whoever walks or sits stays at home.

    Args:
        tracks: The record.
        ues: In the order of the rows.
    """

    def __init__(self, tracks: Tracks, ues: Sequence[UserEquipment]) -> None:
        rows = [row for row, ue in enumerate(ues) if ue.mobility == "drive"] if len(tracks) else []
        which = np.arange(len(rows)) % max(len(tracks), 1)
        rounds = max(-(-len(rows) // max(len(tracks), 1)), 1)
        parts = [slice(int(tracks.first[one]), int(tracks.first[one + 1])) for one in which]
        super().__init__(
            _homes(ues),
            rows,
            [tracks.when_s[part] for part in parts],
            [tracks.where_m[part] for part in parts],
            phase_s=-tracks.length_s * (np.arange(len(rows)) // max(len(tracks), 1)) / rounds,
            period_s=np.full(len(rows), tracks.length_s),
            turn_back=False,
        )


def mobility_of(scenario: Scenario, *, rng: np.random.Generator) -> MobilitySource:
    """Return what moves the UEs of a scenario.

    Raises:
        ScenarioError: The scenario follows tracks and has none.
    """
    match scenario.mobility:
        case "tours":
            return Tours(scenario.streets, scenario.ues, rng=rng)
        case "random_waypoint":
            return RandomWaypoint(scenario.extent_m, scenario.ues, rng=rng)
        case "fcd":
            if scenario.tracks is None:
                raise ScenarioError(
                    f"scenario `{scenario.name}` moves its UEs by `fcd` and has no tracks; give the file as `tracks`"
                )
            return RecordedMobility(scenario.tracks, scenario.ues)


def _adjacency(streets: StreetGraph, usable: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    neighbours: list[list[tuple[int, int]]] = [[] for _ in range(len(streets.node_m))]
    for edge in np.flatnonzero(usable):
        a, b = (int(node) for node in streets.edge[edge])
        if a != b:
            neighbours[a].append((b, int(edge)))
            neighbours[b].append((a, int(edge)))
    return neighbours


def _way_out(
    streets: StreetGraph,
    road: list[list[tuple[int, int]]],
    lengths: NDArray[np.float32],
    start: int,
    mode: str,
    rng: np.random.Generator,
) -> tuple[list[float], list[tuple[float, float]]]:
    """Return times and places of the way out, the pauses at both ends included as legs of zero length."""
    node_m = streets.node_m
    pace = float(rng.uniform(*WALKING_SPEED_MPS)) if mode == "walk" else float(rng.uniform(0.7, 1.0))
    goal_m = float(rng.uniform(*TOUR_LENGTH_M[mode]))
    clock = float(rng.uniform(*PAUSE_S[mode])) / 2.0
    here, previous, gone_m = start, -1, 0.0
    spot = (float(node_m[here, 0]), float(node_m[here, 1]))
    when, where = [0.0, clock], [spot, spot]
    heading = np.zeros(2)
    for _ in range(MAX_HOPS):
        ways = [way for way in road[here] if way[0] != previous] or road[here]
        turn = np.array([node_m[node] - node_m[here] for node, _ in ways], dtype=np.float64)
        turn /= np.maximum(np.hypot(*turn.T), 1e-6)[:, None]
        weight = np.exp(STRAIGHT_PREFERENCE[mode] * (turn @ heading))
        pick = int(rng.choice(len(ways), p=weight / weight.sum()))
        node, edge = ways[pick]
        speed_mps = pace if mode == "walk" else pace * float(streets.edge_speed_mps[edge])
        clock += float(lengths[edge]) / max(speed_mps, 0.3)
        gone_m += float(lengths[edge])
        previous, here, heading = here, node, turn[pick]
        when.append(clock)
        where.append((float(node_m[here, 0]), float(node_m[here, 1])))
        if gone_m >= goal_m:
            break
    when.append(clock + float(rng.uniform(*PAUSE_S[mode])) / 2.0)
    where.append(where[-1])
    return when, where


def _braked(
    when_s: NDArray[np.float64], where_m: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times and places of a drive that slows down wherever it turns, see :data:`TURN_M`."""
    step_m, span_s = np.diff(where_m, axis=0), np.diff(when_s)
    length_m = np.hypot(*step_m.T)
    ahead = step_m / np.maximum(length_m, 1e-6)[:, None]
    goes = length_m > 0
    sharp = goes[1:] & goes[:-1] & ((ahead[1:] * ahead[:-1]).sum(axis=1) < np.cos(np.radians(TURN_DEG)))
    slow_m = np.concatenate([[0.0], np.where(sharp, TURN_M, 0.0), [0.0]])
    # Every leg in three parts: out of one turn, free, into the next.
    first_m, last_m = (np.minimum(near_m, length_m / 2.0) for near_m in (slow_m[:-1], slow_m[1:]))
    part_m = np.stack([first_m, length_m - first_m - last_m, last_m], axis=1)
    free_mps = np.where(goes, length_m, 1.0) / np.maximum(span_s, 1e-9)
    slow_mps = np.minimum(free_mps, TURN_SPEED_MPS)
    part_s = part_m / np.stack([slow_mps, free_mps, slow_mps], axis=1)
    part_s[~goes, 1] = span_s[~goes]
    place_m = where_m[:-1, None] + part_m.cumsum(axis=1)[..., None] * ahead[:, None]
    takes = part_s > 0
    return (
        np.concatenate([when_s[:1], when_s[0] + part_s[takes].cumsum()]),
        np.concatenate([where_m[:1], place_m[takes]]),
    )
