"""The scene's end of the kill suite: obeys by counting, and remembers by a ledger. ``python counter_scene.py FILE URL``

Each order to show the overlay `counter` adds one to a counter in memory. After a kill the counter is what the ledger
replays. Reports and positions flow all the while.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bridge.client import SceneClient
from bridge.ledger import FileLedger
from twin.commands import Command, CommandResult, CommandStage
from twin.telemetry import PmReport, TelemetryBatch
from twin_app.logs import configure

PERIOD_S = 0.05


async def main(file: Path, url: str) -> None:
    with FileLedger(file) as ledger:
        counter = sum(entry.result.stage is CommandStage.APPLIED for entry in ledger.after(0))
        print(json.dumps({"event": "begins", "counter": counter}), flush=True)

        def obey(command: Command) -> CommandResult:
            nonlocal counter
            counter += 1
            return CommandResult(
                command_id=command.id, stage=CommandStage.APPLIED, sim_time_s=float(counter), reason=""
            )

        epoch = int(time.time() * 10) % 2**32  # a new run of time with every life
        async with SceneClient(
            url,
            "main",
            provides={"MOTION", "KPI"},
            epoch=epoch,
            takeover=True,
            ledger=ledger,
            on_command=obey,
            connect_timeout_s=None,
        ) as scene:
            await scene.send_live(0.0)
            number = 0
            while True:
                number += 1
                now_s = number * PERIOD_S
                scene.send_telemetry(
                    TelemetryBatch(
                        scene_id="main",
                        epoch=epoch,
                        seq=number,
                        revision=scene.topology.revision,
                        sim_time_s=now_s,
                        entity_index=np.array([1, 2, 3], dtype=np.uint32),
                        position_m=np.zeros((3, 3), dtype=np.float32),
                        kpis=(),
                        values=np.zeros((3, 0), dtype=np.float32),
                    )
                )
                await scene.send_pm(
                    PmReport(
                        scene_id="main",
                        epoch=epoch,
                        seq=number,
                        revision=scene.topology.revision,
                        granularity_period_s=1,
                        period_end_sim_time_s=now_s,
                        entity_index=np.array([0], dtype=np.uint32),
                        counters=("RRC.ConnMean",),
                        values=np.array([[1.0]], dtype=np.float32),
                    )
                )
                await asyncio.sleep(PERIOD_S)


if __name__ == "__main__":
    configure("info")  # to standard error; standard output is for the test
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
