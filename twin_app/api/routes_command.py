"""Orders that need no approval: what scenes show, and how their time runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal, assert_never

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from twin.commands import CommandBody, CommandStage, MoveCamera, Overlay, SimulationControl, Spawn, overall
from twin.errors import InvalidInput
from twin.naming import resolve
from twin_app.access import Scope
from twin_app.api.deps import IdempotencyKey, Observer, SceneName, sound_text, twin_of
from twin_app.api.models import PROBLEMS, Body
from twin_app.world import World

router = APIRouter(prefix="/v1", responses=PROBLEMS, dependencies=[Depends(sound_text)])

Position = tuple[float, float, float]
Slug = Annotated[str, Field(max_length=200)]
Scenes = Annotated[list[str], Field(min_length=1, max_length=64)] | None


class _Order(Body):
    scenes: Scenes = Field(default=None, description="Several scenes at once, instead of `?scene=`.")
    dry_run: bool = Field(default=False, description="Ask what would happen; nothing changes, nothing is recorded.")


class OverlayOrder(_Order):
    """Highlight entities or pin a label; `clear` takes it away."""

    kind: Literal["overlay"]
    overlay_id: Slug = Field(min_length=1)
    operation: Literal["show", "clear"] = "show"
    entities: Annotated[list[str], Field(max_length=1_000)] = Field(default=[], description="Id, DN or alias.")
    text: str = Field(default="", max_length=1_000)
    colour: str = Field(default="#ff8800", pattern=r"^#[0-9a-fA-F]{6}$")
    position_m: Position | None = Field(default=None, description="East, north, up of the label.")
    ttl_s: float = Field(default=0.0, ge=0, description="Gone after this many seconds; 0 = stays.")


class CameraOrder(_Order):
    """Move a camera."""

    kind: Literal["camera"]
    camera_id: Slug = Field(default="", description="Empty = the user's own.")
    entity: Slug = Field(default="", description="What to look at; empty = `target_m`.")
    target_m: Position | None = None
    distance_m: float = Field(default=0.0, ge=0, description="From the target; 0 = as it is.")
    azimuth_deg: float = Field(default=0.0, ge=-360, le=360)
    pitch_down_deg: float = Field(default=0.0, ge=-90, le=90)


class SpawnOrder(_Order):
    """Create or remove an object of the scene."""

    kind: Literal["spawn"]
    archetype: Slug = Field(description="One of the scene's archetypes; empty = remove.")
    entity_id: Slug = Field(min_length=1)
    position_m: Position | None = None
    rotation: tuple[float, float, float, float] | None = Field(default=None, description="Quaternion x, y, z, w.")


class ClockOrder(_Order):
    """Pause or resume simulated time."""

    kind: Literal["pause", "resume"]


class SpeedOrder(_Order):
    """Change how fast simulated time runs."""

    kind: Literal["speed"]
    speed: float = Field(gt=0, le=100, description="Simulated seconds per wall second.")


class ResetOrder(_Order):
    """Begin a new world."""

    kind: Literal["reset"]
    seed: int = Field(default=0, ge=0, lt=2**63)


Order = Annotated[
    OverlayOrder | CameraOrder | SpawnOrder | ClockOrder | SpeedOrder | ResetOrder, Field(discriminator="kind")
]


@router.post("/commands", summary="Give a scene an order", tags=["scenes"])
async def command(
    request: Request,
    caller: Observer,
    order: Order,
    scene: SceneName = None,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """The order is journaled, carried out, and answered with what every scene said.

    Overlay and camera need the scope `propose`, spawn `scene`, pause, resume, speed and reset `faults`. With several
    scenes `stage` is APPLIED only when all of them applied it.
    """
    caller.need(_scope_of(order))
    twin = twin_of(request)
    if order.scenes is not None and scene is not None:
        raise InvalidInput("`?scene=` and `scenes` are both given; give one of them")
    worlds = [twin.world(one) for one in dict.fromkeys(order.scenes or [scene])]
    bodies = {world.id: _body_of(order, world) for world in worlds}
    first = next(iter(bodies.values()))
    if any(body != first for body in bodies.values()):
        raise InvalidInput("the names mean different entities in these scenes; give ids, or one order per scene")
    command_id, answers = await twin.order(
        first, scene_ids=tuple(bodies), issued_by=caller.name, key=idempotency_key, dry_run=order.dry_run
    )
    stage, reason = overall(answers)
    return {
        "id": command_id,
        "stage": stage.value,
        "reason": reason,
        "scenes": [
            {
                "scene": world.id,
                "stage": answers[world.id].stage.value,
                "reason": answers[world.id].reason,
                "at": world.inventory.civil.rfc3339(answers[world.id].sim_time_s)
                if answers[world.id].stage is CommandStage.APPLIED
                else None,
            }
            for world in worlds
        ],
    }


def _scope_of(order: Order) -> Scope:
    match order:
        case OverlayOrder() | CameraOrder():
            return Scope.PROPOSE
        case SpawnOrder():
            return Scope.SCENE
        case ClockOrder() | SpeedOrder() | ResetOrder():
            return Scope.FAULTS
        case _:
            assert_never(order)


def _body_of(order: Order, world: World) -> CommandBody:
    topology = world.inventory.topology
    match order:
        case OverlayOrder():
            return Overlay(
                overlay_id=order.overlay_id,
                operation=order.operation,
                entity_ids=tuple(resolve(name, topology).id for name in order.entities),
                text=order.text,
                colour=order.colour,
                position_m=order.position_m,
                ttl_s=order.ttl_s,
            )
        case CameraOrder():
            if not order.entity and order.target_m is None:
                raise InvalidInput("a camera needs something to look at: give `entity` or `target_m`")
            return MoveCamera(
                camera_id=order.camera_id,
                entity_id=resolve(order.entity, topology).id if order.entity else "",
                target_m=order.target_m,
                distance_m=order.distance_m,
                azimuth_deg=order.azimuth_deg,
                pitch_down_deg=order.pitch_down_deg,
            )
        case SpawnOrder():
            return Spawn(
                archetype=order.archetype,
                entity_id=order.entity_id,
                position_m=order.position_m,
                rotation=order.rotation,
            )
        case ClockOrder():
            return SimulationControl(operation=order.kind)
        case SpeedOrder():
            return SimulationControl(operation="speed", speed=order.speed)
        case ResetOrder():
            return SimulationControl(operation="reset", seed=order.seed)
        case _:
            assert_never(order)
