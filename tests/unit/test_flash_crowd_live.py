"""Flash crowds in the live network: where they are, demand rises and cells fill; elsewhere nothing happens."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from twin.clock import CivilTime
from twin.commands import ManageFault
from twin.entities import Kind
from twin.network import Network
from twin.scenario import CrowdEvent
from twin.topology import topology_of
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

CIVIL = CivilTime(epoch=datetime(2026, 11, 17, 9, 0, tzinfo=UTC), timezone="Europe/Luxembourg")
WHO = {"scene_id": "scene", "epoch": 1, "seq": 1}
RAMP_S = 20.0


@pytest.fixture(scope="module")
def quiet():
    return build_scenario(ScenarioSpec())


@pytest.fixture(scope="module")
def event(quiet):
    site = quiet.sites[len(quiet.sites) // 2]
    return CrowdEvent(
        name="concert",
        position_m=site.position_m[:2],
        radius_m=250.0,
        at_s=10.0,
        ramp_s=RAMP_S,
        duration_s=4000.0,
        demand_factor=8.0,
    )


def _network(scenario, seed=3):
    return Network(scenario, topology_of(scenario), CIVIL, seed=seed)


def _report(network, seconds):
    network.close_period(**WHO, granularity_period_s=1)
    for _ in range(seconds * 10):
        network.step(0.1)
    return network.close_period(**WHO, granularity_period_s=1)


def _by_cell(report, topology, kpi):
    rows = np.isin(report.entity_index, [cell.index for cell in topology.of_kind(Kind.CELL)])
    return report.values[rows, report.counters.index(kpi)]


def _near(scenario, event):
    """Cells of the sites within the crowd and far from it."""
    site = {one.id: np.hypot(*(np.array(one.position_m[:2]) - event.position_m)) for one in scenario.sites}
    apart = np.array([site[cell.site_id] for cell in scenario.cells])
    return apart < event.radius_m, apart > 4 * event.radius_m


def test_load_rises_where_the_crowd_is_and_not_elsewhere(quiet, event):
    with_event = replace(quiet, events=(event,))
    load = {}
    for name, scenario in (("quiet", quiet), ("event", with_event)):
        network = _network(scenario)
        _report(network, 32)
        load[name] = _by_cell(_report(network, 10), network.topology, "RRU.PrbTotDl")
    near, far = _near(quiet, event)
    assert load["event"][near].mean() > 1.4 * load["quiet"][near].mean()
    assert load["event"][far].mean() == pytest.approx(load["quiet"][far].mean(), rel=0.1)


def test_before_it_begins_an_event_changes_nothing(quiet, event):
    one, other = _network(quiet), _network(replace(quiet, events=(event,)))
    mine, theirs = _report(one, 9), _report(other, 9)
    np.testing.assert_array_equal(mine.values, theirs.values)


def test_a_restored_network_goes_on_with_the_event_at_its_time(quiet, event):
    scenario = replace(quiet, events=(event,))
    network = _network(scenario)
    _report(network, 15)
    for _ in range(3):
        network.step(0.1)
    twin = Network(scenario, topology_of(scenario), CIVIL, seed=3, sim_time_s=5000.0)
    twin.restore(network.snapshot())
    for _ in range(2):
        assert _report(network, 3).values.tobytes() == _report(twin, 3).values.tobytes()


def test_people_walk_to_the_event(quiet, event):
    """Half an hour after the ramp everyone who comes is there: UEs that get about and live near."""
    now = replace(event, at_s=-1800.0)
    place = {}
    for name, scenario in (("quiet", quiet), ("event", replace(quiet, events=(now,)))):
        place[name] = _network(scenario).telemetry(**WHO).position_m[:, :2]
    inside = {name: np.hypot(*(where - event.position_m).T) < event.radius_m for name, where in place.items()}
    moved = (place["event"] != place["quiet"]).any(axis=1)
    assert inside["event"].sum() > inside["quiet"].sum() + 20
    assert moved.sum() > 20
    assert inside["event"][moved].mean() > 0.9


def test_a_crowd_that_a_fault_brings_is_there_at_once_and_gone_when_cleared(quiet):
    network = _network(quiet)
    column = next(n for n, cell in enumerate(quiet.cells) if cell.id == "cell-7-2")
    _report(network, 5)
    before = _by_cell(_report(network, 5), network.topology, "RRU.PrbTotDl")[column]
    order = {"fault": "flash-crowd", "entity_id": "cell-7-2"}
    network.manage_fault(ManageFault(operation="inject", severity=1.0, **order))
    crowded = _by_cell(_report(network, 5), network.topology, "RRU.PrbTotDl")[column]
    network.manage_fault(ManageFault(operation="clear", **order))
    _report(network, 5)
    after = _by_cell(_report(network, 5), network.topology, "RRU.PrbTotDl")[column]
    assert crowded > before + 25.0
    assert after == pytest.approx(before, abs=12.0)
