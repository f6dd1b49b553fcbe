"""Entities that a scene offers: what is taken in, what is refused and why."""

import math
from datetime import UTC, datetime

import pytest

from bridge.contribute import MAX_OFFERED, take_in
from bridge.testing import MemorySink
from bridge.v1 import bridge_pb2, topology_pb2
from tests.media_peer import shadow
from twin.clock import CivilTime
from twin.ports import OfferedEntity, SceneStart
from twin.topology import Topology


def sink() -> MemorySink:
    return MemorySink(
        SceneStart(
            topology=Topology((), revision=1),
            civil=CivilTime(epoch=datetime(2026, 1, 1, tzinfo=UTC), timezone="UTC"),
            resume_at_sim_s=None,
            past_s=0,
            speed=1.0,
            desired=(),
        )
    )


def offer(**words: object) -> topology_pb2.ContributedEntity:
    given = {
        "local_id": "kiosk",
        "kind": "place",
        "name": "Kiosk",
        "position": topology_pb2.Position(east_m=1, north_m=2, up_m=3),
    }
    return topology_pb2.ContributedEntity(**(given | words))  # type: ignore[arg-type]


async def answer(to: MemorySink, *offers: topology_pb2.ContributedEntity) -> list[topology_pb2.ContributedIdentity]:
    request = bridge_pb2.ConnectRequest(contribute=topology_pb2.Contribute(entities=offers))
    reply = await take_in(to, "main", shadow(request).contribute)
    return list(reply.contribute_reply.entities)


async def test_places_and_buildings_are_taken_in_under_ids_of_the_twin() -> None:
    to = sink()
    answers = await answer(to, offer(name="  Ana's\x00 kiosk "), offer(local_id="hut", kind="building", name=""))

    assert [(a.local_id, a.entity_id, a.index, a.reason) for a in answers] == [
        ("kiosk", "main-kiosk", 0, ""),
        ("hut", "main-hut", 1, ""),
    ]
    assert to.offered == [
        OfferedEntity(local_id="kiosk", kind="place", name="Ana's kiosk", position_m=(1, 2, 3)),
        OfferedEntity(local_id="hut", kind="building", name="", position_m=(1, 2, 3)),
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"kind": "cell"}, "place, building; `cell` comes from the scenario"),
        ({"kind": ""}, "place, building"),
        ({"local_id": ""}, "1 to 128"),
        ({"local_id": "x" * 129}, "1 to 128"),
        ({"local_id": "a\nb"}, "printable"),
        ({"position": topology_pb2.Position(east_m=math.nan)}, "finite"),
        ({"position": topology_pb2.Position(up_m=math.inf)}, "finite"),
    ],
)
async def test_what_cannot_be_meant_is_refused_alone(words: dict[str, object], reason: str) -> None:
    to = sink()
    bad, good = await answer(to, offer(**words), offer(local_id="good"))

    assert (bad.entity_id, reason in bad.reason) == ("", True)
    assert good.entity_id == "main-good"


async def test_the_same_name_twice_is_refused_the_second_time() -> None:
    answers = await answer(sink(), offer(), offer())

    assert [bool(a.entity_id) for a in answers] == [True, False]


async def test_what_is_beyond_a_thousand_is_refused() -> None:
    to = sink()
    answers = await answer(to, *(offer(local_id=f"k-{n}") for n in range(MAX_OFFERED + 2)))

    assert len(to.offered) == MAX_OFFERED
    assert [a.local_id for a in answers if "another" in a.reason] == [f"k-{MAX_OFFERED}", f"k-{MAX_OFFERED + 1}"]


async def test_an_empty_offer_is_answered() -> None:
    assert await answer(sink()) == []
