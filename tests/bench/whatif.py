"""What a what-if costs: both arms of 60 s at 102 cells x 5,000 UEs on one seed, restored from a state.

CPU seconds of one thread: restoring, stepping, and reading the counters every second, as the twin's own processes do
it. A process keeps its network from one question to the next; the row `build` says what the first question costs on
top. The baseline is the same question to the plain numpy kernel (`horizon` says over how many seconds it ran).

Usage: .venv-test/bin/python tests/bench/whatif.py [--quick] [--json FILE]
"""

# ruff: noqa: E402  # threads are pinned before numpy comes

from __future__ import annotations

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

from _city import CIVIL, city
from _report import Rows, arguments

from twin import kernels
from twin.commands import SetAttribute
from twin.network import Network
from twin.topology import topology_of
from twin.what_if import TICK_S, around, compare, run_arm

CELLS, UES = 102, 5000
HORIZON_S = 60.0
TARGET_CPU_S = 3.0


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    rounds, horizon_s = (1, 20.0) if options.quick else (5, HORIZON_S)
    rows = Rows(packages=("numpy", "numba"))
    scenario = city(cells=CELLS, ues=UES)
    topology = topology_of(scenario)
    change = SetAttribute(entity_id=scenario.cells[0].id, attribute="digitalTilt", value=120)
    look_at = around([change], topology, scenario)

    begin = time.process_time()
    network = Network(scenario, topology, CIVIL, seed=1, kernel=kernels.load("numba"))
    built_s = time.process_time() - begin
    for _ in range(100):
        network.step(TICK_S)
    state = network.snapshot()

    def both(seconds: float) -> float:
        without, with_it = (
            run_arm(network, state, changes, look_at, seed=1, horizon_s=seconds) for changes in ([], [change])
        )
        compare([without], [with_it], look_at, horizon_s=seconds, fidelity="state")
        return without.cpu_s + with_it.cpu_s

    both(5.0)
    spent = [both(horizon_s) * HORIZON_S / horizon_s for _ in range(rounds)]
    network.use(kernels.load("numpy"))
    plain = [both(5.0) * HORIZON_S / 5.0]
    rows.add("both_arms_60s_102x5000", spent, "CPU-s", baseline=plain)
    rows.put("aim_both_arms", TARGET_CPU_S, "CPU-s", baseline=min(spent), ratio=TARGET_CPU_S / min(spent))
    rows.put("build_102x5000", built_s, "CPU-s")
    begin = time.process_time()
    network.restore(state)
    rows.put("restore_102x5000", time.process_time() - begin, "CPU-s")
    rows.put("state_102x5000", len(state) / 1e6, "MB")
    rows.write(options.json)


if __name__ == "__main__":
    main()
