"""What would happen if: two runs from one state, with and without a change, and what differs between them.

Both arms begin at the same state and draw the same random numbers (common random numbers: the generator is set anew
at the start of every second, so that an arm that draws more often does not drift away from the other). What is left
of the difference is the change. Several seeds give an interval.

Synchronous and pure; :func:`what_if` does everything at once, :func:`run_arm` and :func:`compare` are its parts for
who runs the arms side by side.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from twin.entities import Kind
from twin.errors import Cancelled, CorruptStore, OutOfRange
from twin.kpi import kpi, kpis_of
from twin.network import Network
from twin.network_state import unpack
from twin.student import quantile
from twin.what_if_report import CONFIDENCE, GUARD_KPI, NETWORK_ROWS, WATCH_S, Delta, Verdict, WhatIfReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from twin.clock import CivilTime
    from twin.commands import SetAttribute
    from twin.kernels import Kernel
    from twin.kpi import Kpi
    from twin.scenario import Scenario
    from twin.telemetry import PmReport
    from twin.topology import Topology
    from twin.what_if_report import Fidelity

TICK_S = 0.1
TICKS_PER_PERIOD = 10
"""Counters are read every second, as live."""
LONGEST_SETTLE_S = 5.0
"""Seconds after the change that belong to neither side: UEs hand over, queues empty."""
SHORTEST_HORIZON_S, LONGEST_HORIZON_S = 5.0, 900.0
MAX_SEEDS = 32
MAX_NEIGHBOURS = 6
_ALSO = frozenset({"RRC.ConnMean", "DRB.PdcpSduVolumeDL", "MM.HoExeIntraSucc", "vsData6gLinkLoad"})
"""Figures without a good direction that are told all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is looked at around a change.

    Attributes:
        targets: Entities that are changed and those whose cells they govern.
        neighbours: Cells next to them.
        links: Transport of their sites.
        slices: All slices.
        guarded: Cells whose throughput must not fall.
    """

    targets: tuple[str, ...]
    neighbours: tuple[str, ...]
    links: tuple[str, ...]
    slices: tuple[str, ...]
    guarded: tuple[str, ...]


def cells_of(entity_id: str, topology: Topology, scenario: Scenario) -> tuple[str, ...]:
    """Return the cells that an attribute of this entity governs.

    Raises:
        UnknownEntity: No such entity.
    """
    entity = topology.get(entity_id)
    if entity.kind is Kind.CELL:
        return (entity.id,)
    named = (str(entity.properties.get(key, "")) for key in ("source_id", "target_id", "cell_id"))
    if cells := tuple(one for one in named if one):
        return cells
    sites = {entity.id, entity.parent_id, entity.properties.get("a_id"), entity.properties.get("b_id")}
    return tuple(cell.id for cell in scenario.cells if cell.site_id in sites)


def around(changes: Sequence[SetAttribute], topology: Topology, scenario: Scenario) -> Surroundings:
    """Return what to look at when these attributes change.

    Raises:
        UnknownEntity: No such entity.
    """
    cells = tuple(dict.fromkeys(cell for one in changes for cell in cells_of(one.entity_id, topology, scenario)))
    near = [one.target_id for one in scenario.neighbours if one.source_id in cells and one.target_id not in cells]
    neighbours = tuple(dict.fromkeys(near))[:MAX_NEIGHBOURS]
    sites = {cell.site_id for cell in scenario.cells if cell.id in cells}
    touched = tuple(dict.fromkeys(one.entity_id for one in changes))
    links = [link.id for link in scenario.links if link.id in touched or {link.a_id, link.b_id} & sites]
    locked = {one.entity_id for one in changes if one.attribute == "administrativeState"}
    return Surroundings(
        targets=tuple(dict.fromkeys((*touched, *cells))),
        neighbours=neighbours,
        links=tuple(links),
        slices=tuple(part.id for part in scenario.slices),
        guarded=tuple(cell for cell in (*cells, *neighbours) if cell not in locked),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arm:
    """One run: one seed, with or without the change.

    Attributes:
        rows: (entity id, KPI) of the columns of `values`; network figures last, with entity id "".
        values: ``[num_periods, num_rows] float32`` a second each, NaN = not measured.
    """

    seed: int
    sim_time_s: float
    rows: tuple[tuple[str, str], ...]
    values: NDArray[np.float32]
    cpu_s: float


def seed_of(state: bytes, scenario: Scenario) -> int:
    """Return the seed of the network that a state was taken from.

    Raises:
        CorruptStore: Not a state, damaged, or of another scenario.
    """
    document, _ = unpack(state)
    if document["scenario"] != scenario.digest:
        raise CorruptStore(
            f"the state belongs to scenario `{document['scenario'][:12]}`, not to `{scenario.digest[:12]}`; ask the"
            " scene of this city for its state"
        )
    return int(document["seed"])


def run_arm(
    network: Network,
    state: bytes,
    changes: Sequence[SetAttribute],
    look_at: Surroundings,
    *,
    seed: int,
    horizon_s: float,
    on_progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Arm:
    """Bring a network to the state, apply the changes, step over the horizon and read its counters every second.

    Args:
        network: Of the scenario and seed of the state; what it held is gone.
        changes: Empty = the arm without.
        on_progress: Called with 0..1 after every simulated second.
        cancelled: Asked every tick.

    Raises:
        CorruptStore: The state is not of this network. InvalidInput: The network refuses the changes.
        Cancelled: Somebody called it off.
    """
    begin_cpu_s = time.process_time()
    network.restore(state)
    start_s = network.sim_time_s
    _close(network)  # what was counted before belongs to nobody
    network.reseed(_number(seed, 0))
    if changes:
        network.apply(changes)
    rows: tuple[tuple[str, str], ...] = ()
    places: NDArray[np.int64] | None = None
    periods: list[NDArray[np.float32]] = []
    for number in range(round(horizon_s / (TICK_S * TICKS_PER_PERIOD))):
        network.reseed(_number(seed, number))
        for tick in range(TICKS_PER_PERIOD):
            if cancelled is not None and cancelled():
                raise Cancelled("the what-if run was called off")
            network.step(TICK_S)
            # Ten additions of 0.1 are not 1.0.
            network.sim_time_s = round(start_s + (number * TICKS_PER_PERIOD + tick + 1) * TICK_S, 3)
        report = _close(network)
        if places is None:
            rows, places = _places(report, network.topology, look_at)
        periods.append(np.concatenate([report.values.ravel()[places], _whole(report, network)]))
        if on_progress is not None:
            on_progress((number + 1) * TICK_S * TICKS_PER_PERIOD / horizon_s)
    return Arm(
        seed=seed,
        sim_time_s=start_s,
        rows=(*rows, *(("", row.name) for row in NETWORK_ROWS)),
        values=np.stack(periods),
        cpu_s=time.process_time() - begin_cpu_s,
    )


def _number(seed: int, period: int) -> int:
    return (seed << 20) + period


def _close(network: Network) -> PmReport:
    return network.close_period(scene_id="what-if", epoch=1, seq=1, granularity_period_s=1)


def _places(
    report: PmReport, topology: Topology, look_at: Surroundings
) -> tuple[tuple[tuple[str, str], ...], NDArray[np.int64]]:
    """Return the (entity, KPI) looked at and where each stands in the flattened values of a report."""
    row_of = {int(index): row for row, index in enumerate(report.entity_index)}
    column_of = {name: column for column, name in enumerate(report.counters)}
    wanted: list[tuple[str, str]] = []
    for entity_id in dict.fromkeys((*look_at.targets, *look_at.neighbours, *look_at.slices, *look_at.links)):
        for one in kpis_of(topology.get(entity_id).kind):
            told = one.good != "none" or one.name in _ALSO
            if told and (entity_id in look_at.targets or one.watched or one.name == GUARD_KPI):
                wanted.append((entity_id, one.name))
    known = [
        (entity_id, name) for entity_id, name in wanted if topology.get(entity_id).index in row_of and name in column_of
    ]
    width = len(report.counters)
    places = [row_of[topology.get(entity_id).index] * width + column_of[name] for entity_id, name in known]
    return tuple(known), np.array(places, dtype=np.int64)


def _whole(report: PmReport, network: Network) -> NDArray[np.float32]:
    """Return the figures of the whole network in one second, ``[len(NETWORK_ROWS)] float32``."""
    batch = network.telemetry(scene_id="what-if", epoch=1, seq=1)
    throughput = batch.values[:, batch.kpis.index("DRB.UEThpDl")]
    served = batch.values[:, batch.kpis.index("vsData6gServingCell")] >= 0
    throughput = throughput[np.isfinite(throughput)]
    kinds = np.array([network.topology.at(int(index)).kind for index in report.entity_index], dtype=object)

    def column(name: str, kind: Kind) -> NDArray[np.float64]:
        if name not in report.counters:
            return np.zeros(0)
        values = report.values[kinds == kind, report.counters.index(name)].astype(np.float64)
        return values[np.isfinite(values)]

    def total(name: str) -> float:
        values = column(name, Kind.CELL)
        return float(values.sum()) if len(values) else math.nan

    violation = column("vsData6gUrllcViolation", Kind.SLICE)
    figures = {
        "DRB.UEThpDl": throughput.mean() if len(throughput) else math.nan,
        "vsData6gUeThpDlP5": np.quantile(throughput, 0.05) if len(throughput) else math.nan,
        "vsData6gUnservedUes": 100.0 * (1.0 - served.mean()) if len(served) else math.nan,
        "PEE.AvgPower": total("PEE.AvgPower"),
        "MM.HoExeIntraSucc": total("MM.HoExeIntraSucc"),
        "vsData6gRadioLinkFailures": total("vsData6gRadioLinkFailures"),
        "vsData6gUrllcViolation": violation.max() if len(violation) else math.nan,
    }
    return np.array([figures[row.name] for row in NETWORK_ROWS], dtype=np.float32)


def what_if(
    state: bytes,
    scenario: Scenario,
    topology: Topology,
    civil: CivilTime,
    changes: Sequence[SetAttribute],
    *,
    horizon_s: float = 60.0,
    seeds: Sequence[int] = (1, 2, 3, 4),
    kernel: Kernel | None = None,
    fidelity: Fidelity = "state",
    on_progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> WhatIfReport:
    """Return what the changes would do over the horizon, compared with leaving everything as it is.

    Args:
        state: Of the scene, as :meth:`twin.network.Network.snapshot` gives it.
        topology: Any revision of the inventory; what is configured comes from the state.
        seeds: Both arms are run with each.
        kernel: What does the arithmetic, see :mod:`twin.kernels`; None = numpy.
        on_progress: Called with 0..1.
        cancelled: Asked every tick whether to stop.

    Raises:
        CorruptStore: Not a state, damaged, or of another scenario. OutOfRange: Horizon or seeds.
        UnknownEntity, UnknownName, OutOfRange: The changes cannot be applied. Cancelled: Somebody called it off.
    """
    check_size(horizon_s, seeds)
    look_at = around(changes, topology, scenario)
    network = Network(scenario, topology, civil, seed=seed_of(state, scenario), kernel=kernel)
    arms: list[Arm] = []
    for seed in seeds:
        for wanted in ((), tuple(changes)):
            done = len(arms) / (2 * len(seeds))

            def tell(share: float, done: float = done) -> None:
                if on_progress is not None:
                    on_progress(done + share / (2 * len(seeds)))

            arm = run_arm(
                network, state, wanted, look_at, seed=seed, horizon_s=horizon_s, on_progress=tell, cancelled=cancelled
            )
            arms.append(arm)
    return compare(arms[::2], arms[1::2], look_at, horizon_s=horizon_s, fidelity=fidelity)


def check_size(horizon_s: float, seeds: Sequence[int]) -> None:
    """Refuse what would take for ever or say nothing.

    Raises:
        OutOfRange: Horizon or number of seeds.
    """
    if not SHORTEST_HORIZON_S <= horizon_s <= LONGEST_HORIZON_S:
        raise OutOfRange(
            f"a what-if looks {SHORTEST_HORIZON_S:g} to {LONGEST_HORIZON_S:g} s ahead, not `{horizon_s:g}`"
        )
    if not 1 <= len(seeds) <= MAX_SEEDS:
        raise OutOfRange(f"a what-if runs 1 to {MAX_SEEDS} seeds, not `{len(seeds)}`")


def compare(
    base: Sequence[Arm], changed: Sequence[Arm], look_at: Surroundings, *, horizon_s: float, fidelity: Fidelity
) -> WhatIfReport:
    """Return the report of arms that belong together pairwise."""
    settle_s = min(LONGEST_SETTLE_S, math.floor(horizon_s / 4))
    skip = round(settle_s / (TICK_S * TICKS_PER_PERIOD))
    without, with_it = (np.stack([arm.values[skip:] for arm in arms]).astype(np.float64) for arms in (base, changed))
    rows = base[0].rows
    deltas = (
        _delta(entity_id, name, without[:, :, at], with_it[:, :, at]) for at, (entity_id, name) in enumerate(rows)
    )
    guarded = [at for at, (entity_id, name) in enumerate(rows) if name == GUARD_KPI and entity_id in look_at.guarded]
    both = np.array(
        [at for at in guarded if np.isfinite(without[:, :, at]).any() and np.isfinite(with_it[:, :, at]).any()], int
    )
    return WhatIfReport(
        fidelity=fidelity,
        sim_time_s=base[0].sim_time_s,
        horizon_s=horizon_s,
        settle_s=settle_s,
        seeds=tuple(arm.seed for arm in base),
        targets=look_at.targets,
        deltas=tuple(one for one in deltas if one is not None),
        guard=_guard(without[:, :, both], with_it[:, :, both]),
        cpu_s=round(sum(arm.cpu_s for arm in (*base, *changed)), 3),
    )


LARGEST_FACTOR = 10.0
"""An estimate is stretched at most this much to fit what was measured."""


def anchored(report: WhatIfReport, measured: Mapping[tuple[str, str], float], guarded: Sequence[str]) -> WhatIfReport:
    """Return an estimated report put where the network was measured.

    Levels (dB, dBm, per cent) keep their difference; amounts (kbit/s, ms, counts) keep their relative difference.

    Args:
        measured: (entity id, KPI) to its last mean.
        guarded: Cells of the guard KPI.
    """
    deltas = tuple(_put(one, measured.get((one.entity_id, one.kpi))) for one in report.deltas)
    levels = [measured[cell, GUARD_KPI] for cell in guarded if (cell, GUARD_KPI) in measured]
    guard = _put(report.guard, sum(levels) / len(levels) if levels else None)
    return replace(report, deltas=deltas, guard=guard)


def _put(found: Delta, level: float | None) -> Delta:
    if level is None or found.base is None or found.delta is None:
        return found
    factor = 1.0
    if found.unit not in {"dB", "dBm", "%"} and found.base != 0.0:
        factor = min(max(level / found.base, 1.0 / LARGEST_FACTOR), LARGEST_FACTOR)

    def scaled(value: float | None) -> float | None:
        return None if value is None else factor * value

    delta = factor * found.delta
    return replace(
        found,
        base=level,
        changed=level + delta,
        delta=delta,
        low=scaled(found.low),
        high=scaled(found.high),
        likely_low=scaled(found.likely_low),
        likely_high=scaled(found.likely_high),
    )


def _guard(without: NDArray[np.float64], with_it: NDArray[np.float64]) -> Delta:
    """Return the mean over the guarded cells of what each has over time, ``[seeds, periods, cells]`` in."""
    if not without.shape[2]:
        return Delta(entity_id="", kpi=GUARD_KPI, unit=kpi(GUARD_KPI).unit, verdict=Verdict.UNCHANGED)
    cells = [_reduced(side, kpi(GUARD_KPI)) for side in (without, with_it)]
    both = np.isfinite(cells[0]) & np.isfinite(cells[1])
    sides = [np.nansum(np.where(both, side, 0.0), axis=1) / np.maximum(both.sum(axis=1), 1) for side in cells]
    found = _delta("", GUARD_KPI, sides[0][:, None], sides[1][:, None])
    return found or Delta(entity_id="", kpi=GUARD_KPI, unit=kpi(GUARD_KPI).unit, verdict=Verdict.UNCHANGED)


def _reduced(values: NDArray[np.float64], row: Kpi) -> NDArray[np.float64]:
    """Reduce axis 1 by the KPI's own rule; NaN without data."""
    known = np.isfinite(values)
    total, count = np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1)
    if row.reduce == "max":
        total = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(count > 0, total / np.maximum(count, 1) if row.reduce == "mean" else total, np.nan)


def _delta(entity_id: str, name: str, without: NDArray[np.float64], with_it: NDArray[np.float64]) -> Delta | None:
    """Return what happens to one figure, ``[seeds, periods]`` in; None when neither arm measured it."""
    nothing = Delta(entity_id=entity_id, kpi=name, unit="", verdict=Verdict.UNCLEAR)
    row = nothing.row
    sides = _reduced(without, row), _reduced(with_it, row)
    base, changed = (float(side[np.isfinite(side)].mean()) if np.isfinite(side).any() else None for side in sides)
    found = replace(nothing, unit=row.unit, base=base, changed=changed)
    if base is None or changed is None:
        if base is changed:
            return None
        return replace(found, verdict=Verdict.APPEARS if base is None else Verdict.VANISHES)
    apart = (sides[1] - sides[0])[np.isfinite(sides[0]) & np.isfinite(sides[1])]
    if not len(apart):
        return found
    delta = float(apart.mean())
    half = _half(float(apart.std(ddof=1)), len(apart)) if len(apart) > 1 else None
    likely = _likely(half, without, with_it, row)
    return replace(
        found,
        verdict=_verdict(apart, delta, half, row),
        delta=delta,
        low=None if half is None else delta - half,
        high=None if half is None else delta + half,
        likely_low=None if likely is None else delta - likely,
        likely_high=None if likely is None else delta + likely,
    )


def _half(deviation: float, count: int) -> float:
    return quantile(0.5 + CONFIDENCE / 2, count - 1) * deviation / math.sqrt(count)


def _likely(half: float | None, without: NDArray[np.float64], with_it: NDArray[np.float64], row: Kpi) -> float | None:
    """Return how far from the mean difference one measurement, after against before, may lie by chance.

    Before and after see other traffic, so their spreads add up: windows of both arms of :data:`WATCH_S`, all seeds.
    """
    window = round(WATCH_S / (TICK_S * TICKS_PER_PERIOD))
    count = without.shape[1] // window
    if half is None or row.reduce != "mean" or count == 0:
        return None
    spread, windows = 0.0, math.inf
    for side in (without, with_it):
        values = _reduced(side[:, : count * window].reshape(-1, window), row)
        values = values[np.isfinite(values)]
        if len(values) < 2:
            return None
        spread += float(values.var(ddof=1))
        windows = min(windows, len(values))
    return math.hypot(half, quantile(0.5 + CONFIDENCE / 2, int(windows) - 1) * math.sqrt(spread))


def _verdict(apart: NDArray[np.float64], delta: float, half: float | None, row: Kpi) -> Verdict:
    least = 0.5 * 10.0**-row.decimals
    if not apart.any() or (half is not None and abs(delta) + half < least):
        return Verdict.UNCHANGED
    if half is None or abs(delta) <= half:
        return Verdict.UNCLEAR
    if row.good == "none":
        return Verdict.CHANGED
    return Verdict.BETTER if (delta > 0) == (row.good == "up") else Verdict.WORSE
