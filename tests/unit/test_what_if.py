"""What-if runs: paired, repeatable, and in agreement with the network that goes on."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from twin.clock import CivilTime
from twin.commands import SetAttribute
from twin.control import Advice, shadow_of
from twin.errors import Cancelled, CorruptStore, OutOfRange, UnknownEntity
from twin.network import Network
from twin.student import cumulative, quantile
from twin.topology import topology_of
from twin.what_if import Arm, Surroundings, anchored, around, compare, what_if
from twin.what_if_report import Verdict, WhatIfReport
from twin_app.scenarios import ScenarioSpec, build_scenario

SCENARIO = build_scenario(ScenarioSpec(num_ues=80))
TOPOLOGY = topology_of(SCENARIO)
CIVIL = CivilTime(epoch=datetime(2026, 6, 3, 17, tzinfo=UTC), timezone="UTC")
CELL = "cell-7-2"
SMALL = {"horizon_s": 5.0, "seeds": (1, 2)}


def set_to(name: str, value: float | str, entity: str = CELL) -> SetAttribute:
    return SetAttribute(entity_id=entity, attribute=name, value=value)


@pytest.fixture(scope="module")
def live() -> Network:
    network = Network(SCENARIO, TOPOLOGY, CIVIL, seed=SCENARIO.seed, sim_time_s=600.0)
    for _ in range(25):
        network.step()
    return network


@pytest.fixture(scope="module")
def state(live: Network) -> bytes:
    return live.snapshot()


def run(state: bytes, *changes: SetAttribute, **more: object) -> WhatIfReport:
    return what_if(state, SCENARIO, TOPOLOGY, CIVIL, changes, **{**SMALL, **more})  # type: ignore[arg-type]


def test_the_same_state_and_seeds_give_the_same_report(state: bytes) -> None:
    tilt = set_to("digitalTilt", 140)
    first, second = run(state, tilt), run(state, tilt)

    assert first == second
    assert first.digest == second.digest
    assert run(state, tilt, seeds=(4, 5)) != first


def test_a_change_that_changes_nothing_differs_in_nothing(state: bytes, live: Network) -> None:
    report = run(state, set_to("digitalTilt", live.read(CELL, "digitalTilt")))

    assert report.deltas
    assert [one for one in report.deltas if one.delta != 0.0] == []
    assert {one.verdict for one in report.deltas} == {Verdict.UNCHANGED}
    assert report.guard.delta == 0.0


def test_a_tilt_moves_the_signal_as_predicted_and_the_live_network_agrees(state: bytes) -> None:
    tilt = set_to("digitalTilt", 140)
    predicted = run(state, tilt, horizon_s=10.0).of(CELL, "vsData6gMeanSsRsrp")
    assert predicted is not None
    assert predicted.delta is not None
    # Its users at the edge go to neighbours; those who stay are near the mast.
    assert predicted.verdict is Verdict.BETTER

    measured: dict[bool, float] = {}
    for changed in (False, True):
        network = Network(SCENARIO, TOPOLOGY, CIVIL, seed=SCENARIO.seed)
        network.restore(state)
        if changed:
            network.apply([tilt])
        levels = []
        for _ in range(10):
            for _ in range(10):
                network.step()
            out = network.close_period(scene_id="s", epoch=1, seq=1, granularity_period_s=1)
            row = list(out.entity_index).index(TOPOLOGY.get(CELL).index)
            levels.append(out.values[row, out.counters.index("vsData6gMeanSsRsrp")])
        measured[changed] = float(np.nanmean(levels[2:]))

    # The live network draws other numbers than the seeds, so the two are near and not the same.
    assert measured[True] - measured[False] == pytest.approx(predicted.delta, abs=1.0)
    assert predicted.delta > 1.0


def test_a_locked_cell_vanishes_and_its_users_go_elsewhere(state: bytes) -> None:
    report = run(state, set_to("administrativeState", "LOCKED"), horizon_s=8.0)
    own = report.of(CELL, "vsData6gMeanSsRsrp")
    users = report.of(CELL, "RRC.ConnMean")
    next_door = [one for one in report.deltas if one.kpi == "RRC.ConnMean" and one.entity_id.startswith("cell-")]

    assert own is not None
    assert own.verdict is Verdict.VANISHES
    assert users is not None
    assert users.delta is not None
    assert users.delta < 0
    assert any((one.delta or 0.0) > 0.5 for one in next_door if one.entity_id != CELL)


def test_the_state_itself_is_not_touched(state: bytes, live: Network) -> None:
    before = live.snapshot()
    run(state, set_to("digitalTilt", 140))

    assert live.snapshot() == before


def test_progress_rises_to_one_and_a_run_can_be_called_off(state: bytes) -> None:
    shares: list[float] = []
    run(state, set_to("digitalTilt", 140), on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)

    asked = 0

    def enough() -> bool:
        nonlocal asked
        asked += 1
        return asked > 15

    with pytest.raises(Cancelled):
        run(state, set_to("digitalTilt", 140), cancelled=enough)
    assert asked == 16


def test_what_cannot_be_meant_is_refused(state: bytes) -> None:
    other = build_scenario(ScenarioSpec(num_ues=20, seed=9))
    with pytest.raises(CorruptStore, match="belongs to scenario"):
        what_if(state, other, topology_of(other), CIVIL, [set_to("digitalTilt", 140)])
    with pytest.raises(CorruptStore):
        run(state[:-10], set_to("digitalTilt", 140))
    with pytest.raises(UnknownEntity):
        run(state, set_to("digitalTilt", 140, "cell-99-9"))
    with pytest.raises(OutOfRange):
        run(state, set_to("digitalTilt", 9_999))
    with pytest.raises(OutOfRange, match="ahead"):
        run(state, set_to("digitalTilt", 140), horizon_s=1.0)
    with pytest.raises(OutOfRange, match="seeds"):
        run(state, set_to("digitalTilt", 140), seeds=())


def test_relations_policies_and_links_are_looked_at_through_their_cells() -> None:
    relation = SCENARIO.neighbours[0]
    cio = around([set_to("cellIndividualOffset", 3, relation.id)], TOPOLOGY, SCENARIO)
    site = SCENARIO.sites[0]
    policy = next(one for one in TOPOLOGY.entities if one.kind.value == "policy" and one.parent_id == site.id)
    quota = around([set_to("rRMPolicyMaxRatio", 50, policy.id)], TOPOLOGY, SCENARIO)

    assert {relation.source_id, relation.target_id} <= set(cio.targets)
    assert {cell.id for cell in SCENARIO.cells if cell.site_id == site.id} <= set(quota.targets)
    assert quota.slices


def arms(values: list[list[float]], name: str = "DRB.UEThpDl") -> list[Arm]:
    return [
        Arm(
            seed=seed,
            sim_time_s=0.0,
            rows=((CELL, name),),
            values=np.array(column, np.float32)[:, None],
            cpu_s=0.0,
        )
        for seed, column in enumerate(values, start=1)
    ]


LOOK = Surroundings(targets=(CELL,), neighbours=(), links=(), slices=(), guarded=(CELL,))


def test_the_interval_is_students_over_the_paired_differences() -> None:
    base = arms([[100.0] * 40, [200.0] * 40, [300.0] * 40])
    changed = arms([[90.0] * 40, [188.0] * 40, [286.0] * 40])
    found = compare(base, changed, LOOK, horizon_s=40.0, fidelity="state").of(CELL, "DRB.UEThpDl")

    assert found is not None
    # Differences -10, -12, -14: mean -12, deviation 2, t(0.975, 2) = 4.3027.
    half = 4.302653 * 2.0 / math.sqrt(3)
    assert (found.base, found.delta) == (200.0, -12.0)
    assert (found.low, found.high) == pytest.approx((-12.0 - half, -12.0 + half), rel=1e-5)
    assert found.verdict is Verdict.WORSE
    # One measurement sees the spread of the traffic, which the pairs do not.
    assert found.likely_low is not None
    assert found.likely_low < -200.0


def test_differences_that_do_not_agree_are_unclear() -> None:
    found = compare(arms([[100.0] * 8] * 2), arms([[80.0] * 8, [125.0] * 8]), LOOK, horizon_s=8.0, fidelity="state")

    assert [one.verdict for one in found.deltas] == [Verdict.UNCLEAR]


@pytest.mark.parametrize(("after", "advice"), [(30.0, Advice.HARMFUL), (70.0, Advice.FINE)])
def test_only_what_surely_falls_too_far_is_harmful(after: float, advice: Advice) -> None:
    report = compare(
        arms([[100.0] * 8, [101.0] * 8]), arms([[after] * 8, [after] * 8]), LOOK, horizon_s=8.0, fidelity="state"
    )

    assert shadow_of(report, guard_drop=0.5).advice is advice


def test_an_estimate_is_put_where_the_network_was_measured() -> None:
    report = compare(
        arms([[100.0] * 8, [100.0] * 8]), arms([[90.0] * 8, [80.0] * 8]), LOOK, horizon_s=8.0, fidelity="approximate"
    )
    put = anchored(report, {(CELL, "DRB.UEThpDl"): 1_000.0}, (CELL,))
    found = put.of(CELL, "DRB.UEThpDl")

    assert found is not None
    assert (found.base, found.delta, found.changed) == (1_000.0, -150.0, 850.0)
    assert put.guard.base == 1_000.0


def test_students_quantiles_are_those_of_the_tables() -> None:
    # Abramowitz & Stegun table 26.10.
    known = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 7: 2.365, 10: 2.228, 30: 2.042}

    assert {n: round(quantile(0.975, n), 3) for n in known} == known
    assert cumulative(0.0, 5) == pytest.approx(0.5)
    assert round(quantile(0.95, 4), 3) == 2.132
