"""Who shows a scene and who gives its figures: one program or two, and what time it is meanwhile."""

from datetime import UTC, datetime

import pytest

from twin.clock import CivilTime
from twin.ports import SceneInfo
from twin.testing import MemoryJournal
from twin_app.inventory import LiveInventory
from twin_app.scenarios import ScenarioSpec, build_scenario

SCENARIO = build_scenario(ScenarioSpec(num_ues=5))


def program(session_id: str, *provides: str) -> SceneInfo:
    return SceneInfo(
        scene_id="main", session_id=session_id, engine="e", engine_version="1", provides=frozenset(provides), epoch=1
    )


WHOLE, EYES, FIGURES = program("whole", "MOTION", "KPI", "STATE"), program("eyes", "MOTION"), program("net", "KPI")


@pytest.fixture
def inventory() -> LiveInventory:
    civil = CivilTime(epoch=datetime(2026, 3, 2, 8, tzinfo=UTC), timezone=SCENARIO.timezone)
    return LiveInventory(scenario=SCENARIO, scene_id="main", civil=civil, journal=MemoryJournal())


def test_without_anybody_the_scene_is_absent(inventory: LiveInventory) -> None:
    assert (None, (), False) == (inventory.scene, inventory.sessions, inventory.live)
    assert inventory.absent_s is not None


def test_one_program_that_does_everything_comes_and_goes(inventory: LiveInventory) -> None:
    inventory.scene_came(WHOLE)
    came = (inventory.scene, inventory.absent_s, inventory.live)
    inventory.went_live()
    live = inventory.live
    inventory.scene_left(WHOLE)

    assert ((WHOLE, None, False), True) == (came, live)
    assert (None, False) == (inventory.scene, inventory.live)
    assert inventory.absent_s is not None


def test_who_only_shows_the_scene_gives_no_figures(inventory: LiveInventory) -> None:
    inventory.scene_came(EYES)

    assert (EYES, None) == (inventory.scene, inventory.figures_from)
    assert inventory.absent_s is not None


def test_figures_decide_whether_it_is_live(inventory: LiveInventory) -> None:
    inventory.scene_came(EYES)
    inventory.scene_came(FIGURES)
    inventory.went_live()
    inventory.scene_left(EYES)
    without_eyes = (inventory.live, inventory.scene)
    inventory.scene_came(EYES)
    inventory.scene_left(FIGURES)

    assert (True, FIGURES) == without_eyes
    assert (False, EYES) == (inventory.live, inventory.scene)
    assert inventory.absent_s is not None


def test_a_resumed_session_is_as_live_as_it_was_and_a_new_one_is_not(inventory: LiveInventory) -> None:
    inventory.scene_came(WHOLE)
    inventory.went_live()
    inventory.scene_left(WHOLE)
    inventory.scene_came(WHOLE)
    resumed = inventory.live
    inventory.scene_left(WHOLE)
    inventory.scene_came(program("another", "MOTION", "KPI"))

    assert (True, False) == (resumed, inventory.live)


def test_a_successor_that_comes_before_the_older_one_left_stays(inventory: LiveInventory) -> None:
    newer = program("newer", "MOTION", "KPI")
    inventory.scene_came(WHOLE)
    inventory.scene_came(newer)
    inventory.scene_left(WHOLE)

    assert (newer, None) == (inventory.scene, inventory.absent_s)
