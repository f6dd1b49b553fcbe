"""What a city is before it has a network: ground, buildings, streets, named places, land use.

Importers and the generator end here; :mod:`twin_app.scenarios.assemble` begins here. ENU metres throughout.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.entities import Building, Environment, Place, StreetGraph
    from twin.scenario import LandUseGrid, Origin


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CityMap:
    """A city around its origin.

    Attributes:
        name: Short name shown to people.
        timezone: IANA name.
        extent_m: West, south, east, north of the area.
        attribution: Notices to show with the map.
    """

    name: str
    origin: Origin
    timezone: str
    extent_m: tuple[float, float, float, float]
    buildings: tuple[Building, ...]
    places: tuple[Place, ...]
    streets: StreetGraph
    land_use: LandUseGrid
    attribution: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePlan:
    """Where a site stands and how its sectors look, before it becomes entities.

    Attributes:
        position_m: East, north.
        height_m: Antenna height above ground.
        isd_m: Distance to the nearest other site, for the tilt.
        azimuths_deg: Boresight of each sector, clockwise from north.
        source: Name in the file it came from, "" when planned.
        carrier_hz: Carrier of its cells.
        bandwidth_hz: Channel bandwidth of its cells.
    """

    position_m: tuple[float, float]
    height_m: float
    isd_m: float
    environment: Environment
    azimuths_deg: tuple[float, ...]
    source: str = ""
    carrier_hz: float = 3.5e9
    bandwidth_hz: float = 100e6


def rng_of(seed: int, part: str) -> np.random.Generator:
    """Return the generator of one part of a city, so that no part's draws shift another's."""
    return np.random.default_rng([seed, zlib.crc32(part.encode())])


def centroid_m(ring: NDArray[np.float32]) -> tuple[float, float]:
    """Return the centre of area of a simple ring ``[num_points, 2]`` (mean of the points when it has no area)."""
    points = ring.astype(np.float64)
    base = points[0]
    x, y = (points - base).T
    x_next, y_next = np.roll(x, -1), np.roll(y, -1)
    cross = x * y_next - x_next * y
    twice_area = float(cross.sum())
    if abs(twice_area) < 1e-6:
        east, north = points.mean(axis=0)
        return float(east), float(north)
    east = float(((x + x_next) * cross).sum()) / (3.0 * twice_area)
    north = float(((y + y_next) * cross).sum()) / (3.0 * twice_area)
    return float(base[0]) + east, float(base[1]) + north


def area_m2(ring: NDArray[np.float32]) -> float:
    """Return the area of a simple ring ``[num_points, 2]`` in square metres."""
    points = ring.astype(np.float64)
    x, y = (points - points[0]).T
    return abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())) / 2.0


def land_use_at(grid: LandUseGrid, east_m: float, north_m: float) -> int:
    """Return the land-use code (index into ``tuple(LandUse)``) of the square under a point, clamped to the grid."""
    rows, cols = grid.code.shape
    row = min(max(int((north_m - grid.south_m) // grid.cell_m), 0), rows - 1)
    col = min(max(int((east_m - grid.west_m) // grid.cell_m), 0), cols - 1)
    return int(grid.code[row, col])
