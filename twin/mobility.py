"""Where every UE is at any moment: out-and-back tours on the street graph.

A UE that moves walks or drives a tour drawn once (a walk on the street graph that avoids turning round), waits at
its far end, comes back the same way and waits at home, over and over. Its position is a function of time alone, so
the coarse past and the live present see the very same people on the very same streets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.entities import StreetGraph, UserEquipment

WALKING_SPEED_MPS = (1.1, 1.7)
"""Range of walking speeds; 3 km/h is 3GPP's pedestrian, 1.4 m/s the measured mean of adults."""
TOUR_LENGTH_M = {"walk": (300.0, 1500.0), "drive": (1200.0, 5000.0)}
"""Length of the way out, one way."""
PAUSE_S = {"walk": (60.0, 900.0), "drive": (20.0, 300.0)}
"""Stay at each end of a tour."""
MAX_HOPS = 160
STRAIGHT_PREFERENCE = {"walk": 1.0, "drive": 4.0}
"""How strongly a UE keeps its direction at a junction; drivers turn less."""


def _adjacency(streets: StreetGraph, usable: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    neighbours: list[list[tuple[int, int]]] = [[] for _ in range(len(streets.node_m))]
    for edge in np.flatnonzero(usable):
        a, b = (int(node) for node in streets.edge[edge])
        if a != b:
            neighbours[a].append((b, int(edge)))
            neighbours[b].append((a, int(edge)))
    return neighbours


class Tours:
    """The tours of all UEs, evaluated at any simulated time.

    Args:
        streets: The street graph.
        ues: In the order of the rows that :meth:`at` returns.
        rng: Source of tours, speeds, pauses and phases.
    """

    def __init__(self, streets: StreetGraph, ues: Sequence[UserEquipment], *, rng: np.random.Generator) -> None:
        self.home_m = np.array([ue.home_m for ue in ues], dtype=np.float32).reshape(-1, 2)
        lengths = np.hypot(*(streets.node_m[streets.edge[:, 0]] - streets.node_m[streets.edge[:, 1]]).T)
        roads = {
            "walk": _adjacency(streets, streets.edge_walkable),
            "drive": _adjacency(streets, streets.edge_speed_mps > 0),
        }
        starts = {mode: np.array([n for n, ways in enumerate(road) if ways]) for mode, road in roads.items()}
        rows: list[int] = []
        whens: list[list[float]] = []
        wheres: list[list[tuple[float, float]]] = []
        for row, ue in enumerate(ues):
            if ue.mobility == "still" or not len(starts[ue.mobility]):
                continue
            near = starts[ue.mobility]
            start = int(near[np.argmin(np.hypot(*(streets.node_m[near] - self.home_m[row]).T))])
            when, where = _way_out(streets, roads[ue.mobility], lengths, start, ue.mobility, rng)
            rows.append(row)
            whens.append(when)
            wheres.append(where)
        self.moving = np.array(rows, dtype=np.int64)
        width = max((len(when) for when in whens), default=2)
        self._when_s = np.array([when + [when[-1]] * (width - len(when)) for when in whens]).reshape(-1, width)
        self._where_m = np.array([where + [where[-1]] * (width - len(where)) for where in wheres]).reshape(-1, width, 2)
        self._phase_s = rng.random(len(rows)) * 2.0 * self._when_s[:, -1] if rows else np.zeros(0)

    def at(self, sim_time_s: float) -> NDArray[np.float32]:
        """Return the position of every UE, ``[num_ues, 2] float32`` east, north."""
        position = self.home_m.copy()
        if len(self.moving):
            position[self.moving] = self._moving_at(np.array([sim_time_s]))[0]
        return position

    def moving_at(self, sim_time_s: float) -> NDArray[np.float32]:
        """Return the positions of the UEs in `moving` only, ``[num_moving, 2] float32``."""
        return self._moving_at(np.array([sim_time_s]))[0]

    def track(self, sim_time_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the positions of the UEs in `moving` at many times, ``[num_times, num_moving, 2] float32``."""
        return self._moving_at(sim_time_s)

    def _moving_at(self, sim_time_s: NDArray[np.float64]) -> NDArray[np.float32]:
        whole = self._when_s[:, -1]
        tau = (sim_time_s[:, None] + self._phase_s) % (2.0 * whole)
        tau = np.where(tau > whole, 2.0 * whole - tau, tau)
        leg = np.empty(tau.shape, dtype=np.int64)
        if len(sim_time_s) == 1:
            leg[0] = (self._when_s <= tau[0][:, None]).sum(axis=1)
        else:
            for column, when in enumerate(self._when_s):
                leg[:, column] = np.searchsorted(when, tau[:, column], side="right")
        leg = np.clip(leg, 1, self._when_s.shape[1] - 1)
        who = np.arange(len(self.moving))
        before, after = self._when_s[who, leg - 1], self._when_s[who, leg]
        share = np.where(after > before, (tau - before) / np.maximum(after - before, 1e-9), 0.0)[..., None]
        return (self._where_m[who, leg - 1] * (1.0 - share) + self._where_m[who, leg] * share).astype(np.float32)


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
