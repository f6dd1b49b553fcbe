"""City + sites + people = scenario: the one place where the parts of a scenario meet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twin.attributes import AttributeValue, attribute, to_native
from twin.entities import AdministrativeState
from twin.errors import ScenarioError
from twin.scenario import Scenario
from twin_app.scenarios.population import SLICES, user_equipments
from twin_app.scenarios.radio_plan import neighbour_relations, sites_and_cells
from twin_app.scenarios.transport_plan import transport_network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twin.entities import Cell
    from twin_app.scenarios.citymap import CityMap, SitePlan
    from twin_app.scenarios.spec import Wanted


def assemble(city: CityMap, plans: Sequence[SitePlan], wanted: Wanted, *, digest: str) -> Scenario:
    """Return the scenario of this city with these sites.

    Raises:
        ScenarioError: A per-cell override names a cell that does not exist.
    """
    sites, cells = sites_and_cells(plans, seed=wanted.seed)
    nodes, links = transport_network(sites, seed=wanted.seed)
    return Scenario(
        name=wanted.name or city.name,
        digest=digest,
        origin=city.origin,
        timezone=city.timezone,
        extent_m=city.extent_m,
        seed=wanted.seed,
        sites=sites,
        cells=_overridden(cells, wanted),
        neighbours=neighbour_relations(sites, cells),
        slices=SLICES,
        ues=user_equipments(city, count=wanted.num_ues, seed=wanted.seed),
        nodes=nodes,
        links=links,
        buildings=city.buildings,
        places=city.places,
        streets=city.streets,
        land_use=city.land_use,
        attribution=city.attribution,
    )


def _overridden(cells: tuple[Cell, ...], wanted: Wanted) -> tuple[Cell, ...]:
    unknown = sorted(set(wanted.overrides) - {cell.id for cell in cells})
    if unknown:
        raise ScenarioError(
            f"`{wanted.source}`, field `cells.{unknown[0]}`: there is no such cell;"
            f" this city has {len(cells)}, from `{cells[0].id}` to `{cells[-1].id}`"
        )
    return tuple(_with_attributes(cell, wanted.overrides.get(cell.id, {})) for cell in cells)


def _with_attributes(cell: Cell, attributes: Mapping[str, AttributeValue]) -> Cell:
    changes: dict[str, Any] = {}
    for name, value in attributes.items():
        row = attribute(name)
        native = to_native(name, value)
        changes[row.native_name] = AdministrativeState(str(native)) if row.choices else float(native)
    return replace(cell, **changes) if changes else cell
