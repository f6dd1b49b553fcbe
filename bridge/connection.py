"""A client's stream to the twin, whoever the client is: coming in, staying alive, coming back.

The rules stand in `docs/bridge.md`. What is lossless is numbered and kept by the
:class:`~bridge.outbox.Outbox` until the twin has it; after a broken stream the session goes on where it was
cut (R2), or begins anew (R3). What a scene or an observer makes of the messages is its own affair
(:class:`Party`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from bridge import codec
from bridge.briefing import Briefing
from bridge.errors import read_refusal
from bridge.outbox import Outbox
from bridge.stream import PROTOCOL_VERSION, Pulse, Receipts, first_of
from bridge.v1 import session_pb2
from bridge.wires import open_wire, parse_address
from twin.errors import Conflict, ProtocolError, SceneUnavailable, TooLarge, TwinError, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from bridge.v1 import bridge_pb2
    from bridge.wires import ClientTls, Wire

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
LONGEST_PAUSE_HERE_S = 2.0
"""Towards this machine: nobody else is bothered, and a twin that is started again shall be found at once."""

WELCOME_TIMEOUT_S = 10.0
LONGEST_WAIT_S = 3600.0
"""A twin that asks for more patience than this is asked again after this."""

DEFAULT_HEARTBEAT_S = 2.0
MOST_ANSWERS = 1024
"""Answers kept beyond the buffer."""

_HEADER_BYTES = 64
_UNLIMITED = 1 << 31
"""Credit for Presence: it needs none, but goes through a newest-wins slot so that it cannot pile up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Whose stream it is, and what it makes of the messages.

    Attributes:
        introduce: Fills in who this is; token and resume are the connection's.
        began: The twin let us in; credits are fresh. Told whether the earlier session goes on.
        ready: Inventory and configuration are here, the stream can be used; once per connection.
        heard: Deals with a message; False = later, :meth:`Connection.dealt_with` will be called.
        topology_changed: The inventory has another revision.
        ended: There will be no further stream.
    """

    introduce: Callable[[session_pb2.Hello], None]
    began: Callable[[bool], None]
    ready: Callable[[], None]
    heard: Callable[[bridge_pb2.ConnectResponse], bool]
    topology_changed: Callable[[], None] = lambda: None
    ended: Callable[[], None] = lambda: None


class Backoff:
    """Pauses between attempts: a random share of one that doubles (R8)."""

    def __init__(self, *, longest_s: float) -> None:
        self._longest_s = longest_s
        self._next_s = FIRST_PAUSE_S

    def reset(self) -> None:
        """Begin again with the shortest; an attempt succeeded."""
        self._next_s = FIRST_PAUSE_S

    def pause_s(self) -> float:
        """Return how long to wait before the next attempt."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self._longest_s)
        return random.uniform(0, pause_s)


class _Refused(Exception):
    def __init__(self, error: TwinError, *, retry_after_s: float) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class _ResumePoint:
    session_id: str
    token: str


class Connection:
    """Connects, comes back, and hands over what the twin says.

    Args:
        url: Address of the twin, see :func:`~bridge.wires.parse_address`.
        party: Whose stream it is.
        name: For the log.
        token: Goes into Hello and nowhere else.
        tls: For encrypted addresses.
        buffer: Most lossless messages kept while the twin is away.
        buffer_bytes: The same in bytes.

    Attributes:
        connections: How many times the twin let us in and told everything.
        resumed: How many streams went on with the earlier session.
        streams: How many times the twin let us in.
        streaming: Whether a stream is open; it may not be ready to be used.
        session_id: Of the present or last session, "" before the first.
        fencing_number: Of our holding of the scene, 0 for observers.
        scopes: What the token allows.
        pulse: Round trip and clock of the present or last stream.
        briefing: What the twin said of the scene.

    Raises:
        InvalidInput: The address cannot be meant.
    """

    def __init__(
        self,
        url: str,
        *,
        party: Party,
        name: str,
        token: str = "",
        tls: ClientTls | None = None,
        buffer: int = 4096,
        buffer_bytes: int = 64 * 1024 * 1024,
        sim_time_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._url, self._address, self._tls, self._token = url, parse_address(url, tls=tls), tls, token
        self._party = party
        self._name = name
        self._sim_time_s = sim_time_s
        self._buffer = buffer
        self.outbox = Outbox(response=False, limit=buffer, limit_bytes=buffer_bytes, sim_time_s=sim_time_s)
        self.briefing = Briefing()
        self.pulse = Pulse()
        self.connections = 0
        self.resumed = 0
        self.streams = 0
        self.session_id = ""
        self.fencing_number = 0
        self.scopes: frozenset[str] = frozenset()
        self._resume: _ResumePoint | None = None
        self._receipts = Receipts()
        self._ready = asyncio.Event()
        self._granted = asyncio.Event()
        self._closing = False
        self.streaming = False
        self._runner: asyncio.Task[None] | None = None
        self._failure: TwinError | None = None
        self._last_reason = ""
        self._was_refused = False
        self._queued = 0
        self._dropped_before: dict[int, int] = {}
        self._told_dropped: dict[int, int] = {}
        self._log = structlog.get_logger("bridge").bind(client=name)

    # Life.

    @property
    def connected(self) -> bool:
        """Whether the stream is open and can be used now."""
        return self._ready.is_set()

    async def open(self, *also: Coroutine[object, object, None], timeout_s: float | None) -> None:
        """Connect and stay connected in the background, with work that goes on beside it; returns when it is ready.

        Raises:
            TwinError: The twin refused us. SceneUnavailable: Nobody let us in in time.
        """
        self._runner = asyncio.create_task(self._run(*also), name=f"bridge-client-{self._name}")
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({self._runner, ready}, timeout=timeout_s, return_when="FIRST_COMPLETED")
        except asyncio.CancelledError:
            await self._end()  # whoever is cancelled while entering never leaves
            raise
        finally:
            ready.cancel()
        if not self.connections:
            await self._end()
            because = f": {self._last_reason}" if self._last_reason else ""
            raise self._failure or SceneUnavailable(
                f"the twin at `{self._url}` did not let us in within `{timeout_s}` s{because}"
                if self._was_refused
                else f"no twin answered at `{self._url}` within `{timeout_s}` s; start one with `twin up`{because}"
            )

    async def close(self, reason: str) -> None:
        """Leave for good."""
        if self.streaming and self._runner is not None and not self._runner.done():
            self._closing = True
            goodbye = codec.ConnectRequest()
            goodbye.goodbye.reason = reason
            self.outbox.send_now(goodbye)
            await asyncio.wait({self._runner}, timeout=0.5)
        await self._end()

    async def _end(self) -> None:
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
            self._runner = None

    async def closed(self) -> None:
        """Wait until the connection ends for good.

        Raises:
            TwinError: Why, when the twin refused us or another one took over.
        """
        if self._runner is not None:
            await asyncio.wait({self._runner})
        self.check()

    def check(self) -> None:
        """Raise why the connection ended for good, if it did."""
        if self._failure is not None:
            raise self._failure

    async def _run(self, *also: Coroutine[object, object, None]) -> None:
        try:
            # What goes on beside outlives a connection: an order that is half done is finished and answered on the
            # next one.
            await first_of(self._connect_for_ever(), *also)
        except TwinError as error:
            self._give_up(error)
            self._log.error("stream_refused", reason=str(error), kind=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - the task has no one else to tell; senders raise what stands in _failure
            self._log.exception("client_failed")
            failure = TwinError(f"the client failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._give_up(failure)

    def _give_up(self, failure: TwinError) -> None:
        self._failure = failure
        self.outbox.abandon()
        self._granted.set()
        self._party.ended()

    async def _connect_for_ever(self) -> None:
        backoff = Backoff(longest_s=LONGEST_PAUSE_HERE_S if self._address.loopback else LONGEST_PAUSE_S)
        while True:
            before, wait_s = self.connections, 0.0
            self._was_refused = False
            try:
                await self._connection()
                reason = "the twin ended the stream"
            except _Refused as refused:
                if refused.retry_after_s <= 0:
                    raise refused.error from None
                self._was_refused = True
                reason, wait_s = str(refused), min(refused.retry_after_s, LONGEST_WAIT_S)
            except Unavailable as error:
                reason = str(error)
            if self._closing:
                return
            if self.connections > before:
                backoff.reset()
            pause_s = wait_s + backoff.pause_s()
            self._last_reason = reason
            self._log.info("stream_lost", reason=reason, next_try_in_s=round(pause_s, 3))
            await asyncio.sleep(pause_s)

    # One stream.

    async def _connection(self) -> None:
        async with contextlib.AsyncExitStack() as opened:
            wire = await opened.enter_async_context(open_wire(self._address, self._tls))
            await wire.send(self._hello())
            received = await opened.enter_async_context(contextlib.aclosing(wire.received()))
            try:
                async with asyncio.timeout(WELCOME_TIMEOUT_S):
                    first = codec.decode_response(await anext(received))
            except TimeoutError:
                raise Unavailable(f"`{self._url}` did not answer Hello in time") from None
            except StopAsyncIteration:
                raise Unavailable(f"`{self._url}` ended the stream before Welcome") from None
            self.pulse = Pulse()
            interval_s = first.welcome.heartbeat_interval_s
            try:
                self._begin(first)
                await first_of(
                    self._read(received),
                    self._write(wire),
                    self.pulse.watch(
                        self.outbox,
                        codec.ConnectRequest,
                        interval_s=interval_s if interval_s > 0 else DEFAULT_HEARTBEAT_S,
                        missed=3,
                    ),
                )
            finally:
                self.streaming = False
                self._ready.clear()

    def _hello(self) -> bytes:
        request = codec.ConnectRequest(wall_time_unix_ns=time.time_ns(), sim_time_s=self._sim_time_s())
        hello = request.hello
        hello.protocol_min = hello.protocol_max = PROTOCOL_VERSION
        hello.token = self._token
        if self._resume is not None:
            hello.resume.session_id, hello.resume.resume_token = self._resume.session_id, self._resume.token
            # What arrived is in this program's memory, dealt with or not: it need not come again.
            hello.resume.last_seq = self._receipts.last
        self._party.introduce(hello)
        return request.SerializeToString()

    def _begin(self, first: bridge_pb2.ConnectResponse) -> None:
        if first.HasField("refusal"):
            raise _Refused(read_refusal(first.refusal), retry_after_s=first.refusal.retry_after_s)
        if not first.HasField("welcome"):
            raise ProtocolError(f"the twin began with `{first.WhichOneof('body')}`, not with Welcome")
        welcome = first.welcome
        resumed = welcome.resumed
        if resumed and (self._resume is None or welcome.session_id != self._resume.session_id):
            raise ProtocolError(f"the twin resumes the session `{welcome.session_id}`, which was not asked for")
        if resumed:
            self.outbox.resume(first.ack, window=welcome.lossless_window)
            self._receipts.resume()
            self.resumed += 1
        else:
            self.outbox.restart(window=welcome.lossless_window)
            self._receipts = Receipts()
            self._dropped_before, self._told_dropped = dict(self.outbox.dropped), {}
        self.briefing.welcomed(welcome, resumed=resumed)
        self.streams += 1
        self.streaming = True
        self.session_id, self.fencing_number = welcome.session_id, welcome.fencing_number
        self.scopes = frozenset(welcome.scopes)
        self._resume = (
            _ResumePoint(session_id=welcome.session_id, token=welcome.resume_token) if welcome.resume_token else None
        )
        self.outbox.grant(session_pb2.CHANNEL_TELEMETRY, welcome.telemetry_credits)
        self.outbox.grant(session_pb2.CHANNEL_CAMERA, welcome.camera_credits)
        self.outbox.grant(session_pb2.CHANNEL_VOICE, welcome.voice_credits)
        self.outbox.grant(session_pb2.CHANNEL_PRESENCE, _UNLIMITED)
        self._party.began(resumed)
        if self.briefing.complete:
            self._is_ready()

    def _is_ready(self) -> None:
        self.connections += 1
        self._log.info("connected", session=self.session_id, connections=self.connections, resumed=self.resumed)
        self._party.ready()
        self._ready.set()

    async def _write(self, wire: Wire) -> None:
        try:
            while True:
                await wire.send(await self.outbox.next())
        except Unavailable:
            # The stream is over. The reader drains what the twin still said and knows why.
            await asyncio.Event().wait()

    async def _read(self, received: AsyncIterator[bytes]) -> None:
        async for envelope in received:
            response = codec.decode_response(envelope)
            self.pulse.heard()
            if response.ack:
                self.outbox.acknowledged(response.ack)
            if response.seq and not self._receipts.arrived(response.seq):
                continue  # it was dealt with before the stream broke
            try:
                done = self._take(response)
            except Unavailable:
                self._resume = None  # the message was not dealt with; everything begins anew
                raise
            if response.seq and done:
                self.dealt_with(response.seq)

    def dealt_with(self, seq: int) -> None:
        """Acknowledge a lossless message of the present session that the party put off."""
        self.outbox.acknowledge(self._receipts.done(seq))

    def _take(self, response: bridge_pb2.ConnectResponse) -> bool:
        match response.WhichOneof("body"):
            case "topology_snapshot":
                if self.briefing.snapshot(response.topology_snapshot):
                    self._party.topology_changed()
            case "topology_delta":
                if self.briefing.delta(response.topology_delta):
                    self._party.topology_changed()
                else:
                    request = codec.ConnectRequest()
                    request.topology_request.have_revision = self.briefing.topology.revision
                    self.outbox.send_now(request)
            case "desired_configuration":
                if self.briefing.configuration(response.desired_configuration):
                    self._is_ready()
            case "credit":
                self.outbox.grant(response.credit.channel, response.credit.messages)
                self._granted.set()
            case "heartbeat":
                self._answer_heartbeat(response.heartbeat)
            case "heartbeat_reply":
                self.pulse.answered(response.heartbeat_reply)
            case "notice":
                self._heed(response.notice)
            case "refusal":
                raise _Refused(read_refusal(response.refusal), retry_after_s=response.refusal.retry_after_s)
            case None:
                pass
            case _:
                return self._party.heard(response)
        return True

    def _heed(self, notice: session_pb2.Notice) -> None:
        self._log.info("notice", code=session_pb2.NoticeCode.Name(notice.code), message=notice.message)
        if notice.code == session_pb2.NOTICE_CODE_TAKEN_OVER:
            raise Conflict(f"{notice.message}; this one gives way")

    def _answer_heartbeat(self, heartbeat: session_pb2.Heartbeat) -> None:
        request = codec.ConnectRequest()
        request.heartbeat_reply.number = heartbeat.number
        request.heartbeat_reply.sent_unix_ns = heartbeat.sent_unix_ns
        request.heartbeat_reply.received_unix_ns = time.time_ns()
        self.outbox.send_now(request)
        for channel in (session_pb2.CHANNEL_TELEMETRY, session_pb2.CHANNEL_CAMERA, session_pb2.CHANNEL_VOICE):
            dropped = self.outbox.dropped.get(channel, 0) - self._dropped_before.get(channel, 0)
            if dropped != self._told_dropped.get(channel, 0):
                self._told_dropped[channel] = dropped
                request = codec.ConnectRequest()
                request.flow_report.channel = channel
                request.flow_report.dropped = dropped
                request.flow_report.age_ms = 1000 * self.outbox.age_s.get(channel, 0.0)
                self.outbox.send_now(request)

    # What we say.

    def check_size(self, size: int) -> None:
        """Raise :class:`~twin.errors.TooLarge` for a message that the twin would not take."""
        most = self.briefing.max_message_bytes or codec.MAX_MESSAGE_BYTES
        if size + _HEADER_BYTES > most:
            raise TooLarge(f"the message has `{size}` bytes, the twin takes `{most}`; send it in smaller ones")

    async def send(self, request: bridge_pb2.ConnectRequest) -> None:
        """Queue a lossless message; waits while the buffer is full.

        Raises:
            TwinError: The connection ended for good. TooLarge: The twin takes no message of this size.
        """
        self.check_size(request.ByteSize())
        await self.room()
        self.send_anyway(request)

    async def room(self) -> None:
        """Wait while the buffer of lossless messages is full.

        Raises:
            TwinError: The connection ended for good.
        """
        self.check()
        await self.outbox.room()
        self.check()

    def send_anyway(self, request: bridge_pb2.ConnectRequest) -> int:
        """Queue a lossless message even beyond the buffer and return its place among all that were ever queued."""
        self._queued += 1
        self.outbox.send_anyway(request)
        return self._queued

    async def credited(self, channel: int, *, timeout_s: float) -> None:
        """Wait until the twin has given credit for a channel, or it took too long, or the connection ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self.outbox.credit(channel) and self._failure is None:
                    self._granted.clear()
                    await self._granted.wait()

    async def answerable(self) -> None:
        """Wait until answers may be queued beyond the buffer again: they, too, are bounded."""
        if self.outbox.depth >= self._buffer + MOST_ANSWERS:
            await self.outbox.room()

    def waits(self, place: int) -> bool:
        """Return whether the lossless message at a place is still kept, and so goes out again by itself."""
        return place > self._queued - self.outbox.depth
