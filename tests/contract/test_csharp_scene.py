"""A scene written in C#, compiled by mcs and run under mono, lives with the real bridge over WebSocket.

What is tested here is the core of the Unity plugin (codec, session, coordinates, transport): everything but Unity.
"""

import asyncio
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from bridge.access import Doorkeeper, Guest
from bridge.gateway import WebSocketGateway
from bridge.server import BridgeServer
from bridge.stream import BridgeSettings
from bridge.testing import MemorySink
from bridge.v1 import figures_pb2, session_pb2
from tests.bridge_peer import KPI, MOTION, start, websocket_peer
from tests.csharp_program import NEEDS_MONO, build_scene, run_scene
from tests.free_port import free_port
from tests.tcp_relay import relay
from twin.commands import Command, CommandStage, ManageFault, SetAttribute, SetAttributes
from twin.errors import TwinError, Unauthenticated
from twin.ids import uuid7

RADIUS_M, RAD_PER_S = 10.0, 0.5

pytestmark = [pytest.mark.engine, NEEDS_MONO]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_scene(tmp_path_factory.mktemp("csharp_scene"))


@asynccontextmanager
async def twin_at(
    port: int, sink: MemorySink, *, doorkeeper: Doorkeeper | None = None, **settings: Any
) -> AsyncIterator[BridgeServer]:
    server = BridgeServer(sink=sink, port=0, settings=BridgeSettings(**settings), doorkeeper=doorkeeper)
    await server.start()
    config = uvicorn.Config(
        WebSocketGateway(server),
        port=port,
        log_level="error",
        lifespan="off",
        ws="websockets-sansio",
        ws_ping_interval=None,
        timeout_graceful_shutdown=1,
    )
    web = uvicorn.Server(config)
    serving = asyncio.create_task(web.serve())
    while not web.started:
        await asyncio.sleep(0.005)
    try:
        yield server
    finally:
        await server.stop()
        web.should_exit = True
        await serving


def order(value: float, *, attribute: str = "digitalTilt", **rest: Any) -> Command:
    action = SetAttribute(entity_id="cell-1-1", attribute=attribute, value=value)
    return Command(id=uuid7(), body=SetAttributes(actions=(action,)), issued_by="test", **rest)


async def test_its_phones_are_where_they_should_be(program: Path) -> None:
    port, sink = free_port(), MemorySink(start())
    async with twin_at(port, sink), run_scene(program, port):
        await sink.until(lambda: len(sink.batches) >= 12, timeout_s=10)

    for batch in sink.batches:
        assert batch.position_m is not None
        assert [1, 2, 3] == batch.entity_index.tolist()
        assert (5, 1) == (batch.revision, batch.epoch)
        for index, (east_m, north_m, up_m) in zip(batch.entity_index, batch.position_m, strict=True):
            angle = RAD_PER_S * batch.sim_time_s + int(index)
            assert east_m == pytest.approx(RADIUS_M * math.cos(angle), abs=1e-3)
            assert north_m == pytest.approx(RADIUS_M * math.sin(angle), abs=1e-3)
            assert up_m == 0.0
    numbers = [batch.seq for batch in sink.batches]
    assert list(range(numbers[0], numbers[0] + len(numbers))) == numbers


async def test_it_obeys_and_says_what_it_reads_back(program: Path) -> None:
    port, sink = free_port(), MemorySink(start())
    async with twin_at(port, sink) as twin, run_scene(program, port, "--provides", "MOTION,KPI") as running:
        await running.ready()
        done = await twin.link.send(order(80.0), timeout_s=5)
        rehearsed = await twin.link.send(order(90.0, dry_run=True), timeout_s=5)
        late = await twin.link.send(order(10.0, deadline_unix_ns=1), timeout_s=5)
        elsewhere = await twin.link.send(order(10.0, expected_revision=4), timeout_s=5)
        unknown = await twin.link.send(order(10.0, attribute="colour"), timeout_s=5)
        fault = ManageFault(operation="inject", fault="power-loss", entity_id="cell-1-1")
        strange = await twin.link.send(Command(id=uuid7(), body=fault, issued_by="test"), timeout_s=5)

    tilt = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=80.0)
    assert (CommandStage.APPLIED, (tilt,)) == (done.stage, done.observed)
    assert CommandStage.APPLIED == rehearsed.stage
    assert CommandStage.EXPIRED == late.stage
    assert (CommandStage.REJECTED, True) == (elsewhere.stage, "the scene is at 5" in elsewhere.reason)
    assert (CommandStage.REJECTED, "`cell-1-1` has no `colour` here") == (unknown.stage, unknown.reason)
    assert (CommandStage.REJECTED, True) == (strange.stage, "only sets attributes" in strange.reason)
    assert [0, 1] == [line["dry_run"] for line in running.said("obeyed")]


async def test_the_same_order_is_obeyed_once(program: Path) -> None:
    port, sink = free_port(), MemorySink(start())
    async with twin_at(port, sink) as twin, run_scene(program, port, "--provides", "MOTION,KPI") as running:
        await running.ready()
        once = order(80.0)
        first = await twin.link.send(once, timeout_s=5)
        again = await twin.link.send(once, timeout_s=5)

    assert first == again
    assert 1 == len(running.said("obeyed"))


async def test_it_reports_its_configuration_and_its_counters(program: Path) -> None:
    port, sink = free_port(), MemorySink(start())
    async with twin_at(port, sink), run_scene(program, port, "--provides", "MOTION,KPI"):
        await sink.until(lambda: len(sink.reports) >= 2 and bool(sink.configuration), timeout_s=10)

    assert 60.0 == sink.configuration["cell-1-1", "digitalTilt"].value
    assert "main" in {scene_id for scene_id, *_ in sink.reports}
    assert all(report.values.tolist() == [[3.0]] for report in sink.reports.values())


async def test_a_cut_stream_goes_on_where_it_was(program: Path) -> None:
    port, sink = free_port(), MemorySink(start())
    async with (
        twin_at(port, sink) as twin,
        relay(port) as between,
        run_scene(program, between.port, "--provides", "MOTION,KPI") as running,
    ):
        await running.ready()
        before = twin.health().sessions[0].session_id
        for times in (2, 3):
            between.cut()
            await running.ready(times)
        await sink.until(lambda: len(sink.reports) >= 3, timeout_s=10)
        (session,) = twin.health().sessions
        answered = await twin.link.send(order(70.0), timeout_s=5)

    assert before == session.session_id
    assert [0, 1, 1] == [line["resumed"] for line in running.said("ready")]
    ends = sorted(key[3] for key in sink.reports)
    assert [ends[0] + number for number in range(len(ends))] == ends
    assert 0 == sink.repetitions
    assert CommandStage.APPLIED == answered.stage


async def test_a_dead_cable_is_noticed(program: Path) -> None:
    port, sink = free_port(), MemorySink(start())
    async with (
        twin_at(port, sink, heartbeat_interval_s=0.3) as twin,
        relay(port) as between,
        run_scene(program, between.port) as running,
    ):
        await running.ready()
        between.dead = True
        await running.until(lambda: any("no sign of life" in line["reason"] for line in running.said("state")))
        between.cut()
        between.dead = False
        await running.ready(2)
        (session,) = twin.health().sessions

    assert not session.suspended
    assert 1 == running.said("ready")[-1]["resumed"]


async def test_it_comes_back_to_a_twin_that_was_started_again(program: Path) -> None:
    port, sink = free_port(), MemorySink(start())
    async with relay(port) as between, run_scene(program, between.port, "--provides", "MOTION,KPI") as running:
        async with twin_at(port, sink) as twin:
            await running.ready()
            await twin.link.send(order(80.0), timeout_s=5)
        later = MemorySink(start(4, revision=9))
        loop = asyncio.get_running_loop()
        async with twin_at(port, later) as twin:
            began_s = loop.time()
            await running.ready(2)
            took_s = loop.time() - began_s
            await later.until(lambda: bool(later.batches), timeout_s=5)
            after = await twin.link.send(order(65.0), timeout_s=5)

    assert took_s < 3.0
    assert [0, 0] == [line["resumed"] for line in running.said("ready")]
    assert [1, 2, 3, 4] == later.batches[-1].entity_index.tolist()
    assert 80.0 == later.configuration["cell-1-1", "digitalTilt"].value
    assert CommandStage.APPLIED == after.stage


async def test_a_killed_scene_knows_what_it_has_done(program: Path, tmp_path: Path) -> None:
    port, sink = free_port(), MemorySink(start())
    options = ("--provides", "MOTION,KPI", "--record", str(tmp_path / "commands"), "--takeover")
    once, other = order(80.0), order(55.0)
    async with twin_at(port, sink) as twin:
        async with run_scene(program, port, *options) as running:
            await running.ready()
            first = await twin.link.send(once, timeout_s=5)
            running.process.kill()
        async with run_scene(program, port, *options) as running:
            await running.ready()
            again = await twin.link.send(once, timeout_s=5)
            new = await twin.link.send(other, timeout_s=5)

    assert first == again
    assert [other.id] == [line["command"] for line in running.said("obeyed")]
    assert CommandStage.APPLIED == new.stage


@pytest.mark.parametrize("encoding", ["floats", "quantised"])
async def test_it_hears_the_figures_that_it_subscribed_to(program: Path, encoding: str) -> None:
    port, sink = free_port(), MemorySink(start())
    switches = ("--subscribe", "--quantised") if encoding == "quantised" else ("--subscribe",)
    async with (
        twin_at(port, sink),
        run_scene(program, port, "--provides", "MOTION", *switches) as running,
        websocket_peer(f"ws://127.0.0.1:{port}/bridge") as network,
    ):
        await running.ready()
        await network.hello(provides=[KPI], engine="network")
        await network.greeted()
        for number in range(1, 7):
            await network.say(
                telemetry=figures_pb2.Telemetry(
                    epoch=1,
                    number=number,
                    revision=5,
                    sim_time_s=1.0,
                    entity_index=[1, 2],
                    kpis=["L1M.SS-RSRP"],
                    values=[-84.5, -90.0],
                )
            )
            await running.until(lambda seen=number: len(running.said("figures")) >= seen)

    assert {"L1M.SS-RSRP"} == {line["kpis"] for line in running.said("figures")}
    assert all(line["value"] == pytest.approx(-84.5, abs=0.001) for line in running.said("figures"))


async def test_it_waits_its_turn_and_is_pushed_out_by_name(program: Path) -> None:
    port, sink = free_port(), MemorySink(start())
    async with twin_at(port, sink, lease_s=1.0), websocket_peer(f"ws://127.0.0.1:{port}/bridge") as holder:
        await holder.hello(provides=[MOTION])
        async with run_scene(program, port) as running:
            await running.until(lambda: any("Conflict" in line["reason"] for line in running.said("state")))
            await holder.say(goodbye=session_pb2.Goodbye())
            await running.ready()
            async with websocket_peer(f"ws://127.0.0.1:{port}/bridge") as newer:
                await newer.hello(provides=[MOTION], takeover=True)
                await running.until(lambda: bool(running.said("summary")))

    assert ("Ended", True) == (
        running.said("state")[-1]["state"],
        "gives way" in running.said("state")[-1]["reason"],
    )


class LockedDoor:
    """Knows one token."""

    needs_token = True

    def admit(self, token: str) -> Guest:
        if token != "right":
            raise Unauthenticated("the token is wrong")
        return Guest(name="scene", scopes=frozenset({"scene"}))


async def test_a_wrong_token_ends_it_and_the_right_one_lets_it_in(program: Path) -> None:
    port, sink = free_port(), MemorySink(start())
    async with twin_at(port, sink, doorkeeper=LockedDoor()):
        async with run_scene(program, port, "--token", "wrong") as stranger:
            await stranger.until(lambda: bool(stranger.said("summary")))
        async with run_scene(program, port, "--token", "right") as known:
            await known.ready()

    assert ("Ended", "Unauthenticated: the token is wrong") == (
        stranger.said("state")[-1]["state"],
        stranger.said("state")[-1]["reason"],
    )


async def test_the_clocks_are_compared_and_goodbye_is_heard(program: Path) -> None:
    port, sink = free_port(), MemorySink(start())
    async with twin_at(port, sink, heartbeat_interval_s=0.2), run_scene(program, port, "--seconds", "2.5") as running:
        await running.until(lambda: bool(running.said("summary")))

    (summary,) = running.said("summary")
    assert 0.0 < summary["rtt_s"] < 1.0
    assert abs(summary["clock_offset_s"]) < 0.5
    assert [("main", "the sample ends")] == sink.gone


async def test_its_camera_shows_where_the_phones_are(program: Path) -> None:
    port, sink = free_port(), MemorySink(start())
    async with twin_at(port, sink) as twin, run_scene(program, port) as running:
        await running.ready()
        await sink.until(lambda: bool(sink.batches))
        picture = await twin.link.picture(scene_id="main", width=640, height=480, timeout_s=5)

    pixels = np.frombuffer(picture.data, np.uint8).reshape(480, 640, 3)
    assert ("raw", 640, 480) == (picture.codec, picture.width, picture.height)
    assert picture.position_m is not None
    half_width_m = picture.position_m[2] * math.tan(math.radians(picture.horizontal_fov_deg / 2))
    rows, columns = np.nonzero((pixels == 255).all(axis=2))
    east_m, north_m = (columns + 0.5 - 320) / 320 * half_width_m, (240 - rows - 0.5) / 320 * half_width_m
    assert 9 <= len(rows) <= 27
    assert np.hypot(east_m, north_m) == pytest.approx(RADIUS_M, abs=0.6)


async def test_a_camera_that_cannot_says_why(program: Path) -> None:
    port, sink = free_port(), MemorySink(start())
    async with twin_at(port, sink) as twin, run_scene(program, port) as running:
        await running.ready()
        with pytest.raises(TwinError, match="at most 2048 x 2048"):
            await twin.link.picture(scene_id="main", width=4000, timeout_s=5)


async def test_no_order_is_lost_or_obeyed_twice_over_many_cuts(program: Path) -> None:
    port, sink, rng = free_port(), MemorySink(start()), random.Random(4)
    orders = [order(float(number)) for number in range(40)]
    async with (
        twin_at(port, sink) as twin,
        relay(port) as between,
        run_scene(program, between.port, "--provides", "MOTION,KPI") as running,
    ):
        await running.ready()

        async def cut_now_and_then() -> None:
            while True:
                await asyncio.sleep(rng.uniform(0.05, 0.4))
                between.cut()

        cutting = asyncio.create_task(cut_now_and_then())
        results = [await twin.link.send(one, timeout_s=10) for one in orders]
        cutting.cancel()
        breaks = between.taken - 1

    assert breaks >= 3
    assert {CommandStage.APPLIED} == {result.stage for result in results}
    assert [one.body for one in orders] == [SetAttributes(actions=result.observed) for result in results]
    assert [one.id for one in orders] == [line["command"] for line in running.said("obeyed")]
