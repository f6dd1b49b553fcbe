"""Pictures from a scene's cameras and speech from its microphones, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraImage:
    """One whole picture.

    Attributes:
        codec: "raw" = rows of 8-bit sRGB triples from the top, without padding.
        position_m: ENU metres of the camera, None when not told.
        rotation: Quaternion x, y, z, w in the ENU frame; the camera looks along its own +x. None when not told.
        sim_time_s: When it was taken.
    """

    scene_id: str
    camera_id: str
    codec: Literal["jpeg", "png", "raw"]
    width: int
    height: int
    data: bytes
    position_m: tuple[float, float, float] | None
    rotation: tuple[float, float, float, float] | None
    horizontal_fov_deg: float
    sim_time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One piece of speech from a scene.

    Attributes:
        speaker: Session that it came from.
        pcm_int16: Mono 16-bit little-endian samples; lost chunks are silence.
        lost_chunks: How many were lost on the way.
    """

    scene_id: str
    speaker: str
    utterance_id: str
    sample_rate_hz: int
    pcm_int16: bytes
    lost_chunks: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.pcm_int16) / 2 / self.sample_rate_hz
