"""Bytes of `bridge.v1` to messages and back, with packed lists as blocks of memory.

`repeated float` is what engines get; in Python each number of such a list costs a call. On the wire a packed
list is one length-delimited run, exactly like a `bytes` field. So this module derives, in a descriptor pool of
its own, a shadow of the contract in which every packed list is `bytes`, and reads and writes the runs with
numpy. The serialized bytes are equal (asserted in the tests, ratio in `tests/bench/bridge.py`).

Knows bytes and arrays only; what they mean stands in :mod:`bridge.mapping`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from bridge.v1 import (
    bridge_pb2,
    command_pb2,
    figures_pb2,
    media_pb2,
    news_pb2,
    presence_pb2,
    session_pb2,
    state_pb2,
    topology_pb2,
)
from twin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

M = TypeVar("M", bound=Message)

_FILES = (session_pb2, figures_pb2, topology_pb2, command_pb2, state_pb2, news_pb2, media_pb2, presence_pb2, bridge_pb2)
_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKED = {_FIELD.TYPE_FLOAT, _FIELD.TYPE_FIXED32}

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest serialized message, either way."""

CHUNK_BYTES = 256 * 1024
"""Size that chunked messages aim at; larger ones gain nothing."""


def _shadow_pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    waiting = {module.DESCRIPTOR.name: module.DESCRIPTOR for module in _FILES}
    while waiting:
        name = next(n for n, d in waiting.items() if not any(i.name in waiting for i in d.dependencies))
        file = descriptor_pb2.FileDescriptorProto()
        waiting.pop(name).CopyToProto(file)
        for message in file.message_type:
            for field in message.field:
                if field.label == _FIELD.LABEL_REPEATED and field.type in _PACKED:
                    field.label = _FIELD.LABEL_OPTIONAL
                    field.type = _FIELD.TYPE_BYTES
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _shadow_pool()


def _shadow(public: type[M]) -> type[M]:
    # The shadow differs from the public class only in its packed fields, which are reached through
    # put_array and get_array alone; everywhere else the public type tells the truth.
    found = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(public.DESCRIPTOR.full_name))
    return cast("type[M]", found)


ConnectRequest = _shadow(bridge_pb2.ConnectRequest)
ConnectResponse = _shadow(bridge_pb2.ConnectResponse)


def put_array(message: Message, field: str, array: NDArray[np.generic]) -> None:
    """Write a packed field of a shadow message: `float` or `fixed32`, by the dtype of `array` (4-byte items)."""
    setattr(message, field, array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).tobytes())


def get_floats(message: Message, field: str) -> NDArray[np.float32]:
    """Return a packed `float` field of a shadow message as ``[n] float32`` (read-only view of its bytes).

    Raises:
        ProtocolError: Not a whole number of floats.
    """
    return _run(message, field, np.dtype("<f4")).astype(np.float32, copy=False)


def get_indices(message: Message, field: str) -> NDArray[np.uint32]:
    """Return a packed `fixed32` field of a shadow message as ``[n] uint32`` (read-only view of its bytes).

    Raises:
        ProtocolError: Not a whole number of integers.
    """
    return _run(message, field, np.dtype("<u4")).astype(np.uint32, copy=False)


def _run(message: Message, field: str, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    raw: bytes = getattr(message, field)
    if len(raw) % dtype.itemsize:
        raise ProtocolError(
            f"`{field}` has `{len(raw)}` bytes, no whole number of 4-byte values; write the list packed, in one run"
        )
    return np.frombuffer(raw, dtype=dtype)


def decode_request(raw: bytes) -> bridge_pb2.ConnectRequest:
    """Return the shadow ConnectRequest of serialized bytes.

    Raises:
        ProtocolError: Not a ConnectRequest.
    """
    return _decode(ConnectRequest, raw)


def decode_response(raw: bytes) -> bridge_pb2.ConnectResponse:
    """Return the shadow ConnectResponse of serialized bytes.

    Raises:
        ProtocolError: Not a ConnectResponse.
    """
    return _decode(ConnectResponse, raw)


def _decode(kind: type[M], raw: bytes) -> M:
    try:
        return kind.FromString(raw)
    except DecodeError as exc:
        raise ProtocolError(f"`{len(raw)}` bytes are no {kind.DESCRIPTOR.name} of bridge.v1: {exc}") from exc


def with_header(
    body: bytes, *, response: bool, seq: int = 0, ack: int = 0, wall_time_unix_ns: int = 0, sim_time_s: float = 0.0
) -> bytes:
    """Return a serialized envelope around a serialized body: concatenated protobuf messages merge.

    So one encoded body serves every subscriber, each with a header of its own.
    """
    kind: Callable[..., Message] = ConnectResponse if response else ConnectRequest
    header = kind(seq=seq, ack=ack, wall_time_unix_ns=wall_time_unix_ns, sim_time_s=sim_time_s)
    return header.SerializeToString() + body
