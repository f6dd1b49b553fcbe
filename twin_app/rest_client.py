"""How the command line talks to a running twin: finds it, asks it, turns problems into sentences."""

from __future__ import annotations

import json
import os
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

from twin.errors import InvalidInput, TwinError
from twin_app.data_folder import default_path, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_S = 60.0


class NoTwin(TwinError):
    """No running twin was found, or it does not answer."""


class Refused(TwinError):
    """The twin answered with a problem.

    Attributes:
        status: HTTP status.
        body: The RFC 9457 problem.
    """

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(str(body.get("detail", body)))
        self.status = status
        self.body = body


class NotLetIn(Refused):
    """The twin does not know who this is."""

    def __init__(self, what_to_do: str, body: dict[str, Any]) -> None:
        super().__init__(HTTPStatus.UNAUTHORIZED, {**body, "detail": what_to_do})


def find_url(url: str | None, data_dir: Path | None) -> str:
    """Return where the twin answers: `--url`, `TWIN_URL`, then the data folder's `run.json`.

    Raises:
        NoTwin: None runs.
    """
    if url or (url := os.environ.get("TWIN_URL")):
        return url.rstrip("/")
    info = running(data_dir)
    if info is None:
        raise NoTwin("no twin is running; start one with `twin up`")
    return info.url


def _trust(data_dir: Path | None) -> ssl.SSLContext:
    """Trust what the system trusts, and the authority of `TWIN_CA`; show the certificate of `TWIN_CLIENT_CERTIFICATE`.

    Where they are not set, what `twin certs dev` made in the data folder counts.

    Raises:
        InvalidInput: A file cannot be read or is no certificate.
    """
    folder = (data_dir or default_path()) / "certs"
    ca = os.environ.get("TWIN_CA") or _made(folder / "ca.pem")
    certificate, key = os.environ.get("TWIN_CLIENT_CERTIFICATE"), os.environ.get("TWIN_CLIENT_KEY")
    if not certificate:
        certificate, key = _made(folder / "client.pem"), _made(folder / "client.key")
    context = ssl.create_default_context()
    try:
        if ca:
            context.load_verify_locations(ca)
        if certificate:
            context.load_cert_chain(certificate, key or None)
    except OSError as exc:  # ssl.SSLError is one
        files = ", ".join(f"`{file}`" for file in (ca, certificate, key) if file)
        raise InvalidInput(
            f"the certificates {files} cannot be used ({exc}); see TWIN_CA and TWIN_CLIENT_CERTIFICATE"
        ) from exc
    return context


def _made(path: Path) -> str | None:
    return str(path) if path.exists() else None


class RestClient:
    """Requests to one twin, about one of its scenes (None = its only one).

    `TWIN_TOKEN` is sent along; `TWIN_CLIENT_CERTIFICATE` and `TWIN_CLIENT_KEY` serve a twin with mutual TLS.
    """

    def __init__(self, url: str, data_dir: Path | None = None, *, scene: str | None = None) -> None:
        headers = {"Content-Type": "application/json"}
        if token := os.environ.get("TWIN_TOKEN"):
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(
            base_url=url,
            headers=headers,
            params={} if scene is None else {"scene": scene},
            timeout=TIMEOUT_S,
            trust_env=False,
            verify=_trust(data_dir) if url.startswith("https") else True,
        )
        self.url = url

    def get(self, path: str, **params: Any) -> Any:
        """Return the JSON of a GET; parameters that are None are left out."""
        return self._call("GET", path, params={k: v for k, v in params.items() if v is not None})

    def post(self, path: str, body: dict[str, Any] | None = None, **headers: str) -> Any:
        """Return the JSON of a POST."""
        return self._call("POST", path, content=json.dumps(body or {}), headers=headers)

    def delete(self, path: str, **params: Any) -> None:
        """Delete something; parameters that are None are left out."""
        self._call("DELETE", path, params={k: v for k, v in params.items() if v is not None})

    def items(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield every item of a paged list."""
        cursor: str | None = None
        while True:
            page = self.get(path, cursor=cursor, limit=500, **params)
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _call(self, method: str, path: str, **rest: Any) -> Any:
        try:
            response = self._http.request(method, path, **rest)
        except httpx.HTTPError as exc:
            if "CERTIFICATE_VERIFY_FAILED" in str(exc):
                raise NoTwin(
                    f"the certificate of the twin at `{self.url}` is not trusted ({exc}); set TWIN_CA to the ca.pem"
                    " that `twin certs dev` made there"
                ) from exc
            raise NoTwin(f"the twin at `{self.url}` does not answer ({exc}); start one with `twin up`") from exc
        if not response.content and response.is_success:
            return None
        try:
            body = response.json()
        except ValueError as exc:
            raise NoTwin(f"what answers at `{self.url}` is no twin (HTTP {response.status_code})") from exc
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise NotLetIn(
                f"the twin at `{self.url}` does not know the token in TWIN_TOKEN; it reads new tokens when it starts"
                if os.environ.get("TWIN_TOKEN")
                else f"the twin at `{self.url}` needs a token; set TWIN_TOKEN to one that `twin token add` printed",
                body,
            )
        if response.is_error:
            raise Refused(response.status_code, body)
        return body
