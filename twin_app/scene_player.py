"""The headless scene of one world: the whole of it, or the network of an engine that only moves things."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from twin_app.children import SceneChild

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twin_app.data_folder import SceneFolder


class ScenePlayer:
    """Starts and ends `twin scene` for one scene; implements `twin_app.scene_desk.Follower`.

    An engine that comes while the headless scene plays gets its place: the headless scene ends, follows the engine,
    and plays again when the engine is gone.

    Args:
        environment: What the process needs to come in.
        on_exit: Told the exit code of a process that ended by itself; it is started again.
    """

    def __init__(
        self,
        *,
        scene_id: str,
        folder: SceneFolder,
        seed: int,
        environment: Mapping[str, str],
        on_exit: Callable[[int], None],
    ) -> None:
        self._scene_id = scene_id
        self._folder = folder
        self._seed = seed
        self._environment = environment
        self._on_exit = on_exit
        self._server = ""
        self._plays = False
        self._child: SceneChild | None = None
        self._following = False
        self._restarts_before = 0
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def following(self) -> bool:
        """Whether an engine is followed."""
        return self._following

    @property
    def restarts(self) -> int:
        """How often a process had to be started again."""
        return self._restarts_before + (0 if self._child is None else self._child.restarts)

    def open(self, *, server: str, plays: bool) -> None:
        """The bridge listens: from now on processes can be started.

        Args:
            plays: Play the scene when no engine does.
        """
        self._server, self._plays = server, plays
        if plays:
            self._start()

    def attach(self) -> None:
        """Follow an engine; nothing when it is followed already."""
        if self._server and not self._following:
            self._following = True
            task = asyncio.get_running_loop().create_task(self._again(), name=f"follow {self._scene_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def detach(self) -> None:
        """Follow no more, and play again if that was wanted."""
        if self._following:
            self._following = False
            await self._again()

    async def close(self) -> None:
        """End everything."""
        self._server, self._plays, self._following = "", False, False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with self._turn:
            await self._end()

    async def _again(self) -> None:
        """End what runs and start what is wanted now."""
        async with self._turn:
            await self._end()
            if self._server and (self._following or self._plays):
                self._start()

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            self._restarts_before += child.restarts
            await child.stop()

    def _start(self) -> None:
        follows = self._following
        self._child = SceneChild(
            (
                "twin_app.scene_process",
                *("--scenario", str(self._folder.scenario_path)),
                *("--server", self._server),
                *("--follow" if follows else "--scene-id", self._scene_id),
                *("--seed", str(self._seed)),
                *("--state-dir", str(self._folder.state_path)),  # one world, whoever moves it: faults and orders go on
                "--parent-pipe",
            ),
            log_path=self._folder.log_path,
            on_exit=self._on_exit,
            environment=self._environment,
        )
        self._child.start()
