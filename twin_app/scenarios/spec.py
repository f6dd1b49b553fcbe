"""What a user says about the city he wants: command-line values and the YAML scenario file.

The scenario file is YAML with the NRM's own attribute names and units::

    name: Luxembourg           # shown to people
    timezone: Europe/Luxembourg  # IANA name, for civil time and the daily curves
    city: [luxembourg.osm.gz]  # map files, relative to this file
    area: [-500, -800, 2000, 2000]  # east and north of the lower left corner, width, height, metres
    sites: sites.csv           # OpenCelliD or ANFR-like; without it sites are planned
    seed: 1
    ues: 500
    attribution: ["Buildings: ..."]  # notices to show with the map
    cells:                     # overrides per cell
      cell-7-2: {digitalTilt: 60, configuredMaxTxPower: 19953, administrativeState: UNLOCKED}

Precedence: what the command line gives explicitly wins over the scenario file, the file over the defaults.
"""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator

from twin.attributes import AttributeValue, check
from twin.errors import ScenarioError, TwinError

if TYPE_CHECKING:
    from collections.abc import Mapping

Area = tuple[FiniteFloat, FiniteFloat, Annotated[FiniteFloat, Field(gt=0)], Annotated[FiniteFloat, Field(gt=0)]]
"""East and north of the lower left corner in the map's ENU frame, width, height, all in metres.

The map's frame has its origin in the middle of everything that the city files hold; the scenario's own origin
is then the centre of the area.
"""

_OVERRIDES = ("digitalTilt", "configuredMaxTxPower", "administrativeState")
_MAX_FILE_BYTES = 4 * 1024 * 1024


class ScenarioSpec(BaseModel):
    """Which city to build. A field counts as given explicitly when it was passed to the constructor.

    Attributes:
        city: Map files: OpenStreetMap XML, SUMO polygons, GeoJSON, each also gzipped.
        area: Crop, see :data:`Area`; None takes the densest 2 km x 2 km.
        sites: CSV of sites; None plans them.
        scenario: YAML scenario file.
        seed: Seed of every generator.
        num_ues: How many user equipments.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    city: tuple[Path, ...] = ()
    area: Area | None = None
    sites: Path | None = None
    scenario: Path | None = None
    seed: int = Field(default=1, ge=0, lt=2**63)
    num_ues: int = Field(default=500, ge=0, le=200_000)


class ScenarioFile(BaseModel):
    """The text of a YAML scenario file, strictly checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(default=None, min_length=1, max_length=80)
    timezone: str | None = None
    city: tuple[Path, ...] = ()
    area: Area | None = None
    sites: Path | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    ues: int | None = Field(default=None, ge=0, le=200_000)
    attribution: tuple[str, ...] = ()
    cells: dict[str, dict[str, float | str]] = Field(default_factory=dict)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None and value not in zoneinfo.available_timezones():
            raise ValueError(f"`{value}` is no IANA time zone, such as Europe/Luxembourg")
        return value

    @field_validator("city", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("cells")
    @classmethod
    def _managed(cls, value: dict[str, dict[str, float | str]]) -> dict[str, dict[str, float | str]]:
        for cell_id, attributes in value.items():
            for name, setting in attributes.items():
                if name not in _OVERRIDES:
                    raise ValueError(f"{cell_id}.{name}: no such attribute here; known: {', '.join(_OVERRIDES)}")
                try:
                    check(name, setting)
                except TwinError as exc:
                    raise ValueError(f"{cell_id}.{name}: {exc}") from exc
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The one answer after precedence: what to build.

    Attributes:
        name: Name stated in the scenario file, "" otherwise.
        timezone: Zone stated in the scenario file, "" otherwise.
        attribution: Notices stated in the scenario file.
        overrides: Managed attributes per cell id, 3GPP names and units.
    """

    city: tuple[Path, ...] = ()
    area: tuple[float, float, float, float] | None = None
    sites: Path | None = None
    seed: int = 1
    num_ues: int = 500
    name: str = ""
    timezone: str = ""
    attribution: tuple[str, ...] = ()
    overrides: Mapping[str, Mapping[str, AttributeValue]] = field(default_factory=dict)
    source: Path | None = None


def read_scenario_file(path: Path) -> ScenarioFile:
    """Read and check a YAML scenario file; its relative paths are taken from its own folder.

    Raises:
        ScenarioError: The file is missing, too large, no YAML, or a field is wrong; names line or field.
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ScenarioError(f"`{path}` is larger than {_MAX_FILE_BYTES // 2**20} MiB; that is no scenario file")
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ScenarioError(f"the scenario file `{path}` cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ScenarioError(f"the scenario file `{path}` is not UTF-8 text") from exc
    try:
        document: object = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ScenarioError(f"`{path}`{where}: this is not YAML: {getattr(exc, 'problem', exc)}") from exc
    except RecursionError as exc:
        raise ScenarioError(f"`{path}` is nested too deeply to be a scenario file") from exc
    if not isinstance(document, dict):
        raise ScenarioError(f"`{path}` must hold `key: value` lines such as `seed: 1`")
    try:
        read = ScenarioFile.model_validate(document)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise ScenarioError(f"`{path}`, field `{where}`: {first['msg']}") from exc
    folder = path.parent
    return read.model_copy(
        update={
            "city": tuple(folder / part for part in read.city),
            "sites": folder / read.sites if read.sites is not None else None,
        }
    )


def resolve(spec: ScenarioSpec) -> Wanted:
    """Apply the precedence: explicit values, then the scenario file, then the defaults.

    A map named explicitly replaces the file's map and with it the file's `area`, `name` and `timezone`, which
    belong to that map.

    Raises:
        ScenarioError: The scenario file is wrong.
    """
    given = spec.model_fields_set
    if spec.scenario is None:
        return Wanted(city=spec.city, area=spec.area, sites=spec.sites, seed=spec.seed, num_ues=spec.num_ues)
    read = read_scenario_file(spec.scenario)
    own_map = "city" in given and bool(spec.city)
    own_sites = "sites" in given and spec.sites is not None
    return Wanted(
        city=spec.city if own_map else read.city,
        area=spec.area if "area" in given and spec.area is not None else None if own_map else read.area,
        sites=spec.sites if own_sites else None if own_map else read.sites,
        seed=spec.seed if "seed" in given or read.seed is None else read.seed,
        num_ues=spec.num_ues if "num_ues" in given or read.ues is None else read.ues,
        name="" if own_map else read.name or "",
        timezone="" if own_map else read.timezone or "",
        attribution=() if own_map else read.attribution,
        overrides=read.cells,
        source=spec.scenario,
    )
