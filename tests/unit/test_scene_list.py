"""Which scenes a data folder keeps, and where each of them lies."""

from pathlib import Path

import pytest

from twin.errors import CorruptStore, FolderMismatch, InvalidInput
from twin_app.data_folder import MAIN, DataFolder
from twin_app.scene_list import SceneList, ScenePlan, plan_of, plans_at_start


@pytest.fixture
def folder(tmp_path: Path):
    locked = DataFolder.lock(tmp_path / "twin")
    yield locked
    locked.close()


def test_a_new_folder_has_no_scene_and_one_of_an_older_version_has_main(folder: DataFolder) -> None:
    listed = SceneList(folder)
    before = listed.read()
    (folder.path / "city.json").write_text("{}")

    assert ([], [ScenePlan(id=MAIN)]) == (before, listed.read())


def test_what_is_written_is_read_again_without_the_path_of_the_scenario(folder: DataFolder) -> None:
    listed = SceneList(folder)
    harbour = ScenePlan(id="harbour", seed=7, ues=20, past="0", with_scene=False)
    listed.write([ScenePlan(id="campus", scenario=Path("campus.yaml")), harbour])

    assert [ScenePlan(id="campus"), harbour] == listed.read()


@pytest.mark.parametrize("content", ["[]", "{", '{"format": 1}', '{"format": 1, "scenes": [{"id": "../x"}]}'])
def test_a_broken_list_names_the_file_and_the_way_out(folder: DataFolder, content: str) -> None:
    (folder.path / "scenes.json").write_text(content)
    with pytest.raises(CorruptStore, match=r"scenes\.json"):
        SceneList(folder).read()


def test_a_list_of_a_newer_version_is_refused(folder: DataFolder) -> None:
    (folder.path / "scenes.json").write_text('{"format": 2, "scenes": []}')
    with pytest.raises(FolderMismatch, match="`2`"):
        SceneList(folder).read()


@pytest.mark.parametrize("name", ["", "..", "a/b", "Campus", "-x", "a" * 65, "a b", "ä"])
def test_an_id_that_could_leave_the_folder_or_the_wire_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="no scene id"):
        ScenePlan(id=name)


def test_the_command_line_names_scenes_with_and_without_a_file() -> None:
    assert ScenePlan(id="harbour") == plan_of("harbour")
    assert ScenePlan(id="campus", scenario=Path("a=b.yaml")) == plan_of("campus=a=b.yaml")
    with pytest.raises(InvalidInput, match="behind `=`"):
        plan_of("campus=")


def test_scenes_of_one_twin_have_cities_of_their_own_and_keep_them() -> None:
    seeds = [ScenePlan(id=one).seed_of(1) for one in (MAIN, "campus", "harbour")]

    assert 1 == seeds[0]
    assert 3 == len(set(seeds))
    assert seeds == [ScenePlan(id=one).seed_of(1) for one in (MAIN, "campus", "harbour")]
    assert 5 == ScenePlan(id="campus", seed=5).seed_of(1)


def test_recorded_scenes_come_back_and_named_ones_join_them() -> None:
    main, campus, harbour = (ScenePlan(id=one) for one in (MAIN, "campus", "harbour"))
    file = ScenePlan(id="campus", scenario=Path("x.yaml"))

    assert [main] == plans_at_start([], [], main_given=False)
    assert [campus] == plans_at_start([], [campus], main_given=False)
    assert [main, campus, harbour] == plans_at_start([main, campus], [harbour], main_given=False)
    assert [file] == plans_at_start([campus], [file], main_given=False)
    assert [campus, main] == plans_at_start([campus], [], main_given=True)
    with pytest.raises(InvalidInput, match="twice"):
        plans_at_start([], [campus, campus], main_given=False)


def test_main_lies_where_it_always_lay_and_others_beside_each_other(folder: DataFolder) -> None:
    assert folder.path / "journal.sqlite" == folder.scene(MAIN).journal_path
    assert folder.path / "scenes" / "campus" / "journal.sqlite" == folder.scene("campus").journal_path


def test_purging_a_scene_leaves_everything_else(folder: DataFolder) -> None:
    campus, main = folder.scene("campus"), folder.scene(MAIN)
    (campus.path / "scene").mkdir(parents=True)
    (main.path / "scene").mkdir()
    for one in (campus, main):
        for name in ("city.json", "journal.sqlite", "journal.sqlite-wal", "telemetry.duckdb", "scene/state"):
            (one.path / name).write_text("x")
    main.purge()

    assert {"lock", "scenes"} == {path.name for path in folder.path.iterdir()}
    assert (campus.path / "scene" / "state").exists()
    campus.purge()
    assert [] == list(campus.path.iterdir())
