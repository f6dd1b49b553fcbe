"""Spatially correlated random maps: what makes shadowing and line of sight a property of the place.

A map is a periodic grid of standard normal values with exponential autocorrelation exp(-d / d0)
(TR 38.901 section 7.4.4), read by bilinear look-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_EDGE = 512
"""Largest grid edge; a bigger area repeats the map after 512 grid steps, far beyond any correlation."""


class CorrelatedMaps:
    """A stack of independent standard normal maps with one decorrelation distance.

    Args:
        num_maps: How many maps (one per mast).
        decorrelation_m: Distance at which the correlation has fallen to 1/e.
        extent_m: West, south, east, north of the area to cover.
        rng: Source of chance.
    """

    def __init__(
        self,
        num_maps: int,
        *,
        decorrelation_m: float,
        extent_m: tuple[float, float, float, float],
        rng: np.random.Generator,
    ) -> None:
        west, south, east, north = extent_m
        self._pitch_m = max(decorrelation_m / 4.0, 4.0)
        self._origin_m = (west, south)
        needed = (max(east - west, north - south) + 6.0 * decorrelation_m) / self._pitch_m
        self._edge = int(min(MAX_EDGE, 32 * np.ceil(max(needed, 32.0) / 32)))
        corner = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=np.float32) * self._pitch_m
        apart = np.linalg.norm(corner[:, None] - corner[None], axis=-1)
        self._corner_correlation = np.exp(-apart / np.float32(decorrelation_m)).astype(np.float32)
        self._maps = self._draw(num_maps, decorrelation_m, rng)

    def _draw(self, num_maps: int, decorrelation_m: float, rng: np.random.Generator) -> NDArray[np.float32]:
        step = np.minimum(np.arange(self._edge), self._edge - np.arange(self._edge)) * self._pitch_m
        correlation = np.exp(-np.hypot(step[:, None], step[None, :]) / decorrelation_m)
        # The autocorrelation of a periodic field is the inverse transform of its power spectrum.
        amplitude = np.sqrt(np.maximum(np.fft.rfft2(correlation).real, 0.0)).astype(np.float32)
        maps = np.empty((num_maps, self._edge, self._edge), dtype=np.float32)
        for number in range(num_maps):
            white = rng.standard_normal((self._edge, self._edge), dtype=np.float32)
            maps[number] = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=white.shape)
        return maps

    def at(self, position_m: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the value of each map at each point.

        Args:
            position_m: ``[num_points, 2] float32`` east, north.

        Returns:
            ``[num_points, num_maps] float32``, standard normal.
        """
        scaled = (position_m - np.asarray(self._origin_m, dtype=np.float32)) / np.float32(self._pitch_m)
        whole = np.floor(scaled)
        fx, fy = (scaled - whole).T.astype(np.float32)
        x0, y0 = whole.astype(np.int64).T % self._edge
        x1, y1 = (x0 + 1) % self._edge, (y0 + 1) % self._edge
        weights = np.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy])
        # Mixing correlated corners shrinks the spread; dividing by the spread of the mix keeps it standard normal.
        weights /= np.sqrt(np.einsum("in,ij,jn->n", weights, self._corner_correlation, weights))
        value = self._maps[:, y0, x0] * weights[0]
        value += self._maps[:, y0, x1] * weights[1]
        value += self._maps[:, y1, x0] * weights[2]
        value += self._maps[:, y1, x1] * weights[3]
        return np.ascontiguousarray(value.T)
