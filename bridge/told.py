"""What the twin said to a client, readable the same way on every client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.connection import Connection
    from twin.ports import SceneStart
    from twin.topology import Topology


class Told:
    """Reads the connection of a client."""

    _connection: Connection

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
