"""The agent on real ports: the answer of each tool, its evidence, its follow-ups, and what it refuses."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agent.agent import Agent
from agent.encoder import packaged_folder
from agent.grounding import ungrounded
from agent.planner import load_planner
from agent.question import AgentEvent, Answer, Question, QuestionContext
from tests.agent_world import NOW_S, SCOPES, SICK, AgentWorld, agent_world
from twin.entities import Kind
from twin.errors import InvalidInput, NotFound, PermissionDenied, TooLarge
from twin.kpi import kpi

pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif(packaged_folder() is None, reason="the sentence encoder is not installed: `twin setup`"),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[AgentWorld]:
    async with agent_world(planner="minilm") as opened:
        yield opened


async def ask(world: AgentWorld, *turns: str, conversation: str | None = None, **context: object) -> Answer:
    answer = None
    for text in turns:
        question = Question(
            text=text,
            conversation_id=conversation or f"{turns}"[:100],
            context=QuestionContext(**context),  # type: ignore[arg-type]
        )
        answer = await world.agent.ask(question, caller="local:test", scopes=SCOPES)
    assert answer is not None
    return answer


def tool(answer: Answer) -> str:
    return answer.tool_calls[0].tool if answer.tool_calls else answer.status


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("What is the PRB load of cell 7-1 in the last ten minutes?", "kpi_of_entity"),
        ("Which five cells are busiest?", "rank_entities"),
        ("average throughput over all cells", "aggregate_kpi"),
        ("Compare the load of 7-1 with 7-2", "compare_entities"),
        ("plot the rsrp of cell 7-2 in the last hour", "history_chart"),
        ("Are there any alarms?", "list_alarms"),
        ("Why does cell 7-2 have an alarm?", "explain_alarm"),
        ("Which cells are neighbours of 7-2?", "neighbours"),
        ("path between cell 7-2 and cell 3-1", "path_between"),
        ("which cell serves ue 14", "what_serves"),
        ("tell me about cell 7-2", "describe_entity"),
        ("how many cells are there?", "count_entities"),
        ("How is the network doing?", "network_overview"),
    ],
)
async def test_a_plain_question_reaches_its_tool_and_every_word_of_the_answer_is_proven(
    world: AgentWorld, said: str, expected: str
) -> None:
    answer = await ask(world, said)
    assert (tool(answer), answer.status) == (expected, "answered")
    assert answer.evidence
    assert answer.tool_calls[0].evidence_id in {row.id for row in answer.evidence}
    assert ungrounded(answer.text, answer.evidence) == ()


async def test_a_figure_equals_what_the_store_holds(world: AgentWorld) -> None:
    answer = await ask(world, "What is the PRB load of cell 7-1 in the last ten minutes?")
    ids, values = await world.store.window(Kind.CELL, "RRU.PrbTotDl", start_s=NOW_S - 600.0, end_s=NOW_S)
    stored = float(values[ids.index("cell-7-1")])
    assert answer.evidence[0].value == pytest.approx(stored, abs=1e-3)
    assert f"{stored:.{kpi('RRU.PrbTotDl').decimals}f}%" in answer.text


async def test_the_answer_is_the_json_of_the_interface(world: AgentWorld) -> None:
    row = (await ask(world, "load of cell 7-1")).to_json()
    assert {"question_id", "conversation_id", "status", "text", "confidence", "tool_calls", "evidence", "as_of"} <= set(
        row
    )
    assert set(row["tool_calls"][0]) == {"tool", "arguments", "evidence_id"}
    assert set(row["evidence"][0]) == {"id", "source", "entity", "kpi", "value", "unit", "from", "to", "at"}
    assert "change_id" not in row
    chart = (await ask(world, "plot the load of cell 7-1 in the last hour")).to_json()["evidence"][0]
    assert len(chart["series"]) > 10
    assert "value" not in chart


async def test_a_power_loss_is_explained_from_its_signature(world: AgentWorld) -> None:
    answer = await ask(world, "What is wrong with cell 7-2?")
    assert "transmit path" in answer.text
    assert "sibling sectors are steady" in answer.text
    assert "has room" in answer.text
    assert "raise the power of cell-7-2 by" in answer.text


async def test_it_and_its_neighbours_mean_the_cell_before(world: AgentWorld) -> None:
    answer = await ask(world, "tell me about cell 9-2", "and its neighbours?")
    assert (tool(answer), answer.tool_calls[0].arguments) == ("neighbours", {"entity": "cell-9-2"})


async def test_a_bare_time_repeats_the_question_for_that_time(world: AgentWorld) -> None:
    answer = await ask(world, "load of cell 7-1", "and in the last hour?")
    assert tool(answer) == "kpi_of_entity"
    assert answer.tool_calls[0].arguments["window"] == {"start_s": NOW_S - 3600.0, "end_s": NOW_S}


async def test_a_bare_name_repeats_the_question_for_it(world: AgentWorld) -> None:
    answer = await ask(world, "load of cell 7-1", "and cell 7-3?")
    assert answer.tool_calls[0].arguments["entity"] == "cell-7-3"


async def test_a_selection_on_the_page_is_what_this_cell_means(world: AgentWorld) -> None:
    answer = await ask(world, "what is the load of this cell", selection=["cell-3-1"])
    assert answer.tool_calls[0].arguments["entity"] == "cell-3-1"


async def test_conversations_of_different_callers_are_apart(world: AgentWorld) -> None:
    await ask(world, "load of cell 7-1", conversation="shared")
    other = await world.agent.ask(
        Question(text="and in the last hour?", conversation_id="shared"), caller="token:other", scopes=SCOPES
    )
    assert other.status in {"clarify", "refused"}


async def test_an_unknown_cell_is_said_to_be_unknown_with_candidates(world: AgentWorld) -> None:
    answer = await ask(world, "What is the load of cell 99-1?")
    assert answer.status == "clarify"
    assert "99-1" in answer.text
    assert "cell-9-1" in answer.text


async def test_a_time_without_figures_is_said_to_have_none(world: AgentWorld) -> None:
    answer = await ask(world, "What was the load of cell 7-1 on Monday?")
    assert "no figures" in answer.text


@pytest.mark.parametrize("said", ["hello", "what is the capital of france", "what would happen if we lock cell 7-2"])
async def test_what_it_cannot_do_it_says(world: AgentWorld, said: str) -> None:
    answer = await ask(world, said)
    assert (answer.status, answer.tool_calls) == ("refused", ())


class SceneGone:
    """The inventory of a twin whose scene left ten minutes ago."""

    def __init__(self, world: AgentWorld) -> None:
        self.scene_id, self.topology = world.world.scene_id, world.world.topology
        self.civil, self.now_s = world.world.civil, world.world.now_s
        self.absent_s: float | None = 600.0
        self.history_progress = 1.0


async def ask_with(inventory: SceneGone, world: AgentWorld, text: str) -> Answer:
    agent = Agent(
        inventory=inventory,
        store=world.store,
        graph=world.graph,
        alarms=world.alarms,
        changes=world.changes,
        planner=load_planner(kind="minilm"),
    )
    answer = await agent.ask(Question(text=text), caller="local:test", scopes=SCOPES)
    await agent.close()
    return answer


async def test_without_a_scene_the_answer_says_since_when(world: AgentWorld) -> None:
    gone = SceneGone(world)
    answer = await ask_with(gone, world, "load of cell 7-1")
    assert "The scene has been away for 10 min [e0]" in answer.text
    assert answer.as_of == gone.civil.rfc3339(NOW_S)
    assert ungrounded(answer.text, answer.evidence) == ()


class SceneTelling(SceneGone):
    """The inventory of a twin whose scene is connected and has told a third of its past."""

    def __init__(self, world: AgentWorld) -> None:
        super().__init__(world)
        self.absent_s, self.history_progress = None, 0.37


async def test_while_the_past_is_being_told_the_answer_says_so(world: AgentWorld) -> None:
    answer = await ask_with(SceneTelling(world), world, "load of cell 7-1")
    assert "The past is still being told, 37% so far [e0.1]" in answer.text
    assert ungrounded(answer.text, answer.evidence) == ()


async def test_events_end_with_the_result(world: AgentWorld) -> None:
    events: list[AgentEvent] = []
    await world.agent.ask(Question(text="load of cell 7-1"), caller="local:test", scopes=SCOPES, on_event=events.append)
    names = [event.name for event in events]
    assert names[0] == "step"
    assert "tool" in names
    assert names[-1] == "result"
    spoken = "".join(event.facts["text"] for event in events if event.name == "token").strip()
    assert spoken == events[-1].facts["text"]


async def test_empty_long_forbidden_and_foreign_questions_are_errors(world: AgentWorld) -> None:
    with pytest.raises(InvalidInput):
        await ask(world, "   ")
    with pytest.raises(TooLarge):
        await ask(world, "load " * 2_000)
    with pytest.raises(PermissionDenied):
        await world.agent.ask(Question(text="load of 7-1"), caller="x", scopes=frozenset())
    with pytest.raises(NotFound):
        await ask(world, "load of 7-1", scene="another")


async def test_the_sick_cell_has_the_weakest_signal(world: AgentWorld) -> None:
    answer = await ask(world, "which cell has the lowest rsrp in the last ten minutes?")
    assert answer.evidence[0].entity == SICK
