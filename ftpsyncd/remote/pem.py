"""The files of TLS that a configuration names, and what is wrong with one: OpenSSL says "PEM lib" of most things.

`tls` loads them.

Sources: RFC 7468 (PEM).
"""

from __future__ import annotations

import contextlib
import re
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from ftpsyncd.errors import TlsFileError
from ftpsyncd.quoting import as_word

_CERTIFICATE = re.compile(rb"-----BEGIN (?:(?:X509 |TRUSTED )?CERTIFICATE|X509 CRL)-----")
_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")
_DER = b"\x30"
"""The first byte of what is in the binary form (X.690)."""
_ANOTHERS = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"})
"""OpenSSL's reasons where the certificate and the key are not a pair; the last one where they are of two kinds."""


@contextlib.contextmanager
def loading(**files: Path) -> Iterator[None]:
    """Load something of files, by the keys that name them.

    OpenSSL would wait for a pipe, and read a device without an end.

    Raises:
        TlsFileError: that cannot be done; it says which file is to blame, as far as that shows, and what helps.
    """
    for key, file in files.items():
        try:
            mode = file.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise TlsFileError(f"{file} cannot be loaded: it is no regular file.", key=key)
            content = file.read_bytes()
        except OSError as error:
            raise TlsFileError(f"{file} cannot be loaded: {error.strerror}.", key=key) from error
        _look_at(key, file, content)
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        key, file = next(iter(files.items()))
        raise TlsFileError(f"{file} cannot be loaded: {_why(error, *files.values())}.", key=key) from error


def _look_at(key: str, file: Path, content: bytes) -> None:
    is_key = key == "client_key"
    if not (_KEY if is_key else _CERTIFICATE).search(content):
        what, command = ("private key", "pkey") if is_key else ("certificate", "x509")
        convert = f"`openssl {command} -inform DER -in {as_word(file)} -out FILE` makes one of the binary form (DER)."
        raise TlsFileError(
            f"{file} cannot be loaded: it holds no {what} in text form (PEM).",
            key=key,
            remedy=convert if content.startswith(_DER) else None,
        )


def _why(error: OSError, file: Path, *others: Path) -> str:
    """What is wrong with a file, which is loaded with others."""
    reason, others = getattr(error, "reason", None), tuple(other for other in others if other != file)
    if reason in _ANOTHERS:
        return f"its key is not {others[0]}" if others else "its key is not that of its certificate"
    if isinstance(error, ssl.SSLError) and reason in {None, "PEM_LIB"}:
        return " or ".join(("it", *map(str, others))) + " is damaged or not complete"
    return re.sub(r" \(_ssl\.c:\d+\)$", "", error.strerror or str(error))


def refuse_passphrase(key: Path) -> NoReturn:
    """Else OpenSSL asks on the terminal, for each context again, and all waits for it."""
    raise TlsFileError(
        f"The key {key} is protected by a passphrase, for which nobody can be asked.",
        key="client_key",
        remedy=f"Take one without: `openssl pkey -in {as_word(key)} -out FILE`, and let nobody else read it.",
    )
