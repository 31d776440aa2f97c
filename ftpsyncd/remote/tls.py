"""What TLS is with one server: the context of an account, and what helps against a certificate or an answer.

`account` makes contexts, `wire` and `data` begin TLS with them.

Sources: RFC 4217; X509_STORE_CTX_get_error(3).
"""

from __future__ import annotations

import contextlib
import ssl
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

from ftpsyncd.errors import TlsFileError
from ftpsyncd.specs import ServerSpec

TlsContext = ssl.SSLContext
_OWN_AUTHORITY = (
    "If this is the right server, and its authority one of its own, save the certificate of that in a file and name it"
    " with `tls_ca`."
)
_OTHER_NAME = "Set `host` to a name that the certificate is for, if this is the right server."
CERTIFICATES = {
    9: "Check the clock of this machine: `date`.",
    10: "Have it renewed by whoever runs the server; check the clock of this machine, too: `date`.",
    **dict.fromkeys((18, 19, 20, 21), _OWN_AUTHORITY),
    **dict.fromkeys((62, 64), _OTHER_NAME),
}
"""What helps against a certificate, by the code of X509_STORE_CTX_get_error(3)."""
HANDSHAKES = {
    "WRONG_VERSION_NUMBER": "Set `tls: explicit`, or correct `port`: what answers there does not begin with TLS."
}
"""What helps where TLS does not begin, by the reason of OpenSSL."""


def tls_context(spec: ServerSpec, group: str = "") -> ssl.SSLContext:
    """One TLS context for an account; sessions can only be resumed within it.

    Args:
        spec: the account.
        group: the only one that is offered (`hello.GROUPS`); empty: those of OpenSSL.

    Raises:
        TlsFileError: an anchor, certificate or key cannot be loaded.
    """
    context = ssl.create_default_context()
    if spec.tls_ca is not None:
        with _loading(f"{spec.tls_ca}", tls_ca=spec.tls_ca):
            context.load_verify_locations(spec.tls_ca)
    if spec.client_cert is not None:
        key = spec.client_key or spec.client_cert
        with _loading(f"{spec.client_cert} with the key {key}", client_cert=spec.client_cert, client_key=key):
            context.load_cert_chain(spec.client_cert, key, partial(_refuse_passphrase, key))
    if not spec.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if spec.tls_max == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if group:
        context.set_ecdh_curve(group)
    return context


@contextlib.contextmanager
def _loading(what: str, **files: Path) -> Iterator[None]:
    """Load something of files, by the keys that name them.

    OpenSSL would wait for a pipe, and read a device without an end.
    """
    try:
        for key, file in files.items():
            mode = file.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise TlsFileError(f"{file} cannot be loaded: it is no regular file.", key=key)
        yield
    except OSError as error:  # ssl.SSLError is one
        first = next(iter(files))
        raise TlsFileError(f"{what} cannot be loaded: {error.strerror or error}.", key=first) from error


def _refuse_passphrase(key: Path) -> NoReturn:
    """Else OpenSSL asks on the terminal, for each context again, and all waits for it."""
    raise TlsFileError(
        f"The key {key} is protected by a passphrase, for which nobody can be asked.",
        key="client_key",
        remedy=f"Take one without: `openssl pkey -in {key} -out FILE`, and let nobody else read it.",
    )
