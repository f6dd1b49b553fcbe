"""Every piece of code in docs/own-scene.md runs, and does what the page says."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.client import SceneClient
from bridge.testing import MemorySink
from tests.bridge_peer import bench, start
from twin.commands import Command, CommandStage, SetAttribute, SetAttributes
from twin.errors import InvalidInput, SceneUnavailable
from twin.ids import uuid7
from twin.telemetry import TelemetryBatch

PAGE = Path(__file__).resolve().parents[2] / "docs/own-scene.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
TRIED = {"hello", "move", "measure", "serve_commands", "show", "offer", "co_simulate", "watch", "test_the_tilt_is_set"}


@pytest.fixture
def page() -> dict[str, Any]:
    """The names that all blocks of the page define, run from top to bottom as a reader would."""
    names: dict[str, Any] = {"__name__": "own_scene_page"}
    for number, block in enumerate(BLOCK.findall(PAGE.read_text(encoding="utf-8"))):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    return names


def sink() -> MemorySink:
    desired = (SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=60.0),)
    return MemorySink(replace(start(), desired=desired))


def set_tilt(value: float) -> Command:
    action = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=value)
    return Command(id=uuid7(), body=SetAttributes(actions=(action,)), issued_by="ana")


def test_every_step_of_the_page_is_tried(page: dict[str, Any]) -> None:
    assert {name for name, thing in page.items() if asyncio.iscoroutinefunction(thing)} == TRIED


async def test_hello(page: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    async with bench() as served:
        page["URL"] = served.grpc
        await page["hello"]()

    assert "4 entities at revision 5" in capsys.readouterr().out


async def test_move_and_measure(page: dict[str, Any]) -> None:
    async with bench() as served:
        page["URL"] = served.grpc
        await page["move"](1.0)
        assert len(served.sink.batches) >= 5
        first, last = served.sink.batches[0].position_m, served.sink.batches[-1].position_m
        assert first is not None
        assert last is not None
        assert 0 < np.abs(last - first).max() < 40
        await page["measure"](2)

        assert [r.counters for r in served.sink.reports.values()] == [("RRC.ConnMean", "RRU.PrbTotDl")] * 2


async def test_commands_hold_over_two_lives(page: dict[str, Any], tmp_path: Path) -> None:
    async with bench(sink()) as served:
        page["URL"] = served.grpc
        for life, tilt in enumerate((80.0, 90.0)):
            running = asyncio.create_task(page["serve_commands"](tmp_path, 1.0))
            await served.sink.until(lambda: "main" in served.sink.live_at_s)
            result = await served.server.link.send(set_tilt(tilt), timeout_s=3)
            refused = await served.server.link.send(set_tilt(700.0), timeout_s=3)
            assert (result.stage, refused.stage) == (CommandStage.APPLIED, CommandStage.REJECTED), life
            assert page["tilt_of"] == {"cell-1-1": tilt}
            await running
            page["tilt_of"].clear()

        with page["FileLedger"](tmp_path / "commands.ledger") as ledger:
            assert [entry.result.stage.value for entry in ledger.after(0)] == ["APPLIED", "REJECTED"] * 2


async def test_show_and_offer(page: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    async with bench() as served:
        page["URL"] = served.grpc
        running = asyncio.create_task(page["show"](1.5))
        await served.sink.until(lambda: bool(served.sink.utterances))
        image = await served.server.link.picture(scene_id=None, camera_id="roof", width=64, height=48, timeout_s=3)
        assert (image.codec, image.width, image.height) == ("jpeg", 64, 48)
        with pytest.raises(SceneUnavailable, match="there is `roof`"):
            await served.server.link.picture(scene_id=None, camera_id="cellar", timeout_s=3)
        await running
        await page["offer"]()

    assert "main-kiosk-1" in capsys.readouterr().out


async def test_co_simulate(page: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    async with bench() as served, SceneClient(served.grpc, "main", provides=("KPI",), engine="radio") as radio:
        page["URL"] = served.grpc
        running = asyncio.create_task(page["co_simulate"](1.5))
        await radio.send_live(0.0)
        for number in range(1, 12):
            batch = TelemetryBatch(
                scene_id="main",
                epoch=1,
                seq=number,
                revision=5,
                sim_time_s=float(number),
                entity_index=np.array([1, 2], np.uint32),
                position_m=None,
                kpis=("RF.serving.RSRP",),
                values=np.full((2, 1), -80, np.float32),
            )
            radio.send_telemetry(batch)
            await asyncio.sleep(0.1)
        await running

    assert "2 phones have a signal strength" in capsys.readouterr().out


async def test_watch(page: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    async with bench() as served:
        page["URL"] = served.grpc
        moving = asyncio.create_task(page["move"](1.5))
        await served.sink.until(lambda: bool(served.sink.batches))
        await page["watch"](2)
        await moving

    assert capsys.readouterr().out.count("3 entities, ") == 2


async def test_far_scene_and_the_test_of_the_page(page: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("a certificate")
    assert isinstance(page["far_scene"]("wss://twin.example/bridge", tmp_path), SceneClient)
    with pytest.raises(InvalidInput, match="says unencrypted"):
        page["far_scene"]("ws://twin.example/bridge", tmp_path)
    await page["test_the_tilt_is_set"]()
