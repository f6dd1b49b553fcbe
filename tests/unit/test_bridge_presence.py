"""Who is here: what people may say of themselves, and who is told, how often."""

import asyncio
import math

import pytest

from bridge import codec
from bridge.presence import PALETTE, PresenceBoard
from bridge.v1 import bridge_pb2, presence_pb2, session_pb2, topology_pb2
from bridge.words import clean
from tests.media_peer import Somebody, shadow, somebody
from twin.errors import ProtocolError

PRESENCE = session_pb2.CHANNEL_PRESENCE
ENTITIES = frozenset({f"ue-{i}" for i in range(100)})


def board(*peers: Somebody, interval_s: float = 0.1) -> PresenceBoard:
    return PresenceBoard(peers=lambda: peers, exists=lambda _: ENTITIES, interval_s=interval_s)


def show(where: PresenceBoard, peer: Somebody, **words: object) -> None:
    request = shadow(bridge_pb2.ConnectRequest(presence=presence_pb2.Presence(**words)))  # type: ignore[arg-type]
    where.shown(peer, request.presence)


def lists(peer: Somebody) -> list[list[str]]:
    return [[p.name for p in r.presence_list.people] for r in peer.bodies("presence_list")]


async def test_a_person_shows_name_colour_pose_and_selection() -> None:
    ana = somebody("s-ana", engine="unity")
    here = board(ana)
    show(
        here,
        ana,
        session_id="somebody-else",
        engine="something-else",
        name="Ana",
        colour="#00FF7f",
        camera_position=topology_pb2.Position(east_m=1, north_m=2, up_m=3),
        camera_rotation=[0, 0, 2, 0],
        selected_entity_ids=["ue-1", "ue-2"],
    )
    (person,) = here.people("main")

    assert (person.session_id, person.engine, person.name, person.colour) == ("s-ana", "unity", "Ana", "#00ff7f")
    assert (person.camera_position_m, person.camera_rotation) == ((1, 2, 3), (0, 0, 1, 0))
    assert person.selected_entity_ids == ("ue-1", "ue-2")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("  Ana \n Maria\t", "Ana Maria"),
        ("a\x00b\x1b[31mc\x7f", "ab[31mc"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("x" * 100, "x" * 64),
        ("Zoë 東京 👩\u200d💻", "Zoë 東京 👩\u200d💻"),
    ],
)
async def test_a_name_is_cleaned_before_anybody_sees_it(written: str, shown: str) -> None:
    peer = somebody()
    here = board(peer)
    show(here, peer, name=written)

    assert here.people("main")[0].name == shown


def test_cleaning_a_very_long_text_looks_at_its_beginning_only() -> None:
    assert clean("\x00" * 10_000_000 + "a", limit=64) == ""


async def test_whoever_gives_no_name_or_colour_gets_one() -> None:
    peers = [somebody(f"s-{i}") for i in range(9)]
    here = board(*peers)
    for peer in peers:
        show(here, peer, colour="red")

    people = here.people("main")
    assert [p.name for p in people[:2]] == ["guest 1", "guest 2"]
    assert tuple(p.colour for p in people[:7]) == PALETTE
    assert people[7].colour in PALETTE


async def test_a_picked_colour_stays_and_is_nobody_elses() -> None:
    one, two, three = (somebody(f"s-{i}") for i in range(3))
    here = board(one, two, three)
    for peer in (one, two):
        show(here, peer)
    mine = here.people("main")[1].colour
    here.gone(one)
    show(here, two, name="Bo")
    show(here, three)

    assert [p.colour for p in here.people("main")] == [mine, PALETTE[0]]


@pytest.mark.parametrize(
    ("position", "rotation"),
    [
        ((math.nan, 0, 0), ()),
        ((math.inf, 0, 0), (0, 0, 0, 0)),
        ((0, 0, -math.inf), (1, 2, 3)),
        ((math.nan, 0, 0), (math.nan, 0, 0, 1)),
        ((math.nan, 0, 0), (3e38, 3e38, 3e38, math.inf)),
    ],
)
async def test_a_pose_that_is_none_counts_as_not_told(position: tuple[float, ...], rotation: tuple[float, ...]) -> None:
    peer = somebody()
    here = board(peer)
    east_m, north_m, up_m = position
    at = topology_pb2.Position(east_m=east_m, north_m=north_m, up_m=up_m)
    show(here, peer, camera_position=at, camera_rotation=rotation)
    (person,) = here.people("main")

    assert (person.camera_position_m, person.camera_rotation) == (None, None)


async def test_a_rotation_that_is_no_list_of_numbers_breaks_the_contract() -> None:
    peer = somebody()
    presence = codec.ConnectRequest().presence
    presence.camera_rotation = b"abc"  # type: ignore[assignment]

    with pytest.raises(ProtocolError, match="camera_rotation"):
        board(peer).shown(peer, presence)


async def test_only_entities_that_exist_can_be_selected_once_each_and_64_at_most() -> None:
    peer = somebody()
    here = board(peer)
    show(here, peer, selected_entity_ids=["ue-5", "nothing", "ue-5", *(f"ue-{i}" for i in range(100))])
    selected = here.people("main")[0].selected_entity_ids

    assert len(selected) == 64
    assert selected[:3] == ("ue-5", "ue-0", "ue-1")


async def test_subscribers_of_the_scene_are_told_and_nobody_else() -> None:
    ana, bo = somebody("s-ana", channels=(PRESENCE,)), somebody("s-bo", channels=(PRESENCE,))
    deaf, away = somebody("s-deaf"), somebody("s-away", channels=(PRESENCE,), scene_id="other")
    for peer in (ana, bo, deaf, away):
        peer.outbox.grant(PRESENCE, 10)
    here = board(ana, bo, deaf, away)
    show(here, ana, name="Ana")

    assert [lists(peer) for peer in (ana, bo, deaf, away)] == [[["Ana"]], [["Ana"]], [], []]


async def test_a_hundred_changes_become_a_few_lists_the_last_of_which_holds_all() -> None:
    watcher = somebody("s-w", channels=(PRESENCE,))
    watcher.outbox.grant(PRESENCE, 1_000)
    peer = somebody("s-ana")
    here = board(watcher, peer, interval_s=0.05)
    loop = asyncio.get_running_loop()
    begin_s, heard = loop.time(), []
    for number in range(100):
        show(here, peer, name=f"Ana {number}")
        heard += lists(watcher)
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.08)
    heard += lists(watcher)

    assert heard[0] == ["Ana 0"]
    assert heard[-1] == ["Ana 99"]
    assert 2 <= len(heard) <= (loop.time() - begin_s) / 0.05 + 1


async def test_what_changes_nothing_is_not_told() -> None:
    watcher = somebody("s-w", channels=(PRESENCE,))
    watcher.outbox.grant(PRESENCE, 10)
    here = board(watcher, interval_s=0.0)
    for _ in range(3):
        show(here, watcher, name="Ana")

    assert lists(watcher) == [["Ana"]]


async def test_leaving_is_told() -> None:
    watcher, ana = somebody("s-w", channels=(PRESENCE,)), somebody("s-ana")
    watcher.outbox.grant(PRESENCE, 10)
    here = board(watcher, ana, interval_s=0.0)
    show(here, ana, name="Ana")
    here.gone(ana)

    assert lists(watcher)[-1] == []
    assert here.people("main") == ()


async def test_a_slow_watcher_gets_the_newest_list_only() -> None:
    watcher, ana = somebody("s-w", channels=(PRESENCE,)), somebody("s-ana")
    here = board(watcher, ana, interval_s=0.0)
    for name in ("a", "b", "c"):
        show(here, ana, name=name)
    watcher.outbox.grant(PRESENCE, 1)

    assert lists(watcher) == [["c"]]
    assert watcher.outbox.dropped[PRESENCE] == 2


async def test_whoever_subscribes_later_learns_who_is_here() -> None:
    ana, late = somebody("s-ana"), somebody("s-late", channels=(PRESENCE,))
    late.outbox.grant(PRESENCE, 1)
    here = board(ana, late)
    show(here, ana, name="Ana")
    late.told()
    late.outbox.grant(PRESENCE, 1)
    here.wanted(late)

    assert lists(late) == [["Ana"]]


async def test_a_closed_board_tells_nobody() -> None:
    watcher = somebody("s-w", channels=(PRESENCE,))
    here = board(watcher, interval_s=0.02)
    show(here, watcher, name="a")
    show(here, watcher, name="b")
    watcher.outbox.grant(PRESENCE, 10)
    watcher.told()
    here.close()
    await asyncio.sleep(0.04)

    assert watcher.told() == []
