"""What is negated, imagined, asked or told is never carried out."""

import numpy as np
import pytest

from agent.corpus import Maker, frames
from agent.guard import has_verb, verdict


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("don't lower the tilt of 7-2", "negated"),
        ("please do not lock cell 7-2", "negated"),
        ("leave the power of 7-2 alone", "negated"),
        ("what would happen if I locked 7-2", "imagined"),
        ("should we raise the power of 7-2 by 3 dB?", "imagined"),
        ("suppose we tilt 7-2 down by two degrees", "imagined"),
        ("would it help to lower the power of 7-2", "imagined"),
        ("who lowered the tilt of 7-2", "asked"),
        ("how do I lock a cell", "asked"),
        ("yesterday we lowered the power by 3 dB", "told"),
        ("the manual says to lower the tilt by 2 degrees", "told"),
    ],
)
def test_it_is_seen_why_not(said: str, why: str) -> None:
    assert verdict(said) == why


@pytest.mark.parametrize(
    "said",
    [
        "lower the tilt of cell 7-2 by two degrees",
        "can you raise the power of 7-2 by 3 dB",
        "please lock cell 7-2",
        "undo the last change",
        "could you please set the tilt of S7-2 to 8 degrees?",
        "two degrees more on 7-2",
    ],
)
def test_a_plain_order_passes(said: str) -> None:
    assert verdict(said) is None


@pytest.mark.parametrize(
    "said",
    [
        "Switch energy saving off at cell 7-2",
        "Turn off energy saving of cell 9-1",
        "switch energy-saving on at cell 7-2",
        "disable the energy saving of cell 7-2",
        "turn the power saving mode of cell 7-2 off",
    ],
)
@pytest.mark.parametrize("tool", ["lock_cell", "unlock_cell"])
def test_the_switch_of_energy_saving_is_no_lock(said: str, tool: str) -> None:
    assert not has_verb(tool, said)


def test_the_orders_of_the_corpus_have_verbs() -> None:
    maker = Maker(np.random.default_rng(3))
    orders = [(label, maker.expand(frame)) for label, frame in frames() if label in {"lock_cell", "unlock_cell"}]
    missing = [text for label, text in orders if not has_verb(label, text)]
    assert len(missing) <= 0.1 * len(orders), missing
