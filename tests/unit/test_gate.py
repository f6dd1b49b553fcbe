"""The gate before REST: what a foreign web page or a careless client may not do."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from twin_app.api.gate import Gate
from twin_app.exposure import LOOPBACK_NAMES


async def echo(request: Request) -> JSONResponse:
    return JSONResponse({"bytes": len(await request.body())})


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])])
    app.add_middleware(Gate, max_body_bytes=1_000, names=LOOPBACK_NAMES)
    with TestClient(app, base_url="http://127.0.0.1:8600") as made:
        yield made


@pytest.mark.parametrize("host", ["127.0.0.1:8600", "localhost:8600", "LOCALHOST", "[::1]:8600"])
def test_loopback_hosts_pass(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8600", "192.168.0.2", "", "127.0.0.2@x"])
def test_a_rebinding_host_is_refused(client: TestClient, host: str) -> None:
    response = client.get("/", headers={"Host": host})

    assert (response.status_code, response.headers["content-type"]) == (403, "application/problem+json")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1:9999", "null", "http://localhost:8600", "http://[::1"]
)
def test_a_foreign_origin_is_refused(client: TestClient, origin: str) -> None:
    assert client.get("/", headers={"Origin": origin}).status_code == 403


def test_our_own_origin_passes(client: TestClient) -> None:
    response = client.post("/", json={}, headers={"Origin": "http://127.0.0.1:8600"})

    assert response.status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_post_that_a_form_could_send_is_refused(client: TestClient, kind: str) -> None:
    assert client.post("/", content=b"{}", headers={"Content-Type": kind}).status_code == 415


def test_a_large_body_is_refused_with_and_without_a_stated_length(client: TestClient) -> None:
    headers = {"Content-Type": "application/json"}

    def chunks() -> Iterator[bytes]:
        yield from (b"x" * 400 for _ in range(5))

    assert client.post("/", content=b"x" * 1_001, headers=headers).status_code == 413
    assert client.post("/", content=chunks(), headers=headers).status_code == 413


def test_every_answer_carries_the_safe_headers(client: TestClient) -> None:
    headers = client.get("/").headers

    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]


def test_a_name_that_the_twin_was_told_passes() -> None:
    app = Starlette(routes=[Route("/", echo)])
    app.add_middleware(Gate, max_body_bytes=1_000, names=LOOPBACK_NAMES | {"lab.example"})
    with TestClient(app, base_url="https://lab.example:8600") as client:
        assert client.get("/").status_code == 200
        assert client.get("/", headers={"Host": "other.example"}).status_code == 403


async def hello(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


def test_a_page_that_the_owner_named_may_open_a_websocket_and_nothing_else() -> None:
    app = Starlette(routes=[Route("/", echo, methods=["GET"]), WebSocketRoute("/bridge", hello)])
    app.add_middleware(Gate, max_body_bytes=1_000, names=LOOPBACK_NAMES, origins=frozenset({"https://games.example"}))
    with TestClient(app, base_url="http://127.0.0.1:8600") as client:
        named, foreign = {"Origin": "https://games.example"}, {"Origin": "https://evil.example"}
        with client.websocket_connect("/bridge", headers={**named, "Host": "127.0.0.1:8600"}) as socket:
            assert socket.receive_text() == "hello"
        assert client.get("/", headers=named).status_code == 403
        with (
            pytest.raises(WebSocketDenialResponse),
            client.websocket_connect("/bridge", headers={**foreign, "Host": "127.0.0.1:8600"}),
        ):
            pass
