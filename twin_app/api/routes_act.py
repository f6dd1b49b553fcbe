"""Acting: ask, propose, approve, reject, undo, faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from agent.question import AgentEvent, Question
from twin.commands import SetAttribute
from twin.control import Change
from twin.errors import TwinError
from twin.naming import resolve
from twin_app.access import Caller, Scope
from twin_app.api.deps import (
    Approver,
    Cursor,
    IdempotencyKey,
    Instructor,
    Limit,
    Observer,
    Proposer,
    SceneName,
    ThisWorld,
    page_of,
    sound_text,
    twin_of,
)
from twin_app.api.models import PROBLEMS, ActionBody, ApproveBody, ChangeBody, FaultBody, RejectBody, WhatIfBody
from twin_app.api.problems import status_of
from twin_app.change_json import change_line, change_to_json
from twin_app.what_if_json import run_to_json
from twin_app.world import World

_log = structlog.get_logger("twin_app.api")

router = APIRouter(prefix="/v1", responses=PROBLEMS, dependencies=[Depends(sound_text)])


@router.post("/ask", summary="Ask in plain words", tags=["ask"])
async def ask(request: Request, caller: Observer, question: Question, scene: SceneName = None) -> Response:
    """The answer with its evidence; with `Accept: text/event-stream` also the way to it, step by step.

    The scene stands in `?scene=` or in the question's context.
    """
    world = twin_of(request).world(scene or question.context.scene)
    if "text/event-stream" in request.headers.get("accept", ""):
        return StreamingResponse(
            _answer_stream(world, question, caller),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )
    answer = await world.ask(question, caller=caller)
    return JSONResponse(answer.to_json())


async def _answer_stream(world: World, question: Question, caller: Caller) -> AsyncIterator[str]:
    queue: asyncio.Queue[AgentEvent | None] = asyncio.Queue(1_000)
    task = asyncio.create_task(world.ask(question, caller=caller, on_event=queue.put_nowait))
    task.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while (event := await queue.get()) is not None:
            if event.name not in {"result", "error"}:  # these two are said once, below
                yield f"event: {event.name}\ndata: {json.dumps(event.facts)}\n\n"
        try:
            answer = task.result()
        except TwinError as error:
            fault = {"status": status_of(error), "kind": type(error).__name__, "detail": str(error)}
            yield f"event: error\ndata: {json.dumps(fault)}\n\n"
        except Exception as error:  # noqa: BLE001  (the stream has begun: a 500 can no longer be sent)
            _log.error("question_failed", exc_info=error)
            fault = {"status": 500, "kind": "Internal", "detail": "something went wrong inside the twin; see its log"}
            yield f"event: error\ndata: {json.dumps(fault)}\n\n"
        else:
            yield f"event: result\ndata: {json.dumps(answer.to_json())}\n\n"
    finally:
        task.cancel()  # the asker went away


@router.get("/changes", summary="Changes, newest first", tags=["change"])
async def changes(_: Observer, world: ThisWorld, cursor: Cursor = None, limit: Limit = 100) -> dict[str, Any]:
    """Every change with its plan, digest, state, predicted and measured effect."""
    page = page_of(await world.changes.list(limit=10_000), cursor=cursor, limit=limit)
    page["items"] = [
        change_line(c, world.inventory.civil, progress=world.changes.progress(c.id)) for c in page["items"]
    ]
    return page


@router.get("/changes/{change_id}", summary="One change", tags=["change"])
async def change(_: Observer, world: ThisWorld, change_id: str) -> dict[str, Any]:
    """The change as it stands, with every figure that the shadow twin looked at."""
    found = await world.changes.get(change_id)
    return change_to_json(found, world.inventory.civil, progress=world.changes.progress(change_id))


@router.post("/changes", summary="Propose a change", tags=["change"], status_code=201)
async def propose(
    caller: Proposer, world: ThisWorld, body: ChangeBody, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Checked against range and policy; nothing is applied before somebody approves.

    The answer is `proposed`; the shadow twin tries it out and makes it `validated` seconds later, with a new digest.
    """
    made = await world.changes.propose(
        reason=body.reason,
        actions=_actions(body.actions, world),
        proposed_by=caller.name,
        base_revision=body.base_revision,
        idempotency_key=idempotency_key,
    )
    return _shown(made, world)


@router.post("/changes/{change_id}/approve", summary="Approve what you saw", tags=["change"])
async def approve(caller: Approver, world: ThisWorld, change_id: str, body: ApproveBody) -> dict[str, Any]:
    """409 when its shadow still runs or predicts harm, or the digest differs, is stale or used.

    The change is carried out at once; watch its state.
    """
    made = await world.changes.approve(change_id, caller=caller, digest=body.digest, despite_shadow=body.despite_shadow)
    return change_to_json(made, world.inventory.civil)


@router.post("/changes/{change_id}/reject", summary="Reject a proposal", tags=["change"])
async def reject(caller: Approver, world: ThisWorld, change_id: str, body: RejectBody) -> dict[str, Any]:
    """The change ends as rejected."""
    made = await world.changes.reject(change_id, caller=caller, reason=body.reason)
    return change_to_json(made, world.inventory.civil)


@router.post("/changes/{change_id}/undo", summary="Propose the inverse", tags=["change"], status_code=201)
async def undo(caller: Proposer, world: ThisWorld, change_id: str) -> dict[str, Any]:
    """A new change with `undoes`; it needs approval like any other."""
    return _shown(await world.changes.undo(change_id, proposed_by=caller.name), world)


@router.post("/what-if", summary="Try changes out on a copy of the network", tags=["change"], status_code=202)
async def what_if(caller: Proposer, world: ThisWorld, body: WhatIfBody) -> dict[str, Any]:
    """Runs the network on from its present state with and without the changes; nothing is proposed or applied.

    Look at `GET /v1/what-if/{id}` for progress and result.
    """
    run = world.shadow.start(
        _actions(body.actions, world), started_by=caller.name, horizon_s=body.horizon_s, seeds=body.seeds
    )
    return run_to_json(run, world.inventory.civil)


@router.get("/what-if/{run_id}", summary="Progress and result of a what-if", tags=["change"])
async def what_if_run(_: Observer, world: ThisWorld, run_id: str) -> dict[str, Any]:
    """`state` is running, done, failed or cancelled; `result` has each figure with its interval."""
    return run_to_json(world.shadow.get(run_id), world.inventory.civil)


@router.delete("/what-if/{run_id}", summary="Stop a what-if", tags=["change"])
async def stop_what_if(caller: Proposer, world: ThisWorld, run_id: str) -> dict[str, Any]:
    """One's own, as approver everybody's; one that has ended stays as it is."""
    may_all = Scope.APPROVE in caller.scopes
    return run_to_json(await world.shadow.cancel(run_id, by=caller.name, may_all=may_all), world.inventory.civil)


def _actions(bodies: list[ActionBody], world: World) -> list[SetAttribute]:
    topology = world.inventory.topology
    return [
        SetAttribute(entity_id=resolve(body.entity, topology).id, attribute=body.attribute, value=body.value)
        for body in bodies
    ]


def _shown(change: Change, world: World) -> dict[str, Any]:
    return change_to_json(change, world.inventory.civil, progress=world.changes.progress(change.id))


@router.post("/faults", summary="Inject or clear a fault (instructors)", tags=["faults"], status_code=202)
async def fault(
    caller: Instructor, world: ThisWorld, body: FaultBody, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """The label stays with the instructor: agent and detector never see it."""
    entity = resolve(body.entity, world.inventory.topology)
    return await world.faults.manage(
        body.operation, body.fault, entity.id, body.severity, issued_by=caller.name, key=idempotency_key
    )


@router.get("/faults", summary="The fault catalogue and what is injected (instructors)", tags=["faults"])
async def faults(_: Instructor, world: ThisWorld) -> dict[str, Any]:
    """The catalogue, and what is injected with cause, place, time, and the orders that repair it."""
    return world.faults.document()
