"""The life cycle of a change, as a pure state machine.

proposed -> validated -> approved -> applying -> verifying -> committed | rolled_back, with the exits rejected,
expired and failed. A change is validated once the shadow twin has said what it would do, or that it cannot tell.
Nothing here does I/O: `twin_app.change_desk` journals each transition before acting on it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from twin.attributes import attribute, check, describe
from twin.commands import SetAttribute
from twin.contradictions import check_together
from twin.errors import AgainstAdvice, DigestMismatch, InvalidInput, InvalidTransition, StaleRevision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin.attributes import AttributeValue
    from twin.topology import Topology
    from twin.what_if_report import WhatIfReport

MAX_ACTIONS = 20
"""Blast radius: one change touches at most this many attributes."""


class ChangeState(StrEnum):
    """Where a change stands."""

    PROPOSED = "proposed"
    VALIDATED = "validated"
    APPROVED = "approved"
    APPLYING = "applying"
    VERIFYING = "verifying"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    EXPIRED = "expired"
    FAILED = "failed"


_NEXT: dict[ChangeState, frozenset[ChangeState]] = {
    ChangeState.PROPOSED: frozenset(
        {ChangeState.VALIDATED, ChangeState.REJECTED, ChangeState.EXPIRED, ChangeState.FAILED}
    ),
    ChangeState.VALIDATED: frozenset({ChangeState.APPROVED, ChangeState.REJECTED, ChangeState.EXPIRED}),
    ChangeState.APPROVED: frozenset({ChangeState.APPLYING, ChangeState.FAILED}),
    ChangeState.APPLYING: frozenset({ChangeState.VERIFYING, ChangeState.ROLLED_BACK, ChangeState.FAILED}),
    ChangeState.VERIFYING: frozenset({ChangeState.COMMITTED, ChangeState.ROLLED_BACK, ChangeState.FAILED}),
}

FINAL = frozenset(ChangeState) - frozenset(_NEXT)
"""States that no change leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAction:
    """One attribute to change, with what it replaces (3GPP name and unit)."""

    entity_id: str
    attribute: str
    value: AttributeValue
    old_value: AttributeValue
    unit: str

    @property
    def sentence(self) -> str:
        """The action in words, with units that people use."""
        row = attribute(self.attribute)
        before, after = describe(self.attribute, self.old_value), describe(self.attribute, self.value)
        return f"{row.label} of {self.entity_id}: {before} -> {after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiEffect:
    """What one KPI of one entity did when the change took effect.

    Attributes:
        as_predicted: Whether the difference lies where the shadow twin expected one measurement; None = it did not say.
    """

    entity_id: str
    kpi: str
    unit: str
    before: float
    after: float
    as_predicted: bool | None = None


class Advice(StrEnum):
    """What the shadow twin advises."""

    NONE = "none"
    """It could not tell."""
    FINE = "fine"
    HARMFUL = "harmful"
    """The guard KPI around the change surely falls by more than is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """What the shadow twin said of a change.

    Attributes:
        fidelity: How near it stood to the scene; "unavailable" = it did not run.
        reason: Why it did not run, or why it is only approximate.
        report: None when it did not run.
    """

    fidelity: Literal["state", "approximate", "unavailable"]
    advice: Advice = Advice.NONE
    reason: str = ""
    report: WhatIfReport | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of everything that an approver sees of it."""
        found = "" if self.report is None else self.report.digest
        facts = [self.fidelity, self.advice.value, self.reason, found]
        return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()


def no_shadow(reason: str) -> Shadow:
    """Return what to show when the shadow twin did not run."""
    return Shadow(fidelity="unavailable", reason=reason)


def shadow_of(report: WhatIfReport, *, guard_drop: float, reason: str = "") -> Shadow:
    """Return what the shadow twin advises after it ran.

    Args:
        guard_drop: Share by which the guard KPI may fall.
    """
    advice = Advice.HARMFUL if report.harms(guard_drop=guard_drop) else Advice.FINE
    return Shadow(fidelity=report.fidelity, advice=advice, reason=reason, report=report)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change with all that was decided about it.

    Attributes:
        digest: SHA-256 over plan, base revision and, once validated, the shadow report; an approval is bound to it.
        base_revision: Topology revision the plan was made for.
        shadow: What the shadow twin said; None while it runs.
        despite_shadow: The approver went on although the shadow twin predicts harm.
        expires_at_unix_s: Wall time after which it can no longer be approved.
        undoes: The change that this one inverts.
    """

    id: str
    state: ChangeState
    reason: str
    actions: tuple[PlannedAction, ...]
    base_revision: int
    digest: str
    proposed_by: str
    proposed_at_unix_s: float
    proposed_at_sim_s: float
    expires_at_unix_s: float
    approved_by: str = ""
    approved_at_unix_s: float | None = None
    applied_at_sim_s: float | None = None
    finished_at_sim_s: float | None = None
    observed: tuple[SetAttribute, ...] = ()
    effects: tuple[KpiEffect, ...] = ()
    shadow: Shadow | None = None
    despite_shadow: bool = False
    outcome: str = ""
    undoes: str = ""
    question_id: str = ""
    command_id: str = ""

    @property
    def final(self) -> bool:
        """Whether it will never move again."""
        return self.state in FINAL

    @property
    def inverse(self) -> tuple[SetAttribute, ...]:
        """The actions that take it back, last first."""
        return tuple(
            SetAttribute(entity_id=a.entity_id, attribute=a.attribute, value=a.old_value)
            for a in reversed(self.actions)
        )


def digest_of(
    actions: Sequence[PlannedAction], *, base_revision: int, undoes: str = "", shadow: Shadow | None = None
) -> str:
    """Return the SHA-256 of the canonical plan and its shadow: order matters, wording does not."""
    plan = {
        "actions": [[a.entity_id, a.attribute, a.value, a.old_value] for a in actions],
        "base_revision": base_revision,
        "undoes": undoes,
    }
    if shadow is not None:
        plan["shadow"] = shadow.digest
    return hashlib.sha256(json.dumps(plan, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def plan(actions: Sequence[SetAttribute], *, topology: Topology) -> tuple[PlannedAction, ...]:
    """Check a proposal against range, policy and inventory, and note what each action replaces.

    Raises:
        InvalidInput: Empty, too many, twice the same attribute, or nothing would change.
        UnknownEntity: No such entity. UnknownName: No such attribute, or the entity has none of it.
        OutOfRange: Outside the NRM range or the policy, or values that contradict each other.
    """
    if not actions:
        raise InvalidInput("a change needs at least one action")
    if len(actions) > MAX_ACTIONS:
        raise InvalidInput(
            f"a change may touch at most {MAX_ACTIONS} attributes, this one has `{len(actions)}`; split it"
        )
    seen: set[tuple[str, str]] = set()
    planned: list[PlannedAction] = []
    for action in actions:
        entity = topology.get(action.entity_id)
        row = attribute(action.attribute)
        value = check(row.name, action.value)
        if row.name not in entity.attributes:
            raise InvalidInput(f"`{entity.id}` is a {entity.kind.value} and has no `{row.name}`")
        key = (entity.id, row.name)
        if key in seen:
            raise InvalidInput(f"`{row.name}` of `{entity.id}` appears twice")
        seen.add(key)
        old = entity.attributes[row.name]
        planned.append(
            PlannedAction(entity_id=entity.id, attribute=row.name, value=value, old_value=old, unit=row.unit)
        )
    check_together(planned, topology=topology, values_of=lambda entity_id: topology.get(entity_id).attributes)
    if all(a.value == a.old_value for a in planned):
        raise InvalidInput("nothing would change: " + "; ".join(a.sentence for a in planned))
    return tuple(planned)


def move(change: Change, state: ChangeState, **facts: object) -> Change:
    """Return the change in its next state with the facts that belong to the transition.

    Raises:
        InvalidTransition: The life cycle has no such step.
    """
    if state not in _NEXT.get(change.state, frozenset()):
        raise InvalidTransition(f"change `{change.id}` is {change.state.value}; it cannot become {state.value}")
    return replace(change, state=state, **facts)  # type: ignore[arg-type]


def validate(change: Change, shadow: Shadow) -> Change:
    """Return the change with what the shadow twin said of it; its digest now covers that, too.

    Raises:
        InvalidTransition: It is not waiting for that.
    """
    digest = digest_of(change.actions, base_revision=change.base_revision, undoes=change.undoes, shadow=shadow)
    return move(change, ChangeState.VALIDATED, shadow=shadow, digest=digest)


def approve(
    change: Change,
    *,
    by: str,
    digest: str | None,
    now_unix_s: float,
    revision: int,
    despite_shadow: bool = False,
) -> Change:
    """Return the change approved, if the approver saw what stands and the world has not moved on.

    Raises:
        InvalidTransition: Its shadow still runs, or it is used, expired or rejected. DigestMismatch: Another plan or
        shadow. StaleRevision: Topology changed. AgainstAdvice: The shadow twin predicts harm.
    """
    if change.state is ChangeState.PROPOSED:
        raise InvalidTransition(f"the shadow twin still tries `{change.id}` out; look at what it says and approve then")
    if change.state is not ChangeState.VALIDATED:
        raise InvalidTransition(
            f"change `{change.id}` is {change.state.value}; only a validated change can be approved"
        )
    if now_unix_s >= change.expires_at_unix_s:
        raise InvalidTransition(f"change `{change.id}` expired; propose it again")
    if digest is not None and digest != change.digest:
        raise DigestMismatch(
            f"change `{change.id}` has another digest than `{digest}`; look at it again before approving"
        )
    if revision != change.base_revision:
        raise StaleRevision(
            f"the configuration is at revision `{revision}`, change `{change.id}` was made for"
            f" `{change.base_revision}`; propose it again"
        )
    harmful = change.shadow is not None and change.shadow.advice is Advice.HARMFUL
    if harmful and not despite_shadow:
        raise AgainstAdvice(
            f"the shadow twin predicts that `{change.id}` does harm; reject it, or approve it with `despite_shadow`"
        )
    return move(
        change,
        ChangeState.APPROVED,
        approved_by=by,
        approved_at_unix_s=now_unix_s,
        despite_shadow=harmful and despite_shadow,
    )
