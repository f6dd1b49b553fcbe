"""What never changes while a network runs: the radio landscape, the tours, the crowd, and how entities map to rows.

Made once from scenario and seed, shared by the live network and its past.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from twin import traffic
from twin.energy import num_chains
from twin.entities import Kind, LandUse
from twin.errors import ScenarioError
from twin.handover import strongest
from twin.mobility import Tours
from twin.moments import MAX_CROWD_NEED, MAX_NEED, Moment, evaluate
from twin.radio import link
from twin.radio.propagation import Propagation, indoor_points, link_gain_db, received_mw, sectors_of
from twin.setup_failures import FailureModel
from twin.transport import Backhaul

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.radio.propagation import Sectors
    from twin.scenario import Scenario
    from twin.topology import Topology

DIMENSIONED_LOAD = 0.9
"""Mean busy-hour PRB load beyond which an operator would add a carrier."""
DIMENSION_ROUNDS = 8

_RADIO, _TOURS, _CROWD, _WALLS, _CELLS = range(5)
"""Streams of chance; one each, so that a change in one part leaves the others as they were."""


def stream(scenario: Scenario, seed: int, number: int) -> np.random.Generator:
    """Return an independent generator for one part of one world."""
    return np.random.default_rng(np.random.SeedSequence([scenario.seed % 2**63, seed % 2**63, number]))


class World:
    """The fixed part of a network; read-only.

    Args:
        scenario: The city.
        seed: Seed of the run.

    Attributes:
        num_ues: Rows 0..num_ues-1 of the users are the UEs, the rest is the crowd.
        points: Where each user is at home.
        home_paths: Paths from every mast to each user's home.
        activity_row: ``[num_users] int64`` land use as row of :func:`twin.traffic.activity`.
        busy_duty: ``[num_ues] float32`` share of busy-hour time with data.
        rate_factor: ``[num_ues] float32`` session rate relative to broadband.
        busy_demand_bps: ``[num_crowd] float32``.
        busy_connected: ``[num_crowd] float32``.
    """

    def __init__(self, scenario: Scenario, *, seed: int) -> None:
        if not scenario.cells:
            raise ScenarioError(f"scenario `{scenario.name}` has no cell; add at least one site with a sector")
        self.scenario = scenario
        self.seed = seed
        cells = scenario.cells
        self.num_cells, self.num_ues = len(cells), len(scenario.ues)
        self.bandwidth_hz = np.array([cell.bandwidth_hz for cell in cells])
        self.noise_mw = np.array([link.noise_mw(cell.bandwidth_hz) for cell in cells])
        self.rsrp_offset_db = np.array([link.rsrp_offset_db(cell.bandwidth_hz) for cell in cells], dtype=np.float32)
        carriers = sorted({cell.carrier_hz for cell in cells})
        self.carrier_of_cell = np.array([carriers.index(cell.carrier_hz) for cell in cells])
        self.num_carriers = len(carriers)
        self.chains = num_chains(np.array([10 ** (cell.tx_power_dbm / 10 - 3) for cell in cells], dtype=np.float32))
        self.backhaul = Backhaul(scenario)
        self.sessions = traffic.SessionModel()
        self.failures = FailureModel(self.num_cells, rng=stream(scenario, seed, _CELLS))
        self.tours = Tours(scenario.streets, scenario.ues, rng=stream(scenario, seed, _TOURS))
        self.propagation = Propagation(scenario, rng=stream(scenario, seed, _RADIO))
        self._populate(stream(scenario, seed, _CROWD), stream(scenario, seed, _WALLS))
        self.home_paths = self.propagation.paths(self.points)
        sectors = sectors_of(cells)
        self.home_gain_db = link_gain_db(self.home_paths, sectors, self.propagation.mast_of_cell)
        self._dimension(sectors)
        level = self.home_gain_db + sectors.power_dbm - self.rsrp_offset_db
        self.nominal_rsrp_dbm = np.where(sectors.on_air, level, -np.inf).max(axis=1).astype(np.float32)
        # The UEs move: what they see says nothing about how well the place of a cell is covered.
        self.nominal_rsrp_dbm[: self.num_ues] = -np.inf

    def _populate(self, rng: np.random.Generator, walls: np.random.Generator) -> None:
        ues = self.scenario.ues
        uses, slices = tuple(LandUse), [part.id for part in self.scenario.slices]
        sst = np.array([part.sst for part in self.scenario.slices])
        ue_use = np.array([uses.index(ue.land_use) for ue in ues], dtype=np.int64)
        ue_slice = np.array([slices.index(ue.slice_id) for ue in ues], dtype=np.int64)
        crowd = traffic.CROWD_POINTS_PER_CELL * self.num_cells if ues else 0
        model = rng.integers(0, max(len(ues), 1), crowd)
        home_m = np.array([ue.home_m for ue in ues], dtype=np.float32).reshape(-1, 2)
        offset_m = rng.normal(0.0, traffic.CROWD_OFFSET_M, (crowd, 2)).astype(np.float32)
        crowd_m = home_m[model] + offset_m
        indoor = np.array([ue.indoor for ue in ues], dtype=bool)
        self.points = indoor_points(
            np.concatenate([home_m, crowd_m]), np.concatenate([indoor, indoor[model]]), rng=walls
        )
        self.activity_row = np.concatenate([ue_use, ue_use[model]])
        self.slice_of_user = np.concatenate([ue_slice, ue_slice[model]])
        ue_sst = sst[ue_slice] if len(ues) else np.zeros(0, dtype=np.int64)
        self.busy_duty = np.array([traffic.DUTY_BY_SST.get(int(kind), traffic.BUSY_DUTY) for kind in ue_sst], "f4")
        self.rate_factor = np.array([traffic.RATE_FACTOR_BY_SST.get(int(kind), 1.0) for kind in ue_sst], "f4")
        appetite = self.rate_factor[model] * np.exp(0.3 * rng.standard_normal(crowd)).astype(np.float32)
        share = appetite / max(float(appetite.sum()), 1e-9)
        self.busy_demand_bps = (share * traffic.CROWD_SPECTRAL_DEMAND * self.bandwidth_hz.sum()).astype(np.float32)
        connections = traffic.CROWD_CONNECTIONS_PER_CELL * self.num_cells / max(crowd, 1)
        self.busy_connected = np.full(crowd, connections, dtype=np.float32)
        self.is_crowd = np.arange(len(ues) + crowd) >= len(ues)
        self.user_weight = np.concatenate([np.ones(len(ues)), np.full(crowd, 1.0)])
        self.max_need = np.concatenate([np.full(len(ues), MAX_NEED), np.full(crowd, MAX_CROWD_NEED)]).astype("f4")
        self._personal = traffic.Drift(crowd, knot_s=traffic.CROWD_KNOT_S, rng=rng)
        self._district = traffic.Drift(len(self.scenario.sites), knot_s=traffic.DISTRICT_KNOT_S, rng=rng)
        site_m = np.array([site.position_m[:2] for site in self.scenario.sites], dtype=np.float32)
        apart = crowd_m[:, None] - site_m[None]
        self._site_of = np.hypot(apart[..., 0], apart[..., 1]).argmin(axis=1) if crowd else np.zeros(0, np.int64)

    def _dimension(self, sectors: Sectors) -> None:
        """Take demand from cells that would be full every busy hour; an operator would have built more there."""
        ues = self.num_ues
        received = received_mw(self.home_gain_db, sectors)
        level = self.home_gain_db + sectors.power_dbm - self.rsrp_offset_db
        serving = strongest(np.where(sectors.on_air, level, np.float32(-300.0)))
        column = np.maximum(serving, 0)
        carrier = self.carrier_of_cell[column][:, None] == self.carrier_of_cell[None, :]
        heard = (received * carrier).T
        load = np.full((1, self.num_cells), 0.5, dtype=np.float32)
        ue_demand = (self.busy_duty * self.rate_factor * self.sessions.mean_rate_bps).astype(np.float32)
        for _ in range(DIMENSION_ROUNDS):
            outcome = evaluate(
                self,
                Moment(
                    serving=serving[None],
                    rsrp_dbm=level[np.arange(self.num_users), column][None],
                    signal_mw=received[np.arange(self.num_users), column][None],
                    total_mw=lambda activity: activity @ heard,
                    demand_bps=np.concatenate([ue_demand, self.busy_demand_bps])[None],
                    connected=np.concatenate([np.ones(ues, dtype=np.float32), self.busy_connected])[None],
                    load=load,
                    max_output_w=np.zeros(self.num_cells, dtype=np.float32),
                    awake=sectors.on_air,
                ),
                iterations=3,
            )
            load = outcome.load
            excess = np.append(np.minimum(DIMENSIONED_LOAD / np.maximum(load[0], 1e-3), 1.0), 1.0)
            self.busy_demand_bps *= excess[serving[ues:]].astype(np.float32)

    @property
    def num_users(self) -> int:
        """UEs and points of the crowd together."""
        return len(self.points.position_m)

    def crowd_noise(self, sim_time_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the factor on each crowd point's demand, ``[num_times, num_crowd] float32``."""
        own = traffic.spread_factor(self._personal.at(sim_time_s), traffic.CROWD_SIGMA)
        return own * traffic.spread_factor(self._district.at(sim_time_s), traffic.DISTRICT_SIGMA)[:, self._site_of]


@lru_cache(maxsize=1)
def world_of(scenario: Scenario, seed: int) -> World:
    """Return the world of a scenario and seed; the last one is kept, as past and present need the same."""
    return World(scenario, seed=seed)


def rows_of(scenario: Scenario, topology: Topology) -> dict[Kind, NDArray[np.uint32]]:
    """Return the dense topology indices of cells, slices, links and UEs in scenario order."""
    return {
        Kind.CELL: _indices(topology, [cell.id for cell in scenario.cells]),
        Kind.SLICE: _indices(topology, [part.id for part in scenario.slices]),
        Kind.LINK: _indices(topology, [one.id for one in scenario.links]),
        Kind.UE: _indices(topology, [ue.id for ue in scenario.ues]),
    }


def _indices(topology: Topology, ids: list[str]) -> NDArray[np.uint32]:
    return np.array([topology.get(one).index for one in ids], dtype=np.uint32)
