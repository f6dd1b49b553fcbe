"""One life of a scene process: it connects, goes on where it was, obeys, keeps checkpoints, and ends.

The event loop only talks; one worker thread owns the world. What time does in a world differs: see
:mod:`twin_app.headless_scene` and :mod:`twin_app.follow_scene`.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import structlog

from bridge.client import SceneClient
from bridge.dispatch import SceneState
from bridge.ledger import FileLedger
from bridge.stream import first_of
from twin.commands import CommandResult, CommandStage
from twin.errors import Conflict, CorruptStore, FolderMismatch, InvalidInput, NotFound, StoreUnavailable
from twin.network_state import FORMAT
from twin.past import generate_past
from twin_app.compiled_kernel import KernelChoice
from twin_app.scene_checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from twin_app.scene_login import login

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from twin.commands import Command
    from twin.ports import SceneStart
    from twin.scenario import Scenario
    from twin.telemetry import PmReport
    from twin_app.scene_world import SceneWorld

CHECKPOINT_INTERVAL_S = 10.0
LEDGER_NAME = "orders.ledger"
PAST_BATCH = 8
"""Reports of the past that the worker makes before others may use it."""

LONGEST_SILENT_S = 60.0
"""A checkpoint this much older than the twin's memory is stepped forward; an older one has its clock set."""

Result = TypeVar("Result")

_log = structlog.get_logger("scene")


class SceneLife(ABC):
    """From connecting to the last checkpoint.

    Args:
        scenario: The city; must be the twin's.
        server: Host and port of the bridge.
        scene_id: Slug of the scene.
        seed: Of everything random in a new world.
        state_dir: Folder of the checkpoint and of the ledger of orders.
        takeover: Push out whoever holds what this scene provides, such as an earlier life that was killed.
    """

    engine: str
    provides: tuple[str, ...]

    def __init__(
        self, *, scenario: Scenario, server: str, scene_id: str, seed: int, state_dir: Path, takeover: bool = False
    ) -> None:
        self._scenario, self._server, self._scene_id = scenario, server, scene_id
        self._seed, self._state_dir, self._takeover = seed, state_dir, takeover
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="world")
        self._built: SceneWorld | None = None
        self._entered = asyncio.Event()
        self._telling_past = False
        self._choice: KernelChoice | None = None
        self._civil_epoch: datetime | None = None
        self._ledger = FileLedger(state_dir / LEDGER_NAME)

    async def run(self, stop: asyncio.Event) -> None:
        """Live until `stop` is set.

        Raises:
            TwinError: The twin refused the scene for good, or the folder belongs to another process.
        """
        await asyncio.to_thread(self._open_ledger)
        self._choice = choice = await asyncio.to_thread(KernelChoice)
        try:
            checkpoint = await asyncio.to_thread(self._read_checkpoint)
            client = self._client(checkpoint)
            await first_of(self._life(client, checkpoint), _until(stop))
        finally:
            self._worker.shutdown(wait=False, cancel_futures=True)
            choice.close()
            await asyncio.to_thread(self._ledger.close)

    def _client(self, checkpoint: Checkpoint | None) -> SceneClient:
        token, tls = login(os.environ)
        return SceneClient(
            self._server,
            self._scene_id,
            provides=self.provides,
            engine=self.engine,
            epoch=checkpoint.epoch if checkpoint else 1,
            results=checkpoint.results if checkpoint else (),
            ledger=self._ledger,
            takeover=self._takeover,
            on_command=self._obey,
            on_state=self._state,
            on_start=self._started,
            connect_timeout_s=None,
            token=token,
            tls=tls if self._server.startswith(("grpcs://", "wss://")) else None,
        )

    async def _life(self, client: SceneClient, checkpoint: Checkpoint | None) -> None:
        async with client:
            try:
                await self._begin(client, checkpoint)
                await first_of(self._live(client), self._keep_checkpoints(), client.closed())
            finally:
                if self._built is not None:
                    await asyncio.shield(self._in_worker(self._save, self._built))

    # --- what kinds of worlds differ in --------------------------------------------------------------------------

    @abstractmethod
    def _world(self, start: SceneStart, *, seed: int, epoch: int, sim_time_s: float) -> SceneWorld:
        """Return a fresh world."""

    @abstractmethod
    async def _enter(self, client: SceneClient, checkpoint: Checkpoint | None) -> SceneWorld:
        """Return the world as it stands when the scene goes live, the past told."""

    @abstractmethod
    async def _live(self, client: SceneClient) -> None:
        """Let time go on for ever."""

    # --- beginning -----------------------------------------------------------------------------------------------

    def _open_ledger(self) -> None:
        try:
            self._ledger.open()
        except CorruptStore as error:
            path = self._state_dir / LEDGER_NAME
            path.replace(path.with_name(f"{LEDGER_NAME}.damaged"))
            _log.error("orders_lost", reason=str(error), kept_as=f"{LEDGER_NAME}.damaged")
            self._ledger.open()

    def _read_checkpoint(self) -> Checkpoint | None:
        try:
            checkpoint = read_checkpoint(self._state_dir)
        except CorruptStore as error:
            _log.error("checkpoint_unreadable", reason=str(error))
            return None
        if checkpoint is None:
            return None
        if (checkpoint.scenario_digest, checkpoint.scene_id) != (self._scenario.digest, self._scene_id):
            _log.warning("checkpoint_of_another_world", scene=checkpoint.scene_id)
            return None
        return checkpoint

    def _started(self, start: SceneStart) -> None:
        if start.scenario_digest and start.scenario_digest != self._scenario.digest:
            raise FolderMismatch(
                f"the twin at `{self._server}` serves another city (`{start.scenario_digest[:12]}`) than the scene's"
                f" scenario file (`{self._scenario.digest[:12]}`); give both the same file"
            )
        if self._civil_epoch not in {None, start.civil.epoch}:
            raise Conflict("the twin came back with another scenario epoch; the scene must start anew")
        self._civil_epoch = start.civil.epoch

    async def _begin(self, client: SceneClient, checkpoint: Checkpoint | None) -> None:
        start = client.start
        world = await self._enter(client, checkpoint)
        await self._keep(world)  # from here on it is this world that is gone on from, not one of before
        await self._in_worker(self._bring_to, world, start)
        self._built = world  # orders wait until here: an older desired configuration must not undo them
        self._entered.set()
        client.epoch = world.epoch
        await client.send_observed(world.network.configuration(), sim_time_s=world.sim_time_s)
        world.anchor()
        await client.send_live(world.sim_time_s)
        _log.info("live", sim_time_s=world.sim_time_s, civil=start.civil.rfc3339(world.sim_time_s))

    def _continued(self, start: SceneStart, checkpoint: Checkpoint | None, resume_s: float) -> SceneWorld:
        """Return the world of the checkpoint, or a fresh one, at the later of checkpoint and the twin's memory."""
        whole_s = math.ceil(resume_s)
        if checkpoint is None:
            return self._replayed(self._world(start, seed=self._seed, epoch=1, sim_time_s=whole_s), 0)
        world = self._world(start, seed=checkpoint.seed, epoch=checkpoint.epoch, sim_time_s=checkpoint.sim_time_s)
        try:
            world.restore(checkpoint)
        except CorruptStore as error:
            _log.error(
                "checkpoint_not_restored",
                reason=str(error),
                kept="the clock, the desired configuration, the history, and the orders since the checkpoint",
                lost="places of UEs, running sessions, injected faults",
            )
            at_s = max(whole_s, math.ceil(checkpoint.sim_time_s))
            fresh = self._world(start, seed=checkpoint.seed, epoch=checkpoint.epoch, sim_time_s=at_s)
            return self._replayed(fresh, checkpoint.ordinal)
        self._replayed(world, checkpoint.ordinal)
        if whole_s - world.sim_time_s > LONGEST_SILENT_S:
            world.set_clock(whole_s)
        # What the twin has already is not told again: it would be dropped as a repetition.
        while world.sim_time_s < whole_s:
            world.catch_up(whole_s, wall_limit_s=1.0)
        _log.info("continued", sim_time_s=world.sim_time_s, checkpoint_sim_time_s=checkpoint.sim_time_s)
        return world

    def _replayed(self, world: SceneWorld, ordinal: int) -> SceneWorld:
        """Do again what was acknowledged after the state was kept, in the same order (rule C6)."""
        try:
            entries = self._ledger.after(ordinal)
        except NotFound as error:
            _log.error("orders_not_replayed", reason=str(error))
            return world
        for reason in world.replay((entry.command, entry.result) for entry in entries):
            _log.error("order_not_replayed", reason=reason)
        if entries:
            _log.info("orders_replayed", count=len(entries), after=ordinal)
        return world

    async def _tell_past(self, client: SceneClient, start: SceneStart, *, end_s: float) -> None:
        begun_wall_s = time.monotonic()
        told_percent = -10
        self._telling_past = True
        past = generate_past(
            self._scenario,
            start.topology,
            start.civil,
            seed=self._seed,
            end_s=end_s,
            past_s=start.past_s,
            scene_id=self._scene_id,
            epoch=client.epoch,
        )
        count = 0
        while reports := await self._in_worker(lambda: list(islice(past, PAST_BATCH))):
            await self._tell(client, reports)
            count += len(reports)
            last_s = reports[-1].period_end_sim_time_s
            percent = int(100 * (1 - (end_s - last_s) / start.past_s))
            if percent >= told_percent + 10:
                told_percent = percent
                await client.send_event("past.progress", {"percent": percent}, sim_time_s=last_s)
        await client.stored()
        self._telling_past = False
        _log.info("past_told", reports=count, past_s=start.past_s, took_s=round(time.monotonic() - begun_wall_s, 2))

    async def _tell(self, client: SceneClient, reports: list[PmReport] | tuple[PmReport, ...]) -> None:
        for report in reports:
            await client.send_pm(report)

    def _bring_to(self, world: SceneWorld, start: SceneStart) -> None:
        try:
            world.configure(start.desired)
        except InvalidInput as error:  # the twin sees what is observed and raises the alarm
            _log.error("desired_configuration_refused", reason=str(error))

    # --- living --------------------------------------------------------------------------------------------------

    async def _keep_up(self, client: SceneClient, world: SceneWorld) -> None:
        """Take over a newer revision of the inventory and tell a new epoch."""
        client.epoch = world.epoch
        if client.topology.revision != world.network.topology.revision:
            await self._in_worker(world.adopt, client.topology)

    async def _keep_checkpoints(self) -> None:
        while True:
            await asyncio.sleep(CHECKPOINT_INTERVAL_S)
            await self._keep(self._need_world())

    async def _keep(self, world: SceneWorld) -> None:
        ordinal = await self._in_worker(self._save, world)
        if ordinal is None:
            return
        try:
            await self._ledger.forget_before(ordinal)
        except StoreUnavailable as error:
            _log.warning("ledger_not_cut", reason=str(error))

    def _save(self, world: SceneWorld) -> int | None:
        """Write a checkpoint and return up to which order it holds everything, None when the disk refused."""
        ordinal = self._ledger.ordinal  # before the state: what is recorded in between is in its results
        try:
            write_checkpoint(self._state_dir, world.checkpoint(ordinal))
        except OSError as error:
            _log.error("checkpoint_not_written", reason=str(error), folder=str(self._state_dir))
            return None
        return ordinal

    async def _obey(self, command: Command) -> CommandResult:
        world = await self._world_soon()
        if command.deadline_unix_ns and time.time_ns() > command.deadline_unix_ns:
            return CommandResult(
                command_id=command.id,
                stage=CommandStage.EXPIRED,
                reason="the deadline passed while the scene brought its world back",
                sim_time_s=world.sim_time_s,
            )
        return await self._in_worker(world.obey, command)

    async def _state(self) -> SceneState:
        world = await self._world_soon()
        return await self._in_worker(
            lambda: SceneState(
                format=FORMAT,
                revision=world.network.topology.revision,
                sim_time_s=world.sim_time_s,
                data=world.network.snapshot(),
            )
        )

    async def _world_soon(self) -> SceneWorld:
        """Return the world, waiting while it is brought back: an order that was sent again must not be refused then.

        Raises:
            Conflict: It takes minutes, because the past is told first.
        """
        if not self._telling_past:
            await self._entered.wait()  # ends: a world that cannot be brought back ends the process
        return self._need_world()

    def _need_world(self) -> SceneWorld:
        if self._built is None:
            raise Conflict("the scene still tells its past; send the command again once it is live")
        return self._built

    async def _in_worker(self, work: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work, *arguments)


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
