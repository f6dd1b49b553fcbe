"""Where the 6G parts of a city stand when a scenario asks for them without saying where.

Hot-spots stand at crossings near the places where people meet; panels hang on walls that see both a mast and a street
which no mast sees; targets are drones that circle such places. Values only: what they do is in :mod:`twin.sixg`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.entities import RisPanel, SensingTarget
from twin.errors import ScenarioError
from twin.radio.blockage import Footprints, sight_of
from twin.sixg import ris, sensing
from twin_app.scenarios.citymap import SitePlan, rng_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.entities import Cell, Site
    from twin_app.scenarios.citymap import CityMap

HOT_SPOT_HEIGHT_M = 6.0
"""On a lamp post."""
_HOT_SPOT_APART_M = 120.0
_MEETING_PLACES = ("station", "marketplace", "mall", "townhall", "stadium", "university", "theatre", "terminal")
"""Kinds of places by how many people stand around there; all others come after these."""

PANEL_HEIGHT_M = 8.0
PANEL_COLUMNS, PANEL_ROWS = 64, 16
"""2.7 m by 0.7 m at 3.5 GHz. Fewer columns stay below what reaches a street around the corner anyway; more rows make a
beam so flat that it meets the street in one place only."""
_HALF_BEAM_DEG = 1.0
"""Of so many columns: 102 degrees over their number, half of it, and a little."""
_WALL_GAP_M = 1.0
_SHORTEST_WALL_M = 12.0
_FEED_M = 300.0
"""A mast farther away lights a panel too weakly."""
_STREET_M = (20.0, 140.0)
"""A panel helps streets between these distances."""
_STEEPEST = 0.35
"""Cosine of the widest angle between a panel's normal and its mast or street."""
_TRIED_WALLS = 200
_STREET_STEP_M = 8.0

DRONE_HEIGHT_M = (50.0, 90.0)
DRONE_RADIUS_M = (80.0, 250.0)
DRONE_SPEED_MPS = (6.0, 15.0)


def hot_spots(city: CityMap, *, count: int, carrier_hz: float, bandwidth_hz: float, seed: int) -> list[SitePlan]:
    """Return street sites with three sectors each at the crossings nearest to the busiest places.

    Args:
        city: Places and streets.
        count: How many; fewer where the city has too few places.
        carrier_hz: Above 100 GHz.
        bandwidth_hz: Channel bandwidth.
        seed: Turns the sectors.
    """
    walkable = np.unique(city.streets.edge[city.streets.edge_walkable])
    if not len(walkable):
        return []
    node_m = city.streets.node_m[walkable].astype(np.float64)
    rank = {category: number for number, category in enumerate(_MEETING_PLACES)}
    places = sorted(city.places, key=lambda place: (rank.get(place.category, len(rank)), place.id))
    spots: list[NDArray[np.float64]] = []
    for place in places:
        distance_m = np.hypot(*(node_m - np.array(place.position_m[:2])).T)
        spot = node_m[distance_m.argmin()]
        if all(np.hypot(*(spot - other)) >= _HOT_SPOT_APART_M for other in spots):
            spots.append(spot)
        if len(spots) == count:
            break
    turns_deg = rng_of(seed, "hot-spots").integers(0, 120, size=len(spots))
    return [
        SitePlan(
            position_m=(round(float(spot[0]), 2), round(float(spot[1]), 2)),
            height_m=HOT_SPOT_HEIGHT_M,
            isd_m=_HOT_SPOT_APART_M,
            environment="SubTHz",
            azimuths_deg=tuple(float((base + int(turn)) % 360) for base in (0, 120, 240)),
            carrier_hz=carrier_hz,
            bandwidth_hz=bandwidth_hz,
        )
        for spot, turn in zip(spots, turns_deg, strict=True)
    ]


def drones(city: CityMap, *, count: int, seed: int) -> tuple[SensingTarget, ...]:
    """Return small drones that circle named places, or the middle of a city without any."""
    rng = rng_of(seed, "targets")
    west, south, east, north = city.extent_m
    around = [place.position_m[:2] for place in city.places] or [((west + east) / 2.0, (south + north) / 2.0)]
    order = rng.permutation(len(around))
    return tuple(
        SensingTarget(
            id=f"target-{number}",
            name=f"Drone {number}",
            aliases=(f"drone {number}",),
            path_m=sensing.flight(
                (*around[order[(number - 1) % len(around)]], round(float(rng.uniform(*DRONE_HEIGHT_M)), 1)),
                radius_m=float(rng.uniform(*DRONE_RADIUS_M)),
            ),
            speed_mps=round(float(rng.uniform(*DRONE_SPEED_MPS)), 1),
            rcs_m2=round(sensing.DRONE_RCS_M2, 4),
        )
        for number in range(1, count + 1)
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Walls:
    """Walls that look at a street.

    Attributes:
        middle_m: ``[n, 2] float64`` a little in front of the middle of each wall.
        normal: ``[n, 2] float64`` unit vectors outwards.
    """

    middle_m: NDArray[np.float64]
    normal: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> _Walls:
        """Return the chosen rows."""
        return _Walls(middle_m=self.middle_m[rows], normal=self.normal[rows])


def panels(city: CityMap, sites: Sequence[Site], cells: Sequence[Cell], *, count: int) -> tuple[RisPanel, ...]:
    """Return panels on the walls from which most street is seen that no mast sees.

    Each is lit by the nearest mast in sight that has the first carrier, and begins with the profile that lights
    most of it.

    Raises:
        ScenarioError: The city has no building, so that nothing is in the shadow.
    """
    if count and not city.buildings:
        raise ScenarioError("`ris` asks for panels, and this city has no building to hang them on: state `city`")
    if not count or not cells:
        return ()
    lit = [cell for cell in cells if cell.carrier_hz == cells[0].carrier_hz]
    mast_m = np.array([[*site.position_m[:2], site.height_m] for site in sites])
    feeds = np.isin([site.id for site in sites], [cell.site_id for cell in lit])
    footprints = Footprints(city.buildings, city.extent_m)
    street_m = _street_points(city, footprints)
    dark_m = street_m[~_seen(city, mast_m, street_m)[feeds].any(axis=0)]
    walls = _walls(city, footprints)
    feed = _feed(city, mast_m, feeds, walls)
    useful = np.flatnonzero(feed >= 0)
    walls, feed = walls.take(useful), feed[useful]
    near = np.array([len(_in_front(wall, walls, dark_m)) for wall in range(len(useful))], dtype=np.int64)
    # Bird's eye first; the rays are for the most promising walls only.
    tried = np.argsort(-near, kind="stable")[:_TRIED_WALLS]
    tried = tried[near[tried] > 0]
    walls, feed = walls.take(tried), feed[tried]
    lights: list[NDArray[np.float64]] = []
    for wall, middle_m in enumerate(walls.middle_m):
        goal_m = dark_m[_in_front(wall, walls, dark_m)]
        lights.append(goal_m[_free_way(footprints, middle_m, goal_m)])
    chosen: list[RisPanel] = []
    served = np.zeros((0, 2))
    while len(chosen) < count:
        # The next panel is the one whose best beam lights most of what is still dark.
        found = [_best_beam(wall, walls, one[_apart(one, served)]) for wall, one in enumerate(lights)]
        best = max(range(len(found)), key=lambda wall: len(found[wall][1]), default=-1)
        if best < 0 or not len(found[best][1]):
            break
        index, bright_m = found[best]
        served = np.concatenate([served, bright_m])
        site = sites[feed[best]]
        chosen.append(_panel(len(chosen) + 1, walls, best, index=index, site=site, cells=lit))
    return tuple(chosen)


def _best_beam(wall: int, walls: _Walls, street_m: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
    """Return the phase profile that lights most of some places, and which ones it lights, ``[n, 2]``."""
    offset = street_m - walls.middle_m[wall]
    facing_deg = np.degrees(np.arctan2(*walls.normal[wall]))
    off_deg = (np.degrees(np.arctan2(offset[:, 0], offset[:, 1])) - facing_deg + 180.0) % 360.0 - 180.0
    index = np.arange(1, 256)
    beam_deg = np.array([ris.beam_azimuth_deg(int(one)) for one in index])
    bright = np.abs(off_deg[:, None] - beam_deg) <= _HALF_BEAM_DEG
    best = int(bright.sum(axis=0).argmax())
    return int(index[best]), street_m[bright[:, best]]


def _panel(number: int, walls: _Walls, wall: int, *, index: int, site: Site, cells: Sequence[Cell]) -> RisPanel:
    east, north = walls.middle_m[wall]
    facing_deg = float(np.degrees(np.arctan2(*walls.normal[wall]))) % 360.0
    to_site = np.array(site.position_m[:2]) - walls.middle_m[wall]
    seen_from_deg = np.degrees(np.arctan2(-to_site[0], -to_site[1]))
    own = [cell for cell in cells if cell.site_id == site.id]
    cell = min(own, key=lambda one: abs((one.azimuth_deg - seen_from_deg + 180.0) % 360.0 - 180.0))
    return RisPanel(
        id=f"ris-{number}",
        name=f"RIS {number}",
        dn=f"SubNetwork=1,ManagedElement=RIS-{number},vsData6gRis=1",
        aliases=(f"RIS-{number}", f"panel {number}"),
        position_m=(round(float(east), 2), round(float(north), 2), PANEL_HEIGHT_M),
        azimuth_deg=round(facing_deg, 1),
        columns=PANEL_COLUMNS,
        rows=PANEL_ROWS,
        cell_id=cell.id,
        phase_profile_index=index,
    )


def _street_points(city: CityMap, footprints: Footprints) -> NDArray[np.float64]:
    """Return points along all walkable streets, ``[n, 2]``; passages under buildings are left out."""
    streets = city.streets
    ends = streets.node_m[streets.edge[streets.edge_walkable]].astype(np.float64)
    parts = [
        a + (b - a) * np.linspace(0.0, 1.0, max(int(np.hypot(*(b - a)) / _STREET_STEP_M), 1), endpoint=False)[:, None]
        for a, b in ends
    ]
    points = np.concatenate(parts) if parts else np.zeros((0, 2))
    return points[~footprints.contain(points.astype(np.float32))]


def _walls(city: CityMap, footprints: Footprints) -> _Walls:
    """Return the walls that are long and high enough and have nothing right in front of them."""
    middles: list[NDArray[np.float64]] = []
    normals: list[NDArray[np.float64]] = []
    for building in city.buildings:
        if building.height_m < PANEL_HEIGHT_M + 1.0:
            continue
        a = building.footprint_m.astype(np.float64)
        along = np.roll(a, -1, axis=0) - a
        length_m = np.hypot(*along.T)
        long = length_m >= _SHORTEST_WALL_M
        # Counter-clockwise rings have their outside on the right.
        turn = 1.0 if float((a[:, 0] * np.roll(a[:, 1], -1) - np.roll(a[:, 0], -1) * a[:, 1]).sum()) > 0 else -1.0
        normal = np.column_stack([along[:, 1], -along[:, 0]])[long] * turn / length_m[long, None]
        middles.append(a[long] + along[long] / 2.0 + normal * _WALL_GAP_M)
        normals.append(normal)
    middle_m = np.concatenate(middles) if middles else np.zeros((0, 2))
    normal = np.concatenate(normals) if normals else np.zeros((0, 2))
    free = np.ones(len(middle_m), dtype=bool)
    for gap_m in (1.0, 4.0, 8.0):
        free &= ~footprints.contain((middle_m + normal * gap_m).astype(np.float32))
    return _Walls(middle_m=middle_m[free], normal=normal[free])


def _feed(city: CityMap, mast_m: NDArray[np.float64], feeds: NDArray[np.bool_], walls: _Walls) -> NDArray[np.int64]:
    """Return the nearest of the masts that feed that each wall sees from its front, -1 = none, ``[n] int64``."""
    offset = mast_m[:, None, :2] - walls.middle_m[None]
    distance_m = np.hypot(offset[..., 0], offset[..., 1])
    ahead = (offset * walls.normal[None]).sum(axis=2) / np.maximum(distance_m, 1.0)
    usable = feeds[:, None] & (distance_m <= _FEED_M) & (ahead >= _STEEPEST)
    usable &= _seen(city, mast_m, walls.middle_m, height_m=PANEL_HEIGHT_M)
    best = np.where(usable, distance_m, np.inf).argmin(axis=0)
    return np.where(usable.any(axis=0), best, -1)


def _in_front(wall: int, walls: _Walls, place_m: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows of places that a panel on this wall could reach if nothing stood between."""
    offset = place_m - walls.middle_m[wall]
    distance_m = np.hypot(*offset.T)
    ahead = offset @ walls.normal[wall] / np.maximum(distance_m, 1.0)
    return np.flatnonzero((distance_m >= _STREET_M[0]) & (distance_m <= _STREET_M[1]) & (ahead >= 0.5))


def _free_way(footprints: Footprints, panel_m: NDArray[np.float64], street_m: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return to which places on the street nothing stands between, ``[n] bool``."""
    offset = street_m - panel_m
    distance_m = np.hypot(*offset.T)
    # The panel's own wall begins right behind it.
    share = np.linspace(0.02, 1.0, int(_STREET_M[1] / footprints.step_m), endpoint=False)
    way_m = panel_m + share[:, None, None] * offset
    roof_m = footprints.height_m[footprints.building_at(way_m.reshape(-1, 2).astype(np.float32))]
    ray_m = PANEL_HEIGHT_M + share[:, None] * (ris.STREET_HEIGHT_M - PANEL_HEIGHT_M)
    return ((roof_m.reshape(len(share), -1) < ray_m) | (share[:, None] * distance_m < _WALL_GAP_M)).all(axis=0)


def _seen(
    city: CityMap, mast_m: NDArray[np.float64], place_m: NDArray[np.float64], *, height_m: float = 1.5
) -> NDArray[np.bool_]:
    """Return from where antennas are in sight, ``[num_masts, n] bool``."""
    return sight_of(city.buildings, city.extent_m, mast_m.astype(np.float32)).sees(place_m, height_m)


def _apart(place_m: NDArray[np.float64], others_m: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which places are none of the others."""
    if not len(others_m) or not len(place_m):
        return np.ones(len(place_m), dtype=bool)
    offset = place_m[:, None] - others_m[None]
    return np.hypot(offset[..., 0], offset[..., 1]).min(axis=1) > 0.1
