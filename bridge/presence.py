"""Who is here: people of one scene see each other, where each looks, and what each has selected.

What a client says of itself is text to show, never to obey: names are cleaned, colours and poses checked, selections
cut to what exists. Knows nothing of streams beyond :mod:`bridge.peers`.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bridge import codec
from bridge.peers import listeners
from bridge.pose import read_place, read_turn
from bridge.v1 import session_pb2
from bridge.words import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from bridge.peers import Peer
    from bridge.v1 import presence_pb2
    from twin.entities import Position

MAX_NAME = 64
MAX_SELECTED = 64
INTERVAL_S = 0.1
"""Least time between two lists to the same scene."""

PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Colours that people with any colour vision can tell apart (Okabe and Ito 2008, without black)."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person or program, as it shows itself.

    Attributes:
        colour: sRGB as `#rrggbb`.
        camera_position_m: ENU metres, None when not told.
        camera_rotation: Unit quaternion x, y, z, w in the ENU frame; the camera looks along its own +x. None when not
            told.
        selected_entity_ids: What it has selected, at most 64 that exist.
        engine: Engine of its client.
    """

    session_id: str
    name: str
    colour: str
    camera_position_m: Position | None = None
    camera_rotation: tuple[float, float, float, float] | None = None
    selected_entity_ids: tuple[str, ...] = ()
    engine: str = ""


@dataclass(slots=True)
class _Room:
    people: dict[str, Person] = field(default_factory=dict[str, Person])
    came: int = 0
    told_at_s: float = -math.inf
    timer: asyncio.TimerHandle | None = None


class PresenceBoard:
    """Holds who is in which scene and tells those who want to know.

    Args:
        peers: Everybody whose stream is open.
        exists: Returns the ids of the entities of a scene, for checking selections.
        interval_s: Least time between two lists to the same scene; changes between them go out together.
    """

    def __init__(
        self,
        *,
        peers: Callable[[], Iterable[Peer]],
        exists: Callable[[str], Container[str]],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._peers = peers
        self._exists = exists
        self._interval_s = interval_s
        self._rooms: dict[str, _Room] = {}

    def people(self, scene_id: str) -> tuple[Person, ...]:
        """Return who showed itself in a scene, in the order in which they came."""
        room = self._rooms.get(scene_id)
        return tuple(room.people.values()) if room else ()

    def shown(self, peer: Peer, presence: presence_pb2.Presence) -> None:
        """Take what a client says of itself; the last counts.

        Raises:
            ProtocolError: The rotation is no list of numbers.
        """
        scene_id, session_id = peer.info.scene_id, peer.info.session_id
        room = self._rooms.setdefault(scene_id, _Room())
        before = room.people.get(session_id)
        if before is None:
            room.came += 1
        name = clean(presence.name, limit=MAX_NAME) or (before.name if before else f"guest {room.came}")
        person = Person(
            session_id=session_id,
            name=name,
            colour=_colour(presence.colour, before, room),
            camera_position_m=read_place(presence.camera_position) if presence.HasField("camera_position") else None,
            camera_rotation=read_turn(presence, "camera_rotation"),
            selected_entity_ids=_selected(presence, self._exists(scene_id)),
            engine=clean(peer.info.engine, limit=MAX_NAME),
        )
        if person != before:
            room.people[session_id] = person
            self._changed(scene_id, room)

    def gone(self, peer: Peer) -> None:
        """Forget a session that will not come back."""
        room = self._rooms.get(peer.info.scene_id)
        if room is None or room.people.pop(peer.info.session_id, None) is None:
            return
        self._changed(peer.info.scene_id, room)

    def wanted(self, peer: Peer) -> None:
        """Offer the present list to somebody who has just subscribed or come back."""
        if session_pb2.CHANNEL_PRESENCE in peer.subscription.channels:
            peer.outbox.offer(session_pb2.CHANNEL_PRESENCE, self._list(peer.info.scene_id))

    def close(self) -> None:
        """Forget everybody and tell nobody."""
        for room in self._rooms.values():
            if room.timer is not None:
                room.timer.cancel()
        self._rooms.clear()

    def _changed(self, scene_id: str, room: _Room) -> None:
        if room.timer is not None:
            return
        wait_s = room.told_at_s + self._interval_s - time.monotonic()
        if wait_s <= 0:
            self._tell(scene_id)
        else:
            room.timer = asyncio.get_running_loop().call_later(wait_s, self._tell, scene_id)

    def _tell(self, scene_id: str) -> None:
        room = self._rooms[scene_id]
        room.timer, room.told_at_s = None, time.monotonic()
        body = self._list(scene_id)
        for peer in listeners(self._peers(), scene_id=scene_id, channel=session_pb2.CHANNEL_PRESENCE):
            peer.outbox.offer(session_pb2.CHANNEL_PRESENCE, body)
        if not room.people:
            del self._rooms[scene_id]

    def _list(self, scene_id: str) -> bytes:
        response = codec.ConnectResponse()
        response.presence_list.scene_id = scene_id
        for person in self.people(scene_id):
            _write(response.presence_list.people.add(), person)
        return response.SerializeToString()


def _colour(wanted: str, before: Person | None, room: _Room) -> str:
    if _COLOUR.fullmatch(wanted):
        return wanted.lower()
    if before is not None:
        return before.colour
    taken = {person.colour for person in room.people.values()}
    free = (colour for colour in PALETTE if colour not in taken)
    return next(free, PALETTE[(room.came - 1) % len(PALETTE)])


def _selected(presence: presence_pb2.Presence, exists: Container[str]) -> tuple[str, ...]:
    known = dict.fromkeys(entity_id for entity_id in presence.selected_entity_ids if entity_id in exists)
    return tuple(known)[:MAX_SELECTED]


def _write(message: presence_pb2.Presence, person: Person) -> None:
    message.session_id, message.name, message.colour = person.session_id, person.name, person.colour
    if person.camera_position_m is not None:
        at = message.camera_position
        at.east_m, at.north_m, at.up_m = person.camera_position_m
    if person.camera_rotation is not None:
        codec.put_array(message, "camera_rotation", np.array(person.camera_rotation, dtype=np.float32))
    message.selected_entity_ids.extend(person.selected_entity_ids)
    message.engine = person.engine
