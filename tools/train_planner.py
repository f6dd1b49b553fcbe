"""Trains the planner's two heads (over MiniLM and over hashed words) and writes weights and cards.

    python tools/train_planner.py [--seed 1] [--out agent/data] [--only minilm|linear]

Numpy only; about five minutes on two cores. The validation split holds whole phrasings that training never saw, and
temperature and thresholds come from it. The shipped weights are then fitted on all phrasings with the same settings.
`tests/data/planner_heldout.jsonl` is not read here.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

from agent import guard
from agent.arguments import CONTROL, Missing, Situation, fill
from agent.corpus import CIVIL, NEGATIVE, NOW_S, PHRASES, Example, corpus, example_topology
from agent.encoder import MiniLmEncoder
from agent.linear_router import LinearRouter
from agent.memory import Turn
from agent.planner import DATA, Card, Head, features_of
from twin.naming import Linked, NameIndex, link

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.ports import TextEncoder

VALIDATION_SHARE = 0.2
LABEL_SMOOTHING = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one head is fitted."""

    hidden: int
    epochs: int
    learning_rate: float
    weight_decay: float
    dropout: float


RECIPES = {
    "minilm": Recipe(hidden=256, epochs=15, learning_rate=2e-3, weight_decay=2e-3, dropout=0.4),
    "linear": Recipe(hidden=0, epochs=12, learning_rate=1e-2, weight_decay=2e-3, dropout=0.2),
}


def fit(
    x: NDArray[np.float32], y: NDArray[np.int64], labels: int, recipe: Recipe, rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Fit a linear path and, with `hidden`, one hidden layer beside it, by Adam with decoupled weight decay.

    Source: Kingma and Ba 2014 (Adam), Loshchilov and Hutter 2017 (AdamW).
    """
    size = x.shape[1]
    w: dict[str, NDArray[np.float32]] = {
        "w0": np.zeros((size, labels), np.float32),
        "b0": np.zeros(labels, np.float32),
    }
    if recipe.hidden:
        w["w1"] = (rng.standard_normal((size, recipe.hidden)) * np.sqrt(2.0 / size)).astype(np.float32)
        w["b1"] = np.zeros(recipe.hidden, np.float32)
        w["w2"] = np.zeros((recipe.hidden, labels), np.float32)
    first = {name: np.zeros_like(value) for name, value in w.items()}
    second = {name: np.zeros_like(value) for name, value in w.items()}
    weight = np.bincount(y, minlength=labels).astype(np.float32)
    weight = np.sqrt(weight.mean() / np.maximum(weight, 1.0))
    target = np.full((len(y), labels), LABEL_SMOOTHING / labels, np.float32)
    target[np.arange(len(y)), y] += 1.0 - LABEL_SMOOTHING
    step, batch = 0, 128
    for epoch in range(recipe.epochs):
        rate = recipe.learning_rate * 0.5 * (1.0 + np.cos(np.pi * epoch / recipe.epochs))
        order = rng.permutation(len(y))
        for start in range(0, len(y), batch):
            rows = order[start : start + batch]
            keep = (rng.random((len(rows), size)) >= recipe.dropout * 0.3).astype(np.float32)
            inputs = x[rows] * keep / np.float32(1.0 - recipe.dropout * 0.3)
            scores = inputs @ w["w0"] + w["b0"]
            hidden = mask = None
            if recipe.hidden:
                hidden = np.maximum(inputs @ w["w1"] + w["b1"], 0.0)
                mask = (rng.random(hidden.shape) >= recipe.dropout).astype(np.float32) / np.float32(1 - recipe.dropout)
                scores = scores + (hidden * mask) @ w["w2"]
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores /= scores.sum(axis=1, keepdims=True)
            error = (scores - target[rows]) * weight[y[rows]][:, None] / np.float32(len(rows))
            slope = {"w0": inputs.T @ error, "b0": error.sum(axis=0)}
            if hidden is not None and mask is not None:
                slope["w2"] = (hidden * mask).T @ error
                back = (error @ w["w2"].T) * mask * (hidden > 0)
                slope["w1"], slope["b1"] = inputs.T @ back, back.sum(axis=0)
            step += 1
            for name, gradient in slope.items():
                first[name] = 0.9 * first[name] + 0.1 * gradient
                second[name] = 0.999 * second[name] + 0.001 * gradient * gradient
                move = first[name] / (1 - 0.9**step) / (np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8)
                decay = recipe.weight_decay * w[name] if name.startswith("w") else 0.0
                w[name] = (w[name] - rate * (move + decay * 10.0)).astype(np.float32)
    return w


def calibrate(head: Head, x: NDArray[np.float32], y: NDArray[np.int64]) -> float:
    """Return the temperature with the least negative log-likelihood on a split (Guo et al. 2017)."""

    def loss(temperature: float) -> float:
        card = Card(
            labels=head.card.labels, temperature=temperature, answer_above=0, propose_above=0, ask_above=0, encoder=""
        )
        chosen = Head(head._weights, card).probabilities(x)[np.arange(len(y)), y]  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return float(-np.log(np.maximum(chosen, 1e-9)).mean())

    return float(min(np.geomspace(0.2, 4.0, 60), key=loss))


def thresholds(
    probabilities: NDArray[np.float32], y: NDArray[np.int64], labels: tuple[str, ...], *, allowed: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Return (answer above, propose above, ask above) from a split.

    Of the answers at most 5 % come from the wrong tool, of the proposals that pass guard and linking (`allowed`) at
    most 3 %; below the last, most are wrong.
    """
    best, guess = probabilities.max(axis=1), probabilities.argmax(axis=1)
    wrong = guess != y
    control = np.isin(guess, [labels.index(name) for name in CONTROL])

    def lowest(rows: NDArray[np.bool_], share: float) -> float:
        steps = np.arange(0.3, 0.99, 0.01)
        fitting = (float(t) for t in steps if (rows & (best >= t)).any() and wrong[rows & (best >= t)].mean() <= share)
        return next(fitting, 0.98)

    answer, propose = lowest(~control, 0.05), lowest(control & allowed, 0.03)
    ask = next(
        (float(t) for t in np.arange(0.15, answer, 0.01) if (~wrong[np.abs(best - t) < 0.05]).mean() >= 0.4), 0.2
    )
    return answer, propose, min(ask, answer - 0.05)


def would_propose(label: str, linked: Linked, index: NameIndex) -> bool:
    """Return whether guard and linking would let a label become a proposal."""
    if label not in CONTROL or guard.verdict(linked.text) is not None or not guard.has_verb(label, linked.text):
        return False
    return not isinstance(fill(label, Situation(linked=linked, index=index, now_s=NOW_S, before=Turn())), Missing)


def train(name: str, encoder: TextEncoder, examples: list[Example], *, seed: int, out: Path) -> dict[str, Any]:
    """Fit, calibrate, refit on everything and write one head; returns its card."""
    started = time.monotonic()
    index = NameIndex(example_topology())
    linked = [link(example.text, index, civil=CIVIL, now_s=NOW_S) for example in examples]
    x = features_of(encoder, linked)
    labels = tuple(dict.fromkeys(example.label for example in examples))
    y = np.array([labels.index(example.label) for example in examples])
    rng = np.random.default_rng(seed)
    frame = np.array([example.frame for example in examples])
    held = np.isin(frame, rng.permutation(frame.max() + 1)[: round(VALIDATION_SHARE * frame.max())])
    recipe = RECIPES[name]
    plain = Card(
        labels=labels, temperature=1.0, answer_above=0.5, propose_above=0.5, ask_above=0.3, encoder=encoder.name
    )
    split = Head(fit(x[~held], y[~held], len(labels), recipe, np.random.default_rng(seed)), plain)
    temperature = calibrate(split, x[held], y[held])
    warm = Head(
        split._weights,  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        Card(labels=labels, temperature=temperature, answer_above=0, propose_above=0, ask_above=0, encoder=""),
    )
    chances = warm.probabilities(x[held])
    guesses = [labels[int(at)] for at in chances.argmax(axis=1)]
    allowed = np.array(
        [would_propose(guess, linked[int(at)], index) for guess, at in zip(guesses, np.flatnonzero(held), strict=True)]
    )
    answer, propose, ask = thresholds(chances, y[held], labels, allowed=allowed)
    right = chances.argmax(axis=1) == y[held]
    sure = chances.max(axis=1) >= answer
    weights = fit(x, y, len(labels), recipe, np.random.default_rng(seed))
    card: dict[str, Any] = {
        "labels": list(labels),
        "temperature": round(temperature, 4),
        "answer_above": round(answer, 4),
        "propose_above": round(propose, 4),
        "ask_above": round(ask, 4),
        "encoder": encoder.name,
        "features": int(x.shape[1]),
        "seed": seed,
        "sentences": len(examples),
        "phrasings": int(frame.max()) + 1,
        "negative_share": round(float(np.mean([e.label in NEGATIVE for e in examples])), 4),
        "phrases_sha256": hashlib.sha256(PHRASES.read_bytes()).hexdigest(),
        "recipe": {key: getattr(recipe, key) for key in recipe.__slots__},
        "thresholds": "answers at most 5 % wrong, proposals at most 3 % wrong on the validation split",
        "validation": {
            "n": int(held.sum()),
            "what": "sentences of phrasings that the measured head never saw",
            "tool_accuracy": round(float(right.mean()), 4),
            "coverage_when_sure": round(float(sure.mean()), 4),
            "wrong_while_sure": round(float((~right[sure]).mean()), 4),
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    save_file({key: np.ascontiguousarray(value) for key, value in weights.items()}, out / f"planner_{name}.safetensors")
    (out / f"planner_{name}.safetensors").chmod(0o644)
    (out / f"planner_{name}.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(f"{name}: {card['validation']} T={temperature:.2f} answer>={answer:.2f} propose>={propose:.2f} ask>={ask:.2f}"
          f" in {time.monotonic() - started:.0f} s", flush=True)  # fmt: skip
    wrong: dict[tuple[str, str], int] = {}
    for truth, guess in zip(y[held], chances.argmax(axis=1), strict=True):
        if truth != guess:
            pair = (labels[int(truth)], labels[int(guess)])
            wrong[pair] = wrong.get(pair, 0) + 1
    for (truth, guess), count in sorted(wrong.items(), key=lambda row: -row[1])[:14]:
        print(f"  {count:4d}  {truth} taken for {guess}")
    return card


def main() -> None:
    """Train what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=DATA)
    parser.add_argument("--only", choices=tuple(RECIPES))
    parser.add_argument("--per-frame", type=int, default=8)
    args = parser.parse_args()
    examples = corpus(np.random.default_rng(args.seed), per_frame=args.per_frame)
    print(f"{len(examples)} sentences, {np.mean([e.label in NEGATIVE for e in examples]):.0%} negatives", flush=True)
    for name in RECIPES:
        if args.only in {None, name}:
            encoder: TextEncoder = MiniLmEncoder() if name == "minilm" else LinearRouter()
            train(name, encoder, examples, seed=args.seed, out=args.out)


if __name__ == "__main__":
    main()
