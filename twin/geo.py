"""Where things are: WGS84 <-> ENU metres, and ENU <-> the axes of Unity, Unreal, glTF and Godot.

Part of the core: numpy only. The ENU frame is the plane that touches the ellipsoid at the scenario's origin
(topocentric, EPSG method 9837); within 10 km of it a point on the ground lies less than 8 m below the plane and
horizontal distances agree with the ground to a few millimetres per kilometre.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from twin.scenario import Origin

WGS84_A_M = 6_378_137.0
"""Semi-major axis (NGA.STND.0036 table 3.1)."""
WGS84_F = 1.0 / 298.257223563
"""Flattening (the same table)."""
_E2 = WGS84_F * (2.0 - WGS84_F)
_B_M = WGS84_A_M * (1.0 - WGS84_F)
_EP2 = _E2 / (1.0 - _E2)


def wgs84_to_ecef(latitude_deg: ArrayLike, longitude_deg: ArrayLike, height_m: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Return earth-centred coordinates ``[..., 3] float64`` in metres (EPSG method 9602)."""
    latitude, longitude = np.radians(np.asarray(latitude_deg, float)), np.radians(np.asarray(longitude_deg, float))
    height = np.asarray(height_m, dtype=np.float64)
    normal_m = WGS84_A_M / np.sqrt(1.0 - _E2 * np.sin(latitude) ** 2)
    x = (normal_m + height) * np.cos(latitude) * np.cos(longitude)
    y = (normal_m + height) * np.cos(latitude) * np.sin(longitude)
    z = (normal_m * (1.0 - _E2) + height) * np.sin(latitude)
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def ecef_to_wgs84(ecef_m: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return latitude, longitude (degrees) and ellipsoid height (metres) of ``[..., 3]`` earth-centred points.

    Bowring's parametric latitude, iterated three times: below 1e-9 m for points near the surface.
    """
    x, y, z = np.moveaxis(np.asarray(ecef_m, dtype=np.float64), -1, 0)
    axis_m = np.hypot(x, y)
    beta = np.arctan2(WGS84_A_M * z, _B_M * axis_m)
    latitude = beta
    for _ in range(3):
        latitude = np.arctan2(z + _EP2 * _B_M * np.sin(beta) ** 3, axis_m - _E2 * WGS84_A_M * np.cos(beta) ** 3)
        beta = np.arctan2((1.0 - WGS84_F) * np.sin(latitude), np.cos(latitude))
    sine, cosine = np.sin(latitude), np.cos(latitude)
    height_m = axis_m * cosine + z * sine - WGS84_A_M * np.sqrt(1.0 - _E2 * sine**2)
    return np.degrees(latitude), np.degrees(np.arctan2(y, x)), height_m


def _enu_axes(origin: Origin) -> NDArray[np.float64]:
    """Return the rows east, north, up as earth-centred unit vectors ``[3, 3]``."""
    latitude, longitude = np.radians(origin.latitude_deg), np.radians(origin.longitude_deg)
    sin_lat, cos_lat, sin_lon, cos_lon = np.sin(latitude), np.cos(latitude), np.sin(longitude), np.cos(longitude)
    return np.array(
        [
            [-sin_lon, cos_lon, 0.0],
            [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
            [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
        ]
    )


def wgs84_to_enu(
    latitude_deg: ArrayLike, longitude_deg: ArrayLike, height_m: ArrayLike = 0.0, *, origin: Origin
) -> NDArray[np.float64]:
    """Return east, north, up ``[..., 3] float64`` in metres around the origin."""
    base = wgs84_to_ecef(origin.latitude_deg, origin.longitude_deg, origin.height_m)
    return (wgs84_to_ecef(latitude_deg, longitude_deg, height_m) - base) @ _enu_axes(origin).T


def enu_to_wgs84(
    enu_m: ArrayLike, *, origin: Origin
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return latitude, longitude (degrees) and ellipsoid height (metres) of ``[..., 3]`` points."""
    base = wgs84_to_ecef(origin.latitude_deg, origin.longitude_deg, origin.height_m)
    return ecef_to_wgs84(np.asarray(enu_m, dtype=np.float64) @ _enu_axes(origin) + base)


class Axes(Enum):
    """An engine's axes; each row says which ENU axis feeds the engine's x, y, z, with its sign.

    Unity and Unreal are left-handed (determinant -1), glTF, three.js and Godot right-handed. Unreal counts
    centimetres.
    """

    ENU = "enu"
    UNITY = "unity"
    UNREAL = "unreal"
    GLTF = "gltf"
    GODOT = "godot"

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Return P ``[3, 3]``, a signed permutation without the unit scale."""
        match self:
            case Axes.ENU:
                rows = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
            case Axes.UNITY:  # (E, U, N)
                rows = ((1, 0, 0), (0, 0, 1), (0, 1, 0))
            case Axes.UNREAL:  # (E, -N, U)
                rows = ((1, 0, 0), (0, -1, 0), (0, 0, 1))
            case Axes.GLTF | Axes.GODOT:  # (E, U, -N)
                rows = ((1, 0, 0), (0, 0, 1), (0, -1, 0))
        return np.array(rows, dtype=np.float64)

    @property
    def units_per_m(self) -> float:
        """Return how many of the engine's units make a metre."""
        return 100.0 if self is Axes.UNREAL else 1.0

    @property
    def handedness(self) -> float:
        """Return the determinant of P: +1 right-handed, -1 left-handed."""
        return -1.0 if self in {Axes.UNITY, Axes.UNREAL} else 1.0


def enu_to_engine(enu_m: ArrayLike, axes: Axes) -> NDArray[np.float64]:
    """Return ``[..., 3]`` ENU metres in an engine's axes and unit."""
    return np.asarray(enu_m, dtype=np.float64) @ axes.matrix.T * axes.units_per_m


def engine_to_enu(engine: ArrayLike, axes: Axes) -> NDArray[np.float64]:
    """Return ``[..., 3]`` points in an engine's axes and unit as ENU metres."""
    return np.asarray(engine, dtype=np.float64) / axes.units_per_m @ axes.matrix


def rotation_to_engine(quaternion_xyzw: ArrayLike, axes: Axes) -> NDArray[np.float64]:
    """Return ENU rotations ``[..., 4]`` (x, y, z, w) in an engine's axes: ``v' = det(P) P v, w' = w``."""
    quaternion = np.asarray(quaternion_xyzw, dtype=np.float64)
    vector = axes.handedness * (quaternion[..., :3] @ axes.matrix.T)
    return np.concatenate([vector, quaternion[..., 3:]], axis=-1)


def rotation_to_enu(quaternion_xyzw: ArrayLike, axes: Axes) -> NDArray[np.float64]:
    """Return an engine's rotations ``[..., 4]`` (x, y, z, w) in ENU; the inverse of :func:`rotation_to_engine`."""
    quaternion = np.asarray(quaternion_xyzw, dtype=np.float64)
    vector = axes.handedness * (quaternion[..., :3] @ axes.matrix)
    return np.concatenate([vector, quaternion[..., 3:]], axis=-1)


def azimuth_to_yaw_deg(azimuth_deg: float) -> float:
    """Return the yaw (counter-clockwise from east, -180 to 180) of an azimuth (clockwise from north)."""
    return (90.0 - azimuth_deg + 180.0) % 360.0 - 180.0


def yaw_to_azimuth_deg(yaw_deg: float) -> float:
    """Return the azimuth (clockwise from north, 0 to 360) of a yaw (counter-clockwise from east)."""
    return (90.0 - yaw_deg) % 360.0
