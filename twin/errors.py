"""The one tree of errors; every room of the house raises from it.

Imports nothing. Adapters translate foreign errors into these at their edge (``raise ... from exc``).
A message says what happened, the value in backticks, and what to do about it.

::

    TwinError
    |-- InvalidInput              the caller sent something that cannot be meant (REST 422)
    |   |-- ScenarioError         a city, site or scenario file, with the line or element at fault
    |   |-- UnknownEntity         no such site, cell, UE ... (REST 404)
    |   |-- UnknownName           no such KPI, attribute, tool, query or alarm
    |   |-- OutOfRange            a value outside the range of its attribute
    |   |-- SceneNotNamed         there are several scenes and none was named (REST 400)
    |   `-- TooLarge              text, message or list above its limit (REST 413)
    |-- NotFound                  a change, question or document that does not exist (REST 404)
    |-- Conflict                  the world moved on (REST 409)
    |   |-- StaleRevision         expected revision is not the current one
    |   |-- DigestMismatch        the approver saw another plan than the one that stands
    |   |-- InvalidTransition     the change is not in a state that allows this
    |   |-- AgainstAdvice         the shadow twin predicts harm and nobody said to go on despite it
    |   |-- Cancelled             somebody called it off before it was done
    |   `-- KeyReused             Idempotency-Key used before with another body (REST 422)
    |-- Unauthenticated           no or wrong token (REST 401)
    |-- PermissionDenied          the caller's role lacks the scope (REST 403)
    |-- Unavailable               a part is away; try again later (REST 503)
    |   |-- SceneUnavailable      no scene is connected
    |   |-- ShadowUnavailable     the shadow twin cannot run: no state, switched off, or its process died
    |   |-- GraphUnavailable      the graph child died or is being rebuilt
    |   |-- StoreUnavailable      the telemetry store or the journal cannot be used
    |   |-- DeadlineExceeded      it took longer than its time-out (REST 504)
    |   `-- Overloaded            a bounded queue is full (REST 429)
    |-- StartError                the twin cannot start
    |   |-- PortInUse
    |   |-- FolderLocked          another twin owns the data folder
    |   |-- FolderMismatch        the data folder was made for another city
    |   `-- CorruptStore          a file in the data folder cannot be read
    |-- ProtocolError             a peer broke the rules of bridge.v1
    `-- MissingExtra              an optional part is not installed
"""

from __future__ import annotations


class TwinError(Exception):
    """Anything that this project raises on purpose."""


class InvalidInput(TwinError):
    """The caller sent something that cannot be meant."""


class ScenarioError(InvalidInput):
    """A city, site or scenario file is wrong; the message names the file and the line or element."""


class UnknownEntity(InvalidInput):
    """No entity has this id, name or alias.

    Attributes:
        candidates: The nearest ids, best first; may be empty.
    """

    def __init__(self, message: str, *, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.candidates = candidates


class UnknownName(InvalidInput):
    """No KPI, attribute, tool or query has this name."""


class OutOfRange(InvalidInput):
    """A value lies outside the range of its attribute."""


class SceneNotNamed(InvalidInput):
    """There are several scenes and none was named; the message lists them."""


class TooLarge(InvalidInput):
    """Text, message or list above its limit."""


class NotFound(TwinError):
    """A change, question or document that does not exist."""


class Conflict(TwinError):
    """The world moved on since the caller last looked."""


class StaleRevision(Conflict):
    """The expected revision is not the current one."""


class DigestMismatch(Conflict):
    """The approver saw another plan than the one that stands."""


class InvalidTransition(Conflict):
    """The change is not in a state that allows this."""


class AgainstAdvice(Conflict):
    """The shadow twin predicts harm and nobody said to go on despite it."""


class Cancelled(Conflict):
    """Somebody called it off before it was done."""


class KeyReused(Conflict):
    """An Idempotency-Key was used before with another body."""


class Unauthenticated(TwinError):
    """No token, or a wrong one."""


class PermissionDenied(TwinError):
    """The caller's role lacks the scope."""


class Unavailable(TwinError):
    """A part is away; the same call may succeed later."""


class SceneUnavailable(Unavailable):
    """No scene is connected that could do this."""


class ShadowUnavailable(Unavailable):
    """The shadow twin cannot run: no state, switched off, or its process died."""


class GraphUnavailable(Unavailable):
    """The graph process died or is being rebuilt."""


class StoreUnavailable(Unavailable):
    """The telemetry store or the journal cannot be used."""


class DeadlineExceeded(Unavailable):
    """It took longer than its time-out."""


class Overloaded(Unavailable):
    """A bounded queue is full."""


class StartError(TwinError):
    """The twin cannot start."""


class PortInUse(StartError):
    """Another program listens on the port."""


class FolderLocked(StartError):
    """Another twin owns the data folder."""


class FolderMismatch(StartError):
    """The data folder was made for another city."""


class CorruptStore(StartError):
    """A file in the data folder cannot be read."""


class ProtocolError(TwinError):
    """A peer broke the rules of bridge.v1."""


class MissingExtra(TwinError):
    """An optional part is not installed; the message names the extra."""
