"""How the scene processes of a twin come in when it asks for tokens and certificates."""

from pathlib import Path

import pytest

from bridge.access import TlsFiles
from twin.errors import StartError
from twin_app.certs import make_dev_certificates
from twin_app.scene_login import environment_of, login, own_address


def files(folder: Path, *, names: tuple[str, ...] = ()) -> TlsFiles:
    made = make_dev_certificates(folder, names=names)
    return TlsFiles(certificate=made.certificate.read_bytes(), key=made.key.read_bytes())


def test_the_address_is_one_that_the_certificate_is_good_for(tmp_path: Path) -> None:
    assert "127.0.0.1:8601" == own_address(8601, None)
    assert "[::1]:8601" == own_address(8601, None, host="::1")
    tls = files(tmp_path, names=("twin.example", "192.0.2.7"))
    assert "grpcs://127.0.0.1:8601" == own_address(8601, tls)
    assert "grpcs://127.0.0.1:8601" == own_address(8601, tls, host="0.0.0.0")
    assert "grpcs://[::1]:8601" == own_address(8601, tls, host="::")
    assert "grpcs://192.0.2.7:8601" == own_address(8601, tls, host="192.0.2.7")


def test_a_certificate_that_is_not_good_for_where_it_listens_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"twin certs dev --force --name 198\.51\.100\.9"):
        own_address(8601, files(tmp_path), host="198.51.100.9")


def test_without_tokens_and_certificates_nothing_is_needed() -> None:
    token, tls = login({})

    assert ("", None, None, None) == (token, tls.ca, tls.certificate, tls.key)


def test_what_is_handed_over_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TWIN_CA", "TWIN_CLIENT_CERTIFICATE", "TWIN_CLIENT_KEY"):
        monkeypatch.delenv(name, raising=False)
    made = make_dev_certificates(tmp_path / "certs")
    token, tls = login(environment_of("secret", data_dir=tmp_path, certificate=made.certificate))

    assert "secret" == token
    assert (made.certificate.read_bytes(), made.client_certificate.read_bytes(), made.client_key.read_bytes()) == (
        tls.ca,
        tls.certificate,
        tls.key,
    )


def test_a_certificate_that_cannot_be_read_is_named() -> None:
    with pytest.raises(StartError, match="TWIN_CA=`/nowhere`"):
        login({"TWIN_CA": "/nowhere"})
