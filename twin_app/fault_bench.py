"""Faults for instructors: injected and cleared on purpose, journaled, unseen by agent and detector."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import structlog

from twin.commands import Command, CommandStage, ManageFault
from twin.errors import Conflict, TwinError
from twin.faults import FAULTS
from twin.ids import uuid7

if TYPE_CHECKING:
    from twin.commands import CommandResult
    from twin.ports import Inventory, Journal
    from twin_app.command_record import CommandRecord, RecordedLink

_log = structlog.get_logger("twin_app.fault_bench")


class FaultBench:
    """The faults of one scene.

    Args:
        link: The way to the scene.
        record: What was ordered before.
        timeout_s: How long to wait for the scene's answer.
    """

    def __init__(
        self,
        *,
        inventory: Inventory,
        journal: Journal,
        link: RecordedLink,
        record: CommandRecord,
        timeout_s: float,
    ) -> None:
        self._inventory = inventory
        self._journal = journal
        self._link = link
        self._record = record
        self._timeout_s = timeout_s
        self._active: dict[tuple[str, str], float] = {}
        self._noted: set[str] = set()

    async def restore(self) -> None:
        """Learn from the journal what is injected."""
        for _, fact in await self._journal.replay("fault"):
            self._take(fact)
            self._noted.add(fact.get("command", ""))

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
        severity: float,
        *,
        issued_by: str,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Inject or clear a fault.

        Args:
            key: Idempotency-Key: the same key of the same caller gives the same order, never a second one.

        Raises:
            Conflict: The scene refuses. KeyReused, SceneUnavailable, DeadlineExceeded, StoreUnavailable.
        """
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

    async def _note(self, body: ManageFault, result: CommandResult, *, issued_by: str) -> dict[str, Any]:
        fact = {
            "operation": body.operation,
            "fault": body.fault,
            "entity": body.entity_id,
            "severity": body.severity,
        }
        if result.command_id not in self._noted:  # else it was answered from the record
            more = {"issued_by": issued_by, "sim_time_s": result.sim_time_s, "command": result.command_id}
            await self._journal.append("fault", [{**fact, **more}])
            self._noted.add(result.command_id)
            self._take(fact)
        return fact

    def document(self) -> dict[str, Any]:
        """Return the catalogue and what is injected now."""
        return {
            "catalogue": [{"name": f.name, "title": f.title} for f in FAULTS],
            "active": [{"fault": f, "entity": e, "severity": s} for (f, e), s in sorted(self._active.items())],
        }

    def _take(self, fact: dict[str, Any]) -> None:
        key = (fact["fault"], fact["entity"])
        if fact["operation"] == "inject":
            self._active[key] = fact["severity"]
        else:
            self._active.pop(key, None)
