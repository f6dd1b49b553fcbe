"""The live network: the one place where mobility, traffic, radio, scheduling, handover and faults meet.

Synchronous and pure: a process that owns a `Network` steps it, reads telemetry and reports from it, applies
commands to it. Same scenario, seed, orders and steps give the same figures, also across snapshot and restore.
Cell counters speak of everyone whom a cell serves: the UEs and the crowd (:mod:`twin.traffic`).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from twin import counters, traffic
from twin.attributes import AttributeValue, attribute, check, to_native
from twin.commands import SetAttribute
from twin.entities import AdministrativeState, Kind
from twin.errors import CorruptStore, InvalidInput, UnknownEntity, UnknownName
from twin.faults import ActiveFault, managed
from twin.guided import GuidedPlaces
from twin.handover import Mobility, strongest
from twin.kpi import kpis_of
from twin.moments import CELL_FEATURES, LINK_FEATURES, SLICE_FEATURES, Moment, Outcome, evaluate
from twin.network_state import pack, unpack
from twin.radio import antenna
from twin.radio.coverage import SinrMap, sinr_map
from twin.radio.propagation import link_gain_db, received_mw, sectors_of
from twin.setup_failures import PROCEDURES, WINDOW_MINUTES, Window
from twin.telemetry import PmReport, TelemetryBatch
from twin.world import rows_of, stream, world_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.clock import CivilTime
    from twin.commands import ManageFault
    from twin.radio.propagation import Points
    from twin.scenario import Scenario
    from twin.topology import Topology

MOVED_M = 1.0
"""A UE's paths are computed afresh once it has moved this far: a fiftieth of the shortest shadowing distance."""
FIRST_ITERATIONS, TICK_ITERATIONS = 12, 1
"""Load and interference converge at the start; afterwards one step per tick follows them."""
CLOCK_REFRESH_S = 1.0
"""Daily curves and the drift of the crowd move by less than a hundredth in this time."""
_LIVE = 10
"""Stream of chance of everything that happens while time runs."""
UE_KPIS = tuple(row.name for row in kpis_of(Kind.UE))


class Network:
    """A radio network in time.

    Args:
        scenario: The city.
        topology: Dense indices and configured attributes; where it differs from the scenario, it wins.
        civil: Simulated seconds to civil time, for the daily curves.
        seed: Seed of everything random.
        sim_time_s: When it starts.

    Attributes:
        sim_time_s: Now.
    """

    def __init__(
        self, scenario: Scenario, topology: Topology, civil: CivilTime, *, seed: int, sim_time_s: float = 0.0
    ) -> None:
        self.scenario, self.topology, self.civil = scenario, topology, civil
        self.seed, self.sim_time_s = seed, sim_time_s
        self._world = world_of(scenario, seed)
        self._column = {cell.id: column for column, cell in enumerate(scenario.cells)}
        self._rng = stream(scenario, seed, _LIVE)
        self._configured = {
            cell.id: {name: topology.get(cell.id).attributes[name] for name in self._names()} for cell in scenario.cells
        }
        self._faults: tuple[ActiveFault, ...] = ()
        self._sectors = sectors_of(scenario.cells)
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
        ues = self._rows[Kind.UE]
        # One row more than there are indices stands for everything that is no UE of the scenario.
        self._row_of_ue = np.full(topology.next_index + 1, -1, dtype=np.int64)
        self._row_of_ue[ues] = np.arange(len(ues))

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
            self._place_m = self._world.tours.at(self.sim_time_s)
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
        self._move()
        ues = world.num_ues
        _, left = self._mobility.step(self._rsrp_dbm[:ues], dt_s)
        np.add.at(self._handovers, left[left >= 0], 1.0)
        self._serving[:ues] = self._mobility.serving
        self._sessions.step(dt_s, self._duty(), self._rng)
        outcome = self._evaluate(TICK_ITERATIONS)
        self._cell_sums += outcome.cells[0] * dt_s
        self._slice_sums += outcome.slices[0] * dt_s
        self._link_sums += outcome.links[0] * dt_s

    def _start(self) -> None:
        world = self._world
        self._read_clock()
        self._place_m = world.tours.at(self.sim_time_s)
        self._paths_m = self._place_m.copy()
        points = world.points.take(np.arange(world.num_users))
        points.position_m[: world.num_ues] = self._place_m
        self._paths = world.propagation.paths(points)
        self._refresh_radio()
        self._mobility = Mobility(self._rsrp_dbm[: world.num_ues])
        self._serving = strongest(self._rsrp_dbm)
        self._sessions = traffic.Sessions(world.sessions, self._duty(), rng=self._rng)
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
        self._handovers = np.zeros(self._world.num_cells)

    def _read_clock(self) -> None:
        self._clock_read_at_s = self.sim_time_s
        self._week_second = traffic.second_of_week(self.civil, np.array([self.sim_time_s]))
        self._activity = traffic.activity(self._week_second)[0]
        self._crowd_noise = self._world.crowd_noise(np.array([self.sim_time_s]))[0]

    def _duty(self) -> NDArray[np.float32]:
        world = self._world
        return self._activity[world.activity_row[: world.num_ues]] * world.busy_duty

    def _move(self) -> None:
        if self._guide is not None:
            self._walk(self._guide)
            return
        world = self._world
        moving = world.tours.moving
        if not len(moving):
            return
        self._place_m[moving] = world.tours.moving_at(self.sim_time_s)
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
        offset = self._place_m[rows] - self._paths_m[rows]
        return (offset * offset).sum(axis=1) > MOVED_M**2

    def _home_points(self, rows: NDArray[np.int64], place_m: NDArray[np.float32]) -> Points:
        """Return UEs elsewhere, behind the walls that the scenario gives them."""
        points = self._world.points.take(rows)
        points.position_m[:] = place_m
        return points

    def _hear(self, rows: NDArray[np.int64], points: Points) -> None:
        """Compute what UEs hear at new places."""
        world = self._world
        self._paths_m[rows] = points.position_m
        paths = world.propagation.paths(points)
        self._paths.put(rows, paths)
        self._put_gain(rows, link_gain_db(paths, self._sectors, world.propagation.mast_of_cell))

    def _put_gain(self, rows: NDArray[np.int64] | slice, gain_db: NDArray[np.float32]) -> None:
        self._received_mw[rows] = received_mw(gain_db, self._sectors)
        level = gain_db + self._sectors.power_dbm - self._world.rsrp_offset_db
        self._rsrp_dbm[rows] = np.where(self._sectors.on_air, level, np.float32(-300.0))

    def _refresh_radio(self) -> None:
        shape = (self._world.num_users, self._world.num_cells)
        self._received_mw = np.empty(shape, dtype=np.float32)
        self._rsrp_dbm = np.empty(shape, dtype=np.float32)
        self._put_gain(slice(None), link_gain_db(self._paths, self._sectors, self._world.propagation.mast_of_cell))

    def _refresh_sectors(self) -> None:
        """Carry configuration and faults over to what is radiated."""
        loss_db = np.zeros(self._world.num_cells, dtype=np.float32)
        for one in self._faults:
            if one.fault == "power-loss":
                loss_db[self._column[one.entity_id]] += np.float32(one.effect)
        sectors = self._sectors
        for column, cell in enumerate(self.scenario.cells):
            values = self._configured[cell.id]
            tilt = float(to_native("digitalTilt", values["digitalTilt"]))
            if abs(tilt - sectors.tilt_deg[column]) > 1e-6:
                sectors.tilt_deg[column] = tilt
                sectors.tables_db[column] = antenna.vertical_tables_db(np.array([tilt], dtype=np.float32))[0]
            offset = float(to_native("digitalAzimuth", values["digitalAzimuth"]))
            sectors.boresight_deg[column] = cell.azimuth_deg + offset
            power = float(to_native("configuredMaxTxPower", values["configuredMaxTxPower"]))
            sectors.power_dbm[column] = power - loss_db[column]
            sectors.on_air[column] = values["administrativeState"] == AdministrativeState.UNLOCKED.value
        self._max_output_w = np.where(sectors.on_air, 10.0 ** (sectors.power_dbm / 10.0 - 3.0), 0.0).astype(np.float32)

    def _reconfigured(self) -> None:
        self._refresh_sectors()
        self._refresh_radio()
        ues = self._world.num_ues
        self._serving[ues:] = strongest(self._rsrp_dbm[ues:])

    def _total_mw(self, load: NDArray[np.float32]) -> NDArray[np.float32]:
        world = self._world
        if world.num_carriers == 1:
            return (self._received_mw @ load[0])[None]
        carrier = world.carrier_of_cell[np.maximum(self._serving, 0)]
        total = np.empty(len(carrier), dtype=np.float32)
        for number in range(world.num_carriers):
            mine, columns = carrier == number, world.carrier_of_cell == number
            total[mine] = self._received_mw[np.ix_(mine, columns)] @ load[0][columns]
        return total[None]

    def _evaluate(self, iterations: int) -> Outcome:
        world = self._world
        ues, rows = world.num_ues, np.arange(world.num_users)
        column = np.maximum(self._serving, 0)
        share = self._activity[world.activity_row[ues:]]
        share = share * self._crowd_noise
        demand = np.concatenate([self._sessions.rate_bps * world.rate_factor, share * world.busy_demand_bps])
        outcome = evaluate(
            world,
            Moment(
                serving=self._serving[None],
                rsrp_dbm=self._rsrp_dbm[rows, column][None],
                signal_mw=self._received_mw[rows, column][None],
                total_mw=self._total_mw,
                demand_bps=demand[None].astype(np.float32),
                connected=np.concatenate([np.ones(ues), share * world.busy_connected])[None].astype(np.float32),
                load=self._load,
                max_output_w=self._max_output_w,
                awake=self._sectors.on_air,
                nominal_rsrp_dbm=world.nominal_rsrp_dbm,
            ),
            iterations=iterations,
        )
        self._load = outcome.load
        self._sinr_db, self._throughput_bps = outcome.sinr_db[0], outcome.throughput_bps[0]
        return outcome

    def telemetry(self, *, scene_id: str, epoch: int, seq: int) -> TelemetryBatch:
        """Return positions and gauges of every UE now; the throughput of a UE without data is NaN."""
        ues = self._world.num_ues
        serving = self._mobility.serving
        served = serving >= 0
        rsrp = self._rsrp_dbm[np.arange(ues), np.maximum(serving, 0)]
        index = self._rows[Kind.CELL][np.maximum(serving, 0)].astype(np.float32)
        columns = {
            "RF.serving.RSRP": np.where(served, np.clip(rsrp, -156.0, -31.0), np.nan),
            "RF.serving.RSSINR": np.where(served, np.clip(self._sinr_db[:ues], -23.0, 40.0), np.nan),
            "DRB.UEThpDl": np.where(served & self._sessions.on, self._throughput_bps[:ues] / 1e3, np.nan),
            "vsData6gServingCell": np.where(served, index, -1.0),
        }
        return TelemetryBatch(
            scene_id=scene_id,
            epoch=epoch,
            seq=seq,
            revision=self.topology.revision,
            sim_time_s=self.sim_time_s,
            entity_index=self._rows[Kind.UE],
            position_m=np.column_stack([self._place_m, np.full(ues, 1.5, dtype=np.float32)]),
            kpis=UE_KPIS,
            values=np.stack([columns[name] for name in UE_KPIS], axis=1).astype(np.float32),
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
            handovers=self._handovers,
        )
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

    def _count_set_ups(self, sums: NDArray[np.float64], minute: int) -> counters.SetUps:
        drawn = counters.draw_set_ups(
            self._world,
            sums[None],
            week_second=self._week_second,
            sim_time_s=np.array([self.sim_time_s]),
            rng=self._rng,
        )
        for name, (attempts, failures) in drawn.items():
            self._windows[name].add(minute, attempts[0], failures[0])
        return counters.SetUps(
            attempts=drawn["rrc"][0][0],
            failures=drawn["rrc"][1][0],
            rrc_percent=self._windows["rrc"].percent(),
            drb_percent=self._windows["drb"].percent(),
        )

    def sinr_map(self, *, resolution_m: float = 20.0) -> SinrMap:
        """Return SINR, strongest cell and RSRP at street level over the whole area, at the present load."""
        return sinr_map(self._world, self._sectors, self._load[0], resolution_m=resolution_m)

    @staticmethod
    def _names() -> tuple[str, ...]:
        return ("digitalTilt", "digitalAzimuth", "configuredMaxTxPower", "administrativeState")

    def apply(self, actions: Sequence[SetAttribute]) -> tuple[SetAttribute, ...]:
        """Change attributes, all or none, and return what reads back; effective in the next step.

        Raises:
            UnknownEntity: No such entity.
            UnknownName: The entity has no such attribute.
            OutOfRange: A value that the NRM or the policy forbids.
        """
        checked: list[SetAttribute] = []
        for action in actions:
            self.read(action.entity_id, action.attribute)
            name = attribute(action.attribute).name
            checked.append(SetAttribute(entity_id=action.entity_id, attribute=name, value=check(name, action.value)))
        for action in checked:
            self._configured[action.entity_id][action.attribute] = action.value
        if checked:
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
        values = self._configured.get(entity_id)
        if values is None:
            kind = self.topology.get(entity_id).kind
            raise UnknownName(f"`{entity_id}` is a {kind.value} and has no managed attribute `{attribute}`; cells do")
        if attribute not in values:
            raise UnknownName(f"`{entity_id}` has no attribute `{attribute}`; known: {', '.join(values)}")
        return values[attribute]

    def configuration(self) -> tuple[SetAttribute, ...]:
        """Return every managed attribute as observed."""
        return tuple(
            SetAttribute(entity_id=entity_id, attribute=name, value=value)
            for entity_id, values in self._configured.items()
            for name, value in values.items()
        )

    def manage_fault(self, order: ManageFault) -> None:
        """Inject or clear a fault.

        Raises:
            UnknownEntity: No such entity.
            InvalidInput: The order cannot be meant; see :func:`twin.faults.managed`.
            NotFound: The order clears a fault that is not there.
        """
        if order.entity_id not in self.topology:
            raise UnknownEntity(f"no entity has the id `{order.entity_id}`; a fault needs a cell such as `cell-7-2`")
        kind = self.topology.get(order.entity_id).kind
        self._faults = managed(self._faults, order, kind=kind, sim_time_s=self.sim_time_s)
        self._reconfigured()

    def faults(self) -> tuple[ActiveFault, ...]:
        """Return the faults that act now."""
        return self._faults

    def snapshot(self) -> bytes:
        """Return everything needed to go on, every random generator included; no code is ever loaded from it."""
        document = {
            "scenario": self.scenario.digest,
            "seed": self.seed,
            "sim_time_s": self.sim_time_s,
            "clock_read_at_s": self._clock_read_at_s,
            "generator": self._rng.bit_generator.state,
            "configured": self._configured,
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
        self._configured = {entity: dict(values) for entity, values in document["configured"].items()}
        self._faults = tuple(ActiveFault(**row) for row in document["faults"])
        self._reconfigured()
        for name, array in self._arrays().items():
            array[...] = arrays[name]
        for name, window in self._windows.items():
            window.minute = document["minutes"][name]
        self.sim_time_s = document["clock_read_at_s"]
        self._read_clock()
        self.sim_time_s = document["sim_time_s"]
        self._rng.bit_generator.state = document["generator"]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that change in time, by name; writing into them writes the state."""
        ues = self._world.num_ues
        guide = {} if self._guide is None else {"told_m": self._guide.place_m, "moved": self._guide.moved}
        return {
            **guide,
            "place_m": self._place_m,
            "paths_m": self._paths_m,
            "path_gain_db": self._paths.gain_db[:ues],
            "zenith_deg": self._paths.zenith_deg[:ues],
            "azimuth_deg": self._paths.azimuth_deg[:ues],
            "received_mw": self._received_mw[:ues],
            "rsrp_dbm": self._rsrp_dbm[:ues],
            "serving": self._serving,
            "ue_serving": self._mobility.serving,
            "candidate": self._mobility.candidate,
            "waited_s": self._mobility.waited_s,
            "remaining_s": self._sessions.remaining_s,
            "rate_bps": self._sessions.rate_bps,
            "load": self._load,
            "sinr_db": self._sinr_db,
            "throughput_bps": self._throughput_bps,
            "cell_sums": self._cell_sums,
            "slice_sums": self._slice_sums,
            "link_sums": self._link_sums,
            "handovers": self._handovers,
            **{f"attempts_{name}": self._windows[name].attempts for name in PROCEDURES},
            **{f"failures_{name}": self._windows[name].failures for name in PROCEDURES},
        }
