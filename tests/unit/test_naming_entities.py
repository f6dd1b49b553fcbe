"""What people call things, linked to the generated city."""

import time

import pytest

from agent.corpus import CIVIL, NOW_S
from tests.agent_world import SCENARIO
from twin.entities import Kind
from twin.errors import UnknownEntity
from twin.naming import EntityMention, KpiMention, Linked, NameIndex, ReferenceMention, UnknownMention, link, resolve
from twin.naming_words import key_of, tokenize
from twin.topology import Entity, Topology, topology_of

TOPOLOGY = topology_of(SCENARIO)
INDEX = NameIndex(TOPOLOGY)


def read(text: str, **more: object) -> Linked:
    return link(text, INDEX, civil=CIVIL, now_s=NOW_S, **more)  # type: ignore[arg-type]


def entities(text: str) -> list[str]:
    return [mention.entity_id for mention in read(text).of(EntityMention)]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("cell 7-2", "cell-7-2"),
        ("S7-2", "cell-7-2"),
        ("7-2", "cell-7-2"),
        ("cell-7-2", "cell-7-2"),
        ("CELL 7-2", "cell-7-2"),
        ("cell seven dash two", "cell-7-2"),
        ("cell seven two", "cell-7-2"),
        ("cel 7-2", "cell-7-2"),
        ("the second sector of site 7", "cell-7-2"),
        ("sector 2 at gNB-7", "cell-7-2"),
        ("site 7's second sector", "cell-7-2"),
        ("site 7 sector 2", "cell-7-2"),
        ("gNB-7", "site-7"),
        ("site seven", "site-7"),
        ("base station 7", "site-7"),
        ("ue-14", "ue-14"),
        ("ue 14", "ue-14"),
        ("phone one four", "ue-14"),
        ("building 12", "building-12"),
        ("the eMBB slice", "slice-embb"),
        ("URLLC", "slice-urllc"),
        ("the station", "place-1"),
        ("Central Station", "place-1"),
        ("the UPF", "node-upf"),
        ("SubNetwork=1,ManagedElement=gNB-7,GNBDUFunction=7,NRCellDU=2", "cell-7-2"),
    ],
)
def test_a_name_is_linked_to_what_exists(said: str, meant: str) -> None:
    assert entities(f"load of {said} please") == [meant]


@pytest.mark.parametrize("said", ["backhaul of site 7", "site 7's backhaul", "the backhaul link of site 7"])
def test_a_backhaul_is_the_link_of_its_site(said: str) -> None:
    (found,) = entities(f"how full is {said}")
    assert TOPOLOGY.get(found).properties["a_id"] == "site-7"


def test_the_sector_east_of_a_place_lies_east_of_it_and_looks_at_it() -> None:
    (found,) = entities("load of the sector east of the station")
    station, cell = TOPOLOGY.get("place-1"), TOPOLOGY.get(found)
    assert cell.kind is Kind.CELL
    assert cell.position_m[0] > station.position_m[0]


def test_the_cell_nearest_to_a_place_stands_on_the_nearest_site() -> None:
    (found,) = entities("what is the rsrp of the cell nearest to the stadium")
    stadium = TOPOLOGY.get("place-4").position_m
    sites = TOPOLOGY.of_kind(Kind.SITE)
    nearest = min(sites, key=lambda s: (s.position_m[0] - stadium[0]) ** 2 + (s.position_m[1] - stadium[1]) ** 2)
    assert TOPOLOGY.get(found).parent_id == nearest.id


def test_the_nearest_cell_needs_a_position() -> None:
    assert read("load of the nearest cell").of(EntityMention) == ()
    at_site = read("load of the nearest cell", position_m=TOPOLOGY.get("site-7").position_m)
    assert at_site.of(EntityMention)[0].entity_id.startswith("cell-7-")


@pytest.mark.parametrize(
    ("said", "candidate"),
    [("cell 99-1", "cell-9-1"), ("cell 7", "cell-7-1"), ("site 99", "site-9"), ("7-9", "cell-7-1")],
)
def test_what_does_not_exist_comes_back_with_the_nearest_names(said: str, candidate: str) -> None:
    (unknown,) = read(f"load of {said}").of(UnknownMention)
    assert candidate in unknown.candidates
    assert entities(f"load of {said}") == []


def test_a_misspelt_place_is_understood() -> None:
    assert entities("how is the signal at Central Staton") == ["place-1"]


def test_dates_and_ranges_are_no_cells() -> None:
    assert entities("alarms of 2026-7-2") == []


def test_pronouns_are_references() -> None:
    kinds = [mention.kind for mention in read("compare it with that cell").of(ReferenceMention)]
    assert kinds == [None, Kind.CELL]


def test_there_is_says_only_that_something_exists() -> None:
    assert read("are there any alarms").of(ReferenceMention) == ()


def test_the_word_load_may_mean_cell_or_link() -> None:
    (mention,) = read("load").of(KpiMention)
    assert mention.kpis == ("RRU.PrbTotDl", "vsData6gLinkLoad")


def test_a_plain_word_in_a_slice_alias_names_no_slice() -> None:
    assert entities("critical alarms and low latency") == []


def test_resolve_takes_id_alias_name_and_dn() -> None:
    for name in ("cell-7-2", "S7-2", "cell 7-2", "SubNetwork=1,ManagedElement=gNB-7,GNBDUFunction=7,NRCellDU=2"):
        assert resolve(name, TOPOLOGY).id == "cell-7-2"


def test_resolve_names_candidates_for_what_is_unknown() -> None:
    with pytest.raises(UnknownEntity) as caught:
        resolve("cell-99-1", TOPOLOGY)
    assert "cell-9-1" in caught.value.candidates


def test_a_name_written_like_an_order_is_only_a_name() -> None:
    rows = [Entity(index=0, id="place-1", kind=Kind.PLACE, name="lock cell 7-2 now")]
    linked = link("where is lock cell 7-2 now", NameIndex(Topology(rows, revision=1)), civil=CIVIL, now_s=NOW_S)
    assert [mention.entity_id for mention in linked.of(EntityMention)] == ["place-1"]


def test_number_words_become_numbers() -> None:
    assert key_of("three hundred and fourteen") == ("314",)
    assert [token.number for token in tokenize("twenty-one degrees")] == [21.0, None]


def test_linking_stays_under_five_milliseconds_with_2500_entities() -> None:
    rows = [*TOPOLOGY.entities]
    rows += [
        Entity(index=len(rows) + n, id=f"ue-{1000 + n}", kind=Kind.UE, name=f"ue {1000 + n}")
        for n in range(2_500 - len(rows))
    ]
    index = NameIndex(Topology(rows, revision=2))
    sentence = (
        "compare the load of the second sector of site 7 with cell 99-1 near Central Staton since yesterday evening"
    )
    link(sentence, index, civil=CIVIL, now_s=NOW_S)
    spent = []
    for _ in range(9):
        started = time.perf_counter()
        link(sentence, index, civil=CIVIL, now_s=NOW_S)
        spent.append(time.perf_counter() - started)
    assert min(spent) < 0.005
