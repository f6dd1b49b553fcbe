"""The journal of orders: written before an order is sent, and again before its answer is told.

A repeated id is answered from the record, also after a restart: what the caller did not hear the first time it hears
now, and the scene does not obey twice. :class:`RecordedLink` is the `twin.ports.SceneLink` that everybody in the twin
uses.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import structlog

from twin.commands import Command, CommandResult, CommandStage, ManageFault, SetAttribute
from twin.errors import KeyReused, NotFound, SceneNotNamed, SceneUnavailable, StoreUnavailable, TwinError
from twin_app.patience import until_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from twin.media import CameraImage
    from twin.ports import Journal, SceneLink

KEPT = 10_000
"""Orders of a scene that are answered from the record; older ones stay in the journal only."""

FINAL = frozenset({CommandStage.APPLIED, CommandStage.REJECTED, CommandStage.EXPIRED, CommandStage.FAILED})

_log = structlog.get_logger("twin_app.command_record")


@dataclass(slots=True)
class _Entry:
    digest: str
    key: str = ""
    journaled: bool = False
    result: CommandResult | None = None


class CommandRecord:
    """Orders to one scene and their answers.

    Args:
        journal: Where they are kept.
        scene_id: The scene.
        kept: How many are remembered.
    """

    def __init__(self, journal: Journal, *, scene_id: str, kept: int = KEPT) -> None:
        self._journal = journal
        self._scene_id = scene_id
        self._kept = kept
        self._entries: dict[str, _Entry] = {}
        self._ids: dict[str, str] = {}
        self._open: dict[str, Mapping[str, Any]] = {}
        self._writing = asyncio.Lock()

    async def restore(self) -> None:
        """Learn from the journal what was asked and answered.

        Raises:
            StoreUnavailable: The journal cannot be read.
        """
        for _, fact in await self._journal.replay("command"):
            self._remember(fact["id"], _Entry(fact["digest"], key=fact.get("key", ""), journaled=True))
            self._open[fact["id"]] = fact
        for _, fact in await self._journal.replay("command_result"):
            self._open.pop(fact["id"], None)
            entry = self._entries.get(fact["id"])
            if entry is not None:
                entry.result = _result_of(fact)

    def open_faults(self) -> list[Command]:
        """Return the faults that an earlier run of the twin ordered and never heard of; ask again to learn."""
        return [
            Command(
                id=fact["id"],
                body=ManageFault(**fact["body"]),
                issued_by=fact["issued_by"],
                deadline_unix_ns=fact["deadline_unix_ns"],
            )
            for fact in self._open.values()
            if fact["kind"] == ManageFault.__name__ and fact["id"] in self._entries
        ]

    def id_of(self, key: str, fresh: str) -> str:
        """Return the id of the order that was given under an Idempotency-Key; for a new key it is `fresh` from now."""
        return self._ids.setdefault(key, fresh)

    def answer_to(self, command: Command, *, scenes: Sequence[str] = ()) -> CommandResult | None:
        """Return the recorded answer to an order, None when it was never given or never answered.

        Raises:
            KeyReused: The id was used with another body.
        """
        entry = self._entries.get(command.id)
        if entry is None:
            return None
        if entry.digest != _digest(command, scenes):
            raise KeyReused(f"the command id `{command.id}` was used with another body; take a new one")
        return entry.result

    def claim(self, command: Command, *, scenes: Sequence[str] = (), key: str = "") -> None:
        """Take the id for this order, at once: who comes meanwhile with another order under it is refused.

        Raises:
            KeyReused: The id was used with another body.
        """
        if command.id in self._entries:
            self.answer_to(command, scenes=scenes)
        else:
            self._remember(command.id, _Entry(_digest(command, scenes), key=key))

    async def asked(self, command: Command, *, scenes: Sequence[str] = (), key: str = "") -> None:
        """Journal an order before it is sent; one that is sent again is in the journal already.

        Raises:
            KeyReused: The id was used with another body. StoreUnavailable: Do not send it.
        """
        async with self._writing:
            self.claim(command, scenes=scenes, key=key)
            entry = self._entries[command.id]
            if entry.journaled:
                return
            fact: dict[str, Any] = {
                "id": command.id,
                "scene_id": self._scene_id,
                "kind": type(command.body).__name__,
                "body": asdict(command.body),
                "issued_by": command.issued_by,
                "change_id": command.change_id,
                "expected_revision": command.expected_revision,
                "deadline_unix_ns": command.deadline_unix_ns,
                "scenes": list(scenes),
                "wall_time_s": time.time(),
                "digest": entry.digest,
            }
            if key:
                fact["key"] = key
            try:
                await self._journal.append("command", [fact])
            except BaseException:
                self._forget(command.id)
                raise
            entry.journaled = True

    async def answered(self, result: CommandResult) -> None:
        """Journal a final answer before anybody is told.

        Raises:
            StoreUnavailable: It is not on the disk.
        """
        fact = {**asdict(result), "id": result.command_id, "stage": result.stage.value, "scene_id": self._scene_id}
        del fact["command_id"]
        await self._journal.append("command_result", [fact])
        self._open.pop(result.command_id, None)
        entry = self._entries.get(result.command_id)
        if entry is not None:
            entry.result = result

    def _remember(self, command_id: str, entry: _Entry) -> None:
        self._entries[command_id] = entry
        if entry.key:
            self._ids[entry.key] = command_id
        if len(self._entries) > self._kept:
            self._forget(next(iter(self._entries)))

    def _forget(self, command_id: str) -> None:
        entry = self._entries.pop(command_id, None)
        if entry is not None and entry.key:
            self._ids.pop(entry.key, None)


class RecordedLink:
    """Implements `twin.ports.SceneLink` with a journal before and behind every order.

    Args:
        link: The way to the scenes, given when the bridge exists.
        records: The record of every scene.
        scene_id: The scene that is meant when none is named; None = the only one.
        settled: Told of every final answer with its scene, once it is on the disk; those of dry runs at once.
    """

    def __init__(
        self,
        link: Callable[[], SceneLink],
        records: dict[str, CommandRecord],
        *,
        scene_id: str = "",
        settled: Callable[[str, CommandResult], None] | None = None,
    ) -> None:
        self._link = link
        self._records = records
        self._scene_id = scene_id
        self._settled = settled
        self._under_way: dict[tuple[str, str], asyncio.Task[CommandResult]] = {}

    def of(self, scene_id: str) -> RecordedLink:
        """Return the same link for somebody who knows one scene only."""
        bound = RecordedLink(self._link, self._records, scene_id=scene_id, settled=self._settled)
        bound._under_way = self._under_way  # both must see what is under way
        return bound

    async def send(
        self, command: Command, *, timeout_s: float, scene_id: str | None = None, key: str = ""
    ) -> CommandResult:
        """Push a command and wait for its final stage, which is on the disk when it is told.

        Args:
            key: Idempotency-Key of the caller, kept with the order.

        Raises:
            KeyReused: The id was used with another body. StoreUnavailable: The journal takes nothing; when the order
            was sent already, ask again with the same id. SceneUnavailable, DeadlineExceeded, SceneNotNamed, NotFound.
        """
        scene = self._scene(scene_id)
        if command.dry_run:  # it changes nothing, so there is nothing to remember
            result = await self._link().send(command, timeout_s=timeout_s, scene_id=scene)
            self._tell(scene, result)
            return result
        return await self._recorded(command, scene, scenes=(), timeout_s=timeout_s, key=key)

    async def send_to_all(
        self, command: Command, *, scene_ids: Sequence[str], timeout_s: float, key: str = ""
    ) -> Mapping[str, CommandResult]:
        """Push the same command to several scenes; one final answer each, FAILED where none came.

        Raises:
            KeyReused: The id was used with another body or for other scenes. NotFound: There is no such scene.
            StoreUnavailable: The journal takes nothing; nothing was sent.
        """
        scenes = tuple(sorted({self._scene(one) for one in scene_ids}))
        if command.dry_run:
            results = await self._link().send_to_all(command, scene_ids=scenes, timeout_s=timeout_s)
            for scene, result in results.items():
                self._tell(scene, result)
            return results
        for scene in scenes:  # all before the first is sent: an order that the disk refuses reaches nobody
            await self._records[scene].asked(command, scenes=scenes, key=key)

        async def one(scene: str) -> CommandResult:
            try:
                return await self._recorded(command, scene, scenes=scenes, timeout_s=timeout_s, key=key)
            except TwinError as error:
                return CommandResult(command_id=command.id, stage=CommandStage.FAILED, reason=str(error))

        answers = await asyncio.gather(*(one(scene) for scene in scenes))
        return dict(zip(scenes, answers, strict=True))

    async def picture(
        self, *, scene_id: str | None, camera_id: str = "", width: int = 0, height: int = 0, timeout_s: float
    ) -> CameraImage:
        """Ask a camera for one picture; nothing of it is recorded."""
        return await self._link().picture(
            scene_id=self._scene(scene_id), camera_id=camera_id, width=width, height=height, timeout_s=timeout_s
        )

    def id_of(self, key: str, fresh: str, *, scene_ids: Sequence[str]) -> str:
        """Return the id of the order that was given under an Idempotency-Key; for a new key it is `fresh` from now."""
        records = [self._records[self._scene(one)] for one in scene_ids]
        for record in records:
            fresh = record.id_of(key, fresh)
        return fresh

    def _scene(self, scene_id: str | None) -> str:
        scene = scene_id or self._scene_id
        if not scene:
            if len(self._records) != 1:
                raise SceneNotNamed(f"several scenes are kept; name one of {', '.join(sorted(self._records))}")
            scene = next(iter(self._records))
        if scene not in self._records:
            raise NotFound(f"there is no scene `{scene}`; scenes: {', '.join(sorted(self._records))}")
        return scene

    async def _recorded(
        self, command: Command, scene: str, *, scenes: tuple[str, ...], timeout_s: float, key: str
    ) -> CommandResult:
        known = self._records[scene].answer_to(command, scenes=scenes)
        if known is not None:
            return known
        self._records[scene].claim(command, scenes=scenes, key=key)
        at = (scene, command.id)
        task = self._under_way.get(at)
        if task is None:
            task = asyncio.create_task(
                self._carry(command, scene, scenes=scenes, timeout_s=timeout_s, key=key), name=f"command {command.id}"
            )
            self._under_way[at] = task
            task.add_done_callback(lambda done: self._landed(at, done))
        try:
            # Twice the time: the scene has its own limit inside; the rest is for a disk that is full for a moment.
            return await asyncio.wait_for(asyncio.shield(task), 2 * timeout_s)
        except TimeoutError:
            raise StoreUnavailable(
                f"the answer to the command `{command.id}` waits for the disk; ask again with the same id"
            ) from None
        except asyncio.CancelledError:
            asker = asyncio.current_task()
            if task.cancelled() and asker is not None and not asker.cancelling():
                raise SceneUnavailable(f"the scene `{scene}` ends; nobody answers `{command.id}` any more") from None
            raise

    def _landed(self, at: tuple[str, str], task: asyncio.Task[CommandResult]) -> None:
        self._under_way.pop(at, None)
        if not task.cancelled():
            task.exception()  # those who waited have it; nobody may be left

    async def _carry(
        self, command: Command, scene: str, *, scenes: tuple[str, ...], timeout_s: float, key: str
    ) -> CommandResult:
        record = self._records[scene]
        await record.asked(command, scenes=scenes, key=key)
        result = await self._link().send(command, timeout_s=timeout_s, scene_id=scene)
        if result.stage in FINAL:
            # It happened: however long the disk is full, the answer is recorded before it is told.
            await until_stored(lambda: record.answered(result), what=f"answer to {command.id}")
            self._tell(scene, result)
        return result

    def _tell(self, scene: str, result: CommandResult) -> None:
        if self._settled is not None:
            self._settled(scene, result)

    async def close(self, scene_id: str) -> None:
        """End what waits for answers of a scene; the record says at the next start that none came."""
        tasks = [task for (scene, _), task in self._under_way.items() if scene == scene_id]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _digest(command: Command, scenes: Sequence[str]) -> str:
    """Return what must be the same when an id is used again: the order, not its deadline or who repeats it."""
    document = [
        type(command.body).__name__,
        asdict(command.body),
        command.expected_revision,
        command.change_id,
        list(scenes),
    ]
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _result_of(fact: Mapping[str, Any]) -> CommandResult:
    return CommandResult(
        command_id=fact["id"],
        stage=CommandStage(fact["stage"]),
        observed=tuple(SetAttribute(**one) for one in fact["observed"]),
        reason=fact["reason"],
        sim_time_s=fact["sim_time_s"],
        labels=tuple(fact["labels"]),
    )
