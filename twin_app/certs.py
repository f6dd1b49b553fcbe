"""Certificates for a lab: `twin certs dev` makes a small authority of its own and signs a server and a client with it.

For classrooms and tests. A certificate from your organisation is used the same way (`TWIN_TLS__CERTIFICATE`).
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bridge.access import TlsFiles
from twin.errors import Conflict, InvalidInput, StartError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twin_app.settings import TlsSettings

VALID_FOR = timedelta(days=365)
CLOCK_SLACK = timedelta(hours=1)
"""Clocks of a class differ; the certificates are good from an hour ago."""

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

_HOST_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
"""Names of machines (RFC 1123, and the underscore that Windows allows), perhaps with a star in front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevCertificates:
    """Where the files lie."""

    ca: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path


def make_dev_certificates(folder: Path, *, names: Iterable[str] = (), force: bool = False) -> DevCertificates:
    """Write an authority, a server certificate for this machine and `names`, and a client certificate.

    Raises:
        Conflict: The folder holds certificates already. InvalidInput: Not a host name.
        StoreUnavailable: The folder cannot be written.
    """
    files = DevCertificates(
        ca=folder / "ca.pem",
        certificate=folder / "server.pem",
        key=folder / "server.key",
        client_certificate=folder / "client.pem",
        client_key=folder / "client.key",
    )
    if files.ca.exists() and not force:
        raise Conflict(f"`{folder}` holds certificates already; --force replaces them (clients then need the new CA)")
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _authority(ca_key)
    here = socket.gethostname().lower()
    ours = (*LOCAL_NAMES, here) if _HOST_NAME.fullmatch(here) else LOCAL_NAMES  # some machines have no proper name
    wanted = dict.fromkeys([*ours, *(name.strip().lower() for name in names)])
    server_key, client_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    server = _signed(ca, ca_key, server_key, name="Twin6G", names=tuple(wanted), usage=ExtendedKeyUsageOID.SERVER_AUTH)
    client = _signed(ca, ca_key, client_key, name="Twin6G client", names=(), usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, certificate in ((files.ca, ca), (files.certificate, server), (files.client_certificate, client)):
            path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        # The authority's own key is thrown away: nobody can sign with it later, and nobody can steal it.
        for path, key in ((files.key, server_key), (files.client_key, client_key)):
            _write_secret(path, key)
    except OSError as exc:
        raise StoreUnavailable(f"the certificates cannot be written to `{folder}`: {exc.strerror}") from exc
    return files


def _write_secret(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)


def _builder(subject: str, issuer: x509.Name | None, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return (
        _builder("Twin6G development authority", None, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )


def _signed(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    *,
    name: str,
    names: tuple[str, ...],
    usage: x509.ObjectIdentifier,
) -> x509.Certificate:
    builder = (
        _builder(name, ca.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_alternative(one) for one in names]), critical=False
        )
    return builder.sign(ca_key, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not _HOST_NAME.fullmatch(name):
        raise InvalidInput(f"`{name}` is no host name and no address; write others than ASCII as xn--...")
    return x509.DNSName(name)


def names_in(certificate: bytes) -> tuple[str, ...]:
    """Return the host names and addresses that a PEM certificate is good for."""
    try:
        found = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return ()
    names = found.value.get_values_for_type(x509.DNSName)
    addresses = found.value.get_values_for_type(x509.IPAddress)
    return (*(name.lower() for name in names), *(str(address) for address in addresses))


def read_tls(tls: TlsSettings) -> TlsFiles | None:
    """Return the certificate and key that the settings name, None when they name none.

    Raises:
        StartError: A file is missing, is no PEM, has expired, or the key is not that of the certificate.
    """
    if tls.certificate is None and tls.key is None and tls.client_ca is None:
        return None
    if tls.certificate is None or tls.key is None:
        raise StartError("TLS needs both TWIN_TLS__CERTIFICATE and TWIN_TLS__KEY; `twin certs dev` makes a pair")
    certificate, key = _read(tls.certificate), _read(tls.key)
    try:
        leaf = x509.load_pem_x509_certificate(certificate)
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as exc:
        raise StartError(f"`{tls.certificate}` and `{tls.key}` are no PEM certificate and unencrypted key") from exc
    if leaf.public_key() != private.public_key():
        raise StartError(f"`{tls.key}` is not the key of the certificate `{tls.certificate}`")
    if leaf.not_valid_after_utc < datetime.now(UTC):
        raise StartError(
            f"the certificate `{tls.certificate}` ended on {leaf.not_valid_after_utc:%Y-%m-%d}; make a new one"
            " (`twin certs dev --force`)"
        )
    return TlsFiles(
        certificate=certificate, key=key, client_ca=None if tls.client_ca is None else _authorities(tls.client_ca)
    )


def _authorities(path: Path) -> bytes:
    pem = _read(path)
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError as exc:
        raise StartError(f"TWIN_TLS__CLIENT_CA=`{path}` holds no PEM certificate") from exc
    return pem


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise StartError(f"`{path}` cannot be read: {exc.strerror}; `twin certs dev` makes certificates") from exc
