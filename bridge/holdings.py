"""Who holds what of each scene: MOTION, KPI and STATE, each by one session, with a lease and a growing number.

Knows sessions by their ids only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bridge.errors import SceneHeld

if TYPE_CHECKING:
    from collections.abc import Callable


class Claim(NamedTuple):
    """What a claim led to.

    Attributes:
        fencing_number: Larger than every earlier one, also than those before the twin was restarted.
        ousted: Sessions that lost what they held.
    """

    fencing_number: int
    ousted: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class _Holding:
    scene_id: str
    provides: frozenset[str]
    fencing_number: int
    free_at_s: float | None = None


class Holdings:
    """What is held.

    Args:
        lease_s: How long a holding lasts beyond the break of its stream.
        clock: Seconds that only grow.
        wall: Seconds since 1970, so that numbers grow across restarts.
    """

    def __init__(
        self, *, lease_s: float, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._lease_s = lease_s
        self._clock = clock
        self._wall = wall
        self._last_number = 0
        self._held: dict[str, _Holding] = {}

    def claim(self, session_id: str, *, scene_id: str, provides: frozenset[str], takeover: bool) -> Claim:
        """Let a session hold what it provides.

        Args:
            takeover: Whether to take it from whoever holds it now.

        Raises:
            SceneHeld: Another session holds some of it, and `takeover` was not asked for.
        """
        now_s = self._clock()
        rivals = {
            other: holding
            for other, holding in self._held.items()
            if other != session_id and holding.scene_id == scene_id and holding.provides & provides
        }
        waits_s = [self._lease_s if h.free_at_s is None else h.free_at_s - now_s for h in rivals.values()]
        if waits_s and max(waits_s) > 0 and not takeover:
            what = ", ".join(sorted(set().union(*(h.provides & provides for h in rivals.values()))))
            raise SceneHeld(
                f"another client provides {what} of the scene `{scene_id}`; try again in `{max(waits_s):.1f}` s,"
                " or say `takeover` to push it out",
                retry_after_s=max(waits_s),
            )
        for other in rivals:
            del self._held[other]
        self._last_number = max(self._last_number + 1, int(self._wall() * 1000))
        self._held[session_id] = _Holding(scene_id=scene_id, provides=provides, fencing_number=self._last_number)
        return Claim(self._last_number, tuple(rivals))

    def broke(self, session_id: str) -> None:
        """The stream of a session broke: its lease begins."""
        holding = self._held.get(session_id)
        if holding is not None:
            holding.free_at_s = self._clock() + self._lease_s

    def resumed(self, session_id: str) -> bool:
        """The stream goes on; returns whether the session still holds what it did."""
        holding = self._held.get(session_id)
        if holding is None:
            return False
        holding.free_at_s = None
        return True

    def release(self, session_id: str) -> None:
        """Let go of everything at once."""
        self._held.pop(session_id, None)

    def holder(self, scene_id: str, provision: str) -> str | None:
        """Return the session that holds a provision of a scene, None when nobody does (any more)."""
        now_s = self._clock()
        for session_id, holding in self._held.items():
            if holding.scene_id == scene_id and provision in holding.provides:
                return session_id if holding.free_at_s is None or holding.free_at_s > now_s else None
        return None

    def lapsed(self, session_id: str) -> bool:
        """Return whether the lease of a session is over."""
        holding = self._held.get(session_id)
        return holding is None or (holding.free_at_s is not None and holding.free_at_s <= self._clock())
