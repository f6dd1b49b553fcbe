"""Values that are right by themselves but cannot be in force together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.attributes import carrier_mhz
from twin.entities import Kind
from twin.errors import OutOfRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from twin.attributes import AttributeValue
    from twin.commands import SetAttribute
    from twin.control import PlannedAction
    from twin.topology import Topology


_RANGES = (
    ("FR1", 7_125.0, 100.0),
    ("FR3", 24_250.0, 400.0),
    ("FR2-1", 52_600.0, 400.0),
    ("FR2-2", 71_000.0, 2_000.0),
    ("sub-THz", float("inf"), 2_000.0),
)
"""Name, upper end and widest channel in MHz: TS 38.101-1 and 38.101-2, clauses 5.1 and 5.3.5. 3GPP has no channels yet
for FR3 and above 71 GHz; they may be as wide as those of their neighbour."""

_BOTH = {"FR2-1": "FR2", "FR2-2": "FR2"}
"""Both parts of FR2 count as one range when a carrier moves (TS 38.101-2 clause 5.1)."""

_SHARES = ("rRMPolicyDedicatedRatio", "rRMPolicyMinRatio", "rRMPolicyMaxRatio")


def check_together(
    actions: Iterable[SetAttribute | PlannedAction],
    *,
    topology: Topology,
    values_of: Callable[[str], Mapping[str, AttributeValue]],
) -> None:
    """Refuse checked actions after which values would contradict each other; only what they touch is looked at.

    Args:
        values_of: Returns the values of an entity that stand now.

    Raises:
        OutOfRange: A slice policy that is not dedicated <= min <= max, shares of a site that promise more than there
            is (TS 28.541 4.3.36), a channel too wide for its band, or a carrier in another frequency range.
    """
    changed: dict[str, dict[str, AttributeValue]] = {}
    for action in actions:
        changed.setdefault(action.entity_id, {})[action.attribute] = action.value

    def after(entity_id: str) -> dict[str, AttributeValue]:
        return {**values_of(entity_id), **changed.get(entity_id, {})}

    sites: dict[str, set[str]] = {}
    for entity_id, values in changed.items():
        if touched := values.keys() & set(_SHARES):
            _check_policy(after(entity_id))
            sites.setdefault(topology.get(entity_id).parent_id, set()).update(touched)
        if values.keys() & {"bSChannelBwDL", "arfcnDL"}:
            _check_channel(entity_id, before=values_of(entity_id), after=after(entity_id))
    for site_id, touched in sites.items():
        policies = [one.id for one in topology.of_kind(Kind.POLICY) if one.parent_id == site_id]
        for name in _SHARES[:2]:
            shares = {policy_id: float(after(policy_id)[name]) for policy_id in policies}
            if name in touched and sum(shares.values()) > 100.0:
                said = ", ".join(f"{policy_id} {share:g}" for policy_id, share in shares.items() if share)
                raise OutOfRange(
                    f"the `{name}` of all slices of `{site_id}` add up to `{sum(shares.values()):g}` % ({said});"
                    " at most 100 % can be given: lower others in the same change"
                )


def _check_policy(values: Mapping[str, AttributeValue]) -> None:
    dedicated, least, most = (float(values[name]) for name in _SHARES)
    if not dedicated <= least <= most:
        raise OutOfRange(
            f"a slice policy needs dedicated <= min <= max; `{dedicated:g}`, `{least:g}`, `{most:g}` % are not:"
            " change the three together"
        )


def _check_channel(cell_id: str, *, before: Mapping[str, AttributeValue], after: Mapping[str, AttributeValue]) -> None:
    old, _ = _range_of(float(before["arfcnDL"]))
    new, widest_mhz = _range_of(float(after["arfcnDL"]))
    if _BOTH.get(old, old) != _BOTH.get(new, new):
        raise OutOfRange(
            f"`{cell_id}` has a radio for {old}; it cannot move to"
            f" `{carrier_mhz(float(after['arfcnDL'])):.7g} MHz`, which is {new}"
        )
    width_mhz = float(after["bSChannelBwDL"])
    if width_mhz > widest_mhz:
        raise OutOfRange(
            f"a channel in {new} is at most {widest_mhz:g} MHz wide; `{width_mhz:g} MHz` of `{cell_id}` is not"
        )


def _range_of(arfcn: float) -> tuple[str, float]:
    frequency_mhz = carrier_mhz(arfcn)
    name, _, widest_mhz = next(row for row in _RANGES if frequency_mhz <= row[1])
    return name, widest_mhz
