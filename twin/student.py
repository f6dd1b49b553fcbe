"""Quantiles of Student's t distribution, for intervals over a few runs."""

from __future__ import annotations

import math
from functools import cache


def cumulative(t: float, degrees: int) -> float:
    """Return P(T <= t) for a whole number of degrees of freedom (Abramowitz & Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2
    term, total = (cosine, cosine) if odd else (1.0, 1.0)
    for k in range(2 + odd, degrees - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    within = 2.0 / math.pi * (angle + (sine * total if degrees > 1 else 0.0)) if odd else sine * total
    return 0.5 * (1.0 + within)


@cache
def quantile(probability: float, degrees: int) -> float:
    """Return the t with P(T <= t) = `probability`, 0.5 <= probability < 1."""
    low, high = 0.0, 1.0
    while cumulative(high, degrees) < probability:
        high *= 2.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if cumulative(middle, degrees) < probability else (low, middle)
    return 0.5 * (low + high)
