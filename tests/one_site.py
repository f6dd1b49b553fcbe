"""The smallest scenario with a radio landscape: one mast with three sectors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from twin.entities import Building, Cell, Environment, LandUse, Site, StreetGraph
from twin.scenario import LandUseGrid, Origin, Scenario


def one_site(
    *,
    azimuths_deg: tuple[float, ...] = (0.0, 120.0, 240.0),
    height_m: float = 25.0,
    carrier_hz: float = 3.5e9,
    bandwidth_hz: float = 100e6,
    environment: Environment = "UMi",
    **parts: Any,
) -> Scenario:
    """Return a scenario with one site at the origin and nobody in it; `parts` are further fields of the scenario."""
    cells = tuple(
        Cell(
            id=f"cell-1-{sector}",
            site_id="site-1",
            sector=sector,
            name=f"Cell 1-{sector}",
            dn=f"SubNetwork=1,ManagedElement=gNB-1,GNBDUFunction=1,NRCellDU={sector}",
            azimuth_deg=azimuth_deg,
            tilt_deg=6.0,
            tx_power_dbm=43.0,
            carrier_hz=carrier_hz,
            bandwidth_hz=bandwidth_hz,
            environment=environment,
            nr_pci=sector,
        )
        for sector, azimuth_deg in enumerate(azimuths_deg, start=1)
    )
    scenario = Scenario(
        name="one site",
        digest="one-site",
        origin=Origin(latitude_deg=0.0, longitude_deg=0.0),
        timezone="UTC",
        extent_m=(-300.0, -300.0, 500.0, 500.0),
        seed=1,
        sites=(Site(id="site-1", name="Site 1", dn="", position_m=(0.0, 0.0, 0.0), height_m=height_m),),
        cells=cells,
        neighbours=(),
        slices=(),
        ues=(),
        nodes=(),
        links=(),
        buildings=(),
        places=(),
        streets=StreetGraph(
            node_m=np.zeros((0, 2), dtype=np.float32),
            edge=np.zeros((0, 2), dtype=np.int32),
            edge_speed_mps=np.zeros(0, dtype=np.float32),
            edge_walkable=np.zeros(0, dtype=bool),
        ),
        land_use=LandUseGrid(west_m=0.0, south_m=0.0, cell_m=100.0, code=np.zeros((1, 1), dtype=np.uint8)),
    )
    return replace(scenario, **parts)


def block(number: int, west_m: float, south_m: float, east_m: float, north_m: float, *, height_m: float) -> Building:
    """Return a building with four walls."""
    ring = np.array([[west_m, south_m], [east_m, south_m], [east_m, north_m], [west_m, north_m]], dtype=np.float32)
    return Building(
        id=f"building-{number}", footprint_m=ring, height_m=height_m, height_source="height", land_use=LandUse.OFFICE
    )
