"""Checks of a server, first part: how a stream begins, what is refused, numbers, liveness."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from bridge.conform.report import Broken, Check, NotTestable, demand
from bridge.conform.talk import PATIENCE_S, Talk
from bridge.conform.wire import WebSocketWire
from bridge.v1 import bridge_pb2, session_pb2, topology_pb2

if TYPE_CHECKING:
    from bridge.conform.talk import Target

HELLO_LIMIT_S = 5.0
"""Rule B1."""

UNKNOWN_FIELD = b"\xba\x3e\x00"
"""Field 999 of an envelope, an empty message: what a later version may say."""


class StreamChecks:
    """Rules B, L and H."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def all(self) -> list[Check]:
        """Return the checks in the order of the rules."""
        return [
            Check(rule="B1", what="a first message that is not Hello is refused", work=self.other_first_message),
            Check(rule="B1", what="a stream that says nothing is refused", work=self.silence_at_first),
            Check(rule="B2", what="a version that nobody speaks is refused, both named", work=self.unknown_version),
            Check(rule="B3", what="Welcome says what a client needs to know", work=self.welcome),
            Check(rule="B4", what="inventory and configuration follow, whole and numbered", work=self.snapshot),
            Check(rule="B5", what="an unknown body is ignored", work=self.unknown_body),
            Check(rule="B6", what="bytes that are no message are refused", work=self.garbage),
            Check(rule="B6", what="a message that is too large is refused", work=self.too_large),
            Check(rule="B6", what="text frames are refused", work=self.text_frame),
            Check(rule="B7", what="a wrong token is refused", work=self.wrong_token),
            Check(rule="L2", what="numbers go on after an acknowledgement", work=self.numbers),
            Check(rule="L4", what="a gap in the numbers ends the stream", work=self.gap),
            Check(rule="L4", what="an acknowledgement of what was never sent ends the stream", work=self.false_ack),
            Check(rule="H1", what="heartbeats come, and ours are answered with both clocks", work=self.heartbeat),
            Check(rule="H2", what="a client that falls silent is given up", work=self.falls_silent, limit_s=60),
        ]

    async def _refused(self, *messages: bytes, code: str, limit_s: float = PATIENCE_S) -> str:
        async with self._target.wire() as wire:
            for message in messages:
                await wire.send(message)
            return await Talk(wire).refusal(code, limit_s)

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
            await talk.alive(7)
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
            return await talk.refusal("TOO_LARGE")

    async def text_frame(self) -> str:
        """B6 over WebSocket."""
        async with self._target.wire() as wire:
            if not isinstance(wire, WebSocketWire):
                raise NotTestable("gRPC has no text frames")
            talk = Talk(wire)
            await talk.open(self._target.hello())
            await wire.send_text("hello")
            said = await talk.refusal("PROTOCOL")
            demand(wire.close_code == 1008, f"close code {wire.close_code}, not 1008")
            return said

    async def wrong_token(self) -> str:
        """B7."""
        if not self._target.token:
            raise NotTestable("the server lets this client in without a token")
        return await self._refused(self._target.hello(token="wrong"), code="UNAUTHENTICATED")  # noqa: S106

    async def numbers(self) -> str:
        """L1, L2."""
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
            return await talk.refusal("PROTOCOL")

    async def false_ack(self) -> str:
        """L4."""
        async with self._target.wire() as wire:
            talk = Talk(wire)
            await talk.open(self._target.hello())
            await wire.send(bridge_pb2.ConnectRequest(ack=1_000_000).SerializeToString())
            return await talk.refusal("PROTOCOL")

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
            await talk.until("heartbeat", limit_s=2.5 * welcome.heartbeat_interval_s)
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
