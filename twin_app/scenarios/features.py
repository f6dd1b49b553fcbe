"""Tags + geometry = a street, a building, a zone, a place: shared by every reader that has tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twin_app.scenarios.rawmap import RawBuilding, RawMap, RawPlace, RawStreet, RawZone
from twin_app.scenarios.tags import (
    building_land_use,
    height_m_of,
    levels_of,
    place_category,
    road_of,
    zone_land_use,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_NO_BUILDING = frozenset({"", "no", "roof", "ruins", "collapsed"})


def add_line(into: RawMap, points_deg: NDArray[np.float64], tags: Mapping[str, str]) -> None:
    """Add a street if the tags describe one; `points_deg` is ``[num_points, 2]`` latitude, longitude."""
    road = road_of(tags)
    if road is None or len(points_deg) < 2:
        return
    into.streets.append(
        RawStreet(
            points_deg=points_deg,
            speed_mps=road.speed_mps,
            walkable=road.walkable,
            name=tags.get("name", ""),
            main=road.main,
        )
    )


def add_ring(into: RawMap, ring_deg: NDArray[np.float64], tags: Mapping[str, str]) -> None:
    """Add a building or a zone (and the place it names) from a ring, repeated last point or not."""
    if len(ring_deg) > 1 and np.array_equal(ring_deg[0], ring_deg[-1]):
        ring_deg = ring_deg[:-1]
    if len(ring_deg) < 3:
        return
    if tags.get("building", "") not in _NO_BUILDING:
        into.buildings.append(
            RawBuilding(
                ring_deg=ring_deg,
                name=tags.get("name", ""),
                height_m=height_m_of(tags.get("height", "")),
                levels=levels_of(tags.get("building:levels", "")),
                land_use=building_land_use(tags),
            )
        )
    elif (land_use := zone_land_use(tags)) is not None:
        into.zones.append(RawZone(ring_deg=ring_deg, land_use=land_use))
    latitude_deg, longitude_deg = ring_deg.mean(axis=0)
    add_point(into, float(latitude_deg), float(longitude_deg), tags)


def add_point(into: RawMap, latitude_deg: float, longitude_deg: float, tags: Mapping[str, str]) -> None:
    """Add a named place if the tags describe one."""
    name = tags.get("name", "").strip()
    category = place_category(tags) if name else ""
    if category:
        into.places.append(
            RawPlace(latitude_deg=latitude_deg, longitude_deg=longitude_deg, name=name[:80], category=category)
        )
