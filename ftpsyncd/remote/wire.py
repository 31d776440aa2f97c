"""The control line of a session: socket, TLS, commands out, replies in.

`ftplib` is not used at all: its reader decodes, is unbounded and cannot tell several replies apart. `session` says
commands here and asks for replies.

Every failure leaves as a typed error. After one, the control line is ``broken``: what a later reply would answer can
no longer be known.

Sources: RFC 959 §4, RFC 4217 (TLS).
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ftpsyncd.errors import NoSocketError, ProtocolError, RemoteError, ServerUnavailableError, TlsError
from ftpsyncd.quoting import address
from ftpsyncd.remote import hello
from ftpsyncd.remote.addresses import Address, Found, Known, connected, resolved
from ftpsyncd.remote.replies import Reply, ReplyReader, pattern_of
from ftpsyncd.remote.sockets import (
    FAILURES,
    acknowledge_at_once,
    end_by_reset,
    ended,
    few_left,
    hasten,
    hold_back,
    keep_alive,
    translate,
    undelivered,
)
from ftpsyncd.remote.tls import CLOSED, HANDSHAKES, certified, records

_CHUNK = 64 * 1024
_QUEUE_MAX = 1000
"""Replies that may wait to be asked for: far more than there can be commands on their way."""
_TICKET_CHECK_S = 60.0
"""A ticket is not looked at before either clock says that it is so old: asking costs a quarter of a millisecond."""
_TICKET_SHARE = 0.8
"""Of its lifetime, after which a ticket is not relied upon."""
_ASKED_MOST = 20
"""Times that a session is asked for which no data connection resumes."""
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Timeouts(NamedTuple):
    """Seconds after which silence is a failure. None of them limits a transfer that makes progress."""

    connect_s: float = 15.0
    reply_s: float = 30.0
    stall_s: float = 120.0
    """A data line that moves no byte."""
    final_s: float = 60.0
    """The reply after the last byte: at least this, more for large files."""
    close_s: float = 5.0
    """The peer's close_notify, and its answer to QUIT."""
    drain_bytes_s: float = 20e6
    """How slowly a server may write to its disk what it has received, for the final reply of large files."""

    def after(self, size: int) -> float:
        """Seconds to wait for the final reply of a transfer of ``size`` bytes."""
        return max(self.final_s, size / self.drain_bytes_s)

    def of(self, timeout_s: float) -> Timeouts:
        """These, where so many seconds are to be borne for any reply."""
        return self._replace(
            connect_s=min(self.connect_s, timeout_s), reply_s=timeout_s, final_s=max(self.final_s, timeout_s)
        )


def _to_try(found: Sequence[Found], past: frozenset[Address]) -> list[Found]:
    """Of the addresses of a host, those that are not past; all of them, if the name stands for no other by now."""
    return [each for each in found if each[4] not in past] or list(found)


class Control:
    """The control line: commands out, replies in, in order.

    Args:
        host: name or address of the server.
        port: of the control line.
        timeouts: for everything on this line and its data lines.
        known: what is known of the addresses of the host.
        past: those at which no session could begin just now, while there are others.

    Raises:
        ServerUnavailableError: no connection.
    """

    _how = "The connection to the server is finished."
    """What is told of that to whoever wants an answer afterwards."""
    fell_silent = False
    """A reply was awaited in vain, and nothing else has ended it."""

    def __init__(
        self,
        host: str,
        port: int,
        timeouts: Timeouts,
        known: Known = Known(),  # noqa: B008 - frozen
        past: frozenset[Address] = frozenset(),
    ) -> None:
        self.certified = certified(host)
        """What its certificate must name."""
        self.timeouts = timeouts
        self.broken = False
        self.was_cut = False
        """Somebody else than the peer or its user has ended it (`cut`): that says nothing about the server."""
        self.said_too_much = False
        """The peer has said what nobody asked for, and did not end the line with it."""
        self.data: socket.socket | None = None
        """Of the data connection that was opened last."""
        self.data_resumed = self.has_resumed = False
        """The last protected data connection resumed this line's TLS session; one of them did."""
        self.data_ended = True
        """What came over the last data connection ended with close_notify, if that was protected: it is all of it."""
        self.wanted_group = ""
        """The server asked for this group of keys (`hello`), since it takes no other that was offered a key for."""
        self.queued: deque[Reply] = deque()
        """Replies that came and were not asked for yet."""
        self._reader = ReplyReader()
        self._where = address(host, port)
        self._began = time.monotonic()
        short = few_left()
        with contextlib.ExitStack() as undo:
            try:
                found = _to_try(resolved(host, port, known), past)
                self._sock: socket.socket = undo.enter_context(connected(found, timeouts.connect_s, known))
                hasten(self._sock)
                keep_alive(self._sock)
                end_by_reset(self._sock)
                self._sock.settimeout(0)
                # Not known any more where the peer has gone already.
                self.peer_address: tuple[Any, ...] = self._sock.getpeername()
                self.local_address: tuple[Any, ...] = self._sock.getsockname()
            except FAILURES as error:
                raise translate(error, f"connecting to {self._where}", short=short) from error
            undo.pop_all()
        self.peer, self.local = str(self.peer_address[0]), str(self.local_address[0])
        self.others = frozenset(each[4] for each in found) - {self.peer_address} - past
        """Addresses at which no session was tried to begin."""
        self.family = self._sock.family
        """AF_INET or AF_INET6."""
        self.context: ssl.SSLContext | None = None
        self._protected: ssl.SSLSocket | None = None
        """The socket, once TLS has begun."""
        self._session: ssl.SSLSession | None = None
        self._asked = 0
        """How often for the session."""
        self._secured_at = 0
        """Wall clock, whole seconds."""
        self._poll = select.poll()
        self._poll.register(self._sock, select.POLLIN)

    @property
    def session(self) -> ssl.SSLSession | None:
        """The TLS session for data connections; with TLS 1.3, what can be resumed arrives after the handshake.

        It stays the same once one was resumed: Python before 3.12.8 and 3.13.1 never frees what it answers, some six
        kilobytes each time (python/cpython#116810).
        """
        settled = self._session is not None and self.data_resumed
        if self._protected is not None and not settled and self._asked < _ASKED_MOST:
            self._asked += 1
            self._session = self._protected.session
        return self._session

    @property
    def tls_version(self) -> str:
        """As people write it, ``TLS 1.3``; empty without TLS."""
        version = None if self._protected is None else self._protected.version()
        return (version or "").replace("TLSv", "TLS ")

    @property
    def is_forgotten(self) -> bool:
        """Whether the server resumes this line's TLS session no longer: that fails all data connections from now on."""
        return self.has_resumed and not self.data_resumed

    @property
    def age_s(self) -> float:
        """For how long there is this line, in seconds; never less than since the login."""
        return time.monotonic() - self._began

    @property
    def ticket_expiring(self) -> bool:
        """Whether the TLS session cannot be resumed, or not for long any more: then every data connection would fail.

        OpenSSL leaves a ticket of TLS 1.3 away that it got at a time which is still to come, as where the clock of this
        machine was set back, or that has expired by now, as where it was set forward, however young the connection is;
        proftpd and vsftpd refuse what comes without.

        Lifetimes seen: pure-ftpd one hour, pyftpdlib two, proftpd 4.4 hours, vsftpd a week (TLS 1.3) or no end.
        """
        if self._protected is None:
            return False
        aged_s = int(time.time()) - self._secured_at
        if aged_s < 0 and self.tls_version == "TLS 1.3":
            return True
        if max(aged_s, self.age_s) < _TICKET_CHECK_S:
            return False
        session = self.session
        if session is None or not session.has_ticket or not session.ticket_lifetime_hint:
            return False
        return time.time() - session.time > _TICKET_SHARE * session.ticket_lifetime_hint

    def secure(self, context: ssl.SSLContext) -> None:
        """Begin TLS (RFC 4217 §4).

        Raises:
            TlsError: the handshake failed, the certificate does not verify, or the server sent something in clear
                text after its 234: that could be a stranger's words, to be taken for the server's later.
        """
        if self._reader.pending or self.queued:
            raise TlsError("The server sent text before TLS began; it could come from somebody in between.")
        short = few_left()
        try:
            self._sock = self._protected = context.wrap_socket(
                self._sock, server_hostname=self.certified, do_handshake_on_connect=False
            )
            self.wanted_group = self._shake_hands(self._protected)
        except FAILURES as error:
            self.broken = True
            failure = translate(error, f"beginning TLS with {self._where}", short=short)
            told = isinstance(failure, TlsError | NoSocketError)
            if isinstance(error, ssl.SSLError) and not ended(error) and not told:
                # The two sides do not understand each other: trying again does not help.
                raise TlsError(failure.message, remedy=HANDSHAKES.get(error.reason or "")) from error
            if ended(error) or isinstance(error, ConnectionResetError):
                failure.remedy = CLOSED
            raise failure from error
        self.context = context
        self._secured_at = int(time.time())

    def _shake_hands(self, sock: ssl.SSLSocket) -> str:
        """The handshake; returns the group that the server has asked for, if it has."""
        deadline = time.monotonic() + self.timeouts.connect_s
        answer = b""
        while True:
            try:
                sock.do_handshake()
            except _NOT_NOW as wish:
                self._await(wish, select.POLLIN, deadline)
                # What TLS will read; the method of SSLSocket cannot peek.
                with contextlib.suppress(BlockingIOError):
                    answer = answer or socket.socket.recv(sock, hello.LONGEST, socket.MSG_PEEK)
            else:
                return hello.wanted_group(answer)

    def stirs(self) -> bool:
        """Whether something is there that was not read yet: words, an end, or what only TLS has to know."""
        return bool(self.queued or self._poll.poll(0))

    def send(self, commands: Sequence[bytes]) -> None:
        """Send commands in one go; each is without its line end.

        Raises:
            ServerUnavailableError: the line is broken.
            ProtocolError: the server has said what nobody asked for; it would be taken for the answer to these.
        """
        if self.broken:
            raise ServerUnavailableError(self._how)
        if self.stirs() and self._said_farewell():
            return
        lines = [command + b"\r\n" for command in commands]
        try:
            self._write_all([b"".join(lines)] if self._protected is None else records(lines))
        except FAILURES as error:
            # Often the server has said why before it closed: 421, too many connections, or an alert.
            try:
                self.pump()
            except TlsError:
                raise
            except RemoteError:
                pass
            self.broken = True
            if self.queued and self.queued[-1].code == 421:
                return
            raise translate(error, f"sending a command to {self._where}") from error
        except BaseException:
            # As in `_await_reply`: nobody will ask for the answer to what was said.
            self.broken = True
            raise

    def _write_all(self, pieces: Sequence[bytes]) -> None:
        deadline = time.monotonic() + self.timeouts.reply_s
        if len(pieces) > 1:
            hold_back(self._sock)
        for piece in pieces:
            self._write(piece, deadline)
        if len(pieces) > 1:
            hold_back(self._sock, yes=False)
        acknowledge_at_once(self._sock)

    def _write(self, piece: bytes, deadline: float) -> None:
        left = memoryview(piece)
        while left:
            try:
                left = left[self._sock.send(left) :]
            except _NOT_NOW as wish:
                self._await(wish, select.POLLOUT, deadline)

    def _said_farewell(self) -> bool:
        """Whether what is there, and answers nothing, is a 421; the line is over then, as after any other words."""
        self.pump()
        if not self.queued:
            return False
        went_on, self.broken = not self.broken, True
        unasked = self.queued[0]
        if unasked.code != 421:
            self.said_too_much = went_on
            raise ProtocolError(f"The server says what it was not asked for: {unasked.text}", reply=unasked.text)
        return True

    def expect_no_more(self) -> None:
        """All that was said is answered: what came besides may be the true answer, and what was taken for it not.

        A farewell is left for who says the next words.

        Raises:
            ProtocolError: there is something.
        """
        if self.queued and self.queued[0].code != 421:
            self._said_farewell()

    def hide(self, secret: bytes) -> None:
        """From now on, no words of the server that people read hold this, should it repeat what it was told."""
        self._reader.secret = pattern_of(secret)

    def reply(self, timeout_s: float | None = None) -> Reply:
        """The next reply, complete within the time-out.

        Raises:
            ServerUnavailableError: silence, or the line ended.
            ProtocolError: no FTP.
        """
        if not self.queued:
            self._await_reply(time.monotonic() + (self.timeouts.reply_s if timeout_s is None else timeout_s))
        return self.queued.popleft()

    def _await_reply(self, deadline: float) -> None:
        while not self.queued:
            if self.broken:
                raise ServerUnavailableError(self._how)
            try:
                self._hear(deadline)
            except FAILURES as error:
                self.broken, self.fell_silent = True, isinstance(error, TimeoutError)
                raise translate(error, f"waiting for the reply of {self._where}") from error
            except BaseException:
                # Ctrl-C, or what a program's handler of a signal raises: the reply would be taken for another one.
                self.broken = True
                raise

    def _hear(self, deadline: float) -> None:
        self._take_in(self._recv(deadline))
        if not self.queued and time.monotonic() >= deadline:
            raise TimeoutError  # a trickle of bytes is silence, too

    def _recv(self, deadline: float) -> bytes:
        # Waiting first saves a call: what is asked for is seldom there yet. What TLS has decrypted, poll cannot see.
        if self._protected is None or not self._protected.pending():
            self._await(None, select.POLLIN, deadline)
        while True:
            try:
                return self._sock.recv(_CHUNK)
            except _NOT_NOW as wish:
                self._await(wish, select.POLLIN, deadline)

    def _await(self, wish: OSError | None, events: int, deadline: float) -> None:
        """Wait until the socket is ready, for what TLS wishes or else for ``events``."""
        if wish is not None and isinstance(wish, ssl.SSLError):
            events = select.POLLIN if isinstance(wish, ssl.SSLWantReadError) else select.POLLOUT
        if events != select.POLLIN:
            self._poll.modify(self._sock, events)
        try:
            if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError
        finally:
            if events != select.POLLIN:
                self._poll.modify(self._sock, select.POLLIN)

    def _take_in(self, data: bytes) -> None:
        """Queue the replies in what has come; an end of the stream is an EOFError."""
        if not data:
            raise EOFError
        self._reader.feed(data)
        try:
            self._queue_replies()
        except ProtocolError:
            self.broken = True
            raise

    def _queue_replies(self) -> None:
        while (reply := self._reader.next()) is not None:
            if len(self.queued) >= _QUEUE_MAX:
                raise ProtocolError("The server sends replies without end.")
            self.queued.append(reply)

    def pump(self) -> None:
        """Queue what has come, without waiting.

        Raises:
            ServerUnavailableError: the line ended, and no final reply is queued: what it would answer has no outcome.
        """
        try:
            while True:
                self._take_in(self._sock.recv(_CHUNK))
        except _NOT_NOW:
            return
        except FAILURES as error:
            self.broken = True
            failure = translate(error, f"listening to {self._where}")
            if isinstance(failure, ServerUnavailableError):
                self._how = failure.message
            if all(reply.preliminary for reply in self.queued):
                raise failure from error

    def wait(self, sock: socket.socket, events: int, timeout_s: float) -> None:
        """Wait until a data socket is ready or the control line speaks; queue what it says.

        Raises:
            TimeoutError: neither happened.
        """
        poll = select.poll()
        poll.register(sock, events)
        if not self.broken:
            poll.register(self._sock, select.POLLIN)
        ready = poll.poll(timeout_s * 1000)
        if not ready:
            raise TimeoutError
        if any(fd == self._sock.fileno() for fd, _ in ready) and not self.broken:
            self.pump()

    def earliest(self) -> Reply | None:
        """The first reply that is queued."""
        return self.queued[0] if self.queued else None

    def final(self) -> Reply | None:
        """The first final reply that is queued."""
        return next((reply for reply in self.queued if not reply.preliminary), None)

    def await_answer(self, answer: Callable[[], Reply | None], at_most_s: float | None = None) -> bool:
        """Wait for a reply that `answer` recognizes, at most for so long, or the close time; queue what comes."""
        deadline = time.monotonic() + (self.timeouts.close_s if at_most_s is None else at_most_s)
        with contextlib.suppress(RemoteError, *FAILURES):
            while answer() is None and time.monotonic() < deadline:
                self._take_in(self._recv(deadline))
        return answer() is not None

    def cut(self) -> None:
        """End this line and its data line from another thread than the one that uses and closes them."""
        self.was_cut = self.broken = True
        for sock in (self._sock, self.data):
            if sock is not None:
                # Not the method of SSLSocket, which takes TLS away from under who uses it.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def leave(self) -> None:
        """Close the sockets of this process, which was forked; another one goes on with what they are ends of.

        A copy of a data line that stays open would keep the other one's end of it from arriving. Options are shared.
        """
        self.broken = True
        for sock in (self._sock, self.data):
            if sock is not None:
                sock.close()

    def close(self, *, orderly: bool = False) -> None:
        """Close at once, without a word.

        Args:
            orderly: what was sent last shall still arrive; else it is taken back, as far as that is possible. What is
                on a data line that nobody has ended (a signal came before its user could) is taken back in any case.
        """
        self.broken = True
        if self.data is not None and self.data.fileno() >= 0:
            end_by_reset(self.data)
            self.data.close()
        if self._sock.fileno() >= 0 and (orderly or not undelivered(self._sock)):
            end_by_reset(self._sock, yes=False)
        self._sock.close()
