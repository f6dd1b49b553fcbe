"""Pictures and presence over REST, from a real scene at a real bridge."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image

from bridge.client import SceneClient
from bridge.scene_media import CameraRequest
from bridge.server import BridgeServer
from bridge.testing import MemorySink
from twin.clock import CivilTime
from twin.entities import Kind
from twin.errors import NotFound, SceneUnavailable
from twin.media import CameraImage
from twin.ports import SceneStart
from twin.topology import Entity, Topology
from twin_app.access import Door, Role, digest_of
from twin_app.api import problems, routes_media
from twin_app.settings import TokenSettings

CIVIL = CivilTime(epoch=datetime(2026, 11, 7, 12, tzinfo=UTC), timezone="Europe/Berlin")


@dataclass
class Place:
    """What the routes need of a scene."""

    bridge: BridgeServer
    id: str = "main"
    civil: CivilTime = CIVIL

    @property
    def inventory(self) -> "Place":
        return self


@dataclass
class House:
    """What the routes need of a twin."""

    place: Place
    door: Door = field(default_factory=Door)

    def world(self, scene_id: str | None) -> Place:
        if scene_id not in {None, self.place.id}:
            raise NotFound(f"there is no scene `{scene_id}`")
        return self.place


@asynccontextmanager
async def house(door: Door | None = None) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    topology = Topology([Entity(index=0, id="ue-0", kind=Kind.UE, name="ue 0")], revision=1)
    sink = MemorySink(SceneStart(topology=topology, civil=CIVIL, resume_at_sim_s=None, past_s=0, speed=1.0, desired=()))
    server = BridgeServer(sink=sink, port=0)
    port = await server.start()
    app = FastAPI()
    problems.install(app)
    app.include_router(routes_media.router)
    app.state.twin = House(Place(server), door or Door())
    transport = httpx.ASGITransport(app=app)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client, f"127.0.0.1:{port}"
    finally:
        await server.stop()


def drawn(word: str, width: int, height: int) -> bytes:
    picture = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    if word == "raw":
        return picture.tobytes()
    written = io.BytesIO()
    picture.save(written, format=word)
    return written.getvalue()


def camera(word: str) -> object:
    def shoot(request: CameraRequest) -> CameraImage:
        width, height = request.width or 320, request.height or 200
        return CameraImage(
            scene_id="main",
            camera_id=request.camera_id,
            codec=word,  # type: ignore[arg-type]
            width=width,
            height=height,
            data=drawn(word, width, height),
            position_m=(1.0, -2.0, 3.5),
            rotation=(0.0, 0.0, 0.0, 1.0),
            horizontal_fov_deg=60.0,
            sim_time_s=90.0,
        )

    return shoot


@pytest.mark.parametrize(("word", "kind"), [("jpeg", "JPEG"), ("png", "PNG"), ("raw", "PNG")])
async def test_a_picture_comes_with_its_pose_and_a_raw_one_as_png(word: str, kind: str) -> None:
    async with house() as (client, url), SceneClient(url, "main", provides=["MOTION"], on_camera=camera(word)):  # type: ignore[arg-type]
        answer = await client.get("/v1/camera", params={"camera": "Dach Süd", "width": 64, "height": 48})
        assert answer.status_code == 200
        shown = Image.open(io.BytesIO(answer.content))

        assert (shown.format, shown.size) == (kind, (64, 48))
        assert answer.headers["content-type"] == f"image/{kind.lower()}"
        told = {name: value for name, value in answer.headers.items() if name.startswith("x-camera")}
        assert told == {
            "x-camera-id": "Dach%20S%C3%BCd",
            "x-camera-size": "64x48",
            "x-camera-position-m": "1.000,-2.000,3.500",
            "x-camera-rotation": "0.000000,0.000000,0.000000,1.000000",
            "x-camera-horizontal-fov-deg": "60.00",
            "x-camera-time": "2026-11-07T13:01:30.000+01:00",
        }
        if word == "raw":
            assert shown.convert("RGB").tobytes() == drawn("raw", 64, 48)


def broken(request: CameraRequest) -> CameraImage:
    raise SceneUnavailable(f"camera `{request.camera_id}` is broken")


async def test_why_there_is_no_picture_is_a_problem_with_its_status() -> None:
    async with house() as (client, url):
        nobody = await client.get("/v1/camera", params={"scene": "main"})
        assert (nobody.status_code, nobody.json()["type"]) == (503, "urn:twin6g:SceneUnavailable")
        elsewhere = await client.get("/v1/camera", params={"scene": "other"})
        assert elsewhere.status_code == 404
        absurd = await client.get("/v1/camera", params={"width": 100_000})
        assert absurd.status_code == 422
        async with SceneClient(url, "main", provides=["MOTION"], on_camera=broken):
            answer = await client.get("/v1/camera", params={"camera": "roof"})
            assert (answer.status_code, "`roof` is broken" in answer.json()["detail"]) == (503, True)


async def test_a_scene_that_takes_too_long_is_a_time_out() -> None:
    async def slow(request: CameraRequest) -> CameraImage:
        await asyncio.sleep(5)
        raise AssertionError(request)

    async with house() as (client, url), SceneClient(url, "main", provides=["MOTION"], on_camera=slow):
        answer = await client.get("/v1/camera", params={"timeout_s": 0.05})
        assert (answer.status_code, answer.json()["type"]) == (504, "urn:twin6g:DeadlineExceeded")


async def test_the_newest_picture_sent_unasked_needs_no_asking() -> None:
    async with house() as (client, url), SceneClient(url, "main", provides=["MOTION"]) as scene:
        assert (await client.get("/v1/camera/latest")).status_code == 404
        shoot = camera("jpeg")
        request = CameraRequest(request_id="", camera_id="roof", width=16, height=8, codec=None)
        scene.send_picture(shoot(request))  # type: ignore[operator]
        async with asyncio.timeout(5):
            while (answer := await client.get("/v1/camera/latest", params={"camera": "roof"})).status_code != 200:
                await asyncio.sleep(0.01)

        assert (answer.content, answer.headers["x-camera-size"]) == (drawn("jpeg", 16, 8), "16x8")


async def test_people_are_listed_with_what_they_told() -> None:
    async with house() as (client, url), SceneClient(url, "main", provides=["MOTION"], engine="test") as scene:
        assert (await client.get("/v1/presence")).json() == {"scene": "main", "people": []}
        scene.show(name="Ana", colour="#112233", selected=("ue-0", "gone"))
        people: list[dict[str, object]] = []
        while not people:
            people = (await client.get("/v1/presence")).json()["people"]
        (person,) = people

        assert person.pop("session")
        assert person == {
            "name": "Ana",
            "colour": "#112233",
            "camera_position_m": None,
            "camera_rotation": None,
            "selected": ["ue-0"],
            "engine": "test",
        }


async def test_who_may_not_watch_sees_nothing() -> None:
    token = TokenSettings(name="ana", role=Role.STUDENT, sha256=digest_of("secret"))
    async with house(Door([token])) as (client, _):
        for path in ("/v1/camera", "/v1/presence"):
            assert (await client.get(path)).status_code == 401
        allowed = await client.get("/v1/presence", headers={"Authorization": "Bearer secret"})
        assert allowed.status_code == 200
