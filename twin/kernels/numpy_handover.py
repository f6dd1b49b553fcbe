"""One tick of measurement, event A3 and radio link monitoring of all UEs, in plain numpy.

The reference of :mod:`twin.kernels.numba_handover`: the same arguments, the same operations in float32 in the same
order, the same bits. :class:`twin.handover.Mobility` owns the arrays and acts on what is found here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEARD_FROM_DBM = np.float32(-156.0)
"""Lowest reportable SS-RSRP (TS 38.133 table 10.1.6.1-1): a cell at or under it is not measured."""
SETTLED_DB = np.float32(0.005)
"""A filter this near to its input has arrived."""
REPORT_INTERVAL_S = np.float32(0.48)
"""A report that led to no handover is repeated after this time (reportInterval ms480 of TS 38.331)."""
_TICK = np.float32(1e-3)
"""Timers of float32 are compared with this much patience."""


def handover(
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
    """Return how many UEs report a neighbour, how many links fail, and how many UEs have no cell.

    ``U`` UEs, ``C`` cells, ``K`` neighbours of each. Per neighbour: L3 filter of TS 38.331 5.5.3.2, then entry and
    leaving of event A3 (5.5.4.4) for time to trigger. A neighbour that entered stays in the list until it leaves; a
    new one makes a report at once, old ones every :data:`REPORT_INTERVAL_S`; none is sent while T310 runs, as no grant
    for it is heard. Per UE: out-of-sync timer.

    Args:
        rsrp_dbm: ``[U or more, C] float32`` measured now.
        sinr_db: ``[U or more] float32`` of the serving cell.
        serving: ``[U] int64`` cell column, -1 = none.
        neighbour: ``[C, K] int32`` columns, -1 behind the last.
        enter_db: ``[C, K] float32`` by how much a neighbour must be better to enter, inf = never a target.
        leave_db: ``[C, K] float32`` under which lead it leaves.
        time_to_trigger_s: ``[C] float32`` of the serving cell.
        floor_dbm: ``[C] float32`` least RSRP of a target.
        busy: ``[U] bool`` UEs whose measurements are not at rest; read and written.
        filtered_dbm: ``[U, 1 + K] float32`` serving cell and neighbours, NaN in front = begin anew; written.
        waited_s: ``[U, K] float32`` for how long a condition has been met, -1 = it is not; written.
        triggered: ``[U, K] bool`` neighbours that have entered; written.
        silent_s: ``[U] float32`` until a report is repeated; written.
        out_of_sync_s: ``[U] float32`` since the first out-of-sync indication; written.
        since_s: ``[U] float32`` since the last handover; written.
        report: ``[U] int32`` slot of the neighbour reported now, -1 = no report; written.
        failed: ``[U] bool`` links that fail now; written.
        dt_s: Length of the tick.
        weight: Weight of the newest measurement.
        q_out_db: SINR under which a link is out of sync.
        q_in_db: SINR over which T310 is stopped.
        out_after_s: Out-of-sync time that starts T310.
        failed_after_s: Out-of-sync time, T310 included, after which the link has failed.
    """
    dt, ues = np.float32(dt_s), len(serving)
    since_s += dt
    report[:] = -1
    attached = serving >= 0
    running = out_of_sync_s >= np.float32(out_after_s) - _TICK
    poor = attached & (sinr_db[:ues] < np.where(running, np.float32(q_in_db), np.float32(q_out_db)))
    out_of_sync_s[:] = np.where(poor, out_of_sync_s + dt, np.float32(0.0))
    failed[:] = out_of_sync_s >= np.float32(failed_after_s) - _TICK
    rows = np.flatnonzero(busy & attached)
    if len(rows):
        heard = out_of_sync_s[rows] < np.float32(out_after_s) - _TICK
        _measure(
            rsrp_dbm, serving, rows, neighbour, enter_db, leave_db, time_to_trigger_s, floor_dbm, busy, filtered_dbm,
            waited_s, triggered, silent_s, report, heard, dt, np.float32(weight),
        )  # fmt: skip
    return int((report >= 0).sum()), int(failed.sum()), ues - int(attached.sum())


def _measure(
    rsrp_dbm: NDArray[np.float32],
    serving: NDArray[np.int64],
    rows: NDArray[np.int64],
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
    report: NDArray[np.int32],
    heard: NDArray[np.bool_],
    dt: np.float32,
    weight: np.float32,
) -> None:
    cell = serving[rows]
    near = neighbour[cell]  # [n, K]
    level = np.empty((len(rows), 1 + near.shape[1]), dtype=np.float32)
    level[:, 0] = rsrp_dbm[rows, cell]
    level[:, 1:] = np.where(near >= 0, rsrp_dbm[rows[:, None], near], HEARD_FROM_DBM)
    level = np.maximum(level, HEARD_FROM_DBM)
    old = filtered_dbm[rows]
    anew = np.isnan(old[:, :1]) | (old <= HEARD_FROM_DBM) | (level <= HEARD_FROM_DBM)
    now = np.where(anew, level, old + weight * (level - old))
    now = np.where(np.abs(level - now) <= SETTLED_DB, level, now)
    filtered_dbm[rows] = now
    lead = now[:, 1:] - now[:, :1]
    entered, waited = triggered[rows], waited_s[rows]
    met = np.where(entered, lead < leave_db[cell], (lead > enter_db[cell]) & (now[:, 1:] >= floor_dbm[near]))
    waited = np.where(met, np.where(waited < 0, np.float32(0.0), waited + dt), np.float32(-1.0))
    change = met & (waited >= time_to_trigger_s[cell][:, None] - _TICK)
    entered = entered ^ change
    waited[change] = -1.0
    waited_s[rows], triggered[rows] = waited, entered
    silent = np.maximum(silent_s[rows] - dt, np.float32(0.0))
    due = heard & ((change & entered).any(axis=1) | (entered.any(axis=1) & (silent < _TICK)))
    best = np.where(entered, lead - enter_db[cell], np.float32(-np.inf)).argmax(axis=1)
    report[rows[due]] = best[due]
    silent_s[rows] = np.where(due, REPORT_INTERVAL_S, silent)
    busy[rows] = (level != now).any(axis=1) | (waited >= 0).any(axis=1) | entered.any(axis=1)
