"""An index over the names of one topology revision: ids, names, aliases, distinguished names, nearby things.

Belongs to the core: standard library only. Built once per revision, then every look-up is a few dictionary reads.
"""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Final

from twin.entities import Kind
from twin.naming_words import key_of, lower

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from twin.entities import Position
    from twin.naming_words import Token
    from twin.topology import Entity, Topology

KIND_WORDS: Final[dict[str, Kind]] = {
    "cell": Kind.CELL,
    "sector": Kind.CELL,
    "site": Kind.SITE,
    "gnb": Kind.SITE,
    "gnodeb": Kind.SITE,
    "mast": Kind.SITE,
    "tower": Kind.SITE,
    "station": Kind.SITE,
    "bts": Kind.SITE,
    "ue": Kind.UE,
    "user": Kind.UE,
    "phone": Kind.UE,
    "device": Kind.UE,
    "handset": Kind.UE,
    "subscriber": Kind.UE,
    "slice": Kind.SLICE,
    "link": Kind.LINK,
    "backhaul": Kind.LINK,
    "building": Kind.BUILDING,
    "house": Kind.BUILDING,
    "node": Kind.NODE,
    "router": Kind.NODE,
    "place": Kind.PLACE,
    "landmark": Kind.PLACE,
}
"""Words for kinds, singular; "station" is one only as "base station" or before a number."""

_BY_ID_ONLY: Final = frozenset({Kind.RELATION, Kind.POLICY})

_COMMON: Final = frozenset(
    [
        "a",
        "an",
        "the",
        "and",
        "or",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "by",
        "from",
        "with",
        "is",
        "are",
        "was",
        "it",
        "me",
        "my",
        "we",
        "you",
        "us",
        "no",
        "not",
        "all",
        "any",
        "new",
        "old",
        "now",
        "up",
        "down",
        "high",
        "low",
        "top",
        "best",
        "worst",
        "main",
        "north",
        "south",
        "east",
        "west",
        "day",
        "night",
        "week",
        "hour",
        "here",
        "there",
        "this",
        "that",
        "load",
        "power",
        "speed",
        "signal",
        "network",
        "city",
        "street",
        "road",
        "place",
        "market",
        "park",
        "square",
        "bridge",
        "house",
        "centre",
        "center",
    ]
)
_SLICE_PLAIN: Final = frozenset({"critical", "latency", "sensors", "broadband", "mobile", "low", "iot"})
_MAX_FUZZY_NAMES: Final = 4_000


class NameIndex:
    """All names of one topology."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._keys: dict[str, list[tuple[tuple[str, ...], list[str]]]] = {}
        self._by_key: dict[tuple[str, ...], list[str]] = {}
        self._by_dn: dict[str, str] = {}
        self._weak: dict[str, list[str]] = {}
        self._spoken: dict[str, str] = {}
        self._cells_of: dict[str, list[Entity]] = {}
        self._links_of: dict[str, list[str]] = {}
        for entity in topology.entities:
            self._learn(entity)
        for cells in self._cells_of.values():
            cells.sort(key=lambda cell: float(cell.properties.get("sector", cell.index)))
        for key, ids in self._by_key.items():
            self._keys.setdefault(key[0], []).append((key, ids))
        for keys in self._keys.values():
            keys.sort(key=lambda row: -len(row[0]))

    def _learn(self, entity: Entity) -> None:
        # "Cell 7-2 to Cell 8-1" names two cells, not their relation: relations and policies are called by id and DN.
        names = (entity.id,) if entity.kind in _BY_ID_ONLY else (entity.id, entity.name, *entity.aliases)
        for name in names:
            key = key_of(name)
            if entity.kind is Kind.PLACE and key and key[0] == "the":
                key = key[1:]
            if not key or all(part[0].isdigit() for part in key) or (len(key) == 1 and self._is_plain(key[0])):
                continue
            if entity.kind is Kind.SLICE and key[-1] != "slice":
                self._register((*key, "slice"), entity.id)
                if set(key) & _SLICE_PLAIN:
                    continue  # "critical alarms" and "low latency" do not speak of a slice
            self._register(key, entity.id)
        if entity.dn:
            self._by_dn[lower(entity.dn)] = entity.id
        match entity.kind:
            case Kind.CELL:
                self._cells_of.setdefault(entity.parent_id, []).append(entity)
            case Kind.LINK:
                for end in ("a_id", "b_id"):
                    self._links_of.setdefault(str(entity.properties.get(end, "")), []).append(entity.id)
            case Kind.PLACE:
                words = set(key_of(str(entity.properties.get("category", "")))) | set(key_of(entity.name)[-1:])
                for word in words:
                    self._weak.setdefault(word, []).append(entity.id)
            case _:
                pass
        if entity.kind in {Kind.PLACE, Kind.SLICE, Kind.SITE} and len(self._spoken) < _MAX_FUZZY_NAMES:
            for name in (entity.name, *entity.aliases):
                if not any(char.isdigit() for char in name):
                    self._spoken.setdefault(" ".join(key_of(name)), entity.id)

    def _register(self, key: tuple[str, ...], entity_id: str) -> None:
        ids = self._by_key.setdefault(key, [])
        if entity_id not in ids:
            ids.append(entity_id)

    @staticmethod
    def _is_plain(word: str) -> bool:
        return len(word) < 3 or word in _COMMON or word in KIND_WORDS

    def __contains__(self, entity_id: str) -> bool:
        return entity_id in self.topology

    def named_at(self, tokens: Sequence[Token], position: int) -> tuple[list[str], int]:
        """Return (ids, tokens used) of the longest name that starts at a token; ([], 0) when none does."""
        for key, ids in self._keys.get(tokens[position].text, ()):
            at, matched = position, 0
            while at < len(tokens) and matched < len(key):
                if not tokens[at].is_word and matched:
                    if tokens[at].text in ".;?!,":
                        break
                    at += 1
                    continue
                if tokens[at].text != key[matched] and not (
                    matched == len(key) - 1 and tokens[at].text == key[matched] + "s"
                ):
                    break
                at, matched = at + 1, matched + 1
            if matched == len(key):
                return ids, at - position
        return [], 0

    def by_dn(self, text: str) -> str | None:
        """Return the id for a distinguished name, any case."""
        return self._by_dn.get(lower(text))

    def exact(self, text: str) -> list[str]:
        """Return the ids that a whole text names: id, alias, name or DN."""
        if text in self.topology:
            return [text]
        dn = self.by_dn(text.strip())
        return [dn] if dn else self._by_key.get(key_of(text), [])

    def weakly_named(self, word: str) -> list[str]:
        """Return the places whose category or last word is this ("station")."""
        return self._weak.get(word, [])

    def cells_of(self, site_id: str) -> tuple[Entity, ...]:
        """Return the cells of a site by sector number."""
        return tuple(self._cells_of.get(site_id, ()))

    def links_of(self, entity_id: str) -> list[str]:
        """Return the links that end at a site or node, those whose far end it is first."""
        links = self._links_of.get(entity_id, [])
        return sorted(links, key=lambda link: self.topology.get(link).properties.get("a_id") != entity_id)

    def candidates(self, text: str, *, kind: Kind | None = None, limit: int = 4) -> tuple[str, ...]:
        """Return the ids that look most like an unknown name, best first."""
        wanted = "-".join(key_of(text))
        number = wanted.split("-")[1] if kind in {Kind.CELL, Kind.SITE} and "-" in wanted else ""
        siblings = [cell.id for cell in self.cells_of(f"site-{number}")] if kind is Kind.CELL else []
        if siblings:
            return tuple(siblings[:limit])
        ids = (entity.id for entity in self.topology.entities if kind is None or entity.kind is kind)
        near = difflib.get_close_matches(wanted, _first(ids, 3_000), n=limit, cutoff=0.5)
        names = difflib.get_close_matches(" ".join(key_of(text)), self._spoken, n=limit, cutoff=0.6)
        found = [self._spoken[name] for name in names if kind is None or self._kind(self._spoken[name]) is kind]
        return tuple(dict.fromkeys((*found, *near)))[:limit]

    def misspelt(self, words: str) -> list[str]:
        """Return the place, slice or site that a misspelt name means; more than one when it could be several."""
        if not self._spoken or len(words) < 5:
            return []
        close = difflib.get_close_matches(words, self._spoken, n=2, cutoff=0.84)
        return list(dict.fromkeys(self._spoken[name] for name in close))

    def _kind(self, entity_id: str) -> Kind:
        return self.topology.get(entity_id).kind

    def nearest(
        self,
        kind: Kind,
        point_m: Position,
        *,
        bearing_deg: float | None = None,
        exclude: str = "",
        limit: int = 1,
    ) -> list[str]:
        """Return the entities of a kind nearest to a point, optionally only those towards a bearing (+-60 degrees).

        Of a site's cells, the one that looks at the point comes first: "the cell nearest to the stadium" is the
        sector that points at it, not any sector of that mast.
        """
        rows: list[tuple[float, float, str]] = []
        for entity in self.topology.of_kind(kind):
            if entity.id == exclude or entity.parent_id == exclude != "":
                continue
            east, north = entity.position_m[0] - point_m[0], entity.position_m[1] - point_m[1]
            distance_m = math.hypot(east, north)
            if bearing_deg is not None:
                off = _turn(math.degrees(math.atan2(east, north)), bearing_deg)
                if distance_m < 1.0 or off > 60.0:
                    continue
            look = 0.0
            if kind is Kind.CELL:
                back = math.degrees(math.atan2(-east, -north))
                look = _turn(back, float(entity.properties.get("azimuth_deg", 0.0)))
            rows.append((round(distance_m, 3), look, entity.id))
        rows.sort()
        return [entity_id for _, _, entity_id in rows[:limit]]


def _turn(first_deg: float, second_deg: float) -> float:
    """Return the angle between two bearings, 0..180."""
    return abs((first_deg - second_deg + 180.0) % 360.0 - 180.0)


def _first(ids: Iterable[str], limit: int) -> list[str]:
    result: list[str] = []
    for entity_id in ids:
        result.append(entity_id)
        if len(result) >= limit:
            break
    return result
