"""What the buildings of a city hide: footprints on a grid, and from where each mast is in sight.

The city counts as blocks that stand on flat ground (2.5-D). From each mast rays run outwards over the grid; on each
ray the highest roof edge so far, seen from the antenna, says how far above ground one must be to see the antenna over
it. Two rasters keep the answer for every square: line of sight to somebody on the street, fading out over
:data:`CORNER_M` beyond a corner, and the height from which on the mast is in sight, for floors of buildings. The
building under a mast does not hide it (antennas stand at the edge of the roof), nor does the building that a listener
is in (TR 38.901 takes the wall into account as building entry loss).
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from twin.kernels.numpy_radio import CLEAR_STEP_M
from twin.radio.tables import STOREY_M, USER_HEIGHT_M

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.entities import Building

GRID_M = 2.0
"""Footprints are looked up on a grid this fine: half a wall, less than a UE's paths care for."""
MOST_CELLS = 16_000_000
"""A city so large that its grid would have more squares gets coarser ones."""
SIGHT_M = 4.0
"""Edge of a square of the rasters: narrower than a street."""
MOST_SIGHT_BYTES = 256_000_000
"""Both rasters of all masts together; a network so large that they would take more gets coarser squares."""
CORNER_M = 30.0
"""Beyond a corner the signal falls with the logarithm of the way for so long (d_corner of ITU-R P.1411-10,
street canyons from 2 to 38 GHz): edges that bend it and walls that scatter it carry it around."""
CLUTTER_M, CLUTTER_DB_PER_M, LOS_DB = 6.0, 0.15, 25.0
"""What maps of buildings lack: trees, vans and signs on streets up to this height. Each metre of a ray below it costs a
third of the 0.4 dB/m of foliage at 3.5 GHz (ITU-R P.833-10 figure 2), until all that line of sight is worth is gone
(UMa at 200 m, TR 38.901 table 7.4.1-1). Without it 30 % of the streets 250 m away were in full sight; measured: 9 %
(table 7.4.2-1)."""
_KEPT_CITIES = 2


class Footprints:
    """Which building stands where, looked up on a grid.

    Args:
        buildings: Whose footprints.
        extent_m: West, south, east, north of the area that the grid covers; outside of it nothing is indoors.
        step_m: Edge of a square.

    Attributes:
        step_m: Edge of a square; more than asked for where the area is large.
        owner: ``[rows, columns] int32`` number of the building over the middle of each square, -1 = none; row 0 in
            the south.
        height_m: ``[num_buildings + 1] float32``, the last one for no building: 0.
    """

    def __init__(
        self, buildings: tuple[Building, ...], extent_m: tuple[float, float, float, float], *, step_m: float = GRID_M
    ) -> None:
        west, south, east, north = extent_m
        area_m2 = max(east - west, 1.0) * max(north - south, 1.0)
        self.step_m = max(step_m, float(np.sqrt(area_m2 / MOST_CELLS)))
        self._corner_m = np.array([west, south], dtype=np.float32)
        columns = int(np.ceil(max(east - west, 1.0) / self.step_m))
        rows = int(np.ceil(max(north - south, 1.0) / self.step_m))
        self.owner = np.full((rows, columns), -1, dtype=np.int32)
        self.height_m = np.array([*(one.height_m for one in buildings), 0.0], dtype=np.float32)
        for number, building in enumerate(buildings):
            self._draw((building.footprint_m - self._corner_m) / np.float32(self.step_m), number)

    def _draw(self, ring: NDArray[np.float32], number: int) -> None:
        """Mark the squares whose middle is inside a ring (even-odd rule)."""
        rows, columns = self.owner.shape
        low = np.maximum(np.floor(ring.min(axis=0)).astype(np.int64), 0)
        high = np.minimum(np.ceil(ring.max(axis=0)).astype(np.int64), (columns, rows))
        if (high <= low).any():
            return
        x = np.arange(low[0], high[0], dtype=np.float64) + 0.5
        y = np.arange(low[1], high[1], dtype=np.float64) + 0.5
        inside = np.zeros((len(y), len(x)), dtype=bool)
        for (x0, y0), (x1, y1) in zip(
            ring.astype(np.float64), np.roll(ring, -1, axis=0).astype(np.float64), strict=True
        ):
            if y0 == y1:
                continue
            crossed = (y >= min(y0, y1)) & (y < max(y0, y1))
            at = x0 + (y[crossed] - y0) * ((x1 - x0) / (y1 - y0))
            inside[crossed] ^= x[None, :] < at[:, None]
        self.owner[low[1] : high[1], low[0] : high[0]][inside] = number

    def building_at(self, place_m: NDArray[np.float32]) -> NDArray[np.int32]:
        """Return the number of the building at each place ``[n, 2]``, -1 = none, ``[n] int32``."""
        at = np.floor((place_m - self._corner_m) / np.float32(self.step_m)).astype(np.int64)
        rows, columns = self.owner.shape
        known = (at >= 0).all(axis=1) & (at[:, 0] < columns) & (at[:, 1] < rows)
        return np.where(known, self.owner[np.where(known, at[:, 1], 0), np.where(known, at[:, 0], 0)], -1)

    def contain(self, place_m: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return for each place ``[n, 2]`` whether it is inside a building, ``[n] bool``."""
        return self.building_at(place_m) >= 0

    def storeys(self, place_m: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the floors of the building at or beside each place ``[n, 2]``, 0 = none, ``[n] int64``."""
        steps = np.array([[0, 0], *((x, y) for x in (-1, 0, 1) for y in (-1, 0, 1))], dtype=np.float32) * self.step_m
        # A home on a wall may lie a hair outside: the first square around it that has a building counts.
        found = np.full(len(place_m), -1, dtype=np.int32)
        for step in steps:
            found = np.where(found < 0, self.building_at(place_m + step), found)
        floors = np.maximum(self.height_m[found] // np.float32(STOREY_M), 1).astype(np.int64)
        return np.where(found < 0, 0, floors)


class Sight(NamedTuple):
    """From where masts are in sight; the arrays are those of :class:`twin.kernels.numpy_radio.Air`."""

    raster: NDArray[np.float32]
    seen: NDArray[np.uint8]

    def sees(
        self, place_m: NDArray[np.floating[Any]], height_m: NDArray[np.floating[Any]] | float
    ) -> NDArray[np.bool_]:
        """Return from which masts things at these places and heights are in sight, ``[num_masts, n] bool``.

        Off the raster nothing hides.

        Args:
            place_m: ``[n, 2]`` east, north.
            height_m: ``[n]`` above ground, or one for all.
        """
        at = np.floor((place_m - self.raster[:2]) * self.raster[2]).astype(np.int64)
        rows, columns = self.seen.shape[:2]
        known = (at >= 0).all(axis=1) & (at[:, 0] < columns) & (at[:, 1] < rows)
        need = self.seen[np.where(known, at[:, 1], 0), np.where(known, at[:, 0], 0), 1::2].T
        return ~known | (np.asarray(height_m) >= need * CLEAR_STEP_M)


class _City:
    """The key of the cache: two cities with the same buildings and masts are one."""

    def __init__(
        self, buildings: tuple[Building, ...], extent_m: tuple[float, float, float, float], mast_m: NDArray[np.float32]
    ) -> None:
        self.buildings, self.extent_m, self.mast_m = buildings, extent_m, mast_m
        mark = zlib.crc32(mast_m.tobytes())
        for one in buildings:
            mark = zlib.crc32(np.append(one.footprint_m.ravel(), one.height_m).tobytes(), mark)
        self._key = (mark, len(buildings), extent_m, mast_m.shape)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _City) and self._key == other._key


def footprints_of(buildings: tuple[Building, ...], extent_m: tuple[float, float, float, float]) -> Footprints:
    """Return the footprints of a city on the fine grid, kept for the next time."""
    return _footprints(_City(buildings, extent_m, np.zeros((0, 3), dtype=np.float32)))


@lru_cache(maxsize=_KEPT_CITIES)
def _footprints(city: _City) -> Footprints:
    return Footprints(city.buildings, city.extent_m)


def sight_of(
    buildings: tuple[Building, ...], extent_m: tuple[float, float, float, float], mast_m: NDArray[np.float32]
) -> Sight:
    """Return the rasters of a city, kept for the next time; without buildings they are empty.

    Args:
        buildings: What hides.
        extent_m: West, south, east, north of the rasters.
        mast_m: ``[num_masts, 3] float32`` antennas: east, north, height above ground.
    """
    if not buildings or not len(mast_m):
        none = np.zeros((0, 1, 2), dtype=np.uint8)
        none.flags.writeable = False
        return Sight(raster=np.zeros(3, dtype=np.float32), seen=none)
    return _sight(_City(buildings, extent_m, mast_m))


@lru_cache(maxsize=_KEPT_CITIES)
def _sight(city: _City) -> Sight:
    west, south, east, north = city.extent_m
    bytes_per_m2 = 2.0 * len(city.mast_m) / MOST_SIGHT_BYTES
    step_m = max(SIGHT_M, float(np.sqrt(max(east - west, 1.0) * max(north - south, 1.0) * bytes_per_m2)))
    footprints = Footprints(city.buildings, city.extent_m, step_m=step_m)
    # What one listener needs of all masts lies together.
    seen = np.empty((*footprints.owner.shape, 2 * len(city.mast_m)), dtype=np.uint8)
    for number, (mast_east, mast_north, height_m) in enumerate(city.mast_m.tolist()):
        at = ((mast_east - west) / footprints.step_m, (mast_north - south) / footprints.step_m)
        need_m = _height_in_sight_m(footprints, at, height_m)
        share = _soften(need_m <= USER_HEIGHT_M, footprints.owner < 0, footprints.step_m)
        seen[:, :, 2 * number] = np.rint(
            np.float32(255.0) * share * _past_clutter(share.shape, at, height_m, footprints.step_m)
        )
        seen[:, :, 2 * number + 1] = np.minimum(np.ceil(need_m / np.float32(CLEAR_STEP_M)), 255)
    seen.flags.writeable = False
    raster = np.array([west, south, 1.0 / footprints.step_m], dtype=np.float32)
    return Sight(raster=raster, seen=seen)


def _height_in_sight_m(footprints: Footprints, at: tuple[float, float], mast_height_m: float) -> NDArray[np.float32]:
    """Return the height over ground from where on an antenna is in sight, for every square.

    Args:
        footprints: What hides.
        at: Column and row of the mast, as fractions.
        mast_height_m: Of the antenna.
    """
    rows, columns = footprints.owner.shape
    reach = int(np.ceil(max(np.hypot(x - at[0], y - at[1]) for x in (0, columns) for y in (0, rows)))) + 1
    rays = 4 * reach  # at the far end 1.6 squares apart
    # A frame of squares without buildings takes up the samples beyond the area.
    owner = np.pad(footprints.owner, 1, constant_values=-1)
    roof_m = footprints.height_m.copy()
    inside = 0 <= at[0] < columns and 0 <= at[1] < rows
    if inside and (below := footprints.owner[int(at[1]), int(at[0])]) >= 0:
        roof_m[below] = 0.0
    angle = np.arange(rays, dtype=np.float32) * np.float32(2.0 * np.pi / rays)
    radius = np.arange(reach, dtype=np.float32) + np.float32(0.5)
    x = np.outer(np.cos(angle), radius)
    y = np.outer(np.sin(angle), radius)
    x += np.float32(at[0] + 1.0)
    y += np.float32(at[1] + 1.0)
    flat = np.clip(y, 0, rows + 1).astype(np.int32) * np.int32(columns + 2) + np.clip(x, 0, columns + 1).astype(
        np.int32
    )
    passed = owner.ravel()[flat]
    roof = roof_m[passed]
    # As a slope from the antenna: what is highest there hides most.
    slope = np.where(roof > 0, (roof - np.float32(mast_height_m)) / (radius * np.float32(footprints.step_m)), -1e3)
    horizon = np.maximum.accumulate(slope, axis=1, dtype=np.float32)
    begins = np.zeros(passed.shape, dtype=np.int16)
    begins[:, 1:] = np.where(passed[:, 1:] != passed[:, :-1], np.arange(1, reach, dtype=np.int16), 0)
    np.maximum.accumulate(begins, axis=1, out=begins)

    off_x = np.arange(columns, dtype=np.float32) + np.float32(0.5 - at[0])
    off_y = (np.arange(rows, dtype=np.float32) + np.float32(0.5 - at[1]))[:, None]
    distance = np.hypot(off_x, off_y)
    ray = np.rint(np.arctan2(off_y, off_x) * np.float32(rays / (2.0 * np.pi))).astype(np.int32) % rays
    along = distance.astype(np.int32)
    base = ray * np.int32(reach)
    seen_from = horizon.ravel()[base + along]
    walled = np.flatnonzero(footprints.owner.ravel() >= 0)
    own = base.ravel()[walled] + along.ravel()[walled]
    same = passed.ravel()[own] == footprints.owner.ravel()[walled]
    before = np.where(same, begins.ravel()[own], along.ravel()[walled]).astype(np.int32) - 1
    outside = horizon.ravel()[base.ravel()[walled] + np.maximum(before, 0)]
    seen_from.ravel()[walled] = np.where(before >= 0, outside, np.float32(-1e3))
    return np.maximum(np.float32(mast_height_m) + seen_from * distance * np.float32(footprints.step_m), 0.0)


def _soften(seen: NDArray[np.bool_], open_air: NDArray[np.bool_], step_m: float) -> NDArray[np.float32]:
    """Return how near each square is to line of sight in decibels, 0 without to 1 with.

    Where the mast is hidden, the corner loss of ITU-R P.1411 counts: it grows with log(1 + x), x metres of open ground
    from the next place in sight, up to :data:`CORNER_M`. All of it is then averaged, twice over a square and its
    outdoor neighbours: 20 m, a street from wall to wall.
    """
    lit = seen & open_air
    share = lit.astype(np.float32)
    for ring in range(1, int(np.ceil(CORNER_M / step_m))):
        wider = (_around(lit.view(np.uint8)) > 0) & open_air
        share[wider & ~lit] = 1.0 - np.log1p(ring * step_m) / np.log1p(CORNER_M)
        lit = wider
    weight = np.maximum(_around(open_air.view(np.uint8)), 1)
    for _ in range(2):
        share = _around(share) / weight * open_air
    return share.astype(np.float32)


def _past_clutter(
    shape: tuple[int, ...], at: tuple[float, float], mast_height_m: float, step_m: float
) -> NDArray[np.float32]:
    """Return what the clutter of streets leaves of line of sight to each square, 0..1.

    Masts in streets are put where nothing stands before them.
    """
    if mast_height_m <= 2.0 * CLUTTER_M:
        return np.ones(shape, dtype=np.float32)
    rows, columns = (np.arange(size, dtype=np.float32) + np.float32(0.5) for size in shape)
    way_m = np.hypot(columns - np.float32(at[0]), (rows - np.float32(at[1]))[:, None]) * np.float32(step_m)
    below_m = way_m * np.float32((CLUTTER_M - USER_HEIGHT_M) / (mast_height_m - USER_HEIGHT_M))
    return np.maximum(np.float32(1.0) - below_m * np.float32(CLUTTER_DB_PER_M / LOS_DB), np.float32(0.0))


def _around(value: NDArray[Any]) -> NDArray[Any]:
    """Return the sum over each square and the eight around it."""
    wide = np.pad(value, 1)
    rows = wide[:-2] + wide[1:-1] + wide[2:]
    return rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
