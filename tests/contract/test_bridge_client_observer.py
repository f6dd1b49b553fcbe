"""The observer client against a real bridge: fresh figures, whole news, both transports, coming back."""

import asyncio
import importlib.util
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.client import SceneClient
from bridge.news import Event, Figures, News, People, Speech, TopologyNews, WentLive
from bridge.observer import ObserverClient
from tests.bridge_peer import Bench, bench, report, start
from tests.lag import lag
from tests.tcp_relay import Relay, relay
from twin.alarms import Alarm, Severity
from twin.commands import Command, CommandResult, CommandStage, SetAttribute, SetAttributes
from twin.errors import InvalidInput, SceneUnavailable
from twin.ids import uuid7
from twin.media import CameraImage
from twin.telemetry import PmReport, TelemetryBatch
from twin.topology import Topology

TRANSPORTS = pytest.mark.parametrize("transport", ["grpc", "websocket"])
TILT = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=70.0)
QUICK: dict[str, Any] = {"heartbeat_interval_s": 0.2}


def figures(number: int, *, index: tuple[int, ...] = (1, 2, 3), keyframe: bool = True) -> TelemetryBatch:
    """The first column holds the number, the second the wall time: what a consumer sees can be dated."""
    rows = len(index)
    values = np.empty((rows, 2), np.float32)
    values[:, 0], values[:, 1] = number, time.monotonic() % 10_000
    return TelemetryBatch(
        scene_id="main",
        epoch=1,
        seq=number,
        revision=5,
        sim_time_s=number / 10,
        entity_index=np.array(index, dtype=np.uint32),
        position_m=np.array([[100.0 * i, 0, 1.5] for i in index], dtype=np.float32),
        kpis=("RF.serving.RSRP", "DRB.UEThpDl"),
        values=values,
        keyframe=keyframe,
    )


def address(served: Bench, transport: str) -> str:
    return served.grpc if transport == "grpc" else served.websocket


def obey(command: Command) -> CommandResult:
    assert isinstance(command.body, SetAttributes)
    return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, observed=command.body.actions)


def live_scene(url: str, **rest: Any) -> SceneClient:
    return SceneClient(url, "main", provides=("MOTION", "KPI"), engine="test", **rest)


async def send_figures(scene: SceneClient, *, every_s: float) -> None:
    number = 0
    while True:
        number += 1
        scene.send_telemetry(figures(number))
        await asyncio.sleep(every_s)


@asynccontextmanager
async def sending(scene: SceneClient, *, every_s: float = 0.02) -> AsyncIterator[None]:
    task = asyncio.create_task(send_figures(scene, every_s=every_s))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def first(observer: ObserverClient, kind: type | tuple[type, ...], *, timeout_s: float = 3.0) -> Any:
    async with asyncio.timeout(timeout_s):
        while True:
            news = await anext(observer)
            if isinstance(news, kind):
                return news


def measured_age_s(news: Figures) -> float:
    return time.monotonic() % 10_000 - float(news.batch.values[0, 1])


@TRANSPORTS
async def test_a_consumer_in_time_gets_every_batch(transport: str) -> None:
    async with bench(**QUICK) as served, live_scene(served.grpc) as scene:
        await scene.send_live(0.0)
        async with ObserverClient(address(served, transport), channels={"TELEMETRY"}) as observer, sending(scene):
            numbers: list[int] = []
            while len(numbers) < 30:
                numbers.append((await first(observer, Figures)).batch.seq)

            assert numbers == list(range(numbers[0], numbers[0] + 30))
            assert observer.topology.revision == 5
            assert observer.scene_id == "main"


@TRANSPORTS
async def test_a_slow_consumer_never_gets_figures_older_than_200_ms(transport: str) -> None:
    async with bench(**QUICK) as served, live_scene(served.grpc) as scene:
        await scene.send_live(0.0)
        async with (
            ObserverClient(address(served, transport), channels={"TELEMETRY"}) as observer,
            sending(scene),
            lag() as late,
        ):
            await first(observer, Figures)
            ages: list[float] = []
            told: list[float] = []
            for _ in range(6):
                await asyncio.sleep(0.5)
                news = await first(observer, Figures)
                ages.append(measured_age_s(news))
                told.append(news.age_s)

            assert max(ages) < 0.2 + late.worst_s
            assert 0 <= max(told) < 0.2 + late.worst_s
            assert observer.age_s == told[-1]
            assert observer.dropped > 50


async def test_a_slow_consumer_gets_fresh_figures_also_between_other_news() -> None:
    """An alarm is taken while a batch is on its way; the batch then lies here, but is not handed out stale."""
    async with bench(**QUICK) as served, live_scene(served.grpc) as scene:
        await scene.send_live(0.0)
        channels = ("TELEMETRY", "EVENTS")
        async with (
            ObserverClient(served.grpc, channels=channels) as observer,
            sending(scene),
            lag() as late,
        ):
            await first(observer, Figures)
            ages: list[float] = []
            for _ in range(4):
                for number in range(3):
                    await scene.send_event("noise", {"number": number}, sim_time_s=1.0)
                await asyncio.sleep(0.4)
                news = await anext(observer)
                if isinstance(news, Figures):
                    ages.append(measured_age_s(news))
            for _ in range(10):
                await asyncio.sleep(0.1)
                news = await anext(observer)
                if isinstance(news, Figures):
                    ages.append(measured_age_s(news))

            assert ages
            assert max(ages) < 0.2 + late.worst_s


async def test_changes_that_the_consumer_did_not_come_for_are_joined_not_lost() -> None:
    async with bench(**QUICK) as served, live_scene(served.grpc) as scene:
        await scene.send_live(0.0)
        async with ObserverClient(served.grpc, channels={"TELEMETRY"}, ahead=8) as observer:
            scene.send_telemetry(figures(1))
            await first(observer, Figures)
            for number, index in ((2, (1,)), (3, (2,)), (4, (3,))):
                scene.send_telemetry(figures(number, index=index, keyframe=False))
                await scene.telemetry_sent()
                await asyncio.sleep(0.1)
            values: dict[int, float] = {}
            async with asyncio.timeout(5):
                while len(values) < 3:
                    batch = (await first(observer, Figures)).batch
                    values |= dict(zip(batch.entity_index.tolist(), batch.values[:, 0].tolist(), strict=True))

    assert values == {1: 2.0, 2: 3.0, 3: 4.0}


async def test_the_last_figures_of_a_silent_scene_are_handed_out_however_old() -> None:
    async with bench(**QUICK) as served, live_scene(served.grpc) as scene:
        await scene.send_live(0.0)
        async with ObserverClient(served.grpc, channels={"TELEMETRY", "EVENTS"}) as observer:
            waiting = asyncio.create_task(first(observer, Event))
            await asyncio.sleep(0.1)
            await scene.send_event("noise", {}, sim_time_s=1.0)
            await waiting
            scene.send_telemetry(figures(1))
            await asyncio.sleep(0.5)

            news = await first(observer, Figures)
            assert news.batch.seq == 1
            assert news.age_s > 0.3


@TRANSPORTS
async def test_the_observer_gets_what_it_asked_for_and_learns_what_nobody_knows(transport: str) -> None:
    async with bench(**QUICK) as served, live_scene(served.grpc) as scene:
        await scene.send_live(0.0)
        observer = ObserverClient(
            address(served, transport),
            "main",
            channels={"TELEMETRY"},
            kpis=("RF.serving.RSRP", "No.Such"),
            area=(150.0, -10.0, 250.0, 10.0),
            quantised=True,
        )
        async with observer, sending(scene):
            batch = (await first(observer, Figures)).batch
            assert batch.kpis == ("RF.serving.RSRP",)
            assert batch.entity_index.tolist() == [2]
            assert batch.position_m is not None
            np.testing.assert_allclose(batch.position_m, [[200.0, 0, 1.5]], atol=0.01)
            assert observer.unknown_kpis == ("No.Such",)


async def test_a_wanted_rate_is_kept() -> None:
    async with bench(**QUICK) as served, live_scene(served.grpc) as scene:
        await scene.send_live(0.0)
        observer = ObserverClient(served.grpc, channels={"TELEMETRY"}, max_rate_hz=5.0)
        async with observer, sending(scene):
            await first(observer, Figures)
            begun_s, count = time.monotonic(), 0
            while time.monotonic() - begun_s < 1.5:
                await first(observer, Figures)
                count += 1

    assert 5 <= count <= 9


@TRANSPORTS
async def test_news_of_every_kind_come_as_values(transport: str) -> None:
    channels = ("PM", "ALARMS", "EVENTS", "COMMANDS", "PRESENCE")
    async with (
        bench(**QUICK) as served,
        live_scene(served.grpc, on_command=obey) as scene,
        ObserverClient(address(served, transport), channels=channels) as observer,
    ):
        await asyncio.sleep(0.1)  # the subscription has to arrive before the news
        observer.show("Ana", selected=["ue-1"])
        await scene.send_live(0.0)
        await scene.send_pm(report(1))
        await scene.send_event("speed", {"actual": 2.0}, sim_time_s=1.0)
        alarm = Alarm(
            id="a1",
            scene_id="main",
            entity_id="cell-1-1",
            dn="",
            probable_cause="lossOfSignal",
            perceived_severity=Severity.MAJOR,
            event_type="communicationsAlarm",
            specific_problem="dark",
            raised_at_s=1.0,
            cleared_at_s=None,
            evidence=(),
        )
        served.server.publish_alarm(alarm)
        command = Command(id=uuid7(), body=SetAttributes(actions=(TILT,)), issued_by="ana")
        await served.server.link.send(command, timeout_s=3)
        news: list[News] = []
        async with asyncio.timeout(5):
            while len(news) < 7:
                news.append(await anext(observer))

    kinds = {type(one) for one in news}
    assert kinds == {WentLive, PmReport, Event, Alarm, CommandResult, People}
    assert next(one for one in news if isinstance(one, Alarm)) == alarm
    assert [one.stage for one in news if isinstance(one, CommandResult)] == [
        CommandStage.RECEIVED,
        CommandStage.APPLIED,
    ]
    people = next(one for one in news if isinstance(one, People)).people
    assert [(person.name, person.selected_entity_ids) for person in people] == [("Ana", ("ue-1",))]


async def test_a_change_of_the_inventory_is_news() -> None:
    async with bench(**QUICK) as served, live_scene(served.grpc), ObserverClient(served.grpc) as observer:
        old = start().topology
        served.server.topology_changed(Topology(old.entities[:-1], revision=6))
        news = await first(observer, TopologyNews)

    assert news.topology.revision == 6
    assert len(news.topology) == len(old) - 1


async def test_a_picture_and_speech_reach_the_observer() -> None:
    raw = np.arange(3 * 320 * 300, dtype=np.uint32).astype(np.uint8).tobytes()
    image = CameraImage(
        scene_id="main",
        camera_id="roof",
        codec="raw",
        width=320,
        height=300,
        data=raw,
        position_m=None,
        rotation=None,
        horizontal_fov_deg=60.0,
        sim_time_s=4.0,
    )
    pcm = np.arange(8000, dtype=np.int16).tobytes()
    async with (
        bench(**QUICK) as served,
        live_scene(served.grpc, on_camera=lambda _: image) as scene,
        ObserverClient(served.grpc, channels={"CAMERA", "VOICE"}) as observer,
    ):
        waiting = asyncio.create_task(first(observer, CameraImage))
        await asyncio.sleep(0.1)
        scene.send_picture(image)
        assert await waiting == image
        await scene.send_voice(pcm, 8000)
        heard = bytearray()
        while True:
            piece = await first(observer, Speech)
            heard += piece.pcm_int16
            if piece.last:
                break

    assert bytes(heard) == pcm


async def test_an_observer_may_speak() -> None:
    pcm = np.arange(8000, dtype=np.int16).tobytes()
    async with bench(**QUICK) as served, live_scene(served.grpc), ObserverClient(served.websocket) as observer:
        assert await observer.speak(pcm, 8000) == 0
        await served.sink.until(lambda: bool(served.sink.utterances))
        assert served.sink.utterances[0].speaker == observer.session_id


# --- coming back -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["grpc", "websocket"])
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@asynccontextmanager
async def behind_relay(transport: str) -> AsyncIterator[tuple[Bench, Relay, str]]:
    async with bench(**QUICK) as served:
        url = address(served, transport)
        port = int(url.removesuffix("/bridge").rpartition(":")[2])
        async with relay(port) as between:
            yield served, between, url.replace(str(port), str(between.port))


async def test_after_a_cut_no_report_is_missing_and_figures_flow_again(transport: str) -> None:
    async with behind_relay(transport) as (served, between, url), live_scene(served.grpc) as scene:
        await scene.send_live(0.0)
        async with ObserverClient(url, channels={"PM", "TELEMETRY"}) as observer, sending(scene, every_s=0.05):
            await first(observer, Figures)
            seen: list[float] = []
            for second in range(1, 41):
                await scene.send_pm(report(second))
                if second in {10, 25}:
                    between.cut()
            await scene.stored()
            async with asyncio.timeout(5):
                while len(seen) < 40:
                    seen.append((await first(observer, PmReport)).period_end_sim_time_s)

            assert seen == [float(second) for second in range(1, 41)]
            assert observer.resumed >= 1
            assert (await first(observer, Figures)).batch.seq > 0


async def test_a_consumer_that_waits_while_the_stream_breaks_gets_figures_of_the_next_one(transport: str) -> None:
    async with behind_relay(transport) as (served, between, url), live_scene(served.grpc) as scene:
        await scene.send_live(0.0)
        async with ObserverClient(url, channels={"TELEMETRY"}) as observer:
            waiting = asyncio.create_task(first(observer, Figures, timeout_s=5))
            await asyncio.sleep(0.1)
            between.cut()
            async with sending(scene):
                assert (await waiting).batch.seq > 0


# --- the example -------------------------------------------------------------------------------------------------


async def test_the_example_prints_what_it_sees(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parents[2] / "examples/watch.py"
    spec = importlib.util.spec_from_file_location("watch", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    async with bench(**QUICK) as served, live_scene(served.grpc, on_command=obey) as scene:
        await scene.send_live(0.0)
        watching = asyncio.create_task(example.main(served.websocket))
        async with sending(scene):
            await asyncio.sleep(0.7)
            await scene.send_event("speed", {"actual": 2.0}, sim_time_s=1.0)
            command = Command(id="c-1", body=SetAttributes(actions=(TILT,)), issued_by="ana")
            await served.server.link.send(command, timeout_s=3)
            await asyncio.sleep(0.5)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    seen = capsys.readouterr().out
    assert "main: 4 entities, revision 5" in seen
    assert "RF.serving.RSRP, DRB.UEThpDl" in seen
    assert "command c-1: APPLIED" in seen
    assert "event speed: {'actual': 2.0}" in seen


# --- ends --------------------------------------------------------------------------------------------------------


async def test_nobody_to_watch_is_told_at_once_when_entering() -> None:
    async with bench(**QUICK) as served:
        with pytest.raises(SceneUnavailable, match="connected yet"):
            async with ObserverClient(served.grpc, "main", connect_timeout_s=0.5):
                pass


async def test_the_loop_ends_when_the_observer_is_left() -> None:
    async with bench(**QUICK) as served, live_scene(served.grpc):
        observer = ObserverClient(served.grpc, channels={"ALARMS"})
        async with observer:
            waiting = asyncio.create_task(anext(observer, None))
            await asyncio.sleep(0.05)
        assert await asyncio.wait_for(waiting, 1) is None


def test_an_unknown_channel_is_refused_where_it_is_named() -> None:
    with pytest.raises(InvalidInput, match="no channel `SMELL`"):
        ObserverClient("127.0.0.1:8601", channels=("SMELL",))  # type: ignore[arg-type]
