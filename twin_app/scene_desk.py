"""What the bridge hands over about scenes, and what the twin does with it.

Implements `twin.ports.SceneSink`: figures go on to ingest; coming, going, drift of the configuration and the
progress of the past are handled here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from twin.alarms import Severity
from twin.attributes import same_value
from twin.commands import Command, CommandStage, SetAttributes
from twin.errors import Conflict, TwinError
from twin.ids import uuid7
from twin.ports import EntityVerdict, SceneStart
from twin_app.patience import until_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twin.commands import SetAttribute
    from twin.media import Utterance
    from twin.ports import Journal, OfferedEntity, SceneInfo, SceneLink
    from twin.telemetry import PmReport, TelemetryBatch
    from twin_app.alarm_log import JournaledAlarmLog
    from twin_app.events import NewsHub
    from twin_app.inventory import LiveInventory

DRIFT = "configurationOrCustomisationError"
"""X.733 probableCause of a configuration drift."""

PUSH_TIMEOUT_S = 10.0

_log = structlog.get_logger("twin_app.scene_desk")


class Figures(Protocol):
    """Where telemetry and reports go."""

    def telemetry(self, batch: TelemetryBatch) -> None:
        """Take gauges."""
        ...

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        """Take a report."""
        ...

    def live(self) -> None:
        """The past is told; start watching."""
        ...


class SceneDesk:
    """Receives scenes.

    Attributes:
        ready: Set when a scene is connected and its past is told.
        link: The way back into the scene; given once the bridge exists.
    """

    link: SceneLink

    def __init__(
        self,
        *,
        inventory: LiveInventory,
        figures: Figures,
        alarms: JournaledAlarmLog,
        journal: Journal,
        news: NewsHub,
        past_s: int,
        speed: float,
    ) -> None:
        self.ready = asyncio.Event()
        self._inventory = inventory
        self._figures = figures
        self._alarms = alarms
        self._journal = journal
        self._news = news
        self._past_s = past_s
        self._speed = speed
        self._past_told = False
        self._has_history = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def restore(self, *, newest_s: float | None) -> None:
        """Learn from the journal whether the past was told, and from the store where time stands."""
        self._past_told = any(fact["event"] == "live" for _, fact in await self._journal.replay("scene"))
        self._has_history = newest_s is not None
        if newest_s is not None:
            self._inventory.note_time(newest_s)
        if self._past_told or self._past_s == 0:
            self._inventory.history_progress = 1.0

    async def close(self) -> None:
        """End what runs in the background."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def scene_connecting(self, info: SceneInfo) -> SceneStart:
        """Tell the scene what it must be and where to go on.

        Raises:
            Conflict: The twin keeps another scene.
        """
        if info.scene_id != self._inventory.scene_id:
            raise Conflict(f"this twin keeps the scene `{self._inventory.scene_id}`, not `{info.scene_id}`")
        self._inventory.scene_came(info)
        self._say("connected", info.scene_id, engine=info.engine, engine_version=info.engine_version)
        return SceneStart(
            topology=self._inventory.topology,
            civil=self._inventory.civil,
            resume_at_sim_s=self._inventory.now_s if self._past_told and self._has_history else None,
            past_s=0 if self._past_told else self._past_s,
            speed=self._speed,
            desired=self._inventory.desired(),
            origin=self._inventory.scenario.origin,
            scenario_digest=self._inventory.scenario.digest,
        )

    def scene_disconnected(self, info: SceneInfo, reason: str) -> None:
        """Simulated time stands still; answers say `as_of`."""
        self._inventory.scene_left()
        self.ready.clear()
        self._say("disconnected", info.scene_id, reason=reason)

    def scene_live(self, scene_id: str, sim_time_s: float) -> None:
        """The past is told; from now on it is the present."""
        self._inventory.note_time(sim_time_s)
        self._inventory.live = True
        self._inventory.history_progress = 1.0
        self._has_history = True
        self._figures.live()
        if not self._past_told:
            self._past_told = True
            self._spawn(self._note_live(scene_id, sim_time_s))
        self.ready.set()
        self._say("live", scene_id)

    def telemetry(self, batch: TelemetryBatch) -> None:
        """Pass gauges on."""
        if self._inventory.live:
            self._inventory.note_time(batch.sim_time_s)
        self._figures.telemetry(batch)

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        """Pass a report on; during the past it moves the progress."""
        self._inventory.note_time(report.period_end_sim_time_s)
        if not self._past_told and self._past_s:
            share = report.period_end_sim_time_s / self._past_s
            self._inventory.history_progress = max(self._inventory.history_progress, min(share, 0.999))
        await self._figures.pm(report, done)

    def observed(self, scene_id: str, attributes: Sequence[SetAttribute], sim_time_s: float) -> None:
        """Compare what the scene reads back with what it must be; push the differences."""
        _ = sim_time_s
        seen = {(a.entity_id, a.attribute): a.value for a in attributes}
        wrong = tuple(
            wanted
            for wanted in self._inventory.desired()
            if (wanted.entity_id, wanted.attribute) in seen
            and not same_value(seen[wanted.entity_id, wanted.attribute], wanted.value)
        )
        if wrong:
            self._spawn(self._bring_back(scene_id, wrong))
        else:
            self._spawn(self._clear_drift(sim_time_s))

    def scene_event(self, scene_id: str, name: str, facts: Mapping[str, Any], sim_time_s: float) -> None:
        """Pass other news on."""
        self._say(name, scene_id, sim_time_s=sim_time_s, **facts)

    def scene_voice(self, utterance: Utterance) -> None:
        """Tell people that somebody spoke; what was said is nobody's business but the listener's."""
        self._say(
            "voice",
            utterance.scene_id,
            speaker=utterance.speaker,
            utterance=utterance.utterance_id,
            duration_s=round(utterance.duration_s, 2),
            lost_chunks=utterance.lost_chunks,
        )

    async def contributed(self, scene_id: str, offered: Sequence[OfferedEntity]) -> Sequence[EntityVerdict]:
        """Refuse what a scene offers; the inventory is the scenario's."""
        _ = scene_id
        reason = "this twin takes entities from the scenario only"
        return [EntityVerdict(local_id=one.local_id, entity_id="", index=0, reason=reason) for one in offered]

    async def _note_live(self, scene_id: str, sim_time_s: float) -> None:
        fact = {"event": "live", "scene_id": scene_id, "sim_time_s": sim_time_s}
        await until_stored(lambda: self._journal.append("scene", [fact]), what="scene live")

    async def _bring_back(self, scene_id: str, wrong: tuple[SetAttribute, ...]) -> None:
        command = Command(id=uuid7(), body=SetAttributes(actions=wrong), issued_by="twin:desired-state")
        try:
            result = await self.link.send(command, timeout_s=PUSH_TIMEOUT_S)
            refusal = "" if result.stage is CommandStage.APPLIED else result.reason or result.stage.value
        except TwinError as error:
            refusal = str(error)
        if not refusal:
            _log.info("drift_corrected", scene_id=scene_id, attributes=len(wrong))
            await self._clear_drift(self._inventory.now_s)
            return
        first = wrong[0]
        if self._alarms.standing(first.entity_id, DRIFT) is None:
            entity = self._inventory.topology.get(first.entity_id)
            await until_stored(
                lambda: self._alarms.raise_alarm(
                    entity_id=entity.id,
                    dn=entity.dn,
                    probable_cause=DRIFT,
                    severity=Severity.MAJOR,
                    event_type="processingErrorAlarm",
                    specific_problem=f"configuration drift: {len(wrong)} attributes differ; the scene says: {refusal}",
                    at_s=self._inventory.now_s,
                ),
                what="drift alarm",
            )

    async def _clear_drift(self, sim_time_s: float) -> None:
        for alarm in self._alarms.active():
            if alarm.probable_cause == DRIFT:
                at_s = max(sim_time_s, self._inventory.now_s)
                await until_stored(lambda a=alarm, at_s=at_s: self._alarms.clear(a.id, at_s=at_s), what="drift alarm")

    def _say(self, event: str, scene_id: str, **facts: Any) -> None:
        _log.info("scene_news", event_name=event, scene_id=scene_id, **facts)
        self._news.publish("scene", {"event": event, "scene_id": scene_id, **facts})

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
