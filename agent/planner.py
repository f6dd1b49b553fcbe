"""Chooses the tool for a sentence: encoder, trained head, calibrated probability.

The head is a small network in numpy; weights and card lie in `agent/data`, made by `tools/train_planner.py`.
Blocking: load and choose in a worker.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from agent.arguments import CONTROL
from agent.encoder import MiniLmEncoder
from agent.linear_router import LinearRouter
from agent.masking import facts, mask
from twin.errors import InvalidInput, MissingExtra
from twin.naming import KpiMention

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from twin.naming import Linked
    from twin.ports import TextEncoder

DATA: Final = Path(__file__).parent / "data"
NONE: Final = "none"
HYPOTHETICAL: Final = "hypothetical"
FACTS_GAIN: Final = 0.35
"""Weight of one 0/1 fact beside a sentence vector of length 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the planner makes of a sentence.

    Attributes:
        label: A tool name, `none` or `hypothetical`.
        probability: Calibrated on the validation split.
        second: The next best label.
        second_probability: Its probability.
        sure: The probability is above the threshold for answering, or for proposing a change.
        conceivable: The probability is above the threshold for asking back.
    """

    label: str
    probability: float
    second: str
    second_probability: float
    sure: bool
    conceivable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What the weights file says of itself."""

    labels: tuple[str, ...]
    temperature: float
    answer_above: float
    propose_above: float
    ask_above: float
    encoder: str


class Head:
    """Two layers from features to label probabilities.

    Args:
        weights: `w1` [features, hidden], `b1`, `w2` [hidden, labels], `b2`, and the linear path `w0`.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.float32]], card: Card) -> None:
        self._weights = dict(weights)
        self.card = card

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``[num_texts, num_labels] float32``, rows sum to 1."""
        w = self._weights
        scores = features @ w["w0"] + w["b0"]
        if "w1" in w:
            scores = scores + np.maximum(features @ w["w1"] + w["b1"], 0.0) @ w["w2"]
        scores = scores / np.float32(self.card.temperature)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)


def features_of(encoder: TextEncoder, sentences: list[Linked]) -> NDArray[np.float32]:
    """Return what the head sees: both views of the sentence and its facts, ``[num_sentences, 2 dim + 34] float32``."""
    plain = encoder.encode([mask(linked) for linked in sentences])
    blind = encoder.encode([mask(linked, hidden=KpiMention) for linked in sentences])
    known = np.stack([facts(linked) for linked in sentences]) * np.float32(FACTS_GAIN)
    return np.concatenate([plain, blind, known], axis=1)


class Planner:
    """Encoder and head together."""

    def __init__(self, encoder: TextEncoder, head: Head) -> None:
        self._encoder = encoder
        self._head = head

    @property
    def name(self) -> str:
        """Which encoder chooses."""
        return self._encoder.name

    @property
    def card(self) -> Card:
        """Labels and thresholds."""
        return self._head.card

    def choose(self, linked: Linked) -> Choice:
        """Return the best label for a sentence."""
        row = self._head.probabilities(features_of(self._encoder, [linked]))[0]
        best, second = (int(at) for at in np.argsort(-row)[:2])
        card = self._head.card
        return Choice(
            label=card.labels[best],
            probability=float(row[best]),
            second=card.labels[second],
            second_probability=float(row[second]),
            sure=bool(row[best] >= (card.propose_above if card.labels[best] in CONTROL else card.answer_above)),
            conceivable=bool(row[best] >= card.ask_above),
        )


def load_head(name: Literal["minilm", "linear"], folder: Path = DATA) -> Head:
    """Load the trained head for an encoder.

    Raises:
        InvalidInput: The files do not belong together.
    """
    from safetensors.numpy import load_file

    raw = json.loads((folder / f"planner_{name}.json").read_text(encoding="utf-8"))
    weights = load_file(folder / f"planner_{name}.safetensors")
    card = Card(
        labels=tuple(raw["labels"]),
        temperature=float(raw["temperature"]),
        answer_above=float(raw["answer_above"]),
        propose_above=float(raw["propose_above"]),
        ask_above=float(raw["ask_above"]),
        encoder=str(raw["encoder"]),
    )
    if weights["w0"].shape[1] != len(card.labels):
        raise InvalidInput(f"`planner_{name}.safetensors` does not belong to its card; train both again")
    return Head(weights, card)


def load_planner(encoder_folder: Path | None = None, *, kind: Literal["auto", "minilm", "linear"] = "auto") -> Planner:
    """Load the planner; `auto` takes the linear router when the encoder is not installed, and its name says so.

    Raises:
        MissingExtra: `minilm` was asked for, or a folder was named, and there is no encoder.
    """
    if kind == "linear":
        return Planner(LinearRouter(), load_head("linear"))
    try:
        encoder = MiniLmEncoder(encoder_folder)
    except MissingExtra:
        if kind == "minilm" or encoder_folder is not None:
            raise
        return Planner(LinearRouter(), load_head("linear"))
    return Planner(encoder, load_head("minilm"))
