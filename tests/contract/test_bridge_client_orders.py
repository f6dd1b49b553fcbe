"""Obeying: each order once, in order, with an answer that holds; also when the disk does not play along."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bridge import codec, mapping
from bridge.ledger import CommandLedger, FileLedger
from bridge.orders import MOST_ORDERS, Orders, Present
from bridge.testing import MemoryLedger
from twin.commands import Command, CommandResult, CommandStage, SetAttribute, SetAttributes
from twin.errors import NotFound, OutOfRange, Overloaded

TILT = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=70.0)
RECEIVED, APPLIED = CommandStage.RECEIVED, CommandStage.APPLIED


@dataclass
class Scene:
    """What happened, in order: ("effect", id), and (stage, id) for each answer."""

    happened: list[tuple[str, str]] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    sent: list[Command] = field(default_factory=list)

    def answer(self, result: CommandResult) -> None:
        self.happened.append((result.stage.value, result.command_id))
        self.reasons[result.command_id] = result.reason

    def effect(self, command: Command) -> CommandResult:
        self.happened.append(("effect", command.id))
        return CommandResult(command_id=command.id, stage=APPLIED, observed=(TILT,), sim_time_s=1.0)

    async def until(self, stage: str, command_id: str) -> None:
        async with asyncio.timeout(5):
            while (stage, command_id) not in self.happened:
                await asyncio.sleep(0.005)


def command(command_id: str, **rest: Any) -> Command:
    return Command(id=command_id, body=SetAttributes(actions=(TILT,)), issued_by="ana", **rest)


def put(orders: Orders, *commands: Command) -> None:
    for one in commands:
        response = codec.ConnectResponse()
        mapping.write_command(response.command, one)
        orders.take_command(response.command)


async def room() -> None:
    """There is always room for answers here."""


@asynccontextmanager
async def obeying(
    scene: Scene,
    *,
    ledger: CommandLedger | None = None,
    obey: Callable[[Command], CommandResult | Awaitable[CommandResult]] | None = None,
    results: tuple[CommandResult, ...] = (),
) -> AsyncIterator[Orders]:
    orders = Orders(
        present=Present(
            revision=lambda: 5,
            fencing_number=lambda: 0,
            sim_time_s=lambda: 7.0,
            answer=scene.answer,
            answerable=room,
            kept=lambda result: scene.kept.append(result.command_id),
        ),
        on_command=obey or scene.effect,
        ledger=ledger,
        results=results,
        scene_id="main",
    )
    working = asyncio.create_task(orders.work_off())
    try:
        yield orders
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


@pytest.fixture(params=["memory", "file"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        yield MemoryLedger()
    else:
        with FileLedger(tmp_path / "ledger") as opened:
            yield opened


# --- the ledgers themselves --------------------------------------------------------------------------------------


async def test_a_ledger_keeps_forgets_and_knows_what_it_forgot(ledger: CommandLedger) -> None:
    for number in range(1, 5):
        one = command(f"c-{number}")
        await ledger.reserve(one)
        assert await ledger.record(one, CommandResult(command_id=one.id, stage=APPLIED)) == number
    assert [entry.ordinal for entry in ledger.after(1)] == [2, 3, 4]

    await ledger.forget_before(2)

    assert [entry.command.id for entry in ledger.after(2)] == ["c-3", "c-4"]
    assert [result.command_id for result in ledger.results()] == ["c-1", "c-2", "c-3", "c-4"]
    assert ledger.ordinal == 4
    with pytest.raises(NotFound):
        ledger.after(1)


# --- the order of things -----------------------------------------------------------------------------------------


async def test_received_then_the_effect_then_the_record_then_the_answer(ledger: CommandLedger) -> None:
    scene = Scene()
    async with obeying(scene, ledger=ledger) as orders:
        put(orders, command("c-1"), command("c-2"))
        await scene.until("APPLIED", "c-2")

    assert scene.happened == [(kind, one) for one in ("c-1", "c-2") for kind in ("RECEIVED", "effect", "APPLIED")]
    assert [entry.command.id for entry in ledger.after(0)] == ["c-1", "c-2"]
    assert ledger.after(0)[0].result.observed == (TILT,)


async def test_a_repetition_is_answered_from_the_record_also_in_the_next_life(ledger: CommandLedger) -> None:
    first, second = Scene(), Scene()
    async with obeying(first, ledger=ledger) as orders:
        put(orders, command("c-1"), command("c-1"))
        await asyncio.sleep(0.05)
    async with obeying(second, ledger=ledger) as orders:
        put(orders, command("c-1"))
        await second.until("APPLIED", "c-1")

    assert first.happened == [("RECEIVED", "c-1"), ("effect", "c-1"), ("APPLIED", "c-1"), ("APPLIED", "c-1")]
    assert second.happened == [("APPLIED", "c-1")]
    assert ledger.ordinal == 1


async def test_what_changes_nothing_is_recorded_too(ledger: CommandLedger) -> None:
    def obey(order: Command) -> CommandResult:
        if order.id == "out":
            raise OutOfRange("the tilt may be 0 to 150, not `700`")
        raise RuntimeError("the engine fell over")

    scene = Scene()
    async with obeying(scene, ledger=ledger, obey=obey) as orders:
        late = time.time_ns() - 1
        put(
            orders,
            command("late", deadline_unix_ns=late),
            command("old", expected_revision=4),
            command("out"),
            command("fell"),
        )
        await scene.until("FAILED", "fell")

    assert [(e.command.id, e.result.stage.value) for e in ledger.after(0)] == [
        ("late", "EXPIRED"),
        ("old", "REJECTED"),
        ("out", "REJECTED"),
        ("fell", "FAILED"),
    ]
    assert scene.reasons["old"] == "made for revision `4`, the scene is at `5`"
    assert scene.reasons["fell"] == "RuntimeError: the engine fell over"


async def test_a_dry_run_is_answered_and_forgotten(ledger: CommandLedger) -> None:
    scene = Scene()
    async with obeying(scene, ledger=ledger) as orders:
        put(orders, command("c-1", dry_run=True), command("c-1"))
        await asyncio.sleep(0.05)

        assert [kind for kind, _ in scene.happened].count("effect") == 2
        assert ledger.ordinal == 1
        assert scene.kept == ["c-1"]


async def test_an_order_that_cannot_be_read_is_rejected_with_the_reason() -> None:
    scene = Scene()
    async with obeying(scene) as orders:
        response = codec.ConnectResponse()
        response.command.id = "c-1"
        orders.take_command(response.command)
        await scene.until("REJECTED", "c-1")

    assert "which is not supported here" in scene.reasons["c-1"]


# --- a disk that does not play along -----------------------------------------------------------------------------


async def test_without_room_for_the_record_nothing_is_changed_and_that_is_said() -> None:
    scene, ledger = Scene(), MemoryLedger()
    ledger.full = True
    async with obeying(scene, ledger=ledger) as orders:
        put(orders, command("c-1"))
        await scene.until("FAILED", "c-1")
        ledger.full = False
        put(orders, command("c-1"), command("c-2"))
        await scene.until("APPLIED", "c-2")

    assert ("effect", "c-1") not in scene.happened
    assert scene.reasons["c-1"].startswith("nothing was changed: no room")
    assert scene.happened.count(("FAILED", "c-1")) == 2  # one command has one outcome
    assert [entry.command.id for entry in ledger.entries] == ["c-2"]


async def test_an_effect_that_cannot_be_recorded_is_not_answered_until_it_can() -> None:
    scene, ledger = Scene(), MemoryLedger()
    ledger.broken = True
    async with obeying(scene, ledger=ledger) as orders:
        put(orders, command("c-1"), command("c-2"))
        await scene.until("effect", "c-1")
        await asyncio.sleep(0.3)
        assert scene.happened == [("RECEIVED", "c-1"), ("effect", "c-1")]  # and nothing further is obeyed
        ledger.broken = False
        await scene.until("APPLIED", "c-2")

    assert scene.happened[2:] == [("APPLIED", "c-1"), ("RECEIVED", "c-2"), ("effect", "c-2"), ("APPLIED", "c-2")]


async def test_a_scene_that_ends_finishes_and_records_what_it_is_doing(ledger: CommandLedger) -> None:
    scene = Scene()

    async def slowly(order: Command) -> CommandResult:
        await asyncio.sleep(0.1)
        return scene.effect(order)

    async with obeying(scene, ledger=ledger, obey=slowly) as orders:
        put(orders, command("c-1"), command("c-2"))
        await scene.until("RECEIVED", "c-1")

    assert scene.happened == [("RECEIVED", "c-1"), ("effect", "c-1"), ("APPLIED", "c-1")]
    assert [entry.command.id for entry in ledger.after(0)] == ["c-1"]


# --- bounds ------------------------------------------------------------------------------------------------------


async def test_the_queue_of_orders_is_bounded() -> None:
    scene = Scene()
    blocked = asyncio.Event()

    async def wait(order: Command) -> CommandResult:
        await blocked.wait()
        return scene.effect(order)

    async with obeying(scene, obey=wait) as orders:
        with pytest.raises(Overloaded, match="it obeys too slowly"):
            put(orders, *(command(f"c-{number}") for number in range(MOST_ORDERS + 2)))
        blocked.set()


async def test_a_reason_without_end_is_cut() -> None:
    scene = Scene()
    long = lambda order: replace(scene.effect(order), stage=CommandStage.REJECTED, reason="x" * 100_000)  # noqa: E731
    async with obeying(scene, obey=long) as orders:
        put(orders, command("c-1"))
        await scene.until("REJECTED", "c-1")

    assert len(scene.reasons["c-1"]) == 4096
