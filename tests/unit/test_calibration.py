"""The calibration gate: the live radio landscape against the curves of 3GPP R1-165974, and against exact formulas."""

from __future__ import annotations

import dataclasses
import json
from functools import cache

import numpy as np
import pytest
from typer.testing import CliRunner

from twin.errors import UnknownName
from twin.radio import antenna, calibration, path_loss
from twin_app import calibrate_command
from twin_app.cli import app


@cache
def _curves(name, seeds=calibration.NUM_SEEDS):
    return {curve.metric: curve for curve in calibration.run(calibration.CASES[name], seeds=seeds)}


@pytest.mark.parametrize("case", ["uma-6", "umi-6", "inh-6"])
def test_every_percentile_at_6_ghz_keeps_the_gate(case):
    found = _curves(case)
    assert found["geometry_sir_db"].worst_db <= 1.0
    assert found["coupling_loss_db"].worst_db <= 1.5
    assert len(found["geometry_sir_db"].percent) == len(found["coupling_loss_db"].percent) == 19


@pytest.mark.parametrize("case", ["uma-30", "umi-30", "inh-30"])
def test_every_percentile_at_30_ghz_keeps_the_gate(case):
    found = _curves(case, seeds=24)
    assert found["geometry_sir_db"].worst_db <= 1.0
    assert found["coupling_loss_db"].worst_db <= 1.5


def test_the_gate_sees_a_tilt_that_is_wrong_by_4_degrees():
    turned = dataclasses.replace(calibration.CASES["uma-6"], tilt_deg=8.0)
    assert not all(curve.passes for curve in calibration.run(turned, seeds=10))


def _exact_gain_db(case, users, *, rng):
    """The formulas, link by link: no tables, no maps, sight is there or not."""
    images_m = np.concatenate([np.zeros((1, 2)), calibration.wrap_m(case)])
    offset = users.position_m[:, None, None] - (calibration.sites_m(case)[:, None] + images_m[None])
    nearest = np.hypot(offset[..., 0], offset[..., 1]).argmin(axis=2)
    offset = np.take_along_axis(offset, nearest[..., None, None], axis=2)[:, :, 0]
    ground_m = np.hypot(offset[..., 0], offset[..., 1]).astype(np.float32)
    # Offices: the site is inside, too.
    behind_wall = users.indoor & (case.environment != "InH")
    height_m, indoor = users.height_m[:, None], behind_wall[:, None]
    depth_m = np.where(behind_wall, rng.random((2, len(indoor))).min(axis=0) * path_loss.MAX_INDOOR_DEPTH_M, 0.0)
    outdoor_m = np.maximum(ground_m - depth_m[:, None], 0.0).astype(np.float32)
    chance = path_loss.los_probability(case.environment, outdoor_m, user_height_m=height_m, office="open")
    in_sight = rng.random(ground_m.shape) < chance
    roofs_m = path_loss.environment_height_m(ground_m, height_m, uniform=rng.random(ground_m.shape, dtype=np.float32))
    los, nlos = path_loss.loss_db(
        case.environment,
        ground_m,
        mast_height_m=case.mast_height_m,
        user_height_m=height_m,
        carrier_hz=case.carrier_hz,
        environment_height_m=roofs_m if case.environment == "UMa" else 1.0,
    )
    sigma = np.where(in_sight, *path_loss.SHADOWING_SIGMA_DB[case.environment])
    sigma = np.where(indoor, path_loss.INDOOR_SIGMA_DB[case.environment], sigma)
    low, high = path_loss.entry_loss_db(case.carrier_hz)
    entry = users.depth_loss_db + np.where(behind_wall, np.where(users.coated, high, low), 0.0)
    loss = np.where(in_sight, los, nlos) + sigma * rng.standard_normal(ground_m.shape) + entry[:, None]
    zenith_deg = 90.0 + np.degrees(np.arctan2(case.mast_height_m - height_m, ground_m))
    azimuth_deg = np.degrees(np.arctan2(offset[..., 0], offset[..., 1]))[..., None]
    element = antenna.element_gain_dbi(zenith_deg[..., None], azimuth_deg - np.array(case.boresights_deg))
    column = antenna.array_factor_db(zenith_deg, case.tilt_deg)
    return (element + (column - loss)[..., None]).reshape(len(indoor), -1)


@pytest.mark.parametrize("name", ["uma-6", "umi-6", "inh-6"])
def test_tables_and_maps_give_the_distribution_of_the_exact_formulas(name):
    case = calibration.CASES[name]
    live = _curves(name)
    exact = {metric: [] for metric in calibration.METRICS}
    for seed in range(2):
        rng = np.random.default_rng(seed)
        users = calibration.drop(case, 15_000, rng=rng)
        for metric, value in calibration.metrics_db(_exact_gain_db(case, users, rng=rng)).items():
            exact[metric].append(value)
    for metric, curve in live.items():
        at = np.array(curve.percent) if metric == "geometry_sir_db" else 100 - np.array(curve.percent)
        wanted = np.percentile(np.concatenate(exact[metric]), at)
        apart = np.array(curve.found_db) - wanted
        assert np.abs(apart).max() <= {"coupling_loss_db": 1.0, "geometry_sir_db": 0.4}[metric]
        assert abs(apart.mean()) <= 0.3


def test_percentiles_of_a_loss_are_read_from_the_weak_end():
    curve, _ = calibration.run(calibration.CASES["inh-6"], seeds=1, num_users=500)
    assert curve.metric == "coupling_loss_db"
    assert list(curve.found_db) == sorted(curve.found_db, reverse=True)
    assert list(curve.reference_db) == sorted(curve.reference_db, reverse=True)


def test_the_layout_repeats_without_a_gap():
    # Around any place of the pattern the six nearest other sites are all one distance away.
    case = calibration.CASES["umi-6"]
    images = np.concatenate([np.zeros((1, 2)), calibration.wrap_m(case)])
    everywhere = (calibration.sites_m(case)[None] + images[:, None]).reshape(-1, 2)
    for site in calibration.sites_m(case):
        apart = np.sort(np.linalg.norm(everywhere - site, axis=1))
        assert apart[1:7] == pytest.approx(200.0, abs=0.01)
        assert apart[7] > 300.0


def test_users_lie_nearest_to_their_site_and_not_too_near():
    case = calibration.CASES["uma-6"]
    users = calibration.drop(case, 4000, rng=np.random.default_rng(2))
    apart = np.linalg.norm(users.position_m[:, None] - calibration.sites_m(case)[None], axis=2).min(axis=1)
    assert apart.min() >= 35.0
    assert apart.max() <= 500.0 / np.sqrt(3.0) + 0.1


def test_four_users_in_five_are_indoors_on_floors_of_3_m():
    users = calibration.drop(calibration.CASES["uma-6"], 20_000, rng=np.random.default_rng(3))
    assert users.indoor.mean() == pytest.approx(0.8, abs=0.01)
    assert users.coated[users.indoor].mean() == pytest.approx(0.5, abs=0.01)
    assert set(users.height_m[users.indoor].tolist()) == {1.5, 4.5, 7.5, 10.5, 13.5, 16.5, 19.5, 22.5}
    assert set(users.height_m[~users.indoor].tolist()) == {1.5}


def test_the_same_seeds_give_the_same_curves():
    once, again = (calibration.run(calibration.CASES["umi-6"], seeds=2, num_users=200) for _ in range(2))
    assert once == again


def test_metrics_by_hand():
    # Three cells at -90, -93.01 and -93.01 dB: the serving one equals the sum of the others.
    found = calibration.metrics_db(np.array([[-90.0, -93.0103, -93.0103]], dtype=np.float32))
    assert found["coupling_loss_db"][0] == pytest.approx(90.0, abs=1e-4)
    assert found["geometry_sir_db"][0] == pytest.approx(0.0, abs=1e-4)


def test_an_unknown_case_names_those_there_are():
    with pytest.raises(UnknownName, match=r"`uma-5`.*uma-6.*inh-70"):
        calibration.case_of("uma-5")


def test_the_command_prints_every_percentile_beside_its_reference():
    answer = CliRunner().invoke(app, ["calibrate", "--case", "inh-6", "--seeds", "6", "--json"])
    found = json.loads(answer.stdout)["cases"]["inh-6"]
    assert answer.exit_code == 0
    for metric in calibration.METRICS:
        rows = found[metric]["percentiles"]
        assert [row["percent"] for row in rows] == list(range(5, 100, 5))
        assert [row["reference_db"] for row in rows] == calibration.reference()["cases"]["inh-6"][metric]["median"]
        assert all(row["error_db"] == pytest.approx(row["found_db"] - row["reference_db"], abs=0.011) for row in rows)


def test_the_command_fails_when_the_gate_does(monkeypatch):
    monkeypatch.setitem(calibration.GATE_DB, "geometry_sir_db", 0.001)
    answer = CliRunner().invoke(app, ["calibrate", "--case", "inh-6", "--seeds", "1"])
    assert answer.exit_code == 1
    assert "BROKEN" in answer.stdout


def test_the_picture_shows_every_case_given(tmp_path):
    results = calibrate_command.run_cases(["inh-6", "inh-30"], seeds=1)
    calibrate_command.draw_calibration(results, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
