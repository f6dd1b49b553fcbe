"""Clients of the bridge that say exactly what they are told, over both transports, and a bridge to say it to."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc.aio
import numpy as np
import uvicorn
import websockets.asyncio.client
import websockets.exceptions

from bridge.access import Doorkeeper
from bridge.gateway import WebSocketGateway
from bridge.server import BridgeServer
from bridge.stream import CONNECT_METHOD, BridgeSettings
from bridge.testing import MemorySink
from bridge.v1 import bridge_pb2, session_pb2
from twin.clock import CivilTime
from twin.entities import Kind
from twin.ports import SceneStart
from twin.telemetry import PmReport
from twin.topology import Entity, Topology

SCENE = session_pb2.ROLE_SCENE
OBSERVER = session_pb2.ROLE_OBSERVER
MOTION, KPI, STATE = session_pb2.PROVISION_MOTION, session_pb2.PROVISION_KPI, session_pb2.PROVISION_STATE
EPOCH = datetime(2026, 11, 7, 12, tzinfo=UTC)
ROOMY = 64 * 1024 * 1024


def report(second: int) -> PmReport:
    """The counters of one second; the counter says which."""
    return PmReport(
        scene_id="main",
        epoch=1,
        seq=second,
        revision=5,
        granularity_period_s=1,
        period_end_sim_time_s=float(second),
        entity_index=np.array([0], dtype=np.uint32),
        counters=("RRC.ConnMean",),
        values=np.array([[second]], dtype=np.float32),
    )


def start(num_ues: int = 3, *, revision: int = 5) -> SceneStart:
    """What every scene is told."""
    cell = Entity(index=0, id="cell-1-1", kind=Kind.CELL, name="Cell 1-1", attributes={"digitalTilt": 60.0})
    ues = [Entity(index=i, id=f"ue-{i}", kind=Kind.UE, name=f"ue {i}") for i in range(1, num_ues + 1)]
    return SceneStart(
        topology=Topology([cell, *ues], revision=revision),
        civil=CivilTime(epoch=EPOCH, timezone="Europe/Berlin"),
        resume_at_sim_s=None,
        past_s=0,
        speed=1.0,
        desired=(),
    )


@dataclass(kw_only=True)
class Bench:
    """A bridge that listens on both transports.

    Attributes:
        grpc: Host and port.
        websocket: Address.
    """

    server: BridgeServer
    sink: MemorySink
    grpc: str
    websocket: str

    def connect(self, transport: str) -> contextlib.AbstractAsyncContextManager["Peer"]:
        return grpc_peer(self.grpc) if transport == "grpc" else websocket_peer(self.websocket)


@asynccontextmanager
async def bench(
    sink: MemorySink | None = None, *, doorkeeper: Doorkeeper | None = None, **settings: Any
) -> AsyncIterator[Bench]:
    """Serve on free ports, with heartbeats that do not come in between unless asked for."""
    sink = sink or MemorySink(start())
    server = BridgeServer(
        sink=sink,
        port=0,
        settings=BridgeSettings(**{"heartbeat_interval_s": 5.0, **settings}),
        doorkeeper=doorkeeper,
    )
    port = await server.start()
    web = uvicorn.Server(
        uvicorn.Config(
            WebSocketGateway(server),
            port=0,
            log_level="error",
            lifespan="off",
            ws="websockets-sansio",
            ws_ping_interval=None,
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.create_task(web.serve())
    while not web.started:
        await asyncio.sleep(0.005)
    web_port = web.servers[0].sockets[0].getsockname()[1]
    try:
        yield Bench(server=server, sink=sink, grpc=f"127.0.0.1:{port}", websocket=f"ws://127.0.0.1:{web_port}/bridge")
    finally:
        await server.stop()
        web.should_exit = True
        await serving


@dataclass
class Peer:
    """One connection.

    Attributes:
        heard: Everything that was read, in order.
        ended: How the other side ended the connection, once it did: a gRPC status name or a WebSocket close code.
    """

    write: Callable[[bytes], Awaitable[None]]
    read: Callable[[], Awaitable[bytes | None]]
    half_close: Callable[[], Awaitable[None]]
    cut: Callable[[], Awaitable[None]]
    how_ended: Callable[[], Awaitable[str]]
    heard: list[bridge_pb2.ConnectResponse] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def say(self, *, seq: int = 0, ack: int = 0, **body: Any) -> None:
        await self.write(bridge_pb2.ConnectRequest(seq=seq, ack=ack, **body).SerializeToString())

    async def say_lossless(self, **body: Any) -> int:
        number = next(self.numbers)
        await self.say(seq=number, **body)
        return number

    async def hello(self, *, role: int = SCENE, scene_id: str = "main", **rest: Any) -> session_pb2.Welcome:
        """Say Hello and return Welcome; fails on a Refusal."""
        await self.say_hello(role=role, scene_id=scene_id, **rest)
        first = await self.next()
        assert first is not None, "the stream ended"
        assert first.WhichOneof("body") == "welcome", first
        return first.welcome

    async def say_hello(self, *, role: int = SCENE, scene_id: str = "main", **rest: Any) -> None:
        fields = {"protocol_min": 1, "protocol_max": 1, "role": role, "scene_id": scene_id, "epoch": 1, **rest}
        if role == SCENE:
            fields.setdefault("provides", [MOTION, KPI, STATE])
        await self.say(hello=session_pb2.Hello(**fields))

    async def refused(self) -> session_pb2.Refusal:
        """Return the Refusal with which the stream ends."""
        return (await self.hear("refusal")).refusal

    async def next(self, *, timeout_s: float = 3.0) -> bridge_pb2.ConnectResponse | None:
        async with asyncio.timeout(timeout_s):
            raw = await self.read()
        if raw is None:
            return None
        self.heard.append(bridge_pb2.ConnectResponse.FromString(raw))
        return self.heard[-1]

    async def hear(self, kind: str, *, timeout_s: float = 3.0) -> bridge_pb2.ConnectResponse:
        """Return the next message of a kind."""
        async with asyncio.timeout(timeout_s):
            while (response := await self.next()) is not None:
                if response.WhichOneof("body") == kind:
                    return response
        raise AssertionError(f"the stream ended without `{kind}`; heard {[m.WhichOneof('body') for m in self.heard]}")

    async def acknowledged(self, seq: int) -> None:
        """Read until everything up to a number of ours is acknowledged."""
        while not any(response.ack >= seq for response in self.heard[-1:]):
            assert await self.next() is not None, f"the stream ended before `{seq}` was acknowledged"

    async def end(self) -> str:
        """Read to the end and return how it ended."""
        while await self.next() is not None:
            pass
        return await self.how_ended()

    async def greeted(self) -> int:
        """Read inventory and configuration; returns the highest number."""
        return (await self.hear("desired_configuration")).seq


@asynccontextmanager
async def grpc_peer(url: str, *, metadata: tuple[tuple[str, str], ...] = ()) -> AsyncIterator[Peer]:
    options = [
        ("grpc.max_send_message_length", ROOMY),
        ("grpc.max_receive_message_length", ROOMY),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    async with grpc.aio.insecure_channel(url, options=options) as channel:
        stream = channel.stream_stream(CONNECT_METHOD)(metadata=metadata)

        async def write(raw: bytes) -> None:
            with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
                await stream.write(raw)

        arrived: asyncio.Queue[bytes | None] = asyncio.Queue()

        async def listen() -> None:  # at once: grpc.aio drops what is unread when the status arrives
            try:
                while isinstance(raw := await stream.read(), bytes):
                    arrived.put_nowait(raw)
            except (grpc.aio.AioRpcError, asyncio.CancelledError):
                pass
            arrived.put_nowait(None)

        listening = asyncio.create_task(listen())

        async def read() -> bytes | None:
            return await arrived.get()

        async def cut() -> None:
            stream.cancel()

        async def how_ended() -> str:
            return (await stream.code()).name

        try:
            yield Peer(write, read, stream.done_writing, cut, how_ended)
        finally:
            stream.cancel()
            await listening


@asynccontextmanager
async def websocket_peer(url: str, *, headers: dict[str, str] | None = None) -> AsyncIterator[Peer]:
    async with websockets.asyncio.client.connect(
        url, max_size=ROOMY, ping_interval=None, compression=None, additional_headers=headers, close_timeout=0.5
    ) as socket:

        async def write(raw: bytes) -> None:
            with contextlib.suppress(websockets.exceptions.ConnectionClosed):
                await socket.send(raw)

        async def read() -> bytes | None:
            try:
                raw = await socket.recv()
            except websockets.exceptions.ConnectionClosed:
                return None
            assert isinstance(raw, bytes)
            return raw

        async def cut() -> None:
            socket.transport.abort()

        async def how_ended() -> str:
            return str(socket.close_code)

        yield Peer(write, read, socket.close, cut, how_ended)
