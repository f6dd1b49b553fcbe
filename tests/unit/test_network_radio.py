"""The air of a live network: a map and the users see the same faults, cells inside of buildings, heights of users."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from twin.clock import CivilTime
from twin.commands import ManageFault, SetAttribute
from twin.entities import Kind
from twin.network import Network
from twin.radio.blockage import footprints_of
from twin.topology import topology_of
from twin.world import world_of
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

CIVIL = CivilTime(epoch=datetime(2026, 11, 17, 12, 0, tzinfo=UTC), timezone="Europe/Luxembourg")
PIXEL_M = 25.0
CELL, SITE = "cell-7-2", "site-7"


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec())


@pytest.fixture(scope="module")
def topology(scenario):
    return topology_of(scenario)


def _gauge(batch, name):
    return batch.values[:, batch.kpis.index(name)]


def _told(network):
    return network.telemetry(scene_id="x", epoch=1, seq=1)


def _pixels_about(scenario, grid, count):
    """Return rows and columns of the pixels outdoors that are nearest to where faults of the cell strike."""
    site = next(one for one in scenario.sites if one.id == SITE)
    cell = next(one for one in scenario.cells if one.id == CELL)
    turn = np.radians(cell.azimuth_deg)
    middle_m = np.array(site.position_m[:2]) + 150.0 * np.array([np.sin(turn), np.cos(turn)])
    rows, cols = (at.ravel() for at in np.indices(grid.sinr_db.shape))
    place_m = np.column_stack([grid.west_m + (cols + 0.5) * PIXEL_M, grid.south_m + (rows + 0.5) * PIXEL_M])
    inside = footprints_of(scenario.buildings, scenario.extent_m).contain(place_m.astype(np.float32))
    near = np.argsort(np.hypot(*(place_m - middle_m).T) + 1e6 * inside)[:count]
    return rows[near], cols[near], place_m[near]


def _fault(name, severity=0.5):
    return lambda network: network.manage_fault(
        ManageFault(operation="inject", fault=name, entity_id=CELL, severity=severity)
    )


def _order(name, value):
    return lambda network: network.apply([SetAttribute(entity_id=CELL, attribute=name, value=value)])


@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(None, id="nothing"),
        pytest.param(_fault("external-interference"), id="interferer"),
        pytest.param(_fault("pci-collision", 1.0), id="shared identity"),
        pytest.param(_fault("coverage-hole"), id="obstacle"),
        pytest.param(_fault("power-loss"), id="weak amplifier"),
        pytest.param(_order("ssbPeriodicity", 5), id="dense SSB"),
        pytest.param(_order("vsData6gIsac.sensingDutyCycle", 40), id="sensing"),
    ],
)
def test_the_map_tells_the_sinr_that_a_user_has_there(scenario, topology, disturb):
    network = Network(scenario, topology, CIVIL, seed=5)
    network.guide()
    if disturb is not None:
        disturb(network)
    outdoors = np.flatnonzero([not ue.indoor for ue in scenario.ues])[:120]
    index = np.array([entity.index for entity in topology.of_kind(Kind.UE)], np.uint32)[outdoors]
    grid = network.sinr_map(resolution_m=PIXEL_M)
    rows, cols, place_m = _pixels_about(scenario, grid, len(outdoors))
    network.place(index, np.column_stack([place_m, np.full(len(place_m), 1.5)]).astype(np.float32))
    for _ in range(60):
        network.step(0.1)
    grid, batch = network.sinr_map(resolution_m=PIXEL_M), _told(network)
    cells = np.array([topology.get(cell.id).index for cell in scenario.cells])
    strongest = cells[grid.best_cell[rows, cols]] == _gauge(batch, "vsData6gServingCell")[outdoors]
    mapped_db, live_db = grid.sinr_db[rows, cols], _gauge(batch, "RF.serving.RSSINR")[outdoors]
    # The load moves on between the tick that was told and the map; handover keeps some users on the second best.
    apart = np.abs(np.clip(mapped_db, -23.0, 40.0) - live_db)[strongest]
    assert strongest.sum() > 0.4 * len(outdoors)
    assert apart.max() < 1.0


def test_an_interferer_shows_in_the_map_as_deep_as_its_noise(scenario, topology):
    network = Network(scenario, topology, CIVIL, seed=5)
    before = network.sinr_map(resolution_m=PIXEL_M)
    _fault("external-interference", 1.0)(network)
    change_db = network.sinr_map(resolution_m=PIXEL_M).sinr_db - before.sinr_db
    rows, cols, _ = _pixels_about(scenario, before, 40)
    assert np.median(change_db[rows, cols]) < -5.0
    assert (np.abs(change_db) < 1e-3).mean() > 0.5


def test_two_neighbours_with_one_identity_show_in_the_map(scenario, topology):
    network = Network(scenario, topology, CIVIL, seed=5)
    before = network.sinr_map(resolution_m=PIXEL_M).sinr_db
    _fault("pci-collision", 1.0)(network)
    assert (network.sinr_map(resolution_m=PIXEL_M).sinr_db - before).min() < -3.0


def test_a_ue_indoors_stands_where_it_is_heard_from(scenario, topology):
    network = Network(scenario, topology, CIVIL, seed=5)
    network.step(0.1)
    height_m = _told(network).position_m[: len(scenario.ues), 2]
    indoor = np.array([ue.indoor for ue in scenario.ues])
    np.testing.assert_array_equal(height_m, world_of(scenario, 5).points.height_m[: len(scenario.ues)])
    assert (height_m[~indoor] == 1.5).all()
    assert height_m[indoor].max() > 7.0


def test_a_cell_in_an_office_is_heard_in_the_room_and_hardly_in_the_street(scenario):
    heights = world_of(scenario, 5).points.height_m
    row = next(
        row for row, ue in enumerate(scenario.ues) if ue.indoor and ue.mobility == "still" and heights[row] < 2.0
    )
    east_m, north_m = scenario.ues[row].home_m
    mast_m = (float(east_m), float(north_m) - 5.0, 0.0)

    def rsrp(*, indoor):
        ues = tuple(replace(ue, indoor=indoor) if at == row else ue for at, ue in enumerate(scenario.ues))
        office = replace(
            scenario,
            ues=ues,
            sites=tuple(
                replace(one, position_m=mast_m, height_m=3.0) if one.id == SITE else one for one in scenario.sites
            ),
            cells=tuple(
                replace(one, environment="InH", tx_power_dbm=24.0, azimuth_deg=0.0) if one.site_id == SITE else one
                for one in scenario.cells
            ),
        )
        network = Network(office, topology_of(office), CIVIL, seed=5)
        for _ in range(30):
            network.step(0.1)
        return float(_gauge(_told(network), "RF.serving.RSRP")[row])

    inside, outside = rsrp(indoor=True), rsrp(indoor=False)
    # Free space at 5 m is 57 dB, a resource element of 24 dBm in 273 blocks -11 dBm, the antenna a few dB.
    assert -75.0 < inside < -45.0
    assert outside < inside - 10.0
