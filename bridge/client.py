"""The scene's end of the stream, for people who write their own scene in Python.

    async with SceneClient("127.0.0.1:8601", "harbour", provides={"MOTION", "KPI"}, on_command=obey) as scene:
        await scene.send_observed(configuration, sim_time_s=now_s)
        await scene.send_live(now_s)
        while True:
            scene.send_telemetry(batch)       # newest wins, never waits
            await scene.send_pm(report)       # lossless, waits only while the buffer is full

The client connects, reconnects with growing pauses, answers heartbeats, keeps every PM report until the twin has
stored it, and remembers its answers to commands, so that a repeated command is answered again and not obeyed
twice. `examples/own_scene.py` is a whole scene on one page.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import random
import time
from collections import OrderedDict
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Self

import grpc
import grpc.aio
import structlog

from bridge import codec, mapping
from bridge.errors import read_refusal
from bridge.inventory import Inventory
from bridge.outbox import Outbox
from bridge.stream import CHANNEL_OPTIONS, CONNECT_METHOD, PROTOCOL_VERSION, Pulse, Receipts, first_of
from bridge.v1 import session_pb2
from twin.clock import CivilTime
from twin.commands import Command, CommandResult, CommandStage, SetAttribute
from twin.errors import (
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    Overloaded,
    ProtocolError,
    SceneUnavailable,
    TwinError,
    Unavailable,
)
from twin.ports import SceneStart
from twin.scenario import Origin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
    from types import TracebackType

    from bridge.dispatch import SceneState
    from bridge.v1 import bridge_pb2
    from twin.telemetry import PmReport, TelemetryBatch
    from twin.topology import Topology

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
KEPT_RESULTS = 4096
MOST_ORDERS = 1024
WELCOME_TIMEOUT_S = 10.0
_PROVISIONS: dict[str, session_pb2.Provision.ValueType] = {word: number for number, word in mapping.PROVISIONS.items()}


class SceneClient:
    """A scene's connection to the twin, as an async context manager; entering waits for the first Welcome.

    Args:
        url: Host and port of the bridge, such as ``127.0.0.1:8601``.
        scene_id: Slug of the scene.
        provides: Subset of {"MOTION", "KPI", "STATE"}.
        engine: Name of what runs the scene.
        epoch: The scene's present run of time; see :class:`~twin.telemetry.TelemetryBatch`.
        on_command: Obeys a command and returns its final answer. Raising a
            :class:`~twin.errors.TwinError` answers REJECTED with its text, anything else FAILED. May be async.
            Without it every command is REJECTED.
        on_state: Returns the scene's state for the twin. Without it, state requests are answered "none".
        on_start: Called after every (re)connect with what the twin said.
        results: Answers to commands of an earlier life of this scene.
        connect_timeout_s: How long entering may take before :class:`~twin.errors.SceneUnavailable`;
            None waits for ever.
        pm_buffer: Most lossless messages kept while the twin is away.
    """

    def __init__(
        self,
        url: str,
        scene_id: str,
        *,
        provides: Iterable[str],
        engine: str = "python",
        engine_version: str = "",
        epoch: int = 1,
        on_command: Callable[[Command], CommandResult | Awaitable[CommandResult]] | None = None,
        on_state: Callable[[], SceneState | Awaitable[SceneState]] | None = None,
        on_start: Callable[[SceneStart], None] | None = None,
        results: Iterable[CommandResult] = (),
        connect_timeout_s: float | None = 30.0,
        pm_buffer: int = 4096,
        pm_buffer_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        unknown = set(provides) - set(_PROVISIONS)
        if unknown:
            raise InvalidInput(f"a scene cannot provide `{', '.join(sorted(unknown))}`; known: MOTION, KPI, STATE")
        self.scene_id = scene_id
        self.epoch = epoch
        self._url = url.removeprefix("grpc://")
        self._provides = tuple(_PROVISIONS[word] for word in sorted(set(provides)))
        self._engine, self._engine_version = engine, engine_version
        self._on_command, self._on_state, self._on_start = on_command, on_state, on_start
        self._connect_timeout_s = connect_timeout_s
        self._outbox = Outbox(
            response=False, limit=pm_buffer, limit_bytes=pm_buffer_bytes, sim_time_s=lambda: self._sim_time_s
        )
        self._results: OrderedDict[str, CommandResult] = OrderedDict((r.command_id, r) for r in results)
        self._orders: asyncio.Queue[bridge_pb2.ConnectResponse] = asyncio.Queue(MOST_ORDERS)
        self._observed: dict[tuple[str, str], SetAttribute] = {}
        self._sim_time_s = 0.0
        self._live = False
        self._closing = False
        self._start: SceneStart | None = None
        self._inventory = Inventory()
        self._ready = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._failure: TwinError | None = None
        self._told_dropped = 0
        self.connections = 0
        self._log = structlog.get_logger("bridge").bind(scene=scene_id)

    # What the twin said.

    @property
    def start(self) -> SceneStart:
        """What the twin said when it welcomed the scene last, with the present topology.

        Raises:
            SceneUnavailable: Never connected.
        """
        if self._start is None:
            raise SceneUnavailable(f"the scene `{self.scene_id}` is not connected yet; enter the client first")
        return replace(self._start, topology=self._inventory.topology)

    @property
    def topology(self) -> Topology:
        """The inventory at its present revision."""
        return self._inventory.topology

    @property
    def connected(self) -> bool:
        """Whether the stream is open now."""
        return self._ready.is_set()

    @property
    def dropped(self) -> int:
        """Telemetry batches replaced by newer ones before the twin gave credit."""
        return self._outbox.dropped.get(session_pb2.CHANNEL_TELEMETRY, 0)

    @property
    def unacknowledged(self) -> int:
        """Lossless messages that the twin has not stored yet."""
        return self._outbox.depth

    @property
    def results(self) -> tuple[CommandResult, ...]:
        """The kept answers to commands, oldest first, to hand to the scene's next life."""
        return tuple(self._results.values())

    # Life.

    async def __aenter__(self) -> Self:
        self._runner = asyncio.create_task(self._run(), name=f"scene-client-{self.scene_id}")
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({self._runner, ready}, timeout=self._connect_timeout_s, return_when="FIRST_COMPLETED")
        finally:
            ready.cancel()
        if self._start is None:
            await self._close()
            raise self._failure or SceneUnavailable(
                f"no twin answered at `{self._url}` within `{self._connect_timeout_s}` s; start one with `twin up`"
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.connected and self._runner is not None:
            self._closing = True
            goodbye = codec.ConnectRequest()
            goodbye.goodbye.reason = _why(error)
            self._outbox.send_now(goodbye)
            await asyncio.wait({self._runner}, timeout=0.5)
        await self._close()

    async def _close(self) -> None:
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
            self._runner = None

    async def closed(self) -> None:
        """Wait until the connection ends for good.

        Raises:
            TwinError: Why, when the twin refused the scene or another one took over.
        """
        if self._runner is not None:
            await asyncio.wait({self._runner})
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    # What the scene says.

    def send_telemetry(self, batch: TelemetryBatch) -> None:
        """Offer positions and gauges; replaces a batch that could not go out yet. Never waits.

        Raises:
            TwinError: The twin refused the scene for good.
        """
        self._check()
        self._sim_time_s = batch.sim_time_s
        request = codec.ConnectRequest()
        mapping.write_telemetry(request.telemetry, batch)
        self._outbox.offer(session_pb2.CHANNEL_TELEMETRY, request.SerializeToString())

    async def telemetry_sent(self) -> None:
        """Wait until the batch offered last is on its way: for scenes that run as fast as the twin can take them.

        Raises:
            TwinError: The twin refused the scene for good.
        """
        await self._outbox.taken(session_pb2.CHANNEL_TELEMETRY)
        self._check()

    async def send_pm(self, report: PmReport) -> None:
        """Queue counters of one period; kept until the twin has stored them. Waits while the buffer is full.

        Raises:
            TwinError: The twin refused the scene for good.
        """
        request = codec.ConnectRequest()
        mapping.write_pm(request.pm_report, report)
        await self._send(request)

    async def send_observed(self, attributes: Iterable[SetAttribute], *, sim_time_s: float) -> None:
        """Tell the configuration as read back in the scene; the client repeats it after a reconnect."""
        for attribute in attributes:
            self._observed[attribute.entity_id, attribute.attribute] = attribute
        self._sim_time_s = max(self._sim_time_s, sim_time_s)
        await self._send(self._observed_message())

    async def send_live(self, sim_time_s: float) -> None:
        """Say that the past is told; the client repeats it after a reconnect."""
        self._live, self._sim_time_s = True, sim_time_s
        await self._send(self._live_message())

    async def send_event(self, name: str, facts: Mapping[str, object], *, sim_time_s: float) -> None:
        """Tell anything else that happened."""
        request = codec.ConnectRequest()
        request.event.name, request.event.sim_time_s = name, sim_time_s
        mapping.write_facts(request.event.facts, facts)
        await self._send(request)

    async def stored(self) -> None:
        """Wait until the twin has stored everything lossless that was sent."""
        await self._outbox.drained()
        self._check()

    async def _send(self, request: bridge_pb2.ConnectRequest) -> None:
        self._check()
        await self._outbox.room()
        self._check()
        self._outbox.send(request)

    def _observed_message(self) -> bridge_pb2.ConnectRequest:
        request = codec.ConnectRequest()
        request.observed_configuration.sim_time_s = self._sim_time_s
        mapping.write_attributes(request.observed_configuration, self._observed.values())
        return request

    def _live_message(self) -> bridge_pb2.ConnectRequest:
        request = codec.ConnectRequest()
        request.live_notice.scene_id, request.live_notice.sim_time_s = self.scene_id, self._sim_time_s
        return request

    # The connection.

    async def _run(self) -> None:
        try:
            # Obeying outlives a connection: an order that is half done is finished and answered on the next one.
            await first_of(self._connect_for_ever(), self._obey())
        except TwinError as error:
            self._give_up(error)
            self._log.error("stream_refused", reason=str(error), kind=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - the task has no one else to tell; senders raise what stands in _failure
            self._log.exception("client_failed")
            failure = TwinError(f"the scene client failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._give_up(failure)

    def _give_up(self, failure: TwinError) -> None:
        self._failure = failure
        self._outbox.abandon()

    async def _connect_for_ever(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            connections = self.connections
            try:
                await self._connection()
                reason = "the twin ended the stream"
            except (Unavailable, grpc.aio.AioRpcError) as error:
                reason = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)
            if self._closing:
                return
            if self.connections > connections:
                pause_s = FIRST_PAUSE_S
            self._log.info("stream_lost", reason=reason, next_try_within_s=pause_s)
            await asyncio.sleep(random.uniform(0, pause_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _connection(self) -> None:
        options = [*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self._url, options=options) as channel:
            stream = channel.stream_stream(CONNECT_METHOD)()
            try:
                await stream.write(self._hello())
            except asyncio.InvalidStateError:
                raise Unavailable(f"`{self._url}` ended the stream before Hello") from None
            responses = aiter(stream)
            welcome = await self._welcome(responses)
            pulse, receipts = Pulse(), Receipts()
            self._outbox.restart(window=welcome.lossless_window)
            self._outbox.grant(session_pb2.CHANNEL_TELEMETRY, welcome.telemetry_credits)
            self._told_dropped = 0
            self._inventory.restart()
            try:
                await first_of(
                    self._read(responses, welcome, pulse, receipts),
                    self._write(stream),
                    pulse.watch(
                        self._outbox, codec.ConnectRequest, interval_s=welcome.heartbeat_interval_s or 2.0, missed=3
                    ),
                )
            finally:
                self._ready.clear()

    def _hello(self) -> bytes:
        request = codec.ConnectRequest(wall_time_unix_ns=time.time_ns(), sim_time_s=self._sim_time_s)
        hello = request.hello
        hello.protocol_min = hello.protocol_max = PROTOCOL_VERSION
        hello.role = session_pb2.ROLE_SCENE
        hello.scene_id, hello.epoch = self.scene_id, self.epoch
        hello.provides.extend(self._provides)
        hello.engine, hello.engine_version = self._engine, self._engine_version
        hello.frame = session_pb2.FRAME_ENU
        return request.SerializeToString()

    async def _welcome(self, responses: AsyncIterator[bytes]) -> session_pb2.Welcome:
        try:
            async with asyncio.timeout(WELCOME_TIMEOUT_S):
                response = codec.decode_response(await anext(responses))
        except TimeoutError:
            raise DeadlineExceeded(f"`{self._url}` did not answer Hello in time") from None
        except StopAsyncIteration:
            raise Unavailable(f"`{self._url}` ended the stream before Welcome") from None
        if response.HasField("refusal"):
            raise read_refusal(response.refusal)
        if not response.HasField("welcome"):
            raise ProtocolError(f"the twin began with `{response.WhichOneof('body')}`, not with Welcome")
        return response.welcome

    async def _write(self, stream: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        try:
            while True:
                await stream.write(await self._outbox.next())
        except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
            # The stream is over. The reader drains what the twin still said and knows why.
            await asyncio.Event().wait()

    async def _read(
        self, responses: AsyncIterator[bytes], welcome: session_pb2.Welcome, pulse: Pulse, receipts: Receipts
    ) -> None:
        desired: list[SetAttribute] = []
        async for raw in responses:
            response = codec.decode_response(raw)
            pulse.heard()
            if response.ack:
                self._outbox.acknowledged(response.ack)
            if response.seq:
                receipts.arrived(response.seq)
            match response.WhichOneof("body"):
                case "topology_snapshot":
                    self._inventory.snapshot(response.topology_snapshot)
                case "topology_delta":
                    if not self._inventory.delta(response.topology_delta):
                        request = codec.ConnectRequest()
                        request.topology_request.SetInParent()
                        self._outbox.send_now(request)
                case "desired_configuration":
                    desired.extend(mapping.read_attributes(response.desired_configuration.attributes))
                    if response.desired_configuration.last:
                        self._started(welcome, tuple(desired))
                case "command" | "state_request":
                    self._take_order(response)
                case "credit":
                    self._outbox.grant(response.credit.channel, response.credit.messages)
                case "heartbeat":
                    self._answer_heartbeat(response.heartbeat)
                case "heartbeat_reply":
                    pulse.answered(response.heartbeat_reply)
                case "notice":
                    self._heed(response.notice)
                case "refusal":
                    raise read_refusal(response.refusal)
                case _:
                    pass  # news for observers, or a later version's message: nothing a scene must do
            if response.seq:
                self._outbox.acknowledge(receipts.done(response.seq))

    def _started(self, welcome: session_pb2.Welcome, desired: tuple[SetAttribute, ...]) -> None:
        origin = welcome.origin
        self._start = SceneStart(
            topology=self._inventory.topology,
            civil=CivilTime(epoch=datetime.fromisoformat(welcome.sim_epoch), timezone=welcome.timezone),
            resume_at_sim_s=welcome.resume_at_sim_s if welcome.has_resume_time else None,
            past_s=welcome.past_s,
            speed=welcome.speed,
            desired=desired,
            origin=Origin(
                latitude_deg=origin.latitude_deg, longitude_deg=origin.longitude_deg, height_m=origin.height_m
            )
            if welcome.HasField("origin")
            else None,
            scenario_digest=welcome.scenario_digest,
        )
        self.connections += 1
        self._log.info("connected", session=welcome.session_id, connections=self.connections)
        if self._observed:
            self._outbox.send_anyway(self._observed_message())
        if self._live:
            self._outbox.send_anyway(self._live_message())
        if self._on_start is not None:
            self._on_start(self.start)
        self._ready.set()

    def _heed(self, notice: session_pb2.Notice) -> None:
        self._log.info("notice", code=session_pb2.NoticeCode.Name(notice.code), message=notice.message)
        if notice.code == session_pb2.NOTICE_CODE_TAKEN_OVER:
            raise Conflict(f"{notice.message}; this one gives way")

    def _answer_heartbeat(self, heartbeat: session_pb2.Heartbeat) -> None:
        request = codec.ConnectRequest()
        request.heartbeat_reply.number = heartbeat.number
        request.heartbeat_reply.sent_unix_ns = heartbeat.sent_unix_ns
        request.heartbeat_reply.received_unix_ns = time.time_ns()
        self._outbox.send_now(request)
        if self.dropped != self._told_dropped:
            self._told_dropped = self.dropped
            request = codec.ConnectRequest()
            request.flow_report.channel = session_pb2.CHANNEL_TELEMETRY
            request.flow_report.dropped = self.dropped
            request.flow_report.age_ms = 1000 * self._outbox.age_s.get(session_pb2.CHANNEL_TELEMETRY, 0.0)
            self._outbox.send_now(request)

    # Orders.

    def _take_order(self, order: bridge_pb2.ConnectResponse) -> None:
        try:
            self._orders.put_nowait(order)
        except asyncio.QueueFull:
            raise Overloaded(f"`{MOST_ORDERS}` orders wait in the scene; it obeys too slowly") from None

    async def _obey(self) -> None:
        while True:
            order = await self._orders.get()
            if order.WhichOneof("body") == "command":
                await self._obey_command(order)
            else:
                await self._send_state(order.state_request.request_id)

    async def _obey_command(self, order: bridge_pb2.ConnectResponse) -> None:
        known = self._results.get(order.command.id)
        if known is not None:
            self._answer(known)
            return
        self._answer(CommandResult(command_id=order.command.id, stage=CommandStage.RECEIVED))
        result = await self._outcome(order)
        if not order.command.dry_run:
            self._keep(result)
        self._answer(result)

    async def _outcome(self, order: bridge_pb2.ConnectResponse) -> CommandResult:
        command_id = order.command.id

        def no(stage: CommandStage, reason: str) -> CommandResult:
            return CommandResult(command_id=command_id, stage=stage, reason=reason, sim_time_s=self._sim_time_s)

        try:
            command = mapping.read_command(order.command)
        except ProtocolError as error:
            return no(CommandStage.REJECTED, str(error))
        if command.deadline_unix_ns and time.time_ns() > command.deadline_unix_ns:
            return no(CommandStage.EXPIRED, "the deadline had passed when the scene got the command")
        if command.expected_revision and command.expected_revision != self.topology.revision:
            return no(
                CommandStage.REJECTED,
                f"made for revision `{command.expected_revision}`, the scene is at `{self.topology.revision}`",
            )
        if self._on_command is None:
            return no(CommandStage.REJECTED, "this scene obeys no commands")
        try:
            answer = self._on_command(command)
            return await answer if inspect.isawaitable(answer) else answer
        except TwinError as error:
            return no(CommandStage.REJECTED, str(error))
        except Exception as error:  # noqa: BLE001 - whatever the scene's own code raises, the twin gets an answer
            self._log.exception("command_failed", command_id=command_id)
            return no(CommandStage.FAILED, f"{type(error).__name__}: {error}")

    def _keep(self, result: CommandResult) -> None:
        self._results[result.command_id] = result
        while len(self._results) > KEPT_RESULTS:
            self._results.popitem(last=False)
        if result.stage is CommandStage.APPLIED:
            for attribute in result.observed:
                self._observed[attribute.entity_id, attribute.attribute] = attribute

    def _answer(self, result: CommandResult) -> None:
        request = codec.ConnectRequest()
        mapping.write_result(request.command_ack, result)
        self._outbox.send_anyway(request)

    async def _send_state(self, request_id: str) -> None:
        try:
            if self._on_state is None:
                raise SceneUnavailable("this scene keeps no state that could be handed out")
            answer = self._on_state()
            state = await answer if inspect.isawaitable(answer) else answer
        except TwinError as error:
            request = codec.ConnectRequest()
            request.state_chunk.request_id, request.state_chunk.reason = request_id, str(error)
            request.state_chunk.last = True
            self._outbox.send_now(request)
            return
        digest = hashlib.sha256(state.data).digest()
        for first in range(0, max(len(state.data), 1), codec.CHUNK_BYTES):
            request = codec.ConnectRequest()
            chunk = request.state_chunk
            chunk.request_id, chunk.format, chunk.revision = request_id, state.format, state.revision
            chunk.sim_time_s, chunk.offset, chunk.total_bytes = state.sim_time_s, first, len(state.data)
            chunk.data = state.data[first : first + codec.CHUNK_BYTES]
            if first + codec.CHUNK_BYTES >= len(state.data):
                chunk.last, chunk.sha256 = True, digest
            await self._outbox.calm()
            self._outbox.send_now(request)


def _why(error: BaseException | None) -> str:
    if error is None or isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
        return "the scene ends"
    return type(error).__name__
