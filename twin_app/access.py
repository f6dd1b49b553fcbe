"""Who may do what: one table of roles and scopes, and the caller made from a request."""

from __future__ import annotations

import getpass
import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

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


SCOPES: dict[Role, frozenset[Scope]] = {
    Role.STUDENT: frozenset({Scope.OBSERVE, Scope.PROPOSE}),
    Role.OPERATOR: frozenset({Scope.OBSERVE, Scope.PROPOSE, Scope.APPROVE}),
    Role.INSTRUCTOR: frozenset({Scope.OBSERVE, Scope.PROPOSE, Scope.APPROVE, Scope.SCENE, Scope.FAULTS}),
    Role.ADMIN: frozenset(Scope),
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


def caller_of(authorization: str | None, tokens: Sequence[TokenSettings]) -> Caller:
    """Return the caller that an Authorization header names.

    Raises:
        Unauthenticated: Tokens are configured and this is none of them.
    """
    if not tokens:
        return local_caller()
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise Unauthenticated("this twin needs a token; send `Authorization: Bearer ...`")
    digest = hashlib.sha256(secret.strip().encode()).hexdigest()
    found = None
    for token in tokens:  # no early exit: equal time for every token
        if hmac.compare_digest(token.sha256.lower(), digest):
            found = token
    if found is None:
        raise Unauthenticated("the token is not known")
    return Caller(name=f"token:{found.name}", scopes=SCOPES[found.role])
