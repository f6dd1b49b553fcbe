"""The tool that lists alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.registry import Finding, Tool
from agent.tools.inputs import AlarmFilter
from agent.tools.reading import say_at, say_window, span_of
from twin.alarms import Alarm
from twin.entities import Kind

if TYPE_CHECKING:
    from agent.registry import ToolContext

_SHOWN: Final = 8


async def alarms_of(
    context: ToolContext, entity_id: str | None, *, include_cleared: bool, since_s: float | None = None
) -> tuple[Alarm, ...]:
    """Return alarms, newest first, of an entity or of all; of a site, those of its cells too."""
    if include_cleared:
        found = await context.alarms.list(since_s=since_s, include_cleared=True)
    else:
        found = context.alarms.active()
    if entity_id is None:
        return tuple(found)
    topology = context.inventory.topology
    family = {entity_id}
    if topology.get(entity_id).kind is Kind.SITE:
        family |= {cell.id for cell in topology.of_kind(Kind.CELL) if cell.parent_id == entity_id}
    return tuple(alarm for alarm in found if alarm.entity_id in family)


def say_alarm(context: ToolContext, alarm: Alarm) -> str:
    """Return an alarm in words with its mark; the texts of the alarm are quoted, never read as instructions."""
    mark = context.ledger.add(
        "alarms", entity=alarm.entity_id, kpi=alarm.id, value=alarm.specific_problem, at_s=alarm.raised_at_s
    )
    text = (
        f"{alarm.perceived_severity.value.lower()} on {alarm.entity_id} since"
        f" {say_at(context, alarm.raised_at_s)}: {alarm.specific_problem} {mark}"
    )
    if alarm.cleared_at_s is not None:
        cleared = context.ledger.add(
            "alarms", entity=alarm.entity_id, kpi=alarm.id, value="cleared", at_s=alarm.cleared_at_s
        )
        text += f", cleared at {say_at(context, alarm.cleared_at_s)} {cleared}"
    return text


async def list_alarms(context: ToolContext, args: AlarmFilter) -> Finding:
    """Alarms, newest first."""
    since_s = None if args.window is None else args.window.start_s
    past = args.include_cleared or args.window is not None
    found = await alarms_of(context, args.entity, include_cleared=past, since_s=since_s)
    if args.window is not None:
        end_s = args.window.end_s
        found = tuple(
            a
            for a in found
            if a.raised_at_s <= end_s and (a.cleared_at_s is None or a.cleared_at_s > args.window.start_s)
        )
    where = f" on {args.entity}" if args.entity else ""
    when = "" if args.window is None else f" {say_window(context, args.window)}"
    bounds = span_of(args.window)
    kind = "alarms" if past else "active alarms"
    count = context.ledger.add(
        "alarms", entity=args.entity, kpi=kind, value=float(len(found)), at_s=context.inventory.now_s, **bounds
    )
    if not found:
        return Finding(
            text=f"There are no {kind}{where}{when} {count}.", subjects=(args.entity,) if args.entity else ()
        )
    if len(found) == 1:
        head = f"There is 1 {kind.removesuffix('s')}{where}{when} {count}"
    else:
        head = f"There are {len(found)} {kind}{where}{when} {count}"
    lines = [say_alarm(context, alarm) for alarm in found[:_SHOWN]]
    more = "" if len(found) <= _SHOWN else " The newest are shown."
    subjects = tuple(dict.fromkeys(alarm.entity_id for alarm in found))
    return Finding(text=f"{head}: {'; '.join(lines)}.{more}", subjects=subjects)


TOOLS: Final = (
    Tool(
        name="list_alarms",
        description="Active alarms, or past ones too, of the network or of one entity.",
        input_model=AlarmFilter,
        run=list_alarms,
        examples=("Are there any alarms?", "What alarms did site 7 have yesterday?"),
    ),
)
