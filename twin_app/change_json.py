"""Changes as journal facts and as REST JSON: the only place that knows both forms."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from twin.commands import SetAttribute
from twin.control import Change, ChangeState, KpiEffect, PlannedAction
from twin_app.what_if_json import shadow_from_fact, shadow_to_json

if TYPE_CHECKING:
    from twin.clock import CivilTime


_DEEP = {"state", "actions", "observed", "effects", "shadow", "idempotency_key", "body_hash"}


def change_to_fact(change: Change) -> dict[str, Any]:
    """Return the change as plain values for the journal."""
    fact = asdict(change)
    fact["state"] = change.state.value
    for effect in fact["effects"]:
        for side in ("before", "after"):
            effect[side] = None if math.isnan(effect[side]) else effect[side]
    return fact


def change_from_fact(fact: dict[str, Any]) -> Change:
    """Return the change that a journal fact holds."""
    rest = {k: v for k, v in fact.items() if k not in _DEEP}
    return Change(
        state=ChangeState(fact["state"]),
        actions=tuple(PlannedAction(**a) for a in fact["actions"]),
        observed=tuple(SetAttribute(**o) for o in fact["observed"]),
        effects=tuple(
            KpiEffect(
                entity_id=e["entity_id"],
                kpi=e["kpi"],
                unit=e["unit"],
                before=math.nan if e["before"] is None else e["before"],
                after=math.nan if e["after"] is None else e["after"],
                as_predicted=e.get("as_predicted"),  # facts of before the shadow twin have none
            )
            for e in fact["effects"]
        ),
        shadow=shadow_from_fact(fact.get("shadow")),
        **rest,
    )


def change_line(change: Change, civil: CivilTime, *, progress: float | None = None) -> dict[str, Any]:
    """Return the change for lists and news: the prediction in words, without its many figures."""
    line = change_to_json(change, civil, progress=progress)
    if line["shadow"] is not None:
        line["shadow"].pop("effects", None)
    return line


def change_to_json(change: Change, civil: CivilTime, *, progress: float | None = None) -> dict[str, Any]:
    """Return the change as REST shows it: times in RFC 3339, NaN as null, every action in words.

    Args:
        progress: 0..1 while the shadow twin tries it out.
    """

    def wall(seconds: float | None) -> str | None:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")

    def sim(seconds: float | None) -> str | None:
        return None if seconds is None else civil.rfc3339(seconds)

    return {
        "id": change.id,
        "state": change.state.value,
        "reason": change.reason,
        "digest": change.digest,
        "base_revision": change.base_revision,
        "actions": [
            {
                "entity": a.entity_id,
                "attribute": a.attribute,
                "value": a.value,
                "old_value": a.old_value,
                "unit": a.unit,
                "in_words": a.sentence,
            }
            for a in change.actions
        ],
        "proposed_by": change.proposed_by,
        "proposed_at": wall(change.proposed_at_unix_s),
        "expires_at": wall(change.expires_at_unix_s),
        "approved_by": change.approved_by or None,
        "approved_at": wall(change.approved_at_unix_s),
        "applied_at": sim(change.applied_at_sim_s),
        "finished_at": sim(change.finished_at_sim_s),
        "observed": [{"entity": o.entity_id, "attribute": o.attribute, "value": o.value} for o in change.observed],
        "effects": [
            {
                "entity": e.entity_id,
                "kpi": e.kpi,
                "unit": e.unit,
                "before": None if math.isnan(e.before) else e.before,
                "after": None if math.isnan(e.after) else e.after,
                "as_predicted": e.as_predicted,
            }
            for e in change.effects
        ],
        "shadow": shadow_to_json(change.shadow, civil, progress=progress),
        "despite_shadow": change.despite_shadow,
        "outcome": change.outcome or None,
        "undoes": change.undoes or None,
        "question_id": change.question_id or None,
    }
