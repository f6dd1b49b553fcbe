"""What every user hears of every cell, kept up to date: only what moved or was reconfigured is computed afresh."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from twin.kernels.numpy_radio import SILENCE_DBM
from twin.radio.landscape import Points, listeners, obstacle_loss_db, radiate, turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.kernels import Kernel
    from twin.radio.landscape import Landscape, Sectors

_GEOMETRY = ("boresight_deg", "tilt_deg", "shape", "carrier_hz")
_RADIATED = ("power_dbm", "on_air", "bandwidth_hz")
_NO_DISCS = np.zeros((0, 4), dtype=np.float32)


class Contributor(Protocol):
    """Something that passes on power of cells, such as a reflecting panel."""

    def add(
        self,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        points: Points,
        received_mw: NDArray[np.float32],
    ) -> None:
        """Add to what some users receive of some cells.

        Args:
            rows: ``[n] int64`` users.
            columns: ``[k] int64`` cells.
            points: The `n` places of these users.
            received_mw: ``[n, k] float32`` power on the direct way; add in place.
        """
        ...


class RadioField:
    """Received power of all users and cells.

    Args:
        landscape: What lies between.
        sectors: What is radiated; live, see :meth:`retune`.
        points: Where the users are at first; copied.
        kernel: Does the arithmetic.
        contributors: What adds to it.

    Attributes:
        points: Where each user was when its row was computed.
        gain_db: ``[N, C] float32`` antenna plus path gain on the direct way.
        received_mw: ``[N, C] float32`` at full load, contributors included; 0 from cells that are off the air.
        rsrp_dbm: ``[N, C] float32``, contributors included; -300 from cells that are off the air.
    """

    def __init__(
        self,
        landscape: Landscape,
        sectors: Sectors,
        points: Points,
        *,
        kernel: Kernel,
        contributors: Sequence[Contributor] = (),
    ) -> None:
        self._landscape, self._sectors, self._kernel = landscape, sectors, kernel
        self._contributors = tuple(contributors)
        self.points = points.take(slice(None))
        self._discs = _NO_DISCS
        self._obstacle_db = np.zeros(len(points), dtype=np.float32)
        shape = (len(points), len(sectors.power_dbm))
        self.gain_db, self.received_mw, self.rsrp_dbm = (np.empty(shape, dtype=np.float32) for _ in range(3))
        self._every_row, self._every_column = (np.arange(count) for count in shape)
        self._beams = landscape.beams(sectors)
        self._known = {name: getattr(sectors, name).copy() for name in (*_GEOMETRY, *_RADIATED)}
        self._ways, self._beams.way[:] = landscape.ways(sectors.carrier_hz)
        self._hear(self._every_row, self.points, self._every_column)

    def place(self, rows: NDArray[np.int64], points: Points) -> None:
        """Move users ``[n]`` and compute what they hear there."""
        self.points.put(rows, points)
        if len(self._discs):
            self._obstacle_db[rows] = obstacle_loss_db(points.position_m, self._discs)
        self._hear(rows, points, self._every_column)

    def retune(self, columns: NDArray[np.int64] | None = None) -> None:
        """Take over what changed in the sectors, and compute only these columns; nothing changed, nothing computed.

        Args:
            columns: Cells to look at, None = all.
        """
        chosen = self._every_column if columns is None else columns
        turned, tuned = (self._changed(names, chosen) for names in (_GEOMETRY, _RADIATED))
        if not len(turned) and not len(tuned):
            return
        for name, known in self._known.items():
            known[chosen] = getattr(self._sectors, name)[chosen]
        radiate(self._beams, self._sectors)
        if len(turned):
            turn(self._beams, self._sectors, turned)
            self._ways, self._beams.way[:] = self._landscape.ways(self._sectors.carrier_hz)
            self._hear(self._every_row, self.points, turned)
        louder = np.setdiff1d(tuned, turned)
        if len(louder):
            self._radiate(louder)

    def set_obstacles(self, discs: NDArray[np.float32]) -> None:
        """Replace what stands in the way: ``[k, 4]`` discs, see :func:`twin.radio.landscape.obstacle_loss_db`."""
        self._discs = np.asarray(discs, dtype=np.float32).reshape(-1, 4)
        loss_db = obstacle_loss_db(self.points.position_m, self._discs)
        rows = np.flatnonzero(loss_db != self._obstacle_db)
        self._obstacle_db[rows] = loss_db[rows]
        if len(rows):
            self._hear(rows, self.points.take(rows), self._every_column)

    def use(self, kernel: Kernel) -> None:
        """Let another kernel do the arithmetic from now on."""
        self._kernel = kernel

    def recompute(self) -> None:
        """Compute power from gain everywhere: for contributors that changed, and after :meth:`arrays` were written."""
        self._radiate(self._every_column)

    def total_mw(self, activity: NDArray[np.float32], serving: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return all received power on the carrier of each user's serving cell.

        Args:
            activity: ``[T, C] float32`` share of its power that each cell radiates.
            serving: ``[T, N] int64`` cell column, -1 = none, then that of cell 0.

        Returns:
            ``[T, N] float32``.
        """
        count = self._sectors.num_carriers
        if count == 1:
            return (self.received_mw @ activity.T).T
        number = self._sectors.carrier_number
        carrier = number[np.maximum(serving, 0)]
        total = np.empty(serving.shape, dtype=np.float32)
        for one in range(count):
            heard = (self.received_mw @ (activity * (number == one)).T.astype(np.float32)).T
            np.copyto(total, heard, where=carrier == one)
        return total

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that change in time, by name; writing into them writes the state.

        Power and RSRP follow from them: :meth:`set_obstacles` and :meth:`retune` first, writing second,
        :meth:`recompute` third.
        """
        return {
            **{f"heard_{one.name}": getattr(self.points, one.name) for one in fields(Points)},
            "obstacle_db": self._obstacle_db,
            "gain_db": self.gain_db,
        }

    def _changed(self, names: tuple[str, ...], columns: NDArray[np.int64]) -> NDArray[np.int64]:
        other = [getattr(self._sectors, name)[columns] != self._known[name][columns] for name in names]
        return columns[np.logical_or.reduce(other)]

    def _hear(self, rows: NDArray[np.int64], points: Points, columns: NDArray[np.int64]) -> None:
        mapped_db = self._landscape.mapped_db(points, self._ways)
        who = listeners(points, mapped_db, self._obstacle_db[rows] if len(self._discs) else None)
        results = (self.gain_db, self.received_mw, self.rsrp_dbm)
        self._kernel.hear(who, self._landscape.air, self._ways, self._beams, rows, columns, *results)
        if self._contributors:
            self._contribute(rows, points, columns)

    def _radiate(self, columns: NDArray[np.int64]) -> None:
        """Compute power from gain: where cells look has not changed."""
        results = (self.gain_db, self.received_mw, self.rsrp_dbm)
        self._kernel.radiate(self._beams, self._every_row, columns, *results)
        if self._contributors:
            self._contribute(self._every_row, self.points, columns)

    def _contribute(self, rows: NDArray[np.int64], points: Points, columns: NDArray[np.int64]) -> None:
        cross = np.ix_(rows, columns)
        power = self.received_mw[cross]
        for one in self._contributors:
            one.add(rows, columns, points, power)
        level = np.float32(10.0) * np.log10(np.maximum(power, np.float32(1e-30))) - self._beams.offset_db[columns]
        self.received_mw[cross] = power
        self.rsrp_dbm[cross] = np.where(power > 0, level, np.float32(SILENCE_DBM))
