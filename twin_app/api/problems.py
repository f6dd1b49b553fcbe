"""Errors as RFC 9457 problem+json: the one table from the tree of errors to HTTP."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from twin import errors

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

STATUS: tuple[tuple[type[errors.TwinError], int], ...] = (
    (errors.UnknownEntity, 404),
    (errors.SceneNotNamed, 400),
    (errors.TooLarge, 413),
    (errors.InvalidInput, 422),
    (errors.NotFound, 404),
    (errors.KeyReused, 422),
    (errors.Conflict, 409),
    (errors.Unauthenticated, 401),
    (errors.PermissionDenied, 403),
    (errors.DeadlineExceeded, 504),
    (errors.Overloaded, 429),
    (errors.Unavailable, 503),
    (errors.MissingExtra, 501),
    (errors.TwinError, 500),
)
"""First match wins, so the narrow ones stand first."""

MEDIA_TYPE = "application/problem+json"

_log = structlog.get_logger("twin_app.api")


def status_of(error: errors.TwinError) -> int:
    """Return the HTTP status of an error."""
    return next(status for kind, status in STATUS if isinstance(error, kind))


def problem(status: int, detail: str, *, kind: str, **more: Any) -> JSONResponse:
    """Return an RFC 9457 response; `kind` is the error's name, stable for programs."""
    body = {
        "type": f"urn:twin6g:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **more,
    }
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""

    async def known(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, errors.TwinError)  # noqa: S101  (registered for this type only)
        more: dict[str, Any] = {}
        if isinstance(error, errors.UnknownEntity) and error.candidates:
            more["candidates"] = list(error.candidates)
        return problem(status_of(error), str(error), kind=type(error).__name__, **more)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        faults = [
            {"at": ".".join(str(part) for part in fault["loc"]), "message": fault["msg"]} for fault in error.errors()
        ]
        detail = "; ".join(f"`{fault['at']}`: {fault['message']}" for fault in faults)
        return problem(422, detail, kind="InvalidInput", errors=faults)

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101
        return problem(error.status_code, str(error.detail), kind="Http")

    async def unknown(request: Request, error: Exception) -> JSONResponse:
        _log.error("request_failed", path=request.url.path, exc_info=error)
        return problem(500, "something went wrong inside the twin; its log has the details", kind="Internal")

    app.add_exception_handler(errors.TwinError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unknown)
