"""Demand: the shipped fits can be repeated, and the model draws from them."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from twin import traffic
from twin.clock import CivilTime
from twin.entities import LandUse
from twin.setup_failures import FailureModel, Window, coverage_failure, percent

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


def test_stepped_and_sampled_sessions_have_the_same_law():
    model, duty = traffic.SessionModel(), np.full(4000, 0.3, dtype=np.float32)
    rng = np.random.default_rng(7)
    sessions = traffic.Sessions(model, duty, rng=rng)
    shares, rates = [], []
    for step in range(1200):
        sessions.step(0.5, duty, rng)
        if step >= 400 and step % 50 == 0:
            shares.append(sessions.on.mean())
            rates.append(sessions.rate_bps[sessions.on].mean())
    on, rate = model.sample(np.full(60_000, 0.3, dtype=np.float32), rng)
    assert np.mean(shares) == pytest.approx(on.mean(), rel=0.08)
    assert np.mean(rates) == pytest.approx(rate[on].mean(), rel=0.08)


def test_session_volumes_are_heavy_tailed():
    duration, rate = traffic.SessionModel().start(50_000, np.random.default_rng(1))
    volume = np.sort(duration * rate)[::-1]
    assert volume[:5_000].sum() > 0.5 * volume.sum()


def test_drift_is_standard_normal_and_forgets():
    drift = traffic.Drift(5000, knot_s=600.0, rng=np.random.default_rng(2))
    now, soon, later = drift.at(np.array([1000.0, 1060.0, 4000.0]))
    assert float(now.std()) == pytest.approx(1.0, abs=0.05)
    assert float(np.corrcoef(now, soon)[0, 1]) > 0.95
    assert abs(float(np.corrcoef(now, later)[0, 1])) < 0.06


def test_drift_is_a_function_of_time_alone():
    one, other = (traffic.Drift(20, knot_s=600.0, rng=np.random.default_rng(3)) for _ in range(2))
    one.at(np.arange(-50_000.0, 0.0, 600.0))
    np.testing.assert_array_equal(one.at(np.array([-7_777.0])), other.at(np.array([-7_777.0])))


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
