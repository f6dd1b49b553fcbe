"""Rule D1: who gives the figures tells its configuration on every connection; what differs is put right or alarmed."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.client import SceneClient
from bridge.server import BridgeServer
from tests.tcp_relay import relay
from twin.alarms import Alarm
from twin.clock import CivilTime
from twin.commands import Command, CommandResult, CommandStage, SetAttribute, SetAttributes
from twin.errors import Conflict
from twin.ids import uuid7
from twin.network import Network
from twin.scenario import Scenario
from twin.telemetry import PmReport, TelemetryBatch
from twin.testing import MemoryJournal
from twin_app.alarm_log import JournaledAlarmLog
from twin_app.drift import DRIFT, DriftWatch
from twin_app.events import NewsHub
from twin_app.inventory import LiveInventory
from twin_app.scenarios import ScenarioSpec, build_scenario, save_scenario
from twin_app.scene_desk import SceneDesk

CELL = "cell-1-1"


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return build_scenario(ScenarioSpec(num_ues=50))


class Counted:
    """Figures that nobody keeps."""

    def __init__(self) -> None:
        self.batches: list[float] = []
        self.reports: list[float] = []

    def telemetry(self, batch: TelemetryBatch) -> None:
        self.batches.append(batch.sim_time_s)

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        self.reports.append(report.period_end_sim_time_s)
        done()

    def live(self) -> None:
        pass


class Stage:
    def __init__(self, scenario: Scenario) -> None:
        journal = MemoryJournal()
        civil = CivilTime(epoch=datetime.now(UTC) - timedelta(seconds=60), timezone="UTC")
        self.inventory = LiveInventory(scenario=scenario, scene_id="main", civil=civil, journal=journal)
        self.alarms = JournaledAlarmLog(journal, scene_id="main")
        self.figures = Counted()
        self.desk = SceneDesk(
            inventory=self.inventory,
            figures=self.figures,
            alarms=self.alarms,
            journal=journal,
            news=NewsHub(),
            past_s=0,
            speed=1.0,
        )
        self.server = BridgeServer(sink=self.desk, port=0)
        self.desk.link = self.server.link
        self.url = ""

    async def until(self, condition: Callable[[], object], *, timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.01)

    @property
    def drift(self) -> list[Alarm]:
        return [alarm for alarm in self.alarms.active() if alarm.probable_cause == DRIFT]

    def wanted(self) -> SetAttribute:
        value = self.inventory.topology.get(CELL).attributes["digitalTilt"]
        return SetAttribute(entity_id=CELL, attribute="digitalTilt", value=value)


@asynccontextmanager
async def stage(scenario: Scenario) -> AsyncIterator[Stage]:
    made = Stage(scenario)
    await made.alarms.open()
    made.url = f"127.0.0.1:{await made.server.start()}"
    try:
        yield made
    finally:
        await made.desk.close()
        await made.server.stop()


class Antenna:
    """A scene with one antenna and a will of its own."""

    def __init__(self, *, tilt: float, mood: str = "obeys") -> None:
        self.tilt, self.mood = tilt, mood
        self.pushed: list[Command] = []

    def obey(self, command: Command) -> CommandResult:
        self.pushed.append(command)
        if self.mood == "refuses":
            raise Conflict("the antenna is rusty")
        assert isinstance(command.body, SetAttributes)
        if self.mood == "obeys":
            self.tilt = float(command.body.actions[0].value)
        return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, observed=(self.reading(),))

    def reading(self) -> SetAttribute:
        return SetAttribute(entity_id=CELL, attribute="digitalTilt", value=self.tilt)

    def scene(self, url: str) -> SceneClient:
        return SceneClient(url, "main", provides=["MOTION", "KPI"], engine="own", on_command=self.obey)


async def test_what_differs_is_put_right_without_an_alarm(scenario: Scenario) -> None:
    antenna = Antenna(tilt=11.0)
    async with stage(scenario) as s, antenna.scene(s.url) as client:
        await client.send_observed([antenna.reading()], sim_time_s=60.0)
        await s.until(lambda: antenna.reading() == s.wanted())
        assert s.drift == []


async def test_what_the_scene_does_not_manage_is_no_drift(scenario: Scenario) -> None:
    antenna = Antenna(tilt=11.0)
    async with stage(scenario) as s, antenna.scene(s.url) as client:
        await client.send_observed([s.wanted()], sim_time_s=60.0)
        await client.stored()
        await asyncio.sleep(0.1)
        assert antenna.pushed == []


@pytest.mark.parametrize(("mood", "said"), [("refuses", "rusty"), ("pretends", "does not read back")])
async def test_a_stubborn_scene_raises_the_alarm_which_ends_when_it_comes_round(
    scenario: Scenario, mood: str, said: str
) -> None:
    antenna = Antenna(tilt=11.0, mood=mood)
    async with stage(scenario) as s:
        async with antenna.scene(s.url) as client:
            await client.send_observed([antenna.reading()], sim_time_s=60.0)
            await s.until(lambda: s.drift)
            assert (s.drift[0].entity_id, said in s.drift[0].specific_problem) == (CELL, True)
        antenna.mood = "obeys"
        async with antenna.scene(s.url) as client:
            await client.send_observed([antenna.reading()], sim_time_s=61.0)
            await s.until(lambda: not s.drift)
        assert antenna.reading() == s.wanted()


async def test_a_scene_that_refused_is_asked_again_and_the_alarm_then_ends(scenario: Scenario) -> None:
    antenna = Antenna(tilt=11.0, mood="refuses")
    async with stage(scenario) as s, antenna.scene(s.url):
        watch = DriftWatch(inventory=s.inventory, alarms=s.alarms, link=lambda: s.server.link, again_s=0.2)
        watch.seen("main", [antenna.reading()], 60.0)
        await s.until(lambda: s.drift)
        antenna.mood = "obeys"
        await s.until(lambda: not s.drift)
        assert antenna.reading() == s.wanted()
        await watch.close()


async def test_a_change_while_the_scene_was_away_reaches_it_when_it_comes_back(scenario: Scenario) -> None:
    antenna = Antenna(tilt=11.0)
    async with stage(scenario) as s:
        async with relay(s.url) as line, antenna.scene(line.address) as client:
            await client.send_observed([antenna.reading()], sim_time_s=60.0)
            await s.until(lambda: antenna.reading() == s.wanted())
            tilt = SetAttribute(entity_id=CELL, attribute="digitalTilt", value=77.0)
            await s.inventory.configure([tilt], change_id="c", why="committed meanwhile")
            line.cut()
            await s.until(lambda: client.resumed == 1)  # D1 counts after a resumed stream, too
            await s.until(lambda: antenna.reading() == tilt)
        assert s.drift == []


async def test_the_headless_scene_is_brought_back_after_its_stream_broke(scenario: Scenario, tmp_path: Path) -> None:
    save_scenario(scenario, tmp_path / "scenario.npz")
    async with stage(scenario) as s, relay(s.url) as line:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "twin_app.scene_process", "--scenario", str(tmp_path / "scenario.npz")),
            *("--server", line.address, "--state-dir", str(tmp_path / "state"), "--parent-pipe"),
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await s.until(lambda: s.inventory.live, timeout_s=60)
            astray = SetAttribute(entity_id=CELL, attribute="digitalTilt", value=33.0)
            order = Command(id=uuid7(), body=SetAttributes(actions=(astray,)), issued_by="somebody")
            assert (await s.server.link.send(order, timeout_s=10)).observed == (astray,)
            line.cut()
            await s.until(lambda: not s.inventory.live)
            await s.until(lambda: s.inventory.live)

            async def reads_back() -> float:
                state = await s.server.request_state(timeout_s=10)
                network = Network(scenario, s.inventory.topology, s.inventory.civil, seed=1)
                network.restore(state.data)
                return float(network.read(CELL, "digitalTilt"))

            async with asyncio.timeout(10):
                while await reads_back() != s.wanted().value:
                    await asyncio.sleep(0.1)
            assert s.drift == []
        finally:
            process.terminate()
            await process.wait()
