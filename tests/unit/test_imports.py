"""Which third-party packages each room of the house may import; anything else is a decision to be made here."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"twin", "bridge", "agent", "knowledge_graph", "twin_app"}
ALLOWED = {
    "twin": {"numba", "numpy"},
    "bridge": {"numpy", "grpc", "google", "structlog", "websockets"},
    "knowledge_graph": {"ladybug"},
    "agent": {"numpy", "pydantic", "safetensors", "structlog", "tokenizers"},
    "twin_app": {
        "cryptography", "duckdb", "fastapi", "grpc", "httpx", "numpy", "PIL", "platformdirs", "pydantic",
        "pydantic_settings", "pyproj", "rich", "sionna", "starlette", "structlog", "typer", "uvicorn", "yaml",
    },
}  # fmt: skip


def third_party_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - OURS


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    strangers = {
        path.relative_to(ROOT).as_posix(): extra
        for path in (ROOT / room).rglob("*.py")
        if (extra := third_party_of(path) - ALLOWED[room])
    }

    assert strangers == {}


def test_only_the_compiled_kernel_knows_its_compiler() -> None:
    users = {path.name for path in (ROOT / "twin").rglob("*.py") if "numba" in third_party_of(path)}

    assert users
    assert all(name.startswith("numba_") for name in users)


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_what_is_allowed_is_also_used(room: str) -> None:
    used = set().union(*(third_party_of(path) for path in (ROOT / room).rglob("*.py")))

    assert ALLOWED[room] <= used
