"""Random access: how many preambles connections cost, how often they collide, and what a dead channel looks like.

Contention-based preambles are all of group A (``RACH.PreambleACell`` of TS 28.552 5.1.1.20.1): those of the many who
come and go, and one by one those of UEs that connect or re-establish. Handovers use preambles kept for them
(``RACH.PreambleDedCell``), which nobody else sends. Both counters are of preambles *received*. A cell whose random
access is dead still hears preambles and set-up requests, but no set-up completes: attempts go up, successes to none.
"""

from __future__ import annotations

import math
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
_ROUNDS, _SETTLED = 40, 1e-12
_DETECTED = tuple(-math.expm1(-number) for number in range(1, TRANSMISSIONS + 1))


def contention(
    attempts_per_s: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return preambles sent per attempt, preambles received per attempt, and the probability that an attempt fails.

    TR 37.868 6.1.1: of preambles that arrive at random with intensity g, the share 1 - exp(-g / L) collides, with L
    opportunities (preambles times occasions) per second; and the i-th of one attempt is detected with the probability
    1 - exp(-i), as each is sent with more power (table 6.2.2.1.1). One that collides or is not detected is followed
    by another, up to :data:`TRANSMISSIONS`, so g is the fixed point of attempts times transmissions, reached from
    the quiet side. The cell receives those that are detected, collided or not.

    Args:
        attempts_per_s: New attempts, any shape.
    """
    intensity = np.asarray(attempts_per_s, dtype=np.float64)
    sent, received, left = np.ones_like(intensity), np.zeros_like(intensity), np.zeros_like(intensity)
    for _ in range(_ROUNDS):
        alone = np.exp(-intensity * sent / (PREAMBLES * OCCASIONS_PER_S))
        before = sent
        sent, received, left = np.zeros_like(sent), np.zeros_like(sent), np.ones_like(sent)
        for detected in _DETECTED:
            sent = sent + left
            received = received + left * detected
            left = left * (1.0 - alone * detected)
        if not np.count_nonzero(sent - before > _SETTLED):
            break
    return sent, received, left


class RandomAccess:
    """Accesses that are more than the coming and going of connections, since somebody cleared them.

    UEs that look for a cell, and attempts at cells whose random access is sick.

    Args:
        num_cells: How many cells.

    Attributes:
        refused: ``[num_cells] float64`` expected failures of those whom the cell serves.
        knocks: ``[num_cells] float64`` expected attempts of those who hear this cell best, were turned away, and are
            served elsewhere: they all failed.
        connects: ``[num_cells] float64`` connections that UEs without a cell asked for.
        unheard: ``[num_cells] float64`` how many of these failed for want of signal.
        collided: ``[num_cells] float64`` expected number of these that fail by collisions.
        preambles: ``[num_cells] float64`` received for these and for re-establishments.
    """

    def __init__(self, num_cells: int) -> None:
        self.refused = np.zeros(num_cells)
        self.knocks = np.zeros(num_cells)
        self.connects, self.unheard, self.collided, self.preambles = np.zeros((4, num_cells))

    def call(self, calls: NDArray[np.float64], *, others_per_s: NDArray[np.float64], dt_s: float) -> None:
        """Count what UEs did in one tick; all at once collide more than one after the other.

        Args:
            calls: ``[num_cells, 3] float64``, see :data:`twin.handover.CALLS`.
            others_per_s: ``[num_cells] float64`` attempts of connections that come and go meanwhile.
            dt_s: Length of the tick.
        """
        connects, unheard, again = calls.T
        _, received, failed = contention(others_per_s + (connects + again) / dt_s)
        self.connects += connects
        self.unheard += unheard
        self.collided += (connects - unheard) * failed
        self.preambles += (connects - unheard + again) * received

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
        for sums in self.arrays().values():
            sums[:] = 0.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state by name; writing into it writes the state."""
        return {
            "refused": self.refused,
            "knocks": self.knocks,
            "connects": self.connects,
            "unheard": self.unheard,
            "collided": self.collided,
            "preambles": self.preambles,
        }


def turned_away(users: int, *, camped: NDArray[np.int64], access_loss: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which of many still users cannot get into the cell that they hear best, ``[users] bool``.

    A user of the crowd stands for many people; whole users are turned away so that their share is that of the failing
    accesses, always the same ones (a low-discrepancy sequence), so nobody flips to and fro.
    """
    rank = (np.arange(users) * 0.6180339887498949) % 1.0
    return (camped >= 0) & (rank < access_loss[np.maximum(camped, 0)])
