"""The door of one server: how its workers come to connections, and what they find out for each other there.

In: what opens a connection. Out: connections, or why there is none. Of those who want one at a time one worker tries,
and the others wait for its greeting: a dead server sees one attempt, not one per connection. Used by `crew`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from ftpsyncd import lacking
from ftpsyncd.errors import (
    DataUnreachableError,
    FtpsyncdError,
    InternalError,
    LoginRefusedError,
    Retry,
    ServerUnavailableError,
    TlsError,
)
from ftpsyncd.remote.port import Connector, RemoteSession


class NoSessionError(Exception):
    """No connection could be had.

    Args:
        error: why.
    """

    def __init__(self, error: FtpsyncdError) -> None:
        super().__init__(error)
        self.error = error


class Door:
    """What the workers of one server know of it together.

    Args:
        connect: opens a connection.
        connections: as many as there may be at a time.
        opened: is told, after a connection could not be opened, or when that was in doubt, that one was.
    """

    def __init__(self, connect: Connector, connections: int, opened: Callable[[], None]) -> None:
        self._connect = connect
        self._connections = connections
        self._opened = opened
        self._doubted = False
        self._unanswered = 0
        """So many connections have ended since anything was answered over one."""
        self._turn = threading.Condition()
        self._trying: int | None = None
        """The thread that finds out whether the server is there."""
        self._greeted_at = -math.inf
        self.down: FtpsyncdError | None = None
        """Why no connection can be opened, until it may be tried `afresh`."""
        self.tries = 0
        """How often it could be."""

    def afresh(self) -> None:
        """It may be tried again, although it was down."""
        self.down, self._doubted = None, True
        self.tries += 1

    def open(self) -> RemoteSession:
        """One more connection. That a wrong password is told once is the account's.

        Raises:
            NoSessionError: another worker has just found out that there is none.
            FtpsyncdError: this one has.
        """
        wanted, me = time.monotonic(), threading.get_ident()
        with self._turn:
            self._turn.wait_for(lambda: self._greeted_at >= wanted or self._trying is None)
            if self._greeted_at < wanted:
                self._trying = me
        try:
            session = self._open()
        except FtpsyncdError as error:
            if counts_for_all(error):
                self._greeted_at, self.down = -math.inf, error
            raise
        finally:
            self._tried()
        if self._doubted:
            self._doubted = False
            self._opened()
        return session

    def _open(self) -> RemoteSession:
        if self.down is not None:
            raise NoSessionError(self.down)
        try:
            return self._connect()
        except NoSessionError:
            raise
        except FtpsyncdError as error:
            # A password, or a file for TLS, that could not be opened: the server is not to blame, nor what it is in.
            lack = None if error.retry is Retry.MACHINE else lacking.behind(error)
            if lack is not None:
                raise lack from error
            raise
        except Exception as bug:
            raise internal(bug) from bug

    def greeted(self) -> None:
        """The server has greeted one who connects: the others can connect beside it.

        Raises:
            NoSessionError: the login of another one was refused meanwhile; no password is told in vain.
        """
        if self.down is not None and self.down.retry is Retry.LOGIN:
            raise NoSessionError(self.down)
        with self._turn:
            self._greeted_at = time.monotonic()
        self._tried()

    def answered(self) -> None:
        """Something was answered over a connection."""
        self._unanswered = 0

    def ended(self, error: FtpsyncdError) -> None:
        """A connection has ended. Whoever wants another one is told so, where that would lead to nothing."""
        self._unanswered += 1
        if self.is_mute:
            if isinstance(error, TlsError):
                # The connection had come about: it is for data that there is no TLS, or none as it has to be.
                error = DataUnreachableError(error.message, reply=error.reply, remedy=error.remedy)
            elif isinstance(error, LoginRefusedError):
                # So had its login: no password is refused, and none would be told in vain.
                error = ServerUnavailableError(error.message, reply=error.reply, remedy=error.remedy)
            self.down = error

    @property
    def is_mute(self) -> bool:
        """Whether the server lets us in, and answers nothing. Once, and once more, all may end that are open."""
        return self._unanswered > 2 * self._connections

    def _tried(self) -> None:
        """Let the others connect, if they wait for this thread."""
        with self._turn:
            if self._trying == threading.get_ident():
                self._trying = None
            self._turn.notify_all()

    def refused(self, error: LoginRefusedError) -> None:
        """A password was refused: nobody tells it again before work is handed over afresh.

        Told before the account counts the refusal: a session that began before is stopped there, at the account's
        door, and one that begins later by `greeted`.
        """
        self._greeted_at, self.down = -math.inf, error


def counts_for_all(error: FtpsyncdError) -> bool:
    """Whether what prevented one connection would prevent every other one; it cannot be the fault of a file."""
    return error.retry not in {Retry.CAP, Retry.MACHINE}


def internal(bug: Exception) -> FtpsyncdError:
    """The error for an exception that nobody reckoned with."""
    return lacking.behind(bug) or InternalError(f"internal error: {type(bug).__name__}: {bug}")
