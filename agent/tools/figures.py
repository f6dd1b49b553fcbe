"""Tools that read figures: one KPI, rankings, aggregates, comparisons, history."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from agent.registry import Finding, Tool
from agent.tools.inputs import Aggregate, Comparison, EntityKpi, Ranking, Window
from agent.tools.reading import kpi_for, missing_note, read_kpi, reduce, say, say_at, say_window, span_of
from twin.entities import Kind
from twin.errors import InvalidInput
from twin.kpi import Kpi, kpi

if TYPE_CHECKING:
    from agent.registry import ToolContext

_MAX_POINTS: Final = 300


def _none(context: ToolContext, window: Window, *, what: str, row: Kpi, entity: str | None) -> str:
    mark = context.ledger.add(
        "telemetry", entity=entity, kpi=row.name, unit=row.unit, start_s=window.start_s, end_s=window.end_s
    )
    return f"There are no figures for the {row.label} of {what} {say_window(context, window)} {mark}."


async def kpi_of_entity(context: ToolContext, args: EntityKpi) -> Finding:
    """One KPI of one entity over a window."""
    entity = context.inventory.topology.get(args.entity)
    row = kpi_for(entity, args.kpi)
    reading = await read_kpi(context, entity, row, args.window)
    if not reading.samples:
        text = _none(context, args.window, what=entity.id, row=row, entity=entity.id)
        return Finding(text=text, subjects=(entity.id,))

    def note(value: float) -> str:
        return context.ledger.add(
            "telemetry",
            entity=entity.id,
            kpi=row.name,
            value=value,
            unit=row.unit,
            start_s=args.window.start_s,
            end_s=args.window.end_s,
        )

    over = " over its cells" if entity.kind is Kind.SITE else ""
    mark = note(reading.value)
    text = (
        f"The {row.label} of {entity.id}{over} {say_window(context, args.window)} is {say(row, reading.value)} {mark}"
    )
    if reading.samples > 1 and row.reduce == "mean" and say(row, reading.low) != say(row, reading.high):
        low, high = note(reading.low), note(reading.high)
        text += f", between {say(row, reading.low)} {low} and {say(row, reading.high)} {high}"
    text += "."
    text += missing_note(context, reading, args.window, entity=entity.id, kpi_name=row.name)
    return Finding(text=text, subjects=(entity.id,))


async def _all_of(context: ToolContext, kind: Kind, row: Kpi, window: Window) -> list[tuple[str, float]]:
    """Return (id, value) of every entity of a kind that has figures; sites through their cells."""
    asked = Kind.CELL if kind is Kind.SITE else kind
    if asked not in row.kinds:
        raise InvalidInput(f"a {kind.value} has no {row.label}")
    if asked is Kind.UE:
        _, ids, values = context.store.latest(Kind.UE, row.name)
    else:
        ids, values = await context.store.window(asked, row.name, start_s=window.start_s, end_s=window.end_s)
    rows = [(i, v) for i, v in zip(ids, values.tolist(), strict=True) if not math.isnan(v)]
    if kind is not Kind.SITE:
        return rows
    topology = context.inventory.topology
    grouped: dict[str, list[float]] = {}
    for cell_id, value in rows:
        grouped.setdefault(topology.get(cell_id).parent_id, []).append(value)
    return [(site, reduce(row, np.array(values, np.float32))) for site, values in grouped.items()]


async def rank_entities(context: ToolContext, args: Ranking) -> Finding:
    """The entities of a kind with the largest or smallest values."""
    row = kpi(args.kpi)
    rows = await _all_of(context, args.kind, row, args.window)
    if not rows:
        return Finding(text=_none(context, args.window, what=f"any {args.kind.value}", row=row, entity=None))
    sign = -1.0 if args.order == "top" else 1.0
    best = sorted(rows, key=lambda pair: (sign * pair[1], pair[0]))[: args.count]
    word = "highest" if args.order == "top" else "lowest"
    parts: list[str] = []
    for entity_id, value in best:
        mark = context.ledger.add(
            "telemetry",
            entity=entity_id,
            kpi=row.name,
            value=value,
            unit=row.unit,
            start_s=args.window.start_s,
            end_s=args.window.end_s,
        )
        parts.append(f"{entity_id} with {say(row, value)} {mark}")
    when = say_window(context, args.window)
    if len(best) == 1:
        text = f"The {args.kind.value} with the {word} {row.label} {when} is {parts[0]}."
    else:
        text = f"The {word} {row.label} {when}: {'; '.join(parts)}."
    return Finding(text=text, subjects=tuple(entity_id for entity_id, _ in best))


async def aggregate_kpi(context: ToolContext, args: Aggregate) -> Finding:
    """One figure over all entities of a kind."""
    row = kpi(args.kpi)
    rows = await _all_of(context, args.kind, row, args.window)
    if not rows:
        return Finding(text=_none(context, args.window, what=f"the {args.kind.value}s", row=row, entity=None))
    values = np.array([value for _, value in rows])
    functions = {"mean": np.mean, "sum": np.sum, "min": np.min, "max": np.max, "median": np.median}
    value = float(functions[args.function](values))
    span = span_of(args.window)
    mark = context.ledger.add("derived", kpi=row.name, value=value, unit=row.unit, **span)
    count = context.ledger.add("telemetry", kpi=f"{args.kind.value}s with figures", value=float(len(rows)), **span)
    word = {"mean": "mean", "sum": "sum", "min": "smallest", "max": "largest", "median": "median"}[args.function]
    text = (
        f"The {word} {row.label} over {len(rows)} {args.kind.value}s {count} {say_window(context, args.window)}"
        f" is {say(row, value)} {mark}."
    )
    return Finding(text=text)


async def compare_entities(context: ToolContext, args: Comparison) -> Finding:
    """One KPI of two entities over the same window."""
    topology = context.inventory.topology
    parts: list[str] = []
    values: list[float] = []
    row = kpi(args.kpi)
    for entity_id in (args.entity_a, args.entity_b):
        entity = topology.get(entity_id)
        row = kpi_for(entity, args.kpi)
        reading = await read_kpi(context, entity, row, args.window)
        if not reading.samples:
            return Finding(text=_none(context, args.window, what=entity.id, row=row, entity=entity.id))
        mark = context.ledger.add(
            "telemetry",
            entity=entity.id,
            kpi=row.name,
            value=reading.value,
            unit=row.unit,
            start_s=args.window.start_s,
            end_s=args.window.end_s,
        )
        parts.append(f"{entity.id} has {say(row, reading.value)} {mark}")
        values.append(reading.value)
    difference = values[0] - values[1]
    mark = context.ledger.add("derived", entity=args.entity_a, kpi=row.name, value=difference, unit=row.unit)
    unit = row.unit.replace("dBm", "dB")
    size = f"{abs(difference):.{row.decimals}f}{unit if unit == '%' else ' ' + unit if unit else ''}"
    text = f"{row.label[0].upper()}{row.label[1:]} {say_window(context, args.window)}: {parts[0]}, {parts[1]}."
    if float(f"{abs(difference):.{row.decimals}f}") == 0.0:
        text += " They are equal at this precision."
    else:
        word = "higher" if difference > 0 else "lower"
        better = ""
        if row.good != "none":
            better = ", which is better" if (difference > 0) == (row.good == "up") else ", which is worse"
        text += f" {args.entity_a} is {size} {word} {mark}{better}."
    return Finding(text=text, subjects=(args.entity_a, args.entity_b))


async def history_chart(context: ToolContext, args: EntityKpi) -> Finding:
    """The course of a KPI, as a series to draw and in words."""
    entity = context.inventory.topology.get(args.entity)
    row = kpi_for(entity, args.kpi)
    reading = await read_kpi(context, entity, row, args.window)
    if not reading.samples:
        text = _none(context, args.window, what=entity.id, row=row, entity=entity.id)
        return Finding(text=text, subjects=(entity.id,))
    step = max(1, math.ceil(len(reading.points) / _MAX_POINTS))
    span = span_of(args.window)
    mark = context.ledger.add(
        "telemetry", entity=entity.id, kpi=row.name, series=reading.points[::step], unit=row.unit, **span
    )
    known = [(t, v) for t, v in reading.points if v is not None]
    low, high = min(known, key=lambda p: p[1]), max(known, key=lambda p: p[1])

    def note(point: tuple[float, float]) -> str:
        return context.ledger.add(
            "telemetry", entity=entity.id, kpi=row.name, value=point[1], unit=row.unit, at_s=point[0]
        )

    first, last = known[0], known[-1]
    trend = f"It goes from {say(row, first[1])} {note(first)} to {say(row, last[1])} {note(last)}"
    text = (
        f"Here is the {row.label} of {entity.id} {say_window(context, args.window)} {mark}. {trend};"
        f" lowest {say(row, low[1])} at {say_at(context, low[0])} {note(low)},"
        f" highest {say(row, high[1])} at {say_at(context, high[0])} {note(high)}."
    )
    text += missing_note(context, reading, args.window, entity=entity.id, kpi_name=row.name)
    return Finding(text=text, subjects=(entity.id,))


TOOLS: Final = (
    Tool(
        name="kpi_of_entity",
        description="The value of one KPI of a cell, site, slice, link or UE over a time window.",
        input_model=EntityKpi,
        run=kpi_of_entity,
        examples=("What is the RSRP of cell 7-2?", "load of the eMBB slice in the last hour"),
    ),
    Tool(
        name="rank_entities",
        description="The cells, sites, links, slices or UEs with the largest or smallest value of a KPI.",
        input_model=Ranking,
        run=rank_entities,
        examples=("Which five cells are busiest?", "slowest cells since this morning"),
    ),
    Tool(
        name="aggregate_kpi",
        description="Mean, sum, smallest, largest or median of a KPI over all entities of a kind.",
        input_model=Aggregate,
        run=aggregate_kpi,
        examples=("average throughput over all cells", "total traffic today"),
    ),
    Tool(
        name="compare_entities",
        description="One KPI of two entities side by side.",
        input_model=Comparison,
        run=compare_entities,
        examples=("Compare the load of 7-1 and 7-2",),
    ),
    Tool(
        name="history_chart",
        description="The course of a KPI over time, as a chart.",
        input_model=EntityKpi,
        run=history_chart,
        effect="view",
        examples=("Plot the throughput of cell 7-2 since yesterday evening",),
    ),
)
