"""Scores the planner on the held-out sentences: tool, full call, wrong while sure, changes nobody asked for.

    python tests/bench/planner_score.py [--quick] [--json FILE]

Both heads run in the same process; the linear router is the baseline. Intervals are Wilson's at 95 %.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import json
import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from agent import guard
from agent.arguments import CONTROL, Missing, Situation, fill
from agent.corpus import CIVIL, NOW_S
from agent.memory import Turn
from agent.planner import HYPOTHETICAL, NONE, Planner, load_planner
from tests.bench._report import Rows, arguments
from twin.entities import Kind
from twin.naming import NameIndex, UnknownMention, link
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario

HELDOUT = Path(__file__).parents[1] / "data" / "planner_heldout.jsonl"


def wilson(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    z, share = 1.96, right / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return centre - half, centre + half


def same(expected: dict[str, Any], found: dict[str, Any]) -> bool:
    """Return whether every canonical argument that the sentence states was filled alike; a window counts if there."""
    for key, value in expected.items():
        if key == "window":
            if "window" not in found:
                return False
        elif isinstance(value, int | float) and not isinstance(value, bool):
            other = found.get(key)
            if not isinstance(other, int | float) or abs(float(value) - float(other)) > 0.06:
                return False
        elif key in {"entity_a", "entity_b"}:
            if value not in {found.get("entity_a"), found.get("entity_b")}:
                return False
        elif found.get(key) != value:
            return False
    return True


def decide(planner: Planner, text: str, index: NameIndex) -> tuple[str, float, str, dict[str, Any]]:
    """Return (label of the head, probability, what the agent would do, arguments)."""
    linked = link(text, index, civil=CIVIL, now_s=NOW_S, position_m=(0.0, 0.0, 1.5))
    choice = planner.choose(linked)
    if choice.label in {NONE, HYPOTHETICAL}:
        return NONE, choice.probability, NONE, {}
    if choice.label in CONTROL and guard.verdict(text) is not None:
        return choice.label, choice.probability, NONE, {}
    if choice.label in CONTROL and not guard.has_verb(choice.label, text):
        return choice.label, choice.probability, "clarify", {}
    situation = Situation(linked=linked, index=index, now_s=NOW_S, before=Turn(), position_m=(0.0, 0.0, 1.5))
    filled = fill(choice.label, situation)
    if isinstance(filled, Missing):
        return choice.label, choice.probability, "clarify", {}
    if not choice.sure and not linked.of(UnknownMention):
        return choice.label, choice.probability, "unsure", filled
    return choice.label, choice.probability, choice.label, filled


def main() -> None:
    """Score both heads."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--show", action="store_true", help="print the confusions by label, never the sentences")
    args = parser.parse_args()
    rows = [json.loads(line) for line in HELDOUT.read_text(encoding="utf-8").splitlines() if line.strip()]
    topology = topology_of(build_scenario(ScenarioSpec()))
    assert len(topology.of_kind(Kind.CELL)) > 0
    index = NameIndex(topology)
    out = Rows(packages=("numpy", "tokenizers"))
    baseline: dict[str, float] = {}
    for kind in ("linear", "minilm"):
        planner = load_planner(kind=kind)
        done = [(row, *decide(planner, row["text"], index)) for row in rows]
        asked = [d for d in done if d[0]["tool"] not in {"none", "clarify"}]
        acted = [d for d in done if d[3] not in {"none", "clarify", "unsure"}]
        shares = {
            "tool, sentences that call for one": ([d[1] == d[0]["tool"] for d in asked]),
            "tool or none, all but clarify": [d[1] == d[0]["tool"] for d in done if d[0]["tool"] != "clarify"],
            "full call, head alone": [d[1] == d[0]["tool"] and same(d[0].get("arguments") or {}, d[4]) for d in asked],
            "full call, as the agent acts": [
                d[3] == d[0]["tool"] and same(d[0].get("arguments") or {}, d[4]) for d in asked
            ],
            "coverage (tool run) of sentences for one": [d[3] not in {"none", "clarify", "unsure"} for d in asked],
            "wrong tool while sure, of all that was run": [d[3] != d[0]["tool"] for d in acted],
        }
        for name, values in shares.items():
            low, high = wilson(sum(values), len(values))
            share = sum(values) / max(1, len(values))
            other = baseline.setdefault(name, share) if kind == "linear" else baseline[name]
            out.put(f"{kind}: {name}", 100 * share, "%", baseline=100 * other, ratio=share / other if other else None,
                    spread=50 * (high - low), n=len(values))  # fmt: skip
        harmful = [d for d in done if d[3] in CONTROL and d[0]["tool"] != d[3]]
        out.put(f"{kind}: changes proposed that were not asked for", float(len(harmful)), "sentences", n=len(done))
        if args.show:
            wrong: dict[tuple[str, str], int] = {}
            for row, label, _, does, _ in done:
                if label != row["tool"]:
                    wrong[row["tool"], f"{label} ({does})"] = wrong.get((row["tool"], f"{label} ({does})"), 0) + 1
            for pair, count in sorted(wrong.items(), key=lambda item: -item[1])[:25]:
                print(f"    {count:3d} {pair[0]} -> {pair[1]}")
    out.write(args.json)


if __name__ == "__main__":
    main()
