"""The credit window follows the age of what arrives."""

import math

from hypothesis import given
from hypothesis import strategies as st

from bridge.window import LATE_S, CreditWindow

FRESH_S, OLD_S = LATE_S / 4, LATE_S * 4


def narrow_line(window: CreditWindow, *, most: int, seconds_a_message: float, messages: int) -> list[float]:
    """Play a sender that always has something new and a line that carries one message after the other."""
    under_way: list[float] = []
    credits_left, now_s = most, 0.0
    ages: list[float] = []
    for _ in range(messages):
        while credits_left:
            under_way.append(now_s)
            credits_left -= 1
        now_s += seconds_a_message
        age_s = now_s - under_way.pop(0)
        ages.append(age_s)
        credits_left += window.arrived(age_s)
        if not under_way and not credits_left:
            raise AssertionError("the sender may never send again")
    return ages


def test_on_a_wide_line_the_window_stays_as_it_is() -> None:
    window = CreditWindow(16)

    given_back = sum(window.arrived(FRESH_S) for _ in range(1600))

    assert window.size == 16
    assert 1600 - 8 < given_back <= 1600


def test_an_unknown_age_counts_as_fresh() -> None:
    window = CreditWindow(16)
    for _ in range(100):
        window.arrived(math.nan)

    assert window.size == 16


def test_on_a_narrow_line_only_one_message_is_under_way_soon() -> None:
    ages = narrow_line(CreditWindow(16), most=16, seconds_a_message=0.5, messages=60)

    assert max(ages[:20]) > 7.0
    assert max(ages[40:]) <= 1.01


def test_a_line_that_becomes_wide_again_gets_its_credits_back() -> None:
    window = CreditWindow(16)
    narrow_line(window, most=16, seconds_a_message=0.5, messages=60)
    for _ in range(400):
        window.arrived(FRESH_S)

    assert window.size == 16


@given(st.lists(st.sampled_from([FRESH_S, OLD_S, math.nan]), max_size=300), st.integers(1, 64))
def test_the_sender_never_has_more_than_the_most_and_never_stands_still(ages: list[float], most: int) -> None:
    window = CreditWindow(most)
    under_way = most
    for age_s in ages:
        under_way += window.arrived(age_s) - 1
        assert 1 <= under_way <= most
        assert 1 <= window.size <= most
