"""Certificates of `twin certs dev`, and who may be let in from other machines."""

import hashlib
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.access import TlsFiles
from twin.errors import Conflict, InvalidInput, StartError
from twin_app.access import Door, Role
from twin_app.certs import DevCertificates, make_dev_certificates, names_in, read_tls
from twin_app.exposure import allowed_names, check_exposure, own_url
from twin_app.settings import GrpcSettings, HttpSettings, Settings, TlsSettings, TokenSettings

ANN = TokenSettings(name="ann", role=Role.STUDENT, sha256=hashlib.sha256(b"secret").hexdigest())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DevCertificates:
    return make_dev_certificates(tmp_path_factory.mktemp("certs"), names=["lab.example", "192.0.2.7"])


def tls_of(made: DevCertificates) -> TlsSettings:
    return TlsSettings(certificate=made.certificate, key=made.key)


def test_the_certificate_is_good_for_this_machine_and_the_names_given(made: DevCertificates) -> None:
    names = names_in(made.certificate.read_bytes())

    assert {"localhost", "127.0.0.1", "::1", "lab.example", "192.0.2.7"} <= set(names)


def test_keys_are_their_owners_alone(made: DevCertificates) -> None:
    assert {stat.S_IMODE(path.stat().st_mode) for path in (made.key, made.client_key)} == {0o600}


def test_a_client_that_knows_the_authority_gets_through_with_its_own_certificate(made: DevCertificates) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.certificate, made.key)
    server.load_verify_locations(made.ca)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(made.ca))
    client.load_cert_chain(made.client_certificate, made.client_key)
    ours, theirs = socket.socketpair()
    heard: list[bytes] = []

    def serve() -> None:
        with server.wrap_socket(theirs, server_side=True) as stream:
            heard.append(stream.recv(5))

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(ours, server_hostname="lab.example") as stream:
        stream.sendall(b"hello")
    thread.join(5)

    assert heard == [b"hello"]


def test_present_certificates_are_not_replaced_unasked(made: DevCertificates) -> None:
    with pytest.raises(Conflict, match="--force"):
        make_dev_certificates(made.ca.parent)


@pytest.mark.parametrize("name", ["hé llo", "bad name!", "", "-lab", "a..b", "lab.*"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        make_dev_certificates(tmp_path, names=[name])


def test_a_star_stands_for_the_machines_of_a_domain(tmp_path: Path) -> None:
    made = make_dev_certificates(tmp_path, names=["*.lab.example", "my_pc"])

    assert {"*.lab.example", "my_pc"} <= set(names_in(made.certificate.read_bytes()))


def test_a_key_of_another_certificate_is_refused(made: DevCertificates) -> None:
    with pytest.raises(StartError, match="not the key"):
        read_tls(TlsSettings(certificate=made.certificate, key=made.client_key))


@pytest.mark.parametrize("missing", ["certificate", "key"])
def test_half_a_pair_is_refused(made: DevCertificates, missing: str) -> None:
    with pytest.raises(StartError, match="both"):
        read_tls(tls_of(made).model_copy(update={missing: None}))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="twin certs dev"):
        read_tls(TlsSettings(certificate=tmp_path / "no.pem", key=tmp_path / "no.key"))


def test_an_authority_for_clients_without_tls_is_refused(made: DevCertificates) -> None:
    with pytest.raises(StartError, match="TWIN_TLS__CERTIFICATE"):
        read_tls(TlsSettings(client_ca=made.ca))


def test_an_authority_that_is_none_is_refused(made: DevCertificates) -> None:
    with pytest.raises(StartError, match="TWIN_TLS__CLIENT_CA"):
        read_tls(tls_of(made).model_copy(update={"client_ca": made.client_key}))


def test_loopback_needs_nothing() -> None:
    check_exposure(Settings(), Door(), None)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "lab.example"])
def test_other_addresses_need_tls_and_a_token(made: DevCertificates, host: str) -> None:
    settings = Settings(http=HttpSettings(host=host))
    tls = read_tls(tls_of(made))

    with pytest.raises(StartError, match=r"twin certs dev.*twin token add"):
        check_exposure(settings, Door(), None)
    with pytest.raises(StartError, match="twin token add"):
        check_exposure(settings, Door(), tls)
    with pytest.raises(StartError, match="twin certs dev"):
        check_exposure(settings, Door((ANN,)), None)
    check_exposure(settings, Door((ANN,)), tls)


def test_the_bridge_alone_counts_as_well() -> None:
    with pytest.raises(StartError, match="TWIN_GRPC__HOST"):
        check_exposure(Settings(grpc=GrpcSettings(host="0.0.0.0")), Door(), None)


def test_clients_may_use_the_names_of_the_certificate_only_where_others_come_in(made: DevCertificates) -> None:
    tls = read_tls(tls_of(made))

    assert "lab.example" not in allowed_names(Settings(), tls)
    outside = allowed_names(Settings(http=HttpSettings(host="0.0.0.0", names=("Twin.local",))), tls)
    assert {"lab.example", "192.0.2.7", "twin.local", "localhost"} <= outside
    assert "0.0.0.0" not in outside


def test_of_the_names_of_a_certificate_the_one_that_leads_here_is_told() -> None:
    tls = TlsFiles(certificate=signed_for("localhost"), key=b"")

    assert own_url(Settings(), 8600, tls) == "https://localhost:8600"
    assert "localhost" in allowed_names(Settings(), tls)
    with pytest.raises(StartError, match=r"does not lead to `192\.0\.2\.7`"):
        own_url(Settings(http=HttpSettings(host="192.0.2.7")), 8600, tls)


def signed_for(name: str) -> bytes:
    """Return a certificate of an organisation that knows nothing of loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_the_address_that_is_told_works_on_this_machine(made: DevCertificates) -> None:
    tls = read_tls(tls_of(made))

    assert own_url(Settings(), 8600, None) == "http://127.0.0.1:8600"
    assert own_url(Settings(http=HttpSettings(host="::1")), 8600, None) == "http://[::1]:8600"
    assert own_url(Settings(http=HttpSettings(host="0.0.0.0")), 8600, tls) == "https://127.0.0.1:8600"
    assert own_url(Settings(http=HttpSettings(host="192.0.2.7")), 8600, tls) == "https://192.0.2.7:8600"
