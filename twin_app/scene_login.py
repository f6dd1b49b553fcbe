"""How a scene process comes in: token and certificates, handed over in its environment where nobody else reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.wires import ClientTls
from twin.errors import StartError
from twin_app.certs import names_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.access import TlsFiles

LOCAL_NAMES = ("127.0.0.1", "localhost")


def own_address(port: int, tls: TlsFiles | None) -> str:
    """Return where a process on this machine reaches the bridge, by a name that the certificate is good for."""
    if tls is None:
        return f"127.0.0.1:{port}"
    names = names_in(tls.certificate)
    name = next((one for one in (*LOCAL_NAMES, *names) if one in names), LOCAL_NAMES[0])
    return f"grpcs://{f'[{name}]' if ':' in name else name}:{port}"


def environment_of(token: str, *, data_dir: Path) -> dict[str, str]:
    """Return what a scene process needs besides its options; certificates named in our own environment go before."""
    made = {"TWIN_TOKEN": token}
    ours = data_dir / "certs" / "ca.pem"
    if "TWIN_CA" not in os.environ and ours.exists():
        made["TWIN_CA"] = str(ours)
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
