"""Checks that the named queries stay inside what every store answers alike.

Works on words, not on a syntax tree: it guards our own files against slips, and is no gate for foreign text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from knowledge_graph.schema import LABELS, RELATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from knowledge_graph.named_queries import NamedQuery

MAX_HOPS = 8

_WRITES = frozenset({"CREATE", "MERGE", "SET", "DELETE", "DETACH", "REMOVE", "DROP", "COPY", "LOAD", "INSTALL"}) | {
    "CALL",
    "FOREACH",
    "ALTER",
    "IMPORT",
    "EXPORT",
    "ATTACH",
}
_NOT_PORTABLE = ("datetime", "duration", "point", "type", "shortestpath", "elementid", "labels", "label", "reduce")
_STRING = re.compile(r"'[^']*'")
_LABELLED = re.compile(r"\(\s*\w*\s*:\s*([\w|]+)")
_RELATION = re.compile(r"\[\s*\w*\s*:\s*([\w|]+)")
_PROPERTY = re.compile(r"\b[a-z]\w*\.(\w+)")
_HOPS = re.compile(r"\*\s*(\d*)\s*(\.\.)?\s*(\$?\w*)\s*(?=[\]{])")
_PARAMETER = re.compile(r"\$(\w+)")


def problems(query: NamedQuery) -> Iterator[str]:
    """Yield what is wrong with a query, in words."""
    text = _STRING.sub("''", query.text)
    words = {word.upper() for word in re.findall(r"\b[A-Za-z]+\b(?!\s*:)", text)}
    if wrong := words & _WRITES:
        yield f"writes or reaches out: {', '.join(sorted(wrong))}"
    for name in _NOT_PORTABLE:
        if re.search(rf"\b{name}\s*\(", text, re.IGNORECASE):
            yield f"function `{name}` is not on every engine"
    if re.search(r"\bCOUNT\s*\{", text, re.IGNORECASE):
        yield "COUNT {} is not on every engine"
    if not all(re.search(r"\bLIMIT\b", branch) for branch in re.split(r"\bUNION\b", text)):
        yield "has no LIMIT"
    yield from _unknown_names(text)
    for low, dots, high in _HOPS.findall(text):
        if not (high.isdigit() if dots else low.isdigit()) or int(high or low) > MAX_HOPS:
            yield f"variable length needs a literal upper bound of at most {MAX_HOPS}"
    used, declared = set(_PARAMETER.findall(text)), {param.name for param in query.params}
    if used != declared:
        yield f"parameters of header and text differ: {', '.join(sorted(used ^ declared))}"


def _unknown_names(text: str) -> Iterator[str]:
    labels = {label.name for label in LABELS}
    relations = {relation.name for relation in RELATIONS}
    properties = {prop.name for part in (*LABELS, *RELATIONS) for prop in part.properties}
    for pattern, known, what in (
        (_LABELLED, labels, "label"),
        (_RELATION, relations, "relation"),
        (_PROPERTY, properties, "property"),
    ):
        for found in pattern.findall(text):
            for name in found.split("|"):
                if name not in known:
                    yield f"{what} `{name}` is not in the schema"
