"""What the detector found, in the X.733 form: cause, type, severity and a sentence for people.

Probable causes and event types are those of ITU-T X.733 (as used by 3GPP TS 28.532).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twin.alarms import AlarmEvidence, Severity
from twin.kpi import kpi

if TYPE_CHECKING:
    from twin.analytics.detector import DetectorEvent, Finding

_DEGRADED_SIGNAL = ("degradedSignal", "communicationsAlarm")
_CONGESTION = ("congestion", "qualityOfServiceAlarm")
_SLOW = ("responseTimeExcessive", "qualityOfServiceAlarm")
_DEGRADED = ("performanceDegraded", "qualityOfServiceAlarm")

_CAUSE_OF_KPI = {
    "vsData6gMeanSsRsrp": _DEGRADED_SIGNAL,
    "vsData6gMeanSsSinr": _DEGRADED_SIGNAL,
    "vsData6gMeanCqi": _DEGRADED_SIGNAL,
    "RRU.PrbTotDl": _CONGESTION,
    "vsData6gLinkLoad": _CONGESTION,
    "DRB.RlcSduDelayDl": _SLOW,
    "vsData6gPacketDelay": _SLOW,
}

DETECTOR_CAUSES = frozenset({cause for cause, _ in _CAUSE_OF_KPI.values()} | {_DEGRADED[0]})
"""The probable causes that the detector raises; its alarms are told from others by them."""

CRITICAL_SCORE = 0.75
"""Three times the threshold."""

DESERTED = 0.2
"""A cell with less than this share of its usual users is out of service in all but name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmWords:
    """The fields of an alarm that follow from a detector event."""

    probable_cause: str
    event_type: str
    severity: Severity
    specific_problem: str
    evidence: tuple[AlarmEvidence, ...]


def words_of(event: DetectorEvent, *, name: str) -> AlarmWords:
    """Return the alarm of a raised event.

    Args:
        name: The entity's name for people.
    """
    findings = event.findings
    # A shift without a bad direction only accompanies; the cause is the worst KPI that has one.
    leading = next((f for f in findings if kpi(f.kpi).good != "none"), findings[0] if findings else None)
    cause, event_type = _DEGRADED if leading is None else _CAUSE_OF_KPI.get(leading.kpi, _DEGRADED)
    deserted = next((f for f in findings if f.kpi == "RRC.ConnMean" and f.value < DESERTED * f.expected), None)
    problem = (
        f"{name}: "
        + ("it has lost its users; " if deserted else "")
        + ("; ".join(_sentence(f) for f in findings[:3]) or "several figures are unusual together")
    )
    return AlarmWords(
        probable_cause=cause,
        event_type=event_type,
        severity=Severity.CRITICAL if deserted else _severity(event, leading),
        specific_problem=problem,
        evidence=tuple(
            AlarmEvidence(kpi=f.kpi, value=f.value, expected=f.expected, unit=kpi(f.kpi).unit, score=f.score)
            for f in findings
        ),
    )


def _severity(event: DetectorEvent, leading: Finding | None) -> Severity:
    if leading is None or kpi(leading.kpi).good == "none":
        return Severity.MINOR
    if event.score >= CRITICAL_SCORE and len(event.findings) > 1:
        return Severity.CRITICAL
    return Severity.MAJOR


def _sentence(finding: Finding) -> str:
    row = kpi(finding.kpi)
    unit = f" {row.unit}" if row.unit else ""
    side = "below" if finding.value < finding.expected else "above"
    value, expected = (f"{number:.{row.decimals}f}{unit}" for number in (finding.value, finding.expected))
    return f"{row.label} is {value}, {side} the usual {expected}"
