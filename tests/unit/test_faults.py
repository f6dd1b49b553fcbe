"""Every fault shows its signature on the right KPIs, and its right fix takes it away.

Paired runs: with and without the fault from the same state and the same chance, over several seeds. A signature
counts when it shows at every seed; a fix counts when most of the distance is gone on the mean over the seeds.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from itertools import permutations

import numpy as np
import pytest

from twin import faults, kernels
from twin.clock import CivilTime
from twin.commands import ManageFault, SetAttribute
from twin.entities import Kind
from twin.errors import InvalidInput, NotFound, OutOfRange, UnknownEntity, UnknownName
from twin.fault_effects import facing_neighbours
from twin.faults import FAULTS, fault
from twin.network import Network
from twin.topology import topology_of
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

CIVIL = CivilTime(epoch=datetime(2026, 11, 17, 18, 0, tzinfo=UTC), timezone="Europe/Luxembourg")
WHO = {"scene_id": "scene", "epoch": 1, "seq": 1}
SOAK = bool(os.environ.get("TWIN_TEST_SOAK"))
SEEDS = tuple(range(1, 9)) if SOAK else (1, 2)
SETTLE_S, WATCH_S = 5, 60 if SOAK else 12
CELL, BUSY, CROSSED = "cell-7-2", "cell-2-2", "cell-14-2"
"""A quiet one, one half full, and one with a border that drivers cross."""
KERNEL = kernels.load("numba")


@cache
def city():
    scenario = build_scenario(ScenarioSpec(num_ues=300))
    return scenario, topology_of(scenario)


@cache
def start(seed):
    """Return the state of a network in its busy hour."""
    network = Network(*city(), CIVIL, seed=seed, kernel=KERNEL)
    _run(network, 2)
    return network.snapshot()


def _run(network, seconds):
    for _ in range(round(10 * seconds)):
        network.step(0.1)


def _inject(name, at, severity=0.8):
    return ManageFault(operation="inject", fault=name, entity_id=at, severity=severity)


def _set(entity_id, name, value):
    return SetAttribute(entity_id=entity_id, attribute=name, value=value)


def measured(seed, order=None, fix=()):
    """Return KPIs by (entity, counter) over the watch after a fault, and after its fix when there is one."""
    scenario, topology = city()
    network = Network(scenario, topology, CIVIL, seed=seed, kernel=KERNEL)
    network.restore(start(seed))
    if order is not None:
        network.manage_fault(order)
    for action in fix:
        _run(network, 1)
        network.apply([action])
    _run(network, SETTLE_S)
    network.close_period(**WHO, granularity_period_s=1)
    _run(network, WATCH_S)
    report = network.close_period(**WHO, granularity_period_s=1)
    names = [topology.at(int(index)).id for index in report.entity_index]
    values = {
        (name, counter): float(report.values[row, column])
        for row, name in enumerate(names)
        for column, counter in enumerate(report.counters)
    }
    return network, values


@cache
def healthy(seed):
    return measured(seed)[1]


@dataclass(frozen=True)
class Sign:
    """One KPI that moves: `factor` > 1 means at least so many times more, < 1 at most this share."""

    counter: str
    factor: float
    at: str = CELL
    plus: float = 0.0
    """For figures in dB and for counts that begin at nothing: at least so many more (or fewer, when negative).

    `factor` is ignored then."""

    def shows(self, before, after):
        old, new = before[self.at, self.counter], after[self.at, self.counter]
        if self.plus:
            return new - old >= self.plus if self.plus > 0 else new - old <= self.plus
        return new >= self.factor * max(old, 1e-6) if self.factor > 1 else new <= self.factor * old


def neighbour(place=0):
    return facing_neighbours(city()[0], CELL)[place]


def two_homed_link():
    """Return the main link of a site that has another, and a cell of that site."""
    scenario, _ = city()
    links = {}
    for link in scenario.links:
        links.setdefault(link.a_id, []).append(link)
    site_id = next(a for a, own in links.items() if a.startswith("site-") and len(own) > 1)
    main = min(links[site_id], key=lambda link: link.igp_metric)
    return main.id, next(cell.id for cell in scenario.cells if cell.site_id == site_id)


def _away(cell_id, offset_db):
    """Return orders that move the border of a cell towards it."""
    scenario, _ = city()
    own = [one for one in scenario.neighbours if one.source_id == cell_id]
    back = [one for one in scenario.neighbours if one.target_id == cell_id]
    return [_set(one.id, "cellIndividualOffset", offset_db) for one in own] + [
        _set(one.id, "cellIndividualOffset", -offset_db) for one in back
    ]


@dataclass(frozen=True)
class Case:
    """Where a fault strikes, what must show, and which orders repair it (None = those of its label).

    `regained` is the share of the first sign's distance that the fix must take back.
    """

    at: str
    signs: tuple[Sign, ...]
    fix: tuple[SetAttribute, ...] | None = None
    regained: float = 0.7
    severity: float = 0.8


def cases():
    link, behind = two_homed_link()
    near = neighbour()
    return {
        "power-loss": Case(
            CELL,
            (
                Sign("RRC.ConnMean", 0.6),
                Sign("vsData6gMeanSsRsrp", 0, plus=-1.0),
                Sign("vsData6gMeanCqi", 0.9),
                Sign("RRC.ConnMean", 1.03, at=near),
            ),
            # The 3 dB that are left, and the beam two degrees up: what it lost lies at the edge of the cell.
            fix=(_set(CELL, "configuredMaxTxPower", 79_433.0), _set(CELL, "digitalTilt", 105.0)),
            regained=0.4,
            severity=0.2,
        ),
        "sleeping-cell": Case(
            CELL,
            (
                Sign("RRC.ConnMean", 0.5),
                Sign("RRU.PrbTotDl", 0.5),
                Sign("RACH.PreambleACell", 1.5),
                Sign("RRC.ConnEstabSucc", 0.5),
                Sign("vsData6gRrcSetupFailureRate", 3.0),
            ),
        ),
        "coverage-hole": Case(
            CELL,
            (Sign("vsData6gMeanSsRsrp", 0, plus=-2.0),),
            fix=(_set(CELL, "configuredMaxTxPower", 79_433.0),),
            regained=0.1,
        ),
        "excess-downtilt": Case(
            CROSSED,
            (Sign("RRC.ConnMean", 0.7, at=CROSSED),),
        ),
        "over-shooting": Case(CELL, (Sign("PEE.AvgPower", 1.05), Sign("vsData6gServedDistance", 1.05))),
        "pci-collision": Case(CELL, (Sign("vsData6gMeanSsSinr", 0, plus=-0.7), Sign("vsData6gMeanCqi", 0.97))),
        "external-interference": Case(
            CELL,
            (
                Sign("vsData6gMeanSsSinr", 0, plus=-2.0),
                Sign("vsData6gMeanCqi", 0.85),
                Sign("RRU.PrbTotDl", 1.1),
            ),
            fix=(_set(CELL, "arfcnDL", 640_000.0),),
        ),
        "flash-crowd": Case(
            BUSY,
            (
                Sign("RRU.PrbTotDl", 1.15, at=BUSY),
                Sign("RRC.ConnMean", 2.0, at=BUSY),
                Sign("DRB.UEThpDl", 0.5, at=BUSY),
                Sign("DRB.RlcSduDelayDl", 1.5, at=BUSY),
            ),
            fix=tuple(_away(BUSY, 6.0)),
            regained=0.4,
            severity=0.2,
        ),
        "backhaul-degradation": Case(
            link,
            (
                Sign("vsData6gPacketDelay", 3.0, at=behind),
                Sign("vsData6gLinkLoad", 5.0, at=link),
                Sign("vsData6gLinkDelay", 5.0, at=link),
            ),
            fix=(_set(link, "vsDataTransport.igpMetric", 5000.0),),
        ),
        "missing-neighbour": Case(CELL, (), severity=1.0),
        "ping-pong": Case(
            CROSSED,
            (Sign("MM.HoExeIntraSucc", 3.0, at=CROSSED), Sign("vsData6gHoPingPong", 0, at=CROSSED, plus=8.0)),
        ),
        "slice-misconfiguration": Case(
            "site-7",
            (
                Sign("DRB.UEThpDl", 0.5),
                Sign("DRB.RlcSduDelayDl", 2.0),
            ),
        ),
        "stuck-energy-saving": Case(
            CELL, (Sign("RRC.ConnMean", 0.1), Sign("PEE.AvgPower", 0.8), Sign("RRC.ConnMean", 1.05, at=near))
        ),
    }


NAMES = tuple(row.name for row in FAULTS)


def test_the_cases_are_the_catalogue():
    assert set(NAMES) == set(cases())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "missing-neighbour"])
def test_a_fault_shows_its_signature_and_its_right_fix_takes_it_away(name):
    case = cases()[name]
    sign = case.signs[0]
    where = sign.at, sign.counter
    broken, mended = [], []
    for seed in SEEDS:
        network, after = measured(seed, _inject(name, case.at, case.severity))
        absent = [one for one in case.signs if not one.shows(healthy(seed), after)]
        figures = [(s.counter, s.at, healthy(seed)[s.at, s.counter], after[s.at, s.counter]) for s in absent]
        assert [] == figures, (name, seed)
        fix = network.faults()[0].fix if case.fix is None else case.fix
        repaired = measured(seed, _inject(name, case.at, case.severity), fix)[1]
        broken.append(after[where] - healthy(seed)[where])
        mended.append(repaired[where] - healthy(seed)[where])
    left = np.mean(mended) * np.sign(np.mean(broken))  # better than before is no harm
    assert left <= (1.0 - case.regained) * abs(np.mean(broken))


def _shuttle(network, seconds, *, crossing):
    """Drive all UEs to and fro across a border at 20 m/s and return the counters of both cells."""
    _, topology = city()
    (ax, ay), (bx, by) = crossing
    index = np.array([entity.index for entity in topology.of_kind(Kind.UE)], dtype=np.uint32)
    lane = np.linspace(-30.0, 30.0, len(index))
    phase = np.linspace(0.0, 1.0, len(index), endpoint=False)
    way = np.array([bx - ax, by - ay])
    length = np.hypot(*way)
    across = np.array([-way[1], way[0]]) / length
    network.guide()
    for tick in range(round(10 * seconds)):
        share = np.abs((phase + 20.0 * 0.1 * tick / (2 * length)) % 1.0 * 2 - 1)
        place = np.array([ax, ay]) + share[:, None] * way + lane[:, None] * across
        network.place(index, place.astype(np.float32))
        network.step(0.1)
    report = network.close_period(**WHO, granularity_period_s=1)
    total = {}
    for cell in (CELL, neighbour()):
        row = int(np.flatnonzero(report.entity_index == topology.get(cell).index)[0])
        for column, counter in enumerate(report.counters):
            total[counter] = total.get(counter, 0.0) + float(report.values[row, column])
    return total


def test_a_missing_neighbour_shows_as_late_handovers_until_it_is_allowed_again():
    scenario, topology = city()
    sites = {site.id: site.position_m[:2] for site in scenario.sites}
    cells = {cell.id: cell for cell in scenario.cells}
    crossing = sites[cells[CELL].site_id], sites[cells[neighbour()].site_id]

    def drive(*, broken, fixed):
        network = Network(scenario, topology, CIVIL, seed=1, kernel=KERNEL)
        network.restore(start(1))
        if broken:
            network.manage_fault(_inject("missing-neighbour", CELL, 1.0))
        if fixed:
            network.apply(network.faults()[0].fix)
        return _shuttle(network, 60 if SOAK else 25, crossing=crossing)

    well, missing, again = (
        drive(broken=False, fixed=False),
        drive(broken=True, fixed=False),
        drive(broken=True, fixed=True),
    )
    assert missing["vsData6gRadioLinkFailures"] > well["vsData6gRadioLinkFailures"] + 10
    assert missing["MM.HoExeIntraSucc"] < 0.7 * well["MM.HoExeIntraSucc"]
    assert missing["HO.IntraSys.TooLate"] > well["HO.IntraSys.TooLate"]
    assert again["vsData6gRadioLinkFailures"] == pytest.approx(well["vsData6gRadioLinkFailures"], abs=3)


# --- the order itself ----------------------------------------------------------------------------------------------


@pytest.fixture
def network():
    scenario, topology = city()
    made = Network(scenario, topology, CIVIL, seed=1, kernel=KERNEL)
    made.restore(start(1))
    return made


def test_a_misconfiguration_reads_back_what_it_wrote_and_clearing_restores_it(network):
    before = network.configuration()
    written = network.manage_fault(_inject("excess-downtilt", CELL))
    assert {a.attribute for a in written} == {"digitalTilt"}
    assert network.read(CELL, "digitalTilt") == written[0].value
    network.manage_fault(replace(_inject("excess-downtilt", CELL), operation="clear"))
    assert (before, ()) == (network.configuration(), network.faults())


def test_injecting_again_replaces_the_severity_and_keeps_the_right_value(network):
    right = network.read(CELL, "digitalTilt")
    network.manage_fault(_inject("excess-downtilt", CELL, 0.1))
    network.manage_fault(_inject("excess-downtilt", CELL, 1.0))
    (active,) = network.faults()
    assert (1.0, [right]) == (active.severity, [one.right for one in active.written])


def test_clearing_leaves_alone_what_somebody_has_changed_since(network):
    network.manage_fault(_inject("over-shooting", CELL))
    network.apply([_set(CELL, "digitalTilt", 110.0)])
    network.manage_fault(replace(_inject("over-shooting", CELL), operation="clear"))
    assert 110.0 == network.read(CELL, "digitalTilt")


@pytest.mark.parametrize("struck", list(permutations(("excess-downtilt", "over-shooting", "ping-pong"))))
def test_whatever_the_order_of_clearing_overlapping_mistakes_end_at_the_right_values(network, struck):
    before = network.configuration()
    for ended in permutations(struck):
        for name in struck:
            network.manage_fault(_inject(name, CELL))
        assert set(struck) == {one.fault for one in network.faults()}
        for name in ended:
            network.manage_fault(replace(_inject(name, CELL), operation="clear"))
        assert (before, ()) == (network.configuration(), network.faults()), ended


def test_a_mistake_is_mended_by_four_fifths_of_the_way_and_comes_back_when_that_is_undone(network):
    right = network.read(CELL, "digitalTilt")
    wrong, *_ = [one.value for one in network.manage_fault(_inject("excess-downtilt", CELL, 1.0))]
    acting = []
    for share in (0.04, 0.75, 0.85, 0.0):
        network.apply([_set(CELL, "digitalTilt", round(wrong + share * (right - wrong)))])
        acting.append(len(network.faults()))
    assert [1, 1, 0, 1] == acting


def test_a_mistake_that_was_mended_stays_so_when_another_strikes(network):
    right = network.read(CELL, "digitalTilt")
    network.manage_fault(_inject("excess-downtilt", CELL))
    network.apply([_set(CELL, "digitalTilt", right)])
    network.manage_fault(_inject("over-shooting", CELL))
    assert ["over-shooting"] == [one.fault for one in network.faults()]
    network.manage_fault(replace(_inject("over-shooting", CELL), operation="clear"))
    assert right == network.read(CELL, "digitalTilt")


def test_a_harder_mistake_is_harder_also_where_there_is_little_room(network):
    effects = []
    for severity in (0.2, 0.4, 0.6, 0.8, 1.0):
        network.manage_fault(_inject("excess-downtilt", CELL, severity))
        effects.append(network.faults()[0].effect)
    assert effects == sorted(set(effects))


def test_a_fault_that_finds_nothing_leaves_the_others_as_they_were(network):
    own = CELL.removeprefix("cell-")
    other = neighbour().removeprefix("cell-")
    both = (f"relation-{own}-{other}", f"relation-{other}-{own}")
    network.apply([_set(relation, "isHOAllowed", "false") for relation in both])
    network.manage_fault(_inject("power-loss", CELL))
    before = network.configuration(), network.faults()
    with pytest.raises(InvalidInput, match="nothing to break"):
        network.manage_fault(_inject("missing-neighbour", both[0], 1.0))
    assert before == (network.configuration(), network.faults())


def test_a_new_world_inherits_faults_and_what_they_wrote(network):
    for name in ("power-loss", "ping-pong"):
        network.manage_fault(_inject(name, CELL))
    other = Network(*city(), CIVIL, seed=9, kernel=KERNEL)
    other.inherit(network)
    assert (network.faults(), network.configuration()) == (other.faults(), other.configuration())
    for name in ("power-loss", "ping-pong"):
        other.manage_fault(replace(_inject(name, CELL), operation="clear"))
    assert () == other.faults()


def test_the_same_parts_draw_the_same_severity():
    drawn = [faults.drawn_severity(7, number, "power-loss", CELL) for number in range(200)]
    assert drawn == [faults.drawn_severity(7, number, "power-loss", CELL) for number in range(200)]
    assert 0.2 <= min(drawn) < 0.25
    assert 0.95 < max(drawn) <= 1.0


def test_the_right_orders_end_a_fault(network):
    for name, at in (("slice-misconfiguration", "site-7"), ("sleeping-cell", CELL), ("ping-pong", CELL)):
        network.manage_fault(_inject(name, at))
        for action in network.faults()[0].fix:
            network.apply([action])
        assert () == network.faults(), name


def test_hidden_faults_leave_the_configuration_as_it_reads(network):
    before = network.configuration()
    for row in FAULTS:
        if row.hidden:
            at = {Kind.LINK: two_homed_link()[0], Kind.CELL: CELL}[row.kinds[0]]
            assert () == network.manage_fault(_inject(row.name, at)), row.name
    assert before == network.configuration()


def test_all_faults_survive_a_snapshot(network):
    for name, case in cases().items():
        network.manage_fault(_inject(name, case.at, 0.5))
    scenario, topology = city()
    other = Network(scenario, topology, CIVIL, seed=1, kernel=KERNEL)
    other.restore(network.snapshot())
    _run(network, 1)
    _run(other, 1)
    assert network.faults() == other.faults()
    ours, theirs = (one.close_period(**WHO, granularity_period_s=1).values for one in (network, other))
    assert ours.tobytes() == theirs.tobytes()


def test_a_fault_comes_back_from_its_document(network):
    network.manage_fault(_inject("flash-crowd", CELL))
    network.manage_fault(_inject("pci-collision", CELL))
    assert network.faults() == tuple(faults.from_document(asdict(one)) for one in network.faults())


@pytest.mark.parametrize(
    ("order", "error", "words"),
    [
        (_inject("gremlins", CELL), UnknownName, "sleeping-cell"),
        (_inject("power-loss", "cell-99-9"), UnknownEntity, "cell-99-9"),
        (_inject("power-loss", "site-7"), InvalidInput, "befalls a cell"),
        (_inject("backhaul-degradation", CELL), InvalidInput, "befalls a link"),
        (_inject("power-loss", CELL, 1.5), OutOfRange, "1.5"),
        (ManageFault(operation="clear", fault="power-loss", entity_id=CELL), NotFound, "nothing to clear"),
    ],
)
def test_wrong_orders_change_nothing(network, order, error, words):
    before = network.configuration()
    with pytest.raises(error, match=words):
        network.manage_fault(order)
    assert (before, ()) == (network.configuration(), network.faults())


def test_severity_spans_the_effect():
    row = fault("power-loss")
    assert [6.0, 13.0, 20.0] == [row.effect_at(severity) for severity in (0.0, 0.5, 1.0)]
