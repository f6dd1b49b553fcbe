"""Figures as 16-bit integers: half the bytes, an error of at most half a step of the column (rule F6).

A column is written as ``figure = offset + scale * integer``. The offset is the middle of what the column holds in
this very batch and the scale its reach, so every batch fits its own figures; -32768 stands for a missing one.
Knows arrays only; which field of which message they go into stands in :mod:`bridge.mapping`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from twin.errors import ProtocolError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MISSING = -32768
"""The integer of a figure that was not measured."""

_REACH = 32767
_LARGEST = float(np.finfo(np.float32).max)


class Quantised(NamedTuple):
    """Columns as integers.

    Attributes:
        integers: ``[n, k] int16``.
        offset: ``[k] float32``, in the unit of the column.
        scale: ``[k] float32``, the same; 0 for a column of equal figures.
    """

    integers: NDArray[np.int16]
    offset: NDArray[np.float32]
    scale: NDArray[np.float32]


def quantise(figures: NDArray[np.float32]) -> Quantised:
    """Return the columns of ``[n, k] float32`` as integers; whatever is not finite counts as missing."""
    rows, columns = figures.shape
    done = Quantised(
        np.full((rows, columns), MISSING, np.int16), np.zeros(columns, np.float32), np.zeros(columns, np.float32)
    )
    if rows:
        for at in range(columns):  # few and long: one at a time stays in the cache
            done.offset[at], done.scale[at] = _quantise_column(figures[:, at].astype(np.float64), done.integers[:, at])
    return done


def _quantise_column(column: NDArray[np.float64], into: NDArray[np.int16]) -> tuple[np.float32, np.float32]:
    """Write a column as integers and return its offset and scale; `column` is spoilt."""
    low, high = float(column.min()), float(column.max())
    missing = None
    if not math.isfinite(high - low):
        present = np.isfinite(column)
        if not present.any():
            return np.float32(0), np.float32(0)
        measured = column[present]
        low, high = float(measured.min()), float(measured.max())
        missing = ~present
    offset = np.float32((low + high) / 2)
    # The offset had to be rounded; the scale is measured from where it really lies and rounded up, so that both
    # ends stay within reach.
    reach = max(high - float(offset), float(offset) - low)
    scale = np.float32(reach / _REACH)
    if float(scale) * _REACH < reach:
        scale = np.nextafter(scale, np.float32(np.inf))
    column -= float(offset)
    if scale > 0:
        column /= float(scale)
    if missing is not None:
        np.copyto(column, MISSING, where=missing)
    into[:] = np.rint(column, out=column)
    return offset, scale


def restore(quantised: Quantised, *, field: str) -> NDArray[np.float32]:
    """Return the figures ``[n, k] float32``, NaN where one is missing.

    Raises:
        ProtocolError: An offset or scale is not finite.
    """
    integers, offset, scale = quantised
    if not (np.isfinite(offset).all() and np.isfinite(scale).all()):
        raise ProtocolError(f"an offset or scale of `{field}` is not finite; leave a missing figure to `{MISSING}`")
    figures = np.empty(integers.shape, np.float32)
    for at in range(integers.shape[1]):
        step, middle = float(scale[at]), float(offset[at])
        column = integers[:, at].astype(np.float64)
        column *= step
        column += middle
        if abs(middle) + abs(step * MISSING) > _LARGEST:
            np.clip(column, -_LARGEST, _LARGEST, out=column)
        figures[:, at] = column
    missing = integers == MISSING
    if missing.any():
        figures[missing] = np.nan
    return figures


def to_bytes(integers: NDArray[np.int16]) -> bytes:
    """Return integers row by row, little-endian."""
    return integers.astype("<i2", order="C", copy=False).tobytes()


def from_bytes(raw: bytes, *, rows: int, columns: int, field: str) -> NDArray[np.int16]:
    """Return ``[rows, columns] int16`` (read-only view).

    Raises:
        ProtocolError: Another number of bytes.
    """
    if len(raw) != 2 * rows * columns:
        raise ProtocolError(
            f"`{field}` holds `{len(raw)}` bytes for `{rows}` entities of `{columns}` columns each; send two bytes per"
            " figure, one row per entity"
        )
    return np.frombuffer(raw, dtype="<i2").astype(np.int16, copy=False).reshape(rows, columns)
