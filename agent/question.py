"""What goes into the agent and what comes out: the JSON of ``POST /v1/ask``.

Text from outside enters here, so these are pydantic models. Imports `twin` only.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from twin.entities import Position

AnswerStatus = Literal["answered", "clarify", "refused", "proposed", "failed"]
EventName = Literal["step", "tool", "token", "result", "error"]
EvidenceValue = float | str
ShortText = Annotated[str, Field(max_length=200)]


class QuestionContext(BaseModel):
    """Where the person is and what they point at; all of it optional.

    Attributes:
        scene: Scene id; the only scene when absent.
        selection: Entity ids that are selected on the page or in the engine.
        position_m: East, north, up of the person or camera.
        camera: Pose as the engine gives it; kept for tools that look at pictures.
    """

    model_config = ConfigDict(extra="forbid")

    scene: ShortText | None = None
    selection: list[ShortText] = Field(default_factory=list[ShortText], max_length=100)
    position_m: Position | None = None
    camera: dict[str, Any] | None = None


class Question(BaseModel):
    """One turn of a person."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"text": "How strong is the signal of cell 7-2 in the last ten minutes?"}]},
    )

    text: str
    conversation_id: ShortText | None = None
    context: QuestionContext = Field(default_factory=QuestionContext)


class Evidence(BaseModel):
    """One fact behind an answer.

    Attributes:
        id: `e1`, `e1.2` ...; the part before the dot is the tool call.
        source: Where it was read: `telemetry`, `graph`, `inventory`, `alarms`, `changes` or `derived`.
        entity: Entity id, None for the whole network.
        kpi: KPI, attribute or other quantity.
        value: The fact, None when `series` is given or there is no data.
        series: (simulated seconds, value) pairs.
        start_at: RFC 3339 start of the window (`from` in JSON).
        end_at: RFC 3339 end of the window (`to` in JSON).
        at: RFC 3339 moment the fact holds at.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    source: str
    entity: str | None = None
    kpi: str | None = None
    value: EvidenceValue | None = None
    series: tuple[tuple[float, float | None], ...] | None = None
    unit: str = ""
    start_at: str | None = None
    end_at: str | None = None
    at: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the row of the `evidence` list of ``/v1/ask``."""
        row: dict[str, Any] = {"id": self.id, "source": self.source, "entity": self.entity, "kpi": self.kpi}
        if self.series is None:
            row["value"] = self.value
        else:
            row["series"] = [list(point) for point in self.series]
        return row | {"unit": self.unit, "from": self.start_at, "to": self.end_at, "at": self.at}


class ToolCall(BaseModel):
    """One tool that was run, with its arguments and the id of its first evidence row."""

    model_config = ConfigDict(frozen=True)

    tool: str
    arguments: dict[str, Any]
    evidence_id: str


class Answer(BaseModel):
    """What the agent says.

    Attributes:
        confidence: 0..1, calibrated on the planner's validation split.
        as_of: RFC 3339 civil time of the newest sample that the answer knows of.
        change_id: The change that was proposed, if one was.
        planner: Which planner chose the tool.
    """

    model_config = ConfigDict(frozen=True)

    question_id: str
    conversation_id: str
    status: AnswerStatus
    text: str
    confidence: float
    tool_calls: tuple[ToolCall, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    as_of: str
    change_id: str | None = None
    planner: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON of ``/v1/ask``; `change_id` is there only when a change was proposed."""
        row: dict[str, Any] = {
            "question_id": self.question_id,
            "conversation_id": self.conversation_id,
            "status": self.status,
            "text": self.text,
            "confidence": round(self.confidence, 4),
            "tool_calls": [call.model_dump(mode="json") for call in self.tool_calls],
            "evidence": [fact.to_json() for fact in self.evidence],
            "as_of": self.as_of,
            "planner": self.planner,
        }
        return row if self.change_id is None else row | {"change_id": self.change_id}


class AgentEvent(BaseModel):
    """Something that happened on the way to an answer, for server-sent events.

    Attributes:
        name: `step`, `tool`, `token`, `result` or `error`.
        facts: JSON; for `result` the answer, for `token` the next piece of text.
    """

    model_config = ConfigDict(frozen=True)

    name: EventName
    facts: dict[str, Any]
