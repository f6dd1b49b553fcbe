"""Where a client's words go: to the twin, to who waits for an answer, to who watches. One way per kind of message.

Sessions know this as their host (:class:`bridge.intake.SessionHost`).
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import structlog

from bridge.greeting import send_topology
from bridge.v1 import session_pb2
from twin.commands import CommandStage
from twin.errors import InvalidInput, Overloaded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.dispatch import Dispatch
    from bridge.fanout import Fanout
    from bridge.media import MediaRoom
    from bridge.session import Session
    from bridge.starts import Starts
    from bridge.v1 import bridge_pb2
    from twin.alarms import Alarm
    from twin.attributes import AttributeValue
    from twin.commands import CommandResult
    from twin.ports import SceneSink
    from twin.telemetry import PmReport, TelemetryBatch

TOPOLOGY_PAUSE_S = 1.0
"""Least time between two whole inventories to one client."""


class Exchange:
    """Hands on what sessions hear.

    Args:
        sink: The twin.
        is_recorded: Returns whether somebody journals final answers and tells observers of them afterwards.
    """

    def __init__(
        self,
        *,
        sink: SceneSink,
        dispatch: Dispatch,
        fanout: Fanout,
        media: MediaRoom,
        starts: Starts,
        is_recorded: Callable[[], bool],
    ) -> None:
        self._sink = sink
        self._dispatch = dispatch
        self._fanout = fanout
        self._media = media
        self._starts = starts
        self._is_recorded = is_recorded
        self._log = structlog.get_logger("bridge")

    def command_answered(self, session: Session, result: CommandResult) -> None:
        """Hand an answer to whoever waits for it; observers are told once a record, where there is one, has it."""
        self._dispatch.answered(session, result)
        if result.stage is CommandStage.RECEIVED or not self._is_recorded():
            of_fault = self._dispatch.answers_fault(result)
            self._fanout.command(session.info.scene_id, result, of_fault=of_fault)

    def telemetry_arrived(self, session: Session, batch: TelemetryBatch) -> bool:
        """Hand a batch on if its indices fit the present topology."""
        if not self._starts.fits(batch):
            self._log.warning(
                "telemetry_of_other_revision",
                session=session.info.session_id,
                seq=batch.seq,
                revision=batch.revision,
            )
            return False
        self._sink.telemetry(batch)
        self._fanout.telemetry(batch, sender=session)
        return True

    def pm_arrived(self, session: Session, report: PmReport) -> None:
        """Hand a report on to observers."""
        if session.live:
            self._fanout.pm(report, sender=session)

    def went_live(self, session: Session, sim_time_s: float) -> None:
        """Tell the sink and observers."""
        session.live = True
        if not session.suspended:  # else it is told when the scene is back
            self._sink.scene_live(session.info.scene_id, sim_time_s)
        self._fanout.live(session.info.scene_id, sim_time_s)

    def event_arrived(
        self, session: Session, name: str, facts: Mapping[str, AttributeValue], sim_time_s: float
    ) -> None:
        """Tell the sink, observers, and who else shows the scene."""
        self._sink.scene_event(session.info.scene_id, name, facts, sim_time_s)
        self._fanout.event(session.info.scene_id, name, facts, sim_time_s, sender=session)

    async def alarm_arrived(self, session: Session, alarm: Alarm) -> None:
        """Hand an alarm to the sink, and what that has not told already to observers and who else shows the scene."""
        try:
            told = await self._sink.scene_alarm(alarm)
        except InvalidInput as error:
            self._log.warning("alarm_ignored", session=session.info.session_id, alarm=alarm.id, reason=str(error))
            with contextlib.suppress(Overloaded):
                session.notice(session_pb2.NOTICE_CODE_IGNORED, f"an alarm is ignored: {error}")
            return
        if told is not None:
            self._fanout.alarm(told, sender=session)

    def state_arrived(self, session: Session, request: bridge_pb2.ConnectRequest) -> None:
        """Add a chunk of state."""
        self._dispatch.state_chunk(session, request.state_chunk)

    def topology_wanted(self, session: Session) -> None:
        """Send the inventory again; more often than once a second it would only keep everybody waiting."""
        now_s = time.monotonic()
        if now_s < session.next_topology_s:
            session.notice(session_pb2.NOTICE_CODE_IGNORED, "the inventory was sent less than a second ago")
            return
        session.next_topology_s = now_s + TOPOLOGY_PAUSE_S
        send_topology(session, self._starts[session.info.scene_id].topology)

    def subscribed(self, session: Session, subscribe: session_pb2.Subscribe) -> None:
        """Answer what was understood."""
        self._fanout.subscribed(session, subscribe)
        self._media.subscribed(session)

    def media_arrived(self, session: Session, request: bridge_pb2.ConnectRequest) -> None:
        """Take a part of a picture, a piece of speech, or where somebody is."""
        self._media.take(session, request)
