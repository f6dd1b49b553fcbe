"""Files of the Milan grid, right and wrong ones."""

from __future__ import annotations

import gzip
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from twin import traffic
from twin.entities import LandUse
from twin.errors import ScenarioError
from twin.people import People
from twin_app.scenarios import build_scenario
from twin_app.scenarios.milan import read_milan
from twin_app.scenarios.spec import ScenarioSpec
from twin_app.scenarios.store import load_scenario, save_scenario

ROME = ZoneInfo("Europe/Rome")
MONDAY = datetime(2013, 11, 4, tzinfo=ROME)


def _lines(day, square, level, *, country=39):
    """A day of one square whose activity is `level(hour)`."""
    start_ms = int(MONDAY.timestamp() * 1000) + day * 86_400_000
    return "".join(
        f"{square}\t{start_ms + bin_ * 600_000}\t{country}\t0.1\t\t0.05\t\t{level(bin_ / 6):.6f}\n"
        for bin_ in range(144)
    )


def noon(hour):
    return 1.0 + 9.0 * np.exp(-(((hour - 12.0) / 3.0) ** 2))


def evening(hour):
    return 1.0 + 4.0 * np.exp(-(((hour - 20.0) / 2.0) ** 2))


@pytest.fixture
def week(tmp_path):
    """A working week of two squares, the second day packed."""
    paths = []
    for day in range(5):
        text = _lines(day, 4259, noon) + _lines(day, 5060, evening)
        path = tmp_path / (f"day{day}.txt.gz" if day == 1 else f"day{day}.txt")
        path.write_bytes(gzip.compress(text.encode()) if day == 1 else text.encode())
        paths.append(path)
    return paths


def test_activity_comes_back_by_square_and_bin_of_the_week(week):
    grid = read_milan(week)
    assert grid.square.tolist() == [4259, 5060]
    assert grid.week[0, 12 * 6] == pytest.approx(10.0, abs=1e-4)
    assert grid.week[1, 144 + 20 * 6] == pytest.approx(5.0, abs=1e-4)
    assert np.isfinite(grid.week[0]).sum() == 5 * 144


def test_a_profile_is_a_share_of_its_busiest_bin_and_fills_the_weekend(week):
    profile = read_milan(week).profile([4259])
    assert profile.max() == 1.0
    assert profile[6 * 144 + 12 * 6] == pytest.approx(1.0, abs=1e-3)
    assert profile[3 * 144 + 9 * 6] == pytest.approx(noon(9) / noon(12), abs=1e-3)


def test_squares_become_curves_of_land_uses_that_drive_the_traffic_model(week):
    curves = read_milan(week).curves({LandUse.OFFICE: [4259], LandUse.RESIDENTIAL: [5060]})
    use = list(LandUse)
    model = traffic.MeasuredTraffic(
        curves, np.array([use.index(LandUse.OFFICE), use.index(LandUse.RESIDENTIAL), traffic.FLAT])
    )
    at_noon, at_eight = model.share(np.zeros(2), np.array([12 * 3600.0, 20 * 3600.0]))
    assert at_noon == pytest.approx([1.0, evening(12) / evening(20), 1.0], abs=0.02)
    assert at_eight == pytest.approx([noon(20) / noon(12), 1.0, 1.0], abs=0.01)


def test_countries_and_weeks_are_put_together(tmp_path):
    path = tmp_path / "two.txt"
    later = _lines(7, 7, lambda _: 3.0)
    path.write_text(_lines(0, 7, lambda _: 1.0) + _lines(0, 7, lambda _: 0.5, country=33) + later)
    grid = read_milan([path])
    assert grid.week[0, :144] == pytest.approx((1.5 + 3.0) / 2)


def test_a_measured_square_can_be_replayed(week):
    weeks = traffic.WeekCurves(read_milan(week).profile([5060])[None].astype(np.float32))
    model = traffic.MeasuredTraffic(weeks, np.zeros(3, dtype=np.int64))
    share = model.share(np.zeros(1), np.array([2 * 86_400 + 20 * 3600.0]))
    assert share == pytest.approx(np.ones((1, 3)), abs=1e-3)


GOOD = f"1\t{int(MONDAY.timestamp() * 1000)}\t39\t\t\t\t\t1.5"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,1383260400000,39", ["`1` fields", "tab separated"]),
        (GOOD + "\t1", ["`9` fields"]),
        (GOOD.replace("1\t", "one\t", 1), ["`one`"]),
        (GOOD.replace("1\t", "10001\t", 1), ["`10001`", "10000"]),
        (GOOD.replace("1.5", "much"), ["`much`"]),
        (GOOD.replace("1.5", "-1.5"), ["`-1.5`"]),
        (GOOD.replace("1.5", "nan"), ["`nan`"]),
        ("1\t999999999999999999\t39\t\t\t\t\t1", ["`999999999999999999`", "milliseconds"]),
        ("1\t\u20ac\t39", ["no text"]),
    ],
)
def test_a_wrong_line_is_refused_by_file_and_number(tmp_path, line, words):
    path = tmp_path / "bad.txt"
    path.write_text(f"{GOOD}\n{line}\n", encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        read_milan([path])
    for word in ["bad.txt", "line 2", *words]:
        assert word in str(caught.value)


def test_a_square_that_was_not_measured_is_refused(week):
    with pytest.raises(ScenarioError, match=r"`42`.*2 squares from `4259` to `5060`"):
        read_milan(week).profile([42])


def test_less_than_a_day_makes_no_curve(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text(GOOD + "\n")
    with pytest.raises(ScenarioError, match="`1` bins"):
        read_milan([path]).profile([1])


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "empty.txt"
    path.touch()
    with pytest.raises(ScenarioError, match="no line"):
        read_milan([path])


def test_a_scenario_file_names_files_and_squares(week, tmp_path):
    path = tmp_path / "city.yaml"
    names = ", ".join(one.name for one in week)
    path.write_text(f"ues: 30\ndemand:\n  milan: [{names}]\n  squares: {{office: [4259], residential: [5060]}}\n")
    scenario = build_scenario(ScenarioSpec(scenario=path))
    office, residential = (
        scenario.demand_curves[list(LandUse).index(use)] for use in (LandUse.OFFICE, LandUse.RESIDENTIAL)
    )
    assert office.argmax() % 144 == 12 * 6
    assert residential.argmax() % 144 == 20 * 6
    save_scenario(scenario, tmp_path / "scenario.npz")
    np.testing.assert_array_equal(load_scenario(tmp_path / "scenario.npz").demand_curves, scenario.demand_curves)
    people = People(scenario, rng=np.random.default_rng(1), walls=np.random.default_rng(2))
    assert isinstance(people.traffic, traffic.MeasuredTraffic)
    eight = people.demand_share(np.zeros(1), np.array([20 * 3600.0]))[0][0] / people.busy_duty
    home = np.array([ue.land_use == LandUse.RESIDENTIAL and ue.group != "machine" for ue in scenario.ues])
    assert eight[home] == pytest.approx(np.ones(home.sum()), abs=0.01)


def test_other_content_of_the_files_makes_another_city(week, tmp_path):
    path = tmp_path / "city.yaml"
    path.write_text(f"ues: 1\ndemand: {{milan: [{week[0].name}]}}\n")
    first = build_scenario(ScenarioSpec(scenario=path)).digest
    assert build_scenario(ScenarioSpec(scenario=path)).digest == first
    week[0].write_text(_lines(0, 4259, evening))
    assert build_scenario(ScenarioSpec(scenario=path)).digest != first


@pytest.mark.usefixtures("week")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("demand: {squares: {office: [1]}}", ["line 1", "`milan`"]),
        ("demand: {month_gb: 0}", ["line 1", "month_gb"]),
        ("demand: {milan: [none.txt]}", ["none.txt"]),
        ("demand: {milan: [day0.txt], squares: {moon: [1]}}", ["line 1", "moon"]),
        ("demand: {milan: [day0.txt], squares: {office: [10001]}}", ["line 1", "10001"]),
        ("demand: {milan: [day0.txt], squares: {office: [42]}}", ["`42`"]),
    ],
)
def test_a_wrong_demand_section_is_refused(tmp_path, text, words):
    path = tmp_path / "city.yaml"
    path.write_text(text + "\nues: 1\n")
    with pytest.raises(ScenarioError) as caught:
        build_scenario(ScenarioSpec(scenario=path))
    for word in words:
        assert word in str(caught.value)
