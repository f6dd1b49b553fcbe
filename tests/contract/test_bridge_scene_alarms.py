"""Alarms that a scene raises stand in the twin's own list: durable before they are acknowledged, once, and cleared."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.server import BridgeServer
from bridge.v1 import news_pb2, session_pb2
from tests.bridge_peer import OBSERVER, Peer, grpc_peer
from twin.alarms import Alarm, Severity
from twin.clock import CivilTime
from twin.scenario import Scenario
from twin.telemetry import PmReport, TelemetryBatch
from twin.testing import MemoryJournal
from twin_app.alarm_log import JournaledAlarmLog
from twin_app.events import NewsHub
from twin_app.inventory import LiveInventory
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.scene_alarms import MOST_STANDING
from twin_app.scene_desk import SceneDesk

CELL = "cell-1-1"


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return build_scenario(ScenarioSpec(num_ues=5))


class GatedJournal(MemoryJournal):
    """A journal whose disk takes alarms only while `takes` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.takes = asyncio.Event()
        self.takes.set()

    async def append(self, kind: str, facts: Sequence[Mapping[str, Any]]) -> int:
        if kind == "alarm":
            await self.takes.wait()
        return await super().append(kind, facts)


class NoFigures:
    """Figures that nobody keeps."""

    def telemetry(self, batch: TelemetryBatch) -> None:
        pass

    async def pm(self, report: PmReport, done: Any) -> None:
        del report
        done()

    def live(self) -> None:
        pass


@dataclass(kw_only=True)
class Stage:
    url: str
    alarms: JournaledAlarmLog

    def scene(self) -> Any:
        return grpc_peer(self.url)


@asynccontextmanager
async def stage(scenario: Scenario, journal: MemoryJournal) -> AsyncIterator[Stage]:
    civil = CivilTime(epoch=datetime.now(UTC) - timedelta(seconds=60), timezone="UTC")
    inventory = LiveInventory(scenario=scenario, scene_id="main", civil=civil, journal=journal)
    alarms = JournaledAlarmLog(journal, scene_id="main")
    await alarms.open()
    desk = SceneDesk(
        inventory=inventory,
        figures=NoFigures(),
        alarms=alarms,
        journal=journal,
        news=NewsHub(),
        past_s=0,
        speed=1.0,
    )
    server = BridgeServer(sink=desk, port=0)
    desk.link = server.link
    alarms.subscribe(server.publish_alarm)
    try:
        yield Stage(url=f"127.0.0.1:{await server.start()}", alarms=alarms)
    finally:
        await desk.close()
        await server.stop()


def alarm(name: str = "a-7", *, entity_id: str = CELL, at_s: float = 5.0, **rest: Any) -> news_pb2.Alarm:
    fields: dict[str, Any] = {
        "id": name,
        "entity_id": entity_id,
        "probable_cause": "powerProblem",
        "perceived_severity": news_pb2.SEVERITY_MAJOR,
        "event_type": "equipmentAlarm",
        "specific_problem": "the lamp is dark",
        "raised_at_sim_s": at_s,
        **rest,
    }
    return news_pb2.Alarm(**fields)


def over(name: str = "a-7", **rest: Any) -> news_pb2.Alarm:
    return alarm(name, cleared=True, cleared_at_sim_s=9.0, **rest)


async def say(peer: Peer, *alarms: news_pb2.Alarm) -> None:
    """Say alarms and wait until they are acknowledged."""
    number = 0
    for one in alarms:
        number = await peer.say_lossless(alarm=one)
    await peer.acknowledged(number)


async def test_an_alarm_is_acknowledged_once_it_is_durable(scenario: Scenario) -> None:
    journal = GatedJournal()
    async with stage(scenario, journal) as s, s.scene() as peer, grpc_peer(s.url) as observer:
        await peer.hello()
        await peer.greeted()
        await observer.hello(role=OBSERVER)
        await observer.say(subscribe=session_pb2.Subscribe(channels=[session_pb2.CHANNEL_ALARMS]))
        await observer.hear("subscribe_reply")
        journal.takes.clear()
        number = await peer.say_lossless(alarm=alarm())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.acknowledged(number), 0.2)
        assert s.alarms.active() == ()
        journal.takes.set()
        await peer.say(heartbeat=session_pb2.Heartbeat(number=1))
        await peer.acknowledged(number)
        (standing,) = s.alarms.active()
        assert standing == Alarm(
            id="alarm-1",
            scene_id="main",
            entity_id=CELL,
            dn=standing.dn,
            probable_cause="powerProblem",
            perceived_severity=Severity.MAJOR,
            event_type="equipmentAlarm",
            specific_problem="the lamp is dark",
            raised_at_s=5.0,
            told_as="a-7",
        )
        assert (await observer.hear("alarm")).alarm.id == "alarm-1"
        await say(peer, over())
        assert s.alarms.active() == ()
        assert (await observer.hear("alarm")).alarm.cleared_at_sim_s == 9.0
        await observer.say(heartbeat=session_pb2.Heartbeat(number=1))
        await observer.hear("heartbeat_reply")
        assert [m.WhichOneof("body") for m in observer.heard].count("alarm") == 2


async def test_what_is_told_again_stands_once_also_after_a_restart(scenario: Scenario) -> None:
    journal = MemoryJournal()
    async with stage(scenario, journal) as s, s.scene() as peer:
        await peer.hello()
        await say(peer, alarm(), alarm(), alarm(perceived_severity=news_pb2.SEVERITY_CRITICAL))
        assert [one.perceived_severity for one in s.alarms.active()] == [Severity.CRITICAL]
    async with stage(scenario, journal) as s, s.scene() as peer:
        await peer.hello()
        await say(peer, alarm(), over(), alarm(), over())  # the last two: their acknowledgement was lost
        assert [(one.id, one.cleared_at_s) for one in await s.alarms.list()] == [("alarm-1", 9.0)]
        await say(peer, alarm(at_s=20.0))
        assert [(one.id, one.raised_at_s) for one in s.alarms.active()] == [("alarm-2", 20.0)]


async def test_an_end_without_a_beginning_is_an_alarm_of_the_past(scenario: Scenario) -> None:
    async with stage(scenario, MemoryJournal()) as s, s.scene() as peer:
        await peer.hello()
        await say(peer, over())
        assert [(one.raised_at_s, one.cleared_at_s) for one in await s.alarms.list()] == [(5.0, 9.0)]


async def test_an_alarm_that_cannot_be_meant_is_ignored_with_a_notice(scenario: Scenario) -> None:
    async with stage(scenario, MemoryJournal()) as s, s.scene() as peer:
        await peer.hello()
        await peer.greeted()
        for wrong in (alarm(entity_id="cell-99-9"), alarm(""), alarm("x" * 200)):
            number = await peer.say_lossless(alarm=wrong)
            notice = (await peer.hear("notice")).notice
            assert notice.code == session_pb2.NOTICE_CODE_IGNORED
            assert "alarm" in notice.message
            if peer.heard[-1].ack < number:
                await peer.acknowledged(number)
        await say(peer, alarm())
        await peer.say_lossless(alarm=alarm(probable_cause="lossOfSignal"))  # the same id for something else
        assert "a-7" in (await peer.hear("notice")).notice.message
        assert [one.probable_cause for one in s.alarms.active()] == ["powerProblem"]


async def test_a_scene_neither_takes_over_nor_clears_what_the_twin_raised(scenario: Scenario) -> None:
    async with stage(scenario, MemoryJournal()) as s, s.scene() as peer:
        own = await s.alarms.raise_alarm(
            entity_id=CELL,
            dn="",
            probable_cause="powerProblem",
            event_type="equipmentAlarm",
            severity=Severity.MINOR,
            specific_problem="found by the twin",
            at_s=1.0,
        )
        await peer.hello()
        await say(peer, alarm())
        assert len(s.alarms.active()) == 2
        await say(peer, over())
        assert s.alarms.active() == (own,)
        assert s.alarms.standing(CELL, "powerProblem") == own


async def test_a_scene_cannot_fill_the_list(scenario: Scenario) -> None:
    async with stage(scenario, MemoryJournal()) as s, s.scene() as peer:
        await peer.hello()
        await peer.greeted()
        for first in range(0, MOST_STANDING, 200):
            await say(peer, *(alarm(f"a-{first + n}") for n in range(200)))
        await peer.say_lossless(alarm=alarm("one-too-many"))
        assert "stand already" in (await peer.hear("notice")).notice.message
        assert len(s.alarms.active()) == MOST_STANDING
