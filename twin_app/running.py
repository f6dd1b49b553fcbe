"""The running twin: its parts, its start and stop, its health, and what REST asks of it as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from twin.commands import Command, CommandStage, ManageFault
from twin.entities import Kind
from twin.errors import Conflict, DeadlineExceeded, TwinError
from twin.faults import FAULTS
from twin.ids import uuid7
from twin_app.alarm_json import alarm_to_json
from twin_app.children import SceneChild

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.agent import Agent
    from agent.question import AgentEvent, Answer, Question
    from bridge.server import BridgeServer
    from knowledge_graph.embedded import EmbeddedGraph
    from twin.alarms import Alarm
    from twin.scenario import Scenario
    from twin_app.access import Caller
    from twin_app.alarm_log import JournaledAlarmLog
    from twin_app.change_desk import ChangeDesk
    from twin_app.data_folder import DataFolder
    from twin_app.events import NewsHub
    from twin_app.ingest_service import IngestService
    from twin_app.inventory import LiveInventory
    from twin_app.journal import SqliteJournal
    from twin_app.pulse import Pulse
    from twin_app.scene_desk import SceneDesk
    from twin_app.settings import Settings
    from twin_app.sinr_raster import SinrRasters
    from twin_app.store.embedded import EmbeddedTelemetryStore

GRAPH_REFRESH_S = 5.0
"""The engine keeps about 0.1 MB of each update until it is refilled, so figures go there only this often."""
GRAPH_KPIS = ("DRB.UEThpDl", "RRU.PrbTotDl", "vsData6gMeanSsRsrp", "vsData6gMeanSsSinr", "RRC.ConnMean")
HEALTH_NEWS_S = 2.0

SMALL_CELLS = 75
SMALL_UES = 1_500
"""Up to this size the past is told before the twin says `ready`."""

_log = structlog.get_logger("twin_app.running")


@dataclass(slots=True, kw_only=True)
class Twin:
    """Everything that runs, put together by `twin_app.bootstrap.build`."""

    settings: Settings
    scenario: Scenario
    scenario_path: Path
    folder: DataFolder
    inventory: LiveInventory
    journal: SqliteJournal
    store: EmbeddedTelemetryStore
    alarms: JournaledAlarmLog
    ingest: IngestService
    graph: EmbeddedGraph
    scenes: SceneDesk
    bridge: BridgeServer
    changes: ChangeDesk
    agent: Agent
    news: NewsHub
    pulse: Pulse
    rasters: SinrRasters
    with_scene: bool
    grpc_port: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _child: SceneChild | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _warm_up: asyncio.Task[None] | None = None
    _side_work: set[asyncio.Task[None]] = field(default_factory=set)
    _faults: dict[tuple[str, str], float] = field(default_factory=dict)

    # ---- life --------------------------------------------------------------------------------------------

    async def start(self, *, http_port: int, url: str, tell: Callable[[str, float], None]) -> None:
        """Open the bridge, start the scene and the background work, and say where the twin answers."""
        self.grpc_port = await self.bridge.start()
        self.folder.write_run(http_port=http_port, grpc_port=self.grpc_port, url=url)
        self._tasks = [
            asyncio.create_task(self.pulse.run(), name="pulse"),
            asyncio.create_task(self._refresh_graph(), name="graph refresh"),
            asyncio.create_task(self._tell_health(), name="health news"),
        ]
        self._warm_up = asyncio.create_task(self.agent.warm_up(), name="agent warm-up")
        self._tasks.append(self._warm_up)
        if self.with_scene:
            tell("starting the scene", 0.0)
            self._child = SceneChild(
                (
                    "twin_app.scene_process",
                    *("--scenario", str(self.scenario_path)),
                    *("--server", f"127.0.0.1:{self.grpc_port}"),
                    *("--scene-id", self.inventory.scene_id),
                    *("--seed", str(self.scenario.seed)),
                    *("--state-dir", str(self.folder.path / "scene")),
                    "--parent-pipe",
                ),
                log_path=self.folder.path / "scene.log",
                on_exit=self._scene_died,
            )
            self._child.start()

    async def stop(self) -> None:
        """End everything in order; what was acknowledged is on the disk already."""
        self.stopping.set()
        if self._child is not None:
            await self._child.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.rasters.close()
        await self.changes.close()
        await self.scenes.close()
        await self.bridge.stop()
        await self.ingest.close()
        await self.agent.close()
        await self.graph.close()
        await self.store.close()
        await self.journal.close()
        self.folder.close()

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

    def alarm_moved(self, alarm: Alarm) -> None:
        """Tell page, observers and graph about an alarm; called by the alarm log once it is journaled."""
        self.news.publish("alarm", alarm_to_json(alarm, self.inventory.civil))
        self.bridge.publish_alarm(alarm)
        task = asyncio.get_running_loop().create_task(self._alarm_to_graph(alarm))
        self._side_work.add(task)
        task.add_done_callback(self._side_work.discard)

    async def _alarm_to_graph(self, alarm: Alarm) -> None:
        try:
            await self.graph.put_alarm(alarm)
        except TwinError as error:
            _log.warning("alarm_not_in_graph", alarm=alarm.id, error=str(error))

    def _scene_died(self, code: int) -> None:
        _log.error("scene_process_ended", exit_code=code, log=str(self.folder.path / "scene.log"))
        self.news.publish("scene", {"event": "process_ended", "exit_code": code})

    # ---- asking and breaking -----------------------------------------------------------------------------

    async def ask(
        self, question: Question, *, caller: Caller, on_event: Callable[[AgentEvent], None] | None = None
    ) -> Answer:
        """Answer within the time limit."""
        limit_s = self.settings.agent.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await self.agent.ask(
                    question, caller=caller.name, scopes=frozenset(s.value for s in caller.scopes), on_event=on_event
                )
        except TimeoutError as exc:
            raise DeadlineExceeded(f"no answer within `{limit_s:g}` s; ask for less, or a shorter time") from exc

    async def manage_fault(
        self, operation: str, fault: str, entity_id: str, severity: float, *, issued_by: str
    ) -> dict[str, Any]:
        """Inject or clear a fault; journaled for the instructor, unseen by agent and detector."""
        body = ManageFault(
            operation="inject" if operation == "inject" else "clear",
            fault=fault,
            entity_id=entity_id,
            severity=severity,
        )
        fact = {"operation": operation, "fault": fault, "entity": entity_id, "severity": severity}
        # Journal first: a fault that the disk refuses must not befall the scene unrecorded.
        await self.journal.append("fault_asked", [{**fact, "issued_by": issued_by}])
        timeout_s = self.settings.grpc.command_timeout_s
        result = await self.bridge.link.send(
            Command(id=uuid7(), body=body, issued_by=issued_by, deadline_unix_ns=time.time_ns() + int(timeout_s * 1e9)),
            timeout_s=timeout_s,
        )
        if result.stage is not CommandStage.APPLIED:
            raise Conflict(f"the scene answered {result.stage.value}: {result.reason}")
        await self.journal.append("fault", [{**fact, "issued_by": issued_by, "sim_time_s": result.sim_time_s}])
        if operation == "inject":
            self._faults[fault, entity_id] = severity
        else:
            self._faults.pop((fault, entity_id), None)
        return {**fact, "at": self.inventory.civil.rfc3339(result.sim_time_s)}

    async def fault_bench(self) -> dict[str, Any]:
        """Return the catalogue and what is injected now."""
        return {
            "catalogue": [{"name": f.name, "title": f.title} for f in FAULTS],
            "active": [{"fault": f, "entity": e, "severity": s} for (f, e), s in sorted(self._faults.items())],
        }

    async def restore_faults(self) -> None:
        """Learn from the journal what is injected."""
        for _, fact in await self.journal.replay("fault"):
            key = (fact["fault"], fact["entity"])
            if fact["operation"] == "inject":
                self._faults[key] = fact["severity"]
            else:
                self._faults.pop(key, None)

    # ---- health ------------------------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """Return the state of every part in one document."""
        inventory, scene = self.inventory, self.inventory.scene
        bridge, graph, ingest = self.bridge.health(), self.graph.health(), self.ingest.counters()
        parts = {
            "scene": _part(
                "ok" if inventory.live else "degraded",
                "live"
                if inventory.live
                else "telling its past"
                if scene
                else f"absent for {inventory.absent_s or 0:.0f} s",
            ),
            "graph": _part(graph["state"], f"{graph['detail']}, {graph['nodes']} nodes"),
            "store": _part(
                "degraded" if ingest["storage_waiting"] else "ok",
                f"{self.store.counters()['reports_stored']} reports stored"
                + (f", {ingest['storage_waiting']} wait for the disk" if ingest["storage_waiting"] else ""),
            ),
            "planner": _part("ok" if "MiniLM" in self.agent.planner_name else "degraded", self.agent.planner_name),
        }
        dropped = {
            "telemetry_at_bridge": bridge.telemetry_dropped,
            "telemetry_at_ingest": int(ingest["telemetry_dropped"]),
            "telemetry_missing": int(ingest["telemetry_missing"]),
            "pm_duplicates": int(ingest["pm_duplicates"]),
            "news": self.news.dropped,
            "questions_refused": self.agent.refused_questions,
        }
        return {
            "status": "ok" if all(p["status"] == "ok" for p in parts.values()) else "degraded",
            "name": self.scenario.name,
            "now": inventory.civil.rfc3339(inventory.now_s),
            "sim_time_s": round(inventory.now_s, 3),
            "revision": inventory.topology.revision,
            "scenes": [
                {
                    "id": inventory.scene_id,
                    "connected": scene is not None,
                    "live": inventory.live,
                    "engine": scene.engine if scene else None,
                    "provides": sorted(scene.provides) if scene else [],
                    "absent_s": None if inventory.absent_s is None else round(inventory.absent_s, 1),
                    "restarts": 0 if self._child is None else self._child.restarts,
                }
            ],
            "parts": parts,
            "dropped": dropped,
            "loop_lag_ms": {"p50": self.pulse.lag_ms(0.5), "p99": self.pulse.lag_ms(0.99)},
            "history": {"progress": round(inventory.history_progress, 3)},
            "speed_requested": self.settings.speed,
            "speed_actual": self.pulse.speed(),
            "alarms_active": len(self.alarms.active()),
            "bridge": _plain(asdict(bridge)),
            "ingest": ingest,
            "store": self.store.counters(),
            "graph": graph,
        }

    # ---- background --------------------------------------------------------------------------------------

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

    async def _tell_health(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_NEWS_S)
            with contextlib.suppress(TwinError):
                self.news.publish("health", self.health())


def _part(status: str, text: str) -> dict[str, str]:
    return {"status": status, "text": text}


def _plain(value: Any) -> Any:
    """Return the value as JSON knows it: NaN becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
