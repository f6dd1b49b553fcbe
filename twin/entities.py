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
    RELATION = "relation"
    POLICY = "policy"
    RIS = "ris"
    TARGET = "target"


class LandUse(StrEnum):
    """The four land uses of Xu et al. (2017), whose measured daily curves drive demand."""

    RESIDENTIAL = "residential"
    OFFICE = "office"
    TRANSPORT = "transport"
    ENTERTAINMENT = "entertainment"


class AdministrativeState(StrEnum):
    """TS 28.625 administrativeState of an NRCellDU."""

    LOCKED = "LOCKED"
    SHUTTING_DOWN = "SHUTTING DOWN"
    UNLOCKED = "UNLOCKED"


Environment = Literal["UMa", "UMi", "RMa", "InH", "SubTHz"]
"""Path-loss scenario: four of TR 38.901 table 7.4.1-1, and line of sight above 100 GHz (:mod:`twin.sixg`)."""


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
        environment: Path-loss scenario.
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
    environment: Environment
    nr_pci: int
    administrative_state: AdministrativeState = AdministrativeState.UNLOCKED


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEquipment:
    """One phone, car or sensor.

    Attributes:
        mobility: How it moves on the street graph.
        land_use: Land use of its home place, whose daily curve drives its activity.
        home_m: Where it starts (east, north).
        group: Behaviour profile (:mod:`twin.traffic.groups`).
    """

    id: str
    slice_id: str
    mobility: Literal["walk", "drive", "still"]
    land_use: LandUse
    home_m: tuple[float, float]
    indoor: bool = False
    group: str = "resident"


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
    """A link between two nodes or sites (``a_id`` is the end farther from the core).

    Attributes:
        length_m: Way of the light; 0 = the straight line between its ends.
        igp_metric: Cost that routing adds up.
    """

    id: str
    name: str
    a_id: str
    b_id: str
    capacity_bps: float
    length_m: float = 0.0
    igp_metric: int = 10
    dn: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourRelation:
    """An NRCellRelation from one cell to another."""

    source_id: str
    target_id: str
    cell_individual_offset_db: float = 0.0

    @property
    def id(self) -> str:
        """``relation-7-2-8-1``: from cell 7-2 to cell 8-1."""
        return f"relation-{self.source_id.removeprefix('cell-')}-{self.target_id.removeprefix('cell-')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RrmPolicy:
    """An RRMPolicyRatio of one gNB-DU for one slice: shares of the PRBs of each of its cells (TS 28.541 4.3.36).

    Attributes:
        min_percent: Given when wanted, lent when not.
        max_percent: Never more.
        dedicated_percent: Kept even when nobody of the slice wants it.
    """

    site_id: str
    slice_id: str
    min_percent: float = 0.0
    max_percent: float = 100.0
    dedicated_percent: float = 0.0

    @property
    def id(self) -> str:
        """``policy-7-embb``: of site 7 for slice-embb."""
        return f"policy-{self.site_id.removeprefix('site-')}-{self.slice_id.removeprefix('slice-')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RisPanel:
    """A reconfigurable intelligent surface on a wall.

    Attributes:
        position_m: Its centre.
        azimuth_deg: Where it faces, clockwise from north.
        columns: Elements side by side, half a wavelength apart.
        rows: Elements one above the other.
        cell_id: The cell that illuminates it.
        phase_profile_index: Entry of its codebook in force at the start.
    """

    id: str
    name: str
    position_m: Position
    azimuth_deg: float
    columns: int
    rows: int
    cell_id: str
    phase_profile_index: int = 0
    dn: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SensingTarget:
    """Something that cells detect by its echo.

    Attributes:
        path_m: Places that it passes, round and round (east, north, up).
        speed_mps: How fast; 0 = it stays at the first place.
        rcs_m2: Mean radar cross-section.
    """

    id: str
    name: str
    path_m: tuple[Position, ...]
    speed_mps: float
    rcs_m2: float
    aliases: tuple[str, ...] = ()


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
