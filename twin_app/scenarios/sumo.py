"""SUMO polygon files (`polyconvert` output): projected metres, an offset, and a type per polygon.

The projection stands in `location projParameter`; coordinates are projected metres plus `netOffset`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twin.entities import LandUse
from twin.errors import ScenarioError
from twin_app.scenarios.features import add_ring
from twin_app.scenarios.rawmap import RawMap, RawZone, spot

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Types without a value, as LuST and other scenarios write them: what stands or is parked there.
_BARE_ZONES = {"parking": LandUse.TRANSPORT, "amenity": LandUse.OFFICE}


class SumoPolygonSink:
    """Takes the elements of one SUMO additional file; :meth:`finish` gives what they describe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._projection = ""
        self._offset_m = (0.0, 0.0)
        self._location_line = 0
        self._shapes: list[NDArray[np.float64]] = []
        self._tags: list[dict[str, str]] = []
        self._open = False

    def start(self, name: str, attributes: dict[str, str], line: int) -> None:
        """Take the start of an element."""
        if name == "location":
            self._location(attributes, line)
        elif name == "poly":
            self._shapes.append(self._shape(attributes, line))
            self._tags.append(_tags_of(attributes.get("type", "")))
            self._open = True
        elif name == "param" and self._open and "key" in attributes:
            self._tags[-1][attributes["key"]] = attributes.get("value", "")

    def end(self, name: str, line: int) -> None:
        """Take the end of an element."""
        del line
        if name == "poly":
            self._open = False

    def _location(self, attributes: dict[str, str], line: int) -> None:
        self._projection = attributes.get("projParameter", "")
        self._location_line = line
        text = attributes.get("netOffset", "0,0")
        try:
            east_m, north_m = (float(part) for part in text.split(","))
        except ValueError as exc:
            raise ScenarioError(
                f"{spot(self._path, line, 'location')}: `netOffset` must be two numbers, not `{text[:60]}`"
            ) from exc
        self._offset_m = (east_m, north_m)

    def _shape(self, attributes: dict[str, str], line: int) -> NDArray[np.float64]:
        text = attributes.get("shape", "")
        try:
            points = [tuple(float(value) for value in point.split(",")[:2]) for point in text.split()]
            shape = np.array(points, dtype=np.float64).reshape(len(points), 2)
        except ValueError as exc:
            shape, cause = np.full((1, 2), np.nan), exc
        else:
            cause = None
        if not np.isfinite(shape).all() or not len(shape):
            where = spot(self._path, line, f"poly `{attributes.get('id', '')}`")
            raise ScenarioError(f"{where}: `shape` must be points such as `12.5,7.0 14.0,7.0`") from cause
        return shape

    def finish(self, into: RawMap) -> None:
        """Project all polygons to WGS84 and add what they describe to `into`."""
        if not self._shapes:
            return
        points_deg = self._to_wgs84(np.concatenate(self._shapes))
        start = 0
        for shape, tags in zip(self._shapes, self._tags, strict=True):
            ring_deg = points_deg[start : start + len(shape)]
            start += len(shape)
            bare = _BARE_ZONES.get(tags.get("", ""))
            if bare is not None:
                if len(ring_deg) > 3:
                    into.zones.append(RawZone(ring_deg=ring_deg[:-1], land_use=bare))
            else:
                add_ring(into, ring_deg, tags)

    def _to_wgs84(self, points_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return latitude, longitude ``[num_points, 2]`` of file coordinates."""
        if not self._projection or self._projection in {"!", "-"}:
            raise ScenarioError(
                f"{spot(self._path, self._location_line or None, 'location')}: no `projParameter`, so nobody knows"
                " where these metres lie; write the file with `polyconvert --osm-files` on a geo-referenced net"
            )
        import pyproj  # half a second of library that only projected files need
        from pyproj.exceptions import ProjError

        try:
            projection = pyproj.Proj(self._projection)
            longitude_deg, latitude_deg = projection(
                points_m[:, 0] - self._offset_m[0], points_m[:, 1] - self._offset_m[1], inverse=True, errcheck=True
            )
        except (ProjError, TypeError, ValueError) as exc:
            raise ScenarioError(
                f"{spot(self._path, self._location_line, 'location')}: the projection"
                f" `{self._projection[:120]}` with offset {self._offset_m} fits no place on earth: {exc}"
            ) from exc
        points_deg = np.stack([latitude_deg, longitude_deg], axis=1)
        if not np.isfinite(points_deg).all():
            raise ScenarioError(
                f"{spot(self._path, self._location_line, 'location')}: polygons lie outside the projection"
            )
        return points_deg


def _tags_of(kind: str) -> dict[str, str]:
    """Return a SUMO type as tags: ``building.house`` -> building=house, ``building`` -> building=yes."""
    key, _, value = kind.partition(".")
    if value:
        return {key: value}
    return {"building": "yes"} if key == "building" else {"": key}
