"""The things of a radio network, as frozen values.

Belongs to the core: imports the standard library and numpy only. Positions are ENU metres
(east, north, up) around the scenario's WGS84 origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Position = tuple[float, float, float]
"""East, north, up in metres."""


class Kind(StrEnum):
    """What an entity is; the prefix of its id (``cell-7-2``)."""

    SITE = "site"
    CELL = "cell"
    UE = "ue"
    SLICE = "slice"
    LINK = "link"
    NODE = "node"
    BUILDING = "building"
    PLACE = "place"


class LandUse(StrEnum):
    """The four land uses of Xu et al. (2017), whose measured daily curves drive demand."""

    RESIDENTIAL = "residential"
    OFFICE = "office"
    TRANSPORT = "transport"
    ENTERTAINMENT = "entertainment"


class AdministrativeState(StrEnum):
    """TS 28.625 administrativeState of an NRCellDU."""

    LOCKED = "LOCKED"
    UNLOCKED = "UNLOCKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A mast or roof with one gNB.

    Attributes:
        position_m: Foot of the mast (east, north, up).
        height_m: Antenna height above ground.
    """

    id: str
    name: str
    dn: str
    aliases: tuple[str, ...] = ()
    position_m: Position
    height_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One sector carrier (NRCellDU + NRSectorCarrier + CommonBeamformingFunction).

    Attributes:
        azimuth_deg: Boresight, clockwise from north.
        tilt_deg: Electrical tilt, positive = down.
        tx_power_dbm: Total carrier power at the antenna port.
        environment: Path-loss scenario of TR 38.901.
    """

    id: str
    site_id: str
    sector: int
    name: str
    dn: str
    aliases: tuple[str, ...] = ()
    azimuth_deg: float
    tilt_deg: float
    tx_power_dbm: float
    carrier_hz: float
    bandwidth_hz: float
    environment: Literal["UMa", "UMi"]
    nr_pci: int
    administrative_state: AdministrativeState = AdministrativeState.UNLOCKED


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEquipment:
    """One phone, car or sensor.

    Attributes:
        mobility: How it moves on the street graph.
        land_use: Land use of its home place, whose daily curve drives its activity.
        home_m: Where it starts (east, north).
    """

    id: str
    slice_id: str
    mobility: Literal["walk", "drive", "still"]
    land_use: LandUse
    home_m: tuple[float, float]
    indoor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A network slice (S-NSSAI)."""

    id: str
    name: str
    dn: str
    sst: int
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportNode:
    """A router or the user-plane function."""

    id: str
    name: str
    role: Literal["aggregation", "upf"]
    position_m: Position
    dn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLink:
    """A backhaul link between two nodes or sites (``a_id`` is the end farther from the core)."""

    id: str
    name: str
    a_id: str
    b_id: str
    capacity_bps: float
    dn: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourRelation:
    """An NRCellRelation from one cell to another."""

    source_id: str
    target_id: str
    cell_individual_offset_db: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Building:
    """A footprint with a height.

    Attributes:
        footprint_m: Closed ring without the repeated last point, ``[num_points, 2] float32`` east, north.
        height_source: Where the height comes from: the tag `height`, `building:levels` x 3 m, or seeded by area.
    """

    id: str
    name: str = ""
    footprint_m: NDArray[np.float32]
    height_m: float
    height_source: Literal["height", "levels", "footprint"]
    land_use: LandUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A named spot people refer to ("the station"); `category` is the OSM-like kind of place."""

    id: str
    name: str
    category: str
    position_m: Position
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreetGraph:
    """Where UEs walk and drive.

    Attributes:
        node_m: ``[num_nodes, 2] float32`` east, north.
        edge: ``[num_edges, 2] int32`` node indices; usable both ways.
        edge_speed_mps: ``[num_edges] float32`` driving speed; 0 = no cars.
        edge_walkable: ``[num_edges] bool``.
        edge_name: Street name per edge, "" when unnamed.
    """

    node_m: NDArray[np.float32]
    edge: NDArray[np.int32]
    edge_speed_mps: NDArray[np.float32]
    edge_walkable: NDArray[np.bool_]
    edge_name: tuple[str, ...] = field(default=())
