"""Handover of connected UEs: event A3 of TS 38.331 with hysteresis, offset and time to trigger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HYSTERESIS_DB = 2.0
OFFSET_DB = 3.0
TIME_TO_TRIGGER_S = 0.64
"""TS 38.331: hysteresis 0..15 dB, a3-Offset -15..15 dB, time to trigger one of a set that holds 640 ms."""
MIN_RSRP_DBM = -125.0
"""Below this a UE finds no cell (qRxLevMin of TS 38.304)."""


def strongest(rsrp_dbm: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the column of the strongest cell of each row, -1 where none is strong enough."""
    if not rsrp_dbm.shape[1]:
        return np.full(len(rsrp_dbm), -1, dtype=np.int64)
    best = rsrp_dbm.argmax(axis=1)
    return np.where(rsrp_dbm[np.arange(len(best)), best] >= MIN_RSRP_DBM, best, -1)


class Mobility:
    """Which cell serves each UE, and for how long a better one has been seen.

    Attributes:
        serving: ``[num_ues] int64`` cell column, -1 = none.
        candidate: ``[num_ues] int64`` neighbour that meets the entry condition, -1 = none.
        waited_s: ``[num_ues] float32`` since when it has met it.
    """

    def __init__(self, rsrp_dbm: NDArray[np.float32]) -> None:
        self.serving = strongest(rsrp_dbm)
        self.candidate = np.full(len(self.serving), -1, dtype=np.int64)
        self.waited_s = np.zeros(len(self.serving), dtype=np.float32)

    def step(self, rsrp_dbm: NDArray[np.float32], dt_s: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Advance by one tick.

        Returns:
            UEs handed over now, and the cells that they left (same order). A UE whose cell vanished re-establishes
            on the strongest one without counting as a handover.
        """
        rows = np.arange(len(self.serving))
        best = rsrp_dbm.argmax(axis=1) if rsrp_dbm.shape[1] else self.serving
        best_dbm = rsrp_dbm[rows, best]
        own_dbm = np.where(self.serving >= 0, rsrp_dbm[rows, np.maximum(self.serving, 0)], -np.inf)
        lost = own_dbm < MIN_RSRP_DBM
        self.serving[lost] = np.where(best_dbm[lost] >= MIN_RSRP_DBM, best[lost], -1)
        entered = ~lost & (best != self.serving) & (best_dbm - HYSTERESIS_DB > own_dbm + OFFSET_DB)
        same = entered & (best == self.candidate)
        self.waited_s = np.where(same, self.waited_s + np.float32(dt_s), np.float32(0.0))
        self.candidate = np.where(entered, best, -1)
        go = np.flatnonzero(entered & (self.waited_s >= TIME_TO_TRIGGER_S - 1e-6))
        left = self.serving[go].copy()
        self.serving[go] = best[go]
        self.candidate[go] = -1
        self.waited_s[go] = 0.0
        return go, left
