"""The world of a headless scene: a network, its clock, and what it does when told.

Synchronous; one worker thread of the scene process owns it. Knows nothing of the wire.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from twin.attributes import attribute, check
from twin.commands import (
    CommandResult,
    CommandStage,
    ManageFault,
    MoveCamera,
    Overlay,
    SetAttribute,
    SetAttributes,
    SimulationControl,
    Spawn,
)
from twin.errors import InvalidInput, OutOfRange, TwinError
from twin.faults import fault
from twin.network import Network
from twin_app.scene_checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twin.clock import CivilTime
    from twin.commands import Command
    from twin.scenario import Scenario
    from twin.telemetry import PmReport, TelemetryBatch
    from twin.topology import Topology
    from twin_app.compiled_kernel import KernelChoice

TICK_S = 0.1
TICKS_PER_PERIOD = 10
"""Live PM has a granularity period of 1 s."""

TELEMETRY_INTERVAL_S = 0.1
"""Wall seconds between two telemetry batches."""

SLICE_S = 0.05
"""The worker is given back after this much wall time, so that a command waits no longer."""

MOST_LAG_S = 1.0
"""A scene that is further behind gives up the lag and runs as fast as it can."""

KEPT_ORDERS = 256
"""A checkpoint names the orders that it contains; only those that were not recorded yet when it began matter."""

HIGHEST_SPEED = 1000.0
SPEED_WINDOW_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """What one slice of time brought.

    Attributes:
        batch: The newest positions and gauges, None when it is too early for another.
    """

    reports: tuple[PmReport, ...]
    batch: TelemetryBatch | None


class SceneWorld:
    """A network with its clock.

    Args:
        choice: Which kernel computes, and when a better one is there; None = the plain one.

    Attributes:
        speed: Simulated seconds per wall second, as asked.
        speed_actual: As reached over the last seconds.
        obeyed: Answers to the last orders whose effect is in this world, by id.
    """

    def __init__(
        self,
        scenario: Scenario,
        topology: Topology,
        civil: CivilTime,
        *,
        scene_id: str,
        seed: int,
        epoch: int,
        sim_time_s: float,
        speed: float,
        choice: KernelChoice | None = None,
    ) -> None:
        self._scenario, self._topology, self._civil = scenario, topology, civil
        self._scene_id = scene_id
        self.seed, self.epoch, self.speed, self.speed_actual = seed, epoch, speed, speed
        self.paused = False
        self.obeyed: OrderedDict[str, CommandResult] = OrderedDict()
        self._choice = choice
        self.network = self._new_network(sim_time_s)
        self._ticks = round(sim_time_s / TICK_S)
        self._batch_number = 0
        self._report_number = 0
        self._next_batch_wall_s = 0.0
        self.anchor()

    def _new_network(self, sim_time_s: float) -> Network:
        return Network(
            self._scenario,
            self._topology,
            self._civil,
            seed=self.seed,
            sim_time_s=sim_time_s,
            kernel=None if self._choice is None else self._choice.kernel,
        )

    @property
    def sim_time_s(self) -> float:
        """Simulated now, exact to the tick."""
        return round(self._ticks * TICK_S, 3)

    def anchor(self) -> None:
        """Let simulated time run on from here and now."""
        self._anchor_wall_s = self._measured_wall_s = time.monotonic()
        self._anchor_sim_s = self._measured_sim_s = self.sim_time_s

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises:
            CorruptStore: The state is not of this scenario and seed.
        """
        self.network.restore(checkpoint.state)
        self._take_over()
        self.epoch, self.paused = checkpoint.epoch, checkpoint.paused
        self.obeyed = OrderedDict((result.command_id, result) for result in checkpoint.results)
        self.set_clock(checkpoint.sim_time_s)

    def _take_over(self) -> None:
        """Let UEs walk by themselves, also those of a state that an engine moved."""
        self.network.release()

    def set_clock(self, sim_time_s: float) -> None:
        """Jump to a simulated time; the network finds itself there as it is."""
        self._ticks = round(sim_time_s / TICK_S)
        self.network.sim_time_s = self.sim_time_s
        self.anchor()

    def adopt(self, topology: Topology) -> None:
        """Take a newer revision of the inventory.

        Raises:
            UnknownEntity: An entity of the scenario is missing in it.
        """
        self._topology = topology
        self.network.adopt(topology)

    def checkpoint(self, ordinal: int) -> Checkpoint:
        """Return where the world stands.

        Args:
            ordinal: Last order in the ledger, read before; later ones are either among `obeyed` or not done yet.
        """
        return Checkpoint(
            scenario_digest=self._scenario.digest,
            scene_id=self._scene_id,
            seed=self.seed,
            epoch=self.epoch,
            sim_time_s=self.sim_time_s,
            paused=self.paused,
            results=tuple(self.obeyed.values()),
            ordinal=ordinal,
            state=self.network.snapshot(),
        )

    def configure(self, desired: Iterable[SetAttribute]) -> None:
        """Apply what differs from the present configuration.

        Raises:
            InvalidInput: The network refuses it.
        """
        present = {(a.entity_id, a.attribute): a.value for a in self.network.configuration()}
        wrong = [a for a in desired if present.get((a.entity_id, a.attribute), a.value) != a.value]
        if wrong:
            self.network.apply(wrong)

    def catch_up(self, until_s: float, *, wall_limit_s: float = SLICE_S) -> tuple[PmReport, ...]:
        """Step towards a simulated time as fast as possible for a slice of wall time; call until nothing comes."""
        reports: list[PmReport] = []
        end_wall_s = time.monotonic() + wall_limit_s
        while self.sim_time_s + TICK_S <= until_s + 1e-9 and time.monotonic() < end_wall_s:
            self._tick(reports)
        self.anchor()
        return tuple(reports)

    def advance(self) -> Produced:
        """Step as far as wall time and speed demand, for at most a slice of wall time."""
        reports: list[PmReport] = []
        begin_s = time.monotonic()
        if self.paused:
            self.anchor()
        target_s = self._anchor_sim_s + (begin_s - self._anchor_wall_s) * self.speed
        while self.sim_time_s + TICK_S <= target_s and time.monotonic() - begin_s < SLICE_S:
            self._tick(reports)
        if (target_s - self.sim_time_s) > MOST_LAG_S * max(self.speed, 1.0):
            self._anchor_wall_s, self._anchor_sim_s = time.monotonic(), self.sim_time_s
        self._measure()
        return Produced(reports=tuple(reports), batch=self._batch())

    def _tick(self, reports: list[PmReport]) -> None:
        self.network.step(TICK_S)
        self._ticks += 1
        self.network.sim_time_s = self.sim_time_s  # ten additions of 0.1 are not 1.0
        if self._ticks % TICKS_PER_PERIOD == 0:
            self._report_number += 1
            reports.append(
                self.network.close_period(
                    scene_id=self._scene_id, epoch=self.epoch, seq=self._report_number, granularity_period_s=1
                )
            )

    def _batch(self) -> TelemetryBatch | None:
        now_s = time.monotonic()
        if now_s < self._next_batch_wall_s:
            return None
        self._next_batch_wall_s = max(self._next_batch_wall_s + TELEMETRY_INTERVAL_S, now_s)
        return self._numbered_batch()

    def _numbered_batch(self) -> TelemetryBatch:
        self._batch_number += 1
        return self.network.telemetry(scene_id=self._scene_id, epoch=self.epoch, seq=self._batch_number)

    def _measure(self) -> None:
        elapsed_s = time.monotonic() - self._measured_wall_s
        if elapsed_s >= SPEED_WINDOW_S:
            better = None if self._choice is None else self._choice.better()
            if better is not None:
                self.network.use(better)
            self.speed_actual = (self.sim_time_s - self._measured_sim_s) / elapsed_s
            self._measured_wall_s, self._measured_sim_s = time.monotonic(), self.sim_time_s

    def wait_s(self) -> float:
        """Return how long to wait before there is something to do."""
        due_s = self._anchor_wall_s + (self.sim_time_s + TICK_S - self._anchor_sim_s) / self.speed
        return min(max(due_s - time.monotonic(), 0.0), TELEMETRY_INTERVAL_S)

    # --- orders ------------------------------------------------------------------------------------------------

    def obey(self, command: Command) -> CommandResult:
        """Do what a command says, wholly or not at all.

        Raises:
            InvalidInput: It cannot be meant here. NotFound: It clears a fault that is not there.
        """
        observed: tuple[SetAttribute, ...] = ()
        labels: tuple[str, ...] = ()
        match command.body:
            case SetAttributes(actions=actions) if command.dry_run:
                observed = tuple(self._checked(action) for action in actions)
            case SetAttributes(actions=actions):
                observed = self.network.apply(actions)
            case ManageFault() as order:
                labels = (fault(order.fault).name,)
                if not command.dry_run:
                    observed = self.network.manage_fault(order)
            case SimulationControl() as order:
                self._control(order, dry_run=command.dry_run)
            case Overlay() | MoveCamera() | Spawn():
                raise InvalidInput("the headless scene shows nothing: it has no place for overlays, cameras, objects")
            case _:
                assert_never(command.body)
        result = CommandResult(
            command_id=command.id,
            stage=CommandStage.APPLIED,
            observed=observed,
            sim_time_s=self.sim_time_s,
            labels=labels,
        )
        if not command.dry_run:
            self.obeyed[command.id] = result
            if len(self.obeyed) > KEPT_ORDERS:
                self.obeyed.popitem(last=False)
        return result

    def replay(self, orders: Iterable[tuple[Command, CommandResult]]) -> tuple[str, ...]:
        """Do again what was acknowledged after this state was kept, in the same order (rule C6).

        Orders that changed nothing, and those whose effect is in the state already, are passed over.

        Returns:
            Why some could not be done again, empty when all were.
        """
        failed: list[str] = []
        for command, result in orders:
            if result.stage is not CommandStage.APPLIED or command.id in self.obeyed:
                continue
            try:
                self.obey(command)
            except TwinError as error:
                failed.append(f"command `{command.id}`: {error}")
        return tuple(failed)

    def _checked(self, action: SetAttribute) -> SetAttribute:
        name = attribute(action.attribute).name
        self.network.read(action.entity_id, name)
        return replace(action, attribute=name, value=check(name, action.value))

    def _control(self, order: SimulationControl, *, dry_run: bool) -> None:
        if order.operation == "speed" and not 0 < order.speed <= HIGHEST_SPEED:
            raise OutOfRange(f"a scene runs at more than 0 and at most {HIGHEST_SPEED:g} times, not `{order.speed:g}`")
        if dry_run:
            return
        match order.operation:
            case "pause":
                self.paused = True
            case "resume":
                self.paused = False
            case "speed":
                self.speed = self.speed_actual = order.speed
            case "reset":
                self._reset(order.seed)
        self.anchor()

    def _reset(self, seed: int) -> None:
        """Begin a new world in a new epoch, with configuration and faults of the old one; simulated time goes on."""
        older = self.network
        self.seed, self.epoch = seed, self.epoch + 1
        self._batch_number = self._report_number = 0
        self.network = self._new_network(self.sim_time_s)
        self.network.inherit(older)
