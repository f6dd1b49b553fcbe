"""One bridge, many scenes: everything goes to the desk of its scene, and to no other."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from twin.alarms import Alarm, Severity
from twin.clock import CivilTime
from twin.commands import SetAttribute
from twin.errors import NotFound
from twin.media import Utterance
from twin.ports import EntityVerdict, OfferedEntity, SceneInfo, SceneStart
from twin.telemetry import PmReport, TelemetryBatch
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.scene_router import SceneRouter

SCENARIO = build_scenario(ScenarioSpec(num_ues=5))
START = SceneStart(
    topology=topology_of(SCENARIO),
    civil=CivilTime(epoch=datetime(2026, 3, 2, 8, tzinfo=UTC), timezone=SCENARIO.timezone),
    resume_at_sim_s=None,
    past_s=0,
    speed=1.0,
    desired=(),
)


class Desk:
    """Writes down what it hears, and of which scene."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def scene_connecting(self, info: SceneInfo) -> SceneStart:
        self.heard.append(("connecting", info.scene_id))
        return START

    def scene_disconnected(self, info: SceneInfo, reason: str) -> None:
        self.heard.append(("disconnected", info.scene_id, reason))

    def scene_live(self, scene_id: str, sim_time_s: float) -> None:
        self.heard.append(("live", scene_id, sim_time_s))

    def telemetry(self, batch: TelemetryBatch) -> None:
        self.heard.append(("telemetry", batch.scene_id))

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        self.heard.append(("pm", report.scene_id))
        done()

    def observed(self, scene_id: str, attributes: Sequence[SetAttribute], sim_time_s: float) -> None:
        self.heard.append(("observed", scene_id, len(attributes), sim_time_s))

    def scene_event(self, scene_id: str, name: str, facts: Mapping[str, Any], sim_time_s: float) -> None:
        self.heard.append(("event", scene_id, name, dict(facts), sim_time_s))

    async def scene_alarm(self, alarm: Alarm) -> None:
        self.heard.append(("alarm", alarm.scene_id, alarm.id))

    def scene_voice(self, utterance: Utterance) -> None:
        self.heard.append(("voice", utterance.scene_id))

    async def contributed(self, scene_id: str, offered: Sequence[OfferedEntity]) -> Sequence[EntityVerdict]:
        self.heard.append(("contributed", scene_id))
        return [EntityVerdict(local_id=one.local_id, entity_id="kiosk-1", index=0) for one in offered]


def info(scene_id: str) -> SceneInfo:
    return SceneInfo(
        scene_id=scene_id, session_id="s", engine="e", engine_version="1", provides=frozenset({"KPI"}), epoch=1
    )


def batch(scene_id: str) -> TelemetryBatch:
    return TelemetryBatch(
        scene_id=scene_id,
        epoch=1,
        seq=1,
        revision=1,
        sim_time_s=1.0,
        entity_index=np.zeros(0, np.uint32),
        position_m=np.zeros((0, 3), np.float32),
        kpis=(),
        values=np.zeros((0, 0), np.float32),
    )


def report(scene_id: str) -> PmReport:
    return PmReport(
        scene_id=scene_id,
        epoch=1,
        seq=1,
        revision=1,
        granularity_period_s=1,
        period_end_sim_time_s=1.0,
        entity_index=np.zeros(0, np.uint32),
        counters=(),
        values=np.zeros((0, 0), np.float32),
    )


async def test_each_desk_hears_its_own_scene() -> None:
    router, campus, harbour = SceneRouter(), Desk(), Desk()
    router.attach("campus", campus)
    router.attach("harbour", harbour)
    stored: list[bool] = []
    kiosk = OfferedEntity(local_id="k", kind="place", name="", position_m=(0.0, 0.0, 0.0))
    speech = Utterance(
        scene_id="harbour", speaker="s", utterance_id="u", sample_rate_hz=16_000, pcm_int16=b"", lost_chunks=0
    )
    start = router.scene_connecting(info("harbour"))
    router.scene_live("harbour", 1.0)
    router.telemetry(batch("harbour"))
    await router.pm(report("harbour"), lambda: stored.append(True))
    router.observed("harbour", (), 2.0)
    router.scene_event("harbour", "touched", {"by": "kim"}, 3.0)
    await router.scene_alarm(
        Alarm(
            id="a1",
            scene_id="harbour",
            entity_id="cell-1-1",
            dn="",
            probable_cause="powerProblem",
            perceived_severity=Severity.MAJOR,
            event_type="equipmentAlarm",
            specific_problem="",
            raised_at_s=3.0,
        )
    )
    router.scene_voice(speech)
    verdicts = await router.contributed("harbour", [kiosk])
    router.scene_disconnected(info("harbour"), "bye")

    assert (START, [True], ["kiosk-1"]) == (start, stored, [one.entity_id for one in verdicts])
    assert [] == campus.heard
    assert [
        ("connecting", "harbour"),
        ("live", "harbour", 1.0),
        ("telemetry", "harbour"),
        ("pm", "harbour"),
        ("observed", "harbour", 0, 2.0),
        ("event", "harbour", "touched", {"by": "kim"}, 3.0),
        ("alarm", "harbour", "a1"),
        ("voice", "harbour"),
        ("contributed", "harbour"),
        ("disconnected", "harbour", "bye"),
    ] == harbour.heard


def test_an_unknown_scene_is_told_which_there_are_and_how_to_add_one() -> None:
    router = SceneRouter()
    router.attach("campus", Desk())
    with pytest.raises(NotFound, match=r"`moon`; scenes: campus.*twin scenes add"):
        router.scene_connecting(info("moon"))


def test_a_removed_scene_is_let_in_no_more_and_may_still_leave() -> None:
    router, campus = SceneRouter(), Desk()
    router.attach("campus", campus)
    router.detach("campus")
    router.scene_disconnected(info("campus"), "removed")
    with pytest.raises(NotFound):
        router.scene_connecting(info("campus"))
    assert [] == campus.heard
