"""The named queries of ``queries/*.cypher``: found, checked, given their parameters.

Each file opens with a header::

    // What the caller gets, one sentence.
    // params: cell_id STRING, limit INT64 = 50
    // columns: id, name, distance_m
    // ordered: yes

Callers name a query and give parameters; no other text reaches an engine from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from twin.errors import InvalidInput, UnknownName

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUIRED = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a query; `default` is what stands in when the caller leaves it out."""

    name: str
    type: str
    default: Any = _REQUIRED

    @property
    def required(self) -> bool:
        """Whether the caller must give it."""
        return self.default is _REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedQuery:
    """One read query.

    Attributes:
        columns: Names of the result columns in order.
        ordered: Whether the order of the rows means something.
        text: The statement without its header.
    """

    id: str
    about: str
    params: tuple[Parameter, ...]
    columns: tuple[str, ...]
    ordered: bool
    text: str

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters complete and typed.

        Raises:
            InvalidInput: One is missing, unknown, or of another type.
        """
        known = {param.name for param in self.params}
        for name in given:
            if name not in known:
                takes = ", ".join(sorted(known)) or "none"
                raise InvalidInput(f"query `{self.id}` has no parameter `{name}`; it takes {takes}")
        return {param.name: self._one(param, given) for param in self.params}

    def _one(self, param: Parameter, given: Mapping[str, Any]) -> Any:
        if param.name not in given:
            if param.required:
                raise InvalidInput(f"query `{self.id}` needs the parameter `{param.name}` ({param.type})")
            return param.default
        value = given[param.name]
        match param.type, value:
            case "STRING", str():
                return value
            case (("INT64" | "DOUBLE"), bool()):
                pass
            case "INT64", int() if 0 <= value < 2**53:
                return value
            case "DOUBLE", int() | float() if math.isfinite(value):
                return float(value)
            case _:
                pass
        raise InvalidInput(f"parameter `{param.name}` of query `{self.id}` is {param.type}, not `{value!r:.80}`")


def parse(query_id: str, text: str) -> NamedQuery:
    """Return the query that a file holds.

    Raises:
        InvalidInput: The header lacks a line or says something that cannot be read.
    """
    lines = text.splitlines()
    head = [line.removeprefix("//").strip() for line in lines if line.startswith("//")]
    body = "\n".join(line for line in lines if not line.startswith("//")).strip()
    fields: dict[str, str] = {}
    about: list[str] = []
    for line in head:
        word, colon, rest = line.partition(":")
        if colon and word in {"params", "columns", "ordered"}:
            fields[word] = rest.strip()
        else:
            about.append(line)
    if set(fields) != {"params", "columns", "ordered"} or fields["ordered"] not in {"yes", "no"} or not about:
        raise InvalidInput(f"query `{query_id}` needs a header with a sentence, params, columns and ordered: yes or no")
    return NamedQuery(
        id=query_id,
        about=" ".join(about),
        params=tuple(_parameter(query_id, part) for part in _split(fields["params"])),
        columns=tuple(_split(fields["columns"])),
        ordered=fields["ordered"] == "yes",
        text=body,
    )


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip() and part.strip() != "none"]


def _parameter(query_id: str, text: str) -> Parameter:
    declared, has_default, default = (part.strip() for part in text.partition("="))
    match declared.split():
        case [name, "STRING"]:
            return (
                Parameter(name=name, type="STRING", default=default.strip("'"))
                if has_default
                else Parameter(name=name, type="STRING")
            )
        case [name, "INT64"]:
            return Parameter(name=name, type="INT64", default=int(default) if has_default else _REQUIRED)
        case [name, "DOUBLE"]:
            return Parameter(name=name, type="DOUBLE", default=float(default) if has_default else _REQUIRED)
        case _:
            raise InvalidInput(f"query `{query_id}`: `{text}` is not a parameter; write `name TYPE` or `name TYPE = 1`")


def load_queries() -> dict[str, NamedQuery]:
    """Return every named query that ships, by id."""
    folder = resources.files("knowledge_graph") / "queries"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".cypher")), key=lambda file: file.name)
    return {
        file.name.removesuffix(".cypher"): parse(file.name.removesuffix(".cypher"), file.read_text(encoding="utf-8"))
        for file in files
    }


def find(queries: Mapping[str, NamedQuery], query_id: str) -> NamedQuery:
    """Return the query of this name.

    Raises:
        UnknownName: There is none.
    """
    try:
        return queries[query_id]
    except KeyError:
        raise UnknownName(f"no graph query is called `{query_id}`; known: {', '.join(sorted(queries))}") from None
