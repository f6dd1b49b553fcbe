"""Who uses the network: phones, cars and sensors with a home, a slice, a behaviour and a way of moving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from twin.entities import LandUse, Slice, UserEquipment
from twin.traffic.groups import GROUPS, groups_of
from twin_app.scenarios.citymap import area_m2, land_use_at, rng_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from twin.entities import Building, StreetGraph
    from twin_app.scenarios.citymap import CityMap

Mobility = Literal["walk", "drive", "still"]

SLICES = (
    Slice(
        id="slice-embb",
        name="eMBB",
        dn="SubNetwork=1,NetworkSlice=1",
        sst=1,
        aliases=("eMBB", "mobile broadband", "broadband"),
    ),
    Slice(
        id="slice-urllc",
        name="URLLC",
        dn="SubNetwork=1,NetworkSlice=2",
        sst=2,
        aliases=("URLLC", "low latency", "critical"),
    ),
    Slice(id="slice-mmtc", name="mMTC", dn="SubNetwork=1,NetworkSlice=3", sst=3, aliases=("mMTC", "IoT", "sensors")),
)
"""The three standard slice types; SST values from TS 23.501 table 5.15.2.2-1."""

_SLICE_SHARE = (0.85, 0.07, 0.08)
_MOBILITY: tuple[Mobility, ...] = ("walk", "drive", "still")
_INDOOR_SHARE_OF_STILL = 0.7
_PEOPLE_PER_FLOOR_M2 = {
    LandUse.RESIDENTIAL: 1.0,
    LandUse.OFFICE: 0.45,
    LandUse.TRANSPORT: 0.8,
    LandUse.ENTERTAINMENT: 0.6,
}
"""Relative density of UEs that belong to a floor: most people belong to a home, some to their place of work."""
_FLOOR_M = 3.0
_INDUSTRIAL_M2 = 3000.0


def _weights(buildings: Sequence[Building]) -> NDArray[np.float64]:
    weight = np.empty(len(buildings))
    for i, building in enumerate(buildings):
        # A large low hall is mostly floor without people; its area counts up to a limit.
        area = min(area_m2(building.footprint_m), _INDUSTRIAL_M2)
        floors = max(1.0, building.height_m / _FLOOR_M)
        weight[i] = max(area, 1.0) * floors * _PEOPLE_PER_FLOOR_M2[building.land_use]
    return weight / weight.sum()


def point_inside(ring: NDArray[np.float32], rng: np.random.Generator) -> tuple[float, float]:
    """Return a random point inside a simple ring ``[num_points, 2]`` (a corner when the ring has no inside)."""
    points = ring.astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    x0, y0 = points.T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    for _ in range(40):
        east, north = rng.uniform(low, high)
        straddles = (y0 > north) != (y1 > north)
        slope = (x1 - x0) / np.where(straddles, y1 - y0, 1.0)
        if np.count_nonzero(straddles & (east < x0 + (north - y0) * slope)) % 2:
            return float(east), float(north)
    return float(points[0, 0]), float(points[0, 1])


def _usable_nodes(streets: StreetGraph) -> dict[str, NDArray[np.intp]]:
    """Return the street nodes by mobility: those that touch an edge on which it is allowed."""
    everything = np.arange(len(streets.node_m))
    walk = np.unique(streets.edge[streets.edge_walkable]).astype(np.intp)
    drive = np.unique(streets.edge[streets.edge_speed_mps > 0]).astype(np.intp)
    return {
        "walk": walk if len(walk) else everything,
        "drive": drive if len(drive) else everything,
        "still": walk if len(walk) else everything,
    }


def user_equipments(
    city: CityMap, *, count: int, seed: int, slice_share: Mapping[str, float] | None = None
) -> tuple[UserEquipment, ...]:
    """Return `count` UEs (`ue-1` ...): homes drawn from the buildings by floor area and land use.

    Slice and place decide who somebody is (:mod:`twin.traffic.groups`), and that how he gets about.
    A still UE is inside its building with probability 0.7, else on the pavement; one that moves starts at the
    street node nearest to its home.

    Args:
        city: Buildings, streets and land use.
        count: How many.
        seed: Of every draw.
        slice_share: Share of UEs by slice id, None = 85 % broadband, 7 % URLLC, 8 % mMTC.
    """
    rng = rng_of(seed, "ues")
    uses = tuple(LandUse)
    node_m = city.streets.node_m.astype(np.float64)
    usable = {mobility: node_m[nodes] for mobility, nodes in _usable_nodes(city.streets).items()}
    homes = rng.choice(len(city.buildings), size=count, p=_weights(city.buildings)) if city.buildings else None
    share = _SLICE_SHARE if slice_share is None else [slice_share[part.id] for part in SLICES]
    ues: list[UserEquipment] = []
    for number in range(1, count + 1):
        part = SLICES[int(rng.choice(len(SLICES), p=share))]
        if homes is not None:
            building = city.buildings[int(homes[number - 1])]
            point = point_inside(building.footprint_m, rng)
            land_use = building.land_use
        else:
            east, north = node_m[int(rng.integers(len(node_m)))]
            point = (float(east), float(north))
            land_use = uses[land_use_at(city.land_use, *point)]
        shares = groups_of(part.sst, land_use)
        group = GROUPS[tuple(shares)[int(rng.choice(len(shares), p=tuple(shares.values())))]]
        mobility = _MOBILITY[int(rng.choice(3, p=group.mobility))]
        indoor = homes is not None and mobility == "still" and rng.random() < _INDOOR_SHARE_OF_STILL
        if not indoor and len(node_m):
            spots = usable[mobility]
            nearest = int(((spots[:, 0] - point[0]) ** 2 + (spots[:, 1] - point[1]) ** 2).argmin())
            point = (float(spots[nearest, 0]), float(spots[nearest, 1]))
        ues.append(
            UserEquipment(
                id=f"ue-{number}",
                slice_id=part.id,
                mobility=mobility,
                land_use=land_use,
                home_m=(round(point[0], 2), round(point[1], 2)),
                indoor=indoor,
                group=group.name,
            )
        )
    return tuple(ues)
