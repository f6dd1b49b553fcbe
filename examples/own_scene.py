"""Your own scene: phones walk in circles, cells count the nearest, attributes can be changed.

Start a twin with `twin up --no-scene`, then: python examples/own_scene.py [HOST:PORT]
"""

import asyncio
import math
import sys

import numpy as np

from bridge.client import SceneClient
from bridge.figures import KindFigures, first_sim_time_s
from twin.commands import Command, CommandResult, CommandStage, SetAttributes
from twin.entities import Kind
from twin.errors import InvalidInput


def obey(command: Command) -> CommandResult:
    """Say yes to new attributes; here a real scene would turn its antennas."""
    if not isinstance(command.body, SetAttributes):
        raise InvalidInput("this scene only sets attributes")
    return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, observed=command.body.actions)


async def main(url: str, *, lasts_s: float = math.inf) -> None:
    """Run until interrupted, or for `lasts_s`."""
    async with SceneClient(url, "main", provides=("MOTION", "KPI"), engine="own", on_command=obey) as scene:
        ues, cells = KindFigures(scene, Kind.UE), KindFigures(scene, Kind.CELL, ("RRC.ConnMean",))
        begin_s = math.ceil(first_sim_time_s(scene))
        await scene.send_observed(scene.start.desired, sim_time_s=begin_s)
        await scene.send_live(begin_s)
        for tick in range(1, int(min(lasts_s, 1e9) * 10)):
            angle = tick / 100
            place_m = ues.position_m + 20 * np.array([math.cos(angle), math.sin(angle), 0], np.float32)
            ues.telemetry(begin_s + tick / 10, position_m=place_m)
            if tick % 10 == 0:
                distance_m = np.linalg.norm(place_m[:, None] - cells.position_m[None], axis=2)  # [num_ues, num_cells]
                await cells.pm(
                    begin_s + tick / 10, np.bincount(distance_m.argmin(axis=1), minlength=len(cells.entities))
                )
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8601"))
