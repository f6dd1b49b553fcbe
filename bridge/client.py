"""The scene's end of the stream, for people who write their own scene in Python.

    async with SceneClient("127.0.0.1:8601", "harbour", provides={"MOTION", "KPI"}, on_command=obey) as scene:
        await scene.send_observed(configuration, sim_time_s=now_s)
        await scene.send_live(now_s)
        while True:
            scene.send_telemetry(batch)       # newest wins, never waits
            await scene.send_pm(report)       # lossless, waits only while the buffer is full

The client connects, comes back after a broken stream and goes on where it was cut, answers heartbeats, keeps every PM
report until the twin has stored it, and remembers its answers to commands, so that a repeated command is answered
again and not obeyed twice; with a ledger also after the scene was killed. `docs/own-scene.md` leads through all of it
step by step; `examples/own_scene.py` is a whole scene on one page.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bridge import codec, mapping
from bridge.connection import Connection, Party
from bridge.listening import Listener
from bridge.news import Subscription
from bridge.offers import Offers
from bridge.orders import Orders, Present
from bridge.scene_media import Studio, say
from bridge.v1 import session_pb2
from bridge.visitor import Visitor
from twin.commands import CommandResult, CommandStage, SetAttribute
from twin.errors import InvalidInput, SceneUnavailable, TwinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from bridge.dispatch import SceneState
    from bridge.ledger import CommandLedger
    from bridge.news import Event, People
    from bridge.scene_media import CameraRequest
    from bridge.v1 import bridge_pb2
    from bridge.wires import ClientTls
    from twin.alarms import Alarm
    from twin.commands import Command
    from twin.media import CameraImage
    from twin.ports import EntityVerdict, OfferedEntity, SceneStart
    from twin.telemetry import PmReport, TelemetryBatch

_PROVISIONS: dict[str, session_pb2.Provision.ValueType] = {word: number for number, word in mapping.PROVISIONS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneCapabilities:
    """What a scene can do beyond the least.

    Attributes:
        camera_codecs: How its cameras compress: "jpeg", "png", "raw". Empty = no cameras.
        archetypes: What it can spawn.
        max_entities: Most entities that it can show; 0 = no limit.
        max_frame_bytes: Largest picture that it sends; 0 = no limit.
    """

    camera_codecs: tuple[str, ...] = ()
    archetypes: tuple[str, ...] = ()
    max_entities: int = 0
    max_frame_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class _Told:
    """A lossless message that is told again after each connect, unless it still waits to be sent."""

    place: int = 0
    version: int = 0


class SceneClient(Visitor):
    """A scene's connection to the twin, as an async context manager; entering waits for the first Welcome.

    Args:
        url: Address of the bridge: ``host:port`` or ``grpc://``, ``grpcs://``, ``ws://host:port/bridge``, ``wss://``.
        scene_id: Slug of the scene.
        provides: Subset of {"MOTION", "KPI", "STATE"}.
        engine: Name of what runs the scene.
        epoch: The scene's present run of time; see :class:`~twin.telemetry.TelemetryBatch`.
        on_command: Obeys a command and returns its final answer. Raising a
            :class:`~twin.errors.TwinError` answers REJECTED with its text, anything else FAILED. May be async.
            Without it every command is REJECTED.
        on_state: Returns the scene's state for the twin. Without it, state requests are answered "none".
        on_start: Called after every (re)connect with what the twin said.
        on_camera: Takes a picture. Raising a TwinError tells its text instead. May be async.
        results: Answers to commands of an earlier life of this scene.
        ledger: Keeps answers to commands on the disk, opened; see :mod:`bridge.ledger`.
        token: For a twin that asks for one; needs the scope `scene`.
        tls: Certificates for ``grpcs://`` and ``wss://``; with them ``host:port`` means ``grpcs://``.
        takeover: Push out another program that holds what this scene provides. Counts for the first connection only:
            coming back, a scene does not push out who took over since.
        capabilities: What the scene can do beyond the least.
        connect_timeout_s: How long entering may take before :class:`~twin.errors.SceneUnavailable`;
            None waits for ever.
        pm_buffer: Most lossless messages kept while the twin is away.

    Raises:
        InvalidInput: The address or a word in `provides` cannot be meant.
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
        on_camera: Callable[[CameraRequest], CameraImage | Awaitable[CameraImage]] | None = None,
        results: Iterable[CommandResult] = (),
        ledger: CommandLedger | None = None,
        token: str = "",
        tls: ClientTls | None = None,
        takeover: bool = False,
        capabilities: SceneCapabilities | None = None,
        connect_timeout_s: float | None = 30.0,
        pm_buffer: int = 4096,
        pm_buffer_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        words = set(provides)
        unknown = words - set(_PROVISIONS)
        if unknown:
            raise InvalidInput(f"a scene cannot provide `{', '.join(sorted(unknown))}`; known: MOTION, KPI, STATE")
        self.scene_id = scene_id
        self.epoch = epoch
        self._provides = tuple(_PROVISIONS[word] for word in sorted(words))
        self._engine, self._engine_version = engine, engine_version
        self._takeover = takeover
        self._capabilities = capabilities or SceneCapabilities(
            camera_codecs=("jpeg", "png", "raw") if on_camera else ()
        )
        self._on_state, self._on_start = on_state, on_start
        self._connect_timeout_s = connect_timeout_s
        self._sim_time_s = 0.0
        self._connection = Connection(
            url,
            party=Party(introduce=self._introduce, began=self._began, ready=self._ready, heard=self._heard),
            name=scene_id,
            token=token,
            tls=tls,
            buffer=pm_buffer,
            buffer_bytes=pm_buffer_bytes,
            sim_time_s=lambda: self._sim_time_s,
        )
        self._outbox = self._connection.outbox
        present = Present(
            revision=lambda: self.topology.revision,
            fencing_number=lambda: self.fencing_number,
            sim_time_s=lambda: self._sim_time_s,
            answer=self._answer,
            answerable=self._connection.answerable,
            kept=self._kept,
        )
        self._orders = Orders(present=present, on_command=on_command, ledger=ledger, results=results, scene_id=scene_id)
        self._studio = Studio(self._connection, on_camera)
        self._listener = Listener(self._connection)
        self._observed: dict[tuple[str, str], SetAttribute] = {}
        self._observed_version = 0
        self._observed_told, self._live_told = _Told(), _Told()
        self._live = False
        self._offers = Offers(self._connection)
        self._presence = b""

    # What the twin said.

    @property
    def fencing_number(self) -> int:
        """Number of this holding of the scene; orders sent under a smaller one are rejected. 0 = unknown."""
        return self._connection.fencing_number

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
        return self._orders.results

    # Life.

    async def __aenter__(self) -> Self:
        await self._connection.open(self._orders.work_off(), self._studio.work(), timeout_s=self._connect_timeout_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close(_why(error))
        self._offers.close()

    async def closed(self) -> None:
        """Wait until the connection ends for good.

        Raises:
            TwinError: Why, when the twin refused the scene or another one took over.
        """
        await self._connection.closed()

    # What the scene says.

    def send_telemetry(self, batch: TelemetryBatch, *, stream: Hashable = None, quantised: bool = False) -> None:
        """Offer positions and gauges; replaces a batch that could not go out yet. Never waits.

        Args:
            batch: What is measured.
            stream: Batches of several streams (such as two kinds of entities) do not replace each other.
            quantised: Whether to write 16-bit integers: half the bytes, an error of at most half a step of 1/65534
                of what a column spans.

        Raises:
            TwinError: The twin refused the scene for good. TooLarge: The twin takes no message of this size.
        """
        self._connection.check()
        self._sim_time_s = batch.sim_time_s
        request = codec.ConnectRequest()
        mapping.write_telemetry(request.telemetry, batch, quantised=quantised)
        body = request.SerializeToString()
        self._connection.check_size(len(body))
        self._outbox.offer(session_pb2.CHANNEL_TELEMETRY, body, stream=stream)

    async def telemetry_sent(self) -> None:
        """Wait until the batch offered last is on its way: for scenes that run as fast as the twin can take them.

        Raises:
            TwinError: The twin refused the scene for good.
        """
        await self._outbox.taken(session_pb2.CHANNEL_TELEMETRY)
        self._connection.check()

    async def send_pm(self, report: PmReport) -> None:
        """Queue counters of one period; kept until the twin has stored them. Waits while the buffer is full.

        Raises:
            TwinError: The twin refused the scene for good. TooLarge: The twin takes no message of this size.
        """
        request = codec.ConnectRequest()
        mapping.write_pm(request.pm_report, report)
        await self._connection.send(request)

    async def send_observed(self, attributes: Iterable[SetAttribute], *, sim_time_s: float) -> None:
        """Tell the configuration as read back in the scene; the client repeats it after a reconnect."""
        self._observe(attributes)
        self._sim_time_s = max(self._sim_time_s, sim_time_s)
        await self._connection.room()
        self._tell_observed()

    async def send_live(self, sim_time_s: float) -> None:
        """Say that the past is told; the client repeats it after a reconnect."""
        self._live, self._sim_time_s = True, sim_time_s
        await self._connection.room()
        self._tell_live()

    async def send_alarm(self, alarm: Alarm) -> None:
        """Raise an alarm that the scene itself knows of, or clear it (`cleared_at_s` set); durable once acknowledged.

        `alarm.id` is the scene's own, by which a repetition is known; the twin gives it another.
        """
        request = codec.ConnectRequest()
        mapping.write_alarm(request.alarm, alarm)
        await self._connection.send(request)

    async def send_event(self, name: str, facts: Mapping[str, object], *, sim_time_s: float) -> None:
        """Tell anything else that happened."""
        request = codec.ConnectRequest()
        request.event.name, request.event.sim_time_s = name, sim_time_s
        mapping.write_facts(request.event.facts, facts)
        await self._connection.send(request)

    async def stored(self) -> None:
        """Wait until the twin has stored everything lossless that was sent."""
        await self._outbox.drained()
        self._connection.check()

    async def contribute(
        self, entities: Sequence[OfferedEntity], *, timeout_s: float = 30.0
    ) -> tuple[EntityVerdict, ...]:
        """Offer entities that only the scene knows and return what became of each, in the same order.

        Raises:
            Overloaded: Too many offers wait. DeadlineExceeded: No answer in time; the same offer may be made again.
        """
        return await self._offers.make(entities, timeout_s=timeout_s)

    # Pictures, speech, presence.

    def send_picture(self, image: CameraImage) -> None:
        """Offer a picture that nobody asked for; replaces one of the same camera that could not go out yet."""
        self._connection.check()
        self._studio.show(image)

    async def send_voice(self, pcm_int16: bytes, sample_rate_hz: int) -> int:
        """Send one utterance of mono 16-bit little-endian samples; returns how many of its chunks were lost."""
        return await say(self._connection, pcm_int16, sample_rate_hz=sample_rate_hz)

    # What the scene wants to be told.

    def subscribe(
        self,
        *,
        on_telemetry: Callable[[TelemetryBatch], None] | None = None,
        on_pm: Callable[[PmReport], None] | None = None,
        on_alarm: Callable[[Alarm], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_presence: Callable[[People], None] | None = None,
        kpis: Sequence[str] = (),
        max_rate_hz: float = 0.0,
        area_m: tuple[float, float, float, float] | None = None,
        quantised: bool = False,
    ) -> None:
        """Be told what others measure and do: an engine that provides only MOTION gets its KPIs back this way.

        The last call counts; one without callbacks ends it. What the scene itself sends is not told to it.
        """
        self._listener.subscribe(
            Subscription(
                channels=frozenset(
                    name
                    for name, callback in (
                        ("TELEMETRY", on_telemetry),
                        ("PM", on_pm),
                        ("ALARMS", on_alarm),
                        ("EVENTS", on_event),
                        ("PRESENCE", on_presence),
                    )
                    if callback is not None
                ),
                kpis=tuple(kpis),
                max_rate_hz=max_rate_hz,
                area_m=area_m,
                quantised=quantised,
            ),
            on_telemetry=on_telemetry,
            on_pm=on_pm,
            on_alarm=on_alarm,
            on_event=on_event,
            on_presence=on_presence,
        )

    # The stream.

    def _introduce(self, hello: session_pb2.Hello) -> None:
        hello.role = session_pb2.ROLE_SCENE
        hello.scene_id, hello.epoch = self.scene_id, self.epoch
        hello.provides.extend(self._provides)
        hello.engine, hello.engine_version = self._engine, self._engine_version
        hello.frame = session_pb2.FRAME_ENU
        hello.takeover = self._takeover and not self._connection.streams
        able = hello.capabilities
        able.camera_codecs.extend(self._capabilities.camera_codecs)
        able.archetypes.extend(self._capabilities.archetypes)
        able.max_entities = self._capabilities.max_entities
        able.max_frame_bytes = self._capabilities.max_frame_bytes

    def _began(self, resumed: bool) -> None:  # noqa: FBT001 - the signature is the connection's
        self._listener.began()
        if self._presence:
            self._outbox.offer(session_pb2.CHANNEL_PRESENCE, self._presence)
        if not resumed:
            self._offers.again()

    def _ready(self) -> None:
        if self._observed:
            self._tell_observed()
        if self._live:
            self._tell_live()
        if self._on_start is not None:
            self._on_start(self.start)

    def _heard(self, response: bridge_pb2.ConnectResponse) -> bool:
        match response.WhichOneof("body"):
            case "command":
                self._orders.take_command(response.command)
            case "state_request":
                self._orders.take(lambda: self._send_state(response.state_request.request_id))
            case "contribute_reply":
                self._offers.answered(response.contribute_reply)
            case "camera_request":
                self._studio.requested(response.camera_request)
            case _:
                self._listener.heard(response)
        return True

    def _observe(self, attributes: Iterable[SetAttribute]) -> None:
        for attribute in attributes:
            self._observed[attribute.entity_id, attribute.attribute] = attribute
            self._observed_version += 1

    def _tell_observed(self) -> None:
        request = codec.ConnectRequest()
        request.observed_configuration.sim_time_s = self._sim_time_s
        mapping.write_attributes(request.observed_configuration, self._observed.values())
        self._tell(self._observed_told, request, version=self._observed_version)

    def _tell_live(self) -> None:
        request = codec.ConnectRequest()
        request.live_notice.scene_id, request.live_notice.sim_time_s = self.scene_id, self._sim_time_s
        self._tell(self._live_told, request, version=1)

    def _tell(self, told: _Told, request: bridge_pb2.ConnectRequest, *, version: int) -> None:
        if told.version == version and self._connection.waits(told.place):
            return  # it goes out again by itself; a flapping stream must not fill the buffer with it
        told.place, told.version = self._connection.send_anyway(request), version

    # Orders.

    def _answer(self, result: CommandResult) -> None:
        request = codec.ConnectRequest()
        mapping.write_result(request.command_ack, result)
        self._connection.send_anyway(request)

    def _kept(self, result: CommandResult) -> None:
        if result.stage is CommandStage.APPLIED:
            self._observe(result.observed)

    async def _send_state(self, request_id: str) -> None:
        stream = self._connection.streams
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
        for request in _chunks_of(state, request_id):
            await self._outbox.calm()
            if self._connection.streams != stream:
                return  # who asked asks again
            self._outbox.send_now(request)


def _chunks_of(state: SceneState, request_id: str) -> Iterator[bridge_pb2.ConnectRequest]:
    digest = hashlib.sha256(state.data).digest()
    for first in range(0, max(len(state.data), 1), codec.CHUNK_BYTES):
        request = codec.ConnectRequest()
        chunk = request.state_chunk
        chunk.request_id, chunk.format, chunk.revision = request_id, state.format, state.revision
        chunk.sim_time_s, chunk.offset, chunk.total_bytes = state.sim_time_s, first, len(state.data)
        chunk.data = state.data[first : first + codec.CHUNK_BYTES]
        if first + codec.CHUNK_BYTES >= len(state.data):
            chunk.last, chunk.sha256 = True, digest
        yield request


def _why(error: BaseException | None) -> str:
    if error is None or isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
        return "the scene ends"
    return type(error).__name__
