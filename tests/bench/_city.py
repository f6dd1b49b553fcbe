"""Cities for the radio benches: a hexagonal layout of any size whose UEs all move."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np

from twin.clock import CivilTime
from twin.entities import (
    Cell,
    LandUse,
    Site,
    Slice,
    StreetGraph,
    TransportLink,
    TransportNode,
    UserEquipment,
)
from twin.scenario import LandUseGrid, Origin, Scenario
from twin_app.scenarios.planner import hexagonal_rings
from twin_app.scenarios.radio_plan import neighbour_relations

CIVIL = CivilTime(epoch=datetime(2026, 11, 17, 12, 0, tzinfo=UTC), timezone="UTC")
ISD_M = 500.0
SLICES = tuple(
    Slice(id=f"slice-{name}", name=name, dn=f"SubNetwork=1,NetworkSlice={sst}", sst=sst)
    for sst, name in ((1, "embb"), (2, "urllc"), (3, "mmtc"))
)


def city(*, cells: int, ues: int, sectors: int = 3, seed: int = 1) -> Scenario:
    """Return a city of `cells` cells in sites of `sectors` sectors; its UEs walk a random waypoint."""
    num_sites = math.ceil(cells / sectors)
    rings = next(r for r in range(100) if 1 + 3 * r * (r + 1) >= num_sites)
    place_m = hexagonal_rings(isd_m=ISD_M, rings=rings)[:num_sites]
    sites = tuple(
        Site(
            id=f"site-{n}",
            name=f"Site {n}",
            dn=f"SubNetwork=1,ManagedElement=gNB-{n}",
            position_m=(float(x), float(y), 0.0),
            height_m=25.0,
        )
        for n, (x, y) in enumerate(place_m, start=1)
    )
    every = tuple(
        Cell(
            id=f"cell-{n}-{sector}",
            site_id=f"site-{n}",
            sector=sector,
            name=f"Cell {n}-{sector}",
            dn=f"SubNetwork=1,ManagedElement=gNB-{n},GNBDUFunction={n},NRCellDU={sector}",
            azimuth_deg=(30.0 + 360.0 / sectors * (sector - 1)) % 360.0,
            tilt_deg=8.0,
            tx_power_dbm=46.0,
            carrier_hz=3.5e9,
            bandwidth_hz=100e6,
            environment="UMa",
            nr_pci=(3 * n + sector - 1) % 1008,
        )
        for n in range(1, num_sites + 1)
        for sector in range(1, sectors + 1)
    )[:cells]
    rng = np.random.default_rng(seed)
    reach_m = float(np.abs(place_m).max()) + ISD_M / 2
    home_m = rng.uniform(-reach_m, reach_m, (ues, 2))
    people = tuple(
        UserEquipment(
            id=f"ue-{n}",
            slice_id=SLICES[0 if n % 10 else 1].id,
            mobility="drive" if n % 4 == 0 else "walk",
            land_use=tuple(LandUse)[n % 4],
            home_m=(float(x), float(y)),
        )
        for n, (x, y) in enumerate(home_m, start=1)
    )
    upf = TransportNode(id="node-upf", name="UPF", role="upf", position_m=(0.0, 0.0, 0.0))
    links = tuple(
        TransportLink(
            id=f"link-{site.id.removeprefix('site-')}-1",
            name=f"Backhaul of {site.name}",
            a_id=site.id,
            b_id="node-upf",
            capacity_bps=10e9,
        )
        for site in sites
    )
    ring_m = np.array([[-reach_m, 0.0], [reach_m, 0.0]], dtype=np.float32)
    return Scenario(
        name=f"hexagons {cells} x {ues}",
        digest=f"bench-{cells}-{ues}-{sectors}-{seed}",
        origin=Origin(latitude_deg=49.6, longitude_deg=6.1),
        timezone="UTC",
        extent_m=(-reach_m, -reach_m, reach_m, reach_m),
        seed=seed,
        sites=sites,
        cells=every,
        neighbours=neighbour_relations(sites, every),
        slices=SLICES,
        ues=people,
        nodes=(upf,),
        links=links,
        buildings=(),
        places=(),
        streets=StreetGraph(
            node_m=ring_m,
            edge=np.array([[0, 1]], dtype=np.int32),
            edge_speed_mps=np.array([13.9], dtype=np.float32),
            edge_walkable=np.array([True]),
            edge_name=("",),
        ),
        land_use=LandUseGrid(
            west_m=-reach_m, south_m=-reach_m, cell_m=2 * reach_m, code=np.zeros((1, 1), dtype=np.uint8)
        ),
        mobility="random_waypoint",
    )
