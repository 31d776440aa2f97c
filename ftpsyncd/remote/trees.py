"""Whole directories sent, fetched and deleted, one result for each name.

Nothing that a server says is taken for granted: its names are single components or refused, a directory that is listed
within itself ends, and a link is neither followed nor deleted through. Everything is an iterator: the work is done
while the results are taken, and stops when they are not.

Errors of one name are results. What ends the connection is raised, but for a local file that cannot be written: the
others come over another connection; so does what this one has no data connections for any more, once.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from ftpsyncd.core import names, sizes
from ftpsyncd.errors import (
    AlreadyExistsError,
    FtpsyncdError,
    LocalUnreadableError,
    LocalUnwritableError,
    NameRefusedError,
    NotFoundError,
    PathsRefusedError,
    RemoteError,
    ServerUnavailableError,
    TransferFailedError,
)
from ftpsyncd.model import Kind, basename, parent, remote_join
from ftpsyncd.quoting import named
from ftpsyncd.remote import landing
from ftpsyncd.remote.folders import Directory, unwritable
from ftpsyncd.remote.port import RemoteEntry, RemoteSession

DEEPEST = 100
"""Levels below the directory that was asked for; more are taken for a directory that is listed within itself."""
TOO_DEEP_MAX = 10
"""So many directories beyond `DEEPEST` end the walk: with two in each, the hundred levels would never be done."""
_T = TypeVar("_T")

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_TEMPORARY = re.compile(r".+\.[0-9a-f]{8}" + re.escape(names.SUFFIX), re.DOTALL)

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


def unfit(name: str, longest: int = 255) -> str:
    """Why a name from a server cannot be the name of a local file; empty if it can."""
    if name in {"", ".", ".."}:
        return "it is not a name"
    if "/" in name or os.sep in name or (os.altsep is not None and os.altsep in name):
        return "it is a path and not a name"
    if any(unicodedata.category(c) == "Cc" for c in name):
        return "it holds control characters"
    size = len(os.fsencode(name))
    return f"it has {size} bytes, and names here have {longest} at most" if size > longest else ""


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


def _listing(session: RemoteSession, remote: str) -> tuple[list[RemoteEntry], dict[str, Kind]]:
    """The entries of a directory in order, and what they are themselves.

    The second listing is asked for only where it matters: a link to a file is as good as the file.
    """
    entries = sorted(listed(session, remote), key=lambda entry: (entry.kind is Kind.DIR, entry.name))
    dirs = any(entry.kind is Kind.DIR for entry in entries)
    return entries, session.list_kinds(remote) if dirs else {}


class _Depth:
    """Counts what is too deep, and says when that is enough."""

    def __init__(self) -> None:
        self._found = 0

    def check(self, remote: str, depth: int) -> None:
        """Refuse what is too deep; `given_up` says whether to go on with others."""
        if depth > DEEPEST:
            self._found += 1
            raise NameRefusedError(
                f"{named(remote[:200])}… is more than {DEEPEST} directories deep; perhaps it is listed within itself.",
                remedy="",
            )

    @property
    def given_up(self) -> bool:
        """There were too many of them."""
        return self._found >= TOO_DEEP_MAX


class _Walk:
    """What both ways through a directory do alike."""

    ready: Ready
    session: RemoteSession

    def _once_more(self, do: Callable[[], _T]) -> _T:
        """Do something, if need be over another connection.

        A server that has forgotten the TLS session of this one refuses all its data connections from then on (425), and
        is there all the same. So is one of which it turned out how it takes names.
        """
        try:
            return do()
        except (TransferFailedError, PathsRefusedError) as error:
            if self.session.usable:
                raise
            self.session = self._another(error)
        return do()

    def _another(self, lost: RemoteError) -> RemoteSession:
        try:
            return self.ready()
        except ServerUnavailableError:
            raise lost from None


# ── Fetching ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Fetching(_Walk):
    """Fetch a directory with all that is in it.

    Args:
        ready: the connection; another one where it has ended.
        origin: which server this is.
        overwrite: replace local files that differ.
        moved: progress.
    """

    ready: Ready
    origin: str
    overwrite: bool
    moved: Moved
    depth: _Depth = field(default_factory=_Depth)
    session: RemoteSession = field(init=False)

    def run(self, remote: str, local: Path) -> Generator[TreeResult, None, None]:
        """Fetch ``remote`` to ``local``, which is made with its parents.

        Raises:
            NotFoundError: there is no such directory.
            LocalUnwritableError: ``local`` cannot be made or entered.
        """
        self.session = self.ready()
        # Listed before anything is made here: a directory that is not there leaves nothing behind.
        listing = self._once_more(lambda: _listing(self.session, remote))
        try:
            local.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(local, error) from error
        with Directory.opened(local) as into:
            yield from self._entries(remote, into, 0, *listing)

    def _entries(
        self, remote: str, into: Directory, depth: int, entries: list[RemoteEntry], kinds: dict[str, Kind]
    ) -> Iterator[TreeResult]:
        landed: set[tuple[int, int]] = set()
        longest = into.longest_name()
        for entry in entries:
            if self.depth.given_up:
                return
            # After hours another connection, and after what cannot be written here, which has cost the last one.
            self.session = self.ready()
            path = remote_join(remote, entry.name)
            kind = Kind.OTHER if kinds.get(entry.name) is Kind.OTHER else entry.kind
            try:
                if reason := unfit(entry.name, longest):
                    raise LocalUnwritableError(
                        f"The server's name {named(entry.name[:300])} is refused: {reason}.", remedy=""
                    )
                if kind is Kind.OTHER:
                    yield TreeResult(path, Step.SKIPPED, note="a symbolic link or no regular file")
                elif kind is Kind.DIR and entry.name == names.TRASH:
                    yield TreeResult(path, Step.SKIPPED, note="what was deleted, to be fetched by this name")
                elif kind is Kind.DIR:
                    yield from self._directory(path, into, entry.name, depth + 1, landed)
                elif _TEMPORARY.fullmatch(entry.name):
                    yield TreeResult(path, Step.SKIPPED, note="the temporary file of an upload")
                else:
                    yield self._once_more(partial(self._file, path, into, entry, landed))
            except FtpsyncdError as error:
                if not (self.session.usable or _fails_alone(error)):
                    raise
                yield TreeResult(path, Step.FAILED, error=error)

    def _directory(
        self, remote: str, into: Directory, name: str, depth: int, landed: set[tuple[int, int]]
    ) -> Iterator[TreeResult]:
        self.depth.check(remote, depth)
        listing = self._once_more(lambda: _listing(self.session, remote))
        _distinct(into, name, landed)
        with into.entered(name) as below:
            _land(into, name, landed)
            yield from self._entries(remote, below, depth, *listing)

    def _file(self, remote: str, into: Directory, entry: RemoteEntry, landed: set[tuple[int, int]]) -> TreeResult:
        there = _distinct(into, entry.name, landed)
        same = (
            there is not None
            and stat.S_ISREG(there.st_mode)
            and _is_dated(there, entry.mtime_s)
            and sizes.tells(entry.size, there.st_size)
        )
        if same:
            _land(into, entry.name, landed)
            return TreeResult(remote, Step.SAME, there.st_size if there is not None else 0)
        fetched = landing.fetch(
            self.session,
            remote,
            entry,
            into,
            entry.name,
            origin=self.origin,
            overwrite=self.overwrite,
            progress=lambda count: self.moved(remote, count, entry.size),
        )
        _land(into, entry.name, landed)
        return TreeResult(remote, Step.FETCHED, fetched.size)


def _is_dated(here: os.stat_result, mtime_s: int | None) -> bool:
    """Whether a file here has the date of one at the server; a FAT disk rounds odd seconds down."""
    kept_s = int(here.st_mtime)
    return mtime_s is not None and (kept_s == mtime_s or (kept_s % 2 == 0 and kept_s + 1 == mtime_s))


def _fails_alone(error: FtpsyncdError) -> bool:
    """Whether what could not be written is the matter of one file (too large for its file system), not of the disk."""
    cause = error.__cause__
    return isinstance(error, LocalUnwritableError) and isinstance(cause, OSError) and cause.errno not in _NO_ROOM


def _distinct(into: Directory, name: str, landed: set[tuple[int, int]]) -> os.stat_result | None:
    """What is here under a name; refused if another name of the same listing became it just now."""
    there = into.look(name)
    if there is not None and (there.st_dev, there.st_ino) in landed:
        raise AlreadyExistsError(
            f"{named(into.path / name)} is what another name of this directory at the server became: "
            "both were listed, and here they are one.",
            remedy="",
        )
    return there


def _land(into: Directory, name: str, landed: set[tuple[int, int]]) -> None:
    there = into.look(name)
    if there is not None:
        landed.add((there.st_dev, there.st_ino))


# ── Deleting ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Deleting(_Walk):
    """Delete a directory with all that is in it, files before directories; a link is deleted and not followed."""

    ready: Ready
    depth: _Depth = field(default_factory=_Depth)
    session: RemoteSession = field(init=False)

    def run(self, remote: str) -> Generator[TreeResult, None, None]:
        """Delete ``remote``: a file, a link, or a directory with its content.

        Raises:
            NotFoundError: there is nothing of this name.
            NameRefusedError: it is the root, or the server does not say what it is.
        """
        if not remote.strip("/"):
            raise NameRefusedError("The root of a server is not deleted.", remedy="Name what is to go.")
        self.session = self.ready()
        entry = self._once_more(lambda: self.session.stat(remote))
        kinds = self.session.list_kinds(parent(remote) or "/")
        kind = kinds.get(basename(remote), None if entry is None else entry.kind)
        if kind is None:
            raise NotFoundError(f"{named(remote)} is not at the server.", remedy="")
        if kind is Kind.DIR:
            yield from self._tree(remote, kinds, 0)
        else:
            yield from self._files([remote])

    def _files(self, paths: list[str]) -> Generator[TreeResult, None, bool]:
        errors = self._once_more(lambda: self.session.delete_many(paths))
        for path, error in zip(paths, errors, strict=True):
            yield TreeResult(path, Step.REMOVED if error is None else Step.FAILED, error=error)
        return not any(errors)

    def _tree(self, remote: str, siblings: dict[str, Kind], depth: int) -> Generator[TreeResult, None, bool]:
        """Delete a directory that its parent's LIST shows as one; returns whether all of it is gone."""
        try:
            if siblings.get(basename(remote)) is not Kind.DIR:
                raise NameRefusedError(
                    f"{named(remote)} is left alone: it may be a directory or a link to one, the server does not say.",
                    remedy="",
                )
            self.depth.check(remote, depth)
            self.session = self.ready()
            kinds = self.session.list_kinds(remote)
            # LIST shows links that lead nowhere, which MLSD may keep to itself; MLSD shows names that LIST garbles.
            found = {entry.name: entry.kind for entry in self.session.list_dir(remote, dated=False)} | kinds
            wrong = next((name for name in found if name in {"", ".", ".."} or "/" in name), None)
            if wrong is not None:
                raise NameRefusedError(
                    f"{named(remote)} is left alone: the server lists {named(wrong)} in it.", remedy=""
                )
            files = [remote_join(remote, name) for name, kind in sorted(found.items()) if kind is not Kind.DIR]
            empty = yield from self._files(files)
            for name in sorted(name for name, kind in found.items() if kind is Kind.DIR):
                if self.depth.given_up:
                    return False
                gone = yield from self._tree(remote_join(remote, name), kinds, depth + 1)
                empty = empty and gone
            if not empty:
                return False  # what stays was told
            if not self._once_more(lambda: self.session.remove_dir(remote)):
                raise AlreadyExistsError(f"{named(remote)} is not empty.", remedy="")
        except FtpsyncdError as error:
            if not self.session.usable:
                raise
            yield TreeResult(remote, Step.FAILED, error=error)
            return False
        yield TreeResult(remote, Step.REMOVED)
        return True


# ── Looking at what is to be sent ────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Folder:
    """What is in a local directory, for sending."""

    files: list[str]
    dirs: list[str]
    others: list[str]
    """Symlinks and special files, which are not sent."""


def folder(local: Path) -> Folder:
    """Look at a local directory.

    Raises:
        LocalUnreadableError: it cannot be listed.
    """
    found = Folder([], [], [])
    try:
        with os.scandir(local) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    found.dirs.append(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    found.files.append(entry.name)
                else:
                    found.others.append(entry.name)
    except OSError as error:
        raise LocalUnreadableError(f"{named(local)} cannot be read: {error.strerror}.") from error
    for part in (found.files, found.dirs, found.others):
        part.sort()
    return found
