"""Figures and news for those who asked for them: encoded once per wish, newest wins, nothing lost unnoticed.

A batch goes through two slots in which the newest wins: one per stream of figures in front of the encoding worker,
and one per receiver behind it (:mod:`bridge.outbox`). Cutting and encoding run on the one thread that the fan-out
owns; everything else happens on the event loop.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import structlog

from bridge import codec, mapping
from bridge.conflate import conflated
from bridge.v1 import figures_pb2, session_pb2
from bridge.watcher import Stream, Watcher
from bridge.wish import Wish, cut_batch, cut_report, wish_of
from twin.kpi import KPIS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from bridge.session import Session
    from bridge.v1 import bridge_pb2
    from twin.alarms import Alarm
    from twin.commands import CommandResult
    from twin.telemetry import PmReport, TelemetryBatch
    from twin.topology import Topology

STREAMS_LIMIT = 16
"""Streams of figures remembered per scene; a scene has one per kind of entity that it measures."""

FLOW_S = 1.0
"""How often a receiver is told what it lost, at most."""

_KNOWN_KPIS = {row.name for row in KPIS}
_KNOWN_CHANNELS = {number for number in session_pb2.Channel.values() if number != session_pb2.CHANNEL_UNSPECIFIED}


class _Job(NamedTuple):
    """A batch that waits to be encoded."""

    batch: TelemetryBatch
    since_s: float
    watchers: list[Watcher]


class _Order(NamedTuple):
    """One buffer to make on the worker."""

    wish: Wish
    batch: TelemetryBatch
    place_m: NDArray[np.float32]


class Fanout:
    """Everybody who subscribed on a server: observers, and scenes that watch others.

    Args:
        topology_of: Returns the present inventory of a scene.

    Attributes:
        encoded: Buffers of figures made; equal wishes share one.
    """

    def __init__(self, topology_of: Callable[[str], Topology]) -> None:
        self.encoded = 0
        self._topology_of = topology_of
        self._watchers: dict[str, Watcher] = {}
        self._latest: dict[Stream, TelemetryBatch] = {}
        self._places: dict[str, tuple[Topology, NDArray[np.float32]]] = {}
        self._slots: dict[Stream, _Job] = {}
        self._wake = asyncio.Event()
        self._thread: ThreadPoolExecutor | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._log = structlog.get_logger("bridge")

    # Who is there.

    def join(self, session: Session) -> None:
        """Let a client watch; it gets what it subscribes to."""
        self._watch(session)

    def leave(self, session: Session) -> None:
        """Forget a client, observer or scene, and the figures that it told."""
        self._watchers.pop(session.info.session_id, None)
        for stream in [stream for stream in self._latest if stream.sender_id == session.info.session_id]:
            del self._latest[stream]

    def resumed(self, session: Session) -> None:
        """Note that a client came back: what was on its way may be lost, so it needs the whole picture."""
        watcher = self._watchers.get(session.info.session_id)
        if watcher is not None:
            watcher.up_to_date.clear()

    def subscribed(self, session: Session, subscribe: session_pb2.Subscribe) -> None:
        """Take a wish, the last one counts, and tell the client what was understood of it."""
        self._watch(session)
        quantised = wish_of(subscribe).quantised
        response = codec.ConnectResponse()
        reply = response.subscribe_reply
        reply.channels.extend(sorted(_KNOWN_CHANNELS.intersection(subscribe.channels)))
        reply.unknown_kpis.extend(name for name in dict.fromkeys(subscribe.kpis) if name not in _KNOWN_KPIS)
        reply.encoding = figures_pb2.ENCODING_QUANTISED_INT16 if quantised else figures_pb2.ENCODING_FLOAT32
        session.outbox.send_now(response)

    def _watch(self, session: Session) -> None:
        wish = wish_of(session.subscription)
        watcher = self._watchers.get(session.info.session_id)
        if watcher is None or watcher.session is not session:
            self._watchers[session.info.session_id] = Watcher(session, wish)
        else:
            watcher.wish = wish
            watcher.up_to_date.clear()
            watcher.due_s.clear()
        if not self._tasks:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bridge-encode")
            works = (self._encode_for_ever(), self._tend_for_ever())
            self._tasks = tuple(asyncio.create_task(work, name="bridge-fanout") for work in works)

    async def close(self) -> None:
        """End the worker; safe to call twice. A later client starts it again."""
        tasks, self._tasks = self._tasks, ()
        thread, self._thread = self._thread, None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if thread is not None:
            await asyncio.to_thread(thread.shutdown)
        self._slots.clear()
        self._latest.clear()

    # Figures.

    def telemetry(self, batch: TelemetryBatch, *, sender: Session | None = None) -> None:
        """Offer a batch to everybody who wants some of it, except its sender."""
        stream = Stream(batch.scene_id, sender.info.session_id if sender else "", batch.kpis)
        self._remember(stream, batch)
        now_s = time.monotonic()
        receivers: list[Watcher] = []
        for watcher in self._receivers(stream):
            if now_s < watcher.due_s.get(stream, 0.0):
                watcher.up_to_date.discard(stream)
            else:
                receivers.append(watcher)
        if receivers:
            self._put(stream, batch, now_s, receivers)

    def _remember(self, stream: Stream, batch: TelemetryBatch) -> None:
        older = self._latest.pop(stream, None)
        self._latest[stream] = batch if older is None else conflated(older, batch)
        if older is None:
            siblings = [other for other in self._latest if other.scene_id == stream.scene_id]
            for forgotten in siblings[:-STREAMS_LIMIT]:
                del self._latest[forgotten]
        cached = self._places.get(stream.scene_id)
        if cached is not None and cached[0] is self._topology_of(stream.scene_id):
            _move(cached[1], batch)

    def _receivers(self, stream: Stream) -> list[Watcher]:
        return [
            watcher
            for session_id, watcher in self._watchers.items()
            if session_id != stream.sender_id
            and not watcher.session.suspended
            and watcher.wants(stream.scene_id, session_pb2.CHANNEL_TELEMETRY)
        ]

    def _put(self, stream: Stream, batch: TelemetryBatch, since_s: float, receivers: list[Watcher]) -> None:
        """Put a batch into the slot in front of the worker; who waited for the one in there gets the newer one."""
        for watcher in receivers:
            self._next_due(watcher, stream, since_s)
        older = self._slots.pop(stream, None)
        if older is not None:
            for watcher in older.watchers:
                watcher.up_to_date.discard(stream)
                watcher.lost(session_pb2.CHANNEL_TELEMETRY)
            receivers = list(dict.fromkeys((*older.watchers, *receivers)))
        self._slots[stream] = _Job(batch, since_s, receivers)
        self._wake.set()

    def _next_due(self, watcher: Watcher, stream: Stream, now_s: float) -> None:
        rate_hz = watcher.session.subscription.max_rate_hz
        if rate_hz > 0:  # the rate is shared by all streams that the watcher gets
            streams = sum(
                other.scene_id == stream.scene_id and other.sender_id != watcher.session.info.session_id
                for other in self._latest
            )
            pause_s = max(streams, 1) / rate_hz
            # Counted on from when it was due, not from now: the jitter of a sender at this very rate costs no message.
            watcher.due_s[stream] = max(watcher.due_s.get(stream, 0.0) + pause_s, now_s)

    async def _encode_for_ever(self) -> None:
        while True:
            while not self._slots:
                self._wake.clear()
                await self._wake.wait()
            stream = next(iter(self._slots))
            job = self._slots.pop(stream)
            try:
                await self._encode(stream, job)
            except Exception:  # noqa: BLE001 - one batch is lost, and said to be; the fan-out must go on for everybody else
                self._log.exception("telemetry_not_encoded", scene=stream.scene_id)
                for watcher in job.watchers:
                    watcher.up_to_date.discard(stream)
                    watcher.lost(session_pb2.CHANNEL_TELEMETRY)

    async def _encode(self, stream: Stream, job: _Job) -> None:
        plan = self._plan(stream, job)
        orders = [_Order(wish, batch, self._place_of(batch, wish)) for (wish, _), (batch, _) in plan.items()]
        bodies = await asyncio.get_running_loop().run_in_executor(self._thread, _make, orders)
        for (wish, _), (_, watchers), body in zip(plan, plan.values(), bodies, strict=True):
            if body is None:
                continue
            self.encoded += 1
            for watcher in watchers:
                here = self._watchers.get(watcher.session.info.session_id) is watcher
                if here and watcher.wish == wish and watcher.wants(stream.scene_id, session_pb2.CHANNEL_TELEMETRY):
                    watcher.session.outbox.offer(
                        session_pb2.CHANNEL_TELEMETRY, body, stream=stream, since_s=job.since_s
                    )

    def _plan(self, stream: Stream, job: _Job) -> dict[tuple[Wish, bool], tuple[TelemetryBatch, list[Watcher]]]:
        """Return what to encode for whom: the changes, or for those who missed some the whole picture."""
        latest = self._latest.get(stream, job.batch)
        told_all = latest.entity_index.size == job.batch.entity_index.size
        plan: dict[tuple[Wish, bool], tuple[TelemetryBatch, list[Watcher]]] = {}
        for watcher in job.watchers:
            outbox = watcher.session.outbox
            missed = stream not in watcher.up_to_date or outbox.waits(session_pb2.CHANNEL_TELEMETRY, stream)
            whole = told_all or missed
            _, watchers = plan.setdefault((watcher.wish, whole), (latest if whole else job.batch, []))
            watchers.append(watcher)
            watcher.up_to_date.add(stream)
        return plan

    def _place_of(self, figures: TelemetryBatch | PmReport, wish: Wish) -> NDArray[np.float32]:
        """Return ``[n, 3]`` where the entities are: as the batch says, else as last heard, else as planned."""
        if wish.area_m is None:
            return np.zeros((0, 3), np.float32)
        position_m = getattr(figures, "position_m", None)
        if position_m is not None:
            return position_m
        topology = self._topology_of(figures.scene_id)
        cached = self._places.get(figures.scene_id)
        if cached is None or cached[0] is not topology:
            place_m = np.zeros((max((e.index for e in topology.entities), default=0) + 1, 3), np.float32)
            for entity in topology.entities:
                place_m[entity.index] = entity.position_m
            cached = self._places[figures.scene_id] = (topology, place_m)
            for stream, batch in self._latest.items():
                if stream.scene_id == figures.scene_id and batch.revision == topology.revision:
                    _move(place_m, batch)
        return cached[1][np.minimum(figures.entity_index, len(cached[1]) - 1)]

    # What was lost, and who is behind although nothing new arrives.

    async def _tend_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLOW_S)
            for watcher in tuple(self._watchers.values()):
                watcher.report_flow()
            now_s = time.monotonic()
            for stream, batch in tuple(self._latest.items()):
                if batch.revision != self._topology_of(stream.scene_id).revision:
                    continue  # its indices may mean something else by now
                behind = [
                    watcher
                    for watcher in self._receivers(stream)
                    if stream not in watcher.up_to_date and now_s >= watcher.due_s.get(stream, 0.0)
                ]
                if behind and stream not in self._slots:
                    self._put(stream, batch, now_s, behind)

    # News.

    def pm(self, report: PmReport, *, sender: Session | None = None) -> None:
        """Send a report to everybody who wants it; lossless, so who does not keep up is thrown out (rule L5)."""
        encoded: dict[Wish, bytes | None] = {}
        for watcher in self._wanting(report.scene_id, session_pb2.CHANNEL_PM):
            session = watcher.session
            if session is sender:
                continue
            wish = watcher.wish._replace(quantised=False)
            if wish not in encoded:
                encoded[wish] = _pm_body(cut_report(report, wish, self._place_of(report, wish)))
            body = encoded[wish]
            if body is not None:
                session.tell_encoded(body)

    def alarm(self, alarm: Alarm, *, sender: Session | None = None) -> None:
        """Send an alarm."""
        response = codec.ConnectResponse()
        mapping.write_alarm(response.alarm, alarm)
        self._tell(alarm.scene_id, session_pb2.CHANNEL_ALARMS, response, sender=sender)

    def event(
        self,
        scene_id: str,
        name: str,
        facts: Mapping[str, object],
        sim_time_s: float,
        *,
        sender: Session | None = None,
    ) -> None:
        """Send an event."""
        response = codec.ConnectResponse()
        response.event.name, response.event.scene_id, response.event.sim_time_s = name, scene_id, sim_time_s
        mapping.write_facts(response.event.facts, facts)
        self._tell(scene_id, session_pb2.CHANNEL_EVENTS, response, sender=sender)

    def live(self, scene_id: str, sim_time_s: float) -> None:
        """Say that a scene went live."""
        response = codec.ConnectResponse()
        response.live_notice.scene_id, response.live_notice.sim_time_s = scene_id, sim_time_s
        self._tell(scene_id, session_pb2.CHANNEL_EVENTS, response)

    def command(self, scene_id: str, result: CommandResult, *, of_fault: bool) -> None:
        """Send the stage of a command, without the labels of faults.

        Args:
            scene_id: Whose answer it is.
            result: The answer.
            of_fault: It answers an order to inject or clear a fault: reason and attributes name it, too, so that only
                those with the scope `faults` are told.
        """
        response = codec.ConnectResponse()
        mapping.write_result(response.command_ack, replace(result, labels=()))
        response.command_ack.scene_id = scene_id
        self._tell(scene_id, session_pb2.CHANNEL_COMMANDS, response, scope="faults" if of_fault else "")

    def _tell(
        self,
        scene_id: str,
        channel: session_pb2.Channel.ValueType,
        response: bridge_pb2.ConnectResponse,
        *,
        sender: Session | None = None,
        scope: str = "",
    ) -> None:
        body = response.SerializeToString()
        for watcher in self._wanting(scene_id, channel):
            may = not scope or scope in watcher.session.guest.scopes
            if may and watcher.session is not sender:
                watcher.session.tell_encoded(body)

    def _wanting(self, scene_id: str, channel: session_pb2.Channel.ValueType) -> list[Watcher]:
        return [watcher for watcher in self._watchers.values() if watcher.wants(scene_id, channel)]


def _make(orders: list[_Order]) -> list[bytes | None]:
    """Return one buffer per order, None where nothing is wanted; runs on the worker."""
    bodies: list[bytes | None] = []
    for wish, batch, place_m in orders:
        wanted = cut_batch(batch, wish, place_m)
        if wanted is None:
            bodies.append(None)
            continue
        response = codec.ConnectResponse()
        mapping.write_telemetry(response.telemetry, wanted, quantised=wish.quantised)
        bodies.append(response.SerializeToString())
    return bodies


def _move(place_m: NDArray[np.float32], batch: TelemetryBatch) -> None:
    if batch.position_m is not None:
        known = batch.entity_index < len(place_m)
        place_m[batch.entity_index[known]] = batch.position_m[known]


def _pm_body(report: PmReport | None) -> bytes | None:
    if report is None:
        return None
    response = codec.ConnectResponse()
    mapping.write_pm(response.pm_report, report)
    return response.SerializeToString()
