"""Figures on their way: live gauges, PM reports, and series read back from memory.

Structure of arrays everywhere: one batch holds many entities and many KPIs. NaN means missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TelemetryBatch:
    """Positions and gauges of one moment; newest wins, may be dropped.

    Attributes:
        scene_id: The scene that measured.
        epoch: Grows by one whenever the scene's time goes backwards or its world is reset.
        seq: Number of the batch within the epoch; gaps are drops.
        revision: Topology revision that the indices belong to.
        sim_time_s: Simulated seconds since the scenario epoch.
        entity_index: ``[n] uint32`` dense topology indices.
        position_m: ``[n, 3] float32`` ENU metres, or None when nothing moved.
        kpis: Names of the columns of `values`.
        values: ``[n, num_kpis] float32``.
        keyframe: Whether every entity that the scene measures is in here; otherwise only those that changed.
        source: Who measured, where several programs share the scene: what that one provides, such as ``MOTION`` or
            ``KPI+STATE``. Each numbers its batches for itself. "" = one program does everything.
    """

    scene_id: str
    epoch: int
    seq: int
    revision: int
    sim_time_s: float
    entity_index: NDArray[np.uint32]
    position_m: NDArray[np.float32] | None
    kpis: tuple[str, ...]
    values: NDArray[np.float32]
    keyframe: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PmReport:
    """Counters of one granularity period, aggregated at the source; lossless, deduplicated.

    Attributes:
        granularity_period_s: 1 live, 60 and 900 for the past.
        period_end_sim_time_s: End of the period, simulated seconds since the scenario epoch.
        entity_index: ``[n] uint32`` dense topology indices.
        counters: Names of the columns of `values`.
        values: ``[n, num_counters] float32``.
    """

    scene_id: str
    epoch: int
    seq: int
    revision: int
    granularity_period_s: int
    period_end_sim_time_s: float
    entity_index: NDArray[np.uint32]
    counters: tuple[str, ...]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One KPI of one entity over time.

    Attributes:
        time_s: ``[n] float64`` period ends, simulated seconds, strictly increasing.
        value: ``[n] float32``, NaN = missing.
        granularity_s: Length of a period.
        gaps: Intervals (from, to) in simulated seconds without any report.
    """

    entity_id: str
    kpi: str
    granularity_s: int
    time_s: NDArray[np.float64]
    value: NDArray[np.float32]
    gaps: tuple[tuple[float, float], ...] = ()
