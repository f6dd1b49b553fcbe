"""A scenario: everything a network is made of before time starts.

Values only; files and importers live in ``twin_app/scenarios``. The server owns the topology made from it
(:mod:`twin.topology`), the scene process builds its :class:`twin.network.Network` from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from twin.entities import (
        Building,
        Cell,
        NeighbourRelation,
        Place,
        RisPanel,
        RrmPolicy,
        SensingTarget,
        Site,
        Slice,
        StreetGraph,
        TransportLink,
        TransportNode,
        UserEquipment,
    )
    from twin.mobility import Tracks


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


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """A fault that a scenario injects by itself.

    Attributes:
        fault: Name in the catalogue (:mod:`twin.faults`).
        severity: 0..1; None = drawn from the scenario's seed.
        at_s: Seconds after the first live second.
        clear_after_s: Seconds until it is cleared; None = never.
    """

    fault: str
    entity_id: str
    severity: float | None
    at_s: float
    clear_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdEvent:
    """A flash crowd: people who come to one place.

    Attributes:
        position_m: Its middle (east, north).
        at_s: Seconds after the first live second when it begins to fill.
        ramp_s: Time until all are there, and until all are gone.
        duration_s: From begin to end, both ramps included.
        demand_factor: What it makes of the demand at its middle.
    """

    name: str
    position_m: tuple[float, float]
    radius_m: float
    at_s: float
    ramp_s: float
    duration_s: float
    demand_factor: float


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
        policies: Where they differ from 0 / 100 / 0 per cent; every site and slice has one.
        mobility: How UEs move: tours on the streets, a random waypoint, or the tracks of a SUMO FCD file.
        tracks: Ways of vehicles that UEs follow (mobility "fcd").
        month_byte: Volume of one subscription in a month, which sets the level of demand (:class:`twin.people.Level`).
        demand_curves: ``[5, 1008] float32`` weeks of demand by land use, and a flat one, that replace the fitted ones
            (:class:`twin.traffic.WeekCurves`); None = the fitted ones.
        radio_map: Baked radio map that replaces the statistics where it reaches, "" = none.
        configured: Managed attributes that differ from entity and table, (entity id, name, 3GPP value).
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
    policies: tuple[RrmPolicy, ...] = ()
    ris: tuple[RisPanel, ...] = ()
    targets: tuple[SensingTarget, ...] = ()
    faults: tuple[FaultPlan, ...] = ()
    events: tuple[CrowdEvent, ...] = ()
    mobility: Literal["tours", "random_waypoint", "fcd"] = "tours"
    tracks: Tracks | None = None
    month_byte: float = 20e9
    demand_curves: NDArray[np.float32] | None = None
    energy_model: Literal["earth", "tr38864"] = "earth"
    radio_map: str = ""
    configured: tuple[tuple[str, str, float | str], ...] = ()
