"""The one composition root: options and settings in, a running twin out.

Everything that knows which adapter stands behind which port is here. Order of start: folder lock, journal, store,
alarms, graph, changes, bridge, agent, scene; stop is the reverse.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from agent.agent import Agent
from bridge.server import BridgeServer
from knowledge_graph.embedded import EmbeddedGraph
from knowledge_graph.projection import GraphPicture
from twin_app.alarm_log import JournaledAlarmLog
from twin_app.change_desk import ChangeDesk
from twin_app.change_json import change_to_json
from twin_app.data_folder import DataFolder
from twin_app.events import NewsHub
from twin_app.ingest_service import IngestService
from twin_app.inventory import LiveInventory
from twin_app.journal import SqliteJournal
from twin_app.pulse import Pulse
from twin_app.running import Twin
from twin_app.scenarios import ScenarioSpec, build_scenario, save_scenario
from twin_app.scene_desk import SceneDesk
from twin_app.sinr_raster import SinrRasters
from twin_app.store.embedded import EmbeddedTelemetryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from twin.control import Change
    from twin.scenario import Scenario
    from twin_app.serve import UpOptions
    from twin_app.settings import Settings

SCENE_ID = "main"
QUARTER_S = 900
"""The scenario epoch is a quarter of an hour, so that archive periods end on the quarter."""


async def build(options: UpOptions, settings: Settings, *, tell: Callable[[str, float], None]) -> Twin:
    """Return a twin with everything restored from its data folder, not yet listening.

    Raises:
        ScenarioError: A city file is wrong. FolderLocked, FolderMismatch, CorruptStore: The data folder is not ours.
    """
    tell("building the city", 0.0)
    scenario = await asyncio.to_thread(_scenario_of, options, settings)
    folder = DataFolder.lock(settings.data_dir)
    async with contextlib.AsyncExitStack() as undo:  # what was opened is closed again when a later part fails
        undo.callback(folder.close)
        epoch = _quarter_before(datetime.now(UTC) - timedelta(seconds=settings.past_s))
        record, _ = folder.city_record(
            digest=scenario.digest, name=scenario.name, scene_id=SCENE_ID, timezone=scenario.timezone, now=epoch
        )
        scenario_path = folder.path / "scenario.npz"
        await asyncio.to_thread(save_scenario, scenario, scenario_path)
        tell("opening the memory", 0.0)
        journal = SqliteJournal(folder.journal_path)
        await journal.open()
        undo.push_async_callback(journal.close)
        inventory = LiveInventory(scenario=scenario, scene_id=record.scene_id, civil=record.civil, journal=journal)
        await inventory.restore()
        store = EmbeddedTelemetryStore(
            folder.telemetry_path, scene_id=record.scene_id, topology=lambda: inventory.topology
        )
        await store.open()
        undo.push_async_callback(store.close)
        alarms = JournaledAlarmLog(journal, scene_id=record.scene_id)
        await alarms.open()
        news = NewsHub()
        ingest = IngestService(store=store, alarms=alarms, inventory=inventory, state_path=folder.detector_path)
        await ingest.open()
        undo.push_async_callback(ingest.close)
        scenes = SceneDesk(
            inventory=inventory,
            figures=ingest,
            alarms=alarms,
            journal=journal,
            news=news,
            past_s=settings.past_s,
            speed=settings.speed,
        )
        span = await store.coverage()
        await scenes.restore(newest_s=None if span is None else span[1])
        bridge = BridgeServer(sink=scenes, port=settings.grpc.port)
        scenes.link = bridge.link
        tell("starting the graph", 0.0)
        graph = EmbeddedGraph()
        await graph.start()
        undo.push_async_callback(graph.close)

        async def change_moved(change: Change) -> None:
            news.publish("change", change_to_json(change, inventory.civil))
            bridge.topology_changed(inventory.topology)
            await graph.put_change(change)

        async def attributes_applied(entity_ids: tuple[str, ...]) -> None:
            ingest.relearn(entity_ids)
            await graph.put_attributes(inventory.topology, entity_ids)

        changes = ChangeDesk(
            inventory=inventory,
            journal=journal,
            link=bridge.link,
            store=store,
            approval=settings.approval,
            grpc=settings.grpc,
            on_change=change_moved,
            on_applied=attributes_applied,
        )
        await changes.restore()
        await graph.rebuild(
            GraphPicture(
                scene_id=record.scene_id,
                scenario=scenario,
                topology=inventory.topology,
                alarms=await alarms.list(limit=10_000),
                changes=await changes.list(limit=10_000),
            )
        )
        agent = Agent(
            inventory=inventory,
            store=store,
            graph=graph,
            alarms=alarms,
            changes=changes,
            encoder_folder=settings.agent.encoder,
            max_question_chars=settings.agent.max_question_chars,
        )
        twin = Twin(
            settings=settings,
            scenario=scenario,
            scenario_path=scenario_path,
            folder=folder,
            inventory=inventory,
            journal=journal,
            store=store,
            alarms=alarms,
            ingest=ingest,
            graph=graph,
            scenes=scenes,
            bridge=bridge,
            changes=changes,
            agent=agent,
            news=news,
            pulse=Pulse(lambda: inventory.now_s if inventory.live else None),
            rasters=SinrRasters(inventory=inventory, store=store),
            with_scene=options.with_scene,
        )
        await twin.restore_faults()
        alarms.subscribe(twin.alarm_moved)
        undo.pop_all()
        return twin


def _scenario_of(options: UpOptions, settings: Settings) -> Scenario:
    given: dict[str, Any] = {"city": options.city, "area": options.area, "sites": options.sites}
    given = {key: value for key, value in given.items() if value}
    if options.scenario is not None:
        given["scenario"] = options.scenario
    if options.scenario is None or "seed" in settings.model_fields_set or options.seed is not None:
        given["seed"] = settings.seed
    return build_scenario(ScenarioSpec(**given))


def _quarter_before(moment: datetime) -> datetime:
    seconds = moment.timestamp()
    return datetime.fromtimestamp(seconds - seconds % QUARTER_S, UTC)
