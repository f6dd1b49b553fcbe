"""Programs of other people: the example scene and the example with curl, against the real twin."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.running_twin import RunningTwin

ROOT = Path(__file__).parents[2]


def test_the_example_scene_connects_is_counted_and_obeys(start_twin: Callable[..., RunningTwin]) -> None:
    twin = start_twin("--past", "0", "--no-scene").wait_ready()
    port = json.loads((twin.data_dir / "run.json").read_text())["grpc_port"]
    example = subprocess.Popen([sys.executable, "examples/own_scene.py", f"127.0.0.1:{port}"], cwd=ROOT)
    try:
        twin.wait_for(lambda: twin.get("/v1/health")["scenes"][0]["live"])
        series = {"entity": "cell-7-2", "kpi": "RRC.ConnMean", "from": "-10s"}
        twin.wait_for(lambda: len(twin.get("/v1/kpis", **series)["points"]) >= 3)
        body = {"actions": [{"entity": "cell-7-2", "attribute": "digitalTilt", "value": 50}]}
        change = twin.post("/v1/changes", body).json()
        twin.post(f"/v1/changes/{change['id']}/approve", {})
        twin.wait_for(lambda: twin.get(f"/v1/changes/{change['id']}")["observed"])
    finally:
        example.terminate()
        example.wait(10)

    twin.wait_for(lambda: not twin.get("/v1/health")["scenes"][0]["connected"])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing")
def test_the_example_with_curl_asks_and_changes(twin: RunningTwin) -> None:
    done = subprocess.run(
        ["sh", "examples/ask.sh", twin.url], cwd=ROOT, capture_output=True, text=True, timeout=120, env={**os.environ}
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "committed" in done.stdout
