"""A scenario in one file: a zip of numpy arrays with the small values as JSON inside; never pickle."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from twin.entities import (
    Building,
    Cell,
    LandUse,
    NeighbourRelation,
    Place,
    RisPanel,
    RrmPolicy,
    SensingTarget,
    Site,
    Slice,
    StreetGraph,
    TransportLink,
    TransportNode,
    UserEquipment,
)
from twin.errors import CorruptStore, StoreUnavailable
from twin.mobility import Tracks
from twin.scenario import CrowdEvent, FaultPlan, LandUseGrid, Origin, Scenario

FORMAT = 1
_ROWS: dict[str, TypeAdapter[Any]] = {
    "origin": TypeAdapter(Origin),
    "sites": TypeAdapter(tuple[Site, ...]),
    "cells": TypeAdapter(tuple[Cell, ...]),
    "neighbours": TypeAdapter(tuple[NeighbourRelation, ...]),
    "slices": TypeAdapter(tuple[Slice, ...]),
    "ues": TypeAdapter(tuple[UserEquipment, ...]),
    "nodes": TypeAdapter(tuple[TransportNode, ...]),
    "links": TypeAdapter(tuple[TransportLink, ...]),
    "places": TypeAdapter(tuple[Place, ...]),
}
_LATER: dict[str, TypeAdapter[Any]] = {
    "policies": TypeAdapter(tuple[RrmPolicy, ...]),
    "ris": TypeAdapter(tuple[RisPanel, ...]),
    "targets": TypeAdapter(tuple[SensingTarget, ...]),
    "faults": TypeAdapter(tuple[FaultPlan, ...]),
    "events": TypeAdapter(tuple[CrowdEvent, ...]),
    "mobility": TypeAdapter(Literal["tours", "random_waypoint", "fcd"]),
    "month_byte": TypeAdapter(float),
    "energy_model": TypeAdapter(Literal["earth", "tr38864"]),
    "radio_map": TypeAdapter(str),
    "configured": TypeAdapter(tuple[tuple[str, str, float | str], ...]),
}
"""What files of before do not have; they keep the defaults of :class:`Scenario`."""
_TRACKS = ("length_s", "first", "when_s", "where_m")
_PLAIN = ("name", "digest", "timezone", "extent_m", "seed", "attribution")


def save_scenario(scenario: Scenario, path: Path) -> None:
    """Write a scenario to one file, wholly or not at all.

    Raises:
        StoreUnavailable: The file cannot be written.
    """
    document: dict[str, Any] = {"format": FORMAT, **{key: getattr(scenario, key) for key in _PLAIN}}
    for key, adapter in (_ROWS | _LATER).items():
        document[key] = adapter.dump_python(getattr(scenario, key), mode="json")
    document["buildings"] = [
        [b.id, b.name, b.height_m, b.height_source, b.land_use.value, len(b.footprint_m)] for b in scenario.buildings
    ]
    document["edge_name"] = scenario.streets.edge_name
    grid = scenario.land_use
    document["land_use"] = [grid.west_m, grid.south_m, grid.cell_m]
    rings = [building.footprint_m for building in scenario.buildings]
    arrays = {
        "document": np.frombuffer(json.dumps(document, ensure_ascii=False).encode(), dtype=np.uint8),
        "footprint_m": np.concatenate(rings) if rings else np.empty((0, 2), dtype=np.float32),
        "node_m": scenario.streets.node_m,
        "edge": scenario.streets.edge,
        "edge_speed_mps": scenario.streets.edge_speed_mps,
        "edge_walkable": scenario.streets.edge_walkable,
        "land_use_code": grid.code,
    }
    if scenario.tracks is not None:
        arrays |= {f"track_{key}": np.asarray(getattr(scenario.tracks, key)) for key in _TRACKS}
    if scenario.demand_curves is not None:
        arrays["demand_curves"] = scenario.demand_curves
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # stubs mistake arrays for the flag
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise StoreUnavailable(f"the scenario cannot be written to `{path}`: {exc.strerror}") from exc


def load_scenario(path: Path) -> Scenario:
    """Read what :func:`save_scenario` wrote.

    Raises:
        CorruptStore: The file is missing, truncated, altered, or of another format.
    """
    try:
        # Opened here, because numpy leaves its own handle open when the archive turns out to be damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        return _scenario(arrays)
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError, IndexError) as exc:
        # ValidationError and JSON errors are ValueErrors.
        reason = f"{exc.error_count()} wrong values" if isinstance(exc, ValidationError) else str(exc) or repr(exc)
        raise CorruptStore(
            f"the scenario file `{path}` cannot be read ({reason}); remove it to build the city anew"
        ) from exc


def _scenario(arrays: dict[str, Any]) -> Scenario:
    document = json.loads(arrays["document"].tobytes())
    if document.get("format") != FORMAT:
        raise ValueError(f"format `{document.get('format')}`, expected `{FORMAT}`")
    rows = {key: adapter.validate_python(document[key]) for key, adapter in _ROWS.items()}
    rows |= {key: adapter.validate_python(document[key]) for key, adapter in _LATER.items() if key in document}
    footprint_m = arrays["footprint_m"]
    buildings: list[Building] = []
    start = 0
    for entity_id, name, height_m, height_source, land_use, length in document["buildings"]:
        buildings.append(
            Building(
                id=entity_id,
                name=name,
                footprint_m=footprint_m[start : start + length],
                height_m=height_m,
                height_source=height_source,
                land_use=LandUse(land_use),
            )
        )
        start += length
    if start != len(footprint_m):
        raise ValueError("footprints and buildings do not agree")
    edge, node_m = arrays["edge"], arrays["node_m"]
    if len(edge) and (edge.min() < 0 or edge.max() >= len(node_m)):
        raise ValueError("a street refers to a node that does not exist")
    west_m, south_m, cell_m = document["land_use"]
    return Scenario(
        name=document["name"],
        digest=document["digest"],
        timezone=document["timezone"],
        extent_m=tuple(document["extent_m"]),
        seed=document["seed"],
        attribution=tuple(document["attribution"]),
        buildings=tuple(buildings),
        streets=StreetGraph(
            node_m=node_m,
            edge=edge,
            edge_speed_mps=arrays["edge_speed_mps"],
            edge_walkable=arrays["edge_walkable"],
            edge_name=tuple(document["edge_name"]),
        ),
        land_use=LandUseGrid(west_m=west_m, south_m=south_m, cell_m=cell_m, code=arrays["land_use_code"]),
        tracks=_tracks(arrays),
        demand_curves=arrays.get("demand_curves"),
        **rows,
    )


def _tracks(arrays: dict[str, Any]) -> Tracks | None:
    """Return the ways that vehicles take, None where the scenario has none."""
    if "track_first" not in arrays:
        return None
    first, when_s, where_m = (arrays[f"track_{key}"] for key in _TRACKS[1:])
    if len(first) < 2 or first[0] != 0 or first[-1] != len(when_s) or len(when_s) != len(where_m):
        raise ValueError("tracks and their points do not agree")
    return Tracks(length_s=float(arrays["track_length_s"]), first=first, when_s=when_s, where_m=where_m)
