"""Times as people write them, at the edges of the calendar."""

from datetime import UTC, datetime

import pytest

from twin.clock import CivilTime
from twin.errors import InvalidInput

LUXEMBOURG = CivilTime(epoch=datetime(2026, 1, 1, tzinfo=UTC), timezone="Europe/Luxembourg")


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "-nanm", "-infd", "-1e400s", "nan", "", "-m"],
)
def test_what_no_calendar_holds_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a time"):
        LUXEMBOURG.parse(text, now_s=0.0)


@pytest.mark.parametrize(
    ("text", "sim_time_s"),
    [
        ("2026-01-01T09:00:00+09:00", 0.0),
        ("2026-01-01T01:00:00", 0.0),  # the city's own zone
        ("2026-03-29T03:30:00", 87 * 86_400 + 1.5 * 3_600),  # an hour was skipped that night
        ("-1.5h", -5_400.0),
    ],
)
def test_zones_and_summer_time_are_heeded(text: str, sim_time_s: float) -> None:
    assert LUXEMBOURG.parse(text, now_s=0.0) == sim_time_s
