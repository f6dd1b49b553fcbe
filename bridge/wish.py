"""What an observer wants of the figures, and the part of a batch or report that this is.

Two observers with equal wishes get the same bytes. Pure; runs on the worker of :mod:`bridge.fanout`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from bridge.v1 import figures_pb2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bridge.v1 import session_pb2
    from twin.telemetry import PmReport, TelemetryBatch


class Wish(NamedTuple):
    """What makes two observers want the same bytes.

    Attributes:
        kpis: Names of the columns wanted; empty = all.
        area_m: West, south, east, north of a rectangle on the ground; None = everywhere.
        quantised: Whether figures are written as 16-bit integers.
    """

    kpis: frozenset[str] = frozenset()
    area_m: tuple[float, float, float, float] | None = None
    quantised: bool = False


def wish_of(subscribe: session_pb2.Subscribe) -> Wish:
    """Return the wish in a Subscribe."""
    area = subscribe.area_of_interest
    return Wish(
        kpis=frozenset(subscribe.kpis),
        area_m=(area.west_m, area.south_m, area.east_m, area.north_m)
        if subscribe.HasField("area_of_interest")
        else None,
        quantised=subscribe.encoding == figures_pb2.ENCODING_QUANTISED_INT16,
    )


def cut_batch(batch: TelemetryBatch, wish: Wish, place_m: NDArray[np.float32]) -> TelemetryBatch | None:
    """Return what of a batch is wanted, None when there is nothing to say.

    Args:
        batch: The figures.
        wish: What is wanted of them.
        place_m: ``[n, 3]`` where the entities of the batch are; only looked at when the wish has an area.
    """
    if wish.kpis:
        columns = [at for at, name in enumerate(batch.kpis) if name in wish.kpis]
        if not columns and batch.position_m is None:
            return None
        if len(columns) < len(batch.kpis):
            batch = replace(batch, kpis=tuple(batch.kpis[at] for at in columns), values=batch.values[:, columns])
    if wish.area_m is not None:
        inside = _inside(place_m, wish.area_m)
        batch = replace(
            batch,
            entity_index=batch.entity_index[inside],
            position_m=None if batch.position_m is None else batch.position_m[inside],
            values=batch.values[inside],
        )
    return batch


def cut_report(report: PmReport, wish: Wish, place_m: NDArray[np.float32]) -> PmReport | None:
    """Return what of a report is wanted, None when there is nothing to say; the arguments are those of a batch."""
    if wish.kpis:
        columns = [at for at, name in enumerate(report.counters) if name in wish.kpis]
        if not columns:
            return None
        if len(columns) < len(report.counters):
            names = tuple(report.counters[at] for at in columns)
            report = replace(report, counters=names, values=report.values[:, columns])
    if wish.area_m is not None:
        inside = _inside(place_m, wish.area_m)
        report = replace(report, entity_index=report.entity_index[inside], values=report.values[inside])
    return report


def _inside(place_m: NDArray[np.float32], area_m: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    west, south, east, north = area_m
    east_m, north_m = place_m[:, 0], place_m[:, 1]
    return (east_m >= west) & (east_m <= east) & (north_m >= south) & (north_m <= north)
