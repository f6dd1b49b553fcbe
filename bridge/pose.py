"""Where something is and how it is turned, as strangers tell it; what is no place or rotation counts as not told."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bridge import codec

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from bridge.v1 import topology_pb2
    from twin.entities import Position

Quaternion = tuple[float, float, float, float]
"""x, y, z, w at length 1, in the ENU frame."""


def read_place(message: topology_pb2.Position) -> Position | None:
    """Return a point in ENU metres, None when it is not finite."""
    place = (message.east_m, message.north_m, message.up_m)
    return place if all(map(math.isfinite, place)) else None


def read_turn(message: Message, field: str) -> Quaternion | None:
    """Return the quaternion in a packed field of a shadow message at length 1, None when it is no rotation.

    Raises:
        ProtocolError: The field is no list of numbers at all.
    """
    numbers = codec.get_floats(message, field).tolist()
    length = math.hypot(*numbers)
    if len(numbers) != 4 or not math.isfinite(length) or length < 1e-6:
        return None
    x, y, z, w = (number / length for number in numbers)
    return x, y, z, w
