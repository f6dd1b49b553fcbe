"""The one table between errors of the twin, refusals of `bridge.v1` and gRPC status codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import grpc

from bridge.v1 import session_pb2
from twin import errors

if TYPE_CHECKING:
    from bridge.v1 import bridge_pb2


class Row(NamedTuple):
    """One line of the table; the first row whose error fits counts."""

    error: type[errors.TwinError]
    code: session_pb2.RefusalCode.ValueType
    status: grpc.StatusCode
    retry_after_s: float


class VersionMismatch(errors.ProtocolError):
    """The two sides speak no common version of the contract."""


class SceneHeld(errors.Conflict):
    """Another client holds what this one wants to provide; it is free later, or at once with `takeover`.

    Attributes:
        retry_after_s: Wall seconds to wait before trying again.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


TABLE: tuple[Row, ...] = (
    Row(VersionMismatch, session_pb2.REFUSAL_CODE_VERSION, grpc.StatusCode.FAILED_PRECONDITION, 0.0),
    Row(errors.Unauthenticated, session_pb2.REFUSAL_CODE_UNAUTHENTICATED, grpc.StatusCode.UNAUTHENTICATED, 0.0),
    Row(errors.PermissionDenied, session_pb2.REFUSAL_CODE_PERMISSION_DENIED, grpc.StatusCode.PERMISSION_DENIED, 0.0),
    Row(errors.ProtocolError, session_pb2.REFUSAL_CODE_PROTOCOL, grpc.StatusCode.INVALID_ARGUMENT, 0.0),
    Row(errors.Conflict, session_pb2.REFUSAL_CODE_CONFLICT, grpc.StatusCode.ABORTED, 0.0),
    Row(errors.Overloaded, session_pb2.REFUSAL_CODE_OVERLOADED, grpc.StatusCode.RESOURCE_EXHAUSTED, 1.0),
    Row(errors.NotFound, session_pb2.REFUSAL_CODE_NOT_FOUND, grpc.StatusCode.NOT_FOUND, 0.0),
    Row(errors.TooLarge, session_pb2.REFUSAL_CODE_TOO_LARGE, grpc.StatusCode.RESOURCE_EXHAUSTED, 0.0),
    Row(errors.InvalidInput, session_pb2.REFUSAL_CODE_INVALID, grpc.StatusCode.INVALID_ARGUMENT, 0.0),
    Row(errors.DeadlineExceeded, session_pb2.REFUSAL_CODE_UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, 0.5),
    Row(errors.Unavailable, session_pb2.REFUSAL_CODE_UNAVAILABLE, grpc.StatusCode.UNAVAILABLE, 0.5),
    Row(errors.TwinError, session_pb2.REFUSAL_CODE_INTERNAL, grpc.StatusCode.INTERNAL, 0.0),
)

_RAISED: dict[int, type[errors.TwinError]] = {
    session_pb2.REFUSAL_CODE_VERSION: VersionMismatch,
    session_pb2.REFUSAL_CODE_UNAUTHENTICATED: errors.Unauthenticated,
    session_pb2.REFUSAL_CODE_PERMISSION_DENIED: errors.PermissionDenied,
    session_pb2.REFUSAL_CODE_PROTOCOL: errors.ProtocolError,
    session_pb2.REFUSAL_CODE_CONFLICT: errors.Conflict,
    session_pb2.REFUSAL_CODE_OVERLOADED: errors.Overloaded,
    session_pb2.REFUSAL_CODE_INVALID: errors.InvalidInput,
    session_pb2.REFUSAL_CODE_UNAVAILABLE: errors.Unavailable,
    session_pb2.REFUSAL_CODE_TOO_LARGE: errors.TooLarge,
    session_pb2.REFUSAL_CODE_NOT_FOUND: errors.NotFound,
}


def row_of(error: errors.TwinError) -> Row:
    """Return the line of the table for an error."""
    return next(row for row in TABLE if isinstance(error, row.error))


def retry_after_s(error: errors.TwinError) -> float:
    """Return how many wall seconds to wait before trying again; 0 = trying again unchanged does not help."""
    return error.retry_after_s if isinstance(error, SceneHeld) else row_of(error).retry_after_s


def write_refusal(response: bridge_pb2.ConnectResponse, error: errors.TwinError) -> Row:
    """Fill a Refusal and return its line of the table."""
    row = row_of(error)
    response.refusal.code = row.code
    response.refusal.message = str(error)
    response.refusal.retry_after_s = retry_after_s(error)
    return row


def read_refusal(refusal: session_pb2.Refusal) -> errors.TwinError:
    """Return the error that a Refusal stands for.

    :class:`~twin.errors.Unavailable` when trying again may help; :class:`SceneHeld`, which says when, for a scene that
    another client holds.
    """
    if refusal.code == session_pb2.REFUSAL_CODE_CONFLICT and refusal.retry_after_s:
        return SceneHeld(refusal.message, retry_after_s=refusal.retry_after_s)
    kind = _RAISED.get(refusal.code, errors.Unavailable if refusal.retry_after_s else errors.TwinError)
    return kind(refusal.message)
