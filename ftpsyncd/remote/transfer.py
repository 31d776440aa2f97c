"""Data connections agreed on, content fetched, and a few bytes sent.

`upload` publishes over the same offers.

Sources: RFC 959 §3.2 and §4.1.2, RFC 2428 (EPSV, EPRT), RFC 3659 §5 (REST).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftpsyncd.core import sizes
from ftpsyncd.errors import (
    DataUnreachableError,
    LoginRefusedError,
    NotSupportedError,
    RemoteError,
    ServerUnavailableError,
    TransferFailedError,
)
from ftpsyncd.quoting import named
from ftpsyncd.remote import crowded, facts, replies
from ftpsyncd.remote.data import DataLine, stalled, unanswered
from ftpsyncd.remote.opening import ACTIVE_REMEDY, PASSIVE_REFUSED_REMEDY, Listener, dial
from ftpsyncd.remote.replies import Reply

if TYPE_CHECKING:
    from ftpsyncd.remote.port import Sink
    from ftpsyncd.remote.session import Session

BLOCK = 256 * 1024
_UNENDED = "If it lasts, `ftpsyncd probe` finds out whether the server has another way now to end what it sends."
_GROWING = "Try again; if the file is being written at the server, and so has another size by now, when that is over."
"""What helps where the size shows that it is not all, whatever the server's way is to end what it sends."""


# ── Opening a data connection ────────────────────────────────────────────────────────────────────────────────────


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

    def open(self, session: Session, answer: Callable[[], Reply | None]) -> DataLine:
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

    def _line(self, session: Session, answer: Callable[[], Reply | None]) -> DataLine:
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
        try:
            if not reply.good and ":" not in session.control.local:
                low = f"{listener.port // 256},{listener.port % 256}"
                reply = session.exchange([f"PORT {session.control.local.replace('.', ',')},{low}".encode()])[0]
            if not reply.good:
                raise _no_connection(session, reply)
        except RemoteError:
            listener.close()
            raise
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
    if isinstance(error, NotSupportedError | LoginRefusedError | TransferFailedError):
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
    except RemoteError:
        Offer(listener=listener).drop()
        raise
    return agree(session, reply, listener)


def _offer(session: Session) -> Offer:
    return reach(session, offered(session))


# ── Sending a little ─────────────────────────────────────────────────────────────────────────────────────────────


def deliver(session: Session, command: bytes, content: bytes, *, rest: int | None = None) -> Reply:
    """Send a few bytes with STOR or APPE, after a REST if one is given; the server's last words, whatever they are.

    For experiments; files are published by `upload`.

    Raises:
        RemoteError: one may not go where that is to be done, or the session ended; so it does where the server allows
            no further transfer.
    """
    session.stand(command)
    offer = _offer(session)
    try:
        if rest is not None:
            reply = session.exchange([f"REST {rest}".encode()])[0]
            if not reply.more:
                offer.drop()
                return reply
        session.say([command])
    except BaseException:
        offer.drop()
        raise
    answer = session.control.final
    try:
        line = offer.open(session, answer)
        try:
            # All of it, with its end, may overtake the command: pyftpdlib would then wait for another connection.
            session.control.await_answer(session.control.earliest)
            line.send(memoryview(content))
        except RemoteError:
            line.abort()
            raise
        line.finish()
    except TransferFailedError:
        pass  # the reply tells
    except BaseException:
        # The answer to this command would be taken for that to the next one.
        session.abandon()
        raise
    first = session.first()
    reply = crowded.explained(session, first, session.check(first, session.control.timeouts.final_s))
    if replies.says_too_many_transfers(reply):
        raise session.error(reply, "STOR")
    return reply


# ── Fetching ─────────────────────────────────────────────────────────────────────────────────────────────────────


def fetch(
    session: Session, path: str, into: Sink, *, offset: int = 0, progress: Callable[[int], None] = lambda _: None
) -> int:
    """See :meth:`ftpsyncd.remote.port.RemoteSession.fetch`."""
    count = retrieve(session, session.command("RETR", path), "RETR", path, into.write, offset, progress)[0]
    if not session.control.data_ended:
        size = facts.parse_size(session.exchange([session.command("SIZE", path)])[0])
        if size is None and session.profile.closes_tls:
            raise cut_off(named(path))
        if not sizes.fits(size, offset + count):
            raise cut_off(named(path), _GROWING)
    return count


def cut_off(what: str, remedy: str = _UNENDED) -> TransferFailedError:
    """The error where TLS did not end, and what came is a part, or may be one at a server that ends TLS as a rule."""
    return TransferFailedError(
        f"{what} may not be all: its TLS has no end. The server or something on the way may have cut it.",
        remedy=remedy,
    )


def retrieve(
    session: Session,
    command: bytes,
    verb: str,
    path: str,
    write: Callable[[bytes], object],
    offset: int,
    progress: Callable[[int], None],
) -> tuple[int, Reply]:
    """What came, in bytes, and the last word about it; `Control.data_ended` has whether its end is certain."""
    session.stand(command)
    offer = _offer(session)
    try:
        if offset:
            session.expect("REST", f"REST {offset}".encode(), 350)
        session.say([command])
    except BaseException:
        offer.drop()
        raise
    answer = session.control.final
    count, failure = 0, None
    try:
        for part in _incoming(session, offer, answer):
            write(part)
            count += len(part)
            progress(offset + count)
    except TransferFailedError as error:
        failure = error
    except BaseException:
        session.abandon()
        raise
    try:
        first = session.first()
        reply = crowded.explained(session, first, session.check(first, session.control.timeouts.final_s))
    except RemoteError as error:
        raise unanswered(failure, error) from error.__cause__
    if session.blames_connection(first, reply):
        session.abandon()
    if not reply.good:
        refusal = session.error(reply, verb, path)
        raise failure if failure is not None and stalled(failure) and type(refusal) is TransferFailedError else refusal
    if failure is not None:
        raise failure
    return count, reply


def _incoming(session: Session, offer: Offer, answer: Callable[[], Reply | None]) -> Iterator[bytes]:
    """The blocks of a download, within the account's limit; the connection is reset if they are not all taken."""
    throttle = session.account.throttle
    line = offer.open(session, answer)
    line.keep_alive()
    block = memoryview(bytearray(BLOCK))
    taken, begun = 0, False
    try:
        while size := line.receive(block[: (portion := throttle.portion(BLOCK))], begun=begun):
            begun = True
            # TLS hands out less than a portion at a time: taken one by one, these would be turns of less than others'.
            taken += size
            if taken >= portion:
                throttle.take(taken)
                taken = 0
            yield bytes(block[:size])
        throttle.take(taken)
    except BaseException:
        line.abort()
        raise
    line.finish()
