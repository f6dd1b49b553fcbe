"""The walk of the README: break a cell, find it, ask why, mend it, prove what the repair did."""

from collections.abc import Callable

import pytest

from tests.e2e.running_twin import RunningTwin

CELL = "cell-7-2"


@pytest.mark.timeout(600)
def test_the_walk_of_the_readme(start_twin: Callable[..., RunningTwin]) -> None:
    # Four times as fast: every window of the walk is simulated time, and the alarm clears two minutes after a change.
    twin = start_twin("--speed", "4", env={"TWIN_APPROVAL__VERIFY_S": "8"}).wait_ready()
    assert twin.get("/v1/alarms", active=True)["items"] == []
    assert twin.cli("fault", "inject", "power-loss", "--cell", CELL, "--severity", "1").returncode == 0

    def alarm_of_cell() -> dict | None:
        return next((a for a in twin.get("/v1/alarms", active=True)["items"] if a["entity"] == CELL), None)

    alarm = twin.wait_for(alarm_of_cell, limit_s=150)
    assert alarm["evidence"]
    assert {"probableCause", "perceivedSeverity", "eventType", "specificProblem", "raised_at"} <= alarm.keys()

    found = twin.ask("Which alarms are active?")
    assert (found["status"], CELL in found["text"]) == ("answered", True)
    why = twin.ask("Why is cell 7-2 in alarm?")
    assert (why["status"], "transmit path" in why["text"]) == ("answered", True)
    assert "power-loss" not in why["text"]  # the label is the instructor's
    fix = twin.ask("Raise the power of cell 7-2 by 3 dB")
    assert fix["status"] == "proposed"
    approved = twin.cli("approve", fix["change_id"], "--yes")
    assert approved.returncode == 0, approved.stdout + approved.stderr
    proof = twin.ask("What did the last change do?")
    assert (proof["status"], fix["change_id"] in proof["text"]) == ("answered", True)
    measured = {e["kpi"] for e in proof["evidence"] if e["entity"] == CELL}
    assert "RRC.ConnMean" in measured  # RSRP and SINR have no mean when nobody is left to measure

    assert twin.cli("fault", "clear", "power-loss", "--cell", CELL).returncode == 0
    twin.wait_for(lambda: alarm_of_cell() is None, limit_s=240)
