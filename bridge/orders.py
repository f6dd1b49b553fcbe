"""How a scene obeys: in the order in which orders came, each once, with an answer that holds.

RECEIVED goes out first (C1), then, after the record is durable, one final answer (C6). A repetition is answered from
the record (C2); what is late, out of date or from an owner that lost the scene changes nothing (C3, O4). Why things
happen in this order stands in :mod:`bridge.ledger`.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from bridge import codec, mapping
from bridge.ledger import KEPT_RESULTS
from twin.commands import CommandResult, CommandStage
from twin.errors import InvalidInput, Overloaded, ProtocolError, StoreUnavailable, TwinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from bridge.ledger import CommandLedger
    from bridge.v1 import command_pb2
    from twin.commands import Command

    Obey = Callable[[Command], CommandResult | Awaitable[CommandResult]]

MOST_ORDERS = 1024
FINISH_S = 2.0
"""How long an order that is half done may take when the scene ends."""

LONGEST_REASON = 4096
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The scene as it stands at the moment of obeying.

    Attributes:
        revision: Of the inventory.
        fencing_number: Of our holding of the scene; 0 = unknown.
        sim_time_s: Simulated now.
        answer: Tells the twin how far a command has come.
        answerable: Waits until there is room for answers.
        kept: Gets every answer that counts (not those to dry runs) before it is told.
    """

    revision: Callable[[], int]
    fencing_number: Callable[[], int]
    sim_time_s: Callable[[], float]
    answer: Callable[[CommandResult], None]
    answerable: Callable[[], Awaitable[None]]
    kept: Callable[[CommandResult], None]


class Orders:
    """The orders of one scene, over all its connections.

    Args:
        present: The scene's side of the connection.
        on_command: Obeys; None = every command is REJECTED.
        ledger: Makes the answers durable; None = they live as long as this object.
        results: Answers of an earlier life.
        scene_id: For the log.
    """

    def __init__(
        self,
        *,
        present: Present,
        on_command: Obey | None,
        ledger: CommandLedger | None,
        results: Iterable[CommandResult],
        scene_id: str,
    ) -> None:
        self._present = present
        self._on_command = on_command or _obey_nothing
        self._ledger = ledger
        self._results: OrderedDict[str, CommandResult] = OrderedDict()
        for result in (*results, *(ledger.results() if ledger else ())):
            self._keep(result)
        self._queue: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue(MOST_ORDERS)
        self._log = structlog.get_logger("bridge").bind(scene=scene_id)

    @property
    def results(self) -> tuple[CommandResult, ...]:
        """The kept answers, oldest first."""
        return tuple(self._results.values())

    def take_command(self, message: command_pb2.Command) -> None:
        """Put a command behind the others.

        Raises:
            Overloaded: Too many wait.
        """
        self.take(lambda: self._obey(message))

    def take(self, errand: Callable[[], Awaitable[None]]) -> None:
        """Put anything else that must keep its place among the commands behind them.

        Raises:
            Overloaded: Too many wait.
        """
        try:
            self._queue.put_nowait(errand)
        except asyncio.QueueFull:
            raise Overloaded(f"`{MOST_ORDERS}` orders wait in the scene; it obeys too slowly") from None

    async def work_off(self) -> None:
        """Obey for ever; when this is cancelled, the order that is half done is still finished and recorded."""
        while True:
            errand = await self._queue.get()
            await self._present.answerable()
            doing = asyncio.ensure_future(errand())
            try:
                await asyncio.shield(doing)
            except asyncio.CancelledError:
                await asyncio.wait({doing}, timeout=FINISH_S)
                doing.cancel()
                await asyncio.gather(doing, return_exceptions=True)
                raise

    async def _obey(self, message: command_pb2.Command) -> None:
        known = self._results.get(message.id)
        if known is not None:
            self._present.answer(known)
            return
        self._present.answer(CommandResult(command_id=message.id, stage=CommandStage.RECEIVED))
        own = self._present.fencing_number()
        if 0 < message.fencing_number < own:
            # Not kept: the same command may come again from who holds the scene now.
            reason = f"sent under the ownership `{message.fencing_number}` of the scene, which is `{own}` now"
            self._present.answer(self._no(message.id, CommandStage.REJECTED, reason))
            return
        try:
            command = mapping.read_command(message)
        except ProtocolError as error:
            self._done(self._no(message.id, CommandStage.REJECTED, str(error)))
            return
        refusal = self._refusal(command)
        if command.dry_run:
            self._present.answer(refusal or await self._outcome(command))
        elif self._ledger is None:
            self._done(refusal or await self._outcome(command))
        else:
            await self._obey_durably(command, refusal, self._ledger)

    async def _obey_durably(self, command: Command, refusal: CommandResult | None, ledger: CommandLedger) -> None:
        try:
            await ledger.reserve(command)
        except StoreUnavailable as error:
            self._log.error("command_not_obeyed", command_id=command.id, reason=str(error))
            self._done(refusal or self._no(command.id, CommandStage.FAILED, f"nothing was changed: {error}"))
            return
        result = refusal or await self._outcome(command)
        pause_s = FIRST_RETRY_S
        while True:
            try:
                await ledger.record(command, result)
            except StoreUnavailable as error:
                # The effect took place and cannot be promised: no answer is the only true one, until the disk is back.
                self._log.error("command_not_recorded", command_id=command.id, reason=str(error), next_try_in_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_RETRY_S)
            else:
                break
        self._done(result)

    def _refusal(self, command: Command) -> CommandResult | None:
        if command.deadline_unix_ns and time.time_ns() > command.deadline_unix_ns:
            return self._no(
                command.id, CommandStage.EXPIRED, "the deadline had passed when the scene got to the command"
            )
        revision = self._present.revision()
        if command.expected_revision and command.expected_revision != revision:
            return self._no(
                command.id,
                CommandStage.REJECTED,
                f"made for revision `{command.expected_revision}`, the scene is at `{revision}`",
            )
        return None

    async def _outcome(self, command: Command) -> CommandResult:
        try:
            answer = self._on_command(command)
            result = await answer if inspect.isawaitable(answer) else answer
            return _sound(command, result)
        except TwinError as error:
            return self._no(command.id, CommandStage.REJECTED, str(error))
        except Exception as error:  # noqa: BLE001 - whatever the scene's own code raises, the twin gets an answer
            self._log.exception("command_failed", command_id=command.id)
            return self._no(command.id, CommandStage.FAILED, f"{type(error).__name__}: {error}")

    def _no(self, command_id: str, stage: CommandStage, reason: str) -> CommandResult:
        return CommandResult(
            command_id=command_id, stage=stage, reason=reason[:LONGEST_REASON], sim_time_s=self._present.sim_time_s()
        )

    def _done(self, result: CommandResult) -> None:
        self._keep(result)
        self._present.kept(result)
        self._present.answer(result)

    def _keep(self, result: CommandResult) -> None:
        self._results.pop(result.command_id, None)
        self._results[result.command_id] = result
        while len(self._results) > KEPT_RESULTS:
            self._results.popitem(last=False)


def _obey_nothing(command: Command) -> CommandResult:
    raise InvalidInput(f"this scene obeys no commands, so not `{command.id}` either")


def _sound(command: Command, result: CommandResult) -> CommandResult:
    """Return an answer that can be told, or raise whatever is wrong with it."""
    if result.command_id != command.id or result.stage is CommandStage.RECEIVED:
        raise ValueError(f"on_command answered `{result.stage}` for the command `{result.command_id}`")
    request = codec.ConnectRequest()
    mapping.write_result(request.command_ack, result)  # raises for values that have no form on the wire
    return replace(result, reason=result.reason[:LONGEST_REASON])
