"""The one table of what the graph holds: labels, relations, properties with their units.

Pure data on top of :mod:`twin`: the embedded store makes its tables from it, the linter checks the query files
against it, ``docs/knowledge-graph.md`` is drawn from it, and a second store will make its constraints from it.
Telemetry samples never become nodes: a node holds the last value of a KPI and a rolling mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from twin.attributes import ATTRIBUTES
from twin.entities import Kind
from twin.kpi import kpis_of


class Type(StrEnum):
    """Property types that every store has."""

    TEXT = "STRING"
    TEXTS = "STRING[]"
    NUMBER = "DOUBLE"
    WHOLE = "INT64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One property of a label or relation.

    Attributes:
        unit: Unit symbol, "" for text and pure numbers; ``ms`` of time are simulated, since the scenario epoch.
        live: True when it is refreshed from telemetry and empty after a rebuild until the next refresh.
    """

    name: str
    type: Type = Type.TEXT
    unit: str = ""
    about: str = ""
    live: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One kind of node; ``id`` is its key.

    Attributes:
        kind: Value of the ``kind`` property of all its nodes (labels cannot be returned alike by all engines).
    """

    name: str
    kind: str
    about: str
    properties: tuple[Property, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One kind of relationship.

    Attributes:
        ends: Allowed (from label, to label) pairs.
    """

    name: str
    about: str
    ends: tuple[tuple[str, str], ...]
    properties: tuple[Property, ...] = ()


def kpi_property(kpi_name: str) -> str:
    """Return the property that carries the last value of a KPI: ``DRB.UEThpDl`` -> ``DRB_UEThpDl``."""
    return kpi_name.replace(".", "_")


def mean_property(kpi_name: str) -> str:
    """Return the property that carries the rolling mean of a watched KPI."""
    return f"{kpi_property(kpi_name)}_mean"


_TYPE_OF_ATTRIBUTE = {True: Type.TEXT, False: Type.NUMBER}

_COMMON = (
    Property(name="id", about="stable slug, the key"),
    Property(name="kind", about="the same word as the prefix of most ids"),
    Property(name="scene_id", about="the scene it belongs to"),
    Property(name="name", about="what people call it"),
)
_INVENTORY = (
    *_COMMON,
    Property(name="dn", about='3GPP distinguished name, "" when it has none'),
    Property(name="aliases", type=Type.TEXTS, about="other names people use"),
)
_POSITION = (
    Property(name="east_m", type=Type.NUMBER, unit="m", about="ENU east of the origin"),
    Property(name="north_m", type=Type.NUMBER, unit="m", about="ENU north of the origin"),
    Property(name="up_m", type=Type.NUMBER, unit="m", about="ENU up from the origin"),
)
_VALIDITY = (
    Property(name="valid_from_ms", type=Type.WHOLE, unit="ms", about="simulated time from which it holds"),
    Property(name="valid_to_ms", type=Type.WHOLE, unit="ms", about="simulated time at which it ended, empty = holds"),
)


def _figures(kind: Kind) -> tuple[Property, ...]:
    rows: list[Property] = []
    for kpi in kpis_of(kind):
        rows.append(
            Property(
                name=kpi_property(kpi.name),
                type=Type.NUMBER,
                unit=kpi.unit,
                about=f"last value of {kpi.name}: {kpi.label}",
                live=True,
            )
        )
        if kpi.watched:
            rows.append(
                Property(
                    name=mean_property(kpi.name),
                    type=Type.NUMBER,
                    unit=kpi.unit,
                    about=f"rolling mean of {kpi.name}",
                    live=True,
                )
            )
    rows.append(
        Property(name="figures_at_ms", type=Type.WHOLE, unit="ms", about="simulated time of the last values", live=True)
    )
    return tuple(rows)


def attribute_property(name: str) -> str:
    """Return the property that holds a managed attribute: its name without the class of a vendor extension."""
    return name.rpartition(".")[2]


_MANAGED = tuple(
    Property(
        name=attribute_property(row.name),
        type=_TYPE_OF_ATTRIBUTE[bool(row.choices)],
        unit=row.unit,
        about=f"{row.label}, configured",
    )
    for row in ATTRIBUTES
    if row.kind is Kind.CELL
)

LABELS: tuple[Label, ...] = (
    Label(
        name="Site",
        kind=Kind.SITE.value,
        about="a mast or roof with one gNB",
        properties=(
            *_INVENTORY,
            *_POSITION,
            Property(name="height_m", type=Type.NUMBER, unit="m", about="antennas above ground"),
        ),
    ),
    Label(
        name="Cell",
        kind=Kind.CELL.value,
        about="one sector carrier (NRCellDU)",
        properties=(
            *_INVENTORY,
            *_POSITION,
            Property(name="sector", type=Type.WHOLE, about="number of the sector at its site"),
            Property(name="azimuth_deg", type=Type.NUMBER, unit="deg", about="boresight, clockwise from north"),
            Property(name="carrier_hz", type=Type.NUMBER, unit="Hz", about="carrier frequency"),
            Property(name="bandwidth_hz", type=Type.NUMBER, unit="Hz", about="channel bandwidth"),
            Property(name="environment", about="path-loss scenario of TR 38.901"),
            *_MANAGED,
            Property(name="configuration_revision", type=Type.WHOLE, about="topology revision of the attributes"),
            Property(name="serving_count", type=Type.WHOLE, about="UEs served, the only trace of UEs", live=True),
            *_figures(Kind.CELL),
        ),
    ),
    Label(
        name="Slice",
        kind=Kind.SLICE.value,
        about="a network slice (S-NSSAI)",
        properties=(
            *_INVENTORY,
            Property(name="sST", type=Type.WHOLE, about="slice/service type"),
            Property(name="ue_count", type=Type.WHOLE, about="UEs subscribed in the inventory"),
            *_figures(Kind.SLICE),
        ),
    ),
    Label(
        name="TransportNode",
        kind=Kind.NODE.value,
        about="a router or the user-plane function",
        properties=(*_INVENTORY, *_POSITION, Property(name="role", about="aggregation or upf")),
    ),
    Label(
        name="TransportLink",
        kind=Kind.LINK.value,
        about="a backhaul link; what alarms and figures of a link hang on",
        properties=(
            *_INVENTORY,
            Property(name="capacity_bps", type=Type.NUMBER, unit="bit/s", about="capacity"),
            *_figures(Kind.LINK),
        ),
    ),
    Label(
        name="Place",
        kind=Kind.PLACE.value,
        about="a named spot people refer to",
        properties=(*_INVENTORY, *_POSITION, Property(name="category", about="kind of place, as in OpenStreetMap")),
    ),
    Label(
        name="Building",
        kind=Kind.BUILDING.value,
        about="a building, at the middle of its footprint",
        properties=(
            *_INVENTORY,
            *_POSITION,
            Property(name="height_m", type=Type.NUMBER, unit="m", about="roof above ground"),
            Property(name="height_source", about="tag height, levels, or seeded by footprint"),
            Property(name="land_use", about="residential, office, transport or entertainment"),
        ),
    ),
    Label(
        name="Alarm",
        kind="alarm",
        about="an alarm in the X.733 form, from raise (valid_from) to clear (valid_to)",
        properties=(
            *_COMMON,
            Property(name="entity_id", about="what it is raised on"),
            Property(name="dn", about="distinguished name of that"),
            Property(name="probable_cause", about="X.733 probableCause"),
            Property(name="perceived_severity", about="X.733 perceivedSeverity"),
            Property(name="event_type", about="X.733 eventType"),
            Property(name="specific_problem", about="what exactly, in plain words"),
            Property(name="evidence_kpi", about='KPI behind it, "" when none'),
            Property(name="evidence_value", type=Type.NUMBER, about="measured, in the unit of the KPI"),
            Property(name="evidence_expected", type=Type.NUMBER, about="expected, in the unit of the KPI"),
            *_VALIDITY,
        ),
    ),
    Label(
        name="Change",
        kind="change",
        about="a change of configuration; valid_from is when it was applied, valid_to when it was taken back",
        properties=(
            *_COMMON,
            Property(name="state", about="state of its life cycle"),
            Property(name="reason", about="why it was proposed"),
            Property(name="proposed_by", about="who proposed it"),
            Property(name="approved_by", about='who approved it, "" while nobody has'),
            Property(name="outcome", about="how it ended, in words"),
            Property(name="proposed_at_ms", type=Type.WHOLE, unit="ms", about="simulated time of the proposal"),
            Property(name="finished_at_ms", type=Type.WHOLE, unit="ms", about="simulated time of its end"),
            *_VALIDITY,
        ),
    ),
)

_CHANGEABLE = ("Site", "Cell", "Slice", "TransportNode", "TransportLink")

RELATIONS: tuple[Relation, ...] = (
    Relation(name="HAS_CELL", about="a site carries a cell", ends=(("Site", "Cell"),)),
    Relation(
        name="NEIGHBOUR_OF",
        about="an NRCellRelation, one way",
        ends=(("Cell", "Cell"),),
        properties=(
            Property(
                name="cell_individual_offset_db", type=Type.NUMBER, unit="dB", about="cellIndividualOffset of the pair"
            ),
        ),
    ),
    Relation(
        name="BACKHAUL",
        about="one hop that traffic takes towards the core; the hop is the link link_id, links in reserve are none",
        ends=(
            ("Site", "TransportNode"),
            ("Site", "Site"),
            ("TransportNode", "TransportNode"),
            ("TransportNode", "Site"),
        ),
        properties=(
            Property(name="link_id", about="the TransportLink of this hop"),
            Property(name="capacity_bps", type=Type.NUMBER, unit="bit/s", about="its capacity"),
        ),
    ),
    Relation(
        name="END_OF",
        about="a site or node is an end of a link",
        ends=(("Site", "TransportLink"), ("TransportNode", "TransportLink")),
        properties=(Property(name="side", about="a = farther from the core, b = nearer"),),
    ),
    Relation(
        name="RAISED_ON", about="an alarm is about an entity", ends=tuple(("Alarm", label) for label in _CHANGEABLE)
    ),
    Relation(
        name="TOUCHES",
        about="a change sets one attribute of an entity (3GPP name and unit)",
        ends=tuple(("Change", label) for label in _CHANGEABLE),
        properties=(
            Property(name="attribute", about="3GPP attribute name"),
            Property(name="unit", about="unit of the two numbers"),
            Property(name="sentence", about="the action in words"),
            Property(name="old_number", type=Type.NUMBER, about="value before, empty for an enumeration"),
            Property(name="new_number", type=Type.NUMBER, about="value after, empty for an enumeration"),
            Property(name="old_text", about='member before, "" for a number'),
            Property(name="new_text", about='member after, "" for a number'),
        ),
    ),
    Relation(name="UNDOES", about="a change takes another back", ends=(("Change", "Change"),)),
)

LABEL_OF_KIND = {label.kind: label for label in LABELS}
LABEL = {label.name: label for label in LABELS}
RELATION = {relation.name: relation for relation in RELATIONS}
