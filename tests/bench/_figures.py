"""The figures that the benches `bridge` and `ingest` send: N UEs with 4 KPIs each, and N / 10 cells."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from bridge import codec, mapping
from twin.entities import Kind
from twin.kpi import kpis_of
from twin.telemetry import PmReport, TelemetryBatch
from twin.topology import Entity, Topology

LIVE_HZ = 10


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
        return replace(batch, seq=number, sim_time_s=number / LIVE_HZ)
    return replace(report, seq=number, period_end_sim_time_s=float(number))


def bytes_of(figures: TelemetryBatch | PmReport, *, quantised: bool = False, response: bool = False) -> bytes:
    message = codec.ConnectResponse() if response else codec.ConnectRequest()
    if isinstance(figures, TelemetryBatch):
        mapping.write_telemetry(message.telemetry, figures, quantised=quantised)
    else:
        mapping.write_pm(message.pm_report, figures)
    return codec.with_header(message.SerializeToString(), response=response, seq=1, wall_time_unix_ns=time.time_ns())
