"""Checks a server: plays observers and, where it may, scenes against it and looks at what it does.

Nothing here changes the network that the server keeps. Only with `scene_id` does it show itself as a scene of that
name, which pushes out the one that is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.conform.report import Broken, NotTestable, Report, demand
from bridge.conform.wire import WebSocketWire, open_wire, response_of
from bridge.v1 import bridge_pb2, figures_pb2, session_pb2, topology_pb2

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Callable

    import grpc

    from bridge.conform.wire import Wire

PATIENCE_S = 5.0
HELLO_LIMIT_S = 5.0
"""Rule B1."""

UNKNOWN_FIELD = b"\xba\x3e\x00"
"""Field 999 of an envelope, an empty message: what a later version may say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The server under test.

    Attributes:
        token: Put into every Hello; "" = none.
        watch_scene: Scene to watch; "" = the only one.
        scene_id: Scene to show; "" = none is shown, and the rules about scenes stay untested.
    """

    url: str
    token: str = ""
    watch_scene: str = ""
    scene_id: str = ""
    tls: ssl.SSLContext | None = None
    grpc_tls: grpc.ChannelCredentials | None = None

    @contextlib.asynccontextmanager
    async def wire(self) -> AsyncGenerator[Wire]:
        """Yield an open stream that is cut off in the end."""
        wire = await open_wire(self.url, tls=self.tls, grpc_tls=self.grpc_tls)
        try:
            yield wire
        finally:
            await wire.cut()

    def hello(self, role: session_pb2.Role.ValueType = session_pb2.ROLE_OBSERVER, **more: Any) -> bytes:
        """Return a serialized Hello."""
        fields: dict[str, Any] = {
            "protocol_min": 1,
            "protocol_max": 1,
            "role": role,
            "scene_id": self.watch_scene if role == session_pb2.ROLE_OBSERVER else self.scene_id,
            "engine": "conform",
            "token": self.token,
            **more,
        }
        return bridge_pb2.ConnectRequest(hello=session_pb2.Hello(**fields)).SerializeToString()


class Talk:
    """A stream with a memory: numbers, acknowledgements and heartbeats as the rules want them."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.welcome = session_pb2.Welcome()
        self.welcome_ack = 0
        self.highest = 0
        self.sent = 0

    async def open(self, hello: bytes) -> session_pb2.Welcome:
        """Say Hello and return Welcome."""
        await self.wire.send(hello)
        response = await self.next()
        if response is None:
            raise Broken("the stream ended before Welcome")
        if response.HasField("refusal"):
            raise Broken(f"refused: {_code(response.refusal)}: {response.refusal.message}")
        demand(response.HasField("welcome"), f"the first message is `{response.WhichOneof('body')}`")
        self.welcome, self.welcome_ack = response.welcome, response.ack
        return response.welcome

    async def next(self, limit_s: float = PATIENCE_S) -> bridge_pb2.ConnectResponse | None:
        """Return the next message, None at the end of the stream."""
        async with asyncio.timeout(limit_s):
            response = response_of(await self.wire.receive())
        if response is not None and response.seq:
            demand(response.seq == self.highest + 1, f"lossless `{response.seq}` follows `{self.highest}`")
            self.highest = response.seq
        return response

    async def until(self, body: str, limit_s: float = PATIENCE_S) -> bridge_pb2.ConnectResponse:
        """Return the next message with this body; acknowledges and answers heartbeats on the way."""
        end = time.monotonic() + limit_s
        while True:
            left_s = end - time.monotonic()
            if left_s <= 0:
                raise Broken(f"no `{body}` within {limit_s:g} s")
            try:
                response = await self.next(left_s)
            except TimeoutError:
                continue
            if response is None:
                raise Broken(f"the stream ended while waiting for `{body}`")
            await self._manners(response)
            if response.WhichOneof("body") == body:
                return response

    async def started(self) -> list[topology_pb2.Entity]:
        """Take the snapshot and the configuration; returns the entities."""
        entities: list[topology_pb2.Entity] = []
        while True:
            chunk = (await self.until("topology_snapshot")).topology_snapshot
            entities.extend(chunk.entities)
            if chunk.last:
                break
        while not (await self.until("desired_configuration")).desired_configuration.last:
            pass
        return entities

    async def _manners(self, response: bridge_pb2.ConnectResponse) -> None:
        if response.HasField("heartbeat"):
            await self.say(
                heartbeat_reply=session_pb2.HeartbeatReply(
                    number=response.heartbeat.number,
                    sent_unix_ns=response.heartbeat.sent_unix_ns,
                    received_unix_ns=time.time_ns(),
                )
            )
        elif response.seq:
            await self.wire.send(bridge_pb2.ConnectRequest(ack=self.highest).SerializeToString())

    async def say(self, **body: Any) -> None:
        """Send something that is not lossless."""
        await self.wire.send(bridge_pb2.ConnectRequest(ack=self.highest, **body).SerializeToString())

    async def say_lossless(self, **body: Any) -> int:
        """Send something lossless and return its number."""
        self.sent += 1
        await self.wire.send(bridge_pb2.ConnectRequest(seq=self.sent, ack=self.highest, **body).SerializeToString())
        return self.sent

    async def refusal(self, limit_s: float = PATIENCE_S) -> session_pb2.Refusal:
        """Wait for Refusal and the end of the stream."""
        refusal = (await self.until("refusal", limit_s)).refusal
        demand(refusal.message, "a Refusal without a sentence")
        with contextlib.suppress(TimeoutError):
            demand(await self.next(PATIENCE_S) is None, "the stream goes on after Refusal")
            return refusal
        raise Broken("the stream stays open after Refusal")

    async def quiet(self, body: str, seconds: float) -> None:
        """Demand that nothing with this body comes for a while."""
        try:
            await self.until(body, seconds)
        except Broken as finding:
            if str(finding).startswith(f"no `{body}`"):
                return
            raise
        raise Broken(f"`{body}` came without credit")


def _code(refusal: session_pb2.Refusal) -> str:
    return session_pb2.RefusalCode.Name(refusal.code).removeprefix("REFUSAL_CODE_")


async def check_server(target: Target, report: Report) -> None:
    """Run every check against a server, one after the other.

    Raises:
        Unavailable: Nobody listens at the address.
    """
    async with target.wire() as wire:  # a wrong address is no broken rule
        await Talk(wire).open(target.hello())
    checks = Checks(target)
    for rule, what, work, limit_s in checks.all():
        await report.check(rule, what, work, limit_s=limit_s)


class Checks:
    """The checks, in the order of the rules."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def all(self) -> list[tuple[str, str, Callable[[], Any], float]]:
        """Return (rule, what is tried, check, time limit in s)."""
        return [
            ("B1", "a first message that is not Hello is refused", self.other_first_message, 10),
            ("B1", "a stream that says nothing is refused", self.silence_at_first, 15),
            ("B2", "a version that nobody speaks is refused, both named", self.unknown_version, 10),
            ("B3", "Welcome says what a client needs to know", self.welcome, 10),
            ("B4", "inventory and configuration follow, whole and numbered", self.snapshot, 15),
            ("B5", "an unknown body is ignored", self.unknown_body, 10),
            ("B6", "bytes that are no message are refused", self.garbage, 10),
            ("B6", "a message that is too large is refused", self.too_large, 20),
            ("B6", "text frames are refused", self.text_frame, 10),
            ("B7", "a wrong token is refused", self.wrong_token, 10),
            ("L2", "what is not acknowledged yet waits, what is acknowledged is forgotten", self.window, 15),
            ("L4", "a gap in the numbers ends the stream", self.gap, 10),
            ("L4", "an acknowledgement of what was never sent ends the stream", self.false_ack, 10),
            ("R2", "a broken stream goes on where it was", self.resume, 15),
            ("R1", "every Welcome has a new secret", self.fresh_token, 15),
            ("R3", "a wrong secret begins anew and is no error", self.wrong_secret, 15),
            ("R6", "after Goodbye there is nothing to resume", self.goodbye, 15),
            ("R7", "a resume ends the older stream", self.resume_while_open, 15),
            ("H1", "heartbeats come, and ours are answered with both clocks", self.heartbeat, 20),
            ("H2", "a client that falls silent is given up", self.falls_silent, 60),
            ("F5", "figures come with credit only", self.credit, 20),
            ("F5", "what was understood of a Subscribe is told", self.subscribe_reply, 10),
            ("F6", "16-bit figures are those that were measured", self.quantised, 20),
            ("P1", "people see each other", self.presence, 15),
            ("O2", "a second client that wants the same is told to wait", self.conflict, 15),
            ("O3", "a takeover tells the older client", self.takeover, 15),
            ("O4", "the fencing number grows", self.fencing, 15),
            ("F1", "telemetry of a scene is taken and credit given back", self.scene_credit, 20),
            ("L1", "a lossless message is acknowledged", self.lossless_ack, 15),
            ("B6", "figures that do not fit together are refused", self.broken_figures, 10),
        ]

    async def _refused(self, *messages: bytes, code: str, limit_s: float = PATIENCE_S) -> str:
        async with self._target.wire() as wire:
            talk = Talk(wire)
            for message in messages:
                await wire.send(message)
            refusal = await talk.refusal(limit_s)
            demand(_code(refusal) == code, f"refused with {_code(refusal)}, not {code}: {refusal.message}")
            return refusal.message

    async def other_first_message(self) -> str:
        """B1."""
        return await self._refused(
            bridge_pb2.ConnectRequest(subscribe=session_pb2.Subscribe()).SerializeToString(), code="PROTOCOL"
        )

    async def silence_at_first(self) -> str:
        """B1."""
        return await self._refused(code="PROTOCOL", limit_s=HELLO_LIMIT_S + 5)

    async def unknown_version(self) -> str:
        """B2."""
        text = await self._refused(self._target.hello(protocol_min=98, protocol_max=99), code="VERSION")
        demand("98" in text and "99" in text and "1" in text.replace("98", "").replace("99", ""), text)
        return text

    async def welcome(self) -> str:
        """B3."""
        async with self._target.wire() as wire:
            welcome = await Talk(wire).open(self._target.hello())
            demand(welcome.session_id, "no session id")
            demand(welcome.protocol_version == 1, f"version {welcome.protocol_version}, 1 was offered")
            demand(0 < welcome.heartbeat_interval_s <= 30, f"heartbeat_interval_s {welcome.heartbeat_interval_s}")
            demand(welcome.lossless_window > 0, "lossless_window 0")
            demand(welcome.max_message_bytes > 0, "max_message_bytes 0")
            demand("T" in welcome.sim_epoch, f"sim_epoch `{welcome.sim_epoch}` is no RFC 3339")
            demand(welcome.kpis, "no KPI declared")
            demand(not welcome.resumed, "resumed, though nothing was to be resumed")
            return f"session {welcome.session_id}, {len(welcome.kpis)} KPIs, scene `{welcome.scene_id}`"

    async def snapshot(self) -> str:
        """B4, L1."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            await talk.open(self._target.hello())
            total, revisions = 0, set[int]()
            entities: list[topology_pb2.Entity] = []
            while True:
                response = await talk.until("topology_snapshot")
                demand(response.seq > 0, "TopologySnapshot without a number")
                chunk = response.topology_snapshot
                revisions.add(chunk.revision)
                entities.extend(chunk.entities)
                total = chunk.total
                if chunk.last:
                    break
            demand(len(entities) == total, f"{len(entities)} entities, total says {total}")
            demand(len(revisions) == 1, f"revisions {sorted(revisions)} in one snapshot")
            indices = [entity.index for entity in entities]
            demand(indices == sorted(set(indices)), "indices do not grow across chunks")
            demand(len({entity.id for entity in entities}) == total, "an id appears twice")
            await talk.until("desired_configuration")
            return f"{total} entities at revision {revisions.pop()}"

    async def unknown_body(self) -> str:
        """B5."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            await talk.open(self._target.hello())
            await wire.send(UNKNOWN_FIELD)
            await talk.say(heartbeat=session_pb2.Heartbeat(number=7, sent_unix_ns=time.time_ns()))
            await talk.until("heartbeat_reply")
            return "the stream goes on"

    async def garbage(self) -> str:
        """B6."""
        return await self._refused(self._target.hello(), b"\xff\xff\xff\xffrubbish", code="PROTOCOL")

    async def too_large(self) -> str:
        """B6."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            welcome = await talk.open(self._target.hello())
            big = bridge_pb2.ConnectRequest(goodbye=session_pb2.Goodbye(reason="x" * welcome.max_message_bytes))
            await wire.send(big.SerializeToString())
            refusal = await talk.refusal()
            demand(_code(refusal) == "TOO_LARGE", f"refused with {_code(refusal)}: {refusal.message}")
            return refusal.message

    async def text_frame(self) -> str:
        """B6 over WebSocket."""
        async with self._target.wire() as wire:
            if not isinstance(wire, WebSocketWire):
                raise NotTestable("gRPC has no text frames")
            talk = Talk(wire)
            await talk.open(self._target.hello())
            await wire.send_text("hello")
            refusal = await talk.refusal()
            demand(wire.close_code == 1008, f"close code {wire.close_code}, not 1008")
            return refusal.message

    async def wrong_token(self) -> str:
        """B7."""
        if not self._target.token:
            raise NotTestable("the server lets this client in without a token")
        return await self._refused(self._target.hello(token="wrong"), code="UNAUTHENTICATED")  # noqa: S106

    async def window(self) -> str:
        """L2."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            await talk.open(self._target.hello())
            await talk.started()
            before = talk.highest
            await talk.say()
            await talk.say(topology_request=topology_pb2.TopologyRequest())
            demand((await talk.until("topology_snapshot")).seq == before + 1, "numbers do not go on")
            return f"numbers go on after {before}"

    async def gap(self) -> str:
        """L4."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            await talk.open(self._target.hello())
            talk.sent = 4
            await talk.say_lossless(contribute=topology_pb2.Contribute())
            refusal = await talk.refusal()
            demand(_code(refusal) == "PROTOCOL", f"refused with {_code(refusal)}")
            return refusal.message

    async def false_ack(self) -> str:
        """L4."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            await talk.open(self._target.hello())
            await wire.send(bridge_pb2.ConnectRequest(ack=1_000_000).SerializeToString())
            refusal = await talk.refusal()
            demand(_code(refusal) == "PROTOCOL", f"refused with {_code(refusal)}")
            return refusal.message

    async def _begun(self) -> Talk:
        """Return a session that was begun and cut."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            await talk.open(self._target.hello())
            if not talk.welcome.resume_token:
                raise NotTestable("this server gives no resume token")
            await talk.started()
            await talk.say(subscribe=session_pb2.Subscribe(channels=[session_pb2.CHANNEL_EVENTS]))
            await talk.until("subscribe_reply")
        await asyncio.sleep(0.2)
        return talk

    def _resume(self, talk: Talk, token: str = "") -> bytes:
        point = session_pb2.ResumePoint(
            session_id=talk.welcome.session_id,
            resume_token=token or talk.welcome.resume_token,
            last_seq=talk.highest,
        )
        return self._target.hello(resume=point)

    async def resume(self) -> str:
        """R2."""
        begun = await self._begun()
        async with self._target.wire() as wire:
            talk = Talk(wire)
            talk.highest = begun.highest
            welcome = await talk.open(self._resume(begun))
            demand(welcome.resumed, "not resumed within a second of the break")
            demand(welcome.session_id == begun.welcome.session_id, "resumed under another session id")
            with contextlib.suppress(Broken):
                await talk.until("topology_snapshot", 0.5)
                raise Broken("a resumed session got a snapshot again")
            await talk.say(topology_request=topology_pb2.TopologyRequest())
            response = await talk.until("topology_snapshot")
            demand(response.seq > begun.highest, f"number {response.seq} after {begun.highest}")
            return f"session {welcome.session_id} goes on after {begun.highest}"

    async def fresh_token(self) -> str:
        """R1."""
        begun = await self._begun()
        async with self._target.wire() as wire:
            talk = Talk(wire)
            talk.highest = begun.highest
            welcome = await talk.open(self._resume(begun))
            demand(welcome.resume_token not in {"", begun.welcome.resume_token}, "the same secret twice")
        async with self._target.wire() as wire:
            talk = Talk(wire)
            welcome = await talk.open(self._resume(begun))
            demand(not welcome.resumed, "the secret of an older Welcome still opens the session")
        return "a secret is good once"

    async def wrong_secret(self) -> str:
        """R3."""
        begun = await self._begun()
        async with self._target.wire() as wire:
            talk = Talk(wire)
            welcome = await talk.open(self._resume(begun, token="wrong"))  # noqa: S106
            demand(not welcome.resumed, "resumed with a wrong secret")
            demand(welcome.session_id != begun.welcome.session_id, "the session of another was given away")
            await talk.started()
            return "a new session with a snapshot"

    async def goodbye(self) -> str:
        """R6."""
        async with self._target.wire() as wire:
            begun = Talk(wire)
            await begun.open(self._target.hello())
            await begun.started()
            await begun.say(goodbye=session_pb2.Goodbye(reason="conformance"))
            with contextlib.suppress(TimeoutError):
                while await begun.next(2.0) is not None:
                    pass
        async with self._target.wire() as wire:
            welcome = await Talk(wire).open(self._resume(begun))
            demand(not welcome.resumed, "a session that was left for good was resumed")
            return "a new session"

    async def resume_while_open(self) -> str:
        """R7."""
        async with self._target.wire() as old_wire, self._target.wire() as new_wire:
            old = Talk(old_wire)
            await old.open(self._target.hello())
            await old.started()
            if not old.welcome.resume_token:
                raise NotTestable("this server gives no resume token")
            new = Talk(new_wire)
            new.highest = old.highest
            demand((await new.open(self._resume(old))).resumed, "not resumed while the old stream is open")
            end = time.monotonic() + PATIENCE_S
            while await old.next(max(end - time.monotonic(), 0.01)) is not None:
                pass
            return "the older stream ended"

    async def heartbeat(self) -> str:
        """H1."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            welcome = await talk.open(self._target.hello())
            sent_ns = time.time_ns()
            await talk.say(heartbeat=session_pb2.Heartbeat(number=41, sent_unix_ns=sent_ns))
            reply = (await talk.until("heartbeat_reply")).heartbeat_reply
            took_s = (time.time_ns() - sent_ns) / 1e9
            demand((reply.number, reply.sent_unix_ns) == (41, sent_ns), "the answer is to another heartbeat")
            demand(reply.received_unix_ns > 0, "the answer has no clock")
            await talk.until("heartbeat", 2.5 * welcome.heartbeat_interval_s)
            return f"round trip {1000 * took_s:.1f} ms"

    async def falls_silent(self) -> str:
        """H2."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            welcome = await talk.open(self._target.hello())
            begun_s = time.monotonic()
            limit_s = 3 * welcome.heartbeat_interval_s + 5
            while time.monotonic() - begun_s < limit_s:
                with contextlib.suppress(TimeoutError):
                    if await talk.next(1.0) is None:
                        return f"given up after {time.monotonic() - begun_s:.1f} s"
            raise Broken(f"still open after {limit_s:.0f} s of silence")

    async def _subscribed(self, wire: Wire, **subscribe: Any) -> Talk:
        talk = Talk(wire)
        await talk.open(self._target.hello())
        await talk.started()
        await talk.say(subscribe=session_pb2.Subscribe(**subscribe))
        await talk.until("subscribe_reply")
        return talk

    async def _figures(self, talk: Talk) -> figures_pb2.Telemetry:
        try:
            return (await talk.until("telemetry", 3.0)).telemetry
        except Broken as finding:
            if "no `telemetry`" in str(finding):
                raise NotTestable("no scene sends figures here now") from None
            raise

    async def credit(self) -> str:
        """F5."""
        async with self._target.wire() as wire:
            talk = await self._subscribed(wire, channels=[session_pb2.CHANNEL_TELEMETRY])
            await talk.quiet("telemetry", 1.5)
            await talk.say(credit=session_pb2.Credit(channel=session_pb2.CHANNEL_TELEMETRY, messages=1))
            figures = await self._figures(talk)
            demand(figures.HasField("quantised") is False, "16-bit figures, though floats were asked for")
            await talk.quiet("telemetry", 1.5)
            return f"one message of {len(figures.entity_index)} entities for one credit"

    async def subscribe_reply(self) -> str:
        """F5."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            await talk.open(self._target.hello())
            await talk.say(subscribe=session_pb2.Subscribe(channels=[session_pb2.CHANNEL_ALARMS], kpis=["No.SuchKpi"]))
            reply = (await talk.until("subscribe_reply")).subscribe_reply
            demand(list(reply.channels) == [session_pb2.CHANNEL_ALARMS], f"channels {list(reply.channels)}")
            demand(list(reply.unknown_kpis) == ["No.SuchKpi"], f"unknown_kpis {list(reply.unknown_kpis)}")
            return "an unknown KPI is named"

    async def quantised(self) -> str:
        """F6."""
        async with self._target.wire() as wire:
            talk = await self._subscribed(
                wire,
                channels=[session_pb2.CHANNEL_TELEMETRY],
                encoding=figures_pb2.ENCODING_QUANTISED_INT16,
            )
            await talk.say(credit=session_pb2.Credit(channel=session_pb2.CHANNEL_TELEMETRY, messages=1))
            figures = await self._figures(talk)
            if not figures.HasField("quantised"):
                raise NotTestable("the server answers with floats")
            n, k, q = len(figures.entity_index), len(figures.kpis), figures.quantised
            demand(not figures.position_m and not figures.values, "floats beside 16-bit figures")
            demand(len(q.position_int16) in {0, 6 * n}, f"{len(q.position_int16)} bytes of positions for {n}")
            demand(len(q.values_int16) == 2 * n * k, f"{len(q.values_int16)} bytes of values for {n} x {k}")
            demand(len(q.values_scale) == len(q.values_offset) == k, "not one scale and offset per column")
            return f"{n} entities, {k} figures each"

    async def presence(self) -> str:
        """P1."""
        wanted = session_pb2.Subscribe(channels=[session_pb2.CHANNEL_PRESENCE])
        async with self._target.wire() as one, self._target.wire() as other:
            ann, bob = Talk(one), Talk(other)
            for talk, name in ((ann, "Ann"), (bob, "Bob")):
                await talk.open(self._target.hello())
                await talk.started()
                await talk.say(subscribe=wanted)
                await talk.say(credit=session_pb2.Credit(channel=session_pb2.CHANNEL_PRESENCE, messages=20))
                await talk.say(presence={"name": name})
            end = time.monotonic() + PATIENCE_S
            while time.monotonic() < end:
                people = (await ann.until("presence_list")).presence_list.people
                if {"Ann", "Bob"} <= {person.name for person in people}:
                    return f"{len(people)} people"
            raise Broken("Ann does not see Bob")

    # Rules about scenes.

    def _scene_hello(self, **more: Any) -> bytes:
        if not self._target.scene_id:
            raise NotTestable("needs --scene: a scene of the server to show instead of the present one")
        provides = [session_pb2.PROVISION_MOTION, session_pb2.PROVISION_KPI]
        return self._target.hello(session_pb2.ROLE_SCENE, provides=provides, epoch=1, **{"takeover": True, **more})

    async def conflict(self) -> str:
        """O2."""
        async with self._target.wire() as wire:
            await Talk(wire).open(self._scene_hello())
            async with self._target.wire() as second:
                await second.send(self._scene_hello(takeover=False))
                refusal = await Talk(second).refusal()
                demand(_code(refusal) == "CONFLICT", f"refused with {_code(refusal)}")
                demand(refusal.retry_after_s > 0, "not told how long to wait")
                return refusal.message

    async def takeover(self) -> str:
        """O3."""
        async with self._target.wire() as wire, self._target.wire() as second:
            older = Talk(wire)
            await older.open(self._scene_hello())
            await Talk(second).open(self._scene_hello())
            notice = (await older.until("notice")).notice
            demand(notice.code == session_pb2.NOTICE_CODE_TAKEN_OVER, f"notice {notice.code}")
            return notice.message

    async def fencing(self) -> str:
        """O4."""
        numbers: list[int] = []
        for _ in range(2):
            async with self._target.wire() as wire:
                numbers.append((await Talk(wire).open(self._scene_hello())).fencing_number)
        demand(0 < numbers[0] < numbers[1], f"{numbers}")
        return f"{numbers[0]} < {numbers[1]}"

    async def scene_credit(self) -> str:
        """F1, F2."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            welcome = await talk.open(self._scene_hello())
            demand(welcome.telemetry_credits > 0, "no first credit")
            entities = await talk.started()
            phone = next((entity for entity in entities if entity.kind == "ue"), None)
            if phone is None:
                raise NotTestable("the inventory has no UE")
            for number in range(1, welcome.telemetry_credits + 1):
                await talk.say(telemetry=self._telemetry(welcome, phone, number))
            credit = (await talk.until("credit")).credit
            demand(credit.channel == session_pb2.CHANNEL_TELEMETRY, f"credit for channel {credit.channel}")
            return f"{credit.messages} given back"

    def _telemetry(
        self, welcome: session_pb2.Welcome, phone: topology_pb2.Entity, number: int
    ) -> figures_pb2.Telemetry:
        place = phone.position
        return figures_pb2.Telemetry(
            epoch=1,
            number=number,
            sim_time_s=welcome.resume_at_sim_s,
            entity_index=[phone.index],
            position_m=[place.east_m, place.north_m, place.up_m],
        )

    async def lossless_ack(self) -> str:
        """L1, L2."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            welcome = await talk.open(self._scene_hello())
            await talk.started()
            number = await talk.say_lossless(event={"name": "conform.hello", "sim_time_s": welcome.resume_at_sim_s})
            end = time.monotonic() + PATIENCE_S
            while time.monotonic() < end:
                response = await talk.next(PATIENCE_S)
                demand(response is not None, "the stream ended")
                if response is not None and response.ack >= number:
                    return f"number {number} acknowledged"
            raise Broken("never acknowledged")

    async def broken_figures(self) -> str:
        """B6."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            await talk.open(self._scene_hello())
            await talk.say(telemetry=figures_pb2.Telemetry(entity_index=[0, 1], position_m=[1.0, 2.0]))
            refusal = await talk.refusal()
            demand(_code(refusal) == "PROTOCOL", f"refused with {_code(refusal)}")
            return refusal.message
