"""Tools about changes: list them, tell their effect, and propose new ones. None of them approves anything."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from agent.registry import Finding, Tool
from agent.tools.inputs import AttributeChange, ChangeFilter, MaybeChange, OneCell, PowerChange, TiltChange
from agent.tools.reading import say, say_at, span_of
from agent.tools.what_if import say_prediction
from twin.attributes import AttributeValue, attribute, to_managed, to_native
from twin.commands import SetAttribute
from twin.control import Advice, Change, ChangeState, PlannedAction
from twin.entities import Kind
from twin.errors import InvalidInput, NotFound
from twin.kpi import kpi

if TYPE_CHECKING:
    from agent.registry import ToolContext

_SHOWN: Final = 6
SHADOW_WAIT_S: Final = 1.5
"""How long an answer waits for the shadow twin; what it says later stands in the change."""
_LOOK_S: Final = 0.05


def _say_action(context: ToolContext, change_id: str, action: PlannedAction) -> str:
    """Return one action in words, both values with their marks."""
    row = attribute(action.attribute)
    parts: list[str] = []
    for label, value in (("old", action.old_value), ("new", action.value)):
        native = to_native(action.attribute, value)
        shown = native if isinstance(native, str) else f"{native:.1f} {row.native_unit}".rstrip()
        mark = context.ledger.add(
            "changes",
            entity=action.entity_id,
            kpi=f"{action.attribute} ({label}, {change_id})",
            value=native,
            unit=row.native_unit,
        )
        parts.append(f"{shown} {mark}")
    return f"{row.label} of {action.entity_id} from {parts[0]} to {parts[1]}"


async def list_changes(context: ToolContext, args: ChangeFilter) -> Finding:
    """Changes, newest first."""
    found = [
        change
        for change in await context.changes.list(limit=200)
        if args.entity is None or any(_concerns(context, a.entity_id, args.entity) for a in change.actions)
    ]
    if args.window is not None:
        found = [c for c in found if args.window.start_s < c.proposed_at_sim_s <= args.window.end_s]
    where = f" of {args.entity}" if args.entity else ""
    bounds = span_of(args.window)
    mark = context.ledger.add("changes", entity=args.entity, kpi="changes", value=float(len(found)), **bounds)
    if not found:
        return Finding(text=f"There are no changes{where}{' in that time' if args.window else ''} {mark}.")
    head = "There is 1 change" if len(found) == 1 else f"There are {len(found)} changes"
    lines: list[str] = []
    for change in found[:_SHOWN]:
        what = ", ".join(_say_action(context, change.id, action) for action in change.actions[:3])
        state = context.ledger.add(
            "changes", entity=change.id, kpi="state", value=change.state.value, at_s=change.proposed_at_sim_s
        )
        lines.append(
            f"{change.id} proposed at {say_at(context, change.proposed_at_sim_s)} is"
            f" {change.state.value.replace('_', ' ')} {state}: {what}"
        )
    more = "" if len(found) <= _SHOWN else " The newest are shown."
    subjects = tuple(dict.fromkeys(a.entity_id for c in found[:_SHOWN] for a in c.actions))
    return Finding(text=f"{head}{where} {mark}. {'; '.join(lines)}.{more}", subjects=subjects)


def _concerns(context: ToolContext, touched: str, asked: str) -> bool:
    return touched == asked or context.inventory.topology.get(touched).parent_id == asked


async def change_effect(context: ToolContext, args: MaybeChange) -> Finding:
    """What a change did to the figures around it."""
    change = await _change(context, args.change_id)
    subjects = tuple(dict.fromkeys(action.entity_id for action in change.actions))
    what = ", ".join(_say_action(context, change.id, action) for action in change.actions[:3])
    state = context.ledger.add(
        "changes", entity=change.id, kpi="state", value=change.state.value, at_s=change.applied_at_sim_s
    )
    text = f"{change.id} ({what}) is {change.state.value.replace('_', ' ')} {state}."
    if not change.effects:
        why = "it was not applied" if change.applied_at_sim_s is None else "its effect is still being measured"
        foreseen = _say_shadow(context, change)
        return Finding(text=f"{text} There is no measured effect: {why}.{foreseen}", subjects=subjects)
    if change.applied_at_sim_s is not None:
        text += f" Since {say_at(context, change.applied_at_sim_s)}:"
    parts: list[str] = []
    for effect in change.effects:
        if not math.isfinite(effect.before + effect.after):  # nobody was there to measure
            continue
        row = kpi(effect.kpi)
        before = context.ledger.add(
            "changes",
            entity=effect.entity_id,
            kpi=effect.kpi,
            value=effect.before,
            unit=effect.unit,
            end_s=change.applied_at_sim_s,
        )
        after = context.ledger.add(
            "changes",
            entity=effect.entity_id,
            kpi=effect.kpi,
            value=effect.after,
            unit=effect.unit,
            start_s=change.applied_at_sim_s,
            end_s=change.finished_at_sim_s,
        )
        moved = effect.after - effect.before
        verdict = ""
        if row.good != "none" and abs(moved) > 10.0**-row.decimals:
            verdict = ", better" if (moved > 0) == (row.good == "up") else ", worse"
        if effect.as_predicted is False:
            verdict += ", which the shadow twin did not expect"
        parts.append(
            f"{row.label} of {effect.entity_id} from {say(row, effect.before)} {before}"
            f" to {say(row, effect.after)} {after}{verdict}"
        )
    return Finding(text=f"{text} {'; '.join(parts)}.", subjects=subjects)


async def _change(context: ToolContext, change_id: str | None) -> Change:
    if change_id is not None:
        return await context.changes.get(change_id)
    listed = await context.changes.list(limit=50)
    applied = [c for c in listed if c.state in {ChangeState.COMMITTED, ChangeState.VERIFYING, ChangeState.ROLLED_BACK}]
    if not applied and not listed:
        raise NotFound("there is no change yet; propose one first")
    return (applied or list(listed))[0]


async def _propose(context: ToolContext, cell_id: str, name: str, value: AttributeValue) -> Finding:
    entity = context.inventory.topology.get(cell_id)
    if entity.kind is not Kind.CELL:
        raise InvalidInput(f"`{cell_id}` is a {entity.kind.value}; only cells have {attribute(name).label}")
    return await _put_forward(context, SetAttribute(entity_id=cell_id, attribute=name, value=value))


async def _put_forward(context: ToolContext, action: SetAttribute) -> Finding:
    change = await context.changes.propose(
        reason=context.question[:500],
        actions=[action],
        proposed_by=context.caller,
        question_id=context.question_id,
    )
    return await _proposed(context, change)


async def _proposed(context: ToolContext, change: Change) -> Finding:
    change = await _tried_out(context, change)
    what = ", ".join(_say_action(context, change.id, action) for action in change.actions)
    mark = context.ledger.add("changes", entity=change.id, kpi="state", value=change.state.value)
    waits = (
        "is being tried out on a copy of the network" if change.state is ChangeState.PROPOSED else "waits for approval"
    )
    text = f"I propose to change the {what}. It is {change.id} {mark} and {waits}; nothing has changed yet."
    text += _say_shadow(context, change)
    if change.state in {ChangeState.REJECTED, ChangeState.FAILED}:
        text = f"The change of the {what} was {change.state.value} {mark}: {change.outcome or 'no reason is given'}."
    subjects = tuple(dict.fromkeys(action.entity_id for action in change.actions))
    return Finding(text=text, change_id=change.id, subjects=subjects)


async def _tried_out(context: ToolContext, change: Change) -> Change:
    """Return the change as it stands after a moment in which the shadow twin may have tried it out."""
    end = asyncio.get_running_loop().time() + SHADOW_WAIT_S
    while change.state is ChangeState.PROPOSED and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(_LOOK_S)
        change = await context.changes.get(change.id)
    return change


def _say_shadow(context: ToolContext, change: Change) -> str:
    """Return what the shadow twin said, "" when it did not."""
    shadow = change.shadow
    if shadow is None or shadow.report is None:
        return ""
    text = f" {say_prediction(context, shadow.report, most=2)}"
    if shadow.advice is Advice.HARMFUL:
        text += " The shadow twin advises against it: throughput around it would fall by more than is allowed."
    return text


def _current(context: ToolContext, cell_id: str, name: str) -> float:
    entity = context.inventory.topology.get(cell_id)
    if name not in entity.attributes:
        raise InvalidInput(f"`{cell_id}` is a {entity.kind.value} and has no {attribute(name).label}")
    return float(to_native(name, entity.attributes[name]))


async def set_tilt(context: ToolContext, args: TiltChange) -> Finding:
    """Propose another electrical tilt."""
    tilt_deg = args.tilt_deg
    if tilt_deg is None:
        tilt_deg = _current(context, args.cell, "digitalTilt") + (args.delta_deg or 0.0)
    return await _propose(context, args.cell, "digitalTilt", to_managed("digitalTilt", tilt_deg))


async def set_power(context: ToolContext, args: PowerChange) -> Finding:
    """Propose another transmit power."""
    power_dbm = args.tx_power_dbm
    if power_dbm is None:
        power_dbm = _current(context, args.cell, "configuredMaxTxPower") + (args.delta_db or 0.0)
    return await _propose(context, args.cell, "configuredMaxTxPower", to_managed("configuredMaxTxPower", power_dbm))


async def lock_cell(context: ToolContext, args: OneCell) -> Finding:
    """Propose to take a cell out of service."""
    return await _propose(context, args.cell, "administrativeState", "LOCKED")


async def unlock_cell(context: ToolContext, args: OneCell) -> Finding:
    """Propose to put a cell back into service."""
    return await _propose(context, args.cell, "administrativeState", "UNLOCKED")


async def set_attribute(context: ToolContext, args: AttributeChange) -> Finding:
    """Propose another value of any managed attribute."""
    return await _put_forward(context, SetAttribute(entity_id=args.entity, attribute=args.attribute, value=args.value))


async def undo_change(context: ToolContext, args: MaybeChange) -> Finding:
    """Propose the inverse of a committed change."""
    change = await context.changes.undo(args.change_id, proposed_by=context.caller, question_id=context.question_id)
    return await _proposed(context, change)


TOOLS: Final = (
    Tool(
        name="list_changes",
        description="What was changed or proposed, newest first.",
        input_model=ChangeFilter,
        run=list_changes,
        examples=("What has been changed today?", "changes of cell 7-2"),
    ),
    Tool(
        name="change_effect",
        description="The measured effect of a change on the KPIs; of the last one without an id.",
        input_model=MaybeChange,
        run=change_effect,
        examples=("Did that help?", "What did the last change do?"),
    ),
    Tool(
        name="set_tilt",
        description="Propose another electrical tilt: absolute, or relative with delta_deg (down is positive).",
        input_model=TiltChange,
        run=set_tilt,
        effect="propose",
        scope="propose",
        examples=("Set the tilt of cell 7-2 to 8 degrees", "two degrees more on 7-2"),
    ),
    Tool(
        name="set_power",
        description="Propose another transmit power of a cell: absolute in dBm, or relative in dB.",
        input_model=PowerChange,
        run=set_power,
        effect="propose",
        scope="propose",
        examples=("Raise the power of cell 7-2 by 3 dB",),
    ),
    Tool(
        name="lock_cell",
        description="Propose to take a cell out of service.",
        input_model=OneCell,
        run=lock_cell,
        effect="propose",
        scope="propose",
        examples=("Lock cell 7-2",),
    ),
    Tool(
        name="unlock_cell",
        description="Propose to put a cell back into service.",
        input_model=OneCell,
        run=unlock_cell,
        effect="propose",
        scope="propose",
        examples=("Unlock cell 7-2",),
    ),
    Tool(
        name="set_attribute",
        description="Propose another value of any managed attribute, in its 3GPP name and unit.",
        input_model=AttributeChange,
        run=set_attribute,
        effect="propose",
        scope="propose",
        examples=("Set the A3 offset of cell 7-2 to 2 dB", "Allow handover from cell 7-2 to cell 8-1"),
    ),
    Tool(
        name="undo_change",
        description="Propose the inverse of a committed change; of the last one without an id.",
        input_model=MaybeChange,
        run=undo_change,
        effect="propose",
        scope="propose",
        examples=("Undo that", "take back the last change"),
    ),
)
