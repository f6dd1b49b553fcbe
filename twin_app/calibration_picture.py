"""The calibration picture: our curves over those of the 3GPP campaign, one PNG, drawn with Pillow alone.

Colours are told apart with any colour vision (Okabe and Ito).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from twin.radio.calibration import Curve

_PAPER, _INK, _SOFT, _LINE = (255, 255, 255), (33, 37, 41), (108, 117, 125), (222, 226, 230)
_COLOURS = ((0, 114, 178), (213, 94, 0), (90, 90, 90))
_BANDS = ((205, 226, 240), (248, 222, 200), (224, 224, 224))
_LAYOUTS = {"uma": "UMa, 500 m between sites", "umi": "UMi, 200 m between sites", "inh": "InH, office of 120 x 50 m"}
_TITLES = ("Coupling loss: share of users with more", "Geometry: share of users with less")
_SCALE = 2
"""Everything is drawn twice as large and reduced, for smooth edges."""
_PANEL_W, _PANEL_H, _LEFT, _TOP = 430, 300, 80, 150


def draw_calibration(results: Mapping[str, Sequence[Curve]], path: Path) -> None:
    """Write the curves of all given cases; one row of panels for each layout.

    Args:
        results: Curves by case (``uma-6``).
        path: PNG to write.
    """
    layouts = [layout for layout in _LAYOUTS if any(name.startswith(layout) for name in results)]
    carriers = sorted({int(name.rpartition("-")[2]) for name in results})
    width, height = _LEFT + 2 * (_PANEL_W + 90), _TOP + len(layouts) * (_PANEL_H + 90)
    image = Image.new("RGB", (width * _SCALE, height * _SCALE), _PAPER)
    page = _Page(ImageDraw.Draw(image))
    page.text(_LEFT, 24, "3GPP large-scale calibration (TR 38.901 section 7.8.1)", size=24)
    page.text(_LEFT, 60, "Line: this program. Dots: median of the companies in R1-165974. Band: 8 in 10 companies.")
    for number, ghz in enumerate(carriers):
        page.line([(_LEFT + 100 * number, 96), (_LEFT + 100 * number + 26, 96)], fill=_COLOURS[number], width=3)
        page.text(_LEFT + 100 * number + 34, 96, f"{ghz} GHz", anchor="lm")
    for row, layout in enumerate(layouts):
        for column, title in enumerate(_TITLES):
            curves = {ghz: results[f"{layout}-{ghz}"][column] for ghz in carriers if f"{layout}-{ghz}" in results}
            left, top = _LEFT + column * (_PANEL_W + 90), _TOP + row * (_PANEL_H + 90)
            page.text(left, top - 24, f"{_LAYOUTS[layout]}. {title}", size=14)
            page.panel(left, top, [(carriers.index(ghz), curve) for ghz, curve in curves.items()])
    image.resize((width, height), Image.Resampling.LANCZOS).save(path, format="PNG", optimize=True)


class _Page:
    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self._draw = draw

    def text(
        self, x: float, y: float, text: str, *, size: int = 13, fill: tuple[int, int, int] = _INK, anchor: str = "la"
    ) -> None:
        font = ImageFont.load_default(size * _SCALE)
        self._draw.text((x * _SCALE, y * _SCALE), text, font=font, fill=fill, anchor=anchor)

    def line(self, places: Sequence[tuple[float, float]], *, fill: tuple[int, int, int], width: int = 1) -> None:
        self._draw.line([(x * _SCALE, y * _SCALE) for x, y in places], fill=fill, width=width * _SCALE, joint="curve")

    def panel(self, left: float, top: float, curves: Sequence[tuple[int, Curve]]) -> None:
        values = np.array([[curve.found_db, curve.reference_db] for _, curve in curves])
        low, high = 10.0 * np.floor(values.min() / 10.0 - 0.2), 10.0 * np.ceil(values.max() / 10.0 + 0.2)

        def at(value_db: float, percent: float) -> tuple[float, float]:
            return left + (value_db - low) / (high - low) * _PANEL_W, top + (1.0 - percent / 100.0) * _PANEL_H

        for percent in range(0, 101, 20):
            self.line([at(low, percent), at(high, percent)], fill=_LINE)
            self.text(left - 8, at(low, percent)[1], f"{percent} %", fill=_SOFT, anchor="rm")
        for value in np.arange(low, high + 1.0, 10.0 if high - low <= 90.0 else 20.0):
            self.line([at(value, 0), at(value, 100)], fill=_LINE)
            self.text(at(value, 0)[0], top + _PANEL_H + 10, f"{value:.0f} dB", fill=_SOFT, anchor="ma")
        for number, curve in curves:
            if curve.companies_db:
                ring = [at(low_db, p) for p, (low_db, _) in zip(curve.percent, curve.companies_db, strict=True)]
                back = [at(high_db, p) for p, (_, high_db) in zip(curve.percent, curve.companies_db, strict=True)]
                around = [(x * _SCALE, y * _SCALE) for x, y in ring + back[::-1]]
                self._draw.polygon(around, fill=_BANDS[number])
        for number, curve in curves:
            self.line([at(*place) for place in zip(curve.found_db, curve.percent, strict=True)], fill=_COLOURS[number])
            for place in zip(curve.reference_db, curve.percent, strict=True):
                x, y = (value * _SCALE for value in at(*place))
                dot = 3 * _SCALE
                self._draw.ellipse((x - dot, y - dot, x + dot, y + dot), outline=_COLOURS[number], width=_SCALE)
