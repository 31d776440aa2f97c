"""Content fetched, and a few bytes sent; files are published by `upload`.

Sources: RFC 959 §4.1.3 (RETR, STOR), RFC 3659 §5 (REST).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ftpsyncd.core import sizes
from ftpsyncd.errors import (
    RemoteError,
    TransferFailedError,
)
from ftpsyncd.quoting import named
from ftpsyncd.remote import crowded, facts, replies
from ftpsyncd.remote.agreeing import Offer, offered, reach
from ftpsyncd.remote.data import stalled, unanswered
from ftpsyncd.remote.opening import Answer
from ftpsyncd.remote.replies import Reply

if TYPE_CHECKING:
    from ftpsyncd.remote.port import Sink
    from ftpsyncd.remote.session import Session

BLOCK = 256 * 1024
_UNENDED = "If it lasts, `ftpsyncd probe` finds out whether the server has another way now to end what it sends."
_GROWING = "Try again; if the file is being written at the server, and so has another size by now, when that is over."
"""What helps where the size shows that it is not all, whatever the server's way is to end what it sends."""


# ── Sending a little ─────────────────────────────────────────────────────────────────────────────────────────────


def deliver(session: Session, command: bytes, content: bytes, *, rest: int | None = None) -> Reply:
    """Send a few bytes with STOR or APPE, after a REST if one is given; the server's last words, whatever they are.

    For experiments.

    Raises:
        RemoteError: one may not go where that is to be done, or the session ended; so it does where the server allows
            no further transfer.
    """
    session.stand(command)
    offer = reach(session, offered(session))
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
    return reply if first.preliminary else replies.of_the_name(reply)


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
    offer = reach(session, offered(session))
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
        refusal = session.error(reply if first.preliminary else replies.of_the_name(reply), verb, path)
        raise failure if failure is not None and stalled(failure) and type(refusal) is TransferFailedError else refusal
    if failure is not None:
        raise failure
    return count, reply


def _incoming(session: Session, offer: Offer, answer: Answer) -> Iterator[bytes]:
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
