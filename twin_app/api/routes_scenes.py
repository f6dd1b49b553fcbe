"""The scenes of the twin: list, add, remove."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from twin_app.access import Scope
from twin_app.api.deps import Instructor, Observer, sound_text, twin_of
from twin_app.api.models import PROBLEMS, Body
from twin_app.scene_list import ScenePlan

router = APIRouter(prefix="/v1", responses=PROBLEMS, dependencies=[Depends(sound_text)])


class SceneBody(Body):
    """A scene to add: a generated city. Files of this machine are named on the command line only."""

    id: str = Field(max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$", examples=["harbour"])
    seed: int | None = Field(
        default=None, ge=0, lt=2**63, description="Seed of the city; absent: made from the twin's seed and the id."
    )
    ues: int | None = Field(default=None, ge=0, le=20_000, description="Number of UEs; absent: the generator's.")
    past: Literal["0", "24h", "14d"] | None = Field(
        default=None, description="How much past the new world is given; absent: as the twin's setting says."
    )
    with_scene: bool = Field(default=True, description="Run the headless scene for it; else wait for one to connect.")


@router.get("/scenes", summary="All scenes", tags=["scenes"])
async def scenes(request: Request, _: Observer) -> dict[str, Any]:
    """Who is connected to each, with its fencing number, what time it is there, how long it has been away."""
    return {"items": [world.row() for world in twin_of(request).worlds.values()]}


@router.post("/scenes", summary="Add a scene", tags=["scenes"], status_code=201)
async def add(request: Request, _: Instructor, body: SceneBody) -> dict[str, Any]:
    """Builds a generated city, starts it, and records it so that it comes back after a restart.

    409 when the id is taken or there are as many scenes as the twin may keep.
    """
    world = await twin_of(request).add_scene(
        ScenePlan(id=body.id, seed=body.seed, ues=body.ues, past=body.past, with_scene=body.with_scene)
    )
    return world.row()


@router.delete("/scenes/{scene_id}", summary="Remove a scene", tags=["scenes"], status_code=204)
async def remove(
    request: Request,
    caller: Instructor,
    scene_id: str,
    *,
    purge: Annotated[bool, Query(description="Delete its folder, too: journal and history are gone (admin).")] = False,
) -> Response:
    """Stops it; added again under the same id it goes on where it stopped, unless it was purged."""
    if purge:
        caller.need(Scope.ADMIN)
    await twin_of(request).remove_scene(scene_id, purge=purge)
    return Response(status_code=204)
