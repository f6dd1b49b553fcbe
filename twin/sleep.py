"""Whether each cell is on the air: locked, shutting down, asleep to save energy, or on the way between those.

Two orders meet here. administrativeState (TS 28.625, X.731): LOCKED ends service at once; SHUTTING DOWN admits nobody
new, lets the users there finish, then locks. energySavingControl (TS 28.310, TS 28.541 CESManagementFunction):
toBeEnergySaving hands the users over, then switches the radio off; toBeNotEnergySaving wakes it, which takes time.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Saving(IntEnum):
    """energySavingState of a cell; 3GPP names the first and the third, the other two are the way between them."""

    IS_NOT_ENERGY_SAVING = 0
    GOING_TO_SLEEP = 1
    IS_ENERGY_SAVING = 2
    WAKING_UP = 3


DRAIN_S = 10.0
"""Who has found no other cell by then loses this one."""
WAKE_S = 5.0
"""From the order to the first SSB: half of the 10 s that TR 38.864 gives a category 2 station for both ways together;
its category 1 does it within a tick."""


_ASLEEP = int(Saving.IS_ENERGY_SAVING)  # arrays compare with it sooner than with the enumeration


class CellStates:
    """State of every cell.

    Attributes:
        saving: ``[num_cells] int8`` of :class:`Saving`.
        elapsed_s: ``[num_cells] float32`` time in this state.
        locked: ``[num_cells] bool``; a cell that has shut down is.
        closing: ``[num_cells] bool`` shutting down.
    """

    def __init__(self, *, locked: NDArray[np.bool_], saving: NDArray[np.bool_]) -> None:
        self.saving = np.where(saving, Saving.IS_ENERGY_SAVING, Saving.IS_NOT_ENERGY_SAVING).astype(np.int8)
        self.elapsed_s = np.zeros(len(locked), dtype=np.float32)
        self.locked = locked.copy()
        self.closing = np.zeros(len(locked), dtype=bool)

    @property
    def on_air(self) -> NDArray[np.bool_]:
        """``[num_cells] bool``: radiates, and so can serve."""
        return ~self.locked & (self.saving <= Saving.GOING_TO_SLEEP)

    @property
    def awake(self) -> NDArray[np.bool_]:
        """``[num_cells] bool``: hardware is on, also while it starts."""
        return ~self.locked & (self.saving != _ASLEEP)

    @property
    def admits(self) -> NDArray[np.bool_]:
        """``[num_cells] bool``: takes new users."""
        return self.on_air & ~self.closing & (self.saving == Saving.IS_NOT_ENERGY_SAVING)

    @property
    def drains(self) -> NDArray[np.bool_]:
        """``[num_cells] bool``: hands its users over now."""
        return self.on_air & (self.saving == Saving.GOING_TO_SLEEP)

    @property
    def restless(self) -> bool:
        """Whether any cell is on its way between two states, so that :meth:`step` has something to do."""
        on_its_way = self.saving & 1  # GOING_TO_SLEEP and WAKING_UP
        return bool(np.count_nonzero(self.closing) or np.count_nonzero(on_its_way))

    def order(self, *, locked: NDArray[np.bool_], closing: NDArray[np.bool_], saving: NDArray[np.bool_]) -> None:
        """Take over what is configured, each ``[num_cells] bool``.

        Args:
            locked: administrativeState is LOCKED.
            closing: administrativeState is SHUTTING DOWN.
            saving: energySavingControl is toBeEnergySaving.
        """
        # A cell that has shut down stays locked until it is unlocked, whatever its attribute still says.
        shut = closing & self.locked
        self.locked[:] = locked | shut
        self.closing[:] = closing & ~shut
        self._turn(saving & (self.saving == Saving.WAKING_UP), Saving.IS_ENERGY_SAVING)
        self._turn(saving & (self.saving == Saving.IS_NOT_ENERGY_SAVING), Saving.GOING_TO_SLEEP)
        self._turn(~saving & (self.saving == Saving.GOING_TO_SLEEP), Saving.IS_NOT_ENERGY_SAVING)
        self._turn(~saving & (self.saving == Saving.IS_ENERGY_SAVING), Saving.WAKING_UP)

    def step(self, dt_s: float, *, staying: NDArray[np.int64]) -> bool:
        """Advance by one tick and return whether any cell came on or went off the air.

        Args:
            dt_s: Length of the tick.
            staying: ``[num_cells] int64`` users whom each cell still serves and who have not finished.
        """
        before = self.on_air
        self.elapsed_s += np.float32(dt_s)
        late = self.elapsed_s >= np.float32(DRAIN_S)
        self._turn((self.saving == Saving.GOING_TO_SLEEP) & ((staying == 0) | late), Saving.IS_ENERGY_SAVING)
        self._turn(
            (self.saving == Saving.WAKING_UP) & (self.elapsed_s >= np.float32(WAKE_S)), Saving.IS_NOT_ENERGY_SAVING
        )
        done = self.closing & (staying == 0)
        self.locked |= done
        self.closing &= ~done
        return bool((before != self.on_air).any())

    def _turn(self, which: NDArray[np.bool_], state: Saving) -> None:
        self.saving[which] = state
        self.elapsed_s[which] = 0.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what changes in time, by name; writing into the arrays writes the state."""
        return {
            "saving": self.saving,
            "saving_elapsed_s": self.elapsed_s,
            "locked": self.locked,
            "closing": self.closing,
        }
