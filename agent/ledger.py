"""The book of facts of one answer: a number gets into a sentence only through here, with its evidence id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.question import Evidence, EvidenceValue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin.clock import CivilTime


class Ledger:
    """Collects the evidence of one tool call.

    Args:
        call: Number of the tool call in the answer; its first row is `e<call>`, the next `e<call>.2`.
    """

    def __init__(self, *, call: int, civil: CivilTime) -> None:
        self._call = call
        self._civil = civil
        self.rows: list[Evidence] = []

    @property
    def first_id(self) -> str:
        """The id of the first row, which stands for the call."""
        return f"e{self._call}"

    def add(
        self,
        source: str,
        *,
        entity: str | None = None,
        kpi: str | None = None,
        value: EvidenceValue | None = None,
        series: Sequence[tuple[float, float | None]] | None = None,
        unit: str = "",
        start_s: float | None = None,
        end_s: float | None = None,
        at_s: float | None = None,
    ) -> str:
        """Note a fact and return its mark for the text, ``[e1.2]``. Times are simulated seconds."""
        number = len(self.rows) + 1
        row_id = self.first_id if number == 1 else f"{self.first_id}.{number}"
        self.rows.append(
            Evidence(
                id=row_id,
                source=source,
                entity=entity,
                kpi=kpi,
                value=value,
                series=None if series is None else tuple(series),
                unit=unit,
                start_at=self._time(start_s),
                end_at=self._time(end_s),
                at=self._time(at_s),
            )
        )
        return f"[{row_id}]"

    def _time(self, sim_time_s: float | None) -> str | None:
        return None if sim_time_s is None else self._civil.rfc3339(sim_time_s)
