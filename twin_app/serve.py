"""`twin up`: builds the twin, serves it, says when it is ready, ends it cleanly.

Standard output carries one line, `ready http://127.0.0.1:N`; everything for people goes to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import uvicorn
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from twin.errors import InvalidInput, PortInUse, StartError, TwinError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from fastapi import FastAPI

    from twin_app.running import Twin
    from twin_app.settings import Settings

QUESTIONS = ("Which alarms are active?", "What is the load of {cell}?", "Tilt {cell} down by two degrees")
EXAMPLE_CELL = "cell-7-2"

T = TypeVar("T")

READY_TIMEOUT_S = 600.0
SWITCH_S = 0.0005
"""The event loop waits at most this long for a worker thread to let go of the interpreter (Python's default: 5 ms)."""

DRAIN_S = 1.0
"""How long open answers may go on when the twin ends."""

_err = Console(stderr=True, soft_wrap=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What the command line says; None = the setting decides."""

    city: tuple[Path, ...]
    area: tuple[float, float, float, float] | None
    sites: Path | None
    scenario: Path | None
    data_dir: Path | None
    http_port: int | None
    grpc_port: int | None
    seed: int | None
    speed: float | None
    past: str | None
    with_scene: bool
    open_page: bool


def run_up(options: UpOptions) -> int:
    """Run the twin until it is told to end; returns the exit code."""
    from twin_app.logs import configure

    settings = _settings(options)
    configure(settings.log_level)
    sys.setswitchinterval(SWITCH_S)
    return asyncio.run(_serve(options, settings))


def _settings(options: UpOptions) -> Settings:
    """Environment, then the command line on top."""
    from twin_app.settings import Settings

    try:
        base = Settings()
        over: dict[str, Any] = {
            key: value
            for key, value in {
                "data_dir": options.data_dir,
                "seed": options.seed,
                "speed": options.speed,
                "past": options.past,
            }.items()
            if value is not None
        }
        if options.http_port is not None:
            over["http"] = base.http.model_copy(update={"port": options.http_port})
        if options.grpc_port is not None:
            over["grpc"] = base.grpc.model_copy(update={"port": options.grpc_port})
        return base.model_copy(update=over)
    except SettingsError as exc:  # not even JSON
        raise InvalidInput(f"a setting is wrong: {exc}; lists are written as JSON") from exc
    except ValidationError as exc:
        faults = "; ".join(f"TWIN_{'__'.join(str(p).upper() for p in e['loc'])}: {e['msg']}" for e in exc.errors())
        raise InvalidInput(f"a setting is wrong: {faults}") from exc


async def _serve(options: UpOptions, settings: Settings) -> int:
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers on the loop
            loop.add_signal_handler(number, asked_to_stop.set)
    # After the handlers: these imports take a second, in which people press Ctrl-C, too.
    from twin_app.api.app import create_app
    from twin_app.bootstrap import build

    listener = _listen(settings.http.port)
    port = int(listener.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    with _progress() as tell:
        twin = await _unless(asked_to_stop, build(options, settings, tell=tell))
        if twin is None:
            listener.close()
            return 0
        app = create_app(twin)
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        )
        # uvicorn takes the signals while it serves (the only way on Windows): its end or our event, both are waited for
        serving = asyncio.create_task(_serve_quietly(server, listener), name="http")
        try:
            await twin.start(http_port=port, url=url, tell=tell)
            ready = await _until_ready(twin, asked_to_stop, serving, tell)
            await _warm_up(app, url)
        except TwinError:
            await _end(twin, server, serving)
            raise
    if ready:
        gc.collect()
        gc.freeze()  # what was built stays: the collector need not walk through the city again and again
        twin.pulse.forget()
        print(f"ready {url}", flush=True)
        _greet(url, twin)
        if options.open_page:
            _open(url)
        await _first_of(asked_to_stop.wait(), asyncio.shield(serving))
        _err.print("ending ...", highlight=False)
    await _end(twin, server, serving)
    return 0


async def _warm_up(app: FastAPI, url: str) -> None:
    """Walk through every router once: FastAPI builds its routes at their first request, some 50 ms on the loop."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=url) as client:
        await client.get("/v1/health")
        await client.get("/v1/no-such-route")


async def _serve_quietly(server: uvicorn.Server, listener: socket.socket) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await server.serve(sockets=[listener])


async def _end(twin: Twin, server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    twin.stopping.set()
    # Requests that do not end by themselves are cut off on purpose; uvicorn would print a traceback for each.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    server.should_exit = True
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(serving), DRAIN_S + 1.0)
    serving.cancel()
    await twin.stop()


async def _until_ready(
    twin: Twin, asked_to_stop: asyncio.Event, serving: asyncio.Task[None], tell: Callable[[str, float], None]
) -> bool:
    async def watch() -> None:
        while not twin.ready:
            tell(twin.waiting_for, twin.inventory.history_progress)
            await asyncio.sleep(0.1)

    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            await _first_of(watch(), asked_to_stop.wait(), asyncio.shield(serving))
    except TimeoutError:
        raise StartError(
            f"not ready within `{READY_TIMEOUT_S:g}` s ({twin.waiting_for}); see `{twin.folder.path / 'scene.log'}`"
        ) from None
    return twin.ready and not asked_to_stop.is_set()


async def _unless(asked_to_stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what the work returns, or None when it is asked to stop before that."""
    task = asyncio.create_task(work)
    await _first_of(task, asked_to_stop.wait())
    return None if task.cancelled() else task.result()


async def _first_of(*waits: Any) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _listen(port: int) -> socket.socket:
    """Bind the port on loopback before anything is built, so that a taken port is said at once."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as exc:
        listener.close()
        raise PortInUse(
            f"port `{port}` is taken by another program; choose one with --http-port (0 = a free one)"
        ) from exc
    listener.listen(128)
    listener.setblocking(False)
    return listener


@contextlib.contextmanager
def _progress() -> Generator[Callable[[str, float], None]]:
    """Yield `tell(what, share)`; draws a bar on a terminal, one line per new step elsewhere."""
    if not _err.is_terminal:
        said: set[str] = set()

        def plain(what: str, share: float) -> None:
            _ = share
            if what not in said:
                said.add(what)
                print(f"twin: {what}", file=sys.stderr, flush=True)

        yield plain
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_err, transient=True) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def _greet(url: str, twin: Twin) -> None:
    _err.print(f"\n[bold]Twin6G is up:[/] {url}   ({twin.scenario.name})", highlight=False)
    _err.print(f"  bridge for scenes   grpc://127.0.0.1:{twin.grpc_port}", highlight=False)
    _err.print(f"  data folder         {twin.folder.path}", highlight=False)
    _err.print("Three questions to try:", highlight=False)
    topology = twin.inventory.topology
    cell = topology.get(EXAMPLE_CELL if EXAMPLE_CELL in topology else twin.scenario.cells[0].id).name.lower()
    for question in QUESTIONS:
        _err.print(f'  twin ask "{question.format(cell=cell)}"', highlight=False)
    _err.print("Ctrl-C ends it.\n", highlight=False)


def _open(url: str) -> None:
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(url)
