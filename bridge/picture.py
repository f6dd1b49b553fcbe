"""One picture, put together from its parts and looked at before anybody else sees it. Pure: bytes in, value out.

Only the header of a picture is read here: enough to know that the bytes are what they are called and as large as
they say. Decoding is left to whoever shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from bridge import codec, mapping
from bridge.pose import read_place, read_turn
from bridge.v1 import media_pb2
from twin.errors import ProtocolError, TooLarge
from twin.media import CameraImage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.v1 import bridge_pb2

Codec = Literal["jpeg", "png", "raw"]

MAX_PICTURE_BYTES = 10_000_000
MAX_PICTURE_PIXELS = 20_000_000
MAX_PART_BYTES = codec.CHUNK_BYTES

CODECS: dict[media_pb2.ImageCodec.ValueType, Codec] = {
    media_pb2.IMAGE_CODEC_JPEG: "jpeg",
    media_pb2.IMAGE_CODEC_PNG: "png",
    media_pb2.IMAGE_CODEC_RAW_RGB: "raw",
}
CODEC_NUMBERS = {word: number for number, word in CODECS.items()}

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG that begin a frame and so tell its size (ITU-T T.81 table B.1)."""


class BrokenOrder(ProtocolError):
    """Parts that do not follow each other: whatever comes next on this stream cannot be trusted either."""


class Assembly:
    """One picture on its way.

    Args:
        scene_id: Scene of the camera.
        max_bytes: Largest picture.
    """

    def __init__(self, *, scene_id: str, max_bytes: int = MAX_PICTURE_BYTES) -> None:
        self._scene_id = scene_id
        self._max_bytes = max_bytes
        self._head: media_pb2.CameraFrame | None = None
        self._data = bytearray()
        self._total = 0
        self._received = 0
        self._bad: TooLarge | ProtocolError | None = None

    def add(self, part: media_pb2.CameraFrame) -> CameraImage | None:
        """Take the next part; returns the picture with the last one.

        A picture that is no good is still followed to its end, so that its parts are not taken for another's;
        :attr:`bad` tells early that it is.

        Raises:
            BrokenOrder: The part does not follow the ones before. TooLarge, ProtocolError: The picture is no good.
        """
        self._follow(part)
        if self._head is None:
            self._head = part
            self._bad = self._fault_of(part)
        if self._bad is None and len(part.data) > MAX_PART_BYTES:
            self._bad = ProtocolError(f"a part holds `{len(part.data)}` bytes; send at most {MAX_PART_BYTES}")
        if self._bad is None:
            self._data += part.data
        else:
            self._data.clear()
        if not part.last:
            return None
        if self._bad is not None:
            raise self._bad
        return self._whole(self._head)

    @property
    def bad(self) -> TooLarge | ProtocolError | None:
        """What is wrong with the picture, as far as can be seen; None = nothing yet."""
        return self._bad

    def _follow(self, part: media_pb2.CameraFrame) -> None:
        if self._head is None:
            self._total = part.total_bytes
        if part.offset != self._received or part.total_bytes != self._total:
            raise BrokenOrder(
                f"a part of a picture begins at `{part.offset}` of `{part.total_bytes}` bytes, expected"
                f" `{self._received}` of `{self._total}`; send parts in order, each with the length of the whole"
            )
        self._received += len(part.data)
        if self._received > self._total or (part.last and self._received != self._total):
            raise BrokenOrder(
                f"a picture of `{self._total}` bytes has `{self._received}` so far, its last part"
                f" {'included' if part.last else 'still to come'}; `total_bytes` is the length of the whole"
            )
        if not part.data and not part.last:
            raise BrokenOrder("a part of a picture is empty; only a last one may be")

    def _fault_of(self, head: media_pb2.CameraFrame) -> TooLarge | ProtocolError | None:
        if self._total > self._max_bytes:
            return TooLarge(f"the picture has `{self._total}` bytes; this twin takes {self._max_bytes}")
        if head.width * head.height > MAX_PICTURE_PIXELS:
            return TooLarge(
                f"the picture has `{head.width}` x `{head.height}` pixels; this twin takes {MAX_PICTURE_PIXELS} in all"
            )
        if not head.width or not head.height or not self._total:
            return ProtocolError(
                f"the picture has `{head.width}` x `{head.height}` pixels in `{self._total}` bytes; send one, or say"
                " `reason`"
            )
        if head.codec not in CODECS:
            return ProtocolError(f"the picture has the unknown codec `{head.codec}`; send {', '.join(CODEC_NUMBERS)}")
        return None

    def _whole(self, head: media_pb2.CameraFrame) -> CameraImage:
        data = bytes(self._data)
        word = CODECS[head.codec]
        size = _raw_size(data, head) if word == "raw" else size_of(data, word)
        if size != (head.width, head.height):
            raise ProtocolError(
                f"a {word} picture of `{head.width}` x `{head.height}` pixels was announced, its bytes hold"
                f" {'none that can be read' if size is None else f'`{size[0]}` x `{size[1]}`'}"
            )
        fov_deg = head.horizontal_fov_deg
        return CameraImage(
            scene_id=self._scene_id,
            camera_id=head.camera_id,
            codec=word,
            width=head.width,
            height=head.height,
            data=data,
            position_m=read_place(head.position) if head.HasField("position") else None,
            rotation=read_turn(head, "rotation"),
            horizontal_fov_deg=fov_deg if 0.0 < fov_deg <= 360.0 else 0.0,
            sim_time_s=mapping.read_moment(head.sim_time_s, "sim_time_s"),
        )


def _raw_size(data: bytes, head: media_pb2.CameraFrame) -> tuple[int, int] | None:
    return (head.width, head.height) if len(data) == 3 * head.width * head.height else None


def size_of(data: bytes, word: Literal["jpeg", "png"]) -> tuple[int, int] | None:
    """Return width and height from the header of a picture, None when it is not of this codec."""
    return _png_size(data) if word == "png" else _jpeg_size(data)


def _png_size(data: bytes) -> tuple[int, int] | None:
    """Read IHDR, which is always the first chunk (ISO/IEC 15948, 11.2.1)."""
    if len(data) < 24 or not data.startswith(_PNG_MAGIC) or data[8:16] != b"\x00\x00\x00\rIHDR":
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk over the segments to the frame header (ITU-T T.81, B.1.1 and B.2.2)."""
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _JPEG_FRAMES:
            if at + 9 > len(data):
                return None
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in {0xD9, 0xDA} or length < 2:  # the picture begins or ends before its size is told
            return None
        at += 2 + length
    return None


def parts_of(image: CameraImage, *, request_id: str = "") -> Iterator[bridge_pb2.ConnectResponse]:
    """Cut a picture into the parts in which it goes to observers."""
    for offset in range(0, len(image.data), MAX_PART_BYTES):
        response = codec.ConnectResponse()
        part = response.camera_frame
        part.request_id = request_id
        part.camera_id = image.camera_id
        if image.position_m is not None:
            part.position.east_m, part.position.north_m, part.position.up_m = image.position_m
        if image.rotation is not None:
            codec.put_array(part, "rotation", np.array(image.rotation, dtype=np.float32))
        part.horizontal_fov_deg = image.horizontal_fov_deg
        part.codec = CODEC_NUMBERS[image.codec]
        part.width, part.height = image.width, image.height
        part.offset = offset
        part.data = image.data[offset : offset + MAX_PART_BYTES]
        part.total_bytes = len(image.data)
        part.last = offset + MAX_PART_BYTES >= len(image.data)
        part.sim_time_s = image.sim_time_s
        yield response
