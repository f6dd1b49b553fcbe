"""Several scenes in one twin: each with its own city, memory, changes and agent; they come back, and they can go."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.client import SceneClient
from tests.e2e.running_twin import RunningTwin, read_events
from twin.commands import Command, CommandResult, CommandStage

Start = Callable[..., RunningTwin]
FAST = {"TWIN_APPROVAL__VERIFY_S": "3"}
TILT = {"actions": [{"entity": "cell-5-1", "attribute": "digitalTilt", "value": 35}]}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory):
    """One twin with two scenes, shared by the tests that break nothing."""
    made = RunningTwin(
        tmp_path_factory.mktemp("twin"), "--past", "0", "--scene", "campus", "--scene", "harbour", env=FAST
    ).wait_ready()
    made.wait_for(lambda: all(row["live"] for row in scenes(made)))
    yield made
    assert made.stop() == 0


def scenes(twin: RunningTwin) -> list[dict[str, Any]]:
    return twin.get("/v1/scenes")["items"]


def status(twin: RunningTwin, method: str, path: str, **rest: Any) -> tuple[int, str]:
    with twin.http() as client:
        response = client.request(method, path, **rest)
    return response.status_code, response.text


def test_each_scene_has_a_city_of_its_own_and_is_shown_by_its_own_process(pair: RunningTwin) -> None:
    rows = scenes(pair)
    cities = [pair.get("/v1/topology", scene=one)["entities"] for one in ("campus", "harbour")]

    assert ["campus", "harbour"] == [row["id"] for row in rows]
    assert [["KPI", "MOTION", "STATE"]] * 2 == [row["provides"] for row in rows]
    assert all(row["sessions"][0]["fencing_number"] > 0 for row in rows)
    assert len({row["sessions"][0]["session"] for row in rows}) == 2
    assert cities[0] != cities[1]


@pytest.mark.parametrize(
    "path", ["/v1/topology", "/v1/entities", "/v1/alarms", "/v1/changes", "/v1/faults", "/v1/map", "/v1/live"]
)
def test_without_a_name_every_route_lists_the_scenes(pair: RunningTwin, path: str) -> None:
    code, text = status(pair, "GET", path)

    assert (400, True, True) == (code, "campus, harbour" in text, "SceneNotNamed" in text)
    assert 404 == status(pair, "GET", path, params={"scene": "moon"})[0]
    assert 200 == status(pair, "GET", path, params={"scene": "harbour"})[0]


def test_each_is_asked_for_itself(pair: RunningTwin) -> None:
    question = {"text": "How many cells are there?"}
    answers = [pair.post(f"/v1/ask?scene={one}", question).json() for one in ("campus", "harbour")]
    in_context = pair.post("/v1/ask", {**question, "context": {"scene": "campus"}}).json()
    nowhere = pair.post("/v1/ask", question)

    assert ["answered", "answered", "answered"] == [a["status"] for a in (*answers, in_context)]
    assert answers[0]["text"] == in_context["text"]
    assert 400 == nowhere.status_code


def test_a_change_in_one_does_not_touch_the_other(pair: RunningTwin) -> None:
    old, before = pair.get("/v1/entities/cell-5-1", scene="harbour"), pair.get("/v1/changes", scene="harbour")
    pair.wait_for(lambda: pair.get("/v1/health", scene="campus")["sim_time_s"] > 3)
    change = pair.post("/v1/changes?scene=campus", TILT).json()
    pair.post(f"/v1/changes/{change['id']}/approve?scene=campus", {})

    def ended() -> dict[str, Any] | None:
        found = pair.get(f"/v1/changes/{change['id']}", scene="campus")
        return found if found["state"] in {"committed", "rolled_back", "failed"} else None

    done = pair.wait_for(ended)
    assert "committed" == done["state"], done["outcome"]
    assert 35 == pair.get("/v1/entities/cell-5-1", scene="campus")["attributes"]["digitalTilt"]
    assert old == pair.get("/v1/entities/cell-5-1", scene="harbour")
    assert before == pair.get("/v1/changes", scene="harbour")
    assert 404 == status(pair, "GET", "/v1/changes/change-99", params={"scene": "campus"})[0]


def test_a_fault_in_one_is_not_in_the_other(pair: RunningTwin) -> None:
    fault = {"fault": "power-loss", "entity": "cell-2-1", "severity": 0.5}
    made = pair.post("/v1/faults?scene=harbour", fault)

    assert 202 == made.status_code, made.text
    assert [] == pair.get("/v1/faults", scene="campus")["active"]
    assert ["cell-2-1"] == [one["entity"] for one in pair.get("/v1/faults", scene="harbour")["active"]]
    pair.post("/v1/faults?scene=harbour", {**fault, "operation": "clear"})


def test_news_of_one_scene_leave_out_the_other(pair: RunningTwin) -> None:
    heard: dict[str, list[tuple[str, Any]]] = {}
    with contextlib.ExitStack() as open_streams:
        client = open_streams.enter_context(httpx.Client(base_url=pair.url, timeout=5, trust_env=False))
        streams = {}
        for name in ("campus", "harbour", ""):
            request = client.build_request("GET", "/v1/events", params={"scene": name} if name else {})
            response = client.send(request, stream=True)
            open_streams.callback(response.close)
            streams[name] = news_in(response)
            heard[name] = [next(streams[name])]  # it listens from here on
        made = pair.post("/v1/changes?scene=harbour", {**TILT, "reason": "news"}).json()
        for name, stream in streams.items():
            while sum(kind == "health" for kind, _ in heard[name]) < 3:
                heard[name].append(next(stream))

    changes = {name: [facts for kind, facts in news if kind == "change"] for name, news in heard.items()}
    assert [] == changes["campus"]
    assert {("harbour", made["id"])} == {(f["scene_id"], f["id"]) for f in (*changes["harbour"], *changes[""])}
    assert changes["harbour"]
    assert changes[""]
    assert {"campus"} == {facts["scene"] for kind, facts in heard["campus"] if kind == "health"}


def news_in(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Yield server-sent events as they come."""
    block = ""
    for line in response.iter_lines():
        block += line + "\n"
        if not line:
            yield from read_events(block)
            block = ""


def test_the_health_of_all_is_told_and_that_of_one_can_be_asked_for(pair: RunningTwin) -> None:
    first, second = pair.get("/v1/health"), pair.get("/v1/health", scene="harbour")

    assert ("campus", "harbour") == (first["scene"], second["scene"])
    assert ["campus", "harbour"] == [row["id"] for row in first["scenes"]] == [row["id"] for row in second["scenes"]]
    assert {"scene", "graph", "store", "shadow", "planner"} == set(first["scenes"][1]["parts"])


def test_an_order_for_both_is_applied_when_both_applied_it_and_answered_once(pair: RunningTwin) -> None:
    body = {"kind": "speed", "speed": 2.0, "scenes": ["campus", "harbour"]}
    key = {"Idempotency-Key": "twice-as-fast"}
    first, again = pair.post("/v1/commands", body, **key), pair.post("/v1/commands", body, **key)
    other = pair.post("/v1/commands", {**body, "speed": 3.0}, **key)
    nowhere = pair.post("/v1/commands", {"kind": "pause"})

    assert 200 == first.status_code, first.text
    assert "APPLIED" == first.json()["stage"]
    assert ["APPLIED", "APPLIED"] == [one["stage"] for one in first.json()["scenes"]]
    assert first.json() == again.json()
    assert (422, 400) == (other.status_code, nowhere.status_code)
    pair.wait_for(lambda: all((row["speed_actual"] or 0) > 1.5 for row in scenes(pair)))
    pair.post("/v1/commands", {**body, "speed": 1.0})


def test_what_a_scene_cannot_show_is_refused_with_its_reason(pair: RunningTwin) -> None:
    body = {"kind": "overlay", "overlay_id": "o", "entities": ["cell-5-1"], "text": "here"}
    told = pair.post("/v1/commands?scene=campus", body).json()

    assert ("REJECTED", True) == (told["stage"], "shows nothing" in told["reason"])


def test_the_command_line_names_a_scene(pair: RunningTwin) -> None:
    nowhere, there = pair.cli("alarms"), pair.cli("entities", "site", "--scene", "harbour", "--json")
    listed = pair.cli("scenes", "list")

    assert (1, True) == (nowhere.returncode, "campus, harbour" in nowhere.stderr)
    assert (0, True) == (there.returncode, len(json.loads(there.stdout)) > 3)
    assert (0, True) == (listed.returncode, "harbour" in listed.stdout)


def test_scenes_come_and_go_and_come_back_after_a_restart(start_twin: Start) -> None:
    first = start_twin("--past", "0", "--no-scene", env=FAST).wait_ready()
    made = first.post("/v1/scenes", {"id": "harbour", "seed": 7, "ues": 40})
    taken = first.post("/v1/scenes", {"id": "harbour"})
    added = first.cli("scenes", "add", "campus", "--no-scene")
    change = first.post("/v1/changes?scene=harbour", TILT).json()
    kept = first.get("/v1/topology", scene="harbour")
    assert (201, 409, 0) == (made.status_code, taken.status_code, added.returncode), made.text + added.stderr
    first.stop()

    second = start_twin("--past", "0", "--no-scene", env=FAST).wait_ready()
    assert ["main", "harbour", "campus"] == [row["id"] for row in scenes(second)]
    assert kept == second.get("/v1/topology", scene="harbour")
    assert change["digest"] == second.get("/v1/changes/change-1", scene="harbour")["digest"]

    assert 204 == status(second, "DELETE", "/v1/scenes/harbour")[0]
    assert 404 == status(second, "GET", "/v1/topology", params={"scene": "harbour"})[0]
    assert 404 == status(second, "DELETE", "/v1/scenes/harbour")[0]
    other_city = second.post("/v1/scenes", {"id": "harbour", "seed": 8})
    again = second.post("/v1/scenes", {"id": "harbour", "with_scene": False})
    assert (409, 201) == (other_city.status_code, again.status_code), other_city.text + again.text
    assert change["digest"] == second.get("/v1/changes/change-1", scene="harbour")["digest"]

    assert 0 == second.cli("scenes", "remove", "harbour", "--purge", "--yes").returncode
    assert 0 == second.cli("scenes", "remove", "campus").returncode
    assert [] == list((second.data_dir / "scenes" / "harbour").iterdir())
    last = status(second, "DELETE", "/v1/scenes/main")
    assert (409, True) == (last[0], "only scene" in last[1])
    second.stop()

    third = start_twin("--past", "0", "--no-scene").wait_ready()
    assert ["main"] == [row["id"] for row in scenes(third)]
    assert 200 == status(third, "GET", "/v1/topology")[0]


def test_a_folder_of_one_scene_goes_on_working_and_loses_nothing(start_twin: Start) -> None:
    old = start_twin("--past", "0", "--no-scene").wait_ready()
    change = old.wait_tried(old.post("/v1/changes", TILT).json()["id"])
    topology = old.get("/v1/topology")
    old.stop()
    (old.data_dir / "scenes.json").unlink()  # what a version leaves behind that keeps one scene only
    before = files_of(old.data_dir)

    new = start_twin("--past", "0", "--no-scene", "--scene", "harbour").wait_ready()
    assert ["main", "harbour"] == [row["id"] for row in scenes(new)]
    assert change["digest"] == new.get("/v1/changes/change-1", scene="main")["digest"]
    assert topology == new.get("/v1/topology", scene="main")
    new.stop()

    after = files_of(old.data_dir)
    assert set(before) <= set(after)
    assert before["city.json"] == after["city.json"]
    back = start_twin("--past", "0", "--no-scene").wait_ready()
    verified = [
        back.cli("journal", "verify", "--data-dir", str(one))
        for one in (back.data_dir, back.data_dir / "scenes" / "harbour")
    ]
    assert [0, 0] == [one.returncode for one in verified], verified


def files_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the files of the scene that lies in the folder itself."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def test_more_scenes_than_allowed_are_refused_with_a_word_about_memory(start_twin: Start) -> None:
    twin = start_twin("--past", "0", "--no-scene", env={"TWIN_MAX_SCENES": "1"}).wait_ready()
    refused = twin.post("/v1/scenes", {"id": "harbour"})

    assert 409 == refused.status_code
    assert "TWIN_MAX_SCENES" in refused.json()["detail"]
    assert "MB" in refused.json()["detail"]


def test_a_scenario_file_gives_a_scene_its_city(start_twin: Start, tmp_path: Path) -> None:
    file = tmp_path / "campus.yaml"
    file.write_text("name: Campus\nseed: 3\nues: 30\n")
    first = start_twin("--past", "0", "--no-scene", "--scene", f"campus={file}", "--scene", "harbour").wait_ready()
    names = [row["name"] for row in scenes(first)]
    first.stop()
    file.unlink()
    second = start_twin("--past", "0", "--no-scene").wait_ready()

    assert "Campus" == names[0]
    assert names == [row["name"] for row in scenes(second)]
    refused = start_twin("--scene", "campus=", data_dir=tmp_path / "other")
    assert 1 == refused.ended(limit_s=60)
    assert "NAME=SCENARIO.yaml" in refused.said


def test_who_may_add_scenes_and_give_orders(start_twin: Start) -> None:
    tokens = [
        {"name": role, "role": role, "sha256": hashlib.sha256(role.encode()).hexdigest()}
        for role in ("student", "scene", "instructor", "admin")
    ]
    twin = start_twin("--past", "0", "--no-scene", env={"TWIN_ACCESS__TOKENS": json.dumps(tokens)}).wait_ready()

    def answers(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, int]:
        rest = {} if body is None else {"json": body}
        return {
            role: status(twin, method, path, headers={"Authorization": f"Bearer {role}"}, **rest)[0]
            for role in ("student", "scene", "instructor", "admin")
        }

    allowed = {
        "show": answers("POST", "/v1/commands", {"kind": "overlay", "overlay_id": "o"}),
        "spawn": answers("POST", "/v1/commands", {"kind": "spawn", "archetype": "tree", "entity_id": "tree-1"}),
        "pause": answers("POST", "/v1/commands", {"kind": "pause"}),
        "list": answers("GET", "/v1/scenes"),
        "add": answers("POST", "/v1/scenes", {"id": "harbour", "with_scene": False}),
        "purge": answers("DELETE", "/v1/scenes/harbour?purge=true"),
    }

    assert {
        "show": {"student": 200, "scene": 403, "instructor": 200, "admin": 200},
        "spawn": {"student": 403, "scene": 200, "instructor": 200, "admin": 200},
        "pause": {"student": 403, "scene": 403, "instructor": 200, "admin": 200},
        "list": {"student": 200, "scene": 200, "instructor": 200, "admin": 200},
        "add": {"student": 403, "scene": 403, "instructor": 201, "admin": 409},
        "purge": {"student": 403, "scene": 403, "instructor": 403, "admin": 204},
    } == allowed
    assert 401 == status(twin, "GET", "/v1/scenes")[0]


def test_an_order_that_no_scene_answered_is_given_again_under_its_key(start_twin: Start) -> None:
    twin = start_twin("--past", "0", "--no-scene").wait_ready()
    body, key = {"kind": "overlay", "overlay_id": "o", "text": "here"}, {"Idempotency-Key": "k"}
    nobody = twin.post("/v1/commands", body, **key).json()
    port = json.loads((twin.data_dir / "run.json").read_text())["grpc_port"]
    obeyed = asyncio.run(obey(port, lambda: twin.post("/v1/commands", body, **key).json()))
    twin.stop()
    again = start_twin("--past", "0", "--no-scene").wait_ready()
    after_restart = again.post("/v1/commands", body, **key).json()

    assert ("FAILED", True) == (nobody["stage"], "connected" in nobody["reason"])
    assert ([nobody["id"]], "APPLIED") == (obeyed["ids"], obeyed["told"][0]["stage"])
    assert obeyed["told"][0] == obeyed["told"][1] == after_restart


async def obey(port: int, give: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Show the scene, let the order be given twice, and return what was obeyed and what was told."""
    ids: list[str] = []

    def take(command: Command) -> CommandResult:
        ids.append(command.id)
        return CommandResult(command_id=command.id, stage=CommandStage.APPLIED, sim_time_s=1.0)

    async with SceneClient(f"127.0.0.1:{port}", "main", provides=("MOTION", "KPI"), on_command=take):
        told = [await asyncio.to_thread(give) for _ in range(2)]
    return {"ids": ids, "told": told}
