"""From a checkpoint and a ledger to the same world: whenever the checkpoint was taken, every order counts once.

Orders to begin anew count themselves: each raises the epoch by one.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.ledger import FileLedger
from twin.clock import CivilTime
from twin.commands import Command, CommandResult, CommandStage, ManageFault, SimulationControl
from twin.ids import uuid7
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.scene_checkpoint import read_checkpoint, write_checkpoint
from twin_app.scene_world import KEPT_ORDERS, SceneWorld

CIVIL = CivilTime(epoch=datetime(2026, 11, 16, 12, tzinfo=UTC), timezone="UTC")


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec(num_ues=5))


@pytest.fixture
def world(scenario):
    return fresh(scenario)


def fresh(scenario):
    return SceneWorld(
        scenario, topology_of(scenario), CIVIL, scene_id="main", seed=1, epoch=1, sim_time_s=100.0, speed=1.0
    )


def reset(seed=1):
    return Command(id=uuid7(), body=SimulationControl(operation="reset", seed=seed), issued_by="t")


def record(ledger, command, result):
    return asyncio.run(ledger.record(command, result))


def next_life(scenario, folder, ledger):
    """What a scene does that was killed: the state on the disk, then the orders after it."""
    ledger.close()
    with FileLedger(folder / "orders.ledger") as again:
        checkpoint = read_checkpoint(folder)
        world = fresh(scenario)
        world.restore(checkpoint)
        failed = world.replay((one.command, one.result) for one in again.after(checkpoint.ordinal))
        return world, failed


@pytest.mark.parametrize("taken", ["before the effect", "before the record", "after the record"])
def test_whenever_the_checkpoint_was_taken_an_order_counts_once(scenario, world, tmp_path: Path, taken):
    ledger = FileLedger(tmp_path / "orders.ledger")
    ledger.open()
    first, second = reset(), reset()
    record(ledger, first, world.obey(first))
    if taken == "before the effect":
        write_checkpoint(tmp_path, world.checkpoint(ledger.ordinal))
    ordinal = ledger.ordinal  # read before the state, as the scene does
    result = world.obey(second)
    if taken == "before the record":
        write_checkpoint(tmp_path, world.checkpoint(ordinal))
    record(ledger, second, result)
    if taken == "after the record":
        write_checkpoint(tmp_path, world.checkpoint(ordinal))
    again, failed = next_life(scenario, tmp_path, ledger)
    assert (again.epoch, failed) == (3, ())


def test_an_effect_that_was_kept_but_not_recorded_is_known_by_its_answer(scenario, world, tmp_path: Path):
    ledger = FileLedger(tmp_path / "orders.ledger")
    ledger.open()
    order = reset()
    done = world.obey(order)
    write_checkpoint(tmp_path, world.checkpoint(ledger.ordinal))  # killed before the record
    again, _ = next_life(scenario, tmp_path, ledger)
    checkpoint = read_checkpoint(tmp_path)
    assert (again.epoch, checkpoint.results) == (2, (done,))


def test_orders_that_changed_nothing_are_passed_over(world):
    refused = CommandResult(command_id="x", stage=CommandStage.REJECTED)
    assert world.replay([(reset(), refused)]) == ()
    assert world.epoch == 1


def test_an_order_that_cannot_be_done_again_is_named_and_the_others_are_done(world):
    clear = Command(
        id="lost", body=ManageFault(operation="clear", fault="power-loss", entity_id="cell-1-1"), issued_by="t"
    )
    applied = CommandResult(command_id="lost", stage=CommandStage.APPLIED)
    failed = world.replay([(clear, applied), (reset(), applied)])
    assert (len(failed), "lost" in failed[0], world.epoch) == (1, True, 2)


def test_the_kept_orders_are_bounded(world):
    fault = ManageFault(operation="inject", fault="power-loss", entity_id="cell-1-1", severity=0.1)
    given = [Command(id=uuid7(), body=fault, issued_by="t") for _ in range(KEPT_ORDERS + 3)]
    for command in given:
        world.obey(command)
    assert list(world.obeyed) == [command.id for command in given[3:]]
