"""What the wheel holds, and what importing costs."""

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[2]


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_core_and_the_bridge_import_nothing_heavy() -> None:
    found = modules_after("import twin, bridge")

    assert not found & {"numpy", "torch", "grpc", "duckdb", "ladybug", "fastapi", "tokenizers", "transformers"}


def test_the_command_line_starts_without_the_heavy_parts() -> None:
    found = modules_after("import twin_app.cli")

    assert not found & {"duckdb", "ladybug", "grpc", "uvicorn", "fastapi", "tokenizers", "pyproj"}


def test_our_packages_are_the_plain_top_level_ones() -> None:
    include = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]

    assert include == ["twin*", "bridge*", "agent*", "knowledge_graph*"]
    assert not [p for p in ("proto", "docker", "tests") if (ROOT / p / "__init__.py").exists()]
    assert Path(__import__("bridge").__file__ or "").parent == ROOT / "bridge"


def test_the_base_install_names_no_torch() -> None:
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]

    assert not [n for n in needs if n.startswith(("torch", "transformers", "nvidia", "sentence"))]


def test_the_command_is_called_twin() -> None:
    (command,) = entry_points(group="console_scripts", name="twin")

    assert command.value == "twin_app.cli:main"
