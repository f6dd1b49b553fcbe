"""Fills the arguments of a chosen tool from what was linked: deterministic rules, never the model.

What is missing is asked for; a name that does not exist is answered with the nearest ones. Values of a change come
from the person's own words or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from agent.memory import Turn
from agent.orders import SET_ATTRIBUTE, attributes_meant, member_wanted, quantities, wants_more
from agent.tools.inputs import Window
from twin.attributes import Attribute, AttributeValue, to_managed, to_native
from twin.entities import Kind, Position
from twin.kpi import kpi, kpis_of
from twin.naming import (
    AttributeMention,
    EntityMention,
    KindMention,
    KpiMention,
    Linked,
    NameIndex,
    QuantityMention,
    ReferenceMention,
    TimeMention,
    UnknownMention,
)
from twin.naming_words import options, word_set

CONTROL: Final = frozenset({"set_tilt", "set_power", "lock_cell", "unlock_cell", "undo_change", SET_ATTRIBUTE})
_RADIO: Final = (Kind.CELL, Kind.SITE)
_MEASURED: Final = (Kind.CELL, Kind.SITE, Kind.LINK, Kind.SLICE, Kind.UE)
_ALL: Final = tuple(Kind)
_TOP: Final = frozenset(
    options(
        "highest|most|top|largest|biggest|busiest|maximum|max|greatest|strongest|fastest|heaviest|fullest|"
        "hungriest|thirstiest|laggiest|peak|hottest|higher|more"
    )
)
_BOTTOM: Final = frozenset(
    options(
        "lowest|least|smallest|weakest|slowest|quietest|bottom|fewest|emptiest|minimum|min|idlest|poorest|"
        "faintest|lightest|lower|calmest"
    )
)
_WORST: Final = word_set("worst poorest bad badly suffering struggling terrible poor weakest problematic")
_BEST: Final = frozenset(["best", "healthiest", "nicest", "finest", "good", "great"])
_FUNCTIONS: Final = {
    "total": "sum",
    "sum": "sum",
    "overall": "sum",
    "altogether": "sum",
    "combined": "sum",
    "together": "sum",
    "average": "mean",
    "mean": "mean",
    "avg": "mean",
    "typical": "median",
    "median": "median",
    "maximum": "max",
    "max": "max",
    "highest": "max",
    "peak": "max",
    "largest": "max",
    "minimum": "min",
    "min": "min",
    "lowest": "min",
    "smallest": "min",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Why the arguments cannot be filled, as a question to the person.

    Attributes:
        candidates: Ids that may have been meant.
    """

    question: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything an argument can come from.

    Attributes:
        before: The last turn of the conversation.
        follows_up: The sentence leans on the turn before ("and yesterday?").
    """

    linked: Linked
    index: NameIndex
    now_s: float
    before: Turn
    selection: tuple[str, ...] = ()
    position_m: Position | None = None
    follows_up: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the sentence, lower case."""
        return tuple(token.text for token in self.linked.tokens)

    def kind_of(self, entity_id: str) -> Kind:
        """Return the kind of an id that exists."""
        return self.index.topology.get(entity_id).kind


class _AskBack(Exception):  # carries a question, is no error
    def __init__(self, question: str, candidates: tuple[str, ...] = ()) -> None:
        super().__init__(question)
        self.missing = Missing(question=question, candidates=candidates)


def fill(tool: str, situation: Situation) -> dict[str, Any] | Missing:
    """Return the arguments of a tool, or what to ask."""
    try:
        return _FILLERS[tool](situation)
    except _AskBack as back:
        return back.missing


def refill(tool: str, situation: Situation) -> dict[str, Any] | Missing:
    """Return the arguments of the turn before with what the sentence names anew ("and yesterday?", "and the load?")."""
    before = situation.before.arguments
    if tool != situation.before.tool or situation.linked.of(EntityMention):
        return fill(tool, situation)
    try:
        fresh: dict[str, Any] = {}
        if situation.linked.of(TimeMention):
            fresh["window"] = _window(situation)
        if situation.linked.of(KpiMention) and "kpi" in before:
            subject = before.get("entity") or before.get("entity_a")
            kind = situation.kind_of(subject) if isinstance(subject, str) else Kind(before["kind"])
            fresh["kpi"] = _kpi_for(situation, kind)
    except _AskBack as back:
        return back.missing
    return {**before, **fresh}


def _named(s: Situation, kinds: tuple[Kind, ...]) -> list[str]:
    found = [m.entity_id for m in s.linked.of(EntityMention) if m.kind in kinds]
    return list(dict.fromkeys(found))


def _reject_unknown(s: Situation) -> None:
    for mention in s.linked.of(UnknownMention):
        near = mention.candidates
        if mention.ambiguous:
            raise _AskBack(f"`{mention.text}` could be {_either(near)}; which one do you mean?", near)
        hint = f" Did you mean {_either(near)}?" if near else ""
        raise _AskBack(f"Nothing here is called `{mention.text}`.{hint}", near)


def _either(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _maybe(s: Situation, kinds: tuple[Kind, ...], *, lean: bool = True) -> str | None:
    """Return the entity meant: named, referred to, selected, or (with `lean`) spoken of before."""
    named = _named(s, kinds)
    if named:
        return named[0]
    _reject_unknown(s)
    references = s.linked.of(ReferenceMention)
    wanted = next((r.kind for r in references if r.kind is not None), None)
    allowed = tuple(k for k in kinds if wanted is None or k is wanted) or kinds
    pool = (*s.before.subjects, *s.selection) if references else (*s.selection, *s.before.subjects)
    fitting = [e for e in pool if e in s.index and s.kind_of(e) in allowed]
    if fitting and (references or s.selection or lean):
        return fitting[0]
    return None


def _target(s: Situation, kinds: tuple[Kind, ...], what: str) -> str:
    found = _maybe(s, kinds)
    if found is not None:
        return found
    raise _AskBack(f"Which {what} do you mean?")


def _cell(s: Situation) -> str:
    """Return the one cell of a change; a site or several cells are asked about, never guessed."""
    cells = _named(s, (Kind.CELL,))
    if len(cells) > 1:
        raise _AskBack(f"One cell at a time, please: {_either(tuple(cells))}?", tuple(cells))
    if not cells:
        sites = _named(s, (Kind.SITE,))
        if sites:
            ids = tuple(cell.id for cell in s.index.cells_of(sites[0]))
            raise _AskBack(f"{sites[0]} has several cells; which one: {_either(ids)}?", ids)
        others = _named(s, _ALL)
        if others:
            raise _AskBack(f"{others[0]} is no cell; which cell do you mean?")
    return _target(s, (Kind.CELL,), "cell")


def _kpi_for(s: Situation, kind: Kind, *, default: str | None = None) -> str:
    """Return the KPI meant for a kind of entity; asked for when the words name none."""
    measured = Kind.CELL if kind is Kind.SITE else kind
    mentions = s.linked.of(KpiMention)
    entities = s.linked.of(KindMention)
    # "how many users" names things, not a figure, when another figure is named, too.
    ordered = sorted(mentions, key=lambda m: any(k.span == m.span for k in entities))
    for mention in ordered:
        for name in mention.kpis:
            if measured in kpi(name).kinds:
                return name
    if mentions:
        label = kpi(ordered[0].kpis[0]).label
        has = ", ".join(row.label for row in kpis_of(measured)) or "no figures"
        raise _AskBack(f"A {kind.value} has no {label}. It has: {has}. Which one?")
    if any(m.attribute == "configuredMaxTxPower" for m in s.linked.of(AttributeMention)) and measured is Kind.CELL:
        return "PEE.AvgPower"
    remembered = s.before.arguments.get("kpi")
    if isinstance(remembered, str) and measured in kpi(remembered).kinds:
        return remembered
    if default is not None and measured in kpi(default).kinds:
        return default
    raise _AskBack(f"Which figure of the {kind.value}: load, throughput, signal strength or another?")


def _window(s: Situation, *, default_s: float = 600.0) -> dict[str, float]:
    times = s.linked.of(TimeMention)
    if times:
        real = [t for t in times if not t.is_now] or list(times)
        return {"start_s": real[0].start_s, "end_s": real[0].end_s}
    remembered = s.before.arguments.get("window")
    if s.follows_up and isinstance(remembered, dict):
        return {str(key): float(value) for key, value in remembered.items()}  # pyright: ignore[reportUnknownArgumentType]
    return Window(start_s=s.now_s - default_s, end_s=s.now_s).model_dump()


def _maybe_window(s: Situation) -> dict[str, float] | None:
    times = [t for t in s.linked.of(TimeMention) if not t.is_now]
    return {"start_s": times[0].start_s, "end_s": times[0].end_s} if times else None


def _without_none(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _measured(s: Situation) -> tuple[str, str]:
    """Return (entity, KPI): "backhaul load of site 7" is the load of its link."""
    entity = _target(s, _MEASURED, "cell, site, link, slice or UE")
    names = {name for mention in s.linked.of(KpiMention) for name in mention.kpis}
    if names and s.kind_of(entity) in _RADIO and all(kpi(n).kinds == (Kind.LINK,) for n in names):
        site = entity if s.kind_of(entity) is Kind.SITE else s.index.topology.get(entity).parent_id
        links = s.index.links_of(site)
        entity = links[0] if links else entity
    return entity, _kpi_for(s, s.kind_of(entity))


def _kpi_of_entity(s: Situation) -> dict[str, Any]:
    entity, name = _measured(s)
    return {"entity": entity, "kpi": name, "window": _window(s)}


def _history(s: Situation) -> dict[str, Any]:
    entity, name = _measured(s)
    return {"entity": entity, "kpi": name, "window": _window(s, default_s=3600.0)}


def _kind_and_kpi(s: Situation, *, default: str | None) -> tuple[Kind, str]:
    """Return the kind to rank or aggregate and its KPI; the words of one may narrow the other."""
    kpi_spans = {mention.span for mention in s.linked.of(KpiMention)}
    said = sorted(s.linked.of(KindMention), key=lambda mention: mention.span in kpi_spans)
    mentions = s.linked.of(KpiMention)
    for mention in said:
        measured = Kind.CELL if mention.kind is Kind.SITE else mention.kind
        if any(measured in kpi(name).kinds for m in mentions for name in m.kpis if m.span != mention.span):
            return mention.kind, _kpi_for(s, mention.kind, default=default)
    if mentions:
        named = next((m for m in mentions if m.span not in {k.span for k in said}), mentions[0])
        row = kpi(named.kpis[0])
        kind = Kind.CELL if Kind.CELL in row.kinds else row.kinds[0]
        return kind, row.name
    kind = next((m.kind for m in said if m.kind in _MEASURED), Kind.CELL)
    return kind, _kpi_for(s, kind, default=default)


def _order(s: Situation, name: str) -> str:
    """Return which end of the numbers is asked for: "worst" depends on which direction is good for the KPI."""
    words = set(s.words)
    good = kpi(name).good
    if words & _WORST and good != "none":
        return "bottom" if good == "up" else "top"
    if words & _BEST and good != "none":
        return "top" if good == "up" else "bottom"
    if words & _BOTTOM:
        return "top" if "slowest" in words and good == "down" else "bottom"
    return "bottom" if words & {"slow", "slower"} and good == "up" else "top"


def _count(s: Situation) -> int:
    for quantity in s.linked.of(QuantityMention):
        if quantity.unit == "" and quantity.value == int(quantity.value) and 1 <= quantity.value <= 50:
            return int(quantity.value)
    if any(mention.plural and mention.kind is not Kind.UE for mention in s.linked.of(KindMention)):
        return 5
    return 1 if s.linked.of(KindMention) else 5


def _rank(s: Situation) -> dict[str, Any]:
    kind, name = _kind_and_kpi(s, default=None)
    return {"kind": kind.value, "kpi": name, "order": _order(s, name), "count": _count(s), "window": _window(s)}


def _aggregate(s: Situation) -> dict[str, Any]:
    kind, name = _kind_and_kpi(s, default=None)
    function = next((_FUNCTIONS[w] for w in s.words if w in _FUNCTIONS), None)
    if function is None or (function == "sum" and kpi(name).reduce == "mean" and kpi(name).unit in {"%", "dB", "dBm"}):
        function = kpi(name).reduce
    return {"kind": kind.value, "kpi": name, "function": function, "window": _window(s)}


def _compare(s: Situation) -> dict[str, Any]:
    first, second = _pair(s, _MEASURED)
    default = {Kind.LINK: "vsData6gLinkLoad"}.get(s.kind_of(first), "DRB.UEThpDl")
    name = _kpi_for(s, s.kind_of(first), default=default)
    return {"entity_a": first, "entity_b": second, "kpi": name, "window": _window(s)}


def _pair(s: Situation, kinds: tuple[Kind, ...]) -> tuple[str, str]:
    named = _named(s, kinds)
    if len(named) < 2:
        _reject_unknown(s)
        more = [e for e in (*s.before.subjects, *s.selection) if e in s.index and s.kind_of(e) in kinds]
        named += [e for e in more if e not in named and (not named or s.kind_of(e) is s.kind_of(named[0]))]
    if len(named) < 2:
        raise _AskBack("Which two do you mean?")
    return named[0], named[1]


def _path(s: Situation) -> dict[str, Any]:
    kinds = (Kind.CELL, Kind.SITE, Kind.NODE)
    named = _named(s, kinds)
    if len(named) < 2 and {"core", "upf"} & set(s.words):
        core = [e.id for e in s.index.topology.of_kind(Kind.NODE) if e.properties.get("role") == "upf"]
        first = _target(s, _RADIO, "cell or site")
        if core and first != core[0]:
            return {"entity_a": first, "entity_b": core[0]}
    first, second = _pair(s, kinds)
    return {"entity_a": first, "entity_b": second}


def _alarms(s: Situation) -> dict[str, Any]:
    entity = _maybe(s, (Kind.CELL, Kind.SITE, Kind.LINK, Kind.SLICE), lean=s.follows_up)
    past = bool(set(s.words) & {"past", "cleared", "history", "old", "earlier", "previous", "resolved", "had", "were"})
    return _without_none(entity=entity, window=_maybe_window(s)) | ({"include_cleared": True} if past else {})


def _explain(s: Situation) -> dict[str, Any]:
    return _without_none(entity=_maybe(s, (Kind.CELL, Kind.SITE, Kind.LINK, Kind.SLICE)))


def _neighbours(s: Situation) -> dict[str, Any]:
    return {"entity": _target(s, _RADIO, "cell or site")}


def _serves(s: Situation) -> dict[str, Any]:
    here = {"here", "me", "i", "my", "us"} & set(s.words)
    named = _named(s, (Kind.UE, Kind.BUILDING, Kind.PLACE, Kind.SITE, Kind.CELL, Kind.NODE))
    if not named and here and s.position_m is not None:
        return {"position_m": s.position_m}
    found = named[0] if named else _maybe(s, (Kind.UE, Kind.BUILDING, Kind.PLACE))
    if found is not None:
        return {"entity": found}
    if s.position_m is not None:
        return {"position_m": s.position_m}
    raise _AskBack("Where: which UE, building or place do you mean?")


def _describe(s: Situation) -> dict[str, Any]:
    return {"entity": _target(s, _ALL, "cell, site or other thing")}


def _counting(s: Situation) -> dict[str, Any]:
    kinds = s.linked.of(KindMention)
    if not kinds:
        raise _AskBack("What shall I count: sites, cells, UEs, buildings or links?")
    kind = next((m.kind for m in kinds if m.plural), kinds[0].kind)
    near = _maybe(s, _ALL, lean=False)
    radius_m = None
    for quantity in s.linked.of(QuantityMention):
        if quantity.unit in {"m", "km"}:
            radius_m = quantity.value * (1000.0 if quantity.unit == "km" else 1.0)
    return {"kind": kind.value} | _without_none(near=near, radius_m=radius_m)


def _changes(s: Situation) -> dict[str, Any]:
    entity = _maybe(s, _RADIO, lean=s.follows_up)
    return _without_none(entity=entity, window=_maybe_window(s))


def change_named(linked: Linked) -> str | None:
    """Return the change that a sentence names: "change 3", "change-3", "change number 3"."""
    tokens = linked.tokens
    for at, token in enumerate(tokens):
        if token.text != "change":
            continue
        for following in tokens[at + 1 : at + 3]:
            if following.number is not None and following.number == int(following.number):
                return f"change-{int(following.number)}"
            if following.text not in {"-", "#", "number", "no", "nr", "id"}:
                break
    return None


def _effect(s: Situation) -> dict[str, Any]:
    return _without_none(
        change_id=change_named(s.linked) or (None if s.linked.of(EntityMention) else s.before.change_id)
    )


def _undo(s: Situation) -> dict[str, Any]:
    _reject_unknown(s)
    return _without_none(change_id=change_named(s.linked) or s.before.change_id)


def _no_arguments(_: Situation) -> dict[str, Any]:
    return {}


def _one_cell(s: Situation) -> dict[str, Any]:
    return {"cell": _cell(s)}


def _value(s: Situation, units: frozenset[str]) -> QuantityMention | None:
    fitting = [q for q in s.linked.of(QuantityMention) if q.unit in units]
    bare = [q for q in s.linked.of(QuantityMention) if q.unit == ""]
    chosen = fitting or bare
    if len({(q.value, q.mode) for q in chosen}) > 1:
        # "from 6 to 8 degrees": the one after "to" is the wish; two wishes are asked about.
        wished = [q for q in chosen if s.linked.text[: q.span[0]].lower().rstrip().endswith("to")]
        if len(wished) != 1:
            raise _AskBack("I read more than one value; which one do you mean?")
        return wished[0]
    return chosen[0] if chosen else None


_BODY: Final = frozenset({"antenna", "antennas", "beam", "beams", "panel", "panels", "head", "dish", "lobe"})


def tilt_sign(s: Situation, direction: int) -> int:
    """Return the sign of a relative tilt, positive downwards; 0 when the words do not say.

    "uptilt", "tilt it up" and "raise the antenna" point up, so the tilt gets smaller; "raise the tilt" makes the
    number larger.
    """
    words = s.words
    joined = " ".join(words)
    if "uptilt" in joined.replace("- ", "").replace("up tilt", "uptilt") or "flatter" in words:
        return -1
    if "downtilt" in joined.replace("- ", "").replace("down tilt", "downtilt") and direction == 0:
        return 1
    if "steeper" in words:
        return 1
    noun = (
        any(
            words[at] == "tilt"
            and words[at - 1] in {"the", "its", "electrical", "antenna", "more", "less", "of", "'", "s"}
            for at in range(1, len(words))
        )
        or "of tilt" in joined
        or ("tilt" in words and words[:1] != ("tilt",) and bool({"of", "on", "for"} & set(words)))
    )
    body = bool(_BODY & set(words)) and not noun
    if (
        body
        or (not noun and {"up", "down"} & set(words))
        or ({"upwards", "downwards", "upward", "downward"} & set(words))
    ):
        if {"up", "upwards", "upward", "raise", "lift"} & set(words):
            return -1
        if {"down", "downwards", "downward", "lower"} & set(words):
            return 1
    return direction


def _tilt(s: Situation) -> dict[str, Any]:
    cell = _cell(s)
    quantity = _value(s, frozenset({"deg"}))
    if quantity is None:
        raise _AskBack(f"By how many degrees, or to which tilt, shall {cell} go?")
    if quantity.mode == "absolute":
        return {"cell": cell, "tilt_deg": quantity.value}
    sign = tilt_sign(s, quantity.direction)
    if quantity.mode == "relative" or sign != 0:
        if sign == 0 and quantity.value < 0:
            return {"cell": cell, "delta_deg": quantity.value}
        if sign == 0:
            raise _AskBack(f"Shall the tilt of {cell} go up or down by {quantity.text}?")
        return {"cell": cell, "delta_deg": sign * abs(quantity.value)}
    return {"cell": cell, "tilt_deg": quantity.value}


def _power(s: Situation) -> dict[str, Any]:
    cell = _cell(s)
    words = set(s.words)
    if {"halve", "half"} & words and not s.linked.of(QuantityMention):
        return {"cell": cell, "delta_db": round(10.0 * math.log10(0.5), 2)}
    if {"double", "twice"} & words and not s.linked.of(QuantityMention):
        return {"cell": cell, "delta_db": round(10.0 * math.log10(2.0), 2)}
    quantity = _value(s, frozenset({"dB", "dBm", "W", "mW", "%"}))
    if quantity is None:
        raise _AskBack(f"By how many dB, or to how many dBm, shall the power of {cell} go?")
    relative = quantity.mode == "relative" or (quantity.mode == "bare" and quantity.direction != 0)
    match quantity.unit:
        case "W" | "mW" if not relative:
            milliwatts = quantity.value * (1000.0 if quantity.unit == "W" else 1.0)
            if milliwatts <= 0:
                raise _AskBack(f"The power of {cell} must be above zero; to how many dBm shall it go?")
            return {"cell": cell, "tx_power_dbm": round(10.0 * math.log10(milliwatts), 2)}
        case "%" if (relative and quantity.direction != 0) or quantity.mode == "absolute":
            share = quantity.value / 100.0
            factor = share if quantity.mode == "absolute" else 1.0 + quantity.direction * share
            if factor <= 0:
                raise _AskBack(f"That would leave {cell} without power; lock it instead?")
            return {"cell": cell, "delta_db": round(10.0 * math.log10(factor), 2)}
        case "dBm" | "" if not relative:
            return {"cell": cell, "tx_power_dbm": quantity.value}
        case "dB" if quantity.mode == "absolute" and quantity.value >= 20.0:
            return {"cell": cell, "tx_power_dbm": quantity.value}
        case "dB" | "dBm" | "":
            if quantity.value < 0 and quantity.direction <= 0:
                return {"cell": cell, "delta_db": quantity.value}
            if quantity.direction != 0:
                return {"cell": cell, "delta_db": quantity.direction * abs(quantity.value)}
            raise _AskBack(f"Shall the power of {cell} go up or down by {quantity.text}?")
        case _:
            raise _AskBack(f"By how many dB, or to how many dBm, shall the power of {cell} go?")


_LOCKS: Final = word_set("lock locked locking block blocked shut off dark down disable disabled close closed bar sleep")
_UNLOCKS: Final = word_set("unlock unlocked unlocking unblock reopen enable enabled on wake")


def _attribute(s: Situation) -> dict[str, Any]:
    """Return one managed attribute of one entity with the value that the sentence wants, in 3GPP name and unit."""
    rows = attributes_meant(s.linked)
    if len(rows) != 1 or wants_more(s.linked):
        labels = ", ".join(row.label for row in rows)
        raise _AskBack(f"I read more than one wish ({labels}); one at a time, please: what shall I change first?")
    (row,) = rows
    entity = _bearer(s, row.kind)
    return {"entity": entity, "attribute": row.name, "value": _wish(s, row, entity)}


def _bearer(s: Situation, kind: Kind) -> str:
    """Return the one entity of a kind that a sentence speaks of, also by what it joins."""
    named = _named(s, (kind,))
    if len(named) > 1:
        raise _AskBack(f"One at a time, please: {_either(tuple(named))}?", tuple(named))
    topology = s.index.topology
    if kind is Kind.RELATION and not named:
        ends = _named(s, (Kind.CELL,))
        if len(ends) != 2:
            _reject_unknown(s)
            raise _AskBack("From which cell to which cell?")
        if "between" in s.words:
            raise _AskBack(f"From {ends[0]} to {ends[1]}, or the other way?")
        said = [m for m in s.linked.of(EntityMention) if m.kind is Kind.CELL]
        if s.linked.text[: said[-1].span[0]].lower().rstrip().removesuffix("cell").rstrip().endswith("from"):
            ends.reverse()
        for one in topology.of_kind(kind):
            if [one.properties["source_id"], one.properties["target_id"]] == ends:
                return one.id
        raise _AskBack(f"{ends[0]} has no relation to {ends[1]}; which other cell do you mean?")
    if kind is Kind.POLICY and not named:
        parts, sites = _named(s, (Kind.SLICE,)), _named(s, (Kind.SITE,))
        if len(parts) != 1 or len(sites) != 1:
            _reject_unknown(s)
            raise _AskBack("Of which slice at which site? Name one of each.")
        return next(
            one.id
            for one in topology.of_kind(kind)
            if one.parent_id == sites[0] and one.properties["slice_id"] == parts[0]
        )
    return _cell(s) if kind is Kind.CELL else _target(s, (kind,), kind.value)


def _wish(s: Situation, row: Attribute, entity_id: str) -> AttributeValue:
    """Return the value that a sentence wants, in the 3GPP unit."""
    member = member_wanted(row, s.linked) if row.choices or row.name == "coverageShape" else None
    if member is not None:
        return member
    if row.choices:
        raise _AskBack(f"What shall {row.label} of {entity_id} become: {_either(row.choices)}?")
    found = quantities(row, s.linked)
    if len(found) > 1:
        found = [one for one in found if s.linked.text[: one[0].span[0]].lower().rstrip().endswith("to")]
    if len(found) != 1:
        in_unit = f" in {row.native_unit}" if row.native_unit else ""
        raise _AskBack(f"To which value{in_unit} shall I change {row.label} of {entity_id}?")
    quantity, native = found[0]
    if native is None:
        raise _AskBack(f"{row.label} is told in {row.native_unit or 'plain numbers'}; to which value shall it go?")
    if quantity.mode == "relative" or (quantity.mode == "bare" and quantity.direction != 0):
        if quantity.direction == 0:
            raise _AskBack(f"Shall {row.label} of {entity_id} go up or down by {quantity.text}?")
        now = float(to_native(row.name, s.index.topology.get(entity_id).attributes[row.name]))
        native = now + quantity.direction * abs(native)
    return to_managed(row.name, native)


def _what_if(s: Situation) -> dict[str, Any]:
    if others := attributes_meant(s.linked):
        raise _AskBack(
            f"Here I try out tilt, power and locking; for {others[0].label} use for example"
            f' `twin what-if "ENTITY {others[0].name} VALUE"`. Which of the three shall I try?'
        )
    words, named = set(s.words), {m.attribute for m in s.linked.of(AttributeMention)}
    units = {quantity.unit for quantity in s.linked.of(QuantityMention)}
    if "digitalTilt" in named or "deg" in units or any("tilt" in word for word in words):
        return _tilt(s)
    if "configuredMaxTxPower" in named or units & {"dB", "dBm", "W", "mW"} or "power" in words:
        return _power(s)
    if words & _UNLOCKS:
        return {"cell": _cell(s), "administrative_state": "UNLOCKED"}
    if words & _LOCKS:
        return {"cell": _cell(s), "administrative_state": "LOCKED"}
    raise _AskBack("I can try out another tilt, another power, or locking of one cell; which of them, and where?")


_FILLERS: Final[dict[str, Callable[[Situation], dict[str, Any]]]] = {
    "kpi_of_entity": _kpi_of_entity,
    "rank_entities": _rank,
    "aggregate_kpi": _aggregate,
    "compare_entities": _compare,
    "history_chart": _history,
    "list_alarms": _alarms,
    "explain_alarm": _explain,
    "neighbours": _neighbours,
    "path_between": _path,
    "what_serves": _serves,
    "describe_entity": _describe,
    "count_entities": _counting,
    "network_overview": _no_arguments,
    "list_changes": _changes,
    "change_effect": _effect,
    "set_tilt": _tilt,
    "set_power": _power,
    "lock_cell": _one_cell,
    "unlock_cell": _one_cell,
    "undo_change": _undo,
    SET_ATTRIBUTE: _attribute,
    "what_if": _what_if,
}
