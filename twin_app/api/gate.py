"""The gate before every request: a Host name of ours, own Origin, JSON bodies, bounded size, safe headers.

Together these stop a web page elsewhere from talking to the twin through its visitor's browser (foreign Origin,
DNS rebinding, form posts). There is no CORS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from twin_app.api.problems import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
)


class Gate:
    """ASGI middleware that refuses what the twin must not hear.

    Args:
        names: Host names by which clients may call the twin.
        origins: Pages from elsewhere that may open a WebSocket.
    """

    def __init__(
        self, app: ASGIApp, *, max_body_bytes: int, names: frozenset[str], origins: frozenset[str] = frozenset()
    ) -> None:
        self._app = app
        self._names = names
        self._origins = origins
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer why not."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            status, detail, kind = refusal
            await problem(status, detail, kind=kind)(scope, receive, send)
            return
        received = 0

        async def bounded_receive() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self._max_body_bytes:
                    raise _BodyTooLarge
            return message

        async def safe_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *SAFE_HEADERS]
            await send(message)

        try:
            await self._app(scope, bounded_receive, safe_send)
        except _BodyTooLarge:
            await self._too_large()(scope, receive, send)

    def _too_large(self) -> ASGIApp:
        return problem(413, f"the body is larger than `{self._max_body_bytes}` bytes", kind="TooLarge")

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str] | None:
        host = headers.get("host", "")
        name = _host_name(host)
        if name not in self._names:
            known = ", ".join(sorted(self._names))
            return 403, f"Host `{host}` is not a name of this twin ({known}); TWIN_HTTP__NAMES adds one", "ForeignHost"
        origin = headers.get("origin")
        # Pages that the owner named may speak `bridge.v1`, which has tokens of its own; REST stays our page's alone.
        named = scope["type"] == "websocket" and origin in self._origins
        if origin is not None and _authority(origin) != host.lower() and not named:
            return 403, f"Origin `{origin}` is not this twin; it answers its own page only", "ForeignOrigin"
        if scope["type"] == "http" and scope["method"] in {"POST", "PUT", "PATCH"}:
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                return 415, f"Content-Type `{kind}` is not `application/json`", "NotJson"
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._max_body_bytes:
            return 413, f"the body of `{length}` bytes is larger than `{self._max_body_bytes}`", "TooLarge"
        return None


class _BodyTooLarge(Exception):
    pass


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # such as `http://[::1`
        return None


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
