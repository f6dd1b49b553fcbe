"""The second way in: the same bytes over WebSocket, one binary frame per message.

A plain ASGI application, so that it can be mounted beside the REST API; it must not import a web framework. Who may
connect from which web page is the business of whoever mounts it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from bridge.errors import retry_after_s
from twin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    from bridge.server import BridgeServer

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

CLOSE_NORMAL = 1000
CLOSE_REFUSED = 1008
CLOSE_TRY_LATER = 1013
CLOSE_TIMEOUT_S = 1.0
MOST_REASON_BYTES = 123
"""What fits into a close frame (RFC 6455 section 5.5)."""


class WebSocketGateway:
    """Serves streams of a bridge over WebSocket.

    Args:
        server: The bridge; it need not listen itself.
    """

    def __init__(self, server: BridgeServer) -> None:
        self._server = server

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "websocket":
            await _only_websocket(scope, send)
            return
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})

        async def write(raw: bytes) -> None:
            try:
                await send({"type": "websocket.send", "bytes": raw})
            except (OSError, RuntimeError) as error:  # servers differ in how they say that the client is gone
                raise ConnectionResetError("the client is gone") from error

        client = scope.get("client")
        error = await self._server.serve_stream(
            _frames(receive),
            write,
            peer=f"websocket:{client[0]}:{client[1]}" if client else "websocket",
            credentials=_bearer(scope["headers"]),
        )
        code = CLOSE_NORMAL if error is None else CLOSE_TRY_LATER if retry_after_s(error) > 0 else CLOSE_REFUSED
        reason = "" if error is None else str(error).encode()[:MOST_REASON_BYTES].decode(errors="ignore")
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):  # it closed first, or does not read
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await send({"type": "websocket.close", "code": code, "reason": reason})


async def _frames(receive: Receive) -> AsyncIterator[bytes]:
    while (message := await receive())["type"] != "websocket.disconnect":
        raw = message.get("bytes")
        if raw is None:
            raise ProtocolError("a text frame; send each message as one binary frame")
        yield raw


def _bearer(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name.lower() == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].decode("latin-1").strip()
    return ""


async def _only_websocket(scope: MutableMapping[str, Any], send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError(
            f"an ASGI scope of type `{scope['type']}` reached the bridge gateway; mount it for websocket"
        )
    body = b"this address speaks WebSocket: connect with ws:// or wss://\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    await send({"type": "http.response.start", "status": 426, "headers": headers})
    await send({"type": "http.response.body", "body": body})
