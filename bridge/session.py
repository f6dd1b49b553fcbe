"""One open stream on the twin's side: what a scene or an observer says, and what it is told.

A session belongs to a :class:`bridge.server.BridgeServer`, which decides who may come in. It hands everything
over to the :class:`~twin.ports.SceneSink`; it stores nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

import grpc.aio
import structlog
from google.protobuf.unknown_fields import UnknownFieldSet

from bridge import codec, mapping
from bridge.outbox import Outbox
from bridge.stream import Pulse, Receipts, first_of
from bridge.v1 import session_pb2
from twin.errors import Overloaded, ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from bridge.stream import BridgeSettings
    from bridge.v1 import bridge_pb2
    from twin.commands import CommandResult
    from twin.ports import SceneInfo, SceneSink
    from twin.telemetry import PmReport, TelemetryBatch

CREDIT_BATCH = 8
"""Telemetry credits are given back in lots of this many."""


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

    def state_arrived(self, session: Session, request: bridge_pb2.ConnectRequest) -> None:
        """A chunk of state arrived."""
        ...

    def topology_wanted(self, session: Session) -> None:
        """Send the whole inventory again."""
        ...

    def subscribed(self, session: Session, subscribe: session_pb2.Subscribe) -> None:
        """An observer says what it wants."""
        ...


class Session:
    """One client.

    Attributes:
        info: What a scene said of itself; observers have one too, with the scene that they watch.
        outbox: What this client still has to be told.
        live: Whether the scene has told its past.
        sim_time_s: The scene's simulated now, as last heard.
    """

    def __init__(
        self,
        *,
        info: SceneInfo,
        role: session_pb2.Role.ValueType,
        sink: SceneSink,
        host: SessionHost,
        settings: BridgeSettings,
    ) -> None:
        self.info = info
        self.role = role
        self.live = False
        self.sim_time_s = 0.0
        self.pulse = Pulse()
        self.outbox = Outbox(
            response=True,
            limit=settings.outbox_limit,
            limit_bytes=settings.outbox_limit_bytes,
            sim_time_s=lambda: self.sim_time_s,
        )
        self.connected_at_s = time.monotonic()
        self.telemetry_received = 0
        self.telemetry_dropped = 0
        self.telemetry_dropped_by_client = 0
        self.pm_received = 0
        self.unknown_bodies = 0
        self.subscription = session_pb2.Subscribe()
        self.next_telemetry_s = 0.0
        self._sink = sink
        self._host = host
        self._settings = settings
        self._receipts = Receipts()
        self._inbox: asyncio.Queue[bridge_pb2.ConnectRequest] = asyncio.Queue(settings.lossless_window + 1)
        self._credits_owed = 0
        self._ended = asyncio.Event()
        self._log = structlog.get_logger("bridge").bind(session=info.session_id, scene=info.scene_id)

    @property
    def is_scene(self) -> bool:
        """Whether the client is a scene."""
        return self.role == session_pb2.ROLE_SCENE

    @property
    def inbox_depth(self) -> int:
        """Lossless messages that arrived and are not durable yet."""
        return self._receipts.pending

    async def run(self, requests: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]) -> None:
        """Serve the stream until either side ends it.

        Raises:
            TwinError: The client broke a rule, fell silent, or does not read.
        """
        await first_of(
            self._read(requests),
            self._write(write),
            self._work(),
            self._wait_end(),
            self.pulse.watch(
                self.outbox,
                codec.ConnectResponse,
                interval_s=self._settings.heartbeat_interval_s,
                missed=self._settings.heartbeats_missed,
            ),
        )

    def end(self, code: session_pb2.NoticeCode.ValueType, message: str) -> None:
        """Tell the client why and end the stream."""
        self.notice(code, message)
        self._ended.set()

    def notice(self, code: session_pb2.NoticeCode.ValueType, message: str) -> None:
        """Tell the client something about its session."""
        response = codec.ConnectResponse()
        response.notice.code = code
        response.notice.message = message
        self.outbox.send_now(response)

    async def _wait_end(self) -> None:
        await self._ended.wait()
        await asyncio.sleep(0.05)  # lets the writer send the notice

    async def _write(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        try:
            while True:
                await write(await self.outbox.next())
        except grpc.aio.BaseError:
            # The client is gone. The reader drains what it still said, then the session ends.
            await asyncio.Event().wait()

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        async for raw in requests:
            request = codec.decode_request(raw)
            self.pulse.heard()
            if request.ack:
                self.outbox.acknowledged(request.ack)
            if request.sim_time_s:
                self.sim_time_s = mapping.read_moment(request.sim_time_s, "sim_time_s")
            if request.seq:
                self._receipts.arrived(request.seq)
            body = request.WhichOneof("body")
            if body == "goodbye":
                self._log.info("client_left", reason=request.goodbye.reason)
                return
            if request.seq:
                self._take_lossless(request, body)
            elif body is not None:
                self._take_now(request, body)
            elif len(UnknownFieldSet(request)):
                self._unknown()

    def _unknown(self) -> None:
        self.unknown_bodies += 1

    def _take_lossless(self, request: bridge_pb2.ConnectRequest, body: str | None) -> None:
        if body == "command_ack":  # must not wait behind a long past
            self._scenes_only("command_ack")
            self._host.command_answered(self, mapping.read_result(request.command_ack))
            self._dealt_with(request.seq)
            return
        try:
            self._inbox.put_nowait(request)
        except asyncio.QueueFull:
            raise Overloaded(
                f"more than `{self._settings.lossless_window}` lossless messages without acknowledgement;"
                " keep to `lossless_window` of Welcome"
            ) from None

    def _take_now(self, request: bridge_pb2.ConnectRequest, body: str) -> None:
        match body:
            case "telemetry":
                self._take_telemetry(request)
            case "heartbeat":
                reply = codec.ConnectResponse()
                reply.heartbeat_reply.number = request.heartbeat.number
                reply.heartbeat_reply.sent_unix_ns = request.heartbeat.sent_unix_ns
                reply.heartbeat_reply.received_unix_ns = time.time_ns()
                self.outbox.send_now(reply)
            case "heartbeat_reply":
                self.pulse.answered(request.heartbeat_reply)
            case "credit":
                self.outbox.grant(request.credit.channel, request.credit.messages)
            case "flow_report":
                if request.flow_report.channel == session_pb2.CHANNEL_TELEMETRY:
                    self.telemetry_dropped_by_client = request.flow_report.dropped
            case "subscribe":
                self.subscription.CopyFrom(session_pb2.Subscribe.FromString(request.subscribe.SerializeToString()))
                self._host.subscribed(self, self.subscription)
            case "topology_request":
                self._host.topology_wanted(self)
            case "state_chunk":
                self._host.state_arrived(self, request)
            case "hello":
                raise ProtocolError("a second Hello; only the first message is one")
            case "pm_report" | "live_notice" | "observed_configuration" | "event":
                raise ProtocolError(f"`{body}` is lossless; number it with `seq`")
            case _:
                self.unknown_bodies += 1

    def _take_telemetry(self, request: bridge_pb2.ConnectRequest) -> None:
        self._scenes_only("telemetry")
        batch = mapping.read_telemetry(request.telemetry, scene_id=self.info.scene_id)
        self.telemetry_received += 1
        if not self._host.telemetry_arrived(self, batch):
            self.telemetry_dropped += 1
        self._credits_owed += 1
        if self._credits_owed >= min(CREDIT_BATCH, self._settings.telemetry_credits):
            response = codec.ConnectResponse()
            response.credit.channel = session_pb2.CHANNEL_TELEMETRY
            response.credit.messages = self._credits_owed
            self.outbox.send_now(response)
            self._credits_owed = 0

    def _scenes_only(self, what: str) -> None:
        if not self.is_scene:
            raise ProtocolError(f"an observer sent `{what}`; only scenes do")

    def _dealt_with(self, seq: int) -> None:
        self.outbox.acknowledge(self._receipts.done(seq))

    async def _work(self) -> None:
        """Hand lossless messages over in order, at the pace of the sink."""
        while True:
            request = await self._inbox.get()
            seq = request.seq
            match request.WhichOneof("body"):
                case "pm_report":
                    self._scenes_only("pm_report")
                    report = mapping.read_pm(request.pm_report, scene_id=self.info.scene_id)
                    self.pm_received += 1
                    self._host.pm_arrived(self, report)
                    await self._sink.pm(report, lambda seq=seq: self._dealt_with(seq))
                    continue
                case "live_notice":
                    self._scenes_only("live_notice")
                    self._host.went_live(self, mapping.read_moment(request.live_notice.sim_time_s, "sim_time_s"))
                case "observed_configuration":
                    self._scenes_only("observed_configuration")
                    observed = request.observed_configuration
                    self._sink.observed(
                        self.info.scene_id,
                        mapping.read_attributes(observed.attributes),
                        mapping.read_moment(observed.sim_time_s, "sim_time_s"),
                    )
                case "event":
                    self._scenes_only("event")
                    event = request.event
                    self._sink.scene_event(
                        self.info.scene_id,
                        event.name,
                        mapping.read_facts(event.facts),
                        mapping.read_moment(event.sim_time_s, "sim_time_s"),
                    )
                case "alarm":
                    self._take_alarm(request)
                case "contribute":
                    self._refuse_contributions(request)
                case _:  # a later version's message: acknowledged so that the stream goes on
                    self._unknown()
            self._dealt_with(seq)

    def _take_alarm(self, request: bridge_pb2.ConnectRequest) -> None:
        self._scenes_only("alarm")
        alarm = mapping.read_alarm(request.alarm, scene_id=self.info.scene_id)
        facts = {
            "id": alarm.id,
            "entity": alarm.entity_id,
            "perceivedSeverity": alarm.perceived_severity.value,
            "probableCause": alarm.probable_cause,
            "specificProblem": alarm.specific_problem,
            "active": float(alarm.active),
        }
        at_s = mapping.read_moment(alarm.cleared_at_s or alarm.raised_at_s, "raised_at_sim_s")
        self._sink.scene_event(self.info.scene_id, "alarm", facts, at_s)

    def _refuse_contributions(self, request: bridge_pb2.ConnectRequest) -> None:
        response = codec.ConnectResponse()
        for offered in request.contribute.entities:
            response.contribute_reply.entities.add(
                local_id=offered.local_id, reason="this twin takes entities from the scenario only"
            )
        self.outbox.send(response)
