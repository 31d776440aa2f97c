"""Fetching a whole directory: nothing that a server says of it is taken for granted.

In: a directory at the server, and one here. Out: files, and what became of each name. Names are single components or
refused, a directory that is listed within itself ends, and a link is not followed. What ends the connection is raised,
but for a local file that cannot be written: the others come over another connection; so does what this one has no data
connections for any more, once. Called by `library`; each file is `landing`'s matter.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
import unicodedata
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ftpsyncd.core import names, sizes
from ftpsyncd.errors import AlreadyExistsError, FtpsyncdError, LocalUnwritableError
from ftpsyncd.model import Kind
from ftpsyncd.paths import remote_join
from ftpsyncd.quoting import named
from ftpsyncd.remote import landing
from ftpsyncd.remote.folders import Directory, no_folder
from ftpsyncd.remote.port import PartlyListedError, RemoteEntry, RemoteSession
from ftpsyncd.remote.profile import LONGEST_SILENCE_S
from ftpsyncd.remote.trees import Depth, Moved, Ready, Step, TreeResult, Walk, listed

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_TEMPORARY = re.compile(r".+\.[0-9a-f]{8}" + re.escape(names.SUFFIX), re.DOTALL)


def unfit(name: str, longest: int = 255) -> str:
    """Why a name from a server cannot be the name of a local file; empty if it can."""
    if name in {"", ".", ".."}:
        return "it is not a name"
    if "/" in name or os.sep in name or (os.altsep is not None and os.altsep in name):
        return "it is a path and not a name"
    if any(unicodedata.category(c) == "Cc" for c in name):
        return "it holds control characters"
    try:
        size = len(os.fsencode(name))
    except UnicodeEncodeError:
        return "it holds characters that no name here can have"
    return f"it has {size} bytes, and names here have {longest} at most" if size > longest else ""


@dataclass(slots=True)
class Fetching(Walk):
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
    depth: Depth = field(default_factory=Depth)
    session: RemoteSession = field(init=False)
    awake_at: float = field(default_factory=time.monotonic)
    """When it was last seen to that the connection is there, monotonic seconds."""

    def run(self, remote: str, local: Path) -> Generator[TreeResult, None, None]:
        """Fetch ``remote`` to ``local``, which is made with its parents.

        Raises:
            NotFoundError: there is no such directory.
            LocalUnwritableError: ``local`` cannot be made or entered.
        """
        self.session = self.ready()
        # Listed before anything is made here: a directory that is not there leaves nothing behind.
        listing = self.once_more(lambda: _listing(self.session, remote))
        try:
            local.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise no_folder(local, error) from error
        with Directory.opened(local) as into:
            yield from self._content(remote, into, 0, listing)

    def _content(self, remote: str, into: Directory, depth: int, listing: _Listing) -> Iterator[TreeResult]:
        if listing.cut is not None:
            yield TreeResult(remote, Step.FAILED, error=listing.cut)
        yield from self._entries(remote, into, depth, listing.entries, listing.kinds)

    def _entries(
        self, remote: str, into: Directory, depth: int, entries: list[RemoteEntry], kinds: dict[str, Kind]
    ) -> Iterator[TreeResult]:
        landed: set[tuple[int, int]] = set()
        longest = into.longest_name()
        for entry in entries:
            if self.depth.given_up:
                return
            # After hours another connection, and after what cannot be written here, which has cost the last one.
            self.session = self._awake()
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
                    yield self.once_more(partial(self._file, path, into, entry, landed))
            except FtpsyncdError as error:
                if not (self.session.usable or _fails_alone(error)):
                    raise
                yield TreeResult(path, Step.FAILED, error=error)

    def _awake(self) -> RemoteSession:
        """The connection; another one where the server has ended it while a slow disk wrote what had come."""
        if time.monotonic() - self.awake_at > LONGEST_SILENCE_S:
            with contextlib.suppress(FtpsyncdError):
                self.session.noop()
        self.awake_at = time.monotonic()
        return self.ready()

    def _connected(self) -> RemoteSession:
        """The connection, which is known here, too, when it is another one."""
        self.session = self.ready()
        return self.session

    def _directory(
        self, remote: str, into: Directory, name: str, depth: int, landed: set[tuple[int, int]]
    ) -> Iterator[TreeResult]:
        self.depth.check(remote, depth)
        listing = self.once_more(lambda: _listing(self.session, remote))
        _distinct(into, name, landed)
        with into.entered(name) as below:
            _land(into, name, landed)
            yield from self._content(remote, below, depth, listing)

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
            self._connected,
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


class _Listing(NamedTuple):
    """What is in a directory."""

    entries: list[RemoteEntry]
    kinds: dict[str, Kind]
    """What they are themselves."""
    cut: PartlyListedError | None
    """There are more."""


def _listing(session: RemoteSession, remote: str) -> _Listing:
    """The entries of a directory in order, and what they are themselves.

    The second listing is asked for only where it matters: a link to a file is as good as the file.
    """
    cut: PartlyListedError | None = None
    try:
        entries = listed(session, remote)
    except PartlyListedError as error:
        entries, cut = error.entries, error
    entries = sorted(entries, key=lambda entry: (entry.kind is Kind.DIR, entry.name))
    dirs = any(entry.kind is Kind.DIR for entry in entries)
    return _Listing(entries, session.list_kinds(remote) if dirs else {}, cut)


def _is_dated(here: os.stat_result, mtime_s: int | None) -> bool:
    """Whether a file here has the date of one at the server; a FAT disk rounds odd seconds down."""
    kept_s = int(here.st_mtime)
    return mtime_s == kept_s or (kept_s % 2 == 0 and mtime_s == kept_s + 1)


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
