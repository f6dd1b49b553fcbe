"""The command protocol as a machine of random events: orders, repetitions, cuts, and deaths on either side.

Whatever the sequence: an order is obeyed once when it is answered APPLIED and not at all otherwise, and whoever asks
again under the same id gets the first answer.
"""

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path

import structlog
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from hypothesis.strategies import booleans, sampled_from

from bridge.client import SceneClient
from bridge.ledger import FileLedger
from bridge.server import BridgeServer
from bridge.stream import BridgeSettings
from bridge.testing import MemorySink
from tests.faults.server import start
from tests.tcp_relay import Relay
from twin.commands import Command, CommandResult, CommandStage, Overlay
from twin.errors import TwinError
from twin.ids import uuid7
from twin.testing import MemoryJournal
from twin_app.command_record import CommandRecord, RecordedLink

SETTINGS = BridgeSettings(heartbeat_interval_s=0.5)
PATIENCE_S = 10.0


class World:
    """What a scene does; its memory dies with it, its ledger does not."""

    def __init__(self, ledger: FileLedger) -> None:
        self.obeyed = Counter(
            entry.command.id for entry in ledger.after(0) if entry.result.stage is CommandStage.APPLIED
        )

    def obey(self, command: Command) -> CommandResult:
        if not command.dry_run:
            self.obeyed[command.id] += 1
        return CommandResult(
            command_id=command.id, stage=CommandStage.APPLIED, sim_time_s=float(sum(self.obeyed.values()))
        )


class CommandProtocol(RuleBasedStateMachine):
    answered = Bundle("answered")

    def __init__(self) -> None:
        super().__init__()
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.journal = MemoryJournal()
        self.first: dict[str, CommandResult] = {}
        self.runner.run(self._begin())

    async def _begin(self) -> None:
        self.relay = Relay(1)  # nobody is there before the twin begins
        await self.relay.open()
        await self._twin_begins()
        await self._scene_begins()

    async def _twin_begins(self) -> None:
        record = CommandRecord(self.journal, scene_id="main")
        await record.restore()
        self.server = BridgeServer(sink=MemorySink(start()), port=0, settings=SETTINGS)
        server = self.server
        self.orders = RecordedLink(lambda: server.link, {"main": record})
        self.relay.target = await self.server.start()

    async def _scene_begins(self) -> None:
        self.ledger = FileLedger(Path(self.folder.name) / "ledger")
        self.ledger.open()
        self.world = World(self.ledger)
        self.scene = SceneClient(
            self.relay.address,
            "main",
            provides={"MOTION", "KPI"},
            takeover=True,
            ledger=self.ledger,
            on_command=self.world.obey,
        )
        await self.scene.__aenter__()

    async def _scene_dies(self) -> None:
        self.relay.target, port = 1, self.relay.target  # its Goodbye goes nowhere
        self.relay.cut()
        await self.scene.__aexit__(None, None, None)
        self.ledger.close()
        self.relay.target = port

    async def _send(self, command: Command, *, past_the_record: bool = False) -> CommandResult:
        """Ask again under the same id until there is an answer, as a caller must."""
        end = time.monotonic() + PATIENCE_S
        while True:
            link = self.server.link if past_the_record else self.orders
            try:
                return await link.send(command, timeout_s=2.0)
            except TwinError:
                assert time.monotonic() < end, "no answer within the patience"
                await asyncio.sleep(0.02)

    def _order(self, **more: object) -> Command:
        return Command(
            id=uuid7(),
            body=Overlay(overlay_id="counter", operation="show"),
            issued_by="test",
            **{"deadline_unix_ns": time.time_ns() + 60_000_000_000, **more},  # type: ignore[arg-type]
        )

    def _remember(self, command: Command, result: CommandResult) -> Command:
        self.first[command.id] = result
        return command

    @rule(target=answered)
    def order(self) -> Command:
        command = self._order()
        result = self.runner.run(self._send(command))
        assert result.stage is CommandStage.APPLIED
        return self._remember(command, result)

    @rule(target=answered, dies=sampled_from(["line", "scene", "twin"]))
    def order_while_something_breaks(self, dies: str) -> Command:
        command = self._order()

        async def both() -> CommandResult:
            asking = asyncio.create_task(self._send(command))
            await asyncio.sleep(0.002)
            await self._break(dies)
            return await asking

        result = self.runner.run(both())
        assert result.stage is CommandStage.APPLIED
        return self._remember(command, result)

    @rule(target=answered)
    def order_that_is_too_late(self) -> Command:
        command = self._order(deadline_unix_ns=time.time_ns() - 1_000_000)
        result = self.runner.run(self._send(command))
        assert result.stage is CommandStage.EXPIRED
        return self._remember(command, result)

    @rule(target=answered)
    def order_for_another_revision(self) -> Command:
        command = self._order(expected_revision=99)
        result = self.runner.run(self._send(command))
        assert result.stage is CommandStage.REJECTED
        return self._remember(command, result)

    @rule()
    def try_only(self) -> None:
        before = +self.world.obeyed
        result = self.runner.run(self._send(self._order(dry_run=True)))
        assert result.stage is CommandStage.APPLIED
        assert self.world.obeyed == before

    @rule(command=answered, past_the_record=booleans())
    def repeat(self, command: Command, past_the_record: bool) -> None:
        result = self.runner.run(self._send(command, past_the_record=past_the_record))
        first = self.first[command.id]
        assert (result.stage, result.sim_time_s) == (first.stage, first.sim_time_s)

    @rule(what=sampled_from(["line", "scene", "twin"]))
    def something_breaks(self, what: str) -> None:
        self.runner.run(self._break(what))

    @rule(command=consumes(answered))
    def forget(self, command: Command) -> None:
        """Callers forget; the record does not."""
        assert command.id in self.first

    async def _break(self, what: str) -> None:
        match what:
            case "line":
                self.relay.cut()
            case "scene":
                await self._scene_dies()
                await self._scene_begins()
            case _:
                await self.server.stop()
                await self._twin_begins()

    @invariant()
    def obeyed_once_or_not_at_all(self) -> None:
        applied = {i for i, result in self.first.items() if result.stage is CommandStage.APPLIED}
        assert self.world.obeyed == Counter(dict.fromkeys(applied, 1))

    def teardown(self) -> None:
        async def end() -> None:
            await self.scene.__aexit__(None, None, None)
            await self.server.stop()
            await self.relay.close()
            self.ledger.close()

        self.runner.run(end())
        self.runner.close()
        self.folder.cleanup()
        structlog.reset_defaults()


TestCommandProtocol = CommandProtocol.TestCase
TestCommandProtocol.settings = settings(
    max_examples=30,
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
