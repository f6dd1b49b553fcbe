"""How a client reaches the twin: addresses, encryption, and the two ways to carry the same bytes.

A wire takes and gives serialized envelopes; it knows nothing of what they mean. Whatever goes wrong on it is
:class:`~twin.errors.Unavailable`: who holds the stream decides whether to come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import grpc
import grpc.aio

from bridge.access import is_loopback
from bridge.codec import MAX_MESSAGE_BYTES
from bridge.stream import CHANNEL_OPTIONS, CONNECT_METHOD
from twin.errors import InvalidInput, ProtocolError, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 0.5
_PLAIN_PORTS = {"ws": 80, "wss": 443}
_SCHEMES = ("grpc", "grpcs", "ws", "wss")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """What a client needs for an encrypted stream, PEM.

    Attributes:
        ca: Authorities whose certificates are trusted, such as that of `twin certs dev`; None = those of the system.
        certificate: The client's own certificate chain, for a twin that asks for one (mutual TLS).
        key: Its private key.
    """

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise InvalidInput("a client certificate needs its private key, and the other way round; give both or none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a twin listens.

    Attributes:
        target: `host:port` for gRPC, the whole URL for WebSocket.
    """

    scheme: str
    target: str
    host: str

    @property
    def secure(self) -> bool:
        """Whether the stream is encrypted."""
        return self.scheme.endswith("s") and self.scheme != "ws"

    @property
    def loopback(self) -> bool:
        """Whether the twin is on this machine."""
        return is_loopback(self.host)


def parse_address(url: str, *, tls: ClientTls | None = None) -> Address:
    """Return the address in `host:port`, `grpc://`, `grpcs://`, `ws://` or `wss://`; no scheme is gRPC.

    Raises:
        InvalidInput: It cannot be meant, or certificates come with an address that says unencrypted.
    """
    scheme = url.partition("://")[0] if "://" in url else ("grpcs" if tls else "grpc")
    parts = urlsplit(url if "://" in url else f"{scheme}://{url}")
    try:
        host, port = parts.hostname or "", parts.port or _PLAIN_PORTS.get(scheme, 0)
    except ValueError:
        host, port = "", 0
    if scheme not in _SCHEMES or not host or not port or parts.username or parts.query:
        raise InvalidInput(
            f"`{url}` is no address of a twin; write host:port, grpc://host:port, grpcs://host:port,"
            " ws://host:port/bridge or wss://host:port/bridge"
        )
    address = Address(
        scheme=scheme,
        target=f"{scheme}://{parts.netloc}{parts.path if parts.path not in {'', '/'} else '/bridge'}"
        if scheme.startswith("ws")
        else f"[{host}]:{port}"
        if ":" in host
        else f"{host}:{port}",
        host=host,
    )
    if tls is not None and not address.secure:
        raise InvalidInput(f"certificates are given, but `{url}` says unencrypted; write grpcs:// or wss://")
    return address


class Wire(Protocol):
    """An open stream."""

    async def send(self, envelope: bytes) -> None:
        """Write one serialized ConnectRequest.

        Raises:
            Unavailable: The stream is over.
        """
        ...

    def received(self) -> AsyncGenerator[bytes]:
        """Return the serialized ConnectResponses as they come, until the twin ends the stream.

        Raises:
            Unavailable: The stream broke. ProtocolError: Something came that is no message.
        """
        ...


@contextlib.asynccontextmanager
async def open_wire(address: Address, tls: ClientTls | None = None) -> AsyncGenerator[Wire]:
    """Open a stream to the twin; it is closed when the block ends.

    Raises:
        Unavailable: Nobody answers there, or the certificates do not fit.
    """
    if address.scheme.startswith("ws"):
        async with _websocket_wire(address, tls) as wire:
            yield wire
    else:
        async with _grpc_wire(address, tls) as wire:
            yield wire


class _GrpcWire:
    def __init__(self, stream: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        self._stream = stream

    async def send(self, envelope: bytes) -> None:
        try:
            await self._stream.write(envelope)
        except asyncio.InvalidStateError:
            raise Unavailable("the twin ended the stream") from None
        except grpc.aio.AioRpcError as exc:
            raise Unavailable(exc.details() or exc.code().name) from exc

    async def received(self) -> AsyncGenerator[bytes]:
        try:
            async for envelope in self._stream:
                yield envelope
        except grpc.aio.AioRpcError as exc:
            raise Unavailable(exc.details() or exc.code().name) from exc


@contextlib.asynccontextmanager
async def _grpc_wire(address: Address, tls: ClientTls | None) -> AsyncGenerator[Wire]:
    options = [*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
    if address.loopback:
        options.append(("grpc.enable_http_proxy", 0))
    if address.secure:
        tls = tls or ClientTls()
        credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)
        channel = grpc.aio.secure_channel(address.target, credentials, options=options)
    else:
        channel = grpc.aio.insecure_channel(address.target, options=options)
    async with channel:
        yield _GrpcWire(channel.stream_stream(CONNECT_METHOD)())


@contextlib.asynccontextmanager
async def _websocket_wire(address: Address, tls: ClientTls | None) -> AsyncGenerator[Wire]:
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, WebSocketException

    class WebSocketWire:
        def __init__(self, socket: ClientConnection) -> None:
            self._socket = socket

        async def send(self, envelope: bytes) -> None:
            try:
                await self._socket.send(envelope)
            except ConnectionClosed as exc:
                raise Unavailable(_closed(exc)) from exc

        async def received(self) -> AsyncGenerator[bytes]:
            try:
                while True:
                    message = await self._socket.recv()
                    if isinstance(message, str):
                        raise ProtocolError("the twin sent text over WebSocket; every message is one binary frame")
                    yield message
            except ConnectionClosedOK:
                return
            except ConnectionClosed as exc:
                raise Unavailable(_closed(exc)) from exc

    def _closed(exc: ConnectionClosed) -> str:
        return f"the WebSocket was closed: {exc}"

    try:
        context = await asyncio.to_thread(_ssl_context, tls) if address.secure else None
        socket = await connect(
            address.target,
            ssl=context,
            compression=None,  # packed floats do not shrink
            max_size=MAX_MESSAGE_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,  # both sides have heartbeats of their own
            proxy=None if address.loopback else True,
        )
    except (OSError, TimeoutError, WebSocketException) as exc:
        raise Unavailable(f"no stream to `{address.target}`: {exc or type(exc).__name__}") from exc
    try:
        yield WebSocketWire(socket)
    finally:
        await socket.close()


def _ssl_context(tls: ClientTls | None) -> ssl.SSLContext:
    tls = tls or ClientTls()
    try:
        context = ssl.create_default_context(cadata=tls.ca.decode() if tls.ca else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if tls.certificate is not None and tls.key is not None:
            # The standard library reads a client's certificate from files only.
            with tempfile.TemporaryDirectory() as folder:
                chain, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
                chain.write_bytes(tls.certificate)
                key.touch(mode=0o600)
                key.write_bytes(tls.key)
                context.load_cert_chain(chain, key)
    except (ssl.SSLError, ValueError) as exc:
        raise InvalidInput(f"the certificates cannot be used ({exc}); give them as PEM") from exc
    return context
