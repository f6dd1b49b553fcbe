"""What stands on a block of the generated city: offices, shops, flats, houses, halls, a stadium, a park."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from twin.entities import Building, LandUse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_FLOOR_M = 3.0
_Rectangle = tuple[float, float, float, float]  # u0, v0, u1, v1 within the unit square of the block


class Ground(Enum):
    """What a block is built with."""

    OFFICES = "offices"
    SHOPS = "shops"
    FLATS = "flats"
    HOUSES = "houses"
    DEPOT = "depot"
    STATION = "station"
    HALL = "hall"
    CAMPUS = "campus"
    STADIUM = "stadium"
    PARK = "park"

    @property
    def land_use(self) -> LandUse:
        """Return the land use whose daily curve this block follows."""
        match self:
            case Ground.OFFICES | Ground.CAMPUS:
                return LandUse.OFFICE
            case Ground.SHOPS | Ground.HALL | Ground.STADIUM | Ground.PARK:
                return LandUse.ENTERTAINMENT
            case Ground.DEPOT | Ground.STATION:
                return LandUse.TRANSPORT
            case Ground.FLATS | Ground.HOUSES:
                return LandUse.RESIDENTIAL


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """The ground between four streets.

    Attributes:
        corners_m: ``[4, 2]`` south-west, south-east, north-east, north-west.
        landmark: Name of the landmark that it belongs to, "" for none.
    """

    row: int
    column: int
    corners_m: NDArray[np.float64]
    centre_m: tuple[float, float]
    ground: Ground
    landmark: str = ""

    def as_landmark(self, name: str, ground: Ground) -> Block:
        """Return this block given to a landmark."""
        return replace(self, landmark=name, ground=ground)


def buildings_of(blocks: Sequence[Block], rng: np.random.Generator) -> tuple[Building, ...]:
    """Return all buildings, numbered from 1 in block order."""
    rows: list[Building] = []
    for block in blocks:
        for ring, levels, name in _on_block(block, rng):
            rows.append(
                Building(
                    id=f"building-{len(rows) + 1}",
                    name=name,
                    footprint_m=np.round(ring, 2).astype(np.float32),
                    height_m=levels * _FLOOR_M,
                    height_source="levels",
                    land_use=block.ground.land_use,
                )
            )
    return tuple(rows)


def _on_block(block: Block, rng: np.random.Generator) -> Iterable[tuple[NDArray[np.float64], int, str]]:
    """Yield footprint ring, levels and name of each building on a block."""
    radius_m = math.hypot(*block.centre_m)
    match block.ground:
        case Ground.PARK:
            return
        case Ground.STADIUM:
            yield _oval(block, share=0.42), 9, f"{block.landmark} building"
        case Ground.STATION:
            yield _ring(block, [(0.04, 0.30, 0.96, 0.62)]), 6, f"{block.landmark} building"
            yield _ring(block, [(0.08, 0.72, 0.45, 0.92)]), 5, ""
            yield _ring(block, [(0.55, 0.72, 0.92, 0.92)]), 5, ""
        case Ground.HALL:
            yield _ring(block, [(0.14, 0.14, 0.86, 0.86)]), int(rng.integers(5, 9)), f"{block.landmark} building"
        case Ground.CAMPUS:
            lots = [
                (0.08, 0.08, 0.56, 0.38),
                (0.08, 0.52, 0.38, 0.92),
                (0.52, 0.54, 0.92, 0.92),
                (0.68, 0.1, 0.92, 0.4),
            ]
            for i, lot in enumerate(lots):
                yield _ring(block, [lot]), int(rng.integers(5, 10)), f"{block.landmark} building" if i == 0 else ""
        case Ground.DEPOT:
            for lot in _lots(rng, columns=1, rows=2, gap=0.12, fill=0.85):
                yield (
                    _ring(block, [lot]),
                    int(rng.integers(2, 5)),
                    f"{block.landmark} building" if block.landmark and lot[1] < 0.4 else "",
                )
        case Ground.OFFICES:
            for lot in _lots(rng, columns=2, rows=2, gap=0.08, fill=0.92):
                tower = rng.random() < max(0.0, 0.32 - radius_m / 1800.0)
                yield _shape(block, lot, rng), int(rng.integers(14, 25) if tower else rng.integers(6, 12)), ""
        case Ground.SHOPS:
            for lot in _lots(rng, columns=2, rows=2, gap=0.07, fill=0.9):
                yield _shape(block, lot, rng), int(rng.integers(4, 8)), ""
        case Ground.FLATS:
            for lot in _lots(rng, columns=2, rows=2, gap=0.16, fill=0.9):
                yield _shape(block, lot, rng), int(rng.integers(4, 8)), ""
        case Ground.HOUSES:
            for lot in _lots(rng, columns=3, rows=2, gap=0.34, fill=0.86):
                yield _ring(block, [lot]), int(rng.integers(2, 4)), ""


def _lots(rng: np.random.Generator, *, columns: int, rows: int, gap: float, fill: float) -> list[_Rectangle]:
    """Return lots of unequal size, `gap` of each left free, each kept with probability `fill`."""
    u = np.concatenate([[0.0], np.cumsum(rng.uniform(0.75, 1.25, size=columns))])
    v = np.concatenate([[0.0], np.cumsum(rng.uniform(0.75, 1.25, size=rows))])
    u, v = 0.06 + 0.88 * u / u[-1], 0.06 + 0.88 * v / v[-1]
    lots: list[_Rectangle] = []
    for j in range(rows):
        for i in range(columns):
            inset_u, inset_v = (
                0.5 * gap * (u[i + 1] - u[i]) * float(rng.uniform(0.7, 1.3)),
                0.5 * gap * (v[j + 1] - v[j]) * float(rng.uniform(0.7, 1.3)),
            )
            if rng.random() < fill:
                lots.append((u[i] + inset_u, v[j] + inset_v, u[i + 1] - inset_u, v[j + 1] - inset_v))
    return lots


def _shape(block: Block, lot: _Rectangle, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a rectangle, or (one in three) an L of two wings."""
    if rng.random() > 0.34:
        return _ring(block, [lot])
    u0, v0, u1, v1 = lot
    cut_u, cut_v = (u0 + (u1 - u0) * 0.5), (v0 + (v1 - v0) * 0.5)
    return _mapped(block, [(u0, v0), (u1, v0), (u1, cut_v), (cut_u, cut_v), (cut_u, v1), (u0, v1)])


def _ring(block: Block, lots: list[_Rectangle]) -> NDArray[np.float64]:
    u0, v0, u1, v1 = lots[0]
    return _mapped(block, [(u0, v0), (u1, v0), (u1, v1), (u0, v1)])


def _mapped(block: Block, points: list[tuple[float, float]]) -> NDArray[np.float64]:
    """Map points of the unit square onto the block, bilinearly, leaving a pavement along the streets."""
    u, v = np.array(points).T[:, :, None]
    a, b, c, d = block.corners_m
    inner = 0.9  # the tenth that remains is carriageway and pavement
    u, v = 0.5 + (u - 0.5) * inner, 0.5 + (v - 0.5) * inner
    return (1 - u) * (1 - v) * a + u * (1 - v) * b + u * v * c + (1 - u) * v * d


def _oval(block: Block, *, share: float) -> NDArray[np.float64]:
    angle = np.linspace(0.0, 2.0 * math.pi, 25)[:-1]
    return _mapped(block, [(0.5 + share * math.cos(a), 0.5 + share * math.sin(a)) for a in angle])
