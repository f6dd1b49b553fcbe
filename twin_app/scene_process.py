"""The headless scene: a process of its own that simulates the network and speaks `bridge.v1` like any engine.

It tells a past, goes live at the present moment, obeys commands, and keeps a checkpoint from which it goes on
after it was killed. The event loop only talks; one worker thread owns the world.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from bridge.client import SceneClient
from bridge.dispatch import SceneState
from bridge.stream import first_of
from twin.errors import Conflict, CorruptStore, FolderMismatch, InvalidInput, TwinError
from twin.network_state import FORMAT
from twin.past import generate_past
from twin_app.logs import configure
from twin_app.scenarios import load_scenario
from twin_app.scene_checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from twin_app.scene_world import SceneWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twin.commands import Command, CommandResult
    from twin.ports import SceneStart
    from twin.scenario import Scenario

CHECKPOINT_INTERVAL_S = 10.0
PAST_BATCH = 8
"""Reports of the past that the worker makes before others may use it."""

LONGEST_CATCH_UP_S = 120.0
"""More simulated time than this between past and present is left as a gap."""

LONGEST_SILENT_S = 60.0
"""A checkpoint this much older than the twin's memory is stepped forward; an older one has its clock set."""

STOP_LIMIT_S = 1.0
Result = TypeVar("Result")

_log = structlog.get_logger("scene")


class HeadlessScene:
    """One life of a scene, from connecting to the last checkpoint."""

    def __init__(self, *, scenario: Scenario, server: str, scene_id: str, seed: int, state_dir: Path) -> None:
        self._scenario, self._server, self._scene_id = scenario, server, scene_id
        self._seed, self._state_dir = seed, state_dir
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="world")
        self._built: SceneWorld | None = None
        self._told_speed = 0.0
        self._civil_epoch: datetime | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Live until `stop` is set.

        Raises:
            TwinError: The twin refused the scene for good.
        """
        checkpoint = self._read_checkpoint()
        client = SceneClient(
            self._server,
            self._scene_id,
            provides=("MOTION", "KPI", "STATE"),
            engine="headless",
            epoch=checkpoint.epoch if checkpoint else 1,
            results=checkpoint.results if checkpoint else (),
            on_command=self._obey,
            on_state=self._state,
            on_start=self._started,
            connect_timeout_s=None,
        )
        try:
            await first_of(self._life(client, checkpoint), _until(stop))
        finally:
            self._worker.shutdown(wait=False, cancel_futures=True)

    async def _life(self, client: SceneClient, checkpoint: Checkpoint | None) -> None:
        async with client:
            try:
                await self._begin(client, checkpoint)
                await first_of(self._live(client), self._keep_checkpoints(client), client.closed())
            finally:
                if self._built is not None:
                    await asyncio.shield(self._in_worker(self._save, self._built, client.results))

    # --- beginning ---------------------------------------------------------------------------------------------

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
        resume_s = start.resume_at_sim_s
        if resume_s is not None:
            world = await self._in_worker(self._continued, start, checkpoint, resume_s)
        else:
            world = await self._new_world(client, start)
        self._built = world
        await self._in_worker(self._bring_to, world, start)
        client.epoch = world.epoch
        await client.send_observed(world.network.configuration(), sim_time_s=world.sim_time_s)
        world.anchor()
        await client.send_live(world.sim_time_s)
        _log.info("live", sim_time_s=world.sim_time_s, civil=start.civil.rfc3339(world.sim_time_s))

    def _world(self, start: SceneStart, *, seed: int, epoch: int, sim_time_s: float) -> SceneWorld:
        return SceneWorld(
            self._scenario,
            start.topology,
            start.civil,
            scene_id=self._scene_id,
            seed=seed,
            epoch=epoch,
            sim_time_s=sim_time_s,
            speed=start.speed,
        )

    def _continued(self, start: SceneStart, checkpoint: Checkpoint | None, resume_s: float) -> SceneWorld:
        """Return the world of the checkpoint, or a fresh one, at the later of checkpoint and the twin's memory."""
        whole_s = math.ceil(resume_s)
        if checkpoint is None:
            return self._world(start, seed=self._seed, epoch=1, sim_time_s=whole_s)
        world = self._world(start, seed=checkpoint.seed, epoch=checkpoint.epoch, sim_time_s=checkpoint.sim_time_s)
        try:
            world.restore(checkpoint)
        except CorruptStore as error:
            _log.error("checkpoint_not_restored", reason=str(error))
            at_s = max(whole_s, math.ceil(checkpoint.sim_time_s))
            return self._world(start, seed=checkpoint.seed, epoch=checkpoint.epoch, sim_time_s=at_s)
        if whole_s - world.sim_time_s > LONGEST_SILENT_S:
            world.set_clock(whole_s)
        # What the twin has already is not told again: it would be dropped as a repetition.
        while world.sim_time_s < whole_s:
            world.catch_up(whole_s, wall_limit_s=1.0)
        _log.info("continued", sim_time_s=world.sim_time_s, checkpoint_sim_time_s=checkpoint.sim_time_s)
        return world

    async def _new_world(self, client: SceneClient, start: SceneStart) -> SceneWorld:
        """Tell a past if one is wanted, then build the world at the present moment."""
        begin_s = math.floor(start.civil.sim_time_s(datetime.now(UTC)))
        if start.past_s:
            begin_s -= begin_s % 60
            await self._tell_past(client, start, end_s=float(begin_s))
            now_s = math.floor(start.civil.sim_time_s(datetime.now(UTC)))
            if now_s - begin_s > LONGEST_CATCH_UP_S:
                begin_s = now_s
        world = await self._in_worker(
            lambda: self._world(start, seed=self._seed, epoch=client.epoch, sim_time_s=float(begin_s))
        )
        while True:
            reports = await self._in_worker(world.catch_up, start.civil.sim_time_s(datetime.now(UTC)))
            for report in reports:
                await client.send_pm(report)
            if start.civil.sim_time_s(datetime.now(UTC)) - world.sim_time_s < 0.2:
                return world

    async def _tell_past(self, client: SceneClient, start: SceneStart, *, end_s: float) -> None:
        begun_wall_s = time.monotonic()
        told_percent = -10
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
            for report in reports:
                await client.send_pm(report)
            count += len(reports)
            last_s = reports[-1].period_end_sim_time_s
            percent = int(100 * (1 - (end_s - last_s) / start.past_s))
            if percent >= told_percent + 10:
                told_percent = percent
                await client.send_event("past.progress", {"percent": percent}, sim_time_s=last_s)
        await client.stored()
        _log.info("past_told", reports=count, past_s=start.past_s, took_s=round(time.monotonic() - begun_wall_s, 2))

    def _bring_to(self, world: SceneWorld, start: SceneStart) -> None:
        try:
            world.configure(start.desired)
        except InvalidInput as error:  # the twin sees what is observed and raises the alarm
            _log.error("desired_configuration_refused", reason=str(error))

    # --- living ------------------------------------------------------------------------------------------------

    async def _live(self, client: SceneClient) -> None:
        world = self._need_world()
        while True:
            produced = await self._in_worker(world.advance)
            client.epoch = world.epoch
            if produced.batch is not None:
                client.send_telemetry(produced.batch)
            for report in produced.reports:
                await client.send_pm(report)
            await self._tell_speed(client, world)
            await asyncio.sleep(world.wait_s())

    async def _tell_speed(self, client: SceneClient, world: SceneWorld) -> None:
        if not world.paused and abs(world.speed_actual - self._told_speed) > 0.05 * world.speed:
            self._told_speed = world.speed_actual
            facts = {"requested": world.speed, "actual": world.speed_actual}
            await client.send_event("speed", facts, sim_time_s=world.sim_time_s)

    async def _keep_checkpoints(self, client: SceneClient) -> None:
        world = self._need_world()
        while True:
            await asyncio.sleep(CHECKPOINT_INTERVAL_S)
            await self._in_worker(self._save, world, client.results)

    def _save(self, world: SceneWorld, results: Sequence[CommandResult]) -> None:
        try:
            write_checkpoint(self._state_dir, world.checkpoint(results))
        except OSError as error:
            _log.error("checkpoint_not_written", reason=str(error), folder=str(self._state_dir))

    async def _obey(self, command: Command) -> CommandResult:
        return await self._in_worker(self._need_world().obey, command)

    async def _state(self) -> SceneState:
        world = self._need_world()
        return await self._in_worker(
            lambda: SceneState(
                format=FORMAT,
                revision=world.network.topology.revision,
                sim_time_s=world.sim_time_s,
                data=world.network.snapshot(),
            )
        )

    def _need_world(self) -> SceneWorld:
        if self._built is None:
            raise Conflict("the scene still tells its past; send the command again once it is live")
        return self._built

    async def _in_worker(self, work: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work, *arguments)


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


async def run_scene(
    *, scenario_path: Path, server: str, scene_id: str, seed: int, state_dir: Path, stop: asyncio.Event
) -> None:
    """Run a headless scene against the twin at `server` until `stop` is set.

    Raises:
        ScenarioError: The scenario file cannot be read. TwinError: The twin refused the scene for good.
    """
    scenario = await asyncio.to_thread(load_scenario, scenario_path)
    scene = HeadlessScene(scenario=scenario, server=server, scene_id=scene_id, seed=seed, state_dir=state_dir)
    await scene.run(stop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="twin scene", description="Run the headless scene against a twin.")
    parser.add_argument("--scenario", type=Path, required=True, help="scenario file, as `twin up` saves it")
    parser.add_argument("--server", default="127.0.0.1:8601", help="host and port of the bridge")
    parser.add_argument("--scene-id", default="main", help="slug of the scene")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random in a new world")
    parser.add_argument("--state-dir", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    parser.add_argument(
        "--parent-pipe", action="store_true", help="end when standard input closes, that is when the parent dies"
    )
    return parser


async def _serve(options: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        if not stop.is_set():
            stop.set()
            last_resort = threading.Timer(STOP_LIMIT_S, os._exit, (0,))
            last_resort.daemon = True
            last_resort.start()

    for name in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(name, end)
        except NotImplementedError:  # Windows
            signal.signal(name, lambda _number, _frame: loop.call_soon_threadsafe(end))
    if options.parent_pipe:
        threading.Thread(target=_watch_parent, args=(loop, end), daemon=True, name="parent-pipe").start()
    try:
        await run_scene(
            scenario_path=options.scenario,
            server=options.server,
            scene_id=options.scene_id,
            seed=options.seed,
            state_dir=options.state_dir,
            stop=stop,
        )
    except TwinError as error:
        _log.error("scene_ended", reason=str(error), kind=type(error).__name__)
        print(f"twin scene: {error}", file=sys.stderr)
        return 1
    return 0


def _watch_parent(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        # Not sys.stdin: a daemon thread that holds its lock aborts the interpreter at the end.
        while os.read(0, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # the loop may have ended by itself
        loop.call_soon_threadsafe(end)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the scene process; returns its exit code."""
    options = _parser().parse_args(argv)
    configure(options.log_level)
    return asyncio.run(_serve(options))


if __name__ == "__main__":
    sys.exit(main())
