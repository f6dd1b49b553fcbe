"""What only the status page needs: its files, the map's geometry, a compact live frame, and the inspector.

A face of the running twin beside ``twin_app.api``; everything comes through :class:`MapSource`. Figures are read
from RAM; geometry and the SINR raster are prepared in a worker thread, once, because the event loop never computes.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import FileResponse

from twin.entities import Kind
from twin.errors import InvalidInput, NotFound
from twin.kpi import kpi as kpi_row
from twin_app.page_frames import LiveFrames, raster_frame
from twin_app.page_geometry import map_document
from twin_app.page_inspector import Inspection, inspect_entity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import numpy as np
    from numpy.typing import NDArray

    from twin.ports import Inventory, TelemetryStore
    from twin.scenario import Scenario


class SinrRaster(Protocol):
    """SINR of the strongest cell over the area (:meth:`twin.network.Network.sinr_map` gives one)."""

    @property
    def west_m(self) -> float:
        """East coordinate of the left edge."""
        ...

    @property
    def south_m(self) -> float:
        """North coordinate of the lower edge."""
        ...

    @property
    def cell_m(self) -> float:
        """Edge of a square."""
        ...

    @property
    def sinr_db(self) -> NDArray[np.float32]:
        """``[rows, cols] float32``, row 0 in the south, NaN = nothing heard."""
        ...


class MapSource(Protocol):
    """What the page shows, as the composition root hands it over."""

    @property
    def scenario(self) -> Scenario:
        """The city and its network before time starts."""
        ...

    @property
    def inventory(self) -> Inventory:
        """What exists now, and what time it is."""
        ...

    @property
    def store(self) -> TelemetryStore:
        """The newest figures, from RAM."""
        ...

    async def sinr(self) -> SinrRaster:
        """Return the raster for the current configuration, computed off the event loop."""
        ...


RASTER_MAX_AGE_S = 60.0
"""Simulated seconds after which the SINR raster is computed again, for the load moves."""

STATIC = Path(__file__).parent / "static"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page asks nothing from anywhere else and holds no inline script or style."""

_MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

_FILE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-cache",
}


def _file(name: str) -> FileResponse:
    path = STATIC / name
    media = _MEDIA.get(path.suffix)
    # The route takes one path segment, but an encoded separator or `..` must not leave the folder either.
    if media is None or path.parent != STATIC or path.name != name or not path.is_file():
        raise NotFound(f"the page has no file `{name}`")
    return FileResponse(path, media_type=media, headers=_FILE_HEADERS)


class _OnceBytes:
    """Bytes that are made once per key by one task, however many ask at the same time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._key: object = None
        self._body: tuple[bytes, str] | None = None

    async def get(self, key: object, make: Callable[[], Awaitable[bytes]]) -> tuple[bytes, str]:
        """Return (body, ETag) for the key; makes them if the key is new."""
        async with self._lock:
            if self._body is None or self._key != key:
                body = await make()
                self._key, self._body = key, (body, f'"{hashlib.sha256(body).hexdigest()[:24]}"')
            return self._body


def _conditional(body: bytes, etag: str, if_none_match: str | None, media: str) -> Response:
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    # Compressing proxies mark an ETag as weak (W/"..."); the comparison for GET is weak as well (RFC 9110 13.1.2).
    known = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    if etag in known:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media, headers=headers)


class _Prepared:
    """What is made once for a city."""

    def __init__(self, city: MapSource) -> None:
        self.city = city
        self.frames = LiveFrames(city.scenario)
        self.geometry, self.raster = _OnceBytes(), _OnceBytes()


def page_router(city_of: Callable[..., MapSource], *, guard: Callable[..., object] | None = None) -> APIRouter:
    """Return the routes of the page.

    Args:
        city_of: FastAPI dependency that returns the city that a request is about.
        guard: FastAPI dependency that refuses callers who may not observe; the page's own files stay open, because
            a browser sends no token for them.
    """
    router = APIRouter()
    guarded = [] if guard is None else [Depends(guard)]
    kept: dict[str, _Prepared] = {}

    chosen = Depends(city_of)

    def prepared(city: MapSource = chosen) -> _Prepared:
        scene_id = city.inventory.scene_id
        if scene_id not in kept or kept[scene_id].city is not city:  # new, or removed and added again
            kept[scene_id] = _Prepared(city)
        return kept[scene_id]

    prepare = Depends(prepared)

    @router.get("/", include_in_schema=False)
    async def index() -> FileResponse:  # pyright: ignore[reportUnusedFunction] - registered by the decorator
        return _file("index.html")

    @router.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> FileResponse:  # pyright: ignore[reportUnusedFunction]
        return _file(name)

    @router.get(
        "/v1/map", summary="Streets, buildings, places, sites and cells, once", tags=["page"], dependencies=guarded
    )
    async def geometry_of_city(  # pyright: ignore[reportUnusedFunction]
        ready: _Prepared = prepare,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Coordinates are whole decimetres east and north, each point relative to the one before it."""
        city = ready.city

        async def make() -> bytes:
            return await asyncio.to_thread(map_document, city.scenario, scene_id=city.inventory.scene_id)

        body, etag = await ready.geometry.get(city.scenario.digest, make)
        return _conditional(body, etag, if_none_match, "application/json")

    @router.get(
        "/v1/live",
        summary="Positions of UEs and one KPI per cell, as a binary frame",
        tags=["page"],
        dependencies=guarded,
    )
    async def live(  # pyright: ignore[reportUnusedFunction]
        ready: _Prepared = prepare,
        kpi: Annotated[str, Query(description="KPI of cells, 3GPP name")] = "RRU.PrbTotDl",
        revision: Annotated[int, Query(description="Topology revision that the page knows", ge=-1)] = -1,
        ues: Annotated[int, Query(description="Number of the list of UEs that the page knows", ge=-1)] = -1,
    ) -> Response:
        """The layout is described in ``twin_app/page_frames.py``; poll it a few times a second."""
        if Kind.CELL not in kpi_row(kpi).kinds:
            raise InvalidInput(f"`{kpi}` is not measured per cell; `GET /v1/map` lists those that are")
        city = ready.city
        body = ready.frames.frame(city.inventory, city.store, kpi=kpi, known_revision=revision, known_ues=ues)
        return Response(body, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

    @router.get(
        "/v1/map/sinr",
        summary="SINR raster of the current configuration, as a binary frame",
        tags=["page"],
        dependencies=guarded,
    )
    async def sinr(  # pyright: ignore[reportUnusedFunction]
        ready: _Prepared = prepare,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """One byte per square: SINR = byte / 4 - 30 dB, 255 = nothing heard; row 0 in the south."""
        city = ready.city
        revision = city.inventory.topology.revision
        minute = city.inventory.now_s // RASTER_MAX_AGE_S  # it depends on the load as well

        async def make() -> bytes:
            return await asyncio.to_thread(raster_frame, await city.sinr(), revision=revision)

        body, etag = await ready.raster.get((revision, minute), make)
        return _conditional(body, etag, if_none_match, "application/octet-stream")

    @router.get(
        "/v1/map/entities/{entity_id}",
        summary="One entity in people's words and units",
        tags=["page"],
        dependencies=guarded,
    )
    async def inspector(  # pyright: ignore[reportUnusedFunction]
        entity_id: str, ready: _Prepared = prepare
    ) -> Inspection:
        """Name, attributes, newest KPIs and neighbours of what was clicked."""
        city = ready.city
        return inspect_entity(entity_id, scenario=city.scenario, inventory=city.inventory, store=city.store)

    return router
