"""What a soak writes into ``docs/soak``: computed figures, the versions they were taken with, and the machine."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "docs" / "soak"


def is_soak() -> bool:
    """Return whether the full counts run, whose figures are kept."""
    return os.environ.get("TWIN_TEST_SOAK") == "1"


def spread(values: Sequence[float]) -> dict[str, float | int]:
    """Return n, median, p95 (nearest rank) and max, in the unit of the values."""
    ordered = sorted(values)
    if not ordered:
        return {"n": 0}
    rank = min(len(ordered) - 1, -(-95 * len(ordered) // 100) - 1)
    return {
        "n": len(ordered),
        "median": round(statistics.median(ordered), 3),
        "p95": round(ordered[rank], 3),
        "max": round(ordered[-1], 3),
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of Python, of distributions, and the kind of machine."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "system": platform.system(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def write(name: str, document: Mapping[str, Any]) -> None:
    """Write ``docs/soak/NAME.json``."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
