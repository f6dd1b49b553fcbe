"""Saving and loading a scenario."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from twin.errors import CorruptStore
from twin.scenario import Scenario
from twin_app.scenarios import ScenarioSpec, build_scenario, load_scenario, save_scenario


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec(num_ues=20))


@pytest.fixture
def path(tmp_path, scenario):
    target = tmp_path / "deep" / "scenario.npz"
    save_scenario(scenario, target)
    return target


def test_what_was_saved_is_loaded(scenario, path):
    loaded = load_scenario(path)
    same = [name for name in Scenario.__slots__ if name not in {"buildings", "streets", "land_use"}]
    assert [getattr(loaded, name) for name in same] == [getattr(scenario, name) for name in same]
    assert loaded.streets.edge_name == scenario.streets.edge_name
    for name in ("node_m", "edge", "edge_speed_mps", "edge_walkable"):
        assert np.array_equal(getattr(loaded.streets, name), getattr(scenario.streets, name))
        assert getattr(loaded.streets, name).dtype == getattr(scenario.streets, name).dtype
    assert np.array_equal(loaded.land_use.code, scenario.land_use.code)
    for a, b in zip(loaded.buildings, scenario.buildings, strict=True):
        assert np.array_equal(a.footprint_m, b.footprint_m)
        assert (a.id, a.name, a.height_m, a.height_source, a.land_use) == (
            b.id, b.name, b.height_m, b.height_source, b.land_use,
        )  # fmt: skip


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
