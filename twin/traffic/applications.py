"""What people and machines do with the network: bursts of data by application.

A burst is a time in seconds over which data flows at one rate. Video and download are fitted to phone traces
(``twin/data/sessions.json`` names them); the others follow the documents named beside them, and their lengths are
assumed where these give none. Delay budgets: TS 23.501 table 5.7.4-1 where no other source stands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from twin.traffic.curves import fitted

MIN_RATE_BPS, MAX_RATE_BPS = 0.2e6, 50e6
"""Caps of fitted rates: the tail beyond belongs to single test downloads over an empty network."""
MAX_DURATION_S = 300
"""Cap of every burst; the traces hold some of 20 minutes, of downloads made to measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """One component of a mixture of bursts: length and rate independent of each other within it.

    Attributes:
        share: Of the application's bursts.
        duration_s: Median; the length is lognormal, rounded up to whole seconds as the traces are.
        duration_sigma: Of the natural logarithm.
        rate_bps: Median; lognormal, too.
        rate_sigma: Of the natural logarithm.
    """

    share: float
    duration_s: float
    duration_sigma: float
    rate_bps: float
    rate_sigma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One application.

    Attributes:
        sst: Slice/service type that carries it (TS 23.501 table 5.15.2.2-1).
        delay_budget_ms: Packet delay budget by its source; the network counts with that of the slice.
        burst_bit: Data that arrives together: a frame, an object, a message; likewise.
        bursts: Mixture of its bursts.
        rate_range_bps: Rates are cut to this range.
        is_fitted: Whether lengths and rates were fitted to traces; else they follow `source`.
        source: Where the figures come from.
    """

    name: str
    sst: int
    delay_budget_ms: float
    burst_bit: float
    bursts: tuple[Burst, ...]
    rate_range_bps: tuple[float, float] = (MIN_RATE_BPS, MAX_RATE_BPS)
    is_fitted: bool = False
    source: str


def _fitted_bursts(name: str) -> tuple[Burst, ...]:
    return tuple(
        Burst(
            share=row["share"],
            duration_s=math.exp(row["duration_mu"]),
            duration_sigma=row["duration_sigma"],
            rate_bps=1e3 * math.exp(row["rate_mu"]),
            rate_sigma=row["rate_sigma"],
        )
        for row in fitted("sessions.json")["applications"][name]["bursts"]
    )


@cache
def applications() -> tuple[Application, ...]:
    """Return every application; their order is the code of an application in arrays."""
    return (
        Application(
            name="video",
            sst=1,
            delay_budget_ms=300.0,
            burst_bit=0.1e6,
            bursts=_fitted_bursts("video"),
            is_fitted=True,
            source="Netflix and Amazon Prime traces of Raca et al. 2020; 5QI 8",
        ),
        Application(
            name="download",
            sst=1,
            delay_budget_ms=300.0,
            burst_bit=0.1e6,
            bursts=_fitted_bursts("download"),
            is_fitted=True,
            source="file downloads of Raca et al. 2020; 5QI 9",
        ),
        Application(
            name="web",
            sst=1,
            delay_budget_ms=300.0,
            burst_bit=0.1e6,
            # 2.3 MB in two seconds.
            bursts=(Burst(share=1.0, duration_s=1.5, duration_sigma=0.6, rate_bps=9.2e6, rate_sigma=0.8),),
            source="median mobile page of 2,311 kB (HTTP Archive, Web Almanac 2024, page weight); load time and"
            " spread assumed; 5QI 8",
        ),
        Application(
            name="gaming",
            sst=1,
            delay_budget_ms=15.0,
            burst_bit=8e6 / 60,
            bursts=(Burst(share=1.0, duration_s=180.0, duration_sigma=0.8, rate_bps=8e6, rate_sigma=0.1),),
            source="cloud gaming of TR 38.838 clause 5: 8 Mbit/s (optional rate), 60 frames per second, 15 ms;"
            " length assumed",
        ),
        Application(
            name="xr",
            sst=1,
            delay_budget_ms=10.0,
            burst_bit=45e6 / 60,
            bursts=(Burst(share=1.0, duration_s=120.0, duration_sigma=0.8, rate_bps=42e6, rate_sigma=0.25),),
            rate_range_bps=(30e6, 60e6),
            source="virtual and augmented reality of TR 38.838 clause 5: 30 Mbit/s (baseline) and 45 Mbit/s"
            " (optional), 60 frames per second, 10 ms; 60 Mbit/s for a frame rate of 90; length assumed",
        ),
        Application(
            name="meter",
            sst=3,
            delay_budget_ms=10_000.0,
            burst_bit=80.0,
            bursts=(Burst(share=1.0, duration_s=0.5, duration_sigma=0.1, rate_bps=80.0, rate_sigma=0.01),),
            rate_range_bps=(80.0, 80.0),
            source="10 bytes once a minute, an assumed meter; 10 s is the latency target of TR 38.913 clause 7.9"
            " for infrequent small packets",
        ),
        Application(
            name="control",
            sst=2,
            delay_budget_ms=10.0,
            burst_bit=2000.0,
            bursts=(Burst(share=1.0, duration_s=60.0, duration_sigma=0.8, rate_bps=1e6, rate_sigma=0.1),),
            source="remote driving of TS 22.186 table 5.5-1: 1 Mbit/s downlink (and 5 ms end to end); budget of 5QI 82;"
            " messages of 250 bytes and length assumed",
        ),
    )


def application_code(name: str) -> int:
    """Return the place of an application in :func:`applications`."""
    return next(code for code, one in enumerate(applications()) if one.name == name)
