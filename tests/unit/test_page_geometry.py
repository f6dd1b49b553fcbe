import json
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from twin.entities import StreetGraph
from twin_app.page_geometry import encode_line, map_document, street_lines
from twin_app.scenarios.build import build_scenario
from twin_app.scenarios.spec import ScenarioSpec


def decode_line(line: list[int]) -> np.ndarray:
    return np.cumsum(np.array(line).reshape(-1, 2), axis=0) / 10.0


def streets(
    edges: list[tuple[int, int]], *, speed_mps: float = 8.0, names: tuple[str, ...] | None = None
) -> StreetGraph:
    num_nodes = 1 + max((max(edge) for edge in edges), default=0)
    return StreetGraph(
        node_m=np.arange(2 * num_nodes, dtype=np.float32).reshape(-1, 2),
        edge=np.array(edges, dtype=np.int32).reshape(-1, 2),
        edge_speed_mps=np.full(len(edges), speed_mps, dtype=np.float32),
        edge_walkable=np.ones(len(edges), dtype=np.bool_),
        edge_name=names or ("",) * len(edges),
    )


def walked(lines: list[tuple[str, str, list[int]]]) -> list[tuple[int, int]]:
    return sorted((min(step), max(step)) for _, _, nodes in lines for step in pairwise(nodes))


@given(st.lists(st.tuples(*[st.floats(-5000, 5000, width=32)] * 2), min_size=1, max_size=40))
def test_a_line_comes_back_within_half_a_decimetre(points: list[tuple[float, float]]) -> None:
    points_m = np.array(points, dtype=np.float32)
    assert np.abs(decode_line(encode_line(points_m)) - points_m).max() <= 0.0501


@given(st.sets(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(lambda e: e[0] < e[1]), max_size=30))
def test_every_street_edge_is_drawn_exactly_once(edges: set[tuple[int, int]]) -> None:
    assert walked(street_lines(streets(sorted(edges)))) == sorted(edges)


def test_a_street_without_branches_is_one_line() -> None:
    (line,) = street_lines(streets([(0, 1), (2, 1), (2, 3)]))
    assert line[2] in ([0, 1, 2, 3], [3, 2, 1, 0])


def test_a_ring_is_closed() -> None:
    ((_, _, nodes),) = street_lines(streets([(0, 1), (1, 2), (2, 0)]))
    assert nodes[0] == nodes[-1]


def test_streets_are_classed_by_who_may_use_them_and_how_fast() -> None:
    kinds = [street_lines(streets([(0, 1)], speed_mps=speed))[0][0] for speed in (0.0, 8.3, 13.9)]
    assert kinds == ["path", "minor", "major"]


def test_streets_of_different_names_stay_apart() -> None:
    names = sorted(name for _, name, _ in street_lines(streets([(0, 1), (1, 2)], names=("High Street", "Low Street"))))
    assert names == ["High Street", "Low Street"]


def test_the_document_of_the_default_city_holds_all_of_it_in_little_room() -> None:
    scenario = build_scenario(ScenarioSpec())
    body = map_document(scenario, scene_id="scene-1")
    document = json.loads(body)
    assert [cell["id"] for cell in document["cells"]] == [cell.id for cell in scenario.cells]
    assert len(document["buildings"]) == len(scenario.buildings)
    ring = decode_line(document["buildings"][0]["ring"])
    assert np.abs(ring - scenario.buildings[0].footprint_m).max() <= 0.0501
    assert len(body) < 300_000
