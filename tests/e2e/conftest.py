"""Starts the real program as a user does: `twin up` on free ports with a data folder of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.running_twin import RunningTwin


@pytest.fixture
def start_twin(tmp_path: Path) -> Iterator[Callable[..., RunningTwin]]:
    """Starts twins that end with the test."""
    started: list[RunningTwin] = []

    def start(*options: str, data_dir: Path | None = None, env: dict[str, str] | None = None) -> RunningTwin:
        made = RunningTwin(data_dir or tmp_path / "data", *options, env=env)
        started.append(made)
        return made

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()
        elif not one.process.stdout.closed:
            one.ended()


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTwin]:
    """One twin without a past, shared by the tests that break nothing."""
    made = RunningTwin(
        tmp_path_factory.mktemp("twin"), "--past", "0", env={"TWIN_APPROVAL__VERIFY_S": "5"}
    ).wait_ready()
    yield made
    assert made.stop() == 0
