"""The city as one compact JSON document for the page's map, made once per scenario.

Coordinates are whole decimetres, each point as the difference to the one before it (the first is absolute), in one
flat list east, north, east, north ...: small numbers compress well and a decimetre is finer than a pixel.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.attributes import ATTRIBUTES
from twin.entities import Kind
from twin.kpi import Kpi, kpis_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.entities import StreetGraph
    from twin.scenario import Scenario

_MAJOR_MPS = 13.0
"""Streets driven at 47 km/h and more are drawn broader: the usual 50 km/h limit of a main street in town."""

_DISPLAY_RANGE: dict[str, tuple[float, float]] = {
    "RRU.PrbTotDl": (0, 100),
    "vsData6gMeanSsRsrp": (-115, -75),
    "vsData6gMeanSsSinr": (-5, 25),
    "vsData6gMeanCqi": (0, 15),
}
"""Ranges in which these figures are usually read; the others follow the values seen."""


def encode_line(points_m: NDArray[np.float32]) -> list[int]:
    """Return ``[n, 2]`` metres as the flat list of differences in decimetres."""
    decimetres = np.rint(points_m.astype(np.float64) * 10.0).astype(np.int64)
    return np.diff(decimetres, axis=0, prepend=np.zeros((1, 2), dtype=np.int64)).ravel().tolist()


def street_lines(streets: StreetGraph) -> list[tuple[str, str, list[int]]]:
    """Join edges of the street graph into lines (class, name, node numbers) as long as nothing branches.

    The classes are `major` and `minor` for cars, `path` where one can only walk.
    """
    names = streets.edge_name or ("",) * len(streets.edge)
    groups: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for (a, b), speed, name in zip(streets.edge.tolist(), streets.edge_speed_mps.tolist(), names, strict=True):
        kind = "path" if speed <= 0 else "major" if speed >= _MAJOR_MPS else "minor"
        groups[kind, name].append((a, b))
    lines: list[tuple[str, str, list[int]]] = []
    for (kind, name), edges in groups.items():
        lines.extend((kind, name, nodes) for nodes in _chains(edges))
    return lines


def _chains(edges: list[tuple[int, int]]) -> list[list[int]]:
    """Walk edges into as few node lists as possible: first from ends and crossings, then around what is a ring."""
    around: dict[int, list[int]] = defaultdict(list)
    for number, (a, b) in enumerate(edges):
        around[a].append(number)
        around[b].append(number)
    used = [False] * len(edges)

    def walk(start: int, number: int) -> list[int]:
        nodes, here = [start], start
        while True:
            used[number] = True
            a, b = edges[number]
            here = b if here == a else a
            nodes.append(here)
            onward = [other for other in around[here] if not used[other]]
            if len(around[here]) != 2 or not onward:
                return nodes
            number = onward[0]

    chains = [
        walk(node, number)
        for node, numbers in around.items()
        if len(numbers) != 2
        for number in numbers
        if not used[number]
    ]
    chains.extend(walk(edges[number][0], number) for number in range(len(edges)) if not used[number])
    return chains


def _kpi_facts(row: Kpi) -> dict[str, Any]:
    return {
        "name": row.name,
        "label": row.label,
        "unit": row.unit,
        "good": row.good,
        "decimals": row.decimals,
        "low": row.low,
        "high": row.high,
        "display": _DISPLAY_RANGE.get(row.name),
    }


def map_document(scenario: Scenario, *, scene_id: str) -> bytes:
    """Return everything of the map that does not move, as compact UTF-8 JSON."""
    node_m = scenario.streets.node_m
    document = {
        "scene_id": scene_id,
        "name": scenario.name,
        "timezone": scenario.timezone,
        "extent_m": scenario.extent_m,
        "origin": {"latitude_deg": scenario.origin.latitude_deg, "longitude_deg": scenario.origin.longitude_deg},
        "attribution": scenario.attribution,
        "streets": [
            {"class": kind, "name": name, "line": encode_line(node_m[nodes])}
            for kind, name, nodes in street_lines(scenario.streets)
        ],
        "buildings": [
            {
                "id": building.id,
                "name": building.name,
                "height_m": round(building.height_m, 1),
                "ring": encode_line(building.footprint_m),
            }
            for building in scenario.buildings
        ],
        "places": [
            {"id": p.id, "name": p.name, "category": p.category, "position_m": p.position_m} for p in scenario.places
        ],
        "sites": [
            {"id": s.id, "name": s.name, "dn": s.dn, "aliases": s.aliases, "position_m": s.position_m}
            for s in scenario.sites
        ],
        "cells": [
            {"id": c.id, "site": c.site_id, "sector": c.sector, "name": c.name, "dn": c.dn, "aliases": c.aliases}
            for c in scenario.cells
        ],
        "nodes": [{"id": n.id, "name": n.name, "role": n.role, "position_m": n.position_m} for n in scenario.nodes],
        "links": [{"id": k.id, "name": k.name, "a": k.a_id, "b": k.b_id} for k in scenario.links],
        "slices": [{"id": s.id, "name": s.name} for s in scenario.slices],
        "kpis": {kind.value: [_kpi_facts(row) for row in kpis_of(kind)] for kind in Kind if kpis_of(kind)},
        "attributes": [
            {"name": a.name, "label": a.label, "unit": a.unit, "native_unit": a.native_unit, "choices": a.choices}
            for a in ATTRIBUTES
        ],
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
