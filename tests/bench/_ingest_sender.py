"""The sending half of the bench `ingest`, a process of its own: imports as little as a scene does.

Run by ``ingest.py``: reads orders ``[way, url, entities, kind, hz, seconds]`` as lines of JSON and answers each with
the moment of every send.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import grpc.aio
import numpy as np
import structlog

from bridge import codec, mapping
from bridge.client import SceneClient
from bridge.stream import CHANNEL_OPTIONS
from twin.entities import Kind
from twin.kpi import kpis_of
from twin.telemetry import PmReport, TelemetryBatch
from twin.topology import Entity, Topology

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RAW_METHOD = "/bench.Raw/Send"
MOTION_HZ = 10


def topology_for(entities: int) -> Topology:
    cells = [
        Entity(index=i, id=f"cell-{i}-1", kind=Kind.CELL, name=f"Cell {i}", attributes={"digitalTilt": 60.0})
        for i in range(max(entities // 10, 1))
    ]
    ues = [
        Entity(index=len(cells) + i, id=f"ue-{i}", kind=Kind.UE, name=f"ue {i}", position_m=(float(i), 0.0, 1.5))
        for i in range(entities)
    ]
    return Topology([*cells, *ues], revision=1)


def figures_for(topology: Topology) -> tuple[TelemetryBatch, PmReport]:
    rng = np.random.default_rng(1)
    ues, cells = topology.of_kind(Kind.UE), topology.of_kind(Kind.CELL)
    gauges, counters = (tuple(row.name for row in kpis_of(kind)) for kind in (Kind.UE, Kind.CELL))
    batch = TelemetryBatch(
        scene_id="bench",
        epoch=1,
        seq=0,
        revision=1,
        sim_time_s=0.0,
        entity_index=np.array([ue.index for ue in ues], np.uint32),
        position_m=rng.random((len(ues), 3), np.float32) * 1000,
        kpis=gauges,
        values=rng.random((len(ues), len(gauges)), np.float32) * 50,
    )
    report = PmReport(
        scene_id="bench",
        epoch=1,
        seq=0,
        revision=1,
        granularity_period_s=1,
        period_end_sim_time_s=0.0,
        entity_index=np.array([cell.index for cell in cells], np.uint32),
        counters=counters,
        values=rng.random((len(cells), len(counters)), np.float32) * 50,
    )
    return batch, report


def numbered(batch: TelemetryBatch, report: PmReport, number: int, kind: str) -> TelemetryBatch | PmReport:
    if kind == "motion":
        return replace(batch, seq=number, sim_time_s=number / MOTION_HZ)
    return replace(report, seq=number, period_end_sim_time_s=float(number))


def bytes_of(figures: TelemetryBatch | PmReport) -> bytes:
    request = codec.ConnectRequest()
    if isinstance(figures, TelemetryBatch):
        mapping.write_telemetry(request.telemetry, figures)
    else:
        mapping.write_pm(request.pm_report, figures)
    return codec.with_header(request.SerializeToString(), response=False, seq=1, wall_time_unix_ns=time.time_ns())


async def pace(hz: float, lasts_s: float) -> AsyncIterator[int]:
    """Yield 1, 2, ... at a rate (0 = as fast as the reader asks) for a while."""
    begin_s, number = time.monotonic(), 0
    while (now_s := time.monotonic()) < begin_s + lasts_s:
        if hz:
            due_s = begin_s + number / hz
            if due_s > now_s:
                await asyncio.sleep(due_s - now_s)
        number += 1
        yield number


async def send_by_bridge(url: str, entities: int, kind: str, hz: float, lasts_s: float) -> dict[int, float]:
    """Send through the product's client; returns the moment of each send."""
    sent: dict[int, float] = {}
    batch, report = figures_for(topology_for(entities))
    async with SceneClient(url, "bench", provides=("MOTION", "KPI"), connect_timeout_s=10) as client:
        await client.send_live(0.0)
        async for number in pace(hz, lasts_s):
            figures = numbered(batch, report, number, kind)
            sent[number] = time.monotonic()
            if isinstance(figures, TelemetryBatch):
                client.send_telemetry(figures)
                if not hz:
                    await client.telemetry_sent()
            else:
                await client.send_pm(figures)
        await client.telemetry_sent()
        await client.stored()
    return sent


async def send_raw(url: str, entities: int, kind: str, hz: float, lasts_s: float) -> dict[int, float]:
    """Send the same bytes, encoded beforehand, on a one-way stream."""
    sent: dict[int, float] = {}
    batch, report = figures_for(topology_for(entities))
    ready = bytes_of(numbered(batch, report, 1, kind))
    async with grpc.aio.insecure_channel(url, options=CHANNEL_OPTIONS) as channel:
        stream = channel.stream_unary(RAW_METHOD)()
        async for number in pace(hz, lasts_s):
            sent[number] = time.monotonic()
            await stream.write(ready)
        await stream.done_writing()
        await stream
    return sent


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    ways = {"bridge": send_by_bridge, "raw": send_raw}
    for line in sys.stdin:
        way, *order = json.loads(line)
        print(json.dumps(asyncio.run(ways[way](*order))), flush=True)


if __name__ == "__main__":
    main()
