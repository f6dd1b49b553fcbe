"""The live network: the one place where mobility, traffic, radio, scheduling, handover and faults meet.

Synchronous and pure: a process that owns a `Network` steps it, reads telemetry and reports from it, applies
commands to it. Same scenario, seed, orders and steps give the same figures, also across snapshot and restore.
Cell counters speak of everyone whom a cell serves: the UEs and the crowd (:mod:`twin.traffic`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from twin import counters, kernels
from twin.air import Air
from twin.commands import SetAttribute
from twin.configuration import Configuration
from twin.entities import AdministrativeState, Kind
from twin.errors import CorruptStore, InvalidInput, UnknownEntity
from twin.handover import RULED_BY, Mobility, rules_of, settled, strongest
from twin.kpi import kpis_of
from twin.live_counts import LiveCounts, SetUpChance
from twin.live_demand import LiveDemand, brought
from twin.live_faults import LiveFaults
from twin.moments import CELL_FEATURES, Moment, Outcome, evaluate
from twin.neighbours import relations_of
from twin.network_state import check_arrays, check_document, check_world, faults_of, pack, unpack
from twin.random_access import RandomAccess, turned_away
from twin.sixg.cell_free import partners, power_of
from twin.sixg.sensing import Sensing
from twin.sleep import CellStates
from twin.telemetry import PmReport, TelemetryBatch
from twin.topology import policies_of
from twin.transport import Transport
from twin.whereabouts import Whereabouts
from twin.world import rows_of, stream, world_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.attributes import AttributeValue
    from twin.clock import CivilTime
    from twin.commands import ManageFault
    from twin.faults import ActiveFault
    from twin.handover import MobilityRules
    from twin.radio.coverage import SinrMap
    from twin.radio.landscape import Points
    from twin.scenario import Scenario
    from twin.topology import Topology
    from twin.traffic import FlashCrowd, TrafficModel

FIRST_ITERATIONS, TICK_ITERATIONS = 12, 0
"""Load and interference converge at the start; afterwards each tick hears the load that the one before headed for."""
_ATTEMPTS = CELL_FEATURES.index("attempts")
_LIVE = 10
"""Stream of chance of everything that happens while time runs."""
_POLICY = ("rRMPolicyMinRatio", "rRMPolicyMaxRatio", "rRMPolicyDedicatedRatio")
UE_KPIS = tuple(row.name for row in kpis_of(Kind.UE))


class Network:
    """A radio network in time.

    Args:
        scenario: The city.
        topology: Dense indices and configured attributes; where it differs from the scenario, it wins.
        civil: Simulated seconds to civil time, for the daily curves.
        seed: Seed of everything random.
        sim_time_s: When it starts.
        kernel: What does the arithmetic, see :mod:`twin.kernels`.
        traffic: What share of their demand people want when; None = what the scenario measured, or the parametric
            model.

    Attributes:
        sim_time_s: Now.
    """

    def __init__(
        self,
        scenario: Scenario,
        topology: Topology,
        civil: CivilTime,
        *,
        seed: int,
        sim_time_s: float = 0.0,
        kernel: kernels.Kernel | None = None,
        traffic: TrafficModel | None = None,
    ) -> None:
        self.scenario, self.topology, self.civil = scenario, topology, civil
        self._kernel = kernel or kernels.load()
        self.seed, self.sim_time_s = seed, sim_time_s
        self._world = world_of(scenario, seed, traffic)
        self._rng = stream(scenario, seed, _LIVE)
        self._configuration = _configuration_of(scenario, topology)
        self._faults = LiveFaults(scenario, self._configuration)
        self._relations = relations_of(scenario.cells, scenario.neighbours)
        self._access = RandomAccess(self._world.num_cells)
        self._air = Air(self._world, self._kernel)
        locked, _, saving = self._service_orders()
        self._states = CellStates(locked=locked, saving=saving)
        self._pools, self._pools_revision = self._world.pools, -1
        self._transport = Transport(scenario)
        site_m = {site.id: site.position_m[:2] for site in scenario.sites}
        self._mast_m = np.array([site_m[cell.site_id] for cell in scenario.cells], dtype=np.float32)
        self._tune()
        self.adopt(topology)
        self._start()

    def adopt(self, topology: Topology) -> None:
        """Take a newer revision of the inventory: more entities, other indices.

        Configured attributes are not taken from it: they change by orders only.

        Raises:
            UnknownEntity: An entity of the scenario is missing.
        """
        self._rows = rows_of(self.scenario, topology)
        self.topology = topology
        self._configuration.adopt(topology)
        ues = self._rows[Kind.UE]
        # One row more than there are indices stands for everything that is no UE of the scenario.
        self._row_of_ue = np.full(topology.next_index + 1, -1, dtype=np.int64)
        self._row_of_ue[ues] = np.arange(len(ues))

    def use(self, kernel: kernels.Kernel) -> None:
        """Let another kernel do the arithmetic from the next step on; figures differ by its tolerance."""
        self._kernel = kernel
        self._air.use(kernel)
        self._mobility.use(kernel)

    @property
    def guided(self) -> bool:
        """Whether UEs stand where they were told to, see :meth:`guide`, and walk no tours of their own."""
        return self._where.guide is not None

    def guide(self) -> None:
        """Let UEs stand still from now on until :meth:`place` moves them; they begin at home."""
        if not self.guided:
            self._where.stand()
            self._move()

    def release(self) -> None:
        """Let UEs walk their own tours again."""
        if self.guided:
            self._hear(*self._where.walk(self.sim_time_s))

    def place(self, entity_index: NDArray[np.uint32], position_m: NDArray[np.float32]) -> int:
        """Tell where UEs are; effective in the next step. The network must be guided.

        Positions count as they are: nothing is interpolated, one further than 100 km from the origin is brought back
        to that. A UE that is not named stays where it is; entities that are no UE of the scenario are left alone.

        Args:
            entity_index: ``[n] uint32`` dense topology indices.
            position_m: ``[n, 2] or [n, 3] float32`` ENU metres; the radio model keeps its own height of UEs.

        Returns:
            How many UEs were refused because their position is no number; they stay where they were.

        Raises:
            InvalidInput: The network is not guided.
        """
        guide = self._where.guide
        if guide is None:
            raise InvalidInput("the UEs of this network walk by themselves; call `guide` first")
        row = self._row_of_ue[np.minimum(entity_index.astype(np.int64), len(self._row_of_ue) - 1)]
        known = row >= 0
        sound = known & np.isfinite(position_m[:, :2]).all(axis=1)
        guide.put(row[sound], position_m[sound, :2].astype(np.float32))
        return int(known.sum() - sound.sum())

    def step(self, dt_s: float = 0.1) -> None:
        """Advance by one tick: move, hand over, start sessions, share resources, count."""
        ues = self._world.num_ues
        self.sim_time_s += dt_s
        if self._demand.is_due(self.sim_time_s):
            self._demand.read(self.sim_time_s, place_m=self._where.place_m, crowds=self._crowds(self.sim_time_s))
            self._demand.listen()
        self._move()
        field = self._air.field
        self._mobility.step(field.rsrp_dbm, self._sinr_db, self._quality_db, dt_s=dt_s, rng=self._rng)
        if self._states.restless:
            self._change_states(dt_s)
        self._serving[:ues] = self._mobility.serving
        self._served_share[:ues] = self._mobility.served_share
        self._demand.sessions.step(self.sim_time_s, dt_s, self._rng)
        outcome = self._evaluate(TICK_ITERATIONS)
        self._counts.take(outcome, dt_s)
        if self._mobility.called:
            self._access.call(self._mobility.calls, others_per_s=outcome.cells[0][:, _ATTEMPTS], dt_s=dt_s)
        if self._faults.effects.access_loss.any():
            self._count_refusals(dt_s)
        self._sensing.step(dt_s, self.sim_time_s, self._air.sectors, self._air.sensing_duty)

    def _start(self) -> None:
        world = self._world
        self._where = Whereabouts(world, sim_time_s=self.sim_time_s)
        self._demand = LiveDemand(world, self.civil)
        self._demand.read(self.sim_time_s, place_m=self._where.place_m, crowds=self._crowds(self.sim_time_s))
        points = world.points.take(slice(None))
        points.position_m[: world.num_ues] = self._where.place_m
        self._air.open(points)
        rsrp_dbm = self._air.field.rsrp_dbm[: world.num_ues]
        self._mobility = Mobility(rsrp_dbm, self._relations, self._rules(), kernel=self._kernel)
        self._serving = np.full(world.num_users, -1, dtype=np.int64)
        self._serving[: world.num_ues] = self._mobility.serving
        self._served_share = np.ones(world.num_users, dtype=np.float32)
        self._first_place = np.arange(world.num_users) * world.num_cells
        self._admit()
        self._demand.begin(self.sim_time_s, self._rng)
        self._sensing = Sensing(self.scenario, world.landscape)
        self._load = np.full((1, world.num_cells), 0.3, dtype=np.float32)
        outcome = self._evaluate(FIRST_ITERATIONS)
        minute = int(self.sim_time_s // 60)
        self._counts = LiveCounts(world, minute=minute)
        self._counts.fill_windows(outcome.cells[0], minute=minute, chance=self._chance())

    def _crowds(self, sim_time_s: float) -> tuple[FlashCrowd, ...]:
        """Return the flash crowds of the scenario, and those that faults bring."""
        return (*self._where.events, *brought(self._faults.effects.crowds, sim_time_s))

    def _move(self) -> None:
        moved = self._where.move(self.sim_time_s, self._air.field.points.position_m[: self._world.num_ues])
        if moved is not None:
            self._hear(*moved)

    def _hear(self, rows: NDArray[np.int64], points: Points) -> None:
        """Compute what UEs hear at new places."""
        self._air.field.place(rows, points)
        self._mobility.hear(rows)

    def _tune(self) -> None:
        """Carry configuration and faults over to what is radiated, shared and transported."""
        configuration, effects = self._configuration, self._faults.effects
        locked, closing, saving = self._service_orders()
        self._states.order(locked=locked, closing=closing, saving=saving)
        self._air.tune(configuration, effects, on_air=self._states.on_air)
        self._most_together = configuration.numbers("vsData6gApCluster.maxServingAps").astype(np.int64)
        revision = configuration.revision_of(*_POLICY)
        if revision != self._pools_revision:
            self._pools_revision = revision
            self._pools = self._world.pools_of(*(configuration.numbers(name) for name in _POLICY))
        self._transport.configure(
            unlocked=configuration.equals("administrativeState", AdministrativeState.UNLOCKED.value, Kind.LINK),
            igp_metric=configuration.numbers("vsDataTransport.igpMetric"),
            rate_limit_mbps=configuration.numbers("vsDataTransport.maxBitRate"),
            capacity_factor=effects.link_capacity,
            extra_delay_ms=effects.link_delay_ms,
        )

    def _rules(self) -> MobilityRules:
        self._rules_revision = self._configuration.revision_of(*RULED_BY, "arfcnDL")
        return rules_of(self._configuration, carrier=self._air.sectors.carrier_number)

    def _service_orders(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which cells are told to be locked, to shut down, and to save energy, ``[num_cells]`` each."""
        configuration, state = self._configuration, AdministrativeState
        return (
            configuration.equals("administrativeState", state.LOCKED.value, Kind.CELL),
            configuration.equals("administrativeState", state.SHUTTING_DOWN.value, Kind.CELL),
            configuration.equals("energySavingControl", "toBeEnergySaving"),
        )

    def _change_states(self, dt_s: float) -> None:
        """Let cells fall asleep, wake up or lock once those whom they served have left."""
        serving = self._mobility.serving
        staying = np.bincount(serving[serving >= 0], minlength=self._world.num_cells)
        admits = self._states.admits
        if self._states.step(dt_s, staying=staying):
            self._reconfigured()
        elif (admits != self._states.admits).any():
            self._admit()

    def _reconfigured(self) -> None:
        self._tune()
        self._air.hear(self._configuration)
        if self._configuration.revision_of(*RULED_BY, "arfcnDL") != self._rules_revision:
            self._mobility.rule(self._rules())
        self._mobility.hear(slice(None))
        self._admit()

    def _admit(self) -> None:
        """Carry over who takes new connections; the crowd is served by the strongest cell that it gets into."""
        states, loss, ues = self._states, self._faults.effects.access_loss, self._world.num_ues
        # A gNB that has lost the core bars its cells and releases whom they serve.
        core = self._transport.reached
        admits = states.admits & core
        self._mobility.admit(admits=admits, on_air=states.on_air, drains=states.drains | ~core, access_loss=loss)
        self._least_dbm = self._configuration.numbers("qRxLevMin").astype(np.float32)
        self._camped = strongest(self._air.field.rsrp_dbm, least_dbm=self._least_dbm, admits=admits)
        self._serving[ues:] = settled(
            self._air.field.rsrp_dbm[ues:],
            self._camped[ues:],
            neighbour=self._relations.neighbour,
            offset_db=self._mobility.offset_db,
            admits=admits,
        )
        if loss.any():
            crowd = self._air.field.rsrp_dbm[ues:]
            away = turned_away(len(crowd), camped=self._camped[ues:], access_loss=loss)
            elsewhere = strongest(crowd[away], least_dbm=self._least_dbm, admits=admits & (loss == 0))
            self._serving[ues:][away] = elsewhere

    def _count_refusals(self, dt_s: float) -> None:
        ues = self._world.num_ues
        self._camped[:ues] = strongest(
            self._air.field.rsrp_dbm[:ues], least_dbm=self._least_dbm, admits=self._states.admits
        )
        self._access.step(
            self._faults.effects.access_loss,
            camped=self._camped,
            serving=self._serving,
            connected=self._connected,
            dt_s=dt_s,
        )

    def _quality_db(self, rows: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the SINR that users would have at cells, ``[n] float32``, at the load of the tick before."""
        return self._air.quality_db(rows, cells, self._load[0])

    def _evaluate(self, iterations: int) -> Outcome:
        world = self._world
        air, field = self._air, self._air.field
        place = self._first_place + np.maximum(self._serving, 0)
        self._connected = self._demand.connected()
        external_mw = air.external_mw(self._serving)
        helpers, assist_mw = self._helpers()
        outcome = evaluate(
            world,
            Moment(
                serving=self._serving[None],
                rsrp_dbm=field.rsrp_dbm.take(place)[None],
                signal_mw=field.received_mw.take(place)[None],
                total_mw=lambda activity: field.total_mw(activity, self._serving[None]),
                demand_bps=self._demand.bps()[None],
                connected=self._connected[None],
                load=self._load,
                max_output_w=air.max_output_w,
                awake=self._states.awake,
                carriers=air.carriers,
                pools=self._pools,
                planned_failure=world.planned_failure,
                transport=self._transport,
                external_mw=None if external_mw is None else external_mw[None],
                served_share=self._served_share[None],
                assist_cells=helpers,
                assist_mw=assist_mw,
            ),
            iterations=iterations,
            kernel=self._kernel,
        )
        self._load = outcome.guess
        self._sinr_db, self._throughput_bps = outcome.sinr_db[0], outcome.throughput_bps[0]
        return outcome

    def _helpers(self) -> tuple[NDArray[np.int64], NDArray[np.float32]] | tuple[None, None]:
        """Return the cells that serve users beside the serving one, and their power, ``[1, num_users, K]`` each."""
        if not np.count_nonzero(self._most_together > 1):
            return None, None
        rows, received_mw = np.arange(self._world.num_users), self._air.field.received_mw
        helpers = partners(
            self._serving,
            received_mw,
            rows,
            most=self._most_together,
            carrier=self._air.sectors.carrier_number,
            admits=self._states.admits,
        )
        return (None, None) if helpers is None else (helpers[None], power_of(received_mw, rows, helpers)[None])

    def telemetry(self, *, scene_id: str, epoch: int, seq: int) -> TelemetryBatch:
        """Return positions and gauges of every UE now, and positions of sensing targets.

        The throughput of a UE without data is NaN, and so is every gauge of a target.
        """
        ues = self._world.num_ues
        serving = self._mobility.serving
        served = serving >= 0
        rsrp = self._air.field.rsrp_dbm[np.arange(ues), np.maximum(serving, 0)]
        index = self._rows[Kind.CELL][np.maximum(serving, 0)].astype(np.float32)
        columns = {
            "RF.serving.RSRP": np.where(served, np.clip(rsrp, -156.0, -31.0), np.nan),
            "RF.serving.RSSINR": np.where(served, np.clip(self._sinr_db[:ues], -23.0, 40.0), np.nan),
            "DRB.UEThpDl": np.where(served & self._demand.sessions.on, self._throughput_bps[:ues] / 1e3, np.nan),
            "vsData6gServingCell": np.where(served, index, -1.0),
        }
        gauges = np.stack([columns[name] for name in UE_KPIS], axis=1).astype(np.float32)
        ue_m = np.column_stack([self._where.place_m, self._air.field.points.height_m[:ues]])
        target_m = self._sensing.targets.at(self.sim_time_s)
        return TelemetryBatch(
            scene_id=scene_id,
            epoch=epoch,
            seq=seq,
            revision=self.topology.revision,
            sim_time_s=self.sim_time_s,
            entity_index=np.concatenate([self._rows[Kind.UE], self._rows[Kind.TARGET]]),
            position_m=np.concatenate([ue_m, target_m.astype(np.float32)]),
            kpis=UE_KPIS,
            values=np.concatenate([gauges, np.full((len(target_m), len(UE_KPIS)), np.nan, dtype=np.float32)]),
        )

    def close_period(self, *, scene_id: str, epoch: int, seq: int, granularity_period_s: int) -> PmReport:
        """Return the counters since the last call and start counting anew.

        Cells, slices and links in this order; NaN where an entity has no such KPI or nothing was measured.
        """
        counts = self._counts
        set_ups = counts.set_ups(counts.cells, minute=int(self.sim_time_s // 60), chance=self._chance())
        values = counts.values(
            set_ups,
            mobility=self._mobility.counts,
            served_distance_m=self._served_distance_m(),
            more=self._sensing.columns(),
        )
        counts.clear()
        self._mobility.counts[:] = 0.0
        self._access.clear()
        return PmReport(
            scene_id=scene_id,
            epoch=epoch,
            seq=seq,
            revision=self.topology.revision,
            granularity_period_s=granularity_period_s,
            period_end_sim_time_s=self.sim_time_s,
            entity_index=np.concatenate([self._rows[kind] for kind in counters.REPORT_KINDS]),
            counters=counters.COUNTERS,
            values=values,
        )

    def _served_distance_m(self) -> NDArray[np.float64]:
        served = np.flatnonzero(self._serving >= 0)
        cell = self._serving[served]
        offset_m = self._air.field.points.position_m[served] - self._mast_m[cell]
        return counters.percentile_by_cell(
            np.hypot(offset_m[:, 0], offset_m[:, 1]),
            cell=cell,
            weight=self._connected[served],
            share=counters.SERVED_DISTANCE_SHARE,
            num_cells=self._world.num_cells,
        )

    def _chance(self) -> SetUpChance:
        return SetUpChance(
            week_second=self._demand.week_second, sim_time_s=self.sim_time_s, access=self._access, rng=self._rng
        )

    def sinr_map(self, *, resolution_m: float = 20.0) -> SinrMap:
        """Return SINR, strongest cell and RSRP at street level over the whole area, at the present load."""
        return self._air.sinr_map(self._load[0], resolution_m=resolution_m)

    def apply(self, actions: Sequence[SetAttribute]) -> tuple[SetAttribute, ...]:
        """Change attributes, all or none, and return what reads back; effective in the next step.

        Raises:
            UnknownEntity: No such entity.
            UnknownName: The entity has no such attribute.
            OutOfRange: A value that the NRM or the policy forbids.
        """
        checked = self._configuration.checked(actions)
        for action in checked:
            self._faults.see(action)
            self._configuration.write([action])
        self._reconfigured()
        return tuple(
            SetAttribute(entity_id=a.entity_id, attribute=a.attribute, value=self.read(a.entity_id, a.attribute))
            for a in checked
        )

    def read(self, entity_id: str, attribute: str) -> AttributeValue:
        """Return the value of a managed attribute in its 3GPP unit.

        Raises:
            UnknownEntity: No such entity.
            UnknownName: The entity has no such attribute.
        """
        return self._configuration.read(entity_id, attribute)

    def configuration(self) -> tuple[SetAttribute, ...]:
        """Return every managed attribute as observed."""
        return self._configuration.all()

    def manage_fault(self, order: ManageFault) -> tuple[SetAttribute, ...]:
        """Inject or clear a fault; injecting again replaces the severity.

        Returns:
            The managed attributes that a misconfiguration changed, or its end changed back, as they read now.

        Raises:
            UnknownEntity: No such entity.
            InvalidInput: The fault cannot befall this entity, or finds nothing to break there.
            UnknownName, OutOfRange: No such fault, or a severity outside 0..1.
            NotFound: The order clears a fault that is not there.
        """
        if order.entity_id not in self.topology:
            raise UnknownEntity(f"no entity has the id `{order.entity_id}`; a fault needs one such as `cell-7-2`")
        kind = self.topology.get(order.entity_id).kind
        changed = self._faults.manage(order, kind=kind, sim_time_s=self.sim_time_s)
        self._struck()
        return changed

    def _struck(self) -> None:
        self._reconfigured()
        self._demand.want(place_m=self._where.place_m, crowds=self._crowds(self._demand.read_at_s))
        self._demand.listen()

    def faults(self) -> tuple[ActiveFault, ...]:
        """Return the faults that act now; those that orders have put right do not."""
        return self._faults.acting()

    def inherit(self, older: Network) -> None:
        """Take over configuration and faults of another network of the same scenario."""
        self._configuration.restore(older._configuration.values())
        self._faults.take(older._faults.known())
        self._struck()

    def reseed(self, number: int) -> None:
        """Set the generator of everything that happens while time runs; the world stays as it is.

        Two networks in one state that are given the same number go on alike.
        """
        fresh = np.random.default_rng(np.random.SeedSequence([self.seed % 2**63, _LIVE, number]))
        self._rng.bit_generator.state = fresh.bit_generator.state

    def snapshot(self) -> bytes:
        """Return everything needed to go on, every random generator included; no code is ever loaded from it."""
        document = {
            "scenario": self.scenario.digest,
            "seed": self.seed,
            "sim_time_s": self.sim_time_s,
            "live_start_s": self._where.live_start_s,
            "clock_read_at_s": self._demand.read_at_s,
            "generator": self._rng.bit_generator.state,
            "configured": self._configuration.values(),
            "faults": self._faults.document(),
            "minutes": self._counts.minutes(),
            "guided": self.guided,
        }
        return pack(document, self._arrays())

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot of the same scenario and seed.

        Raises:
            CorruptStore: Not a snapshot, damaged, of another scenario, seed or version; the network is as it was.
        """
        document, arrays = unpack(state)
        check_world(document, self.scenario, self.seed)
        check_document(document, procedures=self._counts.windows)
        active = faults_of(document, scenario=self.scenario, topology=self.topology)
        guide = self._where.guide
        self._where.guide = None
        if document["guided"]:
            self._where.stand()
        try:
            check_arrays(arrays, self._arrays())
        except CorruptStore:
            self._where.guide = guide
            raise
        self._configuration.restore(document["configured"])
        for name, array in self._states.arrays().items():
            array[...] = arrays[name]
        self._faults.take(active)
        self._reconfigured()
        self._where.call(document["live_start_s"])
        read_at_s = document["clock_read_at_s"]
        self._demand.read(read_at_s, place_m=self._where.place_m, crowds=self._crowds(read_at_s))
        self.sim_time_s = document["sim_time_s"]
        for name, array in self._arrays().items():
            array[...] = arrays[name]
        self._air.field.recompute()
        self._demand.listen()
        for name, window in self._counts.windows.items():
            window.minute = document["minutes"][name]
        self._rng.bit_generator.state = document["generator"]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that change in time, by name; writing into them writes the state."""
        return {
            **self._where.arrays(),
            **self._air.arrays(),
            "serving": self._serving,
            **self._mobility.arrays(),
            **self._states.arrays(),
            **self._access.arrays(),
            **self._demand.arrays(),
            "load": self._load,
            "sinr_db": self._sinr_db,
            "throughput_bps": self._throughput_bps,
            **self._counts.arrays(),
            "sensing": self._sensing.sums,
        }


def _configuration_of(scenario: Scenario, topology: Topology) -> Configuration:
    """Return the configuration, whose columns must stand in the order of the scenario.

    Raises:
        UnknownEntity: The inventory is that of another city.
    """
    configuration = Configuration(topology)
    for kind, own in (
        (Kind.CELL, scenario.cells),
        (Kind.LINK, scenario.links),
        (Kind.RELATION, scenario.neighbours),
        (Kind.POLICY, policies_of(scenario)),
        (Kind.RIS, scenario.ris),
    ):
        if configuration.ids(kind) != tuple(one.id for one in own):
            raise UnknownEntity(
                f"the inventory has other entities of the kind `{kind.value}` than scenario `{scenario.name}`:"
                " it is that of another city"
            )
    return configuration
