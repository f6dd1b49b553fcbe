"""One question to one answer: link, choose, guard, fill, run, check, say.

The agent reaches the world through `twin.ports` only and can propose changes, never approve them. Names and alarm
texts that it reads are data: they are shown, never planned on. Every number that leaves stands in the evidence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from agent import guard
from agent.arguments import CONTROL, Missing, Situation, fill, refill
from agent.follow_up import follows_up, reused_tool
from agent.grounding import keep_grounded, say_time
from agent.ledger import Ledger
from agent.memory import Conversations, Turn
from agent.orders import SET_ATTRIBUTE, attributes_meant, is_order
from agent.planner import HYPOTHETICAL, NONE, Choice, Planner, load_planner
from agent.question import AgentEvent, Answer, AnswerStatus, Evidence, Question, ToolCall
from agent.registry import Registry, ToolContext, default_registry
from agent.worker import Worker
from twin.errors import InvalidInput, NotFound, PermissionDenied, TooLarge, TwinError, UnknownEntity
from twin.ids import uuid7
from twin.naming import Linked, UnknownMention, index_of, link
from twin.ports import AlarmLog, ChangeDesk, GraphStore, Inventory, TelemetryStore, WhatIf

OnEvent = Callable[[AgentEvent], None]
MAX_WAITING: Final = 64
WHAT_IF: Final = "what_if"
_ABSENT_SAID_S: Final = 5.0
_CAN: Final = (
    "I can tell figures of cells, sites, slices, links and UEs, rank and compare them, list and explain alarms, show"
    " neighbours and paths, try out what a tilt, power or lock change would do, and propose such changes and those of"
    " every other managed attribute."
)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What the agent will answer, before it is checked and dressed."""

    status: AnswerStatus
    text: str
    confidence: float
    calls: tuple[ToolCall, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    change_id: str | None = None


class Agent:
    """Answers questions about one scene and proposes changes to it.

    Args:
        what_if: Tries changes out; None = nothing can be tried out.
        planner: A loaded planner; None = load one at `warm_up` or with the first question.
        load: Loads the planner, blocking; agents of several scenes share one. None = load one of its own.
        max_question_chars: Longer questions are refused.
        clock: Wall seconds, for forgetting old conversations.
    """

    def __init__(
        self,
        *,
        inventory: Inventory,
        store: TelemetryStore,
        graph: GraphStore,
        alarms: AlarmLog,
        changes: ChangeDesk,
        what_if: WhatIf | None = None,
        planner: Planner | None = None,
        load: Callable[[], Planner] | None = None,
        registry: Registry | None = None,
        max_question_chars: int = 8_000,
        max_waiting: int = MAX_WAITING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inventory = inventory
        self._store = store
        self._graph = graph
        self._alarms = alarms
        self._changes = changes
        self._what_if = what_if
        self._planner = planner
        self._load = load or load_planner
        self._registry = registry or default_registry()
        self._max_question_chars = max_question_chars
        self._worker = Worker("agent", max_waiting=max_waiting)
        self._conversations = Conversations(clock=clock)
        self._loading = asyncio.Lock()

    @property
    def registry(self) -> Registry:
        """The tools."""
        return self._registry

    @property
    def planner_name(self) -> str:
        """Which planner chooses the tools, for the health page."""
        return "not loaded yet" if self._planner is None else self._planner.name

    @property
    def refused_questions(self) -> int:
        """How many questions were refused because too many were waiting."""
        return self._worker.refused

    async def warm_up(self) -> None:
        """Load the planner and the names so that the first question is as fast as the next."""
        planner = await self._loaded()
        topology = self._inventory.topology
        civil, now_s = self._inventory.civil, self._inventory.now_s
        await self._worker.run(
            lambda: planner.choose(link("load of the busiest cell", index_of(topology), civil=civil, now_s=now_s))
        )

    async def close(self) -> None:
        """End the worker."""
        await self._worker.close()

    async def _loaded(self) -> Planner:
        async with self._loading:
            if self._planner is None:
                self._planner = await self._worker.run(self._load)
            return self._planner

    async def ask(
        self, question: Question, *, caller: str, scopes: frozenset[str], on_event: OnEvent | None = None
    ) -> Answer:
        """Answer one question.

        Args:
            caller: Who asks, from authentication; proposals carry it.
            scopes: What the caller may do (`observe`, `propose`).
            on_event: Called on the loop with each step, tool, piece of text and the result.

        Raises:
            InvalidInput: The question is empty. TooLarge: It is too long. PermissionDenied: No right to observe.
            Overloaded: Too many are waiting.
        """
        text = question.text.strip()
        if not text:
            raise InvalidInput("the question is empty; ask for example `How is the network doing?`")
        if len(text) > self._max_question_chars:
            raise TooLarge(
                f"the question has `{len(text)}` characters, at most {self._max_question_chars} are read; shorten it"
            )
        if "observe" not in scopes:
            raise PermissionDenied(f"`{caller}` may not ask; it needs the right `observe`")
        wanted = question.context.scene
        if wanted is not None and wanted != self._inventory.scene_id:
            raise NotFound(f"there is no scene `{wanted}`; this one is `{self._inventory.scene_id}`")
        question_id = uuid7()
        conversation = question.conversation_id or question_id
        tell = _Teller(on_event)
        with structlog.contextvars.bound_contextvars(question_id=question_id):
            said = await self._answer(question, text, question_id, caller, scopes, tell, f"{caller}/{conversation}")
            answer = self._dress(said, question_id=question_id, conversation=conversation)
        for piece in answer.text.split(" "):
            tell("token", {"text": piece + " "})
        tell("result", answer.to_json())
        return answer

    async def _answer(
        self,
        question: Question,
        text: str,
        question_id: str,
        caller: str,
        scopes: frozenset[str],
        tell: _Teller,
        memory_key: str,
    ) -> _Said:
        planner = await self._loaded()
        before = self._conversations.recall(memory_key)
        topology, now_s = self._inventory.topology, self._inventory.now_s
        civil, position_m = self._inventory.civil, question.context.position_m

        def read() -> tuple[Linked, Choice]:
            found = link(text, index_of(topology), civil=civil, now_s=now_s, position_m=position_m)
            return found, planner.choose(found)

        tell("step", {"step": "understand", "planner": planner.name})
        linked, choice = await self._worker.run(read)
        leaning = follows_up(linked, before)
        reused = reused_tool(linked, before) if leaning else None
        tool, confidence = (reused, 1.0) if reused else (choice.label, choice.probability)
        if not reused and self._what_if is not None and _imagines(tool, text):
            tool = WHAT_IF
        ordered = bool(attributes_meant(linked)) and not reused
        if ordered and tool != WHAT_IF and is_order(linked):
            tool, confidence = SET_ATTRIBUTE, 1.0
        tell("step", {"step": "choose", "tool": tool, "confidence": round(confidence, 4)})
        refusal = _refuse(text, linked, choice, tool=tool, reused=reused is not None)
        if refusal is not None:
            return refusal
        situation = Situation(
            linked=linked,
            index=index_of(topology),
            now_s=now_s,
            before=before,
            selection=tuple(entity for entity in question.context.selection if entity in topology),
            position_m=position_m,
            follows_up=leaning,
        )
        arguments = refill(tool, situation) if reused else fill(tool, situation)
        if isinstance(arguments, Missing):
            return _Said(status="clarify", text=arguments.question, confidence=confidence)
        ledger = Ledger(call=1, civil=civil)
        context = ToolContext(
            inventory=self._inventory,
            store=self._store,
            graph=self._graph,
            alarms=self._alarms,
            changes=self._changes,
            ledger=ledger,
            caller=caller,
            question_id=question_id,
            question=text,
            position_m=position_m,
            what_if=self._what_if,
        )
        tell("tool", {"tool": tool, "arguments": arguments})
        try:
            result = await self._registry.call(tool, arguments, context, scopes=scopes)
        except UnknownEntity as error:
            hint = f" Candidates: {', '.join(error.candidates)}." if error.candidates else ""
            return _Said(status="clarify", text=f"{_sentence(error)}{hint}", confidence=confidence)
        except (InvalidInput, NotFound, PermissionDenied) as error:
            return _Said(status="refused", text=_sentence(error), confidence=confidence)
        except TwinError as error:
            _log.warning("tool failed", tool=tool, error=type(error).__name__)
            return _Said(status="failed", text=_sentence(error), confidence=confidence)
        self._conversations.note(
            memory_key,
            Turn(
                tool=tool,
                arguments=arguments,
                subjects=result.subjects or before.subjects,
                change_id=result.change_id or before.change_id,
            ),
        )
        call = ToolCall(tool=tool, arguments=_plain(arguments), evidence_id=ledger.first_id)
        return _Said(
            status="proposed" if result.change_id else "answered",
            text=result.text,
            confidence=confidence,
            calls=(call,),
            evidence=result.evidence,
            change_id=result.change_id,
        )

    def _dress(self, said: _Said, *, question_id: str, conversation: str) -> Answer:
        """Check the text against its evidence, add what is to say about time, and return the answer."""
        text, evidence, status = said.text, list(said.evidence), said.status
        if said.calls:
            text, wrong = keep_grounded(text, evidence)
            if wrong:
                _log.error("ungrounded answer", dropped=wrong, tool=said.calls[0].tool)
            if not text:
                status, text = (
                    "failed",
                    "I found something but could not prove what I was about to say; please ask again.",
                )
            text += self._say_absence(evidence) + self._say_untold_past(evidence)
        civil, now_s = self._inventory.civil, self._inventory.now_s
        return Answer(
            question_id=question_id,
            conversation_id=conversation,
            status=status,
            text=text,
            confidence=min(1.0, max(0.0, said.confidence)),
            tool_calls=said.calls,
            evidence=tuple(evidence),
            as_of=civil.rfc3339(now_s),
            change_id=said.change_id,
            planner=self.planner_name,
        )

    def _say_absence(self, evidence: list[Evidence]) -> str:
        """Return a sentence when no scene is connected; its figures join the evidence."""
        absent_s = self._inventory.absent_s
        if absent_s is None or absent_s < _ABSENT_SAID_S:
            return ""
        civil, now_s = self._inventory.civil, self._inventory.now_s
        number, unit = (absent_s, "s") if absent_s < 120.0 else (absent_s / 60.0, "min")
        row = Evidence(
            id="e0", source="inventory", kpi="scene absent for", value=number, unit=unit, at=civil.rfc3339(now_s)
        )
        evidence.append(row)
        last = say_time(civil.at(now_s), civil.at(now_s))
        return f" The scene has been away for {number:.0f} {unit} [e0]; the last sample is of {last}."

    def _say_untold_past(self, evidence: list[Evidence]) -> str:
        """Return a sentence while the scene still tells its past; the share joins the evidence."""
        percent = float(int(100 * self._inventory.history_progress))
        if percent >= 100.0 or self._inventory.absent_s is not None:
            return ""
        at = self._inventory.civil.rfc3339(self._inventory.now_s)
        evidence.append(Evidence(id="e0.1", source="inventory", kpi="past told", value=percent, unit="%", at=at))
        return f" The past is still being told, {percent:.0f}% so far [e0.1]; figures may be missing until it is done."


class _Teller:
    """Passes events on to whoever listens."""

    def __init__(self, on_event: OnEvent | None) -> None:
        self._on_event = on_event

    def __call__(self, name: Any, facts: dict[str, Any]) -> None:
        if self._on_event is not None:
            self._on_event(AgentEvent(name=name, facts=facts))


def _imagines(tool: str, text: str) -> bool:
    """Return whether somebody wants to know what a change would do."""
    verdict = guard.verdict(text)
    return (tool == HYPOTHETICAL and verdict != "negated") or (tool in CONTROL and verdict == "imagined")


def _refuse(text: str, linked: Linked, choice: Choice, *, tool: str, reused: bool) -> _Said | None:
    """Return what to say instead of running a tool, None when it may run."""
    if reused or tool in {WHAT_IF, SET_ATTRIBUTE}:
        return None
    confidence = choice.probability
    if tool == HYPOTHETICAL:
        said = "I cannot try that out here: I tell what is and was, and I propose changes. Nothing was changed."
        return _Said(status="refused", text=said, confidence=confidence)
    if tool == NONE and guard.verdict(text) == "negated":
        return _Said(status="refused", text="Understood: nothing will be changed.", confidence=confidence)
    if tool == NONE:
        return _Said(status="refused", text=f"That is outside what I know. {_CAN}", confidence=confidence)
    if tool in CONTROL:
        verdict = guard.verdict(text)
        if verdict == "negated":
            return _Said(status="refused", text="Understood: nothing will be changed.", confidence=confidence)
        if verdict is not None:
            said = (
                "That does not ask for a change, so I propose none. To propose one, say for example `lower the power of"
                " cell 7-2 by 3 dB`."
            )
            return _Said(status="refused", text=said, confidence=confidence)
        if others := attributes_meant(linked):
            said = (
                f"That names {others[0].label}. To propose another value, say it as an order that begins with `set` or"
                f' `switch`, or use `twin propose "ENTITY {others[0].name} VALUE"`.'
            )
            return _Said(status="clarify", text=said, confidence=confidence)
        if not guard.has_verb(tool, text):
            return _Said(status="clarify", text="What shall I change, where, and by how much?", confidence=confidence)
    unknown = linked.of(UnknownMention)
    if not choice.sure and not unknown:
        if choice.conceivable:
            said = f"I am not sure what you mean. {_offer(choice)}"
            return _Said(status="clarify", text=said, confidence=confidence)
        return _Said(status="refused", text=f"I do not understand that well enough. {_CAN}", confidence=confidence)
    return None


_OFFERS: Final = {
    "kpi_of_entity": "a figure of one cell, site, slice, link or UE",
    "rank_entities": "a ranking",
    "aggregate_kpi": "one figure over the whole network",
    "compare_entities": "a comparison of two",
    "history_chart": "a chart over time",
    "list_alarms": "the alarms",
    "explain_alarm": "why something is wrong",
    "neighbours": "neighbour cells",
    "path_between": "a transport path",
    "what_serves": "which cell serves something",
    "describe_entity": "what is known of one thing",
    "count_entities": "a count",
    "network_overview": "the state of the whole network",
    "list_changes": "what was changed",
    "change_effect": "what a change did",
    "set_tilt": "a proposal to change a tilt",
    "set_power": "a proposal to change a power",
    "lock_cell": "a proposal to lock a cell",
    "unlock_cell": "a proposal to unlock a cell",
    "undo_change": "a proposal to take a change back",
}


def _offer(choice: Choice) -> str:
    offers = [_OFFERS[label] for label in (choice.label, choice.second) if label in _OFFERS]
    return f"Do you want {' or '.join(offers)}?" if offers else _CAN


def _sentence(error: TwinError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}." if not text.endswith((".", "?")) else f"{text[:1].upper()}{text[1:]}"


def _plain(arguments: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in arguments.items()}
