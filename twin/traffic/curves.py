"""Seasonal shape of demand: one curve over the week for each land use, harmonics fitted to measured days."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.entities import LandUse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.clock import CivilTime

DAY_S = 86_400
WEEK_S = 7 * DAY_S
BIN_S = 600
BINS = WEEK_S // BIN_S
FLAT = len(LandUse)
"""Row of the curve that is always 1: machines keep no hours."""
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIN_ACTIVITY = 0.02
"""Harmonics may dip below zero at night; a city never falls quite silent."""
WEEKEND_LEVEL = {
    LandUse.RESIDENTIAL: 1.0,
    LandUse.OFFICE: 0.5,
    LandUse.TRANSPORT: 0.75,
    LandUse.ENTERTAINMENT: 1.0,
}
"""Level of Saturday and Sunday against a working day: an assumption of ours. Each measured curve is a share of its
own maximum, so the data give shapes only."""
MIDNIGHT_BLEND_S = 3_600
"""Half of the interval around midnight over which one weekday's curve fades into the next."""


@cache
def fitted(name: str) -> dict[str, Any]:
    """Return a document of fitted coefficients from ``twin/data``."""
    return json.loads(resources.files("twin").joinpath("data", name).read_text(encoding="utf-8"))


def second_of_week(civil: CivilTime, sim_time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return seconds since Monday 00:00 local time of the city for each simulated time."""
    moments = (civil.at(float(time_s)) for time_s in sim_time_s)
    return np.array(
        [m.weekday() * DAY_S + m.hour * 3600 + m.minute * 60 + m.second + m.microsecond / 1e6 for m in moments]
    )


class WeekCurves:
    """Curves over the week in bins of ten minutes, linear in between.

    Args:
        table: ``[num_curves, 1008] float32``, the first bin at Monday 00:00.
    """

    def __init__(self, table: NDArray[np.float32]) -> None:
        self.table = table

    def at(self, week_second: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return every curve at the given seconds of the week, ``[num_times, num_curves] float32``."""
        place = (week_second % WEEK_S) / BIN_S
        low = place.astype(np.int64)
        part = (place - low).astype(np.float32)
        return (self.table[:, low] * (1 - part) + self.table[:, (low + 1) % BINS] * part).T.astype(np.float32)


@cache
def fitted_curves() -> WeekCurves:
    """Return the fitted curves in the order of `LandUse`, and the flat one behind them."""
    document = fitted("daily_curves.json")["curves"]
    second = np.arange(0, DAY_S, BIN_S, dtype=np.float64)

    def curve(land_use: LandUse, weekday: str) -> NDArray[np.float64]:
        coefficients = np.array(document[land_use.value][weekday]["coefficients"])
        order = np.arange(1, (len(coefficients) + 1) // 2)
        angle = 2 * np.pi * order * (second[:, None] / DAY_S)
        return coefficients[0] + np.cos(angle) @ coefficients[1::2] + np.sin(angle) @ coefficients[2::2]

    early = np.clip(0.5 - second / (2 * MIDNIGHT_BLEND_S), 0.0, 0.5)
    late = np.clip(0.5 - (DAY_S - second) / (2 * MIDNIGHT_BLEND_S), 0.0, 0.5)
    table = np.ones((len(LandUse) + 1, 7, len(second)), dtype=np.float64)
    for row, land_use in enumerate(LandUse):
        level = [1.0] * 5 + [WEEKEND_LEVEL[land_use]] * 2
        days = [curve(land_use, weekday) * level[day] for day, weekday in enumerate(_WEEKDAYS)]
        for day in range(7):
            table[row, day] = days[day] * (1 - early - late) + days[day - 1] * early + days[(day + 1) % 7] * late
    return WeekCurves(np.clip(table, MIN_ACTIVITY, 1.0).reshape(FLAT + 1, -1).astype(np.float32))


def activity(week_second: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the share of busy-hour demand, ``[num_times, 5] float32``: by land use, and 1 for what keeps no hours."""
    return fitted_curves().at(week_second)


def busy_hour_share(land_use: LandUse) -> float:
    """Return the share of a working day's volume that falls into its busiest hour."""
    day = fitted_curves().table[list(LandUse).index(land_use), : DAY_S // BIN_S].astype(np.float64)
    hours = np.convolve(np.concatenate([day, day[:5]]), np.ones(6), mode="valid")
    return float(hours.max() / day.sum())
