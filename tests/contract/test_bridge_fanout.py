"""Figures to those who asked: over real streams, with observers that are picky, late, slow, or never read."""

import asyncio
import gc
import os
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import grpc.aio
import numpy as np
import pytest

from bridge import codec, mapping
from bridge.server import BridgeServer
from bridge.stream import CHANNEL_OPTIONS, CONNECT_METHOD, BridgeSettings
from bridge.testing import MemorySink
from bridge.v1 import bridge_pb2, figures_pb2, session_pb2
from tests.lag import lag
from twin.clock import CivilTime
from twin.entities import Kind
from twin.ports import SceneStart
from twin.telemetry import PmReport, TelemetryBatch
from twin.topology import Entity, Topology

TELEMETRY, PM = session_pb2.CHANNEL_TELEMETRY, session_pb2.CHANNEL_PM
PLENTY = 1_000_000
OPEN = BridgeSettings(message_rate_hz=1e9, message_burst=1_000_000_000)
KPIS = ("RF.serving.RSRP", "DRB.UEThpDl")


def start(ues: int = 4) -> SceneStart:
    cell = Entity(index=0, id="cell-1-1", kind=Kind.CELL, name="Cell 1-1", position_m=(1000.0, 0.0, 30.0))
    people = [
        Entity(index=i, id=f"ue-{i}", kind=Kind.UE, name=f"ue {i}", position_m=(100.0 * i, 0.0, 1.5))
        for i in range(1, ues + 1)
    ]
    return SceneStart(
        topology=Topology([cell, *people], revision=5),
        civil=CivilTime(epoch=datetime(2026, 11, 7, 12, tzinfo=UTC), timezone="Europe/Berlin"),
        resume_at_sim_s=None,
        past_s=0,
        speed=1.0,
        desired=(),
    )


class ForgetfulSink(MemorySink):
    """Keeps no figures: what grows is the bridge."""

    def telemetry(self, batch: TelemetryBatch) -> None:
        pass


@asynccontextmanager
async def serving(ues: int = 4) -> AsyncIterator[tuple[BridgeServer, str]]:
    server = BridgeServer(sink=ForgetfulSink(start(ues)), port=0, settings=OPEN)
    port = await server.start()
    try:
        yield server, f"127.0.0.1:{port}"
    finally:
        await server.stop()


class Client:
    """A client as bare as can be: it decides by itself when to read and what credit to give."""

    def __init__(self, url: str, *, scene_id: str = "main", provides: Iterable[int] = (), reads: bool = True) -> None:
        self.batches: list[tuple[TelemetryBatch, float]] = []
        self.raw: list[bytes] = []
        self.reports: list[PmReport] = []
        self.flow: dict[int, session_pb2.FlowReport] = {}
        self.flows = 0
        self.replies: list[session_pb2.SubscribeReply] = []
        self.regrants = True
        self.pause_s = 0.0
        self._url, self._scene_id, self._provides, self._reads = url, scene_id, tuple(provides), reads
        self._seq = 0
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        options = [*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.aio.insecure_channel(self._url, options=options)
        self._stream = self._channel.stream_stream(CONNECT_METHOD)()
        request = codec.ConnectRequest()
        hello = request.hello
        hello.protocol_min = hello.protocol_max = 1
        hello.role = session_pb2.ROLE_SCENE if self._provides else session_pb2.ROLE_OBSERVER
        hello.scene_id, hello.epoch = self._scene_id, 1
        hello.provides.extend(self._provides)  # type: ignore[arg-type]
        await self.say(request)
        first = codec.decode_response(await anext(aiter(self._stream)))
        assert first.WhichOneof("body") == "welcome", first
        self._tasks = [asyncio.create_task(self._beat())]
        if self._reads:
            self._tasks.append(asyncio.create_task(self._read()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()

    async def say(self, request: bridge_pb2.ConnectRequest) -> None:
        async with self._writing:  # a stream takes one write at a time
            await self._stream.write(request.SerializeToString())

    async def lossless(self, request: bridge_pb2.ConnectRequest) -> None:
        self._seq += 1
        request.seq = self._seq
        await self.say(request)

    async def _beat(self) -> None:
        while True:
            request = codec.ConnectRequest()
            request.heartbeat.number = 1
            await self.say(request)
            await asyncio.sleep(1.0)

    async def _read(self) -> None:
        async for raw in self._stream:
            response = codec.decode_response(raw)
            if response.seq:
                await self.say(codec.ConnectRequest(ack=response.seq))
            match response.WhichOneof("body"):
                case "telemetry":
                    self.batches.append((mapping.read_telemetry(response.telemetry), time.monotonic()))
                    self.raw.append(raw)
                    await asyncio.sleep(self.pause_s)
                    if self.regrants:
                        await self.credit(1)
                case "pm_report":
                    self.reports.append(mapping.read_pm(response.pm_report))
                case "flow_report":
                    report = session_pb2.FlowReport.FromString(response.flow_report.SerializeToString())
                    self.flow[report.channel] = report
                    self.flows += 1
                case "subscribe_reply":
                    self.replies.append(
                        session_pb2.SubscribeReply.FromString(response.subscribe_reply.SerializeToString())
                    )
                case _:
                    pass
            self._changed.set()

    async def until(self, condition: Callable[[], object], *, timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def credit(self, messages: int) -> None:
        request = codec.ConnectRequest()
        request.credit.channel, request.credit.messages = TELEMETRY, messages
        await self.say(request)

    async def subscribe(
        self,
        *channels: session_pb2.Channel.ValueType,
        kpis: Iterable[str] = (),
        rate_hz: float = 0.0,
        area_m: tuple[float, float, float, float] | None = None,
        encoding: figures_pb2.Encoding.ValueType = figures_pb2.ENCODING_UNSPECIFIED,
        credits_first: int = 2,
    ) -> None:
        request = codec.ConnectRequest()
        wish = request.subscribe
        wish.channels.extend(channels or (TELEMETRY,))
        wish.kpis.extend(kpis)
        wish.max_rate_hz, wish.encoding = rate_hz, encoding
        if area_m is not None:
            area = wish.area_of_interest
            area.west_m, area.south_m, area.east_m, area.north_m = area_m
        before = len(self.replies)
        await self.say(request)
        if self._reads:
            await self.until(lambda: len(self.replies) > before)
        if credits_first:
            await self.credit(credits_first)

    async def tell(self, one: TelemetryBatch) -> None:
        request = codec.ConnectRequest()
        mapping.write_telemetry(request.telemetry, one)
        await self.say(request)

    async def tell_pm(self, second: int) -> None:
        request = codec.ConnectRequest()
        report = PmReport(
            scene_id="",
            epoch=1,
            seq=second,
            revision=5,
            granularity_period_s=1,
            period_end_sim_time_s=float(second),
            entity_index=np.array([0], np.uint32),
            counters=("RRC.ConnMean",),
            values=np.array([[second]], np.float32),
        )
        mapping.write_pm(request.pm_report, report)
        await self.lossless(request)

    async def go_live(self) -> None:
        request = codec.ConnectRequest()
        request.live_notice.sim_time_s = 0.0
        await self.lossless(request)


def scene(url: str, *, scene_id: str = "main", provides: Iterable[int] = (1, 2)) -> Client:
    return Client(url, scene_id=scene_id, provides=provides)


def batch(
    seq: int,
    index: Iterable[int] = (1, 2, 3, 4),
    *,
    scene_id: str = "main",
    kpis: tuple[str, ...] = KPIS,
    moved: bool = True,
    keyframe: bool = False,
) -> TelemetryBatch:
    rows = list(index)
    return TelemetryBatch(
        scene_id=scene_id,
        epoch=1,
        seq=seq,
        revision=5,
        sim_time_s=seq * 0.1,
        entity_index=np.array(rows, np.uint32),
        position_m=np.array([[100.0 * i, 0, seq] for i in rows], np.float32) if moved else None,
        kpis=kpis,
        values=np.array([[seq] * len(kpis) for _ in rows], np.float32),
        keyframe=keyframe,
    )


def seqs(client: Client) -> list[int]:
    return [one.seq for one, _ in client.batches]


# --- what is sent to whom ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (figures_pb2.ENCODING_UNSPECIFIED, figures_pb2.ENCODING_FLOAT32),
        (figures_pb2.ENCODING_FLOAT32, figures_pb2.ENCODING_FLOAT32),
        (figures_pb2.ENCODING_QUANTISED_INT16, figures_pb2.ENCODING_QUANTISED_INT16),
    ],
)
async def test_the_encoding_asked_for_is_told_and_used(
    asked: figures_pb2.Encoding.ValueType, told: figures_pb2.Encoding.ValueType
) -> None:
    async with serving() as (_, url), scene(url) as sender, Client(url) as observer:
        await observer.subscribe(kpis=("RF.serving.RSRP", "no such"), encoding=asked)
        await sender.tell(batch(7))
        await observer.until(lambda: observer.batches)

        assert (observer.replies[0].encoding, observer.replies[0].unknown_kpis) == (told, ["no such"])
        arrived = codec.decode_response(observer.raw[0]).telemetry
        assert arrived.HasField("quantised") == (told == figures_pb2.ENCODING_QUANTISED_INT16)
        read = observer.batches[0][0]
        assert (read.seq, read.kpis, read.values.tolist()) == (7, ("RF.serving.RSRP",), [[7.0]] * 4)


async def test_a_scene_may_send_integers_and_an_observer_get_floats() -> None:
    async with serving() as (_, url), scene(url) as sender, Client(url) as observer:
        await observer.subscribe()
        request = codec.ConnectRequest()
        mapping.write_telemetry(request.telemetry, batch(7), quantised=True)
        await sender.say(request)
        await observer.until(lambda: observer.batches)

        read = observer.batches[0][0]
        assert read.position_m is not None
        np.testing.assert_allclose(read.position_m[:, 0], [100, 200, 300, 400], atol=0.5 * 300 / 65534 * 1.01)


async def test_equal_wishes_share_one_buffer() -> None:
    async with (
        serving() as (server, url),
        scene(url) as sender,
        Client(url) as a,
        Client(url) as b,
        Client(url) as c,
        Client(url) as d,
    ):
        for one in (a, b, c):
            await one.subscribe(kpis=("DRB.UEThpDl",))
        await d.subscribe(encoding=figures_pb2.ENCODING_QUANTISED_INT16)
        before = server.fanout.encoded
        for seq in range(1, 6):
            await sender.tell(batch(seq))
            for one in (a, b, c, d):
                await one.until(lambda one=one, seq=seq: seqs(one)[-1:] == [seq])

        assert server.fanout.encoded - before == 10


async def test_an_area_follows_whoever_moved_also_in_figures_of_another_sender() -> None:
    async with (
        serving() as (_, url),
        scene(url, provides=(session_pb2.PROVISION_MOTION,)) as mover,
        scene(url, provides=(session_pb2.PROVISION_KPI,)) as counter,
        Client(url) as observer,
    ):
        await observer.subscribe(area_m=(150, -1, 350, 1), credits_first=PLENTY)
        await counter.tell(batch(1, moved=False))
        await observer.until(lambda: len(observer.batches) == 1)
        swapped = batch(2, (2, 3, 4), kpis=())
        assert swapped.position_m is not None
        swapped.position_m[:, 0] = (900, 901, 160)
        await mover.tell(swapped)
        await observer.until(lambda: len(observer.batches) == 2)
        await counter.tell(batch(3, moved=False))
        await observer.until(lambda: len(observer.batches) == 3)

        assert [one.entity_index.tolist() for one, _ in observer.batches] == [[2, 3], [4], [4]]


async def test_a_scene_that_subscribes_gets_the_figures_of_others_but_never_its_own() -> None:
    async with (
        serving() as (_, url),
        scene(url, provides=(session_pb2.PROVISION_MOTION,)) as mover,
        scene(url, provides=(session_pb2.PROVISION_KPI,)) as counter,
    ):
        await mover.subscribe(TELEMETRY, PM, credits_first=PLENTY)
        await counter.go_live()
        await mover.tell(batch(1))
        await counter.tell(batch(2, moved=False))
        await counter.tell_pm(1)
        await mover.until(lambda: mover.batches and mover.reports)
        await mover.tell(batch(3))
        await counter.tell(batch(4, moved=False))
        await mover.until(lambda: len(mover.batches) == 2)

        assert seqs(mover) == [2, 4]


async def test_scenes_do_not_mix() -> None:
    async with (
        serving() as (_, url),
        scene(url) as here,
        scene(url, scene_id="other") as there,
        Client(url) as observer,
    ):
        await observer.subscribe(TELEMETRY, PM, credits_first=PLENTY)
        await there.tell(batch(1, scene_id="other"))
        await here.tell(batch(2))
        await observer.until(lambda: observer.batches)

        assert seqs(observer) == [2]


async def test_reports_are_cut_to_the_wish_too() -> None:
    async with serving() as (_, url), scene(url) as sender, Client(url) as wants, Client(url) as does_not:
        await wants.subscribe(PM, kpis=("RRC.ConnMean",))
        await does_not.subscribe(PM, kpis=("DRB.UEThpDl",))
        await sender.go_live()
        await sender.tell_pm(1)
        await wants.until(lambda: wants.reports)
        await does_not.subscribe(PM)
        await sender.tell_pm(2)
        await does_not.until(lambda: does_not.reports)

        assert [r.period_end_sim_time_s for r in does_not.reports] == [2.0]


async def test_no_credit_means_no_figures() -> None:
    async with serving() as (_, url), scene(url) as sender, Client(url) as observer:
        observer.regrants = False
        await observer.subscribe(credits_first=0)
        for seq in range(1, 6):
            await sender.tell(batch(seq))
            await asyncio.sleep(0.02)
        assert observer.batches == []
        await observer.credit(1)
        await observer.until(lambda: observer.batches)

        assert seqs(observer) == [5]


# --- who missed something ------------------------------------------------------------------------------------------


async def test_who_comes_late_or_skips_gets_the_whole_picture_and_who_follows_gets_the_changes() -> None:
    async with serving() as (_, url), scene(url) as sender, Client(url) as follows, Client(url) as late:
        await follows.subscribe(credits_first=PLENTY)
        await sender.tell(batch(1, keyframe=True))
        await follows.until(lambda: seqs(follows) == [1])
        await sender.tell(batch(2, (1,)))
        await follows.until(lambda: seqs(follows) == [1, 2])
        await late.subscribe(credits_first=PLENTY)
        await sender.tell(batch(3, (2,)))
        await late.until(lambda: late.batches)
        await follows.until(lambda: len(follows.batches) == 3)

        assert [one.entity_index.size for one, _ in follows.batches] == [4, 1, 1]
        assert [one.keyframe for one, _ in follows.batches] == [True, False, False]
        whole = late.batches[0][0]
        assert whole.keyframe
        assert whole.values[:, 0].tolist() == [2.0, 3.0, 1.0, 1.0]


async def test_a_lower_rate_loses_no_change_for_good() -> None:
    async with serving() as (_, url), scene(url) as sender, Client(url) as observer:
        await observer.subscribe(rate_hz=5.0, credits_first=PLENTY)
        await sender.tell(batch(1, keyframe=True))
        begin = time.monotonic()
        for seq in range(2, 30):
            await asyncio.sleep(0.02)
            await sender.tell(batch(seq, (1 + seq % 4,)))
        took_s = time.monotonic() - begin
        # Nothing more comes; what the rate held back is told all the same.
        await observer.until(lambda: seqs(observer)[-1:] == [29])

        assert len(observer.batches) <= 2 + 5 * (took_s + 2)
        latest: dict[int, float] = {}
        for one, _ in observer.batches:
            latest |= {int(i): float(v) for i, v in zip(one.entity_index, one.values[:, 0], strict=True)}
        assert latest == {1: 28.0, 2: 29.0, 3: 26.0, 4: 27.0}


async def test_a_slow_observer_gets_the_whole_picture_after_what_it_missed() -> None:
    async with serving() as (_, url), scene(url) as sender, Client(url) as observer:
        observer.regrants = False
        await observer.subscribe(credits_first=1)
        await sender.tell(batch(1, keyframe=True))
        await observer.until(lambda: observer.batches)
        for seq in (2, 3, 4):
            await sender.tell(batch(seq, (seq,)))
            await asyncio.sleep(0.05)
        await observer.credit(1)
        await observer.until(lambda: len(observer.batches) == 2)

        assert observer.batches[1][0].values[:, 0].tolist() == [1.0, 2.0, 3.0, 4.0]
        await observer.until(lambda: TELEMETRY in observer.flow and observer.flow[TELEMETRY].dropped == 2)
        assert observer.flow[TELEMETRY].age_ms > 0


async def test_losses_and_age_are_told_once_a_second_and_not_when_nothing_changed() -> None:
    async with serving() as (_, url), scene(url) as sender, Client(url) as observer:
        await observer.subscribe(credits_first=PLENTY)
        begin = time.monotonic()
        seq = 0
        while time.monotonic() < begin + 2.5:
            seq += 1
            await sender.tell(batch(seq))
            await asyncio.sleep(0.02)
        await observer.until(lambda: observer.flows)
        told = observer.flows
        assert told <= 1 + time.monotonic() - begin
        await asyncio.sleep(1.2)
        told = observer.flows
        await asyncio.sleep(1.2)

        assert observer.flows == told
        assert (observer.flow[TELEMETRY].dropped, observer.flow[TELEMETRY].age_ms > 0) == (0, True)


async def test_two_kinds_of_figures_do_not_push_each_other_out() -> None:
    async with serving() as (_, url), scene(url) as sender, Client(url) as observer:
        observer.regrants = False
        await observer.subscribe(credits_first=0)
        for seq in (1, 2):
            await sender.tell(batch(seq))
            await sender.tell(batch(seq, (0,), kpis=("RRC.ConnMean",)))
            await asyncio.sleep(0.05)
        await observer.credit(2)
        await observer.until(lambda: len(observer.batches) == 2)

        assert [(one.seq, one.kpis) for one, _ in observer.batches] == [(2, KPIS), (2, ("RRC.ConnMean",))]


# --- slow and silent observers -------------------------------------------------------------------------------------


def ages_ms(client: Client, sent_s: dict[int, float]) -> list[float]:
    return [1000 * (at_s - sent_s[one.seq]) for one, at_s in client.batches]


async def run_at_10_hz(sender: Client, first: int, *, ues: int, count: int) -> dict[int, float]:
    sent_s: dict[int, float] = {}
    begin_s = time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, begin_s + 0.1 * number - time.monotonic()))
        sent_s[first + number] = time.monotonic()
        await sender.tell(batch(first + number, range(1, ues + 1)))
    await asyncio.sleep(0.3)
    return sent_s


async def test_a_slow_observer_sees_fresh_figures_and_slows_nobody() -> None:
    ues = 2000
    async with serving(ues) as (_, url), scene(url) as sender, Client(url) as fast, Client(url) as slow:
        await fast.subscribe()
        sent_s = await run_at_10_hz(sender, 1, ues=ues, count=20)
        alone_ms = statistics.median(ages_ms(fast, sent_s))
        fast.batches.clear()
        slow.regrants = False
        slow.pause_s = 0.5
        await slow.subscribe(credits_first=0)

        async def read_twice_a_second() -> None:
            while True:
                await slow.credit(1)
                await asyncio.sleep(0.5)

        reading = asyncio.create_task(read_twice_a_second())
        async with lag() as late:
            sent_s = await run_at_10_hz(sender, 101, ues=ues, count=30)
        reading.cancel()
        beside_ms = statistics.median(ages_ms(fast, sent_s))

        seen_ms = ages_ms(slow, sent_s)
        assert len(fast.batches) >= 28
        assert 4 <= len(seen_ms) <= 10
        assert max(seen_ms) < 200 + 1000 * late.worst_s
        assert beside_ms < 3 * alone_ms + 10


def resident_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def test_an_observer_that_never_reads_costs_no_memory_and_its_losses_are_counted() -> None:
    ues = 5000
    async with serving(ues) as (server, url), scene(url) as sender, Client(url) as reader:
        await reader.subscribe(credits_first=PLENTY)
        async with Client(url, reads=False) as silent:
            await silent.subscribe(credits_first=PLENTY)
            seq = 0

            async def send(count: int) -> None:
                nonlocal seq
                for _ in range(count):
                    seq += 1
                    await sender.tell(batch(seq, range(1, ues + 1)))
                    await reader.until(lambda: reader.batches)
                    reader.batches.clear()
                    reader.raw.clear()

            await send(100)  # the buffers of the transport are full
            before_mb = resident_mb()
            await send(400)
            grown_mb = resident_mb() - before_mb
            lost = {s.role: s.telemetry_dropped for s in server.health().sessions if s.telemetry_dropped}

        assert 400 * ues * 24 / 2**20 > 40  # what it would have cost to keep everything
        assert grown_mb < 15
        assert lost.keys() == {"observer"}
        assert lost["observer"] > 300
