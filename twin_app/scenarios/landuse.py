"""Land use of buildings and ground where the map says little.

The order of belief for a building: its own tags; the zone under it; its size and where it stands. The last is
an estimate: footprints of 900 m2 and more are work places, within 500 m of the centre shops and offices mix;
everything else is housing. The ground follows its zone, then the buildings on it, then main roads.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from twin.entities import LandUse
from twin.scenario import LandUseGrid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.entities import Building

_USES = tuple(LandUse)
UNKNOWN = 255
_CENTRE_RADIUS_M = 500.0
_LARGE_M2 = 900.0
_SHOP_M2 = 250.0
_FINEST_M = 25.0
_MOST_SQUARES_PER_EDGE = 400


class Raster:
    """Squares of the ground that polygons and lines are painted on; unknown until painted."""

    def __init__(self, extent_m: tuple[float, float, float, float]) -> None:
        west, south, east, north = extent_m
        longest = max(east - west, north - south)
        self.cell_m = max(_FINEST_M, math.ceil(longest / _MOST_SQUARES_PER_EDGE))
        columns, rows = (max(1, math.ceil(length / self.cell_m)) for length in (east - west, north - south))
        self._west, self._south = west, south
        self._image = Image.new("L", (columns, rows), UNKNOWN)
        self._draw = ImageDraw.Draw(self._image)

    def _pixels(self, points_m: NDArray[np.float64]) -> list[tuple[float, float]]:
        # Pillow's pixel centres lie on whole numbers.
        squares = (points_m - (self._west, self._south)) / self.cell_m - 0.5
        return [(float(column), float(row)) for column, row in squares]

    def fill(self, ring_m: NDArray[np.float64], use: LandUse) -> None:
        """Paint a polygon."""
        self._draw.polygon(self._pixels(ring_m), fill=_USES.index(use))

    def line(self, points_m: NDArray[np.float64], use: LandUse) -> None:
        """Paint a line, one square wide."""
        self._draw.line(self._pixels(points_m), fill=_USES.index(use), width=1)

    def codes(self) -> NDArray[np.uint8]:
        """Return ``[rows, cols] uint8``, row 0 in the south, :data:`UNKNOWN` where nothing was painted."""
        return np.asarray(self._image, dtype=np.uint8).copy()

    def at(self, points_m: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return the code under each of ``[num_points, 2]``."""
        code = self.codes()
        column = ((points_m[:, 0] - self._west) // self.cell_m).astype(int).clip(0, code.shape[1] - 1)
        row = ((points_m[:, 1] - self._south) // self.cell_m).astype(int).clip(0, code.shape[0] - 1)
        return code[row, column]


def estimate_land_use(
    known: Sequence[LandUse | None],
    *,
    zone_code: NDArray[np.uint8],
    centre_m: NDArray[np.float64],
    area_m2: NDArray[np.float64],
    rng: np.random.Generator,
) -> list[LandUse]:
    """Return a land use for every building.

    Args:
        known: What the building's tags say.
        zone_code: Code of the zone under it, :data:`UNKNOWN` for none ``[num_buildings]``.
        centre_m: ``[num_buildings, 2]``.
        area_m2: Footprint area ``[num_buildings]``.
        rng: Mixes shops and offices in the centre.
    """
    if not len(known):
        return []
    middle = _busiest(centre_m, area_m2)
    central = np.hypot(*(centre_m - middle).T) <= _CENTRE_RADIUS_M
    draw = rng.random(len(known))
    uses: list[LandUse] = []
    for i, use in enumerate(known):
        if use is not None:
            uses.append(use)
        elif zone_code[i] != UNKNOWN:
            uses.append(_USES[zone_code[i]])
        elif central[i] and area_m2[i] >= _SHOP_M2:
            uses.append(LandUse.ENTERTAINMENT if draw[i] < 0.45 else LandUse.OFFICE)
        elif area_m2[i] >= _LARGE_M2:
            uses.append(LandUse.OFFICE)
        else:
            uses.append(LandUse.RESIDENTIAL)
    return uses


def _busiest(centre_m: NDArray[np.float64], area_m2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the middle of the 250 m square with the most building area, looked at with its eight neighbours."""
    square = np.floor(centre_m / 250.0).astype(int)
    square -= square.min(axis=0)
    total = np.zeros(square.max(axis=0) + 3)
    np.add.at(total, (square[:, 0] + 1, square[:, 1] + 1), area_m2)
    around = sum(np.roll(np.roll(total, dx, axis=0), dy, axis=1) for dx in (-1, 0, 1) for dy in (-1, 0, 1))
    best = np.array(np.unravel_index(int(np.asarray(around).argmax()), total.shape)) - 1
    low = np.floor(centre_m / 250.0).astype(int).min(axis=0)
    return (best + low + 0.5) * 250.0


def ground_grid(
    extent_m: tuple[float, float, float, float],
    *,
    zone_code: NDArray[np.uint8],
    road_code: NDArray[np.uint8],
    cell_m: float,
    buildings: Sequence[Building],
    centre_m: NDArray[np.float64],
    area_m2: NDArray[np.float64],
) -> LandUseGrid:
    """Return the land use of the ground.

    Args:
        zone_code: Zones ``[rows, cols]``, :data:`UNKNOWN` where the map is silent.
        road_code: Main roads, likewise.
        cell_m: Edge of a square.
        centre_m: Building centres ``[num_buildings, 2]``.
        area_m2: Footprint areas ``[num_buildings]``.
    """
    west, south = extent_m[:2]
    rows, cols = zone_code.shape
    share = np.zeros((len(_USES), rows, cols))
    if buildings:
        column = ((centre_m[:, 0] - west) // cell_m).astype(int).clip(0, cols - 1)
        row = ((centre_m[:, 1] - south) // cell_m).astype(int).clip(0, rows - 1)
        use = np.array([_USES.index(building.land_use) for building in buildings])
        np.add.at(share, (use, row, column), area_m2)
    # A block reads as one: the strongest use within the squares around, half weight to the neighbours.
    padded = np.pad(share, ((0, 0), (1, 1), (1, 1)))
    near = sum(
        padded[:, 1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + cols] * (1.0 if dx == dy == 0 else 0.5)
        for dx in (-1, 0, 1)
        for dy in (-1, 0, 1)
    )
    near = np.asarray(near)
    by_building = np.where(near.sum(axis=0) > 0, near.argmax(axis=0), UNKNOWN).astype(np.uint8)
    code = np.where(road_code != UNKNOWN, road_code, np.uint8(_USES.index(LandUse.RESIDENTIAL)))
    code = np.where(by_building != UNKNOWN, by_building, code)
    code = np.where(zone_code != UNKNOWN, zone_code, code)
    return LandUseGrid(west_m=west, south_m=south, cell_m=cell_m, code=code.astype(np.uint8))
