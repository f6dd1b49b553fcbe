"""Service without cell borders: a UE is served by the strongest cells around it at the same time.

The serving cell of a UE says by `vsData6gApCluster.maxServingAps` how many cells on its carrier take part. All of
them send the same data on the same PRBs; without a common phase their powers add up (non-coherent joint
transmission). The UE gains their power and loses their interference, and its data takes PRBs from every one of them.
The arithmetic of sharing is in :mod:`twin.kernels`; here is only who serves whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CELLS = 8
WINDOW = 10.0 ** (-20.0 / 10.0)
"""Cells 20 dB and more below the serving one do not take part: their PRBs would buy less than 0.05 dB of power."""


def power_of(
    received_mw: NDArray[np.float32], spot: NDArray[np.integer[Any]], cells: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return what users receive from cells ``[..., num_users, K]``, -1 = none and nothing; same shape, float32."""
    return np.where(cells >= 0, received_mw[spot[..., None], np.maximum(cells, 0)], np.float32(0.0))


def partners(
    serving: NDArray[np.int64],
    received_mw: NDArray[np.float32],
    spot: NDArray[np.integer[Any]],
    *,
    most: NDArray[np.int64],
    carrier: NDArray[np.int64],
    admits: NDArray[np.bool_],
) -> NDArray[np.int64] | None:
    """Return the cells that serve each user beside the serving one, ``[..., num_users, K] int64``, -1 = none.

    K is that of the largest set. With `most` 1 everywhere there is nothing to compute and None comes back.

    Args:
        serving: ``[..., num_users] int64`` serving cell, -1 = none.
        received_mw: ``[num_spots, num_cells] float32`` at full load.
        spot: ``[..., num_users]`` row of `received_mw` of each user.
        most: ``[num_cells] int64`` most cells that serve together, by serving cell.
        carrier: ``[num_cells] int64`` number of the carrier.
        admits: ``[num_cells] bool`` on the air and open to users.
    """
    if int(most.max(initial=1)) <= 1:
        return None
    wanted = np.where(serving >= 0, np.minimum(most, MAX_CELLS)[serving], 1)
    extra = min(int(wanted.max(initial=1)), received_mw.shape[1]) - 1
    if extra < 1:
        return None
    rows = np.nonzero(wanted > 1)
    own, heard = serving[rows], received_mw[spot[rows]]
    power = np.where((carrier == carrier[own][:, None]) & admits, heard, np.float32(0.0))
    each = np.arange(len(own))
    floor = heard[each, own] * np.float32(WINDOW)
    power[each, own] = 0.0
    found = np.argpartition(-power, extra - 1, axis=1)[:, :extra]
    strength = np.take_along_axis(power, found, axis=1)
    order = np.argsort(-strength, axis=1, kind="stable")
    found, strength = np.take_along_axis(found, order, axis=1), np.take_along_axis(strength, order, axis=1)
    allowed = np.arange(1, extra + 1) < wanted[rows][:, None]
    sets = np.full((*serving.shape, extra), -1, dtype=np.int64)
    sets[rows] = np.where(allowed & (strength > floor[:, None]), found, -1)
    return sets
