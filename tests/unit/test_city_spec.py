"""Scenario files and precedence."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from twin.attributes import attributes_of
from twin.entities import Kind
from twin.errors import ScenarioError
from twin.faults import FAULTS
from twin.topology import topology_of
from twin_app.scenarios import ScenarioSpec, build_scenario
from twin_app.scenarios.assemble import assemble
from twin_app.scenarios.generated import generated_city, generated_sites
from twin_app.scenarios.spec import Carrier, FlashCrowd, InjectedFault, Panel, ScenarioFile, Target, resolve

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/scenario-file.md"
EXAMPLES = sorted((ROOT / "examples/scenarios").glob("*.yaml"))
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


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


FAULT = "fault: power-loss, entity: cell-1-1, at_s: 1"
EVENT = "name: A, radius_m: 50, at_s: 0, duration_s: 900, demand_factor: 3"
PANEL = "id: ris-1, position_m: [0, 0, 9], azimuth_deg: 90, columns: 8, rows: 8, cell: cell-1-1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: [1", r"town\.yaml`, line \d: this is not YAML"),
        ("just text", "must hold `key: value` lines"),
        ("", "must hold `key: value` lines"),
        ("7: 1", "line 1: a key is a name, not `7`"),
        ("seed: 1\nseed: 2", "line 2: the key `seed` stands here for the second time"),
        ("ues: 1\ncells: &a {}\nlinks: *a", "line 2: an alias"),
        ("name: !!int x", "line 1: `x` is no int"),
        ("sede: 1", "line 1, field `sede`: there is no such key; known: name, "),
        ("\nues: 3\nseed: many", "line 3, field `seed`: this is a whole number from 0 to .*, not `many`"),
        ("ues: -1", "field `ues`: this is a whole number from 0 to 200000, not `-1`"),
        ("ues: yes", "field `ues`.*not `True`"),
        ("ues: 2.5", "field `ues`.*not `2.5`"),
        (f"seed: 0x{'f' * 9000}", "field `seed`.*not `a number without end`"),
        ("area: [0, 0, -5, 10]", r"field `area\.2`: this should be greater than 0, not `-5`"),
        ("area: [0, 0, .inf, 10]", r"field `area\.2`"),
        ("timezone: Mars/Olympus", "field `timezone`.*no IANA time zone"),
        ("cells: 5", "field `cells`: this holds `id: {attribute: value}` lines, not `5`"),
        ("cells: {cell-1-1: 5}", r"field `cells\.cell-1-1`: this holds attributes, not `5`"),
        (
            "cells: {cell-1-1: {tilt: 5}}",
            r"field `cells\.cell-1-1\.tilt`: no such attribute here; known: digitalTilt, ",
        ),
        (
            "ues: 1\ncells:\n  cell-1-1:\n    digitalTilt: 600",
            r"line 4, field `cells\.cell-1-1\.digitalTilt`.*0 to 15 deg",
        ),
        ("cells: {cell-1-1: {digitalTilt: high}}", "`digitalTilt` is a number in 0.1 deg, not `high`"),
        ("cells: {cell-1-1: {digitalTilt: [60]}}", r"is a number in 0.1 deg, not `\[60\]`"),
        ("cells: {cell-1-1: {administrativeState: DOWN}}", "is one of LOCKED, SHUTTING DOWN, UNLOCKED, not `DOWN`"),
        ("cells: {cell-1-1: {timeToTrigger: 111}}", "`timeToTrigger` is one of 0, 40, .* ms; `111` is not"),
        (
            "\n\ncells: {cell-99-1: {digitalTilt: 60}}",
            r"line 3, field `cells\.cell-99-1`: there is no such cell; this city has 57",
        ),
        ("relations: {relation-1-1-1-1: {isHOAllowed: false}}", "no such relation"),
        ("relations: {relation-1-1-1-2: {cellIndividualOffset: 7}}", "is one of -24, -22, .*; `7` is not"),
        ("links: {link-99-1: {capacity_bps: 1e9}}", "no such link"),
        ("links: {link-agg-1: {capacity_bps: 0}}", "this is a number from 1e.06 to 1e.13 bit/s, not `0`"),
        ("links: {link-agg-1: {vsDataTransport.igpMetric: 0}}", "lies in 1..65535"),
        ("slices: {slice-gold: {rRMPolicyMinRatio: 1}}", "no such slice"),
        ("slices: {slice-embb: {share: 0.5}}", "`share` of all slices together is 1; `slice-urllc` has none"),
        ("slices: {slice-embb: {rRMPolicyMinRatio: 30, rRMPolicyMaxRatio: 20}}", "not `0`, `30`, `20`"),
        (
            "slices: {slice-embb: {rRMPolicyMinRatio: 70}, slice-urllc: {rRMPolicyMinRatio: 40}}",
            "100 % together at most, not `110`",
        ),
        ("policies: {policy-7-embb: {rRMPolicyMaxRatio: 101}}", r"lies in 0\.\.100 %; `101` does not"),
        (
            "faults: [{fault: earthquake, entity: cell-1-1, at_s: 1}]",
            r"field `faults\.0\.fault`: no fault is called `earthquake`; known",
        ),
        (
            "faults:\n- {" + FAULT + "}\n- {" + FAULT + ", severity: 2}",
            r"line 3, field `faults\.1\.severity`: this is a number from 0 to 1, not `2`",
        ),
        (
            "faults: [{" + FAULT + ", severity: {random: false}}]",
            r"field `faults\.0\.severity\.random`: this should be True",
        ),
        ("faults: [{" + FAULT + ", severity: {chance: 1}}]", "there is no such key; known: random"),
        ("faults: [{fault: power-loss, at_s: 1}]", r"field `faults\.0`: `entity` is missing"),
        ("faults: [{fault: power-loss, entity: cell-0-0, at_s: 1}]", "no entity has the id `cell-0-0`; name a cell"),
        ("faults: [{fault: power-loss, entity: site-1, at_s: 1}]", "`power-loss` befalls a cell; `site-1` is a site"),
        ("events: [{" + EVENT + "}]", "say either `place` or `position_m`"),
        ("events: [{" + EVENT + ", place: Atlantis}]", r"field `events\.0\.place`: no place is called `Atlantis`"),
        ("events: [{" + EVENT + ", place: Stadium, ramp_s: 600}]", "at least 1200 s, not `900`"),
        (
            "ris: [{" + PANEL + "}, {" + PANEL + "}]",
            r"field `ris\.1\.id`: the id `ris-1` stands here for the second time",
        ),
        ("ris: [{" + PANEL.replace("ris-1", "panel") + "}]", r"field `ris\.0\.id`"),
        ("ris: [{" + PANEL.replace("cell-1-1", "cell-0-0") + "}]", "there is no cell `cell-0-0`"),
        ("ris: [{" + PANEL + ", vsData6gRis.phaseProfileIndex: 999}]", r"phaseProfileIndex` lies in 0\.\.255"),
        ("ris: lots", "field `ris`: this is a whole number from 0 to 1000, not `lots`"),
        ("targets: [{id: target-1, path_m: [], rcs_m2: 1}]", r"field `targets\.0\.path_m`"),
        (
            "carriers: [{sites: all, carrier_hz: 3.5e9, bandwidth_hz: 20e6}]",
            "`site-1` has a carrier at `3.5e.09 Hz` already",
        ),
        (
            "carriers: [{sites: [site-99], carrier_hz: 10e9, bandwidth_hz: 20e6}]",
            r"field `carriers\.0\.sites\.0`: there is no site `site-99`",
        ),
        (
            "carriers: [{sites: RMa, carrier_hz: 10e9, bandwidth_hz: 20e6}]",
            r"field `carriers\.0\.sites`: this should be 'all', 'UMa' or 'UMi', not `RMa`",
        ),
        ("carriers: [{sites: all, carrier_hz: 10e9, bandwidth_hz: 33e6}]", "`bSChannelBwDL` is one of"),
        ("carriers: [{sites: all, carrier_hz: 1e6, bandwidth_hz: 20e6}]", "a number from 4.1e.08 to 1.75e.11 Hz"),
        ("carriers: [{carrier_hz: 10e9, bandwidth_hz: 20e6}]", "say either `sites` or `hot_spots`"),
        ("carriers: [{hot_spots: 2, carrier_hz: 10e9, bandwidth_hz: 20e6}]", "`hot_spots` have carriers from 100 GHz"),
        (
            "carriers: [{sites: all, carrier_hz: 10e9, bandwidth_hz: 20e6, environment: SubTHz}]",
            "does not go with `1e.10 Hz`",
        ),
        ("mobility: fcd", "field `mobility`.*belong together"),
        ("ues: 1\ntracks: a.xml", "line 2, field `tracks`: `mobility: fcd` and `tracks: FILE` belong together"),
        ("mobility: fcd\ntracks: a.xml", r"line 2, field `tracks`: there is no file `.*a\.xml`"),
        ("mobility: swim", "field `mobility`: this should be 'tours', 'random_waypoint' or 'fcd', not `swim`"),
        ("energy_model: perpetual", "field `energy_model`: this should be 'earth' or 'tr38864', not `perpetual`"),
        ("area: [0, 0, 10, 10]", "`area` crops a map, and there is none"),
        ("city: nowhere.osm", r"nowhere\.osm` cannot be read: No such file"),
    ],
)
def test_a_wrong_scenario_file_names_file_line_field_value_and_range(scenario_file, text, words):
    with pytest.raises(ScenarioError, match=words) as caught:
        build_scenario(ScenarioSpec(scenario=scenario_file(text), num_ues=1))
    assert "Value error" not in str(caught.value)


def test_nesting_without_end_is_told(scenario_file):
    with pytest.raises(ScenarioError, match="nested too deeply"):
        build_scenario(ScenarioSpec(scenario=scenario_file("cells: " + "[" * 20_000)))


def test_every_managed_attribute_can_be_set_and_reads_back(scenario_file):
    wanted = {
        "cells": ("cell-7-2", {"digitalTilt": 70, "digitalAzimuth": -50, "configuredMaxTxPower": 10_000,
            "coverageShape": 1, "bSChannelBwDL": 50, "arfcnDL": 640_000, "ssbPeriodicity": 40,
            "administrativeState": "LOCKED", "energySavingControl": "toBeEnergySaving", "nRPCI": 17, "qRxLevMin": -110,
            "a3Offset": 4, "hysteresis": 2, "timeToTrigger": 320, "vsData6gIsac.sensingDutyCycle": 10,
            "vsData6gApCluster.maxServingAps": 3}),
        "relations": ("relation-7-2-7-1", {"cellIndividualOffset": -3, "isHOAllowed": "false"}),
        "policies": ("policy-7-embb", {"rRMPolicyMinRatio": 20, "rRMPolicyMaxRatio": 60, "rRMPolicyDedicatedRatio": 9}),
        "links": ("link-agg-2", {"administrativeState": "LOCKED", "vsDataTransport.igpMetric": 77,
            "vsDataTransport.maxBitRate": 1234}),
    }  # fmt: skip
    path = scenario_file(yaml.safe_dump({"ues": 1} | {key: {one: value} for key, (one, value) in wanted.items()}))
    topology = topology_of(build_scenario(ScenarioSpec(scenario=path)))
    kinds = {"cells": Kind.CELL, "relations": Kind.RELATION, "policies": Kind.POLICY, "links": Kind.LINK}
    for section, (entity_id, values) in wanted.items():
        assert {row.name for row in attributes_of(kinds[section])} == set(values)
        assert topology.get(entity_id).attributes == values


def test_the_policy_of_a_site_wins_over_that_of_its_slice(scenario_file):
    path = scenario_file(
        "ues: 1\nslices: {slice-urllc: {rRMPolicyMinRatio: 10, rRMPolicyMaxRatio: 30}}\n"
        "policies: {policy-7-urllc: {rRMPolicyMinRatio: 20}}\n"
    )
    policies = {one.id: one for one in build_scenario(ScenarioSpec(scenario=path)).policies}
    assert len(policies) == 19
    assert (policies["policy-7-urllc"].min_percent, policies["policy-7-urllc"].max_percent) == (20.0, 30.0)
    assert (policies["policy-8-urllc"].min_percent, policies["policy-8-urllc"].max_percent) == (10.0, 30.0)


def test_shares_of_slices_hold_for_the_ues(scenario_file):
    path = scenario_file(
        "ues: 2000\nslices: {slice-embb: {share: 0.5}, slice-urllc: {share: 0.3}, slice-mmtc: {share: 0.2}}\n"
    )
    slices = [ue.slice_id for ue in build_scenario(ScenarioSpec(scenario=path)).ues]
    assert slices.count("slice-urllc") / 2000 == pytest.approx(0.3, abs=0.04)
    assert slices.count("slice-mmtc") / 2000 == pytest.approx(0.2, abs=0.04)


def test_a_second_and_a_third_carrier_stand_beside_the_sectors(scenario_file):
    path = scenario_file(
        "ues: 1\ncarriers:\n- {sites: all, carrier_hz: 10e9, bandwidth_hz: 200e6, configuredMaxTxPower: 10000}\n"
        "- {sites: [site-2], carrier_hz: 140e9, bandwidth_hz: 2e9, digitalTilt: 90}\n"
    )
    scenario = build_scenario(ScenarioSpec(scenario=path))
    cells = {cell.id: cell for cell in scenario.cells}
    assert len(cells) == len(scenario.cells) == 57 + 57 + 3
    assert len({cell.dn for cell in scenario.cells}) == len(cells)
    assert [cell.site_id for cell in scenario.cells] == sorted(
        (cell.site_id for cell in scenario.cells), key=lambda name: int(name.removeprefix("site-"))
    )
    assert cells["cell-2-4"].tx_power_dbm == pytest.approx(40.0)
    assert (cells["cell-2-8"].environment, cells["cell-2-8"].tilt_deg) == ("SubTHz", 9.0)
    assert [cells[f"cell-2-{n}"].azimuth_deg for n in (2, 5, 8)] == [cells["cell-2-2"].azimuth_deg] * 3
    related = {(one.source_id, one.target_id) for one in scenario.neighbours}
    assert ("cell-2-2", "cell-2-5") in related


def test_hot_spots_are_sites_of_their_own_with_a_backhaul(scenario_file):
    path = scenario_file("ues: 1\ncarriers: [{hot_spots: 3, carrier_hz: 140e9, bandwidth_hz: 2e9}]\n")
    scenario = build_scenario(ScenarioSpec(scenario=path))
    assert len(scenario.sites) == 22
    hot = [cell for cell in scenario.cells if cell.carrier_hz == 140e9]
    assert {cell.site_id for cell in hot} == {"site-20", "site-21", "site-22"}
    assert {link.a_id for link in scenario.links} >= {"site-20", "site-21", "site-22"}


def test_a_random_severity_has_its_own_seed_or_is_left_to_the_scenario(scenario_file):
    def severities(seed):
        text = (
            f"ues: 1\nseed: {seed}\nfaults:\n- {{{FAULT}, severity: {{random: true}}, seed: 3}}\n- {{{FAULT}}}\n"
            f"- {{{FAULT}, severity: {{random: true}}, seed: 4}}\n"
        )
        return [one.severity for one in build_scenario(ScenarioSpec(scenario=scenario_file(text))).faults]

    first, second, third = severities(1)
    assert second is None
    assert 0.0 <= first <= 1.0
    assert first != third
    assert severities(2) == [first, None, third]


TRACKS = '<fcd-export><timestep time="0"><vehicle id="v" x="5" y="6"/></timestep></fcd-export>'


def test_files_of_tracks_and_radio_map_count_by_content(scenario_file, tmp_path):
    (tmp_path / "a.xml").write_text(TRACKS, encoding="utf-8")
    (tmp_path / "b.xml").write_text(TRACKS, encoding="utf-8")

    def built(name):
        path = scenario_file(f"ues: 1\nmobility: fcd\ntracks: {name}\n")
        return build_scenario(ScenarioSpec(scenario=path))

    first = built("a.xml")
    assert first.tracks.where_m.tolist() == [[5.0, 6.0]]
    assert built("b.xml").digest == first.digest
    (tmp_path / "b.xml").write_text(TRACKS + "<!-- another -->", encoding="utf-8")
    assert built("b.xml").digest != first.digest


# The page and the examples.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with every file that the blocks of the page refer to."""
    place = tmp_path_factory.mktemp("page")
    for name in ("luxembourg.osm.gz", "luxembourg.poly.xml.gz"):
        shutil.copy(ROOT / "examples/cities/luxembourg" / name, place)
    (place / "sites.csv").write_text("id,lat,lon\na,49.6008,6.1238\nb,49.6030,6.1270\n", encoding="utf-8")
    (place / "fcd.xml").write_text(TRACKS, encoding="utf-8")
    milan = "".join(f"4259\t{1383519600000 + 600_000 * n}\t39\t\t\t\t\t{1 + n % 7}\n" for n in range(144))
    (place / "milan.txt").write_text(milan, encoding="utf-8")
    (place / "baked.npz").write_bytes(b"")
    return place


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_block_of_the_page_is_a_scenario(folder, number):
    path = folder / "block.yaml"
    path.write_text(BLOCKS[number], encoding="utf-8")
    assert build_scenario(ScenarioSpec(scenario=path)).cells


def test_the_page_shows_every_key():
    shown = "\n".join(BLOCKS)
    parts = (ScenarioFile, Carrier, InjectedFault, FlashCrowd, Panel, Target)
    keys = [field.alias or name for part in parts for name, field in part.model_fields.items()]
    assert [key for key in keys if not re.search(rf"(^|[\s{{,]){re.escape(key)}:", shown)] == []


def test_the_page_names_every_fault():
    page = PAGE.read_text(encoding="utf-8")
    assert [row.name for row in FAULTS if f"`{row.name}`" not in page] == []


def test_the_page_shows_an_error_as_it_is(scenario_file):
    path = scenario_file("name: A\nues: 3\ncells:\n  cell-7-2: {digitalTilt: 600}\n")
    with pytest.raises(ScenarioError) as caught:
        resolve(ScenarioSpec(scenario=path))
    assert str(caught.value).replace(f"{path.parent}/", "") in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_builds(path):
    scenario = build_scenario(ScenarioSpec(scenario=path))
    assert scenario.cells
    assert f"twin up --scenario examples/scenarios/{path.name}" in path.read_text(encoding="utf-8")


def test_there_are_three_examples_at_least():
    assert len(EXAMPLES) >= 3


# Damage.


def _one_file():
    """Return a file with nearly every section of the page."""
    merged = {}
    for block in BLOCKS:
        for key, value in yaml.safe_load(block).items():
            if key not in {"city", "area", "sites", "tracks", "mobility", "demand", "radio_map"}:
                merged.setdefault(key, value)
    return yaml.safe_dump(merged, sort_keys=False)


def _damaged(text, rng):
    """Return the text with one to four random wounds of the kinds that editing leaves."""
    lines = text.split("\n")
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(len(lines)))
        line = lines[at]
        place = int(rng.integers(len(line) + 1))
        match int(rng.integers(9)):
            case 0:
                lines[at] = line[:place] + line[place + 1 :]
            case 1:
                junk = ["{", "]", ":", "- ", "\t", "*x", "&x ", "!!set ", "\x00", "é", "'", "%", "|", "? ", "<<: "]
                lines[at] = line[:place] + str(rng.choice(junk)) + line[place:]
            case 2:
                lines[at] = ""
            case 3:
                lines.insert(at, line)
            case 4:
                lines[at] = "  " * int(rng.integers(3)) + line.lstrip()
            case 5:
                values = [
                    "-1",
                    ".nan",
                    ".inf",
                    "1e400",
                    "[]",
                    "{}",
                    "null",
                    "yes",
                    "2026-99-99",
                    "9" * 5000,
                    "0o17",
                    "x",
                ]
                lines[at] = re.sub(r":.*", ": " + str(rng.choice(values)), line)
            case 6:
                lines[at] = re.sub(r"\d+", lambda _: str(int(rng.integers(-(10**6), 10**6))), line)
            case 7:
                other = int(rng.integers(len(lines)))
                lines[at], lines[other] = lines[other], lines[at]
            case _:
                lines[at] = line.replace("-", "_", 1) if rng.random() < 0.5 else line.upper()
    return "\n".join(lines)


def test_random_damage_gives_a_scenario_or_a_scenario_error(tmp_path):
    whole = _one_file()
    rng = np.random.default_rng(20)
    city = generated_city(1)
    plans = generated_sites(city, seed=1)
    path = tmp_path / "damaged.yaml"
    outcomes = {"built": 0, "refused": 0}
    with_line = 0
    for _ in range(300):
        path.write_text(_damaged(whole, rng), encoding="utf-8", newline="")
        try:
            assemble(city, plans, resolve(ScenarioSpec(scenario=path, num_ues=0)), digest="")
            outcomes["built"] += 1
        except ScenarioError as exc:
            outcomes["refused"] += 1
            with_line += "line " in str(exc)
    assert min(outcomes.values()) >= 10
    assert with_line > 0.9 * outcomes["refused"]


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_are_refused(tmp_path, seed):
    path = tmp_path / "noise.yaml"
    path.write_bytes(np.random.default_rng(seed).bytes(2000))
    with pytest.raises(ScenarioError):
        resolve(ScenarioSpec(scenario=path))


def test_yaml_cannot_make_python_objects(scenario_file):
    with pytest.raises(ScenarioError, match="this is not YAML"):
        build_scenario(ScenarioSpec(scenario=scenario_file("name: !!python/object/apply:os.getcwd []")))


def test_a_missing_scenario_file_is_named(tmp_path):
    with pytest.raises(ScenarioError, match=r"none\.yaml` cannot be read"):
        build_scenario(ScenarioSpec(scenario=tmp_path / "none.yaml"))


def test_a_spec_refuses_an_area_without_extent():
    with pytest.raises(ValidationError):
        ScenarioSpec(area=(0.0, 0.0, 0.0, 100.0))
