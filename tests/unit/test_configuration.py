"""Managed attributes: read by entity, read by column, changed by order, felt by the network."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from twin.attributes import ATTRIBUTES, arfcn, attributes_of, carrier_mhz, to_managed, to_native
from twin.clock import CivilTime
from twin.commands import SetAttribute
from twin.configuration import Configuration
from twin.entities import Kind, RisPanel, SensingTarget
from twin.errors import OutOfRange, UnknownEntity, UnknownName
from twin.fault_effects import facing_neighbours
from twin.network import Network
from twin.topology import topology_of
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

CIVIL = CivilTime(epoch=datetime(2026, 11, 17, 18, 0, tzinfo=UTC), timezone="Europe/Luxembourg")
WHO = {"scene_id": "scene", "epoch": 1, "seq": 1}


@pytest.fixture(scope="module")
def scenario():
    city = build_scenario(ScenarioSpec(num_ues=300))
    east, north, _ = city.sites[6].position_m
    panel = RisPanel(
        id="ris-1",
        name="Panel 1",
        position_m=(east + 120.0, north, 12.0),
        azimuth_deg=270.0,
        columns=64,
        rows=64,
        cell_id="cell-7-1",
    )
    target = SensingTarget(
        id="target-1", name="Drone 1", path_m=((east + 80.0, north, 40.0),), speed_mps=0.0, rcs_m2=0.1
    )
    return replace(city, ris=(panel,), targets=(target,))


@pytest.fixture(scope="module")
def topology(scenario):
    return topology_of(scenario)


@pytest.fixture(scope="module")
def state(scenario, topology):
    network = Network(scenario, topology, CIVIL, seed=3)
    for _ in range(10):
        network.step(0.1)
    return network.snapshot()


def _report(scenario, topology, state, actions, ticks):
    network = Network(scenario, topology, CIVIL, seed=3)
    network.restore(state)
    network.apply(actions)
    for _ in range(ticks):
        network.step(0.1)
    report = network.close_period(**WHO, granularity_period_s=1)
    return report.values, network.telemetry(**WHO).values


def _set(entity_id, name, value):
    return SetAttribute(entity_id=entity_id, attribute=name, value=value)


NEXT_TICK = {
    "digitalTilt": 120.0,
    "digitalAzimuth": 300.0,
    "coverageShape": 1.0,
    "configuredMaxTxPower": 10_000.0,
    "bSChannelBwDL": 50.0,
    "arfcnDL": arfcn(3700.0),
    "ssbPeriodicity": 5.0,
    "administrativeState": "LOCKED",
    "qRxLevMin": -60.0,
    "vsData6gIsac.sensingDutyCycle": 20.0,
    "vsData6gApCluster.maxServingAps": 3.0,
    "rRMPolicyMaxRatio": 5.0,
    "rRMPolicyMinRatio": 60.0,
    "rRMPolicyDedicatedRatio": 60.0,
    "vsDataTransport.igpMetric": 5000.0,
    "vsDataTransport.maxBitRate": 10.0,
    "vsData6gRis.phaseProfileIndex": 20.0,
}
"""Attributes whose new value is felt in the first tick."""

WITHIN_A_MINUTE = {
    "energySavingControl": "toBeEnergySaving",
    "nRPCI": None,
    "a3Offset": -10.0,
    "hysteresis": 0.0,
    "timeToTrigger": 0.0,
    "cellIndividualOffset": 24.0,
    "isHOAllowed": "false",
}
"""Attributes of procedures that need a UE at the border, or time to carry out."""


def _everywhere(scenario, topology, row, value):
    """Set the attribute on every entity that has it; on one only where all together would change nothing."""
    if row.name in {"energySavingControl", "arfcnDL", "administrativeState"}:
        return [_set("cell-7-1", row.name, value)]
    if row.name == "nRPCI":
        own = topology.get("cell-7-1").attributes["nRPCI"]
        return [_set(other, row.name, own) for other in facing_neighbours(scenario, "cell-7-1")[:3]]
    if row.name == "vsDataTransport.igpMetric":
        return [_set(entity.id, row.name, value) for entity in topology.of_kind(Kind.LINK)[:3]]
    actions = [_set(entity.id, row.name, value) for entity in topology.of_kind(row.kind)]
    if row.name == "rRMPolicyDedicatedRatio":
        actions = [a for a in actions if a.entity_id.endswith("-mmtc")]
        actions += [_set(a.entity_id, "rRMPolicyMinRatio", value) for a in actions]
    elif row.kind is Kind.POLICY:
        actions = [a for a in actions if a.entity_id.endswith("-embb")]
    return actions


@pytest.mark.parametrize("row", ATTRIBUTES, ids=lambda row: row.name)
def test_every_attribute_of_the_table_changes_the_network(scenario, topology, state, row):
    ticks, value = (1, NEXT_TICK[row.name]) if row.name in NEXT_TICK else (600, WITHIN_A_MINUTE[row.name])
    changed = _report(scenario, topology, state, _everywhere(scenario, topology, row, value), ticks)
    before = _report(scenario, topology, state, [], ticks)
    assert any(not np.array_equal(*pair, equal_nan=True) for pair in zip(before, changed, strict=True))


def test_every_entity_has_every_attribute_of_its_kind(topology):
    for entity in topology.entities:
        assert {row.name for row in attributes_of(entity.kind)} == set(entity.attributes), entity.id


def test_a_column_holds_the_values_of_its_kind_in_the_units_of_people(scenario, topology):
    configuration = Configuration(topology)
    configuration.write(configuration.checked([_set("cell-7-2", "digitalTilt", 90.0)]))
    column = configuration.numbers("digitalTilt")
    row = configuration.ids(Kind.CELL).index("cell-7-2")
    expected = np.array([cell.tilt_deg for cell in scenario.cells])
    expected[row] = 9.0
    np.testing.assert_allclose(column, expected)


def test_columns_of_cells_stand_in_the_order_of_the_scenario(scenario, topology):
    assert Configuration(topology).ids(Kind.CELL) == tuple(cell.id for cell in scenario.cells)


def test_only_real_changes_count_as_a_revision(topology):
    configuration = Configuration(topology)
    old = configuration.read("cell-7-2", "digitalTilt")
    nothing = configuration.write(configuration.checked([_set("cell-7-2", "digitalTilt", old)]))
    before = configuration.revision_of("digitalTilt")
    something = configuration.write(configuration.checked([_set("cell-7-2", "digitalTilt", 33.0)]))
    assert (frozenset(), frozenset({"digitalTilt"}), before + 1) == (
        nothing,
        something,
        configuration.revision_of("digitalTilt"),
    )


def test_values_survive_a_document(topology):
    configuration, other = Configuration(topology), Configuration(topology)
    configuration.write(configuration.checked([_set("cell-7-2", "a3Offset", 2.0)]))
    other.restore(configuration.values())
    assert configuration.all() == other.all()


@pytest.mark.parametrize(
    ("actions", "error", "words"),
    [
        ([("cell-99-9", "digitalTilt", 60.0)], UnknownEntity, "cell-99-9"),
        ([("site-7", "digitalTilt", 60.0)], UnknownName, "`site-7` is a site"),
        ([("cell-7-2", "cellIndividualOffset", 0.0)], UnknownName, "has no attribute"),
        ([("cell-7-2", "timeToTrigger", 90.0)], OutOfRange, "one of 0, 40, 64"),
        ([("cell-7-2", "administrativeState", "OFF")], OutOfRange, "LOCKED, SHUTTING DOWN, UNLOCKED"),
        (
            [("policy-7-embb", "rRMPolicyMinRatio", 80.0), ("policy-7-embb", "rRMPolicyMaxRatio", 50.0)],
            OutOfRange,
            "min",
        ),
    ],
)
def test_wrong_orders_say_what_is_wrong(topology, actions, error, words):
    with pytest.raises(error, match=words):
        Configuration(topology).checked([_set(*action) for action in actions])


def test_three_policy_shares_that_agree_are_taken_together(topology):
    configuration = Configuration(topology)
    shares = {"rRMPolicyDedicatedRatio": 20.0, "rRMPolicyMinRatio": 30.0, "rRMPolicyMaxRatio": 40.0}
    configuration.write(configuration.checked([_set("policy-7-embb", name, value) for name, value in shares.items()]))
    assert shares == {name: configuration.read("policy-7-embb", name) for name in shares}


@pytest.mark.parametrize(
    ("frequency_mhz", "number"),
    [(0.0, 0), (2999.995, 599_999), (3000.0, 600_000), (3500.01, 633_334), (24_250.08, 2_016_667)],
)
def test_arfcn_of_the_standard(frequency_mhz, number):
    """TS 38.104 table 5.4.2.1-1."""
    assert (number, pytest.approx(frequency_mhz)) == (arfcn(frequency_mhz), carrier_mhz(number))


@pytest.mark.parametrize("row", [row for row in ATTRIBUTES if not row.choices], ids=lambda row: row.name)
def test_units_convert_there_and_back(row):
    value = row.members[1] if row.members else min(max(row.low, 1.0) + 10, row.high)
    assert pytest.approx(value) == to_managed(row.name, to_native(row.name, value))
