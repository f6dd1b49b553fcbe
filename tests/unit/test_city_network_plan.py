"""Sites, cells, neighbours and transport planned on a city."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.scenarios.citymap import SitePlan
from twin_app.scenarios.planner import hexagonal_rings, plan_sites
from twin_app.scenarios.radio_plan import neighbour_relations, sites_and_cells, tilt_deg
from twin_app.scenarios.transport_plan import transport_network


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec())


def _plans(positions):
    return [
        SitePlan(position_m=tuple(p), height_m=25.0, isd_m=500.0, environment="UMa", azimuths_deg=(30.0, 150.0, 270.0))
        for p in positions
    ]


def test_two_rings_are_19_sites_at_the_inter_site_distance():
    points = hexagonal_rings(isd_m=450.0, rings=2)
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    assert len(points) == 19
    assert distance.min(axis=1) == pytest.approx(np.full(19, 450.0))


def test_identifiers_follow_the_naming_scheme(scenario):
    cell = next(cell for cell in scenario.cells if cell.id == "cell-7-2")
    assert cell.dn == "SubNetwork=1,ManagedElement=gNB-7,GNBDUFunction=7,NRCellDU=2"
    assert {"7-2", "S7-2"} <= set(cell.aliases)
    site = next(site for site in scenario.sites if site.id == "site-7")
    assert {"gNB-7", "S7"} <= set(site.aliases)


def test_no_two_neighbours_share_a_pci(scenario):
    pci = {cell.id: cell.nr_pci for cell in scenario.cells}
    assert all(pci[r.source_id] != pci[r.target_id] for r in scenario.neighbours)
    assert all(0 <= value <= 1007 for value in pci.values())


def test_reused_pcis_stand_far_apart_when_sites_outnumber_the_groups():
    positions = [(500.0 * (i % 20), 500.0 * (i // 20)) for i in range(400)]
    _, cells = sites_and_cells(_plans(positions), seed=1)
    holders = defaultdict(list)
    for cell in cells:
        holders[cell.nr_pci].append(positions[int(cell.site_id.removeprefix("site-")) - 1])
    nearest = min(math.dist(a, b) for spots in holders.values() for i, a in enumerate(spots) for b in spots[i + 1 :])
    assert nearest > 3000.0


def test_neighbour_relations_go_both_ways_and_are_as_many_as_a_phone_measures(scenario):
    pairs = {(r.source_id, r.target_id) for r in scenario.neighbours}
    assert all((b, a) in pairs for a, b in pairs)
    assert 24 <= max(Counter(a for a, _ in pairs).values()) <= 32


def test_sectors_of_one_site_are_neighbours(scenario):
    pairs = {(r.source_id, r.target_id) for r in scenario.neighbours}
    assert all(
        (f"cell-{n}-{a}", f"cell-{n}-{b}") in pairs
        for n in range(1, 20)
        for a in (1, 2, 3)
        for b in (1, 2, 3)
        if a != b
    )


def test_a_facing_sector_is_preferred_to_one_that_looks_away():
    plans = _plans([(0.0, 0.0)] + [(x, y) for x in (0.0, 600.0, 1200.0) for y in (600.0, 1200.0)])
    sites, cells = sites_and_cells(plans, seed=1)
    pairs = {(r.source_id, r.target_id) for r in neighbour_relations(sites, cells)}
    assert ("cell-1-1", "cell-2-2") in pairs  # north-east sector and the one above it that looks south-east
    assert ("cell-1-2", "cell-7-1") not in pairs


@pytest.mark.parametrize(
    # atan(8.5 / 333) = 1.5, atan(23.5 / 333) = 4.0, atan(28.5 / 267) = 6.1 degrees and half a beam of 5.1.
    ("height_m", "isd_m", "expected"),
    [(10.0, 500.0, 6.5), (25.0, 500.0, 9.0), (30.0, 400.0, 11.0), (70.0, 400.0, 15.0)],
)
def test_the_beam_ends_at_the_edge_of_the_cell_and_antennas_tilt_by_fifteen_degrees_at_most(height_m, isd_m, expected):
    assert tilt_deg(height_m, isd_m) == expected


def test_each_site_links_to_its_nearest_router_and_each_router_to_the_core(scenario):
    routers = {n.id: n.position_m for n in scenario.nodes if n.role == "aggregation"}
    sites = {s.id: s.position_m for s in scenario.sites}
    access = [link for link in scenario.links if link.name.startswith("Backhaul")]
    assert [link.a_id for link in access] == list(sites)
    for link in access:
        distance = {router: math.dist(sites[link.a_id], at) for router, at in routers.items()}
        assert distance[link.b_id] <= min(distance.values()) + 0.2
        number, router = link.a_id.removeprefix("site-"), link.b_id.removeprefix("node-agg-")
        assert link.id == f"link-{number}-{router}"
        assert f"backhaul of site {number}" in link.aliases
    assert {(link.id, link.b_id) for link in scenario.links if link.name.startswith("Uplink")} == {
        (f"link-agg-{router.removeprefix('node-agg-')}", "node-upf") for router in routers
    }


def test_there_is_a_router_for_every_eight_sites():
    sites, _ = sites_and_cells(_plans([(float(i * 300), 0.0) for i in range(17)]), seed=1)
    nodes, links = transport_network(sites, seed=1)
    assert Counter(node.role for node in nodes) == {"upf": 1, "aggregation": 3}
    assert Counter(link.name.split()[0] for link in links if link.name[0] != "S") == {
        "Backhaul": 17, "Uplink": 3, "Ring": 3,
    }  # fmt: skip


def test_every_link_has_its_own_id_name_and_dn(scenario):
    for values in zip(*((link.id, link.name, link.dn) for link in scenario.links), strict=True):
        assert len(set(values)) == len(scenario.links)


@pytest.mark.parametrize(("sites", "ring"), [(8, 0), (16, 1), (24, 3), (80, 10)])
def test_routers_form_a_ring(sites, ring):
    plans = _plans([(400.0 * (i % 10), 400.0 * (i // 10)) for i in range(sites)])
    nodes, links = transport_network(sites_and_cells(plans, seed=1)[0], seed=1)
    around = [link for link in links if link.name.startswith("Ring")]
    ends = Counter(end for link in around for end in (link.a_id, link.b_id))
    routers = [node.id for node in nodes if node.role == "aggregation"]
    assert len(around) == ring
    assert set(ends.values()) <= {2} or len(routers) == 2
    assert not ring or set(ends) == set(routers)


def test_about_one_site_in_five_has_a_second_way_to_another_router():
    plans = _plans([(400.0 * (i % 20), 400.0 * (i // 20)) for i in range(400)])
    _, links = transport_network(sites_and_cells(plans, seed=1)[0], seed=1)
    first = {link.a_id: link for link in links if link.name.startswith("Backhaul")}
    second = [link for link in links if link.name.startswith("Second")]
    assert 0.14 < len(second) / 400 < 0.26
    for link in second:
        assert link.b_id != first[link.a_id].b_id
        assert link.igp_metric > first[link.a_id].igp_metric


def test_a_link_is_at_least_as_long_as_the_straight_line(scenario):
    at = {part.id: part.position_m for part in (*scenario.sites, *scenario.nodes)}
    for link in scenario.links:
        straight_m = math.dist(at[link.a_id][:2], at[link.b_id][:2])
        assert straight_m - 0.2 <= link.length_m <= max(1.3 * straight_m + 0.2, 1.0)


def test_backhaul_is_fibre_or_microwave(scenario):
    capacities = {link.capacity_bps for link in scenario.links if not link.id.startswith("link-agg")}
    assert 10e9 in capacities
    assert capacities <= {1e9, 2.5e9, 10e9}


def test_the_planner_stays_within_its_number_of_sites(scenario):
    for limit in (5, 12):
        assert 1 <= len(plan_sites(scenario, seed=1, max_sites=limit)) <= limit


def test_macro_power_and_carrier_are_the_defaults(scenario):
    assert {(c.carrier_hz, c.bandwidth_hz) for c in scenario.cells} == {(3.5e9, 100e6)}
    assert all(c.tx_power_dbm == (46.0 if c.environment == "UMa" else 41.0) for c in scenario.cells)


def test_a_site_below_the_roofs_is_a_micro_site():
    from twin_app.scenarios.planner import environment_of

    centre_m, roof_m = np.array([[0.0, 0.0], [50.0, 0.0]]), np.array([30.0, 40.0])
    assert environment_of(12.0, (0.0, 0.0), centre_m, roof_m) == "UMi"
    assert environment_of(36.0, (0.0, 0.0), centre_m, roof_m) == "UMa"
