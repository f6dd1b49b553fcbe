"""Every graph store answers every named query alike, on a small network computed by hand.

Two sites 300 m apart, three cells each, one aggregation router, one user-plane function::

    site-1 --link-1--> node-agg-1 --link-3--> node-upf
    site-2 --link-2--> node-agg-1
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from knowledge_graph.embedded import EmbeddedGraph
from knowledge_graph.named_queries import load_queries
from knowledge_graph.projection import GraphPicture
from twin.alarms import Alarm, AlarmEvidence, Severity
from twin.control import Change, ChangeState, PlannedAction
from twin.entities import (
    Building,
    Cell,
    LandUse,
    NeighbourRelation,
    Place,
    Site,
    Slice,
    StreetGraph,
    TransportLink,
    TransportNode,
    UserEquipment,
)
from twin.errors import InvalidInput, UnknownName
from twin.scenario import LandUseGrid, Origin, Scenario
from twin.topology import Topology, topology_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ADAPTERS = {"embedded": EmbeddedGraph}


def _cell(site: int, sector: int) -> Cell:
    return Cell(
        id=f"cell-{site}-{sector}",
        site_id=f"site-{site}",
        sector=sector,
        name=f"cell {site}-{sector}",
        dn=f"SubNetwork=1,ManagedElement=gNB-{site},GNBDUFunction={site},NRCellDU={sector}",
        aliases=(f"{site}-{sector}", f"S{site}-{sector}"),
        azimuth_deg=120.0 * (sector - 1),
        tilt_deg=6.0,
        tx_power_dbm=43.0,
        carrier_hz=3.5e9,
        bandwidth_hz=1e8,
        environment="UMa",
        nr_pci=10 * site + sector,
    )


def scenario() -> Scenario:
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], np.float32)
    return Scenario(
        name="two sites",
        digest="0" * 64,
        origin=Origin(latitude_deg=48.0, longitude_deg=2.0),
        timezone="Europe/Paris",
        extent_m=(-500.0, -500.0, 500.0, 500.0),
        seed=1,
        sites=(
            Site(id="site-1", name="North", dn="ManagedElement=gNB-1", position_m=(0.0, 0.0, 10.0), height_m=25.0),
            Site(id="site-2", name="South", dn="ManagedElement=gNB-2", position_m=(0.0, -300.0, 0.0), height_m=30.0),
        ),
        cells=tuple(_cell(site, sector) for site in (1, 2) for sector in (1, 2, 3)),
        # 1-1 <-> 1-2, 1-2 <-> 2-1, 2-1 -> 2-2: a chain with two-node cycles, the trap of relationship uniqueness.
        neighbours=tuple(
            NeighbourRelation(source_id=f"cell-{a}", target_id=f"cell-{b}", cell_individual_offset_db=offset)
            for a, b, offset in [
                ("1-1", "1-2", 0.0),
                ("1-2", "1-1", 0.0),
                ("1-2", "2-1", 2.0),
                ("2-1", "1-2", -2.0),
                ("2-1", "2-2", 0.0),
            ]
        ),
        slices=(
            Slice(id="slice-embb", name="eMBB", dn="NetworkSlice=1", sst=1),
            Slice(id="slice-urllc", name="URLLC", dn="NetworkSlice=2", sst=2),
        ),
        ues=tuple(
            UserEquipment(
                id=f"ue-{n}",
                slice_id="slice-urllc" if n == 3 else "slice-embb",
                mobility="walk",
                land_use=LandUse.OFFICE,
                home_m=(1.0, 2.0),
            )
            for n in (1, 2, 3)
        ),
        nodes=(
            TransportNode(id="node-agg-1", name="agg 1", role="aggregation", position_m=(50.0, -150.0, 0.0)),
            TransportNode(id="node-upf", name="UPF", role="upf", position_m=(60.0, -160.0, 0.0)),
        ),
        links=(
            TransportLink(id="link-1", name="link 1", a_id="site-1", b_id="node-agg-1", capacity_bps=1e9),
            TransportLink(id="link-2", name="link 2", a_id="site-2", b_id="node-agg-1", capacity_bps=2e9),
            TransportLink(id="link-3", name="link 3", a_id="node-agg-1", b_id="node-upf", capacity_bps=1e10),
        ),
        buildings=(
            Building(
                id="building-1",
                name='The "Old", Mill',
                footprint_m=square,
                height_m=12.0,
                height_source="levels",
                land_use=LandUse.RESIDENTIAL,
            ),
            Building(
                id="building-2",
                footprint_m=square + np.float32(100),
                height_m=9.0,
                height_source="height",
                land_use=LandUse.OFFICE,
            ),
        ),
        places=(Place(id="place-1", name="the station", category="station", position_m=(3.0, 4.0, 0.0)),),
        streets=StreetGraph(
            node_m=np.zeros((0, 2), np.float32),
            edge=np.zeros((0, 2), np.int32),
            edge_speed_mps=np.zeros(0, np.float32),
            edge_walkable=np.zeros(0, np.bool_),
        ),
        land_use=LandUseGrid(west_m=-500, south_m=-500, cell_m=1000, code=np.zeros((1, 1), np.uint8)),
    )


def alarm(number: int, entity_id: str, *, raised_at_s: float = 10.0, cleared_at_s: float | None = None) -> Alarm:
    return Alarm(
        id=f"alarm-{number}",
        scene_id="scene-1",
        entity_id=entity_id,
        dn="",
        probable_cause="powerProblem",
        perceived_severity=Severity.MAJOR,
        event_type="equipmentAlarm",
        specific_problem=f"problem {number}",
        raised_at_s=raised_at_s,
        cleared_at_s=cleared_at_s,
        evidence=(AlarmEvidence(kpi="RRU.PrbTotDl", value=99.0, expected=40.0, unit="%", score=8.0),),
    )


def change(change_id: str = "change-1", *, state: ChangeState = ChangeState.COMMITTED, undoes: str = "") -> Change:
    action = PlannedAction(entity_id="cell-1-1", attribute="digitalTilt", value=80.0, old_value=60.0, unit="0.1 deg")
    return Change(
        id=change_id,
        state=state,
        reason="less overlap",
        actions=(action,),
        base_revision=1,
        digest="d",
        proposed_by="local:ann",
        proposed_at_unix_s=0.0,
        proposed_at_sim_s=5.0,
        expires_at_unix_s=1.0,
        applied_at_sim_s=7.0,
        finished_at_sim_s=9.5,
        undoes=undoes,
    )


def picture(world: Scenario | None = None) -> GraphPicture:
    world = world or scenario()
    return GraphPicture(
        scene_id="scene-1",
        scenario=world,
        topology=topology_of(world),
        alarms=(
            alarm(1, "cell-1-1"),
            alarm(2, "cell-1-2", raised_at_s=20.0),
            alarm(3, "link-3"),
            alarm(4, "cell-1-1", raised_at_s=2.0, cleared_at_s=3.5),
            alarm(5, "site-1"),
            alarm(6, "cell-2-1"),
            alarm(7, "node-agg-1"),
            alarm(8, "ue-1"),
        ),
        changes=(change(), change("change-2", state=ChangeState.ROLLED_BACK, undoes="change-1")),
    )


@pytest.fixture(params=sorted(ADAPTERS))
async def graph(request: pytest.FixtureRequest) -> AsyncIterator[EmbeddedGraph]:
    store = ADAPTERS[request.param](refresh_interval_s=0.0)
    await store.start()
    await store.rebuild(picture())
    yield store
    await store.close()


async def rows(graph: EmbeddedGraph, query_id: str, /, **params: object) -> list[tuple[object, ...]]:
    found = [tuple(row.values()) for row in await graph.read(query_id, params)]
    return found if load_queries()[query_id].ordered else sorted(found, key=repr)


async def ids(graph: EmbeddedGraph, query_id: str, /, **params: object) -> list[object]:
    return [row["id"] for row in await graph.read(query_id, params)]


async def test_neighbours_of_a_cell_come_nearest_first(graph: EmbeddedGraph) -> None:
    far = pytest.approx(np.sqrt(300.0**2))
    assert await rows(graph, "neighbours_of_cell", cell_id="cell-1-2") == [
        ("cell-1-1", "cell 1-1", "site-1", 0.0, 0.0, 0.0, "UNLOCKED", None),
        ("cell-2-1", "cell 2-1", "site-2", 0.0, far, 2.0, "UNLOCKED", None),
    ]


async def test_neighbours_within_hops_count_the_shortest_way_and_never_the_cell_itself(graph: EmbeddedGraph) -> None:
    assert await rows(graph, "neighbours_within_hops", cell_id="cell-1-1", max_hops=3) == [
        ("cell-1-2", "cell 1-2", 1),
        ("cell-2-1", "cell 2-1", 2),
        ("cell-2-2", "cell 2-2", 3),
    ]
    assert await ids(graph, "neighbours_within_hops", cell_id="cell-1-1") == ["cell-1-2", "cell-2-1"]


async def test_neighbours_of_neighbours_leave_out_the_cell_and_its_neighbours(graph: EmbeddedGraph) -> None:
    assert await rows(graph, "neighbours_of_neighbours", cell_id="cell-1-1") == [("cell-2-1", "cell 2-1")]
    assert await rows(graph, "neighbours_of_neighbours", cell_id="cell-2-1") == [("cell-1-1", "cell 1-1")]


async def test_cells_of_a_site_come_by_sector_with_their_configuration(graph: EmbeddedGraph) -> None:
    assert await rows(graph, "cells_of_site", site_id="site-2") == [
        ("cell-2-1", "cell 2-1", 1, 0.0, 60.0, 19953.0, "UNLOCKED", None),
        ("cell-2-2", "cell 2-2", 2, 120.0, 60.0, 19953.0, "UNLOCKED", None),
        ("cell-2-3", "cell 2-3", 3, 240.0, 60.0, 19953.0, "UNLOCKED", None),
    ]


async def test_site_of_a_cell(graph: EmbeddedGraph) -> None:
    assert await rows(graph, "site_of_cell", cell_id="cell-2-3") == [("site-2", "South", 0.0, -300.0, 30.0)]


@pytest.mark.parametrize("entity_id", ["site-1", "cell-1-3"])
async def test_path_to_the_core_climbs_link_by_link_from_a_site_or_its_cell(
    graph: EmbeddedGraph, entity_id: str
) -> None:
    assert await rows(graph, "path_to_core", entity_id=entity_id) == [
        (1, "site-1", "link-1", "node-agg-1", "aggregation", 1e9),
        (2, "node-agg-1", "link-3", "node-upf", "upf", 1e10),
    ]


async def test_path_between_two_sites_turns_at_the_nearest_meeting_place(graph: EmbeddedGraph) -> None:
    expected = [
        ("a", 1, "site-1", "link-1", "node-agg-1", "node-agg-1"),
        ("b", 1, "site-2", "link-2", "node-agg-1", "node-agg-1"),
    ]
    assert await rows(graph, "path_between", a_id="site-1", b_id="site-2") == expected
    assert await rows(graph, "path_between", a_id="cell-1-1", b_id="cell-2-2") == expected
    assert await rows(graph, "path_between", a_id="cell-1-1", b_id="cell-1-2") == []


async def test_path_between_a_site_and_the_core_has_one_side(graph: EmbeddedGraph) -> None:
    assert await rows(graph, "path_between", a_id="site-2", b_id="node-upf") == [
        ("a", 1, "site-2", "link-2", "node-agg-1", "node-upf"),
        ("a", 2, "node-agg-1", "link-3", "node-upf", "node-upf"),
    ]


async def test_links_of_a_site_and_of_a_node_name_the_other_end(graph: EmbeddedGraph) -> None:
    assert await rows(graph, "links_of_site", site_id="site-1") == [("link-1", "link 1", "a", "node-agg-1", 1e9, None)]
    assert [(row[0], row[2], row[3]) for row in await rows(graph, "links_of_site", site_id="node-agg-1")] == [
        ("link-1", "b", "site-1"),
        ("link-2", "b", "site-2"),
        ("link-3", "a", "node-upf"),
    ]


async def test_alarms_of_an_entity_come_newest_first_with_cleared_ones(graph: EmbeddedGraph) -> None:
    assert await rows(graph, "alarms_of_entity", entity_id="cell-1-1") == [
        ("alarm-1", "cell-1-1", "MAJOR", "powerProblem", "problem 1", 10_000, None),
        ("alarm-4", "cell-1-1", "MAJOR", "powerProblem", "problem 4", 2_000, 3_500),
    ]


async def test_active_alarms_near_a_cell_say_where_they_stand(graph: EmbeddedGraph) -> None:
    found = await rows(graph, "active_alarms_near", entity_id="cell-1-1")
    assert [row[:3] for row in found] == [
        ("self", "alarm-1", "cell-1-1"),
        ("sibling", "alarm-2", "cell-1-2"),
        ("site", "alarm-5", "site-1"),
        ("transport", "alarm-3", "link-3"),
        ("transport", "alarm-7", "node-agg-1"),
    ]


async def test_active_alarms_near_a_site_include_neighbours_of_its_cells(graph: EmbeddedGraph) -> None:
    found = await rows(graph, "active_alarms_near", entity_id="site-1")
    assert [row[:2] for row in found] == [
        ("neighbour", "alarm-6"),
        ("self", "alarm-5"),
        ("sibling", "alarm-1"),
        ("sibling", "alarm-2"),
        ("transport", "alarm-3"),
        ("transport", "alarm-7"),
    ]


async def test_changes_of_an_entity_tell_what_was_done_and_when(graph: EmbeddedGraph) -> None:
    sentence = "electrical tilt of cell-1-1: 6 deg -> 8 deg"
    common = ("digitalTilt", sentence, "less overlap", "local:ann", 5_000, 7_000, 9_500)
    assert await rows(graph, "changes_of_entity", entity_id="cell-1-1") == [
        ("change-1", "committed", *common),
        ("change-2", "rolled_back", *common),
    ]


async def test_near_queries_measure_metres_and_stop_at_the_radius(graph: EmbeddedGraph) -> None:
    assert await rows(graph, "places_near", east_m=0, north_m=0, radius_m=5.0) == [
        ("place-1", "the station", 5.0, 3.0, 4.0, "station")
    ]
    assert await rows(graph, "places_near", east_m=0, north_m=0, radius_m=4.9) == []
    assert await ids(graph, "buildings_near", east_m=105, north_m=105) == ["building-2", "building-1"]
    assert await rows(graph, "buildings_near", east_m=5, north_m=5, radius_m=1.0) == [
        ("building-1", 'The "Old", Mill', 0.0, 5.0, 5.0, 12.0, "residential")
    ]
    assert await ids(graph, "cells_near", east_m=0, north_m=-250, limit=4) == [
        "cell-2-1",
        "cell-2-2",
        "cell-2-3",
        "cell-1-1",
    ]


async def test_entity_card_gives_what_its_kind_has_and_nothing_else(graph: EmbeddedGraph) -> None:
    (card,) = await graph.read("entity_card", {"entity_id": "cell-1-2"})
    assert {name: value for name, value in card.items() if value is not None} == {
        "id": "cell-1-2",
        "kind": "cell",
        "name": "cell 1-2",
        "dn": "SubNetwork=1,ManagedElement=gNB-1,GNBDUFunction=1,NRCellDU=2",
        "aliases": ["1-2", "S1-2"],
        "east_m": 0.0,
        "north_m": 0.0,
        "up_m": 35.0,
        "azimuth_deg": 120.0,
        "sector": 2,
        "carrier_hz": 3.5e9,
        "bandwidth_hz": 1e8,
        "tilt_decideg": 60.0,
        "tx_power_mw": 19953.0,
        "administrative_state": "UNLOCKED",
    }
    (card,) = await graph.read("entity_card", {"entity_id": "node-upf"})
    assert (card["kind"], card["role"], card["aliases"]) == ("node", "upf", [])
    assert await graph.read("entity_card", {"entity_id": "ue-1"}) == []


async def test_slices_count_their_subscribers(graph: EmbeddedGraph) -> None:
    assert await rows(graph, "slices") == [("slice-embb", "eMBB", 1, 2), ("slice-urllc", "URLLC", 2, 1)]


async def test_impact_of_a_link_is_every_cell_behind_it(graph: EmbeddedGraph) -> None:
    assert await ids(graph, "impact_of_link", link_id="link-2") == ["cell-2-1", "cell-2-2", "cell-2-3"]
    assert len(await ids(graph, "impact_of_link", link_id="link-3")) == 6


async def test_count_by_kind_knows_no_ues(graph: EmbeddedGraph) -> None:
    assert await rows(graph, "count_by_kind") == [
        ("alarm", 8),
        ("building", 2),
        ("cell", 6),
        ("change", 2),
        ("link", 3),
        ("node", 2),
        ("place", 1),
        ("site", 2),
        ("slice", 2),
    ]


async def test_refreshed_figures_are_read_back_and_survive_a_rebuild(graph: EmbeddedGraph) -> None:
    await graph.refresh({"cell-1-1": {"serving_count": 3, "DRB.UEThpDl": 100.0}}, sim_time_s=60.0)
    await graph.refresh({"cell-1-1": {"DRB.UEThpDl": 200.0}, "cell-2-2": {"serving_count": 7}}, sim_time_s=660.0)
    assert await rows(graph, "serving_counts") == [("cell-2-2", "cell 2-2", 7), ("cell-1-1", "cell 1-1", 3)]
    mean = pytest.approx(100.0 + 100.0 * (1.0 - np.exp(-1.0)))
    expected = [("cell-1-1", 660_000, 3, 200.0, mean, None, None, None, None, None, None)]
    assert await rows(graph, "last_values_of_cell", cell_id="cell-1-1") == expected
    await graph.rebuild(picture())
    assert await rows(graph, "last_values_of_cell", cell_id="cell-1-1") == expected


async def test_missing_and_unknown_figures_leave_no_trace_but_a_count(graph: EmbeddedGraph) -> None:
    await graph.refresh({"cell-1-1": {"RRU.PrbTotDl": 50.0}})
    await graph.refresh(
        {"cell-1-1": {"RRU.PrbTotDl": float("nan"), "no.such": 1.0}, "ue-1": {"RF.serving.RSRP": -90.0}}
    )
    (row,) = await graph.read("last_values_of_cell", {"cell_id": "cell-1-1"})
    assert (row["prb_load_percent"], row["prb_load_mean_percent"]) == (None, 50.0)
    assert graph.health()["figures_ignored"] == 2


async def test_an_alarm_that_clears_is_the_same_alarm(graph: EmbeddedGraph) -> None:
    await graph.put_alarm(alarm(9, "cell-2-3"))
    await graph.put_alarm(alarm(9, "cell-2-3", cleared_at_s=12.0))
    assert await rows(graph, "alarms_of_entity", entity_id="cell-2-3") == [
        ("alarm-9", "cell-2-3", "MAJOR", "powerProblem", "problem 9", 10_000, 12_000)
    ]


async def test_a_change_that_moves_on_is_the_same_change(graph: EmbeddedGraph) -> None:
    await graph.put_change(change("change-3", state=ChangeState.VALIDATED))
    await graph.put_change(change("change-3", state=ChangeState.REJECTED))
    found = await graph.read("changes_of_entity", {"entity_id": "cell-1-1"})
    assert [(row["id"], row["state"]) for row in found] == [
        ("change-1", "committed"),
        ("change-2", "rolled_back"),
        ("change-3", "rejected"),
    ]


async def test_new_attributes_show_on_the_cell(graph: EmbeddedGraph) -> None:
    topology = topology_of(scenario()).with_attributes(
        [("cell-1-1", "digitalTilt", 85.0), ("cell-1-1", "administrativeState", "LOCKED")]
    )
    await graph.put_attributes(topology, ["cell-1-1"])
    (first, *rest) = await graph.read("cells_of_site", {"site_id": "site-1"})
    assert (first["tilt_decideg"], first["administrative_state"]) == (85.0, "LOCKED")
    assert {row["tilt_decideg"] for row in rest} == {60.0}


async def test_another_list_of_entities_makes_the_graph_anew(graph: EmbeddedGraph) -> None:
    full = topology_of(scenario())
    fewer = Topology((e for e in full.entities if e.id != "place-1"), revision=2)
    await graph.put_attributes(fewer, [])
    assert await ids(graph, "places_near", east_m=0, north_m=0) == []


async def test_text_from_outside_arrives_as_it_was(graph: EmbeddedGraph) -> None:
    text = "line\nbreak \"quote\" 'tick' \\ back, [list] {brace} $p é 站 🗼"
    await graph.put_alarm(replace(alarm(9, "cell-2-3"), specific_problem=text))
    (row,) = await graph.read("alarms_of_entity", {"entity_id": "cell-2-3"})
    assert row["specific_problem"] == text


async def test_entity_ids_that_look_like_cypher_find_nothing(graph: EmbeddedGraph) -> None:
    assert await graph.read("entity_card", {"entity_id": "x'}) MATCH (n) DETACH DELETE n //"}) == []
    assert dict(await rows(graph, "count_by_kind"))["cell"] == 6


async def test_an_unknown_query_names_those_that_exist(graph: EmbeddedGraph) -> None:
    with pytest.raises(UnknownName, match=r"`drop_all`.*neighbours_of_cell"):
        await graph.read("drop_all", {})


@pytest.mark.parametrize(
    "params", [{}, {"cell_id": 7}, {"cell_id": "cell-1-1", "limit": "5"}, {"cell_id": "c", "cypher": "x"}]
)
async def test_wrong_parameters_are_refused_by_name(graph: EmbeddedGraph, params: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match=r"cell_id|limit|cypher"):
        await graph.read("neighbours_of_cell", params)


@pytest.mark.parametrize("seed", range(3))
async def test_the_order_of_insertion_changes_no_answer(graph: EmbeddedGraph, seed: int) -> None:
    rng = random.Random(seed)
    asked = [
        ("neighbours_within_hops", {"cell_id": "cell-1-1", "max_hops": 3}),
        ("active_alarms_near", {"entity_id": "cell-1-2"}),
        ("path_between", {"a_id": "cell-1-1", "b_id": "site-2"}),
        ("impact_of_link", {"link_id": "link-3"}),
        ("count_by_kind", {}),
        ("cells_near", {"east_m": 0.0, "north_m": -100.0}),
    ]
    before = [await rows(graph, query_id, **params) for query_id, params in asked]

    world, first = scenario(), picture()
    names = ("sites", "cells", "neighbours", "slices", "ues", "nodes", "links", "buildings", "places")
    world = replace(
        world, **{name: tuple(rng.sample(getattr(world, name), len(getattr(world, name)))) for name in names}
    )
    await graph.rebuild(replace(picture(world), alarms=(), changes=()))
    for one in rng.sample(first.alarms, len(first.alarms)):  # by single puts this time, not in bulk
        await graph.put_alarm(one)
    for one in first.changes:
        await graph.put_change(one)
    assert [await rows(graph, query_id, **params) for query_id, params in asked] == before
