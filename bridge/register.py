"""The sessions of a server: open ones, and those whose stream broke and that wait to be resumed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from bridge.holdings import Holdings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridge.session import Session
    from bridge.stream import BridgeSettings


class Register:
    """Who is here.

    Args:
        gone: Told of a session that is over, and why, once.
    """

    def __init__(self, settings: BridgeSettings, *, gone: Callable[[Session, str], None]) -> None:
        self.holdings = Holdings(lease_s=settings.lease_s)
        self._settings = settings
        self._gone = gone
        self._sessions: dict[str, Session] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("bridge")

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def __contains__(self, session: Session) -> bool:
        return self._sessions.get(session.info.session_id) is session

    def get(self, session_id: str) -> Session | None:
        """Return a session, None when it is not here."""
        return self._sessions.get(session_id)

    @property
    def open_count(self) -> int:
        """Sessions with a stream."""
        return len(self._sessions) - len(self._timers)

    def scenes(self, scene_id: str | None = None) -> list[Session]:
        """Return the sessions of scenes (None = of all) that hold what they provide, the newest last."""
        return [
            session
            for session in self._sessions.values()
            if session.is_scene
            and scene_id in {None, session.info.scene_id}
            and not self.holdings.lapsed(session.info.session_id)
        ]

    def holder(self, scene_id: str, provision: str) -> Session | None:
        """Return who holds a provision of a scene, None when nobody does."""
        session_id = self.holdings.holder(scene_id, provision)
        return None if session_id is None else self._sessions.get(session_id)

    def add(self, session: Session) -> None:
        """Let a session in."""
        self._sessions[session.info.session_id] = session

    def suspend(self, session: Session) -> None:
        """The stream of a session broke: keep it for a while, and what it holds for the lease."""
        session_id = session.info.session_id
        if len(self._timers) >= self._settings.max_suspended:
            self.finish(self._least_missed(), "too many sessions wait to be resumed")
        session.suspend()
        self.holdings.broke(session_id)
        loop = asyncio.get_running_loop()
        self._timers[session_id] = loop.call_later(
            self._settings.resume_ttl_s, self.finish, session, "it was not resumed in time"
        )

    def _least_missed(self) -> Session:
        """Return the suspended session to forget first: who only watched, then who was away longest."""
        waiting = [self._sessions[session_id] for session_id in self._timers]
        return next((session for session in waiting if not session.is_scene), waiting[0])

    def resumed(self, session: Session) -> None:
        """A suspended session has a stream again."""
        self._timers.pop(session.info.session_id).cancel()
        self.holdings.resumed(session.info.session_id)

    def finish(self, session: Session, reason: str) -> None:
        """Forget a session for good."""
        if session not in self:
            return
        session_id = session.info.session_id
        del self._sessions[session_id]
        self.holdings.release(session_id)
        timer = self._timers.pop(session_id, None)
        if timer is not None:
            timer.cancel()
        self._gone(session, reason)
        closing = asyncio.create_task(session.close(), name=f"close-{session_id}")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Forget everybody."""
        for session in self:
            self.finish(session, "the twin stops")
        await asyncio.gather(*self._closing)
