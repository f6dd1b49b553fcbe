"""The headless scene: simulates a whole world, its people and its network, and lives at the pace of the wall clock."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from twin_app.scene_life import SceneLife
from twin_app.scene_world import SceneWorld

if TYPE_CHECKING:
    from bridge.client import SceneClient
    from twin.ports import SceneStart
    from twin_app.scene_checkpoint import Checkpoint

LONGEST_CATCH_UP_S = 120.0
"""More simulated time than this between past and present is left as a gap."""


class HeadlessScene(SceneLife):
    """A scene that provides everything."""

    engine = "headless"
    provides = ("MOTION", "KPI", "STATE")
    _told_speed = 0.0

    def _world(self, start: SceneStart, *, seed: int, epoch: int, sim_time_s: float) -> SceneWorld:
        return SceneWorld(
            self._scenario,
            start.topology,
            start.civil,
            scene_id=self._scene_id,
            seed=seed,
            epoch=epoch,
            sim_time_s=sim_time_s,
            speed=start.speed,
            choice=self._choice,
        )

    async def _enter(self, client: SceneClient, checkpoint: Checkpoint | None) -> SceneWorld:
        start = client.start
        resume_s = start.resume_at_sim_s
        if resume_s is not None:
            return await self._in_worker(self._continued, start, checkpoint, resume_s)
        begin_s = math.floor(start.civil.sim_time_s(datetime.now(UTC)))
        if start.past_s:
            begin_s -= begin_s % 60
            await self._tell_past(client, start, end_s=float(begin_s))
            now_s = math.floor(start.civil.sim_time_s(datetime.now(UTC)))
            if now_s - begin_s > LONGEST_CATCH_UP_S:
                begin_s = now_s
        world = await self._in_worker(
            lambda: self._world(start, seed=self._seed, epoch=client.epoch, sim_time_s=float(begin_s))
        )
        while True:
            await self._tell(client, await self._in_worker(world.catch_up, start.civil.sim_time_s(datetime.now(UTC))))
            if start.civil.sim_time_s(datetime.now(UTC)) - world.sim_time_s < 0.2:
                return world

    async def _live(self, client: SceneClient) -> None:
        world = self._need_world()
        while True:
            produced = await self._in_worker(world.advance)
            await self._keep_up(client, world)
            if produced.batch is not None:
                client.send_telemetry(produced.batch)
            await self._tell(client, produced.reports)
            await self._tell_speed(client, world)
            await asyncio.sleep(world.wait_s())

    async def _tell_speed(self, client: SceneClient, world: SceneWorld) -> None:
        if not world.paused and abs(world.speed_actual - self._told_speed) > 0.05 * world.speed:
            self._told_speed = world.speed_actual
            facts = {"requested": world.speed, "actual": world.speed_actual}
            await client.send_event("speed", facts, sim_time_s=world.sim_time_s)
