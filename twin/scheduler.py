"""Who gets the resource blocks: equal time among users with data, what one leaves goes to the others.

Proportional fair over large-scale channels with finite demand is equal time shares with water-filling. Slice pools
come later; their seam is `group`, which may number (cell, slice) pairs as well as cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ROUNDS = 8


def water_fill(
    need: NDArray[np.float64],
    *,
    weight: NDArray[np.float64],
    group: NDArray[np.int64],
    num_groups: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share each group's capacity of 1 among its members.

    Args:
        need: ``[n]`` share of time that would carry all of a member's demand.
        weight: ``[n]`` how many users a member stands for.
        group: ``[n]`` 0..num_groups-1.
        num_groups: How many groups.

    Returns:
        ``share [n]``, the time given, and ``level [num_groups]``, the time that one user who always has data gets;
        shares of a group sum to min(1, sum of needs).
    """
    wanted = np.bincount(group, need, num_groups)
    crowd = np.bincount(group, weight, num_groups)
    level = np.where(wanted > 1.0, 1.0 / np.maximum(crowd, 1e-9), np.inf)
    if not np.isfinite(level).any():
        return need, level
    full = np.flatnonzero((level < np.inf)[group])
    need_full, weight_full, group_full = need[full], weight[full], group[full]
    for _ in range(MAX_ROUNDS):
        content = need_full <= level[group_full] * weight_full
        taken = np.bincount(group_full, np.where(content, need_full, 0.0), num_groups)
        hungry = np.bincount(group_full, np.where(content, 0.0, weight_full), num_groups)
        raised = np.where(hungry > 0.0, (1.0 - taken) / np.maximum(hungry, 1e-12), level)
        if np.allclose(raised, level, rtol=1e-6, atol=0.0, equal_nan=True):
            break
        level = np.where(np.isfinite(level), raised, level)
    share = need.copy()
    share[full] = np.minimum(need_full, level[group_full] * weight_full)
    # A few rounds may leave a rest; scale so that no block is given twice and none is lost.
    given = np.bincount(group, share, num_groups)
    scale = np.where(wanted > 1.0, 1.0 / np.maximum(given, 1e-12), 1.0)
    return share * scale[group], level
