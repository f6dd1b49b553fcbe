"""SubmitCommand of a twin that keeps a record: one order is obeyed once, however often it comes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import grpc.aio
import pytest

from bridge.client import SceneClient
from bridge.server import BridgeServer
from bridge.testing import MemorySink
from bridge.v1 import bridge_pb2, bridge_pb2_grpc
from twin.clock import CivilTime
from twin.commands import Command, CommandResult, CommandStage
from twin.ports import SceneStart
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
