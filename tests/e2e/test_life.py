"""Start, stop, kill: what a twin promises about its own life."""

import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable

from tests.e2e.running_twin import RunningTwin, children, cmdline

Start = Callable[..., RunningTwin]


def wait_gone(pids: list[int], *, limit_s: float = 10.0) -> list[int]:
    end = time.monotonic() + limit_s
    while time.monotonic() < end and any(cmdline(p) for p in pids):
        time.sleep(0.1)
    return [p for p in pids if cmdline(p)]


def test_it_ends_cleanly_within_five_seconds_and_goes_on_where_it_stopped(start_twin: Start) -> None:
    first = start_twin("--past", "0").wait_ready()
    first.wait_for(lambda: first.get("/v1/health")["sim_time_s"] > 3)
    change = first.post(
        "/v1/changes", {"actions": [{"entity": "cell-5-1", "attribute": "digitalTilt", "value": 35}]}
    ).json()
    first.post(f"/v1/changes/{change['id']}/approve", {})
    assert first.wait_change(change["id"])["state"] == "committed"
    stopped_at = first.get("/v1/health")["sim_time_s"]
    began = time.monotonic()
    code = first.stop(signal.SIGINT)
    took_s = time.monotonic() - began

    second = start_twin("--past", "0").wait_ready()
    health = second.get("/v1/health")

    assert (0, True) == (code, took_s < 5)
    assert health["sim_time_s"] >= stopped_at - 1
    assert health["sim_time_s"] < stopped_at + 60
    assert 35 == second.get("/v1/entities/cell-5-1")["attributes"]["digitalTilt"]
    assert "committed" == second.get(f"/v1/changes/{change['id']}")["state"]


def test_ctrl_c_while_it_starts_ends_it_cleanly(start_twin: Start) -> None:
    for step in ("building the city", "telling the past"):
        twin = start_twin("--past", "14d")
        twin.wait_said(step)
        began = time.monotonic()
        code = twin.stop(signal.SIGINT)

        assert (0, True, False) == (code, time.monotonic() - began < 5, "Traceback" in twin.said), twin.said


def test_a_port_in_use_is_said_at_once(start_twin: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        twin = start_twin("--http-port", str(taken.getsockname()[1]), "--past", "0")
        code = twin.ended(limit_s=60)

    assert 1 == code
    assert "taken" in twin.said
    assert "Traceback" not in twin.said


def test_a_second_twin_on_the_same_folder_is_refused(start_twin: Start) -> None:
    first = start_twin("--past", "0", "--no-scene").wait_ready()
    second = start_twin("--past", "0", "--no-scene", data_dir=first.data_dir)
    code = second.ended(limit_s=60)

    assert 1 == code
    assert str(first.process.pid) in second.said


def test_a_folder_of_another_city_is_refused_with_the_way_out(start_twin: Start) -> None:
    first = start_twin("--past", "0", "--no-scene", "--seed", "1").wait_ready()
    first.stop()
    second = start_twin("--past", "0", "--no-scene", "--seed", "2", data_dir=first.data_dir)
    code = second.ended(limit_s=60)

    assert 1 == code
    assert "--data-dir" in second.said


def test_a_corrupt_store_is_named_and_nothing_is_overwritten(start_twin: Start) -> None:
    first = start_twin("--past", "0", "--no-scene").wait_ready()
    first.stop()
    store = first.data_dir / "telemetry.duckdb"
    store.write_bytes(b"this is no database" * 100)
    second = start_twin("--past", "0", "--no-scene", data_dir=first.data_dir)
    code = second.ended(limit_s=60)

    assert 1 == code
    assert "telemetry.duckdb" in second.said
    assert "Traceback" not in second.said
    assert store.read_bytes().startswith(b"this is no database")


def test_a_killed_scene_is_said_and_comes_back_to_the_desired_state(start_twin: Start) -> None:
    twin = start_twin("--past", "0").wait_ready()
    twin.wait_for(lambda: twin.get("/v1/health")["sim_time_s"] > 3)
    change = twin.post(
        "/v1/changes", {"actions": [{"entity": "cell-4-1", "attribute": "digitalTilt", "value": 40}]}
    ).json()
    twin.post(f"/v1/changes/{change['id']}/approve", {})
    assert twin.wait_change(change["id"])["state"] == "committed"

    os.kill(twin.scene_pid(), signal.SIGSTOP)  # hung first: heartbeats are missed, then it dies
    os.kill(twin.scene_pid(), signal.SIGKILL)
    twin.wait_for(lambda: not twin.get("/v1/health")["scenes"][0]["connected"], every_s=0.05)
    answer = twin.ask("What is the load of cell 4-1?")
    assert answer["status"] == "answered"
    assert answer["as_of"]

    twin.wait_for(lambda: twin.get("/v1/health")["scenes"][0]["live"])
    assert twin.get("/v1/health")["scenes"][0]["restarts"] == 1
    assert 40 == twin.get("/v1/entities/cell-4-1")["attributes"]["digitalTilt"]
    assert not [a for a in twin.get("/v1/alarms", active=True)["items"] if "drift" in a["specificProblem"]]


def test_sigkill_leaves_no_orphan_and_a_whole_journal(start_twin: Start) -> None:
    twin = start_twin("--past", "0").wait_ready()
    made = [
        twin.post(
            "/v1/changes", {"actions": [{"entity": f"cell-{n}-1", "attribute": "digitalTilt", "value": 33}]}
        ).json()["id"]
        for n in range(1, 6)
    ]
    offspring = children(twin.process.pid)
    assert offspring
    twin.kill()

    assert [] == wait_gone(offspring)
    again = start_twin("--past", "0", data_dir=twin.data_dir).wait_ready()
    assert set(made) <= {c["id"] for c in again.get("/v1/changes", limit=500)["items"]}
    verified = again.cli("journal", "verify", "--data-dir", str(twin.data_dir))
    assert (0, True) == (verified.returncode, "whole" in verified.stdout)


def test_a_change_under_way_is_ended_exactly_once_by_the_next_start(start_twin: Start) -> None:
    slow = {"TWIN_APPROVAL__VERIFY_S": "600"}
    twin = start_twin("--past", "0", env=slow).wait_ready()
    twin.wait_for(lambda: twin.get("/v1/health")["sim_time_s"] > 3)
    old = twin.get("/v1/entities/cell-6-1")["attributes"]["digitalTilt"]
    change = twin.post(
        "/v1/changes", {"actions": [{"entity": "cell-6-1", "attribute": "digitalTilt", "value": 20}]}
    ).json()
    twin.post(f"/v1/changes/{change['id']}/approve", {})
    twin.wait_for(lambda: twin.get(f"/v1/changes/{change['id']}")["state"] == "verifying")
    twin.kill()

    again = start_twin("--past", "0", data_dir=twin.data_dir).wait_ready()
    assert "rolled_back" == again.get(f"/v1/changes/{change['id']}")["state"]
    assert old == again.get("/v1/entities/cell-6-1")["attributes"]["digitalTilt"]
    with sqlite3.connect(f"file:{twin.data_dir / 'journal.sqlite'}?mode=ro", uri=True) as journal:
        rows = journal.execute("SELECT fact FROM entry WHERE kind = 'change'").fetchall()
    journal.close()
    assert 1 == sum('"rolled_back"' in fact for (fact,) in rows)


def test_the_default_past_is_told_before_ready_and_can_be_asked(start_twin: Start) -> None:
    twin = start_twin().wait_ready()
    health = twin.get("/v1/health")
    day = twin.get("/v1/kpis", **{"entity": "cell-7-2", "kpi": "RRU.PrbTotDl", "from": "-24h", "granularity": 900})
    fortnight = twin.get(
        "/v1/kpis", **{"entity": "cell-7-2", "kpi": "RRU.PrbTotDl", "from": "-14d", "granularity": 900}
    )

    assert 1.0 == health["history"]["progress"]
    assert len(day["points"]) >= 94
    assert len(fortnight["points"]) >= 1_330
    answer = twin.ask("What was the average load of cell 7-2 since yesterday evening?")
    assert "answered" == answer["status"], answer
