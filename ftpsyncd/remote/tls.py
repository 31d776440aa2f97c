"""What TLS is with one server: the context of an account, and what helps against a certificate or an answer.

`account` makes contexts, `wire` and `data` begin TLS with them.

Sources: RFC 4217, RFC 6066; X509_STORE_CTX_get_error(3).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from ftpsyncd import lacking, patience
from ftpsyncd.errors import NoSocketError, ServerUnavailableError, TlsFileError
from ftpsyncd.remote import pem
from ftpsyncd.specs import ServerSpec

_Answer = TypeVar("_Answer")

TlsContext = ssl.SSLContext
_OWN_AUTHORITY = (
    "If this is the right server, and its authority one of its own, save the certificate of that in a file and name it"
    " with `tls_ca`; if it is a public one, have the server send the certificates in between, too (its chain)."
)
_SELF_SIGNED = (
    "If this is the right server, save its certificate in a file and name that with `tls_ca`; docs/config.md has the"
    " commands."
)
_OTHER_NAME = "Set `host` to a name that the certificate is for, if this is the right server."
CERTIFICATES = {
    9: "Check the clock of this machine: `date`.",
    10: (
        "Have it, or that of its authority (which `tls_ca` may name), renewed by whoever runs the server; check the"
        " clock of this machine, too: `date`."
    ),
    18: _SELF_SIGNED,
    **dict.fromkeys((19, 20, 21), _OWN_AUTHORITY),
    **dict.fromkeys((62, 64), _OTHER_NAME),
    **dict.fromkeys((66, 67, 68), "Too weak by today's measure: have it renewed by whoever runs the server."),
}
"""What helps against a certificate, by the code of X509_STORE_CTX_get_error(3)."""
_OURS = "A running daemon reads it at its next try."
OUR_CERTIFICATES = {
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"By the server's clock, `client_cert` has expired: have it renewed. {_OURS}",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": f"`client_cert` was revoked: have a new one made. {_OURS}",
    "TLSV1_ALERT_UNKNOWN_CA": (
        "The server does not know who has signed `client_cert`: take one of an authority that it knows, with the"
        f" certificates in between in the same file, or have that one made known to it. {_OURS}"
    ),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "The server wants a certificate: set `client_cert` and `client_key`.",
}
"""What helps where a server refuses ours, by the reason of OpenSSL, some of which have a name of long ago."""
_UPDATE = "the server is too old for TLS that is safe by today's measure: have it updated by whoever runs it."
HANDSHAKES = {
    "WRONG_VERSION_NUMBER": "Set `tls: explicit`, or correct `port`: what answers there does not begin with TLS.",
    **dict.fromkeys(
        ("UNSUPPORTED_PROTOCOL", "DH_KEY_TOO_SMALL", "UNSAFE_LEGACY_RENEGOTIATION_DISABLED"), f"T{_UPDATE[1:]}"
    ),
    "TLSV1_ALERT_PROTOCOL_VERSION": f"Leave `tls_max` away, if it is set; else {_UPDATE}",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": f"Set `client_cert`, if the server wants one; else {_UPDATE}",
}
"""What helps where TLS does not begin, by the reason of OpenSSL."""
CLOSED = (
    "If it lasts, it may be that the server knows no TLS that is safe by today's measure, or wants a `client_cert`, and"
    " closes without a word, as Windows does: ask whoever runs it. A running daemon tries again by itself."
)
"""What helps where the server ends the connection instead."""

_FOR_FILES = 2
"""Files that are open while those of a context are read: one, and what else this process may open then."""
_RECORD = 500
"""Bytes of commands in one record: ProFTPD, where `CommandBufferSize` is 512, reads 511 at once."""


def records(lines: Iterable[bytes]) -> list[bytes]:
    """Lines in pieces of which each travels in a record of its own; no line is cut.

    ProFTPD and Pure-FTPd read so much of a record as they have room for, 4,102 and 4,112 bytes, and then wait for the
    socket: what their TLS has taken in already they never see, and both sides wait until a time-out. A line of which
    they have read a part leaves less room for the next record. What is in further records stays in the socket, as TLS
    reads one at a time (SSL_CTX_set_read_ahead(3)).
    """
    pieces: list[bytes] = []
    for line in lines:
        if pieces and len(pieces[-1]) + len(line) <= _RECORD:
            pieces[-1] += line
        else:
            pieces.append(line)
    return pieces


def certified(host: str) -> str:
    """The name by which a certificate knows a host, and TLS asks for it (RFC 6066 §3, RFC 6125 §6).

    Without the dot that ends a name which is complete, and without the zone of an address of one link (RFC 4007 §11):
    both are for this machine only.

    Args:
        host: a name, or an address of version 4 or 6 without brackets.
    """
    return host.partition("%")[0] if ":" in host else host.removesuffix(".")


_GLANCES = patience.Glances()
"""At the files of TLS: a disk that hangs holds up one thread, however often somebody wants to connect."""


class _Made(NamedTuple):
    """A context, and what it was made of."""

    group: str
    files: tuple[object, ...]
    context: ssl.SSLContext


class Credentials:
    """The TLS context of an account, made of its files as they are: certificates are renewed every few weeks.

    Args:
        spec: the account, with TLS.
    """

    def __init__(self, spec: ServerSpec) -> None:
        self._spec = spec
        self._made: _Made | None = None

    def context(self, group: str) -> ssl.SSLContext:
        """The context as it was made last; made now if it never was, or for another group.

        One that is in use is never changed: other threads begin connections with it. Where the files cannot be read for
        another group, as between two of them that are renewed one after the other, the one before it does: it costs a
        server that wants that group a further question.

        Args:
            group: see `tls_context`.

        Raises:
            TlsFileError: an anchor, certificate or key cannot be loaded.
            NoSocketError: no file can be opened now.
            ServerUnavailableError: the disk of one does not answer; it is read again at the next attempt.
        """
        made = self._made
        if made is None or made.group != group:
            try:
                self._made = made = self._load(group)
            except (TlsFileError, ServerUnavailableError):
                if made is None:
                    raise
        return made.context

    def look_again(self) -> TlsFileError | None:
        """Make the context anew where a file is another one by now; as long as its disk does not tell, it is the same.

        Returns:
            Why that cannot be done, as while a file is being written: the context stays what it was, and the next look
            is for the same.
        """
        made = self._made
        try:
            if made is not None and self._asked(lambda: _files(self._spec)) != made.files:
                self._made = self._load(made.group)
        except TlsFileError as error:
            return error
        except ServerUnavailableError:
            pass  # so it is, too, where no file can be opened
        return None

    def _load(self, group: str) -> _Made:
        if few := lacking.few_left(_FOR_FILES):
            # The anchors of the system would be missing without a word, and for as long as this context lasts.
            raise NoSocketError(f"{few}.")
        # Looked at before: what changes meanwhile is seen the next time.
        return self._asked(lambda: _Made(group, _files(self._spec), tls_context(self._spec, group)))

    def _asked(self, question: Callable[[], _Answer]) -> _Answer:
        """What the disk of the files says, without waiting for it for ever."""
        spec = self._spec
        files = [file for file in (spec.tls_ca, spec.client_cert, spec.client_key) if file is not None]
        if not files:
            return question()
        try:
            return _GLANCES.take(files[0], question)
        except TimeoutError:
            named = " and ".join(map(str, files))
            raise ServerUnavailableError(
                f"{named} cannot be read: its disk has not answered for {patience.ANSWER_S:g} s.",
                remedy="It is read again at the next attempt.",
            ) from None


def _files(spec: ServerSpec) -> tuple[object, ...]:
    """What tells the files of a context, that of the system's anchors included, from those that replace them.

    Of anchors in a directory, OpenSSL itself finds new ones.
    """
    found: list[object] = []
    for file in (spec.tls_ca, spec.client_cert, spec.client_key, ssl.get_default_verify_paths().cafile):
        try:
            seen = None if file is None else Path(file).stat()
        except OSError:
            seen = None
        found.append(seen and (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns))
    return tuple(found)


def verifying() -> ssl.SSLContext:
    """A context that verifies who answers, by the anchors of the system, and alike with every Python.

    From 3.13 on, Python also refuses what is signed well but not formed as RFC 5280 wants it, which is what most of
    the authorities are that somebody made with a few commands: who has one would lose his servers by an upgrade. And
    it takes any certificate that is named for an anchor, also one that another has signed: naming it means that.
    """
    context = ssl.create_default_context()
    context.verify_flags = (context.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN) & ~ssl.VERIFY_X509_STRICT
    return context


def tls_context(spec: ServerSpec, group: str = "") -> ssl.SSLContext:
    """One TLS context for an account; sessions can only be resumed within it.

    Args:
        spec: the account.
        group: the only one that is offered (`hello.GROUPS`); empty: those of OpenSSL.

    Raises:
        TlsFileError: an anchor, certificate or key cannot be loaded.
    """
    context = verifying()
    if spec.tls_ca is not None:
        with pem.loading(tls_ca=spec.tls_ca):
            context.load_verify_locations(spec.tls_ca)
    if spec.client_cert is not None:
        key = spec.client_key or spec.client_cert
        with pem.loading(client_cert=spec.client_cert, client_key=key):
            context.load_cert_chain(spec.client_cert, key, partial(pem.refuse_passphrase, key))
    if not spec.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if spec.tls_max == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if group:
        context.set_ecdh_curve(group)
    # Python sets it: an end that somebody in between has made would be that of the peer.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    return context
