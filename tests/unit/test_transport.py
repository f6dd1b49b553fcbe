"""The transport network: routes, queues, loss, and who feels it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from twin.clock import CivilTime
from twin.commands import ManageFault, SetAttribute
from twin.entities import Cell, Site, TransportLink, TransportNode
from twin.network import Network
from twin.scenario import LandUseGrid, Origin, Scenario
from twin.shortest_ways import shortest_ways
from twin.topology import topology_of
from twin.transport import BUFFER_S, BURST_BIT, LIGHT_MPS, LINK_FEATURES, Transport, queue
from twin_app.scenarios import ScenarioSpec, build_scenario

GBPS = 1e9


def _site(number):
    return Site(id=f"site-{number}", name=f"S{number}", dn=f"S={number}", position_m=(0.0, 0.0, 0.0), height_m=25.0)


def _cell(site, sector=1):
    return Cell(
        id=f"cell-{site}-{sector}", site_id=f"site-{site}", sector=sector, name="", dn="", azimuth_deg=0.0,
        tilt_deg=6.0, tx_power_dbm=43.0, carrier_hz=3.5e9, bandwidth_hz=100e6, environment="UMa", nr_pci=site,
    )  # fmt: skip


def _node(name, role="aggregation"):
    return TransportNode(id=name, name=name, role=role, position_m=(0.0, 0.0, 0.0))


def _link(name, a, b, gbps, *, metric=10, length_m=2040.0):
    return TransportLink(
        id=name, name=name, a_id=a, b_id=b, capacity_bps=gbps * GBPS, igp_metric=metric, length_m=length_m
    )


def _scenario(links, *, sites=(1, 2), nodes=("agg-1", "agg-2"), cells=None):
    return Scenario(
        name="lab", digest="", origin=Origin(latitude_deg=0.0, longitude_deg=0.0), timezone="UTC",
        extent_m=(0.0, 0.0, 1.0, 1.0), seed=1, sites=tuple(_site(n) for n in sites),
        cells=tuple(cells or (_cell(n) for n in sites)), neighbours=(), slices=(), ues=(),
        nodes=(_node("upf", "upf"), *(_node(n) for n in nodes)), links=tuple(links), buildings=(), places=(),
        streets=None, land_use=LandUseGrid(west_m=0.0, south_m=0.0, cell_m=1.0, code=np.zeros((1, 1), np.uint8)),
    )  # fmt: skip


RING = (
    _link("s1", "site-1", "agg-1", 10),
    _link("s2", "site-2", "agg-2", 1),
    _link("u1", "agg-1", "upf", 2),
    _link("u2", "agg-2", "upf", 100),
    _link("ring", "agg-1", "agg-2", 100, metric=20),
)
"""Two sites behind two routers; the uplink of the first, 2 Gbit/s, is narrower than its site's own link."""
S1, S2, U1, U2, R = range(5)


def _carry(transport, *bps, **settings):
    transport.configure(**settings)
    return transport.carry(np.array([bps], dtype=np.float64))


def _feature(carried, name, row=0):
    return carried.links[row, :, LINK_FEATURES.index(name)]


def _without(*links):
    unlocked = np.ones(5, dtype=bool)
    unlocked[list(links)] = False
    return unlocked


# The queue against a sum over its states.


@pytest.mark.parametrize("load", [0.1, 0.5, 0.8, 0.999999, 1.0, 1.25, 3.0, 40.0])
@pytest.mark.parametrize("places", [1.0, 2.0, 10.0, 60.0])
def test_the_queue_is_that_of_the_birth_death_chain(load, places):
    states = load ** np.arange(int(places) + 1)
    states /= states.sum()
    inside = (states * np.arange(int(places) + 1)).sum()
    lost, stay = queue(np.array([load]), np.array([places]))
    assert lost[0] == pytest.approx(states[-1], rel=1e-4)
    assert stay[0] == pytest.approx(inside / (load * (1.0 - states[-1])), rel=1e-4)


def test_the_queue_gives_the_textbook_values_at_load_one_and_without_end():
    lost, stay = queue(np.array([1.0, 0.8]), np.array([9.0, 1e6]))
    assert lost == pytest.approx([1 / 10, 0.0], abs=1e-5)
    assert stay == pytest.approx([5.0, 1.0 / (1.0 - 0.8)], rel=1e-4)


def test_loss_and_stay_grow_with_the_load_and_never_overflow():
    load = np.concatenate([np.linspace(1e-9, 2.0, 2001), [1e3, 1e9]])
    lost, stay = queue(load, np.array(166.0))
    assert (np.diff(lost) >= -1e-15).all()
    assert (np.diff(stay) >= -1e-6).all()
    assert np.isfinite(lost).all()
    assert np.isfinite(stay).all()
    assert stay[-1] == pytest.approx(166.0)
    assert 1.0 - lost[-1] == pytest.approx(1e-9)


# A network computed by hand.


def test_an_idle_link_delays_by_light_and_one_burst():
    carried = _carry(Transport(_scenario(RING)), 1.0, 1.0)
    light_ms = 2040.0 / LIGHT_MPS * 1e3
    assert light_ms == pytest.approx(0.01)
    assert carried.delay_ms[0] == pytest.approx(
        [2 * light_ms + 0.012 + 0.06, 2 * light_ms + 0.12 + 0.0012],  # 120 kbit at 10, 2, 1 and 100 Gbit/s
        rel=1e-6,
    )
    assert carried.passed_share[0] == pytest.approx([1.0, 1.0])


def test_loads_and_delays_are_those_of_the_formula():
    carried = _carry(Transport(_scenario(RING)), 1.6 * GBPS, 0.5 * GBPS)
    assert _feature(carried, "load") == pytest.approx([0.16, 0.5, 0.8, 0.005, 0.0])
    # 2 Gbit/s at load 0.8: 60 us / (1 - 0.8); 333 places change that by nothing.
    assert _feature(carried, "delay")[U1] == pytest.approx(0.3 + 0.01, rel=1e-6)
    assert carried.delay_ms[0, 0] == pytest.approx(0.3 + 0.012 / 0.84 + 0.02, rel=1e-6)
    assert carried.passed_share[0] == pytest.approx([1.0, 1.0])


def test_a_narrow_uplink_takes_its_share_from_the_cells_behind_it_only():
    carried = _carry(Transport(_scenario(RING)), 4.0 * GBPS, 0.5 * GBPS)
    places = 2 * GBPS * BUFFER_S / BURST_BIT
    assert carried.passed_share[0, 0] == pytest.approx(0.5, rel=1e-6)
    assert carried.passed_share[0, 1] == pytest.approx(1.0)
    assert carried.loss[0] == pytest.approx(1.0 - carried.passed_share[0])
    # Nearly full: all places but the 1/(r-1) = 1 that is free on average.
    assert _feature(carried, "delay")[U1] == pytest.approx((places - 1.0) * 0.06 + 0.01, rel=1e-3)
    # What the uplink lost does not load the link behind it.
    assert _feature(carried, "load")[S1] == pytest.approx(0.2, rel=1e-6)


def test_what_goes_in_comes_out_or_is_counted_as_lost():
    transport = Transport(build_scenario(ScenarioSpec(num_ues=1)))
    rng = np.random.default_rng(3)
    offered = rng.exponential(1.0 * GBPS, (5, len(transport.reached)))
    carried = transport.carry(offered)
    arrived = (offered * carried.passed_share).sum(axis=1)
    lost = carried.links[..., LINK_FEATURES.index("lost_bits")].sum(axis=1)
    assert lost.min() > 0.0
    assert arrived + lost == pytest.approx(offered.sum(axis=1), rel=1e-9)
    bits = carried.links[..., LINK_FEATURES.index("bits")]
    assert (bits <= transport.rate_bps * (1.0 + 1e-9)).all()


def test_many_moments_at_once_are_the_moments_one_by_one():
    transport = Transport(build_scenario(ScenarioSpec(num_ues=1)))
    offered = np.random.default_rng(4).exponential(0.7 * GBPS, (6, len(transport.reached)))
    together = transport.carry(offered)
    for row in range(6):
        alone = transport.carry(offered[row : row + 1])
        assert alone.links[0] == pytest.approx(together.links[row], rel=1e-6, abs=1e-3)
        assert alone.passed_share[0] == pytest.approx(together.passed_share[row])
        assert alone.delay_ms[0] == pytest.approx(together.delay_ms[row])


def test_more_traffic_never_arrives_earlier_nor_more_surely():
    transport = Transport(_scenario(RING))
    steps = np.linspace(0.01, 5.0, 300) * GBPS
    carried = transport.carry(np.column_stack([steps, 0.3 * steps]))
    assert (np.diff(carried.passed_share, axis=0) <= 1e-9).all()
    assert (np.diff(carried.delay_ms, axis=0) >= -1e-6).all()
    assert (np.diff(steps * carried.passed_share[:, 0]) >= -1.0).all()


# Reroute and rate limit.


def test_locking_the_uplink_moves_the_load_to_the_ring():
    carried = _carry(Transport(_scenario(RING)), 4.0 * GBPS, 0.5 * GBPS, unlocked=_without(U1))
    assert _feature(carried, "load") == pytest.approx([0.4, 0.5, 0.0, 0.045, 0.04])
    assert carried.passed_share[0] == pytest.approx([1.0, 1.0])
    assert _feature(carried, "up_s").tolist() == [1, 1, 0, 1, 1]
    assert _feature(carried, "delay")[U1] == 0.0


def test_a_higher_metric_moves_the_load_as_well():
    transport = Transport(_scenario(RING))
    assert transport.on_way[:, 0].tolist() == [1, 0, 1, 0, 0]
    carried = _carry(transport, 4.0 * GBPS, 0.5 * GBPS, igp_metric=np.array([10.0, 10.0, 31.0, 10.0, 20.0]))
    assert transport.on_way[:, 0].tolist() == [1, 0, 0, 1, 1]
    assert carried.passed_share[0, 0] == pytest.approx(1.0)
    transport.configure()
    assert transport.on_way[:, 0].tolist() == [1, 0, 1, 0, 0]


def test_equal_ways_share_the_load():
    transport = Transport(_scenario(RING))
    carried = _carry(transport, 3.0 * GBPS, 0.5 * GBPS, igp_metric=np.array([10.0, 10.0, 30.0, 10.0, 20.0]))
    assert transport.on_way[:, 0].tolist() == [1, 0, 0.5, 0.5, 0.5]
    assert _feature(carried, "bits") == pytest.approx(np.array([3.0, 0.5, 1.5, 2.0, 1.5]) * GBPS)


def test_a_dead_link_is_routed_around_a_weak_one_is_not():
    transport = Transport(_scenario(RING))
    weak = np.array([1.0, 1.0, 0.01, 1.0, 1.0])
    assert _carry(transport, GBPS, GBPS, capacity_factor=weak).passed_share[0, 0] == pytest.approx(0.02, rel=1e-3)
    dead = np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    assert _carry(transport, GBPS, 0.5 * GBPS, capacity_factor=dead).passed_share[0] == pytest.approx([1.0, 1.0])


def test_a_rate_limit_shapes_and_its_removal_heals():
    transport = Transport(_scenario(RING))
    limit = np.array([500.0, 0.0, 0.0, 0.0, 0.0])
    carried = _carry(transport, 1.0 * GBPS, 0.5 * GBPS, rate_limit_mbps=limit)
    assert _feature(carried, "bits")[S1] == pytest.approx(0.5 * GBPS, rel=1e-6)
    assert _feature(carried, "load")[S1] == pytest.approx(2.0)
    assert carried.passed_share[0] == pytest.approx([0.5, 1.0], rel=1e-6)
    assert _carry(transport, 1.0 * GBPS, 0.5 * GBPS).passed_share[0, 0] == pytest.approx(1.0)


def test_a_limit_above_the_capacity_changes_nothing():
    transport = Transport(_scenario(RING))
    before = transport.rate_bps.copy()
    transport.configure(rate_limit_mbps=np.full(5, 1e6))
    assert transport.rate_bps.tolist() == before.tolist()


def test_a_fault_adds_its_delay_to_the_cells_behind():
    transport = Transport(_scenario(RING))
    plain = _carry(transport, GBPS, 0.5 * GBPS).delay_ms
    late = _carry(transport, GBPS, 0.5 * GBPS, extra_delay_ms=np.array([0.0, 30.0, 0.0, 0.0, 0.0])).delay_ms
    assert late - plain == pytest.approx(np.array([[0.0, 30.0]]))


def test_a_site_without_any_way_to_the_core_gets_nothing():
    transport = Transport(_scenario(RING))
    carried = _carry(transport, 1.0 * GBPS, 0.5 * GBPS, unlocked=_without(S1))
    assert transport.reached.tolist() == [False, True]
    assert carried.passed_share[0].tolist() == [0.0, 1.0]
    assert carried.delay_ms[0, 0] == 0.0
    assert _feature(carried, "bits").sum() == pytest.approx(GBPS)  # site 2 over two links, site 1 over none
    assert np.isfinite(carried.links).all()


def test_cutting_everything_leaves_nobody_and_no_error():
    carried = _carry(Transport(_scenario(RING)), GBPS, GBPS, unlocked=np.zeros(5, dtype=bool))
    assert carried.passed_share.sum() == 0.0
    assert _feature(carried, "load").sum() == 0.0


def test_settings_of_the_scenario_are_in_force_from_the_start():
    scenario = replace(
        _scenario(RING),
        configured=(("u1", "administrativeState", "LOCKED"), ("s1", "vsDataTransport.maxBitRate", 300.0)),
    )
    transport = Transport(scenario)
    assert transport.rate_bps.tolist() == [0.3 * GBPS, GBPS, 0.0, 100 * GBPS, 100 * GBPS]
    assert transport.on_way[R].tolist() == [1.0, 0.0]


def test_a_chain_of_sites_is_carried_hop_by_hop():
    chain = (_link("s1", "site-1", "site-2", 1), _link("s2", "site-2", "agg-1", 1), _link("u1", "agg-1", "upf", 10))
    carried = _carry(Transport(_scenario(chain, nodes=("agg-1",))), 0.4 * GBPS, 0.5 * GBPS)
    assert _feature(carried, "load") == pytest.approx([0.4, 0.9, 0.09], rel=1e-5)
    assert carried.delay_ms[0, 0] == pytest.approx(carried.delay_ms[0, 1] + 0.12 / 0.6 + 0.01, rel=1e-5)


def test_cells_may_stand_in_any_order():
    cells = (_cell(1), _cell(2), _cell(1, 2), _cell(2, 2))
    carried = _carry(Transport(_scenario(RING, cells=cells)), 1.0 * GBPS, 2.0 * GBPS, 3.0 * GBPS, 0.0)
    assert carried.passed_share[0] == pytest.approx([0.5, 0.5, 0.5, 0.5], rel=1e-4)
    assert carried.delay_ms[0, 0] == carried.delay_ms[0, 2]


def test_a_network_without_links_carries_nothing():
    transport = Transport(_scenario((), nodes=()))
    carried = transport.carry(np.ones((2, 2)))
    assert carried.links.shape == (2, 0, len(LINK_FEATURES))
    assert carried.passed_share.sum() == 0.0


def test_distances_are_least_sums_of_metrics():
    ends = [(1, 0), (2, 1), (2, 0), (3, 2)]
    assert shortest_ways(5, ends, [1.0, 1.0, 5.0, np.inf], [0])[0].tolist() == [0.0, 1.0, 2.0, np.inf, np.inf]


# The planned network.


@pytest.fixture(scope="module")
def planned():
    return build_scenario(ScenarioSpec(num_ues=1))


def test_each_site_goes_over_its_own_backhaul_and_the_uplink_of_its_router(planned):
    transport = Transport(planned)
    for column, cell in enumerate(planned.cells):
        number = cell.site_id.removeprefix("site-")
        used = [planned.links[row].name for row in np.flatnonzero(transport.on_way[:, column])]
        assert len(used) == 2
        assert used[0] == f"Backhaul of site {number}"
        assert used[1].startswith("Uplink of aggregation router")


def test_no_single_uplink_cuts_a_site_off(planned):
    transport = Transport(planned)
    ring = [row for row, link in enumerate(planned.links) if link.name.startswith("Ring")]
    for row, link in enumerate(planned.links):
        if link.b_id == "node-upf":
            unlocked = np.arange(len(planned.links)) != row
            transport.configure(unlocked=unlocked)
            assert transport.reached.all()
            assert transport.on_way[ring].max() >= 0.5  # both ways round where they cost the same


def test_a_second_backhaul_takes_over(planned):
    transport = Transport(planned)
    second = [link for link in planned.links if link.name.startswith("Second")]
    assert second
    for link in second:
        mine = np.array([one.a_id == link.a_id for one in planned.links])
        first = mine & np.array([one.name.startswith("Backhaul") for one in planned.links])
        transport.configure(unlocked=~first)
        cells = [cell.site_id == link.a_id for cell in planned.cells]
        assert transport.reached.all()
        assert (transport.on_way[planned.links.index(link), cells] == 1.0).all()


# End to end: what a command or a fault on a link does to users.


CIVIL = CivilTime(epoch=datetime(2026, 11, 17, 14, 0, tzinfo=UTC), timezone="Europe/Luxembourg")


@pytest.fixture(scope="module")
def city():
    scenario = build_scenario(ScenarioSpec(num_ues=60))
    return scenario, topology_of(scenario)


class _Live:
    """A network and its figures of the last seconds."""

    def __init__(self, scenario, topology):
        self.scenario, self.topology = scenario, topology
        self.network = Network(scenario, topology, CIVIL, seed=5)

    def set(self, entity_id, attribute, value):
        self.network.apply([SetAttribute(entity_id=entity_id, attribute=attribute, value=value)])
        return self

    def run(self, seconds=1.5):
        self.network.close_period(scene_id="s", epoch=1, seq=1, granularity_period_s=1)
        for _ in range(round(seconds * 10)):
            self.network.step(0.1)
        self._report = self.network.close_period(scene_id="s", epoch=1, seq=2, granularity_period_s=1)
        return self

    def of(self, ids, kpi):
        rows = [list(self._report.entity_index).index(self.topology.get(one).index) for one in ids]
        return self._report.values[rows, self._report.counters.index(kpi)].astype(float)


@pytest.fixture
def live(city):
    return _Live(*city)


def _backhaul(scenario, *, dual):
    """Return the first backhaul of a site that has a second one, or has none, with the cells behind it."""
    second = {link.a_id for link in scenario.links if link.name.startswith("Second")}
    link = next(one for one in scenario.links if one.name.startswith("Backhaul") and (one.a_id in second) == dual)
    return link, [cell.id for cell in scenario.cells if cell.site_id == link.a_id]


def test_locking_an_uplink_by_command_moves_its_load_and_nobody_loses(live):
    before = live.run().of(["link-agg-1", "link-agg-1-2", "link-agg-1-3"], "vsData6gLinkThroughput")
    cells = [cell.id for cell in live.scenario.cells]
    volume = live.of(cells, "DRB.PdcpSduVolumeDL").sum()
    live.set("link-agg-1", "administrativeState", "LOCKED").run()
    after = live.of(["link-agg-1", "link-agg-1-2", "link-agg-1-3"], "vsData6gLinkThroughput")
    assert before[0] > 100.0
    assert before[1:].tolist() == [0.0, 0.0]
    assert after[0] == 0.0
    assert after[1:].sum() == pytest.approx(before[0], rel=0.25)
    assert live.of(cells, "DRB.PdcpSduVolumeDL").sum() == pytest.approx(volume, rel=0.1)
    assert np.isnan(live.of(["link-agg-1"], "vsData6gLinkDelay")[0])


def test_a_rate_limit_by_command_slows_exactly_the_cells_behind(live):
    link, behind = _backhaul(live.scenario, dual=False)
    others = [cell.id for cell in live.scenario.cells if cell.id not in behind]
    live.run()
    delay, load = live.of(behind, "vsData6gPacketDelay"), live.of(behind, "RRU.PrbTotDl").sum()
    elsewhere = live.of(others, "DRB.PdcpSduVolumeDL").sum()
    assert live.of([link.id], "vsData6gLinkThroughput")[0] > 60.0
    live.set(link.id, "vsDataTransport.maxBitRate", 40.0).run()
    assert live.of(behind, "DRB.PdcpSduVolumeDL").sum() / 1.5 <= 40.0 * 1.001
    assert live.of([link.id], "vsData6gLinkThroughput")[0] == pytest.approx(40.0, rel=0.02)
    assert live.of([link.id], "vsData6gLinkLoad")[0] > 120.0
    assert live.of([link.id], "vsData6gLinkLoss")[0] > 10.0
    assert live.of(behind, "vsData6gTransportLoss") == pytest.approx(live.of([link.id], "vsData6gLinkLoss")[0], rel=0.1)
    assert (live.of(others, "vsData6gTransportLoss") < 1.0).all()
    assert (live.of(behind, "vsData6gPacketDelay") > delay + 10.0).all()
    assert live.of(behind, "RRU.PrbTotDl").sum() < 0.8 * load  # the air is not what is narrow
    assert live.of(others, "DRB.PdcpSduVolumeDL").sum() == pytest.approx(elsewhere, rel=0.1)


def test_a_site_that_loses_its_only_link_has_no_traffic_and_one_with_two_goes_on(live):
    alone, cut_off = _backhaul(live.scenario, dual=False)
    double, saved = _backhaul(live.scenario, dual=True)
    others = [cell.id for cell in live.scenario.cells if cell.id not in cut_off]
    users = live.run().of(others, "RRC.ConnMean").sum()
    live.set(alone.id, "administrativeState", "LOCKED").set(double.id, "administrativeState", "LOCKED").run(0.5).run()
    for kpi in ("DRB.PdcpSduVolumeDL", "RRC.ConnMean", "RRC.ConnEstabAtt"):
        assert live.of(cut_off, kpi).tolist() == [0.0] * len(cut_off)
    assert live.of(others, "RRC.ConnMean").sum() > users  # who was there is now with the neighbours
    assert live.of(saved, "DRB.PdcpSduVolumeDL").sum() > 0.0


def test_a_degraded_backhaul_is_felt_by_every_slice_and_its_end_heals(live):
    uplinks = [link.id for link in live.scenario.links if link.b_id == "node-upf"]
    slices = [part.id for part in live.scenario.slices]
    before = live.run().of(slices, "vsData6gPacketDelay")
    for link in uplinks:
        live.network.manage_fault(
            ManageFault(operation="inject", fault="backhaul-degradation", entity_id=link, severity=0.0)
        )
    during = live.run().of(slices, "vsData6gPacketDelay")
    for link in uplinks:
        live.network.manage_fault(ManageFault(operation="clear", fault="backhaul-degradation", entity_id=link))
    after = live.run().of(slices, "vsData6gPacketDelay")
    assert (during > before + 10.0).all()
    assert (after < before + 5.0).all()


def test_settings_of_links_come_back_with_a_snapshot(live, city):
    link, _ = _backhaul(live.scenario, dual=False)
    live.set(link.id, "vsDataTransport.maxBitRate", 40.0).set("link-agg-1", "vsDataTransport.igpMetric", 500.0)
    state = live.network.snapshot()
    other = _Live(*city)
    other.network.restore(state)
    ids = [one.id for one in live.scenario.links]
    assert other.run(0.3).of(ids, "vsData6gLinkThroughput") == pytest.approx(
        live.run(0.3).of(ids, "vsData6gLinkThroughput")
    )
    assert other.of(["link-agg-1"], "vsData6gLinkThroughput")[0] == 0.0
