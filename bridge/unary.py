"""The few unary calls, for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from bridge import mapping
from bridge.errors import row_of
from bridge.greeting import write_snapshot
from bridge.health import write_health
from bridge.v1 import bridge_pb2
from twin.commands import Overlay
from twin.errors import PermissionDenied, TwinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bridge.dispatch import Dispatch
    from bridge.health import BridgeHealth
    from twin.ports import SceneStart

DEFAULT_TIMEOUT_S = 10.0
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


def unary_handlers(host: Host, dispatch: Dispatch) -> dict[str, Any]:
    """Return the handlers by method name. They use the public messages: nothing here is hot."""

    async def get_topology(request: bridge_pb2.GetTopologyRequest) -> bridge_pb2.GetTopologyResponse:
        scene_id, start = host.start_of(request.scene_id)
        response = bridge_pb2.GetTopologyResponse(scene_id=scene_id)
        write_snapshot(response.topology, start.topology)
        return response

    async def submit_command(request: bridge_pb2.SubmitCommandRequest) -> bridge_pb2.SubmitCommandResponse:
        command = mapping.read_command(request.command)
        if not isinstance(command.body, Overlay):
            raise PermissionDenied(
                f"`{request.command.WhichOneof('body')}` changes the network; propose it with POST /v1/changes and"
                " have it approved"
            )
        scene_id, _ = host.start_of(request.scene_id)
        result = await dispatch.send(command, timeout_s=request.timeout_s or DEFAULT_TIMEOUT_S, scene_id=scene_id)
        response = bridge_pb2.SubmitCommandResponse()
        mapping.write_result(response.ack, result)
        response.ack.scene_id = scene_id
        return response

    async def get_health(request: bridge_pb2.GetHealthRequest) -> bridge_pb2.GetHealthResponse:
        del request
        response = bridge_pb2.GetHealthResponse()
        write_health(response, host.health())
        return response

    return {
        "GetTopology": _handler(get_topology, bridge_pb2.GetTopologyRequest, bridge_pb2.GetTopologyResponse),
        "SubmitCommand": _handler(submit_command, bridge_pb2.SubmitCommandRequest, bridge_pb2.SubmitCommandResponse),
        "GetHealth": _handler(get_health, bridge_pb2.GetHealthRequest, bridge_pb2.GetHealthResponse),
    }


def _handler(call: Callable[[Request], Awaitable[Response]], request: type[Request], response: type[Response]) -> Any:
    async def answer(message: Request, context: grpc.aio.ServicerContext[Request, Response]) -> Response:
        try:
            return await call(message)
        except TwinError as error:
            await context.abort(row_of(error).status, str(error))

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=request.FromString, response_serializer=response.SerializeToString
    )
