"""What a scene offers of its own (D2), and which id the twin gave it: answers come in the order of the offers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge import codec
from twin.errors import DeadlineExceeded, Overloaded, ProtocolError, Unavailable
from twin.ports import EntityVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.connection import Connection
    from bridge.v1 import bridge_pb2, topology_pb2
    from twin.ports import OfferedEntity

MOST_OFFERS = 64
"""Offers that wait for their answer."""


@dataclass(slots=True, kw_only=True)
class _Offer:
    request: bridge_pb2.ConnectRequest
    answer: asyncio.Future[tuple[EntityVerdict, ...]]
    place: int


class Offers:
    """The offers of a scene that the twin has not answered.

    Args:
        connection: Where they go.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._open: list[_Offer] = []

    async def make(self, entities: Sequence[OfferedEntity], *, timeout_s: float) -> tuple[EntityVerdict, ...]:
        """Offer entities and return what became of each, in the same order.

        Raises:
            Overloaded: Too many offers wait. DeadlineExceeded: No answer in time; the same offer may be made again.
            TooLarge: The twin takes no message of this size.
        """
        if len(self._open) >= MOST_OFFERS:
            raise Overloaded(f"`{MOST_OFFERS}` offers wait for an answer; wait for it before offering more")
        request = codec.ConnectRequest()
        request.contribute.SetInParent()
        for entity in entities:
            offered = request.contribute.entities.add(local_id=entity.local_id, kind=entity.kind, name=entity.name)
            offered.position.east_m, offered.position.north_m, offered.position.up_m = entity.position_m
        self._connection.check_size(request.ByteSize())
        await self._connection.room()
        answer: asyncio.Future[tuple[EntityVerdict, ...]] = asyncio.get_running_loop().create_future()
        self._open.append(_Offer(request=request, answer=answer, place=self._connection.send_anyway(request)))
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(answer)
        except TimeoutError:
            raise DeadlineExceeded(f"the twin did not answer the offer within `{timeout_s:g}` s; offer again") from None
        finally:
            answer.cancel()  # an offer that nobody waits for keeps its place in the row of answers

    def again(self) -> None:
        """A new session begins: what still waits to be sent comes first, what was sent has lost its answer."""
        kept = [offer for offer in self._open if self._connection.waits(offer.place)]
        lost = [offer for offer in self._open if not self._connection.waits(offer.place) and not offer.answer.done()]
        for offer in lost:
            offer.place = self._connection.send_anyway(offer.request)
        self._open = kept + lost

    def answered(self, reply: topology_pb2.ContributeReply) -> None:
        """Take the answer to the oldest offer.

        Raises:
            ProtocolError: There is none.
        """
        if not self._open:
            raise ProtocolError("the twin answers an offer that was not made")
        offer = self._open.pop(0)
        if not offer.answer.done():
            offer.answer.set_result(
                tuple(
                    EntityVerdict(local_id=e.local_id, entity_id=e.entity_id, index=e.index, reason=e.reason)
                    for e in reply.entities
                )
            )

    def close(self) -> None:
        """No answer will come."""
        for offer in self._open:
            if not offer.answer.done():
                offer.answer.set_exception(Unavailable("the scene left before the twin answered its offer"))
