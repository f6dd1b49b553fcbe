"""A small real world for the agent's tests: generated city, journal, graph, alarms and change desk as shipped.

Only the scene is made up: figures computed by hand, with the signature of a power loss on `cell-7-2`.
"""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np

from agent.agent import Agent
from agent.planner import load_planner
from knowledge_graph.embedded import EmbeddedGraph
from knowledge_graph.projection import GraphPicture
from twin.alarms import AlarmEvidence, Severity
from twin.clock import CivilTime
from twin.commands import Command, CommandResult, CommandStage, SetAttributes
from twin.control import Change
from twin.entities import Kind
from twin.kpi import kpis_of
from twin.ports import WhatIf
from twin.telemetry import PmReport, TelemetryBatch
from twin.testing import MemoryJournal, MemoryTelemetryStore
from twin_app.alarm_log import JournaledAlarmLog
from twin_app.change_desk import ChangeDesk, Judge
from twin_app.inventory import LiveInventory
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.settings import ApprovalSettings, GrpcSettings

SCENARIO = build_scenario(ScenarioSpec(num_ues=60))
NOW_S = 14 * 86_400.0 + 7_200.0
FAULT_S = NOW_S - 900.0
SICK = "cell-7-2"
CIVIL = CivilTime(epoch=datetime(2026, 11, 7, 7, 0, tzinfo=UTC), timezone=SCENARIO.timezone)
SCOPES = frozenset({"observe", "propose"})
USUAL = {
    "DRB.UEThpDl": 20_000.0,
    "RRU.PrbTotDl": 40.0,
    "RRC.ConnMean": 9.0,
    "vsData6gMeanSsRsrp": -85.0,
    "vsData6gMeanSsSinr": 15.0,
    "vsData6gMeanCqi": 11.0,
    "vsData6gLinkLoad": 30.0,
}


def figure(entity_id: str, kpi: str, at_s: float) -> float:
    """Return the made-up figure: usual value plus a part for each cell, less the loss of the sick one."""
    value = USUAL.get(kpi, 5.0)
    if entity_id.startswith("cell-"):
        site, sector = (int(part) for part in entity_id.split("-")[1:])
        value += 0.1 * site + 0.01 * sector
    if entity_id == SICK and at_s > FAULT_S:
        value -= {"vsData6gMeanSsRsrp": 12.0, "vsData6gMeanCqi": 5.0, "DRB.UEThpDl": 12_000.0}.get(kpi, 0.0)
    return value


class ObedientScene:
    """A scene that does what it is told."""

    async def send(self, command: Command, *, timeout_s: float) -> CommandResult:
        assert isinstance(command.body, SetAttributes)
        assert timeout_s > 0
        return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, observed=command.body.actions)


@dataclass
class AgentWorld:
    """Everything the agent's ports stand on."""

    world: LiveInventory
    store: MemoryTelemetryStore
    graph: EmbeddedGraph
    alarms: JournaledAlarmLog
    changes: ChangeDesk
    agent: Agent


class Foresight(WhatIf, Judge, Protocol):
    """A shadow twin, for questions and for proposals."""


async def _ignore(_: Change) -> None:
    return None


async def _applied(_: tuple[str, ...]) -> None:
    return None


async def _fill(store: MemoryTelemetryStore, world: LiveInventory) -> None:
    entities = [*world.topology.of_kind(Kind.CELL), *world.topology.of_kind(Kind.LINK)]
    counters = tuple(dict.fromkeys(row.name for kind in (Kind.CELL, Kind.LINK) for row in kpis_of(kind)))
    has = {entity.id: {row.name for row in kpis_of(entity.kind)} for entity in entities}
    reports: list[PmReport] = []
    for seq in range(180):
        end_s = NOW_S - 60.0 * (179 - seq)
        values = [
            [figure(entity.id, name, end_s) if name in has[entity.id] else math.nan for name in counters]
            for entity in entities
        ]
        reports.append(
            PmReport(
                scene_id="city",
                epoch=1,
                seq=seq,
                revision=1,
                granularity_period_s=60,
                period_end_sim_time_s=end_s,
                entity_index=np.array([entity.index for entity in entities], np.uint32),
                counters=counters,
                values=np.array(values, np.float32),
            )
        )
    await store.append_pm(reports)
    ues = world.topology.of_kind(Kind.UE)
    cells = world.topology.of_kind(Kind.CELL)
    nearest = [min(cells, key=lambda cell: math.dist(cell.position_m[:2], ue.position_m[:2])).index for ue in ues]
    kpis = tuple(row.name for row in kpis_of(Kind.UE))
    row_of = {"vsData6gServingCell": nearest, "RF.serving.RSRP": [-90.0 - n % 5 for n in range(len(ues))]}
    for step in range(3):
        store.put_telemetry(
            TelemetryBatch(
                scene_id="city",
                epoch=1,
                seq=step,
                revision=1,
                sim_time_s=NOW_S - 2.0 + step,
                entity_index=np.array([ue.index for ue in ues], np.uint32),
                position_m=np.array([ue.position_m for ue in ues], np.float32),
                kpis=kpis,
                values=np.array([row_of.get(name, [10.0] * len(ues)) for name in kpis], np.float32).T.copy(),
            )
        )


@asynccontextmanager
async def agent_world(
    *, planner: str = "auto", sick: bool = True, foresight: Foresight | None = None
) -> AsyncIterator[AgentWorld]:
    """Open the world; `planner` is `auto`, `minilm` or `linear`, `foresight` tries changes out where it is given."""
    journal = MemoryJournal()
    world = LiveInventory(scenario=SCENARIO, scene_id="city", civil=CIVIL, journal=journal)
    world.history_progress = 1.0
    world.note_time(NOW_S)
    store = MemoryTelemetryStore(world.topology)
    await _fill(store, world)
    alarms = JournaledAlarmLog(journal, scene_id="city")
    if sick:
        await alarms.raise_alarm(
            entity_id=SICK,
            dn=world.topology.get(SICK).dn,
            probable_cause="performanceDegraded",
            severity=Severity.MAJOR,
            event_type="qualityOfServiceAlarm",
            specific_problem="signal strength is far below its usual level",
            at_s=FAULT_S + 60.0,
            evidence=(AlarmEvidence(kpi="vsData6gMeanSsRsrp", value=-96.3, expected=-84.3, unit="dBm", score=9.0),),
        )
    changes = ChangeDesk(
        inventory=world,
        journal=journal,
        link=ObedientScene(),
        store=store,
        approval=ApprovalSettings(),
        grpc=GrpcSettings(),
        on_change=_ignore,
        on_applied=_applied,
        shadow=foresight,
    )
    await changes.restore()
    graph = EmbeddedGraph()
    await graph.start()
    await graph.rebuild(
        GraphPicture(scene_id="city", scenario=SCENARIO, topology=world.topology, alarms=alarms.active(), changes=())
    )
    agent = Agent(
        inventory=world,
        store=store,
        graph=graph,
        alarms=alarms,
        changes=changes,
        what_if=foresight,
        planner=load_planner(kind=planner),  # pyright: ignore[reportArgumentType]
    )
    try:
        yield AgentWorld(world=world, store=store, graph=graph, alarms=alarms, changes=changes, agent=agent)
    finally:
        await agent.close()
        await changes.close()
        await graph.close()
