"""The twin's end of the kill suite: the bridge, the journal and the record of orders, and nothing else.

A whole twin takes seconds to start; what must survive a kill is here. ``python server.py FOLDER PORT``
"""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bridge.server import BridgeServer
from bridge.testing import MemorySink
from twin.clock import CivilTime
from twin.entities import Kind
from twin.ports import SceneInfo, SceneStart
from twin.telemetry import PmReport, TelemetryBatch
from twin.topology import Entity, Topology
from twin_app.command_record import CommandRecord, RecordedLink
from twin_app.journal import SqliteJournal
from twin_app.logs import configure

SCENE = "main"


def start() -> SceneStart:
    phones = [Entity(index=i, id=f"ue-{i}", kind=Kind.UE, name=f"ue {i}") for i in range(1, 4)]
    cell = Entity(index=0, id="cell-1-1", kind=Kind.CELL, name="Cell 1-1", attributes={"digitalTilt": 60.0})
    return SceneStart(
        topology=Topology([cell, *phones], revision=1),
        civil=CivilTime(epoch=datetime(2026, 11, 7, 12, tzinfo=UTC), timezone="Europe/Berlin"),
        resume_at_sim_s=0.0,
        past_s=0,
        speed=1.0,
        desired=(),
    )


class CountingSink(MemorySink):
    """Counts what arrives and journals reports before they are acknowledged."""

    def __init__(self, journal: SqliteJournal, told: Path) -> None:
        super().__init__(start())
        self._journal = journal
        self._told = told
        self._numbers: dict[int, int] = {}
        self.received = self.missing = 0

    def scene_connecting(self, info: SceneInfo) -> SceneStart:
        say({"event": "connected", "fencing_number": info.fencing_number})
        return super().scene_connecting(info)

    def telemetry(self, batch: TelemetryBatch) -> None:
        last = self._numbers.get(batch.epoch)
        if last is not None:
            self.missing += max(batch.seq - last - 1, 0)
        self._numbers[batch.epoch] = batch.seq
        self.received += 1
        if self.received == 1:
            say({"event": "live"})

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        await self._journal.append("pm", [{"epoch": report.epoch, "number": report.seq}])
        done()

    def scene_event(self, scene_id: str, name: str, facts: Mapping[str, Any], sim_time_s: float) -> None:
        """A scene's own words are of no interest here."""


def say(fact: dict[str, Any]) -> None:
    print(json.dumps(fact), flush=True)


async def main(folder: Path, port: int) -> None:
    journal = SqliteJournal(folder / "journal.sqlite")
    await journal.open()
    record = CommandRecord(journal, scene_id=SCENE)
    await record.restore()
    sink = CountingSink(journal, folder)
    server = BridgeServer(sink=sink, port=port)
    server.orders = RecordedLink(lambda: server.link, {SCENE: record})
    await server.start()
    say({"event": "ready"})
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip() == "counts":
            say({"event": "counts", "received": sink.received, "missing": sink.missing})
    await server.stop()
    await journal.close()


if __name__ == "__main__":
    configure("info")  # to standard error; standard output is for the test
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
