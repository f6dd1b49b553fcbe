"""One moment of the network, or many at once: from who wants what, where, to who gets what.

The live network calls this once per tick (one row); the past calls it with hundreds of rows. One code path is what
makes history and present comparable. Users are the UEs followed by the points of the crowd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.energy import power_w
from twin.radio import link
from twin.scheduler import water_fill
from twin.setup_failures import ATTEMPTS_PER_CONNECTION_S, coverage_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from twin.world import World

IDLE_ACTIVITY = 0.05
"""Share of power that an idle cell radiates for synchronisation signals and system information."""
DAMPING = 0.7
BASE_DELAY_MS = 2.0
"""Slot alignment, processing and one retransmission in ten at 30 kHz."""
BURST_BIT = 0.1e6
"""Mean amount of data that arrives together; its transfer time is the queueing part of the delay."""
MAX_DELAY_MS = 1000.0
MAX_NEED = 0.12
"""No single user asks for more than this share of a cell: applications step down when the radio is poor."""
MAX_CROWD_NEED = 0.025
KNEE = 0.75
"""Load up to which the crowd gets all it asks for; beyond, its adaptive applications step down smoothly."""

CELL_FEATURES = (
    "time_s", "share", "bits", "connected", "active", "rsrp", "sinr", "cqi", "bit_delay", "energy_j",
    "attempts", "no_signal",
)  # fmt: skip
"""Columns of the additive sums that KPIs are made from; all but the first per cell and already times seconds."""
SLICE_FEATURES = ("time_s", "share", "bits", "connected", "active", "bit_delay")
LINK_FEATURES = ("time_s", "load", "bits")


@dataclass(slots=True, kw_only=True, eq=False)
class Moment:
    """What goes in; ``T`` moments, ``N`` users, ``C`` cells.

    Attributes:
        serving: ``[T, N] int64`` cell column, -1 = none.
        rsrp_dbm: ``[T, N] float32`` of the serving cell.
        signal_mw: ``[T, N] float32`` received power of the serving cell at full load.
        total_mw: From activity ``[T, C]`` to all received power on the serving carrier, ``[T, N]``.
        demand_bps: ``[T, N] float32``.
        connected: ``[T, N] float32`` subscribers in connected mode that a user stands for.
        load: ``[T, C] float32`` first guess.
        max_output_w: ``[C] float32`` radiated power at full load.
        awake: ``[C] bool``, False when locked.
        nominal_rsrp_dbm: ``[N] float32`` RSRP under the scenario's own configuration, None = this is it.
    """

    serving: NDArray[np.int64]
    rsrp_dbm: NDArray[np.float32]
    signal_mw: NDArray[np.float32]
    total_mw: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    demand_bps: NDArray[np.float32]
    connected: NDArray[np.float32]
    load: NDArray[np.float32]
    max_output_w: NDArray[np.float32]
    awake: NDArray[np.bool_]
    nominal_rsrp_dbm: NDArray[np.float32] | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Outcome:
    """What comes out.

    Attributes:
        load: ``[T, C] float32`` share of PRBs used.
        sinr_db: ``[T, N] float32``.
        throughput_bps: ``[T, N] float32`` what a user's data gets while some is waiting.
        cells: ``[T, C, len(CELL_FEATURES)] float64`` sums per second.
        slices: ``[T, num_slices, len(SLICE_FEATURES)] float64``.
        links: ``[T, num_links, len(LINK_FEATURES)] float64``.
    """

    load: NDArray[np.float32]
    sinr_db: NDArray[np.float32]
    throughput_bps: NDArray[np.float32]
    cells: NDArray[np.float64]
    slices: NDArray[np.float64]
    links: NDArray[np.float64]


def evaluate(world: World, moment: Moment, *, iterations: int) -> Outcome:
    """Solve load and interference as a damped fixed point, share the resources, and sum what happened per second."""
    moments, users = moment.serving.shape
    cells = world.num_cells
    served_by = np.where(moment.serving >= 0, moment.serving, cells)
    group = (served_by + np.arange(moments)[:, None] * (cells + 1)).ravel()
    bandwidth = np.append(world.bandwidth_hz, 1.0).astype(np.float32)[served_by]
    noise = np.append(world.noise_mw, 1.0).astype(np.float32)[served_by]
    most = world.max_need
    load = moment.load
    sinr_db, rate, need, wanted = moment.signal_mw, moment.signal_mw, moment.demand_bps, np.zeros(0)
    for step in range(iterations + 1):
        activity = IDLE_ACTIVITY + (1.0 - IDLE_ACTIVITY) * load
        own = (
            np.append(activity, np.zeros((moments, 1), dtype=np.float32), axis=1).ravel()[group].reshape(moments, users)
        )
        disturbance = np.maximum(moment.total_mw(activity) - own * moment.signal_mw, 0.0) + noise
        sinr_db = np.float32(10.0) * np.log10(np.maximum(moment.signal_mw, 1e-20) / disturbance)
        rate = link.spectral_efficiency(sinr_db) * bandwidth
        need = np.minimum(moment.demand_bps / np.maximum(rate, 1.0), most)
        wanted = _sums(group, need, moments * (cells + 1))
        if step < iterations:
            goal = np.minimum(elastic(wanted), 1.0).reshape(moments, -1)[:, :cells]
            load = load + np.float32(DAMPING) * (goal.astype(np.float32) - load)
    patience = (elastic(wanted) / np.maximum(wanted, 1e-12)).astype(np.float32)[group].reshape(moments, users)
    need = np.where(world.is_crowd, need * patience, need)
    return _share(world, moment, group=group, need=need, rate=rate, sinr_db=sinr_db)


def elastic(wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the load that a wanted load becomes when adaptive applications step down beyond the knee; below 1."""
    return np.where(wanted <= KNEE, wanted, 1.0 - (1.0 - KNEE) * np.exp(-(wanted - KNEE) / (1.0 - KNEE)))


def _sums(group: NDArray[np.int64], value: NDArray[np.float64] | NDArray[np.float32], size: int) -> NDArray[np.float64]:
    return np.bincount(group, value.ravel(), size).astype(np.float64, copy=False)


def _share(
    world: World,
    moment: Moment,
    *,
    group: NDArray[np.int64],
    need: NDArray[np.float32],
    rate: NDArray[np.float32],
    sinr_db: NDArray[np.float32],
) -> Outcome:
    moments, users = moment.serving.shape
    cells = world.num_cells
    slots = moments * (cells + 1)
    inside = moment.serving >= 0
    need = np.where(inside, need, 0.0)
    weight = np.broadcast_to(world.user_weight, need.shape)
    share, level = water_fill(need.ravel().astype(np.float64), weight=weight.ravel(), group=group, num_groups=slots)
    full_load = np.bincount(group, share, slots)
    share = share.reshape(moments, users)
    free = (np.maximum(1.0 - full_load, 0.0)[group].reshape(moments, users)) + share / world.user_weight
    fair = np.where(np.isfinite(level), level, 0.0)[group].reshape(moments, users)
    throughput = np.where(inside, rate * np.clip(np.maximum(free, fair), 0.0, 1.0), 0.0)
    bits = share * rate

    def by_cell(value: NDArray[np.float64] | NDArray[np.float32]) -> NDArray[np.float64]:
        return _sums(group, value, slots).reshape(moments, cells + 1)[:, :cells]

    link_load = world.backhaul.load(by_cell(bits))
    passed = np.append(world.backhaul.passed_share(link_load), np.ones((moments, 1)), axis=1)
    passed = passed.ravel()[group].reshape(moments, users)
    bits, throughput = bits * passed, throughput * passed
    active = bits / np.maximum(throughput, 1.0)
    bit_delay = bits * np.minimum(BASE_DELAY_MS + 1e3 * BURST_BIT / np.maximum(throughput, 1.0), MAX_DELAY_MS)
    connected = np.where(inside, moment.connected, 0.0)
    load = full_load.reshape(moments, cells + 1)[:, :cells]
    radiated_w = (IDLE_ACTIVITY + (1.0 - IDLE_ACTIVITY) * load) * moment.max_output_w * moment.awake
    attempts = by_cell(connected) * ATTEMPTS_PER_CONNECTION_S
    no_signal = np.zeros_like(attempts)
    if moment.nominal_rsrp_dbm is not None:
        worse = coverage_failure(moment.rsrp_dbm) - coverage_failure(moment.nominal_rsrp_dbm)
        no_signal = by_cell(connected * np.maximum(worse, 0.0)) * ATTEMPTS_PER_CONNECTION_S
    cell_bits = by_cell(bits)
    cell_sums = np.stack(
        [
            np.ones_like(attempts),
            load.astype(np.float64),
            cell_bits,
            by_cell(connected),
            by_cell(active),
            by_cell(connected * moment.rsrp_dbm),
            by_cell(connected * np.clip(sinr_db, -23.0, 40.0)),
            by_cell(connected * link.cqi(sinr_db)),
            by_cell(bit_delay),
            power_w(radiated_w.astype(np.float32), chains=world.chains, awake=moment.awake).astype(np.float64),
            attempts,
            no_signal,
        ],
        axis=-1,
    )
    slices = len(world.scenario.slices)
    slice_group = (world.slice_of_user + np.arange(moments)[:, None] * slices).ravel()

    def by_slice(value: NDArray[np.float64]) -> NDArray[np.float64]:
        return _sums(slice_group, value, moments * slices).reshape(moments, slices)

    on_air = max(int(moment.awake.sum()), 1)
    slice_sums = np.stack(
        [
            np.ones((moments, slices)),
            by_slice(share) / on_air,
            by_slice(bits),
            by_slice(connected),
            by_slice(active),
            by_slice(bit_delay),
        ],
        axis=-1,
    )
    link_bits = cell_bits @ world.backhaul.carries.T
    return Outcome(
        load=load.astype(np.float32),
        sinr_db=sinr_db,
        throughput_bps=throughput.astype(np.float32),
        cells=cell_sums,
        slices=slice_sums,
        links=np.stack([np.ones_like(link_load), link_load, link_bits], axis=-1),
    )
