"""From additive sums to the counters of a PM report, the same way for one live second and for a period of the past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.entities import Kind
from twin.handover import MOBILITY_FEATURES
from twin.kpi import KPIS
from twin.moments import CELL_FEATURES, SLICE_FEATURES
from twin.random_access import contention
from twin.setup_failures import PROCEDURES, Procedure, percent
from twin.transport import LINK_FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.random_access import RandomAccess
    from twin.world import World

REPORT_KINDS = (Kind.CELL, Kind.SLICE, Kind.LINK)
COUNTERS = tuple(row.name for row in KPIS if set(row.kinds) & set(REPORT_KINDS))
"""Columns of every report, in the order of the KPI table."""
SERVED_DISTANCE_SHARE = 0.95
_MIN_ACTIVE_S = 1e-6
"""Less active time than this is no traffic: a throughput would be a division of nothing by nothing."""

Columns = dict[str, "NDArray[np.float64]"]


@dataclass(slots=True, kw_only=True, eq=False)
class SetUps:
    """Set-ups of one period, or of many in the leading axis; all ``[..., num_cells]``.

    Attributes:
        attempts: RRC set-up attempts.
        failures: RRC set-ups that failed.
        rrc_percent: RRC failure rate over the last 15 minutes.
        drb_percent: DRB failure rate over the last 15 minutes.
        preambles: Random access preambles received, None where they were not counted.
    """

    attempts: NDArray[np.int64]
    failures: NDArray[np.int64]
    rrc_percent: NDArray[np.float64]
    drb_percent: NDArray[np.float64]
    preambles: NDArray[np.float64] | None = None


def draw_set_ups(
    world: World,
    sums: NDArray[np.float64],
    *,
    week_second: NDArray[np.float64],
    sim_time_s: NDArray[np.float64],
    rng: np.random.Generator,
    access: RandomAccess | None = None,
) -> dict[Procedure, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return (attempts, failures) by procedure, ``[num_times, num_cells]`` each, for sums of whole periods.

    Attempts are Poisson around what the connections ask for, and those of UEs that looked for a cell; each fails with
    the fitted probability, or for want of signal, or by collisions of preambles, or because random access is sick.
    Every successful RRC set-up attempts one bearer. (A UE of its own account tries again within the tick in which the
    fitted chance lets it fail.)
    """
    expected = sums[..., CELL_FEATURES.index("attempts")]
    failing = sums[..., CELL_FEATURES.index("no_signal")]
    connects = np.zeros(expected.shape[-1])
    if access is not None:
        connects = access.connects
        expected = expected + access.knocks
        failing = failing + access.refused + access.knocks + access.unheard + access.collided
    lost = np.minimum(failing / np.maximum(expected + connects, 1e-9), 1.0)
    collided = contention(expected / np.maximum(sums[..., CELL_FEATURES.index("time_s")], 1e-9))[2]
    attempts = rng.poisson(expected) + connects.astype(np.int64)
    drawn: dict[Procedure, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    for name in PROCEDURES:
        chance = world.failures.probability(name, week_second=week_second, sim_time_s=sim_time_s)
        chance = np.clip(1.0 - (1.0 - chance) * (1.0 - lost) * (1.0 - collided), 0.0, 1.0)
        failures = rng.binomial(attempts, chance)
        drawn[name] = (attempts, failures)
        attempts = attempts - failures
    return drawn


def preambles(sums: NDArray[np.float64], attempts: NDArray[np.int64], access: RandomAccess) -> NDArray[np.float64]:
    """Return the contention-based preambles that a cell received, those that collided and were repeated included."""
    others = attempts - access.connects
    _, received, _ = contention(others / np.maximum(sums[..., CELL_FEATURES.index("time_s")], 1e-9))
    return np.rint(others * received + access.preambles)


def set_ups_of(drawn: dict[Procedure, tuple[NDArray[np.int64], NDArray[np.int64]]]) -> SetUps:
    """Return the set-ups of periods that are themselves 15 minutes long."""
    attempts, failures = drawn["rrc"]
    return SetUps(
        attempts=attempts,
        failures=failures,
        rrc_percent=percent(failures, attempts),
        drb_percent=percent(drawn["drb"][1], drawn["drb"][0]),
    )


def report_values(
    *,
    cells: NDArray[np.float64],
    slices: NDArray[np.float64],
    links: NDArray[np.float64],
    set_ups: SetUps,
    mobility: NDArray[np.float64] | None = None,
    most_connected: NDArray[np.float64] | None = None,
    served_distance_m: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """Return ``[..., num_cells + num_slices + num_links, len(COUNTERS)] float32``; NaN where an entity has none.

    Args:
        cells: ``[..., num_cells, len(CELL_FEATURES)]`` sums over the period, times seconds.
        slices: ``[..., num_slices, len(SLICE_FEATURES)]``.
        links: ``[..., num_links, len(LINK_FEATURES)]``.
        set_ups: Attempts and failures of the period.
        mobility: ``[..., num_cells, len(MOBILITY_FEATURES)]`` counts; None in the past, which has no ticks.
        most_connected: ``[..., num_cells]`` highest number of connections; None in the past.
        served_distance_m: ``[..., num_cells]`` as it is now; None in the past.
    """
    live = _live_columns(set_ups, mobility, most_connected)
    if served_distance_m is not None:
        live["vsData6gServedDistance"] = served_distance_m
    blocks = (_cell_columns(cells, set_ups) | live, _slice_columns(slices), _link_columns(links))
    sizes = (cells.shape[-2], slices.shape[-2], links.shape[-2])
    values = np.full((*cells.shape[:-2], sum(sizes), len(COUNTERS)), np.nan, dtype=np.float32)
    start = 0
    for block, size in zip(blocks, sizes, strict=True):
        for name, column in block.items():
            values[..., start : start + size, COUNTERS.index(name)] = column
        start += size
    return values


def percentile_by_cell(
    value: NDArray[np.floating],
    *,
    cell: NDArray[np.int64],
    weight: NDArray[np.floating],
    share: float,
    num_cells: int,
) -> NDArray[np.float64]:
    """Return the weighted percentile of a figure over the users of each cell, ``[num_cells] float64``, NaN without.

    Args:
        value: ``[n]``.
        cell: ``[n]`` column of each.
        weight: ``[n]`` how many users each stands for.
        share: 0..1.
        num_cells: How many cells.
    """
    order = np.lexsort((value, cell))
    cell, value = cell[order], value[order]
    heap = np.cumsum(weight[order], dtype=np.float64)
    total = np.bincount(cell, weight[order], num_cells)
    below = np.concatenate([[0.0], np.cumsum(total)])
    found = np.full(num_cells, np.nan)
    some = np.flatnonzero(total > 0)
    place = np.searchsorted(heap, below[some] + share * total[some] - 1e-9)
    found[some] = value[np.minimum(place, len(value) - 1)]
    return found


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    return np.where(below > least, above / np.maximum(below, least), np.nan)


def _traffic(feature: Columns) -> Columns:
    """Return the KPIs that cells and slices share."""
    time_s = np.maximum(feature["time_s"], 1e-9)
    return {
        # TS 28.552 5.1.1.3.1: volume over the time in which data was waiting.
        "DRB.UEThpDl": _ratio(feature["bits"] / 1e3, feature["active"], _MIN_ACTIVE_S),
        "RRU.PrbTotDl": np.minimum(100.0 * feature["share"] / time_s, 100.0),
        "DRB.PdcpSduVolumeDL": feature["bits"] / 1e6,
        "RRC.ConnMean": feature["connected"] / time_s,
        "DRB.MeanActiveUeDl": feature["active"] / time_s,
        "DRB.RlcSduDelayDl": _ratio(feature["bit_air_delay"], feature["bits"], 1.0),
        "vsData6gPacketDelay": _ratio(feature["bit_delay"], feature["bits"], 1.0),
        "DRB.RlcPacketDropRateDl": 100.0 * _ratio(feature["dropped_bits"], feature["offered_bits"], 1.0),
        "vsData6gUrllcViolation": 100.0 * _ratio(feature["late_bits"], feature["budgeted_bits"], 1.0),
    }


def _columns(sums: NDArray[np.float64], names: tuple[str, ...]) -> Columns:
    return {name: sums[..., place] for place, name in enumerate(names)}


_MOBILITY_KPIS = dict(
    zip(
        MOBILITY_FEATURES,
        (
            "MM.HoPrepIntraReq", "MM.HoPrepIntraSucc", "MM.HoExeIntraReq", "MM.HoExeIntraSucc", "HO.IntraSys.TooEarly",
            "HO.IntraSys.TooLate", "HO.IntraSys.ToWrongCell", "vsData6gHoPingPong", "RRC.ReEstabAtt",
            "RRC.ReEstabSuccWithUeContext", "vsData6gRadioLinkFailures", "RACH.PreambleDedCell",
        ),
        strict=True,
    )
)  # fmt: skip
"""TS 28.552 has no counter of failed intra-gNB executions: they are MM.HoExeIntraReq less MM.HoExeIntraSucc."""


def _live_columns(
    set_ups: SetUps, mobility: NDArray[np.float64] | None, most_connected: NDArray[np.float64] | None
) -> Columns:
    """Return the KPIs that only a network with ticks can count."""
    columns: Columns = {}
    if mobility is not None:
        columns |= {_MOBILITY_KPIS[name]: mobility[..., place] for place, name in enumerate(MOBILITY_FEATURES)}
    if most_connected is not None:
        columns["RRC.ConnMax"] = most_connected
    if set_ups.preambles is not None:
        columns["RACH.PreambleACell"] = set_ups.preambles
    return columns


def _cell_columns(sums: NDArray[np.float64], set_ups: SetUps) -> Columns:
    feature = _columns(sums, CELL_FEATURES)
    someone = 1e-6 * np.maximum(feature["time_s"], 1e-9)

    def mean_of_users(name: str) -> NDArray[np.float64]:
        return np.where(feature["connected"] > someone, feature[name] / np.maximum(feature["connected"], 1e-12), np.nan)

    return _traffic(feature) | {
        "RRC.ConnEstabAtt": set_ups.attempts.astype(np.float64),
        "RRC.ConnEstabSucc": (set_ups.attempts - set_ups.failures).astype(np.float64),
        "vsData6gRrcSetupFailureRate": set_ups.rrc_percent,
        "vsData6gDrbSetupFailureRate": set_ups.drb_percent,
        "vsData6gMeanSsRsrp": mean_of_users("rsrp"),
        "vsData6gMeanSsSinr": mean_of_users("sinr"),
        "vsData6gMeanCqi": mean_of_users("cqi"),
        "vsData6gMeanSsRsrq": mean_of_users("rsrq"),
        "vsData6gWeakCoverage": 100.0 * mean_of_users("weak"),
        "RRU.PrbAvailDl": feature["prbs"] / np.maximum(feature["time_s"], 1e-9),
        "RRU.PrbUsedDl": feature["share"] * feature["prbs"] / np.maximum(feature["time_s"], 1e-9) ** 2,
        "PEE.AvgPower": feature["energy_j"] / np.maximum(feature["time_s"], 1e-9),
        "PEE.Energy": feature["energy_j"] / 3.6e6,
        "vsData6gTransportLoss": 100.0 * _ratio(feature["transport_lost_bits"], feature["transport_bits"], 1.0),
    }


def _slice_columns(sums: NDArray[np.float64]) -> Columns:
    feature = _columns(sums, SLICE_FEATURES)
    return _traffic(feature) | {"RRU.PrbUsedDl": feature["prbs"] / np.maximum(feature["time_s"], 1e-9)}


def _link_columns(sums: NDArray[np.float64]) -> Columns:
    feature = _columns(sums, LINK_FEATURES)
    time_s = np.maximum(feature["time_s"], 1e-9)
    return {
        "vsData6gLinkLoad": np.minimum(100.0 * feature["load"] / time_s, 1000.0),
        "vsData6gLinkThroughput": feature["bits"] / 1e6 / time_s,
        "vsData6gLinkDelay": _ratio(feature["delay"], feature["up_s"], 1e-9),
        "vsData6gLinkLoss": 100.0 * _ratio(feature["lost_bits"], feature["bits"] + feature["lost_bits"], 1.0),
    }
