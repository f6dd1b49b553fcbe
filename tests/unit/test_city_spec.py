"""Scenario files and precedence."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from twin.errors import ScenarioError
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.scenarios.spec import resolve


@pytest.fixture
def scenario_file(tmp_path):
    def written(text):
        path = tmp_path / "town.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_a_scenario_file_sets_name_zone_seed_and_ues(scenario_file):
    path = scenario_file("name: Lab\ntimezone: Europe/Luxembourg\nseed: 4\nues: 7\n")
    scenario = build_scenario(ScenarioSpec(scenario=path))
    assert (scenario.name, scenario.timezone, scenario.seed) == ("Lab", "Europe/Luxembourg", 4)
    assert len(scenario.ues) == 7


def test_cell_overrides_use_3gpp_names_and_units(scenario_file):
    path = scenario_file(
        "ues: 1\ncells:\n  cell-7-2: {digitalTilt: 60, configuredMaxTxPower: 19953, administrativeState: LOCKED}\n"
    )
    cells = {cell.id: cell for cell in build_scenario(ScenarioSpec(scenario=path)).cells}
    assert cells["cell-7-2"].tilt_deg == 6.0
    assert cells["cell-7-2"].tx_power_dbm == pytest.approx(43.0, abs=0.001)
    assert cells["cell-7-2"].administrative_state == "LOCKED"
    assert cells["cell-7-1"].administrative_state == "UNLOCKED"


def test_explicit_values_win_over_the_scenario_file(scenario_file):
    path = scenario_file("seed: 4\nues: 7\ncity: a.osm\narea: [0, 0, 10, 10]\nname: A\n")
    wanted = resolve(ScenarioSpec(scenario=path, seed=1, num_ues=9, city=(Path("b.osm"),)))
    assert (wanted.seed, wanted.num_ues, wanted.city) == (1, 9, (Path("b.osm"),))
    assert (wanted.area, wanted.name) == (None, "")


def test_paths_are_relative_to_the_scenario_file(scenario_file):
    path = scenario_file("city: [maps/a.osm, b.osm]\nsites: s.csv\n")
    wanted = resolve(ScenarioSpec(scenario=path))
    assert wanted.city == (path.parent / "maps/a.osm", path.parent / "b.osm")
    assert wanted.sites == path.parent / "s.csv"


def test_the_digest_ignores_paths_but_not_values(scenario_file, tmp_path):
    first = build_scenario(ScenarioSpec(scenario=scenario_file("ues: 1\ncells: {cell-1-1: {digitalTilt: 50}}\n")))
    (tmp_path / "other").mkdir()
    elsewhere = tmp_path / "other" / "x.yaml"
    elsewhere.write_text("# a comment\ncells: {cell-1-1: {digitalTilt: 50}}\nues: 1\n", encoding="utf-8")
    assert build_scenario(ScenarioSpec(scenario=elsewhere)).digest == first.digest
    elsewhere.write_text("cells: {cell-1-1: {digitalTilt: 51}}\nues: 1\n", encoding="utf-8")
    assert build_scenario(ScenarioSpec(scenario=elsewhere)).digest != first.digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: [1", r"town\.yaml`, line \d: this is not YAML"),
        ("just text", "must hold `key: value` lines"),
        ("", "must hold `key: value` lines"),
        ("sede: 1", "field `sede`"),
        ("seed: many", "field `seed`"),
        ("ues: -1", "field `ues`"),
        ("area: [0, 0, -5, 10]", r"field `area\.2`"),
        ("area: [0, 0, .inf, 10]", r"field `area\.2`"),
        ("timezone: Mars/Olympus", "field `timezone`.*no IANA time zone"),
        ("cells: {cell-1-1: {tilt: 5}}", r"field `cells`.*cell-1-1\.tilt: no such attribute"),
        ("cells: {cell-1-1: {digitalTilt: 600}}", r"cell-1-1\.digitalTilt.*from 0 to 15 deg"),
        ("cells: {cell-1-1: {administrativeState: OFF}}", "is one of LOCKED, UNLOCKED"),
        ("cells: {cell-99-1: {digitalTilt: 60}}", r"field `cells\.cell-99-1`: there is no such cell; this city has 57"),
        ("area: [0, 0, 10, 10]", "`area` crops a map, and there is none"),
        ("city: nowhere.osm", r"nowhere\.osm` cannot be read: No such file"),
    ],
)
def test_a_wrong_scenario_file_names_file_and_field(scenario_file, text, words):
    with pytest.raises(ScenarioError, match=words):
        build_scenario(ScenarioSpec(scenario=scenario_file(text), num_ues=1))


def test_yaml_cannot_make_python_objects(scenario_file):
    with pytest.raises(ScenarioError, match="this is not YAML"):
        build_scenario(ScenarioSpec(scenario=scenario_file("name: !!python/object/apply:os.getcwd []")))


def test_a_missing_scenario_file_is_named(tmp_path):
    with pytest.raises(ScenarioError, match=r"none\.yaml` cannot be read"):
        build_scenario(ScenarioSpec(scenario=tmp_path / "none.yaml"))


def test_a_spec_refuses_an_area_without_extent():
    with pytest.raises(ValidationError):
        ScenarioSpec(area=(0.0, 0.0, 0.0, 100.0))
