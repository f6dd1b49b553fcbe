"""A scene with a ledger is killed at random moments: what it said holds, nothing is lost, nothing is done twice."""

import contextlib
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KILLS = 100 if os.environ.get("TWIN_TEST_SOAK") == "1" else 10  # a tenth in `make test`
UNDER_WAY = 5
REMEMBERED = 1000
"""Repetitions at the end: the ledger knows 4,096; an older one would be past its deadline."""


class Life:
    """One life of the scene."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/counting_scene.py"), str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.line() == "ready"

    def line(self) -> str:
        """Return the next whole line, "" at the end: a kill may cut a line off."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return line.strip() if line.endswith("\n") else ""

    def send(self, command_id: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command_id}\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for end in (self.process.stdin, self.process.stdout):
            assert end is not None
            with contextlib.suppress(BrokenPipeError):
                end.close()


def test_a_counter_survives_random_kills(tmp_path: Path) -> None:
    rng = random.Random(7)
    told: dict[str, int] = {}
    answered = 0
    for _ in range(KILLS):
        life = Life(tmp_path)
        killer = threading.Timer(rng.uniform(0.005, 0.15), life.process.kill)
        killer.start()
        try:
            for number in range(max(1, answered - 3), answered + UNDER_WAY):  # some of them are repetitions
                life.send(f"c-{number}")
            while line := life.line():
                stage, command_id, count = line.split()
                assert stage == "APPLIED"
                assert told.setdefault(command_id, int(count)) == int(count), "an answer changed"
                number = int(command_id.removeprefix("c-"))
                assert int(count) == number, "a command was lost or counted twice"
                if number > answered:
                    answered = number
                    life.send(f"c-{answered + UNDER_WAY - 1}")
        except BrokenPipeError:
            pass
        killer.join()
        life.kill()

    life = Life(tmp_path)
    for number in range(max(1, answered - REMEMBERED), answered + 1):
        life.send(f"c-{number}")
        assert life.line() == f"APPLIED c-{number} {number}"
    life.kill()
    assert answered > 3 * KILLS
