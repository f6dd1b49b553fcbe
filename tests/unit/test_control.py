"""The life cycle of a change, without any I/O."""

from dataclasses import replace

import pytest

from twin.attributes import check, describe, to_managed, to_native
from twin.commands import SetAttribute
from twin.control import FINAL, Change, ChangeState, approve, digest_of, move, no_shadow, plan, validate
from twin.entities import Kind
from twin.errors import (
    DigestMismatch,
    InvalidInput,
    InvalidTransition,
    OutOfRange,
    StaleRevision,
    UnknownEntity,
    UnknownName,
)
from twin.topology import Entity, Topology

CELL = Entity(
    index=0,
    id="cell-7-2",
    kind=Kind.CELL,
    name="cell 7-2",
    attributes={
        "digitalTilt": 60.0,
        "digitalAzimuth": 0.0,
        "configuredMaxTxPower": 19_953.0,
        "administrativeState": "UNLOCKED",
    },
)
SITE = Entity(index=1, id="site-7", kind=Kind.SITE, name="site 7")
POLICY = Entity(
    index=2,
    id="policy-7-embb",
    kind=Kind.POLICY,
    name="eMBB at site 7",
    parent_id="site-7",
    attributes={"rRMPolicyMinRatio": 10.0, "rRMPolicyMaxRatio": 60.0, "rRMPolicyDedicatedRatio": 0.0},
)
TOPOLOGY = Topology([CELL, SITE, POLICY], revision=4)


def tilt(value: float | str, entity: str = "cell-7-2") -> SetAttribute:
    return SetAttribute(entity_id=entity, attribute="digitalTilt", value=value)


def validated(*, expires: float = 100.0) -> Change:
    actions = plan([tilt(80)], topology=TOPOLOGY)
    return Change(
        id="change-1",
        state=ChangeState.VALIDATED,
        reason="",
        actions=actions,
        base_revision=4,
        digest=digest_of(actions, base_revision=4),
        proposed_by="local:ann",
        proposed_at_unix_s=0.0,
        proposed_at_sim_s=0.0,
        expires_at_unix_s=expires,
    )


def test_a_plan_notes_what_each_action_replaces() -> None:
    (action,) = plan([tilt(80)], topology=TOPOLOGY)

    assert (action.old_value, action.value, action.unit) == (60.0, 80.0, "0.1 deg")
    assert action.sentence == "electrical tilt of cell-7-2: 6 deg -> 8 deg"


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (tilt(80, "cell-99-1"), UnknownEntity),
        (tilt(200), OutOfRange),
        (tilt("much"), OutOfRange),
        (tilt(float("nan")), OutOfRange),
        (tilt(63.3), OutOfRange),
        (tilt(80, "site-7"), InvalidInput),
        (tilt(60), InvalidInput),
        (SetAttribute(entity_id="cell-7-2", attribute="colour", value=1), UnknownName),
        (SetAttribute(entity_id="cell-7-2", attribute="administrativeState", value="OPEN"), OutOfRange),
        (SetAttribute(entity_id="cell-7-2", attribute="configuredMaxTxPower", value=True), OutOfRange),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused(action: SetAttribute, error: type[Exception]) -> None:
    with pytest.raises(error):
        plan([action], topology=TOPOLOGY)


def test_a_plan_needs_at_least_one_action_and_each_attribute_once() -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        plan([], topology=TOPOLOGY)
    with pytest.raises(InvalidInput, match="twice"):
        plan([tilt(80), tilt(70)], topology=TOPOLOGY)


def test_values_that_contradict_each_other_are_refused_unless_they_change_together() -> None:
    least = SetAttribute(entity_id=POLICY.id, attribute="rRMPolicyMinRatio", value=80)
    most = SetAttribute(entity_id=POLICY.id, attribute="rRMPolicyMaxRatio", value=90)

    with pytest.raises(OutOfRange, match="dedicated <= min <= max"):
        plan([least], topology=TOPOLOGY)
    assert len(plan([least, most], topology=TOPOLOGY)) == 2


def test_what_the_shadow_twin_says_makes_a_proposal_validated_and_changes_its_digest() -> None:
    proposed = replace(validated(), state=ChangeState.PROPOSED)
    one, other = validate(proposed, no_shadow("no scene")), validate(proposed, no_shadow("switched off"))

    assert (one.state, one.shadow) == (ChangeState.VALIDATED, no_shadow("no scene"))
    assert len({proposed.digest, one.digest, other.digest}) == 3
    with pytest.raises(InvalidTransition):
        validate(one, no_shadow("again"))


def test_the_digest_depends_on_plan_revision_and_what_it_undoes() -> None:
    one, other = plan([tilt(80)], topology=TOPOLOGY), plan([tilt(81)], topology=TOPOLOGY)
    digests = {
        digest_of(one, base_revision=4),
        digest_of(other, base_revision=4),
        digest_of(one, base_revision=5),
        digest_of(one, base_revision=4, undoes="change-9"),
    }

    assert len(digests) == 4


def test_approval_is_bound_to_the_digest_the_revision_and_the_clock() -> None:
    change = validated()

    with pytest.raises(DigestMismatch):
        approve(change, by="local:ann", digest="0" * 64, now_unix_s=1, revision=4)
    with pytest.raises(StaleRevision):
        approve(change, by="local:ann", digest=change.digest, now_unix_s=1, revision=5)
    with pytest.raises(InvalidTransition, match="expired"):
        approve(change, by="local:ann", digest=change.digest, now_unix_s=100, revision=4)
    approved = approve(change, by="local:ann", digest=change.digest, now_unix_s=1, revision=4)
    with pytest.raises(InvalidTransition):
        approve(approved, by="local:ann", digest=change.digest, now_unix_s=2, revision=4)


def test_no_change_leaves_a_final_state() -> None:
    change = move(validated(), ChangeState.REJECTED)

    assert change.final
    for state in ChangeState:
        with pytest.raises(InvalidTransition):
            move(change, state)
    assert {"committed", "rolled_back", "rejected", "expired", "failed"} == {s.value for s in FINAL}


def test_the_inverse_restores_the_old_values_last_first() -> None:
    power = SetAttribute(entity_id="cell-7-2", attribute="configuredMaxTxPower", value=10_000)
    actions = plan([tilt(80), power], topology=TOPOLOGY)
    change = validated()
    inverse = Change(**{**{f: getattr(change, f) for f in change.__slots__}, "actions": actions}).inverse

    assert [(a.attribute, a.value) for a in inverse] == [("configuredMaxTxPower", 19_953.0), ("digitalTilt", 60.0)]


def test_units_convert_both_ways() -> None:
    assert to_native("digitalTilt", 60) == 6.0
    assert to_managed("digitalTilt", 6.0) == 60.0
    assert pytest.approx(to_native("configuredMaxTxPower", 19_953), abs=1e-3) == 43.0
    assert to_managed("configuredMaxTxPower", 43.0) == 19_953.0
    assert describe("configuredMaxTxPower", 19_953) == "43 dBm"


def test_policy_is_narrower_than_the_standard() -> None:
    assert check("digitalTilt", 150) == 150.0
    with pytest.raises(OutOfRange, match="this twin allows"):
        check("digitalTilt", 300)


def test_a_new_revision_keeps_the_old_one_untouched() -> None:
    after = TOPOLOGY.with_attributes([("cell-7-2", "digitalTilt", 80.0)])

    assert (after.revision, after.get("cell-7-2").attributes["digitalTilt"]) == (5, 80.0)
    assert TOPOLOGY.get("cell-7-2").attributes["digitalTilt"] == 60.0
