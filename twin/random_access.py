"""Random access: how many preambles connections cost, how often they collide, and what a dead channel looks like.

Contention-based preambles of group A only (``RACH.PreambleACell`` of TS 28.552 5.1.1.20.1). A cell whose random access
is dead still hears preambles and set-up requests, but no set-up completes: attempts go up, successes to none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from twin.setup_failures import ATTEMPTS_PER_CONNECTION_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREAMBLES = 54
"""Contention-based preambles: the 64 of TS 38.211 6.3.3.1 less ten kept for handovers."""
OCCASIONS_PER_S = 100.0
"""One PRACH occasion per frame of 10 ms (TS 38.211 table 6.3.3.2-3)."""
TRANSMISSIONS = 10
"""preambleTransMax n10 (TS 38.331 RACH-ConfigGeneric)."""
REPEATS = 4
"""Set-ups that a UE tries at one cell before it turns to another (connEstFailCount n4, TS 38.331 5.3.3.7)."""
_ROUNDS = 40


def contention(attempts_per_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return preambles sent per attempt, and the probability that an attempt fails by collisions alone.

    TR 37.868 6.1.1: of preambles that arrive at random with intensity g, the share 1 - exp(-g / L) collides, with L
    opportunities (preambles times occasions) per second. Each collided one is sent again, up to
    :data:`TRANSMISSIONS` times, so g is the fixed point of attempts times transmissions, reached from the quiet side.

    Args:
        attempts_per_s: New attempts, any shape.
    """
    intensity = np.asarray(attempts_per_s, dtype=np.float64)
    sent, collided = np.ones_like(intensity), np.zeros_like(intensity)
    most = np.float64(TRANSMISSIONS)
    for _ in range(_ROUNDS):
        collided = -np.expm1(-intensity * sent / (PREAMBLES * OCCASIONS_PER_S))
        sent = np.where(collided < 1.0, (1.0 - collided**most) / np.maximum(1.0 - collided, 1e-12), most)
    return sent, collided**most


class RandomAccess:
    """Attempts at cells whose random access is sick, since somebody cleared them.

    Args:
        num_cells: How many cells.

    Attributes:
        refused: ``[num_cells] float64`` expected failures of those whom the cell serves.
        knocks: ``[num_cells] float64`` expected attempts of those who hear this cell best, were turned away, and are
            served elsewhere: they all failed.
    """

    def __init__(self, num_cells: int) -> None:
        self.refused = np.zeros(num_cells)
        self.knocks = np.zeros(num_cells)

    def step(
        self,
        access_loss: NDArray[np.float32],
        *,
        camped: NDArray[np.int64],
        serving: NDArray[np.int64],
        connected: NDArray[np.float32],
        dt_s: float,
    ) -> None:
        """Count one tick; call it only while there is a sick cell.

        Args:
            access_loss: ``[num_cells] float32`` share of random accesses that fail.
            camped: ``[n] int64`` strongest cell that radiates, where idle users ask first; -1 = none.
            serving: ``[n] int64`` cell that serves, -1 = none.
            connected: ``[n] float32`` connections that each row stands for.
            dt_s: Length of the tick.
        """
        tried = connected.astype(np.float64) * (ATTEMPTS_PER_CONNECTION_S * dt_s)
        cells = len(access_loss)
        inside, astray = serving >= 0, (camped >= 0) & (camped != serving)
        self.refused += np.bincount(serving[inside], tried[inside], cells) * access_loss
        self.knocks += np.bincount(camped[astray], tried[astray], cells) * (access_loss > 0) * REPEATS

    def clear(self) -> None:
        """Start counting anew."""
        self.refused[:] = self.knocks[:] = 0.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state by name; writing into it writes the state."""
        return {"refused": self.refused, "knocks": self.knocks}


def turned_away(users: int, *, camped: NDArray[np.int64], access_loss: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which of many still users cannot get into the cell that they hear best, ``[users] bool``.

    A user of the crowd stands for many people; whole users are turned away so that their share is that of the failing
    accesses, always the same ones (a low-discrepancy sequence), so nobody flips to and fro.
    """
    rank = (np.arange(users) * 0.6180339887498949) % 1.0
    return (camped >= 0) & (rank < access_loss[np.maximum(camped, 0)])
