"""The data folder: one twin at a time, one city for ever."""

import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.ledger import FileLedger
from twin.errors import CorruptStore, FolderLocked, FolderMismatch, StoreUnavailable
from twin_app.data_folder import CityRecord, DataFolder, RunInfo, running, write_atomically
from twin_app.journal import SqliteJournal

NOW = datetime(2026, 11, 7, 14, 30, tzinfo=UTC)


def _world(folder: DataFolder, digest: str = "a" * 64) -> tuple[CityRecord, bool]:
    return folder.city_record(digest=digest, name="Lakeside", scene_id="city", timezone="Europe/Berlin", now=NOW)


@pytest.fixture
def folder(tmp_path: Path):
    locked = DataFolder.lock(tmp_path / "twin")
    yield locked
    locked.close()


def test_a_second_twin_is_refused_and_told_who_has_it(folder: DataFolder) -> None:
    with pytest.raises(FolderLocked, match=rf"process `{os.getpid()}`.*--data-dir"):
        DataFolder.lock(folder.path)


@pytest.mark.skipif(os.name == "nt", reason="there are no modes")
async def test_what_names_injected_faults_is_for_the_owner_alone(folder: DataFolder) -> None:
    older = folder.path / "older"
    older.mkdir()
    (older / "journal.sqlite").touch(mode=0o644)
    for place in (folder.path, older):
        journal = SqliteJournal(place / "journal.sqlite")
        await journal.open()
        await journal.append("topology", [{}])
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.glob("journal.sqlite*")}
        await journal.close()
        assert set(found.values()) == {0o600}, found
        assert len(found) == 3, "with what SQLite keeps beside it"
    with FileLedger(folder.path / "orders.ledger"):
        assert stat.S_IMODE((folder.path / "orders.ledger").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_a_closed_folder_can_be_locked_again(folder: DataFolder) -> None:
    folder.close()
    DataFolder.lock(folder.path).close()


def test_the_world_is_made_once(folder: DataFolder) -> None:
    made, new = _world(folder)
    assert new
    assert made.civil.epoch == NOW
    assert _world(folder) == (made, False)


def test_another_city_is_refused_with_the_way_out(folder: DataFolder) -> None:
    _world(folder)
    with pytest.raises(FolderMismatch, match=r"another city.*--data-dir.*delete"):
        _world(folder, "b" * 64)


def test_a_folder_of_a_newer_version_is_refused(folder: DataFolder) -> None:
    (folder.path / "city.json").write_text('{"format": 99}')
    with pytest.raises(FolderMismatch, match="`99`"):
        _world(folder)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', '{"digest": 1, "name": 2}'])
def test_a_broken_city_record_names_the_file(folder: DataFolder, content: str) -> None:
    (folder.path / "city.json").write_text(content)
    with pytest.raises(CorruptStore, match=r"city\.json"):
        _world(folder)


def test_a_running_twin_is_found_and_a_stopped_one_is_not(folder: DataFolder) -> None:
    assert running(folder.path) is None
    info = folder.write_run(http_port=8600, grpc_port=8601, url="http://127.0.0.1:8600")
    found = running(folder.path)
    assert isinstance(found, RunInfo)
    assert found == info
    assert found.pid == os.getpid()
    folder.close()
    assert running(folder.path) is None
    assert not (folder.path / "run.json").exists()


def test_no_folder_means_no_twin(tmp_path: Path) -> None:
    assert running(tmp_path / "nothing") is None


KILLED = """
import sys, time
from pathlib import Path
from twin_app.data_folder import DataFolder
folder = DataFolder.lock(Path(sys.argv[1]))
folder.write_run(http_port=1, grpc_port=2, url="http://127.0.0.1:1")
print("ready", flush=True)
time.sleep(60)
"""


def test_what_a_killed_twin_left_behind_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "twin"
    twin = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert twin.stdout is not None
    assert twin.stdout.readline() == "ready\n"
    found = running(path)
    with pytest.raises(FolderLocked, match=f"`{twin.pid}`"):
        DataFolder.lock(path)
    twin.send_signal(signal.SIGKILL)
    twin.wait()
    twin.stdout.close()
    assert found is not None
    assert found.pid == twin.pid
    assert (path / "run.json").exists()
    assert running(path) is None
    DataFolder.lock(path).close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="--data-dir"):
        DataFolder.lock(tmp_path / "file" / "twin")


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "one")
    write_atomically(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
