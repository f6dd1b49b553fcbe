"""The record of orders: journaled before they are sent and before they are answered, never obeyed twice."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from twin.commands import Command, CommandResult, CommandStage, Overlay, SetAttribute, SetAttributes, SimulationControl
from twin.errors import DeadlineExceeded, KeyReused, NotFound, SceneNotNamed, SceneUnavailable, StoreUnavailable
from twin.media import CameraImage
from twin.testing import MemoryJournal
from twin_app.command_record import CommandRecord, RecordedLink
from twin_app.journal import SqliteJournal

TILT = SetAttributes(actions=(SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=40),))


class Scenes:
    """The far end: counts what it is told to do; its mood says how it answers."""

    def __init__(self, journal: MemoryJournal | SqliteJournal) -> None:
        self.journal = journal
        self.obeyed: list[tuple[str, str]] = []
        self.recorded_before: list[int] = []
        self.stage = CommandStage.APPLIED
        self.silent = False
        self.gate: asyncio.Event | None = None

    async def send(self, command: Command, *, timeout_s: float, scene_id: str | None = None) -> CommandResult:
        assert scene_id is not None
        self.recorded_before.append(len(await self.journal.replay("command")))
        self.obeyed.append((scene_id, command.id))
        if self.gate is not None:
            await self.gate.wait()
        if self.silent:
            raise DeadlineExceeded(f"no answer within `{timeout_s:g}` s")
        observed = command.body.actions if isinstance(command.body, SetAttributes) else ()
        reason = "" if self.stage is CommandStage.APPLIED else "not now"
        return CommandResult(
            command_id=command.id, stage=self.stage, observed=observed, reason=reason, sim_time_s=7.5, labels=("a",)
        )

    async def send_to_all(
        self, command: Command, *, scene_ids: Sequence[str], timeout_s: float
    ) -> Mapping[str, CommandResult]:
        return {one: await self.send(command, timeout_s=timeout_s, scene_id=one) for one in scene_ids}

    async def picture(
        self, *, scene_id: str | None, camera_id: str = "", width: int = 0, height: int = 0, timeout_s: float
    ) -> CameraImage:
        raise NotImplementedError


class FullDisk(MemoryJournal):
    """A journal whose disk is full for some kinds of facts."""

    def __init__(self) -> None:
        super().__init__()
        self.full: set[str] = set()

    async def append(self, kind: str, facts: Sequence[Mapping[str, object]]) -> int:
        if kind in self.full:
            raise StoreUnavailable("the disk is full")
        return await super().append(kind, facts)


def order(command_id: str = "c-1", *, body: object = TILT, dry_run: bool = False) -> Command:
    return Command(id=command_id, body=body, issued_by="local:kim", dry_run=dry_run)  # type: ignore[arg-type]


def bench(journal: FullDisk, *scene_ids: str) -> tuple[Scenes, RecordedLink]:
    scenes = Scenes(journal)
    records = {one: CommandRecord(journal, scene_id=one) for one in scene_ids or ("main",)}
    return scenes, RecordedLink(lambda: scenes, records)


async def test_an_order_is_journaled_before_it_is_sent_and_its_answer_before_it_is_told() -> None:
    journal = FullDisk()
    scenes, link = bench(journal)
    result = await link.send(order(), timeout_s=1)

    assert [1] == scenes.recorded_before
    asked, answered = (await journal.replay("command"))[0][1], (await journal.replay("command_result"))[0][1]
    assert ("c-1", "main", "local:kim", "SetAttributes") == tuple(
        asked[k] for k in ("id", "scene_id", "issued_by", "kind")
    )
    assert ("c-1", "APPLIED", 7.5) == (answered["id"], answered["stage"], result.sim_time_s)


async def test_the_same_id_is_answered_from_the_record_and_obeyed_once() -> None:
    scenes, link = bench(FullDisk())
    first = await link.send(order(), timeout_s=1)
    again = await link.send(order(), timeout_s=1)

    assert (first, 1) == (again, len(scenes.obeyed))


async def test_a_refusal_is_an_answer_too() -> None:
    scenes, link = bench(FullDisk())
    scenes.stage = CommandStage.REJECTED
    first = await link.send(order(), timeout_s=1)
    scenes.stage = CommandStage.APPLIED
    again = await link.send(order(), timeout_s=1)

    assert (CommandStage.REJECTED, first, 1) == (first.stage, again, len(scenes.obeyed))


async def test_the_same_id_with_another_body_is_refused() -> None:
    scenes, link = bench(FullDisk())
    await link.send(order(), timeout_s=1)
    with pytest.raises(KeyReused, match="`c-1`"):
        await link.send(order(body=SimulationControl(operation="pause")), timeout_s=1)
    assert 1 == len(scenes.obeyed)


async def test_two_who_ask_at_once_wait_for_one_order() -> None:
    scenes, link = bench(FullDisk())
    scenes.gate = asyncio.Event()
    both = asyncio.gather(link.send(order(), timeout_s=1), link.of("main").send(order(), timeout_s=1))
    await asyncio.sleep(0.01)
    scenes.gate.set()
    first, second = await both

    assert (first, 1) == (second, len(scenes.obeyed))


async def test_the_record_outlives_a_restart(tmp_path: Path) -> None:
    results = []
    for _ in range(2):
        journal = SqliteJournal(tmp_path / "journal.sqlite")
        await journal.open()
        record = CommandRecord(journal, scene_id="main")
        await record.restore()
        scenes = Scenes(journal)
        results.append(await RecordedLink(lambda s=scenes: s, {"main": record}).send(order(), timeout_s=1))
        results.append(len(scenes.obeyed))
        await journal.close()

    assert results[0] == results[2]
    assert (1, 0) == (results[1], results[3])


async def test_an_order_that_was_never_answered_is_sent_again_under_its_id() -> None:
    journal = FullDisk()
    scenes, link = bench(journal)
    scenes.silent = True
    with pytest.raises(DeadlineExceeded):
        await link.send(order(), timeout_s=0.1)
    scenes.silent = False
    result = await link.send(order(), timeout_s=1)

    assert CommandStage.APPLIED is result.stage
    assert [("main", "c-1"), ("main", "c-1")] == scenes.obeyed
    assert 1 == len(await journal.replay("command"))


async def test_what_the_disk_refuses_is_not_sent() -> None:
    journal = FullDisk()
    scenes, link = bench(journal)
    journal.full.add("command")
    with pytest.raises(StoreUnavailable):
        await link.send(order(), timeout_s=1)
    assert [] == scenes.obeyed


async def test_an_answer_that_the_disk_refuses_is_not_told_until_it_is_stored() -> None:
    journal = FullDisk()
    scenes, link = bench(journal)
    journal.full.add("command_result")
    with pytest.raises(StoreUnavailable, match="same id"):
        await link.send(order(), timeout_s=0.05)
    journal.full.clear()
    result = await link.send(order(), timeout_s=2)

    assert (CommandStage.APPLIED, 1) == (result.stage, len(scenes.obeyed))
    assert 1 == len(await journal.replay("command_result"))


async def test_a_dry_run_leaves_no_trace() -> None:
    journal = FullDisk()
    scenes, link = bench(journal)
    await link.send(order(dry_run=True), timeout_s=1)
    await link.send(order(dry_run=True), timeout_s=1)

    assert (2, []) == (len(scenes.obeyed), await journal.replay("command"))


async def test_an_order_for_several_scenes_is_answered_by_each_and_obeyed_once_by_each() -> None:
    scenes, link = bench(FullDisk(), "campus", "harbour")
    show = Overlay(overlay_id="o", operation="show", text="here")
    first = await link.send_to_all(order(body=show), scene_ids=["harbour", "campus"], timeout_s=1, key="kim\nk")
    again = await link.send_to_all(order(body=show), scene_ids=["campus", "harbour"], timeout_s=1)

    assert {"campus": CommandStage.APPLIED, "harbour": CommandStage.APPLIED} == {k: a.stage for k, a in first.items()}
    assert (first, 2) == (again, len(scenes.obeyed))
    assert "c-1" == link.id_of("kim\nk", "c-9", scene_ids=["campus"])
    with pytest.raises(KeyReused):
        await link.send_to_all(order(body=show), scene_ids=["campus"], timeout_s=1)


async def test_of_several_scenes_one_must_be_named_and_known() -> None:
    _, link = bench(FullDisk(), "campus", "harbour")
    with pytest.raises(SceneNotNamed, match="campus, harbour"):
        await link.send(order(), timeout_s=1)
    with pytest.raises(NotFound, match="campus, harbour"):
        await link.send(order(), timeout_s=1, scene_id="moon")


async def test_the_record_forgets_the_oldest() -> None:
    journal = FullDisk()
    scenes = Scenes(journal)
    link = RecordedLink(lambda: scenes, {"main": CommandRecord(journal, scene_id="main", kept=2)})
    for number in range(3):
        await link.send(order(f"c-{number}"), timeout_s=1)
    await link.send(order("c-2"), timeout_s=1)
    await link.send(order("c-0"), timeout_s=1)

    assert ["c-0", "c-1", "c-2", "c-0"] == [command_id for _, command_id in scenes.obeyed]


async def test_who_comes_meanwhile_with_another_order_under_the_id_is_refused() -> None:
    scenes, link = bench(FullDisk())
    scenes.gate = asyncio.Event()
    first = asyncio.create_task(link.send(order(), timeout_s=1))
    await asyncio.sleep(0)
    with pytest.raises(KeyReused):
        await link.send(order(body=SimulationControl(operation="pause")), timeout_s=1)
    scenes.gate.set()

    assert CommandStage.APPLIED is (await first).stage
    assert 1 == len(scenes.obeyed)


async def test_a_key_names_one_order_from_the_moment_it_is_first_heard() -> None:
    _, link = bench(FullDisk(), "campus", "harbour")
    first = link.id_of("kim\nk", "c-1", scene_ids=["campus"])
    second = link.id_of("kim\nk", "c-2", scene_ids=["campus", "harbour"])
    other = link.id_of("lee\nk", "c-3", scene_ids=["harbour"])

    assert ("c-1", "c-1", "c-3") == (first, second, other)


async def test_an_order_that_the_disk_refused_can_be_given_again() -> None:
    journal = FullDisk()
    scenes, link = bench(journal)
    journal.full.add("command")
    with pytest.raises(StoreUnavailable):
        await link.send(order(), timeout_s=1, key="k")
    journal.full.clear()
    result = await link.send(order(), timeout_s=1, key="k")

    assert (CommandStage.APPLIED, [("main", "c-1")]) == (result.stage, scenes.obeyed)


async def test_who_waits_when_the_scene_ends_is_told_so() -> None:
    scenes, link = bench(FullDisk())
    scenes.gate = asyncio.Event()
    waiting = asyncio.create_task(link.send(order(), timeout_s=5))
    await asyncio.sleep(0.01)
    await link.close("main")
    with pytest.raises(SceneUnavailable, match="`main` ends"):
        await waiting


async def test_who_gives_up_waiting_is_cancelled_and_the_order_goes_on() -> None:
    scenes, link = bench(FullDisk())
    scenes.gate = asyncio.Event()
    waiting = asyncio.create_task(link.send(order(), timeout_s=5))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    scenes.gate.set()
    result = await link.send(order(), timeout_s=1)

    assert (CommandStage.APPLIED, 1) == (result.stage, len(scenes.obeyed))
