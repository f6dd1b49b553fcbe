"""What a scene has told so far, as one batch: for those who missed some of the changes.

A scene may send only what changed. Who was slow, asked for a lower rate or came late then needs the whole picture,
or an entity that moved once would stay where it was for ever.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.telemetry import TelemetryBatch


def conflated(older: TelemetryBatch, newer: TelemetryBatch) -> TelemetryBatch:
    """Return what both tell together, of one moment and marked as a keyframe; `newer` wins.

    Both are of the same scene and have the same columns. Returns `newer` itself when nothing of `older` remains: it
    is a keyframe, names the very same entities, or belongs to another run of time or revision.
    """
    other_run = (newer.epoch, newer.revision) != (older.epoch, older.revision)
    if newer.keyframe or other_run or not older.entity_index.size:
        return newer
    same = np.array_equal(older.entity_index, newer.entity_index)
    if same and (newer.position_m is not None or older.position_m is None):
        return newer
    if same:
        return replace(newer, position_m=older.position_m, keyframe=True)
    row_of = np.full(int(max(older.entity_index.max(), newer.entity_index.max(initial=0))) + 1, -1, np.int64)
    row_of[older.entity_index] = np.arange(older.entity_index.size)
    unknown = np.unique(newer.entity_index[row_of[newer.entity_index] < 0])
    index = np.concatenate((older.entity_index, unknown))
    row_of[unknown] = np.arange(older.entity_index.size, index.size)
    rows = row_of[newer.entity_index]
    return replace(
        newer,
        entity_index=index,
        position_m=_joined(older.position_m, newer.position_m, rows, index.size),
        values=_over(older.values, newer.values, rows, index.size),
        keyframe=True,
    )


def _joined(
    older: NDArray[np.float32] | None, newer: NDArray[np.float32] | None, rows: NDArray[np.int64], size: int
) -> NDArray[np.float32] | None:
    if older is None and newer is None:
        return None
    nothing = np.zeros((0, 3), np.float32)
    if newer is None:
        return _over(nothing if older is None else older, nothing, rows[:0], size)
    return _over(nothing if older is None else older, newer, rows, size)


def _over(
    older: NDArray[np.float32], newer: NDArray[np.float32], rows: NDArray[np.int64], size: int
) -> NDArray[np.float32]:
    """Return `older` with the given rows replaced, NaN where neither says anything."""
    both = np.full((size, older.shape[1]), np.nan, np.float32)
    both[: len(older)] = older
    both[rows] = newer
    return both
