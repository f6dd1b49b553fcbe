"""How the bridge is doing, as values."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.errors import row_of
from bridge.v1 import session_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridge.session import Session
    from bridge.v1 import bridge_pb2
    from twin.errors import TwinError


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHealth:
    """One session.

    Attributes:
        suspended: Whether its stream broke and it waits to be resumed.
        fencing_number: Number of its ownership of the scene; 0 for those who only watch.
        telemetry_age_s: How old the telemetry sent last was when it went out, by us to those who watch, by the client
            for scenes; NaN when none was sent or told.
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
    telemetry_age_s: float = float("nan")
    suspended: bool = False
    fencing_number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeHealth:
    """The whole bridge.

    Attributes:
        telemetry_dropped: Since the server was made, closed streams included.
        unknown_bodies: Messages of kinds that this twin does not know, closed streams included.
        command_outcomes: Final answers of scenes to commands, by stage (`APPLIED`, `REJECTED`, `EXPIRED`, `FAILED`).
        refusals: How many clients and calls were refused or thrown out, by the name of the RefusalCode.
        resumed: How often a session was resumed.
        pictures_dropped: Pictures that scenes sent unasked and without credit.
        voice_dropped: Chunks of speech that could not be meant, came twice, or found no room.
    """

    sessions: tuple[SessionHealth, ...]
    telemetry_dropped: int
    unknown_bodies: int
    commands_pending: int
    command_outcomes: Mapping[str, int] = field(default_factory=dict[str, int])
    refusals: Mapping[str, int] = field(default_factory=dict[str, int])
    resumed: int = 0
    pictures_dropped: int = 0
    voice_dropped: int = 0

    @property
    def scenes(self) -> tuple[SessionHealth, ...]:
        """The sessions of scenes whose stream is open."""
        return tuple(session for session in self.sessions if session.role == "scene" and not session.suspended)


class Tally:
    """What happened since the server was made and no open session tells any more."""

    def __init__(self) -> None:
        self.telemetry_dropped = 0
        self.unknown_bodies = 0
        self.resumed = 0
        self.refusals: Counter[str] = Counter()

    def refused(self, error: TwinError) -> None:
        """Count a refusal."""
        self.refusals[session_pb2.RefusalCode.Name(row_of(error).code).removeprefix("REFUSAL_CODE_")] += 1

    def closed(self, session: Session) -> None:
        """Keep what a session lost."""
        self.telemetry_dropped += dropped_by(session)
        self.unknown_bodies += session.unknown_bodies


def dropped_by(session: Session) -> int:
    """Return how many telemetry messages were lost on a stream, in either direction."""
    to_client = session.outbox.dropped.get(session_pb2.CHANNEL_TELEMETRY, 0)
    return session.telemetry_dropped + session.telemetry_dropped_by_client + to_client


def health_of(sessions: Iterable[Session], *, tally: Tally, commands_pending: int) -> BridgeHealth:
    """Return the health of the sessions plus what closed ones lost."""
    here = tuple(sessions)
    return BridgeHealth(
        sessions=tuple(_session(session) for session in here),
        telemetry_dropped=tally.telemetry_dropped + sum(dropped_by(session) for session in here),
        unknown_bodies=tally.unknown_bodies + sum(session.unknown_bodies for session in here),
        commands_pending=commands_pending,
        refusals=dict(tally.refusals),
        resumed=tally.resumed,
    )


def _session(session: Session) -> SessionHealth:
    age_s = session.outbox.age_s.get(session_pb2.CHANNEL_TELEMETRY, session.telemetry_age_s)
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
        telemetry_age_s=age_s,
        suspended=session.suspended,
        fencing_number=session.info.fencing_number,
    )


def write_health(message: bridge_pb2.GetHealthResponse, health: BridgeHealth) -> None:
    """Fill the answer of GetHealth."""
    message.telemetry_dropped = health.telemetry_dropped
    message.unknown_bodies = health.unknown_bodies
    message.commands_pending = health.commands_pending
    message.resumed = health.resumed
    for code, count in health.refusals.items():
        message.refusals[code] = count
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
            telemetry_age_s=session.telemetry_age_s,
            suspended=session.suspended,
            fencing_number=session.fencing_number,
        )
