"""Set-up attempts and failures: RRC connections and data radio bearers.

Level, weekly shape and noise of the failure rates were fitted to three years of operator counters (their JSON in
``twin/data`` names the source). A failure rate is measured over the last 15 minutes of attempts: one second of a
cell holds a handful of them, and a rate of a handful says nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from twin.traffic import Drift, fitted, spread_factor

if TYPE_CHECKING:
    from numpy.typing import NDArray

Procedure = Literal["rrc", "drb"]
PROCEDURES: tuple[Procedure, Procedure] = ("rrc", "drb")
ATTEMPTS_PER_CONNECTION_S = 0.1
"""A connection that is kept ten seconds after its last packet is set up again about every ten seconds."""
WINDOW_MINUTES = 15
CELL_SIGMA = 0.25
"""Lasting difference between cells in the logarithm of the rate."""
COVERAGE_EDGE_DBM, COVERAGE_WIDTH_DB = -124.0, 1.5
"""RSRP at which half of the set-ups fail for want of signal, and how fast that sets in."""
MAX_PROBABILITY = 0.9


class FailureModel:
    """Probability of failure by time, cell and slow noise.

    Args:
        num_cells: How many cells.
        rng: Source of the lasting differences between cells.
    """

    def __init__(self, num_cells: int, *, rng: np.random.Generator) -> None:
        document = fitted("failure_rates.json")
        self._periods_h = np.array(document["periods_h"])
        self._rates: dict[Procedure, Any] = {name: document["rates"][name] for name in PROCEDURES}
        self._noise = {
            name: Drift(num_cells, memory_s=-3600.0 / math.log(row["noise_correlation_1h"]), rng=rng)
            for name, row in self._rates.items()
        }
        self._cell_factor = spread_factor(rng.standard_normal(num_cells, dtype=np.float32), CELL_SIGMA)

    def probability(
        self, procedure: Procedure, *, week_second: NDArray[np.float64], sim_time_s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the probability of failure, ``[num_times, num_cells]``.

        Args:
            procedure: Which set-up.
            week_second: ``[num_times]`` seconds since Monday 00:00.
            sim_time_s: ``[num_times]`` simulated times, for the slow noise.
        """
        row = self._rates[procedure]
        angle = 2 * np.pi * week_second[:, None] / 3600.0 / self._periods_h
        coefficients = np.array(row["coefficients"])
        level = coefficients[0] + np.cos(angle) @ coefficients[1::2] + np.sin(angle) @ coefficients[2::2]
        factor = spread_factor(self._noise[procedure].at(sim_time_s), float(row["noise_sigma"])) * self._cell_factor
        return np.minimum(np.exp(level)[:, None] / 100.0 * factor, MAX_PROBABILITY)


def coverage_failure(rsrp_dbm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability that a set-up fails for want of signal."""
    above = (rsrp_dbm - np.float32(COVERAGE_EDGE_DBM)) / np.float32(COVERAGE_WIDTH_DB)
    return (1.0 / (1.0 + np.exp(np.clip(above, -60.0, 60.0)))).astype(np.float32)


class Window:
    """Attempts and failures of the last 15 minutes, minute by minute.

    Attributes:
        minute: Number of the minute that the newest row belongs to.
        attempts: ``[15, num_cells] int64``.
        failures: ``[15, num_cells] int64``.
    """

    def __init__(self, num_cells: int, *, minute: int) -> None:
        self.minute = minute
        self.attempts = np.zeros((WINDOW_MINUTES, num_cells), dtype=np.int64)
        self.failures = np.zeros((WINDOW_MINUTES, num_cells), dtype=np.int64)

    def add(self, minute: int, attempts: NDArray[np.int64], failures: NDArray[np.int64]) -> None:
        """Count into a minute; the ones that are over slide out."""
        for _ in range(min(max(minute - self.minute, 0), WINDOW_MINUTES)):
            self.attempts = np.roll(self.attempts, -1, axis=0)
            self.failures = np.roll(self.failures, -1, axis=0)
            self.attempts[-1] = 0
            self.failures[-1] = 0
        self.minute = max(minute, self.minute)
        self.attempts[-1] += attempts
        self.failures[-1] += failures

    def percent(self) -> NDArray[np.float64]:
        """Return the failure rate of each cell in per cent, NaN without attempts."""
        return percent(self.failures.sum(axis=0), self.attempts.sum(axis=0))


def percent(failures: NDArray[np.int64], attempts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 100 x failures / attempts, NaN without attempts."""
    return np.where(attempts > 0, 100.0 * failures / np.maximum(attempts, 1), np.nan)
