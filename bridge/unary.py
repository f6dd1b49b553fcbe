"""The few unary calls, for scripts. The token travels as metadata: `authorization: Bearer ...`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message

from bridge import codec, mapping
from bridge.access import OBSERVE, PROPOSE, SCENE
from bridge.errors import row_of
from bridge.greeting import write_snapshot
from bridge.health import write_health
from bridge.v1 import bridge_pb2
from twin.commands import VISIBLE, CommandResult, Spawn, overall
from twin.errors import InvalidInput, PermissionDenied, TooLarge, TwinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bridge.access import Doorkeeper, Guest
    from bridge.health import BridgeHealth, Tally
    from twin.ports import SceneLink, SceneStart

DEFAULT_TIMEOUT_S = 10.0
LONGEST_TIMEOUT_S = 60.0
MOST_SCENES = 64
Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class Host(Protocol):
    """What the calls ask of the server."""

    def start_of(self, scene_id: str) -> tuple[str, SceneStart]:
        """Return (id, what it was told) of a scene."""
        ...

    def health(self) -> BridgeHealth:
        """Return how the bridge is doing."""
        ...


def bearer(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Return the token that a call carries in its metadata, "" when none."""
    for name, value in context.invocation_metadata() or ():
        text = value if isinstance(value, str) else value.decode("latin-1")
        if name == "authorization" and text[:7].lower() == "bearer ":
            return text[7:].strip()
    return ""


def unary_handlers(host: Host, orders: SceneLink, *, doorkeeper: Doorkeeper, tally: Tally) -> dict[str, Any]:
    """Return the handlers by method name. They use the public messages: nothing here is hot."""

    async def get_topology(request: bridge_pb2.GetTopologyRequest, guest: Guest) -> bridge_pb2.GetTopologyResponse:
        guest.need(OBSERVE)
        scene_id, start = host.start_of(request.scene_id)
        response = bridge_pb2.GetTopologyResponse(scene_id=scene_id)
        write_snapshot(response.topology, start.topology)
        if response.ByteSize() > codec.MAX_MESSAGE_BYTES:
            raise TooLarge(
                f"the inventory has `{response.ByteSize()}` bytes, one message holds `{codec.MAX_MESSAGE_BYTES}`;"
                " open a stream, which gets it in chunks"
            )
        return response

    async def submit_command(
        request: bridge_pb2.SubmitCommandRequest, guest: Guest
    ) -> bridge_pb2.SubmitCommandResponse:
        envelope = codec.ConnectResponse()  # packed lists are read from the shadow messages only
        envelope.command.MergeFromString(request.command.SerializeToString())
        command = mapping.read_command(envelope.command)
        guest.need(SCENE if isinstance(command.body, Spawn) else PROPOSE)
        if not isinstance(command.body, VISIBLE):
            raise PermissionDenied(
                f"`{request.command.WhichOneof('body')}` changes the network; propose it with POST /v1/changes and"
                " have it approved"
            )
        command = replace(command, issued_by=guest.name)
        timeout_s = request.timeout_s or DEFAULT_TIMEOUT_S
        if not 0 < timeout_s <= LONGEST_TIMEOUT_S:
            raise InvalidInput(f"`timeout_s` is `{timeout_s:g}`; wait more than 0 and at most {LONGEST_TIMEOUT_S:g} s")
        response = bridge_pb2.SubmitCommandResponse()
        if not request.scene_ids:
            scene_id, _ = host.start_of(request.scene_id)
            result = await orders.send(command, timeout_s=timeout_s, scene_id=scene_id)
            _write_ack(response.ack, result, scene_id)
            return response
        if len(request.scene_ids) > MOST_SCENES:
            raise TooLarge(f"`{len(request.scene_ids)}` scenes in one call; name at most {MOST_SCENES}")
        for scene_id in request.scene_ids:
            host.start_of(scene_id)
        results = await orders.send_to_all(command, scene_ids=tuple(request.scene_ids), timeout_s=timeout_s)
        for scene_id, result in results.items():
            _write_ack(response.scene_acks.add(), result, scene_id)
        stage, reason = overall(results)
        at_s = max((result.sim_time_s for result in results.values()), default=0.0)
        together = CommandResult(command_id=command.id, stage=stage, reason=reason, sim_time_s=at_s)
        mapping.write_result(response.ack, together)
        return response

    async def get_health(request: bridge_pb2.GetHealthRequest, guest: Guest) -> bridge_pb2.GetHealthResponse:
        del request
        guest.need(OBSERVE)
        response = bridge_pb2.GetHealthResponse()
        write_health(response, host.health())
        return response

    def handler(
        call: Callable[[Request, Guest], Awaitable[Response]], request: type[Request], response: type[Response]
    ) -> Any:
        async def answer(message: Request, context: grpc.aio.ServicerContext[Request, Response]) -> Response:
            try:
                return await call(message, doorkeeper.admit(bearer(context)))
            except TwinError as refused:
                error = refused
            except Exception as failed:  # noqa: BLE001 - the last place that knows the call; the caller gets an answer
                structlog.get_logger("bridge").exception("call_failed", call=request.DESCRIPTOR.name)
                error = TwinError(f"the twin itself failed (`{type(failed).__name__}`); its log says where")
            tally.refused(error)
            await context.abort(row_of(error).status, str(error))
            raise error  # not reached: abort raises

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=request.FromString, response_serializer=response.SerializeToString
        )

    return {
        "GetTopology": handler(get_topology, bridge_pb2.GetTopologyRequest, bridge_pb2.GetTopologyResponse),
        "SubmitCommand": handler(submit_command, bridge_pb2.SubmitCommandRequest, bridge_pb2.SubmitCommandResponse),
        "GetHealth": handler(get_health, bridge_pb2.GetHealthRequest, bridge_pb2.GetHealthResponse),
    }


def _write_ack(ack: Any, result: CommandResult, scene_id: str) -> None:
    mapping.write_result(ack, result)
    ack.scene_id = scene_id
