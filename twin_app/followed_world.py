"""The world of a followed scene: an engine says where UEs are and what time it is, the network is computed here.

Nothing is made up in between: the newest place of a UE counts, time goes as far as the engine's newest batch, and
when the engine stands still so does time. Knows nothing of the wire.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from twin.errors import InvalidInput
from twin_app.scene_world import SLICE_S, TELEMETRY_INTERVAL_S, TICK_S, Produced, SceneWorld

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.commands import SimulationControl
    from twin.telemetry import PmReport, TelemetryBatch

LONGEST_CATCH_UP_S = 120.0
"""Up to this much of the engine's time is stepped through; more becomes a gap."""
OTHER_CLOCK_S = 86_400.0
"""An engine that is further ahead does not use the twin's clock: only the pace of its time is followed then."""
JITTER_S = 1.0
"""An engine that falls back this little is waited for; one that falls back further began another run of time."""


class MotionInbox:
    """The newest place of every entity and the newest time: what the loop puts in, the worker takes out.

    Bounded by the number of entities, however long nobody takes anything out.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._place_m = np.zeros((0, 2), dtype=np.float32)
        self._told = np.zeros(0, dtype=bool)
        self._time_s: float | None = None
        self.batches = 0

    def put(self, batch: TelemetryBatch) -> None:
        """Take a batch; one without positions only tells the time."""
        with self._lock:
            self.batches += 1
            self._time_s = batch.sim_time_s
            if batch.position_m is None or not batch.entity_index.size:
                return
            index = batch.entity_index.astype(np.int64)
            missing = int(index.max()) + 1 - len(self._told)
            if missing > 0:
                self._place_m = np.concatenate([self._place_m, np.zeros((missing, 2), dtype=np.float32)])
                self._told = np.concatenate([self._told, np.zeros(missing, dtype=bool)])
            self._place_m[index] = batch.position_m[:, :2]
            self._told[index] = True

    def take(self) -> tuple[float | None, NDArray[np.uint32], NDArray[np.float32]]:
        """Return (newest time or None when nothing came, ``[n] uint32`` indices, ``[n, 2] float32``) and forget it."""
        with self._lock:
            index = np.flatnonzero(self._told)
            taken = self._time_s, index.astype(np.uint32), self._place_m[index]
            self._told[:] = False
            self._time_s = None
            return taken


class FollowedWorld(SceneWorld):
    """A world whose UEs and whose time somebody else moves.

    Attributes:
        inbox: Where batches of the engine go in, from any thread.
        refused: Positions that were no numbers.
        rebased: How often the engine's clock was not the twin's and only its pace was followed from then on.
    """

    inbox: MotionInbox
    refused: int = 0
    rebased: int = 0
    _target_s: float | None = None
    _offset_s: float = 0.0
    _batched_s: float = -1.0

    def follow(self, inbox: MotionInbox) -> None:
        """Take places and time from here from now on."""
        self.inbox = inbox
        self.network.guide()

    def _take_over(self) -> None:
        """Let UEs stand where the engine put them, also those of a state that walked by itself."""
        self.network.guide()

    @property
    def behind(self) -> bool:
        """Whether there are ticks left to step."""
        return self._target_s is not None and self.sim_time_s + TICK_S <= self._target_s + 1e-6

    def advance(self) -> Produced:
        """Take the newest places and step towards the engine's time, for at most a slice of wall time."""
        begin_s = time.monotonic()
        told_s, index, place_m = self.inbox.take()
        if index.size:
            self.refused += self.network.place(index, place_m)
        if told_s is not None:
            self._aim(told_s)
        reports: list[PmReport] = []
        while self.behind and time.monotonic() - begin_s < SLICE_S:
            self._tick(reports)
        self._measure()
        return Produced(reports=tuple(reports), batch=self._newer_batch())

    def _newer_batch(self) -> TelemetryBatch | None:
        """Return figures once per step of the engine; of a faster engine every so often."""
        now_s = time.monotonic()
        if self.sim_time_s <= self._batched_s or (self.behind and now_s < self._next_batch_wall_s):
            return None
        self._batched_s = self.sim_time_s
        self._next_batch_wall_s = now_s + TELEMETRY_INTERVAL_S
        return self._numbered_batch()

    def _aim(self, told_s: float) -> None:
        """Decide how far to step for a time that the engine told."""
        ahead_s = told_s + self._offset_s - self.sim_time_s
        if not -JITTER_S <= ahead_s <= OTHER_CLOCK_S:
            self._offset_s = self.sim_time_s - told_s
            self.rebased += 1
        elif ahead_s > LONGEST_CATCH_UP_S:
            self.set_clock(told_s + self._offset_s)
        self._target_s = told_s + self._offset_s

    def _control(self, order: SimulationControl, *, dry_run: bool) -> None:
        if order.operation != "reset":
            raise InvalidInput(f"the engine that moves this scene keeps its time; `{order.operation}` it there")
        super()._control(order, dry_run=dry_run)

    def _reset(self, seed: int) -> None:
        here = self.network.telemetry(scene_id="", epoch=0, seq=0)
        super()._reset(seed)
        self.network.guide()
        if here.position_m is not None:
            self.network.place(here.entity_index, here.position_m)
