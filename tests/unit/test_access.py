"""Roles, scopes and tokens."""

import hashlib
import itertools

import pytest

from twin.errors import PermissionDenied, Unauthenticated
from twin_app.access import SCOPES, Door, Role, Scope, local_caller
from twin_app.settings import TokenSettings

ANN = TokenSettings(name="ann", role=Role.STUDENT, sha256=hashlib.sha256(b"secret").hexdigest())
BOB = TokenSettings(name="bob", role=Role.OPERATOR, sha256=hashlib.sha256(b"other").hexdigest())


def test_without_tokens_the_local_user_may_do_everything() -> None:
    caller = Door().caller_of(None)

    assert (caller.local, caller.scopes) == (True, frozenset(Scope))
    assert caller == local_caller()


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic secret", "secret"])
def test_with_tokens_anything_else_is_refused(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        Door((ANN, BOB)).caller_of(header)


def test_a_token_gives_its_role_and_nothing_more() -> None:
    caller = Door((BOB, ANN)).caller_of("bearer secret")

    assert (caller.name, caller.local, caller.scopes) == ("token:ann", False, SCOPES[Role.STUDENT])
    caller.need(Scope.PROPOSE)
    with pytest.raises(PermissionDenied, match="approve"):
        caller.need(Scope.APPROVE)


def test_every_role_has_what_the_one_below_it_has() -> None:
    ladder = [SCOPES[role] for role in (Role.STUDENT, Role.OPERATOR, Role.INSTRUCTOR, Role.ADMIN)]

    assert all(low < high for low, high in itertools.pairwise(ladder))


def test_the_bridge_lets_in_whom_the_token_names() -> None:
    guest = Door((BOB, ANN)).admit("other")

    assert (guest.name, guest.scopes) == ("token:bob", frozenset({"observe", "propose", "approve"}))


@pytest.mark.parametrize("token", ["", "wrong"])
def test_the_bridge_lets_nobody_in_without_a_known_token(token: str) -> None:
    with pytest.raises(Unauthenticated):
        Door((ANN,)).admit(token)


def test_the_twins_own_scenes_may_show_and_watch_and_nothing_else() -> None:
    door = Door((ANN,))

    guest = door.admit(door.child_token)

    assert (guest.name, guest.scopes) == ("twin:scene", frozenset({"observe", "scene"}))
    assert door.child_token != Door((ANN,)).child_token
