"""Time phrases in civil time of the city; now is Saturday 2026-11-21 14:05 in Berlin."""

from datetime import UTC, datetime

import pytest

from twin.clock import CivilTime
from twin.naming import NameIndex, TimeMention, link
from twin.topology import Topology

CIVIL = CivilTime(epoch=datetime(2026, 11, 7, 13, 5, tzinfo=UTC), timezone="Europe/Berlin")
NOW_S = 14 * 86_400.0
EMPTY = NameIndex(Topology([], revision=1))


def windows(text: str) -> list[tuple[str, str]]:
    found = link(text, EMPTY, civil=CIVIL, now_s=NOW_S).of(TimeMention)
    return [(CIVIL.rfc3339(t.start_s)[:16], CIVIL.rfc3339(t.end_s)[:16]) for t in found]


NOW = "2026-11-21T14:05"


@pytest.mark.parametrize(
    ("said", "start", "end"),
    [
        ("in the last ten minutes", "2026-11-21T13:55", NOW),
        ("over the past hour", "2026-11-21T13:05", NOW),
        ("last half hour", "2026-11-21T13:35", NOW),
        ("past couple of hours", "2026-11-21T12:05", NOW),
        ("the last 24 hours", "2026-11-20T14:05", NOW),
        ("since yesterday evening", "2026-11-20T18:00", NOW),
        ("since 14:00", "2026-11-21T14:00", NOW),
        ("since noon", "2026-11-21T12:00", NOW),
        ("since 18:00", "2026-11-20T18:00", NOW),
        ("since two hours ago", "2026-11-21T12:05", NOW),
        ("today", "2026-11-21T00:00", NOW),
        ("this morning", "2026-11-21T06:00", "2026-11-21T12:00"),
        ("yesterday", "2026-11-20T00:00", "2026-11-21T00:00"),
        ("yesterday afternoon", "2026-11-20T12:00", "2026-11-20T18:00"),
        ("last night", "2026-11-20T20:00", "2026-11-21T06:00"),
        ("yesterday between 18:00 and 20:00", "2026-11-20T18:00", "2026-11-20T20:00"),
        ("between 6 pm and 8 pm yesterday", "2026-11-20T18:00", "2026-11-20T20:00"),
        ("from 9 to 11 am", "2026-11-21T09:00", "2026-11-21T11:00"),
        ("on Monday", "2026-11-16T00:00", "2026-11-17T00:00"),
        ("last week", "2026-11-09T00:00", "2026-11-16T00:00"),
        ("in the last week", "2026-11-14T14:05", NOW),
        ("on 18 November", "2026-11-18T00:00", "2026-11-19T00:00"),
        ("on 2026-11-18", "2026-11-18T00:00", "2026-11-19T00:00"),
        ("an hour ago", "2026-11-21T13:00", "2026-11-21T13:10"),
        ("right now", "2026-11-21T14:04", NOW),
    ],
)
def test_a_phrase_becomes_a_window(said: str, start: str, end: str) -> None:
    assert windows(f"the load of it {said} please") == [(start, end)]


@pytest.mark.parametrize("said", ["tilt at 8 degrees", "rsrp at 7-2", "by 3 dB", "the second sector", "set it to 8"])
def test_other_numbers_are_no_times(said: str) -> None:
    assert windows(said) == []


def test_no_window_reaches_into_the_future() -> None:
    for said in ("tonight", "today", "this week", "between 13:00 and 18:00"):
        (found,) = link(said, EMPTY, civil=CIVIL, now_s=NOW_S).of(TimeMention)
        assert found.start_s <= found.end_s <= NOW_S


def test_a_day_of_25_hours_is_read_in_civil_time() -> None:
    autumn = CivilTime(epoch=datetime(2026, 10, 25, 20, 0, tzinfo=UTC), timezone="Europe/Berlin")
    (found,) = link("today", EMPTY, civil=autumn, now_s=0.0).of(TimeMention)
    # Clocks went back at 03:00: from midnight to 21:00 it was 22 hours.
    assert found.end_s - found.start_s == 22 * 3600
