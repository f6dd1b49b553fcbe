"""The example of a scene of one's own is really run."""

import asyncio
import importlib.util
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from bridge.server import BridgeServer
from bridge.testing import MemorySink
from twin.clock import CivilTime
from twin.commands import Command, CommandStage, ManageFault, SetAttribute, SetAttributes
from twin.ids import uuid7
from twin.ports import SceneStart
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_scene.py"


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("own_scene", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_example_scene_moves_counts_and_obeys() -> None:
    scenario = build_scenario(ScenarioSpec())
    sink = MemorySink(
        SceneStart(
            topology=topology_of(scenario),
            civil=CivilTime(epoch=datetime.now(UTC), timezone=scenario.timezone),
            resume_at_sim_s=None,
            past_s=0,
            speed=1.0,
            desired=(SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=60.0),),
        )
    )
    server = BridgeServer(sink=sink, port=0)
    port = await server.start()
    try:
        running = asyncio.create_task(example().main(f"127.0.0.1:{port}", lasts_s=1.6))
        await sink.until(lambda: "main" in sink.live_at_s)
        tilt = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=80.0)
        set_tilt = Command(id=uuid7(), body=SetAttributes(actions=(tilt,)), issued_by="test")
        assert (await server.link.send(set_tilt, timeout_s=3)).observed == (tilt,)
        fault = ManageFault(operation="inject", fault="power-loss", entity_id="cell-1-1")
        refused = await server.link.send(Command(id=uuid7(), body=fault, issued_by="test"), timeout_s=3)
        assert (refused.stage, refused.reason) == (CommandStage.REJECTED, "this scene only sets attributes")
        await running
    finally:
        await server.stop()

    (report,) = sink.reports.values()
    assert (report.counters, report.values.sum()) == (("RRC.ConnMean",), len(scenario.ues))
    first, last = sink.batches[0].position_m, sink.batches[-1].position_m
    assert first is not None
    assert last is not None
    assert 1.0 < abs(last - first).max() < 40.0
    assert ("cell-1-1", "digitalTilt") in sink.configuration
