"""How fast the network steps, beside mobile-env and CRRM in the same run.

All times are CPU seconds of one thread; the sides take turns. What the others do and do not do stands in
docs/benchmarks.md: mobile-env has neither interference nor sectors nor handover conditions, CRRM has no time, traffic
or handover. Our side is the whole step of the product (mobility, radio, handover, sessions, slices, transport, energy,
counters), its crowd of background subscribers included; only UEs are counted as users.

Usage: .venv-test/bin/python tests/bench/radio.py [--quick] [--json FILE] [--scaling]
"""

# ruff: noqa: E402  # threads are pinned before numpy comes

from __future__ import annotations

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import resource
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

from _city import CIVIL, city
from _report import Rows, arguments

from twin import kernels
from twin.network import Network
from twin.topology import topology_of

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 1
PERIOD_TICKS = 10


def network(cells: int, ues: int, *, kernel: str = "numba", sectors: int = 3) -> Network:
    scenario = city(cells=cells, ues=ues, sectors=sectors, seed=SEED)
    return Network(scenario, topology_of(scenario), CIVIL, seed=SEED, kernel=kernels.load(kernel))  # type: ignore[arg-type]


def ours(net: Network, steps: int) -> Callable[[], float]:
    """Return a call that steps the network, closing a period every second, and returns CPU seconds per step."""
    count = 0

    def run() -> float:
        nonlocal count
        begin = time.process_time()
        for _ in range(steps):
            net.step(0.1)
            count += 1
            if count % PERIOD_TICKS == 0:
                net.close_period(scene_id="bench", epoch=1, seq=count, granularity_period_s=1)
        return (time.process_time() - begin) / steps

    return run


def ours_all_moving(net: Network, steps: int) -> Callable[[], float]:
    """As :func:`ours`, but every UE is put 5 m further before each step."""
    rng = np.random.default_rng(SEED)
    net.guide()
    batch = net.telemetry(scene_id="bench", epoch=1, seq=1)
    assert batch.position_m is not None
    place_m = batch.position_m.copy()
    net.place(batch.entity_index, place_m)
    west, south, east, north = net.scenario.extent_m

    def run() -> float:
        spent = 0.0
        for _ in range(steps):
            turn = rng.uniform(0, 2 * np.pi, len(place_m))
            place_m[:, 0] = np.clip(place_m[:, 0] + 5 * np.cos(turn), west, east)
            place_m[:, 1] = np.clip(place_m[:, 1] + 5 * np.sin(turn), south, north)
            begin = time.process_time()
            net.place(batch.entity_index, place_m)
            net.step(0.1)
            spent += time.process_time() - begin
        return spent / steps

    return run


def mobile_env(cells: int, ues: int, steps: int) -> Callable[[], float]:
    """Return the same for mobile-env: its own large scenario for 13 x 30, else stations at random places."""
    from mobile_env.core.base import MComCore
    from mobile_env.core.entities import BaseStation, UserEquipment
    from mobile_env.core.util import deep_dict_merge
    from mobile_env.scenarios.large import MComLarge

    if (cells, ues) == (13, 30):
        env = MComLarge()
    else:
        side = 100.0 * np.sqrt(cells)
        config = deep_dict_merge(MComCore.default_config(), {"width": side, "height": side})
        place = np.random.default_rng(SEED).uniform(0, side, (cells, 2))
        env = MComCore(
            [BaseStation(n, tuple(at), **config["bs"]) for n, at in enumerate(place)],
            [UserEquipment(n, **config["ue"]) for n in range(ues)],
            config,
        )
    env.reset(seed=SEED)
    env.action_space.seed(SEED)

    def run() -> float:
        spent = 0.0
        for _ in range(steps):
            action = env.action_space.sample()
            begin = time.process_time()
            *_, terminated, truncated, _ = env.step(action)
            spent += time.process_time() - begin
            if terminated or truncated:
                env.reset()
        return spent / steps

    return run


def crrm(cells: int, ues: int, steps: int) -> Callable[[], float]:
    """Return the same for CRRM: three sectors, UMa, every UE moves, throughputs read after each move."""
    import CRRM

    scenario = city(cells=cells, ues=0, seed=SEED)
    place_m = np.array([(*site.position_m[:2], site.height_m) for site in scenario.sites])
    half = scenario.extent_m[2]
    rng = np.random.default_rng(SEED)
    sim = CRRM.Simulator(
        CRRM.Parameters(
            rng_seeds=SEED,
            n_ues=ues,
            ue_initial_locations=np.column_stack([rng.uniform(-half, half, (ues, 2)), np.full(ues, 1.5)]),
            cell_locations=place_m,
            n_cell_locations=len(place_m),
            n_sectors=3,
            pathloss_model_name="UMa",
            fc_GHz=3.5,
            bw_MHz=100.0,
            h_BS_default=25.0,
            h_UT_default=1.5,
            resource_allocation_fairness=0.0,
            smart_update=False,
        )
    )
    sim.get_UE_throughputs()

    def run() -> float:
        spent = 0.0
        for _ in range(steps):
            deltas = rng.normal(0, 5, (ues, 2))
            begin = time.process_time()
            sim.move_ue_locations("all", deltas)
            sim.get_UE_throughputs()
            spent += time.process_time() - begin
        return spent / steps

    return run


def beside(
    rows: Rows, name: str, mine: Callable[[], float], other: Callable[[], float], *, rounds: int, pairs: int
) -> None:
    mine()
    other()
    own, peer = zip(*((mine(), other()) for _ in range(rounds)), strict=True)
    rows.add(f"{name}_steps", [1 / t for t in own], "steps/CPU-s", baseline=[1 / t for t in peer], more_is_better=True)
    rows.add(
        f"{name}_pairs",
        [pairs / t for t in own],
        "pairs/CPU-s",
        baseline=[pairs / t for t in peer],
        more_is_better=True,
    )


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--scaling", action="store_true", help="also 30 to 1,000 cells with 50 UEs each (minutes)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    quick = options.quick
    rounds = 3 if quick else 7
    rows = Rows(packages=("numpy", "numba", "mobile-env", "CRRM"))
    if options.scaling:  # first, while nothing else is in memory
        scaling(rows)

    beside(
        rows, "mobile_env_large_13x30", ours(network(13, 30, sectors=1), 500), mobile_env(13, 30, 5),
        rounds=rounds, pairs=13 * 30,
    )  # fmt: skip
    size = (20, 100) if quick else (100, 1000)
    beside(
        rows, f"mobile_env_{size[0]}x{size[1]}", ours(network(*size, sectors=1), 50), mobile_env(*size, 1),
        rounds=2 if quick else 3, pairs=size[0] * size[1],
    )  # fmt: skip
    beside(
        rows, "crrm_102x5000_all_moving", ours_all_moving(network(102, 5000), 10), crrm(102, 5000, 1),
        rounds=rounds, pairs=102 * 5000,
    )  # fmt: skip

    compiled, plain = ours(network(102, 5000), 20 if quick else 100), ours(network(102, 5000, kernel="numpy"), 5)
    compiled(), plain()
    times = [(compiled(), plain()) for _ in range(rounds)]
    rows.add(
        "full_loop_102x5000", [1 / a for a, _ in times], "steps/CPU-s", baseline=[1 / b for _, b in times],
        more_is_better=True,
    )  # fmt: skip

    if not quick:
        memory(rows)
    rows.write(options.json)


def resident_mb() -> float:
    """Return the memory of this process that is in use now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def memory(rows: Rows) -> None:
    """One simulated hour of a small city: the resident memory at its end against that after five minutes."""
    net = network(57, 500)

    def go(seconds: int) -> None:
        for tick in range(seconds * 10):
            net.step(0.1)
            if tick % PERIOD_TICKS == 9:
                net.close_period(scene_id="bench", epoch=1, seq=tick, granularity_period_s=1)

    go(300)
    early = resident_mb()
    go(3300)
    rows.add("memory_after_an_hour", [resident_mb()], "MB", baseline=[early])


def scaling(rows: Rows) -> None:
    """Whole steps by size, 50 UEs to a cell, and the resident memory of the whole process then."""
    for cells in (30, 102, 300, 1000):
        net = network(cells, 50 * cells)
        run = ours(net, max(3, 3000 // cells))
        run()
        values = [1 / run() for _ in range(3)]
        rows.add(f"scaling_{cells}x{50 * cells}", values, "steps/CPU-s", more_is_better=True)
        rows.put(f"scaling_{cells}x{50 * cells}_memory", resident_mb(), "MB")
        del net, run


if __name__ == "__main__":
    main()
