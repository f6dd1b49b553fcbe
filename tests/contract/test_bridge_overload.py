"""Rule L5: who does not acknowledge is thrown out, and what it was to be told is neither lost nor told twice."""

import asyncio
from typing import Any

import numpy as np
import pytest

from bridge import codec, mapping
from bridge.v1 import bridge_pb2, session_pb2
from tests.bridge_peer import OBSERVER, Bench, Peer, bench, start
from twin.commands import Command, CommandStage, SetAttribute, SetAttributes
from twin.entities import Kind
from twin.ids import uuid7
from twin.ports import SceneStart
from twin.telemetry import PmReport
from twin.topology import Entity, Topology

LIMIT = 6
TRANSPORTS = pytest.mark.parametrize("transport", ["grpc", "websocket"])


def resume_point(welcome: session_pb2.Welcome, last_seq: int) -> session_pb2.ResumePoint:
    return session_pb2.ResumePoint(session_id=welcome.session_id, resume_token=welcome.resume_token, last_seq=last_seq)


async def watch(peer: Peer, channel: int, **hello: Any) -> tuple[session_pb2.Welcome, int]:
    """Come in, subscribe, and return (Welcome, number of the last message of the greeting)."""
    welcome = await peer.hello(role=OBSERVER, **hello)
    top = await peer.greeted()
    await peer.say(subscribe=session_pb2.Subscribe(channels=[channel]))
    await peer.hear("subscribe_reply")
    return welcome, top


async def read_to_the_end(peer: Peer, known: int) -> tuple[list[bridge_pb2.ConnectResponse], int]:
    """Return what is numbered until the stream ends, acknowledging nothing, and the highest number."""
    heard = list[bridge_pb2.ConnectResponse]()
    while (message := await peer.next()) is not None:
        if message.seq:
            heard.append(message)
            known = message.seq
    assert peer.heard[-1].refusal.code == session_pb2.REFUSAL_CODE_OVERLOADED
    return heard, known


async def events_until(peer: Peer, name: str) -> list[str]:
    """Return the names of events up to one, each acknowledged."""
    names = list[str]()
    while not names or names[-1] != name:
        message = await peer.hear("event")
        names.append(message.event.name)
        await peer.say(ack=message.seq)
    return names


def tell(here: Bench, *names: str) -> None:
    for name in names:
        here.server.publish_event("main", name, {}, 1.0)


@TRANSPORTS
async def test_news_beyond_a_full_queue_is_told_after_the_resume(transport: str) -> None:
    """The queue is full with the stream open: what comes before, then and after is heard once and in order."""
    names = [f"e{i}" for i in range(1, 12)]
    async with bench(outbox_limit=LIMIT) as here, here.connect(transport) as scene:
        await scene.hello()
        async with here.connect(transport) as slow:
            welcome, top = await watch(slow, session_pb2.CHANNEL_EVENTS)
            tell(here, *names)  # far beyond the limit before the stream has ended
            first, last = await read_to_the_end(slow, top)
        tell(here, "away")
        async with here.connect(transport) as back:
            again = await back.hello(role=OBSERVER, resume=resume_point(welcome, last))
            assert again.resumed
            heard = [message.event.name for message in first] + await events_until(back, "away")
            tell(here, "after")
            heard += await events_until(back, "after")
    assert heard == [*names, "away", "after"]


async def test_who_comes_back_to_a_full_queue_may_catch_up() -> None:
    """What waited at the resume does not count against the limit: new messages do not throw it out at once."""
    async with bench(outbox_limit=LIMIT) as here, here.connect("grpc") as scene:
        await scene.hello()
        async with here.connect("grpc") as slow:
            welcome, top = await watch(slow, session_pb2.CHANNEL_EVENTS)
            tell(here, *(f"e{i}" for i in range(20)))
            first, last = await read_to_the_end(slow, top)
        async with here.connect("grpc") as back:
            assert (await back.hello(role=OBSERVER, resume=resume_point(welcome, last))).resumed
            tell(here, "soon")
            heard = [message.event.name for message in first] + await events_until(back, "soon")
            assert heard == [*(f"e{i}" for i in range(20)), "soon"]
            tell(here, *(f"f{i}" for i in range(LIMIT + 1)))  # all is acknowledged: the limit counts again
            await read_to_the_end(back, 0)


async def test_more_than_the_ring_holds_begins_anew() -> None:
    async with bench(outbox_limit=LIMIT, resume_ring_bytes=2000) as here, here.connect("grpc") as scene:
        await scene.hello()
        async with here.connect("grpc") as slow:
            welcome, top = await watch(slow, session_pb2.CHANNEL_EVENTS)
            for number in range(LIMIT + 1):
                here.server.publish_event("main", f"e{number}", {"text": "x" * 500}, 1.0)
            _, last = await read_to_the_end(slow, top)
        async with here.connect("grpc") as back:
            again = await back.hello(role=OBSERVER, resume=resume_point(welcome, last))
            assert not again.resumed
            assert again.session_id != welcome.session_id
            assert (await back.hear("topology_snapshot")).seq == 1


async def test_orders_beyond_a_full_queue_reach_the_scene_once() -> None:
    async with bench(outbox_limit=LIMIT) as here:
        async with here.connect("grpc") as scene:
            welcome = await scene.hello()
            top = await scene.greeted()
            orders = [
                Command(
                    id=uuid7(),
                    body=SetAttributes(actions=(SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=i),)),
                    issued_by="test",
                )
                for i in range(LIMIT + 3)
            ]
            asked = [asyncio.create_task(here.server.link.send(order, timeout_s=5)) for order in orders]
            await asyncio.sleep(0)
            first, last = await read_to_the_end(scene, top)
        heard = [message.command.id for message in first]
        async with here.connect("grpc") as scene:
            assert (await scene.hello(resume=resume_point(welcome, last))).resumed
            while len(heard) < len(orders):
                message = await scene.hear("command")
                heard.append(message.command.id)
                await scene.say(ack=message.seq)
            for number, order in enumerate(orders, start=1):
                await scene.say(
                    seq=number,
                    command_ack={"command_id": order.id, "stage": 2},
                )
            results = await asyncio.gather(*asked)
    assert heard == [order.id for order in orders]
    assert {result.stage for result in results} == {CommandStage.APPLIED}


async def test_new_revisions_beyond_a_full_queue_are_told_after_the_resume() -> None:
    async with bench(outbox_limit=LIMIT) as here:
        async with here.connect("grpc") as scene:
            welcome = await scene.hello()
            top = await scene.greeted()
            for revision in range(6, 6 + LIMIT + 2):
                here.server.topology_changed(start(revision=revision).topology)
            first, last = await read_to_the_end(scene, top)
        here.sink.start = start(revision=6 + LIMIT + 1)
        async with here.connect("grpc") as scene:
            assert (await scene.hello(resume=resume_point(welcome, last))).resumed
            revisions = [message.topology_delta.revision for message in first]
            while revisions[-1:] != [6 + LIMIT + 1]:
                message = await scene.hear("topology_delta")
                revisions.append(message.topology_delta.revision)
                await scene.say(ack=message.seq)
    assert revisions == list(range(6, 6 + LIMIT + 2))


async def test_a_revision_of_which_the_bridge_learns_at_the_resume_is_told_although_the_ring_is_full() -> None:
    """The ring is full when the scene comes back, and only then the twin tells a newer inventory."""
    async with bench(resume_ring_bytes=1000) as here:
        async with here.connect("grpc") as scene:
            welcome = await scene.hello()
            last = await scene.greeted()
            await scene.say(ack=last)
        await here.sink.until(lambda: bool(here.sink.gone))
        here.server.topology_changed(start(100, revision=6).topology)  # one message of more than the ring has room for
        here.sink.start = start(100, revision=7)
        async with here.connect("grpc") as scene:
            assert (await scene.hello(resume=resume_point(welcome, last))).resumed
            revisions = list[int]()
            while revisions[-1:] != [7]:
                revisions.append((await scene.hear("topology_delta")).topology_delta.revision)
    assert revisions == [6, 7]


async def test_an_inventory_of_more_chunks_than_the_queue_arrives_whole_or_anew() -> None:
    """The greeting itself fills the queue; the client that resumes until it has everything does get everything."""
    entities = [
        Entity(index=i, id=f"ue-{i}", kind=Kind.UE, name="x" * 2000, attributes={}) for i in range(300)
    ]  # some 600 KB: three chunks
    base = start()
    sink_start = SceneStart(
        topology=Topology(entities, revision=1),
        civil=base.civil,
        resume_at_sim_s=None,
        past_s=0,
        speed=1.0,
        desired=(),
    )
    async with bench(outbox_limit=2) as here:
        here.sink.start = sink_start
        indices = list[int]()
        async with here.connect("grpc") as scene:
            welcome = await scene.hello()
            first, last = await read_to_the_end(scene, 0)
        async with here.connect("grpc") as scene:
            assert (await scene.hello(resume=resume_point(welcome, last))).resumed
            while not first or first[-1].WhichOneof("body") != "desired_configuration":
                message = await scene.next()
                assert message is not None
                if message.seq:
                    first.append(message)
                    await scene.say(ack=message.seq)
        for message in first:
            indices += [entity.index for entity in message.topology_snapshot.entities]
    assert indices == list(range(300))
    assert [message.seq for message in first] == list(range(1, len(first) + 1))


async def test_reports_for_an_observer_are_lossless_too() -> None:
    """More reports than the queue holds: thrown out (L5), then every one of them in order, once."""
    reports = [
        PmReport(
            scene_id="main",
            epoch=1,
            seq=number,
            granularity_period_s=1,
            period_end_sim_time_s=float(number),
            revision=5,
            entity_index=np.array([0], np.uint32),
            counters=("DRB.UEThpDl",),
            values=np.array([[number]], np.float32),
        )
        for number in range(1, LIMIT + 4)
    ]
    async with bench(outbox_limit=LIMIT) as here, here.connect("grpc") as scene:
        await scene.hello()
        await scene.say(seq=1, live_notice={"sim_time_s": 0.5})
        await here.sink.until(lambda: bool(here.sink.live_at_s))
        async with here.connect("grpc") as slow:
            welcome, top = await watch(slow, session_pb2.CHANNEL_PM)
            for number, report in enumerate(reports, start=2):
                request = codec.ConnectRequest(seq=number)
                mapping.write_pm(request.pm_report, report)
                await scene.write(request.SerializeToString())
            first, last = await read_to_the_end(slow, top)
        async with here.connect("grpc") as back:
            assert (await back.hello(role=OBSERVER, resume=resume_point(welcome, last))).resumed
            ends = [message.pm_report.period_end_sim_time_s for message in first]
            while len(ends) < len(reports):
                message = await back.hear("pm_report")
                ends.append(message.pm_report.period_end_sim_time_s)
                await back.say(ack=message.seq)
    assert ends == [report.period_end_sim_time_s for report in reports]
