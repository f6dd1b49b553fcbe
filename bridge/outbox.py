"""The outgoing half of a stream, the same on both sides: what waits, in which order it goes, what may be lost.

Four kinds, in order of precedence: control messages (heartbeats, credits), lossless messages (numbered, kept
until acknowledged, at most a window of them under way), newest-wins messages (one slot per channel, sent only
with credit), and bare acknowledgements. Lives on one event loop; knows bytes, not what they mean.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from bridge import codec
from twin.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

CONTROL_LIMIT = 1024
ACK_BATCH = 32
ACK_DELAY_S = 0.005
"""Bare acknowledgements wait for this many, or this long: each is a message, and messages are what costs."""


class _Newest(NamedTuple):
    body: bytes
    since_s: float


class Outbox:
    """What one side still has to say.

    Args:
        response: True on the twin's side.
        limit: Most lossless messages kept; more raise :class:`~twin.errors.Overloaded`.
        limit_bytes: The same in bytes; a single larger message is let through.
        sim_time_s: Reads the simulated now for the header.
    """

    def __init__(
        self, *, response: bool, limit: int, limit_bytes: int, sim_time_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._response = response
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._sim_time_s = sim_time_s
        self._control: deque[bytes] = deque()
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._first_kept = 1
        self._sent = 0
        self._window = limit
        self._newest: dict[int, _Newest] = {}
        self._credits: dict[int, int] = {}
        self._ack = 0
        self._ack_told = 0
        self._ack_due = False
        self._ack_timer: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._slot = asyncio.Event()
        self._abandoned = False
        self._calm = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._calm.set()
        self.dropped: dict[int, int] = {}
        self.age_s: dict[int, float] = {}

    @property
    def depth(self) -> int:
        """Lossless messages not acknowledged yet."""
        return len(self._kept)

    def restart(self, *, window: int) -> None:
        """Begin a new session: everything not acknowledged goes out again, numbered from 1; credits are gone."""
        self._first_kept, self._sent, self._ack, self._ack_told = 1, 0, 0, 0
        self._window = window
        self._control.clear()
        self._calm.set()
        self._credits.clear()
        self._wake.set()

    def send_now(self, message: Message) -> None:
        """Queue a control message ahead of everything else."""
        if len(self._control) >= CONTROL_LIMIT:
            raise Overloaded(f"`{CONTROL_LIMIT}` control messages wait; the other side does not read")
        self._control.append(message.SerializeToString())
        self._calm.clear()
        self._wake.set()

    def send(self, message: Message) -> None:
        """Queue a lossless message.

        Raises:
            Overloaded: The queue is full; the other side does not acknowledge.
        """
        if not self._room.is_set():
            raise Overloaded(f"`{len(self._kept)}` messages wait for acknowledgement; the other side does not read")
        self.send_anyway(message)

    def send_anyway(self, message: Message) -> None:
        """Queue a lossless message beyond the limit: for the few that answer what the other side asked."""
        body = message.SerializeToString()
        self._kept.append(body)
        self._kept_bytes += len(body)
        self._empty.clear()
        if len(self._kept) >= self._limit or self._kept_bytes >= self._limit_bytes:
            self._room.clear()
        self._wake.set()

    async def room(self) -> None:
        """Wait until :meth:`send` would take a message."""
        await self._room.wait()

    async def calm(self) -> None:
        """Wait until no control message is queued: for long answers cut into many."""
        await self._calm.wait()

    def abandon(self) -> None:
        """Let everybody go who waits for room or acknowledgement: there will be none."""
        self._abandoned = True
        self._slot.set()
        self._room.set()
        self._empty.set()
        self._calm.set()

    async def drained(self) -> None:
        """Wait until every lossless message is acknowledged."""
        await self._empty.wait()

    def offer(self, channel: int, body: bytes) -> None:
        """Put a serialized newest-wins message into the slot of its channel; what lay there is dropped and counted."""
        if channel in self._newest:
            self.dropped[channel] = self.dropped.get(channel, 0) + 1
        self._newest[channel] = _Newest(body, time.monotonic())
        if self._credits.get(channel, 0) > 0:
            self._wake.set()

    async def taken(self, channel: int) -> None:
        """Wait until the slot of a channel is empty: what was offered last is on its way."""
        while channel in self._newest and not self._abandoned:
            self._slot.clear()
            await self._slot.wait()

    def grant(self, channel: int, messages: int) -> None:
        """Take credit for newest-wins messages."""
        self._credits[channel] = self._credits.get(channel, 0) + messages
        self._wake.set()

    def acknowledge(self, seq: int) -> None:
        """Tell the other side that its lossless messages up to `seq` were dealt with."""
        self._ack = max(self._ack, seq)
        if self._ack - self._ack_told >= ACK_BATCH:
            self._wake.set()
        elif self._ack_timer is None:
            self._ack_timer = asyncio.get_running_loop().call_later(ACK_DELAY_S, self._ack_is_due)

    def _ack_is_due(self) -> None:
        self._ack_timer, self._ack_due = None, True
        self._wake.set()

    def acknowledged(self, seq: int) -> None:
        """Forget lossless messages that the other side has dealt with."""
        gone = min(seq, self._sent) - self._first_kept + 1
        for _ in range(gone):
            self._kept_bytes -= len(self._kept.popleft())
        if gone > 0:
            self._first_kept += gone
            if len(self._kept) < self._limit and self._kept_bytes < self._limit_bytes:
                self._room.set()
            if not self._kept:
                self._empty.set()
            self._wake.set()

    async def next(self) -> bytes:
        """Wait for the next envelope to write and return it serialized."""
        while (envelope := self._pick()) is None:
            self._wake.clear()
            await self._wake.wait()
        return envelope

    def _pick(self) -> bytes | None:
        if self._control:
            return self._envelope(self._control.popleft())
        self._calm.set()
        unsent = self._sent - self._first_kept + 1
        if unsent < len(self._kept) and unsent < self._window:
            self._sent += 1
            return self._envelope(self._kept[unsent], seq=self._sent)
        for channel, newest in self._newest.items():
            if self._credits.get(channel, 0) > 0:
                self._credits[channel] -= 1
                del self._newest[channel]
                self._slot.set()
                self.age_s[channel] = time.monotonic() - newest.since_s
                return self._envelope(newest.body)
        waiting = self._ack - self._ack_told
        return self._envelope(b"") if waiting >= ACK_BATCH or (waiting and self._ack_due) else None

    def _envelope(self, body: bytes, *, seq: int = 0) -> bytes:
        self._ack_told, self._ack_due = self._ack, False
        return codec.with_header(
            body,
            response=self._response,
            seq=seq,
            ack=self._ack,
            wall_time_unix_ns=time.time_ns(),
            sim_time_s=self._sim_time_s(),
        )
