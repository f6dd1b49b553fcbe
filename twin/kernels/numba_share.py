"""Sharing a cell among its users, compiled: the same as :mod:`twin.kernels.numpy_share`, whose docstrings hold here.

Sums run in another order and logarithms differ in the last bit, so figures agree to a few 1e-6 of their size; a CQI
may differ where the SINR lies on a threshold. Loops over moments and users on one thread; `fastmath` stays off, for
infinities mean something here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from twin.kernels.numpy_share import ROUNDING
from twin.radio.link import BINS_PER_DB, CQI_THRESHOLD_DB, TABLE, TABLE_FROM_DB
from twin.scheduler import (
    ACCESS_MS,
    BUFFER_BURSTS,
    CELL_SUMS,
    DAMPING,
    HARQ_ATTEMPTS,
    HARQ_ROUND_TRIP_MS,
    KNEE,
    MAX_DELAY_MS,
    SLICE_SUMS,
    SLOT_MS,
    WEAK_RSRP_DBM,
)
from twin.setup_failures import ATTEMPTS_PER_CONNECTION_S, COVERAGE_EDGE_DBM, COVERAGE_WIDTH_DB

if TYPE_CHECKING:
    from numpy.typing import NDArray

_F32 = np.float32
_FROM_DB, _PER_DB = _F32(TABLE_FROM_DB), _F32(BINS_PER_DB)
_HARQ = np.array(HARQ_ATTEMPTS)
_REPETITIONS_MS = sum(chance * attempt for attempt, chance in enumerate(HARQ_ATTEMPTS)) * HARQ_ROUND_TRIP_MS
_TEN_LOG = _F32(10.0 / math.log(10.0))
_ROUNDS = 200
_PLACES = int(BUFFER_BURSTS)
_EDGE_DBM, _WIDTH_DB = _F32(COVERAGE_EDGE_DBM), _F32(COVERAGE_WIDTH_DB)
_C = {name: place for place, name in enumerate(CELL_SUMS)}
_SHARE, _BITS, _CONNECTED, _ACTIVE = _C["share"], _C["bits"], _C["connected"], _C["active"]
_RSRP, _SINR, _CQI, _RSRQ, _WEAK = _C["rsrp"], _C["sinr"], _C["cqi"], _C["rsrq"], _C["weak"]
_BIT_DELAY, _ATTEMPTS, _NO_SIGNAL = _C["bit_delay"], _C["attempts"], _C["no_signal"]
_AIR_DELAY = _C["bit_air_delay"]
_OFFERED, _DROPPED, _BUDGETED, _LATE = (_C[f"{name}_bits"] for name in ("offered", "dropped", "budgeted", "late"))
_S = {name: place for place, name in enumerate(SLICE_SUMS)}
_S_SHARE, _S_BITS, _S_CONNECTED, _S_ACTIVE = _S["share"], _S["bits"], _S["connected"], _S["active"]
_S_BIT_DELAY, _S_AIR_DELAY = _S["bit_delay"], _S["bit_air_delay"]
_S_OFFERED, _S_DROPPED, _S_BUDGETED, _S_LATE = (
    _S[f"{name}_bits"] for name in ("offered", "dropped", "budgeted", "late")
)


@njit(cache=True, nogil=True)
def _efficiency(sinr_db: np.float32, table: NDArray[np.float32]) -> np.float32:
    place = (sinr_db - _FROM_DB) * _PER_DB
    place = min(max(place, _F32(0.0)), _F32(table.size - 1.001))
    low = int(place)
    return table[low] + (place - _F32(low)) * (table[low + 1] - table[low])


@njit(cache=True, nogil=True)
def _elastic(wanted: float) -> float:
    if wanted <= KNEE:
        return wanted
    return 1.0 - (1.0 - KNEE) * math.exp(-(wanted - KNEE) / (1.0 - KNEE))


@njit(cache=True, nogil=True)
def _sinr(
    t: int,
    n: int,
    activity: NDArray[np.float32],
    total_mw: NDArray[np.float32],
    cells: NDArray[np.int64],
    power_mw: NDArray[np.float32],
    external_mw: NDArray[np.float32],
    noise_mw: NDArray[np.float32],
) -> tuple[np.float32, np.float32]:
    """Return SINR in dB and RSSI in mW of a user that a cell serves."""
    signal, own = _F32(0.0), _F32(0.0)
    for j in range(cells.shape[2]):
        c = cells[t, n, j]
        if c >= 0:
            signal += power_mw[t, n, j]
            own += power_mw[t, n, j] * activity[c]
    floor = noise_mw[cells[t, n, 0]]
    if external_mw.size:
        floor += external_mw[t, n]
    disturbance = max(total_mw[t, n] - own, _F32(0.0)) + floor
    ratio = signal / disturbance
    sinr_db = _F32(-np.inf)
    if ratio > _F32(0.0):
        sinr_db = _TEN_LOG * np.log(ratio)
    # Where RSSI is measured, in the symbols and blocks of its SSB, the serving cell radiates in full.
    silent = power_mw[t, n, 0] * (_F32(1.0) - activity[cells[t, n, 0]])
    return sinr_db, total_mw[t, n] + floor + silent


@njit(cache=True, nogil=True)
def _patience(
    rigid: NDArray[np.float64], elastic: NDArray[np.float64], reach: NDArray[np.float64], patience: NDArray[np.float64]
) -> None:
    """Fill the factor on adaptive demand, ``[C, S]``."""
    for c in range(reach.shape[0]):
        whole = 0.0
        for s in range(reach.shape[1]):
            whole += rigid[c, s] + elastic[c, s]
        of_cell = min(_elastic(whole) / max(whole, 1e-12), 1.0)
        for s in range(reach.shape[1]):
            pool = (rigid[c, s] + elastic[c, s]) / max(reach[c, s], 1e-9)
            patience[c, s] = min(of_cell, _elastic(pool) / max(pool, 1e-12))


@njit(cache=True, nogil=True)
def settle(  # noqa: D103  # its reference has the words
    load: NDArray[np.float32],
    total_mw: NDArray[np.float32],
    cells: NDArray[np.int64],
    power_mw: NDArray[np.float32],
    external_mw: NDArray[np.float32],
    demand_bps: NDArray[np.float32],
    slice_of: NDArray[np.int64],
    most_need: NDArray[np.float32],
    adaptive: NDArray[np.bool_],
    rate_hz: NDArray[np.float32],
    noise_mw: NDArray[np.float32],
    idle: NDArray[np.float32],
    reach: NDArray[np.float64],
    table: NDArray[np.float32],
) -> NDArray[np.float32]:
    moments, users, together = cells.shape
    num_cells, num_slices = reach.shape
    goal = np.empty_like(load)
    activity = np.empty(num_cells, dtype=np.float32)
    rigid, elastic = np.empty((num_cells, num_slices)), np.empty((num_cells, num_slices))
    patience = np.empty((num_cells, num_slices))
    for t in range(moments):
        for c in range(num_cells):
            activity[c] = idle[c] + (_F32(1.0) - idle[c]) * load[t, c]
        rigid[:] = 0.0
        elastic[:] = 0.0
        for n in range(users):
            serving = cells[t, n, 0]
            if serving < 0 or demand_bps[t, n] <= _F32(0.0):
                continue
            sinr_db, _ = _sinr(t, n, activity, total_mw, cells, power_mw, external_mw, noise_mw)
            rate = _efficiency(sinr_db, table) * rate_hz[serving]
            if rate <= _F32(0.0):
                continue
            need = min(demand_bps[t, n] / max(rate, _F32(1.0)), most_need[n])
            for j in range(together):
                c = cells[t, n, j]
                if c >= 0:
                    if adaptive[n]:
                        elastic[c, slice_of[n]] += need
                    else:
                        rigid[c, slice_of[n]] += need
        _patience(rigid, elastic, reach, patience)
        for c in range(num_cells):
            wanted = 0.0
            for s in range(num_slices):
                wanted += min(rigid[c, s] + elastic[c, s] * patience[c, s], reach[c, s])
            goal[t, c] = load[t, c] + _F32(DAMPING) * (_F32(min(wanted, 1.0)) - load[t, c])
    return goal


@njit(cache=True, nogil=True)
def share(  # noqa: D103  # its reference has the words
    load: NDArray[np.float32],
    total_mw: NDArray[np.float32],
    cells: NDArray[np.int64],
    power_mw: NDArray[np.float32],
    external_mw: NDArray[np.float32],
    demand_bps: NDArray[np.float32],
    slice_of: NDArray[np.int64],
    most_need: NDArray[np.float32],
    adaptive: NDArray[np.bool_],
    rate_hz: NDArray[np.float32],
    noise_mw: NDArray[np.float32],
    idle: NDArray[np.float32],
    reach: NDArray[np.float64],
    table: NDArray[np.float32],
    dedicated: NDArray[np.float64],
    least: NDArray[np.float64],
    most: NDArray[np.float64],
) -> tuple[Any, ...]:
    moments, users, together = cells.shape
    num_cells, num_slices = reach.shape
    sinr_db = np.empty((moments, users), dtype=np.float32)
    rsrq_db = np.empty((moments, users), dtype=np.float32)
    rates = np.zeros((moments, users), dtype=np.float32)
    need = np.zeros((moments, users), dtype=np.float32)
    throughput = np.zeros((moments, users), dtype=np.float32)
    part, own = np.zeros((moments, num_cells, num_slices)), np.empty((num_cells, num_slices))
    newcomer = np.empty(num_cells)
    carried = np.zeros((moments, num_cells))
    activity = np.empty(num_cells, dtype=np.float32)
    rigid, elastic = np.empty((num_cells, num_slices)), np.empty((num_cells, num_slices))
    patience = np.empty((num_cells, num_slices))
    for t in range(moments):
        for c in range(num_cells):
            activity[c] = idle[c] + (_F32(1.0) - idle[c]) * load[t, c]
        rigid[:] = 0.0
        elastic[:] = 0.0
        for n in range(users):
            serving = cells[t, n, 0]
            if serving < 0:
                sinr_db[t, n] = -np.inf
                rsrq_db[t, n] = -np.inf
                continue
            sinr_db[t, n], rssi_mw = _sinr(t, n, activity, total_mw, cells, power_mw, external_mw, noise_mw)
            rsrq_db[t, n] = _TEN_LOG * np.log(max(power_mw[t, n, 0], _F32(1e-25)) / (_F32(12.0) * rssi_mw))
            rates[t, n] = _efficiency(sinr_db[t, n], table) * rate_hz[serving]
            if rates[t, n] > _F32(0.0) and demand_bps[t, n] > _F32(0.0):
                wish = min(demand_bps[t, n] / max(rates[t, n], _F32(1.0)), most_need[n])
                need[t, n] = wish
                for j in range(together):
                    c = cells[t, n, j]
                    if c >= 0:
                        if adaptive[n]:
                            elastic[c, slice_of[n]] += wish
                        else:
                            rigid[c, slice_of[n]] += wish
        _patience(rigid, elastic, reach, patience)
        for n in range(users):
            if adaptive[n] and need[t, n] > _F32(0.0):
                need[t, n] *= _F32(patience[cells[t, n, 0], slice_of[n]])
    given, level, granted = divide(need, cells, slice_of, dedicated, least, most)
    for t in range(moments):
        _newcomer(given[t], cells[t], newcomer)
        for c in range(num_cells):
            taken, lent = 0.0, 0.0
            for s in range(num_slices):
                taken += max(granted[t, c, s], dedicated[c, s])
                lent += max(granted[t, c, s] - least[c, s], 0.0)
            for s in range(num_slices):
                others = taken - max(granted[t, c, s], dedicated[c, s])
                room = min(most[c, s], 1.0 - others) - granted[t, c, s]
                room = room if room > ROUNDING else 0.0
                own[c, s] = 0.0
                if level[t, c, s] < np.inf:
                    part[t, c, s] = max(room, level[t, c, s])
                else:
                    own[c, s] = max(room, least[c, s] - granted[t, c, s])
                    more = room + lent - max(granted[t, c, s] - least[c, s], 0.0)
                    more = min(newcomer[c], more, max(most[c, s] - granted[t, c, s], 0.0))
                    part[t, c, s] = max(own[c, s], more)
        for n in range(users):
            serving = cells[t, n, 0]
            if serving < 0:
                continue
            fair, s = 1.0, slice_of[n]
            for j in range(together):
                c = cells[t, n, j]
                if c >= 0:
                    if level[t, c, s] < np.inf:
                        fair = min(fair, part[t, c, s])
                    else:
                        fair = min(fair, max(part[t, c, s], own[c, s] + given[t, n]))
            throughput[t, n] = rates[t, n] * _F32(max(fair, 0.0))
            carried[t, serving] += given[t, n] * rates[t, n]
            need[t, n] *= rates[t, n]
    return sinr_db, rsrq_db, need, given, throughput, granted, part, carried


@njit(cache=True, nogil=True)
def _newcomer(given: NDArray[np.float32], cells: NDArray[np.int64], level: NDArray[np.float64]) -> None:
    """Fill the level of each cell if one user more came who always has data."""
    users, together = cells.shape
    taken, left = np.zeros(level.size), np.empty(level.size)
    for n in range(users):
        for j in range(together):
            if cells[n, j] >= 0:
                taken[cells[n, j]] += given[n]
    for c in range(level.size):
        level[c] = max(1.0 - taken[c], 0.0)
    for _ in range(_ROUNDS):
        taken[:] = 0.0
        left[:] = 1.0
        for n in range(users):
            for j in range(together):
                c = cells[n, j]
                if c >= 0:
                    if given[n] > level[c]:
                        left[c] += 1.0
                    else:
                        taken[c] += given[n]
        risen = False
        for c in range(level.size):
            raised = (1.0 - taken[c]) / left[c]
            if raised > level[c] * (1.0 + ROUNDING):
                level[c], risen = raised, True
        if not risen:
            return


@njit(cache=True, nogil=True)
def divide(  # noqa: D103  # its reference has the words
    need: NDArray[np.float32],
    cells: NDArray[np.int64],
    slice_of: NDArray[np.int64],
    dedicated: NDArray[np.float64],
    least: NDArray[np.float64],
    most: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    moments, users, together = cells.shape
    num_cells, num_slices = most.shape
    given = need.copy()
    level = np.empty((moments, num_cells, num_slices))
    granted = np.zeros((moments, num_cells, num_slices))
    first = np.empty(num_cells * num_slices + 1, dtype=np.int64)
    asked, found = np.empty(users * together), np.empty((num_cells, num_slices))
    level[:] = np.inf
    for t in range(moments):
        for last in range(together == 1, 2):
            if not _levels(given[t], cells[t], slice_of, dedicated, least, most, found, first, asked):
                break
            for n in range(users):
                alone = True
                for j in range(1, together):
                    alone &= cells[t, n, j] < 0
                if alone and not last:
                    continue
                for j in range(together):
                    c = cells[t, n, j]
                    if c >= 0 and found[c, slice_of[n]] < given[t, n]:
                        given[t, n] = _F32(found[c, slice_of[n]])
            for c in range(num_cells):
                for s in range(num_slices):
                    if found[c, s] < np.inf:
                        level[t, c, s] = found[c, s]
        for n in range(users):
            if cells[t, n, 0] < 0:
                given[t, n] = _F32(0.0)
                continue
            for j in range(together):
                c = cells[t, n, j]
                if c >= 0:
                    granted[t, c, slice_of[n]] += given[t, n]
    return given, level, granted


@njit(cache=True, nogil=True)
def _levels(
    need: NDArray[np.float32],
    cells: NDArray[np.int64],
    slice_of: NDArray[np.int64],
    dedicated: NDArray[np.float64],
    least: NDArray[np.float64],
    most: NDArray[np.float64],
    level: NDArray[np.float64],
    first: NDArray[np.int64],
    asked: NDArray[np.float64],
) -> bool:
    """Fill the level of each pool of one moment; return whether any user goes short."""
    users, together = cells.shape
    num_cells, num_slices = most.shape
    wanted = np.zeros((num_cells, num_slices))
    for n in range(users):
        for j in range(together):
            c = cells[n, j]
            if c >= 0:
                wanted[c, slice_of[n]] += need[n]
    level[:] = np.inf
    concerned = np.zeros(num_cells, dtype=np.bool_)
    full = np.zeros(num_cells, dtype=np.bool_)
    anywhere = False
    for c in range(num_cells):
        total, capped = 0.0, False
        for s in range(num_slices):
            low = max(dedicated[c, s], min(least[c, s], wanted[c, s]))
            total += min(max(wanted[c, s], low), most[c, s])
            capped |= wanted[c, s] > most[c, s] + ROUNDING
        full[c] = total > 1.0 + ROUNDING
        concerned[c] = full[c] or capped
        anywhere |= concerned[c]
    if not anywhere:
        return False
    # Members of the pools concerned, pool by pool: count, offsets, fill.
    first[:] = 0
    for n in range(users):
        for j in range(together):
            c = cells[n, j]
            if c >= 0 and concerned[c] and need[n] > _F32(0.0):
                first[c * num_slices + slice_of[n] + 1] += 1
    for pool in range(num_cells * num_slices):
        first[pool + 1] += first[pool]
    place = first[:-1].copy()
    for n in range(users):
        for j in range(together):
            c = cells[n, j]
            if c >= 0 and concerned[c] and need[n] > _F32(0.0):
                pool = c * num_slices + slice_of[n]
                asked[place[pool]] = need[n]
                place[pool] += 1
    low, target = np.empty(num_slices), np.empty(num_slices)
    drawn = np.empty(num_slices)
    free = np.empty(num_slices, dtype=np.bool_)
    for c in range(num_cells):
        if not concerned[c]:
            continue
        for s in range(num_slices):
            low[s] = max(dedicated[c, s], min(least[c, s], wanted[c, s]))
            target[s] = min(max(wanted[c, s], low[s]), most[c, s])
            free[s] = full[c]
        for _ in range(2 * num_slices if full[c] else 0):
            goal = 1.0
            for s in range(num_slices):
                if not free[s]:
                    goal -= target[s]
            of_cell = _equal(asked, first, c * num_slices, free, goal)
            below, above = 0.0, 0.0
            for s in range(num_slices):
                if free[s]:
                    drawn[s] = 0.0
                    pool = c * num_slices + s
                    for m in range(first[pool], first[pool + 1]):
                        drawn[s] += min(asked[m], of_cell)
                    target[s] = drawn[s]
                    below += max(low[s] - drawn[s], 0.0)
                    above += max(drawn[s] - most[c, s], 0.0)
            stuck = False
            for s in range(num_slices):
                if free[s]:
                    if below >= above and low[s] - drawn[s] > 1e-12:
                        target[s], free[s], stuck = low[s], False, True
                    elif below < above and drawn[s] - most[c, s] > 1e-12:
                        target[s], free[s], stuck = most[c, s], False, True
            if not stuck:
                break
        for s in range(num_slices):
            granted = min(target[s], wanted[c, s])
            if granted < wanted[c, s] * (1.0 - 1e-12):
                free[:] = False
                free[s] = True
                level[c, s] = _equal(asked, first, c * num_slices, free, granted)
    return True


@njit(cache=True, nogil=True)
def _equal(
    asked: NDArray[np.float64], first: NDArray[np.int64], base: int, free: NDArray[np.bool_], goal: float
) -> float:
    """Return the level at which the sum of min(asked, level) over the free pools of a cell is the goal, inf if none."""
    members = 0
    for s in range(free.size):
        if free[s]:
            members += first[base + s + 1] - first[base + s]
    level = max(goal, 0.0) / max(members, 1)
    for _ in range(_ROUNDS):
        left, taken = 0, 0.0
        for s in range(free.size):
            if free[s]:
                for m in range(first[base + s], first[base + s + 1]):
                    if asked[m] > level:
                        left += 1
                    else:
                        taken += asked[m]
        if left == 0:
            return np.inf
        raised = max((goal - taken) / left, level)
        if not raised > level * (1.0 + 1e-12):
            break
        level = raised
    return level


@njit(cache=True, nogil=True)
def _failure(rsrp_dbm: np.float32) -> np.float32:
    """Return :func:`twin.setup_failures.coverage_failure`."""
    above = (rsrp_dbm - _EDGE_DBM) / _WIDTH_DB
    if above > _F32(20.0):
        return _F32(0.0)
    return _F32(1.0) / (_F32(1.0) + np.exp(max(above, _F32(-60.0))))


@njit(cache=True, nogil=True)
def _overflow(filled: np.float32) -> float:
    if filled < _F32(0.3):
        return 0.0
    over = filled > _F32(1.0)
    ratio = 1.0 / filled if over else float(filled)
    if abs(ratio - 1.0) < 1e-5:
        ratio = 1.0 - 1e-5
    q = ratio**_PLACES * ratio
    full = (1.0 - ratio) / (1.0 - q)
    return float(full if over else full * q / ratio)


@njit(cache=True, nogil=True)
def tally(  # noqa: D103  # its reference has the words
    cells: NDArray[np.int64],
    slice_of: NDArray[np.int64],
    sinr_db: NDArray[np.float32],
    rsrq_db: NDArray[np.float32],
    rsrp_dbm: NDArray[np.float32],
    connected: NDArray[np.float32],
    planned_failure: NDArray[np.float32],
    offered_bps: NDArray[np.float32],
    given: NDArray[np.float32],
    throughput_bps: NDArray[np.float32],
    served_share: NDArray[np.float32],
    rate_hz: NDArray[np.float32],
    granted: NDArray[np.float64],
    room: NDArray[np.float64],
    passed: NDArray[np.float64],
    transport_ms: NDArray[np.float64],
    burst_bit: NDArray[np.float64],
    budget_ms: NDArray[np.float64],
    table: NDArray[np.float32],
    thresholds_db: NDArray[np.float32],
    cell_sums: NDArray[np.float64],
    slice_sums: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    moments, users, together = cells.shape
    delay = np.full((moments, users), np.nan, dtype=np.float32)
    late = np.full((moments, users), np.nan, dtype=np.float32)
    num_cells, num_slices = granted.shape[1], granted.shape[2]
    wait_ms, fixed_ms = np.empty((num_cells, num_slices)), np.empty(num_cells)
    for t in range(moments):
        for c in range(num_cells):
            fixed_ms[c] = ACCESS_MS + transport_ms[t, c]
            for s in range(num_slices):
                busy = granted[t, c, s] / max(granted[t, c, s] + room[t, c, s], 1e-9)
                wait_ms[c, s] = SLOT_MS * busy / max(1.0 - busy, 1e-3)
        for n in range(users):
            c, s = cells[t, n, 0], slice_of[n]
            if c < 0:
                continue
            sums = cell_sums[t, c]
            throughput, flow = throughput_bps[t, n], given[t, n]
            filled = min(offered_bps[t, n] / max(throughput, _F32(1.0)), _F32(1e6))
            through = _F32(passed[t, c])
            if served_share.size:
                through *= served_share[t, n]
            air_bps = throughput
            if served_share.size:
                air_bps *= served_share[t, n]
            throughput *= through
            flow *= through
            sent = given[t, n]
            throughput_bps[t, n], given[t, n] = throughput, flow
            burst = burst_bit[s] / max(1.0 - filled, 1.0 / BUFFER_BURSTS)
            queue_ms = wait_ms[c, s] + 1e3 * burst / max(throughput, _F32(1.0))
            air_queue_ms = wait_ms[c, s] + 1e3 * burst / max(air_bps, _F32(1.0))
            air_delay_ms = min(ACCESS_MS + _REPETITIONS_MS + air_queue_ms, MAX_DELAY_MS)
            delay_ms = min(fixed_ms[c] + _REPETITIONS_MS + queue_ms, MAX_DELAY_MS)
            delay[t, n] = _F32(delay_ms)
            chance = 0.0
            if budget_ms[s] < np.inf:
                for attempt in range(_HARQ.size):
                    slack = max(budget_ms[s] - fixed_ms[c] - attempt * HARQ_ROUND_TRIP_MS, 0.0)
                    chance += _HARQ[attempt] * math.exp(-min(slack / max(queue_ms, 1e-9), 700.0))
                late[t, n] = _F32(chance)
            if offered_bps[t, n] > _F32(0.0):
                dropped = offered_bps[t, n] * _overflow(filled)
                sent_bps = sent * _efficiency(sinr_db[t, n], table) * rate_hz[c]
                bits = min(float(sent_bps), offered_bps[t, n] - dropped) * through
                active = bits / max(throughput, _F32(1.0))
                part = slice_sums[t, s]
                for j in range(together):
                    other = cells[t, n, j]
                    if other >= 0:
                        cell_sums[t, other, _SHARE] += flow
                        part[_S_SHARE] += flow
                sums[_BITS] += bits
                sums[_ACTIVE] += active
                sums[_BIT_DELAY] += bits * delay_ms
                sums[_OFFERED] += offered_bps[t, n]
                sums[_DROPPED] += dropped
                part[_S_BITS] += bits
                part[_S_ACTIVE] += active
                part[_S_BIT_DELAY] += bits * delay_ms
                sums[_AIR_DELAY] += bits * air_delay_ms
                part[_S_AIR_DELAY] += bits * air_delay_ms
                part[_S_OFFERED] += offered_bps[t, n]
                part[_S_DROPPED] += dropped
                if budget_ms[s] < np.inf:
                    sums[_BUDGETED] += bits
                    sums[_LATE] += bits * chance
                    part[_S_BUDGETED] += bits
                    part[_S_LATE] += bits * chance
            present = connected[t, n]
            if present <= _F32(0.0):
                continue
            sums[_CONNECTED] += present
            sums[_RSRP] += present * rsrp_dbm[t, n]
            sums[_SINR] += present * min(max(sinr_db[t, n], _F32(-23.0)), _F32(40.0))
            cqi = 0
            for threshold in thresholds_db:
                cqi += sinr_db[t, n] >= threshold
            sums[_CQI] += present * _F32(cqi)
            sums[_ATTEMPTS] += present * _F32(ATTEMPTS_PER_CONNECTION_S)
            if planned_failure.size:
                lost = _failure(rsrp_dbm[t, n]) - planned_failure[n]
                sums[_NO_SIGNAL] += present * max(lost, _F32(0.0)) * _F32(ATTEMPTS_PER_CONNECTION_S)
            sums[_RSRQ] += present * min(max(rsrq_db[t, n], _F32(-43.0)), _F32(20.0))
            if rsrp_dbm[t, n] < _F32(WEAK_RSRP_DBM):
                sums[_WEAK] += present
            slice_sums[t, s, _S_CONNECTED] += present
    return delay, late


def warm() -> None:
    """Compile for the types that :func:`twin.moments.evaluate` uses."""
    one, none = np.ones((1, 1), dtype=np.float32), np.zeros((0, 0), dtype=np.float32)
    cell, pool = np.ones(1, dtype=np.float32), np.ones((1, 1))
    slice_of, yes = np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.bool_)
    cells, power = np.zeros((1, 1, 1), dtype=np.int64), np.ones((1, 1, 1), dtype=np.float32)
    asked = (one, one, cells, power, none, one, slice_of, cell, yes, cell, cell, cell, pool, TABLE)
    settle(*asked)
    sinr_db, rsrq_db, offered, given, throughput, granted, room, carried = share(*asked, pool, pool, pool)
    tally(
        cells, slice_of, sinr_db, rsrq_db, one, one, cell, offered, given, throughput, none, cell, granted, room,
        carried, carried, np.ones(1), np.ones(1), TABLE, CQI_THRESHOLD_DB, np.zeros((1, 1, 99)), np.zeros((1, 1, 99)),
    )  # fmt: skip
    divide(one, cells, slice_of, pool, pool, pool)
