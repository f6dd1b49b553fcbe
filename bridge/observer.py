"""Somebody who watches: figures that are never stale, news that are never lost, as values in an `async for`.

    async with ObserverClient("127.0.0.1:8601", channels={"TELEMETRY", "ALARMS"}) as observer:
        async for news in observer:
            match news:
                case Figures(batch=batch, age_s=age_s): ...
                case Alarm() as alarm: ...

Telemetry and presence are asked for one by one, when the consumer comes for them (F5): a consumer that takes a second
for each batch gets one batch a second, each as new as if it had been the first, and the twin drops the others and says
how many. Reports, alarms, events and answers to commands are acknowledged when the consumer has taken them: one that
falls far behind misses PM reports, and is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import structlog

from bridge import codec, mapping
from bridge.conflate import conflated
from bridge.connection import Connection, Party
from bridge.news import (
    CHANNELS,
    Figures,
    Speech,
    Subscription,
    TopologyNews,
    WentLive,
    read_event,
    read_people,
    read_speech,
)
from bridge.picture import Assembly, BrokenOrder
from bridge.scene_media import say
from bridge.shelf import Newest, Queued, Shelf
from bridge.v1 import session_pb2
from bridge.visitor import Visitor
from twin.errors import ProtocolError, TooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable, Iterable
    from types import TracebackType

    from bridge.news import ChannelName, News
    from bridge.v1 import bridge_pb2
    from bridge.wires import ClientTls
    from twin.telemetry import TelemetryBatch

FRESH_S = 0.05
"""Figures that have lain here longer than this are asked for again before they are handed out."""

REFRESH_S = 0.05
"""How long newer ones are waited for, beyond the round trip."""

MOST_STREAMS = 16
"""Streams of figures; a scene has one per kind of entity that it measures."""

MOST_PICTURES = 16
VOICE_CREDITS = 32
"""Chunks of speech that may be on their way: speech comes in a row and is of no use with holes."""

_TELEMETRY, _PRESENCE = session_pb2.CHANNEL_TELEMETRY, session_pb2.CHANNEL_PRESENCE
_CAMERA, _VOICE = session_pb2.CHANNEL_CAMERA, session_pb2.CHANNEL_VOICE


class ObserverClient(Visitor):
    """An observer's connection to the twin: an async context manager, and an async iterator over the news.

    Args:
        url: Address of the bridge: ``host:port`` or ``grpc://``, ``grpcs://``, ``ws://host:port/bridge``, ``wss://``.
        scene_id: Slug of the scene; "" = the only one.
        channels: What to be told, any of TELEMETRY, PM, ALARMS, EVENTS, COMMANDS, CAMERA, VOICE, PRESENCE.
        kpis: Names of the figures wanted; empty = all.
        max_rate_hz: Most batches of telemetry a second; 0 = as they come.
        area: Only entities in this rectangle: west, south, east, north, ENU metres.
        quantised: Half the bytes, see :class:`~bridge.news.Subscription`.
        token: For a twin that asks for one; needs the scope `observe`.
        tls: Certificates for ``grpcs://`` and ``wss://``; with them ``host:port`` means ``grpcs://``.
        ahead: Batches of telemetry that may be on their way; more than 1 for twins so far away that one round trip for
            each is too slow.
        engine: Name of what watches.
        connect_timeout_s: How long entering may take; None waits for ever.

    Attributes:
        age_s: Age of the figures handed out last, NaN before the first.
        unknown_kpis: Figures asked for that nobody knows.

    Raises:
        InvalidInput: The address or a channel cannot be meant.
    """

    def __init__(
        self,
        url: str,
        scene_id: str = "",
        *,
        channels: Iterable[ChannelName] = (),
        kpis: Iterable[str] = (),
        max_rate_hz: float = 0.0,
        area: tuple[float, float, float, float] | None = None,
        quantised: bool = False,
        token: str = "",
        tls: ClientTls | None = None,
        ahead: int = 1,
        engine: str = "python",
        connect_timeout_s: float | None = 30.0,
    ) -> None:
        self._scene_id, self._engine = scene_id, engine
        self._subscription = Subscription(
            channels=frozenset(channels), kpis=tuple(kpis), max_rate_hz=max_rate_hz, area_m=area, quantised=quantised
        )
        self._connect_timeout_s = connect_timeout_s
        self._arrived = asyncio.Event()
        self._connection = Connection(
            url,
            party=Party(
                introduce=self._introduce,
                began=self._began,
                ready=lambda: None,
                heard=self._heard,
                topology_changed=self._topology_changed,
                ended=self._arrived.set,
            ),
            name=scene_id or "observer",
            token=token,
            tls=tls,
        )
        self._wanted = {CHANNELS[name] for name in self._subscription.channels}
        self._ahead = ahead
        self._streams: set[Hashable] = set()
        self._most: dict[session_pb2.Channel.ValueType, int] = {_TELEMETRY: ahead, _PRESENCE: 1, _CAMERA: 1}
        self._on_their_way: dict[int, int] = {}
        self._shelf = Shelf()
        self._pictures: dict[str, Assembly] = {}
        self._sessions = 0
        self._ended = False
        self._waiting = False
        self._presence = b""
        self._told_age_s: dict[int, float] = {}
        self._told_dropped: dict[int, int] = {}
        self._dropped_before: dict[int, int] = {}
        self.age_s = float("nan")
        self.unknown_kpis: tuple[str, ...] = ()
        self._log = structlog.get_logger("bridge")

    # What the twin said.

    @property
    def scene_id(self) -> str:
        """The scene that is watched."""
        return self._connection.briefing.scene_id or self._scene_id

    @property
    def dropped(self) -> int:
        """Batches of telemetry that the twin dropped because we did not ask in time, as it says about once a second."""
        return self.dropped_on("TELEMETRY")

    def dropped_on(self, channel: ChannelName) -> int:
        """Return how many messages of a channel the twin dropped on their way to us, as it says."""
        number = CHANNELS[channel]
        return self._dropped_before.get(number, 0) + self._told_dropped.get(number, 0)

    # Life.

    async def __aenter__(self) -> Self:
        await self._connection.open(timeout_s=self._connect_timeout_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close("the observer ends")
        self._ended = True
        self._arrived.set()

    def __aiter__(self) -> AsyncIterator[News]:
        return self

    async def __anext__(self) -> News:
        """Return the next piece of news, waiting for it.

        Raises:
            TwinError: The twin refused us for good.
        """
        asked_s = time.monotonic()
        patience_s = REFRESH_S + _or_zero(self._connection.pulse.rtt_s)
        self._waiting = True
        try:
            self._ask()
            while True:
                self._arrived.clear()
                left_s = asked_s + patience_s - time.monotonic()
                news = self._take(fresh_after_s=asked_s - FRESH_S if left_s > 0 else -math.inf)
                if news is not None:
                    return news
                if self._ended:
                    raise StopAsyncIteration
                self._connection.check()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_s if left_s > 0 else None):
                        await self._arrived.wait()
        finally:
            self._waiting = False

    # Taking.

    def _take(self, *, fresh_after_s: float) -> News | None:
        taken = self._shelf.take(fresh_after_s=fresh_after_s)
        match taken:
            case Queued():
                if taken.seq and taken.session == self._sessions:
                    self._connection.dealt_with(taken.seq)
                if isinstance(taken.news, Speech) and taken.stream == self._connection.streams:
                    self._grant(_VOICE, 1)
                return taken.news
            case Newest(news=Figures() as figures):
                here_s = time.monotonic() - taken.arrived_s
                since_sent_s = time.time() + _or_zero(self._connection.pulse.offset_s) - taken.sent_unix_ns / 1e9
                self.age_s = self._told_age_s.get(_TELEMETRY, 0.0) + max(since_sent_s, here_s)
                return replace(figures, age_s=self.age_s)
            case Newest():
                return taken.news
            case None:
                return None

    def _ask(self) -> None:
        """Let the twin send one more of everything that only comes when it is asked for."""
        self._shelf.asked()
        for channel, most in self._most.items():
            missing = most - self._on_their_way.get(channel, 0)
            if channel in self._wanted and missing > 0:
                self._grant(channel, missing)

    def _grant(self, channel: session_pb2.Channel.ValueType, messages: int) -> None:
        if self._connection.streaming:
            request = codec.ConnectRequest()
            request.credit.channel, request.credit.messages = channel, messages
            self._connection.outbox.send_now(request)
            self._on_their_way[channel] = self._on_their_way.get(channel, 0) + messages

    # The stream.

    def _introduce(self, hello: session_pb2.Hello) -> None:
        hello.role = session_pb2.ROLE_OBSERVER
        hello.scene_id, hello.engine = self._scene_id, self._engine
        hello.frame = session_pb2.FRAME_ENU

    def _began(self, resumed: bool) -> None:  # noqa: FBT001 - the signature is the connection's
        if not resumed:
            self._sessions += 1
            for channel, dropped in self._told_dropped.items():
                self._dropped_before[channel] = self._dropped_before.get(channel, 0) + dropped
            self._told_dropped.clear()
        self._pictures.clear()
        self._on_their_way.clear()
        self._connection.outbox.send_now(self._subscription.request())
        if _VOICE in self._wanted:
            self._grant(_VOICE, VOICE_CREDITS)
        if self._waiting:
            self._ask()
        if self._presence:
            self._connection.outbox.offer(_PRESENCE, self._presence)

    def _heard(self, response: bridge_pb2.ConnectResponse) -> bool:
        match response.WhichOneof("body"):
            case "telemetry":
                self._take_batch(response, mapping.read_telemetry(response.telemetry))
            case "presence_list":
                self._put(_PRESENCE, "people", response, read_people(response.presence_list))
            case "camera_frame":
                self._take_part(response)
            case "voice_chunk":
                self._on_their_way[_VOICE] = self._on_their_way.get(_VOICE, 1) - 1
                return self._queue(response, read_speech(response))
            case "pm_report":
                return self._queue(response, mapping.read_pm(response.pm_report))
            case "alarm":
                return self._queue(response, mapping.read_alarm(response.alarm))
            case "event":
                return self._queue(response, read_event(response))
            case "live_notice":
                live = response.live_notice
                return self._queue(response, WentLive(scene_id=live.scene_id, sim_time_s=live.sim_time_s))
            case "command_ack":
                return self._queue(response, mapping.read_result(response.command_ack))
            case "flow_report":
                self._told_dropped[response.flow_report.channel] = response.flow_report.dropped
                self._told_age_s[response.flow_report.channel] = response.flow_report.age_ms / 1000
            case "subscribe_reply":
                self.unknown_kpis = tuple(response.subscribe_reply.unknown_kpis)
            case _:
                pass  # a later version's message
        return True

    def _take_batch(self, response: bridge_pb2.ConnectResponse, batch: TelemetryBatch) -> None:
        slot = (batch.scene_id, batch.source, batch.kpis)
        self._streams.add(slot)
        if len(self._streams) > MOST_STREAMS:
            self._streams = {slot}
        self._most[_TELEMETRY] = max(self._ahead, len(self._streams))
        older = self._shelf.lies(slot)
        if isinstance(older, Figures):
            # Only what changed may be in a batch: what the consumer did not come for is not lost, but joined.
            joined = conflated(older.batch, batch)
            whole = batch.keyframe or (older.batch.keyframe and joined is not batch)
            batch = joined if joined is batch else replace(joined, keyframe=whole)
        self._put(_TELEMETRY, slot, response, Figures(batch=batch, age_s=0.0))

    def _put(
        self,
        channel: session_pb2.Channel.ValueType,
        slot: Hashable,
        response: bridge_pb2.ConnectResponse,
        news: News,
    ) -> None:
        self._on_their_way[channel] = max(self._on_their_way.get(channel, 0) - 1, 0)
        self._shelf.put(slot, news, sent_unix_ns=response.wall_time_unix_ns)
        self._arrived.set()

    def _queue(self, response: bridge_pb2.ConnectResponse, news: News) -> bool:
        self._shelf.queue(news, session=self._sessions, stream=self._connection.streams, seq=response.seq)
        self._arrived.set()
        return False

    def _take_part(self, response: bridge_pb2.ConnectResponse) -> None:
        part = response.camera_frame
        if part.camera_id not in self._pictures and len(self._pictures) >= MOST_PICTURES:
            raise ProtocolError(f"more than `{MOST_PICTURES}` pictures come at a time; one per camera and credit")
        assembly = self._pictures.setdefault(part.camera_id, Assembly(scene_id=self.scene_id))
        try:
            image = assembly.add(part)
        except BrokenOrder:
            raise
        except (TooLarge, ProtocolError) as error:  # a bad picture costs the picture, not the stream
            self._log.warning("bad_picture", camera=part.camera_id, reason=str(error))
            image = None
        if part.last:
            del self._pictures[part.camera_id]
        if image is not None:
            self._put(_CAMERA, ("camera", part.camera_id), response, image)
        elif part.last:
            self._on_their_way[_CAMERA] = max(self._on_their_way.get(_CAMERA, 0) - 1, 0)

    def _topology_changed(self) -> None:
        if not self.connections:
            return  # the first one is no news: it is there when the client is entered
        self._shelf.put("topology", TopologyNews(topology=self.topology), stays_fresh=True)
        self._arrived.set()

    # What we show and say.

    async def speak(self, pcm_int16: bytes, sample_rate_hz: int) -> int:
        """Send one utterance of mono 16-bit little-endian samples; returns how many of its chunks were lost."""
        return await say(self._connection, pcm_int16, sample_rate_hz=sample_rate_hz)


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
