"""Makes the planner's training sentences: a grammar of phrasings, filled with names of an example network, disturbed.

Pure and seeded. The phrasings stand in `agent/data/phrases.txt`; the names come from a small made-up topology, and
every sentence goes through the same linking and masking as a real one.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.arguments import CONTROL
from twin.clock import CivilTime
from twin.entities import Kind
from twin.kpi import KPIS, Kpi
from twin.naming_words import options
from twin.topology import Entity, Topology

if TYPE_CHECKING:
    import numpy as np

PHRASES: Final = Path(__file__).parent / "data" / "phrases.txt"
NEGATIVE: Final = ("none", "hypothetical")
CIVIL: Final = CivilTime(epoch=datetime(2026, 11, 2, 8, 0, tzinfo=UTC), timezone="Europe/Berlin")
NOW_S: Final = 14 * 86_400.0 + 20_000.0
_CHOICE: Final = re.compile(r"\(([^()]*)\)")
_SLOT: Final = re.compile(r"\{(\w+)\}")
_WORDS: Final = options("zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen")
_TIMES: Final = options(
    "in the last ten minutes|in the last hour|over the past two hours|since yesterday evening|today|"
    "yesterday|now|this morning|last night|since 14:00|yesterday between 18:00 and 20:00|on monday|"
    "last week|right now|since noon|in the past 30 minutes|for the last three days|since this morning|"
    "at the moment|currently|from 8 to 10 am|yesterday afternoon|over the last 24 hours|"
    "during the last half hour|since midnight|two hours ago"
)
_DEGREES: Final = options(
    "two degrees|2 degrees|1 degree|one degree|3 deg|half a degree|a degree|1.5 degrees|4°|5 degrees"
)
_DECIBELS: Final = options("3 dB|three dB|2 decibels|one dB|1.5 dB|6 dB|two decibels|4 db|a couple of dB")
_POWERS: Final = ["43 dBm", "40 dBm", "20 watts", "46 dbm", "ten watts", "38 dBm", "5 W", "forty dBm"]
_OPENINGS: Final = options(
    "hey |hi twin |please |so |ok |okay |quick question |excuse me |well |um |uh |listen |now |hello |"
    "right |and |also |good morning |sorry |one more thing |could you please |i would like to know |"
    "tell me |say "
)
_CLOSINGS: Final = options(
    " please| thanks| thank you| now| right now| for me| if you can| ok?| would you| twin| again|?|.|!|??"
)
_NEGATIONS: Final = options(
    "don't {}|do not {}|please don't {}|never {}|do not {} yet|i did not say {}|you should not {}|"
    "there is no need to {}|whatever you do don't {}|we must not {}|stop do not {}|nobody should {}|"
    "under no circumstances {}|let's not {}|i'd rather not {}|please refrain and do not {}|"
    "i never wanted to {}|hold off before you {}|don't you dare {}"
)
_IMAGININGS: Final = options(
    "what if we {}|what would happen if i {}|should i {}|would it help to {}|suppose we {}|"
    "imagine we {} what then|is it a good idea to {}|what happens when we {}|if we {} will it get better|"
    "do you think we should {}|i wonder what happens if we {}|could it hurt to {}|"
    "simulate what happens if we {}|let's assume we {}|maybe {}|what are the risks if we {}|"
    "would things improve if you {}|and if we {}|what could go wrong if i {}|pretend to {}"
)
_TELLINGS: Final = options(
    "how do i {}|can you explain how to {}|who is allowed to {}|the manual tells you to {}|"
    "my colleague asked me to {}|why would anyone {}|is a student allowed to {}|when should one {}|"
    "what does it mean to {}|the note says {}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One sentence with its label.

    Attributes:
        frame: Number of the phrasing it came from; a split never divides a phrasing.
    """

    text: str
    label: str
    frame: int


def frames(path: Path = PHRASES) -> list[tuple[str, str]]:
    """Return (label, phrasing) in file order."""
    label, result = "", []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            label = line.strip("[] ")
        elif line.strip() and not line.startswith("#"):
            result.append((label, line.strip()))
    return result


def example_topology() -> Topology:
    """Return the made-up network whose names fill the phrasings."""
    rows: list[Entity] = []

    def add(entity_id: str, kind: Kind, name: str, **rest: object) -> None:
        rows.append(Entity(index=len(rows), id=entity_id, kind=kind, name=name, **rest))  # type: ignore[arg-type]

    for site in range(1, 25):
        spot = (300.0 * math.cos(site) * site, 300.0 * math.sin(site) * site, 0.0)
        add(f"site-{site}", Kind.SITE, f"Site {site}", aliases=(f"gNB-{site}",), position_m=spot)
        for sector in (1, 2, 3):
            add(
                f"cell-{site}-{sector}",
                Kind.CELL,
                f"Cell {site}-{sector}",
                aliases=(f"{site}-{sector}", f"S{site}-{sector}"),
                parent_id=f"site-{site}",
                position_m=spot,
                properties={"sector": float(sector), "azimuth_deg": 120.0 * (sector - 1)},
            )
        add(f"link-{site}-1", Kind.LINK, f"Link {site}-1", properties={"a_id": f"site-{site}", "b_id": "node-1"})
    for name in ("eMBB", "URLLC", "mMTC"):
        add(f"slice-{name.lower()}", Kind.SLICE, name)
    add("node-1", Kind.NODE, "Router 1", properties={"role": "aggregation"})
    for number, (name, category) in enumerate(
        (("Central Station", "station"), ("Olympia Stadium", "stadium"), ("University", "university"),
         ("City Park", "park"), ("General Hospital", "hospital"), ("Town Hall", "townhall")), 1
    ):  # fmt: skip
        add(
            f"place-{number}",
            Kind.PLACE,
            name,
            properties={"category": category},
            position_m=(90.0 * number, 50.0, 0.0),
        )
    for number in range(1, 60):
        add(f"building-{number}", Kind.BUILDING, f"building {number}", position_m=(7.0 * number, 4.0, 0.0))
    for number in range(1, 400):
        add(f"ue-{number}", Kind.UE, f"ue {number}")
    return Topology(rows, revision=1)


class Maker:
    """Fills phrasings.

    Args:
        rng: Every choice comes from here.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def _pick(self, choices: list[str] | tuple[str, ...]) -> str:
        return choices[int(self._rng.integers(len(choices)))]

    def expand(self, phrasing: str) -> str:
        """Return a phrasing with its choices made and its slots filled."""
        text = phrasing
        while _CHOICE.search(text):
            text = _CHOICE.sub(lambda match: self._pick(match.group(1).split("|")), text)
        return " ".join(_SLOT.sub(lambda match: self._slot(match.group(1)), text).split())

    def _slot(self, name: str) -> str:
        match name.rstrip("2"):
            case "c":
                return self._cell()
            case "s":
                return self._site()
            case "e":
                return self._cell() if self._rng.random() < 0.7 else self._site()
            case "u":
                number = int(self._rng.integers(1, 400))
                return self._pick((f"ue {number}", f"ue-{number}", f"phone {number}", f"user {number}", f"UE {number}"))
            case "sl":
                return self._pick(("the embb slice", "eMBB", "the URLLC slice", "slice mmtc", "the mMTC slice"))
            case "l":
                site = int(self._rng.integers(1, 25))
                return self._pick((f"link {site}-1", f"the backhaul of site {site}", f"site {site}'s backhaul link"))
            case "b":
                return f"building {int(self._rng.integers(1, 60))}"
            case "p":
                return self._pick(("the station", "Central Station", "the stadium", "the university", "City Park",
                                   "the hospital", "the town hall", "Olympia Stadium"))  # fmt: skip
            case "k":
                return self._kpi(Kind.CELL)
            case "uk":
                return self._kpi(Kind.UE)
            case "lk":
                return self._kpi(Kind.LINK)
            case "t":
                return self._pick(_TIMES)
            case "n":
                number = int(self._rng.integers(2, 11))
                return self._pick((str(number), _WORDS[number]))
            case "deg":
                return self._pick(_DEGREES)
            case "db":
                return self._pick(_DECIBELS)
            case "dbm":
                return self._pick(_POWERS)
            case "pct":
                return self._pick(("10 percent", "20 %", "fifty percent"))
            case "ch":
                return self._pick(("change 3", "change-7", "change number 2", "change 12"))
            case other:
                raise ValueError(f"no slot is called `{other}`")

    def _cell(self) -> str:
        site, sector = int(self._rng.integers(1, 25)), int(self._rng.integers(1, 4))
        spoken = f"cell {_WORDS[min(site, 14)]} {self._pick(('', 'dash '))}{_WORDS[sector]}"
        nth = ("first", "second", "third")[sector - 1]
        common = f"cell {site}-{sector}"
        return self._pick((common, common, common, f"{site}-{sector}", f"S{site}-{sector}", f"cell-{site}-{sector}",
                           f"sector {sector} of site {site}", f"the {nth} sector of site {site}", spoken,
                           f"sector {site}-{sector}", f"cell {site} {sector}"))  # fmt: skip

    def _site(self) -> str:
        site = int(self._rng.integers(1, 25))
        return self._pick(
            (f"site {site}", f"site {site}", f"gNB-{site}", f"gnb {site}", f"base station {site}", f"site-{site}")
        )

    def _kpi(self, kind: Kind) -> str:
        rows: list[Kpi] = [row for row in KPIS if kind in row.kinds and row.words]
        row = rows[int(self._rng.integers(len(rows)))]
        return self._pick((*row.words, row.label, row.name) if self._rng.random() < 0.25 else row.words)

    def disturb(self, text: str) -> str:
        """Return the sentence as people type or recognisers hear it: openings, closings, slips, no signs."""
        chance = self._rng.random
        if chance() < 0.22:
            text = self._pick(_OPENINGS) + text
        if chance() < 0.25:
            text += self._pick(_CLOSINGS)
        if chance() < 0.15:
            text = self._slip(text)
        if chance() < 0.1:
            text = text.replace("'", "").replace("?", "").replace(",", "")
        return text[0].upper() + text[1:] if chance() < 0.3 else text

    def _slip(self, text: str) -> str:
        words = text.split(" ")
        long = [at for at, word in enumerate(words) if len(word) > 3 and word.isalpha()]
        if not long:
            return text
        at = long[int(self._rng.integers(len(long)))]
        word, spot = words[at], int(self._rng.integers(1, len(words[at]) - 1))
        kind = int(self._rng.integers(4))
        words[at] = (
            word[:spot] + word[spot + 1 :],
            word[:spot] + word[spot] + word[spot:],
            word[:spot] + word[spot + 1 : spot + 2] + word[spot] + word[spot + 2 :],
            word[:spot] + "aeiorstn"[int(self._rng.integers(8))] + word[spot + 1 :],
        )[kind]
        return " ".join(words)


def corpus(rng: np.random.Generator, *, per_frame: int = 8, negative_factor: float = 2.5) -> list[Example]:
    """Return the training sentences; negatives and near misses are more than two fifths of them."""
    maker = Maker(rng)
    result: list[Example] = []
    for number, (label, phrasing) in enumerate(frames()):
        count = round(per_frame * (negative_factor if label in NEGATIVE else 1.0))
        seen: set[str] = set()
        for _ in range(count):
            bare = maker.expand(phrasing)
            text = maker.disturb(bare)
            if text not in seen:
                seen.add(text)
                result.append(Example(text=text, label=label, frame=number))
        if label not in CONTROL:
            continue
        for patterns, negative, share in (
            (_NEGATIONS, "none", 2), (_IMAGININGS, "hypothetical", 2), (_TELLINGS, "none", 1)
        ):  # fmt: skip
            for _ in range(share):
                frame = patterns[int(rng.integers(len(patterns)))].format(maker.expand(phrasing))
                result.append(Example(text=maker.disturb(frame), label=negative, frame=number))
    return result
