"""A foreign peer: the C++ scene of `engine_plugins/cpp`, built here and run against a live bridge."""

import asyncio
import fcntl
import hashlib
import json
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.access import TlsFiles
from bridge.client import SceneClient
from bridge.conform.clients import ClientChecks
from bridge.conform.report import Outcome, Report
from bridge.conform.wire import Listener
from bridge.figures import KindFigures
from bridge.server import BridgeServer
from bridge.stream import BridgeSettings
from bridge.testing import MemorySink
from tests.ordering_twin import (
    OrderingTwin,
    check_a_break_on_a_full_disk,
    check_answers_from_the_record,
    check_fencing,
    check_orders_on_a_full_disk,
    full_disk,
    tilt,
)
from tests.tcp_relay import relay
from twin.clock import CivilTime
from twin.commands import Command, CommandResult, CommandStage, ManageFault, SetAttribute, SetAttributes
from twin.entities import Kind
from twin.errors import SceneUnavailable
from twin.ids import uuid7
from twin.ports import SceneStart
from twin.topology import Entity, Topology
from twin_app.certs import make_dev_certificates

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "engine_plugins" / "cpp"
QUICK = BridgeSettings(heartbeat_interval_s=0.5, telemetry_rate_hz=20.0)
KPI = "--provide-kpi"
RADIUS_M, WALK_MPS = 20.0, 1.4  # of SmallWorld
TILT = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=70.0)
POWER = SetAttribute(entity_id="cell-1-1", attribute="configuredMaxTxPower", value=10_000.0)


@pytest.fixture(scope="session")
def program() -> Path:
    """Builds what changed, in a folder of this user that outlives the session: the first build takes half a minute."""
    for tool in ("cmake", "g++", "protoc", "grpc_cpp_plugin", "pkg-config"):
        if shutil.which(tool) is None:
            pytest.skip(f"`{tool}` is missing (Debian packages: tests/system-packages.txt)")
    if subprocess.run(["pkg-config", "--exists", "grpc++"]).returncode:
        pytest.skip("grpc++ is missing (Debian: libgrpc++-dev)")
    folder = Path(tempfile.gettempdir()) / f"twin6g-tests-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        pytest.skip(f"`{folder}` belongs to somebody else")
    build = folder / f"cpp-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}"
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    with (folder / f"{build.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two sessions over one checkout build one after the other
        for step in (["cmake", *generator, "-S", SOURCE, "-B", build], ["cmake", "--build", build, "-j", "2"]):
            done = subprocess.run(step, capture_output=True, text=True)
            assert done.returncode == 0, f"{step}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return build / "scene_main"


def topology(*, tilt: float = 60.0) -> Topology:
    cells = [
        Entity(
            index=n,
            id=f"cell-1-{n + 1}",
            kind=Kind.CELL,
            name=f"Cell 1-{n + 1}",
            position_m=(400.0 * n, 0.0, 30.0),
            attributes={"digitalTilt": tilt, "configuredMaxTxPower": 40_000.0, "administrativeState": "UNLOCKED"},
            properties={"carrier_hz": 3.5e9},
        )
        for n in range(2)
    ]
    ues = [
        Entity(index=2 + n, id=f"ue-{n}", kind=Kind.UE, name=f"ue {n}", position_m=(100.0 * n, 50.0, 1.5))
        for n in range(5)
    ]
    return Topology([*cells, *ues], revision=5)


class Scene:
    """The running program and what it printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._heard = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(json.loads(line))
            self._heard.set()

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    async def until(self, event: str, count: int = 1) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while len(self.of(event)) < count:
                self._heard.clear()
                await self._heard.wait()
        return self.of(event)[count - 1]

    async def end(self) -> dict[str, Any]:
        if self.process.returncode is None:
            self.process.terminate()
        await asyncio.wait_for(self.process.wait(), 20)
        await self._reader
        return self.lines[-1]


@asynccontextmanager
async def scene(program: Path, port: int, *options: str) -> AsyncIterator[Scene]:
    words = ("--address", f"127.0.0.1:{port}", *options)
    process = await asyncio.create_subprocess_exec(
        program, *words, stdout=asyncio.subprocess.PIPE, restore_signals=False
    )
    running = Scene(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await running._reader


@asynccontextmanager
async def serving(
    sink: MemorySink | None = None, *, port: int = 0, tls: TlsFiles | None = None
) -> AsyncIterator[tuple[BridgeServer, MemorySink, int]]:
    sink = sink or MemorySink(
        SceneStart(
            topology=topology(),
            civil=CivilTime(epoch=datetime.now(UTC), timezone="Europe/Berlin"),
            resume_at_sim_s=12.5,
            past_s=0,
            speed=1.0,
            desired=(SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=60.0),),
        )
    )
    server = BridgeServer(sink=sink, port=port, settings=QUICK, tls=tls)
    bound = await server.start()
    try:
        yield server, sink, bound
    finally:
        await server.stop()


def command(*actions: SetAttribute, **rest: Any) -> Command:
    return Command(id=uuid7(), body=SetAttributes(actions=actions), issued_by="test", **rest)


async def test_figures_of_the_foreign_scene_are_right(program: Path) -> None:
    async with serving() as (_, sink, port), scene(program, port, KPI) as running:
        start = await running.until("start")
        await sink.until(lambda: len(sink.reports) >= 2, timeout_s=10)

        assert (start["resumed"], start["revision"], start["entities"]) == (False, 5, 7)
        assert sink.live_at_s == {"main": 13.0}
        batch = sink.batches[-1]
        assert (batch.revision, batch.kpis, batch.entity_index.tolist()) == (5, ("RF.serving.RSRP",), [2, 3, 4, 5, 6])
        angle = batch.sim_time_s * WALK_MPS / RADIUS_M
        home = np.array([[100.0 * n, 50.0, 1.5] for n in range(5)])
        place_m = home + RADIUS_M * np.array([math.cos(angle), math.sin(angle), 0.0])
        np.testing.assert_allclose(batch.position_m, place_m, atol=1e-3)
        cells_m = np.array([[0.0, 0.0, 30.0], [400.0, 0.0, 30.0]])
        distance_m = np.linalg.norm(place_m[:, None] - cells_m[None], axis=2)  # [num_ues, num_cells]
        rsrp_dbm = 10 * math.log10(40_000 / 3276) - 20 * np.log10(4 * math.pi * distance_m * 3.5e9 / 299_792_458.0)
        np.testing.assert_allclose(batch.values[:, 0], rsrp_dbm.max(axis=1), atol=1e-3)
        ends = sorted(end for *_, end in sink.reports)
        assert ends == [14.0 + n for n in range(len(ends))]
        assert {report.values.sum() for report in sink.reports.values()} == {5.0}
        assert sink.configuration["cell-1-2", "digitalTilt"].value == 60.0


async def test_a_new_world_begins_at_wall_now(program: Path) -> None:
    async with serving() as (_, sink, port):
        an_hour_ago = datetime.now(timezone(-timedelta(hours=5, minutes=30))) - timedelta(hours=1)
        sink.start = replace(
            sink.start, civil=CivilTime(epoch=an_hour_ago, timezone="Europe/Berlin"), resume_at_sim_s=None
        )
        async with scene(program, port, KPI):
            await sink.until(lambda: "main" in sink.live_at_s)
            assert 3600.0 <= sink.live_at_s["main"] < 3660.0


async def test_orders_are_obeyed_once_and_answered_with_what_is_read_back(program: Path) -> None:
    async with serving() as (server, sink, port), scene(program, port, KPI) as running:
        await sink.until(lambda: "main" in sink.live_at_s)
        order = command(TILT, POWER)
        first = await server.link.send(order, timeout_s=5)
        second = await server.link.send(order, timeout_s=5)
        assert (first.stage, first.observed) == (CommandStage.APPLIED, (TILT, POWER))
        assert (second.stage, second.observed, second.sim_time_s) == (first.stage, first.observed, first.sim_time_s)

        dry = await server.link.send(
            command(SetAttribute(entity_id="cell-1-2", attribute="digitalTilt", value=1.0), dry_run=True), timeout_s=5
        )
        stale = await server.link.send(command(TILT, expected_revision=4), timeout_s=5)
        late = await server.link.send(command(TILT, deadline_unix_ns=1), timeout_s=5)
        nobody = SetAttribute(entity_id="cell-9-9", attribute="digitalTilt", value=1.0)
        unknown = await server.link.send(command(TILT, nobody), timeout_s=5)
        fault = ManageFault(operation="inject", fault="power-loss", entity_id="cell-1-1")
        strange = await server.link.send(Command(id=uuid7(), body=fault, issued_by="test"), timeout_s=5)
        stages = [result.stage for result in (dry, stale, late, unknown, strange)]
        assert stages == [
            CommandStage.APPLIED,
            CommandStage.REJECTED,
            CommandStage.EXPIRED,
            CommandStage.REJECTED,
            CommandStage.REJECTED,
        ]
        assert "`cell-9-9`" in unknown.reason
        assert [line["id"] for line in running.of("command")].count(order.id) == 1

        end = await running.end()
        assert running.process.returncode == 0
        assert (end["event"], end["stored"], end["connections"], end["failure"]) == ("end", True, 1, None)
        await sink.until(lambda: bool(sink.gone))


async def test_a_cut_wire_is_no_loss(program: Path) -> None:
    async with serving() as (server, sink, port), relay(port) as wire, scene(program, wire.port, KPI) as running:
        await sink.until(lambda: bool(sink.reports), timeout_s=10)
        wire.cut()
        start = await running.until("start", 2)
        before = len(sink.reports)
        result = await server.link.send(command(TILT), timeout_s=5)
        await sink.until(lambda: len(sink.reports) > before + 1, timeout_s=10)

        assert start["resumed"]
        assert start["session"] == running.of("start")[0]["session"]
        assert result.stage is CommandStage.APPLIED
        ends = sorted(end for *_, end in sink.reports)
        assert ends == [ends[0] + n for n in range(len(ends))]
        assert sink.repetitions == 0


async def test_a_dead_wire_is_noticed_and_left(program: Path) -> None:
    async with serving() as (_, sink, port), relay(port) as wire, scene(program, wire.port, KPI) as running:
        await sink.until(lambda: bool(sink.reports), timeout_s=10)
        wire.dead = True
        lost = await running.until("lost")
        wire.dead = False
        start = await running.until("start", 2)

    assert start["resumed"]
    assert "no sign of life" in lost["reason"]


async def test_a_killed_scene_knows_its_answers_when_it_comes_back(program: Path, tmp_path: Path) -> None:
    record = str(tmp_path / "commands")
    async with serving() as (server, sink, port):
        order = command(TILT)
        async with scene(program, port, KPI, "--record", record) as running:
            await sink.until(lambda: "main" in sink.live_at_s)
            first = await server.link.send(order, timeout_s=5)
            running.process.kill()
            await running.process.wait()
        await sink.until(lambda: bool(sink.gone))
        with Path(record).open("ab") as file:
            file.write(b"\x40\x00\x00\x00torn")  # killed in the middle of a row
        async with scene(program, port, KPI, "--record", record, "--takeover") as running:
            await running.until("start")
            await sink.until(lambda: "main" in sink.live_at_s)
            again = await server.link.send(order, timeout_s=5)

            assert (again.stage, again.observed, again.sim_time_s) == (first.stage, first.observed, first.sim_time_s)
            assert running.of("command") == []


@asynccontextmanager
async def ordered(program: Path, *options: str) -> AsyncIterator[tuple[Scene, OrderingTwin, Listener]]:
    async with (
        Listener("grpc://127.0.0.1:0") as listener,
        scene(program, int(listener.url.rpartition(":")[2]), *options) as running,
    ):
        yield running, await OrderingTwin.meet(listener), listener


async def test_nothing_is_called_applied_before_its_record_is_on_the_disk(program: Path, tmp_path: Path) -> None:
    record = tmp_path / "commands"
    orders = (tilt("c-1", 61.0), tilt("c-2", 62.0), tilt("c-3", 63.0))
    async with ordered(program, "--record", str(record)) as (running, twin, _):
        answers = await check_orders_on_a_full_disk(twin, running.process.pid, record, orders)
        assert [line["id"] for line in running.of("command")] == ["c-1", "c-2", "c-3"]
        assert "File too large" in running.of("unrecorded")[0]["reason"]
        assert len(running.of("unrecorded")) > 2
        running.process.kill()
    async with ordered(program, "--record", str(record)) as (running, twin, _):
        await check_answers_from_the_record(twin, orders, answers)
        assert running.of("command") == []


async def test_a_break_while_nothing_can_be_recorded_loses_and_repeats_nothing(program: Path, tmp_path: Path) -> None:
    record = tmp_path / "commands"
    orders = (tilt("c-1", 61.0), tilt("c-2", 62.0))
    async with ordered(program, "--record", str(record)) as (running, twin, listener):
        await check_a_break_on_a_full_disk(listener, twin, running.process.pid, record, orders)
        assert [line["id"] for line in running.of("command")] == ["c-1", "c-2"]


async def test_a_scene_that_cannot_record_can_still_be_ended(program: Path, tmp_path: Path) -> None:
    record = tmp_path / "commands"
    async with ordered(program, "--record", str(record)) as (running, twin, _):
        with full_disk(running.process.pid, record, room_bytes=0):
            await twin.order(tilt("c-1", 61.0))
            await twin.order(tilt("c-2", 62.0))
            await running.until("unrecorded")
            running.process.terminate()
            await asyncio.wait_for(running.process.wait(), 15)
            await running.end()

    assert running.process.returncode == 0
    assert [line["id"] for line in running.of("command")] == ["c-1"]
    assert record.read_bytes() == b""


async def test_an_order_of_an_older_holding_may_come_again_from_who_holds_the_scene(program: Path) -> None:
    async with ordered(program) as (running, twin, _):
        await check_fencing(twin, lambda name, number: tilt(name, 61.0, fencing_number=number))
        assert [line["id"] for line in running.of("command")] == ["c-1"]


async def test_a_restarted_twin_gets_its_scene_and_every_report_back(program: Path) -> None:
    async with AsyncExitStack() as stack:
        async with serving() as (_, sink, port):
            running = await stack.enter_async_context(scene(program, port, KPI))
            await sink.until(lambda: bool(sink.reports), timeout_s=10)
        await running.until("lost")
        async with serving(sink, port=port):
            start = await running.until("start", 2)
            before = len(sink.reports)
            await sink.until(lambda: len(sink.reports) > before + 1, timeout_s=10)
            end = await running.end()

    assert not start["resumed"]
    assert (end["stored"], end["failure"]) == (True, None)
    ends = sorted(end for *_, end in sink.reports)
    assert ends == [ends[0] + n for n in range(len(ends))]


async def test_a_refused_scene_says_why_and_ends(program: Path) -> None:
    async with serving() as (_, _, port), scene(program, port, "--scene", "No Slug") as running:
        line = await running.until("refused")
        await asyncio.wait_for(running.process.wait(), 10)

        assert (line["code"], running.process.returncode) == ("REFUSAL_CODE_PROTOCOL", 1)
        assert "`No Slug`" in line["reason"]


def obey(order: Command) -> CommandResult:
    assert isinstance(order.body, SetAttributes)
    return CommandResult(command_id=order.id, stage=CommandStage.APPLIED, observed=order.body.actions)


async def test_figures_of_a_follower_come_back_to_a_scene_that_only_moves(program: Path) -> None:
    async with serving() as (server, sink, port), scene(program, port, "--subscribe") as running:
        await running.until("start")
        assert sink.scenes["main"].provides == frozenset({"MOTION"})
        own = SceneClient(f"127.0.0.1:{port}", "main", provides=("KPI",), engine="follower", on_command=obey)
        async with own as follower:
            figures = KindFigures(follower, Kind.UE, ("RF.serving.RSRP",))
            await follower.send_live(14.0)
            for tick in range(20):
                figures.telemetry(14.0 + tick / 20, values=np.full((5, 1), -90.0, np.float32))
                await asyncio.sleep(0.05)
            line = await running.until("figures")
            result = await server.link.send(command(TILT), timeout_s=5)
        end = await running.end()

    assert (line["scene"], line["entities"], line["kpis"]) == ("main", 5, 1)
    assert (result.stage, result.reason) == (CommandStage.APPLIED, "")
    assert [line["stage"] for line in running.of("command")] == ["COMMAND_STAGE_APPLIED"]  # the visible part
    assert end["figures"] >= 5


async def test_a_scene_comes_in_over_tls_and_trusts_only_its_authority(program: Path, tmp_path: Path) -> None:
    mine = make_dev_certificates(tmp_path / "mine")
    other = make_dev_certificates(tmp_path / "other")
    tls = TlsFiles(certificate=mine.certificate.read_bytes(), key=mine.key.read_bytes())
    async with serving(tls=tls) as (_, sink, port):
        async with scene(program, port, KPI, "--ca", str(other.ca)) as stranger:
            await asyncio.sleep(1.0)
            assert stranger.of("start") == []
        async with scene(program, port, KPI, "--ca", str(mine.ca)):
            await sink.until(lambda: bool(sink.reports), timeout_s=10)


async def test_the_client_keeps_the_rules_of_the_stream(program: Path) -> None:
    report = Report()
    async with (
        Listener("grpc://127.0.0.1:0") as listener,
        scene(program, int(listener.url.rpartition(":")[2]), KPI),
    ):
        await ClientChecks(listener).run(report)

    assert [verdict for verdict in report.verdicts if verdict.outcome is not Outcome.HOLDS] == []
    assert len(report.verdicts) >= 15


async def test_a_picture_comes_in_parts_and_shows_the_plan(program: Path) -> None:
    async with serving() as (server, sink, port), scene(program, port, KPI):
        await sink.until(lambda: "main" in sink.live_at_s)
        image = await server.link.picture(scene_id="main", width=400, height=300, timeout_s=5)
        with pytest.raises(SceneUnavailable, match="at most 2048"):
            await server.link.picture(scene_id="main", width=4000, timeout_s=5)

    assert (image.codec, image.width, image.height) == ("raw", 400, 300)
    assert len(image.data) == 400 * 300 * 3 > 256 * 1024
    rgb = np.frombuffer(image.data, np.uint8).reshape(300, 400, 3)
    assert rgb[150, 200].tolist() == [255, 140, 0]  # cell-1-1 stands at (0, 0)
    green = (rgb == [0, 255, 64]).all(axis=2)
    assert 9 <= green.sum() <= 5 * 9  # five phones, some may overlap
    assert np.flatnonzero(green.any(axis=1)).max() < 160  # all of them north of the cells
