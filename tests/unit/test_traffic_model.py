"""Demand: the shipped fits can be repeated, and the model draws from them."""

from __future__ import annotations

import csv
import importlib.util
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from twin import traffic
from twin.clock import CivilTime
from twin.entities import LandUse
from twin.errors import OutOfRange
from twin.scheduler import BUDGET_MS_BY_SST, BURST_BIT_BY_SST
from twin.setup_failures import FailureModel, Window, coverage_failure, percent
from twin.traffic.applications import MAX_DURATION_S, application_code, applications
from twin.traffic.groups import profiles
from twin_app.scenarios.population import SLICES

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
LUXEMBOURG = CivilTime(epoch=datetime(2026, 11, 16, 0, 0, tzinfo=UTC), timezone="Europe/Luxembourg")


def _tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _shipped(name):
    return json.loads((ROOT / "twin" / "data" / name).read_text())


def test_daily_curves_can_be_fitted_again():
    assert _tool("fit_daily_curves").fit(DATA / "mob_traffic" / "traffic_normal.csv") == _shipped("daily_curves.json")


def test_sessions_can_be_fitted_again():
    assert _tool("fit_sessions").fit(DATA / "ucc5g" / "bursts.csv") == _shipped("sessions.json")


def test_the_page_on_traffic_shows_the_figures_that_ship():
    page = (ROOT / "docs" / "traffic.md").read_text(encoding="utf-8")
    assert _tool("fit_tables").filled(page) == page


def test_failure_rates_can_be_fitted_again():
    assert _tool("fit_failure_rates").fit(DATA / "lte_oss_kpi") == _shipped("failure_rates.json")


def test_every_daily_curve_is_close_to_its_measurement():
    for days in _shipped("daily_curves.json")["curves"].values():
        assert max(row["residual_rms"] for row in days.values()) < 0.05


def test_no_measured_file_ships_in_the_package():
    assert {path.suffix for path in (ROOT / "twin" / "data").iterdir()} == {".json"}


def _activity(weekday, hour, land_use):
    second = np.array([weekday * traffic.DAY_S + hour * 3600.0])
    return float(traffic.activity(second)[0, list(LandUse).index(land_use)])


@pytest.mark.parametrize("land_use", list(LandUse))
def test_generated_volume_has_the_measured_shape(land_use):
    """A Wednesday of 4,000 residents with their sessions, against the measured curve, every ten minutes."""
    with (DATA / "mob_traffic" / "traffic_normal.csv").open(newline="") as file:
        measured = np.array([float(row[f"thp_wed_xu17_{land_use.value}"]) for row in csv.DictReader(file)])
    week_second = 2 * traffic.DAY_S + np.arange(144) * 600.0
    share = traffic.activity(week_second)[:, [list(LandUse).index(land_use)] * 4000]
    model, profile = traffic.SessionModel(), np.zeros(4000, dtype=np.int64)
    duty = traffic.duty_of(np.full(4000, 0.45, dtype=np.float32), share)
    volume = model.sample(duty, profile, np.random.default_rng(9)).mean(axis=1)
    apart = volume / (0.45 * model.mean_rate_bps[0]) - measured
    fit = _shipped("daily_curves.json")["curves"][land_use.value]["wed"]["residual_rms"]
    assert np.sqrt(np.mean(apart**2)) < fit + 0.04
    assert apart.mean() == pytest.approx(0.0, abs=0.02)


def test_offices_are_busy_at_noon_and_quiet_at_four_and_on_sunday():
    noon, night = _activity(2, 12, LandUse.OFFICE), _activity(2, 4, LandUse.OFFICE)
    assert noon > 0.9
    assert night < 0.12
    assert _activity(6, 12, LandUse.OFFICE) < 0.8 * noon


def test_stations_peak_in_the_morning_and_in_the_evening():
    morning, noon, evening = (_activity(2, hour, LandUse.TRANSPORT) for hour in (7.5, 12, 17.5))
    assert min(morning, evening) > noon


def test_homes_peak_in_the_evening():
    assert _activity(2, 22, LandUse.RESIDENTIAL) > _activity(2, 10, LandUse.RESIDENTIAL)


def test_activity_is_a_share_without_jumps():
    table = traffic.activity(np.arange(0, traffic.WEEK_S, 60.0))
    assert 0.0 < table.min()
    assert table.max() <= 1.0
    assert np.abs(np.diff(table, axis=0)).max() < 0.02


def test_the_week_goes_by_local_time():
    noon = LUXEMBOURG.sim_time_s(datetime(2026, 11, 17, 12, 0))  # noqa: DTZ001
    assert traffic.second_of_week(LUXEMBOURG, np.array([noon]))[0] == traffic.DAY_S + 12 * 3600


def test_curves_of_machines_keep_no_hours():
    assert set(traffic.activity(np.arange(0, traffic.WEEK_S, 3600.0))[:, traffic.FLAT]) == {1.0}


def test_the_busy_hour_holds_about_seven_per_cent_of_the_day():
    """An evenly spread day has 4.2 %; a day with one busy hour in eight 12.5 %."""
    for land_use in LandUse:
        assert 0.05 < traffic.busy_hour_share(land_use) < 0.125


NOISE = _shipped("daily_curves.json")["noise"]


def test_noise_has_the_fitted_memory():
    drift = traffic.Drift(20_000, memory_s=NOISE["memory_s"], rng=np.random.default_rng(2))
    lags = np.array([0.0, 600.0, 1200.0, 3600.0, 5 * NOISE["memory_s"]])
    state = drift.at(12_345.0 + lags)
    assert state.std(axis=1) == pytest.approx(1.0, abs=0.03)
    found = [float(np.corrcoef(state[0], later)[0, 1]) for later in state]
    assert found == pytest.approx(np.exp(-lags / NOISE["memory_s"]), abs=0.03)


def test_noise_remembers_only_through_the_present():
    """First-order: given now, the past says nothing more about the future."""
    drift = traffic.Drift(40_000, memory_s=1000.0, rng=np.random.default_rng(6))
    before, now, after = drift.at(np.array([0.0, 500.0, 1000.0])).astype(float)
    both = np.linalg.lstsq(np.stack([now, before], axis=1), after, rcond=None)[0]
    assert both == pytest.approx([np.exp(-0.5), 0.0], abs=0.03)


def test_noise_is_a_function_of_time_alone():
    one, other = (traffic.Drift(20, memory_s=600.0, rng=np.random.default_rng(3)) for _ in range(2))
    one.at(np.arange(-50_000.0, 0.0, 600.0))
    np.testing.assert_array_equal(one.at(np.array([-7_777.0])), other.at(np.array([-7_777.0])))


def test_noise_is_continuous():
    state = traffic.Drift(500, memory_s=600.0, rng=np.random.default_rng(3)).at(np.arange(0.0, 1200.0, 0.5))
    assert np.abs(np.diff(state, axis=0)).max() < 0.1


PROFILES = profiles()
ALL = np.arange(len(PROFILES.keys))


def _stepped(profile, duty, seed, ticks, dt_s=0.5):
    rng, model = np.random.default_rng(seed), traffic.SessionModel()
    sessions = traffic.Sessions(model, profile, duty, sim_time_s=0.0, rng=rng)
    yield sessions
    for tick in range(1, ticks + 1):
        sessions.step(tick * dt_s, dt_s, rng)
        yield sessions


@pytest.mark.parametrize("key", [("resident", 1), ("office-worker", 1), ("machine", 2), ("machine", 3)])
def test_a_ue_is_the_same_whether_stepped_or_sampled(key):
    """Share with data, rates and applications of UEs met at random moments, after half an hour of steps."""
    code = PROFILES.keys.index(key)
    profile = np.full(8000, code)
    duty = np.full(8000, 0.3, dtype=np.float32)
    for sessions in _stepped(profile, duty, 7, 3600):
        last = sessions
    sampled = traffic.SessionModel().sample(duty, profile, np.random.default_rng(8))
    assert last.on.mean() == pytest.approx((sampled > 0).mean(), abs=0.02)
    stepped, drawn = np.sort(last.rate_bps[last.on]), np.sort(sampled[sampled > 0])
    grid = np.unique(drawn)[:: max(len(np.unique(drawn)) // 200, 1)]
    apart = np.searchsorted(stepped, grid, "right") / len(stepped) - np.searchsorted(drawn, grid, "right") / len(drawn)
    # Two samples of about 2,400: at the 0.1 % level two samples of one law differ by less than 0.057.
    assert np.abs(apart).max() < 0.057


def test_a_new_network_begins_in_the_stationary_law():
    """The first moment and one an hour later are alike, in level and in how long bursts go on."""
    profile, duty = np.full(6000, 0), np.full(6000, 0.4, dtype=np.float32)
    seen = [(s.on.copy(), s.rate_bps.copy(), s.ends_at_s.copy()) for s in _stepped(profile, duty, 3, 1200)]
    (on, rate, ends), (on_later, rate_later, ends_later) = seen[0], seen[-1]
    assert on.mean() == pytest.approx(on_later.mean(), abs=0.03)
    assert rate[on].mean() == pytest.approx(rate_later[on_later].mean(), rel=0.08)
    left, left_later = np.sort(ends[on]), np.sort(ends_later[on_later] - 600.0)
    assert np.median(left) == pytest.approx(np.median(left_later), rel=0.15)
    assert left.mean() == pytest.approx(left_later.mean(), rel=0.15)


def test_mean_rates_are_those_of_the_draws():
    model, rng = traffic.SessionModel(), np.random.default_rng(5)
    for code in ALL:
        profile = np.full(60_000, code)
        _, rate, _ = model.met(profile, rng)
        assert rate.mean() == pytest.approx(model.mean_rate_bps[code], rel=0.02)
        length, _, _ = model.start(profile, rng)
        assert length.mean() == pytest.approx(model.mean_on_s[code], rel=0.05)


def test_silences_shorten_when_duty_rises():
    profile, rng = np.full(4000, 0), np.random.default_rng(1)
    duty = np.full(4000, 0.1, dtype=np.float32)
    sessions = traffic.Sessions(traffic.SessionModel(), profile, duty, sim_time_s=0.0, rng=rng)
    before = sessions.on.mean()
    sessions.listen(5 * duty)
    for tick in range(1, 1201):
        sessions.step(tick * 0.5, 0.5, rng)
    assert sessions.on.mean() == pytest.approx(0.5, abs=0.04) != before


def test_session_volumes_are_heavy_tailed():
    duration, rate, _ = traffic.SessionModel().start(np.zeros(50_000, dtype=np.int64), np.random.default_rng(1))
    volume = np.sort(duration * rate)[::-1]
    assert volume[:5_000].sum() > 0.5 * volume.sum()


def test_bursts_drawn_are_as_far_from_the_traces_as_the_fit_says():
    """Kolmogorov-Smirnov distance of 50,000 drawn lengths, up to the cap, to the measured ones."""
    with (DATA / "ucc5g" / "bursts.csv").open(newline="") as file:
        measured = np.array([float(r["duration_s"]) for r in csv.DictReader(file) if r["application"] == "video"])
    code = application_code("video")
    share = np.zeros((1, len(applications())))
    share[0, code] = 1.0
    only_video = replace(PROFILES, keys=(("viewer", 1),), time_share=share)
    length, _, which = traffic.SessionModel(only_video).start(
        np.zeros(50_000, dtype=np.int64), np.random.default_rng(4)
    )
    assert set(which) == {code}
    grid = np.arange(1, MAX_DURATION_S)
    drawn, seen = (np.searchsorted(np.sort(one), grid, "right") / len(one) for one in (length, measured))
    fit = _shipped("sessions.json")["applications"]["video"]["ks"]["duration"]
    assert np.abs(drawn - seen).max() == pytest.approx(fit, abs=0.01)


def test_the_mixture_is_closer_to_the_traces_than_one_lognormal():
    for row in _shipped("sessions.json")["applications"].values():
        assert row["ks"]["duration"] < min(row["ks"]["duration_single"], 0.06)
        assert row["ks"]["rate"] < min(row["ks"]["rate_single"], 0.09)


def test_the_page_tells_how_badly_a_fit_tells_a_trace_left_out():
    found = _tool("fit_sessions").held_out(DATA / "ucc5g" / "bursts.csv")
    video, download = found["video"], found["download"]
    page = " ".join((ROOT / "docs" / "traffic.md").read_text(encoding="utf-8").split())
    assert f"{video['traces']} of video and {download['traces']} of downloads" in page
    assert f"median KS {video['ks_duration']:.2f} (length) and {video['ks_rate']:.2f} (rate) for video" in page
    assert f"{download['ks_duration']:.2f} and {download['ks_rate']:.2f} for downloads" in page


def test_every_application_is_carried_by_a_known_slice_type():
    assert {one.sst for one in applications()} == {part.sst for part in SLICES}


def test_the_scheduler_waits_for_what_the_applications_send():
    """Bursts and budget of a slice are those of what it mostly carries."""
    video, control = (applications()[application_code(name)] for name in ("video", "control"))
    assert (BURST_BIT_BY_SST[1], BURST_BIT_BY_SST[2]) == (video.burst_bit, control.burst_bit)
    assert BUDGET_MS_BY_SST[2] == control.delay_budget_ms


def test_xr_asks_for_thirty_to_sixty_megabits_in_frames():
    xr = applications()[application_code("xr")]
    assert xr.rate_range_bps == (30e6, 60e6)
    mean_bps = traffic.SessionModel().mean_application_bps[application_code("xr")]
    assert 30e6 < mean_bps < 60e6
    assert mean_bps / xr.burst_bit == pytest.approx(60, rel=0.1)


def test_a_meter_reports_ten_bytes_a_minute():
    code = PROFILES.keys.index(("machine", 3))
    per_minute_bit = 60 * PROFILES.busy_duty[code] * traffic.SessionModel().mean_rate_bps[code]
    assert per_minute_bit == pytest.approx(80.0, rel=0.05)


@pytest.mark.parametrize(("ues", "most_s"), [(30, 30e-6), (5000, 0.3e-3)])
def test_a_tick_of_sessions_is_cheap(ues, most_s):
    """CPU time, best of five: a machine that is busy with others only makes it longer."""
    profile = np.arange(ues) % len(PROFILES.keys)
    duty = np.full(ues, 0.3, dtype=np.float32)
    rng = np.random.default_rng(1)
    sessions = traffic.Sessions(traffic.SessionModel(), profile, duty, sim_time_s=0.0, rng=rng)
    best = np.inf
    for turn in range(5):
        begin = time.process_time()
        for tick in range(1, 201):
            sessions.step(20.0 * turn + 0.1 * tick, 0.1, rng)
        best = min(best, (time.process_time() - begin) / 200)
    assert best < most_s


def _park(**changes):
    given = {"place_m": (0.0, 0.0), "radius_m": 100.0, "start_s": 60.0, "ramp_s": 30.0, "duration_s": 300.0}
    return traffic.FlashCrowd(**{**given, "factor": 5.0, **changes})


@pytest.mark.parametrize(
    ("time_s", "factor"), [(59.0, 1.0), (60.0, 1.0), (75.0, 3.0), (90.0, 5.0), (330.0, 5.0), (345.0, 3.0), (361.0, 1.0)]
)
def test_a_crowd_comes_stays_and_leaves(time_s, factor):
    here = np.zeros((1, 2), dtype=np.float32)
    assert traffic.demand_factor([_park()], here, time_s) == pytest.approx([factor])


def test_a_crowd_is_felt_where_it_is():
    points = np.array([[0, 0], [99, 0], [0, 125], [200, 0]], dtype=np.float32)
    assert traffic.demand_factor([_park()], points, 200.0) == pytest.approx([5.0, 5.0, 3.0, 1.0])


def test_two_crowds_at_one_place_multiply():
    here = np.zeros((1, 2), dtype=np.float32)
    assert traffic.demand_factor([_park(), _park(factor=2.0)], here, 200.0) == pytest.approx([10.0])


@pytest.mark.parametrize("wrong", [{"radius_m": 0.0}, {"factor": -1.0}, {"ramp_s": 151.0}, {"factor": float("nan")}])
def test_a_crowd_that_cannot_be_is_refused(wrong):
    with pytest.raises(OutOfRange, match="`"):
        _park(**wrong)


def test_demand_beyond_the_busy_hour_never_fills_all_time():
    duty = traffic.duty_of(np.full(5, 0.4, dtype=np.float32), np.array([0.0, 0.5, 1.0, 5.0, 1000.0], dtype=np.float32))
    assert duty == pytest.approx([0.0, 0.2, 0.4, 10 / 13, 0.98])


TIMES = np.array([-86_400.0, -60.0, 0.0, 3600.0])


def _parametric():
    return traffic.ParametricTraffic(
        np.array([0, 1, traffic.FLAT, 0, 1]), np.array([0, 1]), num_districts=2, rng=np.random.default_rng(1)
    )


def _measured():
    table = np.stack([np.linspace(0.1, 1.0, 1008), np.ones(1008)]).astype(np.float32)
    return traffic.MeasuredTraffic(traffic.WeekCurves(table), np.array([0, 1, 1, 0, 0]))


@pytest.mark.parametrize("make", [_parametric, _measured])
def test_a_traffic_model_tells_the_same_in_any_order(make):
    """What every :class:`twin.traffic.TrafficModel` promises."""
    week_second = TIMES % traffic.WEEK_S
    model: traffic.TrafficModel = make()
    together = model.share(TIMES, week_second)
    assert together.shape == (4, 5)
    assert together.dtype == np.float32
    assert (together > 0.0).all()
    for row in (2, 0, 3, 1):
        np.testing.assert_array_equal(make().share(TIMES[row : row + 1], week_second[row : row + 1])[0], together[row])


def test_measured_traffic_replays_its_week():
    share = _measured().share(TIMES, np.array([0.0, 600.0, 302_400.0, 604_200.0]))
    assert share[:, 0] == pytest.approx(np.linspace(0.1, 1.0, 1008)[[0, 1, 504, 1007]], abs=1e-4)


def test_failure_rates_lie_where_the_operator_measured_them():
    model = FailureModel(57, rng=np.random.default_rng(1))
    hours = np.arange(0, 7 * 24) * 3600.0
    for name in ("rrc", "drb"):
        found = 100.0 * np.median(model.probability(name, week_second=hours, sim_time_s=hours))
        assert found == pytest.approx(_shipped("failure_rates.json")["rates"][name]["median_percent"], rel=0.35)


def test_the_window_forgets_after_fifteen_minutes():
    window = Window(1, minute=0)
    window.add(0, np.array([100]), np.array([10]))
    window.add(14, np.array([100]), np.array([0]))
    assert window.percent() == pytest.approx([5.0])
    window.add(15, np.array([0]), np.array([0]))
    assert window.percent() == pytest.approx([0.0])
    window.add(60, np.array([0]), np.array([0]))
    assert np.isnan(window.percent()).all()


def test_no_attempt_gives_no_rate():
    assert np.isnan(percent(np.array([0]), np.array([0])))[0]


def test_set_ups_fail_without_signal_only():
    found = coverage_failure(np.array([-90.0, -124.0, -140.0], dtype=np.float32))
    assert found == pytest.approx([0.0, 0.5, 1.0], abs=1e-4)
