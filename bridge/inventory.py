"""The inventory as a client knows it, put together from snapshots and deltas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge import codec, mapping
from twin.topology import Topology

if TYPE_CHECKING:
    from bridge.v1 import topology_pb2
    from twin.topology import Entity


class Inventory:
    """Holds the last complete topology; empty with revision 0 before the first."""

    def __init__(self) -> None:
        self.topology = Topology((), revision=0)
        self._chunks: list[Entity] = []

    def restart(self) -> None:
        """Forget a snapshot that was cut off in the middle."""
        self._chunks = []

    def snapshot(self, message: topology_pb2.TopologySnapshot) -> None:
        """Add a chunk; the last one completes the topology.

        Raises:
            ProtocolError: A row cannot be meant.
        """
        self._chunks.extend(mapping.read_entity(row) for row in message.entities)
        if message.last:
            self.topology = Topology(self._chunks, revision=message.revision)
            self._chunks = []

    def delta(self, message: topology_pb2.TopologyDelta) -> bool:
        """Apply a delta and return True; False when it builds on another revision than ours.

        Raises:
            ProtocolError: A row cannot be meant.
        """
        if message.base_revision != self.topology.revision:
            return False
        rows = {entity.index: entity for entity in self.topology.entities}
        for index in codec.get_indices(message, "remove").tolist():
            rows.pop(index, None)
        for row in message.upsert:
            rows[row.index] = mapping.read_entity(row)
        self.topology = Topology((rows[index] for index in sorted(rows)), revision=message.revision)
        return True
