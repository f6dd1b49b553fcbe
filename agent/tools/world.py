"""Tools that read the inventory: describe an entity, count things, the whole network at a glance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from agent.registry import Finding, Tool
from agent.tools.inputs import Counting, NoArguments, OneEntity, Window
from agent.tools.reading import say
from twin.attributes import attribute, to_native
from twin.entities import Kind
from twin.kpi import kpi

if TYPE_CHECKING:
    from agent.registry import ToolContext
    from twin.topology import Entity

_SAID: Final[dict[str, tuple[str, str, float]]] = {
    "azimuth_deg": ("azimuth", "deg", 1.0),
    "carrier_hz": ("carrier", "MHz", 1e-6),
    "bandwidth_hz": ("bandwidth", "MHz", 1e-6),
    "height_m": ("height", "m", 1.0),
    "capacity_bps": ("capacity", "Mbit/s", 1e-6),
    "sector": ("sector", "", 1.0),
}
_WORDS: Final = ("category", "land_use", "mobility", "slice_id", "role", "a_id", "b_id", "height_source")
_OVERVIEW: Final = ("DRB.UEThpDl", "RRU.PrbTotDl", "RRC.ConnMean", "vsData6gMeanSsRsrp")


async def describe_entity(context: ToolContext, args: OneEntity) -> Finding:
    """What the inventory and the graph know of one entity."""
    topology = context.inventory.topology
    entity = topology.get(args.entity)
    ledger = context.ledger
    name = ledger.add("inventory", entity=entity.id, kpi="name", value=entity.name)
    text = f"{entity.id} is a {entity.kind.value} called {entity.name} {name}"
    if entity.parent_id:
        mark = ledger.add("inventory", entity=entity.parent_id, kpi="site", value=entity.parent_id)
        text += f" on {entity.parent_id} {mark}"
    text += "."
    facts = [*_settings(context, entity), *_properties(context, entity)]
    if entity.kind is Kind.SITE:
        cells = [cell.id for cell in topology.of_kind(Kind.CELL) if cell.parent_id == entity.id]
        mark = ledger.add("inventory", entity=entity.id, kpi="cells", value=", ".join(cells))
        facts.append(f"cells {', '.join(cells)} {mark}")
    if facts:
        text += f" It has {', '.join(facts)}."
    if entity.kind in {Kind.CELL, Kind.SITE, Kind.LINK}:
        active = [alarm for alarm in context.alarms.active() if alarm.entity_id == entity.id]
        mark = ledger.add("alarms", entity=entity.id, kpi="active alarms", value=float(len(active)))
        text += (
            f" It has {len(active)} active alarms {mark}." if len(active) != 1 else f" It has 1 active alarm {mark}."
        )
    if entity.dn:
        mark = ledger.add("inventory", entity=entity.id, kpi="dn", value=entity.dn)
        text += f" Its distinguished name is {entity.dn} {mark}."
    return Finding(text=text, subjects=(entity.id,))


def _settings(context: ToolContext, entity: Entity) -> list[str]:
    facts: list[str] = []
    for name, value in entity.attributes.items():
        row = attribute(name)
        native = to_native(name, value)
        shown = native if isinstance(native, str) else f"{native:.1f} {row.native_unit}"
        mark = context.ledger.add("inventory", entity=entity.id, kpi=name, value=native, unit=row.native_unit)
        facts.append(f"{row.label} {shown} {mark}")
    return facts


def _properties(context: ToolContext, entity: Entity) -> list[str]:
    facts: list[str] = []
    for name, value in entity.properties.items():
        if name in _SAID and not isinstance(value, str):
            label, unit, factor = _SAID[name]
            number = value * factor
            mark = context.ledger.add("inventory", entity=entity.id, kpi=name, value=number, unit=unit)
            facts.append(f"{label} {number:.0f}{' ' + unit if unit else ''} {mark}")
        elif name in _WORDS and value:
            mark = context.ledger.add("inventory", entity=entity.id, kpi=name, value=str(value))
            facts.append(f"{name.removesuffix('_id').replace('_', ' ')} {value} {mark}")
    return facts


async def count_entities(context: ToolContext, args: Counting) -> Finding:
    """How many entities of a kind there are, everywhere or near something."""
    topology = context.inventory.topology
    ledger = context.ledger
    plural = {"ue": "UEs"}.get(args.kind.value, f"{args.kind.value}s")
    if args.near is None:
        number = len(topology.of_kind(args.kind))
        mark = ledger.add("inventory", kpi=plural, value=float(number), at_s=context.inventory.now_s)
        return Finding(text=f"The network has {number} {plural if number != 1 else args.kind.value} {mark}.")
    anchor = topology.get(args.near)
    if anchor.kind is Kind.SITE and args.kind is Kind.CELL:
        cells = [cell.id for cell in topology.of_kind(Kind.CELL) if cell.parent_id == anchor.id]
        mark = ledger.add("inventory", entity=anchor.id, kpi="cells", value=float(len(cells)))
        names = ledger.add("inventory", entity=anchor.id, kpi="cell ids", value=", ".join(cells))
        return Finding(
            text=f"{anchor.id} has {len(cells)} cells {mark}: {', '.join(cells)} {names}.", subjects=(anchor.id,)
        )
    if anchor.kind is Kind.CELL and args.kind is Kind.UE:
        at_s, _, serving = context.store.latest(Kind.UE, "vsData6gServingCell")
        number = int((serving == anchor.index).sum())
        mark = ledger.add("telemetry", entity=anchor.id, kpi="served UEs", value=float(number), at_s=at_s)
        return Finding(text=f"{anchor.id} serves {number} UEs {mark}.", subjects=(anchor.id,))
    found = _near(context, args, anchor)
    radius = ledger.add("derived", entity=anchor.id, kpi="radius", value=args.radius_m, unit="m")
    mark = ledger.add("inventory", entity=anchor.id, kpi=f"{plural} nearby", value=float(len(found)))
    text = f"There are {len(found)} {plural} {mark} within {args.radius_m:.0f} m {radius} of {anchor.id}"
    if 0 < len(found) <= 8 and args.kind is not Kind.UE:
        names = ledger.add("inventory", entity=anchor.id, kpi="ids", value=", ".join(found))
        text += f": {', '.join(found)} {names}"
    return Finding(text=text + ".", subjects=(anchor.id, *found[:8]))


def _near(context: ToolContext, args: Counting, anchor: Entity) -> list[str]:
    topology = context.inventory.topology
    if args.kind is Kind.UE:
        _, ids, placed = context.store.positions()
        away_m = np.hypot(placed[:, 0] - anchor.position_m[0], placed[:, 1] - anchor.position_m[1])
        return [ue for ue, distance_m in zip(ids, away_m.tolist(), strict=True) if distance_m <= args.radius_m]
    rows = [
        (math.hypot(e.position_m[0] - anchor.position_m[0], e.position_m[1] - anchor.position_m[1]), e.id)
        for e in topology.of_kind(args.kind)
        if e.id != anchor.id
    ]
    return [entity_id for distance_m, entity_id in sorted(rows) if distance_m <= args.radius_m]


async def network_overview(context: ToolContext, args: NoArguments) -> Finding:
    """Size, alarms and the main figures of the last ten minutes."""
    del args
    topology, ledger, now_s = context.inventory.topology, context.ledger, context.inventory.now_s
    parts: list[str] = []
    for kind, label in ((Kind.SITE, "sites"), (Kind.CELL, "cells"), (Kind.UE, "UEs")):
        number = len(topology.of_kind(kind))
        mark = ledger.add("inventory", kpi=label, value=float(number), at_s=now_s)
        parts.append(f"{number} {label} {mark}")
    active = context.alarms.active()
    mark = ledger.add("alarms", kpi="active alarms", value=float(len(active)), at_s=now_s)
    standing = "1 alarm is active" if len(active) == 1 else f"{len(active)} alarms are active"
    text = f"The network has {', '.join(parts)}. {standing} {mark}"
    if active:
        worst = active[0]
        problem = ledger.add(
            "alarms", entity=worst.entity_id, kpi=worst.id, value=worst.specific_problem, at_s=worst.raised_at_s
        )
        text += f", the newest on {worst.entity_id}: {worst.specific_problem} {problem}"
    text += "."
    window = Window(start_s=now_s - 600.0, end_s=now_s)
    figures: list[str] = []
    for name in _OVERVIEW:
        row = kpi(name)
        ids, values = await context.store.window(Kind.CELL, name, start_s=window.start_s, end_s=window.end_s)
        known = values[~np.isnan(values)]
        if known.size == 0 or not ids:
            continue
        value = float(known.mean())
        mark = ledger.add("derived", kpi=name, value=value, unit=row.unit, start_s=window.start_s, end_s=window.end_s)
        figures.append(f"{row.label} {say(row, value)} {mark}")
    if figures:
        text += f" Mean over the cells in the last ten minutes: {', '.join(figures)}."
    return Finding(text=text, subjects=tuple(alarm.entity_id for alarm in active[:1]))


TOOLS: Final = (
    Tool(
        name="describe_entity",
        description="Settings, position, parent and alarms of one entity.",
        input_model=OneEntity,
        run=describe_entity,
        examples=("Tell me about cell 7-2", "What is the tilt of 7-2?"),
    ),
    Tool(
        name="count_entities",
        description="How many sites, cells, UEs, buildings ... there are, everywhere or near something.",
        input_model=Counting,
        run=count_entities,
        examples=("How many cells are there?", "How many users are near the station?"),
    ),
    Tool(
        name="network_overview",
        description="The state of the whole network at a glance.",
        input_model=NoArguments,
        run=network_overview,
        examples=("How is the network doing?",),
    ),
)
