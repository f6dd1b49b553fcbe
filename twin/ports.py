"""What the rooms ask of each other: small Protocols, implemented by adapters elsewhere.

The agent reaches graph, store, scene and change control only through these. Ports that do I/O are ``async``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from twin.alarms import Alarm
    from twin.clock import CivilTime
    from twin.commands import Command, CommandResult, SetAttribute
    from twin.control import Change
    from twin.entities import Kind
    from twin.media import CameraImage, Utterance
    from twin.scenario import Origin
    from twin.telemetry import PmReport, Series, TelemetryBatch
    from twin.topology import Topology
    from twin.what_if_report import WhatIfReport


class Inventory(Protocol):
    """The current topology and time of one scene."""

    @property
    def scene_id(self) -> str:
        """The scene this is the inventory of."""
        ...

    @property
    def topology(self) -> Topology:
        """What exists, at its current revision."""
        ...

    @property
    def civil(self) -> CivilTime:
        """Simulated seconds to civil time of the city."""
        ...

    @property
    def now_s(self) -> float:
        """Simulated now: the time of the last sample."""
        ...

    @property
    def absent_s(self) -> float | None:
        """Wall seconds since the scene went away, None while it is connected."""
        ...

    @property
    def history_progress(self) -> float:
        """0..1, how much of its past the scene has told."""
        ...


class TelemetryStore(Protocol):
    """Memory of figures: RAM ring for the last hour, a file for the rest."""

    async def append_pm(self, reports: Sequence[PmReport]) -> int:
        """Store reports durably; returns how many were new (same scene, epoch, granularity and end: dropped)."""
        ...

    def put_pm(self, report: PmReport) -> None:
        """Put a live report into the RAM ring at once (never blocks)."""
        ...

    def put_telemetry(self, batch: TelemetryBatch) -> None:
        """Put gauges of UEs into the RAM ring at once (never blocks)."""
        ...

    def latest(self, kind: Kind, kpi: str) -> tuple[float, tuple[str, ...], NDArray[np.float32]]:
        """Return (sim_time_s, entity ids, ``[n] float32`` values) of the newest sample, from RAM.

        Raises:
            UnknownName: The kind has no such KPI.
        """
        ...

    def positions(self) -> tuple[float, tuple[str, ...], NDArray[np.float32]]:
        """Return (sim_time_s, UE ids, ``[n, 3] float32`` ENU metres) of the newest batch."""
        ...

    async def series(
        self, entity_id: str, kpi: str, *, start_s: float, end_s: float, granularity_s: int | None = None
    ) -> Series:
        """Return one KPI of one entity in (start, end]; the finest stored granularity with at most 5,000 points.

        `granularity_s` asks for a granularity; coarser ones are reduced from finer by the KPI's rule.

        Raises:
            UnknownEntity, UnknownName, InvalidInput, StoreUnavailable.
        """
        ...

    async def window(
        self, kind: Kind, kpi: str, *, start_s: float, end_s: float
    ) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """Return (ids, ``[n] float32``) of the KPI reduced over (start, end] for every entity of the kind."""
        ...

    async def coverage(self) -> tuple[float, float] | None:
        """Return the first and last simulated time for which there is any history, None when empty."""
        ...


class GraphStore(Protocol):
    """The knowledge graph: named queries in, rows out."""

    async def read(self, query_id: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Run the named query of ``knowledge_graph/queries``.

        Raises:
            UnknownName: No such query. GraphUnavailable: The engine died; it is being rebuilt. DeadlineExceeded.
        """
        ...


class AlarmLog(Protocol):
    """Alarms, active and past."""

    def active(self) -> tuple[Alarm, ...]:
        """Return the active alarms, newest first."""
        ...

    async def list(
        self,
        *,
        entity_id: str | None = None,
        since_s: float | None = None,
        include_cleared: bool = True,
        limit: int = 500,
    ) -> tuple[Alarm, ...]:
        """Return alarms, newest first."""
        ...


class ChangeDesk(Protocol):
    """Where changes are proposed. There is no way to approve here: the agent gets this port."""

    async def propose(
        self,
        *,
        reason: str,
        actions: Sequence[SetAttribute],
        proposed_by: str,
        base_revision: int | None = None,
        idempotency_key: str | None = None,
        question_id: str | None = None,
        undoes: str | None = None,
    ) -> Change:
        """Validate and journal a proposal.

        Raises:
            UnknownEntity, UnknownName, OutOfRange, StaleRevision, KeyReused.
        """
        ...

    async def undo(self, change_id: str | None, *, proposed_by: str, question_id: str | None = None) -> Change:
        """Propose the inverse of a committed change (None = the last committed one); never applies by itself.

        Raises:
            NotFound: There is none to undo.
        """
        ...

    async def list(self, *, limit: int = 100) -> tuple[Change, ...]:
        """Return changes, newest first."""
        ...

    async def get(self, change_id: str) -> Change:
        """Return one change.

        Raises:
            NotFound: There is none.
        """
        ...


class WhatIf(Protocol):
    """Tries changes out on a copy of the network; nothing is proposed or applied."""

    async def foresee(
        self,
        actions: Sequence[SetAttribute],
        *,
        horizon_s: float | None = None,
        seeds: int | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> WhatIfReport:
        """Return what the changes would do; cancelling the call stops the run.

        Args:
            horizon_s: Simulated seconds to look ahead; None = as the settings say.
            seeds: How many runs with and without; None = as the settings say.
            on_progress: Called on the event loop with 0..1.

        Raises:
            UnknownEntity, UnknownName, OutOfRange, InvalidInput: The changes cannot be meant.
            ShadowUnavailable: It cannot run now. DeadlineExceeded: Not in time. Overloaded: Too many run already.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneInfo:
    """What a scene said of itself when it connected.

    Attributes:
        provides: Subset of {"MOTION", "KPI", "STATE"}.
        fencing_number: Number of this ownership; larger than every earlier one of the scene.
        archetypes: What it can spawn.
        camera_codecs: How its cameras can compress; empty = it has none.
    """

    scene_id: str
    session_id: str
    engine: str
    engine_version: str
    provides: frozenset[str]
    epoch: int
    fencing_number: int = 0
    archetypes: tuple[str, ...] = ()
    camera_codecs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedEntity:
    """An entity that only the scene knows, such as a kiosk that a level designer placed.

    Attributes:
        local_id: The scene's own name for it.
        name: "" = the twin makes one.
    """

    local_id: str
    kind: str
    name: str
    position_m: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityVerdict:
    """What became of an offered entity.

    Attributes:
        entity_id: Its id in the twin; "" = refused.
        reason: Why it was refused.
    """

    local_id: str
    entity_id: str
    index: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneStart:
    """What the twin tells a scene that connects.

    Attributes:
        resume_at_sim_s: Simulated time to go on from (the last sample in memory), None for a new world.
        past_s: How many seconds of past the scene should report before it goes live; 0 = none.
        desired: Configuration that the scene must have, as committed.
        origin: Where (0, 0, 0) m lies on Earth, None when unknown.
        scenario_digest: SHA-256 of the scenario that the twin serves, "" when unknown.
    """

    topology: Topology
    civil: CivilTime
    resume_at_sim_s: float | None
    past_s: int
    speed: float
    desired: tuple[SetAttribute, ...]
    origin: Origin | None = None
    scenario_digest: str = ""


class SceneSink(Protocol):
    """Where the bridge hands over what a scene says. Called on the event loop; must return quickly.

    A scene may be shown by two sessions, one that provides MOTION and one that provides KPI and STATE.
    """

    def scene_connecting(self, info: SceneInfo) -> SceneStart:
        """Return what to tell the scene in Welcome and topology snapshot; also called when a session is resumed.

        Raises:
            PermissionDenied, Conflict, NotFound: The scene is refused.
        """
        ...

    def scene_disconnected(self, info: SceneInfo, reason: str) -> None:
        """The stream ended (clean leave, error, or three heartbeats missed)."""
        ...

    def scene_live(self, scene_id: str, sim_time_s: float) -> None:
        """The past is told; from now on it is the present."""
        ...

    def telemetry(self, batch: TelemetryBatch) -> None:
        """Gauges and positions; may be dropped by the receiver, who counts."""
        ...

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        """Take a report; waits while the queue is full (back-pressure); calls `done` on the loop once it is durable."""
        ...

    def observed(self, scene_id: str, attributes: Sequence[SetAttribute], sim_time_s: float) -> None:
        """Configuration as read back from the scene on (re)connect."""
        ...

    def scene_event(self, scene_id: str, name: str, facts: Mapping[str, Any], sim_time_s: float) -> None:
        """Anything else the scene reports (an object touched, a fault noticed by the engine)."""
        ...

    async def scene_alarm(self, alarm: Alarm) -> Alarm | None:
        """Take in an alarm that a scene raised, changed or cleared; durable when this returns.

        Returns:
            What observers are to be told now; None = who keeps alarms has told them, or nothing changed.

        Raises:
            InvalidInput: It cannot be meant, such as one about no known entity; the bridge ignores it with a Notice.
        """
        ...

    def scene_voice(self, utterance: Utterance) -> None:
        """Somebody in the scene said something."""
        ...

    async def contributed(self, scene_id: str, offered: Sequence[OfferedEntity]) -> Sequence[EntityVerdict]:
        """Take in entities that only the scene knows; durable when this returns. One verdict each, in order."""
        ...


class SceneLink(Protocol):
    """The way back into the scene."""

    async def send(self, command: Command, *, timeout_s: float, scene_id: str | None = None) -> CommandResult:
        """Push a command to a scene (None = the only one) and wait for its final stage.

        Raises:
            SceneUnavailable: None connected. DeadlineExceeded: No final stage in time (the outcome is unknown).
            InvalidInput: Several scenes and none named.
        """
        ...

    async def send_to_all(
        self, command: Command, *, scene_ids: Sequence[str], timeout_s: float
    ) -> Mapping[str, CommandResult]:
        """Push the same command to several scenes; one final answer each, FAILED where none came."""
        ...

    async def picture(
        self, *, scene_id: str | None, camera_id: str = "", width: int = 0, height: int = 0, timeout_s: float
    ) -> CameraImage:
        """Ask a camera of a scene for one picture.

        Raises:
            SceneUnavailable: None connected that has a camera, or it has no picture. DeadlineExceeded, TooLarge.
        """
        ...


class Journal(Protocol):
    """Every lossless fact, one durable row each, in order."""

    async def append(self, kind: str, facts: Sequence[Mapping[str, Any]]) -> int:
        """Store facts in one commit (durable when this returns); returns the sequence number of the last.

        Raises:
            StoreUnavailable: The disk is full or the file is broken; nothing was stored.
        """
        ...

    async def replay(self, kind: str, *, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
        """Return (sequence number, fact) of one kind in order."""
        ...


class TextEncoder(Protocol):
    """Sentences to vectors."""

    @property
    def name(self) -> str:
        """Which encoder this is, for the health page."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``[num_texts, dim] float32``, rows of length 1. Blocking: call it in a worker."""
        ...


HealthState = Literal["ok", "degraded", "down"]
