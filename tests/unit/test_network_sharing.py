"""Slice policies, carriers and sleep as orders to a running network: effective in the next ticks, kept in its state."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from twin.clock import CivilTime
from twin.commands import SetAttribute
from twin.entities import Kind
from twin.network import Network
from twin.sleep import WAKE_S
from twin.topology import topology_of
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

CIVIL = CivilTime(epoch=datetime(2026, 11, 17, 12, 0, tzinfo=UTC), timezone="Europe/Luxembourg")
WHO = {"scene_id": "scene", "epoch": 1, "seq": 1}
CELL = "cell-7-2"


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec())


@pytest.fixture(scope="module")
def topology(scenario):
    return topology_of(scenario)


@pytest.fixture
def network(scenario, topology):
    return Network(scenario, topology, CIVIL, seed=5)


def _report(network, seconds=1.0):
    for _ in range(round(seconds * 10)):
        network.step(0.1)
    report = network.close_period(**WHO, granularity_period_s=1)

    def figure(kpi, entity_id=CELL):
        row = int(np.flatnonzero(report.entity_index == network.topology.get(entity_id).index)[0])
        return float(report.values[row, report.counters.index(kpi)])

    return figure


def _order(network, name, value, entity_id=CELL):
    network.apply([SetAttribute(entity_id=entity_id, attribute=name, value=value)])


def test_a_cell_told_to_save_energy_hands_its_ues_over_and_sleeps(network):
    before = _report(network)
    _order(network, "energySavingControl", "toBeEnergySaving")
    draining = _report(network, 3.0)
    asleep = _report(network)
    assert before("RRC.ConnMean") > 1.0
    assert draining("MM.HoExeIntraSucc") > before("MM.HoExeIntraSucc")
    assert (asleep("RRC.ConnMean"), asleep("RRU.PrbAvailDl"), asleep("PEE.AvgPower")) == (0.0, 0.0, 150.0)


def test_a_cell_wakes_up_after_a_while_and_serves_again(network):
    before = _report(network, 2.0)
    _order(network, "energySavingControl", "toBeEnergySaving")
    _report(network, 4.0)
    _order(network, "energySavingControl", "toBeNotEnergySaving")
    waking = _report(network, WAKE_S - 0.5)
    assert waking("RRC.ConnMean") == 0.0
    assert waking("PEE.AvgPower") == pytest.approx(260.0)
    _report(network, 2.0)
    assert _report(network)("RRC.ConnMean") == pytest.approx(before("RRC.ConnMean"), rel=0.3)


def test_a_cell_that_shuts_down_takes_nobody_new_and_lets_ues_finish(network):
    before = _report(network)
    _order(network, "administrativeState", "SHUTTING DOWN")
    closing = _report(network)
    # The crowd camps elsewhere at once, UEs with a connection stay until it ends.
    assert 0.0 < closing("RRC.ConnMean") < 0.5 * before("RRC.ConnMean")
    for _ in range(120):
        last = _report(network)
        if last("PEE.AvgPower") == pytest.approx(150.0):
            break
    assert last("RRC.ConnMean") == 0.0


def test_a_network_continues_bit_for_bit_while_cells_drain_and_wake(scenario, topology, network):
    _order(network, "energySavingControl", "toBeEnergySaving", "cell-3-1")
    _report(network, 4.0)
    _order(network, "energySavingControl", "toBeNotEnergySaving", "cell-3-1")
    _order(network, "energySavingControl", "toBeEnergySaving", CELL)
    _order(network, "administrativeState", "SHUTTING DOWN", "cell-5-1")
    network.step()
    other = Network(scenario, topology, CIVIL, seed=5)
    other.restore(network.snapshot())
    for _ in range(3):
        for one in (network, other):
            for _ in range(20):
                one.step()
        mine, theirs = (one.close_period(**WHO, granularity_period_s=1) for one in (network, other))
        assert mine.values.tobytes() == theirs.values.tobytes()


def test_a_greedy_dedicated_share_starves_the_other_slices_of_its_site_only(topology, network):
    before = _report(network, 2.0)
    for name in ("rRMPolicyMinRatio", "rRMPolicyDedicatedRatio"):
        _order(network, name, 90.0, "policy-7-mmtc")
    after = _report(network, 2.0)
    mine = [cell.id for cell in topology.of_kind(Kind.CELL) if cell.parent_id == "site-7"]
    thin = [after("DRB.UEThpDl", cell) / before("DRB.UEThpDl", cell) for cell in mine]
    assert max(after("RRU.PrbTotDl", cell) for cell in mine) < 11.0
    assert max(thin) < 0.5
    assert after("DRB.UEThpDl", "cell-1-1") > 0.6 * before("DRB.UEThpDl", "cell-1-1")


def test_a_narrower_carrier_and_more_frequent_ssb_show_in_the_next_second(topology, network):
    before = _report(network)
    others = [cell.id for cell in topology.of_kind(Kind.CELL) if cell.parent_id != "site-7"]
    quiet = min(others, key=lambda cell_id: before("RRU.PrbTotDl", cell_id))
    _order(network, "bSChannelBwDL", 20.0)
    _order(network, "ssbPeriodicity", 5.0, quiet)
    after = _report(network)
    assert (before("RRU.PrbAvailDl"), after("RRU.PrbAvailDl")) == pytest.approx((273 * 0.95, 51 * 0.95))
    assert after("RRU.PrbTotDl") > 1.5 * before("RRU.PrbTotDl")
    assert after("PEE.AvgPower", quiet) > before("PEE.AvgPower", quiet) + 10.0


def test_energy_and_power_tell_the_same(network):
    figure = _report(network, 10.0)
    assert figure("PEE.Energy") == pytest.approx(figure("PEE.AvgPower") * 10.0 / 3.6e6, rel=1e-5)
