"""Who holds what of a scene, on a clock of our own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import SceneHeld
from bridge.holdings import Holdings

ALL = frozenset({"MOTION", "KPI", "STATE"})
MOTION, KPI = frozenset({"MOTION"}), frozenset({"KPI"})


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def holdings(clock: Clock | None = None, *, wall_s: float = 0.0) -> Holdings:
    return Holdings(lease_s=10.0, clock=clock or Clock(), wall=lambda: wall_s)


def claim(held: Holdings, who: str, provides: frozenset[str] = ALL, *, takeover: bool = False) -> int:
    return held.claim(who, scene_id="main", provides=provides, takeover=takeover).fencing_number


def test_two_sessions_share_a_scene_when_they_provide_different_things() -> None:
    held = holdings()
    claim(held, "eyes", MOTION)
    claim(held, "brain", KPI)

    assert (held.holder("main", "MOTION"), held.holder("main", "KPI"), held.holder("main", "STATE")) == (
        "eyes",
        "brain",
        None,
    )


def test_one_common_provision_is_a_conflict() -> None:
    held = holdings()
    claim(held, "eyes", MOTION)

    with pytest.raises(SceneHeld, match="MOTION of the scene `main`"):
        claim(held, "all")
    assert held.holder("main", "KPI") is None


def test_the_same_provision_of_another_scene_is_none() -> None:
    held = holdings()
    claim(held, "a")
    held.claim("b", scene_id="other", provides=ALL, takeover=False)

    assert (held.holder("main", "KPI"), held.holder("other", "KPI")) == ("a", "b")


def test_a_lease_runs_from_the_break_and_stops_with_the_resume() -> None:
    clock = Clock()
    held = holdings(clock)
    claim(held, "a")
    clock.now_s += 50
    held.broke("a")
    clock.now_s += 4
    with pytest.raises(SceneHeld) as refused:
        claim(held, "b")
    assert (refused.value.retry_after_s, held.holder("main", "KPI")) == (6.0, "a")
    assert held.resumed("a")
    clock.now_s += 50
    with pytest.raises(SceneHeld) as refused:
        claim(held, "b")
    assert refused.value.retry_after_s == 10.0


def test_after_the_lease_the_scene_is_free_and_who_held_it_cannot_come_back() -> None:
    clock = Clock()
    held = holdings(clock)
    claim(held, "a")
    held.broke("a")
    clock.now_s += 10
    assert (held.holder("main", "KPI"), held.lapsed("a")) == (None, True)

    assert held.claim("b", scene_id="main", provides=ALL, takeover=False).ousted == ("a",)
    assert (held.resumed("a"), held.holder("main", "KPI")) == (False, "b")


def test_who_comes_back_after_the_lease_still_holds_what_nobody_wanted() -> None:
    clock = Clock()
    held = holdings(clock)
    claim(held, "a")
    held.broke("a")
    clock.now_s += 30

    assert (held.resumed("a"), held.holder("main", "KPI")) == (True, "a")


def test_a_takeover_ousts_everybody_who_holds_some_of_it() -> None:
    held = holdings()
    claim(held, "eyes", MOTION)
    claim(held, "brain", KPI)

    assert set(held.claim("all", scene_id="main", provides=ALL, takeover=True).ousted) == {"eyes", "brain"}


@given(st.lists(st.floats(0, 4e9, allow_nan=False), min_size=2, max_size=20))
def test_numbers_grow_whatever_the_wall_clock_does(wall_s: list[float]) -> None:
    times = iter(wall_s)
    held = Holdings(lease_s=10.0, clock=Clock(), wall=lambda: next(times))
    numbers = [claim(held, f"s{i}", takeover=True) for i in range(len(wall_s))]

    assert numbers == sorted(set(numbers))
    assert numbers[0] >= int(wall_s[0] * 1000)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([ALL, MOTION, KPI]), st.booleans()), max_size=30))
def test_nothing_is_ever_held_by_two(claims: list[tuple[str, frozenset[str], bool]]) -> None:
    held = holdings()
    owner: dict[str, str] = {}
    for number, (who, provides, takeover) in enumerate(claims):
        session = f"{who}{number}"
        free = not any(provision in owner for provision in provides)
        try:
            ousted = held.claim(session, scene_id="main", provides=provides, takeover=takeover).ousted
        except SceneHeld:
            assert not free
            assert not takeover
            continue
        owner = {provision: other for provision, other in owner.items() if other not in ousted}
        assert not owner.keys() & provides
        owner |= dict.fromkeys(provides, session)
    assert {p: held.holder("main", p) for p in ALL} == {p: owner.get(p) for p in ALL}
