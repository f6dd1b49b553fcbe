"""One true line: a question answered from live telemetry, a change pushed into the scene and seen back."""

import json
import statistics
from typing import Any

import httpx

from tests.e2e.running_twin import RunningTwin, read_events


def latest(twin: RunningTwin, entity: str, kpi: str, *, start: str = "-10s") -> list[float]:
    series = twin.get("/v1/kpis", **{"entity": entity, "kpi": kpi, "from": start, "granularity": 1})
    return [value for _, value in series["points"] if value is not None]


def test_a_question_is_answered_from_live_telemetry(twin: RunningTwin) -> None:
    twin.wait_for(lambda: len(latest(twin, "cell-7-2", "RRU.PrbTotDl")) >= 5)
    answer = twin.ask("What is the PRB load of cell 7-2 in the last minute?")

    assert answer["status"] == "answered"
    assert [call["tool"] for call in answer["tool_calls"]] == ["kpi_of_entity"]
    fact = next(
        e for e in answer["evidence"] if e["kpi"] == "RRU.PrbTotDl" and e["entity"] == "cell-7-2" and "value" in e
    )
    stored = twin.get(
        "/v1/kpis", **{"entity": "cell-7-2", "kpi": "RRU.PrbTotDl", "from": fact["from"], "to": fact["to"]}
    )
    values = [v for _, v in stored["points"] if v is not None]
    assert abs(fact["value"] - statistics.fmean(values)) <= 0.05 * max(1.0, statistics.fmean(values))
    assert fact["unit"] == "%"
    assert fact["id"] in {e["id"] for e in answer["evidence"]}


def test_the_same_answer_comes_as_a_stream(twin: RunningTwin) -> None:
    with twin.http() as client:
        response = client.post(
            "/v1/ask", json={"text": "Which cells are neighbours of 7-2?"}, headers={"Accept": "text/event-stream"}
        )
    events = read_events(response.text)

    assert response.headers["content-type"].startswith("text/event-stream")
    assert events[-1][0] == "result"
    assert "answered" == events[-1][1]["status"]
    assert {"tool"} <= {name for name, _ in events}


def propose(
    twin: RunningTwin, attribute: str, value: Any, *, entity: str = "cell-7-2", key: str = ""
) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    body = {"reason": "test", "actions": [{"entity": entity, "attribute": attribute, "value": value}]}
    return twin.post("/v1/changes", body, **headers)


def still_ues(twin: RunningTwin) -> dict[str, list[str]]:
    """Phones that stay where they are, by the cell that serves them."""
    rows, cursor = [], None
    while True:
        page = twin.get("/v1/entities", limit=500, **({"cursor": cursor} if cursor else {}))
        rows += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    still = [row["id"] for row in rows if row["properties"].get("mobility") == "still"][:100]
    served: dict[str, list[str]] = {}
    for ue in still:
        if (found := latest(twin, ue, "vsData6gServingCell")) and found[-1] >= 0:
            served.setdefault(rows[int(found[-1])]["id"], []).append(ue)  # the inventory is listed by dense index
    return served


def rsrp_dbm(twin: RunningTwin, ues: list[str]) -> list[float]:
    return [latest(twin, ue, "RF.serving.RSRP", start="-3s")[-1] for ue in ues]


def test_a_tilt_change_is_observed_in_the_scene_and_moves_rsrp(twin: RunningTwin) -> None:
    twin.wait_for(lambda: len(latest(twin, "cell-7-2", "vsData6gMeanSsRsrp")) >= 5)
    cell, ues = max(still_ues(twin).items(), key=lambda pair: len(pair[1]))
    before = rsrp_dbm(twin, ues)
    old = twin.get(f"/v1/entities/{cell}")["attributes"]["digitalTilt"]
    new = old + 80 if old <= 70 else old - 80

    proposed = propose(twin, "digitalTilt", new, entity=cell).json()
    assert ("proposed", old) == (proposed["state"], proposed["actions"][0]["old_value"])
    tried = twin.wait_tried(proposed["id"])
    assert "validated" == tried["state"]
    approval = {"digest": tried["digest"], "despite_shadow": True}  # a tilt of eight degrees may do harm
    approved = twin.post(f"/v1/changes/{proposed['id']}/approve", approval)
    assert approved.status_code == 200
    twin.wait_for(lambda: twin.get(f"/v1/changes/{proposed['id']}")["state"] == "verifying", every_s=0.05)
    twin.wait_for(lambda: statistics.median(_moved(before, rsrp_dbm(twin, ues))) > 1.0, limit_s=8)
    done = twin.wait_change(proposed["id"])

    assert done["state"] in {"committed", "rolled_back"}, done
    assert [{"entity": cell, "attribute": "digitalTilt", "value": new}] == done["observed"]
    assert {e["kpi"] for e in done["effects"] if e["entity"] == cell} >= {"vsData6gMeanSsRsrp", "DRB.UEThpDl"}
    assert done["applied_at"] < done["finished_at"]


def _moved(before: list[float], after: list[float]) -> list[float]:
    return [abs(b - a) for b, a in zip(before, after, strict=True)]


def test_an_undo_is_proposed_and_never_applies_by_itself(twin: RunningTwin) -> None:
    first = propose(twin, "configuredMaxTxPower", 12_589, entity="cell-12-1").json()
    twin.post(f"/v1/changes/{first['id']}/approve", {})
    assert twin.wait_change(first["id"])["state"] == "committed"

    answer = twin.ask("Undo the last change")
    undo = twin.wait_tried(answer["change_id"])

    assert ("proposed", "validated", first["id"]) == (answer["status"], undo["state"], undo["undoes"])
    assert 12_589 == twin.get("/v1/entities/cell-12-1")["attributes"]["configuredMaxTxPower"]
    twin.post(f"/v1/changes/{undo['id']}/approve", {"digest": undo["digest"]})
    assert twin.wait_change(undo["id"])["state"] == "committed"
    assert 12_589 != twin.get("/v1/entities/cell-12-1")["attributes"]["configuredMaxTxPower"]


def test_an_approval_is_single_use_and_bound_to_the_digest(twin: RunningTwin) -> None:
    proposed = propose(twin, "digitalTilt", 30, entity="cell-15-1").json()
    early = twin.post(f"/v1/changes/{proposed['id']}/approve", {"digest": proposed["digest"]})
    change = twin.wait_tried(proposed["id"])

    stale = twin.post(f"/v1/changes/{change['id']}/approve", {"digest": proposed["digest"]})
    wrong = twin.post(f"/v1/changes/{change['id']}/approve", {"digest": "0" * 64})
    right = twin.post(f"/v1/changes/{change['id']}/approve", {"digest": change["digest"]})
    again = twin.post(f"/v1/changes/{change['id']}/approve", {"digest": change["digest"]})
    twin.wait_change(change["id"])

    assert [409, 409, 409] == [early.status_code, stale.status_code, wrong.status_code]
    assert [200, 409] == [right.status_code, again.status_code]
    assert "DigestMismatch" in wrong.json()["type"]


def test_a_change_for_an_older_revision_is_refused(twin: RunningTwin) -> None:
    revision = twin.get("/v1/topology")["revision"]
    body = {"actions": [{"entity": "cell-3-1", "attribute": "digitalTilt", "value": 20}], "base_revision": revision - 1}

    assert 409 == twin.post("/v1/changes", body).status_code


def test_the_same_idempotency_key_gives_the_same_change(twin: RunningTwin) -> None:
    first = propose(twin, "digitalTilt", 20, entity="cell-16-1", key="k-1")
    same = propose(twin, "digitalTilt", 20, entity="cell-16-1", key="k-1")
    other = propose(twin, "digitalTilt", 21, entity="cell-16-1", key="k-1")

    assert (201, 201, first.json()["id"]) == (first.status_code, same.status_code, same.json()["id"])
    assert 422 == other.status_code


def test_a_rejected_change_stays_rejected(twin: RunningTwin) -> None:
    change = propose(twin, "digitalTilt", 25, entity="cell-17-1").json()
    rejected = twin.post(f"/v1/changes/{change['id']}/reject", {"reason": "not now"}).json()

    assert ("rejected", "not now") == (rejected["state"], rejected["outcome"])
    assert 409 == twin.post(f"/v1/changes/{change['id']}/approve", {}).status_code


def test_a_relative_command_proposes_the_absolute_value(twin: RunningTwin) -> None:
    old = twin.get("/v1/entities/cell-9-2")["attributes"]["digitalTilt"]
    answer = twin.ask("Tilt cell 9-2 down by two degrees")

    assert answer["status"] == "proposed", answer
    (action,) = twin.get(f"/v1/changes/{answer['change_id']}")["actions"]
    assert ("digitalTilt", old + 20) == (action["attribute"], action["value"])


def test_what_would_happen_and_do_not_never_propose(twin: RunningTwin) -> None:
    before = len(twin.get("/v1/changes", limit=500)["items"])
    for text in (
        "What would happen if I tilted cell 9-2 down by two degrees?",
        "Don't lower the power of cell 9-2",
        "Never lock cell 9-2 please",
    ):
        assert twin.ask(text)["status"] != "proposed", text

    assert before == len(twin.get("/v1/changes", limit=500)["items"])


def test_the_command_line_asks_approves_and_lists(twin: RunningTwin) -> None:
    asked = twin.cli("ask", "--json", "Set the tilt of cell 18-1 to 9 degrees")
    change_id = json.loads(asked.stdout)["change_id"]
    refused = twin.cli("approve", change_id, stdin="n\n")
    approved = twin.cli("approve", change_id, "--yes")
    listed = twin.cli("changes")

    assert (0, 1, 0, 0) == (asked.returncode, refused.returncode, approved.returncode, listed.returncode)
    assert "electrical tilt of cell-18-1" in refused.stdout
    assert "committed" in approved.stdout
    assert change_id in listed.stdout
