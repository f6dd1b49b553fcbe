"""Shortest ways to the nearest of some goals, over links with a cost: streets to an event, routers to the core."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray


def shortest_ways(
    num_nodes: int,
    ends: Iterable[Sequence[int]],
    cost: Iterable[float],
    goals: Iterable[int],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return how far each node is from the nearest goal, and one next node on the way there (Dijkstra 1959).

    Args:
        num_nodes: Nodes are 0..num_nodes-1.
        ends: The two nodes of each link; links go both ways.
        cost: Of each link, above 0; inf = not to be used.
        goals: Where the ways end.

    Returns:
        ``[num_nodes] float64`` least sum of costs, inf without a way, and ``[num_nodes] int64``, -1 at goals and
        without a way.
    """
    beside: list[list[tuple[int, float]]] = [[] for _ in range(num_nodes)]
    for (a, b), one in zip(ends, cost, strict=True):
        if one < math.inf:
            beside[a].append((b, one))
            beside[b].append((a, one))
    far = [math.inf] * num_nodes
    towards = np.full(num_nodes, -1, dtype=np.int64)
    waiting = [(0.0, goal) for goal in goals]
    for _, goal in waiting:
        far[goal] = 0.0
    while waiting:
        here, node = heapq.heappop(waiting)
        if here > far[node]:
            continue
        for other, more in beside[node]:
            if here + more < far[other]:
                far[other] = here + more
                towards[other] = node
                heapq.heappush(waiting, (here + more, other))
    return np.array(far), towards


def hops(
    distance: NDArray[np.float64], ends: Sequence[tuple[int, int]], cost: Sequence[float]
) -> Iterator[tuple[int, int, int]]:
    """Yield (link, far node, near node) of every link on any shortest way, from the distances of that cost."""
    for link, ((a, b), one) in enumerate(zip(ends, cost, strict=True)):
        for far, near in ((a, b), (b, a)):
            if one < math.inf and distance[near] + one == distance[far]:
                yield link, far, near
