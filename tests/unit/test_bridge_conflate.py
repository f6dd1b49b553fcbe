"""What a scene has told so far, and the part of it that an observer wants."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.conflate import conflated
from bridge.v1 import figures_pb2, session_pb2
from bridge.wish import Wish, cut_batch, cut_report, wish_of
from twin.telemetry import PmReport, TelemetryBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOWHERE = np.zeros((0, 3), np.float32)


def batch(
    index: tuple[int, ...],
    *,
    seq: int = 1,
    moved: bool = True,
    epoch: int = 1,
    revision: int = 5,
    keyframe: bool = False,
) -> TelemetryBatch:
    """A batch whose figures say in which batch they were told."""
    return TelemetryBatch(
        scene_id="main",
        epoch=epoch,
        seq=seq,
        revision=revision,
        sim_time_s=float(seq),
        entity_index=np.array(index, np.uint32),
        position_m=np.array([[100.0 * i, 0, seq] for i in index], np.float32).reshape(-1, 3) if moved else None,
        kpis=("RF.serving.RSRP", "DRB.UEThpDl"),
        values=np.array([[i, seq] for i in index], np.float32).reshape(-1, 2),
        keyframe=keyframe,
    )


def told(one: TelemetryBatch) -> dict[int, tuple[float, float]]:
    """Return (batch of the position, batch of the figures) by entity; NaN where nothing was told."""
    position_m = np.full((one.entity_index.size, 3), np.nan) if one.position_m is None else one.position_m
    return {
        int(index): (float(place[2]), float(row[1]))
        for index, place, row in zip(one.entity_index, position_m, one.values, strict=True)
    }


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 6), unique=True, max_size=7), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_batches_together_tell_the_last_word_on_every_entity(parts: list[tuple[list[int], bool]]) -> None:
    whole: TelemetryBatch | None = None
    expected: dict[int, tuple[float, float]] = {}
    for number, (index, moved) in enumerate(parts, start=1):
        newer = batch(tuple(index), seq=number, moved=moved)
        whole = newer if whole is None else conflated(whole, newer)
        for entity in index:
            place = float(number) if moved else expected.get(entity, (np.nan, np.nan))[0]
            expected[entity] = (place, float(number))

    assert whole is not None
    assert whole.seq == len(parts)
    np.testing.assert_equal(told(whole), expected)


@pytest.mark.parametrize(
    "newer",
    [
        batch((1,), seq=2, keyframe=True),
        batch((1,), seq=2, epoch=2),
        batch((1,), seq=2, revision=6),
        batch((1, 2), seq=2),
    ],
    ids=["keyframe", "epoch", "revision", "same entities"],
)
def test_what_tells_everything_anew_stands_alone(newer: TelemetryBatch) -> None:
    assert conflated(batch((1, 2)), newer) is newer


def test_changes_on_top_of_a_picture_are_a_whole_picture() -> None:
    assert conflated(batch((1, 2), keyframe=True), batch((2,), seq=2)).keyframe


def test_what_was_put_together_shares_no_memory_with_its_parts() -> None:
    older, newer = batch((1, 2)), batch((2,), seq=2)

    whole = conflated(older, newer)

    assert told(older) == {1: (1.0, 1.0), 2: (1.0, 1.0)}
    assert not np.shares_memory(whole.values, older.values)


# --- wishes --------------------------------------------------------------------------------------------------------


def test_a_subscription_is_read_as_a_wish() -> None:
    subscribe = session_pb2.Subscribe(kpis=["A", "A"], encoding=figures_pb2.ENCODING_QUANTISED_INT16)
    subscribe.area_of_interest.east_m = 5.0

    assert wish_of(subscribe) == Wish(frozenset({"A"}), (0.0, 0.0, 5.0, 0.0), quantised=True)
    assert wish_of(session_pb2.Subscribe()) == Wish()


def test_only_wanted_columns_are_cut_out() -> None:
    cut = cut_batch(batch((1, 2), seq=7), Wish(frozenset({"DRB.UEThpDl"})), NOWHERE)

    assert cut is not None
    assert cut.kpis == ("DRB.UEThpDl",)
    assert cut.values.tolist() == [[7.0], [7.0]]
    assert cut.position_m is not None


def test_who_wants_none_of_the_columns_still_sees_what_moves() -> None:
    nothing = Wish(frozenset({"RRC.ConnMean"}))

    moved = cut_batch(batch((1, 2)), nothing, NOWHERE)

    assert moved is not None
    assert (moved.kpis, moved.values.shape) == ((), (2, 0))
    assert cut_batch(batch((1, 2), moved=False), nothing, NOWHERE) is None


@pytest.mark.parametrize("moved", [True, False])
def test_an_area_keeps_who_is_in_it(moved: bool) -> None:
    places: NDArray[np.float32] = np.array([[100, 0, 0], [200, 0, 0], [300, 0, 0]], np.float32)

    cut = cut_batch(batch((1, 2, 3), moved=moved), Wish(area_m=(150, -1, 250, 1)), places)

    assert cut is not None
    assert cut.entity_index.tolist() == [2]
    assert cut.values.tolist() == [[2.0, 1.0]]
    assert (cut.position_m is None) != moved


def test_a_report_is_cut_alike() -> None:
    report = PmReport(
        scene_id="main",
        epoch=1,
        seq=1,
        revision=5,
        granularity_period_s=1,
        period_end_sim_time_s=1.0,
        entity_index=np.array([0, 1], np.uint32),
        counters=("RRC.ConnMean", "DRB.UEThpDl"),
        values=np.array([[1, 2], [3, 4]], np.float32),
    )
    places = np.array([[0, 0, 0], [50, 0, 0]], np.float32)

    cut = cut_report(report, Wish(frozenset({"RRC.ConnMean"}), (40, -1, 60, 1)), places)

    assert cut is not None
    assert (cut.counters, cut.entity_index.tolist(), cut.values.tolist()) == (("RRC.ConnMean",), [1], [[3.0]])
    assert cut_report(report, Wish(frozenset({"unknown"})), places) is None
    assert replace(report, values=cut_report(report, Wish(), places).values).values is report.values  # type: ignore[union-attr]
