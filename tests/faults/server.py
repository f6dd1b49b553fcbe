"""The twin's end of the kill suite: the bridge, the journal and the record of orders, and nothing else.

A whole twin takes seconds to start; what must survive a kill is here. ``python server.py FOLDER PORT [HTTP_PORT]``
On `HTTP_PORT` the same bridge is served over WebSocket, by the server and with the settings of the product.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bridge.gateway import WebSocketGateway
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


@dataclass(slots=True)
class Counted:
    """The batches of one run of time, by their numbers.

    Attributes:
        repeated: Batches whose number was not above the one before.
    """

    first: int
    last: int
    received: int = 1
    missing: int = 0
    repeated: int = 0

    def take(self, number: int) -> None:
        self.received += 1
        if number <= self.last:
            self.repeated += 1
        else:
            self.missing += number - self.last - 1
            self.last = number


class CountingSink(MemorySink):
    """Counts what arrives and journals reports before they are acknowledged.

    Attributes:
        counted: The telemetry of this life, by epoch.
    """

    def __init__(self, journal: SqliteJournal) -> None:
        super().__init__(start())
        self._journal = journal
        self.counted: dict[int, Counted] = {}

    def scene_connecting(self, info: SceneInfo) -> SceneStart:
        say({"event": "connected", "fencing_number": info.fencing_number})
        return super().scene_connecting(info)

    def telemetry(self, batch: TelemetryBatch) -> None:
        if not self.counted:
            say({"event": "live"})
        if batch.epoch in self.counted:
            self.counted[batch.epoch].take(batch.seq)
        else:
            self.counted[batch.epoch] = Counted(first=batch.seq, last=batch.seq)

    async def pm(self, report: PmReport, done: Callable[[], None]) -> None:
        await self._journal.append("pm", [{"epoch": report.epoch, "number": report.seq}])
        done()

    def scene_event(self, scene_id: str, name: str, facts: Mapping[str, Any], sim_time_s: float) -> None:
        """A scene's own words are of no interest here."""


def say(fact: dict[str, Any]) -> None:
    print(json.dumps(fact), flush=True)


@asynccontextmanager
async def over_websocket(server: BridgeServer, port: int | None) -> AsyncIterator[None]:
    """Serve the bridge over WebSocket when a port was given."""
    if port is None:
        yield
        return
    import uvicorn  # not at the top: the kill suite measures how long a start takes

    web = uvicorn.Server(
        uvicorn.Config(
            WebSocketGateway(server),
            port=port,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="websockets-sansio",
        )
    )
    serving = asyncio.create_task(web.serve())
    while not web.started:
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        web.should_exit = True
        await serving


async def main(folder: Path, port: int, http_port: int | None) -> None:
    journal = SqliteJournal(folder / "journal.sqlite")
    await journal.open()
    record = CommandRecord(journal, scene_id=SCENE)
    await record.restore()
    sink = CountingSink(journal)
    server = BridgeServer(sink=sink, port=port)
    server.orders = RecordedLink(lambda: server.link, {SCENE: record}, settled=server.command_settled)
    await server.start()
    async with over_websocket(server, http_port):
        say({"event": "ready"})
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip() == "counts":
                say({"event": "counts", "telemetry": [asdict(one) for one in sink.counted.values()]})
    await server.stop()
    await journal.close()


if __name__ == "__main__":
    configure("info")  # to standard error; standard output is for the test
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None))
