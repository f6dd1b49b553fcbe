"""Short turns that lean on the one before: "and yesterday?", "and cell 7-3?", "what about the load?"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.arguments import CONTROL
from twin.naming import EntityMention, KpiMention, ReferenceMention, TimeMention
from twin.naming_words import options

if TYPE_CHECKING:
    from agent.memory import Turn
    from twin.naming import Linked

_OPENING: Final = re.compile(r"^\s*(?:and|what about|how about|same for|also|then|now|ok and|but)\b", re.IGNORECASE)
_FILLER: Final = frozenset(
    options(
        "and|what|about|how|the|for|same|of|in|on|at|also|then|now|ok|but|please|is|was|it|its|that|this|to|"
        "with|a|an|by|instead|over|during"
    )
)
_NEEDS_KPI: Final = frozenset({"kpi_of_entity", "rank_entities", "aggregate_kpi", "compare_entities", "history_chart"})
_KPI_MAY_LEAN_ON: Final = _NEEDS_KPI | {"describe_entity", "explain_alarm", "what_serves", "neighbours"}


def _is_bare(linked: Linked) -> bool:
    """Return whether a sentence is nothing but names, times, figures and small words."""
    spans = [m.span for m in linked.mentions if isinstance(m, EntityMention | TimeMention | KpiMention)]
    for token in linked.tokens:
        inside = any(start <= token.start < end for start, end in spans)
        if token.is_word and not inside and token.text not in _FILLER:
            return False
    return bool(spans)


def follows_up(linked: Linked, before: Turn) -> bool:
    """Return whether a sentence leans on the turn before."""
    if not before.tool:
        return False
    opening = _OPENING.match(linked.text) is not None
    return opening or bool(linked.of(ReferenceMention)) or _is_bare(linked)


def reused_tool(linked: Linked, before: Turn) -> str | None:
    """Return the tool to run again with what is new, None when the sentence asks for something of its own.

    A change is never repeated this way: it must be asked for in full.
    """
    if not _is_bare(linked) or before.tool in CONTROL or not before.tool:
        return None
    kpis, entities = linked.of(KpiMention), linked.of(EntityMention)
    if kpis:
        if before.tool in _NEEDS_KPI:
            return before.tool
        return "kpi_of_entity" if before.tool in _KPI_MAY_LEAN_ON else None
    if entities and before.tool in {"rank_entities", "aggregate_kpi", "network_overview", "undo_change"}:
        return None
    return before.tool
