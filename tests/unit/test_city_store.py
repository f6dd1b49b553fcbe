"""Saving and loading a scenario."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from twin.entities import RisPanel, RrmPolicy, SensingTarget
from twin.errors import CorruptStore
from twin.mobility import Tracks
from twin.scenario import CrowdEvent, FaultPlan, Scenario
from twin_app.scenarios import ScenarioSpec, build_scenario, load_scenario, save_scenario


@pytest.fixture(scope="module")
def scenario():
    """A scenario with a value of its own in every field that a scenario file can fill."""
    return replace(
        build_scenario(ScenarioSpec(num_ues=20)),
        policies=(RrmPolicy(site_id="site-1", slice_id="slice-embb", min_percent=10.0, dedicated_percent=5.0),),
        ris=(
            RisPanel(
                id="ris-1", name="R", position_m=(1.0, 2.0, 3.0), azimuth_deg=90.0, columns=8, rows=4,
                cell_id="cell-1-1", phase_profile_index=7, dn="R=1", aliases=("r",),
            ),
        ),
        targets=(SensingTarget(id="target-1", name="T", path_m=((0.0, 0.0, 50.0),), speed_mps=3.0, rcs_m2=0.01),),
        faults=(FaultPlan(fault="power-loss", entity_id="cell-1-1", severity=None, at_s=5.0, clear_after_s=9.0),),
        events=(
            CrowdEvent(
                name="E", position_m=(1.0, 2.0), radius_m=50.0, at_s=1.0, ramp_s=2.0, duration_s=9.0, demand_factor=4.0
            ),
        ),
        mobility="fcd",
        tracks=Tracks(
            length_s=9.0,
            first=np.array([0, 2, 3]),
            when_s=np.array([0.0, 5.0, 1.0]),
            where_m=np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], dtype=np.float32),
        ),
        month_byte=7e9,
        energy_model="tr38864",
        radio_map="/tmp/map.npz",
        configured=(("cell-1-1", "a3Offset", 4.0), ("relation-1-1-1-2", "isHOAllowed", "false")),
    )  # fmt: skip


@pytest.fixture
def path(tmp_path, scenario):
    target = tmp_path / "deep" / "scenario.npz"
    save_scenario(scenario, target)
    return target


def test_what_was_saved_is_loaded(scenario, path):
    loaded = load_scenario(path)
    same = [name for name in Scenario.__slots__ if name not in {"buildings", "streets", "land_use", "tracks"}]
    assert [getattr(loaded, name) for name in same] == [getattr(scenario, name) for name in same]
    assert loaded.streets.edge_name == scenario.streets.edge_name
    for name in ("node_m", "edge", "edge_speed_mps", "edge_walkable"):
        assert np.array_equal(getattr(loaded.streets, name), getattr(scenario.streets, name))
        assert getattr(loaded.streets, name).dtype == getattr(scenario.streets, name).dtype
    assert np.array_equal(loaded.land_use.code, scenario.land_use.code)
    assert loaded.tracks.length_s == scenario.tracks.length_s
    for name in ("first", "when_s", "where_m"):
        assert np.array_equal(getattr(loaded.tracks, name), getattr(scenario.tracks, name))
    for a, b in zip(loaded.buildings, scenario.buildings, strict=True):
        assert np.array_equal(a.footprint_m, b.footprint_m)
        assert (a.id, a.name, a.height_m, a.height_source, a.land_use) == (
            b.id, b.name, b.height_m, b.height_source, b.land_use,
        )  # fmt: skip


def test_a_file_of_before_there_were_faults_and_panels_has_none(path):
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    document = json.loads(arrays["document"].tobytes())
    for key in ("policies", "ris", "targets", "faults", "events", "mobility", "energy_model", "configured"):
        del document[key]
    arrays = {name: array for name, array in arrays.items() if not name.startswith("track_")}
    arrays["document"] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    np.savez(path, **arrays)
    loaded = load_scenario(path)
    assert (loaded.policies, loaded.ris, loaded.faults, loaded.configured) == ((), (), (), ())
    assert (loaded.mobility, loaded.tracks, loaded.energy_model) == ("tours", None, "earth")


def test_saving_again_replaces_the_file_and_leaves_nothing_behind(scenario, path):
    save_scenario(scenario, path)
    assert [entry.name for entry in path.parent.iterdir()] == ["scenario.npz"]


def test_nothing_in_the_file_is_pickled(path):
    with np.load(path, allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_corrupt(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CorruptStore, match="remove it to build the city anew"):
        load_scenario(path)


def test_a_flipped_byte_is_corrupt(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(CorruptStore):
        load_scenario(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"\x80\x04K\x01."])
def test_another_kind_of_file_is_corrupt(tmp_path, content):
    other = tmp_path / "scenario.npz"
    other.write_bytes(content)
    with pytest.raises(CorruptStore):
        load_scenario(other)


def test_a_missing_file_is_corrupt(tmp_path):
    with pytest.raises(CorruptStore):
        load_scenario(tmp_path / "none.npz")


@pytest.mark.parametrize(("old", "new"), [(b'"format": 1', b'"format": 9'), (b'"UMa"', b'"XXa"')])
def test_altered_values_are_corrupt(path, old, new):
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    document = arrays["document"].tobytes().replace(old, new)
    arrays["document"] = np.frombuffer(document, dtype=np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(CorruptStore):
        load_scenario(path)


def test_an_archive_without_the_document_is_corrupt(tmp_path):
    path = tmp_path / "scenario.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CorruptStore):
        load_scenario(path)
