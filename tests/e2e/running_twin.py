"""A `twin up` of its own, started as a user does, with the few things tests ask of it."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

READY_S = 120.0
STOP_S = 10.0
SHORT_SHADOW = {"TWIN_SHADOW__HORIZON_S": "10", "TWIN_SHADOW__SEEDS": "2"}
"""Tests propose often; looking ten seconds ahead is enough where the shadow twin is not what is tested."""


class RunningTwin:
    """One `twin up`.

    Attributes:
        token: Shown by :meth:`http` and the command line, for a twin that needs one.
    """

    def __init__(self, data_dir: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.token = ""
        self.url = ""
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "twin_app",
                "up",
                "--data-dir",
                str(data_dir),
                "--http-port",
                "0",
                "--grpc-port",
                "0",
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **SHORT_SHADOW, **(env or {})},
        )
        self.stderr: list[str] = []
        self._drain = threading.Thread(target=self._read_stderr, daemon=True)
        self._drain.start()

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr.append(line)

    def wait_ready(self) -> "RunningTwin":
        assert self.process.stdout is not None
        killer = threading.Timer(READY_S, self.process.kill)
        killer.start()
        line = self.process.stdout.readline()
        killer.cancel()
        assert re.match(r"ready https?://(127\.0\.0\.1|\[::1\]):", line), (
            f"no ready line but {line!r}; stderr: {''.join(self.stderr)}"
        )
        self.url = line.split()[1]
        return self

    def wait_said(self, text: str) -> None:
        """Wait until it says something on standard error."""
        end = time.monotonic() + READY_S
        while not any(text in line for line in self.stderr):
            assert time.monotonic() < end, f"never said `{text}`: {''.join(self.stderr)}"
            time.sleep(0.02)

    def http(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, verify=self._trust())

    def _trust(self) -> ssl.SSLContext | bool:
        """Trust what `twin certs dev` made."""
        if not self.url.startswith("https"):
            return True
        context = ssl.create_default_context(cafile=self.data_dir / "certs" / "ca.pem")
        context.load_cert_chain(self.data_dir / "certs" / "client.pem", self.data_dir / "certs" / "client.key")
        return context

    @property
    def grpc_port(self) -> int:
        return json.loads((self.data_dir / "run.json").read_text())["grpc_port"]

    def get(self, path: str, **params: Any) -> Any:
        with self.http() as client:
            response = client.get(path, params=params)
            assert response.is_success, response.text
            return response.json()

    def post(self, path: str, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        with self.http() as client:
            return client.post(path, json=body or {}, headers=headers)

    def ask(self, text: str, **more: Any) -> dict[str, Any]:
        response = self.post("/v1/ask", {"text": text, **more})
        assert response.status_code == 200, response.text
        return response.json()

    def wait_for(self, what: Callable[[], Any], *, limit_s: float = 60.0, every_s: float = 0.25) -> Any:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if found := what():
                return found
            time.sleep(every_s)
        raise AssertionError(f"it did not happen within {limit_s} s; health: {self.get('/v1/health')}")

    def wait_tried(self, change_id: str, *, limit_s: float = 60.0, **params: str) -> dict[str, Any]:
        """Wait until the shadow twin has tried a proposal out."""

        def tried() -> dict[str, Any] | None:
            change = self.get(f"/v1/changes/{change_id}", **params)
            return change if change["state"] != "proposed" else None

        return self.wait_for(tried, limit_s=limit_s, every_s=0.1)

    def wait_change(self, change_id: str, *, limit_s: float = 90.0) -> dict[str, Any]:
        over = {"committed", "rolled_back", "rejected", "expired", "failed"}

        def ended() -> dict[str, Any] | None:
            change = self.get(f"/v1/changes/{change_id}")
            return change if change["state"] in over else None

        return self.wait_for(ended, limit_s=limit_s)

    def cli(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "twin_app", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "TWIN_URL": self.url, **({"TWIN_TOKEN": self.token} if self.token else {})},
        )

    def scene_pid(self) -> int:
        return next(pid for pid in children(self.process.pid) if "scene_process" in cmdline(pid))

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.ended()

    def ended(self, *, limit_s: float = STOP_S) -> int:
        """Wait for the end, collect what was said, return the exit code."""
        code = self.process.wait(limit_s)
        self._drain.join(5)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code

    @property
    def said(self) -> str:
        return "".join(self.stderr)


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def cmdline(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def read_events(text: str) -> list[tuple[str, Any]]:
    """Parse server-sent events."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.splitlines() if ": " in line)
        if "event" in fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events
