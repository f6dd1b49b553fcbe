"""The small router that serves when the sentence encoder is missing: hashed words and letter groups, no model file.

Implements `twin.ports.TextEncoder` by counting; the trained head over it is a plain logistic regression.
"""

from __future__ import annotations

import itertools
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

BUCKETS: Final = 2048


class LinearRouter:
    """Sentences to hashed counts of words, word pairs and letter groups of 3 to 5."""

    @property
    def name(self) -> str:
        """Which encoder this is."""
        return "linear router (the sentence encoder is not installed; run `twin setup`)"

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return ``[num_texts, 2048] float32``, rows of length 1."""
        rows = np.zeros((len(texts), BUCKETS), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for feature in _features(text):
                code = zlib.crc32(feature.encode())
                row[code % BUCKETS] += 1.0 if code & 0x8000_0000 else -1.0
        np.copyto(rows, np.sign(rows) * np.log1p(np.abs(rows)))
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.maximum(lengths, 1e-9)


def _features(text: str) -> Iterator[str]:
    words = text.lower().split()
    yield from (f"w:{word}" for word in words)
    yield from (f"p:{first} {second}" for first, second in itertools.pairwise(words))
    for word in words:
        padded = f"<{word}>"
        for size in (3, 4, 5):
            yield from (f"c:{padded[at : at + size]}" for at in range(len(padded) - size + 1))
