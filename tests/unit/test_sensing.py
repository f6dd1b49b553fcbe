"""Radar echoes: the radar equation by hand, Swerling's closed form, moving targets, scanning cells."""

from __future__ import annotations

import numpy as np
import pytest

from tests.one_site import block, one_site
from twin.entities import Building, SensingTarget
from twin.radio.landscape import Landscape, Sectors, sectors_of
from twin.sixg import sensing
from twin.sixg.sensing import Radar, Sensing, Targets, detection_probability, snr_db


def _snr(distance_m: float = 500.0, **changes: float) -> float:
    values = {"power_w": 40.0, "gain_dbi": 18.0, "carrier_hz": 3.5e9, "rcs_m2": 0.1, "dwell_s": 1e-3} | changes
    return float(snr_db(np.array([distance_m]), **{name: np.array([one]) for name, one in values.items()})[0])


def test_the_echo_of_a_drone_at_500_m_by_hand():
    # In dB: 40 W 16.02, G^2 36, lambda^2 -21.35, 0.1 m2 -10, 1 ms -30, (4 pi)^3 -32.98, R^4 -107.96,
    # k T0 +203.98, F and L -15.
    assert _snr() == pytest.approx(16.02 + 36.0 - 21.35 - 10.0 - 30.0 - 32.98 - 107.96 + 203.98 - 15.0, abs=0.02)


def test_twice_the_distance_costs_12_db_and_twice_the_time_brings_3():
    assert _snr(500.0) - _snr(1000.0) == pytest.approx(12.04, abs=0.01)
    assert _snr(dwell_s=2e-3) - _snr(dwell_s=1e-3) == pytest.approx(3.01, abs=0.01)


def test_without_time_on_target_there_is_no_echo():
    assert _snr(dwell_s=0.0) == sensing.NO_ECHO_DB


@pytest.mark.parametrize(("snr", "expected"), [(0.0, 1e-3), (10.0, 1e-6 ** (1 / 11)), (20.0, 0.8722), (30.0, 0.9863)])
def test_swerling_1_at_a_false_alarm_rate_of_1e_minus_6(snr, expected):
    assert float(detection_probability(np.array([snr]))[0]) == pytest.approx(expected, rel=1e-3)


def test_swerling_1_is_what_a_threshold_finds_among_exponential_echoes():
    rng = np.random.default_rng(11)
    false_alarm, mean_snr, count = 1e-2, 6.0, 400_000
    echo = np.sqrt(mean_snr * rng.exponential(size=count)) * np.exp(2j * np.pi * rng.random(count))
    noise = (rng.standard_normal(count) + 1j * rng.standard_normal(count)) / np.sqrt(2.0)
    threshold = -np.log(false_alarm)
    found = float((abs(echo + noise) ** 2 > threshold).mean())
    expected = float(detection_probability(np.array([10 * np.log10(mean_snr)]), false_alarm=false_alarm)[0])
    assert found == pytest.approx(expected, abs=0.005)


def test_without_an_echo_only_false_alarms_are_left():
    assert float(detection_probability(np.array([sensing.NO_ECHO_DB]))[0]) == pytest.approx(1e-6, rel=1e-3)


def test_a_target_goes_round_its_path_at_its_speed():
    square = ((0.0, 0.0, 60.0), (100.0, 0.0, 60.0), (100.0, 100.0, 80.0), (0.0, 100.0, 60.0))
    targets = Targets([SensingTarget(id="target-1", name="drone", path_m=square, speed_mps=10.0, rcs_m2=0.05)])
    track = np.concatenate([targets.at(time_s) for time_s in np.arange(0.0, 60.0, 0.1)])
    steps = np.linalg.norm(np.diff(track, axis=0), axis=1)
    assert float(np.median(steps)) == pytest.approx(1.0, abs=0.01)
    assert float(steps.max()) < 1.01
    around_m = 200.0 + 2.0 * float(np.hypot(100.0, 20.0))
    assert targets.at(3.0) == pytest.approx(targets.at(3.0 + around_m / 10.0))
    assert targets.at(5.0)[0] == pytest.approx([50.0, 0.0, 60.0])


def test_a_target_without_speed_stays():
    targets = Targets([SensingTarget(id="t", name="t", path_m=((1.0, 2.0, 3.0),), speed_mps=0.0, rcs_m2=1.0)])
    assert (targets.at(0.0) == targets.at(99.0)).all()
    assert targets.at(0.0)[0] == pytest.approx([1.0, 2.0, 3.0])


def _radar(cells: int = 2) -> Radar:
    return Radar(
        position_m=np.tile([0.0, 0.0, 25.0], (cells, 1)),
        carrier_hz=np.full(cells, 3.5e9),
        beams=np.full(cells, 10.0),
        array_gain_db=np.full(cells, 10.0),
        beamwidth_deg=np.full(cells, 65.0),
    )


def _look(target_m: list[float], **changes: object) -> np.ndarray:
    values: dict[str, object] = {
        "boresight_deg": np.array([0.0, 180.0]),
        "power_w": np.array([40.0, 40.0]),
        "duty": np.array([0.1, 0.1]),
        "seen": np.ones((1, 2), dtype=bool),
    }
    return _radar().look(np.array([target_m]), np.array([0.05]), **(values | changes))[0]  # pyright: ignore[reportArgumentType]


def test_only_the_sector_that_looks_there_sees_a_target():
    north, south = _look([30.0, 400.0, 60.0])
    assert north > 20.0
    assert south == sensing.NO_ECHO_DB


@pytest.mark.parametrize("off_deg", [0.0, 30.0, 59.0])
def test_off_boresight_an_echo_loses_the_pattern_of_the_element_twice(off_deg):
    # Higher than the target by nothing, so that only the horizontal pattern of TR 38.901 table 7.3-1 counts.
    off = np.radians(off_deg)
    straight, turned = (
        _look([400.0 * np.sin(angle), 400.0 * np.cos(angle), 25.0], boresight_deg=np.zeros(2))[0]
        for angle in (0.0, off)
    )
    assert straight - turned == pytest.approx(2.0 * 12.0 * (off_deg / 65.0) ** 2, abs=0.01)


def test_a_wide_sector_sees_its_edge_better_and_its_middle_worse():
    sensing_now, sectors = _network()
    sectors.boresight_deg[:] = (0.0, -55.0, 180.0)
    before = sensing_now.look(0.0, sectors, np.full(3, 0.1))[0]
    sectors.shape[:] = 1
    middle, edge, _ = sensing_now.look(0.0, sectors, np.full(3, 0.1))[0] - before
    assert middle == pytest.approx(-20.0 * np.log10(90.0 / 65.0), abs=0.01)
    assert edge == pytest.approx(middle + 24.0 * (55.0**2 / 65.0**2 - 55.0**2 / 90.0**2), abs=0.01)


def test_a_larger_share_of_the_resources_sees_farther():
    weak, strong = _look([0.0, 900.0, 60.0], boresight_deg=np.zeros(2), duty=np.array([0.01, 0.2]))
    assert strong - weak == pytest.approx(10 * np.log10(20.0), abs=0.01)


def test_a_target_behind_a_house_gives_no_echo():
    assert (_look([0.0, 400.0, 60.0], seen=np.zeros((1, 2), dtype=bool)) == sensing.NO_ECHO_DB).all()


def test_a_cell_off_the_air_sees_nothing():
    assert _look([0.0, 400.0, 60.0], power_w=np.zeros(2))[0] == sensing.NO_ECHO_DB


def _network(*, buildings: tuple[Building, ...] = ()) -> tuple[Sensing, Sectors]:
    scenario = one_site(buildings=buildings, targets=(DRONE,))
    landscape = Landscape(scenario, rng=np.random.default_rng(1))
    return Sensing(scenario, landscape), sectors_of(scenario.cells)


DRONE = SensingTarget(id="target-1", name="Drone", path_m=((0.0, 300.0, 60.0),), speed_mps=0.0, rcs_m2=0.05)


def test_a_network_reports_snr_and_detection_of_the_cells_that_sense():
    sensing_now, sectors = _network()
    duty = np.array([0.1, 0.1, 0.0])
    for _ in range(10):
        sensing_now.step(0.1, 5.0, sectors, duty)
    found = sensing_now.columns()
    level = sensing_now.look(5.0, sectors, duty)[0]
    assert found["vsData6gSensingSnr"][0] == pytest.approx(level[0])
    assert found["vsData6gDetectionProbability"][0] == pytest.approx(100.0 * detection_probability(level)[0])
    # The second sector senses and looks away, the third one does not sense.
    assert np.isnan(found["vsData6gSensingSnr"][1:]).all()
    assert found["vsData6gDetectionProbability"][1] == 0.0
    assert np.isnan(found["vsData6gDetectionProbability"][2])
    assert (sensing_now.sums == 0.0).all()


def test_a_tower_hides_a_low_target_and_not_a_high_one():
    tower = block(1, -30.0, 100.0, 30.0, 130.0, height_m=60.0)
    hidden, sectors = _network(buildings=(tower,))
    free, _ = _network()
    duty = np.full(3, 0.1)
    assert free.look(0.0, sectors, duty)[0, 0] > 20.0
    assert hidden.look(0.0, sectors, duty)[0, 0] == sensing.NO_ECHO_DB


def test_more_power_and_a_turn_of_the_antenna_act_at_once():
    sensing_now, sectors = _network()
    duty = np.full(3, 0.1)
    before = sensing_now.look(0.0, sectors, duty)[0]
    sectors.power_dbm[0] += 3.0
    assert sensing_now.look(0.0, sectors, duty)[0, 0] - before[0] == pytest.approx(3.0, abs=1e-3)
    sectors.boresight_deg[0] = 180.0
    assert sensing_now.look(0.0, sectors, duty)[0, 0] == sensing.NO_ECHO_DB
