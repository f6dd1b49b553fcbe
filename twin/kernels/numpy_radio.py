"""What listeners hear of cells, in plain numpy: the reference of :mod:`twin.kernels.numba_radio`.

For each listener and *way* (a mast on one carrier): distance, loss, line of sight, shadowing, building entry. For
each listener and cell on top of it: antenna pattern, received power, RSRP. All by look-up in the tables of
:mod:`twin.radio.tables` and the maps of :mod:`twin.radio.correlated`. The named tuples hold arrays only, so that the
compiled kernel takes the same ones.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BIN_SHIFT, FIRST_BIN = 18, 127 << 5
"""Of squared distances, see :mod:`twin.radio.tables`."""
LOS_SOFTNESS = 0.2
"""Width of the change from LOS to NLOS in units of the normal field, so that no corner cuts the signal in one step. The
ramp is as steep as the arc tangent of TR 38.901 section 7.6.3.3: pi / sqrt(20 m / wavelength), here at 3.5 GHz."""
SOFT_HEIGHT_M = 3.0
"""Width of the same change for a user behind a roof edge: about the first Fresnel zone at 3.5 GHz and 300 m."""
CLEAR_STEP_M = 0.5
"""Unit of heights in :attr:`Air.seen`."""
SILENCE_DBM = -300.0
_LOG2_PER_DB = np.float32(math.log2(10.0) / 10.0)
_CHUNK = 512


class Listeners(NamedTuple):
    """Who listens, ``n`` of them.

    Attributes:
        place_m: ``[n, 2] float32`` east, north.
        height_m: ``[n] float32`` above ground.
        level: ``[n] int32`` storey as row of the loss tables.
        wall: ``[n] int32`` 0 outdoors, 1 behind a wall of low loss, 2 of high loss.
        depth_db: ``[n] float32`` way from the outer wall and spread of the entry loss; not on ways from a mast inside.
        loss_db: ``[n] float32`` of obstacles around the listener.
        mapped_db: ``[n, P] float32`` path gain of each way from a radio map, NaN = none; ``[n, 0]`` without a map.
    """

    place_m: NDArray[np.float32]
    height_m: NDArray[np.float32]
    level: NDArray[np.int32]
    wall: NDArray[np.int32]
    depth_db: NDArray[np.float32]
    loss_db: NDArray[np.float32]
    mapped_db: NDArray[np.float32]


class Air(NamedTuple):
    """What lies between, fixed; ``E`` environments, ``S`` the edge of a map (a power of two).

    Attributes:
        corner_m: ``[2] float32`` where the maps begin.
        sight: ``[E, S, S] float32`` normal field of line of sight.
        shadow: ``[E, S, S, 2] float32`` normal fields of shadowing, LOS and NLOS.
        per_m: ``[E, 3] float32`` grid points per metre of sight, of shadow, of shadow for users indoors.
        alike: ``[E, 3, 2] float32`` correlation of neighbours of sight, shadow LOS, shadow NLOS.
        sigma_db: ``[E, 3] float32`` of shadowing LOS, NLOS, indoors.
        images_m: ``[W, 2] float32`` where copies of the masts stand, the first one being (0, 0).
        raster: ``[3] float32`` corner and squares per metre of the raster below.
        seen: ``[Y, X, 2 * masts] uint8``, for each mast line of sight to 1.5 m over the street, 0 none to 255 full,
            then the half metres over ground from where on it is in sight; Y = 0 without a city.
    """

    corner_m: NDArray[np.float32]
    sight: NDArray[np.float32]
    shadow: NDArray[np.float32]
    per_m: NDArray[np.float32]
    alike: NDArray[np.float32]
    sigma_db: NDArray[np.float32]
    images_m: NDArray[np.float32]
    raster: NDArray[np.float32]
    seen: NDArray[np.uint8]


class Ways(NamedTuple):
    """Masts on one carrier each, ``P`` of them.

    Attributes:
        mast_m: ``[P, 3] float32`` east, north, height of the antenna above ground.
        mast: ``[P] int32`` raster of the mast, used where there are any.
        environment: ``[P] int32``.
        offset: ``[P, 2] int32`` where the mast reads the maps, in grid points.
        table: ``[P] int32`` row of `loss_db`.
        indoors: ``[P] bool``, the mast stands in the building of those who listen indoors: footprints tell nothing.
        wall_db: ``[P, 3] float32`` entry loss by :attr:`Listeners.wall`.
        loss_db: ``[L, levels, bins + 1, 4] float32`` of :func:`twin.radio.tables.loss_table`.
        layer: ``[P] int64`` of the baked radio map, -1 = none; for the landscape, not for the kernels.
    """

    mast_m: NDArray[np.float32]
    mast: NDArray[np.int32]
    environment: NDArray[np.int32]
    offset: NDArray[np.int32]
    table: NDArray[np.int32]
    indoors: NDArray[np.bool_]
    wall_db: NDArray[np.float32]
    loss_db: NDArray[np.float32]
    layer: NDArray[np.int64]


class Beams(NamedTuple):
    """Cells, ``C`` of them.

    Attributes:
        way: ``[C] int32``.
        peak_dbi: ``[C] float32`` of one element.
        array_db: ``[C, bins + 1] float32`` by sine of the angle below the horizon.
        horizontal_db: ``[C, bins + 1] float32`` loss by diamond angle.
        vertical_db: ``[bins + 1] float32`` loss of an element by sine of the angle below the horizon.
        power_dbm: ``[C] float32``; far below all hearing for cells that are off the air.
        offset_db: ``[C] float32`` from carrier power to one resource element.
    """

    way: NDArray[np.int32]
    peak_dbi: NDArray[np.float32]
    array_db: NDArray[np.float32]
    horizontal_db: NDArray[np.float32]
    vertical_db: NDArray[np.float32]
    power_dbm: NDArray[np.float32]
    offset_db: NDArray[np.float32]


def hear(
    listeners: Listeners,
    air: Air,
    ways: Ways,
    beams: Beams,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    gain_db: NDArray[np.float32],
    received_mw: NDArray[np.float32],
    rsrp_dbm: NDArray[np.float32],
) -> None:
    """Write what each listener hears of some cells.

    Args:
        listeners: ``n`` listeners.
        air: Maps.
        ways: Masts.
        beams: All cells.
        rows: ``[n] int64`` row of each listener in the results.
        columns: ``[k] int64`` cells to compute, no two alike.
        gain_db: ``[N, C] float32``, written.
        received_mw: ``[N, C] float32`` at full load, written.
        rsrp_dbm: ``[N, C] float32``, written.
    """
    used, of_column = np.unique(beams.way[columns], return_inverse=True)
    for first in range(0, len(rows), _CHUNK):
        part = slice(first, first + _CHUNK)
        some = _part(listeners, part)
        path_db, down, way_round = _paths(some, air, ways, used)
        gain_db[np.ix_(rows[part], columns)] = path_db[:, of_column] + _pattern_db(
            down, way_round, of_column, beams, columns
        )
    radiate(beams, rows, columns, gain_db, received_mw, rsrp_dbm)


def _part(listeners: Listeners, part: slice) -> Listeners:
    return Listeners(
        place_m=listeners.place_m[part],
        height_m=listeners.height_m[part],
        level=listeners.level[part],
        wall=listeners.wall[part],
        depth_db=listeners.depth_db[part],
        loss_db=listeners.loss_db[part],
        mapped_db=listeners.mapped_db[part],
    )


def radiate(
    beams: Beams,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    gain_db: NDArray[np.float32],
    received_mw: NDArray[np.float32],
    rsrp_dbm: NDArray[np.float32],
) -> None:
    """Write power and RSRP from gain alone, to the same bits as :func:`hear` does; arguments as there."""
    for first in range(0, len(rows), _CHUNK):
        cross = np.ix_(rows[first : first + _CHUNK], columns)
        level = gain_db[cross] + beams.power_dbm[columns]
        received_mw[cross] = np.exp2(np.maximum(level * _LOG2_PER_DB, np.float32(-200.0)))
        rsrp_dbm[cross] = np.maximum(level - beams.offset_db[columns], np.float32(SILENCE_DBM))


def _paths(
    some: Listeners, air: Air, ways: Ways, used: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return gain, sine of the angle below the horizon and diamond angle, each ``[n, len(used)] float32``."""
    mast_m = ways.mast_m[used]
    east, north, square = _nearest(some.place_m, mast_m, air.images_m)
    rise = mast_m[:, 2] - some.height_m[:, None]
    down = rise / np.sqrt(np.maximum(square + rise * rise, np.float32(1e-6)))
    around = np.abs(east) + np.abs(north)
    slope = north / np.maximum(around, np.float32(1e-6))
    way_round = np.where(east >= 0, np.float32(1.0) - slope, np.float32(3.0) + slope)
    bits = np.maximum(square, np.float32(1.0)).view(np.int32)
    low = np.minimum((bits >> BIN_SHIFT) - FIRST_BIN, ways.loss_db.shape[2] - 2)
    rest = (bits & ((1 << BIN_SHIFT) - 1)).astype(np.float32) * np.float32(1.0 / (1 << BIN_SHIFT))
    table, level = ways.table[used][None], some.level[:, None]
    below = ways.loss_db[table, level, low]
    mixed = below + rest[..., None] * (ways.loss_db[table, level, low + 1] - below)
    los, nlos, open_bound, walled_bound = np.moveaxis(mixed, -1, 0)
    walled = (some.wall[:, None] > 0) & ~ways.indoors[used]
    sight = _sight(some, air, ways, used, np.where(walled, walled_bound, open_bound))
    shadow_los, shadow_nlos = _shadow_db(some, air, ways, used)
    hidden = nlos + shadow_nlos
    gain = -(hidden + sight * (los + shadow_los - hidden))
    if some.mapped_db.shape[1]:
        mapped = some.mapped_db[:, used]
        gain = np.where(np.isnan(mapped), gain, mapped)
    deep = walled | (some.wall[:, None] == 0)
    gain -= ways.wall_db[used][:, some.wall].T + (some.loss_db[:, None] + deep * some.depth_db[:, None])
    return gain, down.astype(np.float32), way_round.astype(np.float32)


def _nearest(
    place_m: NDArray[np.float32], mast_m: NDArray[np.float32], images_m: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return offset east and north from the nearest image of each mast, and its square."""
    east, north = (place_m[:, None, axis] - mast_m[None, :, axis] for axis in (0, 1))
    square = east * east + north * north
    plain_east, plain_north = east, north
    for image in images_m[1:]:
        other_east, other_north = plain_east - image[0], plain_north - image[1]
        other = other_east * other_east + other_north * other_north
        nearer = other < square
        east, north = np.where(nearer, other_east, east), np.where(nearer, other_north, north)
        square = np.where(nearer, other, square)
    return east.astype(np.float32), north.astype(np.float32), square.astype(np.float32)


def _corners(
    place_m: NDArray[np.float32], per_m: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Return grid column, row and the weights of the four corners ``[4, n]`` of a look-up."""
    scaled = place_m * per_m[:, None]
    whole = np.floor(scaled)
    fx, fy = (scaled - whole).T
    gx, gy = np.float32(1.0) - fx, np.float32(1.0) - fy
    x, y = whole.astype(np.int32).T
    return x, y, np.stack([gx * gy, fx * gy, gx * fy, fx * fy])


def _spread(weight: NDArray[np.float32], alike: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the standard deviation of a mix of correlated corners, ``[n]``."""
    a, b, c, d = weight
    side, across = a * b + c * d + a * c + b * d, a * d + b * c
    return np.sqrt(a * a + b * b + c * c + d * d + np.float32(2.0) * (alike[0] * side + alike[1] * across))


def look_up(
    grid: NDArray[np.float32],
    x: NDArray[np.int32],
    y: NDArray[np.int32],
    weight: NDArray[np.float32],
    offset: NDArray[np.int32],
) -> NDArray[np.float32]:
    """Return a periodic map ``[S, S]`` read by several masts at their offsets ``[m, 2]``, ``[n, m] float32``."""
    mask = len(grid) - 1
    x0, y0 = (x[:, None] + offset[:, 0]) & mask, (y[:, None] + offset[:, 1]) & mask
    x1, y1 = (x0 + 1) & mask, (y0 + 1) & mask
    a, b, c, d = weight[..., None]
    return a * grid[y0, x0] + b * grid[y0, x1] + c * grid[y1, x0] + d * grid[y1, x1]


def _by_environment(ways: Ways, used: NDArray[np.int32]) -> list[tuple[int, NDArray[np.int64], NDArray[np.int32]]]:
    environment = ways.environment[used]
    return [
        (int(number), np.flatnonzero(environment == number), ways.offset[used[environment == number]])
        for number in np.unique(environment)
    ]


def _sight(
    some: Listeners, air: Air, ways: Ways, used: NDArray[np.int32], bound: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return line of sight 0..1: by the footprints where there is a city, by chance elsewhere."""
    if not len(air.seen):
        return _field_sight(some, air, ways, used, bound)
    known = _on_raster(some, air)[:, None] & ~ways.indoors[used]
    seen = _seen(some, air, ways.mast[used])
    return seen if known.all() else np.where(known, seen, _field_sight(some, air, ways, used, bound))


def _field_sight(
    some: Listeners, air: Air, ways: Ways, used: NDArray[np.int32], bound: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return line of sight 0..1: there where the correlated field lies below its bound."""
    place_m = some.place_m - air.corner_m
    field = np.empty_like(bound)
    for number, columns, offset in _by_environment(ways, used):
        x, y, weight = _corners(place_m, np.broadcast_to(air.per_m[number, 0], len(place_m)))
        field[:, columns] = look_up(air.sight[number], x, y, weight / _spread(weight, air.alike[number, 0]), offset)
    return np.clip((bound - field) * np.float32(1.0 / LOS_SOFTNESS) + np.float32(0.5), 0.0, 1.0).astype(np.float32)


def _shadow_db(
    some: Listeners, air: Air, ways: Ways, used: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return shadowing with and without line of sight; behind an outer wall both are the same."""
    place_m, indoor = some.place_m - air.corner_m, some.wall > 0
    los, nlos = np.empty((2, len(place_m), len(used)), dtype=np.float32)
    for number, columns, offset in _by_environment(ways, used):
        x, y, weight = _corners(place_m, np.where(indoor, air.per_m[number, 2], air.per_m[number, 1]))
        sigma = air.sigma_db[number]
        spread_los, spread_nlos = (_spread(weight, air.alike[number, kind]) for kind in (1, 2))
        seen = look_up(air.shadow[number, :, :, 0], x, y, weight * (sigma[0] / spread_los), offset)
        scale = np.where(indoor, sigma[2], sigma[1]) / spread_nlos
        hidden = look_up(air.shadow[number, :, :, 1], x, y, weight * scale, offset)
        los[:, columns] = np.where(indoor[:, None] & ~ways.indoors[used[columns]], hidden, seen)
        nlos[:, columns] = hidden
    return los, nlos


def _on_raster(some: Listeners, air: Air) -> NDArray[np.bool_]:
    scaled = _raster_place(some, air)
    height, width = air.seen.shape[:2]
    return (scaled >= 0).all(axis=1) & (scaled[:, 0] < width - 1) & (scaled[:, 1] < height - 1)


def _raster_place(some: Listeners, air: Air) -> NDArray[np.float32]:
    return (some.place_m - air.raster[:2]) * air.raster[2] - np.float32(0.5)


def _seen(some: Listeners, air: Air, mast: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return line of sight 0..1 by the footprints; nonsense off the raster."""
    scaled = _raster_place(some, air)
    height, width = air.seen.shape[:2]
    whole = np.clip(np.floor(scaled), 0, [width - 2, height - 2]).astype(np.float32)
    x, y = whole.astype(np.int32).T[:, :, None]
    fx, fy = (scaled - whole).T[:, :, None]
    seen, street = air.seen, 2 * mast
    low = seen[y, x, street] * (1 - fx) + seen[y, x + 1, street] * fx
    high = seen[y + 1, x, street] * (1 - fx) + seen[y + 1, x + 1, street] * fx
    open_sight = (low * (1 - fy) + high * fy) * np.float32(1.0 / 255.0)
    near_x, near_y = x + (fx >= 0.5), y + (fy >= 0.5)
    need_m = seen[near_y, near_x, street + 1] * np.float32(CLEAR_STEP_M)
    walled = np.clip((some.height_m[:, None] - need_m) * np.float32(1.0 / SOFT_HEIGHT_M) + np.float32(0.5), 0.0, 1.0)
    return np.where(some.wall[:, None] > 0, walled, open_sight).astype(np.float32)


def _pattern_db(
    down: NDArray[np.float32],
    way_round: NDArray[np.float32],
    of_column: NDArray[np.int64],
    beams: Beams,
    columns: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the antenna gain of each cell, ``[n, k] float32``."""
    bins = len(beams.vertical_db) - 1
    up_low, up_rest = _bin((down + np.float32(1.0)) * np.float32(bins / 2), bins)
    round_low, round_rest = _bin(way_round * np.float32(bins / 4), bins)
    vertical = beams.vertical_db[up_low] + up_rest * (beams.vertical_db[up_low + 1] - beams.vertical_db[up_low])
    up_low, round_low = up_low[:, of_column], round_low[:, of_column]
    up_rest, round_rest, vertical = up_rest[:, of_column], round_rest[:, of_column], vertical[:, of_column]
    steered, turned = beams.array_db[columns, up_low], beams.horizontal_db[columns, round_low]
    steered = steered + up_rest * (beams.array_db[columns, up_low + 1] - steered)
    turned = turned + round_rest * (beams.horizontal_db[columns, round_low + 1] - turned)
    gain = beams.peak_dbi[columns] - np.minimum(vertical + turned, np.float32(30.0)) + steered
    return gain.astype(np.float32)


def _bin(slot: NDArray[np.float32], bins: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    low = np.clip(slot.astype(np.int32), 0, bins - 1)
    return low, slot - low.astype(np.float32)
