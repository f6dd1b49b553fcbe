"""The contract itself: linted, every field explained, committed Python equal to a fresh compilation."""

import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2

import bridge.v1
from bridge.v1 import (
    bridge_pb2,
    bridge_pb2_grpc,
    command_pb2,
    figures_pb2,
    media_pb2,
    news_pb2,
    presence_pb2,
    session_pb2,
    state_pb2,
    topology_pb2,
)

ROOT = Path(bridge.v1.__file__).parents[2]
BUF = Path(sys.executable).with_name("buf")
MODULES = (
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


def buf(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert BUF.exists(), f"{BUF} is missing; install the dependency group `test`"
    return subprocess.run([BUF, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_the_contract_keeps_the_lint_rules_and_explains_every_field() -> None:
    result = buf("lint")

    assert (result.returncode, result.stdout) == (0, "")


def test_the_contract_is_formatted() -> None:
    assert buf("format", "--diff", "--exit-code").stdout == ""


def test_the_committed_python_is_what_the_contract_compiles_to(tmp_path: Path) -> None:
    image = tmp_path / "image.binpb"
    result = buf("build", "--exclude-source-info", "-o", str(image))
    assert result.returncode == 0, result.stderr
    fresh = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    committed = {}
    for module in MODULES:
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        committed[file.name] = _without_json_names(file)

    assert {file.name: _without_json_names(file) for file in fresh.file} == committed


def _without_json_names(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.FileDescriptorProto:
    # Compilers differ in whether they write down the json_name that follows from the name.
    plain = descriptor_pb2.FileDescriptorProto()
    plain.CopyFrom(file)
    plain.DiscardUnknownFields()  # buf's own notes on the image
    messages = list(plain.message_type)
    while messages:
        message = messages.pop()
        messages.extend(message.nested_type)
        for field in message.field:
            field.ClearField("json_name")
    return plain


@pytest.mark.parametrize("method", ["Connect", "GetTopology", "SubmitCommand", "GetHealth"])
def test_the_committed_service_has_every_method(method: str) -> None:
    channel = grpc.insecure_channel("127.0.0.1:1")
    try:
        assert callable(getattr(bridge_pb2_grpc.BridgeServiceStub(channel), method))
    finally:
        channel.close()


def test_packed_lists_are_floats_and_fixed_integers_only() -> None:
    sizes = {
        f"{message.full_name}.{field.name}": field.type
        for module in MODULES
        for message in module.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
        if field.is_repeated
        and field.message_type is None
        and field.enum_type is None
        and field.type != field.TYPE_STRING
    }

    assert set(sizes.values()) == {
        descriptor_pb2.FieldDescriptorProto.TYPE_FLOAT,
        descriptor_pb2.FieldDescriptorProto.TYPE_FIXED32,
    }
