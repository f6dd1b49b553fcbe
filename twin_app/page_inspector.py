"""One entity as people read it: words, degrees and dBm, newest figures, who is next to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from twin.attributes import attribute, describe
from twin.entities import Kind
from twin.errors import TwinError
from twin.kpi import kpis_of

if TYPE_CHECKING:
    from twin.attributes import AttributeValue
    from twin.ports import Inventory, TelemetryStore
    from twin.scenario import Scenario
    from twin.topology import Entity, Topology

_MAX_RELATED = 40


class Fact(BaseModel):
    """A label and what stands beside it."""

    label: str
    text: str


class LiveFigure(BaseModel):
    """The newest value of one KPI; `value` is null while nothing was measured."""

    name: str
    label: str
    unit: str
    decimals: int
    good: str
    value: float | None


class Related(BaseModel):
    """Another entity and what it is to this one."""

    id: str
    name: str
    relation: str = Field(examples=["neighbour", "sector", "site", "serving cell", "end"])


class Inspection(BaseModel):
    """What the inspector shows of one entity."""

    id: str
    kind: str
    name: str
    dn: str
    aliases: list[str]
    position_m: tuple[float, float, float]
    attributes: list[Fact]
    facts: list[Fact]
    figures: list[LiveFigure]
    related: list[Related]
    related_left_out: int
    at: str = Field(description="Simulated now, RFC 3339")


def _metres(value: AttributeValue) -> str:
    return f"{float(value):.4g} m"


def _scaled(value: AttributeValue, unit: str) -> str:
    number = float(value)
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= factor:
            return f"{number / factor:.4g} {prefix}{unit}"
    return f"{number:.4g} {unit}"


def _property(name: str, value: AttributeValue) -> Fact:
    """Return a property of the inventory in words; the unit is the ending of its name."""
    stem, _, unit = name.rpartition("_")
    match unit if stem else "":
        case "m":
            return Fact(label=stem.replace("_", " "), text=_metres(value))
        case "deg":
            return Fact(label=stem.replace("_", " "), text=f"{float(value):.4g}°")
        case "hz":
            return Fact(label=stem.replace("_", " "), text=_scaled(value, "Hz"))
        case "bps":
            return Fact(label=stem.replace("_", " "), text=_scaled(value, "bit/s"))
        case _:
            words = {"sST": "slice type (SST)"}.get(name, name.replace("_", " "))
            return Fact(label=words, text=f"{value:g}" if isinstance(value, float | int) else value.replace("_", " "))


def _figures(entity: Entity, store: TelemetryStore) -> list[LiveFigure]:
    figures: list[LiveFigure] = []
    for row in kpis_of(entity.kind):
        if row.name == "vsData6gServingCell":  # a number of the wire; shown as a name under `related`
            continue
        value = _latest(store, entity, row.name)
        figures.append(
            LiveFigure(name=row.name, label=row.label, unit=row.unit, decimals=row.decimals, good=row.good, value=value)
        )
    return figures


def _latest(store: TelemetryStore, entity: Entity, kpi: str) -> float | None:
    try:
        _, ids, values = store.latest(entity.kind, kpi)
        value = float(values[ids.index(entity.id)])
    except (TwinError, ValueError):  # never measured, or not for this one: the page shows a dash
        return None
    return value if math.isfinite(value) else None


def _position(entity: Entity, store: TelemetryStore) -> tuple[float, float, float]:
    if entity.kind is Kind.UE:
        _, ids, position_m = store.positions()
        if entity.id in ids:
            east, north, up = (float(value) for value in position_m[ids.index(entity.id)])
            if math.isfinite(east):  # not seen by any batch yet: its home stands in the inventory
                return east, north, up
    return entity.position_m


def _related_ids(
    entity: Entity, scenario: Scenario, store: TelemetryStore, topology: Topology
) -> list[tuple[str, str]]:
    match entity.kind:
        case Kind.CELL:
            neighbours = [(n.target_id, "neighbour") for n in scenario.neighbours if n.source_id == entity.id]
            return [(entity.parent_id, "site"), *neighbours]
        case Kind.SITE:
            sectors = [(cell.id, "sector") for cell in scenario.cells if cell.site_id == entity.id]
            return sectors + [(k.id, "backhaul") for k in scenario.links if entity.id in {k.a_id, k.b_id}]
        case Kind.NODE:
            return [(k.id, "link") for k in scenario.links if entity.id in {k.a_id, k.b_id}]
        case Kind.LINK:
            return [(str(entity.properties[end]), "end") for end in ("a_id", "b_id") if end in entity.properties]
        case Kind.UE:
            slice_id = str(entity.properties.get("slice_id", ""))
            index = _latest(store, entity, "vsData6gServingCell")
            serving = [(topology.at(int(index)).id, "serving cell")] if index is not None and index >= 0 else []
            return [*serving, (slice_id, "slice")]
        case Kind.RELATION:
            return [(str(entity.properties[end]), end.removesuffix("_id")) for end in ("source_id", "target_id")]
        case Kind.POLICY:
            return [(entity.parent_id, "site"), (str(entity.properties["slice_id"]), "slice")]
        case Kind.RIS:
            return [(str(entity.properties["cell_id"]), "lit by")]
        case Kind.SLICE | Kind.BUILDING | Kind.PLACE | Kind.TARGET:
            return []


def inspect_entity(entity_id: str, *, scenario: Scenario, inventory: Inventory, store: TelemetryStore) -> Inspection:
    """Return one entity in words.

    Raises:
        UnknownEntity: No entity has this id.
    """
    topology = inventory.topology
    entity = topology.get(entity_id)
    related = [
        Related(id=other, name=topology.get(other).name, relation=relation)
        for other, relation in _related_ids(entity, scenario, store, topology)
        if other in topology
    ]
    shown_as_related = {"a_id", "b_id", "slice_id"}
    return Inspection(
        id=entity.id,
        kind=entity.kind.value,
        name=entity.name,
        dn=entity.dn,
        aliases=list(entity.aliases),
        position_m=_position(entity, store),
        attributes=[
            Fact(label=attribute(name).label, text=describe(name, value)) for name, value in entity.attributes.items()
        ],
        facts=[_property(name, value) for name, value in entity.properties.items() if name not in shown_as_related],
        figures=_figures(entity, store),
        related=related[:_MAX_RELATED],
        related_left_out=max(0, len(related) - _MAX_RELATED),
        at=inventory.civil.rfc3339(inventory.now_s),
    )
