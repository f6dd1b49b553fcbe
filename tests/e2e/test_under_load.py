"""The event loop stays free while a thousand entities stream at 10 Hz and ten people ask."""

import threading
from collections.abc import Callable
from pathlib import Path

from tests.e2e.running_twin import RunningTwin

ASKERS = 10
QUESTIONS = (
    "What is the load of cell 7-2?",
    "Which three cells have the lowest SINR in the last minute?",
    "Which cells are neighbours of 7-2?",
    "Compare the throughput of cell 7-2 and cell 8-1",
)


def test_the_loop_lag_stays_below_twenty_milliseconds(start_twin: Callable[..., RunningTwin], tmp_path: Path) -> None:
    scenario = tmp_path / "crowded.yaml"
    scenario.write_text("seed: 1\nues: 1000\n")
    twin = start_twin("--scenario", str(scenario), "--past", "0").wait_ready()
    twin.wait_for(lambda: twin.get("/v1/health")["sim_time_s"] > 15)
    twin.ask(QUESTIONS[0])
    done: list[str] = []

    def ask_on() -> None:
        for _ in range(3):
            done.extend(twin.ask(question)["status"] for question in QUESTIONS)

    people = [threading.Thread(target=ask_on) for _ in range(ASKERS)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    health = twin.get("/v1/health")

    assert done == ["answered"] * ASKERS * 3 * len(QUESTIONS)
    assert health["loop_lag_ms"]["p99"] <= 20.0
    assert health["speed_actual"] > 0.9
    assert set(health["dropped"].values()) == {0}
