"""The schema and its rows in the words of the embedded engine: tables, bulk loads, updates.

Writing belongs to an adapter (one engine wants COPY, the other UNWIND and MERGE); only reading is shared, in
``queries/*.cypher``. All text is made from :mod:`knowledge_graph.schema`; values travel as parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowledge_graph.schema import LABEL, LABELS, RELATION, RELATIONS, Label, Property, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from knowledge_graph.child_link import Step
    from knowledge_graph.projection import GraphRows, Row

NODES_AT_ONCE = 2000
"""Rows of one statement; more cost memory and no longer save time."""


def tables() -> list[Step]:
    """Return the statements that make the empty tables."""
    texts = [*map(_node_table, LABELS), *map(_relation_table, RELATIONS)]
    return [(text, {}) for text in texts]


def _columns(properties: Sequence[Property]) -> str:
    return ", ".join(f"{prop.name} {prop.type.value}" for prop in properties)


def _node_table(label: Label) -> str:
    return f"CREATE NODE TABLE {label.name}({_columns(label.properties)}, PRIMARY KEY (id))"


def _relation_table(relation: Relation) -> str:
    ends = ", ".join(f"FROM {source} TO {target}" for source, target in relation.ends)
    extra = f", {_columns(relation.properties)}" if relation.properties else ""
    return f"CREATE REL TABLE {relation.name}({ends}{extra})"


def _value(prop: Property) -> str:
    # The engine types a parameter by its first rows; a column that is empty there needs to be told.
    return f"CAST(r.{prop.name} AS {prop.type.value})"


def load(rows: GraphRows) -> Iterator[Step]:
    """Yield the bulk loads of everything, nodes before relationships.

    Nodes go in by UNWIND and CREATE: as fast as COPY from a parameter, which keeps 20 to 60 MB per table for good.
    Relationships go in by COPY from a parameter: no file, and ten times as fast as matching both ends.
    """
    for label, batch in rows.nodes.items():
        properties = [prop for prop in LABEL[label].properties if not prop.live]
        values = ", ".join(f"{prop.name}: {_value(prop)}" for prop in properties)
        for start in range(0, len(batch), NODES_AT_ONCE):
            part = batch[start : start + NODES_AT_ONCE]
            full = [{prop.name: row.get(prop.name) for prop in properties} for row in part]
            yield f"UNWIND $rows AS r CREATE (:{label} {{{values}}})", {"rows": full}
    for (name, source, target), batch in rows.relations.items():
        values = ", ".join(["r.from_id", "r.to_id", *(_value(prop) for prop in RELATION[name].properties)])
        ends = f" (FROM='{source}', TO='{target}')" if len(RELATION[name].ends) > 1 else ""
        yield f"COPY {name} FROM (UNWIND $rows AS r RETURN {values}){ends}", {"rows": batch}


def merge(rows: GraphRows) -> Iterator[Step]:
    """Yield statements that put a few nodes and relationships, new or known; relationships of a node are replaced.

    For alarms and changes, which move on: an alarm is cleared, a change is approved.
    """
    for label, batch in rows.nodes.items():
        properties = [prop for prop in LABEL[label].properties if not prop.live and prop.name != "id"]
        full = [{"id": row["id"]} | {prop.name: row.get(prop.name) for prop in properties} for row in batch]
        sets = ", ".join(f"n.{prop.name} = {_value(prop)}" for prop in properties)
        yield f"UNWIND $rows AS r MERGE (n:{label} {{id: r.id}}) SET {sets}", {"rows": full}
        for relation in RELATIONS:
            if any(source == label for source, _ in relation.ends):
                ids = [row["id"] for row in batch]
                yield f"MATCH (n:{label})-[e:{relation.name}]->() WHERE n.id IN $ids DELETE e", {"ids": ids}
    for (name, source, target), batch in rows.relations.items():
        sets = ", ".join(f"{prop.name}: {_value(prop)}" for prop in RELATION[name].properties)
        ends = f"(a:{source} {{id: r.from_id}}), (b:{target} {{id: r.to_id}})"
        yield f"UNWIND $rows AS r MATCH {ends} CREATE (a)-[:{name} {{{sets}}}]->(b)", {"rows": batch}


def update(label: str, names: Sequence[str], batch: Sequence[Row]) -> Step:
    """Return the statement that sets the properties `names` of existing nodes; each row has ``id`` and all of them."""
    known = {prop.name: prop for prop in LABEL[label].properties}
    sets = ", ".join(f"n.{name} = {_value(known[name])}" for name in names)
    return f"UNWIND $rows AS r MATCH (n:{label} {{id: r.id}}) SET {sets}", {"rows": list(batch)}


def remove(label: str, ids: Sequence[str]) -> Step:
    """Return the statement that removes nodes with their relationships."""
    return f"MATCH (n:{label}) WHERE n.id IN $ids DETACH DELETE n", {"ids": list(ids)}
