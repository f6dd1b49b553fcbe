"""Changes from proposal to proof, with a scene that obeys, refuses, lies or is away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twin.clock import CivilTime
from twin.commands import Command, CommandResult, CommandStage, SetAttribute, SetAttributes
from twin.control import Advice, Change, ChangeState, Shadow, digest_of, no_shadow, shadow_of
from twin.entities import Kind
from twin.errors import (
    AgainstAdvice,
    Conflict,
    DeadlineExceeded,
    DigestMismatch,
    GraphUnavailable,
    InvalidTransition,
    NotFound,
    PermissionDenied,
    SceneUnavailable,
    StoreUnavailable,
    TwinError,
)
from twin.kpi import kpis_of
from twin.ports import SceneInfo
from twin.telemetry import PmReport
from twin.testing import MemoryTelemetryStore
from twin.what_if_report import Delta, Verdict, WhatIfReport
from twin_app.access import SCOPES, Caller, Role, local_caller
from twin_app.change_desk import ChangeDesk
from twin_app.inventory import LiveInventory
from twin_app.journal import SqliteJournal
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.settings import ApprovalSettings, GrpcSettings

SCENARIO = build_scenario(ScenarioSpec(num_ues=20))
LOCAL = local_caller()
CELL = "cell-7-2"


class Scene:
    """A scene at the end of the link: keeps attributes, does what `mood` says."""

    def __init__(self) -> None:
        self.mood: str = "obeys"
        self.commands: list[Command] = []

    async def send(self, command: Command, *, timeout_s: float) -> CommandResult:
        self.commands.append(command)
        assert isinstance(command.body, SetAttributes)
        mood, self.mood = self.mood, "obeys" if self.mood in {"lies once", "refuses once"} else self.mood
        match mood:
            case "away":
                raise SceneUnavailable("no scene is connected")
            case "silent":
                raise DeadlineExceeded(f"no answer within {timeout_s} s")
            case "refuses once":
                return CommandResult(command_id=command.id, stage=CommandStage.REJECTED, reason="mast is locked")
            case "lies once":
                wrong = tuple(
                    SetAttribute(entity_id=a.entity_id, attribute=a.attribute, value=1.0) for a in command.body.actions
                )
                return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, observed=wrong)
            case _:
                return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, observed=command.body.actions)


class FillingDisk:
    """The journal of the bench on a disk that is full while `full` is set."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal
        self.full = False

    async def append(self, kind: str, facts: Sequence[Mapping[str, Any]]) -> int:
        if self.full:
            raise StoreUnavailable("the disk is full")
        return await self._journal.append(kind, facts)

    async def replay(self, kind: str, *, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
        return await self._journal.replay(kind, after=after)


class Oracle:
    """A shadow twin that says what it is told to, once it is let."""

    def __init__(self) -> None:
        self.may_speak = asyncio.Event()
        self.says: Shadow | Exception = no_shadow("it is a test")
        self.called_off = 0

    async def judge(self, actions: Sequence[SetAttribute], *, on_progress: Callable[[float], None]) -> Shadow:
        assert actions
        on_progress(0.5)
        try:
            await self.may_speak.wait()
        except asyncio.CancelledError:
            self.called_off += 1
            raise
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def predicted(delta: float, *, around: float = 10.0, base: float = 1_000.0) -> WhatIfReport:
    """A report in which the throughput of the cell moves by this much."""
    found = Delta(
        entity_id=CELL,
        kpi="DRB.UEThpDl",
        unit="kbit/s",
        verdict=Verdict.WORSE if delta < 0 else Verdict.BETTER,
        base=base,
        changed=base + delta,
        delta=delta,
        low=delta - 1.0,
        high=delta + 1.0,
        likely_low=delta - around,
        likely_high=delta + around,
    )
    return WhatIfReport(
        fidelity="state",
        sim_time_s=1.0,
        horizon_s=60.0,
        settle_s=5.0,
        seeds=(1, 2),
        targets=(CELL,),
        deltas=(found,),
        guard=found,
    )


class Bench:
    """A change desk on a real journal, with simulated time driven by reports."""

    def __init__(self, folder: Path, *, verify_s: float = 3.0, oracle: "Oracle | None" = None) -> None:
        self.folder, self.verify_s, self.oracle = folder, verify_s, oracle
        self.scene = Scene()
        self.told: list[Change] = []
        self.deaf = False
        self.throughput = 1_000.0
        self._seq = 0

    async def open(self) -> "Bench":
        self.journal = SqliteJournal(self.folder / "journal.sqlite")
        await self.journal.open()
        self.disk = FillingDisk(self.journal)
        civil = CivilTime(epoch=datetime(2026, 1, 1, tzinfo=UTC), timezone="UTC")
        self.inventory = LiveInventory(scenario=SCENARIO, scene_id="city", civil=civil, journal=self.disk)
        await self.inventory.restore()
        self.store = MemoryTelemetryStore(self.inventory.topology)
        self.desk = ChangeDesk(
            inventory=self.inventory,
            journal=self.disk,
            link=self.scene,
            store=self.store,
            approval=ApprovalSettings(verify_s=self.verify_s),
            grpc=GrpcSettings(),
            on_change=self._tell,
            on_applied=self._applied,
            shadow=self.oracle,
        )
        await self.desk.restore()
        info = SceneInfo(
            scene_id="city", session_id="s", engine="test", engine_version="1", provides=frozenset({"KPI"}), epoch=1
        )
        self.inventory.scene_came(info)
        self._clock = asyncio.create_task(self._tick())
        return self

    async def close(self) -> None:
        self._clock.cancel()
        await self.desk.close()
        await self.journal.close()

    async def _tell(self, change: Change) -> None:
        if self.deaf:
            raise GraphUnavailable("the graph is being rebuilt")
        self.told.append(change)

    async def _applied(self, entity_ids: tuple[str, ...]) -> None:
        assert entity_ids

    async def _tick(self) -> None:
        cells = self.inventory.topology.of_kind(Kind.CELL)
        counters = tuple(k.name for k in kpis_of(Kind.CELL))
        while True:
            self._seq += 1
            report = PmReport(
                scene_id="city",
                epoch=1,
                seq=self._seq,
                revision=1,
                granularity_period_s=1,
                period_end_sim_time_s=float(self._seq),
                entity_index=np.array([c.index for c in cells], np.uint32),
                counters=counters,
                values=np.full((len(cells), len(counters)), self.throughput, np.float32),
            )
            await self.store.append_pm([report])
            self.store.put_pm(report)
            self.inventory.note_time(float(self._seq))
            await asyncio.sleep(0.02)

    async def propose(self, value: float = 30.0, **more: str) -> Change:
        action = SetAttribute(entity_id=CELL, attribute="digitalTilt", value=value)
        return await self.desk.propose(reason="test", actions=[action], proposed_by=LOCAL.name, **more)  # type: ignore[arg-type]

    async def judged(self, change_id: str) -> Change:
        async with asyncio.timeout(20):
            while (change := await self.desk.get(change_id)).state is ChangeState.PROPOSED:
                await asyncio.sleep(0.01)
        return change

    async def ended(self, change_id: str) -> Change:
        async with asyncio.timeout(20):
            while not (change := await self.desk.get(change_id)).final:
                await asyncio.sleep(0.02)
        return change

    def tilt(self) -> object:
        return self.inventory.topology.get(CELL).attributes["digitalTilt"]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = await Bench(tmp_path).open()
    yield made
    await made.close()


async def test_a_change_is_applied_verified_and_committed_with_its_effect(bench: Bench) -> None:
    change = await bench.propose()
    await bench.desk.approve(change.id, caller=LOCAL, digest=change.digest)
    done = await bench.ended(change.id)

    states = [c.state.value for c in bench.told]
    assert states == ["proposed", "validated", "approved", "applying", "verifying", "committed"]
    assert bench.tilt() == 30.0
    assert {e.kpi for e in done.effects} >= {"DRB.UEThpDl", "vsData6gMeanSsRsrp"}


@pytest.mark.parametrize("mood", ["refuses once", "lies once"])
async def test_what_the_scene_refuses_or_observes_otherwise_is_taken_back(bench: Bench, mood: str) -> None:
    old = bench.tilt()
    bench.scene.mood = mood
    change = await bench.propose()
    await bench.desk.approve(change.id, caller=LOCAL, digest=change.digest)
    done = await bench.ended(change.id)

    assert (done.state, bench.tilt()) == (ChangeState.ROLLED_BACK, old)
    assert bench.scene.commands[-1].body == SetAttributes(actions=change.inverse)


@pytest.mark.parametrize("mood", ["away", "silent"])
async def test_without_a_scene_the_change_fails_and_the_configuration_stays(bench: Bench, mood: str) -> None:
    old = bench.tilt()
    bench.scene.mood = mood
    change = await bench.propose()
    await bench.desk.approve(change.id, caller=LOCAL, digest=change.digest)
    done = await bench.ended(change.id)

    assert (done.state, bench.tilt()) == (ChangeState.FAILED, old)


async def test_a_change_that_halves_throughput_is_taken_back(bench: Bench) -> None:
    old = bench.tilt()
    await asyncio.sleep(0.1)
    change = await bench.propose()
    await bench.desk.approve(change.id, caller=LOCAL, digest=change.digest)
    bench.throughput = 100.0
    done = await bench.ended(change.id)

    assert (done.state, bench.tilt()) == (ChangeState.ROLLED_BACK, old)
    assert "fell from" in done.outcome


async def test_a_foreign_approver_needs_the_digest_and_may_not_approve_their_own(bench: Bench) -> None:
    ann = Caller(name="token:ann", scopes=SCOPES[Role.OPERATOR])
    mine = await bench.desk.propose(
        reason="", actions=[SetAttribute(entity_id=CELL, attribute="digitalTilt", value=20)], proposed_by=ann.name
    )
    theirs = await bench.propose()

    with pytest.raises(PermissionDenied, match="digest"):
        await bench.desk.approve(theirs.id, caller=ann, digest=None)
    with pytest.raises(PermissionDenied, match="somebody else"):
        await bench.desk.approve(mine.id, caller=ann, digest=mine.digest)


async def test_undo_proposes_the_inverse_of_the_last_committed_change_once(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.desk.undo(None, proposed_by=LOCAL.name)
    old = bench.tilt()
    change = await bench.propose()
    await bench.desk.approve(change.id, caller=LOCAL, digest=None)
    await bench.ended(change.id)

    undo = await bench.desk.undo(None, proposed_by=LOCAL.name)
    await bench.desk.approve(undo.id, caller=LOCAL, digest=undo.digest)
    await bench.ended(undo.id)

    assert (undo.undoes, bench.tilt()) == (change.id, old)
    with pytest.raises(Conflict, match="undone already"):
        await bench.desk.undo(change.id, proposed_by=LOCAL.name)


async def test_two_changes_of_one_attribute_do_not_overlap(bench: Bench) -> None:
    first = await bench.propose(30)
    await bench.desk.approve(first.id, caller=LOCAL, digest=None)
    while (await bench.desk.get(first.id)).state is not ChangeState.VERIFYING:
        await asyncio.sleep(0.01)
    second = await bench.propose(40)

    with pytest.raises(Conflict, match="still verifying"):
        await bench.desk.approve(second.id, caller=LOCAL, digest=None)
    await bench.ended(first.id)


@pytest.mark.parametrize("state", [ChangeState.APPROVED, ChangeState.APPLYING, ChangeState.VERIFYING])
async def test_a_restart_in_any_state_ends_the_change_once(tmp_path: Path, state: ChangeState) -> None:
    first = await Bench(tmp_path, verify_s=1_000).open()
    old = first.tilt()
    change = await first.propose()
    if state is not ChangeState.VERIFYING:  # stop the carrier before it gets further
        first.scene.send = lambda *_, **__: asyncio.sleep(1_000)  # type: ignore[assignment]
    await first.desk.approve(change.id, caller=LOCAL, digest=None)
    if state is not ChangeState.APPROVED:
        async with asyncio.timeout(10):
            while (await first.desk.get(change.id)).state is not state:
                await asyncio.sleep(0.01)
    await first.close()

    second = await Bench(tmp_path).open()
    ended = await second.desk.get(change.id)
    assert ended.final
    assert second.tilt() == old
    rows = len(await second.journal.replay("change"))
    await second.close()
    third = await Bench(tmp_path).open()
    assert len(await third.journal.replay("change")) == rows
    assert (await third.desk.get(change.id)).state is ended.state
    await third.close()


async def test_an_expired_proposal_cannot_be_approved(tmp_path: Path) -> None:
    bench = await Bench(tmp_path).open()
    bench.desk._approval = ApprovalSettings(expires_s=0.01)
    change = await bench.propose()
    await asyncio.sleep(0.05)

    with pytest.raises(TwinError, match="expired"):
        await bench.desk.approve(change.id, caller=LOCAL, digest=change.digest)
    await bench.close()


async def test_a_proposal_that_the_disk_refused_can_be_made_again_with_the_same_key(bench: Bench) -> None:
    bench.disk.full = True
    with pytest.raises(StoreUnavailable):
        await bench.propose(idempotency_key="k")
    assert await bench.desk.list() == ()
    bench.disk.full = False

    change = await bench.propose(idempotency_key="k")

    assert change.state is ChangeState.VALIDATED
    assert (await bench.propose(idempotency_key="k")).id == change.id


async def test_a_change_under_way_waits_for_the_disk_and_ends(bench: Bench) -> None:
    change = await bench.propose()
    await bench.desk.approve(change.id, caller=LOCAL, digest=change.digest)
    bench.disk.full = True
    await asyncio.sleep(0.1)
    assert not (await bench.desk.get(change.id)).final
    bench.disk.full = False

    assert (await bench.ended(change.id)).state is ChangeState.COMMITTED


async def test_an_approval_that_the_disk_refused_changes_nothing(bench: Bench) -> None:
    change = await bench.propose()
    bench.disk.full = True
    with pytest.raises(StoreUnavailable):
        await bench.desk.approve(change.id, caller=LOCAL, digest=change.digest)

    assert (await bench.desk.get(change.id)).state is ChangeState.VALIDATED
    assert bench.scene.commands == []


async def test_a_change_goes_on_when_the_graph_does_not_take_it(bench: Bench) -> None:
    bench.deaf = True
    change = await bench.propose()
    await bench.desk.approve(change.id, caller=LOCAL, digest=change.digest)

    assert (await bench.ended(change.id)).state is ChangeState.COMMITTED


async def test_of_two_changes_of_one_attribute_approved_at_once_only_one_goes_on(bench: Bench) -> None:
    first, second = await bench.propose(30), await bench.propose(40)

    answers = await asyncio.gather(
        *(bench.desk.approve(c.id, caller=LOCAL, digest=c.digest) for c in (first, second)), return_exceptions=True
    )

    assert [isinstance(a, Conflict) for a in answers] == [False, True]
    await bench.ended(first.id)


async def test_a_stop_between_configuration_and_proof_takes_the_configuration_back(tmp_path: Path) -> None:
    first = await Bench(tmp_path).open()
    old = first.tilt()
    first.scene.send = lambda *_, **__: asyncio.sleep(1_000)  # type: ignore[assignment]
    change = await first.propose()
    await first.desk.approve(change.id, caller=LOCAL, digest=None)
    while (await first.desk.get(change.id)).state is not ChangeState.APPLYING:
        await asyncio.sleep(0.01)
    wanted = [SetAttribute(entity_id=CELL, attribute="digitalTilt", value=30.0)]
    await first.inventory.configure(wanted, change_id=change.id, why="applied")
    await first.close()

    second = await Bench(tmp_path).open()

    assert ((await second.desk.get(change.id)).state, second.tilt()) == (ChangeState.ROLLED_BACK, old)
    await second.close()


async def test_an_expiry_is_journaled_once_however_many_look(tmp_path: Path) -> None:
    bench = await Bench(tmp_path).open()
    bench.desk._approval = ApprovalSettings(expires_s=0.01)
    change = await bench.propose()
    await asyncio.sleep(0.05)

    await asyncio.gather(*(bench.desk.get(change.id) for _ in range(20)))

    assert [f["state"] for _, f in await bench.journal.replay("change")].count("expired") == 1
    await bench.close()


# ---- the shadow twin -----------------------------------------------------------------------------------------


@pytest.fixture
async def shadowed(tmp_path: Path) -> AsyncIterator[Bench]:
    made = await Bench(tmp_path, oracle=Oracle()).open()
    yield made
    await made.close()


def oracle_of(bench: Bench) -> Oracle:
    assert bench.oracle is not None
    return bench.oracle


async def test_a_proposal_is_told_at_once_and_validated_when_the_shadow_has_spoken(shadowed: Bench) -> None:
    oracle = oracle_of(shadowed)
    oracle.says = shadow_of(predicted(-10.0), guard_drop=0.5)
    change = await shadowed.propose()
    await asyncio.sleep(0)
    assert (change.state, change.shadow) == (ChangeState.PROPOSED, None)
    assert shadowed.desk.progress(change.id) == 0.5

    oracle.may_speak.set()
    judged = await shadowed.judged(change.id)

    assert (judged.state, judged.shadow) == (ChangeState.VALIDATED, oracle.says)
    assert judged.digest != change.digest
    assert judged.digest == digest_of(change.actions, base_revision=change.base_revision, shadow=oracle.says)
    assert shadowed.desk.progress(change.id) is None
    assert [c.state.value for c in shadowed.told] == ["proposed", "validated"]
    rows = [fact["state"] for _, fact in await shadowed.journal.replay("change")]
    assert rows == ["proposed", "validated"]


async def test_an_approval_is_bound_to_what_the_shadow_said(shadowed: Bench) -> None:
    oracle = oracle_of(shadowed)
    oracle.says = shadow_of(predicted(-10.0), guard_drop=0.5)
    change = await shadowed.propose()
    with pytest.raises(InvalidTransition, match="still tries"):
        await shadowed.desk.approve(change.id, caller=LOCAL, digest=change.digest)
    oracle.may_speak.set()
    judged = await shadowed.judged(change.id)

    with pytest.raises(DigestMismatch):
        await shadowed.desk.approve(change.id, caller=LOCAL, digest=change.digest)
    await shadowed.desk.approve(change.id, caller=LOCAL, digest=judged.digest)
    assert (await shadowed.ended(change.id)).state is ChangeState.COMMITTED


async def test_the_local_user_without_a_digest_waits_for_the_shadow(shadowed: Bench) -> None:
    change = await shadowed.propose()
    approving = asyncio.create_task(shadowed.desk.approve(change.id, caller=LOCAL, digest=None))
    await asyncio.sleep(0.1)
    assert not approving.done()
    oracle_of(shadowed).may_speak.set()

    assert (await approving).state is ChangeState.APPROVED
    await shadowed.ended(change.id)


async def test_a_harmful_change_needs_the_approver_to_say_so_and_the_journal_keeps_it(shadowed: Bench) -> None:
    oracle = oracle_of(shadowed)
    oracle.says = shadow_of(predicted(-900.0), guard_drop=0.5)
    oracle.may_speak.set()
    change = await shadowed.judged((await shadowed.propose()).id)
    assert change.shadow is not None
    assert change.shadow.advice is Advice.HARMFUL

    with pytest.raises(AgainstAdvice, match="despite_shadow"):
        await shadowed.desk.approve(change.id, caller=LOCAL, digest=change.digest)
    approved = await shadowed.desk.approve(change.id, caller=LOCAL, digest=change.digest, despite_shadow=True)

    assert approved.despite_shadow
    facts = [fact for _, fact in await shadowed.journal.replay("change")]
    assert [fact["despite_shadow"] for fact in facts if fact["state"] == "approved"] == [True]
    await shadowed.ended(change.id)


async def test_a_shadow_that_cannot_run_is_said_and_does_not_block(shadowed: Bench) -> None:
    oracle = oracle_of(shadowed)
    oracle.says = RuntimeError("a bug")
    oracle.may_speak.set()
    change = await shadowed.judged((await shadowed.propose()).id)

    assert change.shadow is not None
    assert (change.state, change.shadow.fidelity) == (ChangeState.VALIDATED, "unavailable")
    assert "failed" in change.shadow.reason
    await shadowed.desk.approve(change.id, caller=LOCAL, digest=change.digest)
    assert (await shadowed.ended(change.id)).state is ChangeState.COMMITTED


async def test_a_proposal_that_is_rejected_calls_its_shadow_off(shadowed: Bench) -> None:
    change = await shadowed.propose()
    await asyncio.sleep(0.05)
    rejected = await shadowed.desk.reject(change.id, caller=LOCAL, reason="no")
    await asyncio.sleep(0.05)

    assert (rejected.state, oracle_of(shadowed).called_off) == (ChangeState.REJECTED, 1)
    assert (await shadowed.desk.get(change.id)).state is ChangeState.REJECTED


async def test_the_same_key_gives_the_same_change_before_and_after_the_shadow(shadowed: Bench) -> None:
    first = await shadowed.propose(idempotency_key="k")
    during = await shadowed.propose(idempotency_key="k")
    oracle_of(shadowed).may_speak.set()
    await shadowed.judged(first.id)
    after = await shadowed.propose(idempotency_key="k")

    assert [c.id for c in (first, during, after)] == [first.id] * 3
    assert [c.state.value for c in (first, during, after)] == ["proposed", "proposed", "validated"]


async def test_a_restart_while_the_shadow_runs_ends_the_change_once(tmp_path: Path) -> None:
    first = await Bench(tmp_path, oracle=Oracle()).open()
    change = await first.propose()
    await asyncio.sleep(0.05)
    await first.close()

    second = await Bench(tmp_path, oracle=Oracle()).open()
    ended = await second.desk.get(change.id)
    assert (ended.state, "propose it again" in ended.outcome) == (ChangeState.FAILED, True)
    rows = len(await second.journal.replay("change"))
    await second.close()
    third = await Bench(tmp_path).open()
    assert len(await third.journal.replay("change")) == rows
    await third.close()


async def test_what_the_shadow_said_survives_a_restart(tmp_path: Path) -> None:
    first = await Bench(tmp_path, oracle=Oracle()).open()
    oracle_of(first).says = shadow_of(predicted(-10.0), guard_drop=0.5)
    oracle_of(first).may_speak.set()
    change = await first.judged((await first.propose()).id)
    await first.close()

    second = await Bench(tmp_path, oracle=Oracle()).open()
    again = await second.desk.get(change.id)
    await second.close()

    assert (again.shadow, again.digest) == (change.shadow, change.digest)


async def test_a_verdict_waits_for_the_disk(shadowed: Bench) -> None:
    change = await shadowed.propose()
    shadowed.disk.full = True
    oracle_of(shadowed).may_speak.set()
    await asyncio.sleep(0.1)
    assert (await shadowed.desk.get(change.id)).state is ChangeState.PROPOSED
    shadowed.disk.full = False

    assert (await shadowed.judged(change.id)).state is ChangeState.VALIDATED


@pytest.mark.parametrize(("delta", "held"), [(0.0, True), (-300.0, False)])
async def test_the_outcome_says_whether_the_prediction_held(shadowed: Bench, delta: float, *, held: bool) -> None:
    oracle = oracle_of(shadowed)
    oracle.says = shadow_of(predicted(delta), guard_drop=0.5)
    oracle.may_speak.set()
    await asyncio.sleep(0.2)  # some measured past
    change = await shadowed.judged((await shadowed.propose()).id)
    await shadowed.desk.approve(change.id, caller=LOCAL, digest=change.digest)
    done = await shadowed.ended(change.id)

    (effect,) = [e for e in done.effects if (e.entity_id, e.kpi) == (CELL, "DRB.UEThpDl")]
    assert (done.state, effect.as_predicted) == (ChangeState.COMMITTED, held)
    assert f"{int(held)} of 1 measured effects lie where the shadow twin expected them" in done.outcome
