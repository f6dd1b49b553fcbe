"""The transport network: what the sites carry flows over links and routers to the user-plane function, if it can.

Each site's traffic takes the way with the least sum of metrics, equal ways in equal parts, as OSPF and IS-IS route. A
link that is locked or dead is routed around. On each link bursts queue for the line; what finds the buffer full is
lost, and so is missing behind it. One class of service: URLLC waits with everybody else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.entities import AdministrativeState
from twin.shortest_ways import hops, shortest_ways

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.scenario import Scenario

LINK_FEATURES = ("time_s", "load", "bits", "lost_bits", "up_s", "delay")
"""Columns of the additive sums that the KPIs of links are made from, per second; `delay` is ms times `up_s`.

`up_s` counts the time in service. `load` is offered over carried at most, so it passes 1 when the link is too narrow.
"""
BURST_BIT = 8 * 15_000
"""What queues as one: ten full segments, the window that a TCP sender may fill at once (RFC 6928)."""
BUFFER_S = 0.02
"""Buffers hold what the line sends in this time, a regional round trip (the rule of thumb that RFC 3439 discusses)."""
MIN_BUFFER_BURSTS = 10.0
LIGHT_MPS = 2.04e8
"""In glass of refractive index 1.468 (ITU-T G.652 fibre); radio hops are a third faster, by microseconds."""
_NO_LOSS = 1e-9
"""Less than this share of lost bursts counts as none."""


@dataclass(slots=True, kw_only=True, eq=False)
class Carried:
    """What becomes of the cells' traffic; ``T`` moments, ``C`` cells, ``L`` links.

    Attributes:
        passed_share: ``[T, C] float64`` share that arrives; 0 for a cell without any way to the core.
        delay_ms: ``[T, C] float64`` mean time between core and site, 0 without a way.
        links: ``[T, L, len(LINK_FEATURES)] float64`` sums per second.
    """

    passed_share: NDArray[np.float64]
    delay_ms: NDArray[np.float64]
    links: NDArray[np.float64]

    @property
    def loss(self) -> NDArray[np.float64]:
        """``[T, C] float64`` share that is lost on the way."""
        return 1.0 - self.passed_share


def queue(load: NDArray[np.float64], places: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what an M/M/1/K queue loses and how long the rest stays, in mean service times; any load above 0.

    Gross and Harris, Fundamentals of Queueing Theory, section 2.5: with load r and q = r^(K+1) the share
    (1-r) r^K / (1-q) is lost and r/(1-r) - (K+1) q/(1-q) customers are inside on average; Little's law gives the time.
    Loads above 1 are computed through the empty places, which see the load 1/r: nothing overflows.

    Args:
        load: ``[..., L]`` offered over served.
        places: ``[L]`` K, the one in service included.

    Returns:
        Two arrays shaped as `load`.
    """
    load = np.maximum(load, 1e-12)
    over = load > 1.0
    r = np.minimum(np.minimum(load, 1.0 / load), 1.0 - 1e-6)
    rk = np.exp(places * np.log(r))
    q = rk * r
    empty = (1.0 - r) / (1.0 - q)
    full = empty * rk
    inside = r / (1.0 - r) - (places + 1.0) * q / (1.0 - q)
    if not np.count_nonzero(over):
        return full, inside / (1.0 - empty)
    lost = np.where(over, empty, full)
    # What is served per service time is the share of time in which anybody is inside.
    busy = 1.0 - np.where(over, full, empty)
    return lost, np.where(over, places - inside, inside) / busy


@dataclass(slots=True, kw_only=True, eq=False)
class _Level:
    """Nodes whose ways to the core have the same number of hops at most, with the links that they use.

    Attributes:
        nodes: ``[n]``.
        first: ``[n]`` where each node's links begin.
        links: ``[e]`` grouped by node.
        near: ``[e]`` node at the end of each link that is nearer to the core.
        part: ``[e]`` share of the node's traffic on each link.
    """

    nodes: NDArray[np.int64]
    first: NDArray[np.int64]
    links: NDArray[np.int64]
    near: NDArray[np.int64]
    part: NDArray[np.float64]


class Transport:
    """Routers, user-plane functions and links of a scenario, with the settings in force.

    Args:
        scenario: Sites, nodes and links; the user-plane functions are the nodes of the role "upf".

    Attributes:
        rate_bps: ``[L] float64`` what each link carries now; 0 when out of service.
        reached: ``[C] bool`` cells that have a way to the core.
        on_way: ``[L, C] float64`` share of each cell's traffic that is routed over each link.
    """

    def __init__(self, scenario: Scenario) -> None:
        names = [*(site.id for site in scenario.sites), *(node.id for node in scenario.nodes)]
        place = {name: number for number, name in enumerate(names)}
        position_m = [part.position_m for part in (*scenario.sites, *scenario.nodes)]
        links = scenario.links
        self._num_nodes = len(names)
        self._ends = [(place[link.a_id], place[link.b_id]) for link in links]
        self._roots = [place[node.id] for node in scenario.nodes if node.role == "upf"]
        self._capacity_bps = np.array([link.capacity_bps for link in links], dtype=np.float64)
        length_m = [
            link.length_m or math.dist(position_m[a], position_m[b])
            for link, (a, b) in zip(links, self._ends, strict=True)
        ]
        self._light_ms = np.array(length_m, dtype=np.float64) / LIGHT_MPS * 1e3
        self._node_of_cell = np.array([place[cell.site_id] for cell in scenario.cells], dtype=np.int64)
        order = np.argsort(self._node_of_cell, kind="stable")
        self._order = None if bool((np.diff(order) == 1).all()) else order
        self._sites, self._first_cell = np.unique(self._node_of_cell[order], return_index=True)
        self._site_of_cell = np.searchsorted(self._sites, self._node_of_cell)
        stated = {(entity_id, name): value for entity_id, name, value in scenario.configured}

        def configured(name: str, default: float) -> NDArray[np.float64]:
            return np.array([float(stated.get((link.id, name), default)) for link in links], dtype=np.float64)

        self._stated_metric = np.array([link.igp_metric for link in links], dtype=np.float64)
        self._stated_limit_mbps = configured("vsDataTransport.maxBitRate", 0.0)
        state = AdministrativeState.UNLOCKED.value
        self._stated_unlocked = np.array(
            [stated.get((link.id, "administrativeState"), state) == state for link in links], dtype=bool
        )
        self._routed: tuple[bytes, bytes] | None = None
        self.configure()

    def configure(
        self,
        *,
        unlocked: NDArray[np.bool_] | None = None,
        igp_metric: NDArray[np.float64] | None = None,
        rate_limit_mbps: NDArray[np.float64] | None = None,
        capacity_factor: NDArray[np.float64] | None = None,
        extra_delay_ms: NDArray[np.float64] | None = None,
    ) -> None:
        """Put settings in force, each ``[L]``; what is left out is as the scenario states it, without any fault.

        Args:
            unlocked: Links that may carry anything.
            igp_metric: Cost that routing adds up, 1 or more.
            rate_limit_mbps: What a shaper lets through; 0 = no limit.
            capacity_factor: What a fault leaves of the capacity; routing notices only 0.
            extra_delay_ms: What a fault adds to the delay.
        """
        unlocked = self._stated_unlocked if unlocked is None else unlocked
        metric = self._stated_metric if igp_metric is None else igp_metric
        limit_bps = 1e6 * (self._stated_limit_mbps if rate_limit_mbps is None else rate_limit_mbps)
        rate_bps = self._capacity_bps if capacity_factor is None else self._capacity_bps * capacity_factor
        rate_bps = np.where(limit_bps > 0.0, np.minimum(rate_bps, limit_bps), rate_bps)
        self.rate_bps = np.where(unlocked, rate_bps, 0.0)
        self._up = self.rate_bps > 0.0
        self._line_bps = np.where(self._up, self.rate_bps, 1.0)
        self._places = np.maximum(self._line_bps * BUFFER_S / BURST_BIT, MIN_BUFFER_BURSTS)
        # (1-r) r^K / (1-r^(K+1)) is at most r^K.
        self._lossless = _NO_LOSS ** (1.0 / self._places)
        self._service_ms = 1e3 * BURST_BIT / self._line_bps
        self._fixed_ms = self._light_ms + (0.0 if extra_delay_ms is None else extra_delay_ms)
        routed = (self._up.tobytes(), np.asarray(metric, dtype=np.float64).tobytes())
        if routed != self._routed:
            self._route(np.where(self._up, metric, np.inf))
            self._routed = routed
        self._queues = [(self._line_bps[level.links], self._places[level.links]) for level in self._levels]

    def _route(self, metric: NDArray[np.float64]) -> None:
        """Find each node's links towards the core, and what part of each site's traffic takes each link."""
        distance, _ = shortest_ways(self._num_nodes, self._ends, metric.tolist(), self._roots)
        used: dict[int, list[tuple[int, int]]] = {}
        for link, far, near in hops(distance, self._ends, metric.tolist()):
            used.setdefault(far, []).append((link, near))
        height = np.zeros(self._num_nodes, dtype=np.int64)
        outward = sorted(used, key=lambda node: distance[node])
        for node in outward:
            height[node] = 1 + max(height[near] for _, near in used[node])
        flow = np.zeros((self._num_nodes, len(self._sites)))
        flow[self._sites, np.arange(len(self._sites))] = 1.0
        way = np.zeros((len(self._ends), len(self._sites)))
        for node in reversed(outward):
            for link, near in used[node]:
                way[link] = flow[node] / len(used[node])
                flow[near] += way[link]
        self._levels = [
            self._level([node for node in outward if height[node] == level], used)
            for level in np.unique(height[outward])
        ]
        self._way, self._way_of_link = way, np.ascontiguousarray(way.T)
        self._reached = np.isfinite(distance).astype(np.float64)
        self.reached = np.isfinite(distance)[self._node_of_cell]
        self._cell_reached = self.reached.astype(np.float64)[None]
        self.on_way = way[:, self._site_of_cell]

    @staticmethod
    def _level(nodes: list[int], used: dict[int, list[tuple[int, int]]]) -> _Level:
        counts = np.array([len(used[node]) for node in nodes], dtype=np.int64)
        rows = np.array([row for node in nodes for row in used[node]], dtype=np.int64)
        return _Level(
            nodes=np.array(nodes, dtype=np.int64),
            first=np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64),
            links=rows[:, 0],
            near=rows[:, 1],
            part=np.repeat(1.0 / counts, counts),
        )

    def carry(self, cell_bps: NDArray[np.float64]) -> Carried:
        """Return what arrives, how late, and what happens on each link.

        Args:
            cell_bps: ``[T, C] float64`` what the core sends to the users of each cell.
        """
        in_order = cell_bps if self._order is None else cell_bps[:, self._order]
        site_bps = np.add.reduceat(in_order, self._first_cell, axis=1)
        offered = site_bps @ self._way_of_link
        load = offered / self._line_bps
        if not np.count_nonzero(load > self._lossless):
            passed = self._cell_reached.repeat(len(cell_bps), axis=0)
            lost, stay = queue(load, self._places)
        else:
            passed, lost, stay = self._thin(offered)
            load = offered / self._line_bps
            passed = passed.take(self._node_of_cell, axis=1)
        delay_ms = self._service_ms * stay + self._fixed_ms
        links = np.empty((*load.shape, len(LINK_FEATURES)))
        links[..., 0] = 1.0
        links[..., 1] = load
        links[..., 2] = offered * (1.0 - lost)
        links[..., 3] = offered * lost
        links[..., 4] = self._up
        links[..., 5] = delay_ms * self._up
        return Carried(
            passed_share=passed,
            delay_ms=(delay_ms @ self._way).take(self._site_of_cell, axis=1),
            links=links,
        )

    def _thin(
        self, offered: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Take from what is offered to each link, ``[T, L]``, what was lost before it.

        Traffic comes from the core, so the links next to it lose first.

        Returns:
            ``[T, num_nodes]`` share that reaches each node; then share lost and stay of :func:`queue`, ``[T, L]`` each.
        """
        passed = np.repeat(self._reached[None], len(offered), axis=0)
        lost, stay = np.zeros_like(offered), np.ones_like(offered)
        for level, (line_bps, places) in zip(self._levels, self._queues, strict=True):
            links, arriving = level.links, passed[:, level.near]
            left = offered[:, links] * arriving
            offered[:, links] = left
            here, stay[:, links] = queue(left / line_bps, places)
            lost[:, links] = here
            passed[:, level.nodes] = np.add.reduceat(level.part * arriving * (1.0 - here), level.first, axis=1)
        return passed, lost, stay
