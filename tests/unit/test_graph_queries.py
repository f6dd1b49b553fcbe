"""The query files: headers, the portable subset, and the page made from them."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from knowledge_graph.embedded import EmbeddedGraph
from knowledge_graph.lint import problems
from knowledge_graph.named_queries import load_queries, parse
from knowledge_graph.projection import GraphPicture
from twin.errors import InvalidInput
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario

ROOT = Path(__file__).resolve().parents[2]
QUERIES = load_queries()


@pytest.mark.parametrize("query_id", sorted(QUERIES))
def test_every_query_stays_in_the_portable_subset(query_id: str) -> None:
    assert list(problems(QUERIES[query_id])) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("MATCH (n:Cell) RETURN n.id", "LIMIT"),
        ("MATCH (n:Sell) RETURN n.id LIMIT 1", "label `Sell`"),
        ("MATCH (n:Cell) RETURN n.tilt LIMIT 1", "property `tilt`"),
        ("MATCH (n:Cell)-[:NEAR]->(m:Cell) RETURN n.id LIMIT 1", "relation `NEAR`"),
        ("MATCH (n:Cell)-[:NEIGHBOUR_OF*1..9]->(m:Cell) RETURN n.id LIMIT 1", "upper bound"),
        ("MATCH (n:Cell)-[:NEIGHBOUR_OF*]->(m:Cell) RETURN n.id LIMIT 1", "upper bound"),
        ("MATCH (n:Cell) DETACH DELETE n RETURN 1 LIMIT 1", "writes"),
        ("LOAD FROM 'x' RETURN 1 LIMIT 1", "reaches out"),
        ("MATCH (n:Cell) WHERE n.id = $x RETURN n.id LIMIT 1", "parameters"),
        ("MATCH (n:Cell) RETURN labels(n) LIMIT 1", "labels"),
        ("MATCH (n:Cell) RETURN n.id LIMIT 1 UNION MATCH (n:Cell) RETURN n.id", "LIMIT"),
    ],
)
def test_the_linter_sees_what_leaves_the_subset(text: str, complaint: str) -> None:
    query = replace(QUERIES["count_by_kind"], text=text)
    assert any(complaint in problem for problem in problems(query))


async def test_every_query_returns_the_columns_of_its_header_on_a_real_city() -> None:
    world = build_scenario(ScenarioSpec())
    graph = EmbeddedGraph()
    await graph.start()
    try:
        await graph.rebuild(GraphPicture(scene_id="scene-1", scenario=world, topology=topology_of(world)))
        cell, site, link = world.cells[0].id, world.sites[0].id, world.links[0].id
        known = {"cell_id": cell, "entity_id": cell, "site_id": site, "link_id": link, "a_id": cell, "b_id": site}
        known |= {"b_id": world.sites[-1].id, "east_m": 0.0, "north_m": 0.0}
        answered: set[str] = set()
        for query in QUERIES.values():
            rows = await graph.read(query.id, {p.name: known[p.name] for p in query.params if p.required})
            if rows:
                assert tuple(rows[0]) == query.columns, query.id
                answered.add(query.id)
        # Nothing has been measured, raised or changed yet.
        assert set(QUERIES) - answered == {
            "active_alarms_near",
            "alarms_of_entity",
            "changes_of_entity",
            "serving_counts",
        }
        assert (await graph.read("path_to_core", {"entity_id": cell}))[-1]["to_role"] == "upf"
    finally:
        await graph.close()


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (n) RETURN n",
        "// What.\n// params: none\n// columns: a\nRETURN 1 AS a",
        "// What.\n// params: x MAP\n// columns: a\n// ordered: no\nRETURN 1 AS a",
        "// What.\n// params: none\n// columns: a\n// ordered: maybe\nRETURN 1 AS a",
    ],
)
def test_a_query_without_a_whole_header_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="`broken`"):
        parse("broken", text)


def test_the_page_of_the_graph_is_up_to_date() -> None:
    generator = runpy.run_path(str(ROOT / "tools" / "gen_graph_docs.py"))
    assert (ROOT / "docs" / "knowledge-graph.md").read_text(encoding="utf-8") == generator["page"]()
