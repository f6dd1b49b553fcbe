"""Without the sentence encoder the linear router serves, says so, and is as careful with changes."""

from agent.question import Question
from tests.agent_world import SCOPES, agent_world


async def test_the_linear_router_answers_and_says_what_it_is() -> None:
    async with agent_world(planner="linear") as world:
        answer = await world.agent.ask(
            Question(text="What is the load of cell 7-1 in the last ten minutes?"), caller="x", scopes=SCOPES
        )
        assert answer.tool_calls[0].tool == "kpi_of_entity"
        assert "twin setup" in answer.planner
        imagined = await world.agent.ask(Question(text="what if we lock cell 7-2?"), caller="x", scopes=SCOPES)
        assert imagined.status != "proposed"
