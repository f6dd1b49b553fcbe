"""An engine for tests: moves UEs and nothing else, at ten frames a second, until it is ended.

    python tests/motion_engine.py HOST:PORT UE

Reads one JSON object per line: `{"place": [east, north]}` puts the UE there, `{"running": false}` stops time. Answers
each line with what it has heard of the network: `{"KPI": batches, "serving": index of the serving cell}`.
"""

import asyncio
import json
import sys

import numpy as np

from bridge.client import SceneClient
from twin.entities import Kind
from twin.telemetry import TelemetryBatch
from twin_app.logs import configure


async def main(url: str, ue: str) -> None:
    """Run until standard input closes."""
    heard = {"KPI": 0, "serving": -1}
    order: dict[str, object] = {"running": True}
    async with SceneClient(url, "main", provides=["MOTION"], engine="motion-only") as scene:
        mine = scene.topology.get(ue).index

        def listen(batch: TelemetryBatch) -> None:
            heard["KPI"] += 1
            if "vsData6gServingCell" in batch.kpis and mine in batch.entity_index:
                value = batch.values[batch.entity_index == mine, batch.kpis.index("vsData6gServingCell")][0]
                heard["serving"] = -1 if np.isnan(value) else int(value)

        scene.subscribe(on_telemetry=listen)
        moving = asyncio.create_task(_move(scene, ue, order))
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            order.update(json.loads(line))
            print(json.dumps(heard), flush=True)
        moving.cancel()


async def _move(scene: SceneClient, ue: str, order: dict[str, object]) -> None:
    everybody = scene.topology.of_kind(Kind.UE)
    index = np.array([one.index for one in everybody], np.uint32)
    place_m = np.array([one.position_m for one in everybody], np.float32)
    row = [one.id for one in everybody].index(ue)
    sim_time_s, number = scene.start.resume_at_sim_s or 0.0, 0
    while True:
        if order["running"]:
            sim_time_s, number = sim_time_s + 0.1, number + 1
            place_m[row, :2] = order.get("place", place_m[row, :2])
            scene.send_telemetry(
                TelemetryBatch(
                    scene_id="main",
                    epoch=1,
                    seq=number,
                    revision=scene.topology.revision,
                    sim_time_s=sim_time_s,
                    entity_index=index,
                    position_m=place_m,
                    kpis=(),
                    values=np.zeros((len(index), 0), np.float32),
                )
            )
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    configure("error")
    asyncio.run(main(sys.argv[1], sys.argv[2]))
