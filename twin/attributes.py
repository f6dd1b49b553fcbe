"""The managed-attribute table as data, and the one pair of functions that converts its units.

Names, units and ranges follow TS 28.541 (NR NRM). Wire, REST, journal and graph carry the 3GPP name and
unit; people and tool arguments use degrees and dBm (:func:`to_native`, :func:`to_managed`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from twin.entities import AdministrativeState, Kind
from twin.errors import OutOfRange, UnknownName

AttributeValue = float | str
"""A number, or a member of the attribute's enumeration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute that can be read and changed.

    Attributes:
        name: 3GPP attribute name.
        mo_class: Managed-object class that carries it.
        unit: 3GPP unit on the wire.
        low: Smallest value in the 3GPP unit (numbers only).
        high: Largest value in the 3GPP unit (numbers only).
        choices: Allowed members (enumerations only).
        native_name: Name with unit suffix for people and tools.
        native_unit: Unit that people use.
        policy_low: Smallest value that this twin accepts, native unit.
        policy_high: Largest value that this twin accepts, native unit.
        policy_step: Largest single change that this twin accepts, native unit.
    """

    name: str
    mo_class: str
    kind: Kind
    label: str
    unit: str
    native_name: str
    native_unit: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    policy_low: float = -math.inf
    policy_high: float = math.inf
    policy_step: float = math.inf
    words: tuple[str, ...] = ()
    source: str = "TS 28.541"


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute(
        name="digitalTilt",
        mo_class="CommonBeamformingFunction",
        kind=Kind.CELL,
        label="electrical tilt",
        unit="0.1 deg",
        native_name="tilt_deg",
        native_unit="deg",
        low=-900,
        high=900,
        policy_low=0.0,
        policy_high=15.0,
        words=("tilt", "downtilt", "electrical tilt", "antenna tilt"),
    ),
    Attribute(
        name="digitalAzimuth",
        mo_class="CommonBeamformingFunction",
        kind=Kind.CELL,
        label="electrical azimuth offset",
        unit="0.1 deg",
        native_name="azimuth_offset_deg",
        native_unit="deg",
        low=-1800,
        high=1800,
        policy_low=-60.0,
        policy_high=60.0,
        words=("azimuth", "azimuth offset", "bearing offset"),
    ),
    Attribute(
        name="configuredMaxTxPower",
        mo_class="NRSectorCarrier",
        kind=Kind.CELL,
        label="maximum transmit power",
        unit="mW",
        native_name="tx_power_dbm",
        native_unit="dBm",
        low=0,
        high=200_000,
        policy_low=20.0,
        policy_high=49.0,
        words=("power", "transmit power", "tx power", "output power"),
    ),
    Attribute(
        name="administrativeState",
        mo_class="NRCellDU",
        kind=Kind.CELL,
        label="administrative state",
        unit="",
        native_name="administrative_state",
        native_unit="",
        choices=tuple(state.value for state in AdministrativeState),
        words=("administrative state", "admin state", "lock state"),
    ),
)

_BY_NAME = {row.name: row for row in ATTRIBUTES}


def attribute(name: str) -> Attribute:
    """Return the table row of a managed attribute, by 3GPP or native name.

    Raises:
        UnknownName: No attribute has this name.
    """
    row = _BY_NAME.get(name) or next((a for a in ATTRIBUTES if a.native_name == name), None)
    if row is None:
        raise UnknownName(f"no managed attribute is called `{name}`; known: {', '.join(sorted(_BY_NAME))}")
    return row


def to_native(name: str, value: AttributeValue) -> AttributeValue:
    """Convert a value from the 3GPP unit to the one that people use (0.1 deg -> deg, mW -> dBm)."""
    row = attribute(name)
    if row.choices:
        return value
    number = float(value)
    match row.unit, row.native_unit:
        case "0.1 deg", "deg":
            return number / 10.0
        case "mW", "dBm":
            return 10.0 * math.log10(number) if number > 0 else -math.inf
        case _:
            return number


def to_managed(name: str, value: AttributeValue) -> AttributeValue:
    """Convert a value from the unit that people use to the 3GPP one; numbers round to the integer of the NRM."""
    row = attribute(name)
    if row.choices:
        return value
    number = float(value)
    match row.unit, row.native_unit:
        case "0.1 deg", "deg":
            return float(round(number * 10.0))
        case "mW", "dBm":
            return float(round(10.0 ** (number / 10.0)))
        case _:
            return number


def check(name: str, value: object) -> AttributeValue:
    """Return `value` (3GPP unit) as the attribute's type if the NRM and this twin's policy allow it.

    Raises:
        UnknownName: No such attribute.
        OutOfRange: Wrong type, outside the 3GPP range, or outside the policy range.
    """
    row = attribute(name)
    if row.choices:
        if value not in row.choices:
            raise OutOfRange(f"`{name}` is one of {', '.join(row.choices)}, not `{value}`")
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise OutOfRange(f"`{name}` is a number in {row.unit}, not `{value}`")
    if value != round(value):
        raise OutOfRange(f"`{name}` is a whole number of {row.unit}; `{value:g}` is not")
    if not row.low <= value <= row.high:
        raise OutOfRange(f"`{name}` lies in {row.low:g}..{row.high:g} {row.unit}; `{value:g}` does not")
    native = float(to_native(name, float(value)))
    if not row.policy_low - 0.05 <= native <= row.policy_high + 0.05:
        raise OutOfRange(
            f"this twin allows {row.label} from {row.policy_low:g} to {row.policy_high:g} {row.native_unit};"
            f" `{native:.4g} {row.native_unit}` is outside"
        )
    return float(value)


def same_value(observed: object, wanted: object) -> bool:
    """Return whether two readings of an attribute (3GPP unit) are the same; its numbers are integers in the NRM."""
    if isinstance(observed, int | float) and isinstance(wanted, int | float):
        return math.isclose(observed, wanted, rel_tol=1e-6, abs_tol=0.5)
    return observed == wanted


def describe(name: str, value: AttributeValue) -> str:
    """Return the value in words, for people: ``6 deg``, ``43 dBm``, ``LOCKED``."""
    row = attribute(name)
    native = to_native(name, value)
    return str(native) if row.choices else f"{float(native):.4g} {row.native_unit}"
