"""What every journal promises; the embedded one besides: durable over kill -9, tamper-evident, honest when full."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from twin.errors import CorruptStore, InvalidInput, StoreUnavailable
from twin.ports import Journal
from twin.testing import MemoryJournal
from twin_app.journal import SqliteJournal

KILLS = 50 if os.environ.get("TWIN_TEST_SOAK") == "1" else 5  # a tenth in `make test`


@pytest.fixture(params=["sqlite", "memory"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
        return
    opened = SqliteJournal(tmp_path / "journal.sqlite")
    await opened.open()
    yield opened
    await opened.close()


async def test_facts_come_back_in_order(journal: Journal) -> None:
    assert await journal.append("alarm", [{"n": 1}, {"n": 2}]) == 2
    assert await journal.append("change", [{"n": 3, "text": "größer als 3 °"}]) == 3
    assert await journal.replay("alarm") == [(1, {"n": 1}), (2, {"n": 2})]
    assert await journal.replay("change") == [(3, {"n": 3, "text": "größer als 3 °"})]


async def test_replay_can_go_on_after_a_number(journal: Journal) -> None:
    await journal.append("alarm", [{"n": n} for n in range(5)])
    assert [fact["n"] for _, fact in await journal.replay("alarm", after=3)] == [3, 4]


async def test_an_unknown_kind_has_no_facts(journal: Journal) -> None:
    assert await journal.replay("nothing") == []


@pytest.mark.parametrize("fact", [{"x": object()}, {"x": float("nan")}])
async def test_a_fact_that_is_no_json_is_refused_and_nothing_is_stored(
    journal: Journal, fact: dict[str, object]
) -> None:
    with pytest.raises(InvalidInput):
        await journal.append("alarm", [{"n": 1}, fact])
    assert await journal.replay("alarm") == []


async def test_appends_at_the_same_time_get_numbers_of_their_own(journal: Journal) -> None:
    numbers = await asyncio.gather(*(journal.append("audit", [{"n": n}]) for n in range(20)))
    assert sorted(numbers) == list(range(1, 21))


async def _filled(path: Path) -> None:
    journal = SqliteJournal(path)
    await journal.open()
    await journal.append("alarm", [{"n": n} for n in range(10)])
    await journal.close()


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE entry SET fact = '{\"n\":99}' WHERE seq = 5",
        "DELETE FROM entry WHERE seq = 5",
        "UPDATE entry SET wall_time_s = 0 WHERE seq = 5",
    ],
)
async def test_tampering_is_found(tmp_path: Path, tampering: str) -> None:
    path = tmp_path / "journal.sqlite"
    await _filled(path)
    connection = sqlite3.connect(path)
    connection.execute(tampering)
    connection.commit()
    connection.close()
    journal = SqliteJournal(path)
    await journal.open()
    with pytest.raises(CorruptStore, match=r"row `[56]`"):
        await journal.verify()
    await journal.close()


async def test_an_untouched_journal_verifies_after_a_restart_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    await _filled(path)
    journal = SqliteJournal(path)
    await journal.open()
    assert await journal.append("alarm", [{"n": 10}]) == 11
    assert await journal.verify() == 11
    await journal.close()


@pytest.mark.parametrize("garbage", [b"this is no database" * 500, b"SQLite format 3\x00" + b"\xff" * 8000])
async def test_a_file_that_is_no_journal_names_itself_and_the_way_out(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(garbage)
    with pytest.raises(CorruptStore, match=r"journal\.sqlite.*Move it away"):
        await SqliteJournal(path).open()


async def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    with pytest.raises(StoreUnavailable):
        await journal.append("alarm", [{}])


WRITER = """
import asyncio, sys
from pathlib import Path
from twin_app.journal import SqliteJournal

async def main():
    journal = SqliteJournal(Path(sys.argv[1]))
    await journal.open()
    while True:
        print(await journal.append("audit", [{"n": n} for n in range(3)]), flush=True)

asyncio.run(main())
"""


async def test_every_acknowledged_row_survives_kill_minus_nine(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    for kill in range(KILLS):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(5 + 7 * kill):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged = [int(line) for line in writer.stdout.read().split() if line]
        writer.stdout.close()
        writer.wait()
        journal = SqliteJournal(path)
        await journal.open()
        assert journal.last_seq >= max(acknowledged, default=0)
        assert journal.last_seq % 3 == 0  # commits are whole
        assert await journal.verify() == journal.last_seq
        await journal.close()


FULL_DISK = """
import asyncio, json, resource, sys
from pathlib import Path
from twin.errors import StoreUnavailable
from twin_app.journal import SqliteJournal

async def main():
    journal = SqliteJournal(Path(sys.argv[1]))
    await journal.open()
    await journal.append("audit", [{"n": 0}])
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))  # no file grows beyond this
    stored, refused = 1, ""
    while not refused:
        try:
            stored = await journal.append("audit", [{"text": "x" * 20_000}])
        except StoreUnavailable as exc:
            refused = str(exc)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    after = await journal.append("audit", [{"n": 1}])
    rows = len(await journal.replay("audit"))
    await journal.verify()
    await journal.close()
    print(json.dumps({"stored": stored, "after": after, "rows": rows, "refused": refused}))

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit to set on Windows")
def test_a_full_disk_is_told_and_nothing_half_stored(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "journal.sqlite")], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert "took nothing" in told["refused"]
    assert told["after"] == told["stored"] + 1 == told["rows"]
