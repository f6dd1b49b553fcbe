"""Slice pools: how the PRBs of a cell are split among slices before users share them.

RRMPolicyRatio of TS 28.541 4.3.36 gives three shares per cell and slice. *Dedicated* PRBs are reserved: nobody else
gets them, also while they lie idle. *Min* is guaranteed when the slice wants it and lent to the others when it does
not. *Max* is never passed. Between those bounds all users of a cell draw from one level of time, whatever their slice,
so that 0/100/0 for every slice is proportional fair over the whole cell. The arithmetic is in :mod:`twin.kernels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pools:
    """Shares of PRBs, each ``[num_cells, num_slices] float64``, with dedicated <= least <= most.

    Attributes:
        dedicated: Reserved.
        least: Guaranteed when wanted; its sum over a cell's slices is at most 1.
        most: Upper bound.
        reach: What a slice can have at best: `most`, less what is dedicated to the others.
    """

    dedicated: NDArray[np.float64]
    least: NDArray[np.float64]
    most: NDArray[np.float64]
    reach: NDArray[np.float64]


def open_pools(num_cells: int, num_slices: int) -> Pools:
    """Return pools without any bound: 0/100/0 for every slice."""
    shape = (num_cells, num_slices)
    return pools(least=np.zeros(shape), most=np.ones(shape), dedicated=np.zeros(shape))


def pools(*, least: NDArray[np.float64], most: NDArray[np.float64], dedicated: NDArray[np.float64]) -> Pools:
    """Return pools that can be met, from shares of 0..1 in any state, ``[num_cells, num_slices]`` each.

    A minimum above its maximum, or dedicated PRBs above their minimum, give way. Minima of a cell that sum to more
    than 1 cannot all be met: they and the dedicated shares within them are scaled down by that sum, so that every
    slice falls short by the same factor. A network refuses neither: each policy is sound by itself, and slices are
    reconfigured one after the other.
    """
    most = np.clip(most, 0.0, 1.0)
    least = np.clip(least, 0.0, most)
    dedicated = np.clip(dedicated, 0.0, least)
    scale = 1.0 / np.maximum(least.sum(axis=-1, keepdims=True), 1.0)
    least, dedicated = least * scale, dedicated * scale
    others = dedicated.sum(axis=-1, keepdims=True) - dedicated
    return Pools(dedicated=dedicated, least=least, most=most, reach=np.clip(1.0 - others, 0.0, most))
