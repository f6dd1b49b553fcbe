"""Draw docs/images/scaling.svg: how fast and how large the network is by its size, from docs/bench/radio.json.

Usage: `python tools/draw_scaling.py`, after `python tests/bench/radio.py --scaling --json docs/bench/radio.json`.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DOCS = Path(__file__).resolve().parent.parent / "docs"
PICTURE = DOCS / "images" / "scaling.svg"
WIDTH, HEIGHT, LEFT, TOP, PANEL_W, PANEL_H = 900, 380, 70, 50, 340, 260
GAP = 110
LIVE_STEPS_PER_S = 10
"""What a live scene needs."""


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def points_of(rows: Sequence[dict[str, object]]) -> list[tuple[int, int, float, float]]:
    """Return (cells, UEs, steps per CPU second, megabytes) of the scaling rows, by size."""
    figure = {str(row["name"]): float(str(row["value"])) for row in rows}
    sizes = {name: re.fullmatch(r"scaling_(\d+)x(\d+)", name) for name in figure}
    return sorted(
        (int(size[1]), int(size[2]), figure[name], figure[f"{name}_memory"]) for name, size in sizes.items() if size
    )


def _panel(left: int, title: str, points: Sequence[tuple[int, float]], mark: float | None = None) -> str:
    """Return one curve on logarithmic axes whose ends are powers of ten."""
    across = _axis([float(cells) for cells, _ in points], left, PANEL_W)
    up = _axis([value for _, value in points] + ([] if mark is None else [mark]), TOP + PANEL_H, -PANEL_H)
    parts = [
        f'<text x="{left}" y="{TOP - 16}" font-weight="bold">{title}</text>',
        f'<rect x="{left}" y="{TOP}" width="{PANEL_W}" height="{PANEL_H}" fill="none" stroke="#888"/>',
        f'<text x="{left + PANEL_W / 2}" y="{TOP + PANEL_H + 40}" text-anchor="middle">cells (50 UEs each)</text>',
    ]
    parts += [
        f'<line x1="{left}" x2="{left + PANEL_W}" y1="{up(tick):.1f}" y2="{up(tick):.1f}" stroke="#ddd"/>'
        f'<text x="{left - 8}" y="{up(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in _decades([value for _, value in points] + ([] if mark is None else [mark]))
    ]
    if mark is not None:
        parts.append(
            f'<line x1="{left}" x2="{left + PANEL_W}" y1="{up(mark):.1f}" y2="{up(mark):.1f}" stroke="#b33"'
            f' stroke-dasharray="5 4"/><text x="{left + 6}" y="{up(mark) - 5:.1f}" fill="#b33">'
            f"live: {mark:g} a second</text>"
        )
    spots = [(across(cells), up(value)) for cells, value in points]
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    parts.append(f'<polyline points="{way}" fill="none" stroke="#246" stroke-width="2"/>')
    for (x, y), (cells, value) in zip(spots, points, strict=True):
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#246"/>'
            f'<text x="{x:.1f}" y="{y - 9:.1f}" text-anchor="middle" fill="#246">{_short(value)}</text>'
            f'<text x="{x:.1f}" y="{TOP + PANEL_H + 18}" text-anchor="middle">{cells:,}</text>'
        )
    return "\n".join(parts)


def _decades(values: Sequence[float]) -> list[float]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _axis(values: Sequence[float], start: float, length: float) -> Callable[[float], float]:
    ends = _decades(values)
    low, high = math.log10(ends[0]), math.log10(ends[-1])
    return lambda value: start + length * (math.log10(value) - low) / (high - low)


def main() -> None:
    """Write the picture."""
    points = points_of(json.loads((DOCS / "bench" / "radio.json").read_text(encoding="utf-8")))
    speed = _panel(LEFT, "whole steps per CPU second", [(c, s) for c, _, s, _ in points], LIVE_STEPS_PER_S)
    memory = _panel(LEFT + PANEL_W + GAP, "memory, MB", [(c, mb) for c, _, _, mb in points])
    PICTURE.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        f' font-size="12">\n<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n{speed}\n{memory}\n</svg>\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
