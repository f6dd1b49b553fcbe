"""Mobility and access inside the live network: what orders and faults do to their counters."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from twin.clock import CivilTime
from twin.commands import ManageFault, SetAttribute
from twin.entities import Kind
from twin.fault_effects import facing_neighbours
from twin.network import Network
from twin.topology import topology_of
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

CIVIL = CivilTime(epoch=datetime(2026, 11, 17, 12, 0, tzinfo=UTC), timezone="Europe/Luxembourg")
CELL, BUSY = "cell-7-2", "cell-14-2"


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec())


@pytest.fixture(scope="module")
def topology(scenario):
    return topology_of(scenario)


@pytest.fixture
def network(scenario, topology):
    return Network(scenario, topology, CIVIL, seed=5)


class _Figures:
    """Counters of some seconds, by cell."""

    def __init__(self, network: Network, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            network.step(0.1)
        self._report = network.close_period(scene_id="scene", epoch=1, seq=1, granularity_period_s=int(seconds))
        cells = network.topology.of_kind(Kind.CELL)
        self._row = {cell.id: int(np.flatnonzero(self._report.entity_index == cell.index)[0]) for cell in cells}

    def of(self, kpi: str, cell_id: str = CELL) -> float:
        return float(self._report.values[self._row[cell_id], self._report.counters.index(kpi)])

    def total(self, kpi: str) -> float:
        return float(self._report.values[list(self._row.values()), self._report.counters.index(kpi)].sum())


def _set(entity_id: str, name: str, value: float | str) -> SetAttribute:
    return SetAttribute(entity_id=entity_id, attribute=name, value=value)


def test_handovers_are_counted_from_request_to_success(network):
    seen = _Figures(network, 15.0)
    chain = ("MM.HoPrepIntraReq", "MM.HoPrepIntraSucc", "MM.HoExeIntraReq", "MM.HoExeIntraSucc")
    asked, prepared, executed, done = (seen.total(name) for name in chain)
    assert asked == prepared == executed > done * 0.999 > 10
    assert done / executed > 0.8
    assert seen.total("vsData6gHoPingPong") <= done
    blamed = sum(seen.total(f"HO.IntraSys.{name}") for name in ("TooEarly", "TooLate", "ToWrongCell"))
    assert blamed <= seen.total("RRC.ReEstabAtt")
    assert seen.total("RRC.ReEstabSuccWithUeContext") <= seen.total("RRC.ReEstabAtt")


def test_forbidden_relations_turn_handovers_into_radio_link_failures(scenario, network):
    network.apply([_set(one.id, "isHOAllowed", "false") for one in scenario.neighbours])
    seen = _Figures(network, 15.0)
    assert seen.total("MM.HoPrepIntraReq") == 0.0
    assert seen.total("vsData6gRadioLinkFailures") > 20.0
    assert seen.total("HO.IntraSys.TooLate") > 0.6 * seen.total("vsData6gRadioLinkFailures")


def test_offsets_into_a_cell_draw_ues_there(scenario, topology):
    into = [one.id for one in scenario.neighbours if one.target_id == BUSY]
    back = [one.id for one in scenario.neighbours if one.source_id == BUSY]
    served = []
    for offset in (-6.0, 6.0):
        network = Network(scenario, topology, CIVIL, seed=5)
        network.apply([_set(one, "cellIndividualOffset", offset) for one in into])
        network.apply([_set(one, "cellIndividualOffset", -offset) for one in back])
        for _ in range(30):
            network.step(0.1)
        ues = network.telemetry(scene_id="scene", epoch=1, seq=1)
        cell = ues.values[:, ues.kpis.index("vsData6gServingCell")]
        served.append(int((cell == topology.get(BUSY).index).sum()))
    assert served[1] > served[0] + 2


def test_a_cell_with_dead_random_access_is_asked_in_vain(network):
    before = _Figures(network, 8.0)
    network.manage_fault(ManageFault(operation="inject", fault="sleeping-cell", entity_id=CELL, severity=1.0))
    _Figures(network, 30.0)
    after = _Figures(network, 8.0)
    assert before.of("RRC.ConnEstabSucc") > 0.9 * before.of("RRC.ConnEstabAtt") > 0
    assert after.of("RRC.ConnEstabSucc") == 0.0
    assert after.of("RRC.ConnEstabAtt") > 2.0 * before.of("RRC.ConnEstabAtt")
    assert after.of("RACH.PreambleACell") > 2.0 * before.of("RACH.PreambleACell")
    assert after.of("RRC.ConnMean") < 0.1 * before.of("RRC.ConnMean")
    assert after.total("RRC.ConnMean") == pytest.approx(before.total("RRC.ConnMean"), rel=0.1)


def test_neighbours_of_one_identity_spoil_each_others_signal(scenario, network):
    before = _Figures(network, 3.0)
    other = facing_neighbours(scenario, CELL)[0]
    network.apply([_set(other, "nRPCI", network.read(CELL, "nRPCI"))])
    after = _Figures(network, 3.0)
    for cell in (CELL, other):
        assert after.of("vsData6gMeanSsSinr", cell) < before.of("vsData6gMeanSsSinr", cell) - 0.5
        change = after.of("vsData6gMeanSsRsrp", cell) - before.of("vsData6gMeanSsRsrp", cell)
        assert abs(change) < 1.0


def test_a_cell_that_wants_a_strong_signal_serves_fewer(network):
    before = _Figures(network, 3.0)
    network.apply([_set(CELL, "qRxLevMin", -80.0)])
    assert _Figures(network, 3.0).of("RRC.ConnMean") < 0.9 * before.of("RRC.ConnMean")


def test_the_most_connections_are_at_least_the_mean(network):
    seen = _Figures(network, 5.0)
    assert seen.of("RRC.ConnMax") >= seen.of("RRC.ConnMean") > 0


def test_ues_that_lost_their_cells_ask_to_connect_all_at_once(scenario, network):
    """The counters see what the UEs do, not only what so many connections do on the mean."""
    before = _Figures(network, 2.0)
    network.apply([_set(cell.id, "administrativeState", "LOCKED") for cell in scenario.cells])
    dark = _Figures(network, 2.0)
    network.apply([_set(cell.id, "administrativeState", "UNLOCKED") for cell in scenario.cells])
    after = _Figures(network, 2.0)
    assert dark.total("RRC.ConnEstabAtt") == dark.total("RACH.PreambleACell") == 0.0
    more = after.total("RRC.ConnEstabAtt") - before.total("RRC.ConnEstabAtt")
    assert 0.8 * len(scenario.ues) < more < 1.3 * len(scenario.ues)
    assert after.total("RRC.ConnEstabSucc") > 0.9 * after.total("RRC.ConnEstabAtt")
    assert after.total("RACH.PreambleACell") > after.total("RRC.ConnEstabAtt")


def test_handovers_use_dedicated_preambles_and_re_establishments_common_ones(scenario, network):
    seen = _Figures(network, 10.0)
    done = seen.total("MM.HoExeIntraSucc")
    assert done <= seen.total("RACH.PreambleDedCell") <= seen.total("MM.HoExeIntraReq")
    network.apply([_set(one.id, "isHOAllowed", "false") for one in scenario.neighbours])
    _Figures(network, 3.0)
    lost = _Figures(network, 10.0)
    assert lost.total("RRC.ReEstabSuccWithUeContext") > 10.0
    assert lost.total("RACH.PreambleDedCell") == 0.0
    extra = lost.total("RACH.PreambleACell") - lost.total("RRC.ConnEstabAtt")
    assert extra == pytest.approx(lost.total("RRC.ReEstabSuccWithUeContext"), rel=0.4)


def test_a_cell_that_shuts_down_is_not_asked_ten_times_a_second(network):
    network.apply([_set(BUSY, "administrativeState", "SHUTTING DOWN")])
    seen = _Figures(network, 10.0)
    refused = seen.total("MM.HoPrepIntraReq") - seen.total("MM.HoPrepIntraSucc")
    assert refused < 0.3 * seen.total("MM.HoPrepIntraSucc")
