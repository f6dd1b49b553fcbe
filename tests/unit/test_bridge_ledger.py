"""The ledger on the disk: what is recorded stays, what is torn is cut off, what is damaged is said."""

import asyncio
import multiprocessing
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.ledger import KEPT_RESULTS, FileLedger, LedgerEntry
from twin.commands import Command, CommandResult, CommandStage, SetAttribute, SetAttributes
from twin.errors import CorruptStore, FolderLocked, InvalidInput, NotFound, StoreUnavailable

ANY_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


def entry(ordinal: int, *, size: int = 3) -> LedgerEntry:
    action = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value="x" * size)
    return LedgerEntry(
        ordinal=ordinal,
        command=Command(id=f"c-{ordinal}", body=SetAttributes(actions=(action,)), issued_by="ana", deadline_unix_ns=9),
        result=CommandResult(
            command_id=f"c-{ordinal}", stage=CommandStage.APPLIED, observed=(action,), sim_time_s=float(ordinal)
        ),
    )


def fill(path: Path, count: int, *, first: int = 1, size: int = 3) -> list[LedgerEntry]:
    entries = [entry(ordinal, size=size) for ordinal in range(first, first + count)]

    async def record() -> None:
        with FileLedger(path) as ledger:
            for one in entries:
                await ledger.reserve(one.command)
                assert await ledger.record(one.command, one.result) == one.ordinal

    asyncio.run(record())
    return entries


def read(path: Path, *, after: int = 0) -> tuple[LedgerEntry, ...]:
    with FileLedger(path) as ledger:
        return ledger.after(after)


def test_what_is_recorded_is_there_in_the_next_life(tmp_path: Path) -> None:
    entries = fill(tmp_path / "ledger", 5)

    with FileLedger(tmp_path / "ledger") as ledger:
        assert ledger.ordinal == 5
        assert list(ledger.after(0)) == entries
        assert list(ledger.after(3)) == entries[3:]
        assert list(ledger.results()) == [one.result for one in entries]


@ANY_FOLDER
@given(cut=st.integers(min_value=0), sizes=st.lists(st.integers(0, 300), min_size=1, max_size=6))
def test_any_truncation_leaves_a_prefix(tmp_path_factory: pytest.TempPathFactory, cut: int, sizes: list[int]) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger"
    entries: list[LedgerEntry] = []
    for number, size in enumerate(sizes, start=1):
        entries += fill(path, 1, first=number, size=size)
    raw = path.read_bytes()
    path.write_bytes(raw[: cut % (len(raw) + 1)])

    left = read(path)

    assert list(left) == entries[: len(left)]
    following = fill(path, 2, first=len(left) + 1)  # and it goes on from there
    assert list(read(path)) == [*entries[: len(left)], *following]


@ANY_FOLDER
@given(data=st.data())
def test_a_torn_last_record_is_cut_off_and_never_half_believed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A kill may leave any bytes where the last record was being written."""
    path = tmp_path_factory.mktemp("ledger") / "ledger"
    entries = fill(path, 3)
    with FileLedger(path) as ledger:
        begin = ledger._end
    fill(path, 1, first=4, size=100)
    raw = bytearray(path.read_bytes())
    end = begin + 200
    at = data.draw(st.integers(begin, end - 1))
    raw[at:end] = data.draw(st.binary(min_size=end - at, max_size=end - at))
    path.write_bytes(raw)

    left = list(read(path))

    assert left[:3] == entries
    assert len(left) in {3, 4}


def test_damage_in_the_middle_is_no_torn_end(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    fill(path, 5)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"c-3")] ^= 0xFF
    path.write_bytes(raw)

    with pytest.raises(CorruptStore, match=r"record `3` .* is damaged, and later ones are whole"), FileLedger(path):
        pass


@pytest.mark.parametrize(("at", "message"), [(0, "no ledger"), (17, "head of the ledger")])
def test_another_file_or_a_damaged_head_is_refused(tmp_path: Path, at: int, message: str) -> None:
    path = tmp_path / "ledger"
    fill(path, 1)
    raw = bytearray(path.read_bytes())
    raw[at] ^= 0xFF
    path.write_bytes(raw)

    with pytest.raises(CorruptStore, match=message), FileLedger(path):
        pass


async def test_commands_are_forgotten_and_the_last_answers_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with FileLedger(path) as ledger:
        for number in range(1, 11):
            await ledger.record(entry(number).command, entry(number).result)
        await ledger.forget_before(7)
        assert [one.ordinal for one in ledger.after(7)] == [8, 9, 10]
        assert len(ledger.results()) == 10
        with pytest.raises(NotFound, match="forgotten the commands up to `7`"):
            ledger.after(6)
        await ledger.forget_before(3)  # it does not remember again
        assert ledger.floor == 7
        assert await ledger.record(entry(11).command, entry(11).result) == 11

    with FileLedger(path) as ledger:
        assert (ledger.floor, ledger.ordinal, len(ledger.results())) == (7, 11, 11)
        assert [one.ordinal for one in ledger.after(7)] == [8, 9, 10, 11]


def test_the_file_stays_short_and_keeps_the_last_4096_answers(tmp_path: Path) -> None:
    path = tmp_path / "ledger"

    async def record() -> None:
        with FileLedger(path) as ledger:
            for number in range(1, KEPT_RESULTS + 201):
                await ledger.record(entry(number).command, entry(number).result)
            before = path.stat().st_size
            await ledger.forget_before(KEPT_RESULTS + 200)
            assert path.stat().st_size < before
            assert len(ledger.results()) == KEPT_RESULTS
            assert ledger.results()[0].command_id == "c-201"

    asyncio.run(record())
    with FileLedger(path) as ledger:
        assert ledger.ordinal == KEPT_RESULTS + 200
        assert len(ledger.results()) == KEPT_RESULTS
        assert ledger.after(KEPT_RESULTS + 200) == ()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        FileLedger(tmp_path / "ledger"),
        pytest.raises(FolderLocked, match="another scene"),
        FileLedger(tmp_path / "ledger"),
    ):
        pass
    with FileLedger(tmp_path / "ledger"):
        pass


async def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path / "ledger")

    with pytest.raises(InvalidInput, match="is not open"):
        await ledger.record(entry(1).command, entry(1).result)
    with pytest.raises(InvalidInput, match="is not open"):
        ledger.after(0)


async def test_the_loop_runs_on_while_the_disk_works(tmp_path: Path) -> None:
    with FileLedger(tmp_path / "ledger") as ledger:
        with ledger._disk:  # as slow as a disk can be
            recording = asyncio.create_task(ledger.record(entry(1).command, entry(1).result))
            for _ in range(5):
                await asyncio.sleep(0.01)
            assert not recording.done()
            assert ledger.results() == ()
        assert await recording == 1


async def test_a_cancelled_wait_does_not_undo_the_record(tmp_path: Path) -> None:
    with FileLedger(tmp_path / "ledger") as ledger:
        recording = asyncio.create_task(ledger.record(entry(1).command, entry(1).result))
        await asyncio.sleep(0)
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)
    assert [one.ordinal for one in read(tmp_path / "ledger")] in ([], [1])


# --- a full disk -------------------------------------------------------------------------------------------------


def _fill_up(path: Path, limit: int, results: "multiprocessing.SimpleQueue[tuple[str, int]]") -> None:
    """A file-size limit is the nearest thing to a full disk that needs no disk: writes fail beyond it."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    async def record() -> None:
        with FileLedger(path) as ledger:
            number = 0
            while True:
                number += 1
                one = entry(number, size=2000)
                try:
                    await ledger.reserve(one.command)
                except StoreUnavailable as error:
                    results.put((f"reserve: {error}", number - 1))
                    return
                await ledger.record(one.command, one.result)

    asyncio.run(record())


@pytest.mark.skipif(sys.platform == "win32", reason="file-size limits are POSIX")
def test_a_full_disk_shows_before_anything_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_fill_up, args=(path, 200_000, results))
    child.start()
    child.join(30)
    message, recorded = results.get()

    assert child.exitcode == 0
    assert message.startswith("reserve: the ledger")
    assert "make room on the disk" in message
    assert recorded > 5
    assert len(read(path)) == recorded  # each reserved record was written, none is torn


# --- exactly once ------------------------------------------------------------------------------------------------


class SceneOfOneCounter(RuleBasedStateMachine):
    """A scene that counts, with checkpoints and a ledger, killed at every point: each command counts once.

    The scene's state is the set of ids that it obeyed, in order, so that twice or lost shows at once. Answers that
    were told are remembered by the twin and must hold for ever.
    """

    root: Path

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.told: dict[str, int] = {}
        self.sent = 0

    @initialize()
    def begin(self) -> None:
        self.path = Path(tempfile.mkdtemp(dir=self.root)) / "ledger"
        self.checkpoint: tuple[int, list[str]] = (0, [])
        self.live()

    def live(self) -> None:
        ordinal, contained = self.checkpoint
        self.ledger = FileLedger(self.path)
        self.ledger.open()
        self.state = list(contained)
        for one in self.ledger.after(max(ordinal, self.ledger.floor)):
            if one.command.id not in contained:
                self.state.append(one.command.id)
        self.known = {result.command_id: int(result.sim_time_s) for result in self.ledger.results()}
        self.known |= {command_id: place for place, command_id in enumerate(contained, start=1)}

    @rule(
        again=st.booleans(),
        checkpointed=st.booleans(),
        killed=st.sampled_from(["never", "before the effect", "before the record", "after"]),
    )
    def obey(self, again: bool, checkpointed: bool, killed: str) -> None:
        if not again or not self.sent:
            self.sent += 1
        command_id = f"c-{self.sent}"
        if command_id in self.known:
            assert self.told.setdefault(command_id, self.known[command_id]) == self.known[command_id]
            return
        if killed == "before the effect":
            self.kill()
            return
        self.state.append(command_id)
        if checkpointed:  # in the very moment between the effect and its record
            self.checkpoint = (self.ledger.ordinal, list(self.state))
        if killed == "before the record":
            self.kill()
            return
        one = entry(self.sent)
        place = len(self.state)
        result = CommandResult(command_id=command_id, stage=CommandStage.APPLIED, sim_time_s=float(place))
        self.loop.run_until_complete(self.ledger.record(one.command, result))
        self.known[command_id] = place
        if killed == "after":
            self.kill()
            return
        self.told[command_id] = place

    @rule()
    def take_checkpoint(self) -> None:
        self.checkpoint = (self.ledger.ordinal, list(self.state))

    @precondition(lambda self: self.checkpoint[0] > 0)
    @rule()
    def forget(self) -> None:
        self.loop.run_until_complete(self.ledger.forget_before(self.checkpoint[0]))

    @rule()
    def kill(self) -> None:
        self.ledger.close()
        self.live()

    @invariant()
    def nothing_is_lost_or_done_twice(self) -> None:
        if hasattr(self, "state"):
            assert len(set(self.state)) == len(self.state)
            for command_id, place in self.told.items():
                assert self.state[place - 1] == command_id

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
        self.loop.close()


def test_any_interleaving_of_records_checkpoints_and_kills_is_exactly_once(tmp_path: Path) -> None:
    machine = type("InAFolder", (SceneOfOneCounter,), {"root": tmp_path})
    machine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
    machine.TestCase("runTest").runTest()
