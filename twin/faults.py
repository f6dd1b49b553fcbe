"""The fault catalogue: what can be broken on purpose, how hard, how it shows, and what repairs it.

Two sorts. A hidden fault changes the network behind the back of its configuration: the managed attributes read as
before, only the figures tell. A misconfiguration writes wrong values, which anybody can read. Labels of active faults
travel to the instructor alone. What faults do to the model is :mod:`twin.fault_effects`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twin.attributes import to_native
from twin.commands import SetAttribute
from twin.entities import AdministrativeState, Kind
from twin.errors import InvalidInput, OutOfRange, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from twin.attributes import AttributeValue
    from twin.commands import ManageFault

REPAIRED_SHARE = 0.8
"""A number is put right when at least this share of the way back to the right value is gone."""
MILDEST_DRAWN = 0.2
"""A drawn severity is at least this: below, many faults drown in the noise of a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row of the catalogue.

    Attributes:
        name: What `ManageFault.fault` says.
        kinds: Entities it can befall.
        effect: The quantity that severity 0..1 spans, with its unit in words.
        mild: Effect at severity 0.
        severe: Effect at severity 1.
        hidden: False for a misconfiguration, which can be read.
        signature: How it shows in the KPIs.
        remedy: The right fix.
    """

    name: str
    title: str
    kinds: tuple[Kind, ...]
    effect: str
    mild: float
    severe: float
    hidden: bool
    signature: str
    remedy: str

    def effect_at(self, severity: float) -> float:
        """Return the effect at a severity of 0..1."""
        return self.mild + (self.severe - self.mild) * severity

    @property
    def span(self) -> str:
        """What severity 0..1 spans, in words."""
        return self.effect if self.mild == self.severe else f"{self.mild:g}..{self.severe:g}: {self.effect}"


_CELL = (Kind.CELL,)

FAULTS: tuple[Fault, ...] = (
    Fault(
        name="power-loss",
        title="power amplifier failure",
        kinds=_CELL,
        effect="loss of radiated power in dB",
        mild=6.0,
        severe=20.0,
        hidden=True,
        signature="RSRP and CQI of the cell down, its users move to the neighbours, configured power unchanged",
        remedy="raise power or tilt up the neighbours; replace the amplifier",
    ),
    Fault(
        name="sleeping-cell",
        title="sleeping cell: random access is dead",
        kinds=_CELL,
        effect="share of random accesses and incoming handovers that fail",
        mild=0.7,
        severe=1.0,
        hidden=True,
        signature="RRC attempts go on, successes stop; connections and PRB load fall, the neighbours' load rises",
        remedy="restart the cell: administrativeState LOCKED, then UNLOCKED",
    ),
    Fault(
        name="coverage-hole",
        title="a new obstacle shadows a part of the cell",
        kinds=_CELL,
        effect="loss on every way into the shadowed place in dB",
        mild=12.0,
        severe=30.0,
        hidden=True,
        signature="more connections under -110 dBm, mean RSRP of the cell down",
        remedy="more power, less tilt, or a RIS panel towards the place",
    ),
    Fault(
        name="excess-downtilt",
        title="excess downtilt",
        kinds=_CELL,
        effect="degrees of tilt too many",
        mild=4.0,
        severe=9.0,
        hidden=False,
        signature="connections move from the cell to its neighbours",
        remedy="tilt up again",
    ),
    Fault(
        name="over-shooting",
        title="over-shooting cell",
        kinds=_CELL,
        effect="degrees of tilt too few, with 3 dB more power",
        mild=4.0,
        severe=8.0,
        hidden=False,
        signature="served distance up, power drawn up, SINR of the neighbours down",
        remedy="tilt down, power back",
    ),
    Fault(
        name="pci-collision",
        title="neighbours share a physical cell identity",
        kinds=_CELL,
        effect="how many neighbours get the identity of the cell",
        mild=1.0,
        severe=3.0,
        hidden=False,
        signature="SINR and CQI of the cell and of these neighbours down, RSRP normal",
        remedy="give one of them another nRPCI",
    ),
    Fault(
        name="external-interference",
        title="external interferer",
        kinds=_CELL,
        effect="rise of the noise floor in dB around the place",
        mild=15.0,
        severe=35.0,
        hidden=True,
        signature="SINR and CQI down, PRB load up, RSRP normal",
        remedy="move the cell to another carrier, or its load to the neighbours",
    ),
    Fault(
        name="flash-crowd",
        title="flash crowd",
        kinds=(Kind.CELL, Kind.SITE),
        effect="factor on the demand around the place",
        mild=4.0,
        severe=10.0,
        hidden=True,
        signature="PRB load above 90 % when severe, connections up, throughput down, delay up",
        remedy="shift the border by cellIndividualOffset, raise the slice's share, wake a sleeping cell",
    ),
    Fault(
        name="backhaul-degradation",
        title="degraded backhaul link",
        kinds=(Kind.LINK,),
        effect="share of the capacity that is lost",
        mild=0.9,
        severe=0.99,
        hidden=True,
        signature="throughput down and end-to-end delay up on all cells behind the link, PRB load low, radio normal",
        remedy="route around the link by its metric, or limit rates; it is not the radio",
    ),
    Fault(
        name="missing-neighbour",
        title="missing neighbour relation",
        kinds=(Kind.CELL, Kind.RELATION),
        effect="how many relations are missing, both ways each",
        mild=1.0,
        severe=4.0,
        hidden=False,
        signature="handovers too late and radio link failures on one border",
        remedy="allow the handover again: isHOAllowed true",
    ),
    Fault(
        name="ping-pong",
        title="handover parameters that let UEs swing",
        kinds=_CELL,
        effect="dB by which the A3 offset lies too low",
        mild=5.0,
        severe=7.0,
        hidden=False,
        signature="many handovers, returns within two seconds, throughput hardly changed",
        remedy="a3Offset, hysteresis and timeToTrigger back to their usual values",
    ),
    Fault(
        name="slice-misconfiguration",
        title="slice policy that starves the others",
        kinds=(Kind.SITE,),
        effect="share of PRBs dedicated to a slice that does not need them, in %",
        mild=60.0,
        severe=90.0,
        hidden=False,
        signature="throughput of one slice down on all cells of the site while PRBs stay idle",
        remedy="rRMPolicyDedicatedRatio, rRMPolicyMinRatio and rRMPolicyMaxRatio back",
    ),
    Fault(
        name="stuck-energy-saving",
        title="energy saving at the peak",
        kinds=_CELL,
        effect="nothing to scale: the cell sleeps",
        mild=1.0,
        severe=1.0,
        hidden=False,
        signature="the cell carries nothing and draws little power, its neighbours carry more",
        remedy="energySavingControl toBeNotEnergySaving",
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
class Written:
    """One value that a misconfiguration put in force.

    Attributes:
        right: What stood there before, which is the fix.
    """

    entity_id: str
    attribute: str
    wrong: AttributeValue
    right: AttributeValue


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveFault:
    """A fault that acts now.

    Attributes:
        effect: Size of the effect in the unit of the catalogue row.
        since_s: Simulated seconds of its injection.
        place_m: Where it is, east and north, for a fault with a place.
        radius_m: How far it reaches from there.
        carrier_hz: The carrier that it disturbs.
        written: What a misconfiguration changed.
    """

    fault: str
    entity_id: str
    severity: float
    effect: float
    since_s: float
    place_m: tuple[float, float] | None = None
    radius_m: float = 0.0
    carrier_hz: float = 0.0
    written: tuple[Written, ...] = ()

    @property
    def fix(self) -> tuple[SetAttribute, ...]:
        """The orders that repair it, as far as orders can."""
        return fix_of(self.fault, self.entity_id, self.written)


def fix_of(fault: str, entity_id: str, written: Iterable[Written]) -> tuple[SetAttribute, ...]:
    """Return the orders that repair a fault, as far as orders can: a restart, or the right values."""
    if fault == "sleeping-cell":
        states = (AdministrativeState.LOCKED, AdministrativeState.UNLOCKED)
        return tuple(
            SetAttribute(entity_id=entity_id, attribute="administrativeState", value=state.value) for state in states
        )
    return tuple(SetAttribute(entity_id=one.entity_id, attribute=one.attribute, value=one.right) for one in written)


def checked(order: ManageFault, *, kind: Kind) -> Fault:
    """Return the catalogue row that an order means.

    Raises:
        UnknownName: The catalogue has no such fault.
        InvalidInput: This fault cannot befall this kind of entity.
        OutOfRange: Severity outside 0..1.
    """
    row = fault(order.fault)
    if kind not in row.kinds:
        kinds = " or a ".join(kind.value for kind in row.kinds)
        raise InvalidInput(f"`{row.name}` befalls a {kinds}; `{order.entity_id}` is a {kind.value}")
    if not 0.0 <= order.severity <= 1.0:
        raise OutOfRange(f"the severity of a fault lies in 0..1; `{order.severity:g}` does not")
    return row


def drawn_severity(*parts: object) -> float:
    """Return a severity that the same parts (seed, number, fault, entity) always give, `MILDEST_DRAWN` to 1."""
    digest = hashlib.sha256("\n".join(str(part) for part in parts).encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return round(MILDEST_DRAWN + (1.0 - MILDEST_DRAWN) * share, 2)


def is_put_right(
    fault: str,
    entity_id: str,
    written: Iterable[Written],
    *,
    read: Callable[[str, str], AttributeValue],
    struck: Iterable[Written],
) -> bool:
    """Return whether orders have mended a misconfiguration: every value that it wrote is put right.

    Identities are right when they differ, other words when they are the right ones, numbers when `REPAIRED_SHARE` of
    the way back is gone or more. A value that some fault wrote is never right, whichever fault that was.

    Args:
        written: What this fault wrote.
        read: Returns the present value of an attribute of an entity.
        struck: What all faults wrote, this one included.
    """
    own = tuple(written)
    if fault == "pci-collision":
        identities = [read(one, "nRPCI") for one in (entity_id, *(w.entity_id for w in own))]
        return len(set(identities)) == len(identities)
    wrong = {(one.entity_id, one.attribute, one.wrong) for one in struck}
    for one in own:
        value = read(one.entity_id, one.attribute)
        if value == one.right:
            continue
        if isinstance(value, str) or isinstance(one.right, str) or isinstance(one.wrong, str):
            return False
        back = (float(value) - float(one.wrong)) / (float(one.right) - float(one.wrong))
        if back < REPAIRED_SHARE or (one.entity_id, one.attribute, value) in wrong:
            return False
    return True


def effect_of(fault_row: Fault, severity: float, written: Iterable[Written]) -> float:
    """Return the effect that a fault has: what it wrote where it could not write all that the severity asks for."""
    own = tuple(written)
    match fault_row.name:
        case "excess-downtilt" | "over-shooting":
            tilts = [one for one in own if one.attribute == "digitalTilt"]
            return sum(abs(_degrees(one.wrong) - _degrees(one.right)) for one in tilts)
        case "pci-collision":
            return float(len(own))
        case "missing-neighbour":
            return len(own) / 2.0
        case _:
            return fault_row.effect_at(severity)


def _degrees(tilt: AttributeValue) -> float:
    return float(to_native("digitalTilt", tilt))


def from_document(row: Mapping[str, object]) -> ActiveFault:
    """Return an active fault from the document that `dataclasses.asdict` made of it."""
    facts = dict(row)
    place = facts.get("place_m")
    facts["place_m"] = None if place is None else (float(place[0]), float(place[1]))  # type: ignore[index]
    facts["written"] = tuple(Written(**one) for one in facts.get("written", ()))  # type: ignore[arg-type,union-attr]
    return ActiveFault(**facts)  # type: ignore[arg-type]
