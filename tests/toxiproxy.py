"""A real bad network between two programs: toxiproxy, built with Go at the first use, steered over its REST API."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.free_port import free_port

VERSION = "v2.7.0"
"""Go 1.19 builds it, which Debian 12 has; from 2.9 on a Go is needed that Debian does not have."""
GO_NEEDED = (1, 19)
BUILD_TIMEOUT_S = 280
TOOLS = Path(__file__).parents[1] / ".tools"
BINARY = TOOLS / f"toxiproxy-{VERSION}"


def missing() -> str:
    """Return why there can be no proxy here, "" when there can."""
    if BINARY.exists():
        return ""
    needed = ".".join(map(str, GO_NEEDED))
    if shutil.which("go") is None:
        return f"toxiproxy is built with Go {needed} or newer, which is not installed"
    said = subprocess.run(["go", "env", "GOVERSION"], check=False, capture_output=True, text=True, timeout=30)
    found = re.match(r"go(\d+)\.(\d+)", said.stdout)
    if found is None:
        return f"`go env GOVERSION` says `{(said.stdout or said.stderr).strip()}`; toxiproxy needs Go {needed} or newer"
    if (int(found[1]), int(found[2])) < GO_NEEDED:
        return f"toxiproxy is built with Go {needed} or newer; here is `{said.stdout.strip()}`"
    return ""


def build() -> Path:
    """Return the program, built when it is not there yet (about 20 s); skips the test when it cannot be built."""
    if not BINARY.exists():
        place = TOOLS / f"build-{os.getpid()}"
        try:
            subprocess.run(
                ["go", "install", f"github.com/Shopify/toxiproxy/v2/cmd/server@{VERSION}"],
                env={**os.environ, "GOBIN": str(place), "GOFLAGS": "-modcacherw"},
                check=True,
                capture_output=True,
                text=True,
                timeout=BUILD_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"toxiproxy {VERSION} was not downloaded and built within {BUILD_TIMEOUT_S} s")
        except subprocess.CalledProcessError as error:
            last = error.stderr.strip().rpartition("\n")[2]
            pytest.skip(f"toxiproxy {VERSION} cannot be downloaded and built: {last}")
        (place / "server").replace(BINARY)
        place.rmdir()
    return BINARY


class Line:
    """One proxied connection; what happens to it is said in toxiproxy's words."""

    def __init__(self, api: httpx.Client, name: str, port: int) -> None:
        self._api, self._name = api, name
        self.address = f"127.0.0.1:{port}"

    def worsen(self, kind: str, *, stream: str = "downstream", **attributes: Any) -> None:
        """Add a toxic: latency(latency, jitter), bandwidth(rate), timeout(timeout), reset_peer(timeout), slicer ..."""
        body = {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "attributes": attributes}
        self._api.post(f"/proxies/{self._name}/toxics", json=body).raise_for_status()

    def heal(self) -> None:
        """Take every toxic away and let connections through."""
        for toxic in self._api.get(f"/proxies/{self._name}/toxics").json():
            self._api.delete(f"/proxies/{self._name}/toxics/{toxic['name']}").raise_for_status()
        self.let_through(True)

    def let_through(self, yes: bool) -> None:
        """Accept connections or cut all of them and refuse new ones."""
        self._api.post(f"/proxies/{self._name}", json={"enabled": yes}).raise_for_status()


class Toxiproxy:
    """A running proxy server."""

    def __init__(self) -> None:
        self._port = free_port()
        self._process = subprocess.Popen(
            [build(), "-host", "127.0.0.1", "-port", str(self._port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._api = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", trust_env=False, timeout=10)

    def __enter__(self) -> Self:
        end = time.monotonic() + 10
        while True:
            try:
                self._api.get("/version").raise_for_status()
            except httpx.TransportError:
                assert time.monotonic() < end, "toxiproxy did not start"
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self._api.close()
        self._process.kill()
        self._process.wait()

    @contextmanager
    def line_to(self, address: str) -> Iterator[Line]:
        """Yield a line that leads to `host:port`."""
        port = free_port()
        name = f"line-{port}"
        body = {"name": name, "listen": f"127.0.0.1:{port}", "upstream": address, "enabled": True}
        self._api.post("/proxies", json=body).raise_for_status()
        try:
            yield Line(self._api, name, port)
        finally:
            self._api.delete(f"/proxies/{name}")
