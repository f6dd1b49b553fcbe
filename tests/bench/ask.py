"""How long an answer takes: `Agent.ask` over a mix of questions, on the real graph, journal and change desk.

    python tests/bench/ask.py [--quick] [--json FILE]

The figures come from the shipped in-memory store. Baseline of each row: the encoder's two forward passes alone, in
the same run. Aim: p95 <= 150 ms.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import asyncio
import logging
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import structlog

from agent.encoder import MiniLmEncoder, packaged_folder
from agent.linear_router import LinearRouter
from agent.question import Question
from tests.agent_world import SCOPES, AgentWorld, agent_world
from tests.bench._report import Rows, arguments, percentile

QUESTIONS = (
    "What is the PRB load of cell 7-1 in the last ten minutes?",
    "Which five cells are busiest?",
    "average throughput over all cells",
    "Compare the load of 7-1 with 7-2",
    "plot the rsrp of cell 7-2 in the last hour",
    "Are there any alarms?",
    "Why does cell 7-2 have an alarm?",
    "Which cells are neighbours of 7-2?",
    "path between cell 7-2 and cell 3-1",
    "which cell serves ue 14",
    "tell me about cell 7-2",
    "How is the network doing?",
    "what would happen if we lock cell 7-2",
    "tilt cell 9-2 down by two degrees",
)
TARGET_P95_MS = 150.0


async def timed(world: AgentWorld, text: str, number: int) -> float:
    """Return the milliseconds of one question in a conversation of its own."""
    started = time.perf_counter()
    await world.agent.ask(Question(text=text, conversation_id=f"bench-{number}"), caller="bench", scopes=SCOPES)
    return 1e3 * (time.perf_counter() - started)


async def crowd(world: AgentWorld, size: int) -> list[float]:
    """Return the milliseconds of questions that are asked at once."""
    return list(await asyncio.gather(*(timed(world, QUESTIONS[n % len(QUESTIONS)], 10_000 + n) for n in range(size))))


def encoding(rounds: int) -> list[float]:
    """Return the milliseconds of the encoder alone on the same sentences."""
    encoder = MiniLmEncoder() if packaged_folder() else LinearRouter()
    encoder.encode(["warm up"])
    spent: list[float] = []
    for _ in range(rounds):
        for text in QUESTIONS:
            started = time.perf_counter()
            encoder.encode([text])
            encoder.encode([text])
            spent.append(1e3 * (time.perf_counter() - started))
    return spent


async def run(rounds: int, rows: Rows) -> None:
    """Measure and add the rows."""
    alone = encoding(max(2, rounds // 2))
    for planner in ("minilm", "linear") if packaged_folder() else ("linear",):
        async with agent_world(planner=planner) as world:
            await world.agent.warm_up()
            per_question = {
                text: [await timed(world, text, 100 * number + n) for n in range(rounds)]
                for number, text in enumerate(QUESTIONS)
            }
            spent = [value for values in per_question.values() for value in values]
            rows.add(f"ask p50 ({planner})", spent, "ms", baseline=alone)
            p95 = percentile(spent, 0.95)
            base = percentile(alone, 0.95)
            rows.put(f"ask p95 ({planner})", p95, "ms", baseline=base, ratio=base / p95, n=len(spent))
            rows.put(f"ask p95 against the aim ({planner})", p95, "ms", baseline=TARGET_P95_MS,
                     ratio=TARGET_P95_MS / p95, n=len(spent))  # fmt: skip
            for text, values in per_question.items():
                rows.add(f"  {text[:40]} ({planner})", values, "ms", baseline=alone)
            at_once = await crowd(world, 20)
            rows.put(f"twenty at once, p95 ({planner})", percentile(at_once, 0.95), "ms", baseline=p95, n=20)


def main() -> None:
    """Run the bench."""
    args = arguments(__doc__ or "").parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    rows = Rows(packages=("numpy", "tokenizers", "ladybug"))
    asyncio.run(run(5 if args.quick else 40, rows))
    rows.write(args.json)


if __name__ == "__main__":
    main()
