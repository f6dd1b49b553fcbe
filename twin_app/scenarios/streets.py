"""Street graphs: from ways to nodes and edges, cropped, one connected piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twin.entities import StreetGraph
from twin_app.scenarios.crop import inside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin_app.scenarios.rawmap import RawStreet


def street_graph(
    streets: Sequence[RawStreet],
    lines_m: Sequence[NDArray[np.float64]],
    *,
    extent_m: tuple[float, float, float, float],
) -> StreetGraph:
    """Return the connected graph of the streets inside an extent.

    Points with the same coordinates are one node: that joins the streets of one file at their crossings and the
    streets of two files where these share nodes.

    Args:
        lines_m: Points of each street ``[num_points, 2]``.
        extent_m: West, south, east, north; edges that leave it are dropped.
    """
    points = np.round(np.concatenate(lines_m), 2)
    node_m, number = np.unique(points, axis=0, return_inverse=True)
    number = number.reshape(-1)
    length = np.array([len(line) for line in lines_m])
    street = np.repeat(np.arange(len(lines_m)), length)
    start, end = number[:-1], number[1:]
    within = inside(node_m, extent_m)
    keep = (street[:-1] == street[1:]) & (start != end) & within[start] & within[end]
    edge = np.stack([start, end], axis=1)[keep]
    street = street[:-1][keep]
    # One edge per pair of nodes: maps sometimes draw a footway on top of its street; the first one stays.
    _, first = np.unique(np.sort(edge, axis=1), axis=0, return_index=True)
    first.sort()
    edge, street = edge[first], street[first]
    return largest_component(
        StreetGraph(
            node_m=node_m.astype(np.float32),
            edge=edge.astype(np.int32),
            edge_speed_mps=np.array([streets[i].speed_mps for i in street], dtype=np.float32),
            edge_walkable=np.array([streets[i].walkable for i in street], dtype=bool),
            edge_name=tuple(streets[i].name for i in street),
        )
    )


def _component_labels(num_nodes: int, edge: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return for each node the smallest node index of its connected component."""
    label = np.arange(num_nodes, dtype=np.int64)
    while True:
        low = np.minimum(label[edge[:, 0]], label[edge[:, 1]])
        new = label.copy()
        np.minimum.at(new, edge[:, 0], low)
        np.minimum.at(new, edge[:, 1], low)
        new = new[new]  # pointer jumping: long chains collapse in logarithmic rounds
        if np.array_equal(new, label):
            return label
        label = new


def largest_component(streets: StreetGraph) -> StreetGraph:
    """Return the connected piece with the greatest street length, its nodes renumbered."""
    if not len(streets.edge):
        return streets
    label = _component_labels(len(streets.node_m), streets.edge)
    ends = streets.node_m.astype(np.float64)[streets.edge]
    length_m = np.hypot(*(ends[:, 1] - ends[:, 0]).T)
    per_component = np.bincount(label[streets.edge[:, 0]], weights=length_m, minlength=len(label))
    return _kept(streets, label[streets.edge[:, 0]] == per_component.argmax())


def _kept(streets: StreetGraph, keep: NDArray[np.bool_]) -> StreetGraph:
    """Return the graph of the kept edges ``[num_edges] bool`` and the nodes that they touch."""
    edge = streets.edge[keep]
    used, renumbered = np.unique(edge, return_inverse=True)
    names = streets.edge_name
    return StreetGraph(
        node_m=streets.node_m[used],
        edge=renumbered.reshape(-1, 2).astype(np.int32),
        edge_speed_mps=streets.edge_speed_mps[keep],
        edge_walkable=streets.edge_walkable[keep],
        edge_name=tuple(names[i] for i in np.flatnonzero(keep)) if names else (),
    )
