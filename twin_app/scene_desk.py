"""What the bridge hands over about one scene, and what the twin does with it.

Implements `twin.ports.SceneSink`: figures go on to ingest; coming, going, the progress of the past and contributed
entities are handled here, drift of the configuration in :mod:`twin_app.drift`, alarms in :mod:`twin_app.scene_alarms`.

A scene may be shown by two programs: an engine that provides MOTION and a follower that computes the network (KPI and
STATE). The figures decide whether the scene is live; the engine's coming and going is news, and it decides whether a
follower is wanted.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from twin.errors import Conflict
from twin.ports import EntityVerdict, SceneStart
from twin_app.contributions import taken_in
from twin_app.drift import DriftWatch
from twin_app.patience import until_stored
from twin_app.scene_alarms import SceneAlarms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from twin.alarms import Alarm
    from twin.commands import SetAttribute
    from twin.media import Utterance
    from twin.ports import Journal, OfferedEntity, SceneInfo, SceneLink
    from twin.telemetry import PmReport, TelemetryBatch
    from twin_app.alarm_log import JournaledAlarmLog
    from twin_app.events import NewsHub
    from twin_app.inventory import LiveInventory

MOTION = frozenset({"MOTION"})
FOLLOWER_STAYS_S = 30.0
"""An engine that comes back within this time finds its follower still there."""

_log = structlog.get_logger("twin_app.scene_desk")
_OWN_WORDS = frozenset({"event", "event_name", "scene_id", "sim_time_s", "self"})
"""Words of a piece of news that a scene's own facts must not replace."""


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


class Follower(Protocol):
    """A process that computes the network of a scene which only moves things."""

    def attach(self) -> None:
        """Start it; nothing when it runs already."""
        ...

    async def detach(self) -> None:
        """Let it end."""
        ...


class SceneDesk:
    """Receives one scene.

    Args:
        follower: Computes the network when the scene only moves things; None = such a scene has figures only when
            somebody runs `twin scene --follow` by hand.
        follower_stays_s: How long the follower waits for an engine that left.

    Attributes:
        ready: Set while figures come: somebody who provides KPI is connected and has told the past.
        link: The way back into the scene; given once the bridge exists.
        speed: Simulated seconds per wall second that a scene is asked for when it connects.
        on_grown: Told after entities were contributed; given by who knows bridge and graph.
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
        follower: Follower | None = None,
        follower_stays_s: float = FOLLOWER_STAYS_S,
    ) -> None:
        self.ready = asyncio.Event()
        self.on_grown: Callable[[], Awaitable[None]] | None = None
        self._inventory = inventory
        self._figures = figures
        self._journal = journal
        self._news = news
        self._past_s = past_s
        self.speed = speed
        self._follower = follower
        self._follower_stays_s = follower_stays_s
        self._drift = DriftWatch(inventory=inventory, alarms=alarms, link=lambda: self.link)
        self._scene_alarms = SceneAlarms(alarms=alarms, inventory=inventory)
        self._contributing = asyncio.Lock()
        self._past_told = False
        self._has_history = False
        self._begin_s: float | None = None
        self._motion_left_at: float | None = None
        self._leaving: asyncio.Task[None] | None = None
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
        """End what runs in the background, the follower too."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._drift.close()
        if self._follower is not None:
            await self._follower.detach()

    # --- who shows the scene -------------------------------------------------------------------------------------

    @property
    def moved_by(self) -> SceneInfo | None:
        """The program that only moves things, None while there is none."""
        return next((one for one in self._inventory.sessions if one.provides == MOTION), None)

    @property
    def motion_absent_s(self) -> float | None:
        """Wall seconds since the program that moved the scene left, None while there is one or never was."""
        return None if self._motion_left_at is None else time.monotonic() - self._motion_left_at

    def scene_connecting(self, info: SceneInfo) -> SceneStart:
        """Tell a program that shows the scene what it must be and where to go on.

        Raises:
            Conflict: The twin keeps another scene.
        """
        inventory = self._inventory
        if info.scene_id != inventory.scene_id:
            raise Conflict(f"this twin keeps the scene `{inventory.scene_id}`, not `{info.scene_id}`")
        inventory.scene_came(info)
        if inventory.live:
            self.ready.set()  # a session that was resumed goes on as live as it was
        elif "KPI" in info.provides:
            self.ready.clear()
        self._say(
            "connected",
            info.scene_id,
            engine=info.engine,
            engine_version=info.engine_version,
            provides=sorted(info.provides),
        )
        if "MOTION" in info.provides:
            self._motion_left_at = None
            self._stop_leaving()
        self.follow_if_wanted()
        whole = {"MOTION", "KPI"} <= info.provides
        goes_on = self._past_told and self._has_history
        return SceneStart(
            topology=inventory.topology,
            civil=inventory.civil,
            resume_at_sim_s=inventory.now_s if goes_on else None if whole else self._begin(),
            past_s=0 if self._past_told or "KPI" not in info.provides else self._past_s,
            speed=self.speed,
            desired=inventory.desired(),
            origin=inventory.scenario.origin,
            scenario_digest=inventory.scenario.digest,
        )

    def scene_disconnected(self, info: SceneInfo, reason: str) -> None:
        """Without figures simulated time stands still; without the engine its follower waits for a while."""
        self._inventory.scene_left(info)
        if not self._inventory.live:
            self.ready.clear()
        if not self._inventory.sessions and not self._past_told:
            self._begin_s = None  # nobody is left to whom it was told
        self._say("disconnected", info.scene_id, reason=reason, provides=sorted(info.provides))
        if "MOTION" in info.provides and not any("MOTION" in one.provides for one in self._inventory.sessions):
            self._motion_left_at = time.monotonic()
            self._say("motion_gone", info.scene_id, engine=info.engine)
            if self._follower is not None and self._leaving is None:
                self._leaving = self._spawn(self._end_follower(self._follower))
        elif "KPI" in info.provides:
            self.follow_if_wanted()

    def _begin(self) -> float:
        """Return where a new world begins that two programs share: both must be told the same moment."""
        if self._begin_s is None:
            self._begin_s = float(int(self._inventory.civil.sim_time_s(datetime.now(UTC))))
        return self._begin_s

    def follow_if_wanted(self) -> None:
        """Start the follower when the scene is moved and nobody gives its figures."""
        if self._follower is not None and self.moved_by is not None and self._inventory.figures_from is None:
            self._follower.attach()

    async def _end_follower(self, follower: Follower) -> None:
        await asyncio.sleep(self._follower_stays_s)
        self._leaving = None  # from here on it is not to be stopped half way
        await follower.detach()
        self.follow_if_wanted()  # the engine may have come back while the follower ended

    def _stop_leaving(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    # --- what it says --------------------------------------------------------------------------------------------

    def scene_live(self, scene_id: str, sim_time_s: float) -> None:
        """The past is told; from now on it is the present. Only who provides the figures can say so."""
        if self._inventory.figures_from is None:
            return
        self._inventory.note_time(sim_time_s)
        self._inventory.went_live()
        self._has_history = True
        self._figures.live()
        if not self._past_told:
            self._past_told = True
            self._spawn(self._note_live(scene_id, sim_time_s))
        self.ready.set()
        self._say("live", scene_id)

    def telemetry(self, batch: TelemetryBatch) -> None:
        """Pass gauges on; in a shared scene now is the time of the last figure, not of the last position."""
        if self._inventory.live and (batch.kpis or not batch.source):
            self._inventory.note_time(batch.sim_time_s)
        self._figures.telemetry(_within_provision(batch))

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        """Pass a report on; during the past it moves the progress."""
        self._inventory.note_time(report.period_end_sim_time_s)
        if not self._past_told and self._past_s:
            share = report.period_end_sim_time_s / self._past_s
            self._inventory.history_progress = max(self._inventory.history_progress, min(share, 0.999))
        await self._figures.pm(report, done)

    def observed(self, scene_id: str, attributes: Sequence[SetAttribute], sim_time_s: float) -> None:
        """Compare what the scene reads back with what it must be; push the differences."""
        self._drift.seen(scene_id, attributes, sim_time_s)

    def scene_event(self, scene_id: str, name: str, facts: Mapping[str, Any], sim_time_s: float) -> None:
        """Pass other news on; a fact that goes by one of our own words is told under another."""
        told = {f"told_{word}" if word in _OWN_WORDS else word: fact for word, fact in facts.items()}
        self._say(name, scene_id, sim_time_s=sim_time_s, **told)

    async def scene_alarm(self, alarm: Alarm) -> None:
        """Take an alarm into the twin's own list, which tells everybody once it is journaled.

        Raises:
            InvalidInput: It cannot be meant.
        """
        await self._scene_alarms.take(alarm)

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
        """Take in entities that only the scene knows; journaled before the scene is told its ids.

        Raises:
            StoreUnavailable: The journal takes nothing; offer them again.
        """
        async with self._contributing:  # two offers at once must not be given the same index
            rows, verdicts = taken_in(offered, self._inventory.topology)
            if rows:
                await self._inventory.contribute(rows)
        if rows:
            self._say("contributed", scene_id, entities=[row.id for row in rows[:50]], count=len(rows))
            if self.on_grown is not None:
                await self.on_grown()
        return verdicts

    async def _note_live(self, scene_id: str, sim_time_s: float) -> None:
        fact = {"event": "live", "scene_id": scene_id, "sim_time_s": sim_time_s}
        await until_stored(lambda: self._journal.append("scene", [fact]), what="scene live")

    def _say(self, event: str, scene_id: str, **facts: Any) -> None:
        _log.info("scene_news", event_name=event, scene_id=scene_id, **facts)
        self._news.publish("scene", {"event": event, "scene_id": scene_id, **facts})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _within_provision(batch: TelemetryBatch) -> TelemetryBatch:
    """Return what the program that measured holds: in a shared scene the other part of the batch is the other one's."""
    if not batch.source:
        return batch
    provides = batch.source.split("+")
    if "KPI" not in provides and batch.kpis:
        batch = replace(batch, kpis=(), values=batch.values[:, :0])
    if "MOTION" not in provides and batch.position_m is not None:
        batch = replace(batch, position_m=None)
    return batch
