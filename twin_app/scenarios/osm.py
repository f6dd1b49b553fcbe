"""OpenStreetMap XML (API 0.6): extracts and JOSM files with their negative ids.

Nodes are kept as three packed arrays and ways as packed references, so that a file costs about 24 bytes per
node and 8 per reference; tags without meaning here are dropped while reading.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

import numpy as np

from twin.errors import ScenarioError
from twin_app.scenarios.features import add_line, add_point, add_ring
from twin_app.scenarios.rawmap import RawMap, spot
from twin_app.scenarios.tags import KEYS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_LARGEST_ID = 2**63


class OsmSink:
    """Takes the elements of one OpenStreetMap file; :meth:`finish` gives what they describe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids, self._latitude, self._longitude = array("q"), array("d"), array("d")
        self._refs = array("q")
        self._ways: list[tuple[int, int, int, dict[str, str]]] = []  # id, first and last + 1 in refs, tags
        self._relations: list[tuple[list[int], dict[str, str]]] = []  # outer way ids, tags
        self._element = ""
        self._element_id = 0
        self._deleted = False
        self._tags: dict[str, str] = {}
        self._members: list[int] = []
        self._node_places: list[tuple[float, float, dict[str, str]]] = []

    def start(self, name: str, attributes: dict[str, str], line: int) -> None:
        """Take the start of an element."""
        if name == "tag":
            if (key := attributes.get("k", "")) in KEYS:
                self._tags[key] = attributes.get("v", "")
        elif name == "nd":
            self._refs.append(self._integer(attributes, "ref", line))
        elif name == "node":
            self._begin(name, attributes, line)
            if not self._deleted:
                latitude_deg = self._degrees(attributes, "lat", 90.0, line)
                longitude_deg = self._degrees(attributes, "lon", 180.0, line)
                self._ids.append(self._element_id)
                self._latitude.append(latitude_deg)
                self._longitude.append(longitude_deg)
        elif name in {"way", "relation"}:
            self._begin(name, attributes, line)
            self._first_ref = len(self._refs)
            self._members = []
        elif name == "member" and attributes.get("type") == "way" and attributes.get("role") in {"outer", ""}:
            self._members.append(self._integer(attributes, "ref", line))

    def end(self, name: str, line: int) -> None:
        """Take the end of an element."""
        del line
        if name == "node":
            if self._tags and not self._deleted:
                self._node_places.append((self._latitude[-1], self._longitude[-1], self._tags))
        elif name == "way":
            if self._deleted:
                del self._refs[self._first_ref :]
            else:
                self._ways.append((self._element_id, self._first_ref, len(self._refs), self._tags))
        elif name == "relation" and not self._deleted and self._tags.get("type") == "multipolygon":
            self._relations.append((self._members, self._tags))

    def _begin(self, name: str, attributes: dict[str, str], line: int) -> None:
        self._element = name
        self._element_id = self._integer(attributes, "id", line)
        self._deleted = attributes.get("action") == "delete" or attributes.get("visible") == "false"
        self._tags = {}

    def _integer(self, attributes: dict[str, str], key: str, line: int) -> int:
        text = attributes.get(key, "")
        try:
            value = int(text)
        except ValueError:
            value = _LARGEST_ID
        if not -_LARGEST_ID <= value < _LARGEST_ID:
            where = f"{self._element} `{self._element_id}`" if key == "ref" else "element"
            raise ScenarioError(f"{spot(self._path, line, where)}: `{key}` must be an integer, not `{text[:40]}`")
        return value

    def _degrees(self, attributes: dict[str, str], key: str, limit: float, line: int) -> float:
        text = attributes.get(key, "")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not -limit <= value <= limit:
            where = spot(self._path, line, f"node `{self._element_id}`")
            raise ScenarioError(f"{where}: `{key}` must lie in {-limit:g}..{limit:g} degrees, not `{text[:40]}`")
        return value

    def finish(self, into: RawMap) -> None:
        """Add what the elements describe to `into`."""
        order = np.argsort(np.array(self._ids, dtype=np.int64), kind="stable")
        ids = np.array(self._ids, dtype=np.int64)[order]
        points_deg = np.stack([np.array(self._latitude), np.array(self._longitude)], axis=1)[order]
        refs = np.array(self._refs, dtype=np.int64)
        at = np.searchsorted(ids, refs).clip(max=max(len(ids) - 1, 0))
        found = ids[at] == refs if len(ids) else np.zeros(len(refs), dtype=bool)
        into.missing_nodes += int((~found).sum())
        lines: dict[int, NDArray[np.float64]] = {}
        needed = {way for members, _ in self._relations for way in members}
        for way_id, first, last, tags in self._ways:
            line_deg = points_deg[at[first:last][found[first:last]]]
            if way_id in needed:
                lines[way_id] = line_deg
            if tags:
                add_line(into, line_deg, tags)
                if last - first > 3 and refs[first] == refs[last - 1] and "highway" not in tags:
                    add_ring(into, line_deg, tags)
        for members, tags in self._relations:
            for ring_deg in outer_rings([lines[way] for way in members if way in lines]):
                add_ring(into, ring_deg, tags)
        for latitude_deg, longitude_deg, tags in self._node_places:
            add_point(into, latitude_deg, longitude_deg, tags)
        into.attribution.append("Map data © OpenStreetMap contributors, ODbL 1.0")


def outer_rings(parts: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Join ways end to end into closed rings; pieces that do not close are dropped."""
    open_parts = [part for part in parts if len(part) >= 2]
    rings: list[NDArray[np.float64]] = []
    while open_parts:
        ring = open_parts.pop()
        while not np.array_equal(ring[0], ring[-1]):
            tail = ring[-1]
            following = next((i for i, part in enumerate(open_parts) if _touches(part, tail)), None)
            if following is None:
                break
            part = open_parts.pop(following)
            ring = np.concatenate([ring, part[1:] if np.array_equal(part[0], tail) else part[-2::-1]])
        if len(ring) >= 4 and np.array_equal(ring[0], ring[-1]):
            rings.append(ring)
    return rings


def _touches(part: NDArray[np.float64], point: NDArray[np.float64]) -> bool:
    return np.array_equal(part[0], point) or np.array_equal(part[-1], point)
