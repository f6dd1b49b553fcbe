"""Time phrases in simulated seconds: "last ten minutes", "since yesterday evening", "between 18:00 and 20:00".

Belongs to the core: standard library only. Every phrase becomes a window that ends at the simulated now at the
latest; civil days and hours are those of the city.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin.clock import CivilTime
    from twin.naming_words import Span, Token

_SECONDS: Final = {
    "second": 1,
    "sec": 1,
    "s": 1,
    "minute": 60,
    "min": 60,
    "m": 60,
    "hour": 3600,
    "hr": 3600,
    "h": 3600,
    "day": 86_400,
    "week": 604_800,
    "fortnight": 1_209_600,
    "month": 2_592_000,
}
_LAST: Final = frozenset({"last", "past", "previous", "preceding", "latest", "recent"})
_WEEKDAYS: Final[list[str]] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_MONTHS: Final[list[str]] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_PARTS: Final = {"morning": (6, 12), "afternoon": (12, 18), "evening": (18, 24), "night": (20, 30), "noon": (12, 13)}
_NOW: Final = (
    ("right", "now"),
    ("just", "now"),
    ("at", "the", "moment"),
    ("at", "this", "moment"),
    ("at", "present"),
    ("now",),
    ("currently",),
    ("presently",),
)
_AROUND_S: Final = 300.0
_NOW_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeMention:
    """A window that the sentence names.

    Attributes:
        start_s: Simulated seconds.
        end_s: Simulated seconds, never after now.
        label: The words, for the answer.
        is_now: It means this very moment.
    """

    span: Span
    text: str
    start_s: float
    end_s: float
    is_now: bool = False


@dataclass(frozen=True, slots=True)
class _Moment:
    """A stretch of civil time that a few words name, and how many tokens they are."""

    start: datetime
    end: datetime
    used: int


class TimeReader:
    """Reads the time phrases of one sentence."""

    def __init__(self, tokens: Sequence[Token], text: str, *, civil: CivilTime, now_s: float) -> None:
        self._tokens = tokens
        self._text = text
        self._civil = civil
        self._now_s = now_s
        self._now = civil.at(now_s)

    def find(self) -> tuple[TimeMention, ...]:
        """Return the windows, in order, without overlaps."""
        found: list[TimeMention] = []
        position = 0
        while position < len(self._tokens):
            mention, used = self._at(position)
            if mention is not None:
                found.append(mention)
            position += max(used, 1)
        return tuple(found)

    def _word(self, position: int) -> str:
        return self._tokens[position].text if 0 <= position < len(self._tokens) else ""

    def _number(self, position: int) -> float | None:
        return self._tokens[position].number if 0 <= position < len(self._tokens) else None

    def _mention(
        self, position: int, used: int, start_s: float, end_s: float, *, is_now: bool = False
    ) -> tuple[TimeMention, int]:
        first, last = self._tokens[position], self._tokens[position + used - 1]
        end_s = min(end_s, self._now_s)
        start_s = min(start_s, end_s)
        span = (first.start, last.end)
        text = self._text[span[0] : span[1]]
        return TimeMention(span=span, text=text, start_s=start_s, end_s=end_s, is_now=is_now), used

    def _at(self, position: int) -> tuple[TimeMention | None, int]:
        for words in _NOW:
            if tuple(self._word(position + step) for step in range(len(words))) == words:
                return self._mention(position, len(words), self._now_s - _NOW_S, self._now_s, is_now=True)
        word = self._word(position)
        if word in {"since", "after"}:
            skip = 2 if self._word(position + 1) in {"the", "about", "around"} else 1
            moment = self._moment(position + skip)
            if moment is not None:
                start_s = self._civil.sim_time_s(moment.start)
                return self._mention(position, skip + moment.used, start_s, self._now_s)
        if word in {"between", "from"}:
            found = self._range(position)
            if found is not None:
                return found
        if word in _LAST or (word in {"the", "these"} and self._word(position + 1) in _LAST):
            found = self._last(position)
            if found is not None:
                return found
        if word in {"at", "around", "about"}:
            skip = 2 if self._word(position + 1) in {"about", "around"} else 1
            clock = self._clock(position + skip, day=None)
            if clock is not None:
                at_s = self._civil.sim_time_s(clock.start)
                return self._mention(position, skip + clock.used, at_s - _AROUND_S, at_s + _AROUND_S)
        ago = self._ago(position)
        if ago is not None:
            at_s = self._civil.sim_time_s(ago.start)
            return self._mention(position, ago.used, at_s - _AROUND_S, at_s + _AROUND_S)
        moment = self._day(position)
        if moment is not None:
            following = position + moment.used
            if self._word(following) in {"between", "from"}:
                found = self._range(following, day=moment.start)
                if found is not None:
                    mention, used = found
                    return self._mention(position, moment.used + used, mention.start_s, mention.end_s)
            start_s, end_s = self._civil.sim_time_s(moment.start), self._civil.sim_time_s(moment.end)
            return self._mention(position, moment.used, start_s, end_s)
        return None, 1

    def _last(self, position: int) -> tuple[TimeMention, int] | None:
        """Read "(the) last ten minutes", "past hour", "last night", "last week", "last monday"."""
        at = position + (1 if self._word(position) in {"the", "these"} else 0)
        following = at + 1
        if self._word(following) == "night" and self._word(at) == "last":
            day = self._midnight() - timedelta(days=1)
            end = day + timedelta(hours=30)
            start_s, end_s = self._civil.sim_time_s(day + timedelta(hours=20)), self._civil.sim_time_s(end)
            return self._mention(position, following + 1 - position, start_s, end_s)
        if self._word(following) in _WEEKDAYS:
            moment = self._day(following)
            if moment is not None:
                back = timedelta(days=7) if moment.start.date() == self._now.date() else timedelta(0)
                start_s = self._civil.sim_time_s(moment.start - back)
                end_s = self._civil.sim_time_s(moment.end - back)
                return self._mention(position, 1 + moment.used + at - position, start_s, end_s)
        if self._word(following) == "week" and at == position and self._word(position - 1) not in {"the", "this"}:
            monday = self._midnight() - timedelta(days=self._now.weekday() + 7)
            start_s, end_s = self._civil.sim_time_s(monday), self._civil.sim_time_s(monday + timedelta(days=7))
            return self._mention(position, following + 1 - position, start_s, end_s)
        length = self._length(following)
        if length is None:
            return None
        seconds, used = length
        return self._mention(position, following + used - position, self._now_s - seconds, self._now_s)

    def _length(self, position: int) -> tuple[float, int] | None:
        """Read a length of time: "ten minutes", "half an hour", "couple of days", "hour", "quarter of an hour"."""
        at = position
        count = 1.0
        word = self._word(at)
        number = self._number(at)
        if number is not None:
            count, at = number, at + 1
            if self._word(at) == "and" and self._word(at + 2) == "half":
                count, at = count + 0.5, at + 3
            elif self._word(at) == "-":
                at += 1
        elif word == "half":
            count, at = 0.5, at + (2 if self._word(at + 1) in {"a", "an"} else 1)
        elif word == "quarter" and self._word(at + 1) in {"of", "hour"}:
            count, at = 0.25, at + (1 if self._word(at + 1) == "hour" else 3)
        elif word in {"couple", "few", "several"} or (word == "a" and self._word(at + 1) in {"couple", "few"}):
            at += 1 if word == "a" else 0
            count = 2.0 if self._word(at) == "couple" else 3.0
            at += 2 if self._word(at + 1) == "of" else 1
        elif word in {"a", "an"}:
            at += 1
        unit = self._word(at)
        singular = unit[:-1] if unit.endswith("s") and len(unit) > 1 else unit
        seconds = _SECONDS.get(singular if singular in _SECONDS else unit)
        if seconds is None or (len(unit) == 1 and number is None):
            return None
        at += 1
        if self._word(at) == "and" and self._word(at + 1) == "a" and self._word(at + 2) == "half":
            count, at = count + 0.5, at + 3
        return count * seconds, at - position

    def _ago(self, position: int) -> _Moment | None:
        length = self._length(position)
        if length is None or self._word(position + length[1]) not in {"ago", "earlier", "before"}:
            return None
        if self._word(position + length[1]) == "before" and self._word(position + length[1] + 1):
            return None
        then = self._now - timedelta(seconds=length[0])
        return _Moment(then, then, length[1] + 1)

    def _midnight(self) -> datetime:
        return self._now.replace(hour=0, minute=0, second=0, microsecond=0)

    def _day(self, position: int) -> _Moment | None:
        """Read a civil day or part of it: "yesterday evening", "this morning", "on Monday", "20 November"."""
        at = position + (1 if self._word(position) in {"on", "during", "this"} else 0)
        word = self._word(at)
        midnight = self._midnight()
        if self._word(position) == "this" and word in _PARTS:
            return self._part(midnight, word, at + 1 - position)
        if self._word(position) == "this" and word in {"week", "hour", "minute"}:
            start = {
                "week": midnight - timedelta(days=self._now.weekday()),
                "hour": self._now.replace(minute=0, second=0, microsecond=0),
                "minute": self._now - timedelta(seconds=60),
            }[word]
            return _Moment(start, self._now, 2)
        day: datetime | None = None
        used = at + 1 - position
        if word == "today":
            day = midnight
        elif word == "tonight":
            return self._part(midnight, "evening", used)
        elif word == "yesterday":
            day = midnight - timedelta(days=1)
        elif (self._word(at), self._word(at + 1), self._word(at + 2)) == ("day", "before", "yesterday"):
            day, used = midnight - timedelta(days=2), used + 2
        elif word in _WEEKDAYS or (word.endswith("s") and word[:-1] in _WEEKDAYS):
            back = (self._now.weekday() - _WEEKDAYS.index(word.removesuffix("s"))) % 7
            day = midnight - timedelta(days=back)
        else:
            dated = self._date(at)
            if dated is None:
                return None
            day, used = dated.start, at - position + dated.used
        part = self._word(position + used)
        if part in _PARTS:
            return self._part(day, part, used + 1)
        return _Moment(day, day + timedelta(days=1), used)

    @staticmethod
    def _part(day: datetime, part: str, used: int) -> _Moment:
        first, last = _PARTS[part]
        return _Moment(day + timedelta(hours=first), day + timedelta(hours=last), used)

    def _date(self, position: int) -> _Moment | None:
        """Read "2026-11-20", "20 November", "November 20"."""
        number = self._number(position)
        word = self._word(position)
        try:
            if number is not None and number >= 1970 and self._word(position + 1) == "-" == self._word(position + 3):
                month, day = self._number(position + 2), self._number(position + 4)
                if month is not None and day is not None:
                    start = self._midnight().replace(year=int(number), month=int(month), day=int(day))
                    return _Moment(start, start + timedelta(days=1), 5)
            skip = 2 if self._word(position + 1) in {"st", "nd", "rd", "th", "of", "."} else 1
            if number is not None and self._word(position + skip) in _MONTHS:
                return self._of_month(self._word(position + skip), int(number), skip + 1)
            following = self._number(position + 1)
            if word in _MONTHS and following is not None:
                ordinal = self._word(position + 2) in {"st", "nd", "rd", "th"}
                return self._of_month(word, int(following), 3 if ordinal else 2)
        except ValueError:
            return None
        return None

    def _of_month(self, month: str, day: int, used: int) -> _Moment:
        start = self._midnight().replace(month=_MONTHS.index(month) + 1, day=day)
        if start > self._now:
            start = start.replace(year=start.year - 1)
        return _Moment(start, start + timedelta(days=1), used)

    def _clock(self, position: int, *, day: datetime | None, bare: bool = False) -> _Moment | None:
        """Read a time of day: "14:00", "2 pm", "noon", "14 h", "18 o'clock"; `bare` also takes a lone hour."""
        word, number = self._word(position), self._number(position)
        hour, minute, used = -1.0, 0.0, 1
        if word in {"noon", "midday", "lunch", "lunchtime"}:
            hour = 12
        elif word == "midnight":
            hour = 0
        elif word == "breakfast":
            hour = 8
        elif number is not None and number == int(number) and 0 <= number <= 24:
            hour = number
            minutes = self._number(position + 2)
            explicit = False
            if self._word(position + 1) == ":" and minutes is not None:
                minute, used, explicit = minutes, 3, True
                if self._word(position + 3) == ":" and self._number(position + 4) is not None:
                    used = 5
            suffix = self._word(position + used)
            dotted = suffix in {"a", "p"} and self._word(position + used + 1) == "."
            if suffix in {"am", "pm"} or dotted:
                hour = hour % 12 + (12 if suffix[0] == "p" else 0)
                used, explicit = used + (4 if dotted and self._word(position + used + 2) == "m" else 1), True
            elif suffix == "o" and self._word(position + used + 2) == "clock":
                used, explicit = used + 3, True
            elif suffix in {"h", "hrs", "oclock"}:
                used, explicit = used + 1, True
            if not explicit and not bare:
                return None
        if hour < 0 or minute >= 60:
            return None
        base = day or self._midnight()
        moment = base + timedelta(hours=hour, minutes=minute)
        if day is None and moment > self._now:
            moment -= timedelta(days=1)
        return _Moment(moment, moment, used)

    def _moment(self, position: int, *, day: datetime | None = None, bare: bool = False) -> _Moment | None:
        """Read what may follow "since": a clock, a day, a day with a clock, or a distance ago."""
        ago = self._ago(position)
        if ago is not None:
            return ago
        at = position + (1 if self._word(position) in {"last", "this"} and self._word(position + 1) in _WEEKDAYS else 0)
        named = self._day(at)
        if named is not None:
            named = _Moment(named.start, named.end, named.used + at - position)
            skip = 1 if self._word(position + named.used) == "at" else 0
            clock = self._clock(position + named.used + skip, day=named.start)
            return named if clock is None else _Moment(clock.start, clock.start, named.used + skip + clock.used)
        if (self._word(position), self._word(position + 1)) == ("last", "night"):
            start = self._midnight() - timedelta(hours=4)
            return _Moment(start, start, 2)
        clock = self._clock(position, day=day, bare=bare)
        if clock is not None and self._word(position + clock.used) in {"yesterday", "today"}:
            named = self._day(position + clock.used)
            if named is not None:
                again = self._clock(position, day=named.start, bare=bare)
                if again is not None:
                    return _Moment(again.start, again.start, again.used + named.used)
        return clock

    def _range(self, position: int, *, day: datetime | None = None) -> tuple[TimeMention, int] | None:
        """Read "between A and B" and "from A to B", with the day before, inside or after."""
        first = self._moment(position + 1, day=day, bare=True)
        if first is None:
            return None
        joint = position + 1 + first.used
        if self._word(joint) not in {"and", "to", "until", "till", "-"}:
            return None
        if self._word(joint - 1) == "-" or self._word(joint) == "-":
            return None
        second = self._moment(joint + 1, day=day, bare=True)
        if second is None:
            return None
        words = [self._word(at) for at in range(position, joint + 1 + second.used)]
        if not any(
            word in {":", "am", "pm", "clock", "noon", "midnight", "h", "midday", "ago"} for word in words
        ) and not any(word in {"yesterday", "today", *_WEEKDAYS, *_MONTHS} for word in words):
            return None
        used = joint + 1 + second.used - position
        following = self._day(position + used)
        if following is not None and day is None:
            again = self._range(position, day=following.start)
            if again is not None:
                return self._mention(position, used + following.used, again[0].start_s, again[0].end_s)
        start, end = first.start, second.start
        if start.date() != end.date() and end < start:
            # "between 18:00 and 20:00" asked at 19:00: both belong to the day of the first.
            end += timedelta(days=1)
        if end == second.start and second.end > second.start and end >= start and first.end > first.start:
            end = second.end
        start_s, end_s = self._civil.sim_time_s(start), self._civil.sim_time_s(end)
        return self._mention(position, used, start_s, max(start_s, end_s))
