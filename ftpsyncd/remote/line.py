"""The connection behind an `Ftp`: another one where it has ended, and for one call at a time.

Called by `library`, and by `dispatch` for what is sent.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import Self, TypeVar

from ftpsyncd.errors import (
    DataUnreachableError,
    FtpsyncdError,
    MisuseError,
    PathsRefusedError,
    RemoteError,
    ServerUnavailableError,
)
from ftpsyncd.model import Exposure, Kind
from ftpsyncd.quoting import named
from ftpsyncd.remote.port import Connector, PublishResult, RemoteEntry, RemoteSession
from ftpsyncd.remote.remedies import remedy
from ftpsyncd.remote.trees import TreeResult

_T = TypeVar("_T")
_NOTHING: Mapping[str, Exposure] = MappingProxyType({})
_ZONES_NS = 26 * 3600 * 10**9
"""By so much a server may tell dates wrongly: some tell them in their own time zone."""
_Steps = Generator[TreeResult, None, None]


class Line:
    """A connection, and how another one is had; a context manager that is entered for each call.

    Args:
        session: the connection to begin with.
        again: opens another connection.
    """

    def __init__(self, session: RemoteSession, again: Connector | None) -> None:
        self.session = session
        self.again = again
        self._closed = False
        self._turn = threading.Lock()
        self._whose = 0
        """The thread whose turn it is, or was last."""
        self._under_way = 0
        """How many have begun something on this connection that only this one can end."""
        self._wanted: set[_Steps] = set()
        """What somebody takes results of. Held here, too: else it could end in the midst of a call, whenever Python
        collects what nobody refers to."""
        self._unwanted: deque[_Steps] = deque()
        self._ended: weakref.WeakSet[_Steps] = weakref.WeakSet()
        """What was wanted yet when the connection was closed."""
        _lines.add(self)

    def __enter__(self) -> Self:
        """Begin a call.

        Raises:
            MisuseError: there is one already: what this one says would get into the middle of it.
        """
        if not self._turn.acquire(blocking=False):
            raise MisuseError("The connection is in the midst of another call.")
        self._whose = threading.get_ident()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.session.displaced is not None and error is not None and not isinstance(error, FtpsyncdError):
            self._put_back_displaced(error, *self.session.displaced)
        self._turn.release()
        self._end_unwanted()
        if self._closed:
            # It was cut meanwhile, or is closed already.
            self.close()
        if isinstance(error, FtpsyncdError):
            error.remedy = remedy(error)

    def between(self, items: Iterable[_T]) -> Iterator[_T]:
        """Items that the caller's own code makes, which may use the connection meanwhile: a call is interrupted."""
        iterator = iter(items)
        while True:
            self._turn.release()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self._turn.acquire()
            yield item

    def want(self, steps: _Steps) -> None:
        """Somebody takes the results of this."""
        self._wanted.add(steps)

    def done(self, steps: _Steps) -> None:
        """It has come to its end."""
        self._wanted.discard(steps)

    def require_going_on(self, steps: _Steps) -> None:
        """See to it that what was closed is not taken for what has come to its end.

        Raises:
            ServerUnavailableError: it was closed.
        """
        if steps in self._ended:
            raise _finished()

    def abandon(self, steps: _Steps) -> None:
        """Nobody takes the rest of it: it is ended between two calls. From any thread."""
        if steps in self._wanted:
            self._unwanted.append(steps)
            self._wanted.discard(steps)
            self._end_unwanted()

    def abandon_all(self) -> None:
        """Nobody will take results any more."""
        for steps in list(self._wanted):
            self.abandon(steps)

    def _end_unwanted(self) -> None:
        # Who is in the midst of a call does it afterwards.
        while self._unwanted and self._turn.acquire(blocking=False):
            try:
                while self._unwanted:
                    with contextlib.suppress(FtpsyncdError):
                        self._unwanted.popleft().close()
            finally:
                self._turn.release()

    @contextlib.contextmanager
    def under_way(self) -> Iterator[RemoteSession]:
        """The connection, which no other one replaces for its age meanwhile: what is begun on it ends on it."""
        self._under_way += 1
        try:
            yield self.session
        finally:
            self._under_way -= 1

    def ready(self) -> RemoteSession:
        """The connection; another one if it has ended, or has no data connections to come.

        Raises:
            ServerUnavailableError: it has ended, and there is no other one.
        """
        aged = self.session.expiring and self.again is not None and not self._under_way
        if aged or not self.session.usable:
            self.renew()
        return self.session

    def renew(self) -> None:
        """Go on with another connection.

        Raises:
            ServerUnavailableError: there is none.
        """
        self.session.close()
        if self.again is None or self._closed:
            raise _finished()
        self.session = self.again()

    def told(self, do: Callable[[RemoteSession], _T]) -> _T:
        """Do something, if need be once more where it shows how the names of files are to be told.

        And at each address of the host, as long as no data connection comes about.
        """
        missed = 0
        while True:
            try:
                return self._told(do)
            except DataUnreachableError as error:
                missed = self.go_elsewhere(error, missed)

    def go_elsewhere(self, error: DataUnreachableError, missed: int) -> int:
        """Go on at another address of the host: at this one no data connection comes about.

        Args:
            error: which says so.
            missed: at how many that was so before.

        Returns:
            At how many by now.

        Raises:
            DataUnreachableError: this one; no other address is left.
        """
        if self.again is None or missed >= error.others:
            raise error
        try:
            self.renew()
        except RemoteError:
            raise error from None
        return missed + 1

    def _told(self, do: Callable[[RemoteSession], _T]) -> _T:
        try:
            return do(self.ready())
        except PathsRefusedError:
            if self.again is None:
                raise
            self.renew()
            return do(self.session)

    def clear_up(self, temporaries: list[str], torn: Mapping[str, Exposure] = _NOTHING) -> bool:
        """Delete what may be left of uploads that were broken off; another connection is tried once.

        Args:
            temporaries: paths.
            torn: paths under which a part may be seen, and of what.

        Returns:
            Whether that was done, and nothing is there any more that may be such a part.
        """
        if self.again is not None and not sys.is_finalizing():
            with contextlib.suppress(FtpsyncdError), self.again() as session:
                there = zip(torn, session.stat_many(list(torn)), strict=True)
                files = {path: entry for path, entry in there if entry is not None and entry.kind is Kind.FILE}
                parts = [path for path, entry in files.items() if _is_part(entry, torn[path])]
                verdicts = session.delete_many([*parts, *temporaries])
                # Where the server's clock is years behind (no battery), a part looks as old as what was there before.
                old = [path for path in files.keys() - set(parts) if (files[path].size or 0) < torn[path].size]
                return not old and not any(verdicts[: len(parts)])
        return False

    def mend(self, result: PublishResult) -> None:
        """See to a version before that was moved aside for a new one, and is still."""
        self.put_back(result.job.path, result.error)
        if result.left:
            self.clear_up([result.left])

    def put_back(self, path: str, error: FtpsyncdError | None) -> None:
        """Have a file under its name again that was moved aside for a new version when the connection was lost.

        Another connection is tried once; where that cannot be had, the error goes on saying where the file is.
        """
        if isinstance(error, RemoteError) and error.aside and not self.session.usable:
            error.aside = "" if self._is_back(path, error.aside) else error.aside

    def _put_back_displaced(self, error: BaseException, path: str, aside: str) -> None:
        """The same where somebody broke it off, who may read only what stands in a traceback."""
        self.session.close()
        if not self._is_back(path, aside):
            error.add_note(f"What was there before as {named(path)} may be at the server as {named(aside)}.")

    def _is_back(self, path: str, aside: str) -> bool:
        """Try over another connection; whether there is nothing under the other name any more."""
        if self.again is None:
            return False
        with contextlib.suppress(FtpsyncdError), self.again() as session:
            there, old = session.stat_many([path, aside])
            if old is not None and there is None:
                session.rename(aside, path)
            elif old is not None:
                session.delete_many([aside])  # the new version got there
            return True
        return False

    def leave_to_parent(self) -> None:
        """In a process that was forked, take the connection for ended, without a word; the next call begins another.

        What is said here would get into the midst of what the parent says.
        """
        self.session.leave()
        if self._turn.locked() and self._whose != threading.get_ident():
            # The thread whose turn it was is in the parent only.
            self._turn = threading.Lock()

    def close(self) -> None:
        """Say good-bye and close. A call that is going on finds the connection ended.

        What is on its way between two results is taken back before, while that can be said.
        """
        self._closed = True
        if not self._turn.acquire(blocking=False):
            self.session.cut()
            return
        try:
            # One that asks the caller's own code for the next file ends by itself.
            for steps in [steps for steps in self._wanted if not getattr(steps, "gi_running", False)]:
                self._wanted.discard(steps)
                self._ended.add(steps)
                with contextlib.suppress(FtpsyncdError):
                    steps.close()
            self.session.close()
        finally:
            self._turn.release()


def _is_part(entry: RemoteEntry, sent: Exposure) -> bool:
    """Whether a file may be a part of what was sent there, as far as the server tells.

    One that stores beside until a file is complete (``HiddenStores`` of proftpd) has the version before: that is older,
    or larger.
    """
    dated = sent.since_ns // 10**9 if entry.mtime_s is None else entry.mtime_s
    return sent._replace(since_ns=sent.since_ns - _ZONES_NS).may_have_left(entry.size or 0, dated)


def _finished() -> ServerUnavailableError:
    return ServerUnavailableError("The connection to the server is finished.")


_lines: weakref.WeakSet[Line] = weakref.WeakSet()


def _leave_all_to_parent() -> None:
    """All connections of this process are those of the one that it was forked from."""
    for line in list(_lines):
        line.leave_to_parent()


os.register_at_fork(after_in_child=_leave_all_to_parent)


@atexit.register
def _abandon_all() -> None:
    """What is on its way is taken back while the interpreter can still do that.

    Later, when Python collects what programs keep for good, a thread that begins is waited for without end.
    """
    for line in list(_lines):
        line.abandon_all()


class Results(Iterator[TreeResult]):
    """What becomes of many files, each taken in a call of its own: between two, the connection is free.

    Args:
        line: the connection.
        steps: does the work.
    """

    def __init__(self, line: Line, steps: _Steps) -> None:
        self._line = line
        self._steps = steps
        line.want(steps)

    def __next__(self) -> TreeResult:
        with self._line:
            self._line.require_going_on(self._steps)
            try:
                result = next(self._steps)
            except BaseException:
                self._line.done(self._steps)
                raise
        if result.error is not None:
            result.error.remedy = remedy(result.error)
        return result

    def close(self) -> None:
        """Want no more of it: what is on its way is taken back."""
        with self._line:
            self._steps.close()
            self._line.done(self._steps)

    def __del__(self) -> None:
        self._line.abandon(self._steps)
