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
COMPONENTS = 3
"""Components of a mixture: short chunks, chunks, steady streams. A fourth lowers no distance by 0.01."""
PARTS = 8
MAX_ROUNDS, ENOUGH, LEAST_SIGMA = 300, 1e-4, 0.05
VOLUME_DRAWS = 200_000
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


def below(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard normal distribution function."""
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z.ravel()]).reshape(z.shape)


def parameters(
    logs: NDArray[np.float64], belongs: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return shares ``[component]``, means and deviations ``[quantity, component]`` of weighted logarithms."""
    size = belongs.sum(axis=1)
    mu = (logs @ belongs.T) / size
    variance = [((one - m[:, None]) ** 2 * belongs).sum(axis=1) / size for one, m in zip(logs, mu, strict=True)]
    return size / size.sum(), mu, np.maximum(np.sqrt(np.stack(variance)), LEAST_SIGMA)


def mixture(seconds: NDArray[np.float64], *others: NDArray[np.float64]) -> list[dict[str, float]]:
    """Return a mixture of lognormals, fitted by expectation and maximisation, largest share first.

    Whole seconds stand for the second before them: each is spread over :data:`PARTS` points inside it. Within a
    component, all quantities are independent.

    Args:
        seconds: ``[n]`` lengths, rounded up.
        others: ``[n]`` quantities measured with the length, such as its rate.
    """
    inside = np.log(seconds[:, None] - 1 + (np.arange(PARTS) + 0.5) / PARTS).ravel()
    logs = np.stack([inside, *(np.repeat(np.log(other), PARTS) for other in others)])  # [quantity, point]
    belongs = np.full((COMPONENTS, len(inside)), 0.1 / COMPONENTS)
    for number, part in enumerate(np.array_split(inside.argsort(kind="stable"), COMPONENTS)):
        belongs[number, part] += 0.9
    last = -np.inf
    share, mu, sigma = parameters(logs, belongs)
    for _ in range(MAX_ROUNDS):
        log_density = np.log(share)[:, None] - sum(
            np.log(s)[:, None] + 0.5 * ((one - m[:, None]) / s[:, None]) ** 2
            for one, m, s in zip(logs, mu, sigma, strict=True)
        )
        top = log_density.max(axis=0)
        belongs = np.exp(log_density - top)
        total = belongs.sum(axis=0)
        likelihood = float((top + np.log(total)).sum() / PARTS)
        belongs /= total
        if likelihood - last < ENOUGH:
            break
        last = likelihood
        share, mu, sigma = parameters(logs, belongs)
    names = ("duration", "rate")
    found = [
        {"share": float(share[c])}
        | {f"{n}_mu": float(m[c]) for n, m in zip(names, mu, strict=False)}
        | {f"{n}_sigma": float(s[c]) for n, s in zip(names, sigma, strict=False)}
        for c in range(COMPONENTS)
    ]
    return sorted(found, key=lambda row: -row["share"])


def distance_seconds(seconds: NDArray[np.float64], parts: list[dict[str, float]]) -> float:
    """Return the Kolmogorov-Smirnov distance of lengths to the mixture rounded up to whole seconds."""
    at = np.arange(1.0, seconds.max() + 1)
    model = sum(p["share"] * below((np.log(at) - p["duration_mu"]) / p["duration_sigma"]) for p in parts)
    measured = np.searchsorted(np.sort(seconds), at, side="right") / len(seconds)
    return float(np.abs(model - measured).max())


def distance_rate(rate: NDArray[np.float64], parts: list[dict[str, float]]) -> float:
    """Return the Kolmogorov-Smirnov distance of rates to the mixture."""
    ordered = np.sort(rate)
    model = sum(p["share"] * below((np.log(ordered) - p["rate_mu"]) / p["rate_sigma"]) for p in parts)
    rank = np.arange(len(ordered) + 1) / len(ordered)
    return float(np.maximum(np.abs(rank[1:] - model), np.abs(rank[:-1] - model)).max())


def distance_volume(volume: NDArray[np.float64], parts: list[dict[str, float]]) -> float:
    """Return the Kolmogorov-Smirnov distance of volumes to length times rate, drawn 200,000 times."""
    rng = np.random.default_rng(1)
    which = rng.choice(len(parts), VOLUME_DRAWS, p=np.array([p["share"] for p in parts]))
    mu, sigma = (
        np.array([[p[f"{q}_{n}"] for q in ("duration", "rate")] for p in parts])[which] for n in ("mu", "sigma")
    )
    log_length, log_rate = (mu + sigma * rng.standard_normal(mu.shape)).T
    drawn = np.sort(np.ceil(np.exp(log_length)).clip(min=1.0) * np.exp(log_rate))
    ordered = np.sort(volume)
    model = np.searchsorted(drawn, ordered) / VOLUME_DRAWS
    rank = np.arange(len(ordered) + 1) / len(ordered)
    return float(np.maximum(np.abs(rank[1:] - model), np.abs(rank[:-1] - model)).max())


def single(seconds: NDArray[np.float64]) -> list[dict[str, float]]:
    """Return one lognormal as a mixture, for comparison."""
    inside = np.log(seconds[:, None] - 1 + (np.arange(PARTS) + 0.5) / PARTS)
    return [{"share": 1.0, "duration_mu": float(inside.mean()), "duration_sigma": float(inside.std())}]


def lognormal_distance(rate: NDArray[np.float64]) -> float:
    """Return the distance of rates to one lognormal, for comparison."""
    logs = np.log(rate)
    return distance_rate(rate, [{"share": 1.0, "rate_mu": float(logs.mean()), "rate_sigma": float(logs.std())}])


def held_out(summary: Path) -> dict[str, Any]:
    """Return how well bursts of one trace are told by a fit to all other traces: median distances over traces."""
    with summary.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, Any] = {}
    for application in ("video", "download"):
        mine = [row for row in rows if row["application"] == application]
        trace = np.array([row["service"] + row["trace"] for row in mine])
        seconds = np.array([float(row["duration_s"]) for row in mine])
        rate = np.array([float(row["volume_kbit"]) for row in mine]) / seconds
        distances = []
        for one in np.unique(trace):
            parts = mixture(seconds[trace != one], rate[trace != one])
            distances.append((distance_seconds(seconds[trace == one], parts), distance_rate(rate[trace == one], parts)))
        middle = np.median(np.array(distances), axis=0)
        found[application] = {
            "traces": len(distances),
            "ks_duration": round(float(middle[0]), 3),
            "ks_rate": round(float(middle[1]), 3),
        }
    return found


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
        parts = mixture(duration, volume / duration)
        pauses = mixture(pause[pause > 0])
        applications[application] = {
            "n": len(mine),
            "bursts": [{key: round(value, 4) for key, value in part.items()} for part in parts],
            "ks": {
                "duration": round(distance_seconds(duration, parts), 4),
                "rate": round(distance_rate(volume / duration, parts), 4),
                "volume": round(distance_volume(volume, parts), 4),
                "pause": round(distance_seconds(pause[pause > 0], pauses), 4),
                "duration_single": round(distance_seconds(duration, single(duration)), 4),
                "rate_single": round(lognormal_distance(volume / duration), 4),
            },
            "pauses": [{key: round(value, 4) for key, value in part.items()} for part in pauses],
            "volume_tail_index": tail_index(volume),
            "mean_volume_mbit": round(float(volume.mean() / 1e3), 2),
        }
    return {
        "source": "Bursts of the static traces of Raca et al., ACM MMSys 2020 (uccmisl/5Gdataset @ 306d92eb, GPL-3.0;"
        " not shipped): seconds above 500 kbit/s, pauses up to 2 s merged.",
        "form": "Mixtures of natural-log lognormals: lengths in s, rounded up to whole seconds; rates in kbit/s,"
        " independent of the length within a component; Kolmogorov-Smirnov distances (single: of one lognormal"
        " instead of the mixture); Hill tail index of the largest tenth of the burst volumes",
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
    for name, row in document["applications"].items():
        print(name, row["n"], row["ks"])
    print("held out:", held_out(arguments.summary))
    arguments.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
