"""Figures and news for those who only watch: encoded once per wish, newest wins, nothing lost unnoticed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bridge import codec, mapping
from bridge.v1 import figures_pb2, session_pb2
from twin.errors import Overloaded
from twin.kpi import KPIS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bridge.session import Session
    from bridge.v1 import bridge_pb2
    from twin.alarms import Alarm
    from twin.commands import CommandResult
    from twin.telemetry import PmReport, TelemetryBatch
    from twin.topology import Topology

OBSERVER_LIMIT = 512
"""Lossless messages that an observer may leave unacknowledged before PM reports to it are dropped."""

_KNOWN = {row.name for row in KPIS}


class _Wish(NamedTuple):
    """What makes two observers want the same bytes."""

    kpis: frozenset[str]
    area: tuple[float, float, float, float] | None


class Fanout:
    """The observers of a server."""

    def __init__(self) -> None:
        self.observers: list[Session] = []
        self._home_m: dict[str, NDArray[np.float32]] = {}

    def join(self, session: Session, topology: Topology) -> None:
        """Let an observer watch."""
        self.observers.append(session)
        places = np.zeros((len(topology), 3), dtype=np.float32)
        for entity in topology.entities:
            if entity.index < len(places):
                places[entity.index] = entity.position_m
        self._home_m[session.info.scene_id] = places

    def leave(self, session: Session) -> None:
        """Forget an observer."""
        self.observers.remove(session)

    def subscribed(self, session: Session, subscribe: session_pb2.Subscribe) -> None:
        """Tell an observer what was understood of its wish."""
        response = codec.ConnectResponse()
        response.subscribe_reply.channels.extend(subscribe.channels)
        response.subscribe_reply.unknown_kpis.extend(k for k in subscribe.kpis if k not in _KNOWN)
        response.subscribe_reply.encoding = figures_pb2.ENCODING_FLOAT32
        session.outbox.send_now(response)

    def telemetry(self, batch: TelemetryBatch) -> None:
        """Offer a batch to everybody who wants some of it."""
        encoded: dict[_Wish, bytes] = {}
        now_s = time.monotonic()
        for session in self._wanting(batch.scene_id, session_pb2.CHANNEL_TELEMETRY):
            rate_hz = session.subscription.max_rate_hz
            if rate_hz > 0:
                if now_s < session.next_telemetry_s:
                    continue
                session.next_telemetry_s = max(session.next_telemetry_s + 1 / rate_hz, now_s)
            wish = _wish_of(session.subscription)
            if wish not in encoded:
                response = codec.ConnectResponse()
                mapping.write_telemetry(response.telemetry, self._cut(batch, wish))
                encoded[wish] = response.SerializeToString()
            session.outbox.offer(session_pb2.CHANNEL_TELEMETRY, encoded[wish])

    def _cut(self, batch: TelemetryBatch, wish: _Wish) -> TelemetryBatch:
        if wish.kpis:
            columns = [i for i, name in enumerate(batch.kpis) if name in wish.kpis]
            batch = replace(batch, kpis=tuple(batch.kpis[i] for i in columns), values=batch.values[:, columns])
        if wish.area is not None:
            west, south, east, north = wish.area
            place = batch.position_m if batch.position_m is not None else self._home(batch)
            inside = (place[:, 0] >= west) & (place[:, 0] <= east) & (place[:, 1] >= south) & (place[:, 1] <= north)
            batch = replace(
                batch,
                entity_index=batch.entity_index[inside],
                position_m=None if batch.position_m is None else batch.position_m[inside],
                values=batch.values[inside],
            )
        return batch

    def _home(self, batch: TelemetryBatch) -> NDArray[np.float32]:
        places = self._home_m[batch.scene_id]
        return places[np.minimum(batch.entity_index, len(places) - 1)]

    def pm(self, report: PmReport) -> None:
        """Send a report to everybody who wants it; an observer that does not keep up misses it, counted."""
        response = codec.ConnectResponse()
        for session in self._wanting(report.scene_id, session_pb2.CHANNEL_PM):
            if not response.HasField("pm_report"):
                mapping.write_pm(response.pm_report, report)
            if session.outbox.depth >= OBSERVER_LIMIT:
                missed = session.outbox.dropped.get(session_pb2.CHANNEL_PM, 0) + 1
                session.outbox.dropped[session_pb2.CHANNEL_PM] = missed
                _report_flow(session, session_pb2.CHANNEL_PM)
            else:
                session.outbox.send(response)

    def alarm(self, alarm: Alarm) -> None:
        """Send an alarm."""
        response = codec.ConnectResponse()
        mapping.write_alarm(response.alarm, alarm)
        self._tell(alarm.scene_id, session_pb2.CHANNEL_ALARMS, response)

    def event(self, scene_id: str, name: str, facts: Mapping[str, object], sim_time_s: float) -> None:
        """Send an event."""
        response = codec.ConnectResponse()
        response.event.name, response.event.scene_id, response.event.sim_time_s = name, scene_id, sim_time_s
        mapping.write_facts(response.event.facts, facts)
        self._tell(scene_id, session_pb2.CHANNEL_EVENTS, response)

    def live(self, scene_id: str, sim_time_s: float) -> None:
        """Say that a scene went live."""
        response = codec.ConnectResponse()
        response.live_notice.scene_id, response.live_notice.sim_time_s = scene_id, sim_time_s
        self._tell(scene_id, session_pb2.CHANNEL_EVENTS, response)

    def command(self, scene_id: str, result: CommandResult) -> None:
        """Send the stage of a command, without the labels of faults."""
        response = codec.ConnectResponse()
        mapping.write_result(response.command_ack, replace(result, labels=()))
        response.command_ack.scene_id = scene_id
        self._tell(scene_id, session_pb2.CHANNEL_COMMANDS, response)

    def _tell(
        self, scene_id: str, channel: session_pb2.Channel.ValueType, response: bridge_pb2.ConnectResponse
    ) -> None:
        for session in self._wanting(scene_id, channel):
            try:
                session.outbox.send(response)
            except Overloaded:
                session.end(session_pb2.NOTICE_CODE_IGNORED, "news were not acknowledged; connect again to go on")

    def _wanting(self, scene_id: str, channel: session_pb2.Channel.ValueType) -> list[Session]:
        return [s for s in self.observers if s.info.scene_id == scene_id and channel in s.subscription.channels]


def _wish_of(subscribe: session_pb2.Subscribe) -> _Wish:
    area = subscribe.area_of_interest
    return _Wish(
        frozenset(subscribe.kpis),
        (area.west_m, area.south_m, area.east_m, area.north_m) if subscribe.HasField("area_of_interest") else None,
    )


def _report_flow(session: Session, channel: session_pb2.Channel.ValueType) -> None:
    response = codec.ConnectResponse()
    response.flow_report.channel = channel
    response.flow_report.dropped = session.outbox.dropped[channel]
    session.outbox.send_now(response)
