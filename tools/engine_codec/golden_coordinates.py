"""Makes the golden vectors of coordinates that every language must reproduce.

Written out from the definitions (docs of `Frame` in the contract), not by calling ``twin.geo``, which is one of the
implementations under test.
"""

from __future__ import annotations

import json
import math
from typing import Any

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

_POINTS: tuple[Vector, ...] = (
    (0.0, 0.0, 0.0),
    (1.0, 0.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.0, 0.0, 1.0),
    (12.5, -7.25, 30.0),
    (-9_876.5, 4_321.125, -0.5),
    (0.001, -0.002, 10_000.0),
)
_AXES_OF_ROTATION: tuple[Vector, ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (2.0, -1.0, 2.0))
_ANGLES_DEG = (0.0, 30.0, 90.0, -135.0, 180.0)
_AZIMUTHS_DEG = (0.0, 45.0, 90.0, 180.0, 225.0, 270.0, 359.5)
_VIEWS_DEG = ((0.0, 0.0), (90.0, 0.0), (120.0, 6.0), (240.0, -10.0), (315.0, 90.0), (0.0, 45.0))


def coordinates_json() -> str:
    """Return proto/golden/coordinates.json."""
    tables: dict[str, list[dict[str, Any]]] = {
        "points": [_point(enu_m) for enu_m in _POINTS],
        "rotations": [_rotation(_about(axis, deg)) for axis in _AXES_OF_ROTATION for deg in _ANGLES_DEG],
        "azimuths": [{"azimuth_deg": deg, "yaw_deg": _yaw_deg(deg)} for deg in _AZIMUTHS_DEG],
        "views": [_view(azimuth_deg, down_deg) for azimuth_deg, down_deg in _VIEWS_DEG],
    }
    parts = [f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]" for name, rows in tables.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _point(enu_m: Vector) -> dict[str, Any]:
    east, north, up = enu_m
    return {
        "enu": enu_m,
        "unity": (east, up, north),
        "unreal": (100.0 * east, -100.0 * north, 100.0 * up),
        "gltf": (east, up, -north),
    }


def _rotation(enu: Quaternion) -> dict[str, Any]:
    """The axis of a rotation moves like a point; in left-handed axes the angle turns the other way."""
    x, y, z, w = enu
    return {"enu": enu, "unity": (-x, -z, -y, w), "unreal": (-x, y, -z, w), "gltf": (x, z, -y, w)}


def _about(axis: Vector, angle_deg: float) -> Quaternion:
    length = math.hypot(*axis)
    sine, cosine = math.sin(math.radians(angle_deg) / 2.0), math.cos(math.radians(angle_deg) / 2.0)
    x, y, z = (part / length * sine for part in axis)
    return x, y, z, cosine


def _yaw_deg(azimuth_deg: float) -> float:
    yaw_deg = 90.0 - azimuth_deg
    return yaw_deg + 360.0 if yaw_deg < -180.0 else yaw_deg


def _view(azimuth_deg: float, down_deg: float) -> dict[str, Any]:
    """A camera or antenna looks along its own +x; azimuth clockwise from north, downtilt positive = down.

    Its rotation is the tilt about its own +y, then the yaw about up: q = q_up(yaw) q_y(tilt).
    """
    azimuth, down = math.radians(azimuth_deg), math.radians(down_deg)
    forward = (math.sin(azimuth) * math.cos(down), math.cos(azimuth) * math.cos(down), -math.sin(down))
    yaw_half, down_half = math.radians(_yaw_deg(azimuth_deg)) / 2.0, down / 2.0
    rotation = (
        -math.sin(yaw_half) * math.sin(down_half),
        math.cos(yaw_half) * math.sin(down_half),
        math.sin(yaw_half) * math.cos(down_half),
        math.cos(yaw_half) * math.cos(down_half),
    )
    return {"azimuth_deg": azimuth_deg, "downtilt_deg": down_deg, "forward_enu": forward, "rotation_enu": rotation}
