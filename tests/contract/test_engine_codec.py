"""What the codecs of all engines stand on: the generator, the golden files, and Python's own side of them."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from bridge.v1 import bridge_pb2
from tests.codec_judge import COORDINATES, GOLDEN, ROOT, verdicts_of_python
from tools.engine_codec.__main__ import outputs
from tools.engine_codec.schema import Field, Shape, read_schema
from twin.geo import (
    Axes,
    azimuth_to_yaw_deg,
    engine_to_enu,
    enu_to_engine,
    rotation_to_engine,
    rotation_to_enu,
    yaw_to_azimuth_deg,
)

ENGINES = (Axes.UNITY, Axes.UNREAL, Axes.GLTF)


def test_generated_files_are_up_to_date() -> None:
    stale = [str(path) for path, text in outputs().items() if path.read_text(encoding="utf-8") != text]
    assert [] == stale, "run `make gen`"


@pytest.mark.parametrize("folder", ["Twin6G.Wire", "Twin6G.Core"])
def test_the_csharp_core_uses_nothing_that_il2cpp_cannot_compile_ahead(folder: str) -> None:
    forbidden = ("System.Reflection", "System.Linq", "dynamic ", "Activator.", "UnityEngine", "Emit(")
    sources = sorted((ROOT / "engine_plugins/csharp" / folder).glob("*.cs"))
    found = [(path.name, word) for path in sources for word in forbidden if word in path.read_text(encoding="utf-8")]
    assert (True, []) == (len(sources) > 1, found)


def test_every_message_field_and_member_carries_its_prose() -> None:
    schema = read_schema(ROOT / "proto")
    mute = [message.name for message in schema.messages if not message.prose]
    mute += [
        f"{message.name}.{field.name}" for message in schema.messages for field in message.fields if not field.prose
    ]
    mute += [f"{enum.name}.{value.name}" for enum in schema.enums for value in enum.values if not value.prose]
    assert [] == mute


def test_golden_frames_hold_every_field_of_the_contract() -> None:
    seen: set[str] = set()
    for row in GOLDEN:
        _note_fields(row["message"], row["json"], seen)
    expected = {
        f"{message.name}.{field.name}" for message in read_schema(ROOT / "proto").messages for field in message.fields
    }
    assert expected == seen


@pytest.mark.parametrize("row", GOLDEN, ids=[row["name"] for row in GOLDEN])
def test_python_reads_and_writes_the_golden_frame(row: dict[str, Any]) -> None:
    message = getattr(bridge_pb2, row["message"])()
    message.ParseFromString(bytes.fromhex(row["hex"]))
    said = MessageToDict(message, preserving_proto_field_name=True)
    assert row["json"] == json.loads(json.dumps(said))
    assert row["hex"] == message.SerializeToString(deterministic=True).hex()


def test_the_broken_frames_are_of_every_kind() -> None:
    verdicts = verdicts_of_python(count=4_000)
    assert min(verdicts["accepted"], verdicts["refused"]) > 1_000
    assert 0 < verdicts["open"] < 200


@pytest.mark.parametrize("axes", ENGINES)
def test_python_converts_points_as_the_golden_vectors_say(axes: Axes) -> None:
    for row in COORDINATES["points"]:
        np.testing.assert_allclose(enu_to_engine(row["enu"], axes), row[axes.value], rtol=0, atol=1e-9)
        np.testing.assert_allclose(engine_to_enu(row[axes.value], axes), row["enu"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("axes", ENGINES)
def test_python_converts_rotations_as_the_golden_vectors_say(axes: Axes) -> None:
    for row in COORDINATES["rotations"]:
        np.testing.assert_allclose(rotation_to_engine(row["enu"], axes), row[axes.value], rtol=0, atol=1e-12)
        np.testing.assert_allclose(rotation_to_enu(row[axes.value], axes), row["enu"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("axes", ENGINES)
def test_a_golden_rotation_turns_the_same_arrow_in_every_frame(axes: Axes) -> None:
    arrow = np.array([1.0, 2.0, -3.0])
    for row in COORDINATES["rotations"]:
        turned_then_moved = enu_to_engine(_turned(row["enu"], arrow), axes)
        moved_then_turned = _turned(row[axes.value], enu_to_engine(arrow, axes))
        np.testing.assert_allclose(turned_then_moved, moved_then_turned, rtol=0, atol=1e-9)


def test_python_converts_azimuths_as_the_golden_vectors_say() -> None:
    for row in COORDINATES["azimuths"]:
        assert row["yaw_deg"] == pytest.approx(azimuth_to_yaw_deg(row["azimuth_deg"]))
        assert row["azimuth_deg"] == pytest.approx(yaw_to_azimuth_deg(row["yaw_deg"]))


def test_a_golden_view_looks_where_its_azimuth_and_downtilt_say() -> None:
    for row in COORDINATES["views"]:
        azimuth_rad, down_rad = np.radians(row["azimuth_deg"]), np.radians(row["downtilt_deg"])
        looks = _turned(row["rotation_enu"], np.array([1.0, 0.0, 0.0]))
        np.testing.assert_allclose(looks, row["forward_enu"], rtol=0, atol=1e-12)
        assert np.sin(azimuth_rad) * np.cos(down_rad) == pytest.approx(looks[0])
        assert -np.sin(down_rad) == pytest.approx(looks[2])


def _turned(quaternion_xyzw: list[float], vector: np.ndarray) -> np.ndarray:
    """Return the vector turned by q v q*, written with the rotation matrix of q."""
    x, y, z, w = quaternion_xyzw
    matrix = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    return matrix @ vector


def _note_fields(message: str, json_form: dict[str, Any], seen: set[str]) -> None:
    fields = {one.name: one for one in _MESSAGES[message]}
    for name, value in json_form.items():
        seen.add(f"{message}.{name}")
        field = fields[name]
        if field.type_name in _MESSAGES:
            for held in _values(field, value):
                _note_fields(field.type_name, held, seen)


def _values(field: Field, value: Any) -> Iterable[dict[str, Any]]:
    match field.shape:
        case Shape.SINGLE:
            return [value]
        case Shape.LIST:
            return value
        case Shape.MAP:
            return value.values()


_MESSAGES = {message.name: message.fields for message in read_schema(ROOT / "proto").messages}
