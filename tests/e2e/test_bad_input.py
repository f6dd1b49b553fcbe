"""Rubbish gets a clear error; nothing is lost and no traceback reaches anybody."""

import httpx
import pytest

from tests.e2e.running_twin import RunningTwin


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    body = response.json()
    assert {"type", "title", "status", "detail"} <= body.keys()
    assert "Traceback" not in response.text
    return response.status_code, body["detail"]


@pytest.mark.parametrize(
    ("action", "status", "says"),
    [
        ({"entity": "cell-99-9", "attribute": "digitalTilt", "value": 50}, 404, "cell-99-9"),
        ({"entity": "cell-7-2", "attribute": "digitalTilt", "value": 900}, 422, "15"),
        ({"entity": "cell-7-2", "attribute": "digitalTilt", "value": "steep"}, 422, "steep"),
        ({"entity": "cell-7-2", "attribute": "nonsense", "value": 1}, 422, "nonsense"),
        ({"entity": "site-7", "attribute": "digitalTilt", "value": 50}, 422, "site"),
        ({"entity": "cell-7-2", "attribute": "digitalTilt"}, 422, "value"),
        ({"entity": "cell-7-2", "attribute": "digitalTilt", "value": True}, 422, "value"),
    ],
)
def test_a_wrong_action_is_refused_with_its_value(twin: RunningTwin, action: dict, status: int, says: str) -> None:
    code, detail = problem(twin.post("/v1/changes", {"actions": [action]}))

    assert (status, True) == (code, says in detail)


def test_an_empty_question_is_refused(twin: RunningTwin) -> None:
    code, detail = problem(twin.post("/v1/ask", {"text": "   "}))

    assert (422, True) == (code, "empty" in detail.lower())


def test_a_question_of_one_megabyte_is_refused(twin: RunningTwin) -> None:
    code, _ = problem(twin.post("/v1/ask", {"text": "x" * 1_000_000}))

    assert 413 == code


def test_a_long_question_below_the_body_limit_is_refused_too(twin: RunningTwin) -> None:
    code, detail = problem(twin.post("/v1/ask", {"text": "load " * 2_000}))

    assert (413, True) == (code, "8" in detail)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"text"', b'{"text": 5}', rb'{"text": "\ud800"}', b'{"txt": "x"}', b"\xff\xfe"]
)
def test_a_body_that_is_no_question_is_422(twin: RunningTwin, body: bytes) -> None:
    with twin.http() as client:
        response = client.post("/v1/ask", content=body, headers={"Content-Type": "application/json"})

    assert 422 == problem(response)[0]


def test_unknown_things_are_404_and_foreign_callers_403(twin: RunningTwin) -> None:
    with twin.http() as client:
        missing = client.get("/v1/changes/change-999")
        nowhere = client.get("/v1/nowhere")
        rebound = client.get("/v1/health", headers={"Host": "twin.example:80"})
        foreign = client.post("/v1/ask", json={"text": "hi"}, headers={"Origin": "https://evil.example"})
        form = client.post("/v1/ask", data={"text": "hi"})

    assert [404, 404, 403, 403, 415] == [problem(r)[0] for r in (missing, nowhere, rebound, foreign, form)]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"entity": "cell-7-2", "kpi": "No.SuchKpi"}, "No.SuchKpi"),
        ({"entity": "site-7", "kpi": "RRU.PrbTotDl"}, "site"),
        ({"entity": "cell-7-2", "kpi": "RRU.PrbTotDl", "from": "whenever"}, "whenever"),
        ({"entity": "cell-7-2", "kpi": "RRU.PrbTotDl", "from": "now", "to": "-5m"}, "before"),
        ({"entity": "cell-7-2", "kpi": "RRU.PrbTotDl", "granularity": 0}, "granularity"),
        ({"entity": "cell-7-2", "kpi": "RRU.PrbTotDl", "from": "0001-01-01T00:00:00+14:00"}, "0001"),
        ({"kpi": "RRU.PrbTotDl"}, "entity"),
    ],
)
def test_a_series_that_cannot_be_meant_is_422(twin: RunningTwin, params: dict, says: str) -> None:
    with twin.http() as client:
        code, detail = problem(client.get("/v1/kpis", params=params))

    assert (422, True) == (code, says in detail)


def test_a_wrong_cursor_is_422(twin: RunningTwin) -> None:
    with twin.http() as client:
        assert 422 == problem(client.get("/v1/entities", params={"cursor": "rubbish"}))[0]


def test_paging_walks_the_whole_inventory_once(twin: RunningTwin) -> None:
    ids, cursor = [], None
    while True:
        page = twin.get("/v1/entities", limit=500, **({"cursor": cursor} if cursor else {}))
        ids += [row["id"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert sum(twin.get("/v1/topology")["counts"].values()) == len(ids) == len(set(ids))


def test_an_unknown_cell_in_a_question_names_the_nearest(twin: RunningTwin) -> None:
    answer = twin.ask("What is the load of cell 99-1?")

    assert answer["status"] in {"clarify", "refused"}
    assert "99" in answer["text"]


def test_the_openapi_has_summaries_and_problems_for_every_route(twin: RunningTwin) -> None:
    paths = twin.get("/openapi.json")["paths"]

    for path, methods in paths.items():
        if path.startswith("/v1/") and not path.startswith(("/v1/map", "/v1/live", "/v1/inspector")):
            for method, route in methods.items():
                assert route.get("summary"), (method, path)
                assert "422" in route["responses"], (method, path)


def test_the_command_line_says_errors_in_one_sentence(twin: RunningTwin) -> None:
    unknown = twin.cli("kpis", "cell-99-9", "RRU.PrbTotDl")
    nothing = twin.cli("approve", "change-999", "--yes")
    usage = twin.cli("kpis")
    nobody = twin.cli("health", "--url", "http://127.0.0.1:9")
    marked = twin.cli("kpis", "[/red]", "RRU.PrbTotDl")
    nowhere = twin.cli("up", "--area", "nan,0,100,100")

    everything = (unknown, nothing, usage, nobody, marked, nowhere)
    assert [1, 1, 2, 3, 1, 2] == [done.returncode for done in everything]
    for done in everything:
        assert "Traceback" not in done.stderr + done.stdout
    assert "twin up" in nobody.stderr
