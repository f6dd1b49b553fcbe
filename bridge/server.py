"""The gRPC server of the bridge: who may come in, where commands go, who watches.

Everything that a scene says goes to the :class:`~twin.ports.SceneSink`; the way back is :attr:`BridgeServer.link`.
Loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import structlog

from bridge import codec, mapping
from bridge.dispatch import Dispatch
from bridge.errors import VersionMismatch, row_of, write_refusal
from bridge.fanout import Fanout
from bridge.greeting import send_delta, send_desired, send_topology, write_welcome
from bridge.health import BridgeHealth, dropped_by, health_of
from bridge.session import Session
from bridge.stream import CHANNEL_OPTIONS, PROTOCOL_VERSION, BridgeSettings
from bridge.unary import unary_handlers
from bridge.v1 import session_pb2
from twin.errors import (
    InvalidInput,
    Overloaded,
    PortInUse,
    ProtocolError,
    SceneUnavailable,
    StartError,
    TwinError,
    Unavailable,
)
from twin.ids import uuid7
from twin.ports import SceneInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from bridge.dispatch import SceneState
    from bridge.v1 import bridge_pb2
    from twin.alarms import Alarm
    from twin.commands import CommandResult
    from twin.ports import SceneLink, SceneSink, SceneStart
    from twin.telemetry import PmReport, TelemetryBatch
    from twin.topology import Topology

_LOOPBACK = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "[::1]"}
_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class BridgeServer:
    """The door between scenes and the twin.

    Args:
        sink: Where everything that a scene says goes.
        host: A loopback name; any other is refused.
        port: 0 takes a free one.
    """

    def __init__(
        self, *, sink: SceneSink, host: str = "127.0.0.1", port: int = 8601, settings: BridgeSettings | None = None
    ) -> None:
        self._sink = sink
        self._host = host
        self._port = port
        self._settings = settings or BridgeSettings()
        self._server: grpc.aio.Server | None = None
        self._scenes: dict[str, Session] = {}
        self._starts: dict[str, SceneStart] = {}
        self._index_revision: dict[str, int] = {}
        self._fanout = Fanout()
        self._dispatch = Dispatch(self._scene_session)
        self._telemetry_dropped_before = 0
        self._unknown_before = 0
        self._stopping = False
        self._log = structlog.get_logger("bridge")

    @property
    def link(self) -> SceneLink:
        """The way back into the scene."""
        return self._dispatch

    async def start(self) -> int:
        """Listen and return the bound port.

        Raises:
            StartError: The host is no loopback name. PortInUse: Another program listens there.
        """
        address = _LOOPBACK.get(self._host)
        if address is None:
            raise StartError(
                f"the bridge does not listen on `{self._host}`: scenes are not authenticated, so only loopback names"
                f" are allowed ({', '.join(_LOOPBACK)})"
            )
        server = grpc.aio.server(
            options=[
                *CHANNEL_OPTIONS,
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        )
        connect = grpc.stream_stream_rpc_method_handler(self._connect)
        handlers = {"Connect": connect, **unary_handlers(self, self._dispatch)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bridge.v1.BridgeService", handlers),))
        try:
            bound = server.add_insecure_port(f"{address}:{self._port}")
        except RuntimeError as exc:
            raise PortInUse(
                f"the bridge cannot listen on port `{self._port}` of {address}: another program holds it;"
                " stop that program or choose another port (0 takes a free one)"
            ) from exc
        await server.start()
        self._server = server
        self._stopping = False
        self._log.info("bridge_listening", host=address, port=bound)
        return bound

    async def stop(self) -> None:
        """Tell every client, end every stream and stop listening."""
        if self._server is None:
            return
        self._stopping = True
        for session in (*self._scenes.values(), *self._fanout.observers):
            session.end(session_pb2.NOTICE_CODE_SHUTTING_DOWN, "the twin stops; reconnect later")
        await self._server.stop(grace=0.5)
        self._server = None
        self._dispatch.close()

    def health(self) -> BridgeHealth:
        """Return how the bridge is doing."""
        return health_of(
            (*self._scenes.values(), *self._fanout.observers),
            telemetry_dropped_before=self._telemetry_dropped_before,
            unknown_before=self._unknown_before,
            commands_pending=self._dispatch.pending,
        )

    def topology_changed(self, topology: Topology, *, scene_id: str | None = None) -> None:
        """Tell a scene and those who watch it about a new revision (None = the only scene)."""
        scene_id = scene_id or next(iter(self._starts), "")
        old = self._starts.get(scene_id)
        if old is None:
            return
        self._starts[scene_id] = replace(old, topology=topology)
        if [e.id for e in old.topology.entities] != [e.id for e in topology.entities]:
            self._index_revision[scene_id] = topology.revision
        for session in self._watching(scene_id):
            send_delta(session.outbox, old.topology, topology)

    def publish_alarm(self, alarm: Alarm) -> None:
        """Tell observers and the scene that an alarm was raised or cleared."""
        self._fanout.alarm(alarm)

    def publish_event(self, scene_id: str, name: str, facts: Mapping[str, object], sim_time_s: float) -> None:
        """Tell observers that something happened."""
        self._fanout.event(scene_id, name, facts, sim_time_s)

    async def request_state(self, scene_id: str | None = None, *, timeout_s: float) -> SceneState:
        """Return the whole state of a scene (None = the only one).

        Raises:
            SceneUnavailable: None connected that provides STATE. DeadlineExceeded: Not in time.
        """
        return await self._dispatch.request_state(scene_id, timeout_s=timeout_s)

    def start_of(self, scene_id: str) -> tuple[str, SceneStart]:
        """Return (id, what it was told) of a scene; "" names the only one.

        Raises:
            InvalidInput: Several scenes and none named. SceneUnavailable: No such scene was ever here.
        """
        if not scene_id:
            if len(self._starts) > 1:
                raise InvalidInput(f"several scenes are known; name one of {', '.join(sorted(self._starts))}")
            scene_id = next(iter(self._starts), "")
        start = self._starts.get(scene_id)
        if start is None:
            raise SceneUnavailable(f"no scene `{scene_id}` has connected; start one with `twin scene`")
        return scene_id, start

    # What sessions ask of their host.

    def command_answered(self, session: Session, result: CommandResult) -> None:
        """Hand an answer to whoever waits for it, and to observers."""
        self._dispatch.answered(result)
        self._fanout.command(session.info.scene_id, result)

    def telemetry_arrived(self, session: Session, batch: TelemetryBatch) -> bool:
        """Hand a batch on if its indices fit the present topology."""
        start = self._starts[session.info.scene_id]
        behind = batch.revision < self._index_revision[session.info.scene_id]
        ahead = batch.revision > start.topology.revision
        if behind or ahead or (batch.entity_index.size and int(batch.entity_index.max()) >= len(start.topology)):
            self._log.warning(
                "telemetry_of_other_revision",
                session=session.info.session_id,
                seq=batch.seq,
                revision=batch.revision,
                expected=start.topology.revision,
            )
            return False
        self._sink.telemetry(batch)
        self._fanout.telemetry(batch)
        return True

    def pm_arrived(self, session: Session, report: PmReport) -> None:
        """Hand a report on to observers."""
        if session.live:
            self._fanout.pm(report)

    def went_live(self, session: Session, sim_time_s: float) -> None:
        """Tell the sink and observers."""
        session.live = True
        self._sink.scene_live(session.info.scene_id, sim_time_s)
        self._fanout.live(session.info.scene_id, sim_time_s)

    def state_arrived(self, session: Session, request: bridge_pb2.ConnectRequest) -> None:
        """Add a chunk of state."""
        self._dispatch.state_chunk(session, request.state_chunk)

    def topology_wanted(self, session: Session) -> None:
        """Send the inventory again."""
        send_topology(session.outbox, self._starts[session.info.scene_id].topology)

    def subscribed(self, session: Session, subscribe: session_pb2.Subscribe) -> None:
        """Answer what was understood."""
        self._fanout.subscribed(session, subscribe)

    # Streams.

    async def _connect(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        session: Session | None = None
        reason = "the stream ended"
        try:
            session = await self._admit(requests)
            await session.run(requests, context.write)
        except TwinError as error:
            reason = str(error)
            self._log.warning("stream_refused", reason=reason, kind=type(error).__name__)
            await self._refuse(context, error)
        except asyncio.CancelledError:
            reason = "the connection was lost"
            raise
        finally:
            if session is not None:
                self._leave(session, reason)

    async def _refuse(self, context: grpc.aio.ServicerContext[bytes, bytes], error: TwinError) -> None:
        response = codec.ConnectResponse()
        write_refusal(response, error)
        with contextlib.suppress(grpc.aio.BaseError):  # the client may be gone already
            await context.write(response.SerializeToString())
        await context.abort(row_of(error).status, str(error))

    async def _admit(self, requests: AsyncIterator[bytes]) -> Session:
        try:
            async with asyncio.timeout(self._settings.hello_timeout_s):
                raw = await anext(requests)
        except TimeoutError:
            raise ProtocolError(f"no Hello within `{self._settings.hello_timeout_s}` s; say it first") from None
        except StopAsyncIteration:
            raise ProtocolError("the stream ended before Hello") from None
        request = codec.decode_request(raw)
        if request.WhichOneof("body") != "hello":
            raise ProtocolError(f"the first message is `{request.WhichOneof('body')}`; say Hello first")
        hello = request.hello
        if not hello.protocol_min <= PROTOCOL_VERSION <= hello.protocol_max:
            raise VersionMismatch(
                f"the client speaks bridge.v1 versions `{hello.protocol_min}` to `{hello.protocol_max}`,"
                f" this twin speaks `{PROTOCOL_VERSION}`; update the older of the two"
            )
        if self._stopping:
            raise Unavailable("the twin stops; reconnect later")
        if len(self._scenes) + len(self._fanout.observers) >= self._settings.max_sessions:
            raise Overloaded(f"`{self._settings.max_sessions}` streams are open; close one first")
        match hello.role:
            case session_pb2.ROLE_SCENE:
                return self._admit_scene(hello)
            case session_pb2.ROLE_OBSERVER | session_pb2.ROLE_TRAINER:
                return self._admit_observer(hello)
            case _:
                raise ProtocolError("Hello names no role; say scene, observer or trainer")

    def _admit_scene(self, hello: session_pb2.Hello) -> Session:
        if not _SLUG.fullmatch(hello.scene_id):
            raise ProtocolError(
                f"`{hello.scene_id[:80]}` is no scene id; use 1 to 64 of a-z, 0-9, dot, dash and underscore"
            )
        info = _info_of(hello, hello.scene_id)
        older = self._scenes.get(info.scene_id)
        if older is not None:
            self._leave(older, "a newer connection took over")
            older.end(session_pb2.NOTICE_CODE_TAKEN_OVER, f"a newer connection shows the scene `{info.scene_id}` now")
        start = self._sink.scene_connecting(info)
        session = Session(info=info, role=hello.role, sink=self._sink, host=self, settings=self._settings)
        self._scenes[info.scene_id] = session
        self._starts[info.scene_id] = start
        self._index_revision.setdefault(info.scene_id, start.topology.revision)
        self._greet(session, start)
        self._dispatch.connected(session)
        return session

    def _admit_observer(self, hello: session_pb2.Hello) -> Session:
        scene_id, start = self.start_of(hello.scene_id)
        session = Session(
            info=_info_of(hello, scene_id), role=hello.role, sink=self._sink, host=self, settings=self._settings
        )
        self._fanout.join(session, start.topology)
        self._greet(session, start)
        return session

    def _greet(self, session: Session, start: SceneStart) -> None:
        welcome = codec.ConnectResponse()
        write_welcome(welcome.welcome, start, session_id=session.info.session_id, settings=self._settings)
        session.outbox.send_now(welcome)
        send_topology(session.outbox, start.topology)
        send_desired(session.outbox, start)
        self._log.info(
            "client_welcome",
            session=session.info.session_id,
            scene=session.info.scene_id,
            engine=session.info.engine,
            provides=sorted(session.info.provides),
        )

    def _leave(self, session: Session, reason: str) -> None:
        if self._scenes.get(session.info.scene_id) is session:
            del self._scenes[session.info.scene_id]
            self._sink.scene_disconnected(session.info, reason)
        elif session in self._fanout.observers:
            self._fanout.leave(session)
        else:
            return
        self._telemetry_dropped_before += dropped_by(session)
        self._unknown_before += session.unknown_bodies
        self._log.info("client_gone", session=session.info.session_id, scene=session.info.scene_id, reason=reason)

    def _watching(self, scene_id: str) -> list[Session]:
        everyone = (*self._scenes.values(), *self._fanout.observers)
        return [session for session in everyone if session.info.scene_id == scene_id]

    def _scene_session(self, scene_id: str | None, provision: str | None) -> Session:
        for session in self._scenes.values():
            if scene_id in {None, session.info.scene_id} and (provision is None or provision in session.info.provides):
                return session
        what = f" that provides {provision}" if provision else ""
        raise SceneUnavailable(f"no scene{what} is connected; start one with `twin scene`")


def _info_of(hello: session_pb2.Hello, scene_id: str) -> SceneInfo:
    return SceneInfo(
        scene_id=scene_id,
        session_id=uuid7(),
        engine=hello.engine,
        engine_version=hello.engine_version,
        provides=frozenset(mapping.PROVISIONS[p] for p in hello.provides if p in mapping.PROVISIONS),
        epoch=hello.epoch,
    )
