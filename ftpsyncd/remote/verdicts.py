"""What a refusal means on the connection that it came on: the error, and whether the session is over. Pure.

`replies` knows what a code and its words mean by themselves. Here is added what depends on the connection: whether it
has TLS, and who listens for data. Called by `session`.

Sources: RFC 959 §4.2.2, RFC 2228 §4 (53z codes), RFC 4217 §9 (protection of the data).
"""

from __future__ import annotations

from typing import NamedTuple

from ftpsyncd.errors import (
    DataUnreachableError,
    LoginRefusedError,
    ProtocolError,
    RemoteError,
    TlsError,
    TooManyTransfersError,
)
from ftpsyncd.remote import replies
from ftpsyncd.remote.opening import ACTIVE_REMEDY
from ftpsyncd.remote.replies import Reply

_WITH_DATA = frozenset({"STOR", "APPE", "RETR", "LIST", "NLST", "MLSD"})
"""Commands that use a data connection."""
_NO_DATA_REMEDY = "Ask whoever runs the server what these words mean there; no file travels in clear text instead."
"""What helps where a server that has agreed on protected data connections (PROT P) will not have one (RFC 4217 §9)."""


class Verdict(NamedTuple):
    """What follows from a refusal."""

    error: RemoteError
    ends: bool
    """Nothing else can be said on the session."""


def verdict(reply: Reply, verb: str, subject: str, encoding: str, *, protected: bool, passive: bool) -> Verdict:
    """What a reply means that is not the wanted one.

    One that fits no command ends the session. So does one that we are not logged in any more (RFC 959 §4.2.2, 530):
    nothing else will be said on it. And one that there are too many transfers: proftpd says so twice, and then no
    answer is that to what was said last.

    Args:
        reply: what the server said.
        verb: the command it answers, upper case.
        subject: what the message is about.
        encoding: of names at the server.
        protected: the connection has TLS.
        passive: the server listens for data connections, and not we.
    """
    error = replies.error_of(reply, verb, subject, encoding)
    with_data = verb in _WITH_DATA
    # vsftpd and proftpd may let in who has no TLS, and want it for data. (Of EPRT, 522 is about the address.)
    if isinstance(error, TlsError) or (reply.code == 522 and with_data and not protected):
        # Whatever the code is (IIS: 534): over this session, each file would be refused in turn.
        if with_data and protected:
            said = f"The server takes no data under TLS: {reply.text}"
            return Verdict(TlsError(said, reply=reply.text, remedy=_NO_DATA_REMEDY), ends=True)
        if not protected and verb != "AUTH":
            said = f"The server takes no data in clear text: {reply.text}"
            remedy = "Set `tls: explicit` for this server."
            return Verdict(TlsError(said, reply=reply.text, remedy=remedy), ends=with_data)
    ends = isinstance(error, ProtocolError | LoginRefusedError | TooManyTransfersError)
    if reply.code == 425 and not passive:
        error = DataUnreachableError(error.message, reply=error.reply, remedy=ACTIVE_REMEDY)
    return Verdict(error, ends)
