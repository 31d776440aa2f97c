"""What sending, fetching and deleting a whole directory have in common: one result for each name.

Everything is an iterator: the work is done while the results are taken, and stops when they are not. Errors of one name
are results, what ends the connection is raised. Used by `dispatch` (sending), `fetchtree` and `deletetree`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, TypeVar

from ftpsyncd.errors import (
    DataUnreachableError,
    FtpsyncdError,
    NameRefusedError,
    NotFoundError,
    PathsRefusedError,
    RemoteError,
    ServerUnavailableError,
    TransferFailedError,
)
from ftpsyncd.model import Kind
from ftpsyncd.paths import parent
from ftpsyncd.quoting import named
from ftpsyncd.remote.port import RemoteEntry, RemoteSession

DEEPEST = 100
"""Levels below the directory that was asked for; more are taken for a directory that is listed within itself."""
MOST_REPEATED = 20
"""Levels that have the name of one above them, likewise: a server that shows links as directories goes through 40 of
them (path_resolution(7)) and shows nothing below, so that no way would be too deep, and there would be no end of ways.
"""
TOO_DEEP_MAX = 10
"""So many directories beyond these end the walk: with two in each, the hundred levels would never be done."""
_T = TypeVar("_T")

Ready = Callable[[], RemoteSession]
"""The connection; another one where it has ended or is too old."""
Moved = Callable[[str, int, int | None], None]
"""Progress: the remote path, the bytes that are there, the size if it is known."""


class Step(StrEnum):
    """What became of one name."""

    SENT = "sent"
    FETCHED = "fetched"
    SAME = "same"
    """It was here already, with the same size and date."""
    SKIPPED = "skipped"
    """Not a file or directory; `TreeResult.note` says what."""
    REMOVED = "removed"
    FAILED = "failed"


class TreeResult(NamedTuple):
    """What became of one file, link or (if it failed or was removed) directory."""

    remote: str
    step: Step
    size: int = 0
    """Bytes of a file that was sent or fetched."""
    error: FtpsyncdError | None = None
    """Why it failed."""
    note: str = ""
    """Why it was skipped."""


def listed(session: RemoteSession, remote: str, *, dated: bool = True) -> list[RemoteEntry]:
    """The entries of a directory that somebody named; see `RemoteSession.list_dir`.

    Raises:
        NotFoundError: there is no such directory. Servers say so in words that fit many things, so they are asked.
        NameRefusedError: it may not be listed.
    """
    try:
        return session.list_dir(remote, dated=dated)
    except NameRefusedError as error:
        entry = session.stat(remote)
        if entry is not None and entry.kind is not Kind.FILE:
            raise
        what = "is not at the server" if entry is None else "is a file at the server, and no directory"
        raise NotFoundError(f"{named(remote)} {what}.", reply=error.reply, remedy="") from error


def kinds_around(session: RemoteSession, remote: str) -> dict[str, Kind]:
    """What the entries of the directory that a name is in are themselves; where there is no such directory, none."""
    try:
        return session.list_kinds(parent(remote) or "/")
    except NotFoundError:
        return {}


class Depth:
    """Counts what is too deep, and says when that is enough."""

    def __init__(self) -> None:
        self._found = 0

    def check(self, remote: str, depth: int) -> None:
        """Refuse what is too deep; `given_up` says whether to go on with others."""
        way = remote.rstrip("/").split("/")[-depth:] if depth else []
        if depth > DEEPEST or depth - len(set(way)) > MOST_REPEATED:
            self._found += 1
            what = f"is more than {DEEPEST} directories deep" if depth > DEEPEST else "repeats the names above it"
            raise NameRefusedError(f"{named(remote[:200])}… {what}; perhaps it is listed within itself.", remedy="")

    @property
    def given_up(self) -> bool:
        """There were too many of them."""
        return self._found >= TOO_DEEP_MAX


class Walk:
    """What both ways through a directory at a server do alike."""

    ready: Ready
    session: RemoteSession

    def once_more(self, do: Callable[[], _T]) -> _T:
        """Do something, if need be over another connection.

        A server that has forgotten the TLS session of this one refuses all its data connections from then on (425), and
        is there all the same. So is one of which it turned out how it takes names. Where no data connection comes
        about, the host may have other addresses.
        """
        once, missed = False, 0
        lost: RemoteError
        while True:
            try:
                return do()
            except DataUnreachableError as error:
                if missed >= error.others:
                    raise
                missed, lost = missed + 1, error
            except (TransferFailedError, PathsRefusedError) as error:
                if once or self.session.usable:
                    raise
                once, lost = True, error
            self.session = self._another(lost)

    def _another(self, lost: RemoteError) -> RemoteSession:
        try:
            return self.ready()
        except ServerUnavailableError:
            raise lost from None
