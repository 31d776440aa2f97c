"""Data connections: protected, filled or emptied, and ended so that the other side knows.

They never block without watching the control line: a server that refuses a transfer there may leave the data
connection hanging. `opening` has how they come about; the control line's reply after the end decides what became of
the bytes.

Sources: RFC 959 §3.2, RFC 4217 §10 (TLS on data connections).
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import TypeVar

from ftpsyncd.errors import (
    DataUnreachableError,
    RemoteError,
    ServerUnavailableError,
    TlsError,
    TransferFailedError,
)
from ftpsyncd.remote.opening import Answer, dial, refused, wrapped
from ftpsyncd.remote.parting import part
from ftpsyncd.remote.sockets import FAILURES, end_by_reset, ended, hold_back, keep_alive, translate, undelivered
from ftpsyncd.remote.wire import Control

T = TypeVar("T")
_OF_THE_FILE = frozenset(
    {errno.EIO, errno.ESTALE, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EOVERFLOW, errno.ENODATA}
)
"""What sendfile(2) says about the file only."""
_OF_THE_LINE = frozenset({None, errno.EPIPE, errno.ECONNRESET})
"""What it says about the connection only; None: not it has said that."""
STALLED_REMEDY = (
    "Nothing gets through any more: look for a firewall on the way that ends what lasts, for an MTU that is too large"
    " for a part of the way (VPN, PPPoE), and whether the disk of the server is full."
)
"""What helps where a data connection moves nothing, and nobody has ended it."""
_NEARLY_ALL = 64 * 1024
"""Bytes that may still be on their way when the wait for the final reply begins."""


class DataLine:
    """One data connection, plain or TLS.

    Args:
        control: the line it belongs to.
        sock: connected.
        answer: the final reply to this transfer, once it is queued. A refusal ends the transfer at once.
    """

    def __init__(self, control: Control, sock: socket.socket, answer: Answer) -> None:
        self._control = control
        self._answer = answer
        self._sock = control.data = sock
        self._protected: ssl.SSLSocket | None = None
        control.data_ended = True
        self._handed = 0
        """Bytes that were to be sent: no more of them are on their way."""
        sock.settimeout(0)

    @classmethod
    def connect(cls, control: Control, port: int, answer: Answer) -> DataLine:
        """Connect to the control peer's own address: one that a reply names is never followed.

        Raises:
            TransferFailedError: the server refused by a reply, and closed the port.
            DataUnreachableError: the port cannot be reached; nothing is wrong with the file.
            ServerUnavailableError: no socket can be had.
        """
        try:
            return cls(control, dial(control, port), answer)
        except DataUnreachableError as error:
            # proftpd closes the port when it refuses the command: its words, then on their way, tell the reason.
            if control.await_answer(answer):
                raise TransferFailedError("The server refused to open the data connection.") from error
            raise

    def secure(self) -> None:
        """Begin TLS, resuming the control line's session, if the control line has TLS.

        Servers may insist on the resumption (RFC 4217 §10.2), for otherwise anybody could take the data port.

        Raises:
            TlsError: the certificate does not verify.
            TransferFailedError: the handshake failed otherwise; the control reply may say why.
        """
        if self._control.context is None:
            return
        try:
            if not isinstance(self._sock, ssl.SSLSocket):
                self._sock = self._control.data = wrapped(self._control, self._sock)
            assert isinstance(self._sock, ssl.SSLSocket)  # noqa: S101 - it has a context
            self._protected = self._sock
            self._control.data_resumed = False
            self._until(self._protected.do_handshake, select.POLLIN, self._control.timeouts.connect_s, in_all=True)
            self._control.data_resumed = bool(self._protected.session_reused)
            self._control.has_resumed |= self._control.data_resumed
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(error) from error
        except FAILURES as error:
            raise _failure(error, "protecting the data connection") from error

    def send(self, data: memoryview) -> None:
        """Send all of ``data``.

        Raises:
            TransferFailedError: no byte moved for the stall time, the line broke, or the server gave up.
        """
        stall_s = self._control.timeouts.stall_s
        self._handed += len(data)
        try:
            while data:
                data = data[self._until(lambda view=data: self._sock.send(view), select.POLLOUT, stall_s) :]  # type: ignore[misc]
        except FAILURES as error:
            raise _failure(error, "sending data") from error

    def hold_back(self) -> None:
        """Have the last packet wait for the end of the stream, and go with it.

        The end would be a packet of its own. Where the others fill the first window that TCP allows, it had to wait for
        their acknowledgement: a round trip, for one in forty files of 5 to 60 KB.
        """
        hold_back(self._sock)

    def keep_alive(self) -> None:
        """It will last: find out if the peer vanishes."""
        keep_alive(self._sock)

    @property
    def protected(self) -> bool:
        """Whether what is sent gets encrypted."""
        return self._protected is not None

    def send_file(self, descriptor: int, offset: int, count: int) -> int:
        """Have the kernel send up to ``count`` bytes of a file; returns how many, 0 at the file's end (sendfile(2)).

        Raises:
            TransferFailedError: no byte moved for the stall time, the line broke, or the server gave up.
            OSError: the file cannot be read, or not in this way.
        """
        stall_s = self._control.timeouts.stall_s
        self._handed += count
        out = self._sock.fileno()
        try:
            return self._until(lambda: os.sendfile(out, descriptor, offset, count), select.POLLOUT, stall_s)
        except FAILURES as error:
            if isinstance(error, OSError) and _is_of_the_file(error, descriptor, offset):
                raise
            raise _failure(error, "sending data") from error

    def receive(self, into: memoryview, *, begun: bool = True) -> int:
        """Fill some of ``into``; 0 at the end, be it that of TLS or not (`Control.data_ended`).

        Args:
            into: where to.
            begun: something has come.

        Raises:
            TransferFailedError: no byte came for the stall time, or, as long as neither line has said anything, for
                that of a reply, or, once the server has said that all is sent, for the time that a connection may
                take; the line broke, or the server gave up.
        """
        control, times = self._control, self._control.timeouts
        stall_s = times.stall_s if begun or control.earliest() is not None else times.reply_s
        try:
            return self._until(lambda: self._sock.recv_into(into), select.POLLIN, stall_s, after_s=times.connect_s)
        except FAILURES as error:
            if ended(error):
                control.data_ended = isinstance(error, ssl.SSLZeroReturnError)
                return 0
            raise _failure(error, "receiving data") from error

    def _until(
        self, act: Callable[[], T], events: int, timeout_s: float, *, in_all: bool = False, after_s: float = math.inf
    ) -> T:
        """Repeat a non-blocking act until it is done.

        Readiness is progress, ``timeout_s`` without it a failure, ``after_s`` behind the final reply; ``in_all``: so is
        a longer time altogether.
        """
        end = time.monotonic() + timeout_s
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                wanted = select.POLLIN
            except ssl.SSLWantWriteError:
                wanted = select.POLLOUT
            except BlockingIOError:
                wanted = events
            if not refused(self._answer):  # it may have come together with the word before
                left_s = max(0.0, end - time.monotonic()) if in_all else timeout_s
                self._control.wait(self._sock, wanted, left_s if self._answer() is None else min(left_s, after_s))
            if refused(self._answer):
                raise TransferFailedError("The server ended the transfer.")
            if self._control.broken and self._answer() is None:
                # What is queued answers other commands.
                raise ServerUnavailableError("The connection to the server ended during the transfer.")

    def finish(self, begun: Callable[[], bool] | None = None, patience_s: float = 0.0) -> bool:
        """End the stream and close. Never raises: the control reply says what arrived.

        Under TLS close_notify is sent and the peer's awaited, but no longer than the close time and only until the
        final reply is there: some servers never send theirs, some cut the line if ours is missing. What this side still
        holds of a file when all of it was handed to the kernel, on a slow line, is waited for.

        Args:
            begun: whether the server has said that it receives the file; asked if a reset behind the end would be
                welcome (`parting`).
            patience_s: how long the end may be on its way without one: seconds, about a round trip.

        Returns:
            Whether there was one.
        """
        try:
            parted = begun is not None and self._part(begun, patience_s)
            if not parted and (self._protected is not None or self._handed > _NEARLY_ALL):
                with contextlib.suppress(RemoteError, *FAILURES):
                    if self._protected is not None:
                        self._unwrap(self._protected)
                    self._await_delivery()
        finally:
            self._sock.close()
        return parted

    def _unwrap(self, sock: ssl.SSLSocket) -> None:
        """Exchange close_notify, as far as the peer does."""
        deadline = 0.0
        with contextlib.suppress(TimeoutError):
            while self._answer() is None and not self._control.broken:
                try:
                    sock.unwrap()
                    break
                except ssl.SSLWantReadError:
                    # Ours is sent. proftpd waits for the end of the stream when it has sent its own. (The method of
                    # SSLSocket would forget TLS.)
                    socket.socket.shutdown(sock, socket.SHUT_WR)
                    deadline = deadline or time.monotonic() + self._control.timeouts.close_s
                    self._control.wait(sock, select.POLLIN, max(0.0, deadline - time.monotonic()))
                except ssl.SSLWantWriteError:
                    self._control.wait(sock, select.POLLOUT, self._control.timeouts.stall_s)
                except ssl.SSLError as error:
                    if not ended(error):
                        raise
                    break  # without the peer's

    def _await_delivery(self) -> None:
        """Wait as long as much is on its way and bytes move: the time for the final reply begins with the last one."""
        control, left = self._control, undelivered(self._sock)
        if left <= _NEARLY_ALL:
            return
        socket.socket.shutdown(self._sock, socket.SHUT_WR)
        began = moved = time.monotonic()
        while left > _NEARLY_ALL and began - moved < control.timeouts.stall_s:
            if control.await_answer(self._answer) or time.monotonic() - began < control.timeouts.close_s:
                return  # it is there, or the control line has ended
            began = time.monotonic()
            left, before = undelivered(self._sock), left
            moved = began if left < before else moved

    def _part(self, begun: Callable[[], bool], patience_s: float) -> bool:
        """See `finish`; False: an orderly end is due, which may be said already."""
        control, stall_s = self._control, self._control.timeouts.stall_s
        deadline = 0.0

        def await_room() -> bool:
            control.wait(self._sock, select.POLLOUT, stall_s)
            return self._answer() is None

        def last_words() -> bool:
            nonlocal deadline
            deadline = time.monotonic() + patience_s
            control.pump()
            if self._answer() is not None:
                return False
            if self._protected is not None:
                with contextlib.suppress(ssl.SSLWantReadError):  # ours is sent, the peer's is not awaited
                    self._protected.unwrap()
                    self._protected = None
            return True

        def accepted() -> bool:
            if not begun():
                control.pump()
            return begun()

        def await_news(at_most_s: float | None) -> bool:
            left_s = deadline - time.monotonic()
            if left_s <= 0.0 or control.broken or self._answer() is not None:
                return False
            with contextlib.suppress(TimeoutError):
                control.wait(self._sock, 0, left_s if at_most_s is None else min(at_most_s, left_s))
            return True

        try:
            return part(self._sock, await_room, last_words, accepted, await_news)
        except (RemoteError, *FAILURES):
            return False

    def abort(self) -> None:
        """Reset the connection: an orderly end would make the server take the part for the whole (226)."""
        with contextlib.suppress(OSError):
            end_by_reset(self._sock)
        self._sock.close()


def _is_of_the_file(error: OSError, descriptor: int, offset: int) -> bool:
    """Whether sendfile(2) failed with the file: a disk that is a program or a network away loses connections, too."""
    if error.errno in _OF_THE_LINE or error.errno in _OF_THE_FILE:
        return error.errno in _OF_THE_FILE
    try:
        os.pread(descriptor, 1, offset)
    except OSError:
        return True
    return False


def _untrusted(error: ssl.SSLCertVerificationError) -> RemoteError:
    """The error of a data connection where the control line's certificate has verified, and this one's does not."""
    failure = translate(error, "protecting the data connection")
    if not isinstance(failure, TlsError):
        return failure
    why = failure.message.partition(": ")[2]
    return TlsError(
        f"The certificate of the data connection does not verify, though that of the control connection does: {why}",
        remedy="Something else answers on the server's ports for data, or on the way to them: ask whoever runs it.",
    )


def _failure(error: Exception, doing: str) -> RemoteError:
    """The error of a data connection; that of a control line which ended meanwhile stays what it is."""
    if isinstance(error, ServerUnavailableError):
        return error
    remedy = STALLED_REMEDY if isinstance(error, TimeoutError) else None
    return TransferFailedError(translate(error, doing).message, remedy=remedy)


def stalled(failure: Exception | None) -> bool:
    """Whether a data connection has failed since it moved nothing."""
    return isinstance(failure, TransferFailedError) and failure.stalled


def broke(failure: Exception | None) -> bool:
    """Whether a data connection was reset, by whoever it was; not where it ended as the server had said why."""
    return isinstance(failure, TransferFailedError) and isinstance(failure.__cause__, ConnectionError)


def unanswered(failure: RemoteError | None, silence: RemoteError) -> RemoteError:
    """The error where a transfer failed, and no answer to it came.

    Args:
        failure: of the data connection.
        silence: of the control line. Where the other one moved nothing, the server may not have got our reset either,
            and no answer was to be expected.
    """
    if failure is None or not stalled(failure) or silence.reply:
        return silence
    return ServerUnavailableError(failure.message, remedy=failure.remedy)
