"""A scene and the twin over a real bad network: slow, cut, half-open, narrow, reset, in small pieces."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import numpy as np
import pytest
import uvicorn

from bridge.client import SceneClient
from bridge.gateway import WebSocketGateway
from bridge.server import BridgeServer
from bridge.stream import BridgeSettings
from bridge.testing import MemorySink
from tests import toxiproxy
from tests.free_port import free_port
from twin.clock import CivilTime
from twin.commands import Command, CommandResult, CommandStage, Overlay
from twin.entities import Kind
from twin.ids import uuid7
from twin.ports import SceneStart
from twin.telemetry import PmReport, TelemetryBatch
from twin.topology import Entity, Topology

pytestmark = [pytest.mark.proxy, pytest.mark.skipif(bool(toxiproxy.missing()), reason=toxiproxy.missing())]

QUICK = BridgeSettings(heartbeat_interval_s=0.2)
PHONES = 2000


@pytest.fixture(scope="module")
def proxy() -> Iterator[toxiproxy.Toxiproxy]:
    with toxiproxy.Toxiproxy() as running:
        yield running


def start() -> SceneStart:
    phones = [Entity(index=i, id=f"ue-{i}", kind=Kind.UE, name=f"ue {i}") for i in range(PHONES)]
    return SceneStart(
        topology=Topology(phones, revision=1),
        civil=CivilTime(epoch=datetime(2026, 11, 7, 12, tzinfo=UTC), timezone="Europe/Berlin"),
        resume_at_sim_s=0.0,
        past_s=0,
        speed=1.0,
        desired=(),
    )


class Played:
    """A twin, a line and a scene that sends ten batches and reports a second and counts orders."""

    def __init__(self, server: BridgeServer, sink: MemorySink, line: toxiproxy.Line, scene: SceneClient) -> None:
        self.server, self.sink, self.line, self.scene = server, sink, line, scene
        self.number = 0
        self.obeyed: list[str] = []

    async def play(self) -> None:
        while True:
            self.number += 1
            now_s = time.monotonic()
            self.scene.send_telemetry(
                TelemetryBatch(
                    scene_id="main",
                    epoch=1,
                    seq=self.number,
                    revision=1,
                    sim_time_s=now_s,
                    entity_index=np.arange(PHONES, dtype=np.uint32),
                    position_m=np.zeros((PHONES, 3), dtype=np.float32),
                    kpis=(),
                    values=np.zeros((PHONES, 0), dtype=np.float32),
                )
            )
            await self.scene.send_pm(
                PmReport(
                    scene_id="main",
                    epoch=1,
                    seq=self.number,
                    revision=1,
                    granularity_period_s=1,
                    period_end_sim_time_s=float(self.number),
                    entity_index=np.array([0], dtype=np.uint32),
                    counters=("RRC.ConnMean",),
                    values=np.array([[1.0]], dtype=np.float32),
                )
            )
            await asyncio.sleep(0.1)

    async def order(self) -> CommandResult:
        command = Command(
            id=uuid7(), body=Overlay(overlay_id="x", operation="show"), issued_by="test", deadline_unix_ns=0
        )
        return await self.server.link.send(command, timeout_s=10)

    async def all_reports_arrive_once(self) -> None:
        sent = self.number
        await self.sink.until(lambda: len(self.sink.reports) >= sent, timeout_s=20)
        ends = sorted(key[3] for key in self.sink.reports)
        assert ends == [float(n) for n in range(1, len(ends) + 1)]


@asynccontextmanager
async def played(proxy: toxiproxy.Toxiproxy, way: str) -> AsyncIterator[Played]:
    sink = MemorySink(start())
    server = BridgeServer(sink=sink, port=0, settings=QUICK)
    port = await server.start()
    web = uvicorn.Server(
        uvicorn.Config(
            WebSocketGateway(server), port=free_port(), log_config=None, lifespan="off", ws="websockets-sansio"
        )
    )
    serving = asyncio.create_task(web.serve())
    while not web.started:
        await asyncio.sleep(0.01)
    target = port if way == "grpc" else web.config.port
    obeyed: list[str] = []

    def obey(command: Command) -> CommandResult:
        obeyed.append(command.id)
        return CommandResult(command_id=command.id, stage=CommandStage.APPLIED)

    try:
        with proxy.line_to(f"127.0.0.1:{target}") as line:
            url = line.address if way == "grpc" else f"ws://{line.address}/bridge"
            async with SceneClient(url, "main", provides={"MOTION", "KPI"}, on_command=obey) as scene:
                game = Played(server, sink, line, scene)
                game.obeyed = obeyed
                playing = asyncio.create_task(game.play())
                await sink.until(lambda: len(sink.batches) > 2, timeout_s=10)
                yield game
                playing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await playing
    finally:
        await server.stop()
        web.should_exit = True
        await serving


async def connected_again(game: Played, before: int) -> float:
    """Wait for the next connection and for figures on it; returns how long it took."""
    begun_s = time.monotonic()
    while game.scene.connections <= before or not game.scene.connected:
        assert time.monotonic() - begun_s < 15, "never came back"
        await asyncio.sleep(0.01)
    arrived = len(game.sink.batches)
    await game.sink.until(lambda: len(game.sink.batches) > arrived, timeout_s=10)
    return time.monotonic() - begun_s


WAYS = pytest.mark.parametrize("way", ["grpc", "ws"])


@WAYS
async def test_on_a_slow_line_orders_are_obeyed_and_the_round_trip_is_known(
    proxy: toxiproxy.Toxiproxy, way: str
) -> None:
    async with played(proxy, way) as game:
        game.line.worsen("latency", latency=150, jitter=20)
        game.line.worsen("latency", stream="upstream", latency=50, jitter=10)

        assert (await game.order()).stage is CommandStage.APPLIED

        await asyncio.sleep(1.0)
        session = game.server.health().scenes[0]
        assert 0.15 < session.heartbeat_rtt_s < 1.0
        assert abs(session.clock_offset_s) < 0.3  # the two ways differ by 100 ms; half of that is not to be known
        await game.all_reports_arrive_once()


@WAYS
async def test_after_a_cut_the_session_goes_on_and_every_report_arrives_once(
    proxy: toxiproxy.Toxiproxy, way: str
) -> None:
    async with played(proxy, way) as game:
        for _ in range(3):
            before = game.scene.connections
            game.line.let_through(False)
            await asyncio.sleep(0.4)
            game.line.let_through(True)
            assert await connected_again(game, before) < 3.0
            assert (await game.order()).stage is CommandStage.APPLIED

        await game.all_reports_arrive_once()
        assert game.scene.resumed == 3
        assert game.sink.repetitions == 0
        assert len(set(game.obeyed)) == len(game.obeyed) == 3


@WAYS
async def test_a_half_open_line_is_noticed_by_both_sides(proxy: toxiproxy.Toxiproxy, way: str) -> None:
    async with played(proxy, way) as game:
        before = game.scene.connections
        game.line.worsen("timeout", timeout=0)
        game.line.worsen("timeout", stream="upstream", timeout=0)
        begun_s = time.monotonic()
        while game.scene.connected:
            assert time.monotonic() - begun_s < 5, "the scene does not notice"
            await asyncio.sleep(0.02)
        game.line.heal()

        assert await connected_again(game, before) < 5.0
        await game.all_reports_arrive_once()
        assert game.sink.repetitions == 0


@WAYS
async def test_a_reset_line_is_taken_up_again(proxy: toxiproxy.Toxiproxy, way: str) -> None:
    async with played(proxy, way) as game:
        before = game.scene.connections
        game.line.worsen("reset_peer", timeout=100)
        while game.scene.connected:
            await asyncio.sleep(0.02)
        game.line.heal()

        assert await connected_again(game, before) < 5.0
        await game.all_reports_arrive_once()
        assert game.sink.repetitions == 0


@WAYS
async def test_on_a_narrow_line_figures_stay_fresh_and_losses_are_counted_exactly(
    proxy: toxiproxy.Toxiproxy, way: str
) -> None:
    """A batch has 32 KB, ten of them a second; the line carries 160 KB a second."""
    async with played(proxy, way) as game:
        await asyncio.sleep(0.5)
        game.line.worsen("bandwidth", stream="upstream", rate=160)
        await asyncio.sleep(6.0)
        ages_s: list[float] = []
        seen = len(game.sink.batches)
        end = time.monotonic() + 3.0
        while time.monotonic() < end:
            await asyncio.sleep(0.01)
            ages_s.extend(time.monotonic() - batch.sim_time_s for batch in game.sink.batches[seen:])
            seen = len(game.sink.batches)
        game.line.heal()
        await game.all_reports_arrive_once()
        await asyncio.sleep(1.0)

    numbers = [batch.seq for batch in game.sink.batches]
    missing = (numbers[-1] - numbers[0] + 1) - len(numbers)
    assert missing > 10
    assert missing == game.scene.dropped == game.server.health().telemetry_dropped
    assert numbers == sorted(set(numbers))
    assert ages_s, "nothing arrived on the narrow line"
    # One batch needs 0.2 s on this line. With all sixteen credits under way they would be more than 3 s old.
    assert max(ages_s) < 1.2


@WAYS
async def test_small_pieces_make_whole_messages(proxy: toxiproxy.Toxiproxy, way: str) -> None:
    async with played(proxy, way) as game:
        game.line.worsen("slicer", stream="upstream", average_size=700, size_variation=600, delay=10)
        assert (await game.order()).stage is CommandStage.APPLIED
        await game.all_reports_arrive_once()
