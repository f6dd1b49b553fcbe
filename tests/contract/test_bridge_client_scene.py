"""The scene client against a real bridge, over both transports: coming back, obeying, being told, showing, saying."""

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bridge.access import Guest
from bridge.client import SceneClient
from bridge.news import Event, People
from bridge.scene_media import CameraRequest
from bridge.testing import MemorySink
from tests.bridge_peer import Bench, bench, report, start
from tests.tcp_relay import Relay, relay
from twin.alarms import Alarm, Severity
from twin.commands import Command, CommandResult, CommandStage, Overlay, SetAttribute, SetAttributes
from twin.errors import Conflict, InvalidInput, PermissionDenied, SceneUnavailable, TooLarge, Unauthenticated
from twin.ids import uuid7
from twin.media import CameraImage
from twin.ports import OfferedEntity
from twin.telemetry import PmReport, TelemetryBatch

TILT = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=70.0)
TRANSPORTS = pytest.mark.parametrize("transport", ["grpc", "websocket"])
QUICK = {"heartbeat_interval_s": 0.1}


def positions(number: int) -> TelemetryBatch:
    return TelemetryBatch(
        scene_id="main",
        epoch=1,
        seq=number,
        revision=5,
        sim_time_s=number / 10,
        entity_index=np.array([1, 2, 3], dtype=np.uint32),
        position_m=np.full((3, 3), number, dtype=np.float32),
        kpis=(),
        values=np.zeros((3, 0), dtype=np.float32),
    )


def set_tilt(**rest: object) -> Command:
    return Command(id=uuid7(), body=SetAttributes(actions=(TILT,)), issued_by="local:ana", **rest)  # type: ignore[arg-type]


def obey(command: Command) -> CommandResult:
    observed = command.body.actions if isinstance(command.body, SetAttributes) else ()
    return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, observed=observed, sim_time_s=2.0)


def address(served: Bench, transport: str, *, port: int | None = None) -> str:
    url = served.grpc if transport == "grpc" else served.websocket
    return url if port is None else url.replace(str(port_of(served, transport)), str(port))


def port_of(served: Bench, transport: str) -> int:
    return int((served.grpc if transport == "grpc" else served.websocket.removesuffix("/bridge")).rpartition(":")[2])


def scene(url: str, provides: tuple[str, ...] = ("MOTION", "KPI", "STATE"), **rest: object) -> SceneClient:
    return SceneClient(url, "main", provides=provides, engine="test", **rest)  # type: ignore[arg-type]


@asynccontextmanager
async def behind_relay(transport: str, **settings: object) -> AsyncIterator[tuple[Bench, Relay, str]]:
    async with bench(**{**QUICK, **settings}) as served, relay(port_of(served, transport)) as between:
        yield served, between, address(served, transport, port=between.port)


async def until(condition: object, *, timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


# --- coming back -------------------------------------------------------------------------------------------------


@TRANSPORTS
async def test_after_a_cut_the_session_goes_on_and_no_report_is_lost_or_repeated(transport: str) -> None:
    async with behind_relay(transport) as (served, between, url), scene(url) as client:
        session_id = client.session_id
        await client.send_live(0.0)
        for second in range(1, 61):
            await client.send_pm(report(second))
            if second % 20 == 0:
                before = client.connections
                between.cut()
                await until(lambda at=before: client.connections > at)
        await asyncio.wait_for(client.stored(), 10)

        assert client.session_id == session_id
        assert client.resumed == 3
        assert sorted(key[3] for key in served.sink.reports) == list(range(1, 61))
        assert served.sink.repetitions == 0


@TRANSPORTS
async def test_what_was_not_durable_is_not_stored_twice_after_a_resume(transport: str) -> None:
    async with behind_relay(transport) as (served, between, url), scene(url) as client:
        served.sink.durable = False
        for second in range(1, 6):
            await client.send_pm(report(second))
        await served.sink.until(lambda: len(served.sink.reports) == 5)
        between.cut()
        await until(lambda: client.resumed == 1 and client.connected)
        served.sink.durable = True
        served.sink.store()
        await asyncio.wait_for(client.stored(), 5)

        assert (len(served.sink.reports), served.sink.repetitions) == (5, 0)


async def test_a_session_that_the_twin_forgot_begins_anew_with_what_was_not_acknowledged() -> None:
    async with behind_relay("grpc", resume_ttl_s=0.05, lease_s=0.05) as (served, between, url), scene(url) as client:
        session_id = client.session_id
        served.sink.durable = False
        await client.send_pm(report(1))
        await served.sink.until(lambda: len(served.sink.reports) == 1)
        await between.close()
        await asyncio.sleep(0.3)
        served.sink.durable = True
        await between.open()
        await until(lambda: client.connections == 2)
        await asyncio.wait_for(client.stored(), 5)

        assert client.session_id != session_id
        assert client.resumed == 0
        assert served.sink.repetitions == 1


async def test_configuration_and_being_live_are_told_again_after_each_connect() -> None:
    async with behind_relay("grpc") as (served, between, url), scene(url) as client:
        await client.send_observed([TILT], sim_time_s=1.0)
        await client.send_live(1.0)
        await served.sink.until(lambda: "main" in served.sink.live_at_s)
        served.sink.configuration.clear()
        served.sink.live_at_s.clear()
        between.cut()
        await served.sink.until(lambda: "main" in served.sink.live_at_s and bool(served.sink.configuration))

        assert list(served.sink.configuration.values()) == [TILT]


async def test_a_flapping_stream_does_not_fill_the_buffer() -> None:
    async with behind_relay("grpc") as (served, between, url), scene(url) as client:
        served.sink.durable = False
        await client.send_pm(report(1))  # nothing after it can be acknowledged
        await client.send_observed([TILT], sim_time_s=1.0)
        await client.send_live(1.0)
        await served.sink.until(lambda: len(served.sink.reports) == 1)
        depth = client.unacknowledged
        for round_ in range(1, 6):
            between.cut()
            await until(lambda at=round_: client.connections > at)

        assert client.unacknowledged == depth == 3


async def test_a_command_that_is_being_obeyed_when_the_stream_breaks_is_answered_on_the_next_one() -> None:
    obeyed = list[str]()

    async def slow(command: Command) -> CommandResult:
        obeyed.append(command.id)
        await asyncio.sleep(0.2)
        return obey(command)

    async with behind_relay("grpc") as (served, between, url), scene(url, on_command=slow) as client:
        waiting = asyncio.create_task(served.server.link.send(set_tilt(), timeout_s=5))
        await until(lambda: obeyed)
        between.cut()

        assert (await waiting).stage is CommandStage.APPLIED
        assert len(obeyed) == 1
        assert client.resumed == 1


async def test_the_client_finds_a_twin_that_was_away_for_a_while_within_three_seconds() -> None:
    async with behind_relay("grpc", lease_s=0.2) as (_, between, url), scene(url) as client:
        await between.close()
        await asyncio.sleep(2.0)
        begun_s = time.monotonic()
        await between.open()
        await until(lambda: client.connected)

        assert time.monotonic() - begun_s < 3.0


# --- who holds the scene -----------------------------------------------------------------------------------------


async def test_a_second_scene_waits_for_the_lease_of_the_first() -> None:
    async with bench(**QUICK, lease_s=0.5) as served:
        async with scene(served.grpc) as first:
            number = first.fencing_number
            second = scene(served.grpc, connect_timeout_s=5)
            entering = asyncio.create_task(second.__aenter__())
            await asyncio.sleep(0.3)
            assert not entering.done()
        await entering
        assert second.fencing_number > number > 0
        await second.__aexit__(None, None, None)


async def test_with_takeover_the_older_scene_gives_way_and_does_not_come_back() -> None:
    async with bench(**QUICK) as served, scene(served.grpc) as older, scene(served.grpc, takeover=True) as newer:
        with pytest.raises(Conflict, match="gives way"):
            await asyncio.wait_for(older.closed(), 3)
        assert newer.fencing_number > older.fencing_number


async def test_a_refused_scene_says_why_it_waited_in_vain() -> None:
    async with bench(**QUICK, lease_s=30.0) as served, scene(served.grpc):
        with pytest.raises(SceneUnavailable, match=r"within `0.4` s.*main"):
            async with scene(served.grpc, connect_timeout_s=0.4):
                pass


class OneToken:
    needs_token = True

    def admit(self, token: str) -> Guest:
        if token == "secret":
            return Guest(name="engine", scopes=frozenset({"scene"}))
        if token == "eyes":
            return Guest(name="eyes", scopes=frozenset({"observe"}))
        raise Unauthenticated("no such token; make one with `twin token`")


@TRANSPORTS
async def test_the_token_goes_into_hello_and_the_scopes_come_back(transport: str) -> None:
    async with bench(doorkeeper=OneToken(), **QUICK) as served:
        url = address(served, transport)
        async with scene(url, token="secret") as client:
            assert client.scopes == {"scene"}
        with pytest.raises(Unauthenticated, match="no such token"):
            async with scene(url, token="wrong"):
                pass
        with pytest.raises(PermissionDenied, match="scene"):
            async with scene(url, token="eyes"):
                pass


# --- orders ------------------------------------------------------------------------------------------------------


async def test_commands_are_obeyed_in_order_and_each_is_received_first() -> None:
    obeyed = list[str]()

    async def slow(command: Command) -> CommandResult:
        await asyncio.sleep(0.02 if len(obeyed) % 2 else 0)
        obeyed.append(command.id)
        return obey(command)

    async with bench(**QUICK) as served, scene(served.grpc, on_command=slow):
        commands = [set_tilt() for _ in range(6)]
        results = await asyncio.gather(*(served.server.link.send(command, timeout_s=3) for command in commands))

        assert obeyed == [command.id for command in commands]
        assert {result.stage for result in results} == {CommandStage.APPLIED}


async def test_an_answer_that_does_not_belong_to_the_command_is_a_failure_of_the_scene() -> None:
    def confused(command: Command) -> CommandResult:
        return replace(obey(command), command_id="another")

    async with bench(**QUICK) as served, scene(served.grpc, on_command=confused):
        result = await served.server.link.send(set_tilt(), timeout_s=3)

    assert result.stage is CommandStage.FAILED
    assert "another" in result.reason


# --- co-simulation -----------------------------------------------------------------------------------------------


async def test_an_engine_with_motion_only_gets_the_figures_back() -> None:
    batches = list[TelemetryBatch]()
    reports = list[PmReport]()
    events = list[Event]()
    alarms = list[Alarm]()
    async with (
        bench(**QUICK) as served,
        scene(served.grpc, ("MOTION",)) as engine,
        scene(served.websocket, ("KPI",)) as follower,
    ):
        engine.subscribe(
            on_telemetry=batches.append, on_pm=reports.append, on_event=events.append, on_alarm=alarms.append
        )
        await engine.send_live(0.0)
        await follower.send_live(0.0)
        await asyncio.sleep(0.1)
        for number in range(1, 30):
            engine.send_telemetry(positions(number))
            follower.send_telemetry(
                replace(
                    positions(number),
                    position_m=None,
                    kpis=("RF.serving.RSRP",),
                    values=np.full((3, 1), -80.0 - number, np.float32),
                )
            )
            await follower.send_pm(report(number))
            await asyncio.sleep(0.02)
        await follower.send_event("speed", {"actual": 1.0}, sim_time_s=3.0)
        await until(lambda: events and len(reports) == 29)

        assert {batch.kpis for batch in batches} == {("RF.serving.RSRP",)}
        assert batches[-1].values[0, 0] < batches[0].values[0, 0]
        assert events[-1].name == "speed"

        engine.subscribe()
        await asyncio.sleep(0.1)
        told = len(reports)
        await follower.send_pm(report(31))
        await follower.stored()
        await asyncio.sleep(0.1)
        assert len(reports) == told


# --- pictures, speech, presence, entities ------------------------------------------------------------------------


def picture(camera_id: str = "roof", *, size: int = 64) -> CameraImage:
    noise = np.random.default_rng(1).integers(0, 255, (size, size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format="PNG")
    return CameraImage(
        scene_id="main",
        camera_id=camera_id,
        codec="png",
        width=size,
        height=size,
        data=file.getvalue(),
        position_m=(1.0, 2.0, 3.0),
        rotation=(0.0, 0.0, 0.0, 1.0),
        horizontal_fov_deg=60.0,
        sim_time_s=4.0,
    )


@TRANSPORTS
async def test_a_picture_of_many_parts_arrives_whole(transport: str) -> None:
    asked = list[CameraRequest]()

    async def shoot(request: CameraRequest) -> CameraImage:
        asked.append(request)
        return picture(size=600)

    async with bench(**QUICK) as served, scene(address(served, transport), on_camera=shoot):
        got = await served.server.link.picture(scene_id=None, camera_id="roof", width=600, height=600, timeout_s=5)

    assert got == picture(size=600)
    assert len(got.data) > 2 * 256 * 1024
    assert (asked[0].camera_id, asked[0].width, asked[0].codec) == ("roof", 600, None)


async def test_a_camera_that_cannot_says_why() -> None:
    def shoot(request: CameraRequest) -> CameraImage:
        raise InvalidInput(f"there is no camera `{request.camera_id}`")

    async with bench(**QUICK) as served, scene(served.grpc, on_camera=shoot):
        with pytest.raises(SceneUnavailable, match="there is no camera `roof`"):
            await served.server.link.picture(scene_id=None, camera_id="roof", timeout_s=5)


async def test_speech_of_a_scene_becomes_one_utterance() -> None:
    pcm = np.arange(16_000 * 3, dtype=np.int16).tobytes()
    async with bench(**QUICK) as served, scene(served.grpc) as client:
        assert await client.send_voice(pcm, 16_000) == 0
        await served.sink.until(lambda: bool(served.sink.utterances))

    (utterance,) = served.sink.utterances
    assert (utterance.pcm_int16, utterance.lost_chunks, utterance.duration_s) == (pcm, 0, 3.0)


async def test_speech_that_is_none_is_refused_before_it_is_sent() -> None:
    async with bench(**QUICK) as served, scene(served.grpc) as client:
        with pytest.raises(InvalidInput, match="no speech"):
            await client.send_voice(b"odd", 16_000)
        with pytest.raises(TooLarge, match="at most 60 s"):
            await client.send_voice(bytes(2 * 8000 * 61), 8000)


async def test_people_of_one_scene_see_each_other() -> None:
    seen = list[People]()
    async with bench(**QUICK) as served, scene(served.grpc, ("MOTION",)) as ana, scene(served.grpc, ("KPI",)) as ben:
        ana.subscribe(on_presence=seen.append)
        ben.show("Ben", colour="#112233", camera_position_m=(1.0, 2.0, 3.0), selected=["ue-1", "ue-unknown"])
        ana.show("Ana")
        await until(lambda: seen and len(seen[-1].people) == 2)

        ben_seen = next(person for person in seen[-1].people if person.name == "Ben")
        assert ben_seen.colour == "#112233"
        assert ben_seen.camera_position_m == (1.0, 2.0, 3.0)
        assert ben_seen.selected_entity_ids == ("ue-1",)


async def test_what_a_scene_offers_gets_an_id_or_a_reason() -> None:
    async with bench(**QUICK) as served, scene(served.grpc) as client:
        kiosk = OfferedEntity(local_id="k1", kind="place", name="Kiosk", position_m=(5.0, 6.0, 0.0))
        cell = OfferedEntity(local_id="c1", kind="cell", name="Mine", position_m=(0.0, 0.0, 0.0))
        taken, refused = await client.contribute([kiosk, cell])

    assert (taken.local_id, taken.entity_id, taken.reason) == ("k1", "main-k1", "")
    assert (refused.local_id, refused.entity_id) == ("c1", "")
    assert refused.reason


async def test_a_batch_larger_than_the_twin_takes_is_refused_where_it_is_made() -> None:
    async with bench(MemorySink(start()), **QUICK) as served, scene(served.grpc) as client:
        many = 400_000
        batch = replace(
            positions(1),
            entity_index=np.zeros(many, np.uint32),
            position_m=np.zeros((many, 3), np.float32),
            values=np.zeros((many, 0), np.float32),
        )
        with pytest.raises(TooLarge, match="send it in smaller ones"):
            client.send_telemetry(batch)
        assert client.connected


async def test_an_overlay_needs_no_observed_value() -> None:
    async with bench(**QUICK) as served, scene(served.grpc, on_command=obey):
        overlay = Command(id=uuid7(), body=Overlay(overlay_id="o", operation="show", text="here"), issued_by="ana")
        assert (await served.server.link.send(overlay, timeout_s=3)).stage is CommandStage.APPLIED


async def test_an_alarm_that_the_scene_itself_knows_of_reaches_the_twin() -> None:
    alarm = Alarm(
        id="fan-7",
        scene_id="main",
        entity_id="cell-1-1",
        dn="",
        probable_cause="coolingFanFailure",
        perceived_severity=Severity.MINOR,
        event_type="equipmentAlarm",
        specific_problem="the fan stands still",
        raised_at_s=3.0,
    )
    async with bench(**QUICK) as served, scene(served.grpc) as client:
        await client.send_alarm(alarm)
        await client.stored()

        told = served.sink.alarms
    assert [(one.entity_id, one.probable_cause, one.active) for one in told] == [
        ("cell-1-1", "coolingFanFailure", True)
    ]
