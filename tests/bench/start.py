"""From `twin up` to the first answered question: ``python tests/bench/start.py [--quick] [--json FILE]``.

Baseline of a start: a Python that only imports the third-party packages of the base install, started in turn with it.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench._report import Rows, arguments
from tests.e2e.running_twin import RunningTwin

ROOT = Path(__file__).resolve().parents[2]
THIRD_PARTY = "import numpy, grpc, fastapi, uvicorn, duckdb, ladybug, tokenizers, safetensors, pydantic_settings, httpx"
QUESTION = "What is the load of cell 7-2?"


def seconds_of(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return time.perf_counter() - began


def start_and_ask(*arguments: str) -> tuple[float, float]:
    """Return seconds to `ready` and to the first answer."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        twin = RunningTwin(Path(folder), *arguments).wait_ready()
        ready_s = time.perf_counter() - began
        answer = twin.ask(QUESTION)
        answered_s = time.perf_counter() - began
        twin.stop()
    if answer["status"] != "answered":
        raise SystemExit(f"not answered: {answer}")
    return ready_s, answered_s


def main() -> None:
    wanted = arguments(__doc__ or "").parse_args()
    rounds = 1 if wanted.quick else 5
    rows = Rows(packages=("numpy", "grpcio", "duckdb", "ladybug"))
    bare = [seconds_of(THIRD_PARTY) for _ in range(rounds)]
    for name, options in (("past_14d", ()), ("past_0", ("--past", "0"))):
        times = [start_and_ask(*options) for _ in range(rounds)]
        rows.add(f"start.{name}.ready", [ready for ready, _ in times], "s", baseline=bare)
        rows.add(f"start.{name}.first_answer", [answer for _, answer in times], "s", baseline=bare)
    empty = [seconds_of("pass") for _ in range(7)]
    imports = [seconds_of("import twin, bridge") for _ in range(7)]
    rows.add("start.python_that_imports_twin_and_bridge", imports, "s", baseline=empty)
    rows.write(wanted.json)


if __name__ == "__main__":
    main()
