"""What a listing command sends, to an end that can be believed.

What is behind a cut would be taken for absent. Without TLS the end of the connection and the server's last word are all
that there is. Under TLS the server says close_notify, which nobody in between can: vsftpd, proftpd, pure-ftpd and
pyftpdlib do. Few others do not, and these are believed once two listings in a row had no end and were of one length.

Called by `directories`.

Sources: RFC 5246 §7.2.1, RFC 8446 §6.1 (close_notify).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftpsyncd.errors import NameRefusedError, ProtocolError
from ftpsyncd.quoting import named
from ftpsyncd.remote import replies, transfer

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

LISTING_MAX = 256 * 1024 * 1024
"""Bytes of the listing of one directory, some two million names: it is held in memory."""


def read_all(session: Session, command: bytes, verb: str, path: str) -> bytes:
    """What a listing command sends; `Shown.cut_short` has the server's words where it is not all.

    Raises:
        ProtocolError: it has no end; the session is finished.
        NameRefusedError: nothing came, since the directory may not be read.
        TransferFailedError: under TLS, the end is not that of the server.
    """
    profile, text = session.profile, _read(session, command, verb, path)
    if session.control.context is None:
        return text
    if not session.control.data_ended and profile.closes_tls is None:
        before, text = text, _read(session, command, verb, path)
        if not session.control.data_ended and len(text) == len(before):
            profile.closes_tls = False
    if session.control.data_ended:
        profile.closes_tls = True
    elif profile.closes_tls is not False:
        raise transfer.cut_off(f"The listing of {named(path)}")
    return text


def _read(session: Session, command: bytes, verb: str, path: str) -> bytes:
    parts: list[bytes] = []

    def bounded(count: int) -> None:
        if count > LISTING_MAX:
            raise ProtocolError(f"The listing of {named(path)} has more than {LISTING_MAX} bytes.")

    count, reply = transfer.retrieve(session, command, verb, path, parts.append, 0, bounded)
    session.shown.cut_short = reply.text if replies.says_cut(reply) else ""
    if not count and replies.says_unread(reply):
        raise NameRefusedError(f"The server does not list {named(path)}: {reply.text}", reply=reply.text)
    return b"".join(parts)
