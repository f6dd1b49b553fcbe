"""Ten thousand connections and more streams than there is room for: typed refusals, and the bridge stays up."""

import asyncio
import contextlib
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from bridge.stream import BridgeSettings
from bridge.v1 import bridge_pb2, session_pb2
from tests import soak_file
from tests.bridge_peer import OBSERVER, Peer, grpc_peer, websocket_peer
from tests.e2e.test_kills import Program
from tests.free_port import free_port

AT_A_TIME = 200
BEYOND = 10
"""Streams more than there is room for."""
GREETINGS = 10
ROOM = BridgeSettings().max_sessions
PATIENCE_S = 20.0
STATUS_WHEN_FULL = {"grpc": "RESOURCE_EXHAUSTED", "websocket": "1013"}

Way = Callable[[], contextlib.AbstractAsyncContextManager[Peer]]


async def open_many(port: int, count: int, words: bytes) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open connections that say something senseless and stay."""
    ends: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    while len(ends) < count:
        opened = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", port) for _ in range(min(AT_A_TIME, count - len(ends))))
        )
        for _, writer in opened:
            writer.write(words)
        ends += opened
    return ends


async def ended(readers: Iterable[asyncio.StreamReader]) -> int:
    """Count the connections that the other side has closed."""

    async def to_the_end(reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(65_536):
                pass

    tasks = [asyncio.create_task(to_the_end(reader)) for reader in readers]
    closed, still_open = await asyncio.wait(tasks, timeout=1.0)
    for task in still_open:
        task.cancel()
    await asyncio.gather(*still_open, return_exceptions=True)
    return len(closed)


async def greeting_s(way: Way) -> float:
    """Return how long an observer takes from connecting to Welcome."""
    begun_s = time.monotonic()
    async with way() as peer:
        await peer.say_hello(role=OBSERVER)
        first = await peer.next(timeout_s=PATIENCE_S)
        took_s = time.monotonic() - begun_s
        assert first is not None
        assert first.WhichOneof("body") == "welcome", first
        await peer.say(goodbye=session_pb2.Goodbye(reason="seen"))
        await peer.end()
    return took_s


async def crowd(way: Way) -> tuple[Counter[str], list[session_pb2.Refusal], Counter[str]]:
    """Open more streams than there is room for, one after the other.

    Returns:
        The first answers by kind, the refusals, and how the refused streams ended.
    """
    answers: Counter[str] = Counter()
    refusals: list[session_pb2.Refusal] = []
    ends: Counter[str] = Counter()
    async with contextlib.AsyncExitStack() as stack:
        let_in: list[Peer] = []
        for _ in range(ROOM + BEYOND):
            peer = await stack.enter_async_context(way())
            await peer.say_hello(role=OBSERVER)
            first = await peer.next(timeout_s=PATIENCE_S)
            assert first is not None
            answers[str(first.WhichOneof("body"))] += 1
            if first.HasField("refusal"):
                refusals.append(first.refusal)
                ends[await peer.end()] += 1
            else:
                let_in.append(peer)
        for peer in let_in:  # so that nothing waits to be resumed
            await peer.say(goodbye=session_pb2.Goodbye(reason="seen"))
            await peer.end()
    return answers, refusals, ends


async def health_of(address: str) -> bridge_pb2.GetHealthResponse:
    async with grpc.aio.insecure_channel(address) as channel:
        return await channel.unary_unary(
            "/bridge.v1.BridgeService/GetHealth",
            request_serializer=bridge_pb2.GetHealthRequest.SerializeToString,
            response_deserializer=bridge_pb2.GetHealthResponse.FromString,
        )(bridge_pb2.GetHealthRequest(), timeout=PATIENCE_S)


def resident_mib(process: asyncio.subprocess.Process) -> float:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text(encoding="utf-8").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


async def flooded(server: Program, address: str, *, port: int, way: Way, count: int) -> dict[str, Any]:
    """Flood one port, come in beside it, and fill all places; returns what was seen."""
    assert server.process is not None
    refused_before = (await health_of(address)).refusals["OVERLOADED"]
    quiet_s = [await greeting_s(way) for _ in range(GREETINGS)]
    quiet_mib = resident_mib(server.process)
    received_before = await received(server)
    begun_s = time.monotonic()
    connections = await open_many(port, count // 2, b"")
    connections += await open_many(port, count - count // 2, b"\x00rubbish\xff" * 8)
    opened_s = time.monotonic() - begun_s
    try:
        beside_s = [await greeting_s(way) for _ in range(GREETINGS)]
        beside_mib = resident_mib(server.process)
        answers, refusals, ends = await crowd(way)
        closed = await ended(reader for reader, _ in connections)
    finally:
        for _, writer in connections:
            writer.transport.abort()
    lasted_s = time.monotonic() - begun_s
    return {
        "senseless_connections": len(connections),
        "of_these_closed_by_the_twin": closed,
        "opened_within_s": round(opened_s, 3),
        "greeting_before_s": soak_file.spread(quiet_s),
        "greeting_beside_s": soak_file.spread(beside_s),
        "resident_before_mib": quiet_mib,
        "resident_beside_mib": beside_mib,
        "streams_asked_for": ROOM + BEYOND,
        "first_answers": dict(answers),
        "refusal_codes": dict(Counter(session_pb2.RefusalCode.Name(refusal.code) for refusal in refusals)),
        "least_retry_after_s": min((refusal.retry_after_s for refusal in refusals), default=0.0),
        "refused_streams_ended_with": dict(ends),
        "refusals_counted_by_the_twin": (await health_of(address)).refusals["OVERLOADED"] - refused_before,
        "telemetry_a_second_meanwhile": round((await received(server) - received_before) / lasted_s, 1),
    }


async def received(server: Program) -> int:
    return sum(run["received"] for run in (await server.asks("counts"))["telemetry"])


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.timeout(300)
async def test_senseless_connections_keep_nobody_out_and_what_is_too_much_is_refused_by_name(
    count: int, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 1000:
        pytest.fail(f"this machine allows {hard} open files a process; {count + 1000} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 1000), hard))  # the twin's end inherits it
    port, http_port = free_port(), free_port()
    address = f"127.0.0.1:{port}"
    ports: dict[str, tuple[int, Way]] = {
        "grpc": (port, lambda: grpc_peer(address)),
        "websocket": (http_port, lambda: websocket_peer(f"ws://127.0.0.1:{http_port}/bridge")),
    }
    async with (
        Program("server.py", str(tmp_path), str(port), str(http_port), log=tmp_path / "server.log") as server,
        Program("counter_scene.py", str(tmp_path / "ledger"), address, log=tmp_path / "scene.log"),
    ):
        await server.hears("live")
        seen = {
            transport: await flooded(server, address, port=at, way=way, count=count)
            for transport, (at, way) in ports.items()
        }
        assert server.process is not None
        assert server.process.returncode is None

    if soak_file.is_soak() and count == 10_000:
        soak_file.write(
            "bridge-flood",
            {
                "what": "connections that say nothing or rubbish and stay, then more streams than there is room for",
                "script": "tests/e2e/test_flood.py",
                "seed": None,  # nothing is random
                "versions": soak_file.versions(("grpcio", "protobuf", "uvicorn", "websockets")),
                **seen,
            },
        )
    for transport, facts in seen.items():
        assert facts["senseless_connections"] == count
        assert facts["of_these_closed_by_the_twin"] == count - count // 2, "what talks rubbish is thrown out"
        assert facts["greeting_beside_s"]["max"] < 5.0, f"beside {count} senseless connections: {facts}"
        # The scene has a place, too.
        assert facts["first_answers"] == {"welcome": ROOM - 1, "refusal": BEYOND + 1}
        assert facts["refusal_codes"] == {"REFUSAL_CODE_OVERLOADED": BEYOND + 1}
        assert facts["least_retry_after_s"] > 0
        assert facts["refused_streams_ended_with"] == {STATUS_WHEN_FULL[transport]: BEYOND + 1}
        assert facts["refusals_counted_by_the_twin"] == BEYOND + 1
        assert facts["telemetry_a_second_meanwhile"] > 2, "the scene's figures were held up"
