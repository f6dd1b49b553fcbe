"""Writes the codecs and the golden files, or compares them with ``--check`` (returns 1 when one is out of date)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.engine_codec.cpp import write_cpp
from tools.engine_codec.csharp import write_csharp
from tools.engine_codec.gdscript import write_gdscript
from tools.engine_codec.golden_coordinates import coordinates_json
from tools.engine_codec.golden_frames import frames_json
from tools.engine_codec.schema import read_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]


def outputs() -> Mapping[Path, str]:
    """Return every generated file with its content."""
    schema = read_schema(ROOT / "proto")
    plugins = ROOT / "engine_plugins"
    golden = ROOT / "proto" / "golden"
    return {
        golden / "frames.json": frames_json(),
        golden / "coordinates.json": coordinates_json(),
        plugins / "csharp" / "Twin6G.Wire" / "BridgeV1.cs": write_csharp(schema),
        plugins / "cpp_codec" / "include" / "twin6g" / "bridge_v1.hpp": write_cpp(schema),
        plugins / "godot" / "session" / "bridge_v1.gd": write_gdscript(schema),
    }


def main(arguments: list[str]) -> int:
    """Write what is out of date, or only name it."""
    stale = [path for path, text in outputs().items() if _read(path) != text]
    names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
    if "--check" in arguments:
        if stale:
            print(f"out of date: {names}; run `make gen`")
        return int(bool(stale))
    for path, text in outputs().items():
        if path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
