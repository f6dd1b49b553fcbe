"""What a client shows and says: pictures of its cameras, speech, and where it stands itself.

Pictures are asked for (M1) or sent with credit (M2), speech needs credit for each chunk (M3), and of presence the last
counts (P1). All of it belongs to one connection and is dropped rather than kept.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import structlog

from bridge import codec
from bridge.picture import CODECS, parts_of
from bridge.v1 import session_pb2
from twin.errors import InvalidInput, TooLarge, TwinError
from twin.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bridge.connection import Connection
    from bridge.picture import Codec
    from bridge.v1 import bridge_pb2, media_pb2
    from twin.entities import Position
    from twin.media import CameraImage

    Shoot = Callable[["CameraRequest"], CameraImage | Awaitable[CameraImage]]

MOST_REQUESTS = 16
CHUNK_S = 0.1
LONGEST_UTTERANCE_S = 60.0
CREDIT_WAIT_S = 1.0
"""How long a chunk of speech waits for credit before it is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRequest:
    """Somebody wants a picture.

    Attributes:
        camera_id: "" = the user's own camera.
        width: Wanted pixels; 0 = as it is.
        height: The same.
        codec: Wanted codec; None = the scene chooses.
    """

    request_id: str
    camera_id: str
    width: int
    height: int
    codec: Codec | None


class Studio:
    """The cameras of a scene.

    Args:
        connection: Where pictures go.
        on_camera: Takes a picture; None = there are no cameras.
    """

    def __init__(self, connection: Connection, on_camera: Shoot | None) -> None:
        self._connection = connection
        self._on_camera = on_camera
        self._requests: asyncio.Queue[CameraRequest] = asyncio.Queue(MOST_REQUESTS)
        self._log = structlog.get_logger("bridge")

    def requested(self, message: media_pb2.CameraRequest) -> None:
        """Note that a picture is wanted."""
        request = CameraRequest(
            request_id=message.request_id,
            camera_id=message.camera_id,
            width=message.width,
            height=message.height,
            codec=CODECS.get(message.codec),
        )
        if self._on_camera is None:
            self._say_no(request, "this scene has no cameras")
        elif self._requests.full():
            self._say_no(request, f"`{MOST_REQUESTS}` pictures are wanted already; ask again later")
        else:
            self._requests.put_nowait(request)

    async def work(self) -> None:
        """Take pictures for ever, one at a time."""
        while True:
            request = await self._requests.get()
            stream = self._connection.streams
            try:
                await self._send(await self._shoot(request), request, stream)
            except TwinError as error:
                self._say_no(request, str(error))
            except Exception as error:  # noqa: BLE001 - whatever the scene's own code raises, the twin gets an answer
                self._log.exception("camera_failed", camera=request.camera_id)
                self._say_no(request, f"{type(error).__name__}: {error}")

    async def _shoot(self, request: CameraRequest) -> CameraImage:
        if self._on_camera is None:
            raise InvalidInput("this scene has no cameras")
        image = self._on_camera(request)
        return await image if inspect.isawaitable(image) else image

    async def _send(self, image: CameraImage, request: CameraRequest, stream: int) -> None:
        for part in _requests_of(image, request_id=request.request_id):
            part.camera_frame.camera_id = request.camera_id
            await self._connection.outbox.calm()
            if self._connection.streams != stream:
                return  # who asked is told by the broken stream
            self._connection.outbox.send_now(part)

    def _say_no(self, request: CameraRequest, reason: str) -> None:
        answer = codec.ConnectRequest()
        answer.camera_frame.request_id, answer.camera_frame.camera_id = request.request_id, request.camera_id
        answer.camera_frame.reason, answer.camera_frame.last = reason, True
        self._connection.outbox.send_now(answer)

    def show(self, image: CameraImage) -> None:
        """Offer a picture that nobody asked for; replaces one of the same camera that still waits for credit."""
        bodies = [part.SerializeToString() for part in _requests_of(image, request_id="")]
        self._connection.outbox.offer_parts(session_pb2.CHANNEL_CAMERA, bodies, stream=image.camera_id)


def _requests_of(image: CameraImage, *, request_id: str) -> list[bridge_pb2.ConnectRequest]:
    if not image.data:
        raise InvalidInput(f"the picture of camera `{image.camera_id}` has no bytes; raise why there is none instead")
    parts: list[bridge_pb2.ConnectRequest] = []
    for response in parts_of(image, request_id=request_id):
        part = codec.ConnectRequest()
        part.camera_frame.CopyFrom(response.camera_frame)
        parts.append(part)
    return parts


async def say(connection: Connection, pcm_int16: bytes, *, sample_rate_hz: int) -> int:
    """Send one utterance and return how many of its chunks were lost for want of credit.

    Args:
        connection: Where it goes.
        pcm_int16: Mono 16-bit little-endian samples.
        sample_rate_hz: Samples a second.

    Raises:
        TooLarge: Longer than an utterance may be. InvalidInput: No whole number of samples.
    """
    if len(pcm_int16) % 2 or not pcm_int16 or sample_rate_hz <= 0:
        raise InvalidInput(f"`{len(pcm_int16)}` bytes at `{sample_rate_hz}` Hz are no speech; give 16-bit mono samples")
    if len(pcm_int16) > 2 * sample_rate_hz * LONGEST_UTTERANCE_S:
        raise TooLarge(f"an utterance lasts at most {LONGEST_UTTERANCE_S:g} s; cut it at a pause")
    step = 2 * max(1, round(sample_rate_hz * CHUNK_S))
    utterance_id, lost = uuid7(), 0
    for number, first in zip(itertools.count(), range(0, len(pcm_int16), step), strict=False):
        chunk = codec.ConnectRequest()
        chunk.voice_chunk.utterance_id, chunk.voice_chunk.number = utterance_id, number
        chunk.voice_chunk.sample_rate_hz = sample_rate_hz
        chunk.voice_chunk.pcm_int16 = pcm_int16[first : first + step]
        chunk.voice_chunk.last = first + step >= len(pcm_int16)
        await connection.credited(session_pb2.CHANNEL_VOICE, timeout_s=CREDIT_WAIT_S)
        connection.check()
        sent = connection.streaming and connection.outbox.push(session_pb2.CHANNEL_VOICE, chunk.SerializeToString())
        lost += not sent
    return lost


def presence_of(
    *,
    name: str,
    colour: str = "",
    camera_position_m: Position | None = None,
    camera_rotation: tuple[float, float, float, float] | None = None,
    selected: tuple[str, ...] = (),
) -> bytes:
    """Return the serialized message that shows somebody."""
    request = codec.ConnectRequest()
    message = request.presence
    message.name, message.colour = name, colour
    if camera_position_m is not None:
        at = message.camera_position
        at.east_m, at.north_m, at.up_m = camera_position_m
    if camera_rotation is not None:
        codec.put_array(message, "camera_rotation", np.array(camera_rotation, dtype=np.float32))
    message.selected_entity_ids.extend(selected)
    return request.SerializeToString()
