"""Who holds what of a scene, for how long after a break, and which order goes to whom."""

import asyncio
import time
from typing import Any

import pytest

from bridge.errors import SceneHeld, read_refusal
from bridge.v1 import command_pb2, figures_pb2, news_pb2, session_pb2
from tests.bridge_peer import KPI, MOTION, OBSERVER, STATE, Bench, Peer, bench
from twin.alarms import Severity
from twin.commands import (
    Command,
    CommandBody,
    CommandResult,
    CommandStage,
    ManageFault,
    MoveCamera,
    Overlay,
    SetAttribute,
    SetAttributes,
)
from twin.errors import InvalidInput, SceneUnavailable
from twin.ids import uuid7

TILT = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=70.0)
APPLIED, REJECTED = command_pb2.COMMAND_STAGE_APPLIED, command_pb2.COMMAND_STAGE_REJECTED


def order(body: CommandBody) -> Command:
    return Command(id=uuid7(), body=body, issued_by="test")


TURN = SetAttributes(actions=(TILT,))
SHOW = Overlay(overlay_id="o", operation="show")
FAULT = ManageFault(operation="inject", fault="power-loss", entity_id="cell-1-1")


def sending(here: Bench, command: Command, **rest: Any) -> "asyncio.Task[CommandResult]":
    return asyncio.create_task(here.server.link.send(command, timeout_s=3, **rest))


async def obey(peer: Peer, stage: int = APPLIED, *, reason: str = "") -> command_pb2.Command:
    """Answer the next order."""
    command = (await peer.hear("command")).command
    received = command_pb2.CommandAck(command_id=command.id, stage=command_pb2.COMMAND_STAGE_RECEIVED)
    await peer.say_lossless(command_ack=received)
    await peer.say_lossless(command_ack=command_pb2.CommandAck(command_id=command.id, stage=stage, reason=reason))
    return command


async def hears_no_order(peer: Peer) -> bool:
    """Whether nothing but what came before was sent until now."""
    await peer.say(heartbeat=session_pb2.Heartbeat(number=99))
    while (message := await peer.next()) is not None:
        if message.WhichOneof("body") == "command":
            return False
        if message.WhichOneof("body") == "heartbeat_reply":
            return True
    return False


# --- holding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provides", [[MOTION], [KPI, STATE], [MOTION, KPI, STATE]])
async def test_what_is_held_is_refused_to_others_with_the_time_to_wait(provides: list[int]) -> None:
    async with bench(lease_s=7.0) as here, here.connect("grpc") as holder, here.connect("websocket") as rival:
        await holder.hello()
        await rival.say_hello(provides=provides)
        refusal = await rival.refused()
        error = read_refusal(refusal)

        assert (refusal.code, refusal.retry_after_s) == (session_pb2.REFUSAL_CODE_CONFLICT, 7.0)
        assert isinstance(error, SceneHeld)
        assert error.retry_after_s == 7.0
        assert await rival.end() == "1013"


async def test_the_time_to_wait_shrinks_after_the_break_and_then_the_scene_is_free() -> None:
    async with bench(lease_s=0.4) as here:
        async with here.connect("grpc") as holder:
            first = await holder.hello()
            await holder.cut()
            await here.sink.until(lambda: bool(here.sink.gone))
        await asyncio.sleep(0.1)
        async with here.connect("grpc") as rival:
            await rival.say_hello()
            wait_s = (await rival.refused()).retry_after_s
            assert 0 < wait_s <= 0.3
        await asyncio.sleep(wait_s)
        async with here.connect("grpc") as next_one:
            second = await next_one.hello()
            assert second.fencing_number > first.fencing_number
            assert [s.session_id for s in here.server.health().sessions] == [second.session_id]


async def test_goodbye_frees_the_scene_at_once() -> None:
    async with bench() as here:
        async with here.connect("grpc") as holder:
            await holder.hello()
            await holder.say(goodbye=session_pb2.Goodbye())
            await holder.end()
        async with here.connect("grpc") as next_one:
            await next_one.hello()


@pytest.mark.parametrize(("transport", "how"), [("grpc", "OK"), ("websocket", "1000")])
async def test_a_takeover_tells_the_older_one_and_leaves_it_nothing_to_resume(transport: str, how: str) -> None:
    async with bench() as here, here.connect(transport) as older:
        first = await older.hello()
        last = await older.greeted()
        async with here.connect(transport) as newer:
            second = await newer.hello(takeover=True)
            notice = (await older.hear("notice")).notice
            assert notice.code == session_pb2.NOTICE_CODE_TAKEN_OVER
            assert await older.end() == how
            assert here.sink.gone == [("main", "a newer connection took over")]
            assert second.fencing_number > first.fencing_number
            assert here.sink.scenes["main"].fencing_number == second.fencing_number
            resume = session_pb2.ResumePoint(
                session_id=first.session_id, resume_token=first.resume_token, last_seq=last
            )
            async with here.connect(transport) as again:
                await again.say_hello(resume=resume)
                assert (await again.refused()).code == session_pb2.REFUSAL_CODE_CONFLICT


async def test_numbers_grow_across_restarts_of_the_twin() -> None:
    numbers = []
    for _ in range(2):
        async with bench() as here, here.connect("grpc") as scene:
            numbers.append((await scene.hello()).fencing_number)
        await asyncio.sleep(0.002)

    assert 0 < numbers[0] < numbers[1]
    assert numbers[1] <= time.time() * 1000


async def test_those_who_watch_hold_nothing() -> None:
    async with bench() as here, here.connect("grpc") as scene, here.connect("grpc") as observer:
        await scene.hello()
        welcome = await observer.hello(role=OBSERVER)

        assert welcome.fencing_number == 0


# --- two sessions share a scene --------------------------------------------------------------------------------------


async def test_an_order_for_the_network_goes_to_who_computes_it_and_then_to_who_shows_it() -> None:
    async with bench() as here, here.connect("grpc") as eyes, here.connect("websocket") as brain:
        shows = await eyes.hello(provides=[MOTION])
        computes = await brain.hello(provides=[KPI, STATE])
        waiting = sending(here, order(TURN))
        assert (await obey(brain)).fencing_number == computes.fencing_number
        assert (await obey(eyes)).fencing_number == shows.fencing_number

        result = await waiting
        assert (result.stage, result.reason) == (CommandStage.APPLIED, "")
        assert here.server.health().commands_pending == 0


async def test_a_refusal_of_who_shows_the_scene_is_told_beside_the_answer() -> None:
    async with bench() as here, here.connect("grpc") as eyes, here.connect("grpc") as brain:
        await eyes.hello(provides=[MOTION])
        await brain.hello(provides=[KPI])
        waiting = sending(here, order(TURN))
        await obey(brain)
        await obey(eyes, REJECTED, reason="no such mast")

        result = await waiting
        assert (result.stage, "no such mast" in result.reason) == (CommandStage.APPLIED, True)


async def test_who_shows_the_scene_and_is_away_holds_nothing_up_and_is_told_later() -> None:
    async with bench() as here, here.connect("grpc") as brain:
        await brain.hello(provides=[KPI])
        async with here.connect("grpc") as eyes:
            welcome = await eyes.hello(provides=[MOTION])
            last = await eyes.greeted()
            await eyes.cut()
            await here.sink.until(lambda: bool(here.sink.gone))
        begin_s = time.monotonic()
        waiting = sending(here, order(TURN))
        await obey(brain)
        result = await waiting
        assert (result.stage, "did not say" in result.reason) == (CommandStage.APPLIED, True)
        assert time.monotonic() - begin_s < 1.0
        resume = session_pb2.ResumePoint(
            session_id=welcome.session_id, resume_token=welcome.resume_token, last_seq=last
        )
        async with here.connect("grpc") as eyes:
            await eyes.hello(provides=[MOTION], resume=resume)
            assert (await eyes.hear("command")).command.id == result.command_id


async def test_what_the_network_rejects_is_not_shown() -> None:
    async with bench() as here, here.connect("grpc") as eyes, here.connect("grpc") as brain:
        await eyes.hello(provides=[MOTION])
        await brain.hello(provides=[KPI])
        waiting = sending(here, order(TURN))
        await obey(brain, REJECTED, reason="too steep")

        assert (await waiting).stage is CommandStage.REJECTED
        assert await hears_no_order(eyes)


@pytest.mark.parametrize("body", [SHOW, MoveCamera(entity_id="cell-1-1")])
async def test_what_only_shows_goes_to_who_shows_the_scene(body: CommandBody) -> None:
    async with bench() as here, here.connect("grpc") as brain, here.connect("grpc") as eyes:
        await brain.hello(provides=[KPI])
        await eyes.hello(provides=[MOTION])
        waiting = sending(here, order(body))
        await obey(eyes)

        assert (await waiting).stage is CommandStage.APPLIED
        assert await hears_no_order(brain)


async def test_without_anybody_who_computes_the_network_an_order_for_it_is_refused() -> None:
    async with bench() as here, here.connect("grpc") as eyes:
        await eyes.hello(provides=[MOTION])

        with pytest.raises(SceneUnavailable, match="KPI"):
            await here.server.link.send(order(FAULT), timeout_s=3)


async def test_after_the_lease_nobody_waits_for_who_is_away() -> None:
    async with bench(lease_s=0.05) as here:
        async with here.connect("grpc") as scene:
            await scene.hello()
            await scene.cut()
            await here.sink.until(lambda: bool(here.sink.gone))
        await asyncio.sleep(0.06)

        with pytest.raises(SceneUnavailable):
            await here.server.link.send(order(SHOW), timeout_s=3)


async def test_an_answer_of_another_session_than_was_asked_does_not_count() -> None:
    async with bench() as here, here.connect("grpc") as eyes, here.connect("grpc") as brain:
        await eyes.hello(provides=[MOTION])
        await brain.hello(provides=[KPI])
        command = order(FAULT)
        waiting = sending(here, command)
        await brain.hear("command")
        await eyes.say_lossless(command_ack=command_pb2.CommandAck(command_id=command.id, stage=APPLIED))
        await eyes.acknowledged(1)
        assert not waiting.done()
        await brain.say_lossless(command_ack=command_pb2.CommandAck(command_id=command.id, stage=REJECTED))

        assert (await waiting).stage is CommandStage.REJECTED


# --- several scenes --------------------------------------------------------------------------------------------------


async def test_with_several_scenes_an_order_must_name_one() -> None:
    async with bench() as here, here.connect("grpc") as east, here.connect("grpc") as west:
        await east.hello(scene_id="east")
        await west.hello(scene_id="west")
        with pytest.raises(InvalidInput, match="east, west"):
            await here.server.link.send(order(SHOW), timeout_s=3)
        waiting = sending(here, order(SHOW), scene_id="west")
        await obey(west)

        assert (await waiting).stage is CommandStage.APPLIED
        assert await hears_no_order(east)


async def test_an_order_for_several_scenes_tells_what_each_answered() -> None:
    async with bench() as here, here.connect("grpc") as east, here.connect("grpc") as west:
        await east.hello(scene_id="east")
        await west.hello(scene_id="west")
        command = order(SHOW)
        waiting = asyncio.create_task(
            here.server.link.send_to_all(command, scene_ids=("east", "west", "north"), timeout_s=3)
        )
        await obey(east)
        await obey(west, REJECTED, reason="busy")
        results = await waiting

        assert [(scene_id, result.stage) for scene_id, result in results.items()] == [
            ("east", CommandStage.APPLIED),
            ("west", CommandStage.REJECTED),
            ("north", CommandStage.FAILED),
        ]
        assert "`north` is not connected" in results["north"].reason


# --- news of scenes --------------------------------------------------------------------------------------------------


async def test_what_a_scene_tells_reaches_who_subscribed_and_not_itself() -> None:
    wish = session_pb2.Subscribe(
        channels=[session_pb2.CHANNEL_EVENTS, session_pb2.CHANNEL_ALARMS, session_pb2.CHANNEL_TELEMETRY]
    )
    credit = session_pb2.Credit(channel=session_pb2.CHANNEL_TELEMETRY, messages=9)
    async with (
        bench() as here,
        here.connect("grpc") as eyes,
        here.connect("grpc") as brain,
        here.connect("grpc") as observer,
    ):
        await eyes.hello(provides=[MOTION])
        await brain.hello(provides=[KPI])
        await observer.hello(role=OBSERVER)
        for peer in (eyes, brain, observer):
            await peer.say(subscribe=wish)
            await peer.say(credit=credit)
            await peer.hear("subscribe_reply")
        await eyes.say_lossless(event=news_pb2.Event(name="touched", sim_time_s=1.0))
        alarm = news_pb2.Alarm(
            id="a",
            entity_id="cell-1-1",
            probable_cause="powerProblem",
            event_type="equipmentAlarm",
            raised_at_sim_s=1.0,
        )
        alarm.perceived_severity = news_pb2.SEVERITY_MAJOR
        await eyes.say_lossless(alarm=alarm)
        await eyes.say(
            telemetry=figures_pb2.Telemetry(
                epoch=1, number=1, revision=5, sim_time_s=1.0, entity_index=[1], position_m=[1.0, 2.0, 3.0]
            )
        )
        for peer in (brain, observer):
            assert (await peer.hear("event")).event.name == "touched"
            raised = (await peer.hear("alarm")).alarm
            assert (raised.entity_id, raised.scene_id) == ("cell-1-1", "main")
            assert list((await peer.hear("telemetry")).telemetry.entity_index) == [1]
        await eyes.acknowledged(2)
        assert here.sink.alarms[0].perceived_severity is Severity.MAJOR
        await eyes.say(heartbeat=session_pb2.Heartbeat(number=1))
        await eyes.hear("heartbeat_reply")
        kinds = {message.WhichOneof("body") for message in eyes.heard}
        assert not kinds & {"event", "alarm", "telemetry"}
