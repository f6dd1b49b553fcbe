"""The other side of the bench `bridge`, a process of its own: a scene, observers, or their bare grpcio baselines.

Run by ``bridge.py``: reads orders ``[what, {arguments}]`` as lines of JSON and answers each with one line of JSON.
Moments are those of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import grpc.aio
import structlog
from _figures import bytes_of, figures_for, numbered, topology_for

from bridge import codec, mapping
from bridge.client import SceneClient
from bridge.ledger import FileLedger
from bridge.stream import CHANNEL_OPTIONS, CONNECT_METHOD
from bridge.v1 import figures_pb2, session_pb2
from twin.commands import Command, CommandResult, CommandStage, SetAttributes
from twin.telemetry import TelemetryBatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ECHO_METHOD = "/bench.Raw/Echo"
RELAY_METHOD = "/bench.Raw/Relay"
STARTS_S = 60.0
"""How long observers may take to come in."""


async def pace(hz: float, lasts_s: float, until: str = "") -> AsyncIterator[int]:
    """Yield 1, 2, ... at a rate (0 = as fast as the reader asks) for a while, or until a file is there."""
    begin_s, number = time.monotonic(), 0
    while (now_s := time.monotonic()) < begin_s + lasts_s and not (until and os.path.exists(until)):  # noqa: PTH110 - a microsecond
        if hz:
            due_s = begin_s + number / hz
            if due_s > now_s:
                await asyncio.sleep(due_s - now_s)
        number += 1
        yield number


# --- a scene -------------------------------------------------------------------------------------------------------


async def send_by_bridge(
    url: str,
    *,
    entities: int,
    kind: str,
    hz: float,
    lasts_s: float,
    quantised: bool = False,
    until: str = "",
    after: int = 0,
) -> dict[str, Any]:
    """Send through the product's client, numbered on from `after`; returns the moments and the CPU seconds spent."""
    sent: dict[int, float] = {}
    batch, report = figures_for(topology_for(entities))
    async with SceneClient(url, "bench", provides=("MOTION", "KPI"), connect_timeout_s=10) as client:
        await client.send_live(0.0)
        cpu_s = time.process_time()
        async for count in pace(hz, lasts_s, until):
            number = after + count
            figures = numbered(batch, report, number, kind)
            sent[number] = time.monotonic()
            if isinstance(figures, TelemetryBatch):
                client.send_telemetry(figures, quantised=quantised)
                if not hz:
                    await client.telemetry_sent()
            else:
                await client.send_pm(figures)
        await client.telemetry_sent()
        await client.stored()
        return {"sent": sent, "cpu_s": time.process_time() - cpu_s}


async def send_to_echo(
    url: str, *, entities: int, kind: str, hz: float, lasts_s: float, quantised: bool = False
) -> dict[str, Any]:
    """Send the same bytes, encoded beforehand, over a bare stream that sends each message back."""
    sent: dict[int, float] = {}
    back: dict[int, float] = {}
    batch, report = figures_for(topology_for(entities))
    ready = bytes_of(numbered(batch, report, 1, kind), quantised=quantised)
    async with grpc.aio.insecure_channel(url, options=CHANNEL_OPTIONS) as channel:
        stream = channel.stream_stream(ECHO_METHOD)()
        cpu_s = time.process_time()

        async def read() -> None:
            number = 0
            async for _ in stream:
                number += 1
                back[number] = time.monotonic()

        reader = asyncio.create_task(read())
        async for number in pace(hz, lasts_s):
            sent[number] = time.monotonic()
            await stream.write(ready)
        await stream.done_writing()
        await reader
        return {"sent": sent, "back": back, "cpu_s": time.process_time() - cpu_s}


async def obey(url: str, *, lasts_s: float, until: str, ledger: str = "") -> dict[str, Any]:
    """Be a scene that applies every command, and serve a bare unary echo beside it, until a file appears.

    Args:
        ledger: File in which the scene records every order before it is answered; "" = it does not.
    """

    def apply(command: Command) -> CommandResult:
        assert isinstance(command.body, SetAttributes)
        return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, observed=command.body.actions)

    async def echo(request: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return request

    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Raw", {"Unary": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    end_s = time.monotonic() + lasts_s
    recording = FileLedger(Path(ledger)) if ledger else None
    try:
        with recording or nullcontext():
            async with SceneClient(
                url, "bench", provides=("MOTION", "KPI"), on_command=apply, ledger=recording, connect_timeout_s=10
            ) as client:
                await client.send_live(0.0)
                await client.stored()
                print(json.dumps({"port": port}), flush=True)
                while time.monotonic() < end_s and not Path(until).exists():
                    await asyncio.sleep(0.1)
    finally:
        await server.stop(None)
    return {}


async def send_to_relay(url: str, *, entities: int, hz: float, lasts_s: float, until: str) -> dict[str, Any]:
    """Send the same bytes over a bare stream that hands each message on to those who watch."""
    sent: dict[int, float] = {}
    batch, report = figures_for(topology_for(entities))
    async with grpc.aio.insecure_channel(url, options=CHANNEL_OPTIONS) as channel:
        stream = channel.stream_unary("/bench.Raw/Feed")()
        async for number in pace(hz, lasts_s, until):
            ready = bytes_of(numbered(batch, report, number, "motion"), response=True)
            sent[number] = time.monotonic()
            await stream.write(ready)
        await stream.done_writing()
        await stream
    return {"sent": sent}


# --- observers -----------------------------------------------------------------------------------------------------


class Watching:
    """One observer, as bare as can be: it notes when each batch arrived."""

    def __init__(self, *, reads_hz: float = 0.0, quantised: bool = False) -> None:
        self.arrived: dict[int, float] = {}
        self.dropped = 0
        self.ready = asyncio.Event()
        self._pause_s = 1 / reads_hz if reads_hz else 0.0
        self._quantised = quantised

    async def over_bridge(self, channel: grpc.aio.Channel) -> None:
        stream = channel.stream_stream(CONNECT_METHOD)()
        hello = codec.ConnectRequest()
        hello.hello.protocol_min = hello.hello.protocol_max = 1
        hello.hello.role, hello.hello.scene_id = session_pb2.ROLE_OBSERVER, "bench"
        await stream.write(hello.SerializeToString())
        wish = codec.ConnectRequest()
        wish.subscribe.channels.append(session_pb2.CHANNEL_TELEMETRY)
        if self._quantised:
            wish.subscribe.encoding = figures_pb2.ENCODING_QUANTISED_INT16
        await stream.write(wish.SerializeToString())
        await self._credit(stream, 1 if self._pause_s else 2)  # who reads slowly asks for one at a time
        async for raw in stream:
            response = codec.decode_response(raw)
            body = response.WhichOneof("body")
            if body == "telemetry":
                batch = mapping.read_telemetry(response.telemetry)
                self.arrived[batch.seq] = time.monotonic()
                self.ready.set()
                if self._pause_s:
                    await asyncio.sleep(self._pause_s)
                await self._credit(stream, 1)
            elif body == "flow_report":
                self.dropped = response.flow_report.dropped
            elif response.seq:
                ack = codec.ConnectRequest(ack=response.seq)
                await stream.write(ack.SerializeToString())
            elif body == "heartbeat":
                reply = codec.ConnectRequest()
                reply.heartbeat_reply.number = response.heartbeat.number
                reply.heartbeat_reply.sent_unix_ns = response.heartbeat.sent_unix_ns
                await stream.write(reply.SerializeToString())

    @staticmethod
    async def _credit(stream: grpc.aio.StreamStreamCall[bytes, bytes], messages: int) -> None:
        request = codec.ConnectRequest()
        request.credit.channel, request.credit.messages = session_pb2.CHANNEL_TELEMETRY, messages
        await stream.write(request.SerializeToString())

    async def over_relay(self, channel: grpc.aio.Channel) -> None:
        await channel.channel_ready()
        self.ready.set()
        async for raw in channel.unary_stream(RELAY_METHOD)(b""):
            batch = mapping.read_telemetry(codec.decode_response(raw).telemetry)
            self.arrived[batch.seq] = time.monotonic()


async def watch(
    url: str, *, way: str, observers: int, lasts_s: float, slow_hz: float = 0.0, quantised: bool = False
) -> dict[str, Any]:
    """Watch with several observers for a while; with `slow_hz` one more of them reads only that often."""
    watching = [Watching(quantised=quantised) for _ in range(observers)]
    if slow_hz:
        watching.append(Watching(reads_hz=slow_hz, quantised=quantised))
    options = [*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(url, options=options) for _ in watching]
    works = [
        one.over_bridge(channel) if way == "bridge" else one.over_relay(channel)
        for one, channel in zip(watching, channels, strict=True)
    ]
    tasks = [asyncio.create_task(work) for work in works]
    async with asyncio.timeout(STARTS_S):
        await asyncio.gather(*(one.ready.wait() for one in watching))
    print(json.dumps({"ready": True}), flush=True)
    cpu_s = time.process_time()
    await asyncio.wait(tasks, timeout=lasts_s)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for channel in channels:
        await channel.close()
    return {
        "arrived": [one.arrived for one in watching],
        "dropped": [one.dropped for one in watching],
        "cpu_s": time.process_time() - cpu_s,
    }


async def never_read(url: str, *, lasts_s: float, until: str) -> dict[str, Any]:
    """Subscribe, grant credit without end, and never read."""
    async with grpc.aio.insecure_channel(url, options=CHANNEL_OPTIONS) as channel:
        stream = channel.stream_stream(CONNECT_METHOD)()
        hello = codec.ConnectRequest()
        hello.hello.protocol_min = hello.hello.protocol_max = 1
        hello.hello.role, hello.hello.scene_id = session_pb2.ROLE_OBSERVER, "bench"
        hello.hello.engine = "never-reads"
        await stream.write(hello.SerializeToString())
        wish = codec.ConnectRequest()
        wish.subscribe.channels.extend((session_pb2.CHANNEL_TELEMETRY, session_pb2.CHANNEL_PM))
        await stream.write(wish.SerializeToString())
        async for number in pace(2.0, lasts_s, until):
            request = codec.ConnectRequest()
            request.heartbeat.number = number
            await stream.write(request.SerializeToString())
            await Watching._credit(stream, 1000)
        stream.cancel()
    return {}


WAYS = {
    "send": send_by_bridge,
    "echo": send_to_echo,
    "obey": obey,
    "relay": send_to_relay,
    "watch": watch,
    "never_read": never_read,
}


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    for line in sys.stdin:
        what, arguments = json.loads(line)
        print(json.dumps(asyncio.run(WAYS[what](**arguments))), flush=True)


if __name__ == "__main__":
    main()
