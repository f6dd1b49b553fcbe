"""Which scenes a twin keeps: `scenes.json` in the data folder, so that they come back after a restart."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twin.errors import CorruptStore, FolderMismatch, InvalidInput
from twin_app.data_folder import MAIN, read_json, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from twin_app.data_folder import DataFolder

FORMAT = 1
"""Layout of the file; a newer one is refused."""

SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""What a scene may be called; the bridge asks for the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenePlan:
    """What a scene is made from. Its city is kept in its folder: what makes one counts for a new folder only.

    Attributes:
        id: Slug, unique in the twin.
        scenario: Scenario file; None = a generated city, or the one that the scene's folder holds.
        seed: Seed of a generated city; None = made from the twin's seed and the id.
        ues: Number of UEs of a generated city; None = the generator's default.
        past: How much past a new world is given; None = the setting.
        with_scene: The twin runs the headless scene for it.
    """

    id: str
    scenario: Path | None = None
    seed: int | None = None
    ues: int | None = None
    past: str | None = None
    with_scene: bool = True

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.id):
            raise InvalidInput(
                f"`{self.id[:80]}` is no scene id; use 1 to 64 of a-z, 0-9, dot, dash and underscore, a letter or"
                " digit first"
            )

    def seed_of(self, twin_seed: int) -> int:
        """Return the seed of the generated city: scenes of one twin differ, and each is the same at every start."""
        if self.seed is not None:
            return self.seed
        if self.id == MAIN:
            return twin_seed
        return int.from_bytes(hashlib.sha256(f"{twin_seed}/{self.id}".encode()).digest()[:4], "big")


def plan_of(text: str) -> ScenePlan:
    """Read `NAME` or `NAME=SCENARIO.yaml` of the command line.

    Raises:
        InvalidInput: It is neither.
    """
    name, equals, file = text.partition("=")
    if equals and not file:
        raise InvalidInput(f"`{text}` names no scenario file behind `=`; write NAME or NAME=SCENARIO.yaml")
    return ScenePlan(id=name, scenario=Path(file) if file else None)


class SceneList:
    """The scenes of a data folder."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._path = folder.path / "scenes.json"

    def read(self) -> list[ScenePlan]:
        """Return what was recorded; a folder of a version that kept one scene only has `main`.

        Raises:
            CorruptStore: The file cannot be read. FolderMismatch: It was written by a newer version.
        """
        found = read_json(self._path)
        if found is None:
            legacy = (self._folder.scene(MAIN).path / "city.json").exists()
            return [ScenePlan(id=MAIN)] if legacy else []
        if found.get("format", 0) > FORMAT:
            raise FolderMismatch(
                f"`{self._path}` has the format `{found['format']}`, this version reads up to `{FORMAT}`; update Twin6G"
                " or name another folder with --data-dir"
            )
        try:
            return [ScenePlan(**row) for row in found["scenes"]]
        except (KeyError, TypeError, InvalidInput) as exc:
            raise CorruptStore(
                f"`{self._path}` cannot be read: {exc}. Move it away: the scenes in `{self._folder.path / 'scenes'}`"
                " stay, name each with --scene to have it again"
            ) from exc

    def write(self, plans: Iterable[ScenePlan]) -> None:
        """Record the scenes.

        Raises:
            StoreUnavailable: The disk is full.
        """
        rows: list[dict[str, Any]] = []
        for plan in plans:
            row = asdict(plan)
            del row["scenario"]  # the folder holds the scenario; the file may be gone at the next start
            rows.append(row)
        write_atomically(self._path, json.dumps({"format": FORMAT, "scenes": rows}, indent=1) + "\n")


def plans_at_start(recorded: Sequence[ScenePlan], given: Sequence[ScenePlan], *, main_given: bool) -> list[ScenePlan]:
    """Return which scenes to run: those recorded, those named now, and `main` where there would be none.

    Args:
        main_given: The command line describes the city of `main`.

    Raises:
        InvalidInput: A scene is named twice.
    """
    ids = [plan.id for plan in given]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise InvalidInput(f"the scene `{twice}` is named twice; every scene needs an id of its own")
    plans = {plan.id: plan for plan in recorded}
    if main_given and MAIN not in plans:
        plans[MAIN] = ScenePlan(id=MAIN)
    for plan in given:
        plans[plan.id] = plan
    return list(plans.values()) or [ScenePlan(id=MAIN)]
