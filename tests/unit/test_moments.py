"""One moment of sharing: interference, delay, losses and energy move the way they must, in both kernels alike."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from twin import kernels
from twin.moments import CELL_FEATURES, SLICE_FEATURES, Carriers, Moment, Outcome, evaluate, idle_activity
from twin.radio import link
from twin.scheduler import HARQ_ATTEMPTS
from twin.slicing import pools
from twin.world import World
from twin_app.scenarios import build_scenario
from twin_app.scenarios.spec import ScenarioSpec

F32 = np.float32
EMBB, URLLC = 0, 1
SIGNAL_MW = 1e-7


@pytest.fixture(scope="module")
def world():
    return World(build_scenario(ScenarioSpec(num_ues=120)), seed=3)


def _carrier_hz(world):
    return np.array([cell.carrier_hz for cell in world.scenario.cells])


def _column(sums, name, features=CELL_FEATURES):
    return sums[..., features.index(name)]


def _random(world, *, moments=1, assists=0, demand_bps=4e6, seed=1, **changes):
    """Return a moment in which every user hears every cell at some random level and one of them well."""
    rng = np.random.default_rng(seed)
    users, cells = world.num_users, world.num_cells
    heard = 10.0 ** rng.uniform(-12, -9, (users, cells))
    heard[np.arange(users), rng.integers(0, cells, users)] = 10.0 ** rng.uniform(-9, -6, users)
    heard = heard.astype(F32)
    serving = np.tile(heard.argmax(axis=1), (moments, 1))
    serving[rng.random((moments, users)) < 0.02] = -1
    signal = heard[np.arange(users), np.maximum(serving, 0)]
    demand = rng.exponential(demand_bps, (moments, users)) * (rng.random((moments, users)) < 0.6)
    values = {
        "serving": serving,
        "rsrp_dbm": (10.0 * np.log10(signal) - 35.0).astype(F32),
        "signal_mw": signal,
        "total_mw": lambda activity: np.ascontiguousarray(activity @ heard.T),
        "demand_bps": demand.astype(F32),
        "connected": rng.random((moments, users)).astype(F32),
        "load": np.full((moments, cells), 0.3, dtype=F32),
        "max_output_w": np.full(cells, 40.0, dtype=F32),
        "awake": np.ones(cells, dtype=bool),
        "planned_failure": np.full(users, 1e-4, dtype=F32),
    }
    if assists:
        others = rng.integers(-1, cells, (moments, users, assists))
        others[(others == serving[:, :, None]) | (serving < 0)[:, :, None]] = -1
        values["assist_cells"] = others
        values["assist_mw"] = np.where(
            others >= 0, heard[np.arange(users)[None, :, None], np.maximum(others, 0)], F32(0.0)
        )
    return Moment(**(values | changes))


def _alone(world, users=(0,), **changes):
    """Return a moment in which only these users are there, in cell 0, 15 dB above the noise, without interference."""
    count, cells = world.num_users, world.num_cells
    signal = np.full((1, count), SIGNAL_MW, dtype=F32)
    rows = np.asarray(users)
    serving = np.full((1, count), -1)
    serving[0, rows] = 0
    demand = np.zeros((1, count), dtype=F32)
    demand[0, rows] = 10e6
    values = {
        "serving": serving,
        "rsrp_dbm": np.full((1, count), -80.0, dtype=F32),
        "signal_mw": signal,
        "total_mw": lambda activity: signal * activity[:, :1],
        "demand_bps": demand,
        "connected": np.ones((1, count), dtype=F32),
        "load": np.zeros((1, cells), dtype=F32),
        "max_output_w": np.full(cells, 40.0, dtype=F32),
        "awake": np.ones(cells, dtype=bool),
    }
    return Moment(**(values | changes))


def _of_slice(world, number, *, ues=True):
    rows = np.arange(world.num_users)
    return rows[(world.slice_of_user == number) & (world.is_crowd != ues)]


def _tight(world):
    rng = np.random.default_rng(5)
    shape = (world.num_cells, len(world.scenario.slices))
    least = rng.random(shape) * 0.4
    return pools(least=least, most=least + rng.random(shape), dedicated=least * rng.random(shape) * 0.5)


@pytest.mark.parametrize(
    ("moments", "assists", "demand_bps", "special"),
    [(1, 0, 1e6, False), (3, 0, 8e6, False), (2, 0, 8e6, True), (2, 2, 4e6, True)],
)
def test_numba_and_numpy_agree(world, moments, assists, demand_bps, special):
    pytest.importorskip("numba")
    rng = np.random.default_rng(9)
    size = (moments, world.num_users)
    extra = {}
    if special:
        extra = {
            "pools": _tight(world),
            "external_mw": (1e-10 * rng.random(size)).astype(F32),
            "served_share": rng.random(size).astype(F32),
        }
    moment = _random(world, moments=moments, assists=assists, demand_bps=demand_bps, **extra)
    plain, compiled = (evaluate(world, moment, iterations=4, kernel=kernels.load(name)) for name in ("numpy", "numba"))
    for one in fields(Outcome):
        # Rates near the SINR where nothing decodes differ by more than their own size: by less than a bit per second.
        close = {"rtol": 3e-4, "atol": 1.0 if one.name == "throughput_bps" else 1e-4}
        ours, theirs = (np.array(getattr(outcome, one.name)) for outcome in (compiled, plain))
        if one.name == "cells":
            # One user whose SINR lies on a threshold may report the next CQI.
            np.testing.assert_allclose(_column(ours, "cqi"), _column(theirs, "cqi"), atol=1.0)
            ours[..., CELL_FEATURES.index("cqi")] = theirs[..., CELL_FEATURES.index("cqi")]
        np.testing.assert_allclose(ours, theirs, err_msg=one.name, **close)


def test_what_was_compiled_beforehand_is_what_a_tick_uses(world):
    pytest.importorskip("numba")
    from twin.kernels import numba_share

    numba_share.warm()
    kernel = kernels.load("numba")
    evaluate(world, _random(world), iterations=1, kernel=kernel)
    evaluate(world, _random(world, moments=2, assists=1), iterations=1, kernel=kernel)
    compiled = {name: len(getattr(numba_share, name).signatures) for name in ("settle", "share", "tally")}
    assert compiled == {"settle": 1, "share": 1, "tally": 1}


def test_many_moments_at_once_are_what_each_is_alone(world):
    whole = _random(world, moments=3, demand_bps=6e6)
    together = evaluate(world, whole, iterations=3)
    for row in range(3):
        part = {name: getattr(whole, name)[row : row + 1] for name in
                ("serving", "rsrp_dbm", "signal_mw", "demand_bps", "connected", "load")}  # fmt: skip
        one = evaluate(world, replace(whole, **part), iterations=3)
        np.testing.assert_allclose(one.cells[0], together.cells[row], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(one.throughput_bps[0], together.throughput_bps[row], rtol=1e-3, atol=1.0)


def test_no_cell_gives_more_than_it_has_and_cells_and_slices_tell_the_same(world):
    outcome = evaluate(world, _random(world, demand_bps=2e7), iterations=6)
    assert outcome.granted.sum(axis=2).max() <= 1.0 + 1e-5
    for name in ("bits", "connected", "bit_delay", "offered_bits", "dropped_bits", "late_bits"):
        cells, slices = _column(outcome.cells, name).sum(), _column(outcome.slices, name, SLICE_FEATURES).sum()
        assert slices == pytest.approx(cells, rel=1e-6)


def test_load_and_interference_settle(world):
    moment = _random(world, demand_bps=1.5e6)
    some, more = (evaluate(world, moment, iterations=count) for count in (12, 30))
    assert np.abs(some.load - more.load).max() < 0.01
    assert np.abs(more.guess - more.load).max() < 0.01
    assert 0.1 < more.load.mean() < 0.95


def test_a_tick_that_goes_on_from_the_guess_follows_the_fixed_point(world):
    moment = _random(world, demand_bps=1.5e6)
    settled = evaluate(world, moment, iterations=30)
    for _ in range(30):
        outcome = evaluate(world, moment, iterations=0)
        moment = replace(moment, load=outcome.guess)
    np.testing.assert_allclose(outcome.load, settled.load, atol=0.01)


def test_interference_from_outside_costs_sinr_and_rsrq(world):
    noise = float(world.carriers.noise_mw[0])
    count = world.num_users
    clean = evaluate(world, _alone(world), iterations=0)
    jammed = evaluate(world, _alone(world, external_mw=np.full((1, count), noise, dtype=F32)), iterations=0)
    assert clean.sinr_db[0, 0] - jammed.sinr_db[0, 0] == pytest.approx(3.01, abs=0.01)
    assert jammed.rsrq_db[0, 0] < clean.rsrq_db[0, 0]
    assert np.isneginf(clean.sinr_db[0, 1])


@pytest.mark.parametrize("load", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kernel", ["numpy", "numba"])
def test_rsrq_follows_from_power_and_noise_and_an_idle_cell_hears_its_own_ssb(world, load, kernel):
    if kernel == "numba":
        pytest.importorskip("numba")
    moment = _alone(world, load=np.full((1, world.num_cells), load, dtype=F32))
    outcome = evaluate(world, moment, iterations=0, kernel=kernels.load(kernel))
    rssi_mw = SIGNAL_MW + float(world.carriers.noise_mw[0])
    assert outcome.rsrq_db[0, 0] == pytest.approx(10 * np.log10(SIGNAL_MW / 12 / rssi_mw), abs=0.01)
    assert outcome.rsrq_db[0, 0] <= -10.79


def test_two_cells_together_are_3_db_louder_and_both_pay(world):
    count = world.num_users
    both = np.full((1, count, 1), -1)
    both[0, 0, 0] = 1
    power = np.where(both >= 0, F32(SIGNAL_MW), F32(0.0))

    def total(activity):
        return F32(SIGNAL_MW) * (activity[:, :1] + activity[:, 1:2] * (np.arange(count) == 0))

    one = evaluate(world, _alone(world, total_mw=total, load=np.ones((1, world.num_cells), dtype=F32)), iterations=0)
    two = evaluate(
        world,
        _alone(
            world, total_mw=total, load=np.ones((1, world.num_cells), dtype=F32), assist_cells=both, assist_mw=power
        ),
        iterations=0,
    )
    noise = float(world.carriers.noise_mw[0])
    assert one.sinr_db[0, 0] == pytest.approx(10 * np.log10(SIGNAL_MW / (SIGNAL_MW + noise)), abs=0.01)
    assert two.sinr_db[0, 0] == pytest.approx(10 * np.log10(2 * SIGNAL_MW / noise), abs=0.01)
    assert two.load[0, 1] == two.load[0, 0] > 0.0
    assert one.load[0, 1] == 0.0
    assert two.cells[0, 1, CELL_FEATURES.index("bits")] == 0.0


def test_a_user_in_handover_for_half_of_the_tick_gets_half_of_the_bits(world):
    halves = np.full((1, world.num_users), 0.5, dtype=F32)
    whole, half = (evaluate(world, _alone(world, served_share=share), iterations=0) for share in (None, halves))
    for name in ("bits", "share"):
        assert _column(half.cells, name).sum() == pytest.approx(_column(whole.cells, name).sum() / 2)
    assert half.throughput_bps[0, 0] == pytest.approx(whole.throughput_bps[0, 0] / 2)


def test_who_hears_nothing_takes_no_blocks(world):
    weak = np.full((1, world.num_users), 1e-11, dtype=F32)
    outcome = evaluate(world, _alone(world, signal_mw=weak, total_mw=lambda a: weak * a[:, :1]), iterations=0)
    assert outcome.sinr_db[0, 0] < link.MIN_SINR_DB
    assert outcome.load[0, 0] == 0.0


def test_alone_a_packet_waits_for_air_interface_and_transport_only(world):
    user = _of_slice(world, URLLC)[:1]
    demand = np.zeros((1, world.num_users), dtype=F32)
    demand[0, user] = 1e5
    outcome = evaluate(world, _alone(world, user, demand_bps=demand), iterations=0)
    way_ms = world.transport.carry(np.full((1, world.num_cells), 1e5)).delay_ms[0, 0]
    assert outcome.delay_ms[0, user[0]] == pytest.approx(1.6 + 0.404 + way_ms, abs=0.1)
    # Late are at most the packets that need two repetitions.
    assert outcome.late[0, user[0]] <= HARQ_ATTEMPTS[2] * 1.01
    assert np.isnan(outcome.late[0, _of_slice(world, EMBB)[0]])


def _crowded(world, *, urllc_bps=1e6, **changes):
    """Return eMBB and URLLC users of cell 0 who want about three times what it has."""
    embb, urllc = _of_slice(world, EMBB)[:30], _of_slice(world, URLLC)[:3]
    demand = np.zeros((1, world.num_users), dtype=F32)
    demand[0, embb], demand[0, urllc] = 200e6, urllc_bps
    kernel = changes.pop("kernel", None)
    moment = _alone(world, np.concatenate([embb, urllc]), demand_bps=demand, **changes)
    return evaluate(world, moment, iterations=20, kernel=kernel), embb, urllc


def test_overload_makes_packets_late_and_overflows_buffers(world):
    outcome, embb, urllc = _crowded(world, urllc_bps=80e6)
    assert outcome.load[0, 0] == pytest.approx(1.0, abs=1e-5)
    assert outcome.late[0, urllc].min() > 0.1
    assert outcome.delay_ms[0, embb].min() > 100.0
    cell = {name: float(_column(outcome.cells, name)[0, 0]) for name in CELL_FEATURES}
    passed = float(world.transport.carry(np.full((1, world.num_cells), 0.0)).passed_share[0, 0])
    # What does not fit is lost: what is offered is carried or dropped.
    assert cell["offered_bits"] == pytest.approx(cell["bits"] / passed + cell["dropped_bits"], rel=0.02)
    assert cell["dropped_bits"] > 0.2 * cell["offered_bits"]


def test_a_lightly_loaded_cell_loses_nothing(world):
    outcome = evaluate(world, _alone(world, _of_slice(world, EMBB)[:3]), iterations=0)
    assert _column(outcome.cells, "dropped_bits").sum() == 0.0
    assert _column(outcome.cells, "offered_bits").sum() == pytest.approx(30e6, rel=1e-4)


def test_dedicated_blocks_keep_a_slice_on_time_while_another_is_overloaded(world):
    shape = (world.num_cells, len(world.scenario.slices))
    dedicated = np.zeros(shape)
    dedicated[:, URLLC] = 0.2
    kept, _, urllc = _crowded(
        world, urllc_bps=25e6, pools=pools(least=dedicated, most=np.ones(shape), dedicated=dedicated)
    )
    shared, _, _ = _crowded(world, urllc_bps=25e6)
    assert kept.late[0, urllc].max() < 0.005
    assert shared.late[0, urllc].min() > 0.1
    assert kept.granted[0, 0, EMBB] == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize("urllc_bps", [1e6, 25e6])
@pytest.mark.parametrize("kernel", ["numpy", "numba"])
def test_a_minimum_beyond_its_need_serves_a_slice_as_well_as_dedicated_blocks(world, urllc_bps, kernel):
    if kernel == "numba":
        pytest.importorskip("numba")
    shape = (world.num_cells, len(world.scenario.slices))
    share, nothing = np.zeros(shape), np.zeros(shape)
    share[:, URLLC] = 0.2
    asked = {"urllc_bps": urllc_bps, "kernel": kernels.load(kernel)}
    least, _, urllc = _crowded(world, pools=pools(least=share, most=np.ones(shape), dedicated=nothing), **asked)
    kept, _, _ = _crowded(world, pools=pools(least=share, most=np.ones(shape), dedicated=share), **asked)
    # The minimum lends what it does not need: the eMBB users of the cell get more than beside dedicated blocks.
    assert least.granted[0, 0, EMBB] >= kept.granted[0, 0, EMBB] > 0.7
    np.testing.assert_allclose(least.delay_ms[0, urllc], kept.delay_ms[0, urllc], rtol=0.05)
    assert least.late[0, urllc].max() < 0.005


def test_small_users_of_a_full_cell_are_served_at_once_as_proportional_fair_does(world):
    full, _, urllc = _crowded(world)
    assert full.load[0, 0] == pytest.approx(1.0, abs=1e-5)
    assert full.delay_ms[0, urllc].max() < 5.0
    assert full.late[0, urllc].max() < 0.005


@pytest.mark.parametrize("urllc_bps", [1e6, 30e6, 80e6])
def test_no_slice_carries_and_drops_more_than_it_was_offered(world, urllc_bps):
    outcome, _, _ = _crowded(world, urllc_bps=urllc_bps)
    for demand_bps in (1e6, 4e6, 8e6, 2e7):
        for one in (outcome, evaluate(world, _random(world, demand_bps=demand_bps), iterations=6)):
            sums = {name: _column(one.slices, name, SLICE_FEATURES) for name in SLICE_FEATURES}
            assert (sums["bits"] + sums["dropped_bits"] <= sums["offered_bits"] * (1.0 + 1e-5)).all()


def test_delay_in_the_cell_is_the_whole_way_less_the_transport_network(world):
    outcome = evaluate(world, _random(world, demand_bps=1e6), iterations=6)
    whole, air, bits = (_column(outcome.cells, name)[0] for name in ("bit_delay", "bit_air_delay", "bits"))
    way_ms = world.transport.carry(_column(outcome.cells, "bits")).delay_ms[0]
    np.testing.assert_allclose((whole - air) / bits, way_ms, rtol=0.02, atol=0.01)
    assert way_ms.max() > 0.1


def test_rate_is_that_of_the_symbols_of_the_downlink(world):
    """273 PRBs at 30 kHz are 91.7 million symbols a second; three slots of four are downlink at 3.5 GHz."""
    assert world.carriers.rate_hz[0] == pytest.approx(12 * 273 * 28_000 * 0.75)
    paired = Carriers(
        bandwidth_hz=np.full(world.num_cells, 20e6),
        idle=world.carriers.idle,
        carrier_hz=np.full(world.num_cells, 1.8e9),
    )
    assert paired.rate_hz[0] == pytest.approx(12 * 51 * 28_000)


def test_blocks_in_use_are_those_that_carry_data_and_sensing_takes_from_them(world):
    sensing = Carriers(
        bandwidth_hz=world.bandwidth_hz, idle=(world.carriers.idle + F32(0.3)), carrier_hz=_carrier_hz(world)
    )
    usual, less = (evaluate(world, _alone(world, carriers=one), iterations=0) for one in (None, sensing))
    for one, left in ((usual, 0.95), (less, 0.65)):
        available = _column(one.cells, "prbs")[0, 0]
        assert available == pytest.approx(273 * left)
        used = _column(one.cells, "share")[0, 0] * available
        # Slices tell the mean of all cells; the others are idle.
        assert used == pytest.approx(_column(one.slices, "prbs", SLICE_FEATURES).sum() * world.num_cells, rel=1e-5)
        # One block carries the same whatever is done beside it.
        assert _column(one.cells, "bits")[0, 0] / used == pytest.approx(
            _column(usual.cells, "bits")[0, 0] / _column(usual.cells, "share")[0, 0] / (273 * 0.95), rel=1e-4
        )


def test_a_cap_leaves_the_other_blocks_idle(world):
    shape = (world.num_cells, len(world.scenario.slices))
    most = np.ones(shape)
    most[:, EMBB] = 0.3
    capped, embb, _ = _crowded(world, pools=pools(least=np.zeros(shape), most=most, dedicated=np.zeros(shape)))
    shared, _, _ = _crowded(world)
    assert capped.granted[0, 0, EMBB] == pytest.approx(0.3, abs=1e-4)
    assert capped.load[0, 0] < 0.4
    assert capped.throughput_bps[0, embb].max() < 0.5 * shared.throughput_bps[0, embb].min()


def test_more_frequent_ssb_cost_power_and_capacity(world):
    seldom, often = (
        Carriers(bandwidth_hz=world.bandwidth_hz, idle=idle_activity(np.full(world.num_cells, period)))
        for period in (160.0, 5.0)
    )
    assert idle_activity(np.array([20.0])) == pytest.approx([0.05])
    few, many = (evaluate(world, _alone(world, carriers=one), iterations=0) for one in (seldom, often))
    assert (_column(many.cells, "energy_j") > _column(few.cells, "energy_j")).all()
    assert many.throughput_bps[0, 0] < 0.9 * few.throughput_bps[0, 0]


def test_a_narrower_carrier_has_fewer_blocks_less_noise_and_less_rate(world):
    narrow = Carriers(
        bandwidth_hz=np.full(world.num_cells, 20e6), idle=world.carriers.idle, carrier_hz=_carrier_hz(world)
    )
    wide, slow = (evaluate(world, _alone(world, carriers=one), iterations=0) for one in (None, narrow))
    assert _column(slow.cells, "prbs")[0, 0] == pytest.approx(51 * 0.95)
    assert slow.sinr_db[0, 0] - wide.sinr_db[0, 0] == pytest.approx(10 * np.log10(5), abs=0.01)
    assert 0.2 < slow.throughput_bps[0, 0] / wide.throughput_bps[0, 0] < 0.5


def test_energy_is_that_of_the_model_at_the_power_radiated(world):
    outcome, _, _ = _crowded(world)
    drawn = _column(outcome.cells, "energy_j")[0]
    idle_w = float(world.power.idle_w[0])
    assert drawn[0] == pytest.approx(idle_w + 4.7 * 40.0, rel=1e-4)
    assert drawn[1] == pytest.approx(idle_w + 4.7 * 40.0 * 0.05, rel=1e-4)
    asleep = np.ones(world.num_cells, dtype=bool)
    asleep[1] = False
    outcome, _, _ = _crowded(world, awake=asleep)
    assert _column(outcome.cells, "energy_j")[0, 1] == pytest.approx(float(world.power.sleep_w[1]))
    assert _column(outcome.cells, "prbs")[0, :2] == pytest.approx([273.0 * 0.95, 0.0])
