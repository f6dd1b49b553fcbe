"""Numbers with their units and their meaning: absolute ("to 8 degrees") or relative ("by 3 dB", "two degrees more").

Belongs to the core: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from twin.naming_words import overlaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin.naming_words import Span, Token

Mode = Literal["absolute", "relative", "bare"]

_UNITS: Final[dict[str, str]] = {
    "deg": "deg",
    "degs": "deg",
    "degree": "deg",
    "degrees": "deg",
    "°": "deg",
    "db": "dB",
    "dbs": "dB",
    "decibel": "dB",
    "decibels": "dB",
    "dbm": "dBm",
    "w": "W",
    "watt": "W",
    "watts": "W",
    "mw": "mW",
    "milliwatt": "mW",
    "milliwatts": "mW",
    "%": "%",
    "percent": "%",
    "m": "m",
    "metres": "m",
    "meters": "m",
    "metre": "m",
    "meter": "m",
    "km": "km",
    "kilometres": "km",
    "kilometers": "km",
}
_UP: Final = frozenset(
    [
        "raise",
        "raised",
        "raising",
        "increase",
        "increased",
        "increasing",
        "boost",
        "up",
        "add",
        "higher",
        "more",
        "extra",
        "plus",
        "grow",
        "bump",
        "larger",
        "bigger",
        "greater",
        "crank",
        "gain",
        "stronger",
    ]
)
_DOWN: Final = frozenset(
    [
        "lower",
        "lowered",
        "lowering",
        "reduce",
        "reduced",
        "reducing",
        "decrease",
        "decreased",
        "drop",
        "cut",
        "down",
        "less",
        "fewer",
        "minus",
        "subtract",
        "smaller",
        "weaker",
        "take",
        "shave",
        "trim",
    ]
)
_TO: Final = frozenset({"to", "at", "=", "of", "is", "equals", "be", "exactly", "as"})


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityMention:
    """A number with what it measures.

    Attributes:
        value: As said, without direction; negative only when the number itself is ("minus 2").
        unit: `deg`, `dB`, `dBm`, `W`, `mW`, `%`, `m`, `km`, "" when none is said.
        mode: `absolute` after "to", `relative` after "by" or with "more", `bare` when the words do not say.
        direction: +1 up or more, -1 down or less, 0 when the words do not say.
    """

    span: Span
    text: str
    value: float
    unit: str
    mode: Mode
    direction: int = 0


def find_quantities(tokens: Sequence[Token], text: str, *, taken: Sequence[Span]) -> tuple[QuantityMention, ...]:
    """Return the quantities of a sentence outside the spans that are taken by names and times."""
    found: list[QuantityMention] = []
    done = 0
    for position, token in enumerate(tokens):
        if position < done or overlaps((token.start, token.end), taken):
            continue
        read = _read(tokens, position)
        if read is None:
            continue
        value, unit, used = read
        done = position + used
        negative = _negative(tokens, position)
        first = position - 1 if negative else position
        start, end = tokens[first].start, tokens[done - 1].end
        found.append(
            QuantityMention(
                span=(start, end),
                text=text[start:end],
                value=-value if negative else value,
                unit=unit,
                mode=_mode(tokens, first, done, unit),
                direction=_direction(tokens, first, done),
            )
        )
    return tuple(found)


def _read(tokens: Sequence[Token], position: int) -> tuple[float, str, int] | None:
    """Return (value, unit, tokens used) of the quantity that starts here: "3 dB", "half a degree", "a couple of dB"."""
    words = [_text(tokens, position + step) for step in range(5)]
    if words[0] == "half" and words[1] in {"a", "an"} and words[2] in _UNITS:
        return 0.5, _UNITS[words[2]], 3
    if words[0] in {"a", "one"} and words[1] == "half" and words[2] in _UNITS:
        return 0.5, _UNITS[words[2]], 3
    if words[0] == "a" and words[1] in {"degree", "db", "decibel", "deg"} and _text(tokens, position - 1) != "half":
        return 1.0, _UNITS[words[1]], 2
    if words[0] == "couple":
        unit_at = 2 if words[1] == "of" else 1
        return (2.0, _UNITS[words[unit_at]], unit_at + 1) if words[unit_at] in _UNITS else None
    value = tokens[position].number
    if value is None:
        return None
    used = 1
    if words[1] == "and" and words[3] == "half":
        value, used = value + 0.5, 4
    elif words[1] == "point" and _is_digit(tokens, position + 2):
        value, used = float(f"{value:g}.{words[2]}"), 3
    at = position + used
    if _text(tokens, at) == "-" and _text(tokens, at + 1) in _UNITS:
        used, at = used + 1, at + 1
    unit = _UNITS.get(_text(tokens, at), "")
    if unit:
        return value, unit, used + 1
    if _text(tokens, at) == "per" and _text(tokens, at + 1) == "cent":
        return value, "%", used + 2
    return value, "", used


def _text(tokens: Sequence[Token], position: int) -> str:
    return tokens[position].text if 0 <= position < len(tokens) else ""


def _is_digit(tokens: Sequence[Token], position: int) -> bool:
    return 0 <= position < len(tokens) and tokens[position].number is not None


def _negative(tokens: Sequence[Token], position: int) -> bool:
    before = _text(tokens, position - 1)
    if before in {"minus", "negative"}:
        return True
    if before != "-":
        return False
    joined = tokens[position - 1].end == tokens[position].start
    apart = position < 2 or tokens[position - 2].end < tokens[position - 1].start
    return joined and apart


def _mode(tokens: Sequence[Token], position: int, following: int, unit: str) -> Mode:
    before = _text(tokens, position - 1)
    if before in {"about", "around", "roughly", "exactly", "another"}:
        before = "by" if before == "another" else _text(tokens, position - 2)
    after = {_text(tokens, following), _text(tokens, following + 1)}
    if before == "by" or after & {"more", "less", "higher", "lower", "extra", "further", "fewer"}:
        return "relative"
    if before in _TO or unit == "dBm":
        return "absolute"
    if unit == "dB" or before in {"plus", "+"}:
        return "relative"
    if _text(tokens, following) in {"up", "down"} or before in {"up", "down"}:
        return "relative"
    return "bare"


def _direction(tokens: Sequence[Token], position: int, following: int) -> int:
    """Return the direction that the nearest word gives: first those after the number, then those before it."""
    for at in (following, following + 1):
        word = _text(tokens, at)
        if word in _UP or word == "further":
            return 1
        if word in _DOWN:
            return -1
    for at in range(position - 1, -1, -1):
        word = _text(tokens, at)
        if word in _UP or word == "+":
            return 1
        if word in _DOWN:
            return -1
    return 0
