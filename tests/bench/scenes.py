"""What one more scene costs: ``python tests/bench/scenes.py [--quick] [--json FILE]``.

Memory is the proportional share (PSS, Linux) of the server and its children, 10 s after the scene is live. Baseline
of a scene added to a running twin: a twin of its own with one scene, in the same run. Baseline of asking among several
scenes: asking the same twin while it had one.
"""

import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench._report import Rows, arguments
from tests.e2e.running_twin import RunningTwin, children

SETTLE_S = 10.0
QUESTIONS = 30


def memory_mb(twin: RunningTwin) -> float:
    """Return the proportional memory of the server and its children."""
    time.sleep(SETTLE_S)
    total_kb = 0
    for pid in (twin.process.pid, *children(twin.process.pid)):
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        total_kb += int(found[1]) if found else 0
    return total_kb / 1024


def answer_ms(twin: RunningTwin, scene: str) -> list[float]:
    took = []
    with twin.http() as client:
        for _ in range(QUESTIONS):
            began = time.perf_counter()
            answer = client.post("/v1/ask", params={"scene": scene}, json={"text": "What is the load of cell 7-2?"})
            took.append(1_000 * (time.perf_counter() - began))
            if answer.json()["status"] != "answered":
                raise SystemExit(f"not answered: {answer.text}")
    return took


def main() -> None:
    wanted = arguments(__doc__ or "").parse_args()
    more = 1 if wanted.quick else 4
    rows = Rows(packages=("numpy", "grpcio", "duckdb", "ladybug"))
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        twin = RunningTwin(Path(folder), "--past", "0").wait_ready()
        own_s, own_mb = time.perf_counter() - began, memory_mb(twin)
        alone_ms = answer_ms(twin, "main")
        live_s, added_mb, before_mb = [], [], own_mb
        for number in range(more):
            scene = f"more-{number}"
            began = time.perf_counter()
            made = twin.post("/v1/scenes", {"id": scene, "past": "0"})
            if made.status_code != 201:
                raise SystemExit(f"not added: {made.text}")
            twin.wait_for(lambda s=scene: next(r for r in twin.get("/v1/scenes")["items"] if r["id"] == s)["live"])
            live_s.append(time.perf_counter() - began)
            now_mb = memory_mb(twin)
            added_mb.append(now_mb - before_mb)
            before_mb = now_mb
        rows.add("scenes.one_more.memory", added_mb, "MB", baseline=[own_mb])
        rows.add("scenes.one_more.live_after", live_s, "s", baseline=[own_s])
        rows.add(f"scenes.ask_among_{more + 1}", answer_ms(twin, f"more-{more - 1}"), "ms", baseline=alone_ms)
        twin.stop()
    rows.write(wanted.json)


if __name__ == "__main__":
    main()
