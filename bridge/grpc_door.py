"""The first way in: gRPC, plain on loopback, with TLS elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from bridge.access import is_loopback, missing_for_others
from bridge.errors import row_of
from bridge.stream import CHANNEL_OPTIONS
from bridge.unary import bearer, unary_handlers
from twin.errors import PortInUse, StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridge.access import Doorkeeper, TlsFiles
    from bridge.health import Tally
    from bridge.server import BridgeServer
    from twin.ports import SceneLink

CLOSE_GRACE_S = 0.5
STUCK_S = 30.0
"""How long a call whose client does not read is kept, so that it learns why it was ended when it reads again."""


def check_exposure(host: str, *, tls: TlsFiles | None, doorkeeper: Doorkeeper) -> None:
    """Refuse to listen where others could read along or walk in.

    Raises:
        StartError: No loopback name, and TLS or tokens are missing.
    """
    if is_loopback(host):
        return
    missing = missing_for_others(tls=tls, doorkeeper=doorkeeper)
    if missing:
        raise StartError(
            f"the bridge does not listen on `{host}` yet: other machines could reach it, which needs"
            f" {missing}; or listen on 127.0.0.1"
        )


class GrpcDoor:
    """A gRPC server in front of a bridge."""

    def __init__(self, bridge: BridgeServer, orders: SceneLink, doorkeeper: Doorkeeper, tally: Tally) -> None:
        self._bridge = bridge
        self._orders = orders
        self._doorkeeper = doorkeeper
        self._tally = tally
        self._server: grpc.aio.Server | None = None

    async def open(self, host: str, port: int, *, tls: TlsFiles | None, max_message_bytes: int) -> int:
        """Listen and return the bound port.

        Raises:
            PortInUse: Another program listens there. StartError: The certificate cannot be used.
        """
        server = grpc.aio.server(
            options=[
                *(option for option in CHANNEL_OPTIONS if option[0] != "grpc.max_receive_message_length"),
                # Twice the limit comes through, so that the refusal of what is too large is ours, with its reason.
                ("grpc.max_receive_message_length", 2 * max_message_bytes),
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        )
        handlers: dict[str, Any] = {
            "Connect": grpc.stream_stream_rpc_method_handler(self._connect),
            **unary_handlers(self._bridge, self._orders, doorkeeper=self._doorkeeper, tally=self._tally),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bridge.v1.BridgeService", handlers),))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = server.add_insecure_port(address) if tls is None else _add_secure_port(server, address, tls)
        except RuntimeError as exc:
            raise PortInUse(
                f"the bridge cannot listen on port `{port}` of {host}: another program holds it;"
                " stop that program or choose another port (0 takes a free one)"
                + ("" if tls is None else ", or the certificate and the key do not belong together")
            ) from exc
        await server.start()
        self._server = server
        return bound

    async def close(self) -> None:
        """Stop listening; calls under way get a moment to end."""
        if self._server is not None:
            await self._server.stop(grace=CLOSE_GRACE_S)
            self._server = None

    async def _connect(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        under_way: asyncio.Future[None] | None = None

        async def write(raw: bytes) -> None:
            nonlocal under_way
            # The core takes one write at a time and knows no way to take one back: who is cancelled here leaves it
            # under way, and the next one waits for it.
            try:
                if under_way is not None and not under_way.done():
                    await asyncio.shield(under_way)
                under_way = asyncio.ensure_future(context.write(raw))
                under_way.add_done_callback(_let_go)  # who waits for it may be cancelled before it fails
                await asyncio.shield(under_way)
            except grpc.aio.BaseError as error:
                raise ConnectionResetError("the client is gone") from error

        error = await self._bridge.serve_stream(requests, write, peer=context.peer(), credentials=bearer(context))
        if under_way is not None and not under_way.done():
            await asyncio.wait({under_way}, timeout=STUCK_S)
            if not under_way.done():
                raise asyncio.CancelledError  # the client does not read, so no status reaches it: the call is let go
        if error is not None:
            await context.abort(row_of(error).status, str(error))


def _let_go(written: asyncio.Future[None]) -> None:
    """Take note of how a write ended that nobody waits for."""
    if not written.cancelled():
        written.exception()


def _add_secure_port(server: grpc.aio.Server, address: str, tls: TlsFiles) -> int:
    if b"-----BEGIN" not in tls.certificate or b"-----BEGIN" not in tls.key:
        raise StartError("the certificate or key of the bridge is no PEM text; `twin certs dev` makes a pair")
    credentials = grpc.ssl_server_credentials(
        [(tls.key, tls.certificate)],
        root_certificates=tls.client_ca,
        require_client_auth=tls.client_ca is not None,
    )
    return server.add_secure_port(address, credentials)
