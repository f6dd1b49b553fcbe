"""One tick of measurement, event A3 and radio link monitoring of all UEs, compiled.

See :mod:`twin.kernels.numpy_handover` for what it does and what its arguments are; the result is the same, bit for
bit. Only UEs whose measurements are not at rest are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from twin.kernels.numpy_handover import HEARD_FROM_DBM, REPORT_INTERVAL_S, SETTLED_DB

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TICK = np.float32(1e-3)


@njit(cache=True, nogil=True)
def handover(  # noqa: D103  # its reference has the words
    rsrp_dbm: NDArray[np.float32],
    sinr_db: NDArray[np.float32],
    serving: NDArray[np.int64],
    neighbour: NDArray[np.int32],
    enter_db: NDArray[np.float32],
    leave_db: NDArray[np.float32],
    time_to_trigger_s: NDArray[np.float32],
    floor_dbm: NDArray[np.float32],
    busy: NDArray[np.bool_],
    filtered_dbm: NDArray[np.float32],
    waited_s: NDArray[np.float32],
    triggered: NDArray[np.bool_],
    silent_s: NDArray[np.float32],
    out_of_sync_s: NDArray[np.float32],
    since_s: NDArray[np.float32],
    report: NDArray[np.int32],
    failed: NDArray[np.bool_],
    dt_s: float,
    weight: float,
    q_out_db: float,
    q_in_db: float,
    out_after_s: float,
    failed_after_s: float,
) -> tuple[int, int, int]:
    dt, share = np.float32(dt_s), np.float32(weight)
    q_out, q_in = np.float32(q_out_db), np.float32(q_in_db)
    runs_from, fails_from = np.float32(out_after_s) - _TICK, np.float32(failed_after_s) - _TICK
    zero = np.float32(0.0)
    reports = failures = lost = 0
    for ue in range(len(serving)):
        since_s[ue] += dt
        report[ue] = -1
        failed[ue] = False
        cell = serving[ue]
        if cell < 0:
            lost += 1
            out_of_sync_s[ue] = zero
            continue
        limit = q_in if out_of_sync_s[ue] >= runs_from else q_out
        if sinr_db[ue] < limit:
            out_of_sync_s[ue] += dt
            if out_of_sync_s[ue] >= fails_from:
                failed[ue] = True
                failures += 1
        else:
            out_of_sync_s[ue] = zero
        if not busy[ue]:
            continue
        begin = np.isnan(filtered_dbm[ue, 0])
        own, moving = _filtered(filtered_dbm[ue, 0], rsrp_dbm[ue, cell], share, begin)
        filtered_dbm[ue, 0] = own
        patience = time_to_trigger_s[cell] - _TICK
        fresh = listed = waiting = False
        best, best_lead = np.int32(-1), np.float32(-np.inf)
        for slot in range(neighbour.shape[1]):
            other = neighbour[cell, slot]
            level = rsrp_dbm[ue, other] if other >= 0 else HEARD_FROM_DBM
            now, rests = _filtered(filtered_dbm[ue, 1 + slot], level, share, begin)
            moving |= rests
            filtered_dbm[ue, 1 + slot] = now
            lead = now - own
            entered = triggered[ue, slot]
            met = lead < leave_db[cell, slot] if entered else lead > enter_db[cell, slot] and now >= floor_dbm[other]
            waited = np.float32(-1.0)
            if met:
                waited = zero if waited_s[ue, slot] < zero else waited_s[ue, slot] + dt
                if waited >= patience:
                    entered = not entered
                    fresh |= entered
                    triggered[ue, slot] = entered
                    waited = np.float32(-1.0)
                else:
                    waiting = True
            waited_s[ue, slot] = waited
            if entered:
                listed = True
                if best < 0 or lead - enter_db[cell, slot] > best_lead:
                    best, best_lead = np.int32(slot), lead - enter_db[cell, slot]
        silent = max(silent_s[ue] - dt, zero)
        if out_of_sync_s[ue] < runs_from and (fresh or (listed and silent < _TICK)):
            report[ue] = best
            reports += 1
            silent = REPORT_INTERVAL_S
        silent_s[ue] = silent
        busy[ue] = moving or waiting or listed
    return reports, failures, lost


@njit(cache=True, nogil=True, inline="always")
def _filtered(old: np.float32, level: np.float32, share: np.float32, begin: np.bool_) -> tuple[np.float32, bool]:
    """Return the filtered level, and whether it still moves."""
    level = max(level, HEARD_FROM_DBM)
    now = level
    if not (begin or old <= HEARD_FROM_DBM or level <= HEARD_FROM_DBM):
        now = old + share * (level - old)
        if abs(level - now) <= SETTLED_DB:
            now = level
    return now, now != level


def warm() -> None:
    """Compile for the arrays that the network has."""
    ues, cells, slots = 2, 2, 1
    single = np.zeros(ues, dtype=np.float32)
    handover(
        np.full((ues, cells), -90.0, dtype=np.float32), single.copy(), np.zeros(ues, dtype=np.int64),
        np.array([[1], [0]], dtype=np.int32), np.full((cells, slots), 5.0, dtype=np.float32),
        np.ones((cells, slots), dtype=np.float32), np.zeros(cells, dtype=np.float32),
        np.full(cells, -125.0, dtype=np.float32), np.ones(ues, dtype=bool),
        np.full((ues, 1 + slots), np.nan, dtype=np.float32), np.full((ues, slots), -1.0, dtype=np.float32),
        np.zeros((ues, slots), dtype=bool), single.copy(), single.copy(), single.copy(),
        np.full(ues, -1, dtype=np.int32), np.zeros(ues, dtype=bool), 0.1, 0.3, -8.0, -6.0, 0.2, 1.2,
    )  # fmt: skip
