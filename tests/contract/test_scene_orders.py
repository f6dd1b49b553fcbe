"""Rule C6 on the headless scene: killed at any moment it loses no acknowledged order and obeys none twice.

Every order begins the world anew, which raises the scene's epoch by exactly one: the epoch counts what was obeyed.
"""

import asyncio
import random
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest

from bridge.server import BridgeServer
from bridge.stream import BridgeSettings
from bridge.testing import MemorySink
from twin.clock import CivilTime
from twin.commands import (
    Command,
    CommandResult,
    CommandStage,
    ManageFault,
    SetAttribute,
    SetAttributes,
    SimulationControl,
)
from twin.errors import TwinError
from twin.ids import uuid7
from twin.network import Network
from twin.network_state import pack, unpack
from twin.ports import SceneStart
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario, save_scenario
from twin_app.scene_checkpoint import FILE_NAME, read_checkpoint, write_checkpoint

LIVE_S = 60.0


class Stage:
    """A bridge and a scene process that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scenario = build_scenario(ScenarioSpec(num_ues=50))
        save_scenario(self.scenario, folder / "scenario.npz")
        self.sink = MemorySink(
            SceneStart(
                topology=topology_of(self.scenario),
                civil=CivilTime(epoch=datetime.now(UTC) - timedelta(seconds=60), timezone="UTC"),
                resume_at_sim_s=None,
                past_s=0,
                speed=1.0,
                desired=(),
                scenario_digest=self.scenario.digest,
            )
        )
        self.server = BridgeServer(sink=self.sink, port=0, settings=BridgeSettings(resume_ttl_s=5.0))
        self.process: asyncio.subprocess.Process | None = None
        self.began_s: float | None = None

    async def __aenter__(self) -> Self:
        self.port = await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        await self.server.stop()

    async def play(self) -> None:
        """Start the scene; it may be killed before it is live."""
        if self.began_s is not None:
            newest_s = max((key[3] for key in self.sink.reports), default=self.began_s)
            self.sink.start = replace(self.sink.start, resume_at_sim_s=newest_s)
        with (self.folder / "scene.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "twin_app.scene_process", "--scenario", str(self.folder / "scenario.npz")),
                *("--server", f"127.0.0.1:{self.port}", "--state-dir", str(self.folder / "state")),
                *("--takeover", "--parent-pipe"),
                stdin=asyncio.subprocess.PIPE,
                stderr=log,
            )

    async def live(self) -> None:
        """Wait until the process that runs now is live."""
        try:
            await self.sink.until(lambda: "main" in self.sink.live_at_s, timeout_s=LIVE_S)
        except TimeoutError:
            raise AssertionError((self.folder / "scene.log").read_text()[-4000:]) from None
        self.began_s = self.sink.live_at_s["main"]

    async def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
            self.sink.live_at_s.pop("main", None)

    async def order(self, command: Command, *, timeout_s: float = LIVE_S) -> CommandResult:
        """Give an order until its outcome is known."""
        end_s = time.monotonic() + timeout_s
        while True:
            try:
                return await self.server.link.send(command, timeout_s=5.0)
            except TwinError:  # nobody there, or no answer in time: ask again with the same id
                if time.monotonic() > end_s:
                    raise AssertionError((self.folder / "scene.log").read_text()[-4000:]) from None
                await asyncio.sleep(0.05)

    async def state(self) -> Network:
        told = await self.server.request_state(timeout_s=10)
        network = Network(self.scenario, self.sink.start.topology, self.sink.start.civil, seed=1)
        network.restore(told.data)
        return network


def reset(seed: int) -> Command:
    return Command(
        id=uuid7(),
        body=SimulationControl(operation="reset", seed=seed),
        issued_by="test",
        deadline_unix_ns=time.time_ns() + int(300e9),
    )


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
async def test_killed_at_any_moment_it_obeys_every_order_exactly_once(tmp_path: Path, kills: int) -> None:
    chance = random.Random(kills)
    async with Stage(tmp_path) as s:
        await s.play()
        await s.live()
        given = 0
        for _ in range(kills):
            given += 1
            under_way = asyncio.create_task(s.order(reset(seed=given)))
            # From before the order is read until long after it was answered, the beginning of a life included.
            await asyncio.sleep(chance.choice((0.0, 0.02, 0.1, 0.4, 1.5)) * chance.random())
            await s.kill()
            await s.play()
            assert (await under_way).stage is CommandStage.APPLIED
        await s.live()
        given += 1
        repeated = reset(seed=given)
        first = await s.order(repeated)
        await s.kill()
        await s.play()
        assert await s.order(repeated) == first
        epochs = {batch.epoch for batch in s.sink.batches}
        await s.sink.until(lambda: s.sink.batches[-1].epoch == 1 + given, timeout_s=LIVE_S)
        assert max(epochs) <= 1 + given


async def test_orders_after_the_checkpoint_are_replayed_in_their_order(tmp_path: Path) -> None:
    async with Stage(tmp_path) as s:
        await s.play()
        await s.live()
        for value in (10.0, 90.0, 50.0):
            tilt = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=value)
            body = SetAttributes(actions=(tilt,))
            assert (await s.order(Command(id=uuid7(), body=body, issued_by="t"))).observed == (tilt,)
        fault = ManageFault(operation="inject", fault="power-loss", entity_id="cell-2-1", severity=0.5)
        await s.order(Command(id=uuid7(), body=fault, issued_by="t"))
        await s.kill()
        await s.play()
        await s.live()
        network = await s.state()
        assert network.read("cell-1-1", "digitalTilt") == 50.0
        assert [one.entity_id for one in network.faults()] == ["cell-2-1"]


async def test_a_lost_checkpoint_leaves_the_orders_since_the_last_cut(tmp_path: Path) -> None:
    async with Stage(tmp_path) as s:
        await s.play()
        await s.live()
        tilt = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=33.0)
        await s.order(Command(id=uuid7(), body=SetAttributes(actions=(tilt,)), issued_by="t"))
        await s.sink.until(lambda: len(s.sink.reports) > 1)
        await s.kill()
        (tmp_path / "state" / FILE_NAME).write_bytes(b"rubbish")
        await s.play()
        await s.live()
        assert (await s.state()).read("cell-1-1", "digitalTilt") == 33.0


async def test_the_checkpoint_of_another_version_leaves_the_clock_and_the_orders_since(tmp_path: Path) -> None:
    async with Stage(tmp_path) as s:
        await s.play()
        await s.live()
        await s.sink.until(lambda: len(s.sink.reports) > 1)
        await s.kill()
        stood = read_checkpoint(tmp_path / "state")
        assert stood is not None
        document, arrays = unpack(stood.state)
        del document["format"], document["guided"]
        write_checkpoint(tmp_path / "state", replace(stood, state=pack(document, arrays)))
        await s.play()
        await s.live()
        assert (await s.state()).sim_time_s >= stood.sim_time_s
        log = (tmp_path / "scene.log").read_text()
        assert "checkpoint_not_restored" in log
        assert "`guided`" in log
        assert "Traceback" not in log


async def test_a_damaged_ledger_is_put_aside_and_the_scene_goes_on(tmp_path: Path) -> None:
    async with Stage(tmp_path) as s:
        await s.play()
        await s.live()
        await s.order(reset(seed=1))
        await s.sink.until(lambda: len(s.sink.reports) > 1)
        await s.kill()
        ledger = tmp_path / "state" / "orders.ledger"
        ledger.write_bytes(b"this is no ledger, whatever it is" * 10)
        await s.play()
        await s.live()
        assert (tmp_path / "state" / "orders.ledger.damaged").exists()
        assert (await s.order(reset(seed=2))).stage is CommandStage.APPLIED
