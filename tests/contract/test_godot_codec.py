"""The codec of the Godot scene, run by Godot itself, against Python's protobuf."""

import json
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from bridge.v1 import bridge_pb2
from tools.engine_codec.gdscript import write_gdscript
from tools.engine_codec.schema import read_schema

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "engine_plugins" / "godot"
COORDINATES = ROOT / "proto" / "golden" / "coordinates.json"
FRAMES: list[dict[str, Any]] = json.loads((ROOT / "proto" / "golden" / "frames.json").read_text(encoding="utf-8"))


def run_by_godot(script: str, source: Path, result: Path) -> str:
    if shutil.which("godot3-server") is None:
        pytest.skip("`godot3-server` is missing (Debian: godot3-server)")
    words = ["--path", PROJECT, "-s", f"checks/{script}", f"--in={source}", f"--out={result}"]
    done = subprocess.run(["godot3-server", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SCRIPT ERROR" not in done.stdout + done.stderr, done.stdout + done.stderr
    return result.read_bytes().decode("utf-8", "replace")  # Godot hands on what Python would refuse as text


def read_by_godot(frames: list[tuple[str, bytes]], folder: Path) -> list[dict[str, Any]]:
    source = folder / "in"
    source.write_text("".join(f"{name} {raw.hex()}\n" for name, raw in frames), encoding="utf-8")
    text = run_by_godot("read_and_write.gd", source, folder / "out")
    return [json.loads(line, strict=False) for line in text.split("\n")[:-1]]


def message_of(name: str, raw: bytes) -> Message:
    return getattr(bridge_pb2, name).FromString(raw)


def plain(message: Message) -> list[Any]:
    """The message in the form of `read_and_write.gd`."""
    pairs = []
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            kind = field.message_type.fields_by_name["value"]
            pairs.append([field.name, sorted([key, one(kind, item)] for key, item in value.items())])
        elif field.is_repeated:
            pairs.append([field.name, [one(field, item) for item in value]])
        else:
            pairs.append([field.name, one(field, value)])
    return sorted(pairs)


def one(field: FieldDescriptor, value: Any) -> Any:
    match field.type:
        case FieldDescriptor.TYPE_MESSAGE:
            return plain(value)
        case FieldDescriptor.TYPE_FLOAT | FieldDescriptor.TYPE_DOUBLE:
            return "f" + struct.pack("<d", value).hex()
        case FieldDescriptor.TYPE_BYTES:
            return "b" + value.hex()
        case FieldDescriptor.TYPE_STRING:
            return "t" + value
        case FieldDescriptor.TYPE_BOOL:
            return value
        case _:
            return str(value - 2**64 if value >= 2**63 else value)  # GDScript has signed numbers only


def test_the_tables_in_the_tree_are_those_of_the_contract() -> None:
    expected = write_gdscript(read_schema(ROOT / "proto"))

    assert (PROJECT / "session" / "bridge_v1.gd").read_text(encoding="utf-8") == expected, "run `make gen`"


@pytest.mark.engine
def test_golden_frames_are_read_right_and_written_again_byte_by_byte(tmp_path: Path) -> None:
    frames = [(row["message"], bytes.fromhex(row["hex"])) for row in FRAMES]
    answers = read_by_godot(frames, tmp_path)

    cut = 0
    for row, (name, raw), answer in zip(FRAMES, frames, answers, strict=True):
        message = message_of(name, raw)
        if "\\u0000" in json.dumps(row["json"]):
            cut += 1  # a text of Godot 3 ends at its first NUL
            assert "error" not in answer
            continue
        assert answer.get("values") == plain(message), row["name"]
        assert answer["hex"] == row["hex"], row["name"]
    assert cut < len(FRAMES) / 5


@pytest.mark.engine
def test_broken_and_strange_bytes_are_read_as_python_reads_them(tmp_path: Path) -> None:
    rng = random.Random(20261121)
    ordinary = [row for row in FRAMES if row["name"].endswith((".ordinary", ".empty"))]
    frames: list[tuple[str, bytes]] = []
    for _ in range(600):
        row = rng.choice(ordinary)
        raw = bytes.fromhex(row["hex"])[:4000]
        match rng.randrange(4):
            case 0:
                raw = raw[: rng.randrange(len(raw) + 1)]
            case 1:  # a field of a later version, before and behind
                raw = b"\xfa\x3f\x03new" + raw + b"\xf8\x3f\x96\x01" + b"\xfd\x3f1234" + b"\xf9\x3f12345678"
            case 2:  # the same again: the last one counts, lists and messages are put together
                raw += raw
            case _ if raw:
                raw = bytearray(raw)
                raw[rng.randrange(len(raw))] = rng.randrange(256)
                raw = bytes(raw)
        frames.append((row["message"], raw))
    answers = read_by_godot(frames, tmp_path)

    refused = 0
    for (name, raw), answer in zip(frames, answers, strict=True):
        try:
            expected = plain(message_of(name, raw))
        except (DecodeError, UnicodeDecodeError):
            refused += 1
            continue  # GDScript may take what Python refuses (broken UTF-8); it must only live on
        assert answer.get("values") == expected, raw.hex()
    assert 50 < refused < 500


@pytest.mark.engine
def test_golden_coordinates_are_converted_as_in_every_language(tmp_path: Path) -> None:
    golden = json.loads(COORDINATES.read_text(encoding="utf-8"))
    found = json.loads(run_by_godot("coordinates.gd", COORDINATES, tmp_path / "out"))

    for row, (here, back) in zip(golden["points"], found["points"], strict=True):
        np.testing.assert_allclose(here, row["gltf"], rtol=1e-6)
        np.testing.assert_allclose(back, row["enu"], rtol=1e-6)
    for row, quaternion in zip(golden["rotations"], found["rotations"], strict=True):
        np.testing.assert_allclose(quaternion, row["gltf"], atol=1e-6)
    for row, (ahead, rotation) in zip(golden["views"], found["views"], strict=True):
        east, north, up = row["forward_enu"]
        np.testing.assert_allclose(ahead, (east, up, -north), atol=1e-6)
        sign = np.sign(np.dot(rotation, row["rotation_enu"]))  # q and -q are the same rotation
        np.testing.assert_allclose(sign * np.array(rotation), row["rotation_enu"], atol=1e-6)
