"""Numbers the batches and reports of a scene, so that who writes a scene only gives the values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from twin.telemetry import PmReport, TelemetryBatch

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from bridge.client import SceneClient
    from twin.entities import Kind
    from twin.topology import Entity


def first_sim_time_s(scene: SceneClient) -> float:
    """Return the simulated time at which a scene goes live: wall now, never before what the twin remembers."""
    start = scene.start
    return max(start.resume_at_sim_s or 0.0, start.civil.sim_time_s(datetime.now(UTC)))


class KindFigures:
    """The figures of all entities of one kind, in inventory order; make a new one when the inventory changed.

    Args:
        scene: A connected client.
        kind: Whose figures.
        names: KPI names of :mod:`twin.kpi`, the columns of `values`.
    """

    def __init__(self, scene: SceneClient, kind: Kind, names: tuple[str, ...] = ()) -> None:
        self.entities: tuple[Entity, ...] = scene.topology.of_kind(kind)
        self.position_m = np.array([entity.position_m for entity in self.entities], np.float32).reshape(-1, 3)
        self._scene = scene
        self._kind = kind
        self._names = names
        self._index = np.array([entity.index for entity in self.entities], np.uint32)
        self._revision = scene.topology.revision  # of these indices: after a new inventory the twin drops them
        self._seq = 0

    def telemetry(self, sim_time_s: float, *, position_m: ArrayLike | None = None, values: ArrayLike = ()) -> None:
        """Send positions ``[n, 3]`` and gauges ``[n, num_names]``; newest wins, never waits."""
        self._seq += 1
        batch = TelemetryBatch(
            scene_id=self._scene.scene_id,
            epoch=self._scene.epoch,
            seq=self._seq,
            revision=self._revision,
            sim_time_s=sim_time_s,
            entity_index=self._index,
            position_m=None if position_m is None else np.asarray(position_m, np.float32),
            kpis=self._names,
            values=self._table(values),
        )
        self._scene.send_telemetry(batch, stream=self._kind)

    async def pm(self, period_end_sim_time_s: float, values: ArrayLike, *, granularity_period_s: int = 1) -> None:
        """Send counters ``[n, num_names]`` of a period; kept until the twin has stored them."""
        self._seq += 1
        report = PmReport(
            scene_id=self._scene.scene_id,
            epoch=self._scene.epoch,
            seq=self._seq,
            revision=self._revision,
            granularity_period_s=granularity_period_s,
            period_end_sim_time_s=period_end_sim_time_s,
            entity_index=self._index,
            counters=self._names,
            values=self._table(values),
        )
        await self._scene.send_pm(report)

    def _table(self, values: ArrayLike) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.asarray(values, np.float32).reshape(len(self.entities), len(self._names))
