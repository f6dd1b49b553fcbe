"""From a wish to a scenario: read or generate the city, place the sites, add the people."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from twin.errors import ScenarioError
from twin_app.scenarios.assemble import assemble
from twin_app.scenarios.generated import generated_city, generated_sites
from twin_app.scenarios.planner import plan_sites
from twin_app.scenarios.real_city import real_city
from twin_app.scenarios.sites_csv import read_sites
from twin_app.scenarios.spec import ScenarioSpec, Wanted, resolve
from twin_app.scenarios.xmlstream import chunks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twin.scenario import Scenario
    from twin_app.scenarios.spec import Demand

_RECIPE = 2
"""Grows when the same input gives another scenario, so that old data folders are told apart."""
_ELSEWHERE = {
    "name", "timezone", "city", "area", "sites", "seed", "ues", "attribution", "tracks", "demand", "radio_map",
}  # fmt: skip
"""Keys of the scenario file that enter the digest after precedence, or by the content of the file that they name."""


def build_scenario(spec: ScenarioSpec, *, progress: Callable[[str, float], None] | None = None) -> Scenario:
    """Build what the spec asks for.

    Args:
        progress: Called with a step in words and the share done, 0 to 1.

    Raises:
        ScenarioError: A file is wrong, missing, or holds nothing usable; names the file and line or element.
    """

    def tell(step: str, share: float) -> None:
        if progress is not None:
            progress(step, share)

    wanted = resolve(spec)
    if wanted.area is not None and not wanted.city:
        raise ScenarioError("`area` crops a map, and there is none: give the map's file as `city`, too")
    digest = _digest(wanted)
    if wanted.city:
        city = real_city(wanted, progress=lambda step, share: tell(step, 0.8 * share))
    else:
        tell("generating a city", 0.0)
        city = generated_city(wanted.seed, name=wanted.name, timezone=wanted.timezone)
    tell("placing sites", 0.8)
    if wanted.sites is not None:
        plans = read_sites(wanted.sites, city=city)
    elif wanted.city:
        plans = plan_sites(city, seed=wanted.seed)
    else:
        plans = generated_sites(city, seed=wanted.seed)
    tell("adding people", 0.9)
    scenario = assemble(city, plans, wanted, digest=digest)
    tell("city ready", 1.0)
    return scenario


def _digest(wanted: Wanted) -> str:
    """Return the SHA-256 over the contents of the files and the values of the wish; paths do not count."""
    values = {
        "recipe": _RECIPE,
        "city": [_content_sha256(path) for path in wanted.city],
        "sites": None if wanted.sites is None else _content_sha256(wanted.sites),
        "area": wanted.area,
        "seed": wanted.seed,
        "num_ues": wanted.num_ues,
        "name": wanted.name,
        "timezone": wanted.timezone,
        "attribution": wanted.attribution,
        "file": wanted.file.model_dump(mode="json", exclude=_ELSEWHERE, exclude_defaults=True),
        "files": {
            key: None if path is None else _content_sha256(path)
            for key, path in (("tracks", wanted.file.tracks), ("radio_map", wanted.file.radio_map))
        },
        "demand": _demand(wanted.file.demand),
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _demand(demand: Demand) -> dict[str, object]:
    values = demand.model_dump(mode="json", exclude={"milan"}, exclude_defaults=True)
    return {**values, "milan": [_content_sha256(path) for path in demand.milan]}


def _content_sha256(path: Path) -> str:
    """Return the digest of a file's unpacked content, so that packing a map does not make it another city."""
    total = hashlib.sha256()
    for block in chunks(path):
        total.update(block)
    return total.hexdigest()
