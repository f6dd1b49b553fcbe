"""Bodies that REST takes and gives, as OpenAPI shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict

from twin.control import MAX_ACTIONS


class Body(BaseModel):
    """What somebody sends: no more fields than are known."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)


class ActionBody(Body):
    """One attribute to change, in its 3GPP name and unit."""

    entity: str = Field(examples=["cell-7-2"], description="Id, DN or alias.")
    attribute: str = Field(examples=["digitalTilt"])
    value: Annotated[float, Strict()] | str = Field(examples=[80])


class ChangeBody(Body):
    """A proposal."""

    reason: str = Field(default="", max_length=1_000, examples=["less overlap with site 8"])
    actions: Annotated[list[ActionBody], Field(min_length=1, max_length=MAX_ACTIONS)]
    base_revision: int | None = Field(default=None, description="Refuse if the topology has moved on from this.")


class WhatIfBody(Body):
    """Changes to try out on a copy of the network."""

    actions: Annotated[list[ActionBody], Field(min_length=1, max_length=MAX_ACTIONS)]
    horizon_s: float | None = Field(
        default=None, ge=5, le=900, description="Simulated seconds to look ahead; TWIN_SHADOW__HORIZON_S by default."
    )
    seeds: int | None = Field(
        default=None, ge=1, le=32, description="Runs with and without; TWIN_SHADOW__SEEDS by default."
    )


class ApproveBody(Body):
    """What the approver saw."""

    digest: str | None = Field(default=None, description="Digest of the change; only the local user may leave it out.")
    despite_shadow: bool = Field(
        default=False, description="Approve although the shadow twin predicts harm; the journal keeps that."
    )


class RejectBody(Body):
    """Why not."""

    reason: str = Field(default="", max_length=1_000)


class FaultBody(Body):
    """A fault of the catalogue for instructors."""

    fault: str = Field(examples=["power-loss"])
    entity: str = Field(examples=["cell-7-2"])
    severity: float | None = Field(default=None, ge=0, le=1, description="0 mild .. 1 worst; absent = drawn.")
    operation: Literal["inject", "clear"] = "inject"


class Problem(BaseModel):
    """RFC 9457 problem."""

    type: str
    title: str
    status: int
    detail: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "content": {"application/problem+json": {}}, "description": text}
    for code, text in {
        400: "The body is no text, or there are several scenes and none was named.",
        401: "A token is needed.",
        403: "Not allowed, or not from here.",
        404: "No such thing.",
        409: "The world moved on.",
        413: "Too large.",
        415: "Send application/json.",
        422: "The request cannot be meant.",
        429: "Too much at once.",
        503: "A part is away.",
        504: "It took too long.",
    }.items()
}
"""Documented with every route."""
