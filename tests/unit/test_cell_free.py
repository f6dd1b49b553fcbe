"""Who serves whom when the strongest cells serve together."""

from __future__ import annotations

import numpy as np
import pytest

from twin.sixg.cell_free import MAX_CELLS, partners

CELLS = 6
ONE_CARRIER = np.zeros(CELLS, dtype=np.int64)
ALL = np.ones(CELLS, dtype=bool)


def _sets(
    level_db: list[list[float]], serving: list[int], most: int | list[int], **changes: np.ndarray
) -> list[list[int]]:
    """Return all cells that serve each user, the serving one first."""
    given = {"carrier": ONE_CARRIER, "admits": ALL} | changes
    received = (10.0 ** (np.array(level_db) / 10.0)).astype(np.float32)
    limit = np.broadcast_to(np.array(most, dtype=np.int64), CELLS)
    spot = np.arange(len(serving))
    found = partners(np.array(serving), received, spot, most=limit, **given)  # pyright: ignore[reportArgumentType]
    assert found is not None
    return np.column_stack([serving, found]).tolist()


LEVELS = [-70.0, -75.0, -72.0, -90.0, -78.0, -120.0]


def test_with_one_serving_cell_there_are_no_partners():
    received = np.ones((4, CELLS), dtype=np.float32)
    one = np.ones(CELLS, dtype=np.int64)
    assert partners(np.array([0, 3, -1, 5]), received, np.arange(4), most=one, carrier=ONE_CARRIER, admits=ALL) is None


def test_the_serving_cell_comes_first_and_then_the_strongest():
    assert _sets([LEVELS], [1], 4) == [[1, 0, 2, 4]]


def test_the_serving_cell_says_how_many_take_part():
    found = _sets([LEVELS, LEVELS], [0, 1], [3, 2, 1, 1, 1, 1])
    assert found == [[0, 2, 1], [1, 0, -1]]


def test_a_cell_far_below_the_serving_one_stays_out():
    assert _sets([LEVELS], [0], MAX_CELLS) == [[0, 2, 1, 4, -1, -1]]


def test_other_carriers_and_closed_cells_stay_out():
    carrier = np.array([0, 0, 1, 0, 0, 0])
    admits = np.array([True, True, True, True, False, True])
    assert _sets([LEVELS], [0], 3, carrier=carrier, admits=admits) == [[0, 1, -1]]


def test_a_user_without_a_cell_has_no_partners():
    assert _sets([LEVELS, LEVELS], [-1, 0], 2) == [[-1, -1], [0, 2]]


def test_users_of_the_past_share_the_places_that_they_hear_at():
    received = (10.0 ** (np.array([LEVELS, LEVELS[::-1]]) / 10.0)).astype(np.float32)
    spot = np.array([[0, 1], [1, 0]], dtype=np.int32)
    serving = np.array([[0, 5], [5, 0]])
    found = partners(serving, received, spot, most=np.full(CELLS, 3), carrier=ONE_CARRIER, admits=ALL)
    assert found is not None
    assert found.tolist() == [[[2, 1], [3, 4]], [[3, 4], [2, 1]]]


@pytest.mark.parametrize("most", [2, 3, 8])
def test_sets_are_those_of_a_full_sort(most):
    rng = np.random.default_rng(4)
    users, cells = 300, 40
    received = (10.0 ** (rng.uniform(-12.0, -6.0, (3, users, cells)))).astype(np.float32)
    serving = received.argmax(axis=-1)
    carrier = rng.integers(0, 2, cells)
    found = partners(
        serving,
        received.reshape(-1, cells),
        np.arange(3 * users).reshape(3, users),
        most=np.full(cells, most),
        carrier=carrier,
        admits=np.ones(cells, dtype=bool),
    )
    assert found is not None
    for moment, user in ((0, 0), (1, 17), (2, 299)):
        own = int(serving[moment, user])
        level = np.where(carrier == carrier[own], received[moment, user], 0.0)
        order = [int(c) for c in np.argsort(-level)[:most] if level[c] > 0.01 * level[own]]
        assert [own, *(int(c) for c in found[moment, user] if c >= 0)] == order
