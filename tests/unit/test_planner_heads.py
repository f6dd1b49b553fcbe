"""The trained planner: reproducible, calibrated, and scored on sentences that nobody trained or tuned on."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from agent import guard
from agent.arguments import CONTROL
from agent.corpus import CIVIL, NEGATIVE, NOW_S, PHRASES, corpus, example_topology, frames
from agent.encoder import packaged_folder
from agent.orders import attributes_meant, is_order
from agent.planner import DATA, Planner, load_planner
from agent.registry import default_registry
from tests.agent_world import SCENARIO
from twin.naming import NameIndex, link
from twin.topology import topology_of

HELDOUT = Path(__file__).parents[1] / "data" / "planner_heldout.jsonl"
KINDS = [
    pytest.param(
        "minilm",
        marks=[
            pytest.mark.weights,
            pytest.mark.skipif(packaged_folder() is None, reason="the sentence encoder is not installed: `twin setup`"),
        ],
    ),
    "linear",
]


def rows() -> list[dict[str, str]]:
    return [json.loads(line) for line in HELDOUT.read_text(encoding="utf-8").splitlines() if line.strip()]


def proposals(planner: Planner, texts: Iterable[str]) -> list[str]:
    """Return the sentences for which planner and guard together would let a change be proposed."""
    index = NameIndex(topology_of(SCENARIO))
    found: list[str] = []
    for text in texts:
        choice = planner.choose(link(text, index, civil=CIVIL, now_s=NOW_S))
        control = choice.label in CONTROL and choice.sure
        if control and guard.verdict(text) is None and guard.has_verb(choice.label, text):
            found.append(text)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_labels_are_the_tools_and_the_two_negatives(kind: str) -> None:
    labels = set(load_planner(kind=kind).card.labels)  # type: ignore[arg-type]
    # `what_if` is reached by the label `hypothetical`, `set_attribute` by the name of an attribute.
    assert labels == {tool.name for tool in default_registry().tools} - {"what_if", "set_attribute"} | set(NEGATIVE)


def test_no_sentence_that_asks_for_no_change_orders_an_attribute() -> None:
    index = NameIndex(topology_of(SCENARIO))
    linked = [link(row["text"], index, civil=CIVIL, now_s=NOW_S) for row in rows() if row["tool"] not in CONTROL]
    assert [one.text for one in linked if attributes_meant(one) and is_order(one)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_card_belongs_to_the_phrasings_in_the_tree(kind: str) -> None:
    card = json.loads((DATA / f"planner_{kind}.json").read_text())
    assert card["phrases_sha256"] == hashlib.sha256(PHRASES.read_bytes()).hexdigest()
    assert card["negative_share"] >= 0.4


def test_every_tool_has_thirty_phrasings_or_more() -> None:
    labels = [label for label, _ in frames()]
    tools = [tool.name for tool in default_registry().tools if tool.name != "set_attribute"]  # has no label
    names = ["hypothetical" if name == "what_if" else name for name in tools]
    few = {name: labels.count(name) for name in names if labels.count(name) < 28}
    assert few == {}


def test_the_same_seed_makes_the_same_corpus() -> None:
    first = corpus(np.random.default_rng(5), per_frame=1)
    assert first == corpus(np.random.default_rng(5), per_frame=1)
    assert first != corpus(np.random.default_rng(6), per_frame=1)


def test_the_same_sentence_gets_the_same_choice() -> None:
    planner = load_planner()
    index = NameIndex(example_topology())
    linked = link("how busy is cell 7-2 right now", index, civil=CIVIL, now_s=NOW_S)
    assert planner.choose(linked) == planner.choose(linked)


@pytest.mark.parametrize("kind", KINDS)
def test_no_sentence_of_the_heldout_set_becomes_a_change_that_it_does_not_ask_for(kind: str) -> None:
    harmless = [row["text"] for row in rows() if row["tool"] not in CONTROL and row["tool"] != "clarify"]
    assert proposals(load_planner(kind=kind), harmless) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_the_tool_is_right_for_most_unseen_sentences(kind: str) -> None:
    planner = load_planner(kind=kind)  # type: ignore[arg-type]
    index = NameIndex(topology_of(SCENARIO))
    asked = [row for row in rows() if row["tool"] not in {"none", "clarify"}]
    right = [planner.choose(link(row["text"], index, civil=CIVIL, now_s=NOW_S)).label == row["tool"] for row in asked]
    assert np.mean(right) >= {"minilm": 0.75, "linear": 0.6}[kind]
