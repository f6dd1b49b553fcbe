"""Where to put sites when no file says so: hexagonal positions snapped to tall roofs, three sectors each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from twin_app.scenarios.citymap import SitePlan, centroid_m, rng_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.entities import Building
    from twin_app.scenarios.citymap import CityMap

MAX_PLANNED_SITES = 30
_SMALLEST_ISD_M = 400.0
_MAST_ON_ROOF_M = 4.0
_STREET_MAST_M = 25.0
_LOWEST_ON_ROOF_M = 18.0
_ROOF_RADIUS_M = 250.0


def hexagonal_rings(*, isd_m: float, rings: int) -> NDArray[np.float64]:
    """Return the ``[num_sites, 2]`` positions of a hexagonal layout, the centre first, then ring by ring."""
    points = [(0.0, 0.0)]
    corners = [(math.cos(math.radians(60 * k)), math.sin(math.radians(60 * k))) for k in range(6)]
    for ring in range(1, rings + 1):
        for k in range(6):
            (x0, y0), (x1, y1) = corners[k], corners[(k + 1) % 6]
            for step in range(ring):
                share = step / ring
                points.append((ring * isd_m * (x0 + (x1 - x0) * share), ring * isd_m * (y0 + (y1 - y0) * share)))
    return np.array(points)


def _hexagonal_cover(extent_m: tuple[float, float, float, float], isd_m: float) -> NDArray[np.float64]:
    """Return hexagonal positions inside the extent, rows centred on it, from north-west to south-east."""
    west, south, east, north = extent_m
    row_m = isd_m * math.sqrt(3.0) / 2.0
    rows = max(1, round((north - south) / row_m))
    top = (south + north) / 2.0 + (rows - 1) / 2.0 * row_m
    points: list[tuple[float, float]] = []
    for row in range(rows):
        columns = max(1, int((east - west) / isd_m + (0.5 if row % 2 == 0 else 0.0)))
        left = (west + east) / 2.0 - (columns - 1) / 2.0 * isd_m
        points += [(left + column * isd_m, top - row * row_m) for column in range(columns)]
    return np.array(points)


def plan_sites(city: CityMap, *, seed: int, max_sites: int = MAX_PLANNED_SITES) -> list[SitePlan]:
    """Cover the built-up part of the area with at most `max_sites` three-sector sites.

    The inter-site distance is the smallest one, from 400 m upwards, that stays within `max_sites`.
    """
    used = _used_ground(city)
    isd_m = _SMALLEST_ISD_M
    while True:
        points = _hexagonal_cover(city.extent_m, isd_m)
        # A quarter of the distance is fine enough to see whether anybody is near.
        thinned = np.unique(np.round(used / (isd_m / 4.0)), axis=0) * (isd_m / 4.0)
        near = _nearest_distance(points, thinned) <= 0.6 * isd_m if len(used) else np.ones(len(points), dtype=bool)
        if near.any():
            points = points[near]
        if len(points) <= max_sites:
            return place_sites(points, city.buildings, isd_m=isd_m, seed=seed)
        isd_m *= 1.03


def _used_ground(city: CityMap) -> NDArray[np.float64]:
    """Return points that need coverage, ``[num_points, 2]``: building centres and street nodes."""
    centres = [centroid_m(building.footprint_m) for building in city.buildings]
    return np.concatenate([np.array(centres).reshape(-1, 2), city.streets.node_m.astype(np.float64)])


def _nearest_distance(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    offset = points[:, None, :] - others[None, :, :]
    return np.hypot(offset[..., 0], offset[..., 1]).min(axis=1)


def place_sites(
    points: NDArray[np.float64], buildings: Sequence[Building], *, isd_m: float, seed: int
) -> list[SitePlan]:
    """Snap each position to the best roof within a quarter of `isd_m`; without one, a street mast stands there.

    A site is UMa when its antennas look over the mean roof height around it, else UMi. Sector azimuths are 120
    degrees apart, turned by a seeded angle per site.
    """
    rng = rng_of(seed, "sites")
    centre_m = np.array([centroid_m(building.footprint_m) for building in buildings]).reshape(-1, 2)
    roof_m = np.array([building.height_m for building in buildings])
    taken: set[int] = set()
    spots: list[tuple[float, float, float]] = []
    for point in points:
        distance_m = np.hypot(*(centre_m - point).T)
        reachable = [int(i) for i in np.flatnonzero(distance_m <= 0.25 * isd_m) if int(i) not in taken]
        # A metre of roof is worth eight metres of displacement: tall, but not at the cost of the layout.
        best = max(reachable, key=lambda i: roof_m[i] - distance_m[i] / 8.0, default=None)
        if best is None or roof_m[best] + _MAST_ON_ROOF_M < _LOWEST_ON_ROOF_M:
            spots.append((float(point[0]), float(point[1]), _STREET_MAST_M))
        else:
            taken.add(best)
            spots.append((float(centre_m[best, 0]), float(centre_m[best, 1]), float(roof_m[best]) + _MAST_ON_ROOF_M))
    turns_deg = rng.integers(-20, 21, size=len(spots))
    distances_m = site_distances(np.array([spot[:2] for spot in spots]).reshape(-1, 2), fallback_m=isd_m)
    return [
        SitePlan(
            position_m=(round(east, 2), round(north, 2)),
            height_m=round(height_m, 1),
            isd_m=distance_m,
            environment=environment_of(height_m, (east, north), centre_m, roof_m),
            azimuths_deg=tuple(float((base + int(turn)) % 360) for base in (30, 150, 270)),
        )
        for (east, north, height_m), turn, distance_m in zip(spots, turns_deg, distances_m, strict=True)
    ]


def site_distances(position_m: NDArray[np.float64], *, fallback_m: float) -> list[float]:
    """Return the distance from each site to its nearest other site (`fallback_m` for a lone one)."""
    if len(position_m) < 2:
        return [fallback_m] * len(position_m)
    offset = position_m[:, None, :] - position_m[None, :, :]
    distance_m = np.hypot(offset[..., 0], offset[..., 1])
    np.fill_diagonal(distance_m, np.inf)
    return [float(value) for value in distance_m.min(axis=1)]


def environment_of(
    height_m: float, at_m: tuple[float, float], centre_m: NDArray[np.float64], roof_m: NDArray[np.float64]
) -> Literal["UMa", "UMi"]:
    """Return UMa when an antenna at this height looks over the mean roof within 250 m, else UMi.

    Args:
        centre_m: Building centres ``[num_buildings, 2]``.
        roof_m: Building heights ``[num_buildings]``.
    """
    around = np.hypot(centre_m[:, 0] - at_m[0], centre_m[:, 1] - at_m[1]) <= _ROOF_RADIUS_M
    mean_roof_m = float(roof_m[around].mean()) if around.any() else 0.0
    return "UMa" if height_m > mean_roof_m else "UMi"
