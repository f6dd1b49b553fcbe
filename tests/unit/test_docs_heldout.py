"""The held-out sentences are what their page says they are."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from twin.entities import Kind
from twin.kpi import kpi
from twin.topology import Topology, topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario

DATA = Path(__file__).resolve().parents[1] / "data"
PAGE = (DATA / "planner_heldout.md").read_text(encoding="utf-8")
ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (DATA / "planner_heldout.jsonl").read_text(encoding="utf-8").splitlines()
]
BY_DIRECTION: Final = "the sector east of the station"
REQUIRED: Final[dict[str, set[str]]] = {
    "kpi_of_entity": {"entity", "kpi"},
    "rank_entities": {"kind", "kpi", "order", "count"},
    "aggregate_kpi": {"kind", "kpi", "function"},
    "list_alarms": set(),
    "explain_alarm": set(),
    "neighbours": {"entity"},
    "path_between": {"entity_a", "entity_b"},
    "what_serves": {"entity"},
    "describe_entity": {"entity"},
    "compare_entities": {"entity_a", "entity_b", "kpi"},
    "history_chart": {"entity", "kpi"},
    "count_entities": {"kind"},
    "list_changes": set(),
    "change_effect": set(),
    "network_overview": set(),
    "set_tilt": {"cell"},
    "set_power": {"cell"},
    "lock_cell": {"cell"},
    "unlock_cell": {"cell"},
    "undo_change": set(),
    "none": set(),
    "clarify": set(),
}


@pytest.fixture(scope="module")
def topology() -> Topology:
    return topology_of(build_scenario(ScenarioSpec()))


def test_no_sentence_appears_twice():
    assert [text for text, n in Counter(row["text"].casefold() for row in ROWS).items() if n > 1] == []


def test_the_page_states_the_counts():
    tool_rows = sum(row["category"] == "tool" for row in ROWS)
    stated = [int(n) for n in re.findall(r"\b(\d{3})\b", PAGE.split("\n\n")[1])]
    assert stated == [len(ROWS), tool_rows, len(ROWS) - tool_rows]


def test_every_tool_has_at_least_ten_sentences():
    counts = Counter(row["tool"] for row in ROWS)
    assert {tool: counts[tool] for tool in REQUIRED if counts[tool] < 10} == {}


def test_a_large_share_must_not_start_a_tool():
    share = sum(row["tool"] in {"none", "clarify"} for row in ROWS) / len(ROWS)
    assert 0.40 <= share <= 0.50


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["text"])
def test_label_is_whole_and_speaks_of_what_exists(row: dict[str, Any], topology: Topology):
    arguments: dict[str, Any] = row["arguments"]
    assert REQUIRED[row["tool"]] <= set(arguments)
    assert (row["category"] == "tool") == (row["tool"] not in {"none", "clarify"})
    named = [arguments[key] for key in ("entity", "entity_a", "entity_b", "cell") if key in arguments]
    entities = [topology.get(name) for name in named if name != BY_DIRECTION]
    if "kpi" in arguments:
        kinds = {e.kind for e in entities} | ({Kind(arguments["kind"])} if "kind" in arguments else set())
        assert kinds <= set(kpi(arguments["kpi"]).kinds)
    if row["tool"] in {"set_tilt", "set_power"}:
        values = [k for k in ("tilt_deg", "delta_deg", "tx_power_dbm", "delta_db") if k in arguments]
        assert len(values) == 1
