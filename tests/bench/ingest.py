"""How fast figures get from a scene into memory: ``python tests/bench/ingest.py [--quick] [--json FILE]``.

Sender and receiver are two processes on one machine. Measured is client send to batch readable in the RAM ring:
encoding, the bridge (session, credits, acknowledgement), mapping, ring. Dropped batches do not count. The baseline in
the same run is a one-way gRPC stream of the very same bytes, encoded beforehand and thrown away on arrival. N entities
are N UEs (positions and 4 KPIs in Telemetry) and N / 10 cells (15 counters in PmReport). DuckDB commit, detector and
graph refresh work behind the ring, on threads or processes of their own; they have rows of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import grpc.aio
import numpy as np
import structlog
from _ingest_sender import MOTION_HZ, bytes_of, figures_for, numbered, topology_for
from _report import Rows, arguments

from bridge import codec, mapping
from bridge.server import BridgeServer
from bridge.stream import CHANNEL_OPTIONS
from bridge.testing import MemorySink
from knowledge_graph.embedded import EmbeddedGraph
from knowledge_graph.projection import GraphPicture
from twin.analytics.detector import Detector
from twin.clock import CivilTime
from twin.entities import Kind
from twin.ingest import JUDGE_S, Watcher, WatchList
from twin.kpi import kpis_of
from twin.ports import SceneStart
from twin.telemetry import PmReport, TelemetryBatch
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.store.embedded import EmbeddedTelemetryStore

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Callable

PM_HZ = 1
CIVIL = CivilTime(epoch=datetime(2026, 11, 7, tzinfo=UTC), timezone="Europe/Berlin")

# --- the receiver's process ----------------------------------------------------------------------------------------


class RingSink(MemorySink):
    """Puts figures into the store's RAM ring and notes when they can be read there."""

    def __init__(self, start: SceneStart, store: EmbeddedTelemetryStore) -> None:
        super().__init__(start)
        self._store = store
        self.readable: dict[int, float] = {}

    def telemetry(self, batch: TelemetryBatch) -> None:
        self._store.put_telemetry(batch)
        if self._store.positions()[0] >= batch.sim_time_s:
            self.readable[batch.seq] = time.monotonic()

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        self._store.put_pm(report)
        if self._store.latest(Kind.CELL, report.counters[0])[0] >= report.period_end_sim_time_s:
            self.readable[report.seq] = time.monotonic()
        done()


class Sender:
    """The other process; serves one order after the other, because starting it costs more than sending."""

    async def __aenter__(self) -> Self:
        script = str(Path(__file__).with_name("_ingest_sender.py"))
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, script, stdin=pipe, stdout=pipe, limit=16 * 1024 * 1024
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def send(self, way: str, url: str, entities: int, kind: str, hz: float, lasts_s: float) -> dict[int, float]:
        """Return the moment of each send by number."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([way, url, entities, kind, hz, lasts_s]).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            sys.exit("the sender died; its error stands above")
        return {int(number): at for number, at in json.loads(line).items()}


Run = tuple[dict[int, float], dict[int, float]]


async def through_bridge(sender: Sender, folder: Path, entities: int, kind: str, hz: float, lasts_s: float) -> Run:
    """Return (sent, readable) moments by number."""
    topology = topology_for(entities)
    start = SceneStart(topology=topology, civil=CIVIL, resume_at_sim_s=None, past_s=0, speed=1.0, desired=())
    with tempfile.TemporaryDirectory(dir=folder) as place:
        store = EmbeddedTelemetryStore(Path(place) / "history.duckdb", scene_id="bench", topology=lambda: topology)
        await store.open()
        sink = RingSink(start, store)
        server = BridgeServer(sink=sink, port=0)
        port = await server.start()
        try:
            return await sender.send("bridge", f"127.0.0.1:{port}", entities, kind, hz, lasts_s), sink.readable
        finally:
            await server.stop()
            await store.close()


async def through_raw_stream(sender: Sender, entities: int, kind: str, hz: float, lasts_s: float) -> Run:
    """Return (sent, arrived) moments by number."""
    arrived: dict[int, float] = {}

    async def take(requests: AsyncIterator[bytes], _: grpc.aio.ServicerContext) -> bytes:
        number = 0
        async for raw in requests:
            number += 1
            if raw:
                arrived[number] = time.monotonic()
        return b""

    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    handler = grpc.stream_unary_rpc_method_handler(take)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Raw", {"Send": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        return await sender.send("raw", f"127.0.0.1:{port}", entities, kind, hz, lasts_s), arrived
    finally:
        await server.stop(None)


def rate_of(run: Run) -> float:
    """Messages a second that arrived, from the first send to the last arrival."""
    sent, arrived = run
    return len(arrived) / (max(arrived.values()) - min(sent.values()))


def delays_ms(run: Run) -> list[float]:
    sent, arrived = run
    return [1000 * (at - sent[number]) for number, at in arrived.items() if number in sent]


async def flat_out(
    rows: Rows, sender: Sender, folder: Path, entities: int, kind: str, *, rounds: int, lasts_s: float
) -> None:
    ours: list[float] = []
    plain: list[float] = []
    arrived = 0
    for _ in range(rounds):  # alternating, so that both see the same neighbours on the machine
        plain.append(entities * rate_of(await through_raw_stream(sender, entities, kind, 0, lasts_s)))
        run = await through_bridge(sender, folder, entities, kind, 0, lasts_s)
        ours.append(entities * rate_of(run))
        arrived += len(run[1])
    rows.add(f"{kind}_flat_out_{entities}", ours, "entities/s", baseline=plain, more_is_better=True, n=arrived)


async def live(
    rows: Rows, sender: Sender, folder: Path, entities: int, kind: str, hz: float, *, lasts_s: float
) -> None:
    plain = delays_ms(await through_raw_stream(sender, entities, kind, hz, lasts_s))
    run = await through_bridge(sender, folder, entities, kind, hz, lasts_s)
    ours = delays_ms(run)
    rows.add(f"{kind}_live_{hz:g}_hz_{entities}", ours, "ms", baseline=plain)
    if len(run[1]) < len(run[0]):
        rows.put(f"{kind}_live_{hz:g}_hz_{entities}_dropped", len(run[0]) - len(run[1]), "messages", n=len(run[0]))


# --- behind the ring -----------------------------------------------------------------------------------------------


def milliseconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begin)


async def commit(rows: Rows, folder: Path, entities: int, *, rounds: int) -> None:
    """One commit of ten live reports; baseline: the same numbers appended to a file and flushed to the disk."""
    topology = topology_for(entities)
    batch, report = figures_for(topology)
    store = EmbeddedTelemetryStore(folder / f"commit-{entities}.duckdb", scene_id="bench", topology=lambda: topology)
    await store.open()
    ours: list[float] = []
    plain: list[float] = []
    with (folder / f"plain-{entities}").open("wb") as file:

        def append() -> None:
            for _ in range(10):
                file.write(report.values.tobytes())
            file.flush()
            os.fsync(file.fileno())

        for number in range(rounds):
            ten = [numbered(batch, report, 10 * number + i + 1, "pm") for i in range(10)]
            begin = time.perf_counter()
            await store.append_pm([r for r in ten if isinstance(r, PmReport)])
            ours.append(1000 * (time.perf_counter() - begin))
            plain.append(milliseconds(append))
    await store.close()
    rows.add(f"duckdb_commit_of_10_reports_{entities}", ours, "ms", baseline=plain)


def detect(rows: Rows, entities: int, *, rounds: int) -> None:
    """One detector period (ten live reports); baseline: numpy's mean and deviation of the same numbers."""
    topology = topology_for(entities)
    batch, report = figures_for(topology)
    watched = WatchList(topology)
    watcher = Watcher(watched, Detector(watched.entity_ids, watched.kpis, civil=CIVIL))
    ours: list[float] = []
    plain: list[float] = []
    for number in range(rounds):
        ten = [numbered(batch, report, JUDGE_S * number + i + 1, "pm") for i in range(JUDGE_S)]
        reports = [r for r in ten if isinstance(r, PmReport)]
        ours.append(milliseconds(lambda reports=reports: watcher.see(reports)))
        stack = np.stack([r.values for r in reports])
        plain.append(milliseconds(lambda stack=stack: (stack.mean(axis=0), stack.std(axis=0))))
    rows.add(f"detector_period_of_10_reports_{entities}", ours, "ms", baseline=plain)


async def refresh(rows: Rows, *, rounds: int) -> None:
    """The last values of every cell of the generated city into the graph; baseline: the same through `json`."""
    city = build_scenario(ScenarioSpec())
    topology = topology_of(city)
    kpis = [row.name for row in kpis_of(Kind.CELL)][:5]
    values = {cell.id: dict.fromkeys(kpis, 1.5) for cell in topology.of_kind(Kind.CELL)}
    graph = EmbeddedGraph(deadline_s=30.0, refresh_interval_s=0.0)
    await graph.start()
    try:
        await graph.rebuild(GraphPicture(scene_id="bench", scenario=city, topology=topology))
        ours: list[float] = []
        for number in range(rounds):
            begin = time.perf_counter()
            await graph.refresh(values, sim_time_s=float(number))
            ours.append(1000 * (time.perf_counter() - begin))
    finally:
        await graph.close()
    plain = [milliseconds(lambda: json.loads(json.dumps(values))) for _ in range(rounds)]
    rows.add(f"graph_refresh_{len(values)}_cells", ours, "ms", baseline=plain)


def codec_rows(rows: Rows) -> None:
    """Encoding a batch of 1,000 UEs as blocks of memory; baseline: number by number through the published class."""
    from bridge.v1 import bridge_pb2

    batch, _ = figures_for(topology_for(1000))
    positions, values = batch.position_m, batch.values
    assert positions is not None

    def by_number() -> None:
        request = bridge_pb2.ConnectRequest()
        request.telemetry.entity_index.extend(batch.entity_index.tolist())
        request.telemetry.position_m.extend(positions.ravel().tolist())
        request.telemetry.values.extend(values.ravel().tolist())
        request.SerializeToString()

    ours = [milliseconds(lambda: bytes_of(batch)) for _ in range(100)]
    rows.add("encode_1000", ours, "ms", baseline=[milliseconds(by_number) for _ in range(30)])
    raw = bytes_of(batch)
    ours = [milliseconds(lambda: mapping.read_telemetry(codec.decode_request(raw).telemetry)) for _ in range(100)]

    def read_by_number() -> None:
        message = bridge_pb2.ConnectRequest.FromString(raw).telemetry
        np.array(message.position_m, np.float32)
        np.array(message.values, np.float32)
        np.array(message.entity_index, np.uint32)

    rows.add("decode_1000", ours, "ms", baseline=[milliseconds(read_by_number) for _ in range(30)])


async def measure(options: argparse.Namespace) -> None:
    rows = Rows(packages=("numpy", "grpcio", "protobuf", "duckdb"))
    sizes = (100, 1_000, 10_000)
    flat_s, rounds, live_s = (0.4, 1, 1.5) if options.quick else (2.0, 5, 15.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        codec_rows(rows)
        async with Sender() as sender:
            for entities in sizes:
                await flat_out(rows, sender, folder, entities, "motion", rounds=rounds, lasts_s=flat_s)
                await flat_out(rows, sender, folder, entities, "pm", rounds=rounds, lasts_s=flat_s)
            for entities in sizes if not options.quick else sizes[1:2]:
                await live(rows, sender, folder, entities, "motion", MOTION_HZ, lasts_s=live_s)
                await live(rows, sender, folder, entities, "pm", PM_HZ, lasts_s=live_s)
        for entities in sizes:
            await commit(rows, folder, entities, rounds=5 if options.quick else 30)
            detect(rows, entities, rounds=10 if options.quick else 60)
        await refresh(rows, rounds=10 if options.quick else 60)
    rows.write(options.json)


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    asyncio.run(measure(arguments(__doc__ or "").parse_args()))


if __name__ == "__main__":
    main()
