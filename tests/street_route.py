"""A drive along the streets of a city, for tests that move a UE as an engine would."""

import heapq

import numpy as np
from numpy.typing import NDArray

from twin.scenario import Scenario


def nearest_node(scenario: Scenario, place_m: tuple[float, float]) -> int:
    """Return the junction nearest to a place."""
    return int(np.argmin(np.hypot(*(scenario.streets.node_m - np.asarray(place_m, np.float32)).T)))


def route(scenario: Scenario, begin: int, end: int, *, step_m: float) -> NDArray[np.float32]:
    """Return places along the shortest way between two junctions, ``[n, 2]``, `step_m` apart."""
    nodes = scenario.streets.node_m.astype(np.float64)
    ways: dict[int, list[int]] = {}
    for a, b in scenario.streets.edge.tolist():
        ways.setdefault(a, []).append(b)
        ways.setdefault(b, []).append(a)
    best, before, heap = {begin: 0.0}, {begin: begin}, [(0.0, begin)]
    while heap:
        gone_m, here = heapq.heappop(heap)
        if here == end:
            break
        for there in ways.get(here, ()):
            far_m = gone_m + float(np.hypot(*(nodes[there] - nodes[here])))
            if far_m < best.get(there, np.inf):
                best[there], before[there] = far_m, here
                heapq.heappush(heap, (far_m, there))
    corners = [end]
    while corners[-1] != begin:
        corners.append(before[corners[-1]])
    way = nodes[corners[::-1]]
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(way, axis=0).T))])
    at = np.arange(0.0, along[-1] + 1e-6, step_m)
    return np.stack([np.interp(at, along, way[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)
