"""A user brings an engine that only moves things: `twin up --no-scene`, and the twin does the rest."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.running_twin import RunningTwin, children, cmdline
from tests.street_route import nearest_node, route
from twin.topology import topology_of
from twin_app.scenarios import load_scenario

ENGINE = Path(__file__).parents[1] / "motion_engine.py"
DRIVER = "ue-1"


class Engine:
    """The engine as a program of its own; told where to put the first UE over standard input."""

    def __init__(self, port: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(ENGINE), f"127.0.0.1:{port}", DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, **order: Any) -> dict[str, Any]:
        """Tell it something and return what it has heard of the network by then."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


def scene(twin: RunningTwin) -> dict[str, Any]:
    return twin.get("/v1/health")["scenes"][0]


def now_s(twin: RunningTwin) -> float:
    return twin.get("/v1/health")["sim_time_s"]


def follower_pid(twin: RunningTwin) -> int | None:
    return next((pid for pid in children(twin.process.pid) if "--follow" in cmdline(pid)), None)


def test_an_engine_that_only_moves_things_gets_a_network(start_twin: Callable[..., RunningTwin]) -> None:
    twin = start_twin("--past", "0", "--no-scene").wait_ready()
    port = json.loads((twin.data_dir / "run.json").read_text())["grpc_port"]
    scenario = load_scenario(twin.data_dir / "scenario.npz")
    topology = topology_of(scenario)
    sites = [topology.get(one).position_m[:2] for one in ("site-3", "site-9")]
    way = route(scenario, *(nearest_node(scenario, place) for place in sites), step_m=6.0)

    engine = Engine(port)
    try:
        twin.wait_for(lambda: scene(twin)["live"])
        assert scene(twin)["provides"] == ["KPI", "MOTION", "STATE"]
        assert [one["engine"] for one in scene(twin)["sessions"]] == ["motion-only", "follower"]
        told = twin.wait_for(lambda: _heard(engine.tell(place=way[0].tolist())))

        # From site to site: the serving cell follows, in REST, in the engine, and in what people are answered.
        twin.wait_for(lambda: _serving_site(twin, topology) == "site-3")
        for place in way:
            engine.tell(place=place.tolist())
            time.sleep(0.02)
        twin.wait_for(lambda: _serving_site(twin, topology) == "site-9")
        cell = _serving_cell(twin, topology)
        assert told["KPI"] > 0
        answer = twin.ask(f"which cell serves {DRIVER}?")
        assert cell in json.dumps(answer) or topology.get(cell).name in answer["text"]
        twin.wait_for(lambda: _heard(engine.tell(place=way[-1].tolist()))["serving"] == topology.get(cell).index)

        # Away from the city the signal falls.
        levels = []
        street = scenario.streets.node_m[nearest_node(scenario, topology.get("site-8").position_m[:2])]
        # Put down far away it loses its cell, and looks for another once it has noticed.
        engine.tell(place=street.tolist())
        twin.wait_for(lambda: math.isfinite(_newest(twin, "RF.serving.RSRP")))
        for place in (street.tolist(), [1_800.0, 0.0], [4_000.0, 0.0]):
            engine.tell(place=place)
            there_s = now_s(twin) + 2.5  # long enough for a handover and for the next sample
            twin.wait_for(lambda at_s=there_s: now_s(twin) > at_s)
            levels.append(_newest(twin, "RF.serving.RSRP"))
        assert not levels[1] >= levels[0] - 10.0
        assert not levels[2] >= levels[1]  # no cell is heard there at all: NaN

        # An engine that stands still stops time, and one that goes on lets it go on.
        engine.tell(running=False)
        time.sleep(0.5)
        stood_s = now_s(twin)
        time.sleep(1.0)
        assert now_s(twin) == stood_s
        engine.tell(running=True)
        twin.wait_for(lambda: now_s(twin) > stood_s + 0.5)

        # A follower that is killed comes back by itself.
        killed = follower_pid(twin)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        twin.wait_for(lambda: not scene(twin)["live"], every_s=0.02)
        begun_s = time.monotonic()
        twin.wait_for(lambda: scene(twin)["live"] and follower_pid(twin) not in {None, killed}, every_s=0.05)
        assert time.monotonic() - begun_s < 10.0
        before_s = now_s(twin)
        twin.wait_for(lambda: now_s(twin) > before_s + 0.5)

        # An engine that is killed: the twin says so, and time stands still.
        engine.end(signal.SIGKILL)
        twin.wait_for(lambda: scene(twin)["motion_absent_s"] is not None)
        part = twin.get("/v1/health")["scenes"][0]["parts"]["scene"]
        assert (part["status"], "gone" in part["text"]) == ("degraded", True)
    finally:
        engine.end()

    again = Engine(port)
    try:
        twin.wait_for(lambda: scene(twin)["motion_absent_s"] is None)
        before_s = now_s(twin)
        twin.wait_for(lambda: now_s(twin) > before_s + 0.5)
    finally:
        again.end()
    pid = follower_pid(twin)
    assert pid is not None
    twin.kill()
    end_s = time.monotonic() + 5.0
    while cmdline(pid):  # the follower dies with its parent, also when that is killed
        assert time.monotonic() < end_s, "the follower outlived the twin"
        time.sleep(0.05)


def _heard(said: dict[str, Any]) -> dict[str, Any]:
    """Return what the engine said once it has heard figures."""
    return said if said["KPI"] else {}


def _newest(twin: RunningTwin, kpi: str) -> float:
    points = twin.get("/v1/kpis", entity=DRIVER, kpi=kpi, **{"from": "-10s"})["points"]
    return points[-1][1] if points and points[-1][1] is not None else float("nan")


def _serving_cell(twin: RunningTwin, topology: Any) -> str:
    index = _newest(twin, "vsData6gServingCell")
    return topology.at(int(index)).id if index >= 0 else ""


def _serving_site(twin: RunningTwin, topology: Any) -> str:
    cell = _serving_cell(twin, topology)
    return topology.get(cell).parent_id if cell else ""
