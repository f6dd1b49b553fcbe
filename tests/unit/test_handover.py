"""Event A3, handover preparation and execution, neighbour relations and physical cell identities, on made-up tracks."""

from __future__ import annotations

import numpy as np
import pytest

from twin import kernels
from twin.configuration import Configuration
from twin.entities import NeighbourRelation
from twin.handover import (
    HYSTERESIS_DB,
    INTERRUPTION_S,
    MIN_RSRP_DBM,
    MOBILITY_FEATURES,
    OFFSET_DB,
    REFUSED_S,
    TIME_TO_TRIGGER_S,
    Mobility,
    MobilityRules,
    filter_weight,
    rules_of,
    strongest,
)
from twin.neighbours import Relations, namesakes, pci_clash, relations_of, resolved, shared_identity_mw
from twin.radio_link_failure import OUT_OF_SYNC_S
from twin.topology import topology_of
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

DT_S = 0.1
GOOD_DB = np.float32(10.0)


class _Named:
    """As much of a cell as relations need."""

    def __init__(self, number: int) -> None:
        self.id = f"cell-{number}-1"


def _relations(cells: int, *, without: tuple[tuple[int, int], ...] = ()) -> Relations:
    """Everybody knows everybody, but for some."""
    pairs = [(a, b) for a in range(cells) for b in range(cells) if a != b and (a, b) not in without]
    named = [_Named(n) for n in range(cells)]
    return relations_of(named, [NeighbourRelation(source_id=named[a].id, target_id=named[b].id) for a, b in pairs])


def _rules(relations: Relations, **changes) -> MobilityRules:
    cells, number = len(relations.neighbour), len(relations.source)
    values = {
        "a3_offset_db": np.full(cells, 3.0),
        "hysteresis_db": np.full(cells, 2.0),
        "time_to_trigger_s": np.full(cells, 0.64),
        "q_rx_lev_min_dbm": np.full(cells, -125.0),
        "pci": np.arange(cells),
        "carrier": np.zeros(cells, dtype=np.int64),
        "offset_db": np.zeros(number),
        "allowed": np.ones(number, dtype=bool),
        "present": np.ones(number, dtype=bool),
    }
    return MobilityRules(**{**values, **changes})


def _good(rows, _cells):
    return np.full(len(rows), GOOD_DB)


class _Track:
    """UEs that hear what a function of time tells them."""

    def __init__(self, heard, relations: Relations | None = None, *, kernel: str = "numpy", **changes) -> None:
        self.heard = heard
        first = heard(0.0)
        self.relations = relations or _relations(first.shape[1])
        self.mobility = Mobility(first, self.relations, _rules(self.relations, **changes), kernel=kernels.load(kernel))
        self.tick = 0
        self.quality = _good
        self.sinr_db = np.full(len(first), GOOD_DB)
        self.rng = np.random.default_rng(1)

    def step(self):
        self.tick += 1
        self.mobility.hear(slice(None))
        self.mobility.step(self.heard(self.time_s), self.sinr_db, self.quality, dt_s=DT_S, rng=self.rng)

    @property
    def time_s(self) -> float:
        return self.tick * DT_S

    def until(self, cell: int, *, at_most_s: float = 60.0) -> float:
        """Return when the first UE is served by a cell."""
        while self.time_s < at_most_s:
            self.step()
            if self.mobility.serving[0] == cell:
                return self.time_s
        raise AssertionError(f"still on {self.mobility.serving[0]} after {at_most_s} s")

    def run(self, seconds: float):
        for _ in range(round(seconds / DT_S)):
            self.step()
        return self

    def count(self, name: str, cell: int | None = None) -> float:
        column = self.mobility.counts[:, MOBILITY_FEATURES.index(name)]
        return float(column.sum() if cell is None else column[cell])


SLOPE_DB_PER_S = 2.0
CROSSING_S = 20.0


def _past_two_cells(time_s: float) -> np.ndarray:
    """A drive from one cell to the other: levels cross at 20 s, their difference grows by 2 dB a second."""
    half = SLOPE_DB_PER_S / 2 * (time_s - CROSSING_S)
    return np.array([[-90.0 - half, -90.0 + half]], dtype=np.float32)


def _textbook_s(lead_db: float, time_to_trigger_s: float) -> float:
    """When the entry condition is met, as the filter lags a ramp by (1 - a) / a ticks, plus time to trigger."""
    weight = filter_weight(DT_S)
    lag_s = DT_S * (1.0 - weight) / weight
    return CROSSING_S + lead_db / SLOPE_DB_PER_S + lag_s + time_to_trigger_s


@pytest.mark.parametrize(("hysteresis", "offset", "trigger"), [(2.0, 3.0, 0.64), (0.0, 0.0, 0.0), (4.0, -2.0, 1.28)])
def test_a_drive_past_two_cells_hands_over_where_the_book_says(hysteresis, offset, trigger):
    one = np.ones(2)
    track = _Track(
        _past_two_cells,
        hysteresis_db=hysteresis * one,
        a3_offset_db=offset * one,
        time_to_trigger_s=trigger * one,
    )
    expected = _textbook_s(hysteresis + offset, trigger)
    assert expected <= track.until(1) <= expected + 2.01 * DT_S
    assert [track.count(name, 0) for name in ("prepare", "prepared", "execute", "executed")] == [1.0] * 4
    assert track.count("executed") == 1.0


@pytest.mark.parametrize("offset_db", [-6.0, 4.0])
def test_a_cell_individual_offset_moves_the_border_by_as_many_decibels(offset_db):
    plain = _Track(_past_two_cells).until(1)
    moved = _Track(_past_two_cells, offset_db=np.full(2, offset_db)).until(1)
    assert (plain - moved) * SLOPE_DB_PER_S == pytest.approx(offset_db, abs=0.21)


def test_a_short_peak_within_time_to_trigger_hands_nobody_over():
    def peak(time_s: float) -> np.ndarray:
        return np.array([[-90.0, -70.0 if 5.0 < time_s < 5.5 else -95.0]], dtype=np.float32)

    assert _Track(peak).run(10.0).count("prepare") == 0.0


def test_the_filter_halves_a_step_in_two_hundred_milliseconds():
    """filterCoefficient 4: each 200 ms measurement weighs one half."""

    def step(time_s: float) -> np.ndarray:
        return np.array([[-90.0 if time_s == 0 else -80.0, -120.0]], dtype=np.float32)

    track = _Track(lambda _: step(0.0))
    track.run(0.5)
    track.heard = step
    track.run(0.2)
    assert track.mobility.arrays()["filtered_dbm"][0, 0] == pytest.approx(-85.0, abs=0.01)


def test_no_handover_over_a_relation_that_forbids_it_or_is_missing():
    for change in ({"allowed": np.zeros(2, dtype=bool)}, {"present": np.zeros(2, dtype=bool)}):
        assert _Track(_past_two_cells, **change).run(40.0).count("prepare") == 0.0
    lonely = _relations(2, without=((0, 1),))
    assert _Track(_past_two_cells, lonely).run(40.0).count("prepare") == 0.0


def test_a_target_under_its_least_level_is_left_alone():
    assert _Track(_past_two_cells, q_rx_lev_min_dbm=np.array([-125.0, -60.0])).run(40.0).count("prepare") == 0.0


def test_a_ue_in_handover_is_served_for_half_of_the_tick():
    track = _Track(_past_two_cells)
    track.until(1)
    assert track.mobility.served_share[0] == pytest.approx(1.0 - INTERRUPTION_S / DT_S)
    track.step()
    assert track.mobility.served_share[0] == 1.0


def test_a_command_over_a_broken_link_is_lost_and_the_ue_stays():
    track = _Track(_past_two_cells)
    handed_over_s = _Track(_past_two_cells).until(1)
    track.run(handed_over_s - DT_S)
    track.sinr_db[:] = -9.0
    track.step()
    assert (track.count("execute", 0), track.count("executed"), track.mobility.serving[0]) == (1.0, 0.0, 0)
    track.sinr_db[:] = 0.0
    track.run(0.6)
    assert (track.count("execute", 0), track.count("executed"), track.mobility.serving[0]) == (2.0, 1.0, 1)


def test_no_report_is_sent_while_t310_runs():
    track = _Track(_past_two_cells)
    track.run(_Track(_past_two_cells).until(1) - OUT_OF_SYNC_S - DT_S)
    track.sinr_db[:] = -9.0
    track.run(OUT_OF_SYNC_S + 0.4)
    assert (track.count("prepare"), track.mobility.serving[0]) == (0.0, 0)
    track.sinr_db[:] = 0.0
    track.step()
    assert track.mobility.serving[0] == 1


def test_a_refused_preparation_is_repeated_until_the_cell_admits_again():
    track = _Track(_past_two_cells)
    on_air = np.ones(2, dtype=bool)
    track.mobility.admit(admits=np.array([True, False]), on_air=on_air)
    track.run(30.0)
    # Once per prohibit time, not ten times a second, from the border on, which lies half-way.
    assert 3.0 <= track.count("prepare", 0) <= 30.0 / REFUSED_S
    assert (track.count("prepared"), track.mobility.serving[0]) == (0.0, 0)
    track.mobility.admit(admits=on_air, on_air=on_air)
    track.run(REFUSED_S + 1.0)
    assert (track.count("prepared"), track.mobility.serving[0]) == (1.0, 1)
    assert track.count("dedicated", 1) == 1.0


def test_a_neighbour_leaves_the_list_when_it_is_worse_by_the_hysteresis_again():
    """TS 38.331 5.5.4.4: entered at offset + hysteresis, left at offset - hysteresis."""
    level = {"lead": 6.0}
    track = _Track(lambda _: np.array([[-90.0, -90.0 + level["lead"]]], dtype=np.float32))
    track.mobility.serving[:] = 0
    track.mobility.admit(admits=np.array([True, False]), on_air=np.ones(2, dtype=bool))
    track.run(3.0)
    assert track.count("prepare") > 1.0
    for lead, reporting in ((2.0, True), (0.5, False)):
        level["lead"] = lead
        track.run(3.0)
        before = track.count("prepare")
        track.run(3.0)
        assert (track.count("prepare") > before) == reporting


def test_two_neighbours_of_one_identity_confuse_the_preparation():
    """The source finds the first of them; the UE measured the second: preparations succeed, executions fail."""

    def heard(time_s: float) -> np.ndarray:
        return np.array([[-80.0 - time_s, -130.0, -110.0 + time_s]], dtype=np.float32)

    clean, clashing = _Track(heard).run(30.0), _Track(heard, pci=np.array([1, 7, 7])).run(30.0)
    assert [clean.count(name, 0) for name in ("prepared", "execute", "executed")] == [1.0, 1.0, 1.0]
    assert clashing.count("prepared", 0) == clashing.count("execute", 0) >= 1.0
    assert clashing.count("executed") == 0.0
    assert clashing.count("re_establish") == clashing.count("execute", 0)


def test_a_neighbour_with_the_identity_of_the_serving_cell_is_never_reported():
    assert _Track(_past_two_cells, pci=np.array([5, 5])).run(40.0).count("prepare") == 0.0
    other_carrier = {"pci": np.array([5, 5]), "carrier": np.array([0, 1])}
    assert _Track(_past_two_cells, **other_carrier).run(40.0).count("executed") == 1.0


def test_resolved_takes_the_first_relation_with_the_identity_and_carrier():
    relations = _relations(4)
    everything = relations.neighbour >= 0
    carrier = np.array([0, 0, 0, 1])
    found = resolved(relations, np.array([1, 7, 7, 7]), carrier, present=everything)
    assert relations.neighbour[0].tolist() == [1, 2, 3]
    assert found[0].tolist() == [1, 1, 3]
    everything[0, 0] = False
    assert resolved(relations, np.array([1, 7, 7, 7]), carrier, present=everything)[0].tolist()[1:] == [2, 3]


def test_clashes_of_identities_are_found():
    relations = _relations(4, without=((1, 2), (2, 1), (1, 3), (3, 1)))
    clash = pci_clash(np.array([3, 7, 7, 33]), np.zeros(4, dtype=np.int64), relations.known())
    pairs = {name: set(zip(*np.nonzero(np.triu(getattr(clash, name))), strict=True)) for name in clash.__slots__}
    assert pairs == {"collision": set(), "confusion": {(1, 2)}, "mod3": {(0, 3)}, "mod30": {(0, 3)}}
    beside = pci_clash(np.array([7, 7]), np.zeros(2, dtype=np.int64), _relations(2).known())
    assert beside.collision[0, 1]
    assert not pci_clash(np.array([7, 7]), np.array([0, 1]), _relations(2).known()).collision.any()


def test_a_namesake_adds_its_whole_power_to_the_disturbance():
    received = np.array([[1.0, 0.25, 0.5], [0.1, 2.0, 0.4], [0.3, 0.2, 4.0]], dtype=np.float32)
    namesake = namesakes(np.array([9, 9, 4]), np.zeros(3, dtype=np.int64))
    extra = shared_identity_mw(received, np.array([0, 1, 2]), namesake)
    np.testing.assert_allclose(extra, [0.25, 0.1, 0.0])
    assert namesakes(np.array([9, 9, 4]), np.array([0, 1, 0])) == {}


def _shadowed_border(ues: int, seconds: float) -> np.ndarray:
    """Two cells of equal mean level, shadowed by 4 dB each with 5 s of memory: ``[ticks, ues, 2]``."""
    rng = np.random.default_rng(4)
    kept = np.exp(-DT_S / 5.0)
    shadow = rng.normal(0.0, 4.0, (ues, 2))
    levels = np.empty((round(seconds / DT_S) + 1, ues, 2), dtype=np.float32)
    for tick in range(len(levels)):
        levels[tick] = -90.0 + shadow
        shadow = kept * shadow + np.sqrt(1 - kept**2) * rng.normal(0.0, 4.0, (ues, 2))
    return levels


def test_without_hysteresis_and_time_to_trigger_ues_play_ping_pong():
    levels = _shadowed_border(100, 60.0)

    def drive(**changes) -> _Track:
        return _Track(lambda time_s: levels[round(time_s / DT_S)], **changes).run(60.0)

    zero = np.zeros(2)
    plain, nervous = drive(), drive(hysteresis_db=zero, time_to_trigger_s=zero, a3_offset_db=zero)
    assert nervous.count("executed") >= 5.0 * plain.count("executed") > 0.0
    assert nervous.count("ping_pong") / nervous.count("executed") > 0.3
    assert plain.count("ping_pong") / plain.count("executed") < 0.1


def test_a_cell_that_leaves_the_air_releases_its_ues_at_once():
    track = _Track(lambda _: np.array([[-80.0, -90.0]], dtype=np.float32)).run(1.0)
    only_second = np.array([False, True])
    track.mobility.admit(admits=only_second, on_air=only_second)
    track.step()
    assert track.mobility.serving.tolist() == [1]
    assert track.mobility.counts.sum() == 0.0


def test_a_closed_cell_that_radiates_empties_as_connections_end():
    """A connection ends about every ten seconds, and nobody gets in again."""
    track = _Track(lambda _: np.tile(np.array([-80.0, -84.0], dtype=np.float32), (400, 1))).run(0.2)
    track.mobility.admit(admits=np.array([False, True]), on_air=np.ones(2, dtype=bool))
    track.run(10.0)
    staying = float((track.mobility.serving == 0).mean())
    assert staying == pytest.approx(np.exp(-1.0), abs=0.08)
    assert (track.mobility.serving >= 0).all()


def test_a_draining_cell_hands_its_ues_over_at_once():
    track = _Track(lambda _: np.tile(np.array([-80.0, -95.0, -90.0], dtype=np.float32), (20, 1))).run(0.2)
    draining = np.array([True, False, False])
    track.mobility.admit(admits=~draining, on_air=np.ones(3, dtype=bool), drains=draining)
    track.step()
    assert (track.mobility.serving == 2).all()
    assert track.count("executed", 0) == 20.0


def test_the_strongest_cell_is_the_one_that_admits_and_is_strong_enough():
    level = np.array([[-80.0, -90.0, -70.0], [-130.0, -140.0, -150.0]], dtype=np.float32)
    assert strongest(level).tolist() == [2, -1]
    assert strongest(level, admits=np.array([True, True, False])).tolist() == [0, -1]
    assert strongest(level, least_dbm=np.array([-75.0, -145.0, -60.0], dtype=np.float32)).tolist() == [1, 1]
    assert strongest(np.empty((2, 0), dtype=np.float32)).tolist() == [-1, -1]


def test_a_ue_without_any_cell_is_served_by_none():
    track = _Track(lambda _: np.array([[-130.0, -140.0]], dtype=np.float32)).run(3.0)
    assert track.mobility.serving.tolist() == [-1]
    assert track.mobility.counts.sum() == 0.0


def test_a_restored_state_goes_on_bit_for_bit():
    levels = _shadowed_border(50, 20.0)
    first = _Track(lambda time_s: levels[round(time_s / DT_S)]).run(8.0)
    second = _Track(lambda time_s: levels[round(time_s / DT_S)])
    for name, array in second.mobility.arrays().items():
        array[...] = first.mobility.arrays()[name]
    second.tick = first.tick
    first.run(12.0), second.run(12.0)
    for name, array in first.mobility.arrays().items():
        np.testing.assert_array_equal(array, second.mobility.arrays()[name], err_msg=name)


def _random_walk(seed: int, *, ues: int, cells: int, ticks: int, moving: float):
    """Levels and SINR that wander; a share of the UEs moves in each tick."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(-140.0, -70.0, (ues, cells)).astype(np.float32)
    level[:, -1] = -300.0
    sinr = rng.normal(3.0, 8.0, ues).astype(np.float32)
    for _ in range(ticks):
        rows = np.flatnonzero(rng.random(ues) < moving)
        level[rows] += rng.normal(0.0, 3.0, (len(rows), cells)).astype(np.float32)
        sinr = (0.97 * sinr + rng.normal(0.0, 1.5, ues)).astype(np.float32)
        yield level, sinr, rows


@pytest.mark.parametrize(("ues", "cells", "known"), [(60, 13, 12), (400, 30, 6)])
def test_numba_and_numpy_agree_bit_for_bit_over_hundreds_of_ticks(ues, cells, known):
    pytest.importorskip("numba")
    rng = np.random.default_rng(3)
    pairs = [(a, b) for a in range(cells) for b in rng.permutation(cells)[:known] if a != b]
    named = [_Named(n) for n in range(cells)]
    relations = relations_of(named, [NeighbourRelation(source_id=named[a].id, target_id=named[b].id) for a, b in pairs])
    rules = _rules(
        relations,
        a3_offset_db=rng.uniform(-2, 4, cells),
        hysteresis_db=rng.uniform(0, 3, cells),
        time_to_trigger_s=rng.choice([0.0, 0.1, 0.32, 0.64], cells),
        offset_db=rng.uniform(-3, 3, len(pairs)),
        allowed=rng.random(len(pairs)) < 0.9,
        pci=rng.integers(0, cells, cells),
    )

    def doubtful(rows, cells):
        return np.where((rows + cells) % 5 == 0, np.float32(-12.0), np.float32(4.0))

    seen = []
    for name in ("numpy", "numba"):
        walk = list(_first_levels(cells, ues))
        mobility = Mobility(walk[0], relations, rules, kernel=kernels.load(name))
        chance = np.random.default_rng(5)
        history = []
        for level, sinr, rows in _random_walk(7, ues=ues, cells=cells, ticks=400, moving=0.3):
            mobility.hear(rows)
            mobility.step(level, sinr, doubtful, dt_s=DT_S, rng=chance)
            history.append({name: array.copy() for name, array in mobility.arrays().items()})
        seen.append(history)
    for reference, compiled in zip(*seen, strict=True):
        for name, array in reference.items():
            np.testing.assert_array_equal(array, compiled[name], err_msg=name)
    last = seen[0][-1]["mobility_counts"].sum(axis=0)
    assert (last > 0).all(), dict(zip(MOBILITY_FEATURES, last, strict=True))


def _first_levels(cells: int, ues: int):
    yield np.random.default_rng(2).uniform(-120.0, -70.0, (ues, cells)).astype(np.float32)


def test_the_defaults_of_the_managed_attributes_are_the_constants_that_the_past_goes_by():
    scenario = build_scenario(ScenarioSpec(num_ues=1))
    rules = rules_of(Configuration(topology_of(scenario)), carrier=np.zeros(len(scenario.cells), dtype=np.int64))
    defaults = (rules.a3_offset_db, rules.hysteresis_db, rules.time_to_trigger_s, rules.q_rx_lev_min_dbm)
    for values, expected in zip(defaults, (OFFSET_DB, HYSTERESIS_DB, TIME_TO_TRIGGER_S, MIN_RSRP_DBM), strict=True):
        assert values == pytest.approx(expected)


def test_ues_at_rest_cost_nothing_and_wake_when_they_hear_something_else():
    level = np.array([[-80.0, -90.0]] * 3, dtype=np.float32)
    relations = _relations(2)
    mobility = Mobility(level, relations, _rules(relations))
    sinr, rng = np.full(3, GOOD_DB), np.random.default_rng(1)
    for _ in range(5):
        mobility.step(level, sinr, _good, dt_s=DT_S, rng=rng)
    assert not mobility.arrays()["measuring"].any()
    level[1, 1] = -70.0
    mobility.hear(np.array([1]))
    for _ in range(30):
        mobility.step(level, sinr, _good, dt_s=DT_S, rng=rng)
    assert mobility.serving.tolist() == [0, 1, 0]
    assert not mobility.arrays()["measuring"].any()
