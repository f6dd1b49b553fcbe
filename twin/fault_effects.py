"""What faults do to the model: where a new one strikes, what it writes, and what the active ones add up to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.attributes import attribute, to_managed, to_native
from twin.entities import Kind
from twin.errors import InvalidInput
from twin.faults import ActiveFault, Written, effect_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from twin.attributes import AttributeValue
    from twin.commands import ManageFault
    from twin.configuration import Configuration
    from twin.entities import Cell
    from twin.faults import Fault
    from twin.scenario import Scenario

_DISTANCE_M = 140.0
"""How far in front of its mast a cell is struck: inside its own area at every usual distance of sites."""
_RADIUS_M = {"coverage-hole": 110.0, "external-interference": 350.0, "flash-crowd": 250.0}
_OVER_SHOOTING_POWER_DB = 3.0
_SWINGING_TIME_TO_TRIGGER_MS = 0.0
_BACKHAUL_DELAY_MS = 20.0
"""Queues of a link in trouble: retransmissions of a fading microwave hop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disc:
    """A round place with one figure: dB of loss or noise, or a factor.

    Attributes:
        carrier_hz: The carrier that is meant; 0 = all.
    """

    east_m: float
    north_m: float
    radius_m: float
    amount: float
    carrier_hz: float = 0.0

    def holds(self, position_m: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which of the points ``[n, 2]`` lie in it."""
        offset_m = position_m[:, :2] - np.array([self.east_m, self.north_m], dtype=np.float32)
        return (offset_m * offset_m).sum(axis=1) <= self.radius_m**2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Effects:
    """All active faults together.

    Attributes:
        power_loss_db: ``[num_cells] float32``.
        access_loss: ``[num_cells] float32`` share of accesses that fail, 0..1.
        obstacles: Loss in dB on ways that end there.
        noise: Rise of the noise in dB there.
        crowds: Factor on the demand there.
        link_capacity: ``[num_links] float64`` share of the capacity that is left.
        link_delay_ms: ``[num_links] float64``.
    """

    power_loss_db: NDArray[np.float32]
    access_loss: NDArray[np.float32]
    obstacles: tuple[Disc, ...]
    noise: tuple[Disc, ...]
    crowds: tuple[Disc, ...]
    link_capacity: NDArray[np.float64]
    link_delay_ms: NDArray[np.float64]


def effects_of(active: tuple[ActiveFault, ...], scenario: Scenario) -> Effects:
    """Return what the active faults add up to."""
    cell = {one.id: column for column, one in enumerate(scenario.cells)}
    link = {one.id: row for row, one in enumerate(scenario.links)}
    power_loss_db = np.zeros(len(cell), dtype=np.float32)
    access_loss = np.zeros(len(cell), dtype=np.float32)
    link_capacity, link_delay_ms = np.ones(len(link)), np.zeros(len(link))
    discs: dict[str, list[Disc]] = {name: [] for name in _RADIUS_M}
    for one in active:
        if one.fault == "power-loss":
            power_loss_db[cell[one.entity_id]] += np.float32(one.effect)
        elif one.fault == "sleeping-cell":
            access_loss[cell[one.entity_id]] = one.effect
        elif one.fault == "backhaul-degradation":
            link_capacity[link[one.entity_id]] *= 1.0 - one.effect
            link_delay_ms[link[one.entity_id]] += _BACKHAUL_DELAY_MS
        elif one.place_m is not None:
            discs[one.fault].append(
                Disc(
                    east_m=one.place_m[0],
                    north_m=one.place_m[1],
                    radius_m=one.radius_m,
                    amount=one.effect,
                    carrier_hz=one.carrier_hz,
                )
            )
    return Effects(
        power_loss_db=power_loss_db,
        access_loss=access_loss,
        obstacles=tuple(discs["coverage-hole"]),
        noise=tuple(discs["external-interference"]),
        crowds=tuple(discs["flash-crowd"]),
        link_capacity=link_capacity,
        link_delay_ms=link_delay_ms,
    )


def strike(
    row: Fault,
    order: ManageFault,
    *,
    scenario: Scenario,
    configuration: Configuration,
    right: Mapping[tuple[str, str], AttributeValue],
    sim_time_s: float,
) -> ActiveFault:
    """Return a new fault, with its place or with the wrong values that it writes.

    Args:
        right: Right values by (entity, attribute) of what other faults have put wrong.

    Raises:
        InvalidInput: There is nothing to break, such as a cell without neighbours for a missing neighbour.
    """
    place_m, carrier_hz = None, 0.0
    if row.name in _RADIUS_M:
        place_m = _place(scenario, order.entity_id)
    if row.name == "external-interference":
        column = configuration.ids(Kind.CELL).index(order.entity_id)
        carrier_hz = 1e6 * float(configuration.numbers("arfcnDL")[column])
    written = () if row.hidden else _written(row, order, scenario, configuration, right)
    return ActiveFault(
        fault=row.name,
        entity_id=order.entity_id,
        severity=order.severity,
        effect=effect_of(row, order.severity, written),
        since_s=sim_time_s,
        place_m=place_m,
        radius_m=_RADIUS_M.get(row.name, 0.0),
        carrier_hz=carrier_hz,
        written=written,
    )


def _place(scenario: Scenario, entity_id: str) -> tuple[float, float]:
    """Return where the cell or site has its users."""
    cell = next((one for one in scenario.cells if one.id == entity_id), None)
    site_id = entity_id if cell is None else cell.site_id
    east_m, north_m, _ = next(site.position_m for site in scenario.sites if site.id == site_id)
    if cell is None:
        return east_m, north_m
    turn = math.radians(cell.azimuth_deg)
    return east_m + _DISTANCE_M * math.sin(turn), north_m + _DISTANCE_M * math.cos(turn)


def facing_neighbours(scenario: Scenario, cell_id: str) -> tuple[str, ...]:
    """Return the neighbours of a cell on other sites, those across its own border first."""
    cells = {cell.id: cell for cell in scenario.cells}
    sites = {site.id: np.array(site.position_m[:2]) for site in scenario.sites}
    own = cells[cell_id]

    def cost(other: Cell) -> float:
        way_m = sites[other.site_id] - sites[own.site_id]
        distance_m = float(np.hypot(*way_m))
        bearing = math.atan2(way_m[0], way_m[1])
        facing = math.cos(bearing - math.radians(own.azimuth_deg))
        faced = -math.cos(bearing - math.radians(other.azimuth_deg))
        return distance_m * (1.0 + (1.0 - facing) / 2.0 + (1.0 - faced) / 2.0)

    others = (cells[one.target_id] for one in scenario.neighbours if one.source_id == cell_id)
    return tuple(one.id for one in sorted((o for o in others if o.site_id != own.site_id), key=cost))


def _written(
    row: Fault,
    order: ManageFault,
    scenario: Scenario,
    configuration: Configuration,
    rights: Mapping[tuple[str, str], AttributeValue],
) -> tuple[Written, ...]:
    cell_id, effect = order.entity_id, row.effect_at(order.severity)

    def right(entity_id: str, name: str) -> AttributeValue:
        return rights.get((entity_id, name), configuration.read(entity_id, name))

    def native(name: str) -> float:
        return float(to_native(name, right(cell_id, name)))

    def tilted(direction: int) -> AttributeValue:
        limits = attribute("digitalTilt")
        limit_deg = limits.policy_high if direction > 0 else limits.policy_low
        room = abs(limit_deg - native("digitalTilt")) / row.severe
        # Where a severe one has no room, all are smaller by one factor: a harder one stays a harder one.
        return to_managed("digitalTilt", native("digitalTilt") + direction * effect * min(room, 1.0))

    wrong: dict[tuple[str, str], AttributeValue] = {}
    match row.name:
        case "excess-downtilt":
            wrong[cell_id, "digitalTilt"] = tilted(1)
        case "over-shooting":
            wrong[cell_id, "digitalTilt"] = tilted(-1)
            power_dbm = native("configuredMaxTxPower") + _OVER_SHOOTING_POWER_DB
            wrong[cell_id, "configuredMaxTxPower"] = _clipped("configuredMaxTxPower", power_dbm)
        case "pci-collision":
            for other in facing_neighbours(scenario, cell_id)[: round(effect)]:
                wrong[other, "nRPCI"] = configuration.read(cell_id, "nRPCI")
        case "missing-neighbour":
            for relation_id in _relations(order, round(effect), scenario, configuration):
                wrong[relation_id, "isHOAllowed"] = "false"
        case "ping-pong":
            wrong[cell_id, "a3Offset"] = to_managed("a3Offset", native("a3Offset") - effect)
            wrong[cell_id, "hysteresis"] = 0.0
            wrong[cell_id, "timeToTrigger"] = _SWINGING_TIME_TO_TRIGGER_MS
        case "slice-misconfiguration":
            wrong = _starving(order.entity_id, effect, configuration)
        case _:
            wrong[cell_id, "energySavingControl"] = "toBeEnergySaving"
    written = tuple(
        Written(entity_id=entity_id, attribute=name, wrong=value, right=right(entity_id, name))
        for (entity_id, name), value in wrong.items()
        if right(entity_id, name) != value
    )
    if not written:
        raise InvalidInput(f"`{row.name}` finds nothing to break at `{order.entity_id}`; choose another place")
    return written


def _clipped(name: str, native: float) -> AttributeValue:
    row = attribute(name)
    return to_managed(name, min(max(native, row.policy_low), row.policy_high))


def _relations(order: ManageFault, most: int, scenario: Scenario, configuration: Configuration) -> tuple[str, ...]:
    """Return relations to break, both ways: the one that is named, or those across the border of the cell."""
    pairs = {one.id: (one.source_id, one.target_id) for one in scenario.neighbours}
    if order.entity_id in pairs:
        chosen = [pairs[order.entity_id]]
    else:
        chosen = [(order.entity_id, other) for other in facing_neighbours(scenario, order.entity_id)[:most]]
    both = {pair for a, b in chosen for pair in ((a, b), (b, a))}
    known = configuration.ids(Kind.RELATION)
    return tuple(relation_id for relation_id, pair in pairs.items() if pair in both and relation_id in known)


def _starving(site_id: str, percent: float, configuration: Configuration) -> dict[tuple[str, str], AttributeValue]:
    """Return policies that dedicate PRBs to the last slice of a site and cap nobody: the others starve."""
    prefix = f"policy-{site_id.removeprefix('site-')}-"
    own = [policy_id for policy_id in configuration.ids(Kind.POLICY) if policy_id.startswith(prefix)]
    if len(own) < 2:
        return {}
    greedy, share = own[-1], float(round(percent))
    return {(greedy, "rRMPolicyDedicatedRatio"): share, (greedy, "rRMPolicyMinRatio"): share}
