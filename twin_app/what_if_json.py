"""What-if reports as journal facts and as REST JSON, and the runs that people start."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from twin.control import Advice, Shadow
from twin.what_if_report import CONFIDENCE, Delta, Verdict, WhatIfReport

if TYPE_CHECKING:
    from twin.clock import CivilTime
    from twin_app.shadow import WhatIfRun


def shadow_from_fact(fact: dict[str, Any] | None) -> Shadow | None:
    """Return what the shadow twin said, as `asdict` wrote it."""
    if fact is None:
        return None
    report = fact["report"]
    return Shadow(
        fidelity=fact["fidelity"],
        advice=Advice(fact["advice"]),
        reason=fact["reason"],
        report=None if report is None else _report_from_fact(report),
    )


def _report_from_fact(fact: dict[str, Any]) -> WhatIfReport:
    own = {key: value for key, value in fact.items() if key not in {"seeds", "targets", "deltas", "guard"}}
    return WhatIfReport(
        seeds=tuple(fact["seeds"]),
        targets=tuple(fact["targets"]),
        deltas=tuple(_delta_from_fact(one) for one in fact["deltas"]),
        guard=_delta_from_fact(fact["guard"]),
        **own,
    )


def _delta_from_fact(fact: dict[str, Any]) -> Delta:
    own: dict[str, Any] = {key: value for key, value in fact.items() if key != "verdict"}
    return Delta(verdict=Verdict(fact["verdict"]), **own)


def shadow_to_json(shadow: Shadow | None, civil: CivilTime, *, progress: float | None) -> dict[str, Any] | None:
    """Return what REST shows of the shadow of a change.

    Args:
        progress: 0..1 while the shadow twin tries it out, None when it does not.
    """
    if shadow is None:
        return None if progress is None else {"state": "running", "progress": round(progress, 3)}
    document: dict[str, Any] = {
        "state": "unavailable" if shadow.report is None else "done",
        "fidelity": shadow.fidelity,
        "advice": shadow.advice.value,
        "reason": shadow.reason or None,
    }
    return document if shadow.report is None else {**document, **report_to_json(shadow.report, civil)}


def report_to_json(report: WhatIfReport, civil: CivilTime) -> dict[str, Any]:
    """Return a report as REST shows it."""
    return {
        "fidelity": report.fidelity,
        "from": civil.rfc3339(report.sim_time_s),
        "horizon_s": report.horizon_s,
        "settle_s": report.settle_s,
        "seeds": list(report.seeds),
        "confidence": CONFIDENCE,
        "in_words": [one.sentence for one in report.main()],
        "guard": delta_to_json(report.guard),
        "effects": [delta_to_json(one) for one in report.deltas],
        "cpu_s": report.cpu_s,
    }


def delta_to_json(delta: Delta) -> dict[str, Any]:
    """Return one effect; `entity` is null for the whole network."""
    row = asdict(delta)
    del row["entity_id"]
    return {
        "entity": delta.entity_id or None,
        **row,
        "verdict": delta.verdict.value,
        "in_words": delta.sentence,
    }


def run_to_json(run: WhatIfRun, civil: CivilTime) -> dict[str, Any]:
    """Return a what-if that somebody started, with its result once there is one."""
    return {
        "id": run.id,
        "state": run.state,
        "progress": round(run.progress, 3),
        "actions": [
            {
                "entity": one.entity_id,
                "attribute": one.attribute,
                "value": one.value,
                "old_value": one.old_value,
                "unit": one.unit,
                "in_words": one.sentence,
            }
            for one in run.actions
        ],
        "horizon_s": run.horizon_s,
        "seeds": run.seeds,
        "started_by": run.started_by,
        "error": None if run.error is None else {"kind": type(run.error).__name__, "detail": str(run.error)},
        "result": None if run.report is None else report_to_json(run.report, civil),
    }
