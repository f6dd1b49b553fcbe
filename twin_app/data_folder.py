"""The data folder: one twin at a time, one city per scene for ever, and where the running twin is found.

Files in it: `lock` (held while a twin runs), `run.json` (pid and ports of the running twin), `scenes.json` (which
scenes the twin keeps). Each scene has `city.json` (city and civil epoch), `scenario.npz`, `journal.sqlite`,
`telemetry.duckdb`, `detector.npz`, `scene.log` and the folder `scene`: the scene `main` in the data folder itself, as
in versions that kept one scene only, every other in `scenes/<id>`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import platformdirs

from twin.clock import CivilTime
from twin.errors import CorruptStore, FolderLocked, FolderMismatch, StoreUnavailable
from twin.file_lock import try_lock

FORMAT = 1
"""Layout of the folder; a newer one is refused."""

MAIN = "main"
"""The scene of a twin that was given no other."""

SCENE_FILES = ("city.json", "scenario.npz", "journal.sqlite", "telemetry.duckdb", "detector.npz", "scene.log")
SCENE_FOLDERS = ("scene",)

LOOK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CityRecord:
    """What a data folder belongs to.

    Attributes:
        digest: SHA-256 of the scenario.
        epoch: RFC 3339 moment at which ``sim_time_s`` is 0.
    """

    digest: str
    name: str
    scene_id: str
    epoch: str
    timezone: str
    format: int = FORMAT

    @property
    def civil(self) -> CivilTime:
        """Simulated to civil time."""
        return CivilTime(epoch=datetime.fromisoformat(self.epoch), timezone=self.timezone)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """Where a running twin answers."""

    pid: int
    http_port: int
    grpc_port: int
    url: str
    started_unix_s: float


def default_path() -> Path:
    """Return the platform's user data folder for Twin6G."""
    return Path(platformdirs.user_data_dir("twin6g", appauthor=False))


class SceneFolder:
    """The part of the data folder that belongs to one scene."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def scenario_path(self) -> Path:
        """The city and its network, ready to load."""
        return self.path / "scenario.npz"

    @property
    def log_path(self) -> Path:
        """What the headless scene says."""
        return self.path / "scene.log"

    @property
    def state_path(self) -> Path:
        """Folder in which the headless scene keeps its checkpoints."""
        return self.path / "scene"

    @property
    def journal_path(self) -> Path:
        """Every lossless fact."""
        return self.path / "journal.sqlite"

    @property
    def telemetry_path(self) -> Path:
        """History of figures."""
        return self.path / "telemetry.duckdb"

    @property
    def detector_path(self) -> Path:
        """What the detector has learned."""
        return self.path / "detector.npz"

    def city_record(
        self, *, digest: str, name: str, scene_id: str, timezone: str, now: datetime
    ) -> tuple[CityRecord, bool]:
        """Return the city of this folder and whether it is new; a new one has its epoch at `now`.

        Raises:
            FolderMismatch: The folder was made for another city, or by a newer version.
            CorruptStore: `city.json` cannot be read.
        """
        path = self.path / "city.json"
        found = read_json(path)
        if found is None:
            made = CityRecord(digest=digest, name=name, scene_id=scene_id, epoch=now.isoformat(), timezone=timezone)
            write_atomically(path, json.dumps(asdict(made), indent=1) + "\n")
            return made, True
        if found.get("format", 0) > FORMAT:
            raise FolderMismatch(
                f"the data folder `{self.path}` has the format `{found['format']}`, this version reads up to"
                f" `{FORMAT}`; update Twin6G or name another folder with --data-dir"
            )
        try:
            record = CityRecord(**found)
            _ = record.civil
        except (TypeError, ValueError) as exc:
            raise CorruptStore(_unreadable(path, str(exc))) from exc
        if record.digest != digest:
            raise FolderMismatch(
                f"the data folder `{self.path}` was made for another city (`{record.name}`, digest"
                f" `{record.digest[:12]}`; now `{name}`, `{digest[:12]}`); name another folder with --data-dir, or"
                " delete this one to start afresh"
            )
        return record, False

    def purge(self) -> None:
        """Remove everything that belongs to the scene; other things in the folder stay.

        Raises:
            StoreUnavailable: Something cannot be removed.
        """
        try:
            for name in SCENE_FILES:
                for path in (self.path / name, *self.path.glob(f"{name}-*"), *self.path.glob(f"{name}.*")):
                    path.unlink(missing_ok=True)
            for name in SCENE_FOLDERS:
                if (self.path / name).exists():
                    shutil.rmtree(self.path / name)
        except OSError as exc:
            raise StoreUnavailable(f"`{self.path}` cannot be emptied: {exc.strerror}; remove it by hand") from exc


class DataFolder(SceneFolder):
    """A locked data folder; made by :meth:`lock`, given back by :meth:`close`. It is also the folder of `main`."""

    def __init__(self, path: Path, lock_file: IO[str]) -> None:
        super().__init__(path)
        self._lock_file = lock_file

    def scene(self, scene_id: str) -> SceneFolder:
        """Return the part of one scene: `main` lies where a twin with one scene keeps it, others in `scenes`."""
        return self if scene_id == MAIN else SceneFolder(self.path / "scenes" / scene_id)

    @classmethod
    def lock(cls, path: Path | None = None) -> DataFolder:
        """Make the folder when needed and take its lock.

        Raises:
            FolderLocked: Another twin runs on it; the message names its process.
            StoreUnavailable: The folder cannot be made or written.
        """
        folder = path or default_path()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it names injected faults; who made it, rules it
            lock_file = (folder / "lock").open("a+", encoding="utf-8")
        except OSError as exc:
            raise StoreUnavailable(
                f"the data folder `{folder}` cannot be used: {exc.strerror}; name another with --data-dir"
            ) from exc
        if not _lock_patiently(lock_file):
            lock_file.seek(0)
            owner = lock_file.read().strip() or "unknown"
            lock_file.close()
            raise FolderLocked(
                f"another twin (process `{owner}`) uses the data folder `{folder}`; stop it, or name another folder"
                " with --data-dir"
            )
        try:
            lock_file.seek(0)
            lock_file.truncate()
            lock_file.write(f"{os.getpid()}\n")
            lock_file.flush()
        except OSError as exc:
            with contextlib.suppress(OSError):  # closing tries to write once more
                lock_file.close()
            raise StoreUnavailable(
                f"the data folder `{folder}` cannot be written: {exc.strerror}; free some disk space, or name another"
                " with --data-dir"
            ) from exc
        return cls(folder, lock_file)

    def write_run(self, *, http_port: int, grpc_port: int, url: str) -> RunInfo:
        """Tell other programs where this twin answers."""
        info = RunInfo(pid=os.getpid(), http_port=http_port, grpc_port=grpc_port, url=url, started_unix_s=time.time())
        write_atomically(self.path / "run.json", json.dumps(asdict(info)) + "\n")
        return info

    def close(self) -> None:
        """Remove `run.json` and give the lock back; safe to call twice."""
        if self._lock_file.closed:
            return
        (self.path / "run.json").unlink(missing_ok=True)
        self._lock_file.seek(0)
        self._lock_file.truncate()
        self._lock_file.close()  # closing the only descriptor gives the lock back


def running(path: Path | None = None) -> RunInfo | None:
    """Return where the twin of this folder answers, None when none runs.

    A `run.json` left behind by a killed twin is ignored: the lock, which dies with its process, decides.
    """
    folder = path or default_path()
    try:
        with (folder / "lock").open("r+", encoding="utf-8") as lock_file:
            if try_lock(lock_file):
                return None
    except OSError:
        return None
    try:
        found = read_json(folder / "run.json")
        return None if found is None else RunInfo(**found)
    except (CorruptStore, TypeError):
        return None


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file as a whole: after a crash either the old or the new one stands, never half of it.

    Raises:
        StoreUnavailable: The disk is full or the folder is gone; the old file stands.
    """
    raw = content.encode() if isinstance(content, str) else content
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as exc:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise StoreUnavailable(f"`{path}` cannot be written: {exc.strerror}; free some disk space") from exc


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a file of the data folder, None when there is no file.

    Raises:
        CorruptStore: It holds no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise CorruptStore(_unreadable(path, str(exc))) from exc
    if not isinstance(found, dict):
        raise CorruptStore(_unreadable(path, "it holds no JSON object"))
    return found


def _unreadable(path: Path, why: str) -> str:
    return f"`{path}` cannot be read: {why}. Move the folder `{path.parent}` away, or name another with --data-dir"


def _lock_patiently(file: IO[str]) -> bool:
    """Take the lock; a program that only looks whether a twin runs holds it for a moment."""
    for _ in range(3):
        if try_lock(file):
            return True
        time.sleep(LOOK_S)
    return try_lock(file)
