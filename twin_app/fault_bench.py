"""Faults for instructors: injected and cleared on purpose, journaled, their labels unseen by agent and detector.

A misconfiguration changes managed attributes. Those the inventory takes over as what stands there now, without saying
who was at work: everybody may read a wrong value, nobody is told that it is one.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from twin.attributes import describe
from twin.commands import Command, CommandStage, ManageFault, SetAttribute
from twin.entities import AdministrativeState
from twin.errors import Conflict, TwinError
from twin.faults import FAULTS, Written, drawn_severity, effect_of, fault, fix_of, is_put_right
from twin.ids import uuid7
from twin_app.patience import until_stored

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twin.attributes import AttributeValue
    from twin.commands import CommandResult
    from twin.faults import Fault
    from twin.ports import Journal
    from twin.scenario import FaultPlan
    from twin_app.command_record import CommandRecord, RecordedLink
    from twin_app.inventory import LiveInventory

PLAN_CHECK_S = 0.5
PLAN_TRIES, PLAN_RETRY_S = 6, 5.0
"""A planned fault is tried so often: a scene that was killed is back within half a minute."""
CHANGED_BESIDE = "found changed in the scene, outside change control"

_log = structlog.get_logger("twin_app.fault_bench")


@dataclass(slots=True, kw_only=True)
class _Label:
    """What the instructor knows of one injected fault.

    Attributes:
        written: What a misconfiguration changed.
        locked: Whether a sleeping cell has been locked since, the first half of its restart.
        repaired: Whether its restart is complete, or orders had put it right before another fault wrote the same.
    """

    severity: float
    sim_time_s: float
    written: tuple[Written, ...]
    locked: bool = False
    repaired: bool = False


class FaultBench:
    """The faults of one scene.

    Args:
        link: The way to the scene.
        record: What was ordered before.
        timeout_s: How long to wait for the scene's answer.
        retry_s: How long to wait before a planned fault is tried again.
        on_configured: Called with the entities whose configuration a fault changed.
    """

    def __init__(
        self,
        *,
        inventory: LiveInventory,
        journal: Journal,
        link: RecordedLink,
        record: CommandRecord,
        timeout_s: float,
        retry_s: float = PLAN_RETRY_S,
        on_configured: Callable[[tuple[str, ...]], Awaitable[None]] | None = None,
    ) -> None:
        self._inventory = inventory
        self._journal = journal
        self._link = link
        self._record = record
        self._timeout_s, self._retry_s = timeout_s, retry_s
        self._on_configured = on_configured
        self._active: dict[tuple[str, str], _Label] = {}
        self._noted: set[str] = set()
        self._planned_from_s: float | None = None

    async def restore(self) -> None:
        """Learn from the journal what is injected."""
        for _, fact in await self._journal.replay("fault"):
            self._take(fact)
            self._noted.add(fact.get("command", ""))
        for _, fact in await self._journal.replay("fault_plan"):
            self._planned_from_s = fact["start_sim_s"]
        self._see(tuple(entity_id for _, entity_id in self._active))

    async def settle(self) -> None:
        """Ask the scene what became of orders whose answer an earlier run of the twin did not live to hear.

        The scene answers from its record; an order that never reached it is past its deadline by now.
        """
        for command in self._record.open_faults():
            try:
                result = await self._link.send(command, timeout_s=self._timeout_s)
            except TwinError as error:
                _log.info("fault_not_settled", command=command.id, error=str(error))
                continue
            if result.stage is CommandStage.APPLIED and isinstance(command.body, ManageFault):
                await self._note(command.body, result, issued_by=command.issued_by)

    async def manage(
        self,
        operation: str,
        fault: str,
        entity_id: str,
        severity: float | None,
        *,
        issued_by: str,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Inject or clear a fault.

        Args:
            severity: 0..1; None = drawn. Without meaning when a fault is cleared.
            key: Idempotency-Key: the same key of the same caller gives the same order, never a second one.

        A fault that the list knows and the scene does not, as after a restart of the cell, ends by being cleared.

        Raises:
            Conflict: The scene refuses. KeyReused, SceneUnavailable, DeadlineExceeded, StoreUnavailable.
        """
        if operation == "clear":
            severity = 1.0
        elif severity is None:
            # From the key, so that asking again means the same fault.
            severity = drawn_severity(key or uuid7())
        named = "" if key is None else f"{issued_by}\n{key}"
        body = ManageFault(
            operation="inject" if operation == "inject" else "clear",
            fault=fault,
            entity_id=entity_id,
            severity=severity,
        )
        result = await self._link.send(
            Command(
                id=self._record.id_of(named, uuid7()) if named else uuid7(),
                body=body,
                issued_by=issued_by,
                deadline_unix_ns=time.time_ns() + int(self._timeout_s * 1e9),
            ),
            timeout_s=self._timeout_s,
            key=named,
        )
        gone = result.stage is CommandStage.REJECTED and body.operation == "clear"
        if result.stage is not CommandStage.APPLIED and not (gone and (fault, entity_id) in self._active):
            raise Conflict(f"the scene answered {result.stage.value}: {result.reason}")
        fact = await self._note(body, result, issued_by=issued_by)
        return {**fact, "at": self._inventory.civil.rfc3339(result.sim_time_s)}

    async def follow(self, plan: tuple[FaultPlan, ...]) -> None:
        """Inject and clear what the scenario plans, counted from the first live second; returns when all is done.

        Severities that the plan leaves open come from the seed of the scenario.
        """
        seed = self._inventory.scenario.seed
        orders = [(one.at_s, "inject", number, one) for number, one in enumerate(plan)]
        orders += [
            (one.at_s + one.clear_after_s, "clear", number, one)
            for number, one in enumerate(plan)
            if one.clear_after_s is not None
        ]
        await self._until(0.0)
        if self._planned_from_s is None:
            self._planned_from_s = self._inventory.now_s
            await self._journal.append("fault_plan", [{"start_sim_s": self._planned_from_s}])
        for at_s, operation, number, one in sorted(orders, key=lambda order: order[:3]):
            await self._until(self._planned_from_s + at_s)
            severity = one.severity
            if severity is None:
                severity = drawn_severity(seed, number, one.fault, one.entity_id)
            await self._keep_trying(operation, one, severity, key=f"{number} {operation} {self._planned_from_s}")

    async def _keep_trying(self, operation: str, one: FaultPlan, severity: float, *, key: str) -> None:
        refused = 0
        for left in reversed(range(PLAN_TRIES)):
            # A refusal is on record under its key; whether an order without answer arrived, its own key tells.
            again = f" again {refused}" if refused else ""
            try:
                await self.manage(operation, one.fault, one.entity_id, severity, issued_by="scenario", key=key + again)
            except TwinError as error:
                refused += isinstance(error, Conflict)
                log = _log.info if left else _log.warning
                event = "planned_fault_tried" if left else "planned_fault_failed"
                log(event, fault=one.fault, entity=one.entity_id, error=str(error))
                if left:
                    await asyncio.sleep(self._retry_s)
            else:
                return

    async def _until(self, sim_time_s: float) -> None:
        while not (self._inventory.live and self._inventory.now_s >= sim_time_s):  # noqa: ASYNC110  # time tells nobody
            await asyncio.sleep(PLAN_CHECK_S)

    async def _note(self, body: ManageFault, result: CommandResult, *, issued_by: str) -> dict[str, Any]:
        fact: dict[str, Any] = {
            "operation": body.operation,
            "fault": body.fault,
            "entity": body.entity_id,
        }
        if body.operation == "inject":
            fact["severity"] = body.severity
        if result.command_id not in self._noted:  # else it was answered from the record
            written = self._written(body, result.observed)
            more = {
                "issued_by": issued_by,
                "sim_time_s": result.sim_time_s,
                "command": result.command_id,
                "written": written,
                "over": self._over(body, result.observed),
            }
            await self._journal.append("fault", [{**fact, **more}])
            self._noted.add(result.command_id)
            self._take({**fact, **more})
            await self._configured(result.observed)
            self._see((body.entity_id,))
        return fact

    def _over(self, body: ManageFault, observed: tuple[SetAttribute, ...]) -> list[list[str]]:
        """Return the labels that orders had put right before a new fault wrote the same: they are over for good."""
        if body.operation != "inject":
            return []
        touched = {(one.entity_id, one.attribute) for one in observed}
        return [
            [name, entity_id]
            for (name, entity_id), label in self._active.items()
            if any((w.entity_id, w.attribute) in touched for w in label.written)
            and self._is_repaired(name, entity_id, label)
        ]

    def _written(self, body: ManageFault, observed: tuple[SetAttribute, ...]) -> list[list[AttributeValue]]:
        """Return (entity, attribute, wrong, right); right is what stood there before all faults."""
        right = {
            (w.entity_id, w.attribute): w.right
            for (name, entity_id), label in self._active.items()
            if not self._is_repaired(name, entity_id, label)
            for w in label.written
        }
        topology = self._inventory.topology
        rows = [
            [
                one.entity_id,
                one.attribute,
                one.value,
                right.get((one.entity_id, one.attribute), topology.get(one.entity_id).attributes[one.attribute]),
            ]
            for one in observed
        ]
        # Injecting a milder one anew also sets some values back.
        return [row for row in rows if row[2] != row[3]] if body.operation == "inject" else []

    async def _configured(self, observed: tuple[SetAttribute, ...]) -> None:
        if not observed:
            return
        await self._inventory.configure(observed, change_id="", why=CHANGED_BESIDE)
        if self._on_configured is not None:
            await self._on_configured(tuple(dict.fromkeys(one.entity_id for one in observed)))

    def document(self) -> dict[str, Any]:
        """Return the catalogue and what is injected now, with label and right fix."""
        return {
            "catalogue": [
                {
                    "name": row.name,
                    "title": row.title,
                    "kinds": [kind.value for kind in row.kinds],
                    "effect": row.effect,
                    "hidden": row.hidden,
                    "signature": row.signature,
                    "remedy": row.remedy,
                }
                for row in FAULTS
            ],
            "active": [self._label_json(name, entity, label) for (name, entity), label in sorted(self._active.items())],
        }

    def _label_json(self, name: str, entity_id: str, label: _Label) -> dict[str, Any]:
        row = fault(name)
        return {
            "fault": name,
            "cause": row.title,
            "entity": entity_id,
            "severity": label.severity,
            "effect": self._effect(row, label),
            "at": self._inventory.civil.rfc3339(label.sim_time_s),
            "remedy": row.remedy,
            "fix": [
                {
                    "entity": one.entity_id,
                    "attribute": one.attribute,
                    "value": one.value,
                    "meaning": describe(one.attribute, one.value),
                }
                for one in fix_of(name, entity_id, label.written)
            ],
            "repaired": self._is_repaired(name, entity_id, label),
        }

    @staticmethod
    def _effect(row: Fault, label: _Label) -> str:
        if row.mild == row.severe:
            return row.effect
        return f"{effect_of(row, label.severity, label.written):.3g}: {row.effect}"

    def _is_repaired(self, name: str, entity_id: str, label: _Label) -> bool:
        if label.repaired or not label.written:
            return label.repaired
        topology = self._inventory.topology
        return is_put_right(
            name,
            entity_id,
            label.written,
            read=lambda entity, attribute: topology.get(entity).attributes[attribute],
            struck=[written for one in self._active.values() for written in one.written],
        )

    async def applied(self, entity_ids: tuple[str, ...]) -> None:
        """Look after a change whether a cell that slept has been restarted; what is seen outlives the twin."""
        for name, entity_id in self._see(entity_ids):
            label = self._active[name, entity_id]
            fact = {"operation": "see", "fault": name, "entity": entity_id}
            seen = {"locked": label.locked, "repaired": label.repaired}
            await until_stored(
                lambda fact={**fact, **seen}: self._journal.append("fault", [fact]), what=f"restart of {entity_id}"
            )

    def _see(self, entity_ids: tuple[str, ...]) -> list[tuple[str, str]]:
        """Note how far the restarts of sleeping cells are, and return the labels that this changed."""
        topology = self._inventory.topology
        changed: list[tuple[str, str]] = []
        for (name, entity_id), label in self._active.items():
            if name != "sleeping-cell" or entity_id not in entity_ids or label.repaired:
                continue
            state = topology.get(entity_id).attributes["administrativeState"]
            before = label.locked
            label.repaired = label.locked and state == AdministrativeState.UNLOCKED.value
            label.locked = label.locked or state == AdministrativeState.LOCKED.value
            if (before, False) != (label.locked, label.repaired):
                changed.append((name, entity_id))
        return changed

    def _take(self, fact: dict[str, Any]) -> None:
        key = (fact["fault"], fact["entity"])
        match fact["operation"]:
            case "inject":
                for name, entity_id in fact.get("over", ()):
                    if (name, entity_id) in self._active:
                        self._active[name, entity_id].repaired = True
                self._active.pop(key, None)
                self._active[key] = _Label(
                    severity=fact["severity"],
                    sim_time_s=fact.get("sim_time_s", 0.0),
                    written=tuple(
                        Written(entity_id=str(entity), attribute=str(name), wrong=wrong, right=right)
                        for entity, name, wrong, right in fact.get("written", ())
                    ),
                )
            case "see":
                if key in self._active:
                    label = self._active[key]
                    label.locked, label.repaired = fact["locked"], fact["repaired"]
            case _:
                self._active.pop(key, None)
