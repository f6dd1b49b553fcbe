"""A follower behind an engine: ``python tests/bench/follow.py [--quick] [--json FILE]``.

Everybody moves at 50 km/h, ten times a second. `cpu_per_step` is what one step of the followed world costs; its
baseline is a step of the same city whose UEs walk by themselves, in turn with it. `motion_to_figure` is measured at
the engine: from sending places until the figures for that moment are back, over the bridge, the follower process and
the bridge again; its baseline is the engine's tick of 100 ms, in which it has to fit.
"""

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from bridge.client import SceneClient
from bridge.server import BridgeServer
from bridge.testing import MemorySink
from tests.bench._report import Rows, arguments
from twin.clock import CivilTime
from twin.entities import Kind
from twin.ports import SceneStart
from twin.scenario import Scenario
from twin.telemetry import TelemetryBatch
from twin.topology import Topology, topology_of
from twin_app.followed_world import FollowedWorld, MotionInbox
from twin_app.logs import configure
from twin_app.scenarios import ScenarioSpec, build_scenario, save_scenario
from twin_app.scene_world import TICK_S, SceneWorld

BEGIN_S = 100.0
STEP_M = 1.4
TICK_MS = 1000 * TICK_S


class Crowd:
    """Everybody, moving to and fro."""

    def __init__(self, topology: Topology) -> None:
        ues = topology.of_kind(Kind.UE)
        self._index = np.array([one.index for one in ues], np.uint32)
        self._place_m = np.array([one.position_m for one in ues], np.float32)
        self.number = 0

    @property
    def sim_time_s(self) -> float:
        return round(BEGIN_S + self.number * TICK_S, 3)

    def move(self) -> TelemetryBatch:
        """Return where everybody is one tick later."""
        self.number += 1
        self._place_m[:, 0] += STEP_M * (1 if self.number // 50 % 2 == 0 else -1)
        return TelemetryBatch(
            scene_id="main",
            epoch=1,
            seq=self.number,
            revision=1,
            sim_time_s=self.sim_time_s,
            entity_index=self._index,
            position_m=self._place_m,
            kpis=(),
            values=np.zeros((len(self._index), 0), np.float32),
        )


def cpu_per_step(scenario: Scenario, *, steps: int) -> tuple[list[float], list[float]]:
    """Return milliseconds per step of a followed and of a walking world."""
    topology, civil = topology_of(scenario), CivilTime(epoch=datetime(2026, 11, 16, 12, tzinfo=UTC), timezone="UTC")
    same = {"scene_id": "main", "seed": 1, "epoch": 1, "sim_time_s": BEGIN_S, "speed": 1.0}
    followed, walking = (kind(scenario, topology, civil, **same) for kind in (FollowedWorld, SceneWorld))
    inbox, crowd = MotionInbox(), Crowd(topology)
    followed.follow(inbox)
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(steps + 5):
        inbox.put(crowd.move())
        begun = time.process_time()
        followed.advance()
        between = time.process_time()
        walking.catch_up(crowd.sim_time_s, wall_limit_s=10.0)
        walking.network.telemetry(scene_id="main", epoch=1, seq=1)
        if number >= 5:  # the first steps compute every path
            ours.append(1000 * (between - begun))
            theirs.append(1000 * (time.process_time() - between))
    return ours, theirs


async def motion_to_figure(scenario: Scenario, *, ticks: int) -> list[float]:
    """Return milliseconds from places sent to figures heard, of every tick."""
    sink = MemorySink(
        SceneStart(
            topology=topology_of(scenario),
            civil=CivilTime(epoch=datetime.now(UTC) - timedelta(seconds=BEGIN_S), timezone="UTC"),
            resume_at_sim_s=BEGIN_S,
            past_s=0,
            speed=1.0,
            desired=(),
            scenario_digest=scenario.digest,
        )
    )
    server = BridgeServer(sink=sink, port=0)
    port = await server.start()
    sent: dict[float, float] = {}
    took_ms: list[float] = []

    def heard(batch: TelemetryBatch) -> None:
        begun = sent.pop(round(batch.sim_time_s, 1), None)
        if begun is not None:
            took_ms.append(1000 * (time.monotonic() - begun))

    with tempfile.TemporaryDirectory() as folder:
        save_scenario(scenario, Path(folder) / "scenario.npz")
        follower = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "twin_app.scene_process", "--scenario", f"{folder}/scenario.npz"),
            *("--server", f"127.0.0.1:{port}", "--follow", "main", "--state-dir", f"{folder}/state"),
            *("--log-level", "error", "--parent-pipe"),
            stdin=asyncio.subprocess.PIPE,
        )
        try:
            async with SceneClient(f"127.0.0.1:{port}", "main", provides=["MOTION"], engine="bench") as engine:
                engine.subscribe(on_telemetry=heard)
                await sink.until(lambda: "main" in sink.live_at_s, timeout_s=60)
                crowd = Crowd(engine.topology)
                due_s = time.monotonic()
                for number in range(ticks + 20):
                    batch = crowd.move()
                    if number >= 20:
                        sent[round(batch.sim_time_s, 1)] = time.monotonic()
                    engine.send_telemetry(batch)
                    due_s += TICK_S
                    await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                await asyncio.sleep(0.5)
        finally:
            follower.terminate()
            await follower.wait()
            await server.stop()
    return took_ms


def main() -> None:
    wanted = arguments(__doc__ or "").parse_args()
    configure("error")
    rows = Rows(packages=("numpy", "grpcio"))
    for count in (1000,) if wanted.quick else (500, 1000, 2000):
        scenario = build_scenario(ScenarioSpec(num_ues=count))
        ours, theirs = cpu_per_step(scenario, steps=60 if wanted.quick else 300)
        rows.add(f"follow.{count}_ues.cpu_per_step", ours, "ms", baseline=theirs)
        took_ms = asyncio.run(motion_to_figure(scenario, ticks=60 if wanted.quick else 300))
        rows.add(f"follow.{count}_ues.motion_to_figure", took_ms, "ms", baseline=[TICK_MS])
    rows.write(wanted.json)


if __name__ == "__main__":
    main()
