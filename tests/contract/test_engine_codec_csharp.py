"""The C# codec, compiled by mono's mcs and run under mono, against Python byte by byte."""

from pathlib import Path

import pytest

from tests.codec_judge import (
    ROOT,
    broken_frames_misjudged,
    builds_missed,
    coordinates_missed,
    golden_frames_missed,
)
from tests.csharp_program import CSHARP, NEEDS_MONO, compile_csharp

pytestmark = [pytest.mark.engine, NEEDS_MONO]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    program = tmp_path_factory.mktemp("csharp") / "driver.exe"
    wire, frames = sorted((CSHARP / "Twin6G.Wire").glob("*.cs")), CSHARP / "Twin6G.Core" / "Frames.cs"
    compile_csharp(program, *wire, frames, ROOT / "tests/contract/engine_codec/Driver.cs")
    return ["mono", program]


def test_every_golden_frame_is_written_again_byte_by_byte(driver: list[str | Path]) -> None:
    assert [] == golden_frames_missed(driver)


def test_messages_made_from_nothing_are_those_of_python(driver: list[str | Path]) -> None:
    assert [] == builds_missed(driver)


def test_coordinates_are_the_golden_ones(driver: list[str | Path]) -> None:
    assert [] == coordinates_missed(driver)


def test_broken_frames_are_judged_as_python_does(driver: list[str | Path]) -> None:
    assert [] == broken_frames_misjudged(driver, count=4_000)
