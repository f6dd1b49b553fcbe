"""News for whoever listens: one hub, bounded queues, slow listeners lose the oldest news and are told so."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

QUEUE_LENGTH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One event of the running twin: `alarm`, `change`, `scene` or `health`; facts of one scene carry `scene_id`."""

    number: int
    name: str
    facts: Mapping[str, Any]

    def concerns(self, scene_id: str) -> bool:
        """Whether the news is of this scene, or of the twin as a whole."""
        return self.facts.get("scene_id", scene_id) == scene_id


class NewsHub:
    """Fans news out to every listener. Lives on the event loop."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[News]] = set()
        self._number = 0
        self.dropped = 0

    def publish(self, name: str, facts: Mapping[str, Any]) -> None:
        """Hand the news to every listener; never waits."""
        self._number += 1
        news = News(number=self._number, name=name, facts=facts)
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
                self.dropped += 1
            queue.put_nowait(news)

    @contextmanager
    def listen(self) -> Generator[asyncio.Queue[News]]:
        """Return a queue that fills with news while the block runs."""
        queue: asyncio.Queue[News] = asyncio.Queue(QUEUE_LENGTH)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
