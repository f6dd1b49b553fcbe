"""City + sites + people = scenario: the one place where the parts of a scenario meet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from twin.attributes import to_native
from twin.scenario import Scenario
from twin.sixg import sub_terahertz
from twin_app.scenarios.configured import configured
from twin_app.scenarios.population import SLICES, user_equipments
from twin_app.scenarios.radio_plan import co_sited, neighbour_relations, sites_and_cells
from twin_app.scenarios.sixg_plan import drones, hot_spots, panels
from twin_app.scenarios.transport_plan import transport_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin.entities import Cell
    from twin_app.scenarios.citymap import CityMap, SitePlan
    from twin_app.scenarios.spec import Carrier, Wanted


def assemble(city: CityMap, plans: Sequence[SitePlan], wanted: Wanted, *, digest: str) -> Scenario:
    """Return the scenario of this city with these sites.

    Raises:
        ScenarioError: The scenario file names something that this city does not have.
    """
    file, seed = wanted.file, wanted.seed
    plans = [*plans, *(spot for one in file.carriers if one.hot_spots for spot in _spots(city, one, seed))]
    sites, cells = sites_and_cells(plans, seed=seed)
    first = tuple(cell for cell in cells if cell.environment != "SubTHz")
    for row, carrier in enumerate(file.carriers):
        if not carrier.hot_spots:
            cells = (*cells, *_beside(first, cells, carrier, row, wanted))
    number = {site.id: place for place, site in enumerate(sites)}
    cells = tuple(sorted(cells, key=lambda cell: (number[cell.site_id], cell.sector)))
    nodes, links = transport_network(sites, seed=seed)
    scenario = Scenario(
        name=wanted.name or city.name,
        digest=digest,
        origin=city.origin,
        timezone=city.timezone,
        extent_m=city.extent_m,
        seed=seed,
        sites=sites,
        cells=cells,
        neighbours=neighbour_relations(sites, cells),
        slices=SLICES,
        ues=user_equipments(city, count=wanted.num_ues, seed=seed, slice_share=_slice_share(wanted)),
        nodes=nodes,
        links=links,
        buildings=city.buildings,
        places=city.places,
        streets=city.streets,
        land_use=city.land_use,
        attribution=city.attribution,
        ris=panels(city, sites, cells, count=file.ris) if isinstance(file.ris, int) else (),
        targets=drones(city, count=file.targets, seed=seed) if isinstance(file.targets, int) else (),
    )
    return configured(scenario, wanted)


def _spots(city: CityMap, carrier: Carrier, seed: int) -> Sequence[SitePlan]:
    return hot_spots(
        city,
        count=carrier.hot_spots,
        carrier_hz=carrier.carrier_hz,
        bandwidth_hz=carrier.bandwidth_hz,
        seed=seed,
    )


def _beside(
    first: tuple[Cell, ...], so_far: tuple[Cell, ...], carrier: Carrier, row: int, wanted: Wanted
) -> tuple[Cell, ...]:
    """Return a cell on this carrier beside each sector of the first carrier at the sites that it names.

    Raises:
        ScenarioError: There is no such site, or the cells there use this carrier already.
    """
    known = {cell.site_id for cell in first}
    named = known if isinstance(carrier.sites, str) else set(carrier.sites or ())
    for place, site_id in enumerate(() if isinstance(carrier.sites, str) else carrier.sites or ()):
        if site_id not in known:
            raise wanted.error(
                "carriers", row, "sites", place, problem=f"there is no site `{site_id}`; this city has {len(known)}"
            )
    there = [cell for cell in so_far if cell.site_id in named]
    sectors = {
        cell.id for cell in first if carrier.sites in {cell.environment, "all"} or not isinstance(carrier.sites, str)
    }
    added = [
        _tuned(new, carrier)
        for old, new in zip(
            there, co_sited(there, carrier_hz=carrier.carrier_hz, bandwidth_hz=carrier.bandwidth_hz), strict=True
        )
        if old.id in sectors
    ]
    taken = {cell.site_id for cell in there if cell.carrier_hz == carrier.carrier_hz}
    twice = sorted(taken & {cell.site_id for cell in added})
    if twice:
        raise wanted.error(
            "carriers", row, "carrier_hz", problem=f"`{twice[0]}` has a carrier at `{carrier.carrier_hz:g} Hz` already"
        )
    return tuple(added)


def _tuned(cell: Cell, carrier: Carrier) -> Cell:
    """Return a new cell with what the carrier says of its own."""
    environment = carrier.environment or (
        "SubTHz" if carrier.carrier_hz >= sub_terahertz.LOWEST_HZ else cell.environment
    )
    cell = replace(cell, environment=environment)
    if carrier.power_mw is not None:
        cell = replace(cell, tx_power_dbm=float(to_native("configuredMaxTxPower", carrier.power_mw)))
    if carrier.tilt_tenths is not None:
        cell = replace(cell, tilt_deg=float(to_native("digitalTilt", carrier.tilt_tenths)))
    return cell


def _slice_share(wanted: Wanted) -> dict[str, float] | None:
    """Return the share of UEs in each slice, None where the file does not say.

    Raises:
        ScenarioError: The shares are not those of all slices, or do not sum up to 1.
    """
    share = {name: float(settings["share"]) for name, settings in wanted.file.slices.items() if "share" in settings}
    if not share:
        return None
    missing = [part.id for part in SLICES if part.id not in share]
    total = sum(share.values())
    if missing or abs(total - 1.0) > 1e-6:
        found = f"`{missing[0]}` has none" if missing else f"their sum is `{total:g}`"
        raise wanted.error("slices", problem=f"the `share` of all slices together is 1; {found}")
    return {part.id: share[part.id] / total for part in SLICES}
