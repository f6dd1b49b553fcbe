"""A foreign peer: the Godot scene of `engine_plugins/godot`, run by Godot 3 against a live bridge over WebSocket."""

import asyncio
import io
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import uvicorn
from PIL import Image

from bridge.client import SceneClient
from bridge.conform.clients import ClientChecks
from bridge.conform.report import Outcome, Report
from bridge.conform.wire import Listener
from bridge.figures import KindFigures
from bridge.gateway import WebSocketGateway
from bridge.server import BridgeServer
from bridge.stream import BridgeSettings
from bridge.testing import MemorySink
from bridge.v1 import command_pb2
from tests.ordering_twin import (
    APPLIED,
    FENCING,
    OrderingTwin,
    check_a_break_on_a_full_disk,
    check_answers_from_the_record,
    check_fencing,
    check_orders_on_a_full_disk,
    tilt,
)
from tests.tcp_relay import relay
from twin.clock import CivilTime
from twin.commands import (
    Command,
    CommandBody,
    CommandStage,
    ManageFault,
    MoveCamera,
    Overlay,
    SetAttribute,
    SetAttributes,
    Spawn,
)
from twin.entities import Kind
from twin.errors import SceneUnavailable
from twin.ids import uuid7
from twin.media import CameraImage
from twin.ports import SceneStart
from twin.topology import Entity, Topology, topology_of
from twin_app.certs import DevCertificates, make_dev_certificates
from twin_app.scenarios import ScenarioSpec, build_scenario

pytestmark = pytest.mark.engine

PROJECT = Path(__file__).parents[2] / "engine_plugins" / "godot"
SHOWN = (Kind.SITE, Kind.CELL, Kind.BUILDING, Kind.PLACE, Kind.NODE, Kind.UE)
SETTINGS = BridgeSettings(heartbeat_interval_s=1.0, telemetry_rate_hz=10.0)
DRAWING = ("--video-driver", "GLES2", "--audio-driver", "Dummy")
TILT = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=65.0)
POWER = SetAttribute(entity_id="cell-1-1", attribute="configuredMaxTxPower", value=19_953.0)
LOCKED = SetAttribute(entity_id="cell-2-1", attribute="administrativeState", value="LOCKED")


@pytest.fixture(scope="module")
def topology() -> Topology:
    return topology_of(build_scenario(ScenarioSpec()))


@dataclass
class Twin:
    """A bridge that can be stopped and started again at the same address."""

    sink: MemorySink
    port: int = 0
    certificates: DevCertificates | None = None
    grpc_port: int = 0
    server: BridgeServer = field(init=False)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        self.server = BridgeServer(sink=self.sink, port=0, settings=SETTINGS)
        self.grpc_port = await self.server.start()
        config = uvicorn.Config(
            WebSocketGateway(self.server),
            port=self.port,
            log_level="error",
            lifespan="off",
            ws="websockets-sansio",
            ws_ping_interval=None,
            timeout_graceful_shutdown=1,
            ssl_certfile=self.certificates.certificate if self.certificates else None,
            ssl_keyfile=self.certificates.key if self.certificates else None,
        )
        web = uvicorn.Server(config)
        serving = asyncio.create_task(web.serve())
        while not web.started:
            await asyncio.sleep(0.01)
        self.port = web.servers[0].sockets[0].getsockname()[1]
        try:
            yield
        finally:
            await self.server.stop()
            web.should_exit = True
            await serving

    async def order(self, body: CommandBody, **rest: Any) -> Any:
        command = Command(id=uuid7(), body=body, issued_by="test", **rest)
        return await self.server.link.send(command, timeout_s=10, scene_id="main")


def start_of(topology: Topology) -> SceneStart:
    return SceneStart(
        topology=topology,
        civil=CivilTime(epoch=datetime.now(UTC), timezone="Europe/Berlin"),
        resume_at_sim_s=100.5,
        past_s=0,
        speed=1.0,
        desired=(SetAttribute(entity_id="cell-3-1", attribute="digitalTilt", value=33.0),),
    )


def twin_of(topology: Topology) -> Twin:
    return Twin(MemorySink(start_of(topology)))


@asynccontextmanager
async def godot(
    twin: Twin,
    folder: Path,
    *options: str,
    program: str = "godot3-server",
    engine: tuple[str, ...] = (),
    port: int = 0,
    display: str = "",
) -> AsyncIterator[asyncio.subprocess.Process]:
    if shutil.which(program) is None:
        pytest.skip(f"`{program}` is missing (Debian: {program})")
    environment = {
        **os.environ,
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "DISPLAY": display,
    }
    environment |= {"XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    scheme = "wss" if twin.certificates else "ws"
    address = f"{scheme}://localhost:{port or twin.port}/bridge"
    words = [*engine, "--path", str(PROJECT), f"--twin={address}", f"--record={folder}/commands", *options]
    log = folder / "godot.log"
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            program, *words, stdout=out, stderr=subprocess.STDOUT, env=environment, restore_signals=False
        )
    try:
        yield process
        assert "SCRIPT ERROR" not in log.read_text(errors="replace"), log.read_text(errors="replace")
    except TimeoutError:
        raise AssertionError(log.read_text(errors="replace")[-4000:]) from None
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def built(sink: MemorySink) -> list[dict[str, Any]]:
    return [dict(facts) for _, name, facts, _ in sink.events if name == "scene.built"]


async def test_the_city_is_built_phones_walk_and_figures_are_right(topology: Topology, tmp_path: Path) -> None:
    twin = twin_of(topology)
    async with twin.serving(), godot(twin, tmp_path, "--provide-kpi"):
        await twin.sink.until(lambda: bool(built(twin.sink)) and len(twin.sink.reports) >= 2, timeout_s=30)

        kinds = Counter(entity.kind for entity in topology.entities)
        assert built(twin.sink)[0] == {kind.value: float(kinds[kind]) for kind in SHOWN}
        info = twin.sink.scenes["main"]
        assert (info.engine, info.provides) == ("godot", frozenset({"MOTION", "KPI"}))
        assert info.engine_version.startswith("3.")
        assert twin.sink.live_at_s == {"main": 101.0}
        assert twin.sink.configuration["cell-3-1", "digitalTilt"].value == 33.0

        ues = topology.of_kind(Kind.UE)
        first, last = twin.sink.batches[0], twin.sink.batches[-1]
        assert first.entity_index.tolist() == [ue.index for ue in ues]
        assert first.position_m is not None
        assert last.position_m is not None
        home_m = np.array([ue.position_m for ue in ues])
        assert np.linalg.norm(last.position_m - home_m, axis=1).max() < 91.0
        moved_m = np.linalg.norm(last.position_m - first.position_m, axis=1)
        speed_mps = np.array([{"walk": 1.4, "drive": 8.0, "still": 0.0}[str(ue.properties["mobility"])] for ue in ues])
        passed_s = last.sim_time_s - first.sim_time_s
        assert (moved_m <= speed_mps * passed_s + 0.01).all()
        assert (moved_m[speed_mps > 0] > 0.01).mean() > 0.9

        heard = next(batch for batch in twin.sink.batches if batch.kpis)
        assert heard.position_m is not None
        cells = topology.of_kind(Kind.CELL)
        distance_m = np.linalg.norm(heard.position_m[:, None] - np.array([c.position_m for c in cells])[None], axis=2)
        power_dbm = 10 * np.log10(np.array([float(c.attributes["configuredMaxTxPower"]) for c in cells]) / 3276)
        carrier_hz = np.array([float(c.properties["carrier_hz"]) for c in cells])
        rsrp_dbm = power_dbm - 20 * np.log10(4 * np.pi * np.maximum(distance_m, 1) * carrier_hz / 299_792_458.0)
        np.testing.assert_allclose(heard.values[:, 0], rsrp_dbm.max(axis=1), atol=0.01)
        assert {report.values.sum() for report in twin.sink.reports.values()} == {float(len(ues))}


async def test_a_new_world_begins_at_wall_now(topology: Topology, tmp_path: Path) -> None:
    twin = twin_of(topology)
    an_hour_ago = datetime.now(timezone(-timedelta(hours=5, minutes=30))) - timedelta(hours=1)
    twin.sink.start = replace(
        twin.sink.start, civil=CivilTime(epoch=an_hour_ago, timezone="Europe/Berlin"), resume_at_sim_s=None
    )
    async with twin.serving(), godot(twin, tmp_path):
        await twin.sink.until(lambda: bool(twin.sink.batches), timeout_s=30)

    assert 3600.0 <= twin.sink.batches[0].sim_time_s < 3660.0


async def test_orders_turn_sectors_and_are_answered_with_what_the_nodes_hold(
    topology: Topology, tmp_path: Path
) -> None:
    twin = twin_of(topology)
    async with twin.serving():
        async with godot(twin, tmp_path, "--provide-kpi") as process:
            await twin.sink.until(lambda: bool(built(twin.sink)), timeout_s=30)
            order = Command(id=uuid7(), body=SetAttributes(actions=(TILT, POWER, LOCKED)), issued_by="test")
            first = await twin.server.link.send(order, timeout_s=10)
            assert (first.stage, first.observed) == (CommandStage.APPLIED, (TILT, POWER, LOCKED))

            back = SetAttributes(actions=(SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=20.0),))
            assert (await twin.order(back)).stage is CommandStage.APPLIED
            again = await twin.server.link.send(order, timeout_s=10)
            assert (again.stage, again.observed, again.sim_time_s) == (first.stage, first.observed, first.sim_time_s)
            dry = await twin.order(SetAttributes(actions=(TILT,)), dry_run=True)
            assert dry.stage is CommandStage.APPLIED

            wrong = SetAttribute(entity_id="cell-1-2", attribute="digitalTilt", value=5000.0)
            for actions, reason in (
                ((TILT, wrong), "-900..900"),
                ((SetAttribute(entity_id="ue-1", attribute="digitalTilt", value=1.0),), "no cell"),
                ((SetAttribute(entity_id="cell-1-1", attribute="colour", value="red"),), "no attribute"),
            ):
                refused = await twin.order(SetAttributes(actions=actions))
                assert (refused.stage, reason in refused.reason) == (CommandStage.REJECTED, True)
            assert (
                await twin.order(SetAttributes(actions=(TILT,)), expected_revision=99)
            ).stage is CommandStage.REJECTED
            assert (await twin.order(SetAttributes(actions=(TILT,)), deadline_unix_ns=1)).stage is CommandStage.EXPIRED
            fault = ManageFault(operation="inject", fault="power-loss", entity_id="cell-1-1")
            assert (await twin.order(fault)).stage is CommandStage.REJECTED
            process.kill()  # what follows must come from the record on the disk
            await process.wait()
        before = len(built(twin.sink))
        async with godot(twin, tmp_path, "--provide-kpi", "--takeover"):
            await twin.sink.until(lambda: len(built(twin.sink)) > before, timeout_s=30)
            known = await twin.server.link.send(order, timeout_s=10)
            tilt = twin.sink.configuration["cell-1-1", "digitalTilt"].value

            assert (known.stage, known.observed, known.sim_time_s) == (first.stage, first.observed, first.sim_time_s)
            assert tilt == topology.get("cell-1-1").attributes["digitalTilt"]  # not obeyed again


@asynccontextmanager
async def ordered(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, OrderingTwin, Listener]]:
    async with Listener("ws://127.0.0.1:0/bridge") as listener:
        world = Twin(MemorySink(start_of(Topology([], revision=1))), port=urlsplit(listener.url).port or 0)
        async with godot(world, folder) as process:
            yield process, await OrderingTwin.meet(listener), listener


def kiosk(command_id: str) -> command_pb2.Command:
    """What is REJECTED when it is obeyed twice."""
    order = command_pb2.Command(id=command_id, issued_by="test", fencing_number=FENCING)
    order.spawn.entity_id, order.spawn.archetype = command_id, "kiosk"
    return order


async def test_nothing_is_called_applied_before_its_record_is_written(tmp_path: Path) -> None:
    record = tmp_path / "commands"
    orders = (tilt("c-1", 61.0), kiosk("c-2"), tilt("c-3", 63.0))
    async with ordered(tmp_path) as (process, twin, _):
        answers = await check_orders_on_a_full_disk(twin, process.pid, record, orders)
        process.kill()
        await process.wait()
    async with ordered(tmp_path) as (_, twin, _):
        await check_answers_from_the_record(twin, orders, answers)


async def test_a_break_while_nothing_can_be_recorded_loses_and_repeats_nothing(tmp_path: Path) -> None:
    record = tmp_path / "commands"
    async with ordered(tmp_path) as (process, twin, listener):
        await twin.order(tilt("c-0", 61.0))  # makes the file
        await twin.until(lambda: len(twin.acks) == 2)
        twin.acks.clear()
        await check_a_break_on_a_full_disk(listener, twin, process.pid, record, (kiosk("c-1"), kiosk("c-2")))


async def test_a_long_record_is_shortened_and_still_known(tmp_path: Path) -> None:
    record = tmp_path / "commands"
    answers = [command_pb2.CommandAck(command_id=f"c-{n}", stage=APPLIED, sim_time_s=n) for n in range(8300)]
    record.write_text("".join(f"\n{answer.SerializeToString().hex()} ." for answer in answers) + "\n0a0363")
    async with ordered(tmp_path) as (_, twin, _):
        assert len(record.read_text().split()) == 2 * 4096
        await check_answers_from_the_record(
            twin, (tilt("c-8299", 61.0), tilt("c-4300", 61.0)), [answers[-1], answers[4300]]
        )


async def test_an_order_of_an_older_holding_may_come_again_from_who_holds_the_scene(tmp_path: Path) -> None:
    async with ordered(tmp_path) as (_, twin, _):
        await check_fencing(twin, lambda name, number: tilt(name, 61.0, fencing_number=number))


async def test_a_scene_that_only_moves_shows_overlays_and_objects(topology: Topology, tmp_path: Path) -> None:
    twin = twin_of(topology)
    async with twin.serving(), godot(twin, tmp_path):
        await twin.sink.until(lambda: bool(built(twin.sink)), timeout_s=30)
        assert twin.sink.scenes["main"].provides == frozenset({"MOTION"})
        assert twin.sink.scenes["main"].archetypes == ("kiosk", "drone", "barrier")
        place = (10.0, 20.0, 0.0)
        kiosk = Spawn(archetype="kiosk", entity_id="kiosk-7", position_m=place, rotation=(0.0, 0.0, 0.7071, 0.7071))
        answers = [
            await twin.order(body)
            for body in (
                Overlay(overlay_id="o", operation="show", entity_ids=("cell-1-1", "ue-3"), text="look", ttl_s=60),
                Overlay(overlay_id="o", operation="clear"),
                Overlay(overlay_id="p", operation="show", entity_ids=("ue-0",)),
                MoveCamera(entity_id="site-3", distance_m=300.0, azimuth_deg=90.0, pitch_down_deg=30.0),
                MoveCamera(camera_id="roof", entity_id="site-3"),
                kiosk,
                kiosk,
                Spawn(archetype="", entity_id="kiosk-7"),
                Spawn(archetype="castle", entity_id="castle-1", position_m=place),
            )
        ]

        yes, no = CommandStage.APPLIED, CommandStage.REJECTED
        assert [answer.stage for answer in answers] == [yes, yes, no, yes, no, yes, no, yes, no]
        with pytest.raises(SceneUnavailable):
            await twin.server.link.picture(scene_id="main", timeout_s=5)


async def test_a_restarted_twin_gets_its_scene_back(topology: Topology, tmp_path: Path) -> None:
    twin = twin_of(topology)
    async with AsyncExitStack() as stack:
        async with twin.serving():
            process = await stack.enter_async_context(godot(twin, tmp_path, "--provide-kpi"))
            await twin.sink.until(lambda: len(twin.sink.reports) >= 2, timeout_s=30)
        before, batches = len(twin.sink.reports), len(twin.sink.batches)
        await asyncio.sleep(1.0)
        async with twin.serving():
            began_s = asyncio.get_running_loop().time()
            await twin.sink.until(lambda: len(twin.sink.batches) > batches, timeout_s=30)
            away_s = asyncio.get_running_loop().time() - began_s
            await twin.sink.until(lambda: len(twin.sink.reports) > before + 2, timeout_s=30)
            assert process.returncode is None

    assert away_s < 8.0
    times_s = [batch.sim_time_s for batch in twin.sink.batches]
    assert times_s == sorted(times_s)


async def test_a_cut_wire_is_resumed_without_loss(topology: Topology, tmp_path: Path) -> None:
    twin = twin_of(topology)
    async with twin.serving(), relay(twin.port) as wire, godot(twin, tmp_path, "--provide-kpi", port=wire.port):
        await twin.sink.until(lambda: len(twin.sink.reports) >= 2, timeout_s=30)
        wire.cut()
        order = asyncio.create_task(twin.order(SetAttributes(actions=(TILT,))))
        before = len(twin.sink.reports)
        await twin.sink.until(lambda: len(twin.sink.reports) > before + 1, timeout_s=30)

        assert twin.server.health().resumed == 1
        assert len(built(twin.sink)) == 1
        assert (await order).observed == (TILT,)
        ends_s = sorted(end for *_, end in twin.sink.reports)
        assert ends_s == [ends_s[0] + n for n in range(len(ends_s))]
        assert twin.sink.repetitions == 0


async def test_a_dead_wire_is_noticed_and_left(topology: Topology, tmp_path: Path) -> None:
    twin = twin_of(topology)
    async with twin.serving(), relay(twin.port) as wire, godot(twin, tmp_path, port=wire.port):
        await twin.sink.until(lambda: bool(twin.sink.batches), timeout_s=30)
        wire.dead = True
        async with asyncio.timeout(20):
            while wire.taken < 2:
                await asyncio.sleep(0.05)
        wire.dead = False
        await twin.sink.until(lambda: twin.server.health().resumed > 0, timeout_s=20)
        before = len(twin.sink.batches)
        await twin.sink.until(lambda: len(twin.sink.batches) > before, timeout_s=20)

        assert len(built(twin.sink)) == 1
        assert "no sign of life" in (tmp_path / "godot.log").read_text()


@pytest.fixture
def screen() -> Iterator[str]:
    """A screen of its own without hardware; ends with the test."""
    if shutil.which("Xvfb") is None:
        pytest.skip("`Xvfb` is missing (Debian: xvfb)")
    read, write = os.pipe()
    words = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x720x24", "-nolisten", "tcp"]
    with subprocess.Popen(words, pass_fds=(write,), stderr=subprocess.DEVNULL) as server:
        os.close(write)
        try:
            with os.fdopen(read) as told:
                number = told.readline().strip()
            assert number, "Xvfb found no free display"
            yield f":{number}"
        finally:
            server.terminate()


async def test_a_picture_shows_the_city_and_the_figures_of_a_follower(
    topology: Topology, tmp_path: Path, screen: str
) -> None:
    twin = twin_of(topology)
    async with twin.serving(), godot(twin, tmp_path, program="godot3", engine=DRAWING, display=screen):
        await twin.sink.until(lambda: bool(built(twin.sink)), timeout_s=60)
        site = topology.of_kind(Kind.SITE)[0]
        look = MoveCamera(entity_id=site.id, distance_m=500.0, azimuth_deg=30.0, pitch_down_deg=30.0)
        assert (await twin.order(look)).stage is CommandStage.APPLIED
        image = await twin.server.link.picture(scene_id="main", width=640, timeout_s=30)
        assert (image.codec, image.width, image.height) == ("png", 640, 360)
        luminance = pixels(image, "L")
        assert luminance.shape == (360, 640)
        assert luminance.std() > 15.0
        assert len(np.unique(luminance)) > 50

        ahead = np.array([np.sin(np.radians(30)) * np.cos(np.radians(30)), np.cos(np.radians(30)) ** 2, -0.5])
        assert image.position_m is not None
        mast = np.add(site.position_m, [0.0, 0.0, float(site.properties["height_m"]) / 2])
        np.testing.assert_allclose(image.position_m, mast - 500.0 * ahead, atol=0.1)
        assert image.rotation is not None
        x, y, z, w = image.rotation
        seen = [1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)]  # the quaternion's own +x
        np.testing.assert_allclose(seen, ahead, atol=1e-4)

        async with SceneClient(f"127.0.0.1:{twin.grpc_port}", "main", provides=("KPI",), engine="follower") as follower:
            await follower.send_live(200.0)
            load = KindFigures(follower, Kind.CELL, ("RRU.PrbTotDl",))
            for second in range(3):
                await load.pm(201.0 + second, np.full(len(load.entities), 100.0))
                await asyncio.sleep(0.3)
            loaded = await twin.server.link.picture(scene_id="main", width=640, timeout_s=30)
        large = await twin.server.link.picture(scene_id="main", width=3000, timeout_s=30)
        with pytest.raises(SceneUnavailable, match="no camera `roof`"):
            await twin.server.link.picture(scene_id="main", camera_id="roof", timeout_s=10)

    assert red_share(pixels(image, "RGB")) < 0.01
    assert red_share(pixels(loaded, "RGB")) > 0.02  # full cells are red
    assert len(large.data) > 256 * 1024  # came in several parts
    assert pixels(large, "L").shape == (1688, 3000)


async def test_the_client_keeps_the_rules_of_the_stream(tmp_path: Path, screen: str) -> None:
    async with Listener("ws://127.0.0.1:0/bridge") as listener:
        twin = Twin(MemorySink(start_of(Topology([], revision=1))), port=urlsplit(listener.url).port or 0)
        async with godot(twin, tmp_path, "--provide-kpi", program="godot3", engine=DRAWING, display=screen):
            report = Report()
            await ClientChecks(listener).run(report)

    assert [verdict for verdict in report.verdicts if verdict.outcome is not Outcome.HOLDS] == []
    assert len(report.verdicts) >= 15


async def test_a_scene_comes_in_over_tls_and_says_goodbye(topology: Topology, tmp_path: Path) -> None:
    twin = twin_of(topology)
    twin.certificates = make_dev_certificates(tmp_path / "certificates")
    async with twin.serving():
        async with godot(twin, tmp_path):
            await asyncio.sleep(2.0)  # long enough for a scene that trusts the twin
        assert twin.sink.scenes == {}
        async with godot(twin, tmp_path, f"--ca={twin.certificates.ca}", "--lasts=1") as process:
            await twin.sink.until(lambda: bool(built(twin.sink)), timeout_s=30)
            await twin.sink.until(lambda: bool(twin.sink.gone), timeout_s=30)

            assert twin.sink.gone == [("main", "its time is over")]
            assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_what_comes_later_appears_in_the_city(topology: Topology, tmp_path: Path) -> None:
    twin = twin_of(topology)
    async with twin.serving(), godot(twin, tmp_path):
        await twin.sink.until(lambda: bool(twin.sink.batches), timeout_s=30)
        phone = Entity(
            index=topology.next_index,
            id="ue-new",
            kind=Kind.UE,
            name="new",
            position_m=(5.0, 6.0, 1.5),
            properties={"mobility": "still"},
        )
        grown = topology.with_entities([phone])
        twin.server.topology_changed(grown, scene_id="main")
        await twin.sink.until(lambda: twin.sink.batches[-1].revision == grown.revision, timeout_s=10)

        batch = twin.sink.batches[-1]
        (row,) = np.flatnonzero(batch.entity_index == phone.index)
        assert batch.position_m is not None
        np.testing.assert_allclose(batch.position_m[row], phone.position_m, atol=1e-4)


def pixels(image: CameraImage, mode: str) -> np.ndarray:
    with Image.open(io.BytesIO(image.data)) as picture:
        return np.asarray(picture.convert(mode), dtype=float)


def red_share(rgb: np.ndarray) -> float:
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    return float(((red > 140) & (green < 0.6 * red) & (blue < 0.6 * red)).mean())
