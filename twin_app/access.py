"""Who may do what: one table of roles and scopes, and the caller made from a request."""

from __future__ import annotations

import getpass
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from bridge.access import Guest
from twin.errors import PermissionDenied, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin_app.settings import TokenSettings


class Scope(StrEnum):
    """One right."""

    OBSERVE = "observe"
    PROPOSE = "propose"
    APPROVE = "approve"
    SCENE = "scene"
    FAULTS = "faults"
    ADMIN = "admin"


class Role(StrEnum):
    """A set of rights."""

    STUDENT = "student"
    OPERATOR = "operator"
    INSTRUCTOR = "instructor"
    ADMIN = "admin"
    SCENE = "scene"
    """For programs that show a world, such as a Unity build: they watch and show, nothing else."""


SCOPES: dict[Role, frozenset[Scope]] = {
    Role.STUDENT: frozenset({Scope.OBSERVE, Scope.PROPOSE}),
    Role.OPERATOR: frozenset({Scope.OBSERVE, Scope.PROPOSE, Scope.APPROVE}),
    Role.INSTRUCTOR: frozenset({Scope.OBSERVE, Scope.PROPOSE, Scope.APPROVE, Scope.SCENE, Scope.FAULTS}),
    Role.ADMIN: frozenset(Scope),
    Role.SCENE: frozenset({Scope.OBSERVE, Scope.SCENE}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who asks something of the twin.

    Attributes:
        name: `local:<os user>` or `token:<name>`; goes into the journal.
        local: The user at this machine, without a token.
    """

    name: str
    scopes: frozenset[Scope]
    local: bool = False

    def need(self, scope: Scope) -> None:
        """Raise PermissionDenied unless the caller has the scope."""
        if scope not in self.scopes:
            raise PermissionDenied(
                f"`{self.name}` lacks the scope `{scope.value}`; ask an administrator for a role with it"
            )


def local_caller() -> Caller:
    """Return the user of this machine, who may do everything."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a passwd entry
        user = "user"
    return Caller(name=f"local:{user}", scopes=frozenset(Scope), local=True)


class Door:
    """Knows the tokens: the doorkeeper of REST and, as :class:`bridge.access.Doorkeeper`, of the bridge.

    Attributes:
        child_token: Secret of the scene processes that this twin starts itself; new with every start.
    """

    def __init__(self, tokens: Sequence[TokenSettings] = ()) -> None:
        self._tokens = tuple(tokens)
        self.child_token = secrets.token_urlsafe(32)

    @property
    def needs_token(self) -> bool:
        """Whether nobody comes in without a token."""
        return bool(self._tokens)

    def caller_of(self, authorization: str | None) -> Caller:
        """Return the caller that an Authorization header names.

        Raises:
            Unauthenticated: Tokens are configured and this is none of them.
        """
        if not self._tokens:
            return local_caller()
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Unauthenticated("this twin needs a token; send `Authorization: Bearer ...`")
        return self._caller(secret.strip())

    def admit(self, token: str) -> Guest:
        """Return who comes to the bridge with this token.

        Raises:
            Unauthenticated: Tokens are configured and this is none of them.
        """
        if not self._tokens:
            caller = local_caller()
        elif not token:
            raise Unauthenticated("this twin needs a token; put it into Hello (`twin token add` makes one)")
        else:
            caller = self._caller(token)
        return Guest(name=caller.name, scopes=frozenset(scope.value for scope in caller.scopes))

    def _caller(self, secret: str) -> Caller:
        digest = digest_of(secret)
        found: Caller | None = None
        if hmac.compare_digest(digest_of(self.child_token), digest):
            found = Caller(name="twin:scene", scopes=SCOPES[Role.SCENE])
        for token in self._tokens:  # no early exit: equal time for every token
            if hmac.compare_digest(token.sha256.lower(), digest):
                found = Caller(name=f"token:{token.name}", scopes=SCOPES[token.role])
        if found is None:
            raise Unauthenticated("the token is not known")
        return found


def digest_of(secret: str) -> str:
    """Return what is stored of a token: its SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()
