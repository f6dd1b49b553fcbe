"""Managed attributes: read by entity, read by column, changed by order, felt by the network."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from twin import kernels
from twin.attributes import ATTRIBUTES, arfcn, attributes_of, carrier_mhz, to_managed, to_native
from twin.clock import CivilTime
from twin.commands import ManageFault, SetAttribute
from twin.configuration import Configuration
from twin.control import plan
from twin.entities import Kind
from twin.errors import OutOfRange, UnknownEntity, UnknownName
from twin.fault_effects import facing_neighbours
from twin.network import Network
from twin.topology import topology_of
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

KERNEL = kernels.load("numba")
EXAMPLE = Path(__file__).parents[2] / "examples" / "scenarios" / "sixg.yaml"
CIVIL = CivilTime(epoch=datetime(2026, 11, 17, 18, 0, tzinfo=UTC), timezone="Europe/Luxembourg")
WHO = {"scene_id": "scene", "epoch": 1, "seq": 1}


@pytest.fixture(scope="module")
def scenario():
    """The 6G city with a second broadband slice: two slices must want the same for a policy to matter."""
    city = build_scenario(ScenarioSpec(scenario=EXAMPLE, num_ues=300))
    business = replace(
        city.slices[0], id="slice-business", name="Business", dn="SubNetwork=1,NetworkSlice=9", aliases=()
    )
    ues = tuple(
        replace(ue, slice_id=business.id) if n % 2 and ue.slice_id == "slice-embb" else ue
        for n, ue in enumerate(city.ues)
    )
    return replace(city, slices=(*city.slices, business), ues=ues, digest=f"{city.digest}-business")


@pytest.fixture(scope="module")
def topology(scenario):
    return topology_of(scenario)


@pytest.fixture(scope="module")
def state(scenario, topology):
    """A busy network: a least share of PRBs means nothing where there are enough for all."""
    network = Network(scenario, topology, CIVIL, seed=3, kernel=KERNEL)
    for site in scenario.sites[:6]:
        network.manage_fault(ManageFault(operation="inject", fault="flash-crowd", entity_id=site.id))
    for _ in range(10):
        network.step(0.1)
    return network.snapshot()


def _report(scenario, topology, state, actions, ticks, *, with_map=False):
    network = Network(scenario, topology, CIVIL, seed=3, kernel=KERNEL)
    network.restore(state)
    network.apply(actions)
    for _ in range(ticks):
        network.step(0.1)
    report = network.close_period(**WHO, granularity_period_s=1)
    ground = network.sinr_map(resolution_m=5.0).rsrp_dbm if with_map else np.zeros(0)
    return report.values, network.telemetry(**WHO).values, ground


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
    "rRMPolicyMinRatio": 90.0,
    "rRMPolicyDedicatedRatio": 60.0,
    "vsDataTransport.igpMetric": 5000.0,
    "vsDataTransport.maxBitRate": 10.0,
    "vsData6gRis.phaseProfileIndex": 20.0,
}
"""Attributes whose new value is felt in the first tick."""

WITHIN_HALF_A_MINUTE = {
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
        ends = [str(entity.properties["a_id"]) for entity in topology.of_kind(Kind.LINK)]
        links = [entity for entity in topology.of_kind(Kind.LINK) if ends.count(str(entity.properties["a_id"])) > 1]
        return [_set(entity.id, row.name, value) for entity in links if entity.attributes[row.name] < 100]
    actions = [_set(entity.id, row.name, value) for entity in topology.of_kind(row.kind)]
    if row.name == "rRMPolicyDedicatedRatio":
        actions = [a for a in actions if a.entity_id.endswith("-mmtc")]
        actions += [_set(a.entity_id, "rRMPolicyMinRatio", value) for a in actions]
    elif row.name == "rRMPolicyMinRatio":
        actions = [a for a in actions if a.entity_id.endswith("-business")]
    elif row.kind is Kind.POLICY:
        actions = [a for a in actions if a.entity_id.endswith("-embb")]
    return actions


@pytest.mark.parametrize("row", ATTRIBUTES, ids=lambda row: row.name)
def test_every_attribute_of_the_table_changes_the_network(scenario, topology, state, row):
    ticks, value = (1, NEXT_TICK[row.name]) if row.name in NEXT_TICK else (300, WITHIN_HALF_A_MINUTE[row.name])
    panel = row.kind is Kind.RIS  # its beam is narrow: look at the ground, not at the few who walk there
    orders = _everywhere(scenario, topology, row, value)
    changed = _report(scenario, topology, state, orders, ticks, with_map=panel)
    before = _report(scenario, topology, state, [], ticks, with_map=panel)
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
        ([("cell-7-2", "tilt_deg", 7.0)], UnknownName, "`digitalTilt` in 0.1 deg"),
        (
            [("policy-7-embb", "rRMPolicyMinRatio", 60.0), ("policy-7-mmtc", "rRMPolicyMinRatio", 50.0)],
            OutOfRange,
            "add up to `110` %.*policy-7-embb 60, policy-7-mmtc 50",
        ),
        (
            [
                (f"policy-7-{part}", name, 60.0)
                for part in ("embb", "mmtc", "urllc")
                for name in ("rRMPolicyMinRatio", "rRMPolicyDedicatedRatio")
            ],
            OutOfRange,
            "`180` %",
        ),
        ([("cell-7-2", "bSChannelBwDL", 2000.0)], OutOfRange, "FR1 is at most 100 MHz wide; `2000 MHz` of `cell-7-2`"),
        ([("cell-7-4", "bSChannelBwDL", 800.0)], OutOfRange, "FR3 is at most 400 MHz"),
        ([("cell-7-2", "arfcnDL", arfcn(53_000.0))], OutOfRange, "radio for FR1; .* `52999.98 MHz`, which is FR2"),
        ([("cell-7-2", "arfcnDL", arfcn(10_000.0))], OutOfRange, "which is FR3"),
    ],
)
def test_wrong_orders_say_what_is_wrong(topology, actions, error, words):
    orders = [_set(*action) for action in actions]
    with pytest.raises(error, match=words):
        Configuration(topology).checked(orders)
    if error is not UnknownEntity and "has no" not in words and "is a site" not in words:
        with pytest.raises(error, match=words):
            plan(orders, topology=topology)


def test_what_is_within_the_band_and_the_hundred_per_cent_is_allowed(topology):
    orders = [
        _set("policy-7-embb", "rRMPolicyMinRatio", 60.0),
        _set("policy-7-mmtc", "rRMPolicyMinRatio", 40.0),
        _set("policy-8-mmtc", "rRMPolicyMinRatio", 90.0),  # another site has its own hundred
        _set("cell-7-2", "bSChannelBwDL", 50.0),
        _set("cell-7-2", "arfcnDL", arfcn(3700.0)),
        _set("cell-7-4", "bSChannelBwDL", 400.0),
    ]
    assert Configuration(topology).checked(orders) == tuple(orders)
    assert [one.value for one in plan(orders, topology=topology)] == [one.value for one in orders]


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
