"""Coming back after a break: nothing is lost, nothing is dealt with twice, and who must begin anew is told so."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.stream import BridgeSettings
from bridge.testing import MemorySink
from bridge.v1 import bridge_pb2, command_pb2, figures_pb2, news_pb2, session_pb2
from tests.bridge_peer import KPI, MOTION, OBSERVER, Bench, Peer, bench, start
from twin.commands import Command, CommandStage, Overlay
from twin.errors import StoreUnavailable
from twin.ids import uuid7
from twin.ports import SceneInfo, SceneStart
from twin.telemetry import PmReport

TRANSPORTS = ("grpc", "websocket")


def point(welcome: session_pb2.Welcome, last_seq: int, *, token: str | None = None) -> session_pb2.ResumePoint:
    return session_pb2.ResumePoint(
        session_id=welcome.session_id,
        resume_token=welcome.resume_token if token is None else token,
        last_seq=last_seq,
    )


def event(name: str) -> dict[str, news_pb2.Event]:
    return {"event": news_pb2.Event(name=name, sim_time_s=1.0)}


def told(here: Bench) -> list[str]:
    return [name for _, name, *_ in here.sink.events]


async def lost(here: Bench, peer: Peer) -> None:
    """Cut a connection and wait until the twin knows."""
    before = len(here.sink.gone)
    await peer.cut()
    await here.sink.until(lambda: len(here.sink.gone) > before)


async def commanded(peer: Peer) -> command_pb2.Command:
    return (await peer.hear("command")).command


def overlay(number: int = 0) -> Command:
    return Command(id=uuid7(), body=Overlay(overlay_id=f"o{number}", operation="show"), issued_by="test")


# --- the client's messages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_arrived_is_told_and_what_comes_again_is_not_dealt_with_twice(transport: str) -> None:
    async with bench() as here:
        async with here.connect(transport) as first:
            welcome = await first.hello()
            last = await first.greeted()
            for name in ("a", "b", "c"):
                await first.say_lossless(**event(name))
            await here.sink.until(lambda: told(here) == ["a", "b", "c"])
            await lost(here, first)
        async with here.connect(transport) as second:
            again = await second.hello(resume=point(welcome, last))
            assert (again.resumed, again.session_id, second.heard[0].ack) == (True, welcome.session_id, 3)
            await second.say(seq=2, **event("b"))
            await second.say(seq=3, **event("c"))
            await second.say(seq=4, **event("d"))
            await second.acknowledged(4)

            assert told(here) == ["a", "b", "c", "d"]
            assert here.server.health().resumed == 1


class Slow(MemorySink):
    """Takes reports only when told to."""

    def __init__(self) -> None:
        super().__init__(start())
        self.may = asyncio.Event()

    async def pm(self, report: PmReport, done: Any) -> None:
        await self.may.wait()
        await super().pm(report, done)


def report(second: int) -> dict[str, figures_pb2.PmReport]:
    return {
        "pm_report": figures_pb2.PmReport(
            epoch=1,
            revision=5,
            granularity_period_s=1,
            period_end_sim_time_s=second,
            entity_index=[0],
            counters=["RRC.ConnMean"],
            values=[1.0],
        )
    }


async def test_what_arrived_but_was_not_taken_yet_survives_the_break() -> None:
    sink = Slow()
    async with bench(sink) as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            for second_s in (1, 2, 3):
                await first.say_lossless(**report(second_s))
            while here.server.health().sessions[0].inbox_depth < 3:
                await asyncio.sleep(0.01)
            await lost(here, first)
        async with here.connect("grpc") as second:
            await second.hello(resume=point(welcome, last))
            assert second.heard[0].ack == 0
            for number in (1, 2, 3):
                await second.say(seq=number, **report(number))
            sink.may.set()
            await second.acknowledged(3)

            assert (sorted(key[3] for key in sink.reports), sink.repetitions) == ([1.0, 2.0, 3.0], 0)


async def test_a_twin_that_does_not_keep_up_lets_the_client_wait_and_not_die() -> None:
    sink = Slow()
    async with bench(sink, inbox_limit_bytes=100, heartbeat_interval_s=0.05) as here, here.connect("grpc") as scene:
        await scene.hello()
        await scene.greeted()
        for second_s in range(1, 21):
            await scene.say_lossless(**report(second_s))
        await asyncio.sleep(0.3)
        assert 0 < here.server.health().scenes[0].inbox_depth < 20
        sink.may.set()
        while len(sink.reports) < 20:
            await scene.say(heartbeat=session_pb2.Heartbeat(number=1))
            await asyncio.sleep(0.02)

        assert [s.suspended for s in here.server.health().sessions] == [False]


async def test_a_gap_after_a_resume_still_breaks_the_protocol() -> None:
    async with bench() as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await first.say_lossless(**event("a"))
            await first.acknowledged(1)
            await lost(here, first)
        async with here.connect("grpc") as second:
            await second.hello(resume=point(welcome, last))
            await second.say(seq=3, **event("c"))

            assert (await second.refused()).code == session_pb2.REFUSAL_CODE_PROTOCOL
            await second.end()
            assert here.server.health().sessions == ()


@settings(max_examples=10, deadline=None)
@given(
    rounds=st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.sampled_from(TRANSPORTS)), min_size=1, max_size=4)
)
def test_wherever_the_stream_is_cut_everything_said_is_dealt_with_once_and_in_order(
    rounds: list[tuple[int, bool, str]],
) -> None:
    async def play() -> None:
        async with bench() as here:
            said: list[str] = []
            welcome: session_pb2.Welcome | None = None
            for count, wait, transport in [*rounds, (1, True, "grpc")]:
                async with here.connect(transport) as peer:
                    resume = None if welcome is None else point(welcome, 0)
                    welcome = await peer.hello(resume=resume)
                    assert welcome.resumed == (resume is not None)
                    done = peer.heard[0].ack
                    assert done <= len(said)
                    for number in range(done + 1, len(said) + 1):
                        await peer.say(seq=number, **event(said[number - 1]))
                    for _ in range(count):
                        said.append(str(len(said) + 1))
                        await peer.say(seq=len(said), **event(said[-1]))
                    if wait:
                        await peer.acknowledged(len(said))
                    await lost(here, peer)
            assert told(here) == said

    asyncio.run(play())


# --- the twin's messages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_order_given_while_the_scene_is_away_reaches_it_under_its_own_number(transport: str) -> None:
    async with bench() as here:
        async with here.connect(transport) as first:
            welcome = await first.hello()
            last = await first.greeted()
            await lost(here, first)
        command = overlay()
        waiting = asyncio.create_task(here.server.link.send(command, timeout_s=5))
        await asyncio.sleep(0.02)
        async with here.connect(transport) as second:
            assert (await second.hello(resume=point(welcome, last))).resumed
            order = await second.hear("command")
            assert (order.seq, order.command.id) == (last + 1, command.id)
            ack = command_pb2.CommandAck(command_id=command.id, stage=command_pb2.COMMAND_STAGE_APPLIED)
            await second.say_lossless(command_ack=ack)

            assert (await waiting).stage is CommandStage.APPLIED


async def test_an_unanswered_order_is_given_again_to_a_scene_that_begins_anew() -> None:
    async with bench() as here:
        async with here.connect("grpc") as first:
            await first.hello()
            await first.greeted()
            command = overlay()
            waiting = asyncio.create_task(here.server.link.send(command, timeout_s=5))
            assert (await commanded(first)).id == command.id
        async with here.connect("grpc") as second:
            assert not (await second.hello(takeover=True)).resumed
            again = await commanded(second)
            ack = command_pb2.CommandAck(command_id=again.id, stage=command_pb2.COMMAND_STAGE_APPLIED)
            await second.say_lossless(command_ack=ack)

            assert (again.id, (await waiting).stage) == (command.id, CommandStage.APPLIED)


@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(0, 12), min_size=1, max_size=3), acks=st.lists(st.booleans(), min_size=4, max_size=4))
def test_wherever_the_stream_is_cut_every_order_arrives_once_and_in_order(cuts: list[int], acks: list[bool]) -> None:
    async def play() -> None:
        async with bench() as here:
            dealt_with: list[str] = []
            last = 0
            welcome: session_pb2.Welcome | None = None
            orders = [overlay(number) for number in range(8)]
            waiting: list[asyncio.Task[Any]] = []
            for read_most, acknowledge in zip([*cuts, 10_000], acks, strict=False):
                async with here.connect("grpc") as peer:
                    resume = None if welcome is None else point(welcome, last)
                    welcome = await peer.hello(resume=resume)
                    assert welcome.resumed == (resume is not None)
                    if not waiting:
                        waiting = [
                            asyncio.create_task(here.server.link.send(order, timeout_s=0.01)) for order in orders
                        ]
                        await asyncio.wait(waiting)
                    for _ in range(read_most):
                        if last == len(orders) + 2:
                            break
                        message = await peer.next()
                        assert message is not None
                        if message.seq:
                            assert message.seq == last + 1
                            last = message.seq
                            if message.WhichOneof("body") == "command":
                                dealt_with.append(message.command.id)
                    if acknowledge:
                        await peer.say(ack=last)
                    if read_most < 10_000:
                        await lost(here, peer)
            assert dealt_with == [order.id for order in orders]
            for task in waiting:
                task.exception()

    asyncio.run(play())


# --- what can be resumed, and what not -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": "guessed"},
        {"token": ""},
        {"last_seq": 99},
        {"session_id": "nobody"},
    ],
)
async def test_a_wrong_resume_point_begins_anew(wrong: dict[str, Any]) -> None:
    async with bench(lease_s=0.0) as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await lost(here, first)
        resume = point(welcome, wrong.get("last_seq", last), token=wrong.get("token"))
        resume.session_id = wrong.get("session_id", resume.session_id)
        async with here.connect("grpc") as second:
            again = await second.hello(resume=resume)
            assert (again.resumed, again.session_id == welcome.session_id) == (False, False)
            assert (await second.hear("topology_snapshot")).seq == 1


async def test_a_token_is_good_once() -> None:
    async with bench(lease_s=0.0) as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await lost(here, first)
        async with here.connect("grpc") as second:
            newer = await second.hello(resume=point(welcome, last))
            assert newer.resume_token != welcome.resume_token
            await lost(here, second)
        async with here.connect("grpc") as third:
            assert not (await third.hello(resume=point(welcome, last))).resumed


@pytest.mark.parametrize(("field", "value"), [("scene_id", "other"), ("provides", [KPI]), ("role", OBSERVER)])
async def test_a_session_is_resumed_as_what_it_was(field: str, value: Any) -> None:
    async with bench(lease_s=0.0) as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await lost(here, first)
        async with here.connect("grpc") as second:
            again = await second.hello(**{"resume": point(welcome, last), field: value})
            assert not again.resumed


async def test_after_its_time_a_session_is_forgotten() -> None:
    async with bench(resume_ttl_s=0.05) as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await lost(here, first)
        while here.server.health().sessions:
            await asyncio.sleep(0.01)
        async with here.connect("grpc") as second:
            assert not (await second.hello(resume=point(welcome, last))).resumed


async def test_more_than_the_ring_holds_begins_anew_and_its_holder_still_gets_in() -> None:
    async with bench(resume_ring_bytes=4000) as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await first.say(ack=last, heartbeat=session_pb2.Heartbeat(number=1))
            await first.hear("heartbeat_reply")
            await lost(here, first)
        body = Overlay(overlay_id="o", operation="show", text="x" * 1000)
        waiting = [
            asyncio.create_task(here.server.link.send(Command(id=uuid7(), body=body, issued_by="test"), timeout_s=0.2))
            for _ in range(8)
        ]
        await asyncio.wait(waiting)
        assert all(task.exception() is not None for task in waiting)
        assert here.server.health().sessions[0].outbox_depth == 0
        async with here.connect("grpc") as second:
            assert not (await second.hello(resume=point(welcome, last))).resumed


async def test_only_so_many_sessions_wait_and_the_oldest_is_forgotten() -> None:
    async with bench(max_suspended=2) as here:
        for name in ("a", "b", "c"):
            async with here.connect("grpc") as peer:
                await peer.hello(scene_id=name)
                await peer.greeted()
                await lost(here, peer)

        assert [session.scene_id for session in here.server.health().sessions] == ["b", "c"]


async def test_those_who_only_watch_are_forgotten_before_scenes() -> None:
    async with bench(max_suspended=1) as here, here.connect("grpc") as scene, here.connect("grpc") as observer:
        await scene.hello()
        await observer.hello(role=OBSERVER)
        await observer.cut()
        while not any(session.suspended for session in here.server.health().sessions):
            await asyncio.sleep(0.01)
        await lost(here, scene)

        assert [session.role for session in here.server.health().sessions] == ["scene"]


async def test_goodbye_leaves_nothing_to_resume() -> None:
    async with bench() as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await first.say(goodbye=session_pb2.Goodbye())
            await first.end()
        async with here.connect("grpc") as second:
            assert not (await second.hello(resume=point(welcome, last))).resumed


# --- the old stream still open ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("transport", "how"), [("grpc", "OK"), ("websocket", "1000")])
async def test_a_resume_while_the_old_stream_is_open_ends_the_old_one(transport: str, how: str) -> None:
    async with bench() as here, here.connect(transport) as first, here.connect(transport) as second:
        welcome = await first.hello()
        last = await first.greeted()
        again = await second.hello(resume=point(welcome, last))

        assert again.resumed
        assert await first.end() == how
        await second.say_lossless(**event("here"))
        await second.acknowledged(1)
        assert (told(here), len(here.server.health().sessions)) == (["here"], 1)


async def test_a_client_that_acknowledges_while_it_comes_back_is_not_sent_it_again() -> None:
    """What was on its way when the stream broke may be dealt with after Hello was said."""
    async with bench() as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await lost(here, first)
        async with here.connect("grpc") as second:
            assert (await second.hello(resume=point(welcome, 0))).resumed
            await second.say(ack=last, heartbeat=session_pb2.Heartbeat(number=7))
            await second.hear("heartbeat_reply")
            assert here.server.health().sessions[0].outbox_depth == 0


# --- what belongs to the connection, and what to the session ---------------------------------------------------------


async def test_a_subscription_outlives_the_connection_and_credit_does_not() -> None:
    async with bench() as here, here.connect("grpc") as scene:
        await scene.hello()
        await scene.greeted()
        await scene.say_lossless(live_notice=news_live())
        async with here.connect("grpc") as first:
            welcome = await first.hello(role=OBSERVER)
            last = await first.greeted()
            wish = session_pb2.Subscribe(channels=[session_pb2.CHANNEL_TELEMETRY, session_pb2.CHANNEL_EVENTS])
            await first.say(subscribe=wish)
            await first.say(credit=session_pb2.Credit(channel=session_pb2.CHANNEL_TELEMETRY, messages=5))
            await first.hear("subscribe_reply")
            await first.cut()
            while not any(s.suspended for s in here.server.health().sessions):
                await asyncio.sleep(0.01)
        await scene.say_lossless(**event("missed"))
        async with here.connect("grpc") as second:
            assert (await second.hello(role=OBSERVER, resume=point(welcome, last))).resumed
            assert (await second.hear("event")).event.name == "missed"
            await scene.say(telemetry=telemetry(1))
            await here.sink.until(lambda: bool(here.sink.batches))
            await second.say(heartbeat=session_pb2.Heartbeat(number=1))
            await second.hear("heartbeat_reply")
            assert all(message.WhichOneof("body") != "telemetry" for message in second.heard)
            await second.say(credit=session_pb2.Credit(channel=session_pb2.CHANNEL_TELEMETRY, messages=1))
            assert (await second.hear("telemetry")).telemetry.number == 1


def news_live() -> figures_pb2.LiveNotice:
    return figures_pb2.LiveNotice(sim_time_s=1.0)


def telemetry(number: int) -> figures_pb2.Telemetry:
    return figures_pb2.Telemetry(
        epoch=1, number=number, revision=5, sim_time_s=float(number), entity_index=[1], position_m=[1.0, 2.0, 3.0]
    )


async def test_a_live_scene_is_live_again_without_saying_so() -> None:
    async with bench() as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await first.say_lossless(live_notice=news_live())
            await first.acknowledged(1)
            await lost(here, first)
            assert here.sink.live_at_s == {}
        async with here.connect("grpc") as second:
            await second.hello(resume=point(welcome, last))
            assert list(here.sink.live_at_s) == ["main"]


async def test_a_change_made_while_a_scene_is_away_waits_for_it() -> None:
    async with bench() as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await lost(here, first)
        here.server.topology_changed(start().topology.with_attributes([("cell-1-1", "digitalTilt", 70.0)]))
        async with here.connect("grpc") as second:
            await second.hello(resume=point(welcome, last))
            delta = await second.hear("topology_delta")

            assert (delta.seq, delta.topology_delta.revision) == (last + 1, 6)


# --- when the twin itself has trouble --------------------------------------------------------------------------------


class Full(MemorySink):
    """Has no room for the first report."""

    def __init__(self) -> None:
        super().__init__(start())
        self.full = True

    async def pm(self, report: PmReport, done: Any) -> None:
        if self.full:
            self.full = False
            raise StoreUnavailable("the disk is full")
        await super().pm(report, done)


async def test_a_report_that_could_not_be_stored_is_stored_after_the_resume() -> None:
    async with bench(Full()) as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await first.say_lossless(**report(1))
            refusal = await first.refused()
            assert (refusal.code, refusal.retry_after_s > 0) == (session_pb2.REFUSAL_CODE_UNAVAILABLE, True)
        async with here.connect("grpc") as second:
            assert (await second.hello(resume=point(welcome, last))).resumed
            await second.acknowledged(1)
            assert len(here.sink.reports) == 1


class Broken(MemorySink):
    """Fails on every event, as a bug of the twin would."""

    def scene_event(self, scene_id: str, name: str, facts: Any, sim_time_s: float) -> None:
        raise ZeroDivisionError((scene_id, name, facts, sim_time_s))


async def test_a_bug_in_the_twin_is_told_as_such_and_ends_the_session() -> None:
    async with bench(Broken(start())) as here, here.connect("grpc") as scene:
        await scene.hello()
        await scene.greeted()
        await scene.say_lossless(**event("a"))
        refusal = await scene.refused()

        assert (refusal.code, "`ZeroDivisionError`" in refusal.message) == (session_pb2.REFUSAL_CODE_INTERNAL, True)
        assert await scene.end() == "INTERNAL"
        assert here.server.health().sessions == ()


class Forgetful(MemorySink):
    """Fails when it is told that a scene is gone."""

    def scene_disconnected(self, info: SceneInfo, reason: str) -> None:
        super().scene_disconnected(info, reason)
        raise LookupError(info.scene_id)


async def test_a_bug_in_the_twin_at_the_break_does_not_cost_the_session() -> None:
    async with bench(Forgetful(start())) as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await lost(here, first)
        async with here.connect("grpc") as second:
            assert (await second.hello(resume=point(welcome, last))).resumed


class Stumbling(MemorySink):
    """Fails once when a scene is live again."""

    stumbled = False

    def scene_live(self, scene_id: str, sim_time_s: float) -> None:
        if self.gone and not self.stumbled:
            self.stumbled = True
            raise LookupError(scene_id)
        super().scene_live(scene_id, sim_time_s)


async def test_a_bug_in_the_twin_at_the_resume_leaves_the_session_waiting() -> None:
    async with bench(Stumbling(start())) as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await first.say_lossless(live_notice=news_live())
            await first.acknowledged(1)
            await lost(here, first)
        async with here.connect("grpc") as second:
            await second.say_hello(resume=point(welcome, last))
            assert (await second.refused()).code == session_pb2.REFUSAL_CODE_INTERNAL
        assert [session.suspended for session in here.server.health().sessions] == [True]


class Choosy(MemorySink):
    """Lets a scene in once."""

    def scene_connecting(self, info: SceneInfo) -> SceneStart:
        if self.gone:
            raise StoreUnavailable("not now")
        return replace(super().scene_connecting(info), past_s=0)


async def test_a_session_that_the_twin_cannot_take_back_now_still_waits() -> None:
    async with bench(Choosy(start())) as here:
        async with here.connect("grpc") as first:
            welcome = await first.hello()
            last = await first.greeted()
            await lost(here, first)
        async with here.connect("grpc") as second:
            await second.say_hello(resume=point(welcome, last))
            assert (await second.refused()).retry_after_s > 0
        here.sink.gone.clear()
        async with here.connect("grpc") as third:
            assert (await third.hello(resume=point(welcome, last))).resumed


def test_the_defaults_are_those_of_the_rules() -> None:
    rules = BridgeSettings()

    assert (rules.resume_ring_bytes, rules.hello_timeout_s, rules.resume_ttl_s) == (4 * 1024 * 1024, 5.0, 60.0)
    assert (MOTION, bridge_pb2.ConnectRequest().seq) == (1, 0)


async def test_two_that_come_back_with_the_same_token_do_not_get_in_both() -> None:
    async with bench() as here, here.connect("grpc") as first:
        welcome = await first.hello()
        last = await first.greeted()
        async with here.connect("grpc") as second, here.connect("grpc") as third:
            for peer in (second, third):
                await peer.say_hello(resume=point(welcome, last))
            answers = [await peer.next() for peer in (second, third)]

            assert sorted(str(answer and answer.WhichOneof("body")) for answer in answers) == ["refusal", "welcome"]
            (session,) = here.server.health().sessions
            assert (session.suspended, session.session_id) == (False, welcome.session_id)
