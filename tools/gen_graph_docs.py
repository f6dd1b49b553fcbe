"""Writes docs/knowledge-graph.md from the schema table and the query headers: ``python tools/gen_graph_docs.py``."""

from __future__ import annotations

from pathlib import Path

from knowledge_graph.named_queries import NamedQuery, load_queries
from knowledge_graph.schema import LABELS, RELATIONS, Label, Property

PAGE = Path(__file__).resolve().parent.parent / "docs" / "knowledge-graph.md"

_HEAD = """\
# The knowledge graph

<!-- Written by tools/gen_graph_docs.py; edit the schema, the query headers or the script. -->

What is connected to what, and what happened to it. The graph is a projection: truth is the scenario and the journal,
and the graph is made from them at start and again whenever its engine dies. UEs are no nodes; a cell carries how many
it serves. Telemetry samples are no nodes either: a node carries last values and rolling means.

- The engine (LadybugDB, in memory) runs in a process of its own with a memory limit. A query that exceeds its
  deadline ends with an error, at the cost of the engine if need be; everything written is put into the next one.
- Times are simulated milliseconds since the scenario epoch (`..._ms`). Managed attributes carry 3GPP names and units.
- Callers name a query and give parameters; there is no way to send other text.
"""


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD, "## Schema\n", _drawing(), *map(_label, LABELS), _relations(), "## Named queries\n"]
    return "\n".join([*parts, *(_query(query) for query in load_queries().values())])


def _drawing() -> str:
    lines = ["```mermaid", "graph LR"]
    lines += [f"  {source} -->|{rel.name}| {target}" for rel in RELATIONS for source, target in rel.ends]
    lines += [f"  {label.name}" for label in LABELS if not any(label.name in end for r in RELATIONS for end in r.ends)]
    return "\n".join([*lines, "```", ""])


def _table(properties: tuple[Property, ...]) -> list[str]:
    rows = [
        f"| `{prop.name}` | {prop.type.value} | {prop.unit} | {prop.about}{' (live)' if prop.live else ''} |"
        for prop in properties
    ]
    return ["| property | type | unit | meaning |", "|---|---|---|---|", *rows, ""]


def _label(label: Label) -> str:
    return "\n".join([f"### {label.name}\n", f"Kind `{label.kind}`: {label.about}.\n", *_table(label.properties)])


def _relations() -> str:
    lines = ["### Relations\n", "| relation | meaning | properties |", "|---|---|---|"]
    for rel in RELATIONS:
        names = ", ".join(f"`{prop.name}`{f' ({prop.unit})' if prop.unit else ''}" for prop in rel.properties)
        lines.append(f"| `{rel.name}` | {rel.about} | {names} |")
    return "\n".join([*lines, ""])


def _query(query: NamedQuery) -> str:
    params = [
        f"`{param.name}` {param.type}" + ("" if param.required else f" = {param.default}") for param in query.params
    ]
    return "\n".join(
        [
            f"### {query.id}\n",
            f"{query.about}\n",
            f"- parameters: {', '.join(params) or 'none'}",
            f"- columns: {', '.join(f'`{name}`' for name in query.columns)}",
            f"- ordered: {'yes' if query.ordered else 'no'}\n",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
