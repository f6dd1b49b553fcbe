"""The 6G parts in a living network: each attribute acts in the next tick, and a snapshot holds all of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from twin import kernels
from twin.clock import CivilTime
from twin.commands import SetAttribute
from twin.entities import Kind
from twin.moments import Carriers, Moment, evaluate
from twin.network import Network
from twin.sixg import ris
from twin.topology import topology_of
from twin.world import world_of
from twin_app.scenarios import ScenarioSpec, build_scenario

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/scenarios/sixg.yaml"
CIVIL = CivilTime(epoch=datetime(2026, 11, 17, 17, 0, tzinfo=UTC), timezone="Europe/Luxembourg")
WHO = {"scene_id": "scene", "epoch": 1, "seq": 1}


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec(scenario=EXAMPLE, num_ues=120))


@pytest.fixture(scope="module")
def topology(scenario):
    return topology_of(scenario)


@pytest.fixture
def network(scenario, topology):
    return Network(scenario, topology, CIVIL, seed=5)


def _run(network, seconds):
    for _ in range(round(seconds * 10)):
        network.step(0.1)


def _set(network, entity_id, attribute, value):
    network.apply([SetAttribute(entity_id=entity_id, attribute=attribute, value=float(value))])


def _report(network, topology, seconds=1.0):
    """Return the counters of the cells over some seconds, by name and cell."""
    _run(network, seconds)
    report = network.close_period(**WHO, granularity_period_s=1)
    cells = {int(entity.index): entity.id for entity in topology.of_kind(Kind.CELL)}
    return {
        name: {
            cells[int(index)]: float(value)
            for index, value in zip(report.entity_index, report.values[:, column], strict=True)
            if int(index) in cells
        }
        for column, name in enumerate(report.counters)
    }


def _stand(network, topology, place_m):
    """Put the first UEs at places and return their rows in telemetry."""
    index = np.array([entity.index for entity in topology.of_kind(Kind.UE)][: len(place_m)], dtype=np.uint32)
    network.guide()
    network.place(index, np.asarray(place_m, dtype=np.float32))
    return index


def _gauge(network, index, kpi):
    batch = network.telemetry(**WHO)
    rows = np.searchsorted(batch.entity_index, index)
    return batch.values[rows, batch.kpis.index(kpi)]


def _beam_m(panel, index, *, far_m=(30.0, 110.0), count=24):
    angle = np.radians(panel.azimuth_deg + ris.beam_azimuth_deg(index))
    along = np.linspace(*far_m, count)[:, None] * np.array([np.sin(angle), np.cos(angle)])
    return np.array(panel.position_m[:2]) + along


def test_a_street_lights_up_and_goes_dark_with_the_phase_profile(scenario, topology, network):
    panel = scenario.ris[0]
    aimed = panel.phase_profile_index
    other = 250 if aimed < 128 else 5
    index = _stand(network, topology, _beam_m(panel, aimed))
    _run(network, 3.0)
    lit = _gauge(network, index, "RF.serving.RSRP")
    _set(network, panel.id, "vsData6gRis.phaseProfileIndex", other)
    _run(network, 0.1)
    dark = _gauge(network, index, "RF.serving.RSRP")
    _set(network, panel.id, "vsData6gRis.phaseProfileIndex", aimed)
    _run(network, 0.1)
    again = _gauge(network, index, "RF.serving.RSRP")
    assert float(np.nanmax(lit - dark)) > 6.0
    assert again == pytest.approx(lit, abs=0.01, nan_ok=True)


def test_sensing_reports_targets_and_takes_its_share_of_the_cell(network, topology):
    before = _report(network, topology, 0.3)
    for sector in (1, 2, 3):
        _set(network, f"cell-1-{sector}", "vsData6gIsac.sensingDutyCycle", 40)
    after = _report(network, topology, 0.3)
    sensing = [f"cell-1-{sector}" for sector in (1, 2, 3)]
    level = np.array([[one["vsData6gSensingSnr"][cell] for cell in sensing] for one in (before, after)])
    seen = np.isfinite(level).all(axis=0)
    assert seen.any()
    # Four times the time on target; the targets fly on meanwhile, at the edge of a sector for 0.6 dB per degree.
    assert (level[1] - level[0])[seen] == pytest.approx(10.0 * np.log10(4.0), abs=1.0)
    found = [after["vsData6gDetectionProbability"][cell] for cell in sensing]
    assert all(0.0 <= one <= 100.0 for one in found)
    assert max(found) > 50.0
    assert all(np.isnan(after["vsData6gSensingSnr"][cell]) for cell in ("cell-5-1", "cell-9-2"))


def test_what_a_scan_takes_data_does_not_get(network, topology):
    before = _report(network, topology, 3.0)["DRB.UEThpDl"]
    for sector in (1, 2, 3):
        _set(network, f"cell-1-{sector}", "vsData6gIsac.sensingDutyCycle", 50)
    after = _report(network, topology, 3.0)["DRB.UEThpDl"]
    busy = [cell for cell in (f"cell-1-{sector}" for sector in (1, 2, 3)) if np.isfinite(before[cell])]
    assert busy
    assert all(after[cell] < 0.8 * before[cell] for cell in busy)


def test_at_the_edge_two_cells_are_better_than_one_and_both_pay(scenario, topology, network):
    """UEs between two sites: SINR rises with the second cell, and the load of the partner with it."""
    site_m = {site.id: np.array(site.position_m[:2]) for site in scenario.sites}
    middle = (site_m["site-1"] + site_m["site-2"]) / 2.0
    spread = np.random.default_rng(3).normal(0.0, 25.0, (60, 2))
    index = _stand(network, topology, middle + spread)
    cells = [cell.id for cell in scenario.cells]
    for cell in cells:
        _set(network, cell, "vsData6gApCluster.maxServingAps", 1)
    before = _report(network, topology, 4.0)
    alone = _gauge(network, index, "RF.serving.RSSINR")
    for cell in cells:
        _set(network, cell, "vsData6gApCluster.maxServingAps", 3)
    _run(network, 0.1)
    together = _gauge(network, index, "RF.serving.RSSINR")
    after = _report(network, topology, 4.0)
    gain = together - alone
    weak = alone < np.nanmedian(alone)
    assert float(np.nanmedian(gain[weak])) > 2.0
    assert (gain[np.isfinite(gain)] > -1.0).all()
    load = {when: sum(one["RRU.PrbTotDl"][cell] for cell in cells) for when, one in (("1", before), ("3", after))}
    assert load["3"] > load["1"]


def test_targets_ride_in_telemetry_along_their_paths(scenario, topology, network):
    index = np.array([entity.index for entity in topology.of_kind(Kind.TARGET)], dtype=np.uint32)
    places = []
    for _ in range(2):
        batch = network.telemetry(**WHO)
        assert (np.diff(batch.entity_index.astype(np.int64)) > 0).all()
        rows = np.searchsorted(batch.entity_index, index)
        assert (batch.entity_index[rows] == index).all()
        places.append(batch.position_m[rows])
        _run(network, 1.0)
    gone_m = np.linalg.norm(places[1] - places[0], axis=1)
    assert gone_m == pytest.approx([target.speed_mps for target in scenario.targets], abs=0.6)
    assert (places[0][:, 2] > 40.0).all()


def test_hot_spots_serve_users_who_stand_below_them(scenario, topology, network):
    site = {one.id: one for one in scenario.sites}
    spots = [cell for cell in scenario.cells if cell.environment == "SubTHz"]
    near = np.array(
        [
            np.array(site[cell.site_id].position_m[:2])
            + 25.0 * np.array([np.sin(np.radians(cell.azimuth_deg)), np.cos(np.radians(cell.azimuth_deg))])
            for cell in spots
        ]
    )
    index = _stand(network, topology, np.repeat(near, 4, axis=0) + np.random.default_rng(1).normal(0, 4, (48, 2)))
    _run(network, 5.0)
    serving = _gauge(network, index, "vsData6gServingCell").astype(np.int64)
    own = {topology.get(cell.id).index for cell in spots}
    share = np.mean([int(cell) in own for cell in serving])
    assert share > 0.2


def test_a_snapshot_holds_panels_sensing_and_serving_sets_bit_for_bit(scenario, topology, network):
    _set(network, "ris-1", "vsData6gRis.phaseProfileIndex", 60)
    _set(network, "cell-3-1", "vsData6gIsac.sensingDutyCycle", 25)
    for cell in ("cell-2-1", "cell-2-2", "cell-5-1"):
        _set(network, cell, "vsData6gApCluster.maxServingAps", 4)
    _run(network, 1.5)
    state = network.snapshot()
    twin = Network(scenario, topology, CIVIL, seed=5)
    twin.restore(state)
    ends = []
    for one in (network, twin):
        _run(one, 1.0)
        report, batch = one.close_period(**WHO, granularity_period_s=1), one.telemetry(**WHO)
        ends.append((report.values, batch.values, batch.position_m))
    for first, second in zip(*ends, strict=True):
        assert np.array_equal(first, second, equal_nan=True)


def test_a_beam_lifts_the_wanted_signal_by_its_gain_and_nothing_else(scenario):
    world = world_of(scenario, 5)
    rng = np.random.default_rng(7)
    users, cells = world.num_users, world.num_cells
    received = (10.0 ** rng.uniform(-10.0, -6.0, (users, cells))).astype(np.float32)
    serving = received.argmax(axis=1)
    own_carrier = world.carrier_of_cell[serving][:, None] == world.carrier_of_cell
    helper = np.where(own_carrier, received, 0.0)
    helper[np.arange(users), serving] = 0.0
    assist = helper.argmax(axis=1)[:, None]

    def sinr(beam_gain_db):
        idle = world.carriers.idle
        moment = Moment(
            serving=serving[None],
            rsrp_dbm=np.full((1, users), -90.0, dtype=np.float32),
            signal_mw=received[np.arange(users), serving][None],
            total_mw=lambda activity: ((received * own_carrier) @ activity[0])[None],
            demand_bps=np.full((1, users), 1e6, dtype=np.float32),
            connected=np.ones((1, users), dtype=np.float32),
            load=np.full((1, cells), 0.4, dtype=np.float32),
            max_output_w=np.ones(cells, dtype=np.float32),
            awake=np.ones(cells, dtype=bool),
            carriers=Carriers(bandwidth_hz=world.bandwidth_hz, idle=idle, beam_gain_db=beam_gain_db),
            assist_cells=assist[None],
            assist_mw=np.take_along_axis(received, assist, axis=1)[None],
        )
        return evaluate(world, moment, iterations=0).sinr_db[0]

    plain, aimed = sinr(None), sinr(np.full(cells, 9.03, dtype=np.float32))
    assert aimed - plain == pytest.approx(np.full(users, 9.03), abs=0.02)


def test_the_map_of_the_air_shows_the_light_of_a_panel(scenario, network):
    panel = scenario.ris[0]
    lit = network.sinr_map(resolution_m=8.0)
    _set(network, panel.id, "vsData6gRis.phaseProfileIndex", 250 if panel.phase_profile_index < 128 else 5)
    dark = network.sinr_map(resolution_m=8.0)
    drop = lit.rsrp_dbm - dark.rsrp_dbm
    row, column = np.unravel_index(int(np.nanargmax(drop)), drop.shape)
    place = np.array([lit.west_m + (column + 0.5) * lit.cell_m, lit.south_m + (row + 0.5) * lit.cell_m])
    assert float(drop[row, column]) > 0.5  # without a panel both maps are the same
    assert float(np.hypot(*(place - np.array(panel.position_m[:2])))) < 200.0


def test_both_kernels_tell_the_same_of_a_6g_city(scenario, topology):
    pytest.importorskip("numba")
    ends = []
    for name in ("numpy", "numba"):
        network = Network(scenario, topology, CIVIL, seed=5, kernel=kernels.load(name))
        _run(network, 0.3)
        batch = network.telemetry(**WHO)
        ends.append(batch.values[:, batch.kpis.index("RF.serving.RSSINR")])
    assert ends[1] == pytest.approx(ends[0], abs=0.1, nan_ok=True)
