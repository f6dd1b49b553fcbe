"""Checks a finished answer mechanically: every number, entity id and clock time must stand in its evidence.

Knows nothing of how the text was made, so a template with a mistake is caught like a model would be.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.question import Evidence

_MARK: Final = re.compile(r"\[(e\d+(?:\.\d+)?)\]")
_ENTITY: Final = re.compile(
    r"\b(?:site|cell|ue|slice|link|node|building|place|alarm|change)-[a-z0-9]+(?:-[a-z0-9]+)*\b"
)
_DATED: Final = re.compile(r"\b\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b")
_CLOCK: Final = re.compile(r"\b\d{1,2}:\d{2}(?::\d{2})?\b")
_NUMBER: Final = re.compile(
    r"(?<![\w.])[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?![\w])|(?<![\w.])[-−]?\d+(?:\.\d+)?(?=[a-zA-Z%])"
)
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z`(])|\n")


def say_time(moment: datetime, now: datetime) -> str:
    """Return a civil time for people: the hour, with the day unless it is today."""
    clock = moment.strftime("%H:%M")
    return clock if moment.date() == now.date() else f"{moment.day} {moment.strftime('%b')} {clock}"


def ungrounded(text: str, evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """Return the numbers, ids, times and evidence marks of a text that no evidence row carries."""
    bad: list[str] = []
    ids = {row.id for row in evidence}
    bad += [mark for mark in _MARK.findall(text) if mark not in ids]
    rest = _MARK.sub(" ", text)
    strings = {row.value for row in evidence if isinstance(row.value, str)} | {row.entity or "" for row in evidence}
    for known in sorted(strings - {""}, key=len, reverse=True):
        rest = rest.replace(known, " ")
    rest = _take(_ENTITY, rest, bad, strings)
    dates, clocks = _times(evidence)
    rest = _take(_DATED, rest, bad, dates)
    rest = _take(_CLOCK, rest, bad, clocks)
    numbers = tuple(_numbers(evidence))
    for match in _NUMBER.finditer(rest):
        said = match.group().replace("−", "-").replace(",", "")
        if not _is_known(said, numbers):
            bad.append(match.group())
    return tuple(bad)


def keep_grounded(text: str, evidence: Sequence[Evidence]) -> tuple[str, tuple[str, ...]]:
    """Return the text without the sentences that evidence does not carry, and what was wrong with them."""
    bad: list[str] = []
    kept: list[str] = []
    for sentence in _SENTENCE.split(text):
        wrong = ungrounded(sentence, evidence)
        bad += wrong
        if not wrong and sentence.strip():
            kept.append(sentence.strip())
    return (" ".join(kept), tuple(bad)) if bad else (text, ())


def _take(pattern: re.Pattern[str], text: str, bad: list[str], known: Iterable[str]) -> str:
    allowed = set(known)
    bad += [word for word in pattern.findall(text) if word not in allowed]
    return pattern.sub(" ", text)


def _times(evidence: Sequence[Evidence]) -> tuple[set[str], set[str]]:
    dates: set[str] = set()
    clocks: set[str] = set()
    for row in evidence:
        for stamp in (row.start_at, row.end_at, row.at):
            if stamp is not None:
                moment = datetime.fromisoformat(stamp)
                dates.add(f"{moment.day} {moment.strftime('%b')}")
                clocks |= {moment.strftime("%H:%M"), moment.strftime("%H:%M:%S")}
    return dates, clocks


def _numbers(evidence: Sequence[Evidence]) -> Iterable[float]:
    for row in evidence:
        if isinstance(row.value, float | int):
            yield float(row.value)
        for _, value in row.series or ():
            if value is not None:
                yield value


def _is_known(said: str, numbers: Sequence[float]) -> bool:
    """Return whether a written number is a known value rounded to the digits written, sign free.

    "lower by 3 dB" speaks of -3: the words carry the sign, so the size decides.
    """
    decimals = len(said.partition(".")[2])
    value = abs(float(said))
    margin = 0.5 * 10.0**-decimals + 1e-9 * max(1.0, value)
    return any(abs(abs(known) - value) <= margin for known in numbers)
