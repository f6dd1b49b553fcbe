"""What people type after `twin what-if`, and how a shadow twin reads on the terminal."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

from twin.errors import InvalidInput
from twin_app import cli
from twin_app.cli_what_if import action_of, shadow_in_words


@pytest.mark.parametrize(
    ("typed", "attribute", "value"),
    [
        ("cell-7-2 tilt 8", "digitalTilt", 80.0),
        ("cell-7-2 electrical tilt 8.5 deg", "digitalTilt", 85.0),
        ("cell-7-2 digitalTilt 80", "digitalTilt", 80.0),
        ("cell-7-2 power 43", "configuredMaxTxPower", 19_953.0),
        ("cell-7-2 power 43dBm", "configuredMaxTxPower", 19_953.0),
        ("cell-7-2 configuredmaxtxpower 20000", "configuredMaxTxPower", 20_000.0),
        ("cell-7-2 a3 hysteresis 2 dB", "hysteresis", 4.0),
        ("cell-7-2 hysteresis 4", "hysteresis", 4.0),  # the 3GPP name, so its unit: 0.5 dB
        ("cell-7-2 lock", "administrativeState", "LOCKED"),
        ("cell-7-2 UNLOCK", "administrativeState", "UNLOCKED"),
        ("cell-7-2 administrativeState locked", "administrativeState", "LOCKED"),
        ("relation-7-2-8-1 cellIndividualOffset -3", "cellIndividualOffset", -3.0),
    ],
)
def test_a_change_is_read_in_everyday_and_in_3gpp_units(typed: str, attribute: str, value: float | str) -> None:
    assert action_of(typed) == {"entity": typed.split(maxsplit=1)[0], "attribute": attribute, "value": value}


@pytest.mark.parametrize("typed", ["", "cell-7-2", "cell-7-2 tilt", "cell-7-2 colour blue", "cell-7-2 tilt much"])
def test_what_cannot_be_read_is_refused_with_the_way_out(typed: str) -> None:
    with pytest.raises(InvalidInput, match=r"cannot be read|no number"):
        action_of(typed)


@pytest.mark.parametrize(
    ("shadow", "said"),
    [
        (None, []),
        ({"state": "running", "progress": 0.25}, ["being tried out, 25%"]),
        ({"state": "unavailable", "reason": "no scene"}, ["not tried out: no scene"]),
        (
            {"state": "done", "advice": "harmful", "fidelity": "approximate", "in_words": ["a", "b", "c", "d"]},
            ["the shadow twin advises AGAINST it", "only approximate", "a", "b", "c"],
        ),
    ],
)
def test_a_shadow_is_said_in_words(shadow: dict[str, object] | None, said: list[str]) -> None:
    assert shadow_in_words({"shadow": shadow}) == said


class Twin(ThreadingHTTPServer):
    """A twin that tries a proposal out at once, over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Requests)
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.sent.append((path, body))
        return {**self.change, "state": "proposed", "shadow": {"state": "running", "progress": 0.5}}

    def get(self, path: str) -> dict[str, Any]:
        return self.bench if path == "/v1/faults" else self.change

    change: dict[str, Any] = {  # noqa: RUF012
        "id": "change-4",
        "state": "validated",
        "proposed_by": "local",
        "reason": "calmer",
        "actions": [{"in_words": "A3 offset of cell-7-2: 2 dB -> 1 dB"}],
        "shadow": {"state": "done", "advice": "fine", "fidelity": "state", "in_words": ["throughput stays"]},
        "digest": "d" * 64,
        "base_revision": 3,
    }
    bench: dict[str, Any] = {  # noqa: RUF012
        "catalogue": [],
        "active": [
            {
                "fault": "sleeping-cell",
                "entity": "cell-9-1",
                "severity": 1.0,
                "repaired": False,
                "remedy": "",
                "fix": [
                    {"entity": "cell-9-1", "attribute": "administrativeState", "meaning": "LOCKED"},
                    {"entity": "cell-9-1", "attribute": "administrativeState", "meaning": "UNLOCKED"},
                ],
            }
        ],
    }


class Requests(BaseHTTPRequestHandler):
    server: Twin

    def do_GET(self) -> None:  # the library's name
        self._answer(self.server.get(self.path))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(self.server.post(self.path, json.loads(body)))

    def _answer(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Twin]:
    with Twin() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("TWIN_URL", f"http://127.0.0.1:{made.server_port}")
        yield made
        made.shutdown()
        thread.join()


def test_any_attribute_is_proposed_and_shown_with_what_is_foreseen(twin: Twin) -> None:
    typed = ["propose", "cell-7-2 a3Offset 2", "policy-7-urllc rRMPolicyMinRatio 20", "--reason", "calmer"]
    answer = CliRunner().invoke(cli.app, typed)
    assert answer.exit_code == 0, answer.output
    assert twin.sent == [
        (
            "/v1/changes",
            {
                "reason": "calmer",
                "actions": [
                    {"entity": "cell-7-2", "attribute": "a3Offset", "value": 2.0},
                    {"entity": "policy-7-urllc", "attribute": "rRMPolicyMinRatio", "value": 20.0},
                ],
            },
        )
    ]
    for said in ("A3 offset of cell-7-2: 2 dB -> 1 dB", "throughput stays", "twin approve change-4"):
        assert said in answer.output


@pytest.mark.usefixtures("twin")
def test_a_fix_in_two_steps_is_told_as_two_changes() -> None:
    said = " ".join(CliRunner().invoke(cli.app, ["fault", "list"], terminal_width=400).output.split())
    first, second = said.index("= LOCKED"), said.index("= UNLOCKED")
    assert "as a second change" in said[first:second]
