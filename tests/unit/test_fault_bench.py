"""Faults for instructors: ordered once, remembered, also when the twin did not live to hear the answer."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from twin.clock import CivilTime
from twin.commands import Command, CommandResult, CommandStage
from twin.errors import Conflict, DeadlineExceeded
from twin.faults import drawn_severity
from twin.media import CameraImage
from twin.scenario import FaultPlan
from twin.testing import MemoryJournal
from twin_app.command_record import CommandRecord, RecordedLink
from twin_app.fault_bench import FaultBench
from twin_app.inventory import LiveInventory
from twin_app.scenarios import ScenarioSpec, build_scenario

SCENARIO = build_scenario(ScenarioSpec(num_ues=5))


class Scene:
    """Obeys every id once; may be too slow to answer, or refuse."""

    def __init__(self) -> None:
        self.known: dict[str, CommandResult] = {}
        self.silent = False
        self.stage = CommandStage.APPLIED

    async def send(self, command: Command, *, timeout_s: float, scene_id: str | None = None) -> CommandResult:
        made = CommandResult(command_id=command.id, stage=self.stage, reason=f"{scene_id} says so", sim_time_s=9.0)
        result = self.known.setdefault(command.id, made)
        if self.silent:
            raise DeadlineExceeded(f"no answer within `{timeout_s:g}` s")
        return result

    async def send_to_all(
        self, command: Command, *, scene_ids: Sequence[str], timeout_s: float
    ) -> Mapping[str, CommandResult]:
        return {one: await self.send(command, timeout_s=timeout_s, scene_id=one) for one in scene_ids}

    async def picture(
        self, *, scene_id: str | None, camera_id: str = "", width: int = 0, height: int = 0, timeout_s: float
    ) -> CameraImage:
        raise NotImplementedError


class BusyScene(Scene):
    """Refuses the first two orders."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def send(self, command: Command, *, timeout_s: float, scene_id: str | None = None) -> CommandResult:
        self.asked += 1
        self.stage = CommandStage.APPLIED if self.asked > 2 else CommandStage.REJECTED
        return await super().send(command, timeout_s=timeout_s, scene_id=scene_id)


async def bench_on(journal: MemoryJournal, scene: Scene) -> FaultBench:
    record = CommandRecord(journal, scene_id="main")
    await record.restore()
    civil = CivilTime(epoch=datetime(2026, 3, 2, 8, tzinfo=UTC), timezone=SCENARIO.timezone)
    inventory = LiveInventory(scenario=SCENARIO, scene_id="main", civil=civil, journal=journal)
    inventory.live = True
    bench = FaultBench(
        inventory=inventory,
        journal=journal,
        link=RecordedLink(lambda: scene, {"main": record}),
        record=record,
        timeout_s=0.5,
        retry_s=0.01,
    )
    await bench.restore()
    return bench


def active(bench: FaultBench) -> list[str]:
    return [one["entity"] for one in bench.document()["active"]]


async def test_what_was_injected_is_known_after_a_restart_until_it_is_cleared() -> None:
    journal, scene = MemoryJournal(), Scene()
    bench = await bench_on(journal, scene)
    await bench.manage("inject", "power-loss", "cell-2-1", 0.5, issued_by="kim")
    again = await bench_on(journal, scene)
    before = active(again)
    await again.manage("clear", "power-loss", "cell-2-1", 0.5, issued_by="kim")

    assert (["cell-2-1"], [], []) == (before, active(again), active(await bench_on(journal, scene)))


async def test_the_same_key_orders_once_also_after_it_was_cleared() -> None:
    journal, scene = MemoryJournal(), Scene()
    bench = await bench_on(journal, scene)
    first = await bench.manage("inject", "power-loss", "cell-2-1", 0.5, issued_by="kim", key="k")
    await bench.manage("clear", "power-loss", "cell-2-1", 0.5, issued_by="kim")
    again = await (await bench_on(journal, scene)).manage(
        "inject", "power-loss", "cell-2-1", 0.5, issued_by="kim", key="k"
    )

    assert (first, 2) == (again, len(scene.known))
    assert [] == active(await bench_on(journal, scene))


async def test_an_answer_that_nobody_heard_is_asked_for_at_the_next_start() -> None:
    journal, scene = MemoryJournal(), Scene()
    scene.silent = True
    with pytest.raises(DeadlineExceeded):
        await (await bench_on(journal, scene)).manage("inject", "power-loss", "cell-2-1", 0.5, issued_by="kim")
    scene.silent = False
    next_start = await bench_on(journal, scene)
    before = active(next_start)
    await next_start.settle()

    assert ([], ["cell-2-1"], 1) == (before, active(next_start), len(scene.known))
    assert ["cell-2-1"] == active(await bench_on(journal, scene))


async def test_a_fault_that_the_scene_refuses_is_not_there() -> None:
    journal, scene = MemoryJournal(), Scene()
    scene.stage = CommandStage.REJECTED
    bench = await bench_on(journal, scene)
    with pytest.raises(Conflict, match="main says so"):
        await bench.manage("inject", "power-loss", "cell-2-1", 0.5, issued_by="kim")
    assert [] == active(bench)


async def test_a_fault_that_the_scene_no_longer_has_ends_by_being_cleared() -> None:
    journal, scene = MemoryJournal(), Scene()
    bench = await bench_on(journal, scene)
    await bench.manage("inject", "power-loss", "cell-2-1", 0.5, issued_by="kim")
    scene.stage = CommandStage.REJECTED
    cleared = await bench.manage("clear", "power-loss", "cell-2-1", None, issued_by="kim")

    assert ([], []) == (active(bench), active(await bench_on(journal, scene)))
    assert "severity" not in cleared
    with pytest.raises(Conflict, match="main says so"):
        await bench.manage("clear", "power-loss", "cell-2-1", None, issued_by="kim")


async def test_a_planned_fault_without_severity_is_the_same_in_every_run() -> None:
    plan = (FaultPlan(fault="power-loss", entity_id="cell-2-1", severity=None, at_s=0.0),)
    drawn: set[float] = set()
    for _ in range(3):
        bench = await bench_on(MemoryJournal(), Scene())
        await bench.follow(plan)
        drawn.add(bench.document()["active"][0]["severity"])
    assert {drawn_severity(SCENARIO.seed, 0, "power-loss", "cell-2-1")} == drawn


async def test_a_planned_fault_is_tried_again_when_the_scene_is_away() -> None:
    scene = BusyScene()
    bench = await bench_on(MemoryJournal(), scene)
    await bench.follow((FaultPlan(fault="power-loss", entity_id="cell-2-1", severity=0.5, at_s=0.0),))
    assert (["cell-2-1"], 3) == (active(bench), scene.asked)
