"""The page's routes over real parts: generated city, network, store, journal, inventory."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from twin.clock import CivilTime
from twin.commands import SetAttribute
from twin.entities import Kind, RisPanel, SensingTarget
from twin.errors import PermissionDenied
from twin.network import Network
from twin.radio.coverage import SinrMap
from twin.scenario import Scenario
from twin_app.api import problems
from twin_app.inventory import LiveInventory
from twin_app.journal import SqliteJournal
from twin_app.page_api import CONTENT_SECURITY_POLICY, STATIC, page_router
from twin_app.scenarios.build import build_scenario
from twin_app.scenarios.spec import ScenarioSpec
from twin_app.store import EmbeddedTelemetryStore

CELL = "cell-7-2"


@dataclass
class City:
    """What the composition root would hand over, with a network that this test steps itself."""

    scenario: Scenario
    inventory: LiveInventory
    store: EmbeddedTelemetryStore
    network: Network
    rasters: int = 0

    async def sinr(self) -> SinrMap:
        self.rasters += 1
        return self.network.sinr_map(resolution_m=100.0)

    def measure(self) -> None:
        for _ in range(10):
            self.network.step(0.1)
        self.store.put_pm(self.network.close_period(scene_id="scene-1", epoch=1, seq=1, granularity_period_s=1))
        self.store.put_telemetry(self.network.telemetry(scene_id="scene-1", epoch=1, seq=1))
        self.inventory.note_time(self.network.sim_time_s)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    panel = RisPanel(
        id="ris-1",
        name="Panel 1",
        position_m=(10.0, 20.0, 8.0),
        azimuth_deg=90.0,
        columns=8,
        rows=8,
        cell_id=CELL,
        dn="SubNetwork=1,vsData6gRis=1",
    )
    drone = SensingTarget(id="target-1", name="Drone 1", path_m=((0.0, 0.0, 60.0),), speed_mps=0.0, rcs_m2=0.1)
    return replace(build_scenario(ScenarioSpec(num_ues=60)), ris=(panel,), targets=(drone,))


@pytest.fixture
async def city(scenario: Scenario, tmp_path: Path) -> AsyncIterator[City]:
    civil = CivilTime(epoch=datetime(2026, 3, 2, 8, tzinfo=UTC), timezone=scenario.timezone)
    journal = SqliteJournal(tmp_path / "journal.db")
    await journal.open()
    inventory = LiveInventory(scenario=scenario, scene_id="scene-1", civil=civil, journal=journal)
    store = EmbeddedTelemetryStore(tmp_path / "kpi.duckdb", scene_id="scene-1", topology=lambda: inventory.topology)
    network = Network(scenario, inventory.topology, civil, seed=1)
    yield City(scenario=scenario, inventory=inventory, store=store, network=network)
    await journal.close()


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1")


@pytest.fixture
async def client(city: City) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    problems.install(app)
    app.include_router(page_router(lambda: city))
    async with client_of(app) as made:
        yield made


def read_frame(body: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    length = int.from_bytes(body[:4], "little")
    header, at, arrays = json.loads(body[4 : 4 + length]), 4 + length, {}
    assert at % 4 == 0
    for name, kind, count in header["arrays"]:
        arrays[name] = np.frombuffer(body, dtype=np.dtype(kind).newbyteorder("<"), count=count, offset=at)
        at += arrays[name].nbytes
    assert at == len(body)
    return header, arrays


async def test_a_live_frame_carries_positions_serving_cells_and_the_chosen_kpi(
    city: City, client: httpx.AsyncClient
) -> None:
    city.measure()
    header, arrays = read_frame((await client.get("/v1/live", params={"kpi": "vsData6gMeanSsSinr"})).content)
    _, ue_ids, position_m = city.store.positions()
    assert tuple(header["ue_ids"]) == ue_ids
    assert np.isfinite(arrays["cell_value"]).any()
    np.testing.assert_array_equal(arrays["east_m"], position_m[:, 0])
    np.testing.assert_array_equal(arrays["north_m"], position_m[:, 1])
    np.testing.assert_array_equal(arrays["cell_value"], city.store.latest(Kind.CELL, "vsData6gMeanSsSinr")[2])
    np.testing.assert_array_equal(arrays["ue_value"], city.store.latest(Kind.UE, "RF.serving.RSSINR")[2])
    dense = city.store.latest(Kind.UE, "vsData6gServingCell")[2]
    cells = [cell.id for cell in city.scenario.cells]
    serving = [cells[place] if place >= 0 else None for place in arrays["serving"]]
    assert serving == [city.inventory.topology.at(int(i)).id if i >= 0 else None for i in dense]
    assert any(serving)
    assert header["at"].startswith("2026-03-02T")


async def test_slow_facts_travel_only_until_the_page_has_them(city: City, client: httpx.AsyncClient) -> None:
    city.measure()
    first, _ = read_frame((await client.get("/v1/live")).content)
    known = {"revision": first["revision"], "ues": first["ues"]}
    second, _ = read_frame((await client.get("/v1/live", params=known)).content)
    assert "ue_ids" in first
    assert "ue_ids" not in second
    assert "cells" not in second
    await city.inventory.configure(
        [
            SetAttribute(entity_id=CELL, attribute="administrativeState", value="LOCKED"),
            SetAttribute(entity_id=CELL, attribute="digitalAzimuth", value=100.0),
        ],
        change_id="change-1",
        why="test",
    )
    third, _ = read_frame((await client.get("/v1/live", params=known)).content)
    place = [cell.id for cell in city.scenario.cells].index(CELL)
    expected_deg = (city.scenario.cells[place].azimuth_deg + 10.0) % 360.0
    assert third["cells"][place]["locked"]
    assert third["cells"][place]["azimuth_deg"] == pytest.approx(expected_deg)


async def test_before_the_first_sample_everything_is_missing_and_nothing_fails(client: httpx.AsyncClient) -> None:
    header, arrays = read_frame((await client.get("/v1/live")).content)
    inspected = (await client.get(f"/v1/map/entities/{CELL}")).json()
    assert header["sim_time_s"] is None
    assert np.isnan(arrays["cell_value"]).all()
    assert {figure["value"] for figure in inspected["figures"]} == {None}


@pytest.mark.parametrize("kpi", ["no.such", "RF.serving.RSRP"])
async def test_a_kpi_that_cells_do_not_have_is_refused_in_words(client: httpx.AsyncClient, kpi: str) -> None:
    answer = await client.get("/v1/live", params={"kpi": kpi})
    assert answer.status_code == 422
    assert f"`{kpi}`" in answer.json()["detail"]


async def test_the_map_is_sent_once_per_scenario(client: httpx.AsyncClient) -> None:
    first = await client.get("/v1/map")
    again = await client.get("/v1/map", headers={"If-None-Match": f"W/{first.headers['etag']}"})
    assert first.status_code == 200
    assert again.status_code == 304
    assert again.content == b""


async def test_the_raster_is_computed_once_per_configuration(city: City, client: httpx.AsyncClient) -> None:
    city.measure()
    header, arrays = read_frame((await client.get("/v1/map/sinr")).content)
    await client.get("/v1/map/sinr")
    assert city.rasters == 1
    wanted_db = city.network.sinr_map(resolution_m=100.0).sinr_db
    sent_db = arrays["squares"].reshape(header["rows"], header["cols"]) / header["steps_per_db"] + header["low_db"]
    inside = (wanted_db > -30.0) & (wanted_db < 33.0)
    assert np.abs(sent_db - wanted_db)[inside].max() <= 0.126
    await city.inventory.configure(
        [SetAttribute(entity_id=CELL, attribute="digitalTilt", value=20.0)], change_id="change-1", why="test"
    )
    await client.get("/v1/map/sinr")
    assert city.rasters == 2


async def test_the_inspector_speaks_in_degrees_and_dbm(city: City, client: httpx.AsyncClient) -> None:
    city.measure()
    told = (await client.get(f"/v1/map/entities/{CELL}")).json()
    words = {row["label"]: row["text"] for row in told["attributes"]}
    assert words["electrical tilt"].endswith(" deg")
    assert words["maximum transmit power"].endswith(" dBm")
    assert {"label": "carrier", "text": "3.5 GHz"} in told["facts"]
    neighbours = {row["id"] for row in told["related"] if row["relation"] == "neighbour"}
    assert neighbours == {n.target_id for n in city.scenario.neighbours if n.source_id == CELL}
    load = next(figure for figure in told["figures"] if figure["name"] == "RRU.PrbTotDl")
    _, ids, values = city.store.latest(Kind.CELL, "RRU.PrbTotDl")
    assert load["value"] == pytest.approx(float(values[ids.index(CELL)]))


async def test_every_kind_of_entity_can_be_inspected(city: City, client: httpx.AsyncClient) -> None:
    city.measure()
    first_of_kind = {entity.kind: entity.id for entity in reversed(city.inventory.topology.entities)}
    assert set(first_of_kind) == set(Kind)
    for kind, entity_id in first_of_kind.items():
        told = await client.get(f"/v1/map/entities/{entity_id}")
        assert told.status_code == 200, told.text
        assert told.json()["kind"] == kind.value


async def test_an_unknown_entity_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/map/entities/cell-99-9")).status_code == 404


async def test_the_page_allows_no_foreign_source_and_no_inline_script(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "<style" not in page.text
    assert " style=" not in page.text
    assert page.text.count("<script") == page.text.count('<script type="module" src=')
    for path in STATIC.iterdir():
        served = await client.get(f"/static/{path.name}")
        assert served.status_code == 200
        assert served.content == path.read_bytes()


@pytest.mark.parametrize("name", ["..%2Fpage_api.py", "%2e%2e%2fpage_api.py", "page_api.py", "nothing.js"])
async def test_nothing_outside_the_static_folder_is_served(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/static/{name}")).status_code == 404


def test_no_script_of_the_page_parses_markup_or_calls_elsewhere() -> None:
    for path in STATIC.glob("*.js"):
        text = path.read_text()
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "http://",
            "https://",
        ):
            assert forbidden not in text, f"{path.name} uses {forbidden}"


async def test_a_guard_stands_before_figures_but_not_before_the_page_itself(city: City) -> None:
    def nobody() -> None:
        raise PermissionDenied("not you")

    app = FastAPI()
    problems.install(app)
    app.include_router(page_router(lambda: city, guard=nobody))
    async with client_of(app) as client:
        paths = ("/", "/v1/live", "/v1/map", "/v1/map/sinr", f"/v1/map/entities/{CELL}")
        assert [(await client.get(path)).status_code for path in paths] == [200, 403, 403, 403, 403]
