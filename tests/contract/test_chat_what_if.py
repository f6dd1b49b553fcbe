"""Questions of the kind "what would happen if", answered from a shadow twin; proposals that say what it found."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
import pytest_asyncio

from agent.encoder import packaged_folder
from agent.question import Answer, Question
from tests.agent_world import SCENARIO, SCOPES, AgentWorld, agent_world
from twin.attributes import to_managed
from twin.commands import SetAttribute
from twin.control import Shadow, shadow_of
from twin.errors import ShadowUnavailable
from twin.what_if_report import Delta, Verdict, WhatIfReport

TILT = to_managed("digitalTilt", next(cell.tilt_deg for cell in SCENARIO.cells if cell.id == "cell-7-2"))
pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif(packaged_folder() is None, reason="the sentence encoder is not installed: `twin setup`"),
    pytest.mark.asyncio(loop_scope="module"),
]

FALLS = Delta(
    entity_id="cell-7-2",
    kpi="DRB.UEThpDl",
    unit="kbit/s",
    verdict=Verdict.WORSE,
    base=20_000.0,
    changed=15_000.0,
    delta=-5_000.0,
    low=-6_000.0,
    high=-4_000.0,
)


def report(targets: tuple[str, ...], fall: Delta = FALLS) -> WhatIfReport:
    return WhatIfReport(
        fidelity="state",
        sim_time_s=100.0,
        horizon_s=30.0,
        settle_s=5.0,
        seeds=(1, 2, 3, 4),
        targets=targets,
        deltas=(fall,),
        guard=fall,
    )


class Foresight:
    """A shadow twin that finds what it is told to, and remembers what was tried."""

    def __init__(self) -> None:
        self.tried: list[SetAttribute] = []
        self.takes_s = 0.0
        self.gone = False

    async def foresee(
        self,
        actions: Sequence[SetAttribute],
        *,
        horizon_s: float | None = None,
        seeds: int | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> WhatIfReport:
        assert horizon_s is None or horizon_s > 0
        assert seeds is None
        if self.gone:
            raise ShadowUnavailable("the process of the shadow twin ended")
        self.tried += actions
        await asyncio.sleep(self.takes_s)
        if on_progress is not None:
            on_progress(1.0)
        return report(tuple(one.entity_id for one in actions))

    async def judge(self, actions: Sequence[SetAttribute], *, on_progress: Callable[[float], None]) -> Shadow:
        return shadow_of(await self.foresee(actions, on_progress=on_progress), guard_drop=0.1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[tuple[AgentWorld, Foresight]]:
    foresight = Foresight()
    async with agent_world(planner="minilm", foresight=foresight) as opened:
        yield opened, foresight


async def ask(world: AgentWorld, text: str) -> Answer:
    return await world.agent.ask(Question(text=text, conversation_id=text), caller="local:test", scopes=SCOPES)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("what would happen if I tilt cell 7-2 to 9 degrees", ("cell-7-2", "digitalTilt", 90.0)),
        ("What if we tilted cell 7-2 two degrees further down?", ("cell-7-2", "digitalTilt", TILT + 20.0)),
        ("should I raise the power of cell 7-2 by 3 dB?", ("cell-7-2", "configuredMaxTxPower", 79_433.0)),
        ("would it help to lock cell 7-2?", ("cell-7-2", "administrativeState", "LOCKED")),
    ],
)
async def test_a_what_if_question_is_tried_out_and_answered_with_its_interval(
    world: tuple[AgentWorld, Foresight], said: str, wanted: tuple[str, str, object]
) -> None:
    opened, foresight = world
    foresight.tried.clear()
    before = len(await opened.changes.list())

    answer = await ask(opened, said)

    assert (answer.status, [call.tool for call in answer.tool_calls]) == ("answered", ["what_if"])
    (tried,) = foresight.tried
    assert (tried.entity_id, tried.attribute, tried.value) == wanted
    assert "falls by 5000 kbit/s" in answer.text
    assert "-6000 kbit/s" in answer.text
    assert "-4000 kbit/s" in answer.text
    assert "Nothing was changed." in answer.text
    assert len(await opened.changes.list()) == before


async def test_what_cannot_be_tried_out_is_asked_back(world: tuple[AgentWorld, Foresight]) -> None:
    assert (await ask(world[0], "what would happen if I tilt it to 8 degrees")).status == "clarify"
    assert (await ask(world[0], "what if twice as many phones came to cell 7-2")).status == "clarify"


async def test_without_a_shadow_twin_the_answer_says_why(world: tuple[AgentWorld, Foresight]) -> None:
    opened, foresight = world
    foresight.gone = True
    try:
        answer = await ask(opened, "what would happen if I tilt cell 7-2 to 8 degrees")
    finally:
        foresight.gone = False

    assert answer.status == "failed"
    assert "shadow twin" in answer.text


async def test_a_proposal_says_what_the_shadow_twin_found(world: tuple[AgentWorld, Foresight]) -> None:
    answer = await ask(world[0], "tilt cell 7-2 down by two degrees")

    assert answer.status == "proposed"
    assert "waits for approval" in answer.text
    assert "falls by 5000 kbit/s" in answer.text
    assert "advises against it" in answer.text


async def test_a_proposal_does_not_wait_for_a_slow_shadow_twin(world: tuple[AgentWorld, Foresight]) -> None:
    opened, foresight = world
    foresight.takes_s = 5.0
    begun = asyncio.get_running_loop().time()
    try:
        answer = await ask(opened, "tilt cell 9-2 down by two degrees")
    finally:
        foresight.takes_s = 0.0

    assert answer.status == "proposed"
    assert "is being tried out on a copy of the network" in answer.text
    assert asyncio.get_running_loop().time() - begun < 4.0
