"""Who comes in, with which rights, and what the bridge does not put up with. Every refusal is typed and counted."""

import asyncio
import hmac
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from bridge.access import Guest, TlsFiles
from bridge.client import SceneClient
from bridge.observer import ObserverClient
from bridge.server import BridgeServer
from bridge.testing import MemorySink
from bridge.v1 import bridge_pb2, bridge_pb2_grpc, command_pb2, figures_pb2, news_pb2, session_pb2
from tests.bridge_peer import OBSERVER, SCENE, bench, grpc_peer, start, websocket_peer
from twin.commands import Command, CommandResult, CommandStage, ManageFault, SetAttribute, SetAttributes
from twin.errors import StartError, Unauthenticated
from twin.ids import uuid7
from twin_app.certs import DevCertificates, make_dev_certificates

GUESTS = {
    "t-scene": Guest(name="ines", scopes=frozenset({"scene"})),
    "t-watch": Guest(name="ola", scopes=frozenset({"observe"})),
    "t-propose": Guest(name="pia", scopes=frozenset({"observe", "propose"})),
    "t-all": Guest(name="root", scopes=frozenset({"observe", "propose", "scene", "admin"})),
    "t-teach": Guest(name="ivy", scopes=frozenset({"observe", "faults"})),
}


class Guests:
    """Knows the tokens above."""

    needs_token = True

    def admit(self, token: str) -> Guest:
        for known, guest in GUESTS.items():
            if hmac.compare_digest(known, token):
                return guest
        raise Unauthenticated("no such token; ask who runs this twin for one")


CODE = session_pb2.RefusalCode

# --- tokens and scopes -----------------------------------------------------------------------------------------------


async def test_answers_about_faults_reach_the_instructor_alone() -> None:
    def obey(command: Command) -> CommandResult:
        if isinstance(command.body, SetAttributes):
            return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, reason="the last one")
        said = "`cell-1-1` has no active fault `sleeping-cell`; nothing to clear"
        return CommandResult(command_id=command.id, stage=CommandStage.REJECTED, reason=said)

    async def heard(observer: ObserverClient, until_id: str) -> list[tuple[str, CommandStage]]:
        found: list[tuple[str, CommandStage]] = []
        async with asyncio.timeout(5):
            while (until_id, CommandStage.APPLIED) not in found:
                news = await anext(observer)
                assert isinstance(news, CommandResult)
                found.append((news.command_id, news.stage))
        return found

    fault = Command(
        id=uuid7(),
        body=ManageFault(operation="clear", fault="sleeping-cell", entity_id="cell-1-1"),
        issued_by="ivy",
    )
    tilt = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=70.0)
    change = Command(id=uuid7(), body=SetAttributes(actions=(tilt,)), issued_by="root")
    async with (
        bench(doorkeeper=Guests()) as here,
        SceneClient(here.grpc, "main", provides=("KPI",), on_command=obey, token="t-all"),
        ObserverClient(here.grpc, channels=("COMMANDS",), token="t-watch") as student,
        ObserverClient(here.grpc, channels=("COMMANDS",), token="t-teach") as instructor,
    ):
        await asyncio.sleep(0.1)  # the subscriptions have to arrive before the answers
        for command in (fault, change):
            await here.server.link.send(command, timeout_s=3)
        answers = [(change.id, CommandStage.RECEIVED), (change.id, CommandStage.APPLIED)]
        assert await heard(student, change.id) == answers
        told = await heard(instructor, change.id)
    assert told == [(fault.id, CommandStage.RECEIVED), (fault.id, CommandStage.REJECTED), *answers]


@pytest.mark.parametrize("transport", ["grpc", "websocket"])
@pytest.mark.parametrize(
    ("token", "role", "code"),
    [
        ("", SCENE, "UNAUTHENTICATED"),
        ("t-scen", SCENE, "UNAUTHENTICATED"),
        ("t-watch", SCENE, "PERMISSION_DENIED"),
        ("t-scene", OBSERVER, "PERMISSION_DENIED"),
        ("t-scene", session_pb2.ROLE_TRAINER, "PERMISSION_DENIED"),
    ],
)
async def test_without_the_right_token_nobody_comes_in(transport: str, token: str, role: int, code: str) -> None:
    async with bench(doorkeeper=Guests()) as here, here.connect(transport) as peer:
        await peer.say_hello(role=role, token=token)
        refusal = await peer.refused()

        assert (CODE.Name(refusal.code), refusal.retry_after_s) == (f"REFUSAL_CODE_{code}", 0.0)
        assert await peer.end() == (code if transport == "grpc" else "1008")
        assert here.server.health().refusals == {code: 1}
        assert here.sink.scenes == {}


async def test_a_token_may_travel_in_hello_or_beside_it() -> None:
    bearer = "Bearer t-scene"
    async with bench(doorkeeper=Guests()) as here:
        async with here.connect("grpc") as peer:
            assert list((await peer.hello(scene_id="a", token="t-scene")).scopes) == ["scene"]
        async with grpc_peer(here.grpc, metadata=(("authorization", bearer),)) as peer:
            await peer.hello(scene_id="b")
        async with websocket_peer(here.websocket, headers={"Authorization": bearer}) as peer:
            await peer.hello(scene_id="c")


async def test_somebody_else_cannot_go_on_with_a_session() -> None:
    async with bench(doorkeeper=Guests(), lease_s=0.0) as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello(token="t-scene")
            last = await first.greeted()
            await first.cut()
            await here.sink.until(lambda: bool(here.sink.gone))
        resume = session_pb2.ResumePoint(
            session_id=welcome.session_id, resume_token=welcome.resume_token, last_seq=last
        )
        async with here.connect("grpc") as second:
            assert not (await second.hello(token="t-all", resume=resume)).resumed


@asynccontextmanager
async def stub(url: str) -> Any:
    async with grpc.aio.insecure_channel(url) as channel:
        yield bridge_pb2_grpc.BridgeServiceStub(channel)


def bearing(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@pytest.mark.parametrize(
    ("token", "code"), [("", grpc.StatusCode.UNAUTHENTICATED), ("t-scene", grpc.StatusCode.PERMISSION_DENIED)]
)
async def test_scripts_need_a_token_too(token: str, code: grpc.StatusCode) -> None:
    async with bench(doorkeeper=Guests()) as here, stub(here.grpc) as calls:
        for call, request in (
            (calls.GetHealth, bridge_pb2.GetHealthRequest()),
            (calls.GetTopology, bridge_pb2.GetTopologyRequest()),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(request, metadata=bearing(token))
            assert refused.value.code() is code
        health = await calls.GetHealth(bridge_pb2.GetHealthRequest(), metadata=bearing("t-watch"))
        assert dict(health.refusals) == {code.name: 2}


def submission(**body: Any) -> bridge_pb2.SubmitCommandRequest:
    return bridge_pb2.SubmitCommandRequest(
        command=command_pb2.Command(id=uuid7(), issued_by="the director", **body), timeout_s=3
    )


OVERLAY = {"overlay": command_pb2.Overlay(overlay_id="o", operation=command_pb2.OVERLAY_OPERATION_SHOW)}
SPAWN = {"spawn": command_pb2.Spawn(entity_id="x", archetype="kiosk")}
FAULT = {"manage_fault": command_pb2.ManageFault(operation=1, fault="power-loss", entity_id="cell-1-1", severity=1)}


@pytest.mark.parametrize(
    ("token", "body"),
    [("t-watch", OVERLAY), ("t-propose", SPAWN), ("t-all", FAULT)],
)
async def test_an_order_needs_its_scope(token: str, body: dict[str, Any]) -> None:
    async with bench(doorkeeper=Guests()) as here, stub(here.grpc) as calls, here.connect("grpc") as scene:
        await scene.hello(token="t-scene")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await calls.SubmitCommand(submission(**body), metadata=bearing(token))
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(("token", "body", "name"), [("t-propose", OVERLAY, "pia"), ("t-all", SPAWN, "root")])
async def test_an_order_says_who_gave_it_whatever_the_message_claims(token: str, body: Any, name: str) -> None:
    async with bench(doorkeeper=Guests()) as here, stub(here.grpc) as calls, here.connect("grpc") as scene:
        await scene.hello(token="t-scene")
        asking = asyncio.ensure_future(calls.SubmitCommand(submission(**body), metadata=bearing(token)))
        command = (await scene.hear("command")).command
        ack = command_pb2.CommandAck(command_id=command.id, stage=command_pb2.COMMAND_STAGE_APPLIED)
        await scene.say_lossless(command_ack=ack)

        assert command.issued_by == name
        assert (await asking).ack.scene_id == "main"


async def test_an_order_for_several_scenes_is_applied_only_when_all_applied_it() -> None:
    async with (
        bench() as here,
        stub(here.grpc) as calls,
        here.connect("grpc") as east,
        here.connect("grpc") as west,
    ):
        await east.hello(scene_id="east")
        await west.hello(scene_id="west")
        request = submission(**OVERLAY)
        request.scene_ids.extend(["east", "west"])
        asking = asyncio.ensure_future(calls.SubmitCommand(request))
        for peer, stage in ((east, command_pb2.COMMAND_STAGE_APPLIED), (west, command_pb2.COMMAND_STAGE_REJECTED)):
            command = (await peer.hear("command")).command
            await peer.say_lossless(command_ack=command_pb2.CommandAck(command_id=command.id, stage=stage, reason="r"))
        answer = await asking

        assert answer.ack.stage == command_pb2.COMMAND_STAGE_FAILED
        assert "west: REJECTED r" in answer.ack.reason
        assert [(ack.scene_id, ack.stage) for ack in answer.scene_acks] == [
            ("east", command_pb2.COMMAND_STAGE_APPLIED),
            ("west", command_pb2.COMMAND_STAGE_REJECTED),
        ]


# --- other machines --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DevCertificates:
    return make_dev_certificates(tmp_path_factory.mktemp("certs"))


def tls_of(made: DevCertificates, *, client_ca: Path | None = None) -> TlsFiles:
    return TlsFiles(
        certificate=made.certificate.read_bytes(),
        key=made.key.read_bytes(),
        client_ca=None if client_ca is None else client_ca.read_bytes(),
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "twin.example"])
async def test_other_machines_need_tls_and_tokens(host: str, made: DevCertificates) -> None:
    for tls, doorkeeper, missing in (
        (None, Guests(), "twin certs dev"),
        (tls_of(made), None, "twin token add"),
        (None, None, "TWIN_TLS__CERTIFICATE"),
    ):
        server = BridgeServer(sink=MemorySink(start()), host=host, port=0, tls=tls, doorkeeper=doorkeeper)
        with pytest.raises(StartError, match=missing):
            await server.start()


async def test_a_certificate_that_is_none_is_a_clear_error() -> None:
    server = BridgeServer(sink=MemorySink(start()), port=0, tls=TlsFiles(certificate=b"x", key=b"y"))
    with pytest.raises(StartError, match="no PEM"):
        await server.start()


@asynccontextmanager
async def secured(tls: TlsFiles, host: str = "127.0.0.1") -> Any:
    server = BridgeServer(sink=MemorySink(start()), host=host, port=0, tls=tls, doorkeeper=Guests())
    port = await server.start()
    try:
        yield f"localhost:{port}"
    finally:
        await server.stop()


async def health_over(url: str, credentials: grpc.ChannelCredentials | None) -> bridge_pb2.GetHealthResponse:
    channel = grpc.aio.insecure_channel(url) if credentials is None else grpc.aio.secure_channel(url, credentials)
    async with channel:
        calls = bridge_pb2_grpc.BridgeServiceStub(channel)
        return await calls.GetHealth(bridge_pb2.GetHealthRequest(), metadata=bearing("t-watch"), timeout=3)


async def test_with_both_it_listens_everywhere_and_only_encrypted(made: DevCertificates) -> None:
    trusting = grpc.ssl_channel_credentials(made.ca.read_bytes())
    async with secured(tls_of(made), host="0.0.0.0") as url:
        assert (await health_over(url, trusting)).commands_pending == 0
        with pytest.raises(grpc.aio.AioRpcError):
            await health_over(url, None)


async def test_with_an_authority_for_clients_only_its_clients_come_in(made: DevCertificates) -> None:
    ca = made.ca.read_bytes()
    async with secured(tls_of(made, client_ca=made.ca)) as url:
        known = grpc.ssl_channel_credentials(ca, made.client_key.read_bytes(), made.client_certificate.read_bytes())
        assert (await health_over(url, known)).commands_pending == 0
        with pytest.raises(grpc.aio.AioRpcError):
            await health_over(url, grpc.ssl_channel_credentials(ca))


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["grpc", "websocket"])
async def test_who_does_not_say_hello_in_time_is_refused(transport: str) -> None:
    async with bench(hello_timeout_s=0.05) as here, here.connect(transport) as peer:
        assert "no Hello within" in (await peer.refused()).message


async def test_only_so_many_may_wait_at_the_door() -> None:
    async with bench(max_greeting=1) as here, here.connect("websocket"), here.connect("websocket") as second:
        refusal = await second.refused()

        assert (refusal.code, refusal.retry_after_s > 0) == (session_pb2.REFUSAL_CODE_OVERLOADED, True)


@pytest.mark.parametrize("transport", ["grpc", "websocket"])
async def test_a_message_of_five_megabytes_is_too_large(transport: str) -> None:
    async with bench() as here, here.connect(transport) as scene:
        await scene.hello()
        await scene.greeted()
        await scene.say_lossless(event=news_pb2.Event(name="x" * 5_000_000))

        refusal = await scene.refused()
        assert (refusal.code, "`5000" in refusal.message) == (session_pb2.REFUSAL_CODE_TOO_LARGE, True)


@pytest.mark.parametrize("transport", ["grpc", "websocket"])
async def test_a_hello_of_five_megabytes_is_too_large(transport: str) -> None:
    async with bench() as here, here.connect(transport) as scene:
        await scene.say_hello(engine="x" * 5_000_000)

        assert (await scene.refused()).code == session_pb2.REFUSAL_CODE_TOO_LARGE


@pytest.mark.parametrize("transport", ["grpc", "websocket"])
@pytest.mark.parametrize("before_hello", [True, False])
async def test_garbage_is_refused(transport: str, before_hello: bool) -> None:
    async with bench() as here, here.connect(transport) as scene:
        if not before_hello:
            await scene.hello()
            await scene.greeted()
        await scene.write(b"\xff\xfe\xfdnonsense")

        assert (await scene.refused()).code == session_pb2.REFUSAL_CODE_PROTOCOL
        assert here.server.health().refusals == {"PROTOCOL": 1}


async def test_who_sends_too_many_messages_is_thrown_out() -> None:
    async with bench(message_rate_hz=10.0, message_burst=20) as here, here.connect("grpc") as scene:
        await scene.hello()
        await scene.greeted()
        for number in range(40):
            await scene.say(heartbeat_reply=session_pb2.HeartbeatReply(number=number))

        refusal = await scene.refused()
        assert (refusal.code, refusal.retry_after_s > 0) == (session_pb2.REFUSAL_CODE_OVERLOADED, True)


async def test_who_sends_more_than_the_window_is_thrown_out_and_may_go_on_later() -> None:
    sink = MemorySink(start())
    sink.durable = False
    async with bench(sink, lossless_window=2) as here:
        async with here.connect("grpc") as scene:
            welcome = await scene.hello()
            last = await scene.greeted()
            for second in (1, 2, 3):
                await scene.say_lossless(pm_report=report(second))
            assert (await scene.refused()).code == session_pb2.REFUSAL_CODE_OVERLOADED
        assert sorted(key[3] for key in sink.reports) == [1.0, 2.0]
        sink.durable = True
        sink.store()
        resume = session_pb2.ResumePoint(
            session_id=welcome.session_id, resume_token=welcome.resume_token, last_seq=last
        )
        async with here.connect("grpc") as scene:
            assert (await scene.hello(resume=resume)).resumed
            await scene.say(seq=3, pm_report=report(3))
            await scene.acknowledged(3)
            assert (len(sink.reports), sink.repetitions) == (3, 0)


def report(second: int) -> figures_pb2.PmReport:
    return figures_pb2.PmReport(
        epoch=1,
        revision=5,
        granularity_period_s=1,
        period_end_sim_time_s=second,
        entity_index=[0],
        counters=["RRC.ConnMean"],
        values=[1.0],
    )


async def test_too_many_entities_in_a_batch_are_refused() -> None:
    async with bench(MemorySink(start(9)), max_entities=10) as here, here.connect("grpc") as scene:
        await scene.hello()
        await scene.greeted()
        await scene.say(
            telemetry=figures_pb2.Telemetry(
                epoch=1, number=1, revision=5, entity_index=[1] * 11, position_m=[0.0] * 33, sim_time_s=1.0
            )
        )

        assert (await scene.refused()).code == session_pb2.REFUSAL_CODE_TOO_LARGE


@pytest.mark.parametrize(("limit", "can"), [(3, 0), (100, 2)])
async def test_an_inventory_beyond_what_either_side_can_is_refused(limit: int, can: int) -> None:
    async with bench(max_entities=limit) as here, here.connect("grpc") as scene:
        await scene.say_hello(capabilities=session_pb2.Capabilities(max_entities=can))

        assert (await scene.refused()).code == session_pb2.REFUSAL_CODE_TOO_LARGE
        assert ([name for name, _ in here.sink.gone], here.server.health().sessions) == (["main"], ())


YEARS_S = 3 * 365 * 86_400.0


@pytest.mark.parametrize(
    "body",
    [
        {"telemetry": figures_pb2.Telemetry(epoch=1, number=1, revision=5, entity_index=[], sim_time_s=YEARS_S)},
        {"seq": 1, "live_notice": figures_pb2.LiveNotice(sim_time_s=YEARS_S)},
        {"seq": 1, "event": news_pb2.Event(name="x", sim_time_s=YEARS_S)},
        {
            "seq": 1,
            "pm_report": figures_pb2.PmReport(
                epoch=1, revision=5, granularity_period_s=1, period_end_sim_time_s=YEARS_S
            ),
        },
    ],
)
async def test_a_time_far_beyond_the_present_is_refused(body: dict[str, Any]) -> None:
    async with bench() as here, here.connect("grpc") as scene:
        await scene.hello()
        await scene.greeted()
        await scene.say(**body)
        refusal = await scene.refused()

        assert (refusal.code, f"`{YEARS_S:.1f}`" in refusal.message) == (session_pb2.REFUSAL_CODE_PROTOCOL, True)
        assert (here.sink.batches, here.sink.live_at_s, here.sink.events, here.sink.reports) == ([], {}, [], {})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"ack": 99}, "PROTOCOL"),
        ({"seq": 2, "event": news_pb2.Event(name="gap")}, "PROTOCOL"),
        ({"event": news_pb2.Event(name="unnumbered")}, "PROTOCOL"),
        ({"alarm": news_pb2.Alarm(id="unnumbered")}, "PROTOCOL"),
        ({"hello": session_pb2.Hello(protocol_min=1, protocol_max=1)}, "PROTOCOL"),
    ],
)
async def test_a_broken_rule_ends_the_session_for_good(body: dict[str, Any], code: str) -> None:
    async with bench() as here, here.connect("grpc") as scene:
        await scene.hello()
        await scene.greeted()
        await scene.say(**body)

        assert CODE.Name((await scene.refused()).code) == f"REFUSAL_CODE_{code}"
        await scene.end()
        assert here.server.health().sessions == ()
        assert here.server.health().refusals == {code: 1}


async def test_what_a_later_version_says_is_ignored_and_counted() -> None:
    async with bench() as here, here.connect("grpc") as scene:
        await scene.hello()
        await scene.greeted()
        unknown_body = bytes([0xCA, 0x3E, 0x02, 0x08, 0x01])  # field 1001, length-delimited
        await scene.write(unknown_body)
        await scene.write(bytes([0x08, 0x01]) + unknown_body)  # the same, numbered 1
        await scene.acknowledged(1)

        assert here.server.health().unknown_bodies == 2


async def test_many_that_come_and_go_leave_nothing_behind() -> None:
    async with bench(max_sessions=8, max_greeting=8) as here:

        async def visit(number: int) -> None:
            async with here.connect("websocket" if number % 2 else "grpc") as peer:
                await peer.say(heartbeat=session_pb2.Heartbeat(number=number))
                await peer.end()

        for first in range(0, 200, 20):
            await asyncio.gather(*(visit(number) for number in range(first, first + 20)))
        async with here.connect("grpc") as scene:
            await scene.hello()

        refusals = here.server.health().refusals
        assert sum(refusals.values()) == 200
        assert set(refusals) <= {"PROTOCOL", "OVERLOADED"}


async def test_what_a_scene_says_of_itself_is_kept_short() -> None:
    capabilities = session_pb2.Capabilities(archetypes=["kiosk", "x" * 1000, *("y" * 100)], camera_codecs=["png"])
    async with bench() as here, here.connect("grpc") as scene:
        await scene.hello(engine="e" * 1000, capabilities=capabilities)
        info = here.sink.scenes["main"]

        assert (len(info.engine), len(info.archetypes), info.camera_codecs) == (80, 64, ("png",))
        assert info.archetypes[:2] == ("kiosk", "x" * 80)
