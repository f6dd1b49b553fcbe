"""Raw streams of serialized messages over gRPC or WebSocket, without any manners of their own."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol, Self
from urllib.parse import urlsplit

import grpc
import grpc.aio
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.exceptions

from bridge.v1 import bridge_pb2
from twin.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

CONNECT = "/bridge.v1.BridgeService/Connect"
LARGEST = 64 * 1024 * 1024
"""More than any side may send: what is too large is the other side's to say."""


class Wire(Protocol):
    """One open stream."""

    async def send(self, raw: bytes) -> None:
        """Write one message; silently nothing when the stream is over."""
        ...

    async def receive(self) -> bytes | None:
        """Return the next message, None when the stream is over."""
        ...

    async def cut(self) -> None:
        """Break the stream without a word."""
        ...


class _Mailbox:
    """What arrived: reading a gRPC stream must not be cancelled, or the whole call is."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(10_000)
        self._over = False

    async def fill(self, source: AsyncIterator[bytes]) -> None:
        try:
            async for raw in source:
                await self._queue.put(raw)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE and "connect" in (error.details() or "").lower():
                await self._queue.put(Unavailable(f"no bridge answers ({error.details()}); with TLS write grpcs://"))
        except grpc.aio.BaseError:
            pass  # the stream is over, which is said below
        finally:
            self._queue.put_nowait(None)

    async def take(self) -> bytes | None:
        if self._over:
            return None
        found = await self._queue.get()
        if isinstance(found, Exception):
            raise found
        self._over = found is None
        return found


class _GrpcWire:
    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        options = [
            ("grpc.max_receive_message_length", LARGEST),
            ("grpc.max_send_message_length", LARGEST),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self._channel = (
            grpc.aio.insecure_channel(address, options)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options)
        )
        self._call = self._channel.stream_stream(CONNECT)()
        self._mailbox = _Mailbox()
        self._reader = asyncio.create_task(self._mailbox.fill(aiter(self._call)))

    async def send(self, raw: bytes) -> None:
        with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            await self._call.write(raw)

    async def receive(self) -> bytes | None:
        return await self._mailbox.take()

    async def cut(self) -> None:
        self._call.cancel()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._channel.close()


class WebSocketWire:
    """A WebSocket, either end."""

    def __init__(
        self, connection: websockets.asyncio.client.ClientConnection | websockets.asyncio.server.ServerConnection
    ) -> None:
        self._connection = connection
        self.close_code: int | None = None

    async def send(self, raw: bytes) -> None:
        """Write one binary frame."""
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            await self._connection.send(raw)

    async def send_text(self, text: str) -> None:
        """Write what no side may write."""
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            await self._connection.send(text)

    async def receive(self) -> bytes | None:
        """Return the next frame, None at the end."""
        try:
            frame = await self._connection.recv()
        except websockets.exceptions.ConnectionClosed as closed:
            self.close_code = closed.rcvd.code if closed.rcvd else None
            return None
        return frame if isinstance(frame, bytes) else frame.encode()

    async def cut(self) -> None:
        """Break off without the closing handshake."""
        self._connection.transport.abort()


async def open_wire(url: str, *, tls: ssl.SSLContext | None, grpc_tls: grpc.ChannelCredentials | None) -> Wire:
    """Connect as a client would.

    Raises:
        InvalidInput: No such scheme. Unavailable: Nobody listens there.
    """
    scheme, _, rest = url.partition("://")
    match scheme:
        case "grpc" | "grpcs":
            return _GrpcWire(rest, grpc_tls if scheme == "grpcs" else None)
        case "ws" | "wss":
            try:
                return WebSocketWire(
                    await websockets.asyncio.client.connect(
                        url, max_size=LARGEST, ssl=tls if scheme == "wss" else None, proxy=None, compression=None
                    )
                )
            except (OSError, websockets.exceptions.WebSocketException) as exc:
                raise Unavailable(f"no bridge answers at `{url}` ({exc}); with TLS write wss://") from exc
        case _:
            raise InvalidInput(f"`{url}` is no address of a bridge; use grpc://host:port or ws://host:port/bridge")


class _ServerSideGrpcWire:
    def __init__(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes], over: asyncio.Event
    ) -> None:
        self._context, self._over = context, over
        self._mailbox = _Mailbox()
        self.reader = asyncio.create_task(self._mailbox.fill(requests))

    async def send(self, raw: bytes) -> None:
        with contextlib.suppress(grpc.aio.BaseError, asyncio.InvalidStateError):
            await self._context.write(raw)

    async def receive(self) -> bytes | None:
        return await self._mailbox.take()

    async def cut(self) -> None:
        self._over.set()


class Listener:
    """Waits for a client at an address and hands over its streams one after the other.

    Args:
        url: ``grpc://host:port`` or ``ws://host:port/path``; port 0 takes a free one.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"grpc", "ws"} or parts.hostname is None or parts.port is None:
            raise InvalidInput(f"`{url}` is no address to listen on; use grpc://host:port or ws://host:port/bridge")
        self._parts = parts
        self._streams: asyncio.Queue[Wire] = asyncio.Queue(64)
        self._stop: Callable[[], Awaitable[object]] | None = None
        self.url = url

    async def __aenter__(self) -> Self:
        host, port = self._parts.hostname or "", self._parts.port or 0
        if self._parts.scheme == "ws":
            server = await websockets.asyncio.server.serve(
                self._websocket, host, port, max_size=LARGEST, compression=None, close_timeout=0.5
            )
            bound = next(iter(server.sockets)).getsockname()[1]

            async def stop() -> None:
                server.close()
                await server.wait_closed()

            self._stop = stop
        else:
            served = grpc.aio.server(options=[("grpc.max_receive_message_length", LARGEST), ("grpc.so_reuseport", 0)])
            handler = grpc.stream_stream_rpc_method_handler(self._grpc)
            served.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler("bridge.v1.BridgeService", {"Connect": handler}),)
            )
            bound = served.add_insecure_port(f"{host}:{port}")
            await served.start()
            self._stop = lambda: served.stop(0.2)
        self.url = self._parts._replace(netloc=f"{host}:{bound}").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stop is not None:
            await self._stop()

    async def next(self) -> Wire:
        """Wait for the next stream that a client opens."""
        return await self._streams.get()

    async def _websocket(self, connection: websockets.asyncio.server.ServerConnection) -> None:
        await self._streams.put(WebSocketWire(connection))
        await connection.wait_closed()

    async def _grpc(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        over = asyncio.Event()
        wire = _ServerSideGrpcWire(requests, context, over)
        await self._streams.put(wire)
        try:
            await over.wait()
        finally:
            wire.reader.cancel()
            await asyncio.gather(wire.reader, return_exceptions=True)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the stream was cut on purpose")


def response_of(raw: bytes | None) -> bridge_pb2.ConnectResponse | None:
    """Return the message of a server, None at the end of the stream."""
    return None if raw is None else bridge_pb2.ConnectResponse.FromString(raw)


def request_of(raw: bytes | None) -> bridge_pb2.ConnectRequest | None:
    """Return the message of a client, None at the end of the stream."""
    return None if raw is None else bridge_pb2.ConnectRequest.FromString(raw)
