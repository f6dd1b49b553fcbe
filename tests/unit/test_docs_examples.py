"""The examples are run, or at least read by the shell and held against the interface."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ASK = ROOT / "examples/ask.sh"


def test_random_policy_runs():
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/random_policy.py"), "3"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rates = [float(rate) for rate in re.findall(r"users get ([\d.]+) Mbit/s", done.stdout)]
    assert len(rates) == 3
    assert min(rates) > 0


@pytest.mark.skipif(shutil.which("sh") is None, reason="no POSIX shell")
def test_ask_is_valid_shell():
    done = subprocess.run(["sh", "-n", str(ASK)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("sh") is None or shutil.which("curl") is None, reason="no POSIX shell or no curl")
def test_ask_fails_when_nobody_answers():
    done = subprocess.run(["sh", str(ASK), "http://127.0.0.1:9"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout


def test_ask_uses_routes_that_exist():
    from twin_app.api import routes_act, routes_read  # needs the web parts

    routes = [route.path for router in (routes_read.router, routes_act.router) for route in router.routes]
    patterns = [re.compile(re.sub(r"\{\w+\}", "[^/]+", route)) for route in routes]
    used = [re.split(r"[?\"' ]", path)[0] for path in re.findall(r"/v1/[^\s\"']+", ASK.read_text(encoding="utf-8"))]
    assert used
    assert [path for path in used if not any(pattern.fullmatch(path) for pattern in patterns)] == []
