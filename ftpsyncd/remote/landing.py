"""Where downloads land: files that appear in a local directory whole or not at all.

Content arrives in a file beside its final name (`arrival`). The name of that is made from what the server says about
the file, so another try finds the part of exactly this file and continues it.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from typing import NamedTuple

from ftpsyncd.core import sizes
from ftpsyncd.errors import (
    AlreadyExistsError,
    LocalUnwritableError,
    NameRefusedError,
    NotSupportedError,
    RemoteError,
    TransferFailedError,
    VerificationError,
)
from ftpsyncd.quoting import named
from ftpsyncd.remote.arrival import REPEATED, Part
from ftpsyncd.remote.folders import Directory
from ftpsyncd.remote.port import RemoteEntry, RemoteSession
from ftpsyncd.remote.trees import Ready

_VERSIONS_MAX = 3
"""So many versions of one file are begun: another program may replace it faster than it can be fetched."""


class Fetched(NamedTuple):
    """A file that came down."""

    size: int
    """Bytes of the file."""
    continued_at: int
    """How many of them were here already, from an earlier try."""
    dated: bool
    """Whether it has the date that it has at the server."""


def fetch(
    ready: Ready,
    remote: str,
    entry: RemoteEntry,
    into: Directory,
    name: str,
    *,
    origin: str,
    overwrite: bool,
    progress: Callable[[int], None],
) -> Fetched:
    """Fetch a file to ``name`` in a directory: continued if a part of it is there, checked, dated, then renamed.

    If the transfer breaks, the part stays for the next try, provided that the server tells size and date. One that has
    another size at the server by now is fetched as it is now: hours may have passed since the directory was listed.

    Args:
        ready: the connection; another one where it has ended.
        remote: the absolute path at the server.
        entry: what the server said about it.
        into: where to.
        name: a single component.
        origin: which server this is; parts of another server's files are not continued.
        overwrite: replace what is there under ``name``.
        progress: called with the bytes that are here.

    Raises:
        AlreadyExistsError: ``overwrite`` is False and the name is taken, even if it was taken meanwhile.
        LocalUnwritableError: the file cannot be written.
        VerificationError: more or fewer bytes came than the server says the file has; the part is removed.
        RemoteError: it cannot be fetched.
    """
    versions = 1
    while True:
        try:
            return _fetch_one(ready(), remote, entry, into, name, origin, progress, overwrite=overwrite)
        except VerificationError as error:
            now = _now(ready, remote)
            if now is None or now.size is None or now.size == entry.size:
                raise
            if versions == _VERSIONS_MAX:
                raise VerificationError(
                    f"{named(remote)} was changed at the server each time while it was fetched.",
                    remedy="Fetch it when whoever writes it there has finished.",
                ) from error
            versions, entry = versions + 1, now


def _now(ready: Ready, remote: str) -> RemoteEntry | None:
    """What is at the server by now; None if it does not tell."""
    try:
        return ready().stat(remote)
    except RemoteError:
        return None


def _fetch_one(
    session: RemoteSession,
    remote: str,
    entry: RemoteEntry,
    into: Directory,
    name: str,
    origin: str,
    progress: Callable[[int], None],
    *,
    overwrite: bool,
) -> Fetched:
    """Fetch one version of a file."""
    _vacant(into, name, overwrite=overwrite)
    part = Part.opened(into, name, f"{origin}\0{remote}", entry)
    try:
        part.be_private()
        continued = _fill(session, remote, entry, part, progress)
        size, dated = part.complete(entry)
        part.publish(overwrite=overwrite)
    except (VerificationError, AlreadyExistsError):
        part.drop()
        raise
    except BaseException:
        part.leave()
        raise
    part.close()
    return Fetched(size, continued, dated)


def _vacant(into: Directory, name: str, *, overwrite: bool) -> None:
    """Say early what the end of a long download would say."""
    there = into.look(name)
    if there is None:
        return
    if not overwrite:
        raise AlreadyExistsError(f"{named(into.path / name)} exists already.", remedy="")
    if stat.S_ISDIR(there.st_mode):
        raise LocalUnwritableError(f"{named(into.path / name)} is a directory.")
    if stat.S_ISLNK(there.st_mode):
        # /dev/stdout is one, to a device or a pipe.
        there = into.look(name, through=True) or there
    if not (stat.S_ISREG(there.st_mode) or stat.S_ISLNK(there.st_mode) or stat.S_ISDIR(there.st_mode)):
        # The rename would put a file in the place of /dev/null, for everybody.
        raise LocalUnwritableError(f"{named(into.path / name)} is no regular file, and is not replaced.", remedy="")


def _fill(session: RemoteSession, remote: str, entry: RemoteEntry, part: Part, progress: Callable[[int], None]) -> int:
    """Fetch what is missing; returns how much was there.

    Where continuing is refused, or the part turns out not to be the beginning of this file, all of it is fetched.
    """
    there = part.length()
    offset = there - REPEATED
    if entry.size is not None and offset > 0 and there <= entry.size:
        run = _Run(session, remote, entry, part, progress)
        try:
            run.fetch(offset, there)
        except RemoteError as error:
            if run.unlike:
                part.empty()
            # proftpd without AllowRetrieveRestart says 451, "try again"; so it does for ever.
            refused = not run.got and (
                isinstance(error, NotSupportedError | NameRefusedError) or error.reply[:3] in {"450", "451"}
            )
            if not session.usable or not (run.unlike or refused):
                raise
        else:
            return there
    else:
        part.empty()
    run = _Run(session, remote, entry, part, progress)
    try:
        # What is there of this file stays until it is written over: if this breaks, too, nothing is lost.
        run.fetch(0, 0)
    except RemoteError as error:
        if run.unlike:
            raise VerificationError(f"More than the {entry.size} bytes of {named(remote)} came.") from error
        if entry.size != 0 or run.got or not isinstance(error.__cause__, TimeoutError):
            raise
        # Nothing is all that there is of it: Zope's says nothing either.
    return 0


class _Run:
    """One transfer into a part, watched."""

    def __init__(
        self,
        session: RemoteSession,
        remote: str,
        entry: RemoteEntry,
        part: Part,
        progress: Callable[[int], None],
    ) -> None:
        self._session = session
        self._remote = remote
        self._size = entry.size
        self._part = part
        self._progress = progress
        self._offset = 0
        self._known = b""
        """What the part holds from the offset on, until it was compared."""
        self.got = False
        """Something came."""
        self.unlike = False
        """Something came that does not fit."""

    def fetch(self, offset: int, there: int) -> None:
        """Fetch from ``offset`` to the end; the bytes up to ``there`` are known and must come again.

        They are written over themselves, so that a transfer that breaks among them loses nothing.
        """
        self._offset = offset
        self._known = self._part.read(there - offset, offset)
        self._part.stand(offset)
        count = offset + self._session.fetch(self._remote, self._part, offset=offset, progress=self._seen)
        self._compare(count)
        if self.unlike:
            # Not said in the middle: pure-ftpd never answers to a TLS data connection that is broken off.
            raise TransferFailedError(f"What was here of {named(self._remote)} is not its beginning.")
        if not sizes.fits(self._size, count):
            if self._size is not None and count > self._size:
                raise self._beyond()
            raise VerificationError(f"{count} of {self._size} bytes of {named(self._remote)} came.")

    def _seen(self, count: int) -> None:
        self.got = True
        if not sizes.may_reach(self._size, count):
            raise self._beyond()
        if count >= self._offset + len(self._known):
            self._compare(count)
        self._progress(count)

    def _beyond(self) -> TransferFailedError:
        self.unlike = True
        return TransferFailedError("More came than the file has.")

    def _compare(self, count: int) -> None:
        known, self._known = self._known, b""
        if not known:
            return
        came = self._part.read(len(known), self._offset)
        self.unlike = came != known or count < self._offset + len(known)
