"""Alarms as REST and news show them: the X.733 names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twin.alarms import Alarm
    from twin.clock import CivilTime


def alarm_to_json(alarm: Alarm, civil: CivilTime) -> dict[str, Any]:
    """Return one alarm in the X.733 form."""
    return {
        "id": alarm.id,
        "entity": alarm.entity_id,
        "dn": alarm.dn,
        "probableCause": alarm.probable_cause,
        "perceivedSeverity": alarm.perceived_severity.value,
        "eventType": alarm.event_type,
        "specificProblem": alarm.specific_problem,
        "raised_at": civil.rfc3339(alarm.raised_at_s),
        "cleared_at": None if alarm.cleared_at_s is None else civil.rfc3339(alarm.cleared_at_s),
        "evidence": [
            {"kpi": e.kpi, "value": e.value, "expected": e.expected, "unit": e.unit, "score": e.score}
            for e in alarm.evidence
        ],
    }
