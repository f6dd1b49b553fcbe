"""Radio link failure and what comes after it: timers, re-establishment, and whose handover was to blame.

A UE whose SINR stays under the out-of-sync threshold gives its cell up (TS 38.331 5.3.10), looks for another one
and re-establishes its connection there (5.3.7). Where it comes back tells what went wrong (TS 38.300 15.5.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Q_OUT_DB, Q_IN_DB = -8.0, -6.0
"""SINR under which a control channel fails one time in ten, and over which only one in fifty (TS 38.133 8.1.1, whose
block error rates these stand for)."""
EVALUATION_S = 0.2
"""The physical layer judges the SSBs of this time together (TS 38.133 table 8.1.2.2-1, out of sync, no DRX)."""
INDICATION_S = 0.02
"""It indicates once per SSB of 20 ms (TS 38.133 8.1.6)."""
N310 = 10
"""Out-of-sync indications in a row that start T310. N311 is 1: one in-sync indication stops it."""
T310_S = 1.0
OUT_OF_SYNC_S = EVALUATION_S + N310 * INDICATION_S
FAILED_AFTER_S = OUT_OF_SYNC_S + T310_S
T304_S = 1.0
"""A handover that has not reached its target by then has failed (TS 38.331 5.3.5.8.3)."""
RE_ESTABLISH_S = 0.4
"""From the failure to the attempt: 50 ms, finding a cell, reading its system information, random access
(TS 38.133 6.2.1.2)."""
SEARCH_S = 1.0
"""A UE that found nothing looks again after this time."""
STORE_CONTEXT_S = 5.0
"""A failure within this time after a handover is blamed on it (Tstore_UE_cntxt of TS 38.300 15.5.2.2)."""


class Outages:
    """The UEs without a cell: how long still, and what they left behind.

    Args:
        num_ues: How many UEs.

    Attributes:
        wait_s: ``[num_ues] float32`` until the next attempt.
        cell: ``[num_ues] int64`` where the link failed, or which handover target was not reached; -1 = the UE is idle
            and its coming back is a new connection.
        source: ``[num_ues] int64`` where the handover came from that is to blame; -1 = none is.
    """

    def __init__(self, num_ues: int) -> None:
        self.wait_s = np.zeros(num_ues, dtype=np.float32)
        self.cell = np.full(num_ues, -1, dtype=np.int64)
        self.source = np.full(num_ues, -1, dtype=np.int64)

    def begin(
        self,
        rows: NDArray[np.int64],
        *,
        cell: NDArray[np.int64] | int,
        source: NDArray[np.int64] | int,
        wait_s: float,
    ) -> None:
        """Note that UEs have no cell from now on."""
        self.cell[rows] = cell
        self.source[rows] = source
        self.wait_s[rows] = wait_s

    def due(self, rows: NDArray[np.int64], dt_s: float) -> NDArray[np.int64]:
        """Let time pass for UEs without a cell and return those that try to come back now."""
        self.wait_s[rows] -= np.float32(dt_s)
        return rows[self.wait_s[rows] < 1e-3]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state by name; writing into it writes the state."""
        return {"outage_wait_s": self.wait_s, "outage_cell": self.cell, "outage_source": self.source}


def blamed(
    *, cell: NDArray[np.int64], source: NDArray[np.int64], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which re-establishments show a handover too late, too early, or to the wrong cell.

    TS 38.300 15.5.2.2. *Too late*: after a long stay in a cell the link fails, and the UE comes back in another one.
    *Too early*: soon after a handover, or during it, the link fails and the UE comes back in the source. *Wrong cell*:
    the same, and it comes back in a third cell. A UE that comes back where it failed was in a hole, which no handover
    could have mended.

    Args:
        cell: ``[n] int64`` where the link failed, or the target that was not reached.
        source: ``[n] int64`` source of a recent or failed handover, -1 = none.
        chosen: ``[n] int64`` where the UE re-establishes.
    """
    recent = source >= 0
    early = recent & (chosen == source)
    return ~recent & (chosen != cell), early, recent & ~early & (chosen != cell)
