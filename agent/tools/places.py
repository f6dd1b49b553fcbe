"""Tools about where things are and how they hang together: neighbours, transport paths, what serves a spot."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from agent.registry import Finding, Tool
from agent.tools.inputs import OneEntity, Served, TwoEntities
from twin.entities import Kind
from twin.errors import InvalidInput
from twin.naming import index_of

if TYPE_CHECKING:
    from agent.registry import ToolContext
    from twin.entities import Position

_NEAR_M: Final = 150.0
_SHOWN: Final = 8


async def neighbours(context: ToolContext, args: OneEntity) -> Finding:
    """The cells that a cell hands over to; of a site, those of all its cells."""
    topology = context.inventory.topology
    entity = topology.get(args.entity)
    if entity.kind not in {Kind.CELL, Kind.SITE}:
        raise InvalidInput(f"a {entity.kind.value} has no neighbour cells; ask for a cell or a site")
    own = [entity.id]
    if entity.kind is Kind.SITE:
        own = [cell.id for cell in topology.of_kind(Kind.CELL) if cell.parent_id == entity.id]
    rows: dict[str, dict[str, Any]] = {}
    for cell_id in own:
        for row in await context.graph.read("neighbours_of_cell", {"cell_id": cell_id, "limit": 50}):
            if row["id"] not in own or entity.kind is Kind.CELL:
                rows.setdefault(str(row["id"]), row)
    nearest = sorted(rows.values(), key=lambda row: (float(row["distance_m"]), str(row["id"])))
    count = context.ledger.add(
        "graph", entity=entity.id, kpi="neighbours", value=float(len(nearest)), at_s=context.inventory.now_s
    )
    if not nearest:
        return Finding(text=f"{entity.id} has no neighbour relations {count}.", subjects=(entity.id,))
    parts: list[str] = []
    for row in nearest[:_SHOWN]:
        mark = context.ledger.add(
            "graph", entity=str(row["id"]), kpi="distance", value=float(row["distance_m"]), unit="m"
        )
        parts.append(f"{row['id']} ({float(row['distance_m']):.0f} m {mark})")
    more = ", nearest first" if len(nearest) <= _SHOWN else "; the nearest are"
    text = f"{entity.id} has {len(nearest)} neighbour cells {count}{more}: {', '.join(parts)}."
    return Finding(text=text, subjects=(entity.id, *(str(row["id"]) for row in nearest[:_SHOWN])))


async def path_between(context: ToolContext, args: TwoEntities) -> Finding:
    """The transport links between two cells, sites or nodes."""
    topology = context.inventory.topology
    first, second = topology.get(args.entity_a), topology.get(args.entity_b)
    for entity in (first, second):
        if entity.kind not in {Kind.CELL, Kind.SITE, Kind.NODE}:
            raise InvalidInput(f"transport paths join cells, sites and nodes; `{entity.id}` is a {entity.kind.value}")
    rows = await context.graph.read("path_between", {"a_id": first.id, "b_id": second.id})
    climb = sorted((row for row in rows if row["side"] == "a"), key=lambda row: int(row["hop"]))
    descend = sorted((row for row in rows if row["side"] == "b"), key=lambda row: -int(row["hop"]))
    links = [str(row["link_id"]) for row in (*climb, *descend)]
    stops = [str(row["to_id"]) for row in climb] + [str(row["from_id"]) for row in descend]
    count = context.ledger.add("graph", entity=first.id, kpi=f"hops to {second.id}", value=float(len(links)))
    if not links:
        site_a, site_b = first.parent_id or first.id, second.parent_id or second.id
        if site_a == site_b:
            mark = context.ledger.add("inventory", entity=site_a, kpi="site", value=site_a)
            return Finding(
                text=f"{first.id} and {second.id} stand on the same site {site_a} {mark}; there are 0 hops {count}.",
                subjects=(first.id, second.id),
            )
        return Finding(text=f"The graph holds no transport path from {first.id} to {second.id} {count}.")
    parts = [
        f"{link} {context.ledger.add('graph', entity=link, kpi='link to', value=stop)} to {stop}"
        for link, stop in zip(links, stops, strict=True)
    ]
    start = climb[0]["from_id"] if climb else descend[0]["to_id"]
    context.ledger.add("graph", entity=str(start), kpi="start", value=str(start))
    context.ledger.add("graph", entity=second.id, kpi="end", value=second.id)
    hops = "1 hop" if len(links) == 1 else f"{len(links)} hops"
    text = f"From {first.id} to {second.id} it is {hops} {count}: from {start} over {', then '.join(parts)}."
    return Finding(text=text, subjects=(first.id, second.id))


async def what_serves(context: ToolContext, args: Served) -> Finding:
    """The cell that serves a UE, or the UEs around a place, building or point."""
    topology = context.inventory.topology
    at_s, ues, serving = context.store.latest(Kind.UE, "vsData6gServingCell")
    if args.entity is not None and topology.get(args.entity).kind is Kind.UE:
        index = next((v for ue, v in zip(ues, serving.tolist(), strict=True) if ue == args.entity), math.nan)
        if math.isnan(index) or index < 0:
            mark = context.ledger.add("telemetry", entity=args.entity, kpi="vsData6gServingCell", at_s=at_s)
            return Finding(text=f"No cell serves {args.entity} at the moment {mark}.", subjects=(args.entity,))
        cell = topology.at(int(index))
        mark = context.ledger.add("telemetry", entity=args.entity, kpi="vsData6gServingCell", value=cell.id, at_s=at_s)
        return Finding(text=f"{args.entity} is served by {cell.id} {mark}.", subjects=(cell.id, args.entity))
    where, point_m = "this position", args.position_m
    if args.entity is not None:
        entity = topology.get(args.entity)
        where = f"{entity.name} ({entity.id})" if entity.name and entity.kind is Kind.PLACE else entity.id
        context.ledger.add("inventory", entity=entity.id, kpi="name", value=entity.name)
        point_m = entity.position_m
        if entity.kind is Kind.CELL:
            return await _served_by(context, entity.id)
    assert point_m is not None  # noqa: S101  # the argument model asks for one of the two
    return await _around(context, point_m, where)


async def _served_by(context: ToolContext, cell_id: str) -> Finding:
    at_s, _, serving = context.store.latest(Kind.UE, "vsData6gServingCell")
    index = context.inventory.topology.get(cell_id).index
    number = int((serving == index).sum())
    mark = context.ledger.add("telemetry", entity=cell_id, kpi="served UEs", value=float(number), at_s=at_s)
    return Finding(text=f"{cell_id} serves {number} UEs {mark}.", subjects=(cell_id,))


async def _around(context: ToolContext, point_m: Position, where: str) -> Finding:
    topology = context.inventory.topology
    at_s, ues, serving = context.store.latest(Kind.UE, "vsData6gServingCell")
    _, placed, positions = context.store.positions()
    cell_of = dict(zip(ues, serving.tolist(), strict=True))
    votes: Counter[int] = Counter()
    for ue, (east, north, _) in zip(placed, positions.tolist(), strict=True):
        index = cell_of.get(ue, math.nan)
        if not math.isnan(index) and index >= 0 and math.hypot(east - point_m[0], north - point_m[1]) <= _NEAR_M:
            votes[int(index)] += 1
    if votes:
        index, number = min(votes.items(), key=lambda pair: (-pair[1], pair[0]))
        cell_id, total = topology.at(index).id, sum(votes.values())
        most = context.ledger.add("telemetry", entity=cell_id, kpi="served UEs nearby", value=float(number), at_s=at_s)
        every = context.ledger.add("telemetry", kpi="UEs nearby", value=float(total), at_s=at_s)
        context.ledger.add("derived", kpi="search radius", value=_NEAR_M, unit="m")
        text = f"{cell_id} serves {where}: {number} {most} of the {total} {every} UEs within {_NEAR_M:.0f} m are on it."
        return Finding(text=text, subjects=(cell_id,))
    cells = index_of(topology).nearest(Kind.CELL, point_m, limit=1)
    if not cells:
        return Finding(text="The network has no cells.")
    mark = context.ledger.add("derived", entity=cells[0], kpi="nearest sector", value=cells[0])
    context.ledger.add("derived", kpi="search radius", value=_NEAR_M, unit="m")
    text = (
        f"No UE is within {_NEAR_M:.0f} m of {where}, so nothing is measured there;"
        f" the nearest sector that points at it is {cells[0]} {mark}."
    )
    return Finding(text=text, subjects=(cells[0],))


TOOLS: Final = (
    Tool(
        name="neighbours",
        description="The neighbour cells of a cell or site, from the knowledge graph.",
        input_model=OneEntity,
        run=neighbours,
        examples=("What are the neighbours of cell 7-2?", "and its neighbours?"),
    ),
    Tool(
        name="path_between",
        description="The transport hops between two cells, sites or nodes.",
        input_model=TwoEntities,
        run=path_between,
        examples=("How does site 7 reach site 9?",),
    ),
    Tool(
        name="what_serves",
        description="The cell that serves a UE, a building, a place or a position.",
        input_model=Served,
        run=what_serves,
        examples=("Which cell serves ue 314?", "What covers the stadium?"),
    ),
)
