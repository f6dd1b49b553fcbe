"""Configuration drift: what a scene reads back differs from what was committed.

The differences are pushed as one order. What the scene refuses becomes the alarm `configuration drift`, which is
tried again every minute and cleared when the scene has what it must have.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from twin.alarms import Severity
from twin.attributes import same_value
from twin.commands import Command, CommandStage, SetAttributes
from twin.errors import SceneUnavailable, TwinError
from twin.ids import uuid7
from twin_app.patience import until_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twin.commands import SetAttribute
    from twin.ports import SceneLink
    from twin_app.alarm_log import JournaledAlarmLog
    from twin_app.inventory import LiveInventory

DRIFT = "configurationOrCustomisationError"
"""X.733 probableCause of a configuration drift."""

PUSH_TIMEOUT_S = 10.0
AGAIN_S = 60.0
"""A scene that refused is asked again this often; it may have changed its mind."""

_log = structlog.get_logger("twin_app.drift")


class DriftWatch:
    """Brings one scene to its desired configuration.

    Args:
        inventory: What the scene must have.
        alarms: Where a refusal is told.
        link: The way into the scene.
    """

    def __init__(
        self,
        *,
        inventory: LiveInventory,
        alarms: JournaledAlarmLog,
        link: Callable[[], SceneLink],
        again_s: float = AGAIN_S,
    ) -> None:
        self._inventory = inventory
        self._alarms = alarms
        self._link = link
        self._again_s = again_s
        self._seen: dict[tuple[str, str], SetAttribute] = {}
        self._told = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    def seen(self, scene_id: str, attributes: Sequence[SetAttribute], sim_time_s: float) -> None:
        """Take what a scene reads back; what is wrong is put right in the background.

        What the scene does not tell it does not manage: that is no drift.
        """
        self._seen = {(one.entity_id, one.attribute): one for one in attributes}
        self._told.set()
        if self._work is None or self._work.done():
            work = self._bring_back(scene_id, sim_time_s)
            self._work = asyncio.get_running_loop().create_task(work, name=f"drift of {scene_id}")

    async def close(self) -> None:
        """Give up what is under way."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    def _wrong(self) -> tuple[SetAttribute, ...]:
        return tuple(
            wanted
            for wanted in self._inventory.desired()
            if (one := self._seen.get((wanted.entity_id, wanted.attribute))) is not None
            and not same_value(one.value, wanted.value)
        )

    async def _bring_back(self, scene_id: str, sim_time_s: float) -> None:
        while self._told.is_set():
            self._told.clear()
            while not self._told.is_set() and (wrong := self._wrong()):
                try:
                    refusal = await self._push(scene_id, wrong)
                except SceneUnavailable:
                    break  # it left; it tells its configuration again when it comes back
                if refusal and not self._told.is_set():
                    await self._raise(wrong, refusal)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._told.wait(), self._again_s)
            else:
                if not self._told.is_set():
                    await self._clear(sim_time_s)

    async def _push(self, scene_id: str, wrong: tuple[SetAttribute, ...]) -> str:
        """Return why the scene does not take what it must have, "" when it did.

        Raises:
            SceneUnavailable: It is not there.
        """
        command = Command(id=uuid7(), body=SetAttributes(actions=wrong), issued_by="twin:desired-state")
        try:
            result = await self._link().send(command, timeout_s=PUSH_TIMEOUT_S, scene_id=scene_id)
        except SceneUnavailable:
            raise
        except TwinError as error:
            return str(error)
        if result.stage is not CommandStage.APPLIED:
            return result.reason or result.stage.value
        if self._told.is_set():
            return ""  # it read back anew meanwhile, which counts more
        self._seen |= {(one.entity_id, one.attribute): one for one in result.observed or wrong}
        if left := self._wrong():
            first = left[0]
            return f"it says APPLIED, but `{first.attribute}` of `{first.entity_id}` does not read back"
        _log.info("drift_corrected", scene_id=scene_id, attributes=len(wrong))
        return ""

    async def _raise(self, wrong: tuple[SetAttribute, ...], refusal: str) -> None:
        entity = self._inventory.topology.get(wrong[0].entity_id)
        standing = self._alarms.standing(entity.id, DRIFT)
        problem = f"configuration drift: {len(wrong)} attributes differ; the scene says: {refusal}"
        if standing is not None and standing.specific_problem == problem:
            return
        await until_stored(
            lambda: self._alarms.raise_alarm(
                entity_id=entity.id,
                dn=entity.dn,
                probable_cause=DRIFT,
                severity=Severity.MAJOR,
                event_type="processingErrorAlarm",
                specific_problem=problem,
                at_s=self._inventory.now_s,
            ),
            what="drift alarm",
        )

    async def _clear(self, sim_time_s: float) -> None:
        for alarm in self._alarms.active():
            if alarm.probable_cause == DRIFT and not alarm.told_as:
                at_s = max(sim_time_s, self._inventory.now_s)
                await until_stored(lambda a=alarm, at_s=at_s: self._alarms.clear(a.id, at_s=at_s), what="drift alarm")
