"""Where power goes: from every mast to every point, and through every antenna.

Split in two so that little is recomputed: :class:`Paths` (what lies between mast and point; changes when a UE
moves) and the antenna (changes when somebody turns tilt or azimuth). Path loss is per mast, antenna gain per cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.radio import antenna, path_loss
from twin.radio.correlated import CorrelatedMaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.entities import Cell
    from twin.scenario import Scenario

USER_HEIGHT_M = 1.5
LOS_DECORRELATION_M = 50.0
"""Of the line-of-sight field, TR 38.901 table 7.6.3.1-2."""
LOS_SOFTNESS = 0.15
"""Width of the change from LOS to NLOS in units of probability, so that no corner cuts the signal in one step
(the idea of soft LOS states, TR 38.901 section 7.6.3.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mast:
    """One set of co-located sectors on one carrier."""

    site_id: str
    carrier_hz: float
    environment: path_loss.Environment
    position_m: tuple[float, float]
    height_m: float


@dataclass(slots=True, kw_only=True, eq=False)
class Points:
    """Where someone listens.

    Attributes:
        position_m: ``[n, 2] float32`` east, north.
        coated: ``[n] bool``, behind coated glass (high entry loss) when indoors.
        indoor: ``[n] bool``.
        depth_loss_db: ``[n] float32``, indoor depth and entry spread, 0 outdoors.
    """

    position_m: NDArray[np.float32]
    indoor: NDArray[np.bool_]
    coated: NDArray[np.bool_]
    depth_loss_db: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Points:
        """Return the chosen rows."""
        return Points(
            position_m=self.position_m[rows],
            indoor=self.indoor[rows],
            coated=self.coated[rows],
            depth_loss_db=self.depth_loss_db[rows],
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Paths:
    """What lies between masts and points; all ``[num_points, num_masts] float32``."""

    gain_db: NDArray[np.float32]
    zenith_deg: NDArray[np.float32]
    azimuth_deg: NDArray[np.float32]

    def put(self, rows: NDArray[np.int64], other: Paths) -> None:
        """Replace rows in place."""
        self.gain_db[rows] = other.gain_db
        self.zenith_deg[rows] = other.zenith_deg
        self.azimuth_deg[rows] = other.azimuth_deg


def outdoor_points(position_m: NDArray[np.float32]) -> Points:
    """Return points at street level."""
    count = len(position_m)
    return Points(
        position_m=position_m.astype(np.float32),
        indoor=np.zeros(count, dtype=bool),
        coated=np.zeros(count, dtype=bool),
        depth_loss_db=np.zeros(count, dtype=np.float32),
    )


def indoor_points(position_m: NDArray[np.float32], indoor: NDArray[np.bool_], *, rng: np.random.Generator) -> Points:
    """Return points of which some are indoors, with entry losses drawn once (TR 38.901 section 7.4.3.1).

    Half of the indoor points are behind coated glass, as in the 3GPP calibration campaign.
    """
    count = len(position_m)
    coated = rng.random(count) < 0.5
    depth_m = rng.random((2, count)).min(axis=0) * path_loss.MAX_INDOOR_DEPTH_M
    sigma = np.where(coated, path_loss.ENTRY_SIGMA_DB[1], path_loss.ENTRY_SIGMA_DB[0])
    loss = path_loss.INDOOR_LOSS_DB_PER_M * depth_m + sigma * rng.standard_normal(count)
    return Points(
        position_m=position_m.astype(np.float32),
        indoor=indoor,
        coated=coated & indoor,
        depth_loss_db=np.where(indoor, loss, 0.0).astype(np.float32),
    )


def _masts(scenario: Scenario) -> tuple[tuple[Mast, ...], NDArray[np.int64]]:
    sites = {site.id: site for site in scenario.sites}
    number: dict[tuple[str, float, str], int] = {}
    masts: list[Mast] = []
    of_cell: list[int] = []
    for cell in scenario.cells:
        key = (cell.site_id, cell.carrier_hz, cell.environment)
        if key not in number:
            site = sites[cell.site_id]
            number[key] = len(masts)
            masts.append(
                Mast(
                    site_id=site.id,
                    carrier_hz=cell.carrier_hz,
                    environment=cell.environment,
                    position_m=site.position_m[:2],
                    height_m=max(site.height_m, USER_HEIGHT_M + 1.0),
                )
            )
        of_cell.append(number[key])
    return tuple(masts), np.array(of_cell, dtype=np.int64)


class Propagation:
    """The radio landscape of one scenario: fixed for a seed, the same for the past, the present and a what-if.

    Args:
        scenario: The city and its cells.
        rng: Source of shadowing and line-of-sight maps.
    """

    def __init__(self, scenario: Scenario, *, rng: np.random.Generator) -> None:
        self.masts, self.mast_of_cell = _masts(scenario)
        self._position_m = np.array([mast.position_m for mast in self.masts], dtype=np.float32).reshape(-1, 2)
        self._columns: dict[path_loss.Environment, NDArray[np.int64]] = {}
        self._los: dict[path_loss.Environment, CorrelatedMaps] = {}
        self._shadow: dict[path_loss.Environment, tuple[CorrelatedMaps, CorrelatedMaps]] = {}
        environments: set[path_loss.Environment] = {mast.environment for mast in self.masts}
        for environment in sorted(environments):
            columns = np.array([n for n, mast in enumerate(self.masts) if mast.environment == environment])
            self._columns[environment] = columns
            los_m, nlos_m = path_loss.DECORRELATION_M[environment]

            def maps(decorrelation_m: float, count: int = len(columns)) -> CorrelatedMaps:
                return CorrelatedMaps(count, decorrelation_m=decorrelation_m, extent_m=scenario.extent_m, rng=rng)

            self._los[environment] = maps(LOS_DECORRELATION_M)
            self._shadow[environment] = (maps(los_m), maps(nlos_m))

    def paths(self, points: Points) -> Paths:
        """Return loss and angles from every mast to every point, shadowing and building entry included."""
        offset = points.position_m[:, None, :] - self._position_m[None]
        ground_m = np.sqrt(offset[..., 0] ** 2 + offset[..., 1] ** 2)
        gain = np.empty_like(ground_m)
        for environment, columns in self._columns.items():
            gain[:, columns] = -self._loss_db(environment, columns, points, ground_m[:, columns])
        rise_m = np.array([mast.height_m - USER_HEIGHT_M for mast in self.masts], dtype=np.float32)
        return Paths(
            gain_db=gain,
            zenith_deg=np.float32(90.0) + np.degrees(np.arctan2(rise_m, ground_m)),
            azimuth_deg=np.degrees(np.arctan2(offset[..., 0], offset[..., 1])),
        )

    def _loss_db(
        self,
        environment: path_loss.Environment,
        columns: NDArray[np.int64],
        points: Points,
        ground_m: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        sight = self._sight(environment, points.position_m, ground_m)
        sigma_los, sigma_nlos = path_loss.SHADOWING_SIGMA_DB[environment]
        shadow_los, shadow_nlos = (maps.at(points.position_m) for maps in self._shadow[environment])
        loss = np.empty_like(ground_m)
        for spot, column in enumerate(columns):
            mast = self.masts[int(column)]
            los, nlos = path_loss.loss_db(
                environment,
                ground_m[:, spot],
                mast_height_m=mast.height_m,
                user_height_m=USER_HEIGHT_M,
                carrier_hz=mast.carrier_hz,
            )
            seen = los + np.float32(sigma_los) * shadow_los[:, spot]
            hidden = nlos + np.float32(sigma_nlos) * shadow_nlos[:, spot]
            low, high = path_loss.entry_loss_db(mast.carrier_hz)
            wall = np.where(points.indoor, np.where(points.coated, high, low), 0.0)
            loss[:, spot] = hidden + sight[:, spot] * (seen - hidden) + wall
        return loss + points.depth_loss_db[:, None]

    def _sight(
        self, environment: path_loss.Environment, position_m: NDArray[np.float32], ground_m: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return 1 in line of sight, 0 without, in between at the edge."""
        normal = self._los[environment].at(position_m)
        # Logistic stand-in for the normal distribution function, within 0.01 everywhere.
        uniform = 1.0 / (1.0 + np.exp(-1.702 * normal))
        probability = path_loss.los_probability(environment, ground_m)
        return np.clip((probability - uniform) / np.float32(LOS_SOFTNESS) + 0.5, 0.0, 1.0).astype(np.float32)


@dataclass(slots=True, kw_only=True, eq=False)
class Sectors:
    """What the cells radiate, as live inputs.

    Attributes:
        boresight_deg: ``[num_cells] float32``, mechanical azimuth plus electrical offset.
        tilt_deg: ``[num_cells] float32``.
        power_dbm: ``[num_cells] float32`` radiated carrier power, faults included.
        on_air: ``[num_cells] bool``, False when locked.
        tables_db: ``[num_cells, NUM_BINS] float32`` vertical pattern.
    """

    boresight_deg: NDArray[np.float32]
    tilt_deg: NDArray[np.float32]
    power_dbm: NDArray[np.float32]
    on_air: NDArray[np.bool_]
    tables_db: NDArray[np.float32]


def sectors_of(cells: Sequence[Cell]) -> Sectors:
    """Return the cells as configured in a scenario."""
    tilt = np.array([cell.tilt_deg for cell in cells], dtype=np.float32)
    return Sectors(
        boresight_deg=np.array([cell.azimuth_deg for cell in cells], dtype=np.float32),
        tilt_deg=tilt,
        power_dbm=np.array([cell.tx_power_dbm for cell in cells], dtype=np.float32),
        on_air=np.array([cell.administrative_state.value == "UNLOCKED" for cell in cells], dtype=bool),
        tables_db=antenna.vertical_tables_db(tilt),
    )


def link_gain_db(
    paths: Paths, sectors: Sectors, mast_of_cell: NDArray[np.int64], cells: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Return antenna plus path gain, ``[num_points, len(cells)] float32``; all cells when `cells` is None."""
    chosen = np.arange(len(mast_of_cell)) if cells is None else cells
    masts = mast_of_cell[chosen]
    gain = antenna.gain_dbi(
        paths.zenith_deg[:, masts],
        paths.azimuth_deg[:, masts],
        boresight_deg=sectors.boresight_deg[chosen],
        tables_db=sectors.tables_db[chosen],
    )
    return gain + paths.gain_db[:, masts]


def received_mw(gain_db: NDArray[np.float32], sectors: Sectors) -> NDArray[np.float32]:
    """Return received carrier power in milliwatts at full load, 0 from cells that are off the air."""
    exponent = (gain_db + sectors.power_dbm) * np.float32(np.log(10.0) / 10.0)
    return np.exp(exponent) * sectors.on_air
