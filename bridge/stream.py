"""What both ends of a stream share: ordered acknowledgement, liveness, owned tasks, limits."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.codec import MAX_MESSAGE_BYTES
from twin.errors import DeadlineExceeded, Overloaded, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from bridge.outbox import Outbox
    from bridge.v1 import bridge_pb2, session_pb2

PROTOCOL_VERSION = 1
"""Version of the contract that this code speaks."""

CONNECT_METHOD = "/bridge.v1.BridgeService/Connect"

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 25_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
"""Limits and keepalive of both sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """Limits and rhythms of the bridge.

    Attributes:
        heartbeat_interval_s: How often each side probes the other.
        heartbeats_missed: After this many intervals of silence the other side is dead.
        hello_timeout_s: How long a new stream may take to say Hello.
        telemetry_rate_hz: What scenes are asked to send.
        telemetry_credits: Telemetry messages that a scene may have under way.
        camera_credits: Pictures that a client may have under way unasked.
        voice_credits: Voice chunks that a client may have under way.
        lossless_window: Lossless messages that a scene may have under way.
        inbox_limit_bytes: Lossless messages of a client that wait for the twin; beyond it nothing more is read.
        outbox_limit: Lossless messages kept for a slow client before it is thrown out.
        outbox_limit_bytes: The same in bytes.
        resume_ttl_s: How long a session waits to be resumed after its stream broke.
        resume_ring_bytes: Lossless messages kept for it meanwhile.
        lease_s: How long a scene keeps what it provides after its stream broke.
        max_sessions: Most open sessions at a time.
        max_suspended: Most sessions that wait to be resumed; one more makes the twin forget the oldest.
        max_greeting: Most streams that have not said Hello yet.
        max_message_bytes: Largest serialized message that the twin takes.
        max_entities: Most entities of an inventory or a batch.
        message_rate_hz: Messages a second that a client may send for long.
        message_burst: Messages that it may send at once.
    """

    heartbeat_interval_s: float = 2.0
    heartbeats_missed: int = 3
    hello_timeout_s: float = 5.0
    telemetry_rate_hz: float = 10.0
    telemetry_credits: int = 16
    camera_credits: int = 1
    voice_credits: int = 64
    lossless_window: int = 256
    inbox_limit_bytes: int = 32 * 1024 * 1024
    outbox_limit: int = 4096
    outbox_limit_bytes: int = 64 * 1024 * 1024
    resume_ttl_s: float = 60.0
    resume_ring_bytes: int = 4 * 1024 * 1024
    lease_s: float = 10.0
    max_sessions: int = 64
    max_suspended: int = 64
    max_greeting: int = 64
    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_entities: int = 200_000
    message_rate_hz: float = 2000.0
    message_burst: int = 4000


class Receipts:
    """Numbers of lossless messages that arrived, and up to which all of them were dealt with."""

    def __init__(self) -> None:
        self._arrived = 0
        self._done = 0
        self._early: set[int] = set()
        self._resent = 0

    @property
    def last(self) -> int:
        """Number of the message that arrived last."""
        return self._arrived

    @property
    def done_up_to(self) -> int:
        """Up to which number all were dealt with."""
        return self._done

    @property
    def pending(self) -> int:
        """Messages that arrived and are not dealt with."""
        return self._arrived - self._done - len(self._early)

    def resume(self) -> None:
        """A broken stream goes on: what arrived may come again under its old number."""
        self._resent = self._arrived

    def arrived(self, seq: int) -> bool:
        """Check the number of a lossless message and return whether it is new.

        Raises:
            ProtocolError: Neither the one that follows nor, in a resumed session, one that was here before.
        """
        if seq <= self._resent:
            return False
        if seq != self._arrived + 1:
            raise ProtocolError(f"lossless message `{seq}` follows `{self._arrived}`; number them from 1 without gaps")
        self._arrived = seq
        return True

    def done(self, seq: int) -> int:
        """Mark a message as dealt with and return up to which number all are."""
        if seq > self._done:
            self._early.add(seq)
        while self._done + 1 in self._early:
            self._done += 1
            self._early.remove(self._done)
        return self._done


class Bucket:
    """How many messages a client may still send: a bucket of tokens that fills at a steady rate.

    Args:
        rate_hz: Tokens a second.
        burst: Size of the bucket, full at the beginning.
    """

    def __init__(self, *, rate_hz: float, burst: int) -> None:
        self._rate_hz = rate_hz
        self._burst = burst
        self._left = float(burst)
        self._since_s = time.monotonic()

    def take(self) -> None:
        """Take a token.

        Raises:
            Overloaded: There is none.
        """
        if self._left < 1.0:
            now_s = time.monotonic()
            self._left = min(self._burst, self._left + (now_s - self._since_s) * self._rate_hz)
            self._since_s = now_s
            if self._left < 1.0:
                raise Overloaded(
                    f"more than `{self._rate_hz:g}` messages a second; send fewer and larger ones, wait for credit"
                )
        self._left -= 1.0


CLOCK_SAMPLES = 16
"""Answers to heartbeats among which the quickest tells the clock."""


class Pulse:
    """Signs of life of the other side, and what its clock says.

    Attributes:
        rtt_s: Round-trip time of the last heartbeat, NaN before the first answer.
        offset_s: The other clock minus ours, NaN before the first answer. From the quickest of the last answers: a
            line that is full one way makes slow ones lie (the clock filter of NTP, RFC 5905 section 10).
    """

    def __init__(self) -> None:
        self.rtt_s = float("nan")
        self.offset_s = float("nan")
        self._answers: deque[tuple[float, float]] = deque(maxlen=CLOCK_SAMPLES)
        self._heard_s = time.monotonic()
        self._number = 0

    def heard(self) -> None:
        """Note that something arrived."""
        self._heard_s = time.monotonic()

    def answered(self, reply: session_pb2.HeartbeatReply) -> None:
        """Take round-trip time and clock offset from an answer (the offset assumes equal ways)."""
        now_ns = time.time_ns()
        self.rtt_s = (now_ns - reply.sent_unix_ns) / 1e9
        offset_s = (reply.received_unix_ns - (now_ns + reply.sent_unix_ns) / 2) / 1e9
        self._answers.append((self.rtt_s, offset_s))
        self.offset_s = min(self._answers)[1]

    async def watch(
        self,
        outbox: Outbox,
        make: type[bridge_pb2.ConnectRequest | bridge_pb2.ConnectResponse],
        *,
        interval_s: float,
        missed: int,
    ) -> None:
        """Probe the other side for ever.

        Raises:
            DeadlineExceeded: It gave no sign of life for `missed` intervals.
        """
        while True:
            self._number += 1
            message = make()
            message.heartbeat.number = self._number
            message.heartbeat.sent_unix_ns = time.time_ns()
            outbox.send_now(message)
            await asyncio.sleep(interval_s)
            silence_s = time.monotonic() - self._heard_s
            if silence_s > missed * interval_s:
                raise DeadlineExceeded(f"the other side gave no sign of life for `{silence_s:.1f}` s")


async def first_of(*works: Coroutine[object, object, None]) -> None:
    """Run several endless works together; when the first ends or fails, end the others and pass its fate on."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
