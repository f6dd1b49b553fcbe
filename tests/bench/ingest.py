"""What figures cost behind the RAM ring: ``python tests/bench/ingest.py [--quick] [--json FILE]``.

DuckDB commit, detector and graph refresh work on threads or processes of their own; how fast figures get into the ring
is measured by ``bridge.py``. N entities are N UEs and N / 10 cells (15 counters in PmReport).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import structlog
from _figures import figures_for, numbered, topology_for
from _report import Rows, arguments

from knowledge_graph.embedded import EmbeddedGraph
from knowledge_graph.projection import GraphPicture
from twin.analytics.detector import Detector
from twin.clock import CivilTime
from twin.entities import Kind
from twin.ingest import JUDGE_S, Watcher, WatchList
from twin.kpi import kpis_of
from twin.telemetry import PmReport
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.store.embedded import EmbeddedTelemetryStore

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

CIVIL = CivilTime(epoch=datetime(2026, 11, 7, tzinfo=UTC), timezone="Europe/Berlin")


def milliseconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begin)


async def commit(rows: Rows, folder: Path, entities: int, *, rounds: int) -> None:
    """One commit of ten live reports; baseline: the same numbers appended to a file and flushed to the disk."""
    topology = topology_for(entities)
    batch, report = figures_for(topology)
    store = EmbeddedTelemetryStore(folder / f"commit-{entities}.duckdb", scene_id="bench", topology=lambda: topology)
    await store.open()
    ours: list[float] = []
    plain: list[float] = []
    with (folder / f"plain-{entities}").open("wb") as file:

        def append() -> None:
            for _ in range(10):
                file.write(report.values.tobytes())
            file.flush()
            os.fsync(file.fileno())

        for number in range(rounds):
            ten = [numbered(batch, report, 10 * number + i + 1, "pm") for i in range(10)]
            begin = time.perf_counter()
            await store.append_pm([r for r in ten if isinstance(r, PmReport)])
            ours.append(1000 * (time.perf_counter() - begin))
            plain.append(milliseconds(append))
    await store.close()
    rows.add(f"duckdb_commit_of_10_reports_{entities}", ours, "ms", baseline=plain)


def detect(rows: Rows, entities: int, *, rounds: int) -> None:
    """One detector period (ten live reports); baseline: numpy's mean and deviation of the same numbers."""
    topology = topology_for(entities)
    batch, report = figures_for(topology)
    watched = WatchList(topology)
    watcher = Watcher(watched, Detector(watched.entity_ids, watched.kpis, civil=CIVIL))
    ours: list[float] = []
    plain: list[float] = []
    for number in range(rounds):
        ten = [numbered(batch, report, JUDGE_S * number + i + 1, "pm") for i in range(JUDGE_S)]
        reports = [r for r in ten if isinstance(r, PmReport)]
        ours.append(milliseconds(lambda reports=reports: watcher.see(reports)))
        stack = np.stack([r.values for r in reports])
        plain.append(milliseconds(lambda stack=stack: (stack.mean(axis=0), stack.std(axis=0))))
    rows.add(f"detector_period_of_10_reports_{entities}", ours, "ms", baseline=plain)


async def refresh(rows: Rows, *, rounds: int) -> None:
    """The last values of every cell of the generated city into the graph; baseline: the same through `json`."""
    city = build_scenario(ScenarioSpec())
    topology = topology_of(city)
    kpis = [row.name for row in kpis_of(Kind.CELL)][:5]
    values = {cell.id: dict.fromkeys(kpis, 1.5) for cell in topology.of_kind(Kind.CELL)}
    graph = EmbeddedGraph(deadline_s=30.0, refresh_interval_s=0.0)
    await graph.start()
    try:
        await graph.rebuild(GraphPicture(scene_id="bench", scenario=city, topology=topology))
        ours: list[float] = []
        for number in range(rounds):
            begin = time.perf_counter()
            await graph.refresh(values, sim_time_s=float(number))
            ours.append(1000 * (time.perf_counter() - begin))
    finally:
        await graph.close()
    plain = [milliseconds(lambda: json.loads(json.dumps(values))) for _ in range(rounds)]
    rows.add(f"graph_refresh_{len(values)}_cells", ours, "ms", baseline=plain)


async def measure(options: argparse.Namespace) -> None:
    rows = Rows(packages=("numpy", "duckdb"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for entities in (100, 1_000, 10_000):
            await commit(rows, folder, entities, rounds=5 if options.quick else 30)
            detect(rows, entities, rounds=10 if options.quick else 60)
        await refresh(rows, rounds=10 if options.quick else 60)
    rows.write(options.json)


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    asyncio.run(measure(arguments(__doc__ or "").parse_args()))


if __name__ == "__main__":
    main()
