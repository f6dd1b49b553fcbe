"""Both transports carry the same bytes under the same rules; each ends a stream in its own way."""

import asyncio

import grpc
import grpc.aio
import pytest
import websockets.asyncio.client

from bridge.stream import CONNECT_METHOD
from bridge.v1 import bridge_pb2, figures_pb2, news_pb2, session_pb2
from tests.bridge_peer import OBSERVER, SCENE, bench

TRANSPORTS = ("grpc", "websocket")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_scene_comes_in_and_is_acknowledged(transport: str) -> None:
    async with bench() as here, here.connect(transport) as scene:
        welcome = await scene.hello()
        assert (welcome.scene_id, welcome.resumed, welcome.max_message_bytes) == ("main", False, 4 * 1024 * 1024)
        snapshot = await scene.hear("topology_snapshot")
        assert (snapshot.seq, len(snapshot.topology_snapshot.entities), snapshot.topology_snapshot.last) == (1, 4, True)
        await scene.greeted()
        await scene.say_lossless(event=news_pb2.Event(name="touched"))
        await scene.acknowledged(1)

        assert [name for _, name, *_ in here.sink.events] == ["touched"]


@pytest.mark.parametrize(("transport", "how"), [("grpc", "INVALID_ARGUMENT"), ("websocket", "1008")])
async def test_a_broken_rule_ends_the_stream_with_its_reason(transport: str, how: str) -> None:
    async with bench() as here, here.connect(transport) as peer:
        await peer.say(heartbeat=session_pb2.Heartbeat(number=1))
        refusal = await peer.refused()

        assert (refusal.code, refusal.retry_after_s) == (session_pb2.REFUSAL_CODE_PROTOCOL, 0.0)
        assert "say Hello first" in refusal.message
        assert await peer.end() == how
        assert here.server.health().refusals == {"PROTOCOL": 1}


@pytest.mark.parametrize(("transport", "how"), [("grpc", "RESOURCE_EXHAUSTED"), ("websocket", "1013")])
async def test_a_refusal_that_may_pass_says_so(transport: str, how: str) -> None:
    async with bench(max_sessions=1) as here, here.connect(transport) as first, here.connect(transport) as second:
        await first.hello()
        await second.say_hello(scene_id="other")

        assert (await second.refused()).retry_after_s > 0
        assert await second.end() == how


@pytest.mark.parametrize(("transport", "how"), [("grpc", "OK"), ("websocket", "1000")])
async def test_goodbye_ends_the_session_for_good(transport: str, how: str) -> None:
    async with bench() as here, here.connect(transport) as scene:
        await scene.hello()
        await scene.greeted()
        await scene.say(goodbye=session_pb2.Goodbye(reason="home"))

        assert await scene.end() == how
        assert here.sink.gone == [("main", "home")]
        assert here.server.health().sessions == ()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("way", ["half_close", "cut"])
async def test_a_stream_that_breaks_leaves_its_session_behind(transport: str, way: str) -> None:
    async with bench() as here, here.connect(transport) as scene:
        await scene.hello()
        await scene.greeted()
        await getattr(scene, way)()
        await here.sink.until(lambda: bool(here.sink.gone))

        (left,) = here.server.health().sessions
        assert (left.suspended, here.server.health().scenes) == (True, ())


async def test_text_frames_are_refused() -> None:
    async with bench() as here, websockets.asyncio.client.connect(here.websocket) as socket:
        await socket.send("hello")
        await socket.wait_closed()

        assert (socket.close_code, "binary frame" in (socket.close_reason or "")) == (1008, True)


async def test_plain_http_is_told_to_use_websocket() -> None:
    async with bench() as here:
        host, _, port = here.websocket.removeprefix("ws://").removesuffix("/bridge").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /bridge HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()

        assert answer.startswith(b"HTTP/1.1 426")


async def test_both_transports_watch_the_same_scene() -> None:
    async with bench() as here, here.connect("grpc") as scene, here.connect("websocket") as observer:
        await scene.hello()
        await scene.greeted()
        await observer.hello(role=OBSERVER, scene_id="")
        await observer.greeted()
        await observer.say(subscribe=session_pb2.Subscribe(channels=[session_pb2.CHANNEL_TELEMETRY]))
        await observer.say(credit=session_pb2.Credit(channel=session_pb2.CHANNEL_TELEMETRY, messages=1))
        await observer.hear("subscribe_reply")
        await scene.say(
            telemetry=figures_pb2.Telemetry(
                epoch=1, number=1, revision=5, sim_time_s=1.0, entity_index=[1], position_m=[1.0, 2.0, 3.0]
            )
        )

        assert list((await observer.hear("telemetry")).telemetry.position_m) == [1.0, 2.0, 3.0]


async def test_a_reader_that_does_not_read_holds_nobody_else_up() -> None:
    async with bench(outbox_limit=64) as here, here.connect("websocket") as slow, here.connect("grpc") as scene:
        await scene.hello()
        await slow.hello(role=OBSERVER)
        await slow.greeted()
        await slow.say(subscribe=session_pb2.Subscribe(channels=[session_pb2.CHANNEL_EVENTS]))
        await slow.hear("subscribe_reply")
        await scene.greeted()
        for _ in range(100):
            await scene.say_lossless(event=news_pb2.Event(name="touched"))
        await here.sink.until(lambda: len(here.sink.events) == 100)

        refusal = await slow.refused()
        assert refusal.code == session_pb2.REFUSAL_CODE_OVERLOADED
        assert await slow.end() == "1013"


async def read_to_the_end(stream: grpc.aio.StreamStreamCall) -> None:
    while isinstance(await stream.read(), bytes):
        pass


async def test_a_call_whose_client_stops_reading_is_let_go_and_told_why_when_it_reads_again() -> None:
    async with bench(outbox_limit=40) as here, grpc.aio.insecure_channel(here.grpc) as channel:
        stream = channel.stream_stream(CONNECT_METHOD)()
        hello = session_pb2.Hello(protocol_min=1, protocol_max=1, role=SCENE, scene_id="main")
        wish = session_pb2.Subscribe(channels=[session_pb2.CHANNEL_EVENTS])
        await stream.write(bridge_pb2.ConnectRequest(hello=hello).SerializeToString())
        await stream.write(bridge_pb2.ConnectRequest(subscribe=wish).SerializeToString())
        await here.sink.until(lambda: bool(here.sink.scenes))
        while not here.server.health().sessions[0].suspended:
            here.server.publish_event("main", "news", {"text": "x" * 500_000}, 1.0)
            await asyncio.sleep(0.005)
        assert here.server.health().refusals == {"OVERLOADED": 1}

        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await read_to_the_end(stream)
        assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
