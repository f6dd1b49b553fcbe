"""Spatially correlated random maps: what makes shadowing and line of sight a property of the place.

A map is a periodic grid of normal values with exponential autocorrelation exp(-d / d0) (TR 38.901 section 7.4.4),
read by bilinear look-up in the kernels. Masts share one map and read it at different offsets, at least four
decorrelation distances apart up to a thousand masts: as good as a map each, and small enough for a processor's cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE = 512
"""Grid points of a map along one side, a power of two; the map repeats after this many."""
STEPS = 4
"""Grid points within the decorrelation distance."""


def normal_map(*, decorrelation_m: float, pitch_m: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return one periodic standard normal map, ``[EDGE, EDGE] float32``, rows to the north."""
    step_m = np.minimum(np.arange(EDGE), EDGE - np.arange(EDGE)) * pitch_m
    correlation = np.exp(-np.hypot(step_m[:, None], step_m[None, :]) / decorrelation_m)
    # The autocorrelation of a periodic field is the inverse transform of its power spectrum.
    amplitude = np.sqrt(np.maximum(np.fft.rfft2(correlation).real, 0.0))
    white = rng.standard_normal((EDGE, EDGE))
    return np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=white.shape).astype(np.float32)


def neighbour_correlation(*, decorrelation_m: float, pitch_m: float) -> NDArray[np.float32]:
    """Return the correlation of grid points side by side and across, ``[2] float32``.

    Mixing correlated corners shrinks the spread; a look-up divides by the spread of its mix.
    """
    return np.exp(-np.array([1.0, np.sqrt(2.0)]) * pitch_m / decorrelation_m).astype(np.float32)


def offsets(count: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return where each mast reads a shared map, in grid points east and north, ``[count, 2] int64``."""
    across = max(int(np.ceil(np.sqrt(count))), 1)
    place = rng.permutation(across * across)[:count]
    return np.column_stack([place % across, place // across]) * (EDGE // across)
