"""The follower: computes the network of a scene that an engine only moves.

It connects as the same scene and provides KPI and STATE; the engine provides MOTION. The engine's positions reach it
through the twin, its figures go back to the engine the same way.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from twin.errors import Conflict
from twin_app.followed_world import FollowedWorld, MotionInbox
from twin_app.scene_life import SceneLife

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.client import SceneClient
    from twin.ports import SceneStart
    from twin.scenario import Scenario
    from twin.telemetry import TelemetryBatch
    from twin_app.scene_checkpoint import Checkpoint
    from twin_app.scene_world import SceneWorld

_log = structlog.get_logger("scene")


class FollowScene(SceneLife):
    """The part of a scene that gives the figures."""

    engine = "follower"
    provides = ("KPI", "STATE")

    def __init__(
        self, *, scenario: Scenario, server: str, scene_id: str, seed: int, state_dir: Path, takeover: bool = False
    ) -> None:
        super().__init__(
            scenario=scenario, server=server, scene_id=scene_id, seed=seed, state_dir=state_dir, takeover=takeover
        )
        self._inbox = MotionInbox()
        self._moved = asyncio.Event()
        self._told_refused = self._told_rebased = 0

    def _heard(self, batch: TelemetryBatch) -> None:
        """Take what the engine says."""
        self._inbox.put(batch)
        self._moved.set()

    def _world(self, start: SceneStart, *, seed: int, epoch: int, sim_time_s: float) -> FollowedWorld:
        world = FollowedWorld(
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
        world.follow(self._inbox)
        return world

    async def _enter(self, client: SceneClient, checkpoint: Checkpoint | None) -> SceneWorld:
        client.subscribe(on_telemetry=self._heard)
        start = client.start
        begin_s = start.resume_at_sim_s
        if begin_s is None:
            raise Conflict(
                f"the twin does not say when the scene `{self._scene_id}` begins; it is no scene to be followed"
            )
        if start.past_s:
            await self._tell_past(client, start, end_s=begin_s - begin_s % 60)
        return await self._in_worker(self._continued, start, checkpoint, begin_s)

    async def _live(self, client: SceneClient) -> None:
        world = self._need_world()
        if not isinstance(world, FollowedWorld):
            raise TypeError(f"a follower lives in a followed world, not in `{type(world).__name__}`")
        while True:
            self._moved.clear()  # before the inbox is emptied: what comes meanwhile wakes the next round
            produced = await self._in_worker(world.advance)
            await self._keep_up(client, world)
            if produced.batch is not None:
                client.send_telemetry(replace(produced.batch, position_m=None))
            await self._tell(client, produced.reports)
            await self._tell_oddities(client, world)
            if not world.behind:
                await self._moved.wait()

    async def _tell_oddities(self, client: SceneClient, world: FollowedWorld) -> None:
        if world.refused > self._told_refused:
            if not self._told_refused:
                _log.warning("positions_refused", count=world.refused)
                await client.send_event("motion.refused", {"count": world.refused}, sim_time_s=world.sim_time_s)
            self._told_refused = world.refused
        if world.rebased > self._told_rebased:
            self._told_rebased = world.rebased
            _log.warning("engine_clock_differs", times=world.rebased)
            await client.send_event("motion.clock", {"times": world.rebased}, sim_time_s=world.sim_time_s)
