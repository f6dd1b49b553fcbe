"""The shadow twin of one scene: its state is fetched, changes are tried out on copies of it, the scene goes on.

Implements `twin.ports.WhatIf`, judges proposals for the change desk, and keeps the what-ifs that people started.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import structlog

from twin.commands import SetAttribute
from twin.control import no_shadow, plan, shadow_of
from twin.errors import (
    CorruptStore,
    DeadlineExceeded,
    NotFound,
    Overloaded,
    PermissionDenied,
    ProtocolError,
    SceneUnavailable,
    ShadowUnavailable,
    TwinError,
    Unavailable,
)
from twin.ids import uuid7
from twin.network_state import FORMAT
from twin.what_if import anchored, around, check_size
from twin_app.compiled_kernel import kernel_at_hand
from twin_app.shadow_messages import City, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.dispatch import SceneState
    from twin.control import PlannedAction, Shadow
    from twin.ports import TelemetryStore
    from twin.what_if_report import WhatIfReport
    from twin_app.inventory import LiveInventory
    from twin_app.settings import ShadowSettings
    from twin_app.shadow_pool import Place, ShadowPool

STATE = "STATE"
"""What a scene provides that can hand out its state."""
STATE_TIMEOUT_S = 10.0
MEASURED_S = 60.0
"""An estimate is put where the figures of this long were."""
MAX_KEPT = 50
"""What-ifs that are kept of one caller; the oldest finished ones are forgotten."""
MAX_RUNNING = 4
"""What-ifs that one caller may have running or waiting."""
MAX_AHEAD_S = 28_800.0
"""Simulated seconds, over all seeds, that one caller may have under way: one of 900 s with 32 seeds."""

_log = structlog.get_logger("twin_app.shadow")


class StateSource(Protocol):
    """Who hands out a scene's state: the bridge."""

    async def request_state(self, scene_id: str | None = None, *, timeout_s: float) -> SceneState:
        """Return the whole state of a scene."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class WhatIfRun:
    """A what-if that somebody started.

    Attributes:
        progress: 0..1.
        error: Why it failed.
    """

    id: str
    actions: tuple[PlannedAction, ...]
    started_by: str
    started_at_unix_s: float
    horizon_s: float
    seeds: int
    state: Literal["running", "done", "failed", "cancelled"] = "running"
    progress: float = 0.0
    report: WhatIfReport | None = None
    error: TwinError | None = None


class SceneShadow:
    """What would happen if, for one scene.

    Args:
        pool: Shared by all scenes.
        guard_drop: Share by which the guard KPI may fall before a change counts as harmful.
    """

    def __init__(
        self,
        *,
        inventory: LiveInventory,
        store: TelemetryStore,
        source: StateSource,
        pool: ShadowPool,
        settings: ShadowSettings,
        guard_drop: float,
    ) -> None:
        self._inventory, self._store, self._source, self._pool = inventory, store, source, pool
        self._settings, self._guard_drop = settings, guard_drop
        scenario = inventory.scenario
        self._city = City(digest=scenario.digest, scenario=scenario, civil=inventory.civil)
        self._runs: OrderedDict[str, WhatIfRun] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def in_words(self) -> str:
        """How it is, for the health page."""
        if not self._settings.enabled:
            return "switched off"
        warm = len(self._pool.pids)
        return f"{warm} of {self._settings.workers} processes warm" if warm else "starts with the first proposal"

    # ---- one answer --------------------------------------------------------------------------------------

    async def foresee(
        self,
        actions: Sequence[SetAttribute],
        *,
        horizon_s: float | None = None,
        seeds: int | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> WhatIfReport:
        """Return what the changes would do; cancelling the call stops the run."""
        self._need_enabled()
        with self._pool.place() as place:
            report, _ = await self._foreseen(
                actions, place=place, horizon_s=horizon_s, seeds=seeds, on_progress=on_progress
            )
        return report

    async def judge(self, actions: Sequence[SetAttribute], *, on_progress: Callable[[float], None]) -> Shadow:
        """Return what an approver should know of a proposal; that nothing can be told is an answer, too."""
        try:
            self._need_enabled()
            with self._pool.place(judging=True) as place:
                report, reason = await self._foreseen(actions, place=place, on_progress=on_progress)
        except TwinError as error:
            _log.warning("shadow_unavailable", error=str(error), kind=type(error).__name__)
            return no_shadow(str(error))
        return shadow_of(report, guard_drop=self._guard_drop, reason=reason)

    def _need_enabled(self) -> None:
        if not self._settings.enabled:
            raise ShadowUnavailable("the shadow twin is switched off (TWIN_SHADOW__ENABLED)")

    async def _foreseen(
        self,
        actions: Sequence[SetAttribute],
        *,
        place: Place,
        horizon_s: float | None = None,
        seeds: int | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> tuple[WhatIfReport, str]:
        """Return the report and, where it is only approximate, why."""
        settings = self._settings
        horizon_s, numbers = horizon_s or settings.horizon_s, range(1, (seeds or settings.seeds) + 1)
        check_size(horizon_s, numbers)
        planned = plan(actions, topology=self._inventory.topology)
        look_at = around(actions, self._inventory.topology, self._inventory.scenario)
        try:
            async with asyncio.timeout(settings.timeout_s):
                state, reason = await self._state()
                job = Job(
                    id=uuid7(),
                    digest=self._city.digest,
                    state=state,
                    configured=() if state is not None else self._inventory.desired(),
                    now_s=self._inventory.now_s,
                    changes=tuple(
                        SetAttribute(entity_id=one.entity_id, attribute=one.attribute, value=one.value)
                        for one in planned
                    ),
                    look_at=look_at,
                    horizon_s=horizon_s,
                    kernel=await asyncio.to_thread(kernel_at_hand),
                )
                report = await self._pool.run(
                    self._city,
                    job,
                    place=place,
                    seeds=numbers,
                    fidelity="approximate" if state is None else "state",
                    on_progress=on_progress,
                )
                if state is None:
                    report = await self._anchored(report, look_at.guarded)
        except TimeoutError:
            raise DeadlineExceeded(
                f"the shadow twin was not done within `{settings.timeout_s:g}` s; look less far ahead, take fewer"
                " seeds, or raise TWIN_SHADOW__TIMEOUT_S"
            ) from None
        except CorruptStore as exc:
            raise ShadowUnavailable(str(exc)) from exc
        return report, reason

    async def _state(self) -> tuple[bytes | None, str]:
        """Return the scene's state, or None and why it must be estimated.

        Raises:
            SceneUnavailable: Nobody gives figures of the scene.
        """
        inventory = self._inventory
        if inventory.figures_from is None:
            raise SceneUnavailable(f"nobody gives figures of the scene `{inventory.scene_id}`, so there is no state")
        if not any(STATE in one.provides for one in inventory.sessions):
            return None, "the scene gives figures but no state; it is estimated from configuration and last figures"
        try:
            found = await self._source.request_state(inventory.scene_id, timeout_s=STATE_TIMEOUT_S)
        except (Unavailable, ProtocolError) as error:
            return None, f"the scene handed out no state ({error}); it is estimated from configuration and last figures"
        if found.format != FORMAT:
            return None, f"the state of the scene has the format `{found.format}`; it is estimated instead"
        return found.data, ""

    async def _anchored(self, report: WhatIfReport, guarded: Sequence[str]) -> WhatIfReport:
        """Put an estimate where the last measured figures were."""
        topology, now_s = self._inventory.topology, self._inventory.now_s
        wanted = {(topology.get(one.entity_id).kind, one.kpi) for one in report.deltas if one.entity_id}
        measured: dict[tuple[str, str], float] = {}
        for kind, name in wanted:
            ids, values = await self._store.window(kind, name, start_s=now_s - MEASURED_S, end_s=now_s)
            for entity_id, value in zip(ids, values.tolist(), strict=True):
                if math.isfinite(value):
                    measured[entity_id, name] = value
        return anchored(report, measured, guarded)

    # ---- what-ifs that people start ----------------------------------------------------------------------

    def start(
        self, actions: Sequence[SetAttribute], *, started_by: str, horizon_s: float | None, seeds: int | None
    ) -> WhatIfRun:
        """Begin a what-if in the background.

        Raises:
            UnknownEntity, UnknownName, OutOfRange, InvalidInput: It cannot be meant.
            ShadowUnavailable: Switched off. Overloaded: Too much runs, of this caller or of all.
        """
        self._need_enabled()
        horizon_s, seeds = horizon_s or self._settings.horizon_s, seeds or self._settings.seeds
        check_size(horizon_s, range(seeds))
        planned = plan(actions, topology=self._inventory.topology)
        self._check_share(started_by, horizon_s * seeds)
        held = ExitStack()
        place = held.enter_context(self._pool.place())  # here, so that who is refused hears it at once
        run = WhatIfRun(
            id=uuid7(),
            actions=planned,
            started_by=started_by,
            started_at_unix_s=time.time(),
            horizon_s=horizon_s,
            seeds=seeds,
        )
        self._runs[run.id] = run
        self._forget_oldest(started_by)
        task = asyncio.create_task(self._carry(run, tuple(actions), place), name=run.id)
        self._tasks[run.id] = task

        def ended(_: asyncio.Task[None]) -> None:
            self._tasks.pop(run.id, None)
            held.close()

        task.add_done_callback(ended)  # also of a task that was cancelled before it began
        return run

    def _check_share(self, caller: str, ahead_s: float) -> None:
        own = [one for one in self._runs.values() if one.state == "running" and one.started_by == caller]
        ahead_s += sum(one.horizon_s * one.seeds for one in own)
        if len(own) >= MAX_RUNNING or ahead_s > MAX_AHEAD_S:
            raise Overloaded(
                f"`{len(own)}` what-ifs of `{caller}` run already, and with this one they look `{ahead_s:g}` s ahead"
                f" over all seeds; at most {MAX_RUNNING} and {MAX_AHEAD_S:g} s may run at once, so wait or stop one"
            )

    async def _carry(self, run: WhatIfRun, actions: tuple[SetAttribute, ...], place: Place) -> None:
        def tell(share: float) -> None:
            run.progress = share

        try:
            run.report, _ = await self._foreseen(
                actions, place=place, horizon_s=run.horizon_s, seeds=run.seeds, on_progress=tell
            )
            run.state, run.progress = "done", 1.0
        except TwinError as error:
            run.state, run.error = "failed", error
        except asyncio.CancelledError:
            run.state = "cancelled"
            raise

    def get(self, run_id: str) -> WhatIfRun:
        """Return a what-if that was started.

        Raises:
            NotFound: There is none, or it is forgotten.
        """
        try:
            return self._runs[run_id]
        except KeyError:
            raise NotFound(
                f"there is no what-if `{run_id}`; the last {MAX_KEPT} of everybody are kept until the twin ends"
            ) from None

    async def cancel(self, run_id: str, *, by: str, may_all: bool = False) -> WhatIfRun:
        """Stop a what-if; one that has ended stays as it is.

        Args:
            run_id: Which.
            by: The caller, who started it.
            may_all: The caller may stop those of others.

        Raises:
            NotFound: There is none. PermissionDenied: Somebody else started it.
        """
        run = self.get(run_id)
        if run.started_by != by and not may_all:
            raise PermissionDenied(f"the what-if `{run_id}` is of `{run.started_by}`; only they or an approver stop it")
        return await self._stop(run)

    async def _stop(self, run: WhatIfRun) -> WhatIfRun:
        task = self._tasks.get(run.id)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if run.state == "running":  # it had not begun
                run.state = "cancelled"
        return run

    async def close(self) -> None:
        """Stop all of them."""
        for run_id in list(self._tasks):
            await self._stop(self._runs[run_id])

    def _forget_oldest(self, caller: str) -> None:
        own = [run for run in self._runs.values() if run.started_by == caller]
        ended = [run.id for run in own if run.state != "running"]
        for run_id in ended[: max(len(own) - MAX_KEPT, 0)]:
            del self._runs[run_id]
