"""What routes need: the running twin, the caller with a scope, the scene, a page of a list."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Header, Query, Request

from twin.errors import InvalidInput
from twin_app.access import Caller, Scope
from twin_app.sinr_raster import SinrRasters
from twin_app.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twin_app.running import Twin


def twin_of(request: Request) -> Twin:
    """Return the running twin."""
    return request.app.state.twin


def _caller_with(scope: Scope) -> Callable[[Request], Caller]:
    def caller(request: Request) -> Caller:
        who = twin_of(request).door.caller_of(request.headers.get("authorization"))
        who.need(scope)
        return who

    return caller


def the_world(
    request: Request,
    scene: Annotated[str | None, Query(max_length=64, description="Scene id; the only one by default.")] = None,
) -> World:
    """Return the scene that a request is about.

    Raises:
        SceneNotNamed: There are several and none is named. NotFound: There is no such scene.
    """
    return twin_of(request).world(scene)


def the_scene(world: Annotated[World, Depends(the_world)]) -> str:
    """Return the id of the scene that a request is about."""
    return world.id


def city_of(world: Annotated[World, Depends(the_world)]) -> SinrRasters:
    """Return what the page shows of the scene that a request is about."""
    return world.rasters


async def sound_text(request: Request) -> None:
    """Refuse a body with half a surrogate pair: such text can be neither stored nor sent back."""
    body = await request.body()
    if b"\\u" not in body:
        return
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidInput(
            "the body holds half a surrogate pair (`\\ud800` to `\\udfff`); send whole characters"
        ) from None
    except (ValueError, RecursionError):  # no JSON at all: the route says so
        return


observer = _caller_with(Scope.OBSERVE)

Observer = Annotated[Caller, Depends(observer)]
Proposer = Annotated[Caller, Depends(_caller_with(Scope.PROPOSE))]
Approver = Annotated[Caller, Depends(_caller_with(Scope.APPROVE))]
Instructor = Annotated[Caller, Depends(_caller_with(Scope.FAULTS))]
ThisWorld = Annotated[World, Depends(the_world)]
SceneId = Annotated[str, Depends(the_scene)]
SceneName = Annotated[
    str | None, Query(alias="scene", max_length=64, description="Only this scene; all of them by default.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=200, description="The same key gives the same thing, never a second."),
]
Limit = Annotated[int, Query(ge=1, le=500, description="Items per page.")]
Cursor = Annotated[str | None, Query(max_length=100, description="`next_cursor` of the page before.")]


def page_of(items: Sequence[Any], *, cursor: str | None, limit: int) -> dict[str, Any]:
    """Return one page of a list and the cursor of the next."""
    start = 0
    if cursor:
        try:
            start = int(base64.urlsafe_b64decode(cursor.encode()).decode())
        except ValueError:
            start = -1
        if start < 0:
            raise InvalidInput(f"cursor `{cursor}` is not one of ours; start without it")
    end = start + limit
    after = base64.urlsafe_b64encode(str(end).encode()).decode() if end < len(items) else None
    return {"items": list(items[start:end]), "next_cursor": after}
