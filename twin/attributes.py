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
        kind: Kind of entity that has it.
        also: Other kinds that have it too.
        unit: 3GPP unit on the wire.
        low: Smallest value in the 3GPP unit (numbers only).
        high: Largest value in the 3GPP unit (numbers only).
        choices: Allowed members (enumerations only).
        members: Allowed numbers in the 3GPP unit, where the range has gaps.
        default: Value of an entity of which the scenario says nothing, 3GPP unit; None = the scenario always says.
        native_name: Name with unit suffix for people and tools.
        native_unit: Unit that people use.
        policy_low: Smallest value that this twin accepts, native unit.
        policy_high: Largest value that this twin accepts, native unit.
    """

    name: str
    mo_class: str
    kind: Kind
    also: tuple[Kind, ...] = ()
    label: str
    unit: str
    native_name: str
    native_unit: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    members: tuple[float, ...] = ()
    default: AttributeValue | None = None
    policy_low: float = -math.inf
    policy_high: float = math.inf
    words: tuple[str, ...] = ()
    source: str = "TS 28.541"


COVERAGE_SHAPES = ("sector", "wide", "narrow", "omni")
"""What each value of coverageShape means here (beam widths: :mod:`twin.radio.antenna`)."""

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
        default=0.0,
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
        name="coverageShape",
        mo_class="CommonBeamformingFunction",
        kind=Kind.CELL,
        label="coverage shape",
        unit="",
        native_name="coverage_shape",
        native_unit="",
        low=0,
        high=65_535,
        default=0.0,
        policy_high=len(COVERAGE_SHAPES) - 1.0,
    ),
    Attribute(
        name="bSChannelBwDL",
        mo_class="NRSectorCarrier",
        kind=Kind.CELL,
        label="downlink channel bandwidth",
        unit="MHz",
        native_name="bandwidth_mhz",
        native_unit="MHz",
        low=5,
        high=2000,
        members=(5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90, 100, 200, 400, 800, 1600, 2000),
        words=("channel bandwidth",),
    ),
    Attribute(
        name="arfcnDL",
        mo_class="NRSectorCarrier",
        kind=Kind.CELL,
        label="downlink carrier",
        unit="",
        native_name="carrier_mhz",
        native_unit="MHz",
        low=0,
        high=3_279_165,
        policy_low=400.0,
        policy_high=100_000.0,
        source="TS 28.541; numbers by TS 38.104 table 5.4.2.1-1",
    ),
    Attribute(
        name="ssbPeriodicity",
        mo_class="NRCellDU",
        kind=Kind.CELL,
        label="SSB period",
        unit="ms",
        native_name="ssb_period_ms",
        native_unit="ms",
        low=5,
        high=160,
        members=(5, 10, 20, 40, 80, 160),
        default=20.0,
    ),
    Attribute(
        name="administrativeState",
        mo_class="NRCellDU",
        kind=Kind.CELL,
        also=(Kind.LINK,),
        label="administrative state",
        unit="",
        native_name="administrative_state",
        native_unit="",
        choices=tuple(state.value for state in AdministrativeState),
        default=AdministrativeState.UNLOCKED.value,
        words=("administrative state", "admin state", "lock state"),
    ),
    Attribute(
        name="energySavingControl",
        mo_class="CESManagementFunction",
        kind=Kind.CELL,
        label="energy saving",
        unit="",
        native_name="energy_saving",
        native_unit="",
        choices=("toBeEnergySaving", "toBeNotEnergySaving"),
        default="toBeNotEnergySaving",
    ),
    Attribute(
        name="nRPCI",
        mo_class="NRCellDU",
        kind=Kind.CELL,
        label="physical cell identity",
        unit="",
        native_name="pci",
        native_unit="",
        low=0,
        high=1007,
        words=("pci", "physical cell identity"),
    ),
    Attribute(
        name="qRxLevMin",
        mo_class="NRFreqRelation",
        kind=Kind.CELL,
        label="least RSRP for access",
        unit="dBm",
        native_name="q_rx_lev_min_dbm",
        native_unit="dBm",
        low=-140,
        high=-44,
        default=-125.0,
    ),
    Attribute(
        name="a3Offset",
        mo_class="ReportConfigNR",
        kind=Kind.CELL,
        label="A3 offset",
        unit="0.5 dB",
        native_name="a3_offset_db",
        native_unit="dB",
        low=-30,
        high=30,
        default=4.0,
        source="TS 38.331 EventTriggerConfig",
    ),
    Attribute(
        name="hysteresis",
        mo_class="ReportConfigNR",
        kind=Kind.CELL,
        label="A3 hysteresis",
        unit="0.5 dB",
        native_name="hysteresis_db",
        native_unit="dB",
        low=0,
        high=30,
        default=2.0,
        words=("hysteresis",),
        source="TS 38.331 Hysteresis",
    ),
    Attribute(
        name="timeToTrigger",
        mo_class="ReportConfigNR",
        kind=Kind.CELL,
        label="time to trigger",
        unit="ms",
        native_name="time_to_trigger_ms",
        native_unit="ms",
        low=0,
        high=5120,
        members=(0, 40, 64, 80, 100, 128, 160, 256, 320, 480, 512, 640, 1024, 1280, 2560, 5120),
        default=100.0,
        words=("time to trigger",),
        source="TS 38.331 TimeToTrigger",
    ),
    Attribute(
        name="vsData6gIsac.sensingDutyCycle",
        mo_class="vsData6gIsac",
        kind=Kind.CELL,
        label="sensing duty cycle",
        unit="%",
        native_name="sensing_duty_percent",
        native_unit="%",
        low=0,
        high=100,
        default=0.0,
        policy_high=50.0,
        source="vendor extension",
    ),
    Attribute(
        name="vsData6gApCluster.maxServingAps",
        mo_class="vsData6gApCluster",
        kind=Kind.CELL,
        label="most cells that serve a UE together",
        unit="",
        native_name="max_serving_cells",
        native_unit="",
        low=1,
        high=8,
        default=1.0,
        source="vendor extension",
    ),
    Attribute(
        name="cellIndividualOffset",
        mo_class="NRCellRelation",
        kind=Kind.RELATION,
        label="cell individual offset",
        unit="dB",
        native_name="cell_individual_offset_db",
        native_unit="dB",
        low=-24,
        high=24,
        members=(*range(-24, -6, 2), *range(-6, 7), *range(8, 25, 2)),
        words=("cell individual offset",),
        source="TS 28.541 rsrpOffsetSsb; members of TS 38.331 Q-OffsetRange",
    ),
    Attribute(
        name="isHOAllowed",
        mo_class="NRCellRelation",
        kind=Kind.RELATION,
        label="handover allowed",
        unit="",
        native_name="ho_allowed",
        native_unit="",
        choices=("true", "false"),
        default="true",
    ),
    Attribute(
        name="rRMPolicyMinRatio",
        mo_class="RRMPolicyRatio",
        kind=Kind.POLICY,
        label="least share of PRBs",
        unit="%",
        native_name="min_percent",
        native_unit="%",
        low=0,
        high=100,
    ),
    Attribute(
        name="rRMPolicyMaxRatio",
        mo_class="RRMPolicyRatio",
        kind=Kind.POLICY,
        label="largest share of PRBs",
        unit="%",
        native_name="max_percent",
        native_unit="%",
        low=0,
        high=100,
    ),
    Attribute(
        name="rRMPolicyDedicatedRatio",
        mo_class="RRMPolicyRatio",
        kind=Kind.POLICY,
        label="dedicated share of PRBs",
        unit="%",
        native_name="dedicated_percent",
        native_unit="%",
        low=0,
        high=100,
    ),
    Attribute(
        name="vsDataTransport.igpMetric",
        mo_class="vsDataTransport",
        kind=Kind.LINK,
        label="routing metric",
        unit="",
        native_name="igp_metric",
        native_unit="",
        low=1,
        high=65_535,
        source="vendor extension; RFC 5305 wide metric",
    ),
    Attribute(
        name="vsDataTransport.maxBitRate",
        mo_class="vsDataTransport",
        kind=Kind.LINK,
        label="rate limit",
        unit="Mbit/s",
        native_name="rate_limit_mbps",
        native_unit="Mbit/s",
        low=0,
        high=1_000_000,
        default=0.0,
        source="vendor extension; 0 = none",
    ),
    Attribute(
        name="vsData6gRis.phaseProfileIndex",
        mo_class="vsData6gRis",
        kind=Kind.RIS,
        label="phase profile",
        unit="",
        native_name="phase_profile",
        native_unit="",
        low=0,
        high=255,
        source="vendor extension",
    ),
)

_BY_NAME = {row.name: row for row in ATTRIBUTES}


def attributes_of(kind: Kind) -> tuple[Attribute, ...]:
    """Return the managed attributes that entities of this kind have, in table order."""
    return tuple(row for row in ATTRIBUTES if kind is row.kind or kind in row.also)


def attribute(name: str) -> Attribute:
    """Return the table row of a managed attribute by its 3GPP name, because values are in the 3GPP unit.

    Raises:
        UnknownName: No attribute has this name; that of people, which goes with another unit, is none.
    """
    row = _BY_NAME.get(name)
    if row is None:
        meant = next((a for a in ATTRIBUTES if a.native_name == name), None)
        if meant is not None:
            unit = f" in {meant.unit}" if meant.unit else ""
            raise UnknownName(f"`{name}` is what people say; here it is called `{meant.name}`{unit}")
        raise UnknownName(f"no managed attribute is called `{name}`; known: {', '.join(sorted(_BY_NAME))}")
    return row


_RASTERS = ((0.0, 3000.0, 0.005, 0), (3000.0, 24_250.0, 0.015, 600_000), (24_250.08, 100_000.0, 0.06, 2_016_667))
"""First and last frequency in MHz, step in MHz, first number: TS 38.104 table 5.4.2.1-1."""


def carrier_mhz(number: float) -> float:
    """Return the frequency of an NR-ARFCN."""
    first_mhz, _, step_mhz, first = next(row for row in reversed(_RASTERS) if number >= row[3])
    return first_mhz + step_mhz * (number - first)


def arfcn(frequency_mhz: float) -> float:
    """Return the NR-ARFCN nearest to a frequency of at most 100 GHz."""
    first_mhz, _, step_mhz, first = next(row for row in reversed(_RASTERS) if frequency_mhz >= row[0])
    return float(first + round((frequency_mhz - first_mhz) / step_mhz))


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
        case "0.5 dB", "dB":
            return number / 2.0
        case "", "MHz":
            return carrier_mhz(number)
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
        case "0.5 dB", "dB":
            return float(round(number * 2.0))
        case "", "MHz":
            return arfcn(number)
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
    if row.members and value not in row.members:
        known = ", ".join(f"{member:g}" for member in row.members)
        raise OutOfRange(f"`{name}` is one of {known} {row.unit}; `{value:g}` is not")
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
    digits = 7 if row.name == "arfcnDL" else 4
    return str(native) if row.choices else f"{float(native):.{digits}g} {row.native_unit}".rstrip()
