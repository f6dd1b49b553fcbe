"""One moment of the network, or many at once: from who wants what, where, to who gets what.

The live network calls this once per tick (one row); the past calls it with hundreds of rows. One code path is what
makes history and present comparable. Users are the UEs followed by the points of the crowd.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from twin import kernels
from twin.radio import link
from twin.scheduler import CELL_SUMS, DAMPING, SLICE_SUMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from twin.kernels import Kernel
    from twin.slicing import Pools
    from twin.transport import Transport
    from twin.world import World

    TotalPower = Callable[[NDArray[np.float32]], NDArray[np.float32]]

IDLE_ACTIVITY = 0.05
"""Share of power that an idle cell radiates for synchronisation signals and system information every 20 ms."""
STEADY_ACTIVITY = 0.01
"""The part of it that does not depend on the SSB period: paging and tracking signals."""
SSB_PERIOD_MS = 20.0
MAX_NEED = 0.12
"""No single user asks for more than this share of a cell: applications step down when the radio is poor. What they do
without is not offered, so it is not dropped either."""
MAX_CROWD_NEED = 0.025

CELL_FEATURES = (*CELL_SUMS, "time_s", "energy_j", "prbs", "transport_bits", "transport_lost_bits")
"""Columns of the additive sums that KPIs are made from, all times seconds; `prbs` are those for data, on the air."""
SLICE_FEATURES = (*SLICE_SUMS, "time_s", "prbs")
"""`share` and `prbs` (in use) are means over the cells on the air."""
_SHARE, _TIME, _ENERGY, _PRBS = (CELL_FEATURES.index(name) for name in ("share", "time_s", "energy_j", "prbs"))
_OFFERED, _LOST = CELL_FEATURES.index("transport_bits"), CELL_FEATURES.index("transport_lost_bits")
_S_TIME, _S_PRBS = SLICE_FEATURES.index("time_s"), SLICE_FEATURES.index("prbs")
_S_PER_CELL = (SLICE_FEATURES.index("share"), _S_PRBS)
_NOTHING = np.zeros((0, 0), dtype=np.float32)


def idle_activity(ssb_period_ms: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the share of resources and power that goes into common signals, for each SSB period.

    Bursts of SSB, and system information beside them, are counted to repeat with the period: twice as often, twice
    the share. A model of ours; TS 38.213 section 13 lets SIB1 repeat by itself.
    """
    return (STEADY_ACTIVITY + (IDLE_ACTIVITY - STEADY_ACTIVITY) * SSB_PERIOD_MS / ssb_period_ms).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carriers:
    """The carriers of all cells as configured now.

    Attributes:
        bandwidth_hz: ``[C] float64``.
        idle: ``[C] float32`` share of resources for common signals, see :func:`idle_activity`, and for sensing.
        beam_gain_db: ``[C] float32`` what a beam adds for the user it points at and for nobody else, None = nothing.
        noise_mw: ``[C] float32`` thermal noise and noise figure.
        num_prb: ``[C] float64`` left for data by common signals and sensing.
        carrier_hz: ``[C] float64`` says which share of time is downlink, None = all of it.
        rate_hz: ``[C] float32`` modulation symbols per second for user data; the spectral efficiency already counts the
            usual overhead.
        beam_gain: ``[C] float32`` the gain of the beams as a factor, None where no cell has any.
    """

    bandwidth_hz: NDArray[np.float64]
    idle: NDArray[np.float32]
    beam_gain_db: NDArray[np.float32] | None = None
    carrier_hz: NDArray[np.float64] | None = None
    noise_mw: NDArray[np.float32] = field(init=False)
    num_prb: NDArray[np.float64] = field(init=False)
    rate_hz: NDArray[np.float32] = field(init=False)
    beam_gain: NDArray[np.float32] | None = field(init=False)

    def __post_init__(self) -> None:
        gain_db = np.zeros(1, dtype=np.float32) if self.beam_gain_db is None else self.beam_gain_db
        symbols_hz = np.array([link.symbols_per_s(hz) for hz in self.bandwidth_hz])
        if self.carrier_hz is not None:
            symbols_hz *= link.downlink_share(self.carrier_hz)
        for name, value in {
            "noise_mw": np.array([link.noise_mw(hz) for hz in self.bandwidth_hz], dtype=np.float32),
            "num_prb": np.array([link.num_resource_blocks(hz) for hz in self.bandwidth_hz]) * (1.0 - self.idle),
            "rate_hz": (symbols_hz * (1.0 - self.idle) / (1.0 - IDLE_ACTIVITY)).astype(np.float32),
            "beam_gain": np.float32(10.0) ** (gain_db / np.float32(10.0)) if gain_db.any() else None,
        }.items():
            object.__setattr__(self, name, value)


@dataclass(slots=True, kw_only=True, eq=False)
class Moment:
    """What goes in; ``T`` moments, ``N`` users, ``C`` cells, ``K`` cells that assist.

    Attributes:
        serving: ``[T, N] int64`` cell column, -1 = none.
        rsrp_dbm: ``[T, N] float32`` of the serving cell.
        signal_mw: ``[T, N] float32`` received power of the serving cell at full load.
        total_mw: From activity ``[T, C]`` to all received power on the serving carrier, ``[T, N] float32``.
        demand_bps: ``[T, N] float32``.
        connected: ``[T, N] float32`` subscribers in connected mode that a user stands for.
        load: ``[T, C] float32`` first guess.
        max_output_w: ``[C] float32`` radiated power at full load, 0 off the air.
        awake: ``[C] bool``, False where the radio is off.
        carriers: None = as the scenario states.
        pools: Slice pools, None = no bounds.
        external_mw: ``[T, N] float32`` disturbance that no cell's load explains: namesakes of the serving cell
            (:func:`twin.neighbours.shared_identity_mw`), jammers; None = none.
        assist_cells: ``[T, N, K] int64`` cells that serve a user together with the serving one, -1 = none: their
            power joins the signal (non-coherent sum) and the same share of their PRBs is taken.
        assist_mw: ``[T, N, K] float32`` received power of these at full load.
        planned_failure: ``[N] float32`` share of set-ups lost for want of signal by plan, None = do not compare.
        served_share: ``[T, N] float32`` part of the moment in which a user can be sent data, None = all of it.
        transport: The links as they are set now, None = as the scenario states.
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
    carriers: Carriers | None = None
    pools: Pools | None = None
    external_mw: NDArray[np.float32] | None = None
    assist_cells: NDArray[np.int64] | None = None
    assist_mw: NDArray[np.float32] | None = None
    planned_failure: NDArray[np.float32] | None = None
    served_share: NDArray[np.float32] | None = None
    transport: Transport | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Outcome:
    """What comes out.

    Attributes:
        load: ``[T, C] float32`` share of PRBs used.
        guess: ``[T, C] float32`` where load and interference are heading: the next tick's first guess.
        sinr_db: ``[T, N] float32``, -inf without a cell; so is `rsrq_db`.
        rsrq_db: ``[T, N] float32``.
        throughput_bps: ``[T, N] float32`` what a user's data gets while some is waiting.
        delay_ms: ``[T, N] float32`` of a packet from core to UE, NaN where none is served.
        late: ``[T, N] float32`` probability that it exceeds the slice's budget, NaN without a budget.
        granted: ``[T, C, S] float64`` PRBs that each slice got on air, before transport held anything back.
        cells: ``[T, C, len(CELL_FEATURES)] float64`` sums per second.
        slices: ``[T, S, len(SLICE_FEATURES)] float64``.
        links: ``[T, L, len(LINK_FEATURES)] float64``.
    """

    load: NDArray[np.float32]
    guess: NDArray[np.float32]
    sinr_db: NDArray[np.float32]
    rsrq_db: NDArray[np.float32]
    throughput_bps: NDArray[np.float32]
    delay_ms: NDArray[np.float32]
    late: NDArray[np.float32]
    granted: NDArray[np.float64]
    cells: NDArray[np.float64]
    slices: NDArray[np.float64]
    links: NDArray[np.float64]


def evaluate(world: World, moment: Moment, *, iterations: int, kernel: Kernel | None = None) -> Outcome:
    """Settle load and interference, share the resources, and sum what happened per second.

    Args:
        world: What does not change: slices, kinds of users, power model.
        moment: What does.
        iterations: Steps of the fixed point of load and interference before the resources are shared. With 0 cells
            hear each other at the load of `moment.load`; given `guess` of the tick before, the fixed point is
            followed one step per tick.
        kernel: Default is plain numpy.
    """
    kernel = kernels.load() if kernel is None else kernel
    carriers = world.carriers if moment.carriers is None else moment.carriers
    pools = world.pools if moment.pools is None else moment.pools
    if moment.assist_cells is None or moment.assist_mw is None:
        cells, power_mw = moment.serving[:, :, None], moment.signal_mw[:, :, None]
    else:
        cells = np.concatenate([moment.serving[:, :, None], moment.assist_cells], axis=2)
        power_mw = np.concatenate([moment.signal_mw[:, :, None], moment.assist_mw], axis=2)
    idle = carriers.idle
    total_mw = moment.total_mw
    beam_gain = carriers.beam_gain
    if beam_gain is not None:
        aimed = np.maximum(cells, 0)
        more_mw = np.where(cells >= 0, power_mw * (beam_gain[aimed] - np.float32(1.0)), np.float32(0.0))
        power_mw = power_mw + more_mw
        total_mw = partial(_with_beams, moment.total_mw, aimed, more_mw)
    external_mw = _NOTHING if moment.external_mw is None else moment.external_mw
    asked = (
        cells, power_mw, external_mw, moment.demand_bps, world.slice_of_user, world.max_need, world.is_crowd,
        carriers.rate_hz, carriers.noise_mw, idle, pools.reach, link.TABLE,
    )  # fmt: skip
    load: NDArray[np.float32] = moment.load
    for _ in range(iterations):
        load = kernel.settle(load, _heard(total_mw, idle, load), *asked)
    sinr_db, rsrq_db, offered, given, throughput, granted, room, carried = kernel.share(
        load, _heard(total_mw, idle, load), *asked, pools.dedicated, pools.least, pools.most
    )
    transport = (moment.transport or world.transport).carry(carried)
    passed = transport.passed_share
    moments, num_cells, num_slices = granted.shape
    cell_sums = np.zeros((moments, num_cells, len(CELL_FEATURES)))
    slice_sums = np.zeros((moments, num_slices, len(SLICE_FEATURES)))
    planned_failure = _NOTHING.ravel() if moment.planned_failure is None else moment.planned_failure
    served_share = _NOTHING if moment.served_share is None else moment.served_share
    delay_ms, late = kernel.tally(
        cells, world.slice_of_user, sinr_db, rsrq_db, moment.rsrp_dbm, moment.connected, planned_failure, offered,
        given, throughput, served_share, carriers.rate_hz, granted, room, passed, transport.delay_ms, world.burst_bit,
        world.budget_ms, link.TABLE, link.CQI_THRESHOLD_DB, cell_sums, slice_sums,
    )  # fmt: skip
    used = cell_sums[:, :, _SHARE].astype(np.float32)
    radiated_w = _activity(idle, used) * moment.max_output_w
    on_air = moment.awake & (moment.max_output_w > 0.0)
    cell_sums[:, :, _TIME] = 1.0
    cell_sums[:, :, _ENERGY] = world.power.draw_w(radiated_w, awake=moment.awake)
    cell_sums[:, :, _PRBS] = carriers.num_prb * on_air
    cell_sums[:, :, _OFFERED] = carried
    cell_sums[:, :, _LOST] = carried * transport.loss
    slice_sums[:, :, _S_TIME] = 1.0
    slice_sums[:, :, _S_PRBS] = (granted * (passed * carriers.num_prb)[:, :, None]).sum(axis=1)
    per_cell = 1.0 / max(np.count_nonzero(on_air), 1)
    for column in _S_PER_CELL:
        slice_sums[:, :, column] *= per_cell
    return Outcome(
        load=used,
        guess=(load + DAMPING * (used - load)).astype(np.float32),
        sinr_db=sinr_db,
        rsrq_db=rsrq_db,
        throughput_bps=throughput,
        delay_ms=delay_ms,
        late=late,
        granted=granted,
        cells=cell_sums,
        slices=slice_sums,
        links=transport.links,
    )


def _activity(idle: NDArray[np.float32], load: NDArray[np.float32]) -> NDArray[np.float32]:
    return (idle + (1.0 - idle) * load).astype(np.float32, copy=False)


def _heard(total_mw: TotalPower, idle: NDArray[np.float32], load: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return all received power in the order in memory that the compiled kernel was made for."""
    return np.ascontiguousarray(total_mw(_activity(idle, load)))


def _with_beams(
    total_mw: TotalPower, cells: NDArray[np.int64], more_mw: NDArray[np.float32], activity: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return all that users receive, with the gain of the beams that point at them, ``[T, N] float32``."""
    moments, users, together = cells.shape
    own = np.take_along_axis(activity, cells.reshape(moments, -1), axis=1).reshape(moments, users, together)
    return total_mw(activity) + (own * more_mw).sum(axis=2)
