"""Sharing a cell among its users in plain numpy: the reference of :mod:`twin.kernels.numba_share`.

Three steps, called by :func:`twin.moments.evaluate`: :func:`settle` moves the load towards what interference makes of
it, :func:`share` gives out the resources, :func:`tally` sums what came of them once transport has had its part.
:func:`divide` is the part of the second in which users meet. ``T`` moments, ``N`` users, ``J`` cells that serve a user
together (the first is the serving one), ``C`` cells, ``S`` slices. The figures of the model: :mod:`twin.scheduler`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.radio import link
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
from twin.setup_failures import ATTEMPTS_PER_CONNECTION_S, coverage_failure

if TYPE_CHECKING:
    from numpy.typing import NDArray

F32, F64 = np.float32, np.float64
ROUNDING = 1e-6
"""Less room than this is none: shares are kept in single precision."""
_ROUNDS = 200
"""More than any pool needs: each round satisfies at least one user more."""


def settle(
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
    """Return the load after one damped step towards what users want at the interference of `load`.

    Args:
        load: ``[T, C] float32`` share of PRBs in use.
        total_mw: ``[T, N] float32`` all received power on the user's carrier at `load`.
        cells: ``[T, N, J] int64``, -1 = none.
        power_mw: ``[T, N, J] float32`` received from these cells at full load.
        external_mw: ``[T, N] float32`` interference from outside the network, or empty.
        demand_bps: ``[T, N] float32``.
        slice_of: ``[N] int64``.
        most_need: ``[N] float32`` largest share of a cell that a user asks for.
        adaptive: ``[N] bool`` users whose applications step down when the cell fills.
        rate_hz: ``[C] float32`` bandwidth for user data.
        noise_mw: ``[C] float32``.
        idle: ``[C] float32`` share of power that a cell without users radiates.
        reach: ``[C, S] float64`` see :class:`twin.slicing.Pools`.
        table: ``[B] float32`` :data:`twin.radio.link.TABLE`.
    """
    del table
    air = _air(load, total_mw, cells, power_mw, external_mw, rate_hz, noise_mw, idle)
    need = _need(air.rate, demand_bps, most_need)
    slot, shape = _slots(cells, slice_of, reach)
    rigid, elastic = _wants(need, adaptive, slot, shape)
    wanted = rigid + elastic * _patience(rigid + elastic, reach)
    goal = np.minimum(np.minimum(wanted, _padded(reach)).sum(axis=2), 1.0)[:, :-1]
    return load + F32(DAMPING) * (goal.astype(F32) - load)


def share(
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
    """Give out the resources at the interference of `load`; arguments as in :func:`settle` and :func:`divide`.

    Returns:
        ``sinr_db``, ``rsrq_db``, ``offered_bps`` (after applications stepped down), ``share``, ``throughput_bps``
        (while data is waiting), each ``[T, N] float32``; ``granted`` and ``room`` (what one user more of the slice
        would get), ``[T, C, S] float64``; ``carried_bps [T, C] float64`` of the serving cells.
    """
    del table
    air = _air(load, total_mw, cells, power_mw, external_mw, rate_hz, noise_mw, idle)
    need = _need(air.rate, demand_bps, most_need)
    slot, shape = _slots(cells, slice_of, reach)
    rigid, elastic = _wants(need, adaptive, slot, shape)
    patience = _patience(rigid + elastic, reach).ravel()
    need = np.where(adaptive, need * patience[slot[:, :, 0]].astype(F32), need)
    given, level, granted = divide(need, cells, slice_of, dedicated, least, most)
    taken = np.maximum(granted, dedicated)
    room = np.minimum(most, 1.0 - (taken.sum(axis=2, keepdims=True) - taken)) - granted
    room = np.where(room > ROUNDING, room, 0.0)
    # What one user more, always with data, would get: the room that is left; in a pool that goes short an equal part;
    # in one that is satisfied what is left of its minimum, or an equal part of what others have beyond theirs.
    lent = np.maximum(granted - least, 0.0)
    lent = room + lent.sum(axis=2, keepdims=True) - lent
    own = np.maximum(room, least - granted)
    part = np.maximum(own, np.minimum(np.minimum(_newcomer(given, slot, shape), lent), np.maximum(most - granted, 0.0)))
    starved = np.isfinite(level)
    part = np.where(starved, np.maximum(room, np.where(starved, level, 0.0)), part)
    own = np.where(starved, 0.0, own)
    fair = np.maximum(
        _member(part, slot), np.where(_member(starved, slot), 0.0, given[:, :, None] + _member(own, slot))
    )
    fair = np.where(cells >= 0, fair, 1.0).min(axis=2)
    throughput = air.rate * np.clip(fair, 0.0, 1.0).astype(F32)
    carried = np.bincount(_first(cells, shape), (given * air.rate).ravel(), shape[0] * shape[1]).reshape(shape[:2])
    return (
        air.sinr_db,
        np.where(air.serving >= 0, link.rsrq_db(power_mw[:, :, 0], air.rssi_mw), F32(-np.inf)),
        need * air.rate,
        given,
        throughput,
        granted,
        part,
        carried[:, :-1],
    )


def divide(
    need: NDArray[np.float32],
    cells: NDArray[np.int64],
    slice_of: NDArray[np.int64],
    dedicated: NDArray[np.float64],
    least: NDArray[np.float64],
    most: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Divide the PRBs of every cell among its users: equal time, within the bounds of their slices.

    The level of a cell is the time that a user who always has data gets. A slice is given
    clip(sum of min(need, level), low, most) with low = max(dedicated, min(least, wanted)), and the level is where
    these sum to 1 (Bitran and Hax, Management Science 27(4), 1981, for how the bounds are found). Within a slice the
    same rule holds with its own level. A user of several cells gets what the scarcest of them gives, from each.

    Args:
        need: ``[T, N] float32`` share of time that would carry all that a user wants.
        cells: ``[T, N, J] int64``, -1 = none.
        slice_of: ``[N] int64``.
        dedicated: ``[C, S] float64``, see :class:`twin.slicing.Pools`.
        least: ``[C, S] float64``.
        most: ``[C, S] float64``.

    Returns:
        ``share [T, N] float32``; ``level [T, C, S] float64``, inf where everybody is satisfied; ``granted [T, C, S]
        float64``, the sum of the shares.
    """
    slot, shape = _slots(cells, slice_of, most)
    bounds = (_padded(dedicated), _padded(least), _padded(most))
    level = _levels(need, slot, shape, *bounds)
    given = np.minimum(need, level.ravel()[slot].min(axis=2)).astype(F32)
    if cells.shape[2] > 1:
        # What users of several cells leave, because another cell gives less, is shared out again.
        wished = np.where((cells >= 0).sum(axis=2) > 1, given, need)
        again = _levels(wished, slot, shape, *bounds)
        given = np.minimum(wished, again.ravel()[slot].min(axis=2)).astype(F32)
        level = np.where(np.isfinite(again), again, level)
    given = np.where(cells[:, :, 0] >= 0, given, F32(0.0))
    granted = np.bincount(slot.ravel(), np.repeat(given.ravel(), cells.shape[2]), int(np.prod(shape))).reshape(shape)
    return given, level[:, :-1], granted[:, :-1].astype(F64)


def tally(
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
    """Sum what happened per second by cell and by slice; `cell_sums` and `slice_sums` are added to in place.

    Args:
        cells: As in :func:`settle`, and so `slice_of`, `rate_hz`, `table`.
        slice_of: ``[N] int64``.
        sinr_db: ``[T, N] float32`` from :func:`share`, and so `rsrq_db`, `offered_bps`, `given`, `throughput_bps`.
        rsrq_db: ``[T, N] float32``.
        rsrp_dbm: ``[T, N] float32``.
        connected: ``[T, N] float32`` subscribers.
        planned_failure: ``[N] float32`` share of set-ups lost for want of signal by plan; empty = do not compare.
        offered_bps: ``[T, N] float32``.
        given: ``[T, N] float32``; what transport holds back is taken off in place: it needs no air time.
        throughput_bps: ``[T, N] float32``; the same.
        served_share: ``[T, N] float32`` part of the moment in which a user can be sent data, or empty = all of it.
        rate_hz: ``[C] float32``.
        granted: ``[T, C, S] float64`` from :func:`share`, and so `room`.
        room: ``[T, C, S] float64``; of the slots that a slice may have, `granted` are taken.
        passed: ``[T, C] float64`` share of traffic that the transport network carries.
        transport_ms: ``[T, C] float64`` its delay.
        burst_bit: ``[S] float64`` data that arrive together.
        budget_ms: ``[S] float64`` delay that a slice allows, inf = any.
        table: ``[B] float32``.
        thresholds_db: ``[15] float32`` SINR from which each CQI decodes.
        cell_sums: ``[T, C, 16 or more] float64`` by :data:`twin.scheduler.CELL_SUMS`.
        slice_sums: ``[T, S, 9 or more] float64`` by :data:`twin.scheduler.SLICE_SUMS`.

    Returns:
        ``delay_ms [T, N] float32`` and ``late [T, N] float32``, the probability that a packet misses its budget.
    """
    del table, thresholds_db
    moments, users = given.shape
    num_cells, num_slices = passed.shape[1], len(burst_bit)
    serving = cells[:, :, 0]
    served = serving >= 0
    at = np.maximum(serving, 0)
    row = np.arange(moments)[:, None]
    alone_bps = np.where(served, link.spectral_efficiency(sinr_db) * rate_hz[at], F32(0.0))
    filled = np.minimum(offered_bps / np.maximum(throughput_bps, F32(1.0)), F32(1e6))
    dropped_bps = offered_bps * _overflow(filled)
    through = np.where(served, passed[row, at], 1.0).astype(F32)
    if served_share.size:
        # Data waits while a UE changes cells: the time counts, the bits do not come.
        through = through * served_share
    # What the buffer loses is not sent.
    bits = np.minimum(given * alone_bps, offered_bps - dropped_bps) * through
    air_bps = throughput_bps * served_share if served_share.size else throughput_bps.copy()
    throughput_bps *= through
    given *= through
    active = bits / np.maximum(throughput_bps, F32(1.0))
    busy = granted[row, at, slice_of] / np.maximum(granted[row, at, slice_of] + room[row, at, slice_of], 1e-9)
    wait_ms = SLOT_MS * busy / np.maximum(1.0 - busy, 1e-3)
    burst = burst_bit[slice_of] / np.maximum(1.0 - filled, 1.0 / BUFFER_BURSTS)
    queue_ms = wait_ms + 1e3 * burst / np.maximum(throughput_bps, F32(1.0))
    air_queue_ms = wait_ms + 1e3 * burst / np.maximum(air_bps, F32(1.0))
    fixed_ms = ACCESS_MS + transport_ms[row, at]
    repeated_ms = sum(chance * attempt for attempt, chance in enumerate(HARQ_ATTEMPTS)) * HARQ_ROUND_TRIP_MS
    delay_ms = np.minimum(fixed_ms + repeated_ms + queue_ms, MAX_DELAY_MS)
    air_delay_ms = np.minimum(ACCESS_MS + repeated_ms + air_queue_ms, MAX_DELAY_MS)
    late = _late(budget_ms[slice_of] - fixed_ms, queue_ms)
    budgeted = np.isfinite(budget_ms)[slice_of]
    present = np.where(served, connected, F32(0.0))
    lost = np.zeros_like(present)
    if planned_failure.size:
        lost = present * np.maximum(coverage_failure(rsrp_dbm) - planned_failure, F32(0.0))
    setups = F32(ATTEMPTS_PER_CONNECTION_S)
    signal = np.where(served, rsrp_dbm, F32(0.0))
    columns = {
        "bits": bits,
        "connected": present,
        "active": active,
        "rsrp": present * signal,
        "sinr": present * np.where(served, np.clip(sinr_db, F32(-23.0), F32(40.0)), F32(0.0)),
        "cqi": present * link.cqi(sinr_db),
        "bit_delay": bits * delay_ms,
        "attempts": present * setups,
        "no_signal": lost * setups,
        "rsrq": present * np.where(served, np.clip(rsrq_db, F32(-43.0), F32(20.0)), F32(0.0)),
        "weak": present * (signal < F32(WEAK_RSRP_DBM)),
        "offered_bits": offered_bps,
        "dropped_bits": dropped_bps,
        "budgeted_bits": bits * budgeted,
        "late_bits": bits * np.where(budgeted, late, 0.0),
        "bit_air_delay": bits * air_delay_ms,
    }
    group = (np.where(served, serving, num_cells) + row * (num_cells + 1)).ravel()
    for name, column in columns.items():
        sums = np.bincount(group, np.where(served, column, 0.0).ravel(), moments * (num_cells + 1))
        cell_sums[:, :, CELL_SUMS.index(name)] += sums.reshape(moments, num_cells + 1)[:, :-1]
    slot, shape = _slots(cells, np.zeros(users, dtype=np.int64), np.zeros((num_cells, 1)))
    used = np.bincount(slot.ravel(), np.repeat(given.ravel(), cells.shape[2]), shape[0] * shape[1])
    cell_sums[:, :, CELL_SUMS.index("share")] += used.reshape(shape[:2])[:, :-1]
    columns["share"] = given * (cells >= 0).sum(axis=2)
    slice_group = (np.broadcast_to(slice_of, (moments, users)) + row * num_slices).ravel()
    for place, name in enumerate(SLICE_SUMS):
        sums = np.bincount(slice_group, np.where(served, columns[name], 0.0).ravel(), moments * num_slices)
        slice_sums[:, :, place] += sums.reshape(moments, num_slices)
    return (
        np.where(served, delay_ms, np.nan).astype(F32),
        np.where(served & budgeted, late, np.nan).astype(F32),
    )


@dataclass(slots=True)
class _Air:
    """What users hear, each ``[T, N] float32``; nothing without a serving cell, ``[T, N] int64``."""

    sinr_db: NDArray[np.float32]
    rate: NDArray[np.float32]
    rssi_mw: NDArray[np.float32]
    serving: NDArray[np.int64]


def _air(
    load: NDArray[np.float32],
    total_mw: NDArray[np.float32],
    cells: NDArray[np.int64],
    power_mw: NDArray[np.float32],
    external_mw: NDArray[np.float32],
    rate_hz: NDArray[np.float32],
    noise_mw: NDArray[np.float32],
    idle: NDArray[np.float32],
) -> _Air:
    serving = cells[:, :, 0]
    activity = idle + (F32(1.0) - idle) * load
    heard = (cells >= 0) & (serving >= 0)[:, :, None]
    power = np.where(heard, power_mw, F32(0.0))
    own = (np.take_along_axis(activity, np.maximum(cells, 0).reshape(len(load), -1), axis=1)).reshape(cells.shape)
    floor = noise_mw[np.maximum(serving, 0)]
    if external_mw.size:
        floor = floor + external_mw
    disturbance = np.maximum(total_mw - (own * power).sum(axis=2), F32(0.0)) + floor
    with np.errstate(divide="ignore"):
        sinr_db = F32(10.0) * np.log10(power.sum(axis=2) / disturbance)
    rate = link.spectral_efficiency(sinr_db) * rate_hz[np.maximum(serving, 0)]
    # Where RSSI is measured, in the symbols and blocks of its SSB, the serving cell radiates in full.
    silent = (power[:, :, 0] * (F32(1.0) - own[:, :, 0])).astype(F32, copy=False)
    return _Air(sinr_db, rate, total_mw + floor + silent, serving)


def _need(
    rate: NDArray[np.float32], demand_bps: NDArray[np.float32], most_need: NDArray[np.float32]
) -> NDArray[np.float32]:
    # Who reports CQI 0 and less is not scheduled.
    return np.where(rate > 0.0, np.minimum(demand_bps / np.maximum(rate, F32(1.0)), most_need), F32(0.0))


def _slots(
    cells: NDArray[np.int64], slice_of: NDArray[np.int64], bounds: NDArray[np.float64]
) -> tuple[NDArray[np.int64], tuple[int, int, int]]:
    """Return the (moment, cell, slice) of each membership as one number, ``[T, N, J]``, and their shape.

    One cell more than there are stands for none.
    """
    num_cells, num_slices = bounds.shape
    cell = np.where(cells >= 0, cells, num_cells) + np.arange(len(cells))[:, None, None] * (num_cells + 1)
    return cell * num_slices + slice_of[:, None], (len(cells), num_cells + 1, num_slices)


def _first(cells: NDArray[np.int64], shape: tuple[int, int, int]) -> NDArray[np.int64]:
    serving = np.where(cells[:, :, 0] >= 0, cells[:, :, 0], shape[1] - 1)
    return (serving + np.arange(shape[0])[:, None] * shape[1]).ravel()


def _padded(bound: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return bounds with a row for users of no cell; nothing is given there."""
    return np.concatenate([bound, np.zeros((1, bound.shape[1]))])


def _wants(
    need: NDArray[np.float32], adaptive: NDArray[np.bool_], slot: NDArray[np.int64], shape: tuple[int, int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    size, times = shape[0] * shape[1] * shape[2], slot.shape[2]
    whole = np.bincount(slot.ravel(), np.repeat(need.ravel(), times), size)
    soft = np.bincount(slot.ravel(), np.repeat(np.where(adaptive, need, F32(0.0)).ravel(), times), size)
    return (whole - soft).reshape(shape).astype(F64), soft.reshape(shape).astype(F64)


def _patience(wanted: NDArray[np.float64], reach: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor on adaptive demand, ``[T, C + 1, S]``: by the load of the cell and by that of the pool."""
    whole = wanted.sum(axis=2, keepdims=True)
    bound = _padded(reach)
    pool = wanted / np.maximum(bound, 1e-9)
    return np.minimum(elastic(whole) / np.maximum(whole, 1e-12), elastic(pool) / np.maximum(pool, 1e-12)).clip(0.0, 1.0)


def elastic(wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the load that a wanted load becomes when adaptive applications step down beyond the knee; below 1."""
    return np.where(wanted <= KNEE, wanted, 1.0 - (1.0 - KNEE) * np.exp(-(wanted - KNEE) / (1.0 - KNEE)))


def _member(pool: NDArray[Any], slot: NDArray[np.int64]) -> NDArray[Any]:
    """Return a figure of pools, ``[T, C, S]``, for each membership, 0 without a cell."""
    return np.concatenate([pool, np.zeros_like(pool[:, :1])], axis=1).ravel()[slot]


def _newcomer(given: NDArray[np.float32], slot: NDArray[np.int64], shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the level of each cell if one user more came who always has data, ``[T, C, 1]``.

    Where sum of min(given, level) + level is 1, found as in :func:`_equal`, from the idle share upwards.
    """
    size, cell = shape[0] * shape[1], slot.ravel() // shape[2]
    asked = np.repeat(given.ravel(), slot.shape[2]).astype(F64)
    level = np.maximum(1.0 - np.bincount(cell, asked, size), 0.0)
    for _ in range(_ROUNDS):
        hungry = asked > level[cell]
        if not hungry.any():
            break
        taken = np.bincount(cell, np.where(hungry, 0.0, asked), size)
        raised = np.maximum((1.0 - taken) / (np.bincount(cell, hungry, size) + 1.0), level)
        if not (raised > level * (1.0 + ROUNDING)).any():
            break
        level = raised
    return level.reshape(shape[0], shape[1], 1)[:, :-1]


def _levels(
    need: NDArray[np.float32],
    slot: NDArray[np.int64],
    shape: tuple[int, int, int],
    dedicated: NDArray[np.float64],
    least: NDArray[np.float64],
    most: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the level of each pool, ``[T, C + 1, S]``, inf where everybody in it is satisfied."""
    size, slices, times = shape[0] * shape[1] * shape[2], shape[2], slot.shape[2]
    member = slot.ravel()
    asked = np.repeat(need.ravel(), times).astype(F64)
    wanted = np.bincount(member, asked, size).reshape(shape)
    low = np.maximum(dedicated, np.minimum(least, wanted))
    target = np.clip(wanted, low, most)
    full = target.sum(axis=2) > 1.0 + ROUNDING
    full[:, -1] = False
    tight = (wanted > most + ROUNDING) | full[:, :, None]
    tight[:, -1] = False
    level = np.full(size, np.inf)
    if not tight.any():
        return level.reshape(shape)
    concerned = tight.ravel()[member] & (asked > 0.0)
    member, asked = member[concerned], asked[concerned]
    free = np.broadcast_to(full[:, :, None], shape).copy()
    for _ in range(2 * slices if full.any() else 0):
        goal = 1.0 - np.where(free, 0.0, target).sum(axis=2)
        loose = free.ravel()[member]
        cell_level = _equal(asked[loose], member[loose] // slices, goal.ravel())
        drawn = np.bincount(member[loose], np.minimum(asked[loose], cell_level[member[loose] // slices]), size)
        drawn = drawn.reshape(shape)
        target = np.where(free, drawn, target)
        below = np.where(free, np.maximum(low - drawn, 0.0), 0.0)
        above = np.where(free, np.maximum(drawn - most, 0.0), 0.0)
        # Of two kinds of breach the greater one is surely real: its pools stay at their bound.
        lower = below.sum(axis=2, keepdims=True) >= above.sum(axis=2, keepdims=True)
        stuck = np.where(lower, below, above) > 1e-12
        if not stuck.any():
            break
        target = np.where(stuck, np.where(lower, low, most), target)
        free &= ~stuck
    granted = np.minimum(target, wanted)
    level[:] = _equal(asked, member, granted.ravel())
    return np.where(tight & (granted < wanted * (1.0 - 1e-12)), level.reshape(shape), np.inf)


def _equal(asked: NDArray[np.float64], group: NDArray[np.int64], goal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the level of each group at which the sum of min(asked, level) is its goal; inf where all are satisfied.

    Newton's method on a concave function, begun below the root: it ends there exactly, as soon as no more users
    become satisfied.
    """
    size = len(goal)
    level = np.maximum(goal, 0.0) / np.maximum(np.bincount(group, minlength=size), 1)
    for _ in range(_ROUNDS):
        hungry = asked > level[group]
        left = np.bincount(group, hungry, size)
        taken = np.bincount(group, np.where(hungry, 0.0, asked), size)
        raised = np.where(left > 0, np.maximum((goal - taken) / np.maximum(left, 1), level), np.inf)
        if not (raised > level * (1.0 + 1e-12)).any():
            break
        level = raised
        if np.isinf(level).all():
            break
    return level


def _overflow(filled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the share that an M/M/1/K buffer loses at a utilisation, (1-r) r^K / (1 - r^(K+1)), any r >= 0."""
    places = BUFFER_BURSTS
    # Above 1 the same formula in 1/r, so that nothing overflows; at 1 it is 1 / (K + 1).
    over = filled > 1.0
    ratio = np.where(over, 1.0 / np.maximum(filled, F32(1.0)), filled).astype(F64)
    ratio = np.where(np.abs(ratio - 1.0) < 1e-5, 1.0 - 1e-5, ratio)
    q = ratio ** (places + 1.0)
    full = (1.0 - ratio) / (1.0 - q)
    return np.where(filled < 0.3, 0.0, np.where(over, full, full * q / np.maximum(ratio, 1e-9))).astype(F32)


def _late(left_ms: NDArray[np.float64], queue_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P(delay > budget) with exponential queueing after each number of repetitions."""
    late = np.zeros(np.broadcast_shapes(left_ms.shape, queue_ms.shape))
    for attempt, chance in enumerate(HARQ_ATTEMPTS):
        slack = np.maximum(left_ms - attempt * HARQ_ROUND_TRIP_MS, 0.0)
        late += chance * np.exp(-np.minimum(slack / np.maximum(queue_ms, 1e-9), 700.0))
    return late
