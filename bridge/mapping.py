"""The only place where messages of `bridge.v1` become values of :mod:`twin`, and back.

`write_*` fills a message in place, `read_*` returns a value and raises :class:`~twin.errors.ProtocolError` when
the message cannot be meant. Works on the shadow messages of :mod:`bridge.codec`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, assert_never

import numpy as np

from bridge import codec
from bridge.quantise import Quantised, from_bytes, quantise, restore, to_bytes
from bridge.v1 import command_pb2, news_pb2, session_pb2
from twin.alarms import Alarm, AlarmEvidence, Severity
from twin.commands import (
    Command,
    CommandBody,
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.message import Message
    from numpy.typing import NDArray

    from bridge.v1 import figures_pb2, topology_pb2
    from twin.attributes import AttributeValue
    from twin.entities import Position

PROVISIONS: dict[session_pb2.Provision.ValueType, str] = {
    session_pb2.PROVISION_MOTION: "MOTION",
    session_pb2.PROVISION_KPI: "KPI",
    session_pb2.PROVISION_STATE: "STATE",
}
MAX_SIM_TIME_S = 1e10
"""Latest simulated time, some three centuries: past it, calendars and JSON have no word for it."""

_STAGES: dict[command_pb2.CommandStage.ValueType, CommandStage] = {
    command_pb2.COMMAND_STAGE_RECEIVED: CommandStage.RECEIVED,
    command_pb2.COMMAND_STAGE_APPLIED: CommandStage.APPLIED,
    command_pb2.COMMAND_STAGE_REJECTED: CommandStage.REJECTED,
    command_pb2.COMMAND_STAGE_EXPIRED: CommandStage.EXPIRED,
    command_pb2.COMMAND_STAGE_FAILED: CommandStage.FAILED,
}
_STAGE_NUMBERS = {stage: number for number, stage in _STAGES.items()}
_SEVERITIES: dict[news_pb2.Severity.ValueType, Severity] = {
    news_pb2.SEVERITY_UNSPECIFIED: Severity.INDETERMINATE,
    news_pb2.SEVERITY_CRITICAL: Severity.CRITICAL,
    news_pb2.SEVERITY_MAJOR: Severity.MAJOR,
    news_pb2.SEVERITY_MINOR: Severity.MINOR,
    news_pb2.SEVERITY_WARNING: Severity.WARNING,
    news_pb2.SEVERITY_INDETERMINATE: Severity.INDETERMINATE,
    news_pb2.SEVERITY_CLEARED: Severity.CLEARED,
}
_SEVERITY_NUMBERS = {severity: number for number, severity in _SEVERITIES.items()}


def write_value(message: topology_pb2.AttributeValue, value: AttributeValue) -> None:
    """Write a number or text."""
    if isinstance(value, str):
        message.text = value
    else:
        message.number = float(value)


def read_value(message: topology_pb2.AttributeValue) -> AttributeValue:
    """Return a number or text."""
    match message.WhichOneof("value"):
        case "text":
            return message.text
        case "number" if math.isfinite(message.number):
            return message.number
        case "number":
            raise ProtocolError(f"an attribute value is `{message.number}`; leave out what is unknown")
        case None:
            raise ProtocolError("an attribute value is neither `number` nor `text`; set one of them")


def write_facts(message: Mapping[str, topology_pb2.AttributeValue], facts: Mapping[str, object]) -> None:
    """Write facts into a map of values; booleans become 0 or 1, anything but numbers becomes its text."""
    for name, fact in facts.items():
        write_value(message[name], float(fact) if isinstance(fact, int | float) else str(fact))


def read_facts(message: Mapping[str, topology_pb2.AttributeValue]) -> dict[str, AttributeValue]:
    """Return a map of values."""
    return {name: read_value(value) for name, value in message.items()}


def write_attributes(
    messages: topology_pb2.DesiredConfiguration | topology_pb2.ObservedConfiguration,
    attributes: Iterable[SetAttribute],
) -> None:
    """Add managed attributes to a configuration."""
    for attribute in attributes:
        _write_attribute(messages.attributes.add(), attribute)


def _write_attribute(message: topology_pb2.EntityAttribute, attribute: SetAttribute) -> None:
    message.entity_id = attribute.entity_id
    message.attribute = attribute.attribute
    write_value(message.value, attribute.value)


def read_attributes(messages: Iterable[topology_pb2.EntityAttribute]) -> tuple[SetAttribute, ...]:
    """Return managed attributes."""
    return tuple(
        SetAttribute(entity_id=m.entity_id, attribute=m.attribute, value=read_value(m.value)) for m in messages
    )


def write_entity(message: topology_pb2.Entity, entity: Entity) -> None:
    """Write one row of the inventory."""
    message.index = entity.index
    message.id = entity.id
    message.kind = entity.kind.value
    message.name = entity.name
    message.dn = entity.dn
    message.aliases.extend(entity.aliases)
    message.parent_id = entity.parent_id
    message.position.east_m, message.position.north_m, message.position.up_m = entity.position_m
    write_facts(message.attributes, entity.attributes)
    write_facts(message.properties, entity.properties)


def read_entity(message: topology_pb2.Entity) -> Entity:
    """Return one row of the inventory."""
    try:
        kind = Kind(message.kind)
    except ValueError:
        raise ProtocolError(f"`{message.id}` is of the unknown kind `{message.kind}`") from None
    return Entity(
        index=message.index,
        id=message.id,
        kind=kind,
        name=message.name,
        dn=message.dn,
        aliases=tuple(message.aliases),
        parent_id=message.parent_id,
        position_m=(message.position.east_m, message.position.north_m, message.position.up_m),
        attributes=read_facts(message.attributes),
        properties=read_facts(message.properties),
    )


def write_telemetry(message: figures_pb2.Telemetry, batch: TelemetryBatch, *, quantised: bool = False) -> None:
    """Write positions and gauges of one moment, as 32-bit floats or as 16-bit integers."""
    message.scene_id = batch.scene_id
    message.epoch = batch.epoch
    message.number = batch.seq
    message.revision = batch.revision
    message.sim_time_s = batch.sim_time_s
    message.keyframe = batch.keyframe
    codec.put_array(message, "entity_index", batch.entity_index.astype(np.uint32, copy=False))
    message.kpis.extend(batch.kpis)
    if quantised:
        _write_quantised(message.quantised, batch)
        return
    if batch.position_m is not None:
        codec.put_array(message, "position_m", batch.position_m.astype(np.float32, copy=False))
    codec.put_array(message, "values", batch.values.astype(np.float32, copy=False))


def _write_quantised(message: figures_pb2.Quantised, batch: TelemetryBatch) -> None:
    message.SetInParent()
    if batch.position_m is not None:
        integers, offset, scale = quantise(batch.position_m)
        message.position_int16 = to_bytes(integers)
        codec.put_array(message, "position_offset_m", offset)
        codec.put_array(message, "position_scale_m", scale)
    if batch.kpis:
        integers, offset, scale = quantise(batch.values)
        message.values_int16 = to_bytes(integers)
        codec.put_array(message, "values_offset", offset)
        codec.put_array(message, "values_scale", scale)


def read_telemetry(message: figures_pb2.Telemetry, *, scene_id: str = "") -> TelemetryBatch:
    """Return positions and gauges, however they were written; `scene_id` stands in when the message names none.

    Raises:
        ProtocolError: The lists do not fit together.
    """
    index = codec.get_indices(message, "entity_index")
    kpis = tuple(message.kpis)
    if message.HasField("quantised"):
        if any(len(getattr(message, field)) for field in ("position_m", "rotation", "values")):
            raise ProtocolError("`quantised` is set beside lists of floats; write the figures once")
        position, values = _read_quantised(message.quantised, index.size, len(kpis))
    else:
        flat = codec.get_floats(message, "position_m")
        position = _matrix(flat, index.size, 3, "position_m") if flat.size or not index.size else None
        values = _figures(codec.get_floats(message, "values"), index.size, len(kpis))
    return TelemetryBatch(
        scene_id=_scene_of(message.scene_id, scene_id),
        epoch=message.epoch,
        seq=message.number,
        revision=message.revision,
        sim_time_s=read_moment(message.sim_time_s, "sim_time_s"),
        entity_index=index,
        position_m=position,
        kpis=kpis,
        values=values,
        keyframe=message.keyframe,
    )


def _read_quantised(
    message: figures_pb2.Quantised, rows: int, columns: int
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32]]:
    position = None
    if message.position_int16 or not rows:
        position = _restored(message, rows, 3 if rows else 0, "position_int16", "position_offset_m", "position_scale_m")
        position = position.reshape(rows, 3)
    return position, _restored(message, rows, columns, "values_int16", "values_offset", "values_scale")


def _restored(
    message: figures_pb2.Quantised, rows: int, columns: int, field: str, offset_field: str, scale_field: str
) -> NDArray[np.float32]:
    integers = from_bytes(getattr(message, field), rows=rows, columns=columns, field=field)
    offset, scale = codec.get_floats(message, offset_field), codec.get_floats(message, scale_field)
    if rows and not offset.size == scale.size == columns:
        raise ProtocolError(
            f"`{offset_field}` and `{scale_field}` hold `{offset.size}` and `{scale.size}` numbers for `{columns}`"
            " columns; send one of each per column"
        )
    if not rows:
        return np.zeros((0, columns), np.float32)
    return restore(Quantised(integers, offset, scale), field=field)


def write_pm(message: figures_pb2.PmReport, report: PmReport) -> None:
    """Write counters of one period."""
    message.scene_id = report.scene_id
    message.epoch = report.epoch
    message.number = report.seq
    message.revision = report.revision
    message.granularity_period_s = report.granularity_period_s
    message.period_end_sim_time_s = report.period_end_sim_time_s
    codec.put_array(message, "entity_index", report.entity_index.astype(np.uint32, copy=False))
    message.counters.extend(report.counters)
    codec.put_array(message, "values", report.values.astype(np.float32, copy=False))


def read_pm(message: figures_pb2.PmReport, *, scene_id: str = "") -> PmReport:
    """Return counters of one period; `scene_id` stands in when the message names none.

    Raises:
        ProtocolError: The lists do not fit together, or the period is empty.
    """
    if message.granularity_period_s <= 0:
        raise ProtocolError("`granularity_period_s` of a PM report is `0`; give the length of the period")
    index = codec.get_indices(message, "entity_index")
    return PmReport(
        scene_id=_scene_of(message.scene_id, scene_id),
        epoch=message.epoch,
        seq=message.number,
        revision=message.revision,
        granularity_period_s=message.granularity_period_s,
        period_end_sim_time_s=read_moment(message.period_end_sim_time_s, "period_end_sim_time_s"),
        entity_index=index,
        counters=tuple(message.counters),
        values=_figures(codec.get_floats(message, "values"), index.size, len(message.counters)),
    )


def read_moment(sim_time_s: float, field: str) -> float:
    """Return a simulated time that a calendar can hold.

    Raises:
        ProtocolError: Not finite, before the scenario epoch, or centuries after it.
    """
    if not 0.0 <= sim_time_s <= MAX_SIM_TIME_S:  # NaN fails both
        raise ProtocolError(
            f"`{field}` is `{sim_time_s}`; give simulated seconds since the scenario epoch, 0 to {MAX_SIM_TIME_S:g}"
        )
    return sim_time_s


def _scene_of(named: str, scene_id: str) -> str:
    if named and scene_id and named != scene_id:
        raise ProtocolError(f"the figures name the scene `{named[:80]}`, this stream shows `{scene_id}`; leave it out")
    return named or scene_id


def _figures(flat: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Return a matrix of figures; infinity measures nothing, so it counts as missing."""
    values = _matrix(flat, rows, columns, "values")
    return np.where(np.isinf(values), np.float32(np.nan), values) if np.isinf(values).any() else values


def _matrix(flat: NDArray[np.float32], rows: int, columns: int, field: str) -> NDArray[np.float32]:
    if flat.size != rows * columns:
        raise ProtocolError(
            f"`{field}` holds `{flat.size}` numbers for `{rows}` entities of `{columns}` columns each;"
            " send one row per entity"
        )
    return flat.reshape(rows, columns)


def write_command(message: command_pb2.Command, command: Command) -> None:
    """Write one order."""
    message.id = command.id
    message.issued_by = command.issued_by
    message.deadline_unix_ns = command.deadline_unix_ns
    message.expected_revision = command.expected_revision
    message.dry_run = command.dry_run
    message.change_id = command.change_id
    match command.body:
        case SetAttributes(actions=actions):
            message.set_attributes.SetInParent()
            for action in actions:
                _write_attribute(message.set_attributes.actions.add(), action)
        case ManageFault() as body:
            message.manage_fault.operation = (
                command_pb2.FAULT_OPERATION_INJECT if body.operation == "inject" else command_pb2.FAULT_OPERATION_CLEAR
            )
            message.manage_fault.fault = body.fault
            message.manage_fault.entity_id = body.entity_id
            message.manage_fault.severity = body.severity
        case SimulationControl() as body:
            message.simulation_control.operation = _SIMULATION[body.operation]
            message.simulation_control.speed = body.speed
            message.simulation_control.seed = body.seed
        case Overlay() as body:
            _write_overlay(message.overlay, body)
        case MoveCamera() as body:
            _write_camera(message.camera, body)
        case Spawn() as body:
            _write_spawn(message.spawn, body)
        case _:
            assert_never(command.body)


_SIMULATION: dict[Literal["pause", "resume", "speed", "reset"], command_pb2.SimulationOperation.ValueType] = {
    "pause": command_pb2.SIMULATION_OPERATION_PAUSE,
    "resume": command_pb2.SIMULATION_OPERATION_RESUME,
    "speed": command_pb2.SIMULATION_OPERATION_SPEED,
    "reset": command_pb2.SIMULATION_OPERATION_RESET,
}


def _write_overlay(message: command_pb2.Overlay, overlay: Overlay) -> None:
    message.overlay_id = overlay.overlay_id
    message.operation = (
        command_pb2.OVERLAY_OPERATION_SHOW if overlay.operation == "show" else command_pb2.OVERLAY_OPERATION_CLEAR
    )
    message.entity_ids.extend(overlay.entity_ids)
    message.text = overlay.text
    message.colour = overlay.colour
    if overlay.position_m is not None:
        _write_position(message.position, overlay.position_m)
    message.ttl_s = overlay.ttl_s


def _write_camera(message: command_pb2.Camera, camera: MoveCamera) -> None:
    message.camera_id, message.entity_id = camera.camera_id, camera.entity_id
    if camera.target_m is not None:
        _write_position(message.target, camera.target_m)
    message.distance_m, message.azimuth_deg = camera.distance_m, camera.azimuth_deg
    message.pitch_down_deg = camera.pitch_down_deg


def _write_spawn(message: command_pb2.Spawn, spawn: Spawn) -> None:
    message.archetype, message.entity_id = spawn.archetype, spawn.entity_id
    if spawn.position_m is not None:
        _write_position(message.position, spawn.position_m)
    if spawn.rotation is not None:
        codec.put_array(message, "rotation", np.array(spawn.rotation, dtype=np.float32))


def _write_position(message: topology_pb2.Position, position_m: Position) -> None:
    message.east_m, message.north_m, message.up_m = position_m


def read_position(message: topology_pb2.Position) -> Position:
    """Return a point in ENU metres.

    Raises:
        ProtocolError: Not finite.
    """
    position = (message.east_m, message.north_m, message.up_m)
    if not all(map(math.isfinite, position)):
        raise ProtocolError(f"a position is `{position}`; use finite metres")
    return position


def read_rotation(message: Message) -> tuple[float, float, float, float] | None:
    """Return the quaternion x, y, z, w in the packed field `rotation` of a shadow message, None when empty.

    Raises:
        ProtocolError: Neither empty nor four numbers.
    """
    values = codec.get_floats(message, "rotation")
    if not values.size:
        return None
    if values.size != 4:
        raise ProtocolError(f"a rotation has `{values.size}` numbers; a quaternion has 4: x, y, z, w")
    x, y, z, w = values.tolist()
    return x, y, z, w


def read_command(message: command_pb2.Command) -> Command:
    """Return one order.

    Raises:
        ProtocolError: No id, or a kind that :mod:`twin.commands` does not know.
    """
    if not message.id:
        raise ProtocolError("a command has no id; give it a UUIDv7")
    return Command(
        id=message.id,
        body=_read_body(message),
        issued_by=message.issued_by,
        deadline_unix_ns=message.deadline_unix_ns,
        expected_revision=message.expected_revision,
        dry_run=message.dry_run,
        change_id=message.change_id,
    )


def _read_body(message: command_pb2.Command) -> CommandBody:
    match message.WhichOneof("body"):
        case "set_attributes":
            return SetAttributes(actions=read_attributes(message.set_attributes.actions))
        case "manage_fault" if message.manage_fault.operation:
            fault = message.manage_fault
            return ManageFault(
                operation="inject" if fault.operation == command_pb2.FAULT_OPERATION_INJECT else "clear",
                fault=fault.fault,
                entity_id=fault.entity_id,
                severity=fault.severity,
            )
        case "simulation_control":
            control = message.simulation_control
            for word, number in _SIMULATION.items():
                if control.operation == number:
                    return SimulationControl(operation=word, speed=control.speed, seed=control.seed)
        case "overlay" if message.overlay.operation:
            return _read_overlay(message.overlay)
        case "camera":
            camera = message.camera
            return MoveCamera(
                camera_id=camera.camera_id,
                entity_id=camera.entity_id,
                target_m=read_position(camera.target) if camera.HasField("target") else None,
                distance_m=camera.distance_m,
                azimuth_deg=camera.azimuth_deg,
                pitch_down_deg=camera.pitch_down_deg,
            )
        case "spawn":
            spawn = message.spawn
            return Spawn(
                archetype=spawn.archetype,
                entity_id=spawn.entity_id,
                position_m=read_position(spawn.position) if spawn.HasField("position") else None,
                rotation=read_rotation(spawn),
            )
        case _:
            pass
    raise ProtocolError(f"command `{message.id}` asks for `{message.WhichOneof('body')}`, which is not supported here")


def _read_overlay(message: command_pb2.Overlay) -> Overlay:
    return Overlay(
        overlay_id=message.overlay_id,
        operation="show" if message.operation == command_pb2.OVERLAY_OPERATION_SHOW else "clear",
        entity_ids=tuple(message.entity_ids),
        text=message.text,
        colour=message.colour,
        position_m=read_position(message.position) if message.HasField("position") else None,
        ttl_s=message.ttl_s,
    )


def write_result(message: command_pb2.CommandAck, result: CommandResult) -> None:
    """Write the answer to an order; stage RECEIVED is an answer, too."""
    message.command_id = result.command_id
    message.stage = _STAGE_NUMBERS[result.stage]
    for attribute in result.observed:
        _write_attribute(message.observed.add(), attribute)
    message.reason = result.reason
    message.sim_time_s = result.sim_time_s
    message.labels.extend(result.labels)


def read_result(message: command_pb2.CommandAck) -> CommandResult:
    """Return the answer to an order.

    Raises:
        ProtocolError: No stage that this twin knows.
    """
    stage = _STAGES.get(message.stage)
    if stage is None:
        raise ProtocolError(f"the answer to command `{message.command_id}` has the unknown stage `{message.stage}`")
    return CommandResult(
        command_id=message.command_id,
        stage=stage,
        observed=read_attributes(message.observed),
        reason=message.reason,
        sim_time_s=read_moment(message.sim_time_s, "sim_time_s"),
        labels=tuple(message.labels),
    )


def write_alarm(message: news_pb2.Alarm, alarm: Alarm) -> None:
    """Write an alarm as it stands."""
    message.id = alarm.id
    message.scene_id = alarm.scene_id
    message.entity_id = alarm.entity_id
    message.dn = alarm.dn
    message.probable_cause = alarm.probable_cause
    message.perceived_severity = _SEVERITY_NUMBERS[alarm.perceived_severity]
    message.event_type = alarm.event_type
    message.specific_problem = alarm.specific_problem
    message.raised_at_sim_s = alarm.raised_at_s
    if alarm.cleared_at_s is not None:
        message.cleared = True
        message.cleared_at_sim_s = alarm.cleared_at_s
    for evidence in alarm.evidence:
        message.evidence.add(
            kpi=evidence.kpi,
            value=evidence.value,
            expected=evidence.expected,
            unit=evidence.unit,
            score=evidence.score,
        )


def read_alarm(message: news_pb2.Alarm, *, scene_id: str = "") -> Alarm:
    """Return an alarm as it stands; `scene_id` stands in when the message names none."""
    return Alarm(
        id=message.id,
        scene_id=message.scene_id or scene_id,
        entity_id=message.entity_id,
        dn=message.dn,
        probable_cause=message.probable_cause,
        perceived_severity=_SEVERITIES.get(message.perceived_severity, Severity.INDETERMINATE),
        event_type=message.event_type,
        specific_problem=message.specific_problem,
        raised_at_s=message.raised_at_sim_s,
        cleared_at_s=message.cleared_at_sim_s if message.cleared else None,
        evidence=tuple(
            AlarmEvidence(kpi=e.kpi, value=e.value, expected=e.expected, unit=e.unit, score=e.score)
            for e in message.evidence
        ),
    )
