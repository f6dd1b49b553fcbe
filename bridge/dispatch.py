"""Orders on their way to a scene, and states on their way back: who waits for which answer."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from bridge import codec, mapping
from twin.commands import Command, CommandStage, Overlay
from twin.errors import DeadlineExceeded, ProtocolError, SceneUnavailable
from twin.ids import uuid7

if TYPE_CHECKING:
    from bridge.session import Session
    from bridge.v1 import state_pb2
    from twin.commands import CommandResult

MAX_STATE_BYTES = 1024 * 1024 * 1024


class FindScene(Protocol):
    """Finds the session of a scene."""

    def __call__(self, scene_id: str | None, provision: str | None) -> Session:
        """Return the session of the scene (None = any) with the provision (None = any).

        Raises:
            SceneUnavailable: There is none.
        """
        ...


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


@dataclass(slots=True, kw_only=True)
class _Pending:
    command: Command
    scene_id: str
    answer: asyncio.Future[CommandResult]
    stage: CommandStage | None = None
    waiters: int = 0


@dataclass(slots=True, kw_only=True)
class _PendingState:
    session_id: str
    answer: asyncio.Future[SceneState]
    data: bytearray


class Dispatch:
    """Implements :class:`~twin.ports.SceneLink` over the sessions of a server."""

    def __init__(self, find: FindScene) -> None:
        self._find = find
        self._commands: dict[str, _Pending] = {}
        self._states: dict[str, _PendingState] = {}

    @property
    def pending(self) -> int:
        """Commands that wait for a final stage."""
        return len(self._commands)

    async def send(self, command: Command, *, timeout_s: float, scene_id: str | None = None) -> CommandResult:
        """Push a command and wait for its final stage; sent again when the scene reconnects meanwhile.

        Without a deadline of its own the command gets one at the time-out, so that a scene which comes back later
        answers EXPIRED rather than surprising everybody.

        Raises:
            SceneUnavailable: None connected. DeadlineExceeded: No final stage in time (the outcome is unknown).
        """
        pending = self._commands.get(command.id)
        if pending is None:
            pending = self._push(command, timeout_s=timeout_s, scene_id=scene_id)
        pending.waiters += 1
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(pending.answer)
        except TimeoutError:
            stage = pending.stage.value if pending.stage else "not even received"
            raise DeadlineExceeded(
                f"the scene `{pending.scene_id}` gave no final answer to command `{command.id}` within `{timeout_s:g}`"
                f" s ({stage}); ask again with the same id to learn the outcome"
            ) from None
        finally:
            pending.waiters -= 1
            if not pending.waiters:
                self._commands.pop(command.id, None)
                pending.answer.cancel()

    def _push(self, command: Command, *, timeout_s: float, scene_id: str | None) -> _Pending:
        session = self._find(scene_id, None if isinstance(command.body, Overlay) else "KPI")
        if not command.deadline_unix_ns:
            command = replace(command, deadline_unix_ns=time.time_ns() + int(timeout_s * 1e9))
        pending = _Pending(
            command=command,
            scene_id=session.info.scene_id,
            answer=asyncio.get_running_loop().create_future(),
        )
        self._commands[command.id] = pending
        _send_command(session, command)
        return pending

    def connected(self, session: Session) -> None:
        """Send again what a scene that came back has not answered."""
        for pending in self._commands.values():
            if pending.scene_id == session.info.scene_id and not pending.answer.done():
                _send_command(session, pending.command)

    def answered(self, result: CommandResult) -> None:
        """Take a stage of a command; only the first final one counts."""
        pending = self._commands.get(result.command_id)
        if pending is None or pending.answer.done():
            return
        pending.stage = result.stage
        if result.stage is not CommandStage.RECEIVED:
            pending.answer.set_result(result)

    async def request_state(self, scene_id: str | None, *, timeout_s: float) -> SceneState:
        """Ask a scene for its state and put the chunks together.

        Raises:
            SceneUnavailable: None connected that provides STATE, or it has none.
            DeadlineExceeded: Not in time. ProtocolError: The chunks do not fit together.
        """
        session = self._find(scene_id, "STATE")
        request_id = uuid7()
        pending = _PendingState(
            session_id=session.info.session_id,
            answer=asyncio.get_running_loop().create_future(),
            data=bytearray(),
        )
        self._states[request_id] = pending
        response = codec.ConnectResponse()
        response.state_request.request_id = request_id
        session.outbox.send(response)
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
        for waiting in (*self._commands.values(), *self._states.values()):
            if not waiting.answer.done():
                waiting.answer.set_exception(SceneUnavailable("the bridge stops"))


def _send_command(session: Session, command: Command) -> None:
    response = codec.ConnectResponse()
    mapping.write_command(response.command, command)
    session.outbox.send(response)
