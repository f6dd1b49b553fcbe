"""The headless scene as a program: past, live, commands, state, death and return."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from bridge.server import BridgeServer
from bridge.testing import MemorySink
from twin.clock import CivilTime
from twin.commands import (
    Command,
    CommandBody,
    CommandResult,
    CommandStage,
    ManageFault,
    SetAttribute,
    SetAttributes,
    SimulationControl,
)
from twin.entities import Kind
from twin.errors import CorruptStore, NotFound
from twin.ids import uuid7
from twin.network import Network
from twin.ports import SceneStart
from twin.scenario import Scenario
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario, save_scenario
from twin_app.scene_checkpoint import FILE_NAME, Checkpoint, read_checkpoint, write_checkpoint
from twin_app.scene_world import SceneWorld

PAST_S = 2 * 86_400
TILT = SetAttribute(entity_id="cell-7-2", attribute="digitalTilt", value=90.0)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return build_scenario(ScenarioSpec())


def start(scenario: Scenario, *, past_s: int = 0, resume_at_sim_s: float | None = None) -> SceneStart:
    return SceneStart(
        topology=topology_of(scenario),
        civil=CivilTime(epoch=datetime.now(UTC) - timedelta(seconds=past_s), timezone=scenario.timezone),
        resume_at_sim_s=resume_at_sim_s,
        past_s=past_s,
        speed=1.0,
        desired=(TILT,),
        scenario_digest=scenario.digest,
    )


class Stage:
    """A twin with a scene process."""

    def __init__(self, folder: Path, scenario: Scenario, sink: MemorySink, server: BridgeServer, port: int) -> None:
        self.sink, self.server = sink, server
        self._folder, self._port = folder, port
        save_scenario(scenario, folder / "scenario")

    async def raise_curtain(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "twin_app.scene_process"),
            *("--scenario", str(self._folder / "scenario")),
            *("--server", f"127.0.0.1:{self._port}"),
            *("--state-dir", str(self._folder / "state")),
            *("--scene-id", "main", "--seed", "3", "--parent-pipe"),
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        await self.sink.until(lambda: "main" in self.sink.live_at_s, timeout_s=60)
        return process

    async def order(self, body: CommandBody) -> CommandResult:
        return await self.server.link.send(Command(id=uuid7(), body=body, issued_by="test"), timeout_s=10)

    async def more_reports(self, count: int = 2) -> None:
        before = len(self.sink.reports)
        await self.sink.until(lambda: len(self.sink.reports) >= before + count, timeout_s=10)


@asynccontextmanager
async def stage(folder: Path, scenario: Scenario, told: SceneStart) -> AsyncIterator[Stage]:
    sink = MemorySink(told)
    server = BridgeServer(sink=sink, port=0)
    port = await server.start()
    try:
        yield Stage(folder, scenario, sink, server, port)
    finally:
        await server.stop()


async def ended(process: asyncio.subprocess.Process, *, within_s: float = 2.5) -> tuple[int, str]:
    async with asyncio.timeout(within_s):
        _, log = await process.communicate()
    return process.returncode or 0, log.decode()


async def test_it_tells_the_past_then_lives_in_the_present_and_obeys(tmp_path: Path, scenario: Scenario) -> None:
    async with stage(tmp_path, scenario, start(scenario, past_s=PAST_S)) as s:
        process = await s.raise_curtain()
        wall_now_s = s.sink.start.civil.sim_time_s(datetime.now(UTC))
        assert abs(s.sink.live_at_s["main"] - wall_now_s) < 1.0
        assert s.sink.configuration["cell-7-2", "digitalTilt"] == TILT
        periods = Counter(key[2] for key in s.sink.reports)
        assert (periods[900], periods[60]) == (PAST_S // 900, 1440)
        assert [name for _, name, _, _ in s.sink.events].count("past.progress") > 5

        await s.more_reports(3)
        live = sorted(key[3] for key in s.sink.reports if key[2] == 1)
        assert np.diff(live).tolist() == [1.0] * (len(live) - 1)
        assert len(s.sink.batches) > 10

        power = SetAttribute(entity_id="cell-1-1", attribute="configuredMaxTxPower", value=10_000.0)
        done = await s.order(SetAttributes(actions=(power,)))
        assert (done.stage, done.observed) == (CommandStage.APPLIED, (power,))
        wrong = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=5000.0)
        assert (await s.order(SetAttributes(actions=(power, wrong)))).stage is CommandStage.REJECTED
        fault = ManageFault(operation="inject", fault="power-loss", entity_id="cell-1-1")
        assert (await s.order(fault)).labels == ("power-loss",)

        state = await s.server.request_state(timeout_s=5)
        twin = Network(scenario, s.sink.start.topology, s.sink.start.civil, seed=3)
        twin.restore(state.data)
        assert twin.sim_time_s == pytest.approx(state.sim_time_s)
        assert power in twin.configuration()

        assert process.stdin is not None
        process.stdin.close()  # as when the parent dies
        code, log = await ended(process)
        assert (code, "Traceback" in log) == (0, False)


async def test_killed_and_started_again_it_goes_on_where_it_was(tmp_path: Path, scenario: Scenario) -> None:
    async with stage(tmp_path, scenario, start(scenario)) as s:
        process = await s.raise_curtain()
        power = SetAttribute(entity_id="cell-1-1", attribute="configuredMaxTxPower", value=10_000.0)
        await s.order(SetAttributes(actions=(power,)))
        await s.more_reports()
        process.terminate()
        assert (await ended(process))[0] == 0
        stopped = read_checkpoint(tmp_path / "state")
        assert stopped is not None
        newest_s = max(key[3] for key in s.sink.reports)
        s.sink.start = start(scenario, resume_at_sim_s=newest_s)

        again = await s.raise_curtain()
        assert s.sink.live_at_s["main"] == max(stopped.sim_time_s, newest_s)
        assert s.sink.configuration["cell-1-1", "configuredMaxTxPower"] == power
        again.kill()
        await again.communicate()
        await s.sink.until(lambda: "main" not in s.sink.scenes, timeout_s=10)

        (tmp_path / "state" / FILE_NAME).write_bytes(b"rubbish")
        s.sink.start = start(scenario, resume_at_sim_s=1234.5)
        third = await s.raise_curtain()
        assert s.sink.live_at_s["main"] == 1235.0
        third.terminate()
        await ended(third)


async def test_time_can_be_paused_sped_up_and_begun_anew(tmp_path: Path, scenario: Scenario) -> None:
    async with stage(tmp_path, scenario, start(scenario)) as s:
        process = await s.raise_curtain()
        assert (await s.order(SimulationControl(operation="pause"))).stage is CommandStage.APPLIED
        await asyncio.sleep(0.2)
        reports = len(s.sink.reports)
        await asyncio.sleep(1.2)
        assert len(s.sink.reports) == reports

        await s.order(SimulationControl(operation="resume"))
        await s.order(SimulationControl(operation="speed", speed=5.0))
        before = len(s.sink.reports)
        await asyncio.sleep(2.0)
        assert 6 <= len(s.sink.reports) - before <= 12
        too_fast = await s.order(SimulationControl(operation="speed", speed=1e6))
        assert too_fast.stage is CommandStage.REJECTED

        await s.order(SimulationControl(operation="reset", seed=99))
        await s.sink.until(lambda: any(key[1] == 2 for key in s.sink.reports), timeout_s=5)
        first_of_epoch_2 = min(key[3] for key in s.sink.reports if key[1] == 2)
        assert first_of_epoch_2 > max(key[3] for key in s.sink.reports if key[1] == 1)
        process.terminate()
        await ended(process)


async def test_a_scene_of_another_city_says_so_and_ends(tmp_path: Path, scenario: Scenario) -> None:
    other = build_scenario(ScenarioSpec(seed=77))
    async with stage(tmp_path, other, start(scenario)) as s:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "twin_app.scene_process", "--scenario", str(tmp_path / "scenario")),
            *("--server", f"127.0.0.1:{s._port}", "--state-dir", str(tmp_path / "state")),
            stderr=asyncio.subprocess.PIPE,
        )
        code, log = await ended(process, within_s=20)
        assert (code, "serves another city" in log, "Traceback" in log) == (1, True, False)


# --- the world without a process ---------------------------------------------------------------------------------


def world(scenario: Scenario, *, seed: int = 1) -> SceneWorld:
    civil = CivilTime(epoch=datetime(2026, 11, 16, 12, tzinfo=UTC), timezone=scenario.timezone)
    return SceneWorld(
        scenario, topology_of(scenario), civil, scene_id="main", seed=seed, epoch=1, sim_time_s=100.0, speed=1.0
    )


def order(body: CommandBody, *, dry_run: bool = False) -> Command:
    return Command(id=uuid7(), body=body, issued_by="test", dry_run=dry_run)


def test_a_dry_run_answers_and_changes_nothing(scenario: Scenario) -> None:
    w = world(scenario)
    before = w.network.configuration()

    result = w.obey(order(SetAttributes(actions=(TILT,)), dry_run=True))

    assert (result.observed, w.network.configuration()) == ((TILT,), before)


def test_clearing_a_fault_that_is_not_there_is_refused(scenario: Scenario) -> None:
    with pytest.raises(NotFound):
        world(scenario).obey(order(ManageFault(operation="clear", fault="power-loss", entity_id="cell-1-1")))


def test_the_same_checkpoint_goes_on_to_the_same_figures(scenario: Scenario, tmp_path: Path) -> None:
    original = world(scenario)
    original.catch_up(102.3, wall_limit_s=30)
    write_checkpoint(tmp_path, original.checkpoint(()))
    loaded = read_checkpoint(tmp_path)
    assert loaded is not None
    copy = world(scenario)
    copy.restore(loaded)
    assert copy.sim_time_s == 102.3

    ours, theirs = original.catch_up(104.0, wall_limit_s=30), copy.catch_up(104.0, wall_limit_s=30)

    assert [r.period_end_sim_time_s for r in ours] == [r.period_end_sim_time_s for r in theirs] == [103.0, 104.0]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path, scenario: Scenario) -> None:
    result = CommandResult(command_id="c", stage=CommandStage.APPLIED, observed=(TILT,))
    checkpoint = Checkpoint(
        scenario_digest=scenario.digest,
        scene_id="main",
        seed=1,
        epoch=1,
        sim_time_s=5.0,
        paused=False,
        results=(result,),
        state=b"state",
    )
    write_checkpoint(tmp_path, checkpoint)
    assert read_checkpoint(tmp_path) == checkpoint
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-1] + b"!")

    with pytest.raises(CorruptStore, match="does not fit its hash"):
        read_checkpoint(tmp_path)


def test_ues_are_where_the_inventory_says_at_the_start(scenario: Scenario) -> None:
    batch = world(scenario).network.telemetry(scene_id="main", epoch=1, seq=1)

    assert len(batch.entity_index) == len(topology_of(scenario).of_kind(Kind.UE))
