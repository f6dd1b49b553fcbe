"""Either side is killed at random: no acknowledged order is lost, none is obeyed twice, reports have no gaps."""

import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
import pytest

from bridge.ledger import FileLedger
from bridge.v1 import bridge_pb2, command_pb2
from tests.free_port import free_port
from twin.commands import CommandStage
from twin.ids import uuid7
from twin_app.journal import SqliteJournal

PROGRAMS = Path(__file__).parents[1] / "faults"
SOAK_FILE = Path(__file__).parents[2] / "docs" / "soak" / "bridge-kills.json"
LIVE_AGAIN_S = 3.0


class Program:
    """A program of ours that is killed and started again; its lines are JSON."""

    def __init__(self, script: str, *arguments: str, log: Path) -> None:
        self._command = (sys.executable, str(PROGRAMS / script), *arguments)
        self._log = log
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue(10_000)
        self.process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        self._reader = asyncio.create_task(self._read(self.process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            await self.heard.put(json.loads(line))

    async def hears(self, event: str, *, limit_s: float = 30.0) -> dict[str, Any]:
        async with asyncio.timeout(limit_s):
            while (fact := await self.heard.get())["event"] != event:
                pass
        return fact

    def forget(self) -> None:
        while not self.heard.empty():
            self.heard.get_nowait()

    async def strike(self, number: int) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        if number == signal.SIGKILL:
            await self.process.wait()
            assert self._reader is not None
            await self._reader

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.strike(signal.SIGKILL)


class Caller:
    """Gives orders one after the other and repeats each until it is answered for good."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.applied: list[str] = []
        self.repetitions = 0

    async def run(self) -> None:
        while True:
            await self._until_applied(uuid7())

    async def _until_applied(self, command_id: str) -> None:
        request = bridge_pb2.SubmitCommandRequest(timeout_s=2.0)
        request.command.id = command_id
        request.command.overlay.overlay_id = "counter"
        request.command.overlay.operation = command_pb2.OVERLAY_OPERATION_SHOW
        while True:
            try:
                async with grpc.aio.insecure_channel(self._address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                    call = channel.unary_unary(
                        "/bridge.v1.BridgeService/SubmitCommand",
                        request_serializer=bridge_pb2.SubmitCommandRequest.SerializeToString,
                        response_deserializer=bridge_pb2.SubmitCommandResponse.FromString,
                    )
                    while True:
                        response = await call(request, timeout=4.0)
                        assert response.ack.stage == command_pb2.COMMAND_STAGE_APPLIED, response.ack
                        self.applied.append(command_id)
                        await asyncio.sleep(0.002)
                        command_id = uuid7()
                        request.command.id = command_id
            except grpc.aio.AioRpcError:
                self.repetitions += 1
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def both_sides(folder: Path) -> AsyncIterator[tuple[Program, Program, Caller]]:
    port = free_port()
    address = f"127.0.0.1:{port}"
    async with (
        Program("server.py", str(folder), str(port), log=folder / "server.log") as server,
        Program("counter_scene.py", str(folder / "ledger"), address, log=folder / "scene.log") as scene,
    ):
        await server.hears("live")
        caller = Caller(address)
        calling = asyncio.create_task(caller.run())
        try:
            yield server, scene, caller
        finally:
            calling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await calling


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
async def test_no_acknowledged_order_is_lost_and_none_is_obeyed_twice(kills: int, tmp_path: Path) -> None:
    chance = random.Random(kills)
    live_again_s: dict[str, list[float]] = {"server": [], "scene": []}
    async with both_sides(tmp_path) as (server, scene, caller):
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.05, 0.6))
            side = chance.choice(("server", "scene"))
            victim = server if side == "server" else scene
            if chance.random() < 0.1:  # frozen for a while, and killed in that state or not
                await victim.strike(signal.SIGSTOP)
                await asyncio.sleep(chance.uniform(0.1, 1.0))
                if chance.random() < 0.5:
                    await victim.strike(signal.SIGCONT)
                    continue
            await victim.strike(signal.SIGKILL)
            server.forget()
            await victim.start()
            await victim.hears("ready" if side == "server" else "begins")
            begun_s = time.monotonic()
            done = len(caller.applied)
            while len(caller.applied) == done:
                assert time.monotonic() - begun_s < 30, "no order was applied within 30 s of a restart"
                await asyncio.sleep(0.01)
            live_again_s[side].append(time.monotonic() - begun_s)
        await asyncio.sleep(0.5)

    ledger = applied_in(tmp_path / "ledger")
    told = Counter(caller.applied)
    recorded = await results_in(tmp_path / "journal.sqlite")
    assert max(told.values()) == 1
    assert max(ledger.values()) == 1, "obeyed twice"
    assert set(told) - set(ledger) == set(), "told as applied, but the scene does not know it"
    assert set(told) - recorded == set(), "told before it was in the journal"
    assert len(set(ledger) - set(told)) <= 1, "more than the one that was under way"
    assert await gaps_in_reports(tmp_path / "journal.sqlite") == {}
    every = live_again_s["server"] + live_again_s["scene"]
    assert max(every) <= LIVE_AGAIN_S, sorted(every)[-5:]
    if os.environ.get("TWIN_TEST_SOAK") == "1":
        write_soak(kills, told, caller, live_again_s)


def applied_in(path: Path) -> Counter[str]:
    with FileLedger(path) as ledger:
        return Counter(e.command.id for e in ledger.after(0) if e.result.stage is CommandStage.APPLIED)


async def results_in(path: Path) -> set[str]:
    journal = SqliteJournal(path)
    await journal.open()
    facts = await journal.replay("command_result")
    await journal.close()
    return {fact["id"] for _, fact in facts}


async def gaps_in_reports(path: Path) -> dict[int, list[int]]:
    """Numbers that are missing before the last one that was acknowledged, by epoch."""
    journal = SqliteJournal(path)
    await journal.open()
    facts = await journal.replay("pm")
    await journal.close()
    numbers: dict[int, set[int]] = {}
    for _, fact in facts:
        numbers.setdefault(fact["epoch"], set()).add(fact["number"])
    assert numbers, "no report was journaled"
    missing = {epoch: sorted(set(range(1, max(found) + 1)) - found) for epoch, found in numbers.items()}
    return {epoch: gap for epoch, gap in missing.items() if gap}


def write_soak(kills: int, told: Counter[str], caller: Caller, live_again_s: dict[str, list[float]]) -> None:
    SOAK_FILE.parent.mkdir(exist_ok=True)
    rows = {
        side: {"n": len(took), "median_s": round(statistics.median(took), 3), "max_s": round(max(took), 3)}
        for side, took in live_again_s.items()
    }
    document = {
        "what": "random SIGKILL (a tenth SIGSTOP first) of server or scene during a stream of orders",
        "kills": kills,
        "orders_acknowledged": len(told),
        "orders_lost": 0,
        "orders_applied_twice": 0,
        "repetitions": caller.repetitions,
        "first_order_applied_after_process_start": rows,
    }
    SOAK_FILE.write_text(json.dumps(document, indent=2) + "\n")
