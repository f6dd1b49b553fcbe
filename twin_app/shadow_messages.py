"""What a shadow pool and its children say to each other, and the form it has on the pipe.

A module of its own, because the child runs as `__main__` and would know other classes than its parent.
"""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from twin.clock import CivilTime
    from twin.commands import SetAttribute
    from twin.kernels import Name
    from twin.scenario import Scenario
    from twin.what_if import Surroundings

LENGTH = struct.Struct(">Q")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class City:
    """What the child needs to build a network."""

    digest: str
    scenario: Scenario
    civil: CivilTime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """What all arms of one what-if have in common.

    Attributes:
        state: Of the scene; None = it has none and one is estimated.
        configured: What is configured now, for the estimate; empty where there is a state.
        now_s: Simulated time of the estimate.
        kernel: One for all arms: kernels agree to a tolerance only.
    """

    id: str
    digest: str
    state: bytes | None
    configured: tuple[SetAttribute, ...]
    now_s: float
    changes: tuple[SetAttribute, ...]
    look_at: Surroundings
    horizon_s: float
    kernel: Name = "numpy"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunArm:
    """Run one arm of a job that was sent before."""

    job_id: str
    seed: int
    with_changes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOff:
    """Stop what runs of a job; the answer to its arm then is :class:`twin.errors.Cancelled`."""

    job_id: str


def read_frame(stream: BinaryIO) -> Any | None:
    """Return the next message, None at the end."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    body = stream.read(size)
    return pickle.loads(body) if len(body) == size else None  # noqa: S301


def frame_of(message: object) -> bytes:
    """Return a message as bytes."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body
