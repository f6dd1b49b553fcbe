"""Speech: chunks become utterances, gaps become silence, others hear it at once, limits hold."""

import asyncio
import io
import wave

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge.v1 import bridge_pb2, media_pb2, session_pb2
from bridge.voice import CREDIT_BATCH, MAX_OPEN, VoiceDesk
from tests.media_peer import Somebody, shadow, somebody
from twin.errors import NotFound
from twin.media import Utterance

VOICE = session_pb2.CHANNEL_VOICE
RATE_HZ = 16_000


class Listening:
    """A desk and what it handed over."""

    def __init__(self, *peers: Somebody, first_credits: int = 10_000, silence_s: float = 5.0) -> None:
        self.heard: list[Utterance] = []
        self.desk = VoiceDesk(
            peers=lambda: peers, deliver=self.heard.append, first_credits=first_credits, silence_s=silence_s
        )

    def say(self, peer: Somebody, *chunks: bridge_pb2.ConnectRequest) -> None:
        for request in chunks:
            self.desk.arrived(peer, shadow(request).voice_chunk)


def chunk(number: int, pcm: bytes = b"ab" * 160, *, utterance: str = "u", **rest: object) -> bridge_pb2.ConnectRequest:
    said = {"sample_rate_hz": RATE_HZ, "last": False} | rest
    voice = media_pb2.VoiceChunk(utterance_id=utterance, number=number, pcm_int16=pcm, **said)  # type: ignore[arg-type]
    return bridge_pb2.ConnectRequest(voice_chunk=voice)


def wav(duration_s: float = 1.0) -> bytes:
    """Return a WAV file with a tone."""
    samples = np.sin(2 * np.pi * 440 * np.arange(int(duration_s * RATE_HZ)) / RATE_HZ) * 10_000
    written = io.BytesIO()
    with wave.open(written, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(samples.astype("<i2").tobytes())
    return written.getvalue()


async def test_a_recording_in_chunks_arrives_as_it_was() -> None:
    ana = somebody("s-ana")
    room = Listening(ana)
    with wave.open(io.BytesIO(wav()), "rb") as recording:
        sound = recording.readframes(recording.getnframes())
    pieces = [sound[i : i + 640] for i in range(0, len(sound), 640)]
    room.say(ana, *(chunk(n, pcm, last=n == len(pieces) - 1) for n, pcm in enumerate(pieces)))
    (said,) = room.heard

    assert said == Utterance(
        scene_id="main", speaker="s-ana", utterance_id="u", sample_rate_hz=RATE_HZ, pcm_int16=sound, lost_chunks=0
    )
    assert said.duration_s == 1.0


@given(lost=st.sets(st.integers(0, 29), max_size=25))
def test_every_lost_chunk_is_silence_of_its_length_and_counted(lost: set[int]) -> None:
    async def speak() -> Listening:
        ana = somebody()
        room = Listening(ana)
        room.say(ana, *(chunk(n) for n in range(30) if n not in lost), chunk(30, last=True))
        return room

    (said,) = asyncio.run(speak()).heard
    expected = b"".join(bytes(320) if n in lost else b"ab" * 160 for n in range(31))

    assert (said.pcm_int16, said.lost_chunks) == (expected, len(lost))


async def test_a_last_chunk_without_sound_only_ends() -> None:
    ana = somebody()
    room = Listening(ana)
    room.say(ana, chunk(0), chunk(1, b"", last=True, sample_rate_hz=0))

    assert [(len(u.pcm_int16), u.lost_chunks) for u in room.heard] == [(320, 0)]


async def test_chunks_that_come_again_are_heard_once() -> None:
    ana = somebody()
    room = Listening(ana)
    room.say(ana, chunk(0), chunk(1), chunk(1), chunk(0), chunk(2, last=True))

    assert [len(u.pcm_int16) for u in room.heard] == [3 * 320]
    assert room.desk.dropped == 2


async def test_several_people_speak_at_the_same_time() -> None:
    ana, bo = somebody("s-ana"), somebody("s-bo")
    room = Listening(ana, bo)
    room.say(ana, chunk(0, b"aa"))
    room.say(bo, chunk(0, b"bb"))
    room.say(ana, chunk(1, b"aa", last=True), chunk(0, b"AA", utterance="v", last=True))
    room.say(bo, chunk(1, b"bb", last=True))

    assert [(u.speaker, u.utterance_id, u.pcm_int16) for u in room.heard] == [
        ("s-ana", "u", b"aaaa"),
        ("s-ana", "v", b"AA"),
        ("s-bo", "u", b"bbbb"),
    ]


async def test_an_utterance_that_never_ends_is_closed_by_silence() -> None:
    ana = somebody()
    room = Listening(ana, silence_s=0.5)
    room.say(ana, chunk(0))
    await asyncio.sleep(0.1)
    room.say(ana, chunk(1))
    assert room.heard == []
    async with asyncio.timeout(5):
        while not room.heard:
            await asyncio.sleep(0.01)

    assert [len(u.pcm_int16) for u in room.heard] == [640]


async def test_whoever_leaves_has_said_what_was_heard() -> None:
    ana = somebody()
    room = Listening(ana)
    room.say(ana, chunk(0))
    room.desk.gone(ana)

    assert [len(u.pcm_int16) for u in room.heard] == [320]


async def test_others_of_the_scene_hear_it_with_the_speakers_name_and_nobody_else() -> None:
    ana, bo = somebody("s-ana", channels=(VOICE,)), somebody("s-bo", channels=(VOICE,))
    deaf, away = somebody("s-deaf"), somebody("s-away", channels=(VOICE,), scene_id="other")
    for peer in (ana, bo, deaf, away):
        peer.outbox.grant(VOICE, 10)
    room = Listening(ana, bo, deaf, away)
    room.say(ana, chunk(0, session_id="s-bo"), chunk(1, last=True))
    heard = [r.voice_chunk for r in bo.bodies("voice_chunk")]

    assert [(c.session_id, c.number, c.last, c.utterance_id, len(c.pcm_int16)) for c in heard] == [
        ("s-ana", 0, False, "u", 320),
        ("s-ana", 1, True, "u", 320),
    ]
    assert [p.bodies("voice_chunk") for p in (ana, deaf, away)] == [[], [], []]


async def test_a_listener_without_credit_misses_chunks_which_is_counted() -> None:
    ana, bo = somebody("s-ana"), somebody("s-bo", channels=(VOICE,))
    bo.outbox.grant(VOICE, 2)
    room = Listening(ana, bo)
    room.say(ana, *(chunk(n) for n in range(5)))

    assert [r.voice_chunk.number for r in bo.bodies("voice_chunk")] == [0, 1]
    assert bo.outbox.dropped[VOICE] == 3


async def test_credit_is_given_back_as_chunks_are_taken() -> None:
    ana = somebody()
    room = Listening(ana, first_credits=64)
    room.say(ana, *(chunk(n) for n in range(20)))

    assert [(r.credit.channel, r.credit.messages) for r in ana.told()] == [(VOICE, CREDIT_BATCH), (VOICE, CREDIT_BATCH)]


async def test_credit_owed_on_a_broken_stream_is_not_given_on_the_next() -> None:
    ana = somebody()
    room = Listening(ana)
    room.say(ana, *(chunk(n) for n in range(CREDIT_BATCH - 1)))
    room.desk.joined(ana)
    room.say(ana, chunk(CREDIT_BATCH - 1, last=True))

    assert ana.told() == []
    assert [u.lost_chunks for u in room.heard] == [0]  # the utterance goes on


def notices(peer: Somebody) -> list[str]:
    return [r.notice.message for r in peer.bodies("notice")]


async def test_sound_that_cannot_be_meant_is_ignored_and_said_once() -> None:
    for wrong, words in (
        ({"sample_rate_hz": 7_999}, "`7999` Hz"),
        ({"sample_rate_hz": 48_001}, "`48001` Hz"),
        ({"pcm": b"abc"}, "`3` bytes"),
        ({"utterance": "u" * 65}, "64 printable"),
        ({"utterance": "u\x1b"}, "64 printable"),
    ):
        ana = somebody()
        room = Listening(ana)
        room.say(ana, chunk(0, **wrong), chunk(1, **wrong), chunk(2, last=True, **wrong))  # type: ignore[arg-type]
        (notice,) = notices(ana)

        assert words in notice
        assert (room.heard, room.desk.dropped) == ([], 3)


async def test_another_sample_rate_in_the_middle_ends_what_is_taken() -> None:
    ana = somebody()
    room = Listening(ana)
    room.say(ana, chunk(0), chunk(1, sample_rate_hz=8_000), chunk(2, last=True))

    assert [len(u.pcm_int16) for u in room.heard] == [320]
    assert "began at 16000 Hz" in notices(ana)[0]


async def test_an_utterance_has_at_most_a_minute() -> None:
    ana = somebody()
    room = Listening(ana)
    second = bytes(2 * 8_000)
    room.say(ana, *(chunk(n, second, sample_rate_hz=8_000) for n in range(62)), chunk(62, b"", last=True))

    assert [u.duration_s for u in room.heard] == [60.0]
    assert "at most 60 s" in notices(ana)[0]


async def test_a_gap_of_a_billion_chunks_costs_no_memory() -> None:
    ana = somebody()
    room = Listening(ana)
    room.say(ana, chunk(0), chunk(4_000_000_000), chunk(4_000_000_001, last=True))

    assert [len(u.pcm_int16) for u in room.heard] == [320]
    assert "at most 60 s" in notices(ana)[0]


async def test_one_person_has_few_open_utterances() -> None:
    ana = somebody()
    room = Listening(ana)
    room.say(ana, *(chunk(0, utterance=f"u-{n}") for n in range(MAX_OPEN + 1)))
    assert "utterances are open" in notices(ana)[0]
    room.say(ana, chunk(1, utterance="u-0", last=True), chunk(0, utterance="u-9", last=True))

    assert [u.utterance_id for u in room.heard] == ["u-0", "u-9"]


async def test_an_utterance_that_nobody_takes_is_counted_and_harms_nobody() -> None:
    def refuse(utterance: Utterance) -> None:
        raise NotFound(f"there is no scene `{utterance.scene_id}`")

    ana = somebody()
    desk = VoiceDesk(peers=lambda: (), deliver=refuse)
    desk.arrived(ana, shadow(chunk(0, last=True)).voice_chunk)

    assert (desk.undelivered, desk._open_bytes) == (1, 0)


async def test_closing_hands_over_what_was_heard() -> None:
    ana = somebody()
    room = Listening(ana)
    room.say(ana, chunk(0))
    room.desk.close()

    assert len(room.heard) == 1
    assert room.desk._open_bytes == 0


@given(
    st.lists(
        st.builds(
            media_pb2.VoiceChunk,
            utterance_id=st.sampled_from(["", "a", "b", "c", "d", "e", "x\x00"]),
            sample_rate_hz=st.sampled_from([0, 8_000, 16_000, 4_000_000_000]),
            pcm_int16=st.sampled_from([b"", b"ab", b"abc", bytes(50_000)]),
            last=st.booleans(),
            number=st.one_of(st.integers(0, 8), st.integers(0, 2**32 - 1)),
        ),
        max_size=60,
    )
)
def test_no_sequence_of_chunks_harms_anybody(chunks: list[media_pb2.VoiceChunk]) -> None:
    async def speak() -> Listening:
        ana = somebody()
        room = Listening(ana)
        room.say(ana, *(bridge_pb2.ConnectRequest(voice_chunk=one) for one in chunks))
        assert room.desk._open_bytes == sum(len(s.pcm) for m in room.desk._mouths.values() for s in m.open.values())
        room.desk.close()
        assert room.desk._open_bytes == 0
        return room

    for utterance in asyncio.run(speak()).heard:
        assert 0 < utterance.duration_s <= 60.0
        assert len(utterance.pcm_int16) % 2 == 0
        assert utterance.sample_rate_hz in {8_000, 16_000}
