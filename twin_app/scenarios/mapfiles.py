"""Which reader a map file gets: by its content, not by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.errors import ScenarioError
from twin_app.scenarios.geojson import read_geojson
from twin_app.scenarios.osm import OsmSink
from twin_app.scenarios.rawmap import RawMap, spot
from twin_app.scenarios.sumo import SumoPolygonSink
from twin_app.scenarios.xmlstream import ElementSink, chunks, parse_xml

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_SUMO_ROOTS = frozenset({"additional", "add", "shapes"})


def read_maps(paths: Sequence[Path], *, progress: Callable[[str, float], None]) -> RawMap:
    """Read all map files into one map.

    Raises:
        ScenarioError: A file is wrong or of an unknown kind, or none of them holds anything usable.
    """
    into = RawMap()
    for number, path in enumerate(paths):
        progress(f"reading {path.name}", number / len(paths))
        before = into.size(), into.missing_nodes
        _read(path, into)
        if into.size() == before[0]:
            missing = into.missing_nodes - before[1]
            lost = f"; {missing} node references lead nowhere" if missing else ""
            raise ScenarioError(
                f"`{path}` holds no street, building, land use or named place{lost};"
                " export the area again with its nodes"
            )
    into.attribution = list(dict.fromkeys(into.attribution))
    return into


def _read(path: Path, into: RawMap) -> None:
    head = next(iter(chunks(path)), b"").lstrip(b"\xef\xbb\xbf \t\r\n")
    if head[:1] in {b"{", b"["}:
        read_geojson(path, into)
        return
    if not head:
        raise ScenarioError(f"the map file `{path}` is empty")
    if head[:1] != b"<":
        raise ScenarioError(
            f"`{path}` is no map this twin reads: OpenStreetMap XML (.osm), SUMO polygons (.poly.xml), GeoJSON,"
            " each also gzipped; convert .pbf with `osmium cat in.osm.pbf -o out.osm.gz`"
        )
    sinks: list[OsmSink | SumoPolygonSink] = []

    def sink_for(root: str, line: int) -> ElementSink:
        if root == "osm":
            sinks.append(OsmSink(path))
        elif root in _SUMO_ROOTS:
            sinks.append(SumoPolygonSink(path))
        else:
            raise ScenarioError(
                f"{spot(path, line)}: the root element `{root}` is neither `osm` nor SUMO's `additional`;"
                " a SUMO net has no geography of its own, give the .osm it was made from"
            )
        return sinks[0]

    parse_xml(path, sink_for)
    sinks[0].finish(into)
