"""Who can reach the twin from where: loopback without more ado, everything else only with TLS and tokens."""

from __future__ import annotations

import functools
import shlex
import socket
from typing import TYPE_CHECKING

from bridge.access import is_loopback, missing_for_others
from twin.errors import StartError
from twin_app.certs import names_in

if TYPE_CHECKING:
    from bridge.access import TlsFiles
    from twin_app.access import Door
    from twin_app.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def check_exposure(settings: Settings, door: Door, tls: TlsFiles | None) -> None:
    """Refuse to listen beyond this machine without TLS and tokens.

    Raises:
        StartError: What is missing, and how to get it.
    """
    open_to_others = {
        name: host
        for name, host in (("TWIN_HTTP__HOST", settings.http.host), ("TWIN_GRPC__HOST", settings.grpc.host))
        if not is_loopback(host)
    }
    if not open_to_others:
        return
    missing = missing_for_others(tls=tls, doorkeeper=door)
    if missing:
        where = ", ".join(f"{name}=`{host}`" for name, host in open_to_others.items())
        folder = "" if settings.data_dir is None else f", with --data-dir {shlex.quote(str(settings.data_dir))}"
        raise StartError(f"{where} lets other machines in, which needs {missing}{folder}; or leave it unset")


def allowed_names(settings: Settings, tls: TlsFiles | None) -> frozenset[str]:
    """Return the names by which clients may call this server: against pages that rebind a name of theirs to it."""
    names = {name.lower() for name in settings.http.names} | LOOPBACK_NAMES | {own_name(settings.http.host, tls)}
    if not is_loopback(settings.http.host) and tls is not None:
        names.update(names_in(tls.certificate))
        names.add(settings.http.host.lower())
    return frozenset(names - {"0.0.0.0", "::"})  # noqa: S104 - not bound here, taken out: nobody calls by it


@functools.lru_cache(maxsize=8)
def own_name(host: str, tls: TlsFiles | None) -> str:
    """Return by which name this machine reaches a server that listens on `host`, with TLS one of its certificate.

    Raises:
        StartError: The certificate has none: whoever comes, our own scenes first, would not trust it.
    """
    if host == "::":
        ours = ("::1", "localhost")
    elif host in {"0.0.0.0", "localhost"}:  # noqa: S104 - compared, not bound
        ours = ("127.0.0.1", "localhost")
    else:
        ours = (host,)
    if tls is None:
        return ours[0]
    good = names_in(tls.certificate)
    for name in (*(one for one in ours if one in good), *(one for one in good if _leads_to(one, host))):
        return name
    raise StartError(
        f"the certificate is good for {', '.join(f'`{name}`' for name in good) or 'no name'}, which does not lead to"
        f" `{ours[0]}`, where this twin listens; make another with `twin certs dev --force --name {ours[0]}`"
    )


def _leads_to(name: str, host: str) -> bool:
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(name, None)}
    except (OSError, UnicodeError):  # such as `*.lab.example`
        return False
    return host in {"0.0.0.0", "::"} or host in found  # noqa: S104 - compared, not bound


def in_url(name: str) -> str:
    """Return a host as addresses write it."""
    return f"[{name}]" if ":" in name else name


def own_url(settings: Settings, port: int, tls: TlsFiles | None) -> str:
    """Return where this machine reaches REST and the page."""
    return f"{'http' if tls is None else 'https'}://{in_url(own_name(settings.http.host, tls))}:{port}"
