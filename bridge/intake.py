"""What a client says, handed over to the twin: numbered messages in order, the others at once.

What arrived but was not handed over yet waits here, also while the stream is broken.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from bridge import codec, mapping
from bridge.contribute import take_in
from bridge.v1 import session_pb2
from bridge.window import CreditWindow
from twin.errors import Overloaded, ProtocolError, TooLarge, TwinError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.session import Session
    from bridge.stream import BridgeSettings
    from bridge.v1 import bridge_pb2
    from twin.alarms import Alarm
    from twin.attributes import AttributeValue
    from twin.commands import CommandResult
    from twin.ports import SceneSink
    from twin.telemetry import PmReport, TelemetryBatch


class SessionHost(Protocol):
    """What a session asks of the server that owns it."""

    def command_answered(self, session: Session, result: CommandResult) -> None:
        """A scene answered a command."""
        ...

    def telemetry_arrived(self, session: Session, batch: TelemetryBatch) -> bool:
        """Return whether the batch fits the topology; hands it on if so."""
        ...

    def pm_arrived(self, session: Session, report: PmReport) -> None:
        """Hand a report on to observers."""
        ...

    def went_live(self, session: Session, sim_time_s: float) -> None:
        """The scene is live."""
        ...

    def event_arrived(
        self, session: Session, name: str, facts: Mapping[str, AttributeValue], sim_time_s: float
    ) -> None:
        """Something happened in the scene."""
        ...

    async def alarm_arrived(self, session: Session, alarm: Alarm) -> None:
        """The scene raised or cleared an alarm; durable when this returns."""
        ...

    def state_arrived(self, session: Session, request: bridge_pb2.ConnectRequest) -> None:
        """A chunk of state arrived."""
        ...

    def media_arrived(self, session: Session, request: bridge_pb2.ConnectRequest) -> None:
        """A picture, speech, or where somebody is."""
        ...

    def topology_wanted(self, session: Session) -> None:
        """Send the whole inventory again."""
        ...

    def subscribed(self, session: Session, subscribe: session_pb2.Subscribe) -> None:
        """A client says what it wants."""
        ...


class _Waiting(NamedTuple):
    request: bridge_pb2.ConnectRequest
    size: int


class Intake:
    """The incoming half of a session."""

    def __init__(self, session: Session, *, sink: SceneSink, host: SessionHost, settings: BridgeSettings) -> None:
        self._session = session
        self._sink = sink
        self._host = host
        self._settings = settings
        self._inbox: deque[_Waiting] = deque()
        self._inbox_bytes = 0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._window = CreditWindow(settings.telemetry_credits)
        self._log = structlog.get_logger("bridge").bind(session=session.info.session_id, scene=session.info.scene_id)

    def restart(self) -> None:
        """A new stream begins: credits are those of Welcome."""
        self._window = CreditWindow(self._settings.telemetry_credits)

    # Numbered messages.

    @property
    def crowded(self) -> bool:
        """Whether so many bytes wait that nothing more should be read."""
        return self._inbox_bytes > self._settings.inbox_limit_bytes

    async def room(self, *, timeout_s: float) -> None:
        """Wait a while until something that waits was handed over."""
        self._emptied.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._emptied.wait()

    def numbered(self, request: bridge_pb2.ConnectRequest, body: str | None, *, size: int) -> None:
        """Take a numbered message of `size` bytes; one that was here before a break is ignored.

        Raises:
            ProtocolError: It breaks a rule. Overloaded: More wait than `lossless_window`.
        """
        receipts = self._session.receipts
        waiting = receipts.last - receipts.done_up_to
        if request.seq > receipts.last and waiting >= self._settings.lossless_window:
            raise Overloaded(
                f"more than `{self._settings.lossless_window}` lossless messages without acknowledgement;"
                " keep to `lossless_window` of Welcome"
            )
        if not receipts.arrived(request.seq):
            return
        if body == "command_ack":  # must not wait behind a long past
            self._scenes_only("command_ack")
            self._host.command_answered(self._session, mapping.read_result(request.command_ack))
            self._dealt_with(request.seq)
            return
        self._inbox.append(_Waiting(request, size))
        self._inbox_bytes += size
        self._filled.set()

    async def work(self) -> None:
        """Hand numbered messages over in order, at the pace of the sink, for ever.

        Raises:
            TwinError: A message cannot be meant, or the twin failed on it.
        """
        while True:
            while not self._inbox:
                self._filled.clear()
                await self._filled.wait()
            try:
                await self._hand_over(self._inbox[0].request)
            except TwinError:
                raise
            except Exception as error:
                raise self.failed(error) from error
            self._inbox_bytes -= self._inbox.popleft().size
            self._emptied.set()

    def failed(self, error: Exception) -> TwinError:
        """Log a failure of the twin itself and return what the client is told."""
        self._log.exception("stream_failed", exc_info=error)
        return TwinError(f"the twin itself failed (`{type(error).__name__}`); its log says where")

    def _dealt_with(self, seq: int) -> None:
        self._session.outbox.acknowledge(self._session.receipts.done(seq))

    async def _hand_over(self, request: bridge_pb2.ConnectRequest) -> None:
        scene_id = self._session.info.scene_id
        seq = request.seq
        match request.WhichOneof("body"):
            case "pm_report" if not self._gives_figures:
                self._scenes_only("pm_report")
                self._session.unknown_bodies += 1  # counters of somebody who does not hold KPI are nobody's
            case "pm_report":
                self._scenes_only("pm_report")
                report = mapping.read_pm(request.pm_report, scene_id=scene_id)
                self._session.moment(report.period_end_sim_time_s, "period_end_sim_time_s")
                await self._sink.pm(report, lambda: self._dealt_with(seq))
                self._session.pm_received += 1
                self._host.pm_arrived(self._session, report)
                return
            case "live_notice":
                self._scenes_only("live_notice")
                at_s = self._session.moment(request.live_notice.sim_time_s, "sim_time_s")
                if self._gives_figures:  # who only moves things has no past to tell
                    self._host.went_live(self._session, at_s)
            case "observed_configuration":
                self._scenes_only("observed_configuration")
                observed = request.observed_configuration
                at_s = self._session.moment(observed.sim_time_s, "sim_time_s")
                attributes = mapping.read_attributes(observed.attributes)
                if self._gives_figures:  # rule D1: the network's configuration is told by who computes the network
                    self._sink.observed(scene_id, attributes, at_s)
            case "event":
                self._scenes_only("event")
                event = request.event
                at_s = self._session.moment(event.sim_time_s, "sim_time_s")
                self._host.event_arrived(self._session, event.name, mapping.read_facts(event.facts), at_s)
            case "alarm":
                self._scenes_only("alarm")
                alarm = replace(mapping.read_alarm(request.alarm), scene_id=scene_id)  # nobody speaks for other scenes
                self._session.moment(alarm.raised_at_s, "raised_at_sim_s")
                if alarm.cleared_at_s is not None:
                    self._session.moment(alarm.cleared_at_s, "cleared_at_sim_s")
                await self._host.alarm_arrived(self._session, alarm)
            case "contribute":
                self._scenes_only("contribute")
                self._session.tell(await take_in(self._sink, scene_id, request.contribute))
            case _:  # a later version's message: acknowledged so that the stream goes on
                self._session.unknown_bodies += 1
        self._dealt_with(seq)

    # The others.

    def unnumbered(self, request: bridge_pb2.ConnectRequest, body: str) -> None:
        """Take a message without a number.

        Raises:
            ProtocolError: It breaks a rule. TooLarge: It has too many entities.
        """
        session = self._session
        match body:
            case "telemetry":
                self._take_telemetry(request)
            case "heartbeat":
                reply = codec.ConnectResponse()
                reply.heartbeat_reply.number = request.heartbeat.number
                reply.heartbeat_reply.sent_unix_ns = request.heartbeat.sent_unix_ns
                reply.heartbeat_reply.received_unix_ns = time.time_ns()
                session.outbox.send_now(reply)
            case "heartbeat_reply":
                session.pulse.answered(request.heartbeat_reply)
            case "credit":
                session.outbox.grant(request.credit.channel, request.credit.messages)
            case "flow_report":
                if request.flow_report.channel == session_pb2.CHANNEL_TELEMETRY:
                    session.telemetry_dropped_by_client = request.flow_report.dropped
                    session.telemetry_age_s = request.flow_report.age_ms / 1000
            case "subscribe":
                session.subscription.CopyFrom(session_pb2.Subscribe.FromString(request.subscribe.SerializeToString()))
                self._host.subscribed(session, session.subscription)
            case "topology_request":
                self._host.topology_wanted(session)
            case "state_chunk":
                self._host.state_arrived(session, request)
            case "camera_frame" | "voice_chunk" | "presence":
                self._host.media_arrived(session, request)
            case "hello":
                raise ProtocolError("a second Hello; only the first message is one")
            case (
                "pm_report"
                | "live_notice"
                | "observed_configuration"
                | "event"
                | "alarm"
                | "contribute"
                | "command_ack"
            ):
                raise ProtocolError(f"`{body}` is lossless; number it with `seq`")
            case _:
                session.unknown_bodies += 1

    def _take_telemetry(self, request: bridge_pb2.ConnectRequest) -> None:
        self._scenes_only("telemetry")
        session = self._session
        batch = replace(mapping.read_telemetry(request.telemetry, scene_id=session.info.scene_id), source=self._source)
        session.moment(batch.sim_time_s, "sim_time_s")
        if batch.entity_index.size > self._settings.max_entities:
            raise TooLarge(
                f"a batch has `{batch.entity_index.size}` entities, the twin takes `{self._settings.max_entities}`;"
                " send several"
            )
        session.telemetry_received += 1
        if not self._host.telemetry_arrived(session, batch):
            session.telemetry_dropped += 1
        credits_due = self._window.arrived(self._age_s(request))
        if credits_due:
            response = codec.ConnectResponse()
            response.credit.channel = session_pb2.CHANNEL_TELEMETRY
            response.credit.messages = credits_due
            session.outbox.send_now(response)

    def _age_s(self, request: bridge_pb2.ConnectRequest) -> float:
        """Return how long a message was on its way by the sender's clock; NaN when that is not known."""
        if not request.wall_time_unix_ns:
            return math.nan
        return time.time() - request.wall_time_unix_ns / 1e9 + self._session.pulse.offset_s

    @property
    def _gives_figures(self) -> bool:
        return "KPI" in self._session.info.provides

    @property
    def _source(self) -> str:
        """What tells the batches of this program from those of another one that shares the scene."""
        provides = self._session.info.provides
        return "" if provides >= {"MOTION", "KPI"} else "+".join(sorted(provides))

    def _scenes_only(self, what: str) -> None:
        if not self._session.is_scene:
            raise ProtocolError(f"an observer sent `{what}`; only scenes do")
