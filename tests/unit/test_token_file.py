"""`twin token`: hashes on the disk, the token itself nowhere."""

import stat
from pathlib import Path

import pytest

from twin.errors import Conflict, CorruptStore, InvalidInput, NotFound, Unauthenticated
from twin_app.access import Door, Role
from twin_app.token_file import TokenFile


def test_a_token_opens_the_door_until_it_is_removed(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    secret = file.add("ann", Role.STUDENT)

    assert Door(file.read()).admit(secret).name == "token:ann"

    file.add("bob", Role.OPERATOR)
    file.remove("ann")
    with pytest.raises(Unauthenticated):
        Door(file.read()).admit(secret)


def test_the_file_holds_no_token_and_is_its_owners_alone(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    secret = file.add("ann", Role.STUDENT)

    assert secret not in file.path.read_text()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 65])
def test_a_name_that_nobody_could_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        TokenFile(tmp_path).add(name, Role.STUDENT)


def test_a_second_token_of_the_same_name_is_refused(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    file.add("ann", Role.STUDENT)

    with pytest.raises(Conflict, match="twin token remove ann"):
        file.add("ann", Role.ADMIN)


def test_removing_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    file.add("ann", Role.STUDENT)

    with pytest.raises(NotFound, match="ann"):
        file.remove("bob")


def test_a_broken_file_lets_nobody_in(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    file.path.write_text("[{]")

    with pytest.raises(CorruptStore):
        file.read()
