"""Orders on their way to a scene, and states on their way back: who waits for which answer."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bridge import codec, mapping
from twin.commands import VISIBLE, Command, CommandResult, CommandStage, ManageFault, SetAttributes
from twin.errors import DeadlineExceeded, ProtocolError, SceneNotNamed, SceneUnavailable, TwinError
from twin.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.camera import CameraDesk
    from bridge.register import Register
    from bridge.session import Session
    from bridge.v1 import state_pb2
    from twin.media import CameraImage

    Part = Literal["KPI", "MOTION"]

MAX_STATE_BYTES = 1024 * 1024 * 1024
FAULTS_KNOWN = 10_000
"""Orders of which is remembered that they were about a fault."""
SHOW_TIMEOUT_S = 2.0
"""How long the answer for the network waits for that of who shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneState:
    """Everything needed to continue a world elsewhere.

    Attributes:
        format: Name and version of the layout of `data`.
    """

    format: str
    revision: int
    sim_time_s: float
    data: bytes


@dataclass(slots=True, kw_only=True, eq=False)
class _Order:
    """A command on its way to one session; the session changes when the scene comes back as another one."""

    command: Command
    scene_id: str
    part: Part
    session_id: str
    answer: asyncio.Future[CommandResult]
    stage: CommandStage | None = None
    waiters: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class _PendingState:
    session_id: str
    answer: asyncio.Future[SceneState]
    data: bytearray


class Dispatch:
    """Implements :class:`~twin.ports.SceneLink` over the sessions of a server.

    Attributes:
        outcomes: Final answers of sessions to commands, by stage.
    """

    def __init__(self, register: Register, camera: CameraDesk) -> None:
        self._register = register
        self._camera = camera
        self._orders: dict[tuple[str, Part, str], _Order] = {}
        self._states: dict[str, _PendingState] = {}
        self._fault_ids: OrderedDict[str, None] = OrderedDict()
        self.outcomes: Counter[str] = Counter()

    @property
    def pending(self) -> int:
        """Commands that wait for a final stage."""
        return len(self._orders)

    async def send(self, command: Command, *, timeout_s: float, scene_id: str | None = None) -> CommandResult:
        """Push a command and wait for its final stage; it reaches a scene that reconnects meanwhile.

        What only shows goes to who provides MOTION. The rest goes to who provides KPI; attributes that it applied go
        on to a separate session that provides MOTION, whose refusal the answer tells in `reason`.

        Without a deadline of its own the command gets one at the time-out, so that a scene which comes back later
        answers EXPIRED rather than surprising everybody.

        Raises:
            SceneUnavailable: None connected. DeadlineExceeded: No final stage in time (the outcome is unknown).
            SceneNotNamed: Several scenes and none named.
        """
        if isinstance(command.body, ManageFault):
            self._fault_ids[command.id] = None
            while len(self._fault_ids) > FAULTS_KNOWN:
                self._fault_ids.popitem(last=False)
        scene_id = self._scene(scene_id)
        if not command.deadline_unix_ns:
            command = replace(command, deadline_unix_ns=time.time_ns() + int(timeout_s * 1e9))
        if isinstance(command.body, VISIBLE):
            return await self._ask(command, self._showing(scene_id), part="MOTION", timeout_s=timeout_s)
        begin_s = time.monotonic()
        network = self._holder(scene_id, "KPI")
        result = await self._ask(command, network, part="KPI", timeout_s=timeout_s)
        shown = self._register.holder(scene_id, "MOTION")
        if shown is None or shown is network or result.stage is not CommandStage.APPLIED:
            return result
        if not isinstance(command.body, SetAttributes):
            return result
        left_s = timeout_s - (time.monotonic() - begin_s)
        wait_s = 0.0 if shown.suspended else min(SHOW_TIMEOUT_S, max(left_s, 0.0))  # who is away gets it on return
        against = await self._show(command, shown, timeout_s=wait_s)
        return replace(result, reason=f"{result.reason}; {against}".removeprefix("; ")) if against else result

    async def send_to_all(
        self, command: Command, *, scene_ids: Sequence[str], timeout_s: float
    ) -> Mapping[str, CommandResult]:
        """Push the same command to several scenes; one final answer each, FAILED where none came."""

        async def one(scene_id: str) -> CommandResult:
            try:
                return await self.send(command, timeout_s=timeout_s, scene_id=scene_id)
            except TwinError as error:
                return CommandResult(command_id=command.id, stage=CommandStage.FAILED, reason=str(error))

        wanted = tuple(dict.fromkeys(scene_ids))
        results = await asyncio.gather(*(one(scene_id) for scene_id in wanted))
        return dict(zip(wanted, results, strict=True))

    async def picture(
        self, *, scene_id: str | None, camera_id: str = "", width: int = 0, height: int = 0, timeout_s: float
    ) -> CameraImage:
        """Ask a camera of a scene for one picture; see :meth:`bridge.camera.CameraDesk.picture`."""
        return await self._camera.picture(
            scene_id=scene_id, camera_id=camera_id, width=width, height=height, timeout_s=timeout_s
        )

    def connected(self, session: Session) -> None:
        """Send what waits for an answer to the session that now holds what the order is for."""
        for order in self._orders.values():
            if order.scene_id != session.info.scene_id or order.answer.done():
                continue
            target = self._register.holder(order.scene_id, order.part)
            if target is session or (target is None and order.part == "MOTION"):
                order.session_id = session.info.session_id
                _send_command(session, order.command)

    def answered(self, session: Session, result: CommandResult) -> None:
        """Take a stage of a command; only the first final one of the session that was asked counts."""
        for part in ("KPI", "MOTION"):
            order = self._orders.get((session.info.scene_id, part, result.command_id))
            if order is None or order.session_id != session.info.session_id or order.answer.done():
                continue
            order.stage = result.stage
            if result.stage is not CommandStage.RECEIVED:
                order.answer.set_result(result)
                self.outcomes[result.stage.value] += 1

    def answers_fault(self, result: CommandResult) -> bool:
        """Return whether an answer is to an order to inject or clear a fault; it is the instructor's."""
        return result.command_id in self._fault_ids or bool(result.labels)

    # Who is asked.

    def _scene(self, scene_id: str | None) -> str:
        known = sorted({session.info.scene_id for session in self._register.scenes()})
        if scene_id is not None:
            if scene_id not in known:
                raise SceneUnavailable(f"the scene `{scene_id}` is not connected; start it with `twin scene`")
            return scene_id
        if not known:
            raise SceneUnavailable("no scene is connected; start one with `twin scene`")
        if len(known) > 1:
            raise SceneNotNamed(f"several scenes are connected; name one of {', '.join(known)}")
        return known[0]

    def _holder(self, scene_id: str, provision: str) -> Session:
        session = self._register.holder(scene_id, provision)
        if session is None:
            raise SceneUnavailable(
                f"nobody provides {provision} of the scene `{scene_id}` now; start one with `twin scene`"
            )
        return session

    def _showing(self, scene_id: str) -> Session:
        return self._register.holder(scene_id, "MOTION") or self._register.scenes(scene_id)[-1]

    # How it is asked.

    async def _ask(self, command: Command, session: Session, *, part: Part, timeout_s: float) -> CommandResult:
        scene_id = session.info.scene_id
        key = (scene_id, part, command.id)
        order = self._orders.get(key)
        if order is None:
            order = self._orders[key] = _Order(
                command=command,
                scene_id=scene_id,
                part=part,
                session_id=session.info.session_id,
                answer=asyncio.get_running_loop().create_future(),
            )
            _send_command(session, command)
        order.waiters += 1
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(order.answer)
        except TimeoutError:
            stage = order.stage.value if order.stage else "not even received"
            raise DeadlineExceeded(
                f"the scene `{scene_id}` gave no final answer to command `{command.id}` within `{timeout_s:g}` s"
                f" ({stage}); ask again with the same id to learn the outcome"
            ) from None
        finally:
            order.waiters -= 1
            if not order.waiters:
                del self._orders[key]
                order.answer.cancel()

    async def _show(self, command: Command, session: Session, *, timeout_s: float) -> str:
        """Let who shows the scene follow; returns why it does not, "" when it does."""
        try:
            result = await self._ask(command, session, part="MOTION", timeout_s=timeout_s)
        except TwinError as error:
            return f"who shows the scene did not say whether it follows: {error}"
        if result.stage is CommandStage.APPLIED:
            return ""
        return f"who shows the scene does not follow ({result.stage.value}): {result.reason}"

    # States.

    async def request_state(self, scene_id: str | None, *, timeout_s: float) -> SceneState:
        """Ask a scene for its state and put the chunks together.

        Raises:
            SceneUnavailable: None connected that provides STATE, or it has none.
            DeadlineExceeded: Not in time. ProtocolError: The chunks do not fit together.
        """
        session = self._holder(self._scene(scene_id), "STATE")
        request_id = uuid7()
        pending = _PendingState(
            session_id=session.info.session_id,
            answer=asyncio.get_running_loop().create_future(),
            data=bytearray(),
        )
        self._states[request_id] = pending
        response = codec.ConnectResponse()
        response.state_request.request_id = request_id
        session.tell(response)
        try:
            async with asyncio.timeout(timeout_s):
                return await pending.answer
        except TimeoutError:
            raise DeadlineExceeded(
                f"the scene `{session.info.scene_id}` did not send its state within `{timeout_s:g}` s"
            ) from None
        finally:
            del self._states[request_id]

    def state_chunk(self, session: Session, chunk: state_pb2.StateChunk) -> None:
        """Add a chunk of state to the request that it answers; chunks of no request are ignored."""
        pending = self._states.get(chunk.request_id)
        if pending is None or pending.answer.done() or pending.session_id != session.info.session_id:
            return
        if chunk.reason:
            pending.answer.set_exception(SceneUnavailable(f"the scene has no state: {chunk.reason}"))
            return
        if chunk.offset == 0:  # the scene begins again after a break
            pending.data.clear()
        if chunk.offset != len(pending.data) or chunk.total_bytes > MAX_STATE_BYTES:
            pending.answer.set_exception(
                ProtocolError(
                    f"a state chunk begins at `{chunk.offset}` of `{chunk.total_bytes}`, expected `{len(pending.data)}`"
                )
            )
            return
        pending.data += chunk.data
        if chunk.last:
            if hashlib.sha256(pending.data).digest() != chunk.sha256:
                pending.answer.set_exception(ProtocolError("the SHA-256 of the state does not fit its bytes"))
                return
            pending.answer.set_result(
                SceneState(
                    format=chunk.format,
                    revision=chunk.revision,
                    sim_time_s=chunk.sim_time_s,
                    data=bytes(pending.data),
                )
            )

    def close(self) -> None:
        """Tell everybody who still waits that no answer will come."""
        for waiting in (*self._orders.values(), *self._states.values()):
            if not waiting.answer.done():
                waiting.answer.set_exception(SceneUnavailable("the bridge stops"))


def _send_command(session: Session, command: Command) -> None:
    response = codec.ConnectResponse()
    mapping.write_command(response.command, command)
    response.command.fencing_number = session.info.fencing_number
    session.tell(response)
