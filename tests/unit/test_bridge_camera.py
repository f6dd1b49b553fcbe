"""Pictures: parts put together, bad ones refused, askers served in order, unasked ones within credit."""

import asyncio
import io
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bridge import codec
from bridge.camera import MAX_CAMERAS, CameraDesk
from bridge.picture import MAX_PART_BYTES, Assembly, BrokenOrder, parts_of, size_of
from bridge.v1 import bridge_pb2, media_pb2, session_pb2, topology_pb2
from tests.media_peer import Somebody, parts, shadow, somebody
from twin.errors import DeadlineExceeded, InvalidInput, Overloaded, ProtocolError, SceneUnavailable, TooLarge
from twin.media import CameraImage

CAMERA = session_pb2.CHANNEL_CAMERA
JPEG, PNG, RAW = media_pb2.IMAGE_CODEC_JPEG, media_pb2.IMAGE_CODEC_PNG, media_pb2.IMAGE_CODEC_RAW_RGB


def drawn(word: str, width: int = 40, height: int = 30, **save: object) -> bytes:
    written = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(written, format=word, **save)
    return written.getvalue()


def put_together(requests: list[bridge_pb2.ConnectRequest], **limits: int) -> CameraImage | None:
    assembly = Assembly(scene_id="main", **limits)
    image = None
    for request in requests:
        image = assembly.add(shadow(request).camera_frame)
    return image


# --- parts -------------------------------------------------------------------------------------------------------


@given(data=st.binary(min_size=1, max_size=600), cuts=st.sets(st.integers(1, 599), max_size=12))
def test_a_picture_is_the_same_however_it_was_cut(data: bytes, cuts: set[int]) -> None:
    data *= 3  # a raw picture is triples
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    requests = []
    for begin, end in pairwise(edges):
        frame = media_pb2.CameraFrame(codec=RAW, width=len(data) // 3, height=1, offset=begin, data=data[begin:end])
        frame.last, frame.total_bytes = end == len(data), len(data)
        requests.append(bridge_pb2.ConnectRequest(camera_frame=frame))
    assert len(requests) == 1 or put_together(requests[:-1]) is None
    image = put_together(requests)

    assert image is not None
    assert (image.data, image.width, image.codec) == (data, len(data) // 3, "raw")


@given(
    lengths=st.lists(st.integers(1, 50), min_size=2, max_size=8),
    wrong=st.data(),
)
def test_parts_in_any_other_order_break_the_stream(lengths: list[int], wrong: st.DataObject) -> None:
    whole = bytes(3 * sum(lengths))
    cut = parts(whole, part_bytes=max(1, len(whole) // len(lengths)))
    order = wrong.draw(st.permutations(range(len(cut))).filter(lambda p: list(p) != sorted(p)))

    with pytest.raises(BrokenOrder):
        put_together([cut[i] for i in order])


@given(st.lists(st.builds(
    media_pb2.CameraFrame,
    codec=st.integers(0, 4),
    width=st.integers(0, 3),
    height=st.integers(0, 3),
    offset=st.integers(0, 6),
    data=st.binary(max_size=6),
    last=st.booleans(),
    total_bytes=st.integers(0, 12),
    sim_time_s=st.floats(),
), max_size=6))  # fmt: skip
def test_whatever_arrives_is_a_sound_picture_or_a_typed_error(frames: list[media_pb2.CameraFrame]) -> None:
    assembly = Assembly(scene_id="main", max_bytes=10)
    for frame in frames:
        try:
            image = assembly.add(shadow(bridge_pb2.ConnectRequest(camera_frame=frame)).camera_frame)
        except (ProtocolError, TooLarge):
            return
        if image is not None:
            assert (image.codec, len(image.data)) == ("raw", 3 * image.width * image.height)
            return


@pytest.mark.parametrize(
    "change",
    [
        {"total_bytes": 31},  # another length in a later part
        {"offset": 11},  # a gap
        {"offset": 9},  # an overlap
        {"data": b"x" * 21},  # beyond the whole
        {"last": False},  # complete but not last, then nothing: the next part is empty
        {"data": b""},
    ],
)
def test_parts_that_do_not_fit_break_the_stream(change: dict[str, object]) -> None:
    cut = parts(bytes(30), part_bytes=10)
    second = cut[1].camera_frame
    for field, value in change.items():
        setattr(second, field, value)
    if change == {"last": False}:
        cut = [*cut[:2], cut[2]]
        cut[2].camera_frame.data = b""
        cut[2].camera_frame.last = False

    with pytest.raises(BrokenOrder):
        put_together(cut)


@pytest.mark.parametrize("save", [{}, {"progressive": True}, {"exif": b"Exif\x00\x00" + bytes(4_000)}, {"quality": 10}])
def test_the_size_of_a_jpeg_is_read_from_its_header(save: dict[str, object]) -> None:
    assert size_of(drawn("JPEG", 333, 17, **save), "jpeg") == (333, 17)


def test_the_size_of_a_png_is_read_from_its_header() -> None:
    assert size_of(drawn("PNG", 333, 17), "png") == (333, 17)


@given(st.binary(max_size=60))
def test_reading_the_header_of_anything_ends_well(data: bytes) -> None:
    for start in (b"", b"\xff\xd8", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"):
        for word in ("jpeg", "png"):
            size = size_of(start + data, word)
            assert size is None or len(size) == 2


@pytest.mark.parametrize(
    ("request_parts", "error", "words"),
    [
        (parts(drawn("PNG"), image_codec=JPEG, width=40, height=30), ProtocolError, "none that can be read"),
        (parts(drawn("JPEG"), image_codec=JPEG, width=41, height=30), ProtocolError, "`40` x `30`"),
        (parts(b"\xff\xd8rubbish", image_codec=JPEG, width=1, height=1), ProtocolError, "none that can be read"),
        (parts(bytes(12), width=2, height=1), ProtocolError, "raw picture of `2` x `1`"),
        (parts(bytes(12), width=0, height=4, image_codec=PNG), ProtocolError, "`0` x `4`"),
        (parts(bytes(12), width=2, height=2, image_codec=9), ProtocolError, "unknown codec `9`"),
        (parts(bytes(12), width=20_000, height=20_000), TooLarge, "`20000` x `20000` pixels"),
        (parts(bytes(102)), TooLarge, "`102` bytes"),
        (parts(bytes(12), sim_time_s=math.nan), ProtocolError, "sim_time_s"),
    ],
)
def test_a_bad_picture_says_why(
    request_parts: list[bridge_pb2.ConnectRequest], error: type[Exception], words: str
) -> None:
    limit = 100 if error is TooLarge and "102" in words else 10_000
    with pytest.raises(error, match=words) as raised:
        put_together(request_parts, max_bytes=limit)
    assert not isinstance(raised.value, BrokenOrder)


def test_a_bad_picture_keeps_no_bytes_and_is_known_at_its_first_part() -> None:
    assembly = Assembly(scene_id="main", max_bytes=100)
    first, second, *_ = (shadow(p).camera_frame for p in parts(bytes(300), part_bytes=100))

    assert assembly.add(first) is None
    assert isinstance(assembly.bad, TooLarge)
    assert assembly.add(second) is None
    assert not assembly._data


def test_a_part_above_256_kb_is_refused() -> None:
    with pytest.raises(ProtocolError, match=f"at most {MAX_PART_BYTES}"):
        put_together(parts(bytes(3 * MAX_PART_BYTES), part_bytes=3 * MAX_PART_BYTES))


def test_a_picture_goes_out_as_it_came_in() -> None:
    came = parts(
        bytes(3 * 200_000),
        camera_id="roof",
        sim_time_s=7.5,
        position=topology_pb2.Position(east_m=1, north_m=2, up_m=3),
        rotation=[0, 0, 0, 2],
        horizontal_fov_deg=60,
    )
    image = put_together(came)
    assert image is not None
    assert (image.position_m, image.rotation, image.horizontal_fov_deg) == ((1, 2, 3), (0, 0, 0, 1), 60)

    gone = [codec.decode_response(part.SerializeToString()).camera_frame for part in parts_of(image)]
    again = Assembly(scene_id="main")
    assert [again.add(part) for part in gone][-1] == image
    assert [len(part.data) for part in gone] == [262_144, 262_144, 75_712]


# --- asking ------------------------------------------------------------------------------------------------------


def eye(session_id: str = "s-eye", **rest: object) -> Somebody:
    given = {"is_scene": True, "provides": ("MOTION",), "camera_codecs": ("jpeg", "raw")} | rest
    return somebody(session_id, **given)  # type: ignore[arg-type]


def desk(*peers: Somebody, **rest: int) -> CameraDesk:
    return CameraDesk(peers=lambda: peers, **rest)


async def asked(peer: Somebody) -> media_pb2.CameraRequest:
    """Wait for the next request on its way to a scene."""
    async with asyncio.timeout(2):
        while not (found := peer.bodies("camera_request")):
            await asyncio.sleep(0.001)
    assert len(found) == 1
    return found[0].camera_request


def send(where: CameraDesk, peer: Somebody, requests: list[bridge_pb2.ConnectRequest]) -> None:
    for request in requests:
        where.arrived(peer, shadow(request).camera_frame)


async def test_a_picture_is_asked_for_and_comes() -> None:
    scene = eye()
    cameras = desk(scene)
    wish = {"camera_id": "roof", "width": 2, "height": 1, "codec": "raw"}
    asking = asyncio.create_task(cameras.picture(scene_id="main", timeout_s=2, **wish))  # type: ignore[arg-type]
    request = await asked(scene)
    assert (request.camera_id, request.width, request.height, request.codec) == ("roof", 2, 1, RAW)

    send(cameras, scene, parts(b"abcdef", request_id=request.request_id, part_bytes=3))
    image = await asking

    assert (image.scene_id, image.camera_id, image.data, image.rotation) == ("main", "roof", b"abcdef", None)


async def test_who_ask_the_same_camera_are_served_in_order_one_at_a_time() -> None:
    scene = eye()
    cameras = desk(scene)
    asking = [asyncio.create_task(cameras.picture(scene_id="main", width=i, timeout_s=2)) for i in (1, 2, 3)]
    for number, task in enumerate(asking, start=1):
        request = await asked(scene)
        assert request.width == number
        await asyncio.sleep(0.01)
        assert scene.told() == []
        send(cameras, scene, parts(b"abc" * number, request_id=request.request_id))
        assert (await task).width == number


async def test_two_cameras_do_not_wait_for_each_other() -> None:
    scene = eye()
    cameras = desk(scene)
    first = asyncio.create_task(cameras.picture(scene_id="main", camera_id="a", timeout_s=2))
    await asked(scene)
    second = asyncio.create_task(cameras.picture(scene_id="main", camera_id="b", timeout_s=2))
    request = await asked(scene)
    send(cameras, scene, parts(b"abc", request_id=request.request_id))

    assert (await second).camera_id == "b"
    assert not first.done()
    first.cancel()


async def test_too_many_askers_are_refused() -> None:
    scene = eye()
    cameras = desk(scene, max_waiting=2)
    asking = [asyncio.create_task(cameras.picture(scene_id="main", camera_id=c, timeout_s=2)) for c in "ab"]
    await asyncio.sleep(0.01)

    with pytest.raises(Overloaded, match="`2` pictures"):
        await cameras.picture(scene_id="main", camera_id="c", timeout_s=2)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert cameras._turns == {}
    assert cameras._requests == {}


async def test_no_answer_in_time_is_a_typed_error_and_the_next_asker_is_served() -> None:
    scene = eye()
    cameras = desk(scene)
    with pytest.raises(DeadlineExceeded, match=r"`main` sent no picture of camera `` within `0.02` s"):
        await cameras.picture(scene_id="main", timeout_s=0.02)
    late = await asked(scene)
    asking = asyncio.create_task(cameras.picture(scene_id=None, timeout_s=2))
    request = await asked(scene)
    send(cameras, scene, parts(b"xyz" * 2, request_id=late.request_id, part_bytes=3))
    send(cameras, scene, parts(b"abc", request_id=request.request_id))

    assert (await asking).data == b"abc"
    assert cameras.late_parts == 2


async def test_a_scene_without_a_picture_says_why() -> None:
    scene = eye()
    cameras = desk(scene)
    asking = asyncio.create_task(cameras.picture(scene_id="main", timeout_s=2))
    request = await asked(scene)
    frame = media_pb2.CameraFrame(request_id=request.request_id, reason="no GPU\x00 here", last=True)
    send(cameras, scene, [bridge_pb2.ConnectRequest(camera_frame=frame)])

    with pytest.raises(SceneUnavailable, match="no GPU here"):
        await asking


async def test_a_bad_picture_fails_the_request_at_once_and_not_the_stream() -> None:
    scene = eye()
    cameras = desk(scene)
    asking = asyncio.create_task(cameras.picture(scene_id="main", timeout_s=2))
    request = await asked(scene)
    cut = parts(bytes(12), request_id=request.request_id, part_bytes=6, width=20_000, height=20_000)
    send(cameras, scene, cut[:1])
    with pytest.raises(TooLarge):
        await asking
    send(cameras, scene, cut[1:])

    asking = asyncio.create_task(cameras.picture(scene_id="main", timeout_s=2))
    request = await asked(scene)
    send(cameras, scene, parts(b"abc", request_id=request.request_id))
    assert (await asking).data == b"abc"


async def test_parts_out_of_order_fail_the_request_and_the_stream() -> None:
    scene = eye()
    cameras = desk(scene)
    asking = asyncio.create_task(cameras.picture(scene_id="main", timeout_s=2))
    request = await asked(scene)
    with pytest.raises(BrokenOrder):
        send(cameras, scene, parts(bytes(12), request_id=request.request_id, part_bytes=3)[1:])
    with pytest.raises(ProtocolError, match="begins at `3`"):
        await asking


async def test_a_stranger_cannot_answer_for_the_scene() -> None:
    scene, other = eye(), eye("s-other", scene_id="other")
    cameras = desk(scene, other)
    asking = asyncio.create_task(cameras.picture(scene_id="main", timeout_s=2))
    request = await asked(scene)
    send(cameras, other, parts(b"bad", request_id=request.request_id))
    send(cameras, scene, parts(b"abc", request_id=request.request_id))

    assert (await asking).data == b"abc"


async def test_a_scene_that_leaves_fails_who_waits_for_it() -> None:
    scene = eye()
    peers = [scene]
    cameras = CameraDesk(peers=lambda: peers)
    first = asyncio.create_task(cameras.picture(scene_id="main", timeout_s=2))
    second = asyncio.create_task(cameras.picture(scene_id="main", timeout_s=2))
    await asked(scene)
    peers.clear()
    cameras.cut(scene)

    with pytest.raises(SceneUnavailable, match="left before"):
        await first
    with pytest.raises(SceneUnavailable, match="has no camera"):
        await second


async def test_who_shows_the_scene_is_asked_before_anybody_else() -> None:
    figures = eye("s-kpi", provides=("KPI",))
    motion = eye("s-motion", provides=("MOTION",))
    cameras = desk(somebody("s-observer"), eye("s-blind", camera_codecs=()), figures, motion)
    asking = asyncio.create_task(cameras.picture(scene_id="main", timeout_s=2))
    await asked(motion)

    assert figures.told() == []
    asking.cancel()


async def test_what_no_camera_can_do_is_a_typed_error() -> None:
    with pytest.raises(SceneUnavailable, match="`main` has no camera"):
        await desk(somebody(), eye(camera_codecs=())).picture(scene_id="main", timeout_s=1)
    with pytest.raises(SceneUnavailable, match="one of jpeg, raw"):
        await desk(eye()).picture(scene_id="main", codec="png", timeout_s=1)
    with pytest.raises(InvalidInput, match="main, other"):
        await desk(eye(), eye("s-2", scene_id="other")).picture(scene_id=None, timeout_s=1)
    with pytest.raises(InvalidInput, match="at most 64"):
        await desk(eye()).picture(scene_id="main", camera_id="x" * 65, timeout_s=1)


async def test_closing_fails_everybody_who_waits() -> None:
    scene = eye()
    cameras = desk(scene)
    asking = asyncio.create_task(cameras.picture(scene_id="main", timeout_s=2))
    await asked(scene)
    cameras.close()

    with pytest.raises(SceneUnavailable, match="stops"):
        await asking


# --- unasked -----------------------------------------------------------------------------------------------------


async def test_an_unasked_picture_is_kept_shown_and_its_credit_given_back() -> None:
    scene, watcher, deaf = eye(), somebody("s-w", channels=(CAMERA,)), somebody("s-deaf")
    watcher.outbox.grant(CAMERA, 1)
    deaf.outbox.grant(CAMERA, 1)
    cameras = desk(scene, watcher, deaf)
    send(cameras, scene, parts(bytes(3 * 100_000), camera_id="roof"))

    latest = cameras.latest_picture("main", "roof")
    assert latest is not None and len(latest.data) == 300_000
    assert [(r.credit.channel, r.credit.messages) for r in scene.bodies("credit")] == [(CAMERA, 1)]
    shown = [r.camera_frame for r in watcher.bodies("camera_frame")]
    assert [(f.offset, f.last, f.total_bytes) for f in shown] == [(0, False, 300_000), (262_144, True, 300_000)]
    assert deaf.told() == []


async def test_a_slow_watcher_gets_whole_pictures_the_newest() -> None:
    scene, watcher = eye(), somebody("s-w", channels=(CAMERA,))
    cameras = desk(scene, watcher)
    for letter in (b"a", b"b", b"c"):
        send(cameras, scene, parts(letter * 300_000))
    watcher.outbox.grant(CAMERA, 1)
    shown = [r.camera_frame for r in watcher.bodies("camera_frame")]

    assert b"".join(f.data for f in shown) == b"c" * 300_000
    assert watcher.outbox.dropped[CAMERA] == 2


async def test_unasked_pictures_beyond_the_credit_are_dropped_whole_and_counted() -> None:
    scene = eye()
    cameras = desk(scene)
    first, second = parts(b"a" * 12, part_bytes=6, camera_id="a"), parts(b"b" * 12, part_bytes=6, camera_id="b")
    send(cameras, scene, [first[0], second[0], second[1], first[1]])

    assert cameras.dropped == 1
    assert cameras.latest_picture("main", "b") is None
    latest = cameras.latest_picture("main", "a")
    assert latest is not None and latest.data == b"a" * 12
    send(cameras, scene, second)
    assert cameras.latest_picture("main", "b") is not None


async def test_a_bad_unasked_picture_is_told_and_its_credit_given_back() -> None:
    scene = eye()
    cameras = desk(scene)
    send(cameras, scene, parts(bytes(12), width=1, height=1))
    told = scene.told()

    assert [r.WhichOneof("body") for r in told] == ["notice", "credit"]
    assert (told[0].notice.code, "raw picture" in told[0].notice.message) == (session_pb2.NOTICE_CODE_IGNORED, True)


async def test_an_unasked_picture_that_its_sender_gives_up_makes_room_for_the_next() -> None:
    scene = eye()
    cameras = desk(scene)
    send(cameras, scene, parts(bytes(12), part_bytes=6)[:1])
    gave_up = media_pb2.CameraFrame(reason="the window was closed", last=True)
    send(cameras, scene, [bridge_pb2.ConnectRequest(camera_frame=gave_up), *parts(b"abc")])

    assert cameras.latest_picture("main") is not None


async def test_an_unasked_picture_without_its_beginning_breaks_the_stream() -> None:
    scene = eye()
    with pytest.raises(BrokenOrder, match="first part"):
        send(desk(scene), scene, parts(bytes(12), part_bytes=6)[1:])


async def test_pictures_begun_without_credit_and_never_ended_break_the_stream() -> None:
    scene = eye()
    cameras = desk(scene)
    begun = [parts(bytes(12), part_bytes=6, camera_id=f"c-{number}")[0] for number in range(100)]
    with pytest.raises(BrokenOrder, match="never ended"):
        send(cameras, scene, begun)


async def test_a_new_connection_begins_with_fresh_credit() -> None:
    scene = eye()
    cameras = desk(scene)
    send(cameras, scene, parts(bytes(12), part_bytes=6)[:1])
    cameras.cut(scene)
    cameras.joined(scene)
    send(cameras, scene, parts(b"abc"))

    assert cameras.latest_picture("main") is not None


async def test_few_cameras_of_a_scene_are_kept_and_none_when_it_is_gone() -> None:
    scene = eye()
    cameras = desk(scene)
    for number in range(MAX_CAMERAS + 1):
        send(cameras, scene, parts(b"abc", camera_id=f"c-{number}"))
    assert cameras.latest_picture("main", "c-0") is None
    assert cameras.latest_picture("main", f"c-{MAX_CAMERAS}") is not None
    cameras.gone(scene)

    assert cameras._latest == {}


# --- on the way out ----------------------------------------------------------------------------------------------


async def test_a_long_picture_makes_neither_figures_nor_speech_wait() -> None:
    telemetry, voice = session_pb2.CHANNEL_TELEMETRY, session_pb2.CHANNEL_VOICE
    watcher = somebody("s-w")
    for channel in (CAMERA, telemetry, voice):
        watcher.outbox.grant(channel, 10)

    def figures(number: int) -> bytes:
        response = codec.ConnectResponse()
        response.telemetry.number = number
        return response.SerializeToString()

    def next_body() -> str:
        envelope = watcher.outbox._pick()
        return "" if envelope is None else codec.decode_response(envelope).WhichOneof("body") or ""

    image = put_together(parts(bytes(3 * MAX_PART_BYTES)))
    assert image is not None
    bodies = [part.SerializeToString() for part in parts_of(image)]
    watcher.outbox.offer_parts(CAMERA, bodies)
    watcher.outbox.offer_parts(CAMERA, bodies, stream="another camera")
    heard = [next_body()]
    said = codec.ConnectResponse()
    said.voice_chunk.number = 1
    watcher.outbox.push(voice, said.SerializeToString())
    for number in range(2):
        watcher.outbox.offer(telemetry, figures(number))
        heard += [next_body(), next_body()]
    heard += [next_body() for _ in range(5)]

    part = "camera_frame"
    assert heard == [part, "voice_chunk", "telemetry", part, "telemetry", part, part, part, part, ""]


@given(
    st.lists(
        st.builds(
            media_pb2.CameraFrame,
            request_id=st.sampled_from(["", "", "unknown"]),
            camera_id=st.sampled_from(["", "a", "b\x1b", "c" * 100]),
            codec=st.integers(0, 4),
            width=st.integers(0, 2),
            height=st.integers(0, 2),
            offset=st.sampled_from([0, 0, 3, 6]),
            data=st.sampled_from([b"", b"abc", b"abcdef"]),
            last=st.booleans(),
            total_bytes=st.sampled_from([3, 6, 9, 4_000_000_000]),
            reason=st.sampled_from(["", "", "", "no\x00"]),
        ),
        max_size=30,
    )
)
def test_no_sequence_of_parts_does_more_than_end_its_own_stream(frames: list[media_pb2.CameraFrame]) -> None:
    scene, watcher = eye(), somebody("s-w", channels=(CAMERA,))
    watcher.outbox.grant(CAMERA, 1_000)
    cameras = desk(scene, watcher)
    for frame in frames:
        try:
            cameras.arrived(scene, shadow(bridge_pb2.ConnectRequest(camera_frame=frame)).camera_frame)
        except ProtocolError:
            break
    state = cameras._unasked.get("s-eye")
    if state is not None:
        assert 0 <= state.credits <= 1
        assert state.credits + len(state.coming) == 1
    for response in watcher.bodies("camera_frame"):
        assert response.camera_frame.data in {b"abc", b"abcdef"}
        assert response.camera_frame.camera_id.isprintable()
