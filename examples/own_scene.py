"""Your own scene: phones walk in circles, cells count the nearest, attributes can be changed.

Start a twin with `twin up --no-scene`, then: python examples/own_scene.py [HOST:PORT]
"""

import asyncio
import math
import sys
import time
from dataclasses import replace

import numpy as np

from bridge.client import SceneClient
from twin.commands import Command, CommandResult, CommandStage, SetAttribute, SetAttributes
from twin.entities import Kind
from twin.errors import InvalidInput
from twin.telemetry import PmReport, TelemetryBatch


async def main(url: str, *, lasts_s: float = float("inf")) -> None:
    """Run until interrupted, or for `lasts_s`."""
    configuration: dict[tuple[str, str], SetAttribute] = {}

    def obey(command: Command) -> CommandResult:
        if not isinstance(command.body, SetAttributes):
            raise InvalidInput("this scene only sets attributes")
        if not command.dry_run:
            configuration.update({(a.entity_id, a.attribute): a for a in command.body.actions})
        return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, observed=command.body.actions)

    async with SceneClient(url, "main", provides=("MOTION", "KPI"), engine="own", on_command=obey) as scene:
        ues, cells = scene.topology.of_kind(Kind.UE), scene.topology.of_kind(Kind.CELL)
        configuration.update({(a.entity_id, a.attribute): a for a in scene.start.desired})
        home_m, mast_m = (np.array([e.position_m for e in kind], np.float32) for kind in (ues, cells))
        begin_s, begin_wall_s = math.ceil(scene.start.resume_at_sim_s or 0.0), time.monotonic()
        batch = TelemetryBatch(
            scene_id="main", epoch=1, seq=0, revision=scene.topology.revision, sim_time_s=begin_s, kpis=(),
            entity_index=np.array([ue.index for ue in ues], np.uint32), position_m=home_m,
            values=np.zeros((len(ues), 0), np.float32),
        )  # fmt: skip
        report = PmReport(
            scene_id="main", epoch=1, seq=0, revision=scene.topology.revision, granularity_period_s=1,
            period_end_sim_time_s=begin_s, entity_index=np.array([cell.index for cell in cells], np.uint32),
            counters=("RRC.ConnMean",), values=np.zeros((len(cells), 1), np.float32),
        )  # fmt: skip
        await scene.send_observed(configuration.values(), sim_time_s=begin_s)
        await scene.send_live(begin_s)
        while (elapsed_s := time.monotonic() - begin_wall_s) < lasts_s:
            circle_m = 20 * np.array([math.cos(elapsed_s / 10), math.sin(elapsed_s / 10), 0], np.float32)
            place_m = home_m + circle_m
            batch = replace(batch, seq=batch.seq + 1, sim_time_s=begin_s + elapsed_s, position_m=place_m)
            scene.send_telemetry(batch)
            if begin_s + elapsed_s >= report.period_end_sim_time_s + 1:
                distance_m = np.linalg.norm(place_m[:, None] - mast_m[None], axis=2)  # [num_ues, num_cells]
                served = np.bincount(distance_m.argmin(axis=1), minlength=len(cells))
                end_s = report.period_end_sim_time_s + 1
                report = replace(
                    report, seq=report.seq + 1, period_end_sim_time_s=end_s, values=np.float32(served[:, None])
                )
                await scene.send_pm(report)
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8601"))
