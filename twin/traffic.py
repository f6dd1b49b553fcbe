"""Demand: daily curves by land use and weekday, sessions of the UEs, and the crowd.

The crowd stands for the subscribers who are not followed one by one: points around the UEs' homes, each with a
demand that follows its land use's measured daily curve and drifts slowly. UEs add sessions whose lengths and rates
were fitted to phone traces. Coefficients ship in ``twin/data``; their JSON names the sources.
"""

from __future__ import annotations

import json
import math
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
_BIN_S = 600
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


@cache
def _week_table() -> NDArray[np.float32]:
    """Return activity by land use and bin of the week, ``[4, 1008] float32``."""
    document = fitted("daily_curves.json")["curves"]
    second = np.arange(0, DAY_S, _BIN_S, dtype=np.float64)

    def curve(land_use: LandUse, weekday: str) -> NDArray[np.float64]:
        coefficients = np.array(document[land_use.value][weekday]["coefficients"])
        order = np.arange(1, (len(coefficients) + 1) // 2)
        angle = 2 * np.pi * order * (second[:, None] / DAY_S)
        return coefficients[0] + np.cos(angle) @ coefficients[1::2] + np.sin(angle) @ coefficients[2::2]

    table = np.empty((len(LandUse), 7, len(second)), dtype=np.float64)
    for row, land_use in enumerate(LandUse):
        level = [1.0] * 5 + [WEEKEND_LEVEL[land_use]] * 2
        days = [curve(land_use, weekday) * level[day] for day, weekday in enumerate(_WEEKDAYS)]
        for day in range(7):
            early = np.clip(0.5 - second / (2 * MIDNIGHT_BLEND_S), 0.0, 0.5)
            late = np.clip(0.5 - (DAY_S - second) / (2 * MIDNIGHT_BLEND_S), 0.0, 0.5)
            table[row, day] = days[day] * (1 - early - late) + days[day - 1] * early + days[(day + 1) % 7] * late
    return np.clip(table, MIN_ACTIVITY, 1.0).reshape(len(LandUse), -1).astype(np.float32)


def activity(week_second: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the share of busy-hour demand by land use, ``[num_times, 4] float32`` in the order of `LandUse`."""
    table = _week_table()
    place = (week_second % WEEK_S) / _BIN_S
    low = place.astype(np.int64)
    part = (place - low).astype(np.float32)
    return (table[:, low] * (1 - part) + table[:, (low + 1) % table.shape[1]] * part).T.astype(np.float32)


class Drift:
    """A slowly wandering standard normal state for each of many things, as a function of time alone.

    Independent normal draws stand at regular knots in time; between two knots their mix is scaled to unit variance.
    Any time can be asked for in any order and gives the same answer, so past and present join without a seam.

    Args:
        size: How many things.
        knot_s: Time between knots; the state forgets itself after about two of them.
        rng: Gives the key; the draws themselves come from a counter-based generator at (key, knot).
    """

    def __init__(self, size: int, *, knot_s: float, rng: np.random.Generator) -> None:
        self._size, self._knot_s = size, knot_s
        self._key = int(rng.integers(0, 2**63))
        self._knots: dict[int, NDArray[np.float32]] = {}

    def at(self, sim_time_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the states at times that do not decrease, ``[num_times, size] float32``."""
        place = np.asarray(sim_time_s, dtype=np.float64) / self._knot_s
        low = np.floor(place).astype(np.int64)
        part = (place - low).astype(np.float32)[:, None]
        before = np.stack([self._knot(int(knot)) for knot in low])
        after = np.stack([self._knot(int(knot) + 1) for knot in low])
        mixed = (before * (1 - part) + after * part) / np.sqrt((1 - part) ** 2 + part**2)
        return mixed.astype(np.float32)

    def _knot(self, number: int) -> NDArray[np.float32]:
        if number not in self._knots:
            if len(self._knots) > 8:
                self._knots.pop(next(iter(self._knots)))
            philox = np.random.Philox(key=np.array([self._key, number % 2**64], dtype=np.uint64))
            self._knots[number] = np.random.Generator(philox).standard_normal(self._size, dtype=np.float32)
        return self._knots[number]


def spread_factor(state: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Return a positive factor of mean about 1 from a standard normal state; tails cut at 2.5 sigma."""
    return np.exp(np.float32(sigma) * np.clip(state, -2.5, 2.5) - np.float32(sigma * sigma / 2))


CROWD_POINTS_PER_CELL = 40
CROWD_OFFSET_M = 60.0
"""Spread of the crowd around the homes it is drawn from."""
CROWD_SPECTRAL_DEMAND = 1.1
"""Busy-hour demand of the crowd in bit/s per hertz of installed carrier. Operators dimension cells for a busy-hour
PRB load of about one half; this figure puts the default city there (see the test of levels)."""
CROWD_CONNECTIONS_PER_CELL = 60.0
"""Connected subscribers of the crowd per cell in the busy hour."""
CROWD_KNOT_S, CROWD_SIGMA = 600.0, 0.25
DISTRICT_KNOT_S, DISTRICT_SIGMA = 6 * 3600.0, 0.08
"""Slow common drift of all who live around one site: no two Mondays are the same."""


BUSY_DUTY = 0.35
"""Share of time in which a broadband UE downloads in its busy hour."""
DOWNLOAD_TIME_SHARE = 0.08
"""Share of downloading time spent on files; the rest is video."""
MAX_DURATION_S = 120.0
MAX_RATE_BPS = 50e6
"""Caps of duration and rate: the tail beyond belongs to single test downloads over an empty network."""
MIN_RATE_BPS = 0.2e6
DUTY_BY_SST = {1: BUSY_DUTY, 2: 0.5, 3: 0.02}
RATE_FACTOR_BY_SST = {1: 1.0, 2: 0.1, 3: 0.002}
"""URLLC control loops of about 1 Mbit/s and mMTC reports of tens of kbit/s beside broadband sessions."""


def _capped_mean(mu: float, sigma: float, cap: float) -> float:
    """Return the mean of min(X, cap) for lognormal X."""

    def phi(x: float) -> float:
        return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))

    z = (math.log(cap) - mu) / sigma
    return math.exp(mu + sigma * sigma / 2) * phi(z - sigma) + cap * (1.0 - phi(z))


class SessionModel:
    """Draws sessions: which application, how long, how fast.

    Duration and rate are lognormal with the fitted parameters; the time shares of the applications fix how often
    each starts, so that a UE looked at in a random moment is the same whether it was stepped or sampled.
    """

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        applications = (document or fitted("sessions.json"))["applications"]
        rows = [applications["video"], applications["download"]]
        self._duration = np.array([[row["duration_s"]["mu"], row["duration_s"]["sigma"]] for row in rows])
        self._rate = np.array([[row["rate_kbps"]["mu"], row["rate_kbps"]["sigma"]] for row in rows])
        time_share = np.array([1.0 - DOWNLOAD_TIME_SHARE, DOWNLOAD_TIME_SHARE])
        mean_s = np.array([_capped_mean(mu, sigma, MAX_DURATION_S) for mu, sigma in self._duration])
        starts = time_share / mean_s
        self.mean_duration_s = float(1.0 / starts.sum())
        draws = np.random.default_rng(0)
        self.mean_rate_bps = float(self.rates_bps(draws.random(20_000) < DOWNLOAD_TIME_SHARE, draws).mean())
        self._download_start_share = float(starts[1] / starts.sum())

    def rates_bps(self, is_download: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
        """Return a rate for each session."""
        mu, sigma = self._rate[is_download.astype(np.int64)].T.reshape(2, *is_download.shape)
        return np.clip(1e3 * np.exp(mu + sigma * rng.standard_normal(is_download.shape)), MIN_RATE_BPS, MAX_RATE_BPS)

    def start(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (duration in s, rate in bit/s) of sessions that start now."""
        is_download = rng.random(count) < self._download_start_share
        mu, sigma = self._duration[is_download.astype(np.int64)].T.reshape(2, count)
        duration = np.minimum(np.exp(mu + sigma * rng.standard_normal(count)), MAX_DURATION_S)
        return duration.astype(np.float32), self.rates_bps(is_download, rng).astype(np.float32)

    def sample(
        self, duty: NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return (downloading now, rate in bit/s) of UEs looked at in random moments, shape of `duty`."""
        on = rng.random(duty.shape, dtype=np.float32) < duty
        rate = np.zeros(duty.shape, dtype=np.float32)
        which = np.flatnonzero(on.ravel())
        rate.ravel()[which] = self.rates_bps(rng.random(len(which)) < DOWNLOAD_TIME_SHARE, rng)
        return on, rate


class Sessions:
    """The live on/off state of every UE.

    Attributes:
        remaining_s: ``[num_ues] float32``, seconds left of the session, 0 = idle.
        rate_bps: ``[num_ues] float32`` rate of the running session.
    """

    def __init__(self, model: SessionModel, duty: NDArray[np.float32], *, rng: np.random.Generator) -> None:
        self._model = model
        on, self.rate_bps = model.sample(duty, rng)
        self.remaining_s = np.where(on, rng.exponential(model.mean_duration_s, len(duty)), 0.0).astype(np.float32)

    @property
    def on(self) -> NDArray[np.bool_]:
        """``[num_ues] bool``: downloading now."""
        return self.remaining_s > 0.0

    def step(self, dt_s: float, duty: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
        """Advance all sessions and return the UEs whose session started."""
        np.maximum(self.remaining_s - np.float32(dt_s), 0.0, out=self.remaining_s)
        idle = self.remaining_s <= 0.0
        self.rate_bps[idle] = 0.0
        hazard = duty / np.maximum(1.0 - duty, 0.05) / self._model.mean_duration_s
        start = np.flatnonzero(idle & (rng.random(len(idle), dtype=np.float32) < hazard * np.float32(dt_s)))
        if len(start):
            self.remaining_s[start], self.rate_bps[start] = self._model.start(len(start), rng)
        return start
