"""The tool that tries a change out on a copy of the network: nothing is proposed, nothing is changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from agent.registry import Finding, Tool
from agent.tools.inputs import WhatIfChange
from agent.tools.reading import say
from twin.attributes import attribute, to_managed, to_native
from twin.commands import SetAttribute
from twin.entities import Kind
from twin.errors import DeadlineExceeded, InvalidInput, ShadowUnavailable
from twin.what_if_report import CONFIDENCE, Verdict

if TYPE_CHECKING:
    from agent.registry import ToolContext
    from twin.what_if_report import Delta, WhatIfReport

HORIZON_S: Final = 30.0
"""Shorter than for a proposal: somebody waits for the answer."""
PATIENCE_S: Final = 20.0
MOST_SAID: Final = 4

_VERDICTS: Final = {Verdict.BETTER: ", better", Verdict.WORSE: ", worse", Verdict.UNCLEAR: ", which is not sure at all"}


async def what_if(context: ToolContext, args: WhatIfChange) -> Finding:
    """What a change would do, with how sure that is."""
    if context.what_if is None:
        raise ShadowUnavailable("there is nothing here to try changes out on")
    action = _action(context, args)
    try:
        async with asyncio.timeout(PATIENCE_S):
            report = await context.what_if.foresee([action], horizon_s=HORIZON_S)
    except TimeoutError:
        raise DeadlineExceeded(
            "the shadow twin is busy; ask again in a moment, or propose the change: it is tried out before anybody"
            " can approve it"
        ) from None
    row = attribute(action.attribute)
    old = to_native(row.name, context.inventory.topology.get(action.entity_id).attributes[row.name])
    new = to_native(row.name, action.value)
    marks = [
        context.ledger.add(
            "what-if", entity=action.entity_id, kpi=f"{row.name} ({label})", value=value, unit=row.native_unit
        )
        for label, value in (("now", old), ("tried", new))
    ]
    shown = [value if isinstance(value, str) else f"{value:.1f} {row.native_unit}" for value in (old, new)]
    text = (
        f"I tried {row.label} of {action.entity_id} from {shown[0]} {marks[0]} to {shown[1]} {marks[1]} on a copy of"
        f" the network. {say_prediction(context, report)} Nothing was changed."
    )
    return Finding(text=text, subjects=(action.entity_id,))


def say_prediction(context: ToolContext, report: WhatIfReport, *, most: int = MOST_SAID) -> str:
    """Return what a report says first, as sentences with marks."""
    ahead = context.ledger.add("what-if", kpi="horizon", value=report.horizon_s, unit="s", at_s=report.sim_time_s)
    runs = context.ledger.add("what-if", kpi="runs with and without", value=float(len(report.seeds)))
    sure = context.ledger.add("what-if", kpi="confidence", value=100.0 * CONFIDENCE, unit="%")
    head = f"Over {report.horizon_s:.0f} s {ahead} in {len(report.seeds)} runs {runs} with and without it"
    told = "; ".join(_say(context, one) for one in report.main(most=most))
    near = "" if report.fidelity == "state" else " The scene gave no state, so this is only approximate."
    return f"{head}: {told}. Brackets hold the {100.0 * CONFIDENCE:.0f}% {sure} interval.{near}"


def _say(context: ToolContext, found: Delta) -> str:
    row = found.row

    def mark(label: str, value: float | None) -> str:
        if value is None:
            return "an unknown value"
        noted = context.ledger.add(
            "what-if", entity=found.entity_id or None, kpi=f"{found.kpi} ({label})", value=value, unit=found.unit
        )
        return f"{say(row, value)} {noted}"

    if found.verdict is Verdict.VANISHES:
        return f"{found.name}, now {mark('without', found.base)}, is not measured any more"
    if found.verdict is Verdict.APPEARS:
        return f"{found.name}, not measured now, becomes {mark('with', found.changed)}"
    if found.verdict is Verdict.UNCHANGED or found.delta is None:
        return f"{found.name} stays at {mark('without', found.base)}"
    moves = "rises" if found.delta > 0 else "falls"
    text = f"{found.name} {moves} by {mark('difference', abs(found.delta))}"
    if found.low is not None:
        text += f" ({mark('low', found.low)} to {mark('high', found.high)})"
    return f"{text} from {mark('without', found.base)}{_VERDICTS.get(found.verdict, '')}"


def _action(context: ToolContext, args: WhatIfChange) -> SetAttribute:
    cell = context.inventory.topology.get(args.cell)
    if cell.kind is not Kind.CELL:
        raise InvalidInput(f"`{cell.id}` is a {cell.kind.value}; I try out changes of cells")
    if args.administrative_state is not None:
        return SetAttribute(entity_id=cell.id, attribute="administrativeState", value=args.administrative_state)
    tilts = args.tilt_deg is not None or args.delta_deg is not None
    name = "digitalTilt" if tilts else "configuredMaxTxPower"
    value, delta = (args.tilt_deg, args.delta_deg) if tilts else (args.tx_power_dbm, args.delta_db)
    if value is None:
        value = float(to_native(name, cell.attributes[name])) + (delta or 0.0)
    return SetAttribute(entity_id=cell.id, attribute=name, value=to_managed(name, value))


TOOLS: Final = (
    Tool(
        name="what_if",
        description="Try a tilt, power or lock change of one cell out on a copy of the network; nothing is changed.",
        input_model=WhatIfChange,
        run=what_if,
        scope="propose",
        timeout_s=PATIENCE_S + 5.0,
        examples=("What would happen if I tilt cell 7-2 to 8 degrees?", "Would it help to lock cell 7-2?"),
    ),
)
