"""What a user says about the city he wants: command-line values and the YAML scenario file.

Every key of the scenario file with an example: `docs/scenario-file.md`. Managed attributes carry their 3GPP names and
units, their ranges are those of :mod:`twin.attributes`.

Precedence: what the command line gives explicitly wins over the scenario file, the file over the defaults.
"""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from twin.attributes import AttributeValue, attributes_of, check
from twin.entities import Environment, Kind, LandUse
from twin.errors import ScenarioError, TwinError
from twin.faults import fault
from twin.sixg import sub_terahertz
from twin_app.scenarios.yaml_lines import YamlFile, read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Area = tuple[FiniteFloat, FiniteFloat, Annotated[FiniteFloat, Field(gt=0)], Annotated[FiniteFloat, Field(gt=0)]]
"""East and north of the lower left corner in the map's ENU frame, width, height, all in metres.

The map's frame has its origin in the middle of everything that the city files hold; the scenario's own origin
is then the centre of the area.
"""
MAX_UES = 200_000
_SAID_CHARS = 60
_HUGE = 10**15
_DAY_S = 86_400.0
_WORLD_M = 200_000.0


def _said(value: object) -> str:
    """Return a value as it may stand in a message."""
    try:
        text = str(value)
    except ValueError:  # an integer of more digits than Python writes
        return "a number without end"
    return text if len(text) <= _SAID_CHARS else f"{text[:_SAID_CHARS]}..."


def _in_range(value: object, *, low: float, high: float, unit: str, whole: bool) -> object:
    what = f"a {'whole ' if whole else ''}number from {low:g} to {high:g}{unit and ' ' + unit}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"this is {what}, not `{_said(value)}`")
    if whole and value != int(value):
        raise ValueError(f"this is {what}, not `{_said(value)}`")
    return int(value) if whole else float(value)


def _range(low: float, high: float, unit: str = "", *, whole: bool = False) -> Callable[[object], Any]:
    """Return a function that returns the number it is given if it lies in the range."""
    return partial(_in_range, low=low, high=high, unit=unit, whole=whole)


def _within(low: float, high: float, unit: str = "", *, whole: bool = False) -> BeforeValidator:
    return BeforeValidator(_range(low, high, unit, whole=whole))


def _listed_or(other: str) -> Discriminator:
    """Return what tells a list from the other way to say the same, so that errors speak of the one that was meant."""
    return Discriminator(lambda value: "list" if isinstance(value, list | tuple) else other)


def _allowed(name: str, value: object) -> AttributeValue:
    """Return the value of a managed attribute if the table allows it; YAML's `true` is the NRM's member `true`.

    Raises:
        ValueError: It does not.
    """
    if isinstance(value, bool):
        value = str(value).lower()
    elif not isinstance(value, str | int | float) or (isinstance(value, int) and abs(value) > _HUGE):
        value = _said(value)
    try:
        return check(name, value)
    except TwinError as exc:
        raise ValueError(str(exc)) from exc


Metres = Annotated[float, _within(-_WORLD_M, _WORLD_M, "m")]
Seconds = Annotated[float, _within(0, 366 * _DAY_S, "s")]
Name = Annotated[str, Field(min_length=1, max_length=80)]
Position = tuple[Metres, Metres, Metres]
Settings = dict[str, AttributeValue]
"""Managed attributes of one entity, 3GPP names and units."""


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
    num_ues: int = Field(default=500, ge=0, le=MAX_UES)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Carrier(_Part):
    """One more carrier: a cell beside each sector of some sites, or hot-spots with sites of their own.

    Attributes:
        sites: Site ids, or every site with sectors of this environment, or all.
        hot_spots: How many street sites near the places where people meet.
        environment: None = that of the sector, `SubTHz` from 100 GHz.
        power_mw: None = that of the sector.
        tilt_tenths: None = that of the sector.
    """

    sites: (
        Annotated[
            Annotated[Literal["all", "UMa", "UMi"], Tag("word")] | Annotated[tuple[str, ...], Tag("list")],
            _listed_or("word"),
        ]
        | None
    ) = None
    hot_spots: Annotated[int, _within(0, 1000, whole=True)] = 0
    carrier_hz: Annotated[float, _within(410e6, 175e9, "Hz")]
    bandwidth_hz: Annotated[float, _within(5e6, 2e9, "Hz")]
    environment: Environment | None = None
    power_mw: float | None = Field(default=None, alias="configuredMaxTxPower")
    tilt_tenths: float | None = Field(default=None, alias="digitalTilt")

    @field_validator("bandwidth_hz")
    @classmethod
    def _channel(cls, value: float) -> float:
        _allowed("bSChannelBwDL", value / 1e6)
        return value

    @field_validator("power_mw", "tilt_tenths", mode="before")
    @classmethod
    def _managed(cls, value: object, info: Any) -> object:
        return _allowed("configuredMaxTxPower" if info.field_name == "power_mw" else "digitalTilt", value)

    @model_validator(mode="after")
    def _fits(self) -> Carrier:
        if (self.sites is None) == (not self.hot_spots):
            raise ValueError("say either `sites` or `hot_spots`")
        if self.hot_spots and self.carrier_hz < sub_terahertz.LOWEST_HZ:
            raise ValueError(f"`hot_spots` have carriers from 100 GHz; `{self.carrier_hz:g} Hz` goes to `sites`")
        if self.environment is not None and (self.environment == "SubTHz") != (
            self.carrier_hz >= sub_terahertz.LOWEST_HZ
        ):
            raise ValueError(
                f"`environment` is `SubTHz` from 100 GHz and one of UMa, UMi, RMa, InH below (TR 38.901);"
                f" `{self.environment}` does not go with `{self.carrier_hz:g} Hz`"
            )
        return self


class RandomSeverity(_Part):
    """How hard a fault strikes is left to chance."""

    random: Literal[True]


class InjectedFault(_Part):
    """A fault of the catalogue with its time.

    Attributes:
        severity: 0 to 1, or `{random: true}`.
        seed: Makes a random severity independent of the seed of the scenario.
    """

    fault: str
    entity: str
    severity: Annotated[
        Annotated[float, _within(0, 1), Tag("number")] | Annotated[RandomSeverity, Tag("chance")],
        Discriminator(lambda value: "chance" if isinstance(value, dict | RandomSeverity) else "number"),
    ] = RandomSeverity(random=True)
    at_s: Seconds
    clear_after_s: Annotated[float, _within(0.1, 366 * _DAY_S, "s")] | None = None
    seed: Annotated[int, _within(0, 2**63 - 1, whole=True)] | None = None

    @field_validator("fault")
    @classmethod
    def _in_catalogue(cls, value: str) -> str:
        try:
            return fault(value).name
        except TwinError as exc:
            raise ValueError(str(exc)) from exc


class FlashCrowd(_Part):
    """People who come to one place, given by id or name of a place, or by east and north."""

    name: Name
    place: str | None = None
    position_m: tuple[Metres, Metres] | None = None
    radius_m: Annotated[float, _within(10, 5000, "m")]
    at_s: Seconds
    ramp_s: Annotated[float, _within(1, _DAY_S, "s")] = 300.0
    duration_s: Annotated[float, _within(1, 7 * _DAY_S, "s")]
    demand_factor: Annotated[float, _within(1, 50)]

    @model_validator(mode="after")
    def _somewhere(self) -> FlashCrowd:
        if (self.place is None) == (self.position_m is None):
            raise ValueError("say either `place` or `position_m`")
        if self.duration_s < 2.0 * self.ramp_s:
            raise ValueError(
                f"`duration_s` holds both ramps, so it is at least {2 * self.ramp_s:g} s, not `{self.duration_s:g}`"
            )
        return self


class Panel(_Part):
    """A reconfigurable intelligent surface."""

    id: str = Field(pattern=r"^ris-[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)
    name: Name | None = None
    position_m: Position
    azimuth_deg: Annotated[float, _within(0, 360, "deg")]
    columns: Annotated[int, _within(1, 512, whole=True)]
    rows: Annotated[int, _within(1, 512, whole=True)]
    cell: str
    phase_profile_index: float = Field(default=0.0, alias="vsData6gRis.phaseProfileIndex")

    @field_validator("phase_profile_index", mode="before")
    @classmethod
    def _managed(cls, value: object) -> object:
        return _allowed("vsData6gRis.phaseProfileIndex", value)


class Target(_Part):
    """Something to be sensed that passes places round and round."""

    id: str = Field(pattern=r"^target-[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)
    name: Name | None = None
    path_m: tuple[Position, ...] = Field(min_length=1, max_length=1000)
    speed_mps: Annotated[float, _within(0, 100, "m/s")] = 0.0
    rcs_m2: Annotated[float, _within(1e-4, 1e5, "m2")]


class Demand(_Part):
    """How much is wanted, and measured weeks: files of the Milan grid, and which squares stand for which land use."""

    month_gb: Annotated[float, _within(0.1, 1000, "GB")] | None = None
    milan: tuple[Path, ...] = ()
    squares: dict[LandUse, tuple[Annotated[int, _within(1, 10_000, whole=True)], ...]] = Field(default_factory=dict)


_MANAGED = {"cells": Kind.CELL, "relations": Kind.RELATION, "policies": Kind.POLICY, "links": Kind.LINK}
_BESIDES: dict[str, dict[str, Callable[[object], Any]]] = {
    "links": {"capacity_bps": _range(1e6, 1e13, "bit/s"), "length_m": _range(1, 1e7, "m")},
    "slices": {"share": _range(0, 1)},
}
"""Settings of an entity that are no managed attribute: what was built, not what is configured."""


class ScenarioFile(_Part):
    """The text of a YAML scenario file, strictly checked; what needs the city is checked when it is there.

    Attributes:
        slices: Managed attributes of the policy of a slice at every site, and the share of UEs in it.
        ris: The panels, or how many to hang where they help most.
        targets: The targets, or how many drones to let fly.
    """

    name: Name | None = None
    timezone: str | None = None
    city: tuple[Path, ...] = ()
    area: Area | None = None
    sites: Path | None = None
    seed: Annotated[int, _within(0, 2**63 - 1, whole=True)] | None = None
    ues: Annotated[int, _within(0, MAX_UES, whole=True)] | None = None
    attribution: tuple[str, ...] = ()
    carriers: tuple[Carrier, ...] = ()
    cells: dict[str, Settings] = Field(default_factory=dict)
    relations: dict[str, Settings] = Field(default_factory=dict)
    slices: dict[str, Settings] = Field(default_factory=dict)
    policies: dict[str, Settings] = Field(default_factory=dict)
    links: dict[str, Settings] = Field(default_factory=dict)
    faults: tuple[InjectedFault, ...] = ()
    events: tuple[FlashCrowd, ...] = ()
    ris: Annotated[
        Annotated[tuple[Panel, ...], Tag("list")] | Annotated[int, _within(0, 1000, whole=True), Tag("count")],
        _listed_or("count"),
    ] = ()
    targets: Annotated[
        Annotated[tuple[Target, ...], Tag("list")] | Annotated[int, _within(0, 1000, whole=True), Tag("count")],
        _listed_or("count"),
    ] = ()
    mobility: Literal["tours", "random_waypoint", "fcd"] = "tours"
    tracks: Path | None = None
    demand: Demand = Field(default_factory=Demand)
    energy_model: Literal["earth", "tr38864"] = "earth"
    radio_map: Path | None = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None and value not in zoneinfo.available_timezones():
            raise ValueError(f"`{_said(value)}` is no IANA time zone, such as Europe/Luxembourg")
        return value

    @field_validator("city", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


_PARTS: dict[str, type[_Part]] = {
    "carriers": Carrier,
    "faults": InjectedFault,
    "events": FlashCrowd,
    "ris": Panel,
    "targets": Target,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The one answer after precedence: what to build.

    Attributes:
        name: Name stated in the scenario file, "" otherwise.
        timezone: Zone stated in the scenario file, "" otherwise.
        attribution: Notices stated in the scenario file.
        file: What else the scenario file says; paths in it are absolute or relative to the working folder.
        source: Where it says so.
    """

    city: tuple[Path, ...] = ()
    area: tuple[float, float, float, float] | None = None
    sites: Path | None = None
    seed: int = 1
    num_ues: int = 500
    name: str = ""
    timezone: str = ""
    attribution: tuple[str, ...] = ()
    file: ScenarioFile = field(default_factory=ScenarioFile)
    source: YamlFile | None = None

    def error(self, *where: str | int, problem: str) -> ScenarioError:
        """Return the error for a value of the scenario file."""
        return ScenarioError(problem) if self.source is None else self.source.error(where, problem)


def read_scenario_file(path: Path) -> tuple[ScenarioFile, YamlFile]:
    """Read and check a YAML scenario file; its relative paths are taken from its own folder.

    Raises:
        ScenarioError: The file is missing, too large, no YAML, or a value is wrong; names line, field and value.
    """
    source = read_yaml(path)
    content = dict(source.content)
    for section in (*_MANAGED, "slices"):
        if section in content:
            content[section] = _settings(source, section)
    try:
        read = ScenarioFile.model_validate(content)
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_context=False)
        # A key that does not exist is why another one is missing.
        first = min(errors, key=lambda one: one["type"] != "extra_forbidden")
        raise source.error(first["loc"], _problem(first)) from exc
    if (read.mobility == "fcd") != (read.tracks is not None):
        where = "mobility" if read.tracks is None else "tracks"
        raise source.error([where], "`mobility: fcd` and `tracks: FILE` belong together; one of them is missing")
    folder = path.parent
    files: dict[str, Any] = {"city": tuple(folder / part for part in read.city)}
    for key in ("sites", "tracks", "radio_map"):
        given = getattr(read, key)
        files[key] = None if given is None else folder / given
        if key != "sites" and given is not None and not files[key].is_file():
            raise source.error([key], f"there is no file `{files[key]}`")
    if read.demand.squares and not read.demand.milan:
        raise source.error(["demand", "squares"], "`squares` belong to files of the Milan grid; name them as `milan`")
    if read.demand.milan:
        files["demand"] = read.demand.model_copy(update={"milan": tuple(folder / part for part in read.demand.milan)})
    return read.model_copy(update=files), source


def _settings(source: YamlFile, section: str) -> object:
    """Return a section of managed attributes with its values checked by the table.

    Raises:
        ScenarioError: A value is wrong.
    """
    rows = source.content[section]
    if not isinstance(rows, dict):
        raise source.error([section], f"this holds `id: {{attribute: value}}` lines, not `{_said(rows)}`")
    besides = _BESIDES.get(section, {})
    known = [*(row.name for row in attributes_of(_MANAGED.get(section, Kind.POLICY))), *besides]
    checked: dict[str, Settings] = {}
    for entity_id, attributes in rows.items():
        if not isinstance(attributes, dict):
            raise source.error([section, entity_id], f"this holds attributes, not `{_said(attributes)}`")
        mine = checked[entity_id] = {}
        for name, value in attributes.items():
            where = [section, entity_id, name]
            if name not in known:
                raise source.error(where, f"no such attribute here; known: {', '.join(known)}")
            try:
                mine[name] = besides[name](value) if name in besides else _allowed(name, value)
            except ValueError as exc:
                raise source.error(where, str(exc)) from exc
    return checked


def _problem(error: Mapping[str, Any]) -> str:
    """Return what pydantic found in our words, with the value."""
    match error["type"]:
        case "missing":
            return f"`{error['loc'][-1]}` is missing"
        case "extra_forbidden":
            section = str(error["loc"][0]) if len(error["loc"]) > 1 else ""
            part = RandomSeverity if "chance" in error["loc"] else _PARTS.get(section, ScenarioFile)
            known = ", ".join(one.alias or name for name, one in part.model_fields.items())
            return f"there is no such key; known: {known}"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
        case _:
            words = str(error["msg"]).removeprefix("Input should be ")
            return f"this should be {words}, not `{_said(error['input'])}`"


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
    read, source = read_scenario_file(spec.scenario)
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
        file=read,
        source=source,
    )
