"""The inventory as one numbered list: what exists, where, under which dense index and revision.

The server makes it from the scenario and is the only one who assigns indices. Telemetry refers to entities
by index; everything that people see refers to them by id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twin.attributes import AttributeValue, attributes_of, to_managed, to_native
from twin.entities import Kind, RrmPolicy
from twin.errors import InvalidInput, UnknownEntity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from twin.entities import Cell, Position
    from twin.scenario import Scenario

HIGHEST_ARFCN_HZ = 100e9
"""NR-ARFCN end here (TS 38.104 table 5.4.2.1-1); a carrier above keeps the frequency that its cell states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One row of the inventory.

    Attributes:
        index: Dense index, stable while the entity exists.
        parent_id: The site of a cell, "" at the top.
        attributes: Managed attributes in 3GPP names and units, as configured.
        properties: Other facts for people (``azimuth_deg``, ``height_m``, ``slice_id`` ...).
    """

    index: int
    id: str
    kind: Kind
    name: str
    dn: str = ""
    aliases: tuple[str, ...] = ()
    parent_id: str = ""
    position_m: Position = (0.0, 0.0, 0.0)
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    properties: Mapping[str, AttributeValue] = field(default_factory=dict)


class Topology:
    """An immutable, indexed list of entities.

    Attributes:
        revision: Grows by one with every change of the list or of a configured attribute.
    """

    __slots__ = ("_by_id", "_by_index", "entities", "revision")

    def __init__(self, entities: Iterable[Entity], *, revision: int) -> None:
        self.entities = tuple(entities)
        self.revision = revision
        self._by_id = {entity.id: entity for entity in self.entities}
        self._by_index = {entity.index: entity for entity in self.entities}

    def __len__(self) -> int:
        return len(self.entities)

    def __contains__(self, entity_id: str) -> bool:
        return entity_id in self._by_id

    def get(self, entity_id: str) -> Entity:
        """Return the entity with this id.

        Raises:
            UnknownEntity: There is none.
        """
        try:
            return self._by_id[entity_id]
        except KeyError:
            raise UnknownEntity(f"no entity has the id `{entity_id}`") from None

    def at(self, index: int) -> Entity:
        """Return the entity with this dense index.

        Raises:
            UnknownEntity: There is none.
        """
        try:
            return self._by_index[index]
        except KeyError:
            raise UnknownEntity(f"no entity has the index `{index}`") from None

    def of_kind(self, kind: Kind) -> tuple[Entity, ...]:
        """Return the entities of one kind in index order."""
        return tuple(entity for entity in self.entities if entity.kind is kind)

    def with_attributes(self, changes: Iterable[tuple[str, str, AttributeValue]]) -> Topology:
        """Return the next revision, in which the configured attributes (entity id, name, 3GPP value) are changed."""
        edited = dict(self._by_id)
        for entity_id, name, value in changes:
            old = self.get(entity_id) if entity_id not in edited else edited[entity_id]
            edited[entity_id] = Entity(
                index=old.index,
                id=old.id,
                kind=old.kind,
                name=old.name,
                dn=old.dn,
                aliases=old.aliases,
                parent_id=old.parent_id,
                position_m=old.position_m,
                attributes={**old.attributes, name: value},
                properties={**old.properties, **_following(name, value)},
            )
        return Topology((edited[entity.id] for entity in self.entities), revision=self.revision + 1)

    @property
    def next_index(self) -> int:
        """The dense index of the next entity that comes."""
        return max(self._by_index, default=-1) + 1

    def with_entities(self, entities: Iterable[Entity]) -> Topology:
        """Return the next revision with more entities; one whose id and index are known replaces its older self.

        Raises:
            InvalidInput: An id is taken by another index, an index by another id, or an index leaves a gap.
        """
        rows = dict(self._by_index)
        index_of = {entity.id: entity.index for entity in self.entities}
        for entity in entities:
            here = rows.get(entity.index)
            at = index_of.setdefault(entity.id, entity.index)
            if at != entity.index or entity.index > len(rows) or (here is not None and here.id != entity.id):
                raise InvalidInput(
                    f"`{entity.id}` cannot have the index `{entity.index}`: ids are unique and indices dense"
                )
            rows[entity.index] = entity
        return Topology((rows[index] for index in sorted(rows)), revision=self.revision + 1)


def stated_arfcn(cell: Cell) -> AttributeValue:
    """Return the channel number that a cell of a scenario has; above 100 GHz the last one."""
    return to_managed("arfcnDL", min(cell.carrier_hz, HIGHEST_ARFCN_HZ) / 1e6)


def _stated(scenario: Scenario) -> dict[str, dict[str, AttributeValue]]:
    """Return the managed attributes that the scenario's values state, by entity id, in 3GPP units."""
    stated: dict[str, dict[str, AttributeValue]] = {
        cell.id: {
            "digitalTilt": to_managed("digitalTilt", cell.tilt_deg),
            "configuredMaxTxPower": to_managed("configuredMaxTxPower", cell.tx_power_dbm),
            "bSChannelBwDL": float(round(cell.bandwidth_hz / 1e6)),
            "arfcnDL": stated_arfcn(cell),
            "administrativeState": cell.administrative_state.value,
            "nRPCI": float(cell.nr_pci),
        }
        for cell in scenario.cells
    }
    stated |= {
        one.id: {"cellIndividualOffset": float(round(one.cell_individual_offset_db))} for one in scenario.neighbours
    }
    stated |= {
        one.id: {
            "rRMPolicyMinRatio": one.min_percent,
            "rRMPolicyMaxRatio": one.max_percent,
            "rRMPolicyDedicatedRatio": one.dedicated_percent,
        }
        for one in policies_of(scenario)
    }
    stated |= {one.id: {"vsDataTransport.igpMetric": float(one.igp_metric)} for one in scenario.links}
    stated |= {one.id: {"vsData6gRis.phaseProfileIndex": float(one.phase_profile_index)} for one in scenario.ris}
    for entity_id, name, value in scenario.configured:
        stated.setdefault(entity_id, {})[name] = value
    return stated


def _following(name: str, value: AttributeValue) -> dict[str, AttributeValue]:
    """Return the properties that say the same as an attribute in another unit."""
    match name:
        case "arfcnDL":
            return {"carrier_hz": float(to_native(name, value)) * 1e6}
        case "bSChannelBwDL":
            return {"bandwidth_hz": float(value) * 1e6}
        case _:
            return {}


def policies_of(scenario: Scenario) -> tuple[RrmPolicy, ...]:
    """Return the slice policy of every site and slice, sites first; 0 / 100 / 0 per cent where none is stated."""
    known = {(one.site_id, one.slice_id): one for one in scenario.policies}
    return tuple(
        known.get((site.id, part.id), RrmPolicy(site_id=site.id, slice_id=part.id))
        for site in scenario.sites
        for part in scenario.slices
    )


def topology_of(scenario: Scenario, *, revision: int = 1) -> Topology:
    """Number every entity.

    Sites, cells, slices, nodes, links, places, buildings, UEs, relations, policies, panels, targets, in this order.
    """
    rows: list[Entity] = []
    stated = _stated(scenario)

    def add(entity_id: str, kind: Kind, name: str, **rest: object) -> None:
        own = stated.get(entity_id, {})
        values = ((row.name, own.get(row.name, row.default)) for row in attributes_of(kind))
        attributes = {name: value for name, value in values if value is not None}
        rows.append(
            Entity(index=len(rows), id=entity_id, kind=kind, name=name, attributes=attributes, **rest)  # type: ignore[arg-type]
        )

    sites = {site.id: site for site in scenario.sites}
    for site in scenario.sites:
        add(
            site.id,
            Kind.SITE,
            site.name,
            dn=site.dn,
            aliases=site.aliases,
            position_m=site.position_m,
            properties={"height_m": site.height_m},
        )
    for cell in scenario.cells:
        east, north, up = sites[cell.site_id].position_m
        add(
            cell.id,
            Kind.CELL,
            cell.name,
            dn=cell.dn,
            aliases=cell.aliases,
            parent_id=cell.site_id,
            position_m=(east, north, up + sites[cell.site_id].height_m),
            properties={
                "azimuth_deg": cell.azimuth_deg,
                "carrier_hz": cell.carrier_hz,
                "bandwidth_hz": cell.bandwidth_hz,
                "sector": float(cell.sector),
                "environment": cell.environment,
            },
        )
    for part in scenario.slices:
        add(part.id, Kind.SLICE, part.name, dn=part.dn, aliases=part.aliases, properties={"sST": float(part.sst)})
    for node in scenario.nodes:
        add(node.id, Kind.NODE, node.name, dn=node.dn, position_m=node.position_m, properties={"role": node.role})
    for link in scenario.links:
        add(
            link.id,
            Kind.LINK,
            link.name,
            dn=link.dn,
            aliases=link.aliases,
            properties={"a_id": link.a_id, "b_id": link.b_id, "capacity_bps": link.capacity_bps},
        )
    for place in scenario.places:
        add(
            place.id,
            Kind.PLACE,
            place.name,
            aliases=place.aliases,
            position_m=place.position_m,
            properties={"category": place.category},
        )
    for building in scenario.buildings:
        east, north = (float(value) for value in building.footprint_m.mean(axis=0))
        add(
            building.id,
            Kind.BUILDING,
            building.name or building.id.replace("-", " "),
            position_m=(east, north, 0.0),
            properties={
                "height_m": building.height_m,
                "height_source": building.height_source,
                "land_use": building.land_use.value,
            },
        )
    for ue in scenario.ues:
        add(
            ue.id,
            Kind.UE,
            ue.id.replace("-", " "),
            position_m=(*ue.home_m, 1.5),
            properties={"slice_id": ue.slice_id, "mobility": ue.mobility, "land_use": ue.land_use.value},
        )
    cells = {cell.id: cell for cell in scenario.cells}
    for one in scenario.neighbours:
        source, target = cells[one.source_id], cells[one.target_id]
        add(
            one.id,
            Kind.RELATION,
            f"{source.name} to {target.name}",
            dn=f"{source.dn},NRCellRelation={target.id.removeprefix('cell-')}",
            parent_id=source.id,
            properties={"source_id": source.id, "target_id": target.id},
        )
    slices = {part.id: part for part in scenario.slices}
    for one in policies_of(scenario):
        site = sites[one.site_id]
        add(
            one.id,
            Kind.POLICY,
            f"{slices[one.slice_id].name} at {site.name}",
            dn=f"{site.dn},GNBDUFunction={site.id.removeprefix('site-')},RRMPolicyRatio={slices[one.slice_id].name}",
            parent_id=site.id,
            properties={"slice_id": one.slice_id},
        )
    for panel in scenario.ris:
        add(
            panel.id,
            Kind.RIS,
            panel.name,
            dn=panel.dn,
            aliases=panel.aliases,
            position_m=panel.position_m,
            properties={
                "azimuth_deg": panel.azimuth_deg,
                "columns": float(panel.columns),
                "rows": float(panel.rows),
                "cell_id": panel.cell_id,
            },
        )
    for target in scenario.targets:
        add(
            target.id,
            Kind.TARGET,
            target.name,
            aliases=target.aliases,
            position_m=target.path_m[0],
            properties={"speed_mps": target.speed_mps, "rcs_m2": target.rcs_m2},
        )
    return Topology(rows, revision=revision)
