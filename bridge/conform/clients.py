"""Checks a client: plays the server for a scene that connects, and looks at what it does.

The world shown to the client is small: a site, a cell, three phones. The client must provide MOTION or KPI and know
how to set `digitalTilt`; what it does not provide stays untested.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from bridge.conform.report import Broken, Check, NotTestable, Report, demand
from bridge.conform.wire import request_of
from bridge.v1 import bridge_pb2, command_pb2, media_pb2, session_pb2, topology_pb2
from twin.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.conform.wire import Listener, Wire

PATIENCE_S = 10.0
HEARTBEAT_S = 1.0
REVISION = 7
FENCING = 5_000
CREDITS = 4
FINAL = {
    command_pb2.COMMAND_STAGE_APPLIED,
    command_pb2.COMMAND_STAGE_REJECTED,
    command_pb2.COMMAND_STAGE_EXPIRED,
    command_pb2.COMMAND_STAGE_FAILED,
}
TILT_TENTHS = 70.0
"""`digitalTilt` is in 0.1 degree."""


def _world() -> topology_pb2.TopologySnapshot:
    snapshot = topology_pb2.TopologySnapshot(revision=REVISION, total=5, last=True)
    site = snapshot.entities.add(index=0, id="site-1", kind="site", name="Site 1")
    site.position.east_m = 50.0
    cell = snapshot.entities.add(index=1, id="cell-1-1", kind="cell", name="Cell 1-1", parent_id="site-1")
    cell.position.east_m = 50.0
    cell.position.up_m = 25.0
    for name, number in (("digitalTilt", 60.0), ("configuredMaxTxPower", 19_953.0)):
        cell.attributes[name].number = number
    cell.attributes["administrativeState"].text = "UNLOCKED"
    cell.properties["azimuth_deg"].number = 30.0
    for number in (1, 2, 3):
        phone = snapshot.entities.add(index=1 + number, id=f"ue-{number}", kind="ue", name=f"ue {number}")
        phone.position.east_m, phone.position.north_m, phone.position.up_m = 10.0 * number, 20.0, 1.5
    return snapshot


class Host:
    """One stream of a client, with the manners of a server.

    Attributes:
        seen: How often each body came.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.hello = session_pb2.Hello()
        self.sent = 0
        self.acknowledged = 0
        self.arrived = 0
        self.seen: Counter[str] = Counter()
        self.heartbeat_replies: dict[int, tuple[session_pb2.HeartbeatReply, float]] = {}

    @property
    def telemetry(self) -> int:
        """Telemetry messages so far."""
        return self.seen["telemetry"]

    async def next(self, limit_s: float) -> bridge_pb2.ConnectRequest | None:
        """Return the next message, None at the end; keeps numbers and answers heartbeats."""
        async with asyncio.timeout(limit_s):
            request = request_of(await self.wire.receive())
        if request is None:
            return None
        if request.seq:
            demand(request.seq == self.arrived + 1, f"L1: lossless `{request.seq}` follows `{self.arrived}`")
            self.arrived = request.seq
            await self.say()
        demand(request.ack <= self.sent, f"L4: acknowledges `{request.ack}`, only `{self.sent}` were sent")
        self.acknowledged = max(self.acknowledged, request.ack)
        self.seen[request.WhichOneof("body") or ""] += 1
        match request.WhichOneof("body"):
            case "heartbeat":
                await self.say(
                    heartbeat_reply=session_pb2.HeartbeatReply(
                        number=request.heartbeat.number,
                        sent_unix_ns=request.heartbeat.sent_unix_ns,
                        received_unix_ns=time.time_ns(),
                    )
                )
            case "heartbeat_reply":
                self.heartbeat_replies[request.heartbeat_reply.number] = (request.heartbeat_reply, time.monotonic())
            case _:
                pass
        return request

    async def watch(self, seconds: float, until: Callable[[bridge_pb2.ConnectRequest], bool] | None = None) -> bool:
        """Read for a while; returns whether `until` came true. The end of the stream is a finding."""
        end = time.monotonic() + seconds
        while (left_s := end - time.monotonic()) > 0:
            try:
                request = await self.next(left_s)
            except TimeoutError:
                break
            if request is None:
                raise Broken("the client ended the stream")
            if until is not None and until(request):
                return True
        return False

    async def say(self, **body: Any) -> None:
        """Send something that is not lossless."""
        await self.wire.send(bridge_pb2.ConnectResponse(ack=self.arrived, **body).SerializeToString())

    async def say_lossless(self, **body: Any) -> None:
        """Send something lossless."""
        self.sent += 1
        await self.wire.send(bridge_pb2.ConnectResponse(seq=self.sent, ack=self.arrived, **body).SerializeToString())


class ClientChecks:
    """Plays one evening with a client.

    Args:
        listener: Where the client connects.
        wait_s: How long to wait for it.
        patience_s: How long it may take to answer a command; other waits are shares of it.
    """

    def __init__(self, listener: Listener, *, wait_s: float = 60.0, patience_s: float = PATIENCE_S) -> None:
        self._listener = listener
        self._wait_s = wait_s
        self._patience_s = patience_s
        self._host: Host | None = None
        self._token = ""
        self._session = uuid7()

    async def run(self, report: Report) -> None:
        """Run every check against the client that connects."""
        steps: list[tuple[str, str, Callable[[], Any]]] = [
            ("L2", "the snapshot is acknowledged", self.acknowledges),
            ("H1", "heartbeats are answered at once and sent", self.heartbeats),
            ("F1", "telemetry keeps to its credit", self.credit),
            ("F3", "telemetry speaks of the inventory", self.indices),
            ("D1", "the configuration is told", self.observed),
            ("C1", "a command is received, then applied, with the value read back", self.applied),
            ("C2", "the same command again gets the same answer", self.repeated),
            ("C3", "a command that is too late is EXPIRED", self.expired),
            ("C3", "a command for another revision is REJECTED", self.stale),
            ("C4", "a dry run changes nothing", self.dry_run),
            ("C7", "an order that it does not know is REJECTED", self.unknown_order),
            ("O4", "an order of an older holding is REJECTED", self.fenced),
            ("B5", "an unknown body is ignored", self.unknown_body),
            ("M1", "a picture comes, or the reason why not", self.picture),
            ("R1", "a broken stream is resumed with the secret", self.comes_back),
            ("R2", "resumed: numbers go on, a kept answer is known", self.goes_on),
            ("R3", "not resumed: numbers begin anew", self.begins_anew),
        ]
        await report.check(
            Check(rule="B1", what="Hello comes first and says who this is", work=self.hello, limit_s=self._wait_s)
        )
        for rule, what, work in steps:
            await report.check(Check(rule=rule, what=what, work=work, limit_s=3 * self._patience_s))
        if self._host is not None:
            await self._host.wire.cut()

    @property
    def _now(self) -> Host:
        if self._host is None:
            raise NotTestable("no client is connected")
        return self._host

    async def _greet(self, host: Host, *, resumed: bool, arrived: int = 0, sent: int = 0) -> None:
        self._token = uuid7()
        host.arrived, host.sent = arrived, sent
        welcome = session_pb2.Welcome(
            session_id=self._session,
            protocol_version=1,
            resumed=resumed,
            resume_token=self._token,
            resume_ttl_s=60,
            sim_epoch="2026-11-07T12:00:00+00:00",
            timezone="Europe/Berlin",
            telemetry_rate_hz=10,
            heartbeat_interval_s=HEARTBEAT_S,
            telemetry_credits=CREDITS,
            lossless_window=64,
            speed=1.0,
            has_resume_time=True,
            resume_at_sim_s=100.0,
            fencing_number=FENCING,
            lease_s=10,
            camera_credits=1,
            voice_credits=16,
            max_message_bytes=4 * 1024 * 1024,
            scene_id=host.hello.scene_id,
        )
        await host.say(welcome=welcome)
        if not resumed:
            await host.say_lossless(topology_snapshot=_world())
            await host.say_lossless(
                desired_configuration=topology_pb2.DesiredConfiguration(revision=REVISION, last=True)
            )

    async def _arrive(self) -> Host:
        host = Host(await self._listener.next())
        request = await host.next(self._patience_s)
        demand(request is not None and request.HasField("hello"), "the first message is not Hello")
        if request is not None:
            host.hello.CopyFrom(request.hello)
        return host

    async def hello(self) -> str:
        """B1."""
        host = await self._arrive()
        hello = host.hello
        demand(hello.protocol_min <= 1 <= hello.protocol_max, f"speaks {hello.protocol_min} to {hello.protocol_max}")
        demand(hello.role != session_pb2.ROLE_UNSPECIFIED, "no role")
        demand(not hello.HasField("resume"), "resumes what never was")
        self._host = host
        await self._greet(host, resumed=False)
        return f"`{hello.engine}` {hello.engine_version}, scene `{hello.scene_id}`"

    async def acknowledges(self) -> str:
        """L2."""
        host = self._now
        demand(
            host.acknowledged >= host.sent
            or await host.watch(0.5 * self._patience_s, lambda _: host.acknowledged >= host.sent),
            f"acknowledged {host.acknowledged} of {host.sent}",
        )
        return f"{host.acknowledged} of {host.sent}"

    async def heartbeats(self) -> str:
        """H1."""
        host = self._now
        begun_s, sent_ns = time.monotonic(), time.time_ns()
        await host.say(heartbeat=session_pb2.Heartbeat(number=77, sent_unix_ns=sent_ns))
        demand(await host.watch(0.3 * self._patience_s, lambda _: 77 in host.heartbeat_replies), "not answered in time")
        reply, at_s = host.heartbeat_replies[77]
        demand(reply.sent_unix_ns == sent_ns, "answers with another clock than was sent")
        demand(reply.received_unix_ns > 0, "answers without its own clock")
        demand(
            host.seen["heartbeat"] or await host.watch(3 * HEARTBEAT_S, lambda _: host.seen["heartbeat"] > 0),
            "sends no heartbeat",
        )
        return f"answered in {1000 * (at_s - begun_s):.0f} ms"

    def _needs(self, provision: session_pb2.Provision.ValueType) -> None:
        if provision not in self._now.hello.provides:
            raise NotTestable(f"the client does not provide {session_pb2.Provision.Name(provision)[10:]}")

    async def credit(self) -> str:
        """F1."""
        self._needs(session_pb2.PROVISION_MOTION)
        host = self._now
        await host.watch(1.5)
        demand(host.telemetry <= CREDITS, f"{host.telemetry} messages for {CREDITS} credits")
        demand(host.telemetry > 0, "no telemetry within 1.5 s")
        used = host.telemetry
        await host.say(credit=session_pb2.Credit(channel=session_pb2.CHANNEL_TELEMETRY, messages=2))
        demand(
            await host.watch(0.3 * self._patience_s, lambda _: host.telemetry > used),
            "no telemetry after new credit",
        )
        await host.watch(0.7)
        demand(host.telemetry <= CREDITS + 2, f"{host.telemetry} messages for {CREDITS + 2} credits")
        return f"{host.telemetry} messages for {CREDITS + 2} credits"

    async def indices(self) -> str:
        """F3."""
        self._needs(session_pb2.PROVISION_MOTION)
        host = self._now
        await host.say(credit=session_pb2.Credit(channel=session_pb2.CHANNEL_TELEMETRY, messages=1))
        found: list[bridge_pb2.ConnectRequest] = []

        def is_telemetry(request: bridge_pb2.ConnectRequest) -> bool:
            if request.HasField("telemetry"):
                found.append(request)
            return bool(found)

        demand(await host.watch(0.3 * self._patience_s, is_telemetry), "no telemetry")
        figures = found[0].telemetry
        n, k = len(figures.entity_index), len(figures.kpis)
        demand(figures.revision == REVISION, f"revision {figures.revision}, the inventory is {REVISION}")
        demand(all(index < 5 for index in figures.entity_index), f"indices {list(figures.entity_index)}")
        demand(len(figures.position_m) in {0, 3 * n}, f"{len(figures.position_m)} coordinates for {n} entities")
        demand(len(figures.values) == n * k, f"{len(figures.values)} values for {n} x {k}")
        return f"{n} entities, {k} figures each"

    async def observed(self) -> str:
        """D1; whatever came before counts, too."""
        self._needs(session_pb2.PROVISION_KPI)
        host = self._now
        told = host.seen["observed_configuration"] or await host.watch(
            0.3 * self._patience_s, lambda request: request.HasField("observed_configuration")
        )
        demand(told, "ObservedConfiguration never came")
        return f"{host.arrived} lossless messages so far"

    def _order(self, *, empty: bool = False, **fields: Any) -> command_pb2.Command:
        command = command_pb2.Command(
            id=uuid7(), issued_by="conform", deadline_unix_ns=time.time_ns() + 60_000_000_000, fencing_number=FENCING
        )
        for name, value in fields.items():
            setattr(command, name, value)
        if not empty:
            action = command.set_attributes.actions.add(entity_id="cell-1-1", attribute="digitalTilt")
            action.value.number = TILT_TENTHS
        return command

    async def _answers(self, command: command_pb2.Command, host: Host | None = None) -> list[command_pb2.CommandAck]:
        host = host or self._now
        acks: list[command_pb2.CommandAck] = []

        def final(request: bridge_pb2.ConnectRequest) -> bool:
            ack = request.command_ack
            if request.HasField("command_ack") and ack.command_id == command.id:
                demand(request.seq > 0, "CommandAck without a number")
                acks.append(ack)
                return ack.stage in FINAL
            return False

        await host.say_lossless(command=command)
        demand(await host.watch(self._patience_s, final), f"no final answer to `{command.WhichOneof('body')}`")
        return acks

    async def _final(self, command: command_pb2.Command, stage: str) -> command_pb2.CommandAck:
        ack = (await self._answers(command))[-1]
        name = command_pb2.CommandStage.Name(ack.stage).removeprefix("COMMAND_STAGE_")
        demand(name == stage, f"{name}, not {stage}: {ack.reason}")
        return ack

    async def applied(self) -> str:
        """C1."""
        self._command = self._order()
        acks = await self._answers(self._command)
        stages = [command_pb2.CommandStage.Name(ack.stage).removeprefix("COMMAND_STAGE_") for ack in acks]
        demand(stages[0] == "RECEIVED", f"stages {stages}")
        demand(len(stages) == 2, f"stages {stages}")
        demand(stages[1] == "APPLIED", f"{stages[1]}: {acks[-1].reason}")
        values = [one.value.number for one in acks[-1].observed if one.attribute == "digitalTilt"]
        demand(values == [TILT_TENTHS], f"read back {values}, set {TILT_TENTHS}")
        self._answer = acks[-1]
        return " -> ".join(stages)

    async def repeated(self) -> str:
        """C2."""
        ack = (await self._answers(self._command))[-1]
        demand((ack.stage, list(ack.observed)) == (self._answer.stage, list(self._answer.observed)), "another answer")
        demand(ack.sim_time_s == self._answer.sim_time_s, "obeyed again: the time of effect moved")
        return "answered from the record"

    async def expired(self) -> str:
        """C3."""
        return (await self._final(self._order(deadline_unix_ns=time.time_ns() - 1_000_000_000), "EXPIRED")).reason

    async def stale(self) -> str:
        """C3."""
        return (await self._final(self._order(expected_revision=REVISION + 1), "REJECTED")).reason

    async def dry_run(self) -> str:
        """C4."""
        dry = self._order(dry_run=True)
        await self._final(dry, "APPLIED")
        dry.dry_run = False
        await self._final(dry, "APPLIED")
        return "answered; the same id for real is obeyed"

    async def unknown_order(self) -> str:
        """C7: a body of a later version."""
        raw = self._order(empty=True).SerializeToString() + b"\xba\x3e\x00"
        return (await self._final(command_pb2.Command.FromString(raw), "REJECTED")).reason

    async def fenced(self) -> str:
        """O4."""
        return (await self._final(self._order(fencing_number=FENCING - 1), "REJECTED")).reason

    async def unknown_body(self) -> str:
        """B5."""
        host = self._now
        await host.wire.send(b"\xba\x3e\x00")
        await host.say(heartbeat=session_pb2.Heartbeat(number=78, sent_unix_ns=time.time_ns()))
        demand(
            await host.watch(0.3 * self._patience_s, lambda _: 78 in host.heartbeat_replies),
            "silent after an unknown body",
        )
        return "the stream goes on"

    async def picture(self) -> str:
        """M1."""
        host = self._now
        if not host.hello.capabilities.camera_codecs:
            raise NotTestable("the client has no camera")
        await host.say(camera_request=media_pb2.CameraRequest(request_id="shot-1", width=160, height=90))
        parts: list[media_pb2.CameraFrame] = []

        def last(request: bridge_pb2.ConnectRequest) -> bool:
            if request.HasField("camera_frame") and request.camera_frame.request_id == "shot-1":
                parts.append(request.camera_frame)
                return request.camera_frame.last
            return False

        demand(await host.watch(2 * self._patience_s, last), "no picture in time")
        if parts[0].reason:
            return f"none: {parts[0].reason}"
        offset = 0
        for part in parts:
            demand(part.offset == offset, f"a part begins at {part.offset}, expected {offset}")
            demand(len(part.data) <= 256 * 1024, f"a part of {len(part.data)} bytes")
            offset += len(part.data)
        demand(offset == parts[0].total_bytes, f"{offset} bytes, total_bytes says {parts[0].total_bytes}")
        return f"{parts[0].width} x {parts[0].height}, {offset} bytes in {len(parts)} parts"

    async def _cut(self) -> tuple[Host, Host, float]:
        """Break the stream and wait for the client to come back; returns the old and the new one and how long."""
        old = self._now
        begun_s = time.monotonic()
        await old.wire.cut()
        self._host = None
        host = await self._arrive()
        return old, host, time.monotonic() - begun_s

    async def comes_back(self) -> str:
        """R1, R8."""
        old, host, took_s = await self._cut()
        demand(host.hello.HasField("resume"), "Hello names nothing to resume")
        point = host.hello.resume
        demand(point.session_id == self._session, f"session `{point.session_id}`")
        demand(point.resume_token == self._token, "not the secret of the last Welcome")
        demand(old.acknowledged <= point.last_seq <= old.sent, f"last_seq {point.last_seq}, {old.sent} were sent")
        self._host = host
        await self._greet(host, resumed=True, arrived=old.arrived, sent=point.last_seq)
        return f"back after {took_s:.2f} s"

    async def goes_on(self) -> str:
        """R2, C2."""
        host = self._now
        before = host.arrived
        ack = (await self._answers(self._command))[-1]
        demand(ack.sim_time_s == self._answer.sim_time_s, "the command was obeyed again after the break")
        demand(host.arrived > before, "numbers do not go on")
        return f"numbers go on after {before}"

    async def begins_anew(self) -> str:
        """R3."""
        _, host, took_s = await self._cut()
        self._session = uuid7()
        self._host = host
        await self._greet(host, resumed=False)
        demand(
            await host.watch(0.5 * self._patience_s, lambda _: host.acknowledged >= host.sent),
            f"acknowledged {host.acknowledged} of {host.sent} after a new snapshot",
        )
        ack = (await self._answers(self._command))[-1]
        demand(ack.sim_time_s == self._answer.sim_time_s, "the command was obeyed again in a new session")
        return f"back after {took_s:.2f} s; numbers from 1"
