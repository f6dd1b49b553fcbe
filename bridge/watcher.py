"""One receiver of figures: what it wants, what it was given, and what it was told that it lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from bridge import codec
from bridge.v1 import session_pb2

if TYPE_CHECKING:
    from bridge.session import Session
    from bridge.wish import Wish


class Stream(NamedTuple):
    """Batches that replace each other: of one sender, with one set of columns."""

    scene_id: str
    sender_id: str
    kpis: tuple[str, ...]


@dataclass(slots=True, eq=False)
class Watcher:
    """One receiver.

    Attributes:
        up_to_date: Streams of which it was given everything; of any other it needs the whole picture next.
        due_s: When it may get the next message of a stream.
        told: By channel, the (dropped, age in ms) that it was told last.
    """

    session: Session
    wish: Wish
    up_to_date: set[Stream] = field(default_factory=set[Stream])
    due_s: dict[Stream, float] = field(default_factory=dict[Stream, float])
    told: dict[int, tuple[int, float]] = field(default_factory=dict[int, tuple[int, float]])

    def wants(self, scene_id: str, channel: session_pb2.Channel.ValueType) -> bool:
        """Return whether it watches the scene and subscribed to the channel."""
        return self.session.info.scene_id == scene_id and channel in self.session.subscription.channels

    def lost(self, channel: session_pb2.Channel.ValueType) -> None:
        """Count a message that it will not get."""
        dropped = self.session.outbox.dropped
        dropped[channel] = dropped.get(channel, 0) + 1

    def report_flow(self) -> None:
        """Tell it what it lost and how old its figures are, as far as this changed."""
        outbox = self.session.outbox
        for channel in session_pb2.Channel.values():
            if channel not in outbox.dropped and channel not in outbox.age_s:
                continue
            now = (outbox.dropped.get(channel, 0), round(1000 * outbox.age_s.get(channel, 0.0), 1))
            if self.told.get(channel) == now or not outbox.is_calm:  # who does not read is not told, either
                continue
            self.told[channel] = now
            response = codec.ConnectResponse()
            response.flow_report.channel = channel
            response.flow_report.dropped, response.flow_report.age_ms = now
            outbox.send_now(response)
