"""What the planner sees of a sentence: names and numbers replaced by stand-ins, and what kinds of things it holds.

The stand-ins make "RSRP of S7-2" and "RSRP of the second sector of site 40" the same sentence, so the head never
learns names; which name was meant is the linker's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from agent import guard
from twin.entities import Kind
from twin.naming import (
    AttributeMention,
    EntityMention,
    KindMention,
    KpiMention,
    QuantityMention,
    ReferenceMention,
    TimeMention,
    UnknownMention,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.naming import Linked
    from twin.naming_words import Span

_STAND_IN: Final[dict[Kind, str]] = {
    Kind.CELL: "cell",
    Kind.SITE: "site",
    Kind.UE: "phone",
    Kind.SLICE: "slice",
    Kind.LINK: "link",
    Kind.NODE: "router",
    Kind.BUILDING: "building",
    Kind.PLACE: "place",
    Kind.RELATION: "relation",
    Kind.POLICY: "policy",
    Kind.RIS: "panel",
    Kind.TARGET: "target",
}
_UNIT_WORDS: Final = {
    "deg": "degrees",
    "dB": "decibels",
    "dBm": "dBm",
    "W": "watts",
    "mW": "milliwatts",
    "%": "percent",
}
_VERDICTS: Final = ("imagined", "negated", "asked", "told")
NUM_FACTS: Final = 34
"""Length of :func:`facts`."""

_TRAINED_KINDS: Final = tuple(_STAND_IN)[:8]
"""What the trained head knows of; sentences hardly name the others."""


def mask(linked: Linked, *, hidden: type[KpiMention] | None = None) -> str:
    """Return the sentence in lower case with stand-ins: "rsrp of cell alpha in that time".

    Args:
        hidden: With `KpiMention`, the KPI gets a stand-in, too: an encoder knows "throughput" but not "RSRP".
    """
    edits: list[tuple[Span, str]] = []
    names = iter(("alpha", "beta", "gamma", "delta", "epsilon"))
    taken: list[Span] = []
    for mention in linked.mentions:
        word = None
        match mention:
            case EntityMention():
                word = f"{_STAND_IN[mention.kind]} {next(names, 'omega')}"
            case UnknownMention():
                word = f"thing {next(names, 'omega')}"
            case TimeMention():
                word = "now" if mention.is_now else "in that time"
            case QuantityMention():
                unit = _UNIT_WORDS.get(mention.unit, mention.unit)
                word = f"two {unit}".strip()
            case KpiMention() if hidden is not None:
                word = "throughput"
            case _:
                pass
        if word is not None and not any(mention.span[0] < end and start < mention.span[1] for start, end in taken):
            taken.append(mention.span)
            edits.append((mention.span, word))
    text = linked.text
    for span, word in sorted(edits, reverse=True):
        text = f"{text[: span[0]]} {word} {text[span[1] :]}"
    return " ".join(text.lower().split())


def facts(linked: Linked) -> NDArray[np.float32]:
    """Return what kinds of things the sentence holds, ``[34] float32`` of 0 and 1."""
    entities = linked.of(EntityMention)
    kinds = [mention.kind for mention in linked.of(KindMention)]
    quantities = linked.of(QuantityMention)
    attributes = {mention.attribute for mention in linked.of(AttributeMention)}
    kpis = linked.of(KpiMention)
    times = linked.of(TimeMention)
    verdict = guard.verdict(linked.text)
    words = {token.text for token in linked.tokens}
    row = [
        *(any(mention.kind is kind for mention in entities) for kind in _TRAINED_KINDS),
        *(kind in kinds for kind in (Kind.CELL, Kind.SITE, Kind.UE, Kind.LINK)),
        len(entities) == 0,
        len(entities) == 1,
        len(entities) >= 2,
        bool(linked.of(UnknownMention)),
        bool(linked.of(ReferenceMention)),
        bool(kpis),
        bool(times) and not all(mention.is_now for mention in times),
        any(mention.is_now for mention in times),
        any(mention.unit == "deg" for mention in quantities),
        any(mention.unit in {"dB", "dBm", "W", "mW"} for mention in quantities),
        any(mention.unit == "" for mention in quantities),
        any(mention.mode == "relative" for mention in quantities),
        any(mention.mode == "absolute" for mention in quantities),
        "digitalTilt" in attributes,
        "configuredMaxTxPower" in attributes,
        "administrativeState" in attributes,
        *(verdict == name for name in _VERDICTS),
        bool(words & {"?"}),
    ]
    row += [len(linked.tokens) <= 4]
    values = np.zeros(NUM_FACTS, dtype=np.float32)
    values[: len(row)] = np.array(row, dtype=np.float32)
    return values
