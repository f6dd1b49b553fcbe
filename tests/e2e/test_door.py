"""The door of the running product: who gets in from where, with what in hand, and whether it keeps the rules."""

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
import websockets.asyncio.client
import websockets.exceptions

from bridge.client import SceneClient
from bridge.news import Figures
from bridge.observer import ObserverClient
from bridge.v1 import bridge_pb2, session_pb2
from bridge.wires import ClientTls
from tests.e2e.running_twin import RunningTwin
from tests.free_port import free_port
from twin.errors import PermissionDenied, SceneUnavailable, Unauthenticated

EVERYWHERE = {"TWIN_HTTP__HOST": "0.0.0.0", "TWIN_GRPC__HOST": "0.0.0.0"}
ROOT = Path(__file__).parents[2]
ROLES = ("student", "scene", "admin")


def cli(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does who has set nothing but this."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TWIN_")}
    return subprocess.run(
        [sys.executable, "-m", "twin_app", *arguments], capture_output=True, text=True, timeout=120, env={**ours, **env}
    )


def together(*calls: Callable[[], subprocess.CompletedProcess[str]]) -> list[subprocess.CompletedProcess[str]]:
    """Run commands at the same time."""
    with ThreadPoolExecutor() as pool:
        return [running.result() for running in [pool.submit(call) for call in calls]]


def certificates(folder: Path) -> dict[str, str]:
    """Make certificates and return the settings that the command prints."""
    made = cli("certs", "dev", "--name", "twin.lab", "--data-dir", str(folder))
    assert made.returncode == 0, made.stderr
    return dict(line.removeprefix("export ").split("=", 1) for line in made.stdout.splitlines())


def tokens(folder: Path) -> dict[str, str]:
    """Make a token for each role."""
    made = {role: cli("token", "add", f"a-{role}", "--role", role, "--data-dir", str(folder)) for role in ROLES}
    assert [one.returncode for one in made.values()] == [0, 0, 0], made
    return {role: one.stdout.strip() for role, one in made.items()}


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A twin that others may reach: TLS, and tokens by role."""

    twin: RunningTwin
    tokens: dict[str, str]

    @property
    def grpcs(self) -> str:
        return f"grpcs://{urlsplit(self.twin.url).netloc.rpartition(':')[0]}:{self.twin.grpc_port}"

    @property
    def wss(self) -> str:
        return f"wss{self.twin.url.removeprefix('https')}/bridge"

    @property
    def ca(self) -> bytes:
        return (self.twin.data_dir / "certs" / "ca.pem").read_bytes()

    def address(self, way: str) -> str:
        return self.grpcs if way == "grpcs" else self.wss

    def everything_written(self) -> str:
        """Return what the twin said and every file that it wrote, as text."""
        files = [path for path in self.twin.data_dir.rglob("*") if path.is_file() and path.name != "tokens.json"]
        return self.twin.said + "".join(path.read_bytes().decode("latin-1") for path in files)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    another = tmp_path_factory.mktemp("another")
    certificates(another)
    env = {
        **EVERYWHERE,
        **certificates(folder),
        "TWIN_HTTP__NAMES": '["twin.classroom"]',
        "TWIN_LOG_LEVEL": "debug",
        "TWIN_CA": str(another / "certs" / "ca.pem"),  # for another twin; our own scenes must not care
    }
    made = tokens(folder)
    one = Lab(twin=RunningTwin(folder, "--past", "0", env=env), tokens=made)
    one.twin.token = made["admin"]
    one.twin.wait_ready()
    yield one
    assert one.twin.stop() == 0


def test_it_lets_nobody_in_from_elsewhere_without_tls_and_tokens(tmp_path: Path) -> None:
    bare, half = tmp_path / "a bare one", tmp_path / "half"
    secure = certificates(half)
    rest, bridge, no_token = together(
        lambda: cli("up", "--data-dir", str(bare), TWIN_HTTP__HOST="0.0.0.0"),
        lambda: cli("up", "--data-dir", str(bare), TWIN_GRPC__HOST="0.0.0.0"),
        lambda: cli("up", "--data-dir", str(half), **EVERYWHERE, **secure),
    )

    for done, name in ((rest, "TWIN_HTTP__HOST"), (bridge, "TWIN_GRPC__HOST"), (no_token, "TWIN_HTTP__HOST")):
        assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (1, "", False)
        assert all(word in done.stderr for word in (name, "`0.0.0.0`", "twin token add", "--data-dir"))
    assert "twin certs dev" in rest.stderr
    assert f"'{bare}'" in rest.stderr
    assert "twin certs dev" not in no_token.stderr
    assert not bare.exists()


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path, twin: RunningTwin) -> None:
    data, http_port = ("--data-dir", str(tmp_path)), twin.url.rpartition(":")[2]
    done = together(
        lambda: cli("up", *data, "--http-port", http_port, "--grpc-port", "0", "--past", "0"),
        lambda: cli("up", "--data-dir", str(tmp_path / "b"), "--http-port", "0", "--grpc-port", str(twin.grpc_port)),
    )

    assert [one.returncode for one in done] == [1, 1]
    for one, port in zip(done, (http_port, str(twin.grpc_port)), strict=True):
        said = [line for line in one.stderr.splitlines() if not line.startswith("twin: ")]
        assert (len(said), f"`{port}`" in said[0], "another program" in said[0]) == (1, True, True), one.stderr


def test_its_own_scene_comes_in_and_shows_the_network(lab: Lab) -> None:
    health = lab.twin.get("/v1/health")

    assert health["status"] == "ok"
    assert [scene["live"] for scene in health["scenes"]] == [True]
    assert lab.twin.ask("Which alarms are active?")["text"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Host": "twin.lab"}, 200),
        ({"Host": "twin.classroom:8600"}, 200),
        ({"Host": "[::1]:8600"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example", "Authorization": ""}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_rest_asks_who_is_there_and_whom_they_called(lab: Lab, headers: dict[str, str], status: int) -> None:
    with lab.twin.http() as client:
        response = client.get("/v1/health", headers=headers)

    assert response.status_code == status, response.text
    assert (response.headers.get("WWW-Authenticate") == "Bearer") == (status == 401)


def test_no_route_answers_without_a_token(lab: Lab) -> None:
    answers: dict[str, int] = {}
    with lab.twin.http() as client:
        paths = client.get("/openapi.json").json()["paths"]
        client.headers.pop("Authorization")
        for path, methods in paths.items():
            for method in methods:
                plain = path.replace("{", "").replace("}", "")
                body = {"json": {}} if method in {"post", "put", "patch"} else {}
                answers[f"{method} {path}"] = client.request(method, plain, **body).status_code

    assert len(answers) > 20
    assert {route: status for route, status in answers.items() if status != 401} == {}


def test_nothing_is_said_in_the_clear(lab: Lab) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http{lab.twin.url.removeprefix('https')}/v1/health", trust_env=False)
    with grpc.insecure_channel(f"127.0.0.1:{lab.twin.grpc_port}") as channel, pytest.raises(grpc.RpcError) as caught:
        health_over(channel, lab.tokens["admin"])
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(("host", "origin"), [("127.0.0.1", "https://evil.example"), ("evil.example", None)])
async def test_a_page_from_elsewhere_gets_no_websocket(lab: Lab, host: str, origin: str | None) -> None:
    port = lab.twin.url.rpartition(":")[2]
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        await websockets.asyncio.client.connect(
            f"wss://{host}:{port}/bridge",
            origin=origin,
            host="127.0.0.1",
            ssl=ssl.create_default_context(cadata=lab.ca.decode()),
            server_hostname="127.0.0.1",
            proxy=None,
        )

    assert caught.value.response.status_code == 403


def health_over(channel: grpc.Channel, token: str) -> bridge_pb2.GetHealthResponse:
    call = channel.unary_unary(
        "/bridge.v1.BridgeService/GetHealth",
        request_serializer=bridge_pb2.GetHealthRequest.SerializeToString,
        response_deserializer=bridge_pb2.GetHealthResponse.FromString,
    )
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    return call(bridge_pb2.GetHealthRequest(), metadata=metadata, timeout=10)


def test_calls_over_grpc_need_a_token(lab: Lab) -> None:
    with grpc.secure_channel(lab.grpcs.removeprefix("grpcs://"), grpc.ssl_channel_credentials(lab.ca)) as channel:
        health = health_over(channel, lab.tokens["student"])
        before = health.refusals["UNAUTHENTICATED"]
        for wrong in ("", "wrong"):
            with pytest.raises(grpc.RpcError) as caught:
                health_over(channel, wrong)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        after = health_over(channel, lab.tokens["student"]).refusals["UNAUTHENTICATED"]

    assert [session.engine for session in health.sessions if session.role == session_pb2.ROLE_SCENE] == ["headless"]
    assert after == before + 2


@pytest.mark.parametrize("way", ["grpcs", "wss"])
async def test_observers_and_scenes_come_in_with_the_right_token(lab: Lab, way: str) -> None:
    address, tls = lab.address(way), ClientTls(ca=lab.ca)
    async with ObserverClient(address, channels=["TELEMETRY"], token=lab.tokens["student"], tls=tls) as observer:
        async with asyncio.timeout(20):
            news = await anext(observer)
    assert isinstance(news, Figures)

    with pytest.raises(Unauthenticated):
        await ObserverClient(address, token="wrong", tls=tls).__aenter__()
    with pytest.raises(PermissionDenied, match="scene"):
        await scene(address, lab.tokens["student"], tls).__aenter__()
    with pytest.raises(SceneUnavailable, match=r"did not let us in.*another client provides KPI, MOTION"):
        await scene(address, lab.tokens["scene"], tls, connect_timeout_s=2.0).__aenter__()


def scene(address: str, token: str, tls: ClientTls, **more: Any) -> SceneClient:
    return SceneClient(address, "main", provides=("MOTION", "KPI"), token=token, tls=tls, **more)


def test_the_command_line_needs_the_token_and_knows_the_certificate(lab: Lab, tmp_path: Path) -> None:
    here = {"TWIN_DATA_DIR": str(lab.twin.data_dir)}
    elsewhere = {"TWIN_URL": lab.twin.url, "TWIN_DATA_DIR": str(tmp_path), "TWIN_TOKEN": lab.tokens["student"]}
    with_ca = {**elsewhere, "TWIN_CA": str(lab.twin.data_dir / "certs" / "ca.pem")}
    done = together(
        lambda: cli("health", **here, TWIN_TOKEN=lab.tokens["student"]),
        lambda: cli("doctor", **here, TWIN_TOKEN=lab.tokens["student"]),
        lambda: cli("ask", "Which alarms are active?", **with_ca),
        lambda: cli("health", **here),
        lambda: cli("health", **here, TWIN_TOKEN="wrong"),
        lambda: cli("health", **elsewhere),
        lambda: cli("fault", "clear", "power-loss", "--cell", "cell-7-2", **with_ca),
    )

    assert [one.returncode for one in done] == [0, 0, 0, 1, 1, 3, 1]
    says = ["TWIN_TOKEN", "when it starts", "TWIN_CA", "lacks the scope `faults`"]
    for one, text in zip(done[3:], says, strict=True):
        assert text in one.stderr
        assert "Traceback" not in one.stderr


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_mutual_tls_lets_in_who_has_a_certificate(tmp_path: Path) -> None:
    host = "::1" if has_ipv6() else "127.0.0.1"
    env = {**certificates(tmp_path), "TWIN_TLS__CLIENT_CA": str(tmp_path / "certs" / "ca.pem")}
    env |= {"TWIN_HTTP__HOST": host, "TWIN_GRPC__HOST": host}
    made = Lab(tokens=tokens(tmp_path), twin=RunningTwin(tmp_path, "--past", "0", env=env))
    made.twin.token = made.tokens["student"]
    try:
        made.twin.wait_ready()
        asyncio.run(meets_mutual_tls(made))
    finally:
        made.twin.stop()


async def meets_mutual_tls(made: Lab) -> None:
    folder, token = made.twin.data_dir / "certs", made.tokens["student"]
    ours = ClientTls(
        ca=made.ca, certificate=(folder / "client.pem").read_bytes(), key=(folder / "client.key").read_bytes()
    )
    assert made.twin.get("/v1/health")["status"] == "ok"  # its own scene has one, too
    assert cli("health", TWIN_DATA_DIR=str(made.twin.data_dir), TWIN_TOKEN=token).returncode == 0
    for address in (made.grpcs, made.wss):
        async with ObserverClient(address, token=token, tls=ours) as observer:
            assert len(observer.topology) > 100
        with pytest.raises(SceneUnavailable):
            await ObserverClient(address, token=token, tls=ClientTls(ca=made.ca), connect_timeout_s=1.5).__aenter__()


def test_no_token_is_written_anywhere(lab: Lab) -> None:
    with lab.twin.http() as client:
        client.get("/v1/health", headers={"Authorization": "Bearer some-wrong-token"})
        client.get("/v1/health", params={"token": lab.tokens["student"]})
    cli("conform", "--url", lab.wss, "--token", "some-wrong-token", TWIN_CA=str(lab.twin.data_dir / "certs" / "ca.pem"))
    time.sleep(0.5)

    written = lab.everything_written()
    assert "a-admin" in (lab.twin.data_dir / "tokens.json").read_text()
    assert [role for role, token in lab.tokens.items() if token in written] == []
    assert "some-wrong-token" not in written
    assert oct((lab.twin.data_dir / "certs" / "server.key").stat().st_mode)[-3:] == "600"


# Conformance.


def verdicts(done: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """Return the rules by outcome."""
    found: dict[str, list[str]] = {"holds": [], "broken": [], "untested": []}
    for verdict in json.loads(done.stdout)["verdicts"]:
        found[verdict["outcome"]].append(f"{verdict['rule']} {verdict['what']}: {verdict['detail']}")
    return found


def test_the_product_keeps_the_rules_of_observers(lab: Lab, twin: RunningTwin) -> None:
    ca = str(lab.twin.data_dir / "certs" / "ca.pem")
    over_wss, over_grpc, locked_out = together(
        lambda: cli("conform", "--url", lab.wss, "--json", TWIN_CA=ca, TWIN_TOKEN=lab.tokens["student"]),
        lambda: cli("conform", "--url", f"grpc://127.0.0.1:{twin.grpc_port}"),
        lambda: cli("conform", "--url", lab.grpcs, "--ca", ca),
    )

    assert verdicts(over_wss)["broken"] == []
    assert {text[:2] for text in verdicts(over_wss)["holds"]} >= {"B6", "B7", "R4", "R5", "H2", "F5", "F6", "M3", "P1"}
    assert over_wss.returncode == 0
    assert (over_grpc.returncode, " 0 broken" in over_grpc.stdout) == (0, True), over_grpc.stdout
    assert locked_out.returncode == 1
    assert "needs a token" in locked_out.stderr
    assert "Traceback" not in locked_out.stderr


def test_the_product_keeps_the_rules_of_scenes(start_twin: Any) -> None:
    made = start_twin("--past", "0").wait_ready()
    done = cli("conform", "--url", f"ws{made.url.removeprefix('http')}/bridge", "--scene", "main", "--json")

    assert verdicts(done)["broken"] == []
    assert {text.split()[0] for text in verdicts(done)["holds"]} >= {"O2", "O3", "O4", "F1", "L1", "L5", "M1", "M2"}
    assert done.returncode == 0
    made.wait_for(lambda: made.get("/v1/health")["scenes"][0]["live"])  # its own scene comes back


def test_the_scene_of_the_tutorial_keeps_the_rules() -> None:
    address = f"127.0.0.1:{free_port()}"
    with subprocess.Popen([sys.executable, "examples/own_scene.py", address], cwd=ROOT, stderr=subprocess.PIPE) as own:
        done = cli("conform", "--listen", f"grpc://{address}", "--json")
        own.kill()

    assert verdicts(done)["broken"] == []
    assert {text.split()[0] for text in verdicts(done)["holds"]} >= {"B1", "F1", "D1", "C1", "C2", "C3", "R1", "R3"}
    assert done.returncode == 0


def test_a_client_that_never_comes_is_exit_code_one() -> None:
    done = cli("conform", "--listen", "ws://127.0.0.1:0/bridge", "--wait", "1")

    assert done.returncode == 1
    assert "1 broken" in done.stdout
