"""How the bridge is doing, as values."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.v1 import session_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.session import Session
    from bridge.v1 import bridge_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHealth:
    """One open stream.

    Attributes:
        role: "scene", "observer" or "trainer".
        live: Whether a scene has told its past.
        heartbeat_rtt_s: NaN before the first answer.
        clock_offset_s: Client clock minus ours, NaN before the first answer.
        telemetry_dropped: By us (wrong revision, slow observer) and by the client (no credit) together.
        inbox_depth: Lossless messages that arrived and are not durable yet.
        outbox_depth: Lossless messages that the client has not acknowledged.
    """

    session_id: str
    role: str
    scene_id: str
    engine: str
    live: bool
    connected_s: float
    sim_time_s: float
    heartbeat_rtt_s: float
    clock_offset_s: float
    telemetry_received: int
    telemetry_dropped: int
    pm_received: int
    inbox_depth: int
    outbox_depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeHealth:
    """The whole bridge.

    Attributes:
        telemetry_dropped: Since the server was made, closed streams included.
        unknown_bodies: Messages of kinds that this twin does not know, closed streams included.
    """

    sessions: tuple[SessionHealth, ...]
    telemetry_dropped: int
    unknown_bodies: int
    commands_pending: int

    @property
    def scenes(self) -> tuple[SessionHealth, ...]:
        """The sessions of scenes."""
        return tuple(session for session in self.sessions if session.role == "scene")


def dropped_by(session: Session) -> int:
    """Return how many telemetry messages were lost on a stream, in either direction."""
    to_client = session.outbox.dropped.get(session_pb2.CHANNEL_TELEMETRY, 0)
    return session.telemetry_dropped + session.telemetry_dropped_by_client + to_client


def health_of(
    sessions: Iterable[Session], *, telemetry_dropped_before: int, unknown_before: int, commands_pending: int
) -> BridgeHealth:
    """Return the health of open sessions plus what closed ones lost."""
    open_sessions = tuple(sessions)
    return BridgeHealth(
        sessions=tuple(_session(session) for session in open_sessions),
        telemetry_dropped=telemetry_dropped_before + sum(dropped_by(s) for s in open_sessions),
        unknown_bodies=unknown_before + sum(s.unknown_bodies for s in open_sessions),
        commands_pending=commands_pending,
    )


def _session(session: Session) -> SessionHealth:
    return SessionHealth(
        session_id=session.info.session_id,
        role=session_pb2.Role.Name(session.role).removeprefix("ROLE_").lower(),
        scene_id=session.info.scene_id,
        engine=session.info.engine,
        live=session.live,
        connected_s=time.monotonic() - session.connected_at_s,
        sim_time_s=session.sim_time_s,
        heartbeat_rtt_s=session.pulse.rtt_s,
        clock_offset_s=session.pulse.offset_s,
        telemetry_received=session.telemetry_received,
        telemetry_dropped=dropped_by(session),
        pm_received=session.pm_received,
        inbox_depth=session.inbox_depth,
        outbox_depth=session.outbox.depth,
    )


def write_health(message: bridge_pb2.GetHealthResponse, health: BridgeHealth) -> None:
    """Fill the answer of GetHealth."""
    message.telemetry_dropped = health.telemetry_dropped
    message.unknown_bodies = health.unknown_bodies
    message.commands_pending = health.commands_pending
    for session in health.sessions:
        message.sessions.add(
            session_id=session.session_id,
            role=session_pb2.Role.Value(f"ROLE_{session.role.upper()}"),
            scene_id=session.scene_id,
            engine=session.engine,
            connected_s=session.connected_s,
            heartbeat_rtt_s=session.heartbeat_rtt_s,
            clock_offset_s=session.clock_offset_s,
            telemetry_received=session.telemetry_received,
            telemetry_dropped=session.telemetry_dropped,
            pm_received=session.pm_received,
            inbox_depth=session.inbox_depth,
            outbox_depth=session.outbox_depth,
        )
