"""Makes the golden frames: messages with the bytes that every codec must read and write again exactly.

Every alternative of both envelopes and every unary message appears three times: empty, with ordinary values, and with
the values at which codecs break (largest, smallest, NaN, minus zero, unknown members, text beyond the first plane,
keys whose order is another in UTF-16). A few more are messages as scenes really send them; the drivers of
the tests build these from nothing. Map entries lie in the order of their keys' bytes.
"""

from __future__ import annotations

import json
import math
from itertools import count, cycle
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor, OneofDescriptor
from google.protobuf.json_format import MessageToDict

from bridge.v1 import bridge_pb2, command_pb2, figures_pb2, media_pb2, session_pb2, topology_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

_ENVELOPES = (bridge_pb2.ConnectRequest, bridge_pb2.ConnectResponse)
_UNARY = (
    bridge_pb2.GetTopologyRequest,
    bridge_pb2.GetTopologyResponse,
    bridge_pb2.SubmitCommandRequest,
    bridge_pb2.SubmitCommandResponse,
    bridge_pb2.GetHealthRequest,
    bridge_pb2.GetHealthResponse,
)
_LARGEST_FLOAT = 3.4028234663852886e38
_SMALLEST_FLOAT = 1.401298464324817e-45
_EXTREMES: dict[int, tuple[Any, ...]] = {
    FieldDescriptor.TYPE_DOUBLE: (math.nan, -0.0, math.inf, -math.inf, 1.7976931348623157e308, 5e-324, -0.1),
    FieldDescriptor.TYPE_FLOAT: (math.nan, -0.0, math.inf, -math.inf, _LARGEST_FLOAT, _SMALLEST_FLOAT, -1.5),
    FieldDescriptor.TYPE_UINT32: (2**32 - 1, 127, 128, 2**31),
    FieldDescriptor.TYPE_UINT64: (2**64 - 1, 2**63, 2**35, 2**56 - 1),
    FieldDescriptor.TYPE_FIXED32: (2**32 - 1, 2**31, 1),
    FieldDescriptor.TYPE_FIXED64: (2**64 - 1, 2**63, 1),
    FieldDescriptor.TYPE_BOOL: (True,),
    FieldDescriptor.TYPE_STRING: (
        "Zürich 10 €",
        "\U0001d11e\U0001f4e1",
        "\0",
        "東京",
        "\ufeffmark",
        "\uffff",
        "x" * 200,
    ),
    FieldDescriptor.TYPE_BYTES: (bytes(range(256)), b"\0"),
    FieldDescriptor.TYPE_ENUM: (-1, 2**31 - 1, -(2**31), 99),
}
_KEYS = (("a", "b", "é", "\uffff", "\U0001f4e1"), ("",))
"""In the order of their UTF-8 bytes; as UTF-16 the last two would change places. No key begins another one: there
Python's order (the longer first) is its own."""


def frames_json() -> str:
    """Return proto/golden/frames.json."""
    rows: list[str] = []
    for name, message in frames():
        row = {
            "name": name,
            "message": message.DESCRIPTOR.name,
            "hex": message.SerializeToString(deterministic=True).hex(),
            "json": _sorted(MessageToDict(message, preserving_proto_field_name=True)),
        }
        rows.append(json.dumps(row))
    return "[\n" + ",\n".join(rows) + "\n]\n"


def _sorted(value: Any) -> Any:
    """Return JSON with its keys in order: maps come in none."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def frames() -> Iterator[tuple[str, Message]]:
    """Yield every golden frame with its name."""
    for envelope in _ENVELOPES:
        side = envelope.DESCRIPTOR.name.removeprefix("Connect").lower()
        yield f"{side}.nothing", envelope()
        yield (
            f"{side}.only_ack",
            envelope(seq=0, ack=2**63, wall_time_unix_ns=1_795_000_000_000_000_000, sim_time_s=-0.0),
        )
        for field in envelope.DESCRIPTOR.oneofs_by_name["body"].fields:
            empty = envelope()
            getattr(empty, field.name).SetInParent()
            yield f"{side}.{field.name}.empty", empty
            for fill in (_Ordinary(), _Extreme()):
                full = envelope(seq=7, ack=300, wall_time_unix_ns=1_795_000_000_000_000_000, sim_time_s=12.25)
                fill.message(getattr(full, field.name))
                yield f"{side}.{field.name}.{fill.name}", full
    for field in command_pb2.Command.DESCRIPTOR.oneofs_by_name["body"].fields:
        for fill in (_Ordinary(), _Extreme()):
            full = bridge_pb2.ConnectResponse(command=command_pb2.Command(id="c-1"))
            fill.message(getattr(full.command, field.name))
            yield f"response.command.{field.name}.{fill.name}", full
    for unary in _UNARY:
        yield f"{unary.DESCRIPTOR.name}.empty", unary()
        for fill in (_Ordinary(), _Extreme()):
            full = unary()
            fill.message(full)
            yield f"{unary.DESCRIPTOR.name}.{fill.name}", full
    yield from _as_in_life()


class _Ordinary:
    """Fills a message with small distinct values; of a oneof, each time the next alternative."""

    name = "ordinary"

    def __init__(self) -> None:
        self._numbers = count(1)
        self._turns: dict[str, Iterator[str]] = {}

    def message(self, message: Any) -> None:
        message.SetInParent()
        chosen = {oneof.name: self._alternative(oneof) for oneof in message.DESCRIPTOR.oneofs}
        for field in message.DESCRIPTOR.fields:
            oneof = field.containing_oneof
            if oneof is not None and chosen[oneof.name] != field.name:
                continue
            held = field.message_type
            if held is not None and held.GetOptions().map_entry:
                self._map(getattr(message, field.name), held.fields_by_name["value"])
            elif held is not None and field.is_repeated:
                for _ in range(self.length(field)):
                    self.message(getattr(message, field.name).add())
            elif held is not None:
                self.message(getattr(message, field.name))
            elif field.is_repeated:
                getattr(message, field.name).extend([self.value(field) for _ in range(self.length(field))])
            else:
                setattr(message, field.name, self.value(field))

    def _alternative(self, oneof: OneofDescriptor) -> str:
        if oneof.full_name not in self._turns:
            self._turns[oneof.full_name] = cycle([field.name for field in oneof.fields])
        return next(self._turns[oneof.full_name])

    def _map(self, entries: Any, value: FieldDescriptor) -> None:
        for key in self.keys():
            if value.message_type is not None:
                self.message(entries[key])
            else:
                entries[key] = self.value(value)

    def keys(self) -> tuple[str, ...]:
        return ("digitalTilt", "configuredMaxTxPower")

    def length(self, field: FieldDescriptor) -> int:
        return 2 if field.message_type is not None else 3

    def value(self, field: FieldDescriptor) -> Any:
        number = next(self._numbers)
        match field.type:
            case FieldDescriptor.TYPE_BOOL:
                return True
            case FieldDescriptor.TYPE_STRING:
                return f"text-{number}"
            case FieldDescriptor.TYPE_BYTES:
                return bytes([number % 256])
            case FieldDescriptor.TYPE_ENUM:
                values = sorted(field.enum_type.values_by_number) if field.enum_type is not None else [0]
                return values[number % (len(values) - 1) + 1]
            case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
                return number + 0.5
            case _:
                return number


class _Extreme(_Ordinary):
    """Fills a message with the values at which codecs break."""

    name = "extreme"

    def __init__(self) -> None:
        super().__init__()
        self._values = {kind: cycle(values) for kind, values in _EXTREMES.items()}
        self._lengths = cycle((1, 0, 2))
        self._keys = cycle(_KEYS)

    def keys(self) -> tuple[str, ...]:
        return next(self._keys)

    def length(self, field: FieldDescriptor) -> int:
        return next(self._lengths) if field.message_type is not None else len(_EXTREMES[field.type])

    def value(self, field: FieldDescriptor) -> Any:
        return next(self._values[field.type])


def _as_in_life() -> Iterator[tuple[str, Message]]:
    """Yield messages as a scene sends them; the test drivers of each language build the same from nothing."""
    yield (
        "life.hello",
        bridge_pb2.ConnectRequest(
            hello=session_pb2.Hello(
                protocol_min=1,
                protocol_max=1,
                role=session_pb2.ROLE_SCENE,
                scene_id="plaza",
                provides=[session_pb2.PROVISION_MOTION, session_pb2.PROVISION_KPI],
                engine="unity",
                frame=session_pb2.FRAME_UNITY,
                capabilities=session_pb2.Capabilities(camera_codecs=["jpeg"], max_entities=5000),
                resume=session_pb2.ResumePoint(session_id="s-1", resume_token="secret", last_seq=2**40),
            )
        ),
    )
    yield (
        "life.telemetry",
        bridge_pb2.ConnectRequest(
            wall_time_unix_ns=1_795_000_000_000_000_000,
            sim_time_s=30.5,
            telemetry=figures_pb2.Telemetry(
                number=3,
                revision=2,
                sim_time_s=30.5,
                entity_index=[4, 5],
                position_m=[1.5, -2.25, 0.0, 100.125, 7.0, -0.0],
                kpis=["L1M.SS-RSRP"],
                values=[-84.5, math.nan],
                keyframe=True,
            ),
        ),
    )
    yield (
        "life.voice",
        bridge_pb2.ConnectRequest(
            voice_chunk=media_pb2.VoiceChunk(
                utterance_id="u-1", sample_rate_hz=16_000, pcm_int16=bytes(i % 251 for i in range(17_000)), number=1
            )
        ),
    )
    tilt = topology_pb2.EntityAttribute(
        entity_id="cell-7-2", attribute="digitalTilt", value=topology_pb2.AttributeValue(number=60)
    )
    state = topology_pb2.EntityAttribute(
        entity_id="cell-7-2", attribute="administrativeState", value=topology_pb2.AttributeValue(text="UNLOCKED")
    )
    unknown = topology_pb2.EntityAttribute(entity_id="cell-7-2", attribute="cellIndividualOffset")
    yield (
        "life.applied",
        bridge_pb2.ConnectRequest(
            seq=9,
            ack=4,
            command_ack=command_pb2.CommandAck(
                command_id="0198c0de-0000-7000-8000-000000000001",
                stage=command_pb2.COMMAND_STAGE_APPLIED,
                observed=[tilt, state, unknown],
                sim_time_s=31.0,
            ),
        ),
    )
    yield (
        "life.topology",
        bridge_pb2.ConnectResponse(
            seq=1,
            topology_snapshot=topology_pb2.TopologySnapshot(
                revision=2,
                total=1,
                last=True,
                entities=[
                    topology_pb2.Entity(
                        index=4,
                        id="ue-4",
                        kind="ue",
                        position=topology_pb2.Position(east_m=1.5, north_m=-2.25),
                        attributes={"b": topology_pb2.AttributeValue(number=-0.0), "a": topology_pb2.AttributeValue()},
                    )
                ],
            ),
        ),
    )
