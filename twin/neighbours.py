"""Which cells know each other (NRCellRelation of TS 28.541), and what follows where two share a physical cell identity.

A relation is one way: the source may hand over to the target. Each cell has a short list, kept as rows of equal
length, so a thousand cells need no square matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.entities import Cell, NeighbourRelation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relations:
    """The relations of a network as rows; ``C`` cells, at most ``K`` relations of one cell, ``R`` in all.

    Attributes:
        neighbour: ``[C, K] int32`` column of each target in the order of the relations, -1 behind the last.
        source: ``[R] int64`` row of each relation.
        slot: ``[R] int64`` its place in that row.
    """

    neighbour: NDArray[np.int32]
    source: NDArray[np.int64]
    slot: NDArray[np.int64]

    def spread(self, values: NDArray[np.generic], *, fill: float) -> NDArray[np.float32]:
        """Return one value per relation as ``[C, K] float32``, `fill` where there is no relation."""
        table = np.full(self.neighbour.shape, fill, dtype=np.float32)
        table[self.source, self.slot] = values
        return table

    def known(self, present: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Return ``[C, C] bool``: whether the row's cell has a (present) relation to the column's."""
        chosen = slice(None) if present is None else present
        square = np.zeros((len(self.neighbour), len(self.neighbour)), dtype=bool)
        source, slot = self.source[chosen], self.slot[chosen]
        square[source, self.neighbour[source, slot]] = True
        return square


def relations_of(cells: Sequence[Cell], neighbours: Sequence[NeighbourRelation]) -> Relations:
    """Return relations as arrays; their order within a row is that of `neighbours`."""
    column = {cell.id: number for number, cell in enumerate(cells)}
    source = np.array([column[one.source_id] for one in neighbours], dtype=np.int64)
    target = np.array([column[one.target_id] for one in neighbours], dtype=np.int32)
    slot = np.zeros(len(source), dtype=np.int64)
    used = np.zeros(len(cells), dtype=np.int64)
    for number, row in enumerate(source):
        slot[number] = used[row]
        used[row] += 1
    neighbour = np.full((len(cells), max(int(used.max(initial=0)), 1)), -1, dtype=np.int32)
    neighbour[source, slot] = target
    return Relations(neighbour=neighbour, source=source, slot=slot)


def resolved(
    relations: Relations, pci: NDArray[np.int64], carrier: NDArray[np.int64], *, present: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Return the cell that each cell takes a reported neighbour for, ``[C, K] int32``.

    A UE reports a physical cell identity and a carrier; the source looks them up in its own relations and finds the
    first that has them. Where two of its neighbours share both (PCI confusion, TS 38.300 15.3.2), the later one is
    taken for the first, and the handover is prepared at a cell that the UE does not hear.

    Args:
        relations: Who knows whom.
        pci: ``[C] int64`` nRPCI.
        carrier: ``[C] int64`` number of each cell's carrier.
        present: ``[C, K] bool`` relations that exist now.
    """
    neighbour = relations.neighbour
    label = np.where(present, pci[neighbour] * (int(carrier.max(initial=0)) + 1) + carrier[neighbour], -1)
    found = neighbour.copy()
    for row, labels in enumerate(label):
        first = (labels[:, None] == labels[None, :]).argmax(axis=1)
        found[row] = neighbour[row, first]
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PciClash:
    """Pairs of cells of one carrier whose identities get in each other's way; all ``[C, C] bool``, symmetric.

    Attributes:
        collision: Neighbours with the same identity: a UE between them cannot tell them apart.
        confusion: Two neighbours of one cell with the same identity: that cell cannot.
        mod3: Neighbours with the same primary synchronisation signal (TS 38.211 7.4.2.2).
        mod30: Neighbours with the same group of uplink reference sequences (TS 38.211 6.4.1.1.1.2).
    """

    collision: NDArray[np.bool_]
    confusion: NDArray[np.bool_]
    mod3: NDArray[np.bool_]
    mod30: NDArray[np.bool_]


def pci_clash(pci: NDArray[np.int64], carrier: NDArray[np.int64], known: NDArray[np.bool_]) -> PciClash:
    """Return which identities clash, given who knows whom (:meth:`Relations.known`)."""
    others = (carrier[:, None] == carrier[None, :]) & ~np.eye(len(pci), dtype=bool)
    beside = (known | known.T) & others
    together = known.astype(np.float32)
    together = (together.T @ together > 0.5) & others

    def same(modulus: int) -> NDArray[np.bool_]:
        return pci[:, None] % modulus == pci[None, :] % modulus

    identical = pci[:, None] == pci[None, :]
    return PciClash(
        collision=identical & beside, confusion=identical & together, mod3=same(3) & beside, mod30=same(30) & beside
    )


def namesakes(pci: NDArray[np.int64], carrier: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """Return, for each cell that has any, the other cells of its carrier with its identity, near or far."""
    label = pci * (int(carrier.max(initial=0)) + 1) + carrier
    order = np.argsort(label, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
    return {int(cell): group[group != cell] for group in groups if len(group) > 1 for cell in group}


def shared_identity_mw(
    received_mw: NDArray[np.float32], serving: NDArray[np.int64], namesake: dict[int, NDArray[np.int64]]
) -> NDArray[np.float32]:
    """Return what namesakes of the serving cell add to the disturbance of each user, ``[num_users] float32``.

    Cells of one identity send the same synchronisation and demodulation reference signals at the same places
    (TS 38.211 7.4.1.1.1, 7.4.2): the other's power falls into the channel estimate whole, whatever its load. An
    estimate that is wrong by that share spoils the data by as much again, so it counts as noise of that power,
    beside the interference that the namesake's own load makes. It is nothing where the namesake is far away.

    Args:
        received_mw: ``[num_users, C] float32`` at full load.
        serving: ``[num_users] int64`` cell column, -1 = none.
        namesake: From :func:`namesakes`.
    """
    extra = np.zeros(len(serving), dtype=np.float32)
    for cell, others in namesake.items():
        rows = np.flatnonzero(serving == cell)
        extra[rows] = received_mw[np.ix_(rows, others)].sum(axis=1)
    return extra
