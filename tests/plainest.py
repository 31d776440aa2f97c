"""Certificates as somebody makes them with a few commands, by an authority of his own."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
CA = (x509.BasicConstraints(ca=True, path_length=None), False)
HERE = (x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
ELSEWHERE = (x509.SubjectAlternativeName([x509.DNSName("ftp.example.com")]), False)


class Signed:
    """A certificate with its key, in the plainest form: nothing tells whose key has signed it, or what it is for."""

    def __init__(
        self, name: str, by: Signed | None = None, *extensions: tuple[x509.ExtensionType, bool], until: timedelta = DAY
    ) -> None:
        self.key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(by.name if by else self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
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
