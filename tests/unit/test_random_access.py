"""Preambles, their collisions, and cells whose random access is dead."""

from __future__ import annotations

import numpy as np
import pytest

from twin.random_access import OCCASIONS_PER_S, PREAMBLES, REPEATS, TRANSMISSIONS, RandomAccess, contention, turned_away
from twin.setup_failures import ATTEMPTS_PER_CONNECTION_S


def test_a_quiet_cell_receives_one_preamble_per_attempt_and_more_are_sent():
    """The first of an attempt is detected in 63 % of cases, the second, louder, in 86 % (TR 37.868 6.1.1)."""
    sent, received, failed = contention(np.array([0.0, 10.0]))
    assert sent[0] == pytest.approx(1 + np.exp(-1) + np.exp(-3) + np.exp(-6) + np.exp(-10), abs=1e-6)
    assert received[0] == pytest.approx(1.0, abs=1e-12)
    assert 1.001 < received[1] < 1.01
    assert (failed < 1e-12).all()


def test_collisions_grow_with_load_and_repeat_themselves():
    load = np.array([100.0, 500.0, 1000.0, 1900.0, 4000.0])
    sent, received, failed = contention(load)
    assert (received <= sent).all()
    assert (np.diff(sent) > 0).all() and (np.diff(failed) > 0).all()
    assert (sent >= 1.0).all() and (sent <= TRANSMISSIONS).all()
    assert failed[2] < 0.01
    assert failed[-1] > 0.5


def test_the_collision_rate_is_that_of_a_slotted_channel():
    """Against drawn preambles: arrivals of one occasion choose among 54; one chosen twice, or too faint, is lost."""
    rng = np.random.default_rng(2)
    per_s, occasions = 1500.0, 4000
    waiting: list[list[int]] = [[] for _ in range(occasions + 400)]
    sent = collided = received = 0
    for occasion in range(occasions):
        transmissions = [1] * rng.poisson(per_s / OCCASIONS_PER_S) + waiting[occasion]
        preamble = rng.integers(0, PREAMBLES, len(transmissions))
        twice = np.bincount(preamble, minlength=PREAMBLES)[preamble] > 1
        sent += len(transmissions)
        collided += int(twice.sum())
        faint = rng.random(len(transmissions)) < np.exp(-np.array(transmissions))
        received += int((~faint).sum())
        for number, clash in zip(transmissions, twice | faint, strict=True):
            if clash and number < TRANSMISSIONS:
                waiting[occasion + int(rng.integers(1, 20))].append(number + 1)
    expected, heard = (float(one[0]) for one in contention(np.array([per_s]))[:2])
    assert received / (per_s / OCCASIONS_PER_S * occasions) == pytest.approx(heard, rel=0.05)
    assert sent / (per_s / OCCASIONS_PER_S * occasions) == pytest.approx(expected, rel=0.05)
    assert collided / sent == pytest.approx(-np.expm1(-per_s * expected / (PREAMBLES * OCCASIONS_PER_S)), rel=0.05)


def test_at_a_dead_cell_attempts_go_up_and_all_fail():
    access = RandomAccess(3)
    dead = np.array([0.0, 1.0, 0.0], dtype=np.float32)
    camped, serving = np.array([1, 1, 0, -1]), np.array([1, 2, 0, -1])
    for _ in range(10):
        access.step(
            dead, camped=camped, serving=serving, connected=np.array([5.0, 20.0, 7.0, 3.0], dtype=np.float32), dt_s=0.1
        )
    assert access.refused == pytest.approx([0.0, 5.0 * ATTEMPTS_PER_CONNECTION_S, 0.0])
    assert access.knocks == pytest.approx([0.0, 20.0 * REPEATS * ATTEMPTS_PER_CONNECTION_S, 0.0])
    access.clear()
    assert not any(array.any() for array in access.arrays().values())


def test_the_share_of_users_turned_away_is_that_of_the_failing_accesses():
    camped = np.tile(np.array([0, 1, -1]), 400)
    away = turned_away(1200, camped=camped, access_loss=np.array([0.7, 0.0], dtype=np.float32))
    assert away[camped == 0].mean() == pytest.approx(0.7, abs=0.02)
    assert not away[camped != 0].any()


def test_ues_that_come_at_once_cost_more_preambles_than_one_by_one():
    quiet = np.full(1, 5.0)
    together, apart = RandomAccess(1), RandomAccess(1)
    together.call(np.array([[200.0, 0.0, 20.0]]), others_per_s=quiet, dt_s=0.1)
    for _ in range(20):
        apart.call(np.array([[10.0, 0.0, 1.0]]), others_per_s=quiet, dt_s=0.1)
    assert together.connects[0] == apart.connects[0] == 200.0
    assert 220.0 < apart.preambles[0] < 230.0 < together.preambles[0]
    assert together.collided[0] > 1e6 * apart.collided[0]
