"""What all benches share: the flags ``--quick`` and ``--json FILE``, the table, the file of rows.

A row is ``{"name", "value", "unit", "baseline", "ratio", "spread", "n"}``; `ratio` is written so that more is better.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the shared flags."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, under 40 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    return parser


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0..1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Rows:
    """The results of one run, printed as they come.

    Args:
        packages: Distributions whose versions belong to the result.
    """

    def __init__(self, *, packages: Sequence[str] = ("numpy",)) -> None:
        self._rows: list[dict[str, Any]] = []
        versions = ", ".join(f"{name} {version(name)}" for name in packages)
        print(f"Python {platform.python_version()}, {versions}, {platform.machine()}")
        print(f"{'name':<44} {'value':>12} {'unit':<14} {'baseline':>12} {'ratio':>7} {'spread':>9} {'n':>6}")

    def add(
        self,
        name: str,
        values: Sequence[float],
        unit: str,
        *,
        baseline: Sequence[float] = (),
        more_is_better: bool = False,
        n: int | None = None,
    ) -> None:
        """Add a row: medians of both, their ratio (> 1: better than the baseline), p95 - median as spread."""
        value = statistics.median(values)
        other = statistics.median(baseline) if baseline else None
        ratio = None
        if other is not None and value and other:
            ratio = value / other if more_is_better else other / value
        spread = (value - percentile(values, 0.05)) if more_is_better else (percentile(values, 0.95) - value)
        self.put(name, value, unit, baseline=other, ratio=ratio, spread=spread, n=n or len(values))

    def put(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        baseline: float | None = None,
        ratio: float | None = None,
        spread: float | None = None,
        n: int = 1,
    ) -> None:
        """Add a finished row."""
        row = {
            "name": name,
            "value": value,
            "unit": unit,
            "baseline": baseline,
            "ratio": ratio,
            "spread": spread,
            "n": n,
        }
        self._rows.append(row)
        shown = ["" if v is None else f"{v:.4g}" for v in (value, baseline, ratio, spread)]
        print(f"{name:<44} {shown[0]:>12} {unit:<14} {shown[1]:>12} {shown[2]:>7} {shown[3]:>9} {n:>6}")
        sys.stdout.flush()

    def write(self, path: Path | None) -> None:
        """Write the rows as JSON; no path, no file."""
        if path is not None:
            path.write_text(json.dumps(self._rows, indent=1) + "\n", encoding="utf-8")
