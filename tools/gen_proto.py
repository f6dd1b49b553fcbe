"""Writes the Python of `bridge.v1` from `proto/`; its output is committed under `bridge/v1/`.

The compiler lives in an environment of its own, because its pins are old on purpose (the output of newer
compilers demands protobuf >= 7):

    python -m venv .venv-gen
    .venv-gen/bin/pip install --group gen
    .venv-gen/bin/python tools/gen_proto.py
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
OUTPUT = ROOT / "bridge" / "v1"
HOW_TO_INSTALL = "install the dependency group `gen` (`pip install --group gen`) and run this with that Python"


def compile_contract(*, output_root: Path) -> list[Path]:
    """Compile every file of the contract below `output_root` and return what was written.

    Raises:
        SystemExit: The compiler is missing or refused the contract.
    """
    if importlib.util.find_spec("grpc_tools") is None:
        sys.exit(f"grpc_tools is not installed; {HOW_TO_INSTALL}")
    plugins = {name: Path(sys.executable).parent / f"protoc-gen-{name}" for name in ("mypy", "mypy_grpc")}
    for plugin in plugins.values():
        if not plugin.exists():
            sys.exit(f"`{plugin.name}` is not installed; {HOW_TO_INSTALL}")
    files = sorted(PROTO.rglob("*.proto"))
    with_service = [path for path in files if "\nservice " in path.read_text(encoding="utf-8")]
    base = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTO}"]
    messages = [
        f"--plugin=protoc-gen-mypy={plugins['mypy']}",
        f"--python_out={output_root}",
        f"--mypy_out=quiet:{output_root}",
    ]
    services = [
        f"--plugin=protoc-gen-mypy_grpc={plugins['mypy_grpc']}",
        f"--grpc_python_out={output_root}",
        f"--mypy_grpc_out=quiet:{output_root}",
    ]
    subprocess.run([*base, *messages, *map(str, files)], check=True)
    subprocess.run([*base, *services, *map(str, with_service)], check=True)
    return sorted(output_root.rglob("*_pb2*.py*"))


def main() -> None:
    """Replace the committed output."""
    for stale in OUTPUT.glob("*_pb2*.py*"):
        stale.unlink()
    for path in compile_contract(output_root=ROOT):
        if OUTPUT in path.parents:
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
