"""What a what-if run found: figures with and without a change, how sure that is, and what it means.

Values only; :mod:`twin.what_if` makes them. Change control, REST and the agent read them.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Literal

from twin.kpi import Kpi, kpi

Fidelity = Literal["state", "approximate"]
"""`state`: begun at the scene's own state. `approximate`: at one that was estimated from configuration and figures."""

CONFIDENCE = 0.95
"""Of every interval."""

GUARD_KPI = "DRB.UEThpDl"
"""What must not fall around a change."""

MAIN_KPIS = (
    "DRB.UEThpDl",
    "RRU.PrbTotDl",
    "vsData6gMeanSsRsrp",
    "vsData6gMeanSsSinr",
    "RRC.ConnMean",
    "vsData6gLinkLoad",
)
"""What is told first of what is changed."""

WATCH_S = 20.0
"""Length of the measurement whose likely outcome is told, as change control measures it after applying."""


def _network_row(name: str, label: str, unit: str, good: Literal["up", "down", "none"], decimals: int) -> Kpi:
    return Kpi(
        name=name,
        label=label,
        unit=unit,
        kinds=(),
        low=0,
        high=math.inf,
        good=good,
        reduce="sum" if name in {"MM.HoExeIntraSucc", "vsData6gRadioLinkFailures"} else "mean",
        decimals=decimals,
        source="over the whole network",
    )


NETWORK_ROWS = (
    _network_row("DRB.UEThpDl", "mean UE throughput of the network", "kbit/s", "up", 0),
    _network_row("vsData6gUeThpDlP5", "UE throughput of the worst 5 % of the network", "kbit/s", "up", 0),
    _network_row("vsData6gUnservedUes", "share of UEs without a cell", "%", "down", 2),
    _network_row("PEE.AvgPower", "power draw of the network", "W", "down", 0),
    _network_row("MM.HoExeIntraSucc", "handovers in the network", "", "none", 0),
    _network_row("vsData6gRadioLinkFailures", "radio link failures in the network", "", "down", 0),
    _network_row("vsData6gUrllcViolation", "URLLC data over its delay budget", "%", "down", 2),
)
"""Figures of the whole network; entity id "" in the report."""


class Verdict(StrEnum):
    """What can be said of one figure."""

    BETTER = "better"
    WORSE = "worse"
    CHANGED = "changed"
    """It moves, in a direction that is neither good nor bad."""
    UNCLEAR = "unclear"
    """The seeds do not agree that it moves at all."""
    UNCHANGED = "unchanged"
    APPEARS = "appears"
    """Measured only with the change, such as the throughput of a cell that is unlocked."""
    VANISHES = "vanishes"
    """Measured only without the change, such as the throughput of a cell that is locked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What the change does to one figure.

    Attributes:
        entity_id: "" = the whole network.
        kpi: 3GPP name; of :data:`NETWORK_ROWS` for the whole network.
        base: Mean over seeds without the change; None = nothing was measured.
        changed: Mean over seeds with it.
        delta: Mean over seeds of the difference of the two arms.
        low: Lower end of the t-interval of that mean; None with one seed.
        high: Upper end.
        likely_low: Lower end of where one measurement of :data:`WATCH_S` after against before will likely lie, chance
            of traffic included; None where it cannot be told.
        likely_high: Upper end.
    """

    entity_id: str
    kpi: str
    unit: str
    verdict: Verdict
    base: float | None = None
    changed: float | None = None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    likely_low: float | None = None
    likely_high: float | None = None

    @property
    def row(self) -> Kpi:
        """What kind of figure it is."""
        return kpi(self.kpi) if self.entity_id else next(row for row in NETWORK_ROWS if row.name == self.kpi)

    @property
    def name(self) -> str:
        """What it is the figure of, in words: `downlink PRB load of cell-7-2`."""
        return f"{self.row.label} of {self.entity_id}" if self.entity_id else self.row.label

    @property
    def sentence(self) -> str:
        """What happens to it, in words, with units that people use."""
        row = self.row

        def said(value: float | None, *, sign: str = "") -> str:
            return "?" if value is None else f"{value:{sign},.{row.decimals}f}"

        unit = f" {self.unit}" if self.unit else ""
        match self.verdict:
            case Verdict.VANISHES:
                return f"{self.name}: {said(self.base)}{unit} now, not measured any more"
            case Verdict.APPEARS:
                return f"{self.name}: not measured now, {said(self.changed)}{unit} then"
            case Verdict.UNCHANGED:
                return f"{self.name}: {said(self.base)}{unit}, no change"
            case _:
                text = f"{self.name}: {said(self.base)} -> {said(self.changed)}{unit} ({said(self.delta, sign='+')}"
                if self.low is not None:
                    text += f", {CONFIDENCE:.0%} between {said(self.low, sign='+')} and {said(self.high, sign='+')}"
                return f"{text}), {'not clear' if self.verdict is Verdict.UNCLEAR else self.verdict.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfReport:
    """What a change would do, with how sure that is.

    Attributes:
        sim_time_s: When both arms begin.
        settle_s: How much of the horizon is left out at its beginning.
        targets: The entities whose attributes change, and the cells that they govern.
        deltas: Targets, neighbours, slices, links, whole network, in this order.
        guard: Mean of :data:`GUARD_KPI` over the cells around the change; entity id "".
        cpu_s: What it cost; not part of equality, as it differs from run to run.
    """

    fidelity: Fidelity
    sim_time_s: float
    horizon_s: float
    settle_s: float
    seeds: tuple[int, ...]
    targets: tuple[str, ...]
    deltas: tuple[Delta, ...]
    guard: Delta
    cpu_s: float = field(default=0.0, compare=False)

    @property
    def digest(self) -> str:
        """SHA-256 of what was found, without what it cost."""
        facts = {key: value for key, value in asdict(self).items() if key != "cpu_s"}
        return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def of(self, entity_id: str, name: str) -> Delta | None:
        """Return what happens to one figure, None when it was not looked at."""
        return next((one for one in self.deltas if (one.entity_id, one.kpi) == (entity_id, name)), None)

    def main(self, *, most: int = 6) -> tuple[Delta, ...]:
        """Return what to tell first: the figures of the targets that people watch, then the whole network's."""
        told = [one for one in self.deltas if one.kpi in MAIN_KPIS and (one.entity_id in self.targets[:2])]
        told += [one for one in self.deltas if not one.entity_id]
        moving = [one for one in told if one.verdict not in {Verdict.UNCHANGED, Verdict.UNCLEAR}]
        return tuple((moving or told)[:most])

    def harms(self, *, guard_drop: float) -> bool:
        """Return whether the guard KPI surely falls by more than this share."""
        guard = self.guard
        return guard.high is not None and guard.base is not None and guard.high < -guard_drop * guard.base
