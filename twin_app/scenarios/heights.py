"""How tall a building is: `height`, else storeys, else estimated from its footprint; the source is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from twin_app.scenarios.tags import LEVEL_M

if TYPE_CHECKING:
    import numpy as np

    from twin_app.scenarios.rawmap import RawBuilding

# Footprint up to (m2): storeys from, to. Sheds, houses, town houses, blocks, halls.
_LEVELS_BY_AREA = ((40.0, 1, 1), (150.0, 2, 3), (400.0, 3, 5), (1200.0, 4, 7), (4000.0, 4, 9), (float("inf"), 3, 6))


def height_of(
    building: RawBuilding, *, area_m2: float, rng: np.random.Generator
) -> tuple[float, Literal["height", "levels", "footprint"]]:
    """Return the height in metres and where it comes from.

    Always draws once, so that a height added to the map moves no other building's estimate.
    """
    draw = rng.random()
    if building.height_m is not None:
        return building.height_m, "height"
    if building.levels is not None:
        return building.levels * LEVEL_M, "levels"
    low, high = next((low, high) for limit, low, high in _LEVELS_BY_AREA if area_m2 <= limit)
    return LEVEL_M * (low + int(draw * (high - low + 1))), "footprint"
