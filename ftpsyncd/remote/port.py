"""The port between `publish` and a server: what a session can do, in words that hide the protocol.

`session.Session` (FTP and FTPS) and `memory.MemorySession` (scripted, for tests) offer exactly this, and one contract
suite holds for both. A session is used by one thread at a time. Every method raises a subclass of
:class:`ftpsyncd.errors.RemoteError` (or ``NameNotSendableError`` before anything is sent); after an error with
``usable`` False the session must be closed and not used again.

Remote paths are absolute, ``str`` with surrogates for bytes that are not UTF-8 (PEP 383).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import BinaryIO, NamedTuple, NoReturn, Protocol, Self, runtime_checkable

from ftpsyncd.errors import FtpsyncdError, MisuseError, NameRefusedError
from ftpsyncd.model import Kind

RESUMABLE = 9 * 1024 * 1024
"""Files from this size on are continued after a broken transfer: below it, asking costs more than sending again."""


class RemoteEntry(NamedTuple):
    """What the server says about one name."""

    name: str
    """The last component of the path."""
    kind: Kind
    size: int | None
    mtime_s: int | None
    """Seconds since the epoch, UTC; None where the server cannot say."""


class PartlyListedError(NameRefusedError):
    """The server lists only a part of a directory, and says so.

    Args:
        message: one sentence.
        reply: the server's own words.
        entries: what it lists.
    """

    def __init__(self, message: str, *, reply: str, entries: Sequence[RemoteEntry]) -> None:
        super().__init__(
            message,
            reply=reply,
            remedy="Have the server list more names: that is `LimitRecursion`, or `-L`, of pure-ftpd.",
        )
        self.entries = list(entries)


class Sink(Protocol):
    """Where content that is fetched goes to; a file is one."""

    def write(self, data: bytes, /) -> object:
        """Take all of a block. What it raises ends the transfer."""


class PublishJob(NamedTuple):
    """One file to publish: open, send under ``temporary``, verify the size, rename to ``path``, set the date.

    Args:
        path: the final absolute remote path. Its directory exists.
        temporary: the absolute remote path to send to; equal to ``path`` for a direct publish without rename.
        size: bytes that will be sent; the server must confirm exactly this number.
        mtime_s: date to give to the file, seconds since the epoch; not fatal where the server cannot set dates.
        open: opens the local file for reading, once, just before STOR is sent. It may raise a LocalError, which is
            then the job's result; nothing was sent in that case.
        confirm: called after the last byte was sent and the server confirmed, before the rename, with the file
            object from ``open``, wherever it stands, and the SHA-256 of what was sent; raises FileChangedError when
            the file is not the one that was opened. Then the temporary file is deleted at the server and the error is
            the job's result. Called again where the server turns out to rename nothing: before the file is sent under
            ``path``, and after that.
        progress: called with the number of bytes sent so far, from the sending thread, at most every 256 KiB. What it
            raises (a LocalError) ends the transfer, and is the job's result.
        resume: ``temporary``, if it is there, holds a part of this very content, for which the caller vouches: it is
            continued where the server can be trusted to do so, else sent anew.
        parts: absolute remote paths of which the same is true, each of an earlier try: what is there is renamed to
            ``temporary`` before it is continued, so that nothing reaches it that was meant for that try.
        left: absolute remote paths of temporary files of earlier tries, deleted before this file is sent.
        afresh: what an earlier try still has under way may not get into this one: where it is sent to ``path`` itself,
            what is there is deleted right before. Who writes to it yet writes to a file that has no name any more.
        keep_part: if the transfer of a large file (`RESUMABLE`) breaks, what arrived may stay under ``temporary``.
        begun: called when the server has begun to receive a large file into ``temporary``, with whether what is there
            from now on is a part of this content that may be continued, even if neither side lives to tell. It may not
            where it is appended: what of it comes late would be appended again.
        exposed: called right before anything is sent under ``path`` itself, with False; and with True when the server
            has begun to receive a large file there, or any that is broken off: nothing of what was there is left.
    """

    path: str
    temporary: str
    size: int
    mtime_s: int
    open: Callable[[], BinaryIO]
    confirm: Callable[[BinaryIO, bytes], None]
    progress: Callable[[int], None] = lambda _sent: None
    resume: bool = False
    parts: Sequence[str] = ()
    left: Sequence[str] = ()
    afresh: bool = False
    keep_part: bool = False
    begun: Callable[[bool], None] = lambda _continuable: None
    exposed: Callable[[bool], None] = lambda _begun: None

    def __reduce__(self) -> tuple[Callable[..., PublishJob], tuple[object, ...]]:
        """What of it goes to another process, with the result that names it: all but its functions."""
        return PublishJob, tuple(_not_here if callable(value) else value for value in self)


def _not_here(*_told: object) -> NoReturn:
    """In the place of the functions of a job that came from another process.

    Raises:
        MisuseError: always.
    """
    raise MisuseError(
        "A job that comes from another process only tells what was done there.",
        remedy="Make another one here to do it again.",
    )


class PublishResult(NamedTuple):
    """What became of one job; ``error`` is None exactly if the file is complete under its final name."""

    job: PublishJob
    error: FtpsyncdError | None
    sha256: bytes = b""
    """Of the bytes that were sent."""
    duration_s: float = 0.0
    """From opening the file until the server had confirmed its last byte; the rename comes after that."""
    reply: str = ""
    """The server's final words about the transfer."""
    dated: bool = False
    """The server confirmed the date."""
    kept: int = 0
    """Bytes that were there from earlier tries and were not sent again."""
    in_place: bool = False
    """It failed, and may have cost what was under the final name, where it was sent to."""
    gone: bool = False
    """It failed, and what was under the final name was deleted or moved aside before, to make room for it, or may be
    emptied."""
    refused: bool = False
    """The server refused its name before it received anything: of this try nothing is there, under any name."""
    arrived: bool = False
    """The server has confirmed that it received all of it, whatever it said then: the directory is there."""
    reached: bool = False
    """A data connection had come about for it, or for a listing behind its refusal, whatever became of it."""
    unanswered: bool = False
    """It failed, whatever of, and the connection ended before the server had answered all that was said of it."""
    left: str = ""
    """Where the version before is, which was moved aside and could not be deleted any more; empty: it is gone."""


@runtime_checkable
class RemoteSession(Protocol):
    """One logged-in connection to a server."""

    @property
    def usable(self) -> bool:
        """False once anything makes the state of the connection doubtful."""

    @property
    def expiring(self) -> bool:
        """Its TLS session is soon too old for data connections: the next transfer is for another session.

        `publish` ends by itself then.
        """

    @property
    def displaced(self) -> tuple[str, str] | None:
        """The path of a file, and where it may be instead, since a rename for which it was moved aside was broken off.

        By Ctrl-C, for instance: where the server or the line is to blame, the error tells it (`RemoteError.aside`).
        """

    def is_elsewhere(self) -> bool:
        """Whether the name of the host stands for other addresses by now: another session would be at another machine.

        Not where nobody tells at once, as while name servers do not answer, which may take half a minute: what is told
        then counts the next time. Nor the first time: of many machines, they may tell others each time.
        """

    def stirs(self) -> bool:
        """Whether something has come that answers nothing, as where the server has ended the connection; costs nothing.

        `noop` tells whether it has.
        """

    def publish(self, jobs: Iterable[PublishJob]) -> Iterator[PublishResult]:
        """Publish jobs in order, pulling the next one only when it can be started, one result per job.

        The result of job n may come after jobs n+1 and n+2 were pulled (its verification and rename travel with the
        next ones' commands); when ``jobs`` ends, everything is flushed. An error of one job does not end the
        iteration unless the session becomes unusable: then every job pulled has a result, and the iterator ends.
        ``jobs`` is never asked for a job that the session could not start.
        """

    def hides(self, path: str) -> bool:
        """Whether what is published at a path can get that name when it is complete, as far as is known."""

    def assure(self, path: str) -> None:
        """Make sure that the server keeps this name as it is: a changed one could be that of another file.

        Raises:
            NameRefusedError: it does not.
        """

    def fetch(self, path: str, into: Sink, *, offset: int = 0, progress: Callable[[int], None] = lambda _: None) -> int:
        """Write the content of a file from byte ``offset`` on to ``into``; returns the bytes written.

        ``progress`` is called with the number of bytes of the file that are there so far, ``offset`` included.
        """

    def stat(self, path: str) -> RemoteEntry | None:
        """Size and date of a file or the kind of a directory; None if there is nothing of this name."""

    def stat_many(self, paths: Sequence[str]) -> list[RemoteEntry | None]:
        """`stat` for many files in as few round trips as the server allows."""

    def list_dir(self, path: str, *, dated: bool = True) -> list[RemoteEntry]:
        """The entries of a directory, without ``.`` and ``..``; NotFoundError if it is not there.

        Not ``dated``: dates that the listing does not tell are not asked for, which costs a command for each file.

        Raises:
            PartlyListedError: there are more.
        """

    def list_kinds(self, path: str) -> dict[str, Kind]:
        """What the entries of a directory are themselves: a link is OTHER, whatever it leads to.

        Some servers follow links in what `list_dir` asks for, and say "directory".
        """

    def make_dir(self, path: str) -> bool:
        """Make one directory whose parent exists. True: it was made and is empty; False: it was there already."""

    def make_dir_many(self, paths: Sequence[str]) -> Iterator[tuple[int, bool | FtpsyncdError]]:
        """`make_dir` for many directories in as few round trips as the server allows.

        One verdict per path, with its place in ``paths``, each as soon as it is known; the session can do nothing else
        until the last one was taken.
        """

    def make_dirs(self, path: str) -> bool:
        """Make a directory and its parents. True if the last one was made now, False if it was there already."""

    def remove_dir(self, path: str) -> bool:
        """Remove an empty directory. True: removed or not there; False: it is not empty and stays.

        Raises:
            MountPointError: it is empty, and a disk is mounted on it.
        """

    def rename(self, source: str, target: str) -> str:
        """Rename; a file at ``target`` is replaced (moved aside first where the server refuses to replace).

        Only a file takes another's place: a directory is refused where anything but an empty directory is.

        Returns:
            Where the file that was replaced is, which was moved aside and could not be deleted any more; empty: it is
            gone, or there was none.
        """

    def delete_many(self, paths: Sequence[str]) -> list[FtpsyncdError | None]:
        """Delete files, one verdict per path, in order; a file that is not there counts as deleted (None)."""

    def set_time(self, path: str, mtime_s: int) -> bool:
        """Give a file a date; False where the server cannot."""

    def noop(self) -> None:
        """Ask for a sign of life."""

    def make_ready(self) -> None:
        """A file will follow soon: do now what its upload can do without knowing it."""

    def close(self, *, patient: bool = True) -> None:
        """Say QUIT if that can be done without waiting long, then close. Never raises.

        Patient: wait for the answer, after which the server counts this connection no more.
        """

    def leave(self) -> None:
        """In a process that was forked, let go of what is another process's, which notices nothing. Never raises."""

    def cut(self) -> None:
        """End the connection from another thread than the one that uses it, which finds out; it closes it, too."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Connector(Protocol):
    """Opens sessions to one server; the pool is handed one of these."""

    def __call__(self) -> RemoteSession:
        """Connect, protect, log in.

        Raises: ServerUnavailableError, TooManyConnectionsError, TlsError, LoginRefusedError.
        """
