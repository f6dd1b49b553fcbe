"""What the twin tells a client before anything else (B4): the scene's place, time, inventory and configuration."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from bridge import mapping
from bridge.inventory import Inventory
from twin.clock import CivilTime
from twin.errors import ProtocolError, SceneUnavailable
from twin.ports import SceneStart
from twin.scenario import Origin

if TYPE_CHECKING:
    from bridge.v1 import session_pb2, topology_pb2
    from twin.commands import SetAttribute
    from twin.topology import Topology


class Briefing:
    """What is known of the scene, over all connections.

    Attributes:
        complete: Whether inventory and configuration of the present session are here.
        desired: Configuration that the scene must have.
        scene_id: Id of the scene as the twin says it.
    """

    def __init__(self) -> None:
        self.complete = False
        self.desired: tuple[SetAttribute, ...] = ()
        self.scene_id = ""
        self._welcome: session_pb2.Welcome | None = None
        self._inventory = Inventory()
        self._coming: list[SetAttribute] = []
        self._usable = False

    @property
    def topology(self) -> Topology:
        """The inventory at its present revision."""
        return self._inventory.topology

    @property
    def max_message_bytes(self) -> int:
        """Largest message that the twin takes; 0 = it did not say."""
        return self._welcome.max_message_bytes if self._welcome else 0

    def welcomed(self, welcome: session_pb2.Welcome, *, resumed: bool) -> None:
        """Begin anew, or go on where the stream was cut, be it in the middle of the inventory."""
        self._welcome = welcome
        self.scene_id = welcome.scene_id
        if not resumed:
            self._inventory.restart()
            self._coming, self.complete = [], False

    def snapshot(self, message: topology_pb2.TopologySnapshot) -> bool:
        """Add a chunk of the inventory; returns whether it was the last.

        Raises:
            ProtocolError: A row cannot be meant.
        """
        self._inventory.snapshot(message)
        return message.last

    def delta(self, message: topology_pb2.TopologyDelta) -> bool:
        """Apply a change of the inventory; False = it builds on another revision than ours.

        Raises:
            ProtocolError: A row cannot be meant.
        """
        return self._inventory.delta(message)

    def configuration(self, message: topology_pb2.DesiredConfiguration) -> bool:
        """Add a chunk of the configuration; returns whether it makes the briefing of this session complete."""
        self._coming.extend(mapping.read_attributes(message.attributes))
        if not message.last:
            return False
        self.desired, self._coming = tuple(self._coming), []
        now_complete, self.complete = not self.complete, True
        self._usable = True
        return now_complete

    def start(self) -> SceneStart:
        """Return everything, with the present topology.

        Raises:
            SceneUnavailable: Never connected. ProtocolError: Time or place cannot be meant.
        """
        welcome = self._welcome
        if welcome is None or not self._usable:
            raise SceneUnavailable("not connected yet; enter the client first")
        origin = welcome.origin
        try:
            civil = CivilTime(epoch=datetime.fromisoformat(welcome.sim_epoch), timezone=welcome.timezone)
        except ValueError as exc:
            raise ProtocolError(
                f"Welcome says epoch `{welcome.sim_epoch}`, zone `{welcome.timezone}`; give RFC 3339 and an IANA zone"
            ) from exc
        return SceneStart(
            topology=self.topology,
            civil=civil,
            resume_at_sim_s=welcome.resume_at_sim_s if welcome.has_resume_time else None,
            past_s=welcome.past_s,
            speed=welcome.speed,
            desired=self.desired,
            origin=Origin(
                latitude_deg=origin.latitude_deg, longitude_deg=origin.longitude_deg, height_m=origin.height_m
            )
            if welcome.HasField("origin")
            else None,
            scenario_digest=welcome.scenario_digest,
        )
