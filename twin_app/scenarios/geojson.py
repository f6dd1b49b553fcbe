"""GeoJSON (RFC 7946): polygons as buildings or zones, lines as streets, points as places; properties are tags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.errors import ScenarioError
from twin_app.scenarios.features import add_line, add_point, add_ring
from twin_app.scenarios.rawmap import RawMap, spot
from twin_app.scenarios.tags import KEYS
from twin_app.scenarios.xmlstream import chunks

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_MAX_BYTES = 256 << 20
_LEVEL_KEYS = ("building:levels", "levels", "num_floors")
_HEIGHT_KEYS = ("height", "HEIGHT", "measuredHeight")


def read_geojson(path: Path, into: RawMap) -> None:
    """Add the features of a GeoJSON file to `into`.

    Raises:
        ScenarioError: No JSON (with the line), no FeatureCollection, or a feature with wrong coordinates (with
            its number).
    """
    text = bytearray()
    for block in chunks(path):
        text += block
        if len(text) > _MAX_BYTES:
            raise ScenarioError(f"`{path}` holds more than {_MAX_BYTES >> 20} MiB; cut the area first")
    try:
        document: Any = json.loads(text)
    except json.JSONDecodeError as exc:
        raise ScenarioError(f"{spot(path, exc.lineno)}, column {exc.colno}: no JSON: {exc.msg}") from exc
    except (UnicodeDecodeError, RecursionError) as exc:
        raise ScenarioError(f"`{path}` is not GeoJSON in UTF-8") from exc
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        raise ScenarioError(f"`{path}` must be a GeoJSON FeatureCollection with a list of `features`")
    for number, feature in enumerate(features):
        try:
            _add_feature(into, feature)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise ScenarioError(f"{spot(path, None, f'feature {number}')}: cannot be read: {exc}") from exc


def _add_feature(into: RawMap, feature: dict[str, Any]) -> None:
    geometry = feature["geometry"]
    if geometry is None:
        return
    tags = _tags(feature.get("properties") or {})
    coordinates = geometry["coordinates"]
    match geometry["type"]:
        case "Point":
            latitude_deg, longitude_deg = _points([coordinates])[0]
            add_point(into, float(latitude_deg), float(longitude_deg), tags)
        case "LineString":
            add_line(into, _points(coordinates), tags)
        case "MultiLineString":
            for part in coordinates:
                add_line(into, _points(part), tags)
        case "Polygon":
            add_ring(into, _points(coordinates[0]), _as_building(tags))
        case "MultiPolygon":
            for part in coordinates:
                add_ring(into, _points(part[0]), _as_building(tags))
        case _:
            return


def _points(coordinates: list[list[float]]) -> NDArray[np.float64]:
    """Return latitude, longitude ``[num_points, 2]`` of GeoJSON's longitude, latitude (and height)."""
    points = np.array([position[:2] for position in coordinates], dtype=np.float64).reshape(-1, 2)[:, ::-1]
    if not (np.abs(points) <= (90.0, 180.0)).all():
        raise ValueError("coordinates must be WGS84 longitude and latitude in degrees (RFC 7946 section 4)")
    return points


def _tags(properties: dict[str, Any]) -> dict[str, str]:
    tags = {key: str(value) for key, value in properties.items() if key in KEYS and value is not None}
    for target, keys in (("building:levels", _LEVEL_KEYS), ("height", _HEIGHT_KEYS)):
        value = next((properties[key] for key in keys if properties.get(key) is not None), None)
        if value is not None:
            tags[target] = str(value)
    return tags


def _as_building(tags: dict[str, str]) -> dict[str, str]:
    """Footprint collections often carry no tag at all: a polygon without a meaning of its own is a building."""
    meant = tags.keys() & {"building", "landuse", "leisure", "amenity", "railway", "aeroway", "highway", "place"}
    return tags if meant else {**tags, "building": "yes"}
