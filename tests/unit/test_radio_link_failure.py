"""Out-of-sync timers, re-establishment, and which handover gets the blame, on made-up tracks."""

from __future__ import annotations

import numpy as np
import pytest

from twin.entities import NeighbourRelation
from twin.handover import MOBILITY_FEATURES, Mobility, MobilityRules
from twin.neighbours import relations_of
from twin.radio_link_failure import FAILED_AFTER_S, RE_ESTABLISH_S, STORE_CONTEXT_S, T304_S, blamed

DT_S = 0.1


class _Named:
    def __init__(self, number: int) -> None:
        self.id = f"cell-{number}-1"


class _Drive:
    """One UE; its SINR at each cell follows from the levels, as if all cells were fully loaded."""

    def __init__(self, levels_at, *, without: tuple[tuple[int, int], ...] = (), **changes) -> None:
        self.levels_at = levels_at
        cells = len(levels_at(0.0))
        named = [_Named(n) for n in range(cells)]
        pairs = [(a, b) for a in range(cells) for b in range(cells) if a != b and (a, b) not in without]
        relations = relations_of(
            named, [NeighbourRelation(source_id=named[a].id, target_id=named[b].id) for a, b in pairs]
        )
        rules = {
            "a3_offset_db": np.full(cells, 3.0),
            "hysteresis_db": np.full(cells, 2.0),
            "time_to_trigger_s": np.full(cells, 0.64),
            "q_rx_lev_min_dbm": np.full(cells, -125.0),
            "pci": np.arange(cells),
            "carrier": np.zeros(cells, dtype=np.int64),
            "offset_db": np.zeros(len(pairs)),
            "allowed": np.ones(len(pairs), dtype=bool),
            "present": np.ones(len(pairs), dtype=bool),
        }
        self.tick = 0
        self.mobility = Mobility(self._levels(), relations, MobilityRules(**{**rules, **changes}))

    def _levels(self) -> np.ndarray:
        return np.array([self.levels_at(self.tick * DT_S)], dtype=np.float32)

    def _sinr_db(self, cell: int) -> float:
        power = 10.0 ** (self._levels()[0].astype(float) / 10.0)
        return 10.0 * np.log10(power[cell] / (power.sum() - power[cell] + 10.0**-12.0))

    def _quality(self, _rows, cells):
        return np.array([self._sinr_db(int(cell)) for cell in cells], dtype=np.float32)

    def run(self, seconds: float):
        rng = np.random.default_rng(1)
        for _ in range(round(seconds / DT_S)):
            self.tick += 1
            serving = int(self.mobility.serving[0])
            sinr = np.array([self._sinr_db(serving) if serving >= 0 else np.nan], dtype=np.float32)
            self.mobility.hear(slice(None))
            self.mobility.step(self._levels(), sinr, self._quality, dt_s=DT_S, rng=rng)
        return self

    def counted(self) -> dict[tuple[str, int], float]:
        """Return what was counted, by feature and cell."""
        places = zip(*np.nonzero(self.mobility.counts), strict=True)
        return {(MOBILITY_FEATURES[f], int(c)): float(self.mobility.counts[c, f]) for c, f in places}


def _step_at(time_s, *levels):
    """Levels that change at given times: pairs of (from, levels)."""
    return next(level for start, level in reversed(levels) if time_s >= start)


def _cross(time_s: float) -> tuple[float, float]:
    half = time_s - 10.0
    return -80.0 - half, -80.0 + half


def test_with_a_relation_the_ue_hands_over_in_time():
    counted = _Drive(_cross).run(30.0).counted()
    expected = {(name, 0): 1.0 for name in ("prepare", "prepared", "execute", "executed")}
    assert counted == {**expected, ("dedicated", 1): 1.0}


def test_a_missing_relation_leads_to_a_handover_too_late():
    drive = _Drive(_cross, without=((0, 1),)).run(30.0)
    assert drive.counted() == {
        ("link_failures", 0): 1.0,
        ("too_late", 0): 1.0,
        ("re_establish", 1): 1.0,
        ("re_established", 1): 1.0,
    }
    assert drive.mobility.serving.tolist() == [1]


def test_the_link_fails_after_n310_indications_and_t310():
    """SINR under -8 dB from 5 s on; the UE is without a cell when 10 indications of 20 ms and 1 s are over."""
    drive = _Drive(lambda t: _step_at(t, (0.0, (-80.0, -95.0)), (5.0, (-80.0, -70.0))), without=((0, 1),))
    drive.run(5.0 - DT_S)
    ticks = 0
    while drive.mobility.serving[0] >= 0:
        drive.run(DT_S)
        ticks += 1
    assert ticks * DT_S == pytest.approx(FAILED_AFTER_S, abs=0.01)
    while drive.mobility.serving[0] < 0:
        drive.run(DT_S)
        ticks += 1
    assert ticks * DT_S == pytest.approx(FAILED_AFTER_S + RE_ESTABLISH_S, abs=DT_S + 0.01)


@pytest.mark.parametrize(("recovered_db", "fails"), [(-7.0, True), (-5.0, False)])
def test_only_an_in_sync_link_stops_t310(recovered_db, fails):
    """Between -8 and -6 dB a running timer goes on."""
    drive = _Drive(
        lambda t: _step_at(t, (0.0, (-80.0, -95.0)), (2.0, (-80.0, -70.0)), (2.8, (-80.0, -80.0 - recovered_db))),
        without=((0, 1),),
    ).run(5.0)
    assert (("link_failures", 0) in drive.counted()) == fails


def test_a_handover_to_a_cell_that_fades_at_once_was_too_early():
    levels = [
        (0.0, (-80.0, -95.0)),
        (5.0, (-80.0, -74.0)),
        (7.0, (-80.0, -100.0)),
    ]
    # Time to trigger of the second cell is so long that it cannot hand back before the link fails.
    drive = _Drive(lambda t: _step_at(t, *levels), time_to_trigger_s=np.array([0.64, 5.12])).run(12.0)
    counted = drive.counted()
    assert counted[("executed", 0)] == 1.0
    assert counted[("link_failures", 1)] == counted[("too_early", 0)] == counted[("re_established", 0)] == 1.0
    assert ("too_late", 1) not in counted
    assert ("wrong_cell", 0) not in counted


def test_coming_back_in_a_third_cell_means_the_wrong_one_was_chosen():
    levels = [
        (0.0, (-80.0, -95.0, -110.0)),
        (5.0, (-80.0, -74.0, -110.0)),
        (7.0, (-95.0, -100.0, -75.0)),
    ]
    drive = _Drive(lambda t: _step_at(t, *levels), time_to_trigger_s=np.array([0.64, 5.12, 0.64])).run(12.0)
    counted = drive.counted()
    assert counted[("executed", 0)] == 1.0
    assert counted[("wrong_cell", 0)] == counted[("re_established", 2)] == 1.0
    assert not {key for key in counted if key[0] in ("too_late", "too_early")}


def test_the_same_failure_long_after_the_handover_was_too_late():
    levels = [
        (0.0, (-80.0, -95.0)),
        (5.0, (-80.0, -74.0)),
        (7.0 + STORE_CONTEXT_S, (-80.0, -100.0)),
    ]
    drive = _Drive(lambda t: _step_at(t, *levels), time_to_trigger_s=np.array([0.64, 5.12])).run(20.0)
    counted = drive.counted()
    assert counted[("too_late", 1)] == 1.0
    assert ("too_early", 0) not in counted


def test_a_target_that_cannot_be_reached_fails_the_execution_and_was_too_early():
    drive = _Drive(lambda t: _step_at(t, (0.0, (-80.0, -95.0)), (5.0, (-80.0, -74.0))))
    dead = np.array([0.0, 1.0], dtype=np.float32)
    drive.mobility.admit(admits=np.ones(2, dtype=bool), on_air=np.ones(2, dtype=bool), access_loss=dead)
    drive.run(7.0)
    expected = {("prepare", 0): 1.0, ("prepared", 0): 1.0, ("execute", 0): 1.0}
    assert drive.counted() == {**expected, ("dedicated", 1): 1.0}
    assert drive.mobility.serving.tolist() == [-1]
    drive.run(T304_S + RE_ESTABLISH_S)
    counted = drive.counted()
    assert counted[("too_early", 0)] == counted[("re_establish", 0)] == 1.0
    assert ("link_failures", 0) not in counted


def test_a_hole_is_nobodys_handover():
    """Coming back where the link failed blames no handover; a UE that finds nothing goes idle."""
    drive = _Drive(lambda t: _step_at(t, (0.0, (-80.0, -95.0)), (5.0, (-130.0, -140.0)), (15.0, (-80.0, -95.0))))
    drive.run(20.0)
    assert drive.counted() == {("link_failures", 0): 1.0}
    assert drive.mobility.serving.tolist() == [0]


def test_a_failed_re_establishment_is_an_attempt_without_success():
    """A third of the power each: no cell is over the threshold while the level is fine."""
    many = tuple([-80.0] * 9)
    drive = _Drive(lambda t: _step_at(t, (0.0, (-80.0, *([-110.0] * 8))), (5.0, many))).run(7.5)
    counted = drive.counted()
    assert sum(value for (name, _), value in counted.items() if name == "re_establish") == 1.0
    assert not {key for key in counted if key[0] == "re_established"}


def test_classes_of_ts_38_300():
    cell, source, chosen = np.array([[1, -1, 2], [1, -1, 1], [1, 0, 0], [1, 0, 2], [1, 0, 1]]).T
    late, early, wrong = blamed(cell=cell, source=source, chosen=chosen)
    assert late.tolist() == [True, False, False, False, False]
    assert early.tolist() == [False, False, True, False, False]
    assert wrong.tolist() == [False, False, False, True, False]
