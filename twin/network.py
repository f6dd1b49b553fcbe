"""The live network: the one place where mobility, traffic, radio, scheduling, handover and faults meet.

Synchronous and pure: a process that owns a `Network` steps it, reads telemetry and reports from it, applies
commands to it. Same scenario, seed, orders and steps give the same figures, also across snapshot and restore.
Cell counters speak of everyone whom a cell serves: the UEs and the crowd (:mod:`twin.traffic`).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from twin import counters, faults, kernels, traffic
from twin.attributes import to_native
from twin.commands import SetAttribute
from twin.configuration import Configuration
from twin.entities import AdministrativeState, Kind
from twin.errors import CorruptStore, InvalidInput, UnknownEntity
from twin.fault_effects import effects_of, strike
from twin.gathering import Gathering
from twin.guided import GuidedPlaces
from twin.handover import RULED_BY, Mobility, rules_of, settled, strongest
from twin.kpi import kpis_of
from twin.moments import CELL_FEATURES, SLICE_FEATURES, Carriers, Moment, Outcome, evaluate, idle_activity
from twin.neighbours import namesakes, relations_of, shared_identity_mw
from twin.network_state import pack, unpack
from twin.radio.coverage import SinrMap, sinr_map
from twin.radio.field import RadioField
from twin.radio.landscape import sectors_of
from twin.random_access import RandomAccess, turned_away
from twin.setup_failures import PROCEDURES, WINDOW_MINUTES, Window
from twin.sixg.cell_free import partners, power_of
from twin.sixg.sensing import Sensing, with_sensing
from twin.sixg.ways import Surfaces, contributors_of
from twin.sleep import CellStates
from twin.telemetry import PmReport, TelemetryBatch
from twin.topology import stated_arfcn
from twin.transport import LINK_FEATURES, Transport
from twin.world import rows_of, stream, world_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.attributes import AttributeValue
    from twin.clock import CivilTime
    from twin.commands import ManageFault
    from twin.faults import ActiveFault
    from twin.mobility import MobilitySource
    from twin.radio.landscape import Points
    from twin.scenario import Scenario
    from twin.topology import Topology

MOVED_M = 1.0
"""A UE's paths are computed afresh once it has moved this far: a fiftieth of the shortest shadowing distance."""
FIRST_ITERATIONS, TICK_ITERATIONS = 12, 0
"""Load and interference converge at the start; afterwards each tick hears the load that the one before headed for."""
CLOCK_REFRESH_S = 1.0
"""Daily curves and the drift of the crowd move by less than a hundredth in this time."""
GUEST_SHARE = 0.5
"""Part of the UEs about and near who come to an event of the scenario."""
_GUESTS = 1000
"""First stream of chance of the guests of events; the others are few."""
_LIVE = 10
"""Stream of chance of everything that happens while time runs."""
_CONNECTED = CELL_FEATURES.index("connected")
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
    ) -> None:
        self.scenario, self.topology, self.civil = scenario, topology, civil
        self._kernel = kernel or kernels.load()
        self.seed, self.sim_time_s = seed, sim_time_s
        self._world = world_of(scenario, seed)
        self._rng = stream(scenario, seed, _LIVE)
        self._configuration = Configuration(topology)
        self._faults: tuple[ActiveFault, ...] = ()
        self._relations = relations_of(scenario.cells, scenario.neighbours)
        self._access = RandomAccess(self._world.num_cells)
        self._sectors = sectors_of(scenario.cells)
        self._stated_hz = 1e6 * np.array([float(to_native("arfcnDL", stated_arfcn(cell))) for cell in scenario.cells])
        locked, _, saving = self._service_orders()
        self._states = CellStates(locked=locked, saving=saving)
        self._carriers, self._pools, self._shares_revision = self._world.carriers, self._world.pools, -1
        self._transport = Transport(scenario)
        site_m = {site.id: site.position_m[:2] for site in scenario.sites}
        self._mast_m = np.array([site_m[cell.site_id] for cell in scenario.cells], dtype=np.float32)
        self._refresh_sectors()
        self._guide: GuidedPlaces | None = None
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
        self._field.use(kernel)
        self._mobility.use(kernel)

    @property
    def guided(self) -> bool:
        """Whether UEs stand where they were told to, see :meth:`guide`, and walk no tours of their own."""
        return self._guide is not None

    def guide(self) -> None:
        """Let UEs stand still from now on until :meth:`place` moves them; they begin at home."""
        if self._guide is None:
            self._guide = GuidedPlaces(self.scenario, self._world)
            self._walk(self._guide)

    def release(self) -> None:
        """Let UEs walk their own tours again."""
        if self._guide is not None:
            self._guide = None
            self._place_m = self._source.at(self.sim_time_s)
            rows = np.arange(self._world.num_ues)
            self._hear(rows, self._home_points(rows, self._place_m))

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
        if self._guide is None:
            raise InvalidInput("the UEs of this network walk by themselves; call `guide` first")
        row = self._row_of_ue[np.minimum(entity_index.astype(np.int64), len(self._row_of_ue) - 1)]
        known = row >= 0
        sound = known & np.isfinite(position_m[:, :2]).all(axis=1)
        self._guide.put(row[sound], position_m[sound, :2].astype(np.float32))
        return int(known.sum() - sound.sum())

    def step(self, dt_s: float = 0.1) -> None:
        """Advance by one tick: move, hand over, start sessions, share resources, count."""
        world = self._world
        self.sim_time_s += dt_s
        if self.sim_time_s - self._clock_read_at_s >= CLOCK_REFRESH_S:
            self._read_clock()
            self._sessions.listen(self._duty)
        self._move()
        ues = world.num_ues
        self._mobility.step(self._field.rsrp_dbm, self._sinr_db, self._quality_db, dt_s=dt_s, rng=self._rng)
        if self._states.restless:
            self._change_states(dt_s)
        self._serving[:ues] = self._mobility.serving
        self._served_share[:ues] = self._mobility.served_share
        self._sessions.step(self.sim_time_s, dt_s, self._rng)
        outcome = self._evaluate(TICK_ITERATIONS)
        self._cell_sums += outcome.cells[0] * dt_s
        np.maximum(self._most_connected, outcome.cells[0][:, _CONNECTED], out=self._most_connected)
        if self._effects.access_loss.any():
            self._count_refusals(dt_s)
        self._slice_sums += outcome.slices[0] * dt_s
        self._link_sums += outcome.links[0] * dt_s
        self._sensing.step(dt_s, self.sim_time_s, self._sectors, self._sensing_duty)

    def _start(self) -> None:
        world = self._world
        self._call(self.sim_time_s)
        self._place_m = self._source.at(self.sim_time_s)
        self._duty = np.zeros(world.num_ues, dtype=np.float32)
        self._crowd_share = np.zeros(world.num_users - world.num_ues, dtype=np.float32)
        self._read_clock()
        points = world.points.take(slice(None))
        points.position_m[: world.num_ues] = self._place_m
        self._contributors = contributors_of(self.scenario, world.landscape, self._sectors, seed=self.seed)
        self._field = RadioField(
            world.landscape, self._sectors, points, kernel=self._kernel, contributors=self._contributors
        )
        self._rules_revision = self._configuration.revision_of(*RULED_BY, "arfcnDL")
        rules = rules_of(self._configuration, carrier=self._sectors.carrier_number)
        self._mobility = Mobility(self._field.rsrp_dbm[: world.num_ues], self._relations, rules, kernel=self._kernel)
        self._serving = np.full(world.num_users, -1, dtype=np.int64)
        self._serving[: world.num_ues] = self._mobility.serving
        self._served_share = np.ones(world.num_users, dtype=np.float32)
        self._admit()
        people = world.people
        self._sessions = traffic.Sessions(
            people.sessions, people.profile, self._duty, sim_time_s=self.sim_time_s, rng=self._rng
        )
        self._sensing = Sensing(self.scenario, world.landscape)
        self._load = np.full((1, world.num_cells), 0.3, dtype=np.float32)
        outcome = self._evaluate(FIRST_ITERATIONS)
        self._clear_sums()
        minute = int(self.sim_time_s // 60)
        self._windows = {name: Window(world.num_cells, minute=minute) for name in PROCEDURES}
        # A network that has been running has a full window of set-ups behind it.
        for back in range(WINDOW_MINUTES, 0, -1):
            self._count_set_ups(outcome.cells[0] * 60.0, minute - back + 1)

    def _clear_sums(self) -> None:
        self._cell_sums = np.zeros((self._world.num_cells, len(CELL_FEATURES)))
        self._slice_sums = np.zeros((len(self.scenario.slices), len(SLICE_FEATURES)))
        self._link_sums = np.zeros((len(self.scenario.links), len(LINK_FEATURES)))
        self._most_connected = np.zeros(self._world.num_cells)
        self._mobility.counts[:] = 0.0
        self._access.clear()

    def _read_clock(self) -> None:
        self._clock_read_at_s = self.sim_time_s
        self._week_second = traffic.second_of_week(self.civil, np.array([self.sim_time_s]))
        self._want()

    def _want(self) -> None:
        """Tell everyone how much he wants at the last reading of the clock."""
        now_s = self._clock_read_at_s
        duty, share = self._world.people.demand_share(np.array([now_s]), self._week_second, self._crowd_factor(now_s))
        self._duty[:], self._crowd_share[:] = duty[0], share[0]

    def _crowd_factor(self, sim_time_s: float) -> NDArray[np.float32] | None:
        """Return what flash crowds make of demand: those of the scenario, and those that faults bring."""
        called = (
            traffic.FlashCrowd(
                place_m=(one.east_m, one.north_m),
                radius_m=one.radius_m,
                start_s=sim_time_s,
                ramp_s=0.0,
                duration_s=1.0,
                factor=one.amount,
            )
            for one in self._effects.crowds
        )
        crowds = (*self._events, *called)
        if not crowds:
            return None
        points_m = self._world.points.position_m[:, :2].copy()
        points_m[: self._world.num_ues] = self._place_m
        return traffic.demand_factor(crowds, points_m, sim_time_s)

    def _call(self, live_start_s: float) -> None:
        """Announce the events of the scenario, whose times count from the first live second."""
        self._live_start_s = live_start_s
        self._events = tuple(
            traffic.FlashCrowd(
                place_m=one.position_m,
                radius_m=one.radius_m,
                start_s=live_start_s + one.at_s,
                ramp_s=one.ramp_s,
                duration_s=one.duration_s,
                factor=one.demand_factor,
            )
            for one in self.scenario.events
        )
        self._source: MobilitySource = self._world.tours
        for number, crowd in enumerate(self._events):
            rng = stream(self.scenario, self.seed, _GUESTS + number)
            self._source = Gathering(self._source, crowd, self.scenario.streets, share=GUEST_SHARE, rng=rng)

    def _move(self) -> None:
        if self._guide is not None:
            self._walk(self._guide)
            return
        moving = self._source.moving
        if not len(moving):
            return
        self._place_m[moving] = self._source.moving_at(self.sim_time_s)
        rows = moving[self._apart(moving)]
        if len(rows):
            self._hear(rows, self._home_points(rows, self._place_m[rows]))

    def _walk(self, guide: GuidedPlaces) -> None:
        """Take over where UEs were told to be."""
        self._place_m[:] = guide.place_m
        rows = np.flatnonzero(self._apart(slice(None)))
        if len(rows):
            self._hear(rows, guide.points(rows))

    def _apart(self, rows: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """Return which UEs have moved so far that their paths are others."""
        offset = self._place_m[rows] - self._field.points.position_m[: self._world.num_ues][rows]
        return (offset * offset).sum(axis=1) > MOVED_M**2

    def _home_points(self, rows: NDArray[np.int64], place_m: NDArray[np.float32]) -> Points:
        """Return UEs elsewhere, behind the walls that the scenario gives them."""
        points = self._world.points.take(rows)
        points.position_m[:] = place_m
        return points

    def _hear(self, rows: NDArray[np.int64], points: Points) -> None:
        """Compute what UEs hear at new places."""
        self._field.place(rows, points)
        self._mobility.hear(rows)

    def _discs(self) -> NDArray[np.float32]:
        """Return what stands in the way, as the radio takes it."""
        discs = [(one.east_m, one.north_m, one.radius_m, one.amount) for one in self._effects.obstacles]
        return np.array(discs, dtype=np.float32).reshape(-1, 4)

    def _refresh_sectors(self) -> None:
        """Carry configuration and faults over to what is radiated."""
        self._effects = effects_of(self._faults, self.scenario)
        sectors, configuration = self._sectors, self._configuration
        sectors.tilt_deg[:] = configuration.numbers("digitalTilt")
        sectors.shape[:] = configuration.numbers("coverageShape")
        sectors.carrier_hz[:] = self._carrier_hz()
        sectors.bandwidth_hz[:] = 1e6 * configuration.numbers("bSChannelBwDL")
        azimuth = np.array([cell.azimuth_deg for cell in self.scenario.cells])
        sectors.boresight_deg[:] = azimuth + configuration.numbers("digitalAzimuth")
        sectors.power_dbm[:] = configuration.numbers("configuredMaxTxPower") - self._effects.power_loss_db
        locked, closing, saving = self._service_orders()
        self._states.order(locked=locked, closing=closing, saving=saving)
        sectors.on_air[:] = self._states.on_air
        self._refresh_shares()
        self._transport.configure(
            unlocked=configuration.equals("administrativeState", AdministrativeState.UNLOCKED.value, Kind.LINK),
            igp_metric=configuration.numbers("vsDataTransport.igpMetric"),
            rate_limit_mbps=configuration.numbers("vsDataTransport.maxBitRate"),
            capacity_factor=self._effects.link_capacity,
            extra_delay_ms=self._effects.link_delay_ms,
        )
        self._max_output_w = np.where(sectors.on_air, 10.0 ** (sectors.power_dbm / 10.0 - 3.0), 0.0).astype(np.float32)

    def _carrier_hz(self) -> NDArray[np.float64]:
        """Return the carriers, those of the scenario where nobody ordered another; channel numbers end at 100 GHz."""
        planned = np.array([cell.carrier_hz for cell in self.scenario.cells])
        told_hz = 1e6 * self._configuration.numbers("arfcnDL")
        return np.where(told_hz == self._stated_hz, planned, told_hz)

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

    def _refresh_shares(self) -> None:
        """Carry carriers and slice policies over to what is shared."""
        configuration = self._configuration
        policy = ("rRMPolicyMinRatio", "rRMPolicyMaxRatio", "rRMPolicyDedicatedRatio")
        duty, together = "vsData6gIsac.sensingDutyCycle", "vsData6gApCluster.maxServingAps"
        revision = configuration.revision_of("bSChannelBwDL", "arfcnDL", "ssbPeriodicity", duty, together, *policy)
        if revision == self._shares_revision:
            return
        self._shares_revision = revision
        self._sensing_duty = configuration.numbers(duty) / 100.0
        self._most_together = configuration.numbers(together).astype(np.int64)
        self._carriers = Carriers(
            bandwidth_hz=1e6 * configuration.numbers("bSChannelBwDL"),
            idle=with_sensing(idle_activity(configuration.numbers("ssbPeriodicity")), self._sensing_duty),
            beam_gain_db=self._sectors.beam_gain_db,
        )
        self._pools = self._world.pools_of(*(configuration.numbers(name) for name in policy))

    def _reconfigured(self) -> None:
        self._refresh_sectors()
        self._field.set_obstacles(self._discs())
        self._field.retune()
        profiles = self._configuration.numbers("vsData6gRis.phaseProfileIndex")
        tuned = [one.tune(profiles) for one in self._contributors if isinstance(one, Surfaces)]
        if any(tuned):
            self._field.recompute()
        revision = self._configuration.revision_of(*RULED_BY, "arfcnDL")
        if revision != self._rules_revision:
            self._rules_revision = revision
            self._mobility.rule(rules_of(self._configuration, carrier=self._sectors.carrier_number))
        self._mobility.hear(slice(None))
        self._admit()

    def _admit(self) -> None:
        """Carry over who takes new connections; the crowd is served by the strongest cell that it gets into."""
        states, loss, ues = self._states, self._effects.access_loss, self._world.num_ues
        # A gNB that has lost the core bars its cells and releases whom they serve.
        core = self._transport.reached
        admits = states.admits & core
        self._mobility.admit(admits=admits, on_air=states.on_air, drains=states.drains | ~core, access_loss=loss)
        self._least_dbm = self._configuration.numbers("qRxLevMin").astype(np.float32)
        self._namesakes = namesakes(self._configuration.numbers("nRPCI").astype(np.int64), self._sectors.carrier_number)
        self._camped = strongest(self._field.rsrp_dbm, least_dbm=self._least_dbm, admits=admits)
        self._serving[ues:] = settled(
            self._field.rsrp_dbm[ues:],
            self._camped[ues:],
            neighbour=self._relations.neighbour,
            offset_db=self._mobility.offset_db,
            admits=admits,
        )
        if loss.any():
            crowd = self._field.rsrp_dbm[ues:]
            away = turned_away(len(crowd), camped=self._camped[ues:], access_loss=loss)
            elsewhere = strongest(crowd[away], least_dbm=self._least_dbm, admits=admits & (loss == 0))
            self._serving[ues:][away] = elsewhere

    def _count_refusals(self, dt_s: float) -> None:
        ues = self._world.num_ues
        self._camped[:ues] = strongest(
            self._field.rsrp_dbm[:ues], least_dbm=self._least_dbm, admits=self._states.admits
        )
        self._access.step(
            self._effects.access_loss,
            camped=self._camped,
            serving=self._serving,
            connected=self._connected,
            dt_s=dt_s,
        )

    def _quality_db(self, rows: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the SINR that users would have at cells, ``[n] float32``, at the load of the tick before."""
        heard = self._field.received_mw[rows]
        idle = self._carriers.idle
        activity = idle + (1.0 - idle) * self._load[0]
        carrier = self._sectors.carrier_number
        total = (heard * (carrier[cells][:, None] == carrier)) @ activity
        signal = heard[np.arange(len(rows)), cells]
        beam_gain = self._carriers.beam_gain
        aimed = signal if beam_gain is None else signal * beam_gain[cells]
        noise = self._carriers.noise_mw[cells] + shared_identity_mw(heard, cells, self._namesakes)
        if self._effects.noise:
            noise += self._interference_mw(rows, cells)
        disturbance = np.maximum(total - activity[cells] * signal, 0.0) + noise
        return (10.0 * np.log10(np.maximum(aimed, 1e-20) / disturbance)).astype(np.float32)

    def _interference_mw(self, rows: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what interferers from outside add to the noise of users on the carriers of cells, ``[n] float32``."""
        position_m = self._field.points.position_m[rows]
        carrier_hz, width_hz = self._sectors.carrier_hz[cells], self._sectors.bandwidth_hz[cells]
        rise = np.zeros(len(rows), dtype=np.float32)
        for disc in self._effects.noise:
            struck = disc.holds(position_m) & (np.abs(carrier_hz - disc.carrier_hz) < width_hz / 2)
            rise[struck] += np.float32(10.0 ** (disc.amount / 10.0) - 1.0)
        return (rise * self._carriers.noise_mw[cells]).astype(np.float32)

    def _external_mw(self, serving: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Return what neither load nor thermal noise explains, ``[num_users] float32``; None = nothing."""
        external_mw = None
        if self._namesakes:
            external_mw = shared_identity_mw(self._field.received_mw, serving, self._namesakes)
        if self._effects.noise:
            interference_mw = self._interference_mw(np.arange(len(serving)), np.maximum(serving, 0))
            external_mw = interference_mw if external_mw is None else external_mw + interference_mw
        return external_mw

    def _evaluate(self, iterations: int) -> Outcome:
        world = self._world
        ues, rows = world.num_ues, np.arange(world.num_users)
        column = np.maximum(self._serving, 0)
        people, share = world.people, self._crowd_share
        demand = np.concatenate([self._sessions.rate_bps, share * people.busy_demand_bps])
        self._connected = np.concatenate([np.ones(ues), share * people.busy_connected]).astype(np.float32)
        external_mw = self._external_mw(self._serving)
        helpers = partners(
            self._serving,
            self._field.received_mw,
            rows,
            most=self._most_together,
            carrier=self._sectors.carrier_number,
            admits=self._states.admits,
        )
        outcome = evaluate(
            world,
            Moment(
                serving=self._serving[None],
                rsrp_dbm=self._field.rsrp_dbm[rows, column][None],
                signal_mw=self._field.received_mw[rows, column][None],
                total_mw=lambda activity: self._field.total_mw(activity, self._serving[None]),
                demand_bps=demand[None].astype(np.float32),
                connected=self._connected[None],
                load=self._load,
                max_output_w=self._max_output_w,
                awake=self._states.awake,
                carriers=self._carriers,
                pools=self._pools,
                planned_failure=world.planned_failure,
                transport=self._transport,
                external_mw=None if external_mw is None else external_mw[None],
                served_share=self._served_share[None],
                assist_cells=None if helpers is None else helpers[None],
                assist_mw=None if helpers is None else power_of(self._field.received_mw, rows, helpers)[None],
            ),
            iterations=iterations,
            kernel=self._kernel,
        )
        self._load = outcome.guess
        self._sinr_db, self._throughput_bps = outcome.sinr_db[0], outcome.throughput_bps[0]
        return outcome

    def telemetry(self, *, scene_id: str, epoch: int, seq: int) -> TelemetryBatch:
        """Return positions and gauges of every UE now, and positions of sensing targets.

        The throughput of a UE without data is NaN, and so is every gauge of a target.
        """
        ues = self._world.num_ues
        serving = self._mobility.serving
        served = serving >= 0
        rsrp = self._field.rsrp_dbm[np.arange(ues), np.maximum(serving, 0)]
        index = self._rows[Kind.CELL][np.maximum(serving, 0)].astype(np.float32)
        columns = {
            "RF.serving.RSRP": np.where(served, np.clip(rsrp, -156.0, -31.0), np.nan),
            "RF.serving.RSSINR": np.where(served, np.clip(self._sinr_db[:ues], -23.0, 40.0), np.nan),
            "DRB.UEThpDl": np.where(served & self._sessions.on, self._throughput_bps[:ues] / 1e3, np.nan),
            "vsData6gServingCell": np.where(served, index, -1.0),
        }
        gauges = np.stack([columns[name] for name in UE_KPIS], axis=1).astype(np.float32)
        ue_m = np.column_stack([self._place_m, np.full(ues, 1.5, dtype=np.float32)])
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
        set_ups = self._count_set_ups(self._cell_sums, int(self.sim_time_s // 60))
        values = counters.report_values(
            cells=self._cell_sums,
            slices=self._slice_sums,
            links=self._link_sums,
            set_ups=set_ups,
            mobility=self._mobility.counts,
            most_connected=self._most_connected,
            served_distance_m=self._served_distance_m(),
        )
        for name, column in self._sensing.columns().items():
            values[: self._world.num_cells, counters.COUNTERS.index(name)] = column
        self._clear_sums()
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
        offset_m = self._field.points.position_m[served] - self._mast_m[cell]
        return counters.percentile_by_cell(
            np.hypot(offset_m[:, 0], offset_m[:, 1]),
            cell=cell,
            weight=self._connected[served],
            share=counters.SERVED_DISTANCE_SHARE,
            num_cells=self._world.num_cells,
        )

    def _count_set_ups(self, sums: NDArray[np.float64], minute: int) -> counters.SetUps:
        drawn = counters.draw_set_ups(
            self._world,
            sums[None],
            week_second=self._week_second,
            sim_time_s=np.array([self.sim_time_s]),
            rng=self._rng,
            access=self._access,
        )
        for name, (attempts, failures) in drawn.items():
            self._windows[name].add(minute, attempts[0], failures[0])
        return counters.SetUps(
            attempts=drawn["rrc"][0][0],
            failures=drawn["rrc"][1][0],
            preambles=counters.preambles(sums, drawn["rrc"][0][0]),
            rrc_percent=self._windows["rrc"].percent(),
            drb_percent=self._windows["drb"].percent(),
        )

    def sinr_map(self, *, resolution_m: float = 20.0) -> SinrMap:
        """Return SINR, strongest cell and RSRP at street level over the whole area, at the present load."""
        return sinr_map(
            self._world,
            self._sectors,
            self._load[0],
            resolution_m=resolution_m,
            kernel=self._kernel,
            discs=self._discs(),
            contributors=self._contributors,
        )

    def apply(self, actions: Sequence[SetAttribute]) -> tuple[SetAttribute, ...]:
        """Change attributes, all or none, and return what reads back; effective in the next step.

        Raises:
            UnknownEntity: No such entity.
            UnknownName: The entity has no such attribute.
            OutOfRange: A value that the NRM or the policy forbids.
        """
        checked = self._configuration.checked(actions)
        for action in checked:
            before = self.read(action.entity_id, action.attribute)
            self._faults = faults.repaired(self._faults, action, before=before)
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
        row = faults.checked(order, kind=self.topology.get(order.entity_id).kind)
        known = any((one.fault, one.entity_id) == (order.fault, order.entity_id) for one in self._faults)
        back: tuple[SetAttribute, ...] = ()
        if known or order.operation == "clear":
            ended, self._faults = faults.without(self._faults, order)
            # What somebody has repaired or changed since stays as it is.
            back = tuple(
                SetAttribute(entity_id=one.entity_id, attribute=one.attribute, value=one.right)
                for one in ended.written
                if self.read(one.entity_id, one.attribute) == one.wrong
            )
            self._configuration.write(back)
        struck: tuple[SetAttribute, ...] = ()
        if order.operation == "inject":
            new = strike(
                row,
                order,
                scenario=self.scenario,
                configuration=self._configuration,
                sim_time_s=self.sim_time_s,
            )
            self._faults = (*self._faults, new)
            struck = tuple(
                SetAttribute(entity_id=one.entity_id, attribute=one.attribute, value=one.wrong) for one in new.written
            )
            self._configuration.write(struck)
        self._reconfigured()
        self._want()
        self._sessions.listen(self._duty)
        touched = dict.fromkeys((one.entity_id, one.attribute) for one in (*back, *struck))
        return tuple(
            SetAttribute(entity_id=entity_id, attribute=name, value=self.read(entity_id, name))
            for entity_id, name in touched
        )

    def faults(self) -> tuple[ActiveFault, ...]:
        """Return the faults that act now."""
        return self._faults

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
            "live_start_s": self._live_start_s,
            "clock_read_at_s": self._clock_read_at_s,
            "generator": self._rng.bit_generator.state,
            "configured": self._configuration.values(),
            "faults": [asdict(one) for one in self._faults],
            "minutes": {name: window.minute for name, window in self._windows.items()},
            "guided": self.guided,
        }
        return pack(document, self._arrays())

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot of the same scenario and seed.

        Raises:
            CorruptStore: Not a snapshot, damaged, or of another scenario or seed.
        """
        document, arrays = unpack(state)
        if (document["scenario"], document["seed"]) != (self.scenario.digest, self.seed):
            raise CorruptStore(
                f"the state belongs to scenario `{document['scenario'][:12]}` and seed `{document['seed']}`, this"
                f" network to `{self.scenario.digest[:12]}` and `{self.seed}`; build the network it was taken from"
            )
        # States of before UEs could be guided do not say so.
        self._guide = GuidedPlaces(self.scenario, self._world) if document.get("guided", False) else None
        own = self._arrays()
        wrong = [name for name, array in own.items() if name not in arrays or arrays[name].shape != array.shape]
        if wrong:
            raise CorruptStore(f"the state lacks or reshapes `{', '.join(wrong)}`; it was made by another version")
        self._configuration.restore(document["configured"])
        for name, array in self._states.arrays().items():
            array[...] = arrays[name]
        self._faults = tuple(faults.from_document(row) for row in document["faults"])
        self._reconfigured()
        self._call(document["live_start_s"])
        self.sim_time_s = document["clock_read_at_s"]
        self._read_clock()
        self.sim_time_s = document["sim_time_s"]
        for name, array in self._arrays().items():
            array[...] = arrays[name]
        self._field.recompute()
        self._sessions.listen(self._duty)
        for name, window in self._windows.items():
            window.minute = document["minutes"][name]
        self._rng.bit_generator.state = document["generator"]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that change in time, by name; writing into them writes the state."""
        guide = {} if self._guide is None else {"told_m": self._guide.place_m, "moved": self._guide.moved}
        return {
            **guide,
            "place_m": self._place_m,
            **self._field.arrays(),
            "serving": self._serving,
            **self._mobility.arrays(),
            **self._states.arrays(),
            **self._access.arrays(),
            **self._sessions.arrays(),
            "duty": self._duty,
            "crowd_share": self._crowd_share,
            "load": self._load,
            "sinr_db": self._sinr_db,
            "throughput_bps": self._throughput_bps,
            "cell_sums": self._cell_sums,
            "slice_sums": self._slice_sums,
            "link_sums": self._link_sums,
            "most_connected": self._most_connected,
            "sensing": self._sensing.sums,
            **{f"attempts_{name}": self._windows[name].attempts for name in PROCEDURES},
            **{f"failures_{name}": self._windows[name].failures for name in PROCEDURES},
        }
