"""From planned positions to sites, cells and neighbour relations with sensible radio defaults.

Defaults: band n78 at 3.5 GHz with 100 MHz, 46 dBm for macro sites above the roofs (UMa) and 41 dBm below (UMi),
the values commonly used with TR 38.901 (TR 38.913 tables 6.1.2-1 and 6.1.3-1 list the deployments). Further carriers
stand beside the first one: same antennas' place, same azimuth, cell numbers that go on where the sectors end.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from twin.entities import Cell, NeighbourRelation, Site
from twin_app.scenarios.citymap import rng_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin_app.scenarios.citymap import SitePlan

MAX_NEIGHBOURS = 32
"""Relations of a cell on its own carrier: as many as a UE can be told to measure (maxNrofCellMeas of TS 38.331)."""
MAX_OTHER_CARRIER = 3
"""Relations of a cell to cells on another carrier."""
_REACH = 6.0
_POWER_DBM = {"UMa": 46.0, "UMi": 41.0, "RMa": 46.0, "InH": 24.0, "SubTHz": 23.0}
_HALF_BEAM_DEG = 5.1
"""Half of the vertical half-power width of ten rows half a wavelength apart, 102 degrees / 10."""
_MOST_TILT_DEG = 15.0
_NUM_PCI = 1008  # TS 38.211 section 7.4.2.1
_NUM_GROUPS = _NUM_PCI // 3


def tilt_deg(height_m: float, isd_m: float) -> float:
    """Return the electrical tilt with which the upper half-power edge of the beam meets the far edge of the cell.

    That edge is two thirds of the inter-site distance away in a grid of three-sector sites. Beyond, a cell is heard
    as little as may be: an antenna on a tower that is tilted too little serves streets two sites away.
    """
    edge = math.degrees(math.atan2(height_m - 1.5, isd_m / 1.5))
    return min(round(2.0 * (edge + _HALF_BEAM_DEG)) / 2.0, _MOST_TILT_DEG)


def _pci_groups(position_m: NDArray[np.float64], rng: np.random.Generator) -> list[int]:
    """Give each position its own PCI group; beyond 336 the group whose holders are farthest away is reused."""
    order = [int(group) for group in rng.permutation(_NUM_GROUPS)]
    groups = order[: len(position_m)]
    for index in range(len(groups), len(position_m)):
        distance = np.hypot(*(position_m[:index] - position_m[index]).T)
        nearest = np.full(_NUM_GROUPS, np.inf)
        np.minimum.at(nearest, np.array(groups), distance)
        groups.append(int(nearest.argmax()))
    return groups


def sites_and_cells(plans: Sequence[SitePlan], *, seed: int) -> tuple[tuple[Site, ...], tuple[Cell, ...]]:
    """Return the sites (numbered from 1 in the order given) and their sector cells."""
    position_m = np.array([plan.position_m for plan in plans], dtype=np.float64).reshape(-1, 2)
    # Three identities to a group: a site with more than three sectors holds more than one group.
    share = np.array([-(-len(plan.azimuths_deg) // 3) for plan in plans], dtype=np.int64)
    groups = _pci_groups(np.repeat(position_m, share, axis=0), rng_of(seed, "pci"))
    first_group = np.concatenate([[0], np.cumsum(share)])
    sites: list[Site] = []
    cells: list[Cell] = []
    for number, plan in enumerate(plans, start=1):
        site_dn = f"SubNetwork=1,ManagedElement=gNB-{number}"
        own_name = (plan.source,) if plan.source else ()
        sites.append(
            Site(
                id=f"site-{number}",
                name=f"Site {number}",
                dn=site_dn,
                aliases=(f"gNB-{number}", f"S{number}", *own_name),
                position_m=(*plan.position_m, 0.0),
                height_m=plan.height_m,
            )
        )
        for sector, azimuth_deg in enumerate(plan.azimuths_deg, start=1):
            cells.append(
                Cell(
                    id=f"cell-{number}-{sector}",
                    site_id=f"site-{number}",
                    sector=sector,
                    name=f"Cell {number}-{sector}",
                    dn=f"{site_dn},GNBDUFunction={number},NRCellDU={sector}",
                    aliases=(f"{number}-{sector}", f"S{number}-{sector}"),
                    azimuth_deg=azimuth_deg,
                    tilt_deg=tilt_deg(plan.height_m, plan.isd_m),
                    tx_power_dbm=_POWER_DBM[plan.environment],
                    carrier_hz=plan.carrier_hz,
                    bandwidth_hz=plan.bandwidth_hz,
                    environment=plan.environment,
                    nr_pci=3 * groups[first_group[number - 1] + (sector - 1) // 3] + (sector - 1) % 3,
                )
            )
    return tuple(sites), tuple(cells)


def co_sited(cells: Sequence[Cell], *, carrier_hz: float, bandwidth_hz: float) -> tuple[Cell, ...]:
    """Return one cell more for each of these, on another carrier; cell 7-1 of three gets cell 7-4 beside it.

    Physical cell identities are those of the first carrier turned by half their range: as far apart as before,
    the same modulo 3, and never that of the cell beside.
    """
    taken = Counter(cell.site_id for cell in cells)
    added: list[Cell] = []
    for cell in cells:
        taken[cell.site_id] += 1
        number, site_number = taken[cell.site_id], cell.site_id.removeprefix("site-")
        added.append(
            replace(
                cell,
                id=f"cell-{site_number}-{number}",
                sector=number,
                name=f"Cell {site_number}-{number}",
                dn=f"{cell.dn.rpartition('=')[0]}={number}",
                aliases=(f"{site_number}-{number}", f"S{site_number}-{number}"),
                carrier_hz=carrier_hz,
                bandwidth_hz=bandwidth_hz,
                nr_pci=(cell.nr_pci + _NUM_PCI // 2) % _NUM_PCI,
            )
        )
    return tuple(added)


def neighbour_relations(sites: Sequence[Site], cells: Sequence[Cell]) -> tuple[NeighbourRelation, ...]:
    """Return the relations both ways, nearest and most facing first.

    A cell has at most :data:`MAX_NEIGHBOURS` on its own carrier and :data:`MAX_OTHER_CARRIER` on each other one. The
    cost of a pair is its distance, doubled for each end that looks away from the other; sectors of one site always
    know each other, and so do the carriers of one site.
    """
    if not cells:
        return ()
    index = {site.id: number for number, site in enumerate(sites)}
    position_m = np.array([sites[index[cell.site_id]].position_m[:2] for cell in cells])
    azimuth = np.radians([cell.azimuth_deg for cell in cells])
    boresight = np.stack([np.sin(azimuth), np.cos(azimuth)], axis=1)
    offset_m = position_m[None, :, :] - position_m[:, None, :]  # [num_cells, num_cells, 2]
    distance_m = np.hypot(offset_m[..., 0], offset_m[..., 1])
    safe_m = np.where(distance_m > 0, distance_m, 1.0)
    facing = np.einsum("ijk,ik->ij", offset_m, boresight) / safe_m  # cosine between boresight and direction
    away = (1.0 - facing) / 2.0
    cost = distance_m * (1.0 + away + away.T)
    site_number = np.array([index[cell.site_id] for cell in cells])
    # Of the cells at one place the one that looks the same way comes first.
    cost = np.where(site_number[:, None] == site_number[None, :], (1.0 - boresight @ boresight.T) * 1e-3, cost)
    carrier_hz = np.array([cell.carrier_hz for cell in cells])
    carrier = np.unique(carrier_hz, return_inverse=True)[1]
    same = carrier[:, None] == carrier[None, :]
    # Beyond a few rings of sites nobody hands over: a cell at the rim keeps a shorter list.
    nearest_m = np.where((distance_m > 0) & same, distance_m, np.inf).min(axis=1)
    reach_m = _REACH * np.maximum(nearest_m[:, None], nearest_m[None, :])
    first, second = np.nonzero(np.triu(cost <= reach_m, k=1))
    order = np.argsort(cost[first, second], kind="stable")
    degree = np.zeros((len(cells), int(carrier.max()) + 1), dtype=np.int64)  # of each cell, to each carrier
    kept: list[tuple[int, int]] = []
    for pair in order:
        a, b = int(first[pair]), int(second[pair])
        limit = MAX_NEIGHBOURS if same[a, b] else MAX_OTHER_CARRIER
        if max(degree[a, carrier[b]], degree[b, carrier[a]]) < limit:
            degree[a, carrier[b]] += 1
            degree[b, carrier[a]] += 1
            kept += [(a, b), (b, a)]
    kept.sort()
    return tuple(NeighbourRelation(source_id=cells[a].id, target_id=cells[b].id) for a, b in kept)
