"""What the twin tells a scene to do, and what the scene answers.

One command is applied as a whole or not at all. Its id (UUIDv7) is the idempotency key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twin.attributes import AttributeValue
    from twin.entities import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAttribute:
    """One managed attribute of one entity, in 3GPP name and unit."""

    entity_id: str
    attribute: str
    value: AttributeValue


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAttributes:
    """Change several attributes together."""

    actions: tuple[SetAttribute, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManageFault:
    """Inject or clear a fault of the catalogue (:mod:`twin.faults`).

    Attributes:
        severity: 0..1, where in the fault's own range it lies.
    """

    operation: Literal["inject", "clear"]
    fault: str
    entity_id: str
    severity: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationControl:
    """Pause, resume, change speed, or reset.

    Attributes:
        speed: Simulated seconds per wall second (operation "speed").
        seed: Seed of the new world (operation "reset").
    """

    operation: Literal["pause", "resume", "speed", "reset"]
    speed: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Show something in the scene: highlight entities or pin a label."""

    overlay_id: str
    operation: Literal["show", "clear"]
    entity_ids: tuple[str, ...] = ()
    text: str = ""
    colour: str = "#ff8800"
    position_m: Position | None = None
    ttl_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveCamera:
    """Move a camera of the scene.

    Attributes:
        camera_id: "" = the user's own.
        entity_id: What to look at; "" = look at `target_m`.
        distance_m: From the target; 0 = as it is.
        azimuth_deg: Direction from the camera to the target, clockwise from north.
        pitch_down_deg: How far the camera looks down.
    """

    camera_id: str = ""
    entity_id: str = ""
    target_m: Position | None = None
    distance_m: float = 0.0
    azimuth_deg: float = 0.0
    pitch_down_deg: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn:
    """Create or remove an object of the scene.

    Attributes:
        archetype: One of the scene's archetypes; "" = remove.
        rotation: Quaternion x, y, z, w in the ENU frame.
    """

    archetype: str
    entity_id: str
    position_m: Position | None = None
    rotation: tuple[float, float, float, float] | None = None


CommandBody = SetAttributes | ManageFault | SimulationControl | Overlay | MoveCamera | Spawn
VISIBLE = (Overlay, MoveCamera, Spawn)
"""Bodies that only change what is seen; they go to who shows the scene and need no approval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One order to a scene.

    Attributes:
        id: UUIDv7, the idempotency key.
        issued_by: Who asked, from authentication.
        deadline_unix_ns: Wall time after which the scene must answer EXPIRED; 0 = none.
        expected_revision: Configuration revision the order was made for; 0 = any.
        dry_run: Check only.
        change_id: The change this belongs to, "" when none.
    """

    id: str
    body: CommandBody
    issued_by: str
    deadline_unix_ns: int = 0
    expected_revision: int = 0
    dry_run: bool = False
    change_id: str = ""


class CommandStage(StrEnum):
    """How far a command has come."""

    RECEIVED = "RECEIVED"
    APPLIED = "APPLIED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The final answer of a scene.

    Attributes:
        observed: What the scene reads back after the command, in the order of the actions.
        reason: Why not, in plain words; "" when applied.
        sim_time_s: When it took effect.
    """

    command_id: str
    stage: CommandStage
    observed: tuple[SetAttribute, ...] = ()
    reason: str = ""
    sim_time_s: float = 0.0
    labels: tuple[str, ...] = field(default=())


def overall(results: Mapping[str, CommandResult]) -> tuple[CommandStage, str]:
    """Return (stage, reason) of one order for several scenes; the answers go by scene.

    The stage is the one that all agree on, so APPLIED only when all of them applied it, and FAILED when they differ.
    The reason names those that did not apply it, "" when all did.
    """
    stages = {result.stage for result in results.values()}
    against = (
        f"{scene_id}: {result.stage.value} {result.reason}".rstrip()
        for scene_id, result in results.items()
        if result.stage is not CommandStage.APPLIED
    )
    return stages.pop() if len(stages) == 1 else CommandStage.FAILED, "; ".join(against)
