"""Alarms, active and past: journaled before anyone sees them, replayed at start.

Implements :class:`twin.ports.AlarmLog` and the half that writes. One alarm stands for one (entity, probable cause)
at a time, as in X.733: raising it again while it is active brings the one that stands up to date. What a scene tells
stands beside it under the scene's own name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from twin.alarms import Alarm, AlarmEvidence, Severity
from twin.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin.ports import Journal

AlarmListener = Callable[[Alarm], None]
"""Called on the event loop after an alarm was raised, changed or cleared; must return quickly."""


class JournaledAlarmLog:
    """The one place where alarms are raised and cleared.

    Args:
        journal: Where every raise and clear is stored first.
        scene_id: The scene whose alarms these are.
        max_past: Cleared alarms kept in RAM; older ones stay in the journal only.
    """

    def __init__(self, journal: Journal, *, scene_id: str, max_past: int = 10_000) -> None:
        self._journal = journal
        self._scene_id = scene_id
        self._max_past = max_past
        self._alarms: dict[str, Alarm] = {}
        self._active: dict[tuple[str, str, str], str] = {}
        self._told: dict[str, str] = {}
        self._number = 0
        self._listeners: list[AlarmListener] = []
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        """Replay the journal; alarms that were active are active again."""
        for _, fact in await self._journal.replay("alarm"):
            self._apply(_alarm_of(fact))

    def subscribe(self, listener: AlarmListener) -> Callable[[], None]:
        """Call `listener` with every alarm from now on; returns the function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def active(self) -> tuple[Alarm, ...]:
        """Return the active alarms, newest first."""
        return tuple(sorted((self._alarms[i] for i in self._active.values()), key=_newest_first))

    async def list(
        self,
        *,
        entity_id: str | None = None,
        since_s: float | None = None,
        include_cleared: bool = True,
        limit: int = 500,
    ) -> tuple[Alarm, ...]:
        """Return alarms, newest first; `since_s` keeps those that were active at or after that moment."""
        found = [
            alarm
            for alarm in self._alarms.values()
            if (entity_id is None or alarm.entity_id == entity_id)
            and (alarm.active or include_cleared)
            and (since_s is None or alarm.cleared_at_s is None or alarm.cleared_at_s >= since_s)
        ]
        return tuple(sorted(found, key=_newest_first)[:limit])

    def get(self, alarm_id: str) -> Alarm:
        """Return one alarm.

        Raises:
            NotFound: There is none with this id.
        """
        try:
            return self._alarms[alarm_id]
        except KeyError:
            raise NotFound(f"there is no alarm `{alarm_id}`; list them with `twin alarms`") from None

    def standing(self, entity_id: str, probable_cause: str) -> Alarm | None:
        """Return the active alarm of this entity and cause that the twin raised, None when there is none."""
        alarm_id = self._active.get((entity_id, probable_cause, ""))
        return None if alarm_id is None else self._alarms[alarm_id]

    def told_as(self, name: str) -> Alarm | None:
        """Return the last alarm that a scene told under this name, None when there is none."""
        alarm_id = self._told.get(name)
        return None if alarm_id is None else self._alarms[alarm_id]

    async def raise_alarm(
        self,
        *,
        entity_id: str,
        dn: str,
        probable_cause: str,
        event_type: str,
        severity: Severity,
        specific_problem: str,
        at_s: float,
        evidence: Sequence[AlarmEvidence] = (),
        told_as: str = "",
    ) -> Alarm:
        """Journal an alarm, then show it; one that already stands is brought up to date instead.

        Args:
            told_as: A scene's name for it; "" = the twin raises it itself.

        Raises:
            StoreUnavailable: It could not be journaled, so nobody sees it.
        """
        async with self._writing:
            alarm_id = self._active.get((entity_id, probable_cause, told_as))
            if alarm_id is not None:
                standing = self._alarms[alarm_id]
                alarm = replace(
                    standing, perceived_severity=severity, specific_problem=specific_problem, evidence=tuple(evidence)
                )
                return standing if alarm == standing else await self._store(alarm)
            alarm = Alarm(
                id=f"alarm-{self._number + 1}",
                scene_id=self._scene_id,
                entity_id=entity_id,
                dn=dn,
                probable_cause=probable_cause,
                perceived_severity=severity,
                event_type=event_type,
                specific_problem=specific_problem,
                raised_at_s=at_s,
                evidence=tuple(evidence),
                told_as=told_as,
            )
            return await self._store(alarm)

    async def clear(self, alarm_id: str, *, at_s: float) -> Alarm:
        """Journal that an alarm is over, then show it; clearing a cleared one changes nothing.

        Raises:
            NotFound: There is no such alarm. StoreUnavailable: It could not be journaled.
        """
        async with self._writing:
            alarm = self.get(alarm_id)
            return await self._store(replace(alarm, cleared_at_s=at_s)) if alarm.active else alarm

    async def _store(self, alarm: Alarm) -> Alarm:
        await self._journal.append("alarm", [_fact_of(alarm)])
        self._apply(alarm)
        for listener in tuple(self._listeners):
            listener(alarm)
        return alarm

    def _apply(self, alarm: Alarm) -> None:
        self._number = max(self._number, int(alarm.id.rpartition("-")[2]))
        self._alarms[alarm.id] = alarm
        key = (alarm.entity_id, alarm.probable_cause, alarm.told_as)
        if alarm.told_as:
            self._told[alarm.told_as] = alarm.id
        if alarm.active:
            self._active[key] = alarm.id
        elif self._active.get(key) == alarm.id:
            del self._active[key]
        if len(self._alarms) > self._max_past + len(self._active):
            oldest = next(i for i, a in self._alarms.items() if not a.active)
            forgotten = self._alarms.pop(oldest)
            if self._told.get(forgotten.told_as) == oldest:
                del self._told[forgotten.told_as]


def _newest_first(alarm: Alarm) -> tuple[float, int]:
    return (-alarm.raised_at_s, -int(alarm.id.rpartition("-")[2]))


def _fact_of(alarm: Alarm) -> dict[str, Any]:
    return asdict(alarm)


def _alarm_of(fact: dict[str, Any]) -> Alarm:
    read: dict[str, Any] = {
        **fact,
        "perceived_severity": Severity(fact["perceived_severity"]),
        "evidence": tuple(AlarmEvidence(**row) for row in fact["evidence"]),
    }
    return Alarm(**read)
