"""The running twin: one bridge and one door for all scenes, their start and stop, and its health as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from twin.commands import Command, CommandStage, SimulationControl
from twin.errors import Conflict, FolderMismatch, NotFound, SceneNotNamed, TwinError
from twin.ids import uuid7
from twin_app.data_folder import SceneFolder
from twin_app.scene_list import SLUG, ScenePlan
from twin_app.scene_login import own_address
from twin_app.scene_router import no_such_scene
from twin_app.world_build import open_world

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bridge.access import TlsFiles
    from bridge.server import BridgeServer
    from twin.commands import CommandBody, CommandResult
    from twin_app.access import Door
    from twin_app.command_record import RecordedLink
    from twin_app.data_folder import DataFolder
    from twin_app.events import NewsHub
    from twin_app.pulse import Pulse
    from twin_app.scene_list import SceneList
    from twin_app.settings import Settings
    from twin_app.world import World
    from twin_app.world_build import Shared

HEALTH_NEWS_S = 2.0

_log = structlog.get_logger("twin_app.running")


@dataclass(slots=True, kw_only=True)
class Twin:
    """Everything that runs, put together by `twin_app.bootstrap.build`.

    Attributes:
        worlds: The scenes by id, in the order in which they came.
    """

    shared: Shared
    tls: TlsFiles | None
    listed: SceneList
    pulse: Pulse
    worlds: dict[str, World] = field(default_factory=dict)
    grpc_port: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _moving_in: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def settings(self) -> Settings:
        """All settings."""
        return self.shared.settings

    @property
    def door(self) -> Door:
        """Who may come in."""
        return self.shared.door

    @property
    def folder(self) -> DataFolder:
        """Where everything is kept."""
        return self.shared.folder

    @property
    def bridge(self) -> BridgeServer:
        """Where scenes and observers come in."""
        return self.shared.bridge

    @property
    def news(self) -> NewsHub:
        """News for whoever listens."""
        return self.shared.news

    @property
    def link(self) -> RecordedLink:
        """The way to all scenes, with the journal before and behind every order."""
        return self.shared.link

    # ---- scenes ------------------------------------------------------------------------------------------

    @property
    def first(self) -> World:
        """The scene that came first: what is shown to who names none where one must be shown."""
        return next(iter(self.worlds.values()))

    def world(self, scene_id: str | None) -> World:
        """Return a scene; None = the only one.

        Raises:
            SceneNotNamed: There are several. NotFound: There is no such scene.
        """
        if scene_id is None:
            if len(self.worlds) > 1:
                raise SceneNotNamed(
                    f"this twin keeps several scenes; name one with ?scene=: {', '.join(sorted(self.worlds))}"
                )
            return self.first
        if scene_id not in self.worlds:
            raise NotFound(no_such_scene(scene_id, tuple(self.worlds)))
        return self.worlds[scene_id]

    def take(self, world: World) -> None:
        """Make a world part of the twin: scenes of its id are let in."""
        self.worlds[world.id] = world
        self.shared.router.attach(world.id, world.scenes)
        self.pulse.meters.append(world.meter)

    async def add_scene(self, plan: ScenePlan) -> World:
        """Build a scene, record it so that it comes back after a restart, and start it.

        Raises:
            Conflict: It exists already, its folder holds another city, or there are too many.
            ScenarioError, StoreUnavailable.
        """
        async with self._moving_in:
            if plan.id in self.worlds:
                raise Conflict(f"the scene `{plan.id}` exists already; choose another id")
            limit = self.settings.max_scenes
            if len(self.worlds) >= limit:
                raise Conflict(
                    f"this twin keeps `{len(self.worlds)}` scenes and may keep `{limit}`; remove one, or raise"
                    " TWIN_MAX_SCENES if there is memory for it (each takes some 200 MB with its headless scene)"
                )
            try:
                world = await open_world(plan, self.shared)
            except FolderMismatch as exc:
                raise Conflict(
                    f"the folder of an earlier scene `{plan.id}` holds another city; leave seed and ues out to have"
                    " that one again, choose another id, or remove it with purge"
                ) from exc
            try:
                self.listed.write([*(one.plan for one in self.worlds.values()), plan])
            except TwinError:
                await self._end(world)
                raise
            self.take(world)
            world.start(server=own_address(self.grpc_port, self.tls, host=self.settings.grpc.host))
            _log.info("scene_added", scene_id=plan.id)
            self.news.publish("scene", {"event": "added", "scene_id": plan.id})
            return world

    async def remove_scene(self, scene_id: str, *, purge: bool) -> None:
        """Stop a scene; its folder stays unless it is purged, also that of one that was removed before.

        Raises:
            NotFound: There is no such scene. Conflict: It is the only one. StoreUnavailable: The disk is full.
        """
        async with self._moving_in:
            world = self.worlds.get(scene_id)
            folder = self._left_behind(scene_id) if world is None else world.folder
            if folder is None or (world is None and not purge):
                raise NotFound(no_such_scene(scene_id, tuple(self.worlds)))
            if world is not None:
                if len(self.worlds) == 1:
                    raise Conflict(f"`{scene_id}` is the only scene; add another first, or end the twin")
                self.listed.write(one.plan for one in self.worlds.values() if one is not world)
                del self.worlds[scene_id]
                self.shared.router.detach(scene_id)
                self.pulse.meters.remove(world.meter)
                await self._end(world)
                _log.info("scene_removed", scene_id=scene_id, purged=purge)
                self.news.publish("scene", {"event": "removed", "scene_id": scene_id})
            if purge:
                await asyncio.to_thread(folder.purge)

    def _left_behind(self, scene_id: str) -> SceneFolder | None:
        folder = self.folder.scene(scene_id) if SLUG.fullmatch(scene_id) else None
        return folder if folder is not None and (folder.path / "city.json").exists() else None

    async def _end(self, world: World) -> None:
        await world.quiet()
        await self.bridge.end_scene(world.id, f"the scene `{world.id}` was removed from this twin")
        self.shared.records.pop(world.id, None)
        await world.close()

    # ---- life --------------------------------------------------------------------------------------------

    async def start(self, *, http_port: int, url: str, tell: Callable[[str, float], None]) -> None:
        """Open the bridge, start the scenes and the background work, and say where the twin answers."""
        self.grpc_port = await self.bridge.start()
        self.folder.write_run(http_port=http_port, grpc_port=self.grpc_port, url=url)
        self._tasks = [
            asyncio.create_task(self.pulse.run(), name="pulse"),
            asyncio.create_task(self._tell_health(), name="health news"),
        ]
        tell("starting the scene" if len(self.worlds) == 1 else "starting the scenes", 0.0)
        for world in self.worlds.values():
            world.start(server=own_address(self.grpc_port, self.tls, host=self.settings.grpc.host))

    async def stop(self) -> None:
        """End everything in order; what was acknowledged is on the disk already."""
        self.stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(world.quiet() for world in self.worlds.values()))
        await self.shared.shadows.close()
        await self.bridge.stop()
        await self.close_worlds()
        self.folder.close()

    async def close_worlds(self) -> None:
        """Close the memory of every scene."""
        await asyncio.gather(*(world.close() for world in self.worlds.values()))

    @property
    def ready(self) -> bool:
        """Whether questions can be answered as promised."""
        return all(world.ready for world in self.worlds.values())

    @property
    def waiting_for(self) -> str:
        """What stands between now and `ready`, for the progress bar."""
        slow = self.slowest
        return slow.waiting_for if len(self.worlds) == 1 else f"{slow.waiting_for} ({slow.id})"

    @property
    def slowest(self) -> World:
        """A scene that is not ready, while there is one."""
        return next((world for world in self.worlds.values() if not world.ready), self.first)

    def in_words(self) -> list[str]:
        """Return the cities, each with the id of its scene where there are several."""
        several = len(self.worlds) > 1
        return [f"{one.id}: {one.scenario.name}" if several else one.scenario.name for one in self.worlds.values()]

    @property
    def progress(self) -> float:
        """0..1, how much of the past is told, of the scene that is furthest behind."""
        return min(world.inventory.history_progress for world in self.worlds.values())

    # ---- orders ------------------------------------------------------------------------------------------

    async def order(
        self, body: CommandBody, *, scene_ids: Sequence[str], issued_by: str, key: str | None, dry_run: bool
    ) -> tuple[str, Mapping[str, CommandResult]]:
        """Send an order to some scenes and return its id and every scene's answer.

        Args:
            key: Idempotency-Key: the same key of the same caller gives the same order, never a second one.

        Raises:
            KeyReused: The key was used with another order or for other scenes. NotFound: There is no such scene.
            StoreUnavailable: The journal takes nothing; nothing was sent.
        """
        named = "" if key is None else f"{issued_by}\n{key}"
        timeout_s = self.settings.grpc.command_timeout_s
        command = Command(
            id=self.link.id_of(named, uuid7(), scene_ids=scene_ids) if named else uuid7(),
            body=body,
            issued_by=issued_by,
            deadline_unix_ns=time.time_ns() + int(timeout_s * 1e9),
            dry_run=dry_run,
        )
        answers = await self.link.send_to_all(command, scene_ids=scene_ids, timeout_s=timeout_s, key=named)
        if isinstance(body, SimulationControl) and body.operation == "speed" and not dry_run:
            for scene_id, answer in answers.items():
                if answer.stage is CommandStage.APPLIED and scene_id in self.worlds:
                    self.worlds[scene_id].scenes.speed = body.speed  # also when it connects anew
        return command.id, answers

    # ---- health ------------------------------------------------------------------------------------------

    def health(self, world: World | None = None) -> dict[str, Any]:
        """Return the state of every part in one document; where a part is of one scene, of this one (None = first)."""
        shown = world or self.first
        inventory, bridge = shown.inventory, self.bridge.health()
        rows = [one.row() for one in self.worlds.values()]
        parts = shown.parts()
        dropped = {"telemetry_at_bridge": bridge.telemetry_dropped, **shown.dropped(), "news": self.news.dropped}
        fine = all(part["status"] == "ok" for row in rows for part in row["parts"].values())
        return {
            "status": "ok" if fine else "degraded",
            "name": shown.scenario.name,
            "scene": shown.id,
            "now": inventory.civil.rfc3339(inventory.now_s),
            "sim_time_s": round(inventory.now_s, 3),
            "revision": inventory.topology.revision,
            "scenes": rows,
            "parts": parts,
            "dropped": dropped,
            "loop_lag_ms": {"p50": self.pulse.lag_ms(0.5), "p99": self.pulse.lag_ms(0.99)},
            "history": {"progress": round(inventory.history_progress, 3)},
            "speed_requested": shown.scenes.speed,
            "speed_actual": shown.meter.speed(),
            "alarms_active": len(shown.alarms.active()),
            "bridge": _plain(asdict(bridge)),
            "ingest": shown.ingest.counters(),
            "store": shown.store.counters(),
            "graph": shown.graph.health(),
        }

    async def _tell_health(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_NEWS_S)
            with contextlib.suppress(TwinError):
                self.news.publish("health", self.health())


def _plain(value: Any) -> Any:
    """Return the value as JSON knows it: NaN becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
