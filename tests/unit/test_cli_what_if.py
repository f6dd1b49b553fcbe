"""What people type after `twin what-if`, and how a shadow twin reads on the terminal."""

import pytest

from twin.errors import InvalidInput
from twin_app.cli_what_if import action_of, shadow_in_words


@pytest.mark.parametrize(
    ("typed", "attribute", "value"),
    [
        ("cell-7-2 tilt 8", "digitalTilt", 80.0),
        ("cell-7-2 electrical tilt 8.5 deg", "digitalTilt", 85.0),
        ("cell-7-2 digitalTilt 80", "digitalTilt", 80.0),
        ("cell-7-2 power 43", "configuredMaxTxPower", 19_953.0),
        ("cell-7-2 power 43dBm", "configuredMaxTxPower", 19_953.0),
        ("cell-7-2 configuredmaxtxpower 20000", "configuredMaxTxPower", 20_000.0),
        ("cell-7-2 a3 hysteresis 2 dB", "hysteresis", 4.0),
        ("cell-7-2 hysteresis 4", "hysteresis", 4.0),  # the 3GPP name, so its unit: 0.5 dB
        ("cell-7-2 lock", "administrativeState", "LOCKED"),
        ("cell-7-2 UNLOCK", "administrativeState", "UNLOCKED"),
        ("cell-7-2 administrativeState locked", "administrativeState", "LOCKED"),
        ("relation-7-2-8-1 cellIndividualOffset -3", "cellIndividualOffset", -3.0),
    ],
)
def test_a_change_is_read_in_everyday_and_in_3gpp_units(typed: str, attribute: str, value: float | str) -> None:
    assert action_of(typed) == {"entity": typed.split(maxsplit=1)[0], "attribute": attribute, "value": value}


@pytest.mark.parametrize("typed", ["", "cell-7-2", "cell-7-2 tilt", "cell-7-2 colour blue", "cell-7-2 tilt much"])
def test_what_cannot_be_read_is_refused_with_the_way_out(typed: str) -> None:
    with pytest.raises(InvalidInput, match=r"cannot be read|no number"):
        action_of(typed)


@pytest.mark.parametrize(
    ("shadow", "said"),
    [
        (None, []),
        ({"state": "running", "progress": 0.25}, ["being tried out, 25%"]),
        ({"state": "unavailable", "reason": "no scene"}, ["not tried out: no scene"]),
        (
            {"state": "done", "advice": "harmful", "fidelity": "approximate", "in_words": ["a", "b", "c", "d"]},
            ["the shadow twin advises AGAINST it", "only approximate", "a", "b", "c"],
        ),
    ],
)
def test_a_shadow_is_said_in_words(shadow: dict[str, object] | None, said: list[str]) -> None:
    assert shadow_in_words({"shadow": shadow}) == said
