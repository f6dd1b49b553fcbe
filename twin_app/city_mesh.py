"""A city as triangles: houses with flat roofs on flat ground, for the ray tracer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from twin.entities import Building

    Mesh = tuple[NDArray[np.float32], NDArray[np.int32]]


def buildings_mesh(buildings: Iterable[Building]) -> Mesh:
    """Return walls and roofs, corners ``[n, 3] float32`` and triangles ``[m, 3] int32``."""
    corners: list[NDArray[np.float32]] = []
    triangles: list[NDArray[np.int32]] = []
    first = 0
    for building in buildings:
        ring = np.asarray(building.footprint_m, dtype=np.float64)
        roof = triangulate(ring)
        if not len(roof):
            continue
        count = len(ring)
        heights = np.repeat([0.0, building.height_m], count)
        corners.append(np.column_stack([np.tile(ring, (2, 1)), heights]).astype(np.float32))
        here = np.arange(count)
        after = (here + 1) % count
        walls = [np.column_stack([here, after, after + count]), np.column_stack([here, after + count, here + count])]
        triangles.append((np.concatenate([*walls, roof + count]) + first).astype(np.int32))
        first += 2 * count
    if not corners:
        return np.empty((0, 3), dtype=np.float32), np.empty((0, 3), dtype=np.int32)
    return np.concatenate(corners), np.concatenate(triangles)


def ground_mesh(extent_m: tuple[float, float, float, float], *, margin_m: float = 100.0) -> Mesh:
    """Return the ground as two triangles, a little wider than the area."""
    west, south, east, north = extent_m
    west, south, east, north = west - margin_m, south - margin_m, east + margin_m, north + margin_m
    corners = np.array([[west, south, 0], [east, south, 0], [east, north, 0], [west, north, 0]], dtype=np.float32)
    return corners, np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)


def triangulate(ring_m: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return triangles that fill a simple polygon, ``[n - 2, 3]`` corner numbers, by cutting off ears.

    A ring that crosses itself gives the triangles found until no ear is left.
    """
    left = list(range(len(ring_m)))
    x, y = ring_m.T
    if np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) < 0:  # clockwise; ears are sought counter-clockwise
        left.reverse()
    found: list[tuple[int, int, int]] = []
    while len(left) >= 3:
        for at in range(len(left)):
            ear = (left[at - 1], left[at], left[(at + 1) % len(left)])
            if _is_ear(ring_m, ear, left):
                found.append(ear)
                del left[at]
                break
        else:
            break
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def _is_ear(ring_m: NDArray[np.float64], ear: tuple[int, int, int], left: list[int]) -> bool:
    a, b, c = (ring_m[corner] for corner in ear)
    if _turn(a, b, c) <= 0.0:
        return len(left) == 3  # what is left of a polygon with corners in a row
    others = ring_m[[corner for corner in left if corner not in ear]]
    if not len(others):
        return True
    inside = (_turn(a, b, others) >= 0.0) & (_turn(b, c, others) >= 0.0) & (_turn(c, a, others) >= 0.0)
    # A corner met twice (a bridge to a courtyard) does not lie in the way.
    same = (others == a).all(axis=1) | (others == b).all(axis=1) | (others == c).all(axis=1)
    return not bool((inside & ~same).any())


def _turn(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
    return (b[0] - a[0]) * (c[..., 1] - a[1]) - (b[1] - a[1]) * (c[..., 0] - a[0])


def covers(building: Building, east_m: NDArray[Any], north_m: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which places lie in a footprint, by counting the walls that a way to the east crosses."""
    ring = np.asarray(building.footprint_m, dtype=np.float64)
    inside = np.zeros(np.shape(east_m), dtype=bool)
    for (x, y), (x_next, y_next) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if y != y_next:
            crosses = (y > north_m) != (y_next > north_m)
            inside ^= crosses & (east_m < (x_next - x) * (north_m - y) / (y_next - y) + x)
    return inside


def write_ply(path: Path, mesh: Mesh) -> None:
    """Write a mesh as binary PLY."""
    corners, triangles = mesh
    head = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(corners)}\nproperty float x\nproperty float y\n"
        f"property float z\nelement face {len(triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    faces = np.empty(len(triangles), dtype=[("count", "u1"), ("corner", "<i4", 3)])
    faces["count"], faces["corner"] = 3, triangles
    path.write_bytes(head.encode() + corners.astype("<f4").tobytes() + faces.tobytes())
