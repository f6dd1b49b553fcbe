"""Entities that only a scene knows: what may be offered, and what the scene is told became of it.

A scene may contribute places and buildings: things to see and to name. What belongs to the network (sites, cells,
phones, slices, nodes, links) comes from the scenario alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bridge import codec
from bridge.words import clean
from twin.entities import Kind
from twin.ports import EntityVerdict, OfferedEntity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.v1 import bridge_pb2, topology_pb2
    from twin.ports import SceneSink

CONTRIBUTED_KINDS = (Kind.PLACE, Kind.BUILDING)
"""Kinds that a scene may contribute."""
MAX_OFFERED = 1_000
"""Entities in one message."""
MAX_LOCAL_ID = 128
MAX_NAME = 64


async def take_in(sink: SceneSink, scene_id: str, contribute: topology_pb2.Contribute) -> bridge_pb2.ConnectResponse:
    """Hand what a scene offers to the sink and return the answer; what was taken in is durable by then.

    What cannot be meant is refused one by one, with its reason; the rest is taken in.

    Raises:
        TwinError: The sink cannot store it now.
    """
    verdicts: list[EntityVerdict | None] = []
    offered: list[OfferedEntity] = []
    seen: set[str] = set()
    for number, message in enumerate(contribute.entities):
        reason = _fault_of(message, number=number, seen=seen)
        seen.add(message.local_id)
        if reason:
            local_id = message.local_id[:MAX_LOCAL_ID]
            verdicts.append(EntityVerdict(local_id=local_id, entity_id="", index=0, reason=reason))
        else:
            verdicts.append(None)
            offered.append(_read(message))
    answers = iter(await sink.contributed(scene_id, offered) if offered else ())
    return _reply(verdict or next(answers) for verdict in verdicts)


def _fault_of(message: topology_pb2.ContributedEntity, *, number: int, seen: set[str]) -> str:
    if number >= MAX_OFFERED:
        return f"more than {MAX_OFFERED} entities in one message; offer the rest in another"
    if not message.local_id or len(message.local_id) > MAX_LOCAL_ID or not message.local_id.isprintable():
        return f"`local_id` must be 1 to {MAX_LOCAL_ID} printable characters"
    if message.local_id in seen:
        return f"`{message.local_id}` is offered twice in one message"
    if message.kind not in CONTRIBUTED_KINDS:
        kinds = ", ".join(CONTRIBUTED_KINDS)
        return f"a scene may contribute {kinds}; `{message.kind[:40]}` comes from the scenario"
    if not all(map(math.isfinite, _position(message))):
        return f"its position is `{_position(message)}`; use finite metres"
    return ""


def _position(message: topology_pb2.ContributedEntity) -> tuple[float, float, float]:
    return message.position.east_m, message.position.north_m, message.position.up_m


def _read(message: topology_pb2.ContributedEntity) -> OfferedEntity:
    return OfferedEntity(
        local_id=message.local_id,
        kind=message.kind,
        name=clean(message.name, limit=MAX_NAME),
        position_m=_position(message),
    )


def _reply(verdicts: Iterable[EntityVerdict]) -> bridge_pb2.ConnectResponse:
    response = codec.ConnectResponse()
    response.contribute_reply.SetInParent()
    for verdict in verdicts:
        response.contribute_reply.entities.add(
            local_id=verdict.local_id, entity_id=verdict.entity_id, index=verdict.index, reason=verdict.reason
        )
    return response
