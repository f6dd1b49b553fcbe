"""A twin on one stream that gives a scene orders and keeps its answers, and a disk that fills up under the scene."""

import asyncio
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bridge.conform.clients import Host
from bridge.conform.wire import Listener
from bridge.v1 import bridge_pb2, command_pb2, session_pb2, topology_pb2

RECEIVED, REJECTED = command_pb2.COMMAND_STAGE_RECEIVED, command_pb2.COMMAND_STAGE_REJECTED
APPLIED = command_pb2.COMMAND_STAGE_APPLIED
FENCING = 7
"""Of the present holding of the scene."""
SESSION = "a session of this test"


@dataclass
class OrderingTwin:
    """Says exactly what it is told, under numbers without gaps.

    Attributes:
        acks: Every answer to a command, in order.
    """

    host: Host
    acks: list[command_pb2.CommandAck] = field(default_factory=list)

    @classmethod
    async def _greet(cls, listener: Listener, *, resumes: "OrderingTwin | None" = None) -> Self:
        async with asyncio.timeout(30):
            twin = cls(Host(await listener.next()))
            request = await twin.host.next(10)
        assert request is not None
        assert request.HasField("hello")
        if resumes is not None:
            assert request.hello.resume.session_id == SESSION
            twin.host.arrived = resumes.host.arrived
            twin.host.sent = request.hello.resume.last_seq
        await twin.host.say(
            welcome=session_pb2.Welcome(
                session_id=SESSION,
                resumed=resumes is not None,
                protocol_version=1,
                resume_token="secret",
                resume_ttl_s=60,
                sim_epoch="2026-11-07T12:00:00+00:00",
                timezone="UTC",
                telemetry_rate_hz=10,
                heartbeat_interval_s=2,
                lossless_window=64,
                speed=1.0,
                has_resume_time=True,
                resume_at_sim_s=100.0,
                fencing_number=FENCING,
            )
        )
        return twin

    @classmethod
    async def meet(cls, listener: Listener) -> Self:
        """Wait for the scene and let it in."""
        twin = await cls._greet(listener)
        snapshot = topology_pb2.TopologySnapshot(revision=5, total=3, last=True)
        snapshot.entities.add(index=0, id="site-1", kind="site", name="Site 1")
        cell = snapshot.entities.add(index=1, id="cell-1-1", kind="cell", name="Cell 1-1", parent_id="site-1")
        cell.position.up_m = 25.0
        for name, number in (("digitalTilt", 60.0), ("configuredMaxTxPower", 19_953.0)):
            cell.attributes[name].number = number
        cell.attributes["administrativeState"].text = "UNLOCKED"
        cell.properties["azimuth_deg"].number = 30.0
        snapshot.entities.add(index=2, id="ue-1", kind="ue", name="ue 1").position.up_m = 1.5
        await twin.host.say_lossless(topology_snapshot=snapshot)
        await twin.host.say_lossless(desired_configuration=topology_pb2.DesiredConfiguration(revision=5, last=True))
        await twin.until(lambda: twin.host.acknowledged == twin.host.sent)
        return twin

    async def comes_back(self, listener: Listener) -> Self:
        """Break the stream, and let the scene resume; the orders that it had not dealt with are to be sent again."""
        await self.host.wire.cut()
        return await self._greet(listener, resumes=self)

    async def order(self, command: command_pb2.Command) -> int:
        """Send a command and return its number."""
        await self.host.say_lossless(command=command)
        return self.host.sent

    async def until(self, condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
        if not condition():
            found = await self.host.watch(within_s, lambda request: self._take(request) or condition())
            assert found, self.told()

    async def listen(self, seconds: float) -> None:
        await self.host.watch(seconds, self._take)

    def _take(self, request: bridge_pb2.ConnectRequest) -> bool:
        if request.HasField("command_ack"):
            self.acks.append(request.command_ack)
        return False

    def told(self) -> list[tuple[str, int]]:
        """Return which command got which stage, in order."""
        return [(ack.command_id, ack.stage) for ack in self.acks]


def tilt(command_id: str, tenths: float, *, fencing_number: int = FENCING) -> command_pb2.Command:
    order = command_pb2.Command(id=command_id, issued_by="test", fencing_number=fencing_number)
    action = order.set_attributes.actions.add(entity_id="cell-1-1", attribute="digitalTilt")
    action.value.number = tenths
    return order


@contextmanager
def full_disk(process_id: int, file: Path, *, room_bytes: int) -> Iterator[None]:
    """Let no file of a process grow beyond the present size of one of them and a little; the process must ignore
    SIGXFSZ, as children of Python do unless signals are restored."""
    limits = resource.prlimit(process_id, resource.RLIMIT_FSIZE)
    resource.prlimit(process_id, resource.RLIMIT_FSIZE, (file.stat().st_size + room_bytes, limits[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it may have ended meanwhile
            resource.prlimit(process_id, resource.RLIMIT_FSIZE, limits)


async def check_orders_on_a_full_disk(
    twin: OrderingTwin,
    process_id: int,
    record: Path,
    orders: tuple[command_pb2.Command, command_pb2.Command, command_pb2.Command],
) -> list[command_pb2.CommandAck]:
    """Check that an order whose record does not fit is neither answered nor followed by another one until it does.

    Returns:
        The final answers to the three orders.
    """
    first, second, third = orders
    await twin.order(first)
    await twin.until(lambda: len(twin.acks) == 2)
    with full_disk(process_id, record, room_bytes=9):
        number = await twin.order(second)
        await twin.order(third)
        await twin.order(second)
        await twin.listen(1.5)
        so_far = [(first.id, RECEIVED), (first.id, APPLIED), (second.id, RECEIVED)]
        assert twin.told() == so_far, twin.acks
        assert twin.host.acknowledged < number
    last = number + 2
    await twin.until(lambda: twin.host.acknowledged == last and (third.id, APPLIED) in twin.told())
    finals = [ack for ack in twin.acks if ack.stage != RECEIVED]
    by_id = {ack.command_id: ack for ack in finals}
    assert {ack.stage for ack in finals} == {APPLIED}, [ack.reason for ack in finals]
    assert [ack.command_id for ack in twin.acks if ack.stage == RECEIVED] == [first.id, second.id, third.id]
    assert all(by_id[ack.command_id] == ack for ack in finals)  # a repetition is answered as the first time
    assert [ack.command_id for ack in finals][:2] == [first.id, second.id]
    return [by_id[order.id] for order in orders]


async def check_a_break_on_a_full_disk(
    listener: Listener,
    twin: OrderingTwin,
    process_id: int,
    record: Path,
    orders: tuple[command_pb2.Command, command_pb2.Command],
) -> None:
    """Check that orders that came before a break and could not be recorded are dealt with once after it."""
    first, second = orders
    with full_disk(process_id, record, room_bytes=9):
        number = await twin.order(first)
        await twin.order(second)
        await twin.until(lambda: len(twin.acks) == 1)
        again = await twin.comes_back(listener)
        assert again.host.sent == number - 1
        await again.order(first)
        await again.order(second)
        await again.listen(1.0)
    assert [stage for _, stage in twin.told() + again.told()].count(APPLIED) == 0
    await again.until(lambda: again.host.acknowledged == number + 1 and (second.id, APPLIED) in again.told())
    finals = [told for told in again.told() if told[1] != RECEIVED]
    assert again.host.seen["observed_configuration"] == 0, "the scene provides no KPI and told none before"
    assert finals[0] == (first.id, APPLIED)
    assert set(finals) == {(first.id, APPLIED), (second.id, APPLIED)}


async def check_answers_from_the_record(
    twin: OrderingTwin, orders: tuple[command_pb2.Command, ...], answers: list[command_pb2.CommandAck]
) -> None:
    """Check that a scene that came back knows what it answered."""
    for order in orders:
        await twin.order(order)
    await twin.until(lambda: len(twin.acks) >= len(orders))
    assert twin.acks == answers


async def check_fencing(twin: OrderingTwin, order: Callable[[str, int], command_pb2.Command]) -> None:
    """Check that an order of an older holding is refused and may come again from who holds the scene now."""
    stale = order("c-1", FENCING - 1)
    stale.deadline_unix_ns = 1  # comes second: EXPIRED would be kept
    await twin.order(stale)
    await twin.until(lambda: len(twin.acks) == 2)
    await twin.order(order("c-1", FENCING))
    await twin.until(lambda: len(twin.acks) == 4)
    assert [stage for _, stage in twin.told()] == [RECEIVED, REJECTED, RECEIVED, APPLIED]
