"""The C# session keeps the rules of docs/bridge.md: with the conformance kit, and with a twin that breaks them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bridge.conform.clients import ClientChecks
from bridge.conform.report import Outcome, Report
from bridge.conform.wire import Listener, Wire, request_of
from bridge.v1 import bridge_pb2, command_pb2, figures_pb2, news_pb2, session_pb2, topology_pb2
from tests.codec_judge import ROOT
from tests.csharp_program import CSHARP, NEEDS_MONO, Scene, build_scene, compile_csharp, run_scene

pytestmark = [pytest.mark.engine, NEEDS_MONO]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_scene(tmp_path_factory.mktemp("csharp_session"))


async def test_the_conformance_kit_finds_no_broken_rule(program: Path) -> None:
    report = Report()
    async with (
        Listener("ws://127.0.0.1:0/bridge") as listener,
        run_scene(program, urlsplit(listener.url).port or 0, "--provides", "MOTION,KPI"),
    ):
        await ClientChecks(listener, wait_s=20).run(report)

    assert [] == [f"{v.rule} {v.what}: {v.detail}" for v in report.verdicts if v.outcome is not Outcome.HOLDS]


class Twin:
    """Says exactly what it is told to one stream of the scene."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.heard: list[bridge_pb2.ConnectRequest] = []

    async def say(self, **fields: Any) -> None:
        await self.wire.send(bridge_pb2.ConnectResponse(**fields).SerializeToString())

    async def hear(self, body: str, *, timeout_s: float = 5.0) -> bridge_pb2.ConnectRequest:
        """Return the next message of a kind."""
        async with asyncio.timeout(timeout_s):
            while (request := request_of(await self.wire.receive())) is not None:
                self.heard.append(request)
                if request.WhichOneof("body") == body:
                    return request
        raise AssertionError(f"the scene left without `{body}`")

    async def acknowledged(self, seq: int, *, timeout_s: float = 5.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not self.heard or self.heard[-1].ack < seq:
                request = request_of(await self.wire.receive())
                assert request is not None, "the scene left"
                self.heard.append(request)

    async def welcome(self, *, session: str = "s-1", ack: int = 0, resumed: bool = False, window: int = 64) -> None:
        said = session_pb2.Welcome(
            session_id=session,
            protocol_version=1,
            resumed=resumed,
            resume_token=f"secret-{session}",
            resume_ttl_s=60,
            sim_epoch="2026-11-07T12:00:00+00:00",
            timezone="UTC",
            heartbeat_interval_s=5,
            telemetry_credits=1,
            lossless_window=window,
            fencing_number=7,
        )
        await self.say(welcome=said, ack=ack)

    async def inventory(self, *, revision: int = 5) -> None:
        entities = [
            topology_pb2.Entity(index=0, id="cell-1-1", kind="cell"),
            topology_pb2.Entity(index=1, id="ue-1", kind="ue"),
        ]
        entities[0].attributes["digitalTilt"].number = 60.0
        await self.say(
            seq=1, topology_snapshot=topology_pb2.TopologySnapshot(revision=revision, entities=entities, last=True)
        )
        await self.say(seq=2, desired_configuration=topology_pb2.DesiredConfiguration(revision=revision, last=True))


@asynccontextmanager
async def met(program: Path, *options: str) -> AsyncIterator[tuple[Scene, Twin, Listener]]:
    """A scene that has said Hello to a twin, which has not answered yet."""
    async with (
        Listener("ws://127.0.0.1:0/bridge") as listener,
        run_scene(program, urlsplit(listener.url).port or 0, *options) as running,
    ):
        async with asyncio.timeout(10):
            twin = Twin(await listener.next())
        await twin.hear("hello")
        yield running, twin, listener


async def ended(running: Scene) -> str:
    await running.until(lambda: bool(running.said("summary")))
    last = running.said("state")[-1]
    assert "Ended" == last["state"]
    return last["reason"]


async def test_a_gap_in_the_numbers_ends_it(program: Path) -> None:
    async with met(program) as (running, twin, _):
        await twin.welcome()
        await twin.inventory()
        await twin.say(seq=4, event=news_pb2.Event(name="lost.one"))

        assert "message 4 follows 2" in await ended(running)


async def test_an_acknowledgement_of_what_was_never_sent_ends_it(program: Path) -> None:
    async with met(program) as (running, twin, _):
        await twin.welcome()
        await twin.say(ack=99)

        assert "acknowledges 99" in await ended(running)


async def test_bytes_that_are_no_message_end_it(program: Path) -> None:
    async with met(program) as (running, twin, _):
        await twin.welcome()
        await twin.wire.send(b"\x0e\xff\xff")

        assert "no message" in await ended(running)


async def test_a_refusal_with_patience_is_tried_again(program: Path) -> None:
    async with met(program) as (running, twin, listener):
        busy = session_pb2.Refusal(code=session_pb2.REFUSAL_CODE_OVERLOADED, message="full", retry_after_s=0.3)
        await twin.say(refusal=busy)
        async with asyncio.timeout(5):
            again = Twin(await listener.next())
        await again.hear("hello")
        await again.welcome()
        await again.inventory()
        await running.ready()

    assert "Overloaded: full" in [line["reason"] for line in running.said("state")]


async def test_a_delta_on_another_revision_is_answered_by_asking_for_everything(program: Path) -> None:
    async with met(program) as (running, twin, _):
        await twin.welcome()
        await twin.inventory(revision=5)
        await twin.say(seq=3, topology_delta=topology_pb2.TopologyDelta(base_revision=8, revision=9))
        asked = await twin.hear("topology_request")
        added = topology_pb2.Entity(index=2, id="ue-2", kind="ue")
        await twin.say(
            seq=4, topology_delta=topology_pb2.TopologyDelta(base_revision=5, revision=6, upsert=[added], remove=[1])
        )
        await twin.acknowledged(4)

    assert 5 == asked.topology_request.have_revision
    assert [(5, 2), (6, 2)] == [(line["revision"], line["entities"]) for line in running.said("inventory")]


async def test_figures_of_older_indices_are_not_shown(program: Path) -> None:
    async with met(program, "--subscribe") as (running, twin, _):
        await twin.welcome()
        await twin.inventory(revision=5)
        subscribe = await twin.hear("subscribe")
        credit = await twin.hear("credit")
        for revision in (4, 5, 6):
            await twin.say(
                telemetry=figures_pb2.Telemetry(
                    number=1, revision=revision, entity_index=[1], kpis=["a"], values=[float(revision)]
                )
            )
        returned = [(await twin.hear("credit")).credit.messages for _ in range(3)]
        await running.until(lambda: bool(running.said("figures")))

    assert session_pb2.CHANNEL_TELEMETRY in subscribe.subscribe.channels
    assert (session_pb2.CHANNEL_TELEMETRY, 2) == (credit.credit.channel, credit.credit.messages)
    assert [1, 1, 1] == returned
    assert [5.0] == [line["value"] for line in running.said("figures")]


async def test_what_came_before_the_break_is_not_dealt_with_again(program: Path) -> None:
    async with met(program) as (running, twin, listener):
        await twin.welcome()
        await twin.inventory()
        await twin.say(seq=3, event=news_pb2.Event(name="once"))
        await twin.acknowledged(3)
        observed = next(request for request in twin.heard if request.HasField("observed_configuration"))
        await twin.wire.cut()
        async with asyncio.timeout(5):
            again = Twin(await listener.next())
        hello = (await again.hear("hello")).hello
        await again.welcome(resumed=True)
        await again.say(seq=3, event=news_pb2.Event(name="once"))
        await again.say(seq=4, event=news_pb2.Event(name="new"))
        resent = await again.hear("observed_configuration")
        await again.acknowledged(4)

    assert ("s-1", "secret-s-1", 3) == (hello.resume.session_id, hello.resume.resume_token, hello.resume.last_seq)
    assert 2 == len([line for line in running.said("heard") if line["body"] == "Event"])
    assert observed.seq == resent.seq == 1


async def test_no_more_lossless_messages_than_the_window_are_under_way(program: Path) -> None:
    async with met(program, "--provides", "MOTION,KPI") as (_, twin, _):
        await twin.welcome(window=2)
        await twin.inventory()
        with pytest.raises(TimeoutError):
            await twin.hear("nothing of the kind", timeout_s=2.5)
        numbers = [request.seq for request in twin.heard if request.seq]
        await twin.say(ack=2)
        await twin.hear("pm_report")

    assert [1, 2] == numbers
    assert 3 == twin.heard[-1].seq


async def test_an_order_is_rejected_under_an_older_holding_and_may_come_again(program: Path) -> None:
    async with met(program) as (running, twin, _):
        await twin.welcome()
        await twin.inventory()
        tilt = command_pb2.Command(id="c-1", fencing_number=6)
        tilt.set_attributes.actions.add(entity_id="cell-1-1", attribute="digitalTilt").value.number = 70.0
        await twin.say(seq=3, command=tilt)
        stages = [(await twin.hear("command_ack")).command_ack.stage for _ in range(2)]
        tilt.fencing_number = 7
        await twin.say(seq=4, command=tilt)
        stages += [(await twin.hear("command_ack")).command_ack.stage for _ in range(2)]

    received, rejected = command_pb2.COMMAND_STAGE_RECEIVED, command_pb2.COMMAND_STAGE_REJECTED
    assert [received, rejected, received, command_pb2.COMMAND_STAGE_APPLIED] == stages
    assert 1 == len(running.said("obeyed"))


async def test_a_record_that_was_cut_in_the_middle_is_read_up_to_there(program: Path, tmp_path: Path) -> None:
    record = tmp_path / "commands"
    tilts = [command_pb2.Command(id=f"c-{number}") for number in (1, 2)]
    for tilt in tilts:
        tilt.set_attributes.actions.add(entity_id="cell-1-1", attribute="digitalTilt").value.number = 70.0
    async with met(program, "--record", str(record)) as (running, twin, _):
        await twin.welcome()
        await twin.inventory()
        for seq, tilt in enumerate(tilts, start=3):
            await twin.say(seq=seq, command=tilt)
        await running.until(lambda: len(running.said("obeyed")) == 2)
        await twin.acknowledged(4)
    record.write_bytes(record.read_bytes()[:-3])
    async with met(program, "--record", str(record)) as (running, twin, _):
        await twin.welcome()
        await twin.inventory()
        for seq, tilt in enumerate(tilts, start=3):
            await twin.say(seq=seq, command=tilt)
        await twin.acknowledged(4)

    assert ["c-2"] == [line["command"] for line in running.said("obeyed")]


async def test_nothing_is_called_applied_before_its_record_is_kept(tmp_path: Path) -> None:
    program = tmp_path / "trouble.exe"
    core = [*sorted((CSHARP / "Twin6G.Wire").glob("*.cs")), *sorted((CSHARP / "Twin6G.Core").glob("*.cs"))]
    compile_csharp(program, *core, ROOT / "tests/contract/csharp_session/DiskTrouble.cs")
    async with met(program) as (running, twin, _):
        await twin.welcome()
        await twin.inventory()
        for seq, name in ((3, "c-1"), (4, "c-2")):
            await twin.say(seq=seq, command=command_pb2.Command(id=name, set_attributes=command_pb2.SetAttributes()))
        told = [(await twin.hear("command_ack")).command_ack for _ in range(4)]

    assert ["obeyed", "refused", "refused", "refused", "kept", "obeyed", "kept"] == [
        line["what"] for line in running.lines
    ]
    received, applied = command_pb2.COMMAND_STAGE_RECEIVED, command_pb2.COMMAND_STAGE_APPLIED
    assert [("c-1", received), ("c-1", applied), ("c-2", received), ("c-2", applied)] == [
        (ack.command_id, ack.stage) for ack in told
    ]
