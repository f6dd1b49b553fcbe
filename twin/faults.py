"""The fault catalogue: what can be broken on purpose, and how hard.

A fault changes the network behind the back of its configuration: the managed attributes read as before, only the
figures tell. Labels of active faults travel to the instructor alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twin.entities import Kind
from twin.errors import InvalidInput, NotFound, OutOfRange, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twin.commands import ManageFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row of the catalogue.

    Attributes:
        name: What `ManageFault.fault` says.
        kinds: Entities it can befall.
        effect: The quantity that severity 0..1 spans, with its unit in words.
        mild: Effect at severity 0.
        severe: Effect at severity 1.
        signature: How it shows in the KPIs.
        remedy: The right fix.
    """

    name: str
    title: str
    kinds: tuple[Kind, ...]
    effect: str
    mild: float
    severe: float
    signature: str
    remedy: str

    def effect_at(self, severity: float) -> float:
        """Return the effect at a severity of 0..1."""
        return self.mild + (self.severe - self.mild) * severity


FAULTS: tuple[Fault, ...] = (
    Fault(
        name="power-loss",
        title="power amplifier failure",
        kinds=(Kind.CELL,),
        effect="loss of radiated power in dB",
        mild=6.0,
        severe=20.0,
        signature="RSRP and CQI of the cell down, its users move to the neighbours, configured power unchanged",
        remedy="raise power or tilt up the neighbours; replace the amplifier",
    ),
)

_BY_NAME = {row.name: row for row in FAULTS}


def fault(name: str) -> Fault:
    """Return the catalogue row of a fault.

    Raises:
        UnknownName: The catalogue has no such fault.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UnknownName(f"no fault is called `{name}`; known: {', '.join(sorted(_BY_NAME))}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveFault:
    """A fault that acts now.

    Attributes:
        effect: Size of the effect in the unit of the catalogue row.
        since_s: Simulated seconds of its injection.
    """

    fault: str
    entity_id: str
    severity: float
    effect: float
    since_s: float


def managed(
    active: Iterable[ActiveFault], order: ManageFault, *, kind: Kind, sim_time_s: float
) -> tuple[ActiveFault, ...]:
    """Return the active faults after an order; injecting again replaces the severity.

    Raises:
        UnknownName: The catalogue has no such fault.
        InvalidInput: This fault cannot befall this kind of entity.
        OutOfRange: Severity outside 0..1.
        NotFound: The order clears a fault that is not there.
    """
    row = fault(order.fault)
    if kind not in row.kinds:
        kinds = ", ".join(kind.value for kind in row.kinds)
        raise InvalidInput(f"`{row.name}` befalls a {kinds}; `{order.entity_id}` is a {kind.value}")
    rest = tuple(one for one in active if (one.fault, one.entity_id) != (order.fault, order.entity_id))
    if order.operation == "clear":
        if len(rest) == len(tuple(active)):
            raise NotFound(f"`{order.entity_id}` has no active fault `{order.fault}`; nothing to clear")
        return rest
    if not 0.0 <= order.severity <= 1.0:
        raise OutOfRange(f"the severity of a fault lies in 0..1; `{order.severity:g}` does not")
    return (
        *rest,
        ActiveFault(
            fault=row.name,
            entity_id=order.entity_id,
            severity=order.severity,
            effect=row.effect_at(order.severity),
            since_s=sim_time_s,
        ),
    )
