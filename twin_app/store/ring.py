"""The last hour in RAM: one ring of float32 arrays per kind of entity.

Written on the event loop (a copy of one batch, microseconds), read from any thread. Never written to a file.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from twin.kpi import kpis_of
from twin.periods import Rows, to_ms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.entities import Kind

MAX_RING_BYTES = 256 * 2**20
"""One ring never takes more; with very many entities it reaches back less far."""


class Places:
    """Where the entities of a ring stand in it, by topology index.

    A batch that names every entity in order, as scenes do ten times a second, is copied as one block; any other is
    placed through a table, which costs the same however many entities there are (a binary search does not).

    Args:
        entity_index: ``[n] int64`` dense topology indices, ascending.
    """

    def __init__(self, entity_index: NDArray[np.int64]) -> None:
        self._all = entity_index.astype(np.uint32)
        table = np.full(int(entity_index.max(initial=0)) + 2, -1, np.int32)
        table[entity_index] = np.arange(entity_index.size, dtype=np.int32)
        self._table = table

    def whole(self, entity_index: NDArray[np.integer]) -> bool:
        """Whether a batch names every entity of the ring, in the ring's order."""
        return entity_index.size == self._all.size and bool((entity_index == self._all).all())

    def find(self, entity_index: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        """Return ``[m]`` which rows of a batch belong here and ``[m]`` their places in the ring."""
        where = self._table[np.minimum(entity_index, self._table.size - 1)]
        mine = np.flatnonzero(where >= 0)
        return mine, where[mine]


class KindRing:
    """The newest periods of every entity of one kind.

    Rows are laid out ``[kpi, time, entity] float32``: reading one KPI over time touches one block of memory.

    Args:
        kind: Which entities.
        entity_index: ``[n] int64`` dense topology indices, ascending.
        depth: Periods kept.
    """

    def __init__(self, kind: Kind, entity_index: NDArray[np.int64], *, depth: int) -> None:
        self.kpis = tuple(row.name for row in kpis_of(kind))
        row_bytes = max(1, 4 * len(self.kpis) * entity_index.size)
        self.depth = max(60, min(depth, MAX_RING_BYTES // row_bytes))
        self.entity_index = entity_index
        self._places = Places(entity_index)
        self._column_of_kpi = {name: at for at, name in enumerate(self.kpis)}
        # Pages are touched only when written: a ring that never fills costs no memory.
        self._values = np.empty((len(self.kpis), self.depth, entity_index.size), np.float32)
        self._end_ms = np.zeros(self.depth, np.int64)
        self._written = 0
        self.granularity_s = 1
        self._before: tuple[float, NDArray[np.float32]] | None = None
        self._lock = threading.Lock()

    def put(
        self,
        end_s: float,
        granularity_s: int,
        entity_index: NDArray[np.integer],
        kpis: tuple[str, ...],
        values: NDArray[np.float32],
    ) -> bool:
        """Add one period; False when none of it belongs here or the ring already has something as new."""
        if self.entity_index.size == 0:
            return False
        whole = self._places.whole(entity_index)
        rows, where = (None, None) if whole else self._places.find(entity_index)
        if rows is not None and rows.size == 0:
            return False
        end_ms = to_ms(end_s)
        columns = {self._column_of_kpi[name]: at for at, name in enumerate(kpis) if name in self._column_of_kpi}
        with self._lock:
            if self._written and end_ms <= self._end_ms[(self._written - 1) % self.depth]:
                return False
            slot = self._written % self.depth
            if rows is not None or len(columns) < len(self.kpis):
                self._values[:, slot] = np.nan
            for target, source in columns.items():
                if rows is None:
                    self._values[target, slot] = values[:, source]
                else:
                    self._values[target, slot, where] = values[rows, source]
            self._end_ms[slot] = end_ms
            self._written += 1
            self.granularity_s = granularity_s
        return True

    def clear(self) -> None:
        """Forget everything: the scene's time went backwards."""
        with self._lock:
            self._written = 0

    def take_over(self, old: KindRing) -> None:
        """Copy what `old` holds; entities that it does not know stay NaN."""
        ends, values = old.everything()
        for at in range(ends.size):
            self.put(ends[at] / 1000.0, old.granularity_s, old.entity_index, old.kpis, values[:, at].T)

    def everything(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return ends ``[t] int64`` and values ``[kpi, t, entity] float32``, oldest first."""
        with self._lock:
            order = self._order()
            return self._end_ms[order], self._values[:, order]

    def ends_ms(self) -> NDArray[np.int64]:
        """Return the ends of the periods held, oldest first."""
        with self._lock:
            return self._end_ms[self._order()]

    def remember(
        self, at_s: float, entity_index: NDArray[np.int64], kpis: tuple[str, ...], values: NDArray[np.float32]
    ) -> None:
        """Keep figures from before the start as the newest known ones, until the first period arrives."""
        where = np.searchsorted(self.entity_index, entity_index)
        where[where == self.entity_index.size] = 0
        mine = self.entity_index[where] == entity_index if self.entity_index.size else np.zeros(0, np.bool_)
        kept = np.full((len(self.kpis), self.entity_index.size), np.nan, np.float32)
        for at, name in enumerate(kpis):
            if name in self._column_of_kpi and mine.any():
                kept[self._column_of_kpi[name], where[mine]] = values[mine, at]
        with self._lock:
            self._before = (at_s, kept) if mine.any() else None

    def newest_s(self) -> float | None:
        """Return the sim_time_s of the newest period, None when empty."""
        with self._lock:
            if self._written == 0:
                return None if self._before is None else self._before[0]
            return self._end_ms[(self._written - 1) % self.depth] / 1000.0

    def newest(self, kpi: str) -> tuple[float, NDArray[np.float32]] | None:
        """Return (sim_time_s, ``[n] float32``) of the newest period, None when empty."""
        with self._lock:
            if self._written == 0:
                return None if self._before is None else (self._before[0], self._before[1][self._column_of_kpi[kpi]])
            slot = (self._written - 1) % self.depth
            return self._end_ms[slot] / 1000.0, self._values[self._column_of_kpi[kpi], slot].copy()

    def rows(self, entity_index: int, kpi: str) -> Rows:
        """Return one KPI of one entity, oldest first."""
        with self._lock:
            order = self._order()
            column = int(np.searchsorted(self.entity_index, entity_index))
            value = self._values[self._column_of_kpi[kpi], order, column]
            return Rows(granularity_s=self.granularity_s, end_ms=self._end_ms[order], value=value)

    def block(self, kpi: str, after_ms: int, through_ms: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return ends ``[t] int64`` in (after, through] and values ``[t, n] float32`` of one KPI."""
        with self._lock:
            order = self._order()
            ends = self._end_ms[order]
            order = order[(ends > after_ms) & (ends <= through_ms)]
            return self._end_ms[order], self._values[self._column_of_kpi[kpi], order]

    def _order(self) -> NDArray[np.int64]:
        if self._written <= self.depth:
            return np.arange(self._written)
        return np.arange(self._written - self.depth, self._written) % self.depth


class PositionRing:
    """Where the UEs are now: the newest position of each."""

    def __init__(self, entity_index: NDArray[np.int64]) -> None:
        self.entity_index = entity_index
        self._places = Places(entity_index)
        self._position_m = np.full((entity_index.size, 3), np.nan, np.float32)
        self._at_s = float("nan")
        self._lock = threading.Lock()

    def put(self, at_s: float, entity_index: NDArray[np.integer], position_m: NDArray[np.float32]) -> None:
        """Keep the positions of a batch."""
        if self.entity_index.size == 0:
            return
        whole = self._places.whole(entity_index)
        rows, where = (None, None) if whole else self._places.find(entity_index)
        with self._lock:
            if rows is None:
                self._position_m[:] = position_m
            else:
                self._position_m[where] = position_m[rows]
            self._at_s = at_s

    def newest(self) -> tuple[float, NDArray[np.float32]]:
        """Return (sim_time_s, ``[n, 3] float32`` ENU metres); NaN before the first batch."""
        with self._lock:
            return self._at_s, self._position_m.copy()
