"""What the tools share: reading a KPI over a window, and saying figures and times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from agent.grounding import say_time
from twin.entities import Kind
from twin.errors import InvalidInput
from twin.kpi import Kpi, kpi, kpis_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agent.registry import ToolContext
    from agent.tools.inputs import Window
    from twin.topology import Entity


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One KPI of one entity reduced over a window.

    Attributes:
        value: NaN without data.
        low: Smallest sample, NaN without data.
        high: Largest sample.
        samples: How many periods carried a value.
        first_s: End of the first period with a value.
        last_s: End of the last.
        points: (simulated seconds, value or None).
    """

    value: float
    low: float
    high: float
    samples: int
    first_s: float
    last_s: float
    granularity_s: int
    points: tuple[tuple[float, float | None], ...]


def say(row: Kpi, value: float) -> str:
    """Return a value with its unit, rounded as the KPI table says."""
    number = f"{value:.{row.decimals}f}"
    if float(number) == 0.0:
        number = number.removeprefix("-")
    return f"{number} {row.unit}" if row.unit and row.unit != "%" else f"{number}{row.unit}"


def say_window(context: ToolContext, window: Window) -> str:
    """Return "from 13:55 to 14:05" in civil time; the caller must put the window into the evidence."""
    civil = context.inventory.civil
    now = civil.at(context.inventory.now_s)
    start, end = civil.at(window.start_s), civil.at(window.end_s)
    if window.end_s - window.start_s < 120.0:
        return f"in the minute before {say_time(end, now)}"
    if start.date() == end.date():
        return f"from {say_time(start, now)} to {end.strftime('%H:%M')}"
    return f"from {say_time(start, now)} to {say_time(end, now)}"


def say_at(context: ToolContext, sim_time_s: float) -> str:
    """Return a civil time for people."""
    civil = context.inventory.civil
    return say_time(civil.at(sim_time_s), civil.at(context.inventory.now_s))


class Span(TypedDict, total=False):
    """The window of an evidence row, for `Ledger.add`."""

    start_s: float
    end_s: float


def span_of(window: Window | None) -> Span:
    """Return a window as arguments of `Ledger.add`."""
    return {} if window is None else {"start_s": window.start_s, "end_s": window.end_s}


def kpi_for(entity: Entity, name: str) -> Kpi:
    """Return the KPI row if this kind of entity has it (a site is read through its cells).

    Raises:
        UnknownName: No such KPI. InvalidInput: The kind has none.
    """
    row = kpi(name)
    kind = Kind.CELL if entity.kind is Kind.SITE else entity.kind
    if kind not in row.kinds:
        has = ", ".join(known.label for known in kpis_of(kind)) or "no KPIs"
        raise InvalidInput(f"a {entity.kind.value} has no {row.label}; it has: {has}")
    return row


def reduce(row: Kpi, values: NDArray[np.float32]) -> float:
    """Return the values ``[n] float32`` reduced by the KPI's own rule, NaN without data."""
    known = values[~np.isnan(values)].astype(np.float64)
    if known.size == 0:
        return float("nan")
    return float({"mean": known.mean, "sum": known.sum, "max": known.max}[row.reduce]())


async def read_kpi(context: ToolContext, entity: Entity, row: Kpi, window: Window) -> Reading:
    """Read a KPI of an entity; of a site, over its cells period by period."""
    ids = [entity.id]
    if entity.kind is Kind.SITE:
        cells = context.inventory.topology.of_kind(Kind.CELL)
        ids = [cell.id for cell in cells if cell.parent_id == entity.id]
    merged: dict[float, list[float]] = {}
    granularity_s = 0
    for entity_id in ids:
        series = await context.store.series(entity_id, row.name, start_s=window.start_s, end_s=window.end_s)
        granularity_s = max(granularity_s, series.granularity_s)
        for time_s, value in zip(series.time_s.tolist(), series.value.tolist(), strict=True):
            merged.setdefault(time_s, []).append(value)
    points = tuple((time_s, _merge(row, values)) for time_s, values in sorted(merged.items()))
    known = np.array([value for _, value in points if value is not None], dtype=np.float32)
    times = [time_s for time_s, value in points if value is not None]
    empty = known.size == 0
    return Reading(
        value=reduce(row, known),
        low=float("nan") if empty else float(known.min()),
        high=float("nan") if empty else float(known.max()),
        samples=int(known.size),
        first_s=times[0] if times else float("nan"),
        last_s=times[-1] if times else float("nan"),
        granularity_s=granularity_s,
        points=points,
    )


def _merge(row: Kpi, values: list[float]) -> float | None:
    merged = reduce(row, np.array(values, dtype=np.float32))
    return None if np.isnan(merged) else merged


def missing_note(context: ToolContext, reading: Reading, window: Window, *, entity: str, kpi_name: str) -> str:
    """Return a sentence when the figures cover clearly less than the window, "" when they cover it."""
    slack_s = max(2.0 * reading.granularity_s, 0.1 * (window.end_s - window.start_s), 5.0)
    if reading.samples and reading.first_s - window.start_s > slack_s:
        mark = context.ledger.add("telemetry", entity=entity, kpi=kpi_name, value="first sample", at_s=reading.first_s)
        return f" There are no figures before {say_at(context, reading.first_s)} {mark}."
    if reading.samples and window.end_s - reading.last_s > slack_s:
        mark = context.ledger.add("telemetry", entity=entity, kpi=kpi_name, value="last sample", at_s=reading.last_s)
        return f" There are no figures after {say_at(context, reading.last_s)} {mark}."
    return ""
