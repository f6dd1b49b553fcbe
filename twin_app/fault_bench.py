"""Faults for instructors: injected and cleared on purpose, journaled, their labels unseen by agent and detector.

A misconfiguration changes managed attributes. Those the inventory takes over as what stands there now, without saying
who was at work: everybody may read a wrong value, nobody is told that it is one.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from twin.attributes import describe
from twin.commands import Command, CommandStage, ManageFault, SetAttribute
from twin.entities import AdministrativeState
from twin.errors import Conflict, TwinError
from twin.faults import FAULTS, fault
from twin.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twin.attributes import AttributeValue
    from twin.commands import CommandResult
    from twin.ports import Journal
    from twin.scenario import FaultPlan
    from twin_app.command_record import CommandRecord, RecordedLink
    from twin_app.inventory import LiveInventory

MILDEST_DRAWN = 0.2
"""A drawn severity is at least this: below, many faults drown in the noise of a minute."""
PLAN_CHECK_S = 0.5
CHANGED_BESIDE = "found changed in the scene, outside change control"

_log = structlog.get_logger("twin_app.fault_bench")


@dataclass(slots=True, kw_only=True)
class _Label:
    """What the instructor knows of one injected fault.

    Attributes:
        written: (entity, attribute, wrong, right) of a misconfiguration.
        locked: Whether a sleeping cell has been locked since, the first half of its restart.
        repaired: Whether its restart is complete.
    """

    severity: float
    sim_time_s: float
    written: list[tuple[str, str, AttributeValue, AttributeValue]]
    locked: bool = False
    repaired: bool = False


class FaultBench:
    """The faults of one scene.

    Args:
        link: The way to the scene.
        record: What was ordered before.
        timeout_s: How long to wait for the scene's answer.
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
        on_configured: Callable[[tuple[str, ...]], Awaitable[None]] | None = None,
    ) -> None:
        self._inventory = inventory
        self._journal = journal
        self._link = link
        self._record = record
        self._timeout_s = timeout_s
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
            severity: 0..1; None = drawn.
            key: Idempotency-Key: the same key of the same caller gives the same order, never a second one.

        Raises:
            Conflict: The scene refuses. KeyReused, SceneUnavailable, DeadlineExceeded, StoreUnavailable.
        """
        if severity is None:
            # From the key, so that asking again means the same fault.
            drawn = random.Random(key).uniform(MILDEST_DRAWN, 1.0)
            severity = round(drawn, 2)
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
        if result.stage is not CommandStage.APPLIED:
            raise Conflict(f"the scene answered {result.stage.value}: {result.reason}")
        fact = await self._note(body, result, issued_by=issued_by)
        return {**fact, "at": self._inventory.civil.rfc3339(result.sim_time_s)}

    async def follow(self, plan: tuple[FaultPlan, ...]) -> None:
        """Inject and clear what the scenario plans, counted from the first live second; returns when all is done."""
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
            try:
                await self.manage(
                    operation,
                    one.fault,
                    one.entity_id,
                    one.severity,
                    issued_by="scenario",
                    key=f"{number} {operation} {self._planned_from_s}",
                )
            except TwinError as error:
                _log.warning("planned_fault_failed", fault=one.fault, entity=one.entity_id, error=str(error))

    async def _until(self, sim_time_s: float) -> None:
        while not (self._inventory.live and self._inventory.now_s >= sim_time_s):  # noqa: ASYNC110  # time tells nobody
            await asyncio.sleep(PLAN_CHECK_S)

    async def _note(self, body: ManageFault, result: CommandResult, *, issued_by: str) -> dict[str, Any]:
        fact: dict[str, Any] = {
            "operation": body.operation,
            "fault": body.fault,
            "entity": body.entity_id,
            "severity": body.severity,
        }
        if result.command_id not in self._noted:  # else it was answered from the record
            written = self._written(body, result.observed)
            more = {
                "issued_by": issued_by,
                "sim_time_s": result.sim_time_s,
                "command": result.command_id,
                "written": written,
            }
            await self._journal.append("fault", [{**fact, **more}])
            self._noted.add(result.command_id)
            self._take({**fact, **more})
            await self._configured(result.observed)
        return fact

    def _written(self, body: ManageFault, observed: tuple[SetAttribute, ...]) -> list[list[AttributeValue]]:
        """Return (entity, attribute, wrong, right); what was wrong already keeps the right value of then."""
        label = self._active.get((body.fault, body.entity_id))
        right = {} if label is None else {(entity, name): value for entity, name, _, value in label.written}
        topology = self._inventory.topology
        return [
            [
                one.entity_id,
                one.attribute,
                one.value,
                right.get((one.entity_id, one.attribute), topology.get(one.entity_id).attributes[one.attribute]),
            ]
            for one in observed
        ]

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
            "effect": f"{row.effect_at(label.severity):.3g}: {row.effect}",
            "at": self._inventory.civil.rfc3339(label.sim_time_s),
            "remedy": row.remedy,
            "fix": [
                {"entity": entity, "attribute": attribute, "value": right, "meaning": describe(attribute, right)}
                for entity, attribute, right in self._fix(name, entity_id, label)
            ],
            "repaired": self._is_repaired(label),
        }

    @staticmethod
    def _fix(name: str, entity_id: str, label: _Label) -> list[tuple[str, str, AttributeValue]]:
        if name == "sleeping-cell":
            states = (AdministrativeState.LOCKED, AdministrativeState.UNLOCKED)
            return [(entity_id, "administrativeState", state.value) for state in states]
        return [(entity, attribute, right) for entity, attribute, _, right in label.written]

    def _is_repaired(self, label: _Label) -> bool:
        if not label.written:
            return label.repaired
        topology = self._inventory.topology
        return all(topology.get(entity).attributes[name] != wrong for entity, name, wrong, _ in label.written)

    def applied(self, entity_ids: tuple[str, ...]) -> None:
        """Look after a change whether a cell that slept has been restarted."""
        topology = self._inventory.topology
        for (name, entity_id), label in self._active.items():
            if name == "sleeping-cell" and entity_id in entity_ids:
                state = topology.get(entity_id).attributes["administrativeState"]
                label.locked = label.locked or state == AdministrativeState.LOCKED.value
                label.repaired = label.locked and state == AdministrativeState.UNLOCKED.value

    def _take(self, fact: dict[str, Any]) -> None:
        key = (fact["fault"], fact["entity"])
        if fact["operation"] == "inject":
            self._active[key] = _Label(
                severity=fact["severity"],
                sim_time_s=fact.get("sim_time_s", 0.0),
                written=[(str(e), str(name), wrong, right) for e, name, wrong, right in fact.get("written", ())],
            )
        else:
            self._active.pop(key, None)
