"""Reading: health, topology, entities, KPIs, alarms, news."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from twin.entities import Kind
from twin.errors import InvalidInput
from twin.kpi import kpi as kpi_row
from twin.naming import resolve
from twin.topology import Entity
from twin_app.alarm_json import alarm_to_json
from twin_app.api.deps import Cursor, Limit, Observer, SceneName, ThisWorld, page_of, twin_of
from twin_app.api.models import PROBLEMS

router = APIRouter(prefix="/v1", responses=PROBLEMS)


def entity_json(entity: Entity) -> dict[str, Any]:
    """Return one row of the inventory."""
    return {
        "id": entity.id,
        "name": entity.name,
        "dn": entity.dn,
        "aliases": list(entity.aliases),
        "kind": entity.kind.value,
        "parent": entity.parent_id or None,
        "position_m": list(entity.position_m),
        "attributes": dict(entity.attributes),
        "properties": dict(entity.properties),
    }


@router.get("/health", summary="How the twin is", tags=["watch"])
async def health(request: Request, _: Observer, scene: SceneName = None) -> dict[str, Any]:
    """State of every part, all scenes, what was dropped, loop lag, how much of the past is told, speed.

    Where a part belongs to one scene it is that of `scene`, else of the first.
    """
    twin = twin_of(request)
    return twin.health(None if scene is None else twin.world(scene))


@router.get("/topology", summary="The network as one document", tags=["inventory"])
async def topology(_: Observer, world: ThisWorld) -> dict[str, Any]:
    """Sites, cells, slices, transport and neighbour relations at the current revision (no UEs or buildings)."""
    scenario, now = world.scenario, world.inventory.topology
    return {
        "scene": world.id,
        "name": scenario.name,
        "revision": now.revision,
        "origin": {
            "latitude_deg": scenario.origin.latitude_deg,
            "longitude_deg": scenario.origin.longitude_deg,
            "height_m": scenario.origin.height_m,
        },
        "extent_m": list(scenario.extent_m),
        "counts": {kind.value: len(now.of_kind(kind)) for kind in Kind},
        "entities": [entity_json(e) for e in now.entities if e.kind not in {Kind.UE, Kind.BUILDING, Kind.PLACE}],
        "neighbours": [{"source": n.source_id, "target": n.target_id} for n in scenario.neighbours],
        "attribution": list(scenario.attribution),
    }


@router.get("/entities", summary="The inventory, page by page", tags=["inventory"])
async def entities(
    _: Observer,
    world: ThisWorld,
    kind: Annotated[Kind | None, Query(description="Only this kind.")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Every entity with id, name, DN and aliases."""
    now = world.inventory.topology
    rows = now.entities if kind is None else now.of_kind(kind)
    page = page_of(rows, cursor=cursor, limit=limit)
    page["items"] = [entity_json(row) for row in page["items"]]
    return page


@router.get("/entities/{name}", summary="One entity, by id, DN or alias", tags=["inventory"])
async def entity(_: Observer, world: ThisWorld, name: str) -> dict[str, Any]:
    """The entity with its configured attributes."""
    return entity_json(resolve(name, world.inventory.topology))


@router.get("/kpis", summary="One KPI of one entity over time", tags=["watch"])
async def kpis(
    _: Observer,
    world: ThisWorld,
    entity: Annotated[str, Query(description="Id, DN or alias.", examples=["cell-7-2"])],
    kpi: Annotated[str, Query(description="3GPP name.", examples=["RRU.PrbTotDl"])],
    start: Annotated[str, Query(alias="from", description="RFC 3339 or `-10m`, simulated time.")] = "-10m",
    end: Annotated[str, Query(alias="to", description="RFC 3339, `-1m` or `now`.")] = "now",
    granularity: Annotated[
        int | None, Query(ge=1, le=86_400, description="Seconds per point; the finest that fits.")
    ] = None,
) -> dict[str, Any]:
    """At most 5,000 points; `null` is missing, `gaps` are times without any report."""
    civil, now_s = world.inventory.civil, world.inventory.now_s
    row = kpi_row(kpi)
    found = resolve(entity, world.inventory.topology)
    if found.kind not in row.kinds:
        raise InvalidInput(
            f"a {found.kind.value} has no `{kpi}`; it belongs to {', '.join(k.value for k in row.kinds)}"
        )
    start_s, end_s = civil.parse(start, now_s=now_s), civil.parse(end, now_s=now_s)
    if start_s >= end_s:
        raise InvalidInput(f"`from` ({start}) does not lie before `to` ({end})")
    series = await world.store.series(found.id, kpi, start_s=start_s, end_s=end_s, granularity_s=granularity)
    return {
        "entity": found.id,
        "kpi": kpi,
        "unit": row.unit,
        "granularity_s": series.granularity_s,
        "points": [
            [civil.rfc3339(float(t)), None if math.isnan(v) else float(v)]
            for t, v in zip(series.time_s, series.value, strict=True)
        ],
        "gaps": [[civil.rfc3339(a), civil.rfc3339(b)] for a, b in series.gaps],
    }


@router.get("/alarms", summary="Alarms, newest first", tags=["watch"])
async def alarms(
    _: Observer,
    world: ThisWorld,
    entity: Annotated[str | None, Query(description="Only of this entity.")] = None,
    *,
    active: Annotated[bool, Query(description="Only those not cleared.")] = False,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Alarms in the X.733 form with the measurements behind them."""
    entity_id = None if entity is None else resolve(entity, world.inventory.topology).id
    rows = await world.alarms.list(entity_id=entity_id, include_cleared=not active)
    page = page_of(rows, cursor=cursor, limit=limit)
    page["items"] = [alarm_to_json(row, world.inventory.civil) for row in page["items"]]
    return page


@router.get("/events", summary="News as server-sent events", tags=["watch"])
async def events(request: Request, _: Observer, scene: SceneName = None) -> StreamingResponse:
    """Events `alarm`, `change`, `scene`, `health` with JSON data: of one scene, or of all, each with its `scene_id`."""
    twin = twin_of(request)
    world = None if scene is None else twin.world(scene)

    async def stream() -> AsyncIterator[str]:
        with twin.news.listen() as queue:
            yield f"event: health\ndata: {json.dumps(twin.health(world))}\n\n"
            while not twin.stopping.is_set():
                try:
                    news = await asyncio.wait_for(queue.get(), 1.0)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if world is not None and not news.concerns(world.id):
                    continue
                facts = twin.health(world) if world is not None and news.name == "health" else news.facts
                yield f"id: {news.number}\nevent: {news.name}\ndata: {json.dumps(facts)}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
