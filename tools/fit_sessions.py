"""Fit the session model that ships in ``twin/data/sessions.json``.

Two steps, so that a test can repeat the second without the traces:

* ``python tools/fit_sessions.py --traces path/to/ucc5g --summary FILE.csv`` reduces the phone traces to one row per
  burst of download;
* ``python tools/fit_sessions.py --summary FILE.csv [--out FILE]`` fits durations, pauses and rates.

Traces: D. Raca, D. Leahy, C. J. Sreenan, J. J. Quinlan, "Beyond Throughput, The Next Generation: A 5G Dataset with
Channel and Context Metrics", ACM MMSys 2020 (github.com/uccmisl/5Gdataset, GPL-3.0; not shipped in the package).
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACTIVE_KBPS = 500.0
"""Below this a second carries signalling and acknowledgements only, not a download."""
MERGE_GAP_S = 2
"""Pauses up to this long belong to the same burst."""
APPLICATIONS = {"Amazon_Prime": "video", "Netflix": "video", "Download": "download"}
COLUMNS = ("application", "service", "trace", "start_s", "duration_s", "pause_before_s", "volume_kbit")


def bursts(path: Path) -> list[tuple[int, int, int, float]]:
    """Return (start, duration, pause before, volume in kbit) of each burst of one trace, in seconds."""
    with path.open(newline="") as file:
        rows = [(row["Timestamp"], row["DL_bitrate"]) for row in csv.DictReader(file)]
    clock = [datetime.strptime(stamp, "%Y.%m.%d_%H.%M.%S") for stamp, _ in rows]  # noqa: DTZ007
    second: dict[int, float] = {}
    for moment, rate in zip(clock, rows, strict=True):
        if rate[1] not in {"-", ""}:
            second[int((moment - clock[0]).total_seconds())] = float(rate[1])
    found: list[tuple[int, int, int, float]] = []
    start, last, volume, previous_end = -1, -1, 0.0, 0
    for at in [at for at in sorted(second) if second[at] > ACTIVE_KBPS]:
        if start >= 0 and at - last > MERGE_GAP_S + 1:
            found.append((start, last - start + 1, start - previous_end, volume))
            previous_end, start = last + 1, -1
        if start < 0:
            start, volume = at, 0.0
        volume += second[at]
        last = at
    if start >= 0:
        found.append((start, last - start + 1, start - previous_end, volume))
    return found


def summarise(folder: Path, out: Path) -> None:
    """Write one row per burst of every trace below `folder`."""
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for path in sorted(folder.rglob("*.csv")):
            service = path.relative_to(folder).parts[0]
            for start, duration, pause, volume in bursts(path):
                writer.writerow((APPLICATIONS[service], service, path.stem, start, duration, pause, f"{volume:.0f}"))


def lognormal(sample: NDArray[np.float64]) -> dict[str, float]:
    """Return maximum-likelihood lognormal parameters and the Kolmogorov-Smirnov distance to the sample."""
    logs = np.sort(np.log(sample))
    mu, sigma = float(logs.mean()), float(logs.std())
    model = np.array([0.5 * (1 + math.erf((value - mu) / (sigma * math.sqrt(2)))) for value in logs])
    rank = np.arange(1, len(logs) + 1) / len(logs)
    distance = float(np.maximum(np.abs(rank - model), np.abs(rank - 1 / len(logs) - model)).max())
    return {"mu": round(mu, 4), "sigma": round(sigma, 4), "ks": round(distance, 4), "n": len(logs)}


def tail_index(sample: NDArray[np.float64], share: float = 0.1) -> float:
    """Return Hill's estimate of the Pareto tail index over the largest `share` of the sample."""
    ordered = np.sort(sample)[::-1]
    count = max(5, int(len(ordered) * share))
    return round(float(1.0 / np.mean(np.log(ordered[:count] / ordered[count]))), 3)


def fit(summary: Path) -> dict[str, Any]:
    """Return the document that ships."""
    with summary.open(newline="") as file:
        rows = list(csv.DictReader(file))
    applications: dict[str, Any] = {}
    for application in ("video", "download"):
        mine = [row for row in rows if row["application"] == application]
        duration = np.array([float(row["duration_s"]) for row in mine])
        volume = np.array([float(row["volume_kbit"]) for row in mine])
        pause = np.array([float(row["pause_before_s"]) for row in mine])
        applications[application] = {
            "duration_s": lognormal(duration),
            "pause_s": lognormal(pause[pause > 0]),
            "rate_kbps": lognormal(volume / duration),
            "volume_tail_index": tail_index(volume),
            "mean_volume_mbit": round(float(volume.mean() / 1e3), 2),
        }
    return {
        "source": "Bursts of the static traces of Raca et al., ACM MMSys 2020 (uccmisl/5Gdataset @ 306d92eb, GPL-3.0;"
        " not shipped): seconds above 500 kbit/s, pauses up to 2 s merged.",
        "form": "natural-log lognormal (mu, sigma) with Kolmogorov-Smirnov distance; Hill tail index of the largest"
        " tenth of the burst volumes",
        "applications": applications,
    }


def main() -> None:
    """Reduce traces, or fit a reduced summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=Path)
    parser.add_argument("--summary", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("twin/data/sessions.json"))
    arguments = parser.parse_args()
    if arguments.traces:
        summarise(arguments.traces, arguments.summary)
    document = fit(arguments.summary)
    print(json.dumps(document["applications"], indent=1))
    arguments.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
