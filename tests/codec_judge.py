"""Judges a foreign codec: golden frames, messages made from nothing, coordinates, and broken frames against Python.

The codec under test is a program that reads orders from standard input and answers each with one line (see the
drivers in tests/contract/engine_codec). Python's parser is the reference. Four things are left open on purpose,
because the wire format does not settle them:

- An entry of a map that holds a field which Python does not know is dropped as a whole by Python's parser and kept by
  ours; such frames must be survived, no more.
- Of two keys of a map of which one begins the other, Python writes the longer first, ours the shorter; the wire gives
  the order no meaning.
- Which fault is named, when a frame has several.
- Limits of memory: ours has one for the message as a whole, Python has none below 2 GB.
"""

import json
import random
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from bridge.v1 import bridge_pb2

ROOT = Path(__file__).parent.parent
GOLDEN: list[dict[str, Any]] = json.loads((ROOT / "proto/golden/frames.json").read_text(encoding="utf-8"))
COORDINATES: dict[str, list[dict[str, Any]]] = json.loads(
    (ROOT / "proto/golden/coordinates.json").read_text(encoding="utf-8")
)
UNKNOWN = bytes.fromhex("a006ac02a9060102030405060708b2060301ff02b3060801b406bd0600000080")
"""Unknown fields of each wire type: varint, eight bytes, length, group, four bytes."""


def ask(command: Sequence[str | Path], orders: Sequence[str]) -> list[str]:
    """Return the answer of the driver to each order; it must end by itself and without complaint."""
    done = subprocess.run(
        list(command), input="\n".join(orders) + "\n", capture_output=True, text=True, timeout=120, check=False
    )
    assert (0, "") == (done.returncode, done.stderr[-2000:])
    answers = done.stdout.splitlines()
    assert len(orders) == len(answers)
    return answers


def golden_frames_missed(command: Sequence[str | Path]) -> list[tuple[str, ...]]:
    """Return the golden frames that are not written again byte by byte."""
    answers = ask(command, [f"frame {row['message']} {row['hex']}" for row in GOLDEN])
    return [
        (row["name"], row["hex"], answer)
        for row, answer in zip(GOLDEN, answers, strict=True)
        if answer != f"ok {row['hex']}"
    ]


def builds_missed(command: Sequence[str | Path]) -> list[tuple[str, ...]]:
    """Return the messages that the driver makes from nothing otherwise than Python."""
    rows = [row for row in GOLDEN if row["name"].startswith("life.")]
    answers = ask(command, [f"build {row['name']}" for row in rows])
    return [
        (row["name"], row["hex"], answer)
        for row, answer in zip(rows, answers, strict=True)
        if answer != f"ok {row['hex']}"
    ]


def coordinates_missed(command: Sequence[str | Path]) -> list[tuple[str, list[float], str]]:
    """Return the golden vectors that the driver computes otherwise, by more than 1e-9 of their unit."""
    orders: list[str] = []
    expected: list[list[float]] = []

    def expect(order: str, arguments: Sequence[float], result: Sequence[float]) -> None:
        orders.append(f"{order} {' '.join(repr(number) for number in arguments)}")
        expected.append(list(result))

    for kind in ("point", "rotation"):
        for row in COORDINATES[f"{kind}s"]:
            for axes in ("enu", "unity", "unreal", "gltf"):
                expect(f"{kind} {axes}", row["enu"], row[axes])
                expect(f"back_{kind} {axes}", row[axes], row["enu"])
    for row in COORDINATES["azimuths"]:
        expect("yaw", [row["azimuth_deg"]], [row["yaw_deg"]])
        expect("azimuth", [row["yaw_deg"]], [row["azimuth_deg"]])
    for row in COORDINATES["views"]:
        expect("view", [row["azimuth_deg"], row["downtilt_deg"]], [*row["rotation_enu"], *row["forward_enu"]])
    return [
        (order, numbers, answer)
        for order, numbers, answer in zip(orders, expected, ask(command, orders), strict=True)
        if not _near(numbers, [float(word) for word in answer.removeprefix("ok ").split()])
    ]


def _near(numbers: Sequence[float], others: Sequence[float]) -> bool:
    return len(numbers) == len(others) and all(abs(a - b) <= 1e-9 for a, b in zip(numbers, others, strict=True))


def verdicts_of_python(*, count: int) -> Counter[str]:
    """Return how many of the broken frames Python accepts, refuses, or leaves open."""
    return Counter(_python_says(message, data)[0] for message, data in _broken_frames(random.Random(6), count))


def broken_frames_misjudged(command: Sequence[str | Path], *, count: int) -> list[tuple[str, ...]]:
    """Return the broken frames that are not accepted, refused and written again as Python does."""
    frames = list(_broken_frames(random.Random(6), count))
    judged = [_python_says(message, data) for message, data in frames]
    answers = ask(command, [f"frame {message} {data.hex()}" for message, data in frames])
    return [
        (message, data.hex(), verdict, written, answer)
        for (message, data), (verdict, written), answer in zip(frames, judged, answers, strict=True)
        if (verdict == "accepted" and not _same_bytes(message, answer, written))
        or (verdict == "refused" and not answer.startswith("fault "))
    ]


def _same_bytes(message: str, answer: str, written: str) -> bool:
    if answer == f"ok {written}":
        return True
    if not answer.startswith("ok "):
        return False
    said: Message = getattr(bridge_pb2, message)()
    said.ParseFromString(bytes.fromhex(answer.removeprefix("ok ")))
    return _order_is_open(said) and said.SerializeToString(deterministic=True).hex() == written


def _order_is_open(message: Message) -> bool:
    """Return whether a map, here or further inside, has a key that begins another."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            keys = sorted(value)
            if any(after.startswith(before) for before, after in pairwise(keys)):
                return True
    return any(_order_is_open(held) for held in _held(message))


def _python_says(message: str, data: bytes) -> tuple[str, str]:
    parsed: Message = getattr(bridge_pb2, message)()
    try:
        parsed.ParseFromString(data)
    except DecodeError:
        return "refused", ""
    if _lost_an_entry(parsed):
        return "open", ""
    parsed.DiscardUnknownFields()
    return "accepted", parsed.SerializeToString(deterministic=True).hex()


def _lost_an_entry(message: Message) -> bool:
    """Return whether Python put an entry of a map aside, here or further inside."""
    maps = {
        field.number
        for field in message.DESCRIPTOR.fields
        if field.message_type is not None and field.message_type.GetOptions().map_entry
    }
    if any(field.field_number in maps and field.wire_type == 2 for field in UnknownFieldSet(message)):
        return True
    return any(_lost_an_entry(held) for held in _held(message))


def _held(message: Message) -> Iterator[Message]:
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            yield from (held for held in value.values() if isinstance(held, Message))
        elif field.is_repeated:
            yield from value
        else:
            yield value


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _broken_frames(rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield frames that differ from golden ones, each in one way, and the edges of the format in person."""
    yield from _edges()
    rows = [row for row in GOLDEN if row["hex"] and len(row["hex"]) < 8192]
    for number in range(count):
        row = rng.choice(rows)
        data = bytearray.fromhex(row["hex"])
        at = rng.randrange(len(data))
        match number % 8:
            case 0:
                del data[at:]
            case 1 | 2:
                for _ in range(rng.randint(1, 3)):
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            case 3:
                data[at:at] = rng.randbytes(rng.randint(1, 6))
            case 4:
                del data[at : at + rng.randint(1, 6)]
            case 5:
                data = bytearray(UNKNOWN) + data + UNKNOWN
            case 6:
                data = _with_unknown_inside(row["message"], bytes(data))
            case _:
                data += bytes.fromhex(rng.choice(rows)["hex"]) if rng.random() < 0.7 else rng.randbytes(40)
        yield row["message"], bytes(data)


def _with_unknown_inside(message: str, data: bytes) -> bytearray:
    """Return the frame with unknown fields at the end of its body too."""
    parsed: Message = getattr(bridge_pb2, message)()
    parsed.ParseFromString(data)
    body = parsed.WhichOneof("body") if parsed.DESCRIPTOR.oneofs else None
    if body is None:
        return bytearray(UNKNOWN + data)
    inside = getattr(parsed, body).SerializeToString(deterministic=True) + UNKNOWN
    tag = parsed.DESCRIPTOR.fields_by_name[body].number << 3 | 2
    return bytearray(_varint(tag) + _varint(len(inside)) + inside)


def _edges() -> Iterator[tuple[str, bytes]]:
    group, ungroup = _varint(500 << 3 | 3), _varint(500 << 3 | 4)
    for depth in (1, 99, 100, 101, 5000):
        yield "ConnectResponse", group * depth + ungroup * depth
        yield "ConnectResponse", group * depth
    for text in (
        "888080800005",  # a tag in five bytes
        "88808080800005",  # a tag in six bytes
        "888080801005",  # a tag of more than 32 bits
        "f8ffffff0f01",  # the largest field number
        "08ffffffffffffffffff7f",  # a varint with bits beyond 64
        "08ffffffffffffffffffff00",  # a varint in eleven bytes
        "0000",  # field number 0
        "528080808000",  # a length in five bytes
        "52808080808000",  # a length in six bytes
        "52ffffffff0f",  # a length of 4 GB
        "52ffffffff07",  # a length of 2 GB
        "0c",  # an end without a group
        "0b0c",  # a group under the number of a known field
        "0b14",  # a group that another ends
        "0e",  # wire type 6
        "0d01020304",  # a known field in another wire type
        "520418808002",  # a truth value that is no 0 or 1
        "520b1880808080808080808002",  # a truth value whose only bit lies beyond 64
        "c201023205",  # a run of four-byte numbers in five bytes, cut
        "c2010732050000000000",  # the same, whole
        "c2010a350100000035ffffffff",  # the numbers of a run one by one
        "c2010c320401000000350200000032",  # both ways, then cut
        "52065a040a02c328",  # text that is no UTF-8
        "52065a040a02c080",  # an overlong NUL
        "52075a050a03eda080",  # half a surrogate pair
        "52085a060a04f4908080",  # beyond U+10FFFF
    ):
        yield "ConnectResponse", bytes.fromhex(text)
    for text in (
        "2a030a0161",
        "2a00",
        "2a050a016110012a050a01611000",
        "2a030a01612803",
        "2a070a016110011805",
        "2a030a01ff",
    ):
        yield "GetHealthResponse", bytes.fromhex(text)
