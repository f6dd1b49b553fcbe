"""Last values and rolling means of KPIs, as the graph shows them: small, and refreshed at most once a second.

History is the telemetry store's business. Kept here in Python so that a fresh engine can be given them again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from knowledge_graph.ladybug_dialect import update
from knowledge_graph.schema import LABEL_OF_KIND, kpi_property, mean_property
from twin.entities import Kind
from twin.kpi import kpis_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from knowledge_graph.child_link import Step
    from knowledge_graph.projection import Row
    from twin.topology import Topology

MEAN_TIME_CONSTANT_S = 600.0
"""A value of ten minutes ago weighs 1/e in the rolling mean."""

_STEP_WITHOUT_TIME_S = 1.0
_KINDS = (Kind.CELL, Kind.SLICE, Kind.LINK)
_KPIS = {kind: {kpi.name: kpi for kpi in kpis_of(kind)} for kind in _KINDS}
_LIVE = {kind: tuple(prop.name for prop in LABEL_OF_KIND[kind.value].properties if prop.live) for kind in _KINDS}


class Figures:
    """The live properties of every entity that has some.

    Attributes:
        ignored: Values for entities or KPIs that the graph does not hold; counted, not kept.
    """

    def __init__(self) -> None:
        self._rows: dict[str, tuple[Kind, Row]] = {}
        self._time_s: dict[str, float] = {}
        self._measured: dict[Kind, set[str]] = {kind: set() for kind in _KINDS}
        self.ignored = 0

    def put(
        self, values: Mapping[str, Mapping[str, float]], topology: Topology, *, sim_time_s: float | None
    ) -> list[str]:
        """Take in last values and return the ids of what changed; NaN means missing and empties the last value."""
        changed: list[str] = []
        for entity_id, figures in values.items():
            kind = topology.get(entity_id).kind if entity_id in topology else None
            if kind is None or kind not in _KPIS:
                self.ignored += len(figures)
                continue
            if entity_id not in self._rows:
                self._rows[entity_id] = (kind, {"id": entity_id, **dict.fromkeys(_LIVE[kind])})
            self._put_one(entity_id, figures, sim_time_s)
            changed.append(entity_id)
        return changed

    def _put_one(self, entity_id: str, figures: Mapping[str, float], sim_time_s: float | None) -> None:
        kind, row = self._rows[entity_id]
        measured = self._measured[kind]
        passed_s = _STEP_WITHOUT_TIME_S
        if sim_time_s is not None:
            passed_s = max(0.0, sim_time_s - self._time_s.get(entity_id, sim_time_s))
            self._time_s[entity_id] = sim_time_s
            row["figures_at_ms"] = round(sim_time_s * 1000)
            measured.add("figures_at_ms")
        weight = 1.0 - math.exp(-passed_s / MEAN_TIME_CONSTANT_S)
        for name, value in figures.items():
            missing = value != value  # noqa: PLR0124 - NaN
            if name == "serving_count" and kind is Kind.CELL:
                row[name] = None if missing else int(value)
                measured.add(name)
                continue
            kpi = _KPIS[kind].get(name)
            if kpi is None:
                self.ignored += 1
                continue
            row[kpi_property(name)] = None if missing else float(value)
            measured.add(kpi_property(name))
            if kpi.watched and not missing:
                measured.add(mean_property(name))
                mean = row[mean_property(name)]
                row[mean_property(name)] = float(value) if mean is None else mean + weight * (float(value) - mean)

    def steps(self, ids: Iterable[str] | None = None) -> list[Step]:
        """Return the statements that write the figures of these entities (None = all)."""
        by_kind: dict[Kind, list[Row]] = {}
        for entity_id in self._rows if ids is None else ids:
            kind, row = self._rows[entity_id]
            by_kind.setdefault(kind, []).append(row)
        steps: list[Step] = []
        for kind, rows in by_kind.items():
            # Only columns that ever had a value: the cost of a refresh is columns times rows.
            if names := sorted(self._measured[kind]):
                batch = [{"id": row["id"], **{name: row[name] for name in names}} for row in rows]
                steps.append(update(LABEL_OF_KIND[kind.value].name, names, batch))
        return steps

    def keep_only(self, topology: Topology) -> None:
        """Forget entities that are no longer in the inventory."""
        for entity_id in [known for known in self._rows if known not in topology]:
            del self._rows[entity_id]
            self._time_s.pop(entity_id, None)
