"""A client of the kit: as polite as the rules want it, and rude where a check asks for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.conform.report import Broken, NotTestable, demand
from bridge.conform.wire import open_wire, response_of
from bridge.v1 import bridge_pb2, session_pb2, topology_pb2

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

    import grpc

    from bridge.conform.wire import Wire

PATIENCE_S = 5.0
LEAVE_S = 0.3
"""How long a server may take to end a stream that is over; it is cut then."""


class Silence(Broken):
    """What should have come did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The server under test.

    Attributes:
        token: Put into every Hello; "" = none.
        watch_scene: Scene to watch; "" = the only one.
        scene_id: Scene to show; "" = none is shown, and the rules about scenes stay untested.
        patient: Whether to try what takes as long as the server's own waiting times, such as `resume_ttl_s`.
    """

    url: str
    token: str = ""
    watch_scene: str = ""
    scene_id: str = ""
    patient: bool = False
    tls: ssl.SSLContext | None = None
    grpc_tls: grpc.ChannelCredentials | None = None

    @contextlib.asynccontextmanager
    async def wire(self, *, breaks: bool = False) -> AsyncGenerator[Wire]:
        """Yield an open stream; it ends with Goodbye, so that nothing of it is left at the server.

        Args:
            breaks: Whether it is cut without a word instead.
        """
        wire = await open_wire(self.url, tls=self.tls, grpc_tls=self.grpc_tls)
        try:
            yield wire
            if not breaks:
                goodbye = bridge_pb2.ConnectRequest(goodbye=session_pb2.Goodbye(reason="the check is over"))
                await wire.send(goodbye.SerializeToString())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LEAVE_S):
                        while await wire.receive() is not None:
                            pass
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
    """A stream with a memory: numbers, acknowledgements and heartbeats as the rules want them.

    Attributes:
        welcome: What the server said first.
        highest: Number of the lossless message that came last.
        acknowledges: Whether it tells the server so.
        revision: Of the inventory that the server sent.
    """

    def __init__(self, wire: Wire, *, highest: int = 0) -> None:
        self.wire = wire
        self.welcome = session_pb2.Welcome()
        self.highest = highest
        self.acknowledges = True
        self.sent = 0
        self.revision = 0

    async def open(self, hello: bytes) -> session_pb2.Welcome:
        """Say Hello and return Welcome."""
        await self.wire.send(hello)
        response = await self.next()
        if response is None:
            raise Broken("the stream ended before Welcome")
        if response.HasField("refusal"):
            raise Broken(f"refused: {code_of(response.refusal)}: {response.refusal.message}")
        demand(response.HasField("welcome"), f"the first message is `{response.WhichOneof('body')}`")
        self.welcome = response.welcome
        return response.welcome

    async def next(self, limit_s: float = PATIENCE_S) -> bridge_pb2.ConnectResponse | None:
        """Return the next message, None at the end of the stream."""
        async with asyncio.timeout(limit_s):
            response = response_of(await self.wire.receive())
        if response is not None and response.seq:
            demand(response.seq == self.highest + 1, f"lossless `{response.seq}` follows `{self.highest}`")
            self.highest = response.seq
        return response

    async def until(self, *bodies: str, limit_s: float = PATIENCE_S) -> bridge_pb2.ConnectResponse:
        """Return the next message with one of these bodies; acknowledges and answers heartbeats on the way.

        Raises:
            Silence: It did not come in time. Broken: The stream ended.
        """
        what = " or ".join(f"`{body}`" for body in bodies)
        end = time.monotonic() + limit_s
        while (left_s := end - time.monotonic()) > 0:
            try:
                response = await self.next(left_s)
            except TimeoutError:
                break
            if response is None:
                raise Broken(f"the stream ended while waiting for {what}")
            await self._manners(response)
            if response.WhichOneof("body") in bodies:
                return response
        raise Silence(f"no {what} within {limit_s:g} s")

    async def started(self) -> list[topology_pb2.Entity]:
        """Take the snapshot and the configuration; returns the entities."""
        entities: list[topology_pb2.Entity] = []
        while True:
            chunk = (await self.until("topology_snapshot")).topology_snapshot
            entities.extend(chunk.entities)
            self.revision = chunk.revision
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
        elif response.seq and self.acknowledges:
            await self.say()

    async def say(self, **body: Any) -> None:
        """Send something that is not lossless; without a body it only acknowledges."""
        ack = self.highest if self.acknowledges else 0
        await self.wire.send(bridge_pb2.ConnectRequest(ack=ack, **body).SerializeToString())

    async def say_lossless(self, **body: Any) -> int:
        """Send something lossless and return its number."""
        self.sent += 1
        await self.wire.send(bridge_pb2.ConnectRequest(seq=self.sent, ack=self.highest, **body).SerializeToString())
        return self.sent

    async def subscribe(self, *channels: session_pb2.Channel.ValueType, **more: Any) -> session_pb2.SubscribeReply:
        """Choose channels and return what the server understood."""
        await self.say(subscribe=session_pb2.Subscribe(channels=channels, **more))
        return (await self.until("subscribe_reply")).subscribe_reply

    async def grant(self, channel: session_pb2.Channel.ValueType, messages: int) -> None:
        """Give the server credit."""
        await self.say(credit=session_pb2.Credit(channel=channel, messages=messages))

    async def alive(self, number: int) -> None:
        """Demand that the server still answers."""
        await self.say(heartbeat=session_pb2.Heartbeat(number=number, sent_unix_ns=time.time_ns()))
        while (await self.until("heartbeat_reply")).heartbeat_reply.number != number:
            pass

    async def ends(self, limit_s: float = PATIENCE_S) -> None:
        """Wait for the end of the stream, whatever comes before it."""
        try:
            async with asyncio.timeout(limit_s):
                while await self.next(limit_s) is not None:
                    pass
        except TimeoutError:
            raise Broken(f"the stream is still open after {limit_s:g} s") from None

    async def refusal(self, code: str, limit_s: float = PATIENCE_S) -> str:
        """Wait for a Refusal with this code and the end of the stream; returns its sentence."""
        refusal = (await self.until("refusal", limit_s=limit_s)).refusal
        demand(refusal.message, "a Refusal without a sentence")
        demand(code_of(refusal) == code, f"refused with {code_of(refusal)}, not {code}: {refusal.message}")
        with contextlib.suppress(TimeoutError):
            demand(await self.next() is None, "the stream goes on after Refusal")
            return refusal.message
        raise Broken("the stream stays open after Refusal")

    async def quiet(self, body: str, seconds: float, why: str) -> None:
        """Demand that nothing with this body comes for a while."""
        with contextlib.suppress(Silence):
            await self.until(body, limit_s=seconds)
            raise Broken(f"`{body}` came {why}")

    def resume_point(self, *, token: str = "", last_seq: int | None = None) -> session_pb2.ResumePoint:
        """Return how to go on with this session."""
        if not self.welcome.resume_token:
            raise NotTestable("this server gives no resume token")
        return session_pb2.ResumePoint(
            session_id=self.welcome.session_id,
            resume_token=token or self.welcome.resume_token,
            last_seq=self.highest if last_seq is None else last_seq,
        )


def code_of(refusal: session_pb2.Refusal) -> str:
    """Return the name of a code as `docs/bridge.md` writes it."""
    return session_pb2.RefusalCode.Name(refusal.code).removeprefix("REFUSAL_CODE_")
