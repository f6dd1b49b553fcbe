"""What a scene may add to the inventory: bounded, named once and for all, never mixed up with the network."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from twin.clock import CivilTime
from twin.commands import SetAttribute
from twin.entities import Kind
from twin.errors import InvalidInput
from twin.ports import OfferedEntity
from twin.testing import MemoryJournal
from twin.topology import Entity, Topology, topology_of
from twin_app import contributions
from twin_app.contributions import entity_of_json, entity_to_json, taken_in
from twin_app.inventory import LiveInventory
from twin_app.scenarios import ScenarioSpec, build_scenario


@pytest.fixture(scope="module")
def scenario():
    return build_scenario(ScenarioSpec())


@pytest.fixture(scope="module")
def topology(scenario):
    return topology_of(scenario)


def offer(local_id="Kiosk 7", *, kind="place", name="Kiosk am Markt", position_m=(1.0, 2.0, 0.0)):
    return OfferedEntity(local_id=local_id, kind=kind, name=name, position_m=position_m)


def test_an_offered_place_gets_an_id_of_its_kind_and_the_next_index(topology):
    rows, verdicts = taken_in([offer()], topology)
    assert [(one.entity_id, one.index, one.reason) for one in verdicts] == [("place-kiosk-7", len(topology), "")]
    assert (rows[0].name, rows[0].position_m, rows[0].kind) == ("Kiosk am Markt", (1.0, 2.0, 0.0), Kind.PLACE)


def test_the_same_local_id_again_is_the_same_entity_where_it_stands_now(topology):
    rows, first = taken_in([offer()], topology)
    grown = topology.with_entities(rows)
    assert taken_in([offer()], grown) == ([], first)
    moved, again = taken_in([offer(position_m=(9.0, 9.0, 0.0), name="")], grown)
    assert again == first
    assert [(one.position_m, one.name) for one in moved] == [((9.0, 9.0, 0.0), "Kiosk am Markt")]


def test_ids_stay_unique_however_alike_the_names_are(topology):
    rows, verdicts = taken_in([offer("Kiosk 7"), offer("kiosk-7"), offer("KIOSK_7"), offer("place-kiosk-7")], topology)
    assert [one.entity_id for one in verdicts] == [
        "place-kiosk-7",
        "place-kiosk-7-2",
        "place-kiosk-7-3",
        "place-kiosk-7-4",
    ]
    assert [row.index for row in rows] == [len(topology) + number for number in range(4)]


def test_an_entity_of_the_scenario_keeps_its_id(topology):
    building = topology.of_kind(Kind.BUILDING)[0]
    _, verdicts = taken_in([offer(building.id, kind="building")], topology)
    assert verdicts[0].entity_id == f"{building.id}-2"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (offer(kind="cell"), "comes from the scenario"),
        (offer(kind="kiosk"), "only place, building"),
        (offer(""), "1 to 128 characters"),
        (offer("x" * 129), "1 to 128 characters"),
        (offer(position_m=(math.nan, 0.0, 0.0)), "no place"),
        (offer(position_m=(2e5, 0.0, 0.0)), "no place"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_reason_and_the_rest_taken_in(topology, bad, said):
    rows, verdicts = taken_in([bad, offer("good")], topology)
    assert said in verdicts[0].reason
    assert (verdicts[0].entity_id, [row.id for row in rows]) == ("", ["place-good"])


def test_a_local_id_keeps_its_kind(topology):
    grown = topology.with_entities(taken_in([offer()], topology)[0])
    _, verdicts = taken_in([offer(kind="building")], grown)
    assert "place-kiosk-7" in verdicts[0].reason


def test_a_name_without_letters_of_ours_gets_a_number(topology):
    _, verdicts = taken_in([offer("駅"), offer("茶屋")], topology)
    free = len(topology.of_kind(Kind.PLACE)) + 1
    assert [one.entity_id for one in verdicts] == [f"place-{free}", f"place-{free + 1}"]


def test_ten_thousand_are_enough(topology):
    rows, verdicts = taken_in([offer(str(number)) for number in range(contributions.MOST_ENTITIES + 1)], topology)
    assert len(rows) == contributions.MOST_ENTITIES
    assert "10000" in verdicts[-1].reason


def test_a_fact_gives_the_same_entity_back(topology):
    row = taken_in([offer()], topology)[0][0]
    assert entity_of_json(entity_to_json(row)) == row


async def test_contributed_entities_and_changes_come_back_in_their_order(scenario):
    journal = MemoryJournal()

    def inventory():
        civil = CivilTime(epoch=datetime(2026, 11, 17, tzinfo=UTC), timezone="UTC")
        return LiveInventory(scenario=scenario, scene_id="main", civil=civil, journal=journal)

    live = inventory()
    tilt = SetAttribute(entity_id="cell-1-1", attribute="digitalTilt", value=80.0)
    await live.configure([tilt], change_id="c", why="apply")
    await live.contribute(taken_in([offer()], live.topology)[0])
    await live.contribute(taken_in([offer(position_m=(5.0, 5.0, 0.0)), offer("other")], live.topology)[0])
    again = inventory()
    await again.restore()
    assert (again.topology.entities, again.topology.revision) == (live.topology.entities, 4)
    assert again.topology.get("place-kiosk-7").position_m == (5.0, 5.0, 0.0)


async def test_a_journal_from_before_the_inventory_grew_puts_its_entities_behind_it(scenario, topology):
    journal = MemoryJournal()
    older = topology.of_kind(Kind.RELATION)[0].index  # where contributed entities stood before there were relations
    taken = topology.of_kind(Kind.BUILDING)[0].id
    rows = [
        Entity(index=older, id="place-mine", kind=Kind.PLACE, name="Mine", properties={"local_id": "mine"}),
        Entity(index=older + 1, id=taken, kind=Kind.BUILDING, name="Theirs", properties={"local_id": "theirs"}),
    ]
    moved = replace(rows[0], position_m=(7.0, 8.0, 0.0))
    for number, entities in enumerate((rows, [moved])):
        fact = {"revision": 2 + number, "sim_time_s": 0.0, "wall_time_s": 0.0}
        await journal.append("contributed", [{**fact, "entities": [entity_to_json(one) for one in entities]}])
    civil = CivilTime(epoch=datetime(2026, 11, 17, tzinfo=UTC), timezone="UTC")
    live = LiveInventory(scenario=scenario, scene_id="main", civil=civil, journal=journal)
    await live.restore()

    assert live.topology.entities[: len(topology)] == topology.entities, "nothing of the network is replaced"
    added = live.topology.entities[len(topology) :]
    assert [(one.id, one.index) for one in added] == [("place-mine", len(topology)), (f"{taken}-2", len(topology) + 1)]
    assert added[0].position_m == (7.0, 8.0, 0.0)
    again = taken_in([offer("mine", name="", position_m=(7.0, 8.0, 0.0))], live.topology)
    assert (again[0], again[1][0].index) == ([], len(topology)), "the scene finds its own again"


def test_indices_are_dense_and_ids_unique():
    topology = Topology([Entity(index=0, id="place-1", kind=Kind.PLACE, name="one")], revision=1)
    for wrong in (
        Entity(index=2, id="place-2", kind=Kind.PLACE, name="gap"),
        Entity(index=1, id="place-1", kind=Kind.PLACE, name="twice"),
        Entity(index=0, id="place-2", kind=Kind.PLACE, name="in the place of another"),
    ):
        with pytest.raises(InvalidInput):
            topology.with_entities([wrong])
