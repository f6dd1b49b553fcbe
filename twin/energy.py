"""Power draw of a cell: the EARTH macro model (Auer et al., IEEE Wireless Communications 18(5), 2011, table 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

IDLE_W_PER_CHAIN = 130.0
SLOPE = 4.7
MAX_OUTPUT_W_PER_CHAIN = 20.0
SLEEP_W_PER_CHAIN = 75.0


def num_chains(max_output_w: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how many 20 W transceiver chains a cell of this rated power has, at least one."""
    return np.maximum(1.0, np.ceil(max_output_w / MAX_OUTPUT_W_PER_CHAIN - 0.01)).astype(np.float32)


def power_w(
    radiated_w: NDArray[np.float32], *, chains: NDArray[np.float32], awake: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the mains power of each cell: N (P0 + slope x P_out) while it radiates, N x P_sleep when locked.

    Args:
        radiated_w: Mean radiated power now, ``[..., num_cells]``.
        chains: Transceiver chains, ``[num_cells]``.
        awake: False where the cell is locked, ``[num_cells]``.
    """
    return np.where(awake, chains * IDLE_W_PER_CHAIN + SLOPE * radiated_w, chains * SLEEP_W_PER_CHAIN).astype(
        np.float32
    )
