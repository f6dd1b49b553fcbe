"""Checks of a server, third part: what an observer is sent, and what people in one scene see and hear of each other."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from bridge.conform.report import Broken, Check, NotTestable, demand
from bridge.conform.talk import PATIENCE_S, Silence, Talk
from bridge.v1 import figures_pb2, media_pb2, session_pb2

if TYPE_CHECKING:
    from bridge.conform.talk import Target
    from bridge.conform.wire import Wire

RATE_HZ = 16_000
CHUNK = bytes(640)
"""20 ms of silence."""


class WatchChecks:
    """Rules F, M and P, as far as an observer can see them."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def all(self) -> list[Check]:
        """Return the checks in the order of the rules."""
        return [
            Check(rule="F5", what="figures come with credit only", work=self.credit),
            Check(rule="F5", what="what was understood of a Subscribe is told", work=self.subscribe_reply),
            Check(rule="F6", what="16-bit figures are those that were measured", work=self.quantised),
            Check(
                rule="M3", what="speech is heard by who gave credit, and by nobody else", work=self.speech, alone=True
            ),
            Check(rule="M3", what="credit for speech is given back", work=self.speech_credit),
            Check(rule="M3", what="a bad chunk is ignored with a Notice", work=self.bad_speech),
            Check(rule="P1", what="people see each other", work=self.presence),
        ]

    async def _watching(self, wire: Wire) -> Talk:
        talk = Talk(wire)
        await talk.open(self._target.hello())
        await talk.started()
        return talk

    async def _figures(self, talk: Talk) -> figures_pb2.Telemetry:
        try:
            return (await talk.until("telemetry", limit_s=3.0)).telemetry
        except Silence:
            raise NotTestable("no scene sends figures here now") from None

    async def credit(self) -> str:
        """F5."""
        async with self._target.wire() as wire:
            talk = await self._watching(wire)
            await talk.subscribe(session_pb2.CHANNEL_TELEMETRY)
            await talk.quiet("telemetry", 1.0, "without credit")
            await talk.grant(session_pb2.CHANNEL_TELEMETRY, 1)
            figures = await self._figures(talk)
            demand(not figures.HasField("quantised"), "16-bit figures, though floats were asked for")
            await talk.quiet("telemetry", 1.0, "without credit")
            return f"one message of {len(figures.entity_index)} entities for one credit"

    async def subscribe_reply(self) -> str:
        """F5."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            await talk.open(self._target.hello())
            reply = await talk.subscribe(session_pb2.CHANNEL_ALARMS, kpis=["No.SuchKpi"])
            demand(list(reply.channels) == [session_pb2.CHANNEL_ALARMS], f"channels {list(reply.channels)}")
            demand(list(reply.unknown_kpis) == ["No.SuchKpi"], f"unknown_kpis {list(reply.unknown_kpis)}")
            return "an unknown KPI is named"

    async def quantised(self) -> str:
        """F6."""
        async with self._target.wire() as wire:
            talk = await self._watching(wire)
            await talk.subscribe(session_pb2.CHANNEL_TELEMETRY, encoding=figures_pb2.ENCODING_QUANTISED_INT16)
            await talk.grant(session_pb2.CHANNEL_TELEMETRY, 1)
            figures = await self._figures(talk)
            if not figures.HasField("quantised"):
                raise NotTestable("the server answers with floats")
            n, k, q = len(figures.entity_index), len(figures.kpis), figures.quantised
            demand(not figures.position_m and not figures.values, "floats beside 16-bit figures")
            demand(len(q.position_int16) in {0, 6 * n}, f"{len(q.position_int16)} bytes of positions for {n}")
            demand(len(q.values_int16) == 2 * n * k, f"{len(q.values_int16)} bytes of values for {n} x {k}")
            demand(len(q.values_scale) == len(q.values_offset) == k, "not one scale and offset per column")
            return f"{n} entities, {k} figures each"

    async def _says(self, talk: Talk, number: int, *, rate_hz: int = RATE_HZ, last: bool = False) -> None:
        chunk = media_pb2.VoiceChunk(
            utterance_id="conform", sample_rate_hz=rate_hz, pcm_int16=CHUNK, number=number, last=last
        )
        await talk.say(voice_chunk=chunk)

    async def speech(self) -> str:
        """M3."""
        channel = session_pb2.CHANNEL_VOICE
        async with self._target.wire() as one, self._target.wire() as two, self._target.wire() as three:
            speaker, hearer, deaf = Talk(one), Talk(two), Talk(three)
            for talk in (speaker, hearer, deaf):
                await talk.open(self._target.hello())
                await talk.started()
            if not speaker.welcome.voice_credits:
                raise NotTestable("the server takes no speech: `voice_credits` is 0")
            for talk in (hearer, deaf):
                await talk.subscribe(channel)
            await hearer.grant(channel, 1)
            await hearer.alive(1)
            await self._says(speaker, 0)
            await self._says(speaker, 1, last=True)
            heard = (await hearer.until("voice_chunk")).voice_chunk
            demand(heard.session_id == speaker.welcome.session_id, f"said by `{heard.session_id}`, not by the speaker")
            demand((heard.number, heard.pcm_int16) == (0, CHUNK), f"chunk {heard.number} is not what was said")
            await hearer.quiet("voice_chunk", 0.5, "a second time for one credit")
            await deaf.quiet("voice_chunk", 0.1, "without credit")
            return "one chunk for one credit"

    async def speech_credit(self) -> str:
        """M3."""
        async with self._target.wire() as wire:
            talk = await self._watching(wire)
            chunks = talk.welcome.voice_credits
            if not chunks:
                raise NotTestable("the server takes no speech: `voice_credits` is 0")
            for number in range(chunks):
                await self._says(talk, number, last=number == chunks - 1)
            while (credit := (await talk.until("credit")).credit).channel != session_pb2.CHANNEL_VOICE:
                pass
            return f"{chunks} chunks sent, {credit.messages} given back so far"

    async def bad_speech(self) -> str:
        """M3."""
        async with self._target.wire() as wire:
            talk = await self._watching(wire)
            if not talk.welcome.voice_credits:
                raise NotTestable("the server takes no speech: `voice_credits` is 0")
            await self._says(talk, 0, rate_hz=5, last=True)
            notice = (await talk.until("notice")).notice
            demand(notice.code == session_pb2.NOTICE_CODE_IGNORED, f"notice {notice.code}: {notice.message}")
            await talk.alive(2)
            return notice.message

    async def presence(self) -> str:
        """P1."""
        async with self._target.wire() as one, self._target.wire() as other:
            ann, bob = Talk(one), Talk(other)
            for talk, name in ((ann, "Ann"), (bob, "Bob")):
                await talk.open(self._target.hello())
                await talk.started()
                await talk.subscribe(session_pb2.CHANNEL_PRESENCE)
                await talk.grant(session_pb2.CHANNEL_PRESENCE, 20)
                await talk.say(presence={"name": name})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    while True:
                        people = (await ann.until("presence_list")).presence_list.people
                        if {"Ann", "Bob"} <= {person.name for person in people}:
                            return f"{len(people)} people"
            raise Broken("Ann does not see Bob")
