"""`twin conform`: our own server and client keep the rules, and a side that breaks one is found out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import numpy as np
import pytest
import uvicorn

from bridge.client import SceneClient
from bridge.conform.clients import ClientChecks
from bridge.conform.report import Outcome, Report
from bridge.conform.server_scenes import SceneChecks
from bridge.conform.servers import Target, check_server, checks_of
from bridge.conform.wire import Listener, Wire, open_wire
from bridge.gateway import WebSocketGateway
from bridge.server import BridgeServer
from bridge.stream import BridgeSettings
from bridge.testing import MemorySink
from bridge.v1 import bridge_pb2, command_pb2
from tests.free_port import free_port
from twin.clock import CivilTime
from twin.commands import Command, CommandResult, CommandStage, SetAttribute, SetAttributes
from twin.entities import Kind
from twin.errors import InvalidInput, Unavailable
from twin.ports import SceneStart
from twin.telemetry import TelemetryBatch
from twin.topology import Entity, Topology

QUICK = BridgeSettings(
    heartbeat_interval_s=0.4,
    hello_timeout_s=1.0,
    resume_ttl_s=2.0,
    outbox_limit=200,
    camera_credits=1,
    voice_credits=16,
)


SEEN_BY_OBSERVERS = {"B1", "B4", "L2", "L4", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "H1", "H2", "F5", "M3", "P1"}
SEEN_BY_SCENES = {"B6", "L1", "L5", "D2", "O2", "O3", "O4", "F1", "M1", "M2"}


def start() -> SceneStart:
    cell = Entity(index=0, id="cell-1-1", kind=Kind.CELL, name="Cell 1-1", attributes={"digitalTilt": 60.0})
    phones = [Entity(index=i, id=f"ue-{i}", kind=Kind.UE, name=f"ue {i}") for i in (1, 2, 3)]
    return SceneStart(
        topology=Topology([cell, *phones], revision=5),
        civil=CivilTime(epoch=datetime(2026, 11, 7, 12, tzinfo=UTC), timezone="Europe/Berlin"),
        resume_at_sim_s=12.5,
        past_s=0,
        speed=1.0,
        desired=(SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=60.0),),
    )


@asynccontextmanager
async def served(way: str) -> AsyncIterator[str]:
    """A bridge with the ways in, and where to reach it by the one that is asked for."""
    server = BridgeServer(sink=MemorySink(start()), port=0, settings=QUICK)
    port = await server.start()
    web = uvicorn.Server(
        uvicorn.Config(
            WebSocketGateway(server), port=free_port(), log_config=None, lifespan="off", ws="websockets-sansio"
        )
    )
    serving = asyncio.create_task(web.serve())
    try:
        while not web.started:
            await asyncio.sleep(0.01)
        yield f"grpc://127.0.0.1:{port}" if way == "grpc" else f"ws://127.0.0.1:{web.config.port}/bridge"
    finally:
        await server.stop()
        web.should_exit = True
        await serving


async def moving(scene: SceneClient) -> None:
    """Send positions ten times a second for ever."""
    number = 0
    while True:
        number += 1
        scene.send_telemetry(
            TelemetryBatch(
                scene_id=scene.scene_id,
                epoch=1,
                seq=number,
                revision=scene.topology.revision,
                sim_time_s=12.5 + number / 10,
                entity_index=scene_phones(scene),
                position_m=np.zeros((3, 3), dtype=np.float32),
                kpis=("RF.serving.RSRP",),
                values=np.full((3, 1), -80.0, dtype=np.float32),
            )
        )
        await asyncio.sleep(0.1)


def scene_phones(scene: SceneClient) -> np.ndarray:
    return np.array([entity.index for entity in scene.topology.of_kind(Kind.UE)], dtype=np.uint32)


@asynccontextmanager
async def a_scene(url: str, **options: object) -> AsyncIterator[SceneClient]:
    """A scene of ours that moves phones and obeys."""
    tilt = 60.0

    def obey(command: Command) -> CommandResult:
        nonlocal tilt
        if not isinstance(command.body, SetAttributes):
            raise InvalidInput(f"`{type(command.body).__name__}` means nothing here")
        if not command.dry_run:
            tilt = float(command.body.actions[0].value)
        return CommandResult(
            command_id=command.id,
            stage=CommandStage.APPLIED,
            observed=command.body.actions,
            sim_time_s=asyncio.get_running_loop().time(),
        )

    async with SceneClient(url, "main", provides={"MOTION", "KPI"}, on_command=obey, **options) as scene:  # type: ignore[arg-type]
        task = asyncio.create_task(moving(scene))
        await scene.send_observed(
            [SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=tilt)], sim_time_s=12.5
        )
        try:
            yield scene
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def outcomes(report: Report, outcome: Outcome) -> list[str]:
    return [f"{v.rule} {v.what}: {v.detail}" for v in report.verdicts if v.outcome is outcome]


@pytest.mark.parametrize("way", ["grpc", "ws"])
async def test_our_server_keeps_the_rules_that_an_observer_can_see(way: str) -> None:
    report = Report()
    async with served(way) as url, a_scene(url):
        await check_server(Target(url=url), report)

    assert outcomes(report, Outcome.BROKEN) == []
    untested = {v.rule for v in report.verdicts if v.outcome is Outcome.UNTESTED}
    # What cannot be seen: tokens of a server without (B7), text frames on gRPC (B6), rules about scenes.
    assert untested <= {"B7", *SEEN_BY_SCENES}
    held = {v.rule for v in report.verdicts if v.outcome is Outcome.HOLDS}
    assert held >= SEEN_BY_OBSERVERS
    assert [v.rule for v in report.verdicts if v.rule == "R4" and v.outcome is Outcome.HOLDS] == ["R4", "R4"]


@pytest.mark.parametrize("way", ["grpc", "ws"])
async def test_our_server_keeps_the_rules_about_scenes(way: str) -> None:
    report = Report()
    async with served(way) as url:
        async with a_scene(url):
            pass  # the server knows its inventory only once a scene was there
        for check in SceneChecks(Target(url=url, scene_id="main")).all():
            await report.check(check)

    assert outcomes(report, Outcome.BROKEN) + outcomes(report, Outcome.UNTESTED) == []
    assert {v.rule for v in report.verdicts} == SEEN_BY_SCENES


@pytest.mark.parametrize("scheme", ["grpc://127.0.0.1:0", "ws://127.0.0.1:0/bridge"])
async def test_our_client_keeps_the_rules(scheme: str) -> None:
    report = Report()
    async with Listener(scheme) as listener:

        async def play() -> None:
            async with a_scene(listener.url):
                await asyncio.Event().wait()

        playing = asyncio.create_task(play())
        await ClientChecks(listener, wait_s=20).run(report)
        playing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await playing

    assert outcomes(report, Outcome.BROKEN) == []
    assert [v.rule for v in report.verdicts if v.outcome is Outcome.UNTESTED] == ["M1"]


async def test_nobody_at_the_address_is_said_so() -> None:
    with pytest.raises(Unavailable):
        await check_server(Target(url=f"ws://127.0.0.1:{free_port()}/bridge"), Report())


Spoil = Callable[[bridge_pb2.ConnectResponse], bridge_pb2.ConnectResponse | None]


def skips_a_number(response: bridge_pb2.ConnectResponse) -> bridge_pb2.ConnectResponse:
    if response.seq > 1:
        response.seq += 1
    return response


def answers_no_heartbeat(response: bridge_pb2.ConnectResponse) -> bridge_pb2.ConnectResponse | None:
    return None if response.HasField("heartbeat_reply") else response


def welcomes_without_a_session(response: bridge_pb2.ConnectResponse) -> bridge_pb2.ConnectResponse:
    if response.HasField("welcome"):
        response.welcome.session_id = ""
    return response


def forgets_an_entity(response: bridge_pb2.ConnectResponse) -> bridge_pb2.ConnectResponse:
    if response.HasField("topology_snapshot"):
        del response.topology_snapshot.entities[0]
    return response


def refuses_without_a_sentence(response: bridge_pb2.ConnectResponse) -> bridge_pb2.ConnectResponse:
    if response.HasField("refusal"):
        response.refusal.message = ""
    return response


def tells_not_who_speaks(response: bridge_pb2.ConnectResponse) -> bridge_pb2.ConnectResponse:
    if response.HasField("voice_chunk"):
        response.voice_chunk.session_id = ""
    return response


def keeps_nothing_for_later(response: bridge_pb2.ConnectResponse) -> bridge_pb2.ConnectResponse:
    if response.HasField("welcome"):
        response.welcome.resumed = False
    return response


@asynccontextmanager
async def between(url: str, spoil: Spoil) -> AsyncIterator[str]:
    """A server that is ours but for what `spoil` does to its messages."""

    async def pump(client: Wire) -> None:
        server = await open_wire(url, tls=None, grpc_tls=None)

        async def there() -> None:
            while (raw := await client.receive()) is not None:
                await server.send(raw)

        async def back() -> None:
            while (raw := await server.receive()) is not None:
                response = spoil(bridge_pb2.ConnectResponse.FromString(raw))
                if response is not None:
                    await client.send(response.SerializeToString())

        try:
            await asyncio.wait(
                {asyncio.create_task(there()), asyncio.create_task(back())}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            await server.cut()
            await client.cut()

    async with Listener("ws://127.0.0.1:0/bridge") as listener, asyncio.TaskGroup() as group:

        async def accept() -> None:
            while True:
                group.create_task(pump(await listener.next()))

        accepting = group.create_task(accept())
        yield listener.url
        accepting.cancel()


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (skips_a_number, "B4"),
        (answers_no_heartbeat, "H1"),
        (welcomes_without_a_session, "B3"),
        (forgets_an_entity, "B4"),
        (refuses_without_a_sentence, "B2"),
        (tells_not_who_speaks, "M3"),
        (keeps_nothing_for_later, "R2"),
    ],
)
async def test_a_server_that_breaks_a_rule_is_found_out(spoil: Spoil, rule: str) -> None:
    report = Report()
    async with served("ws") as url, a_scene(url), between(url, spoil) as spoilt:
        for check in checks_of(Target(url=spoilt)):
            if check.rule == rule:
                await report.check(check)

    assert outcomes(report, Outcome.BROKEN) != []


async def test_a_client_that_obeys_twice_is_found_out() -> None:
    """A scene without a memory for its answers."""
    report = Report()
    async with Listener("ws://127.0.0.1:0/bridge") as listener:
        playing = asyncio.create_task(forgetful(listener.url))
        await ClientChecks(listener, wait_s=20, patience_s=1).run(report)
        playing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await playing

    broken = {v.rule for v in report.verdicts if v.outcome is Outcome.BROKEN}
    assert {"C2", "C3"} <= broken


async def forgetful(url: str) -> None:
    """Applies everything at once, whatever it is."""
    wire = await open_wire(url, tls=None, grpc_tls=None)
    hello = bridge_pb2.ConnectRequest()
    hello.hello.protocol_min = hello.hello.protocol_max = 1
    hello.hello.role, hello.hello.scene_id = 1, "main"
    await wire.send(hello.SerializeToString())
    sent = 0
    while (raw := await wire.receive()) is not None:
        response = bridge_pb2.ConnectResponse.FromString(raw)
        if response.seq:
            await wire.send(bridge_pb2.ConnectRequest(ack=response.seq).SerializeToString())
        if response.HasField("command"):
            for stage in (command_pb2.COMMAND_STAGE_RECEIVED, command_pb2.COMMAND_STAGE_APPLIED):
                sent += 1
                answer = bridge_pb2.ConnectRequest(seq=sent)
                answer.command_ack.command_id, answer.command_ack.stage = response.command.id, stage
                answer.command_ack.observed.extend(response.command.set_attributes.actions)
                answer.command_ack.sim_time_s = sent
                await wire.send(answer.SerializeToString())
