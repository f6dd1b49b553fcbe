"""What map files say, in WGS84 degrees, before anything is projected, cropped or estimated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from twin.entities import LandUse


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawStreet:
    """A way that can be walked or driven.

    Attributes:
        points_deg: ``[num_points, 2] float64`` latitude, longitude.
        speed_mps: Driving speed, 0 = no cars.
        main: A road that carries through traffic, whose ground counts as transport.
    """

    points_deg: NDArray[np.float64]
    speed_mps: float
    walkable: bool
    name: str
    main: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawBuilding:
    """A footprint; None where the map does not say.

    Attributes:
        ring_deg: ``[num_points, 2] float64`` latitude, longitude, open (no repeated last point).
    """

    ring_deg: NDArray[np.float64]
    name: str
    height_m: float | None
    levels: float | None
    land_use: LandUse | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawZone:
    """Ground with a land use; `ring_deg` as in :class:`RawBuilding`."""

    ring_deg: NDArray[np.float64]
    land_use: LandUse


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPlace:
    """A named spot."""

    latitude_deg: float
    longitude_deg: float
    name: str
    category: str


@dataclass(slots=True, kw_only=True)
class RawMap:
    """Everything read from one or more files.

    Attributes:
        missing_nodes: References to nodes that the files do not hold (tolerated at the rim of an extract).
    """

    streets: list[RawStreet] = field(default_factory=list)
    buildings: list[RawBuilding] = field(default_factory=list)
    zones: list[RawZone] = field(default_factory=list)
    places: list[RawPlace] = field(default_factory=list)
    attribution: list[str] = field(default_factory=list)
    missing_nodes: int = 0

    def size(self) -> int:
        """Return how many usable things there are."""
        return len(self.streets) + len(self.buildings) + len(self.zones) + len(self.places)


def spot(path: Path, line: int | None = None, element: str = "") -> str:
    """Return the words that lead a reader to the fault: file, line, element."""
    parts = [f"`{path}`"]
    if line is not None:
        parts.append(f"line {line}")
    if element:
        parts.append(element)
    return ", ".join(parts)
