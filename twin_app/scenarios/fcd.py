"""Ways of vehicles from a SUMO floating-car-data file (``sumo --fcd-output``), read as a stream with bounded memory.

A file written with ``--fcd-output.geo`` holds longitude and latitude, which is seen by where its first vehicle is: all
others are taken the same way. Otherwise coordinates are metres in the ENU frame of the scenario, as a net drawn for a
generated city has them.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from twin.errors import ScenarioError
from twin.geo import wgs84_to_enu
from twin.mobility import Tracks
from twin_app.scenarios.rawmap import spot
from twin_app.scenarios.xmlstream import parse_xml

if TYPE_CHECKING:
    from pathlib import Path

    from twin.scenario import Origin

MAX_POINTS = 20_000_000
"""Points kept in memory, 480 MB; a longer file is thinned first (``traceExporter.py``, ``--fcd-output.period``)."""
STRAIGHT_M = 0.5
"""A point that close to the line between its neighbours says nothing new and is left out."""
DEGREES_AROUND = 1.5
"""A first vehicle that close to the origin in longitude and latitude means that the file holds degrees."""
_METRES_PER_DEGREE = 111_000.0


@dataclass(slots=True)
class _Track:
    when_s: array[float] = field(default_factory=lambda: array("d"))
    where: array[float] = field(default_factory=lambda: array("d"))


class _FcdSink:
    """Collects the points of the first `most` vehicles of an fcd-export."""

    def __init__(self, path: Path, most: int, origin: Origin) -> None:
        self._path, self._most, self._origin = path, most, origin
        self.in_degrees = False
        self._straight = STRAIGHT_M
        self.tracks: dict[str, _Track] = {}
        self.begin_s = self.end_s = np.nan
        self._now_s = np.nan
        self._points = 0

    def start(self, name: str, attributes: dict[str, str], line: int) -> None:
        """Take the start of an element."""
        if name == "timestep":
            self._timestep(attributes, line)
        elif name in {"vehicle", "person"}:
            self._point(name, attributes, line)

    def end(self, name: str, line: int) -> None:
        """Take the end of an element."""

    def _timestep(self, attributes: dict[str, str], line: int) -> None:
        time_s = self._number(attributes, "time", "timestep", line)
        if time_s <= self._now_s:
            raise ScenarioError(
                f"{spot(self._path, line, 'timestep')}: time `{time_s}` follows `{self._now_s}`; times must rise"
            )
        self.begin_s = time_s if np.isnan(self.begin_s) else self.begin_s
        self._now_s = self.end_s = time_s

    def _point(self, name: str, attributes: dict[str, str], line: int) -> None:
        vehicle = attributes.get("id", "")
        element = f"{name} `{vehicle[:60]}`"
        if not vehicle:
            raise ScenarioError(f"{spot(self._path, line, name)}: has no `id`; fcd-export gives each one")
        if np.isnan(self._now_s):
            raise ScenarioError(f"{spot(self._path, line, element)}: stands outside of any `timestep`")
        east, north = (self._number(attributes, axis, element, line) for axis in ("x", "y"))
        track = self.tracks.get(vehicle)
        if not self.tracks:
            near = abs(east - self._origin.longitude_deg), abs(north - self._origin.latitude_deg)
            self.in_degrees = max(near) < DEGREES_AROUND
            self._straight = STRAIGHT_M / _METRES_PER_DEGREE if self.in_degrees else STRAIGHT_M
        if self.in_degrees and not (abs(east) <= 180.0 and abs(north) <= 90.0):
            raise ScenarioError(
                f"{spot(self._path, line, element)}: `{east}, {north}` is no longitude and latitude,"
                " but the first vehicle of this file has them"
            )
        if track is None:
            if len(self.tracks) >= self._most:
                return
            track = self.tracks[vehicle] = _Track()
        if len(track.when_s) >= 2 and self._is_between(track, east, north):
            track.when_s.pop()
            del track.where[-2:]
            self._points -= 1
        track.when_s.append(self._now_s)
        track.where.extend((east, north))
        self._points += 1
        if self._points > MAX_POINTS:
            raise ScenarioError(
                f"{spot(self._path, line, element)}: more than {MAX_POINTS} points;"
                " thin the file, for example with `--fcd-output.period 5`, or ask for fewer UEs"
            )

    def _is_between(self, track: _Track, east: float, north: float) -> bool:
        """Return whether the last point lies where a steady way from the one before to the new one would pass."""
        first_s, last_s = track.when_s[-2:]
        x0, y0, x1, y1 = track.where[-4:]
        share = (last_s - first_s) / (self._now_s - first_s)
        off = abs(x0 + share * (east - x0) - x1) + abs(y0 + share * (north - y0) - y1)
        return off <= self._straight

    def _number(self, attributes: dict[str, str], key: str, element: str, line: int) -> float:
        text = attributes.get(key, "")
        try:
            value = float(text)
        except ValueError as exc:
            raise ScenarioError(
                f"{spot(self._path, line, element)}: `{key}` must be a number, not `{text[:60]}`"
            ) from exc
        if not np.isfinite(value):
            raise ScenarioError(f"{spot(self._path, line, element)}: `{key}` must be a finite number, not `{text}`")
        return value


def read_fcd(path: Path, *, most: int, origin: Origin, extent_m: tuple[float, float, float, float]) -> Tracks:
    """Return the ways of the first `most` vehicles and persons of a file, gzipped or not.

    Args:
        path: The fcd-export.
        most: How many are wanted; further ones are skipped.
        origin: Of the ENU frame.
        extent_m: West, south, east, north of the area, which somebody must pass.

    Raises:
        ScenarioError: The file is missing, no fcd-export, or an element is wrong; names file and line.
    """
    sink = _FcdSink(path, most, origin)

    def of_root(name: str, line: int) -> _FcdSink:
        if name != "fcd-export":
            raise ScenarioError(
                f"{spot(path, line)}: the root is `{name}`; ways come from `sumo --fcd-output`, root `fcd-export`"
            )
        return sink

    parse_xml(path, of_root)
    tracks = list(sink.tracks.values())
    if not tracks:
        raise ScenarioError(f"`{path}` holds no vehicle; write it with `sumo --fcd-output` over a busy time")
    points = np.concatenate([np.array(track.where).reshape(-1, 2) for track in tracks])
    if sink.in_degrees:
        points = wgs84_to_enu(points[:, 1], points[:, 0], origin.height_m, origin=origin)[:, :2]
    west, south, east, north = extent_m
    if not ((points >= (west, south)) & (points <= (east, north))).all(axis=1).any():
        raise ScenarioError(
            f"`{path}`: no vehicle passes the area of {west:.0f}..{east:.0f} m east, {south:.0f}..{north:.0f} m north;"
            " write the file with `--fcd-output.geo`, so that it holds longitude and latitude"
        )
    size = np.array([len(track.when_s) for track in tracks])
    return Tracks(
        length_s=sink.end_s - sink.begin_s + 1.0,
        first=np.concatenate([[0], size.cumsum()]).astype(np.int64),
        when_s=np.concatenate([np.array(track.when_s) for track in tracks]) - sink.begin_s,
        where_m=points.astype(np.float32),
    )
