"""The shadow twin as people meet it: proposals with a prediction, what-ifs over REST, command line and agent."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.e2e.running_twin import RunningTwin, children, cmdline

CELL = "cell-11-2"


def tilt_of(twin: RunningTwin, cell: str = CELL) -> float:
    return twin.get(f"/v1/entities/{cell}")["attributes"]["digitalTilt"]


def other_tilt(twin: RunningTwin, cell: str = CELL) -> float:
    old = tilt_of(twin, cell)
    return old + 60 if old <= 80 else old - 60


@pytest.fixture
def live(twin: RunningTwin) -> RunningTwin:
    twin.wait_for(lambda: twin.get("/v1/health")["sim_time_s"] > 3)
    return twin


def test_a_proposal_is_answered_at_once_and_then_predicted_and_measured_against_it(live: RunningTwin) -> None:
    body = {"actions": [{"entity": CELL, "attribute": "digitalTilt", "value": other_tilt(live)}]}
    begun = time.monotonic()
    proposed = live.post("/v1/changes", body).json()
    assert time.monotonic() - begun < 2.0
    assert ("proposed", "running") == (proposed["state"], proposed["shadow"]["state"])

    tried = live.wait_tried(proposed["id"])
    shadow = tried["shadow"]
    assert ("validated", "done", "state") == (tried["state"], shadow["state"], shadow["fidelity"])
    assert (10, [1, 2]) == (shadow["horizon_s"], shadow["seeds"])
    assert shadow["cpu_s"] > 0
    effect = next(e for e in shadow["effects"] if (e["entity"], e["kpi"]) == (CELL, "vsData6gMeanSsRsrp"))
    assert effect["low"] <= effect["delta"] <= effect["high"]
    assert effect["delta"] != 0
    (line,) = [c for c in live.get("/v1/changes")["items"] if c["id"] == tried["id"]]
    assert "effects" not in line["shadow"]
    assert line["shadow"]["in_words"] == shadow["in_words"]

    live.post(f"/v1/changes/{tried['id']}/approve", {"digest": tried["digest"], "despite_shadow": True})
    done = live.wait_change(tried["id"])
    measured = next(e for e in done["effects"] if (e["entity"], e["kpi"]) == (CELL, "vsData6gMeanSsRsrp"))
    assert (measured["after"] - measured["before"]) * effect["delta"] > 0, "the live network moved the same way"


def test_a_what_if_is_followed_to_its_result_and_changes_nothing(live: RunningTwin) -> None:
    before, revision = tilt_of(live), live.get("/v1/topology")["revision"]
    body = {
        "actions": [{"entity": CELL, "attribute": "configuredMaxTxPower", "value": 1000}],
        "horizon_s": 8,
        "seeds": 2,
    }
    started = live.post("/v1/what-if", body)
    assert started.status_code == 202
    run = started.json()

    def ended() -> dict | None:
        found = live.get(f"/v1/what-if/{run['id']}")
        return found if found["state"] != "running" else None

    done = live.wait_for(ended, every_s=0.1)

    assert ("done", 1.0, None) == (done["state"], done["progress"], done["error"])
    weaker = next(e for e in done["result"]["effects"] if (e["entity"], e["kpi"]) == (CELL, "vsData6gMeanSsRsrp"))
    assert weaker["delta"] < 0
    assert any(e["entity"] is None for e in done["result"]["effects"])
    assert (before, revision) == (tilt_of(live), live.get("/v1/topology")["revision"])


def test_a_what_if_that_is_deleted_stops(live: RunningTwin) -> None:
    body = {
        "actions": [{"entity": CELL, "attribute": "configuredMaxTxPower", "value": 1000}],
        "horizon_s": 900,
        "seeds": 8,
    }
    run = live.post("/v1/what-if", body).json()
    live.wait_for(lambda: live.get(f"/v1/what-if/{run['id']}")["progress"] > 0, every_s=0.1)
    with live.http() as client:
        begun = time.monotonic()
        stopped = client.delete(f"/v1/what-if/{run['id']}")
    assert time.monotonic() - begun < 2.0
    assert (200, "cancelled") == (stopped.status_code, stopped.json()["state"])


def test_what_cannot_be_meant_is_refused(live: RunningTwin) -> None:
    def status(**action: object) -> int:
        return live.post("/v1/what-if", {"actions": [action]}).status_code

    assert 404 == status(entity="cell-99-1", attribute="digitalTilt", value=50)
    assert 422 == status(entity=CELL, attribute="digitalTilt", value=9999)
    assert 422 == status(entity=CELL, attribute="colour", value=1)
    assert 422 == live.post("/v1/what-if", {"actions": [], "horizon_s": 10}).status_code
    with live.http() as client:
        assert 404 == client.get("/v1/what-if/what-if-999").status_code


def test_the_command_line_tries_out_lists_and_is_called_off(live: RunningTwin) -> None:
    tilt = other_tilt(live, "cell-10-1") / 10
    done = live.cli("what-if", f"cell-10-1 tilt {tilt:g}", "--horizon", "8", "--seeds", "2")
    table = live.cli("what-if", f"cell-10-1 tilt {tilt:g}", "--horizon", "8", "--seeds", "2", "--all")
    facts = json.loads(live.cli("what-if", "10-1 lock", "--horizon", "8", "--seeds", "2", "--json").stdout)
    wrong = live.cli("what-if", "cell-10-1 colour blue")

    assert (0, 0, 1) == (done.returncode, table.returncode, wrong.returncode), done.stderr + table.stderr
    assert "electrical tilt of cell-10-1" in done.stdout
    assert "95% between" in done.stdout or "no change" in done.stdout
    assert "mean SS-RSRP of served UEs of cell-10-1" in table.stdout
    assert ("LOCKED", "done") == (facts["actions"][0]["value"], facts["state"])
    assert "cannot be read" in wrong.stderr

    environment = {**os.environ, "TWIN_URL": live.url}
    command = [sys.executable, "-m", "twin_app", "what-if", "cell-10-1 power 30", "--horizon", "900", "--seeds", "8"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        run = process.stderr.readline().split()[1]
        live.wait_for(lambda: live.get(f"/v1/what-if/{run}")["progress"] > 0, every_s=0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert (1, True) == (process.returncode, "called off" in said)
    assert "cancelled" == live.get(f"/v1/what-if/{run}")["state"]


def test_changes_lists_the_prediction_in_words(live: RunningTwin) -> None:
    body = {"actions": [{"entity": "cell-13-1", "attribute": "configuredMaxTxPower", "value": 1000}]}
    change = live.wait_tried(live.post("/v1/changes", body).json()["id"])
    listed = live.cli("changes")

    assert listed.returncode == 0
    assert change["id"] in listed.stdout
    assert "predicted" in listed.stdout
    live.post(f"/v1/changes/{change['id']}/reject", {"reason": "only looking"})


def test_the_agent_answers_what_would_happen(live: RunningTwin) -> None:
    degrees = other_tilt(live, "cell-9-3") / 10
    answer = live.ask(f"What would happen if I tilt cell 9-3 to {degrees:g} degrees?")

    assert "answered" == answer["status"], answer["text"]
    assert ["what_if"] == [call["tool"] for call in answer["tool_calls"]]
    assert "Nothing was changed." in answer["text"]
    assert any("(low)" in (e.get("kpi") or "") for e in answer["evidence"])


def test_a_killed_shadow_process_costs_one_run_and_no_more(live: RunningTwin) -> None:
    body = {"actions": [{"entity": CELL, "attribute": "configuredMaxTxPower", "value": 1000}], "horizon_s": 900}
    run = live.post("/v1/what-if", body).json()
    live.wait_for(lambda: live.get(f"/v1/what-if/{run['id']}")["progress"] > 0, every_s=0.1)
    for pid in children(live.process.pid):
        if "shadow_process" in cmdline(pid):
            os.kill(pid, signal.SIGKILL)
    failed = live.wait_for(
        lambda: (found := live.get(f"/v1/what-if/{run['id']}"))["state"] != "running" and found, every_s=0.1
    )
    assert ("failed", "ShadowUnavailable") == (failed["state"], failed["error"]["kind"])

    again = live.post("/v1/what-if", {**body, "horizon_s": 5, "seeds": 1}).json()
    live.wait_for(lambda: live.get(f"/v1/what-if/{again['id']}")["state"] == "done", every_s=0.1)


def test_without_a_scene_a_proposal_says_that_it_was_not_tried_out(start_twin) -> None:  # type: ignore[no-untyped-def]
    twin = start_twin("--past", "0", "--no-scene").wait_ready()
    body = {"actions": [{"entity": CELL, "attribute": "digitalTilt", "value": other_tilt(twin)}]}
    change = twin.wait_tried(twin.post("/v1/changes", body).json()["id"])

    assert ("validated", "unavailable") == (change["state"], change["shadow"]["state"])
    assert "nobody gives figures" in change["shadow"]["reason"]
    assert "not tried out" in twin.cli("changes").stdout
