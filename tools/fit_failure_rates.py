"""Fit the set-up failure model that ships in ``twin/data/failure_rates.json``.

Usage: ``python tools/fit_failure_rates.py FOLDER [--out FILE]``, FOLDER holding ``rrc_setup_failure.csv`` and
``e_rab_setup_failure.csv`` (plain or ``.gz``) of kirlf/lte-kpi-ts-forecasting (MIT): hourly failure rates of an LTE
operator, 2016 to 2018. They carry no traffic volume: only level, weekly shape and noise of the rates come from them.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERIODS_H = (168.0, 84.0, 24.0, 12.0, 8.0)


def read(folder: Path, stem: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return hour of the week (Monday 00 h = 0) and rate in per cent; NaN where the source is empty."""
    plain = folder / f"{stem}.csv"
    text = plain.read_text() if plain.exists() else gzip.decompress(Path(f"{plain}.gz").read_bytes()).decode()
    rows = list(csv.reader(io.StringIO(text)))[1:]
    moments = [datetime.fromisoformat(row[0]) for row in rows]
    hours = np.array([moment.weekday() * 24 + moment.hour for moment in moments])
    return hours, np.array([float(row[1]) if row[1] else np.nan for row in rows])


def basis(hour_of_week: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the columns 1, cos, sin ... of the weekly and daily harmonics."""
    columns = [np.ones_like(hour_of_week)]
    for period in PERIODS_H:
        columns += [np.cos(2 * np.pi * hour_of_week / period), np.sin(2 * np.pi * hour_of_week / period)]
    return np.stack(columns, axis=1)


def fit_one(hours: NDArray[np.int64], rate: NDArray[np.float64]) -> dict[str, Any]:
    """Return harmonics of the log of the typical week and the slow noise around it.

    The typical week is the median over all years of each hour, so outages in the source do not bend it.
    """
    week = np.arange(168)
    typical = np.log([np.nanmedian(rate[hours == hour]) for hour in week])
    matrix = basis(week.astype(float))
    coefficients, *_ = np.linalg.lstsq(matrix, typical, rcond=None)
    residual = typical - matrix @ coefficients
    noise = np.log(rate) - (matrix @ coefficients)[hours]
    noise -= np.nanmedian(noise)
    sigma = 1.4826 * float(np.nanmedian(np.abs(noise)))
    clipped = np.clip(noise, -3 * sigma, 3 * sigma)
    both = np.isfinite(clipped[:-1]) & np.isfinite(clipped[1:])
    correlation = float(np.corrcoef(clipped[:-1][both], clipped[1:][both])[0, 1])
    return {
        "coefficients": [round(float(value), 5) for value in coefficients],
        "residual_rms": round(float(np.sqrt(np.mean(residual**2))), 4),
        "noise_sigma": round(sigma, 4),
        "noise_correlation_1h": round(correlation, 4),
        "median_percent": round(float(np.nanmedian(rate)), 4),
        "n": int(np.isfinite(rate).sum()),
    }


def fit(folder: Path) -> dict[str, Any]:
    """Return the document that ships."""
    return {
        "source": "Hourly operator counters 2016-2018 of kirlf/lte-kpi-ts-forecasting @ 65cb2765 (MIT).",
        "form": "ln(rate in per cent) = c0 + sum over periods of c cos(2 pi h / P) + c' sin(2 pi h / P), h = hour of"
        " the week from Monday 00 h; noise: AR(1) in the logarithm",
        "periods_h": list(PERIODS_H),
        "rates": {
            "rrc": fit_one(*read(folder, "rrc_setup_failure")),
            "drb": fit_one(*read(folder, "e_rab_setup_failure")),
        },
    }


def main() -> None:
    """Fit, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("twin/data/failure_rates.json"))
    arguments = parser.parse_args()
    document = fit(arguments.folder)
    print(json.dumps(document["rates"], indent=1))
    arguments.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
