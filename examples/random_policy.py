"""A policy that knows nothing turns a random antenna every second, and we watch what users get.

No server and no scene process: `Network` is what the scene process steps.
Usage: python examples/random_policy.py [PERIODS]
"""

import sys
from datetime import UTC, datetime

import numpy as np

from twin.clock import CivilTime
from twin.commands import SetAttribute
from twin.network import Network
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario

NOON_S, TICK_S, TICKS = 12 * 3600.0, 0.1, 10

rng = np.random.default_rng(1)
scenario = build_scenario(ScenarioSpec(seed=1))
topology = topology_of(scenario)
civil = CivilTime(epoch=datetime(2026, 11, 21, tzinfo=UTC), timezone="UTC")
network = Network(scenario, topology, civil, seed=1, sim_time_s=NOON_S)

for period in range(int(sys.argv[1]) if len(sys.argv) > 1 else 20):
    for _ in range(TICKS):
        network.step(TICK_S)
    report = network.close_period(scene_id="example", epoch=1, seq=period, granularity_period_s=1)
    of_cells = report.values[: len(scenario.cells), report.counters.index("DRB.UEThpDl")]  # cells come first
    cell, tilt_deg = scenario.cells[rng.integers(len(scenario.cells))], rng.uniform(0.0, 15.0)
    network.apply([SetAttribute(entity_id=cell.id, attribute="digitalTilt", value=round(tilt_deg * 10))])
    print(f"users get {np.nanmean(of_cells) / 1e3:.1f} Mbit/s; {cell.id} now looks {tilt_deg:.1f} degrees down")
