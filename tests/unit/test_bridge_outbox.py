"""What waits to be sent, in which order it goes, and what may be lost."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import codec
from bridge.outbox import Outbox
from bridge.stream import Bucket, Receipts, first_of
from bridge.v1 import bridge_pb2
from twin.errors import Overloaded, ProtocolError


def outbox(*, limit: int = 10, limit_bytes: int = 10_000) -> Outbox:
    return Outbox(response=False, limit=limit, limit_bytes=limit_bytes)


def event(name: str) -> bridge_pb2.ConnectRequest:
    request = codec.ConnectRequest()
    request.event.name = name
    return request


async def take(box: Outbox) -> bridge_pb2.ConnectRequest:
    async with asyncio.timeout(1):
        return codec.decode_request(await box.next())


async def names(box: Outbox, count: int) -> list[tuple[int, str]]:
    return [(m.seq, m.event.name) for m in [await take(box) for _ in range(count)]]


async def idle(box: Outbox) -> bool:
    try:
        async with asyncio.timeout(0.02):
            await box.next()
    except TimeoutError:
        return True
    return False


async def test_control_goes_before_lossless_and_lossless_before_newest() -> None:
    box = outbox()
    box.grant(1, 1)
    box.offer(1, event("newest").SerializeToString())
    box.send(event("lossless"))
    box.send_now(event("control"))

    assert await names(box, 3) == [(0, "control"), (1, "lossless"), (0, "newest")]


async def test_without_credit_the_newest_replaces_the_older_and_is_counted() -> None:
    box = outbox()
    for name in ("a", "b", "c"):
        box.offer(1, event(name).SerializeToString())
    assert await idle(box)
    box.grant(1, 2)

    assert await names(box, 1) == [(0, "c")]
    assert box.dropped == {1: 2}
    box.offer(1, event("d").SerializeToString())
    assert await names(box, 1) == [(0, "d")]
    box.offer(1, event("e").SerializeToString())
    assert await idle(box)


async def test_at_most_a_window_is_under_way() -> None:
    box = outbox()
    box.restart(window=2)
    for name in ("a", "b", "c"):
        box.send(event(name))

    assert await names(box, 2) == [(1, "a"), (2, "b")]
    assert await idle(box)
    box.acknowledged(1)
    assert await names(box, 1) == [(3, "c")]


async def test_after_a_restart_everything_unacknowledged_goes_again_from_one() -> None:
    box = outbox()
    box.restart(window=10)
    for name in ("a", "b", "c"):
        box.send(event(name))
    await names(box, 2)
    box.acknowledged(1)

    box.restart(window=10)

    assert await names(box, 2) == [(1, "b"), (2, "c")]


async def test_an_acknowledgement_of_what_was_never_sent_breaks_the_protocol() -> None:
    box = outbox()
    box.send(event("a"))

    with pytest.raises(ProtocolError, match="`99` is acknowledged"):
        box.acknowledged(99)
    assert box.depth == 1


@pytest.mark.parametrize("limits", [{"limit": 2}, {"limit_bytes": 8}])
async def test_a_full_queue_refuses_and_tells_when_there_is_room(limits: dict[str, int]) -> None:
    box = outbox(**limits)
    box.send(event("abc"))
    if "limit" in limits:
        box.send(event("def"))
    with pytest.raises(Overloaded):
        box.send(event("g"))
    waiting = asyncio.create_task(box.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await take(box)
    box.acknowledged(1)
    async with asyncio.timeout(1):
        await waiting


async def test_an_acknowledgement_goes_alone_when_nothing_else_does() -> None:
    box = outbox()
    box.acknowledge(4)

    message = await take(box)

    assert (message.seq, message.ack, message.WhichOneof("body")) == (0, 4, None)
    assert await idle(box)


async def test_drained_waits_for_the_last_acknowledgement() -> None:
    box = outbox()
    box.send(event("a"))
    await take(box)
    waiting = asyncio.create_task(box.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    box.acknowledged(1)
    async with asyncio.timeout(1):
        await waiting


def test_receipts_acknowledge_only_without_gaps() -> None:
    receipts = Receipts()
    for seq in (1, 2, 3):
        receipts.arrived(seq)

    assert [receipts.done(2), receipts.pending, receipts.done(1), receipts.done(3)] == [0, 2, 2, 3]


@pytest.mark.parametrize("seq", [1, 3])
def test_a_number_that_does_not_follow_breaks_the_protocol(seq: int) -> None:
    receipts = Receipts()
    receipts.arrived(1)

    with pytest.raises(ProtocolError, match=f"`{seq}` follows `1`"):
        receipts.arrived(seq)


async def test_the_first_work_that_ends_ends_the_others() -> None:
    cancelled = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    async def short() -> None:
        await asyncio.sleep(0)

    await first_of(endless(), short())

    assert cancelled.is_set()


# --- coming back -----------------------------------------------------------------------------------------------------


async def test_what_was_not_dealt_with_goes_again_under_its_old_number() -> None:
    box = outbox()
    for name in ("a", "b", "c"):
        box.send(event(name))
    await names(box, 3)
    box.acknowledged(1)
    assert box.suspend(limit_bytes=10_000)
    box.send(event("d"))

    assert [box.holds(seq) for seq in (0, 1, 2, 3, 4)] == [False, True, True, True, False]
    box.resume(2)

    assert await names(box, 2) == [(3, "c"), (4, "d")]


async def test_what_belonged_to_the_stream_does_not_outlive_it() -> None:
    box = outbox()
    box.grant(1, 5)
    box.offer(2, event("newest").SerializeToString())
    box.send_now(event("control"))
    box.suspend(limit_bytes=10_000)
    box.send_now(event("nobody hears it"))
    box.offer(1, event("nor this").SerializeToString())
    box.resume(0)
    box.grant(2, 1)
    assert await idle(box)
    box.offer(1, event("no credit").SerializeToString())

    assert await idle(box)
    assert box.dropped == {}


async def test_a_ring_that_is_too_small_says_so() -> None:
    box = outbox()
    box.send(event("x" * 100))

    assert not box.suspend(limit_bytes=50)


async def test_away_the_ring_is_the_limit() -> None:
    box = outbox(limit_bytes=10_000)
    box.suspend(limit_bytes=50)
    box.send(event("x" * 60))
    with pytest.raises(Overloaded):
        box.send(event("y"))
    box.resume(0)

    box.send(event("z"))


async def test_away_bytes_count_and_back_again_what_waited_does_not_count_against_the_limit() -> None:
    box = outbox(limit=2)
    for number in range(2):
        box.send(event(f"e{number}"))
    assert not box.has_room
    assert box.suspend(limit_bytes=10_000)
    for number in range(2, 5):
        box.send(event(f"e{number}"))
    box.resume(0)
    assert box.has_room
    box.send(event("e5"))
    box.send(event("e6"))
    assert not box.has_room
    assert [name for _, name in await names(box, 2)] == ["e0", "e1"]  # the window is as before
    box.acknowledged(2)
    assert not box.has_room  # five wait: three of the backlog and two more
    assert [name for _, name in await names(box, 2)] == ["e2", "e3"]
    box.acknowledged(4)
    assert [name for _, name in await names(box, 2)] == ["e4", "e5"]
    box.acknowledged(6)
    assert box.has_room


async def test_an_acknowledgement_that_was_under_way_counts_after_the_break() -> None:
    box = outbox()
    for name in ("a", "b", "c"):
        box.send(event(name))
    await names(box, 3)
    box.suspend(limit_bytes=10_000)
    box.resume(0)
    box.acknowledged(2)

    assert await names(box, 1) == [(3, "c")]


@given(
    steps=st.lists(
        st.one_of(
            st.just(("send", 0)),
            st.tuples(st.just("read"), st.integers(1, 4)),
            st.tuples(st.just("ack"), st.integers(0, 4)),
            st.tuples(st.just("cut"), st.integers(0, 4)),
        ),
        max_size=60,
    )
)
def test_wherever_it_is_cut_everything_arrives_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    """The receiver deals with a message when it reads it; acknowledgements and whole stretches of reading get lost."""

    async def play() -> None:
        box = outbox(limit=1000, limit_bytes=1_000_000)
        sent: list[str] = []
        dealt_with: list[str] = []
        last = acknowledged = 0

        async def read(most: int) -> None:
            nonlocal last
            for _ in range(most):
                if last - acknowledged >= box.depth:
                    return
                message = await take(box)
                assert message.seq == last + 1
                last = message.seq
                dealt_with.append(message.event.name)

        for step, count in steps:
            if step == "send":
                sent.append(str(len(sent)))
                box.send(event(sent[-1]))
            elif step == "read":
                await read(count)
            elif step == "ack":
                acknowledged = max(acknowledged, last - count)
                box.acknowledged(acknowledged)
            else:
                for _ in range(min(count, box.depth - (last - acknowledged))):
                    await take(box)  # written, but the line broke before it arrived
                box.suspend(limit_bytes=1_000_000)
                assert box.holds(last)
                box.resume(last)
                acknowledged = last
        await read(1000)

        assert dealt_with == sent

    asyncio.run(play())


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40))
def test_a_resumed_receiver_takes_every_number_once(steps: list[tuple[int, bool]]) -> None:
    receipts = Receipts()
    taken: list[int] = []
    for back, deal_with_it in steps:
        receipts.resume()
        for seq in range(max(receipts.last - back, 0) + 1, receipts.last + 2):
            if receipts.arrived(seq):
                taken.append(seq)
                if deal_with_it:
                    receipts.done(seq)
                    receipts.done(seq)

    assert taken == list(range(1, len(taken) + 1))
    assert receipts.done_up_to + receipts.pending <= receipts.last
    for seq in taken:
        receipts.done(seq)
    assert (receipts.done_up_to, receipts.pending) == (len(taken), 0)


def test_only_a_resumed_receiver_takes_a_number_again() -> None:
    receipts = Receipts()
    receipts.arrived(1)
    receipts.resume()
    assert not receipts.arrived(1)
    receipts.arrived(2)

    with pytest.raises(ProtocolError):
        receipts.arrived(2)


def test_a_bucket_allows_a_burst_and_then_its_rate() -> None:
    bucket = Bucket(rate_hz=1e-9, burst=3)
    for _ in range(3):
        bucket.take()

    with pytest.raises(Overloaded, match="messages a second"):
        bucket.take()
