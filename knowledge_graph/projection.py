"""From the twin's own values to rows of the graph: pure functions, no engine.

Truth is the scenario and the journal; what is made here can be made again at any time. A row is a mapping from
property names of :mod:`knowledge_graph.schema` to plain values; a relation's row has ``from_id`` and ``to_id`` too.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from knowledge_graph.schema import LABEL_OF_KIND, RELATION, attribute_property
from twin.attributes import ATTRIBUTES
from twin.control import ChangeState
from twin.entities import Kind
from twin.shortest_ways import hops, shortest_ways

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twin.alarms import Alarm
    from twin.control import Change
    from twin.scenario import Scenario
    from twin.topology import Entity, Topology

Row = dict[str, Any]
Ends = tuple[str, str, str]
"""Relation, from label, to label."""

_CELL_ATTRIBUTES = {attribute_property(row.name): row.name for row in ATTRIBUTES if row.kind is Kind.CELL}


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPicture:
    """Everything that the graph is made of.

    Attributes:
        scenario: Gives the neighbour relations.
        topology: Gives every entity with its configured attributes.
        alarms: Active and cleared ones, from the journal.
        changes: All changes, from the journal.
    """

    scene_id: str
    scenario: Scenario
    topology: Topology
    alarms: tuple[Alarm, ...] = ()
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphRows:
    """Rows per label and per relation with its two ends."""

    nodes: dict[str, list[Row]]
    relations: dict[Ends, list[Row]]

    def add_node(self, label: str, row: Row) -> None:
        """Append a node."""
        self.nodes.setdefault(label, []).append(row)

    def add_relation(self, name: str, from_label: str, to_label: str, row: Row) -> None:
        """Append a relationship."""
        self.relations.setdefault((name, from_label, to_label), []).append(row)


def milliseconds(sim_time_s: float | None) -> int | None:
    """Return simulated seconds as whole milliseconds."""
    return None if sim_time_s is None else round(sim_time_s * 1000)


def label_of(topology: Topology, entity_id: str) -> str | None:
    """Return the label of an entity that is a node, None for a UE or something that does not exist."""
    if entity_id not in topology:
        return None
    label = LABEL_OF_KIND.get(topology.get(entity_id).kind.value)
    return label.name if label else None


def rows_of(picture: GraphPicture) -> GraphRows:
    """Return the whole graph as rows."""
    rows = GraphRows({}, {})
    add_inventory(rows, picture)
    for alarm in picture.alarms:
        add_alarm(rows, alarm, picture.topology)
    known = {change.id for change in picture.changes}
    for change in picture.changes:
        add_change(rows, change, picture.topology, scene_id=picture.scene_id, known=known)
    return rows


def add_inventory(rows: GraphRows, picture: GraphPicture) -> None:
    """Append every entity that has a label, but the UEs, and what connects them."""
    topology = picture.topology
    subscribed = Counter(str(ue.properties.get("slice_id", "")) for ue in topology.of_kind(Kind.UE))
    for entity in topology.entities:
        if entity.kind is Kind.UE or entity.kind.value not in LABEL_OF_KIND:
            continue
        node = _node(entity, scene_id=picture.scene_id, revision=topology.revision)
        if entity.kind is Kind.SLICE:
            node["ue_count"] = subscribed[entity.id]
        rows.add_node(LABEL_OF_KIND[entity.kind.value].name, node)
        if entity.kind is Kind.CELL and entity.parent_id in topology:
            rows.add_relation("HAS_CELL", "Site", "Cell", {"from_id": entity.parent_id, "to_id": entity.id})
        elif entity.kind is Kind.LINK:
            _add_ends(rows, entity, topology)
    _add_ways(rows, topology)
    for relation in topology.of_kind(Kind.RELATION):
        rows.add_relation(
            "NEIGHBOUR_OF",
            "Cell",
            "Cell",
            {
                "from_id": relation.properties["source_id"],
                "to_id": relation.properties["target_id"],
                "cell_individual_offset_db": float(relation.attributes["cellIndividualOffset"]),
            },
        )


def _node(entity: Entity, *, scene_id: str, revision: int) -> Row:
    label = LABEL_OF_KIND[entity.kind.value]
    row: Row = {
        "id": entity.id,
        "kind": label.kind,
        "scene_id": scene_id,
        "name": entity.name,
        "dn": entity.dn,
        "aliases": list(entity.aliases),
        "east_m": float(entity.position_m[0]),
        "north_m": float(entity.position_m[1]),
        "up_m": float(entity.position_m[2]),
        **entity.properties,
    }
    if entity.kind is Kind.CELL:
        row |= cell_attributes(entity, revision=revision)
    names = {prop.name for prop in label.properties if not prop.live}
    return {name: value for name, value in row.items() if name in names}


def cell_attributes(entity: Entity, *, revision: int) -> Row:
    """Return the configured attributes of a cell, 3GPP names and units, None where it has none."""
    values = {column: entity.attributes.get(name) for column, name in _CELL_ATTRIBUTES.items()}
    frequencies = {name: entity.properties.get(name) for name in ("carrier_hz", "bandwidth_hz")}
    return values | frequencies | {"configuration_revision": revision}


def _ends(link: Entity) -> tuple[str, str]:
    return str(link.properties.get("a_id", "")), str(link.properties.get("b_id", ""))


def _add_ends(rows: GraphRows, link: Entity, topology: Topology) -> None:
    for side, end in zip("ab", _ends(link), strict=True):
        label = label_of(topology, end)
        if label is not None:
            rows.add_relation("END_OF", label, "TransportLink", {"from_id": end, "to_id": link.id, "side": side})


def _add_ways(rows: GraphRows, topology: Topology) -> None:
    """Append the hops that traffic takes towards the core as links are configured; links in reserve are no hop."""
    places = [*topology.of_kind(Kind.SITE), *topology.of_kind(Kind.NODE)]
    number = {place.id: row for row, place in enumerate(places)}
    links = [link for link in topology.of_kind(Kind.LINK) if number.keys() >= set(_ends(link))]
    ends = [(number[a], number[b]) for a, b in map(_ends, links)]
    metric = [
        float(link.attributes.get("vsDataTransport.igpMetric", 10.0))
        if link.attributes.get("administrativeState", "UNLOCKED") == "UNLOCKED"
        else math.inf
        for link in links
    ]
    core = [number[node.id] for node in topology.of_kind(Kind.NODE) if node.properties.get("role") == "upf"]
    distance, _ = shortest_ways(len(places), ends, metric, core)
    for row, far, near in hops(distance, ends, metric):
        rows.add_relation(
            "BACKHAUL",
            LABEL_OF_KIND[places[far].kind.value].name,
            LABEL_OF_KIND[places[near].kind.value].name,
            {
                "from_id": places[far].id,
                "to_id": places[near].id,
                "link_id": links[row].id,
                "capacity_bps": float(links[row].properties.get("capacity_bps", 0.0)),
            },
        )


def add_alarm(rows: GraphRows, alarm: Alarm, topology: Topology) -> None:
    """Append an alarm and what it is raised on."""
    first = alarm.evidence[0] if alarm.evidence else None
    rows.add_node(
        "Alarm",
        {
            "id": alarm.id,
            "kind": "alarm",
            "scene_id": alarm.scene_id,
            "name": alarm.specific_problem,
            "entity_id": alarm.entity_id,
            "dn": alarm.dn,
            "probable_cause": alarm.probable_cause,
            "perceived_severity": alarm.perceived_severity.value,
            "event_type": alarm.event_type,
            "specific_problem": alarm.specific_problem,
            "evidence_kpi": first.kpi if first else "",
            "evidence_value": float(first.value) if first else None,
            "evidence_expected": float(first.expected) if first else None,
            "valid_from_ms": milliseconds(alarm.raised_at_s),
            "valid_to_ms": milliseconds(alarm.cleared_at_s),
        },
    )
    _add_about(rows, "RAISED_ON", "Alarm", {"from_id": alarm.id, "to_id": alarm.entity_id}, topology)


def add_change(rows: GraphRows, change: Change, topology: Topology, *, scene_id: str, known: Iterable[str]) -> None:
    """Append a change, what it touches, and which of the `known` changes it takes back."""
    rolled_back = change.state is ChangeState.ROLLED_BACK
    rows.add_node(
        "Change",
        {
            "id": change.id,
            "kind": "change",
            "scene_id": scene_id,
            "name": "; ".join(action.sentence for action in change.actions),
            "state": change.state.value,
            "reason": change.reason,
            "proposed_by": change.proposed_by,
            "approved_by": change.approved_by,
            "outcome": change.outcome,
            "proposed_at_ms": milliseconds(change.proposed_at_sim_s),
            "finished_at_ms": milliseconds(change.finished_at_sim_s),
            "valid_from_ms": milliseconds(change.applied_at_sim_s),
            "valid_to_ms": milliseconds(change.finished_at_sim_s) if rolled_back else None,
        },
    )
    for action in change.actions:
        enumeration = isinstance(action.value, str)
        _add_about(
            rows,
            "TOUCHES",
            "Change",
            {
                "from_id": change.id,
                "to_id": action.entity_id,
                "attribute": action.attribute,
                "unit": action.unit,
                "sentence": action.sentence,
                "old_number": None if enumeration else float(action.old_value),
                "new_number": None if enumeration else float(action.value),
                "old_text": str(action.old_value) if enumeration else "",
                "new_text": str(action.value) if enumeration else "",
            },
            topology,
        )
    if change.undoes and change.undoes in set(known):
        rows.add_relation("UNDOES", "Change", "Change", {"from_id": change.id, "to_id": change.undoes})


def _add_about(rows: GraphRows, relation: str, from_label: str, row: Row, topology: Topology) -> None:
    label = label_of(topology, row["to_id"])
    if label is not None and (from_label, label) in RELATION[relation].ends:
        rows.add_relation(relation, from_label, label, row)
