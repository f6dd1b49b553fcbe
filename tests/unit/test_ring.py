"""Rings of figures: whatever a batch names, and in whatever order, each figure lands with its entity."""

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from twin.entities import Kind
from twin_app.store.ring import KindRing, Places, PositionRing

if TYPE_CHECKING:
    from numpy.typing import NDArray

entities = st.lists(st.integers(0, 40), unique=True, max_size=12).map(sorted)
named = st.lists(st.integers(0, 60), unique=True, max_size=20)


def array(index: list[int], dtype: type[np.integer] = np.uint32) -> "NDArray[np.integer]":
    return np.array(index, dtype)


@given(entities, named)
def test_positions_stay_with_their_entities(here: list[int], told: list[int]) -> None:
    ring = PositionRing(array(here, np.int64))

    ring.put(1.0, array(told), np.array([[i, 0, 1] for i in told], np.float32).reshape(-1, 3))

    expected = [float(i) if i in told else np.nan for i in here]
    np.testing.assert_array_equal(ring.newest()[1][:, 0], np.array(expected, np.float32))


@given(entities, named)
def test_gauges_stay_with_their_entities(here: list[int], told: list[int]) -> None:
    ring = KindRing(Kind.UE, array(here, np.int64), depth=60)
    kpi = ring.kpis[1]

    kept = ring.put(1.0, 1, array(told), ("unknown", kpi), np.array([[-1, i] for i in told], np.float32).reshape(-1, 2))

    assert kept == bool(set(here) & set(told))
    if kept:
        expected = [float(i) if i in told else np.nan for i in here]
        newest = ring.newest(kpi)
        assert newest is not None
        np.testing.assert_array_equal(newest[1], np.array(expected, np.float32))
        other = ring.newest(ring.kpis[0])
        assert other is not None
        assert np.isnan(other[1]).all()
        assert ring.newest_s() == 1.0


def test_a_whole_batch_after_a_part_leaves_nothing_behind() -> None:
    ring = KindRing(Kind.UE, array([3, 5], np.int64), depth=60)
    for second in range(1, 70):  # the ring goes round, so slots hold old figures
        ring.put(float(second), 1, array([3, 5]), ring.kpis, np.full((2, len(ring.kpis)), second, np.float32))

    ring.put(70.0, 1, array([3, 5]), ring.kpis[:1], np.ones((2, 1), np.float32))

    newest = ring.newest(ring.kpis[1])
    assert newest is not None
    assert np.isnan(newest[1]).all()


def test_only_the_very_same_order_counts_as_whole() -> None:
    places = Places(array([3, 5], np.int64))

    assert places.whole(array([3, 5]))
    assert not places.whole(array([5, 3]))
    assert not places.whole(array([3]))
    rows, where = places.find(array([5, 99, 3]))
    assert (rows.tolist(), where.tolist()) == ([0, 2], [1, 0])
