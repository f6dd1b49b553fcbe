"""The world of a followed scene: the engine's places and the engine's time, nothing made up in between."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twin.clock import CivilTime
from twin.commands import Command, SetAttribute, SetAttributes, SimulationControl
from twin.entities import Kind
from twin.errors import InvalidInput
from twin.ids import uuid7
from twin.telemetry import TelemetryBatch
from twin.topology import topology_of
from twin_app.followed_world import LONGEST_CATCH_UP_S, FollowedWorld, MotionInbox
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.scene_world import SceneWorld

CIVIL = CivilTime(epoch=datetime(2026, 11, 16, 12, tzinfo=UTC), timezone="UTC")
BEGIN_S = 100.0
EVERYTHING = {"scene_id": "main", "seed": 1, "epoch": 1, "sim_time_s": BEGIN_S, "speed": 1.0}


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec())


@pytest.fixture(scope="module")
def topology(scenario):
    return topology_of(scenario)


@pytest.fixture
def world(scenario, topology):
    made = FollowedWorld(scenario, topology, CIVIL, **EVERYTHING)
    made.follow(MotionInbox())
    return made


def told(topology, sim_time_s, *, who=("ue-1",), place=(0.0, 0.0), position=True):
    index = np.array([topology.get(one).index for one in who], np.uint32)
    place_m = np.array([[*place, 1.5]] * len(who), np.float32)
    return TelemetryBatch(
        scene_id="main",
        epoch=1,
        seq=1,
        revision=1,
        sim_time_s=sim_time_s,
        entity_index=index,
        position_m=place_m if position else None,
        kpis=(),
        values=np.zeros((len(who), 0), np.float32),
    )


def go(world):
    """Advance until nothing is left; returns the reports and the last batch."""
    reports, batch = [], None
    while True:
        produced = world.advance()
        reports.extend(produced.reports)
        batch = produced.batch or batch
        if not world.behind:
            return reports, batch


def place_of(batch, topology, ue):
    return batch.position_m[batch.entity_index.tolist().index(topology.get(ue).index)][:2].tolist()


def test_time_goes_as_far_as_the_engine_and_then_stands_still(world, topology):
    world.inbox.put(told(topology, BEGIN_S + 2.35))
    reports, batch = go(world)
    assert world.sim_time_s == BEGIN_S + 2.3
    assert [report.period_end_sim_time_s for report in reports] == [BEGIN_S + 1, BEGIN_S + 2]
    assert batch.sim_time_s == BEGIN_S + 2.3
    assert go(world) == ([], None)
    world.inbox.put(told(topology, BEGIN_S + 2.35, place=(5.0, 5.0)))  # moved, but the clock stands
    assert go(world) == ([], None)


def test_the_newest_place_counts_and_others_stay(world, topology):
    world.inbox.put(told(topology, BEGIN_S + 0.1, who=("ue-1", "ue-2"), place=(10.0, 20.0)))
    world.inbox.put(told(topology, BEGIN_S + 0.2, who=("ue-2",), place=(30.0, 40.0)))
    _, batch = go(world)
    assert place_of(batch, topology, "ue-1") == [10.0, 20.0]
    assert place_of(batch, topology, "ue-2") == [30.0, 40.0]


def test_a_batch_without_places_only_tells_the_time(world, topology):
    world.inbox.put(told(topology, BEGIN_S + 1.0, position=False))
    go(world)
    assert world.sim_time_s == BEGIN_S + 1.0


def test_an_engine_far_ahead_leaves_a_gap_instead_of_hours_of_work(world, topology):
    world.inbox.put(told(topology, BEGIN_S + LONGEST_CATCH_UP_S + 3000.0))
    reports, _ = go(world)
    assert (world.sim_time_s, reports) == (BEGIN_S + LONGEST_CATCH_UP_S + 3000.0, [])


def test_a_clock_that_is_not_ours_is_followed_by_its_pace(world, topology):
    for seconds in (0.0, 0.5, 1.0):  # begins at 0 instead of where the twin said
        world.inbox.put(told(topology, seconds))
        go(world)
    assert (world.sim_time_s, world.rebased, world.epoch) == (BEGIN_S + 1.0, 1, 1)
    world.inbox.put(told(topology, 1.8e9))  # somebody switched to the wall clock
    go(world)
    world.inbox.put(told(topology, 1.8e9 + 2.0))
    go(world)
    assert (world.sim_time_s, world.rebased) == (BEGIN_S + 3.0, 2)


def test_an_engine_that_falls_back_a_little_is_waited_for(world, topology):
    world.inbox.put(told(topology, BEGIN_S + 1.0))
    go(world)
    world.inbox.put(told(topology, BEGIN_S + 0.4))
    go(world)
    assert (world.sim_time_s, world.rebased) == (BEGIN_S + 1.0, 0)
    world.inbox.put(told(topology, BEGIN_S + 1.5))
    go(world)
    assert world.sim_time_s == BEGIN_S + 1.5


def test_the_engine_keeps_the_time(world):
    for operation in ("pause", "resume", "speed"):
        order = SimulationControl(operation=operation, speed=2.0)
        with pytest.raises(InvalidInput, match="engine"):
            world.obey(Command(id=uuid7(), body=order, issued_by="t"))


def test_a_new_world_keeps_everybody_where_the_engine_put_him(world, topology):
    world.inbox.put(told(topology, BEGIN_S + 0.1, place=(10.0, 20.0)))
    go(world)
    world.obey(Command(id=uuid7(), body=SimulationControl(operation="reset", seed=9), issued_by="t"))
    world.inbox.put(told(topology, BEGIN_S + 0.2, who=("ue-2",)))
    _, batch = go(world)
    assert (world.epoch, world.seed, place_of(batch, topology, "ue-1")) == (2, 9, [10.0, 20.0])


def test_a_checkpoint_goes_on_with_places_orders_and_time(world, scenario, topology):
    tilt = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=70.0)
    done = world.obey(Command(id=uuid7(), body=SetAttributes(actions=(tilt,)), issued_by="t"))
    world.inbox.put(told(topology, BEGIN_S + 1.2, place=(10.0, 20.0)))
    go(world)
    copy = FollowedWorld(scenario, topology, CIVIL, **EVERYTHING)
    copy.follow(MotionInbox())
    copy.restore(world.checkpoint(3))
    assert (copy.sim_time_s, list(copy.obeyed.values())) == (BEGIN_S + 1.2, [done])
    assert tilt in copy.network.configuration()
    for one in (world, copy):
        one.inbox.put(told(topology, BEGIN_S + 2.0, who=("ue-2",)))
    (ours,), batch = go(world)
    (theirs,), other = go(copy)
    np.testing.assert_array_equal(ours.values, theirs.values)
    np.testing.assert_array_equal(batch.position_m, other.position_m)


def test_the_checkpoint_of_a_world_that_walked_by_itself_can_be_followed(scenario, topology):
    walking = SceneWorld(scenario, topology, CIVIL, **EVERYTHING)
    walking.catch_up(BEGIN_S + 2.0, wall_limit_s=30)
    followed = FollowedWorld(scenario, topology, CIVIL, **EVERYTHING)
    followed.follow(MotionInbox())
    followed.restore(walking.checkpoint(0))
    assert followed.network.guided
    followed.inbox.put(told(topology, BEGIN_S + 2.5, place=(1.0, 2.0)))
    _, batch = go(followed)
    assert place_of(batch, topology, "ue-1") == [1.0, 2.0]


def test_a_followed_city_is_released_for_a_world_that_walks_by_itself(scenario, topology, world):
    walking = SceneWorld(scenario, topology, CIVIL, **EVERYTHING)
    walking.restore(world.checkpoint(0))
    assert not walking.network.guided


def test_numbers_that_are_none_are_counted(world, topology):
    world.inbox.put(told(topology, BEGIN_S + 0.5, place=(float("nan"), 0.0)))
    go(world)
    assert (world.refused, world.sim_time_s) == (1, BEGIN_S + 0.5)


def test_the_inbox_is_bounded_and_knows_entities_that_come_later():
    inbox = MotionInbox()
    kinds = topology_of(build_scenario(ScenarioSpec())).of_kind(Kind.UE)
    for index in (kinds[0].index, kinds[-1].index):
        inbox.put(
            TelemetryBatch(
                scene_id="main",
                epoch=1,
                seq=1,
                revision=1,
                sim_time_s=float(index),
                entity_index=np.array([index], np.uint32),
                position_m=np.array([[index, 1.0, 0.0]], np.float32),
                kpis=(),
                values=np.zeros((1, 0), np.float32),
            )
        )
    time_s, index, place_m = inbox.take()
    assert (time_s, index.tolist()) == (kinds[-1].index, [kinds[0].index, kinds[-1].index])
    assert place_m[:, 0].tolist() == index.tolist()
    assert inbox.take()[0] is None


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=st.lists(st.floats(0.0, 3e9), max_size=12), places=st.lists(st.floats(width=32), min_size=2, max_size=2))
def test_whatever_clock_and_places_an_engine_tells_time_never_goes_back(scenario, topology, times, places):
    world = FollowedWorld(scenario, topology, CIVIL, **EVERYTHING)
    world.follow(MotionInbox())
    ends, stood_s = [], world.sim_time_s
    for told_s in times:
        world.inbox.put(told(topology, told_s, place=places))
        produced = world.advance()
        ends.extend(report.period_end_sim_time_s for report in produced.reports)
        assert world.sim_time_s >= stood_s
        stood_s = world.sim_time_s
    assert ends == sorted(set(ends))
