"""A real bad network between two programs: toxiproxy, built with Go at the first use, steered over its REST API."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from tests.free_port import free_port

VERSION = "v2.12.0"
TOOLS = Path(__file__).parents[1] / ".tools"
BINARY = TOOLS / f"toxiproxy-{VERSION}"


def missing() -> str:
    """Return why there can be no proxy here, "" when there can."""
    if BINARY.exists() or shutil.which("go"):
        return ""
    return "toxiproxy is built with Go, which is not installed"


def build() -> Path:
    """Return the program, built when it is not there yet (about 20 s)."""
    if not BINARY.exists():
        place = TOOLS / f"build-{os.getpid()}"
        subprocess.run(
            ["go", "install", f"github.com/Shopify/toxiproxy/v2/cmd/server@{VERSION}"],
            env={**os.environ, "GOBIN": str(place), "GOFLAGS": "-modcacherw"},
            check=True,
            capture_output=True,
            timeout=280,
        )
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
