"""The clients against a twin that says exactly what it is told: resuming, refusals, wrong rules, encryption."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bridge.access import TlsFiles
from bridge.client import SceneClient
from bridge.connection import Backoff
from bridge.observer import ObserverClient
from bridge.server import BridgeServer
from bridge.stream import BridgeSettings
from bridge.testing import MemorySink
from bridge.v1 import bridge_pb2, command_pb2, media_pb2, session_pb2, topology_pb2
from bridge.wires import ClientTls, parse_address
from tests.bridge_peer import start
from twin.commands import Command, CommandResult, CommandStage
from twin.errors import Conflict, DeadlineExceeded, InvalidInput, ProtocolError, SceneUnavailable, TooLarge
from twin.ids import uuid7
from twin.media import CameraImage
from twin.ports import OfferedEntity
from twin.telemetry import PmReport
from twin_app.certs import make_dev_certificates

Script = Callable[["Talk"], Awaitable[None]]
SET_TILT = command_pb2.SetAttributes(
    actions=[
        topology_pb2.EntityAttribute(
            entity_id="cell-1-1", attribute="digitalTilt", value=topology_pb2.AttributeValue(number=70.0)
        )
    ]
)


class Talk:
    """The twin's end of one connection."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.hello = session_pb2.Hello()
        self.heard: list[bridge_pb2.ConnectRequest] = []

    async def say(self, *, seq: int = 0, ack: int = 0, **body: Any) -> None:
        await self.socket.send(bridge_pb2.ConnectResponse(seq=seq, ack=ack, **body).SerializeToString())

    async def hear(self, kind: str | None = None, *, timeout_s: float = 3.0) -> bridge_pb2.ConnectRequest:
        """Return the next message, or the next of a kind."""
        async with asyncio.timeout(timeout_s):
            while True:
                raw = await self.socket.recv()
                assert isinstance(raw, bytes)
                self.heard.append(bridge_pb2.ConnectRequest.FromString(raw))
                if kind in {None, self.heard[-1].WhichOneof("body")}:
                    return self.heard[-1]

    async def until_acknowledged(self, seq: int) -> None:
        while (await self.hear()).ack < seq:
            pass

    async def welcome(self, *, ack: int = 0, seq: int = 0, **rest: Any) -> None:
        """Let the client in and, unless the session is resumed, tell an empty inventory."""
        self.hello = (await self.hear("hello")).hello
        fields: dict[str, Any] = {
            "session_id": "s-1",
            "protocol_version": 1,
            "resume_token": "t-1",
            "sim_epoch": "2026-11-07T12:00:00+00:00",
            "timezone": "Europe/Berlin",
            "heartbeat_interval_s": 5.0,
            "telemetry_credits": 4,
            "lossless_window": 16,
            "speed": 1.0,
        }
        await self.say(seq=seq, ack=ack, welcome=session_pb2.Welcome(**{**fields, **rest}))
        if not rest.get("resumed"):
            snapshot = topology_pb2.TopologySnapshot(revision=5, last=True)
            await self.say(seq=1, topology_snapshot=snapshot)
            await self.say(seq=2, desired_configuration=topology_pb2.DesiredConfiguration(revision=5, last=True))

    async def refuse(self, code: session_pb2.RefusalCode.ValueType, message: str, *, retry_after_s: float = 0) -> None:
        await self.hear("hello")
        await self.say(refusal=session_pb2.Refusal(code=code, message=message, retry_after_s=retry_after_s))
        await self.socket.close(1013 if retry_after_s else 1008)

    async def stay(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.hear(timeout_s=30)


@asynccontextmanager
async def scripted(*scripts: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, list[Talk]]]:
    """Serve one script per connection; each ends with its connection cut, the last one's stays if it says so."""
    talks: list[Talk] = []
    failures: list[BaseException] = []

    async def handle(socket: ServerConnection) -> None:
        talk = Talk(socket)
        talks.append(talk)
        try:
            if len(talks) <= len(scripts):
                await scripts[len(talks) - 1](talk)
        except ConnectionClosed:
            pass
        except BaseException as failure:
            failures.append(failure)
            raise
        socket.transport.abort()

    async with serve(handle, "127.0.0.1", 0, ssl=tls, compression=None, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/bridge", talks
    assert failures == []


def scene(url: str, **rest: Any) -> SceneClient:
    return SceneClient(url, "main", provides=("KPI",), engine="test", **{"connect_timeout_s": 5, **rest})


def report(second: int) -> PmReport:
    return PmReport(
        scene_id="main",
        epoch=1,
        seq=second,
        revision=5,
        granularity_period_s=1,
        period_end_sim_time_s=float(second),
        entity_index=np.zeros(0, np.uint32),
        counters=(),
        values=np.zeros((0, 0), np.float32),
    )


def never(command: Command) -> CommandResult:
    pytest.fail(f"obeyed `{command.id}`")


async def until(condition: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


# --- resuming ----------------------------------------------------------------------------------------------------


async def test_a_resumed_client_names_where_it_was_and_sends_only_what_did_not_arrive() -> None:
    async def first(talk: Talk) -> None:
        await talk.welcome()
        for _ in range(4):
            await talk.hear("pm_report")
        await talk.say(ack=1)
        await talk.say(seq=3, command=command_pb2.Command(id="c-1", set_attributes=SET_TILT))
        await talk.hear("command_ack")

    async def second(talk: Talk) -> None:
        # The first two reports arrived for good; the rest must come again under the old numbers.
        await talk.welcome(resumed=True, resume_token="t-2", ack=2)
        while talk.heard[-1].seq < 6:
            await talk.hear()
        await talk.say(ack=6)
        await talk.stay()

    async with scripted(first, second) as (url, talks), scene(url) as client:
        for number in range(1, 5):
            await client.send_pm(report(number))
        await until(lambda: client.resumed == 1)
        await asyncio.wait_for(client.stored(), 3)
        hello, again = talks[1].hello, [m for m in talks[1].heard if m.seq]

        assert not talks[0].hello.HasField("resume")
        assert (hello.resume.session_id, hello.resume.resume_token, hello.resume.last_seq) == ("s-1", "t-1", 3)
        assert [message.seq for message in again] == [3, 4, 5, 6]
        assert [m.pm_report.number for m in again if m.HasField("pm_report")] == [3, 4]
        assert [m.command_ack.stage for m in again if m.HasField("command_ack")] == [
            command_pb2.COMMAND_STAGE_RECEIVED,
            command_pb2.COMMAND_STAGE_REJECTED,
        ]


async def test_what_the_twin_sends_again_is_not_dealt_with_again_and_new_numbers_follow() -> None:
    obeyed: list[str] = []

    def obey(command: Command) -> CommandResult:
        obeyed.append(command.id)
        return CommandResult(command_id=command.id, stage=CommandStage.APPLIED)

    async def first(talk: Talk) -> None:
        await talk.welcome()
        await talk.say(seq=3, command=command_pb2.Command(id="c-1", set_attributes=SET_TILT))
        while (await talk.hear("command_ack")).command_ack.stage != command_pb2.COMMAND_STAGE_APPLIED:
            pass

    async def second(talk: Talk) -> None:
        await talk.welcome(resumed=True, ack=2)
        await talk.say(seq=3, command=command_pb2.Command(id="c-1", set_attributes=SET_TILT))
        await talk.say(seq=4, command=command_pb2.Command(id="c-2", set_attributes=SET_TILT))
        await talk.until_acknowledged(4)
        await talk.stay()

    async with scripted(first, second) as (url, _), scene(url, on_command=obey):
        await until(lambda: len(obeyed) == 2)

    assert obeyed == ["c-1", "c-2"]


async def test_an_inventory_that_was_cut_off_is_completed_by_the_resumed_stream() -> None:
    def row(index: int) -> topology_pb2.Entity:
        return topology_pb2.Entity(index=index, id=f"ue-{index}", kind="ue")

    async def first(talk: Talk) -> None:
        await talk.hear("hello")
        await talk.say(
            welcome=session_pb2.Welcome(session_id="s-1", resume_token="t-1", sim_epoch="2026-11-07T12:00:00+00:00",
                                        timezone="UTC", lossless_window=16)
        )  # fmt: skip
        await talk.say(seq=1, topology_snapshot=topology_pb2.TopologySnapshot(revision=5, entities=[row(0)]))
        await talk.until_acknowledged(1)

    async def second(talk: Talk) -> None:
        await talk.welcome(resumed=True)
        snapshot = topology_pb2.TopologySnapshot(revision=5, entities=[row(1)], last=True)
        await talk.say(seq=2, topology_snapshot=snapshot)
        await talk.say(seq=3, desired_configuration=topology_pb2.DesiredConfiguration(revision=5, last=True))
        await talk.stay()

    async with scripted(first, second) as (url, talks), scene(url) as client:
        assert [entity.id for entity in client.topology.entities] == ["ue-0", "ue-1"]
        assert talks[1].hello.resume.last_seq == 1
        assert (client.connections, client.resumed) == (1, 1)


async def test_a_client_that_said_goodbye_does_not_resume() -> None:
    async def first(talk: Talk) -> None:
        await talk.welcome()
        await talk.hear("goodbye")

    async def second(talk: Talk) -> None:
        await talk.welcome()
        await talk.stay()

    async with scripted(first, second) as (url, talks):
        client = scene(url)
        async with client:
            pass
        async with scene(url):
            assert not talks[1].hello.HasField("resume")


async def test_an_offer_whose_answer_was_lost_with_its_session_is_made_again() -> None:
    async def first(talk: Talk) -> None:
        await talk.welcome()
        offered = await talk.hear("contribute")
        await talk.say(ack=offered.seq)

    async def second(talk: Talk) -> None:
        await talk.welcome()
        offered = (await talk.hear("contribute")).contribute.entities[0].local_id
        identity = topology_pb2.ContributedIdentity(local_id=offered, entity_id=f"main-{offered}", index=7)
        await talk.say(seq=3, contribute_reply=topology_pb2.ContributeReply(entities=[identity]))
        await talk.stay()

    kiosk = OfferedEntity(local_id="kiosk", kind="place", name="", position_m=(1.0, 2.0, 0.0))
    async with scripted(first, second) as (url, _), scene(url) as client:
        (verdict,) = await client.contribute([kiosk], timeout_s=5)

    assert (verdict.entity_id, verdict.index) == ("main-kiosk", 7)


async def test_an_offer_that_nobody_waits_for_any_more_keeps_its_place() -> None:
    async def answer(talk: Talk) -> None:
        await talk.welcome()
        await talk.hear("contribute")
        await talk.hear("contribute")
        for seq, local_id in ((3, "late"), (4, "next")):
            identity = topology_pb2.ContributedIdentity(local_id=local_id, entity_id=f"main-{local_id}")
            await talk.say(seq=seq, contribute_reply=topology_pb2.ContributeReply(entities=[identity]))
        await talk.stay()

    late, following = (
        OfferedEntity(local_id=name, kind="place", name="", position_m=(0.0, 0.0, 0.0)) for name in ("late", "next")
    )
    async with scripted(answer) as (url, _), scene(url) as client:
        with pytest.raises(DeadlineExceeded, match="offer again"):
            await client.contribute([late], timeout_s=0.1)
        (verdict,) = await client.contribute([following], timeout_s=3)

    assert verdict.local_id == "next"


@pytest.mark.parametrize("resumed", [False, True])
async def test_wishes_credits_and_presence_are_said_again_on_every_stream(resumed: bool) -> None:
    async def listen(talk: Talk) -> None:
        asked = await talk.hear("subscribe")
        assert list(asked.subscribe.channels) == [session_pb2.CHANNEL_TELEMETRY]
        granted = (await talk.hear("credit")).credit
        assert granted.messages > 0
        await talk.hear("presence")

    async def first(talk: Talk) -> None:
        await talk.welcome()
        await listen(talk)

    async def second(talk: Talk) -> None:
        await talk.welcome(resumed=resumed)
        await listen(talk)
        await talk.stay()

    async with scripted(first, second) as (url, talks), scene(url) as client:
        client.subscribe(on_telemetry=lambda _: None)
        client.show("Ana")
        await until(lambda: client.connections == 2)
        await until(lambda: any(message.HasField("presence") for message in talks[1].heard))


# --- refusals ----------------------------------------------------------------------------------------------------


async def test_a_refusal_that_says_when_is_waited_out() -> None:
    came_s: list[float] = []

    async def busy(talk: Talk) -> None:
        came_s.append(time.monotonic())
        await talk.refuse(session_pb2.REFUSAL_CODE_CONFLICT, "held by another", retry_after_s=0.6)

    async def free(talk: Talk) -> None:
        came_s.append(time.monotonic())
        await talk.welcome()
        await talk.stay()

    async with scripted(busy, free) as (url, _), scene(url):
        pass

    assert 0.6 <= came_s[1] - came_s[0] < 1.2


async def test_whoever_stops_waiting_while_entering_leaves_nothing_behind() -> None:
    async def busy(talk: Talk) -> None:
        await talk.refuse(session_pb2.REFUSAL_CODE_CONFLICT, "held by another", retry_after_s=0.2)

    async with scripted(*[busy] * 50) as (url, talks):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), scene(url):
                pass
        came = len(talks)
        await asyncio.sleep(0.6)
        assert len(talks) == came


async def test_a_refusal_that_says_never_ends_it() -> None:
    async def no(talk: Talk) -> None:
        await talk.refuse(session_pb2.REFUSAL_CODE_CONFLICT, "this twin keeps another scene")

    async with scripted(no) as (url, talks):
        with pytest.raises(Conflict, match="keeps another scene"):
            async with scene(url):
                pass
        await asyncio.sleep(0.4)
        assert len(talks) == 1


async def test_being_thrown_out_for_slowness_ends_in_a_resumed_stream() -> None:
    async def first(talk: Talk) -> None:
        await talk.welcome()
        refusal = session_pb2.Refusal(code=session_pb2.REFUSAL_CODE_OVERLOADED, message="too slow", retry_after_s=0.2)
        await talk.say(refusal=refusal)
        await talk.socket.close(1013)

    async def second(talk: Talk) -> None:
        await talk.welcome(resumed=True)
        await talk.stay()

    async with scripted(first, second) as (url, _), scene(url) as client:
        await until(lambda: client.resumed == 1)


async def test_being_taken_over_ends_it() -> None:
    async def first(talk: Talk) -> None:
        await talk.welcome()
        notice = session_pb2.Notice(code=session_pb2.NOTICE_CODE_TAKEN_OVER, message="another one shows the scene")
        await talk.say(notice=notice)
        await talk.stay()

    async with scripted(first) as (url, talks), scene(url) as client:
        with pytest.raises(Conflict, match="another one shows the scene"):
            await asyncio.wait_for(client.closed(), 3)
        with pytest.raises(Conflict):
            await client.send_pm(report(1))
        await asyncio.sleep(0.4)
        assert len(talks) == 1


async def test_only_the_first_connection_takes_over() -> None:
    async def let_in(talk: Talk) -> None:
        await talk.welcome(resume_token="")

    async def stay(talk: Talk) -> None:
        await talk.welcome()
        await talk.stay()

    async with scripted(let_in, stay) as (url, talks), scene(url, takeover=True) as client:
        await until(lambda: client.connections == 2)

    assert [talk.hello.takeover for talk in talks] == [True, False]


# --- a twin that breaks the rules --------------------------------------------------------------------------------


async def gap(talk: Talk) -> None:
    await talk.welcome()
    await talk.say(seq=4, command=command_pb2.Command(id="c-1", set_attributes=SET_TILT))


async def strange_acknowledgement(talk: Talk) -> None:
    await talk.welcome()
    await talk.say(ack=7)


async def unasked_resume(talk: Talk) -> None:
    await talk.welcome(resumed=True)


async def no_welcome(talk: Talk) -> None:
    await talk.hear("hello")
    await talk.say(heartbeat=session_pb2.Heartbeat(number=1))


async def text_frame(talk: Talk) -> None:
    await talk.welcome()
    await talk.socket.send("welcome")


async def garbage(talk: Talk) -> None:
    await talk.welcome()
    await talk.socket.send(b"\xff\xff\xff")


async def no_calendar(talk: Talk) -> None:
    await talk.welcome(sim_epoch="yesterday")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (gap, "`4` follows `2`"),
        (strange_acknowledgement, "`7` is acknowledged"),
        (unasked_resume, "was not asked for"),
        (no_welcome, "not with Welcome"),
        (text_frame, "sent text"),
        (garbage, "are no ConnectResponse"),
        (no_calendar, "epoch `yesterday`"),
    ],
)
async def test_a_twin_that_breaks_the_rules_is_left_for_good(script: Script, message: str) -> None:
    async def then(talk: Talk) -> None:
        await script(talk)
        await talk.stay()

    async with scripted(then) as (url, talks):
        with pytest.raises(ProtocolError, match=message):
            async with scene(url, on_start=lambda _: None) as client:
                await asyncio.wait_for(client.closed(), 3)
        await asyncio.sleep(0.3)
        assert len(talks) == 1


async def test_what_the_client_does_not_know_is_passed_over() -> None:
    async def first(talk: Talk) -> None:
        await talk.welcome()
        body_of_the_future = bytes([0xFA, 0x07, 0x02, 0x08, 0x01])  # field 127, a message
        await talk.socket.send(body_of_the_future)
        await talk.say(seq=3, command=command_pb2.Command(id="c-1"))  # of a kind that it does not know
        while (await talk.hear("command_ack")).command_ack.stage != command_pb2.COMMAND_STAGE_REJECTED:
            pass
        await talk.stay()

    async with scripted(first) as (url, talks), scene(url, on_command=never):
        await until(lambda: any(m.HasField("command_ack") for m in talks[0].heard) and len(talks[0].heard) > 2)


async def test_a_silent_twin_is_dead_after_three_heartbeats() -> None:
    async def silent(talk: Talk) -> None:
        await talk.welcome(heartbeat_interval_s=0.1)
        await asyncio.sleep(3)

    async def second(talk: Talk) -> None:
        await talk.welcome(resumed=True)
        await talk.stay()

    async with scripted(silent, second) as (url, _), scene(url) as client:
        begun_s = time.monotonic()
        await until(lambda: client.resumed == 1)
        assert 0.25 < time.monotonic() - begun_s < 1.5


async def test_orders_under_an_older_ownership_are_rejected_and_not_remembered() -> None:
    obeyed: list[str] = []

    def obey(command: Command) -> CommandResult:
        obeyed.append(command.id)
        return CommandResult(command_id=command.id, stage=CommandStage.APPLIED)

    answers: list[tuple[str, int]] = []

    async def first(talk: Talk) -> None:
        await talk.welcome(fencing_number=8)
        for seq, number in ((3, 7), (4, 8), (5, 0)):
            command_id = "c-other" if number == 0 else "c-1"
            command = command_pb2.Command(id=command_id, fencing_number=number, set_attributes=SET_TILT)
            await talk.say(seq=seq, command=command)
            while (ack := (await talk.hear("command_ack")).command_ack).stage == command_pb2.COMMAND_STAGE_RECEIVED:
                pass
            answers.append((ack.reason, ack.stage))
        await talk.stay()

    async with scripted(first) as (url, _), scene(url, on_command=obey) as client:
        await until(lambda: len(answers) == 3)
        assert client.fencing_number == 8

    assert obeyed == ["c-1", "c-other"]
    assert answers[0] == (
        "sent under the ownership `7` of the scene, which is `8` now",
        command_pb2.COMMAND_STAGE_REJECTED,
    )
    assert [stage for _, stage in answers[1:]] == [command_pb2.COMMAND_STAGE_APPLIED] * 2


async def test_a_picture_is_not_continued_on_another_stream() -> None:
    image = CameraImage(
        scene_id="main", camera_id="", codec="raw", width=800, height=800, data=bytes(3 * 800 * 800),
        position_m=None, rotation=None, horizontal_fov_deg=60.0, sim_time_s=1.0,
    )  # fmt: skip
    shot = asyncio.Event()

    async def shoot(_: object) -> CameraImage:
        shot.set()
        await asyncio.sleep(0.3)
        return image

    async def first(talk: Talk) -> None:
        await talk.welcome()
        await talk.say(camera_request=media_pb2.CameraRequest(request_id="p-1"))
        await shot.wait()

    async def second(talk: Talk) -> None:
        await talk.welcome(resumed=True)
        await talk.stay()

    async with scripted(first, second) as (url, talks), scene(url, on_camera=shoot) as client:
        await until(lambda: client.resumed == 1)
        await asyncio.sleep(0.5)
        assert not any(message.HasField("camera_frame") for message in talks[1].heard)


async def test_the_message_limit_of_the_twin_is_kept() -> None:
    async def first(talk: Talk) -> None:
        await talk.welcome(max_message_bytes=2000)
        await talk.stay()

    async with scripted(first) as (url, _), scene(url) as client:
        with pytest.raises(TooLarge, match="the twin takes `2000`"):
            await client.send_event("long", {"text": "x" * 3000}, sim_time_s=0.0)
        await client.send_event("short", {}, sim_time_s=0.0)


# --- pauses and addresses ----------------------------------------------------------------------------------------


def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_success() -> None:
    def largest(backoff: Backoff) -> float:
        return backoff._next_s

    backoff = Backoff(longest_s=2.0)
    upper: list[float] = []
    for _ in range(6):
        upper.append(largest(backoff))
        assert 0.0 <= backoff.pause_s() <= upper[-1]
    backoff.reset()

    assert upper == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]
    assert largest(backoff) == 0.25


@pytest.mark.parametrize(
    ("url", "scheme", "target", "loopback"),
    [
        ("127.0.0.1:8601", "grpc", "127.0.0.1:8601", True),
        ("localhost:8601", "grpc", "localhost:8601", True),
        ("grpc://twin.example:8601", "grpc", "twin.example:8601", False),
        ("grpcs://[::1]:8601", "grpcs", "[::1]:8601", True),
        ("ws://127.0.0.1:8600/bridge", "ws", "ws://127.0.0.1:8600/bridge", True),
        ("ws://127.0.0.1:8600", "ws", "ws://127.0.0.1:8600/bridge", True),
        ("wss://twin.example/bridge", "wss", "wss://twin.example/bridge", False),
    ],
)
def test_an_address_says_how_and_where(url: str, scheme: str, target: str, loopback: bool) -> None:
    address = parse_address(url)

    assert (address.scheme, address.target, address.loopback) == (scheme, target, loopback)
    assert address.secure == (scheme in {"grpcs", "wss"})


@pytest.mark.parametrize("url", ["", "8601", "http://127.0.0.1:8600", "127.0.0.1", "grpc://x", "host:99999", "ws://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="is no address of a twin"):
        parse_address(url)


def test_certificates_with_an_unencrypted_address_are_refused() -> None:
    assert parse_address("127.0.0.1:8601", tls=ClientTls()).scheme == "grpcs"
    with pytest.raises(InvalidInput, match="says unencrypted"):
        parse_address("ws://127.0.0.1:8600/bridge", tls=ClientTls())
    with pytest.raises(InvalidInput, match="needs its private key"):
        ClientTls(certificate=b"pem")


# --- encryption --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_dev_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("transport", ["grpc", "websocket"])
async def test_an_encrypted_stream_needs_the_authority_and_the_certificate_of_the_client(
    transport: str, certificates: Any
) -> None:
    ca = Path(certificates.ca).read_bytes()
    mutual = ClientTls(
        ca=ca, certificate=certificates.client_certificate.read_bytes(), key=certificates.client_key.read_bytes()
    )

    async def let_in(talk: Talk) -> None:
        await talk.welcome()
        await talk.stay()

    if transport == "grpc":
        files = TlsFiles(
            certificate=certificates.certificate.read_bytes(), key=certificates.key.read_bytes(), client_ca=ca
        )
        server = BridgeServer(sink=MemorySink(start()), port=0, tls=files, settings=BridgeSettings())
        port = await server.start()
        try:
            await check_encrypted(f"grpcs://127.0.0.1:{port}", ca, mutual)
        finally:
            await server.stop()
    else:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates.certificate, certificates.key)
        context.load_verify_locations(certificates.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        async with scripted(*[let_in] * 20, tls=context) as (url, _):
            await check_encrypted(url, ca, mutual)


async def check_encrypted(url: str, ca: bytes, mutual: ClientTls) -> None:
    async with scene(url, tls=mutual, connect_timeout_s=5) as client:
        assert client.connected
    for too_little in (ClientTls(ca=ca), ClientTls()):
        with pytest.raises(SceneUnavailable):
            async with scene(url, tls=too_little, connect_timeout_s=0.7):
                pass


async def test_certificates_that_are_none_are_refused() -> None:
    async def nothing(talk: Talk) -> None:
        await talk.stay()

    async with scripted(nothing) as (url, _):
        wss = url.replace("ws://", "wss://")
        with pytest.raises(InvalidInput, match="give them as PEM"):
            async with ObserverClient(wss, tls=ClientTls(ca=b"no certificate"), connect_timeout_s=2):
                pass


async def test_a_repeated_command_of_an_earlier_life_is_answered_from_the_record() -> None:
    done = CommandResult(command_id=uuid7(), stage=CommandStage.APPLIED, reason="", sim_time_s=3.0)
    answers: list[command_pb2.CommandAck] = []

    async def first(talk: Talk) -> None:
        await talk.welcome()
        await talk.say(seq=3, command=command_pb2.Command(id=done.command_id, set_attributes=SET_TILT))
        answers.append((await talk.hear("command_ack")).command_ack)
        await talk.stay()

    async with scripted(first) as (url, _), scene(url, results=[done], on_command=never):
        await until(lambda: bool(answers))

    assert (answers[0].stage, answers[0].sim_time_s) == (command_pb2.COMMAND_STAGE_APPLIED, 3.0)
