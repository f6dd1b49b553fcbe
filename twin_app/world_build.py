"""Puts one scene together: a plan and what all scenes share in, a restored world out.

Order: city, folder, journal, store, alarms, ingest, desk, graph, changes, agent; what was opened is closed again when
a later part fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from agent.agent import Agent
from agent.planner import load_planner
from knowledge_graph.embedded import EmbeddedGraph
from knowledge_graph.projection import GraphPicture
from twin.errors import StoreUnavailable
from twin_app.alarm_log import JournaledAlarmLog
from twin_app.change_desk import ChangeDesk
from twin_app.change_json import change_line
from twin_app.command_record import CommandRecord
from twin_app.fault_bench import FaultBench
from twin_app.ingest_service import IngestService
from twin_app.inventory import LiveInventory
from twin_app.journal import SqliteJournal
from twin_app.pulse import SpeedMeter
from twin_app.scenarios import ScenarioSpec, build_scenario, load_scenario, save_scenario
from twin_app.scene_desk import SceneDesk
from twin_app.scene_login import environment_of
from twin_app.scene_player import ScenePlayer
from twin_app.settings import PAST_S
from twin_app.shadow import SceneShadow
from twin_app.sinr_raster import SinrRasters
from twin_app.store.embedded import EmbeddedTelemetryStore
from twin_app.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from agent.planner import Planner
    from bridge.server import BridgeServer
    from twin.control import Change
    from twin.scenario import Scenario
    from twin_app.access import Door
    from twin_app.command_record import RecordedLink
    from twin_app.data_folder import DataFolder, SceneFolder
    from twin_app.events import NewsHub
    from twin_app.scene_list import ScenePlan
    from twin_app.scene_router import SceneRouter
    from twin_app.settings import Settings
    from twin_app.shadow_pool import ShadowPool

QUARTER_S = 900
"""The scenario epoch is a quarter of an hour, so that archive periods end on the quarter."""

MAX_LISTED = 10_000

_log = structlog.get_logger("twin_app.world_build")


class SharedPlanner:
    """One planner for the agents of all scenes: its sentence encoder takes 90 MB."""

    def __init__(self, encoder_folder: Path | None) -> None:
        self._folder = encoder_folder
        self._lock = threading.Lock()
        self._planner: Planner | None = None

    def load(self) -> Planner:
        """Return the planner, loaded by whoever asks first. Blocking: call it in a worker."""
        with self._lock:
            if self._planner is None:
                self._planner = load_planner(self._folder)
            return self._planner


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the scenes of one twin have in common."""

    settings: Settings
    door: Door
    folder: DataFolder
    bridge: BridgeServer
    router: SceneRouter
    records: dict[str, CommandRecord]
    link: RecordedLink
    news: NewsHub
    planner: SharedPlanner
    shadows: ShadowPool


async def open_world(
    plan: ScenePlan, shared: Shared, *, given: ScenarioSpec | None = None, with_scene: bool = True
) -> World:
    """Return the scene with everything restored from its folder; it does not run and no scene is let in yet.

    Args:
        given: City that the command line describes; None = the plan and the folder decide.
        with_scene: This start runs headless scenes at all.

    Raises:
        ScenarioError: A city file is wrong. FolderMismatch, CorruptStore: The folder holds something else.
        StoreUnavailable: The disk is full.
    """
    settings, folder = shared.settings, shared.folder.scene(plan.id)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StoreUnavailable(f"the folder `{folder.path}` cannot be made: {exc.strerror}") from exc
    scenario = await asyncio.to_thread(_city_of, plan, folder, given, settings.seed)
    past_s = PAST_S[plan.past or settings.past]
    async with contextlib.AsyncExitStack() as undo:
        epoch = _quarter_before(datetime.now(UTC) - timedelta(seconds=past_s))
        record, _ = folder.city_record(
            digest=scenario.digest, name=scenario.name, scene_id=plan.id, timezone=scenario.timezone, now=epoch
        )
        await asyncio.to_thread(save_scenario, scenario, folder.scenario_path)
        journal = SqliteJournal(folder.journal_path)
        await journal.open()
        undo.push_async_callback(journal.close)
        commands = CommandRecord(journal, scene_id=plan.id)
        await commands.restore()
        shared.records[plan.id] = commands
        undo.callback(shared.records.pop, plan.id, None)
        link = shared.link.of(plan.id)
        inventory = LiveInventory(scenario=scenario, scene_id=plan.id, civil=record.civil, journal=journal)
        await inventory.restore()
        store = EmbeddedTelemetryStore(folder.telemetry_path, scene_id=plan.id, topology=lambda: inventory.topology)
        await store.open()
        undo.push_async_callback(store.close)
        alarms = JournaledAlarmLog(journal, scene_id=plan.id)
        await alarms.open()
        ingest = IngestService(store=store, alarms=alarms, inventory=inventory, state_path=folder.detector_path)
        await ingest.open()
        undo.push_async_callback(ingest.close)

        def process_ended(code: int) -> None:
            _log.error("scene_process_ended", scene_id=plan.id, exit_code=code, log=str(folder.log_path))
            shared.news.publish("scene", {"event": "process_ended", "scene_id": plan.id, "exit_code": code})

        player = ScenePlayer(
            scene_id=plan.id,
            folder=folder,
            seed=scenario.seed,
            environment=environment_of(
                shared.door.child_token, data_dir=shared.folder.path, certificate=settings.tls.certificate
            ),
            on_exit=process_ended,
        )
        scenes = SceneDesk(
            inventory=inventory,
            figures=ingest,
            alarms=alarms,
            journal=journal,
            news=shared.news,
            past_s=past_s,
            speed=settings.speed,
            follower=player,
        )
        span = await store.coverage()
        await scenes.restore(newest_s=None if span is None else span[1])
        scenes.link = link
        graph = EmbeddedGraph()
        await graph.start()
        undo.push_async_callback(graph.close)

        async def change_moved(change: Change) -> None:
            shared.news.publish("change", {"scene_id": plan.id, **change_line(change, inventory.civil)})
            shared.bridge.topology_changed(inventory.topology, scene_id=plan.id)
            await graph.put_change(change)

        async def found_changed(entity_ids: tuple[str, ...]) -> None:
            # The detector is not told to learn anew: nobody said that this change was meant.
            shared.bridge.topology_changed(inventory.topology, scene_id=plan.id)
            await graph.put_attributes(inventory.topology, entity_ids)

        faults = FaultBench(
            inventory=inventory,
            journal=journal,
            link=link,
            record=commands,
            timeout_s=settings.grpc.command_timeout_s,
            on_configured=found_changed,
        )
        await faults.restore()

        async def attributes_applied(entity_ids: tuple[str, ...]) -> None:
            ingest.relearn(entity_ids)
            await faults.applied(entity_ids)
            await graph.put_attributes(inventory.topology, entity_ids)

        shadow = SceneShadow(
            inventory=inventory,
            store=store,
            source=shared.bridge,
            pool=shared.shadows,
            settings=settings.shadow,
            guard_drop=settings.approval.guard_drop,
        )
        changes = ChangeDesk(
            inventory=inventory,
            journal=journal,
            link=link,
            store=store,
            approval=settings.approval,
            grpc=settings.grpc,
            on_change=change_moved,
            on_applied=attributes_applied,
            shadow=shadow if settings.shadow.enabled else None,
        )
        await changes.restore()

        async def picture() -> GraphPicture:
            return GraphPicture(
                scene_id=plan.id,
                scenario=scenario,
                topology=inventory.topology,
                alarms=await alarms.list(limit=MAX_LISTED),
                changes=await changes.list(limit=MAX_LISTED),
            )

        await graph.rebuild(await picture())

        async def grown() -> None:
            shared.bridge.topology_changed(inventory.topology, scene_id=plan.id)
            await graph.rebuild(await picture())

        scenes.on_grown = grown

        world = World(
            plan=plan,
            with_scene=plan.with_scene and with_scene,
            settings=settings,
            scenario=scenario,
            folder=folder,
            inventory=inventory,
            journal=journal,
            store=store,
            alarms=alarms,
            ingest=ingest,
            graph=graph,
            scenes=scenes,
            bridge=shared.bridge,
            link=link,
            changes=changes,
            shadow=shadow,
            faults=faults,
            agent=Agent(
                inventory=inventory,
                store=store,
                graph=graph,
                alarms=alarms,
                changes=changes,
                what_if=shadow,
                load=shared.planner.load,
                max_question_chars=settings.agent.max_question_chars,
            ),
            news=shared.news,
            meter=SpeedMeter(lambda: inventory.now_s if inventory.live else None),
            rasters=SinrRasters(inventory=inventory, store=store),
            player=player,
        )
        alarms.subscribe(world.alarm_moved)
        undo.pop_all()
        return world


def _city_of(plan: ScenePlan, folder: SceneFolder, given: ScenarioSpec | None, twin_seed: int) -> Scenario:
    """Return the described city, else the one that the folder keeps, else a generated one."""
    if given is not None:
        return build_scenario(given)
    wanted: dict[str, Any] = {"scenario": plan.scenario, "seed": plan.seed, "num_ues": plan.ues}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    if not wanted and folder.scenario_path.exists():
        return load_scenario(folder.scenario_path)
    if plan.scenario is None:
        wanted["seed"] = plan.seed_of(twin_seed)
    return build_scenario(ScenarioSpec(**wanted))


def _quarter_before(moment: datetime) -> datetime:
    seconds = moment.timestamp()
    return datetime.fromtimestamp(seconds - seconds % QUARTER_S, UTC)
