"""Shadow messages: the same bytes as the published contract, as blocks of memory."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import codec
from bridge.v1 import bridge_pb2
from twin.errors import ProtocolError

floats = st.lists(st.floats(width=32, allow_nan=False), max_size=40)
indices = st.lists(st.integers(0, 2**32 - 1), max_size=40)


@given(index=indices, values=floats, positions=floats)
def test_shadow_and_published_message_serialize_to_the_same_bytes(
    index: list[int], values: list[float], positions: list[float]
) -> None:
    published = bridge_pb2.ConnectRequest(seq=7, sim_time_s=1.5)
    published.telemetry.scene_id = "main"
    published.telemetry.entity_index.extend(index)
    published.telemetry.position_m.extend(positions)
    published.telemetry.kpis.append("RRC.ConnMean")
    published.telemetry.values.extend(values)
    shadow = codec.ConnectRequest(seq=7, sim_time_s=1.5)
    shadow.telemetry.scene_id = "main"
    codec.put_array(shadow.telemetry, "entity_index", np.array(index, dtype=np.uint32))
    codec.put_array(shadow.telemetry, "position_m", np.array(positions, dtype=np.float32))
    shadow.telemetry.kpis.append("RRC.ConnMean")
    codec.put_array(shadow.telemetry, "values", np.array(values, dtype=np.float32))

    assert shadow.SerializeToString() == published.SerializeToString()


@given(index=indices, values=floats)
def test_what_any_protobuf_encoder_wrote_is_read_as_arrays(index: list[int], values: list[float]) -> None:
    published = bridge_pb2.ConnectRequest()
    published.pm_report.entity_index.extend(index)
    published.pm_report.values.extend(values)

    read = codec.decode_request(published.SerializeToString()).pm_report

    assert codec.get_indices(read, "entity_index").tolist() == index
    np.testing.assert_array_equal(codec.get_floats(read, "values"), np.array(values, dtype=np.float32))


def test_a_big_endian_or_strided_array_is_written_as_the_wire_wants_it() -> None:
    wanted = np.arange(6, dtype=np.float32).reshape(2, 3)
    shadow = codec.ConnectRequest()

    codec.put_array(shadow.telemetry, "values", wanted.T.copy().T.astype(">f4"))

    np.testing.assert_array_equal(codec.get_floats(shadow.telemetry, "values"), wanted.ravel())


def test_a_run_of_half_a_float_is_refused() -> None:
    shadow = codec.ConnectRequest()
    shadow.telemetry.values = b"\x00\x00\x80"  # type: ignore[assignment]

    with pytest.raises(ProtocolError, match="`3` bytes"):
        codec.get_floats(codec.decode_request(shadow.SerializeToString()).telemetry, "values")


@given(st.binary(max_size=200))
def test_noise_is_either_a_message_or_a_protocol_error(noise: bytes) -> None:
    try:
        message = codec.decode_request(noise)
    except ProtocolError:
        return

    assert codec.decode_request(message.SerializeToString()).SerializeToString() == message.SerializeToString()


def test_a_header_around_an_encoded_body_gives_the_whole_envelope() -> None:
    whole = bridge_pb2.ConnectResponse(seq=3, ack=9, wall_time_unix_ns=5, sim_time_s=0.25)
    whole.event.name = "touched"
    body = bridge_pb2.ConnectResponse()
    body.event.name = "touched"

    framed = codec.with_header(
        body.SerializeToString(), response=True, seq=3, ack=9, wall_time_unix_ns=5, sim_time_s=0.25
    )

    assert framed == whole.SerializeToString()


def test_arrays_are_written_many_times_faster_than_number_by_number() -> None:
    values = np.random.default_rng(1).random(15_000, dtype=np.float32)

    def by_shadow() -> bytes:
        message = codec.ConnectRequest()
        codec.put_array(message.telemetry, "values", values)
        return message.SerializeToString()

    def by_number() -> bytes:
        message = bridge_pb2.ConnectRequest()
        message.telemetry.values.extend(values.tolist())
        return message.SerializeToString()

    assert by_shadow() == by_number()
    assert min(_seconds(by_number) for _ in range(5)) > 5 * min(_seconds(by_shadow) for _ in range(5))


def _seconds(work: object) -> float:
    begin = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - begin
