"""Sessions of the UEs: bursts of data and the silence between them, stepped tick by tick or drawn at any moment.

Bursts are heavy-tailed (:mod:`twin.traffic.applications`); a silent UE begins the next one at a rate that gives it
its share of time with data. Both ways of looking at a UE have one law: stepped for long, or drawn at once from the
stationary law, in which long bursts are met more often than they begin.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.traffic.applications import MAX_DURATION_S, Burst, applications
from twin.traffic.groups import Profiles, profiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_DUTY = 0.98
"""No UE is busy all the time, whatever comes over it."""


def _below(z: float) -> float:
    """Return the standard normal distribution function."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def _lengths(burst: Burst) -> NDArray[np.float64]:
    """Return the probability of each whole number of seconds 1..MAX_DURATION_S, the last one holding the tail."""
    edge = np.log(np.arange(1, MAX_DURATION_S) / burst.duration_s) / burst.duration_sigma
    return np.diff(np.array([_below(float(z)) for z in edge]), prepend=0.0, append=1.0)


def _mean_rate_bps(burst: Burst, low: float, high: float) -> float:
    """Return the mean of a lognormal rate cut to a range."""
    mu, sigma = math.log(burst.rate_bps), burst.rate_sigma
    first, last = ((math.log(edge) - mu) / sigma for edge in (low, high))
    middle = math.exp(mu + sigma * sigma / 2) * (_below(last - sigma) - _below(first - sigma))
    return low * _below(first) + middle + high * (1.0 - _below(last))


class SessionModel:
    """The law of the bursts of each profile.

    Attributes:
        mean_on_s: ``[num_profiles] float64`` mean length of a burst.
        mean_rate_bps: ``[num_profiles] float64`` mean rate over the time with data.
        mean_application_bps: ``[num_applications] float64`` mean rate over the time with data of one application.
    """

    def __init__(self, table: Profiles | None = None) -> None:
        table = table or profiles()
        bursts = [(code, burst) for code, one in enumerate(applications()) for burst in one.bursts]
        self._application = np.array([code for code, _ in bursts])
        length = np.stack([_lengths(burst) for _, burst in bursts])
        seconds = np.arange(1, MAX_DURATION_S + 1)
        mean_s = length @ seconds
        # Tables laid end to end, each one unit above the last: one search finds a length in the right table.
        step = np.arange(len(bursts), dtype=np.float64)[:, None]
        self._begun = (length.cumsum(axis=1).clip(max=1.0) + step).ravel()
        self._met = ((length * seconds / mean_s[:, None]).cumsum(axis=1).clip(max=1.0) + step).ravel()
        self._rate_mu = np.log(np.array([burst.rate_bps for _, burst in bursts]))
        self._rate_sigma = np.array([burst.rate_sigma for _, burst in bursts])
        self._rate_low, self._rate_high = np.array([applications()[code].rate_range_bps for code, _ in bursts]).T
        share = np.array([burst.share for _, burst in bursts])
        belongs = self._application == np.arange(len(applications()))[:, None]
        application_mean_s = belongs @ (share * mean_s)
        # How often a burst of each kind begins per second with data, and how much of that second is its own.
        begins = table.time_share[:, self._application] / application_mean_s[self._application] * share
        holds = begins * mean_s
        self.mean_on_s = 1.0 / begins.sum(axis=1)
        self._begin_cdf = begins.cumsum(axis=1) / begins.sum(axis=1, keepdims=True)
        self._hold_cdf = holds.cumsum(axis=1) / holds.sum(axis=1, keepdims=True)
        mean_bps = np.array([_mean_rate_bps(burst, *applications()[code].rate_range_bps) for code, burst in bursts])
        self.mean_rate_bps = holds @ mean_bps / holds.sum(axis=1)
        self.mean_application_bps = belongs @ (share * mean_s * mean_bps) / application_mean_s

    def start(
        self, profile: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.int8]]:
        """Return (length in s, rate in bit/s, application code) of bursts that begin now, one per profile given."""
        kind = _pick(self._begin_cdf, profile, rng)
        length = self._search(self._begun, kind, rng)
        return length.astype(np.float64), self._rates(kind, rng), self._application[kind].astype(np.int8)

    def met(
        self, profile: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.int8]]:
        """Return (time left in s, rate in bit/s, application code) of bursts that are met at a random moment."""
        kind = _pick(self._hold_cdf, profile, rng)
        length = self._search(self._met, kind, rng)
        return length * (1.0 - rng.random(len(kind))), self._rates(kind, rng), self._application[kind].astype(np.int8)

    def sample(
        self, duty: NDArray[np.float32], profile: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return the rates in bit/s of UEs looked at in random moments, 0 in silence; the shape of `duty`.

        Args:
            duty: ``[..., num_ues] float32`` share of time with data.
            profile: ``[num_ues] int64``.
            rng: Source of chance.
        """
        rate = np.zeros(duty.shape, dtype=np.float32)
        which = np.flatnonzero(rng.random(duty.size, dtype=np.float32) < duty.ravel())
        rate.ravel()[which] = self._rates(_pick(self._hold_cdf, profile[which % duty.shape[-1]], rng), rng)
        return rate

    def _rates(self, kind: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
        rate = np.exp(self._rate_mu[kind] + self._rate_sigma[kind] * rng.standard_normal(len(kind)))
        return np.clip(rate, self._rate_low[kind], self._rate_high[kind]).astype(np.float32)

    @staticmethod
    def _search(table: NDArray[np.float64], kind: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        place = np.searchsorted(table, kind + rng.random(len(kind)), side="right") - kind * MAX_DURATION_S
        return np.minimum(place, MAX_DURATION_S - 1) + 1


def _pick(cdf: NDArray[np.float64], row: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return for each row number a column drawn by that row's cumulated chances."""
    found = (rng.random(len(row))[:, None] >= cdf[row]).sum(axis=1)
    return np.minimum(found, cdf.shape[1] - 1)


def duty_of(busy_duty: NDArray[np.float32], share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the share of time with data at a share of busy-hour demand; both ``[..., num_ues] float32``.

    Up to the busy hour it grows with demand. Beyond it (a flash crowd) the silences shorten in proportion, so that it
    never reaches 1.
    """
    base = busy_duty * np.minimum(share, 1.0)
    odds = np.maximum(share, 1.0)
    return np.minimum(odds * base / (1.0 - base + odds * base), MAX_DUTY).astype(np.float32)


class Sessions:
    """The live state of every UE.

    A tick costs little more than a comparison: the beginnings of all UEs together are one Poisson process, thinned to
    the silent ones.

    Attributes:
        ends_at_s: ``[num_ues] float64`` simulated end of the running burst, infinite in silence.
        rate_bps: ``[num_ues] float32``, 0 in silence.
        application: ``[num_ues] int8`` code of the running or last application, -1 before the first.
    """

    def __init__(
        self,
        model: SessionModel,
        profile: NDArray[np.int64],
        duty: NDArray[np.float32],
        *,
        sim_time_s: float,
        rng: np.random.Generator,
    ) -> None:
        self._model, self._profile = model, profile
        self.ends_at_s = np.full(len(profile), np.inf)
        self.rate_bps = np.zeros(len(profile), dtype=np.float32)
        self.application = np.full(len(profile), -1, dtype=np.int8)
        busy = np.flatnonzero(rng.random(len(profile), dtype=np.float32) < duty)
        left_s, self.rate_bps[busy], self.application[busy] = model.met(profile[busy], rng)
        self.ends_at_s[busy] = sim_time_s + left_s
        self.listen(duty)

    @property
    def on(self) -> NDArray[np.bool_]:
        """``[num_ues] bool``: with data."""
        return self.rate_bps > 0.0

    def listen(self, duty: NDArray[np.float32]) -> None:
        """Take the share of time with data that holds from now on, ``[num_ues] float32``."""
        self._wish = duty / np.maximum(1.0 - duty, 1.0 - MAX_DUTY) / self._model.mean_on_s[self._profile]
        self._tick_s = 0.0

    def step(self, sim_time_s: float, dt_s: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Advance all to `sim_time_s`, `dt_s` after the last call, and return the UEs whose burst began."""
        if dt_s != self._tick_s:
            # Silences are whole ticks: this rate gives them the mean that they have in continuous time.
            self._begins = (np.log1p(self._wish * dt_s) / dt_s).cumsum()
            self._begins_per_s = float(self._begins[-1]) if len(self._begins) else 0.0
            self._tick_s = dt_s
        over = np.flatnonzero(self.ends_at_s <= sim_time_s + 1e-6)
        if len(over):
            self.ends_at_s[over] = np.inf
            self.rate_bps[over] = 0.0
        count = rng.poisson(self._begins_per_s * dt_s)
        if not count:
            return _NOBODY
        who = np.unique(np.searchsorted(self._begins, rng.random(count) * self._begins_per_s, side="right"))
        who = np.minimum(who, len(self._begins) - 1)
        who = who[self.rate_bps[who] == 0.0]
        if len(who):
            length_s, self.rate_bps[who], self.application[who] = self._model.start(self._profile[who], rng)
            self.ends_at_s[who] = sim_time_s + length_s
        return who

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that change in time; writing into them writes the state."""
        return {"ends_at_s": self.ends_at_s, "rate_bps": self.rate_bps, "application": self.application}


_NOBODY = np.zeros(0, dtype=np.int64)
