"""The coverage picture: SINR over the city as a map, and how it is distributed, in one PNG.

Drawn with Pillow alone. Colours run from dark blue to yellow (cividis-like, readable with any colour vision and in
grey): no red and green.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from twin.network import Network
    from twin.radio.coverage import SinrMap
    from twin.scenario import Scenario

LOW_DB, HIGH_DB = -10.0, 30.0
_STOPS = np.array(
    [[0, 32, 77], [56, 76, 109], [110, 111, 115], [156, 150, 118], [206, 190, 96], [255, 234, 70]], dtype=np.float64
)
"""Six points of the cividis scale (Nunez, Anderton, Renslow, PLoS ONE 13(7), 2018)."""
_PAPER, _INK, _SOFT, _LINE = (255, 255, 255), (33, 37, 41), (108, 117, 125), (222, 226, 230)
_NO_SIGNAL = (240, 240, 240)
_CURVE = (0, 90, 160)
MAP_PX = 860
_SCALE = 2
"""Everything is drawn twice as large and reduced, for smooth edges."""


def draw_coverage(network: Network, path: Path, *, resolution_m: float = 20.0) -> None:
    """Write the SINR map at the present load beside its distribution.

    Args:
        network: The network as it is now.
        path: PNG to write.
        resolution_m: Edge of a map pixel.

    Raises:
        OutOfRange: The resolution does not fit the area.
    """
    raster = network.sinr_map(resolution_m=resolution_m)
    scenario = network.scenario
    when = network.civil.at(network.sim_time_s).strftime("%Y-%m-%d %H:%M")
    _Picture(scenario, raster, when=when).save(path)


def colour(sinr_db: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return ``[..., 3] uint8`` colours; light grey where there is no signal."""
    place = np.clip((np.nan_to_num(sinr_db, nan=LOW_DB) - LOW_DB) / (HIGH_DB - LOW_DB), 0.0, 1.0) * (len(_STOPS) - 1)
    channels = [np.interp(place, np.arange(len(_STOPS)), _STOPS[:, channel]) for channel in range(3)]
    rgb = np.stack(channels, axis=-1)
    return np.where(np.isfinite(sinr_db)[..., None], rgb, _NO_SIGNAL).astype(np.uint8)


def quantiles_db(sinr_db: NDArray[np.float32]) -> tuple[float, float, float]:
    """Return the 5 %, median and 95 % values of a map, NaN pixels left out."""
    known = sinr_db[np.isfinite(sinr_db)]
    if not len(known):
        return math.nan, math.nan, math.nan
    low, middle, high = (float(value) for value in np.percentile(known, [5, 50, 95]))
    return low, middle, high


class _Picture:
    def __init__(self, scenario: Scenario, raster: SinrMap, *, when: str) -> None:
        self._scenario, self._raster, self._when = scenario, raster, when
        west, south, east, north = scenario.extent_m
        self._metre = MAP_PX * _SCALE / max(east - west, north - south)
        self._map_w, self._map_h = round((east - west) * self._metre), round((north - south) * self._metre)
        self._left, self._top = 36 * _SCALE, 110 * _SCALE
        self._right = self._left + self._map_w + 150 * _SCALE
        self._plot_w, self._plot_h = 420 * _SCALE, min(420 * _SCALE, self._map_h)
        width = self._right + self._plot_w + 50 * _SCALE
        self._image = Image.new("RGB", (width, self._top + max(self._map_h, self._plot_h) + 76 * _SCALE), _PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def save(self, path: Path) -> None:
        self._title()
        self._map()
        self._scale_bar()
        self._legend()
        self._distribution()
        self._weakest()
        size = (self._image.width // _SCALE, self._image.height // _SCALE)
        self._image.resize(size, Image.Resampling.LANCZOS).save(path, format="PNG")

    def _text(
        self, x: float, y: float, text: str, *, size: int = 13, fill: tuple[int, int, int] = _INK, anchor: str = "la"
    ) -> None:
        self._draw.text((x, y), text, font=ImageFont.load_default(size * _SCALE), fill=fill, anchor=anchor)

    def _title(self) -> None:
        low, middle, high = quantiles_db(self._raster.sinr_db)
        self._text(self._left, 26 * _SCALE, f"{self._scenario.name}: downlink SINR at street level", size=24)
        cells, sites = len(self._scenario.cells), len(self._scenario.sites)
        self._text(
            self._left,
            64 * _SCALE,
            f"median {middle:.1f} dB   ·   5 % {low:.1f} dB   ·   95 % {high:.1f} dB   ·   {cells} cells on {sites}"
            f" sites   ·   load of {self._when}",
            size=15,
            fill=_SOFT,
        )

    def _at(self, east_m: float, north_m: float) -> tuple[float, float]:
        west, _, _, north = self._scenario.extent_m
        return self._left + (east_m - west) * self._metre, self._top + (north - north_m) * self._metre

    def _map(self) -> None:
        raster = self._raster
        pixels = Image.fromarray(colour(raster.sinr_db)[::-1])
        rows, cols = raster.sinr_db.shape
        edge = raster.cell_m * self._metre
        pixels = pixels.resize((round(cols * edge), round(rows * edge)), Image.Resampling.BICUBIC)
        # The last row and column may reach beyond the area; what counts is the corner in the south-west.
        pixels = pixels.crop((0, pixels.height - self._map_h, self._map_w, pixels.height))
        self._image.paste(pixels, (self._left, self._top))
        layer = Image.new("RGBA", self._image.size, (0, 0, 0, 0))
        ink = ImageDraw.Draw(layer)
        for building in self._scenario.buildings:
            ring = [self._at(float(x), float(y)) for x, y in building.footprint_m]
            if len(ring) > 2:
                ink.polygon(ring, outline=(255, 255, 255, 90))
        streets = self._scenario.streets
        for a, b in streets.edge:
            line = [self._at(*(float(v) for v in streets.node_m[node])) for node in (a, b)]
            ink.line(line, fill=(255, 255, 255, 120), width=2 * _SCALE)
        self._masts(ink)
        frame = (self._left, self._top, self._left + self._map_w, self._top + self._map_h)
        cropped = layer.crop(frame)
        self._image.paste(cropped, frame[:2], cropped)
        self._draw.rectangle(frame, outline=_SOFT, width=_SCALE)

    def _masts(self, ink: ImageDraw.ImageDraw) -> None:
        sites = {site.id: self._at(*site.position_m[:2]) for site in self._scenario.sites}
        reach, dot = 15 * _SCALE, 5 * _SCALE
        for cell in self._scenario.cells:
            x, y = sites[cell.site_id]
            angle = np.radians(cell.azimuth_deg)
            tip = (x + reach * float(np.sin(angle)), y - reach * float(np.cos(angle)))
            ink.line([(x, y), tip], fill=(255, 255, 255, 255), width=5 * _SCALE)
            ink.line([(x, y), tip], fill=(*_INK, 255), width=3 * _SCALE)
        for site in self._scenario.sites:
            x, y = sites[site.id]
            around = (x - dot, y - dot, x + dot, y + dot)
            ink.ellipse(around, fill=(*_INK, 255), outline=(255, 255, 255, 255), width=_SCALE)
            number = site.id.removeprefix("site-")
            font = ImageFont.load_default(12 * _SCALE)
            ink.text(
                (x + 8 * _SCALE, y - 8 * _SCALE), number, font=font, fill=(*_INK, 255), anchor="ls",
                stroke_width=2 * _SCALE, stroke_fill=(255, 255, 255, 230),
            )  # fmt: skip

    def _scale_bar(self) -> None:
        lengths_m = (2000, 1000, 500, 200, 100, 50, 20)
        length_m = next((m for m in lengths_m if m * self._metre < self._map_w / 4), 10)
        y = self._top + self._map_h + 20 * _SCALE
        end = self._left + length_m * self._metre
        self._draw.line([(self._left, y), (end, y)], fill=_INK, width=3 * _SCALE)
        self._text(end + 8 * _SCALE, y, f"{length_m} m", anchor="lm")
        right = self._left + self._map_w
        notes = "   ".join(("north is up", *self._scenario.attribution))
        self._text(right, y, notes, size=12, fill=_SOFT, anchor="rm")

    def _legend(self) -> None:
        left, height = self._left + self._map_w + 26 * _SCALE, min(320 * _SCALE, self._map_h - 60 * _SCALE)
        top = self._top + 34 * _SCALE
        ramp = np.linspace(HIGH_DB, LOW_DB, height, dtype=np.float32)[:, None].repeat(22 * _SCALE, axis=1)
        self._image.paste(Image.fromarray(colour(ramp)), (left, top))
        self._draw.rectangle((left, top, left + 22 * _SCALE, top + height), outline=_SOFT, width=_SCALE)
        self._text(left, self._top, "SINR in dB", size=14)
        for value in range(int(LOW_DB), int(HIGH_DB) + 1, 5):
            y = top + (HIGH_DB - value) / (HIGH_DB - LOW_DB) * height
            self._draw.line([(left + 22 * _SCALE, y), (left + 28 * _SCALE, y)], fill=_SOFT, width=_SCALE)
            self._text(left + 34 * _SCALE, y, f"{value}", anchor="lm")

    def _distribution(self) -> None:
        left, top, width, height = self._right, self._top + 34 * _SCALE, self._plot_w, self._plot_h - 60 * _SCALE
        self._text(left, self._top, "Share of the area with less than this SINR", size=14)

        def x_of(value_db: float) -> float:
            return left + (value_db - LOW_DB) / (HIGH_DB - LOW_DB) * width

        def y_of(share: float) -> float:
            return top + (1.0 - share) * height

        for percent in range(0, 101, 20):
            y = y_of(percent / 100)
            self._draw.line([(left, y), (left + width, y)], fill=_LINE, width=_SCALE)
            self._text(left - 8 * _SCALE, y, f"{percent} %", anchor="rm", fill=_SOFT)
        for value in range(int(LOW_DB), int(HIGH_DB) + 1, 10):
            self._draw.line([(x_of(value), top), (x_of(value), top + height)], fill=_LINE, width=_SCALE)
            self._text(x_of(value), top + height + 10 * _SCALE, f"{value} dB", anchor="ma", fill=_SOFT)
        known = np.sort(self._raster.sinr_db[np.isfinite(self._raster.sinr_db)])
        if not len(known):
            return
        grid = np.linspace(LOW_DB, HIGH_DB, 240)
        share = np.searchsorted(known, grid, side="right") / len(known)
        curve = [(x_of(float(a)), y_of(float(b))) for a, b in zip(grid, share, strict=True)]
        self._draw.line(curve, fill=_CURVE, width=3 * _SCALE, joint="curve")
        for value, part, name in zip(quantiles_db(known), (0.05, 0.5, 0.95), ("5 %", "median", "95 %"), strict=True):
            x, y, dot = x_of(float(np.clip(value, LOW_DB, HIGH_DB))), y_of(part), 5 * _SCALE
            self._draw.ellipse((x - dot, y - dot, x + dot, y + dot), fill=_CURVE, outline=_PAPER, width=_SCALE)
            label = f"{name}: {value:.1f} dB"
            if part < 0.9:
                self._text(x + 10 * _SCALE, y + 4 * _SCALE, label)
            else:
                self._text(x - 9 * _SCALE, y - 2 * _SCALE, label, anchor="rd")

    def _weakest(self) -> None:
        """List the cells with the lowest median SINR where they are the strongest."""
        left, top = self._right, self._top + self._plot_h + 24 * _SCALE
        space = (self._top + self._map_h - top) // (20 * _SCALE) - 2
        sinr_db, best = self._raster.sinr_db, self._raster.best_cell
        known = np.isfinite(sinr_db)
        rows = [
            (float(np.median(sinr_db[mine])), column, float(mine.mean()))
            for column in range(len(self._scenario.cells))
            if (mine := known & (best == column)).any()
        ]
        if space < 1 or not rows:
            return
        self._text(left, top, "Cells with the lowest median SINR", size=14)
        columns = (left, left + 250 * _SCALE, left + 400 * _SCALE)
        for x, title, anchor in zip(columns, ("cell", "median", "share of area"), ("la", "ra", "ra"), strict=True):
            self._text(x, top + 26 * _SCALE, title, fill=_SOFT, anchor=anchor)
        for line, (median_db, column, share) in enumerate(sorted(rows)[: min(10, space)]):
            y = top + (48 + 20 * line) * _SCALE
            self._text(columns[0], y, self._scenario.cells[column].id)
            self._text(columns[1], y, f"{median_db:.1f} dB", anchor="ra")
            self._text(columns[2], y, f"{100 * share:.1f} %", anchor="ra")
