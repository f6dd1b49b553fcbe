"""The city that needs no file: a seeded, irregular European town of about 2.5 km with 19 sites.

A grid of streets, denser towards the centre, is bent by a smooth field, cut by a river and trimmed to a round
outline; each block between streets gets a land use and buildings that fit it. Same seed, same city, on every
machine: all coordinates are rounded to centimetres, so that the last bit of a sine does not matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.entities import LandUse, Place, StreetGraph
from twin.scenario import LandUseGrid, Origin
from twin_app.scenarios.citymap import CityMap, SitePlan, rng_of
from twin_app.scenarios.generated_blocks import Block, Ground, buildings_of
from twin_app.scenarios.planner import hexagonal_rings, place_sites
from twin_app.scenarios.streets import largest_component

if TYPE_CHECKING:
    from numpy.typing import NDArray

GENERATED_ISD_M = 450.0
_HALF_M = 1200.0
_EXTENT_HALF_M = 1250.0
_LINES = 20
_CITY_RADIUS_M = 1180.0
_RASTER_M = 25.0
_BLOCK_REACH_M = 110.0
_RIVER_HALF_WIDTH_M = 38.0
_ORIGIN = Origin(latitude_deg=52.0, longitude_deg=12.0)
_TIMEZONE = "Europe/Berlin"
_KMH = 1.0 / 3.6

_STREETS_EAST_WEST = (
    "Harbour Street", "Mill Street", "Tanner Street", "Cooper Street", "Station Street", "Market Street",
    "Chapel Street", "King Street", "Queen Street", "Town Hall Street", "Weaver Street", "Bridge Street",
    "Library Street", "School Street", "Garden Street", "Orchard Street", "Meadow Street", "Forest Street",
    "Hill Street", "North Street",
)  # fmt: skip
_STREETS_NORTH_SOUTH = (
    "Western Avenue", "Ampere Avenue", "Bell Avenue", "Curie Avenue", "Darwin Avenue", "Euler Avenue",
    "Faraday Avenue", "Gauss Avenue", "Hertz Avenue", "Central Avenue", "Kepler Avenue", "Lovelace Avenue",
    "Maxwell Avenue", "Noether Avenue", "Ohm Avenue", "Planck Avenue", "Shannon Avenue", "Tesla Avenue",
    "Volta Avenue", "Eastern Avenue",
)  # fmt: skip
_AVENUES = frozenset({0, 5, 10, 14, 19})
_STATION_ROW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Landmark:
    """A named place with the block it wants: direction from the centre, and what stands there."""

    name: str
    category: str
    at_m: tuple[float, float]
    ground: Ground
    aliases: tuple[str, ...]


_LANDMARKS = (
    _Landmark(
        name="Central Station",
        category="station",
        at_m=(0.0, -640.0),
        ground=Ground.STATION,
        aliases=("the station", "station", "main station", "train station"),
    ),
    _Landmark(
        name="Market Hall",
        category="marketplace",
        at_m=(40.0, 30.0),
        ground=Ground.HALL,
        aliases=("the market", "market"),
    ),
    _Landmark(
        name="University",
        category="university",
        at_m=(-520.0, -130.0),
        ground=Ground.CAMPUS,
        aliases=("the university", "campus"),
    ),
    _Landmark(
        name="Stadium",
        category="stadium",
        at_m=(720.0, -330.0),
        ground=Ground.STADIUM,
        aliases=("the stadium", "arena"),
    ),
    _Landmark(
        name="City Hospital",
        category="hospital",
        at_m=(560.0, 120.0),
        ground=Ground.CAMPUS,
        aliases=("the hospital", "hospital"),
    ),
    _Landmark(
        name="Harbour",
        category="harbour",
        at_m=(800.0, 520.0),
        ground=Ground.DEPOT,
        aliases=("the harbour", "port"),
    ),
    _Landmark(
        name="Airport Gate",
        category="terminal",
        at_m=(-870.0, -560.0),
        ground=Ground.DEPOT,
        aliases=("the airport", "airport"),
    ),
    _Landmark(
        name="City Park",
        category="park",
        at_m=(-270.0, 200.0),
        ground=Ground.PARK,
        aliases=("the park", "park"),
    ),
    _Landmark(
        name="Botanical Garden",
        category="park",
        at_m=(330.0, -820.0),
        ground=Ground.PARK,
        aliases=("the garden",),
    ),
    _Landmark(
        name="North Meadow",
        category="park",
        at_m=(-260.0, 880.0),
        ground=Ground.PARK,
        aliases=("the meadow",),
    ),
    _Landmark(
        name="Opera House",
        category="theatre",
        at_m=(190.0, 180.0),
        ground=Ground.HALL,
        aliases=("the opera", "opera"),
    ),
    _Landmark(
        name="Town Hall",
        category="townhall",
        at_m=(-120.0, -60.0),
        ground=Ground.HALL,
        aliases=("the town hall",),
    ),
    _Landmark(
        name="Shopping Centre",
        category="mall",
        at_m=(60.0, -260.0),
        ground=Ground.HALL,
        aliases=("the mall", "mall"),
    ),
)
_PARK_RADIUS_M = 150.0


class _Field:
    """A smooth random field: a few plane waves."""

    def __init__(self, rng: np.random.Generator, *, wavelength_m: float, waves: int = 4) -> None:
        heading = rng.uniform(0.0, 2.0 * math.pi, size=waves)
        number = 2.0 * math.pi / (wavelength_m * rng.uniform(0.7, 1.4, size=waves))
        self._k = np.stack([np.cos(heading), np.sin(heading)], axis=1) * number[:, None]
        self._phase = rng.uniform(0.0, 2.0 * math.pi, size=waves)

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the value (about -1 to 1) at each of ``[..., 2]`` points."""
        return np.sin(points @ self._k.T + self._phase).sum(axis=-1) / math.sqrt(len(self._phase))


def generated_city(seed: int, *, name: str = "", timezone: str = "") -> CityMap:
    """Return the generated city of this seed, under another name or in another time zone when these are given."""
    rng = rng_of(seed, "ground")
    corners = _street_corners(rng)
    river = _river(rng)
    blocks = _blocks(corners, river, rng)
    streets = _streets(corners, blocks, river, rng)
    buildings = buildings_of(blocks, rng_of(seed, "buildings"))
    return CityMap(
        name=name or "Twin City",
        origin=_ORIGIN,
        timezone=timezone or _TIMEZONE,
        extent_m=(-_EXTENT_HALF_M, -_EXTENT_HALF_M, _EXTENT_HALF_M, _EXTENT_HALF_M),
        buildings=buildings,
        places=_places(blocks),
        streets=streets,
        land_use=_raster(blocks),
    )


def generated_sites(city: CityMap, *, seed: int) -> list[SitePlan]:
    """Return the 19 sites of two hexagonal rings, slightly displaced and snapped to roofs."""
    points = hexagonal_rings(isd_m=GENERATED_ISD_M, rings=2)
    points += rng_of(seed, "layout").uniform(-25.0, 25.0, size=points.shape)
    return place_sites(points, city.buildings, isd_m=GENERATED_ISD_M, seed=seed)


def _street_corners(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the crossings ``[lines, lines, 2]``; first index counts north, second east."""

    def lines() -> NDArray[np.float64]:
        middle = np.abs(np.arange(_LINES - 1) - (_LINES - 2) / 2.0) / ((_LINES - 2) / 2.0)
        spacing = (0.72 + 0.5 * middle) * rng.uniform(0.85, 1.15, size=_LINES - 1)
        line = np.concatenate([[0.0], np.cumsum(spacing)])
        return (line / line[-1] - 0.5) * 2.0 * _HALF_M * 0.99

    east, north = np.meshgrid(lines(), lines())
    points = np.stack([east, north], axis=-1)
    # Fades towards the rim, so that the town stays within its extent.
    room = np.clip(1.15 - np.hypot(east, north) / (1.35 * _HALF_M), 0.0, 1.0)[..., None]
    bend = np.stack([_Field(rng, wavelength_m=1300.0)(points), _Field(rng, wavelength_m=1300.0)(points)], axis=-1)
    return points + 55.0 * bend * room + rng.normal(0.0, 5.0, size=points.shape)


def _river(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the river's middle as a polyline ``[num_points, 2]`` from west to east, north of the centre."""
    east = np.linspace(-1.2 * _HALF_M, 1.2 * _HALF_M, 121)
    phase = float(rng.uniform(0.0, 2.0 * math.pi))
    north = 520.0 + 70.0 * np.sin(east / 420.0 + phase) + 45.0 * np.sin(east / 190.0 + 2.0 * phase)
    return np.stack([east, north], axis=1)


def _to_river_m(points: NDArray[np.float64], river: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each point ``[num_points, 2]`` to the middle of the river."""
    offset = points[:, None, :] - river[None, :, :]
    return np.hypot(offset[..., 0], offset[..., 1]).min(axis=1)


def _blocks(corners: NDArray[np.float64], river: NDArray[np.float64], rng: np.random.Generator) -> list[Block]:
    """Return the blocks between the streets, each with its ground; water and the outside have none."""
    use_field = _Field(rng, wavelength_m=700.0)
    rim = _Field(rng, wavelength_m=900.0)
    quads = np.stack([corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]], axis=2)
    centres = quads.mean(axis=2).reshape(-1, 2)
    inside = np.hypot(*centres.T) <= _CITY_RADIUS_M * (0.97 + 0.07 * rim(centres))
    dry = _to_river_m(centres, river) > _RIVER_HALF_WIDTH_M + 48.0
    noise = use_field(centres)
    draws = rng.random(len(centres))
    blocks: list[Block] = []
    for number in np.flatnonzero(inside & dry):
        row, column = divmod(int(number), _LINES - 1)
        east, north = centres[number]
        ground = _ground(float(np.hypot(east, north)), float(noise[number]), float(draws[number]))
        if row == _STATION_ROW and abs(column - (_LINES - 2) / 2.0) <= 6:
            ground = Ground.DEPOT
        blocks.append(
            Block(row=row, column=column, corners_m=quads[row, column], centre_m=(east, north), ground=ground)
        )
    for landmark in _LANDMARKS:
        _settle(blocks, landmark)
    return blocks


def _ground(radius_m: float, noise: float, draw: float) -> Ground:
    """Return what a block is, by its distance from the centre and a smooth field that makes quarters."""
    if radius_m < 430.0:
        return Ground.SHOPS if noise > 0.25 else Ground.OFFICES
    if radius_m < 700.0:
        if noise > 0.9:
            return Ground.SHOPS
        return Ground.OFFICES if noise < -0.75 else Ground.FLATS
    if noise < -1.15:
        return Ground.OFFICES
    if draw < 0.04:
        return Ground.SHOPS
    return Ground.FLATS if noise > 0.85 else Ground.HOUSES


def _settle(blocks: list[Block], landmark: _Landmark) -> None:
    """Give the nearest free block (for a park: all blocks around) to a landmark."""
    free = [i for i, block in enumerate(blocks) if not block.landmark]
    if landmark.ground is Ground.STATION or landmark.category == "terminal":
        free = [i for i in free if blocks[i].ground is Ground.DEPOT] or free  # they lie on the railway
    distance_m = {i: math.dist(blocks[i].centre_m, landmark.at_m) for i in free}
    nearest = min(free, key=distance_m.__getitem__)
    blocks[nearest] = blocks[nearest].as_landmark(landmark.name, landmark.ground)
    if landmark.ground is Ground.PARK:
        for i in free:
            if i != nearest and distance_m[i] < _PARK_RADIUS_M:
                blocks[i] = blocks[i].as_landmark(landmark.name, landmark.ground)


def _streets(
    corners: NDArray[np.float64], blocks: list[Block], river: NDArray[np.float64], rng: np.random.Generator
) -> StreetGraph:
    """Return the streets along the blocks; park paths carry no cars, bridges only avenues."""
    owner = {(block.row, block.column): block for block in blocks}
    num = _LINES
    node_m = np.round(corners.reshape(-1, 2), 2)
    wet = _to_river_m(node_m, river) < _RIVER_HALF_WIDTH_M + 6.0
    edges: list[tuple[int, int]] = []
    speed: list[float] = []
    names: list[str] = []

    def add(a: int, b: int, *, line: int, name: str, sides: tuple[tuple[int, int], tuple[int, int]]) -> None:
        flanks = [owner[side] for side in sides if side in owner]
        avenue = line in _AVENUES
        middle = (node_m[a] + node_m[b])[None, :] / 2.0
        bridge = float(_to_river_m(middle, river)[0]) < _RIVER_HALF_WIDTH_M + 30.0
        if wet[a] or wet[b] or bridge or not flanks:
            return
        park = len(flanks) == 2 and all(block.ground is Ground.PARK for block in flanks)
        if not park and not avenue and len(flanks) == 2 and rng.random() < 0.10:
            return  # two blocks grown together
        edges.append((a, b))
        speed.append(0.0 if park else 50.0 * _KMH if avenue else 30.0 * _KMH)
        names.append(name)

    for row in range(num):
        for column in range(num):
            here = row * num + column
            if column + 1 < num:
                sides = ((row - 1, column), (row, column))
                add(here, here + 1, line=row, name=_STREETS_EAST_WEST[row], sides=sides)
            if row + 1 < num:
                sides = ((row, column - 1), (row, column))
                add(here, here + num, line=column, name=_STREETS_NORTH_SOUTH[column], sides=sides)
    for column in sorted(_AVENUES):
        _bridge(column, node_m, river, edges, speed, names)
    return largest_component(
        StreetGraph(
            node_m=node_m.astype(np.float32),
            edge=np.array(edges, dtype=np.int32),
            edge_speed_mps=np.array(speed, dtype=np.float32),
            edge_walkable=np.ones(len(edges), dtype=bool),
            edge_name=tuple(names),
        )
    )


def _bridge(
    column: int,
    node_m: NDArray[np.float64],
    river: NDArray[np.float64],
    edges: list[tuple[int, int]],
    speed: list[float],
    names: list[str],
) -> None:
    """Carry an avenue over the river, from its last crossing in the south to its first one in the north."""
    in_use = {node for edge in edges for node in edge}
    line = [row * _LINES + column for row in range(_LINES)]
    shore = np.interp(node_m[line, 0], river[:, 0], river[:, 1])
    south = [node for node, limit in zip(line, shore, strict=True) if node_m[node, 1] < limit and node in in_use]
    north = [node for node, limit in zip(line, shore, strict=True) if node_m[node, 1] > limit and node in in_use]
    if south and north and north[0] - south[-1] > _LINES:
        edges.append((south[-1], north[0]))
        speed.append(50.0 * _KMH)
        names.append(_STREETS_NORTH_SOUTH[column])


def _places(blocks: list[Block]) -> tuple[Place, ...]:
    places: list[Place] = []
    for number, landmark in enumerate(_LANDMARKS, start=1):
        centres = [block.centre_m for block in blocks if block.landmark == landmark.name]
        east = round(sum(centre[0] for centre in centres) / len(centres), 2)
        north = round(sum(centre[1] for centre in centres) / len(centres), 2)
        places.append(
            Place(
                id=f"place-{number}",
                name=landmark.name,
                category=landmark.category,
                position_m=(east, north, 0.0),
                aliases=landmark.aliases,
            )
        )
    return tuple(places)


def _raster(blocks: list[Block]) -> LandUseGrid:
    """Return the land use of each 25 m square: that of the nearest block, housing beyond the rim."""
    count = int(2 * _EXTENT_HALF_M / _RASTER_M)
    axis = -_EXTENT_HALF_M + (np.arange(count) + 0.5) * _RASTER_M
    centre_m = np.array([block.centre_m for block in blocks])
    uses = tuple(LandUse)
    use = np.array([uses.index(block.ground.land_use) for block in blocks], dtype=np.uint8)
    east, north = np.meshgrid(axis, axis)
    code = np.full(east.shape, uses.index(LandUse.RESIDENTIAL), dtype=np.uint8)
    for row in range(count):
        distance_m = np.hypot(east[row][:, None] - centre_m[:, 0], north[row][:, None] - centre_m[:, 1])
        nearest = distance_m.argmin(axis=1)
        code[row] = np.where(distance_m.min(axis=1) < _BLOCK_REACH_M, use[nearest], code[row])
    return LandUseGrid(west_m=-_EXTENT_HALF_M, south_m=-_EXTENT_HALF_M, cell_m=_RASTER_M, code=code)
