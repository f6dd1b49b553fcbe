"""A game engine at the real twin: Godot moves phones, the follower computes the network, a change turns a sector."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.v1 import command_pb2
from tests.e2e.running_twin import RunningTwin

ROOT = Path(__file__).parents[2]


@pytest.mark.engine
@pytest.mark.skipif(shutil.which("godot3-server") is None, reason="`godot3-server` is missing (Debian: godot3-server)")
def test_a_city_in_godot_gets_its_network_and_its_sectors_turn(
    start_twin: Callable[..., RunningTwin], tmp_path: Path
) -> None:
    twin = start_twin("--past", "0", "--no-scene", env={"TWIN_APPROVAL__VERIFY_S": "3"}).wait_ready()
    record = tmp_path / "commands"
    address = f"--twin=ws{twin.url.removeprefix('http')}/bridge"
    words = ["godot3-server", "--path", "engine_plugins/godot", address, f"--record={record}"]
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    with (tmp_path / "godot.log").open("w") as log:
        godot = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **home})
    try:
        twin.wait_for(lambda: twin.get("/v1/health")["scenes"][0]["live"])
        engines = {session["engine"] for session in twin.get("/v1/health")["scenes"][0]["sessions"]}
        assert engines == {"godot", "follower"}
        series = {"entity": "cell-7-2", "kpi": "RRU.PrbTotDl", "from": "-10s"}
        twin.wait_for(lambda: len(twin.get("/v1/kpis", **series)["points"]) >= 3)

        body = {"actions": [{"entity": "cell-7-2", "attribute": "digitalTilt", "value": 50}]}
        change = twin.wait_tried(twin.post("/v1/changes", body).json()["id"])
        twin.post(f"/v1/changes/{change['id']}/approve", {"digest": change["digest"]})
        observed = twin.wait_for(lambda: twin.get(f"/v1/changes/{change['id']}")["observed"])
        twin.wait_for(record.exists)
    finally:
        godot.kill()
        godot.wait(10)

    assert [row["value"] for row in observed] == [50.0]
    lines = [line.removesuffix(" .") for line in record.read_text().splitlines() if line.endswith(" .")]
    answers = [command_pb2.CommandAck.FromString(bytes.fromhex(line)) for line in lines]
    assert {answer.stage for answer in answers} == {command_pb2.COMMAND_STAGE_APPLIED}
    turned = [(row.entity_id, row.attribute, row.value.number) for answer in answers for row in answer.observed]
    assert ("cell-7-2", "digitalTilt", 50.0) in turned
    assert "SCRIPT ERROR" not in (tmp_path / "godot.log").read_text()
