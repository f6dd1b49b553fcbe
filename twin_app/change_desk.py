"""Changes from proposal to proof: journals each transition, then acts on it.

The life cycle itself is `twin.control`. Order of every step: decide (pure) -> journal -> act. A proposal is journaled
and told at once; what the shadow twin says of it comes seconds later and makes it validated. A restart in any state
ends each unfinished change exactly once: what was not verified is taken back by bringing the scene to the journaled
configuration.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import structlog

from twin.attributes import same_value
from twin.commands import Command, CommandStage, SetAttribute, SetAttributes
from twin.control import Change, ChangeState, KpiEffect, approve, digest_of, move, no_shadow, plan, validate
from twin.entities import Kind
from twin.errors import (
    Conflict,
    DeadlineExceeded,
    KeyReused,
    NotFound,
    PermissionDenied,
    StaleRevision,
    StoreUnavailable,
    TwinError,
)
from twin.ids import uuid7
from twin.kpi import kpi
from twin.what_if import around
from twin.what_if_report import GUARD_KPI
from twin_app.change_json import change_from_fact, change_to_fact
from twin_app.patience import until_stored

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from twin.control import Shadow
    from twin.ports import Journal, SceneLink, TelemetryStore
    from twin_app.access import Caller
    from twin_app.inventory import LiveInventory
    from twin_app.settings import ApprovalSettings, GrpcSettings

EFFECT_KPIS = ("DRB.UEThpDl", "RRU.PrbTotDl", "vsData6gMeanSsRsrp", "vsData6gMeanSsSinr", "RRC.ConnMean")
"""What is measured around a change."""

BEFORE_S = 30.0
"""How long before the change its effect is compared with."""

SETTLE_S = 2.0
"""Simulated seconds after applying that belong to neither side."""

SHADOW_WAIT_S = 20.0
"""How long an approval waits for the shadow twin when the approver takes whatever it says."""

UNDER_WAY = frozenset({ChangeState.APPROVED, ChangeState.APPLYING, ChangeState.VERIFYING})

_log = structlog.get_logger("twin_app.change_desk")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    body_hash: str
    change_id: str


class Judge(Protocol):
    """Who tries proposals out: the shadow twin."""

    async def judge(self, actions: Sequence[SetAttribute], *, on_progress: Callable[[float], None]) -> Shadow:
        """Return what an approver should know; never raises a TwinError."""
        ...


class ChangeDesk:
    """Implements `twin.ports.ChangeDesk` and, for people only, approve and reject.

    Args:
        shadow: Tries proposals out; None = there is none, which every change then says.
    """

    def __init__(
        self,
        *,
        inventory: LiveInventory,
        journal: Journal,
        link: SceneLink,
        store: TelemetryStore,
        approval: ApprovalSettings,
        grpc: GrpcSettings,
        on_change: Callable[[Change], Awaitable[None]],
        on_applied: Callable[[tuple[str, ...]], Awaitable[None]],
        shadow: Judge | None = None,
    ) -> None:
        self._inventory = inventory
        self._journal = journal
        self._link = link
        self._store = store
        self._approval = approval
        self._grpc = grpc
        self._on_change = on_change
        self._on_applied = on_applied
        self._shadow = shadow
        self._judging: dict[str, asyncio.Task[None]] = {}
        self._progress: dict[str, float] = {}
        self._changes: dict[str, Change] = {}
        self._keys: dict[str, _Key] = {}
        self._carriers: set[asyncio.Task[None]] = set()
        self._number = 0
        self._deciding = asyncio.Lock()
        self._restored = False

    async def restore(self) -> None:
        """Replay the journal; end what the last run left unfinished."""
        for _, fact in await self._journal.replay("change"):
            change = change_from_fact(fact)
            self._changes[change.id] = change
            if "idempotency_key" in fact:
                self._keys[fact["idempotency_key"]] = _Key(body_hash=fact["body_hash"], change_id=change.id)
            self._number = max(self._number, int(change.id.rpartition("-")[2]))
        for change in list(self._changes.values()):
            if change.state is ChangeState.PROPOSED:
                outcome = "the twin stopped while its shadow was trying it out; propose it again"
                await self._record(move(change, ChangeState.FAILED, outcome=outcome))
            elif change.state is ChangeState.APPROVED:
                await self._record(
                    move(change, ChangeState.FAILED, outcome="the twin stopped before it was applied; propose it again")
                )
            elif change.state in {ChangeState.APPLYING, ChangeState.VERIFYING}:
                await self._take_back_after_restart(change)
        self._restored = True

    async def close(self) -> None:
        """Stop carrying changes; unfinished ones are ended by the next start."""
        tasks = [*self._carriers, *self._judging.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- proposing ---------------------------------------------------------------------------------------

    async def propose(
        self,
        *,
        reason: str,
        actions: Sequence[SetAttribute],
        proposed_by: str,
        base_revision: int | None = None,
        idempotency_key: str | None = None,
        question_id: str | None = None,
        undoes: str | None = None,
    ) -> Change:
        """Check and journal a proposal; the same Idempotency-Key gives the same change.

        It is `proposed` until the shadow twin has tried it out, a matter of seconds, and `validated` then.
        """
        body_hash = _hash_of(reason, actions, base_revision, undoes)
        async with self._deciding:
            known = self._keys.get(f"{proposed_by}\n{idempotency_key}") if idempotency_key else None
            if known is not None:
                if known.body_hash != body_hash:
                    raise KeyReused(f"Idempotency-Key `{idempotency_key}` was used with another body; take a new key")
                return self._changes[known.change_id]
            topology = self._inventory.topology
            if base_revision is not None and base_revision != topology.revision:
                raise StaleRevision(
                    f"base_revision `{base_revision}` is not the current `{topology.revision}`; read the topology again"
                )
            planned = plan(actions, topology=topology)
            now = time.time()
            change = Change(
                id=f"change-{self._number + 1}",
                state=ChangeState.PROPOSED,
                reason=reason,
                actions=planned,
                base_revision=topology.revision,
                digest=digest_of(planned, base_revision=topology.revision, undoes=undoes or ""),
                proposed_by=proposed_by,
                proposed_at_unix_s=now,
                proposed_at_sim_s=self._inventory.now_s,
                expires_at_unix_s=now + self._approval.expires_s,
                undoes=undoes or "",
                question_id=question_id or "",
            )
            key = f"{proposed_by}\n{idempotency_key}"
            named = {} if idempotency_key is None else {"idempotency_key": key, "body_hash": body_hash}
            if self._shadow is None:
                # One commit: a proposal that is journaled but never validated could not be approved for ever.
                steps = (change, validate(change, no_shadow("the shadow twin is switched off")))
            else:
                steps = (change,)
            made = await self._record(*steps, **named)
            self._number += 1
            if named:
                self._keys[key] = _Key(body_hash=body_hash, change_id=change.id)
            if self._shadow is not None:
                task = asyncio.create_task(self._try_out(change, self._shadow), name=f"shadow of {change.id}")
                self._judging[change.id] = task
                task.add_done_callback(lambda _: self._judging.pop(change.id, None))
            return made

    async def _try_out(self, change: Change, shadow: Judge) -> None:
        """Let the shadow twin judge a proposal and make it validated, whatever comes out."""

        def tell(share: float) -> None:
            self._progress[change.id] = share

        async def validated() -> None:
            async with self._deciding:
                current = self._changes[change.id]
                if current.state is ChangeState.PROPOSED:  # nobody rejected it meanwhile
                    await self._record(validate(current, said))

        try:
            wanted = [SetAttribute(entity_id=a.entity_id, attribute=a.attribute, value=a.value) for a in change.actions]
            try:
                said = await shadow.judge(wanted, on_progress=tell)
            except Exception as error:  # noqa: BLE001 - the change must not wait for ever
                _log.error("shadow_failed", change_id=change.id, exc_info=error)
                said = no_shadow("the shadow twin failed; the twin's log says why")
            await until_stored(validated, what=change.id)
        finally:
            self._progress.pop(change.id, None)

    def progress(self, change_id: str) -> float | None:
        """Return how far the shadow twin is with a proposal, 0..1; None when it is not trying it out."""
        return self._progress.get(change_id, 0.0) if change_id in self._judging else None

    async def undo(self, change_id: str | None, *, proposed_by: str, question_id: str | None = None) -> Change:
        """Propose the inverse of a committed change (None = the last one not yet undone)."""
        undone = {c.undoes for c in self._changes.values() if c.undoes and c.state is ChangeState.COMMITTED}
        if change_id is None:
            candidates = [
                c
                for c in self._changes.values()
                if c.state is ChangeState.COMMITTED and not c.undoes and c.id not in undone
            ]
            if not candidates:
                raise NotFound("there is no committed change to undo")
            target = max(candidates, key=lambda c: c.finished_at_sim_s or 0.0)
        else:
            target = await self.get(change_id)
            if target.state is not ChangeState.COMMITTED:
                raise Conflict(f"`{target.id}` is {target.state.value}; only a committed change can be undone")
            if target.id in undone:
                raise Conflict(f"`{target.id}` has been undone already")
        return await self.propose(
            reason=f"undo {target.id}: {target.reason}",
            actions=target.inverse,
            proposed_by=proposed_by,
            question_id=question_id,
            undoes=target.id,
        )

    async def list(self, *, limit: int = 100) -> tuple[Change, ...]:
        """Return changes, newest first."""
        await self._expire_quietly()
        return tuple(sorted(self._changes.values(), key=_number_of, reverse=True)[:limit])

    async def get(self, change_id: str) -> Change:
        """Return one change."""
        await self._expire_quietly()
        return self._find(change_id)

    def _find(self, change_id: str) -> Change:
        try:
            return self._changes[change_id]
        except KeyError:
            raise NotFound(f"there is no change `{change_id}`") from None

    # ---- deciding (people only) --------------------------------------------------------------------------

    async def approve(
        self, change_id: str, *, caller: Caller, digest: str | None, despite_shadow: bool = False
    ) -> Change:
        """Approve what the caller saw and carry it out in the background.

        Without a digest (the local user only) it waits for the shadow twin.

        Args:
            despite_shadow: Go on although the shadow twin predicts harm; it is journaled.
        """
        if digest is None and caller.local:
            await self._judged(change_id)
        async with self._deciding:
            await self._expire()
            change = self._find(change_id)
            if digest is None and not caller.local:
                raise PermissionDenied("send the `digest` of the change that you approve")
            if change.proposed_by == caller.name and not (caller.local and self._approval.self):
                raise PermissionDenied(f"`{caller.name}` proposed `{change_id}`; somebody else must approve it")
            busy = next(
                (c for c in self._changes.values() if c.state in UNDER_WAY and _touches(c) & _touches(change)), None
            )
            if busy is not None and busy.id != change.id:
                raise Conflict(
                    f"`{busy.id}` is still {busy.state.value} on the same attribute; approve again when it is done"
                )
            approved = await self._record(
                approve(
                    change,
                    by=caller.name,
                    digest=digest,
                    now_unix_s=time.time(),
                    revision=self._inventory.topology.revision,
                    despite_shadow=despite_shadow,
                )
            )
        task = asyncio.create_task(self._carry(approved), name=f"carry {approved.id}")
        self._carriers.add(task)
        task.add_done_callback(self._carriers.discard)
        return approved

    async def _judged(self, change_id: str) -> None:
        task = self._judging.get(change_id)
        if task is None:
            return
        done, _ = await asyncio.wait({task}, timeout=SHADOW_WAIT_S)
        if not done:
            raise DeadlineExceeded(f"the shadow twin still tries `{change_id}` out; approve it in a moment")

    async def reject(self, change_id: str, *, caller: Caller, reason: str) -> Change:
        """Reject a proposal."""
        async with self._deciding:
            await self._expire()
            change = self._find(change_id)
            rejected = await self._record(
                move(
                    change, ChangeState.REJECTED, approved_by=caller.name, outcome=reason or "rejected without a reason"
                )
            )
        judging = self._judging.get(change_id)
        if judging is not None:
            judging.cancel()
        return rejected

    # ---- carrying out ------------------------------------------------------------------------------------

    async def _carry(self, change: Change) -> None:
        log = _log.bind(change_id=change.id)
        command_id = uuid7()
        change = await self._record_surely(move(change, ChangeState.APPLYING, command_id=command_id))
        wanted = tuple(
            SetAttribute(entity_id=a.entity_id, attribute=a.attribute, value=a.value) for a in change.actions
        )
        try:
            observed = await self._push(change, wanted, command_id=command_id)
        except TwinError as error:
            log.warning("change_not_applied", error=str(error))
            await self._undo_partly_applied(change, str(error))
            return
        applied_at = self._inventory.now_s
        await until_stored(
            lambda: self._inventory.configure(observed, change_id=change.id, why="applied"), what=change.id
        )
        await self._applied(change)
        change = await self._record_surely(
            move(change, ChangeState.VERIFYING, observed=observed, applied_at_sim_s=applied_at)
        )
        effects, breach = await self._verify(change, applied_at)
        if breach:
            await self._roll_back(change, effects, breach)
            return
        await self._record_surely(
            move(
                change,
                ChangeState.COMMITTED,
                effects=effects,
                finished_at_sim_s=self._inventory.now_s,
                outcome=f"applied as planned; observed values match{_in_words(effects)}",
            )
        )

    async def _push(
        self, change: Change, actions: tuple[SetAttribute, ...], *, command_id: str
    ) -> tuple[SetAttribute, ...]:
        """Send the actions; return what the scene reads back, which must equal what was asked.

        Raises:
            Conflict: The scene refused, or observed another value. SceneUnavailable, DeadlineExceeded.
        """
        timeout_s = self._grpc.command_timeout_s
        result = await self._link.send(
            Command(
                id=command_id,
                body=SetAttributes(actions=actions),
                issued_by=change.approved_by,
                deadline_unix_ns=time.time_ns() + int(timeout_s * 1e9),
                change_id=change.id,
            ),
            timeout_s=timeout_s,
        )
        if result.stage is not CommandStage.APPLIED:
            raise Conflict(f"the scene answered {result.stage.value}: {result.reason or 'no reason given'}")
        seen = {(o.entity_id, o.attribute): o.value for o in result.observed}
        for action in actions:
            value = seen.get((action.entity_id, action.attribute))
            if not same_value(value, action.value):
                raise Conflict(
                    f"the scene observes {action.attribute} of {action.entity_id} = `{value}`, not `{action.value}`"
                )
        return result.observed

    async def _undo_partly_applied(self, change: Change, why: str) -> None:
        """Nothing may stay half applied: push the old values; the configuration never changed."""
        try:
            await self._push(change, change.inverse, command_id=uuid7())
        except TwinError as error:
            outcome = (
                f"{why}; the old values could not be confirmed ({error}); they are restored when the scene reconnects"
            )
            await self._record_surely(
                move(change, ChangeState.FAILED, outcome=outcome, finished_at_sim_s=self._inventory.now_s)
            )
            return
        await self._record_surely(
            move(
                change,
                ChangeState.ROLLED_BACK,
                outcome=f"{why}; the old values are in force",
                finished_at_sim_s=self._inventory.now_s,
            )
        )

    async def _roll_back(self, change: Change, effects: tuple[KpiEffect, ...], why: str) -> None:
        await until_stored(
            lambda: self._inventory.configure(change.inverse, change_id=change.id, why="rolled back"), what=change.id
        )
        outcome = f"{why}; taken back"
        try:
            await self._push(change, change.inverse, command_id=uuid7())
        except TwinError as error:
            outcome += f", but the scene has not confirmed it yet ({error})"
        await self._applied(change)
        await self._record_surely(
            move(
                change,
                ChangeState.ROLLED_BACK,
                effects=effects,
                outcome=outcome,
                finished_at_sim_s=self._inventory.now_s,
            )
        )

    async def _take_back_after_restart(self, change: Change) -> None:
        topology = self._inventory.topology
        if any(topology.get(a.entity_id).attributes[a.attribute] != a.old_value for a in change.actions):
            await self._inventory.configure(change.inverse, change_id=change.id, why="rolled back at start")
        await self._record(
            move(
                change,
                ChangeState.ROLLED_BACK,
                outcome="the twin stopped before the change was verified; the scene is brought back to the old values",
                finished_at_sim_s=self._inventory.now_s,
            )
        )

    # ---- proof -------------------------------------------------------------------------------------------

    async def _verify(self, change: Change, applied_at: float) -> tuple[tuple[KpiEffect, ...], str]:
        """Watch the KPIs over the window; return the effects and, when the guard is breached, why."""
        end = applied_at + SETTLE_S + self._approval.verify_s
        wall_limit = time.monotonic() + 4 * (SETTLE_S + self._approval.verify_s) + 10
        while self._inventory.now_s < end:
            if self._inventory.absent_s is not None and self._inventory.absent_s > 5:
                return (), "the scene went away while the change was being verified"
            if time.monotonic() > wall_limit:
                return (), "simulated time did not advance while the change was being verified"
            await asyncio.sleep(0.2)
        look_at = around(change.inverse, self._inventory.topology, self._inventory.scenario)
        cells = [one for one in look_at.targets if self._inventory.topology.get(one).kind is Kind.CELL]
        watched = (*cells, *look_at.neighbours)
        effects: list[KpiEffect] = []
        for name in EFFECT_KPIS:
            before = await self._means(watched, name, applied_at - BEFORE_S, applied_at)
            after = await self._means(watched, name, applied_at + SETTLE_S, end)
            effects.extend(
                _judged_effect(
                    KpiEffect(entity_id=e, kpi=name, unit=kpi(name).unit, before=before[e], after=after[e]), change
                )
                for e in watched
                if e in cells or name == GUARD_KPI
            )
        return tuple(effects), self._breach(change, effects)

    def _breach(self, change: Change, effects: Sequence[KpiEffect]) -> str:
        locking = any(a.attribute == "administrativeState" for a in change.actions)
        targets = {a.entity_id for a in change.actions}
        pairs = [
            (e.before, e.after)
            for e in effects
            if e.kpi == GUARD_KPI and not (locking and e.entity_id in targets) and math.isfinite(e.before + e.after)
        ]
        if not pairs:
            return ""
        before, after = (float(np.mean(side)) for side in zip(*pairs, strict=True))
        if before > 0 and after < (1 - self._approval.guard_drop) * before:
            return (
                f"mean {kpi(GUARD_KPI).label} around it fell from {before:.0f} to {after:.0f} {kpi(GUARD_KPI).unit},"
                f" more than the allowed {self._approval.guard_drop:.0%}"
            )
        return ""

    async def _means(self, entity_ids: Sequence[str], name: str, start_s: float, end_s: float) -> dict[str, float]:
        ids, values = await self._store.window(Kind.CELL, name, start_s=start_s, end_s=end_s)
        found = dict(zip(ids, (float(v) for v in values), strict=True))
        return {entity_id: found.get(entity_id, math.nan) for entity_id in entity_ids}

    # ---- keeping -----------------------------------------------------------------------------------------

    async def _record(self, *steps: Change, **key: str) -> Change:
        """Journal first, all in one commit; `key` (idempotency_key, body_hash) lies in the row of the first."""
        facts = [change_to_fact(step) for step in steps]
        await self._journal.append("change", [{**facts[0], **key}, *facts[1:]])
        for change in steps:
            self._changes[change.id] = change
            _log.info("change_moved", change_id=change.id, state=change.state.value)
            if self._restored:  # before that nobody listens
                try:
                    await self._on_change(change)
                except TwinError as error:  # it is journaled: who did not hear of it must not hold it up
                    _log.warning("change_not_told", change_id=change.id, error=str(error))
        return steps[-1]

    async def _record_surely(self, change: Change) -> Change:
        """Journal a step of what is under way, however long the disk is full: the scene has moved on already."""
        return await until_stored(lambda: self._record(change), what=change.id)

    async def _applied(self, change: Change) -> None:
        try:
            await self._on_applied(tuple({a.entity_id for a in change.actions}))
        except TwinError as error:  # the graph is rebuilt from the journal; the change goes on
            _log.warning("change_not_shown", change_id=change.id, error=str(error))

    async def _expire_quietly(self) -> None:
        """Reading works while the journal is away; the expiry is written when it is back."""
        try:
            async with self._deciding:
                await self._expire()
        except StoreUnavailable as error:
            _log.warning("expiry_not_journaled", error=str(error))

    async def _expire(self) -> None:
        now = time.time()
        for change in list(self._changes.values()):
            if change.state in {ChangeState.PROPOSED, ChangeState.VALIDATED} and now >= change.expires_at_unix_s:
                await self._record(move(change, ChangeState.EXPIRED, outcome="nobody approved it in time"))


def _number_of(change: Change) -> int:
    return int(change.id.rpartition("-")[2])


def _judged_effect(effect: KpiEffect, change: Change) -> KpiEffect:
    """Return the effect with whether it lies where the shadow twin expected one measurement."""
    report = None if change.shadow is None else change.shadow.report
    found = None if report is None else report.of(effect.entity_id, effect.kpi)
    measured = effect.after - effect.before
    if found is None or found.likely_low is None or found.likely_high is None or not math.isfinite(measured):
        return effect
    return replace(effect, as_predicted=found.likely_low <= measured <= found.likely_high)


def _in_words(effects: Sequence[KpiEffect]) -> str:
    """Return how the prediction held, "" where there was none."""
    told = [effect.as_predicted for effect in effects if effect.as_predicted is not None]
    return f"; {sum(told)} of {len(told)} measured effects lie where the shadow twin expected them" if told else ""


def _touches(change: Change) -> set[tuple[str, str]]:
    return {(a.entity_id, a.attribute) for a in change.actions}


def _hash_of(reason: str, actions: Sequence[SetAttribute], base_revision: int | None, undoes: str | None) -> str:
    body: list[Any] = [reason, [[a.entity_id, a.attribute, a.value] for a in actions], base_revision, undoes]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
