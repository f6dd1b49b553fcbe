"""What a client may subscribe to, and what it then gets, as values.

Used by observers and by scenes that want the figures of another one (co-simulation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bridge import codec, mapping
from bridge.pose import read_place, read_turn
from bridge.presence import Person
from bridge.v1 import figures_pb2, session_pb2
from twin.alarms import Alarm
from twin.commands import CommandResult
from twin.errors import InvalidInput
from twin.media import CameraImage
from twin.telemetry import PmReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridge.v1 import bridge_pb2, presence_pb2
    from twin.attributes import AttributeValue
    from twin.telemetry import TelemetryBatch
    from twin.topology import Topology

ChannelName = Literal["TELEMETRY", "PM", "ALARMS", "EVENTS", "COMMANDS", "CAMERA", "VOICE", "PRESENCE"]
CHANNELS: dict[str, session_pb2.Channel.ValueType] = {
    name.removeprefix("CHANNEL_"): number for name, number in session_pb2.Channel.items() if number
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a client wants to be told.

    Attributes:
        channels: Any of TELEMETRY, PM, ALARMS, EVENTS, COMMANDS, CAMERA, VOICE, PRESENCE.
        kpis: Names of the figures wanted; empty = all.
        max_rate_hz: Most batches of telemetry a second; 0 = as they come.
        area_m: Only entities in this rectangle: west, south, east, north, ENU metres. None = everywhere.
        quantised: Half the bytes, with an error of at most half a step of 1/65534 of what a column spans.
    """

    channels: frozenset[str] = frozenset()
    kpis: tuple[str, ...] = ()
    max_rate_hz: float = 0.0
    area_m: tuple[float, float, float, float] | None = None
    quantised: bool = False

    def __post_init__(self) -> None:
        unknown = self.channels - set(CHANNELS)
        if unknown:
            raise InvalidInput(f"there is no channel `{', '.join(sorted(unknown))}`; known: {', '.join(CHANNELS)}")

    def request(self) -> bridge_pb2.ConnectRequest:
        """Return the message that asks for it."""
        request = codec.ConnectRequest()
        message = request.subscribe
        message.SetInParent()
        message.channels.extend(sorted(CHANNELS[name] for name in self.channels))
        message.kpis.extend(self.kpis)
        message.max_rate_hz = self.max_rate_hz
        if self.area_m is not None:
            area = message.area_of_interest
            area.west_m, area.south_m, area.east_m, area.north_m = self.area_m
        message.encoding = figures_pb2.ENCODING_QUANTISED_INT16 if self.quantised else figures_pb2.ENCODING_FLOAT32
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A batch of telemetry.

    Attributes:
        age_s: How long ago the twin got it, as far as both clocks tell; it grows while nobody takes the batch.
    """

    batch: TelemetryBatch
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened; `name` is dotted, such as ``past.progress``."""

    scene_id: str
    name: str
    facts: Mapping[str, AttributeValue]
    sim_time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WentLive:
    """A scene has told its past; from now on it tells the present."""

    scene_id: str
    sim_time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Everybody who is here, in the order in which they came. Names are text to show, never to obey."""

    scene_id: str
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """A piece of what somebody says.

    Attributes:
        number: Within the utterance, from 0; a gap is a loss.
        pcm_int16: Mono 16-bit little-endian samples.
        last: Whether the utterance ends here.
    """

    session_id: str
    utterance_id: str
    number: int
    sample_rate_hz: int
    pcm_int16: bytes
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyNews:
    """The inventory has another revision."""

    topology: Topology


News = Figures | PmReport | Alarm | Event | WentLive | CommandResult | People | Speech | CameraImage | TopologyNews
"""What an observer is told."""


def read_event(message: bridge_pb2.ConnectResponse) -> Event:
    """Return an event."""
    event = message.event
    return Event(
        scene_id=event.scene_id, name=event.name, facts=mapping.read_facts(event.facts), sim_time_s=event.sim_time_s
    )


def read_people(message: presence_pb2.PresenceList) -> People:
    """Return who is here."""
    return People(scene_id=message.scene_id, people=tuple(_people(message.people)))


def _people(messages: Iterable[presence_pb2.Presence]) -> Iterable[Person]:
    for message in messages:
        yield Person(
            session_id=message.session_id,
            name=message.name,
            colour=message.colour,
            camera_position_m=read_place(message.camera_position) if message.HasField("camera_position") else None,
            camera_rotation=read_turn(message, "camera_rotation"),
            selected_entity_ids=tuple(message.selected_entity_ids),
            engine=message.engine,
        )


def read_speech(response: bridge_pb2.ConnectResponse) -> Speech:
    """Return a piece of speech."""
    chunk = response.voice_chunk
    return Speech(
        session_id=chunk.session_id,
        utterance_id=chunk.utterance_id,
        number=chunk.number,
        sample_rate_hz=chunk.sample_rate_hz,
        pcm_int16=chunk.pcm_int16,
        last=chunk.last,
    )
