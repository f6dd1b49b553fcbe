"""What people say: heard by the others of their scene at once, and put together into utterances for the twin.

Chunks are never sent again: what is lost becomes silence of the same length, and is counted.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from bridge import codec
from bridge.peers import give_credit, listeners, tell_ignored
from bridge.v1 import session_pb2
from bridge.words import clean
from twin.errors import TwinError
from twin.media import Utterance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bridge.peers import Peer
    from bridge.v1 import media_pb2

CREDIT_BATCH = 8
"""Credits are given back in lots of this many."""
MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ = 8_000, 48_000
MAX_DURATION_S = 60
MAX_UTTERANCE_BYTES = 10_000_000
SILENCE_S = 5.0
"""An utterance of which nothing came for so long has ended."""
MAX_OPEN = 4
"""Utterances of one client that may be open at a time."""
MAX_OPEN_BYTES = 64_000_000
"""Sound of all open utterances together; chunks beyond it are dropped."""
MAX_ID = 64

_log = structlog.get_logger("bridge")


@dataclass(slots=True)
class _Speech:
    """An utterance that is being said. `refused` = why nothing more of it is taken, "" while it is."""

    peer: Peer
    utterance_id: str
    sample_rate_hz: int
    heard_at_s: float
    timer: asyncio.TimerHandle | None = None
    pcm: bytearray = field(default_factory=bytearray)
    expected: int = 0
    chunk_bytes: int = 0
    lost: int = 0
    refused: str = ""

    @property
    def limit_bytes(self) -> int:
        return min(MAX_DURATION_S * self.sample_rate_hz * 2, MAX_UTTERANCE_BYTES)


@dataclass(slots=True)
class _Mouth:
    """One client's side: credits that it gets back with the next lot, and its open utterances."""

    owed: int = 0
    open: dict[str, _Speech] = field(default_factory=dict[str, _Speech])


class VoiceDesk:
    """Takes chunks of speech in and hands them around.

    Args:
        peers: Everybody whose stream is open.
        deliver: Gets every utterance once it has ended.
        first_credits: Chunks that a client may have under way.
        silence_s: After so long without a chunk an utterance has ended.

    Attributes:
        dropped: Chunks that were refused, came twice, or found no room.
        undelivered: Utterances that nobody took.
    """

    def __init__(
        self,
        *,
        peers: Callable[[], Iterable[Peer]],
        deliver: Callable[[Utterance], None],
        first_credits: int = 64,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._peers = peers
        self._deliver = deliver
        self._first_credits = first_credits
        self._silence_s = silence_s
        self._mouths: dict[str, _Mouth] = {}
        self._open_bytes = 0
        self.dropped = 0
        self.undelivered = 0

    def arrived(self, peer: Peer, chunk: media_pb2.VoiceChunk) -> None:
        """Take a chunk: pass it on to the others, and add it to its utterance."""
        mouth = self._mouths.setdefault(peer.info.session_id, _Mouth())
        self._give_back(peer, mouth)
        speech = mouth.open.get(chunk.utterance_id)
        if speech is None:
            refused = _fault_of(chunk) or (
                f"`{MAX_OPEN}` utterances are open; end one first" if len(mouth.open) >= MAX_OPEN else ""
            )
            if refused and (chunk.last or len(mouth.open) >= MAX_OPEN):
                self.dropped += 1
                _refuse(peer, chunk, refused)
                return
            speech = self._begin(peer, mouth, chunk)
            if refused:
                _give_up(speech, chunk, refused)
        elif not speech.refused and (refused := _fault_of(chunk, speech)):
            _give_up(speech, chunk, refused)
        speech.heard_at_s = time.monotonic()
        if speech.refused:
            self.dropped += 1
        else:
            self._add(speech, chunk)
        if chunk.last:
            self._end(mouth, speech)

    def joined(self, peer: Peer) -> None:
        """Begin anew with a connection: its credits are those of Welcome; open utterances may go on."""
        mouth = self._mouths.get(peer.info.session_id)
        if mouth is not None:
            mouth.owed = 0

    def gone(self, peer: Peer) -> None:
        """End the utterances of a session that will not come back."""
        mouth = self._mouths.pop(peer.info.session_id, None)
        if mouth is not None:
            for speech in tuple(mouth.open.values()):
                self._end(mouth, speech)

    def close(self) -> None:
        """End every utterance."""
        for mouth in self._mouths.values():
            for speech in tuple(mouth.open.values()):
                self._end(mouth, speech)
        self._mouths.clear()

    def _give_back(self, peer: Peer, mouth: _Mouth) -> None:
        mouth.owed += 1
        if mouth.owed >= min(CREDIT_BATCH, self._first_credits):
            give_credit(peer, session_pb2.CHANNEL_VOICE, mouth.owed)
            mouth.owed = 0

    def _begin(self, peer: Peer, mouth: _Mouth, chunk: media_pb2.VoiceChunk) -> _Speech:
        speech = _Speech(
            peer=peer,
            utterance_id=chunk.utterance_id,
            sample_rate_hz=chunk.sample_rate_hz,
            heard_at_s=time.monotonic(),
        )
        mouth.open[chunk.utterance_id] = speech
        speech.timer = asyncio.get_running_loop().call_later(self._silence_s, self._listen, mouth, speech)
        return speech

    def _listen(self, mouth: _Mouth, speech: _Speech) -> None:
        """End an utterance that fell silent; otherwise look again when it would have."""
        left_s = speech.heard_at_s + self._silence_s - time.monotonic()
        if left_s > 0:
            speech.timer = asyncio.get_running_loop().call_later(left_s, self._listen, mouth, speech)
        else:
            self._end(mouth, speech)

    def _add(self, speech: _Speech, chunk: media_pb2.VoiceChunk) -> None:
        if chunk.number < speech.expected:  # said again; it was heard
            self.dropped += 1
            return
        missing = chunk.number - speech.expected
        gap_bytes = missing * (speech.chunk_bytes or len(chunk.pcm_int16))
        more_bytes = gap_bytes + len(chunk.pcm_int16)
        if len(speech.pcm) + more_bytes > speech.limit_bytes:
            self.dropped += 1
            _give_up(speech, chunk, f"an utterance has at most {MAX_DURATION_S} s; begin another")
            return
        if self._open_bytes + more_bytes > MAX_OPEN_BYTES:
            self.dropped += 1
            return
        speech.pcm += bytes(gap_bytes) + chunk.pcm_int16
        self._open_bytes += more_bytes
        speech.lost += missing
        speech.expected = chunk.number + 1
        speech.chunk_bytes = len(chunk.pcm_int16) or speech.chunk_bytes
        self._pass_on(speech.peer, chunk)

    def _pass_on(self, peer: Peer, chunk: media_pb2.VoiceChunk) -> None:
        speaker = peer.info.session_id
        hearing = listeners(self._peers(), scene_id=peer.info.scene_id, channel=session_pb2.CHANNEL_VOICE, but=speaker)
        if not hearing:
            return
        response = codec.ConnectResponse()
        response.voice_chunk.CopyFrom(chunk)
        response.voice_chunk.session_id = speaker
        body = response.SerializeToString()
        for listener in hearing:
            listener.outbox.push(session_pb2.CHANNEL_VOICE, body)

    def _end(self, mouth: _Mouth, speech: _Speech) -> None:
        if speech.timer is not None:
            speech.timer.cancel()
        mouth.open.pop(speech.utterance_id, None)
        self._open_bytes -= len(speech.pcm)
        if not speech.pcm:
            return
        utterance = Utterance(
            scene_id=speech.peer.info.scene_id,
            speaker=speech.peer.info.session_id,
            utterance_id=speech.utterance_id,
            sample_rate_hz=speech.sample_rate_hz,
            pcm_int16=bytes(speech.pcm),
            lost_chunks=speech.lost,
        )
        try:
            self._deliver(utterance)
        except TwinError as error:  # such as a scene that was removed meanwhile; the speaker cannot help it
            self.undelivered += 1
            _log.error("utterance_lost", scene=utterance.scene_id, session=utterance.speaker, reason=str(error))


def _give_up(speech: _Speech, chunk: media_pb2.VoiceChunk, why: str) -> None:
    """Take nothing more of an utterance; what was heard of it so far is handed over when it ends."""
    speech.refused = why
    _refuse(speech.peer, chunk, why)


def _refuse(peer: Peer, chunk: media_pb2.VoiceChunk, why: str) -> None:
    tell_ignored(
        peer, f"chunk `{chunk.number}` of utterance `{clean(chunk.utterance_id, limit=MAX_ID)}` was ignored: {why}"
    )


def _fault_of(chunk: media_pb2.VoiceChunk, speech: _Speech | None = None) -> str:
    """Return why a chunk cannot be meant, "" when it can."""
    if len(chunk.utterance_id) > MAX_ID or not chunk.utterance_id.isprintable():
        return f"an utterance id has at most {MAX_ID} printable characters"
    if len(chunk.pcm_int16) % 2:
        return f"`{len(chunk.pcm_int16)}` bytes are no whole number of 16-bit samples"
    if chunk.last and not chunk.pcm_int16:
        return ""  # only the end
    if speech is not None and chunk.sample_rate_hz != speech.sample_rate_hz:
        return f"its sample rate is `{chunk.sample_rate_hz}` Hz, the utterance began at {speech.sample_rate_hz} Hz"
    if not MIN_SAMPLE_RATE_HZ <= chunk.sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        return f"its sample rate is `{chunk.sample_rate_hz}` Hz; send {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz"
    return ""
