"""Figures as 16-bit integers: how far off they may be, and what stands for a missing one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bridge import codec, mapping
from bridge.quantise import MISSING, Quantised, from_bytes, quantise, restore, to_bytes
from bridge.v1 import figures_pb2
from twin.errors import ProtocolError
from twin.telemetry import TelemetryBatch

columns = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12),
    elements=st.floats(width=32),
)


@given(columns)
def test_the_error_is_at_most_half_a_scale(figures: NDArray[np.float32]) -> None:
    integers, offset, scale = quantise(figures)

    present = np.isfinite(figures)
    meant = offset.astype(np.float64) + scale.astype(np.float64) * integers
    off = np.abs(meant - figures.astype(np.float64), where=present, out=np.zeros(figures.shape))
    assert (off <= 0.5 * scale.astype(np.float64) * (1 + 1e-9)).all()
    np.testing.assert_array_equal(integers == MISSING, ~present)


@given(columns)
def test_what_comes_back_is_the_nearest_float_of_it(figures: NDArray[np.float32]) -> None:
    quantised = quantise(figures)

    back = restore(quantised, field="values_int16")

    present = np.isfinite(figures)
    np.testing.assert_array_equal(np.isnan(back), ~present)
    off = np.abs(back.astype(np.float64) - figures, where=present, out=np.zeros(figures.shape))
    rounding = 2.0**-24 * np.abs(np.where(present, figures, 0.0), dtype=np.float64) + 2.0**-149
    assert (off <= 0.5 * quantised.scale.astype(np.float64) * (1 + 1e-9) + rounding).all()


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(1, 5))
def test_a_column_of_equal_figures_is_exact(figure: float, rows: int) -> None:
    figures = np.full((rows, 1), figure, np.float32)

    quantised = quantise(figures)

    assert quantised.scale.tolist() == [0.0]
    np.testing.assert_array_equal(restore(quantised, field="x"), figures)


def test_both_ends_of_the_largest_span_come_back() -> None:
    largest = np.finfo(np.float32).max
    figures = np.array([[-largest], [largest]], np.float32)

    np.testing.assert_allclose(restore(quantise(figures), field="x"), figures, rtol=2e-5)


def test_a_small_span_far_from_zero_keeps_its_order() -> None:
    figures = np.linspace(1e6, 1e6 + 8, 100, dtype=np.float32).reshape(-1, 1)

    np.testing.assert_array_equal(restore(quantise(figures), field="x"), figures)


def test_columns_do_not_share_their_scale() -> None:
    figures = np.array([[0.0, -120.0], [1e6, -60.0]], np.float32)

    _, offset, scale = quantise(figures)

    np.testing.assert_allclose(offset, [5e5, -90.0])
    np.testing.assert_allclose(scale, [5e5 / 32767, 30 / 32767], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_offset_or_scale_that_is_not_finite_is_refused(bad: float) -> None:
    one = np.ones(1, np.float32)
    integers = np.zeros((1, 1), np.int16)

    with pytest.raises(ProtocolError, match="`values_int16` is not finite"):
        restore(Quantised(integers, np.array([bad], np.float32), one), field="values_int16")
    with pytest.raises(ProtocolError, match="`values_int16` is not finite"):
        restore(Quantised(integers, one, np.array([bad], np.float32)), field="values_int16")


def test_a_figure_beyond_a_float_becomes_the_largest_float() -> None:
    far = Quantised(np.array([[32767]], np.int16), np.zeros(1, np.float32), np.array([3e38], np.float32))

    assert restore(far, field="x").tolist() == [[float(np.finfo(np.float32).max)]]


@given(hnp.arrays(np.int16, (3, 4)))
def test_integers_are_little_endian_row_by_row(integers: NDArray[np.int16]) -> None:
    raw = to_bytes(integers.T.copy().T.astype(">i2"))  # type: ignore[arg-type]

    assert raw == b"".join(int(one).to_bytes(2, "little", signed=True) for one in integers.ravel())
    np.testing.assert_array_equal(from_bytes(raw, rows=3, columns=4, field="x"), integers)


def batch(*, position_m: NDArray[np.float32] | None, rows: int = 3, keyframe: bool = False) -> TelemetryBatch:
    rng = np.random.default_rng(5)
    return TelemetryBatch(
        scene_id="main",
        epoch=2,
        seq=9,
        revision=5,
        sim_time_s=1.5,
        entity_index=np.arange(rows, dtype=np.uint32),
        position_m=position_m,
        kpis=("RF.serving.RSRP", "DRB.UEThpDl"),
        values=rng.random((rows, 2), np.float32),
        keyframe=keyframe,
    )


def sent(one: TelemetryBatch, *, quantised: bool) -> TelemetryBatch:
    request = codec.ConnectRequest()
    mapping.write_telemetry(request.telemetry, one, quantised=quantised)
    return mapping.read_telemetry(codec.decode_request(request.SerializeToString()).telemetry)


@pytest.mark.parametrize("keyframe", [False, True])
@pytest.mark.parametrize("quantised", [False, True])
def test_a_batch_survives_the_wire_in_either_encoding(quantised: bool, keyframe: bool) -> None:
    position_m = np.array([[0, 500, 1.5], [-10, 0, 1.5], [1000, 3, np.nan]], np.float32)
    one = batch(position_m=position_m, keyframe=keyframe)

    back = sent(one, quantised=quantised)

    assert (back.seq, back.epoch, back.kpis, back.keyframe) == (9, 2, one.kpis, keyframe)
    np.testing.assert_array_equal(back.entity_index, one.entity_index)
    assert back.position_m is not None
    np.testing.assert_allclose(back.position_m, position_m, atol=0.5 * 1010 / 65534 * 1.01 if quantised else 0)
    np.testing.assert_allclose(back.values, one.values, atol=0.5 / 65534 * 1.01 if quantised else 0)


@pytest.mark.parametrize("quantised", [False, True])
def test_nothing_moved_and_nobody_there_are_told_apart(quantised: bool) -> None:
    assert sent(batch(position_m=None), quantised=quantised).position_m is None
    nobody = sent(batch(position_m=np.zeros((0, 3), np.float32), rows=0), quantised=quantised)
    assert nobody.position_m is not None
    assert (nobody.position_m.shape, nobody.values.shape) == ((0, 3), (0, 2))


def test_quantised_needs_about_half_the_bytes() -> None:
    rng = np.random.default_rng(1)
    one = batch(position_m=rng.random((1000, 3), np.float32), rows=1000)
    sizes: list[int] = []
    for quantised in (False, True):
        message = codec.ConnectRequest()
        mapping.write_telemetry(message.telemetry, one, quantised=quantised)
        sizes.append(len(message.SerializeToString()))

    assert sizes[1] < 0.6 * sizes[0]  # the indices stay as they are


def corrupted(change: str) -> figures_pb2.Telemetry:
    request = codec.ConnectRequest()
    mapping.write_telemetry(request.telemetry, batch(position_m=np.ones((3, 3), np.float32)), quantised=True)
    message = request.telemetry
    match change:
        case "short":
            message.quantised.values_int16 = message.quantised.values_int16[:-1]
        case "scales":
            codec.put_array(message.quantised, "values_scale", np.ones(1, np.float32))
        case "offsets":
            codec.put_array(message.quantised, "position_offset_m", np.ones(4, np.float32))
        case _:
            codec.put_array(message, "values", np.ones(6, np.float32))
    return message


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("short", "`values_int16` holds `11` bytes"),
        ("scales", "`values_scale` hold `2` and `1`"),
        ("offsets", "`position_offset_m` and `position_scale_m` hold `4` and `3`"),
        ("both", "`quantised` is set beside"),
    ],
)
def test_lists_that_do_not_fit_together_are_refused(change: str, text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        mapping.read_telemetry(corrupted(change))
