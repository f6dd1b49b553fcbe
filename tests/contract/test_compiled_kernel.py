"""The compiled kernel comes beside the running scene, once for all, and never holds anybody up."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.bench._city import CIVIL, city
from twin import kernels
from twin.topology import topology_of
from twin_app.compiled_kernel import CHOICE, FOLDER, KernelChoice
from twin_app.scene_world import SceneWorld

LIMIT_S = 240.0
pytestmark = pytest.mark.usefixtures("auto")


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "kernels"


@pytest.fixture
def auto(monkeypatch, folder):
    monkeypatch.setenv(CHOICE, "auto")
    monkeypatch.setenv(FOLDER, str(folder))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)


def test_numpy_serves_until_numba_is_compiled_and_the_scene_changes_over(folder):
    choice = KernelChoice()
    try:
        scenario = city(cells=3, ues=20)
        world = SceneWorld(
            scenario,
            topology_of(scenario),
            CIVIL,
            scene_id="main",
            seed=1,
            epoch=1,
            sim_time_s=0.0,
            speed=1.0,
            choice=choice,
        )
        first = choice.kernel.name
        deadline = time.monotonic() + LIMIT_S
        better = None
        while better is None and time.monotonic() < deadline:
            world.advance()
            time.sleep(0.2)
            better = choice.better()
    finally:
        choice.close()
    assert ("numpy", "numba") == (first, None if better is None else better.name)
    assert kernels.is_compiled(folder)
    world.network.use(better)
    world.network.step(0.1)
    assert np.isfinite(world.network.telemetry(scene_id="main", epoch=1, seq=1).values).any()
    assert "numba" == KernelChoice().kernel.name  # the next process has it at once


def test_a_named_kernel_is_taken(monkeypatch):
    monkeypatch.setenv(CHOICE, "numpy")
    assert "numpy" == KernelChoice().kernel.name


def test_the_compiler_ends_with_the_process_that_asked_for_it(tmp_path):
    program = """
import time
from twin_app.compiled_kernel import KernelChoice
choice = KernelChoice()
print(choice._compiler.pid, flush=True)
time.sleep(60)
"""
    environment = {**os.environ, CHOICE: "auto", FOLDER: str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    compiler = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline and _lives(compiler):
        time.sleep(0.1)
    assert not _lives(compiler)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
