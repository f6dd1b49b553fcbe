"""The server of the bridge: sessions come in, their words go to the twin, orders and news go out.

Everything that a scene says goes to the :class:`~twin.ports.SceneSink`; the way back is :attr:`BridgeServer.link`.
A stream is any source of bytes with a way to answer: gRPC here, WebSocket in :mod:`bridge.gateway`.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from bridge import codec
from bridge.access import OpenDoor
from bridge.dispatch import Dispatch
from bridge.errors import write_refusal
from bridge.exchange import Exchange
from bridge.fanout import Fanout
from bridge.greeting import send_delta, send_desired, send_topology, write_welcome
from bridge.grpc_door import GrpcDoor, check_exposure
from bridge.health import BridgeHealth, Tally, health_of
from bridge.media import MediaRoom
from bridge.reception import Reception, info_of
from bridge.register import Register
from bridge.session import Session, Stream
from bridge.starts import Starts
from bridge.stream import BridgeSettings
from bridge.v1 import session_pb2
from twin.errors import Overloaded, TwinError, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from bridge.access import Doorkeeper, Guest, TlsFiles
    from bridge.dispatch import SceneState
    from bridge.presence import Person
    from twin.alarms import Alarm
    from twin.commands import CommandResult
    from twin.media import CameraImage
    from twin.ports import SceneInfo, SceneLink, SceneSink, SceneStart
    from twin.topology import Topology

REFUSAL_TIMEOUT_S = 1.0
"""How long a client may take to read why it is refused."""


class BridgeServer:
    """The door between scenes and the twin.

    Args:
        sink: Where everything that a scene says goes.
        host: Where gRPC listens. Any but a loopback name needs `tls` and a doorkeeper that asks for tokens.
        port: 0 takes a free one.
        doorkeeper: Knows tokens; None lets everybody in (loopback only).
        tls: The server's certificate; with a `client_ca` clients need one too.

    Attributes:
        orders: Where the unary SubmitCommand sends: :attr:`link`, or one around it that keeps a record and tells
            :meth:`command_settled` what it recorded; set it before the start.
    """

    def __init__(
        self,
        *,
        sink: SceneSink,
        host: str = "127.0.0.1",
        port: int = 8601,
        settings: BridgeSettings | None = None,
        doorkeeper: Doorkeeper | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        self._sink = sink
        self._host = host
        self._port = port
        self._settings = settings or BridgeSettings()
        self._doorkeeper = doorkeeper or OpenDoor()
        self._tls = tls
        self._door: GrpcDoor | None = None
        self._reception = Reception(settings=self._settings, doorkeeper=self._doorkeeper)
        self._register = Register(self._settings, gone=self._gone)
        self._starts = Starts()
        self._fanout = Fanout(lambda scene_id: self._starts[scene_id].topology)
        self._media = MediaRoom(
            peers=self._listening,
            exists=lambda scene_id: self._starts[scene_id].topology,
            deliver=sink.scene_voice,
            camera_credits=self._settings.camera_credits,
            voice_credits=self._settings.voice_credits,
        )
        self._dispatch = Dispatch(self._register, self._media.camera)
        self.orders: SceneLink = self._dispatch
        self._exchange = Exchange(
            sink=sink,
            dispatch=self._dispatch,
            fanout=self._fanout,
            media=self._media,
            starts=self._starts,
            is_recorded=lambda: self.orders is not self._dispatch,
        )
        self._tally = Tally()
        self._stopping = False
        self._log = structlog.get_logger("bridge")

    @property
    def link(self) -> SceneLink:
        """The way back into the scene."""
        return self._dispatch

    @property
    def fanout(self) -> Fanout:
        """Who gets which figures, and how many buffers were made for them."""
        return self._fanout

    async def start(self) -> int:
        """Listen and return the bound port.

        Raises:
            StartError: Others could reach the host without TLS or tokens. PortInUse: Another program listens there.
        """
        check_exposure(self._host, tls=self._tls, doorkeeper=self._doorkeeper)
        door = GrpcDoor(self, self.orders, self._doorkeeper, self._tally)
        bound = await door.open(
            self._host, self._port, tls=self._tls, max_message_bytes=self._settings.max_message_bytes
        )
        self._door = door
        self._stopping = False
        self._log.info("bridge_listening", host=self._host, port=bound, tls=self._tls is not None)
        return bound

    async def stop(self) -> None:
        """Tell every client, end every stream and stop listening."""
        self._stopping = True
        waiting = self._listening()
        for session in waiting:
            session.end(session_pb2.NOTICE_CODE_SHUTTING_DOWN, "the twin stops; reconnect later")
        if self._door is not None:
            await self._door.close()
            self._door = None
        with contextlib.suppress(TimeoutError):  # streams of other transports end by themselves, or are cut
            async with asyncio.timeout(REFUSAL_TIMEOUT_S):
                await asyncio.gather(*(session.stream.over.wait() for session in waiting))
        await self._register.close()
        self._media.close()
        await self._fanout.close()
        self._dispatch.close()

    async def end_scene(self, scene_id: str, reason: str) -> None:
        """Let everybody go who shows or watches a scene that is no more."""
        here = [session for session in self._register if session.info.scene_id == scene_id]
        waiting = [session for session in here if not session.suspended]
        for session in waiting:
            session.end(session_pb2.NOTICE_CODE_SHUTTING_DOWN, reason)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REFUSAL_TIMEOUT_S):
                await asyncio.gather(*(session.stream.over.wait() for session in waiting))
        for session in here:
            self._register.finish(session, reason)
        self._starts.forget(scene_id)

    def health(self) -> BridgeHealth:
        """Return how the bridge is doing."""
        health = health_of(self._register, tally=self._tally, commands_pending=self._dispatch.pending)
        return replace(
            health,
            command_outcomes=dict(self._dispatch.outcomes),
            pictures_dropped=self._media.camera.dropped,
            voice_dropped=self._media.voice.dropped,
        )

    def topology_changed(self, topology: Topology, *, scene_id: str | None = None) -> None:
        """Tell a scene and those who watch it about a new revision (None = the only scene)."""
        change = self._starts.change(scene_id, topology)
        if change is None:
            return
        scene_id, old = change
        for session in self._register:
            if session.info.scene_id == scene_id:
                send_delta(session, old, topology)

    def command_settled(self, scene_id: str, result: CommandResult) -> None:
        """Tell who subscribed the final answer of a scene, which is on the disk by now; see :attr:`orders`."""
        self._fanout.command(scene_id, result, of_fault=self._dispatch.answers_fault(result))

    def publish_alarm(self, alarm: Alarm) -> None:
        """Tell who subscribed that an alarm was raised or cleared."""
        self._fanout.alarm(alarm)

    def publish_event(self, scene_id: str, name: str, facts: Mapping[str, object], sim_time_s: float) -> None:
        """Tell who subscribed that something happened."""
        self._fanout.event(scene_id, name, facts, sim_time_s)

    def people(self, scene_id: str) -> tuple[Person, ...]:
        """Return who showed itself in a scene, in the order in which they came."""
        return self._media.presence.people(scene_id)

    def latest_picture(self, scene_id: str, camera_id: str = "") -> CameraImage | None:
        """Return the newest picture that a camera of a scene sent unasked, None when there is none."""
        return self._media.camera.latest_picture(scene_id, camera_id)

    async def request_state(self, scene_id: str | None = None, *, timeout_s: float) -> SceneState:
        """Return the whole state of a scene (None = the only one).

        Raises:
            SceneUnavailable: None connected that provides STATE. DeadlineExceeded: Not in time.
        """
        return await self._dispatch.request_state(scene_id, timeout_s=timeout_s)

    def start_of(self, scene_id: str) -> tuple[str, SceneStart]:
        """Return (id, what it was told) of a scene; "" names the only one.

        Raises:
            SceneNotNamed: Several scenes and none named. SceneUnavailable: No such scene was ever here.
        """
        return self._starts.find(scene_id)

    # Streams.

    def _listening(self) -> list[Session]:
        return [session for session in self._register if not session.suspended]

    async def serve_stream(
        self,
        requests: AsyncIterator[bytes],
        write: Callable[[bytes], Awaitable[None]],
        *,
        peer: str,
        credentials: str = "",
    ) -> TwinError | None:
        """Serve one stream of serialized messages from Hello to its end; for transports.

        Args:
            requests: What the client says; ends, or raises ConnectionError, when it does not say more.
            write: Sends to the client; raises ConnectionError when it is gone.
            peer: Who is at the other end, for the log.
            credentials: Token that the transport carried; one in Hello goes before it.

        Returns:
            What the client was refused with (it was told already), None when the stream just ended.
        """
        stream: Stream | None = None
        error: TwinError | None = None
        try:
            stream = await self._admit(requests, credentials)
            await stream.session.run(requests, write)
        except TwinError as refused:
            error = refused
            self._log.warning("stream_refused", peer=peer, reason=str(error), kind=type(error).__name__)
        except ConnectionError:
            pass
        except Exception as failed:  # noqa: BLE001 - the last place that knows the stream; the client gets an answer
            self._log.exception("stream_failed", peer=peer)
            error = TwinError(f"the twin itself failed (`{type(failed).__name__}`); its log says where")
        finally:
            if stream is not None:
                self._parted(stream, error)
        if error is not None:
            self._tally.refused(error)
            response = codec.ConnectResponse()
            write_refusal(response, error)
            with contextlib.suppress(ConnectionError, TimeoutError):  # the client may be gone already
                async with asyncio.timeout(REFUSAL_TIMEOUT_S):
                    await write(response.SerializeToString())
        return error

    async def _admit(self, requests: AsyncIterator[bytes], credentials: str) -> Stream:
        hello = await self._reception.hear(requests)
        if self._stopping:
            raise Unavailable("the twin stops; reconnect later")
        guest = self._reception.recognise(hello, credentials)
        while (earlier := self._earlier(hello, guest)) is not None and not earlier.suspended:
            old = earlier.stream
            await earlier.leave_stream()
            self._parted(old, None)
        if earlier is not None:
            if earlier.can_resume(hello.resume.last_seq):
                return self._resume(earlier, hello)
            self._register.finish(earlier, "its client came back too late to go on")
        if self._register.open_count >= self._settings.max_sessions:
            raise Overloaded(f"`{self._settings.max_sessions}` streams are open; close one first")
        if hello.role == session_pb2.ROLE_SCENE:
            return self._admit_scene(hello, guest)
        scene_id, start = self._starts.find(hello.scene_id)
        return self._welcome(hello, guest, info_of(hello, scene_id=scene_id), start)

    def _earlier(self, hello: session_pb2.Hello, guest: Guest) -> Session | None:
        """Return the session that Hello rightly wants to go on with."""
        if not hello.HasField("resume"):
            return None
        earlier = self._register.get(hello.resume.session_id)
        if earlier is None or not earlier.knows(hello.resume.resume_token):
            return None
        wanted = info_of(hello, scene_id=hello.scene_id or earlier.info.scene_id)
        same = (earlier.role, earlier.guest.name, earlier.info.scene_id, earlier.info.provides)
        return earlier if same == (hello.role, guest.name, wanted.scene_id, wanted.provides) else None

    def _resume(self, session: Session, hello: session_pb2.Hello) -> Stream:
        info = replace(session.info, epoch=hello.epoch)
        if session.is_scene:
            start = self._sink.scene_connecting(info)
            known = self._starts[info.scene_id]
            if start.topology.revision < known.topology.revision:
                start = replace(start, topology=known.topology)
        else:
            start = self._starts[info.scene_id]
        session.info, session.start = info, start
        session.resume(hello.resume.last_seq)
        self._register.resumed(session)
        try:
            self._fanout.resumed(session)
            self._say_welcome(session, start, resumed=True)
            if start.topology.revision > self._starts[info.scene_id].topology.revision:
                self.topology_changed(start.topology, scene_id=info.scene_id)  # now that its ring takes it for sure
            self._starts.note(info.scene_id, start)
            if session.is_scene and session.live:
                self._sink.scene_live(info.scene_id, session.sim_time_s)
        except BaseException:  # nobody serves its stream: it goes on waiting
            self._register.suspend(session)
            self._tell_gone(session, "the twin could not take it back")
            raise
        self._tally.resumed += 1
        return session.stream

    def _admit_scene(self, hello: session_pb2.Hello, guest: Guest) -> Stream:
        info = info_of(hello, scene_id=hello.scene_id)
        claim = self._register.holdings.claim(
            info.session_id, scene_id=info.scene_id, provides=info.provides, takeover=hello.takeover
        )
        for session_id in claim.ousted:
            older = self._register.get(session_id)
            if older is not None:
                self._register.finish(older, "a newer connection took over")
                older.end(
                    session_pb2.NOTICE_CODE_TAKEN_OVER, f"a newer connection shows the scene `{info.scene_id}` now"
                )
        info = replace(info, fencing_number=claim.fencing_number)
        try:
            start = self._sink.scene_connecting(info)
        except BaseException:
            self._register.holdings.release(info.session_id)
            raise
        self._starts.note(info.scene_id, start)
        return self._welcome(hello, guest, info, start)

    def _welcome(self, hello: session_pb2.Hello, guest: Guest, info: SceneInfo, start: SceneStart) -> Stream:
        session = Session(
            info=info,
            role=hello.role,
            guest=guest,
            start=start,
            sink=self._sink,
            host=self._exchange,
            settings=self._settings,
        )
        self._register.add(session)
        try:
            self._reception.check_size(start.topology, hello)
            self._fanout.join(session)
            self._say_welcome(session, start, resumed=False)
            send_topology(session, start.topology)
            send_desired(session, start)
            if session.is_scene:
                self._dispatch.connected(session)
        except BaseException as error:  # nobody serves its stream: it must not stay
            self._register.finish(session, str(error))
            raise
        return session.stream

    def _say_welcome(self, session: Session, start: SceneStart, *, resumed: bool) -> None:
        response = codec.ConnectResponse()
        write_welcome(response.welcome, session, start, settings=self._settings)
        response.welcome.resumed = resumed
        session.outbox.send_now(response)
        self._media.joined(session)
        self._log.info(
            "client_welcome",
            session=session.info.session_id,
            scene=session.info.scene_id,
            guest=session.guest.name,
            engine=session.info.engine,
            provides=sorted(session.info.provides),
            resumed=resumed,
        )

    def _parted(self, stream: Stream, error: TwinError | None) -> None:
        """Keep the session of a stream that is no longer served for a while, or let it go."""
        session = stream.session
        if session.stream is not stream or session.suspended or session not in self._register:
            return
        reason = str(error) if error is not None else stream.reason
        broke_a_rule = error is not None and not isinstance(error, Unavailable)
        if stream.goodbye or broke_a_rule or self._stopping:
            self._register.finish(session, reason)
            return
        self._register.suspend(session)
        self._media.cut(session)
        self._tell_gone(session, reason)
        self._log.info("client_lost", session=session.info.session_id, scene=session.info.scene_id, reason=reason)

    def _tell_gone(self, session: Session, reason: str) -> None:
        if not session.is_scene:
            return
        try:
            self._sink.scene_disconnected(session.info, reason)
        except Exception:  # noqa: BLE001 - a failure of the sink must not keep the others from being told
            self._log.exception("sink_failed", session=session.info.session_id, scene=session.info.scene_id)

    def _gone(self, session: Session, reason: str) -> None:
        """A session is over for good."""
        self._fanout.leave(session)
        self._media.gone(session)
        if not session.suspended:
            self._tell_gone(session, reason)
        self._tally.closed(session)
        self._log.info("client_gone", session=session.info.session_id, scene=session.info.scene_id, reason=reason)
