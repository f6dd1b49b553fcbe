"""Mains power by two models, and cells that lock, shut down, fall asleep and wake up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from twin.energy import DEEP_SLEEP, MICRO_SLEEP, num_chains, power_model
from twin.entities import Cell
from twin.sleep import DRAIN_S, WAKE_S, CellStates, Saving

TICK_S = 0.1
NO, YES = np.array([False]), np.array([True])


def _cells(*rows, carrier_hz=3.5e9):
    like = Cell(
        id="cell-1-1", site_id="site-1", sector=1, name="1-1", dn="", azimuth_deg=0.0, tilt_deg=6.0, tx_power_dbm=43.0,
        carrier_hz=carrier_hz, bandwidth_hz=100e6, environment="UMa", nr_pci=1,
    )  # fmt: skip
    return [replace(like, environment=environment, tx_power_dbm=dbm) for environment, dbm in rows]


def _draw(model, watts, *, awake=True):
    return model.draw_w(np.array([watts], dtype=np.float32), awake=np.array([awake]))[0]


def test_an_earth_macro_chain_draws_130_w_idle_and_94_w_more_at_20_w():
    model = power_model(_cells(("UMa", 43.0103)))
    assert [_draw(model, watts) for watts in (0.0, 20.0)] == pytest.approx([130.0, 224.0])


def test_a_cell_off_the_air_sleeps_at_75_w_per_chain():
    assert _draw(power_model(_cells(("UMa", 46.0))), 0.0, awake=False) == pytest.approx(150.0)


@pytest.mark.parametrize(("environment", "idle_w"), [("UMa", 130.0), ("RMa", 130.0), ("UMi", 56.0), ("InH", 6.8)])
def test_small_stations_draw_less(environment, idle_w):
    assert _draw(power_model(_cells((environment, 20.0))), 0.0) == pytest.approx(idle_w)


def test_a_macro_station_above_fr1_has_its_amplifiers_at_the_antenna():
    assert _draw(power_model(_cells(("UMa", 43.0), carrier_hz=15e9)), 0.0) == pytest.approx(84.0)


def test_power_needs_as_many_chains_as_its_class_takes():
    assert num_chains(np.array([20.0, 40.0, 0.1, 20.0]), np.array([20.0, 20.0, 20.0, 6.3])).tolist() == [1, 2, 1, 4]


def test_both_models_agree_at_full_load_and_the_states_of_tr_38864_save_more_below():
    cells = _cells(("UMa", 46.0))
    earth, states = power_model(cells), power_model(cells, model="tr38864")
    full_w = 10 ** (46.0 / 10 - 3)
    assert _draw(states, full_w) == pytest.approx(_draw(earth, full_w), rel=1e-4)
    assert _draw(states, 0.0) < 0.5 * _draw(earth, 0.0)
    assert _draw(states, 0.0) / _draw(states, 0.0, awake=False) == pytest.approx(MICRO_SLEEP / DEEP_SLEEP)


def _states(**changed):
    states = CellStates(locked=NO, saving=NO)
    states.order(**({"locked": NO, "closing": NO, "saving": NO} | changed))
    return states


def _run(states, seconds, staying=0):
    changes = [states.step(TICK_S, staying=np.array([staying])) for _ in range(round(seconds / TICK_S))]
    return sum(changes)


def test_a_cell_that_is_told_to_save_hands_over_first_and_then_sleeps():
    states = _states(saving=YES)
    assert (states.saving[0], states.drains[0], states.on_air[0], states.admits[0]) == (
        Saving.GOING_TO_SLEEP,
        True,
        True,
        False,
    )
    _run(states, 2.0, staying=3)
    assert states.on_air[0]
    assert _run(states, TICK_S) == 1
    assert (states.saving[0], states.on_air[0], states.awake[0]) == (Saving.IS_ENERGY_SAVING, False, False)


def test_who_has_no_other_cell_cannot_keep_one_awake_for_ever():
    states = _states(saving=YES)
    _run(states, DRAIN_S + TICK_S, staying=3)
    assert states.saving[0] == Saving.IS_ENERGY_SAVING


def test_waking_takes_time_and_power():
    states = CellStates(locked=NO, saving=YES)
    states.order(locked=NO, closing=NO, saving=NO)
    _run(states, WAKE_S - 2 * TICK_S)
    assert (states.saving[0], states.on_air[0], states.awake[0]) == (Saving.WAKING_UP, False, True)
    _run(states, 3 * TICK_S)
    assert (states.saving[0], states.on_air[0], states.admits[0]) == (Saving.IS_NOT_ENERGY_SAVING, True, True)
    assert not states.restless


def test_an_order_taken_back_while_the_cell_drains_leaves_it_on_the_air():
    states = _states(saving=YES)
    _run(states, 1.0, staying=2)
    states.order(locked=NO, closing=NO, saving=NO)
    assert (states.saving[0], states.admits[0]) == (Saving.IS_NOT_ENERGY_SAVING, True)


def test_a_cell_that_shuts_down_lets_its_users_finish_and_locks():
    states = _states(closing=YES)
    assert (states.on_air[0], states.admits[0], states.drains[0]) == (True, False, False)
    _run(states, 60.0, staying=1)
    assert states.on_air[0]
    _run(states, TICK_S)
    assert (states.on_air[0], states.locked[0], states.awake[0]) == (False, True, False)
    states.order(locked=NO, closing=YES, saving=NO)
    assert states.locked[0]
    states.order(locked=NO, closing=NO, saving=NO)
    assert states.on_air[0]


def test_locking_ends_service_at_once():
    assert not _states(locked=YES).on_air[0]


def test_the_state_can_be_written_back():
    states, other = _states(saving=YES), CellStates(locked=NO, saving=NO)
    _run(states, 1.0, staying=1)
    for name, array in other.arrays().items():
        array[...] = states.arrays()[name]
    _run(states, 0.5)
    _run(other, 0.5)
    assert {name: array.tolist() for name, array in states.arrays().items()} == {
        name: array.tolist() for name, array in other.arrays().items()
    }
