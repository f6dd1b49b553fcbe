"""The spots that people name: doubles merged, equal names told apart, "the station" given to one of them."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

from twin.entities import Place
from twin_app.scenarios.tags import PLACE_RANK

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from twin_app.scenarios.rawmap import RawPlace

_STATION_STOP = re.compile(r"\b(gare|(central|main|railway) station|hauptbahnhof|bahnhof|hbf)\b", re.IGNORECASE)
_MERGE_M = 200.0
_MOST_PLACES = 200
_WORDS = {
    "station": ("the station", "station", "train station"),
    "airport": ("the airport", "airport"),
    "terminal": ("the terminal", "terminal"),
    "stadium": ("the stadium", "stadium"),
    "park": ("the park", "park"),
    "harbour": ("the harbour", "harbour"),
    "university": ("the university", "university", "campus"),
    "hospital": ("the hospital", "hospital"),
    "townhall": ("the town hall", "town hall"),
    "marketplace": ("the market", "market"),
    "theatre": ("the theatre", "theatre"),
    "cinema": ("the cinema", "cinema"),
    "mall": ("the mall", "mall", "shopping centre"),
    "museum": ("the museum", "museum"),
    "library": ("the library", "library"),
    "bus_station": ("the bus station", "bus station"),
    "zoo": ("the zoo", "zoo"),
    "cathedral": ("the cathedral", "cathedral"),
}


def named_places(found: Iterable[tuple[RawPlace, NDArray[np.float64]]]) -> tuple[Place, ...]:
    """Return the most prominent 200 places.

    Args:
        found: Each place with its east, north in metres; the centre of the area is (0, 0).
    """
    merged: list[tuple[RawPlace, tuple[float, float], str]] = []
    seen: dict[tuple[str, str], list[tuple[float, float]]] = {}
    rows = [(place, (float(at[0]), float(at[1]))) for place, at in found]
    rows.sort(key=lambda row: (PLACE_RANK[row[0].category], math.hypot(*row[1]), row[0].name))
    for place, at in rows:
        name = _tidy(place.name)
        others = seen.setdefault((name, place.category), [])
        # Both sides of a street have a bus stop, a station is a node and an area: one place to people.
        if all(math.dist(at, other) > _MERGE_M for other in others):
            others.append(at)
            merged.append((place, at, name))
    merged = merged[:_MOST_PLACES]
    uses = Counter(name for _, _, name in merged)
    count: Counter[str] = Counter()
    worded: set[str] = set()
    stop = _station_stop(merged)
    places: list[Place] = []
    for number, (place, at, name) in enumerate(merged, start=1):
        count[name] += 1
        category = "station" if number - 1 == stop else place.category
        aliases = () if category in worded else _WORDS.get(category, ())
        worded.add(category)
        places.append(
            Place(
                id=f"place-{number}",
                name=name if uses[name] == 1 else f"{name} {count[name]}",
                category=place.category,
                position_m=(round(at[0], 2), round(at[1], 2), 0.0),
                aliases=tuple(alias for alias in aliases if alias.casefold() != name.casefold()),
            )
        )
    return tuple(places)


def _station_stop(merged: list[tuple[RawPlace, tuple[float, float], str]]) -> int | None:
    """Return which bus stop is named after a railway station, where the map has no station itself."""
    if any(place.category == "station" for place, _, _ in merged):
        return None
    return next((i for i, (_, _, name) in enumerate(merged) if _STATION_STOP.search(name)), None)


def _tidy(name: str) -> str:
    """Return a name fit for people: ``primary_school`` becomes ``Primary school``."""
    words = name.replace("_", " ") if " " not in name else name
    words = " ".join(words.split())
    return words[:1].upper() + words[1:] if name.islower() else words
