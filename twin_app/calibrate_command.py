"""`twin calibrate`: runs the 3GPP calibration campaign and sets every percentile beside its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from twin.radio import calibration
from twin_app.calibration_picture import draw_calibration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from twin.radio.calibration import Curve

_NAMES = {"coupling_loss_db": "coupling loss", "geometry_sir_db": "geometry"}


def run_cases(names: Sequence[str], *, seeds: int) -> dict[str, tuple[Curve, ...]]:
    """Return the curves of the named cases, all when none is named; progress goes to standard error.

    Raises:
        UnknownName: A case does not exist.
    """
    cases = [calibration.case_of(name) for name in names] or list(calibration.CASES.values())
    results: dict[str, tuple[Curve, ...]] = {}
    with Progress(console=Console(stderr=True), transient=True) as bar:
        for case in cases:
            task = bar.add_task(case.name, total=seeds)
            results[case.name] = calibration.run(
                case, seeds=seeds, after_seed=lambda done, task=task: bar.update(task, completed=done)
            )
    return results


def calibrate(names: Sequence[str], *, seeds: int, png: Path | None) -> dict[str, tuple[Curve, ...]]:
    """Run cases, and draw them where a picture is wanted."""
    results = run_cases(names, seeds=seeds)
    if png is not None:
        draw_calibration(results, png)
    return results


def passes(results: Mapping[str, Sequence[Curve]]) -> bool:
    """Return whether every curve keeps the gate."""
    return all(curve.passes for curves in results.values() for curve in curves)


def as_json(results: Mapping[str, Sequence[Curve]], *, seeds: int) -> dict[str, Any]:
    """Return what the command prints for programs."""
    return {
        "source": calibration.reference()["source"],
        "seeds": seeds,
        "users_per_seed": calibration.NUM_USERS,
        "gate_db": calibration.GATE_DB,
        "passes": passes(results),
        "cases": {name: {curve.metric: _curve_json(curve) for curve in curves} for name, curves in results.items()},
    }


def _curve_json(curve: Curve) -> dict[str, Any]:
    rows = zip(curve.percent, curve.found_db, curve.reference_db, curve.error_db, strict=True)
    percentiles: list[dict[str, Any]] = [
        {"percent": percent, "found_db": round(found, 2), "reference_db": wanted, "error_db": round(error, 2)}
        for percent, found, wanted, error in rows
    ]
    for row, (low, high) in zip(percentiles, curve.companies_db, strict=False):
        row["companies_db"] = [low, high]
    return {"worst_db": round(curve.worst_db, 2), "passes": curve.passes, "percentiles": percentiles}


def print_results(results: Mapping[str, Sequence[Curve]], console: Console) -> None:
    """Print a table for each case and a line for the verdict."""
    for name, curves in results.items():
        table = Table(title=f"{name}: dB by share of users worse off", title_justify="left", box=None, pad_edge=False)
        table.add_column("users", justify="right")
        for curve in curves:
            for column in (_NAMES[curve.metric], "3GPP", "error"):
                table.add_column(column, justify="right")
        for row, percent in enumerate(curves[0].percent):
            cells = [f"{percent} %"]
            for curve in curves:
                cells += [
                    f"{curve.found_db[row]:.1f}",
                    f"{curve.reference_db[row]:.1f}",
                    f"{curve.error_db[row]:+.2f}",
                ]
            table.add_row(*cells)
        console.print(table)
        for curve in curves:
            limit = calibration.GATE_DB[curve.metric]
            verdict = "[green]kept[/]" if curve.passes else "[red]BROKEN[/]"
            console.print(
                f"{_NAMES[curve.metric]}: worst error {curve.worst_db:.2f} dB, gate {limit} dB: {verdict}",
                highlight=False,
            )
        console.print()
