"""What cannot be meant at the bridge of the running product: refused by name, counted, and the twin goes on."""

import time
from typing import Any

import grpc
import pytest
import websockets.asyncio.client

from bridge.v1 import bridge_pb2, command_pb2, session_pb2
from tests.bridge_peer import OBSERVER, Peer, grpc_peer, websocket_peer
from tests.e2e.running_twin import RunningTwin
from tests.e2e.test_door import health_over
from twin.ids import uuid7


async def told(twin: RunningTwin, way: str, *words: bytes) -> session_pb2.Refusal:
    """Say Hello and these words, and return what the twin says to that."""
    async with door(twin, way) as peer:
        await peer.hello(role=OBSERVER)
        for word in words:
            await peer.write(word)
        return await peer.refused()


def door(twin: RunningTwin, way: str) -> Any:
    if way == "grpc":
        return grpc_peer(f"127.0.0.1:{twin.grpc_port}")
    return websocket_peer(f"ws{twin.url.removeprefix('http')}/bridge")


async def refused_for_its_version(peer: Peer) -> session_pb2.Refusal:
    await peer.say_hello(role=OBSERVER, protocol_min=7, protocol_max=9)
    return await peer.refused()


@pytest.mark.parametrize("way", ["grpc", "ws"])
async def test_what_cannot_be_meant_is_refused_by_name_and_counted(twin: RunningTwin, way: str) -> None:
    before = twin.get("/v1/health")["bridge"]["refusals"]
    five_megabytes = bridge_pb2.ConnectRequest(goodbye=session_pb2.Goodbye(reason="x" * 5_000_000))
    refusals = [
        await told(twin, way, five_megabytes.SerializeToString()),
        await told(twin, way, b"\xff\xff\xff\xffrubbish"),
    ]
    async with door(twin, way) as peer:
        refusals.append(await refused_for_its_version(peer))
    after = twin.get("/v1/health")["bridge"]["refusals"]

    codes = [session_pb2.RefusalCode.Name(one.code).removeprefix("REFUSAL_CODE_") for one in refusals]
    assert codes == ["TOO_LARGE", "PROTOCOL", "VERSION"]
    assert all(one.message and not one.retry_after_s for one in refusals)
    assert {code: after[code] - before.get(code, 0) for code in codes} == dict.fromkeys(codes, 1)
    with grpc.insecure_channel(f"127.0.0.1:{twin.grpc_port}") as channel:
        assert dict(health_over(channel, "").refusals) == after
    assert twin.ask("Which alarms are active?")["text"]


async def test_a_text_frame_is_refused(twin: RunningTwin) -> None:
    async with websockets.asyncio.client.connect(f"ws{twin.url.removeprefix('http')}/bridge", proxy=None) as socket:
        await socket.send("hello")
        refusal = bridge_pb2.ConnectResponse.FromString(await socket.recv()).refusal
        await socket.wait_closed()

    assert refusal.code == session_pb2.REFUSAL_CODE_PROTOCOL
    assert "binary" in refusal.message
    assert socket.close_code == 1008


def order(**fields: Any) -> command_pb2.Command:
    command = command_pb2.Command(id=uuid7(), **fields)
    command.overlay.overlay_id = "door"
    command.overlay.operation = command_pb2.OVERLAY_OPERATION_SHOW
    command.overlay.entity_ids.append("cell-7-2")
    return command


@pytest.mark.parametrize(
    ("command", "stage", "says"),
    [
        (order(), "REJECTED", "shows nothing"),
        (order(deadline_unix_ns=time.time_ns() - 1_000_000_000), "EXPIRED", "deadline"),
        (order(expected_revision=4_711), "REJECTED", "4711"),
    ],
)
def test_an_order_that_cannot_be_obeyed_is_answered(
    twin: RunningTwin, command: command_pb2.Command, stage: str, says: str
) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{twin.grpc_port}") as channel:
        ack = submit(channel, command).ack

    assert command_pb2.CommandStage.Name(ack.stage).removeprefix("COMMAND_STAGE_") == stage, ack
    assert says in ack.reason


def test_an_order_about_what_does_not_exist_is_refused(twin: RunningTwin) -> None:
    response = twin.post("/v1/commands", {"kind": "overlay", "overlay_id": "door", "entities": ["cell-99-9"]})

    assert (response.status_code, "cell-99-9" in response.text) == (404, True)


def test_an_order_for_the_network_takes_the_way_of_changes(twin: RunningTwin) -> None:
    command = command_pb2.Command(id=uuid7())
    command.set_attributes.actions.add(entity_id="cell-7-2", attribute="digitalTilt").value.number = 30
    with grpc.insecure_channel(f"127.0.0.1:{twin.grpc_port}") as channel, pytest.raises(grpc.RpcError) as caught:
        submit(channel, command)

    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "/v1/changes" in (caught.value.details() or "")


def submit(channel: grpc.Channel, command: command_pb2.Command) -> bridge_pb2.SubmitCommandResponse:
    call = channel.unary_unary(
        "/bridge.v1.BridgeService/SubmitCommand",
        request_serializer=bridge_pb2.SubmitCommandRequest.SerializeToString,
        response_deserializer=bridge_pb2.SubmitCommandResponse.FromString,
    )
    return call(bridge_pb2.SubmitCommandRequest(command=command, timeout_s=8), timeout=15)
