"""What every client has, scene or observer: what the twin said to it, and how it shows itself to others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.scene_media import presence_of
from bridge.v1 import session_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.connection import Connection
    from twin.entities import Position
    from twin.ports import SceneStart
    from twin.topology import Topology


class Visitor:
    """The part that scenes and observers share."""

    _connection: Connection
    _presence: bytes

    @property
    def start(self) -> SceneStart:
        """What the twin said when it let this client in last, with the present topology.

        Raises:
            SceneUnavailable: Never connected.
        """
        return self._connection.briefing.start()

    @property
    def topology(self) -> Topology:
        """The inventory at its present revision."""
        return self._connection.briefing.topology

    @property
    def connected(self) -> bool:
        """Whether the stream is open now."""
        return self._connection.connected

    @property
    def connections(self) -> int:
        """How many times the stream was opened and could be used."""
        return self._connection.connections

    @property
    def resumed(self) -> int:
        """How many of the streams went on with the earlier session."""
        return self._connection.resumed

    @property
    def session_id(self) -> str:
        """Id of the present or last session; "" before the first."""
        return self._connection.session_id

    @property
    def scopes(self) -> frozenset[str]:
        """What the token allows."""
        return self._connection.scopes

    def show(
        self,
        name: str,
        *,
        colour: str = "",
        camera_position_m: Position | None = None,
        camera_rotation: tuple[float, float, float, float] | None = None,
        selected: Sequence[str] = (),
    ) -> None:
        """Show others who is here, where the camera is, and what is selected; the last one counts."""
        self._presence = presence_of(
            name=name,
            colour=colour,
            camera_position_m=camera_position_m,
            camera_rotation=camera_rotation,
            selected=tuple(selected),
        )
        self._connection.outbox.offer(session_pb2.CHANNEL_PRESENCE, self._presence)
