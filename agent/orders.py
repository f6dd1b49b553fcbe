"""Orders about any managed attribute of the table: which one a sentence names, and the value it wants.

Tilt, power, lock and unlock have labels of their own in the trained head; every other attribute is read here, by its
name and the words around it. An order opens with what is to be done ("set", "switch", "allow"); everything that the
guard holds back is no order.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent import guard
from twin.attributes import COVERAGE_SHAPES, Attribute, attribute
from twin.entities import Kind
from twin.naming import AttributeMention, EntityMention, QuantityMention

if TYPE_CHECKING:
    from twin.attributes import AttributeValue
    from twin.naming import Linked

SET_ATTRIBUTE: Final = "set_attribute"
_TRAINED: Final = frozenset({"digitalTilt", "configuredMaxTxPower", "administrativeState"})
_OPENING: Final = re.compile(
    r"^(?:(?:hey|hi|ok|okay|so|and|now|well|please|twin|alright|then|also|right|good|hello)[ ,]+)*"
    r"(?:(?:can|could|would|will) (?:you|u|we) |(?:i|we) (?:want|need|would like)(?: you)? to |i'd like(?: you)? to"
    r" |let'?s |go ahead and )?(?:please )?"
    r"(?:set|change|put|adjust|configure|use|switch|turn|enable|disable|activate|deactivate|raise|lower|increase"
    r"|decrease|reduce|move|limit|cap|throttle|reserve|dedicate|guarantee|allow|disallow|permit|prohibit|block|bar"
    r"|give (?!me\b|us\b)|make (?!me\b|us\b|a\b|an\b))"
)
_NUMBER: Final = r"\d[\d.,]* ?"
_CUES: Final = (
    (
        "isHOAllowed",
        re.compile(r"\b(?:(?:dis)?allow|permit|prohibit|enable|disable|block|bar)\b.{0,20}\bhand-?overs?\b"),
    ),
    ("vsDataTransport.maxBitRate", re.compile(rf"\b(?:limit|cap|throttle)\b.*{_NUMBER}(?:[mg]bit/s|[mg]bps)")),
)
_SHARES: Final = (
    ("rRMPolicyMinRatio", re.compile(r"\b(?:at least|minimum|min|least|guarantee\w*)\b")),
    ("rRMPolicyMaxRatio", re.compile(r"\b(?:at most|maximum|max|largest|limit|cap)\b")),
    ("rRMPolicyDedicatedRatio", re.compile(r"\b(?:dedicate|dedicated|reserve|reserved)\b")),
)
_OFF: Final = re.compile(r"\b(?:off|disable|deactivate)\b")
_ON: Final = re.compile(r"\b(?:on\b(?! (?:the |this |that )?(?:cell|sector|s ?-?\d|\d|it\b))|enable\b|activate\b)")
_NO: Final = re.compile(r"\b(?:disallow|prohibit|disable|block|bar|false|no)\b")
_YES: Final = re.compile(r"\b(?:allow|permit|enable|true|yes)\b")
_SAID_UNIT: Final = re.compile(r"\s*(mhz|ghz|ms|seconds?|s|[mg]bit/s|[mg]bps)\b", re.IGNORECASE)
_SCALES: Final = {
    ("MHz", "mhz"): 1.0,
    ("MHz", "ghz"): 1e3,
    ("ms", "ms"): 1.0,
    ("ms", "s"): 1e3,
    ("ms", "second"): 1e3,
    ("ms", "seconds"): 1e3,
    ("Mbit/s", "mbit/s"): 1.0,
    ("Mbit/s", "mbps"): 1.0,
    ("Mbit/s", "gbit/s"): 1e3,
    ("Mbit/s", "gbps"): 1e3,
}


def _plain(linked: Linked) -> str:
    return " ".join(linked.text.lower().replace("’", "'").split())


def attributes_meant(linked: Linked) -> tuple[Attribute, ...]:
    """Return the managed attributes that a sentence names, without those that the trained head knows."""
    named = [m.attribute for m in linked.of(AttributeMention) if m.attribute not in _TRAINED]
    text = _plain(linked)
    if not named:
        named = [name for name, cue in _CUES if cue.search(text)]
    kinds = {mention.kind for mention in linked.of(EntityMention)}
    if not named and Kind.SLICE in kinds and any(q.unit == "%" for q in linked.of(QuantityMention)):
        named = [name for name, cue in _SHARES if cue.search(text)]
    return tuple(attribute(name) for name in dict.fromkeys(named))


def is_order(linked: Linked) -> bool:
    """Return whether a sentence tells to change something, and nothing in it speaks against that."""
    return _OPENING.match(_plain(linked)) is not None and guard.verdict(linked.text) is None


def wants_more(linked: Linked) -> bool:
    """Return whether a sentence also speaks of a tilt, a power or a lock."""
    also = any(mention.attribute in _TRAINED for mention in linked.of(AttributeMention))
    return also or re.search(r"\b(?:un)?lock\b", _plain(linked)) is not None


def member_wanted(row: Attribute, linked: Linked) -> AttributeValue | None:
    """Return the member of an enumeration that a sentence asks for, None when it does not say."""
    text = _plain(linked)
    words = set(re.findall(r"[a-z]+", text))
    if row.name == "coverageShape":
        shapes = [n for n, shape in enumerate(COVERAGE_SHAPES) if shape in words]
        return float(shapes[0]) if len(shapes) == 1 else None
    said = [member for member in row.choices if member.lower() in words]
    if len(said) == 1:
        return said[0]
    no, yes = (_OFF, _ON) if row.name == "energySavingControl" else (_NO, _YES)
    refused, granted = no.search(text) is not None, yes.search(text) is not None
    if refused == granted:
        return None
    saving = ("toBeNotEnergySaving", "toBeEnergySaving")
    return (saving if row.name == "energySavingControl" else ("false", "true"))[granted]


def quantities(row: Attribute, linked: Linked) -> list[tuple[QuantityMention, float | None]]:
    """Return the numbers of a sentence with their values in the unit that people use for the attribute.

    None instead of a value when the unit does not fit; numbers inside a name ("A3 offset") are left out.
    """
    names = [mention.span for mention in linked.of(AttributeMention)]
    found: list[tuple[QuantityMention, float | None]] = []
    for quantity in linked.of(QuantityMention):
        if any(start <= quantity.span[0] < end for start, end in names):
            continue
        unit = _SAID_UNIT.match(linked.text, quantity.span[1])
        if quantity.unit:
            scale = 1.0 if quantity.unit == row.native_unit else None
        else:
            scale = 1.0 if unit is None else _SCALES.get((row.native_unit, unit[1].lower()))
        found.append((quantity, None if scale is None else scale * quantity.value))
    return found
