"""The engine process may be killed, hang, or eat memory; nothing that was written is lost and nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from knowledge_graph.embedded import EmbeddedGraph
from knowledge_graph.named_queries import NamedQuery, load_queries
from knowledge_graph.projection import GraphPicture
from twin.alarms import Alarm, Severity
from twin.errors import DeadlineExceeded, GraphUnavailable, Overloaded, TwinError
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).resolve().parents[2]


def _bomb(name: str, text: str) -> NamedQuery:
    return NamedQuery(id=name, about="never ends", params=(), columns=("n",), ordered=False, text=text)


BOMBS = {
    # The engine can stop the first by itself; it plans the second outside its own time-out; the third eats memory.
    "product": _bomb("product", "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN count(a + b) AS n"),
    "plan": _bomb("plan", f"RETURN {'CASE WHEN 1 = 1 THEN (' * 110}1{') ELSE 0 END' * 110} AS n"),
    "repeat": _bomb("repeat", "RETURN size(repeat('x', 10000000000)) AS n"),
}


@pytest.fixture(scope="module")
def picture() -> GraphPicture:
    world = build_scenario(ScenarioSpec())
    return GraphPicture(scene_id="scene-1", scenario=world, topology=topology_of(world))


@pytest.fixture
async def graph(picture: GraphPicture) -> AsyncIterator[EmbeddedGraph]:
    store = EmbeddedGraph(deadline_s=3.0, memory_limit_mb=512, queries=load_queries() | BOMBS)
    await store.start()
    await store.rebuild(picture)
    yield store
    await store.close()


def _alarm(number: int) -> Alarm:
    return Alarm(
        id=f"alarm-{number}",
        scene_id="scene-1",
        entity_id="cell-1-1",
        dn="",
        probable_cause="powerProblem",
        perceived_severity=Severity.MAJOR,
        event_type="equipmentAlarm",
        specific_problem="x",
        raised_at_s=float(number),
    )


async def _counts(graph: EmbeddedGraph) -> dict[str, int]:
    """Counts by kind, asked again while the engine is away."""
    for _ in range(50):
        try:
            return {row["kind"]: row["count"] for row in await graph.read("count_by_kind", {})}
        except GraphUnavailable:
            await asyncio.sleep(0.05)
    raise AssertionError("the graph did not come back")


def _pid(graph: EmbeddedGraph) -> int:
    pid = graph.health()["pid"]
    assert pid is not None
    return pid


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _gone_within(pid: int, limit_s: float) -> bool:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if not _alive(pid):
            return True
        time.sleep(0.02)
    return False


async def test_nothing_is_lost_when_the_engine_is_killed_between_and_during_writes(graph: EmbeddedGraph) -> None:
    before = await _counts(graph)
    for number in range(30):
        writing = asyncio.create_task(graph.put_alarm(_alarm(number)))
        if number % 10 == 5:
            await asyncio.sleep(0)
            os.kill(_pid(graph), signal.SIGKILL)
        await writing
    assert await _counts(graph) == before | {"alarm": 30}
    assert graph.health()["restarts"] >= 3


async def test_a_killed_engine_comes_back_by_itself_with_its_figures(graph: EmbeddedGraph) -> None:
    await graph.refresh({"cell-1-1": {"serving_count": 9}}, sim_time_s=1.0)
    before, pid = await _counts(graph), _pid(graph)
    os.kill(pid, signal.SIGKILL)
    for _ in range(200):
        if graph.health()["restarts"] == 1 and graph.health()["state"] == "ok":
            break
        await asyncio.sleep(0.02)
    assert graph.health()["pid"] not in {pid, None}
    assert await _counts(graph) == before
    assert await graph.read("serving_counts", {}) == [
        {"id": "cell-1-1", "name": graph_name(graph, "cell-1-1"), "serving_count": 9}
    ]


def graph_name(graph: EmbeddedGraph, entity_id: str) -> str:
    picture = graph._memory.picture
    assert picture is not None
    return picture.topology.get(entity_id).name


@pytest.mark.parametrize("bomb", ["product", "plan"])
async def test_a_query_bomb_ends_at_its_deadline_and_the_next_question_is_answered(
    graph: EmbeddedGraph, bomb: str
) -> None:
    before = await _counts(graph)
    began = time.monotonic()
    with pytest.raises((DeadlineExceeded, GraphUnavailable)):
        await graph.read(bomb, {})
    assert time.monotonic() - began < 3.5
    assert await _counts(graph) == before


async def test_a_query_that_eats_memory_is_refused_and_the_next_question_is_answered(graph: EmbeddedGraph) -> None:
    before = await _counts(graph)
    with pytest.raises(GraphUnavailable, match=r"512 MB|ended with code"):
        await graph.read("repeat", {})
    assert await _counts(graph) == before


async def test_a_caller_who_leaves_a_bomb_does_not_leave_it_running(graph: EmbeddedGraph) -> None:
    asking = asyncio.create_task(graph.read("plan", {}))
    await asyncio.sleep(0.1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    began = time.monotonic()
    with pytest.raises(TwinError):  # waits behind the bomb, which lives until its own deadline
        await graph.read("plan", {})
    assert time.monotonic() - began < 3.5
    assert (await _counts(graph))["cell"] == 57


async def test_many_callers_at_once_all_get_their_own_answer(graph: EmbeddedGraph, picture: GraphPicture) -> None:
    cells = [cell.id for cell in picture.scenario.cells]
    answers = await asyncio.gather(*(graph.read("entity_card", {"entity_id": cell}) for cell in cells))
    assert [rows[0]["id"] for rows in answers] == cells


async def test_more_than_the_queue_holds_is_refused_and_counted(graph: EmbeddedGraph) -> None:
    answers = await asyncio.gather(*(graph.read("slices", {}) for _ in range(1100)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Overloaded)]
    assert len(refused) == graph.health()["refused"] > 0
    assert all(isinstance(answer, list | Overloaded | DeadlineExceeded) for answer in answers)


async def test_figures_that_come_faster_than_the_interval_wait_for_it(picture: GraphPicture) -> None:
    graph = EmbeddedGraph(refresh_interval_s=0.5)
    await graph.start()
    try:
        await graph.rebuild(picture)
        for count in (1, 2, 3):
            await graph.refresh({"cell-1-1": {"serving_count": count}})
        assert (await graph.read("serving_counts", {}))[0]["serving_count"] == 1
        await asyncio.sleep(0.5)
        assert (await graph.read("serving_counts", {}))[0]["serving_count"] == 3
    finally:
        await graph.close()


async def test_before_start_and_after_close_the_graph_says_so(picture: GraphPicture) -> None:
    graph = EmbeddedGraph()
    with pytest.raises(GraphUnavailable, match="closed"):
        await graph.read("slices", {})
    await graph.start()
    with pytest.raises(GraphUnavailable, match="rebuild"):
        await graph.put_alarm(_alarm(1))
    pid = _pid(graph)
    await graph.close()
    await graph.close()
    assert _gone_within(pid, 2.0)
    with pytest.raises(GraphUnavailable, match="closed"):
        await graph.rebuild(picture)


async def test_cleared_alarms_beyond_the_limit_leave_the_graph(graph: EmbeddedGraph, picture: GraphPicture) -> None:
    old = tuple(replace(_alarm(number), cleared_at_s=number + 0.5) for number in range(5000))
    await graph.rebuild(replace(picture, alarms=old))
    await graph.put_alarm(replace(_alarm(5000), cleared_at_s=5001.0))
    assert (await _counts(graph))["alarm"] == 5000
    found = await graph.read("alarms_of_entity", {"entity_id": "cell-1-1", "limit": 6000})
    assert (found[0]["id"], found[-1]["id"]) == ("alarm-5000", "alarm-1")


_PARENT = """
import asyncio, sys
from knowledge_graph.embedded import EmbeddedGraph
from knowledge_graph.named_queries import NamedQuery
bomb = NamedQuery(id="b", about="", params=(), columns=("n",), ordered=False,
                  text="UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN count(a + b) AS n")
async def main():
    graph = EmbeddedGraph(deadline_s=60, queries={"b": bomb})
    await graph.start()
    asking = asyncio.create_task(graph.read("b", {})) if sys.argv[1] == "busy" else None
    await asyncio.sleep(0.2)
    print(graph.health()["pid"], flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("engine", ["idle", "busy"])
def test_the_engine_dies_with_its_parent_even_when_that_is_killed(engine: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, engine], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _alive(pid)
        parent.kill()
    assert _gone_within(pid, 3.0)
