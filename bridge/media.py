"""Everything between people in one scene: who is here, what the cameras see, what is said. One place to wire it.

The server tells it who joins, whose stream breaks and who is gone; sessions hand it what they hear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.camera import CameraDesk
from bridge.presence import PresenceBoard
from bridge.voice import VoiceDesk
from twin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from bridge.peers import Peer
    from bridge.v1 import bridge_pb2
    from twin.media import Utterance


class MediaRoom:
    """The desks for presence, pictures and voice.

    Args:
        peers: Everybody whose stream is open.
        exists: Returns the ids of the entities of a scene.
        deliver: Gets every utterance once it has ended.
        camera_credits: Unasked pictures that a client may have under way.
        voice_credits: Chunks of speech that it may have under way.
    """

    def __init__(
        self,
        *,
        peers: Callable[[], Iterable[Peer]],
        exists: Callable[[str], Container[str]],
        deliver: Callable[[Utterance], None],
        camera_credits: int = 1,
        voice_credits: int = 64,
    ) -> None:
        self.presence = PresenceBoard(peers=peers, exists=exists)
        self.camera = CameraDesk(peers=peers, first_credits=camera_credits)
        self.voice = VoiceDesk(peers=peers, deliver=deliver, first_credits=voice_credits)

    def take(self, peer: Peer, request: bridge_pb2.ConnectRequest) -> None:
        """Take what a client says.

        Raises:
            ProtocolError: It cannot be meant, or an observer sends pictures.
        """
        match request.WhichOneof("body"):
            case "camera_frame":
                if not peer.is_scene:
                    raise ProtocolError("an observer sent `camera_frame`; only scenes do")
                self.camera.arrived(peer, request.camera_frame)
            case "voice_chunk":
                self.voice.arrived(peer, request.voice_chunk)
            case "presence":
                self.presence.shown(peer, request.presence)
            case _:
                pass

    def joined(self, peer: Peer) -> None:
        """A stream opened, resumed or not: credits begin anew (rule R5)."""
        self.camera.joined(peer)
        self.voice.joined(peer)
        self.presence.wanted(peer)

    def subscribed(self, peer: Peer) -> None:
        """Somebody chose channels: the present list is the first that it gets."""
        self.presence.wanted(peer)

    def cut(self, peer: Peer) -> None:
        """A stream ended; its session may come back."""
        self.camera.cut(peer)

    def gone(self, peer: Peer) -> None:
        """A session is over."""
        self.camera.gone(peer)
        self.voice.gone(peer)
        self.presence.gone(peer)

    def close(self) -> None:
        """The bridge stops."""
        self.camera.close()
        self.voice.close()
        self.presence.close()
