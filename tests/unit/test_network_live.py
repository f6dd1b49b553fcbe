"""The live network: determinism, conservation, orders, faults, state."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from twin.clock import CivilTime
from twin.commands import ManageFault, SetAttribute
from twin.entities import Kind
from twin.errors import CorruptStore, InvalidInput, NotFound, OutOfRange, UnknownEntity, UnknownName
from twin.kpi import KPIS, kpis_of
from twin.network import Network
from twin.network_state import pack, unpack
from twin.past import generate_past
from twin.people import num_users
from twin.topology import topology_of
from twin.traffic import MeasuredTraffic, WeekCurves
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

CIVIL = CivilTime(epoch=datetime(2026, 11, 17, 12, 0, tzinfo=UTC), timezone="Europe/Luxembourg")
WHO = {"scene_id": "scene", "epoch": 1, "seq": 1}


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec())


@pytest.fixture(scope="module")
def topology(scenario):
    return topology_of(scenario)


@pytest.fixture
def network(scenario, topology):
    return Network(scenario, topology, CIVIL, seed=5)


def _run(network, seconds=1.0):
    for _ in range(round(seconds * 10)):
        network.step(0.1)
    return network


def _report(network, seconds=1.0):
    return _run(network, seconds).close_period(**WHO, granularity_period_s=1)


def _column(report, topology, kpi, kind=Kind.CELL):
    rows = np.isin(report.entity_index, [entity.index for entity in topology.of_kind(kind)])
    return report.values[rows, report.counters.index(kpi)]


def _cell(report, topology, cell_id, kpi):
    row = int(np.flatnonzero(report.entity_index == topology.get(cell_id).index)[0])
    return float(report.values[row, report.counters.index(kpi)])


def _set(cell_id, name, value):
    return SetAttribute(entity_id=cell_id, attribute=name, value=value)


def test_the_same_seed_gives_the_same_figures(scenario, topology):
    first, second = (_report(Network(scenario, topology, CIVIL, seed=9), 2.0) for _ in range(2))
    np.testing.assert_array_equal(first.values, second.values)


def test_another_seed_gives_other_figures(scenario, topology):
    first, second = (_report(Network(scenario, topology, CIVIL, seed=seed)) for seed in (1, 2))
    assert not np.array_equal(first.values, second.values, equal_nan=True)


def test_a_restored_network_continues_bit_for_bit(scenario, topology, network):
    network.apply([_set("cell-7-2", "digitalTilt", 90.0)])
    network.manage_fault(ManageFault(operation="inject", fault="power-loss", entity_id="cell-3-1", severity=0.5))
    _run(network, 3.0)
    state = network.snapshot()
    twin = Network(scenario, topology, CIVIL, seed=5, sim_time_s=777.0)
    _run(twin, 0.5)
    twin.restore(state)
    assert twin.telemetry(**WHO).values.tobytes() == network.telemetry(**WHO).values.tobytes()
    for _ in range(3):
        mine, other = _report(network, 2.0), _report(twin, 2.0)
        assert mine.values.tobytes() == other.values.tobytes()
    assert network.telemetry(**WHO).position_m.tobytes() == twin.telemetry(**WHO).position_m.tobytes()
    assert (twin.sim_time_s, twin.configuration(), twin.faults()) == (
        network.sim_time_s,
        network.configuration(),
        network.faults(),
    )


@pytest.mark.parametrize("damage", [lambda s: s[:-7], lambda _: b"", lambda s: s[:900] + b"x" + s[901:]])
def test_a_damaged_state_is_refused(network, damage):
    with pytest.raises(CorruptStore):
        network.restore(damage(network.snapshot()))


def _misshapen(document, arrays):
    """Yield (what is wrong, document, arrays): everything lacking in turn, and what only looks right."""
    for name in document:
        yield f"without {name}", {key: value for key, value in document.items() if key != name}, arrays
    for name, array in arrays.items():
        yield f"without {name}", document, {key: value for key, value in arrays.items() if key != name}
        yield f"{name} cut", document, {**arrays, name: array[..., :-1]}
    own = document["faults"][0]
    for name, value in {
        "faults": [{"name": "power-loss", "entity_id": "cell-7-2", "severity": 0.5}],
        "faults ": [{**own, "entity_id": "cell-99-9"}],
        "faults  ": [{**own, "fault": "no-such"}],
        "faults   ": [{**own, "entity_id": "link-1-2"}],
        "faults    ": [{**own, "written": [{"entity_id": "site-1", "attribute": "a", "wrong": 1, "right": 2}]}],
        "faults     ": [7],
        "generator": {"bit_generator": "MT19937"},
        "configured": {"cell-7-2": {"digitalTilt": "steep"}},
        "minutes": {},
        "guided": "no",
        "sim_time_s": math.nan,
    }.items():
        yield f"{name} = {value}", {**document, name.strip(): value}, arrays
    yield "types", document, {**arrays, "place_m": arrays["place_m"].astype("f8")}


@pytest.mark.parametrize("guided", [False, True])
def test_a_state_that_lacks_or_misshapes_anything_is_refused_and_changes_nothing(scenario, topology, network, guided):
    network.manage_fault(ManageFault(operation="inject", fault="power-loss", entity_id="cell-7-2", severity=0.5))
    if guided:
        network.guide()
    document, arrays = unpack(_run(network).snapshot())
    del document["format"]
    other = _run(Network(scenario, topology, CIVIL, seed=5), 0.3)
    if not guided:
        other.guide()  # what is refused must not let it walk again, either
    before = other.snapshot()
    for what, wrong_document, wrong_arrays in _misshapen(document, arrays):
        wrong = pack(wrong_document, wrong_arrays)
        with pytest.raises(CorruptStore):
            other.restore(wrong)
        assert other.snapshot() == before, what
    other.restore(pack(document, arrays))
    assert other.guided == guided
    assert [one.fault for one in other.faults()] == ["power-loss"]


def test_the_state_of_an_earlier_version_is_refused_by_its_name(network):
    document, arrays = unpack(network.snapshot())
    with pytest.raises(CorruptStore, match="twin6g-network-1"):
        network.restore(pack({**document, "format": "twin6g-network-1"}, arrays))


def test_the_state_of_another_seed_is_refused(scenario, topology, network):
    with pytest.raises(CorruptStore, match="seed `5`"):
        Network(scenario, topology, CIVIL, seed=6).restore(network.snapshot())


def test_a_report_holds_every_counter_of_cells_slices_and_links(topology, network):
    report = _report(network)
    kinds = {Kind.CELL, Kind.SLICE, Kind.LINK}
    assert report.counters == tuple(row.name for row in KPIS if set(row.kinds) & kinds)
    assert len(report.entity_index) == sum(len(topology.of_kind(kind)) for kind in kinds)
    for kind in kinds:
        for name in report.counters:
            present = np.isfinite(_column(report, topology, name, kind)).any()
            # No cell of this city senses.
            expected = name in {row.name for row in kpis_of(kind)} - {
                "vsData6gSensingSnr",
                "vsData6gDetectionProbability",
            }
            assert present == expected, (kind, name)


def test_counters_lie_in_the_range_of_the_kpi_table(network):
    report = _report(network, 3.0)
    for name, row in ((row.name, row) for row in KPIS if row.name in report.counters):
        values = report.values[:, report.counters.index(name)]
        values = values[np.isfinite(values)]
        assert ((values >= row.low) & (values <= row.high)).all(), name


def test_closing_a_period_starts_counting_anew(topology, network):
    long = _column(_report(network, 10.0), topology, "DRB.PdcpSduVolumeDL").sum()
    short = _column(_report(network, 1.0), topology, "DRB.PdcpSduVolumeDL").sum()
    assert short == pytest.approx(long / 10.0, rel=0.15)


def test_cells_and_slices_tell_the_same_volume(topology, network):
    report = _report(network)
    cells = _column(report, topology, "DRB.PdcpSduVolumeDL").sum()
    slices = _column(report, topology, "DRB.PdcpSduVolumeDL", Kind.SLICE).sum()
    assert slices == pytest.approx(cells, rel=1e-3)


def test_all_traffic_flows_over_the_links_to_the_core(scenario, topology, network):
    report = _report(network)
    last = [n for n, link in enumerate(scenario.links) if link.b_id == "node-upf"]
    carried = _column(report, topology, "vsData6gLinkThroughput", Kind.LINK)[last].sum()
    assert carried == pytest.approx(_column(report, topology, "DRB.PdcpSduVolumeDL").sum(), rel=1e-3)


def test_telemetry_tells_position_and_gauges_of_every_ue(scenario, topology, network):
    batch = _run(network).telemetry(**WHO)
    assert batch.kpis == tuple(row.name for row in kpis_of(Kind.UE))
    assert batch.values.shape == (len(scenario.ues), len(batch.kpis))
    serving = batch.values[:, batch.kpis.index("vsData6gServingCell")]
    cells = {entity.index for entity in topology.of_kind(Kind.CELL)}
    assert {int(index) for index in serving} <= cells | {-1}
    assert (serving >= 0).mean() > 0.9


def test_ues_keep_to_the_streets(scenario, network):
    _run(network, 20.0)
    batch = network.telemetry(**WHO)
    moving = [n for n, ue in enumerate(scenario.ues) if ue.mobility != "still"]
    a, b = (scenario.streets.node_m[scenario.streets.edge[:, end]] for end in (0, 1))
    along = b - a
    length = (along**2).sum(axis=1)
    for place in batch.position_m[moving, :2]:
        share = np.clip(((place - a) * along).sum(axis=1) / length, 0, 1)[:, None]
        assert np.hypot(*(a + share * along - place).T).min() < 0.5


def test_nobody_outruns_the_speed_limit(scenario, network):
    before = network.telemetry(**WHO).position_m
    after = _run(network, 1.0).telemetry(**WHO).position_m
    step_m = np.hypot(*(after - before)[:, :2].T)
    assert 0.5 < step_m.max() < 40.0
    still = [n for n, ue in enumerate(scenario.ues) if ue.mobility == "still"]
    assert step_m[still].max() == 0.0


def test_half_the_power_is_3_db_less_rsrp(scenario, topology):
    one, other = (Network(scenario, topology, CIVIL, seed=5) for _ in range(2))
    one.apply([_set(cell.id, "configuredMaxTxPower", 20_000) for cell in scenario.cells])
    other.apply([_set(cell.id, "configuredMaxTxPower", 10_000) for cell in scenario.cells])
    difference = other.sinr_map(resolution_m=100.0).rsrp_dbm - one.sinr_map(resolution_m=100.0).rsrp_dbm
    assert difference == pytest.approx(-3.01, abs=0.01)


def test_orders_read_back_in_the_unit_of_the_nrm(network):
    done = network.apply([_set("cell-7-2", "digitalTilt", 80), _set("cell-7-1", "administrativeState", "LOCKED")])
    assert done == (_set("cell-7-2", "digitalTilt", 80.0), _set("cell-7-1", "administrativeState", "LOCKED"))
    assert set(done) <= set(network.configuration())


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (_set("cell-7-2", "digitalTilt", 400.0), OutOfRange),
        (_set("cell-99-1", "digitalTilt", 60.0), UnknownEntity),
        (_set("cell-7-2", "colour", 1.0), UnknownName),
        (_set("site-7", "digitalTilt", 60.0), UnknownName),
    ],
)
def test_orders_are_applied_wholly_or_not_at_all(network, action, error):
    before = network.configuration()
    with pytest.raises(error):
        network.apply([_set("cell-1-1", "digitalTilt", 30.0), action])
    assert network.configuration() == before


def test_a_locked_cell_serves_nobody_and_sleeps(topology, network):
    before = _report(network)
    network.apply([_set("cell-7-2", "administrativeState", "LOCKED")])
    after = _report(network)
    assert _cell(before, topology, "cell-7-2", "RRC.ConnMean") > 1
    assert _cell(after, topology, "cell-7-2", "RRC.ConnMean") == 0
    assert _cell(after, topology, "cell-7-2", "RRU.PrbTotDl") == 0
    assert np.isnan(_cell(after, topology, "cell-7-2", "vsData6gMeanSsRsrp"))
    assert _cell(after, topology, "cell-7-2", "PEE.AvgPower") < _cell(before, topology, "cell-7-2", "PEE.AvgPower")
    everyone = (_column(report, topology, "RRC.ConnMean").sum() for report in (before, after))
    assert next(everyone) == pytest.approx(next(everyone), rel=0.05)


def test_unlocking_brings_the_cell_back(topology, network):
    before = _report(network, 2.0)
    network.apply([_set("cell-7-2", "administrativeState", "LOCKED")])
    _run(network, 1.0)
    network.apply([_set("cell-7-2", "administrativeState", "UNLOCKED")])
    _run(network, 2.0)
    network.close_period(**WHO, granularity_period_s=1)
    after = _report(network)
    found = _cell(after, topology, "cell-7-2", "RRC.ConnMean")
    assert found == pytest.approx(_cell(before, topology, "cell-7-2", "RRC.ConnMean"), rel=0.25)


def test_tilting_down_shows_in_rsrp(scenario, network):
    before = network.sinr_map(resolution_m=50.0)
    network.apply([_set("cell-7-2", "digitalTilt", 150.0)])
    after = network.sinr_map(resolution_m=50.0)
    mine = before.best_cell == [cell.id for cell in scenario.cells].index("cell-7-2")
    assert np.abs(after.rsrp_dbm - before.rsrp_dbm)[mine].max() > 3.0


def test_power_loss_lowers_rsrp_and_sends_users_away_while_the_configuration_stands(topology, network):
    before = _report(network, 2.0)
    configured = network.configuration()
    network.manage_fault(ManageFault(operation="inject", fault="power-loss", entity_id="cell-9-1", severity=0.3))
    _run(network, 1.0).close_period(**WHO, granularity_period_s=1)
    after = _report(network, 2.0)
    change = {
        name: _cell(after, topology, "cell-9-1", name) - _cell(before, topology, "cell-9-1", name)
        for name in ("vsData6gMeanSsRsrp", "vsData6gMeanCqi", "RRC.ConnMean")
    }
    assert change["vsData6gMeanSsRsrp"] < -2.0
    assert change["vsData6gMeanCqi"] < -0.5
    assert change["RRC.ConnMean"] < -1.0
    assert network.configuration() == configured
    assert [fault.effect for fault in network.faults()] == [pytest.approx(10.2)]


def test_a_cleared_fault_leaves_no_trace(network):
    before = network.sinr_map(resolution_m=100.0).rsrp_dbm
    order = {"fault": "power-loss", "entity_id": "cell-7-2"}
    network.manage_fault(ManageFault(operation="inject", **order))
    assert not np.array_equal(network.sinr_map(resolution_m=100.0).rsrp_dbm, before)
    network.manage_fault(ManageFault(operation="clear", **order))
    np.testing.assert_array_equal(network.sinr_map(resolution_m=100.0).rsrp_dbm, before)
    assert network.faults() == ()


@pytest.mark.parametrize(
    ("order", "error"),
    [
        ({"fault": "power-loss", "entity_id": "site-7"}, InvalidInput),
        ({"fault": "gremlins", "entity_id": "cell-7-2"}, UnknownName),
        ({"fault": "power-loss", "entity_id": "cell-99-9"}, UnknownEntity),
        ({"fault": "power-loss", "entity_id": "cell-7-2", "severity": 1.5}, OutOfRange),
        ({"fault": "power-loss", "entity_id": "cell-7-2", "operation": "clear"}, NotFound),
    ],
)
def test_a_fault_order_that_cannot_be_meant_is_refused(network, order, error):
    with pytest.raises(error):
        network.manage_fault(ManageFault(**{"operation": "inject", **order}))


def test_users_hand_over_as_they_move(topology, network):
    report = _report(network, 60.0)
    assert 1 <= _column(report, topology, "MM.HoExeIntraSucc").sum() < 600


def test_a_city_without_people_runs_and_is_idle():
    empty = build_scenario(ScenarioSpec(num_ues=0))
    topology = topology_of(empty)
    network = Network(empty, topology, CIVIL, seed=1)
    report = _report(network)
    assert _column(report, topology, "RRU.PrbTotDl").max() == 0.0
    assert len(network.telemetry(**WHO).entity_index) == 0
    network.restore(network.snapshot())


def test_cells_on_another_carrier_do_not_interfere(scenario):
    apart = replace(
        scenario,
        cells=tuple(replace(cell, carrier_hz=cell.carrier_hz + 100e6 * (cell.sector % 2)) for cell in scenario.cells),
    )
    same, other = (Network(one, topology_of(one), CIVIL, seed=5) for one in (scenario, apart))
    middle = [np.median(_run(one).sinr_map(resolution_m=50.0).sinr_db) for one in (same, other)]
    assert middle[1] > middle[0] + 1.0
    gauges = [one.telemetry(**WHO) for one in (same, other)]
    column = gauges[0].kpis.index("RF.serving.RSSINR")
    assert np.nanmedian(gauges[1].values[:, column]) > np.nanmedian(gauges[0].values[:, column]) + 1.0


def test_a_new_network_takes_its_configuration_from_the_topology(scenario, topology):
    changed = topology.with_attributes(
        [("cell-7-2", "digitalTilt", 100.0), ("cell-1-1", "administrativeState", "LOCKED")]
    )
    network = Network(scenario, changed, CIVIL, seed=5)
    assert network.read("cell-7-2", "digitalTilt") == 100.0
    assert _cell(_report(network), changed, "cell-1-1", "RRC.ConnMean") == 0.0


def test_a_network_runs_on_another_traffic_model(scenario, topology):
    """Half of the crowd's wish is half of its volume, live and in the past; the parametric world is left alone."""
    volumes, pasts = [], []
    for share in (0.2, 0.4):
        model = MeasuredTraffic(
            WeekCurves(np.full((1, 1008), share, dtype=np.float32)), np.zeros(num_users(scenario), dtype=np.int64)
        )
        network = Network(scenario, topology, CIVIL, seed=5, traffic=model)
        volumes.append(_column(_report(network, 2.0), topology, "DRB.PdcpSduVolumeDL").sum())
        past = generate_past(
            scenario, topology, CIVIL, seed=5, end_s=0.0, past_s=900, scene_id="scene", epoch=1, traffic=model
        )
        pasts.append(np.mean([_column(one, topology, "DRB.PdcpSduVolumeDL").sum() for one in past][:-1]))
    assert volumes[1] / volumes[0] == pytest.approx(2.0, rel=0.25)
    assert pasts[1] / pasts[0] == pytest.approx(2.0, rel=0.25)
    usual = Network(scenario, topology, CIVIL, seed=5)
    assert _column(_report(usual, 2.0), topology, "DRB.PdcpSduVolumeDL").sum() > 1.5 * volumes[1]
