"""Writes the tables of docs/benchmarks.md from the rows that the benchmarks left in docs/bench/NAME.json.

Usage: python tools/bench_docs.py [--check]; with --check it only compares and returns 1 when the page is out of date.
Refresh a table with: python tests/bench/NAME.py --json docs/bench/NAME.json
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
COLUMNS = ("name", "value", "unit", "baseline", "ratio", "spread", "n")


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table, figures with four digits."""
    head = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    return "\n".join(head + ["| " + " | ".join(_said(row[c]) for c in COLUMNS) + " |" for row in rows])


def _said(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def filled(page: str) -> str:
    """Return the page with every `figures` block made anew for which there are rows."""

    def block(match: re.Match[str]) -> str:
        path = DOCS / "bench" / f"{match[1]}.json"
        if not path.exists():
            return match[0]
        rows = json.loads(path.read_text(encoding="utf-8"))
        return f"<!-- figures:{match[1]} -->\n{table(rows)}\n<!-- /figures:{match[1]} -->"

    return re.sub(r"<!-- figures:(\w+) -->.*?<!-- /figures:\1 -->", block, page, flags=re.DOTALL)


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    path = DOCS / "benchmarks.md"
    page = path.read_text(encoding="utf-8")
    if "--check" in arguments:
        return int(page != filled(page))
    path.write_text(filled(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
