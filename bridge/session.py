"""One client on the twin's side: what it was told and what it said, over one stream after another.

A session outlives its stream: what is numbered waits for the next one. It belongs to a
:class:`bridge.server.BridgeServer`, which decides who may come in, when a session is forgotten, and what becomes of
what the client says (:mod:`bridge.intake`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from google.protobuf.unknown_fields import UnknownFieldSet

from bridge import codec, mapping
from bridge.intake import Intake
from bridge.outbox import Outbox
from bridge.stream import Bucket, Pulse, Receipts, first_of
from bridge.v1 import session_pb2
from twin.errors import Overloaded, ProtocolError, TooLarge, TwinError, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from bridge.access import Guest
    from bridge.intake import SessionHost
    from bridge.stream import BridgeSettings
    from bridge.v1 import bridge_pb2
    from twin.ports import SceneInfo, SceneSink, SceneStart

LAST_WORDS_S = 0.5
"""How long a client that is thrown out may take to read why."""
MOST_REASON = 200
"""Characters of a client's own words that are kept."""
HORIZON_S = 400 * 86_400.0
"""A time further ahead than this is a mistake: it would move the twin's now for good."""


class Stream:
    """One connection of a session.

    Attributes:
        goodbye: Whether the client left on purpose.
        reason: Why it ended, in plain words.
        failure: What to refuse the client with, None when it just ends.
        over: Set when the connection is no longer served.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.goodbye = False
        self.reason = "the stream broke"
        self.failure: TwinError | None = None
        self.over = asyncio.Event()
        self._ending = asyncio.Event()
        self._told = asyncio.Event()
        self._has_last_words = False

    def end(self, *, reason: str, failure: TwinError | None = None, last_words: bool = False) -> None:
        """End the connection; with `last_words` once the control messages that wait are written."""
        if not self._ending.is_set():
            self.reason, self.failure, self._has_last_words = reason, failure, last_words
            self._ending.set()

    async def write(self, outbox: Outbox, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write what the outbox has, until the client is gone or everything is said."""
        try:
            while not (self._ending.is_set() and outbox.is_calm):
                await write(await outbox.next())
            self._told.set()
        except ConnectionError:
            self._told.set()
        await asyncio.Event().wait()  # the reader takes what the client still said, then the stream ends

    async def ended(self) -> None:
        """Wait until the twin ends the connection.

        Raises:
            TwinError: Why the client is thrown out.
        """
        await self._ending.wait()
        if self.failure is not None:
            raise self.failure
        if self._has_last_words:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await self._told.wait()


class Session:
    """One client.

    Attributes:
        info: What a scene said of itself; observers have one too, with the scene that they watch.
        guest: Who it is, from authentication.
        start: What it was told when it came in.
        outbox: What it still has to be told.
        receipts: What it said so far.
        live: Whether the scene has told its past.
        sim_time_s: The scene's simulated now, as last heard.
        stream: The present connection, or the last one.
        suspended: Whether that one broke and the session waits to be resumed.
        lost: Whether it can no longer go on: something that it must be told was dropped.
    """

    def __init__(
        self,
        *,
        info: SceneInfo,
        role: session_pb2.Role.ValueType,
        guest: Guest,
        start: SceneStart,
        sink: SceneSink,
        host: SessionHost,
        settings: BridgeSettings,
    ) -> None:
        self.info = info
        self.role = role
        self.guest = guest
        self.start = start
        self.live = False
        self.sim_time_s = 0.0
        self.pulse = Pulse()
        self.outbox = Outbox(
            response=True,
            limit=settings.outbox_limit,
            limit_bytes=settings.outbox_limit_bytes,
            sim_time_s=lambda: self.sim_time_s,
        )
        self.receipts = Receipts()
        self.connected_at_s = time.monotonic()
        self.telemetry_received = 0
        self.telemetry_dropped = 0
        self.telemetry_dropped_by_client = 0
        self.telemetry_age_s = float("nan")
        self.pm_received = 0
        self.unknown_bodies = 0
        self.subscription = session_pb2.Subscribe()
        self.next_topology_s = 0.0
        self.stream = Stream(self)
        self.suspended = False
        self.lost = False
        self._latest_s = start.resume_at_sim_s or 0.0
        self._settings = settings
        self._token_digest = b""
        self._intake = Intake(self, sink=sink, host=host, settings=settings)
        self._worker: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("bridge").bind(session=info.session_id, scene=info.scene_id)

    @property
    def is_scene(self) -> bool:
        """Whether the client is a scene."""
        return self.role == session_pb2.ROLE_SCENE

    @property
    def inbox_depth(self) -> int:
        """Lossless messages that arrived and are not durable yet."""
        return self.receipts.pending

    def moment(self, value: float, name: str) -> float:
        """Return a simulated time that can be meant.

        Raises:
            ProtocolError: No time, or so far ahead that it would move the twin's now for good.
        """
        at_s = mapping.read_moment(value, name)
        if at_s > self._latest_s:
            if at_s > self._latest_s + HORIZON_S:
                civil_s = self.start.civil.sim_time_s(datetime.now(UTC))
                if at_s > civil_s + HORIZON_S:
                    raise ProtocolError(
                        f"`{name}` is `{at_s:.1f}` s, more than `{HORIZON_S / 86_400:g}` days beyond both the twin's"
                        f" now (`{self._latest_s:.1f}` s) and the present (`{civil_s:.1f}` s); count seconds since"
                        " `sim_epoch` of Welcome"
                    )
            self._latest_s = at_s
        return at_s

    # Tokens.

    def new_token(self) -> str:
        """Return a new secret to resume with; the earlier one is worth nothing from now on."""
        token = secrets.token_urlsafe(32)
        self._token_digest = hashlib.sha256(token.encode()).digest()
        return token

    def knows(self, token: str) -> bool:
        """Return whether this is the secret given last, in a time that does not depend on how wrong it is."""
        return hmac.compare_digest(hashlib.sha256(token.encode()).digest(), self._token_digest)

    # What the client is told.

    def tell(self, response: bridge_pb2.ConnectResponse) -> None:
        """Queue a lossless message.

        A client that does not keep up is thrown out; the message is kept, for it may resume (rule L5). One that is
        away for so long that the ring is full begins anew (rule R3).
        """
        self.tell_encoded(response.SerializeToString())

    def tell_encoded(self, body: bytes) -> None:
        """The same for a message that was serialized once for several receivers."""
        if self.lost:
            return
        if not self.outbox.has_room:
            if self.suspended:
                self._lose()
                return
            error = Overloaded(
                f"`{self.outbox.depth}` messages wait for acknowledgement; acknowledge what was dealt with, then resume"
            )
            self.stream.end(reason=str(error), failure=error)
        self.outbox.send_encoded(body)

    def notice(self, code: session_pb2.NoticeCode.ValueType, message: str) -> None:
        """Tell the client something about its session."""
        response = codec.ConnectResponse()
        response.notice.code = code
        response.notice.message = message
        self.outbox.send_now(response)

    def end(self, code: session_pb2.NoticeCode.ValueType, message: str) -> None:
        """Tell the client why and end the stream."""
        with contextlib.suppress(Overloaded):
            self.notice(code, message)
        self.stream.end(reason=message, last_words=True)

    # Streams.

    async def run(self, requests: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]) -> None:
        """Serve the present stream until either side ends it.

        Args:
            requests: What the client says; ends, or raises ConnectionError, when the client does not say more.
            write: Sends to the client; raises ConnectionError when it is gone.

        Raises:
            TwinError: The client broke a rule, fell silent, or does not read.
        """
        stream = self.stream
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._intake.work(), name=f"intake-{self.info.session_id}")
        try:
            await first_of(
                self._read(stream, requests),
                stream.write(self.outbox, write),
                stream.ended(),
                _fate(self._worker, stream),
                self.pulse.watch(
                    self.outbox,
                    codec.ConnectResponse,
                    interval_s=self._settings.heartbeat_interval_s,
                    missed=self._settings.heartbeats_missed,
                ),
            )
        finally:
            stream.over.set()

    async def _read(self, stream: Stream, requests: AsyncIterator[bytes]) -> None:
        bucket = Bucket(rate_hz=self._settings.message_rate_hz, burst=self._settings.message_burst)
        limit_bytes = self._settings.max_message_bytes
        with contextlib.suppress(ConnectionError):
            async for raw in requests:
                bucket.take()
                if len(raw) > limit_bytes:
                    raise too_large(len(raw), limit_bytes)
                request = codec.decode_request(raw)
                self.pulse.heard()
                if request.ack:
                    self.outbox.acknowledged(request.ack)
                if request.sim_time_s:
                    self.sim_time_s = self.moment(request.sim_time_s, "sim_time_s")
                body = request.WhichOneof("body")
                if body == "goodbye":
                    stream.goodbye, stream.reason = True, request.goodbye.reason[:MOST_REASON] or "the client left"
                    return
                if request.seq:
                    self._intake.numbered(request, body, size=len(raw))
                    while self._intake.crowded:  # the twin does not keep up: the client must wait, it is not dead
                        await self._intake.room(timeout_s=self._settings.heartbeat_interval_s)
                        self.pulse.heard()
                elif body is not None:
                    self._intake.unnumbered(request, body)
                elif len(UnknownFieldSet(request)):
                    self.unknown_bodies += 1

    async def leave_stream(self) -> None:
        """End the present stream and wait until it is no longer served: the client goes on in another one."""
        self.stream.end(reason="the client came back in another stream")
        await self.stream.over.wait()

    def suspend(self) -> None:
        """The stream broke: keep what is numbered, forget what belonged to the stream."""
        self.suspended = True
        if not self.outbox.suspend(limit_bytes=self._settings.resume_ring_bytes):
            self._lose()

    def _lose(self) -> None:
        """Something that the client must be told does not fit any more: it begins anew when it comes back."""
        self.lost = True
        self.outbox.forget()
        self._log.info("session_cannot_be_resumed")

    def can_resume(self, last_seq: int) -> bool:
        """Return whether the session can go on after the message `last_seq`."""
        failed = self._worker is not None and self._worker.done() and not _may_pass(self._worker)
        return not self.lost and not failed and self.outbox.holds(last_seq)

    def resume(self, last_seq: int) -> None:
        """Go on in a new stream."""
        self.suspended = False
        self.stream = Stream(self)
        self.pulse = Pulse()
        self.connected_at_s = time.monotonic()
        self.receipts.resume()
        self._intake.restart()
        self.outbox.resume(last_seq)

    async def close(self) -> None:
        """Stop handing over what arrived: the session is over."""
        self.outbox.abandon()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)


def too_large(size: int, limit: int) -> TooLarge:
    """Return the error for a message above the limit."""
    return TooLarge(f"a message has `{size}` bytes, the twin takes `{limit}`; send it in parts")


async def _fate(worker: asyncio.Task[None], stream: Stream) -> None:
    """Wait for the failure of a worker that outlives the stream."""
    await asyncio.wait({worker})
    if not worker.cancelled():
        worker.result()
    stream.end(reason="the session is over")
    await asyncio.Event().wait()


def _may_pass(worker: asyncio.Task[None]) -> bool:
    return not worker.cancelled() and isinstance(worker.exception(), Unavailable)
