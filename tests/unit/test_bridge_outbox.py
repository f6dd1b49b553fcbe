"""What waits to be sent, in which order it goes, and what may be lost."""

import asyncio

import pytest

from bridge import codec
from bridge.outbox import Outbox
from bridge.stream import Receipts, first_of
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
