"""From degrees to metres: one ENU frame for all files, the area to keep, and the frame of that area."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.errors import ScenarioError
from twin.geo import enu_to_wgs84, wgs84_to_enu
from twin.scenario import Origin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin_app.scenarios.rawmap import RawMap

DEFAULT_EDGE_M = 2000.0
_BIN_M = 50.0
_LARGEST_EDGE_M = 50_000.0
_STRAY_DEG = 1.0
_STRAY_M = 160_000.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlatMap:
    """A raw map in metres around `origin`, its points in the order of the raw map's lists.

    Attributes:
        street_m: One ``[num_points, 2] float64`` per street.
        building_m: One open ring per building.
        zone_m: One open ring per zone.
        place_m: ``[num_places, 2]``.
    """

    origin: Origin
    street_m: list[NDArray[np.float64]]
    building_m: list[NDArray[np.float64]]
    zone_m: list[NDArray[np.float64]]
    place_m: NDArray[np.float64]


def flatten(raw: RawMap, origin: Origin) -> FlatMap:
    """Project everything to ENU around `origin`, in one call for all points."""
    parts = [street.points_deg for street in raw.streets]
    parts += [building.ring_deg for building in raw.buildings]
    parts += [zone.ring_deg for zone in raw.zones]
    parts.append(np.array([(place.latitude_deg, place.longitude_deg) for place in raw.places]).reshape(-1, 2))
    points_deg = np.concatenate(parts)
    # The ground is flat at up = 0: the fall of the ellipsoid below the plane (8 m at 10 km) is terrain's business.
    points_m = wgs84_to_enu(points_deg[:, 0], points_deg[:, 1], 0.0, origin=origin)[:, :2]
    split = np.split(points_m, np.cumsum([len(part) for part in parts])[:-1])
    a, b, c = len(raw.streets), len(raw.buildings), len(raw.zones)
    return FlatMap(
        origin=origin,
        street_m=split[:a],
        building_m=split[a : a + b],
        zone_m=split[a + b : a + b + c],
        place_m=split[-1],
    )


def map_origin(raw: RawMap) -> Origin:
    """Return the middle of everything that the map holds, stray points far from the rest left out."""
    low, high = _bounds_deg(raw)
    middle = (low + high) / 2.0
    return Origin(latitude_deg=round(float(middle[0]), 7), longitude_deg=round(float(middle[1]), 7))


def _bounds_deg(raw: RawMap) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    parts = [street.points_deg for street in raw.streets] + [building.ring_deg for building in raw.buildings]
    parts = parts or [zone.ring_deg for zone in raw.zones]
    if not parts:
        raise ScenarioError("the map holds named places only; it needs streets, too")
    points = np.concatenate(parts)
    near = points[(np.abs(points - np.median(points, axis=0)) <= _STRAY_DEG).all(axis=1)]
    return near.min(axis=0), near.max(axis=0)


def choose_area(flat: FlatMap, wanted: tuple[float, float, float, float] | None) -> tuple[float, float, float, float]:
    """Return west, south, east, north of the area to keep: the wanted one, else the densest 2 km x 2 km.

    Raises:
        ScenarioError: The wanted area is too large or lies outside the map.
    """
    points = np.concatenate(flat.street_m + flat.building_m)
    # One mistyped coordinate must not stretch the map over half the earth.
    points = points[(np.abs(points) <= _STRAY_M).all(axis=1)]
    low, high = points.min(axis=0), points.max(axis=0)
    if wanted is not None:
        east, north, width, height = wanted
        if max(width, height) > _LARGEST_EDGE_M:
            raise ScenarioError(f"area `{width:g} x {height:g}` m: the longest edge is {_LARGEST_EDGE_M:g} m")
        area = (east, north, east + width, north + height)
        if area[0] > high[0] or area[1] > high[1] or area[2] < low[0] or area[3] < low[1]:
            raise ScenarioError(
                f"area `{east:g},{north:g},{width:g},{height:g}` lies outside the map, which reaches from"
                f" {low[0]:.0f} to {high[0]:.0f} m east and {low[1]:.0f} to {high[1]:.0f} m north of its middle"
                f" ({flat.origin.latitude_deg:.5f}, {flat.origin.longitude_deg:.5f})"
            )
        return area
    return _densest(flat, low, high)


def _densest(flat: FlatMap, low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return the window with the most building area (street length when there are no buildings)."""
    if flat.building_m:
        centre = np.array([ring.mean(axis=0) for ring in flat.building_m])
        weight = np.array([_ring_area_m2(ring) for ring in flat.building_m])
    else:
        starts = np.concatenate([line[:-1] for line in flat.street_m])
        ends = np.concatenate([line[1:] for line in flat.street_m])
        centre, weight = (starts + ends) / 2.0, np.hypot(*(ends - starts).T)
    # From here on every count is in bins; the margin lets a map smaller than the window fit whole.
    bins = [max(1, math.ceil((high[axis] - low[axis]) / _BIN_M)) for axis in (0, 1)]
    near = ((centre >= low) & (centre <= high)).all(axis=1)
    centre, weight = centre[near], weight[near]
    column = np.clip(((centre[:, 0] - low[0]) // _BIN_M).astype(int), 0, bins[0] - 1)
    row = np.clip(((centre[:, 1] - low[1]) // _BIN_M).astype(int), 0, bins[1] - 1)
    total = np.zeros((bins[1] + 1, bins[0] + 1))
    np.add.at(total, (row + 1, column + 1), weight)
    total = total.cumsum(axis=0).cumsum(axis=1)
    side = int(DEFAULT_EDGE_M / _BIN_M)
    width, height = min(side, bins[0]), min(side, bins[1])
    window = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    best_row, best_column = np.unravel_index(int(window.argmax()), window.shape)
    west, south = float(low[0] + best_column * _BIN_M), float(low[1] + best_row * _BIN_M)
    return west, south, west + width * _BIN_M, south + height * _BIN_M


def _ring_area_m2(ring: NDArray[np.float64]) -> float:
    x, y = (ring - ring[0]).T
    return abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())) / 2.0


def area_origin(flat: FlatMap, area_m: tuple[float, float, float, float]) -> Origin:
    """Return the WGS84 position of the centre of an area given in `flat`'s frame."""
    west, south, east, north = area_m
    latitude, longitude, _ = enu_to_wgs84(
        np.array([(west + east) / 2.0, (south + north) / 2.0, 0.0]), origin=flat.origin
    )
    return Origin(latitude_deg=round(float(latitude), 7), longitude_deg=round(float(longitude), 7))


def inside(points_m: NDArray[np.float64], extent_m: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    """Return for each of ``[num_points, 2]`` whether it lies in west, south, east, north."""
    west, south, east, north = extent_m
    x, y = points_m[:, 0], points_m[:, 1]
    return (x >= west) & (x <= east) & (y >= south) & (y <= north)
