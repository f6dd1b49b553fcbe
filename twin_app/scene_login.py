"""How a scene process comes in: token and certificates, handed over in its environment where nobody else reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.wires import ClientTls
from twin.errors import StartError
from twin_app.exposure import in_url, own_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.access import TlsFiles


def own_address(port: int, tls: TlsFiles | None, *, host: str = "127.0.0.1") -> str:
    """Return where a process on this machine reaches the bridge that listens on `host`."""
    return f"{'' if tls is None else 'grpcs://'}{in_url(own_name(host, tls))}:{port}"


def environment_of(token: str, *, data_dir: Path, certificate: Path | None = None) -> dict[str, str]:
    """Return what a scene process of ours needs besides its options.

    Args:
        token: Opens the door.
        data_dir: Where `twin certs dev` left a client certificate; one named in our own environment goes before.
        certificate: Of the server, None = no TLS. It is the only one trusted: whoever signed it, it is ours.
    """
    made = {"TWIN_TOKEN": token}
    if certificate is not None:
        made["TWIN_CA"] = str(certificate)
    client = (data_dir / "certs" / "client.pem", data_dir / "certs" / "client.key")
    if "TWIN_CLIENT_CERTIFICATE" not in os.environ and all(path.exists() for path in client):
        made["TWIN_CLIENT_CERTIFICATE"], made["TWIN_CLIENT_KEY"] = map(str, client)
    return made


def login(environment: Mapping[str, str]) -> tuple[str, ClientTls]:
    """Return the token ("" when none is needed) and the certificates that an environment names.

    Raises:
        StartError: A named file cannot be read.
    """
    read = {name: _read(environment, name) for name in ("TWIN_CA", "TWIN_CLIENT_CERTIFICATE", "TWIN_CLIENT_KEY")}
    tls = ClientTls(ca=read["TWIN_CA"], certificate=read["TWIN_CLIENT_CERTIFICATE"], key=read["TWIN_CLIENT_KEY"])
    return environment.get("TWIN_TOKEN", ""), tls


def _read(environment: Mapping[str, str], name: str) -> bytes | None:
    path = environment.get(name)
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise StartError(f"{name}=`{path}` cannot be read: {exc.strerror}") from exc
