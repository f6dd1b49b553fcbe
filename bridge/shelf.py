"""What lies ready for a consumer: news in a row, and slots in which only the newest counts.

News in a row are bounded and never dropped here. In a slot the newer replaces the older; when it is taken, it must be
fresh, unless newer was asked for in vain.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from twin.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import Hashable

    from bridge.news import News

MOST_NEWS = 8192
"""News in the row: more than the twin sends without acknowledgement."""


class Queued(NamedTuple):
    """News in the row; `session` and `stream` say whose acknowledgement and credit they are."""

    news: News
    session: int
    stream: int
    seq: int


@dataclass(slots=True)
class Newest:
    """What lies in a slot; `asked` = how often something newer was asked for since it came."""

    news: News
    sent_unix_ns: int
    arrived_s: float
    asked: int = 0


class Shelf:
    """Holds what the consumer has not taken."""

    def __init__(self) -> None:
        self._row: deque[Queued] = deque()
        self._slots: dict[Hashable, Newest] = {}
        self._row_first = False

    def queue(self, news: News, *, session: int, stream: int, seq: int) -> None:
        """Put news behind the others.

        Raises:
            Overloaded: Too many lie there.
        """
        if len(self._row) >= MOST_NEWS:
            raise Overloaded(f"`{MOST_NEWS}` news wait to be taken; take them faster, or subscribe to less")
        self._row.append(Queued(news, session, stream, seq))

    def put(self, slot: Hashable, news: News, *, sent_unix_ns: int = 0, stays_fresh: bool = False) -> None:
        """Put something into a slot, in the place of what lies there."""
        self._slots.pop(slot, None)  # to the end of the row: slots take turns
        self._slots[slot] = Newest(news, sent_unix_ns, math.inf if stays_fresh else time.monotonic())

    def lies(self, slot: Hashable) -> News | None:
        """Return what lies in a slot."""
        newest = self._slots.get(slot)
        return newest.news if newest else None

    def asked(self) -> None:
        """Note that something newer was asked for."""
        for newest in self._slots.values():
            newest.asked += 1

    def take(self, *, fresh_after_s: float) -> Queued | Newest | None:
        """Return what is next: slots and the row by turns, so that neither waits for the other.

        Args:
            fresh_after_s: What came before this is too old, by `time.monotonic`.
        """
        self._row_first = not self._row_first
        if self._row_first and self._row:
            return self._row.popleft()
        for slot, newest in self._slots.items():
            # What stays the newest although it was asked for again is all there is, however old.
            if newest.arrived_s >= fresh_after_s or newest.asked > 1:
                return self._slots.pop(slot)
        return self._row.popleft() if self._row else None
