"""The C++ codec, compiled by g++ without exceptions and RTTI and watched by its sanitizers, against Python."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.codec_judge import (
    ROOT,
    broken_frames_misjudged,
    builds_missed,
    coordinates_missed,
    golden_frames_missed,
)

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not shutil.which("g++"), reason="g++ is not here"),
]
STRICT = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror", "-fno-exceptions", "-fno-rtti")
WATCHED = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    program = tmp_path_factory.mktemp("cpp") / "driver"
    include = f"-I{ROOT / 'engine_plugins/cpp_codec/include'}"
    source = ROOT / "tests/contract/engine_codec/driver.cpp"
    command = ["g++", "-std=c++17", *STRICT, *WATCHED, include, source, "-o", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (0, "") == (done.returncode, done.stdout + done.stderr)
    return [program]


def test_every_golden_frame_is_written_again_byte_by_byte(driver: list[str | Path]) -> None:
    assert [] == golden_frames_missed(driver)


def test_messages_made_from_nothing_are_those_of_python(driver: list[str | Path]) -> None:
    assert [] == builds_missed(driver)


def test_coordinates_are_the_golden_ones(driver: list[str | Path]) -> None:
    assert [] == coordinates_missed(driver)


def test_broken_frames_are_judged_as_python_does(driver: list[str | Path]) -> None:
    assert [] == broken_frames_misjudged(driver, count=4_000)
