"""A picture of the air: SINR, strongest cell and RSRP on a raster at street level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.errors import OutOfRange
from twin.radio.landscape import outdoor_points
from twin.sixg.ways import contributed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from twin.kernels import Kernel
    from twin.radio.field import Contributor
    from twin.radio.landscape import Sectors
    from twin.world import World

    Quality = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]], NDArray[np.float32]]
    """SINR in dB, ``[n] float32``, from power heard at full load ``[n, C]``, place ``[n, 2]`` and cell ``[n]``."""

MAX_PIXELS = 4_000_000
_CHUNK = 8_192


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SinrMap:
    """A raster over the scenario's extent; row 0 lies in the south.

    Attributes:
        west_m: East coordinate of the left edge.
        south_m: North coordinate of the lower edge.
        cell_m: Edge of a pixel.
        sinr_db: ``[rows, cols] float32``, NaN where no cell is on the air.
        best_cell: ``[rows, cols] int32`` column in `scenario.cells` of the strongest cell.
        rsrp_dbm: ``[rows, cols] float32`` of that cell.
    """

    west_m: float
    south_m: float
    cell_m: float
    sinr_db: NDArray[np.float32]
    best_cell: NDArray[np.int32]
    rsrp_dbm: NDArray[np.float32]


def sinr_map(
    world: World,
    sectors: Sectors,
    quality_db: Quality,
    *,
    resolution_m: float,
    kernel: Kernel,
    discs: NDArray[np.float32] | None = None,
    contributors: Sequence[Contributor] = (),
) -> SinrMap:
    """Return the map.

    Args:
        world: Landscape and area.
        sectors: What the cells radiate.
        quality_db: What users hear there now, by the same rules as everybody in the network.
        resolution_m: Edge of a pixel.
        kernel: Does the arithmetic.
        discs: Obstacles, see :func:`twin.radio.landscape.obstacle_loss_db`.
        contributors: What adds to the direct way.

    Raises:
        OutOfRange: The resolution is not positive, or gives more than four million pixels.
    """
    west, south, east, north = world.scenario.extent_m
    if not resolution_m > 0 or (east - west) * (north - south) / resolution_m**2 > MAX_PIXELS:
        raise OutOfRange(
            f"a resolution of `{resolution_m:g} m` does not give 1 to {MAX_PIXELS:,} pixels; choose another"
        )
    cols = max(1, int(np.ceil((east - west) / resolution_m)))
    rows = max(1, int(np.ceil((north - south) / resolution_m)))
    x, y = np.meshgrid(west + (np.arange(cols) + 0.5) * resolution_m, south + (np.arange(rows) + 0.5) * resolution_m)
    centre_m = np.column_stack([x.ravel(), y.ravel()]).astype(np.float32)
    parts: list[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]] = []
    for at in range(0, len(centre_m), _CHUNK):
        points = outdoor_points(centre_m[at : at + _CHUNK])
        gain_db = world.landscape.gain_db(points, sectors, discs=discs, hear=kernel.hear)
        power_mw, level_dbm = contributed(gain_db, points, sectors, contributors)
        row, best = np.arange(len(points)), level_dbm.argmax(axis=1)
        heard = power_mw[row, best] > 0.0
        quality = quality_db(power_mw, points.position_m, best)
        parts.append((np.where(heard, quality, np.nan), best, np.where(heard, level_dbm[row, best], np.nan)))
    sinr_db, best, level_dbm = (np.concatenate(part).reshape(rows, cols) for part in zip(*parts, strict=True))
    return SinrMap(
        west_m=west,
        south_m=south,
        cell_m=resolution_m,
        sinr_db=sinr_db.astype(np.float32),
        best_cell=best.astype(np.int32),
        rsrp_dbm=level_dbm.astype(np.float32),
    )
