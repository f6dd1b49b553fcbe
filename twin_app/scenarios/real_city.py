"""A real city from map files: read, project, crop, and fill in what the map does not say."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

import numpy as np

from twin.entities import Building, LandUse
from twin.errors import ScenarioError
from twin_app.scenarios.citymap import CityMap, area_m2, centroid_m, rng_of
from twin_app.scenarios.crop import area_origin, choose_area, flatten, inside, map_origin
from twin_app.scenarios.heights import height_of
from twin_app.scenarios.landuse import Raster, estimate_land_use, ground_grid
from twin_app.scenarios.mapfiles import read_maps
from twin_app.scenarios.named_places import named_places
from twin_app.scenarios.streets import street_graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from twin_app.scenarios.crop import FlatMap
    from twin_app.scenarios.rawmap import RawBuilding, RawMap
    from twin_app.scenarios.spec import Wanted

Extent = tuple[float, float, float, float]


def real_city(wanted: Wanted, *, progress: Callable[[str, float], None]) -> CityMap:
    """Return the city of the wanted map files, cropped to the wanted area; its origin is the area's centre.

    Raises:
        ScenarioError: A file is wrong, or the area holds no street.
    """
    raw = read_maps(wanted.city, progress=lambda step, share: progress(step, 0.6 * share))
    if not raw.streets:
        names = ", ".join(f"`{path}`" for path in wanted.city)
        raise ScenarioError(f"{names} holds no street for people to move on; add the .osm that has them")
    progress("cropping the map", 0.6)
    flat = flatten(raw, map_origin(raw))
    west, south, east, north = area_m = choose_area(flat, wanted.area)
    raw = _near(raw, flat, area_m)
    if not raw.streets:
        raise ScenarioError(f"the area of {east - west:g} x {north - south:g} m holds no street; choose another `area`")
    flat = flatten(raw, area_origin(flat, area_m))
    half_east, half_north = (east - west) / 2.0, (north - south) / 2.0
    return _city(raw, flat, (-half_east, -half_north, half_east, half_north), wanted, progress)


def _near(raw: RawMap, flat: FlatMap, area_m: Extent) -> RawMap:
    """Return the part of the map that can matter in the area, so that the rest is not projected twice."""
    west, south, east, north = area_m
    # Two frames a few kilometres apart differ by less than this margin.
    wide = (west - 100.0, south - 100.0, east + 100.0, north + 100.0)

    def touching(lines_m: list[NDArray[np.float64]]) -> list[bool]:
        return [bool(inside(line_m, wide).any()) for line_m in lines_m]

    return replace(
        raw,
        streets=[s for s, near in zip(raw.streets, touching(flat.street_m), strict=True) if near],
        buildings=[b for b, near in zip(raw.buildings, touching(flat.building_m), strict=True) if near],
    )


def _city(
    raw: RawMap, flat: FlatMap, extent_m: Extent, wanted: Wanted, progress: Callable[[str, float], None]
) -> CityMap:
    streets = street_graph(raw.streets, flat.street_m, extent_m=extent_m)
    if not len(streets.edge):
        raise ScenarioError(f"the area of {_size(extent_m)} m holds no street; choose another `area`")
    progress("reading land use", 0.7)
    zones, roads = Raster(extent_m), Raster(extent_m)
    for zone, ring_m in zip(raw.zones, flat.zone_m, strict=True):
        zones.fill(ring_m, zone.land_use)
    for street, line_m in zip(raw.streets, flat.street_m, strict=True):
        if street.main:
            roads.line(line_m, LandUse.TRANSPORT)
    kept, rings, centre_m, areas_m2 = _buildings_inside(raw, flat, extent_m)
    uses = estimate_land_use(
        [building.land_use for building in kept],
        zone_code=zones.at(centre_m),
        centre_m=centre_m,
        area_m2=areas_m2,
        rng=rng_of(wanted.seed, "land use"),
    )
    rng = rng_of(wanted.seed, "heights")
    buildings: list[Building] = []
    for building, ring, area, use in zip(kept, rings, areas_m2, uses, strict=True):
        height_m, source = height_of(building, area_m2=float(area), rng=rng)
        buildings.append(
            Building(
                id=f"building-{len(buildings) + 1}",
                name=building.name,
                footprint_m=ring,
                height_m=height_m,
                height_source=source,
                land_use=use,
            )
        )
    is_near = inside(flat.place_m, extent_m)
    return CityMap(
        name=wanted.name or _name_of(wanted.city[0]),
        origin=flat.origin,
        timezone=wanted.timezone or local_timezone(),
        extent_m=extent_m,
        buildings=tuple(buildings),
        places=named_places(
            (place, at) for place, at, near in zip(raw.places, flat.place_m, is_near, strict=True) if near
        ),
        streets=streets,
        land_use=ground_grid(
            extent_m,
            zone_code=zones.codes(),
            road_code=roads.codes(),
            cell_m=zones.cell_m,
            buildings=buildings,
            centre_m=centre_m,
            area_m2=areas_m2,
        ),
        attribution=tuple(dict.fromkeys((*wanted.attribution, *raw.attribution))),
    )


def _buildings_inside(
    raw: RawMap, flat: FlatMap, extent_m: Extent
) -> tuple[list[RawBuilding], list[NDArray[np.float32]], NDArray[np.float64], NDArray[np.float64]]:
    """Return the buildings whose centre lies in the extent, once each: raw, ring, centre and area."""
    kept: list[RawBuilding] = []
    rings: list[NDArray[np.float32]] = []
    centres: list[tuple[float, float]] = []
    areas: list[float] = []
    seen: set[tuple[int, int, int]] = set()
    for building, ring_m in zip(raw.buildings, flat.building_m, strict=True):
        ring = np.round(ring_m, 2).astype(np.float32)
        area = area_m2(ring)
        centre = centroid_m(ring)
        key = (round(centre[0]), round(centre[1]), round(area))
        # Two files may hold the same building.
        if area < 1.0 or key in seen or not inside(np.array([centre]), extent_m)[0]:
            continue
        seen.add(key)
        kept.append(building)
        rings.append(ring)
        centres.append(centre)
        areas.append(area)
    return kept, rings, np.array(centres, dtype=np.float64).reshape(-1, 2), np.array(areas, dtype=np.float64)


def _size(extent_m: Extent) -> str:
    west, south, east, north = extent_m
    return f"{east - west:g} x {north - south:g}"


def _name_of(path: Path) -> str:
    """Return a name for people from a file name: ``new-york.osm.gz`` becomes ``New York``."""
    stem = path.name.split(".")[0].replace("-", " ").replace("_", " ").strip()
    return stem.title() or "City"


def local_timezone() -> str:
    """Return the IANA name of this machine's zone, UTC when it has none; maps do not say theirs."""
    names = [os.environ.get("TZ", "").lstrip(":")]
    link = Path("/etc/localtime")
    if link.is_symlink():
        names.append(str(link.readlink()).rpartition("zoneinfo/")[2])
    known = available_timezones()
    return next((name for name in names if name in known and name != "Etc/UTC"), "UTC")
