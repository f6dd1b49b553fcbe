"""What OpenStreetMap tags mean for a network twin: roads, heights, land use, named places.

Keys and values follow the OpenStreetMap wiki (Map features). The four land uses are those of the measured
demand curves; tags that fit none of them (forest, water, farmland) say nothing about demand and are skipped.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twin.entities import LandUse

if TYPE_CHECKING:
    from collections.abc import Mapping

_KMH = 1.0 / 3.6
_MPH = 0.44704
_FOOT_M = 0.3048
LEVEL_M = 3.0
"""Height of a storey where only `building:levels` is known."""
_TALLEST_M = 1000.0

# Class: default speed in km/h (0 = no cars), walkable, main road.
_ROADS: dict[str, tuple[float, bool, bool]] = {
    "motorway": (110, False, True),
    "motorway_link": (70, False, True),
    "trunk": (90, False, True),
    "trunk_link": (60, False, True),
    "primary": (50, True, True),
    "primary_link": (50, True, True),
    "secondary": (50, True, False),
    "secondary_link": (50, True, False),
    "tertiary": (50, True, False),
    "tertiary_link": (50, True, False),
    "unclassified": (50, True, False),
    "residential": (30, True, False),
    "living_street": (10, True, False),
    "service": (20, True, False),
    "road": (30, True, False),
    "pedestrian": (0, True, False),
    "footway": (0, True, False),
    "path": (0, True, False),
    "steps": (0, True, False),
    "cycleway": (0, True, False),
    "track": (0, True, False),
    "bridleway": (0, True, False),
}
_ZONE_SPEED_KMH = {"urban": 50.0, "rural": 90.0, "motorway": 130.0, "trunk": 110.0, "living_street": 10.0}
_NUMBER = re.compile(r"^\s*(\d+(?:[.,]\d+)?)\s*([a-z/'\"]*)", re.IGNORECASE)

_R, _O, _T, _E = LandUse.RESIDENTIAL, LandUse.OFFICE, LandUse.TRANSPORT, LandUse.ENTERTAINMENT
_LAND_USE: dict[str, dict[str, LandUse]] = {
    "building": {
        **dict.fromkeys(
            ("apartments", "house", "residential", "detached", "semidetached_house", "terrace", "dormitory", "bungalow",
             "farm", "houseboat", "static_caravan", "cabin"), _R),
        **dict.fromkeys(
            ("office", "commercial", "government", "industrial", "hospital", "school", "university", "college",
             "kindergarten", "public", "civic", "warehouse", "factory", "fire_station", "bank", "construction",
             "townhall", "works", "service"), _O),
        **dict.fromkeys(
            ("retail", "supermarket", "hotel", "stadium", "kiosk", "mall", "sports_hall", "sports_centre", "grandstand",
             "museum", "church", "cathedral", "chapel", "mosque", "synagogue", "temple", "pavilion", "theatre",
             "cinema", "restaurant", "shop"), _E),
        **dict.fromkeys(("train_station", "transportation", "parking", "garage", "garages", "hangar", "carport"), _T),
    },
    "railway": dict.fromkeys(("station", "halt", "platform", "yard"), _T),
    "aeroway": dict.fromkeys(("terminal", "aerodrome", "apron", "hangar"), _T),
    "public_transport": dict.fromkeys(("station", "platform"), _T),
    "amenity": {
        **dict.fromkeys(
            ("university", "college", "school", "kindergarten", "hospital", "clinic", "townhall", "courthouse",
             "police", "fire_station", "bank", "post_office", "library", "research_institute"), _O),
        **dict.fromkeys(
            ("marketplace", "theatre", "cinema", "restaurant", "cafe", "bar", "pub", "nightclub", "casino",
             "arts_centre", "community_centre", "events_venue", "place_of_worship", "food_court", "fast_food"), _E),
        **dict.fromkeys(("parking", "bus_station", "fuel", "ferry_terminal", "taxi"), _T),
    },
    "leisure": dict.fromkeys(
        ("park", "stadium", "sports_centre", "pitch", "garden", "playground", "swimming_pool", "ice_rink", "marina",
         "water_park", "track"), _E),
    "tourism": dict.fromkeys(("hotel", "museum", "attraction", "zoo", "theme_park", "gallery", "hostel"), _E),
    "landuse": {
        "residential": _R,
        **dict.fromkeys(("commercial", "industrial", "institutional", "education", "construction", "military"), _O),
        **dict.fromkeys(("retail", "recreation_ground", "village_green", "religious"), _E),
        **dict.fromkeys(("railway", "port", "harbour", "garages", "depot"), _T),
    },
}  # fmt: skip
_LAND_USE_ORDER = ("railway", "aeroway", "public_transport", "amenity", "leisure", "tourism")

# Category by key and value; the order is the rank, first wins and survives a crowd.
_PLACES: tuple[tuple[str, dict[str, str]], ...] = (
    ("railway", {"station": "station", "halt": "station", "tram_stop": "tram_stop"}),
    ("aeroway", {"terminal": "terminal", "aerodrome": "airport"}),
    ("leisure", {"stadium": "stadium", "park": "park", "sports_centre": "sports_centre", "marina": "harbour"}),
    ("amenity", {value: value for value in (
        "university", "hospital", "townhall", "marketplace", "theatre", "cinema", "bus_station", "college", "library",
        "ferry_terminal", "courthouse", "school", "kindergarten")}),
    ("shop", {"mall": "mall", "department_store": "mall"}),
    ("tourism", {"museum": "museum", "attraction": "attraction", "zoo": "zoo", "theme_park": "attraction"}),
    ("building", {"train_station": "station", "stadium": "stadium", "cathedral": "cathedral"}),
    ("place", {"square": "square", "suburb": "quarter", "quarter": "quarter", "neighbourhood": "quarter"}),
    ("landuse", {"port": "harbour", "harbour": "harbour"}),
    ("highway", {"bus_stop": "bus_stop"}),
)  # fmt: skip
PLACE_RANK = {
    category: rank for rank, category in enumerate(dict.fromkeys(c for _, values in _PLACES for c in values.values()))
}
"""How prominent a category of place is; 0 is the most prominent."""

KEYS = frozenset(_LAND_USE) | {
    "highway", "name", "maxspeed", "height", "building:levels", "foot", "motor_vehicle", "access", "area", "shop",
    "office", "place", "type", "motorcar", "vehicle", "sidewalk",
}  # fmt: skip
"""Tag keys that mean something here; all others are dropped while reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """What a highway tag allows."""

    speed_mps: float
    walkable: bool
    main: bool


def road_of(tags: Mapping[str, str]) -> Road | None:
    """Return what the way allows, or None when it is no street (yet)."""
    row = _ROADS.get(tags.get("highway", ""))
    if row is None or tags.get("area") == "yes":
        return None
    speed_kmh, walkable, main = row
    speed_mps = _speed_mps(tags.get("maxspeed", "")) or speed_kmh * _KMH
    closed = {"no", "private"}
    if speed_kmh == 0 or closed & {tags.get(key, "") for key in ("motor_vehicle", "motorcar", "vehicle")}:
        speed_mps = 0.0
    if tags.get("access") in closed:
        walkable, speed_mps = tags.get("foot") == "yes", 0.0
    if tags.get("foot") == "no":
        walkable = False
    elif tags.get("foot") in {"yes", "designated"}:
        walkable = True
    return Road(speed_mps=speed_mps, walkable=walkable, main=main) if walkable or speed_mps else None


def _speed_mps(text: str) -> float | None:
    """Return a `maxspeed` in m/s: ``50``, ``30 mph``, ``LU:urban``, ``walk``, ``none``."""
    if text == "walk":
        return 7.0 * _KMH
    if text == "none":
        return 130.0 * _KMH
    if ":" in text:
        zone = text.rpartition(":")[2].lower()
        speed = _ZONE_SPEED_KMH.get(zone) or (float(zone[4:]) if re.fullmatch(r"zone\d{1,3}", zone) else None)
        return speed * _KMH if speed else None
    match = _NUMBER.match(text)
    if match is None:
        return None
    value = float(match[1].replace(",", ".")) * (_MPH if match[2].lower() == "mph" else _KMH)
    return value if 0.5 <= value <= 85.0 else None


def height_m_of(text: str) -> float | None:
    """Return a `height` in metres: ``12``, ``12.5 m``, ``40 ft``, ``40'``; None when it says nothing sensible."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    unit = match[2].lower()
    if unit not in {"", "m", "ft", "'"}:
        return None
    value = float(match[1].replace(",", ".")) * (1.0 if unit in {"", "m"} else _FOOT_M)
    return value if 0.0 < value <= _TALLEST_M else None


def levels_of(text: str) -> float | None:
    """Return `building:levels` as a number; None when it says nothing sensible."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) and 0.0 < value * LEVEL_M <= _TALLEST_M else None


def building_land_use(tags: Mapping[str, str]) -> LandUse | None:
    """Return the land use that a building's own tags say, or None."""
    if (use := _use_by_feature(tags)) is not None:
        return use
    if "shop" in tags:
        return LandUse.ENTERTAINMENT
    if "office" in tags:
        return LandUse.OFFICE
    return _LAND_USE["building"].get(tags.get("building", ""))


def zone_land_use(tags: Mapping[str, str]) -> LandUse | None:
    """Return the land use of the ground that an area's tags say, or None."""
    return _use_by_feature(tags) or _LAND_USE["landuse"].get(tags.get("landuse", ""))


def _use_by_feature(tags: Mapping[str, str]) -> LandUse | None:
    for key in _LAND_USE_ORDER:
        if (use := _LAND_USE[key].get(tags.get(key, ""))) is not None:
            return use
    return None


def place_category(tags: Mapping[str, str]) -> str:
    """Return the category of a named place, "" when people would not refer to it."""
    for key, values in _PLACES:
        if (category := values.get(tags.get(key, ""))) is not None:
            return category
    return ""
