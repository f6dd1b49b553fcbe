"""SubmitCommand of a twin that keeps a record: one order is obeyed once, however often it comes."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from bridge.client import SceneClient
from bridge.observer import ObserverClient
from bridge.server import BridgeServer
from bridge.testing import MemorySink
from bridge.v1 import bridge_pb2, bridge_pb2_grpc
from twin.clock import CivilTime
from twin.commands import Command, CommandResult, CommandStage, Overlay, overall
from twin.ids import uuid7
from twin.ports import SceneStart
from twin.testing import MemoryJournal
from twin.topology import topology_of
from twin_app.command_record import CommandRecord, RecordedLink
from twin_app.journal import SqliteJournal
from twin_app.scenarios import ScenarioSpec, build_scenario

SCENARIO = build_scenario(ScenarioSpec(num_ues=5))
START = SceneStart(
    topology=topology_of(SCENARIO),
    civil=CivilTime(epoch=datetime(2026, 3, 2, 8, tzinfo=UTC), timezone=SCENARIO.timezone),
    resume_at_sim_s=None,
    past_s=0,
    speed=1.0,
    desired=(),
)


@asynccontextmanager
async def one_life(path: Path, obeyed: list[str]) -> AsyncIterator[bridge_pb2_grpc.BridgeServiceStub]:
    """A twin with its journal and a scene that writes down what it obeys; both are gone afterwards."""

    def obey(command: Command) -> CommandResult:
        obeyed.append(command.id)
        return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, sim_time_s=2.5)

    journal = SqliteJournal(path)
    await journal.open()
    record = CommandRecord(journal, scene_id="main")
    await record.restore()
    server = BridgeServer(sink=MemorySink(START), port=0)
    server.orders = RecordedLink(lambda: server.link, {"main": record})
    url = f"127.0.0.1:{await server.start()}"
    async with (
        SceneClient(url, "main", provides=["MOTION", "KPI"], on_command=obey),
        grpc.aio.insecure_channel(url) as channel,
    ):
        yield bridge_pb2_grpc.BridgeServiceStub(channel)
    await server.stop()
    await journal.close()


def show(text: str, *, scenes: tuple[str, ...] = ()) -> bridge_pb2.SubmitCommandRequest:
    request = bridge_pb2.SubmitCommandRequest(scene_ids=scenes)
    request.command.id = "order-1" if not scenes else "order-2"
    request.command.overlay.overlay_id = "o"
    request.command.overlay.operation = 1
    request.command.overlay.text = text
    return request


async def test_a_repeated_order_is_answered_from_the_record_also_after_a_restart(tmp_path: Path) -> None:
    obeyed: list[str] = []
    answers = []
    for _ in range(2):
        async with one_life(tmp_path / "journal.sqlite", obeyed) as stub:
            answers += [await stub.SubmitCommand(show("here")), await stub.SubmitCommand(show("here"))]

    assert ["order-1"] == obeyed
    assert [answers[0].ack] * 4 == [one.ack for one in answers]
    assert (2, 2.5) == (answers[0].ack.stage, answers[0].ack.sim_time_s)


async def test_the_same_id_with_another_order_is_refused(tmp_path: Path) -> None:
    obeyed: list[str] = []
    async with one_life(tmp_path / "journal.sqlite", obeyed) as stub:
        await stub.SubmitCommand(show("here"))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.SubmitCommand(show("there"))

    assert grpc.StatusCode.ABORTED is refused.value.code()
    assert "another body" in (refused.value.details() or "")
    assert ["order-1"] == obeyed


async def test_an_order_for_named_scenes_is_recorded_as_well(tmp_path: Path) -> None:
    obeyed: list[str] = []
    for _ in range(2):
        async with one_life(tmp_path / "journal.sqlite", obeyed) as stub:
            answer = await stub.SubmitCommand(show("here", scenes=("main",)))

    assert (["order-2"], 2, ["main"]) == (obeyed, answer.ack.stage, [one.scene_id for one in answer.scene_acks])


class SlowJournal(MemoryJournal):
    """A journal whose disk takes answers only while `takes` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.takes = asyncio.Event()
        self.offered = asyncio.Event()

    async def append(self, kind: str, facts: Sequence[Mapping[str, Any]]) -> int:
        if kind == "command_result":
            self.offered.set()
            await self.takes.wait()
        return await super().append(kind, facts)


@pytest.mark.parametrize("dry_run", [False, True])
async def test_who_watches_is_told_a_final_stage_once_it_is_recorded(dry_run: bool) -> None:
    """What the twin forgets when it is killed now must not have been seen by anybody; a dry run is not recorded."""
    journal = SlowJournal()
    server = BridgeServer(sink=MemorySink(START), port=0)
    link = RecordedLink(
        lambda: server.link, {"main": CommandRecord(journal, scene_id="main")}, settled=server.command_settled
    )
    server.orders = link
    url = f"127.0.0.1:{await server.start()}"
    order = Command(id=uuid7(), body=Overlay(overlay_id="o", operation="show"), issued_by="ana", dry_run=dry_run)

    def obey(command: Command) -> CommandResult:
        return CommandResult(command_id=command.id, stage=CommandStage.APPLIED)

    async with (
        SceneClient(url, "main", provides=["MOTION", "KPI"], on_command=obey),
        ObserverClient(url, "main", channels=("COMMANDS",)) as observer,
    ):
        await asyncio.sleep(0.1)  # the subscription has to arrive before the news
        asked = asyncio.create_task(link.send(order, timeout_s=5))
        heard = [await asyncio.wait_for(anext(observer), 3)]
        if not dry_run:
            await journal.offered.wait()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(observer), 0.2)
        journal.takes.set()
        heard.append(await asyncio.wait_for(anext(observer), 3))
        await asked
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(observer), 0.2)
    await server.stop()

    assert [CommandStage.RECEIVED, CommandStage.APPLIED] == [
        one.stage for one in heard if isinstance(one, CommandResult)
    ]


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        (("APPLIED", "APPLIED"), ("APPLIED", "")),
        (("REJECTED", "REJECTED"), ("REJECTED", "a: REJECTED no; b: REJECTED no")),
        (("APPLIED", "EXPIRED"), ("FAILED", "b: EXPIRED no")),
        (("REJECTED", "EXPIRED"), ("FAILED", "a: REJECTED no; b: EXPIRED no")),
        (("REJECTED",), ("REJECTED", "a: REJECTED no")),
        ((), ("FAILED", "")),
    ],
)
def test_the_answers_of_several_scenes_become_one(stages: tuple[str, ...], expected: tuple[str, str]) -> None:
    answers = {
        scene_id: CommandResult(command_id="c", stage=CommandStage(stage), reason="" if stage == "APPLIED" else "no")
        for scene_id, stage in zip("ab", stages, strict=False)
    }
    assert overall(answers) == (CommandStage(expected[0]), expected[1])


async def test_an_order_that_every_named_scene_rejects_is_rejected(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    await journal.open()
    records = {name: CommandRecord(journal, scene_id=name) for name in ("main", "north")}
    server = BridgeServer(sink=MemorySink(START), port=0)
    server.orders = RecordedLink(lambda: server.link, records, settled=server.command_settled)
    url = f"127.0.0.1:{await server.start()}"

    def refuse(command: Command) -> CommandResult:
        return CommandResult(command_id=command.id, stage=CommandStage.REJECTED, reason="no room")

    async with (
        SceneClient(url, "main", provides=["MOTION", "KPI"], on_command=refuse),
        SceneClient(url, "north", provides=["MOTION", "KPI"], on_command=refuse),
        grpc.aio.insecure_channel(url) as channel,
    ):
        stub = bridge_pb2_grpc.BridgeServiceStub(channel)
        answer = await stub.SubmitCommand(show("here", scenes=("main", "north")))
    await server.stop()
    await journal.close()

    assert (3, "main: REJECTED no room; north: REJECTED no room") == (answer.ack.stage, answer.ack.reason)
