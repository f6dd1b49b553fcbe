"""Text from strangers, made fit to show: what a client writes may reach logs, labels and other people's screens."""

from __future__ import annotations

import unicodedata

_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of writing: with them a name can show as another."""
_UNSEEN = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean(text: str, *, limit: int) -> str:
    """Return text without control characters and direction marks, spaces run together, at most `limit` characters."""
    seen = "".join(
        " " if letter.isspace() else letter
        for letter in text[: 16 * limit]
        if letter.isspace() or (letter not in _TURNS and unicodedata.category(letter) not in _UNSEEN)
    )
    return " ".join(seen.split())[:limit].rstrip()
