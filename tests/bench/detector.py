"""Detector on real counters of an LTE operator with injected faults, beside an EWMA without season, same run.

Data: tests/data/lte_oss_kpi (MIT, kirlf/lte-kpi-ts-forecasting): hourly RRC and E-RAB set-up failure rates, 2016 to
2018. The first half sets each detector's threshold to one false-alarm hour per week and KPI; the second half, never
looked at before, gets the faults. A failure rate that falls is no fault, so only rises are injected. Then the
throughput of one update at many series.

    python tests/bench/detector.py [--quick] [--json FILE]
"""

import argparse
import csv
import gzip
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twin.analytics.detector import Detector, DetectorTuning
from twin.clock import CivilTime

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parents[1] / "data" / "lte_oss_kpi"
SERIES = (
    ("rrc_setup_failure.csv.gz", "vsData6gRrcSetupFailureRate"),
    ("e_rab_setup_failure.csv.gz", "vsData6gDrbSetupFailureRate"),
)
FAULTS = (("spike_x3_1h", 3.0, 1), ("step_x1.6_6h", 1.6, 6), ("step_x1.25_24h", 1.25, 24))
WEEK_H = 168
SEED = 20261121
EPOCH = datetime(2016, 1, 1, tzinfo=UTC)

Scores = NDArray[np.float64]


def load(name: str) -> NDArray[np.float64]:
    """Return one value per hour since the epoch, NaN where the source has none."""
    with gzip.open(FOLDER / name, "rt") as file:
        rows = list(csv.reader(file))[1:]
    hour = [
        round((datetime.fromisoformat(when).replace(tzinfo=UTC) - EPOCH).total_seconds() / 3600) for when, _ in rows
    ]
    values = np.full(hour[-1] + 1, np.nan)
    values[hour] = [float(value) if value else np.nan for _, value in rows]
    return values


def seasonal_scores(values: NDArray[np.float64], kpi: str, first_hour: int) -> Scores:
    """Return the shipped detector's score of every hour, judged causally."""
    tuning = DetectorTuning(on_s=3600, off_s=3600, fast_s=60, slow_s=5 * 3600, days=20, min_days=0.0, relearn_s=0.0)
    detector = Detector(("network",), (kpi,), civil=CivilTime(epoch=EPOCH, timezone="UTC"), tuning=tuning)
    scores = np.zeros(values.size)
    for at, value in enumerate(values):
        end_s = (first_hour + at + 1) * 3600.0
        detector.update(end_s, np.array([[value]], np.float32), period_s=3600)
        scores[at] = detector.score[0] if np.isfinite(value) else 0.0
    return scores


def ewma_scores(values: NDArray[np.float64], kpi: str, first_hour: int) -> Scores:
    """Return z against a week's exponentially weighted mean and variance, without season."""
    _ = kpi, first_hour
    gain = 1.0 - np.exp(-1.0 / WEEK_H)
    mean, variance = float(np.sqrt(values[np.isfinite(values)][0])), 0.01
    scores = np.zeros(values.size)
    for at, value in enumerate(values):
        if not np.isfinite(value):
            continue
        off = np.sqrt(value) - mean
        scores[at] = max(0.0, off / np.sqrt(variance + 1e-9))
        clipped = np.clip(off, -4 * np.sqrt(variance), 4 * np.sqrt(variance))
        mean += gain * clipped
        variance += gain * (clipped**2 - variance)
    return scores


def threshold(scores: Scores, weeks: float) -> float:
    """Return the score that clean hours exceed once a week."""
    return float(np.sort(scores)[::-1][round(weeks)])


def with_faults(
    values: NDArray[np.float64], factor: float, hours: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], list[int]]:
    """Return the series with one fault a week at a random hour, and where they begin."""
    faulty, starts = values.copy(), []
    for week in range(values.size // WEEK_H):
        start = week * WEEK_H + int(rng.integers(0, WEEK_H - hours))
        if np.isfinite(values[start : start + hours]).all():
            faulty[start : start + hours] *= factor
            starts.append(start)
    return faulty, starts


def detection(quick: bool) -> list[dict[str, object]]:
    found: dict[str, dict[str, list[float]]] = {}
    methods: tuple[tuple[str, Callable[[NDArray[np.float64], str, int], Scores]], ...] = (
        ("seasonal", seasonal_scores),
        ("ewma", ewma_scores),
    )
    for file, kpi in SERIES:
        values = load(file)
        if quick:
            values = values[: values.size // 4]
        half = values.size // 2 // WEEK_H * WEEK_H
        tested = values[half:]
        weeks = tested.size / WEEK_H
        for name, score in methods:
            clean = score(values, kpi, 0)
            warm = 4 * WEEK_H
            limit = threshold(clean[warm:half], (half - warm) / WEEK_H)
            alarms = float((clean[half:] > limit).sum()) / weeks
            found.setdefault("false_alarm_hours", {}).setdefault(name, []).append(alarms)
            rng = np.random.default_rng(SEED)
            for fault, factor, hours in FAULTS:
                faulty, starts = with_faults(tested, factor, hours, rng)
                scores = score(np.concatenate((values[:half], faulty)), kpi, 0)[half:]
                hit = [float((scores[s : s + hours] > limit).any()) for s in starts]
                found.setdefault(fault, {}).setdefault(name, []).extend(hit)
    rows: list[dict[str, object]] = []
    for what, by_method in found.items():
        ours, theirs = np.array(by_method["seasonal"]), np.array(by_method["ewma"])
        recall = what != "false_alarm_hours"
        spread = float(np.sqrt(ours.mean() * (1 - ours.mean()) / ours.size)) if recall else float(ours.std())
        rows.append(
            {
                "name": f"recall_{what}" if recall else "false_alarm_hours_per_week_and_kpi",
                "value": round(float(ours.mean()), 3),
                "unit": "share" if recall else "1/week",
                "baseline": round(float(theirs.mean()), 3),
                "ratio": round(float(ours.mean() / max(theirs.mean(), 1e-9)), 2),
                "spread": round(spread, 3),
                "n": ours.size,
            }
        )
    return rows


def throughput(quick: bool) -> dict[str, object]:
    """Return points per second of one update beside a plain vectorised EWMA z over the same array."""
    kpis = ("DRB.UEThpDl", "RRU.PrbTotDl", "RRC.ConnMean", "vsData6gMeanSsRsrp", "vsData6gMeanSsSinr")
    entities = 2_000 if quick else 20_000
    rng = np.random.default_rng(SEED)
    detector = Detector(
        [f"cell-{n}" for n in range(entities)],
        kpis,
        civil=CivilTime(epoch=EPOCH, timezone="UTC"),
        tuning=DetectorTuning(days=3),
    )
    for hour in range(1, 49):
        detector.learn(hour * 3600.0, rng.normal(50, 5, (entities, 5)).astype(np.float32), granularity_s=3600)
    batches = [rng.normal(50, 5, (entities, 5)).astype(np.float32) for _ in range(10)]
    mean, variance = batches[0].copy(), np.ones_like(batches[0])
    ours, theirs = [], []
    for n, batch in enumerate(batches * 3):
        begin = time.process_time()
        detector.update(48 * 3600.0 + 10 * (n + 1), batch, period_s=10)
        middle = time.process_time()
        off = batch - mean
        mean = mean + 0.01 * off
        variance = variance + 0.01 * (off * off - variance)
        _ = off / np.sqrt(variance)
        theirs.append(max(time.process_time() - middle, 1e-9))
        ours.append(max(middle - begin, 1e-9))
    points = entities * len(kpis)
    rate, peer = points / np.median(ours[3:]), points / np.median(theirs[3:])
    return {
        "name": f"update_points_per_s_{points}_series",
        "value": round(float(rate)),
        "unit": "1/s",
        "baseline": round(float(peer)),
        "ratio": round(float(rate / peer), 3),
        "spread": round(float(np.std(points / np.array(ours[3:])))),
        "n": len(ours) - 3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the years, fewer series; under 40 s")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    rows = [*detection(options.quick), throughput(options.quick)]
    print(f"{'name':<44}{'value':>12}{'EWMA':>12}{'ratio':>8}{'spread':>10}{'n':>6}")
    for row in rows:
        print(
            f"{row['name']:<44}{row['value']:>12}{row['baseline']:>12}{row['ratio']:>8}{row['spread']:>10}{row['n']:>6}"
        )
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
