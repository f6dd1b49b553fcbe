"""Alarms that a scene raises: taken into the twin's own list, journaled before the scene is told that they arrived.

A scene names its alarms itself; the twin keeps that name (`Alarm.told_as`) beside an id of its own. So an alarm that
is told twice stands once, also after a restart of either side, and neither clears what the other raised.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from bridge.words import clean
from twin.alarms import Severity
from twin.errors import InvalidInput
from twin_app.patience import until_stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin.alarms import Alarm, AlarmEvidence
    from twin_app.alarm_log import JournaledAlarmLog
    from twin_app.inventory import LiveInventory

MOST_STANDING = 1_000
"""Alarms of a scene that may stand at a time."""
MOST_EVIDENCE = 16
MOST_ID = 128
MOST_WORD = 128
MOST_TEXT = 1_000
"""Characters of a scene's own words that are kept."""

_log = structlog.get_logger("twin_app.scene_alarms")


class SceneAlarms:
    """Takes in what one scene says of its alarms.

    Args:
        alarms: The list that everybody reads.
        inventory: What the scene's alarms can be about.
    """

    def __init__(self, *, alarms: JournaledAlarmLog, inventory: LiveInventory) -> None:
        self._alarms = alarms
        self._inventory = inventory
        self._taking = asyncio.Lock()

    async def take(self, told: Alarm) -> None:
        """Raise, change or clear an alarm; however long the disk is full, it is on it when this returns.

        Raises:
            InvalidInput: It is about no entity that exists, its id cannot be meant or stands for another alarm, or too
                many stand already.
        """
        if not told.id or len(told.id) > MOST_ID or not told.id.isprintable():
            raise InvalidInput(f"an alarm has the id `{told.id[:MOST_ID]!a}`; use 1 to {MOST_ID} printable characters")
        entity = self._inventory.topology.get(told.entity_id)
        over = not told.active or told.perceived_severity is Severity.CLEARED
        cause = clean(told.probable_cause, limit=MOST_WORD) or "indeterminate"
        async with self._taking:  # two programs may show the scene: neither must find half of what the other does
            known = self._alarms.told_as(told.id)
            if known is not None and not known.active:
                if known.raised_at_s == told.raised_at_s:
                    return  # it came again, for instance because the acknowledgement was lost
                known = None
            if known is not None and (known.entity_id, known.probable_cause) != (entity.id, cause):
                raise InvalidInput(
                    f"the alarm `{told.id}` stands for `{known.probable_cause}` of `{known.entity_id}`; clear it first,"
                    " or take another id"
                )
            if known is None and self._standing() >= MOST_STANDING:
                raise InvalidInput(f"`{MOST_STANDING}` alarms of the scene stand already; clear some first")
            if known is None or not over:
                known = await until_stored(
                    lambda: self._alarms.raise_alarm(
                        entity_id=entity.id,
                        dn=entity.dn,
                        probable_cause=cause,
                        event_type=clean(told.event_type, limit=MOST_WORD),
                        severity=Severity.INDETERMINATE if over else told.perceived_severity,
                        specific_problem=clean(told.specific_problem, limit=MOST_TEXT),
                        at_s=told.raised_at_s,
                        evidence=_sound(told.evidence[:MOST_EVIDENCE]),
                        told_as=told.id,
                    ),
                    what=f"alarm of {entity.id}",
                )
            if over:
                alarm_id = known.id
                at_s = max(told.raised_at_s if told.cleared_at_s is None else told.cleared_at_s, known.raised_at_s)
                await until_stored(lambda: self._alarms.clear(alarm_id, at_s=at_s), what=f"end of {alarm_id}")
        _log.info("scene_alarm", scene_id=told.scene_id, alarm=known.id, entity=entity.id, over=over)

    def _standing(self) -> int:
        return sum(bool(alarm.told_as) for alarm in self._alarms.active())


def _sound(evidence: Sequence[AlarmEvidence]) -> tuple[AlarmEvidence, ...]:
    """Return the measurements that are some, in words that are fit to show."""
    return tuple(
        replace(one, kpi=clean(one.kpi, limit=MOST_WORD), unit=clean(one.unit, limit=MOST_WORD))
        for one in evidence
        if all(map(math.isfinite, (one.value, one.expected, one.score)))
    )
