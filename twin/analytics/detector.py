"""The stream detector: seasonal robust z per (entity, KPI), joined to one verdict per entity.

Vectorised numpy over ``[num_entities, num_kpis]``; one `update` per period. What is normal comes from
:mod:`twin.analytics.baseline`; a fast track sees steps within a minute, a slow track sees creeping shifts. NaN means
hold: nothing is concluded and nothing is learned from it. Nothing is learned from anomalous points either.
Deterministic: same input, same events.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal
from zipfile import BadZipFile

import numpy as np

from twin.analytics.baseline import MAD_TO_SIGMA, Baseline, nanmedian, phase_of
from twin.errors import CorruptStore, InvalidInput
from twin.kpi import kpi as kpi_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from twin.clock import CivilTime

FORMAT = 1

FINE_S = 120
"""Periods up to this long tell how much a series varies within an hour."""

FINE_ROWS = 20
"""With fewer of them an hour says nothing about its noise."""

TAIL_STEP = 0.1
TAIL_BINS = 400
"""Deviations up to 40 robust standard deviations are counted, in steps of a tenth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorTuning:
    """How the detector decides; chosen once, not per data set.

    Attributes:
        k_on: Robust z at which a KPI counts as anomalous.
        k_off: Share of the raising threshold below which it counts as normal again.
        on_s: How long an entity must stay anomalous before it is raised.
        off_s: How long it must stay normal before it is cleared.
        fast_s: Time constant of the fast track.
        slow_s: Time constant of the slow track.
        budget: Share of normal points that may lie above the raising threshold before `margin` is put on it.
        margin: Factor from there to the raising threshold.
        relearn_s: After a change of our own: how long the new level is learned before it is judged.
        days: Days remembered per hour of the day and kind of day.
        min_days: Days of past before anything is raised.
    """

    k_on: float = 5.0
    k_off: float = 0.6
    on_s: float = 30.0
    off_s: float = 60.0
    fast_s: float = 20.0
    slow_s: float = 3_600.0
    budget: float = 1e-4
    margin: float = 1.2
    relearn_s: float = 120.0
    days: int = 10
    min_days: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One KPI that is not as expected.

    Attributes:
        score: 0..1; 0.5 at the threshold.
    """

    kpi: str
    value: float
    expected: float
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorEvent:
    """An entity became anomalous, or normal again.

    Attributes:
        findings: The KPIs behind it, worst first; empty when cleared.
    """

    entity_id: str
    state: Literal["raised", "cleared"]
    time_s: float
    score: float
    findings: tuple[Finding, ...] = ()


class Detector:
    """Watches a fixed set of entities and KPIs.

    Args:
        entity_ids: Rows of every array.
        kpis: Columns of every array, names of :mod:`twin.kpi`.
        civil: Clock of the city.
        tuning: How it decides.
    """

    def __init__(
        self,
        entity_ids: Sequence[str],
        kpis: Sequence[str],
        *,
        civil: CivilTime,
        tuning: DetectorTuning | None = None,
    ) -> None:
        self.entity_ids = tuple(entity_ids)
        self.kpis = tuple(kpis)
        self.tuning = tuning or DetectorTuning()
        self._civil = civil
        self._rows = {entity_id: row for row, entity_id in enumerate(self.entity_ids)}
        shape = (len(self.entity_ids), len(self.kpis))
        units = [kpi_row(name).unit for name in self.kpis]
        self._root = np.array([unit in {"", "%", "Mbit"} for unit in units])
        self._log = np.array([unit in {"kbit/s", "Mbit/s", "ms", "W"} for unit in units])
        good = [kpi_row(name).good for name in self.kpis]
        # Weight of a deviation downwards and upwards: only the bad direction counts; where none is bad, both, weakly.
        self._down = np.array([{"up": 1.0, "down": 0.0, "none": 0.5}[g] for g in good], np.float32)
        self._up = np.array([{"up": 0.0, "down": 1.0, "none": 0.5}[g] for g in good], np.float32)
        self.baseline = Baseline(shape, days=self.tuning.days)
        self._shift = np.zeros(shape, np.float32)  # steps that were ours: the level moved for good
        self._noise = np.full((24, *shape), np.nan, np.float32)
        # How far normal points stray: KPIs of bursty traffic have far heavier tails than a normal distribution.
        self._tail = np.zeros((shape[1], TAIL_BINS), np.float64)
        self._farthest = np.zeros(shape, np.float32)
        self._limit = np.full(shape, self.tuning.k_on, np.float32)
        self._fast = np.full(shape, np.nan, np.float32)
        self._slow = np.zeros(shape, np.float32)
        self._relearn_left_s = np.zeros(shape[0], np.float32)
        self._relearned = np.zeros(shape, np.float32)
        self._relearn_weight = np.zeros(shape, np.float32)
        self._above_s = np.zeros(shape[0], np.float32)
        self._below_s = np.zeros(shape[0], np.float32)
        self._raised = np.zeros(shape[0], np.bool_)
        # What was last seen of a figure that went missing: a dead cell has no signal left to show as evidence.
        self._held_ratio = np.zeros(shape, np.float32)
        self._held_value = np.full(shape, np.nan, np.float32)
        self._held_s = np.zeros(shape, np.float32)
        self.score = np.zeros(shape[0], np.float32)
        self._hour = -1
        self._hour_rows: list[NDArray[np.float32]] = []
        self._hour_fine = False
        self._learning = False

    @property
    def warmup_remaining_s(self) -> float:
        """Seconds of past still missing before anything is raised."""
        return max(0.0, self.tuning.min_days * 86_400 - self.baseline.hours * 3_600.0)

    @property
    def raised(self) -> tuple[str, ...]:
        """The entities that are anomalous now."""
        return tuple(self.entity_ids[row] for row in np.flatnonzero(self._raised))

    def learn(self, time_s: float, values: NDArray[np.float32], *, granularity_s: int) -> None:
        """Learn from a period of the past, ``[num_entities, num_kpis]``; raises nothing.

        Args:
            time_s: End of the period.
        """
        self._learning = True
        self._collect(time_s, self._forward(values) - self._shift, granularity_s)

    def update(self, time_s: float, values: NDArray[np.float32], *, period_s: float) -> tuple[DetectorEvent, ...]:
        """Judge one live period, ``[num_entities, num_kpis]``; returns what was raised and cleared.

        Args:
            time_s: End of the period.
            period_s: Its length.
        """
        tuning = self.tuning
        if self._learning:
            self._finish_hour()
            self._learning = False
        x = self._forward(values)
        seen = np.isfinite(x)
        gain = np.float32(1.0 - np.exp(-period_s / tuning.fast_s))
        self._fast = np.where(seen, np.where(np.isfinite(self._fast), self._fast + gain * (x - self._fast), x), np.nan)
        level, scale = self._expected(time_s - period_s / 2.0)
        off = self._fast - level - self._shift
        self._relearn(off, seen, period_s)
        off = off - self._slow
        with np.errstate(invalid="ignore"):
            z = off / scale
            creep = self._slow / scale
        judged = seen & np.isfinite(z) & (self._relearn_left_s <= 0)[:, None]
        ratio = np.where(judged, self._bad(z) / self._limit, np.nan)
        # A creeping shift is absorbed by the slow track; it counts by itself once it is as large as a step.
        ratio = np.fmax(ratio, np.where(judged, self._bad(creep) / self._limit, np.nan))
        self._hold(values, ratio, period_s)
        normal = judged & (np.abs(z) < tuning.k_off * self._limit)
        slow_gain = np.float32(1.0 - np.exp(-period_s / tuning.slow_s))
        self._slow = np.where(normal, self._slow + slow_gain * off, self._slow).astype(np.float32)
        self._count_tail(np.where(ratio < 1.0, self._bad(z), np.nan)[None])
        calm = np.where(normal | ~np.isfinite(scale), self._fast - self._shift, np.nan)
        self._collect(time_s, calm.astype(np.float32), int(period_s))
        if self.warmup_remaining_s > 0:
            return ()
        return self._judge(time_s, period_s, level, ratio)

    def relearn(self, entity_ids: Sequence[str]) -> None:
        """Take the level of these entities as it will be from now on: a change of our own moved it.

        For `relearn_s` nothing is raised about them; what was raised is cleared by the next normal periods.
        """
        rows = [self._rows[i] for i in entity_ids if i in self._rows]
        self._relearn_left_s[rows] = self.tuning.relearn_s
        self._relearned[rows] = 0.0
        self._relearn_weight[rows] = 0.0
        self._fast[rows] = np.nan
        self._above_s[rows] = 0.0

    def resume(self, raised: Sequence[str]) -> None:
        """Take these entities, and no others, as raised: their alarms stand from before a restart."""
        self._raised[:] = False
        self._raised[[self._rows[i] for i in raised if i in self._rows]] = True

    def snapshot(self) -> bytes:
        """Return everything learned and the state of every entity as one npz."""
        head = {
            "format": FORMAT,
            "entity_ids": self.entity_ids,
            "kpis": self.kpis,
            "tuning": asdict(self.tuning),
            "hour": self._hour,
            "hour_fine": self._hour_fine,
        }
        file = io.BytesIO()
        rows = np.stack(self._hour_rows) if self._hour_rows else np.empty((0, *self._slow.shape), np.float32)
        arrays: dict[str, Any] = {**self._state(), "hour_rows": rows}
        np.savez_compressed(file, head=np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays)
        return file.getvalue()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot of a detector over the same entities and KPIs.

        Raises:
            CorruptStore: It cannot be read. InvalidInput: It is of another network or tuning.
        """
        try:
            with np.load(io.BytesIO(snapshot), allow_pickle=False) as found:
                head = json.loads(found["head"].tobytes())
                arrays = {name: found[name] for name in (*self._state(), "hour_rows")}
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as exc:
            raise CorruptStore(f"the detector snapshot cannot be read: {exc}; delete it, it is learned anew") from exc
        same = (
            head.get("format") == FORMAT
            and tuple(head["entity_ids"]) == self.entity_ids
            and tuple(head["kpis"]) == self.kpis
            and head["tuning"] == asdict(self.tuning)
        )
        if not same:
            raise InvalidInput("the detector snapshot belongs to another network or tuning; learn anew")
        for name, array in self._state().items():
            array[...] = arrays[name]
        self._hour, self._hour_fine = head["hour"], head["hour_fine"]
        self._hour_rows = list(arrays["hour_rows"])

    def _state(self) -> dict[str, NDArray[np.generic]]:
        return {
            "past": self.baseline.past,
            "written": self.baseline.written,
            "centre": self.baseline.centre,
            "baseline_scale": self.baseline.scale,
            "shift": self._shift,
            "noise": self._noise,
            "tail": self._tail,
            "farthest": self._farthest,
            "limit": self._limit,
            "fast": self._fast,
            "slow": self._slow,
            "relearn_left_s": self._relearn_left_s,
            "relearned": self._relearned,
            "relearn_weight": self._relearn_weight,
            "above_s": self._above_s,
            "below_s": self._below_s,
            "raised": self._raised,
            "held_ratio": self._held_ratio,
            "held_value": self._held_value,
            "held_s": self._held_s,
            "score": self.score,
        }

    def _forward(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values on a scale where their spread hardly depends on their level."""
        positive = np.maximum(values, 0.0)
        return np.where(self._log, np.log1p(positive), np.where(self._root, np.sqrt(positive), values)).astype(
            np.float32
        )

    def _backward(self, column: int, level: float) -> float:
        if self._log[column]:
            return float(np.expm1(level))
        return level * level if self._root[column] else level

    def _bad(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(z < 0, -z * self._down, z * self._up)

    def _expected(self, centre_s: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.baseline.refresh()
        level, spread = self.baseline.expected(self._civil, centre_s)
        hour = phase_of(self._civil, centre_s) % 24
        near = self._noise[[hour - 1, hour, (hour + 1) % 24]]
        known = np.isfinite(near)
        noise = np.nan_to_num(near).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        noise = np.where(known.any(axis=0), noise, nanmedian(self._noise))
        scale = np.sqrt(np.nan_to_num(spread) ** 2 + np.nan_to_num(noise) ** 2)
        # Entities of a kind vary alike: a series that was still by chance borrows from the others.
        pooled = nanmedian(np.where(scale > 0, scale, np.nan).astype(np.float32))
        scale = np.fmax(np.fmax(scale, 0.5 * np.nan_to_num(pooled)), 1e-3)
        return level, np.where(np.isfinite(spread) | np.isfinite(noise), scale, np.nan).astype(np.float32)

    def _relearn(self, off: NDArray[np.float32], seen: NDArray[np.bool_], period_s: float) -> None:
        rows = self._relearn_left_s > 0
        if not rows.any():
            return
        use = rows[:, None] & seen & np.isfinite(off)
        self._relearned[use] += off[use]
        self._relearn_weight[use] += 1.0
        self._relearn_left_s[rows] -= period_s
        done = (rows & (self._relearn_left_s <= 0))[:, None] & (self._relearn_weight > 0)
        self._shift[done] += self._relearned[done] / self._relearn_weight[done]
        self._slow[done] = 0.0

    def _collect(self, time_s: float, x: NDArray[np.float32], granularity_s: int) -> None:
        """Gather the periods of one civil hour; a finished hour becomes part of the baseline."""
        hour = int((time_s - granularity_s / 2.0) // 3600.0)
        if hour != self._hour:
            self._finish_hour()
            self._hour = hour
        fine = granularity_s <= FINE_S
        if fine and not self._hour_fine:
            self._hour_rows = []  # the same hour told in quarters and in minutes: the minutes know more
        if fine or not self._hour_fine:
            self._hour_rows.append(x)
            self._hour_fine = fine

    def _finish_hour(self) -> None:
        if not self._hour_rows:
            self._hour_fine = False
            return
        rows = np.stack(self._hour_rows)
        middle_s = self._hour * 3600.0 + 1800.0
        phase = phase_of(self._civil, middle_s)
        known = np.isfinite(rows)
        count = known.sum(axis=0)
        mean = np.where(count > 0, np.nan_to_num(rows).sum(axis=0) / np.maximum(count, 1), np.nan).astype(np.float32)
        if self._hour_fine and len(self._hour_rows) >= FINE_ROWS:
            noise = MAD_TO_SIGMA * nanmedian(np.abs(rows - mean))
            hour = phase % 24
            blended = 0.7 * self._noise[hour] + 0.3 * noise
            self._noise[hour] = np.where(np.isfinite(blended), blended, np.fmax(self._noise[hour], noise))
            if self._learning and self.warmup_remaining_s == 0:
                # Judged against what was known before this hour, as a live period would have been.
                level, scale = self._expected(middle_s)
                self._count_tail(self._bad((rows - level) / scale))
        self.baseline.add(phase, mean)
        self._hour_rows = []
        self._hour_fine = False
        self._set_limits()

    def _count_tail(self, bad: NDArray[np.float32]) -> None:
        """Note how far normal points lie from the expected, ``[num_periods, num_entities, num_kpis]``."""
        far = np.nan_to_num(bad)
        self._farthest = np.maximum(self._farthest, far.max(axis=0)).astype(np.float32)
        slot = np.minimum(far / TAIL_STEP, TAIL_BINS - 1).astype(np.int64)
        for column in range(slot.shape[2]):
            seen = np.isfinite(bad[:, :, column])
            self._tail[column] += np.bincount(slot[:, :, column][seen], minlength=TAIL_BINS)

    def _set_limits(self) -> None:
        """Put every threshold above what normal points reach: per KPI over all entities, then per series."""
        tuning = self.tuning
        above = self._tail[:, ::-1].cumsum(axis=1)[:, ::-1]  # points in this step or farther out
        allowed = tuning.budget * self._tail.sum(axis=1, keepdims=True)
        pooled = TAIL_STEP * (above > allowed).sum(axis=1)
        # One fault in the past must not make its entity blind: a series goes at most half as far again.
        own = np.minimum(self._farthest, 1.5 * np.maximum(pooled, tuning.k_on / tuning.margin))
        self._limit[...] = np.maximum(tuning.k_on, tuning.margin * np.maximum(pooled, own))

    def _judge(
        self,
        time_s: float,
        period_s: float,
        level: NDArray[np.float32],
        ratio: NDArray[np.float32],
    ) -> tuple[DetectorEvent, ...]:
        tuning = self.tuning
        worst = np.nan_to_num(ratio).max(axis=1)
        known = np.isfinite(ratio).any(axis=1)
        self.score = np.where(known, worst / (1.0 + worst), self.score).astype(np.float32)
        above, below = known & (worst >= 1.0), known & (worst < tuning.k_off)
        self._above_s = np.where(above, self._above_s + period_s, np.where(known, 0.0, self._above_s)).astype(
            np.float32
        )
        self._below_s = np.where(below, self._below_s + period_s, np.where(known, 0.0, self._below_s)).astype(
            np.float32
        )
        raise_now = ~self._raised & (self._above_s >= tuning.on_s)
        clear_now = self._raised & (self._below_s >= tuning.off_s)
        self._raised = (self._raised | raise_now) & ~clear_now
        events = [
            DetectorEvent(
                entity_id=self.entity_ids[row],
                state="raised",
                time_s=time_s,
                score=float(self.score[row]),
                findings=self._findings(int(row), level),
            )
            for row in np.flatnonzero(raise_now)
        ]
        events.extend(
            DetectorEvent(entity_id=self.entity_ids[row], state="cleared", time_s=time_s, score=float(self.score[row]))
            for row in np.flatnonzero(clear_now)
        )
        return tuple(events)

    def _hold(self, values: NDArray[np.float32], ratio: NDArray[np.float32], period_s: float) -> None:
        seen = np.isfinite(ratio)
        self._held_s = np.where(seen, 0.0, self._held_s + period_s).astype(np.float32)
        gone = self._held_s > self.tuning.off_s
        self._held_ratio = np.where(seen, ratio, np.where(gone, 0.0, self._held_ratio)).astype(np.float32)
        self._held_value = np.where(seen, values, self._held_value).astype(np.float32)

    def _findings(self, row: int, level: NDArray[np.float32]) -> tuple[Finding, ...]:
        strength = self._held_ratio[row]
        found: list[Finding] = []
        for column in np.argsort(-strength, kind="stable"):
            if strength[column] < 0.5:
                break
            expected = float(level[row, column] + self._shift[row, column])
            found.append(
                Finding(
                    kpi=self.kpis[column],
                    value=float(self._held_value[row, column]),
                    expected=self._backward(int(column), expected),
                    score=float(strength[column] / (1.0 + strength[column])),
                )
            )
        return tuple(found)
