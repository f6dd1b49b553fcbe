"""Demand: who wants how much, when and where.

Volume is a seasonal curve by land use, times slow noise, times sessions: :mod:`twin.traffic.curves` (shapes fitted to
measured days), :mod:`twin.traffic.noise`, :mod:`twin.traffic.sessions` (bursts fitted to phone traces). What the
sessions are made of stands in :mod:`twin.traffic.applications`, who has them in :mod:`twin.traffic.groups`, and
:mod:`twin.traffic.crowds` tells of events. :mod:`twin.traffic.model` is the interface behind which another generator
can stand. Coefficients ship in ``twin/data``; their JSON names the sources.
"""

from twin.traffic.crowds import FlashCrowd, demand_factor
from twin.traffic.curves import (
    DAY_S,
    FLAT,
    WEEK_S,
    WEEKEND_LEVEL,
    WeekCurves,
    activity,
    busy_hour_share,
    fitted,
    fitted_curves,
    second_of_week,
)
from twin.traffic.model import MeasuredTraffic, ParametricTraffic, TrafficModel
from twin.traffic.noise import Drift, spread_factor
from twin.traffic.sessions import SessionModel, Sessions, duty_of

__all__ = [
    "DAY_S",
    "FLAT",
    "WEEKEND_LEVEL",
    "WEEK_S",
    "Drift",
    "FlashCrowd",
    "MeasuredTraffic",
    "ParametricTraffic",
    "SessionModel",
    "Sessions",
    "TrafficModel",
    "WeekCurves",
    "activity",
    "busy_hour_share",
    "demand_factor",
    "duty_of",
    "fitted",
    "fitted_curves",
    "second_of_week",
    "spread_factor",
]
