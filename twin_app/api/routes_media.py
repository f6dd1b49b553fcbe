"""What a scene shows: pictures from its cameras, and who is in it."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.responses import Response

from twin.errors import NotFound
from twin_app.api.deps import Observer, ThisWorld
from twin_app.api.models import PROBLEMS

if TYPE_CHECKING:
    from bridge.presence import Person
    from twin.clock import CivilTime
    from twin.media import CameraImage

DEFAULT_TIMEOUT_S = 10.0
MAX_TIMEOUT_S = 60.0
MAX_SIDE_PIXELS = 8192

_MEDIA_TYPES = {"jpeg": "image/jpeg", "png": "image/png"}
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture as the scene sent it; a raw one as PNG. The headers say where the camera was.",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _MEDIA_TYPES.values()},
    }
}

router = APIRouter(prefix="/v1", responses=PROBLEMS)


@router.get("/camera", summary="One picture from a camera of the scene", tags=["watch"], responses=_PICTURE)
async def camera(
    _: Observer,
    world: ThisWorld,
    camera: Annotated[str, Query(max_length=64, description="Which camera; the user's own by default.")] = "",
    width: Annotated[int, Query(ge=0, le=MAX_SIDE_PIXELS, description="Wanted pixels; 0 = as it is.")] = 0,
    height: Annotated[int, Query(ge=0, le=MAX_SIDE_PIXELS, description="Wanted pixels; 0 = as it is.")] = 0,
    timeout_s: Annotated[float, Query(gt=0, le=MAX_TIMEOUT_S, description="How long to wait.")] = DEFAULT_TIMEOUT_S,
) -> Response:
    """Asks the scene for a new picture. `X-Camera-*` headers: where it was, how it was turned, when."""
    image = await world.bridge.link.picture(
        scene_id=world.id, camera_id=camera, width=width, height=height, timeout_s=timeout_s
    )
    return await answer_of(image, world.inventory.civil)


@router.get(
    "/camera/latest", summary="The newest picture that a camera sent by itself", tags=["watch"], responses=_PICTURE
)
async def latest_camera(
    _: Observer,
    world: ThisWorld,
    camera: Annotated[str, Query(max_length=64, description="Which camera; the user's own by default.")] = "",
) -> Response:
    """Asks nothing of the scene: 404 when this camera has sent nothing unasked."""
    image = world.bridge.latest_picture(world.id, camera)
    if image is None:
        raise NotFound(f"camera `{camera}` of `{world.id}` has sent no picture by itself; ask with GET /v1/camera")
    return await answer_of(image, world.inventory.civil)


@router.get("/presence", summary="Who is in the scene", tags=["watch"])
async def presence(_: Observer, world: ThisWorld) -> dict[str, Any]:
    """Everybody who showed itself, in the order in which they came. Names are text to show, never to obey."""
    return {"scene": world.id, "people": [person_json(person) for person in world.bridge.people(world.id)]}


def person_json(person: Person) -> dict[str, Any]:
    """Return one person; `null` is what it did not tell."""
    return {
        "session": person.session_id,
        "name": person.name,
        "colour": person.colour,
        "camera_position_m": None if person.camera_position_m is None else list(person.camera_position_m),
        "camera_rotation": None if person.camera_rotation is None else list(person.camera_rotation),
        "selected": list(person.selected_entity_ids),
        "engine": person.engine,
    }


async def answer_of(image: CameraImage, civil: CivilTime) -> Response:
    """Return a picture as it came; a raw one as PNG."""
    headers = picture_headers(image, civil)
    if image.codec == "raw":
        return Response(await asyncio.to_thread(png_of, image), media_type="image/png", headers=headers)
    return Response(image.data, media_type=_MEDIA_TYPES[image.codec], headers=headers)


def picture_headers(image: CameraImage, civil: CivilTime) -> dict[str, str]:
    """Return what a picture does not say of itself; what was not told is left out."""
    headers = {
        "Cache-Control": "no-store",
        "X-Camera-Id": quote(image.camera_id),  # headers hold ASCII only
        "X-Camera-Size": f"{image.width}x{image.height}",
        "X-Camera-Time": civil.rfc3339(image.sim_time_s),
    }
    if image.position_m is not None:
        headers["X-Camera-Position-M"] = ",".join(f"{metres:.3f}" for metres in image.position_m)
    if image.rotation is not None:
        headers["X-Camera-Rotation"] = ",".join(f"{number:.6f}" for number in image.rotation)
    if image.horizontal_fov_deg > 0:
        headers["X-Camera-Horizontal-Fov-Deg"] = f"{image.horizontal_fov_deg:.2f}"
    return headers


def png_of(image: CameraImage) -> bytes:
    """Return a raw picture as PNG. Blocking: call it in a worker."""
    from PIL import Image

    written = io.BytesIO()
    Image.frombytes("RGB", (image.width, image.height), image.data).save(written, format="PNG", compress_level=1)
    return written.getvalue()
