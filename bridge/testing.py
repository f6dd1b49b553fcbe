"""For those who test a scene of their own: a small real sink and a ledger, both in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bridge.ledger import KEPT_RESULTS, LedgerEntry
from twin.errors import NotFound, StoreUnavailable
from twin.ports import EntityVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twin.alarms import Alarm
    from twin.commands import Command, CommandResult, SetAttribute
    from twin.media import Utterance
    from twin.ports import OfferedEntity, SceneInfo, SceneStart
    from twin.telemetry import PmReport, TelemetryBatch


class MemorySink:
    """Implements :class:`~twin.ports.SceneSink`.

    Args:
        start: What every scene is told.

    Attributes:
        durable: While False, `done` of arriving reports is held back; :meth:`store` releases it.
        reports: Every report once, by (scene, epoch, granularity, end).
        repetitions: Reports that came again.
    """

    def __init__(self, start: SceneStart) -> None:
        self.start = start
        self.durable = True
        self.scenes: dict[str, SceneInfo] = {}
        self.gone: list[tuple[str, str]] = []
        self.live_at_s: dict[str, float] = {}
        self.batches: list[TelemetryBatch] = []
        self.reports: dict[tuple[str, int, int, float], PmReport] = {}
        self.repetitions = 0
        self.configuration: dict[tuple[str, str], SetAttribute] = {}
        self.events: list[tuple[str, str, Mapping[str, Any], float]] = []
        self.alarms: list[Alarm] = []
        self.utterances: list[Utterance] = []
        self.offered: list[OfferedEntity] = []
        self._held: list[Callable[[], None]] = []
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
        """Wait until something that this sink was told makes the condition true.

        Raises:
            TimeoutError: It did not.
        """
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def store(self) -> None:
        """Make every held report durable."""
        held, self._held = self._held, []
        for done in held:
            done()

    def scene_connecting(self, info: SceneInfo) -> SceneStart:
        """Let every scene in."""
        self.scenes[info.scene_id] = info
        self._changed.set()
        return self.start

    def scene_disconnected(self, info: SceneInfo, reason: str) -> None:
        """Note who left."""
        if self.scenes.get(info.scene_id) == info:
            del self.scenes[info.scene_id]
        self.live_at_s.pop(info.scene_id, None)
        self.gone.append((info.scene_id, reason))
        self._changed.set()

    def scene_live(self, scene_id: str, sim_time_s: float) -> None:
        """Note who is live."""
        self.live_at_s[scene_id] = sim_time_s
        self._changed.set()

    def telemetry(self, batch: TelemetryBatch) -> None:
        """Keep a batch."""
        self.batches.append(batch)
        self._changed.set()

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        """Keep a report once."""
        key = (report.scene_id, report.epoch, report.granularity_period_s, report.period_end_sim_time_s)
        if key in self.reports:
            self.repetitions += 1
        self.reports[key] = report
        if self.durable:
            done()
        else:
            self._held.append(done)
        self._changed.set()

    def observed(self, scene_id: str, attributes: Sequence[SetAttribute], sim_time_s: float) -> None:
        """Keep the configuration of the scene."""
        del scene_id, sim_time_s
        self.configuration |= {(a.entity_id, a.attribute): a for a in attributes}
        self._changed.set()

    def scene_event(self, scene_id: str, name: str, facts: Mapping[str, Any], sim_time_s: float) -> None:
        """Keep an event."""
        self.events.append((scene_id, name, facts, sim_time_s))
        self._changed.set()

    async def scene_alarm(self, alarm: Alarm) -> Alarm | None:
        """Keep an alarm; observers are told it as it came."""
        self.alarms.append(alarm)
        self._changed.set()
        return alarm

    def scene_voice(self, utterance: Utterance) -> None:
        """Keep what was said."""
        self.utterances.append(utterance)
        self._changed.set()

    async def contributed(self, scene_id: str, offered: Sequence[OfferedEntity]) -> Sequence[EntityVerdict]:
        """Take everything in, under ids made of the scene's own names, after the present inventory."""
        first = len(self.start.topology) + len(self.offered)
        self.offered.extend(offered)
        self._changed.set()
        return [
            EntityVerdict(local_id=one.local_id, entity_id=f"{scene_id}-{one.local_id}", index=first + number)
            for number, one in enumerate(offered)
        ]


class MemoryLedger:
    """Implements :class:`~bridge.ledger.CommandLedger` without a disk, with the faults of one.

    Attributes:
        entries: Everything recorded, in order.
        full: While True there is no room for further records.
        broken: While True nothing can be written, room or not.
    """

    def __init__(self) -> None:
        self.entries: list[LedgerEntry] = []
        self.full = False
        self.broken = False
        self._floor = 0

    @property
    def ordinal(self) -> int:
        """Ordinal of the last record; 0 = none yet."""
        return len(self.entries)

    def results(self) -> tuple[CommandResult, ...]:
        """Return the kept answers, oldest first."""
        return tuple({entry.command.id: entry.result for entry in self.entries[-KEPT_RESULTS:]}.values())

    async def reserve(self, command: Command) -> None:
        """Refuse while the disk is full."""
        if self.full:
            raise StoreUnavailable(f"no room for the record of command `{command.id}`; make room on the disk")

    async def record(self, command: Command, result: CommandResult) -> int:
        """Keep an answer and return its ordinal."""
        if self.broken:
            raise StoreUnavailable(f"the record of command `{command.id}` cannot be written; look at the disk")
        self.entries.append(LedgerEntry(ordinal=len(self.entries) + 1, command=command, result=result))
        return len(self.entries)

    def after(self, ordinal: int) -> tuple[LedgerEntry, ...]:
        """Return what was recorded after an ordinal, in order."""
        if ordinal < self._floor:
            raise NotFound(f"the commands up to `{self._floor}` are forgotten; go on from a later state")
        return tuple(self.entries[ordinal:])

    async def forget_before(self, ordinal: int) -> None:
        """Forget the commands up to and including an ordinal; the last answers stay."""
        self._floor = max(self._floor, min(ordinal, self.ordinal))
