"""Values of the twin survive the wire; what cannot be meant is refused."""

from dataclasses import replace

import numpy as np
import pytest

from bridge import codec, mapping
from twin.alarms import Alarm, AlarmEvidence, Severity
from twin.commands import (
    Command,
    CommandResult,
    CommandStage,
    ManageFault,
    MoveCamera,
    Overlay,
    SetAttribute,
    SetAttributes,
    SimulationControl,
    Spawn,
)
from twin.entities import Kind
from twin.errors import ProtocolError
from twin.telemetry import PmReport, TelemetryBatch
from twin.topology import Entity


def carried(message: codec.M) -> codec.M:
    return type(message).FromString(message.SerializeToString())


def batch(*, position_m: np.ndarray | None) -> TelemetryBatch:
    return TelemetryBatch(
        scene_id="main",
        epoch=2,
        seq=11,
        revision=3,
        sim_time_s=4.5,
        entity_index=np.array([1, 4], dtype=np.uint32),
        position_m=position_m,
        kpis=("RF.serving.RSRP", "DRB.UEThpDl"),
        values=np.array([[-80.5, np.nan], [-95.0, 1200.0]], dtype=np.float32),
    )


@pytest.mark.parametrize("position_m", [None, np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32)])
def test_telemetry_comes_back_as_it_was(position_m: np.ndarray | None) -> None:
    sent = batch(position_m=position_m)
    request = codec.ConnectRequest()
    mapping.write_telemetry(request.telemetry, sent)

    read = mapping.read_telemetry(carried(request).telemetry)

    assert (read.scene_id, read.epoch, read.seq, read.revision, read.sim_time_s, read.kpis) == (
        sent.scene_id,
        sent.epoch,
        sent.seq,
        sent.revision,
        sent.sim_time_s,
        sent.kpis,
    )
    np.testing.assert_array_equal(read.entity_index, sent.entity_index)
    np.testing.assert_array_equal(read.values, sent.values)
    if position_m is None:
        assert read.position_m is None
    else:
        np.testing.assert_array_equal(read.position_m, position_m)


def test_a_pm_report_comes_back_as_it_was() -> None:
    request = codec.ConnectRequest()
    mapping.write_pm(
        request.pm_report,
        PmReport(
            scene_id="",
            epoch=1,
            seq=5,
            revision=1,
            granularity_period_s=900,
            period_end_sim_time_s=1800.0,
            entity_index=np.array([7], dtype=np.uint32),
            counters=("RRC.ConnMean",),
            values=np.array([[2.5]], dtype=np.float32),
        ),
    )

    read = mapping.read_pm(carried(request).pm_report, scene_id="harbour")

    assert (read.scene_id, read.granularity_period_s, read.period_end_sim_time_s) == ("harbour", 900, 1800.0)
    assert read.values.tolist() == [[2.5]]


def test_lists_that_do_not_fit_together_are_refused() -> None:
    request = codec.ConnectRequest()
    mapping.write_telemetry(request.telemetry, batch(position_m=None))
    request.telemetry.kpis.append("one too many")

    with pytest.raises(ProtocolError, match="`4` numbers for `2` entities of `3` columns"):
        mapping.read_telemetry(request.telemetry)


def test_a_period_without_length_is_refused() -> None:
    with pytest.raises(ProtocolError, match="granularity_period_s"):
        mapping.read_pm(codec.ConnectRequest().pm_report)


@pytest.mark.parametrize(
    "body",
    [
        SetAttributes(
            actions=(
                SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=60.0),
                SetAttribute(entity_id="cell-1-1", attribute="administrativeState", value="LOCKED"),
            )
        ),
        SetAttributes(actions=()),
        ManageFault(operation="inject", fault="power-loss", entity_id="cell-1-1", severity=0.5),
        ManageFault(operation="clear", fault="power-loss", entity_id="cell-1-1", severity=1.0),
        SimulationControl(operation="pause"),
        SimulationControl(operation="speed", speed=4.0),
        SimulationControl(operation="reset", seed=9),
        Overlay(
            overlay_id="o1", operation="show", entity_ids=("ue-1",), text="here", position_m=(1.0, 2.0, 3.0), ttl_s=5
        ),
        Overlay(overlay_id="o1", operation="clear"),
        MoveCamera(camera_id="c1", target_m=(1.0, 2.0, 3.0), distance_m=40.0, azimuth_deg=90.0, pitch_down_deg=30.0),
        MoveCamera(entity_id="cell-1-1"),
        Spawn(archetype="van", entity_id="van-1", position_m=(1.0, 2.0, 3.0), rotation=(0.0, 0.0, 0.0, 1.0)),
        Spawn(archetype="", entity_id="van-1"),
    ],
)
def test_every_command_comes_back_as_it_was(body: object) -> None:
    command = Command(
        id="c1",
        body=body,  # type: ignore[arg-type]
        issued_by="local:ana",
        deadline_unix_ns=123456789,
        expected_revision=4,
        dry_run=True,
        change_id="change-1",
    )
    response = codec.ConnectResponse()
    mapping.write_command(response.command, command)

    assert mapping.read_command(carried(response).command) == command


def test_a_command_of_an_unknown_kind_is_refused() -> None:
    response = codec.ConnectResponse()
    response.command.id = "c1"

    with pytest.raises(ProtocolError, match="`None`, which is not supported"):
        mapping.read_command(response.command)


def test_an_answer_comes_back_as_it_was() -> None:
    result = CommandResult(
        command_id="c1",
        stage=CommandStage.REJECTED,
        observed=(SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=60.0),),
        reason="too steep",
        sim_time_s=3.0,
        labels=("power-loss",),
    )
    request = codec.ConnectRequest()
    mapping.write_result(request.command_ack, result)

    assert mapping.read_result(carried(request).command_ack) == result


def test_an_answer_of_an_unknown_stage_is_refused() -> None:
    with pytest.raises(ProtocolError, match="unknown stage `0`"):
        mapping.read_result(codec.ConnectRequest().command_ack)


def test_an_entity_comes_back_as_it_was() -> None:
    entity = Entity(
        index=3,
        id="cell-7-2",
        kind=Kind.CELL,
        name="Cell 7-2",
        dn="SubNetwork=1",
        aliases=("7-2", "S7-2"),
        parent_id="site-7",
        position_m=(1.5, -2.5, 30.0),
        attributes={"digitalTilt": 60.0, "administrativeState": "UNLOCKED"},
        properties={"azimuth_deg": 120.0},
    )
    response = codec.ConnectResponse()
    mapping.write_entity(response.topology_snapshot.entities.add(), entity)

    assert mapping.read_entity(carried(response).topology_snapshot.entities[0]) == entity


def test_an_entity_of_an_unknown_kind_is_refused() -> None:
    response = codec.ConnectResponse()
    response.topology_snapshot.entities.add(id="x", kind="dragon")

    with pytest.raises(ProtocolError, match="`dragon`"):
        mapping.read_entity(response.topology_snapshot.entities[0])


@pytest.mark.parametrize("cleared_at_s", [None, 0.0, 80.0])
def test_an_alarm_comes_back_as_it_was(cleared_at_s: float | None) -> None:
    alarm = Alarm(
        id="alarm-1",
        scene_id="main",
        entity_id="cell-7-2",
        dn="SubNetwork=1",
        probable_cause="performanceDegraded",
        perceived_severity=Severity.MAJOR,
        event_type="qualityOfServiceAlarm",
        specific_problem="RSRP fell",
        raised_at_s=60.0,
        cleared_at_s=cleared_at_s,
        evidence=(AlarmEvidence(kpi="vsData6gMeanSsRsrp", value=-95, expected=-80, unit="dBm", score=6.5),),
    )
    response = codec.ConnectResponse()
    mapping.write_alarm(response.alarm, alarm)

    assert mapping.read_alarm(carried(response).alarm) == alarm


def test_a_value_that_is_neither_number_nor_text_is_refused() -> None:
    response = codec.ConnectResponse()
    response.event.facts["empty"].SetInParent()

    with pytest.raises(ProtocolError, match="neither"):
        mapping.read_facts(response.event.facts)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_value_that_is_no_finite_number_is_refused(number: float) -> None:
    response = codec.ConnectResponse()
    response.event.facts["load"].number = number

    with pytest.raises(ProtocolError, match=f"`{number}`"):
        mapping.read_facts(response.event.facts)


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), -1.0, 1e18])
def test_figures_of_a_moment_that_no_calendar_holds_are_refused(moment: float) -> None:
    request = codec.ConnectRequest()
    request.telemetry.sim_time_s = moment
    with pytest.raises(ProtocolError, match="sim_time_s"):
        mapping.read_telemetry(request.telemetry)

    request.pm_report.period_end_sim_time_s = moment
    request.pm_report.granularity_period_s = 1
    with pytest.raises(ProtocolError, match="period_end_sim_time_s"):
        mapping.read_pm(request.pm_report)


def test_figures_that_name_another_scene_than_their_stream_are_refused() -> None:
    request = codec.ConnectRequest()
    request.telemetry.scene_id = "other"

    with pytest.raises(ProtocolError, match="`other`"):
        mapping.read_telemetry(request.telemetry, scene_id="main")


def test_an_infinite_figure_counts_as_missing() -> None:
    request = codec.ConnectRequest()
    sent = replace(batch(position_m=None), values=np.array([[np.inf, 1.0], [-np.inf, 2.0]], np.float32))
    mapping.write_telemetry(request.telemetry, sent)

    read = mapping.read_telemetry(carried(request).telemetry)

    np.testing.assert_array_equal(read.values, [[np.nan, 1.0], [np.nan, 2.0]])
