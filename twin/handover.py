"""Mobility of connected UEs: event A3, handover preparation and execution, radio link failure, re-establishment.

One gNB-CU serves the city, each site is one of its DUs: every handover is inside of one gNB, between sites from DU to
DU (TS 38.401 8.2.1), hence the "intra" counters (preparations TS 28.552 5.1.3.7.1, executions 5.1.1.6.2), and every
re-establishment finds the UE's context. Neighbours on another carrier are treated
like those on the same: by RSRP, with no measurement gaps. Frequency-specific offsets (Ofn, Ofp) and the offset of the
serving cell (Ocp) are zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from twin import kernels
from twin.neighbours import resolved
from twin.radio_link_failure import (
    FAILED_AFTER_S,
    OUT_OF_SYNC_S,
    Q_IN_DB,
    Q_OUT_DB,
    RE_ESTABLISH_S,
    SEARCH_S,
    STORE_CONTEXT_S,
    T304_S,
    Outages,
    blamed,
)
from twin.setup_failures import ATTEMPTS_PER_CONNECTION_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.configuration import Configuration
    from twin.neighbours import Relations

HYSTERESIS_DB = 1.0
OFFSET_DB = 2.0
TIME_TO_TRIGGER_S = 0.1
"""Defaults of the managed attributes (TS 38.331: hysteresis 0..15 dB, a3-Offset -15..15 dB, time to trigger one of a
set): a neighbour must lead by 3 dB for 100 ms. At the corners of a city a car hears its cell fall by 15 dB in a
second: with 320 ms one in ten links fails that should be handed over, with 2 dB twice as many come back at once."""
MIN_RSRP_DBM = -125.0
"""Default of qRxLevMin: below it a UE finds no cell (TS 38.304 5.2.3.2)."""
FILTER_COEFFICIENT = 4
"""filterCoefficient k of TS 38.331 5.5.3.2, its default fc4: each measurement weighs 1/2^(k/4), that is one half."""
MEASUREMENT_PERIOD_S = 0.2
"""Measurements on the serving carrier arrive this often (TS 38.133 table 9.2.5.2-1)."""
INTERRUPTION_S = 0.05
"""A UE in handover gets no data for this time: RRC processing 10 ms (TS 38.331 12), search, fine synchronisation and
random access on the target (TS 38.133 6.1.1.2)."""
REFUSED_S = 2.0
"""A cell that refused a preparation is not asked again by the same source for this time: an assumption of ours, of the
size of the timers that products have for it."""
PING_PONG_S = 2.0
"""Back in the cell just left within this time."""
MOBILITY_FEATURES = (
    "prepare", "prepared", "execute", "executed", "too_early", "too_late", "wrong_cell", "ping_pong",
    "re_establish", "re_established", "link_failures", "dedicated",
)  # fmt: skip
"""Columns of the mobility counts of each cell."""
_COLUMN = {name: place for place, name in enumerate(MOBILITY_FEATURES)}
CALLS = ("connect", "unheard", "again")
"""Columns of :attr:`Mobility.calls`: new connections asked for, those of them that failed for want of signal, and
re-establishments whose preamble the cell can hear."""


def strongest(
    rsrp_dbm: NDArray[np.float32],
    *,
    least_dbm: NDArray[np.float32] | float = MIN_RSRP_DBM,
    admits: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Return the column of the strongest cell that each row may use, -1 where there is none.

    Args:
        rsrp_dbm: ``[n, C] float32``.
        least_dbm: qRxLevMin, of each cell or of all.
        admits: ``[C]`` or ``[n, C] bool`` cells that take new connections, None = all.
    """
    if not rsrp_dbm.size:
        return np.full(len(rsrp_dbm), -1, dtype=np.int64)
    if admits is not None and not admits.all():
        rsrp_dbm = np.where(admits, rsrp_dbm, np.float32(-np.inf))
    if isinstance(least_dbm, np.ndarray):
        rsrp_dbm = np.where(rsrp_dbm >= least_dbm, rsrp_dbm, np.float32(-np.inf))
        least_dbm = -1e9
    best = rsrp_dbm.argmax(axis=1)
    return np.where(rsrp_dbm[np.arange(len(best)), best] >= least_dbm, best, -1)


def settled(
    rsrp_dbm: NDArray[np.float32],
    camped: NDArray[np.int64],
    *,
    neighbour: NDArray[np.int32],
    offset_db: NDArray[np.float32],
    admits: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return where handovers have brought users who stand still: over borders that a cellIndividualOffset has moved.

    Idle users camp on the strongest cell; once connected, event A3 weighs each neighbour with its offset. Hysteresis
    and a3Offset hold users on either side of a border alike, so on the mean it lies where the weighed levels are
    equal.

    Args:
        rsrp_dbm: ``[n, C] float32``.
        camped: ``[n] int64`` strongest cell, -1 = none.
        neighbour: ``[C, K] int32`` targets of each cell, -1 = none.
        offset_db: ``[C, K] float32`` of each relation, -inf where none may be used.
        admits: ``[C] bool`` cells that take connections.
    """
    if not (np.isfinite(offset_db) & (offset_db > 0)).any():
        return camped
    rows, cell = np.arange(len(camped)), np.maximum(camped, 0)
    target = neighbour[cell]
    weighed = rsrp_dbm[rows[:, None], target] + np.where(admits[target], offset_db[cell], np.float32(-np.inf))
    best = weighed.argmax(axis=1)
    moves = (camped >= 0) & (weighed[rows, best] > rsrp_dbm[rows, cell])
    return np.where(moves, target[rows, best], camped).astype(np.int64)


def filter_weight(dt_s: float) -> float:
    """Return the weight of a measurement that comes every `dt_s`, so that the filter's time constant stays.

    TS 38.331 5.5.3.2: F = (1 - a) F + a M with a = 1/2^(k/4) at the measurement period; at another rate the filter
    is adapted to preserve its time characteristics.
    """
    kept = 1.0 - 0.5 ** (FILTER_COEFFICIENT / 4.0)
    return 1.0 - kept ** (dt_s / MEASUREMENT_PERIOD_S)


@dataclass(slots=True, kw_only=True, eq=False)
class MobilityRules:
    """What is configured; ``C`` cells, ``R`` relations.

    Attributes:
        a3_offset_db: ``[C] float``.
        hysteresis_db: ``[C] float``.
        time_to_trigger_s: ``[C] float``.
        q_rx_lev_min_dbm: ``[C] float``.
        pci: ``[C] int64``.
        carrier: ``[C] int64`` number of the cell's carrier.
        offset_db: ``[R] float`` cellIndividualOffset.
        allowed: ``[R] bool`` isHOAllowed.
        present: ``[R] bool`` relations that exist.
    """

    a3_offset_db: NDArray[np.floating[Any]]
    hysteresis_db: NDArray[np.floating[Any]]
    time_to_trigger_s: NDArray[np.floating[Any]]
    q_rx_lev_min_dbm: NDArray[np.floating[Any]]
    pci: NDArray[np.int64]
    carrier: NDArray[np.int64]
    offset_db: NDArray[np.floating[Any]]
    allowed: NDArray[np.bool_]
    present: NDArray[np.bool_]


RULED_BY = (
    "a3Offset", "hysteresis", "timeToTrigger", "qRxLevMin", "nRPCI", "cellIndividualOffset", "isHOAllowed",
)  # fmt: skip
"""Managed attributes whose change makes other rules."""


def rules_of(
    configuration: Configuration, *, carrier: NDArray[np.int64], present: NDArray[np.bool_] | None = None
) -> MobilityRules:
    """Return the rules that the managed attributes make; every relation exists when `present` is None."""
    allowed = configuration.equals("isHOAllowed", "true")
    return MobilityRules(
        a3_offset_db=configuration.numbers("a3Offset"),
        hysteresis_db=configuration.numbers("hysteresis"),
        time_to_trigger_s=configuration.numbers("timeToTrigger") / 1e3,
        q_rx_lev_min_dbm=configuration.numbers("qRxLevMin"),
        pci=configuration.numbers("nRPCI").astype(np.int64),
        carrier=carrier,
        offset_db=configuration.numbers("cellIndividualOffset"),
        allowed=allowed,
        present=np.ones(len(allowed), dtype=bool) if present is None else present,
    )


class Quality(Protocol):
    """Whoever knows how well UEs would hear cells now."""

    def __call__(self, rows: NDArray[np.int64], cells: NDArray[np.int64], /) -> NDArray[np.float32]:
        """Return the SINR in decibels of each row at the cell beside it, ``[n] float32``."""
        ...


class Mobility:
    """Which cell serves each UE, and everything on the way from one to the next.

    Args:
        rsrp_dbm: ``[num_ues, num_cells] float32`` at the start.
        relations: Who knows whom.
        rules: What is configured.
        kernel: Arithmetic of a tick.

    Attributes:
        serving: ``[num_ues] int64`` cell column, -1 = none.
        served_share: ``[num_ues] float32`` part of this tick in which the UE can be sent data.
        counts: ``[num_cells, len(MOBILITY_FEATURES)] float64`` since somebody cleared them.
        calls: ``[num_cells, len(CALLS)] float64`` random accesses of UEs without a cell in this tick.
        called: Whether there are any.
    """

    def __init__(
        self,
        rsrp_dbm: NDArray[np.float32],
        relations: Relations,
        rules: MobilityRules,
        *,
        kernel: kernels.Kernel | None = None,
    ) -> None:
        ues, cells, slots = len(rsrp_dbm), *relations.neighbour.shape
        self._relations = relations
        self._handover = (kernel or kernels.load()).handover
        self._open, self._drains = np.ones(cells, dtype=bool), np.zeros(cells, dtype=bool)
        self._access_loss = np.zeros(cells, dtype=np.float32)
        self._unsteady = False
        self.serving = np.full(ues, -1, dtype=np.int64)
        self.served_share = np.ones(ues, dtype=np.float32)
        self.counts = np.zeros((cells, len(MOBILITY_FEATURES)))
        self.calls, self.called = np.zeros((cells, len(CALLS))), False
        self._refused_s = np.zeros((cells, slots), dtype=np.float32)
        self._busy = np.ones(ues, dtype=bool)
        self._filtered_dbm = np.full((ues, 1 + slots), np.nan, dtype=np.float32)
        self._waited_s = np.full((ues, slots), -1.0, dtype=np.float32)
        self._triggered = np.zeros((ues, slots), dtype=bool)
        self._silent_s, self._out_of_sync_s = np.zeros((2, ues), dtype=np.float32)
        self._since_s = np.full(ues, 1e6, dtype=np.float32)
        self._came_from = np.full(ues, -1, dtype=np.int64)
        self._outages = Outages(ues)
        self._outages.begin(np.arange(ues), cell=-1, source=-1, wait_s=0.0)
        self._report = np.full(ues, -1, dtype=np.int32)
        self._failed = np.zeros(ues, dtype=bool)
        self.rule(rules)
        self.serving[:] = strongest(rsrp_dbm, least_dbm=self._floor_dbm)

    def rule(self, rules: MobilityRules) -> None:
        """Put other rules in force; every UE measures anew by them (TS 38.331 5.5.2.3)."""
        relations = self._relations
        neighbour = relations.neighbour
        offset = relations.spread(rules.offset_db, fill=0.0)
        present = relations.spread(rules.present, fill=0.0) > 0.5
        usable = present & (relations.spread(rules.allowed, fill=0.0) > 0.5)
        # A UE takes a neighbour with its own cell's identity for its own cell and never reports it.
        own = (rules.pci[:, None] == rules.pci[neighbour]) & (rules.carrier[:, None] == rules.carrier[neighbour])
        usable &= ~own
        self.offset_db = np.where(usable, offset, -np.inf).astype(np.float32)
        ahead, hysteresis = rules.a3_offset_db[:, None] - offset, rules.hysteresis_db[:, None]
        self._enter_db = np.where(usable, ahead + hysteresis, np.inf).astype(np.float32)
        self._leave_db = np.where(usable, ahead - hysteresis, np.inf).astype(np.float32)
        self._time_to_trigger_s = rules.time_to_trigger_s.astype(np.float32)
        self._floor_dbm = rules.q_rx_lev_min_dbm.astype(np.float32)
        self._found = resolved(relations, rules.pci, rules.carrier, present=present)
        self._waited_s[:] = -1.0
        self._triggered[:] = False
        self._busy[:] = True

    def hear(self, rows: NDArray[np.int64] | slice) -> None:
        """Tell that UEs hear other levels than before."""
        self._busy[rows] = True

    def use(self, kernel: kernels.Kernel) -> None:
        """Let another kernel do the arithmetic of the ticks to come."""
        self._handover = kernel.handover

    def admit(
        self,
        *,
        admits: NDArray[np.bool_],
        on_air: NDArray[np.bool_],
        drains: NDArray[np.bool_] | None = None,
        access_loss: NDArray[np.float32] | None = None,
    ) -> None:
        """Tell which cells take whom; a cell that leaves the air releases its UEs, which look for another at once.

        Args:
            admits: ``[C] bool`` cells that accept handovers and new connections: not locked, shutting down or asleep.
            on_air: ``[C] bool`` cells that radiate.
            drains: ``[C] bool`` cells that hand all their UEs over now, None = none.
            access_loss: ``[C] float32`` share of random accesses that fail, None = no more than usual. The network
                does not know: handovers to such a cell are prepared as ever.
        """
        self._open = admits & on_air
        self._drains = np.zeros_like(admits) if drains is None else drains & on_air
        self._access_loss = np.zeros(len(admits), dtype=np.float32) if access_loss is None else access_loss.copy()
        self._unsteady = bool((on_air & ~self._open).any() or self._drains.any() or self._access_loss.any())
        gone = np.flatnonzero((self.serving >= 0) & ~on_air[self.serving])
        self._detach(gone, cell=-1, source=-1, wait_s=0.0)

    def step(
        self,
        rsrp_dbm: NDArray[np.float32],
        sinr_db: NDArray[np.float32],
        quality: Quality,
        *,
        dt_s: float,
        rng: np.random.Generator,
    ) -> None:
        """Advance by one tick.

        Args:
            rsrp_dbm: ``[num_ues or more, C] float32``; rows beyond the UEs are left alone.
            sinr_db: ``[num_ues or more] float32`` of the serving cell, as of the tick before.
            quality: Knows the SINR of UEs at other cells.
            dt_s: Length of the tick.
            rng: Decides whose random access fails and whose connection to a closed cell ends.
        """
        self.served_share.fill(1.0)
        if self.called:
            self.calls[:] = 0.0
            self.called = False
        reports, failures, lost = self._handover(
            rsrp_dbm, sinr_db, self.serving, self._relations.neighbour, self._enter_db, self._leave_db,
            self._time_to_trigger_s, self._floor_dbm, self._busy, self._filtered_dbm, self._waited_s, self._triggered,
            self._silent_s, self._out_of_sync_s, self._since_s, self._report, self._failed, dt_s, filter_weight(dt_s),
            Q_OUT_DB, Q_IN_DB, OUT_OF_SYNC_S, FAILED_AFTER_S,
        )  # fmt: skip
        if failures:
            self._fail(np.flatnonzero(self._failed))
        if reports:
            rows = np.flatnonzero((self._report >= 0) & ~self._failed)
            self._hand_over(rows, self._report[rows], sinr_db, quality, dt_s, rng)
        np.maximum(self._refused_s - np.float32(dt_s), np.float32(0.0), out=self._refused_s)
        if self._unsteady:
            self._drain(rsrp_dbm, sinr_db, quality, dt_s, rng)
            self._leave_closed(dt_s, rng)
        if lost or failures or reports or self._unsteady:
            self._come_back(rsrp_dbm, quality, dt_s, rng)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state by name; writing into it writes the state."""
        return {
            "ue_serving": self.serving,
            "mobility_counts": self.counts,
            "measuring": self._busy,
            "filtered_dbm": self._filtered_dbm,
            "waited_s": self._waited_s,
            "triggered": self._triggered,
            "silent_s": self._silent_s,
            "out_of_sync_s": self._out_of_sync_s,
            "since_handover_s": self._since_s,
            "came_from": self._came_from,
            "refused_s": self._refused_s,
            **self._outages.arrays(),
        }

    def _count(self, name: str, cells: NDArray[np.int64]) -> None:
        if len(cells):
            np.add.at(self.counts[:, _COLUMN[name]], cells, 1.0)

    def _hand_over(
        self,
        rows: NDArray[np.int64],
        slots: NDArray[np.int32],
        sinr_db: NDArray[np.float32],
        quality: Quality,
        dt_s: float,
        rng: np.random.Generator,
    ) -> None:
        """Prepare and execute handovers to neighbours."""
        asks = self._refused_s[self.serving[rows], slots] <= 0.0
        rows, slots = rows[asks], slots[asks]
        source = self.serving[rows]
        target = self._relations.neighbour[source, slots].astype(np.int64)
        prepared = self._found[source, slots]
        self._count("prepare", source)
        granted = self._open[prepared]
        self._refused_s[source[~granted], slots[~granted]] = REFUSED_S
        rows, source, target, prepared = rows[granted], source[granted], target[granted], prepared[granted]
        self._count("prepared", source)
        self._count("execute", source)
        # The command travels over the old link; where that no longer carries it, the UE knows of nothing.
        told = sinr_db[rows] >= Q_OUT_DB
        arrives = (prepared == target) & (quality(rows, target) >= Q_OUT_DB)
        # The target hears the preamble kept for this UE, whatever becomes of the access then.
        self._count("dedicated", target[told & arrives])
        if self._unsteady:
            arrives &= rng.random(len(rows)) >= self._access_loss[target]
        astray = told & ~arrives
        self._detach(rows[astray], cell=target[astray], source=source[astray], wait_s=T304_S + RE_ESTABLISH_S)
        done = told & arrives
        rows, source, target = rows[done], source[done], target[done]
        self._count("executed", source)
        back = (target == self._came_from[rows]) & (self._since_s[rows] <= PING_PONG_S)
        self._count("ping_pong", target[back])
        self._attach(rows, target)
        self._came_from[rows] = source
        self._since_s[rows] = 0.0
        self.served_share[rows] = max(1.0 - INTERRUPTION_S / dt_s, 0.0)

    def _fail(self, rows: NDArray[np.int64]) -> None:
        cell = self.serving[rows]
        self._count("link_failures", cell)
        recent = self._since_s[rows] <= STORE_CONTEXT_S
        self._detach(rows, cell=cell, source=np.where(recent, self._came_from[rows], -1), wait_s=RE_ESTABLISH_S)

    def _drain(
        self,
        rsrp_dbm: NDArray[np.float32],
        sinr_db: NDArray[np.float32],
        quality: Quality,
        dt_s: float,
        rng: np.random.Generator,
    ) -> None:
        """Hand the UEs of draining cells over to their strongest open neighbours."""
        rows = np.flatnonzero((self.serving >= 0) & self._drains[self.serving])
        if not len(rows):
            return
        cell = self.serving[rows]
        near = self._relations.neighbour[cell]
        usable = np.isfinite(self._enter_db[cell]) & self._open[near]
        level = np.where(usable, rsrp_dbm[rows[:, None], near], np.float32(-np.inf))
        slots = level.argmax(axis=1).astype(np.int32)
        found = level.max(axis=1) >= self._floor_dbm[near[np.arange(len(rows)), slots]]
        rows, slots = rows[found], slots[found]
        self._hand_over(rows, slots, sinr_db, quality, dt_s, rng)

    def _leave_closed(self, dt_s: float, rng: np.random.Generator) -> None:
        """End connections to cells that may not let their UEs in again; a connection that lasts needs no access."""
        inside = np.flatnonzero(self.serving >= 0)
        inside = inside[(~self._open | (self._access_loss > 0))[self.serving[inside]]]
        ended = inside[rng.random(len(inside)) < ATTEMPTS_PER_CONNECTION_S * dt_s]
        self._detach(ended, cell=-1, source=-1, wait_s=0.0)

    def _come_back(
        self, rsrp_dbm: NDArray[np.float32], quality: Quality, dt_s: float, rng: np.random.Generator
    ) -> None:
        """Connect UEs without a cell to the strongest that admits them."""
        outages = self._outages
        due = outages.due(np.flatnonzero(self.serving < 0), dt_s)
        if not len(due):
            return
        admits = self._open
        if self._unsteady:
            admits = admits & (rng.random((len(due), 1), dtype=np.float32) >= self._access_loss)
        chosen = strongest(rsrp_dbm[due], least_dbm=self._floor_dbm, admits=admits)
        nowhere = due[chosen < 0]
        # T311 runs out: the UE goes idle and looks around now and then.
        outages.begin(nowhere, cell=-1, source=-1, wait_s=SEARCH_S)
        if len(nowhere) == len(due):
            return
        due, chosen = due[chosen >= 0], chosen[chosen >= 0]
        again = outages.cell[due] >= 0
        self._count("re_establish", chosen[again])
        heard = quality(due, chosen) >= Q_OUT_DB
        self.called = True
        for place, cells in enumerate((chosen[~again], chosen[~again & ~heard], chosen[again & heard])):
            np.add.at(self.calls[:, place], cells, 1.0)
        outages.begin(due[~heard], cell=-1, source=-1, wait_s=SEARCH_S)
        due, chosen, again = due[heard], chosen[heard], again[heard]
        back, where = due[again], chosen[again]
        self._count("re_established", where)
        cell, source = outages.cell[back], outages.source[back]
        late, early, wrong = blamed(cell=cell, source=source, chosen=where)
        self._count("too_late", cell[late])
        self._count("too_early", source[early])
        self._count("wrong_cell", source[wrong])
        self._attach(due, chosen)
        self._came_from[due] = -1

    def _attach(self, rows: NDArray[np.int64], cells: NDArray[np.int64]) -> None:
        """Let cells serve UEs; they begin to measure the neighbours of the new cell."""
        self.serving[rows] = cells
        self._filtered_dbm[rows, 0] = np.nan
        self._waited_s[rows] = -1.0
        self._triggered[rows] = False
        self._silent_s[rows] = self._out_of_sync_s[rows] = 0.0
        self._busy[rows] = True

    def _detach(
        self,
        rows: NDArray[np.int64],
        *,
        cell: NDArray[np.int64] | int,
        source: NDArray[np.int64] | int,
        wait_s: float,
    ) -> None:
        self._outages.begin(rows, cell=cell, source=source, wait_s=wait_s)
        self._out_of_sync_s[rows] = 0.0
        self.serving[rows] = -1
