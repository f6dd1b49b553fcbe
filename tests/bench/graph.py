"""How fast the embedded graph is rebuilt, asked and refreshed: ``python tests/bench/graph.py [--quick] [--json FILE]``.

Baseline of the questions: the same answer from plain Python dictionaries in this process, a ceiling without a query
language, a process boundary or a deadline. Baseline of rebuild and refresh: the same rows as JSON through `json`, what
any way into another process must pay. All measured in one run; compare ratios, not times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from knowledge_graph.embedded import EmbeddedGraph
from knowledge_graph.projection import GraphPicture, rows_of
from twin.entities import Kind, NeighbourRelation, Site
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twin.scenario import Scenario

KPIS = ("DRB.UEThpDl", "RRU.PrbTotDl", "RRC.ConnMean", "DRB.RlcSduDelayDl", "vsData6gMeanSsSinr")


def enlarged(world: Scenario, *, num_sites: int) -> Scenario:
    """The city with its sites repeated eastwards, three cells and six neighbours each."""
    sites: list[Site] = []
    cells = []
    for number in range(num_sites):
        old = world.sites[number % len(world.sites)]
        east, north, up = old.position_m
        shift = 3000.0 * (number // len(world.sites))
        sites.append(replace(old, id=f"site-{number}", position_m=(east + shift, north, up)))
        cells += [
            replace(world.cells[sector], id=f"cell-{number}-{sector + 1}", site_id=f"site-{number}", sector=sector + 1)
            for sector in range(3)
        ]
    neighbours = tuple(
        NeighbourRelation(source_id=cell.id, target_id=cells[(index + step) % len(cells)].id)
        for index, cell in enumerate(cells)
        for step in (1, 2, 3, 4, 5, 6)
    )
    links = tuple(
        replace(world.links[0], id=f"link-{number}", a_id=f"site-{number}", b_id=world.nodes[0].id)
        for number in range(num_sites)
    )
    return replace(world, sites=tuple(sites), cells=tuple(cells), neighbours=neighbours, links=links)


async def timed(repeat: int, work: Callable[[int], Awaitable[Any]]) -> list[float]:
    """Milliseconds of each of `repeat` runs."""
    times = []
    for number in range(repeat):
        began = time.perf_counter()
        await work(number)
        times.append((time.perf_counter() - began) * 1000)
    return times


def timed_plain(repeat: int, work: Callable[[int], Any]) -> list[float]:
    times = []
    for number in range(repeat):
        began = time.perf_counter()
        work(number)
        times.append((time.perf_counter() - began) * 1000)
    return times


def p95(times: list[float]) -> float:
    return sorted(times)[max(0, math.ceil(0.95 * len(times)) - 1)]


def row(name: str, times: list[float], baseline: list[float], pick: Callable[[list[float]], float]) -> dict[str, Any]:
    value, base = pick(times), pick(baseline)
    low, high = min(times), max(times)
    return {
        "name": name,
        "value": round(value, 4),
        "unit": "ms",
        "baseline": round(base, 4),
        "ratio": round(value / base, 2) if base else None,
        "spread": round((high - low) / value, 3) if value else None,
        "n": len(times),
    }


async def measure(name: str, world: Scenario, *, rounds: int, asks: int) -> list[dict[str, Any]]:
    topology = topology_of(world)
    picture = GraphPicture(scene_id="bench", scenario=world, topology=topology)
    graph = EmbeddedGraph(deadline_s=30.0, refresh_interval_s=0.0)
    began = time.perf_counter()
    await graph.start()
    start_ms = (time.perf_counter() - began) * 1000
    out: list[dict[str, Any]] = [
        {"name": f"{name}.start", "value": round(start_ms, 1), "unit": "ms"}
        | {"baseline": None, "ratio": None, "spread": None, "n": 1}
    ]
    try:
        built = await timed(rounds, lambda _: graph.rebuild(picture))

        def through_json(_: int) -> None:
            rows = rows_of(picture)
            json.loads(json.dumps([*rows.nodes.values(), *rows.relations.values()]))

        out.append(row(f"{name}.rebuild.p50", built, timed_plain(rounds, through_json), statistics.median))

        ids = [cell.id for cell in world.cells]
        around: defaultdict[str, list[str]] = defaultdict(list)
        for relation in world.neighbours:
            around[relation.source_id].append(relation.target_id)

        def within_two_hops(number: int) -> list[tuple[str, int]]:
            origin = ids[number % len(ids)]
            found = dict.fromkeys(around[origin], 1)
            for near in list(found):
                for far in around[near]:
                    found.setdefault(far, 2)
            found.pop(origin, None)
            return sorted(found.items(), key=lambda pair: (pair[1], pair[0]))

        def two_hops(number: int) -> list[str]:
            return [cell for cell, hops in within_two_hops(number) if hops == 2]

        def point(number: int) -> dict[str, Any]:
            entity = topology.get(ids[number % len(ids)])
            return {"id": entity.id, **entity.attributes, **entity.properties}

        asked: list[tuple[str, str, str, Callable[[int], Any]]] = [
            ("point", "entity_card", "entity_id", point),
            ("two_hops", "neighbours_of_neighbours", "cell_id", two_hops),
            ("within_two_hops", "neighbours_within_hops", "cell_id", within_two_hops),
        ]
        for label, query_id, key, plain in asked:
            times = await timed(asks, lambda n, q=query_id, k=key: graph.read(q, {k: ids[n % len(ids)]}))
            base = timed_plain(asks, plain)
            out += [
                row(f"{name}.{label}.p50", times, base, statistics.median),
                row(f"{name}.{label}.p95", times, base, p95),
            ]

        kept: dict[str, dict[str, float]] = {}
        for count in (57, 1000):
            cells = [entity.id for entity in topology.of_kind(Kind.CELL)][:count]
            if len(cells) < count:
                continue
            values = {cell: dict.fromkeys(KPIS, float(at)) | {"serving_count": at} for at, cell in enumerate(cells)}
            times = await timed(rounds * 3, lambda n, v=values: graph.refresh(v, sim_time_s=float(n)))
            base = timed_plain(rounds * 3, lambda _, v=values: kept.update(json.loads(json.dumps(v))))
            out.append(row(f"{name}.refresh_{count}_cells.p50", times, base, statistics.median))
            out.append(row(f"{name}.refresh_{count}_cells.p95", times, base, p95))
    finally:
        await graph.close()
    return out


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within 40 s")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    world = build_scenario(ScenarioSpec(seed=1))
    rounds, asks = (5, 200) if options.quick else (15, 1000)
    rows = await measure("city", world, rounds=rounds, asks=asks)
    num_sites = 400 if options.quick else 2000
    rows += await measure(
        f"sites_{num_sites}", enlarged(world, num_sites=num_sites), rounds=max(3, rounds // 3), asks=asks
    )
    for one in rows:
        name, value, unit, baseline, ratio = (one[key] for key in ("name", "value", "unit", "baseline", "ratio"))
        print(f"{name:38} {value:>10} {unit}  baseline {baseline}  ratio {ratio}  n {one['n']}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
