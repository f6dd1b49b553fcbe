"""Who may come in: what the bridge asks of whoever knows tokens and rights. It knows neither itself."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Protocol

from twin.errors import PermissionDenied

OBSERVE, PROPOSE, SCENE, FAULTS = "observe", "propose", "scene", "faults"
"""The scopes that the bridge asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Somebody at the door.

    Attributes:
        name: From authentication; goes into logs and commands.
        scopes: What they may do.
    """

    name: str
    scopes: frozenset[str]

    def need(self, scope: str) -> None:
        """Raise :class:`~twin.errors.PermissionDenied` unless the guest has the scope."""
        if scope not in self.scopes:
            raise PermissionDenied(f"`{self.name}` lacks the scope `{scope}`; use a token of a role with it")


class Doorkeeper(Protocol):
    """Knows tokens."""

    @property
    def needs_token(self) -> bool:
        """Whether nobody comes in without a token."""
        ...

    def admit(self, token: str) -> Guest:
        """Return who this is; "" is no token.

        Raises:
            Unauthenticated: A token is needed and this is none of them.
        """
        ...


class OpenDoor:
    """Lets everybody in with every right; for loopback only."""

    needs_token = False

    def admit(self, token: str) -> Guest:
        """Return the local user, whatever the token."""
        del token
        return Guest(name="local", scopes=frozenset({"observe", "propose", "approve", "scene", "faults", "admin"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Where a server finds its certificate, PEM.

    Attributes:
        certificate: The server's certificate chain.
        key: Its private key.
        client_ca: With it only clients whose certificate this authority signed come in (mutual TLS).
    """

    certificate: bytes
    key: bytes
    client_ca: bytes | None = None


def is_loopback(host: str) -> bool:
    """Return whether only programs on this machine reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def missing_for_others(*, tls: TlsFiles | None, doorkeeper: Doorkeeper) -> str:
    """Return what is missing before other machines may come in, and how to get it; "" when nothing is."""
    missing: list[str] = []
    if tls is None:
        missing.append("TLS (`twin certs dev`, then TWIN_TLS__CERTIFICATE and TWIN_TLS__KEY)")
    if not doorkeeper.needs_token:
        missing.append("a token (`twin token add NAME --role student`)")
    return " and ".join(missing)
