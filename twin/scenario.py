"""A scenario: everything a network is made of before time starts.

Values only; files and importers live in ``twin_app/scenarios``. The server owns the topology made from it
(:mod:`twin.topology`), the scene process builds its :class:`twin.network.Network` from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from twin.entities import (
        Building,
        Cell,
        NeighbourRelation,
        Place,
        Site,
        Slice,
        StreetGraph,
        TransportLink,
        TransportNode,
        UserEquipment,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """WGS84 origin of the ENU frame (degrees, ellipsoid metres)."""

    latitude_deg: float
    longitude_deg: float
    height_m: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LandUseGrid:
    """Land use of the ground.

    Attributes:
        west_m: East coordinate of the left edge.
        south_m: North coordinate of the lower edge.
        cell_m: Edge of a square.
        code: ``[rows, cols] uint8``, row 0 in the south, index into `tuple(LandUse)`.
    """

    west_m: float
    south_m: float
    cell_m: float
    code: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenario:
    """A city with its network.

    Attributes:
        name: Short name shown to people.
        digest: SHA-256 of what it was made from; a data folder belongs to one digest.
        origin: Where (0, 0, 0) m lies.
        timezone: IANA name, for civil time and daily curves.
        extent_m: West, south, east, north of the area.
        seed: The seed that every generator derives from.
        attribution: Notices to show with the map.
    """

    name: str
    digest: str
    origin: Origin
    timezone: str
    extent_m: tuple[float, float, float, float]
    seed: int
    sites: tuple[Site, ...]
    cells: tuple[Cell, ...]
    neighbours: tuple[NeighbourRelation, ...]
    slices: tuple[Slice, ...]
    ues: tuple[UserEquipment, ...]
    nodes: tuple[TransportNode, ...]
    links: tuple[TransportLink, ...]
    buildings: tuple[Building, ...]
    places: tuple[Place, ...]
    streets: StreetGraph
    land_use: LandUseGrid
    attribution: tuple[str, ...] = ()
