"""Puts the REST face together."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route, WebSocketRoute

from bridge.gateway import WebSocketGateway
from twin_app.api import problems, routes_act, routes_command, routes_media, routes_read, routes_scenes
from twin_app.api.deps import city_of, observer
from twin_app.api.gate import Gate
from twin_app.exposure import LOOPBACK_NAMES
from twin_app.page_api import page_router

if TYPE_CHECKING:
    from twin_app.running import Twin


BRIDGE_PATH = "/bridge"
"""Where `bridge.v1` is spoken over WebSocket."""


def create_app(twin: Twin, *, names: frozenset[str] = LOOPBACK_NAMES) -> FastAPI:
    """Return the application that serves this twin to callers who know it by one of the names."""
    app = FastAPI(
        title="Twin6G",
        version=version("twin6g"),
        summary="A digital twin of a 6G radio network that you can ask and change.",
        description="Facts use simulated time (RFC 3339, the city's zone). Errors are RFC 9457 problems.",
        docs_url=None,  # its page loads scripts from elsewhere; `/openapi.json` is here
        redoc_url=None,
    )
    app.state.twin = twin
    problems.install(app)
    app.include_router(routes_read.router)
    app.include_router(routes_act.router)
    app.include_router(routes_command.router)
    app.include_router(routes_media.router)
    app.include_router(routes_scenes.router)
    app.include_router(page_router(city_of, guard=observer))
    gateway = WebSocketGateway(twin.bridge)
    app.router.routes += [WebSocketRoute(BRIDGE_PATH, gateway), Route(BRIDGE_PATH, gateway, include_in_schema=False)]
    app.add_middleware(GZipMiddleware, minimum_size=2_000)
    app.add_middleware(
        Gate,
        max_body_bytes=twin.settings.http.max_body_bytes,
        names=names,
        origins=frozenset(twin.settings.http.origins),
    )
    return app
