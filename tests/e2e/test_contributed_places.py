"""What an engine adds to the city: in the inventory, in the graph, in answers, and still there after a restart."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.client import SceneClient
from tests.e2e.running_twin import RunningTwin
from twin.ports import EntityVerdict, OfferedEntity

KIOSK = OfferedEntity(local_id="Kiosk 7", kind="place", name="Zephyr kiosk", position_m=(120.0, -80.0, 0.0))
TOWER = OfferedEntity(local_id="tower", kind="building", name="Zephyr tower", position_m=(300.0, 100.0, 0.0))


def offer(twin: RunningTwin, *entities: OfferedEntity) -> tuple[EntityVerdict, ...]:
    port = json.loads((twin.data_dir / "run.json").read_text())["grpc_port"]

    async def once() -> tuple[EntityVerdict, ...]:
        url = f"127.0.0.1:{port}"
        async with SceneClient(url, "main", provides=["MOTION", "KPI"], engine="designer") as scene:
            verdicts = await scene.contribute(entities)
            assert all(one.entity_id in scene.topology for one in verdicts)
            return verdicts

    return asyncio.run(once())


def entity(twin: RunningTwin, entity_id: str) -> dict[str, Any]:
    return twin.get(f"/v1/entities/{entity_id}")


def test_contributed_places_are_shown_and_stay(start_twin: Callable[..., RunningTwin], tmp_path: Path) -> None:
    twin = start_twin("--past", "0", "--no-scene").wait_ready()
    nodes = twin.get("/v1/health")["graph"]["nodes"]
    kiosk, tower = offer(twin, KIOSK, TOWER)
    assert (kiosk.entity_id, tower.entity_id) == ("place-kiosk-7", "building-tower")
    assert twin.get("/v1/health")["graph"]["nodes"] == nodes + 2
    assert twin.get("/v1/health")["revision"] == 2
    assert entity(twin, kiosk.entity_id)["name"] == "Zephyr kiosk"
    assert "Zephyr kiosk" in twin.ask("what is place-kiosk-7?")["text"]
    assert twin.stop() == 0

    again = start_twin("--past", "0", "--no-scene", data_dir=tmp_path / "data").wait_ready()
    assert again.get("/v1/health")["graph"]["nodes"] == nodes + 2
    assert entity(again, tower.entity_id)["name"] == "Zephyr tower"
    assert offer(again, TOWER, KIOSK) == (tower, kiosk)
    assert again.get("/v1/health")["revision"] == 2
