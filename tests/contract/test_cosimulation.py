"""Follow mode: an engine that only moves things, a follower process that computes the network, one scene."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.client import SceneClient
from bridge.server import BridgeServer
from bridge.stream import BridgeSettings
from tests.street_route import route
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
from twin.entities import Kind
from twin.errors import InvalidInput
from twin.ids import uuid7
from twin.network import Network
from twin.ports import OfferedEntity
from twin.radio.landscape import outdoor_points, rsrp_dbm, sectors_of
from twin.scenario import Scenario
from twin.telemetry import PmReport, TelemetryBatch
from twin.testing import MemoryJournal
from twin.topology import topology_of
from twin.world import world_of
from twin_app.alarm_log import JournaledAlarmLog
from twin_app.children import SceneChild
from twin_app.events import NewsHub
from twin_app.inventory import LiveInventory
from twin_app.scenarios import ScenarioSpec, build_scenario, save_scenario
from twin_app.scene_desk import SceneDesk

TILT = SetAttribute(entity_id="cell-3-3", attribute="digitalTilt", value=90.0)
DRIVER = "ue-1"
QUICK = BridgeSettings(lease_s=1.0)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return build_scenario(ScenarioSpec())


class Kept:
    """What ingest would get."""

    def __init__(self) -> None:
        self.batches: list[TelemetryBatch] = []
        self.reports: list[PmReport] = []

    def telemetry(self, batch: TelemetryBatch) -> None:
        self.batches.append(batch)

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        self.reports.append(report)
        done()

    def live(self) -> None:
        pass


class OneFollower:
    """Starts the real process, as the twin does."""

    def __init__(self, folder: Path, log: list[str]) -> None:
        self.folder, self.log = folder, log
        self.port = 0
        self.child: SceneChild | None = None

    def attach(self) -> None:
        if self.child is None:
            self.log.append("attach")
            self.child = SceneChild(
                (
                    "twin_app.scene_process",
                    *("--scenario", str(self.folder / "scenario.npz")),
                    *("--server", f"127.0.0.1:{self.port}"),
                    *("--follow", "main", "--seed", "1"),
                    *("--state-dir", str(self.folder / "follower")),
                    "--parent-pipe",
                ),
                log_path=self.folder / "follower.log",
                on_exit=lambda code: self.log.append(f"exit {code}"),
            )
            self.child.start()

    async def detach(self) -> None:
        child, self.child = self.child, None
        if child is not None:
            self.log.append("detach")
            await child.stop()


class Stage:
    """A twin without the parts that do not matter here: real bridge, desk, inventory, alarms and follower."""

    def __init__(self, folder: Path, scenario: Scenario, *, past_s: int, stays_s: float) -> None:
        self.scenario, self.folder = scenario, folder
        self.journal = MemoryJournal()
        civil = CivilTime(epoch=datetime.now(UTC) - timedelta(seconds=past_s + 30), timezone=scenario.timezone)
        self.inventory = LiveInventory(scenario=scenario, scene_id="main", civil=civil, journal=self.journal)
        self.alarms = JournaledAlarmLog(self.journal, scene_id="main")
        self.figures, self.log = Kept(), list[str]()
        self.follower = OneFollower(folder, self.log)
        self.desk = SceneDesk(
            inventory=self.inventory,
            figures=self.figures,
            alarms=self.alarms,
            journal=self.journal,
            news=NewsHub(),
            past_s=past_s,
            speed=1.0,
            follower=self.follower,
            follower_stays_s=stays_s,
        )
        self.server = BridgeServer(sink=self.desk, port=0, settings=QUICK)

        async def grown() -> None:
            self.server.topology_changed(self.inventory.topology, scene_id="main")

        self.desk.link, self.desk.on_grown = self.server.link, grown

    def engine(self, **more: Any) -> SceneClient:
        return SceneClient(f"127.0.0.1:{self.follower.port}", "main", provides=["MOTION"], engine="test", **more)

    async def until(self, condition: Callable[[], object], *, timeout_s: float = 20.0) -> float:
        begin_s = time.monotonic()
        while not condition():
            if time.monotonic() - begin_s > timeout_s:
                follower = self.folder / "follower.log"
                said = follower.read_text()[-4000:] if follower.exists() else "nothing"
                raise AssertionError(f"it did not happen; {self.log}; the follower said: {said}")
            await asyncio.sleep(0.01)
        return time.monotonic() - begin_s

    def newest(self, ue: str, kpi: str) -> float:
        index = self.inventory.topology.get(ue).index
        batch = next((one for one in reversed(self.figures.batches) if kpi in one.kpis), None)
        return np.nan if batch is None else float(batch.values[batch.entity_index == index, batch.kpis.index(kpi)][0])

    def serving_site(self, ue: str) -> str:
        index = self.newest(ue, "vsData6gServingCell")
        return self.inventory.topology.at(int(index)).parent_id if index >= 0 else ""


@asynccontextmanager
async def stage(folder: Path, scenario: Scenario, *, past_s: int = 0, stays_s: float = 30.0) -> AsyncIterator[Stage]:
    save_scenario(scenario, folder / "scenario.npz")
    made = Stage(folder, scenario, past_s=past_s, stays_s=stays_s)
    await made.alarms.open()
    await made.desk.restore(newest_s=None)
    made.follower.port = await made.server.start()
    try:
        yield made
    finally:
        await made.desk.close()
        await made.server.stop()


class Motion:
    """What an engine does: moves UEs, and keeps the time."""

    def __init__(self, client: SceneClient) -> None:
        self.client = client
        self.time_s = client.start.resume_at_sim_s or 0.0
        self.place_m = np.array([ue.position_m for ue in client.topology.of_kind(Kind.UE)], np.float32)
        self.index = np.array([ue.index for ue in client.topology.of_kind(Kind.UE)], np.uint32)
        self.number = 0

    def tick(self, place_m: NDArray[np.float32] | None = None, *, dt_s: float = 0.1) -> None:
        """Send everybody's place, the first UE's being `place_m`."""
        if place_m is not None:
            self.place_m[0, :2] = place_m
        self.time_s += dt_s
        self.number += 1
        self.client.send_telemetry(
            TelemetryBatch(
                scene_id="main",
                epoch=1,
                seq=self.number,
                revision=self.client.topology.revision,
                sim_time_s=self.time_s,
                entity_index=self.index,
                position_m=self.place_m,
                kpis=(),
                values=np.zeros((len(self.index), 0), np.float32),
            )
        )


def heart(scenario: Scenario, site_id: str) -> int:
    """Return the junction where a site is heard most above all others: whose it is does not hang on a street corner."""
    sectors = sectors_of(scenario.cells)
    gain_db = world_of(scenario, 1).landscape.gain_db(outdoor_points(scenario.streets.node_m), sectors)
    own = np.array([cell.site_id == site_id for cell in scenario.cells])
    level_dbm = rsrp_dbm(gain_db, sectors)
    return int((level_dbm[:, own].max(axis=1) - level_dbm[:, ~own].max(axis=1)).argmax())


async def test_a_scene_that_only_moves_gets_its_figures_computed_and_streamed_back(
    tmp_path: Path, scenario: Scenario
) -> None:
    async with stage(tmp_path, scenario) as s, s.engine() as client:
        heard: list[TelemetryBatch] = []
        counted: list[PmReport] = []
        client.subscribe(on_telemetry=heard.append, on_pm=counted.append)
        assert (client.start.past_s, client.start.resume_at_sim_s is not None) == (0, True)
        await s.until(lambda: s.inventory.live)
        assert s.log == ["attach"]
        assert {one.engine for one in s.inventory.sessions} == {"test", "follower"}

        motion = Motion(client)
        way = route(scenario, *(heart(scenario, site) for site in ("site-3", "site-9")), step_m=3.0)
        await stay(s, motion, way[0])
        begun_at = s.serving_site(DRIVER)
        for place in way:  # 30 m/s, ten times as fast as the clock on the wall
            motion.tick(place)
            await asyncio.sleep(0.01)
        await stay(s, motion, way[-1])
        assert (begun_at, s.serving_site(DRIVER)) == ("site-3", "site-9")

        # Positions come from the engine alone, figures from the follower alone; both are counted for themselves.
        assert {one.source for one in s.figures.batches if one.position_m is not None} == {"MOTION"}
        assert {one.source for one in s.figures.batches if one.kpis} == {"KPI+STATE"}
        assert all(one.position_m is None for one in heard)
        assert {one.source or one.kpis for one in heard if one.kpis}
        assert heard[-1].kpis
        await s.until(lambda: counted)
        ends = [report.period_end_sim_time_s for report in s.figures.reports]
        assert ends == sorted(ends)
        assert np.allclose(np.diff(ends), 1.0)

        # The same places give the same figures as in a network of our own.
        state = await s.server.request_state("main", timeout_s=5)
        copy = Network(scenario, s.inventory.topology, s.inventory.civil, seed=1)
        copy.restore(state.data)
        told = copy.telemetry(scene_id="main", epoch=1, seq=1)
        assert told.position_m is not None
        np.testing.assert_allclose(told.position_m[0, :2], motion.place_m[0, :2], atol=1e-3)


async def test_when_the_engine_stands_still_so_does_time(tmp_path: Path, scenario: Scenario) -> None:
    async with stage(tmp_path, scenario) as s, s.engine() as client:
        await s.until(lambda: s.inventory.live)
        motion = Motion(client)
        for _ in range(20):
            motion.tick()
            await asyncio.sleep(0.01)
        await s.until(lambda: s.inventory.now_s >= motion.time_s - 0.05)
        stood_s, reports = s.inventory.now_s, len(s.figures.reports)
        await asyncio.sleep(1.0)
        assert (s.inventory.now_s, len(s.figures.reports)) == (stood_s, reports)
        motion.tick(dt_s=1.0)
        await s.until(lambda: s.inventory.now_s >= stood_s + 1.0)


async def test_the_follower_tells_the_past_and_catches_up_with_the_engine(tmp_path: Path, scenario: Scenario) -> None:
    past_s = 86_400
    async with stage(tmp_path, scenario, past_s=past_s) as s, s.engine() as client:
        assert client.start.past_s == 0
        begin_s = client.start.resume_at_sim_s
        assert begin_s is not None
        assert begin_s > past_s
        motion = Motion(client)
        moving = asyncio.create_task(_drive(motion))
        try:
            await s.until(lambda: s.inventory.live, timeout_s=60)
            await s.until(lambda: s.inventory.now_s > begin_s + 1.0)
        finally:
            moving.cancel()
        ends = {report.granularity_period_s: report.period_end_sim_time_s for report in s.figures.reports}
        assert ends[60] <= begin_s
        assert ends[60] > begin_s - 60
        assert ends[1] > begin_s


async def test_a_killed_follower_is_back_within_seconds_and_knows_its_orders(
    tmp_path: Path, scenario: Scenario
) -> None:
    async with stage(tmp_path, scenario) as s, s.engine(on_command=_agree) as client:
        await s.until(lambda: s.inventory.live)
        motion = Motion(client)
        moving = asyncio.create_task(_drive(motion))
        try:
            await s.until(lambda: s.figures.reports)
            fault = ManageFault(operation="inject", fault="power-loss", entity_id="cell-3-3", severity=0.5)
            done = await s.server.link.send(Command(id=uuid7(), body=fault, issued_by="test"), timeout_s=10)
            assert done.stage is CommandStage.APPLIED
            assert s.follower.child is not None
            assert s.follower.child.pid is not None
            os.kill(s.follower.child.pid, signal.SIGKILL)
            await s.until(lambda: not s.inventory.live)
            away_s = await s.until(lambda: s.inventory.live)
            assert away_s < 10.0
            before = s.inventory.now_s
            await s.until(lambda: s.inventory.now_s > before + 1.0)
        finally:
            moving.cancel()
        state = await s.server.request_state("main", timeout_s=5)
        copy = Network(scenario, s.inventory.topology, s.inventory.civil, seed=1)
        copy.restore(state.data)
        assert [(one.entity_id, one.fault) for one in copy.faults()] == [("cell-3-3", "power-loss")]
        assert s.log == ["attach", "exit -9"]


async def test_the_follower_waits_for_an_engine_that_left_and_then_ends(tmp_path: Path, scenario: Scenario) -> None:
    async with stage(tmp_path, scenario, stays_s=2.0) as s:
        async with s.engine() as client:
            await s.until(lambda: s.inventory.live)
            motion = Motion(client)
            motion.tick(dt_s=1.5)
            await s.until(lambda: s.inventory.now_s > 1.0)
        await s.until(lambda: s.desk.motion_absent_s is not None)
        assert s.inventory.live
        stood_s = s.inventory.now_s
        async with s.engine() as client:  # back within the time: the same follower goes on
            assert client.start.resume_at_sim_s == pytest.approx(stood_s)
            assert s.desk.motion_absent_s is None
            Motion(client).tick(dt_s=1.0)
            await s.until(lambda: s.inventory.now_s > stood_s + 0.5)
            await asyncio.sleep(2.2)
            assert s.log == ["attach"]
        await s.until(lambda: s.log == ["attach", "detach"])
        await s.until(lambda: not s.inventory.sessions)
        assert not s.desk.ready.is_set()
        async with s.engine():
            await s.until(lambda: s.inventory.live)
            assert s.log == ["attach", "detach", "attach"]


async def test_an_engine_with_figures_of_its_own_gets_no_follower(tmp_path: Path, scenario: Scenario) -> None:
    async with stage(tmp_path, scenario) as s:
        url = f"127.0.0.1:{s.follower.port}"
        async with SceneClient(url, "main", provides=["MOTION", "KPI"], engine="own") as client:
            await client.send_live(1.0)
            await s.until(lambda: s.inventory.live)
        assert s.log == []


async def test_the_engine_keeps_the_time_and_says_so(tmp_path: Path, scenario: Scenario) -> None:
    async with stage(tmp_path, scenario) as s, s.engine():
        await s.until(lambda: s.inventory.live)
        pause = Command(id=uuid7(), body=SimulationControl(operation="pause"), issued_by="test")
        answer = await s.server.link.send(pause, timeout_s=5, scene_id="main")
        assert (answer.stage, "engine" in answer.reason) == (CommandStage.REJECTED, True)


async def test_drift_of_a_shared_scene_is_put_right_in_both_parts(tmp_path: Path, scenario: Scenario) -> None:
    async with stage(tmp_path, scenario) as s:
        await s.inventory.configure([TILT], change_id="c-1", why="test")
        turned: list[Command] = []

        def turn(command: Command) -> CommandResult:
            turned.append(command)
            return _agree(command)

        async with s.engine(on_command=turn):
            await s.until(lambda: s.inventory.live)  # began with what it must have: nothing to push
            other = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=120.0)
            s.desk.observed("main", [other], s.inventory.now_s)
            wanted = s.inventory.topology.get("cell-1-1").attributes["digitalTilt"]
            await s.until(lambda: turned)
            body = turned[0].body
            assert isinstance(body, SetAttributes)
            assert [(a.entity_id, a.value) for a in body.actions] == [("cell-1-1", wanted)]
            assert turned[0].issued_by == "twin:desired-state"
        assert s.alarms.active() == ()


async def test_an_engine_contributes_places_and_everybody_learns_them(tmp_path: Path, scenario: Scenario) -> None:
    async with stage(tmp_path, scenario) as s, s.engine() as client:
        await s.until(lambda: s.inventory.live)
        offers = [
            OfferedEntity(local_id="Kiosk 7", kind="place", name="Kiosk", position_m=(1.0, 2.0, 0.0)),
            OfferedEntity(local_id="mast", kind="cell", name="", position_m=(0.0, 0.0, 0.0)),
        ]
        kiosk, mast = await client.contribute(offers)
        assert (kiosk.entity_id, kiosk.index, mast.entity_id) == ("place-kiosk-7", len(topology_of(scenario)), "")
        assert "scenario" in mast.reason
        await s.until(lambda: "place-kiosk-7" in client.topology)
        motion = Motion(client)
        for _ in range(20):  # figures go on under the new numbering
            motion.tick()
            await asyncio.sleep(0.01)
        await s.until(lambda: s.figures.batches[-1].revision == 2 and s.inventory.now_s > motion.time_s - 0.2)
        await s.until(lambda: any(one.revision == 2 for one in s.figures.batches if one.kpis))
        again = LiveInventory(scenario=scenario, scene_id="main", civil=s.inventory.civil, journal=s.journal)
        await again.restore()
        assert again.topology.get("place-kiosk-7").name == "Kiosk"


async def test_a_thousand_ues_at_ten_hertz_are_followed_in_real_time(tmp_path: Path) -> None:
    scenario = build_scenario(ScenarioSpec(num_ues=1000))
    async with stage(tmp_path, scenario) as s, s.engine() as client:
        await s.until(lambda: s.inventory.live, timeout_s=60)
        motion = Motion(client)
        assert len(motion.index) == 1000
        for _ in range(30):
            motion.place_m[:, 0] += 1.4  # everybody at 50 km/h
            motion.tick()
            await asyncio.sleep(0.1)
        late_s = motion.time_s - s.inventory.now_s
        assert late_s < 1.0, f"{late_s:.2f} s behind"


async def stay(s: Stage, motion: Motion, place_m: NDArray[np.float32]) -> None:
    """Let the first UE stand for two seconds, which is long enough for a handover, until the figures are there."""
    for _ in range(20):
        motion.tick(place_m)
    await s.until(lambda: s.inventory.now_s >= motion.time_s - 0.05)


async def _drive(motion: Motion) -> None:
    while True:
        motion.tick()
        await asyncio.sleep(0.1)


def _agree(command: Command) -> CommandResult:
    if not isinstance(command.body, SetAttributes):
        raise InvalidInput("this engine only turns antennas")
    return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, observed=command.body.actions)
