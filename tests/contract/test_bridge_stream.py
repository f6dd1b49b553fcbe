"""A scene and the twin over a real stream: coming in, figures, acknowledgement, commands, state, coming back."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import grpc.aio
import numpy as np
import pytest

from bridge import mapping
from bridge.client import SceneClient
from bridge.dispatch import SceneState
from bridge.server import BridgeServer
from bridge.stream import BridgeSettings
from bridge.testing import MemorySink
from bridge.v1 import bridge_pb2, bridge_pb2_grpc, session_pb2
from tests.bridge_peer import report
from tests.tcp_relay import relay
from twin.alarms import Alarm, Severity
from twin.clock import CivilTime
from twin.commands import (
    Command,
    CommandResult,
    CommandStage,
    ManageFault,
    Overlay,
    SetAttribute,
    SetAttributes,
)
from twin.entities import Kind
from twin.errors import (
    Conflict,
    DeadlineExceeded,
    OutOfRange,
    PermissionDenied,
    PortInUse,
    SceneUnavailable,
    StartError,
)
from twin.ids import uuid7
from twin.ports import SceneInfo, SceneStart
from twin.scenario import Origin
from twin.telemetry import TelemetryBatch
from twin.topology import Entity, Topology

QUICK = BridgeSettings(heartbeat_interval_s=0.05)
TILT = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=70.0)


def topology(num_ues: int = 3) -> Topology:
    cell = Entity(
        index=0,
        id="cell-1-1",
        kind=Kind.CELL,
        name="Cell 1-1",
        aliases=("1-1",),
        attributes={"digitalTilt": 60.0, "administrativeState": "UNLOCKED"},
    )
    ues = [
        Entity(index=i, id=f"ue-{i}", kind=Kind.UE, name=f"ue {i}", position_m=(100.0 * i, 0.0, 1.5))
        for i in range(1, num_ues + 1)
    ]
    return Topology([cell, *ues], revision=5)


def start(num_ues: int = 3) -> SceneStart:
    return SceneStart(
        topology=topology(num_ues),
        civil=CivilTime(epoch=datetime(2026, 11, 7, 12, 0, 0, 250_000, tzinfo=UTC), timezone="Europe/Berlin"),
        resume_at_sim_s=12.5,
        past_s=3600,
        speed=2.0,
        desired=(SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=60.0),),
        origin=Origin(latitude_deg=48.1, longitude_deg=11.5, height_m=520.0),
        scenario_digest="abc",
    )


@asynccontextmanager
async def serving(
    sink: MemorySink | None = None, *, port: int = 0, settings: BridgeSettings = QUICK
) -> AsyncIterator[tuple[BridgeServer, MemorySink, str]]:
    sink = sink or MemorySink(start())
    server = BridgeServer(sink=sink, port=port, settings=settings)
    bound = await server.start()
    try:
        yield server, sink, f"127.0.0.1:{bound}"
    finally:
        await server.stop()


def scene(url: str, **rest: object) -> SceneClient:
    return SceneClient(url, "main", provides=("MOTION", "KPI", "STATE"), engine="test", **rest)  # type: ignore[arg-type]


def telemetry(seq: int, *, revision: int = 5, index: tuple[int, ...] = (1, 2, 3)) -> TelemetryBatch:
    return TelemetryBatch(
        scene_id="main",
        epoch=1,
        seq=seq,
        revision=revision,
        sim_time_s=seq * 0.1,
        entity_index=np.array(index, dtype=np.uint32),
        position_m=np.array([[100.0 * i, 0, 1.5] for i in index], dtype=np.float32),
        kpis=("RF.serving.RSRP", "DRB.UEThpDl"),
        values=np.array([[-80.0 - i, np.nan] for i in index], dtype=np.float32),
    )


def set_tilt(**rest: object) -> Command:
    return Command(id=uuid7(), body=SetAttributes(actions=(TILT,)), issued_by="local:ana", **rest)  # type: ignore[arg-type]


def obey(command: Command) -> CommandResult:
    assert isinstance(command.body, SetAttributes)
    return CommandResult(
        command_id=command.id, stage=CommandStage.APPLIED, observed=command.body.actions, sim_time_s=2.0
    )


# --- coming in ---------------------------------------------------------------------------------------------------


async def test_a_scene_is_told_what_the_sink_decided() -> None:
    async with serving() as (_, sink, url), scene(url, engine_version="1.2", epoch=4) as client:
        told, wanted = client.start, start()

        assert (told.topology.revision, told.topology.entities) == (5, wanted.topology.entities)
        assert (told.civil, told.resume_at_sim_s, told.past_s, told.speed, told.desired) == (
            wanted.civil,
            12.5,
            3600,
            2.0,
            wanted.desired,
        )
        assert (told.origin, told.scenario_digest) == (wanted.origin, "abc")
        info = sink.scenes["main"]
        assert (info.engine, info.engine_version, info.epoch, info.provides) == (
            "test",
            "1.2",
            4,
            frozenset({"MOTION", "KPI", "STATE"}),
        )


async def test_an_inventory_of_many_chunks_arrives_whole() -> None:
    async with serving(MemorySink(start(num_ues=6000))) as (_, _, url), scene(url) as client:
        assert client.topology.entities == topology(6000).entities


async def test_leaving_is_told_to_the_sink() -> None:
    async with serving() as (server, sink, url):
        async with scene(url):
            assert [s.scene_id for s in server.health().scenes] == ["main"]
        await sink.until(lambda: bool(sink.gone))

        assert server.health().scenes == ()


class Unwelcoming(MemorySink):
    """Lets nobody in."""

    def scene_connecting(self, info: SceneInfo) -> SceneStart:
        raise PermissionDenied(f"`{info.scene_id}` may not come in")


async def test_a_scene_that_the_sink_refuses_learns_why() -> None:
    async with serving(Unwelcoming(start())) as (_, _, url):
        with pytest.raises(PermissionDenied, match="`main` may not come in"):
            async with scene(url):
                pass


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        (None, session_pb2.REFUSAL_CODE_PROTOCOL),
        (session_pb2.Hello(protocol_min=2, protocol_max=3, role=1, scene_id="main"), session_pb2.REFUSAL_CODE_VERSION),
        (session_pb2.Hello(protocol_min=1, protocol_max=1, scene_id="main"), session_pb2.REFUSAL_CODE_PROTOCOL),
        (
            session_pb2.Hello(protocol_min=1, protocol_max=1, role=1, scene_id="No Slug!"),
            session_pb2.REFUSAL_CODE_PROTOCOL,
        ),
        (
            session_pb2.Hello(protocol_min=1, protocol_max=1, role=2, scene_id="nowhere"),
            session_pb2.REFUSAL_CODE_UNAVAILABLE,
        ),
    ],
)
async def test_a_wrong_hello_is_refused_with_its_code(hello: session_pb2.Hello | None, code: int) -> None:
    async with serving() as (_, _, url), grpc.aio.insecure_channel(url) as channel:
        stream = bridge_pb2_grpc.BridgeServiceStub(channel).Connect()
        await stream.write(bridge_pb2.ConnectRequest(hello=hello))
        answer = await stream.read()

        assert (answer.refusal.code, bool(answer.refusal.message)) == (code, True)


async def test_a_connection_that_says_takeover_takes_the_scene_over() -> None:
    async with serving() as (server, sink, url), scene(url) as older, scene(url, takeover=True):
        with pytest.raises(Conflict, match="gives way"):
            await asyncio.wait_for(older.closed(), 3)
        assert sink.gone == [("main", "a newer connection took over")]
        assert len(server.health().scenes) == 1
        with pytest.raises(Conflict):
            await older.send_pm(report(1))


# --- figures -----------------------------------------------------------------------------------------------------


async def test_telemetry_and_reports_arrive_as_they_were_sent() -> None:
    async with serving() as (server, sink, url), scene(url) as client:
        await client.send_live(12.5)
        client.send_telemetry(telemetry(1))
        await client.send_pm(report(1))
        await client.stored()
        await sink.until(lambda: bool(sink.batches))

        assert sink.live_at_s == {"main": 12.5}
        np.testing.assert_array_equal(sink.batches[0].values, telemetry(1).values)
        np.testing.assert_array_equal(sink.batches[0].position_m, telemetry(1).position_m)
        (arrived,) = sink.reports.values()
        assert (arrived.counters, arrived.values.tolist()) == (("RRC.ConnMean",), [[1.0]])
        health = server.health().scenes[0]
        assert (health.telemetry_received, health.pm_received, health.live) == (1, 1, True)


async def test_a_report_is_acknowledged_only_when_it_is_durable() -> None:
    async with serving() as (server, sink, url), scene(url) as client:
        sink.durable = False
        await client.send_pm(report(1))
        await client.send_pm(report(2))
        await sink.until(lambda: len(sink.reports) == 2)
        await asyncio.sleep(0.05)
        assert (client.unacknowledged, server.health().scenes[0].inbox_depth) == (2, 2)

        sink.store()
        await asyncio.wait_for(client.stored(), 3)

        assert client.unacknowledged == 0


async def test_more_telemetry_than_the_credits_allow_is_dropped_newest_wins_and_counted() -> None:
    async with serving() as (server, sink, url), scene(url) as client:
        for seq in range(1, 501):
            client.send_telemetry(telemetry(seq))
        await sink.until(lambda: bool(sink.batches) and sink.batches[-1].seq == 500)
        arrived = len(sink.batches)

        assert client.dropped == 500 - arrived
        assert arrived < 500
        async with asyncio.timeout(3):
            while server.health().telemetry_dropped != client.dropped:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("wrong", [{"revision": 4}, {"revision": 6}, {"index": (1, 99)}])
async def test_telemetry_that_does_not_fit_the_inventory_is_dropped_and_counted(wrong: dict[str, object]) -> None:
    async with serving() as (server, sink, url), scene(url) as client:
        client.send_telemetry(telemetry(1, **wrong))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        client.send_telemetry(telemetry(2))
        await sink.until(lambda: bool(sink.batches))

        assert [b.seq for b in sink.batches] == [2]
        assert server.health().telemetry_dropped == 1


async def test_a_changed_attribute_reaches_the_scene_and_its_figures_still_fit() -> None:
    async with serving() as (server, sink, url), scene(url) as client:
        server.topology_changed(topology().with_attributes([("cell-1-1", "digitalTilt", 80.0)]))
        async with asyncio.timeout(3):
            while client.topology.revision != 6:
                await asyncio.sleep(0.01)
        assert client.topology.get("cell-1-1").attributes["digitalTilt"] == 80.0

        client.send_telemetry(telemetry(1, revision=5))
        await sink.until(lambda: bool(sink.batches))


async def test_configuration_and_events_reach_the_sink() -> None:
    async with serving() as (_, sink, url), scene(url) as client:
        await client.send_observed((TILT,), sim_time_s=3.0)
        await client.send_event("touched", {"entity": "ue-1", "force_n": 2}, sim_time_s=4.0)
        await sink.until(lambda: bool(sink.events))

        assert sink.configuration == {("cell-1-1", "digitalTilt"): TILT}
        assert sink.events == [("main", "touched", {"entity": "ue-1", "force_n": 2.0}, 4.0)]


# --- commands ----------------------------------------------------------------------------------------------------


async def test_a_command_is_answered_with_what_the_scene_reads_back() -> None:
    async with serving() as (server, _, url), scene(url, on_command=obey):
        result = await server.link.send(set_tilt(), timeout_s=3)

        assert (result.stage, result.observed, result.sim_time_s) == (CommandStage.APPLIED, (TILT,), 2.0)
        assert server.health().commands_pending == 0


async def test_a_repeated_command_is_answered_again_and_not_obeyed_twice() -> None:
    obeyed: list[str] = []

    async def count(command: Command) -> CommandResult:
        obeyed.append(command.id)
        return obey(command)

    async with serving() as (server, _, url), scene(url, on_command=count) as client:
        command = set_tilt()
        first = await server.link.send(command, timeout_s=3)
        second = await server.link.send(command, timeout_s=3)

        assert (first, obeyed) == (second, [command.id])
        kept = client.results
    async with serving() as (server, _, url), scene(url, on_command=count, results=kept):
        assert await server.link.send(command, timeout_s=3) == first
        assert obeyed == [command.id]


@pytest.mark.parametrize(
    ("rest", "stage", "reason"),
    [
        ({"deadline_unix_ns": 1}, CommandStage.EXPIRED, "deadline"),
        ({"expected_revision": 4}, CommandStage.REJECTED, "revision `4`"),
    ],
)
async def test_a_command_that_is_late_or_out_of_date_is_not_obeyed(
    rest: dict[str, int], stage: CommandStage, reason: str
) -> None:
    async with serving() as (server, _, url), scene(url, on_command=obey):
        result = await server.link.send(set_tilt(**rest), timeout_s=3)

        assert (result.stage, reason in result.reason) == (stage, True)
        assert server.health().command_outcomes == {stage.value: 1}


@pytest.mark.parametrize(
    ("error", "stage"), [(OutOfRange("too steep"), CommandStage.REJECTED), (RuntimeError("oops"), CommandStage.FAILED)]
)
async def test_what_the_scene_raises_is_an_answer(error: Exception, stage: CommandStage) -> None:
    def fail(_: Command) -> CommandResult:
        raise error

    async with serving() as (server, _, url), scene(url, on_command=fail):
        result = await server.link.send(set_tilt(), timeout_s=3)

        assert (result.stage, str(error) in result.reason) == (stage, True)


async def test_without_a_scene_a_command_is_refused_at_once() -> None:
    async with serving() as (server, _, _):
        with pytest.raises(SceneUnavailable):
            await server.link.send(set_tilt(), timeout_s=3)


async def test_a_scene_that_does_not_answer_in_time_leaves_the_outcome_unknown() -> None:
    async def never(command: Command) -> CommandResult:
        await asyncio.sleep(60)
        return obey(command)

    async with serving() as (server, _, url), scene(url, on_command=never):
        with pytest.raises(DeadlineExceeded, match="RECEIVED"):
            await server.link.send(set_tilt(), timeout_s=0.2)


async def test_a_command_survives_the_reconnection_of_the_scene() -> None:
    obeyed: list[str] = []

    async def slow(command: Command) -> CommandResult:
        obeyed.append(command.id)
        await asyncio.sleep(0.2)
        return obey(command)

    async with serving() as (server, sink, url), relay(url) as line, scene(line.address, on_command=slow) as client:
        waiting = asyncio.create_task(server.link.send(set_tilt(), timeout_s=5))
        async with asyncio.timeout(3):
            while not obeyed:
                await asyncio.sleep(0.01)
        line.cut()
        await sink.until(lambda: bool(sink.gone))

        assert (await waiting).stage is CommandStage.APPLIED
        async with asyncio.timeout(3):
            while client.connections < 2:
                await asyncio.sleep(0.01)
        assert len(obeyed) == 1


# --- state -------------------------------------------------------------------------------------------------------


async def test_a_state_of_many_chunks_arrives_whole() -> None:
    state = SceneState(format="test/1", revision=5, sim_time_s=9.5, data=np.random.default_rng(1).bytes(3_000_000))
    async with serving() as (server, _, url), scene(url, on_state=lambda: state):
        assert await server.request_state(timeout_s=5) == state


async def test_a_scene_without_a_state_says_so() -> None:
    async with serving() as (server, _, url), scene(url):
        with pytest.raises(SceneUnavailable, match="keeps no state"):
            await server.request_state(timeout_s=3)


# --- coming back -------------------------------------------------------------------------------------------------


async def test_after_the_twin_comes_back_unstored_reports_are_sent_again_and_the_scene_is_live() -> None:
    sink = MemorySink(start())
    async with serving(sink) as (_, _, url):
        client = await scene(url).__aenter__()
        await client.send_observed((TILT,), sim_time_s=1.0)
        await client.send_live(1.0)
        await client.send_pm(report(1))
        await client.stored()
        sink.durable = False
        await client.send_pm(report(2))
        await sink.until(lambda: len(sink.reports) == 2)
    try:
        await client.send_pm(report(3))
        reborn = MemorySink(start())
        async with serving(reborn, port=int(url.rpartition(":")[2])):
            await asyncio.wait_for(client.stored(), 10)
            await reborn.until(
                lambda: bool(reborn.live_at_s)
            )  # said after the inventory, which comes after the reports

            assert sorted(key[3] for key in reborn.reports) == [2.0, 3.0]
            assert reborn.configuration == {("cell-1-1", "digitalTilt"): TILT}
            assert reborn.live_at_s == {"main": 1.0}
            assert client.connections == 2
    finally:
        await client.__aexit__(None, None, None)


async def test_a_full_buffer_makes_the_scene_wait() -> None:
    async with serving() as (_, sink, url), scene(url, pm_buffer=2) as client:
        sink.durable = False
        await client.send_pm(report(1))
        await client.send_pm(report(2))
        third = asyncio.create_task(client.send_pm(report(3)))
        await asyncio.sleep(0.05)
        assert not third.done()
        sink.durable = True
        sink.store()
        await asyncio.wait_for(third, 3)


async def test_no_twin_to_connect_to_is_a_clear_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SceneUnavailable, match="start one with `twin up`"):
        async with scene(f"127.0.0.1:{port}", connect_timeout_s=0.3):
            pass


async def test_a_silent_client_is_given_up() -> None:
    async with serving() as (_, sink, url), grpc.aio.insecure_channel(url) as channel:
        stream = bridge_pb2_grpc.BridgeServiceStub(channel).Connect()
        hello = session_pb2.Hello(protocol_min=1, protocol_max=1, role=session_pb2.ROLE_SCENE, scene_id="mute")
        await stream.write(bridge_pb2.ConnectRequest(hello=hello))
        begin_s = time.monotonic()
        await sink.until(lambda: bool(sink.gone))

        assert "no sign of life" in sink.gone[0][1]
        assert time.monotonic() - begin_s < 1.0


async def test_heartbeats_measure_round_trip_and_clock_offset() -> None:
    async with serving() as (server, _, url), scene(url):
        async with asyncio.timeout(3):
            while not server.health().scenes[0].heartbeat_rtt_s > 0:
                await asyncio.sleep(0.01)
        health = server.health().scenes[0]

        assert health.heartbeat_rtt_s < 1.0
        assert abs(health.clock_offset_s) <= health.heartbeat_rtt_s


# --- observers ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def observing(url: str, **wish: object) -> AsyncIterator[grpc.aio.StreamStreamCall]:
    """A watcher that speaks the published messages, as any engine would."""
    async with grpc.aio.insecure_channel(url) as channel:
        stream = bridge_pb2_grpc.BridgeServiceStub(channel).Connect()
        hello = session_pb2.Hello(protocol_min=1, protocol_max=1, role=session_pb2.ROLE_OBSERVER)
        await stream.write(bridge_pb2.ConnectRequest(hello=hello))
        await stream.write(bridge_pb2.ConnectRequest(subscribe=session_pb2.Subscribe(**wish)))  # type: ignore[arg-type]
        yield stream


async def hear(stream: grpc.aio.StreamStreamCall, kind: str) -> bridge_pb2.ConnectResponse:
    async with asyncio.timeout(3):
        while True:
            response = await stream.read()
            if response.WhichOneof("body") == kind:
                return response


async def test_an_observer_gets_the_newest_figures_it_asked_for_within_its_credit() -> None:
    wish = {
        "channels": [session_pb2.CHANNEL_TELEMETRY],
        "kpis": ["RF.serving.RSRP", "nonsense"],
        "area_of_interest": session_pb2.AreaOfInterest(west_m=150, south_m=-10, east_m=1000, north_m=10),
    }
    async with serving() as (server, sink, url), scene(url) as client:
        await client.send_live(0.0)
        async with observing(url, **wish) as stream:
            reply = await hear(stream, "subscribe_reply")
            assert list(reply.subscribe_reply.unknown_kpis) == ["nonsense"]
            for seq in (1, 2, 3):
                client.send_telemetry(telemetry(seq))
                await sink.until(lambda seq=seq: bool(sink.batches) and sink.batches[-1].seq == seq)
            async with asyncio.timeout(3):
                while server.health().telemetry_dropped < 2:
                    await asyncio.sleep(0.01)
            credit = session_pb2.Credit(channel=session_pb2.CHANNEL_TELEMETRY, messages=1)
            await stream.write(bridge_pb2.ConnectRequest(credit=credit))
            seen = (await hear(stream, "telemetry")).telemetry

            assert (seen.number, list(seen.kpis), list(seen.entity_index)) == (3, ["RF.serving.RSRP"], [2, 3])
            assert list(seen.values) == [-82.0, -83.0]
            observer = next(s for s in server.health().sessions if s.role == "observer")
            assert observer.telemetry_dropped == 2


async def test_an_observer_that_asks_for_reports_gets_them() -> None:
    async with serving() as (_, _, url), scene(url) as client:
        await client.send_live(0.0)
        async with observing(url, channels=[session_pb2.CHANNEL_PM]) as stream:
            await hear(stream, "subscribe_reply")
            await client.send_pm(report(1))
            assert (await hear(stream, "pm_report")).pm_report.period_end_sim_time_s == 1.0


async def test_an_observer_that_asks_for_alarms_gets_them_raised_and_cleared() -> None:
    raised = Alarm(
        id="alarm-1",
        scene_id="main",
        entity_id="cell-1-1",
        dn="",
        probable_cause="performanceDegraded",
        perceived_severity=Severity.MAJOR,
        event_type="qualityOfServiceAlarm",
        specific_problem="it has lost its users",
        raised_at_s=5.0,
    )
    async with serving() as (server, _, url), scene(url) as client:
        await client.send_live(0.0)
        raised = replace(raised, scene_id=client.scene_id)
        async with observing(url, channels=[session_pb2.CHANNEL_ALARMS]) as stream:
            await hear(stream, "subscribe_reply")
            for alarm in (raised, replace(raised, cleared_at_s=9.0)):
                server.publish_alarm(alarm)
                assert mapping.read_alarm((await hear(stream, "alarm")).alarm) == alarm


# --- the port and the unary calls -------------------------------------------------------------------------------


async def test_a_port_in_use_is_a_clear_error() -> None:
    async with serving() as (_, _, url):
        port = int(url.rpartition(":")[2])
        with pytest.raises(PortInUse, match=f"`{port}`"):
            await BridgeServer(sink=MemorySink(start()), port=port).start()


async def test_any_host_but_loopback_is_refused() -> None:
    with pytest.raises(StartError, match=r"`0\.0\.0\.0`"):
        await BridgeServer(sink=MemorySink(start()), host="0.0.0.0", port=0).start()


async def test_scripts_get_topology_and_health() -> None:
    async with serving() as (_, _, url), scene(url), grpc.aio.insecure_channel(url) as channel:
        stub = bridge_pb2_grpc.BridgeServiceStub(channel)
        inventory = await stub.GetTopology(bridge_pb2.GetTopologyRequest())
        health = await stub.GetHealth(bridge_pb2.GetHealthRequest())

        assert (inventory.scene_id, inventory.topology.revision) == ("main", 5)
        assert [row.id for row in inventory.topology.entities] == ["cell-1-1", "ue-1", "ue-2", "ue-3"]
        assert [(s.scene_id, s.role) for s in health.sessions] == [("main", session_pb2.ROLE_SCENE)]


async def test_scripts_may_show_something_but_not_change_the_network() -> None:
    def show(command: Command) -> CommandResult:
        return CommandResult(command_id=command.id, stage=CommandStage.APPLIED)

    async with (
        serving() as (_, _, url),
        scene(url, on_command=show),
        grpc.aio.insecure_channel(url) as channel,
    ):
        stub = bridge_pb2_grpc.BridgeServiceStub(channel)
        request = bridge_pb2.SubmitCommandRequest()
        request.command.id = uuid7()
        request.command.overlay.overlay_id = "o1"
        request.command.overlay.operation = 1
        assert (await stub.SubmitCommand(request)).ack.stage == 2

        request.command.manage_fault.operation = 1
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.SubmitCommand(request)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_orders_to_the_network_go_to_a_scene_that_provides_figures() -> None:
    def show(command: Command) -> CommandResult:
        return CommandResult(command_id=command.id, stage=CommandStage.APPLIED)

    async with serving() as (server, _, url), SceneClient(url, "eyes", provides=["MOTION"], on_command=show):
        shown = await server.link.send(
            Command(id=uuid7(), body=Overlay(overlay_id="o", operation="show"), issued_by="x"), timeout_s=3
        )
        assert shown.stage is CommandStage.APPLIED
        fault = ManageFault(operation="inject", fault="power-loss", entity_id="cell-1-1")
        with pytest.raises(SceneUnavailable, match="KPI"):
            await server.link.send(Command(id=uuid7(), body=fault, issued_by="x"), timeout_s=3)
