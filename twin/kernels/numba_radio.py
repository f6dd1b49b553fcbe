"""What listeners hear of cells, compiled: one thread, one listener after the other, tables in the cache.

The same figures as :mod:`twin.kernels.numpy_radio` up to rounding (0.01 dB); the arguments are described there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from twin.kernels import numpy_radio as plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHIFT, _FIRST = plain.BIN_SHIFT, plain.FIRST_BIN
_MANTISSA = (1 << plain.BIN_SHIFT) - 1
_PER_MANTISSA = np.float32(1.0 / (1 << plain.BIN_SHIFT))
_PER_SOFTNESS = np.float32(1.0 / plain.LOS_SOFTNESS)
_PER_SOFT_M = np.float32(1.0 / plain.SOFT_HEIGHT_M)
_CLEAR_M = np.float32(plain.CLEAR_STEP_M)
_SILENCE = np.float32(plain.SILENCE_DBM)
_LOG2_PER_DB = np.float32(math.log2(10.0) / 10.0)
_ZERO, _HALF, _ONE, _TWO, _THREE = (np.float32(x) for x in (0.0, 0.5, 1.0, 2.0, 3.0))
_NEXT = np.uint64(1)
_OPEN, _WALLED = np.uint64(2), np.uint64(3)
"""Columns of a loss table with the bounds of sight for users outdoors and indoors."""
_TINY = np.float32(1e-6)
_DEEPEST = np.float32(30.0)
_LEAST = np.float32(-126.0)
_PER_255 = np.float32(1.0 / 255.0)
# 2^f for f in 0..1 to 2e-7 (least squares on Chebyshev points).
_E = tuple(
    np.float32(c)
    for c in np.polynomial.chebyshev.Chebyshev.interpolate(np.exp2, 6, domain=[0.0, 1.0])
    .convert(kind=np.polynomial.Polynomial)
    .coef
)
_E0, _E1, _E2, _E3, _E4, _E5, _E6 = _E


_BLOCK = 128
"""Listeners per round: what is kept for them between the loops stays in the first caches."""


@njit(cache=True, nogil=True, error_model="numpy")
def _corners(
    place_m: NDArray[np.float32],
    corner_m: NDArray[np.float32],
    per_m: NDArray[np.float32],
    first: int,
    count: int,
    column: NDArray[np.int32],
    line: NDArray[np.int32],
    weight: NDArray[np.float32],
) -> None:
    """Write grid column, row and the weights of the four corners of a look-up."""
    for r in range(count):
        sx = (place_m[first + r, 0] - corner_m[0]) * per_m[r]
        sy = (place_m[first + r, 1] - corner_m[1]) * per_m[r]
        wx, wy = np.floor(sx), np.floor(sy)
        tx, ty = sx - wx, sy - wy
        column[r], line[r] = np.int32(wx), np.int32(wy)
        weight[0, r], weight[1, r] = (_ONE - tx) * (_ONE - ty), tx * (_ONE - ty)
        weight[2, r], weight[3, r] = (_ONE - tx) * ty, tx * ty


@njit(cache=True, nogil=True, error_model="numpy")
def _scale(
    weight: NDArray[np.float32],
    alike: NDArray[np.float32],
    sigma: NDArray[np.float32],
    count: int,
    scaled: NDArray[np.float32],
) -> None:
    """Write weights for a mix of correlated corners to have this standard deviation."""
    side, across = alike[0], alike[1]
    for r in range(count):
        a, b, c, d = weight[0, r], weight[1, r], weight[2, r], weight[3, r]
        mixed = a * a + b * b + c * c + d * d
        mixed += _TWO * (side * (a * b + c * d + a * c + b * d) + across * (a * d + b * c))
        factor = sigma[r] / math.sqrt(mixed)
        scaled[0, r], scaled[1, r], scaled[2, r], scaled[3, r] = a * factor, b * factor, c * factor, d * factor


@njit(cache=True, nogil=True, error_model="numpy")
def _offsets(
    place_m: NDArray[np.float32],
    first: int,
    count: int,
    mast_m: NDArray[np.float32],
    images_m: NDArray[np.float32],
    east: NDArray[np.float32],
    north: NDArray[np.float32],
) -> None:
    """Write the way from the nearest image of a mast."""
    mast_east, mast_north = mast_m[0], mast_m[1]
    for r in range(count):
        east[r], north[r] = place_m[first + r, 0] - mast_east, place_m[first + r, 1] - mast_north
    if len(images_m) == 1:
        return
    for r in range(count):
        plain_east, plain_north = east[r], north[r]
        nearest = plain_east * plain_east + plain_north * plain_north
        for image in range(1, len(images_m)):
            other_east, other_north = plain_east - images_m[image, 0], plain_north - images_m[image, 1]
            other = other_east * other_east + other_north * other_north
            if other < nearest:
                east[r], north[r], nearest = other_east, other_north, other


@njit(cache=True, nogil=True, error_model="numpy")
def _angles(
    east: NDArray[np.float32],
    north: NDArray[np.float32],
    height_m: NDArray[np.float32],
    first: int,
    count: int,
    mast_height: np.float32,
    square: NDArray[np.float32],
    down: NDArray[np.float32],
    around: NDArray[np.float32],
) -> None:
    """Write squared ground distance, sine of the angle below the horizon and diamond angle."""
    for r in range(count):
        flat = east[r] * east[r] + north[r] * north[r]
        rise = mast_height - height_m[first + r]
        slope = north[r] / max(abs(east[r]) + abs(north[r]), _TINY)
        square[r] = max(flat, _ONE)
        down[r] = rise / math.sqrt(max(flat + rise * rise, _TINY))
        around[r] = _ONE - slope if east[r] >= _ZERO else _THREE + slope


@njit(cache=True, nogil=True, error_model="numpy")
def _by_chance(
    spot: NDArray[np.int32],
    ox: np.int32,
    oy: np.int32,
    mask: np.int32,
    weight: NDArray[np.float32],
    grid: NDArray[np.float32],
    count: int,
    sight: NDArray[np.float32],
) -> None:
    """Turn the bound of the field below which there is line of sight into line of sight 0..1."""
    # Unsigned indices spare the check for negative ones.
    edge = np.uint64(mask + 1)
    for r in range(count):
        x0, x1 = np.uint64((spot[0, r] + ox) & mask), np.uint64((spot[0, r] + ox + 1) & mask)
        y0, y1 = np.uint64((spot[1, r] + oy) & mask) * edge, np.uint64((spot[1, r] + oy + 1) & mask) * edge
        normal = (
            weight[0, r] * grid[y0 + x0]
            + weight[1, r] * grid[y0 + x1]
            + weight[2, r] * grid[y1 + x0]
            + weight[3, r] * grid[y1 + x1]
        )
        sight[r] = min(max((sight[r] - normal) * _PER_SOFTNESS + _HALF, _ZERO), _ONE)


@njit(cache=True, nogil=True, error_model="numpy")
def _by_footprints(
    seen: NDArray[np.uint8],
    lowest: np.int32,
    highest: np.int32,
    listeners: plain.Listeners,
    first: int,
    count: int,
    raster_x: NDArray[np.float32],
    raster_y: NDArray[np.float32],
    on_raster: NDArray[np.bool_],
    sights: NDArray[np.float32],
) -> None:
    """Write line of sight 0..1 to masts `lowest` to `highest` of those on the raster of a city.

    All masts of one listener in a row: they lie together in memory.
    """
    for r in range(count):
        if not on_raster[r]:
            continue
        x, y = np.int32(raster_x[r]), np.int32(raster_y[r])
        fx, fy = raster_x[r] - np.float32(x), raster_y[r] - np.float32(y)
        if listeners.wall[first + r] > 0:
            near = seen[y + np.int32(fy >= _HALF), x + np.int32(fx >= _HALF)]
            height_m = listeners.height_m[first + r]
            for mast in range(lowest, highest + 1):
                over_m = height_m - np.float32(near[2 * mast + 1]) * _CLEAR_M
                sights[mast - lowest, r] = min(max(over_m * _PER_SOFT_M + _HALF, _ZERO), _ONE)
        else:
            a, b, c, d = seen[y, x], seen[y, x + 1], seen[y + 1, x], seen[y + 1, x + 1]
            wa, wb = (_ONE - fx) * (_ONE - fy) * _PER_255, fx * (_ONE - fy) * _PER_255
            wc, wd = (_ONE - fx) * fy * _PER_255, fx * fy * _PER_255
            for mast in range(lowest, highest + 1):
                m = 2 * mast
                west = wa * np.float32(a[m]) + wc * np.float32(c[m])
                sights[mast - lowest, r] = west + (wb * np.float32(b[m]) + wd * np.float32(d[m]))


@njit(cache=True, nogil=True, error_model="numpy")
def _radiate(
    heard: NDArray[np.float32],
    power_dbm: NDArray[np.float32],
    offset_db: NDArray[np.float32],
    row: int,
    columns: NDArray[np.int64],
    gain_db: NDArray[np.float32],
    received_mw: NDArray[np.float32],
    rsrp_dbm: NDArray[np.float32],
    power: NDArray[np.float32],
    power_bits: NDArray[np.int32],
    scale_bits: NDArray[np.int32],
) -> None:
    """Write gain, power and RSRP of one listener from the gains of these columns."""
    count = len(columns)
    for k in range(count):
        exponent = max((heard[k] + power_dbm[k]) * _LOG2_PER_DB, _LEAST)
        whole = np.floor(exponent)
        f = exponent - whole
        value = _E0 + f * (_E1 + f * (_E2 + f * (_E3 + f * (_E4 + f * (_E5 + f * _E6)))))
        power[k] = value if exponent > _LEAST else _ZERO
        scale_bits[k] = np.int32(whole) << np.int32(23)
    for k in range(count):
        power_bits[k] += scale_bits[k] if power_bits[k] != 0 else np.int32(0)
    if count == gain_db.shape[1]:
        # Columns are in order: all cells, the usual case, lie side by side.
        for k in range(count):
            gain_db[row, k] = heard[k]
            received_mw[row, k] = power[k]
            rsrp_dbm[row, k] = max(heard[k] + power_dbm[k] - offset_db[k], _SILENCE)
        return
    for k in range(count):
        column = columns[k]
        gain_db[row, column] = heard[k]
        received_mw[row, column] = power[k]
        rsrp_dbm[row, column] = max(heard[k] + power_dbm[k] - offset_db[k], _SILENCE)


@njit(cache=True, nogil=True, error_model="numpy")
def hear(
    listeners: plain.Listeners,
    air: plain.Air,
    ways: plain.Ways,
    beams: plain.Beams,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    gain_db: NDArray[np.float32],
    received_mw: NDArray[np.float32],
    rsrp_dbm: NDArray[np.float32],
) -> None:
    """Write what each listener hears of some cells; see :func:`twin.kernels.numpy_radio.hear`."""
    mask = np.int32(air.sight.shape[1] - 1)
    last = np.int32(ways.loss_db.shape[2] - 2)
    bins = np.int32(len(beams.vertical_db) - 1)
    half_bins, quarter_bins = np.float32(bins // 2), np.float32(bins // 4)
    last_slot = np.float32(bins) - np.float32(0.001)
    num_environments = len(air.sight)
    has_city = len(air.seen) > 0
    has_map = listeners.mapped_db.shape[1] > 0
    height, width = air.seen.shape[0], air.seen.shape[1]
    columns = np.sort(columns)
    by_way = np.argsort(beams.way[columns], kind="mergesort")
    if len(columns) == 0:
        return
    masts = ways.mast[beams.way[columns]]
    lowest, highest = masts.min(), masts.max()
    sights = np.empty((highest - lowest + 1 if has_city else 1, _BLOCK), np.float32)
    vertical_db = beams.vertical_db
    on_raster = np.zeros(_BLOCK, np.bool_)
    raster_x, raster_y = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    per_m, sigma = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    spot = np.empty((num_environments, 4, _BLOCK), np.int32)
    weight = np.empty((4, _BLOCK), np.float32)
    scaled = np.empty((num_environments, 3, 4, _BLOCK), np.float32)
    east, north = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    square, down, around = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    los, nlos, sight = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    path, vertical = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    up, up_rest = np.empty(_BLOCK, np.uint64), np.empty(_BLOCK, np.float32)
    turn, turn_rest = np.empty(_BLOCK, np.uint64), np.empty(_BLOCK, np.float32)
    square_bits = square.view(np.int32)
    heard = np.empty((_BLOCK, len(columns)), np.float32)
    power_dbm, offset_db = beams.power_dbm[columns], beams.offset_db[columns]
    power = np.empty(len(columns), np.float32)
    power_bits, scale_bits = power.view(np.int32), np.empty(len(columns), np.int32)
    for first in range(0, len(rows), _BLOCK):
        count = min(_BLOCK, len(rows) - first)
        num_off_raster = count
        if has_city:
            for r in range(count):
                px = (listeners.place_m[first + r, 0] - air.raster[0]) * air.raster[2] - _HALF
                py = (listeners.place_m[first + r, 1] - air.raster[1]) * air.raster[2] - _HALF
                on_raster[r] = px >= _ZERO and py >= _ZERO and px < width - 1 and py < height - 1
                raster_x[r], raster_y[r] = px, py
                num_off_raster -= np.int64(on_raster[r])
            _by_footprints(air.seen, lowest, highest, listeners, first, count, raster_x, raster_y, on_raster, sights)
        for e in range(num_environments):
            for r in range(count):
                per_m[r], sigma[r] = air.per_m[e, 0], _ONE
            _corners(listeners.place_m, air.corner_m, per_m, first, count, spot[e, 0], spot[e, 1], weight)
            _scale(weight, air.alike[e, 0], sigma, count, scaled[e, 0])
            for r in range(count):
                indoor = listeners.wall[first + r] > 0
                per_m[r] = air.per_m[e, 2] if indoor else air.per_m[e, 1]
                sigma[r] = air.sigma_db[e, 0]
            _corners(listeners.place_m, air.corner_m, per_m, first, count, spot[e, 2], spot[e, 3], weight)
            _scale(weight, air.alike[e, 1], sigma, count, scaled[e, 1])
            for r in range(count):
                sigma[r] = air.sigma_db[e, 2] if listeners.wall[first + r] > 0 else air.sigma_db[e, 1]
            _scale(weight, air.alike[e, 2], sigma, count, scaled[e, 2])
        done = np.int32(-1)
        for place in by_way:
            column = columns[place]
            p = beams.way[column]
            if p != done:
                done = p
                mast_m = ways.mast_m[p]
                _offsets(listeners.place_m, first, count, mast_m, air.images_m, east, north)
                _angles(east, north, listeners.height_m, first, count, mast_m[2], square, down, around)
                for r in range(count):
                    down_slot = min((down[r] + _ONE) * half_bins, last_slot)
                    around_slot = min(around[r] * quarter_bins, last_slot)
                    below, before = np.int32(down_slot), np.int32(around_slot)
                    up[r], up_rest[r] = below, down_slot - np.float32(below)
                    turn[r], turn_rest[r] = before, around_slot - np.float32(before)
                for r in range(count):
                    low = up[r]
                    vertical[r] = vertical_db[low] + up_rest[r] * (vertical_db[low + _NEXT] - vertical_db[low])
                e = ways.environment[p]
                ox: Any = ways.offset[p, 0]
                oy: Any = ways.offset[p, 1]
                tables, wall_db, indoors = ways.loss_db[ways.table[p]], ways.wall_db[p], ways.indoors[p]
                for r in range(count):
                    table = tables[listeners.level[first + r]]
                    low = np.uint64(min((square_bits[r] >> _SHIFT) - _FIRST, last))
                    rest = np.float32(square_bits[r] & _MANTISSA) * _PER_MANTISSA
                    los[r] = table[low, 0] + rest * (table[low + _NEXT, 0] - table[low, 0])
                    nlos[r] = table[low, 1] + rest * (table[low + _NEXT, 1] - table[low, 1])
                    bound = _WALLED if listeners.wall[first + r] > 0 and not indoors else _OPEN
                    sight[r] = table[low, bound] + rest * (table[low + _NEXT, bound] - table[low, bound])
                if num_off_raster > 0 or indoors:
                    _by_chance(spot[e], ox, oy, mask, scaled[e, 0], air.sight[e].ravel(), count, sight)
                if has_city and not indoors:
                    known = sights[ways.mast[p] - lowest]
                    for r in range(count):
                        sight[r] = known[r] if on_raster[r] else sight[r]
                shade, los_weight, nlos_weight = air.shadow[e].ravel(), scaled[e, 1], scaled[e, 2]
                edge = np.uint64(2 * (mask + 1))
                for r in range(count):
                    x0 = np.uint64(2 * ((spot[e, 2, r] + ox) & mask))
                    x1 = np.uint64(2 * ((spot[e, 2, r] + ox + 1) & mask))
                    y0 = np.uint64((spot[e, 3, r] + oy) & mask) * edge
                    y1 = np.uint64((spot[e, 3, r] + oy + 1) & mask) * edge
                    seen = (
                        los_weight[0, r] * shade[y0 + x0]
                        + los_weight[1, r] * shade[y0 + x1]
                        + los_weight[2, r] * shade[y1 + x0]
                        + los_weight[3, r] * shade[y1 + x1]
                    )
                    hidden = (
                        nlos_weight[0, r] * shade[y0 + x0 + _NEXT]
                        + nlos_weight[1, r] * shade[y0 + x1 + _NEXT]
                        + nlos_weight[2, r] * shade[y1 + x0 + _NEXT]
                        + nlos_weight[3, r] * shade[y1 + x1 + _NEXT]
                    )
                    wall = listeners.wall[first + r]
                    inside = wall > 0 and indoors
                    seen = hidden if wall > 0 and not inside else seen
                    hidden += nlos[r]
                    depth_db = _ZERO if inside else listeners.depth_db[first + r]
                    own_db = wall_db[wall] + (listeners.loss_db[first + r] + depth_db)
                    path[r] = -(hidden + sight[r] * (los[r] + seen - hidden) + own_db)
                if has_map:
                    for r in range(count):
                        mapped = listeners.mapped_db[first + r, p]
                        if not math.isnan(mapped):
                            wall = listeners.wall[first + r]
                            depth_db = _ZERO if wall > 0 and indoors else listeners.depth_db[first + r]
                            path[r] = mapped - (wall_db[wall] + (listeners.loss_db[first + r] + depth_db))
            array_db, horizontal_db = beams.array_db[column], beams.horizontal_db[column]
            peak_dbi = beams.peak_dbi[column]
            for r in range(count):
                low = up[r]
                steered = array_db[low] + up_rest[r] * (array_db[low + _NEXT] - array_db[low])
                low = turn[r]
                turned = horizontal_db[low] + turn_rest[r] * (horizontal_db[low + _NEXT] - horizontal_db[low])
                heard[r, place] = path[r] + (peak_dbi - min(vertical[r] + turned, _DEEPEST) + steered)
        for r in range(count):
            _radiate(
                heard[r], power_dbm, offset_db, rows[first + r], columns, gain_db, received_mw, rsrp_dbm, power,
                power_bits, scale_bits,
            )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def radiate(
    beams: plain.Beams,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    gain_db: NDArray[np.float32],
    received_mw: NDArray[np.float32],
    rsrp_dbm: NDArray[np.float32],
) -> None:
    """Write power and RSRP from gain alone; see :func:`twin.kernels.numpy_radio.radiate`."""
    columns = np.sort(columns)
    power_dbm, offset_db = beams.power_dbm[columns], beams.offset_db[columns]
    heard, power = np.empty(len(columns), np.float32), np.empty(len(columns), np.float32)
    power_bits, scale_bits = power.view(np.int32), np.empty(len(columns), np.int32)
    for row in rows:
        for k in range(len(columns)):
            heard[k] = gain_db[row, columns[k]]
        _radiate(
            heard, power_dbm, offset_db, row, columns, gain_db, received_mw, rsrp_dbm, power, power_bits, scale_bits
        )


def warm() -> None:
    """Compile for the types that the twin uses."""
    none = np.zeros((1, 2), np.float32)
    one, number = np.zeros(1, np.float32), np.zeros(1, np.int32)
    table = np.zeros((1, 3), np.float32)
    listeners = plain.Listeners(none, one, number, number, one, one, np.zeros((1, 0), np.float32))
    seen = np.zeros((0, 1, 2), np.uint8)
    seen.flags.writeable = False
    air = plain.Air(
        corner_m=np.zeros(2, np.float32),
        sight=np.zeros((1, 2, 2), np.float32),
        shadow=np.zeros((1, 2, 2, 2), np.float32),
        per_m=table,
        alike=np.ones((1, 3, 2), np.float32),
        sigma_db=table,
        images_m=none,
        raster=np.zeros(3, np.float32),
        seen=seen,
    )
    ways = plain.Ways(
        table,
        number,
        number,
        number[None].repeat(2, axis=1),
        number,
        np.zeros(1, np.bool_),
        table,
        np.zeros((1, 1, 2, 4), "f4"),
        np.zeros(1, np.int64),
    )
    beams = plain.Beams(number, one, table, table, one.repeat(3), one, one)
    row = np.zeros(1, np.int64)
    results = [np.zeros((1, 1), np.float32) for _ in range(3)]
    hear(listeners, air, ways, beams, row, row, *results)
    radiate(beams, row, row, *results)
