"""People in one scene over a real stream: they see each other, see through its cameras, hear each other, and give it
things that only the scene knows.

The clients speak the published messages, as any engine would.
"""

import asyncio
import io
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import grpc
import grpc.aio
import numpy as np
import pytest
from PIL import Image

from bridge.server import BridgeServer
from bridge.stream import BridgeSettings
from bridge.testing import MemorySink
from bridge.v1 import bridge_pb2, bridge_pb2_grpc, media_pb2, presence_pb2, session_pb2, topology_pb2
from tests.media_peer import parts
from twin.clock import CivilTime
from twin.entities import Kind
from twin.errors import DeadlineExceeded, ProtocolError, SceneUnavailable, TooLarge
from twin.media import Utterance
from twin.ports import EntityVerdict, OfferedEntity, SceneStart
from twin.topology import Entity, Topology

CAMERA, VOICE, PRESENCE = session_pb2.CHANNEL_CAMERA, session_pb2.CHANNEL_VOICE, session_pb2.CHANNEL_PRESENCE
JPEG, PNG = media_pb2.IMAGE_CODEC_JPEG, media_pb2.IMAGE_CODEC_PNG


def start() -> SceneStart:
    ues = [Entity(index=i, id=f"ue-{i}", kind=Kind.UE, name=f"ue {i}") for i in range(3)]
    return SceneStart(
        topology=Topology(ues, revision=5),
        civil=CivilTime(epoch=datetime(2026, 11, 7, 12, tzinfo=UTC), timezone="Europe/Berlin"),
        resume_at_sim_s=None,
        past_s=0,
        speed=1.0,
        desired=(),
    )


@asynccontextmanager
async def serving(
    sink: MemorySink | None = None, **settings: float
) -> AsyncIterator[tuple[BridgeServer, MemorySink, str]]:
    sink = sink or MemorySink(start())
    limits = {"heartbeat_interval_s": 20.0} | settings  # longer than a test: nobody here answers probes
    server = BridgeServer(sink=sink, port=0, settings=BridgeSettings(**limits))  # type: ignore[arg-type]
    bound = await server.start()
    try:
        yield server, sink, f"127.0.0.1:{bound}"
    finally:
        await server.stop()


class Client:
    """One stream of plain messages; what was read on the way to something else is kept."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.call = bridge_pb2_grpc.BridgeServiceStub(channel).Connect()
        self.welcome = session_pb2.Welcome()
        self.acked = self.heard_seq = 0
        self._passed: list[bridge_pb2.ConnectResponse] = []
        self._writing = asyncio.Lock()  # gRPC takes one write at a time

    async def say(self, *requests: bridge_pb2.ConnectRequest) -> None:
        for request in requests:
            async with self._writing:
                await self.call.write(request)

    async def hear(self, kind: str) -> bridge_pb2.ConnectResponse:
        """Return the next message of a kind, in the order in which they came."""
        async with asyncio.timeout(5):
            while True:
                for place, response in enumerate(self._passed):
                    if response.WhichOneof("body") == kind:
                        return self._passed.pop(place)
                response = await self.call.read()
                assert response is not grpc.aio.EOF, f"the stream ended before `{kind}`"
                self.acked = max(self.acked, response.ack)
                self.heard_seq = max(self.heard_seq, response.seq)
                self._passed.append(response)

    async def thrown_out(self) -> str:
        """Wait until the twin ends the stream for a broken rule, and return why."""
        try:
            refusal = (await self.hear("refusal")).refusal
        except grpc.aio.AioRpcError as error:  # gRPC forgets what was not read when the stream ends; its status says it
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            return error.details() or ""
        assert refusal.code == session_pb2.REFUSAL_CODE_PROTOCOL
        return refusal.message

    async def settled(self) -> None:
        """Wait until the twin has dealt with everything said before."""
        await self.say(bridge_pb2.ConnectRequest(heartbeat=session_pb2.Heartbeat(number=77)))
        await self.hear("heartbeat_reply")

    async def grant(self, channel: int, messages: int) -> None:
        credit = session_pb2.Credit(channel=channel, messages=messages)  # type: ignore[arg-type]
        await self.say(bridge_pb2.ConnectRequest(credit=credit))

    @property
    def session_id(self) -> str:
        return self.welcome.session_id


@asynccontextmanager
async def connected(
    url: str, *, channels: Sequence[int] = (), credit: int = 100, **hello: object
) -> AsyncIterator[Client]:
    said = {"protocol_min": 1, "protocol_max": 1, "role": session_pb2.ROLE_OBSERVER} | hello
    async with grpc.aio.insecure_channel(url) as channel:
        client = Client(channel)
        await client.say(bridge_pb2.ConnectRequest(hello=session_pb2.Hello(**said)))  # type: ignore[arg-type]
        client.welcome.CopyFrom((await client.hear("welcome")).welcome)
        if channels:
            subscribe = session_pb2.Subscribe(channels=channels)  # type: ignore[arg-type]
            await client.say(bridge_pb2.ConnectRequest(subscribe=subscribe))
            await client.hear("subscribe_reply")
            for one in channels:
                await client.grant(one, credit)
        yield client


@asynccontextmanager
async def scene(url: str, **rest: object) -> AsyncIterator[Client]:
    hello = {
        "role": session_pb2.ROLE_SCENE,
        "scene_id": "main",
        "engine": "test",
        "provides": [session_pb2.PROVISION_MOTION],
        "capabilities": session_pb2.Capabilities(camera_codecs=["jpeg", "png", "raw"]),
    } | rest
    async with connected(url, **hello) as client:  # type: ignore[arg-type]
        yield client


# --- who is here -------------------------------------------------------------------------------------------------


def shown(**words: object) -> bridge_pb2.ConnectRequest:
    return bridge_pb2.ConnectRequest(presence=presence_pb2.Presence(**words))  # type: ignore[arg-type]


async def people(client: Client, number: int) -> list[presence_pb2.Presence]:
    """Wait for the list that holds so many people."""
    while True:
        heard = (await client.hear("presence_list")).presence_list
        if len(heard.people) == number:
            assert heard.scene_id == "main"
            return list(heard.people)


async def test_two_observers_see_each_other_and_share_a_selection() -> None:
    async with (
        serving() as (server, _, url),
        scene(url),
        connected(url, channels=[PRESENCE], engine="page") as ana,
        connected(url, channels=[PRESENCE], engine="unity") as bo,
    ):
        await ana.say(shown(name="Ana", colour="#102030", selected_entity_ids=["ue-1", "no-such-thing"]))
        await people(bo, 1)
        at = topology_pb2.Position(east_m=1, north_m=2, up_m=3)
        await bo.say(shown(name="Bo\x1b", camera_position=at, camera_rotation=[0, 0, 0, 1]))
        for client in (ana, bo):
            first, second = await people(client, 2)
            assert (first.name, first.colour, first.engine) == ("Ana", "#102030", "page")
            assert (first.session_id, list(first.selected_entity_ids)) == (ana.session_id, ["ue-1"])
            assert (second.name, second.session_id, second.engine) == ("Bo", bo.session_id, "unity")
            assert (second.camera_position, list(second.camera_rotation)) == (at, [0, 0, 0, 1])

        await bo.say(shown(name="Bo", selected_entity_ids=["ue-1"]))
        await ana.say(shown(name="Ana", selected_entity_ids=["ue-1", "ue-2"]))
        while [list(p.selected_entity_ids) for p in await people(ana, 2)] != [["ue-1", "ue-2"], ["ue-1"]]:
            pass
        assert [p.selected_entity_ids for p in server.people("main")] == [("ue-1", "ue-2"), ("ue-1",)]


async def test_a_scene_and_an_observer_see_each_other_and_leaving_is_told() -> None:
    async with serving() as (server, _, url), scene(url, channels=[PRESENCE]) as player:
        async with connected(url, channels=[PRESENCE]) as watcher:
            await player.say(shown(name="Player"))
            await people(watcher, 1)
            await watcher.say(shown(name="Watcher"))
            assert [p.name for p in await people(player, 2)] == ["Player", "Watcher"]
            await watcher.say(bridge_pb2.ConnectRequest(goodbye=session_pb2.Goodbye()))
            assert [p.name for p in await people(player, 1)] == ["Player"]
        assert [p.name for p in server.people("main")] == ["Player"]


async def test_somebody_whose_stream_broke_shows_until_forgotten() -> None:
    async with serving(resume_ttl_s=1.0) as (server, _, url), scene(url, channels=[PRESENCE]) as player:
        async with connected(url) as watcher:
            await watcher.say(shown(name="Watcher"))
            await people(player, 1)
        async with asyncio.timeout(5):
            while not any(s.suspended for s in server.health().sessions):
                await asyncio.sleep(0.01)
        assert [p.name for p in server.people("main")] == ["Watcher"]
        await people(player, 0)


async def test_many_changes_are_ten_lists_a_second_at_most() -> None:
    async with (
        serving() as (_, _, url),
        scene(url) as player,
        connected(url, channels=[PRESENCE], credit=1_000) as watcher,
    ):
        loop = asyncio.get_running_loop()
        begin_s, lists, newest = loop.time(), 0, ""
        saying = asyncio.create_task(say_steadily(player, number=200, every_s=0.004))
        while newest != "Player 199":
            newest = (await people(watcher, 1))[0].name
            lists += 1
        await saying
        assert lists <= 10 * (loop.time() - begin_s) + 1


async def say_steadily(client: Client, *, number: int, every_s: float) -> None:
    for turn in range(number):
        await client.say(shown(name=f"Player {turn}"))
        await asyncio.sleep(every_s)


async def test_whoever_comes_back_is_still_there_and_is_told_again() -> None:
    async with serving() as (server, _, url), scene(url) as player:
        async with connected(url, channels=[PRESENCE]) as first:
            await first.say(shown(name="Ana"))
            await people(first, 1)
            resume = session_pb2.ResumePoint(
                session_id=first.session_id, resume_token=first.welcome.resume_token, last_seq=first.heard_seq
            )
        await player.say(shown(name="Player"))
        async with connected(url, resume=resume) as again:
            assert (again.welcome.resumed, again.session_id) == (True, first.session_id)
            await again.grant(PRESENCE, 1)
            assert [p.name for p in await people(again, 2)] == ["Ana", "Player"]
            assert [p.session_id for p in server.people("main")] == [first.session_id, player.session_id]


# --- pictures ----------------------------------------------------------------------------------------------------


def drawn(word: str, width: int, height: int) -> bytes:
    noise = np.random.default_rng(4).integers(0, 256, (height, width, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(noise).save(written, format=word)
    return written.getvalue()


async def asked(player: Client) -> media_pb2.CameraRequest:
    return (await player.hear("camera_request")).camera_request


async def test_a_picture_of_a_megabyte_comes_in_parts_as_it_was_taken() -> None:
    picture = drawn("PNG", 640, 560)
    assert len(picture) > 1_000_000
    async with serving() as (server, _, url), scene(url) as player:
        asking = asyncio.create_task(
            server.link.picture(scene_id="main", camera_id="roof", width=640, height=560, timeout_s=5)
        )
        request = await asked(player)
        assert (request.camera_id, request.width, request.height) == ("roof", 640, 560)
        pose = topology_pb2.Position(east_m=10, north_m=20, up_m=30)
        answer = parts(
            picture,
            request_id=request.request_id,
            camera_id="roof",
            image_codec=PNG,
            width=640,
            height=560,
            position=pose,
            rotation=[0, 0, 0, 1],
            horizontal_fov_deg=70,
            sim_time_s=4.5,
        )
        assert len(answer) == 5
        await player.say(*answer)
        image = await asking

        assert image.data == picture
        assert (image.codec, image.width, image.height, image.camera_id) == ("png", 640, 560, "roof")
        assert (image.position_m, image.rotation) == ((10, 20, 30), (0, 0, 0, 1))
        assert (image.horizontal_fov_deg, image.sim_time_s) == (70, 4.5)


async def test_an_oversized_picture_fails_the_request_and_the_scene_goes_on() -> None:
    async with serving() as (server, _, url), scene(url) as player:
        asking = asyncio.create_task(server.link.picture(scene_id="main", timeout_s=5))
        frame = media_pb2.CameraFrame(request_id=(await asked(player)).request_id, codec=JPEG, width=10, height=10)
        frame.total_bytes, frame.data = 10_000_001, bytes(100)
        await player.say(bridge_pb2.ConnectRequest(camera_frame=frame))
        with pytest.raises(TooLarge, match="10000001"):
            await asking

        asking = asyncio.create_task(server.link.picture(scene_id="main", timeout_s=5))
        await player.say(*parts(b"abc", request_id=(await asked(player)).request_id))
        assert (await asking).data == b"abc"


async def test_a_picture_that_is_none_fails_the_request_and_the_scene_goes_on() -> None:
    async with serving() as (server, _, url), scene(url) as player:
        asking = asyncio.create_task(server.link.picture(scene_id="main", timeout_s=5))
        request_id = (await asked(player)).request_id
        await player.say(*parts(drawn("PNG", 8, 8), request_id=request_id, image_codec=JPEG, width=8, height=8))
        with pytest.raises(ProtocolError, match="none that can be read"):
            await asking
        await player.settled()


async def test_parts_out_of_order_end_the_stream() -> None:
    async with serving() as (server, _, url), scene(url) as player:
        asking = asyncio.create_task(server.link.picture(scene_id="main", timeout_s=5))
        first, second, third = parts(bytes(300), request_id=(await asked(player)).request_id, part_bytes=100)
        await player.say(first, third, second)
        with pytest.raises(ProtocolError, match="begins at `200`"):
            await asking
        assert "begins at `200`" in await player.thrown_out()


async def test_no_picture_in_time_is_a_typed_error_and_a_late_one_does_no_harm() -> None:
    async with serving() as (server, _, url), scene(url) as player:
        with pytest.raises(DeadlineExceeded, match="`main`"):
            await server.link.picture(scene_id="main", timeout_s=0.1)
        await player.say(*parts(bytes(300), request_id=(await asked(player)).request_id, part_bytes=100))
        await player.settled()


async def test_a_scene_says_why_it_has_no_picture_or_leaves() -> None:
    async with serving() as (server, _, url):
        with pytest.raises(SceneUnavailable, match="no camera"):
            await server.link.picture(scene_id="main", timeout_s=5)
        async with scene(url) as player:
            asking = asyncio.create_task(server.link.picture(scene_id="main", timeout_s=5))
            request_id = (await asked(player)).request_id
            frame = media_pb2.CameraFrame(request_id=request_id, reason="the window is closed", last=True)
            await player.say(bridge_pb2.ConnectRequest(camera_frame=frame))
            with pytest.raises(SceneUnavailable, match="the window is closed"):
                await asking
            asking = asyncio.create_task(server.link.picture(scene_id="main", timeout_s=5))
            await asked(player)
        with pytest.raises(SceneUnavailable, match="left before"):
            await asking


async def test_observers_see_what_a_camera_sends_unasked_within_their_credit() -> None:
    async with (
        serving() as (_, _, url),
        scene(url) as player,
        connected(url, channels=[CAMERA], credit=1) as watcher,
    ):
        assert player.welcome.camera_credits == 1
        for shade in (b"\x10", b"\x20", b"\x30"):
            await player.say(*parts(shade * 600_000, camera_id="roof"))
            credit = (await player.hear("credit")).credit
            assert (credit.channel, credit.messages) == (CAMERA, 1)
        first = [(await watcher.hear("camera_frame")).camera_frame for _ in range(3)]
        assert b"".join(f.data for f in first) == b"\x10" * 600_000
        assert [(f.offset, f.last, f.camera_id) for f in first][-1] == (524_288, True, "roof")

        await watcher.grant(CAMERA, 1)
        newest = [(await watcher.hear("camera_frame")).camera_frame for _ in range(3)]
        assert b"".join(f.data for f in newest) == b"\x30" * 600_000


async def test_an_observer_that_sends_pictures_breaks_the_contract() -> None:
    async with serving() as (_, _, url), scene(url), connected(url) as watcher:
        await watcher.say(*parts(b"abc"))
        assert "only scenes do" in await watcher.thrown_out()


# --- voice -------------------------------------------------------------------------------------------------------

RATE_HZ = 16_000


def recording(duration_s: float) -> bytes:
    """Return a WAV file with a rising tone."""
    t_s = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    written = io.BytesIO()
    with wave.open(written, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes((np.sin(2 * np.pi * (300 + 200 * t_s) * t_s) * 12_000).astype("<i2").tobytes())
    return written.getvalue()


def spoken(wav: bytes, *, utterance: str, chunk_s: float = 0.02) -> list[bridge_pb2.ConnectRequest]:
    with wave.open(io.BytesIO(wav), "rb") as sound:
        rate_hz, frames = sound.getframerate(), int(chunk_s * sound.getframerate())
        pieces = iter(lambda: sound.readframes(frames), b"")
        said = [
            media_pb2.VoiceChunk(utterance_id=utterance, sample_rate_hz=rate_hz, pcm_int16=pcm, number=number)
            for number, pcm in enumerate(pieces)
        ]
    said[-1].last = True
    return [bridge_pb2.ConnectRequest(voice_chunk=chunk) for chunk in said]


def sound_of(wav: bytes) -> bytes:
    with wave.open(io.BytesIO(wav), "rb") as sound:
        return sound.readframes(sound.getnframes())


async def test_a_recording_reaches_the_twin_and_everybody_else_in_the_scene() -> None:
    wav = recording(1.0)
    async with (
        serving() as (_, sink, url),
        scene(url, channels=[VOICE]) as player,
        connected(url, channels=[VOICE]) as ana,
        connected(url, channels=[VOICE]) as bo,
    ):
        assert ana.welcome.voice_credits >= 50
        await ana.say(*spoken(wav, utterance="hello"))
        for other in (player, bo):
            heard = [(await other.hear("voice_chunk")).voice_chunk for _ in range(50)]
            assert b"".join(c.pcm_int16 for c in heard) == sound_of(wav)
            assert {c.session_id for c in heard} == {ana.session_id}
        await sink.until(lambda: bool(sink.utterances))

        assert sink.utterances == [
            Utterance(
                scene_id="main",
                speaker=ana.session_id,
                utterance_id="hello",
                sample_rate_hz=RATE_HZ,
                pcm_int16=sound_of(wav),
                lost_chunks=0,
            )
        ]
        assert (await ana.hear("credit")).credit.channel == VOICE


async def test_what_was_lost_on_the_way_is_silence() -> None:
    wav = recording(0.2)
    async with serving() as (_, sink, url), scene(url) as player:
        said = spoken(wav, utterance="u")
        await player.say(*said[:3], *said[5:])
        await sink.until(lambda: bool(sink.utterances))
        (heard,) = sink.utterances
        whole = sound_of(wav)

        assert (heard.speaker, heard.lost_chunks, heard.duration_s) == (player.session_id, 2, 0.2)
        assert heard.pcm_int16 == whole[: 3 * 640] + bytes(2 * 640) + whole[5 * 640 :]


async def test_a_listener_without_credit_misses_it_and_nobody_waits() -> None:
    async with (
        serving() as (_, sink, url),
        scene(url) as player,
        connected(url, channels=[VOICE], credit=4) as listener,
    ):
        await player.say(*spoken(recording(0.2), utterance="u"))
        await sink.until(lambda: bool(sink.utterances))
        heard = [(await listener.hear("voice_chunk")).voice_chunk.number for _ in range(4)]
        await listener.settled()
        await listener.grant(VOICE, 10)
        await player.say(*spoken(recording(0.02), utterance="v"))

        assert heard == [0, 1, 2, 3]
        assert (await listener.hear("voice_chunk")).voice_chunk.utterance_id == "v"


async def test_somebody_who_leaves_in_the_middle_has_said_what_was_heard() -> None:
    async with serving() as (_, sink, url), scene(url), connected(url) as ana:
        await ana.say(*spoken(recording(0.2), utterance="u")[:5])
        await ana.say(bridge_pb2.ConnectRequest(goodbye=session_pb2.Goodbye()))
        await sink.until(lambda: bool(sink.utterances))

        assert [u.duration_s for u in sink.utterances] == [0.1]


# --- what only the scene knows -----------------------------------------------------------------------------------


class Storing(MemorySink):
    """Takes entities in when the disk has them."""

    def __init__(self) -> None:
        super().__init__(start())
        self.asked = asyncio.Event()
        self.stored = asyncio.Event()

    async def contributed(self, scene_id: str, offered: Sequence[OfferedEntity]) -> Sequence[EntityVerdict]:
        self.asked.set()
        await self.stored.wait()
        return await super().contributed(scene_id, offered)


def offer(seq: int, *local_ids: str, kind: str = "place") -> bridge_pb2.ConnectRequest:
    entities = [
        topology_pb2.ContributedEntity(local_id=local_id, kind=kind, name=local_id, position=topology_pb2.Position())
        for local_id in local_ids
    ]
    return bridge_pb2.ConnectRequest(seq=seq, contribute=topology_pb2.Contribute(entities=entities))


async def test_contributed_entities_are_durable_before_they_are_acknowledged() -> None:
    sink = Storing()
    async with serving(sink) as (_, _, url), scene(url) as player:
        await player.say(offer(1, "kiosk", "bench"))
        await asyncio.wait_for(sink.asked.wait(), 5)
        await player.settled()
        assert player.acked == 0

        sink.stored.set()
        reply = await player.hear("contribute_reply")
        assert reply.seq > 0
        assert [(e.local_id, e.entity_id, e.index) for e in reply.contribute_reply.entities] == [
            ("kiosk", "main-kiosk", 3),
            ("bench", "main-bench", 4),
        ]
        async with asyncio.timeout(5):
            while player.acked < 1:
                await player.settled()


async def test_what_belongs_to_the_network_is_refused() -> None:
    async with serving() as (_, sink, url), scene(url) as player:
        await player.say(offer(1, "tower", kind="cell"))
        (verdict,) = (await player.hear("contribute_reply")).contribute_reply.entities

        assert (verdict.entity_id, "comes from the scenario" in verdict.reason) == ("", True)
        assert sink.offered == []


async def test_an_observer_contributes_nothing() -> None:
    async with serving() as (_, _, url), scene(url), connected(url) as watcher:
        await watcher.say(offer(1, "kiosk"))
        assert "only scenes do" in await watcher.thrown_out()
