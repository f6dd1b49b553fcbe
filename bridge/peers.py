"""What presence, pictures and voice need of a session, no more: who it is, what it wants, how to tell it something.

A :class:`bridge.session.Session` is one. The desks hold what belongs to a session under its id, so a session that
comes back finds it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bridge import codec
from bridge.v1 import session_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.message import Message

    from twin.ports import SceneInfo


class Outlet(Protocol):
    """The outgoing half of a stream."""

    def send_now(self, message: Message) -> None:
        """Queue a control message ahead of everything else."""
        ...

    def offer(self, channel: int, body: bytes) -> None:
        """Put a newest-wins message into the slot of its channel."""
        ...

    def offer_parts(self, channel: int, bodies: Sequence[bytes]) -> None:
        """The same for a message of several parts, which go together for one credit."""
        ...

    def push(self, channel: int, body: bytes) -> bool:
        """Send a message if there is credit and room for it, else drop and count it; returns whether it goes."""
        ...


class Peer(Protocol):
    """One client."""

    @property
    def info(self) -> SceneInfo:
        """What it said of itself; observers have one too, with the scene that they watch."""
        ...

    @property
    def is_scene(self) -> bool:
        """Whether it is a scene."""
        ...

    @property
    def subscription(self) -> session_pb2.Subscribe:
        """What it asked for last."""
        ...

    @property
    def outbox(self) -> Outlet:
        """What it still has to be told."""
        ...


def listeners(
    peers: Iterable[Peer], *, scene_id: str, channel: session_pb2.Channel.ValueType, but: str = ""
) -> list[Peer]:
    """Return who of a scene subscribed to a channel, without the session `but`."""
    return [
        peer
        for peer in peers
        if peer.info.scene_id == scene_id and peer.info.session_id != but and channel in peer.subscription.channels
    ]


def give_credit(peer: Peer, channel: session_pb2.Channel.ValueType, messages: int) -> None:
    """Let a client send more."""
    response = codec.ConnectResponse()
    response.credit.channel, response.credit.messages = channel, messages
    peer.outbox.send_now(response)


def tell_ignored(peer: Peer, why: str) -> None:
    """Tell a client that something of it was ignored, and why."""
    response = codec.ConnectResponse()
    response.notice.code, response.notice.message = session_pb2.NOTICE_CODE_IGNORED, why
    peer.outbox.send_now(response)
