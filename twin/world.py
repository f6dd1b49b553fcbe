"""What never changes while a network runs: the radio landscape, the tours, the crowd, and how entities map to rows.

Made once from scenario and seed, shared by the live network and its past.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from twin.energy import power_model
from twin.entities import Kind
from twin.errors import ScenarioError
from twin.handover import strongest
from twin.mobility import mobility_of
from twin.moments import SSB_PERIOD_MS, Carriers, Moment, evaluate, idle_activity
from twin.people import People
from twin.radio.landscape import Landscape, received_mw, rsrp_dbm, sectors_of
from twin.radio.radio_map import map_of
from twin.scheduler import BUDGET_MS_BY_SST, BURST_BIT_BY_SST
from twin.setup_failures import FailureModel, coverage_failure
from twin.sixg.sensing import with_sensing
from twin.slicing import pools
from twin.topology import policies_of
from twin.transport import Transport

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.radio.landscape import Sectors
    from twin.scenario import Scenario
    from twin.slicing import Pools
    from twin.topology import Topology
    from twin.traffic import TrafficModel

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
        traffic: What share of their demand people want when, None = see :class:`twin.people.People`.

    Attributes:
        num_ues: Rows 0..num_ues-1 of the users are the UEs, the rest is the crowd.
        points: Where each user is at home.
        carriers: As the scenario states them, and so `pools` and `transport`.
        site_of_cell: ``[num_cells] int64`` row in `scenario.sites`.
        burst_bit: ``[num_slices] float64`` data that arrive together.
        budget_ms: ``[num_slices] float64`` delay that a slice allows, inf = any.
        power: Mains power of the cells.
        planned_failure: ``[num_users] float32`` share of set-ups at home that fail for want of signal; 1 for UEs.
        landscape: What lies between masts and users.
        home_gain_db: ``[num_users, num_cells] float32`` from every cell, as the scenario has them, to each user's home.
        people: What they want, when.
        tours: Where the UEs are, when.
    """

    def __init__(self, scenario: Scenario, *, seed: int, traffic: TrafficModel | None = None) -> None:
        if not scenario.cells:
            raise ScenarioError(f"scenario `{scenario.name}` has no cell; add at least one site with a sector")
        self.scenario = scenario
        self.seed = seed
        cells = scenario.cells
        self.num_cells, self.num_ues = len(cells), len(scenario.ues)
        self.bandwidth_hz = np.array([cell.bandwidth_hz for cell in cells])
        sectors = sectors_of(cells)
        sensing = self.stated("vsData6gIsac.sensingDutyCycle", 0.0) / 100.0
        self.carriers = Carriers(
            bandwidth_hz=self.bandwidth_hz,
            idle=with_sensing(idle_activity(self.stated("ssbPeriodicity", SSB_PERIOD_MS)), sensing),
            beam_gain_db=sectors.beam_gain_db,
            carrier_hz=sectors.carrier_hz.copy(),
        )
        self.noise_mw = self.carriers.noise_mw
        self.power = power_model(cells, model=scenario.energy_model)
        site_ids = [site.id for site in scenario.sites]
        self.site_of_cell = np.array([site_ids.index(cell.site_id) for cell in cells])
        sst = [part.sst for part in scenario.slices]
        self.burst_bit = np.array([BURST_BIT_BY_SST.get(one, BURST_BIT_BY_SST[1]) for one in sst], dtype=np.float64)
        self.budget_ms = np.array([BUDGET_MS_BY_SST.get(one, np.inf) for one in sst], dtype=np.float64)
        stated = [(one.min_percent, one.max_percent, one.dedicated_percent) for one in policies_of(scenario)]
        self.pools = self.pools_of(*np.array(stated, dtype=np.float64).reshape(-1, 3).T)
        self.transport = Transport(scenario)
        self.failures = FailureModel(self.num_cells, rng=stream(scenario, seed, _CELLS))
        self.tours = mobility_of(scenario, rng=stream(scenario, seed, _TOURS))
        self.landscape = Landscape(scenario, rng=stream(scenario, seed, _RADIO), radio_map=map_of(scenario))
        self.people = People(
            scenario, rng=stream(scenario, seed, _CROWD), walls=stream(scenario, seed, _WALLS), demand=traffic
        )
        self.points, self.slice_of_user = self.people.points, self.people.slice_of_user
        self.is_crowd, self.max_need = self.people.is_crowd, self.people.max_need
        self.carrier_of_cell, self.num_carriers = sectors.carrier_number, sectors.num_carriers
        self.home_gain_db = self.landscape.gain_db(self.points, sectors)
        self._dimension(sectors)
        self.planned_failure = coverage_failure(rsrp_dbm(self.home_gain_db, sectors).max(axis=1))
        # The UEs move: what they see says nothing about how well the place of a cell is covered.
        self.planned_failure[: self.num_ues] = 1.0

    def _dimension(self, sectors: Sectors) -> None:
        """Take demand from cells that would be full every busy hour; an operator would have built more there."""
        ues = self.num_ues
        received = received_mw(self.home_gain_db, sectors)
        level = rsrp_dbm(self.home_gain_db, sectors)
        serving = strongest(level)
        column = np.maximum(serving, 0)
        carrier = sectors.carrier_number[column][:, None] == sectors.carrier_number
        heard = (received * carrier).T
        load = np.full((1, self.num_cells), 0.5, dtype=np.float32)
        people = self.people
        for _ in range(DIMENSION_ROUNDS):
            outcome = evaluate(
                self,
                Moment(
                    serving=serving[None],
                    rsrp_dbm=level[np.arange(self.num_users), column][None],
                    signal_mw=received[np.arange(self.num_users), column][None],
                    total_mw=lambda activity: activity @ heard,
                    demand_bps=np.concatenate([people.busy_rate_bps, people.busy_demand_bps])[None],
                    connected=np.concatenate([np.ones(ues, dtype=np.float32), people.busy_connected])[None],
                    load=load,
                    max_output_w=np.zeros(self.num_cells, dtype=np.float32),
                    awake=sectors.on_air,
                ),
                iterations=3,
            )
            load = outcome.load
            excess = np.append(np.minimum(DIMENSIONED_LOAD / np.maximum(load[0], 1e-3), 1.0), 1.0)
            people.busy_demand_bps *= excess[serving[ues:]].astype(np.float32)

    def stated(self, name: str, default: float) -> NDArray[np.float64]:
        """Return a numeric attribute of all cells as the scenario sets it, ``[num_cells] float64``."""
        told = {entity_id: float(value) for entity_id, which, value in self.scenario.configured if which == name}
        return np.array([told.get(cell.id, default) for cell in self.scenario.cells])

    @property
    def num_users(self) -> int:
        """UEs and points of the crowd together."""
        return len(self.points.position_m)

    def pools_of(
        self,
        min_percent: NDArray[np.float64],
        max_percent: NDArray[np.float64],
        dedicated_percent: NDArray[np.float64],
    ) -> Pools:
        """Return the slice pools of all cells from the policies of all sites, ``[num_sites x num_slices]`` each."""
        least, most, dedicated = (
            one.reshape(-1, len(self.scenario.slices))[self.site_of_cell] / 100.0
            for one in (min_percent, max_percent, dedicated_percent)
        )
        return pools(least=least, most=most, dedicated=dedicated)


@lru_cache(maxsize=1)
def world_of(scenario: Scenario, seed: int, traffic: TrafficModel | None = None) -> World:
    """Return the world of a scenario, seed and traffic model; the last one is kept: past and present need the same."""
    return World(scenario, seed=seed, traffic=traffic)


def rows_of(scenario: Scenario, topology: Topology) -> dict[Kind, NDArray[np.uint32]]:
    """Return the dense topology indices of cells, slices, links, UEs and targets in scenario order."""
    return {
        Kind.CELL: _indices(topology, [cell.id for cell in scenario.cells]),
        Kind.SLICE: _indices(topology, [part.id for part in scenario.slices]),
        Kind.LINK: _indices(topology, [one.id for one in scenario.links]),
        Kind.UE: _indices(topology, [ue.id for ue in scenario.ues]),
        Kind.TARGET: _indices(topology, [one.id for one in scenario.targets]),
    }


def _indices(topology: Topology, ids: list[str]) -> NDArray[np.uint32]:
    return np.array([topology.get(one).index for one in ids], dtype=np.uint32)
