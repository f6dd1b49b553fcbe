"""The 3GPP large-scale calibration campaign (TR 38.901 section 7.8.1), run through the product's own radio functions.

Nineteen three-sector sites with wrap-around (UMa, UMi) or twelve in an office (InH), thousands of users, and two
curves over them: coupling loss to the serving cell, and geometry, the wideband SIR when every cell transmits. The
reference (``twin/data/calibration_r1_165974.json``) is the median over the companies that took part.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from twin.entities import Cell, Site, StreetGraph
from twin.errors import UnknownName
from twin.radio import path_loss
from twin.radio.landscape import (
    FEWEST_STOREYS,
    MOST_STOREYS,
    Landscape,
    Points,
    height_on_floor_m,
    outdoor_points,
    sectors_of,
)
from twin.radio.tables import USER_HEIGHT_M
from twin.scenario import LandUseGrid, Origin, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from twin.entities import Environment

Metric = Literal["coupling_loss_db", "geometry_sir_db"]
METRICS: tuple[Metric, ...] = get_args(Metric)
GATE_DB: dict[Metric, float] = {"coupling_loss_db": 1.5, "geometry_sir_db": 1.0}
"""How far any percentile may be from the reference."""
NUM_USERS = 1_500
NUM_SEEDS = 40
"""Shadowing and sight are properties of the place, so many small landscapes tell more than many users in one."""
TX_POWER_DBM = 44.0
BANDWIDTH_HZ = 20e6
"""Of table 7.8-1 at 6 GHz; both metrics are independent of them."""
INDOOR_SHARE = 0.8
HIGH_LOSS_SHARE = 0.5
"""Of the indoor users, behind coated glass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One layout on one carrier, TR 38.901 tables 7.2-1, 7.2-2 and 7.8-1.

    Attributes:
        name: ``uma-6``: layout and gigahertz.
        isd_m: Between neighbouring sites.
        min_distance_m: On the ground between user and site.
        tilt_deg: Electrical; the table counts 102 and 110 degrees from the zenith.
        boresights_deg: Of the sectors, clockwise from north.
    """

    name: str
    environment: Environment
    carrier_hz: float
    isd_m: float
    mast_height_m: float
    min_distance_m: float
    tilt_deg: float
    boresights_deg: tuple[float, ...]


_STREETS: tuple[tuple[Environment, float, float, float], ...] = (
    ("UMa", 500.0, 25.0, 35.0),
    ("UMi", 200.0, 10.0, 10.0),
)


def _cases() -> dict[str, Case]:
    found: dict[str, Case] = {}
    for ghz in (6, 30, 70):
        for environment, isd_m, mast_m, nearest_m in _STREETS:
            name = f"{environment.lower()}-{ghz}"
            found[name] = Case(
                name=name,
                environment=environment,
                carrier_hz=ghz * 1e9,
                isd_m=isd_m,
                mast_height_m=mast_m,
                min_distance_m=nearest_m,
                tilt_deg=12.0,
                boresights_deg=(30.0, 150.0, 270.0),  # towards neighbouring sites, which lie at 30 + n x 60 degrees
            )
        found[f"inh-{ghz}"] = Case(
            name=f"inh-{ghz}",
            environment="InH",
            carrier_hz=ghz * 1e9,
            isd_m=20.0,
            mast_height_m=3.0,
            min_distance_m=0.0,
            tilt_deg=20.0,
            boresights_deg=(60.0, 180.0, 300.0),
        )
    return found


CASES = _cases()
OFFICE_M = (120.0, 50.0)
OFFICE_USER_HEIGHT_M = 1.0


def case_of(name: str) -> Case:
    """Return a case by name.

    Raises:
        UnknownName: There is none; the message lists them.
    """
    if name not in CASES:
        raise UnknownName(f"there is no calibration case `{name}`; choose one of {', '.join(CASES)}")
    return CASES[name]


def sites_m(case: Case) -> NDArray[np.float32]:
    """Return the sites, ``[num_sites, 2] float32``: a hexagon of 19, or two rows of six in the office."""
    if case.environment == "InH":
        return np.array([(10.0 + 20.0 * n, y) for y in (15.0, 35.0) for n in range(6)], dtype=np.float32)
    steps = range(-2, 3)
    return _lattice([(i, j) for i in steps for j in steps if abs(i + j) <= 2], case.isd_m)


def wrap_m(case: Case) -> NDArray[np.float32]:
    """Return where the layout stands once more, ``[0 or 6, 2] float32``."""
    if case.environment == "InH":
        return np.zeros((0, 2), dtype=np.float32)
    return _lattice([(3, 2), (-2, 5), (-5, 3), (-3, -2), (2, -5), (5, -3)], case.isd_m)


def _lattice(steps: list[tuple[int, int]], isd_m: float) -> NDArray[np.float32]:
    i, j = np.array(steps, dtype=np.float64).T
    return (isd_m * np.column_stack([i + 0.5 * j, np.sqrt(0.75) * j])).astype(np.float32)


def drop(case: Case, count: int, *, rng: np.random.Generator) -> Points:
    """Return users spread evenly over the layout.

    UMa and UMi: 80 % indoors on storeys 1..n of houses with n = 4..8 storeys, half of them behind coated glass. The
    way from the wall is one draw from U(0, 25) m, as the campaign was run in 2016 (TR 36.873 table 7.2-1); the smaller
    of two draws, which TR 38.901 section 7.4.3.1 asks for and the live twin uses, came after it.
    """
    if case.environment == "InH":
        users = outdoor_points((rng.random((count, 2)) * OFFICE_M).astype(np.float32))
        users.height_m[:] = OFFICE_USER_HEIGHT_M
        users.indoor[:] = True
        return users
    home = sites_m(case)[rng.integers(0, len(sites_m(case)), count)]
    indoor = rng.random(count) < INDOOR_SHARE
    coated = rng.random(count) < HIGH_LOSS_SHARE
    storeys = rng.integers(FEWEST_STOREYS, MOST_STOREYS + 1, count)
    height_m = height_on_floor_m(storeys, rng.random(count))
    depth_m = rng.random(count) * path_loss.MAX_INDOOR_DEPTH_M
    sigma_low, sigma_high = path_loss.ENTRY_SIGMA_DB
    spread_db = np.where(coated, sigma_high, sigma_low) * rng.standard_normal(count)
    depth_loss_db = path_loss.INDOOR_LOSS_DB_PER_M * depth_m + spread_db
    return Points(
        position_m=home + _in_hexagon(case, count, rng=rng),
        height_m=np.where(indoor, height_m, np.float32(USER_HEIGHT_M)),
        indoor=indoor,
        coated=coated & indoor,
        depth_loss_db=np.where(indoor, depth_loss_db, 0.0).astype(np.float32),
    )


def _in_hexagon(case: Case, count: int, *, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return places nearer to a site at the origin than to its six neighbours, and not too near."""
    around = _lattice([(1, 0), (0, 1), (-1, 1), (-1, 0), (0, -1), (1, -1)], case.isd_m)
    found = np.empty((0, 2), dtype=np.float32)
    while len(found) < count:
        place = ((rng.random((count, 2)) - 0.5) * 1.2 * case.isd_m).astype(np.float32)
        inside = (place @ around.T <= case.isd_m**2 / 2.0).all(axis=1)
        found = np.concatenate([found, place[inside & (np.hypot(*place.T) >= case.min_distance_m)]])
    return found[:count]


def network(case: Case) -> Scenario:
    """Return sites and cells of a layout as a scenario without people, houses or streets."""
    place_m = sites_m(case)
    (west, south), (east, north) = place_m.min(axis=0) - case.isd_m, place_m.max(axis=0) + case.isd_m
    sites = tuple(
        Site(id=f"site-{n}", name="", dn="", position_m=(float(x), float(y), 0.0), height_m=case.mast_height_m)
        for n, (x, y) in enumerate(place_m, 1)
    )
    cells = tuple(
        Cell(
            id=f"cell-{n}-{sector}",
            site_id=f"site-{n}",
            sector=sector,
            name="",
            dn="",
            azimuth_deg=boresight_deg,
            tilt_deg=case.tilt_deg,
            tx_power_dbm=TX_POWER_DBM,
            carrier_hz=case.carrier_hz,
            bandwidth_hz=BANDWIDTH_HZ,
            environment=case.environment,
            nr_pci=0,
        )
        for n in range(1, len(place_m) + 1)
        for sector, boresight_deg in enumerate(case.boresights_deg, 1)
    )
    return Scenario(
        name=case.name,
        digest="",
        origin=Origin(latitude_deg=0.0, longitude_deg=0.0),
        timezone="UTC",
        extent_m=(float(west), float(south), float(east), float(north)),
        seed=0,
        sites=sites,
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
        land_use=LandUseGrid(west_m=float(west), south_m=float(south), cell_m=1.0, code=np.zeros((1, 1), np.uint8)),
    )


def coupling_gain_db(case: Case, users: Points, *, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return antenna and path gain from every cell to every user, ``[num_users, num_cells] float32``."""
    scenario = network(case)
    return Landscape(scenario, rng=rng, wrap_m=wrap_m(case)).gain_db(users, sectors_of(scenario.cells))


def metrics_db(gain_db: NDArray[np.float32]) -> dict[Metric, NDArray[np.float64]]:
    """Return each user's coupling loss and geometry from the gains of all cells, ``[num_users, num_cells]``."""
    power = 10.0 ** (gain_db.astype(np.float64) / 10.0)
    best = power.max(axis=1)
    return {
        "coupling_loss_db": -10.0 * np.log10(best),
        "geometry_sir_db": 10.0 * np.log10(best / (power.sum(axis=1) - best)),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One metric of one case beside its reference.

    Attributes:
        percent: Of the users that are worse off (a higher loss, a lower geometry).
        found_db: Mean over the seeds.
        reference_db: Median over the companies.
        companies_db: 10th and 90th percentile over the companies, empty where only the median is published.
    """

    metric: Metric
    percent: tuple[int, ...]
    found_db: tuple[float, ...]
    reference_db: tuple[float, ...]
    companies_db: tuple[tuple[float, float], ...]

    @property
    def error_db(self) -> tuple[float, ...]:
        """Found minus reference."""
        return tuple(found - wanted for found, wanted in zip(self.found_db, self.reference_db, strict=True))

    @property
    def worst_db(self) -> float:
        """The largest error without its sign."""
        return max(abs(error) for error in self.error_db)

    @property
    def passes(self) -> bool:
        """Whether every percentile keeps the gate."""
        return self.worst_db <= GATE_DB[self.metric]


@cache
def reference() -> dict[str, Any]:
    """Return the reference file."""
    return json.loads(files("twin").joinpath("data/calibration_r1_165974.json").read_text("utf-8"))


def run(
    case: Case,
    *,
    seeds: int = NUM_SEEDS,
    num_users: int = NUM_USERS,
    after_seed: Callable[[int], None] | None = None,
) -> tuple[Curve, ...]:
    """Return both curves of a case.

    Args:
        case: From :data:`CASES`.
        seeds: How many drops, each in a landscape of its own; their percentiles are averaged.
        num_users: In each drop.
        after_seed: Called with the number of drops done.
    """
    percent = reference()["percent"]
    drops: dict[Metric, list[NDArray[np.float64]]] = {metric: [] for metric in METRICS}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        users = drop(case, num_users, rng=rng)
        for metric, value in metrics_db(coupling_gain_db(case, users, rng=rng)).items():
            better_is_less = metric == "coupling_loss_db"
            at = [100 - p for p in percent] if better_is_less else percent
            drops[metric].append(np.percentile(value, at))
        if after_seed is not None:
            after_seed(seed + 1)
    return tuple(_curve(case, metric, np.mean(drops[metric], axis=0)) for metric in METRICS)


def _curve(case: Case, metric: Metric, found_db: NDArray[np.float64]) -> Curve:
    wanted = reference()["cases"][case.name][metric]
    low, high = wanted.get("companies_low", ()), wanted.get("companies_high", ())
    return Curve(
        metric=metric,
        percent=tuple(reference()["percent"]),
        found_db=tuple(float(value) for value in found_db),
        reference_db=tuple(wanted["median"]),
        companies_db=tuple(zip(low, high, strict=True)),
    )
