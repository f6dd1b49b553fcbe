"""Fit the daily demand curves, and how days differ from each other, that ship in ``twin/data/daily_curves.json``.

Usage: ``python tools/fit_daily_curves.py path/to/traffic_normal.csv [--out FILE]``. The measured curves (Xu et al.,
"Understanding Mobile Traffic Patterns of Large Scale Cellular Towers in Urban Environment", IEEE/ACM ToN 2017,
digitised in github.com/tmc-calc/mob-traffic-ds, GPL-3.0) stay outside the package; only these coefficients ship.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LAND_USES = ("residential", "office", "transport", "entertainment")
NUM_HARMONICS = 8
"""Periods of 24, 12, 8, 6 ... 3 h; the short ones carry the steep morning of offices and the two peaks of transport."""


def basis(day_fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the columns 1, cos, sin, cos, sin ... of the daily harmonics, ``[n, 1 + 2 NUM_HARMONICS]``."""
    columns = [np.ones_like(day_fraction)]
    for order in range(1, NUM_HARMONICS + 1):
        columns += [np.cos(2 * np.pi * order * day_fraction), np.sin(2 * np.pi * order * day_fraction)]
    return np.stack(columns, axis=1)


WORKDAYS = WEEKDAYS[:5]
NOISE_LAGS = (1, 2, 3, 6)
"""Lags of 10 to 60 minutes from which the memory of the noise is read; beyond, few pairs are left in a day."""
QUIET = 0.05
"""Hours in which a curve lies below this share are left out of the noise: digitised zeros have no logarithm."""


def log_noise(days: NDArray[np.float64]) -> dict[str, Any]:
    """Return size and autocorrelation of how working days differ from their common shape in the logarithm.

    Args:
        days: ``[num_days, num_bins]`` measured shares of the maximum.
    """
    common = days.mean(axis=0)
    logs = np.log(np.maximum(days, 1e-3))
    # The common shape was estimated from the same days, which takes one of them away.
    apart = (logs - logs.mean(axis=0)) * np.sqrt(len(days) / (len(days) - 1))
    apart[:, common < QUIET] = np.nan
    variance = float(np.nanmean(apart**2))
    alike = [float(np.nanmean(apart[:, lag:] * apart[:, :-lag]) / variance) for lag in NOISE_LAGS]
    return {
        "sigma": round(variance**0.5, 4),
        "correlation": [round(value, 3) for value in alike],
        "n": int(np.isfinite(apart).sum()),
    }


def memory_s(correlation: NDArray[np.float64]) -> float:
    """Return the memory of the AR(1) process whose autocorrelation fits best, ``[num_series, num_lags]``."""
    candidate = np.geomspace(600.0, 86_400.0, 400)
    model = np.exp(-600.0 * np.array(NOISE_LAGS) / candidate[:, None])
    error = ((model[:, None] - correlation) ** 2).sum(axis=(1, 2))
    return float(candidate[error.argmin()])


def fit(path: Path) -> dict[str, Any]:
    """Return the document that ships: coefficients and residual of each land use and weekday, and the noise."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    day_fraction = np.array([float(row["t_day"]) for row in rows])
    matrix = basis(day_fraction)
    curves: dict[str, dict[str, Any]] = {}
    noise: dict[str, Any] = {}
    for land_use in LAND_USES:
        curves[land_use] = {}
        for weekday in WEEKDAYS:
            measured = np.array([float(row[f"thp_{weekday}_xu17_{land_use}"]) for row in rows])
            coefficients, *_ = np.linalg.lstsq(matrix, measured, rcond=None)
            residual = measured - matrix @ coefficients
            curves[land_use][weekday] = {
                "coefficients": [round(float(value), 5) for value in coefficients],
                "residual_rms": round(float(np.sqrt(np.mean(residual**2))), 4),
                "residual_max": round(float(np.abs(residual).max()), 4),
            }
        noise[land_use] = log_noise(
            np.array([[float(row[f"thp_{day}_xu17_{land_use}"]) for row in rows] for day in WORKDAYS])
        )
    return {
        "source": "Harmonics fitted to the daily curves of Xu et al., IEEE/ACM Transactions on Networking 2017, as"
        " digitised in tmc-calc/mob-traffic-ds @ 62ae89b9 (data/traffic_normal.csv, GPL-3.0; not shipped).",
        "unit": "share of the curve's own maximum",
        "form": "c0 + sum over k of c[2k-1] cos(2 pi k t) + c[2k] sin(2 pi k t), t = local time of day as a fraction",
        "curves": curves,
        "noise": {
            "form": "AR(1) in the natural logarithm: how working days differ from their mean, autocorrelation at"
            " 10, 20, 30 and 60 minutes; sigma is the median of the land uses, the memory their joint fit",
            "sigma": round(float(np.median([row["sigma"] for row in noise.values()])), 4),
            "memory_s": round(memory_s(np.array([row["correlation"] for row in noise.values()]))),
            "land_uses": noise,
        },
    }


def main() -> None:
    """Fit, print the residual of each curve, write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--out", type=Path, default=Path("twin/data/daily_curves.json"))
    arguments = parser.parse_args()
    document = fit(arguments.csv)
    for land_use, days in document["curves"].items():
        for weekday, row in days.items():
            print(f"{land_use:14} {weekday}  rms {row['residual_rms']:.4f}  max {row['residual_max']:.4f}")
    for land_use, row in document["noise"]["land_uses"].items():
        print(f"{land_use:14} noise sigma {row['sigma']:.3f}  correlation {row['correlation']}  n {row['n']}")
    print(f"noise: sigma {document['noise']['sigma']}, memory {document['noise']['memory_s']} s")
    arguments.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
