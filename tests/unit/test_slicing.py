"""Slice pools: no PRB is given twice, none is lost that is wanted, and every bound of a policy holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin import kernels
from twin.slicing import open_pools, pools

TOLERANCE = 1e-5
"""Shares are kept in single precision."""
KERNELS = ("numpy", "numba")


def _divide(kernel, need, cells, slice_of, bounds):
    if kernel == "numba":
        pytest.importorskip("numba")
    cells = np.asarray(cells, dtype=np.int64)
    cells = cells[None, :, None] if cells.ndim == 1 else cells[None]
    given_out, level, granted = kernels.load(kernel).divide(
        np.asarray(need, dtype=np.float32)[None],
        cells,
        np.asarray(slice_of),
        bounds.dedicated,
        bounds.least,
        bounds.most,
    )
    return given_out[0], level[0], granted[0]


def _policy(draw):
    """Return one cell's sound policy for three slices: dedicated <= min <= max, minima of at most 100 %."""
    least = np.array([draw(st.floats(0, 1)) for _ in range(3)])
    least /= max(least.sum(), 1.0)
    most = least + (1.0 - least) * [draw(st.sampled_from([0.0, 0.2, 0.7, 1.0])) for _ in range(3)]
    dedicated = least * [draw(st.sampled_from([0.0, 0.0, 0.5, 1.0])) for _ in range(3)]
    return pools(least=least[None], most=most[None], dedicated=dedicated[None])


@st.composite
def _cases(draw):
    users = draw(st.integers(1, 30))
    need = [draw(st.floats(0, 0.375, width=32)) for _ in range(users)]
    slice_of = [draw(st.integers(0, 2)) for _ in range(users)]
    return np.array(need, dtype=np.float32), np.array(slice_of), _policy(draw)


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=60, deadline=None)
@given(case=_cases())
def test_every_bound_of_a_policy_holds_and_no_block_is_given_twice(kernel, case):
    need, slice_of, bounds = case
    share, _, granted = _divide(kernel, need, np.zeros(len(need)), slice_of, bounds)
    wanted = np.bincount(slice_of, need, 3)
    taken = np.maximum(granted[0], bounds.dedicated[0])

    assert taken.sum() <= 1.0 + TOLERANCE
    assert (granted[0] <= bounds.most[0] + TOLERANCE).all()
    assert (granted[0] >= np.minimum(wanted, bounds.least[0]) - TOLERANCE).all()
    assert (share <= need + TOLERANCE).all()
    assert granted[0] == pytest.approx(np.bincount(slice_of, share, 3), abs=TOLERANCE)


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=60, deadline=None)
@given(case=_cases())
def test_nothing_that_a_slice_may_have_lies_idle_while_it_is_wanted(kernel, case):
    need, slice_of, bounds = case
    _, _, granted = _divide(kernel, need, np.zeros(len(need)), slice_of, bounds)
    wanted = np.bincount(slice_of, need, 3)
    left = 1.0 - np.maximum(granted[0], bounds.dedicated[0]).sum()
    short = np.minimum(wanted, bounds.most[0]) - granted[0]

    assert left < TOLERANCE or short.max() < TOLERANCE


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=40, deadline=None)
@given(case=_cases(), twice=st.floats(1.0, 3.0))
def test_who_wants_more_gets_no_less_and_equal_users_get_equal_time(kernel, case, twice):
    need, slice_of, bounds = case
    need, slice_of = np.append(need, need[0]), np.append(slice_of, slice_of[0])
    before = _divide(kernel, need, np.zeros(len(need)), slice_of, bounds)[0]
    hungrier = need.copy()
    hungrier[0] *= np.float32(twice)
    after = _divide(kernel, hungrier, np.zeros(len(need)), slice_of, bounds)[0]

    assert before[0] == before[-1]
    assert after[0] >= before[0] - TOLERANCE


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=40, deadline=None)
@given(case=_cases(), seed=st.integers(0, 99))
def test_the_order_of_users_does_not_matter(kernel, case, seed):
    need, slice_of, bounds = case
    order = np.random.default_rng(seed).permutation(len(need))
    straight = _divide(kernel, need, np.zeros(len(need)), slice_of, bounds)[0]
    shuffled = _divide(kernel, need[order], np.zeros(len(need)), slice_of[order], bounds)[0]

    assert shuffled == pytest.approx(straight[order], abs=TOLERANCE)


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=40, deadline=None)
@given(need=st.lists(st.floats(0, 0.5, width=32), min_size=1, max_size=40), seed=st.integers(0, 99))
def test_policies_without_bounds_are_proportional_fair_over_the_whole_cell(kernel, need, seed):
    slice_of = np.random.default_rng(seed).integers(0, 3, len(need))
    sliced = _divide(kernel, need, np.zeros(len(need)), slice_of, open_pools(1, 3))[0]
    plain = _divide(kernel, need, np.zeros(len(need)), np.zeros(len(need), dtype=np.int64), open_pools(1, 1))[0]

    assert sliced == pytest.approx(plain, abs=TOLERANCE)
    assert sliced.sum() == pytest.approx(min(1.0, np.sum(need)), abs=TOLERANCE)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_small_users_leave_goes_to_the_big_ones(kernel):
    share, level, _ = _divide(kernel, [0.1, 0.9, 0.9, 0.6], [0, 0, 0, 1], np.zeros(4, dtype=np.int64), open_pools(2, 1))
    assert share == pytest.approx([0.1, 0.45, 0.45, 0.6])
    assert level.ravel() == pytest.approx([0.45, np.inf])


@pytest.mark.parametrize("kernel", KERNELS)
def test_dedicated_is_lost_min_is_lent_and_max_caps(kernel):
    need, slice_of = [0.8, 0.8, 0.05], np.array([0, 0, 1])

    def granted(**shares):
        zero, one = np.zeros((1, 2)), np.ones((1, 2))
        bounds = pools(**({"least": zero, "most": one, "dedicated": zero} | shares))
        return _divide(kernel, need, [0, 0, 0], slice_of, bounds)[2][0]

    urllc = np.array([[0.0, 0.3]])
    assert granted(least=urllc) == pytest.approx([0.95, 0.05])
    assert granted(least=urllc, dedicated=urllc) == pytest.approx([0.7, 0.05])
    assert granted(most=np.array([[0.6, 1.0]])) == pytest.approx([0.6, 0.05])


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_minimum_protects_a_slice_from_the_crowd_of_another(kernel):
    slice_of = np.array([0] * 9 + [1])
    open_share = _divide(kernel, [0.5] * 10, [0] * 10, slice_of, open_pools(1, 2))[0]
    bounds = pools(least=np.array([[0.0, 0.4]]), most=np.ones((1, 2)), dedicated=np.zeros((1, 2)))
    kept = _divide(kernel, [0.5] * 10, [0] * 10, slice_of, bounds)[0]

    assert open_share == pytest.approx(np.full(10, 0.1))
    assert kept == pytest.approx([*[0.6 / 9] * 9, 0.4])


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_user_of_two_cells_gets_what_the_scarcer_one_gives_and_the_other_lends_the_rest(kernel):
    cells = np.array([[0, 1], [0, -1], [0, -1], [1, -1], [1, -1]])
    share, _, granted = _divide(kernel, [0.5, 0.5, 0.5, 0.2, 0.9], cells, np.zeros(5, dtype=np.int64), open_pools(2, 1))
    # Cell 0 gives each of its three a third; cell 1 serves the first of them alike and has 2/3 for the others.
    assert share == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.2, 1 - 1 / 3 - 0.2])
    assert granted.ravel() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("kernel", KERNELS)
def test_random_cells_conserve_their_resource(kernel):
    rng = np.random.default_rng(1)
    need, cells = rng.exponential(0.05, 900).astype(np.float32), rng.integers(-1, 40, 900)
    share, _, granted = _divide(kernel, need, cells, rng.integers(0, 3, 900), open_pools(40, 3))
    wanted = np.bincount(cells[cells >= 0], need[cells >= 0], 40)

    assert granted.sum(axis=1) == pytest.approx(np.minimum(wanted, 1.0), abs=TOLERANCE)
    assert share[cells < 0].max() == 0.0


def test_minima_that_cannot_all_be_met_fall_short_by_the_same_factor():
    bounds = pools(
        least=np.array([[0.8, 0.8]]), most=np.array([[1.0, 1.0]]), dedicated=np.array([[0.4, 0.0]])
    )  # fmt: skip
    assert bounds.least[0] == pytest.approx([0.5, 0.5])
    assert bounds.dedicated[0] == pytest.approx([0.25, 0.0])
    assert bounds.reach[0] == pytest.approx([1.0, 0.75])


def test_bounds_that_contradict_each_other_give_way_to_the_upper_one():
    bounds = pools(least=np.array([[0.5]]), most=np.array([[0.3]]), dedicated=np.array([[0.9]]))
    assert (bounds.dedicated[0, 0], bounds.least[0, 0], bounds.most[0, 0]) == (0.3, 0.3, 0.3)
