"""The first things a client is told: Welcome, the inventory, the configuration to have."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from bridge import codec, mapping
from bridge.stream import PROTOCOL_VERSION
from twin.kpi import KPIS

if TYPE_CHECKING:
    from bridge.session import Session
    from bridge.stream import BridgeSettings
    from bridge.v1 import session_pb2, topology_pb2
    from twin.ports import SceneStart
    from twin.topology import Entity, Topology

MOST_DELTA_BYTES = 2 * codec.CHUNK_BYTES
"""A larger change goes as a whole inventory, which can be cut into chunks."""
DESIRED_CHUNK = 2000
"""Attributes per DesiredConfiguration, about 100 bytes each."""


KEPT_SNAPSHOTS = 4
"""Serialized inventories kept, of different scenes or revisions."""


def write_welcome(
    welcome: session_pb2.Welcome, session: Session, start: SceneStart, *, settings: BridgeSettings
) -> None:
    """Fill Welcome with what the sink decided, the rights of the client and the rhythm of this server."""
    welcome.session_id = session.info.session_id
    welcome.scene_id = session.info.scene_id
    welcome.scopes.extend(sorted(session.guest.scopes))
    welcome.fencing_number = session.info.fencing_number
    welcome.lease_s = settings.lease_s
    welcome.resume_token = session.new_token()
    welcome.resume_ttl_s = settings.resume_ttl_s
    welcome.camera_credits = settings.camera_credits
    welcome.voice_credits = settings.voice_credits
    welcome.max_message_bytes = settings.max_message_bytes
    welcome.protocol_version = PROTOCOL_VERSION
    if start.origin is not None:
        welcome.origin.latitude_deg = start.origin.latitude_deg
        welcome.origin.longitude_deg = start.origin.longitude_deg
        welcome.origin.height_m = start.origin.height_m
    welcome.sim_epoch = start.civil.epoch.isoformat()
    welcome.timezone = start.civil.timezone
    welcome.telemetry_rate_hz = settings.telemetry_rate_hz
    welcome.heartbeat_interval_s = settings.heartbeat_interval_s
    welcome.telemetry_credits = settings.telemetry_credits
    welcome.lossless_window = settings.lossless_window
    if start.resume_at_sim_s is not None:
        welcome.has_resume_time = True
        welcome.resume_at_sim_s = start.resume_at_sim_s
    welcome.past_s = start.past_s
    welcome.speed = start.speed
    welcome.scenario_digest = start.scenario_digest
    for row in KPIS:
        welcome.kpis.add(name=row.name, unit=row.unit, label=row.label, kinds=[kind.value for kind in row.kinds])


def write_snapshot(message: topology_pb2.TopologySnapshot, topology: Topology) -> None:
    """Fill one message with the whole inventory."""
    message.revision, message.total, message.last = topology.revision, len(topology), True
    for entity in topology.entities:
        mapping.write_entity(message.entities.add(), entity)


def send_topology(session: Session, topology: Topology) -> None:
    """Queue the inventory in chunks of about 256 KB."""
    for body in _chunks(topology):
        session.tell_encoded(body)


@functools.lru_cache(maxsize=KEPT_SNAPSHOTS)
def _chunks(topology: Topology) -> tuple[bytes, ...]:
    """Return the inventory serialized: many who come at once get the same bytes."""
    chunks: list[bytes] = []
    response = codec.ConnectResponse()
    snapshot = response.topology_snapshot
    snapshot.revision, snapshot.total = topology.revision, len(topology)
    size = 0
    for entity in topology.entities:
        row = snapshot.entities.add()
        mapping.write_entity(row, entity)
        size += row.ByteSize()
        if size >= codec.CHUNK_BYTES:
            chunks.append(response.SerializeToString())
            del snapshot.entities[:]
            size = 0
    snapshot.last = True
    chunks.append(response.SerializeToString())
    return tuple(chunks)


def send_delta(session: Session, old: Topology, new: Topology) -> None:
    """Queue what changed between two revisions."""
    response = codec.ConnectResponse()
    delta = response.topology_delta
    delta.base_revision, delta.revision = old.revision, new.revision
    before: dict[int, Entity] = {entity.index: entity for entity in old.entities}
    for entity in new.entities:
        if before.pop(entity.index, None) is not entity:
            mapping.write_entity(delta.upsert.add(), entity)
    if before:
        codec.put_array(delta, "remove", np.array(sorted(before), dtype=np.uint32))
    if response.ByteSize() > MOST_DELTA_BYTES:
        send_topology(session, new)
        return
    session.tell(response)


def send_desired(session: Session, start: SceneStart) -> None:
    """Queue the configuration that the scene must have, in chunks."""
    for first in range(0, max(len(start.desired), 1), DESIRED_CHUNK):
        response = codec.ConnectResponse()
        response.desired_configuration.revision = start.topology.revision
        mapping.write_attributes(response.desired_configuration, start.desired[first : first + DESIRED_CHUNK])
        response.desired_configuration.last = first + DESIRED_CHUNK >= len(start.desired)
        session.tell(response)
