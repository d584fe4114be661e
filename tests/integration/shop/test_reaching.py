"""What is said of a shop that cannot be reached, and of certificates that prove nothing."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.shop import CertificateError, ShopError, ShopUnreachableError, find_endpoint
from tests.support.misbehaving import tls_of
from tests.support.odd_shop import KEYS, OddShop, data
from tests.support.servers import free_port

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
DAY = timedelta(days=1)


class Authority:
    """An authority of a test, and certificates of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        certificate = self._certificate(self._name, self._key, datetime.now(UTC) + DAY).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), True
        )
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.file.write_bytes(
            certificate.add_extension(usage, True)
            .sign(self._key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    def _certificate(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime
    ) -> x509.CertificateBuilder:
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuers = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(until - 10 * DAY)
            .not_valid_after(until)
            .add_extension(own, False)
            .add_extension(issuers, False)
        )

    def issue(self, host: str, until: datetime) -> Path:
        """A certificate of this host and its key, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        alternatives = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        builder = self._certificate(name, key, until).add_extension(alternatives, False)
        file = self._folder / f"{host}-{until:%Y%m%d}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        return file


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that the client trusts."""
    authority = Authority(tmp_path, "trusted")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
    return authority


@contextmanager
def serving(certificate: Path) -> Iterator[str]:
    with OddShop(lambda _: data([]), tls=tls_of(certificate)) as shop:
        yield shop.url
        assert shop.asked == []


def failure(url: str, kind: type[ShopError]) -> str:
    with pytest.raises(ShopError) as failed:
        find_endpoint(url, KEYS, pause=0)
    assert type(failed.value) is kind
    assert failed.value.__context__ is None
    return str(failed.value)


def test_a_certificate_of_its_own_is_self_signed(authority: Authority, certificate: Path) -> None:
    with serving(certificate) as url:
        assert "is self-signed" in failure(url, CertificateError)


@pytest.mark.parametrize(
    ("host", "until", "text"),
    [
        (HERE, -DAY, "has expired"),
        (HERE, 11 * DAY, "is not valid yet"),
        (ELSEWHERE, DAY, "is of another host"),
    ],
)
def test_a_certificate_that_proves_nothing_says_why(
    authority: Authority, host: str, until: timedelta, text: str
) -> None:
    with serving(authority.issue(host, datetime.now(UTC) + until)) as url:
        assert text in failure(url, CertificateError)


def test_a_certificate_of_an_unknown_authority_may_lack_its_chain(
    authority: Authority, tmp_path: Path
) -> None:
    with serving(Authority(tmp_path, "unknown").issue(HERE, datetime.now(UTC) + DAY)) as url:
        assert "its chain is incomplete" in failure(url, CertificateError)


def test_https_is_not_spoken_everywhere() -> None:
    with OddShop(lambda _: data([])) as shop:
        url = shop.url.replace("http://", "https://")
        assert "does not speak https" in failure(url, ShopUnreachableError)


def test_an_old_version_of_tls_is_told(authority: Authority) -> None:
    context = tls_of(authority.issue(HERE, datetime.now(UTC) + DAY))
    context.set_ciphers("DHE-RSA-AES128-SHA")  # none that this certificate can do
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with OddShop(lambda _: data([]), tls=context) as shop:
        assert "does not speak https" in failure(shop.url, ShopUnreachableError)


def test_a_port_without_a_server_refuses() -> None:
    assert "refuses connections" in failure(f"http://{HERE}:{free_port()}", ShopUnreachableError)


def test_a_name_without_an_address_is_told() -> None:
    assert "no host shop.invalid" in failure("https://shop.invalid", ShopUnreachableError)
