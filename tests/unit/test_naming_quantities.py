"""Numbers, units, and whether they are a place to go to or a way to go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.corpus import CIVIL, NOW_S
from twin.naming import NameIndex, QuantityMention, link
from twin.topology import Topology

EMPTY = NameIndex(Topology([], revision=1))


def quantity(text: str) -> tuple[float, str, str, int]:
    (found,) = link(text, EMPTY, civil=CIVIL, now_s=NOW_S).of(QuantityMention)
    return found.value, found.unit, found.mode, found.direction


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("set the tilt to 8 degrees", (8.0, "deg", "absolute", 0)),
        ("two degrees more", (2.0, "deg", "relative", 1)),
        ("lower the tilt by two degrees", (2.0, "deg", "relative", -1)),
        ("raise the power by 3 dB", (3.0, "dB", "relative", 1)),
        ("set the power to 43 dBm", (43.0, "dBm", "absolute", 0)),
        ("to twenty watts", (20.0, "W", "absolute", 0)),
        ("minus 2 degrees", (-2.0, "deg", "bare", 0)),
        ("half a degree less", (0.5, "deg", "relative", -1)),
        ("one and a half degrees more", (1.5, "deg", "relative", 1)),
        ("a couple of dB down", (2.0, "dB", "relative", -1)),
        ("reduce it by 20 percent", (20.0, "%", "relative", -1)),
        ("two point five dB more", (2.5, "dB", "relative", 1)),
        ("within 300 metres", (300.0, "m", "bare", 0)),
        ("4°", (4.0, "deg", "bare", 0)),
    ],
)
def test_a_quantity_is_read_with_unit_mode_and_direction(said: str, meant: tuple[float, str, str, int]) -> None:
    assert quantity(said) == meant


@given(st.integers(0, 999), st.sampled_from(["deg", "dB", "dBm"]))
def test_every_number_is_read_back(number: int, unit: str) -> None:
    assert quantity(f"to {number} {unit}")[:2] == (float(number), unit)


@given(st.text(max_size=200))
def test_no_text_breaks_the_linker(text: str) -> None:
    linked = link(text, EMPTY, civil=CIVIL, now_s=NOW_S)
    assert all(0 <= mention.span[0] <= mention.span[1] <= len(text) for mention in linked.mentions)
