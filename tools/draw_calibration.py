"""Run the calibration campaign and write docs/images/calibration.png and the tables of docs/calibration.md.

Usage: `python tools/draw_calibration.py`; about 15 seconds of one processor core.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from twin.radio import calibration
from twin_app.calibrate_command import run_cases
from twin_app.calibration_picture import draw_calibration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twin.radio.calibration import Curve

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "calibration.png"
PAGE = ROOT / "docs" / "calibration.md"


def summary(results: Mapping[str, Sequence[Curve]]) -> str:
    """Return the table of worst and mean errors, with how many percentiles lie between the companies."""
    rows = [
        "| case | coupling loss: worst | mean | in the band | geometry: worst | mean | in the band |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, curves in results.items():
        cells = [name]
        for curve in curves:
            inside = sum(
                low <= found <= high for found, (low, high) in zip(curve.found_db, curve.companies_db, strict=False)
            )
            band = f"{inside} of {len(curve.percent)}" if curve.companies_db else "-"
            mean = sum(curve.error_db) / len(curve.error_db)
            cells += [f"{curve.worst_db:.2f} dB", f"{mean:+.2f} dB", band]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def percentiles(curves: Sequence[Curve]) -> str:
    """Return every percentile of a case beside its reference."""
    rows = [
        "| users worse off | coupling loss | 3GPP | error | geometry | 3GPP | error |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, percent in enumerate(curves[0].percent):
        cells = [f"{percent} %"]
        for curve in curves:
            cells += [f"{curve.found_db[row]:.1f}", f"{curve.reference_db[row]:.1f}", f"{curve.error_db[row]:+.2f}"]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main() -> None:
    """Write picture and tables."""
    results = run_cases(list(calibration.CASES), seeds=calibration.NUM_SEEDS)
    PICTURE.parent.mkdir(exist_ok=True)
    draw_calibration(results, PICTURE)
    parts = {"summary": summary(results)} | {name: percentiles(results[name]) for name in ("uma-6", "umi-6", "inh-6")}
    page = PAGE.read_text(encoding="utf-8")
    for name, text in parts.items():
        page = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda found, text=text: f"{found[1]}{text}\n{found[2]}",
            page,
            flags=re.DOTALL,
        )
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
