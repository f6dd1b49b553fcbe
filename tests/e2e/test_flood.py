"""Ten thousand connections and more streams than there is room for: typed refusals, and the bridge stays up."""

import asyncio
import resource
import time
from pathlib import Path

import grpc
import grpc.aio
import pytest

from bridge.stream import BridgeSettings
from bridge.v1 import bridge_pb2, session_pb2
from tests.e2e.test_kills import Program
from tests.free_port import free_port

CONNECT = "/bridge.v1.BridgeService/Connect"
AT_A_TIME = 200


async def open_many(port: int, count: int, words: bytes) -> list[asyncio.StreamWriter]:
    """Open connections that say something senseless and stay."""
    writers: list[asyncio.StreamWriter] = []
    while len(writers) < count:
        opened = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", port) for _ in range(min(AT_A_TIME, count - len(writers))))
        )
        for _, writer in opened:
            writer.write(words)
            writers.append(writer)
    return writers


async def greet(channel: grpc.aio.Channel) -> tuple[grpc.aio.StreamStreamCall, bridge_pb2.ConnectResponse]:
    """Say Hello as an observer and return the stream with the first answer."""
    call = channel.stream_stream(
        CONNECT,
        request_serializer=bridge_pb2.ConnectRequest.SerializeToString,
        response_deserializer=bridge_pb2.ConnectResponse.FromString,
    )()
    hello = bridge_pb2.ConnectRequest()
    hello.hello.protocol_min = hello.hello.protocol_max = 1
    hello.hello.role = session_pb2.ROLE_OBSERVER
    await call.write(hello)
    return call, await asyncio.wait_for(call.read(), 20)


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_senseless_connections_keep_nobody_out(count: int, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 1000:
        pytest.fail(f"this machine allows {hard} open files a process; {count + 1000} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 1000), hard))
    port = free_port()
    address = f"127.0.0.1:{port}"
    async with (
        Program("server.py", str(tmp_path), str(port), log=tmp_path / "server.log") as server,
        Program("counter_scene.py", str(tmp_path / "ledger"), address, log=tmp_path / "scene.log"),
    ):
        await server.hears("live")
        writers = await open_many(port, count // 2, b"")
        writers += await open_many(port, count - count // 2, b"\x00rubbish\xff" * 8)

        begun_s = time.monotonic()
        async with grpc.aio.insecure_channel(address) as channel:
            call, first = await greet(channel)
            took_s = time.monotonic() - begun_s
            call.cancel()

        assert first.WhichOneof("body") == "welcome"
        assert took_s < 5.0, f"{took_s:.1f} s to get in beside {count} senseless connections"
        for writer in writers:
            writer.transport.abort()
        assert server.process is not None
        assert server.process.returncode is None


async def test_more_streams_than_there_is_room_for_are_refused_by_name_and_counted(tmp_path: Path) -> None:
    room = BridgeSettings().max_sessions
    port = free_port()
    address = f"127.0.0.1:{port}"
    async with (
        Program("server.py", str(tmp_path), str(port), log=tmp_path / "server.log") as server,
        Program("counter_scene.py", str(tmp_path / "ledger"), address, log=tmp_path / "scene.log"),
        grpc.aio.insecure_channel(address) as channel,
    ):
        await server.hears("live")
        answers = [await greet(channel) for _ in range(room + 10)]
        health = await channel.unary_unary(
            "/bridge.v1.BridgeService/GetHealth",
            request_serializer=bridge_pb2.GetHealthRequest.SerializeToString,
            response_deserializer=bridge_pb2.GetHealthResponse.FromString,
        )(bridge_pb2.GetHealthRequest(), timeout=10)
        refused = [first.refusal for _, first in answers if first.HasField("refusal")]
        for call, _ in answers:
            call.cancel()

    assert len(answers) - len(refused) == room - 1  # the scene has a place, too
    assert {refusal.code for refusal in refused} == {session_pb2.REFUSAL_CODE_OVERLOADED}
    assert all(refusal.retry_after_s > 0 for refusal in refused)
    assert health.refusals["OVERLOADED"] == len(refused)
