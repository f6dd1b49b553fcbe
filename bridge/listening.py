"""A scene that is told what others measure and do: news as they come, each handed to a callback at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge import codec, mapping
from bridge.news import Subscription, read_event, read_people
from bridge.v1 import session_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.connection import Connection
    from bridge.news import Event, People
    from bridge.v1 import bridge_pb2
    from twin.alarms import Alarm
    from twin.telemetry import PmReport, TelemetryBatch

CREDITS = {session_pb2.CHANNEL_TELEMETRY: 4, session_pb2.CHANNEL_PRESENCE: 1}
"""Messages that may be on their way: one for each kind of entity, since every one is taken at once."""


class Listener:
    """The subscription of a scene.

    Args:
        connection: Where the news come from.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._subscription: Subscription | None = None
        self._on_telemetry: Callable[[TelemetryBatch], None] | None = None
        self._on_pm: Callable[[PmReport], None] | None = None
        self._on_alarm: Callable[[Alarm], None] | None = None
        self._on_event: Callable[[Event], None] | None = None
        self._on_presence: Callable[[People], None] | None = None
        self._streams = 0

    def subscribe(
        self,
        subscription: Subscription,
        *,
        on_telemetry: Callable[[TelemetryBatch], None] | None,
        on_pm: Callable[[PmReport], None] | None,
        on_alarm: Callable[[Alarm], None] | None,
        on_event: Callable[[Event], None] | None,
        on_presence: Callable[[People], None] | None,
    ) -> None:
        """Want other news from now on."""
        self._subscription = subscription
        self._on_telemetry, self._on_pm, self._on_alarm = on_telemetry, on_pm, on_alarm
        self._on_event, self._on_presence = on_event, on_presence
        if self._connection.streaming:
            self._ask()

    def began(self) -> None:
        """Ask in a new stream: a Subscribe that was on its way when the old one broke may be lost."""
        if self._subscription is not None:
            self._ask()

    def _ask(self) -> None:
        if self._subscription is None:
            return
        self._connection.outbox.send_now(self._subscription.request())
        if self._streams != self._connection.streams:  # credits are those of one stream
            self._streams = self._connection.streams
            for channel, messages in CREDITS.items():
                self._give_credit(channel, messages)

    def _give_credit(self, channel: session_pb2.Channel.ValueType, messages: int) -> None:
        request = codec.ConnectRequest()
        request.credit.channel, request.credit.messages = channel, messages
        self._connection.outbox.send_now(request)

    def heard(self, response: bridge_pb2.ConnectResponse) -> None:
        """Hand a piece of news to whom it is for; what nobody wants any more is passed over."""
        match response.WhichOneof("body"):
            case "telemetry":
                self._give_credit(session_pb2.CHANNEL_TELEMETRY, 1)
                if self._on_telemetry is not None:
                    self._on_telemetry(mapping.read_telemetry(response.telemetry))
            case "pm_report" if self._on_pm is not None:
                self._on_pm(mapping.read_pm(response.pm_report))
            case "alarm" if self._on_alarm is not None:
                self._on_alarm(mapping.read_alarm(response.alarm))
            case "event" if self._on_event is not None:
                self._on_event(read_event(response))
            case "presence_list":
                self._give_credit(session_pb2.CHANNEL_PRESENCE, 1)
                if self._on_presence is not None:
                    self._on_presence(read_people(response.presence_list))
            case _:
                pass  # a later version's message, or news that was on its way when the subscription ended
