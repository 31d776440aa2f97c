"""The port on which a server waits for a data connection that nobody has made yet, and whether it answers meanwhile.

Between EPSV and the transfer other commands may be said, and all servers but a few answer them. Twisted's reads nothing
until the connection is made; after ten seconds it says 550, unasked, and everything that follows would be taken for the
answer to another command. Where an answer does not come for a while, the connection is made, and closed: if the answer
comes then, that is how this server is. `session` asks here before it sends and before it reads.

Sources: RFC 959 §4.1.2 (PASV), RFC 2428 §3 (EPSV); twisted.protocols.ftp, `ftp_PASV`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ftpsyncd.errors import ProtocolError, RemoteError
from ftpsyncd.remote import facts
from ftpsyncd.remote.opening import dial
from ftpsyncd.remote.replies import Reply

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session

SILENCE_S = 2.0
"""After so long, or half of what is borne, it may be the data connection that the server waits for."""


class Unmet:
    """What one session has agreed on.

    Args:
        session: that agrees.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._port = 0
        """0: there is none."""

    def heard(self, command: bytes, reply: Reply) -> None:
        """A command was answered: it may have named a port."""
        if command in {b"EPSV", b"PASV"}:
            self._port = 0
            if reply.code == 229:
                self._session.profile.epsv_missed = 0
            with contextlib.suppress(ProtocolError):
                self._port = facts.parse_epsv(reply) if reply.code == 229 else 0
                self._port = facts.parse_pasv(reply) if reply.code == 227 else self._port

    def met(self) -> None:
        """The connection is made, or was tried to be."""
        self._port = 0

    def before_words(self) -> None:
        """Make the connection if nothing else would be answered; who wanted it agrees on another one."""
        if self._port and self._session.profile.meanwhile is False:
            self._release()

    def before_answer(self) -> None:
        """See whether the server answers what was said meanwhile, as long as that is not known."""
        session, control = self._session, self._session.control
        if not self._port:
            return
        if not control.await_answer(control.earliest, min(SILENCE_S, control.timeouts.reply_s / 2)):
            if control.broken:
                return
            self._release()
            if control.await_answer(control.earliest) and not _is_farewell(control.earliest()):
                session.profile.meanwhile = False
        elif not _is_farewell(control.earliest()):
            session.profile.meanwhile = True

    def _release(self) -> None:
        port, self._port = self._port, 0
        self._session.offers += 1
        with contextlib.suppress(RemoteError):  # then no answer comes, and that is told
            dial(self._session.control, port).close()


def _is_farewell(reply: Reply | None) -> bool:
    return reply is not None and reply.code == 421
