"""The shadow twin in its child processes: as in this one, called off, killed, limited, gone with its parent."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from bridge.dispatch import SceneState
from twin.clock import CivilTime
from twin.commands import SetAttribute
from twin.control import Advice
from twin.entities import Kind
from twin.errors import (
    CorruptStore,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    Overloaded,
    PermissionDenied,
    SceneUnavailable,
    ShadowUnavailable,
    UnknownEntity,
)
from twin.ids import uuid7
from twin.kpi import kpis_of
from twin.network import Network
from twin.network_state import FORMAT
from twin.ports import SceneInfo
from twin.telemetry import PmReport
from twin.testing import MemoryJournal, MemoryTelemetryStore
from twin.topology import topology_of
from twin.what_if import around, what_if
from twin_app.inventory import LiveInventory
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.settings import ShadowSettings
from twin_app.shadow import MAX_KEPT, MAX_RUNNING, SceneShadow
from twin_app.shadow_messages import City, Job
from twin_app.shadow_pool import Place, ShadowPool

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCENARIO = build_scenario(ScenarioSpec(num_ues=40))
TOPOLOGY = topology_of(SCENARIO)
CIVIL = CivilTime(epoch=datetime(2026, 6, 3, 17, tzinfo=UTC), timezone="UTC")
TILT = SetAttribute(entity_id="cell-7-2", attribute="digitalTilt", value=140.0)
LONG_S = 900.0


def _state() -> bytes:
    network = Network(SCENARIO, TOPOLOGY, CIVIL, seed=SCENARIO.seed, sim_time_s=600.0)
    for _ in range(20):
        network.step()
    return network.snapshot()


STATE = _state()
ANY = Place(judging=True)
"""A place with which all processes may be used."""
CITY = City(digest=SCENARIO.digest, scenario=SCENARIO, civil=CIVIL)


def job(*, changes: Sequence[SetAttribute] = (TILT,), horizon_s: float = 6.0) -> Job:
    return Job(
        id=uuid7(),
        digest=SCENARIO.digest,
        state=STATE,
        configured=(),
        now_s=600.0,
        changes=tuple(changes),
        look_at=around(changes, TOPOLOGY, SCENARIO),
        horizon_s=horizon_s,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ShadowPool]:
    log_path = tmp_path_factory.mktemp("shadow") / "shadow.log"
    made = ShadowPool(workers=1, memory_mb=4096, idle_s=60, log_path=log_path)
    yield made
    await made.close()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def until(what: Any, *, limit_s: float = 20.0) -> None:
    async with asyncio.timeout(limit_s):
        while not what():
            await asyncio.sleep(0.02)


# ---- the pool ------------------------------------------------------------------------------------------------


async def test_children_find_what_this_process_finds(tmp_path: Path) -> None:
    two = ShadowPool(workers=2, memory_mb=4096, idle_s=60, log_path=tmp_path / "shadow.log")
    shares: list[float] = []
    try:
        found = await two.run(CITY, job(), seeds=(1, 2), place=ANY, fidelity="state", on_progress=shares.append)
        pids = two.pids
        again = await two.run(CITY, job(), seeds=(1, 2), place=ANY, fidelity="state")
        assert two.pids == pids, "the warm processes are used again"
    finally:
        await two.close()

    here = what_if(STATE, SCENARIO, TOPOLOGY, CIVIL, [TILT], horizon_s=6.0, seeds=(1, 2))
    assert found == here
    assert again == here
    assert len(pids) == 2
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert found.cpu_s > 0
    await until(lambda: all(gone(pid) for pid in pids))


async def test_a_run_that_is_called_off_stops_within_a_second_and_the_child_serves_on(pool: ShadowPool) -> None:
    shares: list[float] = []
    running = asyncio.create_task(
        pool.run(CITY, job(horizon_s=LONG_S), seeds=(1, 2), place=ANY, fidelity="state", on_progress=shares.append)
    )
    await until(lambda: shares)
    pids = pool.pids
    begun = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - begun < 1.0

    report = await pool.run(CITY, job(), seeds=(1, 2), place=ANY, fidelity="state")
    assert report.deltas
    assert pool.pids == pids, "the child that obeyed is kept"


async def test_a_killed_child_is_a_typed_error_and_the_next_run_works(pool: ShadowPool) -> None:
    shares: list[float] = []
    running = asyncio.create_task(
        pool.run(CITY, job(horizon_s=LONG_S), seeds=(1, 2), place=ANY, fidelity="state", on_progress=shares.append)
    )
    await until(lambda: shares)
    os.kill(pool.pids[0], signal.SIGKILL)
    with pytest.raises(ShadowUnavailable, match="-9"):
        await running

    assert (await pool.run(CITY, job(), seeds=(1, 2), place=ANY, fidelity="state")).deltas


async def test_what_the_network_refuses_comes_back_as_it_is(pool: ShadowPool) -> None:
    with pytest.raises(InvalidInput):
        await pool.run(CITY, job(changes=[replace(TILT, value=9_999.0)]), seeds=(1,), place=ANY, fidelity="state")
    with pytest.raises(CorruptStore):
        await pool.run(CITY, replace(job(), state=STATE[:-5]), seeds=(1,), place=ANY, fidelity="state")
    other = build_scenario(ScenarioSpec(num_ues=10, seed=5))
    foreign = City(digest=other.digest, scenario=other, civil=CIVIL)
    with pytest.raises(CorruptStore, match="belongs to scenario"):
        await pool.run(foreign, replace(job(), digest=other.digest), seeds=(1,), place=ANY, fidelity="state")


async def test_a_child_that_needs_too_much_memory_says_so(tmp_path: Path) -> None:
    small = ShadowPool(workers=1, memory_mb=60, idle_s=60, log_path=tmp_path / "shadow.log")
    try:
        with pytest.raises(ShadowUnavailable):
            await small.run(CITY, job(), seeds=(1,), place=ANY, fidelity="state")
    finally:
        await small.close()


async def test_an_idle_child_gives_its_memory_back(tmp_path: Path) -> None:
    pool = ShadowPool(workers=1, memory_mb=4096, idle_s=0.2, log_path=tmp_path / "shadow.log")
    try:
        await pool.run(CITY, job(), seeds=(1,), place=ANY, fidelity="state")
        await until(lambda: pool.pids == ())
        assert (await pool.run(CITY, job(), seeds=(1,), place=ANY, fidelity="state")).deltas
    finally:
        await pool.close()


async def test_too_many_at_once_are_refused_and_places_are_kept_for_proposals(tmp_path: Path) -> None:
    full = ShadowPool(workers=1, memory_mb=4096, idle_s=60, log_path=tmp_path / "shadow.log", max_jobs=2, for_judging=1)
    with full.place():
        with pytest.raises(Overloaded, match="`1` what-ifs"), full.place():
            pass
        with full.place(judging=True), pytest.raises(Overloaded), full.place(judging=True):
            pass
    with full.place():
        pass


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_proposal_is_judged_while_people_keep_the_pool_busy(tmp_path: Path, workers: int) -> None:
    busy = ShadowPool(workers=workers, memory_mb=4096, idle_s=60, log_path=tmp_path / "shadow.log")
    done: list[float] = []
    horizon_s = LONG_S if workers > 1 else 10.0
    toy = asyncio.create_task(
        busy.run(
            CITY,
            job(horizon_s=horizon_s),
            seeds=range(1, 33),
            place=Place(judging=False),
            fidelity="state",
            on_progress=done.append,
        )
    )
    try:
        await until(lambda: done)
        assert (await busy.run(CITY, job(), seeds=(1,), place=ANY, fidelity="state")).deltas
        assert not toy.done()
        assert done[-1] < 0.5, "it waited for no more than the arm that ran"
    finally:
        toy.cancel()
        await asyncio.gather(toy, return_exceptions=True)
        await busy.close()


async def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
sys.path[:0] = [{str(Path.cwd())!r}, {str(Path(__file__).parent)!r}]
from test_shadow import ANY, CITY, LONG_S, job
from twin_app.shadow_pool import ShadowPool
async def main():
    pool = ShadowPool(workers=1, memory_mb=4096, idle_s=60, log_path=Path({str(tmp_path / "log")!r}))
    def tell(share):
        print(pool.pids[0], flush=True)
    await pool.run(CITY, job(horizon_s=LONG_S), seeds=(1,), place=ANY, fidelity="state", on_progress=tell)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.kill()
        parent.wait()
    await until(lambda: gone(child), limit_s=5.0)


# ---- the shadow of a scene -----------------------------------------------------------------------------------


class Source:
    """A bridge whose scene hands out its state, or does not."""

    def __init__(self) -> None:
        self.answer: SceneState | Exception = SceneState(format=FORMAT, revision=1, sim_time_s=602.0, data=STATE)

    async def request_state(self, scene_id: str | None = None, *, timeout_s: float) -> SceneState:
        assert (scene_id, timeout_s > 0) == ("city", True)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Bench:
    """A scene's shadow on a real pool."""

    def __init__(self, pool: ShadowPool, *, provides: Sequence[str] = ("KPI", "STATE"), **settings: Any) -> None:
        self.inventory = LiveInventory(scenario=SCENARIO, scene_id="city", civil=CIVIL, journal=MemoryJournal())
        self.inventory.note_time(660.0)
        if provides:
            self.inventory.scene_came(
                SceneInfo(
                    scene_id="city",
                    session_id="s",
                    engine="test",
                    engine_version="1",
                    provides=frozenset(provides),
                    epoch=1,
                )
            )
        self.store = MemoryTelemetryStore(self.inventory.topology)
        self.source = Source()
        self.shadow = SceneShadow(
            inventory=self.inventory,
            store=self.store,
            source=self.source,
            pool=pool,
            settings=ShadowSettings(**{"horizon_s": 6, "seeds": 2, **settings}),
            guard_drop=0.5,
        )

    async def measure(self, throughput: float) -> None:
        cells = self.inventory.topology.of_kind(Kind.CELL)
        names = tuple(row.name for row in kpis_of(Kind.CELL))
        values = np.full((len(cells), len(names)), np.nan, np.float32)
        values[:, names.index("DRB.UEThpDl")] = throughput
        report = PmReport(
            scene_id="city",
            epoch=1,
            seq=1,
            revision=1,
            granularity_period_s=1,
            period_end_sim_time_s=655.0,
            entity_index=np.array([cell.index for cell in cells], np.uint32),
            counters=names,
            values=values,
        )
        await self.store.append_pm([report])


async def test_a_proposal_is_judged_on_the_state_of_the_scene(pool: ShadowPool) -> None:
    shares: list[float] = []
    said = await Bench(pool).shadow.judge([TILT], on_progress=shares.append)

    assert (said.fidelity, said.advice, said.reason) == ("state", Advice.FINE, "")
    assert said.report is not None
    assert said.report.sim_time_s == pytest.approx(602.0)
    assert said.report.seeds == (1, 2)
    assert shares[-1] == 1.0


@pytest.mark.parametrize("why", ["provides none", "has none", "another format"])
async def test_a_scene_without_state_gets_an_estimate_that_says_so(pool: ShadowPool, why: str) -> None:
    bench = Bench(pool, provides=("KPI",) if why == "provides none" else ("KPI", "STATE"))
    await bench.measure(7_000.0)
    if why == "has none":
        bench.source.answer = SceneUnavailable("the scene has no state: it is a demo")
    elif why == "another format":
        bench.source.answer = SceneState(format="engine/1", revision=1, sim_time_s=1.0, data=b"?")

    said = await bench.shadow.judge([TILT], on_progress=lambda _: None)

    assert said.fidelity == "approximate"
    assert said.reason
    assert said.report is not None
    found = said.report.of("cell-7-2", "DRB.UEThpDl")
    assert found is not None
    assert found.base == 7_000.0, "it stands where the network was measured"


async def test_without_a_scene_or_switched_off_there_is_no_shadow_and_a_reason(pool: ShadowPool) -> None:
    nobody = await Bench(pool, provides=()).shadow.judge([TILT], on_progress=lambda _: None)
    off = await Bench(pool, enabled=False).shadow.judge([TILT], on_progress=lambda _: None)

    assert [one.fidelity for one in (nobody, off)] == ["unavailable", "unavailable"]
    assert "nobody gives figures" in nobody.reason
    assert "switched off" in off.reason


async def test_the_state_of_another_city_is_refused(pool: ShadowPool) -> None:
    bench = Bench(pool)
    other = build_scenario(ScenarioSpec(num_ues=10, seed=5))
    network = Network(other, topology_of(other), CIVIL, seed=1)
    bench.source.answer = SceneState(format=FORMAT, revision=1, sim_time_s=0.0, data=network.snapshot())

    with pytest.raises(ShadowUnavailable, match="belongs to scenario"):
        await bench.shadow.foresee([TILT])


async def test_what_takes_too_long_is_stopped(pool: ShadowPool) -> None:
    await Bench(pool).shadow.foresee([TILT])  # the process is up
    with pytest.raises(DeadlineExceeded, match="TWIN_SHADOW__TIMEOUT_S"):
        await Bench(pool, timeout_s=0.5).shadow.foresee([TILT], horizon_s=LONG_S)
    assert (await Bench(pool).shadow.foresee([TILT])).deltas


async def test_a_what_if_is_started_followed_and_stopped(pool: ShadowPool) -> None:
    shadow = Bench(pool).shadow
    with pytest.raises(UnknownEntity):
        shadow.start([replace(TILT, entity_id="cell-99-1")], started_by="ann", horizon_s=None, seeds=None)
    with pytest.raises(NotFound):
        shadow.get("what-if-1")

    short = shadow.start([TILT], started_by="ann", horizon_s=5.0, seeds=1)
    await until(lambda: short.state != "running")
    assert (short.state, short.progress, short.report is None) == ("done", 1.0, False)
    long = shadow.start([TILT], started_by="ann", horizon_s=LONG_S, seeds=8)
    await until(lambda: long.progress > 0)
    begun = time.monotonic()
    with pytest.raises(PermissionDenied, match="`ann`"):
        await shadow.cancel(long.id, by="bob")
    stopped = await shadow.cancel(long.id, by="bob", may_all=True)

    assert time.monotonic() - begun < 1.0
    assert stopped.state == "cancelled"
    assert (await shadow.cancel(short.id, by="ann")).state == "done"
    await shadow.close()


async def test_one_caller_has_a_share_of_the_pool_and_is_refused_at_once(pool: ShadowPool) -> None:
    bench = Bench(pool)
    shadow = bench.shadow
    most = shadow.start([TILT], started_by="ann", horizon_s=LONG_S, seeds=32)
    with pytest.raises(Overloaded, match="of `ann`"):
        shadow.start([TILT], started_by="ann", horizon_s=5.0, seeds=1)
    others = [shadow.start([TILT], started_by="bob", horizon_s=LONG_S, seeds=1) for _ in range(MAX_RUNNING)]
    with pytest.raises(Overloaded, match="of `bob`"):
        shadow.start([TILT], started_by="bob", horizon_s=5.0, seeds=1)

    said = await shadow.judge([TILT], on_progress=lambda _: None)
    assert said.fidelity == "state", "what people play with keeps no proposal from being tried out"

    assert len({one.id for one in (most, *others)}) == 1 + MAX_RUNNING
    for one in others:
        await shadow.cancel(one.id, by="bob")
    again = shadow.start([TILT], started_by="bob", horizon_s=LONG_S, seeds=1)  # places are given back
    await shadow.close()
    assert [one.state for one in (most, *others, again)] == ["cancelled"] * (2 + MAX_RUNNING)


async def test_a_full_pool_is_told_before_the_state_is_fetched(tmp_path: Path) -> None:
    full = ShadowPool(workers=1, memory_mb=4096, idle_s=60, log_path=tmp_path / "shadow.log", max_jobs=0, for_judging=0)
    bench = Bench(full)
    bench.source.answer = AssertionError("nobody may ask for the state")
    with pytest.raises(Overloaded):
        bench.shadow.start([TILT], started_by="ann", horizon_s=5.0, seeds=1)
    with pytest.raises(Overloaded):
        await bench.shadow.foresee([TILT])
    assert (await bench.shadow.judge([TILT], on_progress=lambda _: None)).fidelity == "unavailable"


async def test_of_one_caller_the_last_ones_are_kept(pool: ShadowPool) -> None:
    shadow = Bench(pool, provides=()).shadow  # each fails at once
    mine = shadow.start([TILT], started_by="ann", horizon_s=5.0, seeds=1)
    bobs = []
    for _ in range(MAX_KEPT + 1):
        bobs.append(shadow.start([TILT], started_by="bob", horizon_s=5.0, seeds=1))
        await until(lambda: bobs[-1].state == "failed")
    assert shadow.get(mine.id) is mine
    assert shadow.get(bobs[1].id) is bobs[1]
    with pytest.raises(NotFound):
        shadow.get(bobs[0].id)
