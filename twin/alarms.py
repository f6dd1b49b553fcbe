"""Alarms in the X.733 form (3GPP TS 28.532 / TS 28.111 use the same fields)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """perceivedSeverity of X.733."""

    CRITICAL = "CRITICAL"
    MAJOR = "MAJOR"
    MINOR = "MINOR"
    WARNING = "WARNING"
    INDETERMINATE = "INDETERMINATE"
    CLEARED = "CLEARED"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmEvidence:
    """The measurement behind an alarm."""

    kpi: str
    value: float
    expected: float
    unit: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm from raise to clear.

    Attributes:
        id: `alarm-<n>`, unique in the data folder.
        probable_cause: X.733 probableCause.
        event_type: X.733 eventType.
        specific_problem: What exactly, in plain words.
        raised_at_s: Simulated seconds.
        cleared_at_s: Simulated seconds, None while active.
        told_as: Id under which a scene told it; "" = the twin found it itself.
    """

    id: str
    scene_id: str
    entity_id: str
    dn: str
    probable_cause: str
    perceived_severity: Severity
    event_type: str
    specific_problem: str
    raised_at_s: float
    cleared_at_s: float | None = None
    evidence: tuple[AlarmEvidence, ...] = ()
    told_as: str = ""

    @property
    def active(self) -> bool:
        """Whether it has not been cleared."""
        return self.cleared_at_s is None
