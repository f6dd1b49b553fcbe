"""The C# scene of engine_plugins/csharp: compiled by mono's mcs, run by mono, listened to line by line."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

CSHARP = Path(__file__).parent.parent / "engine_plugins" / "csharp"
NEEDS_MONO = pytest.mark.skipif(
    not (shutil.which("mcs") and shutil.which("mono")), reason="mono's mcs and mono are not here"
)


def compile_csharp(program: Path, *sources: Path) -> None:
    """Compile as strictly as Unity 2021 would have it: C# 7.2, no warnings."""
    flags = ["-langversion:7.2", "-warn:4", "-warnaserror+", "-optimize+"]
    done = subprocess.run(["mcs", *flags, f"-out:{program}", *sources], capture_output=True, text=True, timeout=120)
    assert (0, "") == (done.returncode, done.stdout + done.stderr), done.stdout + done.stderr


def build_scene(folder: Path) -> Path:
    program = folder / "scene.exe"
    compile_csharp(program, *sorted(CSHARP.rglob("*.cs")))
    return program


class Scene:
    """The running program; `lines` is what it printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._more = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(json.loads(line))
            self._more.set()
        self._more.set()

    def said(self, what: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["what"] == what]

    async def until(self, condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"it did not come to that; the scene said {self.lines}") from None

    async def ready(self, times: int = 1, *, timeout_s: float = 10.0) -> None:
        await self.until(lambda: len(self.said("ready")) >= times, timeout_s=timeout_s)

    async def end(self) -> str:
        """Return what it complained about."""
        _, complaint = await asyncio.gather(self._reading, self.process.stderr.read())
        await self.process.wait()
        return complaint.decode()


@asynccontextmanager
async def run_scene(program: Path, port: int, *options: str) -> AsyncIterator[Scene]:
    process = await asyncio.create_subprocess_exec(
        "mono",
        program,
        "--url",
        f"ws://127.0.0.1:{port}/bridge",
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Scene(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        complaint = await running.end()
    assert complaint == ""
