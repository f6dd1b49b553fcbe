"""Either side is killed at random: no acknowledged order is lost, none is obeyed twice, reports have no gaps."""

import asyncio
import contextlib
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
import pytest

from bridge.ledger import FileLedger
from bridge.v1 import bridge_pb2, command_pb2
from tests import soak_file
from tests.free_port import free_port
from twin.commands import CommandStage
from twin.ids import uuid7
from twin_app.journal import SqliteJournal

PROGRAMS = Path(__file__).parents[1] / "faults"
LIVE_AGAIN_S = 3.0
ENDED = "ended"
FIRST_WORD = {"server": "ready", "scene": "begins"}


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
        await self.heard.put({"event": ENDED})

    async def hears(self, event: str, *, limit_s: float = 30.0) -> dict[str, Any]:
        async with asyncio.timeout(limit_s):
            while (fact := await self.heard.get())["event"] != event:
                assert fact["event"] != ENDED, f"the program ended: {self._log.read_text(encoding='utf-8')[-2000:]}"
        return fact

    async def asks(self, question: str) -> dict[str, Any]:
        """Put a question whose answer is an event of the same name."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(f"{question}\n".encode())
        return await self.hears(question)

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


@dataclass
class Struck:
    """What was done to the two programs, and how long it took until orders were applied again.

    Attributes:
        killed: SIGKILLs, by side.
        stopped: SIGSTOPs, by side and by what followed.
        from_start_s: From the start of the process to the first order applied, by side.
        from_first_word_s: From its first word, after the interpreter and the imports, by side.
        telemetry: What each life of the server received of each life of the scene.
    """

    killed: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    from_start_s: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in FIRST_WORD})
    from_first_word_s: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in FIRST_WORD})
    telemetry: list[dict[str, int]] = field(default_factory=list)


async def strike_at_random(
    server: Program, scene: Program, caller: Caller, *, kills: int, chance: random.Random
) -> Struck:
    """Kill one side after the other, `kills` times in all; about a tenth of the victims is frozen first."""
    struck = Struck()
    while struck.killed.total() < kills:
        await asyncio.sleep(chance.uniform(0.05, 0.6))
        side = chance.choice(tuple(FIRST_WORD))
        victim = server if side == "server" else scene
        frozen, thawed = chance.random() < 0.1, chance.random() < 0.5
        if side == "server" and not (frozen and thawed):  # what this life counted dies with it
            struck.telemetry += (await server.asks("counts"))["telemetry"]
        if frozen:
            await victim.strike(signal.SIGSTOP)
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            struck.stopped[f"{side}, then {'SIGCONT' if thawed else 'SIGKILL'}"] += 1
            if thawed:
                await victim.strike(signal.SIGCONT)
                continue
        await victim.strike(signal.SIGKILL)
        struck.killed[side] += 1
        await live_again(side, victim, caller, struck)
    await asyncio.sleep(0.5)
    struck.telemetry += (await server.asks("counts"))["telemetry"]
    return struck


async def live_again(side: str, victim: Program, caller: Caller, struck: Struck) -> None:
    victim.forget()
    started_s = time.monotonic()
    await victim.start()
    await victim.hears(FIRST_WORD[side])
    first_word_s = time.monotonic()
    done = len(caller.applied)
    while len(caller.applied) == done:
        assert time.monotonic() - first_word_s < 30, "no order was applied within 30 s of a restart"
        await asyncio.sleep(0.01)
    struck.from_start_s[side].append(time.monotonic() - started_s)
    struck.from_first_word_s[side].append(time.monotonic() - first_word_s)


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
async def test_no_acknowledged_order_is_lost_and_none_is_obeyed_twice(
    kills: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with both_sides(tmp_path) as (server, scene, caller):
        struck = await strike_at_random(server, scene, caller, kills=kills, chance=random.Random(kills))

    ledger = obeyed_in(tmp_path / "ledger")
    obeyed = {command_id for command_id, _ in ledger}
    told = Counter(caller.applied)
    recorded = await results_in(tmp_path / "journal.sqlite")
    gaps = await gaps_in_reports(tmp_path / "journal.sqlite")
    figures = {
        "orders_acknowledged": len(told),
        "orders_lost": len(set(told) - obeyed),
        "orders_acknowledged_before_the_journal": len(set(told) - recorded),
        "orders_acknowledged_twice": sum(n - 1 for n in told.values()),
        "orders_obeyed_twice": obeyed_twice(ledger),
        "orders_obeyed_and_not_yet_acknowledged_at_the_end": len(obeyed - set(told)),
        "repetitions_by_the_caller": caller.repetitions,
        "reports_missing": sum(len(gap) for gap in gaps.values()),
        "telemetry_received": sum(run["received"] for run in struck.telemetry),
        "telemetry_missing": sum(run["missing"] for run in struck.telemetry),
        "telemetry_repeated": sum(run["repeated"] for run in struck.telemetry),
    }
    times = {
        "from_process_start_s": {side: soak_file.spread(took) for side, took in struck.from_start_s.items()},
        "from_first_word_s": {side: soak_file.spread(took) for side, took in struck.from_first_word_s.items()},
    }
    record_property("live_again", times)
    if soak_file.is_soak() and kills == 200:
        soak_file.write(
            "bridge-kills",
            {
                "what": "random SIGKILLs of server or scene during a stream of orders; a tenth is frozen first",
                "script": "tests/e2e/test_kills.py",
                "seed": kills,
                "versions": soak_file.versions(("grpcio", "protobuf", "numpy")),
                "sigkill": dict(sorted(struck.killed.items())),
                "sigstop": dict(sorted(struck.stopped.items())),
                **figures,
                "first_order_applied": times,
            },
        )

    never = ("lost", "before_the_journal", "twice", "reports_missing", "repeated")
    assert {name: n for name, n in figures.items() if name.endswith(never) and n} == {}
    assert len(told) > kills
    assert figures["orders_obeyed_and_not_yet_acknowledged_at_the_end"] <= 1, "more than the one that was under way"
    assert any(run["received"] > 1 for run in struck.telemetry)
    for run in struck.telemetry:
        assert run["received"] + run["missing"] == run["last"] - run["first"] + 1, run
    every = [took for side in struck.from_first_word_s.values() for took in side]
    assert len(every) == kills
    assert max(every) <= LIVE_AGAIN_S, times


def obeyed_in(path: Path) -> list[tuple[str, int]]:
    """Return the id of each recorded order that was obeyed, with the scene's own count after it."""
    with FileLedger(path) as ledger:
        entries = ledger.after(0)
    return [(e.command.id, int(e.result.sim_time_s)) for e in entries if e.result.stage is CommandStage.APPLIED]


def obeyed_twice(obeyed: list[tuple[str, int]]) -> int:
    """Count ids that are recorded again, and steps of the scene's count that no record explains."""
    counts = [count for _, count in obeyed]
    again = len(obeyed) - len({command_id for command_id, _ in obeyed})
    return again + sum(max(0, after - before - 1) for before, after in pairwise((0, *counts)))


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
