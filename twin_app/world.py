"""Everything of one scene: what exists, its memory, its changes, its agent, and the process that plays it.

A twin has one of these per scene (`twin_app.running`); they share the bridge, the news, the sentence encoder and the
door, and nothing else. `twin_app.world_build` puts one together.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from twin.entities import Kind
from twin.errors import DeadlineExceeded, TwinError
from twin_app.alarm_json import alarm_to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.agent import Agent
    from agent.question import AgentEvent, Answer, Question
    from bridge.server import BridgeServer
    from knowledge_graph.embedded import EmbeddedGraph
    from twin.alarms import Alarm
    from twin.scenario import Scenario
    from twin_app.access import Caller
    from twin_app.alarm_log import JournaledAlarmLog
    from twin_app.change_desk import ChangeDesk
    from twin_app.command_record import RecordedLink
    from twin_app.data_folder import SceneFolder
    from twin_app.events import NewsHub
    from twin_app.fault_bench import FaultBench
    from twin_app.ingest_service import IngestService
    from twin_app.inventory import LiveInventory
    from twin_app.journal import SqliteJournal
    from twin_app.pulse import SpeedMeter
    from twin_app.scene_desk import SceneDesk
    from twin_app.scene_list import ScenePlan
    from twin_app.scene_player import ScenePlayer
    from twin_app.settings import Settings
    from twin_app.shadow import SceneShadow
    from twin_app.sinr_raster import SinrRasters
    from twin_app.store.embedded import EmbeddedTelemetryStore

GRAPH_REFRESH_S = 5.0
"""The engine keeps about 0.1 MB of each update until it is refilled, so figures go there only this often."""
GRAPH_KPIS = ("DRB.UEThpDl", "RRU.PrbTotDl", "vsData6gMeanSsRsrp", "vsData6gMeanSsSinr", "RRC.ConnMean")

SMALL_CELLS = 75
SMALL_UES = 1_500
"""Up to this size the past is told before the twin says `ready`."""

_log = structlog.get_logger("twin_app.world")


@dataclass(slots=True, kw_only=True)
class World:
    """One scene with everything that belongs to it."""

    plan: ScenePlan
    with_scene: bool
    settings: Settings
    scenario: Scenario
    folder: SceneFolder
    inventory: LiveInventory
    journal: SqliteJournal
    store: EmbeddedTelemetryStore
    alarms: JournaledAlarmLog
    ingest: IngestService
    graph: EmbeddedGraph
    scenes: SceneDesk
    bridge: BridgeServer
    link: RecordedLink
    changes: ChangeDesk
    shadow: SceneShadow
    faults: FaultBench
    agent: Agent
    news: NewsHub
    meter: SpeedMeter
    rasters: SinrRasters
    player: ScenePlayer
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _warm_up: asyncio.Task[None] | None = None
    _side_work: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def id(self) -> str:
        """The scene's id."""
        return self.inventory.scene_id

    # ---- life --------------------------------------------------------------------------------------------

    def start(self, *, server: str) -> None:
        """Start the scene process and the background work; the bridge listens already."""
        self._warm_up = asyncio.create_task(self.agent.warm_up(), name=f"agent warm-up {self.id}")
        self._tasks = [
            self._warm_up,
            asyncio.create_task(self._refresh_graph(), name=f"graph refresh {self.id}"),
            asyncio.create_task(self._tend_faults(), name=f"faults {self.id}"),
        ]
        self.player.open(server=server, plays=self.with_scene)
        self.scenes.follow_if_wanted()  # an engine may have been quicker

    async def quiet(self) -> None:
        """End what acts by itself: processes, changes under way, background work. Scenes may still be connected."""
        await self.player.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.rasters.close()
        await self.changes.close()
        await self.shadow.close()
        await self.scenes.close()
        await self.link.close(self.id)

    async def close(self) -> None:
        """End everything else in order; what was acknowledged is on the disk already."""
        await self.ingest.close()
        await self.agent.close()
        await self.graph.close()
        await self.store.close()
        await self.journal.close()

    # ---- readiness ---------------------------------------------------------------------------------------

    @property
    def small(self) -> bool:
        """Whether the past is part of `ready`."""
        return len(self.scenario.cells) <= SMALL_CELLS and len(self.scenario.ues) <= SMALL_UES

    @property
    def ready(self) -> bool:
        """Whether questions can be answered as promised."""
        if self._warm_up is None or not self._warm_up.done():
            return False
        if not self.with_scene:
            return True
        return self.scenes.ready.is_set() if self.small else self.inventory.scene is not None

    @property
    def waiting_for(self) -> str:
        """What stands between now and `ready`, for the progress bar."""
        if self.with_scene and self.inventory.scene is None:
            return "waiting for the scene"
        return "loading the planner" if self.inventory.live or not self.with_scene else "telling the past"

    # ---- asking and telling ------------------------------------------------------------------------------

    async def ask(
        self, question: Question, *, caller: Caller, on_event: Callable[[AgentEvent], None] | None = None
    ) -> Answer:
        """Answer within the time limit.

        Raises:
            DeadlineExceeded: It took too long.
        """
        limit_s = self.settings.agent.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await self.agent.ask(
                    question, caller=caller.name, scopes=frozenset(s.value for s in caller.scopes), on_event=on_event
                )
        except TimeoutError as exc:
            raise DeadlineExceeded(f"no answer within `{limit_s:g}` s; ask for less, or a shorter time") from exc

    def alarm_moved(self, alarm: Alarm) -> None:
        """Tell page, observers and graph about an alarm; called by the alarm log once it is journaled."""
        self.news.publish("alarm", {"scene_id": self.id, **alarm_to_json(alarm, self.inventory.civil)})
        self.bridge.publish_alarm(alarm)
        task = asyncio.get_running_loop().create_task(self._alarm_to_graph(alarm))
        self._side_work.add(task)
        task.add_done_callback(self._side_work.discard)

    async def _alarm_to_graph(self, alarm: Alarm) -> None:
        try:
            await self.graph.put_alarm(alarm)
        except TwinError as error:
            _log.warning("alarm_not_in_graph", alarm=alarm.id, error=str(error))

    # ---- health ------------------------------------------------------------------------------------------

    def row(self) -> dict[str, Any]:
        """Return the scene as a line of a list: who is connected, what time it is, how long it has been away."""
        inventory = self.inventory
        scene = inventory.scene
        return {
            "id": self.id,
            "name": self.scenario.name,
            "connected": scene is not None,
            "live": inventory.live,
            "engine": scene.engine if scene else None,
            "provides": sorted({one for session in inventory.sessions for one in session.provides}),
            "sessions": [
                {
                    "session": one.session_id,
                    "engine": one.engine,
                    "provides": sorted(one.provides),
                    "fencing_number": one.fencing_number,
                }
                for one in inventory.sessions
            ],
            "now": inventory.civil.rfc3339(inventory.now_s),
            "absent_s": None if inventory.absent_s is None else round(inventory.absent_s, 1),
            "motion_absent_s": None if self.scenes.motion_absent_s is None else round(self.scenes.motion_absent_s, 1),
            "restarts": self.player.restarts,
            "with_scene": self.with_scene,
            "following": self.player.following,
            "history": {"progress": round(inventory.history_progress, 3)},
            "revision": inventory.topology.revision,
            "speed_actual": self.meter.speed(),
            "alarms_active": len(self.alarms.active()),
            "parts": self.parts(),
        }

    def parts(self) -> dict[str, dict[str, str]]:
        """Return the state of every part in people's words."""
        inventory, graph, ingest = self.inventory, self.graph.health(), self.ingest.counters()
        waiting = ingest["storage_waiting"]
        return {
            "scene": _part(
                "ok" if inventory.live and self.scenes.motion_absent_s is None else "degraded", self._scene_in_words()
            ),
            "graph": _part(graph["state"], f"{graph['detail']}, {graph['nodes']} nodes"),
            "store": _part(
                "degraded" if waiting else "ok",
                f"{self.store.counters()['reports_stored']} reports stored"
                + (f", {waiting} wait for the disk" if waiting else ""),
            ),
            "shadow": _part("ok", self.shadow.in_words),
            "planner": _part("ok" if "MiniLM" in self.agent.planner_name else "degraded", self.agent.planner_name),
        }

    def dropped(self) -> dict[str, int]:
        """Return what was lost on the way into this scene's memory."""
        ingest = self.ingest.counters()
        return {
            "telemetry_at_ingest": int(ingest["telemetry_dropped"]),
            "telemetry_missing": int(ingest["telemetry_missing"]),
            "pm_duplicates": int(ingest["pm_duplicates"]),
            "questions_refused": self.agent.refused_questions,
        }

    def _scene_in_words(self) -> str:
        inventory = self.inventory
        if inventory.live:
            gone_s = self.scenes.motion_absent_s
            return "live" if gone_s is None else f"the engine has been gone for {gone_s:.0f} s, time stands still"
        if inventory.absent_s is None:
            return "telling its past"
        shown = "shown without figures, which have been " if inventory.scene is not None else ""
        return f"{shown}absent for {inventory.absent_s:.0f} s"

    # ---- background --------------------------------------------------------------------------------------

    async def _tend_faults(self) -> None:
        await self.scenes.ready.wait()
        try:
            await self.faults.settle()
        except TwinError as error:
            _log.warning("faults_not_settled", scene_id=self.id, error=str(error))
        if self.scenario.faults:
            await self.faults.follow(self.scenario.faults)

    async def _refresh_graph(self) -> None:
        while True:
            await asyncio.sleep(GRAPH_REFRESH_S)
            if not self.inventory.live:
                continue
            try:
                await self.graph.refresh(self._last_values(), sim_time_s=self.inventory.now_s)
            except TwinError as error:  # no figures yet, or the engine is being rebuilt
                _log.info("graph_not_refreshed", error=str(error))

    def _last_values(self) -> dict[str, dict[str, float]]:
        values: dict[str, dict[str, float]] = {}
        for name in GRAPH_KPIS:
            _, ids, column = self.store.latest(Kind.CELL, name)
            for entity_id, value in zip(ids, column.tolist(), strict=True):
                values.setdefault(entity_id, {})[name] = value
        _, _, serving = self.store.latest(Kind.UE, "vsData6gServingCell")
        counts = Counter(int(index) for index in serving.tolist() if index >= 0)
        for cell in self.inventory.topology.of_kind(Kind.CELL):
            values.setdefault(cell.id, {})["serving_count"] = float(counts[cell.index])
        return values


def _part(status: str, text: str) -> dict[str, str]:
    return {"status": status, "text": text}
