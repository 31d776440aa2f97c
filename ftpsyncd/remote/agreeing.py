"""Which data connection a transfer will have: agreed on by EPSV, PASV, EPRT or PORT, and connected when it is needed.

`upload` publishes over these, `transfer` fetches. What a server lets through, a firewall may not: which way is found
out once for all sessions of an account (`reach`). `opening` has the sockets.

Sources: RFC 959 §3.2 and §4.1.2, RFC 2428 (EPSV, EPRT).
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftpsyncd.errors import (
    DataUnreachableError,
    LoginRefusedError,
    NotSupportedError,
    RemoteError,
    ServerFullError,
    ServerUnavailableError,
    TransferFailedError,
)
from ftpsyncd.remote import facts
from ftpsyncd.remote.data import DataLine
from ftpsyncd.remote.opening import ACTIVE_REMEDY, PASSIVE_REFUSED_REMEDY, Answer, Listener, dial
from ftpsyncd.remote.replies import Reply

if TYPE_CHECKING:
    from ftpsyncd.remote.session import Session


@dataclass(slots=True)
class Offer:
    """An agreed but not yet used data connection."""

    port: int = 0
    listener: Listener | None = None
    number: int = 0
    """Among those of its session: the server knows the last one only."""
    extended: bool = False
    """EPSV named the port."""
    joined: bool = False
    """Other words came together with the one about it."""
    sock: socket.socket | None = None
    """Connected already."""

    def open(self, session: Session, answer: Answer) -> DataLine:
        """Connect or accept, after the command that uses it was sent; TLS included."""
        try:
            line = self._line(session, answer)
        except DataUnreachableError as error:
            _miss(session, error)
            raise
        try:
            line.secure()
        except BaseException:
            line.abort()
            raise
        return line

    def _line(self, session: Session, answer: Answer) -> DataLine:
        if self.listener is not None:
            with contextlib.closing(self.listener):
                return DataLine(session.control, self.listener.accept(answer), answer)
        if self.sock is not None:
            return DataLine(session.control, self.sock, answer)
        session.unmet.met()
        try:
            return DataLine.connect(session.control, self.port, answer)
        except ServerUnavailableError:
            session.profile.reached, session.account.unreached = False, True  # a firewall may have been changed
            raise

    def drop(self) -> None:
        """It will not be used."""
        if self.listener is not None:
            self.listener.close()
        if self.sock is not None:
            self.sock.close()


def prepare(session: Session) -> tuple[bytes, Listener | None]:
    """The command that agrees on a data connection; the one agreed on before is void."""
    session.offers += 1
    if session.is_passive:
        # Another session may learn something else before the answer comes. No reply to PASV has room for an address of
        # version 6 (RFC 2428 §1): what was learned of EPSV is about version 4.
        session.extended = session.profile.epsv or ":" in session.control.local
        return (b"EPSV" if session.extended else b"PASV"), None
    listener = Listener(session.control)
    family = 2 if ":" in session.control.local else 1
    return f"EPRT |{family}|{session.control.local}|{listener.port}|".encode(), listener


def agree(session: Session, reply: Reply, listener: Listener | None, *, joined: bool = False) -> Offer:
    """Read the answer to `prepare`; fall back to PASV or PORT where the extended form is not known.

    Args:
        session: that has prepared.
        reply: the answer.
        listener: as from `prepare`.
        joined: it came together with others.
    """
    if listener is not None:
        with contextlib.ExitStack() as undo:
            undo.enter_context(contextlib.closing(listener))
            if not reply.good and ":" not in session.control.local:
                low = f"{listener.port // 256},{listener.port % 256}"
                reply = session.exchange([f"PORT {session.control.local.replace('.', ',')},{low}".encode()])[0]
            if not reply.good:
                raise _no_connection(session, reply)
            undo.pop_all()
        return Offer(listener=listener, number=session.offers)
    if session.extended:
        if reply.code == 229 and (port := facts.find_epsv(reply)):
            return Offer(port, number=session.offers, extended=True, joined=joined)
        # Without a port in it, PASV may have one.
        extended, reply = reply, session.exchange([b"PASV"])[0]
        joined = False
        # A server that is about to go away refuses both, which says nothing about EPSV; nor does one with no port free.
        if reply.code == 227 and not extended.passing:
            session.profile.epsv = False
    if reply.code == 229:
        # PASV may be answered like that where addresses of version 4 are translated on the way (python/cpython#127475).
        return Offer(facts.parse_epsv(reply), number=session.offers, joined=joined)
    if reply.code != 227:
        raise _no_connection(session, reply)
    return Offer(facts.parse_pasv(reply), number=session.offers, joined=joined)


def _no_connection(session: Session, refusal: Reply) -> RemoteError:
    """The error where none is agreed on: no port is free, this machine's address is refused, a firewall is changed.

    Whatever the words are, they are not about a file, nor about the password.
    """
    error = session.error(refusal, "PASV" if session.is_passive else "PORT")
    if isinstance(error, NotSupportedError | LoginRefusedError | TransferFailedError | ServerFullError):
        remedy = PASSIVE_REFUSED_REMEDY if session.is_passive else ACTIVE_REMEDY
        return DataUnreachableError(
            f"The server offers no data connection: {refusal.text}", reply=refusal.text, remedy=remedy
        )
    return error


def reach(session: Session, offer: Offer) -> Offer:
    """Connect before the command that uses it is said, as long as no port that EPSV names was ever reached.

    If this one is not, one that PASV names may be: firewalls open what they read of, and many do not know EPSV. (Most
    programs ask with PASV, so nobody notices; curl tries both, too.) Or one that is named in an answer which comes
    alone: where others are before it in a packet, Linux does not read it. It costs a round trip, so one session tries
    for all of an account. Where nothing else is answered until then (`unmet`), each session connects at once.

    Raises:
        ServerUnavailableError: no port is reached; the session is finished.
    """
    account = session.account
    if offer.sock is not None:
        return offer  # it was meant for a file that could not be opened here
    if session.is_passive and session.profile.meanwhile is False:
        session.unmet.met()
        try:
            offer.sock = dial(session.control, offer.port)
        except ServerUnavailableError as error:
            _give_up(session, error)
            raise
        return offer
    untried = not session.profile.reached if offer.extended else offer.joined and account.unreached
    if not untried or account.reaching:
        return offer
    account.reaching = True
    session.unmet.met()
    try:
        offer.sock = dial(session.control, offer.port)
    except ServerUnavailableError as error:
        offer = _reach_otherwise(session, offer, error)
    finally:
        account.reaching = False
    account.unreached = False
    if offer.extended:
        session.profile.reached, session.profile.epsv_missed = True, 0
    return offer


def _reach_otherwise(session: Session, missed: Offer, unreached: ServerUnavailableError) -> Offer:
    """Ask for another port: in the same way, if others were asked for something at the same time, and with PASV."""
    for word in [b"EPSV", b"PASV"] if missed.extended and missed.joined else [b"PASV"]:
        session.offers += 1
        try:
            (reply,) = session.exchange([word])
            port = facts.parse_epsv(reply) if word == b"EPSV" else facts.parse_pasv(reply)
            offer = Offer(port, number=session.offers, extended=word == b"EPSV")
            session.unmet.met()
            offer.sock = dial(session.control, port)
        except RemoteError:
            continue
        if offer.extended is missed.extended:
            session.profile.joined = False
        else:
            session.profile.epsv = False
        return offer
    _give_up(session, unreached)
    raise unreached from None


def _give_up(session: Session, error: ServerUnavailableError) -> None:
    """No port was reached: the next session tries another address, if there is one."""
    _miss(session, error)
    session.abandon()


def _miss(session: Session, error: ServerUnavailableError) -> None:
    session.account.shun(session)
    if isinstance(error, DataUnreachableError) and session.control.data is None:
        error.others = len(session.control.others)


def offered(session: Session) -> Offer:
    """What is agreed on with a command that is said alone.

    Raises:
        RemoteError: none can be had, or the session ended.
    """
    command, listener = prepare(session)
    try:
        reply = session.exchange([command])[0]
    except BaseException:
        Offer(listener=listener).drop()
        raise
    return agree(session, reply, listener)
