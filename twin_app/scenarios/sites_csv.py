"""Sites from lists that the public can get: OpenCelliD exports and ANFR-like tables.

Accepted, told apart by the header line (comma, semicolon or tab; case does not matter):

- **OpenCelliD**: ``radio,mcc,net,area,cell,unit,lon,lat,range,...``; the published files come without a header
  and are known by their first column (GSM, UMTS, CDMA, LTE, NR). Rows of one position are one site.
- **ANFR-like**: a position as ``lat``/``latitude`` and ``lon``/``lng``/``longitude`` in degrees, optionally
  ``id``/``sup_id``/``sta_nm_anfr``/``site``/``name`` (rows of one id are one site),
  ``height``/``sup_nm_haut``/``aer_nb_alt_bas`` (antenna height above ground in metres) and
  ``azimuth``/``aer_nb_azimut`` (degrees clockwise from north, one row per sector).

Decimal commas are understood where the separator is a semicolon or a tab.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from twin.errors import ScenarioError
from twin.geo import wgs84_to_enu
from twin_app.scenarios.citymap import SitePlan, centroid_m
from twin_app.scenarios.crop import inside
from twin_app.scenarios.planner import environment_of, site_distances
from twin_app.scenarios.rawmap import spot
from twin_app.scenarios.xmlstream import chunks

if TYPE_CHECKING:
    from pathlib import Path

    from twin_app.scenarios.citymap import CityMap

_OPENCELLID = ("radio", "mcc", "net", "area", "cell", "unit", "lon", "lat", "range")
_RADIOS = frozenset({"GSM", "UMTS", "CDMA", "LTE", "NR"})
_COLUMNS = {
    "latitude": ("lat", "latitude"),
    "longitude": ("lon", "lng", "long", "longitude"),
    "id": ("id", "sup_id", "sta_nm_anfr", "site", "site_id", "name"),
    "height": ("height", "height_m", "sup_nm_haut", "aer_nb_alt_bas", "hauteur"),
    "azimuth": ("azimuth", "azimuth_deg", "aer_nb_azimut", "azimut"),
}
_MAX_BYTES = 512 << 20
_DEFAULT_MAST_M = 25.0
_ROOF_MAST_M = 4.0
_SAME_PLACE_M = 30.0
_MOST_SECTORS = 6
_SAME_SECTOR_DEG = 20.0
_MOST_SITES = 700


@dataclass(slots=True, kw_only=True)
class _Found:
    """One site while its rows are being collected."""

    latitude_deg: float
    longitude_deg: float
    name: str
    height_m: float | None = None
    azimuths_deg: list[float] = field(default_factory=list)


def read_sites(path: Path, *, city: CityMap) -> list[SitePlan]:
    """Return the sites of a CSV file that stand inside the city's area.

    Missing heights come from the roof under the site (plus a 4 m mast) or a 25 m mast, missing azimuths are 30,
    150 and 270 degrees.

    Raises:
        ScenarioError: The file or one of its lines is wrong (named), or no site stands in the area.
    """
    found = _rows_to_sites(path)
    position_m = wgs84_to_enu(
        [site.latitude_deg for site in found], [site.longitude_deg for site in found], 0.0, origin=city.origin
    )[:, :2]
    near = inside(position_m, city.extent_m)
    if not near.any():
        raise ScenarioError(
            f"none of the {len(found)} sites of `{path}` stands in the area around"
            f" {city.origin.latitude_deg:.5f}, {city.origin.longitude_deg:.5f}; give sites of this city"
        )
    kept = _merged([(found[i], position_m[i]) for i in np.flatnonzero(near)])
    if len(kept) > _MOST_SITES:
        raise ScenarioError(
            f"`{path}` has {len(kept)} sites in the area; at most {_MOST_SITES}: choose a smaller `area`"
        )
    centre_m = np.array([centroid_m(building.footprint_m) for building in city.buildings]).reshape(-1, 2)
    roof_m = np.array([building.height_m for building in city.buildings])
    distances_m = site_distances(np.array([at for _, at in kept]), fallback_m=500.0)
    plans: list[SitePlan] = []
    for (site, at), distance_m in zip(kept, distances_m, strict=True):
        height_m = site.height_m if site.height_m is not None else _height_m(at, centre_m, roof_m)
        plans.append(
            SitePlan(
                position_m=(round(at[0], 2), round(at[1], 2)),
                height_m=round(height_m, 1),
                isd_m=max(distance_m, 100.0),
                environment=environment_of(height_m, at, centre_m, roof_m),
                azimuths_deg=_sectors(site.azimuths_deg),
                source=site.name,
            )
        )
    return plans


def _height_m(at: tuple[float, float], centre_m: np.ndarray, roof_m: np.ndarray) -> float:
    if not len(centre_m):
        return _DEFAULT_MAST_M
    distance_m = np.hypot(centre_m[:, 0] - at[0], centre_m[:, 1] - at[1])
    nearest = int(distance_m.argmin())
    on_roof = distance_m[nearest] <= _SAME_PLACE_M
    return max(float(roof_m[nearest]) + _ROOF_MAST_M, 12.0) if on_roof else _DEFAULT_MAST_M


def _sectors(azimuths_deg: list[float]) -> tuple[float, ...]:
    """Return one azimuth per sector: bands and operators that look the same way share it."""
    kept: list[float] = []
    for azimuth_deg in sorted(azimuths_deg):
        if all(abs((azimuth_deg - other + 180.0) % 360.0 - 180.0) > _SAME_SECTOR_DEG for other in kept):
            kept.append(azimuth_deg)
    return tuple(kept[:_MOST_SECTORS]) or (30.0, 150.0, 270.0)


def _merged(sites: list[tuple[_Found, np.ndarray]]) -> list[tuple[_Found, tuple[float, float]]]:
    """Join the sites that stand within 30 m of each other: one mast, listed once per operator or band."""
    kept: list[tuple[_Found, tuple[float, float]]] = []
    squares: dict[tuple[int, int], list[int]] = {}
    for site, point in sites:
        at = (float(point[0]), float(point[1]))
        square = (math.floor(at[0] / _SAME_PLACE_M), math.floor(at[1] / _SAME_PLACE_M))
        near = (
            index
            for column in (-1, 0, 1)
            for row in (-1, 0, 1)
            for index in squares.get((square[0] + column, square[1] + row), ())
        )
        twin = next((index for index in near if math.dist(kept[index][1], at) <= _SAME_PLACE_M), None)
        if twin is None:
            squares.setdefault(square, []).append(len(kept))
            kept.append((site, at))
        else:
            kept[twin][0].azimuths_deg.extend(site.azimuths_deg)
    return kept


def _rows_to_sites(path: Path) -> list[_Found]:
    text = _text(path)
    first = text.partition("\n")[0]
    separator = max(";,\t", key=first.count)
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    columns: dict[str, int] | None = None
    sites: dict[str, _Found] = {}
    try:
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns, is_header = _columns(path, cells)
                if is_header:
                    continue
            _add_row(path, rows.line_num, cells, columns, sites, comma_decimals=separator != ",")
    except csv.Error as exc:
        raise ScenarioError(f"{spot(path, rows.line_num)}: no CSV: {exc}") from exc
    if not sites:
        raise ScenarioError(f"the site file `{path}` holds no site")
    return list(sites.values())


def _text(path: Path) -> str:
    content = bytearray()
    for block in chunks(path):
        content += block
        if len(content) > _MAX_BYTES:
            raise ScenarioError(f"`{path}` holds more than {_MAX_BYTES >> 20} MiB; keep the lines of your city only")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # ANFR publishes some tables so


def _columns(path: Path, cells: list[str]) -> tuple[dict[str, int], bool]:
    """Return where each column stands, and whether this line is a header."""
    names = [cell.strip().lower() for cell in cells]
    if cells[0].strip().upper() in _RADIOS and len(cells) >= len(_OPENCELLID):
        return {"latitude": 7, "longitude": 6}, False
    found = {
        key: next(names.index(name) for name in accepted if name in names)
        for key, accepted in _COLUMNS.items()
        if any(name in names for name in accepted)
    }
    if "latitude" not in found or "longitude" not in found:
        raise ScenarioError(
            f"{spot(path, 1)}: no columns for the position; expected `lat` and `lon` (OpenCelliD) or `latitude`"
            f" and `longitude`, got `{', '.join(names)[:120]}`"
        )
    if tuple(names[:4]) == _OPENCELLID[:4]:
        found = {key: found[key] for key in ("latitude", "longitude")}  # its `cell` and `area` are no site
    return found, True


def _add_row(
    path: Path, line: int, cells: list[str], columns: dict[str, int], sites: dict[str, _Found], *, comma_decimals: bool
) -> None:
    def text(key: str) -> str:
        at = columns.get(key)
        return cells[at].strip() if at is not None and at < len(cells) else ""

    def number(key: str, low: float, high: float) -> float:
        written = text(key)
        try:
            value = float(written.replace(",", ".") if comma_decimals else written)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ScenarioError(
                f"{spot(path, line)}: `{key}` must be a number from {low:g} to {high:g}, not `{written[:40]}`"
            )
        return value

    latitude_deg, longitude_deg = number("latitude", -90.0, 90.0), number("longitude", -180.0, 180.0)
    key = text("id") or f"{latitude_deg:.5f},{longitude_deg:.5f}"
    site = sites.setdefault(key, _Found(latitude_deg=latitude_deg, longitude_deg=longitude_deg, name=text("id")[:60]))
    if text("height"):
        site.height_m = max(number("height", 1.0, 400.0), site.height_m or 0.0)
    if text("azimuth"):
        site.azimuths_deg.append(number("azimuth", 0.0, 360.0) % 360.0)
