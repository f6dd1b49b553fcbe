"""One bridge, many scenes: hands what a scene says to the desk of that scene.

Implements `twin.ports.SceneSink`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twin.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twin.alarms import Alarm
    from twin.commands import SetAttribute
    from twin.media import Utterance
    from twin.ports import EntityVerdict, OfferedEntity, SceneInfo, SceneSink, SceneStart
    from twin.telemetry import PmReport, TelemetryBatch


class SceneRouter:
    """Forwards by scene id."""

    def __init__(self) -> None:
        self._desks: dict[str, SceneSink] = {}

    def attach(self, scene_id: str, desk: SceneSink) -> None:
        """Let scenes of this id in."""
        self._desks[scene_id] = desk

    def detach(self, scene_id: str) -> None:
        """Let them in no more."""
        self._desks.pop(scene_id, None)

    def scene_connecting(self, info: SceneInfo) -> SceneStart:
        """Tell the scene what it must be.

        Raises:
            NotFound: The twin keeps no such scene. Conflict, PermissionDenied: The desk refuses it.
        """
        return self._desk(info.scene_id).scene_connecting(info)

    def scene_disconnected(self, info: SceneInfo, reason: str) -> None:
        """Pass on that a stream ended; of a scene that was removed nobody wants to know."""
        desk = self._desks.get(info.scene_id)
        if desk is not None:
            desk.scene_disconnected(info, reason)

    def scene_live(self, scene_id: str, sim_time_s: float) -> None:
        """Pass on that the past is told."""
        self._desk(scene_id).scene_live(scene_id, sim_time_s)

    def telemetry(self, batch: TelemetryBatch) -> None:
        """Pass gauges on."""
        self._desk(batch.scene_id).telemetry(batch)

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        """Pass a report on; waits as long as the desk does."""
        await self._desk(report.scene_id).pm(report, done)

    def observed(self, scene_id: str, attributes: Sequence[SetAttribute], sim_time_s: float) -> None:
        """Pass the configuration on."""
        self._desk(scene_id).observed(scene_id, attributes, sim_time_s)

    def scene_event(self, scene_id: str, name: str, facts: Mapping[str, Any], sim_time_s: float) -> None:
        """Pass other news on."""
        self._desk(scene_id).scene_event(scene_id, name, facts, sim_time_s)

    async def scene_alarm(self, alarm: Alarm) -> Alarm | None:
        """Pass an alarm on."""
        return await self._desk(alarm.scene_id).scene_alarm(alarm)

    def scene_voice(self, utterance: Utterance) -> None:
        """Pass speech on."""
        self._desk(utterance.scene_id).scene_voice(utterance)

    async def contributed(self, scene_id: str, offered: Sequence[OfferedEntity]) -> Sequence[EntityVerdict]:
        """Pass offered entities on."""
        return await self._desk(scene_id).contributed(scene_id, offered)

    def _desk(self, scene_id: str) -> SceneSink:
        desk = self._desks.get(scene_id)
        if desk is None:
            raise NotFound(no_such_scene(scene_id, tuple(self._desks)))
        return desk


def no_such_scene(scene_id: str, known: Sequence[str]) -> str:
    """Return the sentence that lists the scenes and says how to add one."""
    return (
        f"there is no scene `{scene_id[:80]}`; scenes: {', '.join(sorted(known)) or 'none'}. Add one with"
        " `twin scenes add ID`, or start the twin with --scene ID"
    )
