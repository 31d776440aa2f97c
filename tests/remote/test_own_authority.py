"""A server whose certificate an authority of its owner has signed: it is trusted alike by every Python."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ftpsyncd.errors import TlsError
from ftpsyncd.remote.account import Account
from ftpsyncd.specs import TlsMode
from tests.remote.scripted import Scripted

_DAY = timedelta(days=1)
CA = (x509.BasicConstraints(ca=True, path_length=None), False)
HERE = (x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
ELSEWHERE = (x509.SubjectAlternativeName([x509.DNSName("ftp.example.com")]), False)


class Signed:
    """A certificate with its key, in the plainest form: nothing tells whose key has signed it, or what it is for."""

    def __init__(
        self, name: str, by: Signed | None = None, *extensions: tuple[x509.ExtensionType, bool], until: timedelta = _DAY
    ) -> None:
        self.key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(by.name if by else self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(now + until)
        )
        for extension, critical in extensions:
            made = made.add_extension(extension, critical)
        self.certificate = made.sign(by.key if by else self.key, SHA256())

    def save(self, path: Path) -> Path:
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return path

    def serving(self, directory: Path, *between: Signed) -> ssl.SSLContext:
        """What a server has that shows this certificate, and those between it and the authority."""
        pem = [each.certificate.public_bytes(Encoding.PEM) for each in (self, *between)]
        pem.append(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        path = directory / "server.pem"
        path.write_bytes(b"".join(pem))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        return context


@pytest.fixture(scope="module")
def root() -> Signed:
    return Signed("our authority", None, CA)


@pytest.fixture(scope="module")
def between(root: Signed) -> Signed:
    return Signed("our authority for servers", root, CA)


@pytest.fixture
def connected(tmp_path: Path) -> Callable[..., None]:
    """Log in at a server that shows these certificates, the anchor being that one."""

    def connect(anchor: Signed, *shown: Signed) -> None:
        first, *others = shown
        with Scripted(tls=first.serving(tmp_path, *others)) as server:
            spec = server.spec(tls=TlsMode.EXPLICIT, tls_ca=anchor.save(tmp_path / "ca.pem"))
            with Account(spec)() as session:
                session.noop()

    return connect


def test_an_authority_of_the_plainest_form_is_trusted(root: Signed, connected: Callable[..., None]) -> None:
    connected(root, Signed("server", root, HERE))


def test_so_is_one_that_it_has_signed(root: Signed, between: Signed, connected: Callable[..., None]) -> None:
    connected(root, Signed("server", between, HERE), between)


def test_that_one_suffices_where_it_is_the_anchor(between: Signed, connected: Callable[..., None]) -> None:
    connected(between, Signed("server", between, HERE))


def test_so_does_the_certificate_of_the_server_itself(between: Signed, connected: Callable[..., None]) -> None:
    server = Signed("server", between, HERE)
    connected(server, server)


def test_what_another_authority_has_signed_is_refused(root: Signed, connected: Callable[..., None]) -> None:
    # It has the same name: only its key is another one.
    with pytest.raises(TlsError, match="does not verify: certificate signature failure"):
        connected(root, Signed("server", Signed("our authority", None, CA), HERE))


def test_so_is_what_was_signed_by_a_certificate_that_is_no_authority(
    root: Signed, connected: Callable[..., None]
) -> None:
    no_authority = Signed("server", root, HERE)
    with pytest.raises(TlsError, match="does not verify: invalid CA certificate"):
        connected(root, Signed("another", no_authority, HERE), no_authority)


@pytest.mark.parametrize("itself", [False, True])
def test_so_is_one_for_another_host(root: Signed, connected: Callable[..., None], *, itself: bool) -> None:
    server = Signed("server", root, ELSEWHERE)
    with pytest.raises(TlsError, match=r"certificate is not valid for '127\.0\.0\.1'"):
        connected(server if itself else root, server)


@pytest.mark.parametrize("itself", [False, True])
def test_so_is_one_that_has_expired(root: Signed, connected: Callable[..., None], *, itself: bool) -> None:
    server = Signed("server", root, HERE, until=-_DAY)
    with pytest.raises(TlsError, match="does not verify: certificate has expired"):
        connected(server if itself else root, server)
