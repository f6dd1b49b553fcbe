"""`twin scene`: a process of its own that computes a network and speaks `bridge.v1` like any engine.

Without `--follow` it is the whole scene (:mod:`twin_app.headless_scene`); with it the network of a scene that an
engine moves (:mod:`twin_app.follow_scene`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from twin.errors import TwinError
from twin_app.follow_scene import FollowScene
from twin_app.headless_scene import HeadlessScene
from twin_app.logs import configure
from twin_app.scenarios import load_scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STOP_LIMIT_S = 1.0

_log = structlog.get_logger("scene")


async def run_scene(
    kind: type[HeadlessScene | FollowScene],
    *,
    scenario_path: Path,
    server: str,
    scene_id: str,
    seed: int,
    state_dir: Path,
    takeover: bool,
    stop: asyncio.Event,
) -> None:
    """Run a scene against the twin at `server` until `stop` is set.

    Raises:
        ScenarioError: The scenario file cannot be read. TwinError: The twin refused the scene for good.
    """
    scenario = await asyncio.to_thread(load_scenario, scenario_path)
    scene = kind(
        scenario=scenario,
        server=server,
        scene_id=scene_id,
        seed=seed,
        state_dir=state_dir,
        takeover=takeover,
    )
    await scene.run(stop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="twin scene",
        description="Run the headless scene against a twin, or the network of a scene that an engine moves.",
    )
    parser.add_argument("--scenario", type=Path, required=True, help="scenario file, as `twin up` saves it")
    parser.add_argument("--server", default="127.0.0.1:8601", help="host and port of the bridge")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--scene-id", default="main", help="slug of the scene")
    which.add_argument(
        "--follow",
        metavar="SCENE",
        help="compute the network of this scene for an engine that only moves things (provides MOTION)",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random in a new world")
    parser.add_argument("--state-dir", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument(
        "--takeover", action="store_true", help="push out another program that holds what this scene provides"
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    parser.add_argument(
        "--parent-pipe", action="store_true", help="end when standard input closes, that is when the parent dies"
    )
    return parser


async def _serve(options: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        if not stop.is_set():
            stop.set()
            last_resort = threading.Timer(STOP_LIMIT_S, os._exit, (0,))
            last_resort.daemon = True
            last_resort.start()

    for name in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(name, end)
        except NotImplementedError:  # Windows
            signal.signal(name, lambda _number, _frame: loop.call_soon_threadsafe(end))
    if options.parent_pipe:
        threading.Thread(target=_watch_parent, args=(loop, end), daemon=True, name="parent-pipe").start()
    try:
        await run_scene(
            FollowScene if options.follow else HeadlessScene,
            scenario_path=options.scenario,
            server=options.server,
            scene_id=options.follow or options.scene_id,
            seed=options.seed,
            state_dir=options.state_dir,
            takeover=options.takeover,
            stop=stop,
        )
    except TwinError as error:
        _log.error("scene_ended", reason=str(error), kind=type(error).__name__)
        print(f"twin scene: {error}", file=sys.stderr)
        return 1
    return 0


def _watch_parent(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        # Not sys.stdin: a daemon thread that holds its lock aborts the interpreter at the end.
        while os.read(0, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # the loop may have ended by itself
        loop.call_soon_threadsafe(end)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the scene process; returns its exit code."""
    options = _parser().parse_args(argv)
    configure(options.log_level)
    return asyncio.run(_serve(options))


if __name__ == "__main__":
    sys.exit(main())
