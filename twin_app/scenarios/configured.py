"""What a scenario file says about entities, carried into the scenario once the city and its network are there."""

from __future__ import annotations

import difflib
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twin.attributes import carrier_mhz, to_native
from twin.entities import AdministrativeState, Kind, RisPanel, RrmPolicy, SensingTarget
from twin.faults import drawn_severity, fault
from twin.scenario import CrowdEvent, FaultPlan
from twin.topology import policies_of, topology_of
from twin_app.scenarios.fcd import read_fcd
from twin_app.scenarios.milan import read_milan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from twin.attributes import AttributeValue
    from twin.entities import Cell, NeighbourRelation, Place, TransportLink
    from twin.mobility import Tracks
    from twin.scenario import Scenario
    from twin_app.scenarios.spec import FlashCrowd, InjectedFault, Panel, Settings, Target, Wanted

_POLICY_FIELDS = {
    "rRMPolicyMinRatio": "min_percent",
    "rRMPolicyMaxRatio": "max_percent",
    "rRMPolicyDedicatedRatio": "dedicated_percent",
}
_SHOWN_IDS = 3


def configured(scenario: Scenario, wanted: Wanted) -> Scenario:
    """Return the scenario with everything that the scenario file sets, injects, adds or chooses.

    A value that entities hold goes there, every other managed attribute into `Scenario.configured`.

    Raises:
        ScenarioError: The file names something that this city does not have, or values that exclude each other.
    """
    file = wanted.file
    rest: list[tuple[str, str, AttributeValue]] = []
    for section, entities in (
        ("cells", scenario.cells),
        ("relations", scenario.neighbours),
        ("policies", policies_of(scenario)),
        ("links", scenario.links),
    ):
        _known(wanted, section, getattr(file, section), [one.id for one in entities])
    scenario = replace(
        scenario,
        cells=tuple(_cell(one, file.cells.get(one.id, {}), rest) for one in scenario.cells),
        neighbours=tuple(_relation(one, file.relations.get(one.id, {}), rest) for one in scenario.neighbours),
        links=tuple(_link(one, file.links.get(one.id, {}), rest) for one in scenario.links),
        policies=_policies(scenario, wanted),
        events=tuple(_event(one, row, scenario.places, wanted) for row, one in enumerate(file.events)),
        mobility=file.mobility,
        tracks=None if file.tracks is None else _tracks(file.tracks, scenario),
        month_byte=scenario.month_byte if file.demand.month_gb is None else 1e9 * file.demand.month_gb,
        demand_curves=read_milan(file.demand.milan).curves(file.demand.squares).table if file.demand.milan else None,
        energy_model=file.energy_model,
        radio_map="" if file.radio_map is None else str(file.radio_map),
        configured=tuple(rest),
    )
    if not isinstance(file.ris, int):
        scenario = replace(scenario, ris=_panels(file.ris, scenario, wanted))
    if not isinstance(file.targets, int):
        scenario = replace(scenario, targets=_targets(file.targets, wanted))
    return replace(scenario, faults=_faults(scenario, wanted))


def _tracks(path: Path, scenario: Scenario) -> Tracks:
    drivers = sum(ue.mobility == "drive" for ue in scenario.ues)
    return read_fcd(path, most=max(drivers, 1), origin=scenario.origin, extent_m=scenario.extent_m)


def _known(wanted: Wanted, section: str, named: Iterable[str], ids: list[str]) -> None:
    have = set(ids)
    for entity_id in named:
        if entity_id not in have:
            what = section.removesuffix("s") if section != "policies" else "policy"
            near = difflib.get_close_matches(entity_id, ids, n=_SHOWN_IDS, cutoff=0.5) or ids[:_SHOWN_IDS]
            shown = ", ".join(f"`{one}`" for one in near)
            raise wanted.error(
                section, entity_id, problem=f"there is no such {what}; this city has {len(ids)}, such as {shown}"
            )


def _cell(cell: Cell, settings: Settings, rest: list[tuple[str, str, AttributeValue]]) -> Cell:
    changes: dict[str, Any] = {}
    for name, value in settings.items():
        match name:
            case "digitalTilt":
                changes["tilt_deg"] = float(to_native(name, value))
            case "configuredMaxTxPower":
                changes["tx_power_dbm"] = float(to_native(name, value))
            case "bSChannelBwDL":
                changes["bandwidth_hz"] = float(value) * 1e6
            case "arfcnDL":
                changes["carrier_hz"] = carrier_mhz(float(value)) * 1e6
            case "nRPCI":
                changes["nr_pci"] = int(value)
            case "administrativeState":
                changes["administrative_state"] = AdministrativeState(str(value))
            case _:
                rest.append((cell.id, name, value))
    return replace(cell, **changes) if changes else cell


def _relation(
    relation: NeighbourRelation, settings: Settings, rest: list[tuple[str, str, AttributeValue]]
) -> NeighbourRelation:
    own = dict(settings)
    offset_db = own.pop("cellIndividualOffset", None)
    rest += [(relation.id, name, value) for name, value in own.items()]
    return relation if offset_db is None else replace(relation, cell_individual_offset_db=float(offset_db))


def _link(link: TransportLink, settings: Settings, rest: list[tuple[str, str, AttributeValue]]) -> TransportLink:
    changes: dict[str, Any] = {}
    for name, value in settings.items():
        match name:
            case "capacity_bps" | "length_m":
                changes[name] = float(value)
            case "vsDataTransport.igpMetric":
                changes["igp_metric"] = int(value)
            case _:
                rest.append((link.id, name, value))
    return replace(link, **changes) if changes else link


def _policies(scenario: Scenario, wanted: Wanted) -> tuple[RrmPolicy, ...]:
    """Return the policies that differ from 0 / 100 / 0 per cent: what a slice has everywhere, then what a site has."""
    file = wanted.file
    _known(wanted, "slices", file.slices, [part.id for part in scenario.slices])
    stated: list[RrmPolicy] = []
    by_site: dict[str, list[RrmPolicy]] = defaultdict(list)
    for policy in policies_of(scenario):
        own = {**file.slices.get(policy.slice_id, {}), **file.policies.get(policy.id, {})}
        ratios: dict[str, Any] = {_POLICY_FIELDS[name]: value for name, value in own.items() if name in _POLICY_FIELDS}
        changed = replace(policy, **ratios)
        where = ("policies", policy.id) if policy.id in file.policies else ("slices", policy.slice_id)
        if not changed.dedicated_percent <= changed.min_percent <= changed.max_percent:
            raise wanted.error(
                *where,
                problem=f"rRMPolicyDedicatedRatio <= rRMPolicyMinRatio <= rRMPolicyMaxRatio is needed (TS 28.541), not"
                f" `{changed.dedicated_percent:g}`, `{changed.min_percent:g}`, `{changed.max_percent:g}`",
            )
        by_site[policy.site_id].append(changed)
        total = sum(one.min_percent for one in by_site[policy.site_id])
        if total > 100.0:
            raise wanted.error(
                *where,
                problem=f"the rRMPolicyMinRatio of all slices of `{policy.site_id}` are 100 % together at most,"
                f" not `{total:g}`",
            )
        if changed != RrmPolicy(site_id=policy.site_id, slice_id=policy.slice_id):
            stated.append(changed)
    return tuple(stated)


def _event(event: FlashCrowd, row: int, places: tuple[Place, ...], wanted: Wanted) -> CrowdEvent:
    position_m = event.position_m
    if position_m is None:
        found = [one for one in places if event.place in {one.id, one.name, *one.aliases}]
        if not found:
            known = ", ".join(one.id for one in places[:_SHOWN_IDS]) or "none"
            raise wanted.error(
                "events", row, "place", problem=f"no place is called `{event.place}`; this city has {known} ..."
            )
        east_m, north_m, _ = found[0].position_m
        position_m = float(east_m), float(north_m)
    return CrowdEvent(
        name=event.name,
        position_m=position_m,
        radius_m=event.radius_m,
        at_s=event.at_s,
        ramp_s=event.ramp_s,
        duration_s=event.duration_s,
        demand_factor=event.demand_factor,
    )


def _panels(panels: tuple[Panel, ...], scenario: Scenario, wanted: Wanted) -> tuple[RisPanel, ...]:
    _once("ris", [one.id for one in panels], wanted)
    cells = {cell.id for cell in scenario.cells}
    for row, one in enumerate(panels):
        if one.cell not in cells:
            raise wanted.error("ris", row, "cell", problem=f"there is no cell `{one.cell}` that could illuminate it")
    return tuple(
        RisPanel(
            id=one.id,
            name=one.name or _title(one.id),
            position_m=one.position_m,
            azimuth_deg=one.azimuth_deg,
            columns=one.columns,
            rows=one.rows,
            cell_id=one.cell,
            phase_profile_index=int(one.phase_profile_index),
            dn=f"SubNetwork=1,ManagedElement=RIS-{one.id.removeprefix('ris-')},vsData6gRis=1",
        )
        for one in panels
    )


def _targets(targets: tuple[Target, ...], wanted: Wanted) -> tuple[SensingTarget, ...]:
    _once("targets", [one.id for one in targets], wanted)
    return tuple(
        SensingTarget(
            id=one.id,
            name=one.name or _title(one.id),
            path_m=one.path_m,
            speed_mps=one.speed_mps,
            rcs_m2=one.rcs_m2,
        )
        for one in targets
    )


def _title(entity_id: str) -> str:
    word, _, number = entity_id.partition("-")
    return f"{word.upper() if word == 'ris' else word.capitalize()} {number}"


def _once(section: str, ids: list[str], wanted: Wanted) -> None:
    for row, entity_id in enumerate(ids):
        if entity_id in ids[:row]:
            raise wanted.error(section, row, "id", problem=f"the id `{entity_id}` stands here for the second time")


def _faults(scenario: Scenario, wanted: Wanted) -> tuple[FaultPlan, ...]:
    if not wanted.file.faults:
        return ()
    kinds = {entity.id: entity.kind for entity in topology_of(scenario).entities}
    return tuple(_fault(one, row, kinds, wanted) for row, one in enumerate(wanted.file.faults))


def _fault(one: InjectedFault, row: int, kinds: Mapping[str, Kind], wanted: Wanted) -> FaultPlan:
    may = fault(one.fault).kinds
    words = " or a ".join(kind.value for kind in may)
    kind = kinds.get(one.entity)
    if kind is None:
        raise wanted.error("faults", row, "entity", problem=f"no entity has the id `{one.entity}`; name a {words}")
    if kind not in may:
        raise wanted.error(
            "faults", row, "entity", problem=f"`{one.fault}` befalls a {words}; `{one.entity}` is a {kind.value}"
        )
    severity = one.severity if isinstance(one.severity, float) else None
    if severity is None and one.seed is not None:
        severity = drawn_severity(one.seed, row, one.fault, one.entity)
    return FaultPlan(
        fault=one.fault,
        entity_id=one.entity,
        severity=severity,
        at_s=one.at_s,
        clear_after_s=one.clear_after_s,
    )
