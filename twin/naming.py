"""Who and what a sentence speaks of: entities, KPIs, attributes, quantities and times, linked to what exists.

Deterministic, never learned: names are matched against the live inventory, numbers and times are computed. What
looks like a name but is none becomes an :class:`UnknownMention` with the nearest candidates. Used by the agent,
documents and voice. Belongs to the core: standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from twin.attributes import ATTRIBUTES
from twin.entities import Kind
from twin.errors import UnknownEntity
from twin.kpi import KPIS
from twin.naming_index import KIND_WORDS, NameIndex
from twin.naming_quantities import QuantityMention, find_quantities
from twin.naming_times import TimeMention, TimeReader
from twin.naming_words import ORDINALS, key_of, overlaps, tokenize

if TYPE_CHECKING:
    from twin.clock import CivilTime
    from twin.entities import Position
    from twin.naming_words import Span, Token
    from twin.topology import Entity, Topology

__all__ = [
    "AttributeMention",
    "EntityMention",
    "KindMention",
    "KpiMention",
    "Linked",
    "NameIndex",
    "QuantityMention",
    "ReferenceMention",
    "TimeMention",
    "UnknownMention",
    "index_of",
    "link",
    "resolve",
    "resolve_entity",
]

_M = TypeVar("_M")
_DIRECTIONS: Final = {"north": 0.0, "east": 90.0, "south": 180.0, "west": 270.0} | {
    "northeast": 45.0,
    "southeast": 135.0,
    "southwest": 225.0,
    "northwest": 315.0,
}
_NEAREST: Final = frozenset({"nearest", "closest"})
_HERE: Final = frozenset({"me", "here", "us"})
_DN: Final = re.compile(r"\b(?:subnetwork|managedelement)=[^\s,]+(?:,[a-z0-9]+=[^\s,?!;]+)*", re.IGNORECASE)
_FILLER: Final = frozenset({"number", "no", "nr", "id", "#", "."})


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityMention:
    """An entity that exists.

    Attributes:
        how: How it was named: `name` (id, alias, name, DN), `sector`, `link`, `near`, `direction`, `fuzzy`.
    """

    span: Span
    text: str
    entity_id: str
    kind: Kind
    how: Literal["name", "sector", "link", "near", "direction", "fuzzy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownMention:
    """Words that look like a name but name nothing, or more than one thing (`ambiguous`)."""

    span: Span
    text: str
    candidates: tuple[str, ...]
    ambiguous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceMention:
    """Something said before ("it", "that cell", "there"); `kind` when the words tell it."""

    span: Span
    text: str
    kind: Kind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KindMention:
    """A kind without a name: "cells", "the sites"."""

    span: Span
    text: str
    kind: Kind
    plural: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiMention:
    """Words for a KPI; several names when the kind of entity decides ("load" of a link or of a cell)."""

    span: Span
    text: str
    kpis: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeMention:
    """Words for a managed attribute, by its 3GPP name."""

    span: Span
    text: str
    attribute: str


Mention = (
    EntityMention
    | UnknownMention
    | ReferenceMention
    | KindMention
    | KpiMention
    | AttributeMention
    | QuantityMention
    | TimeMention
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """A sentence with everything that was found in it, in order of appearance."""

    text: str
    tokens: tuple[Token, ...]
    mentions: tuple[Mention, ...]

    def of(self, kind: type[_M]) -> tuple[_M, ...]:
        """Return the mentions of one type."""
        return tuple(mention for mention in self.mentions if isinstance(mention, kind))


def link(text: str, index: NameIndex, *, civil: CivilTime, now_s: float, position_m: Position | None = None) -> Linked:
    """Link everything in a sentence.

    Args:
        index: Names of the current topology revision.
        position_m: Where the speaker is, for "the nearest cell".
    """
    tokens = tokenize(text)
    times = TimeReader(tokens, text, civil=civil, now_s=now_s).find()
    if times:
        # A name that holds a time word ("Now Festival") is a name; any other overlap is a time.
        names = [m.span for m in _EntityReader(tokens, text, index, taken=[], position_m=None).read()]
        times = tuple(
            t for t in times if not any(a <= t.span[0] and t.span[1] <= b and (a, b) != t.span for a, b in names)
        )
    entities = _EntityReader(tokens, text, index, taken=[time.span for time in times], position_m=position_m).read()
    taken = [mention.span for mention in (*times, *entities)]
    words = _find_words(
        tokens,
        text,
        taken=[m.span for m in entities if not isinstance(m, ReferenceMention)],
        kinds=[m.span for m in entities if isinstance(m, KindMention)],
    )
    quantities = find_quantities(tokens, text, taken=taken)
    mentions: list[Mention] = [*times, *entities, *words, *quantities]
    mentions.sort(key=lambda mention: (mention.span[0], -mention.span[1]))
    return Linked(text=text, tokens=tokens, mentions=tuple(mentions))


@lru_cache(maxsize=4)
def index_of(topology: Topology) -> NameIndex:
    """Return the index over the names of a topology, built once for each revision."""
    return NameIndex(topology)


def resolve(name: str, topology: Topology) -> Entity:
    """Return the entity that a text names: id, alias, name or DN.

    Raises:
        UnknownEntity: None, or more than one; carries the candidates.
    """
    return topology.get(name if name in topology else resolve_entity(name, index_of(topology)))


def resolve_entity(text: str, index: NameIndex, *, kind: Kind | None = None) -> str:
    """Return the id that a text names as a whole: id, alias, name or DN, in any spelling that people use.

    Raises:
        UnknownEntity: None, or more than one; carries the candidates.
    """
    ids = [found for found in index.exact(text) if kind is None or index.topology.get(found).kind is kind]
    if not ids:
        read = _EntityReader(tokenize(text), text, index, taken=[], position_m=None).read()
        ids = [m.entity_id for m in read if isinstance(m, EntityMention) and (kind is None or m.kind is kind)]
    if len(ids) == 1:
        return ids[0]
    shown = text[:80]
    if ids:
        raise UnknownEntity(f"`{shown}` names more than one thing: {', '.join(ids[:5])}", candidates=tuple(ids[:5]))
    candidates = index.candidates(text, kind=kind)
    hint = f"; did you mean {' or '.join(candidates)}?" if candidates else ""
    raise UnknownEntity(f"nothing here is called `{shown}`{hint}", candidates=candidates)


@dataclass(frozen=True, slots=True)
class _Found:
    """A mention with the tokens it covers (first, one after the last)."""

    first: int
    last: int
    entity_id: str
    how: Literal["name", "sector", "link", "near", "direction", "fuzzy"] = "name"
    unknown: UnknownMention | None = None


class _EntityReader:
    """Reads the entities of one sentence."""

    def __init__(
        self,
        tokens: tuple[Token, ...],
        text: str,
        index: NameIndex,
        *,
        taken: list[Span],
        position_m: Position | None,
    ) -> None:
        self._tokens = tokens
        self._text = text
        self._index = index
        self._taken = list(taken)
        self._position_m = position_m
        self._found: list[_Found] = []
        self._sectors: list[tuple[int, int, int, bool]] = []

    def read(self) -> list[EntityMention | UnknownMention | ReferenceMention | KindMention]:
        """Return the mentions in order."""
        self._read_dns()
        position = 0
        while position < len(self._tokens):
            position += max(self._read_at(position), 1)
        self._join_sectors()
        self._read_places()
        self._join_links()
        self._join_spatial()
        self._found.sort(key=lambda found: found.first)
        named: list[EntityMention | UnknownMention | ReferenceMention | KindMention] = [
            found.unknown or self._mention(found) for found in self._found
        ]
        return [*named, *self._read_kinds_and_references([mention.span for mention in named])]

    def _word(self, position: int) -> str:
        return self._tokens[position].text if 0 <= position < len(self._tokens) else ""

    def _digit(self, position: int) -> int | None:
        """Return the whole number of a token, None for words and decimals."""
        token = self._tokens[position] if 0 <= position < len(self._tokens) else None
        if token is None or token.number is None or token.number != int(token.number) or "." in token.text:
            return None
        return int(token.number)

    def _span(self, first: int, last: int) -> Span:
        return self._tokens[first].start, self._tokens[last - 1].end

    def _free(self, first: int, last: int) -> bool:
        return not overlaps(self._span(first, last), self._taken)

    def _mention(self, found: _Found) -> EntityMention:
        span = self._span(found.first, found.last)
        kind = self._index.topology.get(found.entity_id).kind
        text = self._text[span[0] : span[1]]
        return EntityMention(span=span, text=text, entity_id=found.entity_id, kind=kind, how=found.how)

    def _add(self, first: int, last: int, ids: list[str], *, how: Literal["name", "fuzzy", "near"] = "name") -> None:
        self._taken.append(self._span(first, last))
        if len(ids) == 1:
            self._found.append(_Found(first, last, ids[0], how))
        else:
            self._add_unknown(first, last, tuple(ids[:5]), ambiguous=True)

    def _add_unknown(self, first: int, last: int, candidates: tuple[str, ...], *, ambiguous: bool = False) -> None:
        span = self._span(first, last)
        self._taken.append(span)
        text = self._text[span[0] : span[1]]
        unknown = UnknownMention(span=span, text=text, candidates=candidates, ambiguous=ambiguous)
        self._found.append(_Found(first, last, "", unknown=unknown))

    def _read_dns(self) -> None:
        for match in _DN.finditer(self._text):
            covered = [at for at, token in enumerate(self._tokens) if match.start() <= token.start < match.end()]
            entity_id = self._index.by_dn(match.group())
            first, last = covered[0], covered[-1] + 1
            if entity_id:
                self._add(first, last, [entity_id])
            else:
                self._add_unknown(first, last, self._index.candidates(match.group()))

    def _kind_at(self, position: int) -> Kind | None:
        word = self._word(position)
        if word not in KIND_WORDS and word.endswith("s"):
            word = word[:-1]
        if word == "station" and self._word(position - 1) != "base" and self._digit(position + 1) is None:
            return None
        if word in KIND_WORDS:
            return KIND_WORDS[word]
        # A misspelt kind counts only before a number, where it can hardly be anything else: "cel 7-2", "sitte 7".
        if self._digit(position + 1) is not None and len(word) >= 3 and word.isalpha():
            return next((kind for known, kind in KIND_WORDS.items() if _one_edit(word, known)), None)
        return None

    def _read_at(self, position: int) -> int:
        """Read the name that starts at a token; returns the tokens used."""
        if not self._free(position, position + 1):
            return 1
        ids, used = self._index.named_at(self._tokens, position)
        numbered = self._read_numbered(position)
        if used and used >= (numbered[1] if numbered else 0) and self._free(position, position + used):
            self._add(position, position + used, ids)
            return used
        if numbered is None:
            return self._read_ordinal(position)
        entity_id, used, kind = numbered
        if not self._free(position, position + used):
            return 1
        if entity_id:
            self._add(position, position + used, [entity_id])
        elif (
            kind is Kind.CELL and self._digit(position + used - 1) is not None and self._numbers_in(position, used) == 1
        ):
            self._sectors.append((position, position + used, self._digit(position + used - 1) or 0, False))
        else:
            span = self._span(position, position + used)
            words = self._text[span[0] : span[1]]
            self._add_unknown(position, position + used, self._index.candidates(_canonical(words, kind), kind=kind))
        return used

    def _numbers_in(self, position: int, used: int) -> int:
        return sum(self._digit(at) is not None for at in range(position, position + used))

    def _read_numbered(self, position: int) -> tuple[str, int, Kind] | None:
        """Read a kind word with its number or two, or a bare "7-2"; returns (id or "", tokens used, kind)."""
        kind = self._kind_at(position)
        at = position
        if kind is not None:
            at += 1
            while self._word(at) in _FILLER or (self._word(at) in {"-", "_"} and self._digit(at + 1) is not None):
                at += 1
            if kind is Kind.SITE and self._word(at) == "station":
                at += 1
        elif self._word(position) == "s" and self._joined(position, position + 1):
            kind, at = Kind.CELL, position + 1
        elif self._digit(position) is None:
            return None
        first = self._digit(at)
        if first is None:
            return None
        if kind is Kind.UE:
            first, at = self._spoken_digits(at)
        sign = self._word(at + 1) in {"-", "_", "/", "dash", "hyphen", "slash", "minus"}
        second = self._digit(at + 2) if sign else self._digit(at + 1)
        last = at + 3 if sign else at + 2
        if kind is None:
            joined = sign and second is not None and self._joined(at, at + 1) and self._joined(at + 1, at + 2)
            dashed = self._word(at + 1) in {"dash", "hyphen"}
            entity_id = f"cell-{first}-{second}"
            if second is None or not (joined or dashed) or self._word(at + 3) in {"-", ":"}:
                return None
            if self._word(at + 1) == "/" and entity_id not in self._index:
                return None
            return (entity_id if entity_id in self._index else "", 3, Kind.CELL)
        if second is not None and kind in {Kind.CELL, Kind.SITE, Kind.LINK} and (sign or kind is not Kind.SITE):
            pair = Kind.LINK if kind is Kind.LINK else Kind.CELL
            entity_id = f"{pair.value}-{first}-{second}"
            if entity_id in self._index or sign:
                return (entity_id if entity_id in self._index else "", last - position, pair)
            if kind is Kind.CELL and self._word(last) not in {"db", "dbm", "degrees", "degree", "deg"}:
                return "", last - position, pair
        if self._word(position) == "s" and not self._is_site(first):
            return None
        if self._word(position) == "s":
            kind = Kind.SITE
        entity_id = f"{kind.value}-{first}"
        return (entity_id if entity_id in self._index else "", at + 1 - position, kind)

    def _is_site(self, number: int) -> bool:
        return f"site-{number}" in self._index

    def _joined(self, left: int, right: int) -> bool:
        return left >= 0 and right < len(self._tokens) and self._tokens[left].end == self._tokens[right].start

    def _spoken_digits(self, position: int) -> tuple[int, int]:
        """Read "three one four" as 314; returns (number, its last token)."""
        digits, at = "", position
        while self._digit(at) is not None and len(self._word(at)) == 1 and len(digits) < 6:
            digits, at = digits + self._word(at), at + 1
        if len(digits) > 1:
            return int(digits), at - 1
        return self._digit(position) or 0, position

    def _read_ordinal(self, position: int) -> int:
        """Note "second sector" and "2nd cell", to be joined with the site they belong to."""
        number = ORDINALS.get(self._word(position))
        used = 1
        if number is None and self._word(position + 1) in {"st", "nd", "rd", "th"}:
            number, used = self._digit(position), 2
        if number is not None and self._word(position + used).removesuffix("s") in {"cell", "sector", "carrier"}:
            self._sectors.append((position, position + used + 1, number, True))
            return used + 1
        return 1

    def _join_sectors(self) -> None:
        """Join "sector 2", "second sector" with the site before or after it; a lone "cell 7" is unknown."""
        for first, last, number, ordinal in self._sectors:
            site = self._site_after(last) or self._site_before(first)
            if site is not None:
                cells = self._index.cells_of(site.entity_id)
                chosen = next((c for c in cells if int(float(c.properties.get("sector", 0))) == number), None)
                self._found.remove(site)
                start, stop = min(first, site.first), max(last, site.last)
                if chosen is not None:
                    self._found.append(_Found(start, stop, chosen.id, "sector"))
                    self._taken.append(self._span(start, stop))
                else:
                    self._add_unknown(start, stop, tuple(cell.id for cell in cells))
            elif not ordinal:
                span = self._span(first, last)
                words = _canonical(self._text[span[0] : span[1]], Kind.CELL)
                self._add_unknown(first, last, self._index.candidates(words, kind=Kind.CELL))

    def _site_after(self, position: int) -> _Found | None:
        at = position
        if self._word(at) in {"of", "at", "on", "from", "in", ",", "for"}:
            at += 1
        if self._word(at) == "the":
            at += 1
        return next((f for f in self._found if f.first == at and self._is(f, Kind.SITE)), None)

    def _site_before(self, position: int) -> _Found | None:
        at = position
        if self._word(at - 1) == "s" and self._word(at - 2) in {"'", "’"}:
            at -= 2
        elif self._word(at - 1) == ",":
            at -= 1
        return next((f for f in self._found if f.last == at and self._is(f, Kind.SITE)), None)

    def _is(self, found: _Found, *kinds: Kind) -> bool:
        return bool(found.entity_id) and self._index.topology.get(found.entity_id).kind in kinds

    def _read_places(self) -> None:
        """Read "the station" by category, then misspelt names."""
        for at, token in enumerate(self._tokens):
            if token.number is not None or len(token.text) < 4 or not self._free(at, at + 1):
                continue
            ids = self._index.weakly_named(token.text)
            articled = self._word(at - 1) in {"the", "a", "our"} or self._word(at - 1) in {"near", "at", "by", "of"}
            if ids and articled and self._word(at - 1) != "base":
                self._add(at, at + 1, ids)
                continue
            previous = self._tokens[at - 1] if at else None
            capital = self._text[token.start].isupper() and at > 0
            if ids or not (articled or capital):
                continue
            two = f"{token.text} {self._word(at + 1)}" if at + 1 < len(self._tokens) else ""
            for words, last in ((two, at + 2), (token.text, at + 1)):
                close = self._index.misspelt(words) if words else []
                if close and self._free(at, last) and previous is not None and not _is_term(token.text):
                    self._add(at, last, close[:1] if len(close) == 1 else close, how="fuzzy")
                    break

    def _join_links(self) -> None:
        """Read "backhaul of site 7", "site 7's backhaul link", "the link of cell 7-2" as the link itself."""
        for found in list(self._found):
            if not self._is(found, Kind.SITE, Kind.CELL):
                continue
            first, last = found.first, found.last
            after = last + 2 if self._word(last) in {"'", "’"} else last
            before = first - 1 if self._word(first - 1) == "the" else first
            start = stop = -1
            if self._word(after).removesuffix("s") in {"backhaul", "link"} and self._word(after + 1) not in {
                "load",
                "throughput",
            }:
                start, stop = first, after + 1
            elif self._word(before - 1) in {"of", "for", "at", "from", "behind", "to"}:
                at = before - 2
                if self._word(at) in {"link", "backhaul"}:
                    start, stop = at - (1 if self._word(at - 1) in {"backhaul", "transport"} else 0), last
            if start < 0:
                continue
            if self._word(stop) == "link":
                stop += 1
            entity = self._index.topology.get(found.entity_id)
            links = self._index.links_of(entity.parent_id if entity.kind is Kind.CELL else entity.id)
            if links:
                self._found.remove(found)
                self._found.append(_Found(start, stop, links[0], "link"))
                self._taken.append(self._span(start, stop))

    def _join_spatial(self) -> None:
        """Read "the sector east of the station", "the cell nearest to the stadium", "nearest cell"."""
        for at in range(len(self._tokens)):
            kind = KIND_WORDS.get(self._word(at))
            if kind is None or kind not in {Kind.CELL, Kind.SITE, Kind.BUILDING} or not self._free(at, at + 1):
                continue
            first = at - 1 if self._word(at - 1) in _NEAREST else at
            after = at + 1
            if self._word(after) in {"that", "which"}:
                after += 1
            if self._word(after) in {"is", "lying", "located", "just"}:
                after += 1
            bearing_deg = _DIRECTIONS.get(self._word(after))
            nearest = first < at or self._word(after) in _NEAREST
            if bearing_deg is not None:
                other = _DIRECTIONS.get(self._word(after) + self._word(after + 1))
                after += 1 if other is None else 2
                bearing_deg = bearing_deg if other is None else other
            elif self._word(after) in {*_NEAREST, "near", "next", "close"}:
                after += 1
            elif not nearest:
                continue
            if self._word(after) in {"of", "to", "from", "by", "side"}:
                after += 1
            if self._word(after) == "the":
                after += 1
            self._place_near(first, after, kind, bearing_deg=bearing_deg, nearest=nearest)

    def _place_near(self, first: int, after: int, kind: Kind, *, bearing_deg: float | None, nearest: bool) -> None:
        anchor = next((f for f in self._found if f.first == after), None)
        if anchor is not None and anchor.unknown is not None:
            return
        if anchor is not None:
            entity = self._index.topology.get(anchor.entity_id)
            ids = self._index.nearest(kind, entity.position_m, bearing_deg=bearing_deg, exclude=entity.id)
            last = anchor.last
            self._found.remove(anchor)
        elif self._position_m is not None and (nearest or self._word(after) in _HERE):
            ids = self._index.nearest(kind, self._position_m, bearing_deg=bearing_deg)
            last = after + 1 if self._word(after) in _HERE else min(after, len(self._tokens))
        elif self._word(after) and self._word(after) not in _HERE and self._word(after - 1) in {"the", "to", "of"}:
            unknown_last = min(after + 1, len(self._tokens))
            self._add_unknown(after, unknown_last, self._index.candidates(self._word(after), kind=Kind.PLACE))
            return
        else:
            return
        if not ids:
            self._add_unknown(first, last, ())
            return
        how: Literal["near", "direction"] = "near" if bearing_deg is None else "direction"
        self._found.append(_Found(first, last, ids[0], how))
        self._taken.append(self._span(first, last))

    def _is_existential(self, position: int) -> bool:
        """Return whether "there" only says that something exists: "are there alarms", "there is"."""
        around = {self._word(position - 1), self._word(position + 1)}
        return bool(around & {"is", "are", "was", "were", "been", "be", "exist", "any", "hi", "hello", "hey", "out"})

    def _read_kinds_and_references(self, taken: list[Span]) -> list[ReferenceMention | KindMention]:
        result: list[ReferenceMention | KindMention] = []
        for at, token in enumerate(self._tokens):
            if overlaps((token.start, token.end), taken):
                continue
            singular = token.text if token.text in KIND_WORDS else token.text.removesuffix("s")
            if token.text in {"people", "everyone", "phones"}:
                singular = "user"
            kind = KIND_WORDS.get(singular)
            if kind is Kind.SITE and singular == "station" and self._word(at - 1) != "base":
                kind = None
            before = self._word(at - 1)
            if kind is not None and before in {"that", "this", "same", "those", "these"}:
                span = (self._tokens[at - 1].start, token.end)
                result.append(ReferenceMention(span=span, text=self._text[span[0] : span[1]], kind=kind))
            elif kind is not None:
                plural = token.text != singular
                result.append(KindMention(span=(token.start, token.end), text=token.text, kind=kind, plural=plural))
            elif (
                token.text in {"it", "its", "them", "their"}
                or (token.text == "there" and not self._is_existential(at))
                or (token.text == "one" and before in {"that", "this", "same"})
            ):
                result.append(ReferenceMention(span=(token.start, token.end), text=token.text))
        return result


def _canonical(words: str, kind: Kind) -> str:
    """Return the id that was probably meant, for comparing: "gNB 99" -> "site-99"."""
    numbers = [part for part in key_of(words) if part[0].isdigit()]
    return "-".join((kind.value, *numbers)) if numbers else words


def _one_edit(word: str, known: str) -> bool:
    """Return whether two words differ by one letter added, lost, changed, or two neighbours swapped."""
    if abs(len(word) - len(known)) > 1 or len(known) < 4:
        return False
    if len(word) == len(known):
        wrong = [at for at in range(len(word)) if word[at] != known[at]]
        swapped = (
            len(wrong) == 2
            and wrong[1] == wrong[0] + 1
            and word[wrong[0]] == known[wrong[1]]
            and word[wrong[1]] == known[wrong[0]]
        )
        return len(wrong) == 1 or swapped
    short, long = sorted((word, known), key=len)
    return any(long[:at] + long[at + 1 :] == short for at in range(len(long)))


_MORE_KPI_WORDS: Final[dict[str, str]] = {
    "busiest": "RRU.PrbTotDl",
    "busier": "RRU.PrbTotDl",
    "quietest": "RRU.PrbTotDl",
    "loaded": "RRU.PrbTotDl",
    "congested": "RRU.PrbTotDl",
    "congestion": "RRU.PrbTotDl",
    "occupancy": "RRU.PrbTotDl",
    "prb": "RRU.PrbTotDl",
    "prbs": "RRU.PrbTotDl",
    "resource blocks": "RRU.PrbTotDl",
    "crowded": "RRC.ConnMean",
    "subscribers": "RRC.ConnMean",
    "fast": "DRB.UEThpDl",
    "faster": "DRB.UEThpDl",
    "fastest": "DRB.UEThpDl",
    "slow": "DRB.UEThpDl",
    "slower": "DRB.UEThpDl",
    "slowest": "DRB.UEThpDl",
    "rate": "DRB.UEThpDl",
    "rates": "DRB.UEThpDl",
    "bandwidth": "DRB.UEThpDl",
    "mbps": "DRB.UEThpDl",
    "laggy": "DRB.RlcSduDelayDl",
    "laggiest": "DRB.RlcSduDelayDl",
    "reception": "vsData6gMeanSsRsrp",
    "signal level": "vsData6gMeanSsRsrp",
    "received power": "vsData6gMeanSsRsrp",
    "reference signal": "vsData6gMeanSsRsrp",
    "signal power": "vsData6gMeanSsRsrp",
    "signal to noise ratio": "vsData6gMeanSsSinr",
    "noise": "vsData6gMeanSsSinr",
    "electricity": "PEE.AvgPower",
    "hungriest": "PEE.AvgPower",
    "power use": "PEE.AvgPower",
    "power usage": "PEE.AvgPower",
    "thirstiest": "PEE.AvgPower",
    "energy consumption": "PEE.AvgPower",
    "wattage": "PEE.AvgPower",
    "handoffs": "MM.HoExeIntraSucc",
    "handoff": "MM.HoExeIntraSucc",
    "hand overs": "MM.HoExeIntraSucc",
    "rrc setup failure rate": "vsData6gRrcSetupFailureRate",
    "rrc failures": "vsData6gRrcSetupFailureRate",
    "failed setups": "vsData6gRrcSetupFailureRate",
    "setup success": "RRC.ConnEstabSucc",
    "bearer failures": "vsData6gDrbSetupFailureRate",
    "drb failures": "vsData6gDrbSetupFailureRate",
    "bearer setup failures": "vsData6gDrbSetupFailureRate",
    "megabits": "DRB.PdcpSduVolumeDL",
    "data": "DRB.PdcpSduVolumeDL",
}
_SAME_QUALITY: Final[dict[str, tuple[str, ...]]] = {
    "vsData6gMeanSsRsrp": ("RF.serving.RSRP",),
    "vsData6gMeanSsSinr": ("RF.serving.RSSINR",),
    "RRU.PrbTotDl": ("vsData6gLinkLoad",),
}


def _word_table() -> dict[str, list[tuple[tuple[str, ...], tuple[str, ...], str]]]:
    """Return first word -> (key, KPI names, attribute name), longest key first."""
    kpis: dict[tuple[str, ...], list[str]] = {}
    for row in KPIS:
        for words in (row.name, row.label, *row.words):
            kpis.setdefault(key_of(words), []).append(row.name)
    for words, name in _MORE_KPI_WORDS.items():
        kpis.setdefault(key_of(words), []).extend((name, *_SAME_QUALITY.get(name, ())))
    table: dict[str, list[tuple[tuple[str, ...], tuple[str, ...], str]]] = {}
    for key, names in kpis.items():
        table.setdefault(key[0], []).append((key, tuple(dict.fromkeys(names)), ""))
    for attribute in ATTRIBUTES:
        for words in (attribute.name, attribute.native_name.replace("_", " "), attribute.label, *attribute.words):
            key = key_of(words)
            table.setdefault(key[0], []).append((key, (), attribute.name))
    for words, name in (("downtilted", "digitalTilt"), ("uptilt", "digitalTilt"), ("tilted", "digitalTilt")):
        table.setdefault(words, []).append(((words,), (), name))
    for rows in table.values():
        rows.sort(key=lambda row: -len(row[0]))
    return table


_WORDS: Final = _word_table()


def _is_term(word: str) -> bool:
    return word in _WORDS or word in KIND_WORDS or word.removesuffix("s") in KIND_WORDS


def _find_words(
    tokens: tuple[Token, ...], text: str, *, taken: list[Span], kinds: list[Span]
) -> list[KpiMention | AttributeMention]:
    """Return the KPI and attribute words; kinds ("users", "cell") may share words with them, names may not."""
    words = [token for token in tokens if token.is_word]
    result: list[KpiMention | AttributeMention] = []
    position = 0
    while position < len(words):
        used = 0
        for key, kpis, attribute in _rows_for(words[position].text):
            covered = words[position : position + len(key)]
            if len(covered) != len(key) or not all(
                _same(token.text, part) for token, part in zip(covered, key, strict=True)
            ):
                continue
            span = (covered[0].start, covered[-1].end)
            named = [place for place in taken if overlaps(span, [place])]
            if any(place[1] - place[0] > span[1] - span[0] or not (kpis or place in kinds) for place in named):
                continue
            said = text[span[0] : span[1]]
            if kpis:
                result.append(KpiMention(span=span, text=said, kpis=kpis))
            else:
                result.append(AttributeMention(span=span, text=said, attribute=attribute))
            used = len(key)
            break
        position += max(used, 1)
    return result


def _rows_for(word: str) -> list[tuple[tuple[str, ...], tuple[str, ...], str]]:
    rows = _WORDS.get(word) or _WORDS.get(word.removesuffix("s"))
    return rows or []


def _same(word: str, part: str) -> bool:
    return word == part or word == part + "s" or word + "s" == part
