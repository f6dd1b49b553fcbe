"""Print what the default city looks like, beside what real networks look like: the table in docs/model.md.

    .venv-test/bin/python tools/describe_city.py

Noon and evening of a working day, several seeds, 300 simulated seconds each, read from reports and telemetry as any
operator reads them; the daily curve from a few seconds of every third hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from twin import kernels
from twin.clock import CivilTime
from twin.entities import Kind
from twin.network import UE_KPIS, Network
from twin.topology import topology_of
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twin.scenario import Scenario
    from twin.topology import Topology

SEEDS = (1, 2, 3)
HOURS = {"noon": 12, "evening": 18}
WATCH_S = 300
SAMPLE_S = 15
WEAK_DBM = -110.0


@dataclass(frozen=True)
class Row:
    """One line of the table; the range is where real networks lie."""

    name: str
    low: float
    high: float
    source: str
    form: str = ".1f"


PLANNED = "planning practice"
ROWS = (
    Row("PRB load, mean of cells, %", 20, 60, "busy hour of urban cells, planned below 70 %"),
    Row("PRB load, busiest cell, %", 60, 95, PLANNED),
    Row("PRB load at 4 in the morning / at the peak", 0.05, 0.25, "EARTH D2.3 daily profile: 0.12", ".2f"),
    Row("SINR, median, dB", 8, 12, "macro network at half load"),
    Row("SINR, 5th percentile, dB", -4, 2, "R1-165974 (full load) to half load"),
    Row("SINR, 95th percentile, dB", 18, 30, "the same"),
    Row("RSRP, median, dBm", -95, -75, "drive tests, urban 3.5 GHz"),
    Row("RSRP below -110 dBm, % of people", 1, 10, "coverage targets of 90 to 98 %"),
    Row("RSRQ, mean of cells, dB", -16, -10, "usual in drive tests"),
    Row("served distance, 95 % of connections, m", 200, 600, "inter-site distance 330 to 480 m"),
    Row("UE throughput, median, Mbit/s", 50, 400, "published speed tests, 100 MHz at 3.5 GHz"),
    Row("UE throughput, 5th percentile, Mbit/s", 3, 50, "the same"),
    Row("delay in the cell, ms", 2, 20, "round trips of 10 to 30 ms in 5G networks"),
    Row("late packets of slices with a budget, %", 0, 1, "TS 22.261: 0.001 to 1 % by service", ".2f"),
    Row("failed RRC set-ups, %", 0.05, 1, "operators' targets: over 99 %", ".2f"),
    Row("handovers per driver and minute", 1, 5, "cell crossings 2 v / (pi r) at 8 m/s, r = 60 to 300 m"),
    Row("successful handover executions, %", 98, 100, "operators' targets: over 98 %"),
    Row("radio link failures per 100 handovers", 0.1, 3, "1 to 3 in dense cities"),
    Row("ping-pong, % of handovers", 0, 5, "below 5 % after optimisation"),
    Row("power of a cell, W", 260, 450, "EARTH: macro sector, idle to full"),
    Row("load of access links, mean, %", 1, 30, PLANNED),
    Row("load of the busiest link, %", 5, 70, PLANNED),
    Row("RRC set-ups per connected user and hour", 120, 400, "inactivity timers of 10 s: 10 to 30 s a connection"),
)


def _civil(hour: int) -> CivilTime:
    return CivilTime(epoch=datetime(2026, 11, 17, hour - 1, 0, tzinfo=UTC), timezone="Europe/Luxembourg")


def _network(scenario: Scenario, topology: Topology, hour: int, seed: int) -> Network:
    return Network(scenario, topology, _civil(hour), seed=seed, kernel=kernels.load("auto"))


def _report(network: Network, topology: Topology) -> dict[tuple[Kind, str], NDArray[np.float32]]:
    report = network.close_period(scene_id="city", epoch=1, seq=1, granularity_period_s=1)
    kind = np.array([topology.at(int(index)).kind.value for index in report.entity_index])
    return {
        (of, name): report.values[kind == of.value, column]
        for column, name in enumerate(report.counters)
        for of in (Kind.CELL, Kind.SLICE, Kind.LINK)
    }


def load_percent(scenario: Scenario, topology: Topology, hour: int) -> float:
    """Return the mean PRB load of a few seconds."""
    network = _network(scenario, topology, hour, SEEDS[0])
    for _ in range(100):
        network.step()
    return float(np.nanmean(_report(network, topology)[Kind.CELL, "RRU.PrbTotDl"]))


def figures(scenario: Scenario, topology: Topology, hour: int, seed: int) -> dict[str, float]:
    """Return the value of each row but the daily one, of one run."""
    network = _network(scenario, topology, hour, seed)
    samples: list[NDArray[np.float32]] = []
    for tick in range(10 * WATCH_S):
        network.step()
        if tick % (10 * SAMPLE_S) == 0:
            samples.append(network.telemetry(scene_id="city", epoch=1, seq=1).values)
    gauges = np.concatenate(samples)
    rsrp, sinr, rate = (gauges[:, UE_KPIS.index(n)] for n in ("RF.serving.RSRP", "RF.serving.RSSINR", "DRB.UEThpDl"))
    report = _report(network, topology)

    def cells(name: str) -> NDArray[np.float32]:
        return report[Kind.CELL, name]

    def total(name: str) -> float:
        return float(np.nansum(cells(name)))

    done = total("MM.HoExeIntraSucc")
    drivers = sum(ue.mobility == "drive" for ue in scenario.ues)
    load = report[Kind.LINK, "vsData6gLinkLoad"]
    values = [
        float(np.nanmean(cells("RRU.PrbTotDl"))),
        float(np.nanmax(cells("RRU.PrbTotDl"))),
        float("nan"),
        float(np.nanmedian(sinr)),
        float(np.nanpercentile(sinr, 5)),
        float(np.nanpercentile(sinr, 95)),
        float(np.nanmedian(rsrp)),
        100.0 * float((rsrp[~np.isnan(rsrp)] < WEAK_DBM).mean()),
        float(np.nanmean(cells("vsData6gMeanSsRsrq"))),
        float(np.nanmean(cells("vsData6gServedDistance"))),
        float(np.nanmedian(rate)) / 1e3,
        float(np.nanpercentile(rate, 5)) / 1e3,
        float(np.nanmean(cells("DRB.RlcSduDelayDl"))),
        float(np.nanmean(report[Kind.SLICE, "vsData6gUrllcViolation"])),
        100.0 * (1.0 - total("RRC.ConnEstabSucc") / total("RRC.ConnEstabAtt")),
        done / drivers / (WATCH_S / 60.0),
        100.0 * done / total("MM.HoExeIntraReq"),
        100.0 * total("vsData6gRadioLinkFailures") / done,
        100.0 * total("vsData6gHoPingPong") / done,
        float(np.nanmean(cells("PEE.AvgPower"))),
        float(np.nanmean(load)),
        float(np.nanmax(load)),
        total("RRC.ConnEstabAtt") / total("RRC.ConnMean") * 3600.0 / WATCH_S,
    ]
    return dict(zip((row.name for row in ROWS), values, strict=True))


def main() -> None:
    """Print the table."""
    scenario = build_scenario(ScenarioSpec())
    topology = topology_of(scenario)
    columns = {label: [figures(scenario, topology, hour, seed) for seed in SEEDS] for label, hour in HOURS.items()}
    hours = {hour: load_percent(scenario, topology, hour) for hour in (*range(1, 24, 3), *HOURS.values())}
    night = hours[4] / max(hours.values())
    print(f"| figure | {' | '.join(HOURS)} | expected | source | verdict |")
    print(f"|---|{'---|' * len(HOURS)}---|---|---|")
    for row in ROWS:
        means = [float(np.mean([one[row.name] for one in runs])) for runs in columns.values()]
        means = [night if np.isnan(one) else one for one in means]
        verdict = "fits" if all(row.low <= one <= row.high for one in means) else "**outside**"
        said = " | ".join(format(one, row.form) for one in means)
        print(f"| {row.name} | {said} | {row.low:g} to {row.high:g} | {row.source} | {verdict} |")
    print("\nPRB load by hour: " + ", ".join(f"{hour}:00 {hours[hour]:.0f} %" for hour in sorted(hours)) + ".")


if __name__ == "__main__":
    main()
