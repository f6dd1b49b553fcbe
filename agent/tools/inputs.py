"""Argument models of the tools. Ids are canonical (`cell-7-2`), KPIs by their 3GPP name, times simulated seconds."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from twin.entities import Kind, Position


class Arguments(BaseModel):
    """Base of all arguments: nothing unknown is accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Window(Arguments):
    """A stretch of simulated time, (start, end]."""

    start_s: float
    end_s: float

    @model_validator(mode="after")
    def _forward(self) -> Window:
        if self.end_s < self.start_s:
            raise ValueError("the window ends before it starts")
        return self


class OneEntity(Arguments):
    """One entity."""

    entity: str


class MaybeEntity(Arguments):
    """One entity, or the whole network."""

    entity: str | None = None


class EntityKpi(Arguments):
    """A KPI of an entity over a window."""

    entity: str
    kpi: str
    window: Window


class Ranking(Arguments):
    """The entities of a kind with the largest or smallest values; `bottom` = smallest numbers."""

    kind: Kind
    kpi: str
    order: Literal["top", "bottom"] = "top"
    count: int = Field(default=5, ge=1, le=50)
    window: Window


class Aggregate(Arguments):
    """One figure over all entities of a kind."""

    kind: Kind
    kpi: str
    function: Literal["mean", "sum", "min", "max", "median"] = "mean"
    window: Window


class AlarmFilter(Arguments):
    """Which alarms."""

    entity: str | None = None
    include_cleared: bool = False
    window: Window | None = None


class TwoEntities(Arguments):
    """Two ends."""

    entity_a: str
    entity_b: str


class Comparison(Arguments):
    """One KPI of two entities."""

    entity_a: str
    entity_b: str
    kpi: str
    window: Window


class Served(Arguments):
    """A UE, building or place, or a point."""

    entity: str | None = None
    position_m: Position | None = None

    @model_validator(mode="after")
    def _one(self) -> Served:
        if self.entity is None and self.position_m is None:
            raise ValueError("name a thing or a position")
        return self


class Counting(Arguments):
    """Which kind, and near what."""

    kind: Kind
    near: str | None = None
    radius_m: float = Field(default=500.0, gt=0, le=20_000)


class ChangeFilter(Arguments):
    """Which changes."""

    entity: str | None = None
    window: Window | None = None


class MaybeChange(Arguments):
    """A change, or the last one."""

    change_id: str | None = None


class NoArguments(Arguments):
    """Nothing to say."""


class OneCell(Arguments):
    """One cell."""

    cell: str


class WhatIfChange(Arguments):
    """One change of one cell to try out: a tilt, a power or a lock; absolute or relative."""

    cell: str
    tilt_deg: float | None = None
    delta_deg: float | None = None
    tx_power_dbm: float | None = None
    delta_db: float | None = None
    administrative_state: Literal["LOCKED", "UNLOCKED"] | None = None

    @model_validator(mode="after")
    def _one(self) -> WhatIfChange:
        given = (self.tilt_deg, self.delta_deg, self.tx_power_dbm, self.delta_db, self.administrative_state)
        if sum(one is not None for one in given) != 1:
            raise ValueError("give one of tilt_deg, delta_deg, tx_power_dbm, delta_db, administrative_state")
        return self


class AttributeChange(Arguments):
    """One managed attribute of one entity, in its 3GPP name and unit."""

    entity: str
    attribute: str
    value: float | str


class TiltChange(Arguments):
    """An absolute tilt or a difference; positive is downwards."""

    cell: str
    tilt_deg: float | None = None
    delta_deg: float | None = None

    @model_validator(mode="after")
    def _one(self) -> TiltChange:
        if (self.tilt_deg is None) == (self.delta_deg is None):
            raise ValueError("give either tilt_deg or delta_deg")
        return self


class PowerChange(Arguments):
    """An absolute power or a difference."""

    cell: str
    tx_power_dbm: float | None = None
    delta_db: float | None = None

    @model_validator(mode="after")
    def _one(self) -> PowerChange:
        if (self.tx_power_dbm is None) == (self.delta_db is None):
            raise ValueError("give either tx_power_dbm or delta_db")
        return self
