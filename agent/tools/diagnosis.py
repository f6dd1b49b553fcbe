"""The tool that says why: it joins an alarm with figures, siblings, backhaul, changes and settings.

Rules, in this order, each from the signature of its cause: locked; changed by us; transmit path; whole site;
backhaul full; interference; radio congestion; signalling. What was ruled out is said, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.registry import Finding, Tool
from agent.tools.alarms import alarms_of, say_alarm
from agent.tools.inputs import MaybeEntity, Window
from agent.tools.reading import kpi_for, read_kpi, say, say_at
from twin.alarms import Alarm, Severity
from twin.attributes import attribute, to_native
from twin.control import ChangeState
from twin.entities import AdministrativeState, Kind
from twin.errors import TwinError
from twin.kpi import kpi
from twin.naming import index_of

if TYPE_CHECKING:
    from agent.registry import ToolContext
    from twin.topology import Entity

RSRP: Final = "vsData6gMeanSsRsrp"
CQI: Final = "vsData6gMeanCqi"
SINR: Final = "vsData6gMeanSsSinr"
LOAD: Final = "RRU.PrbTotDl"
THROUGHPUT: Final = "DRB.UEThpDl"
LINK_LOAD: Final = "vsData6gLinkLoad"
SETUP_FAILURES: Final = "vsData6gRrcSetupFailureRate"

SIGNAL_DROP_DB: Final = 3.0
"""Half the power: less is within the spread of a moving crowd of users."""
SIBLING_DROP_DB: Final = 2.0
LINK_FULL_PERCENT: Final = 85.0
CELL_FULL_PERCENT: Final = 85.0
_NOW_S: Final = 600.0
_BEFORE_S: Final = 3600.0
_RECENT_S: Final = 86_400.0
_RANK: Final = {s: n for n, s in enumerate((Severity.CRITICAL, Severity.MAJOR, Severity.MINOR, Severity.WARNING))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One KPI now and before, NaN where there are no figures."""

    entity_id: str
    kpi: str
    now: float
    before: float

    @property
    def delta(self) -> float:
        """Now minus before."""
        return self.now - self.before

    @property
    def known(self) -> bool:
        """Whether both are there."""
        return not (math.isnan(self.now) or math.isnan(self.before))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What is probably wrong and what to do."""

    name: str
    because: str
    fix: str


async def explain_alarm(context: ToolContext, args: MaybeEntity) -> Finding:
    """Why an entity is in trouble."""
    alarm = await _alarm(context, args.entity)
    target = args.entity if alarm is None else alarm.entity_id
    if target is None:
        mark = context.ledger.add("alarms", kpi="active alarms", value=0.0, at_s=context.inventory.now_s)
        return Finding(text=f"No alarm is active {mark}; name a cell and I look at its figures.")
    entity = context.inventory.topology.get(target)
    if alarm is None:
        mark = context.ledger.add("alarms", entity=target, kpi="active alarms", value=0.0, at_s=context.inventory.now_s)
        parts = [f"No alarm is active on {target} {mark}; this is what its figures say."]
    else:
        sentence = say_alarm(context, alarm)
        parts = [f"{sentence[0].upper()}{sentence[1:]}.", _say_evidence(context, alarm)]
    if entity.kind is Kind.SITE:
        cells = index_of(context.inventory.topology).cells_of(entity.id)
        entity = cells[0] if cells else entity
    if entity.kind is Kind.CELL:
        parts += await _explain_cell(context, entity, since_s=alarm.raised_at_s if alarm else None)
    elif entity.kind is Kind.LINK:
        parts += await _explain_link(context, entity)
    return Finding(text=" ".join(part for part in parts if part), subjects=(entity.id,))


async def _alarm(context: ToolContext, entity_id: str | None) -> Alarm | None:
    active = await alarms_of(context, entity_id, include_cleared=False)
    if active:
        return min(active, key=lambda alarm: (_RANK.get(alarm.perceived_severity, 9), -alarm.raised_at_s))
    if entity_id is None:
        return None
    past = await alarms_of(context, entity_id, include_cleared=True, since_s=context.inventory.now_s - _RECENT_S)
    return past[0] if past else None


def _say_evidence(context: ToolContext, alarm: Alarm) -> str:
    parts: list[str] = []
    for row in alarm.evidence[:3]:
        seen = context.ledger.add(
            "alarms", entity=alarm.entity_id, kpi=row.kpi, value=row.value, unit=row.unit, at_s=alarm.raised_at_s
        )
        usual = context.ledger.add(
            "alarms", entity=alarm.entity_id, kpi=f"{row.kpi} expected", value=row.expected, unit=row.unit
        )
        table = kpi(row.kpi)
        parts.append(f"{table.label} {say(table, row.value)} {seen} where {say(table, row.expected)} {usual} is usual")
    return f"It was raised for {', '.join(parts)}." if parts else ""


async def _shift(context: ToolContext, entity: Entity, name: str, since_s: float | None) -> Shift:
    """Return a KPI over the last ten minutes and over the hour before the trouble began."""
    now_s = context.inventory.now_s
    start_s = max(now_s - _NOW_S, since_s if since_s is not None else now_s - _NOW_S)
    if now_s - start_s < 30.0:
        start_s = now_s - 30.0
    turn_s = min(start_s, since_s if since_s is not None else start_s) - 60.0
    row = kpi_for(entity, name)
    now = await read_kpi(context, entity, row, Window(start_s=start_s, end_s=now_s))
    before = await read_kpi(context, entity, row, Window(start_s=turn_s - _BEFORE_S, end_s=turn_s))
    return Shift(entity_id=entity.id, kpi=name, now=now.value, before=before.value)


def _say_shift(context: ToolContext, shift: Shift) -> str:
    row = kpi(shift.kpi)
    now_s = context.inventory.now_s
    before = context.ledger.add(
        "telemetry", entity=shift.entity_id, kpi=f"{shift.kpi} before", value=shift.before, unit=row.unit
    )
    now = context.ledger.add(
        "telemetry", entity=shift.entity_id, kpi=shift.kpi, value=shift.now, unit=row.unit, at_s=now_s
    )
    return f"{row.label} went from {say(row, shift.before)} {before} to {say(row, shift.now)} {now}"


async def _explain_cell(context: ToolContext, cell: Entity, *, since_s: float | None) -> list[str]:
    topology = context.inventory.topology
    own = {name: await _shift(context, cell, name, since_s) for name in (RSRP, CQI, SINR, LOAD, THROUGHPUT)}
    failures = await _shift(context, cell, SETUP_FAILURES, since_s)
    siblings = [other for other in index_of(topology).cells_of(cell.parent_id) if other.id != cell.id]
    around = [await _shift(context, other, RSRP, since_s) for other in siblings]
    link = await _link(context, cell.parent_id)
    changed = await _recent_change(context, cell, since_s)
    told: list[str] = []
    shown = [own[name] for name in (RSRP, CQI, THROUGHPUT) if own[name].known]
    if shown:
        told.append(f"On {cell.id} the {', the '.join(_say_shift(context, shift) for shift in shown)}.")
    known = [shift for shift in around if shift.known]
    steady = bool(known) and all(shift.delta > -SIBLING_DROP_DB for shift in known)
    if known:
        sisters = "; ".join(f"{s.entity_id}: {_say_shift(context, s)}" for s in known)
        told.append(f"Its sibling sectors are {'steady' if steady else 'affected, too'} ({sisters}).")
    if link is not None:
        told.append(_say_link(context, *link))
    told += [_say_settings(context, cell, siblings), changed]
    cause = _cause(
        context, cell, own=own, failures=failures, siblings=known, steady=steady, link=link, changed=bool(changed)
    )
    verdict = f"Most likely: {cause.name}, because {cause.because}."
    fix = f" What to try: {cause.fix}" if cause.fix else ""
    if not changed:
        fix += " No change of ours explains it."
    return [*[line for line in told if line], verdict + fix]


async def _link(context: ToolContext, site_id: str) -> tuple[str, float] | None:
    """Return (link id, load in percent) of the site's backhaul, None when unknown."""
    links = index_of(context.inventory.topology).links_of(site_id)
    if not links:
        return None
    now_s = context.inventory.now_s
    entity = context.inventory.topology.get(links[0])
    reading = await read_kpi(context, entity, kpi(LINK_LOAD), Window(start_s=now_s - _NOW_S, end_s=now_s))
    return None if math.isnan(reading.value) else (links[0], reading.value)


def _say_link(context: ToolContext, link_id: str, load_percent: float) -> str:
    row = kpi(LINK_LOAD)
    mark = context.ledger.add(
        "telemetry", entity=link_id, kpi=LINK_LOAD, value=load_percent, unit="%", at_s=context.inventory.now_s
    )
    word = "is full" if load_percent >= LINK_FULL_PERCENT else "has room"
    return f"The backhaul {link_id} {word} at {say(row, load_percent)} {mark}."


def _say_settings(context: ToolContext, cell: Entity, siblings: list[Entity]) -> str:
    """Say the configured power beside that of the siblings; equal settings speak against a wrong configuration."""
    name = "configuredMaxTxPower"
    if name not in cell.attributes:
        return ""
    own_dbm = float(to_native(name, cell.attributes[name]))
    mark = context.ledger.add("inventory", entity=cell.id, kpi=name, value=own_dbm, unit="dBm")
    others = [float(to_native(name, other.attributes[name])) for other in siblings if name in other.attributes]
    if not others:
        return f"Its configured power is {own_dbm:.1f} dBm {mark}."
    same = all(abs(other - own_dbm) < 0.1 for other in others)
    return f"Its configured power is {own_dbm:.1f} dBm {mark}, {'the same as' if same else 'unlike'} its siblings'."


async def _recent_change(context: ToolContext, cell: Entity, since_s: float | None) -> str:
    """Return a sentence about the last change that took effect on this cell in the day before the trouble."""
    until_s = since_s if since_s is not None else context.inventory.now_s
    for change in await context.changes.list(limit=50):
        applied_s = change.applied_at_sim_s
        if applied_s is None or change.state is ChangeState.ROLLED_BACK:
            continue
        if not until_s - _RECENT_S <= applied_s <= until_s + 60.0:
            continue
        action = next((a for a in change.actions if a.entity_id == cell.id), None)
        if action is not None:
            mark = context.ledger.add(
                "changes", entity=change.id, kpi=action.attribute, value=change.id, at_s=applied_s
            )
            label = attribute(action.attribute).label
            return f"{change.id} changed its {label} at {say_at(context, applied_s)} {mark}."
    return ""


def _cause(
    context: ToolContext,
    cell: Entity,
    *,
    own: dict[str, Shift],
    failures: Shift,
    siblings: list[Shift],
    steady: bool,
    link: tuple[str, float] | None,
    changed: bool,
) -> Cause:
    signal_down = any(
        own[name].known and own[name].delta <= -limit for name, limit in ((RSRP, SIGNAL_DROP_DB), (CQI, 2.0))
    )
    if cell.attributes.get("administrativeState") == AdministrativeState.LOCKED.value:
        return Cause(name="the cell is locked", because="its administrative state says so", fix=f"unlock {cell.id}.")
    if signal_down and changed:
        return Cause(
            name="a recent change", because="its signal fell after a setting was changed", fix="undo that change."
        )
    if signal_down and (steady or not siblings):
        return Cause(
            name="a failure in the transmit path (power amplifier, feeder or antenna)",
            because="its signal fell while its siblings, its backhaul and its configured power did not change",
            fix=_compensation(context, cell, own[RSRP]) + " A technician should check amplifier, feeder and antenna.",
        )
    if signal_down:
        return Cause(
            name="a fault of the whole site or interference around it",
            because="all its sectors lost signal together",
            fix="check power supply and cabling of the site.",
        )
    if link is not None and link[1] >= LINK_FULL_PERCENT:
        return Cause(
            name="a full backhaul",
            because="the transport link is loaded while the radio signal is as before",
            fix="give the link more capacity or move traffic to another site.",
        )
    if own[SINR].known and own[SINR].delta <= -SIGNAL_DROP_DB:
        return Cause(
            name="interference",
            because="signal quality fell while signal strength did not",
            fix="look at the power and tilt of the neighbours.",
        )
    if own[LOAD].known and own[LOAD].now >= CELL_FULL_PERCENT:
        return Cause(
            name="radio congestion",
            because="its resource blocks are used up while the signal is as before",
            fix="move users to a neighbour, for example with a little more downtilt.",
        )
    if failures.known and failures.now > 2.0 * max(failures.before, 0.5):
        return Cause(
            name="a signalling fault",
            because="set-ups fail while radio and backhaul look as before",
            fix="check the core network and the cell's baseband.",
        )
    return Cause(
        name="nothing that I can name",
        because="signal, backhaul, load and settings look as before",
        fix="watch it for some more minutes.",
    )


def _compensation(context: ToolContext, cell: Entity, rsrp: Shift) -> str:
    """Say how far the configured power could make up for the loss within the policy."""
    row = attribute("configuredMaxTxPower")
    own_dbm = float(to_native(row.name, cell.attributes.get(row.name, 1.0)))
    lost_db = -rsrp.delta if rsrp.known else SIGNAL_DROP_DB
    room_db = max(0.0, min(math.ceil(lost_db), math.floor(row.policy_high - own_dbm)))
    if room_db < 1.0:
        return f"tilt up the neighbours of {cell.id} to cover for it; its power is at the limit already."
    mark = context.ledger.add("derived", entity=cell.id, kpi="power to make up for the loss", value=room_db, unit="dB")
    return f"raise the power of {cell.id} by {room_db:.0f} dB {mark} for now, or tilt up its neighbours."


async def _explain_link(context: ToolContext, link: Entity) -> list[str]:
    now_s = context.inventory.now_s
    reading = await read_kpi(context, link, kpi(LINK_LOAD), Window(start_s=now_s - _NOW_S, end_s=now_s))
    if math.isnan(reading.value):
        return ["There are no figures of this link in the last ten minutes."]
    told = [_say_link(context, link.id, reading.value)]
    try:
        rows = await context.graph.read("impact_of_link", {"link_id": link.id, "limit": 200})
    except TwinError as exc:
        return [*told, f"Which cells hang on it is unknown: {exc}."]
    mark = context.ledger.add("graph", entity=link.id, kpi="cells behind it", value=float(len(rows)))
    return [*told, f"{len(rows)} cells hang on it {mark}."]


TOOLS: Final = (
    Tool(
        name="explain_alarm",
        description="Why an entity has an alarm or bad figures: probable cause, what was ruled out, what to try.",
        input_model=MaybeEntity,
        run=explain_alarm,
        timeout_s=10.0,
        examples=("Why does cell 7-2 have an alarm?", "What is wrong with 7-2?"),
    ),
)
