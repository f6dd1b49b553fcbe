"""The one registry of tools: what the agent can do, with which arguments, effect, right and time limit.

REST, schemas for language models, the planner's labels and the docs are read from it. There is no tool that
approves a change, on purpose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from agent.ledger import Ledger
from agent.question import Evidence
from twin.entities import Position
from twin.errors import DeadlineExceeded, InvalidInput, PermissionDenied, UnknownName
from twin.ports import AlarmLog, ChangeDesk, GraphStore, Inventory, TelemetryStore, WhatIf

Effect = Literal["read", "view", "propose"]
Scope = Literal["observe", "propose"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool may reach: the ports, who asks, and the book for its evidence.

    Attributes:
        question: The person's own words, the reason of a proposal.
        position_m: Where the person stands.
        what_if: None where nothing can be tried out.
    """

    inventory: Inventory
    store: TelemetryStore
    graph: GraphStore
    alarms: AlarmLog
    changes: ChangeDesk
    ledger: Ledger
    caller: str
    question_id: str
    question: str
    position_m: Position | None = None
    what_if: WhatIf | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a tool found.

    Attributes:
        text: Sentences over the evidence, each number followed by its mark.
        evidence: The rows, the first one stands for the call.
        change_id: The change that was proposed.
        subjects: Entity ids that "it" and "them" mean from now on.
    """

    text: str
    evidence: tuple[Evidence, ...]
    change_id: str | None = None
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a tool function returns; the registry adds the evidence of the ledger."""

    text: str
    change_id: str | None = None
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One thing that the agent can do.

    Attributes:
        run: Called with a context and an instance of `input_model`.
        examples: Ways to ask for it.
    """

    name: str
    description: str
    input_model: type[BaseModel]
    run: Callable[[ToolContext, Any], Awaitable[Finding]]
    effect: Effect = "read"
    scope: Scope = "observe"
    timeout_s: float = 5.0
    examples: tuple[str, ...] = field(default=())


class Registry:
    """Tools by name."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            if tool.name in self._tools:
                raise InvalidInput(f"two tools are called `{tool.name}`")
            self._tools[tool.name] = tool

    @property
    def tools(self) -> tuple[Tool, ...]:
        """All tools in order of registration."""
        return tuple(self._tools.values())

    def get(self, name: str) -> Tool:
        """Return a tool.

        Raises:
            UnknownName: There is none.
        """
        try:
            return self._tools[name]
        except KeyError:
            raise UnknownName(f"no tool is called `{name}`; known: {', '.join(self._tools)}") from None

    def schemas(self) -> list[dict[str, Any]]:
        """Return name, description, effect and JSON schema of every tool, for models and docs."""
        return [
            {
                "name": tool.name,
                "description": tool.description,
                "effect": tool.effect,
                "scope": tool.scope,
                "parameters": tool.input_model.model_json_schema(),
                "examples": list(tool.examples),
            }
            for tool in self.tools
        ]

    async def call(
        self, name: str, arguments: Mapping[str, Any], context: ToolContext, *, scopes: frozenset[str]
    ) -> ToolResult:
        """Run a tool with checked arguments.

        Raises:
            UnknownName: No such tool. InvalidInput: Wrong arguments. PermissionDenied: The caller may not.
            DeadlineExceeded: It took too long.
        """
        tool = self.get(name)
        if tool.scope not in scopes:
            raise PermissionDenied(f"`{context.caller}` may not use `{name}`; it needs the right `{tool.scope}`")
        try:
            checked = tool.input_model.model_validate(dict(arguments))
        except ValidationError as exc:
            first = exc.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "arguments"
            raise InvalidInput(f"`{name}` cannot take `{where}`: {first['msg']}") from exc
        try:
            async with asyncio.timeout(tool.timeout_s):
                finding = await tool.run(context, checked)
        except TimeoutError as exc:
            raise DeadlineExceeded(f"`{name}` took longer than `{tool.timeout_s:g}` s; ask for a shorter time") from exc
        rows = context.ledger.rows
        if not rows:
            context.ledger.add("derived", kpi="result", value=name, at_s=context.inventory.now_s)
        return ToolResult(
            text=finding.text, evidence=tuple(rows), change_id=finding.change_id, subjects=finding.subjects
        )


def default_registry() -> Registry:
    """Return the registry with every tool of the twin."""
    from agent.tools import alarms, changes, diagnosis, figures, places, what_if, world

    groups = (figures, alarms, diagnosis, places, world, changes, what_if)
    return Registry(tool for group in groups for tool in group.TOOLS)
