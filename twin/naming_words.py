"""Tokens of a sentence with their places in it, number words read as numbers; the ground that naming stands on.

Belongs to the core: standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

Span = tuple[int, int]
"""First character and the one after the last."""

_TOKEN: Final = re.compile(r"\d+(?:[.,]\d+)?|[^\W\d_]+|[^\w\s]|_")
_UNITS: Final = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS: Final = {
    word: 10 * number
    for number, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
ORDINALS: Final = {
    word: number for number, word in enumerate(["first", "second", "third", "fourth", "fifth", "sixth"], 1)
} | {
    "1st": 1,
    "2nd": 2,
    "3rd": 3,
    "4th": 4,
}
_NOT_NUMBER_AFTER: Final = frozenset({"that", "this", "which", "another", "no", "any", "each", "every", "the"})


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number or sign.

    Attributes:
        text: Lower case; number words are digits.
        start: First character in the sentence.
        end: The character after the last.
        number: Its value, None for words.
    """

    text: str
    start: int
    end: int
    number: float | None = None

    @property
    def is_word(self) -> bool:
        """Whether it is a word or a number, not a sign."""
        return self.number is not None or self.text[0].isalnum()


def lower(text: str) -> str:
    """Return the text in lower case with every character in its place (`str.lower` may change the length)."""
    return "".join(small if len(small := char.lower()) == 1 else char for char in text)


def tokenize(text: str) -> tuple[Token, ...]:
    """Return the tokens of a sentence: words, numbers, signs; letters and digits part (`ue314` is two tokens)."""
    plain = lower(text)
    raw = [Token(match.group(), match.start(), match.end(), _number(match.group())) for match in _TOKEN.finditer(plain)]
    result: list[Token] = []
    position = 0
    while position < len(raw):
        used, value = _number_words(raw, position)
        if used and not (
            used == 1 and raw[position].text == "one" and position and raw[position - 1].text in _NOT_NUMBER_AFTER
        ):
            first, last = raw[position], raw[position + used - 1]
            result.append(Token(f"{value}", first.start, last.end, float(value)))
            position += used
        else:
            result.append(raw[position])
            position += 1
    return tuple(result)


def _number(text: str) -> float | None:
    return float(text.replace(",", ".")) if text[0].isdigit() and text.isascii() else None


def _number_words(tokens: Sequence[Token], position: int) -> tuple[int, int]:
    """Return (tokens used, value) of the number words that start here, (0, 0) when none do."""
    used, total = 0, 0
    word = tokens[position].text
    if word in _UNITS:
        used, total = 1, _UNITS[word]
    elif word in _TENS:
        used, total = 1, _TENS[word]
        following = position + 1
        if following < len(tokens) and tokens[following].text == "-":
            following += 1
        if following < len(tokens) and 0 < _UNITS.get(tokens[following].text, 0) < 10:
            used, total = following - position + 1, total + _UNITS[tokens[following].text]
    elif word in {"a", "one"} and position + 1 < len(tokens) and tokens[position + 1].text == "hundred":
        used, total = 1, 1
    if used and position + used < len(tokens) and tokens[position + used].text == "hundred":
        used, total = used + 1, total * 100
        following = position + used
        if following < len(tokens) and tokens[following].text == "and":
            following += 1
        if following < len(tokens):
            more, value = _number_words(tokens, following)
            if more and value < 100:
                used, total = following + more - position, total + value
    return used, total


def key_of(text: str) -> tuple[str, ...]:
    """Return the words and numbers of a name without its signs, for comparing names."""
    return tuple(token.text for token in tokenize(text) if token.is_word)


def overlaps(span: Span, taken: Sequence[Span]) -> bool:
    """Return whether a span shares a character with one that is taken."""
    return any(span[0] < end and start < span[1] for start, end in taken)


def options(text: str) -> tuple[str, ...]:
    """Return the parts of a text between bars: a table of phrases that reads like one."""
    return tuple(text.split("|"))


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text as a set: a vocabulary that reads like one."""
    return frozenset(text.split())
