"""The async half of ingest: bounded queues between the bridge and everyone who must see its figures.

Gauges go straight into the RAM ring (newest wins). A report goes into the ring at once, then through two bounded,
lossless queues: the writer stores batches and only then acknowledges, the watcher runs the detector on its own thread
and journals the alarms that follow. A full queue makes the bridge wait, never lose.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import structlog

from twin.analytics.alarm_words import DETECTOR_CAUSES, words_of
from twin.analytics.detector import Detector
from twin.entities import Kind
from twin.errors import CorruptStore, InvalidInput, TwinError, Unavailable
from twin.ingest import LIVE_S, SequenceWatch, Watcher, WatchList
from twin_app.data_folder import write_atomically
from twin_app.patience import until_stored
from twin_app.store.worker import WorkerThread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from twin.alarms import Alarm
    from twin.analytics.detector import DetectorEvent
    from twin.ports import Inventory
    from twin.telemetry import PmReport, TelemetryBatch
    from twin_app.alarm_log import JournaledAlarmLog
    from twin_app.store.embedded import EmbeddedTelemetryStore

QUEUE_REPORTS = 512
BATCH_REPORTS = 128
"""Reports stored in one commit at most; one commit costs about as much as thirty rows."""

RETRY_S = 1.0
MAINTAIN_S = 60.0
SNAPSHOT_S = 600.0
LEARN_S = 14 * 86_400.0
"""How much of the archive the detector learns from when it has no snapshot."""

NEAREST = 6
"""A change of one cell moves the level of its site and of this many nearest cells, too."""

_log = structlog.get_logger("twin_app.ingest")


class IngestService:
    """Takes figures from the bridge; one per scene.

    Args:
        store: Where figures are kept.
        alarms: Where the detector's findings go.
        inventory: What exists, and the civil clock.
        state_path: Where the detector keeps what it learned.
    """

    def __init__(
        self,
        *,
        store: EmbeddedTelemetryStore,
        alarms: JournaledAlarmLog,
        inventory: Inventory,
        state_path: Path,
    ) -> None:
        self._store = store
        self._alarms = alarms
        self._inventory = inventory
        self._state_path = state_path
        self._writing: asyncio.Queue[tuple[PmReport, Callable[[], None], float]] = asyncio.Queue(QUEUE_REPORTS)
        self._watching: asyncio.Queue[PmReport] = asyncio.Queue(QUEUE_REPORTS)
        self._thread = WorkerThread("detector")
        self._watcher: Watcher | None = None
        self._relearn: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._gauges = SequenceWatch()
        self._reports = SequenceWatch()
        self._stored = 0
        self._duplicates = 0
        self._storage_errors = 0
        self._storage_waiting = 0
        self._detector_errors = 0
        self._lag_s = 0.0
        self._refused = 0

    async def open(self) -> None:
        """Restore or relearn what the detector knows, then start working."""
        watched = WatchList(self._inventory.topology)
        detector = Detector(watched.entity_ids, watched.kpis, civil=self._inventory.civil)
        self._watcher = Watcher(watched, detector)
        self._thread.start()
        if not await self._thread.run(lambda: self._restore(detector)):
            await self._learn_from_archive(self._watcher)
        detector.resume([alarm.entity_id for alarm in self._alarms.active() if _found_here(alarm)])
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._write(), name="ingest-writer"),
            loop.create_task(self._watch(), name="ingest-watcher"),
            loop.create_task(self._keep(), name="ingest-upkeep"),
        ]

    async def close(self) -> None:
        """Store what was taken, keep what was learned, and stop; safe to call twice."""
        if not self._tasks:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await self.drain()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._save()
        except TwinError as exc:
            _log.warning("detector_not_saved", error=str(exc))
        await self._thread.stop()

    def telemetry(self, batch: TelemetryBatch) -> None:
        """Take gauges; one that is older than what is known is dropped and counted."""
        if self._gauges.telemetry(batch):
            self._store.put_telemetry(batch)

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        """Take a report; waits while the queue is full; calls `done` on the loop once it is durable."""
        fresh = self._reports.pm(report)
        if fresh and report.granularity_period_s <= LIVE_S:
            self._store.put_pm(report)
        await self._writing.put((report, done, time.monotonic()))

    def live(self) -> None:
        """The past is told; what the detector learned from it is kept."""
        if self._tasks:
            self._tasks.append(asyncio.get_running_loop().create_task(self._save_quietly(), name="ingest-save"))

    def relearn(self, entity_ids: Sequence[str]) -> None:
        """A change of our own moved these entities: their new level is normal, and that of cells around them."""
        self._relearn.extend(self._around(entity_ids))

    async def drain(self) -> None:
        """Return once everything taken so far is stored and watched."""
        await self._writing.join()
        await self._watching.join()

    def counters(self) -> dict[str, int | float]:
        """Return what came, what was lost and what waits, for the health page."""
        watcher = self._watcher
        return {
            "telemetry_received": self._gauges.received,
            "telemetry_dropped": self._gauges.stale,
            "telemetry_missing": self._gauges.missing,
            "pm_received": self._reports.received,
            "pm_stored": self._stored,
            "pm_duplicates": self._duplicates,
            "pm_refused": self._refused,
            "pm_missing_periods": self._reports.missing,
            "storage_errors": self._storage_errors,
            "storage_waiting": self._storage_waiting,
            "detector_errors": self._detector_errors,
            "queue_depth": self._writing.qsize(),
            "watch_depth": self._watching.qsize(),
            "lag_s": round(self._lag_s, 4),
            "detector_entities": 0 if watcher is None else len(watcher.watched.entity_ids),
            "detector_warmup_remaining_s": 0.0 if watcher is None else watcher.detector.warmup_remaining_s,
        }

    async def _write(self) -> None:
        while True:
            batch = [await self._writing.get()]
            while len(batch) < BATCH_REPORTS and not self._writing.empty():
                batch.append(self._writing.get_nowait())
            reports = [report for report, _, _ in batch]
            await self._store_surely(reports)
            for _, done, _ in batch:
                done()
            self._lag_s = time.monotonic() - batch[0][2]
            for report in reports:
                await self._watching.put(report)
                self._writing.task_done()

    async def _store_surely(self, reports: Sequence[PmReport]) -> None:
        """Store reports, however long the disk is full: nothing is acknowledged before."""
        failed = False
        while True:
            try:
                new = await self._store.append_pm(reports)
            except InvalidInput as exc:
                if len(reports) > 1:  # one bad report must not take the others with it
                    for report in reports:
                        await self._store_surely([report])
                    return
                self._refused += 1
                _log.error("report_refused", period_end_s=reports[0].period_end_sim_time_s, error=str(exc))
                return
            except Unavailable as exc:
                self._storage_errors += 1
                self._storage_waiting = len(reports) + self._writing.qsize()
                if not failed:
                    _log.error("reports_not_stored", waiting=len(reports), error=str(exc))
                failed = True
                await asyncio.sleep(RETRY_S)
            else:
                self._storage_waiting = 0
                self._stored += new
                self._duplicates += len(reports) - new
                return

    async def _watch(self) -> None:
        while True:
            reports = [await self._watching.get()]
            while len(reports) < BATCH_REPORTS and not self._watching.empty():
                reports.append(self._watching.get_nowait())
            relearn, self._relearn = self._relearn, []
            try:
                events = await self._thread.run(lambda r=reports, again=relearn: self._see(r, again))
                for event in events:
                    # An alarm that is lost is never raised again, and one whose end is lost stands for ever.
                    await until_stored(lambda e=event: self._tell(e), what=f"alarm of {event.entity_id}")
            except TwinError as exc:
                self._detector_errors += 1
                _log.error("detector_failed", reports=len(reports), error=str(exc))
            for _ in reports:
                self._watching.task_done()

    def _see(self, reports: Sequence[PmReport], relearn: Sequence[str]) -> tuple[DetectorEvent, ...]:
        if self._watcher is None:
            return ()
        if relearn:
            self._watcher.detector.relearn(relearn)
        return self._watcher.see(reports)

    async def _tell(self, event: DetectorEvent) -> None:
        entity = self._inventory.topology.get(event.entity_id)
        if event.state == "cleared":
            for alarm in self._alarms.active():
                if alarm.entity_id == entity.id and _found_here(alarm):
                    await self._alarms.clear(alarm.id, at_s=event.time_s)
            return
        words = words_of(event, name=entity.name)
        await self._alarms.raise_alarm(
            entity_id=entity.id,
            dn=entity.dn,
            probable_cause=words.probable_cause,
            event_type=words.event_type,
            severity=words.severity,
            specific_problem=words.specific_problem,
            at_s=event.time_s,
            evidence=words.evidence,
        )

    async def _keep(self) -> None:
        saved_at = time.monotonic()
        while True:
            await asyncio.sleep(MAINTAIN_S)
            try:
                left = True
                while left:  # a bounded piece at a time: reads and commits come in between
                    left = await self._store.maintain()
                if time.monotonic() - saved_at >= SNAPSHOT_S:
                    saved_at = time.monotonic()
                    await self._save()
            except TwinError as exc:
                _log.warning("upkeep_failed", error=str(exc))

    async def _save_quietly(self) -> None:
        try:
            await self.drain()
            await self._save()
        except TwinError as exc:
            _log.warning("detector_not_saved", error=str(exc))

    async def _save(self) -> None:
        watcher = self._watcher
        if watcher is not None:
            await self._thread.run(lambda: write_atomically(self._state_path, watcher.detector.snapshot()))

    def _restore(self, detector: Detector) -> bool:
        try:
            detector.restore(self._state_path.read_bytes())
        except FileNotFoundError:
            return False
        except (OSError, CorruptStore, InvalidInput) as exc:
            _log.warning("detector_learns_anew", error=str(exc))
            return False
        return True

    async def _learn_from_archive(self, watcher: Watcher) -> None:
        span = await self._store.coverage()
        if span is None:
            return
        first, last = span
        day_ago = max(first, last - 86_400.0)
        for granularity_s, start_s, end_s in ((900, last - LEARN_S, day_ago), (60, day_ago, last)):
            at = max(first, start_s)
            while at < end_s:
                upto = min(end_s, at + 86_400.0)
                reports = await self._store.replay(granularity_s=granularity_s, start_s=at, end_s=upto)
                await self._thread.run(lambda r=reports: watcher.see(r))
                at = upto

    def _around(self, entity_ids: Sequence[str]) -> list[str]:
        topology = self._inventory.topology
        cells = topology.of_kind(Kind.CELL)
        found: dict[str, None] = dict.fromkeys(entity_ids)
        for entity_id in entity_ids:
            if entity_id not in topology or topology.get(entity_id).kind is not Kind.CELL:
                continue
            cell = topology.get(entity_id)
            east, north, _ = cell.position_m
            others = sorted(
                (other for other in cells if other.parent_id != cell.parent_id),
                key=lambda other: (other.position_m[0] - east) ** 2 + (other.position_m[1] - north) ** 2,
            )
            found.update(dict.fromkeys(other.id for other in cells if other.parent_id == cell.parent_id))
            found.update(dict.fromkeys(other.id for other in others[:NEAREST]))
        return list(found)


def _found_here(alarm: Alarm) -> bool:
    """Return whether the detector raised it: a scene may tell the same cause, which is not ours to clear."""
    return alarm.probable_cause in DETECTOR_CAUSES and not alarm.told_as
