"""What both ends of a stream share: ordered acknowledgement, liveness, owned tasks, limits."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.codec import MAX_MESSAGE_BYTES
from twin.errors import DeadlineExceeded, ProtocolError

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
        lossless_window: Lossless messages that a scene may have under way.
        outbox_limit: Lossless messages kept for a slow client before it is thrown out.
        outbox_limit_bytes: The same in bytes.
        max_sessions: Most streams at a time.
    """

    heartbeat_interval_s: float = 2.0
    heartbeats_missed: int = 3
    hello_timeout_s: float = 5.0
    telemetry_rate_hz: float = 10.0
    telemetry_credits: int = 16
    lossless_window: int = 256
    outbox_limit: int = 4096
    outbox_limit_bytes: int = 64 * 1024 * 1024
    max_sessions: int = 64


class Receipts:
    """Numbers of lossless messages that arrived, and up to which all of them were dealt with."""

    def __init__(self) -> None:
        self._arrived = 0
        self._done = 0
        self._early: set[int] = set()

    @property
    def pending(self) -> int:
        """Messages that arrived and are not dealt with."""
        return self._arrived - self._done - len(self._early)

    def arrived(self, seq: int) -> None:
        """Check the number of the next lossless message.

        Raises:
            ProtocolError: Not the one that follows.
        """
        if seq != self._arrived + 1:
            raise ProtocolError(f"lossless message `{seq}` follows `{self._arrived}`; number them from 1 without gaps")
        self._arrived = seq

    def done(self, seq: int) -> int:
        """Mark a message as dealt with and return up to which number all are."""
        self._early.add(seq)
        while self._done + 1 in self._early:
            self._done += 1
            self._early.remove(self._done)
        return self._done


class Pulse:
    """Signs of life of the other side, and what its clock says.

    Attributes:
        rtt_s: Round-trip time of the last heartbeat, NaN before the first answer.
        offset_s: The other clock minus ours, NaN before the first answer.
    """

    def __init__(self) -> None:
        self.rtt_s = float("nan")
        self.offset_s = float("nan")
        self._heard_s = time.monotonic()
        self._number = 0

    def heard(self) -> None:
        """Note that something arrived."""
        self._heard_s = time.monotonic()

    def answered(self, reply: session_pb2.HeartbeatReply) -> None:
        """Take round-trip time and clock offset from an answer (the offset assumes equal ways)."""
        now_ns = time.time_ns()
        self.rtt_s = (now_ns - reply.sent_unix_ns) / 1e9
        self.offset_s = (reply.received_unix_ns - (now_ns + reply.sent_unix_ns) / 2) / 1e9

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
