"""The outgoing half of a stream, the same on both sides: what waits, in which order it goes, what may be lost.

Four kinds, in order of precedence: control messages (heartbeats, credits), lossless messages (numbered, kept
until acknowledged, at most a window of them under way), messages that need credit (one slot per channel where the
newest wins, or a short queue), and bare acknowledgements. The lossless ones outlive a broken stream: what was not
acknowledged is the ring from which the next stream goes on. Lives on one event loop; knows bytes, not what they mean.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from bridge import codec
from twin.errors import Overloaded, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from google.protobuf.message import Message

CONTROL_LIMIT = 1024
PUSH_LIMIT = 256
"""Messages that wait in the short queue of all channels together."""
HELD_BYTES = 64
"""What keeping a message takes beside its own bytes; counts while nobody is there to take it."""
ACK_BATCH = 32
ACK_DELAY_S = 0.005
"""Bare acknowledgements wait for this many, or this long: each is a message, and messages are what costs."""


class _Newest(NamedTuple):
    bodies: tuple[bytes, ...]
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
        self._limit_bytes = self._kept_limit_bytes = limit_bytes
        self._sim_time_s = sim_time_s
        self._control: deque[bytes] = deque()
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._first_kept = 1
        self._backlog = 0
        self._sent = 0
        self._ever_sent = 0
        self._window = limit
        self._open = True
        self._newest: dict[tuple[int, Hashable], _Newest] = {}
        self._pushed: deque[bytes] = deque()
        self._parts: deque[bytes] = deque()
        self._parts_gave_way = False
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

    @property
    def has_room(self) -> bool:
        """Whether :meth:`send` would take a message."""
        return self._room.is_set()

    def waits(self, channel: int, stream: Hashable = None) -> bool:
        """Return whether the slot of a newest-wins stream is taken: the other side gave no credit yet."""
        return (channel, stream) in self._newest

    @property
    def is_calm(self) -> bool:
        """Whether no control message waits."""
        return not self._control

    def restart(self, *, window: int) -> None:
        """Begin a new session: everything not acknowledged goes out again, numbered from 1; credits are gone."""
        self._first_kept, self._sent, self._ever_sent, self._ack, self._ack_told = 1, 0, 0, 0, 0
        self._backlog = 0
        self._window = window
        self._begin()

    def suspend(self, *, limit_bytes: int) -> bool:
        """The stream broke: forget what belonged to it alone, and keep at most `limit_bytes` from now on.

        Only bytes count until the stream goes on: how many messages may wait is a measure of who reads.

        Returns:
            Whether what is kept fits; if not, the session cannot go on.
        """
        self._open = False
        self._limit_bytes = limit_bytes
        self._begin()
        self._newest.clear()
        self._measure()
        return self._held_bytes <= limit_bytes

    def forget(self) -> None:
        """Drop everything that waits: this session does not go on."""
        self._kept.clear()
        self._kept_bytes = 0
        self._measure()

    def holds(self, seq: int) -> bool:
        """Return whether everything after `seq` is here, so that the other side can go on from there."""
        return self._first_kept - 1 <= seq <= self._ever_sent

    def resume(self, seq: int, *, window: int | None = None) -> None:
        """Go on in a new stream: forget what the other side dealt with, send the later ones under their old numbers.

        What waited while there was no stream does not count against the limit: the other side could not read it.

        Args:
            seq: Highest number that the other side had dealt with.
            window: As the other side says now; None = as before.

        Raises:
            ProtocolError: Never sent.
        """
        self._begin()
        self.acknowledged(seq)
        self._backlog = 0 if self._open else len(self._kept)
        self._open = True
        self._limit_bytes = self._kept_limit_bytes
        self._sent = self._first_kept - 1
        self._window = window or self._window
        self._measure()
        self._wake.set()

    def _begin(self) -> None:
        self._control.clear()
        self._calm.set()
        self._pushed.clear()
        self._parts.clear()
        self._credits.clear()
        self._wake.set()

    @property
    def _held_bytes(self) -> int:
        return self._kept_bytes + HELD_BYTES * len(self._kept)

    def _measure(self) -> None:
        if self._open:
            roomy = len(self._kept) - self._backlog < self._limit and self._kept_bytes < self._limit_bytes
        else:
            roomy = self._held_bytes < self._limit_bytes
        if roomy:
            self._room.set()
        elif not self._abandoned:
            self._room.clear()

    def send_now(self, message: Message) -> None:
        """Queue a control message ahead of everything else; without a stream there is nobody to hear it."""
        if not self._open:
            return
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
        self.send_encoded(message.SerializeToString())

    def send_encoded(self, body: bytes) -> None:
        """The same for a message that was serialized once for several receivers."""
        self._kept.append(body)
        self._kept_bytes += len(body)
        self._empty.clear()
        self._measure()
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

    def offer(self, channel: int, body: bytes, *, stream: Hashable = None, since_s: float | None = None) -> None:
        """Put a serialized newest-wins message into the slot of its channel; what lay there is dropped and counted.

        Args:
            channel: Which credit it needs.
            body: The message without header.
            stream: Messages of several streams (such as two kinds of entities) do not replace each other.
            since_s: When it came about, by `time.monotonic`; None = now.
        """
        self.offer_parts(channel, (body,), stream=stream, since_s=since_s)

    def offer_parts(
        self, channel: int, bodies: Sequence[bytes], *, stream: Hashable = None, since_s: float | None = None
    ) -> None:
        """The same for a message of several parts, which go together for one credit."""
        if not self._open:
            return
        slot = (channel, stream)
        if slot in self._newest:
            self.dropped[channel] = self.dropped.get(channel, 0) + 1
        self._newest[slot] = _Newest(tuple(bodies), time.monotonic() if since_s is None else since_s)
        if self._credits.get(channel, 0) > 0:
            self._wake.set()

    def push(self, channel: int, body: bytes) -> bool:
        """Send a message if there is credit and room for it, else drop and count it; returns whether it goes."""
        if not self._open:
            return False
        if self._credits.get(channel, 0) <= 0 or len(self._pushed) >= PUSH_LIMIT:
            self.dropped[channel] = self.dropped.get(channel, 0) + 1
            return False
        self._credits[channel] -= 1
        self._pushed.append(body)
        self._wake.set()
        return True

    async def taken(self, channel: int) -> None:
        """Wait until the slot of a channel is empty: what was offered last is on its way."""
        while not self._abandoned and any(slot[0] == channel for slot in self._newest):
            self._slot.clear()
            await self._slot.wait()

    def grant(self, channel: int, messages: int) -> None:
        """Take credit for newest-wins messages."""
        self._credits[channel] = self._credits.get(channel, 0) + messages
        self._wake.set()

    def credit(self, channel: int) -> int:
        """Return how many messages of a channel may still go."""
        return self._credits.get(channel, 0)

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
        """Forget lossless messages that the other side has dealt with.

        Raises:
            ProtocolError: Never sent.
        """
        if seq > self._ever_sent:
            raise ProtocolError(
                f"message `{seq}` is acknowledged, the last one sent is `{self._ever_sent}`; acknowledge what arrived"
            )
        gone = seq - self._first_kept + 1
        for _ in range(gone):
            self._kept_bytes -= len(self._kept.popleft())
        if gone > 0:
            self._first_kept += gone
            self._backlog = max(self._backlog - gone, 0)
            self._sent = max(self._sent, seq)
            self._measure()
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
            self._ever_sent = max(self._ever_sent, self._sent)
            return self._envelope(self._kept[unsent], seq=self._sent)
        if self._pushed:
            return self._envelope(self._pushed.popleft())
        newest = self._pick_newest()
        if newest is not None:
            return self._envelope(newest)
        if self._parts:
            self._parts_gave_way = False
            return self._envelope(self._parts.popleft())
        waiting = self._ack - self._ack_told
        return self._envelope(b"") if waiting >= ACK_BATCH or (waiting and self._ack_due) else None

    def _pick_newest(self) -> bytes | None:
        """Take what has credit.

        While parts of a long message go out, short ones take turns with them: a picture must not make figures old.
        """
        if self._parts and self._parts_gave_way:
            return None
        for (channel, stream), newest in self._newest.items():
            first, *others = newest.bodies
            if self._credits.get(channel, 0) <= 0 or (self._parts and others):
                continue
            self._credits[channel] -= 1
            del self._newest[channel, stream]
            self._slot.set()
            self.age_s[channel] = time.monotonic() - newest.since_s
            self._parts_gave_way = bool(self._parts)
            self._parts.extend(others)
            return first
        return None

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
