"""`twin up`: builds the twin, serves it, says when it is ready, ends it cleanly.

Standard output carries one line, `ready http://127.0.0.1:N`; everything for people goes to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import ssl
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

from bridge.codec import MAX_MESSAGE_BYTES
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

MOST_FILES = 65_536

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
    scenes: tuple[str, ...]
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
    _allow_many_connections()
    return asyncio.run(_serve(options, settings))


def _allow_many_connections() -> None:
    """Raise the limit of open files as far as the system lets us: each connection is one."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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
        raise InvalidInput(f'a setting is wrong: {exc}; lists are written as JSON, such as \'["a", "b"]\'') from exc
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
    from twin_app.access import Door
    from twin_app.api.app import create_app
    from twin_app.bootstrap import build
    from twin_app.certs import read_tls
    from twin_app.data_folder import default_path
    from twin_app.exposure import allowed_names, check_exposure, own_name, own_url
    from twin_app.token_file import TokenFile

    tls = read_tls(settings.tls)
    door = Door((*settings.access.tokens, *TokenFile(settings.data_dir or default_path()).read()))
    check_exposure(settings, door, tls)
    for host in (settings.http.host, settings.grpc.host):
        own_name(host, tls)  # a certificate that fits nobody is better said now
    listener = _listen(settings.http.host, settings.http.port)
    port = int(listener.getsockname()[1])
    url = own_url(settings, port, tls)
    with _progress() as tell:
        twin = await _unless(asked_to_stop, build(options, settings, door=door, tls=tls, tell=tell))
        if twin is None:
            listener.close()
            return 0
        app = create_app(twin, names=allowed_names(settings, tls))
        server = uvicorn.Server(_http_config(app, settings))
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


def _http_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        ws="websockets-sansio",
        # Twice what the bridge takes, so that it can say TOO_LARGE itself.
        ws_max_size=2 * MAX_MESSAGE_BYTES,
        ssl_certfile=settings.tls.certificate,
        ssl_keyfile=settings.tls.key,
        ssl_ca_certs=None if settings.tls.client_ca is None else str(settings.tls.client_ca),
        ssl_cert_reqs=ssl.CERT_NONE if settings.tls.client_ca is None else ssl.CERT_REQUIRED,
    )


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
            tell(twin.waiting_for, twin.progress)
            await asyncio.sleep(0.1)

    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            await _first_of(watch(), asked_to_stop.wait(), asyncio.shield(serving))
    except TimeoutError:
        raise StartError(
            f"not ready within `{READY_TIMEOUT_S:g}` s ({twin.waiting_for}); see `{twin.slowest.folder.log_path}`"
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


def _listen(host: str, port: int) -> socket.socket:
    """Bind the port before anything is built, so that a taken port is said at once."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        if exc.errno != errno.EADDRINUSE:
            raise StartError(f"`{host}` is no address of this machine ({exc.strerror}); set TWIN_HTTP__HOST") from exc
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
    from twin_app.scene_login import own_address

    _err.print(f"\n[bold]Twin6G is up:[/] {url}   ({', '.join(twin.in_words())})", highlight=False)
    bridge = own_address(twin.grpc_port, twin.tls, host=twin.settings.grpc.host)
    _err.print(f"  bridge for scenes   {bridge if '://' in bridge else f'grpc://{bridge}'}", highlight=False)
    _err.print(f"                      ws{url.removeprefix('http')}/bridge", highlight=False)
    _err.print(f"  data folder         {twin.folder.path}", highlight=False)
    _err.print("Three questions to try:", highlight=False)
    shown = twin.first
    topology = shown.inventory.topology
    cell = topology.get(EXAMPLE_CELL if EXAMPLE_CELL in topology else shown.scenario.cells[0].id).name.lower()
    where = "" if len(twin.worlds) == 1 else f" --scene {shown.id}"
    for question in QUESTIONS:
        _err.print(f'  twin ask "{question.format(cell=cell)}"{where}', highlight=False)
    _err.print("Ctrl-C ends it.\n", highlight=False)


def _open(url: str) -> None:
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(url)
