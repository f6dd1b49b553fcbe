"""How much the bridge adds to a bare gRPC stream: ``python tests/bench/bridge.py [--quick] [--json FILE]``.

The twin's side is this process; scenes, observers and the bare baselines are processes of their own. Every baseline
moves the very same bytes and takes turns with the bridge, so that both see the same neighbours on the machine.

- ``telemetry_*``: client send to batch readable in the RAM ring, as fast as the sender can, drops not counted.
  Baseline: a bare grpcio bidirectional echo, each message counted when it is back. ``*_cpu`` is what both processes
  spend on one message, which a loaded machine changes less.
- ``websocket_*``: the same through the WebSocket gateway; the baseline stays the gRPC echo.
- ``live_*``: the delay of one message at the live rate. Baseline: half of the echo's round trip.
- ``fanout_*``: one scene at 10 Hz and many observers. Baseline: a bare relay that hands the same bytes to as many.
- ``command_*``: a command until its final answer. Baseline: a bare unary echo of the same bytes, other way round.
  ``command_recorded_*``: the same with the twin's journal and the scene's ledger, all on the disk of ``TMPDIR``; the
  baseline is the command without them.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import grpc.aio
import numpy as np
import structlog
import uvicorn
from _figures import LIVE_HZ, bytes_of, figures_for, topology_for
from _report import Rows, arguments, percentile

from bridge import codec, mapping
from bridge.gateway import WebSocketGateway
from bridge.server import BridgeServer
from bridge.stream import CHANNEL_OPTIONS, BridgeSettings
from bridge.testing import MemorySink
from bridge.v1 import bridge_pb2
from twin.clock import CivilTime
from twin.commands import Command, SetAttribute, SetAttributes
from twin.entities import Kind
from twin.ids import uuid7
from twin.ports import SceneStart
from twin_app.command_record import CommandRecord, RecordedLink
from twin_app.journal import SqliteJournal
from twin_app.store.embedded import RING_S, UE_RING_S, EmbeddedTelemetryStore

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Awaitable, Callable

    from twin.telemetry import PmReport, TelemetryBatch

CIVIL = CivilTime(epoch=datetime(2026, 11, 7, tzinfo=UTC), timezone="Europe/Berlin")
OPEN = BridgeSettings(message_rate_hz=1e9, message_burst=1_000_000_000)
"""The bench sends faster than a scene may: the limit on messages is lifted, nothing else."""

# --- the twin's side -----------------------------------------------------------------------------------------------


class RingSink(MemorySink):
    """Puts figures into the store's RAM ring and notes when they can be read there."""

    def __init__(self, start: SceneStart, store: EmbeddedTelemetryStore) -> None:
        super().__init__(start)
        self._store = store
        self.last = 0
        self.readable: dict[int, float] = {}

    def telemetry(self, batch: TelemetryBatch) -> None:
        self._store.put_telemetry(batch)
        self.readable[batch.seq] = time.monotonic()
        if batch.seq % 64 == 0:  # it is really there; looking each time would be measured, too
            assert self._store.positions()[0] == batch.sim_time_s

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        self._store.put_pm(report)
        self.readable[report.seq] = time.monotonic()
        if report.seq % 64 == 0:
            assert self._store.latest(Kind.CELL, report.counters[0])[0] == report.period_end_sim_time_s
        done()


class Serving(NamedTuple):
    """A bridge that listens, and what it puts figures into."""

    server: BridgeServer
    sink: RingSink
    store: EmbeddedTelemetryStore
    url: str
    websocket_url: str
    entities: int

    def go_round(self) -> None:
        """Fill the rings once, as they are after ten minutes or an hour: the first touch of memory is slow."""
        batch, report = figures_for(topology_for(self.entities))
        for number in range(1, RING_S + 1):
            self.store.put_pm(replace(report, period_end_sim_time_s=float(number)))
        for number in range(1, UE_RING_S + 1):
            self.store.put_telemetry(replace(batch, sim_time_s=float(number)))
        self.sink.last = LIVE_HZ * RING_S


@asynccontextmanager
async def serving(folder: Path, entities: int) -> AsyncIterator[Serving]:
    topology = topology_for(entities)
    start = SceneStart(topology=topology, civil=CIVIL, resume_at_sim_s=None, past_s=0, speed=1.0, desired=())
    with tempfile.TemporaryDirectory(dir=folder) as place:
        store = EmbeddedTelemetryStore(Path(place) / "history.duckdb", scene_id="bench", topology=lambda: topology)
        await store.open()
        sink = RingSink(start, store)
        server = BridgeServer(sink=sink, port=0, settings=OPEN)
        port = await server.start()
        try:
            async with over_websocket(server) as websocket_url:
                yield Serving(server, sink, store, f"127.0.0.1:{port}", websocket_url, entities)
        finally:
            await server.stop()
            await store.close()


@asynccontextmanager
async def over_websocket(server: BridgeServer) -> AsyncIterator[str]:
    """Serve the same bridge over WebSocket, as the REST port does."""
    listener = socket.create_server(("127.0.0.1", 0))
    web = uvicorn.Server(
        uvicorn.Config(WebSocketGateway(server), log_config=None, lifespan="off", ws="websockets-sansio")
    )
    serving_web = asyncio.create_task(web.serve(sockets=[listener]))
    try:
        while not web.started:
            await asyncio.sleep(0.01)
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/bridge"
    finally:
        web.should_exit = True
        await serving_web


@asynccontextmanager
async def bare() -> AsyncIterator[str]:
    """Serve the baselines: an echo, and a relay from one stream to many."""
    watchers: set[asyncio.Queue[bytes]] = set()

    async def echo(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        async for raw in requests:
            await context.write(raw)

    async def feed(requests: AsyncIterator[bytes], _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        async for raw in requests:
            for queue in watchers:
                queue.put_nowait(raw)
        return b""

    async def relay(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        watchers.add(queue)
        try:
            while True:
                await context.write(await queue.get())
        finally:
            watchers.discard(queue)

    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    handlers = {
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
        "Feed": grpc.stream_unary_rpc_method_handler(feed),
        "Relay": grpc.unary_stream_rpc_method_handler(relay),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Raw", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


class Peer:
    """Another process; serves one order after the other, because starting it costs more than sending."""

    async def __aenter__(self) -> Self:
        script = str(Path(__file__).with_name("_bridge_peer.py"))
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, script, stdin=pipe, stdout=pipe, limit=64 * 1024 * 1024
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    def order(self, what: str, **arguments: object) -> None:
        """Give an order; :meth:`answer` waits for what it says."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([what, arguments]).encode() + b"\n")

    async def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            sys.exit("a peer died; its error stands above")
        return json.loads(line)

    async def do(self, what: str, **arguments: object) -> dict[str, Any]:
        self.order(what, **arguments)
        return await self.answer()


def moments(said: dict[str, float]) -> dict[int, float]:
    return {int(number): at for number, at in said.items()}


# --- from a scene into memory --------------------------------------------------------------------------------------


class Run(NamedTuple):
    """One turn of sending.

    Attributes:
        sent: Moment of each send, by number.
        arrived: Moment at which it was readable, or back.
        cpu_s: What both processes spent.
    """

    sent: dict[int, float]
    arrived: dict[int, float]
    cpu_s: float

    @property
    def rate_hz(self) -> float:
        """Messages that arrived a second, from the first send to the last arrival."""
        return len(self.arrived) / (max(self.arrived.values()) - min(self.sent.values()))

    @property
    def delays_ms(self) -> list[float]:
        return [1000 * (at - self.sent[number]) for number, at in self.arrived.items() if number in self.sent]

    @property
    def cpu_us(self) -> float:
        """CPU microseconds of a message that arrived."""
        return 1e6 * self.cpu_s / len(self.arrived)


async def through_bridge(peer: Peer, bridge: Serving, *, websocket: bool = False, **sending: Any) -> Run:
    bridge.sink.readable = readable = {}
    cpu_s = time.process_time()
    url = bridge.websocket_url if websocket else bridge.url
    said = await peer.do("send", url=url, after=bridge.sink.last, **sending)
    sent = moments(said["sent"])
    bridge.sink.last = max(sent)
    return Run(sent, readable, said["cpu_s"] + time.process_time() - cpu_s)


async def through_echo(peer: Peer, **sending: Any) -> Run:
    async with bare() as url:
        cpu_s = time.process_time()
        said = await peer.do("echo", url=url, **sending)
        return Run(moments(said["sent"]), moments(said["back"]), said["cpu_s"] + time.process_time() - cpu_s)


async def flat_out(
    rows: Rows, peer: Peer, bridge: Serving, *, rounds: int, websocket: bool = False, **sending: Any
) -> None:
    sending |= {"entities": bridge.entities, "hz": 0}
    ours: list[Run] = []
    plain: list[Run] = []
    for _ in range(rounds):
        plain.append(await through_echo(peer, **sending))
        ours.append(await through_bridge(peer, bridge, websocket=websocket, **sending))
    entities = bridge.entities
    name = "pm" if sending["kind"] == "pm" else f"telemetry_{'int16' if sending['quantised'] else 'float'}"
    name = f"websocket_{name}" if websocket else name
    count = sum(len(run.arrived) for run in ours)
    rows.add(
        f"{name}_{entities}",
        [entities * run.rate_hz for run in ours],
        "entities/s",
        baseline=[entities * run.rate_hz for run in plain],
        more_is_better=True,
        n=count,
    )
    rows.add(f"{name}_{entities}_cpu", [r.cpu_us for r in ours], "us", baseline=[r.cpu_us for r in plain], n=count)


async def live(rows: Rows, peer: Peer, bridge: Serving, *, kind: str, hz: float, lasts_s: float) -> None:
    sending = {"entities": bridge.entities, "kind": kind, "hz": hz, "lasts_s": lasts_s, "quantised": False}
    plain = await through_echo(peer, **sending)
    ours = await through_bridge(peer, bridge, **sending)
    name = f"live_{'pm' if kind == 'pm' else 'telemetry'}_{hz:g}_hz_{bridge.entities}"
    rows.add(name, ours.delays_ms, "ms", baseline=[delay / 2 for delay in plain.delays_ms])
    if len(ours.arrived) < len(ours.sent):
        rows.put(f"{name}_dropped", len(ours.sent) - len(ours.arrived), "messages", n=len(ours.sent))


# --- bytes and arrays ----------------------------------------------------------------------------------------------


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def encode_and_decode(rows: Rows, entities: int, *, rounds: int) -> None:
    """Bytes to numpy and back; baseline: the published class, filled and read as `repeated float`."""
    batch, _ = figures_for(topology_for(entities))
    positions = batch.position_m
    assert positions is not None

    def write_by_number() -> None:
        request = bridge_pb2.ConnectRequest()
        request.telemetry.entity_index.extend(batch.entity_index.tolist())
        request.telemetry.position_m.extend(positions.ravel().tolist())
        request.telemetry.values.extend(batch.values.ravel().tolist())
        request.SerializeToString()

    def read_by_number(raw: bytes) -> None:
        message = bridge_pb2.ConnectRequest.FromString(raw).telemetry
        np.array(message.position_m, np.float32)
        np.array(message.values, np.float32)
        np.array(message.entity_index, np.uint32)

    raws = {quantised: bytes_of(batch, quantised=quantised) for quantised in (False, True)}
    slow_write = [entities / seconds(write_by_number) for _ in range(max(rounds // 10, 3))]
    slow_read = [entities / seconds(lambda: read_by_number(raws[False])) for _ in range(max(rounds // 10, 3))]
    for quantised, raw in raws.items():
        name = "int16" if quantised else "float"
        ours = [entities / seconds(lambda q=quantised: bytes_of(batch, quantised=q)) for _ in range(rounds)]
        rows.add(f"encode_{name}_{entities}", ours, "entities/s", baseline=slow_write, more_is_better=True)
        ours = [
            entities / seconds(lambda r=raw: mapping.read_telemetry(codec.decode_request(r).telemetry))
            for _ in range(rounds)
        ]
        rows.add(f"decode_{name}_{entities}", ours, "entities/s", baseline=slow_read, more_is_better=True)
    sizes = [len(raws[quantised]) for quantised in (True, False)]
    rows.add(f"int16_bytes_{entities}", sizes[:1], "bytes", baseline=sizes[1:])


# --- observers -----------------------------------------------------------------------------------------------------


class Watched(NamedTuple):
    """What observers saw of a scene.

    Attributes:
        ages_ms: One list per observer: from the scene's send to the batch decoded at the observer.
        shares: Delivered messages of those that were sent while they watched, one per observer.
        cpu_shares: CPU seconds per second of this process, each half second.
        encoded: Buffers of figures that the twin made.
    """

    ages_ms: list[list[float]]
    shares: list[float]
    dropped: list[int]
    cpu_shares: list[float]
    encoded: int


async def observed(
    folder: Path, scene: Peer, crowd: Peer, *, way: str, observers: int, lasts_s: float, **rest: Any
) -> Watched:
    """Let a scene send 5,000 entities at the live rate while a crowd watches."""
    entities = 5_000
    enough = folder / "enough"
    enough.unlink(missing_ok=True)
    sending: dict[str, Any] = {"entities": entities, "hz": LIVE_HZ, "lasts_s": 120.0, "until": str(enough)}
    async with bare() as plain_url, serving(folder, entities) as bridge:
        server, url = bridge.server, bridge.url
        if way == "bridge":
            scene.order("send", url=url, kind="motion", **sending)
            while not server.health().scenes:
                await asyncio.sleep(0.02)
        crowd.order(
            "watch", url=url if way == "bridge" else plain_url, way=way, observers=observers, lasts_s=lasts_s, **rest
        )
        await crowd.answer()
        if way != "bridge":
            scene.order("relay", url=plain_url, **sending)
            await asyncio.sleep(0.2)
        begin_s, encoded_before = time.monotonic(), server.fanout.encoded
        cpu_shares: list[float] = []
        answer = asyncio.create_task(crowd.answer())
        while not answer.done():
            at_s, cpu_s = time.monotonic(), time.process_time()
            await asyncio.wait({answer}, timeout=0.5)
            if not answer.done():
                cpu_shares.append((time.process_time() - cpu_s) / (time.monotonic() - at_s))
        seen = answer.result()
        end_s = time.monotonic()
        enough.touch()
        encoded = server.fanout.encoded - encoded_before
        sent = moments((await scene.answer())["sent"])
    arrived = [moments(one) for one in seen["arrived"]]
    # What was sent in the last half second may not have arrived when the observers left.
    counted = {number for number, at in sent.items() if begin_s <= at <= end_s - 0.5}
    ages_ms = [[1000 * (at - sent[number]) for number, at in one.items() if number in counted] for one in arrived]
    shares = [len(one) / len(counted) for one in ages_ms[:observers]]
    return Watched(ages_ms, shares, seen["dropped"], cpu_shares, encoded)


async def fanout(rows: Rows, folder: Path, scene: Peer, crowd: Peer, *, lasts_s: float, encodings: list[bool]) -> None:
    observers = 40
    plain = await observed(folder, scene, crowd, way="relay", observers=observers, lasts_s=lasts_s)
    others = [age for one in plain.ages_ms for age in one]
    for quantised in encodings:
        ours = await observed(
            folder, scene, crowd, way="bridge", observers=observers, lasts_s=lasts_s, quantised=quantised
        )
        name = f"fanout_{observers}_{'int16' if quantised else 'float'}"
        ages = [age for one in ours.ages_ms for age in one]
        rows.add(f"{name}_delivered", ours.shares, "share", baseline=plain.shares, more_is_better=True, n=len(ages))
        rows.add(f"{name}_age_p50", ages, "ms", baseline=others)
        rows.put(
            f"{name}_age_p99",
            percentile(ages, 0.99),
            "ms",
            baseline=percentile(others, 0.99),
            ratio=percentile(others, 0.99) / percentile(ages, 0.99),
            spread=max(ages) - percentile(ages, 0.99),
            n=len(ages),
        )
        rows.put(f"{name}_dropped", sum(ours.dropped), "messages", spread=max(ours.dropped), n=len(ages))
        rows.add(f"{name}_cpu", ours.cpu_shares, "cores", baseline=plain.cpu_shares)
        rows.put(f"{name}_encoded", ours.encoded, "buffers", baseline=len(ages), spread=0, n=len(ages))


async def slow_observer(rows: Rows, folder: Path, scene: Peer, crowd: Peer, *, lasts_s: float) -> None:
    """One observer that reads once a second beside ten; baseline: the ten alone."""
    alone = await observed(folder, scene, crowd, way="bridge", observers=10, lasts_s=lasts_s)
    beside = await observed(folder, scene, crowd, way="bridge", observers=10, lasts_s=lasts_s, slow_hz=1.0)
    ages, others = ([age for one in run.ages_ms[:10] for age in one] for run in (beside, alone))
    rows.add("ten_beside_a_slow_one_age", ages, "ms", baseline=others)
    rows.add("slow_observer_age", beside.ages_ms[10], "ms", baseline=ages)
    rows.put("slow_observer_dropped", beside.dropped[10], "messages", spread=0, n=len(beside.ages_ms[10]))


def resident_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def never_read(rows: Rows, folder: Path, scene: Peer, crowd: Peer, *, lasts_s: float) -> None:
    """How much this process grows while an observer never reads; baseline: the bytes that it did not take.

    Grown is the median of the second half over that of the first; the spread is between the least and the most.
    """
    entities = 10_000
    async with serving(folder, entities) as bridge:
        server, sink, url = bridge.server, bridge.sink, bridge.url
        bridge.go_round()

        def lost() -> int:
            return sum(one.telemetry_dropped for one in server.health().sessions if one.engine == "never-reads")

        enough = folder / "enough"
        enough.unlink(missing_ok=True)
        ending = {"lasts_s": 120.0, "until": str(enough)}
        scene.order("send", url=url, entities=entities, kind="motion", hz=5 * LIVE_HZ, after=sink.last, **ending)
        while not sink.readable:
            await asyncio.sleep(0.02)
        crowd.order("never_read", url=url, **ending)
        while lost() < LIVE_HZ:  # until the buffers of the transport are full
            await asyncio.sleep(0.05)
        before, lost_before = len(sink.readable), lost()
        taken_mb: list[float] = []
        for _ in range(40):
            await asyncio.sleep(lasts_s / 40)
            taken_mb.append(resident_mb())
        missed, dropped = len(sink.readable) - before, lost() - lost_before
        enough.touch()
        await crowd.answer()
        await scene.answer()
    batch, _ = figures_for(topology_for(entities))
    refused_mb = missed * len(bytes_of(batch)) / 2**20
    grown_mb = statistics.median(taken_mb[20:]) - statistics.median(taken_mb[:20])
    spread_mb = max(taken_mb) - min(taken_mb)
    rows.put("never_reading_observer_memory", grown_mb, "MiB", baseline=refused_mb, spread=spread_mb, n=missed)
    rows.put("never_reading_observer_dropped", dropped, "messages", baseline=missed, spread=0, n=missed)


# --- commands ------------------------------------------------------------------------------------------------------


async def commands(rows: Rows, folder: Path, scene: Peer, recorder: Peer, *, count: int) -> None:
    """A change of one tilt until the scene has applied it, one after the other; baseline: a unary echo.

    The `recorded` rows are the order as the product sends it: in the journal before it leaves and before its answer
    is told, in the scene's ledger before it answers. Their baseline is the order without these. All three take turns.
    """
    order = SetAttributes(actions=(SetAttribute(entity_id="cell-0-1", attribute="digitalTilt", value=70.0),))
    plain: list[float] = []
    ours: list[float] = []
    recorded: list[float] = []
    enough = folder / "enough"
    enough.unlink(missing_ok=True)
    obeying: dict[str, Any] = {"lasts_s": 300.0, "until": str(enough)}
    journal = SqliteJournal(folder / "journal.sqlite")
    await journal.open()
    record = CommandRecord(journal, scene_id="bench")
    async with serving(folder, 100) as bridge, serving(folder, 100) as recording:
        scene.order("obey", url=bridge.url, **obeying)
        port = (await scene.answer())["port"]
        recorder.order("obey", url=recording.url, ledger=str(folder / "ledger"), **obeying)
        await recorder.answer()
        for one in (bridge, recording):
            await one.sink.until(lambda sink=one.sink: "bench" in sink.live_at_s)
        link = RecordedLink(lambda: recording.server.link, {"bench": record})
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
            echo = channel.unary_unary("/bench.Raw/Unary")
            request = codec.ConnectResponse()
            for _ in range(count):
                command = Command(id=uuid7(), body=order, issued_by="bench")
                mapping.write_command(request.command, command)
                raw = request.SerializeToString()
                request.Clear()
                plain.append(await milliseconds(echo(raw)))
                ours.append(await milliseconds(bridge.server.link.send(command, timeout_s=10.0, scene_id="bench")))
                recorded.append(await milliseconds(link.send(command, timeout_s=10.0, scene_id="bench")))
        enough.touch()
        await scene.answer()
        await recorder.answer()
    await journal.close()
    for name, values, baseline in (("command", ours, plain), ("command_recorded", recorded, ours)):
        rows.add(f"{name}_p50", values, "ms", baseline=baseline)
        for percent in (95, 99):
            value, other = percentile(values, percent / 100), percentile(baseline, percent / 100)
            spread = max(values) - value
            rows.put(f"{name}_p{percent}", value, "ms", baseline=other, ratio=other / value, spread=spread, n=count)


async def milliseconds(work: Awaitable[object]) -> float:
    begin = time.perf_counter()
    await work
    return 1000 * (time.perf_counter() - begin)


async def measure(options: argparse.Namespace) -> None:
    rows = Rows(packages=("numpy", "grpcio", "protobuf", "uvicorn", "websockets"))
    quick = options.quick
    flat_s, rounds, live_s, watch_s = (0.25, 2, 1.0, 1.5) if quick else (1.5, 5, 8.0, 12.0)
    for entities in (1_000, 10_000):
        encode_and_decode(rows, entities, rounds=50 if quick else 500)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with Peer() as scene, Peer() as crowd:
            for entities in (100, 1_000, 10_000):
                async with serving(folder, entities) as bridge:
                    bridge.go_round()
                    sending: dict[str, Any] = {"lasts_s": flat_s, "rounds": rounds}
                    await flat_out(rows, scene, bridge, kind="motion", quantised=False, **sending)
                    if not quick or entities == 10_000:
                        await flat_out(rows, scene, bridge, kind="motion", quantised=True, **sending)
                        await flat_out(rows, scene, bridge, kind="motion", quantised=False, websocket=True, **sending)
                        await flat_out(rows, scene, bridge, kind="pm", quantised=False, **sending)
                    if not quick or entities == 1_000:
                        await live(rows, scene, bridge, kind="motion", hz=LIVE_HZ, lasts_s=live_s)
                        await live(rows, scene, bridge, kind="pm", hz=LIVE_HZ, lasts_s=live_s)
            encodings = [False] if quick else [False, True]
            await fanout(rows, folder, scene, crowd, lasts_s=watch_s, encodings=encodings)
            await slow_observer(rows, folder, scene, crowd, lasts_s=2 * watch_s)
            await never_read(rows, folder, scene, crowd, lasts_s=2 * watch_s)
            await commands(rows, folder, scene, crowd, count=100 if quick else 2_000)
    rows.write(options.json)


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    sys.setswitchinterval(0.0005)  # as the product does: a worker that is done must not wait for the interpreter
    asyncio.run(measure(arguments(__doc__ or "").parse_args()))


if __name__ == "__main__":
    main()
